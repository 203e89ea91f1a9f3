/* SPDX-License-Identifier: MIT */
/* What headers say. */
#include "vsp/network/frame.h"

#include "support/frame.h"
#include "util/le.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct test_frame frame;

static struct hvsi_headers parse(const struct test_frame *f)
{
	struct hvsi_headers h;
	const size_t copied = f->len < HVSI_FRAME_COPY ? f->len : HVSI_FRAME_COPY;

	cr_assert(hvsi_frame_parse(&h, f->b, (uint32_t)copied, (uint32_t)f->len));
	return h;
}

static struct hvsi_headers parse_spec(const struct test_frame_spec *s)
{
	test_frame_build(&frame, s);
	return parse(&frame);
}

static struct test_frame_spec random_spec(struct rng *rng)
{
	static const uint8_t protocols[] = {TEST_TCP, TEST_UDP, TEST_ICMP, TEST_ICMP6, 47};
	static const uint8_t exts[] = {0, 43, 60, 51};
	struct test_frame_spec s = {
		.ip6 = rng_below(rng, 2),
		.protocol = protocols[rng_below(rng, 5)],
		.tags = (uint8_t)rng_below(rng, 3),
		.tci = {(uint16_t)rng_next(rng), (uint16_t)rng_next(rng)},
		.ip4_options = (uint8_t)(rng_below(rng, 11) * 4),
		.tcp_options = (uint8_t)(rng_below(rng, 11) * 4),
		.exts = (uint8_t)rng_below(rng, 4),
		.ext_words = (uint8_t)rng_below(rng, 2),
		.payload = 1 + rng_below(rng, 300),
		.from = (uint16_t)rng_next(rng),
		.to = (uint16_t)rng_next(rng),
	};

	s.snap = !s.tags && !rng_below(rng, 4);
	for (unsigned i = 0; i < s.exts; i++)
		s.ext[i] = exts[rng_below(rng, 4)];
	return s;
}

static bool is_looked_into(const struct test_frame_spec *s)
{
	return s->protocol == TEST_TCP || s->protocol == TEST_UDP ||
	       s->protocol == (s->ip6 ? TEST_ICMP6 : TEST_ICMP);
}

static void expect(const struct hvsi_headers *h, const struct test_frame *f,
		   const struct test_frame_spec *s)
{
	const bool ports = s->protocol == TEST_TCP || s->protocol == TEST_UDP;

	cr_assert_eq(h->flags, (s->ip6 ? HVSI_FRAME_IP6 : HVSI_FRAME_IP4) | HVSI_FRAME_PROTOCOL |
				       (s->snap ? HVSI_FRAME_SNAP : 0));
	cr_assert_eq(h->ethertype, s->ip6 ? 0x86dd : 0x0800);
	cr_assert_eq(h->protocol, s->protocol);
	cr_assert_eq(h->l3_off, f->l3_off);
	cr_assert_eq(h->l4_off, is_looked_into(s) ? f->l4_off : 0);
	cr_assert_eq(h->payload_off, ports ? f->payload_off : 0);
	cr_assert_eq(h->end, f->end);
	cr_assert_eq(h->len, f->len);
	cr_assert_eq(h->tagged, s->tags != 0);
	cr_assert_eq(h->tag_inline, s->tags != 0);
	cr_assert_eq(h->vlan_tci, s->tags ? s->tci[0] : 0);
	cr_assert_eq(h->inner_tags, s->tags > 1);
}

Test(net_frame, finds_all_headers_behind_tags_options_and_extension_headers)
{
	struct rng rng = {1};

	for (unsigned i = 0; i < 20000; i++) {
		const struct test_frame_spec s = random_spec(&rng);
		const struct hvsi_headers h = parse_spec(&s);

		expect(&h, &frame, &s);
	}
}

/* Each offset is the whole frame's, or missing; then the parser says so. */
static void expect_part(const struct hvsi_headers *part, const struct hvsi_headers *all)
{
	if (part->flags & (HVSI_FRAME_IP4 | HVSI_FRAME_IP6))
		cr_assert_eq(part->l3_off, all->l3_off);
	if (part->l4_off)
		cr_assert_eq(part->l4_off, all->l4_off);
	if (part->payload_off)
		cr_assert_eq(part->payload_off, all->payload_off);
	cr_assert_leq(part->payload_off, part->copied);
	cr_assert_leq(part->payload_off, part->end);
	cr_assert_eq(part->flags & ~all->flags & ~(HVSI_FRAME_UNREADABLE | HVSI_FRAME_IP_LENGTH),
		     0);
	if (part->l4_off != all->l4_off || part->payload_off != all->payload_off ||
	    (all->flags & ~part->flags))
		cr_assert(part->flags & HVSI_FRAME_UNREADABLE);
}

