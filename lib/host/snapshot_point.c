/* SPDX-License-Identifier: MIT */
/*
 * Points in time. The first thread of a point prepares it: temporary files are made, and what the host's
 * page cache holds is written back, as cloning a file does that first. Then it waits to be told, closes
 * the gates of all disks, waits until no write is under way, clones, and opens the gates again.
 */
#include "host/snapshot_impl.h"

#include "host/sized.h"

#include <errno.h>
#include <hvstack/host/loop.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u
#define DEFAULT_DRAIN_MS 2000u

/* ---- preparing -------------------------------------------------------------------------- */

static int prepare_disk(struct hvsi_point_disk *d)
{
	struct hvs_snapshot *s = d->snapshot;
	int fd;

	d->passed = hvsi_chunkmap_new(d->chunks);
	d->next = hvsi_chunkmap_new(d->chunks);
	if (!d->passed || !d->next)
		return -ENOMEM;
	fd = hvsi_temp_file(s->dir);
	if (fd < 0)
		return fd;
	d->fd = fd;
	if (s->regular && fdatasync(s->fd) < 0)
		return -errno;
	return 0;
}

static int prepare(struct hvs_point *p)
{
	int err = 0;

	for (uint32_t i = 0; i < p->count && !err; i++) {
		if (!hvsi_point_pin(&p->disks[i]))
			return -atomic_load(&p->error);
		err = prepare_disk(&p->disks[i]);
		hvsi_point_unpin(&p->disks[i]);
	}
	return err;
}

/* ---- taking ----------------------------------------------------------------------------- */

static bool is_drained(const struct hvs_snapshot *s)
{
	for (uint32_t i = 0; i < s->queue_count; i++)
		if (atomic_load(&s->queues[i].in_flight) > 0)
			return false;
	return true;
}

/* A counter that was 0 once stays so, but for a moment: the gate is closed. */
static int drain(const struct hvs_point *p, struct hvs_snapshot *s, uint64_t until_ns)
{
	const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
				       .tv_nsec = (long)(until_ns % NS_PER_S)};
	int err = 0;

	pthread_mutex_lock(&s->mutex);
	while (!is_drained(s) && !err) {
		if (atomic_load(&p->aborted))
			err = ECANCELED;
		else
			err = pthread_cond_timedwait(&s->drained, &s->mutex, &until);
	}
	pthread_mutex_unlock(&s->mutex);
	return -err;
}

/*
 * With a clone, each block of the image that is written needs a new one: if there were none left, the guest's
 * write would fail.
 */
static bool has_room(int fd)
{
	struct statvfs fs;
	struct stat st;

	return fstat(fd, &st) == 0 && fstatvfs(fd, &fs) == 0 &&
	       fs.f_bavail >= (uint64_t)st.st_blocks * 512 / fs.f_frsize;
}

/* While nothing is written. */
static int take_disk(const struct hvs_point *p, struct hvsi_point_disk *d)
{
	struct hvs_snapshot *s = d->snapshot;

	d->clone = s->regular && !(p->flags & HVS_POINT_NO_CLONE) && has_room(s->fd) &&
		   ioctl(d->fd, FICLONE, s->fd) == 0;
	if (!d->clone && ftruncate(d->fd, (off_t)(d->chunks * HVS_SNAPSHOT_CHUNK)) < 0)
		return -errno;
	pthread_mutex_lock(&s->mutex);
	d->saving = !d->clone;
	d->changed = atomic_exchange(&s->changed, d->next);
	d->next = NULL;
	d->untracked = atomic_exchange(&s->untracked, false);
	d->known = s->known && s->known_bytes == d->bytes;
	d->backup = s->backup;
	s->known = false;
	pthread_mutex_unlock(&s->mutex);
	atomic_store_explicit(&s->saving, d->saving, memory_order_release);
	return 0;
}

static int take_pinned(struct hvs_point *p)
{
	const uint64_t until_ns = hvs_loop_now_ns() + p->drain_ns;
	int err = 0;

	for (uint32_t i = 0; i < p->count; i++)
		atomic_store(&p->disks[i].snapshot->gate, true);
	for (uint32_t i = 0; i < p->count && !err; i++)
		err = drain(p, p->disks[i].snapshot, until_ns);
	for (uint32_t i = 0; i < p->count && !err; i++)
		err = take_disk(p, &p->disks[i]);
	for (uint32_t i = 0; i < p->count; i++) {
		atomic_store(&p->disks[i].snapshot->gate, false);
		hvsi_snapshot_wake(p->disks[i].snapshot);
	}
	return err;
}

