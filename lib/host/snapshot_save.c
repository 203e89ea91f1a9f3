/* SPDX-License-Identifier: MIT */
/*
 * Copy before write. A write that finds a chunk which was not saved since the point in time puts itself
 * on the point's list, and waits. Threads of the point take from the list, save, and wake the queue;
 * then the write looks again.
 */
#include "host/snapshot_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- on a queue's thread ---------------------------------------------------------------- */

/* Under both mutexes. */
static void want(struct hvs_point *p, struct hvsi_snap_write *w, uint64_t first, uint64_t count)
{
	w->want_first = first;
	w->want_count = count;
	if (w->wanted)
		return;
	w->wanted = true;
	w->next_wanted = NULL;
	if (p->wanted)
		p->wanted_last->next_wanted = w;
	else
		p->wanted = w;
	p->wanted_last = w;
	pthread_cond_broadcast(&p->cond);
}

/* Under the snapshot's mutex: what of the write has to be saved next. False: nothing. */
static bool find_unsaved(const struct hvsi_point_disk *d, const struct hvs_blk_req *req,
			 uint64_t *first, uint64_t *count)
{
	uint64_t end = hvsi_chunks_of(req->offset + req->len);
	uint64_t at = req->offset / HVS_SNAPSHOT_CHUNK;

	if (!d || !d->saving || atomic_load(&d->point->error))
		return false;
	if (end > d->chunks)
		end = d->chunks;
	at = hvsi_chunkmap_find(d->passed, at, end, false);
	if (at >= end)
		return false;
	*first = at;
	*count = hvsi_chunkmap_find(d->passed, at, end, true) - at;
	if (*count > HVSI_SAVE_CHUNKS)
		*count = HVSI_SAVE_CHUNKS;
	return true;
}

/* Not yet, if this is the next point already. */
static bool is_dropping(const struct hvs_point *p)
{
	return atomic_load(&p->dropping) && !atomic_load(&p->empty);
}

bool hvsi_snapshot_must_wait(struct hvsi_snap_write *w)
{
	struct hvs_snapshot *s = w->queue->snapshot;
	uint64_t first;
	uint64_t count;
	bool wait;

	pthread_mutex_lock(&s->mutex);
	wait = find_unsaved(s->point_disk, &w->req, &first, &count);
	if (!wait && w->again && s->point_disk) {
		wait = is_dropping(s->point_disk->point);
	} else if (wait) {
		struct hvs_point *p = s->point_disk->point;

		pthread_mutex_lock(&p->mutex);
		want(p, w, first, count);
		pthread_mutex_unlock(&p->mutex);
	}
	pthread_mutex_unlock(&s->mutex);
	return wait;
}

/* Hand it back to its queue. */
static void try_again(struct hvsi_snap_write *w)
{
	struct hvsi_snap_queue *q = w->queue;

	w->again = true;
	atomic_store_explicit(&w->below, false, memory_order_relaxed);
	w->next = atomic_load_explicit(&q->failed, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&q->failed, &w->next, w))
		;
	hvsi_notify_signal(&q->notify);
}

/*
 * A clone has the guest's writes take new blocks, and saved chunks take some, too. Without the point there
 * might have been room.
 */
bool hvsi_snapshot_make_room(struct hvsi_snap_write *w)
{
	struct hvs_snapshot *s = w->queue->snapshot;
	bool drops = false;

	if (w->again)
		return false;
	pthread_mutex_lock(&s->mutex);
	if (s->point_disk && s->point_disk->changed) {
		struct hvs_point *p = s->point_disk->point;

		hvsi_point_fail(p, ENOSPC);
		pthread_mutex_lock(&p->mutex);
		p->drop = true;
		atomic_store(&p->dropping, true);
		pthread_cond_broadcast(&p->cond);
		pthread_mutex_unlock(&p->mutex);
		drops = true;
		/* Under the mutex: once its queue has it, the filter may go. */
		try_again(w);
	}
	pthread_mutex_unlock(&s->mutex);
	return drops;
}

/* Under the point's mutex. */
static void unlink_wanted(struct hvs_point *p, struct hvsi_snap_write *before,
			  struct hvsi_snap_write *w)
{
	if (before)
		before->next_wanted = w->next_wanted;
	else
		p->wanted = w->next_wanted;
	if (p->wanted_last == w)
		p->wanted_last = before;
	w->wanted = false;
}

void hvsi_snapshot_unwant(struct hvsi_snap_write *w)
{
	struct hvs_snapshot *s = w->queue->snapshot;

	pthread_mutex_lock(&s->mutex);
	if (s->point_disk) {
		struct hvs_point *p = s->point_disk->point;
		struct hvsi_snap_write *before = NULL;
		struct hvsi_snap_write *at;

		pthread_mutex_lock(&p->mutex);
		for (at = p->wanted; at && at != w; at = at->next_wanted)
			before = at;
		if (at)
			unlink_wanted(p, before, w);
		pthread_mutex_unlock(&p->mutex);
	}
	pthread_mutex_unlock(&s->mutex);
}

void hvsi_point_forget_wanted(struct hvs_point *p, const struct hvs_snapshot *s)
{
	struct hvsi_snap_write *before = NULL;
	struct hvsi_snap_write *next;

	for (struct hvsi_snap_write *w = p->wanted; w; w = next) {
		next = w->next_wanted;
		if (w->queue->snapshot == s)
			unlink_wanted(p, before, w);
		else
			before = w;
	}
}

/* ---- on a thread of the point ----------------------------------------------------------- */

