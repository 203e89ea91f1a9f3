/* SPDX-License-Identifier: MIT */
/*
 * Snapshot filter. Reads go on as they are. Of a write there is a second request, so that it is known
 * when it ends: a point in time waits for those that were begun.
 *
 * A write counts itself as begun and then looks whether the gate is closed; who closes the gate looks at
 * the counters after that. Both are sequentially consistent: one of them sees the other.
 */
#include "host/snapshot_impl.h"

#include "host/blk_filter.h"
#include "host/changes_file.h"
#include "host/sized.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_WRITES 32u /* of a queue; more are made when they are needed */

/* ---- memory for writes ------------------------------------------------------------------ */

static bool make_write(struct hvsi_snap_queue *q)
{
	struct hvsi_snap_write *w = calloc(1, sizeof(*w));

	if (!w)
		return false;
	w->queue = q;
	w->next_made = q->made;
	q->made = w;
	w->next = q->free;
	q->free = w;
	return true;
}

static struct hvsi_snap_write *take_write(struct hvsi_snap_queue *q)
{
	struct hvsi_snap_write *w;

	if (!q->free)
		q->free = atomic_exchange(&q->returned, NULL);
	if (!q->free && !make_write(q)) {
		/* Some are in flight, as each queue has been given some: wait for one. */
		atomic_store(&q->starving, true);
		q->free = atomic_exchange(&q->returned, NULL);
	}
	w = q->free;
	if (w)
		q->free = w->next;
	return w;
}

static void put_write(struct hvsi_snap_write *w)
{
	w->next = w->queue->free;
	w->queue->free = w;
}

/* The same on any thread. */
static void return_write(struct hvsi_snap_write *w)
{
	struct hvsi_snap_queue *q = w->queue;

	w->next = atomic_load_explicit(&q->returned, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&q->returned, &w->next, w))
		;
	if (atomic_load(&q->starving))
		hvsi_notify_signal(&q->notify);
}

/* ---- writes ----------------------------------------------------------------------------- */

/* One that was begun has ended. [any] */
static void end_write(struct hvsi_snap_queue *q)
{
	struct hvs_snapshot *s = q->snapshot;

	if (atomic_fetch_sub(&q->in_flight, 1) != 1 || !atomic_load(&s->gate))
		return;
	pthread_mutex_lock(&s->mutex);
	pthread_cond_broadcast(&s->drained);
	pthread_mutex_unlock(&s->mutex);
}

static void write_done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct hvsi_snap_write *w = (struct hvsi_snap_write *)req;
	struct hvsi_snap_queue *q = w->queue;
	struct hvs_blk_req *orig = w->orig;

	if (status == HVS_BLK_NO_SPACE && hvsi_snapshot_make_room(w))
		return;
	/* Nothing of ours is touched after hvs_blk_complete(): with it, the filter may go. */
	atomic_store_explicit(&w->below, false, memory_order_relaxed);
	return_write(w);
	end_write(q);
	hvs_blk_complete(orig, status);
}

static void hold(struct hvsi_snap_queue *q, struct hvs_blk_req *req)
{
	req->backend_priv[0] = NULL;
	if (q->held)
		q->held_last->backend_priv[0] = req;
	else
		q->held = req;
	q->held_last = req;
}

static void note_change(struct hvs_snapshot *s, const struct hvs_blk_req *req)
{
	struct hvsi_chunkmap *map = atomic_load_explicit(&s->changed, memory_order_acquire);
	const uint64_t first = req->offset / HVS_SNAPSHOT_CHUNK;
	uint64_t end = hvsi_chunks_of(req->offset + req->len);

	if (end > map->chunks) {
		atomic_store_explicit(&s->untracked, true, memory_order_relaxed);
		end = map->chunks;
	}
	if (first < end)
		hvsi_chunkmap_set(map, first, end - first);
}

