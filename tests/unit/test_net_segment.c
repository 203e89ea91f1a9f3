/* SPDX-License-Identifier: MIT */
#include "vsp/network/segment.h"

#include "support/frame.h"
#include "util/le.h"
#include "vsp/network/frame.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static struct test_frame large;

/* A large frame as hvsi_frame_prepare() makes it. */
static struct hvs_net_frame describe(const struct test_frame *f, uint16_t mss,
				     const struct iovec *iov, size_t n)
{
	return (struct hvs_net_frame){
		HVS_NET_FRAME_INIT,
		.flags = HVS_NET_CSUM | (f->protocol == TEST_TCP ? HVS_NET_TSO : HVS_NET_USO),
		.len = (uint32_t)f->len,
		.l3_off = (uint16_t)f->l3_off,
		.l4_off = (uint16_t)f->l4_off,
		.payload_off = (uint16_t)f->payload_off,
		.mss = mss,
		.iov = iov,
		.iovcnt = (uint16_t)n,
	};
}

static struct test_frame_spec random_spec(struct rng *rng)
{
	static const uint8_t exts[] = {0, 43, 60, 51};
	struct test_frame_spec s = {
		.ip6 = rng_below(rng, 2),
		.protocol = rng_below(rng, 2) ? TEST_TCP : TEST_UDP,
		.tags = (uint8_t)rng_below(rng, 3),
		.ip4_options = (uint8_t)(rng_below(rng, 11) * 4),
		.tcp_options = (uint8_t)(rng_below(rng, 11) * 4),
		.tcp_flags = (uint8_t)rng_next(rng),
		.exts = (uint8_t)rng_below(rng, 3),
		.payload = 1 + rng_below(rng, rng_below(rng, 2) ? 60000 : 3000),
		.id = (uint16_t)rng_next(rng),
		.seq = (uint32_t)rng_next(rng),
		.from = (uint16_t)rng_next(rng),
		.to = (uint16_t)rng_next(rng),
	};

	for (unsigned i = 0; i < s.exts; i++)
		s.ext[i] = exts[rng_below(rng, 4)];
	return s;
}

static void expect_tcp(const uint8_t *l4, uint32_t i, uint32_t count, uint32_t mss)
{
	const uint8_t *from = large.b + large.l4_off;
	uint8_t flags = from[13];

	if (i)
		flags &= (uint8_t)~TEST_CWR;
	if (i + 1 < count)
		flags &= (uint8_t) ~(TEST_FIN | TEST_PSH);
	cr_assert_eq(l4[13], flags);
	cr_assert_eq(hvsi_get_be32(l4 + 4), hvsi_get_be32(from + 4) + i * mss);
	cr_assert_eq(memcmp(l4 + 8, from + 8, 5), 0);
	cr_assert_eq(memcmp(l4 + 14, from + 14, 2), 0);
	cr_assert_eq(memcmp(l4 + 18, from + 18, large.payload_off - large.l4_off - 18), 0);
}

static void expect_segment(const struct hvs_net_frame *f, uint32_t i, uint32_t count, uint32_t mss,
			   bool csum_left)
{
	static uint8_t b[TEST_FRAME_MAX];
	const size_t len = test_frame_linear(f, b);
	const uint32_t payload = (uint32_t)(large.len - large.payload_off);
	const uint32_t mine = i + 1 < count ? mss : payload - i * mss;
	static struct test_frame out;
	const char *wrong = test_frame_check(b, len, !csum_left, &out);

	cr_assert_null(wrong, "%s", wrong);
	cr_assert_eq(f->len, len);
	cr_assert_eq(f->size, sizeof(*f));
	cr_assert_eq(f->flags, csum_left ? HVS_NET_CSUM : 0);
	cr_assert_eq(f->mss, 0);
	cr_assert_eq(out.l3_off, large.l3_off);
	cr_assert_eq(out.l4_off, large.l4_off);
	cr_assert_eq(out.payload_off, large.payload_off);
	cr_assert_eq(f->payload_off, large.payload_off);
	cr_assert_eq(len, large.payload_off + mine);
	cr_assert_eq(
		memcmp(b + out.payload_off, large.b + large.payload_off + (size_t)i * mss, mine),
		0);
	cr_assert_eq(memcmp(b, large.b, large.l3_off), 0);
	if (!large.ip6)
		cr_assert_eq(hvsi_get_be16(b + out.l3_off + 4),
			     (uint16_t)(hvsi_get_be16(large.b + large.l3_off + 4) + i));
	if (large.protocol == TEST_TCP)
		expect_tcp(b + out.l4_off, i, count, mss);
}

