/* SPDX-License-Identifier: MIT */
/* Frames of a guest for back ends that can do much or little. */
#include "vsp/network/frame.h"

#include "support/frame.h"
#include "util/le.h"
#include "vsp/network/checksum.h"
#include "vsp/network/segment.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define ALL (HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_USO | HVS_NET_VLAN)
#define PPI_CSUM(ip6, tcp) ((ip6) ? 2u : 1u) | ((tcp) ? 4u : 8u)
#define PPI_LSO_V2 (1u << 30)

static struct test_frame sent;      /* what a guest with no offloads would send */
static struct test_frame asked;     /* what this one sends */
static uint8_t got[TEST_FRAME_MAX]; /* what the back end gets */

struct prepared {
	uint8_t room[HVS_NET_MAX_COPIED];
	struct iovec iov[20];
	struct hvsi_headers h;
	struct hvs_net_frame f;
};

static int prepare(struct prepared *p, const struct hvsi_frame_request *r, uint32_t offloads,
		   int tci)
{
	const size_t copied = asked.len < HVSI_FRAME_COPY ? asked.len : HVSI_FRAME_COPY;
	struct rng rng = {asked.len + 1};
	size_t n;

	memset(p, 0xee, sizeof(*p));
	memcpy(p->room + HVSI_TAG_BYTES, asked.b, copied);
	p->iov[0] = (struct iovec){p->room + HVSI_TAG_BYTES, copied};
	n = 1 + test_frame_cut(&rng, asked.b + copied, asked.len - copied, p->iov + 1, 19);
	cr_assert(
		hvsi_frame_parse(&p->h, p->iov[0].iov_base, (uint32_t)copied, (uint32_t)asked.len));
	if (tci >= 0)
		hvsi_frame_tagged(&p->h, (uint16_t)tci);
	return hvsi_frame_prepare(&p->f, &p->h, r, offloads, p->iov, (uint16_t)n);
}

static uint8_t *csum_field(struct test_frame *f)
{
	return f->b + f->l4_off + hvsi_l4_csum_off(f->protocol);
}

/* Leave to the host what LSO leaves: v2 no lengths, v1 all; a sum of the addresses alone. */
static void ask_large(bool v2)
{
	uint8_t *ip = asked.b + asked.l3_off;

	if (asked.ip6) {
		if (v2)
			hvsi_put_be16(ip + 4, 0);
	} else {
		if (v2)
			hvsi_put_be16(ip + 2, 0);
		hvsi_put_be16(ip + 10, 0);
	}
	hvsi_put_be16(csum_field(&asked), test_pseudo(ip, asked.protocol, 0));
}

static struct test_frame_spec random_spec(struct rng *rng)
{
	static const uint8_t exts[] = {0, 43, 60};
	struct test_frame_spec s = {
		.ip6 = rng_below(rng, 2),
		.protocol = rng_below(rng, 2) ? TEST_TCP : TEST_UDP,
		.tags = (uint8_t)!rng_below(rng, 4),
		.tci = {0x123},
		.ip4_options = (uint8_t)(rng_below(rng, 11) * 4),
		.tcp_options = (uint8_t)(rng_below(rng, 11) * 4),
		.exts = (uint8_t)rng_below(rng, 3),
		.payload = rng_below(rng, 3000),
		.from = (uint16_t)rng_next(rng),
		.to = (uint16_t)rng_next(rng),
		.id = (uint16_t)rng_next(rng),
	};

	for (unsigned i = 0; i < s.exts; i++)
		s.ext[i] = exts[rng_below(rng, 3)];
	return s;
}

static void build(const struct test_frame_spec *s)
{
	test_frame_build(&sent, s);
	memcpy(&asked, &sent, sizeof(asked));
}

static void expect_offsets(const struct hvs_net_frame *f, const struct test_frame *out)
{
	cr_assert_eq(f->size, sizeof(*f));
	cr_assert_eq(f->len, out->len);
	cr_assert_eq(f->l3_off, out->l3_off);
	cr_assert_eq(f->l4_off, out->l4_off);
	cr_assert_eq(f->payload_off, out->payload_off);
}

/* As it is, but for a tag that may have been put in. */
static void expect_same(const struct hvs_net_frame *f, uint32_t offloads, int tci)
{
	const size_t len = test_frame_linear(f, got);
	uint8_t tag[4];

	cr_assert_eq(f->len, len);
	if (tci < 0 || offloads & HVS_NET_VLAN) {
		cr_assert_eq(f->flags & HVS_NET_VLAN, tci < 0 ? 0 : HVS_NET_VLAN);
		cr_assert_eq(f->vlan_tci, tci < 0 ? 0 : tci);
		cr_assert_eq(len, sent.end);
		cr_assert_eq(memcmp(got, sent.b, len), 0);
		return;
	}
	hvsi_put_be16(tag, 0x8100);
	hvsi_put_be16(tag + 2, (uint16_t)tci);
	cr_assert_eq(f->flags & HVS_NET_VLAN, 0);
	cr_assert_eq(len, sent.end + 4);
	cr_assert_eq(memcmp(got, sent.b, 12), 0);
	cr_assert_eq(memcmp(got + 12, tag, 4), 0);
	cr_assert_eq(memcmp(got + 16, sent.b + 12, len - 16), 0);
}