static void wait(struct hvsi_snap_queue *q, struct hvsi_snap_write *w)
{
	w->next = NULL;
	if (q->waiting)
		q->waiting_last->next = w;
	else
		q->waiting = w;
	q->waiting_last = w;
}

static void take_failed(struct hvsi_snap_queue *q)
{
	struct hvsi_snap_write *w = atomic_exchange(&q->failed, NULL);

	while (w) {
		struct hvsi_snap_write *next = w->next;

		wait(q, w);
		w = next;
	}
}

/* Hand it on, or let it wait. */
static void go_on(struct hvsi_snap_write *w)
{
	struct hvs_snapshot *s = w->queue->snapshot;

	if ((w->again || atomic_load_explicit(&s->saving, memory_order_acquire)) &&
	    hvsi_snapshot_must_wait(w)) {
		wait(w->queue, w);
		return;
	}
	atomic_store_explicit(&w->below, true, memory_order_relaxed);
	s->ops.submit(s->disk, &w->req);
}

static void begin(struct hvsi_snap_queue *q, struct hvs_blk_req *orig)
{
	struct hvs_snapshot *s = q->snapshot;
	struct hvsi_snap_write *w = take_write(q);

	if (!w) {
		hold(q, orig);
		return;
	}
	atomic_fetch_add(&q->in_flight, 1);
	if (atomic_load(&s->gate)) {
		put_write(w);
		hold(q, orig);
		end_write(q);
		return;
	}
	w->orig = orig;
	w->again = false;
	w->req = (struct hvs_blk_req){
		HVS_BLK_REQ_INIT,       .op = orig->op,         .flags = orig->flags,
		.queue = orig->queue,   .iovcnt = orig->iovcnt, .iov = orig->iov,
		.offset = orig->offset, .len = orig->len,       .done = write_done,
	};
	orig->backend_priv[0] = w;
	note_change(s, orig);
	go_on(w);
}

/* Only what is there now: what goes back to its list does not come again. */
static void run_queue(void *arg)
{
	struct hvsi_snap_queue *q = arg;
	unsigned waiting = 0;
	unsigned held = 0;

	atomic_store(&q->starving, false);
	take_failed(q);
	for (const struct hvsi_snap_write *w = q->waiting; w; w = w->next)
		waiting++;
	for (const struct hvs_blk_req *r = q->held; r; r = r->backend_priv[0])
		held++;
	if (waiting + held == 0)
		return;
	for (; waiting > 0 && q->waiting; waiting--) {
		struct hvsi_snap_write *w = q->waiting;

		q->waiting = w->next;
		go_on(w);
	}
	for (; held > 0 && q->held; held--) {
		struct hvs_blk_req *req = q->held;

		q->held = req->backend_priv[0];
		begin(q, req);
	}
	hvsi_filter_commit(&q->snapshot->ops, q->snapshot->disk, q->index);
}

void hvsi_snapshot_wake(struct hvs_snapshot *s)
{
	for (uint32_t i = 0; i < s->queue_count; i++)
		hvsi_notify_signal(&s->queues[i].notify);
}

/* ---- operations ------------------------------------------------------------------------- */

static int snapshot_get_info(void *opaque, struct hvs_blk_info *info)
{
	struct hvs_snapshot *s = opaque;
	int err = hvsi_filter_info(&s->ops, s->disk, s->queue_count, info);
	uint64_t bytes;

	if (err)
		return err;
	bytes = info->num_blocks * info->block_size;
	/* What was behind the new end is lost, though nobody has written there: if the disk grows again
	 * it is zeros. */
	if (bytes < atomic_exchange(&s->bytes, bytes))
		atomic_store(&s->untracked, true);
	return 0;
}

static void snapshot_submit(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_snapshot *s = opaque;
	struct hvsi_snap_queue *q;

	if (!hvsi_snapshot_is_write(req)) {
		s->ops.submit(s->disk, req);
		return;
	}
	q = &s->queues[req->queue];
	if (q->held)
		hold(q, req); /* behind the others */
	else
		begin(q, req);
}

