/* SPDX-License-Identifier: MIT */
/* One SCSI command: which LUN, which command, may it be done. */
#include "vsp/storage/storvsp.h"

#include <string.h>

#define OP_INQUIRY 0x12
#define OP_REPORT_LUNS 0xa0

#define CONTROL_NACA 0x04

static enum hvsi_scsi_state nothing_to_do(const struct hvsi_scsi_cmd *cmd)
{
	return hvsi_scsi_good(cmd->req, 0);
}

/* Sense data go back with the command they are about; none are kept. */
static enum hvsi_scsi_state request_sense(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[HVSI_SENSE_BYTES];

	if (cmd->cdb[1] & 1) /* descriptor format */
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	hvsi_scsi_sense(d, HVSI_SENSE_NONE);
	return hvsi_scsi_reply(cmd, d, 18, cmd->cdb[4]);
}

static enum hvsi_scsi_state read_capacity10(const struct hvsi_scsi_cmd *cmd)
{
	uint64_t last = cmd->disk->info.num_blocks - 1;
	uint8_t d[8];

	if (!(cmd->cdb[8] & 1) && hvsi_get_be32(cmd->cdb + 2)) /* PMI */
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	hvsi_put_be32(d, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	hvsi_put_be32(d + 4, cmd->disk->info.block_size);
	return hvsi_scsi_reply(cmd, d, sizeof(d), sizeof(d));
}

/* SERVICE ACTION IN(16); READ CAPACITY(16) is the only action we have. */
static enum hvsi_scsi_state service_action_in16(const struct hvsi_scsi_cmd *cmd)
{
	const struct hvs_blk_info *info = &cmd->disk->info;
	uint8_t d[32] = {0};
	uint8_t exponent = 0;

	if ((cmd->cdb[1] & 0x1f) != 0x10)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_OPCODE);
	while (info->block_size << exponent < info->physical_block_size)
		exponent++;
	hvsi_put_be64(d, info->num_blocks - 1);
	hvsi_put_be32(d + 8, info->block_size);
	d[13] = exponent;
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be32(cmd->cdb + 10));
}

/* The controller answers, whatever LUN is addressed and whether or not it is there. The length
 * in the CDB is not looked at: firmware sends 0 and means its buffer. */
static enum hvsi_scsi_state report_luns(struct hvs_storvsp *ctl, const struct hvsi_scsi_cmd *cmd,
					const struct hvsi_vmscsi *srb)
{
	uint8_t d[8 + 8 * HVS_STORVSP_MAX_DISKS] = {0};
	uint32_t len = 8;

	if (srb->path == 0 && srb->target == 0 && cmd->cdb[2] != 1)
		for (unsigned lun = 0; lun < HVS_STORVSP_MAX_DISKS; lun++)
			if (ctl->disk[lun].present) {
				d[len + 1] = (uint8_t)lun;
				len += 8;
			}
	hvsi_put_be32(d, len - 8);
	return hvsi_scsi_reply(cmd, d, len, len);
}

enum { READS_DATA = 1, WRITES_DATA = 2, WRITES_MEDIUM = 4 };

struct command {
	uint8_t opcode;
	uint8_t cdb_len;
	uint8_t traits;
	enum hvsi_scsi_state (*execute)(const struct hvsi_scsi_cmd *cmd);
};

