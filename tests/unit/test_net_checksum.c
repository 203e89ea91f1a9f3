/* SPDX-License-Identifier: MIT */
#include "vsp/network/checksum.h"

#include "support/frame.h"
#include "util/le.h"
#include "vsp/network/frame.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* All ones and zero are the same number. */
static bool same(uint16_t a, uint16_t b)
{
	return a == b || (a % 0xffff == 0 && b % 0xffff == 0);
}

static uint16_t sum_of(const void *p, size_t len)
{
	struct hvsi_sum s = {0};

	hvsi_sum_bytes(&s, p, len);
	return hvsi_sum_fold(&s);
}

static uint16_t sum_of_pieces(const struct iovec *iov, size_t n, size_t skip, size_t len)
{
	struct hvsi_sum s = {0};

	hvsi_sum_iov(&s, iov, n, skip, len);
	return hvsi_sum_fold(&s);
}

Test(net_checksum, sums_every_length_at_every_alignment)
{
	struct rng rng = {1};
	uint8_t b[200 + 8];

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)rng_next(&rng);
	for (size_t at = 0; at < 8; at++)
		for (size_t len = 0; len <= 200; len++)
			cr_assert(same(sum_of(b + at, len), test_sum(0, b + at, len)), "%zu %zu",
				  at, len);
}

Test(net_checksum, reads_nothing_behind_the_bytes)
{
	uint8_t *pages =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(pages, MAP_FAILED);
	memset(pages, 0x5a, 4096);
	cr_assert_eq(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	for (size_t len = 0; len < 130; len++)
		cr_assert(same(sum_of(pages + 4096 - len, len),
			       test_sum(0, pages + 4096 - len, len)));
	cr_assert_eq(munmap(pages, 8192), 0);
}

Test(net_checksum, no_carry_is_lost)
{
	const size_t len = 65553;
	uint8_t *b = malloc(len);
	struct hvsi_sum s = {0};

	cr_assert(b);
	memset(b, 0xff, len);
	cr_assert_eq(sum_of(b, len), test_sum(0, b, len));
	for (unsigned i = 0; i < 1000; i++)
		hvsi_sum_bytes(&s, b, len - 1);
	cr_assert_eq(hvsi_sum_fold(&s), 0xffff);
	free(b);
}

Test(net_checksum, pieces_of_any_length_are_as_one)
{
	struct rng rng = {2};
	struct iovec iov[40];
	uint8_t b[3000];

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)rng_next(&rng);
	for (unsigned round = 0; round < 3000; round++) {
		const size_t len = rng_below(&rng, sizeof(b) + 1);
		const size_t n = test_frame_cut(&rng, b, len, iov, 40);
		const size_t skip = rng_below(&rng, (uint32_t)len + 1);
		const size_t want = rng_below(&rng, (uint32_t)(len - skip) + 1);

		cr_assert(same(sum_of_pieces(iov, n, skip, want), test_sum(0, b + skip, want)),
			  "%u: %zu bytes from %zu in %zu pieces", round, want, skip, n);
	}
}

Test(net_checksum, what_the_pieces_do_not_have_counts_for_nothing)
{
	uint8_t b[] = {1, 2, 3, 4, 5};
	const struct iovec iov[] = {{b, 3}, {b + 3, 0}, {b + 3, 2}};

	cr_assert_eq(sum_of_pieces(iov, 3, 0, 1000), test_sum(0, b, 5));
	cr_assert_eq(sum_of_pieces(iov, 3, 5, 1000), 0);
	cr_assert_eq(sum_of_pieces(iov, 3, 1000, 1000), 0);
	cr_assert_eq(sum_of_pieces(iov, 0, 0, 1000), 0);
}

Test(net_checksum, words_are_numbers)
{
	struct hvsi_sum s = {0};

	hvsi_sum_word(&s, 0x1234);
	hvsi_sum_word(&s, 0xff00);
	cr_assert_eq(hvsi_sum_fold(&s), 0x1135);
}