static void cut(const struct iovec *iov, size_t n, uint16_t mss, bool csum_left)
{
	const struct hvs_net_frame f = describe(&large, mss, iov, n);
	const uint32_t payload = (uint32_t)(large.len - large.payload_off);
	const uint32_t count = (payload + mss - 1) / mss;
	uint8_t original[HVS_NET_MAX_COPIED];
	uint8_t headers[HVS_NET_MAX_COPIED];
	struct iovec pieces[64];
	struct hvsi_segments s;
	struct hvs_net_frame out;

	memcpy(original, large.b, large.payload_off);
	cr_assert_eq(hvsi_segments_start(&s, &f, original, csum_left), 0);
	cr_assert_eq(s.count, count);
	for (uint32_t i = 0; i < count; i++) {
		cr_assert_eq(hvsi_segments_next(&s, headers, pieces, n + 1, &out), 1);
		expect_segment(&out, i, count, mss, csum_left);
	}
	cr_assert_eq(hvsi_segments_next(&s, headers, pieces, n + 1, &out), 0);
	cr_assert_eq(memcmp(original, large.b, large.payload_off), 0);
}

Test(net_segment, segments_are_good_frames_that_make_up_the_large_one)
{
	struct rng rng = {1};

	for (unsigned round = 0; round < 300; round++) {
		const struct test_frame_spec s = random_spec(&rng);
		const uint16_t mss =
			(uint16_t)(HVSI_SEGMENT_SMALL + rng_below(&rng, round & 1 ? 1500 : 40000));
		struct iovec iov[40];
		size_t n;

		test_frame_build(&large, &s);
		n = test_frame_cut(&rng, large.b, large.len, iov, 40);
		cut(iov, n, mss, round & 2);
	}
}

Test(net_segment, a_tag_of_the_metadata_is_that_of_each_segment)
{
	const struct test_frame_spec spec = {.protocol = TEST_TCP, .payload = 3000};
	uint8_t headers[HVS_NET_MAX_COPIED];
	struct hvs_net_frame out;
	struct hvsi_segments s;
	struct iovec pieces[2];
	struct hvs_net_frame f;
	struct iovec iov;

	test_frame_build(&large, &spec);
	iov = (struct iovec){large.b, large.len};
	f = describe(&large, 1000, &iov, 1);
	f.flags |= HVS_NET_VLAN;
	f.vlan_tci = 0x2007;
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, true), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(hvsi_segments_next(&s, headers, pieces, 2, &out), 1);
		cr_assert_eq(out.flags, HVS_NET_CSUM | HVS_NET_VLAN);
		cr_assert_eq(out.vlan_tci, 0x2007);
	}
}

Test(net_segment, payload_in_more_pieces_than_there_is_room_for)
{
	const struct test_frame_spec spec = {.protocol = TEST_UDP, .payload = 400};
	uint8_t headers[HVS_NET_MAX_COPIED];
	struct hvs_net_frame out;
	struct hvsi_segments s;
	struct iovec pieces[5];
	struct hvs_net_frame f;
	struct iovec iov[5];

	test_frame_build(&large, &spec);
	iov[0] = (struct iovec){large.b, large.payload_off};
	for (unsigned i = 0; i < 4; i++)
		iov[1 + i] = (struct iovec){large.b + large.payload_off + i * 100, 100};
	f = describe(&large, 300, iov, 5);
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), 0);
	cr_assert_eq(hvsi_segments_next(&s, headers, pieces, 3, &out), -ENOBUFS);
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), 0);
	cr_assert_eq(hvsi_segments_next(&s, headers, pieces, 1, &out), -ENOBUFS);
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), 0);
	cr_assert_eq(hvsi_segments_next(&s, headers, pieces, 4, &out), 1);
	cr_assert_eq(out.iovcnt, 4);
	cr_assert_eq(hvsi_segments_next(&s, headers, pieces, 4, &out), 1);
	cr_assert_eq(out.iovcnt, 2);
}

/* 0 says that there is no checksum. */
Test(net_segment, a_udp_sum_of_zero_is_sent_as_ones)
{
	const struct test_frame_spec spec = {.protocol = TEST_UDP, .payload = 300};
	uint8_t headers[HVS_NET_MAX_COPIED];
	struct hvs_net_frame out;
	struct hvsi_segments s;
	struct iovec pieces[2];
	struct hvs_net_frame f;
	struct iovec iov;
	uint16_t sum;

	test_frame_build(&large, &spec);
	iov = (struct iovec){large.b, large.len};
	f = describe(&large, 200, &iov, 1);
	hvsi_put_be16(large.b + large.payload_off, 0);
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), 0);
	cr_assert_eq(hvsi_segments_next(&s, headers, pieces, 2, &out), 1);
	sum = hvsi_get_be16(headers + large.l4_off + 6);
	hvsi_put_be16(large.b + large.payload_off, sum); /* makes up for all the rest */
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), 0);
	cr_assert_eq(hvsi_segments_next(&s, headers, pieces, 2, &out), 1);
	cr_assert_eq(hvsi_get_be16(headers + large.l4_off + 6), 0xffff);
}

