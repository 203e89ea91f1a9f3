/* SPDX-License-Identifier: MIT */
/*
 * File disks: data against a model, every way an open can fail, and what happens when the kernel
 * does only a part of the work or none. The tests are the library above the disk: they define
 * hvs_blk_complete(), and they stand between the disk and liburing where a kernel has to
 * misbehave on demand.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hvstack/host/filedisk.h>
#include <liburing.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK 512ull
#define KIB 1024ull
#define MIB (1024 * KIB)

/* Numbers that look random and are the same in every run (xorshift). */
static unsigned number(void)
{
	static uint32_t state = 1;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* ---- requests --------------------------------------------------------------------------- */

struct io {
	struct hvs_blk_req req; /* first: hvs_blk_complete() gets its address */
	enum hvs_blk_status status;
	unsigned completions;
	uint8_t *buf; /* what iov points to, in order */
	void (*then)(struct io *io);
};

static unsigned outstanding;
static unsigned completed; /* in total */

void hvs_blk_complete(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct io *io = (struct io *)req;

	io->completions++;
	io->status = status;
	cr_assert_eq(io->completions, 1, "a request completed twice");
	outstanding--;
	completed++;
	if (io->then)
		io->then(io);
}

/* A request over [offset, offset + len) whose memory is cut into `pieces` odd-sized pieces. */
static void io_init(struct io *io, enum hvs_blk_op op, uint64_t offset, uint64_t len,
		    unsigned pieces)
{
	struct iovec *iov = calloc(pieces ? pieces : 1, sizeof(*iov));
	uint64_t pos = 0;

	*io = (struct io){.buf = malloc(len ? len : 1)};
	cr_assert(iov != NULL && io->buf != NULL);
	for (unsigned i = 0; i < pieces; i++) {
		uint64_t left = len - pos;
		uint64_t n = i + 1 == pieces ? left : number() % (2 * left / (pieces - i) + 1);

		iov[i].iov_base = io->buf + pos;
		iov[i].iov_len = n < left ? n : left; /* may be 0 */
		pos += iov[i].iov_len;
	}
	io->req.op = op;
	io->req.offset = offset;
	io->req.len = len;
	io->req.iov = iov;
	io->req.iovcnt = pieces;
}

static void io_free(struct io *io)
{
	free((void *)io->req.iov);
	free(io->buf);
	io->req.iov = NULL;
	io->buf = NULL;
}

/* ---- a misbehaving kernel --------------------------------------------------------------- */

static int init_error;
static bool old_kernel;
static int submit_error;
static unsigned submit_failures;
static void (*spoil)(struct io_uring_cqe *cqe);

#define REAL(name) (__extension__(__typeof__(&(name))) dlsym(RTLD_NEXT, #name))

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
	int ret;

	if (init_error == EINVAL && p->flags == 0)
		init_error = 0; /* before Linux 5.19: only without the new flags */
	if (init_error)
		return -init_error;
	ret = REAL(io_uring_queue_init_params)(entries, ring, p);
	if (old_kernel)
		p->features = 0;
	return ret;
}

int io_uring_submit(struct io_uring *ring)
{
	if (submit_failures > 0) {
		submit_failures--;
		return -submit_error;
	}
	return REAL(io_uring_submit)(ring);
}

unsigned io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes, unsigned count)
{
	unsigned n = REAL(io_uring_peek_batch_cqe)(ring, cqes, count);

	for (unsigned i = 0; spoil && i < n; i++)
		spoil(cqes[i]);
	return n;
}

/* ---- fixture ---------------------------------------------------------------------------- */

static char dir[] = "/tmp/hvs-filedisk-XXXXXX";
static char path[sizeof(dir) + 8];
static struct event_base *base;
static struct hvs_filedisk *disk;

static void too_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	cr_assert_fail("a request did not complete");
}

