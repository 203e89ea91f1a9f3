/* SPDX-License-Identifier: MIT */
#include "support/lower.h"

#include <hvstack/host/loop.h>
#include <string.h>

struct lower lower = {.max_queues = HVS_BLK_ANY_QUEUE};
uint8_t memory[16384];
uint64_t now_ns = 1;

uint64_t hvs_loop_now_ns(void)
{
	return now_ns;
}

static int get_info(void *disk, struct hvs_blk_info *info)
{
	cr_assert_eq(disk, &lower);
	info->flags = lower.flags;
	info->block_size = 512;
	info->physical_block_size = 4096;
	info->num_blocks = 1000;
	info->unmap_granularity = 8192;
	info->max_queues = lower.max_queues;
	return lower.info_error;
}

static void submit(void *disk, struct hvs_blk_req *req)
{
	cr_assert_eq(disk, &lower);
	cr_assert_lt(lower.count, LOWER_MAX);
	lower.submits++;
	if (lower.at_once)
		hvs_blk_complete(req, HVS_BLK_OK);
	else
		lower.reqs[lower.count++] = req;
}

static void commit(void *disk, uint32_t queue)
{
	cr_assert_eq(disk, &lower);
	lower.commits++;
	lower.committed_queue = queue;
}

static void cancel(void *disk, struct hvs_blk_req *req)
{
	cr_assert_eq(disk, &lower);
	lower.cancels++;
	lower.cancelled = req;
}

const struct hvs_blk_ops lower_ops = {
	HVS_BLK_OPS_INIT, .get_info = get_info, .submit = submit,
	.commit = commit, .cancel = cancel,
};

const struct hvs_blk_ops lower_ops_least = {
	HVS_BLK_OPS_INIT,
	.get_info = get_info,
	.submit = submit,
};

void lower_complete(enum hvs_blk_status status)
{
	struct hvs_blk_req *req = lower.reqs[0];

	cr_assert_gt(lower.count, 0);
	lower.count--;
	memmove(lower.reqs, lower.reqs + 1, lower.count * sizeof(lower.reqs[0]));
	hvs_blk_complete(req, status);
}

void lower_complete_all(void)
{
	while (lower.count > 0)
		lower_complete(HVS_BLK_OK);
}

static void done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct io *io = (struct io *)req;

	io->completions++;
	io->status = status;
	cr_assert_eq(io->completions, 1, "a request completed twice");
	if (io->then)
		io->then(io);
}

void io_init(struct io *io, enum hvs_blk_op op, uint64_t offset, uint64_t len)
{
	const bool transfer = op == HVS_BLK_READ || op == HVS_BLK_WRITE;

	*io = (struct io){.req = {HVS_BLK_REQ_INIT, .op = op, .offset = offset, .len = len,
				  .iov = io->iov, .done = done}};
	if (!transfer || len == 0)
		return;
	cr_assert_leq(len, sizeof(memory));
	io->iov[0] = (struct iovec){memory, 100};
	io->iov[1] = (struct iovec){memory + 100, 0};
	io->iov[2] = (struct iovec){memory + 100, len - 100};
	io->req.iovcnt = 3;
}
