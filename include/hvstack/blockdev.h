/* SPDX-License-Identifier: MIT */
/*
 * Block back ends: what a disk's data come from and go to. An adapter fills in hvs_blk_ops; the
 * devices of storage.h call it. Ready-made adapters: hvs_memdisk_* (here), host/filedisk.h.
 */
#ifndef HVSTACK_BLOCKDEV_H
#define HVSTACK_BLOCKDEV_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum hvs_blk_op {
	HVS_BLK_READ = 1,
	HVS_BLK_WRITE = 2,
	HVS_BLK_FLUSH = 3, /* every write completed before is durable afterwards */
};

enum hvs_blk_status {
	HVS_BLK_OK = 0,
	HVS_BLK_IO_ERROR = 1,
	HVS_BLK_RANGE = 2, /* beyond the end: the disk became smaller */
	HVS_BLK_READ_ONLY = 3,
	HVS_BLK_NO_SPACE = 4, /* the back end cannot store more */
	HVS_BLK_GONE = 5,     /* the back end is not there any more */
};

#define HVS_BLK_FUA 0x1u /* durable before completion; only with HVS_BLK_INFO_FUA */

/* One request. Library-owned; may grow at the end. */
struct hvs_blk_req {
	enum hvs_blk_op op;
	uint32_t flags;          /* HVS_BLK_FUA */
	uint64_t offset;         /* bytes, a multiple of block_size; offset + len <= INT64_MAX */
	uint64_t len;            /* bytes, a multiple of block_size; sum of iov; 0 for FLUSH */
	const struct iovec *iov; /* guest memory: it changes under you */
	unsigned iovcnt;
	void *backend_priv[2]; /* free for the back end until it completes the request */
};

#define HVS_BLK_INFO_READ_ONLY 0x1u
#define HVS_BLK_INFO_FUA 0x2u        /* HVS_BLK_FUA is honoured */
#define HVS_BLK_INFO_WRITE_BACK 0x4u /* writes are durable only after FLUSH (or with FUA) */

/* The library zeroes it and sets size; the back end fills it in. */
struct hvs_blk_info {
	uint32_t size;
	uint32_t flags;               /* HVS_BLK_INFO_* */
	uint32_t block_size;          /* logical block, bytes: 512 or 4096 */
	uint32_t physical_block_size; /* bytes, a power of two times block_size */
	uint64_t num_blocks;          /* of block_size, not 0 */
};

struct hvs_blk_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/* Geometry, once when the disk is attached. 0 or a negative errno. Required. */
	int (*get_info)(void *disk, struct hvs_blk_info *info);

	/*
	 * Start a request. The range lies inside the disk as get_info described it. Exactly one
	 * hvs_blk_complete() must follow, during the call or later, on any thread. Called on the
	 * worker of the channel it came from; must not block. Required.
	 */
	void (*submit)(void *disk, struct hvs_blk_req *req);

	/* A batch of submits has ended: start now whatever submit only collected. Optional. */
	void (*commit)(void *disk);
};
#define HVS_BLK_OPS_INIT .size = (uint32_t)sizeof(struct hvs_blk_ops)

/* Finish a request, exactly once. [any] */
HVS_API void hvs_blk_complete(struct hvs_blk_req *req, enum hvs_blk_status status);

/* ---- memory disk ----------------------------------------------------------------------- */

extern HVS_API const struct hvs_blk_ops hvs_memdisk_ops;

/* A disk in memory the embedder owns; give it with hvs_memdisk_ops to hvs_storvsp_attach(). */
struct hvs_memdisk {
	void *data;
	uint64_t len;        /* bytes, a multiple of block_size */
	uint32_t block_size; /* 512 or 4096 */
	uint32_t flags;      /* HVS_BLK_INFO_READ_ONLY */
};

#ifdef __cplusplus
}
#endif
#endif
