/* SPDX-License-Identifier: MIT */
/*
 * Point-in-time copies of disks, for backup: a filter that hands requests on to another back end, notes
 * which chunks are written, and keeps what the disk held at a point in time while the guest goes on
 * writing.
 *
 * A point in time (hvs_point) is of one or more disks, at the same instant. Everything is in it that was
 * completed before hvs_point_take(), and nothing that was submitted after it is done: writes that come
 * meanwhile wait until those under way have ended and the point is taken. So if a write was completed
 * before another was submitted, the later one is never there without the earlier one, on whatever disk
 * of the point: this is what a power failure leaves behind ("crash-consistent"). If the guest was frozen
 * (vss.h), nothing is in flight, and its file systems are clean.
 *
 * The image is cloned where its file system can do that (reflinks) and has as much room left as the image
 * takes. Otherwise, before a chunk is written
 * for the first time, what it held is saved in a temporary file ("copy before write"). If that can't be
 * done, the point becomes useless, and the guest's writes go on. It is the same if a write of the guest
 * finds no room (HVS_BLK_NO_SPACE): the point gives up its files, and the write is tried once more.
 */
#ifndef HVSTACK_HOST_SNAPSHOT_H
#define HVSTACK_HOST_SNAPSHOT_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct hvs_point;
struct hvs_snapshot; /* a disk that can be backed up */

/* ---- the filter ------------------------------------------------------------------------------- */

/* What is saved, and noted as changed, at a time. */
#define HVS_SNAPSHOT_CHUNK 65536u

struct hvs_snapshot_config {
	uint32_t size;
	uint32_t base_count; /* queues, that is entries of `bases`; with `base`: 0 */
	/* The back end to hand requests on to: a file disk, or one that takes requests from any thread
	 * (HVS_BLK_ANY_QUEUE). Nobody else may write to the disk. */
	const struct hvs_blk_ops *ops;
	void *disk; /* its disk; must outlive the filter */
	/* As for a file disk (filedisk.h): either one base, or one for each queue. */
	struct event_base *base;
	struct event_base *const *bases;
	/* A directory for temporary files, which have no name. Images are cloned only if it is on
	 * their file system. Copied. */
	const char *dir;
	/* Where the changed chunks are kept while the disk is closed (docs/backup.md has the format);
	 * copied. NULL: nowhere, so the first backup is a full one. The file is removed here and
	 * written anew by hvs_snapshot_destroy(): after a crash there is none. */
	const char *changes_path;
};
#define HVS_SNAPSHOT_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_snapshot_config)

/* Give it with the hvs_snapshot to hvs_storvsp_attach(). A write that waits and is cancelled has not
 * been handed on. */
HVS_API const struct hvs_blk_ops *hvs_snapshot_ops(void);

/* 0, -EINVAL, -ENOTSUP (unknown members set; a back end that can't be read from other threads),
 * -ENOMEM, or what get_info() of the back end, eventfd() or, for a file disk, open() said. */
HVS_API HVS_NODISCARD int hvs_snapshot_create(const struct hvs_snapshot_config *cfg,
					      struct hvs_snapshot **out);

/* NULL is allowed. No request may be in flight. A point that has this disk becomes useless (-ENODEV),
 * and is still to be released. */
HVS_API void hvs_snapshot_destroy(struct hvs_snapshot *snapshot);

/* ---- points in time --------------------------------------------------------------------------- */

enum hvs_point_event {
	HVS_POINT_PREPARED = 1, /* hvs_point_take() may be called */
	HVS_POINT_TAKEN = 2,
};

#define HVS_POINT_NO_CLONE 0x1u /* copy before write, even where the image could be cloned */
#define HVS_POINT_MAX_DISKS 64u /* of one point in time */

struct hvs_point_config {
	uint32_t size;
	uint32_t flags; /* HVS_POINT_* */
	uint32_t count; /* of disks, 1 to HVS_POINT_MAX_DISKS */
	/* How long hvs_point_take() waits for writes under way; 0: 2,000. Other writes wait as long. */
	uint32_t drain_ms;
	struct hvs_snapshot *const *disks;
	struct event_base *base; /* for event() */
	/*
	 * Something has been done; status 0 or a negative errno: -ETIMEDOUT (TAKEN: a write under way
	 * did not end), -ECANCELED (TAKEN: hvs_point_abort()), -ENOMEM, -ENODEV (a disk was closed), or
	 * what making a temporary file said. It may release the point. On base.
	 */
	void (*event)(void *arg, struct hvs_point *point, enum hvs_point_event event, int status);
	void *arg;
};
#define HVS_POINT_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_point_config)