static void setup(void)
{
	static struct event *watchdog;
	const struct timeval limit = {.tv_sec = 60};

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/disk", dir);
	base = event_base_new();
	watchdog = evtimer_new(base, too_late, NULL);
	cr_assert(base != NULL && watchdog != NULL);
	event_add(watchdog, &limit);
}

static void teardown(void)
{
	hvs_filedisk_close(disk);
	event_base_free(base);
	unlink(path);
	rmdir(dir);
}

TestSuite(filedisk, .init = setup, .fini = teardown, .timeout = 120);

static void make_file(off_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, len), 0);
	close(fd);
}

static void open_disk(unsigned depth, uint32_t flags)
{
	const struct hvs_filedisk_config cfg = {
		HVS_FILEDISK_CONFIG_INIT, .path = path,   .base = base,
		.queue_depth = depth,     .flags = flags,
	};
	const char *why = "";
	int err = hvs_filedisk_open(&cfg, &disk, &why);

	cr_assert_eq(err, 0, "%s", why);
}

static void submit(struct io *io)
{
	outstanding++;
	hvs_filedisk_ops.submit(disk, &io->req);
}

static void wait_for(unsigned left)
{
	while (outstanding > left)
		event_base_loop(base, EVLOOP_ONCE);
}

static void run(struct io *ios, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		submit(&ios[i]);
	hvs_filedisk_ops.commit(disk, 0);
	wait_for(0);
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(ios[i].completions, 1);
}

static enum hvs_blk_status run_one(enum hvs_blk_op op, uint64_t offset, uint64_t len,
				   unsigned pieces, uint32_t flags)
{
	struct io io;

	io_init(&io, op, offset, len, pieces);
	memset(io.buf, 'w', len ? len : 1);
	io.req.flags = flags;
	run(&io, 1);
	io_free(&io);
	return io.status;
}

/* ---- data ------------------------------------------------------------------------------- */

#define MODEL_BLOCKS 2048u

static uint8_t model[MODEL_BLOCKS * BLOCK];
static bool busy[MODEL_BLOCKS];

static void model_done(struct io *io)
{
	uint64_t first = io->req.offset / BLOCK;

	cr_assert_eq(io->status, HVS_BLK_OK);
	if (io->req.op == HVS_BLK_WRITE)
		memcpy(model + io->req.offset, io->buf, io->req.len);
	if (io->req.op == HVS_BLK_READ)
		cr_assert_eq(memcmp(model + io->req.offset, io->buf, io->req.len), 0,
			     "wrong data at %llu", (unsigned long long)io->req.offset);
	for (uint64_t i = 0; i < io->req.len / BLOCK; i++)
		busy[first + i] = false;
	io_free(io);
}

/* A random request that touches no block in use; false: try another. */
static bool random_io(struct io *io)
{
	static const enum hvs_blk_op ops[] = {HVS_BLK_READ, HVS_BLK_WRITE, HVS_BLK_READ,
					      HVS_BLK_WRITE, HVS_BLK_FLUSH};
	enum hvs_blk_op op = ops[number() % 5];
	unsigned first = number() % MODEL_BLOCKS;
	unsigned count = 1 + number() % 64;

	if (op == HVS_BLK_FLUSH)
		count = 0;
	if (count > MODEL_BLOCKS - first)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (busy[first + i])
			return false;
	for (unsigned i = 0; i < count; i++)
		busy[first + i] = true;
	io_init(io, op, (uint64_t)first * BLOCK, (uint64_t)count * BLOCK,
		count ? 1 + number() % 9 : 0);
	if (op == HVS_BLK_WRITE && number() % 4 == 0)
		io->req.flags = HVS_BLK_FUA;
	for (unsigned i = 0; i < count * BLOCK; i++)
		io->buf[i] = (uint8_t)number();
	io->then = model_done;
	return true;
}

