/* SPDX-License-Identifier: MIT */
/* A backup from the inside: backup.c goes from phase to phase, backup_manifest.c writes down the end. */
#ifndef HVSI_HOST_BACKUP_IMPL_H
#define HVSI_HOST_BACKUP_IMPL_H

#include "host/backup_copy.h"
#include "host/notify.h"

#include <hvstack/host/backup.h>
#include <hvstack/types.h>
#include <time.h>

struct hvs_backup {
	struct hvs_backup_config cfg; /* strings and arrays are our own */
	struct hvs_backup_disk *disks;
	struct hvs_snapshot **snapshots;
	struct hvsi_copied *copied;
	struct hvs_guid parent; /* if cfg.parent */
	struct hvs_guid id;
	struct hvsi_notify notify; /* on cfg.base: the copy has got on, or it is over */

	enum hvs_backup_phase phase;
	struct hvs_point *point;
	struct hvsi_copy copy;
	bool copying;     /* copy has a thread */
	bool application; /* the guest is to be frozen, or was */
	bool froze;       /* it was asked to */
	bool taken;
	bool thaw_due; /* the guest is frozen, and was not asked to go on */
	bool cancelled;
	bool over;            /* only ended() is left */
	bool destroyed;       /* freed when nothing is pending */
	unsigned pending;     /* requests to the guest */
	uint64_t freeze_ns;   /* when it was asked to */
	uint64_t held_ns;     /* since when the guest says that it is */
	int64_t frozen_ms;    /* -1: it was not */
	int64_t held_us;      /* the same */
	struct timespec time; /* of the point */

	int status;
	uint32_t guest_status;
	char message[256];
};

/* To be put with json_object_put(). NULL: no memory. */
struct json_object *hvsi_backup_manifest(const struct hvs_backup *b);

#endif
