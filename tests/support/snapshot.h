/* SPDX-License-Identifier: MIT */
/* What the tests of snapshots and backups share: disks in memory under the filter, writes, points. */
#ifndef HVS_TESTS_SUPPORT_SNAPSHOT_H
#define HVS_TESTS_SUPPORT_SNAPSHOT_H

#include "support/ramdisk.h"

#include <hvstack/host/snapshot.h>

#define CHUNK ((uint64_t)HVS_SNAPSHOT_CHUNK)
#define DISKS 2u
#define QUEUES 2u
#define BLOCK ((uint64_t)512)
#define BYTES (20 * CHUNK + 3 * BLOCK) /* the last chunk is none in full */

extern struct event_base *base;
extern struct ramdisk ram[DISKS];
extern struct hvs_snapshot *snap[DISKS];
extern char dir[];     /* for temporary files */
extern char changes[]; /* of the first disk: a path in it */

void snapshot_setup(void);
void snapshot_teardown(void);
void open_snapshot(unsigned disk, const char *changes_path);
void close_snapshot(unsigned disk);

struct io {
	struct hvs_blk_req req; /* first: done() gets its address */
	struct iovec iov;
	enum hvs_blk_status status;
	unsigned completions;
	uint8_t data[4 * HVS_SNAPSHOT_CHUNK];
};

/* A write of that byte, or an operation without data; handed to the filter of that disk. */
void start(struct io *io, unsigned disk, enum hvs_blk_op op, uint64_t offset, uint64_t len,
	   uint8_t byte);
/* Let the base run until it is completed. */
void wait_for(const struct io *io);
/* Let the base do what there is to do. */
void turn(void);
/* The same as start() and wait_for(). */
void do_one(unsigned disk, enum hvs_blk_op op, uint64_t offset, uint64_t len, uint8_t byte);

extern struct hvs_point *point;
extern int point_status;               /* of the last event */
extern enum hvs_point_event point_has; /* been; 0: nothing yet */

/* A point of the first `count` disks, prepared. */
void prepare_point(uint32_t count, uint32_t flags);
void wait_for_point(enum hvs_point_event event);
/* A point that is taken. */
void take_point(uint32_t count, uint32_t flags);
void read_point(unsigned disk, uint8_t *data);

#endif
