/* SPDX-License-Identifier: MIT */
/*
 * Reading the disk below, from threads that may block. A file is read directly, through the page cache,
 * which the kernel keeps in step with direct I/O; other back ends take requests from any thread.
 */
#include "host/snapshot_impl.h"

#include "host/blk_filter.h"
#include "host/filedisk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ABORT_POLL_NS 50000000

/* ---- files ------------------------------------------------------------------------------ */

int hvsi_file_read(int fd, uint64_t offset, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len > 0) {
		ssize_t n = pread(fd, to, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		if (n > 0) {
			to += n;
			offset += (uint64_t)n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int hvsi_file_write(int fd, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, from, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			from += n;
			offset += (uint64_t)n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int hvsi_file_extent(int fd, uint64_t offset, uint64_t len, uint64_t *extent_len, bool *zeros)
{
	const uint64_t end = offset + len;
	off_t at = lseek(fd, (off_t)offset, SEEK_DATA);

	if (at < 0 && errno != ENXIO)
		return -errno;
	*zeros = at < 0 || (uint64_t)at > offset;
	if (*zeros) {
		*extent_len = at < 0 || (uint64_t)at > end ? len : (uint64_t)at - offset;
		return 0;
	}
	at = lseek(fd, (off_t)offset, SEEK_HOLE);
	if (at < 0 && errno != ENXIO)
		return -errno;
	*extent_len = at < 0 || (uint64_t)at <= offset || (uint64_t)at > end
			      ? len
			      : (uint64_t)at - offset;
	return 0;
}

int hvsi_temp_file(const char *dir)
{
	static const char name[] = "/.hvstack-XXXXXX";
	char path[PATH_MAX];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return -errno;
	/* A file system without that. */
	if ((size_t)snprintf(path, sizeof(path), "%s%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	return fd;
}

bool hvsi_all_zeros(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	/* If the first byte is zero, and each is like the one before. */
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* ---- opening ---------------------------------------------------------------------------- */

/* Not the descriptor itself: with direct I/O, it wants memory and ranges to be aligned. */
static int open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int hvsi_snapshot_open_source(struct hvs_snapshot *s, uint32_t max_queues)
{
	struct stat st;

	if (s->ops.submit != hvs_filedisk_ops()->submit)
		return max_queues == HVS_BLK_ANY_QUEUE ? 0 : -ENOTSUP;
	s->fd = open_again(((const struct hvs_filedisk *)s->disk)->fd);
	if (s->fd < 0)
		return s->fd;
	if (fstat(s->fd, &st) < 0)
		return -errno;
	s->regular = S_ISREG(st.st_mode);
	return 0;
}

/* ---- requests --------------------------------------------------------------------------- */

struct own {
	struct hvs_blk_req req; /* first: done() gets its address */
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool finished;
	enum hvs_blk_status status;
};

static void own_done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct own *own = (struct own *)req;

	pthread_mutex_lock(&own->mutex);
	own->finished = true;
	own->status = status;
	pthread_cond_signal(&own->cond);
	pthread_mutex_unlock(&own->mutex);
}

static void wait_a_moment(struct own *own)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ABORT_POLL_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(&own->cond, &own->mutex, &until);
}

static int run_own(struct hvs_snapshot *s, struct own *own, const atomic_bool *aborted)
{
	bool cancelled = false;

	pthread_mutex_init(&own->mutex, NULL);
	pthread_cond_init(&own->cond, NULL);
	s->ops.submit(s->disk, &own->req);
	hvsi_filter_commit(&s->ops, s->disk, 0);
	pthread_mutex_lock(&own->mutex);
	while (!own->finished) {
		wait_a_moment(own);
		if (own->finished || cancelled || !atomic_load(aborted))
			continue;
		cancelled = true;
		pthread_mutex_unlock(&own->mutex);
		hvsi_filter_cancel(&s->ops, s->disk, &own->req);
		pthread_mutex_lock(&own->mutex);
	}
	pthread_mutex_unlock(&own->mutex);
	pthread_cond_destroy(&own->cond);
	pthread_mutex_destroy(&own->mutex);
	if (own->status == HVS_BLK_OK)
		return 0;
	return own->status == HVS_BLK_ABORTED ? -ECANCELED : -EIO;
}

int hvsi_snapshot_source_read(struct hvs_snapshot *s, uint64_t offset, void *buf, size_t len,
			      const atomic_bool *aborted)
{
	const struct iovec iov = {buf, len};
	struct own own = {.req = {HVS_BLK_REQ_INIT, .op = HVS_BLK_READ, .iov = &iov, .iovcnt = 1,
				  .offset = offset, .len = len, .done = own_done}};

	if (s->fd >= 0)
		return hvsi_file_read(s->fd, offset, buf, len);
	return run_own(s, &own, aborted);
}

int hvsi_snapshot_source_extent(struct hvs_snapshot *s, uint64_t offset, uint64_t len,
				uint64_t *extent_len, bool *zeros, const atomic_bool *aborted)
{
	const uint32_t wanted = HVS_BLK_INFO_LBA_STATUS | HVS_BLK_INFO_UNMAP_ZEROES;
	struct own own = {.req = {HVS_BLK_REQ_INIT, .op = HVS_BLK_LBA_STATUS, .offset = offset,
				  .len = len, .done = own_done}};
	int err = 0;

	*extent_len = len;
	*zeros = false;
	if (s->fd >= 0 && s->regular)
		return hvsi_file_extent(s->fd, offset, len, extent_len, zeros);
	if (s->fd >= 0 || (s->info_flags & wanted) != wanted)
		return 0;
	err = run_own(s, &own, aborted);
	if (!err) {
		*extent_len = own.req.extent_len;
		*zeros = own.req.extent_unmapped;
	}
	return err;
}