static void snapshot_commit(void *opaque, uint32_t queue)
{
	struct hvs_snapshot *s = opaque;

	hvsi_filter_commit(&s->ops, s->disk, queue);
}

static bool stop_holding(struct hvsi_snap_queue *q, const struct hvs_blk_req *req)
{
	struct hvs_blk_req *before = NULL;
	struct hvs_blk_req *at = q->held;

	while (at && at != req) {
		before = at;
		at = at->backend_priv[0];
	}
	if (!at)
		return false;
	if (before)
		before->backend_priv[0] = at->backend_priv[0];
	else
		q->held = at->backend_priv[0];
	if (q->held_last == at)
		q->held_last = before;
	return true;
}

static bool stop_waiting(struct hvsi_snap_queue *q, const struct hvs_blk_req *req)
{
	struct hvsi_snap_write *before = NULL;
	struct hvsi_snap_write *w = q->waiting;

	while (w && w->orig != req) {
		before = w;
		w = w->next;
	}
	if (!w)
		return false;
	if (before)
		before->next = w->next;
	else
		q->waiting = w->next;
	if (q->waiting_last == w)
		q->waiting_last = before;
	hvsi_snapshot_unwant(w);
	put_write(w);
	end_write(q);
	return true;
}

static void snapshot_cancel(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_snapshot *s = opaque;
	struct hvsi_snap_queue *q = &s->queues[req->queue];
	struct hvsi_snap_write *w;

	if (!hvsi_snapshot_is_write(req)) {
		hvsi_filter_cancel(&s->ops, s->disk, req);
		return;
	}
	take_failed(q);
	if (stop_holding(q, req) || stop_waiting(q, req)) {
		hvs_blk_complete(req, HVS_BLK_ABORTED);
		return;
	}
	w = req->backend_priv[0];
	if (atomic_load_explicit(&w->below, memory_order_relaxed))
		hvsi_filter_cancel(&s->ops, s->disk, &w->req);
}

const struct hvs_blk_ops *hvs_snapshot_ops(void)
{
	static const struct hvs_blk_ops ops = {
		HVS_BLK_OPS_INIT,          .get_info = snapshot_get_info, .submit = snapshot_submit,
		.commit = snapshot_commit, .cancel = snapshot_cancel,
	};

	return &ops;
}

/* ---- set-up ----------------------------------------------------------------------------- */

static void close_queue(struct hvsi_snap_queue *q)
{
	hvsi_notify_fini(&q->notify);
	while (q->made) {
		struct hvsi_snap_write *w = q->made;

		q->made = w->next_made;
		free(w);
	}
}

static void free_snapshot(struct hvs_snapshot *s, uint32_t queues)
{
	for (uint32_t i = 0; i < queues; i++)
		close_queue(&s->queues[i]);
	if (s->fd >= 0)
		close(s->fd);
	pthread_cond_destroy(&s->drained);
	pthread_mutex_destroy(&s->mutex);
	free(atomic_load(&s->changed));
	free(s->queues);
	free(s->dir);
	free(s->changes_path);
	free(s);
}

static struct hvs_snapshot *new_snapshot(const struct hvs_snapshot_config *cfg,
					 const struct hvs_blk_ops *ops)
{
	struct hvs_snapshot *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	s->ops = *ops;
	s->disk = cfg->disk;
	s->queue_count = cfg->base_count;
	s->fd = -1;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->drained, &attr);
	pthread_condattr_destroy(&attr);
	s->dir = strdup(cfg->dir);
	if (cfg->changes_path)
		s->changes_path = strdup(cfg->changes_path);
	s->queues = aligned_alloc(HVSI_CACHE_LINE, cfg->base_count * sizeof(*s->queues));
	if (s->dir && (s->changes_path || !cfg->changes_path) && s->queues)
		return s;
	free_snapshot(s, 0);
	return NULL;
}

