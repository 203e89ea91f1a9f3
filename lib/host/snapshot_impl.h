/* SPDX-License-Identifier: MIT */
/*
 * Snapshots from the inside. snapshot.c is the filter, on the threads of the queues; snapshot_point.c
 * takes points in time, and snapshot_save.c saves chunks, on threads of the point; snapshot_read.c puts
 * together what a disk held; snapshot_source.c reads the disk below.
 *
 * Locks: a snapshot's mutex, then a point's.
 */
#ifndef HVSI_HOST_SNAPSHOT_IMPL_H
#define HVSI_HOST_SNAPSHOT_IMPL_H

#include "host/chunkmap.h"
#include "host/notify.h"

#include <hvstack/blockdev.h>
#include <hvstack/host/snapshot.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HVSI_CACHE_LINE 64u
#define HVSI_POINT_THREADS 4u /* the first one also prepares and takes the point */
#define HVSI_SAVE_CHUNKS 4u   /* at a time */

struct hvsi_point_disk;

/* A write that was begun. Its memory stays until the filter is destroyed. */
struct hvsi_snap_write {
	struct hvs_blk_req req; /* what the back end below gets; first: done() gets its address */
	struct hvs_blk_req *orig;
	struct hvsi_snap_queue *queue;
	struct hvsi_snap_write *next; /* that waits, or is free */
	struct hvsi_snap_write *next_made;
	atomic_bool below; /* the back end has it */
	bool again;        /* for the second time, as there was no room */
	/* Under the point's mutex: chunks it wants to be saved. */
	bool wanted;
	uint64_t want_first;
	uint64_t want_count;
	struct hvsi_snap_write *next_wanted;
};

struct hvsi_snap_queue {
	/* On the queue's thread. */
	_Alignas(HVSI_CACHE_LINE) struct hvs_snapshot *snapshot;
	uint32_t index;
	struct hvsi_notify notify; /* signalled from any thread: look at what waits */
	/* Requests that are not begun, oldest first, linked through backend_priv. */
	struct hvs_blk_req *held;
	struct hvs_blk_req *held_last;
	/* Writes that wait for chunks to be saved, oldest first. */
	struct hvsi_snap_write *waiting;
	struct hvsi_snap_write *waiting_last;
	struct hvsi_snap_write *free;
	struct hvsi_snap_write *made; /* all */

	/* On any thread. */
	_Atomic(struct hvsi_snap_write *) returned; /* free again */
	_Atomic(struct hvsi_snap_write *) failed;   /* to be tried again */
	atomic_uint in_flight;                      /* begun and not completed */
	atomic_bool starving; /* held because there is no memory: tell if some is returned */
};

struct hvs_snapshot {
	struct hvs_blk_ops ops;
	void *disk;
	uint32_t queue_count;
	uint32_t info_flags;
	struct hvsi_snap_queue *queues;
	int fd; /* the file, to read it; -1: through ops */
	bool regular;
	char *dir;
	char *changes_path;
	_Atomic uint64_t bytes;

	atomic_bool gate;   /* closed: no write may begin */
	atomic_bool saving; /* chunks have to be saved before they are written */
	_Atomic(struct hvsi_chunkmap *) changed; /* replaced only while the gate is closed */
	atomic_bool untracked; /* something behind its end was written, or it has become shorter */

	pthread_mutex_t mutex; /* all of the following */
	pthread_cond_t drained;
	struct hvsi_point_disk *point_disk;
	/* What `changed` counts from. */
	bool known;
	uint64_t known_bytes; /* of the disk then */
	struct hvs_guid backup;
};

struct hvsi_point_disk {
	struct hvs_point *point;
	struct hvs_snapshot *snapshot; /* NULL: it was destroyed. Under the point's mutex */
	unsigned users;                /* of it; the same */
	uint64_t bytes;
	uint64_t chunks;
	int fd;                        /* clone, or saved chunks */
	bool clone;                    /* so set when the point is taken */
	bool saving;                   /* the same; not a clone */
	struct hvsi_chunkmap *passed;  /* may be written: saved, or not needed any more */
	struct hvsi_chunkmap *next;    /* `changed` from this point on, until it is taken */
	struct hvsi_chunkmap *changed; /* until this point */
	bool known;                    /* since `backup`, all of them */
	bool untracked;
	struct hvs_guid backup;
};

