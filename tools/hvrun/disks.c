/* SPDX-License-Identifier: MIT */
#include "disks.h"

#include "disk_layers.h"
#include "iothreads.h"
#include "report.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/fault.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/limit.h>
#include <hvstack/host/reservation.h>
#include <hvstack/stats.h>
#include <hvstack/storage.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uuid/uuid.h>

/* Fixed: guests name disks by the controller, too. The last byte is its number. */
static const struct hvs_guid controller_id = {
	{0x6e, 0x75, 0x72, 0x76, 0x68, 0x00, 0x00, 0x40, 0x80, 0x00, 's', 'c', 's', 'i', '0', '0'}};
/* Names of disks are made in this name space: a file has the same on each start. */
static const uuid_t disk_name_space = {0x9c, 0x1f, 0x2a, 0x5d, 0x70, 0x0e, 0x4b, 0x6c,
				       0x92, 0x31, 0x58, 0xd4, 0x0b, 0x77, 0xe6, 0xa3};

struct disk {
	struct disk *next;
	struct disks *disks;
	struct disk_option option; /* strings are our own */
	struct hvs_storvsp *ide;   /* a controller of its own */
	struct hvs_disk *handle;
	struct hvs_reservation_file *reservations; /* of a shared disk */
	struct disk_layers layers;
	struct event *gone_event; /* activated when the library does not use it any more */
	void (*gone)(void *arg);
	void *gone_arg;
	bool leaving;
	struct event *out_event; /* the same for a medium */
	void (*out)(void *arg);  /* NULL: the guest has ejected it */
	void *out_arg;
};

struct disks {
	struct disks_config cfg;
	struct hvs_storvsp *controller[HVRUN_MAX_CONTROLLERS];
	struct disk *first;
	unsigned made; /* for ids */
};

struct disks *disks_create(const struct disks_config *cfg)
{
	struct disks *disks = calloc(1, sizeof(*disks));

	if (disks)
		disks->cfg = *cfg;
	return disks;
}

static bool fail(char *why, const char *what, int err)
{
	snprintf(why, DISKS_WHY, "%s: %s", what, strerror(-err));
	return false;
}

/* Guests that share a disk find each other's reservations beside it. */
static bool open_reservations(struct disk *d, char *why)
{
	const struct disk_option *o = &d->option;
	char path[PATH_MAX];
	const char *reason;

	if (!o->shared)
		return true;
	if ((size_t)snprintf(path, sizeof(path), "%s.pr", o->file) >= sizeof(path))
		return fail(why, o->file, -ENAMETOOLONG);
	if (hvs_reservation_file_open(path, &d->reservations, &reason) == 0)
		return true;
	snprintf(why, DISKS_WHY, "reservations of %.100s: %s", o->file, reason);
	return false;
}

/* ---- making and freeing --------------------------------------------------------------------- */

static void disk_free(struct disk *d)
{
	disk_layers_close(&d->layers);
	hvs_reservation_file_close(d->reservations);
	if (d->gone_event)
		event_free(d->gone_event);
	if (d->out_event)
		event_free(d->out_event);
	free(d->option.file);
	free(d->option.id);
	free(d->option.format);
	free(d->option.serial);
	free(d->option.fault);
	free(d);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct disk *d = arg;
	void (*gone)(void *) = d->gone;
	void *gone_arg = d->gone_arg;
	struct disk **p = &d->disks->first;

	(void)fd;
	(void)what;
	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	disk_free(d);
	gone(gone_arg);
}

static void close_medium(struct disk *d)
{
	disk_layers_close(&d->layers);
	free(d->option.file);
	d->option.file = NULL;
}

static void on_out(evutil_socket_t fd, short what, void *arg)
{
	struct disk *d = arg;
	void (*out)(void *) = d->out;

	(void)fd;
	(void)what;
	d->out = NULL;
	close_medium(d);
	if (out)
		out(d->out_arg);
	else
		d->disks->cfg.ejected(d->disks->cfg.arg, d->option.id);
}

/* The next two on any thread. */
static void on_medium_unused(void *arg, int status)
{
	struct disk *d = arg;

	(void)status;
	event_active(d->out_event, EV_TIMEOUT, 0);
}

static void on_guest_ejected(void *arg, struct hvs_disk *handle)
{
	(void)handle;
	on_medium_unused(arg, 0);
}

static bool copy_string(char **s)
{
	if (!*s)
		return true;
	*s = strdup(*s);
	return *s != NULL;
}

static struct disk *disk_new(struct disks *disks, const struct disk_option *option)
{
	struct disk *d = calloc(1, sizeof(*d));
	char id[16];
	bool ok;

