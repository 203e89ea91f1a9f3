/* SPDX-License-Identifier: MIT */
/* What a disk's data go through: its back end, and the filters on it. */
#ifndef HVRUN_DISK_LAYERS_H
#define HVRUN_DISK_LAYERS_H

#include "disk_option.h"

#include <hvstack/blockdev.h>
#include <stdbool.h>

#define DISKS_WHY 256u /* room for a text that says what is wrong */

struct event_base;
struct iothreads;

struct layer {
	const struct hvs_blk_ops *ops;
	void *disk;
	void (*close)(void *disk);
};

#define MAX_LAYERS 4u /* back end, snapshot, faults, limit */

/* Zeroed, but for the first four. */
struct disk_layers {
	const struct disk_option *option;
	struct event_base *base; /* of queue 0; the others are those of the threads */
	struct iothreads *threads;
	const char *backup_dir;        /* for temporary files; NULL: beside the image */
	struct hvs_filedisk *filedisk; /* the lowest layer if it is one */
	struct hvs_snapshot *snapshot; /* a layer, if the disk can be backed up */
	struct hvs_fault *fault;       /* a layer, if wanted */
	struct hvs_limit *limit;       /* the same */
	struct layer layer[MAX_LAYERS];
	unsigned count; /* 0: a drive without a medium */
};

/* False, with what is wrong in `why`, DISKS_WHY bytes: disk_layers_close() it all the same. */
bool disk_layers_open(struct disk_layers *layers, char *why);
void disk_layers_close(struct disk_layers *layers);

#endif