static int take(struct hvs_point *p)
{
	uint32_t pinned = 0;
	int err;

	while (pinned < p->count && hvsi_point_pin(&p->disks[pinned]))
		pinned++;
	err = pinned == p->count ? take_pinned(p) : -atomic_load(&p->error);
	while (pinned > 0)
		hvsi_point_unpin(&p->disks[--pinned]);
	return err;
}

/* ---- threads ---------------------------------------------------------------------------- */

static void tell(struct hvs_point *p, enum hvs_point_event event, int status)
{
	pthread_mutex_lock(&p->mutex);
	p->event = event;
	p->event_status = status;
	p->prepared = event == HVS_POINT_PREPARED && !status;
	pthread_mutex_unlock(&p->mutex);
	hvsi_notify_signal(&p->notify);
}

static void on_event(void *arg)
{
	struct hvs_point *p = arg;
	enum hvs_point_event event;
	int status;

	pthread_mutex_lock(&p->mutex);
	event = p->event;
	status = p->event_status;
	p->event = 0;
	pthread_mutex_unlock(&p->mutex);
	if (event)
		p->event_fn(p->arg, p, event, status);
}

static bool wait_for_take(struct hvs_point *p)
{
	bool asked;

	pthread_mutex_lock(&p->mutex);
	while (!p->take && !p->stop)
		pthread_cond_wait(&p->cond, &p->mutex);
	asked = p->take && !p->stop;
	pthread_mutex_unlock(&p->mutex);
	return asked;
}

static void *run_first(void *arg)
{
	struct hvs_point *p = arg;
	int err = prepare(p);

	tell(p, HVS_POINT_PREPARED, err);
	if (err || !wait_for_take(p))
		return NULL;
	err = take(p);
	if (err) {
		hvsi_point_fail(p, -err);
		err = -atomic_load(&p->error); /* the first reason, if a disk was closed */
	}
	tell(p, HVS_POINT_TAKEN, err);
	if (!err)
		hvsi_point_save(p, 0);
	return NULL;
}

static void *run_other(void *arg)
{
	struct hvs_point *p = arg;
	unsigned thread = 1;

	pthread_mutex_lock(&p->mutex);
	while (!pthread_equal(p->thread[thread], pthread_self()))
		thread++;
	pthread_mutex_unlock(&p->mutex);
	hvsi_point_save(p, thread);
	return NULL;
}

/* ---- making and freeing ----------------------------------------------------------------- */

static int start_threads(struct hvs_point *p)
{
	int err = 0;

	/* They begin by asking for the mutex, or touch nothing that is set here. */
	pthread_mutex_lock(&p->mutex);
	while (p->threads < HVSI_POINT_THREADS && !err) {
		err = pthread_create(&p->thread[p->threads], NULL,
				     p->threads ? run_other : run_first, p);
		if (!err)
			p->threads++;
	}
	pthread_mutex_unlock(&p->mutex);
	return -err;
}

static void stop_threads(struct hvs_point *p)
{
	hvs_point_abort(p);
	pthread_mutex_lock(&p->mutex);
	p->stop = true;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->mutex);
	while (p->threads > 0)
		(void)pthread_join(p->thread[--p->threads], NULL);
}

static void free_point(struct hvs_point *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		struct hvsi_point_disk *d = &p->disks[i];

		free(d->passed);
		free(d->next);
		free(d->changed);
		if (d->fd >= 0)
			close(d->fd);
	}
	hvsi_notify_fini(&p->notify);
	pthread_cond_destroy(&p->cond);
	pthread_mutex_destroy(&p->mutex);
	free(p);
}

/* Let go of the disk. */
static void unreserve(struct hvsi_point_disk *d, const struct hvs_guid *backup)
{
	struct hvs_snapshot *s = d->snapshot;

	pthread_mutex_lock(&s->mutex);
	s->point_disk = NULL;
	pthread_mutex_lock(&d->point->mutex);
	hvsi_point_forget_wanted(d->point, s);
	pthread_mutex_unlock(&d->point->mutex);
	if (d->changed && backup) {
		s->known = true;
		s->known_bytes = d->bytes;
		s->backup = *backup;
	} else if (d->changed) {
		hvsi_chunkmap_merge(atomic_load(&s->changed), d->changed);
		if (d->untracked)
			atomic_store(&s->untracked, true);
		s->known = d->known;
	}
	pthread_mutex_unlock(&s->mutex);
	atomic_store(&s->saving, false);
	hvsi_snapshot_wake(s);
}

