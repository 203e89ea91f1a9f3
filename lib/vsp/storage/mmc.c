/* SPDX-License-Identifier: MIT */
/*
 * The commands of an optical drive, and those about the medium (MMC-6 6). Whatever is in the drive
 * is one session with one data track. The drive knows no command that writes: those are invalid
 * operation codes, as its profile has it.
 */
#include "vsp/storage/mmc.h"
#include "vsp/storage/commands.h"

#include <string.h>

#define DATA_TRACK 0x14 /* ADR 1, control 4 */
#define LEAD_OUT 0xaa
#define FRAMES_PER_SECOND 75u
#define FRAMES_PER_MINUTE 4500u

/* ---- READ TOC/PMA/ATIP ----------------------------------------------------------------------- */

/* Minute, second, frame; longer media are as long as a CD could be at most. */
static void put_msf(uint8_t to[3], uint64_t lba)
{
	uint64_t frames = lba + 150;

	if (frames / FRAMES_PER_MINUTE > 255) {
		to[0] = 255;
		to[1] = 59;
		to[2] = 74;
		return;
	}
	to[0] = (uint8_t)(frames / FRAMES_PER_MINUTE);
	to[1] = (uint8_t)(frames / FRAMES_PER_SECOND % 60);
	to[2] = (uint8_t)(frames % FRAMES_PER_SECOND);
}

static uint32_t put_track(uint8_t *to, uint8_t track, uint64_t lba, bool msf)
{
	memset(to, 0, 8);
	to[1] = DATA_TRACK;
	to[2] = track;
	if (msf)
		put_msf(to + 5, lba);
	else
		hvsi_put_be32(to + 4, (uint32_t)lba);
	return 8;
}

static uint32_t put_raw(uint8_t *to, uint8_t point, uint64_t lba)
{
	memset(to, 0, 11);
	to[0] = 1; /* session */
	to[1] = DATA_TRACK;
	to[3] = point;
	if (point == 0xa0 || point == 0xa1)
		to[8] = 1; /* the first track, the last one */
	else
		put_msf(to + 8, lba);
	return 11;
}

static enum hvsi_scsi_state read_toc(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[4 + 4 * 11] = {0, 0, 1, 1};
	bool msf = cmd->cdb[1] & 2;
	uint8_t format = cmd->cdb[2] & 0x0f;
	uint8_t first = cmd->cdb[6];
	uint32_t len = 4;

	switch (format) {
	case 0: /* tracks from one on */
		if (first > 1 && first != LEAD_OUT)
			return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
		if (first != LEAD_OUT)
			len += put_track(d + len, 1, 0, msf);
		len += put_track(d + len, LEAD_OUT, cmd->num_blocks, msf);
		break;
	case 1: /* sessions */
		len += put_track(d + len, 1, 0, msf);
		break;
	case 2: /* everything, from a session on */
		if (first > 1)
			return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
		len += put_raw(d + len, 0xa0, 0);
		len += put_raw(d + len, 0xa1, 0);
		len += put_raw(d + len, 0xa2, cmd->num_blocks);
		len += put_raw(d + len, 1, 0);
		break;
	default:
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	}
	hvsi_put_be16(d, (uint16_t)(len - 2));
	return hvsi_scsi_reply(cmd, d, len, hvsi_get_be16(cmd->cdb + 7));
}

/* ---- READ DISC INFORMATION, READ TRACK INFORMATION -------------------------------------------- */

static enum hvsi_scsi_state read_disc_information(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[34] = {0, sizeof(d) - 2};

	if (cmd->cdb[1] & 7)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	d[2] = 0x0e; /* disc and last session are complete */
	d[3] = 1;    /* first track */
	d[4] = 1;    /* sessions */
	d[5] = 1;    /* first and last track of the last session */
	d[6] = 1;
	d[7] = 0x20; /* may be used for anything */
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be16(cmd->cdb + 7));
}

