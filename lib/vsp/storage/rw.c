/* SPDX-License-Identifier: MIT */
/* READ, WRITE, SYNCHRONIZE CACHE: from CDB to back end and back (SBC-3 5). */
#include "vsp/storage/storvsp.h"

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

static enum hvsi_scsi_state flush(struct hvsi_stor_request *req)
{
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_FLUSH};
	return hvsi_request_submit(req);
}

static enum hvsi_scsi_state read_write(const struct hvsi_scsi_cmd *cmd, enum hvs_blk_op op)
{
	uint32_t block_size = cmd->disk->info.block_size;
	struct hvsi_stor_request *req = cmd->req;
	struct span s = decode(cmd->cdb);
	uint64_t len = (uint64_t)s.blocks * block_size; /* 32 bits times 13: no overflow */
	enum hvsi_scsi_state state;

	if (s.flags & (CDB_PROTECT | CDB_RELADR))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (s.lba > cmd->num_blocks || s.blocks > cmd->num_blocks - s.lba)
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (!s.blocks)
		return hvsi_scsi_good(req, 0);
	if (len > cmd->buffer_len)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_map(cmd, (uint32_t)len, op == HVS_BLK_READ ? HVS_WRITE : HVS_READ, &state))
		return state;

	req->blk = (struct hvs_blk_req){.op = op, .offset = s.lba * block_size, .len = len};
	req->blk.iov = hvs_map_iov(req->map, &req->blk.iovcnt);
	req->transferred = (uint32_t)len;
	if (op == HVS_BLK_WRITE && s.flags & CDB_FUA && cmd->flags & HVS_BLK_INFO_WRITE_BACK) {
		if (cmd->flags & HVS_BLK_INFO_FUA)
			req->blk.flags = HVS_BLK_FUA;
		else
			req->then = flush;
	}
	return hvsi_request_submit(req);
}

enum hvsi_scsi_state hvsi_scsi_read(const struct hvsi_scsi_cmd *cmd)
{
	return read_write(cmd, HVS_BLK_READ);
}

enum hvsi_scsi_state hvsi_scsi_write(const struct hvsi_scsi_cmd *cmd)
{
	return read_write(cmd, HVS_BLK_WRITE);
}

/* The range in the CDB is not looked at: everything is flushed. IMMED is not needed for speed. */
enum hvsi_scsi_state hvsi_scsi_synchronize_cache(const struct hvsi_scsi_cmd *cmd)
{
	if (cmd->flags & HVS_BLK_INFO_READ_ONLY)
		return hvsi_scsi_good(cmd->req, 0);
	return flush(cmd->req);
}
