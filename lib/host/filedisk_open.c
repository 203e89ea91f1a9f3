/* SPDX-License-Identifier: MIT */
/* Opening and closing a file disk: everything that can be wrong with a file is found here. */
#include <hvstack/host/filedisk.h>

#include "host/filedisk_impl.h"
#include "host/sized.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_BLOCK_SIZE 512u
#define MAX_PHYSICAL_BLOCK 65536u /* larger hints are about stripes, not blocks */
#define MAX_QUEUES 1024u
#define FLAGS                                                                                      \
	(HVS_FILEDISK_READ_ONLY | HVS_FILEDISK_SHARED | HVS_FILEDISK_THREADS | HVS_FILEDISK_DIRECT)
/* Bytes of the file whose locks say how it is used; nothing is stored there for it. */
#define LOCK_READERS 0
#define LOCK_SHARERS 1
/* For half a second. */
#define LOCK_STEPS 50u
#define LOCK_STEP_NS 10000000

/* Note what is wrong, for people, and return the errno value for programs. */
static int fail(const char **why, const char *text, int err)
{
	*why = text;
	return -err;
}

static int check_config(struct hvs_filedisk_config *cfg, const char **why)
{
	if (cfg->flags & ~FLAGS || cfg->reserved)
		return fail(why, "unknown flags in the configuration", ENOTSUP);
	if (!cfg->path || !cfg->base == !cfg->bases)
		return fail(why, "path, and either base or bases, must be set in the configuration",
			    EINVAL);
	if (cfg->base) {
		if (cfg->base_count > 0)
			return fail(why, "base_count belongs to bases, not to base", EINVAL);
		cfg->bases = &cfg->base;
		cfg->base_count = 1;
	}
	if (cfg->base_count == 0 || cfg->base_count > MAX_QUEUES)
		return fail(why, "base_count must be 1 to 1024", EINVAL);
	for (uint32_t i = 0; i < cfg->base_count; i++)
		if (!cfg->bases[i])
			return fail(why, "there is a NULL in bases", EINVAL);
	if (!cfg->block_size)
		cfg->block_size = DEFAULT_BLOCK_SIZE;
	if (cfg->block_size != 512 && cfg->block_size != 4096)
		return fail(why, "block_size must be 512 or 4096", EINVAL);
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

static const char why_not_direct[] =
	"the file system of this file can't bypass the page cache (direct I/O)";

static int open_file(struct hvs_filedisk *disk, const struct hvs_filedisk_config *cfg,
		     struct stat *st, const char **why)
{
	int flags = O_CLOEXEC | (disk->opened_read_only ? O_RDONLY : O_RDWR);
	int err;

	/* Before open(): opening a FIFO or a tape can block or have effects. */
	if (stat(cfg->path, st) < 0) {
		err = errno;
		return fail(why, why_open(err, disk->opened_read_only, false), err);
	}
	err = check_type(st, why);
	if (err)
		return err;
	/* For block devices O_EXCL means: not while it is mounted or part of something. */
	disk->block_device = S_ISBLK(st->st_mode);
	if (disk->block_device && !(cfg->flags & (HVS_FILEDISK_READ_ONLY | HVS_FILEDISK_SHARED)))
		flags |= O_EXCL;
	if (cfg->flags & HVS_FILEDISK_DIRECT)
		flags |= O_DIRECT;
	disk->fd = open(cfg->path, flags);
	if (disk->fd < 0) {
		err = errno;
		if (err == EINVAL && flags & O_DIRECT)
			return fail(why, why_not_direct, ENOTSUP);
		return fail(why, why_open(err, disk->opened_read_only, disk->block_device), err);
	}
	/* Somebody may have replaced it in between. */
	if (fstat(disk->fd, st) < 0)
		return fail(why, "the file can't be examined", errno);
	disk->block_device = S_ISBLK(st->st_mode);
	return check_type(st, why);
}

static const char *why_locked(uint32_t flags)
{
	if (flags & HVS_FILEDISK_SHARED)
		return "another program, or another disk here, has it open and does not share it";
	return flags & HVS_FILEDISK_READ_ONLY
		       ? "another program, or another disk here, is writing to it"
		       : "another program, or another disk here, has it open";
}

/* The kernel may hold the file a moment longer than its last completion was to be seen. */
static void unlock_file(const struct hvs_filedisk *disk)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	(void)fcntl(disk->fd, F_OFD_SETLK, &lock);
}

