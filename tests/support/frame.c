/* SPDX-License-Identifier: MIT */
#include "support/frame.h"

#include "util/le.h"

#include <assert.h>
#include <string.h>

const uint8_t test_mac_src[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03};
const uint8_t test_mac_dst[6] = {0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};

static const uint8_t any_src[16] = {0x20, 1, 0x0d, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x17};
static const uint8_t any_dst[16] = {0x20, 1, 0x0d, 0xb8, 9, 9, 8, 8, 7, 7, 6, 6, 5, 5, 4, 0xfe};

uint16_t test_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

uint16_t test_pseudo(const uint8_t *ip, uint8_t protocol, size_t l4_len)
{
	const uint8_t tail[] = {(uint8_t)(l4_len >> 24),
				(uint8_t)(l4_len >> 16),
				(uint8_t)(l4_len >> 8),
				(uint8_t)l4_len,
				0,
				protocol};
	const uint16_t addresses =
		ip[0] >> 4 == 4 ? test_sum(0, ip + 12, 8) : test_sum(0, ip + 8, 32);

	return test_sum(addresses, tail, sizeof(tail));
}

static void put(struct test_frame *f, const void *p, size_t len)
{
	assert(f->len + len <= sizeof(f->b));
	memcpy(f->b + f->len, p, len);
	f->len += len;
}

static void put8(struct test_frame *f, uint8_t v)
{
	put(f, &v, 1);
}

static void put16(struct test_frame *f, uint16_t v)
{
	uint8_t b[2];

	hvsi_put_be16(b, v);
	put(f, b, 2);
}

static void put32(struct test_frame *f, uint32_t v)
{
	put16(f, (uint16_t)(v >> 16));
	put16(f, (uint16_t)v);
}

static void put_filler(struct test_frame *f, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		put8(f, (uint8_t)(seed + i * 7 + i / 256));
}

static void put_address(struct test_frame *f, const uint8_t *a, const uint8_t *any, size_t len)
{
	static const uint8_t zero[16];

	put(f, memcmp(a, zero, 16) != 0 ? a : any, len);
}

static void put_l2(struct test_frame *f, const struct test_frame_spec *s, uint16_t type)
{
	put(f, test_mac_dst, 6);
	put(f, test_mac_src, 6);
	for (unsigned i = 0; i < s->tags; i++) {
		put16(f, i == 0 && s->tag_type ? s->tag_type : 0x8100);
		put16(f, s->tci[i]);
	}
	if (s->snap) {
		put16(f, 500); /* nobody looks at it */
		put(f, "\xaa\xaa\x03\0\0", 6);
	}
	put16(f, type);
}

static void put_arp(struct test_frame *f, const struct test_frame_spec *s)
{
	f->l3_off = f->len;
	put(f, "\0\1\10\0\6\4\0\1", 8);
	put(f, test_mac_src, 6);
	put_address(f, s->src, any_src, 4);
	put(f, test_mac_dst, 6);
	put_address(f, s->dst, any_dst, 4);
}

static void put_ip4(struct test_frame *f, const struct test_frame_spec *s)
{
	f->l3_off = f->len;
	put8(f, (uint8_t)(0x45 + s->ip4_options / 4));
	put8(f, 0);
	put16(f, 0);
	put16(f, s->id);
	put16(f, s->fragment);
	put8(f, 64);
	put8(f, s->protocol);
	put16(f, 0);
	put_address(f, s->src, any_src, 4);
	put_address(f, s->dst, any_dst, 4);
	for (unsigned i = 0; i < s->ip4_options; i++)
		put8(f, 1);
}