static void compare_with_model(unsigned rounds, unsigned in_flight)
{
	struct io *ios = calloc(rounds, sizeof(*ios));
	uint8_t *file = malloc(sizeof(model));
	int fd;

	cr_assert(ios != NULL && file != NULL);
	for (unsigned i = 0; i < rounds;) {
		wait_for(in_flight - 1);
		if (!random_io(&ios[i])) {
			/* Everything wanted may be in use. */
			hvs_filedisk_ops.commit(disk, 0);
			event_base_loop(base, EVLOOP_NONBLOCK);
			continue;
		}
		submit(&ios[i++]);
		if (number() % 3 == 0 || outstanding >= in_flight)
			hvs_filedisk_ops.commit(disk, 0);
	}
	hvs_filedisk_ops.commit(disk, 0);
	wait_for(0);
	for (unsigned i = 0; i < rounds; i++)
		cr_assert_eq(ios[i].completions, 1);

	fd = open(path, O_RDONLY);
	cr_assert_eq(read(fd, file, sizeof(model)), (long)sizeof(model));
	cr_assert_eq(memcmp(file, model, sizeof(model)), 0);
	close(fd);
	free(file);
	free(ios);
}

Test(filedisk, random_io_matches_a_model)
{
	make_file(sizeof(model));
	open_disk(0, 0);
	compare_with_model(8000, 40);
}

Test(filedisk, random_io_matches_a_model_with_more_requests_than_queue_depth)
{
	make_file(sizeof(model));
	open_disk(3, 0);
	compare_with_model(4000, 24);
}

/* Parts of what was asked for, interruptions, momentary shortage: in every combination. */
static void spoil_at_random(struct io_uring_cqe *cqe)
{
	switch (number() % 4) {
	case 0:
		if (cqe->res > 1)
			cqe->res = 1 + (int)(number() % (unsigned)(cqe->res - 1));
		break;
	case 1:
		cqe->res = -EAGAIN;
		break;
	case 2:
		cqe->res = -EINTR;
		break;
	default:
		break;
	}
}

Test(filedisk, short_and_interrupted_operations_are_continued)
{
	make_file(sizeof(model));
	open_disk(8, 0);
	spoil = spoil_at_random;
	compare_with_model(2000, 16);
}

Test(filedisk, more_pieces_than_iov_max)
{
	struct io io;

	make_file(4 * MIB);
	open_disk(0, 0);
	for (unsigned pieces = 1023; pieces < 6000; pieces += 977) {
		uint8_t *copy = malloc(2 * MIB);

		cr_assert(copy != NULL);
		io_init(&io, HVS_BLK_WRITE, 4096, 2 * MIB, pieces);
		for (unsigned i = 0; i < 2 * MIB; i++)
			copy[i] = io.buf[i] = (uint8_t)number();
		run(&io, 1);
		cr_assert_eq(io.status, HVS_BLK_OK);
		io_free(&io);
		io_init(&io, HVS_BLK_READ, 4096, 2 * MIB, pieces + 1);
		memset(io.buf, 0, 2 * MIB);
		run(&io, 1);
		cr_assert_eq(io.status, HVS_BLK_OK);
		cr_assert_eq(memcmp(io.buf, copy, 2 * MIB), 0);
		io_free(&io);
		free(copy);
	}
}

static unsigned first_done;

static void done_in_order(struct io *io)
{
	/* With one request at a time: offsets go up as they were submitted. */
	cr_assert_eq((unsigned)(io->req.offset / BLOCK), first_done++);
}

Test(filedisk, waiting_requests_are_served_in_order)
{
	struct io ios[200];

	make_file(200 * BLOCK);
	open_disk(1, 0);
	for (unsigned i = 0; i < 200; i++) {
		io_init(&ios[i], HVS_BLK_READ, i * BLOCK, BLOCK, 2);
		ios[i].then = done_in_order;
	}
	run(ios, 200);
	for (unsigned i = 0; i < 200; i++)
		io_free(&ios[i]);
}

static struct io chain[50];

