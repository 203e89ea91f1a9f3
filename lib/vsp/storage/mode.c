/* SPDX-License-Identifier: MIT */
/*
 * MODE SENSE, MODE SELECT (SPC-3 6.7, 6.9, 7.4): cache, control and exception pages of disks
 * (SBC-3 6.4), and those of optical drives.
 */
#include "vsp/storage/disk_commands.h"
#include "vsp/storage/mmc.h"

#include <string.h>

#define PAGE_CACHING 0x08
#define PAGE_CONTROL 0x0a
#define PAGE_EXCEPTIONS 0x1c
#define PAGE_ALL 0x3f

#define DEVICE_WRITE_PROTECTED 0x80
#define DEVICE_DPOFUA 0x10

enum page_control { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

#define PAGES 4u

static const uint8_t disk_pages[PAGES] = {PAGE_CACHING, PAGE_CONTROL, PAGE_EXCEPTIONS};
static const uint8_t optical_pages[PAGES] = {HVSI_PAGE_RECOVERY, HVSI_PAGE_POWER, HVSI_PAGE_TIMEOUT,
					     HVSI_PAGE_CAPABILITIES};

static bool is_optical(const struct hvsi_scsi_cmd *cmd)
{
	return cmd->disk->cfg.type == HVS_DISK_OPTICAL;
}

/* Bytes of a page with its 2-byte header; 0: there is none. */
static uint32_t page_len(const struct hvsi_scsi_cmd *cmd, uint8_t code)
{
	if (is_optical(cmd))
		return hvsi_mmc_page_len(code);
	switch (code) {
	case PAGE_CACHING:
		return 20;
	case PAGE_CONTROL:
	case PAGE_EXCEPTIONS:
		return 12;
	default:
		return 0;
	}
}

#define PAGE_MAX 20u
#define PAGES_LEN (20u + 12u + 12u + 12u)

/* Returns the bytes. */
static uint32_t put_page(const struct hvsi_scsi_cmd *cmd, uint8_t *to, uint8_t code,
			 enum page_control pc)
{
	uint32_t len = page_len(cmd, code);

	memset(to, 0, len);
	to[0] = code;
	to[1] = (uint8_t)(len - 2);
	if (pc == PC_CHANGEABLE)
		return len; /* nothing is */
	if (is_optical(cmd)) {
		hvsi_mmc_put_page(cmd->disk, code, to);
		return len;
	}
	switch (code) {
	case PAGE_CACHING:
		to[2] = cmd->flags & HVS_BLK_INFO_WRITE_BACK ? 0x04 : 0; /* WCE */
		break;
	case PAGE_CONTROL:
		to[3] = 0x10; /* commands may be reordered */
		to[4] = cmd->flags & HVS_BLK_INFO_READ_ONLY ? 0x08 : 0; /* SWP */
		hvsi_put_be16(to + 8, 0xffff); /* busy time-out: unlimited */
		break;
	default:
		to[2] = 0x08; /* no exception reports */
		break;
	}
	return len;
}

/* Pages asked for, behind whatever header. Returns the bytes; 0: no such page. */
static uint32_t put_pages(const struct hvsi_scsi_cmd *cmd, uint8_t *to, uint8_t wanted,
			  enum page_control pc)
{
	const uint8_t *codes = is_optical(cmd) ? optical_pages : disk_pages;
	uint32_t len = 0;

	for (size_t i = 0; i < PAGES && codes[i]; i++) {
		if (wanted != PAGE_ALL && wanted != codes[i])
			continue;
		len += put_page(cmd, to + len, codes[i], pc);
	}
	return len;
}

static enum hvsi_scsi_state mode_sense(const struct hvsi_scsi_cmd *cmd, uint32_t header_len,
				       uint32_t alloc_len)
{
	uint8_t d[8 + PAGES_LEN] = {0};
	enum page_control pc = cmd->cdb[2] >> 6;
	uint8_t device = is_optical(cmd) ? 0 : DEVICE_DPOFUA;
	uint32_t len;

	if (pc == PC_SAVED)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_SAVING_NOT_SUPPORTED);
	len = put_pages(cmd, d + header_len, cmd->cdb[2] & 0x3f, pc);
	if (!len || cmd->cdb[3]) /* no subpages */
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	len += header_len;
	if (cmd->flags & HVS_BLK_INFO_READ_ONLY && !is_optical(cmd))
		device |= DEVICE_WRITE_PROTECTED;
	if (header_len == 4) {
		d[0] = (uint8_t)(len - 1);
		d[2] = device;
	} else {
		hvsi_put_be16(d, (uint16_t)(len - 2));
		d[3] = device;
	}
	return hvsi_scsi_reply(cmd, d, len, alloc_len);
}

