/* SPDX-License-Identifier: MIT */
/* Public API of the storage VSP: the disks on a controller; what a disk has to tell the guest. */
#include "vsp/storage/storvsp.h"

#include "util/list.h"
#include "util/sized.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define KNOWN_FLAGS                                                                                \
	(HVS_BLK_INFO_READ_ONLY | HVS_BLK_INFO_FUA | HVS_BLK_INFO_WRITE_BACK |                     \
	 HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES | HVS_BLK_INFO_WRITE_ZEROES |              \
	 HVS_BLK_INFO_LBA_STATUS)

/* ---- finding ------------------------------------------------------------------------------ */

static bool is_at(const struct hvs_disk *d, uint8_t path, uint8_t target, uint8_t lun)
{
	return d->cfg.lun == lun && d->cfg.target == target && d->cfg.path == path;
}

/* Disks lie where their LUN says, or behind it. */
static struct hvs_disk *nth_place(struct hvs_storvsp *ctl, uint8_t lun, unsigned n)
{
	return &ctl->disk[(lun + n) % HVS_STORVSP_MAX_DISKS];
}

struct hvs_disk *hvsi_disk_find(struct hvs_storvsp *ctl, uint8_t path, uint8_t target, uint8_t lun)
{
	for (unsigned n = 0; n < HVS_STORVSP_MAX_DISKS; n++) {
		struct hvs_disk *d = nth_place(ctl, lun, n);

		/* Together with a drain's: either it asks this channel, or this sees it leave. */
		if (atomic_load(&d->state) == HVSI_DISK_PRESENT && is_at(d, path, target, lun))
			return d;
	}
	return NULL;
}

struct hvs_disk *hvsi_disk_of_srb(struct hvs_storvsp *ctl, const struct hvsi_vmscsi *srb)
{
	/* What drivers of an IDE disk say about the path is of no use. */
	return hvsi_disk_find(ctl, ctl->ide ? ctl->ide_path : srb->path, srb->target, srb->lun);
}

/* ---- what it has to tell ------------------------------------------------------------------- */

static uint32_t sense_of(enum hvsi_attention attention)
{
	switch (attention) {
	case HVSI_UA_BUS_RESET:
		return HVSI_SENSE_BUS_RESET;
	case HVSI_UA_LUN_RESET:
		return HVSI_SENSE_LUN_RESET;
	case HVSI_UA_MEDIUM_CHANGED:
		return HVSI_SENSE_MEDIUM_CHANGED;
	case HVSI_UA_MODE_CHANGED:
		return HVSI_SENSE_MODE_CHANGED;
	case HVSI_UA_CAPACITY_CHANGED:
		return HVSI_SENSE_CAPACITY_CHANGED;
	case HVSI_UA_LUNS_CHANGED:
		return HVSI_SENSE_LUNS_CHANGED;
	case HVSI_UA_RESERVATIONS_PREEMPTED:
		return HVSI_SENSE_RESERVATIONS_PREEMPTED;
	case HVSI_UA_RESERVATIONS_RELEASED:
		return HVSI_SENSE_RESERVATIONS_RELEASED;
	case HVSI_UA_REGISTRATIONS_PREEMPTED:
		return HVSI_SENSE_REGISTRATIONS_PREEMPTED;
	}
	return HVSI_SENSE_NONE;
}

void hvsi_disk_attend(struct hvs_disk *disk, enum hvsi_attention attention)
{
	atomic_fetch_or(&disk->attentions, attention);
}

uint32_t hvsi_disk_take_attention(struct hvs_disk *disk)
{
	unsigned pending = atomic_load_explicit(&disk->attentions, memory_order_relaxed);
	unsigned first;

	do {
		if (!pending)
			return 0;
		first = pending & -pending;
	} while (!atomic_compare_exchange_weak(&disk->attentions, &pending, pending & ~first));
	return sense_of(first);
}

void hvsi_storvsp_kick_all(struct hvs_storvsp *ctl)
{
	hvsi_gate_enter(&ctl->looking);
	for (unsigned i = 0; i < ctl->channel_count; i++) {
		struct hvsi_stor_chan *c = atomic_load(&ctl->channel[i]);

		if (c)
			hvs_channel_kick(c->ch);
	}
	hvsi_gate_leave(&ctl->looking);
}

