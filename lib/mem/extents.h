/* SPDX-License-Identifier: MIT */
/*
 * Lists of guest pages as packets and GPADLs carry them: one or more ranges, each
 * {u32 byte count, u32 byte offset, u64 page number[]}, back to back (protocol: GPA-direct
 * packets, GPADLs). The list itself is always a private copy; what it names is guest memory.
 */
#ifndef HVSI_MEM_EXTENTS_H
#define HVSI_MEM_EXTENTS_H

#include "mem/guestmem.h"

#include <hvstack/channel.h>

#define HVSI_MAP_CLASSES 12

/* Maps of one channel, reused: none is allocated once the pool has seen its load. */
struct hvsi_map_pool {
	const struct hvs_allocator *alloc;
	struct hvs_map *free[HVSI_MAP_CLASSES];
	struct iovec *scratch; /* where a map is put together before its size is known */
	size_t scratch_count;
};

struct hvs_extents {
	const struct hvs_mem *mem;
	struct hvsi_map_pool *pool;
	const uint8_t *ranges;
	uint32_t range_count;
	uint32_t page_count; /* in all ranges */
	uint32_t len;        /* bytes named by all ranges */
};

void hvsi_map_pool_init(struct hvsi_map_pool *pool, const struct hvs_allocator *alloc);

/* Every map must have been put. */
void hvsi_map_pool_fini(struct hvsi_map_pool *pool);

/*
 * Check the shape of a list: counts, offsets, lengths, overflow. Whether the pages are RAM is
 * seen when they are used.
 *
 * ranges       private copy, must outlive *out
 * ranges_len   bytes that may belong to the list
 * used         set to the bytes that do; may be NULL
 *
 * 0, -EPROTO.
 */
int hvsi_extents_parse(struct hvs_extents *out, const struct hvs_mem *mem,
		       struct hvsi_map_pool *pool, const uint8_t *ranges, size_t ranges_len,
		       uint32_t range_count, size_t *used);

/* Guest physical address of page `index` of a list with one range; index < page_count. */
uint64_t hvsi_extents_page(const struct hvs_extents *e, uint32_t index);

#endif
