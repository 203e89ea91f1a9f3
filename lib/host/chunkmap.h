/* SPDX-License-Identifier: MIT */
/* A bit for each chunk of a disk, that any thread sets at any time. */
#ifndef HVSI_HOST_CHUNKMAP_H
#define HVSI_HOST_CHUNKMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hvsi_chunkmap {
	uint64_t chunks;
	_Atomic uint64_t words[];
};

static inline size_t hvsi_chunkmap_words(uint64_t chunks)
{
	return (size_t)((chunks + 63) / 64);
}

/* All clear; for free(). NULL: no memory. */
struct hvsi_chunkmap *hvsi_chunkmap_new(uint64_t chunks);

/* [first, first + count) must be inside. What was written before is seen by whoever sees the bits. */
void hvsi_chunkmap_set(struct hvsi_chunkmap *map, uint64_t first, uint64_t count);

/* The first bit of that value in [from, end), or end. */
uint64_t hvsi_chunkmap_find(const struct hvsi_chunkmap *map, uint64_t from, uint64_t end,
			    bool value);

/* Set all that are set in `from`, as far as both go. */
void hvsi_chunkmap_merge(struct hvsi_chunkmap *map, const struct hvsi_chunkmap *from);

#endif