Test(net_prepare, frames_that_are_complete_pass_as_they_are)
{
	static const uint32_t offloads[] = {0, ALL};
	const struct hvsi_frame_request r = {0};
	struct rng rng = {1};
	struct prepared p;

	for (unsigned i = 0; i < 400; i++) {
		const struct test_frame_spec s = random_spec(&rng);
		const int tci = i & 1 ? 0x6123 : -1;

		build(&s);
		cr_assert_eq(prepare(&p, &r, offloads[i / 2 % 2], tci), 0);
		expect_same(&p.f, offloads[i / 2 % 2], tci);
		cr_assert_eq(p.f.flags & ~HVS_NET_VLAN, 0);
	}
}

Test(net_prepare, frames_that_are_not_ip_have_no_offsets)
{
	const struct test_frame_spec s = {.protocol = TEST_ARP, .padding = 18};
	const struct hvsi_frame_request r = {0};
	struct prepared p;

	build(&s);
	cr_assert_eq(prepare(&p, &r, 0, 9), 0);
	cr_assert_eq(p.f.l3_off, 0);
	cr_assert_eq(p.f.l4_off, 0);
	cr_assert_eq(p.f.payload_off, 0);
}

Test(net_prepare, tags_are_no_part_of_a_packet)
{
	const struct hvsi_frame_request r = {0};
	struct prepared p;

	for (unsigned i = 0; i < 12; i++) {
		const struct test_frame_spec s = {.protocol = i & 1 ? TEST_ARP : TEST_UDP,
						  .tags = (uint8_t)(i / 4),
						  .padding = 18};
		size_t packet;

		build(&s);
		packet = asked.len - asked.l3_off;
		cr_assert_eq(prepare(&p, &r, 0, i & 2 ? 7 : -1), 0);
		cr_assert_eq(hvsi_frame_packet_len(&p.f), packet);
	}
	/* A frame that is nothing but a tag. */
	asked.len = 17;
	hvsi_put_be16(asked.b + 12, 0x8100);
	cr_assert_eq(prepare(&p, &r, 0, -1), 0);
	cr_assert_eq(hvsi_frame_packet_len(&p.f), 3);
}

Test(net_prepare, checksums_are_made_or_left_to_those_who_can)
{
	struct rng rng = {2};
	struct prepared p;

	for (unsigned i = 0; i < 1000; i++) {
		struct test_frame_spec s = random_spec(&rng);
		const uint32_t offloads = i & 1 ? HVS_NET_CSUM : 0;
		const int tci = i & 2 ? 0x6123 : -1;
		struct hvsi_frame_request r = {0};
		struct test_frame out;

		s.padding = i & 4 ? 30 : 0;
		build(&s);
		hvsi_put_be16(csum_field(&asked), (uint16_t)rng_next(&rng));
		hvsi_frame_want_csum(&r, PPI_CSUM(s.ip6, s.protocol == TEST_TCP));
		cr_assert_eq(prepare(&p, &r, offloads, tci), 0);
		cr_assert_eq(p.f.flags, offloads);
		if (!offloads) {
			expect_same(&p.f, offloads, tci);
		} else {
			const char *wrong =
				test_frame_check(got, test_frame_linear(&p.f, got), false, &out);

			cr_assert_null(wrong, "%s", wrong);
			expect_offsets(&p.f, &out);
		}
	}
}

Test(net_prepare, the_header_checksum_of_ipv4_is_always_made)
{
	const struct test_frame_spec s = {.protocol = TEST_TCP, .payload = 9, .ip4_options = 8};
	const struct test_frame_spec ip6 = {.protocol = TEST_TCP, .payload = 9, .ip6 = true};
	struct hvsi_frame_request r = {0};
	struct prepared p;

	hvsi_frame_want_csum(&r, 1 | 0x10);
	cr_assert_eq(r.flags, 0);
	cr_assert(r.ip4_csum);
	build(&s);
	hvsi_put_be16(asked.b + asked.l3_off + 10, 0);
	cr_assert_eq(prepare(&p, &r, ALL, -1), 0);
	expect_same(&p.f, ALL, -1);
	/* Said of IPv6 it means nothing. */
	build(&ip6);
	cr_assert_eq(prepare(&p, &r, ALL, -1), 0);
	expect_same(&p.f, ALL, -1);
}

