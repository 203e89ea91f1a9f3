/* SPDX-License-Identifier: MIT */
/*
 * Commands that read blocks for the host to look at: VERIFY, WRITE AND VERIFY, COMPARE AND WRITE,
 * ORWRITE (SBC-3 5.2, 5.15, 5.34, 5.46). They go through the blocks slice by slice, in private
 * memory that does not grow with the command.
 */
#include "vsp/storage/disk_commands.h"

#include <string.h>

#define SLICE_BYTES 32768u

#define BYTCHK(flags) ((flags) >> 1 & 3)
#define BYTCHK_NONE 0u      /* the blocks can be read: that is all */
#define BYTCHK_ALL 1u       /* and are what the guest sends */
#define BYTCHK_ONE_BLOCK 3u /* each is the one block that the guest sends */

enum { RESUME_WRITING = 1 }; /* hvsi_stor_request.resume of COMPARE AND WRITE */

/* What such a command has in req->work. */
struct look {
	uint64_t begin; /* bytes */
	uint64_t offset;
	uint64_t end;
	uint32_t slice; /* bytes of each but the last */
	uint32_t bytchk;
	bool flush;       /* what is written has to be durable */
	bool tell_offset; /* of the first byte that differs */
	/* The blocks are right. */
	enum hvsi_scsi_state (*done)(struct hvsi_stor_request *req);
	uint8_t *read;   /* a slice */
	uint8_t *wanted; /* a slice; only to compare */
	struct iovec *write_iov;
	struct iovec iov;
};

static uint32_t slice_len(const struct look *l)
{
	return l->end - l->offset < l->slice ? (uint32_t)(l->end - l->offset) : l->slice;
}

static enum hvsi_scsi_state end(struct hvsi_stor_request *req)
{
	return hvsi_scsi_good(req, req->transferred);
}

/* ---- reading and comparing -------------------------------------------------------------------- */

static enum hvsi_scsi_state compare(struct hvsi_stor_request *req);

static enum hvsi_scsi_state read_slice(struct hvsi_stor_request *req,
				       enum hvsi_scsi_state (*then)(struct hvsi_stor_request *))
{
	struct look *l = req->work;

	l->iov = (struct iovec){.iov_base = l->read, .iov_len = slice_len(l)};
	req->then = then;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_READ,
					.offset = l->offset,
					.len = l->iov.iov_len,
					.iov = &l->iov,
					.iovcnt = 1};
	return hvsi_request_submit(req);
}

static enum hvsi_scsi_state miscompare(struct hvsi_stor_request *req)
{
	const struct look *l = req->work;
	uint64_t at = l->offset - l->begin;

	if (!l->tell_offset)
		return hvsi_scsi_check(req, HVSI_SENSE_MISCOMPARE);
	for (uint32_t i = 0; l->read[i] == l->wanted[i]; i++)
		at++;
	return hvsi_scsi_check_info(req, HVSI_SENSE_MISCOMPARE, at);
}

static enum hvsi_scsi_state look_on(struct hvsi_stor_request *req)
{
	const struct look *l = req->work;

	return l->offset < l->end ? read_slice(req, compare) : l->done(req);
}

static enum hvsi_scsi_state compare(struct hvsi_stor_request *req)
{
	struct look *l = req->work;
	uint32_t len = slice_len(l);

	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	if (l->bytchk == BYTCHK_ALL)
		hvsi_scsi_copy_from_guest(req, l->wanted, (size_t)(l->offset - l->begin), len);
	if (l->bytchk != BYTCHK_NONE && memcmp(l->read, l->wanted, len) != 0)
		return miscompare(req);
	l->offset += len;
	return look_on(req);
}

/* The work memory of a command on these blocks, whose buffer is mapped. NULL: there is none. */
static struct look *begin(const struct hvsi_scsi_cmd *cmd, const struct hvsi_span *s,
			  uint32_t bytchk)
{
	uint32_t block_size = cmd->disk->info.block_size;
	uint64_t len = (uint64_t)s->blocks * block_size;
	uint32_t slice = len < SLICE_BYTES ? (uint32_t)len : SLICE_BYTES;
	unsigned iovs = 0;
	struct look *l;

	if (cmd->req->map)
		(void)hvs_map_iov(cmd->req->map, &iovs);
	l = hvsi_request_alloc(cmd->req, sizeof(*l) + 2 * (size_t)slice + iovs * sizeof(l->iov));
	if (!l)
		return NULL;
	l->begin = s->lba * block_size;
	l->offset = l->begin;
	l->end = l->begin + len;
	l->slice = slice;
	l->bytchk = bytchk;
	l->done = end;
	l->write_iov = (struct iovec *)(l + 1);
	l->read = (uint8_t *)(l->write_iov + iovs);
	l->wanted = l->read + slice;
	return l;
}

