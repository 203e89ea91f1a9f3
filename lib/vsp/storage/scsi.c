/* SPDX-License-Identifier: MIT */
/* One SCSI command: which LUN, which command, may it be done. */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <string.h>

#define OP_INQUIRY 0x12
#define OP_REPORT_LUNS 0xa0

#define CONTROL_NACA 0x04
#define LONGEST_TIMEOUT_S 1000000000u

/* The controller answers, whatever LUN is addressed and whether or not it is there. The length
 * in the CDB is not looked at: firmware sends 0 and means its buffer. */
enum hvsi_scsi_state hvsi_scsi_report_luns(const struct hvsi_scsi_cmd *cmd)
{
	const struct hvsi_vmscsi *srb = &cmd->req->packet.u.srb;
	uint8_t d[8 + 8 * HVS_STORVSP_MAX_DISKS] = {0};
	uint32_t len = 8;

	for (unsigned lun = 0; cmd->cdb[2] != 1 && lun <= HVS_STORVSP_MAX_LUN; lun++)
		if (hvsi_disk_find(cmd->ctl, srb->path, srb->target, (uint8_t)lun) &&
		    len < sizeof(d)) {
			d[len + 1] = (uint8_t)lun;
			len += 8;
		}
	hvsi_put_be32(d, len - 8);
	return hvsi_scsi_reply(cmd, d, len, len);
}

/* NULL: *sense says what is wrong. */
static const struct hvsi_scsi_command *find(const struct hvsi_scsi_cmd *cmd, uint32_t *sense)
{
	const struct hvsi_scsi_command *c = cmd->disk->cfg.type == HVS_DISK_OPTICAL
						    ? hvsi_optical_commands
						    : hvsi_disk_commands;
	const uint8_t *cdb = cmd->cdb;

	*sense = HVSI_SENSE_INVALID_OPCODE;
	for (; c->execute; c++) {
		if (c->opcode != cdb[0] || (c->needs & cmd->flags) != c->needs)
			continue;
		if (!(c->traits & HVSI_SCSI_SERVICE_ACTION) || c->service_action == (cdb[1] & 0x1f))
			return c;
		*sense = HVSI_SENSE_INVALID_FIELD;
	}
	return NULL;
}

uint8_t hvsi_scsi_cdb_len(uint8_t opcode)
{
	static const uint8_t len[8] = {6, 10, 10, 0, 16, 12, 0, 0};

	return len[opcode >> 5];
}

static enum hvsi_scsi_state no_such_lun(struct hvsi_stor_request *req)
{
	req->result = (struct hvsi_scsi_result){.srb_status = HVSI_SRB_INVALID_LUN};
	return HVSI_SCSI_DONE;
}

/* May data move the way the command wants, into or out of the buffer the guest gave? */
static bool direction_ok(const struct hvsi_scsi_cmd *cmd, uint32_t traits)
{
	if (!cmd->buffer_len)
		return true;
	if (traits & HVSI_SCSI_READS_DATA)
		return cmd->data_in != HVSI_DATA_OUT;
	if (traits & HVSI_SCSI_WRITES_DATA)
		return cmd->data_in != HVSI_DATA_IN;
	return true;
}

bool hvsi_scsi_map(const struct hvsi_scsi_cmd *cmd, uint32_t len, enum hvs_access access,
		   enum hvsi_scsi_state *state)
{
	int err = hvs_extents_map(cmd->buffer, 0, len, access, &cmd->req->map);

	if (err == -ENOMEM)
		*state = hvsi_scsi_check(cmd->req, HVSI_SENSE_TARGET_FAILURE);
	else if (err)
		*state = hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	return !err;
}

/* When the guest wants it back, in ticks of its channel; 0: never. */
static uint32_t last_tick(const struct hvsi_stor_request *req, const struct hvsi_vmscsi *srb)
{
	uint32_t timeout_s = hvsi_get32(srb->timeout_s);

	if (!timeout_s || timeout_s > LONGEST_TIMEOUT_S || !hvsi_stor_has_long_srbs(req->chan))
		return 0;
	return req->chan->tick + timeout_s ? req->chan->tick + timeout_s : 1;
}

