/* SPDX-License-Identifier: MIT */
#include "support/ramdisk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void ramdisk_init(struct ramdisk *d, uint64_t bytes)
{
	*d = (struct ramdisk){
		.data = calloc(1, bytes), .bytes = bytes, .max_queues = HVS_BLK_ANY_QUEUE};
	assert(d->data);
	pthread_mutex_init(&d->mutex, NULL);
}

void ramdisk_fini(struct ramdisk *d)
{
	pthread_mutex_destroy(&d->mutex);
	free(d->data);
}

static int get_info(void *opaque, struct hvs_blk_info *info)
{
	const struct ramdisk *d = opaque;

	info->flags = HVS_BLK_INFO_FUA | HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES |
		      HVS_BLK_INFO_WRITE_ZEROES | HVS_BLK_INFO_LBA_STATUS;
	info->block_size = 512;
	info->physical_block_size = 512;
	info->num_blocks = d->bytes / 512;
	info->max_queues = d->max_queues;
	return 0;
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, 511) == 0;
}

static void status_of(const struct ramdisk *d, struct hvs_blk_req *req)
{
	req->extent_unmapped = is_zero(d->data + req->offset);
	req->extent_len = 512;
	while (req->extent_len < req->len &&
	       is_zero(d->data + req->offset + req->extent_len) == req->extent_unmapped)
		req->extent_len += 512;
}

static void act(struct ramdisk *d, struct hvs_blk_req *req)
{
	uint8_t *at = d->data + req->offset;

	assert(req->offset + req->len <= d->bytes);
	switch (req->op) {
	case HVS_BLK_READ:
	case HVS_BLK_WRITE:
		for (unsigned i = 0; i < req->iovcnt; i++) {
			if (req->op == HVS_BLK_READ)
				memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
			else
				memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
			at += req->iov[i].iov_len;
		}
		break;
	case HVS_BLK_UNMAP:
	case HVS_BLK_WRITE_ZEROES:
		memset(at, 0, req->len);
		break;
	case HVS_BLK_LBA_STATUS:
		status_of(d, req);
		break;
	case HVS_BLK_FLUSH:
		break;
	}
}

static void finish(struct ramdisk *d, struct hvs_blk_req *req, enum hvs_blk_status status)
{
	if (req->op == HVS_BLK_READ && atomic_load(&d->bad))
		status = HVS_BLK_IO_ERROR;
	pthread_mutex_lock(&d->mutex);
	if (status == HVS_BLK_OK)
		act(d, req);
	pthread_mutex_unlock(&d->mutex);
	hvs_blk_complete(req, status);
}

static void submit(void *opaque, struct hvs_blk_req *req)
{
	struct ramdisk *d = opaque;
	const bool read = req->op == HVS_BLK_READ || req->op == HVS_BLK_LBA_STATUS;

	if (read ? atomic_load(&d->hold_reads) : d->hold_writes) {
		pthread_mutex_lock(&d->mutex);
		assert(d->held_count < RAMDISK_MAX);
		d->held[d->held_count++] = req;
		pthread_mutex_unlock(&d->mutex);
		atomic_fetch_add(&d->reads, read);
		return;
	}
	atomic_fetch_add(&d->reads, read);
	finish(d, req, HVS_BLK_OK);
}

static struct hvs_blk_req *take(struct ramdisk *d, unsigned n)
{
	struct hvs_blk_req *req = d->held[n];

	d->held_count--;
	memmove(d->held + n, d->held + n + 1, (d->held_count - n) * sizeof(struct hvs_blk_req *));
	return req;
}

void ramdisk_complete(struct ramdisk *d, unsigned n, enum hvs_blk_status status)
{
	struct hvs_blk_req *req;

	pthread_mutex_lock(&d->mutex);
	assert(n < d->held_count);
	req = take(d, n);
	pthread_mutex_unlock(&d->mutex);
	finish(d, req, status);
}

void ramdisk_release_reads(struct ramdisk *d)
{
	atomic_store(&d->hold_reads, false);
	for (unsigned i = 0; i < d->held_count;) {
		if (d->held[i]->op == HVS_BLK_READ || d->held[i]->op == HVS_BLK_LBA_STATUS)
			ramdisk_complete(d, i, HVS_BLK_OK);
		else
			i++;
	}
}

static void commit(void *opaque, uint32_t queue)
{
	(void)opaque;
	(void)queue;
}

static void cancel(void *opaque, struct hvs_blk_req *req)
{
	struct ramdisk *d = opaque;
	struct hvs_blk_req *found = NULL;

	pthread_mutex_lock(&d->mutex);
	d->cancels++;
	for (unsigned i = 0; i < d->held_count && !found; i++)
		if (d->held[i] == req)
			found = take(d, i);
	pthread_mutex_unlock(&d->mutex);
	if (found)
		hvs_blk_complete(found, HVS_BLK_ABORTED);
}

const struct hvs_blk_ops ramdisk_ops = {
	HVS_BLK_OPS_INIT, .get_info = get_info, .submit = submit,
	.commit = commit, .cancel = cancel,
};
