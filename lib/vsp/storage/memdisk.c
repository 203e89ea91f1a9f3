/* SPDX-License-Identifier: MIT */
/* Block back end: memory. Every request is finished before submit returns. */
#include <hvstack/blockdev.h>

#include "util/sized.h"

#include <errno.h>
#include <string.h>

/* How far one LBA_STATUS looks. */
#define STATUS_MAX (1u << 20)

static int get_info(void *priv, struct hvs_blk_info *info)
{
	struct hvs_memdisk d;
	int err = HVSI_TAKE(&d, priv, reserved);

	if (err)
		return err;
	if (!d.data || !d.block_size || d.len % d.block_size || d.reserved)
		return -EINVAL;
	info->flags = d.flags | HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES |
		      HVS_BLK_INFO_WRITE_ZEROES | HVS_BLK_INFO_LBA_STATUS;
	info->block_size = d.block_size;
	info->physical_block_size = d.block_size;
	info->num_blocks = d.len / d.block_size;
	info->max_queues = HVS_BLK_ANY_QUEUE;
	return 0;
}

static void transfer(const struct hvs_blk_req *req, uint8_t *at)
{
	for (unsigned i = 0; i < req->iovcnt; i++) {
		if (req->op == HVS_BLK_READ)
			memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
		else
			memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
}

/* Blocks of zeros count as unmapped: a disk may unmap such by itself (SBC-3 4.7.4.4). */
static bool is_zero(const uint8_t *p, uint32_t len)
{
	return !*p && memcmp(p, p + 1, len - 1) == 0;
}

static void lba_status(const struct hvs_memdisk *d, struct hvs_blk_req *req, const uint8_t *at)
{
	uint64_t len = req->len < STATUS_MAX ? req->len : STATUS_MAX;
	uint64_t n = d->block_size;

	req->extent_unmapped = is_zero(at, d->block_size);
	while (n < len && is_zero(at + n, d->block_size) == req->extent_unmapped)
		n += d->block_size;
	req->extent_len = n;
}

static void submit(void *priv, struct hvs_blk_req *req)
{
	const struct hvs_memdisk *d = priv;
	uint8_t *at;

	if (req->offset > d->len || req->len > d->len - req->offset) {
		hvs_blk_complete(req, HVS_BLK_RANGE);
		return;
	}
	at = (uint8_t *)d->data + req->offset;
	switch (req->op) {
	case HVS_BLK_READ:
	case HVS_BLK_WRITE:
		transfer(req, at);
		break;
	case HVS_BLK_UNMAP:
	case HVS_BLK_WRITE_ZEROES:
		memset(at, 0, req->len);
		break;
	case HVS_BLK_LBA_STATUS:
		lba_status(d, req, at);
		break;
	case HVS_BLK_FLUSH:
		break;
	}
	hvs_blk_complete(req, HVS_BLK_OK);
}

const struct hvs_blk_ops *hvs_memdisk_ops(void)
{
	static const struct hvs_blk_ops ops = {
		HVS_BLK_OPS_INIT,
		.get_info = get_info,
		.submit = submit,
	};

	return &ops;
}