static void submit_next(struct io *io)
{
	if (io + 1 < chain + 50)
		submit(io + 1);
	hvs_filedisk_ops.commit(disk, 0);
}

Test(filedisk, a_completion_may_submit_and_commit)
{
	make_file(50 * BLOCK);
	open_disk(2, 0);
	for (unsigned i = 0; i < 50; i++) {
		io_init(&chain[i], HVS_BLK_READ, i * BLOCK, BLOCK, 1);
		chain[i].then = submit_next;
	}
	submit(&chain[0]);
	hvs_filedisk_ops.commit(disk, 0);
	wait_for(0);
	cr_assert_eq(completed, 50);
	for (unsigned i = 0; i < 50; i++)
		io_free(&chain[i]);
}

/* ---- properties and refusals ------------------------------------------------------------ */

Test(filedisk, info_of_a_writable_disk)
{
	struct hvs_blk_info info = {.size = sizeof(info)};

	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(hvs_filedisk_ops.get_info(disk, &info), 0);
	cr_assert_eq(info.block_size, 512);
	cr_assert_eq(info.num_blocks, 2048);
	cr_assert_eq(info.flags, HVS_BLK_INFO_FUA | HVS_BLK_INFO_WRITE_BACK);
	cr_assert_eq(info.physical_block_size & (info.physical_block_size - 1), 0);
	cr_assert_geq(info.physical_block_size, info.block_size);
}

Test(filedisk, a_read_only_disk_reads_and_refuses_writes)
{
	struct hvs_blk_info info = {.size = sizeof(info)};

	make_file(MIB);
	open_disk(0, HVS_FILEDISK_READ_ONLY);
	cr_assert_eq(hvs_filedisk_ops.get_info(disk, &info), 0);
	cr_assert_eq(info.flags, HVS_BLK_INFO_READ_ONLY);
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 4096, 3, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 3, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
}

Test(filedisk, a_range_behind_the_end_is_refused)
{
	struct stat st;

	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB, BLOCK, 1, 0), HVS_BLK_RANGE);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB - BLOCK, 2 * BLOCK, 1, 0), HVS_BLK_RANGE);
	cr_assert_eq(run_one(HVS_BLK_READ, UINT64_MAX - 511, BLOCK, 1, 0), HVS_BLK_RANGE);
	cr_assert_eq(run_one(HVS_BLK_READ, MIB, 0, 0, 0), HVS_BLK_OK);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, (long)MIB);
}

Test(filedisk, a_file_that_became_shorter_fails_reads)
{
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(truncate(path, 64 * KIB), 0);
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 64 * KIB, 5, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_READ, 32 * KIB, 64 * KIB, 5, 0), HVS_BLK_IO_ERROR);
	cr_assert_eq(run_one(HVS_BLK_READ, 512 * KIB, 64 * KIB, 1, 0), HVS_BLK_IO_ERROR);
}

Test(filedisk, an_iov_shorter_than_the_request_fails_it)
{
	struct io io;

	make_file(MIB);
	open_disk(0, 0);
	io_init(&io, HVS_BLK_READ, 0, 8 * KIB, 3);
	io.req.len = 16 * KIB;
	run(&io, 1);
	cr_assert_eq(io.status, HVS_BLK_IO_ERROR);
	io_free(&io);
}

static int injected;

static void spoil_with_errno(struct io_uring_cqe *cqe)
{
	cqe->res = -injected;
}

Test(filedisk, errors_of_the_kernel_become_statuses)
{
	static const struct {
		int err;
		enum hvs_blk_status status;
	} map[] = {
		{EIO, HVS_BLK_IO_ERROR},       {ENOSPC, HVS_BLK_NO_SPACE},
		{EDQUOT, HVS_BLK_NO_SPACE},    {EROFS, HVS_BLK_READ_ONLY},
		{EPERM, HVS_BLK_READ_ONLY},    {ENODEV, HVS_BLK_GONE},
		{ENXIO, HVS_BLK_GONE},         {EINVAL, HVS_BLK_IO_ERROR},
		{ECANCELED, HVS_BLK_IO_ERROR},
	};

	make_file(MIB);
	open_disk(0, 0);
	spoil = spoil_with_errno;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		injected = map[i].err;
		cr_assert_eq(run_one(HVS_BLK_WRITE, 0, BLOCK, 1, 0), map[i].status);
		cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), map[i].status);
	}
}

