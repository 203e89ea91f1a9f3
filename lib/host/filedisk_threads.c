/* SPDX-License-Identifier: MIT */
/*
 * File disks without io_uring: a few threads that take requests from one list and do them with
 * calls that block. Requests may come from any thread and are completed on the pool's.
 */
#include "host/filedisk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

/* Enough to keep a disk busy, few enough not to be in anybody's way. */
#define THREADS 8u
/* Interruptions and answers of "try again" without progress, before a request has failed. */
#define MAX_RETRIES 100u

struct worker {
	struct hvsi_pool *pool;
	pthread_t thread;
	struct hvs_blk_req *doing;
	bool cancelled;  /* `doing` is wanted back */
	uint8_t *bounce; /* if the disk bypasses the page cache */
};

struct hvsi_pool {
	struct hvs_filedisk *disk;
	pthread_mutex_t mutex; /* all of the following, also what workers do */
	pthread_cond_t work;
	/* Oldest first, linked through backend_priv. */
	struct hvs_blk_req *first;
	struct hvs_blk_req *last;
	bool stop;
	struct worker workers[THREADS];
};

/* ---- one request ------------------------------------------------------------------------ */

/* Returns bytes or a negative errno. */
static ssize_t transfer(int fd, const struct hvs_blk_req *req, const struct hvsi_piece *piece)
{
	const int count = (int)piece->count;
	const off_t offset = (off_t)piece->offset;
	ssize_t n;

	if (req->op == HVS_BLK_READ)
		n = preadv(fd, piece->iov, count, offset);
	else
		n = pwritev2(fd, piece->iov, count, offset,
			     req->flags & HVS_BLK_FUA ? RWF_DSYNC : 0);
	return n < 0 ? -errno : n;
}

static bool is_cancelled(struct worker *w)
{
	bool cancelled;

	pthread_mutex_lock(&w->pool->mutex);
	cancelled = w->cancelled;
	pthread_mutex_unlock(&w->pool->mutex);
	return cancelled;
}

/* The same through the worker's buffer, for memory that is not aligned. */
static ssize_t bounce(const struct worker *w, const struct hvs_blk_req *req, uint64_t done)
{
	struct hvsi_piece piece = {.iov = &piece.one, .count = 1, .offset = req->offset + done};
	size_t len = hvsi_filedisk_bounce_len(req, done);
	ssize_t n;

	piece.one = (struct iovec){w->bounce, len};
	if (req->op == HVS_BLK_WRITE && hvsi_filedisk_copy(req, done, w->bounce, len) < len)
		return 0;
	n = transfer(w->pool->disk->fd, req, &piece);
	if (req->op == HVS_BLK_READ && n > 0 &&
	    hvsi_filedisk_copy(req, done, w->bounce, (size_t)n) < (size_t)n)
		return 0;
	return n;
}

static enum hvs_blk_status do_transfer(struct worker *w, const struct hvs_blk_req *req)
{
	struct hvs_filedisk *disk = w->pool->disk;
	const bool through = hvsi_filedisk_needs_bounce(disk, req);
	struct hvsi_piece piece;
	unsigned retries = 0;
	uint64_t done = 0;

	while (done < req->len) {
		uint64_t before = done;
		ssize_t n;

		if (!hvsi_filedisk_piece(req, done, &piece))
			return HVS_BLK_IO_ERROR;
		n = through ? bounce(w, req, done) : transfer(disk->fd, req, &piece);
		if (n > 0) {
			done = hvsi_filedisk_progress(disk, req, done, (uint64_t)n);
			retries = 0;
			if (done == before)
				return HVS_BLK_IO_ERROR;
		} else if (n == 0 || ++retries > MAX_RETRIES) {
			/* No progress: a read behind the end of a file that somebody made shorter. */
			return HVS_BLK_IO_ERROR;
		} else if (n != -EINTR && n != -EAGAIN) {
			return hvsi_filedisk_status(req, (int)-n);
		}
		if (done < req->len && is_cancelled(w))
			return HVS_BLK_ABORTED;
	}
	return HVS_BLK_OK;
}

/* The status of a call that returned ret. */
static enum hvs_blk_status status_of(const struct hvs_blk_req *req, int ret)
{
	return ret < 0 ? hvsi_filedisk_status(req, errno) : HVS_BLK_OK;
}

static enum hvs_blk_status do_request(struct worker *w, const struct hvs_blk_req *req)
{
	const int fd = w->pool->disk->fd;
	enum hvs_blk_status status;

	switch (req->op) {
	case HVS_BLK_READ:
	case HVS_BLK_WRITE:
		return do_transfer(w, req);
	case HVS_BLK_FLUSH:
		return status_of(req, fdatasync(fd));
	default:
		status = status_of(req, fallocate(fd, hvsi_filedisk_fallocate_mode(req),
						  (off_t)req->offset, (off_t)req->len));
		if (status == HVS_BLK_OK && req->op == HVS_BLK_WRITE_ZEROES &&
		    req->flags & HVS_BLK_FUA)
			status = status_of(req, fdatasync(fd));
		return status;
	}
}

