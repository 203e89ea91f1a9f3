/* SPDX-License-Identifier: MIT */
/* Thin provisioning: UNMAP, GET LBA STATUS (SBC-3 4.7, 5.4, 5.31). */
#include "vsp/storage/disk_commands.h"

#define CDB_ANCHOR 0x01

#define UNMAP_HEADER 8u
#define UNMAP_DESCRIPTOR 16u

#define STATUS_HEADER 8u
#define STATUS_DESCRIPTOR 16u
#define STATUS_MAX 64u      /* descriptors of one answer */
#define STATUS_REQUESTS 64u /* to the back end, of one command */
#define STATUS_MAPPED 0
#define STATUS_DEALLOCATED 1

/* ---- UNMAP -------------------------------------------------------------------------------------- */

struct unmap {
	struct hvsi_fill fill; /* first: req->work of hvsi_scsi_zero() */
	uint32_t count;
	uint32_t next;
	struct {
		uint64_t offset; /* bytes */
		uint64_t len;
	} range[HVSI_UNMAP_MAX_DESCRIPTORS];
};

static enum hvsi_scsi_state unmap_next(struct hvsi_stor_request *req);

/* A hint that the back end can't follow after all does no harm, but what VPD page B2h promises of
 * unmapped blocks has to hold. */
static enum hvsi_scsi_state unmapped(struct hvsi_stor_request *req)
{
	struct unmap *u = req->work;

	if (req->blk_status == HVS_BLK_OK || !(req->disk->info.flags & HVS_BLK_INFO_UNMAP_ZEROES))
		return unmap_next(req);
	u->fill.offset = req->blk.offset;
	u->fill.end = req->blk.offset + req->blk.len;
	u->fill.may_unmap = true;
	u->fill.done = unmap_next;
	return hvsi_scsi_zero(req, &u->fill);
}

static enum hvsi_scsi_state unmap_next(struct hvsi_stor_request *req)
{
	struct unmap *u = req->work;

	while (u->next < u->count && !u->range[u->next].len)
		u->next++;
	if (u->next == u->count)
		return hvsi_scsi_good(req, req->transferred);
	req->then = unmapped;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_UNMAP,
					.offset = u->range[u->next].offset,
					.len = u->range[u->next].len};
	u->next++;
	return hvsi_request_submit(req);
}

/* Descriptors, copied from the guest. All are looked at before anything is unmapped. 0, or the
 * sense data of what is wrong with them. */
static uint32_t parse(const struct hvsi_scsi_cmd *cmd, struct unmap *u)
{
	uint32_t block_size = cmd->disk->info.block_size;
	uint64_t total = 0;

	for (uint32_t i = 0; i < u->count; i++) {
		uint8_t d[UNMAP_DESCRIPTOR];
		struct hvsi_span s;

		if (hvs_extents_read(cmd->buffer, UNMAP_HEADER + i * UNMAP_DESCRIPTOR, d,
				     sizeof(d)) < 0)
			return HVSI_SENSE_INVALID_FIELD;
		s = (struct hvsi_span){.lba = hvsi_get_be64(d), .blocks = hvsi_get_be32(d + 8)};
		if (!hvsi_scsi_span_fits(cmd, &s))
			return HVSI_SENSE_LBA_OUT_OF_RANGE;
		u->range[i].offset = s.lba * block_size;
		u->range[i].len = (uint64_t)s.blocks * block_size;
		total += s.blocks;
	}
	return total > HVSI_UNMAP_MAX_BLOCKS ? HVSI_SENSE_INVALID_PARAMETER : 0;
}

enum hvsi_scsi_state hvsi_scsi_unmap(const struct hvsi_scsi_cmd *cmd)
{
	uint32_t list_len = hvsi_get_be16(cmd->cdb + 7);
	struct hvsi_stor_request *req = cmd->req;
	enum hvsi_scsi_state state;
	uint8_t header[UNMAP_HEADER];
	uint32_t descriptors_len;
	struct unmap *u;
	uint32_t sense;

	if (cmd->cdb[1] & CDB_ANCHOR)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (!list_len)
		return hvsi_scsi_good(req, 0);
	if (list_len < UNMAP_HEADER || list_len > cmd->buffer_len)
		return hvsi_scsi_invalid(req, HVSI_SENSE_PARAMETER_LIST_LENGTH);
	if (hvs_extents_read(cmd->buffer, 0, header, sizeof(header)) < 0)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	descriptors_len = hvsi_get_be16(header + 2);
	if (descriptors_len > list_len - UNMAP_HEADER)
		return hvsi_scsi_invalid(req, HVSI_SENSE_PARAMETER_LIST_LENGTH);
	if (descriptors_len / UNMAP_DESCRIPTOR > HVSI_UNMAP_MAX_DESCRIPTORS)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_PARAMETER);
	u = hvsi_request_alloc(req, sizeof(*u));
	if (!u)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	u->count = descriptors_len / UNMAP_DESCRIPTOR; /* the rest of one counts for nothing */
	sense = parse(cmd, u);
	if (sense)
		return hvsi_scsi_invalid(req, sense);
	if (!hvsi_scsi_map(cmd, list_len, HVS_READ, &state))
		return state;
	req->transferred = list_len;
	return unmap_next(req);
}

