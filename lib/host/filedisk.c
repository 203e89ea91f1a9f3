/* SPDX-License-Identifier: MIT */
/*
 * I/O of a file disk. submit() turns a request into one submission queue entry (SQE) that names
 * the guest's memory itself; commit() hands all SQEs of a batch to the kernel with one system
 * call, and takes the completions (CQEs) that are there already; the others make the ring's
 * descriptor readable. No memory is allocated for a request, and no byte is copied.
 *
 * A request has at most one SQE or operation in the kernel. When it did only a part of the work,
 * because the kernel says so or because there are more than IOV_MAX pieces, the next one follows.
 */
#include <hvstack/host/filedisk.h>

#if HVSI_WITH_LIBURING

#include "host/filedisk_impl.h"
#include "host/notify.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <limits.h>

/* Most bytes the kernel moves at a time (MAX_RW_COUNT); the length in an SQE has 32 bits. */
#define MAX_PIECE 0x7ffff000u
#define CQE_BATCH 64u
/* Answers of "try again" without any progress that one request may see before it has failed. */
#define MAX_RETRIES 100u
#define SUBMIT_RETRY_US 1000

/*
 * What a request's backend_priv holds. Waiting: the next request. In flight: bytes done, and
 * how often in a row the kernel wanted it to be tried again.
 */
_Static_assert(sizeof(uintptr_t) >= sizeof(uint64_t), "backend_priv must hold a byte count");

static uint64_t bytes_done(const struct hvs_blk_req *req)
{
	return (uintptr_t)req->backend_priv[0];
}

static void set_bytes_done(struct hvs_blk_req *req, uint64_t done)
{
	req->backend_priv[0] = (void *)(uintptr_t)done;
}

static unsigned retries(const struct hvs_blk_req *req)
{
	return (unsigned)(uintptr_t)req->backend_priv[1];
}

static void set_retries(struct hvs_blk_req *req, unsigned count)
{
	req->backend_priv[1] = (void *)(uintptr_t)count;
}

static enum hvs_blk_status status_of_errno(int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
		return HVS_BLK_NO_SPACE;
	case EROFS:
	case EPERM:
		return HVS_BLK_READ_ONLY;
	case ENODEV:
	case ENXIO:
		return HVS_BLK_GONE;
	default:
		return HVS_BLK_IO_ERROR;
	}
}

static void finish(struct hvs_filedisk *disk, struct hvs_blk_req *req, enum hvs_blk_status status)
{
	disk->in_flight--;
	hvs_blk_complete(req, status);
}

/* ---- submission ------------------------------------------------------------------------- */

/* Reads and writes: as much of what is left as one operation can do. False: iov is too short. */
static bool prepare_transfer(struct io_uring_sqe *sqe, int fd, const struct hvs_blk_req *req)
{
	const bool write = req->op == HVS_BLK_WRITE;
	const uint64_t done = bytes_done(req);
	const struct iovec *iov = req->iov;
	unsigned left = req->iovcnt;
	uint64_t skip = done;

	while (left > 0 && skip >= iov->iov_len) {
		skip -= iov->iov_len;
		iov++;
		left--;
	}
	if (left == 0)
		return false;

	if (skip > 0 || left == 1) {
		/* The rest of one piece, so that the library's iov need not be changed. */
		uint64_t len = iov->iov_len - skip;

		if (len > MAX_PIECE)
			len = MAX_PIECE;
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, fd,
				 (char *)iov->iov_base + skip, (unsigned)len, req->offset + done);
	} else {
		if (left > IOV_MAX)
			left = IOV_MAX;
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, fd, iov, left,
				 req->offset + done);
	}
	if (req->flags & HVS_BLK_FUA && write)
		sqe->rw_flags = RWF_DSYNC;
	return true;
}