Test(net_frame, a_copy_cut_anywhere_is_known_as_far_as_it_goes_and_not_read_beyond)
{
	struct rng rng = {2};

	for (unsigned i = 0; i < 300; i++) {
		const struct test_frame_spec s = random_spec(&rng);
		const struct hvsi_headers all = parse_spec(&s);

		for (uint32_t copied = 0; copied <= frame.len && copied < 256; copied++) {
			uint8_t *copy = malloc(copied ? copied : 1);
			struct hvsi_headers cut;
			struct hvsi_headers whole;

			cr_assert(copy);
			memcpy(copy, frame.b, copied);
			cr_assert_eq(hvsi_frame_parse(&cut, copy, copied, (uint32_t)frame.len),
				     copied >= HVS_NET_HEADER_BYTES);
			if (copied >= HVS_NET_HEADER_BYTES) {
				expect_part(&cut, &all);
				/* The same if that is all there is, but for an 802.3 frame. */
				cr_assert(hvsi_frame_parse(&whole, copy, copied, copied));
				if (!s.snap)
					expect_part(&whole, &all);
			}
			free(copy);
		}
	}
}

Test(net_frame, any_bytes_have_offsets_within_the_copy)
{
	static const uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 60};
	struct rng rng = {3};

	for (unsigned i = 0; i < 200000; i++) {
		const uint32_t copied = 14 + rng_below(&rng, 120);
		const uint32_t len = copied + (rng_below(&rng, 2) ? rng_below(&rng, 2000) : 0);
		uint8_t *copy = malloc(copied);
		struct hvsi_headers h;

		cr_assert(copy);
		for (uint32_t n = 0; n < copied; n++)
			copy[n] = rng_below(&rng, 3) ? (uint8_t)rng_next(&rng) : 0;
		hvsi_put_be16(copy + 12, types[rng_below(&rng, 6)]);
		if (copied > 15 && rng_below(&rng, 2))
			copy[14] = rng_below(&rng, 2) ? 0x45 : 0x60;
		cr_assert(hvsi_frame_parse(&h, copy, copied, len));
		cr_assert_leq(h.end, len);
		if (h.flags & HVSI_FRAME_IP4)
			cr_assert_leq(h.l3_off + 20u, copied);
		if (h.flags & HVSI_FRAME_IP6)
			cr_assert_leq(h.l3_off + 40u, copied);
		if (h.flags & HVSI_FRAME_ARP)
			cr_assert_leq(h.l3_off + 28u, copied);
		if (h.l4_off)
			cr_assert_leq(h.l4_off + (h.protocol == TEST_TCP   ? 20u
						  : h.protocol == TEST_UDP ? 8u
									   : 4u),
				      copied);
		if (h.payload_off) {
			cr_assert_leq(h.payload_off, copied);
			cr_assert_leq(h.payload_off, h.end);
			cr_assert_geq(h.payload_off, h.l4_off + 8);
		}
		free(copy);
	}
}

Test(net_frame, fewer_bytes_than_an_ethernet_header_are_no_frame)
{
	static const uint8_t b[14] = {0};
	struct hvsi_headers h;

	cr_assert_not(hvsi_frame_parse(&h, b, 0, 0));
	cr_assert_not(hvsi_frame_parse(&h, b, 13, 13));
	cr_assert(hvsi_frame_parse(&h, b, 14, 14));
	cr_assert_eq(h.flags, 0);
}

Test(net_frame, first_fragments_have_ports_later_ones_have_not)
{
	struct test_frame_spec s = {.protocol = TEST_UDP, .payload = 100, .fragment = 0x2000};
	struct hvsi_headers h = parse_spec(&s);

	cr_assert_eq(h.flags, HVSI_FRAME_IP4 | HVSI_FRAME_PROTOCOL | HVSI_FRAME_FRAGMENT);
	cr_assert_eq(h.l4_off, frame.l4_off);
	for (unsigned more = 0; more < 2; more++) {
		s.fragment = (uint16_t)(more << 13 | 1);
		h = parse_spec(&s);
		cr_assert_eq(h.flags, HVSI_FRAME_IP4 | HVSI_FRAME_PROTOCOL | HVSI_FRAME_FRAGMENT |
					      HVSI_FRAME_LATER);
		cr_assert_eq(h.l4_off, 0);
		cr_assert_eq(h.payload_off, 0);
		cr_assert_eq(h.protocol, TEST_UDP);
	}
	s.fragment = 0x4000; /* must not be fragmented */
	h = parse_spec(&s);
	cr_assert_eq(h.flags, HVSI_FRAME_IP4 | HVSI_FRAME_PROTOCOL);
}

