/* SPDX-License-Identifier: MIT */
/* Synthetic SCSI controller (StorVSP) and the disks on it. */
#ifndef HVSTACK_STORAGE_H
#define HVSTACK_STORAGE_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_storvsp; /* one controller */

#define HVS_STORVSP_MAX_LUNS 64u

struct hvs_storvsp_config {
	uint32_t size;
	uint32_t max_transfer_bytes; /* per request, a multiple of 4096 up to 8 MiB; 0: 1 MiB */
	struct hvs_guid instance_id; /* unique per bus, stable: guests name devices by it */
	struct hvs_worker *worker;   /* NULL: the main worker */
	/* Sub-channels a guest may have, up to 1,023, so that each of its VPs can have a channel of
	 * its own: usually the number of VPs less 1. They run on the same worker. */
	uint32_t max_subchannels;
	uint32_t reserved; /* 0 */
};
#define HVS_STORVSP_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_storvsp_config)

/*
 * Offer a controller. It belongs to the bus and is freed with it. Before hvs_vmbus_start(), since
 * disks can't be attached later.
 *
 * 0, -EINVAL, -ENOTSUP (unknown members set), -EEXIST (instance_id is taken), -ENOSPC (as
 * hvs_device_offer()), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_storvsp_create(struct hvs_vmbus *bus,
					     const struct hvs_storvsp_config *cfg,
					     struct hvs_storvsp **out);

struct hvs_disk_config {
	uint32_t size;
	uint32_t lun;            /* 0..63; all disks are on path 0, target 0 */
	struct hvs_guid disk_id; /* VPD page 83h: unique for ever; a copy needs a new one */
	char serial[33];         /* printable ASCII, NUL-terminated; "": no VPD page 80h */
	uint8_t reserved[7];     /* 0 */
};
#define HVS_DISK_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_disk_config)

/*
 * Put a disk on the controller. ops and cfg are copied; `disk` is the back end's and must outlive
 * the bus. Before hvs_vmbus_start().
 *
 * 0, -EINVAL (configuration, or get_info returned nonsense), -ENOTSUP, -EEXIST (LUN in use),
 * -EBUSY (started), -ENOMEM, or what get_info returned.
 */
HVS_API HVS_NODISCARD int hvs_storvsp_attach(struct hvs_storvsp *ctl,
					     const struct hvs_disk_config *cfg,
					     const struct hvs_blk_ops *ops, void *disk);

#ifdef __cplusplus
}
#endif
#endif