/* ---- VERIFY, WRITE AND VERIFY ------------------------------------------------------------------- */

static enum hvsi_scsi_state start_verify(const struct hvsi_scsi_cmd *cmd, const struct hvsi_span *s,
					 uint32_t sent)
{
	uint32_t block_size = cmd->disk->info.block_size;
	uint32_t bytchk = BYTCHK(s->flags);
	struct hvsi_stor_request *req = cmd->req;
	enum hvsi_scsi_state state;
	struct look *l;

	if (sent && !hvsi_scsi_map(cmd, sent, HVS_READ, &state))
		return state;
	l = begin(cmd, s, bytchk);
	if (!l)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	for (uint32_t at = 0; bytchk == BYTCHK_ONE_BLOCK && at < l->slice; at += block_size) {
		if (!at)
			hvsi_scsi_copy_from_guest(req, l->wanted, 0, block_size);
		else
			memcpy(l->wanted + at, l->wanted, block_size);
	}
	req->transferred = sent;
	return look_on(req);
}

enum hvsi_scsi_state hvsi_scsi_verify(const struct hvsi_scsi_cmd *cmd)
{
	struct hvsi_span s = hvsi_scsi_span(cmd->cdb);
	uint32_t block_size = cmd->disk->info.block_size;
	uint64_t sent;

	if (s.flags & (HVSI_CDB_PROTECT | HVSI_CDB_RELADR) || BYTCHK(s.flags) == 2)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (!s.blocks)
		return hvsi_scsi_good(cmd->req, 0);
	sent = BYTCHK(s.flags) == BYTCHK_ALL ? (uint64_t)s.blocks * block_size : 0;
	if (BYTCHK(s.flags) == BYTCHK_ONE_BLOCK)
		sent = block_size;
	if (s.blocks > hvsi_scsi_max_transfer(cmd) || sent > cmd->buffer_len)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	return start_verify(cmd, &s, (uint32_t)sent);
}

static enum hvsi_scsi_state verify_written(struct hvsi_stor_request *req)
{
	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	return look_on(req);
}

static enum hvsi_scsi_state flush_written(struct hvsi_stor_request *req)
{
	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	req->then = verify_written;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_FLUSH};
	return hvsi_request_submit(req);
}

/* On the medium, and read back from there. */
enum hvsi_scsi_state hvsi_scsi_write_and_verify(const struct hvsi_scsi_cmd *cmd)
{
	struct hvsi_span s = hvsi_scsi_span(cmd->cdb);
	uint64_t len = (uint64_t)s.blocks * cmd->disk->info.block_size;
	struct hvsi_stor_request *req = cmd->req;
	enum hvsi_scsi_state state;
	const struct look *l;

	if (s.flags & (HVSI_CDB_PROTECT | HVSI_CDB_RELADR) || BYTCHK(s.flags) > BYTCHK_ALL)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (!s.blocks)
		return hvsi_scsi_good(req, 0);
	if (s.blocks > hvsi_scsi_max_transfer(cmd) || len > cmd->buffer_len)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_map(cmd, (uint32_t)len, HVS_READ, &state))
		return state;
	l = begin(cmd, &s, BYTCHK(s.flags));
	if (!l)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	req->transferred = (uint32_t)len;
	req->then = cmd->flags & HVS_BLK_INFO_WRITE_BACK ? flush_written : verify_written;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_WRITE, .offset = l->begin, .len = len};
	req->blk.iov = hvs_map_iov(req->map, &req->blk.iovcnt);
	return hvsi_request_submit(req);
}

/* ---- COMPARE AND WRITE -------------------------------------------------------------------------- */

uint32_t hvsi_scsi_max_compare_and_write(const struct hvs_storvsp *ctl, const struct hvs_disk *disk)
{
	uint32_t max = ctl->max_transfer_bytes / 2 / disk->info.block_size;

	return max < 255 ? max : 255; /* a byte of the CDB */
}

/* The second half of the guest's buffer. */
static unsigned second_half(const struct hvsi_stor_request *req, struct iovec *to, size_t half)
{
	unsigned count;
	unsigned n = 0;
	const struct iovec *iov = hvs_map_iov(req->map, &count);

	for (unsigned i = 0; i < count; i++) {
		size_t skip = half < iov[i].iov_len ? half : iov[i].iov_len;

		half -= skip;
		if (skip < iov[i].iov_len)
			to[n++] = (struct iovec){.iov_base = (uint8_t *)iov[i].iov_base + skip,
						 .iov_len = iov[i].iov_len - skip};
	}
	return n;
}