Test(net_frame, fragments_of_ipv6)
{
	struct test_frame_spec s = {.ip6 = true,
				    .protocol = TEST_TCP,
				    .exts = 3,
				    .ext = {0, 44, 60},
				    .payload = 50,
				    .fragment = 1};
	struct hvsi_headers h = parse_spec(&s);

	cr_assert_eq(h.flags, HVSI_FRAME_IP6 | HVSI_FRAME_PROTOCOL | HVSI_FRAME_FRAGMENT);
	cr_assert_eq(h.l4_off, frame.l4_off);
	s.fragment = 8;
	h = parse_spec(&s);
	/* What would follow is a header of the whole packet, so nobody knows what is in this one. */
	cr_assert_eq(h.flags, HVSI_FRAME_IP6 | HVSI_FRAME_FRAGMENT | HVSI_FRAME_LATER);
	s.exts = 2;
	h = parse_spec(&s);
	cr_assert_eq(h.flags,
		     HVSI_FRAME_IP6 | HVSI_FRAME_PROTOCOL | HVSI_FRAME_FRAGMENT | HVSI_FRAME_LATER);
	cr_assert_eq(h.protocol, TEST_TCP);
	cr_assert_eq(h.l4_off, 0);
}

Test(net_frame, a_first_fragment_too_short_for_its_header_says_so)
{
	const struct test_frame_spec s = {.protocol = TEST_TCP, .payload = 50, .fragment = 0x2000};
	struct hvsi_headers h;

	test_frame_build(&frame, &s);
	hvsi_put_be16(frame.b + frame.l3_off + 2, 20 + 8);
	h = parse(&frame);
	cr_assert(h.flags & HVSI_FRAME_UNREADABLE);
	cr_assert(h.flags & HVSI_FRAME_PROTOCOL);
	cr_assert_eq(h.l4_off, 0);
}

Test(net_frame, more_than_eight_extension_headers_are_too_many)
{
	struct test_frame_spec s = {.ip6 = true, .protocol = TEST_UDP, .exts = 8};
	struct hvsi_headers h;

	memset(s.ext, 60, sizeof(s.ext));
	h = parse_spec(&s);
	cr_assert_eq(h.l4_off, frame.l4_off);
	s.exts = 9;
	h = parse_spec(&s);
	cr_assert_eq(h.flags, HVSI_FRAME_IP6 | HVSI_FRAME_UNREADABLE);
	cr_assert_eq(h.l4_off, 0);
}

Test(net_frame, nothing_is_known_behind_an_extension_header_that_is_too_long)
{
	const struct test_frame_spec s = {
		.ip6 = true, .protocol = 47, .exts = 1, .ext = {60}, .payload = 100, .padding = 50};
	struct hvsi_headers h;

	test_frame_build(&frame, &s);
	frame.b[frame.l3_off + 41] = 12; /* 104 of the 108 bytes that there are */
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_IP6 | HVSI_FRAME_PROTOCOL);
	frame.b[frame.l3_off + 41] = 13;
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_IP6 | HVSI_FRAME_UNREADABLE);
}

Test(net_frame, headers_that_contradict_themselves_are_unreadable)
{
	const struct test_frame_spec ip4 = {.protocol = TEST_TCP, .payload = 100};
	const struct test_frame_spec ip6 = {.protocol = TEST_TCP, .payload = 100, .ip6 = true};
	struct hvsi_headers h;

	test_frame_build(&frame, &ip4);
	frame.b[frame.l3_off] = 0x44; /* header of 16 bytes */
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);
	frame.b[frame.l3_off] = 0x65; /* IPv6 in IPv4 */
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);

	test_frame_build(&frame, &ip6);
	frame.b[frame.l3_off] = 0x45;
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);

	test_frame_build(&frame, &ip4);
	frame.b[frame.l4_off + 12] = 0x40; /* TCP header of 16 bytes */
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_IP4 | HVSI_FRAME_PROTOCOL | HVSI_FRAME_UNREADABLE);
	cr_assert_eq(h.l4_off, frame.l4_off);
	cr_assert_eq(h.payload_off, 0);
}

