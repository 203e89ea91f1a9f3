/* SPDX-License-Identifier: MIT */
/*
 * Backup of a machine's disks while it runs: the guest is frozen, a point in time of all disks is taken
 * (snapshot.h), the guest goes on, and the disks are copied out in the background. docs/backup.md has
 * what a copy is worth, and the format.
 *
 * All functions: on the thread of the base, which must also be the one that dispatches the main worker.
 */
#ifndef HVSTACK_HOST_BACKUP_H
#define HVSTACK_HOST_BACKUP_H

#include <hvstack/export.h>
#include <hvstack/ic.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;  /* libevent */
struct json_object; /* json-c */
struct hvs_backup;  /* a backup under way */
struct hvs_snapshot;

enum hvs_backup_consistency {
	HVS_BACKUP_AUTO = 0, /* application-consistent if the guest can, else crash-consistent */
	HVS_BACKUP_APPLICATION = 1, /* or not at all */
	HVS_BACKUP_CRASH = 2,       /* the guest is not asked */
};

enum hvs_backup_phase {
	HVS_BACKUP_PREPARING = 1,
	HVS_BACKUP_CHECKING = 2,
	HVS_BACKUP_FREEZING = 3,
	HVS_BACKUP_TAKING = 4,
	HVS_BACKUP_THAWING = 5,
	HVS_BACKUP_COPYING = 6,
	HVS_BACKUP_COMPLETING = 7,
};

/* Layout fixed. */
struct hvs_backup_disk {
	const char *id;                /* for the manifest; copied */
	struct hvs_snapshot *snapshot; /* if it is destroyed meanwhile, the backup fails */
	/* Empty regular files, open for writing. They stay the caller's, and open until the end. */
	int image_fd;
	int map_fd;
	uint32_t block_size; /* for the manifest */
	uint32_t reserved;   /* 0 */
};

struct hvs_backup_progress {
	uint32_t size;
	enum hvs_backup_phase phase;
	uint32_t disk; /* index of the one that is being copied */
	uint64_t done_bytes;
	uint64_t total_bytes; /* 0: not known yet */
};
#define HVS_BACKUP_PROGRESS_INIT .size = (uint32_t)sizeof(struct hvs_backup_progress)

/* Library-owned. */
struct hvs_backup_result {
	uint32_t size;
	/*
	 * 0; -ECANCELED; -ESTALE (`parent` is not the last backup of each disk); -ENOTCONN, -ETIMEDOUT,
	 * -EREMOTEIO, -EPROTO (the guest could not be frozen); -EIO, -ENOSPC and others of reading the
	 * disks, saving what they held, and writing the files
	 */
	int status;
	uint32_t guest_status;        /* HRESULT, with -EREMOTEIO */
	const char *message;          /* a sentence */
	struct json_object *manifest; /* NULL: it failed. json_object_get() it to keep it */
	int64_t frozen_ms; /* from asking for it to having gone on; -1: it was not frozen */
	/* Of that, from the guest's word that it is frozen until it was told to go on, in microseconds:
	 * what the host took. -1: as above. */
	int64_t held_us;
};

struct hvs_backup_config {
	uint32_t size;
	uint32_t flags; /* HVS_POINT_NO_CLONE */
	struct event_base *base;
	const struct hvs_backup_disk *disks;
	uint32_t disk_count; /* 1 to HVS_POINT_MAX_DISKS */
	enum hvs_backup_consistency consistency;
	struct hvs_ic *vss;            /* NULL: there is none */
	const struct hvs_guid *parent; /* what has changed since that backup; NULL: everything */
	uint64_t max_bytes_per_s;      /* that are read; 0: as fast as it goes */
	/* For the manifest; copied, and valid UTF-8. The last two may be NULL. */
	struct hvs_guid machine_uuid;
	const char *machine_name;
	const char *guest_os;
	/* With each phase, and about once a second while it copies. Optional. */
	void (*progress)(void *arg, struct hvs_backup *backup,
			 const struct hvs_backup_progress *progress);
	/* It is over; afterwards `backup` is gone. */
	void (*ended)(void *arg, struct hvs_backup *backup, const struct hvs_backup_result *result);
	void *arg;
};
#define HVS_BACKUP_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_backup_config)

