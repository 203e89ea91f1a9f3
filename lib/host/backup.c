/* SPDX-License-Identifier: MIT */
/*
 * A backup goes from phase to phase; what ends a phase comes from the guest's service, from the point, or
 * from the thread that copies, all on one base. However it ends, a frozen guest is thawed first.
 */
#include "host/backup_impl.h"

#include "host/sized.h"

#include <errno.h>
#include <hvstack/host/loop.h>
#include <hvstack/host/snapshot.h>
#include <hvstack/host/uuid.h>
#include <hvstack/vss.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define NS_PER_US 1000u

static void thaw(struct hvs_backup *b);

/* ---- the end ---------------------------------------------------------------------------- */

static void free_backup(struct hvs_backup *b)
{
	for (uint32_t i = 0; b->disks && i < b->cfg.disk_count; i++)
		free((char *)b->disks[i].id);
	free((char *)b->cfg.machine_name);
	free((char *)b->cfg.guest_os);
	free(b->disks);
	free(b->snapshots);
	free(b->copied);
	free(b);
}

static void stop_copy(struct hvs_backup *b)
{
	if (!b->copying)
		return;
	hvsi_copy_stop(&b->copy);
	hvsi_copy_join(&b->copy);
	b->copying = false;
}

/* Tell how it was, and go. */
static void finish(struct hvs_backup *b)
{
	struct hvs_backup_result result = {
		.size = sizeof(result), .frozen_ms = b->frozen_ms, .held_us = b->held_us};

	stop_copy(b);
	if (!b->status) {
		result.manifest = hvsi_backup_manifest(b);
		if (!result.manifest) {
			b->status = -ENOMEM;
			snprintf(b->message, sizeof(b->message), "out of memory");
		}
	}
	hvs_point_release(b->point, b->status ? NULL : &b->id);
	b->point = NULL;
	hvsi_notify_fini(&b->notify);
	result.status = b->status;
	result.guest_status = b->guest_status;
	result.message = b->message;
	b->cfg.ended(b->cfg.arg, b, &result);
	json_object_put(result.manifest);
	free_backup(b);
}

/* It is over; ended() comes from the base, when the guest has answered everything. */
static void end(struct hvs_backup *b)
{
	b->over = true;
	if (b->thaw_due)
		thaw(b);
	if (b->pending == 0)
		hvsi_notify_signal(&b->notify);
}

__attribute__((format(printf, 3, 4))) static void fail(struct hvs_backup *b, int err,
						       const char *format, ...)
{
	va_list args;

	if (b->over)
		return;
	if (b->cancelled) {
		err = -ECANCELED;
		format = "the backup was cancelled";
	}
	b->status = err;
	va_start(args, format);
	vsnprintf(b->message, sizeof(b->message), format, args);
	va_end(args);
	end(b);
}

/* ---- requests to the guest -------------------------------------------------------------- */

static void enter(struct hvs_backup *b, enum hvs_backup_phase phase)
{
	struct hvs_backup_progress progress = {HVS_BACKUP_PROGRESS_INIT};

	b->phase = phase;
	if (b->cfg.progress && hvs_backup_get_progress(b, &progress) == 0)
		b->cfg.progress(b->cfg.arg, b, &progress);
}

/* The next phase. False: it does not come to that. */
static bool begin(struct hvs_backup *b, enum hvs_backup_phase phase)
{
	enter(b, phase);
	if (b->cancelled)
		fail(b, -ECANCELED, "the backup was cancelled");
	return !b->over;
}

/* An answer has come. False: nobody waits for it any more, and b may be gone. */
static bool answered(struct hvs_backup *b)
{
	b->pending--;
	if (b->destroyed) {
		if (b->pending == 0)
			free_backup(b);
		return false;
	}
	if (b->over && b->pending == 0)
		hvsi_notify_signal(&b->notify);
	return true;
}

/* The guest could not be frozen. True: the copy will be crash-consistent. */
static bool do_without(struct hvs_backup *b, int status, uint32_t guest_status)
{
	b->application = false;
	if (b->cfg.consistency == HVS_BACKUP_AUTO && !b->cancelled)
		return true;
	b->guest_status = guest_status;
	if (status == -ENOTCONN)
		fail(b, status,
		     "the guest's backup service is not there (on Linux: hv_vss_daemon); a "
		     "crash-consistent backup does without");
	else if (status == -EREMOTEIO)
		fail(b, status,
		     "the guest can't be frozen: %s; a crash-consistent backup does without",
		     hvs_ic_guest_status_name(guest_status));
	else
		fail(b, status,
		     "the guest can't be frozen: %s; a crash-consistent backup does without",
		     strerror(-status));
	return false;
}