Test(filedisk, try_again_without_end_is_an_error)
{
	make_file(MIB);
	open_disk(0, 0);
	spoil = spoil_with_errno;
	injected = EAGAIN;
	cr_assert_eq(run_one(HVS_BLK_READ, 0, BLOCK, 1, 0), HVS_BLK_IO_ERROR);
	injected = EINTR;
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_IO_ERROR);
}

Test(filedisk, a_kernel_short_of_memory_is_asked_again)
{
	static const int errors[] = {EAGAIN, EBUSY, ENOMEM, EINTR, 0};

	make_file(MIB);
	open_disk(0, 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		submit_error = errors[i];
		submit_failures = 5;
		cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 2, 0), HVS_BLK_OK);
		cr_assert_eq(submit_failures, 0);
	}
}

Test(filedisk, a_kernel_that_refuses_for_good_fails_every_request_once)
{
	struct io ios[10];

	make_file(MIB);
	open_disk(4, 0);
	submit_error = EPERM;
	submit_failures = UINT32_MAX;
	for (unsigned i = 0; i < 10; i++)
		io_init(&ios[i], HVS_BLK_READ, i * BLOCK, BLOCK, 1);
	run(ios, 10);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(ios[i].status, HVS_BLK_IO_ERROR);
		io_free(&ios[i]);
	}
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_IO_ERROR);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, BLOCK, 1, 0), HVS_BLK_IO_ERROR);
}

/* A mount namespace of our own, as root or in a user namespace. */
static bool mount_tmpfs(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return mount("tmpfs", dir, "tmpfs", 0, options) == 0;
}

Test(filedisk, a_full_file_system_is_no_space)
{
	if (!mount_tmpfs("size=256k"))
		cr_skip_test("no mount namespace here");
	make_file(4 * MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 64 * KIB, 3, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB, 512 * KIB, 3, 0), HVS_BLK_NO_SPACE);
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 64 * KIB, 3, 0), HVS_BLK_OK);
	hvs_filedisk_close(disk);
	disk = NULL;
	umount(dir);
}

/* ---- open ------------------------------------------------------------------------------- */

static struct hvs_filedisk_config good_config(void)
{
	return (struct hvs_filedisk_config){HVS_FILEDISK_CONFIG_INIT, .path = path, .base = base};
}

static void refused(const struct hvs_filedisk_config *cfg, int err, const char *words)
{
	struct hvs_filedisk *none = NULL;
	const char *why = "";

	cr_assert_eq(hvs_filedisk_open(cfg, &none, &why), -err, "%s: %s", words, why);
	cr_assert(strstr(why, words) != NULL, "'%s' is not in '%s'", words, why);
	cr_assert(none == NULL);
	/* And nobody has to ask. */
	cr_assert_eq(hvs_filedisk_open(cfg, &none, NULL), -err);
}

static unsigned open_files(void)
{
	DIR *fds = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert(fds != NULL);
	while (readdir(fds))
		count++;
	closedir(fds);
	return count;
}

