/* SPDX-License-Identifier: MIT */
/*
 * A block back end of one's own: a disk that is a folder. Each block that was written is a file in it, with
 * its number as name; a thread serves the requests. Runs in the machine of minimal-vmm.c; see
 * docs/integration.md.
 */
#define _GNU_SOURCE /* syncfs */
#include "minimal-vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 512u

/* [back end] */
struct folder_disk {
	int dir;
	int requests[2]; /* a pipe to the thread, of pointers */
	pthread_t thread;
};

static int get_info(void *disk, struct hvs_blk_info *info)
{
	(void)disk;
	info->flags = HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES;
	info->block_size = info->physical_block_size = BLOCK_BYTES;
	info->num_blocks = 4096;
	info->max_queues = HVS_BLK_ANY_QUEUE; /* several threads may write into a pipe */
	return 0;
}

static void submit(void *disk, struct hvs_blk_req *req)
{
	const struct folder_disk *d = disk;

	if (write(d->requests[1], &req, sizeof(void *)) < 0) /* too many of them */
		hvs_blk_complete(req, HVS_BLK_IO_ERROR);
}

static const struct hvs_blk_ops folder_ops = {HVS_BLK_OPS_INIT, .get_info = get_info,
					      .submit = submit};

/* [thread] Bytes from at on, a block of them, between the request's memory and buf. */
static void move(const struct hvs_blk_req *req, uint64_t at, unsigned char *buf)
{
	for (size_t i = 0, done = 0; done < BLOCK_BYTES; at -= req->iov[i++].iov_len)
		while (at < req->iov[i].iov_len && done < BLOCK_BYTES) {
			unsigned char *byte = (unsigned char *)req->iov[i].iov_base + at++;

			if (req->op == HVS_BLK_READ)
				*byte = buf[done++];
			else
				buf[done++] = *byte;
		}
}

static bool read_file(const struct folder_disk *d, const char *name, unsigned char *buf)
{
	const int fd = openat(d->dir, name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT; /* never written: buf has zeros */
	n = read(fd, buf, BLOCK_BYTES);
	close(fd);
	return n == BLOCK_BYTES;
}

static bool write_file(const struct folder_disk *d, const char *name, const unsigned char *buf)
{
	const int fd = openat(d->dir, name, O_WRONLY | O_CREAT, 0600);
	const ssize_t n = fd < 0 ? -1 : write(fd, buf, BLOCK_BYTES);

	close(fd);
	return n == BLOCK_BYTES;
}

static bool serve_block(const struct folder_disk *d, const struct hvs_blk_req *req, uint64_t at)
{
	unsigned char buf[BLOCK_BYTES] = {0};
	char name[24];

	snprintf(name, sizeof(name), "%u", (unsigned)((req->offset + at) / BLOCK_BYTES));
	if (req->op == HVS_BLK_UNMAP)
		return unlinkat(d->dir, name, 0) == 0 || errno == ENOENT;
	if (req->op == HVS_BLK_READ && !read_file(d, name, buf))
		return false;
	move(req, at, buf);
	return req->op == HVS_BLK_READ || write_file(d, name, buf);
}

static enum hvs_blk_status serve(const struct folder_disk *d, const struct hvs_blk_req *req)
{
	if (req->op == HVS_BLK_FLUSH) /* what was written before is durable afterwards */
		return syncfs(d->dir) == 0 ? HVS_BLK_OK : HVS_BLK_IO_ERROR;
	for (uint64_t at = 0; at < req->len; at += BLOCK_BYTES)
		if (!serve_block(d, req, at))
			return errno == ENOSPC ? HVS_BLK_NO_SPACE : HVS_BLK_IO_ERROR;
	return HVS_BLK_OK;
}

static void *serve_all(void *arg)
{
	const struct folder_disk *d = arg;
	struct hvs_blk_req *req;

	while (read(d->requests[0], &req, sizeof(void *)) == sizeof(void *))
		hvs_blk_complete(req, serve(d, req)); /* exactly once; req is gone then */
	return NULL;
}
/* [end] */

static int run(const char *path)
{
	struct folder_disk d = {.dir = open(path, O_RDONLY | O_DIRECTORY)};
	int err;

	if (d.dir < 0 || pipe(d.requests) != 0 || fcntl(d.requests[1], F_SETFL, O_NONBLOCK) != 0 ||
	    pthread_create(&d.thread, NULL, serve_all, &d) != 0)
		return -EIO;
	err = vmm_run(&folder_ops, &d);
	close(d.requests[1]); /* ends the thread */
	pthread_join(d.thread, NULL);
	close(d.requests[0]);
	close(d.dir);
	return err;
}

int main(void)
{
	char path[] = "/tmp/folder-disk-XXXXXX", name[64], text[BLOCK_BYTES + 1] = "";
	int err = mkdtemp(path) ? run(path) : -errno;
	FILE *block;

	snprintf(name, sizeof(name), "%s/0", path);
	block = fopen(name, "r");
	if (block && fread(text, BLOCK_BYTES, 1, block) == 1)
		printf("the file of block 0 holds what the guest wrote: %s\n", text);
	if (block)
		fclose(block);
	unlink(name);
	rmdir(path);
	return err || !text[0];
}
