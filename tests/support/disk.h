/* SPDX-License-Identifier: MIT */
/* A block back end that does what it is told, when it is told, and remembers what was asked. */
#ifndef TESTS_SUPPORT_DISK_H
#define TESTS_SUPPORT_DISK_H

#include <hvstack/blockdev.h>

#include <stdbool.h>

#define DISK_BYTES (1u << 20)
#define TESTDISK_LOG 4096u
/* What unmapped blocks read as if the disk does not say zeros. */
#define TESTDISK_UNMAPPED 0xdb

struct testdisk {
	struct hvs_blk_info info; /* what get_info says */
	int info_result;
	uint8_t *data; /* NULL: reads give nothing, writes go nowhere */
	/* Of each 512 bytes of data: is it unmapped? All are mapped at first. */
	bool unmapped[DISK_BYTES / 512];

	/* Orders. */
	bool hold;                  /* keep requests until testdisk_finish() */
	enum hvs_blk_status status; /* of what is not kept */
	enum hvs_blk_status flush_status;
	enum hvs_blk_status unmap_status; /* of UNMAP and WRITE_ZEROES */
	uint64_t status_max; /* LBA_STATUS looks no farther, bytes; 0: as far as it is asked to */
	void (*on_submit)(struct testdisk *d, struct hvs_blk_req *req);
	void *arg;

	/* What happened. */
	struct {
		enum hvs_blk_op op;
		uint32_t flags;
		uint64_t offset;
		uint64_t len;
		unsigned iovcnt;
	} log[TESTDISK_LOG];
	unsigned count;
	unsigned commits;
	struct hvs_blk_req *held[TESTDISK_LOG];
	unsigned held_count;
	unsigned cancels;
};

extern const struct hvs_blk_ops testdisk_ops;
/* The same, but what is kept ends when it is cancelled. */
extern const struct hvs_blk_ops testdisk_cancel_ops;

/* 512-byte blocks, DISK_BYTES of memory if `blocks` is 0, else that many blocks and no memory. */
struct testdisk *testdisk_new(uint64_t blocks, uint32_t flags);
void testdisk_free(struct testdisk *d);

/* Do the transfer of the i-th kept request if status is OK, and complete it; others move up. */
void testdisk_finish(struct testdisk *d, unsigned i, enum hvs_blk_status status);
void testdisk_finish_all(struct testdisk *d);

#endif
