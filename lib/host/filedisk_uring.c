/* SPDX-License-Identifier: MIT */
/*
 * File disks through io_uring: one ring for each queue, used by the thread that runs the queue's
 * base, without a lock. submit() turns a request into one submission queue entry (SQE) that names
 * the guest's memory itself; commit() hands all SQEs of a batch to the kernel with one system
 * call, and takes the completions (CQEs) that are there already; the others make the ring's
 * descriptor readable. No memory is allocated for a request, and no byte is copied.
 *
 * A request has at most one SQE or operation in the kernel. When it did only a part of the work,
 * because the kernel says so or because there are more than IOV_MAX pieces, the next one follows.
 */
#if HVSI_WITH_LIBURING

#include "host/filedisk_impl.h"
#include "host/notify.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <liburing.h>
#include <stdalign.h>
#include <stdlib.h>

#define CACHE_LINE 64u
#define DEFAULT_DEPTH 256u
#define MAX_SQES 32768u /* io_uring's limit */
#define CQE_BATCH 64u
/* Answers of "try again" without any progress that one request may see before it has failed. */
#define MAX_RETRIES 100u
#define SUBMIT_RETRY_US 1000
#define BOUNCES 16u /* buffers of a queue; more requests wait */

struct hvsi_uring_queue {
	/* Its descriptor is readable while completions wait. */
	alignas(CACHE_LINE) struct io_uring ring;
	struct hvs_filedisk *disk;
	struct event_base *base;
	struct event *ring_event;
	struct event *retry_event; /* the kernel did not take what the ring holds: try again */
	unsigned depth;            /* requests that may have an SQE or be in the kernel */
	unsigned in_flight;        /* that do */
	bool registered;           /* the file is number 0 of the ring */
	bool running;              /* inside run_queue() */
	bool broken;               /* the kernel takes nothing any more */
	bool cancel_queued;        /* the ring holds the SQE of a cancel, which has no request */
	uint8_t *bounce;           /* BOUNCES buffers, if the disk bypasses the page cache */
	uint32_t bounce_free;      /* a bit for each */
	/* Requests above the depth, oldest first, linked through backend_priv. */
	struct hvs_blk_req *first_waiting;
	struct hvs_blk_req *last_waiting;
};

/*
 * What a request's backend_priv holds. Waiting: the next request. In flight: bytes done; how often
 * in a row the kernel wanted it to be tried again, and flags.
 */
_Static_assert(sizeof(uintptr_t) >= sizeof(uint64_t), "backend_priv must hold a byte count");

#define STATE_RETRIES 0xffffu
#define STATE_SYNC 0x10000u      /* zeros are written, now they are made durable */
#define STATE_CANCELLED 0x20000u /* to be ended as soon as possible */
#define STATE_BOUNCE_SHIFT 24u   /* above: number of its buffer, from 1 on */

static uint64_t bytes_done(const struct hvs_blk_req *req)
{
	return (uintptr_t)req->backend_priv[0];
}

static void set_bytes_done(struct hvs_blk_req *req, uint64_t done)
{
	req->backend_priv[0] = (void *)(uintptr_t)done;
}

static uintptr_t state(const struct hvs_blk_req *req)
{
	return (uintptr_t)req->backend_priv[1];
}

static void set_state(struct hvs_blk_req *req, uintptr_t value)
{
	req->backend_priv[1] = (void *)value;
}

static struct hvsi_uring_queue *queue_of(const struct hvs_filedisk *disk,
					 const struct hvs_blk_req *req)
{
	assert(req->queue < disk->max_queues);
	return &disk->queues[req->queue];
}

/* NULL: it has none. */
static uint8_t *bounce_of(const struct hvsi_uring_queue *q, const struct hvs_blk_req *req)
{
	uintptr_t number = state(req) >> STATE_BOUNCE_SHIFT;

	return number ? q->bounce + (number - 1) * HVSI_BOUNCE_BYTES : NULL;
}

static void finish(struct hvsi_uring_queue *q, struct hvs_blk_req *req, enum hvs_blk_status status)
{
	uintptr_t number = state(req) >> STATE_BOUNCE_SHIFT;

	if (number)
		q->bounce_free |= 1u << (number - 1);
	q->in_flight--;
	hvsi_filedisk_finish(q->disk, req, status);
}