/*
 * Who writes locks the whole file. A reader and a sharer each lock a byte in a way that their like
 * may as well, and look whether somebody has the other's byte; two that come at the same moment
 * may both be refused, never both let in.
 *
 * The lock belongs to the open file: it ends when the file is closed, also by a kill, and the
 * last operation on it has ended. A ring that has the file registered keeps it, after a kill, until
 * the kernel gets round to dismantling the ring; so whoever finds it locked tries for a moment. (To
 * register a second, unlocked description of the file would be worse: the lock would end while
 * operations of a killed process can still write.)
 */
static int try_lock(const struct hvs_filedisk *disk, uint32_t flags, const char **why)
{
	const bool shared = flags & HVS_FILEDISK_SHARED;
	const bool alone = !(flags & (HVS_FILEDISK_READ_ONLY | HVS_FILEDISK_SHARED));
	struct flock mine = {
		.l_type = alone ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = shared ? LOCK_SHARERS : LOCK_READERS,
		.l_len = alone ? 0 : 1,
	};
	struct flock other = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = shared ? LOCK_READERS : LOCK_SHARERS,
		.l_len = 1,
	};

	if (fcntl(disk->fd, F_OFD_SETLK, &mine) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return fail(why, why_locked(flags), EBUSY);
		return fail(why, "the file can't be locked: its file system does not support locks",
			    errno);
	}
	/* What this description holds itself is no obstacle. */
	if (fcntl(disk->fd, F_OFD_GETLK, &other) == 0 && other.l_type != F_UNLCK) {
		unlock_file(disk);
		return fail(why, why_locked(flags), EBUSY);
	}
	return 0;
}

static int lock_file(const struct hvs_filedisk *disk, uint32_t flags, const char **why)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_NS};
	int err = try_lock(disk, flags, why);

	for (unsigned i = 0; i < LOCK_STEPS && err == -EBUSY; i++) {
		nanosleep(&step, NULL);
		err = try_lock(disk, flags, why);
	}
	return err;
}

/* Does a guest get along with it? A power of two times the logical block. */
static bool sane_block(const struct hvs_filedisk *disk, uint64_t size)
{
	return size >= disk->block_size && size <= MAX_PHYSICAL_BLOCK && !(size & (size - 1));
}

static int measure(struct hvs_filedisk *disk, const struct stat *st, const char **why)
{
	uint64_t physical = (uint64_t)st->st_blksize;
	unsigned bytes = 0;
	uint64_t len = 0;
	int err = hvsi_filedisk_measure(disk, &len);

	if (err)
		return fail(why, "the size of the disk can't be found out", -err);
	if (disk->block_device && ioctl(disk->fd, BLKPBSZGET, &bytes) == 0)
		physical = bytes;
	disk->physical_block_size =
		sane_block(disk, physical) ? (uint32_t)physical : disk->block_size;
	if (len == 0)
		return fail(why, "the file is empty: give it the size of the disk (truncate -s)",
			    EINVAL);
	if (len < disk->block_size)
		return fail(why, "the file is smaller than one block", EINVAL);
	if (len % disk->block_size)
		return fail(why,
			    "the size of the file is not a multiple of the block size: is it "
			    "a raw disk image? (truncate -s %4096 rounds up)",
			    EINVAL);
	atomic_init(&disk->len, len);
	return 0;
}

/* How direct I/O has to be aligned. Linux before 6.1 does not say; then a read tells. */
static int find_alignment(struct hvs_filedisk *disk, const char **why)
{
	struct statx stx = {0};
	void *buf;
	ssize_t n;

	disk->direct_memory = HVSI_BOUNCE_ALIGN;
	disk->direct_block = disk->block_size;
#ifdef STATX_DIOALIGN
	if (statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    stx.stx_mask & STATX_DIOALIGN) {
		if (!stx.stx_dio_mem_align || !stx.stx_dio_offset_align)
			return fail(why, why_not_direct, ENOTSUP);
		if (stx.stx_dio_mem_align < HVSI_BOUNCE_ALIGN)
			disk->direct_memory = stx.stx_dio_mem_align;
	}
#endif
	buf = aligned_alloc(HVSI_BOUNCE_ALIGN, HVSI_BOUNCE_ALIGN);
	if (!buf)
		return fail(why, "out of memory", ENOMEM);
	/* The last block: it may be at a place where larger ones can't begin. */
	n = pread(disk->fd, buf, disk->block_size, (off_t)(disk->len - disk->block_size));
	free(buf);
	if (n < 0 && errno == EINVAL)
		return fail(why, "direct I/O to this file needs larger blocks: block_size 4096",
			    EINVAL);
	return 0;
}

