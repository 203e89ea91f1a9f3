/* SPDX-License-Identifier: MIT */
/* The commands of a disk, and those that are a line or two. */
#include "vsp/storage/storvsp.h"

static enum hvsi_scsi_state nothing_to_do(const struct hvsi_scsi_cmd *cmd)
{
	return hvsi_scsi_good(cmd->req, 0);
}

/* Sense data go back with the command they are about; what there is to tell are conditions. */
static enum hvsi_scsi_state request_sense(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[HVSI_SENSE_BYTES];

	if (cmd->cdb[1] & 1) /* descriptor format */
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	hvsi_scsi_sense(d, hvsi_disk_take_attention(cmd->disk));
	return hvsi_scsi_reply(cmd, d, 18, cmd->cdb[4]);
}

static enum hvsi_scsi_state read_capacity10(const struct hvsi_scsi_cmd *cmd)
{
	uint64_t last = cmd->num_blocks - 1;
	uint8_t d[8];

	if (!(cmd->cdb[8] & 1) && hvsi_get_be32(cmd->cdb + 2)) /* PMI */
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	hvsi_put_be32(d, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	hvsi_put_be32(d + 4, cmd->disk->info.block_size);
	return hvsi_scsi_reply(cmd, d, sizeof(d), sizeof(d));
}

static enum hvsi_scsi_state read_capacity16(const struct hvsi_scsi_cmd *cmd)
{
	const struct hvs_blk_info *info = &cmd->disk->info;
	uint8_t d[32] = {0};
	uint8_t exponent = 0;

	while (info->block_size << exponent < info->physical_block_size)
		exponent++;
	hvsi_put_be64(d, cmd->num_blocks - 1);
	hvsi_put_be32(d + 8, info->block_size);
	d[13] = exponent;
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be32(cmd->cdb + 10));
}

#define IN HVSI_SCSI_READS_DATA
#define OUT HVSI_SCSI_WRITES_DATA
#define MEDIUM HVSI_SCSI_WRITES_MEDIUM
#define ACTION HVSI_SCSI_SERVICE_ACTION
#define ALWAYS HVSI_SCSI_DESPITE_ATTENTION
#define ASKS HVSI_SCSI_ASKS
#define LOOKS HVSI_SCSI_LOOKS
#define CHANGES HVSI_SCSI_CHANGES

const struct hvsi_scsi_command hvsi_disk_commands[] = {
	{0x00, 0, ASKS, nothing_to_do}, /* TEST UNIT READY */
	{0x03, 0, IN | ALWAYS, request_sense},
	{0x08, 0, IN | LOOKS, hvsi_scsi_read},
	{0x0a, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write},
	{0x12, 0, IN | ALWAYS, hvsi_scsi_inquiry},
	{0x16, 0, 0, hvsi_scsi_reserve},
	{0x17, 0, 0, hvsi_scsi_release},
	{0x1a, 0, IN | LOOKS, hvsi_scsi_mode_sense6},
	{0x1b, 0, CHANGES, hvsi_scsi_synchronize_cache}, /* START STOP UNIT: the disk never stops */
	{0x1e, 0, CHANGES, nothing_to_do},               /* PREVENT ALLOW MEDIUM REMOVAL */
	{0x25, 0, IN, read_capacity10},
	{0x28, 0, IN | LOOKS, hvsi_scsi_read},
	{0x2a, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write},
	{0x35, 0, CHANGES, hvsi_scsi_synchronize_cache},
	{0x56, 0, 0, hvsi_scsi_reserve},
	{0x57, 0, 0, hvsi_scsi_release},
	{0x5a, 0, IN | LOOKS, hvsi_scsi_mode_sense10},
	{0x5e, HVSI_PR_READ_KEYS, IN | ACTION, hvsi_scsi_reserve_in},
	{0x5e, HVSI_PR_READ_RESERVATION, IN | ACTION, hvsi_scsi_reserve_in},
	{0x5e, HVSI_PR_REPORT_CAPABILITIES, IN | ACTION, hvsi_scsi_reserve_in},
	{0x5e, HVSI_PR_READ_FULL_STATUS, IN | ACTION, hvsi_scsi_reserve_in},
	{0x5f, HVSI_PR_REGISTER, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x5f, HVSI_PR_RESERVE, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x5f, HVSI_PR_RELEASE, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x5f, HVSI_PR_CLEAR, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x5f, HVSI_PR_PREEMPT, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x5f, HVSI_PR_PREEMPT_AND_ABORT, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x5f, HVSI_PR_REGISTER_AND_IGNORE, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x5f, HVSI_PR_REGISTER_AND_MOVE, OUT | ACTION, hvsi_scsi_reserve_out},
	{0x88, 0, IN | LOOKS, hvsi_scsi_read},
	{0x8a, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write},
	{0x91, 0, CHANGES, hvsi_scsi_synchronize_cache},
	{0x9e, 0x10, IN | ACTION, read_capacity16},
	{0xa8, 0, IN | LOOKS, hvsi_scsi_read},
	{0xaa, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write},
	{0},
};