static int open_queues(struct hvs_snapshot *s, struct event_base *const *bases, uint32_t *opened)
{
	for (; *opened < s->queue_count; (*opened)++) {
		struct hvsi_snap_queue *q = &s->queues[*opened];
		int err;

		*q = (struct hvsi_snap_queue){.snapshot = s, .index = *opened};
		err = hvsi_notify_init(&q->notify, bases[*opened], run_queue, q);
		if (err)
			return err;
		for (unsigned i = 0; i < FIRST_WRITES; i++)
			if (!make_write(q)) {
				close_queue(q);
				return -ENOMEM;
			}
	}
	return 0;
}

/* What is below, and what is known about it. */
static int open_disk(struct hvs_snapshot *s)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};
	struct hvsi_changes changes = {0};
	int err = s->ops.get_info(s->disk, &info);

	if (err)
		return err;
	s->info_flags = info.flags;
	atomic_init(&s->bytes, info.num_blocks * info.block_size);
	err = hvsi_snapshot_open_source(s, info.max_queues);
	if (err)
		return err;
	changes.map = hvsi_chunkmap_new(hvsi_chunks_of(s->bytes));
	if (!changes.map)
		return -ENOMEM;
	changes.bytes = s->bytes;
	changes.image_fd = s->regular ? s->fd : -1;
	s->known = s->changes_path && hvsi_changes_take(s->changes_path, &changes) == 0;
	s->known_bytes = s->bytes;
	s->backup = changes.backup;
	atomic_init(&s->changed, changes.map);
	return 0;
}

int hvs_snapshot_create(const struct hvs_snapshot_config *cfg_in, struct hvs_snapshot **out)
{
	struct hvs_snapshot_config cfg;
	struct hvs_snapshot *s;
	uint32_t opened = 0;
	struct hvs_blk_ops ops;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, changes_path);

	if (!err)
		err = hvsi_filter_take_ops(&ops, cfg.ops);
	if (err)
		return err;
	if (!out || !cfg.dir || hvsi_filter_bases(&cfg.base, &cfg.bases, &cfg.base_count))
		return -EINVAL;
	s = new_snapshot(&cfg, &ops);
	if (!s)
		return -ENOMEM;
	err = open_queues(s, cfg.bases, &opened);
	if (!err)
		err = open_disk(s);
	if (err) {
		free_snapshot(s, opened);
		return err;
	}
	*out = s;
	return 0;
}

/* Its point can't use it any more. */
static void detach(struct hvs_snapshot *s)
{
	struct hvsi_point_disk *d;
	struct hvs_point *p;

	pthread_mutex_lock(&s->mutex);
	d = s->point_disk;
	s->point_disk = NULL;
	pthread_mutex_unlock(&s->mutex);
	if (!d)
		return;
	p = d->point;
	hvsi_point_fail(p, ENODEV);
	hvs_point_abort(p);
	pthread_mutex_lock(&p->mutex);
	/* Writes that did not have to wait in the end may still be on its list. */
	hvsi_point_forget_wanted(p, s);
	while (d->users > 0)
		pthread_cond_wait(&p->cond, &p->mutex);
	d->snapshot = NULL;
	pthread_mutex_unlock(&p->mutex);
}

void hvs_snapshot_destroy(struct hvs_snapshot *s)
{
	if (!s)
		return;
	detach(s);
	if (s->changes_path && s->known && !s->untracked && s->known_bytes == s->bytes) {
		const struct hvsi_changes changes = {.backup = s->backup,
						     .bytes = s->bytes,
						     .image_fd = s->regular ? s->fd : -1,
						     .map = atomic_load(&s->changed)};

		/* If it fails there is no file, and the next backup is a full one. */
		(void)hvsi_changes_write(s->changes_path, &changes);
	}
	free_snapshot(s, s->queue_count);
}