/* ---- submission ------------------------------------------------------------------------- */

static bool find_piece(const struct hvsi_uring_queue *q, const struct hvs_blk_req *req,
		       struct hvsi_piece *piece)
{
	const uint64_t done = bytes_done(req);
	uint8_t *bounce = bounce_of(q, req);
	size_t len;

	if (!bounce)
		return hvsi_filedisk_piece(req, done, piece);
	len = hvsi_filedisk_bounce_len(req, done);
	piece->one = (struct iovec){bounce, len};
	piece->iov = &piece->one;
	piece->count = 1;
	piece->offset = req->offset + done;
	return req->op == HVS_BLK_READ || hvsi_filedisk_copy(req, done, bounce, len) == len;
}

static void prepare_transfer(const struct hvsi_uring_queue *q, struct io_uring_sqe *sqe, int fd,
			     const struct hvs_blk_req *req)
{
	const bool write = req->op == HVS_BLK_WRITE;
	struct hvsi_piece piece;

	if (!find_piece(q, req, &piece)) {
		/* Too late to give the SQE back: let it do nothing and fail the request then. */
		io_uring_prep_nop(sqe);
		return;
	}
	if (piece.count == 1)
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, fd,
				 piece.iov->iov_base, (unsigned)piece.iov->iov_len, piece.offset);
	else
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, fd, piece.iov,
				 piece.count, piece.offset);
	if (req->flags & HVS_BLK_FUA && write)
		sqe->rw_flags = RWF_DSYNC;
}

/* Give the request, which is counted in in_flight, an SQE; sqe_flags are added to it. */
static void start(struct hvsi_uring_queue *q, struct hvs_blk_req *req, unsigned sqe_flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
	int fd = q->registered ? 0 : q->disk->fd;

	if (q->registered)
		sqe_flags |= IOSQE_FIXED_FILE;
	/* There are more SQEs than requests may be in flight, and each has at most one. */
	assert(sqe);
	if (req->op == HVS_BLK_READ || req->op == HVS_BLK_WRITE)
		prepare_transfer(q, sqe, fd, req);
	else if (req->op == HVS_BLK_FLUSH || state(req) & STATE_SYNC)
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_fallocate(sqe, fd, hvsi_filedisk_fallocate_mode(req),
					(off_t)req->offset, (off_t)req->len);
	io_uring_sqe_set_flags(sqe, sqe_flags);
	io_uring_sqe_set_data(sqe, req);
}

static bool has_room(const struct hvsi_uring_queue *q, const struct hvs_blk_req *req)
{
	return q->in_flight < q->depth &&
	       (q->bounce_free || !hvsi_filedisk_needs_bounce(q->disk, req));
}

static void start_new(struct hvsi_uring_queue *q, struct hvs_blk_req *req)
{
	uintptr_t number = 0;

	if (hvsi_filedisk_needs_bounce(q->disk, req)) {
		number = (uintptr_t)__builtin_ctz(q->bounce_free) + 1;
		q->bounce_free &= q->bounce_free - 1;
	}
	set_bytes_done(req, 0);
	set_state(req, number << STATE_BOUNCE_SHIFT);
	q->in_flight++;
	start(q, req, 0);
}

static struct hvs_blk_req *take_waiting(struct hvsi_uring_queue *q)
{
	struct hvs_blk_req *req = q->first_waiting;

	if (req)
		q->first_waiting = req->backend_priv[0];
	return req;
}

static void wait_for_room(struct hvsi_uring_queue *q, struct hvs_blk_req *req)
{
	req->backend_priv[0] = NULL;
	if (q->first_waiting)
		q->last_waiting->backend_priv[0] = req;
	else
		q->first_waiting = req;
	q->last_waiting = req;
}

static void uring_submit(struct hvs_filedisk *disk, struct hvs_blk_req *req)
{
	struct hvsi_uring_queue *q = queue_of(disk, req);

	if (q->broken)
		hvs_blk_complete(req, HVS_BLK_IO_ERROR);
	else if (q->first_waiting || !has_room(q, req))
		wait_for_room(q, req); /* first come, first served */
	else
		start_new(q, req);
}