/* Give the request, which is counted in in_flight, an SQE; sqe_flags are added to it. */
static void start(struct hvs_filedisk *disk, struct hvs_blk_req *req, unsigned sqe_flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&disk->ring);

	/* There are as many SQEs as requests may be in flight, and each has at most one. */
	assert(sqe);
	if (req->op == HVS_BLK_FLUSH) {
		io_uring_prep_fsync(sqe, disk->fd, IORING_FSYNC_DATASYNC);
	} else if (!prepare_transfer(sqe, disk->fd, req)) {
		/* Too late to give the SQE back: let it do nothing and fail the request then. */
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, req);
		return;
	}
	io_uring_sqe_set_flags(sqe, sqe_flags);
	io_uring_sqe_set_data(sqe, req);
}

static void start_new(struct hvs_filedisk *disk, struct hvs_blk_req *req)
{
	set_bytes_done(req, 0);
	set_retries(req, 0);
	disk->in_flight++;
	start(disk, req, 0);
}

static struct hvs_blk_req *take_waiting(struct hvs_filedisk *disk)
{
	struct hvs_blk_req *req = disk->first_waiting;

	if (req)
		disk->first_waiting = req->backend_priv[0];
	return req;
}

static void wait_for_room(struct hvs_filedisk *disk, struct hvs_blk_req *req)
{
	req->backend_priv[0] = NULL;
	if (disk->first_waiting)
		disk->last_waiting->backend_priv[0] = req;
	else
		disk->first_waiting = req;
	disk->last_waiting = req;
}

/*
 * Is it settled without the kernel's help, and how? The range is checked again here although the
 * library did: a write behind the end would make the file grow.
 */
static bool settled(const struct hvs_filedisk *disk, const struct hvs_blk_req *req,
		    enum hvs_blk_status *status)
{
	*status = HVS_BLK_OK;
	if (req->op == HVS_BLK_FLUSH && disk->read_only)
		return true;
	if (disk->broken)
		*status = HVS_BLK_IO_ERROR;
	else if (req->op == HVS_BLK_FLUSH)
		return false;
	else if (req->op == HVS_BLK_WRITE && disk->read_only)
		*status = HVS_BLK_READ_ONLY;
	else if (req->offset > disk->len || req->len > disk->len - req->offset)
		*status = HVS_BLK_RANGE;
	return *status != HVS_BLK_OK || req->len == 0;
}

static void filedisk_submit(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_filedisk *disk = opaque;
	enum hvs_blk_status status;

	if (settled(disk, req, &status))
		hvs_blk_complete(req, status);
	else if (disk->first_waiting || disk->in_flight >= disk->depth)
		wait_for_room(disk, req); /* first come, first served */
	else
		start_new(disk, req);
}

/*
 * The kernel refuses, and not for a moment (a seccomp filter that came later, for example): fail
 * everything it has not taken. What it has taken still completes.
 */
static void give_up(struct hvs_filedisk *disk)
{
	struct io_uring_sq *sq = &disk->ring.sq;
	struct hvs_blk_req *req;

	disk->broken = true;
	while (io_uring_sq_ready(&disk->ring) > 0) {
		/* The newest first; liburing keeps SQEs in ring order. */
		const struct io_uring_sqe *sqe = &sq->sqes[--sq->sqe_tail & sq->ring_mask];

		finish(disk, (struct hvs_blk_req *)(uintptr_t)sqe->user_data, HVS_BLK_IO_ERROR);
	}
	while ((req = take_waiting(disk)))
		hvs_blk_complete(req, HVS_BLK_IO_ERROR);
}

/* One system call in the normal case. */
static void hand_to_kernel(struct hvs_filedisk *disk)
{
	const struct timeval soon = {.tv_usec = SUBMIT_RETRY_US};
	int n;

	while (io_uring_sq_ready(&disk->ring) > 0) {
		n = io_uring_submit(&disk->ring);
		if (n > 0 || n == -EINTR)
			continue;
		if (n == 0 || n == -EAGAIN || n == -EBUSY || n == -ENOMEM) {
			/* Short of memory. If even the timer can't be had, nobody would retry. */
			if (event_add(disk->retry_event, &soon) == 0)
				return;
		}
		give_up(disk);
	}
}

