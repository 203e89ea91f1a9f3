/* SPDX-License-Identifier: MIT */
/* INQUIRY: who the disk is (SPC-3 6.4, 7.6; SBC-3 6.5). */
#include "vsp/storage/disk_commands.h"

#include <string.h>

#define STANDARD_LEN 104u
#define OPTICAL_LEN 36u
#define NO_DEVICE 0x7f /* peripheral qualifier 3, type 1Fh: nothing at this address */

#define PAGE_SUPPORTED 0x00
#define PAGE_SERIAL 0x80
#define PAGE_IDENTIFICATION 0x83
#define PAGE_BLOCK_LIMITS 0xb0
#define PAGE_CHARACTERISTICS 0xb1
#define PAGE_PROVISIONING 0xb2
#define PAGE_MS_PAGING_EXTENT 0xce
#define PAGE_MS_VIRTUAL_DEVICE 0xcf

/* Version descriptors: the standards the disk goes by. */
#define SAM_3 0x0060
#define SPC_3 0x0300
#define SBC_3 0x04c0

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
	if (disk->cfg.type == HVS_DISK_OPTICAL)
		return n;
	b[n++] = PAGE_BLOCK_LIMITS;
	b[n++] = PAGE_CHARACTERISTICS;
	if (disk->info.flags & HVS_BLK_INFO_UNMAP)
		b[n++] = PAGE_PROVISIONING;
	b[n++] = PAGE_MS_PAGING_EXTENT;
	b[n++] = PAGE_MS_VIRTUAL_DEVICE;
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
	uint32_t block_size = disk->info.block_size;
	uint32_t granularity = disk->info.physical_block_size / block_size;
	uint32_t unmap_granularity = disk->info.unmap_granularity / block_size;

	memset(b, 0, 0x3c);
	b[0] = 0x01; /* WSNZ: WRITE SAME of 0 blocks is none */
	b[1] = (uint8_t)hvsi_scsi_max_compare_and_write(ctl, disk);
	hvsi_put_be16(b + 2, (uint16_t)(granularity > UINT16_MAX ? UINT16_MAX : granularity));
	hvsi_put_be32(b + 4, ctl->max_transfer_bytes / block_size);
	if (disk->info.flags & HVS_BLK_INFO_UNMAP) {
		hvsi_put_be32(b + 16, HVSI_UNMAP_MAX_BLOCKS);
		hvsi_put_be32(b + 20, HVSI_UNMAP_MAX_DESCRIPTORS);
		hvsi_put_be32(b + 24, unmap_granularity ? unmap_granularity : 1);
		hvsi_put_be32(b + 28, 0x80000000); /* UGAVALID, aligned to block 0 */
	}
	hvsi_put_be64(b + 32, hvsi_scsi_max_write_same(disk));
	return 0x3c;
}

static uint16_t page_characteristics(uint8_t *b)
{
	memset(b, 0, 0x3c);
	hvsi_put_be16(b, 1); /* does not rotate */
	b[4] = 0x01;         /* VBULS: VERIFY compares unmapped blocks too */
	return 0x3c;
}

static uint16_t page_provisioning(const struct hvs_disk *disk, uint8_t *b)
{
	b[1] = 0xe0; /* LBPU, LBPWS, LBPWS10 */
	if (disk->info.flags & HVS_BLK_INFO_UNMAP_ZEROES)
		b[1] |= 0x04; /* LBPRZ */
	b[2] = 0x02;          /* thin */
	return 4;
}

/* As Hyper-V's own disks have it; nothing in it concerns us. */
static uint16_t page_ms_paging_extent(uint8_t *b)
{
	b[0] = 1; /* version */
	b[1] = 1; /* mode select extension */
	return 4;
}

static uint16_t page_ms_virtual_device(const struct hvs_disk *disk, uint8_t *b)
{
	static const uint8_t signature[16] = {0x15, 0x8f, 0xa9, 0x89, 0x28, 0xc9, 0x8b, 0x4d,
					      0x94, 0xcd, 0xef, 0x51, 0xfa, 0xa9, 0x9d, 0x33};

	b[0] = 1; /* version */
	b[1] = disk->info.flags & HVS_BLK_INFO_UNMAP_ZEROES ? 0x01 : 0;
	memcpy(b + 4, signature, sizeof(signature));
	return 20;
}

/* Returns 0: the disk has no such page. */
static uint16_t page_body(const struct hvsi_scsi_cmd *cmd, uint8_t page, uint8_t *b)
{
	const struct hvs_disk *disk = cmd->disk;

	if (disk->cfg.type == HVS_DISK_OPTICAL && page > PAGE_IDENTIFICATION)
		return 0;
	switch (page) {
	case PAGE_SUPPORTED:
		return page_supported(disk, b);
	case PAGE_SERIAL:
		return page_serial(disk, b);
	case PAGE_IDENTIFICATION:
		return page_identification(disk, b);
	case PAGE_BLOCK_LIMITS:
		return page_block_limits(cmd->ctl, disk, b);
	case PAGE_CHARACTERISTICS:
		return page_characteristics(b);
	case PAGE_PROVISIONING:
		return disk->info.flags & HVS_BLK_INFO_UNMAP ? page_provisioning(disk, b) : 0;
	case PAGE_MS_PAGING_EXTENT:
		return page_ms_paging_extent(b);
	case PAGE_MS_VIRTUAL_DEVICE:
		return page_ms_virtual_device(disk, b);
	default:
		return 0;
	}
}

static enum hvsi_scsi_state vital_product_data(const struct hvsi_scsi_cmd *cmd, uint32_t alloc_len)
{
	uint8_t d[PAGE_MAX] = {0};
	uint16_t len;

	if (cmd->disk->cfg.type == HVS_DISK_OPTICAL)
		d[0] = HVSI_TYPE_OPTICAL;
	d[1] = cmd->cdb[2];
	len = page_body(cmd, d[1], d + 4);
	if (!len)
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	hvsi_put_be16(d + 2, len);
	return hvsi_scsi_reply(cmd, d, 4u + len, alloc_len);
}

static enum hvsi_scsi_state optical(const struct hvsi_scsi_cmd *cmd, uint32_t alloc_len)
{
	uint8_t d[OPTICAL_LEN] = {HVSI_TYPE_OPTICAL, 0x80 /* removable medium */, 0x05 /* SPC-3 */,
				  0x02 /* response data format */, OPTICAL_LEN - 5};

	memcpy(d + 8, "Msft    Virtual DVD-ROM 1.0 ", 28);
	return hvsi_scsi_reply(cmd, d, sizeof(d), alloc_len);
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
	if (cmd->disk->cfg.type == HVS_DISK_OPTICAL)
		return optical(cmd, alloc_len);
	standard(d, 0, true);
	hvsi_put_be16(d + 58, SAM_3);
	hvsi_put_be16(d + 60, SPC_3);
	hvsi_put_be16(d + 62, SBC_3);
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
