/* SPDX-License-Identifier: MIT */
/* The commands of a disk, and those that are a line or two. */
#include "vsp/storage/commands.h"

#define LBPME 0x80 /* READ CAPACITY (16): blocks can be unmapped */
#define LBPRZ 0x40 /* and read as zeros then */

enum hvsi_scsi_state hvsi_scsi_nothing_to_do(const struct hvsi_scsi_cmd *cmd)
{
	return hvsi_scsi_good(cmd->req, 0);
}

/* Sense data go back with the command they are about; what there is to tell are conditions. */
enum hvsi_scsi_state hvsi_scsi_request_sense(const struct hvsi_scsi_cmd *cmd)
{
	uint32_t sense = hvsi_disk_take_attention(cmd->disk);
	uint8_t d[HVSI_SENSE_BYTES];

	if (cmd->cdb[1] & 1) {
		const uint8_t descriptor[8] = {0x72, (uint8_t)(sense >> 16), (uint8_t)(sense >> 8),
					       (uint8_t)sense};

		return hvsi_scsi_reply(cmd, descriptor, sizeof(descriptor), cmd->cdb[4]);
	}
	hvsi_scsi_sense(d, sense);
	return hvsi_scsi_reply(cmd, d, 18, cmd->cdb[4]);
}

/* The disk never stops; what is cached goes to the medium when it is told to. */
static enum hvsi_scsi_state start_stop_unit(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t condition = cmd->cdb[4] >> 4;
	bool start = cmd->cdb[4] & 1;
	bool load_or_eject = cmd->cdb[4] & 2;

	switch (condition) {
	case 0x0: /* START and LOEJ count */
		if (load_or_eject)
			return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
		break;
	case 0x3: /* standby */
	case 0xb:
		start = false;
		break;
	case 0x1: /* active */
	case 0x2: /* idle */
	case 0x7: /* as the disk likes */
	case 0xa:
		start = true;
		break;
	default:
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	}
	if (start || cmd->flags & HVS_BLK_INFO_READ_ONLY)
		return hvsi_scsi_good(cmd->req, 0);
	cmd->req->blk_status = HVS_BLK_OK;
	return hvsi_scsi_flush(cmd->req);
}

/* The default self-test, or nothing at all: both succeed. */
static enum hvsi_scsi_state send_diagnostic(const struct hvsi_scsi_cmd *cmd)
{
	bool self_test_code = cmd->cdb[1] & 0xe0;
	bool page_format = cmd->cdb[1] & 0x10;

	if (self_test_code || page_format || hvsi_get_be16(cmd->cdb + 3))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	return hvsi_scsi_good(cmd->req, 0);
}

enum hvsi_scsi_state hvsi_scsi_read_capacity10(const struct hvsi_scsi_cmd *cmd)
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
	if (cmd->flags & HVS_BLK_INFO_UNMAP)
		d[14] = LBPME | (cmd->flags & HVS_BLK_INFO_UNMAP_ZEROES ? LBPRZ : 0);
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be32(cmd->cdb + 10));
}

static enum hvsi_scsi_state report_opcodes(const struct hvsi_scsi_cmd *cmd)
{
	return hvsi_scsi_report_opcodes(cmd, hvsi_disk_commands);
}

#define RESERVE_IN(action)                                                                         \
	{                                                                                          \
		0x5e, (action), IN | ACTION, hvsi_scsi_reserve_in, {0, 0, 0, 0, 0, 0, ALL2, NACA}, \
			0                                                                          \
	}
#define RESERVE_OUT(action)                                                                        \
	{                                                                                          \
		0x5f, (action), OUT | ACTION, hvsi_scsi_reserve_out, {0, 0xff, 0, 0, ALL4, NACA},  \
			0                                                                          \
	}

