/* SPDX-License-Identifier: MIT */
/* A file disk from the inside: filedisk_open.c makes and frees it, filedisk.c does its I/O. */
#ifndef HVSI_HOST_FILEDISK_IMPL_H
#define HVSI_HOST_FILEDISK_IMPL_H

#include <hvstack/blockdev.h>

#include <event2/util.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

struct event;
struct event_base;

/* Everything is used by one thread, the one that runs base; there is no lock. */
struct hvs_filedisk {
	struct io_uring ring; /* its descriptor is readable while completions wait */
	struct event_base *base;
	struct event *ring_event;
	struct event *retry_event; /* the kernel did not take what the ring holds: try again */
	int fd;
	bool read_only;
	uint32_t block_size;
	uint32_t physical_block_size;
	uint64_t len; /* bytes, a multiple of block_size */

	unsigned depth;     /* requests that may have an SQE or be in the kernel */
	unsigned in_flight; /* that do */
	bool running;       /* inside hvsi_filedisk_run() */
	bool broken;        /* the kernel takes nothing any more */
	/* Requests above the depth, oldest first, linked through backend_priv. */
	struct hvs_blk_req *first_waiting;
	struct hvs_blk_req *last_waiting;
};

/* Hand the kernel what submit() collected, complete what is done, until neither is left. */
void hvsi_filedisk_run(struct hvs_filedisk *disk);

/* libevent callbacks, arg is the disk. */
void hvsi_filedisk_on_event(evutil_socket_t fd, short what, void *arg);

#endif
