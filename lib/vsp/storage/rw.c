/* SPDX-License-Identifier: MIT */
/* READ, WRITE, SYNCHRONIZE CACHE, PRE-FETCH: from CDB to back end and back (SBC-3 5). */
#include "vsp/storage/disk_commands.h"

#include <string.h>

/* The group code says which form of the command it is. */
struct hvsi_span hvsi_scsi_span(const uint8_t *cdb)
{
	switch (cdb[0] >> 5) {
	case 0:
		return (struct hvsi_span){.lba = hvsi_get_be32(cdb) & 0x1fffff,
					  .blocks = cdb[4] ? cdb[4] : 256};
	case 1:
	case 2:
		return (struct hvsi_span){.lba = hvsi_get_be32(cdb + 2),
					  .blocks = hvsi_get_be16(cdb + 7),
					  .flags = cdb[1]};
	case 5:
		return (struct hvsi_span){.lba = hvsi_get_be32(cdb + 2),
					  .blocks = hvsi_get_be32(cdb + 6),
					  .flags = cdb[1]};
	default:
		return (struct hvsi_span){.lba = hvsi_get_be64(cdb + 2),
					  .blocks = hvsi_get_be32(cdb + 10),
					  .flags = cdb[1]};
	}
}

bool hvsi_scsi_span_fits(const struct hvsi_scsi_cmd *cmd, const struct hvsi_span *s)
{
	return s->lba <= cmd->num_blocks && s->blocks <= cmd->num_blocks - s->lba;
}

uint32_t hvsi_scsi_max_transfer(const struct hvsi_scsi_cmd *cmd)
{
	return cmd->ctl->max_transfer_bytes / cmd->disk->info.block_size;
}

enum hvsi_scsi_state hvsi_scsi_flush(struct hvsi_stor_request *req)
{
	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	req->then = NULL;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_FLUSH};
	return hvsi_request_submit(req);
}

/* The bytes of the guest's buffer behind the first `off`; whoever asks knows that they exist. */
static uint8_t *piece_at(const struct hvsi_stor_request *req, size_t off, size_t *len)
{
	unsigned count;
	const struct iovec *iov = hvs_map_iov(req->map, &count);

	while (off >= iov->iov_len) {
		off -= iov->iov_len;
		iov++;
	}
	*len = iov->iov_len - off;
	return (uint8_t *)iov->iov_base + off;
}

void hvsi_scsi_copy_from_guest(const struct hvsi_stor_request *req, void *to, size_t off,
			       size_t len)
{
	while (len) {
		size_t n;
		const uint8_t *piece = piece_at(req, off, &n);

		n = n < len ? n : len;
		memcpy(to, piece, n);
		to = (uint8_t *)to + n;
		off += n;
		len -= n;
	}
}

void hvsi_scsi_copy_to_guest(const struct hvsi_stor_request *req, size_t off, const void *from,
			     size_t len)
{
	while (len) {
		size_t n;
		uint8_t *piece = piece_at(req, off, &n);

		n = n < len ? n : len;
		memcpy(piece, from, n);
		from = (const uint8_t *)from + n;
		off += n;
		len -= n;
	}
}

static enum hvsi_scsi_state read_write(const struct hvsi_scsi_cmd *cmd, enum hvs_blk_op op)
{
	uint32_t block_size = cmd->disk->info.block_size;
	struct hvsi_stor_request *req = cmd->req;
	struct hvsi_span s = hvsi_scsi_span(cmd->cdb);
	uint64_t len = (uint64_t)s.blocks * block_size; /* 32 bits times 13: no overflow */
	enum hvsi_scsi_state state;

	if (s.flags & (HVSI_CDB_PROTECT | HVSI_CDB_RELADR))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (!s.blocks)
		return hvsi_scsi_good(req, 0);
	if (len > cmd->buffer_len || s.blocks > hvsi_scsi_max_transfer(cmd))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_map(cmd, (uint32_t)len, op == HVS_BLK_READ ? HVS_WRITE : HVS_READ, &state))
		return state;

	req->blk = (struct hvs_blk_req){.op = op, .offset = s.lba * block_size, .len = len};
	req->blk.iov = hvs_map_iov(req->map, &req->blk.iovcnt);
	req->transferred = (uint32_t)len;
	if (op == HVS_BLK_WRITE && s.flags & HVSI_CDB_FUA && cmd->flags & HVS_BLK_INFO_WRITE_BACK) {
		if (cmd->flags & HVS_BLK_INFO_FUA)
			req->blk.flags = HVS_BLK_FUA;
		else
			req->then = hvsi_scsi_flush;
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

/* Everything is flushed, whatever the range. IMMED is not needed for speed. */
enum hvsi_scsi_state hvsi_scsi_synchronize_cache(const struct hvsi_scsi_cmd *cmd)
{
	struct hvsi_span s = hvsi_scsi_span(cmd->cdb);

	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (cmd->flags & HVS_BLK_INFO_READ_ONLY)
		return hvsi_scsi_good(cmd->req, 0);
	cmd->req->blk_status = HVS_BLK_OK;
	return hvsi_scsi_flush(cmd->req);
}

/* There is no cache of our own to fetch into: GOOD says that not all blocks are in it. */
enum hvsi_scsi_state hvsi_scsi_prefetch(const struct hvsi_scsi_cmd *cmd)
{
	struct hvsi_span s = hvsi_scsi_span(cmd->cdb);

	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	return hvsi_scsi_good(cmd->req, 0);
}
