/* SPDX-License-Identifier: MIT */
/* Ring, packet and page range parsing over memory that changes between the reads. */
#include "input.h"
#include "race.h"

#include "util/alloc.h"
#include "vmbus/packet.h"

#include <hvstack/memory.h>

#include <stdlib.h>

#define PAGES ((size_t)5)
#define RING_PAGES ((size_t)2) /* data; the rest of the memory is for the page ranges to name */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t *ram = aligned_alloc(4096, PAGES * 4096);
	uint8_t *staging = malloc(4096);
	uint8_t HVSI_GUEST *pages[RING_PAGES];
	struct hvsi_ringmem mem = {.size = RING_PAGES * 4096};
	struct hvsi_map_pool pool;
	struct hvs_allocator alloc;
	struct hvsi_ring_out out;
	struct hvsi_ring_in ring;
	struct hvs_mem *m;
	uint8_t flags;

	race_take(&in);
	flags = (uint8_t)input_number(&in, 1);
	if (!ram || !staging || hvsi_alloc_setup(NULL, &alloc) || hvs_mem_create(NULL, &m) ||
	    hvs_mem_add(m, 0x1000, PAGES * 4096, ram, HVS_RDWR))
		abort();
	hvsi_map_pool_init(&pool, &alloc);
	memset(ram, 0, PAGES * 4096);
	mem.ctl = hvsi_guest_from_host(ram);
	for (size_t i = 0; i < RING_PAGES; i++)
		pages[i] = hvsi_guest_from_host(ram + (i + 1) * 4096);
	mem.pages = pages;
	mem.flat = flags & 1 ? pages[0] : NULL;
	race_start(ram, PAGES * 4096);
	input_bytes(&in, ram, 16);
	input_bytes(&in, ram + 4096, flags & 2 ? 8192 : 256);

	if (hvsi_ring_out_open(&out, &mem) == 0) {
		struct hvsi_descriptor d = {.type = 6};
		struct iovec iov = {.iov_base = staging, .iov_len = input_number(&in, 2) % 4096};

		if (hvsi_ring_write(&out, &d, NULL, 0, &iov, 1) == 0)
			hvsi_ring_publish(&out);
	}
	if (hvsi_ring_in_open(&ring, &mem) == 0) {
		for (unsigned i = 0; i < 64; i++) {
			struct hvsi_descriptor d;
			struct hvs_extents e;
			struct hvs_packet p;
			struct hvs_map *map;
			uint8_t buf[64];
			bool good;

			if (hvsi_ring_read(&ring, &d, staging, 4096) != 1)
				break;
			good = !hvsi_packet_parse(&d, staging, m, &pool, &p, &e);
			if (good && p.extents) {
				uint32_t off = (uint32_t)input_number(&in, 2);

				if (hvs_extents_map(&e, off, hvs_extents_len(&e) - off, HVS_WRITE,
						    &map) == 0) {
					unsigned n;
					const struct iovec *iov = hvs_map_iov(map, &n);

					for (unsigned j = 0; j < n; j++)
						memset(iov[j].iov_base, 1, iov[j].iov_len);
					hvs_map_put(map);
				}
				(void)!hvs_extents_read(&e, off, buf, sizeof(buf));
			}
			if (good && !hvsi_packet_unpipe(&p))
				memset((void *)(uintptr_t)p.data, 1, p.len);
			/* The guest writes while we read. */
			input_bytes(&in, ram + input_number(&in, 1) % 8 * 4, 4);
			input_bytes(&in, ram + 4096 + input_number(&in, 2) % 8160, 16);
			hvsi_ring_in_commit(&ring);
		}
		hvsi_ring_in_sleep(&ring);
	}
	hvsi_map_pool_fini(&pool);
	hvs_mem_destroy(m);
	free(staging);
	free(ram);
	return 0;
}
