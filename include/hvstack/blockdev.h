/* SPDX-License-Identifier: MIT */
/*
 * Block back ends: what a disk's data come from and go to. An adapter fills in hvs_blk_ops; the
 * devices of storage.h call it. Ready-made adapters: hvs_memdisk_* (here), and those of host/.
 *
 * A filter is a back end that hands requests of its own on to another one: it fills in a
 * hvs_blk_req, `done` included, submits it, and completes the one it was given in done().
 */
#ifndef HVSTACK_BLOCKDEV_H
#define HVSTACK_BLOCKDEV_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stdbool.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum hvs_blk_op {
	HVS_BLK_READ = 1,
	HVS_BLK_WRITE = 2,
	HVS_BLK_FLUSH = 3, /* every write completed before is durable afterwards */
	/* The data of the range are not needed any more; only with HVS_BLK_INFO_UNMAP. */
	HVS_BLK_UNMAP = 4,
	/* The range reads as zeros afterwards; only with HVS_BLK_INFO_WRITE_ZEROES. */
	HVS_BLK_WRITE_ZEROES = 5,
	/* Is the beginning of the range unmapped, and how far does that go? Only with
	 * HVS_BLK_INFO_LBA_STATUS. */
	HVS_BLK_LBA_STATUS = 6,
};

enum hvs_blk_status {
	HVS_BLK_OK = 0,
	HVS_BLK_IO_ERROR = 1,
	HVS_BLK_RANGE = 2, /* beyond the end: the disk became smaller */
	HVS_BLK_READ_ONLY = 3,
	HVS_BLK_NO_SPACE = 4, /* the back end cannot store more */
	HVS_BLK_GONE = 5,     /* the back end is not there any more */
	HVS_BLK_ABORTED = 6,  /* cancelled; a write may have been done in part */
	/* UNMAP, WRITE_ZEROES: not after all, although get_info said so. Nothing has changed. */
	HVS_BLK_UNSUPPORTED = 7,
};

#define HVS_BLK_FUA 0x1u /* WRITE, WRITE_ZEROES: durable before completion; with HVS_BLK_INFO_FUA */
#define HVS_BLK_MAY_UNMAP 0x2u /* WRITE_ZEROES: the range may be unmapped if it reads as zeros */

/* One request. Whoever submits it owns it and sets size; always passed by pointer. */
struct hvs_blk_req {
	uint32_t size;
	enum hvs_blk_op op;
	uint32_t flags;          /* HVS_BLK_FUA, HVS_BLK_MAY_UNMAP */
	uint32_t queue;          /* which of the device's workers it comes from, 0.. */
	unsigned iovcnt;         /* of iov; 0 but for READ and WRITE */
	bool extent_unmapped;    /* LBA_STATUS, set by the back end: see extent_len */
	uint8_t reserved[3];     /* 0 */
	uint64_t offset;         /* bytes, a multiple of block_size; offset + len <= INT64_MAX */
	uint64_t len;            /* bytes, a multiple of block_size; sum of iov; 0 for FLUSH */
	const struct iovec *iov; /* guest memory mostly: it changes under you */
	void *backend_priv[2];   /* free for the back end until it completes the request */
	/* Called by hvs_blk_complete(), on its thread. Set by whoever submits. */
	void (*done)(struct hvs_blk_req *req, enum hvs_blk_status status);
	/* LBA_STATUS, set by the back end: bytes from `offset` on that are alike, not 0, a
	 * multiple of block_size, at most len; and whether they are unmapped. */
	uint64_t extent_len;
};
#define HVS_BLK_REQ_INIT .size = (uint32_t)sizeof(struct hvs_blk_req)