Test(filedisk, a_bad_configuration_is_refused)
{
	struct {
		struct hvs_filedisk_config cfg;
		uint64_t newer;
	} grown = {.cfg = good_config()};
	struct hvs_filedisk_config cfg = good_config();
	struct hvs_filedisk *none;

	make_file(MIB);
	refused(NULL, EINVAL, "configuration");
	cr_assert_eq(hvs_filedisk_open(&cfg, NULL, NULL), -EINVAL);
	cfg.size = 4;
	refused(&cfg, EINVAL, "configuration");
	grown.cfg.size = sizeof(grown);
	grown.newer = 1;
	refused(&grown.cfg, ENOTSUP, "configuration");
	grown.newer = 0;
	cr_assert_eq(hvs_filedisk_open(&grown.cfg, &none, NULL), 0);
	hvs_filedisk_close(none);

	cfg = good_config();
	cfg.flags = 0x80;
	refused(&cfg, ENOTSUP, "flags");
	cfg = good_config();
	cfg.path = NULL;
	refused(&cfg, EINVAL, "path and base");
	cfg = good_config();
	cfg.base = NULL;
	refused(&cfg, EINVAL, "path and base");
	cfg = good_config();
	cfg.block_size = 1024;
	refused(&cfg, EINVAL, "block_size");
	cfg = good_config();
	cfg.queue_depth = 32769;
	refused(&cfg, EINVAL, "queue_depth");
}

Test(filedisk, a_bad_file_is_refused)
{
	struct hvs_filedisk_config cfg = good_config();
	unsigned before = open_files();

	refused(&cfg, ENOENT, "no such file");
	make_file(0);
	refused(&cfg, EINVAL, "empty");
	make_file(511);
	refused(&cfg, EINVAL, "smaller than one block");
	make_file(513);
	refused(&cfg, EINVAL, "multiple of the block size");
	cfg.block_size = 4096;
	make_file(4096 + 512);
	refused(&cfg, EINVAL, "multiple of the block size");
	cfg.path = dir;
	refused(&cfg, EINVAL, "directory");
	cfg.path = "/dev/null";
	refused(&cfg, EINVAL, "not a regular file or block device");
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cfg.path = path;
	refused(&cfg, EINVAL, "not a regular file or block device");
	cr_assert_eq(open_files(), before, "a descriptor leaked");
}

Test(filedisk, a_file_without_permission_is_refused)
{
	struct hvs_filedisk_config cfg = good_config();

	make_file(MIB);
	chmod(path, 0400);
	chmod(dir, 0755);
	if (geteuid() == 0)
		cr_assert_eq(chown(path, 65534, 65534), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	refused(&cfg, EACCES, "permission");
	cfg.flags = HVS_FILEDISK_READ_ONLY;
	cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0);
	hvs_filedisk_close(disk);
	disk = NULL;
	chmod(path, 0);
	refused(&cfg, EACCES, "permission");
	(void)!seteuid(getuid());
}

Test(filedisk, a_read_only_file_system_is_told)
{
	struct hvs_filedisk_config cfg = good_config();

	if (!mount_tmpfs("size=2m"))
		cr_skip_test("no mount namespace here");
	make_file(MIB);
	cr_assert_eq(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	refused(&cfg, EROFS, "attach the disk read-only");
	umount(dir);
}

Test(filedisk, too_many_open_files_are_told)
{
	struct hvs_filedisk_config cfg = good_config();
	struct rlimit limit;
	int fd;

	make_file(MIB);
	fd = open(path, O_RDONLY);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)fd + 1;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	refused(&cfg, EMFILE, "ulimit -n");
	limit.rlim_cur = (rlim_t)fd + 2;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	refused(&cfg, EMFILE, "ulimit -n"); /* the ring's descriptor this time */
	close(fd);
}

Test(filedisk, a_second_writer_is_locked_out)
{
	struct hvs_filedisk_config cfg = good_config();
	struct hvs_filedisk *a;
	struct hvs_filedisk *b;

	make_file(MIB);
	cr_assert_eq(hvs_filedisk_open(&cfg, &a, NULL), 0);
	refused(&cfg, EBUSY, "has it open");
	cfg.flags = HVS_FILEDISK_READ_ONLY;
	refused(&cfg, EBUSY, "is writing to it");
	hvs_filedisk_close(a);

	cr_assert_eq(hvs_filedisk_open(&cfg, &a, NULL), 0);
	cr_assert_eq(hvs_filedisk_open(&cfg, &b, NULL), 0);
	cfg.flags = 0;
	refused(&cfg, EBUSY, "has it open");
	hvs_filedisk_close(a);
	refused(&cfg, EBUSY, "has it open");
	hvs_filedisk_close(b);
	cr_assert_eq(hvs_filedisk_open(&cfg, &a, NULL), 0);
	hvs_filedisk_close(a);
}

