/* SPDX-License-Identifier: MIT */
/* Copying a point in time out, on a thread of its own. */
#ifndef HVSI_HOST_BACKUP_COPY_H
#define HVSI_HOST_BACKUP_COPY_H

#include <hvstack/host/backup.h>
#include <hvstack/host/snapshot.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HVSI_BACKUP_GRANULE (1u << 20)
#define HVSI_BACKUP_HASH 32u

/* What is known of a disk when it is copied. */
struct hvsi_copied {
	uint64_t stored_bytes;
	uint64_t map_bytes;
	uint8_t map_hash[HVSI_BACKUP_HASH];
};

struct hvsi_copy {
	/* Set by whoever starts it; stays until it is joined. */
	struct hvs_point *point;
	const struct hvs_backup_disk *disks;
	struct hvsi_copied *copied; /* as many */
	uint32_t count;
	bool incremental;
	uint64_t max_bytes_per_s;
	/* Look at the progress, or finished. On the copy's thread. */
	void (*tell)(void *arg);
	void *arg;

	atomic_uint disk;
	_Atomic uint64_t done;
	_Atomic uint64_t total;
	atomic_bool finished;
	/* When finished. */
	int err;
	const char *what; /* could not be done: a static string */

	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool stop; /* under mutex */
};

/* 0, or the negative errno of pthread_create(). */
int hvsi_copy_start(struct hvsi_copy *copy);

/* Have it end soon; the point is aborted. */
void hvsi_copy_stop(struct hvsi_copy *copy);

/* Wait for its end. */
void hvsi_copy_join(struct hvsi_copy *copy);

#endif
