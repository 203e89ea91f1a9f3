/* SPDX-License-Identifier: MIT */
/*
 * I/O of an NBD disk. submit() puts a request on a list, commit() wakes the thread of the disk. It
 * sends commands, waits for answers, and completes requests.
 *
 * NBD has one piece of memory per command. A request whose memory is in one piece is sent from and
 * received into the guest's memory; another one through a copy, which costs less than a command
 * for each page. Requests larger than the server likes become several commands.
 *
 * libnbd holds a lock of its own while it calls back, and does so from inside of any of its
 * functions. So callbacks only note what has happened; the loop of the thread goes on from there.
 */
#include <hvstack/host/nbddisk.h>

#if HVSI_WITH_LIBNBD

#include "host/nbddisk_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Commands without data: their length has 32 bits. */
#define MAX_RANGE (1u << 30)
/* Commands that one request has with the server. */
#define MAX_PARTS 8u
/* In base:allocation. */
#define STATE_HOLE 1u

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static enum hvs_blk_status status_of_errno(const struct hvs_blk_req *req, int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
		return HVS_BLK_NO_SPACE;
	case EROFS:
	case EPERM:
		return HVS_BLK_READ_ONLY;
	case ESHUTDOWN:
	case ENOTCONN:
		return HVS_BLK_GONE;
	case EOPNOTSUPP:
		return req->op == HVS_BLK_UNMAP || req->op == HVS_BLK_WRITE_ZEROES
			       ? HVS_BLK_UNSUPPORTED
			       : HVS_BLK_IO_ERROR;
	default:
		return HVS_BLK_IO_ERROR;
	}
}

static void note_failure(struct hvsi_nbd_io *io, enum hvs_blk_status status)
{
	if (io->status == HVS_BLK_OK)
		io->status = status;
}

static void check_connection(struct hvs_nbddisk *disk)
{
	if (disk->gone || (!nbd_aio_is_dead(disk->nbd) && !nbd_aio_is_closed(disk->nbd)))
		return;
	disk->gone = true;
	if (disk->log)
		disk->log(disk->log_arg, "the connection to the NBD server is lost");
}

/* ---- memory ----------------------------------------------------------------------------- */

/* Is its memory in one piece, and where? */
static bool one_piece(const struct hvs_blk_req *req, uint8_t **start)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < req->iovcnt; i++) {
		if (req->iov[i].iov_len == 0)
			continue;
		if (bytes == 0)
			*start = req->iov[i].iov_base;
		else if (*start + bytes != req->iov[i].iov_base)
			return false;
		bytes += req->iov[i].iov_len;
	}
	return bytes > 0;
}

static uint64_t iov_bytes(const struct hvs_blk_req *req)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < req->iovcnt; i++)
		bytes += req->iov[i].iov_len;
	return bytes;
}

static void gather(uint8_t *to, const struct hvs_blk_req *req)
{
	for (unsigned i = 0; i < req->iovcnt; i++) {
		if (req->iov[i].iov_len == 0)
			continue;
		memcpy(to, req->iov[i].iov_base, req->iov[i].iov_len);
		to += req->iov[i].iov_len;
	}
}

static void scatter(const struct hvs_blk_req *req, const uint8_t *from)
{
	for (unsigned i = 0; i < req->iovcnt; i++) {
		if (req->iov[i].iov_len == 0)
			continue;
		memcpy(req->iov[i].iov_base, from, req->iov[i].iov_len);
		from += req->iov[i].iov_len;
	}
}

static bool prepare_memory(struct hvsi_nbd_io *io)
{
	const struct hvs_blk_req *req = io->req;

	if (req->len == 0 || iov_bytes(req) != req->len)
		return false;
	if (one_piece(req, &io->data))
		return true;
	/* Zeroed for reads: a server may say that all is well without having sent everything,
	 * and the guest must not see what was here before. */
	io->bounce = req->op == HVS_BLK_READ ? calloc(1, req->len) : malloc(req->len);
	io->data = io->bounce;
	if (io->bounce && req->op == HVS_BLK_WRITE)
		gather(io->bounce, req);
	return io->bounce != NULL;
}

/* ---- commands --------------------------------------------------------------------------- */

static int on_result(void *arg, int *error)
{
	struct hvsi_nbd_io *io = arg;

	if (*error)
		note_failure(io, status_of_errno(io->req, *error));
	else
		io->changed = true;
	return 1; /* libnbd may forget the command */
}

/* Exactly once for each command, also for one that libnbd does not accept. */
static void on_end(void *arg)
{
	struct hvsi_nbd_io *io = arg;

	io->parts--;
	if (io->listed)
		return;
	io->listed = true;
	io->next = io->disk->ended_parts;
	io->disk->ended_parts = io;
}

