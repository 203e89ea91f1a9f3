/* SPDX-License-Identifier: MIT */
/*
 * File disks: what does not depend on how I/O is done. Requests are checked, and settled here if
 * that takes no I/O; all others go to the engine.
 */
#include <hvstack/host/filedisk.h>

#include "host/filedisk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Most bytes the kernel moves at a time (MAX_RW_COUNT); the length in an SQE has 32 bits. */
#define MAX_PIECE 0x7ffff000u

/* ---- for engines ------------------------------------------------------------------------ */

bool hvsi_filedisk_piece(const struct hvs_blk_req *req, uint64_t done, struct hvsi_piece *piece)
{
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
	piece->offset = req->offset + done;
	if (skip == 0 && left > 1) {
		piece->iov = iov;
		piece->count = left < IOV_MAX ? left : IOV_MAX;
		return true;
	}
	/* The rest of one element, so that the library's iov need not be changed. */
	piece->one.iov_base = (char *)iov->iov_base + skip;
	piece->one.iov_len = iov->iov_len - skip;
	if (piece->one.iov_len > MAX_PIECE)
		piece->one.iov_len = MAX_PIECE;
	piece->iov = &piece->one;
	piece->count = 1;
	return true;
}

/* The size stays as it is: a range that lies behind a new end must not make the file longer. */
int hvsi_filedisk_fallocate_mode(const struct hvs_blk_req *req)
{
	if (req->op == HVS_BLK_UNMAP || req->flags & HVS_BLK_MAY_UNMAP)
		return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

enum hvs_blk_status hvsi_filedisk_status(const struct hvs_blk_req *req, int err)
{
	bool optional = req->op == HVS_BLK_UNMAP || req->op == HVS_BLK_WRITE_ZEROES;

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
	case EOPNOTSUPP:
	case ENOSYS:
	case EINVAL: /* a block device with larger blocks than the disk */
		return optional ? HVS_BLK_UNSUPPORTED : HVS_BLK_IO_ERROR;
	default:
		return HVS_BLK_IO_ERROR;
	}
}

static bool inside(const struct hvs_filedisk *disk, const struct hvs_blk_req *req)
{
	uint64_t len = atomic_load_explicit(&disk->len, memory_order_relaxed);

	return req->offset <= len && req->len <= len - req->offset;
}

/* A write that was on its way while the file became shorter may have made it longer again. */
static void trim(struct hvs_filedisk *disk)
{
	uint64_t bytes = 0;

	pthread_mutex_lock(&disk->size_mutex);
	/* Failure leaves the file too long, which does no harm. */
	if (disk->size_is_set && hvsi_filedisk_measure(disk, &bytes) == 0 && bytes > disk->len)
		(void)!ftruncate(disk->fd, (off_t)disk->len);
	pthread_mutex_unlock(&disk->size_mutex);
}

void hvsi_filedisk_finish(struct hvs_filedisk *disk, struct hvs_blk_req *req,
			  enum hvs_blk_status status)
{
	if (req->op != HVS_BLK_FLUSH && !inside(disk, req)) {
		if (req->op == HVS_BLK_WRITE)
			trim(disk);
		if (status == HVS_BLK_OK || status == HVS_BLK_IO_ERROR)
			status = HVS_BLK_RANGE;
	}
	hvs_blk_complete(req, status);
}

/* ---- requests --------------------------------------------------------------------------- */

/*
 * Which part of the file is data, to the byte. What is data even in part is mapped: a block that
 * is said to be unmapped must be one.
 */
static enum hvs_blk_status find_extent(struct hvs_filedisk *disk, struct hvs_blk_req *req)
{
	const uint64_t block = disk->block_size;
	const uint64_t end = req->offset + req->len;
	uint64_t until = end;
	off_t data = lseek(disk->fd, (off_t)req->offset, SEEK_DATA);
	off_t hole;

	req->extent_unmapped = false;
	req->extent_len = req->len;
	if (data < 0 && errno != ENXIO) /* ENXIO: no data up to the end of the file */
		return HVS_BLK_IO_ERROR;
	if (data >= 0 && (uint64_t)data < end)
		until = (uint64_t)data / block * block;
	if (until > req->offset) {
		req->extent_unmapped = true;
		req->extent_len = until - req->offset;
		return HVS_BLK_OK;
	}
	/* Data begin in the first block. Somebody may unmap them meanwhile: then the hole is now. */
	hole = lseek(disk->fd, data, SEEK_HOLE);
	if (hole < 0)
		return errno == ENXIO ? HVS_BLK_RANGE : HVS_BLK_IO_ERROR;
	if ((uint64_t)hole < end) {
		until = ((uint64_t)hole + block - 1) / block * block;
		req->extent_len = until > req->offset ? until - req->offset : block;
	}
	return HVS_BLK_OK;
}