/* ---- the pool --------------------------------------------------------------------------- */

/* With the mutex held. */
static struct hvs_blk_req *wait_for_work(struct hvsi_pool *pool)
{
	struct hvs_blk_req *req;

	while (!pool->first && !pool->stop)
		pthread_cond_wait(&pool->work, &pool->mutex);
	req = pool->first;
	if (req)
		pool->first = req->backend_priv[0];
	return req;
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	struct hvsi_pool *pool = w->pool;
	struct hvs_blk_req *req;

	pthread_mutex_lock(&pool->mutex);
	while ((req = wait_for_work(pool))) {
		enum hvs_blk_status status;

		w->doing = req;
		w->cancelled = false;
		pthread_mutex_unlock(&pool->mutex);
		status = do_request(w, req);
		pthread_mutex_lock(&pool->mutex);
		w->doing = NULL; /* from here on a cancel comes too late */
		pthread_mutex_unlock(&pool->mutex);
		hvsi_filedisk_finish(pool->disk, req, status);
		pthread_mutex_lock(&pool->mutex);
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

static void threads_submit(struct hvs_filedisk *disk, struct hvs_blk_req *req)
{
	struct hvsi_pool *pool = disk->pool;

	req->backend_priv[0] = NULL;
	pthread_mutex_lock(&pool->mutex);
	if (pool->first)
		pool->last->backend_priv[0] = req;
	else
		pool->first = req;
	pool->last = req;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->mutex);
}

static void threads_commit(struct hvs_filedisk *disk, uint32_t queue)
{
	(void)disk; /* submit has woken a thread */
	(void)queue;
}

/* With the mutex held. */
static bool stop_waiting(struct hvsi_pool *pool, const struct hvs_blk_req *req)
{
	struct hvs_blk_req *before = NULL;

	for (struct hvs_blk_req *at = pool->first; at; at = at->backend_priv[0]) {
		if (at == req) {
			if (before)
				before->backend_priv[0] = at->backend_priv[0];
			else
				pool->first = at->backend_priv[0];
			if (pool->last == at)
				pool->last = before;
			return true;
		}
		before = at;
	}
	return false;
}

static void threads_cancel(struct hvs_filedisk *disk, struct hvs_blk_req *req)
{
	struct hvsi_pool *pool = disk->pool;
	bool waited;

	pthread_mutex_lock(&pool->mutex);
	waited = stop_waiting(pool, req);
	/* A call that blocks can't be called back; what would follow it is not done. */
	for (unsigned i = 0; i < THREADS; i++)
		if (pool->workers[i].doing == req)
			pool->workers[i].cancelled = true;
	pthread_mutex_unlock(&pool->mutex);
	if (waited)
		hvs_blk_complete(req, HVS_BLK_ABORTED);
}

/* ---- opening ---------------------------------------------------------------------------- */

/* Those of the workers that were started. */
static void stop(struct hvsi_pool *pool, unsigned workers)
{
	pthread_mutex_lock(&pool->mutex);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < workers; i++)
		pthread_join(pool->workers[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		free(pool->workers[i].bounce);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

/* The number of those that could be started, and why not all could. */
static unsigned start_workers(struct hvsi_pool *pool, int *err)
{
	sigset_t all;
	sigset_t before;
	unsigned started = 0;

	/* Signals are the embedder's threads' business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	*err = 0;
	while (started < THREADS && !*err) {
		struct worker *w = &pool->workers[started];

		w->pool = pool;
		if (pool->disk->direct_memory) {
			w->bounce = hvsi_filedisk_alloc_bounce(1);
			if (!w->bounce) {
				*err = ENOMEM;
				break;
			}
		}
		*err = pthread_create(&w->thread, NULL, run_worker, w);
		if (!*err)
			started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

static int threads_open(struct hvs_filedisk *disk, const struct hvs_filedisk_config *cfg,
			const char **why)
{
	struct hvsi_pool *pool = calloc(1, sizeof(*pool));
	unsigned started;
	int err;

	(void)cfg;
	if (!pool) {
		*why = "out of memory";
		return -ENOMEM;
	}
	disk->max_queues = HVS_BLK_ANY_QUEUE;
	disk->pool = pool;
	pool->disk = disk;
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->work, NULL);
	started = start_workers(pool, &err);
	if (err) {
		stop(pool, started);
		*why = err == ENOMEM ? "out of memory"
				     : "no threads can be started: raise the limit (ulimit -u)";
	}
	return -err;
}

static void threads_close(struct hvs_filedisk *disk)
{
	stop(disk->pool, THREADS);
}

const struct hvsi_filedisk_engine hvsi_filedisk_threads = {
	.open = threads_open,
	.close = threads_close,
	.submit = threads_submit,
	.commit = threads_commit,
	.cancel = threads_cancel,
};