static int on_extents(void *arg, const char *context, uint64_t offset, uint32_t *entries,
		      size_t count, int *error)
{
	struct hvsi_nbd_io *io = arg;
	struct hvs_blk_req *req = io->req;
	uint64_t len;

	(void)error;
	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || offset != req->offset ||
	    count < 2)
		return 0;
	/* Server's words: bounded and rounded. What is smaller than a block counts as mapped. */
	len = entries[0] < req->len ? entries[0] : req->len;
	len -= len % io->disk->block_size;
	req->extent_unmapped = len && entries[1] & STATE_HOLE;
	req->extent_len = len ? len : io->disk->block_size;
	return 0;
}

static int64_t send_command(struct hvsi_nbd_io *io, uint64_t len)
{
	const nbd_completion_callback end = {
		.callback = on_result, .user_data = io, .free = on_end};
	const nbd_extent_callback extents = {.callback = on_extents, .user_data = io};
	const struct hvs_blk_req *req = io->req;
	const uint64_t offset = req->offset + io->sent;
	struct nbd_handle *nbd = io->disk->nbd;
	uint32_t flags = req->flags & HVS_BLK_FUA ? LIBNBD_CMD_FLAG_FUA : 0;

	switch (req->op) {
	case HVS_BLK_READ:
		return nbd_aio_pread(nbd, io->data + io->sent, len, offset, end, 0);
	case HVS_BLK_WRITE:
		return nbd_aio_pwrite(nbd, io->data + io->sent, len, offset, end, flags);
	case HVS_BLK_FLUSH:
		return nbd_aio_flush(nbd, end, 0);
	case HVS_BLK_UNMAP:
		return nbd_aio_trim(nbd, len, offset, end, 0);
	case HVS_BLK_WRITE_ZEROES:
		if (!(req->flags & HVS_BLK_MAY_UNMAP))
			flags |= LIBNBD_CMD_FLAG_NO_HOLE;
		return nbd_aio_zero(nbd, len, offset, end, flags);
	case HVS_BLK_LBA_STATUS:
	default:
		return nbd_aio_block_status(nbd, len, offset, extents, end,
					    LIBNBD_CMD_FLAG_REQ_ONE);
	}
}

/* Send as much of it as may be sent now. */
static void send_parts(struct hvsi_nbd_io *io)
{
	struct hvs_blk_req *req = io->req;
	const bool data = req->op == HVS_BLK_READ || req->op == HVS_BLK_WRITE;
	const uint64_t most = data ? io->disk->max_part : MAX_RANGE;

	while (io->more && io->parts < MAX_PARTS && io->status == HVS_BLK_OK) {
		uint64_t len = req->len - io->sent;

		if (len > most)
			len = most;
		io->parts++;
		if (send_command(io, len) < 0) {
			const int err = nbd_get_errno();

			check_connection(io->disk);
			note_failure(io, io->disk->gone ? HVS_BLK_GONE : status_of_errno(req, err));
		}
		io->sent += len;
		/* One answer about the beginning of the range is all that is wanted. */
		io->more = io->sent < req->len && req->op != HVS_BLK_LBA_STATUS;
	}
}

/* ---- requests --------------------------------------------------------------------------- */

static bool zeroes(const struct hvs_blk_req *req)
{
	return req->op == HVS_BLK_WRITE_ZEROES || req->op == HVS_BLK_UNMAP;
}

/*
 * qemu-nbd 7.2 loses data of qcow2 images when it zeroes a part of a cluster that it allocates for a
 * write at that moment: of 150 runs of data_are_in_a_qcow2, one or two found it. So our own server has
 * nothing else to change while it zeroes.
 */
static bool must_wait(const struct hvs_nbddisk *disk, const struct hvs_blk_req *req)
{
	if (disk->server.pid == 0)
		return false;
	return (req->op == HVS_BLK_WRITE && disk->zeroing) ||
	       (zeroes(req) && (disk->writing || disk->zeroing));
}

static void finish(struct hvsi_nbd_io *io)
{
	struct hvs_nbddisk *disk = io->disk;
	struct hvs_blk_req *req = io->req;
	enum hvs_blk_status status = io->status;

	if (status == HVS_BLK_UNSUPPORTED && io->changed)
		status = HVS_BLK_IO_ERROR; /* it would mean that nothing has changed */
	if (status == HVS_BLK_OK && req->op == HVS_BLK_LBA_STATUS && req->extent_len == 0)
		status = HVS_BLK_IO_ERROR; /* the server said nothing */
	if (status == HVS_BLK_OK && req->op == HVS_BLK_READ && io->bounce)
		scatter(req, io->bounce);
	free(io->bounce);
	io->bounce = NULL;
	io->req = NULL;
	disk->writing -= req->op == HVS_BLK_WRITE;
	disk->zeroing -= zeroes(req);
	io->next = disk->free_ios;
	disk->free_ios = io;
	hvs_blk_complete(req, status);
}

