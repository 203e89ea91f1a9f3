/* SPDX-License-Identifier: MIT */
/* A loopback machine with one SCSI controller and a memory disk on LUN 0, for tests. */
#ifndef TESTS_SUPPORT_MACHINE_H
#define TESTS_SUPPORT_MACHINE_H

#include "support/disk.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <string.h>

#define SRB_SUCCESS 0x01
#define SRB_ERROR 0x84   /* with the autosense bit */
#define SRB_INVALID 0x86 /* with the autosense bit */
#define SRB_NO_LUN 0x20
#define OP_READ10 0x28
#define OP_WRITE10 0x2a

struct machine {
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_storvsp *ctl;
	struct hvs_disk *attached; /* LUN 0 */
	struct hvs_memdisk *memdisk;
	uint8_t *disk;
	struct hvs_guest_channel *ch;
	uint32_t max_transfer;
};

/* What a test may want different from the usual machine. */
struct machine_options {
	struct hvs_loopback_config loopback;
	uint32_t disk_flags;               /* HVS_BLK_INFO_* */
	const struct hvs_blk_ops *blk_ops; /* instead of the memory disk */
	void *blk_priv;
	uint32_t max_subchannels;
	struct hvs_guid initiator_id;
	const struct hvs_reservation_ops *reservations;
	void *reservation_store;
	bool leave_unconnected;
	bool leave_closed; /* connected, offers known, channel not open */
};

/* NULL: the usual machine, connected, channel open, storage protocol 6.0 negotiated. */
struct machine machine_up(const struct machine_options *opt);
void machine_down(struct machine *m);

/* Connect, ask for offers, open the controller's channel and negotiate. */
void machine_connect(struct machine *m);
void machine_open(struct machine *m);

struct hvs_guest_scsi_result scsi(struct machine *m, const struct hvs_guest_scsi *cmd);

/* READ(10) or WRITE(10) of `blocks` 512-byte blocks. */
struct hvs_guest_scsi_result scsi_rw(struct machine *m, uint8_t opcode, uint32_t lba,
				     uint16_t blocks, uint64_t gpa);

/* Sense key << 16 | ASC << 8 | ASCQ of a result. */
uint32_t sense_of(const struct hvs_guest_scsi_result *r);

#endif