static void put_ext(struct test_frame *f, const struct test_frame_spec *s, unsigned n)
{
	const uint8_t next = n + 1 < s->exts ? s->ext[n + 1] : s->protocol;
	const size_t bytes = s->ext[n] == 44 ? 8 : 8u + s->ext_words * 8u;

	put8(f, next);
	if (s->ext[n] == 44) {
		put8(f, 0);
		put16(f, s->fragment);
		put32(f, 0x12345678);
		return;
	}
	put8(f, (uint8_t)(s->ext[n] == 51 ? bytes / 4 - 2 : bytes / 8 - 1));
	for (size_t i = 2; i < bytes; i++)
		put8(f, 0); /* padding options */
}

static void put_ip6(struct test_frame *f, const struct test_frame_spec *s)
{
	f->l3_off = f->len;
	put32(f, 0x60000000);
	put16(f, 0);
	put8(f, s->exts ? s->ext[0] : s->protocol);
	put8(f, 64);
	put_address(f, s->src, any_src, 16);
	put_address(f, s->dst, any_dst, 16);
	for (unsigned i = 0; i < s->exts; i++)
		put_ext(f, s, i);
}

static void put_l4(struct test_frame *f, const struct test_frame_spec *s)
{
	f->l4_off = f->len;
	switch (s->protocol) {
	case TEST_TCP:
		put16(f, s->from);
		put16(f, s->to);
		put32(f, s->seq);
		put32(f, 0x01020304);
		put8(f, (uint8_t)((5 + s->tcp_options / 4) << 4));
		put8(f, s->tcp_flags);
		put32(f, 0x72100000);
		put16(f, 0);
		for (unsigned i = 0; i < s->tcp_options; i++)
			put8(f, 1);
		break;
	case TEST_UDP:
		put16(f, s->from);
		put16(f, s->to);
		put16(f, (uint16_t)(8 + s->payload));
		put16(f, 0);
		break;
	case TEST_ICMP:
	case TEST_ICMP6:
		put8(f, (uint8_t)s->from);
		put8(f, 0);
		put16(f, 0);
		break;
	default:
		break;
	}
}

static void finish(struct test_frame *f)
{
	uint8_t *ip = f->b + f->l3_off;
	uint8_t *l4 = f->b + f->l4_off;
	uint16_t at = f->protocol == TEST_TCP ? 16 : 6;
	uint16_t sum;

	if (f->ip6) {
		hvsi_put_be16(ip + 4, (uint16_t)(f->end - f->l3_off - 40));
	} else {
		hvsi_put_be16(ip + 2, (uint16_t)(f->end - f->l3_off));
		hvsi_put_be16(ip + 10, 0);
		sum = test_sum(0, ip, (size_t)(ip[0] & 15u) * 4);
		hvsi_put_be16(ip + 10, (uint16_t)~sum);
	}
	if (f->protocol != TEST_TCP && f->protocol != TEST_UDP)
		return;
	sum = test_pseudo(ip, f->protocol, f->end - f->l4_off);
	sum = (uint16_t)~test_sum(sum, l4, f->end - f->l4_off);
	hvsi_put_be16(l4 + at, !sum && f->protocol == TEST_UDP ? 0xffff : sum);
}

void test_frame_build(struct test_frame *f, const struct test_frame_spec *s)
{
	f->len = 0;
	f->l3_off = 0;
	f->l4_off = 0;
	f->payload_off = 0;
	f->ip6 = s->ip6;
	f->protocol = s->protocol;
	if (s->protocol == TEST_ARP) {
		put_l2(f, s, 0x0806);
		put_arp(f, s);
		f->end = f->len;
		put_filler(f, s->padding, 0);
		return;
	}
	put_l2(f, s, s->ip6 ? 0x86dd : 0x0800);
	if (s->ip6)
		put_ip6(f, s);
	else
		put_ip4(f, s);
	put_l4(f, s);
	f->payload_off = f->len;
	put_filler(f, s->payload, (uint8_t)(s->seq + s->id));
	f->end = f->len;
	put_filler(f, s->padding, 0x55);
	finish(f);
}

