/* SPDX-License-Identifier: MIT */
/*
 * What the files of the storage VSP share.
 *
 *   chan.c      packets in, negotiation, completions out
 *   scsi.c      one SCSI command: which LUN, which command, may it be done
 *   inquiry.c   mode.c   rw.c   the commands
 *   sense.c     how commands end
 */
#ifndef HVSI_STORAGE_STORVSP_H
#define HVSI_STORAGE_STORVSP_H

#include "vsp/storage/proto.h"

#include <hvstack/channel.h>
#include <hvstack/storage.h>

#include <stdatomic.h>

struct hvsi_disk {
	bool present;
	struct hvs_disk_config cfg;
	struct hvs_blk_ops ops;
	void *priv;
	struct hvs_blk_info info;
};

struct hvs_storvsp {
	struct hvs_vmbus *bus;
	uint32_t max_transfer_bytes;
	uint16_t max_subchannels;
	/* The primary channel's negotiation has ended: sub-channels may be used. */
	bool ready;
	struct hvsi_disk disk[HVS_STORVSP_MAX_DISKS];
};

/* How a command ended. */
struct hvsi_scsi_result {
	uint8_t scsi_status;
	uint8_t srb_status; /* without the autosense bit */
	uint8_t sense_len;  /* 0: no sense data */
	uint8_t sense[HVSI_SENSE_BYTES];
	uint32_t transferred; /* bytes */
};

struct hvsi_stor_chan;

/* A command in flight. */
struct hvsi_stor_request {
	struct hvs_blk_req blk;
	struct hvsi_stor_request *next; /* in one of: free, done, unsent */
	struct hvsi_stor_chan *chan;
	struct hvsi_disk *disk;
	struct hvs_map *map;
	uint64_t xid;
	bool wants_completion;
	uint32_t reply_len; /* bytes of the completion packet: as long as the request's */
	struct hvsi_vstor_packet reply;
	enum hvs_blk_status blk_status;
	bool flush_after;     /* FUA for a back end that can only flush */
	uint32_t transferred; /* by the write before that flush */
	struct hvsi_scsi_result result;
};

/* A command being decoded: private copies, and the guest's buffer. */
struct hvsi_scsi_cmd {
	const struct hvs_storvsp *ctl;
	struct hvsi_stor_request *req;
	struct hvsi_disk *disk;
	const uint8_t *cdb;
	const struct hvs_extents *buffer; /* NULL: none */
	uint32_t buffer_len;              /* bytes the guest wants moved; inside *buffer */
	uint8_t data_in;                  /* HVSI_DATA_* as the guest says */
};

/* What becomes of a command when its handler returns. */
enum hvsi_scsi_state {
	HVSI_SCSI_DONE,    /* req->result is valid */
	HVSI_SCSI_PENDING, /* the back end has it */
};

extern const struct hvs_vsp_ops hvsi_storvsp_chan_ops;
void hvsi_storvsp_blk_done(struct hvs_blk_req *req, enum hvs_blk_status status);

/* scsi.c */
enum hvsi_scsi_state hvsi_scsi_execute(struct hvs_storvsp *ctl, struct hvsi_stor_request *req,
				       const struct hvsi_vmscsi *srb,
				       const struct hvs_extents *buffer);

/* sense.c: each sets the result and returns HVSI_SCSI_DONE. */
enum hvsi_scsi_state hvsi_scsi_good(struct hvsi_stor_request *req, uint32_t transferred);
enum hvsi_scsi_state hvsi_scsi_check(struct hvsi_stor_request *req, uint32_t sense);
enum hvsi_scsi_state hvsi_scsi_invalid(struct hvsi_stor_request *req, uint32_t sense);
/* Data for the guest: as much of it as fits alloc_len and the guest's buffer. */
enum hvsi_scsi_state hvsi_scsi_reply(const struct hvsi_scsi_cmd *cmd, const void *data,
				     uint32_t len, uint32_t alloc_len);
/* Fixed-format sense data (SPC-3 4.5.3), 18 bytes. */
void hvsi_scsi_sense(uint8_t to[HVSI_SENSE_BYTES], uint32_t sense);

/* key << 16 | ASC << 8 | ASCQ (SPC-3 annex D) */
#define HVSI_SENSE_NONE 0x000000u
#define HVSI_SENSE_WRITE_ERROR 0x030c00u
#define HVSI_SENSE_READ_ERROR 0x031100u
#define HVSI_SENSE_TARGET_FAILURE 0x044400u
#define HVSI_SENSE_INVALID_OPCODE 0x052000u
#define HVSI_SENSE_LBA_OUT_OF_RANGE 0x052100u
#define HVSI_SENSE_INVALID_FIELD 0x052400u
#define HVSI_SENSE_SAVING_NOT_SUPPORTED 0x053900u
#define HVSI_SENSE_WRITE_PROTECTED 0x072700u
#define HVSI_SENSE_SPACE_ALLOCATION_FAILED 0x072707u

/* inquiry.c, mode.c, rw.c */
enum hvsi_scsi_state hvsi_scsi_inquiry(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_inquiry_absent(const struct hvsi_scsi_cmd *cmd, uint8_t lun);
enum hvsi_scsi_state hvsi_scsi_mode_sense6(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_mode_sense10(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_read(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_write(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_scsi_synchronize_cache(const struct hvsi_scsi_cmd *cmd);
/* The back end has finished a request of rw.c's. */
enum hvsi_scsi_state hvsi_scsi_io_done(struct hvsi_stor_request *req);

#endif