/*
 * Start. cfg is copied. If it returns 0, ended() follows, not during this call; whatever happens, the
 * guest is thawed before.
 *
 * 0, -EINVAL, -ENOTSUP (unknown members or flags set, or built without libcrypto), -EBUSY (another backup
 * has one of the disks), -ENOMEM, or the errno of eventfd() or pthread_create().
 */
HVS_API HVS_NODISCARD int hvs_backup_start(const struct hvs_backup_config *cfg,
					   struct hvs_backup **out);

/* Its id; valid as long as it is. */
HVS_API const struct hvs_guid *hvs_backup_id(const struct hvs_backup *backup);

/* Where it stands. 0 or -EINVAL. */
HVS_API HVS_NODISCARD int hvs_backup_get_progress(const struct hvs_backup *backup,
						  struct hvs_backup_progress *progress);

/* Stop it: a frozen guest is thawed at once. ended() follows, not during this call; with 0 if it was too
 * late. */
HVS_API void hvs_backup_cancel(struct hvs_backup *backup);

/* The guest's service goes away: call this before hvs_ic_destroy(). */
HVS_API void hvs_backup_vss_gone(struct hvs_backup *backup);

/* The same as _cancel() without ended(), and now: for when the machine goes. NULL is allowed. */
HVS_API void hvs_backup_destroy(struct hvs_backup *backup);

/* ---- for clients of the management server (manager.h) ------------------------------------------- */

struct hvs_manager;
struct hvs_manager_backup;

struct hvs_manager_backup_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/* The disk that clients call so: its snapshot and block_size. False: there is none, or it can't be
	 * backed up. Required. */
	bool (*find_disk)(void *arg, const char *id, struct hvs_backup_disk *disk);
	/* The guest's service; NULL: there is none now. Before it is destroyed, call
	 * hvs_manager_backup_vss_gone(). Optional. */
	struct hvs_ic *(*vss)(void *arg);
	/* What system the guest runs, in UTF-8, valid until the next call; NULL: not known. Optional. */
	const char *(*guest_os)(void *arg);
};
#define HVS_MANAGER_BACKUP_OPS_INIT .size = (uint32_t)sizeof(struct hvs_manager_backup_ops)

struct hvs_manager_backup_config {
	uint32_t size;
	uint32_t flags; /* HVS_POINT_NO_CLONE */
	struct hvs_manager *manager;
	struct event_base *base; /* the manager's */
	/* Of the machine, for the manifest; the name is copied. */
	struct hvs_guid uuid;
	const char *name;
	const struct hvs_manager_backup_ops *ops; /* copied */
	void *arg;
};
#define HVS_MANAGER_BACKUP_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_manager_backup_config)

/*
 * Let clients back up: backup-start, -status, -cancel (docs/backup.md). One backup at a time. 0, -EINVAL,
 * -ENOTSUP (unknown members or flags set), -EEXIST (the manager has such methods), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_manager_backup_create(const struct hvs_manager_backup_config *cfg,
						    struct hvs_manager_backup **out);

/* The guest's service goes away: call this before hvs_ic_destroy(). [main worker] */
HVS_API void hvs_manager_backup_vss_gone(struct hvs_manager_backup *mb);

/* The machine ends: a backup that runs ends now, and none is begun any more. While the bus is still there.
 * NULL is allowed. */
HVS_API void hvs_manager_backup_end(struct hvs_manager_backup *mb);

/* After hvs_manager_destroy(). NULL is allowed. */
HVS_API void hvs_manager_backup_destroy(struct hvs_manager_backup *mb);

#ifdef __cplusplus
}
#endif
#endif
