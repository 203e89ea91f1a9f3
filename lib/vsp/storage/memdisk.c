/* SPDX-License-Identifier: MIT */
/* Block back end: memory. Every request is finished before submit returns. */
#include <hvstack/blockdev.h>

#include <errno.h>
#include <string.h>

static int get_info(void *priv, struct hvs_blk_info *info)
{
	const struct hvs_memdisk *d = priv;

	if (!d->data || !d->block_size || d->len % d->block_size)
		return -EINVAL;
	info->flags = d->flags;
	info->block_size = d->block_size;
	info->physical_block_size = d->block_size;
	info->num_blocks = d->len / d->block_size;
	info->max_queues = HVS_BLK_ANY_QUEUE;
	return 0;
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
	for (unsigned i = 0; i < req->iovcnt; i++) {
		if (req->op == HVS_BLK_READ)
			memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
		else
			memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
	hvs_blk_complete(req, HVS_BLK_OK);
}

const struct hvs_blk_ops hvs_memdisk_ops = {
	HVS_BLK_OPS_INIT,
	.get_info = get_info,
	.submit = submit,
};
