/* SPDX-License-Identifier: MIT */
/*
 * Block back end: a file or block device, through io_uring. It reads and writes guest memory
 * without a copy in between, through the host's page cache: writes are durable after a flush.
 *
 * A disk has one or more queues, each on a libevent base. Requests of queue n (hvs_blk_req.queue)
 * are submitted, and complete, on the thread that runs base n: that worker of the controller must
 * be driven by an hvs_loop on the same base.
 *
 * Where io_uring can't be had (containers often forbid it), a few threads do the same work, more
 * slowly: requests come from any thread, and complete on theirs.
 */
#ifndef HVSTACK_HOST_FILEDISK_H
#define HVSTACK_HOST_FILEDISK_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;   /* libevent */
struct hvs_filedisk; /* a disk in a file or block device */

#define HVS_FILEDISK_READ_ONLY 0x1u /* opened for reading; the guest can't write */
/* Others that also open it as shared may use the file at the same time, and write to it: for
 * guests that agree among themselves about who does what (clusters). */
#define HVS_FILEDISK_SHARED 0x2u
/* Without io_uring, even if it is there. */
#define HVS_FILEDISK_THREADS 0x4u
/* Past the host's page cache (O_DIRECT). Memory that is not aligned as the file needs it is copied
 * through up to 4 MiB of memory for each queue. */
#define HVS_FILEDISK_DIRECT 0x8u

struct hvs_filedisk_config {
	uint32_t size;
	uint32_t flags;       /* HVS_FILEDISK_* */
	const char *path;     /* regular file or block device */
	uint32_t block_size;  /* 512 or 4096; 0: 512 */
	uint32_t queue_depth; /* requests of a queue in the kernel, up to 32767; 0: 256 */
	uint32_t base_count;  /* queues, that is entries of `bases`; with `base`: 0 */
	uint32_t reserved;    /* 0 */
	/* Where completions are collected; must outlive the disk. Either one base for one queue,
	 * or an array with one for each queue, which is copied. */
	struct event_base *base;
	struct event_base *const *bases;
};
#define HVS_FILEDISK_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_filedisk_config)

/*
 * Give it with the hvs_filedisk to hvs_storvsp_attach().
 *
 * get_info measures the file anew. max_queues is the number of bases; without io_uring it is
 * HVS_BLK_ANY_QUEUE. Ranges are unmapped by
 * punching holes, where the file system or the block device can do that; what was unmapped reads as
 * zeros. A cancelled request that the kernel is about ends when the kernel lets go of it.
 */
HVS_API const struct hvs_blk_ops *hvs_filedisk_ops(void);

/*
 * Open a disk. The file is locked: one disk that writes, or any number that only read, or any
 * number that are shared (open file description locks). A block device that is written to must
 * not be mounted either; for a shared one this is not checked. As the kernel takes a moment to free
 * the file of a process that was killed, a locked one is tried for half a second.
 *
 * why  when not NULL: set to a static string that says what is wrong, on failure; on success to
 *      NULL, or to what is wrong with io_uring if it had to do without
 *
 * 0, -EINVAL (cfg; not a file or block device; empty; size not a multiple of block_size; blocks too
 * small for direct I/O), -EBUSY (locked by somebody else, or mounted), -ENOTSUP (unknown members or
 * flags set; no direct I/O here), -ENOMEM, or the errno of stat(), open(), fcntl(),
 * io_uring_setup() or pthread_create().
 */
HVS_API HVS_NODISCARD int hvs_filedisk_open(const struct hvs_filedisk_config *cfg,
					    struct hvs_filedisk **out, const char **why);

/*
 * Make the file longer or shorter; requests may be in flight. Those behind a new end fail with
 * HVS_BLK_RANGE, and do not make the file longer again. Tell the guests with hvs_disk_refresh().
 * From now on the size is changed only by this function: get_info notices what others do to the
 * file only if it becomes shorter. [any]
 *
 * bytes  the new size
 *
 * 0, -EINVAL (0, or not a multiple of block_size), -EROFS (opened read-only), -ENOTSUP (a block
 * device), or the errno of ftruncate(): nothing has changed.
 */
HVS_API HVS_NODISCARD int hvs_filedisk_resize(struct hvs_filedisk *disk, uint64_t bytes);

/*
 * Refuse writes from now on, or take them again. Writes in flight are still done. Tell the guests
 * with hvs_disk_refresh(). [any]
 *
 * 0, -EROFS (to be written to, but opened with HVS_FILEDISK_READ_ONLY).
 */
HVS_API HVS_NODISCARD int hvs_filedisk_set_read_only(struct hvs_filedisk *disk, bool read_only);

/* NULL is allowed. No request may be in flight: the bus is reset or destroyed. */
HVS_API void hvs_filedisk_close(struct hvs_filedisk *disk);

#ifdef __cplusplus
}
#endif
#endif
