/* SPDX-License-Identifier: MIT */
#include "support/disk.h"

#include "support/machine.h"

#include <stdlib.h>

static int get_info(void *priv, struct hvs_blk_info *info)
{
	struct testdisk *d = priv;
	uint32_t size = info->size;

	cr_assert_eq(size, sizeof(*info));
	*info = d->info;
	info->size = size;
	return d->info_result;
}

static void transfer(struct testdisk *d, struct hvs_blk_req *req)
{
	uint64_t at = req->offset;

	for (unsigned i = 0; i < req->iovcnt; i++) {
		if (req->op == HVS_BLK_READ)
			memcpy(req->iov[i].iov_base, d->data + at, req->iov[i].iov_len);
		else
			memcpy(d->data + at, req->iov[i].iov_base, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
}

static void mark(struct testdisk *d, const struct hvs_blk_req *req, bool unmapped)
{
	for (uint64_t at = req->offset; at < req->offset + req->len; at += 512)
		d->unmapped[at / 512] = unmapped;
}

static void lba_status(struct testdisk *d, struct hvs_blk_req *req)
{
	const bool *first = &d->unmapped[req->offset / 512];
	uint64_t max = d->status_max && d->status_max < req->len ? d->status_max : req->len;
	uint64_t n = 0;

	while (n < max && first[n / 512] == *first)
		n += d->info.block_size;
	req->extent_len = n;
	req->extent_unmapped = *first;
}

static void perform(struct testdisk *d, struct hvs_blk_req *req)
{
	bool zeroes = d->info.flags & HVS_BLK_INFO_UNMAP_ZEROES;

	if (!d->data)
		return;
	switch (req->op) {
	case HVS_BLK_READ:
		transfer(d, req);
		break;
	case HVS_BLK_WRITE:
		transfer(d, req);
		mark(d, req, false);
		break;
	case HVS_BLK_UNMAP:
		memset(d->data + req->offset, zeroes ? 0 : TESTDISK_UNMAPPED, req->len);
		mark(d, req, true);
		break;
	case HVS_BLK_WRITE_ZEROES:
		memset(d->data + req->offset, 0, req->len);
		mark(d, req, zeroes && req->flags & HVS_BLK_MAY_UNMAP);
		break;
	case HVS_BLK_LBA_STATUS:
		lba_status(d, req);
		break;
	case HVS_BLK_FLUSH:
		break;
	}
}

static enum hvs_blk_status status_of(const struct testdisk *d, enum hvs_blk_op op)
{
	switch (op) {
	case HVS_BLK_FLUSH:
		return d->flush_status;
	case HVS_BLK_UNMAP:
	case HVS_BLK_WRITE_ZEROES:
		return d->unmap_status;
	default:
		return d->status;
	}
}

static void submit(void *priv, struct hvs_blk_req *req)
{
	struct testdisk *d = priv;
	unsigned n = d->count++ % TESTDISK_LOG;
	enum hvs_blk_status status;
	uint64_t sum = 0;

	for (unsigned i = 0; i < req->iovcnt; i++)
		sum += req->iov[i].iov_len;
	cr_assert_eq(sum, req->op == HVS_BLK_READ || req->op == HVS_BLK_WRITE ? req->len : 0);
	cr_assert_leq(req->offset + req->len, d->info.num_blocks * d->info.block_size);
	d->log[n].op = req->op;
	d->log[n].flags = req->flags;
	d->log[n].offset = req->offset;
	d->log[n].len = req->len;
	d->log[n].iovcnt = req->iovcnt;
	if (d->on_submit)
		d->on_submit(d, req);
	if (d->hold) {
		cr_assert_lt(d->held_count, TESTDISK_LOG);
		d->held[d->held_count++] = req;
		return;
	}
	status = status_of(d, req->op);
	if (status == HVS_BLK_OK)
		perform(d, req);
	hvs_blk_complete(req, status);
}

static void commit(void *priv, uint32_t queue)
{
	(void)queue;
	((struct testdisk *)priv)->commits++;
}

const struct hvs_blk_ops testdisk_ops = {HVS_BLK_OPS_INIT, .get_info = get_info, .submit = submit,
					 .commit = commit};

/* Only what was submitted and not completed: the back end is on the worker's own thread. */
static void cancel(void *priv, struct hvs_blk_req *req)
{
	struct testdisk *d = priv;
	unsigned i = 0;

	while (i < d->held_count && d->held[i] != req)
		i++;
	cr_assert_lt(i, d->held_count);
	d->cancels++;
	testdisk_finish(d, i, HVS_BLK_ABORTED);
}

const struct hvs_blk_ops testdisk_cancel_ops = {HVS_BLK_OPS_INIT, .get_info = get_info,
						.submit = submit, .commit = commit,
						.cancel = cancel};

struct testdisk *testdisk_new(uint64_t blocks, uint32_t flags)
{
	struct testdisk *d = calloc(1, sizeof(*d));

	cr_assert_not_null(d);
	d->info.flags = flags;
	d->info.block_size = 512;
	d->info.physical_block_size = 512;
	d->info.num_blocks = blocks ? blocks : DISK_BYTES / 512;
	if (!blocks) {
		d->data = calloc(1, DISK_BYTES);
		cr_assert_not_null(d->data);
	}
	return d;
}

void testdisk_free(struct testdisk *d)
{
	cr_assert_eq(d->held_count, 0);
	free(d->data);
	free(d);
}

void testdisk_finish(struct testdisk *d, unsigned i, enum hvs_blk_status status)
{
	struct hvs_blk_req *req;

	cr_assert_lt(i, d->held_count);
	req = d->held[i];
	d->held_count--;
	memmove(&d->held[i], &d->held[i + 1], (d->held_count - i) * sizeof(d->held[0]));
	if (status == HVS_BLK_OK)
		perform(d, req);
	hvs_blk_complete(req, status);
}

void testdisk_finish_all(struct testdisk *d)
{
	while (d->held_count)
		testdisk_finish(d, 0, HVS_BLK_OK);
}