/* ---- copying ---------------------------------------------------------------------------- */

static void on_complete(void *arg, int status, uint32_t guest_status)
{
	struct hvs_backup *b = arg;

	/* The copy is complete, whatever the guest says to that. */
	(void)status;
	(void)guest_status;
	(void)answered(b);
}

static void complete(struct hvs_backup *b)
{
	stop_copy(b);
	enter(b, HVS_BACKUP_COMPLETING);
	snprintf(b->message, sizeof(b->message), "done");
	if (b->application && b->cfg.vss && hvs_vss_complete(b->cfg.vss, 0, on_complete, b) == 0)
		b->pending++;
	end(b);
}

/* On the thread that copies. */
static void on_copy(void *arg)
{
	struct hvs_backup *b = arg;

	hvsi_notify_signal(&b->notify);
}

static bool knows_parent(const struct hvs_backup *b)
{
	for (uint32_t i = 0; i < b->cfg.disk_count; i++)
		if (!hvs_point_knows(b->point, i, b->cfg.parent))
			return false;
	return true;
}

static void start_copy(struct hvs_backup *b)
{
	int err;

	b->copy = (struct hvsi_copy){.point = b->point,
				     .disks = b->disks,
				     .copied = b->copied,
				     .count = b->cfg.disk_count,
				     .incremental = b->cfg.parent != NULL,
				     .max_bytes_per_s = b->cfg.max_bytes_per_s,
				     .tell = on_copy,
				     .arg = b};
	if (!begin(b, HVS_BACKUP_COPYING))
		return;
	err = hvsi_copy_start(&b->copy);
	if (err)
		fail(b, err, "the copy can't be started: %s", strerror(-err));
	else
		b->copying = true;
}

/* The guest goes on, and the point is taken. */
static void go_on(struct hvs_backup *b)
{
	if (b->cfg.parent && !knows_parent(b)) {
		fail(b, -ESTALE,
		     "what has changed since that backup is not known for each disk; a full backup "
		     "is "
		     "needed");
		return;
	}
	start_copy(b);
}

/* ---- thawing ---------------------------------------------------------------------------- */

static void on_thawed(void *arg, int status, uint32_t guest_status)
{
	struct hvs_backup *b = arg;

	/* If that failed, the library has tried three times, and says so by an event. */
	(void)status;
	(void)guest_status;
	b->frozen_ms = (int64_t)((hvs_loop_now_ns() - b->freeze_ns) / NS_PER_MS);
	if (answered(b) && !b->over)
		go_on(b);
}

/* Ask for it; on_thawed() follows, unless false is returned. */
static bool ask_to_thaw(struct hvs_backup *b)
{
	b->thaw_due = false;
	b->held_us = (int64_t)((hvs_loop_now_ns() - b->held_ns) / NS_PER_US);
	if (hvs_vss_thaw(b->cfg.vss, 0, on_thawed, b) < 0)
		return false;
	b->pending++;
	return true;
}

static void thaw(struct hvs_backup *b)
{
	(void)ask_to_thaw(b);
}

/* ---- the point in time ------------------------------------------------------------------ */

static void on_taken(struct hvs_backup *b, int status)
{
	const bool asked = b->thaw_due;
	/* The library thaws a guest that was held for too long: then it has written meanwhile. */
	const bool still = asked && hvs_vss_get_state(b->cfg.vss) == HVS_VSS_FROZEN;

	(void)clock_gettime(CLOCK_REALTIME, &b->time);
	b->taken = !status;
	if (status == -ETIMEDOUT)
		fail(b, status, "a write of the guest did not end within two seconds");
	else if (status)
		fail(b, status, "the point in time could not be taken: %s", strerror(-status));
	if (status || (b->application && !still && !do_without(b, -ETIMEDOUT, 0)))
		return;
	if (asked) {
		enter(b, HVS_BACKUP_THAWING);
		if (b->thaw_due)
			thaw(b);
		if (b->pending > 0)
			return;
		/* It goes on already. */
		b->frozen_ms = (int64_t)((hvs_loop_now_ns() - b->freeze_ns) / NS_PER_MS);
	}
	go_on(b);
}

