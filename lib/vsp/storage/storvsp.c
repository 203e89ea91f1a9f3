/* SPDX-License-Identifier: MIT */
/* Public API of the storage VSP: controllers and the disks on them. */
#include "vsp/storage/storvsp.h"

#include "util/alloc.h"
#include "util/guid.h"
#include "util/sized.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define DEFAULT_MAX_TRANSFER (1024u * 1024)
#define LARGEST_TRANSFER (8u * 1024 * 1024)
#define LARGEST_SUBCHANNELS 1023u
#define PAGE 4096u

/* ba6163d9-04a1-4d29-b605-72e2ffb1dc7f */
static const struct hvs_guid class_id =
	HVSI_GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f);

/* Descriptor, range header, one page number more than the bytes need for a buffer that is not
 * aligned, VSTOR packet. */
static uint32_t largest_packet(uint32_t max_transfer_bytes)
{
	return 16 + 8 + 8 + 8 * (max_transfer_bytes / PAGE + 1) +
	       (uint32_t)sizeof(struct hvsi_vstor_packet);
}

int hvs_storvsp_create(struct hvs_vmbus *bus, const struct hvs_storvsp_config *cfg_in,
		       struct hvs_storvsp **out)
{
	struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = class_id};
	struct hvs_storvsp_config cfg;
	struct hvs_storvsp *ctl;
	struct hvs_device *dev;
	int err;

	if (!bus || !out)
		return -EINVAL;
	err = hvsi_copy_sized(&cfg, sizeof(cfg), cfg_in, sizeof(cfg));
	if (err)
		return err;
	if (!cfg.max_transfer_bytes)
		cfg.max_transfer_bytes = DEFAULT_MAX_TRANSFER;
	if (cfg.max_transfer_bytes % PAGE || cfg.max_transfer_bytes > LARGEST_TRANSFER ||
	    cfg.max_subchannels > LARGEST_SUBCHANNELS)
		return -EINVAL;

	ctl = hvsi_alloc(hvs_vmbus_allocator(bus), sizeof(*ctl));
	if (!ctl)
		return -ENOMEM;
	ctl->bus = bus;
	ctl->max_transfer_bytes = cfg.max_transfer_bytes;
	ctl->max_subchannels = (uint16_t)cfg.max_subchannels;
	offer.instance_id = cfg.instance_id;
	offer.worker = cfg.worker;
	offer.max_subchannels = ctl->max_subchannels;
	offer.max_packet_bytes = largest_packet(cfg.max_transfer_bytes);
	err = hvs_device_offer(bus, &offer, &hvsi_storvsp_chan_ops, ctl, &dev);
	if (err) {
		hvsi_free(hvs_vmbus_allocator(bus), ctl, sizeof(*ctl));
		return err;
	}
	*out = ctl;
	return 0;
}

static bool serial_ok(const struct hvs_disk_config *cfg)
{
	size_t len = 0;

	while (len < sizeof(cfg->serial) && cfg->serial[len]) {
		if (cfg->serial[len] < 0x20 || cfg->serial[len] > 0x7e)
			return false;
		len++;
	}
	return len < sizeof(cfg->serial);
}

static bool info_ok(const struct hvs_blk_info *info)
{
	const uint32_t known = 0x7fu;
	uint32_t ratio;

	if ((info->block_size != 512 && info->block_size != 4096) || info->flags & ~known ||
	    !info->num_blocks || info->num_blocks > INT64_MAX / info->block_size)
		return false;
	ratio = info->physical_block_size / info->block_size;
	return info->physical_block_size % info->block_size == 0 && ratio &&
	       !(ratio & (ratio - 1)) && ratio <= 1u << 15;
}

int hvs_storvsp_attach(struct hvs_storvsp *ctl, const struct hvs_disk_config *cfg_in,
		       const struct hvs_blk_ops *ops_in, void *priv, struct hvs_disk **out)
{
	static const uint8_t zero[sizeof(((struct hvs_disk_config *)0)->reserved)];
	struct hvsi_disk d = {.present = true, .priv = priv};
	int err;

	(void)out;
	if (!ctl)
		return -EINVAL;
	err = hvsi_copy_sized(&d.cfg, sizeof(d.cfg), cfg_in, sizeof(d.cfg));
	if (!err)
		err = hvsi_copy_sized(&d.ops, sizeof(d.ops), ops_in, sizeof(d.ops));
	if (err)
		return err;
	if (d.cfg.lun >= HVS_STORVSP_MAX_DISKS || d.cfg.path || d.cfg.target || !serial_ok(&d.cfg) ||
	    memcmp(d.cfg.reserved, zero, sizeof(zero)) != 0 || d.ops.reserved || !d.ops.get_info ||
	    !d.ops.submit)
		return -EINVAL;
	if (hvs_vmbus_started(ctl->bus))
		return -EBUSY;
	if (ctl->disk[d.cfg.lun].present)
		return -EEXIST;
	d.info.size = (uint32_t)sizeof(d.info);
	err = d.ops.get_info(priv, &d.info);
	if (err)
		return err;
	if (!info_ok(&d.info))
		return -EINVAL;
	ctl->disk[d.cfg.lun] = d;
	return 0;
}