/*
 * The kernel refuses, and not for a moment (a seccomp filter that came later, for example): fail
 * everything it has not taken. What it has taken still completes.
 */
static void give_up(struct hvsi_uring_queue *q)
{
	struct io_uring_sq *sq = &q->ring.sq;
	struct hvs_blk_req *req;

	q->broken = true;
	while (io_uring_sq_ready(&q->ring) > 0) {
		/* The newest first; liburing keeps SQEs in ring order. */
		const struct io_uring_sqe *sqe = &sq->sqes[--sq->sqe_tail & sq->ring_mask];

		req = (struct hvs_blk_req *)(uintptr_t)sqe->user_data;
		if (req)
			finish(q, req, HVS_BLK_IO_ERROR);
	}
	while ((req = take_waiting(q)))
		hvs_blk_complete(req, HVS_BLK_IO_ERROR);
}

/* One system call in the normal case. */
static void hand_to_kernel(struct hvsi_uring_queue *q)
{
	const struct timeval soon = {.tv_usec = SUBMIT_RETRY_US};
	int n;

	while (io_uring_sq_ready(&q->ring) > 0) {
		n = io_uring_submit(&q->ring);
		if (n > 0 || n == -EINTR)
			continue;
		if (n == 0 || n == -EAGAIN || n == -EBUSY || n == -ENOMEM) {
			/* Short of memory. If even the timer can't be had, nobody would retry. */
			if (event_add(q->retry_event, &soon) == 0)
				return;
		}
		give_up(q);
	}
	q->cancel_queued = false;
}

/* ---- completion ------------------------------------------------------------------------- */

/* One operation of req was not done, for the moment. */
static void try_again(struct hvsi_uring_queue *q, struct hvs_blk_req *req)
{
	set_state(req, state(req) + 1);
	if ((state(req) & STATE_RETRIES) > MAX_RETRIES || q->broken)
		finish(q, req, HVS_BLK_IO_ERROR);
	else
		start(q, req, IOSQE_ASYNC); /* where it can wait for what it needs */
}

/* Bytes were moved. False: without progress, as behind the end of a file that became shorter. */
static bool moved(struct hvsi_uring_queue *q, struct hvs_blk_req *req, size_t bytes)
{
	const uint64_t before = bytes_done(req);
	uint8_t *bounce = bounce_of(q, req);

	if (bounce && req->op == HVS_BLK_READ &&
	    hvsi_filedisk_copy(req, before, bounce, bytes) < bytes)
		return false;
	set_bytes_done(req, hvsi_filedisk_progress(q->disk, req, before, bytes));
	return bytes_done(req) > before;
}

/* One operation of req was done. */
static void on_success(struct hvsi_uring_queue *q, struct hvs_blk_req *req, size_t bytes)
{
	const bool transfer = req->op == HVS_BLK_READ || req->op == HVS_BLK_WRITE;
	bool progress = true;
	bool more;

	set_state(req, state(req) & ~(uintptr_t)STATE_RETRIES);
	if (transfer) {
		progress = moved(q, req, bytes);
		more = !progress || bytes_done(req) < req->len;
	} else {
		more = req->op == HVS_BLK_WRITE_ZEROES && req->flags & HVS_BLK_FUA &&
		       !(state(req) & STATE_SYNC);
		set_state(req, state(req) | STATE_SYNC);
	}
	if (!more)
		finish(q, req, HVS_BLK_OK);
	else if (state(req) & STATE_CANCELLED)
		finish(q, req, HVS_BLK_ABORTED);
	else if (!progress || q->broken)
		finish(q, req, HVS_BLK_IO_ERROR);
	else
		start(q, req, 0);
}

/* One operation of req has ended: res is its byte count or a negative errno. */
static void on_result(struct hvsi_uring_queue *q, struct hvs_blk_req *req, int res)
{
	const bool again = res == -EAGAIN || res == -EINTR;

	if (state(req) & STATE_CANCELLED && (again || res == -ECANCELED))
		finish(q, req, HVS_BLK_ABORTED);
	else if (again)
		try_again(q, req);
	else if (res < 0)
		finish(q, req, hvsi_filedisk_status(req, -res));
	else
		on_success(q, req, (size_t)res);
}

