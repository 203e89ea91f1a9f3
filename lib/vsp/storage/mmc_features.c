/* SPDX-License-Identifier: MIT */
/* What an optical drive can do: features, mode pages, speed (MMC-6 5, 6.6, 6.8, 6.39, 7). */
#include "vsp/storage/mmc.h"

#include <string.h>

/* ---- GET CONFIGURATION ----------------------------------------------------------------------- */

#define PROFILE_DVD_ROM 0x0010

struct feature {
	uint16_t code;
	uint8_t version;
	bool persistent;
	bool with_medium; /* current when there is one */
	uint8_t len;
	uint8_t body[8];
};

#define FEATURE_PROFILES 0x0000
#define PROFILE_CURRENT 0x01

/*
 * Every medium is a DVD-ROM, however small: so it is with the drive of Hyper-V, which guests know,
 * and nothing has to be made up of what CDs have besides data.
 */
static const struct feature features[] = {
	/* DVD-ROM, CD-ROM */
	{FEATURE_PROFILES, 0, true, false, 8, {0x00, 0x10, 0, 0, 0x00, 0x08, 0, 0}},
	/* core: SCSI */
	{0x0001, 2, true, false, 8, {0, 0, 0, 1}},
	/* morphing: operational changes are told by GET EVENT STATUS NOTIFICATION */
	{0x0002, 1, true, false, 4, {0x02}},
	/* removable medium: tray, ejects, loads, can be locked */
	{0x0003, 1, true, false, 4, {0x39}},
	/* random readable: 2048 bytes, 16 blocks a packet, error recovery page */
	{0x0010, 0, false, true, 8, {0, 0, 0x08, 0, 0, 16, 1}},
	/* CD read, DVD read */
	{0x001e, 2, false, false, 4, {0}},
	{0x001f, 1, false, true, 4, {0}},
	/* power management */
	{0x0100, 0, true, false, 0, {0}},
	/* time-out: group 3, 512 blocks */
	{0x0105, 1, true, false, 4, {1, 0, 0x02, 0x00}},
	/* real-time streaming: READ BUFFER CAPACITY in blocks */
	{0x0107, 5, false, true, 4, {0x10}},
};

#define FEATURE_COUNT (sizeof(features) / sizeof(features[0]))
#define FEATURE_MAX 12u

enum { RT_ALL, RT_CURRENT, RT_ONE };

static uint32_t put_feature(uint8_t *to, const struct feature *f, bool current, bool medium)
{
	hvsi_put_be16(to, f->code);
	to[2] = (uint8_t)(f->version << 2 | (f->persistent ? 2 : 0) | (current ? 1 : 0));
	to[3] = f->len;
	memcpy(to + 4, f->body, f->len);
	if (f->code == FEATURE_PROFILES && medium)
		to[6] = PROFILE_CURRENT;
	return 4u + f->len;
}

enum hvsi_scsi_state hvsi_mmc_get_configuration(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[8 + FEATURE_COUNT * FEATURE_MAX] = {0};
	uint8_t type = cmd->cdb[1] & 3;
	uint16_t first = hvsi_get_be16(cmd->cdb + 2);
	bool medium = cmd->num_blocks;
	uint32_t len = 8;

	if (type > RT_ONE)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	for (size_t i = 0; i < FEATURE_COUNT; i++) {
		const struct feature *f = &features[i];
		bool current = f->persistent || (f->with_medium && medium);

		if (f->code < first || (type == RT_CURRENT && !current) ||
		    (type == RT_ONE && f->code != first))
			continue;
		len += put_feature(d + len, f, current, medium);
	}
	hvsi_put_be32(d, len - 4);
	hvsi_put_be16(d + 6, medium ? PROFILE_DVD_ROM : 0);
	return hvsi_scsi_reply(cmd, d, len, hvsi_get_be16(cmd->cdb + 7));
}

/* ---- mode pages ------------------------------------------------------------------------------ */

#define SPEED_KB 32400u /* per second: 24 times that of a DVD player */

uint32_t hvsi_mmc_page_len(uint8_t code)
{
	switch (code) {
	case HVSI_PAGE_RECOVERY:
	case HVSI_PAGE_POWER:
	case HVSI_PAGE_TIMEOUT:
		return 12;
	case HVSI_PAGE_CAPABILITIES:
		return 20;
	default:
		return 0;
	}
}

/* Behind the page's header. */
void hvsi_mmc_put_page(struct hvs_disk *disk, uint8_t code, uint8_t *page)
{
	switch (code) {
	case HVSI_PAGE_TIMEOUT: /* seconds, of three groups of commands */
		hvsi_put_be16(page + 6, 5);
		hvsi_put_be16(page + 8, 20);
		hvsi_put_be16(page + 10, 10);
		break;
	case HVSI_PAGE_CAPABILITIES:
		page[2] = 0x0b; /* reads DVD-ROM, CD-RW, CD-R */
		/* tray, ejects, can be locked; is it? */
		page[6] = (uint8_t)(0x29 | (hvsi_drive_locked(disk) ? 0x02 : 0));
		hvsi_put_be16(page + 8, SPEED_KB);
		hvsi_put_be16(page + 14, SPEED_KB);
		break;
	default:
		break;
	}
}

/* ---- speed ----------------------------------------------------------------------------------- */

enum hvsi_scsi_state hvsi_mmc_get_performance(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t except = cmd->cdb[1] & 3;
	bool write = cmd->cdb[1] & 4;
	uint8_t tolerance = cmd->cdb[1] >> 3 & 3;
	uint32_t first = hvsi_get_be32(cmd->cdb + 2);
	uint16_t max_descriptors = hvsi_get_be16(cmd->cdb + 8);
	uint8_t d[8 + 16] = {0};
	uint32_t len = except ? 8 : sizeof(d); /* no exceptions */

	if (cmd->cdb[10] || write || tolerance != 2 || except == 3)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	if (first >= cmd->num_blocks)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_LBA_OUT_OF_RANGE);
	hvsi_put_be32(d, len - 4);
	d[4] = except ? 1 : 0;
	hvsi_put_be32(d + 8, first);
	hvsi_put_be32(d + 12, SPEED_KB);
	hvsi_put_be32(d + 16, (uint32_t)(cmd->num_blocks - 1));
	hvsi_put_be32(d + 20, SPEED_KB);
	return hvsi_scsi_reply(cmd, d, len, max_descriptors ? len : 8);
}

/* It reads as fast as it can, whatever the guest would like. */
enum hvsi_scsi_state hvsi_mmc_set_streaming(const struct hvsi_scsi_cmd *cmd)
{
	uint32_t list_len = hvsi_get_be16(cmd->cdb + 9);
	uint8_t d[28];
	bool defaults;
	uint32_t first;
	uint32_t last;

	if (cmd->cdb[8]) /* type: only performance descriptors */
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	if (list_len < sizeof(d) || cmd->buffer_len < sizeof(d))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_PARAMETER_LIST_LENGTH);
	if (hvs_extents_read(cmd->buffer, 0, d, sizeof(d)) < 0)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	defaults = d[0] & 4;
	first = hvsi_get_be32(d + 4);
	last = hvsi_get_be32(d + 8);
	if (!defaults && (first > last || last >= cmd->num_blocks))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_PARAMETER);
	return hvsi_scsi_good(cmd->req, sizeof(d));
}

/* There is no buffer. */
enum hvsi_scsi_state hvsi_mmc_read_buffer_capacity(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[12] = {0, sizeof(d) - 2};

	d[3] = cmd->cdb[1] & 1; /* in blocks */
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be16(cmd->cdb + 7));
}