static bool changes_data(const struct hvs_blk_req *req)
{
	return req->op == HVS_BLK_WRITE || req->op == HVS_BLK_UNMAP ||
	       req->op == HVS_BLK_WRITE_ZEROES;
}

static bool offered(const struct hvs_nbddisk *disk, enum hvs_blk_op op)
{
	switch (op) {
	case HVS_BLK_READ:
	case HVS_BLK_WRITE:
	case HVS_BLK_FLUSH:
		return true;
	case HVS_BLK_UNMAP:
		return disk->info_flags & HVS_BLK_INFO_UNMAP;
	case HVS_BLK_WRITE_ZEROES:
		return disk->info_flags & HVS_BLK_INFO_WRITE_ZEROES;
	case HVS_BLK_LBA_STATUS:
		return disk->info_flags & HVS_BLK_INFO_LBA_STATUS;
	}
	return false;
}

/* Is it settled without the server's help, and how? */
static bool settled(const struct hvs_nbddisk *disk, const struct hvs_blk_req *req,
		    enum hvs_blk_status *status)
{
	*status = HVS_BLK_OK;
	if (disk->gone)
		*status = HVS_BLK_GONE;
	else if (changes_data(req) && disk->info_flags & HVS_BLK_INFO_READ_ONLY)
		*status = HVS_BLK_READ_ONLY;
	else if (!offered(disk, req->op))
		*status = HVS_BLK_UNSUPPORTED;
	else if (req->op == HVS_BLK_FLUSH)
		return !disk->can_flush;
	else if (req->offset > disk->len || req->len > disk->len - req->offset)
		*status = HVS_BLK_RANGE;
	return *status != HVS_BLK_OK || req->len == 0;
}

static void start(struct hvs_nbddisk *disk, struct hvs_blk_req *req)
{
	struct hvsi_nbd_io *io = disk->free_ios;
	enum hvs_blk_status status;

	if (settled(disk, req, &status)) {
		hvs_blk_complete(req, status);
		return;
	}
	disk->free_ios = io->next;
	*io = (struct hvsi_nbd_io){.disk = disk, .req = req, .more = true};
	disk->writing += req->op == HVS_BLK_WRITE;
	disk->zeroing += zeroes(req);
	if (disk->request_timeout_ns)
		io->since_ns = now_ns();
	req->extent_len = 0;
	if ((req->op == HVS_BLK_READ || req->op == HVS_BLK_WRITE) && !prepare_memory(io)) {
		io->status = HVS_BLK_IO_ERROR;
		finish(io);
		return;
	}
	send_parts(io);
}

static struct hvs_blk_req *take_waiting(struct hvs_nbddisk *disk)
{
	struct hvs_blk_req *req;

	pthread_mutex_lock(&disk->lock);
	req = disk->first_waiting;
	if (req && must_wait(disk, req))
		req = NULL;
	if (req)
		disk->first_waiting = req->backend_priv[0];
	pthread_mutex_unlock(&disk->lock);
	return req;
}

/* Go on with everything that can: what has answers, and what waits. */
static void make_progress(struct hvs_nbddisk *disk)
{
	struct hvs_blk_req *req;
	struct hvsi_nbd_io *io;

	do {
		while ((io = disk->ended_parts)) {
			disk->ended_parts = io->next;
			io->listed = false;
			send_parts(io);
			/* Unless the new part has ended already. */
			if (io->parts == 0 && !io->listed)
				finish(io);
		}
		req = disk->free_ios ? take_waiting(disk) : NULL;
		if (req)
			start(disk, req);
	} while (req || disk->ended_parts);
}

/* ---- the thread ------------------------------------------------------------------------- */

/* Give up a server that is silent. Returns milliseconds until it is to be looked at again, or -1. */
static int check_timeout(struct hvs_nbddisk *disk)
{
	uint64_t oldest = UINT64_MAX;
	uint64_t now;
	uint64_t left;

	if (!disk->request_timeout_ns || disk->gone)
		return -1;
	for (unsigned i = 0; i < HVSI_NBD_DEPTH; i++)
		if (disk->ios[i].req && disk->ios[i].since_ns < oldest)
			oldest = disk->ios[i].since_ns;
	if (oldest == UINT64_MAX)
		return -1;
	now = now_ns();
	if (now - oldest < disk->request_timeout_ns) {
		left = (disk->request_timeout_ns - (now - oldest)) / 1000000 + 1;
		return left < INT32_MAX ? (int)left : INT32_MAX;
	}
	if (disk->log)
		disk->log(disk->log_arg, "the NBD server does not answer and is given up");
	/* libnbd sees the end of the connection and fails what is outstanding. */
	(void)shutdown(nbd_aio_get_fd(disk->nbd), SHUT_RDWR);
	return -1;
}

