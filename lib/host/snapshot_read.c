/* SPDX-License-Identifier: MIT */
/* What a disk held at a point in time. */
#include "host/snapshot_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

uint64_t hvs_point_bytes(const struct hvs_point *p, uint32_t disk)
{
	return disk < p->count ? p->disks[disk].bytes : 0;
}

bool hvs_point_is_clone(const struct hvs_point *p, uint32_t disk)
{
	return disk < p->count && p->disks[disk].clone;
}

/* A range as the header says? */
static struct hvsi_point_disk *check(struct hvs_point *p, uint32_t disk, uint64_t offset,
				     uint64_t len)
{
	struct hvsi_point_disk *d = disk < p->count ? &p->disks[disk] : NULL;

	if (!d || !d->changed || len == 0 || offset % HVS_SNAPSHOT_CHUNK || offset >= d->bytes ||
	    len > d->bytes - offset)
		return NULL;
	return len % HVS_SNAPSHOT_CHUNK == 0 || offset + len == d->bytes ? d : NULL;
}

static int state_of(const struct hvs_point *p)
{
	const int err = atomic_load(&p->error);

	return err ? -err : atomic_load(&p->aborted) ? -ECANCELED : 0;
}

/*
 * What the disk holds now is what it held, except where chunks had passed by the end of reading: those
 * were saved before.
 */
static int read_saving(struct hvs_point *p, struct hvsi_point_disk *d, uint64_t offset,
		       uint8_t *buf, size_t len)
{
	const uint64_t end = hvsi_chunks_of(offset + len);
	uint64_t at = offset / HVS_SNAPSHOT_CHUNK;
	int err = 0;

	if (hvsi_chunkmap_find(d->passed, at, end, false) < end)
		err = hvsi_snapshot_source_read(d->snapshot, offset, buf, len, &p->aborted);
	atomic_thread_fence(memory_order_seq_cst);
	while (!err && (at = hvsi_chunkmap_find(d->passed, at, end, true)) < end) {
		const uint64_t until = hvsi_chunkmap_find(d->passed, at, end, false);
		const uint64_t from = at * HVS_SNAPSHOT_CHUNK - offset;
		uint64_t bytes = (until - at) * HVS_SNAPSHOT_CHUNK;

		if (bytes > len - from)
			bytes = len - from;
		err = hvsi_file_read(d->fd, offset + from, buf + from, (size_t)bytes);
		at = until;
	}
	return err;
}

int hvs_point_read(struct hvs_point *p, uint32_t disk, uint64_t offset, void *buf, size_t len)
{
	struct hvsi_point_disk *d = check(p, disk, offset, len);
	int err;

	if (!d)
		return -EINVAL;
	if (!hvsi_point_pin(d))
		return state_of(p);
	err = d->clone ? hvsi_file_read(d->fd, offset, buf, len)
		       : read_saving(p, d, offset, buf, len);
	hvsi_point_unpin(d);
	/* Writes pass without being saved after there was an error, not before. */
	return state_of(p) ? state_of(p) : err;
}

/* Of chunks that have passed, it is not asked. */
static int extent_saving(struct hvs_point *p, struct hvsi_point_disk *d, uint64_t offset,
			 uint64_t len, uint64_t *extent_len, bool *zeros)
{
	const uint64_t first = offset / HVS_SNAPSHOT_CHUNK;
	uint64_t end = hvsi_chunks_of(offset + len);
	uint64_t passed;
	int err;

	*zeros = false;
	*extent_len = len;
	if (hvsi_chunkmap_find(d->passed, first, end, false) > first) {
		end = hvsi_chunkmap_find(d->passed, first, end, false);
		if ((end - first) * HVS_SNAPSHOT_CHUNK < len)
			*extent_len = (end - first) * HVS_SNAPSHOT_CHUNK;
		return 0;
	}
	err = hvsi_snapshot_source_extent(d->snapshot, offset, len, extent_len, zeros, &p->aborted);
	atomic_thread_fence(memory_order_seq_cst);
	passed = hvsi_chunkmap_find(d->passed, first, end, true);
	if (passed == first) {
		*zeros = false;
		*extent_len = len < HVS_SNAPSHOT_CHUNK ? len : HVS_SNAPSHOT_CHUNK;
	} else if (passed<end && * extent_len>(passed - first) * HVS_SNAPSHOT_CHUNK) {
		*extent_len = (passed - first) * HVS_SNAPSHOT_CHUNK;
	}
	return err;
}

int hvs_point_extent(struct hvs_point *p, uint32_t disk, uint64_t offset, uint64_t len,
		     uint64_t *extent_len, bool *zeros)
{
	struct hvsi_point_disk *d = check(p, disk, offset, len);
	uint64_t whole;
	int err;

	if (!d)
		return -EINVAL;
	if (!hvsi_point_pin(d))
		return state_of(p);
	err = d->clone ? hvsi_file_extent(d->fd, offset, len, extent_len, zeros)
		       : extent_saving(p, d, offset, len, extent_len, zeros);
	hvsi_point_unpin(d);
	if (state_of(p) || err)
		return state_of(p) ? state_of(p) : err;
	whole = *extent_len - *extent_len % HVS_SNAPSHOT_CHUNK;
	if (*extent_len >= len)
		return 0;
	if (whole == 0 || !*zeros) {
		/* A chunk that is zeros in part is read. */
		*zeros = *zeros && whole > 0;
		whole = hvsi_chunks_of(*extent_len) * HVS_SNAPSHOT_CHUNK;
	}
	*extent_len = whole < len ? whole : len;
	return 0;
}

void hvs_point_forget(struct hvs_point *p, uint32_t disk, uint64_t offset, uint64_t len)
{
	struct hvsi_point_disk *d = check(p, disk, offset, len);

	if (!d)
		return;
	hvsi_chunkmap_set(d->passed, offset / HVS_SNAPSHOT_CHUNK, hvsi_chunks_of(len));
	/* What was saved takes no room any more; if that can't be, it does until the end. */
	(void)fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			(off_t)len);
}

bool hvs_point_knows(const struct hvs_point *p, uint32_t disk, const struct hvs_guid *id)
{
	const struct hvsi_point_disk *d = &p->disks[disk];

	return disk < p->count && d->changed && d->known && !d->untracked &&
	       memcmp(d->backup.b, id->b, sizeof(id->b)) == 0;
}

bool hvs_point_next_change(const struct hvs_point *p, uint32_t disk, uint64_t offset,
			   uint64_t *start, uint64_t *len)
{
	const struct hvsi_point_disk *d = &p->disks[disk];
	uint64_t at = hvsi_chunks_of(offset);
	uint64_t chunks;
	uint64_t until;

	if (disk >= p->count || !d->changed)
		return false;
	chunks = d->changed->chunks < d->chunks ? d->changed->chunks : d->chunks;
	at = hvsi_chunkmap_find(d->changed, at, chunks, true);
	if (at >= chunks)
		return false;
	until = hvsi_chunkmap_find(d->changed, at, chunks, false);
	*start = at * HVS_SNAPSHOT_CHUNK;
	*len = (until - at) * HVS_SNAPSHOT_CHUNK;
	if (*len > d->bytes - *start)
		*len = d->bytes - *start;
	return true;
}
