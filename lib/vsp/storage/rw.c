/* SPDX-License-Identifier: MIT */
/* READ, WRITE, SYNCHRONIZE CACHE: from CDB to back end and back (SBC-3 5). */
#include "vsp/storage/storvsp.h"

#include <errno.h>

#define CDB_FUA 0x08
#define CDB_PROTECT 0xe0
#define CDB_RELADR 0x01 /* obsolete since SBC-2 */

struct span {
	uint64_t lba;
	uint32_t blocks;
	uint8_t flags; /* CDB byte 1 */
};

/* The group code says which form of the command it is. */
static struct span decode(const uint8_t *cdb)
{
	switch (cdb[0] >> 5) {
	case 0:
		return (struct span){.lba = hvsi_get_be32(cdb) & 0x1fffff,
				     .blocks = cdb[4] ? cdb[4] : 256};
	case 1:
		return (struct span){.lba = hvsi_get_be32(cdb + 2),
				     .blocks = hvsi_get_be16(cdb + 7),
				     .flags = cdb[1]};
	case 5:
		return (struct span){.lba = hvsi_get_be32(cdb + 2),
				     .blocks = hvsi_get_be32(cdb + 6),
				     .flags = cdb[1]};
	default:
		return (struct span){.lba = hvsi_get_be64(cdb + 2),
				     .blocks = hvsi_get_be32(cdb + 10),
				     .flags = cdb[1]};
	}
}

static enum hvsi_scsi_state read_write(const struct hvsi_scsi_cmd *cmd, enum hvs_blk_op op)
{
	const struct hvs_blk_info *info = &cmd->disk->info;
	struct hvsi_stor_request *req = cmd->req;
	struct span s = decode(cmd->cdb);
	uint64_t len = (uint64_t)s.blocks * info->block_size; /* 32 bits times 13: no overflow */
	int err;

	if (s.flags & (CDB_PROTECT | CDB_RELADR))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (s.lba > info->num_blocks || s.blocks > info->num_blocks - s.lba)
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (!s.blocks)
		return hvsi_scsi_good(req, 0);
	if (len > cmd->buffer_len)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	err = hvs_extents_map(cmd->buffer, 0, (uint32_t)len,
			      op == HVS_BLK_READ ? HVS_WRITE : HVS_READ, &req->map);
	if (err == -ENOMEM)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	if (err)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);

	req->blk = (struct hvs_blk_req){.op = op, .offset = s.lba * info->block_size, .len = len};
	req->blk.iov = hvs_map_iov(req->map, &req->blk.iovcnt);
	req->flush_after = false;
	if (op == HVS_BLK_WRITE && s.flags & CDB_FUA && info->flags & HVS_BLK_INFO_WRITE_BACK) {
		if (info->flags & HVS_BLK_INFO_FUA)
			req->blk.flags = HVS_BLK_FUA;
		else
			req->flush_after = true;
	}
	req->blk.done = hvsi_storvsp_blk_done;
	cmd->disk->ops.submit(cmd->disk->priv, &req->blk);
	return HVSI_SCSI_PENDING;
}

enum hvsi_scsi_state hvsi_scsi_read(const struct hvsi_scsi_cmd *cmd)
{
	return read_write(cmd, HVS_BLK_READ);
}

enum hvsi_scsi_state hvsi_scsi_write(const struct hvsi_scsi_cmd *cmd)
{
	return read_write(cmd, HVS_BLK_WRITE);
}

static enum hvsi_scsi_state flush(struct hvsi_stor_request *req, struct hvsi_disk *disk)
{
	req->flush_after = false;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_FLUSH};
	req->blk.done = hvsi_storvsp_blk_done;
	disk->ops.submit(disk->priv, &req->blk);
	return HVSI_SCSI_PENDING;
}

/* The range in the CDB is not looked at: everything is flushed. IMMED is not needed for speed. */
enum hvsi_scsi_state hvsi_scsi_synchronize_cache(const struct hvsi_scsi_cmd *cmd)
{
	if (cmd->disk->info.flags & HVS_BLK_INFO_READ_ONLY)
		return hvsi_scsi_good(cmd->req, 0);
	return flush(cmd->req, cmd->disk);
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
	default:
		break;
	}
	return op == HVS_BLK_READ ? HVSI_SENSE_READ_ERROR : HVSI_SENSE_WRITE_ERROR;
}

enum hvsi_scsi_state hvsi_scsi_io_done(struct hvsi_stor_request *req)
{
	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_check(req, sense_of(req->blk.op, req->blk_status));
	if (req->flush_after) {
		req->transferred = (uint32_t)req->blk.len;
		return flush(req, req->disk);
	}
	return hvsi_scsi_good(req, req->blk.op == HVS_BLK_FLUSH ? req->transferred
								: (uint32_t)req->blk.len);
}
