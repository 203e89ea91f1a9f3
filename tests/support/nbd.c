/* SPDX-License-Identifier: MIT */
#include "support/nbd.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- requests --------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fewer = PTHREAD_COND_INITIALIZER;
static unsigned outstanding;

unsigned hvst_number(void)
{
	static uint32_t state = 1;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static void on_done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct hvst_io *io = (struct hvst_io *)req;

	pthread_mutex_lock(&lock);
	io->completions++;
	io->status = status;
	outstanding--;
	pthread_cond_signal(&fewer);
	pthread_mutex_unlock(&lock);
}

void hvst_io_init(struct hvst_io *io, enum hvs_blk_op op, uint64_t offset, uint64_t len,
		  unsigned pieces)
{
	struct iovec *iov = calloc(pieces ? pieces : 1, sizeof(*iov));
	uint8_t *at;
	uint64_t left = len;

	/* One byte between two pieces. */
	*io = (struct hvst_io){.buf = calloc(1, len + pieces + 1)};
	cr_assert(iov != NULL && io->buf != NULL);
	at = io->buf;
	for (unsigned i = 0; i < pieces; i++) {
		uint64_t n = i + 1 == pieces ? left : hvst_number() % (2 * left / (pieces - i) + 1);

		iov[i].iov_base = at;
		iov[i].iov_len = n < left ? n : left; /* may be 0 */
		at += iov[i].iov_len + 1;
		left -= iov[i].iov_len;
	}
	io->req.op = op;
	io->req.offset = offset;
	io->req.len = len;
	io->req.iov = iov;
	io->req.iovcnt = pieces;
	io->req.done = on_done;
}

void hvst_io_free(struct hvst_io *io)
{
	cr_assert_eq(io->completions, 1, "completed %u times", io->completions);
	free((void *)io->req.iov);
	free(io->buf);
}

void hvst_io_fill(struct hvst_io *io, const uint8_t *from)
{
	for (unsigned i = 0; i < io->req.iovcnt; i++) {
		memcpy(io->req.iov[i].iov_base, from, io->req.iov[i].iov_len);
		from += io->req.iov[i].iov_len;
	}
}

bool hvst_io_equals(const struct hvst_io *io, const uint8_t *to)
{
	for (unsigned i = 0; i < io->req.iovcnt; i++) {
		if (memcmp(io->req.iov[i].iov_base, to, io->req.iov[i].iov_len) != 0)
			return false;
		to += io->req.iov[i].iov_len;
	}
	return true;
}

void hvst_io_submit(struct hvs_nbddisk *disk, struct hvst_io *io)
{
	pthread_mutex_lock(&lock);
	outstanding++;
	pthread_mutex_unlock(&lock);
	hvs_nbddisk_ops()->submit(disk, &io->req);
}

void hvst_io_wait(unsigned most)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 60;
	pthread_mutex_lock(&lock);
	while (outstanding > most)
		cr_assert_eq(pthread_cond_timedwait(&fewer, &lock, &limit), 0,
			     "%u requests did not complete", outstanding);
	pthread_mutex_unlock(&lock);
}

enum hvs_blk_status hvst_io_run(struct hvs_nbddisk *disk, struct hvst_io *io)
{
	hvst_io_submit(disk, io);
	hvs_nbddisk_ops()->commit(disk, 0);
	hvst_io_wait(0);
	cr_assert_eq(io->completions, 1);
	return io->status;
}

enum hvs_blk_status hvst_io_do(struct hvs_nbddisk *disk, enum hvs_blk_op op, uint64_t offset,
			       uint64_t len, uint32_t flags)
{
	const bool data = op == HVS_BLK_READ || op == HVS_BLK_WRITE;
	struct hvst_io io;

	hvst_io_init(&io, op, offset, data ? len : 0, data ? 1 : 0);
	memset(io.buf, 'w', data ? len : 1);
	io.req.len = len;
	io.req.flags = flags;
	hvst_io_run(disk, &io);
	hvst_io_free(&io);
	return io.status;
}

/* ---- programs --------------------------------------------------------------------------- */

static char dir[] = "/tmp/hvs-nbdtest-XXXXXX";

const char *hvst_dir(void)
{
	static bool made;

	if (!made)
		cr_assert(mkdtemp(dir) != NULL);
	made = true;
	return dir;
}

char *hvst_path(const char *name)
{
	char *path = NULL;

	cr_assert_geq(asprintf(&path, "%s/%s", hvst_dir(), name), 0);
	return path;
}

void hvst_shell(const char *format, ...)
{
	char *command = NULL;
	char *line = NULL;
	va_list args;

	va_start(args, format);
	cr_assert_geq(vasprintf(&command, format, args), 0);
	va_end(args);
	cr_assert_geq(asprintf(&line, "cd %s && %s", hvst_dir(), command), 0);
	cr_assert_eq(system(line), 0, "%s", line); /* NOLINT(cert-env33-c) */
	free(line);
	free(command);
}

static pid_t servers[8];
static unsigned server_count;

void hvst_dir_remove(void)
{
	for (unsigned i = 0; i < server_count; i++) {
		kill(servers[i], SIGKILL);
		waitpid(servers[i], NULL, 0);
	}
	hvst_shell("rm -rf %s", dir);
}