static const char *check_l4(const uint8_t *b, bool csum, struct test_frame *out)
{
	const uint8_t *ip = b + out->l3_off;
	const uint8_t *l4 = b + out->l4_off;
	const size_t len = out->end - out->l4_off;
	const uint16_t pseudo = test_pseudo(ip, out->protocol, len);
	const uint16_t field = hvsi_get_be16(l4 + (out->protocol == TEST_TCP ? 16 : 6));

	if (out->protocol == TEST_TCP) {
		out->payload_off = out->l4_off + (l4[12] >> 4) * 4u;
		if (len < 20 || l4[12] >> 4 < 5)
			return "TCP header";
	} else if (out->protocol == TEST_UDP) {
		out->payload_off = out->l4_off + 8;
		if (len < 8 || hvsi_get_be16(l4 + 4) != len)
			return "UDP length";
	} else {
		return "neither TCP nor UDP";
	}
	if (out->payload_off > out->end)
		return "headers longer than the packet";
	if (!csum)
		return field == pseudo ? NULL : "seed";
	if (out->protocol == TEST_UDP && !field)
		return "UDP without a checksum";
	return test_sum(pseudo, l4, len) == 0xffff ? NULL : "checksum";
}

/* Behind extension headers: what follows them, and where. */
static uint8_t skip_extensions(const uint8_t *b, uint8_t next, size_t *off)
{
	while (next == 0 || next == 43 || next == 51 || next == 60) {
		const uint8_t *ext = b + *off;

		*off += next == 51 ? (ext[1] + (size_t)2) * 4 : (ext[1] + (size_t)1) * 8;
		next = ext[0];
	}
	return next;
}

const char *test_frame_check(const uint8_t *b, size_t len, bool csum, struct test_frame *out)
{
	size_t off = 12;
	const uint8_t *ip;

	while (hvsi_get_be16(b + off) == 0x8100 || hvsi_get_be16(b + off) == 0x88a8)
		off += 4;
	ip = b + off + 2;
	out->l3_off = off + 2;
	out->len = len;
	out->ip6 = hvsi_get_be16(b + off) == 0x86dd;
	if (!out->ip6 && hvsi_get_be16(b + off) != 0x0800)
		return "not IP";
	if (out->ip6) {
		out->end = out->l3_off + 40 + hvsi_get_be16(ip + 4);
		out->l4_off = out->l3_off + 40;
		out->protocol = skip_extensions(b, ip[6], &out->l4_off);
	} else {
		out->end = out->l3_off + hvsi_get_be16(ip + 2);
		out->l4_off = out->l3_off + (size_t)(ip[0] & 15u) * 4;
		out->protocol = ip[9];
		if (test_sum(0, ip, (size_t)(ip[0] & 15u) * 4) != 0xffff)
			return "IPv4 checksum";
	}
	if (out->end != len)
		return "IP length";
	return check_l4(b, csum, out);
}

size_t test_frame_linear(const struct hvs_net_frame *f, uint8_t *to)
{
	size_t len = 0;

	for (unsigned i = 0; i < f->iovcnt; i++) {
		assert(len + f->iov[i].iov_len <= TEST_FRAME_MAX);
		memcpy(to + len, f->iov[i].iov_base, f->iov[i].iov_len);
		len += f->iov[i].iov_len;
	}
	return len;
}

size_t test_frame_cut(struct rng *rng, void *bytes, size_t len, struct iovec *iov, size_t max)
{
	uint8_t *p = bytes;
	size_t n = 0;

	while (n + 1 < max && len) {
		const uint32_t most = rng_below(rng, 4) ? (uint32_t)len : 9;
		size_t piece = rng_below(rng, most + 1);

		if (piece > len)
			piece = len;
		iov[n++] = (struct iovec){.iov_base = p, .iov_len = piece};
		p += piece;
		len -= piece;
	}
	if (len)
		iov[n++] = (struct iovec){.iov_base = p, .iov_len = len};
	return n;
}
