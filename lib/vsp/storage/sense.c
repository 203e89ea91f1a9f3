/* SPDX-License-Identifier: MIT */
/* How commands end: status, sense data, bytes moved. */
#include "vsp/storage/storvsp.h"

#include <string.h>

#define STATUS_GOOD 0x00
#define STATUS_CHECK_CONDITION 0x02
#define STATUS_RESERVATION_CONFLICT 0x18
#define SENSE_LEN 18u
#define MEDIUM_ERROR 3u

void hvsi_scsi_sense(uint8_t to[HVSI_SENSE_BYTES], uint32_t sense)
{
	memset(to, 0, HVSI_SENSE_BYTES);
	to[0] = 0x70; /* current error, fixed format */
	to[2] = (uint8_t)(sense >> 16);
	to[7] = SENSE_LEN - 8;
	to[12] = (uint8_t)(sense >> 8);
	to[13] = (uint8_t)sense;
}

enum hvsi_scsi_state hvsi_scsi_good(struct hvsi_stor_request *req, uint32_t transferred)
{
	req->result = (struct hvsi_scsi_result){.scsi_status = STATUS_GOOD,
						.srb_status = HVSI_SRB_SUCCESS,
						.transferred = transferred};
	return HVSI_SCSI_DONE;
}

static enum hvsi_scsi_state fail(struct hvsi_stor_request *req, uint8_t srb_status, uint32_t sense)
{
	req->result = (struct hvsi_scsi_result){.scsi_status = STATUS_CHECK_CONDITION,
						.srb_status = srb_status,
						.sense_len = SENSE_LEN};
	hvsi_scsi_sense(req->result.sense, sense);
	return HVSI_SCSI_DONE;
}

enum hvsi_scsi_state hvsi_scsi_check(struct hvsi_stor_request *req, uint32_t sense)
{
	return fail(req, HVSI_SRB_ERROR, sense);
}

enum hvsi_scsi_state hvsi_scsi_invalid(struct hvsi_stor_request *req, uint32_t sense)
{
	return fail(req, HVSI_SRB_INVALID_REQUEST, sense);
}

enum hvsi_scsi_state hvsi_scsi_invalid_cdb(struct hvsi_stor_request *req, uint8_t byte)
{
	(void)hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	req->result.sense[15] = 0xc0; /* SKSV, C/D: a byte of the CDB */
	hvsi_put_be16(req->result.sense + 16, byte);
	return HVSI_SCSI_DONE;
}

enum hvsi_scsi_state hvsi_scsi_check_info(struct hvsi_stor_request *req, uint32_t sense,
					  uint64_t information)
{
	(void)fail(req, HVSI_SRB_ERROR, sense);
	if (information <= UINT32_MAX) {
		req->result.sense[0] |= 0x80; /* VALID */
		hvsi_put_be32(req->result.sense + 3, (uint32_t)information);
	}
	return HVSI_SCSI_DONE;
}

enum hvsi_scsi_state hvsi_scsi_conflict(struct hvsi_stor_request *req)
{
	req->result = (struct hvsi_scsi_result){.scsi_status = STATUS_RESERVATION_CONFLICT,
						.srb_status = HVSI_SRB_ERROR};
	return HVSI_SCSI_DONE;
}

static uint32_t sense_of(enum hvs_blk_op op, enum hvs_blk_status status)
{
	switch (status) {
	case HVS_BLK_RANGE:
		return HVSI_SENSE_LBA_OUT_OF_RANGE;
	case HVS_BLK_READ_ONLY:
		return HVSI_SENSE_WRITE_PROTECTED;
	case HVS_BLK_NO_SPACE:
		return HVSI_SENSE_SPACE_ALLOCATION_FAILED;
	case HVS_BLK_GONE:
		return HVSI_SENSE_TARGET_FAILURE;
	case HVS_BLK_ABORTED:
		return HVSI_SENSE_ABORTED;
	case HVS_BLK_OK:
	case HVS_BLK_IO_ERROR:
	case HVS_BLK_UNSUPPORTED:
		break;
	}
	return op == HVS_BLK_READ || op == HVS_BLK_LBA_STATUS ? HVSI_SENSE_READ_ERROR
							      : HVSI_SENSE_WRITE_ERROR;
}

enum hvsi_scsi_state hvsi_scsi_failed(struct hvsi_stor_request *req)
{
	uint32_t sense = sense_of(req->blk.op, req->blk_status);

	/* A back end does not say which block is bad: that is known if there was only one. */
	if (!req->aborted && sense >> 16 == MEDIUM_ERROR && req->blk.op != HVS_BLK_FLUSH &&
	    req->blk.len == req->disk->info.block_size)
		return hvsi_scsi_check_info(req, sense, req->blk.offset / req->blk.len);
	if (!req->aborted)
		return hvsi_scsi_check(req, sense);
	if (req->timed_out)
		return hvsi_scsi_check(req, HVSI_SENSE_TIMED_OUT);
	return fail(req, HVSI_SRB_ABORTED, HVSI_SENSE_ABORTED);
}

enum hvsi_scsi_state hvsi_scsi_reply(const struct hvsi_scsi_cmd *cmd, const void *data,
				     uint32_t len, uint32_t alloc_len)
{
	if (len > alloc_len)
		len = alloc_len;
	if (len > cmd->buffer_len)
		len = cmd->buffer_len;
	if (len && hvs_extents_write(cmd->buffer, 0, data, len) < 0)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	return hvsi_scsi_good(cmd->req, len);
}