/* Handle all completions that are there. Returns how many. */
static unsigned reap(struct hvsi_uring_queue *q)
{
	struct io_uring_cqe *cqes[CQE_BATCH];
	struct {
		struct hvs_blk_req *req;
		int res;
	} done[CQE_BATCH];
	unsigned total = 0;
	unsigned n;

	while ((n = io_uring_peek_batch_cqe(&q->ring, cqes, CQE_BATCH)) > 0) {
		for (unsigned i = 0; i < n; i++) {
			done[i].req = io_uring_cqe_get_data(cqes[i]);
			done[i].res = cqes[i]->res;
		}
		io_uring_cq_advance(&q->ring, n);
		for (unsigned i = 0; i < n; i++)
			if (done[i].req) /* not the answer to a cancel */
				on_result(q, done[i].req, done[i].res);
		total += n;
	}
	while (q->first_waiting && has_room(q, q->first_waiting))
		start_new(q, take_waiting(q));
	return total;
}

/* Hand the kernel what submit() collected, complete what is done, until neither is left. */
static void run_queue(struct hvsi_uring_queue *q)
{
	/* A completion may make the library submit and commit: the loop below takes it up. */
	if (q->running)
		return;
	q->running = true;
	do {
		hand_to_kernel(q);
	} while (reap(q) > 0);
	q->running = false;
}

static void uring_commit(struct hvs_filedisk *disk, uint32_t queue)
{
	assert(queue < disk->max_queues);
	run_queue(&disk->queues[queue]);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct hvsi_uring_queue *q = arg;
	struct event_base *outer = hvsi_base_enter(q->base);

	(void)fd;
	(void)what;
	run_queue(q);
	hvsi_base_leave(outer);
}

/* ---- cancelling ------------------------------------------------------------------------- */

static bool stop_waiting(struct hvsi_uring_queue *q, const struct hvs_blk_req *req)
{
	struct hvs_blk_req *before = NULL;

	for (struct hvs_blk_req *at = q->first_waiting; at; at = at->backend_priv[0]) {
		if (at == req) {
			if (before)
				before->backend_priv[0] = at->backend_priv[0];
			else
				q->first_waiting = at->backend_priv[0];
			if (q->last_waiting == at)
				q->last_waiting = before;
			return true;
		}
		before = at;
	}
	return false;
}

static void uring_cancel(struct hvs_filedisk *disk, struct hvs_blk_req *req)
{
	struct hvsi_uring_queue *q = queue_of(disk, req);
	struct io_uring_sqe *sqe;

	if (stop_waiting(q, req)) {
		hvs_blk_complete(req, HVS_BLK_ABORTED);
		return;
	}
	set_state(req, state(req) | STATE_CANCELLED);
	/* There is one SQE to spare. The kernel is asked only once when it is short of memory. */
	if (q->cancel_queued || q->broken)
		return;
	sqe = io_uring_get_sqe(&q->ring);
	assert(sqe);
	/* The kernel takes SQEs in order: the request's is there before. */
	io_uring_prep_cancel(sqe, req, 0);
	io_uring_sqe_set_data(sqe, NULL);
	q->cancel_queued = true;
	run_queue(q);
}

/* ---- opening ---------------------------------------------------------------------------- */

static int fail(const char **why, const char *text, int err)
{
	*why = text;
	return -err;
}