static void take(struct hvs_backup *b)
{
	int err;

	if (!begin(b, HVS_BACKUP_TAKING))
		return;
	err = hvs_point_take(b->point);
	if (err)
		fail(b, err, "the point in time could not be taken: %s", strerror(-err));
}

static void on_frozen(void *arg, int status, uint32_t guest_status)
{
	struct hvs_backup *b = arg;

	if (b->destroyed && !status)
		(void)hvs_vss_thaw(b->cfg.vss, 0, NULL, NULL);
	if (!answered(b))
		return;
	/* If it fails or is cancelled, the library thaws. */
	b->thaw_due = status == 0;
	b->held_ns = hvs_loop_now_ns();
	if (b->over && b->thaw_due)
		thaw(b);
	else if (!b->over && b->cancelled)
		fail(b, -ECANCELED, "the backup was cancelled");
	else if (!b->over && (status == 0 || do_without(b, status, guest_status)))
		take(b);
}

static void freeze(struct hvs_backup *b)
{
	const struct hvs_vss_freeze_request request = {HVS_VSS_FREEZE_REQUEST_INIT};
	int err;

	if (!begin(b, HVS_BACKUP_FREEZING))
		return;
	b->freeze_ns = hvs_loop_now_ns();
	err = b->cfg.vss ? hvs_vss_freeze(b->cfg.vss, &request, on_frozen, b) : -ENOTCONN;
	if (!err)
		b->pending++;
	else if (do_without(b, err, 0))
		take(b);
}

/* ---- checking --------------------------------------------------------------------------- */

static void on_checked(void *arg, int status, uint32_t guest_status, uint32_t flags)
{
	struct hvs_backup *b = arg;

	(void)flags;
	if (!answered(b) || b->over)
		return;
	if (b->cancelled)
		fail(b, -ECANCELED, "the backup was cancelled");
	else if (status == 0)
		freeze(b);
	else if (do_without(b, status, guest_status))
		take(b);
}

static void check(struct hvs_backup *b)
{
	int err = -ENOTCONN;

	if (b->cfg.consistency == HVS_BACKUP_CRASH) {
		take(b);
		return;
	}
	if (!begin(b, HVS_BACKUP_CHECKING))
		return;
	b->application = true;
	if (b->cfg.vss)
		err = hvs_vss_check(b->cfg.vss, 0, on_checked, b);
	if (!err)
		b->pending++;
	else if (do_without(b, err, 0))
		take(b);
}

static void on_point(void *arg, struct hvs_point *point, enum hvs_point_event event, int status)
{
	struct hvs_backup *b = arg;

	(void)point;
	if (b->over)
		return;
	if (event == HVS_POINT_TAKEN)
		on_taken(b, status);
	else if (status)
		fail(b, status, "a temporary file for what the disks held can't be made: %s",
		     strerror(-status));
	else
		check(b);
}

/* It has got on, or is over. */
static void on_notify(void *arg)
{
	struct hvs_backup *b = arg;

	if (b->over) {
		if (b->pending == 0)
			finish(b);
	} else if (b->copying && atomic_load(&b->copy.finished)) {
		if (b->copy.err)
			fail(b, b->copy.err, "%s: %s", b->copy.what, strerror(-b->copy.err));
		else
			complete(b);
	} else if (b->copying) {
		enter(b, HVS_BACKUP_COPYING);
	}
}

/* ---- set-up ----------------------------------------------------------------------------- */

static bool copy_disks(struct hvs_backup *b)
{
	const uint32_t count = b->cfg.disk_count;

	b->disks = calloc(count, sizeof(*b->disks));
	b->snapshots = calloc(count, sizeof(struct hvs_snapshot *));
	b->copied = calloc(count, sizeof(*b->copied));
	if (!b->disks || !b->snapshots || !b->copied)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		b->disks[i] = b->cfg.disks[i];
		b->disks[i].id = NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		b->snapshots[i] = b->disks[i].snapshot;
		b->disks[i].id = strdup(b->cfg.disks[i].id);
		if (!b->disks[i].id)
			return false;
	}
	return true;
}

static bool copy_text(const char **text)
{
	if (*text)
		*text = strdup(*text);
	return *text != NULL;
}

static struct hvs_backup *new_backup(const struct hvs_backup_config *cfg)
{
	struct hvs_backup *b = calloc(1, sizeof(*b));
	bool ok;

