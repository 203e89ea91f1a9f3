/* SPDX-License-Identifier: MIT */
/* The guest end of a synthetic SCSI controller. */
#ifndef HVSTACK_GUEST_STORAGE_H
#define HVSTACK_GUEST_STORAGE_H

#include <hvstack/guest/guest.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_GUEST_STOR_IN 1   /* the device sends data */
#define HVS_GUEST_STOR_OUT 0  /* the device takes data */
#define HVS_GUEST_STOR_NONE 2 /* no data */

/* Layout fixed. */
struct hvs_guest_scsi {
	uint8_t lun;
	uint8_t cdb_len;
	uint8_t cdb[16];   /* the command; cdb_len bytes count */
	uint8_t direction; /* HVS_GUEST_STOR_* */
	struct hvs_guest_buffer buffer;
};

/* Layout fixed. */
struct hvs_guest_scsi_result {
	uint8_t srb_status;  /* with the autosense bit */
	uint8_t scsi_status; /* as in SAM: 0 GOOD, 2 CHECK CONDITION, ... */
	uint8_t sense_len;
	uint8_t sense[20];    /* sense_len bytes count */
	uint32_t transferred; /* bytes */
};

/*
 * Negotiate on a channel that was just opened. version: the storage protocol's, major << 8 |
 * minor. 0, -EPROTONOSUPPORT, -EREMOTEIO, -ETIMEDOUT, -EPROTO.
 */
HVS_API HVS_NODISCARD int hvs_guest_stor_init(struct hvs_guest_channel *ch, uint16_t version,
					      uint32_t *max_transfer_bytes);

/*
 * Ask for sub-channels; they are offered then, with subchannel 1.. in the offer, and opened like any
 * channel. On the first channel, after hvs_guest_stor_init(). 0, -EREMOTEIO (more than the host
 * allows), -ETIMEDOUT, -EPROTO.
 */
HVS_API HVS_NODISCARD int hvs_guest_stor_create_subchannels(struct hvs_guest_channel *ch,
							    uint16_t count);

/* Queue a command; flush after a batch. As hvs_guest_send(). */
HVS_API HVS_NODISCARD int hvs_guest_stor_submit(struct hvs_guest_channel *ch, uint64_t xid,
						const struct hvs_guest_scsi *cmd);
/* A command that has ended. 1, 0 (none), -EPROTO. */
HVS_API HVS_NODISCARD int hvs_guest_stor_reap(struct hvs_guest_channel *ch, uint64_t *xid,
					      struct hvs_guest_scsi_result *result);
/* Submit one command and wait for it; no other may be in flight. 0, -ETIMEDOUT, -EPROTO. */
HVS_API HVS_NODISCARD int hvs_guest_stor_execute(struct hvs_guest_channel *ch,
						 const struct hvs_guest_scsi *cmd,
						 struct hvs_guest_scsi_result *result);

#ifdef __cplusplus
}
#endif
#endif
