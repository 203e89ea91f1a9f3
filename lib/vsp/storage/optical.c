/* SPDX-License-Identifier: MIT */
/*
 * The drive of removable media: what puts a medium in and takes it out, from both sides, and what
 * the guest is told of it (MMC-6 6.5, 6.10, 6.15, 6.41). There is a medium exactly if the number of
 * blocks is not 0. When a medium is taken out, commands that have its back end are aborted, and
 * when the last of them has ended, nobody uses it any more.
 */
#include "vsp/storage/mmc.h"

#include "util/list.h"
#include "util/sized.h"

#include <errno.h>
#include <string.h>

#define EVENTS (HVSI_DRIVE_EJECT_REQUESTED | HVSI_DRIVE_REMOVED | HVSI_DRIVE_NEW_MEDIUM)
#define LOCKS (HVSI_DRIVE_PREVENT | HVSI_DRIVE_PREVENT_PERSISTENT)
#define ALL_FLAGS (HVSI_DRIVE_OPEN | LOCKS | EVENTS)

/* ---- media come and go ----------------------------------------------------------------------- */

static bool has_medium(const struct hvs_disk *disk)
{
	return atomic_load(&disk->num_blocks) != 0;
}

static void medium_is_out(struct hvsi_drain *drain)
{
	struct hvs_disk *disk = hvsi_container_of(drain, struct hvs_disk, drive.drain);
	struct hvsi_drive *drive = &disk->drive;
	struct hvs_storvsp *ctl = disk->ctl;
	hvs_done_fn done = drive->done;
	void *arg = drive->done_arg;
	bool by_guest = drive->by_guest;
	bool leave;

	/* The callback may put the next medium in, which may be ejected before it returns. */
	hvsi_spin_lock(&ctl->lock);
	drive->ejecting = false;
	hvsi_spin_unlock(&ctl->lock);
	if (by_guest && disk->cfg.ejected)
		disk->cfg.ejected(disk->cfg.arg, disk);
	else if (done)
		done(arg, 0);
	hvsi_spin_lock(&ctl->lock);
	drive->busy--;
	leave = !drive->busy && atomic_load(&disk->state) == HVSI_DISK_LEAVING;
	hvsi_spin_unlock(&ctl->lock);
	if (leave)
		hvsi_drain_start(ctl, &disk->leaving);
}

/* Under lock; hvsi_drain_start() of drive->drain follows. */
static void take_out(struct hvs_disk *disk)
{
	struct hvsi_drive *drive = &disk->drive;

	atomic_store(&disk->num_blocks, 0);
	drive->flags &= (uint8_t)~EVENTS;
	drive->flags |= HVSI_DRIVE_OPEN | HVSI_DRIVE_REMOVED;
	drive->ejecting = true;
	drive->busy++;
	drive->drain = (struct hvsi_drain){.disks = 1ull << (disk - disk->ctl->disk),
					   .kind = HVSI_DRAIN_LEAVE,
					   .abort = true,
					   .done = medium_is_out};
}

int hvs_disk_insert(struct hvs_disk *disk, const struct hvs_blk_ops *ops_in, void *priv)
{
	struct hvs_blk_info info;
	struct hvs_storvsp *ctl;
	struct hvs_blk_ops ops;
	bool ejecting;
	int err;

	if (!disk || disk->cfg.type != HVS_DISK_OPTICAL ||
	    atomic_load(&disk->state) != HVSI_DISK_PRESENT)
		return -EINVAL;
	ctl = disk->ctl;
	err = HVSI_TAKE(&ops, ops_in, cancel);
	if (err)
		return err;
	if (has_medium(disk))
		return -EEXIST;
	hvsi_spin_lock(&ctl->lock);
	ejecting = disk->drive.ejecting;
	hvsi_spin_unlock(&ctl->lock);
	if (ejecting)
		return -EBUSY;
	err = hvsi_disk_ask(ctl, HVS_DISK_OPTICAL, &ops, priv, &info);
	if (err)
		return err;
	disk->ops = ops;
	disk->priv = priv;
	hvsi_spin_lock(&ctl->lock);
	disk->drive.flags &= (uint8_t)~HVSI_DRIVE_OPEN;
	disk->drive.flags |= HVSI_DRIVE_NEW_MEDIUM;
	hvsi_disk_attend(disk, HVSI_UA_MEDIUM_CHANGED);
	atomic_store(&disk->num_blocks, info.num_blocks);
	hvsi_spin_unlock(&ctl->lock);
	return 0;
}