/*
 * Is it settled without the engine, and how? The range is checked again here although the
 * library did: a write behind the end would make the file longer.
 */
static bool settled(struct hvs_filedisk *disk, struct hvs_blk_req *req, enum hvs_blk_status *status)
{
	*status = HVS_BLK_OK;
	switch (req->op) {
	case HVS_BLK_FLUSH:
		return disk->opened_read_only;
	case HVS_BLK_WRITE:
	case HVS_BLK_UNMAP:
	case HVS_BLK_WRITE_ZEROES:
		if (atomic_load_explicit(&disk->read_only, memory_order_relaxed)) {
			*status = HVS_BLK_READ_ONLY;
			return true;
		}
		break;
	case HVS_BLK_READ:
	case HVS_BLK_LBA_STATUS:
		break;
	default:
		*status = HVS_BLK_UNSUPPORTED;
		return true;
	}
	if (!inside(disk, req)) {
		*status = HVS_BLK_RANGE;
		return true;
	}
	if (req->op == HVS_BLK_LBA_STATUS && req->len > 0) {
		*status = find_extent(disk, req);
		return true;
	}
	return req->len == 0;
}

static void filedisk_submit(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_filedisk *disk = opaque;
	enum hvs_blk_status status;

	if (settled(disk, req, &status))
		hvs_blk_complete(req, status);
	else
		disk->engine->submit(disk, req);
}

static void filedisk_commit(void *opaque, uint32_t queue)
{
	struct hvs_filedisk *disk = opaque;

	disk->engine->commit(disk, queue);
}

static void filedisk_cancel(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_filedisk *disk = opaque;

	disk->engine->cancel(disk, req);
}

/* ---- properties ------------------------------------------------------------------------- */

int hvsi_filedisk_measure(const struct hvs_filedisk *disk, uint64_t *bytes)
{
	struct stat st;

	if (disk->block_device)
		return ioctl(disk->fd, BLKGETSIZE64, bytes) < 0 ? -errno : 0;
	if (fstat(disk->fd, &st) < 0)
		return -errno;
	*bytes = (uint64_t)st.st_size;
	return 0;
}

static int filedisk_get_info(void *opaque, struct hvs_blk_info *info)
{
	struct hvs_filedisk *disk = opaque;
	uint64_t bytes = 0;
	int err;

	pthread_mutex_lock(&disk->size_mutex);
	err = hvsi_filedisk_measure(disk, &bytes);
	if (!err && disk->size_is_set && bytes > disk->len)
		bytes = disk->len;
	if (!err)
		disk->len = bytes - bytes % disk->block_size;
	info->num_blocks = disk->len / disk->block_size;
	pthread_mutex_unlock(&disk->size_mutex);
	if (err)
		return err;
	if (info->num_blocks == 0)
		return -EINVAL;

	info->flags = disk->info_flags;
	if (disk->read_only)
		info->flags |= HVS_BLK_INFO_READ_ONLY;
	info->block_size = disk->block_size;
	info->physical_block_size = disk->physical_block_size;
	info->unmap_granularity = disk->unmap_granularity;
	info->max_queues = disk->max_queues;
	return 0;
}

int hvs_filedisk_resize(struct hvs_filedisk *disk, uint64_t bytes)
{
	uint64_t before;
	int err = 0;

	if (bytes == 0 || bytes % disk->block_size || bytes > INT64_MAX)
		return -EINVAL;
	if (disk->opened_read_only)
		return -EROFS;
	if (disk->block_device)
		return -ENOTSUP;
	pthread_mutex_lock(&disk->size_mutex);
	before = disk->len;
	/* Shorter: first no new requests behind the new end. Longer: first there must be a file. */
	if (bytes < before)
		disk->len = bytes;
	if (ftruncate(disk->fd, (off_t)bytes) < 0) {
		err = -errno;
		disk->len = before;
	} else {
		disk->len = bytes;
		disk->size_is_set = true;
	}
	pthread_mutex_unlock(&disk->size_mutex);
	return err;
}

int hvs_filedisk_set_read_only(struct hvs_filedisk *disk, bool read_only)
{
	if (disk->opened_read_only && !read_only)
		return -EROFS;
	disk->read_only = read_only;
	return 0;
}

const struct hvs_blk_ops *hvs_filedisk_ops(void)
{
	static const struct hvs_blk_ops ops = {
		HVS_BLK_OPS_INIT,          .get_info = filedisk_get_info, .submit = filedisk_submit,
		.commit = filedisk_commit, .cancel = filedisk_cancel,
	};

	return &ops;
}
