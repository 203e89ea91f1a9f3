/* SPDX-License-Identifier: MIT */
/* WRITE SAME, and writing the same again and again as such (SBC-3 5.48, 5.49). */
#include "vsp/storage/disk_commands.h"

#include <string.h>

#define CDB_ANCHOR 0x10
#define CDB_UNMAP 0x08
#define CDB_OBSOLETE 0x06 /* PBDATA, LBDATA */
#define CDB_NDOB 0x01     /* WRITE SAME (16): zeros, and no data */

#define OP_WRITE_SAME16 0x93

#define MAX_BYTES (8u << 20)

/* ---- filling ------------------------------------------------------------------------------------ */

static enum hvsi_scsi_state filled(struct hvsi_stor_request *req)
{
	struct hvsi_fill *f = req->work;

	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	return hvsi_scsi_fill(req, f);
}

enum hvsi_scsi_state hvsi_scsi_fill(struct hvsi_stor_request *req, struct hvsi_fill *f)
{
	uint64_t left = f->end - f->offset;
	uint64_t len = 0;
	unsigned n;

	if (!left)
		return f->done ? f->done(req) : hvsi_scsi_good(req, req->transferred);
	for (n = 0; n < HVSI_FILL_IOV && len < left; n++) {
		f->iov[n].iov_base = f->pattern;
		f->iov[n].iov_len =
			left - len < HVSI_FILL_BYTES ? (size_t)(left - len) : HVSI_FILL_BYTES;
		len += f->iov[n].iov_len;
	}
	req->then = filled;
	req->blk = (struct hvs_blk_req){
		.op = HVS_BLK_WRITE, .offset = f->offset, .len = len, .iov = f->iov, .iovcnt = n};
	f->offset += len;
	return hvsi_request_submit(req);
}

/* The back end did it all at once, or can't. */
static enum hvsi_scsi_state zeroed(struct hvsi_stor_request *req)
{
	struct hvsi_fill *f = req->work;

	if (req->blk_status == HVS_BLK_OK)
		f->offset = f->end;
	return hvsi_scsi_fill(req, f);
}

enum hvsi_scsi_state hvsi_scsi_zero(struct hvsi_stor_request *req, struct hvsi_fill *f)
{
	uint32_t flags = req->disk->info.flags;

	req->blk = (struct hvs_blk_req){.offset = f->offset, .len = f->end - f->offset};
	if (flags & HVS_BLK_INFO_WRITE_ZEROES) {
		req->blk.op = HVS_BLK_WRITE_ZEROES;
		req->blk.flags = f->may_unmap ? HVS_BLK_MAY_UNMAP : 0;
	} else if (f->may_unmap && flags & HVS_BLK_INFO_UNMAP_ZEROES) {
		req->blk.op = HVS_BLK_UNMAP;
	} else {
		return hvsi_scsi_fill(req, f);
	}
	req->then = zeroed;
	return hvsi_request_submit(req);
}

/* ---- WRITE SAME --------------------------------------------------------------------------------- */

uint32_t hvsi_scsi_max_write_same(const struct hvs_disk *disk)
{
	return MAX_BYTES / disk->info.block_size;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

static bool flags_ok(const struct hvsi_scsi_cmd *cmd, uint8_t flags)
{
	if (flags & (HVSI_CDB_PROTECT | CDB_ANCHOR | CDB_OBSOLETE))
		return false;
	if (flags & CDB_NDOB && cmd->cdb[0] != OP_WRITE_SAME16)
		return false;
	return !(flags & CDB_UNMAP) || cmd->flags & HVS_BLK_INFO_UNMAP;
}

/* With UNMAP, blocks that read the same as the data may become unmapped: zeros, if any. */
enum hvsi_scsi_state hvsi_scsi_write_same(const struct hvsi_scsi_cmd *cmd)
{
	struct hvsi_span s = hvsi_scsi_span(cmd->cdb);
	uint32_t block_size = cmd->disk->info.block_size;
	struct hvsi_stor_request *req = cmd->req;
	bool has_data = !(s.flags & CDB_NDOB);
	enum hvsi_scsi_state state;
	struct hvsi_fill *f;

	if (!flags_ok(cmd, s.flags))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	/* VPD page B0h says that 0 does not mean "to the end". */
	if (!s.blocks || s.blocks > hvsi_scsi_max_write_same(cmd->disk) ||
	    (has_data && cmd->buffer_len != block_size))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (has_data && !hvsi_scsi_map(cmd, block_size, HVS_READ, &state))
		return state;
	f = hvsi_request_alloc(req, sizeof(*f));
	if (!f)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	f->offset = s.lba * block_size;
	f->end = f->offset + (uint64_t)s.blocks * block_size;
	f->may_unmap = s.flags & CDB_UNMAP;
	if (has_data) {
		req->transferred = block_size;
		hvsi_scsi_copy_from_guest(req, f->pattern, 0, block_size);
	}
	if (is_zero(f->pattern, block_size))
		return hvsi_scsi_zero(req, f);
	for (uint32_t at = block_size; at < HVSI_FILL_BYTES; at += block_size)
		memcpy(f->pattern + at, f->pattern, block_size);
	return hvsi_scsi_fill(req, f);
}