struct hvs_point {
	uint32_t count;
	uint32_t flags;
	uint64_t drain_ns;
	void (*event_fn)(void *arg, struct hvs_point *point, enum hvs_point_event event,
			 int status);
	void *arg;
	struct hvsi_notify notify;
	_Atomic int error;   /* positive errno: it is useless */
	atomic_bool aborted; /* no more reading */
	/* What it holds is to be dropped, as the guest needs the room; then it is. */
	atomic_bool dropping;
	atomic_bool empty;

	pthread_mutex_t mutex; /* all of the following, and what is said above */
	pthread_cond_t cond;
	unsigned threads;
	pthread_t thread[HVSI_POINT_THREADS];
	bool prepared;
	bool take; /* asked to */
	bool stop;
	bool drop;                  /* the same, and nobody is about it */
	enum hvs_point_event event; /* to be told; 0: none */
	int event_status;
	struct hvsi_snap_write *wanted; /* oldest first */
	struct hvsi_snap_write *wanted_last;
	struct { /* what each thread saves */
		const struct hvsi_point_disk *disk;
		uint64_t first;
		uint64_t count;
	} busy[HVSI_POINT_THREADS];

	struct hvsi_point_disk disks[]; /* as many as count */
};

static inline uint64_t hvsi_chunks_of(uint64_t bytes)
{
	return bytes / HVS_SNAPSHOT_CHUNK + (bytes % HVS_SNAPSHOT_CHUNK ? 1 : 0);
}

static inline bool hvsi_snapshot_is_write(const struct hvs_blk_req *req)
{
	return (req->op == HVS_BLK_WRITE || req->op == HVS_BLK_UNMAP ||
		req->op == HVS_BLK_WRITE_ZEROES) &&
	       req->len > 0;
}

/* ---- snapshot.c ------------------------------------------------------------------------- */

/* Have all queues look at what waits. [any] */
void hvsi_snapshot_wake(struct hvs_snapshot *s);

/* ---- snapshot_save.c -------------------------------------------------------------------- */

/* Does this write have to wait until chunks are saved? Then its queue is woken. On its thread. */
bool hvsi_snapshot_must_wait(struct hvsi_snap_write *w);

/* It has found no room. True: the point gives up what it holds, and the write is tried again when it
 * has. [any] */
bool hvsi_snapshot_make_room(struct hvsi_snap_write *w);

/* It does not want that any more. On its thread. */
void hvsi_snapshot_unwant(struct hvsi_snap_write *w);

/* Under both mutexes: no write of this disk wants anything. */
void hvsi_point_forget_wanted(struct hvs_point *p, const struct hvs_snapshot *s);

/* Save what is wanted, until the point is stopped. */
void hvsi_point_save(struct hvs_point *p, unsigned thread);

/* What it holds is of no use any more: have its files take no room. */
void hvsi_point_drop(struct hvs_point *p);

/* It is useless from now on, for the first reason there was (a positive errno). */
void hvsi_point_fail(struct hvs_point *p, int err);

/* The disk can be used until it is unpinned. False: it was destroyed. */
bool hvsi_point_pin(struct hvsi_point_disk *d);
void hvsi_point_unpin(struct hvsi_point_disk *d);

/* ---- snapshot_source.c ------------------------------------------------------------------ */

/* Sets fd, regular. 0 or a negative errno. */
int hvsi_snapshot_open_source(struct hvs_snapshot *s, uint32_t max_queues);

/* What the disk holds now. 0 or a negative errno; -ECANCELED: *aborted. Blocks. */
int hvsi_snapshot_source_read(struct hvs_snapshot *s, uint64_t offset, void *buf, size_t len,
			      const atomic_bool *aborted);

/* How many bytes from offset on are alike, unmapped or not; nothing is known to be unmapped that does
 * not read as zeros. Blocks. The same errors. */
int hvsi_snapshot_source_extent(struct hvs_snapshot *s, uint64_t offset, uint64_t len,
				uint64_t *extent_len, bool *zeros, const atomic_bool *aborted);

/* The same of a file. */
int hvsi_file_extent(int fd, uint64_t offset, uint64_t len, uint64_t *extent_len, bool *zeros);

/* All of it: 0, -EIO if the file is shorter, or another negative errno. */
int hvsi_file_read(int fd, uint64_t offset, void *buf, size_t len);
int hvsi_file_write(int fd, uint64_t offset, const void *buf, size_t len);

/* A file without a name. Descriptor or negative errno. */
int hvsi_temp_file(const char *dir);

bool hvsi_all_zeros(const void *buf, size_t len);

#endif
