/* SPDX-License-Identifier: MIT */
/* Opening and closing a file disk: everything that can be wrong with a file is found here. */
#include <hvstack/host/filedisk.h>

#if HVSI_WITH_LIBURING

#include "host/filedisk_impl.h"
#include "host/sized.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_BLOCK_SIZE 512u
#define DEFAULT_DEPTH 256u
#define MAX_DEPTH 32768u          /* io_uring's limit on SQEs */
#define MAX_PHYSICAL_BLOCK 65536u /* larger hints are about stripes, not blocks */

/* Note what is wrong, for people, and return the errno value for programs. */
static int fail(const char **why, const char *text, int err)
{
	*why = text;
	return -err;
}

static int check_config(struct hvs_filedisk_config *cfg, const char **why)
{
	if (cfg->flags & ~HVS_FILEDISK_READ_ONLY)
		return fail(why, "unknown flags in the configuration", ENOTSUP);
	if (!cfg->path || !cfg->base)
		return fail(why, "path and base must be set in the configuration", EINVAL);
	if (!cfg->block_size)
		cfg->block_size = DEFAULT_BLOCK_SIZE;
	if (cfg->block_size != 512 && cfg->block_size != 4096)
		return fail(why, "block_size must be 512 or 4096", EINVAL);
	if (!cfg->queue_depth)
		cfg->queue_depth = DEFAULT_DEPTH;
	if (cfg->queue_depth > MAX_DEPTH)
		return fail(why, "queue_depth must not be above 32768", EINVAL);
	return 0;
}

/* ---- the file --------------------------------------------------------------------------- */

static const char *why_open(int err, bool read_only, bool block_device)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
		return "no such file";
	case EACCES:
	case EPERM:
		return read_only ? "no permission to read the file"
				 : "no permission to read and write the file; is it meant to be "
				   "read-only?";
	case EROFS:
		return "the file system is read-only: attach the disk read-only";
	case EBUSY:
		return block_device ? "the block device is in use on this host, for example mounted"
				    : "the file is in use";
	case ETXTBSY:
		return "the file is in use as a program or as swap space";
	case ENXIO:
	case ENODEV:
		return "there is no device behind this block device file";
	case EMFILE:
	case ENFILE:
		return "too many open files: raise the limit (ulimit -n)";
	default:
		return "the file can't be opened";
	}
}

static int check_type(const struct stat *st, const char **why)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return fail(why, "this is a directory: a disk is a file or a block device", EINVAL);
	return fail(why, "not a regular file or block device", EINVAL);
}

static int open_file(struct hvs_filedisk *disk, const char *path, struct stat *st, const char **why)
{
	int flags = O_CLOEXEC | (disk->read_only ? O_RDONLY : O_RDWR);
	bool block_device;
	int err;

	/* Before open(): opening a FIFO or a tape can block or have effects. */
	if (stat(path, st) < 0) {
		err = errno;
		return fail(why, why_open(err, disk->read_only, false), err);
	}
	err = check_type(st, why);
	if (err)
		return err;
	/* For block devices O_EXCL means: not while it is mounted or part of something. */
	block_device = S_ISBLK(st->st_mode);
	if (block_device && !disk->read_only)
		flags |= O_EXCL;
	disk->fd = open(path, flags);
	if (disk->fd < 0) {
		err = errno;
		return fail(why, why_open(err, disk->read_only, block_device), err);
	}
	/* Somebody may have replaced it in between. */
	if (fstat(disk->fd, st) < 0)
		return fail(why, "the file can't be examined", errno);
	return check_type(st, why);
}

/*
 * The lock belongs to the open file: it ends when the file is closed, also by a kill, and the
 * last operation on it has ended. That is why the file is not registered with the ring, which
 * would keep it, and the next start out, until the kernel gets round to dismantling the ring.
 */