int hvs_disk_eject(struct hvs_disk *disk, bool force, hvs_done_fn done, void *arg)
{
	struct hvs_storvsp *ctl;
	int err = 0;

	if (!disk || disk->cfg.type != HVS_DISK_OPTICAL ||
	    atomic_load(&disk->state) != HVSI_DISK_PRESENT)
		return -EINVAL;
	ctl = disk->ctl;
	hvsi_spin_lock(&ctl->lock);
	if (disk->drive.ejecting) {
		err = -EALREADY;
	} else if (!has_medium(disk)) {
		err = -ENOENT;
	} else if (disk->drive.flags & LOCKS && !force) {
		disk->drive.flags |= HVSI_DRIVE_EJECT_REQUESTED;
		err = -EBUSY;
	} else {
		take_out(disk);
		disk->drive.by_guest = false;
		disk->drive.done = done;
		disk->drive.done_arg = arg;
	}
	hvsi_spin_unlock(&ctl->lock);
	if (!err)
		hvsi_drain_start(ctl, &disk->drive.drain);
	return err;
}

/* ---- what the guest does not see -------------------------------------------------------------- */

void hvsi_drive_reset(struct hvs_disk *disk)
{
	hvsi_spin_lock(&disk->ctl->lock);
	disk->drive.flags &= (uint8_t)~LOCKS;
	hvsi_spin_unlock(&disk->ctl->lock);
}

void hvsi_drive_forget(struct hvs_disk *disk)
{
	hvsi_spin_lock(&disk->ctl->lock);
	disk->drive.flags &= HVSI_DRIVE_OPEN;
	hvsi_spin_unlock(&disk->ctl->lock);
}

void hvsi_drive_restore(struct hvs_disk *disk, uint8_t flags, uint64_t num_blocks)
{
	uint64_t now = atomic_load(&disk->num_blocks);

	flags &= ALL_FLAGS;
	if (now != num_blocks) {
		flags &= (uint8_t)~EVENTS;
		flags |= (num_blocks ? HVSI_DRIVE_REMOVED : 0) | (now ? HVSI_DRIVE_NEW_MEDIUM : 0);
		if (now)
			hvsi_disk_attend(disk, HVSI_UA_MEDIUM_CHANGED);
	}
	if (now)
		flags &= (uint8_t)~HVSI_DRIVE_OPEN;
	hvsi_spin_lock(&disk->ctl->lock);
	disk->drive.flags = flags;
	hvsi_spin_unlock(&disk->ctl->lock);
}

uint8_t hvsi_drive_flags(struct hvs_disk *disk)
{
	uint8_t flags;

	hvsi_spin_lock(&disk->ctl->lock);
	flags = disk->drive.flags;
	hvsi_spin_unlock(&disk->ctl->lock);
	return flags;
}

bool hvsi_drive_locked(struct hvs_disk *disk)
{
	return hvsi_drive_flags(disk) & LOCKS;
}

uint32_t hvsi_drive_not_ready(struct hvs_disk *disk)
{
	return hvsi_drive_flags(disk) & HVSI_DRIVE_OPEN ? HVSI_SENSE_NO_MEDIUM_TRAY_OPEN
							: HVSI_SENSE_NO_MEDIUM;
}

/* ---- START STOP UNIT -------------------------------------------------------------------------- */

/* 0, or the sense data it fails with. */
static uint32_t guest_ejects(struct hvs_disk *disk)
{
	struct hvsi_drive *drive = &disk->drive;
	struct hvs_storvsp *ctl = disk->ctl;
	bool begun = false;
	uint32_t sense = 0;

	hvsi_spin_lock(&ctl->lock);
	if (drive->flags & LOCKS) {
		sense = has_medium(disk) ? HVSI_SENSE_REMOVAL_PREVENTED
					 : HVSI_SENSE_REMOVAL_PREVENTED_EMPTY;
	} else if (has_medium(disk) && atomic_load(&disk->state) == HVSI_DISK_PRESENT) {
		take_out(disk);
		drive->by_guest = true;
		begun = true;
	} else {
		drive->flags |= HVSI_DRIVE_OPEN;
	}
	hvsi_spin_unlock(&ctl->lock);
	if (begun)
		hvsi_drain_start(ctl, &drive->drain);
	return sense;
}

static void guest_loads(struct hvs_disk *disk)
{
	hvsi_spin_lock(&disk->ctl->lock);
	disk->drive.flags &= (uint8_t)~HVSI_DRIVE_OPEN;
	hvsi_spin_unlock(&disk->ctl->lock);
}

/* The disc needs no time to spin up, and reads in every power condition. */
enum hvsi_scsi_state hvsi_mmc_start_stop(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t condition = cmd->cdb[4] >> 4;
	bool load_or_eject = cmd->cdb[4] & 2;
	bool start = cmd->cdb[4] & 1;
	uint32_t sense = 0;

	switch (condition) {
	case 0x0: /* START and LOEJ count */
		break;
	case 0x2: /* idle */
	case 0x3: /* standby */
	case 0x5: /* sleep */
		return hvsi_scsi_good(cmd->req, 0);
	default:
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	}
	if (load_or_eject && start)
		guest_loads(cmd->disk);
	else if (load_or_eject)
		sense = guest_ejects(cmd->disk);
	return sense ? hvsi_scsi_check(cmd->req, sense) : hvsi_scsi_good(cmd->req, 0);
}

