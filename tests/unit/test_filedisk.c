/* SPDX-License-Identifier: MIT */
/*
 * I/O of file disks: data against a model, and what happens when the kernel does only a part of
 * the work or none.
 */
#include "support/filedisk.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(filedisk, .init = setup, .fini = teardown, .timeout = 120);

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
	if (io->req.op == HVS_BLK_UNMAP || io->req.op == HVS_BLK_WRITE_ZEROES)
		memset(model + io->req.offset, 0, io->req.len);
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
	static const enum hvs_blk_op ops[] = {
		HVS_BLK_READ,  HVS_BLK_WRITE, HVS_BLK_READ,         HVS_BLK_WRITE,
		HVS_BLK_FLUSH, HVS_BLK_UNMAP, HVS_BLK_WRITE_ZEROES,
	};
	enum hvs_blk_op op = ops[number() % (sizeof(ops) / sizeof(ops[0]))];
	unsigned first = number() % MODEL_BLOCKS;
	unsigned count = 1 + number() % 64;
	bool transfer;

	if (op == HVS_BLK_FLUSH)
		count = 0;
	if (count > MODEL_BLOCKS - first)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (busy[first + i])
			return false;
	for (unsigned i = 0; i < count; i++)
		busy[first + i] = true;
	transfer = op == HVS_BLK_READ || op == HVS_BLK_WRITE;
	io_init(io, op, (uint64_t)first * BLOCK, (uint64_t)count * BLOCK,
		transfer ? 1 + number() % 9 : 0);
	if ((op == HVS_BLK_WRITE || op == HVS_BLK_WRITE_ZEROES) && number() % 4 == 0)
		io->req.flags |= HVS_BLK_FUA;
	if (op == HVS_BLK_WRITE_ZEROES && number() % 2)
		io->req.flags |= HVS_BLK_MAY_UNMAP;
	for (unsigned i = 0; transfer && i < count * BLOCK; i++)
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
			hvs_filedisk_ops()->commit(disk, 0);
			event_base_loop(base, EVLOOP_NONBLOCK);
			continue;
		}
		submit(&ios[i++]);
		if (number() % 3 == 0 || outstanding >= in_flight)
			hvs_filedisk_ops()->commit(disk, 0);
	}
	hvs_filedisk_ops()->commit(disk, 0);
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

EACH_ENGINE(filedisk, random_io_matches_a_model)
{
	make_file(sizeof(model));
	open_disk(0, 0);
	compare_with_model(8000, 40);
}

EACH_ENGINE(filedisk, random_io_matches_a_model_with_more_requests_than_queue_depth)
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
		if (cqe->res > 1) /* only reads and writes have a length */
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

EACH_ENGINE(filedisk, more_pieces_than_iov_max)
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
	hvs_filedisk_ops()->commit(disk, 0);
}

EACH_ENGINE(filedisk, a_completion_may_submit_and_commit)
{
	make_file(50 * BLOCK);
	open_disk(2, 0);
	for (unsigned i = 0; i < 50; i++) {
		io_init(&chain[i], HVS_BLK_READ, i * BLOCK, BLOCK, 1);
		chain[i].then = submit_next;
	}
	submit(&chain[0]);
	hvs_filedisk_ops()->commit(disk, 0);
	wait_for(0);
	cr_assert_eq(completed, 50);
	for (unsigned i = 0; i < 50; i++)
		io_free(&chain[i]);
}

EACH_ENGINE(filedisk, a_range_behind_the_end_is_refused)
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

EACH_ENGINE(filedisk, a_file_that_became_shorter_fails_reads)
{
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(truncate(path, 64 * KIB), 0);
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 64 * KIB, 5, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_READ, 32 * KIB, 64 * KIB, 5, 0), HVS_BLK_IO_ERROR);
	cr_assert_eq(run_one(HVS_BLK_READ, 512 * KIB, 64 * KIB, 1, 0), HVS_BLK_IO_ERROR);
}

EACH_ENGINE(filedisk, an_iov_shorter_than_the_request_fails_it)
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
		cr_assert_eq(run_one(HVS_BLK_WRITE_ZEROES, 0, BLOCK, 0, 0),
			     map[i].err == EINVAL ? HVS_BLK_UNSUPPORTED : map[i].status);
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

EACH_ENGINE(filedisk, a_full_file_system_is_no_space)
{
	if (!mount_tmpfs("size=256k"))
		cr_skip_test("no mount namespace here");
	make_file(4 * MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 64 * KIB, 3, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB, 512 * KIB, 3, 0), HVS_BLK_NO_SPACE);
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 64 * KIB, 3, 0), HVS_BLK_OK);
	close_disk();
	umount(dir);
}

