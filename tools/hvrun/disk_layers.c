/* SPDX-License-Identifier: MIT */
#include "disk_layers.h"

#include "iothreads.h"
#include "report.h"

#include <hvstack/host/fault.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/limit.h>
#include <hvstack/host/nbddisk.h>
#include <hvstack/host/snapshot.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MAX_QUEUES 17u

static bool failed(char *why, const char *what, int err)
{
	snprintf(why, DISKS_WHY, "%s: %s", what, strerror(-err));
	return false;
}

static void push(struct disk_layers *l, const struct hvs_blk_ops *ops, void *disk,
		 void (*close)(void *))
{
	l->layer[l->count++] = (struct layer){ops, disk, close};
}

static void close_filedisk(void *disk)
{
	hvs_filedisk_close(disk); /* hvstack {} */
}

/* One for each queue. Returns how many. */
static uint32_t all_bases(const struct disk_layers *l, struct event_base *bases[MAX_QUEUES])
{
	size_t count = iothreads_count(l->threads);

	bases[0] = l->base;
	for (size_t i = 0; i < count; i++)
		bases[1 + i] = iothreads_base(l->threads, i);
	return (uint32_t)(1 + count);
}

static bool open_file(struct disk_layers *l, char *why)
{
	const struct disk_option *o = l->option;
	struct event_base *bases[MAX_QUEUES];
	uint32_t base_count = all_bases(l, bases);
	const char *reason;

	uint32_t how = (o->shared ? HVS_FILEDISK_SHARED : 0) |
		       (o->direct ? HVS_FILEDISK_DIRECT : 0) |
		       (o->threads ? HVS_FILEDISK_THREADS : 0);

	/* hvstack { */
	const struct hvs_filedisk_config cfg = {
		HVS_FILEDISK_CONFIG_INIT,
		.path = o->file,
		.block_size = o->block_size,
		.bases = bases,
		.base_count = base_count,
		.flags = how | (o->read_only ? HVS_FILEDISK_READ_ONLY : 0)};

	if (hvs_filedisk_open(&cfg, &l->filedisk, &reason) < 0) {
		/* } hvstack */
		snprintf(why, DISKS_WHY, "%s: %s", o->file, reason);
		return false;
	}
	push(l, hvs_filedisk_ops(), l->filedisk, close_filedisk);
	return true;
}

static bool is_uri(const char *file)
{
	return strncmp(file, "nbd://", 6) == 0 || strncmp(file, "nbd+unix://", 11) == 0;
}

static void on_nbd_message(void *arg, const char *text)
{
	const struct disk_layers *l = arg;

	report(0, "disk %s: %s", l->option->id, text);
}

static void close_nbd(void *disk)
{
	hvs_nbddisk_close(disk);
}

static bool open_nbd(struct disk_layers *l, const char *format, char *why)
{
	const struct disk_option *o = l->option;
	const struct hvs_nbddisk_config cfg = {HVS_NBDDISK_CONFIG_INIT,
					       .uri = format ? NULL : o->file,
					       .image = format ? o->file : NULL,
					       .format = format,
					       .block_size = o->block_size,
					       .flags = o->read_only ? HVS_NBDDISK_READ_ONLY : 0,
					       .log = on_nbd_message,
					       .arg = l};
	struct hvs_nbddisk *disk;
	int len = snprintf(why, DISKS_WHY, "%s: ", o->file);

	if (len >= (int)DISKS_WHY)
		len = 0;
	if (hvs_nbddisk_open(&cfg, &disk, why + len, DISKS_WHY - (size_t)len) < 0)
		return false;
	push(l, hvs_nbddisk_ops(), disk, close_nbd);
	return true;
}

/* The lowest layer: what the file is decides which. */
static bool open_back_end(struct disk_layers *l, char *why)
{
	const struct disk_option *o = l->option;
	const char *format;

	if (!o->file)
		return true; /* a drive without a medium */
	format = o->format ? o->format : hvs_nbddisk_format(o->file);

	if (is_uri(o->file))
		return open_nbd(l, NULL, why);
	if (strcmp(format, "raw") != 0)
		return open_nbd(l, format, why);
	return open_file(l, why);
}