bool hvsi_point_pin(struct hvsi_point_disk *d)
{
	bool there;

	pthread_mutex_lock(&d->point->mutex);
	there = d->snapshot && !atomic_load(&d->point->error);
	if (there)
		d->users++;
	pthread_mutex_unlock(&d->point->mutex);
	return there;
}

void hvsi_point_unpin(struct hvsi_point_disk *d)
{
	pthread_mutex_lock(&d->point->mutex);
	d->users--;
	pthread_cond_broadcast(&d->point->cond);
	pthread_mutex_unlock(&d->point->mutex);
}

static void wake_all(struct hvs_point *p)
{
	pthread_mutex_lock(&p->mutex);
	for (uint32_t i = 0; i < p->count; i++)
		if (p->disks[i].snapshot)
			hvsi_snapshot_wake(p->disks[i].snapshot);
	pthread_mutex_unlock(&p->mutex);
}

void hvsi_point_fail(struct hvs_point *p, int err)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&p->error, &none, err))
		wake_all(p);
}

void hvsi_point_drop(struct hvs_point *p)
{
	/* If that can't be, the write fails as it would have. */
	for (uint32_t i = 0; i < p->count; i++)
		(void)!ftruncate(p->disks[i].fd, 0);
	atomic_store(&p->empty, true);
	wake_all(p);
}

static size_t bytes_of(const struct hvsi_point_disk *d, uint64_t first, uint64_t count)
{
	const uint64_t offset = first * HVS_SNAPSHOT_CHUNK;
	const uint64_t bytes = count * HVS_SNAPSHOT_CHUNK;

	return (size_t)(d->bytes - offset < bytes ? d->bytes - offset : bytes);
}

/* Chunks that have not passed. */
static int save(struct hvsi_point_disk *d, uint64_t first, uint64_t count, void *buf)
{
	const uint64_t offset = first * HVS_SNAPSHOT_CHUNK;
	const size_t len = bytes_of(d, first, count);
	int err = hvsi_snapshot_source_read(d->snapshot, offset, buf, len, &d->point->aborted);

	/* A hole is zeros, too. */
	if (!err && !hvsi_all_zeros(buf, len))
		err = hvsi_file_write(d->fd, offset, buf, len);
	if (!err)
		hvsi_chunkmap_set(d->passed, first, count);
	return err;
}

static void save_wanted(struct hvsi_point_disk *d, uint64_t first, uint64_t count, void *buf)
{
	const uint64_t end = first + count;
	int err = 0;

	while (!err && !atomic_load(&d->point->error) &&
	       (first = hvsi_chunkmap_find(d->passed, first, end, false)) < end) {
		uint64_t until = hvsi_chunkmap_find(d->passed, first, end, true);

		err = save(d, first, until - first, buf);
		first = until;
	}
	if (err)
		hvsi_point_fail(d->point, -err);
}

/* Under the mutex: does another thread save some of that? */
static bool is_busy(const struct hvs_point *p, const struct hvsi_point_disk *d,
		    const struct hvsi_snap_write *w)
{
	for (unsigned i = 0; i < HVSI_POINT_THREADS; i++)
		if (p->busy[i].disk == d && w->want_first < p->busy[i].first + p->busy[i].count &&
		    p->busy[i].first < w->want_first + w->want_count)
			return true;
	return false;
}

static struct hvsi_point_disk *disk_of(struct hvs_point *p, const struct hvsi_snap_write *w)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (p->disks[i].snapshot == w->queue->snapshot)
			return &p->disks[i];
	return NULL;
}

/* Under the mutex: the first that nobody is about. */
static struct hvsi_snap_write *next_wanted(struct hvs_point *p)
{
	struct hvsi_snap_write *before = NULL;

	for (struct hvsi_snap_write *w = p->wanted; w; w = w->next_wanted) {
		if (!is_busy(p, disk_of(p, w), w)) {
			unlink_wanted(p, before, w);
			return w;
		}
		before = w;
	}
	return NULL;
}

/* Under the mutex, which it leaves for a while. */
static void do_one(struct hvs_point *p, unsigned thread, const struct hvsi_snap_write *w, void *buf)
{
	/* The write may be cancelled meanwhile; the disk stays. */
	struct hvsi_snap_queue *q = w->queue;
	struct hvsi_point_disk *d = disk_of(p, w);
	const uint64_t first = w->want_first;
	const uint64_t count = w->want_count;

	d->users++;
	p->busy[thread].disk = d;
	p->busy[thread].first = first;
	p->busy[thread].count = count;
	pthread_mutex_unlock(&p->mutex);
	save_wanted(d, first, count, buf);
	hvsi_notify_signal(&q->notify);
	pthread_mutex_lock(&p->mutex);
	p->busy[thread].disk = NULL;
	d->users--;
	pthread_cond_broadcast(&p->cond);
}

void hvsi_point_save(struct hvs_point *p, unsigned thread)
{
	void *buf = malloc((size_t)HVSI_SAVE_CHUNKS * HVS_SNAPSHOT_CHUNK);

	if (!buf) {
		hvsi_point_fail(p, ENOMEM);
		return;
	}
	pthread_mutex_lock(&p->mutex);
	while (!p->stop) {
		const struct hvsi_snap_write *w = p->drop ? NULL : next_wanted(p);

		if (p->drop) {
			p->drop = false;
			pthread_mutex_unlock(&p->mutex);
			hvsi_point_drop(p);
			pthread_mutex_lock(&p->mutex);
		} else if (w) {
			do_one(p, thread, w, buf);
		} else {
			pthread_cond_wait(&p->cond, &p->mutex);
		}
	}
	pthread_mutex_unlock(&p->mutex);
	free(buf);
}