/* ---- GET LBA STATUS ------------------------------------------------------------------------------- */

struct lba_status {
	uint64_t offset; /* bytes: what comes next */
	uint64_t end;
	uint32_t room;     /* bytes of the guest's buffer */
	uint32_t wanted;   /* descriptors that fit */
	uint32_t count;    /* of those there are */
	uint32_t requests; /* that may still be made */
	uint8_t d[STATUS_HEADER + STATUS_MAX * STATUS_DESCRIPTOR];
};

static enum hvsi_scsi_state status_done(struct hvsi_stor_request *req)
{
	struct lba_status *l = req->work;
	uint32_t len = STATUS_HEADER + l->count * STATUS_DESCRIPTOR;

	hvsi_put_be32(l->d, len - 4);
	if (len > l->room)
		len = l->room;
	hvsi_scsi_copy_to_guest(req, 0, l->d, len);
	return hvsi_scsi_good(req, len);
}

/* False: it has to be a new descriptor, and there is no room for one. */
static bool add_extent(struct lba_status *l, uint64_t lba, uint32_t blocks, uint8_t status)
{
	uint8_t *d = l->d + STATUS_HEADER + (size_t)l->count * STATUS_DESCRIPTOR;

	if (l->count && (d - STATUS_DESCRIPTOR)[12] == status) {
		uint8_t *last = d - STATUS_DESCRIPTOR;

		if (blocks <= UINT32_MAX - hvsi_get_be32(last + 8)) {
			hvsi_put_be32(last + 8, hvsi_get_be32(last + 8) + blocks);
			return true;
		}
	}
	if (l->count == l->wanted)
		return false;
	hvsi_put_be64(d, lba);
	hvsi_put_be32(d + 8, blocks);
	d[12] = status;
	l->count++;
	return true;
}

static enum hvsi_scsi_state got_status(struct hvsi_stor_request *req);

static enum hvsi_scsi_state ask_status(struct hvsi_stor_request *req)
{
	struct lba_status *l = req->work;
	uint64_t max = (uint64_t)UINT32_MAX * req->disk->info.block_size;

	req->then = got_status;
	req->blk = (struct hvs_blk_req){.op = HVS_BLK_LBA_STATUS,
					.offset = l->offset,
					.len = l->end - l->offset < max ? l->end - l->offset : max};
	return hvsi_request_submit(req);
}

static enum hvsi_scsi_state got_status(struct hvsi_stor_request *req)
{
	uint32_t block_size = req->disk->info.block_size;
	uint64_t blocks = req->blk.extent_len / block_size;
	struct lba_status *l = req->work;

	if (req->blk_status != HVS_BLK_OK)
		return hvsi_scsi_failed(req);
	if (!blocks || req->blk.extent_len > req->blk.len)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	if (!add_extent(l, l->offset / block_size, (uint32_t)blocks,
			req->blk.extent_unmapped ? STATUS_DEALLOCATED : STATUS_MAPPED))
		return status_done(req);
	l->offset += blocks * block_size;
	if (l->offset == l->end || !--l->requests)
		return status_done(req);
	return ask_status(req);
}

enum hvsi_scsi_state hvsi_scsi_get_lba_status(const struct hvsi_scsi_cmd *cmd)
{
	uint64_t lba = hvsi_get_be64(cmd->cdb + 2);
	uint32_t room = hvsi_get_be32(cmd->cdb + 10);
	uint32_t block_size = cmd->disk->info.block_size;
	struct hvsi_stor_request *req = cmd->req;
	enum hvsi_scsi_state state;
	struct lba_status *l;

	if (lba >= cmd->num_blocks)
		return hvsi_scsi_invalid(req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	if (room > cmd->buffer_len)
		room = cmd->buffer_len;
	if (!room)
		return hvsi_scsi_good(req, 0);
	if (!hvsi_scsi_map(cmd, room, HVS_WRITE, &state))
		return state;
	l = hvsi_request_alloc(req, sizeof(*l));
	if (!l)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	l->offset = lba * block_size;
	l->end = cmd->num_blocks * block_size;
	l->room = room;
	l->wanted = room < STATUS_HEADER + STATUS_DESCRIPTOR
			    ? 1
			    : (room - STATUS_HEADER) / STATUS_DESCRIPTOR;
	if (l->wanted > STATUS_MAX)
		l->wanted = STATUS_MAX;
	l->requests = STATUS_REQUESTS;
	return ask_status(req);
}
