/* SPDX-License-Identifier: MIT */
/* An NBD disk from the inside: nbddisk_open.c makes and frees it, nbddisk.c does its I/O. */
#ifndef HVSI_HOST_NBDDISK_IMPL_H
#define HVSI_HOST_NBDDISK_IMPL_H

#include "host/nbdserver.h"

#include <hvstack/host/nbddisk.h>

#include <libnbd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Requests that are with the server. qemu-nbd works on 16 at a time; the others are on their way. */
#define HVSI_NBD_DEPTH 64u

/* A request that is with the server, as one command or several: its parts. */
struct hvsi_nbd_io {
	struct hvs_nbddisk *disk;
	struct hvs_blk_req *req;
	enum hvs_blk_status status; /* the first part that failed decides */
	bool more;                  /* not all of it has been sent */
	bool changed;               /* a part has been done */
	bool listed;                /* in disk->ended_parts */
	unsigned parts;             /* sent and not answered */
	uint64_t sent;              /* bytes */
	uint64_t since_ns;          /* when it was taken up */
	uint8_t *data;              /* all of its data in one piece: the guest's, or */
	uint8_t *bounce;            /* ours, or NULL */
	/* In disk->free_ios, or in disk->ended_parts. */
	struct hvsi_nbd_io *next;
};

/* The disk's thread uses everything that is not under the lock, and nobody else does. */
struct hvs_nbddisk {
	struct nbd_handle *nbd;
	struct hvsi_nbd_server server; /* pid 0: somebody else's */
	pthread_t thread;
	int kick; /* eventfd: something under the lock has changed */
	void (*log)(void *arg, const char *text);
	void *log_arg;

	/* What the server has; fixed. */
	uint64_t len; /* bytes */
	uint32_t block_size;
	uint32_t physical_block_size;
	uint32_t info_flags; /* HVS_BLK_INFO_* */
	uint32_t max_part;   /* bytes of data in one command, a multiple of block_size */
	bool can_flush;
	uint64_t request_timeout_ns; /* 0: none */

	struct hvsi_nbd_io ios[HVSI_NBD_DEPTH];
	struct hvsi_nbd_io *free_ios;
	struct hvsi_nbd_io *ended_parts; /* with a part that has ended: go on with them */
	unsigned writing;                /* WRITEs that are with the server */
	unsigned zeroing;                /* WRITE_ZEROES and UNMAPs */
	bool gone;                       /* the connection */

	pthread_mutex_t lock;
	/* Requests that wait for the thread or for a free io, oldest first, linked through
	 * backend_priv[0]. */
	struct hvs_blk_req *first_waiting;
	struct hvs_blk_req *last_waiting;
	bool kicked; /* and the thread has not looked since */
	bool stop;
};

/* The thread; arg is the disk. */
void *hvsi_nbddisk_run(void *arg);

/* Have the thread look at what is under the lock. */
void hvsi_nbddisk_kick(struct hvs_nbddisk *disk);

#endif