static const struct command commands[] = {
	{0x00, 6, 0, nothing_to_do}, /* TEST UNIT READY */
	{0x03, 6, READS_DATA, request_sense},
	{0x08, 6, READS_DATA, hvsi_scsi_read},
	{0x0a, 6, WRITES_DATA | WRITES_MEDIUM, hvsi_scsi_write},
	{OP_INQUIRY, 6, READS_DATA, hvsi_scsi_inquiry},
	{0x1a, 6, READS_DATA, hvsi_scsi_mode_sense6},
	{0x1b, 6, 0, hvsi_scsi_synchronize_cache}, /* START STOP UNIT: the disk never stops */
	{0x1e, 6, 0, nothing_to_do},               /* PREVENT ALLOW MEDIUM REMOVAL */
	{0x25, 10, READS_DATA, read_capacity10},
	{0x28, 10, READS_DATA, hvsi_scsi_read},
	{0x2a, 10, WRITES_DATA | WRITES_MEDIUM, hvsi_scsi_write},
	{0x35, 10, 0, hvsi_scsi_synchronize_cache},
	{0x5a, 10, READS_DATA, hvsi_scsi_mode_sense10},
	{0x88, 16, READS_DATA, hvsi_scsi_read},
	{0x8a, 16, WRITES_DATA | WRITES_MEDIUM, hvsi_scsi_write},
	{0x91, 16, 0, hvsi_scsi_synchronize_cache},
	{0x9e, 16, READS_DATA, service_action_in16},
	{0xa8, 12, READS_DATA, hvsi_scsi_read},
	{0xaa, 12, WRITES_DATA | WRITES_MEDIUM, hvsi_scsi_write},
};

static const struct command *find(uint8_t opcode)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].opcode == opcode)
			return &commands[i];
	return NULL;
}

static struct hvsi_disk *disk_at(struct hvs_storvsp *ctl, const struct hvsi_vmscsi *srb)
{
	if (srb->path || srb->target || srb->lun >= HVS_STORVSP_MAX_DISKS ||
	    !ctl->disk[srb->lun].present)
		return NULL;
	return &ctl->disk[srb->lun];
}

static enum hvsi_scsi_state no_such_lun(struct hvsi_stor_request *req)
{
	req->result = (struct hvsi_scsi_result){.srb_status = HVSI_SRB_INVALID_LUN};
	return HVSI_SCSI_DONE;
}

/* May data move the way the command wants, into or out of the buffer the guest gave? */
static bool direction_ok(const struct hvsi_scsi_cmd *cmd, uint8_t traits)
{
	if (!cmd->buffer_len)
		return true;
	if (traits & READS_DATA)
		return cmd->data_in != HVSI_DATA_OUT;
	if (traits & WRITES_DATA)
		return cmd->data_in != HVSI_DATA_IN;
	return true;
}

enum hvsi_scsi_state hvsi_scsi_execute(struct hvs_storvsp *ctl, struct hvsi_stor_request *req,
				       const struct hvsi_vmscsi *srb,
				       const struct hvs_extents *buffer)
{
	struct hvsi_scsi_cmd cmd = {.ctl = ctl,
				    .req = req,
				    .disk = disk_at(ctl, srb),
				    .cdb = srb->cdb_or_sense,
				    .buffer = buffer,
				    .buffer_len = hvsi_get32(srb->transfer_len),
				    .data_in = srb->data_in};
	const struct command *c = find(cmd.cdb[0]);

	req->disk = cmd.disk;
	if (srb->cdb_len > HVSI_CDB_BYTES ||
	    cmd.buffer_len > (buffer ? hvs_extents_len(buffer) : 0))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	/* These are answered where there is no disk, too. */
	if ((cmd.cdb[0] == OP_REPORT_LUNS || cmd.cdb[0] == OP_INQUIRY) &&
	    !direction_ok(&cmd, READS_DATA))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (cmd.cdb[0] == OP_REPORT_LUNS)
		return report_luns(ctl, &cmd, srb);
	if (!cmd.disk)
		return cmd.cdb[0] == OP_INQUIRY ? hvsi_scsi_inquiry_absent(&cmd, srb->lun)
						: no_such_lun(req);
	if (!c)
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_OPCODE);
	if (srb->cdb_len < c->cdb_len || cmd.cdb[c->cdb_len - 1] & CONTROL_NACA ||
	    !direction_ok(&cmd, c->traits))
		return hvsi_scsi_invalid(req, HVSI_SENSE_INVALID_FIELD);
	if (c->traits & WRITES_MEDIUM && cmd.disk->info.flags & HVS_BLK_INFO_READ_ONLY)
		return hvsi_scsi_check(req, HVSI_SENSE_WRITE_PROTECTED);
	return c->execute(&cmd);
}
