/* SPDX-License-Identifier: MIT */
/*
 * The guest's disks: SCSI controllers, back ends, and changes while the guest runs. Everything here
 * is called on the thread that runs machine->base.
 */
#ifndef HVRUN_DISKS_H
#define HVRUN_DISKS_H

#include "disk_layers.h"
#include "disk_option.h"

#include <hvstack/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disks;
struct event_base;
struct hvs_disk;
struct hvs_snapshot;
struct hvs_vmbus;
struct iothreads;
struct options;

struct disks_config {
	struct hvs_vmbus *bus;
	struct event_base *base;
	struct iothreads *threads;
	unsigned subchannels; /* that each controller has */
	struct hvs_guid machine_id;
	const char *backup_dir; /* for temporary files; NULL: beside the image */
	/* The guest has ejected a medium. */
	void (*ejected)(void *arg, const char *id);
	void *arg;
};

/* NULL: no memory. */
struct disks *disks_create(const struct disks_config *cfg);
/* The bus is gone, and nothing runs on the bases. NULL is allowed. */
void disks_destroy(struct disks *disks);

/*
 * The functions below return true, or false with what is wrong in `why`, DISKS_WHY bytes.
 *
 * Add a disk. option and its strings are copied. id is set to what the others name it by; it is
 * valid as long as the disk.
 */
bool disks_add(struct disks *disks, const struct disk_option *option, const char **id, char *why);

/* Take one away; gone() is called when its file is closed, in disks_destroy() at the latest. */
bool disks_remove(struct disks *disks, const char *id, void (*gone)(void *arg), void *arg,
		  char *why);

/* The file becomes that long. 0: somebody else has changed its length, and the guest is told. */
bool disks_resize(struct disks *disks, const char *id, uint64_t bytes, char *why);
/* Other limits than before; 0: none. Only of a disk that has some. */
bool disks_set_limits(struct disks *disks, const char *id, uint64_t iops, uint64_t bytes_per_sec,
		      char *why);
/* Other rules than before, as hvs_fault_parse() has them; "": none. Only of a disk that has some. */
bool disks_set_faults(struct disks *disks, const char *id, const char *rules, char *why);
bool disks_set_read_only(struct disks *disks, const char *id, bool read_only, char *why);

/* Measure how long its commands take, or no longer. */
bool disks_measure_latency(struct disks *disks, const char *id, bool on, char *why);

/*
 * A drive with removable media: put an image in; take it out again, also if the guest has locked the
 * drive (force). out() is called when the file is closed.
 */
bool disks_insert(struct disks *disks, const char *id, const char *file, char *why);
bool disks_eject(struct disks *disks, const char *id, bool force, void (*out)(void *arg), void *arg,
		 char *why);

bool disks_have(const struct disks *disks, const char *id);

/* For backup. NULL: there is no such disk, or it can't be backed up. */
struct hvs_snapshot *disks_snapshot(const struct disks *disks, const char *id,
				    uint32_t *block_size);

/* What is there. */
struct disk_view {
	const char *id;
	const char *file; /* NULL: no medium */
	uint64_t bytes;   /* 0: no medium */
	uint32_t controller;
	unsigned lun;
	bool optical;
	bool read_only;
	bool backup;                   /* it can be backed up */
	const struct hvs_disk *handle; /* for its counters */
};
void disks_visit(const struct disks *disks, void (*visit)(void *arg, const struct disk_view *disk),
		 void *arg);

#endif