	if (!d)
		return NULL;
	d->disks = disks;
	d->option = *option;
	d->option.read_only |= option->optical;
	d->layers = (struct disk_layers){.option = &d->option,
					 .base = disks->cfg.base,
					 .threads = disks->cfg.threads,
					 .backup_dir = disks->cfg.backup_dir};
	if (!option->id) {
		snprintf(id, sizeof(id), "%s%u", option->optical ? "cdrom" : "disk", disks->made++);
		d->option.id = id;
	}
	ok = copy_string(&d->option.file);
	ok &= copy_string(&d->option.id);
	ok &= copy_string(&d->option.format);
	ok &= copy_string(&d->option.serial);
	ok &= copy_string(&d->option.fault);
	d->gone_event = event_new(disks->cfg.base, -1, 0, on_gone, d);
	d->out_event = event_new(disks->cfg.base, -1, 0, on_out, d);
	if (ok && d->gone_event && d->out_event)
		return d;
	disk_free(d);
	return NULL;
}

void disks_destroy(struct disks *disks)
{
	if (!disks)
		return;
	while (disks->first) {
		struct disk *d = disks->first;

		disks->first = d->next;
		if (d->leaving)
			d->gone(d->gone_arg);
		if (d->out)
			d->out(d->out_arg);
		disk_free(d);
	}
	free(disks);
}

/* ---- adding ----------------------------------------------------------------------------------- */

static struct disk *find(const struct disks *disks, const char *id)
{
	struct disk *d = disks->first;

	while (d && strcmp(d->option.id, id) != 0)
		d = d->next;
	return d;
}

bool disks_have(const struct disks *disks, const char *id)
{
	return find(disks, id);
}

static bool lun_in_use(const struct disks *disks, uint32_t controller, int lun)
{
	for (const struct disk *d = disks->first; d; d = d->next)
		if (!d->ide && d->option.controller == controller && d->option.lun == lun)
			return true;
	return false;
}

/* Who the controller is to others that share a disk. */
static struct hvs_guid initiator_id(const struct hvs_guid *machine_id, uint32_t controller)
{
	struct hvs_guid id = *machine_id;

	id.b[15] ^= (uint8_t)controller;
	return id;
}

static bool make_controller(struct disks *disks, uint32_t n, char *why)
{
	if (disks->controller[n])
		return true;
	/* hvstack { */
	struct hvs_storvsp_config cfg = {
		HVS_STORVSP_CONFIG_INIT, .instance_id = controller_id,
		.max_subchannels = disks->cfg.subchannels,
		.subchannel_workers = iothreads_workers(disks->cfg.threads),
		.subchannel_worker_count = (uint32_t)iothreads_count(disks->cfg.threads)};

	/* } hvstack */
	cfg.instance_id.b[15] = (uint8_t)('0' + n);
	cfg.initiator_id = initiator_id(&disks->cfg.machine_id, n);
	/* hvstack { */
	int err = hvs_storvsp_create(disks->cfg.bus, &cfg, &disks->controller[n]);
	/* } hvstack */
	return err ? fail(why, "cannot add a SCSI controller", err) : true;
}

static struct hvs_guid disk_id(const struct disk_option *o)
{
	char path[PATH_MAX];
	const char *name = o->file && realpath(o->file, path) ? path : o->file ? o->file : o->id;
	struct hvs_guid id;
	uuid_t uuid;

	uuid_generate_sha1(uuid, disk_name_space, name, strlen(name));
	memcpy(id.b, uuid, sizeof(id.b));
	return id;
}

static bool make_ide_controller(struct disk *d, char *why)
{
	const struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .kind = HVS_STORVSP_IDE,
					       .ide_channel = (uint8_t)(d->option.ide / 2),
					       .ide_device = (uint8_t)(d->option.ide % 2)};
	int err = hvs_storvsp_create(d->disks->cfg.bus, &cfg, &d->ide);

	return err ? fail(why, "cannot add an IDE controller", err) : true;
}

static bool attach(struct disk *d, char *why)
{
	static const struct layer no_layer;
	const struct disk_option *o = &d->option;
	const struct layer *top =
		d->layers.count ? &d->layers.layer[d->layers.count - 1] : &no_layer;
	struct hvs_storvsp *ctl = d->ide ? d->ide : d->disks->controller[o->controller];
	/* hvstack { */
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = (uint8_t)o->lun,
				      .disk_id = disk_id(o)};

	/* } hvstack */
	if (d->ide) {
		cfg.path = (uint8_t)(o->ide / 2);
		cfg.target = (uint8_t)(o->ide % 2);
	}
	if (o->optical) {
		cfg.type = HVS_DISK_OPTICAL;
		cfg.ejected = on_guest_ejected;
		cfg.arg = d;
	}
	if (o->serial)
		memcpy(cfg.serial, o->serial, strlen(o->serial) + 1);
	if (d->reservations) {
		cfg.reservations = hvs_reservation_file_ops();
		cfg.reservation_store = d->reservations;
	}
	/* hvstack { */
	int err = hvs_storvsp_attach(ctl, &cfg, top->ops, top->disk, &d->handle);
	/* } hvstack */
	return err ? fail(why, "cannot add the disk", err) : true;
}