Test(net_frame, an_ip_length_that_is_nonsense_is_told)
{
	const struct test_frame_spec s = {.protocol = TEST_UDP, .payload = 10, .padding = 20};
	const struct test_frame_spec ip6 = {.protocol = TEST_UDP, .payload = 10, .ip6 = true};
	static const uint16_t bad[] = {0, 19, 59, 0xffff};
	struct hvsi_headers h = parse_spec(&s);

	cr_assert_eq(h.end, frame.len - 20);
	for (unsigned i = 0; i < 4; i++) {
		hvsi_put_be16(frame.b + frame.l3_off + 2, bad[i]);
		h = parse(&frame);
		cr_assert_eq(h.flags, HVSI_FRAME_IP4 | HVSI_FRAME_PROTOCOL | HVSI_FRAME_IP_LENGTH);
		cr_assert_eq(h.end, frame.len);
		cr_assert_eq(h.l4_off, frame.l4_off);
	}
	test_frame_build(&frame, &ip6);
	hvsi_put_be16(frame.b + frame.l3_off + 4, 0);
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_IP6 | HVSI_FRAME_PROTOCOL | HVSI_FRAME_IP_LENGTH);
	cr_assert_eq(h.payload_off, frame.payload_off);
}

Test(net_frame, arp_is_that_of_ipv4_over_ethernet)
{
	struct test_frame_spec s = {.protocol = TEST_ARP, .padding = 18};
	struct hvsi_headers h = parse_spec(&s);

	cr_assert_eq(h.flags, HVSI_FRAME_ARP);
	cr_assert_eq(h.l3_off, 14);
	cr_assert_eq(h.l4_off, 0);
	s.tags = 1;
	s.tci[0] = 5;
	h = parse_spec(&s);
	cr_assert_eq(h.flags, HVSI_FRAME_ARP);
	cr_assert_eq(h.l3_off, 18);
	for (uint32_t copied = 18; copied < 18 + 28; copied++) {
		cr_assert(hvsi_frame_parse(&h, frame.b, copied, (uint32_t)frame.len));
		cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);
	}
	frame.b[18 + 4] = 8; /* longer hardware addresses */
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);
}

Test(net_frame, other_ethertypes_and_plain_llc_are_readable_and_nothing_more)
{
	uint8_t b[60] = {0};
	struct hvsi_headers h;

	hvsi_put_be16(b + 12, 0x88cc);
	cr_assert(hvsi_frame_parse(&h, b, sizeof(b), sizeof(b)));
	cr_assert_eq(h.flags, 0);
	cr_assert_eq(h.ethertype, 0x88cc);
	hvsi_put_be16(b + 12, 38);
	memcpy(b + 14, "\x42\x42\x03", 3); /* spanning tree */
	cr_assert(hvsi_frame_parse(&h, b, sizeof(b), sizeof(b)));
	cr_assert_eq(h.flags, 0);
	cr_assert_eq(h.ethertype, 0);
	/* The copy, not the frame, ends before it can be told. */
	cr_assert(hvsi_frame_parse(&h, b, 18, sizeof(b)));
	cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);
	cr_assert(hvsi_frame_parse(&h, b, 18, 18));
	cr_assert_eq(h.flags, 0);
}

Test(net_frame, tags_hidden_behind_snap_and_third_tags_are_unreadable)
{
	struct test_frame_spec s = {.protocol = TEST_UDP, .tags = 3, .tci = {1, 2, 3}};
	struct hvsi_headers h = parse_spec(&s);

	cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);
	cr_assert_eq(h.vlan_tci, 1);
	cr_assert_eq(h.inner_tags, 2);
	s = (struct test_frame_spec){.protocol = TEST_UDP, .snap = true};
	test_frame_build(&frame, &s);
	hvsi_put_be16(frame.b + 20, 0x8100);
	h = parse(&frame);
	cr_assert_eq(h.flags, HVSI_FRAME_SNAP | HVSI_FRAME_UNREADABLE);
	memcpy(frame.b + 17, "\0\0\xf8", 3);
	hvsi_put_be16(frame.b + 20, 0x0800);
	h = parse(&frame);
	cr_assert_eq(h.l4_off, frame.l4_off);
}

Test(net_frame, a_service_tag_is_no_vlan_of_ours)
{
	const struct test_frame_spec s = {
		.protocol = TEST_UDP, .tags = 2, .tci = {7, 8}, .tag_type = 0x88a8};
	const struct hvsi_headers h = parse_spec(&s);

	cr_assert_not(h.tagged);
	cr_assert_eq(h.inner_tags, 2);
	cr_assert_eq(h.l4_off, frame.l4_off);
}