static enum hvsi_scsi_state execute_on_disk(struct hvsi_scsi_cmd *cmd,
					    const struct hvsi_vmscsi *srb)
{
	uint8_t len = hvsi_scsi_cdb_len(cmd->cdb[0]);
	struct hvsi_stor_request *req = cmd->req;
	const struct hvsi_scsi_command *c;
	uint32_t attention;
	int err = 0;
	uint32_t sense;

	if (hvsi_reservations_stale(cmd->disk))
		err = hvsi_reservations_learn(cmd->disk);
	cmd->flags = atomic_load_explicit(&cmd->disk->flags, memory_order_relaxed);
	c = find(cmd, &sense);
	/* A command that has begun goes on, on the restored machine too. */
	if (!req->resume && (!c || !(c->traits & HVSI_SCSI_DESPITE_ATTENTION))) {
		attention = hvsi_disk_take_attention(cmd->disk);
		if (attention)
			return hvsi_scsi_check(req, attention);
	}
	if (!c)
		return hvsi_scsi_invalid(req, sense);
	if (srb->cdb_len < len || cmd->cdb[len - 1] & CONTROL_NACA || !direction_ok(cmd, c->traits))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (err && c->traits & HVSI_SCSI_CLASSES)
		return hvsi_scsi_check(req, HVSI_SENSE_TARGET_FAILURE);
	if (hvsi_reservations_deny(cmd->disk, c->traits) && !hvsi_reservations_allow(cmd))
		return hvsi_scsi_conflict(req);
	/* And with it the back end of a medium that was inserted. */
	cmd->num_blocks = atomic_load_explicit(&cmd->disk->num_blocks, memory_order_acquire);
	if (c->traits & HVSI_SCSI_NEEDS_MEDIUM && !cmd->num_blocks)
		return hvsi_scsi_check(req, hvsi_drive_not_ready(cmd->disk));
	if (c->traits & HVSI_SCSI_WRITES_MEDIUM && cmd->flags & HVS_BLK_INFO_READ_ONLY)
		return hvsi_scsi_check(req, HVSI_SENSE_WRITE_PROTECTED);
	req->disk = cmd->disk;
	req->last_tick = last_tick(req, srb);
	return c->execute(cmd);
}

enum hvsi_scsi_state hvsi_scsi_execute(struct hvs_storvsp *ctl, struct hvsi_stor_request *req,
				       const struct hvs_extents *buffer)
{
	const struct hvsi_vmscsi *srb = &req->packet.u.srb;
	struct hvsi_scsi_cmd cmd = {.ctl = ctl,
				    .req = req,
				    .cdb = srb->cdb_or_sense,
				    .buffer = buffer,
				    .buffer_len = hvsi_get32(srb->transfer_len),
				    .data_in = srb->data_in};

	if (srb->cdb_len > HVSI_CDB_BYTES ||
	    cmd.buffer_len > (buffer ? hvs_extents_len(buffer) : 0) ||
	    cmd.buffer_len > ctl->max_transfer_bytes)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	/* These are answered where there is no disk, too. */
	if ((cmd.cdb[0] == OP_REPORT_LUNS || cmd.cdb[0] == OP_INQUIRY) &&
	    !direction_ok(&cmd, HVSI_SCSI_READS_DATA))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (cmd.cdb[0] == OP_REPORT_LUNS)
		return hvsi_scsi_report_luns(&cmd);
	cmd.disk = hvsi_disk_of_srb(ctl, srb);
	if (!cmd.disk)
		return cmd.cdb[0] == OP_INQUIRY ? hvsi_scsi_inquiry_absent(&cmd, srb->lun)
						: no_such_lun(req);
	hvsi_request_begins(req, cmd.disk);
	return execute_on_disk(&cmd, srb);
}