Test(net_segment, small_segments_only_if_they_are_few)
{
	cr_assert_not(hvsi_segments_allowed(0, 100));
	cr_assert_not(hvsi_segments_allowed(100, 0));
	cr_assert(hvsi_segments_allowed(1, 128));
	cr_assert_not(hvsi_segments_allowed(1, 129));
	cr_assert(hvsi_segments_allowed(63, 63 * 128));
	cr_assert_not(hvsi_segments_allowed(63, 63 * 128 + 1));
	cr_assert(hvsi_segments_allowed(64, 65535));
	cr_assert(hvsi_segments_allowed(65535, 65535));
	cr_assert_not(hvsi_segments_allowed(65536, 65535));
	cr_assert_not(hvsi_segments_allowed(1460, HVS_NET_MAX_FRAME + 1));
	cr_assert_leq((65535 + HVSI_SEGMENT_SMALL - 1) / HVSI_SEGMENT_SMALL, HVSI_SEGMENTS_MAX);
}

Test(net_segment, offsets_that_make_no_sense_are_refused)
{
	const struct test_frame_spec spec = {.protocol = TEST_TCP, .payload = 3000};
	const struct test_frame_spec ip6 = {.protocol = TEST_UDP, .payload = 3000, .ip6 = true};
	struct hvs_net_frame good;
	struct hvs_net_frame f;
	struct hvsi_segments s;
	struct iovec iov;

	test_frame_build(&large, &spec);
	iov = (struct iovec){large.b, large.len};
	good = describe(&large, 1000, &iov, 1);
	cr_assert_eq(hvsi_segments_start(&s, &good, large.b, false), 0);
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		f = good;                                                                          \
		change;                                                                            \
		cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), -EINVAL);                \
	} while (0)
	REFUSED(f.l3_off = 13);
	REFUSED(f.l4_off = f.l3_off);
	REFUSED(f.l4_off = (uint16_t)(f.l3_off + 19));
	REFUSED(f.payload_off = (uint16_t)(f.l4_off + 19));
	REFUSED(f.payload_off = HVS_NET_MAX_COPIED + 1);
	REFUSED(f.len = f.payload_off);
	REFUSED(f.len = 20);
	REFUSED(f.mss = 0);
	REFUSED(f.mss = 1);
	REFUSED(f.len = 80000);

	test_frame_build(&large, &ip6);
	good = describe(&large, 1000, &iov, 1);
	cr_assert_eq(hvsi_segments_start(&s, &good, large.b, false), 0);
	REFUSED(f.l4_off = (uint16_t)(f.l3_off + 39));
	REFUSED(f.payload_off = (uint16_t)(f.l4_off + 7));
}

/* A frame of a back end may be as long; what it is cut into may not. */
Test(net_segment, no_segment_exceeds_an_ip_packet)
{
	const struct test_frame_spec spec = {.protocol = TEST_TCP, .payload = 65495};
	struct hvs_net_frame f;
	struct hvsi_segments s;
	struct iovec iov;

	test_frame_build(&large, &spec);
	iov = (struct iovec){large.b, large.len};
	f = describe(&large, 65495, &iov, 1);
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), 0);
	f.len++;
	f.mss++;
	cr_assert_eq(hvsi_segments_start(&s, &f, large.b, false), -EINVAL);
}

struct guest {
	uint8_t *memory;
	size_t len;
	atomic_bool stop;
};

static void *scribble(void *arg)
{
	struct guest *g = arg;
	struct rng rng = {7};

	while (!atomic_load(&g->stop))
		((volatile uint8_t *)g->memory)[rng_below(&rng, (uint32_t)g->len)] ^= 0xff;
	return NULL;
}

/* Everything of the segments' headers but the checksum is from the private copy. */
Test(net_segment, a_guest_that_changes_its_memory_changes_no_header)
{
	const struct test_frame_spec spec = {.protocol = TEST_TCP, .payload = 20000};
	uint8_t original[HVS_NET_MAX_COPIED];
	struct guest g = {0};
	pthread_t thread;

	test_frame_build(&large, &spec);
	memcpy(original, large.b, large.payload_off);
	g.memory = large.b;
	g.len = large.len;
	cr_assert_eq(pthread_create(&thread, NULL, scribble, &g), 0);
	for (unsigned round = 0; round < 200; round++) {
		const struct iovec iov[] = {{original, large.payload_off},
					    {large.b + large.payload_off, 20000}};
		const struct hvs_net_frame f = describe(&large, 1448, iov, 2);
		uint8_t headers[HVS_NET_MAX_COPIED];
		struct hvs_net_frame out;
		struct iovec pieces[3];
		struct hvsi_segments s;
		uint32_t sum = 0;

		cr_assert_eq(hvsi_segments_start(&s, &f, original, false), 0);
		while (hvsi_segments_next(&s, headers, pieces, 3, &out)) {
			cr_assert_eq(memcmp(headers, original, large.l3_off + 2), 0);
			cr_assert_eq(hvsi_get_be16(headers + large.l3_off + 2),
				     out.len - large.l3_off);
			cr_assert_eq(memcmp(headers + large.l4_off, original + large.l4_off, 4), 0);
			sum += out.len - out.payload_off;
		}
		cr_assert_eq(sum, 20000);
	}
	atomic_store(&g.stop, true);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}
