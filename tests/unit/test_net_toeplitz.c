/* SPDX-License-Identifier: MIT */
#include "vsp/network/toeplitz.h"

#include "support/frame.h"
#include "util/le.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t key[HVSI_TOEPLITZ_KEY] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static struct hvsi_toeplitz table;
static struct test_frame frame;

/* As it is defined: for each bit that is set, the key from that bit on. */
static uint32_t slow(const uint8_t *k, const uint8_t *in, size_t len)
{
	uint64_t window = hvsi_get_be64(k);
	uint32_t hash = 0;

	for (size_t bit = 0; bit < len * 8; bit++) {
		const size_t next = bit + 64;

		if (in[bit / 8] & 0x80 >> bit % 8)
			hash ^= (uint32_t)(window >> 32);
		window <<= 1;
		if (next < HVSI_TOEPLITZ_KEY * 8 && k[next / 8] & 0x80 >> next % 8)
			window |= 1;
	}
	return hash;
}

Test(net_toeplitz, is_what_the_definition_says_for_any_key)
{
	struct rng rng = {1};

	for (unsigned round = 0; round < 50; round++) {
		uint8_t k[HVSI_TOEPLITZ_KEY];
		uint8_t in[HVSI_TOEPLITZ_MAX];

		for (unsigned i = 0; i < sizeof(k); i++)
			k[i] = (uint8_t)rng_next(&rng);
		hvsi_toeplitz_init(&table, k);
		for (size_t len = 0; len <= sizeof(in); len++) {
			for (unsigned i = 0; i < sizeof(in); i++)
				in[i] = (uint8_t)rng_next(&rng);
			cr_assert_eq(hvsi_toeplitz_hash(&table, in, len), slow(k, in, len));
		}
		cr_assert_eq(hvsi_toeplitz_hash(&table, in, 1000), slow(k, in, sizeof(in)));
	}
}

static uint32_t hash(const struct test_frame_spec *s, uint32_t types, uint32_t *type)
{
	struct hvsi_headers h;
	uint32_t value = 0x5a5a;

	test_frame_build(&frame, s);
	hvsi_toeplitz_init(&table, key);
	cr_assert(hvsi_frame_parse(&h, frame.b, (uint32_t)frame.len, (uint32_t)frame.len));
	*type = hvsi_frame_hash(&table, types, &h, &value);
	return value;
}

/* The verification suite of Microsoft's RSS specification. */
static const struct vector {
	struct test_frame_spec s;
	uint32_t two;
	uint32_t four;
} vectors[] = {
	{{.src = {66, 9, 149, 187}, .dst = {161, 142, 100, 80}, .from = 2794, .to = 1766},
	 0x323e8fc2,
	 0x51ccc178},
	{{.src = {199, 92, 111, 2}, .dst = {65, 69, 140, 83}, .from = 14230, .to = 4739},
	 0xd718262a,
	 0xc626b0ea},
	{{.ip6 = true,
	  .src = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
	  .dst = {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1},
	  .from = 2794,
	  .to = 1766},
	 0x2cc18cd5,
	 0x40207d3d},
};

#define IP (HVSI_HASH_IP4 | HVSI_HASH_IP6)
#define TCP (HVSI_HASH_TCP4 | HVSI_HASH_TCP6)
#define UDP (HVSI_HASH_UDP4 | HVSI_HASH_UDP6)

Test(net_toeplitz, known_flows)
{
	for (unsigned i = 0; i < 3; i++) {
		const struct vector *v = &vectors[i];
		struct test_frame_spec s = v->s;
		const uint32_t ip = s.ip6 ? HVSI_HASH_IP6 : HVSI_HASH_IP4;
		const uint32_t tcp = s.ip6 ? HVSI_HASH_TCP6 : HVSI_HASH_TCP4;
		const uint32_t udp = s.ip6 ? HVSI_HASH_UDP6 : HVSI_HASH_UDP4;
		uint32_t type;

		s.protocol = TEST_TCP;
		cr_assert_eq(hash(&s, IP | TCP, &type), v->four);
		cr_assert_eq(type, tcp);
		cr_assert_eq(hash(&s, IP | UDP, &type), v->two);
		cr_assert_eq(type, ip);
		cr_assert_eq(hash(&s, TCP, &type), v->four);
		cr_assert_eq(hash(&s, UDP, &type), 0);
		cr_assert_eq(type, 0);
		s.protocol = TEST_UDP;
		cr_assert_eq(hash(&s, IP | TCP, &type), v->two);
		cr_assert_eq(type, ip);
		cr_assert_eq(hash(&s, IP | TCP | UDP, &type), v->four);
		cr_assert_eq(type, udp);
		s.protocol = 47;
		cr_assert_eq(hash(&s, IP | TCP | UDP, &type), v->two);
		cr_assert_eq(type, ip);
		cr_assert_eq(hash(&s, 0, &type), 0);
		cr_assert_eq(type, 0);
	}
}

Test(net_toeplitz, all_fragments_of_a_packet_have_the_same_hash)
{
	static const uint16_t fields[2][2] = {{0x2000, 0x0001}, {0x0001, 0x0008}};

	for (unsigned i = 0; i < 3; i++) {
		struct test_frame_spec s = vectors[i].s;
		uint32_t type;

		s.protocol = TEST_TCP;
		s.payload = 100;
		if (s.ip6) {
			s.exts = 1;
			s.ext[0] = 44;
		}
		for (unsigned later = 0; later < 2; later++) {
			s.fragment = fields[s.ip6][later];
			cr_assert_eq(hash(&s, IP | TCP, &type), vectors[i].two);
			cr_assert_eq(hash(&s, TCP, &type), 0);
		}
	}
}

