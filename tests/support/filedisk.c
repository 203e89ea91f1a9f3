/* SPDX-License-Identifier: MIT */
#include "support/filedisk.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

unsigned number(void)
{
	static uint32_t state = 1;

	/* xorshift */
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* ---- requests --------------------------------------------------------------------------- */

unsigned outstanding;
unsigned completed;

static pthread_t main_thread;
static pthread_mutex_t elsewhere_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct io *elsewhere; /* completed on other threads */
static int elsewhere_fd;

static void seen(struct io *io)
{
	io->completions++;
	cr_assert_eq(io->completions, 1, "a request completed twice");
	outstanding--;
	completed++;
	if (io->then)
		io->then(io);
}

static void done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct io *io = (struct io *)req;
	const uint64_t one = 1;

	io->status = status;
	if (pthread_equal(pthread_self(), main_thread)) {
		seen(io);
		return;
	}
	pthread_mutex_lock(&elsewhere_mutex);
	io->next = elsewhere;
	elsewhere = io;
	pthread_mutex_unlock(&elsewhere_mutex);
	(void)!write(elsewhere_fd, &one, sizeof(one));
}

static void on_elsewhere(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	(void)arg;
	(void)!read(fd, &count, sizeof(count));
	for (;;) {
		struct io *io;

		pthread_mutex_lock(&elsewhere_mutex);
		io = elsewhere;
		if (io)
			elsewhere = io->next;
		pthread_mutex_unlock(&elsewhere_mutex);
		if (!io)
			break;
		seen(io);
	}
}

void io_init(struct io *io, enum hvs_blk_op op, uint64_t offset, uint64_t len, unsigned pieces)
{
	struct iovec *iov = calloc(pieces ? pieces : 1, sizeof(*iov));
	uint64_t pos = 0;

	*io = (struct io){.buf = pieces ? malloc(len ? len : 1) : NULL};
	cr_assert(iov != NULL && (io->buf != NULL || !pieces));
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
	io->req.done = done;
}

void io_free(struct io *io)
{
	free((void *)io->req.iov);
	free(io->buf);
	io->req.iov = NULL;
	io->buf = NULL;
}

void submit(struct io *io)
{
	outstanding++;
	hvs_filedisk_ops()->submit(disk, &io->req);
}

void wait_for(unsigned left)
{
	while (outstanding > left)
		event_base_loop(base, EVLOOP_ONCE);
}

void run(struct io *ios, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		submit(&ios[i]);
	hvs_filedisk_ops()->commit(disk, 0);
	wait_for(0);
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(ios[i].completions, 1);
}

enum hvs_blk_status run_one(enum hvs_blk_op op, uint64_t offset, uint64_t len, unsigned pieces,
			    uint32_t flags)
{
	struct io io;

	io_init(&io, op, offset, len, pieces);
	if (io.buf)
		memset(io.buf, 'w', len ? len : 1);
	io.req.flags = flags;
	run(&io, 1);
	io_free(&io);
	return io.status;
}

/* ---- a misbehaving kernel --------------------------------------------------------------- */

int init_error;
bool old_kernel;
int submit_error;
unsigned submit_failures;
void (*spoil)(struct io_uring_cqe *cqe);

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

bool no_direct;
bool large_blocks;

int statx(int fd, const char *name, int flags, unsigned mask, struct statx *stx)
{
	int ret = REAL(statx)(fd, name, flags, mask, stx);

	if (no_direct) {
		stx->stx_mask |= STATX_DIOALIGN;
		stx->stx_dio_mem_align = 0;
	}
	return ret;
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	if (large_blocks) {
		errno = EINVAL;
		return -1;
	}
	return REAL(pread)(fd, buf, len, offset);
}

bool (*before_preadv)(ssize_t *result);

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	ssize_t result = 0;

	if (before_preadv && !before_preadv(&result))
		return result;
	return REAL(preadv)(fd, iov, count, offset);
}

/* ---- fixture ---------------------------------------------------------------------------- */

char dir[] = "/tmp/hvs-filedisk-XXXXXX";
char path[sizeof(dir) + 8];
struct event_base *base;
struct hvs_filedisk *disk;
uint32_t engine;

static struct event *watchdog;
static struct event *elsewhere_event;

static void too_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	cr_assert_fail("a request did not complete");
}

void setup(void)
{
	const struct timeval limit = {.tv_sec = 60};

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/disk", dir);
	base = event_base_new();
	main_thread = pthread_self();
	elsewhere_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	watchdog = evtimer_new(base, too_late, NULL);
	elsewhere_event = event_new(base, elsewhere_fd, EV_READ | EV_PERSIST, on_elsewhere, NULL);
	cr_assert(base != NULL && watchdog != NULL && elsewhere_event != NULL);
	event_add(watchdog, &limit);
	event_add(elsewhere_event, NULL);
}

void teardown(void)
{
	close_disk();
	event_free(watchdog);
	event_free(elsewhere_event);
	close(elsewhere_fd);
	event_base_free(base);
	unlink(path);
	rmdir(dir);
}

void make_file(off_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, len), 0);
	close(fd);
}

struct hvs_filedisk_config good_config(void)
{
	return (struct hvs_filedisk_config){HVS_FILEDISK_CONFIG_INIT, .path = path, .base = base,
					    .flags = engine};
}

void open_disk(unsigned depth, uint32_t flags)
{
	struct hvs_filedisk_config cfg = good_config();
	const char *why = "";
	int err;

	cfg.queue_depth = depth;
	cfg.flags |= flags;
	err = hvs_filedisk_open(&cfg, &disk, &why);
	cr_assert_eq(err, 0, "%s", why);
}

void close_disk(void)
{
	hvs_filedisk_close(disk);
	disk = NULL;
}

struct hvs_blk_info info_of_disk(void)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	cr_assert_eq(hvs_filedisk_ops()->get_info(disk, &info), 0);
	return info;
}

bool mount_tmpfs(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return mount("tmpfs", dir, "tmpfs", 0, options) == 0;
}

void refused(const struct hvs_filedisk_config *cfg, int err, const char *words)
{
	struct hvs_filedisk *none = NULL;
	const char *why = "";

	cr_assert_eq(hvs_filedisk_open(cfg, &none, &why), -err, "%s: %s", words, why);
	cr_assert(strstr(why, words) != NULL, "'%s' is not in '%s'", words, why);
	cr_assert(none == NULL);
	/* And nobody has to ask. */
	cr_assert_eq(hvs_filedisk_open(cfg, &none, NULL), -err);
}

unsigned open_files(void)
{
	DIR *fds = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert(fds != NULL);
	while (readdir(fds))
		count++;
	closedir(fds);
	return count;
}