/* RFC 1071's example, and a header from a book. */
Test(net_checksum, known_sums)
{
	static const uint8_t rfc1071[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint8_t ip[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
			0x12, 0x34, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

	cr_assert_eq(sum_of(rfc1071, sizeof(rfc1071)), 0xddf2);
	hvsi_ip4_set_csum(ip, sizeof(ip));
	cr_assert_eq(hvsi_get_be16(ip + 10), 0xb861);
}

Test(net_checksum, pseudo_headers_of_both_families)
{
	const struct test_frame_spec specs[] = {{.protocol = TEST_TCP, .payload = 5},
						{.protocol = TEST_UDP, .ip6 = true, .payload = 5}};
	static struct test_frame f;

	for (unsigned i = 0; i < 2; i++) {
		struct hvsi_sum s = {0};

		test_frame_build(&f, &specs[i]);
		hvsi_sum_pseudo(&s, f.b + f.l3_off, f.protocol, 70000);
		cr_assert_eq(hvsi_sum_fold(&s), test_pseudo(f.b + f.l3_off, f.protocol, 70000));
	}
}

static uint16_t completed(struct test_frame *f, size_t headers_len)
{
	uint8_t headers[HVS_NET_MAX_COPIED];
	const struct iovec iov[] = {{f->b, headers_len},
				    {f->b + headers_len, f->len - headers_len}};
	struct hvsi_headers h;

	memcpy(headers, f->b, headers_len);
	cr_assert(hvsi_frame_parse(&h, headers, (uint32_t)headers_len, (uint32_t)f->len));
	cr_assert(hvsi_frame_sum_l4(&h, headers, iov, 2));
	return hvsi_get_be16(headers + f->l4_off + hvsi_l4_csum_off(f->protocol));
}

Test(net_checksum, completes_tcp_and_udp_without_what_ethernet_was_padded_with)
{
	struct rng rng = {3};
	static struct test_frame f;

	for (unsigned i = 0; i < 400; i++) {
		const struct test_frame_spec s = {
			.protocol = i & 1 ? TEST_TCP : TEST_UDP,
			.ip6 = i & 2,
			.payload = rng_below(&rng, 2000),
			.padding = i & 4 ? rng_below(&rng, 50) : 0,
			.ip4_options = (uint8_t)(rng_below(&rng, 11) * 4),
			.tcp_options = (uint8_t)(rng_below(&rng, 11) * 4),
			.seq = (uint32_t)rng_next(&rng),
			.from = (uint16_t)rng_next(&rng),
		};
		uint16_t right;
		uint8_t *field;

		test_frame_build(&f, &s);
		field = f.b + f.l4_off + hvsi_l4_csum_off(s.protocol);
		right = hvsi_get_be16(field);
		hvsi_put_be16(field, 0x4711);
		cr_assert_eq(completed(&f, f.payload_off), right, "%u", i);
		if (f.len >= 200)
			cr_assert_eq(completed(&f, 200), right, "%u", i);
	}
}

/* 0 says that there is no checksum, so UDP has no 0; TCP has. */
Test(net_checksum, udp_sums_of_zero_are_sent_as_ones)
{
	struct test_frame_spec s = {.payload = 2};
	static struct test_frame f;

	for (unsigned i = 0; i < 2; i++) {
		uint8_t *l4;
		uint16_t sum;

		s.protocol = i ? TEST_TCP : TEST_UDP;
		test_frame_build(&f, &s);
		l4 = f.b + f.l4_off;
		hvsi_put_be16(l4 + hvsi_l4_csum_off(s.protocol), 0);
		hvsi_put_be16(f.b + f.payload_off, 0);
		sum = test_sum(test_pseudo(f.b + f.l3_off, s.protocol, f.len - f.l4_off), l4,
			       f.len - f.l4_off);
		hvsi_put_be16(f.b + f.payload_off, (uint16_t)~sum);
		cr_assert_eq(completed(&f, f.payload_off), i ? 0 : 0xffff);
	}
}

Test(net_checksum, frames_without_such_a_header_stay_as_they_are)
{
	const struct test_frame_spec specs[] = {
		{.protocol = TEST_ICMP, .payload = 50},
		{.protocol = TEST_UDP, .payload = 50, .fragment = 0x2000},
		{.protocol = TEST_UDP, .payload = 50, .fragment = 1},
		{.protocol = TEST_ARP},
	};
	static struct test_frame f;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t headers[HVS_NET_MAX_COPIED];
		const struct iovec iov = {f.b, 0};
		struct hvsi_headers h;

		test_frame_build(&f, &specs[i]);
		memcpy(headers, f.b, f.len);
		cr_assert(hvsi_frame_parse(&h, headers, (uint32_t)f.len, (uint32_t)f.len));
		cr_assert_not(hvsi_frame_sum_l4(&h, headers, &iov, 1));
		cr_assert_eq(memcmp(headers, f.b, f.len), 0);
	}
}
