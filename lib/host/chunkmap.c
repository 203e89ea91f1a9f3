/* SPDX-License-Identifier: MIT */
#include "host/chunkmap.h"

#include <stdlib.h>

struct hvsi_chunkmap *hvsi_chunkmap_new(uint64_t chunks)
{
	struct hvsi_chunkmap *map =
		calloc(1, sizeof(*map) + hvsi_chunkmap_words(chunks) * sizeof(map->words[0]));

	if (map)
		map->chunks = chunks;
	return map;
}

/* Those bits of word w that are in [first, end). */
static uint64_t mask_of(uint64_t w, uint64_t first, uint64_t end)
{
	uint64_t mask = UINT64_MAX;

	if (first > w * 64)
		mask <<= first - w * 64;
	if (end < w * 64 + 64)
		mask &= UINT64_MAX >> (w * 64 + 64 - end);
	return mask;
}

void hvsi_chunkmap_set(struct hvsi_chunkmap *map, uint64_t first, uint64_t count)
{
	const uint64_t end = first + count;

	for (uint64_t w = first / 64; w * 64 < end; w++) {
		const uint64_t mask = mask_of(w, first, end);

		/* Mostly they are: then the cache line stays shared. */
		if ((atomic_load_explicit(&map->words[w], memory_order_acquire) & mask) != mask)
			atomic_fetch_or(&map->words[w], mask);
	}
}

uint64_t hvsi_chunkmap_find(const struct hvsi_chunkmap *map, uint64_t from, uint64_t end,
			    bool value)
{
	for (uint64_t w = from / 64; from < end && w * 64 < end; w++) {
		uint64_t word = atomic_load_explicit(&map->words[w], memory_order_acquire);

		word = (value ? word : ~word) & mask_of(w, from, end);
		if (word)
			return w * 64 + (uint64_t)__builtin_ctzll(word);
	}
	return end;
}

void hvsi_chunkmap_merge(struct hvsi_chunkmap *map, const struct hvsi_chunkmap *from)
{
	const uint64_t chunks = map->chunks < from->chunks ? map->chunks : from->chunks;
	uint64_t at = 0;

	while ((at = hvsi_chunkmap_find(from, at, chunks, true)) < chunks) {
		const uint64_t end = hvsi_chunkmap_find(from, at, chunks, false);

		hvsi_chunkmap_set(map, at, end - at);
		at = end;
	}
}
