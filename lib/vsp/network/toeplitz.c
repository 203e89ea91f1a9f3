/* SPDX-License-Identifier: MIT */
#include "vsp/network/toeplitz.h"

#include "util/le.h"

#include <string.h>

#define PORTS_BYTES 4u
#define IP4_BYTES 4u
#define IP6_BYTES 16u

#define EXT_HOP_BY_HOP 0u
#define EXT_ROUTING 43u
#define EXT_DESTINATION 60u
#define EXT_MIN 8u /* bytes */
#define OPTION_PAD1 0u
#define OPTION_HOME_ADDRESS 0xc9u
#define ROUTING_MOBILE 2u

/* 32 bits of the key, from that bit on. */
static uint32_t key_bits(const uint8_t *key, unsigned bit)
{
	const uint8_t *p = key + bit / 8;
	const uint64_t five = (uint64_t)hvsi_get_be32(p) << 8 | p[4];

	return (uint32_t)(five >> (8 - bit % 8));
}

void hvsi_toeplitz_init(struct hvsi_toeplitz *t, const uint8_t key[HVSI_TOEPLITZ_KEY])
{
	for (unsigned n = 0; n < HVSI_TOEPLITZ_MAX * 2; n++) {
		for (unsigned v = 0; v < 16; v++) {
			uint32_t hash = 0;

			for (unsigned bit = 0; bit < 4; bit++)
				if (v & 8u >> bit)
					hash ^= key_bits(key, n * 4 + bit);
			t->table[n][v] = hash;
		}
	}
}

uint32_t hvsi_toeplitz_hash(const struct hvsi_toeplitz *t, const uint8_t *in, size_t len)
{
	uint32_t high = 0;
	uint32_t low = 0;

	if (len > HVSI_TOEPLITZ_MAX)
		len = HVSI_TOEPLITZ_MAX;
	for (size_t i = 0; i < len; i++) {
		high ^= t->table[2 * i][in[i] >> 4];
		low ^= t->table[2 * i + 1][in[i] & 15];
	}
	return high ^ low;
}

/* The home address among destination options of len bytes, or NULL. */
static const uint8_t *home_address(const uint8_t *option, size_t len)
{
	while (len >= 2) {
		const size_t bytes = option[0] == OPTION_PAD1 ? 1 : option[1] + 2u;

		if (bytes > len)
			return NULL;
		if (option[0] == OPTION_HOME_ADDRESS && bytes == 2 + IP6_BYTES)
			return option + 2;
		option += bytes;
		len -= bytes;
	}
	return NULL;
}

/*
 * Put the addresses that mobile IPv6 hides in extension headers in the place of those of the IPv6
 * header. The chain has been parsed as far as h->l4_off, but may end anywhere if it couldn't be.
 */
static void mobile_addresses(const struct hvsi_headers *h, uint8_t *src, uint8_t *dst)
{
	const uint32_t limit = h->copied < h->end ? h->copied : h->end;
	uint8_t next = h->bytes[h->l3_off + 6];
	uint32_t off = h->l3_off + HVSI_IP6_BYTES;

	while (off + EXT_MIN <= limit &&
	       (next == EXT_HOP_BY_HOP || next == EXT_ROUTING || next == EXT_DESTINATION)) {
		const uint8_t *ext = h->bytes + off;
		const uint32_t bytes = (ext[1] + 1u) * 8;
		const uint8_t *home = NULL;

		if (bytes > limit - off)
			return;
		if (next == EXT_DESTINATION)
			home = home_address(ext + 2, bytes - 2);
		if (home)
			memcpy(src, home, IP6_BYTES);
		if (next == EXT_ROUTING && ext[2] == ROUTING_MOBILE && bytes == 8 + IP6_BYTES)
			memcpy(dst, ext + 8, IP6_BYTES);
		next = ext[0];
		off += bytes;
	}
}

/* The types of IPv6 that take part: EX counts before its plain sister. */
static uint32_t pick6(uint32_t types, uint32_t type, uint32_t ex)
{
	return types & ex ? ex : types & type;
}

/* With ports? Then the type that says so; fragments have none, the first neither. */
static uint32_t ports_type(uint32_t types, const struct hvsi_headers *h)
{
	const bool ip4 = h->flags & HVSI_FRAME_IP4;

	if (!h->l4_off || h->flags & HVSI_FRAME_FRAGMENT)
		return 0;
	if (h->protocol == HVSI_PROTO_TCP)
		return ip4 ? types & HVSI_HASH_TCP4
			   : pick6(types, HVSI_HASH_TCP6, HVSI_HASH_TCP6_EX);
	if (h->protocol == HVSI_PROTO_UDP)
		return ip4 ? types & HVSI_HASH_UDP4
			   : pick6(types, HVSI_HASH_UDP6, HVSI_HASH_UDP6_EX);
	return 0;
}

uint32_t hvsi_frame_hash(const struct hvsi_toeplitz *t, uint32_t types,
			 const struct hvsi_headers *h, uint32_t *hash)
{
	const uint32_t ex = HVSI_HASH_IP6_EX | HVSI_HASH_TCP6_EX | HVSI_HASH_UDP6_EX;
	uint8_t in[HVSI_TOEPLITZ_MAX];
	uint32_t type;
	size_t len;

	*hash = 0;
	if (!(h->flags & (HVSI_FRAME_IP4 | HVSI_FRAME_IP6)))
		return 0;
	type = ports_type(types, h);
	if (!type)
		type = h->flags & HVSI_FRAME_IP4 ? types & HVSI_HASH_IP4
						 : pick6(types, HVSI_HASH_IP6, HVSI_HASH_IP6_EX);
	if (!type)
		return 0;
	len = h->flags & HVSI_FRAME_IP4 ? 2 * IP4_BYTES : 2 * IP6_BYTES;
	memcpy(in, h->bytes + h->l3_off + (h->flags & HVSI_FRAME_IP4 ? 12 : 8), len);
	if (type & ex)
		mobile_addresses(h, in, in + IP6_BYTES);
	if (!(type & (HVSI_HASH_IP4 | HVSI_HASH_IP6 | HVSI_HASH_IP6_EX))) {
		memcpy(in + len, h->bytes + h->l4_off, PORTS_BYTES);
		len += PORTS_BYTES;
	}
	*hash = hvsi_toeplitz_hash(t, in, len);
	return type;
}
