/* SPDX-License-Identifier: MIT */
/*
 * A file disk from the inside. filedisk_open.c makes and frees it. filedisk.c is what does not
 * depend on the way I/O is done; an engine does the I/O.
 */
#ifndef HVSI_HOST_FILEDISK_IMPL_H
#define HVSI_HOST_FILEDISK_IMPL_H

#include <hvstack/blockdev.h>
#include <hvstack/host/filedisk.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* How I/O is done. */
struct hvsi_filedisk_engine {
	/* Sets disk->max_queues and its own part of the disk. 0 or a negative errno and *why. */
	int (*open)(struct hvs_filedisk *disk, const struct hvs_filedisk_config *cfg,
		    const char **why);
	void (*close)(struct hvs_filedisk *disk);
	/* Do what hvsi_filedisk_settled() has left: everything but LBA_STATUS, inside the disk. */
	void (*submit)(struct hvs_filedisk *disk, struct hvs_blk_req *req);
	void (*commit)(struct hvs_filedisk *disk, uint32_t queue);
	void (*cancel)(struct hvs_filedisk *disk, struct hvs_blk_req *req);
};

extern const struct hvsi_filedisk_engine hvsi_filedisk_uring;
extern const struct hvsi_filedisk_engine hvsi_filedisk_threads;

struct hvsi_uring_queue;
struct hvsi_pool;

/* What is not atomic does not change after the disk was opened. */
struct hvs_filedisk {
	const struct hvsi_filedisk_engine *engine;
	struct hvsi_uring_queue *queues; /* as many as max_queues */
	struct hvsi_pool *pool;
	int fd;
	bool opened_read_only;
	bool block_device;
	uint32_t block_size;
	uint32_t physical_block_size;
	uint32_t unmap_granularity;
	uint32_t max_queues;
	uint32_t info_flags; /* HVS_BLK_INFO_*, without READ_ONLY */
	/* Without the page cache: how memory, and offset and length, must be aligned; otherwise 0. */
	uint32_t direct_memory;
	uint32_t direct_block;
	atomic_bool read_only;
	_Atomic uint64_t len; /* bytes, a multiple of block_size */

	/* Held while the size of the file and len are changed. */
	pthread_mutex_t size_mutex;
	bool size_is_set; /* by hvs_filedisk_resize(): a longer file is a late write's doing */
};

/* ---- filedisk.c ------------------------------------------------------------------------- */

/* Size of the file in bytes. 0 or a negative errno. */
int hvsi_filedisk_measure(const struct hvs_filedisk *disk, uint64_t *bytes);

/* Part of a READ or WRITE that one operation can do. */
struct hvsi_piece {
	const struct iovec *iov;
	unsigned count; /* of iov, not 0 */
	uint64_t offset;
	struct iovec one; /* what iov points to when it is not the request's */
};

/* What follows after `done` bytes of req. False: its iov is too short. */
bool hvsi_filedisk_piece(const struct hvs_blk_req *req, uint64_t done, struct hvsi_piece *piece);

/* For UNMAP and WRITE_ZEROES: the mode of fallocate() that does it. */
int hvsi_filedisk_fallocate_mode(const struct hvs_blk_req *req);

/* How a request ends for which the kernel returned err, which is positive. */
enum hvs_blk_status hvsi_filedisk_status(const struct hvs_blk_req *req, int err);

/* Complete a request that an engine was given. */
void hvsi_filedisk_finish(struct hvs_filedisk *disk, struct hvs_blk_req *req,
			  enum hvs_blk_status status);

/* ---- filedisk_bounce.c ------------------------------------------------------------------ */

#define HVSI_BOUNCE_ALIGN 4096u
#define HVSI_BOUNCE_BYTES (256u << 10)

/* Can the kernel not use the memory of this request? */
bool hvsi_filedisk_needs_bounce(const struct hvs_filedisk *disk, const struct hvs_blk_req *req);

/* So many buffers, one behind the other; for free(). NULL: no memory. */
void *hvsi_filedisk_alloc_bounce(unsigned count);

/* How much of what follows `done` goes through a buffer at a time. */
size_t hvsi_filedisk_bounce_len(const struct hvs_blk_req *req, uint64_t done);

/* READ: from buf to the request's memory; WRITE: the other way. Returns bytes: less if its iov is
 * too short. */
size_t hvsi_filedisk_copy(const struct hvs_blk_req *req, uint64_t done, uint8_t *buf, size_t len);

/* How much of req is done after an operation at `done` moved so many bytes: the next one must begin
 * at a block. */
uint64_t hvsi_filedisk_progress(const struct hvs_filedisk *disk, const struct hvs_blk_req *req,
				uint64_t done, uint64_t bytes);

#endif