static int open_ring(struct hvsi_uring_queue *q, const char **why)
{
	struct io_uring_params params = {
		/* Completions are processed when this thread enters the kernel anyway. */
		.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	};
	int err = io_uring_queue_init_params(q->depth + 1, &q->ring, &params);

	if (err == -EINVAL) {
		/* Linux before 5.19. */
		params = (struct io_uring_params){0};
		err = io_uring_queue_init_params(q->depth + 1, &q->ring, &params);
	}
	switch (err) {
	case 0:
		break;
	case -ENOSYS:
		return fail(why,
			    "io_uring is not there: the kernel lacks it, or a seccomp filter "
			    "(container) hides it",
			    ENOSYS);
	case -EPERM:
	case -EACCES:
		return fail(why,
			    "io_uring is forbidden: sysctl kernel.io_uring_disabled, or a seccomp "
			    "filter (container)",
			    -err);
	case -ENOMEM:
		return fail(why,
			    "no memory for io_uring: raise the limit of locked memory (ulimit -l) "
			    "or lower queue_depth",
			    ENOMEM);
	case -EMFILE:
	case -ENFILE:
		return fail(why, "too many open files: raise the limit (ulimit -n)", -err);
	default:
		return fail(why, "io_uring can't be set up", -err);
	}
	/* Reads and writes without an iovec are as old as this. */
	if (!(params.features & IORING_FEAT_RW_CUR_POS)) {
		io_uring_queue_exit(&q->ring);
		return fail(why, "io_uring of this kernel is too old: Linux 5.6 is needed",
			    ENOTSUP);
	}
	return 0;
}

static int make_events(struct hvsi_uring_queue *q)
{
	q->retry_event = evtimer_new(q->base, on_event, q);
	if (!q->retry_event)
		return -ENOMEM;
	/* Level-triggered: taking the completions out of the ring is all it takes to quiet it. */
	q->ring_event = event_new(q->base, q->ring.ring_fd, EV_READ | EV_PERSIST, on_event, q);
	if (q->ring_event && event_add(q->ring_event, NULL) == 0)
		return 0;
	if (q->ring_event)
		event_free(q->ring_event);
	event_free(q->retry_event);
	return -ENOMEM;
}

static int open_queue(struct hvsi_uring_queue *q, const char **why)
{
	int err;

	if (q->disk->direct_memory) {
		q->bounce = hvsi_filedisk_alloc_bounce(BOUNCES);
		q->bounce_free = (1u << BOUNCES) - 1;
		if (!q->bounce)
			return fail(why, "out of memory", ENOMEM);
	}
	err = open_ring(q, why);
	if (err) {
		free(q->bounce);
		return err;
	}
	/* Saves the kernel a look into the table of files; without it things go on as well. A block
	 * device of a process that was killed would be claimed longer than its successor waits. */
	q->registered =
		!q->disk->block_device && io_uring_register_files(&q->ring, &q->disk->fd, 1) == 0;
	err = make_events(q);
	if (err) {
		io_uring_queue_exit(&q->ring);
		free(q->bounce);
		return fail(why, "out of memory", -err);
	}
	return 0;
}

static void close_queues(struct hvs_filedisk *disk, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct hvsi_uring_queue *q = &disk->queues[i];

		event_free(q->ring_event);
		event_free(q->retry_event);
		/* The kernel takes its time to dismantle the ring: not with the file in it. */
		if (q->registered)
			io_uring_unregister_files(&q->ring);
		io_uring_queue_exit(&q->ring);
		free(q->bounce);
	}
	free(disk->queues);
}

static int uring_open(struct hvs_filedisk *disk, const struct hvs_filedisk_config *cfg,
		      const char **why)
{
	int err = 0;

	if (cfg->queue_depth >= MAX_SQES)
		return fail(why, "queue_depth must not be above 32767", EINVAL);
	disk->max_queues = cfg->base_count;
	disk->queues = aligned_alloc(CACHE_LINE, cfg->base_count * sizeof(*disk->queues));
	if (!disk->queues)
		return fail(why, "out of memory", ENOMEM);
	for (uint32_t i = 0; i < cfg->base_count; i++) {
		disk->queues[i] = (struct hvsi_uring_queue){
			.disk = disk,
			.base = cfg->bases[i],
			.depth = cfg->queue_depth ? cfg->queue_depth : DEFAULT_DEPTH,
		};
		err = open_queue(&disk->queues[i], why);
		if (err) {
			close_queues(disk, i);
			break;
		}
	}
	return err;
}

static void uring_close(struct hvs_filedisk *disk)
{
	close_queues(disk, disk->max_queues);
}

const struct hvsi_filedisk_engine hvsi_filedisk_uring = {
	.open = uring_open,
	.close = uring_close,
	.submit = uring_submit,
	.commit = uring_commit,
	.cancel = uring_cancel,
};

#else

typedef int hvsi_built_without_liburing; /* a C file must declare something */

#endif