static void expect_large(struct prepared *p, int result, uint32_t offloads, uint32_t mss)
{
	const bool can = (offloads & HVS_NET_TSO) && (offloads & HVS_NET_CSUM);
	const char *wrong = test_frame_check(got, test_frame_linear(&p->f, got), false, &asked);

	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(result, !can);
	cr_assert_eq(p->f.flags, HVS_NET_CSUM | HVS_NET_TSO);
	cr_assert_eq(p->f.mss, mss);
	expect_offsets(&p->f, &asked);
	cr_assert_eq(hvsi_frame_packet_len(&p->f), p->f.payload_off - p->f.l3_off + mss);
	cr_assert_eq(memcmp(got + asked.payload_off, sent.b + sent.payload_off,
			    sent.len - sent.payload_off),
		     0);
}

Test(net_prepare, large_frames_are_as_linux_wants_them_or_are_to_be_cut)
{
	static const uint32_t offloads[] = {0,
					    HVS_NET_CSUM,
					    HVS_NET_TSO,
					    HVS_NET_CSUM | HVS_NET_USO,
					    HVS_NET_CSUM | HVS_NET_TSO,
					    HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_USO};
	struct rng rng = {3};
	struct prepared p;

	for (unsigned i = 0; i < 1000; i++) {
		struct test_frame_spec s = random_spec(&rng);
		const uint32_t mss = 64 + rng_below(&rng, 1400);
		const uint32_t can = offloads[i % 6];
		const int tci = i & 8 ? 0x123 : -1;
		struct hvsi_frame_request r = {0};
		int result;

		s.protocol = TEST_TCP;
		s.payload = mss + 1 + rng_below(&rng, 50000);
		build(&s);
		ask_large(i & 16);
		hvsi_frame_want_lso(&r, mss | (i & 16 ? PPI_LSO_V2 : 0));
		result = prepare(&p, &r, can, tci);
		expect_large(&p, result, can, mss);
	}
}

Test(net_prepare, what_fits_one_segment_is_no_large_frame)
{
	struct rng rng = {4};
	struct prepared p;

	for (unsigned i = 0; i < 300; i++) {
		struct test_frame_spec s = random_spec(&rng);
		struct hvsi_frame_request r = {0};

		s.protocol = TEST_TCP;
		s.payload = 64 + rng_below(&rng, 1400);
		build(&s);
		ask_large(true);
		hvsi_frame_want_lso(&r, s.payload + (i & 1));
		cr_assert_eq(prepare(&p, &r, i & 2 ? ALL : 0, -1), 0);
		cr_assert_eq(p.f.flags, i & 2 ? HVS_NET_CSUM : 0);
		cr_assert_eq(p.f.mss, 0);
		if (!(i & 2))
			expect_same(&p.f, 0, -1);
		cr_assert_eq(hvsi_frame_packet_len(&p.f), sent.len - sent.l3_off);
	}
}

Test(net_prepare, large_frames_cut_by_us_are_good)
{
	struct rng rng = {5};
	struct prepared p;

	for (unsigned i = 0; i < 100; i++) {
		struct test_frame_spec s = random_spec(&rng);
		struct hvsi_frame_request r = {0};
		uint8_t headers[HVS_NET_MAX_COPIED];
		struct hvsi_segments segments;
		struct hvs_net_frame out;
		struct iovec pieces[21];
		uint32_t payload = 0;

		s.protocol = TEST_TCP;
		s.payload = 2000 + rng_below(&rng, 50000);
		build(&s);
		ask_large(true);
		hvsi_frame_want_lso(&r, 1448 | PPI_LSO_V2);
		cr_assert_eq(prepare(&p, &r, 0, i & 1 ? 77 : -1), 1);
		cr_assert_eq(hvsi_segments_start(&segments, &p.f, p.f.iov[0].iov_base, false), 0);
		while (hvsi_segments_next(&segments, headers, pieces, 21, &out) == 1) {
			const char *wrong =
				test_frame_check(got, test_frame_linear(&out, got), true, &asked);

			cr_assert_null(wrong, "%s", wrong);
			cr_assert_leq(out.len - out.payload_off, 1448);
			cr_assert_eq(memcmp(got + out.payload_off,
					    sent.b + sent.payload_off + payload,
					    out.len - out.payload_off),
				     0);
			payload += out.len - out.payload_off;
		}
		cr_assert_eq(payload, s.payload);
	}
}

static int large(const struct test_frame_spec *s, uint32_t mss)
{
	struct hvsi_frame_request r = {0};
	struct prepared p;

	build(s);
	hvsi_frame_want_lso(&r, mss);
	return prepare(&p, &r, ALL, -1);
}