Test(net_toeplitz, options_extension_headers_and_tags_change_nothing)
{
	for (unsigned i = 0; i < 3; i++) {
		struct test_frame_spec s = vectors[i].s;
		uint32_t type;

		s.protocol = TEST_TCP;
		s.ip4_options = 12;
		s.tags = 1;
		s.exts = 2;
		s.ext[0] = 0;
		s.ext[1] = 60;
		cr_assert_eq(hash(&s, IP | TCP, &type), vectors[i].four);
	}
}

Test(net_toeplitz, frames_without_ip_or_with_unreadable_headers)
{
	const struct test_frame_spec arp = {.protocol = TEST_ARP};
	struct test_frame_spec s = vectors[0].s;
	struct hvsi_headers h;
	uint32_t value;
	uint32_t type;

	cr_assert_eq(hash(&arp, IP | TCP | UDP, &type), 0);
	cr_assert_eq(type, 0);
	s.protocol = TEST_TCP;
	test_frame_build(&frame, &s);
	cr_assert(hvsi_frame_parse(&h, frame.b, 14 + 20 + 10, (uint32_t)frame.len));
	cr_assert_eq(hvsi_frame_hash(&table, IP | TCP, &h, &value), HVSI_HASH_IP4);
	cr_assert_eq(value, vectors[0].two);
}

/* The addresses of vector 2 in a home address option and a routing header of type 2. */
static void make_mobile(const struct test_frame_spec *s)
{
	uint8_t *ext;

	test_frame_build(&frame, s);
	ext = frame.b + frame.l3_off + 40;
	ext[2] = 1; /* PadN of 4 bytes */
	ext[3] = 2;
	ext[6] = 0xc9;
	ext[7] = 16;
	memcpy(ext + 8, vectors[2].s.src, 16);
	ext += 24;
	ext[2] = 2;
	memcpy(ext + 8, vectors[2].s.dst, 16);
}

Test(net_toeplitz, mobile_addresses_count_where_asked)
{
	const struct test_frame_spec s = {.ip6 = true,
					  .protocol = TEST_TCP,
					  .exts = 2,
					  .ext = {60, 43},
					  .ext_words = 2,
					  .from = 2794,
					  .to = 1766};
	struct test_frame_spec plain = vectors[2].s;
	struct hvsi_headers h;
	uint32_t value;
	uint32_t type;

	hvsi_toeplitz_init(&table, key);
	make_mobile(&s);
	cr_assert(hvsi_frame_parse(&h, frame.b, (uint32_t)frame.len, (uint32_t)frame.len));
	cr_assert_eq(hvsi_frame_hash(&table, HVSI_HASH_TCP6_EX | TCP, &h, &value),
		     HVSI_HASH_TCP6_EX);
	cr_assert_eq(value, vectors[2].four);
	cr_assert_eq(hvsi_frame_hash(&table, HVSI_HASH_IP6_EX, &h, &value), HVSI_HASH_IP6_EX);
	cr_assert_eq(value, vectors[2].two);
	cr_assert_eq(hvsi_frame_hash(&table, TCP, &h, &value), HVSI_HASH_TCP6);
	cr_assert_neq(value, vectors[2].four);
	/* An option that is too long is none. */
	frame.b[frame.l3_off + 40 + 7] = 17;
	cr_assert_eq(hvsi_frame_hash(&table, HVSI_HASH_IP6_EX, &h, &value), HVSI_HASH_IP6_EX);
	cr_assert_neq(value, vectors[2].two);
	/* Without such headers the sister types are the same. */
	plain.protocol = TEST_UDP;
	cr_assert_eq(hash(&plain, HVSI_HASH_UDP6_EX, &type), vectors[2].four);
	cr_assert_eq(type, HVSI_HASH_UDP6_EX);
}

Test(net_toeplitz, extension_headers_of_any_bytes_are_not_read_beyond)
{
	struct test_frame_spec s = {
		.ip6 = true, .protocol = TEST_TCP, .exts = 3, .ext = {0, 60, 43}, .ext_words = 2};
	struct rng rng = {5};

	hvsi_toeplitz_init(&table, key);
	for (unsigned i = 0; i < 50000; i++) {
		uint8_t *copy;
		struct hvsi_headers h;
		uint32_t copied;
		uint32_t value;

		test_frame_build(&frame, &s);
		for (size_t n = frame.l3_off + 40; n < frame.l4_off; n++)
			if (!rng_below(&rng, 3))
				frame.b[n] = (uint8_t)rng_next(&rng);
		copied = 54 + rng_below(&rng, (uint32_t)frame.len - 53);
		copy = malloc(copied);
		cr_assert(copy);
		memcpy(copy, frame.b, copied);
		cr_assert(hvsi_frame_parse(&h, copy, copied, (uint32_t)frame.len));
		cr_assert_neq(
			hvsi_frame_hash(&table, HVSI_HASH_IP6_EX | HVSI_HASH_TCP6_EX, &h, &value),
			0);
		free(copy);
	}
}