/* ---- cancelling ------------------------------------------------------------------------- */

static void cancel(struct io *io)
{
	hvs_filedisk_ops()->cancel(disk, &io->req);
}

Test(filedisk, a_waiting_request_that_is_cancelled_is_aborted_at_once)
{
	struct io ios[5];

	make_file(MIB);
	open_disk(1, 0);
	for (unsigned i = 0; i < 5; i++) {
		io_init(&ios[i], HVS_BLK_READ, i * BLOCK, BLOCK, 1);
		submit(&ios[i]);
	}
	cancel(&ios[2]);
	cancel(&ios[4]);
	cr_assert_eq(ios[2].completions, 1);
	cr_assert_eq(ios[4].completions, 1);
	/* The list is still one: a new request comes behind the others. */
	cancel(&ios[3]);
	cr_assert_eq(ios[3].completions, 1);
	io_free(&ios[4]);
	io_init(&ios[4], HVS_BLK_READ, 0, BLOCK, 1);
	submit(&ios[4]);
	hvs_filedisk_ops()->commit(disk, 0);
	wait_for(0);
	for (unsigned i = 0; i < 5; i++) {
		cr_assert_eq(ios[i].status, i == 2 || i == 3 ? HVS_BLK_ABORTED : HVS_BLK_OK);
		cr_assert_eq(ios[i].completions, 1);
		io_free(&ios[i]);
	}
}

static void spoil_first(struct io_uring_cqe *cqe)
{
	if (cqe->user_data) {
		cqe->res = -injected;
		spoil = NULL;
	}
}

Test(filedisk, an_operation_that_ends_early_because_of_a_cancel_is_aborted)
{
	static const int errors[] = {EINTR, ECANCELED, EAGAIN};

	make_file(MIB);
	open_disk(0, 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct io io;

		injected = errors[i];
		spoil = spoil_first;
		io_init(&io, HVS_BLK_WRITE_ZEROES, 0, MIB, 0);
		submit(&io);
		cancel(&io);
		wait_for(0);
		cr_assert_eq(io.status, HVS_BLK_ABORTED);
		io_free(&io);
	}
}

EACH_ENGINE(filedisk, a_cancel_that_comes_too_late_changes_nothing)
{
	struct io io;

	make_file(MIB);
	open_disk(0, 0);
	for (unsigned i = 0; i < 50; i++) {
		io_init(&io, HVS_BLK_READ, 0, 4096, 1);
		submit(&io);
		cancel(&io);
		wait_for(0);
		cr_assert_eq(io.completions, 1);
		cr_assert(io.status == HVS_BLK_OK || io.status == HVS_BLK_ABORTED);
		io_free(&io);
	}
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 4096, 1, 0), HVS_BLK_OK);
}

static void spoil_with_a_part(struct io_uring_cqe *cqe)
{
	if (cqe->res > 512)
		cqe->res = 512;
}

Test(filedisk, what_is_left_of_a_cancelled_request_is_not_done)
{
	struct io io;

	make_file(MIB);
	open_disk(0, 0);
	spoil = spoil_with_a_part;
	io_init(&io, HVS_BLK_WRITE, 0, 4096, 1);
	submit(&io);
	cancel(&io);
	wait_for(0);
	cr_assert_eq(io.status, HVS_BLK_ABORTED);
	io_free(&io);
}

Test(filedisk, requests_are_cancelled_while_the_kernel_is_short_of_memory)
{
	struct io ios[4];

	make_file(MIB);
	open_disk(4, 0);
	submit_error = EAGAIN;
	submit_failures = 5;
	for (unsigned i = 0; i < 4; i++) {
		io_init(&ios[i], HVS_BLK_READ, i * BLOCK, BLOCK, 1);
		submit(&ios[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		cancel(&ios[i]);
	wait_for(0);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(ios[i].completions, 1);
		io_free(&ios[i]);
	}
	cr_assert_eq(run_one(HVS_BLK_READ, 0, BLOCK, 1, 0), HVS_BLK_OK);
}

Test(filedisk, requests_are_cancelled_when_the_kernel_refuses_for_good)
{
	struct io ios[2];

	make_file(MIB);
	open_disk(1, 0);
	submit_error = EPERM;
	submit_failures = UINT32_MAX;
	for (unsigned i = 0; i < 2; i++) {
		io_init(&ios[i], HVS_BLK_READ, i * BLOCK, BLOCK, 1);
		submit(&ios[i]);
	}
	cancel(&ios[0]);
	wait_for(0);
	cr_assert_eq(ios[0].status, HVS_BLK_IO_ERROR);
	cr_assert_eq(ios[1].status, HVS_BLK_IO_ERROR);
	io_free(&ios[0]);
	io_free(&ios[1]);
}