static enum hvsi_scsi_state write_second_half(struct hvsi_stor_request *req)
{
	const struct look *l = req->work;
	size_t len = (size_t)(l->end - l->begin);

	/* From here on the disk may have the new data: not to be compared once more. */
	req->resume = RESUME_WRITING;
	req->then = l->flush ? hvsi_scsi_flush : NULL;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_WRITE,
					.offset = l->begin,
					.len = len,
					.iov = l->write_iov,
					.iovcnt = second_half(req, l->write_iov, len)};
	return hvsi_request_submit(req);
}

static enum hvsi_scsi_state alone(struct hvsi_stor_request *req)
{
	return req->resume == RESUME_WRITING ? write_second_half(req) : look_on(req);
}

static bool fua(const struct hvsi_scsi_cmd *cmd)
{
	return cmd->cdb[1] & HVSI_CDB_FUA && cmd->flags & HVS_BLK_INFO_WRITE_BACK;
}

enum hvsi_scsi_state hvsi_scsi_compare_and_write(const struct hvsi_scsi_cmd *cmd)
{
	struct hvsi_span s = {
		.lba = hvsi_get_be64(cmd->cdb + 2), .blocks = cmd->cdb[13], .flags = cmd->cdb[1]};
	uint32_t len = s.blocks * cmd->disk->info.block_size;
	struct hvsi_stor_request *req = cmd->req;
	enum hvsi_scsi_state state;
	struct look *l;

	if (s.flags & HVSI_CDB_PROTECT)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (!s.blocks)
		return hvsi_scsi_good(req, 0);
	if (s.blocks > hvsi_scsi_max_compare_and_write(cmd->ctl, cmd->disk) ||
	    cmd->buffer_len != 2 * len)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_map(cmd, 2 * len, HVS_READ, &state))
		return state;
	l = begin(cmd, &s, BYTCHK_ALL);
	if (!l)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	l->done = write_second_half;
	l->tell_offset = true;
	l->flush = fua(cmd);
	req->transferred = 2 * len;
	return hvsi_request_exclusive(req, alone);
}

/* ---- ORWRITE ------------------------------------------------------------------------------------ */

static enum hvsi_scsi_state or_slice(struct hvsi_stor_request *req);

static enum hvsi_scsi_state slice_written(struct hvsi_stor_request *req)
{
	struct look *l = req->work;

	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	l->offset += l->iov.iov_len;
	if (l->offset < l->end)
		return read_slice(req, or_slice);
	return l->flush ? hvsi_scsi_flush(req) : end(req);
}

static enum hvsi_scsi_state or_slice(struct hvsi_stor_request *req)
{
	struct look *l = req->work;
	uint32_t len = slice_len(l);

	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	hvsi_scsi_copy_from_guest(req, l->wanted, (size_t)(l->offset - l->begin), len);
	for (uint32_t i = 0; i < len; i++)
		l->read[i] |= l->wanted[i];
	req->then = slice_written;
	req->blk.op = HVS_BLK_WRITE; /* of what was read, to where it was */
	return hvsi_request_submit(req);
}

static enum hvsi_scsi_state or_alone(struct hvsi_stor_request *req)
{
	return read_slice(req, or_slice);
}

/* Done twice, after saved state, it does the same as once. */
enum hvsi_scsi_state hvsi_scsi_orwrite(const struct hvsi_scsi_cmd *cmd)
{
	struct hvsi_span s = hvsi_scsi_span(cmd->cdb);
	uint64_t len = (uint64_t)s.blocks * cmd->disk->info.block_size;
	struct hvsi_stor_request *req = cmd->req;
	enum hvsi_scsi_state state;
	struct look *l;

	if (s.flags & (HVSI_CDB_PROTECT | HVSI_CDB_RELADR))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_span_fits(cmd, &s))
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (!s.blocks)
		return hvsi_scsi_good(req, 0);
	if (s.blocks > hvsi_scsi_max_transfer(cmd) || len > cmd->buffer_len)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!hvsi_scsi_map(cmd, (uint32_t)len, HVS_READ, &state))
		return state;
	l = begin(cmd, &s, BYTCHK_NONE);
	if (!l)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	l->flush = fua(cmd);
	req->transferred = (uint32_t)len;
	return hvsi_request_exclusive(req, or_alone);
}
