/* SPDX-License-Identifier: MIT */
/* Synthetic SCSI controller (StorVSP) and the disks on it. */
#ifndef HVSTACK_STORAGE_H
#define HVSTACK_STORAGE_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/reservation.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_storvsp; /* one controller */
struct hvs_disk;    /* one logical unit on it */

/* Disks of one controller, and the addresses that they may have. */
#define HVS_STORVSP_MAX_DISKS 64u
#define HVS_STORVSP_MAX_PATH 7u
#define HVS_STORVSP_MAX_TARGET 1u
#define HVS_STORVSP_MAX_LUN 254u

/* What the controller is to the guest. */
enum hvs_storvsp_kind {
	HVS_STORVSP_SCSI = 0,
	/*
	 * The fast way to one disk of an emulated IDE controller, for guests of the first
	 * generation: the disk at path = the IDE channel, target = the device on it, LUN 0. The
	 * embedder sees to it that the emulation and this controller don't write at the same time.
	 */
	HVS_STORVSP_IDE = 1,
};

struct hvs_storvsp_config {
	uint32_t size;
	uint32_t max_transfer_bytes; /* per request, a multiple of 4096 up to 8 MiB; 0: 1 MiB */
	/* Unique per bus, stable: guests name devices by it. IDE: not used, the protocol says which. */
	struct hvs_guid instance_id;
	struct hvs_worker *worker; /* NULL: the main worker */
	/* Sub-channels a guest may have, up to 1,023, so that each of its VPs can have a channel of
	 * its own: usually the number of VPs less 1. IDE: 0. */
	uint32_t max_subchannels;
	/* Sub-channel n = 1.. runs on element (n - 1) modulo the count, whose requests have
	 * hvs_blk_req.queue = 1 + that; NULL, with count 0: on `worker`, queue 0. Copied. */
	uint32_t subchannel_worker_count;
	struct hvs_worker *const *subchannel_workers;
	/* Newest storage protocol the guest may choose, major << 8 | minor; 0: 6.2. All controllers
	 * of a machine should have the same. */
	uint16_t max_version;
	uint8_t kind;        /* enum hvs_storvsp_kind */
	uint8_t ide_channel; /* 0 or 1 */
	uint8_t ide_device;  /* 0 or 1 */
	uint8_t reserved[3]; /* 0 */
	/* Who the controller is to others that share a disk with it, as reservations know it:
	 * different for each controller of each VM, the same after a restart. Zeros: instance_id. */
	struct hvs_guid initiator_id;
};
#define HVS_STORVSP_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_storvsp_config)

/*
 * Offer a controller. It belongs to the bus and is freed with it. [main worker], like
 * hvs_device_offer().
 *
 * 0, -EINVAL, -ENOTSUP (unknown members set), -EEXIST (instance_id is taken), -ENOSPC (as
 * hvs_device_offer()), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_storvsp_create(struct hvs_vmbus *bus,
					     const struct hvs_storvsp_config *cfg,
					     struct hvs_storvsp **out);

/*
 * Take a controller with its disks away from the guest, whatever it does with them. done (may be
 * NULL) runs when no back end is used any more; ctl and its disks must not be used after this
 * call. [main worker]
 *
 * 0, -EINVAL (NULL), -EBUSY (a disk of it is on its way out: wait for its done()).
 */
HVS_API HVS_NODISCARD int hvs_storvsp_remove(struct hvs_storvsp *ctl, hvs_done_fn done, void *arg);

/* What a disk is to the guest. */
enum hvs_disk_type {
	HVS_DISK_FIXED = 0, /* a disk */
	/* A DVD-ROM drive; the medium can change. Not on an IDE controller, no `reservations`. Media
	 * are read-only, of 2048-byte blocks to the guest: what a back end has behind the last whole
	 * one can't be read. Its block_size is 512 or 2048, its size at most 8 TiB. */
	HVS_DISK_OPTICAL = 1,
};