static int reserve(struct hvsi_point_disk *d, struct hvs_snapshot *s)
{
	int err = 0;

	pthread_mutex_lock(&s->mutex);
	if (s->point_disk)
		err = s->point_disk->point == d->point ? -EINVAL : -EBUSY;
	else
		s->point_disk = d;
	pthread_mutex_unlock(&s->mutex);
	if (err)
		return err;
	d->snapshot = s;
	d->bytes = atomic_load(&s->bytes);
	d->chunks = hvsi_chunks_of(d->bytes);
	return 0;
}

static int reserve_all(struct hvs_point *p, const struct hvs_point_config *cfg)
{
	for (uint32_t i = 0; i < p->count; i++) {
		int err = reserve(&p->disks[i], cfg->disks[i]);

		if (!err)
			continue;
		while (i > 0)
			unreserve(&p->disks[--i], NULL);
		return err;
	}
	return 0;
}

static struct hvs_point *new_point(const struct hvs_point_config *cfg)
{
	struct hvs_point *p = calloc(1, sizeof(*p) + cfg->count * sizeof(p->disks[0]));

	if (!p)
		return NULL;
	p->count = cfg->count;
	p->flags = cfg->flags;
	p->drain_ns = (uint64_t)(cfg->drain_ms ? cfg->drain_ms : DEFAULT_DRAIN_MS) * NS_PER_MS;
	p->event_fn = cfg->event;
	p->arg = cfg->arg;
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->cond, NULL);
	for (uint32_t i = 0; i < p->count; i++) {
		p->disks[i].point = p;
		p->disks[i].fd = -1;
	}
	return p;
}

int hvs_point_create(const struct hvs_point_config *cfg_in, struct hvs_point **out)
{
	struct hvs_point_config cfg;
	struct hvs_point *p;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, arg);

	if (err)
		return err;
	if (cfg.flags & ~HVS_POINT_NO_CLONE)
		return -ENOTSUP;
	if (!out || !cfg.base || !cfg.event || !cfg.disks || cfg.count == 0 ||
	    cfg.count > HVS_POINT_MAX_DISKS)
		return -EINVAL;
	for (uint32_t i = 0; i < cfg.count; i++)
		if (!cfg.disks[i])
			return -EINVAL;
	p = new_point(&cfg);
	if (!p)
		return -ENOMEM;
	err = hvsi_notify_init(&p->notify, cfg.base, on_event, p);
	if (err) {
		pthread_cond_destroy(&p->cond);
		pthread_mutex_destroy(&p->mutex);
		free(p);
		return err;
	}
	err = reserve_all(p, &cfg);
	if (err) {
		free_point(p);
		return err;
	}
	err = start_threads(p);
	if (err) {
		hvs_point_release(p, NULL);
		return err;
	}
	*out = p;
	return 0;
}

int hvs_point_take(struct hvs_point *p)
{
	int err = 0;

	pthread_mutex_lock(&p->mutex);
	if (p->prepared && !p->take)
		p->take = true;
	else
		err = -EINVAL;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->mutex);
	return err;
}

void hvs_point_abort(struct hvs_point *p)
{
	atomic_store(&p->aborted, true);
	for (uint32_t i = 0; i < p->count; i++) {
		struct hvs_snapshot *s;

		pthread_mutex_lock(&p->mutex);
		s = p->disks[i].snapshot;
		if (s)
			p->disks[i].users++;
		pthread_mutex_unlock(&p->mutex);
		if (!s)
			continue;
		/* It may wait for writes under way. */
		pthread_mutex_lock(&s->mutex);
		pthread_cond_broadcast(&s->drained);
		pthread_mutex_unlock(&s->mutex);
		hvsi_point_unpin(&p->disks[i]);
	}
}

void hvs_point_release(struct hvs_point *p, const struct hvs_guid *backup)
{
	if (!p)
		return;
	/* Writes go on, whatever becomes of the threads. */
	hvsi_point_fail(p, ECANCELED);
	stop_threads(p);
	if (p->drop)
		hvsi_point_drop(p);
	for (uint32_t i = 0; i < p->count; i++)
		if (p->disks[i].snapshot)
			unreserve(&p->disks[i], backup);
	free_point(p);
}