/* ---- completion ------------------------------------------------------------------------- */

/* One operation of req has ended: res is its byte count or a negative errno. */
static void on_result(struct hvs_filedisk *disk, struct hvs_blk_req *req, int res)
{
	if (res == -EAGAIN || res == -EINTR) {
		unsigned count = retries(req) + 1;

		set_retries(req, count);
		if (count > MAX_RETRIES || disk->broken)
			finish(disk, req, HVS_BLK_IO_ERROR);
		else
			start(disk, req, IOSQE_ASYNC); /* where it can wait for what it needs */
		return;
	}
	if (res < 0 || req->op == HVS_BLK_FLUSH) {
		finish(disk, req, res < 0 ? status_of_errno(-res) : HVS_BLK_OK);
		return;
	}

	set_bytes_done(req, bytes_done(req) + (unsigned)res);
	set_retries(req, 0);
	if (bytes_done(req) >= req->len)
		finish(disk, req, HVS_BLK_OK);
	else if (res == 0 || disk->broken)
		/* No progress: a read behind the end of a file that somebody made shorter. */
		finish(disk, req, HVS_BLK_IO_ERROR);
	else
		start(disk, req, 0);
}

/* Handle all completions that are there. Returns how many. */
static unsigned reap(struct hvs_filedisk *disk)
{
	struct io_uring_cqe *cqes[CQE_BATCH];
	struct {
		struct hvs_blk_req *req;
		int res;
	} done[CQE_BATCH];
	unsigned total = 0;
	unsigned n;

	while ((n = io_uring_peek_batch_cqe(&disk->ring, cqes, CQE_BATCH)) > 0) {
		for (unsigned i = 0; i < n; i++) {
			done[i].req = io_uring_cqe_get_data(cqes[i]);
			done[i].res = cqes[i]->res;
		}
		io_uring_cq_advance(&disk->ring, n);
		for (unsigned i = 0; i < n; i++)
			on_result(disk, done[i].req, done[i].res);
		total += n;
	}
	while (disk->first_waiting && disk->in_flight < disk->depth)
		start_new(disk, take_waiting(disk));
	return total;
}

void hvsi_filedisk_run(struct hvs_filedisk *disk)
{
	/* A completion may make the library submit and commit: the loop below takes it up. */
	if (disk->running)
		return;
	disk->running = true;
	do {
		hand_to_kernel(disk);
	} while (reap(disk) > 0);
	disk->running = false;
}

static void filedisk_commit(void *opaque, uint32_t queue)
{
	(void)queue;
	hvsi_filedisk_run(opaque);
}

void hvsi_filedisk_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_filedisk *disk = arg;
	struct event_base *outer = hvsi_base_enter(disk->base);

	(void)fd;
	(void)what;
	hvsi_filedisk_run(disk);
	hvsi_base_leave(outer);
}

/* ---- properties ------------------------------------------------------------------------- */

static int filedisk_get_info(void *opaque, struct hvs_blk_info *info)
{
	const struct hvs_filedisk *disk = opaque;

	info->block_size = disk->block_size;
	info->physical_block_size = disk->physical_block_size;
	info->num_blocks = disk->len / disk->block_size;
	info->flags = disk->read_only ? HVS_BLK_INFO_READ_ONLY
				      : HVS_BLK_INFO_FUA | HVS_BLK_INFO_WRITE_BACK;
	return 0;
}

const struct hvs_blk_ops hvs_filedisk_ops = {
	HVS_BLK_OPS_INIT,
	.get_info = filedisk_get_info,
	.submit = filedisk_submit,
	.commit = filedisk_commit,
};

#endif