struct hvs_disk_config {
	uint32_t size;
	/* Where the guest finds it: path 0..7, target 0..1, LUN 0..254. Path 0 is best: Linux sees a
	 * disk of another path grow or leave only when it is told to look. */
	uint8_t path;
	uint8_t target;
	uint8_t lun;
	uint8_t type;            /* enum hvs_disk_type */
	struct hvs_guid disk_id; /* VPD page 83h: unique for ever; a copy needs a new one */
	char serial[33];         /* printable ASCII, NUL-terminated; "": no VPD page 80h */
	uint8_t reserved[7];     /* 0 */
	/*
	 * Optical drives: the guest has ejected the medium, and its back end is not used any more.
	 * It may put the next one in, or remove the drive. Optional. [any] thread may call it.
	 */
	void (*ejected)(void *arg, struct hvs_disk *disk);
	void *arg;
	/*
	 * Fixed disks: where persistent reservations are kept, for one that others share or whose
	 * reservations are to outlive the process. NULL: the disk has them for itself, and refuses
	 * to make them persist. ops are copied; the store must outlive the disk. Calls of it come
	 * from the workers of the controller's channels.
	 */
	const struct hvs_reservation_ops *reservations;
	void *reservation_store;
};
#define HVS_DISK_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_disk_config)

/*
 * Put a disk on the controller; the guest is told if it runs. ops and cfg are copied; `disk` is
 * the back end's and must outlive the bus, or be removed before. Not at the same time as another
 * call that adds or removes disks of the same controller. [any]
 *
 * ops   NULL for an optical drive without a medium, and only then
 * out   may be NULL
 *
 * 0, -EINVAL (configuration, or get_info returned nonsense, or the back end can't serve as many
 * workers as the controller has), -ENOTSUP, -EBADMSG (the state of the reservations is damaged),
 * -EEXIST (address in use, or its last disk not gone yet), -ENOSPC (64 disks), -ENOMEM, or what
 * get_info or the store's read() returned.
 */
HVS_API HVS_NODISCARD int hvs_storvsp_attach(struct hvs_storvsp *ctl,
					     const struct hvs_disk_config *cfg,
					     const struct hvs_blk_ops *ops, void *disk,
					     struct hvs_disk **out);

/*
 * Take a disk away, with requests in flight: they are cancelled where the back end can do that,
 * and end; new ones find no disk; the guest is told. done (may be NULL) runs when the back end is
 * not used any more, on any thread, maybe before this returns; disk must not be used after this
 * call. [any], like hvs_storvsp_attach()
 *
 * 0, -EINVAL (NULL), -EBUSY (it is on its way out).
 */
HVS_API HVS_NODISCARD int hvs_disk_remove(struct hvs_disk *disk, hvs_done_fn done, void *arg);

/*
 * The back end has become larger, smaller, read-only or writable: ask it, and let the guest know.
 * Calls get_info. [any], like hvs_storvsp_attach()
 *
 * 0, -EINVAL (NULL, an optical drive, or get_info returned nonsense or something else has changed),
 * -EBUSY (the disk is on its way out), what get_info returned.
 */
HVS_API HVS_NODISCARD int hvs_disk_refresh(struct hvs_disk *disk);

/*
 * Put a medium into an empty optical drive and close the tray; the guest is told. ops are copied;
 * `medium` is the back end's and must stay until the medium has been taken out. Calls get_info.
 * [any], like hvs_storvsp_attach(); done() of hvs_disk_eject() and `ejected` may call it.
 *
 * 0, -EINVAL (NULL, no optical drive or it is on its way out, or get_info returned nonsense),
 * -ENOTSUP (unknown members set), -EEXIST (there is a medium), -EBUSY (the last one is on its way
 * out), what get_info returned.
 */
HVS_API HVS_NODISCARD int hvs_disk_insert(struct hvs_disk *disk, const struct hvs_blk_ops *ops,
					  void *medium);

/*
 * Take the medium out of an optical drive and leave the tray open; the guest is told. Requests in
 * flight are cancelled where the back end can do that, and end. done (may be NULL) runs when the
 * back end is not used any more, on any thread, maybe before this returns. hvs_disk_insert() then
 * changes the medium. [any], like hvs_storvsp_attach()
 *
 * force   also if the guest wants to keep the medium: what reads from it fails
 *
 * 0, -EINVAL (NULL, no optical drive or it is on its way out), -ENOENT (there is no medium),
 * -EALREADY (it is on its way out; `done` of this call does not run), -EBUSY (the guest wants to
 * keep it: it has been asked to eject, and `ejected` is called if it does).
 */
HVS_API HVS_NODISCARD int hvs_disk_eject(struct hvs_disk *disk, bool force, hvs_done_fn done,
					 void *arg);

#ifdef __cplusplus
}
#endif
#endif