static void tell_of_disks(struct hvs_storvsp *ctl)
{
	struct hvsi_stor_chan *primary;

	atomic_store(&ctl->tell_of_disks, true);
	hvsi_gate_enter(&ctl->looking);
	primary = atomic_load(&ctl->channel[0]);
	if (primary)
		hvs_channel_kick(primary->ch);
	hvsi_gate_leave(&ctl->looking);
}

/* ---- public API ---------------------------------------------------------------------------- */

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

static bool config_ok(const struct hvs_storvsp *ctl, const struct hvs_disk_config *cfg)
{
	static const uint8_t zero[sizeof(cfg->reserved)];
	bool optical = cfg->type == HVS_DISK_OPTICAL;

	if (cfg->path > HVS_STORVSP_MAX_PATH || cfg->target > HVS_STORVSP_MAX_TARGET ||
	    cfg->lun > HVS_STORVSP_MAX_LUN || cfg->type > HVS_DISK_OPTICAL || !serial_ok(cfg) ||
	    memcmp(cfg->reserved, zero, sizeof(zero)) != 0)
		return false;
	if (optical && (ctl->ide || cfg->reservations))
		return false;
	return !ctl->ide ||
	       (cfg->path == ctl->ide_path && cfg->target == ctl->ide_target && cfg->lun == 0);
}

static bool block_size_ok(uint8_t type, uint32_t block_size)
{
	return block_size == 512 ||
	       block_size == (type == HVS_DISK_OPTICAL ? HVSI_OPTICAL_BLOCK : 4096);
}

static bool info_ok(const struct hvs_storvsp *ctl, uint8_t type, const struct hvs_blk_info *info)
{
	uint32_t queues = 1 + ctl->subchannel_workers;
	uint32_t ratio;

	if (!block_size_ok(type, info->block_size) || info->flags & ~KNOWN_FLAGS ||
	    !info->num_blocks || info->num_blocks > INT64_MAX / info->block_size ||
	    info->unmap_granularity % info->block_size ||
	    (info->max_queues ? info->max_queues : 1) < queues)
		return false;
	ratio = info->physical_block_size / info->block_size;
	return info->physical_block_size % info->block_size == 0 && ratio &&
	       !(ratio & (ratio - 1)) && ratio <= 1u << 15;
}

static struct hvs_blk_info medium(uint64_t bytes)
{
	return (struct hvs_blk_info){.flags = HVS_BLK_INFO_READ_ONLY,
				     .block_size = HVSI_OPTICAL_BLOCK,
				     .physical_block_size = HVSI_OPTICAL_BLOCK,
				     .num_blocks = bytes / HVSI_OPTICAL_BLOCK};
}

int hvsi_disk_ask(const struct hvs_storvsp *ctl, uint8_t type, const struct hvs_blk_ops *ops,
		  void *priv, struct hvs_blk_info *info)
{
	int err;

	if (ops->reserved || !ops->get_info || !ops->submit)
		return -EINVAL;
	*info = (struct hvs_blk_info){HVS_BLK_INFO_INIT};
	err = ops->get_info(priv, info);
	if (err)
		return err;
	if (!info_ok(ctl, type, info))
		return -EINVAL;
	if (type == HVS_DISK_OPTICAL)
		*info = medium(info->num_blocks * info->block_size);
	return info->num_blocks && (type == HVS_DISK_FIXED || info->num_blocks <= UINT32_MAX)
		       ? 0
		       : -EINVAL;
}

/* A free place for a disk, *err if there is none. */
static struct hvs_disk *place_for(struct hvs_storvsp *ctl, const struct hvs_disk_config *cfg,
				  int *err)
{
	struct hvs_disk *place = NULL;

	for (unsigned n = 0; n < HVS_STORVSP_MAX_DISKS; n++) {
		struct hvs_disk *d = nth_place(ctl, cfg->lun, n);

		if (atomic_load(&d->state) == HVSI_DISK_NONE) {
			if (!place)
				place = d;
		} else if (is_at(d, cfg->path, cfg->target, cfg->lun)) {
			*err = -EEXIST;
			return NULL;
		}
	}
	*err = -ENOSPC;
	return place;
}

