/* SPDX-License-Identifier: MIT */
/* INQUIRY: who the disk is (SPC-3 6.4, 7.6; SBC-3 6.5). */
#include "vsp/storage/storvsp.h"

#include <string.h>

#define STANDARD_LEN 104u
#define NO_DEVICE 0x7f /* peripheral qualifier 3, type 1Fh: nothing at this address */

#define PAGE_SUPPORTED 0x00
#define PAGE_SERIAL 0x80
#define PAGE_IDENTIFICATION 0x83
#define PAGE_BLOCK_LIMITS 0xb0
#define PAGE_CHARACTERISTICS 0xb1

#define PAGE_MAX 64u /* bytes of the largest page, header included */

static void standard(uint8_t d[STANDARD_LEN], uint8_t peripheral, bool named)
{
	memset(d, 0, STANDARD_LEN);
	d[0] = peripheral;
	d[2] = 0x05; /* SPC-3 */
	d[3] = 0x02; /* response data format */
	d[4] = STANDARD_LEN - 5;
	d[7] = 0x02; /* CmdQue: drivers use tags only with it */
	if (named)
		memcpy(d + 8, "Msft    Virtual Disk    1.0 ", 28);
}

/* Each page: body behind the 4-byte header; returns its length. */

static uint16_t page_supported(const struct hvs_disk *disk, uint8_t *b)
{
	uint16_t n = 0;

	b[n++] = PAGE_SUPPORTED;
	if (disk->cfg.serial[0])
		b[n++] = PAGE_SERIAL;
	b[n++] = PAGE_IDENTIFICATION;
	b[n++] = PAGE_BLOCK_LIMITS;
	b[n++] = PAGE_CHARACTERISTICS;
	return n;
}

static uint16_t page_serial(const struct hvs_disk *disk, uint8_t *b)
{
	uint16_t len = (uint16_t)strlen(disk->cfg.serial);

	memcpy(b, disk->cfg.serial, len);
	return len;
}

/* Two designators: T10 vendor id with the whole disk id, NAA 6 with Microsoft's OUI. */
static uint16_t page_identification(const struct hvs_disk *disk, uint8_t *b)
{
	const uint8_t *id = disk->cfg.disk_id.b;

	b[0] = 0x01; /* binary */
	b[1] = 0x01; /* T10 vendor id, of the logical unit */
	b[3] = 24;
	memcpy(b + 4, "Msft    ", 8);
	memcpy(b + 12, id, 16);
	b[28] = 0x01;
	b[29] = 0x03; /* NAA */
	b[31] = 16;
	memcpy(b + 32, "\x60\x02\x24\x80", 4);
	memcpy(b + 36, id, 6);
	memcpy(b + 42, id + 10, 6);
	return 48;
}

static uint16_t page_block_limits(const struct hvs_storvsp *ctl, const struct hvs_disk *disk,
				  uint8_t *b)
{
	uint32_t granularity = disk->info.physical_block_size / disk->info.block_size;

	memset(b, 0, 0x3c);
	hvsi_put_be16(b + 2, (uint16_t)(granularity > UINT16_MAX ? UINT16_MAX : granularity));
	hvsi_put_be32(b + 4, ctl->max_transfer_bytes / disk->info.block_size);
	return 0x3c;
}

static uint16_t page_characteristics(uint8_t *b)
{
	memset(b, 0, 0x3c);
	hvsi_put_be16(b, 1); /* does not rotate */
	return 0x3c;
}

static enum hvsi_scsi_state vital_product_data(const struct hvsi_scsi_cmd *cmd, uint32_t alloc_len)
{
	uint8_t d[PAGE_MAX] = {0};
	uint16_t len;

	d[1] = cmd->cdb[2];
	switch (d[1]) {
	case PAGE_SUPPORTED:
		len = page_supported(cmd->disk, d + 4);
		break;
	case PAGE_SERIAL:
		if (!cmd->disk->cfg.serial[0])
			return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
		len = page_serial(cmd->disk, d + 4);
		break;
	case PAGE_IDENTIFICATION:
		len = page_identification(cmd->disk, d + 4);
		break;
	case PAGE_BLOCK_LIMITS:
		len = page_block_limits(cmd->ctl, cmd->disk, d + 4);
		break;
	case PAGE_CHARACTERISTICS:
		len = page_characteristics(d + 4);
		break;
	default:
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	}
	hvsi_put_be16(d + 2, len);
	return hvsi_scsi_reply(cmd, d, 4u + len, alloc_len);
}

enum hvsi_scsi_state hvsi_scsi_inquiry(const struct hvsi_scsi_cmd *cmd)
{
	bool evpd = cmd->cdb[1] & 1;
	uint16_t alloc_len = hvsi_get_be16(cmd->cdb + 3);
	uint8_t d[STANDARD_LEN];

	if (evpd)
		return vital_product_data(cmd, alloc_len);
	if (cmd->cdb[1] & 2 || cmd->cdb[2])
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	standard(d, 0, true);
	return hvsi_scsi_reply(cmd, d, sizeof(d), alloc_len);
}

/* Must succeed: some drivers take a failure for a disk of type 0. */
enum hvsi_scsi_state hvsi_scsi_inquiry_absent(const struct hvsi_scsi_cmd *cmd, uint8_t lun)
{
	uint8_t d[STANDARD_LEN];

	if (cmd->cdb[1] & 3 || cmd->cdb[2])
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	standard(d, NO_DEVICE, lun == 0);
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be16(cmd->cdb + 3));
}