/* ---- PREVENT ALLOW MEDIUM REMOVAL ------------------------------------------------------------ */

enum hvsi_scsi_state hvsi_mmc_prevent_allow(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t flag = cmd->cdb[4] & 2 ? HVSI_DRIVE_PREVENT_PERSISTENT : HVSI_DRIVE_PREVENT;
	bool prevent = cmd->cdb[4] & 1;

	hvsi_spin_lock(&cmd->ctl->lock);
	cmd->disk->drive.flags &= (uint8_t)~flag;
	cmd->disk->drive.flags |= prevent ? flag : 0;
	hvsi_spin_unlock(&cmd->ctl->lock);
	return hvsi_scsi_good(cmd->req, 0);
}

/* ---- GET EVENT STATUS NOTIFICATION ----------------------------------------------------------- */

#define POLLED 0x01
#define NO_EVENT_AVAILABLE 0x80
#define ALL_CLASSES 0x7e
#define EVENT_LEN 8u

enum { CLASS_OPERATIONAL = 1, CLASS_POWER, CLASS_EXTERNAL, CLASS_MEDIA, CLASS_HOSTS, CLASS_BUSY };
enum { MEDIA_NONE, MEDIA_EJECT_REQUEST, MEDIA_NEW, MEDIA_REMOVAL };

/* A change of media is a removal, and at the next question a new medium. Under lock. */
static uint8_t take_media_event(struct hvsi_drive *drive)
{
	uint8_t event;
	uint8_t flag;

	if (drive->flags & HVSI_DRIVE_REMOVED) {
		flag = HVSI_DRIVE_REMOVED;
		event = MEDIA_REMOVAL;
	} else if (drive->flags & HVSI_DRIVE_NEW_MEDIUM) {
		flag = HVSI_DRIVE_NEW_MEDIUM;
		event = MEDIA_NEW;
	} else if (drive->flags & HVSI_DRIVE_EJECT_REQUESTED) {
		flag = HVSI_DRIVE_EJECT_REQUESTED;
		event = MEDIA_EJECT_REQUEST;
	} else {
		return MEDIA_NONE;
	}
	drive->flags &= (uint8_t)~flag;
	return event;
}

/* Under lock. */
static void put_event(struct hvs_disk *disk, uint8_t class, bool take, uint8_t d[4])
{
	uint8_t flags = disk->drive.flags;

	switch (class) {
	case CLASS_OPERATIONAL:
	case CLASS_EXTERNAL:
	case CLASS_HOSTS:
		d[1] = flags & HVSI_DRIVE_PREVENT_PERSISTENT ? 0x80 : 0;
		break;
	case CLASS_POWER:
		d[1] = 1; /* active */
		break;
	case CLASS_MEDIA:
		d[0] = take ? take_media_event(&disk->drive) : MEDIA_NONE;
		d[1] = (uint8_t)((has_medium(disk) ? 2 : 0) | (flags & HVSI_DRIVE_OPEN ? 1 : 0));
		break;
	default: /* never busy */
		break;
	}
}

/* Of the classes asked for, media if there is something new, else the first. */
enum hvsi_scsi_state hvsi_mmc_get_event_status(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t wanted = cmd->cdb[4] & ALL_CLASSES;
	uint32_t alloc_len = hvsi_get_be16(cmd->cdb + 7);
	struct hvs_disk *disk = cmd->disk;
	/* An event that does not reach the guest has not been told. */
	bool whole = alloc_len >= EVENT_LEN && cmd->buffer_len >= EVENT_LEN;
	uint8_t d[EVENT_LEN] = {0, 2, NO_EVENT_AVAILABLE, ALL_CLASSES};

	if (!(cmd->cdb[1] & POLLED))
		return hvsi_scsi_invalid(cmd->req, HVSI_SENSE_INVALID_FIELD);
	if (!wanted)
		return hvsi_scsi_reply(cmd, d, 4, alloc_len);
	hvsi_spin_lock(&cmd->ctl->lock);
	if (wanted & 1u << CLASS_MEDIA && disk->drive.flags & EVENTS)
		d[2] = CLASS_MEDIA;
	else
		d[2] = (uint8_t)__builtin_ctz(wanted);
	put_event(disk, d[2], whole, d + 4);
	hvsi_spin_unlock(&cmd->ctl->lock);
	hvsi_put_be16(d, EVENT_LEN - 2);
	return hvsi_scsi_reply(cmd, d, sizeof(d), alloc_len);
}

enum hvsi_scsi_state hvsi_mmc_mechanism_status(const struct hvsi_scsi_cmd *cmd)
{
	uint8_t d[8] = {0};

	d[1] = hvsi_drive_flags(cmd->disk) & HVSI_DRIVE_OPEN ? 0x10 : 0;
	return hvsi_scsi_reply(cmd, d, sizeof(d), hvsi_get_be16(cmd->cdb + 8));
}