pid_t hvst_nbdkit(const char *format, ...)
{
	const struct timespec moment = {.tv_nsec = 5000000};
	char *pid_file = hvst_path("nbdkit.pid");
	char *arguments = NULL;
	char *command = NULL;
	va_list args;
	pid_t pid;

	va_start(args, format);
	cr_assert_geq(vasprintf(&arguments, format, args), 0);
	va_end(args);
	cr_assert_geq(asprintf(&command,
			       "cd %s && rm -f nbd && exec nbdkit -f -U nbd -P nbdkit.pid %s",
			       hvst_dir(), arguments),
		      0);
	unlink(pid_file);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	/* It writes the file when it listens. */
	while (access(pid_file, F_OK) < 0) {
		cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0, "it did not start: %s", command);
		nanosleep(&moment, NULL);
	}
	servers[server_count++] = pid;
	free(command);
	free(arguments);
	free(pid_file);
	return pid;
}

const char *hvst_nbdkit_uri(void)
{
	static char uri[128];

	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s/nbd", hvst_dir());
	return uri;
}

/* ---- a model ---------------------------------------------------------------------------- */

uint8_t hvst_model[HVST_MODEL_BLOCKS * HVST_BLOCK];
static bool busy[HVST_MODEL_BLOCKS];

static void model_done(struct hvst_io *io)
{
	uint8_t *model = hvst_model + io->req.offset;

	cr_assert_eq(io->status, HVS_BLK_OK, "operation %d at %llu: status %d", (int)io->req.op,
		     (unsigned long long)io->req.offset, (int)io->status);
	if (io->req.op == HVS_BLK_READ)
		cr_assert(hvst_io_equals(io, model), "wrong data at %llu",
			  (unsigned long long)io->req.offset);
	for (uint64_t i = 0; i < io->req.len / HVST_BLOCK; i++)
		busy[io->req.offset / HVST_BLOCK + i] = false;
	hvst_io_free(io);
}

static enum hvs_blk_op random_op(uint32_t flags)
{
	const unsigned n = hvst_number() % 12;

	if (n == 0)
		return HVS_BLK_FLUSH;
	if (n == 1 && flags & HVS_BLK_INFO_WRITE_ZEROES)
		return HVS_BLK_WRITE_ZEROES;
	return n % 2 ? HVS_BLK_READ : HVS_BLK_WRITE;
}

/* A random request that touches no block in use; false: try another. */
static bool random_io(struct hvst_io *io, uint32_t flags, unsigned unit)
{
	const enum hvs_blk_op op = random_op(flags);
	const bool data = op == HVS_BLK_READ || op == HVS_BLK_WRITE;
	const unsigned first = hvst_number() % (HVST_MODEL_BLOCKS / unit) * unit;
	const unsigned most = hvst_number() % 16 ? 64 : 1024;
	const unsigned count = op == HVS_BLK_FLUSH ? 0 : (1 + hvst_number() % (most / unit)) * unit;
	uint8_t *model = hvst_model + first * HVST_BLOCK;

	if (count > HVST_MODEL_BLOCKS - first)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (busy[first + i])
			return false;
	memset(&busy[first], true, count);
	hvst_io_init(io, op, count ? first * HVST_BLOCK : 0, data ? count * HVST_BLOCK : 0,
		     data ? 1 + hvst_number() % 9 : 0);
	io->req.len = count * HVST_BLOCK;
	if (op == HVS_BLK_WRITE)
		for (unsigned i = 0; i < count * HVST_BLOCK; i++)
			model[i] = (uint8_t)hvst_number();
	if (op == HVS_BLK_WRITE_ZEROES)
		memset(model, 0, count * HVST_BLOCK);
	if (op == HVS_BLK_WRITE)
		hvst_io_fill(io, model);
	if ((op == HVS_BLK_WRITE || op == HVS_BLK_WRITE_ZEROES) && flags & HVS_BLK_INFO_FUA &&
	    hvst_number() % 16 == 0)
		io->req.flags |= HVS_BLK_FUA;
	if (op == HVS_BLK_WRITE_ZEROES && hvst_number() % 2)
		io->req.flags |= HVS_BLK_MAY_UNMAP;
	return true;
}

/* Take up what has ended among the first count requests. */
static void settle(struct hvst_io *ios, bool *settled, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		bool ended;

		if (settled[i])
			continue;
		pthread_mutex_lock(&lock);
		ended = ios[i].completions > 0;
		pthread_mutex_unlock(&lock);
		if (ended)
			model_done(&ios[i]);
		settled[i] = ended;
	}
}

void hvst_compare_with_model(struct hvs_nbddisk *disk, unsigned rounds, unsigned in_flight,
			     uint32_t block_size)
{
	struct hvst_io *ios = calloc(rounds, sizeof(*ios));
	bool *settled = calloc(rounds, sizeof(*settled));
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};
	unsigned batch = 0;

	cr_assert(ios != NULL && settled != NULL);
	cr_assert_eq(hvs_nbddisk_ops()->get_info(disk, &info), 0);
	for (unsigned i = 0; i < rounds;) {
		hvst_io_wait(batch + in_flight / 2);
		settle(ios, settled, i);
		if (!random_io(&ios[i], info.flags, block_size / HVST_BLOCK)) {
			hvs_nbddisk_ops()->commit(disk, 0); /* everything wanted may be in use */
			continue;
		}
		hvst_io_submit(disk, &ios[i++]);
		if (hvst_number() % 3 == 0 || ++batch >= in_flight / 2) {
			hvs_nbddisk_ops()->commit(disk, 0);
			batch = 0;
		}
	}
	hvs_nbddisk_ops()->commit(disk, 0);
	hvst_io_wait(0);
	settle(ios, settled, rounds);
	free(settled);
	free(ios);
}
