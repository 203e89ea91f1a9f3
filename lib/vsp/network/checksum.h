/* SPDX-License-Identifier: MIT */
/* The checksum of IP: ones' complement sums of big-endian 16-bit words. */
#ifndef HVSI_NETWORK_CHECKSUM_H
#define HVSI_NETWORK_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct hvsi_headers;

/* Of pieces, in order, of any length. Begins as zeroes. */
struct hvsi_sum {
	uint64_t sum; /* of words as they lie in memory */
	bool odd;     /* bytes so far */
};

void hvsi_sum_bytes(struct hvsi_sum *s, const void *p, size_t len);

/* len bytes behind the first `skip` of iov, or what there is of them. */
void hvsi_sum_iov(struct hvsi_sum *s, const struct iovec *iov, size_t iovcnt, size_t skip,
		  size_t len);

/* A word more, at an even place. */
static inline void hvsi_sum_word(struct hvsi_sum *s, uint16_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	s->sum += __builtin_bswap16(v);
#else
	s->sum += v;
#endif
}

/* The sum as a number, not inverted. */
uint16_t hvsi_sum_fold(const struct hvsi_sum *s);

/* Write an IPv4 header's checksum into it; len: with options. */
void hvsi_ip4_set_csum(uint8_t *ip, size_t len);

/* Bytes from the TCP or UDP header to its checksum. */
static inline uint16_t hvsi_l4_csum_off(uint8_t protocol)
{
	return protocol == 6 ? 16 : 6;
}

/*
 * Add the pseudo header of TCP or UDP over IPv4 or IPv6: ip is the IP header, l4_len the bytes of
 * the header and what follows it.
 */
void hvsi_sum_pseudo(struct hvsi_sum *s, const uint8_t *ip, uint8_t protocol, uint32_t l4_len);

/*
 * Complete the checksum of a TCP or UDP frame (HVS_NET_CSUM). headers: a private copy of its
 * headers, which it is written to; h is what they say; iov the frame.
 *
 * false: there is no such header, or it is a fragment's; nothing is done.
 */
bool hvsi_frame_sum_l4(const struct hvsi_headers *h, uint8_t *headers, const struct iovec *iov,
		       size_t iovcnt);

#endif