static short wanted_events(struct hvs_nbddisk *disk)
{
	switch (nbd_aio_get_direction(disk->nbd)) {
	case LIBNBD_AIO_DIRECTION_READ:
		return POLLIN;
	case LIBNBD_AIO_DIRECTION_WRITE:
		return POLLOUT;
	case LIBNBD_AIO_DIRECTION_BOTH:
		return POLLIN | POLLOUT;
	default:
		return 0;
	}
}

static void on_connection(struct hvs_nbddisk *disk, const struct pollfd *fd)
{
	/* Only one of both: either may change what is wanted. An error counts as what is wanted,
	 * so that libnbd finds it. */
	const int found = fd->revents & (POLLHUP | POLLERR) ? fd->events : fd->revents;

	if (found & POLLIN)
		(void)nbd_aio_notify_read(disk->nbd);
	else if (found & POLLOUT)
		(void)nbd_aio_notify_write(disk->nbd);
	check_connection(disk);
}

static bool told_to_stop(struct hvs_nbddisk *disk)
{
	bool stop;

	pthread_mutex_lock(&disk->lock);
	disk->kicked = false;
	stop = disk->stop;
	pthread_mutex_unlock(&disk->lock);
	return stop;
}

void *hvsi_nbddisk_run(void *arg)
{
	struct hvs_nbddisk *disk = arg;
	struct pollfd fds[3] = {{.fd = disk->kick, .events = POLLIN}};
	uint64_t count;

	for (;;) {
		const int timeout = check_timeout(disk);

		fds[1].fd = disk->gone ? -1 : nbd_aio_get_fd(disk->nbd);
		if (!disk->gone)
			fds[1].events = wanted_events(disk);
		fds[2].fd = disk->server.said_fd;
		fds[2].events = POLLIN;
		if (poll(fds, 3, timeout) <= 0)
			continue;
		if (fds[0].revents) {
			(void)!read(disk->kick, &count, sizeof(count));
			if (told_to_stop(disk))
				return NULL;
		}
		if (fds[1].revents)
			on_connection(disk, &fds[1]);
		if (fds[2].revents)
			hvsi_nbd_server_listen(&disk->server, disk->log, disk->log_arg);
		make_progress(disk);
	}
}

void hvsi_nbddisk_kick(struct hvs_nbddisk *disk)
{
	const uint64_t one = 1;

	(void)!write(disk->kick, &one, sizeof(one));
}

/* ---- what the library calls ------------------------------------------------------------- */

static int nbddisk_get_info(void *opaque, struct hvs_blk_info *info)
{
	const struct hvs_nbddisk *disk = opaque;

	info->flags = disk->info_flags;
	info->block_size = disk->block_size;
	info->physical_block_size = disk->physical_block_size;
	info->num_blocks = disk->len / disk->block_size;
	info->max_queues = HVS_BLK_ANY_QUEUE;
	return 0;
}

static void nbddisk_submit(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_nbddisk *disk = opaque;

	req->backend_priv[0] = NULL;
	pthread_mutex_lock(&disk->lock);
	if (disk->first_waiting)
		disk->last_waiting->backend_priv[0] = req;
	else
		disk->first_waiting = req;
	disk->last_waiting = req;
	pthread_mutex_unlock(&disk->lock);
}

static void nbddisk_commit(void *opaque, uint32_t queue)
{
	struct hvs_nbddisk *disk = opaque;
	bool kick;

	(void)queue;
	pthread_mutex_lock(&disk->lock);
	kick = disk->first_waiting && !disk->kicked;
	disk->kicked |= kick;
	pthread_mutex_unlock(&disk->lock);
	if (kick)
		hvsi_nbddisk_kick(disk);
}

static void nbddisk_cancel(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_nbddisk *disk = opaque;
	struct hvs_blk_req *before = NULL;
	struct hvs_blk_req *found;

	pthread_mutex_lock(&disk->lock);
	for (found = disk->first_waiting; found && found != req; found = found->backend_priv[0])
		before = found;
	if (found) {
		if (before)
			before->backend_priv[0] = found->backend_priv[0];
		else
			disk->first_waiting = found->backend_priv[0];
		if (disk->last_waiting == found)
			disk->last_waiting = before;
	}
	pthread_mutex_unlock(&disk->lock);
	if (found)
		hvs_blk_complete(found, HVS_BLK_ABORTED);
}

const struct hvs_blk_ops *hvs_nbddisk_ops(void)
{
	static const struct hvs_blk_ops ops = {
		HVS_BLK_OPS_INIT,         .get_info = nbddisk_get_info, .submit = nbddisk_submit,
		.commit = nbddisk_commit, .cancel = nbddisk_cancel,
	};

	return &ops;
}

#endif