Test(net_prepare, what_headers_do_not_allow_is_refused)
{
	const struct test_frame_spec good = {.protocol = TEST_TCP, .payload = 3000};
	struct test_frame_spec s = good;

	cr_assert_eq(large(&good, 1000), 0);
	cr_assert_eq(large(&good, 0), -EINVAL);
	cr_assert_eq(large(&good, 1), -EINVAL); /* 3,000 segments */
	cr_assert_eq(large(&good, 0x10000), -EINVAL);
	s.payload = 0;
	cr_assert_eq(large(&s, 1000), -EINVAL);
	s = good;
	s.protocol = TEST_UDP;
	cr_assert_eq(large(&s, 1000), -EINVAL);
	s = good;
	s.snap = true;
	cr_assert_eq(large(&s, 1000), -EINVAL);
	s = good;
	s.fragment = 0x2000;
	cr_assert_eq(large(&s, 1000), -EINVAL);
	s.fragment = 1;
	cr_assert_eq(large(&s, 1000), -EINVAL);
	s = (struct test_frame_spec){.protocol = TEST_ARP};
	cr_assert_eq(large(&s, 1000), -EINVAL);
	s = good;
	s.payload = 65496; /* 65,536 with headers */
	cr_assert_eq(large(&s, 1000), -EINVAL);
	s.payload--;
	cr_assert_eq(large(&s, 1000), 0);
}

static int csum(const struct test_frame_spec *s, uint32_t ppi)
{
	struct hvsi_frame_request r = {0};
	struct prepared p;

	build(s);
	hvsi_frame_want_csum(&r, ppi);
	return prepare(&p, &r, 0, -1);
}

Test(net_prepare, sums_of_what_has_none_are_refused)
{
	const struct test_frame_spec tcp = {.protocol = TEST_TCP, .payload = 30};
	const struct test_frame_spec icmp = {.protocol = TEST_ICMP, .payload = 30};
	const struct test_frame_spec arp = {.protocol = TEST_ARP};
	const struct test_frame_spec part = {
		.protocol = TEST_UDP, .payload = 30, .fragment = 0x2000};
	struct hvsi_frame_request r = {.flags = HVS_NET_CSUM};
	struct prepared p;

	cr_assert_eq(csum(&tcp, 0x5), 0);
	cr_assert_eq(csum(&tcp, 0x6), 0);  /* says IPv6 */
	cr_assert_eq(csum(&tcp, 0x9), 0);  /* says UDP */
	cr_assert_eq(csum(&icmp, 0xc), 0); /* neither IPv4 nor IPv6: asks for nothing */
	cr_assert_eq(csum(&icmp, 0x5), -EINVAL);
	cr_assert_eq(csum(&arp, 0x5), -EINVAL);
	cr_assert_eq(csum(&part, 0x9), -EINVAL);
	cr_assert_eq(csum(&tcp, 0x5 | 53 << 16), 0); /* the header is said to be there */
	cr_assert_eq(csum(&tcp, 0x5 | 1000 << 16), -EINVAL);

	build(&tcp);
	hvsi_put_be16(asked.b + asked.l3_off + 2, 0); /* IP length */
	cr_assert_eq(prepare(&p, &r, 0, -1), -EINVAL);
	build(&(struct test_frame_spec){.protocol = TEST_UDP, .payload = 30});
	hvsi_put_be16(asked.b + asked.l4_off + 4, 37); /* UDP length */
	cr_assert_eq(prepare(&p, &r, 0, -1), -EINVAL);
	build(&tcp);
	asked.b[asked.l4_off + 12] = 0x40; /* TCP header */
	cr_assert_eq(prepare(&p, &r, 0, -1), -EINVAL);
	r = (struct hvsi_frame_request){.ip4_csum = true};
	asked.b[asked.l3_off] = 0x44; /* no IPv4 header: nothing of ours */
	cr_assert_eq(prepare(&p, &r, 0, -1), 0);
	build(&tcp);
	asked.b[asked.l3_off] = 0x4f;
	asked.len = asked.l3_off + 40; /* ends within the options */
	cr_assert_eq(prepare(&p, &r, 0, -1), -EINVAL);
}

Test(net_prepare, a_tag_that_was_not_pulled_stays_where_it_is)
{
	const struct test_frame_spec s = {
		.protocol = TEST_UDP, .payload = 30, .tags = 1, .tci = {0x2001}};
	const struct hvsi_frame_request r = {0};
	struct prepared p;

	build(&s);
	cr_assert_eq(prepare(&p, &r, 0, -1), 0);
	expect_same(&p.f, 0, -1);
	cr_assert_eq(prepare(&p, &r, ALL, -1), 0);
	expect_same(&p.f, ALL, -1);
}