const struct hvsi_scsi_command hvsi_disk_commands[] = {
	/* READ, WRITE (10) and (16): first, as nearly all commands are these. */
	{0x28, 0, IN | LOOKS, hvsi_scsi_read, BLOCKS10(READ_FLAGS), 0},
	{0x2a, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write, BLOCKS10(READ_FLAGS), 0},
	{0x88, 0, IN | LOOKS, hvsi_scsi_read, BLOCKS16(READ_FLAGS), 0},
	{0x8a, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write, BLOCKS16(READ_FLAGS), 0},
	/* TEST UNIT READY, REQUEST SENSE */
	{0x00, 0, ASKS, hvsi_scsi_nothing_to_do, {0, 0, 0, 0, NACA}, 0},
	{0x03, 0, IN | ALWAYS, hvsi_scsi_request_sense, {0x01, 0, 0, 0xff, NACA}, 0},
	/* READ, WRITE (6) */
	{0x08, 0, IN | LOOKS, hvsi_scsi_read, {0x1f, ALL2, 0xff, NACA}, 0},
	{0x0a, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write, {0x1f, ALL2, 0xff, NACA}, 0},
	{0x12, 0, IN | ALWAYS, hvsi_scsi_inquiry, {0x03, 0xff, ALL2, NACA}, 0},
	/* MODE SELECT, RESERVE, RELEASE, MODE SENSE (6) */
	{0x15, 0, OUT | CHANGES, hvsi_scsi_mode_select6, {0x11, 0, 0, 0xff, NACA}, 0},
	{0x16, 0, 0, hvsi_scsi_reserve, {0x1f, 0, 0, 0, NACA}, 0},
	{0x17, 0, 0, hvsi_scsi_release, {0x1f, 0, 0, 0, NACA}, 0},
	{0x1a, 0, IN | LOOKS, hvsi_scsi_mode_sense6, {0, ALL2, 0xff, NACA}, 0},
	/* START STOP UNIT, SEND DIAGNOSTIC, PREVENT ALLOW MEDIUM REMOVAL */
	{0x1b, 0, CHANGES, start_stop_unit, {0, 0, 0, 0xf3, NACA}, 0},
	{0x1d, 0, OUT | CHANGES, send_diagnostic, {0xf4, 0, ALL2, NACA}, 0},
	{0x1e, 0, CHANGES, hvsi_scsi_nothing_to_do, {0, 0, 0, 0x03, NACA}, 0},
	{0x25, 0, IN, hvsi_scsi_read_capacity10, {0, ALL4, 0, 0, 0x01, NACA}, 0},
	/* WRITE AND VERIFY, VERIFY, PRE-FETCH, SYNCHRONIZE CACHE (10) */
	{0x2e, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write_and_verify, BLOCKS10(VERIFY_FLAGS), 0},
	{0x2f, 0, OUT | LOOKS, hvsi_scsi_verify, BLOCKS10(VERIFY_FLAGS), 0},
	{0x34, 0, LOOKS, hvsi_scsi_prefetch, BLOCKS10(0), 0},
	{0x35, 0, CHANGES, hvsi_scsi_synchronize_cache, BLOCKS10(0), 0},
	/* WRITE SAME (10), UNMAP */
	{0x41, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write_same, BLOCKS10(WRITE_SAME_FLAGS), 0},
	{0x42,
	 0,
	 OUT | MEDIUM | CHANGES,
	 hvsi_scsi_unmap,
	 {1, 0, 0, 0, 0, 0, ALL2, NACA},
	 HVS_BLK_INFO_UNMAP},
	/* MODE SELECT, RESERVE, RELEASE, MODE SENSE (10) */
	{0x55, 0, OUT | CHANGES, hvsi_scsi_mode_select10, {0x11, 0, 0, 0, 0, 0, ALL2, NACA}, 0},
	{0x56, 0, 0, hvsi_scsi_reserve, {0x1f, 0, 0, 0, 0, 0, ALL2, NACA}, 0},
	{0x57, 0, 0, hvsi_scsi_release, {0x1f, 0, 0, 0, 0, 0, ALL2, NACA}, 0},
	{0x5a, 0, IN | LOOKS, hvsi_scsi_mode_sense10, {0, ALL2, 0, 0, 0, ALL2, NACA}, 0},
	/* PERSISTENT RESERVE IN and OUT */
	RESERVE_IN(HVSI_PR_READ_KEYS),
	RESERVE_IN(HVSI_PR_READ_RESERVATION),
	RESERVE_IN(HVSI_PR_REPORT_CAPABILITIES),
	RESERVE_IN(HVSI_PR_READ_FULL_STATUS),
	RESERVE_OUT(HVSI_PR_REGISTER),
	RESERVE_OUT(HVSI_PR_RESERVE),
	RESERVE_OUT(HVSI_PR_RELEASE),
	RESERVE_OUT(HVSI_PR_CLEAR),
	RESERVE_OUT(HVSI_PR_PREEMPT),
	RESERVE_OUT(HVSI_PR_PREEMPT_AND_ABORT),
	RESERVE_OUT(HVSI_PR_REGISTER_AND_IGNORE),
	RESERVE_OUT(HVSI_PR_REGISTER_AND_MOVE),
	/* COMPARE AND WRITE, ORWRITE, WRITE AND VERIFY, VERIFY, PRE-FETCH, SYNCHRONIZE CACHE,
	 * WRITE SAME (16) */
	{0x89,
	 0,
	 OUT | MEDIUM | CHANGES,
	 hvsi_scsi_compare_and_write,
	 {READ_FLAGS, ALL8, 0, 0, 0, 0xff, 0, NACA},
	 0},
	{0x8b, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_orwrite, BLOCKS16(READ_FLAGS), 0},
	{0x8e, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write_and_verify, BLOCKS16(VERIFY_FLAGS), 0},
	{0x8f, 0, OUT | LOOKS, hvsi_scsi_verify, BLOCKS16(VERIFY_FLAGS), 0},
	{0x90, 0, LOOKS, hvsi_scsi_prefetch, BLOCKS16(0), 0},
	{0x91, 0, CHANGES, hvsi_scsi_synchronize_cache, BLOCKS16(0), 0},
	{0x93, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write_same, BLOCKS16(WRITE_SAME_FLAGS | NDOB),
	 0},
	/* READ CAPACITY (16), GET LBA STATUS */
	{0x9e, 0x10, IN | ACTION, read_capacity16, {0, 0, 0, 0, 0, 0, 0, 0, 0, ALL4, 0, NACA}, 0},
	{0x9e,
	 0x12,
	 IN | ACTION | LOOKS,
	 hvsi_scsi_get_lba_status,
	 {0, ALL8, ALL4, 0, NACA},
	 HVS_BLK_INFO_LBA_STATUS},
	/* REPORT LUNS, REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS */
	{0xa0, 0, IN | ALWAYS, hvsi_scsi_report_luns, {0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, NACA}, 0},
	{0xa3, 0x0c, IN | ACTION | LOOKS, report_opcodes, {0, 0x87, 0xff, ALL2, ALL4, 0, NACA}, 0},
	{0xa3,
	 0x0d,
	 IN | ACTION | LOOKS,
	 hvsi_scsi_report_task_management,
	 {0, 0x80, 0, 0, 0, ALL4, 0, NACA},
	 0},
	/* READ, WRITE, WRITE AND VERIFY, VERIFY (12) */
	{0xa8, 0, IN | LOOKS, hvsi_scsi_read, BLOCKS12(READ_FLAGS), 0},
	{0xaa, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write, BLOCKS12(READ_FLAGS), 0},
	{0xae, 0, OUT | MEDIUM | CHANGES, hvsi_scsi_write_and_verify, BLOCKS12(VERIFY_FLAGS), 0},
	{0xaf, 0, OUT | LOOKS, hvsi_scsi_verify, BLOCKS12(VERIFY_FLAGS), 0},
	{0},
};
