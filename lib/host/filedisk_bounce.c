/* SPDX-License-Identifier: MIT */
/*
 * File disks that bypass the page cache. The kernel then wants memory to be aligned, and guests
 * need not align it: what is not aligned goes through memory of ours, a part at a time.
 */
#include "host/filedisk_impl.h"

#include <stdlib.h>
#include <string.h>

bool hvsi_filedisk_needs_bounce(const struct hvs_filedisk *disk, const struct hvs_blk_req *req)
{
	if (!disk->direct_memory || (req->op != HVS_BLK_READ && req->op != HVS_BLK_WRITE))
		return false;
	for (unsigned i = 0; i < req->iovcnt; i++)
		if ((uintptr_t)req->iov[i].iov_base % disk->direct_memory ||
		    req->iov[i].iov_len % disk->direct_block)
			return true;
	return false;
}

void *hvsi_filedisk_alloc_bounce(unsigned count)
{
	return aligned_alloc(HVSI_BOUNCE_ALIGN, (size_t)count * HVSI_BOUNCE_BYTES);
}

size_t hvsi_filedisk_bounce_len(const struct hvs_blk_req *req, uint64_t done)
{
	uint64_t left = req->len - done;

	return left < HVSI_BOUNCE_BYTES ? (size_t)left : HVSI_BOUNCE_BYTES;
}

size_t hvsi_filedisk_copy(const struct hvs_blk_req *req, uint64_t done, uint8_t *buf, size_t len)
{
	const struct iovec *iov = req->iov;
	uint64_t skip = done;
	size_t copied = 0;

	for (unsigned i = 0; i < req->iovcnt && copied < len; i++) {
		uint8_t *at = iov[i].iov_base;
		size_t n = iov[i].iov_len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		at += skip;
		n -= (size_t)skip;
		skip = 0;
		if (n > len - copied)
			n = len - copied;
		if (req->op == HVS_BLK_READ)
			memcpy(at, buf + copied, n);
		else
			memcpy(buf + copied, at, n);
		copied += n;
	}
	return copied;
}

uint64_t hvsi_filedisk_progress(const struct hvs_filedisk *disk, const struct hvs_blk_req *req,
				uint64_t done, uint64_t bytes)
{
	done += bytes;
	if (disk->direct_memory && done < req->len)
		done -= done % disk->direct_block;
	return done;
}