static int lock_file(const struct hvs_filedisk *disk, const char **why)
{
	struct flock lock = {
		.l_type = disk->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(disk->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return fail(why,
			    disk->read_only
				    ? "another program, or another disk here, is writing to it"
				    : "another program, or another disk here, has it open",
			    EBUSY);
	return fail(why, "the file can't be locked: its file system does not support locks", errno);
}

/* The kernel may hold the file a moment longer than its last completion was to be seen. */
static void unlock_file(const struct hvs_filedisk *disk)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	(void)fcntl(disk->fd, F_OFD_SETLK, &lock);
}

/* Does a guest get along with it? A power of two times the logical block. */
static bool sane_block(const struct hvs_filedisk *disk, uint64_t size)
{
	return size >= disk->block_size && size <= MAX_PHYSICAL_BLOCK && !(size & (size - 1));
}

static int measure(struct hvs_filedisk *disk, const struct stat *st, const char **why)
{
	uint64_t physical = (uint64_t)st->st_blksize;

	disk->len = (uint64_t)st->st_size;
	if (S_ISBLK(st->st_mode)) {
		unsigned bytes = 0;

		if (ioctl(disk->fd, BLKGETSIZE64, &disk->len) < 0)
			return fail(why, "the size of the block device can't be found out", errno);
		if (ioctl(disk->fd, BLKPBSZGET, &bytes) == 0)
			physical = bytes;
	}
	disk->physical_block_size =
		sane_block(disk, physical) ? (uint32_t)physical : disk->block_size;
	if (disk->len == 0)
		return fail(why, "the file is empty: give it the size of the disk (truncate -s)",
			    EINVAL);
	if (disk->len < disk->block_size)
		return fail(why, "the file is smaller than one block", EINVAL);
	if (disk->len % disk->block_size)
		return fail(why,
			    "the size of the file is not a multiple of the block size: is it "
			    "a raw disk image? (truncate -s %4096 rounds up)",
			    EINVAL);
	return 0;
}

/* ---- the ring --------------------------------------------------------------------------- */

static int open_ring(struct hvs_filedisk *disk, const char **why)
{
	struct io_uring_params params = {
		/* Completions are processed when this thread enters the kernel anyway. */
		.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	};
	int err = io_uring_queue_init_params(disk->depth, &disk->ring, &params);

	if (err == -EINVAL) {
		/* Linux before 5.19. */
		params = (struct io_uring_params){0};
		err = io_uring_queue_init_params(disk->depth, &disk->ring, &params);
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
		io_uring_queue_exit(&disk->ring);
		return fail(why, "io_uring of this kernel is too old: Linux 5.6 is needed",
			    ENOTSUP);
	}
	return 0;
}

static int make_events(struct hvs_filedisk *disk)
{
	disk->retry_event = evtimer_new(disk->base, hvsi_filedisk_on_event, disk);
	if (!disk->retry_event)
		return -ENOMEM;
	/* Level-triggered: taking the completions out of the ring is all it takes to quiet it. */
	disk->ring_event = event_new(disk->base, disk->ring.ring_fd, EV_READ | EV_PERSIST,
				     hvsi_filedisk_on_event, disk);
	if (disk->ring_event && event_add(disk->ring_event, NULL) == 0)
		return 0;
	if (disk->ring_event)
		event_free(disk->ring_event);
	event_free(disk->retry_event);
	return -ENOMEM;
}

/* ---- public ----------------------------------------------------------------------------- */

int hvs_filedisk_open(const struct hvs_filedisk_config *cfg_in, struct hvs_filedisk **out,
		      const char **why)
{
	struct hvs_filedisk_config cfg;
	struct hvs_filedisk *disk;
	const char *ignored;
	struct stat st;
	int err;

	if (!why)
		why = &ignored;
	err = hvsi_host_copy_sized(&cfg, sizeof(cfg), cfg_in, sizeof(cfg));
	if (err || !out)
		return fail(why, "the configuration is not one that this library knows",
			    err ? -err : EINVAL);
	err = check_config(&cfg, why);
	if (err)
		return err;
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return fail(why, "out of memory", ENOMEM);
	disk->fd = -1;
	disk->base = cfg.base;
	disk->depth = cfg.queue_depth;
	disk->block_size = cfg.block_size;
	disk->read_only = cfg.flags & HVS_FILEDISK_READ_ONLY;

	err = open_file(disk, cfg.path, &st, why);
	if (!err)
		err = lock_file(disk, why);
	if (!err)
		err = measure(disk, &st, why);
	if (!err)
		err = open_ring(disk, why);
	if (err)
		goto fail_file;
	err = make_events(disk);
	if (err) {
		fail(why, "out of memory", ENOMEM);
		goto fail_ring;
	}
	*out = disk;
	return 0;

fail_ring:
	io_uring_queue_exit(&disk->ring);
fail_file:
	if (disk->fd >= 0)
		close(disk->fd);
	free(disk);
	return err;
}

void hvs_filedisk_close(struct hvs_filedisk *disk)
{
	if (!disk)
		return;
	event_free(disk->ring_event);
	event_free(disk->retry_event);
	io_uring_queue_exit(&disk->ring);
	unlock_file(disk);
	close(disk->fd);
	free(disk);
}

#else

#include <errno.h>
#include <stddef.h>

int hvs_filedisk_open(const struct hvs_filedisk_config *cfg, struct hvs_filedisk **out,
		      const char **why)
{
	(void)cfg;
	(void)out;
	if (why)
		*why = "this library was built without io_uring";
	return -ENOTSUP;
}

void hvs_filedisk_close(struct hvs_filedisk *disk)
{
	(void)disk;
}

const struct hvs_blk_ops hvs_filedisk_ops = {HVS_BLK_OPS_INIT};

#endif