#define HVS_BLK_INFO_READ_ONLY 0x01u    /* no WRITE, UNMAP, WRITE_ZEROES */
#define HVS_BLK_INFO_FUA 0x02u          /* HVS_BLK_FUA is honoured */
#define HVS_BLK_INFO_WRITE_BACK 0x04u   /* writes are durable only after FLUSH (or with FUA) */
#define HVS_BLK_INFO_UNMAP 0x08u        /* HVS_BLK_UNMAP is there */
#define HVS_BLK_INFO_UNMAP_ZEROES 0x10u /* what was unmapped reads as zeros, always */
#define HVS_BLK_INFO_WRITE_ZEROES 0x20u /* faster than to write them */
#define HVS_BLK_INFO_LBA_STATUS 0x40u   /* HVS_BLK_LBA_STATUS is there */

#define HVS_BLK_ANY_QUEUE UINT32_MAX /* of hvs_blk_info: requests may come from any queue */

/* The library zeroes it and sets size; the back end fills it in. */
struct hvs_blk_info {
	uint32_t size;
	uint32_t flags;               /* HVS_BLK_INFO_* */
	uint32_t block_size;          /* logical block, bytes: 512 or 4096; optical: 512, 2048 */
	uint32_t physical_block_size; /* bytes, a power of two times block_size */
	uint64_t num_blocks;          /* of block_size, not 0 */
	uint32_t unmap_granularity;   /* bytes, a multiple of block_size; 0: block_size */
	/* Requests may come from so many workers at the same time: hvs_blk_req.queue is below it.
	 * HVS_BLK_ANY_QUEUE: from any number. 0: 1. */
	uint32_t max_queues;
};
#define HVS_BLK_INFO_INIT .size = (uint32_t)sizeof(struct hvs_blk_info)

struct hvs_blk_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/*
	 * Geometry: once when the disk is attached, and again when the embedder calls
	 * hvs_disk_refresh(), on its thread, while requests are in flight. Of what it says only
	 * num_blocks and HVS_BLK_INFO_READ_ONLY may change. 0 or a negative errno. Required.
	 */
	int (*get_info)(void *disk, struct hvs_blk_info *info);

	/*
	 * Start a request. The range lies inside the disk as get_info described it last; it may
	 * have become smaller meanwhile, so check. Exactly one hvs_blk_complete() must follow,
	 * during the call or later, on any thread. Called on the worker of the channel it came
	 * from; must not block. Required.
	 */
	void (*submit)(void *disk, struct hvs_blk_req *req);

	/* A batch of submits on this queue has ended: start now whatever submit only collected.
	 * On the queue's worker. Optional. */
	void (*commit)(void *disk, uint32_t queue);

	/*
	 * The guest wants a request back that was submitted and not completed: complete it as soon
	 * as no memory of it is used any more, with HVS_BLK_ABORTED if it was not done. May come
	 * too late, when another thread is just completing it: then do nothing. On the worker that
	 * submitted it. Optional: without it the guest waits for the end of the request.
	 */
	void (*cancel)(void *disk, struct hvs_blk_req *req);
};
#define HVS_BLK_OPS_INIT .size = (uint32_t)sizeof(struct hvs_blk_ops)

/* Finish a request, exactly once. [any] */
HVS_API void hvs_blk_complete(struct hvs_blk_req *req, enum hvs_blk_status status);

/* ---- memory disk ----------------------------------------------------------------------- */

/* The operations of a struct hvs_memdisk. [any] */
HVS_API const struct hvs_blk_ops *hvs_memdisk_ops(void);

/* A disk in memory the embedder owns; give it with hvs_memdisk_ops() to hvs_storvsp_attach(). It
 * unmaps by writing zeros, and blocks of zeros count as unmapped. */
struct hvs_memdisk {
	uint32_t size;
	uint32_t flags; /* HVS_BLK_INFO_READ_ONLY */
	void *data;
	uint64_t len;        /* bytes, a multiple of block_size */
	uint32_t block_size; /* 512 or 4096 */
	uint32_t reserved;   /* 0 */
};
#define HVS_MEMDISK_INIT .size = (uint32_t)sizeof(struct hvs_memdisk)

#ifdef __cplusplus
}
#endif
#endif
