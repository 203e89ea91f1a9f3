/* SPDX-License-Identifier: MIT */
/* File disks without io_uring: what is different when threads do the work. */
#include "support/filedisk.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <string.h>

#define THREADS 8u /* of the pool */

static void setup_threads(void)
{
	setup();
	engine = HVS_FILEDISK_THREADS;
	make_file(MIB);
	open_disk(0, 0);
}

TestSuite(filedisk_threads, .init = setup_threads, .fini = teardown, .timeout = 120);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned inside; /* threads that would read */
static bool closed;     /* but may not */

static bool gate(ssize_t *result)
{
	(void)result;
	pthread_mutex_lock(&mutex);
	inside++;
	pthread_cond_broadcast(&changed);
	while (closed)
		pthread_cond_wait(&changed, &mutex);
	inside--;
	pthread_mutex_unlock(&mutex);
	return true;
}

static void close_gate(void)
{
	closed = true;
	before_preadv = gate;
}

static void wait_inside(unsigned count)
{
	pthread_mutex_lock(&mutex);
	while (inside < count)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void open_gate(void)
{
	pthread_mutex_lock(&mutex);
	closed = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

Test(filedisk_threads, a_waiting_request_that_is_cancelled_is_aborted_at_once)
{
	struct io ios[THREADS + 4];

	close_gate();
	for (unsigned i = 0; i < THREADS + 4; i++) {
		io_init(&ios[i], HVS_BLK_READ, i * BLOCK, BLOCK, 1);
		submit(&ios[i]);
	}
	wait_inside(THREADS);
	for (unsigned i = 1; i < 4; i++) {
		struct io *io = &ios[THREADS + i];

		hvs_filedisk_ops()->cancel(disk, &io->req);
		cr_assert_eq(io->completions, 1);
		cr_assert_eq(io->status, HVS_BLK_ABORTED);
	}
	/* The list is still one. */
	io_free(&ios[THREADS + 3]);
	io_init(&ios[THREADS + 3], HVS_BLK_FLUSH, 0, 0, 0);
	submit(&ios[THREADS + 3]);
	open_gate();
	wait_for(0);
	for (unsigned i = 0; i < THREADS + 4; i++) {
		cr_assert_eq(ios[i].completions, 1);
		cr_assert_eq(ios[i].status,
			     i == THREADS + 1 || i == THREADS + 2 ? HVS_BLK_ABORTED : HVS_BLK_OK);
		io_free(&ios[i]);
	}
}

/* The first call reads a part. */
static bool gate_with_a_part(ssize_t *result)
{
	before_preadv = NULL;
	gate(result);
	*result = BLOCK;
	return false;
}

Test(filedisk_threads, what_is_left_of_a_cancelled_request_is_not_done)
{
	struct io io;

	closed = true;
	before_preadv = gate_with_a_part;
	io_init(&io, HVS_BLK_READ, 0, 4 * BLOCK, 1);
	submit(&io);
	wait_inside(1);
	hvs_filedisk_ops()->cancel(disk, &io.req);
	cr_assert_eq(io.completions, 0, "its memory is still in use");
	open_gate();
	wait_for(0);
	cr_assert_eq(io.status, HVS_BLK_ABORTED);
	io_free(&io);
}

static int injected;
static unsigned calls;

static bool fail(ssize_t *result)
{
	calls++;
	errno = injected;
	*result = injected ? -1 : 0;
	return false;
}

Test(filedisk_threads, errors_of_the_kernel_become_statuses)
{
	static const struct {
		int err;
		enum hvs_blk_status status;
	} map[] = {
		{EIO, HVS_BLK_IO_ERROR},    {ENOSPC, HVS_BLK_NO_SPACE}, {EROFS, HVS_BLK_READ_ONLY},
		{ENODEV, HVS_BLK_GONE},     {EINVAL, HVS_BLK_IO_ERROR}, {0, HVS_BLK_IO_ERROR},
		{EAGAIN, HVS_BLK_IO_ERROR}, {EINTR, HVS_BLK_IO_ERROR},
	};

	before_preadv = fail;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		injected = map[i].err;
		cr_assert_eq(run_one(HVS_BLK_READ, 0, BLOCK, 1, 0), map[i].status);
	}
	cr_assert_gt(calls, 100, "try again is no failure at once");
}

static bool now_and_then_interrupted(ssize_t *result)
{
	if (calls++ % 3 == 0) {
		errno = EINTR;
		*result = -1;
		return false;
	}
	return true;
}

Test(filedisk_threads, interrupted_reads_are_continued)
{
	before_preadv = now_and_then_interrupted;
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(run_one(HVS_BLK_READ, 0, 64 * KIB, 3, 0), HVS_BLK_OK);
}

Test(filedisk_threads, what_was_on_its_way_when_the_file_became_shorter_is_out_of_range)
{
	struct io ios[2];

	close_gate();
	for (unsigned i = 0; i < 2; i++) {
		io_init(&ios[i], HVS_BLK_READ, 512 * KIB, 64 * KIB, 1);
		submit(&ios[i]);
	}
	wait_inside(2);
	cr_assert_eq(hvs_filedisk_resize(disk, 256 * KIB), 0);
	open_gate();
	wait_for(0);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(ios[i].status, HVS_BLK_RANGE);
		io_free(&ios[i]);
	}
}