static bool check(const struct disk_option *o, char *why)
{
	if (!o->serial || strlen(o->serial) < sizeof(((struct hvs_disk_config *)0)->serial))
		return true;
	snprintf(why, DISKS_WHY, "%s: the serial number is too long", o->file);
	return false;
}

static bool choose_place(struct disks *disks, struct disk_option *o, char *why)
{
	if (o->ide >= 0) {
		o->lun = 0;
		return true;
	}
	if (o->lun >= 0 && lun_in_use(disks, o->controller, o->lun)) {
		snprintf(why, DISKS_WHY, "LUN %d is in use", o->lun);
		return false;
	}
	if (o->lun < 0) {
		o->lun = 0;
		while (lun_in_use(disks, o->controller, o->lun))
			o->lun++;
	}
	return true;
}

bool disks_add(struct disks *disks, const struct disk_option *option, const char **id, char *why)
{
	struct disk **last = &disks->first;
	struct disk *d;

	if (option->id && find(disks, option->id)) {
		snprintf(why, DISKS_WHY, "there is a disk '%s' already", option->id);
		return false;
	}
	d = disk_new(disks, option);
	if (!d)
		return fail(why, "cannot add the disk", -ENOMEM);
	if (!check(&d->option, why) || !choose_place(disks, &d->option, why) ||
	    !disk_layers_open(&d->layers, why) || !open_reservations(d, why) ||
	    !(d->option.ide >= 0 ? make_ide_controller(d, why)
				 : make_controller(disks, d->option.controller, why)) ||
	    !attach(d, why)) {
		if (d->ide)
			(void)!hvs_storvsp_remove(d->ide, NULL, NULL);
		disk_free(d);
		return false;
	}
	while (*last)
		last = &(*last)->next;
	*last = d;
	*id = d->option.id;
	return true;
}

/* ---- changes ----------------------------------------------------------------------------------- */

static struct disk *find_present(const struct disks *disks, const char *id, char *why)
{
	struct disk *d = find(disks, id);

	if (d && !d->leaving)
		return d;
	snprintf(why, DISKS_WHY, "there is no disk '%s'", id);
	return NULL;
}

/* On any thread. */
static void on_unused(void *arg, int status)
{
	struct disk *d = arg;

	(void)status;
	event_active(d->gone_event, EV_TIMEOUT, 0);
}

bool disks_remove(struct disks *disks, const char *id, void (*gone)(void *arg), void *arg,
		  char *why)
{
	struct disk *d = find_present(disks, id, why);
	int err;

	if (!d)
		return false;
	d->gone = gone;
	d->gone_arg = arg;
	d->leaving = true;
	err = d->ide ? hvs_storvsp_remove(d->ide, on_unused, d)
		     : hvs_disk_remove(d->handle, on_unused, d);
	if (!err)
		return true;
	d->leaving = false;
	return fail(why, "cannot remove the disk", err);
}

static bool refresh(struct disk *d, char *why)
{
	int err = hvs_disk_refresh(d->handle);

	return err ? fail(why, "cannot tell the guest", err) : true;
}

bool disks_resize(struct disks *disks, const char *id, uint64_t bytes, char *why)
{
	struct disk *d = find_present(disks, id, why);
	struct stat st;
	int err;

	if (!d)
		return false;
	if (bytes && !d->layers.filedisk) {
		snprintf(why, DISKS_WHY, "only a raw image can be given another size here");
		return false;
	}
	if (!bytes && d->layers.filedisk && stat(d->option.file, &st) == 0 && S_ISREG(st.st_mode))
		bytes = (uint64_t)st.st_size;
	err = bytes ? hvs_filedisk_resize(d->layers.filedisk, bytes) : 0;
	return err ? fail(why, "cannot change the size of the file", err) : refresh(d, why);
}

bool disks_set_read_only(struct disks *disks, const char *id, bool read_only, char *why)
{
	struct disk *d = find_present(disks, id, why);
	int err;

	if (!d)
		return false;
	if (!d->layers.filedisk) {
		snprintf(why, DISKS_WHY, "only a raw image can be made read-only while it is used");
		return false;
	}
	err = hvs_filedisk_set_read_only(d->layers.filedisk, read_only);
	if (err)
		return fail(why, "cannot change it", err);
	d->option.read_only = read_only;
	return refresh(d, why);
}

