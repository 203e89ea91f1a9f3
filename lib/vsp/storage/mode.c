/* SPDX-License-Identifier: MIT */
/* MODE SENSE: cache, control and exception pages (SPC-3 6.9, 7.4; SBC-3 6.4). */
#include "vsp/storage/storvsp.h"

#include <string.h>

#define PAGE_CACHING 0x08
#define PAGE_CONTROL 0x0a
#define PAGE_EXCEPTIONS 0x1c
#define PAGE_ALL 0x3f

#define DEVICE_WRITE_PROTECTED 0x80
#define DEVICE_DPOFUA 0x10

enum page_control { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

#define PAGE_LEN 12u /* each page we have, with its 2-byte header */

static void put_page(uint8_t *to, uint8_t code, uint32_t flags, enum page_control pc)
{
	memset(to, 0, PAGE_LEN);
	to[0] = code;
	to[1] = PAGE_LEN - 2;
	if (pc == PC_CHANGEABLE)
		return; /* nothing is */
	switch (code) {
	case PAGE_CACHING:
		to[2] = flags & HVS_BLK_INFO_WRITE_BACK ? 0x04 : 0; /* WCE */
		break;
	case PAGE_CONTROL:
		to[3] = 0x10;                                      /* commands may be reordered */
		to[4] = flags & HVS_BLK_INFO_READ_ONLY ? 0x08 : 0; /* SWP */
		hvsi_put_be16(to + 8, 0xffff);                     /* busy time-out: unlimited */
		break;
	default:
		to[2] = 0x08; /* no exception reports */
		break;
	}
}

/* Pages asked for, behind whatever header. Returns the bytes; 0: no such page. */
static uint32_t put_pages(uint8_t *to, uint8_t wanted, uint32_t flags, enum page_control pc)
{
	static const uint8_t codes[] = {PAGE_CACHING, PAGE_CONTROL, PAGE_EXCEPTIONS};
	uint32_t len = 0;

	for (size_t i = 0; i < sizeof(codes); i++) {
		if (wanted != PAGE_ALL && wanted != codes[i])
			continue;
		put_page(to + len, codes[i], flags, pc);
		len += PAGE_LEN;
	}
	return len;
}

static enum hvsi_scsi_state mode_sense(const struct hvsi_scsi_cmd *cmd, uint32_t header_len,
				       uint32_t alloc_len)
{
	uint8_t d[8 + 3 * PAGE_LEN] = {0};
	enum page_control pc = cmd->cdb[2] >> 6;
	uint8_t device = DEVICE_DPOFUA;
	uint32_t len;

	if (pc == PC_SAVED)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_SAVING_NOT_SUPPORTED);
	len = put_pages(d + header_len, cmd->cdb[2] & 0x3f, cmd->flags, pc);
	if (!len || cmd->cdb[3]) /* no subpages */
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	len += header_len;
	if (cmd->flags & HVS_BLK_INFO_READ_ONLY)
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
