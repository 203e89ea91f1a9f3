/* SPDX-License-Identifier: MIT */
/* Token buckets. The caller brings the time, which does not go back. */
#ifndef HVSI_HOST_BLK_LIMIT_H
#define HVSI_HOST_BLK_LIMIT_H

#include <stdint.h>

struct hvsi_bucket {
	uint64_t per_s; /* 0: no limit */
	uint64_t filled_ns;
	/* Billionths of a token; below 0: debt. */
	__extension__ __int128 fill;
	__extension__ __int128 full;
};

/* A full one. burst 0: what comes in 100 ms, at least 1. */
void hvsi_bucket_init(struct hvsi_bucket *b, uint64_t per_s, uint64_t burst, uint64_t now_ns);

/* Take so many tokens now. Returns when they are there: now_ns or later. */
uint64_t hvsi_bucket_take(struct hvsi_bucket *b, uint64_t amount, uint64_t now_ns);

/* They were not needed after all. */
void hvsi_bucket_give_back(struct hvsi_bucket *b, uint64_t amount);

#endif
