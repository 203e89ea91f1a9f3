/* SPDX-License-Identifier: MIT */
/* Public API of the storage VSP: controllers. */
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
static const struct hvs_guid scsi_class =
	HVSI_GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f);
/* 32412632-86cb-44a2-9b5c-50d1417354f5 */
static const struct hvs_guid ide_class =
	HVSI_GUID(0x32412632, 0x86cb, 0x44a2, 0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5);

/* Descriptor, range header, one page number more than the bytes need for a buffer that is not
 * aligned, VSTOR packet. */
static uint32_t largest_packet(uint32_t max_transfer_bytes)
{
	return 16 + 8 + 8 + 8 * (max_transfer_bytes / PAGE + 1) +
	       (uint32_t)sizeof(struct hvsi_vstor_packet);
}

static bool config_ok(const struct hvs_storvsp_config *cfg)
{
	static const uint8_t zero[sizeof(cfg->reserved)];

	if (cfg->max_transfer_bytes % PAGE || cfg->max_transfer_bytes > LARGEST_TRANSFER ||
	    cfg->max_subchannels > LARGEST_SUBCHANNELS || cfg->kind > HVS_STORVSP_IDE ||
	    cfg->max_version < HVSI_VSTOR_VERSION_WIN6 ||
	    !cfg->subchannel_workers != !cfg->subchannel_worker_count ||
	    memcmp(cfg->reserved, zero, sizeof(zero)) != 0)
		return false;
	if (cfg->kind == HVS_STORVSP_IDE)
		return cfg->ide_channel <= 1 && cfg->ide_device <= 1 && !cfg->max_subchannels;
	return !cfg->ide_channel && !cfg->ide_device;
}

/* Guests know such a disk by the instance id; old ones by the user-defined data. */
static void offer_as_ide(struct hvs_offer *offer, const struct hvs_storvsp_config *cfg)
{
	offer->class_id = ide_class;
	offer->instance_id =
		(struct hvs_guid){{cfg->ide_channel, 0, 0, 0, cfg->ide_device, 0, 0x99, 0x88}};
	offer->user_data[2] = cfg->ide_channel;
	offer->user_data[3] = cfg->ide_device;
	offer->user_data[8] = 0x02; /* there is an emulated disk, too */
}

static size_t size_of(unsigned channel_count)
{
	return sizeof(struct hvs_storvsp) + channel_count * sizeof(struct hvsi_stor_chan *);
}

static struct hvs_storvsp *make(struct hvs_vmbus *bus, const struct hvs_storvsp_config *cfg)
{
	unsigned channel_count = 1 + cfg->max_subchannels;
	struct hvs_storvsp *ctl = hvsi_alloc(hvs_vmbus_allocator(bus), size_of(channel_count));

	if (!ctl)
		return NULL;
	ctl->bus = bus;
	ctl->initiator = cfg->initiator_id;
	ctl->max_transfer_bytes = cfg->max_transfer_bytes;
	ctl->max_subchannels = (uint16_t)cfg->max_subchannels;
	ctl->max_version = cfg->max_version;
	ctl->subchannel_workers = cfg->subchannel_worker_count;
	ctl->ide = cfg->kind == HVS_STORVSP_IDE;
	ctl->ide_path = cfg->ide_channel;
	ctl->ide_target = cfg->ide_device;
	ctl->channel_count = channel_count;
	hvsi_spin_init(&ctl->lock);
	return ctl;
}

int hvs_storvsp_create(struct hvs_vmbus *bus, const struct hvs_storvsp_config *cfg_in,
		       struct hvs_storvsp **out)
{
	struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = scsi_class};
	struct hvs_storvsp_config cfg;
	struct hvs_storvsp *ctl;
	int err;

	if (!bus || !out)
		return -EINVAL;
	err = HVSI_TAKE(&cfg, cfg_in, initiator_id);
	if (err)
		return err;
	if (!cfg.max_transfer_bytes)
		cfg.max_transfer_bytes = DEFAULT_MAX_TRANSFER;
	if (!cfg.max_version)
		cfg.max_version = HVSI_VSTOR_VERSION_WIN10;
	if (!config_ok(&cfg))
		return -EINVAL;
	ctl = make(bus, &cfg);
	if (!ctl)
		return -ENOMEM;
	offer.instance_id = cfg.instance_id;
	if (ctl->ide)
		offer_as_ide(&offer, &cfg);
	if (hvsi_guid_equal(&ctl->initiator, &(struct hvs_guid){{0}}))
		ctl->initiator = offer.instance_id;
	offer.worker = cfg.worker;
	offer.max_subchannels = ctl->max_subchannels;
	offer.subchannel_workers = cfg.subchannel_workers;
	offer.subchannel_worker_count = cfg.subchannel_worker_count;
	offer.max_packet_bytes = largest_packet(cfg.max_transfer_bytes);
	err = hvs_device_offer(bus, &offer, &hvsi_storvsp_chan_ops, ctl, &ctl->dev);
	if (err) {
		hvsi_storvsp_destroy(ctl);
		return err;
	}
	*out = ctl;
	return 0;
}

void hvsi_storvsp_destroy(void *dev)
{
	struct hvs_storvsp *ctl = dev;

	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++) {
		hvsi_reservations_detach(&ctl->disk[i]);
		hvsi_disk_stats_free(&ctl->disk[i]);
	}
	hvsi_free(hvs_vmbus_allocator(ctl->bus), ctl, size_of(ctl->channel_count));
}

int hvs_storvsp_remove(struct hvs_storvsp *ctl, hvs_done_fn done, void *arg)
{
	if (!ctl)
		return -EINVAL;
	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++)
		if (atomic_load(&ctl->disk[i].state) == HVSI_DISK_LEAVING)
			return -EBUSY;
	return hvs_device_rescind(ctl->dev, done, arg);
}