Test(net_frame, a_frame_that_ends_within_its_tag_is_tagged_all_the_same)
{
	uint8_t b[18] = {0};
	struct hvsi_headers h;

	hvsi_put_be16(b + 12, 0x8100);
	for (uint32_t len = 14; len < 18; len++) {
		cr_assert(hvsi_frame_parse(&h, b, len, len));
		cr_assert_eq(h.flags, HVSI_FRAME_UNREADABLE);
		cr_assert_not(h.tagged);
		cr_assert_eq(h.inner_tags, 1);
	}
	cr_assert(hvsi_frame_parse(&h, b, 18, 18));
	cr_assert(h.tagged);
}

Test(net_frame, a_tag_is_pulled_out_and_pushed_in_again)
{
	struct rng rng = {4};

	for (unsigned i = 0; i < 500; i++) {
		struct test_frame_spec s = random_spec(&rng);
		uint8_t copy[HVS_NET_MAX_COPIED];
		struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .flags = HVS_NET_VLAN};
		struct hvsi_headers again;
		struct hvsi_headers h;
		struct iovec first;
		uint8_t *begin;

		s.snap = false;
		s.tags = (uint8_t)(1 + rng_below(&rng, 2));
		s.payload = 1;
		test_frame_build(&frame, &s);
		cr_assert_leq(frame.len, HVSI_FRAME_COPY);
		memcpy(copy, frame.b, frame.len);
		cr_assert(hvsi_frame_parse(&h, copy, (uint32_t)frame.len, (uint32_t)frame.len));
		begin = hvsi_frame_pull_tag(&h, copy);

		/* As if it had never been there. */
		cr_assert_eq(begin, copy + HVSI_TAG_BYTES);
		cr_assert(hvsi_frame_parse(&again, begin, (uint32_t)frame.len - 4,
					   (uint32_t)frame.len - 4));
		cr_assert_eq(h.bytes, begin);
		cr_assert_eq(h.copied, frame.len - 4);
		cr_assert_eq(h.len, again.len);
		cr_assert_eq(h.end, again.end);
		cr_assert_eq(h.flags, again.flags);
		cr_assert_eq(h.l3_off, again.l3_off);
		cr_assert_eq(h.l4_off, again.l4_off);
		cr_assert_eq(h.payload_off, again.payload_off);
		cr_assert(h.tagged);
		cr_assert_not(h.tag_inline);
		cr_assert_eq(h.vlan_tci, s.tci[0]);

		first = (struct iovec){begin, frame.len - 4};
		f.len = h.len;
		f.l3_off = h.l3_off;
		f.l4_off = h.l4_off;
		f.payload_off = h.payload_off;
		f.vlan_tci = h.vlan_tci;
		hvsi_frame_push_tag(&f, &first);
		cr_assert_eq(first.iov_base, copy);
		cr_assert_eq(first.iov_len, frame.len);
		cr_assert_eq(memcmp(copy, frame.b, frame.len), 0);
		cr_assert_eq(f.flags, 0);
		cr_assert_eq(f.len, frame.len);
		cr_assert_eq(f.l3_off, frame.l3_off);
		cr_assert_eq(f.l4_off, h.l4_off ? frame.l4_off : 0);
	}
}

Test(net_frame, the_tag_of_the_metadata_is_outside_that_among_the_bytes)
{
	const struct test_frame_spec s = {.protocol = TEST_UDP, .tags = 1, .tci = {7}};
	struct hvsi_headers h = parse_spec(&s);

	hvsi_frame_tagged(&h, 0x6005);
	cr_assert(h.tagged);
	cr_assert_not(h.tag_inline);
	cr_assert_eq(h.inner_tags, 1);
	cr_assert_eq(h.vlan_tci, 0x6005);
}

/* Priority 5, drop eligible, VLAN 0x123: as RNDIS says it, and as it is on the wire. */
Test(net_frame, tags_of_rndis_and_of_the_wire)
{
	cr_assert_eq(hvsi_tci_from_ppi(5 | 8 | 0x123 << 4), 0xb123);
	cr_assert_eq(hvsi_tci_to_ppi(0xb123), 5 | 8 | 0x123 << 4);
	for (uint32_t tci = 0; tci <= 0xffff; tci++)
		cr_assert_eq(hvsi_tci_from_ppi(hvsi_tci_to_ppi((uint16_t)tci)), tci);
	cr_assert_eq(hvsi_tci_from_ppi(0xffffffff), 0xffff);
}