static enum hvsi_scsi_state read_track_information(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[48] = {0, sizeof(d) - 2};
	uint8_t address_type = cmd->cdb[1] & 3;
	bool open = cmd->cdb[1] & 4;
	uint32_t address = hvsi_get_be32(cmd->cdb + 2);

	if (address_type == 0 && address >= cmd->num_blocks)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	/* 1: a track, 2: a session */
	if (open || address_type == 3 || (address_type && address != 1))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	d[2] = 1;    /* track */
	d[3] = 1;    /* session */
	d[5] = 0x04; /* data */
	d[6] = 0x21; /* in packets, mode 1 */
	hvsi_put_be32(d + 24, (uint32_t)cmd->num_blocks);
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be16(cmd->cdb + 7));
}

/* ---- READ DISC STRUCTURE ---------------------------------------------------------------------- */

#define STRUCTURE_LEN (4u + 2048)
#define FIRST_SECTOR 0x30000u /* of the data area of a DVD */
#define LAST_SECTOR 0xffffffu

static void put_physical_format(uint8_t *b, uint64_t num_blocks)
{
	uint64_t last = FIRST_SECTOR + num_blocks - 1;

	b[0] = 0x01; /* DVD-ROM, version 1 */
	b[1] = 0x02; /* 120 mm, 10.08 Mbit/s */
	b[2] = 0x01; /* one layer, embossed */
	hvsi_put_be32(b + 4, FIRST_SECTOR);
	hvsi_put_be32(b + 8, last < LAST_SECTOR ? (uint32_t)last : LAST_SECTOR);
}

static enum hvsi_scsi_state read_disc_structure(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t media_type = cmd->cdb[1] & 0x0f;
	uint8_t layer = cmd->cdb[6];
	uint8_t format = cmd->cdb[7];
	uint32_t len = STRUCTURE_LEN;
	uint8_t *d;

	if (media_type || layer)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	d = hvsi_request_alloc(cmd->req, STRUCTURE_LEN);
	if (!d)
		return hvsi_scsi_check(cmd->req, HVSI_SENSE_TARGET_FAILURE);
	switch (format) {
	case 0x00:
		put_physical_format(d + 4, cmd->num_blocks);
		break;
	case 0x01: /* copyright: none */
		len = 8;
		break;
	case 0x04: /* what the manufacturer has to say: nothing */
		break;
	default:
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	}
	hvsi_put_be16(d, (uint16_t)(len - 2));
	return hvsi_scsi_reply(cmd, d, len, hvsi_get_be16(cmd->cdb + 8));
}

/* ---- small ones ------------------------------------------------------------------------------- */

static enum hvsi_scsi_state seek(const struct hvsi_scsi_cmd *cmd)
{
	if (hvsi_get_be32(cmd->cdb + 2) >= cmd->num_blocks)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	return hvsi_scsi_good(cmd->req, 0);
}

static enum hvsi_scsi_state report_opcodes(const struct hvsi_scsi_cmd *cmd)
{
	return hvsi_scsi_report_opcodes(cmd, hvsi_optical_commands);
}