enum hvsi_scsi_state hvsi_scsi_mode_sense6(const struct hvsi_scsi_cmd *cmd)
{
	return mode_sense(cmd, 4, cmd->cdb[4]);
}

enum hvsi_scsi_state hvsi_scsi_mode_sense10(const struct hvsi_scsi_cmd *cmd)
{
	return mode_sense(cmd, 8, hvsi_get_be16(cmd->cdb + 7));
}

/* ---- MODE SELECT -------------------------------------------------------------------------------- */

#define SELECT_PAGE_FORMAT 0x10
#define SELECT_SAVE_PAGES 0x01

/* Longer lists hold the same pages again and again. */
#define SELECT_MAX 255u

/* No value can be changed: what is sent has to be what is there, but for pages of optical drives
 * that drivers set and do without. The cache page may be as short as it once was. Returns the
 * page's bytes; 0: *sense says what is wrong. */
static uint32_t select_page(const struct hvsi_scsi_cmd *cmd, const uint8_t *page, uint32_t left,
			    uint32_t *sense)
{
	uint8_t current[PAGE_MAX];
	uint8_t code = page[0];
	uint32_t len;

	*sense = HVSI_SENSE_PARAMETER_LIST_LENGTH;
	if (left < 2)
		return 0;
	len = 2u + page[1];
	*sense = HVSI_SENSE_INVALID_PARAMETER;
	if (!page_len(cmd, code) ||
	    (len != page_len(cmd, code) && (code != PAGE_CACHING || len != 12)))
		return 0;
	*sense = HVSI_SENSE_PARAMETER_LIST_LENGTH;
	if (len > left)
		return 0;
	*sense = HVSI_SENSE_INVALID_PARAMETER;
	if (is_optical(cmd) && code != HVSI_PAGE_CAPABILITIES)
		return len;
	(void)put_page(cmd, current, code, PC_CURRENT);
	return memcmp(page + 2, current + 2, len - 2) == 0 ? len : 0;
}

static uint32_t select_pages(const struct hvsi_scsi_cmd *cmd, const uint8_t *d, uint32_t len,
			     uint32_t header_len)
{
	uint32_t descriptor_len = header_len == 4 ? d[3] : hvsi_get_be16(d + 6);
	uint32_t at = header_len + descriptor_len;
	uint32_t sense;

	if (at > len)
		return HVSI_SENSE_PARAMETER_LIST_LENGTH;
	if (descriptor_len) /* MODE SENSE returns none, so none can be set */
		return HVSI_SENSE_INVALID_PARAMETER;
	while (at < len) {
		uint32_t page = select_page(cmd, d + at, len - at, &sense);

		if (!page)
			return sense;
		at += page;
	}
	return 0;
}

static enum hvsi_scsi_state mode_select(const struct hvsi_scsi_cmd *cmd, uint32_t header_len,
					uint32_t list_len)
{
	uint8_t d[SELECT_MAX];
	uint32_t sense;

	if (cmd->cdb[1] & SELECT_SAVE_PAGES || (list_len && !(cmd->cdb[1] & SELECT_PAGE_FORMAT)))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	if (!list_len)
		return hvsi_scsi_good(cmd->req, 0);
	if (list_len < header_len || list_len > sizeof(d) || list_len > cmd->buffer_len)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_PARAMETER_LIST_LENGTH);
	if (hvs_extents_read(cmd->buffer, 0, d, list_len) < 0)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	sense = select_pages(cmd, d, list_len, header_len);
	if (sense)
		return hvsi_scsi_invalid(cmd->req, sense);
	return hvsi_scsi_good(cmd->req, list_len);
}

enum hvsi_scsi_state hvsi_scsi_mode_select6(const struct hvsi_scsi_cmd *cmd)
{
	return mode_select(cmd, 4, cmd->cdb[4]);
}

enum hvsi_scsi_state hvsi_scsi_mode_select10(const struct hvsi_scsi_cmd *cmd)
{
	return mode_select(cmd, 8, hvsi_get_be16(cmd->cdb + 7));
}