/* The folder that the image is in. */
static bool folder_of(const char *file, char folder[PATH_MAX])
{
	const char *slash = is_uri(file) ? NULL : strrchr(file, '/');
	int len = is_uri(file) ? snprintf(folder, PATH_MAX, "/var/tmp")
		  : slash      ? snprintf(folder, PATH_MAX, "%.*s", (int)(slash - file + 1), file)
			       : snprintf(folder, PATH_MAX, ".");

	return len < PATH_MAX;
}

static void close_snapshot(void *snapshot)
{
	hvs_snapshot_destroy(snapshot);
}

/* For backup: the writes of others that share a disk would not be seen. */
static bool add_snapshot(struct disk_layers *l, char *why)
{
	const struct disk_option *o = l->option;
	struct hvs_snapshot_config cfg = {HVS_SNAPSHOT_CONFIG_INIT, .dir = l->backup_dir};
	struct event_base *bases[MAX_QUEUES];
	char changes[PATH_MAX];
	char folder[PATH_MAX];
	int err;

	if (!l->count || o->read_only || o->optical || o->shared || !folder_of(o->file, folder))
		return true;
	if (!cfg.dir)
		cfg.dir = folder;
	/* Of other images it can't be told whether somebody has changed them meanwhile. */
	if (l->filedisk &&
	    (size_t)snprintf(changes, sizeof(changes), "%s.cbt", o->file) < sizeof(changes))
		cfg.changes_path = changes;
	cfg.ops = l->layer[l->count - 1].ops;
	cfg.disk = l->layer[l->count - 1].disk;
	cfg.base_count = all_bases(l, bases);
	cfg.bases = bases;
	err = hvs_snapshot_create(&cfg, &l->snapshot);
	if (err)
		return failed(why, "cannot follow what is written", err);
	push(l, hvs_snapshot_ops(), l->snapshot, close_snapshot);
	return true;
}

static void close_fault(void *fault)
{
	hvs_fault_destroy(fault);
}

static bool add_faults(struct disk_layers *l, char *why)
{
	struct hvs_fault_config cfg = {HVS_FAULT_CONFIG_INIT};
	struct event_base *bases[MAX_QUEUES];
	int err;

	if (!l->option->fault || !l->count)
		return true;
	cfg.ops = l->layer[l->count - 1].ops;
	cfg.disk = l->layer[l->count - 1].disk;
	cfg.base_count = all_bases(l, bases);
	cfg.bases = bases;
	err = hvs_fault_create(&cfg, &l->fault);
	if (err)
		return failed(why, "cannot add faults", err);
	push(l, hvs_fault_ops(), l->fault, close_fault);
	return hvs_fault_parse(l->fault, l->option->fault, why, DISKS_WHY) == 0;
}

static void close_limit(void *limit)
{
	hvs_limit_destroy(limit);
}

static bool add_limit(struct disk_layers *l, char *why)
{
	struct hvs_limit_config cfg = {HVS_LIMIT_CONFIG_INIT,
				       .rates = {.requests_per_s = l->option->iops,
						 .bytes_per_s = l->option->bytes_per_sec}};
	struct event_base *bases[MAX_QUEUES];
	int err;

	if (!l->count || (!l->option->iops && !l->option->bytes_per_sec))
		return true;
	cfg.ops = l->layer[l->count - 1].ops;
	cfg.disk = l->layer[l->count - 1].disk;
	cfg.base_count = all_bases(l, bases);
	cfg.bases = bases;
	err = hvs_limit_create(&cfg, &l->limit);
	if (err)
		return failed(why, "cannot limit the disk", err);
	push(l, hvs_limit_ops(), l->limit, close_limit);
	return true;
}

bool disk_layers_open(struct disk_layers *l, char *why)
{
	return open_back_end(l, why) && add_snapshot(l, why) && add_faults(l, why) &&
	       add_limit(l, why);
}

void disk_layers_close(struct disk_layers *l)
{
	while (l->count) {
		const struct layer *top = &l->layer[--l->count];

		top->close(top->disk);
	}
	l->filedisk = NULL;
	l->snapshot = NULL;
	l->fault = NULL;
	l->limit = NULL;
}
