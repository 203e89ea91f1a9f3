/* SPDX-License-Identifier: MIT */
#include "vsp/network/checksum.h"

#include "util/le.h"
#include "vsp/network/frame.h"

#include <string.h>

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* To 32 bits and a few, to 16 bits and a few: what is carried out is added again. */
static uint64_t fold32(uint64_t sum)
{
	return (sum & 0xffffffff) + (sum >> 32);
}

static uint16_t fold16(uint64_t sum)
{
	sum = fold32(fold32(sum));
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of a piece that begins at an even place: at most 2^32 bytes, so that no half overflows. */
static uint64_t sum_even(const uint8_t *p, size_t len)
{
	uint64_t low = 0;
	uint64_t high = 0;
	uint64_t last = 0;

	/* Halves of words in two sums: carries need no instructions of their own. */
	for (; len >= 32; len -= 32, p += 32) {
		const uint64_t a = load64(p);
		const uint64_t b = load64(p + 8);
		const uint64_t c = load64(p + 16);
		const uint64_t d = load64(p + 24);

		low += (a & 0xffffffff) + (b & 0xffffffff) + (c & 0xffffffff) + (d & 0xffffffff);
		high += (a >> 32) + (b >> 32) + (c >> 32) + (d >> 32);
	}
	for (; len >= 8; len -= 8, p += 8) {
		const uint64_t a = load64(p);

		low += a & 0xffffffff;
		high += a >> 32;
	}
	memcpy(&last, p, len);
	return fold32(low) + fold32(high) + fold32(last);
}

void hvsi_sum_bytes(struct hvsi_sum *s, const void *p, size_t len)
{
	uint64_t sum = sum_even(p, len);

	if (s->odd)
		sum = __builtin_bswap16(fold16(sum));
	s->sum += sum;
	if (len & 1)
		s->odd = !s->odd;
}

void hvsi_sum_iov(struct hvsi_sum *s, const struct iovec *iov, size_t iovcnt, size_t skip,
		  size_t len)
{
	for (size_t i = 0; i < iovcnt && len; i++) {
		size_t n = iov[i].iov_len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		n -= skip;
		if (n > len)
			n = len;
		hvsi_sum_bytes(s, (const uint8_t *)iov[i].iov_base + skip, n);
		len -= n;
		skip = 0;
	}
}

uint16_t hvsi_sum_fold(const struct hvsi_sum *s)
{
	const uint16_t sum = fold16(s->sum);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap16(sum);
#else
	return sum;
#endif
}

void hvsi_ip4_set_csum(uint8_t *ip, size_t len)
{
	struct hvsi_sum s = {0};

	hvsi_put_be16(ip + 10, 0);
	hvsi_sum_bytes(&s, ip, len);
	hvsi_put_be16(ip + 10, (uint16_t)~hvsi_sum_fold(&s));
}

void hvsi_sum_pseudo(struct hvsi_sum *s, const uint8_t *ip, uint8_t protocol, uint32_t l4_len)
{
	if (ip[0] >> 4 == 4)
		hvsi_sum_bytes(s, ip + 12, 8);
	else
		hvsi_sum_bytes(s, ip + 8, 32);
	hvsi_sum_word(s, protocol);
	hvsi_sum_word(s, (uint16_t)(l4_len >> 16));
	hvsi_sum_word(s, (uint16_t)l4_len);
}

bool hvsi_frame_sum_l4(const struct hvsi_headers *h, uint8_t *headers, const struct iovec *iov,
		       size_t iovcnt)
{
	uint8_t *field = headers + h->l4_off + hvsi_l4_csum_off(h->protocol);
	struct hvsi_sum s = {0};
	uint16_t csum;

	if (!hvsi_frame_has_ports(h))
		return false;
	hvsi_put_be16(field, 0);
	hvsi_sum_pseudo(&s, headers + h->l3_off, h->protocol, h->end - h->l4_off);
	hvsi_sum_bytes(&s, headers + h->l4_off, h->payload_off - h->l4_off);
	hvsi_sum_iov(&s, iov, iovcnt, h->payload_off, h->end - h->payload_off);
	csum = (uint16_t)~hvsi_sum_fold(&s);
	if (!csum && h->protocol == HVSI_PROTO_UDP)
		csum = 0xffff; /* 0 means that there is none */
	hvsi_put_be16(field, csum);
	return true;
}