const struct hvsi_scsi_command hvsi_optical_commands[] = {
	/* TEST UNIT READY, REQUEST SENSE, READ (6), INQUIRY */
	{0x00, 0, LOADED, hvsi_scsi_nothing_to_do, {0, 0, 0, 0, NACA}, 0},
	{0x03, 0, IN | ALWAYS, hvsi_scsi_request_sense, {0x01, 0, 0, 0xff, NACA}, 0},
	{0x08, 0, IN | LOADED, hvsi_scsi_read, {0x1f, ALL2, 0xff, NACA}, 0},
	{0x12, 0, IN | ALWAYS, hvsi_scsi_inquiry, {0x03, 0xff, ALL2, NACA}, 0},
	/* MODE SELECT, MODE SENSE (6) */
	{0x15, 0, OUT, hvsi_scsi_mode_select6, {0x11, 0, 0, 0xff, NACA}, 0},
	{0x1a, 0, IN, hvsi_scsi_mode_sense6, {0, ALL2, 0xff, NACA}, 0},
	/* START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL, READ CAPACITY */
	{0x1b, 0, 0, hvsi_mmc_start_stop, {0, 0, 0, 0xf3, NACA}, 0},
	{0x1e, 0, 0, hvsi_mmc_prevent_allow, {0, 0, 0, 0x03, NACA}, 0},
	{0x25, 0, IN | LOADED, hvsi_scsi_read_capacity10, {0, ALL4, 0, 0, 0x01, NACA}, 0},
	/* READ, SEEK, VERIFY, SYNCHRONIZE CACHE (10) */
	{0x28, 0, IN | LOADED, hvsi_scsi_read, BLOCKS10(READ_FLAGS), 0},
	{0x2b, 0, LOADED, seek, {0, ALL4, 0, 0, 0, NACA}, 0},
	{0x2f, 0, OUT | LOADED, hvsi_scsi_verify, BLOCKS10(VERIFY_FLAGS), 0},
	{0x35, 0, LOADED, hvsi_scsi_synchronize_cache, BLOCKS10(0), 0},
	/* READ TOC, GET CONFIGURATION, GET EVENT STATUS NOTIFICATION */
	{0x43, 0, IN | LOADED, read_toc, {0x02, 0x0f, 0, 0, 0, 0xff, ALL2, NACA}, 0},
	{0x46, 0, IN | ALWAYS, hvsi_mmc_get_configuration, {0x03, ALL2, 0, 0, 0, ALL2, NACA}, 0},
	{0x4a, 0, IN | ALWAYS, hvsi_mmc_get_event_status, {0x01, 0, 0, 0xff, 0, 0, ALL2, NACA}, 0},
	/* READ DISC INFORMATION, READ TRACK INFORMATION */
	{0x51, 0, IN | LOADED, read_disc_information, {0x07, 0, 0, 0, 0, 0, ALL2, NACA}, 0},
	{0x52, 0, IN | LOADED, read_track_information, {0x07, ALL4, 0, ALL2, NACA}, 0},
	/* MODE SELECT, MODE SENSE (10), READ BUFFER CAPACITY */
	{0x55, 0, OUT, hvsi_scsi_mode_select10, {0x11, 0, 0, 0, 0, 0, ALL2, NACA}, 0},
	{0x5a, 0, IN, hvsi_scsi_mode_sense10, {0, ALL2, 0, 0, 0, ALL2, NACA}, 0},
	{0x5c, 0, IN, hvsi_mmc_read_buffer_capacity, {0x01, 0, 0, 0, 0, 0, ALL2, NACA}, 0},
	/* READ (16), REPORT LUNS, REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS */
	{0x88, 0, IN | LOADED, hvsi_scsi_read, BLOCKS16(READ_FLAGS), 0},
	{0xa0, 0, IN | ALWAYS, hvsi_scsi_report_luns, {0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, NACA}, 0},
	{0xa3, 0x0c, IN | ACTION, report_opcodes, {0, 0x87, 0xff, ALL2, ALL4, 0, NACA}, 0},
	{0xa3,
	 0x0d,
	 IN | ACTION,
	 hvsi_scsi_report_task_management,
	 {0, 0x80, 0, 0, 0, ALL4, 0, NACA},
	 0},
	/* READ (12), GET PERFORMANCE, READ DISC STRUCTURE, SET STREAMING, MECHANISM STATUS */
	{0xa8, 0, IN | LOADED, hvsi_scsi_read, BLOCKS12(READ_FLAGS), 0},
	{0xac, 0, IN | LOADED, hvsi_mmc_get_performance, {0x1f, ALL4, 0, 0, ALL2, 0xff, NACA}, 0},
	{0xad, 0, IN | LOADED, read_disc_structure, {0x0f, 0, 0, 0, 0, ALL4, 0, NACA}, 0},
	{0xb6, 0, OUT | LOADED, hvsi_mmc_set_streaming, {0, 0, 0, 0, 0, 0, 0, 0xff, ALL2, NACA}, 0},
	{0xbd, 0, IN, hvsi_mmc_mechanism_status, {0, 0, 0, 0, 0, 0, 0, ALL2, 0, NACA}, 0},
	{0},
};
