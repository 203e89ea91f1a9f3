/* SPDX-License-Identifier: MIT */
/* File disks past the page cache: memory that is aligned, and memory that is not. */
#include "support/filedisk.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

TestSuite(filedisk_direct, .init = setup, .fini = teardown, .timeout = 120);

#define LEN (640 * KIB) /* more than goes through a buffer at a time */

static void fill(uint8_t *buf, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		buf[i] = (uint8_t)number();
}

/* Write with memory cut in one way, read with memory cut in another way. */
static void there_and_back(unsigned pieces_out, unsigned pieces_in, uint32_t flags)
{
	uint8_t *copy = malloc(LEN);
	struct io io;

	cr_assert(copy != NULL);
	io_init(&io, HVS_BLK_WRITE, 3 * BLOCK, LEN, pieces_out);
	io.req.flags = flags;
	fill(io.buf, LEN);
	memcpy(copy, io.buf, LEN);
	run(&io, 1);
	cr_assert_eq(io.status, HVS_BLK_OK);
	io_free(&io);
	io_init(&io, HVS_BLK_READ, 3 * BLOCK, LEN, pieces_in);
	memset(io.buf, 0, LEN);
	run(&io, 1);
	cr_assert_eq(io.status, HVS_BLK_OK);
	cr_assert_eq(memcmp(io.buf, copy, LEN), 0);
	io_free(&io);
	free(copy);
}

EACH_ENGINE(filedisk_direct, memory_in_odd_pieces_is_read_and_written)
{
	make_file(MIB);
	open_disk(0, HVS_FILEDISK_DIRECT);
	there_and_back(1, 7, 0);
	there_and_back(2000, 1, HVS_BLK_FUA);
	there_and_back(3, 1500, 0);
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
}

EACH_ENGINE(filedisk_direct, aligned_memory_is_read_and_written)
{
	uint8_t *buf = aligned_alloc(4096, 64 * KIB);
	const struct iovec iov[2] = {{buf, 16 * KIB}, {buf + 16 * KIB, 48 * KIB}};
	struct io io;

	make_file(MIB);
	open_disk(0, HVS_FILEDISK_DIRECT);
	for (unsigned i = 0; i < 2; i++) {
		io_init(&io, i ? HVS_BLK_READ : HVS_BLK_WRITE, 64 * KIB, 64 * KIB, 0);
		free((void *)io.req.iov);
		io.req.iov = iov;
		io.req.iovcnt = 2;
		memset(buf, i ? 0 : 'd', 64 * KIB);
		run(&io, 1);
		cr_assert_eq(io.status, HVS_BLK_OK);
	}
	for (unsigned i = 0; i < 64 * KIB; i++)
		cr_assert_eq(buf[i], 'd');
	free(buf);
}

EACH_ENGINE(filedisk_direct, requests_wait_for_a_buffer_and_all_are_done)
{
	static struct io ios[200];

	make_file(200 * 4 * KIB);
	open_disk(0, HVS_FILEDISK_DIRECT);
	for (unsigned i = 0; i < 200; i++) {
		io_init(&ios[i], HVS_BLK_WRITE, i * 4 * KIB, 4 * KIB, 3);
		memset(ios[i].buf, (int)i, 4 * KIB);
	}
	run(ios, 200);
	for (unsigned i = 0; i < 200; i++) {
		cr_assert_eq(ios[i].status, HVS_BLK_OK);
		io_free(&ios[i]);
		io_init(&ios[i], HVS_BLK_READ, i * 4 * KIB, 4 * KIB, 2);
	}
	run(ios, 200);
	for (unsigned i = 0; i < 200; i++) {
		cr_assert_eq(ios[i].buf[0], (uint8_t)i);
		cr_assert_eq(ios[i].buf[4 * KIB - 1], (uint8_t)i);
		io_free(&ios[i]);
	}
}

Test(filedisk_direct, a_cancelled_request_gives_its_buffer_back)
{
	struct io ios[40];

	make_file(MIB);
	open_disk(0, HVS_FILEDISK_DIRECT);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 40; i++) {
			io_init(&ios[i], HVS_BLK_READ, i * BLOCK, BLOCK, 3);
			submit(&ios[i]);
		}
		for (unsigned i = 0; i < 40; i++)
			if (!ios[i].completions)
				hvs_filedisk_ops()->cancel(disk, &ios[i].req);
		wait_for(0);
		for (unsigned i = 0; i < 40; i++)
			io_free(&ios[i]);
	}
	there_and_back(5, 6, 0);
}

static void spoil_with_odd_parts(struct io_uring_cqe *cqe)
{
	if (cqe->res > 512 && number() % 2)
		cqe->res = 512 + (int)(number() % (unsigned)(cqe->res - 512));
}

Test(filedisk_direct, what_follows_a_part_begins_at_a_block)
{
	make_file(MIB);
	open_disk(0, HVS_FILEDISK_DIRECT);
	spoil = spoil_with_odd_parts;
	there_and_back(1, 5, 0);
	there_and_back(9, 1, 0);
}

static void spoil_with_bytes(struct io_uring_cqe *cqe)
{
	if (cqe->res > 100)
		cqe->res = 100;
}

Test(filedisk_direct, less_than_a_block_is_no_progress)
{
	make_file(MIB);
	open_disk(0, HVS_FILEDISK_DIRECT);
	spoil = spoil_with_bytes;
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 4096, 2, 0), HVS_BLK_IO_ERROR);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 2, 0), HVS_BLK_IO_ERROR);
}

EACH_ENGINE(filedisk_direct, an_iov_shorter_than_the_request_fails_it)
{
	static const enum hvs_blk_op ops[] = {HVS_BLK_READ, HVS_BLK_WRITE};

	make_file(MIB);
	open_disk(0, HVS_FILEDISK_DIRECT);
	for (unsigned i = 0; i < 2; i++) {
		struct io io;

		io_init(&io, ops[i], 0, 8 * KIB, 3);
		memset(io.buf, 0, 8 * KIB);
		io.req.len = 16 * KIB;
		run(&io, 1);
		cr_assert_eq(io.status, HVS_BLK_IO_ERROR);
		io_free(&io);
	}
	/* Its buffer is free again. */
	there_and_back(1, 1, 0);
}

EACH_ENGINE(filedisk_direct, where_there_is_no_direct_io_it_is_refused)
{
	struct hvs_filedisk_config cfg = good_config();

	make_file(MIB);
	cfg.flags |= HVS_FILEDISK_DIRECT;
	no_direct = true;
	refused(&cfg, ENOTSUP, "direct I/O");
	no_direct = false;
	large_blocks = true;
	refused(&cfg, EINVAL, "block_size 4096");
	large_blocks = false;
	open_disk(0, HVS_FILEDISK_DIRECT);
}
