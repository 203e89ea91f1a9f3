/* SPDX-License-Identifier: MIT */
/* Frames by description, and a slow second opinion about those that come out somewhere. */
#ifndef TESTS_SUPPORT_FRAME_H
#define TESTS_SUPPORT_FRAME_H

#include "support/rng.h"

#include <hvstack/network.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEST_TCP 6u
#define TEST_UDP 17u
#define TEST_ICMP 1u
#define TEST_ICMP6 58u
#define TEST_ARP 255u /* no IP */

#define TEST_FIN 0x01u
#define TEST_PSH 0x08u
#define TEST_ACK 0x10u
#define TEST_CWR 0x80u

#define TEST_FRAME_MAX 66000u

struct test_frame_spec {
	bool ip6;
	uint8_t protocol;
	uint8_t tags;
	uint16_t tci[4];
	uint16_t tag_type; /* of the first; 0: 802.1Q */
	bool snap;
	uint8_t ip4_options; /* bytes: a multiple of 4 */
	uint8_t exts;
	uint8_t ext[10];     /* types of IPv6 extension headers */
	uint8_t ext_words;   /* of 8 bytes each has more than it must */
	uint16_t fragment;   /* IPv4: that field; IPv6: that of extension header 44 */
	uint8_t tcp_options; /* bytes: a multiple of 4 */
	uint8_t tcp_flags;
	uint16_t from; /* ports; ICMP: type */
	uint16_t to;
	uint16_t id;
	uint32_t seq;
	uint32_t payload; /* bytes */
	uint32_t padding; /* behind the IP packet */
	uint8_t src[16];  /* 4 of IPv4; 0: some */
	uint8_t dst[16];
};

struct test_frame {
	size_t len;
	size_t l3_off;
	size_t l4_off;
	size_t payload_off;
	size_t end; /* of the IP packet */
	uint8_t protocol;
	bool ip6;
	uint8_t b[TEST_FRAME_MAX];
};

extern const uint8_t test_mac_src[6];
extern const uint8_t test_mac_dst[6];

/* Complete, with all checksums right. */
void test_frame_build(struct test_frame *f, const struct test_frame_spec *spec);

/* Ones' complement sum of big-endian words, not inverted, beginning with `sum`. */
uint16_t test_sum(uint32_t sum, const uint8_t *p, size_t len);

/* Sum of the pseudo header of the IP packet at ip. */
uint16_t test_pseudo(const uint8_t *ip, uint8_t protocol, size_t l4_len);

/*
 * Take a TCP or UDP frame apart as a receiver would that believes nothing: lengths must be exact.
 * NULL: good; else what is wrong. csum: those of TCP and UDP must be right, else a seed.
 */
const char *test_frame_check(const uint8_t *b, size_t len, bool csum, struct test_frame *out);

/* In one piece; returns its length. */
size_t test_frame_linear(const struct hvs_net_frame *f, uint8_t *to);

/* Cut bytes into up to max pieces of random lengths, some of them 0. Returns how many. */
size_t test_frame_cut(struct rng *rng, void *bytes, size_t len, struct iovec *iov, size_t max);

#endif
