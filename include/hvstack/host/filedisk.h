/* SPDX-License-Identifier: MIT */
/*
 * Block back end: a file or block device, through io_uring. It reads and writes guest memory
 * without a copy in between, through the host's page cache: writes are durable after a flush.
 *
 * A disk lives on the thread that runs cfg.base: the worker of its controller must be driven by
 * an hvs_loop on the same base.
 */
#ifndef HVSTACK_HOST_FILEDISK_H
#define HVSTACK_HOST_FILEDISK_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct hvs_filedisk;

#define HVS_FILEDISK_READ_ONLY 0x1u

struct hvs_filedisk_config {
	uint32_t size;
	uint32_t flags;          /* HVS_FILEDISK_* */
	const char *path;        /* regular file or block device */
	uint32_t block_size;     /* 512 or 4096; 0: 512 */
	uint32_t queue_depth;    /* requests in the kernel at a time, up to 32768; 0: 256 */
	struct event_base *base; /* where completions are collected; must outlive the disk */
};
#define HVS_FILEDISK_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_filedisk_config)

/* Give it with the hvs_filedisk to hvs_storvsp_attach(). */
extern HVS_API const struct hvs_blk_ops hvs_filedisk_ops;

/*
 * Open a disk. The file is locked: one disk that writes, or any number that only read (open file
 * description lock); a block device that is written to must not be mounted either.
 *
 * why  when not NULL: set to a static string that says what is wrong, on failure
 *
 * 0, -EINVAL (cfg; not a file or block device; empty; size not a multiple of block_size), -EBUSY
 * (locked by somebody else, or mounted), -ENOTSUP (unknown members or flags set; the kernel's
 * io_uring is too old; built without io_uring), -ENOMEM, or the errno of stat(), open(), fcntl()
 * or io_uring_setup().
 */
HVS_API HVS_NODISCARD int hvs_filedisk_open(const struct hvs_filedisk_config *cfg,
					    struct hvs_filedisk **out, const char **why);

/* NULL is allowed. No request may be in flight: the bus is reset or destroyed. */
HVS_API void hvs_filedisk_close(struct hvs_filedisk *disk);

#ifdef __cplusplus
}
#endif
#endif
