/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory for tests of filters that read it from threads of their own: requests come from any
 * thread. What is done to it can be held back, by the thread of the test.
 */
#ifndef HVS_TESTS_SUPPORT_RAMDISK_H
#define HVS_TESTS_SUPPORT_RAMDISK_H

#include <hvstack/blockdev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RAMDISK_MAX 64u

struct ramdisk {
	uint8_t *data;
	uint64_t bytes;
	uint32_t max_queues;
	bool hold_writes; /* writes, unmaps and the like stay until ramdisk_complete() */
	/* Reads wait as long as it is set, and are completed by whoever clears it, or cancelled. */
	atomic_bool hold_reads;
	atomic_uint reads; /* that have come */
	atomic_bool bad;   /* reads fail */
	unsigned cancels;

	pthread_mutex_t mutex; /* of the following */
	struct hvs_blk_req *held[RAMDISK_MAX];
	unsigned held_count;
};

extern const struct hvs_blk_ops ramdisk_ops;

void ramdisk_init(struct ramdisk *d, uint64_t bytes);
void ramdisk_fini(struct ramdisk *d);

/* Do and complete the nth that is held (0: the oldest). */
void ramdisk_complete(struct ramdisk *d, unsigned n, enum hvs_blk_status status);

/* Let reads go on. */
void ramdisk_release_reads(struct ramdisk *d);

#endif