Test(filedisk, closing_frees_the_file_at_once)
{
	unsigned before;

	make_file(MIB);
	before = open_files();
	for (int i = 0; i < 100; i++) {
		open_disk(0, 0);
		cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 2, 0), HVS_BLK_OK);
		/* Done by another thread of the kernel, which may still be about it. */
		cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
		hvs_filedisk_close(disk);
		disk = NULL;
	}
	cr_assert_eq(open_files(), before, "a descriptor leaked");
	hvs_filedisk_close(NULL);
}

Test(filedisk, a_host_without_io_uring_is_told)
{
	static const struct {
		int err;
		const char *words;
	} cases[] = {
		{ENOSYS, "seccomp"},   {EPERM, "kernel.io_uring_disabled"}, {ENOMEM, "ulimit -l"},
		{EMFILE, "ulimit -n"}, {EFAULT, "can't be set up"},
	};
	struct hvs_filedisk_config cfg = good_config();
	unsigned before;

	make_file(MIB);
	before = open_files();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		init_error = cases[i].err;
		refused(&cfg, cases[i].err, cases[i].words);
	}
	init_error = 0;
	old_kernel = true;
	refused(&cfg, ENOTSUP, "5.6");
	old_kernel = false;
	cr_assert_eq(open_files(), before, "a descriptor leaked");
}

Test(filedisk, a_kernel_without_the_newest_flags_will_do)
{
	init_error = EINVAL;
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 2, 0), HVS_BLK_OK);
}

Test(filedisk, a_killed_process_leaves_no_lock)
{
	struct hvs_filedisk_config cfg = good_config();

	make_file(MIB);
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0) {
			open_disk(0, 0);
			run_one(HVS_BLK_WRITE, 0, 64 * KIB, 3, 0);
			raise(SIGKILL);
		}
		cr_assert_eq(waitpid(child, NULL, 0), child);
		cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0);
		hvs_filedisk_close(disk);
		disk = NULL;
	}
}

/* ---- block devices ---------------------------------------------------------------------- */

Test(filedisk, a_block_device_is_a_disk_and_claimed)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int index = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	struct hvs_filedisk_config cfg = good_config();
	struct hvs_blk_info info = {.size = sizeof(info)};
	char device[32];
	int loop;
	int file;

	make_file(MIB + 512);
	snprintf(device, sizeof(device), "/dev/loop%d", index);
	loop = index < 0 ? -1 : open(device, O_RDWR | O_CLOEXEC);
	file = open(path, O_RDWR | O_CLOEXEC);
	if (loop < 0 || ioctl(loop, LOOP_SET_FD, file) < 0)
		cr_skip_test("no loop device here");

	cfg.path = device;
	cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0);
	refused(&cfg, EBUSY, "mounted");
	cr_assert_eq(hvs_filedisk_ops.get_info(disk, &info), 0);
	cr_assert_eq(info.num_blocks, 2049);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB, 512, 2, HVS_BLK_FUA), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_READ, 512, MIB, 7, 0), HVS_BLK_OK);
	hvs_filedisk_close(disk);
	cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0, "it is not free after close");
	hvs_filedisk_close(disk);
	disk = NULL;
	cfg.block_size = 4096;
	refused(&cfg, EINVAL, "multiple");
	cr_assert_eq(ioctl(loop, LOOP_CLR_FD, 0), 0);
	close(loop);
	close(file);
	close(control);
}