bool disks_measure_latency(struct disks *disks, const char *id, bool on, char *why)
{
	struct disk *d = find_present(disks, id, why);
	int err = d ? hvs_disk_measure_latency(d->handle, on) : 0;

	return d && (!err || fail(why, "cannot measure it", err));
}

static struct disk *find_drive(const struct disks *disks, const char *id, char *why)
{
	struct disk *d = find_present(disks, id, why);

	if (!d || d->option.optical)
		return d;
	snprintf(why, DISKS_WHY, "'%s' is not a drive with removable media", id);
	return NULL;
}

bool disks_insert(struct disks *disks, const char *id, const char *file, char *why)
{
	struct disk *d = find_drive(disks, id, why);
	const struct layer *top;
	int err;

	if (!d)
		return false;
	if (d->option.file) {
		snprintf(why, DISKS_WHY, "there is a medium in '%s' already", id);
		return false;
	}
	d->option.file = strdup(file);
	if (!d->option.file)
		return fail(why, file, -ENOMEM);
	if (!disk_layers_open(&d->layers, why)) {
		close_medium(d);
		return false;
	}
	top = &d->layers.layer[d->layers.count - 1];
	err = hvs_disk_insert(d->handle, top->ops, top->disk);
	if (!err)
		return true;
	close_medium(d);
	return fail(why, "cannot insert it", err);
}

bool disks_eject(struct disks *disks, const char *id, bool force, void (*out)(void *arg), void *arg,
		 char *why)
{
	struct disk *d = find_drive(disks, id, why);
	int err;

	if (!d)
		return false;
	if (d->out)
		return fail(why, "cannot eject", -EALREADY);
	d->out = out;
	d->out_arg = arg;
	err = hvs_disk_eject(d->handle, force, on_medium_unused, d);
	if (!err)
		return true;
	d->out = NULL;
	if (err != -EBUSY)
		return fail(why, "cannot eject", err);
	snprintf(why, DISKS_WHY,
		 "the guest has locked '%s', and was asked to eject: 'force' does not wait", id);
	return false;
}

bool disks_set_limits(struct disks *disks, const char *id, uint64_t iops, uint64_t bytes_per_sec,
		      char *why)
{
	const struct hvs_limit_rates rates = {.requests_per_s = iops, .bytes_per_s = bytes_per_sec};
	struct disk *d = find_present(disks, id, why);
	int err;

	if (!d)
		return false;
	if (!d->layers.limit) {
		snprintf(why, DISKS_WHY, "'%s' was added without iops= or bps=", id);
		return false;
	}
	err = hvs_limit_set(d->layers.limit, &rates);
	return err ? fail(why, "cannot set these limits", err) : true;
}

bool disks_set_faults(struct disks *disks, const char *id, const char *rules, char *why)
{
	struct disk *d = find_present(disks, id, why);

	if (!d)
		return false;
	if (!d->layers.fault) {
		snprintf(why, DISKS_WHY, "'%s' was added without fault=", id);
		return false;
	}
	if (*rules && hvs_fault_parse(NULL, rules, why, DISKS_WHY) < 0)
		return false;
	hvs_fault_clear(d->layers.fault);
	return !*rules || hvs_fault_parse(d->layers.fault, rules, why, DISKS_WHY) == 0;
}

struct hvs_snapshot *disks_snapshot(const struct disks *disks, const char *id, uint32_t *block_size)
{
	const struct disk *d = find(disks, id);

	if (!d || d->leaving)
		return NULL;
	*block_size = d->option.block_size ? d->option.block_size : 512;
	return d->layers.snapshot;
}

/* 0: there is no medium. */
static uint64_t size_of(const struct disk *d)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};
	const struct layer *top;

	if (!d->layers.count)
		return 0;
	top = &d->layers.layer[d->layers.count - 1];
	if (top->ops->get_info(top->disk, &info) < 0)
		return 0;
	return info.num_blocks * info.block_size;
}

void disks_visit(const struct disks *disks, void (*visit)(void *arg, const struct disk_view *disk),
		 void *arg)
{
	for (const struct disk *d = disks->first; d; d = d->next) {
		const struct disk_view view = {.id = d->option.id,
					       .file = d->option.file,
					       .bytes = size_of(d),
					       .controller = d->option.controller,
					       .lun = (unsigned)d->option.lun,
					       .optical = d->option.optical,
					       .read_only = d->option.read_only,
					       .backup = d->layers.snapshot != NULL,
					       .handle = d->handle};

		if (!d->leaving)
			visit(arg, &view);
	}
}