int hvs_storvsp_attach(struct hvs_storvsp *ctl, const struct hvs_disk_config *cfg_in,
		       const struct hvs_blk_ops *ops_in, void *priv, struct hvs_disk **out)
{
	struct hvs_disk_config cfg;
	struct hvs_blk_info info;
	struct hvs_blk_ops ops;
	struct hvs_disk *d;
	int err;

	if (!ctl)
		return -EINVAL;
	err = HVSI_TAKE(&cfg, cfg_in, reservation_store);
	if (err)
		return err;
	if (!config_ok(ctl, &cfg))
		return -EINVAL;
	if (ops_in || cfg.type == HVS_DISK_FIXED) {
		err = HVSI_TAKE(&ops, ops_in, cancel);
		if (!err)
			err = hvsi_disk_ask(ctl, cfg.type, &ops, priv, &info);
		if (err)
			return err;
	} else {
		ops = (struct hvs_blk_ops){0};
		info = medium(0);
	}
	d = place_for(ctl, &cfg, &err);
	if (!d)
		return err;
	d->ctl = ctl;
	d->cfg = cfg;
	atomic_store(&d->attentions, 0);
	d->ops = ops;
	d->priv = priv;
	d->drive = (struct hvsi_drive){0};
	err = hvsi_disk_stats_attach(d);
	if (!err)
		err = hvsi_reservations_attach(d);
	if (err)
		return err;
	d->info = info;
	atomic_store(&d->num_blocks, info.num_blocks);
	atomic_store(&d->flags, info.flags);
	atomic_store(&d->state, HVSI_DISK_PRESENT);
	tell_of_disks(ctl);
	if (out)
		*out = d;
	return 0;
}

static void has_left(struct hvsi_drain *drain)
{
	struct hvs_disk *d = hvsi_container_of(drain, struct hvs_disk, leaving);
	hvs_done_fn done = d->done;
	void *arg = d->done_arg;

	hvsi_reservations_detach(d);
	atomic_store(&d->state, HVSI_DISK_NONE);
	if (done)
		done(arg, 0);
}

int hvs_disk_remove(struct hvs_disk *disk, hvs_done_fn done, void *arg)
{
	struct hvs_storvsp *ctl;
	bool ejecting;

	if (!disk)
		return -EINVAL;
	ctl = disk->ctl;
	hvsi_spin_lock(&ctl->lock);
	if (atomic_load(&disk->state) != HVSI_DISK_PRESENT) {
		hvsi_spin_unlock(&ctl->lock);
		return -EBUSY;
	}
	disk->done = done;
	disk->done_arg = arg;
	disk->leaving = (struct hvsi_drain){
		.disks = 1ull << (disk - ctl->disk), .abort = true, .done = has_left};
	ejecting = disk->drive.busy; /* then it leaves when that is over */
	atomic_store(&disk->state, HVSI_DISK_LEAVING);
	hvsi_spin_unlock(&ctl->lock);
	tell_of_disks(ctl);
	if (!ejecting)
		hvsi_drain_start(ctl, &disk->leaving);
	return 0;
}

int hvs_disk_refresh(struct hvs_disk *disk)
{
	struct hvs_blk_info info;
	unsigned old_flags;
	int err;

	if (!disk || disk->cfg.type == HVS_DISK_OPTICAL)
		return -EINVAL;
	if (atomic_load(&disk->state) != HVSI_DISK_PRESENT)
		return -EBUSY;
	err = hvsi_disk_ask(disk->ctl, HVS_DISK_FIXED, &disk->ops, disk->priv, &info);
	if (err)
		return err;
	old_flags = atomic_load(&disk->flags);
	if (info.block_size != disk->info.block_size ||
	    info.physical_block_size != disk->info.physical_block_size ||
	    (info.flags ^ old_flags) & ~HVS_BLK_INFO_READ_ONLY)
		return -EINVAL;
	if (atomic_exchange(&disk->num_blocks, info.num_blocks) != info.num_blocks)
		hvsi_disk_attend(disk, HVSI_UA_CAPACITY_CHANGED);
	atomic_store(&disk->flags, info.flags);
	if (info.flags != old_flags)
		hvsi_disk_attend(disk, HVSI_UA_MODE_CHANGED);
	tell_of_disks(disk->ctl); /* an idle guest asks each disk then, and finds out */
	return 0;
}
