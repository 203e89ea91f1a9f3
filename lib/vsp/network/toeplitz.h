/* SPDX-License-Identifier: MIT */
/* Receive side scaling: the Toeplitz hash of a flow, as guests expect it. */
#ifndef HVSI_NETWORK_TOEPLITZ_H
#define HVSI_NETWORK_TOEPLITZ_H

#include "vsp/network/frame.h"
#include "vsp/network/rndis_proto.h" /* HVSI_HASH_* */

#include <stddef.h>
#include <stdint.h>

#define HVSI_TOEPLITZ_KEY 40u /* bytes */
#define HVSI_TOEPLITZ_MAX 36u /* bytes that are hashed: two IPv6 addresses and ports */

/* A key: what each half byte at each place contributes. */
struct hvsi_toeplitz {
	uint32_t table[HVSI_TOEPLITZ_MAX * 2][16];
};

void hvsi_toeplitz_init(struct hvsi_toeplitz *t, const uint8_t key[HVSI_TOEPLITZ_KEY]);

/* Of up to HVSI_TOEPLITZ_MAX bytes. */
uint32_t hvsi_toeplitz_hash(const struct hvsi_toeplitz *t, const uint8_t *in, size_t len);

/*
 * The hash of a frame by the most specific of the types (HVSI_HASH_*) that applies, which is
 * returned. 0: none does, *hash is 0.
 */
uint32_t hvsi_frame_hash(const struct hvsi_toeplitz *t, uint32_t types,
			 const struct hvsi_headers *h, uint32_t *hash);

#endif