/*
 * Zeros without sending them, and at the same time the only way to unmap that lets a range read as
 * zeros afterwards. (A plain discard promises nothing about what is read then.)
 */
static bool device_writes_zeroes(dev_t dev)
{
	static const char *const places[] = {"queue", "../queue"}; /* the latter: a partition */
	unsigned long long max = 0;

	for (unsigned i = 0; i < 2; i++) {
		char text[96];
		FILE *f;

		snprintf(text, sizeof(text), "/sys/dev/block/%u:%u/%s/write_zeroes_max_bytes",
			 major(dev), minor(dev), places[i]);
		f = fopen(text, "re");
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f))
			max = strtoull(text, NULL, 10);
		fclose(f);
	}
	return max > 0;
}

/* Can it punch holes? Behind the end of a file there is nothing that this could change. */
static bool can_unmap(const struct hvs_filedisk *disk, const struct stat *st)
{
	if (disk->block_device)
		return device_writes_zeroes(st->st_rdev);
	return fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)disk->len,
			 disk->block_size) == 0;
}

static void find_abilities(struct hvs_filedisk *disk, const struct stat *st)
{
	disk->unmap_granularity = disk->physical_block_size;
	if (!disk->block_device)
		disk->info_flags |= HVS_BLK_INFO_LBA_STATUS;
	if (disk->opened_read_only)
		return;
	disk->info_flags |= HVS_BLK_INFO_FUA | HVS_BLK_INFO_WRITE_BACK;
	if (can_unmap(disk, st))
		disk->info_flags |=
			HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES | HVS_BLK_INFO_WRITE_ZEROES;
}

/* ---- the engine ------------------------------------------------------------------------- */

/* The kernel, or who runs this process, does not want it; there is another way. */
static bool is_refusal(int err)
{
	return err == -ENOSYS || err == -EPERM || err == -EACCES || err == -ENOTSUP;
}

/* Success sets *why to the reason, if it is not what was asked for. */
static int open_engine(struct hvs_filedisk *disk, const struct hvs_filedisk_config *cfg,
		       const char **why)
{
	const char *ignored;
	int err;

	*why = NULL;
	if (!(cfg->flags & HVS_FILEDISK_THREADS)) {
#if HVSI_WITH_LIBURING
		disk->engine = &hvsi_filedisk_uring;
		err = disk->engine->open(disk, cfg, why);
#else
		err = fail(why, "this library was built without io_uring", ENOTSUP);
#endif
		if (!is_refusal(err))
			return err;
	}
	disk->engine = &hvsi_filedisk_threads;
	err = disk->engine->open(disk, cfg, &ignored);
	if (err)
		*why = ignored;
	return err;
}

/* ---- public ----------------------------------------------------------------------------- */

static void free_disk(struct hvs_filedisk *disk)
{
	if (disk->fd >= 0)
		close(disk->fd);
	pthread_mutex_destroy(&disk->size_mutex);
	free(disk);
}

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
	err = HVSI_HOST_TAKE(&cfg, cfg_in, bases);
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
	disk->block_size = cfg.block_size;
	disk->opened_read_only = cfg.flags & HVS_FILEDISK_READ_ONLY;
	atomic_init(&disk->read_only, disk->opened_read_only);
	pthread_mutex_init(&disk->size_mutex, NULL);

	err = open_file(disk, &cfg, &st, why);
	if (!err)
		err = lock_file(disk, cfg.flags, why);
	if (!err)
		err = measure(disk, &st, why);
	if (!err) {
		find_abilities(disk, &st);
		if (cfg.flags & HVS_FILEDISK_DIRECT)
			err = find_alignment(disk, why);
	}
	if (!err)
		err = open_engine(disk, &cfg, why);
	if (err) {
		free_disk(disk);
		return err;
	}
	*out = disk;
	return 0;
}

void hvs_filedisk_close(struct hvs_filedisk *disk)
{
	if (!disk)
		return;
	disk->engine->close(disk);
	unlock_file(disk);
	free_disk(disk);
}