	if (!b)
		return NULL;
	b->cfg = *cfg;
	b->frozen_ms = -1;
	b->held_us = -1;
	ok = copy_text(&b->cfg.machine_name) || !cfg->machine_name;
	ok = (copy_text(&b->cfg.guest_os) || !cfg->guest_os) && ok;
	ok = copy_disks(b) && ok;
	if (cfg->parent) {
		b->parent = *cfg->parent;
		b->cfg.parent = &b->parent;
	}
	b->cfg.disks = b->disks;
	hvs_guid_generate(&b->id);
	if (ok)
		return b;
	free_backup(b);
	return NULL;
}

static int check_config(const struct hvs_backup_config *cfg)
{
	if (cfg->flags & ~HVS_POINT_NO_CLONE)
		return -ENOTSUP;
	if (!cfg->base || !cfg->disks || !cfg->ended || cfg->disk_count == 0 ||
	    cfg->disk_count > HVS_POINT_MAX_DISKS || cfg->consistency > HVS_BACKUP_CRASH ||
	    cfg->max_bytes_per_s > 1ull << 40)
		return -EINVAL;
	for (uint32_t i = 0; i < cfg->disk_count; i++)
		if (!cfg->disks[i].id || !cfg->disks[i].snapshot || cfg->disks[i].reserved)
			return -EINVAL;
	return 0;
}

static int prepare(struct hvs_backup *b)
{
	const struct hvs_point_config cfg = {HVS_POINT_CONFIG_INIT,
					     .flags = b->cfg.flags,
					     .count = b->cfg.disk_count,
					     .disks = b->snapshots,
					     .base = b->cfg.base,
					     .event = on_point,
					     .arg = b};

	b->phase = HVS_BACKUP_PREPARING;
	return hvs_point_create(&cfg, &b->point);
}

int hvs_backup_start(const struct hvs_backup_config *cfg_in, struct hvs_backup **out)
{
	struct hvs_backup_config cfg;
	struct hvs_backup *b;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, arg);

	if (!err)
		err = out ? check_config(&cfg) : -EINVAL;
	if (err)
		return err;
	b = new_backup(&cfg);
	if (!b)
		return -ENOMEM;
	err = hvsi_notify_init(&b->notify, cfg.base, on_notify, b);
	if (err) {
		free_backup(b);
		return err;
	}
	err = prepare(b);
	if (err) {
		hvsi_notify_fini(&b->notify);
		free_backup(b);
		return err;
	}
	*out = b;
	return 0;
}

const struct hvs_guid *hvs_backup_id(const struct hvs_backup *b)
{
	return &b->id;
}

int hvs_backup_get_progress(const struct hvs_backup *b, struct hvs_backup_progress *out)
{
	struct hvs_backup_progress progress = {.phase = b->phase};

	if (b->phase >= HVS_BACKUP_COPYING) {
		progress.disk = atomic_load(&b->copy.disk);
		progress.done_bytes = atomic_load(&b->copy.done);
		progress.total_bytes = atomic_load(&b->copy.total);
	}
	return hvsi_host_fill_sized(out, &progress, sizeof(progress));
}

void hvs_backup_cancel(struct hvs_backup *b)
{
	if (b->over || b->cancelled || b->phase == HVS_BACKUP_COMPLETING)
		return;
	b->cancelled = true;
	if (b->copying)
		hvsi_copy_stop(&b->copy);
	else if (b->phase == HVS_BACKUP_TAKING)
		hvs_point_abort(b->point);
	if (b->thaw_due)
		thaw(b);
	/* The guest is thawed by that, too, if it is just freezing. */
	else if (b->pending > 0 && b->phase <= HVS_BACKUP_FREEZING)
		(void)hvs_ic_cancel(b->cfg.vss, b);
}

void hvs_backup_vss_gone(struct hvs_backup *b)
{
	struct hvs_ic *vss = b->cfg.vss;

	/* The library thaws a guest whose service goes. */
	b->thaw_due = false;
	b->cfg.vss = NULL;
	if (b->pending > 0)
		(void)hvs_ic_cancel(vss, b);
}

void hvs_backup_destroy(struct hvs_backup *b)
{
	if (!b)
		return;
	b->over = true;
	b->destroyed = true;
	stop_copy(b);
	hvs_point_release(b->point, NULL);
	hvsi_notify_fini(&b->notify);
	if (b->thaw_due)
		(void)hvs_vss_thaw(b->cfg.vss, 0, NULL, NULL);
	if (b->pending > 0) {
		/* It may all be answered during this. */
		b->pending++;
		(void)hvs_ic_cancel(b->cfg.vss, b);
		b->pending--;
	}
	if (b->pending == 0)
		free_backup(b);
}