/*
 * Prepare a point in time: temporary files are made, and what can be written back now is, so that the
 * point itself takes little time. Ends with HVS_POINT_PREPARED. cfg is copied. [base]
 *
 * 0, -EINVAL (NULL, a disk twice), -ENOTSUP (unknown members or flags set), -EBUSY (a disk is in another
 * point), -ENOMEM, or the errno of eventfd() or pthread_create().
 */
HVS_API HVS_NODISCARD int hvs_point_create(const struct hvs_point_config *cfg,
					   struct hvs_point **out);

/* Take it; ends with HVS_POINT_TAKEN. Once, after HVS_POINT_PREPARED with status 0; the bases of the
 * disks must run. [any] 0, -EINVAL (not prepared, or called before). */
HVS_API HVS_NODISCARD int hvs_point_take(struct hvs_point *point);

/*
 * The functions below are for after HVS_POINT_TAKEN with status 0, on any thread, one at a time. `disk`
 * is an index into `disks` of the configuration.
 */

/* Bytes, at the point in time. */
HVS_API uint64_t hvs_point_bytes(const struct hvs_point *point, uint32_t disk);

/* Was it cloned? */
HVS_API bool hvs_point_is_clone(const struct hvs_point *point, uint32_t disk);

/*
 * Read what the disk held. offset is a multiple of HVS_SNAPSHOT_CHUNK; len too, or it reaches up to the
 * end of the disk. Blocks.
 *
 * 0, -EINVAL (range), -EIO (the disk could not be read), -ENODEV (it was closed), -ECANCELED
 * (hvs_point_abort()), or why the point is useless: -ENOSPC and what else a write to the temporary file
 * can say.
 */
HVS_API HVS_NODISCARD int hvs_point_read(struct hvs_point *point, uint32_t disk, uint64_t offset,
					 void *buf, size_t len);

/*
 * What follows `offset`: how many bytes, a multiple of HVS_SNAPSHOT_CHUNK or up to the end, are zeros
 * without having to be read (*zeros true), or may be something else. At most len, which is as for
 * hvs_point_read(). Blocks. The same errors.
 */
HVS_API HVS_NODISCARD int hvs_point_extent(struct hvs_point *point, uint32_t disk, uint64_t offset,
					   uint64_t len, uint64_t *extent_len, bool *zeros);

/* This range from offset on, as for hvs_point_read(), is not needed any more: nothing is saved of it from now on, and it
 * must not be read again. */
HVS_API void hvs_point_forget(struct hvs_point *point, uint32_t disk, uint64_t offset,
			      uint64_t len);

/* Are the chunks known that were changed since the backup `id`? */
HVS_API bool hvs_point_knows(const struct hvs_point *point, uint32_t disk,
			     const struct hvs_guid *id);

/* The next range from `offset` on that was changed since the last backup; multiples of
 * HVS_SNAPSHOT_CHUNK, or up to the end of the disk. False: none.
 * start: where it begins. */
HVS_API bool hvs_point_next_change(const struct hvs_point *point, uint32_t disk, uint64_t offset,
				   uint64_t *start, uint64_t *len);

/* Have a hvs_point_read() or _extent() that another thread is in, and those that follow, end with
 * -ECANCELED. [any] */
HVS_API void hvs_point_abort(struct hvs_point *point);

/*
 * It is not needed any more. Not while another thread is in a function of it. NULL is allowed. May wait
 * for a piece that is just being read or saved. [base, not in a callback of a back end]
 *
 * backup  the id that a complete backup from this point has: changes are counted from this point on. NULL:
 *         it came to nothing, and they are counted as before
 */
HVS_API void hvs_point_release(struct hvs_point *point, const struct hvs_guid *backup);

#ifdef __cplusplus
}
#endif
#endif
