/* SPDX-License-Identifier: MIT */
/*
 * Backups for clients of the management server. backup-start is one long call: it ends with the backup,
 * and the backup ends with its client.
 */
#include <hvstack/host/backup.h>

#include "host/sized.h"

#include <errno.h>
#include <fcntl.h>
#include <hvstack/host/manager.h>
#include <hvstack/host/snapshot.h>
#include <hvstack/host/uuid.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct hvs_manager_backup {
	struct hvs_manager_backup_config cfg;
	struct hvs_manager_backup_ops ops;
	char *name;

	bool ended; /* no more */
	/* Of the one that runs; NULL: none. */
	struct hvs_backup *backup;
	struct hvs_call *call;
	uint64_t client;
	uint32_t count;
	struct hvs_backup_disk disks[HVS_POINT_MAX_DISKS]; /* ids are the call's */
};

static const char *const phase_names[] = {NULL,     "preparing", "checking", "freezing",
					  "taking", "thawing",   "copying",  "completing"};

/* ---- what clients are told -------------------------------------------------------------- */

static void add(struct json_object *to, const char *name, struct json_object *value)
{
	if (value && json_object_object_add(to, name, value) < 0)
		json_object_put(value);
}

static void add_id(struct json_object *to, const struct hvs_backup *backup)
{
	char text[HVS_GUID_TEXT];

	hvs_guid_format(hvs_backup_id(backup), text);
	add(to, "id", json_object_new_string(text));
}

/* NULL: no memory. */
static struct json_object *describe(const struct hvs_manager_backup *mb,
				    const struct hvs_backup *backup,
				    const struct hvs_backup_progress *p)
{
	struct json_object *to = json_object_new_object();

	if (!to)
		return NULL;
	add_id(to, backup);
	add(to, "phase", json_object_new_string(phase_names[p->phase]));
	if (p->phase == HVS_BACKUP_COPYING && p->disk < mb->count)
		add(to, "disk", json_object_new_string(mb->disks[p->disk].id));
	add(to, "done_bytes", json_object_new_uint64(p->done_bytes));
	add(to, "total_bytes", json_object_new_uint64(p->total_bytes));
	return to;
}

static void on_progress(void *arg, struct hvs_backup *backup,
			const struct hvs_backup_progress *progress)
{
	const struct hvs_manager_backup *mb = arg;
	struct json_object *event = describe(mb, backup, progress);

	if (event)
		hvs_manager_event(mb->cfg.manager, "backup-progress", event);
	/* If there was no memory to be told when a client leaves. */
	if (mb->call && !hvs_manager_has_client(mb->cfg.manager, mb->client))
		hvs_backup_cancel(backup);
}

static void tell_end(const struct hvs_manager_backup *mb, const struct hvs_backup *backup,
		     const struct hvs_backup_result *r)
{
	struct json_object *event = json_object_new_object();

	if (!event)
		return;
	add_id(event, backup);
	add(event, "status",
	    json_object_new_string(r->status == 0            ? "done"
				   : r->status == -ECANCELED ? "cancelled"
							     : "failed"));
	add(event, "message", json_object_new_string(r->message));
	if (r->frozen_ms >= 0)
		add(event, "frozen_ms", json_object_new_int64(r->frozen_ms));
	hvs_manager_event(mb->cfg.manager, "backup-ended", event);
}

static enum hvs_call_error code_of(int status)
{
	switch (status) {
	case -ESTALE:
		return HVS_CALL_NOT_FOUND;
	case -EBUSY:
		return HVS_CALL_BUSY;
	case -ENOTCONN:
		return HVS_CALL_NOT_READY;
	case -EREMOTEIO:
	case -EPROTO:
		return HVS_CALL_GUEST_ERROR;
	case -ECANCELED:
		return HVS_CALL_CANCELLED;
	default:
		return HVS_CALL_FAILED;
	}
}

static void close_files(struct hvs_manager_backup *mb)
{
	for (uint32_t i = 0; i < mb->count; i++) {
		if (mb->disks[i].image_fd >= 0)
			close(mb->disks[i].image_fd);
		if (mb->disks[i].map_fd >= 0)
			close(mb->disks[i].map_fd);
	}
	mb->count = 0;
}

static void on_ended(void *arg, struct hvs_backup *backup, const struct hvs_backup_result *r)
{
	struct hvs_manager_backup *mb = arg;
	struct hvs_call *call = mb->call;
	struct json_object *result = r->status ? NULL : json_object_new_object();

	tell_end(mb, backup, r);
	close_files(mb);
	mb->backup = NULL;
	mb->call = NULL;
	if (result) {
		add(result, "manifest", json_object_get(r->manifest));
		hvs_call_return(call, result);
	} else {
		hvs_call_fail(call, r->status ? code_of(r->status) : HVS_CALL_INTERNAL, "%s",
			      r->status ? r->message : "out of memory");
	}
}

/* ---- starting --------------------------------------------------------------------------- */

static bool is_empty_file(int fd)
{
	const int flags = fcntl(fd, F_GETFL);
	struct stat st;

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_APPEND) &&
	       fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

/* Files of disk n; close_files() closes what there was. */
static bool take_files(struct hvs_call *call, struct hvs_backup_disk *disk, uint32_t n)
{
	disk->image_fd = hvs_call_take_fd(call, 2 * n);
	disk->map_fd = hvs_call_take_fd(call, 2 * n + 1);
	if (disk->image_fd < 0 || disk->map_fd < 0)
		hvs_call_fail(
			call, HVS_CALL_INVALID_PARAMS,
			"two file descriptors for each disk must come with the request: of the "
			"image and of the map");
	else if (!is_empty_file(disk->image_fd) || !is_empty_file(disk->map_fd))
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "file descriptors must be of empty regular files, open for writing");
	else
		return true;
	return false;
}

static bool take_disk(struct hvs_manager_backup *mb, struct hvs_call *call,
		      struct json_object *name)
{
	struct hvs_backup_disk *disk = &mb->disks[mb->count];
	const char *id =
		json_object_is_type(name, json_type_string) ? json_object_get_string(name) : NULL;

	*disk = (struct hvs_backup_disk){.image_fd = -1, .map_fd = -1};
	if (!id) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'disks' is an array of ids");
		return false;
	}
	for (uint32_t i = 0; i < mb->count; i++)
		if (strcmp(mb->disks[i].id, id) == 0) {
			hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "disk '%s' is there twice",
				      id);
			return false;
		}
	if (!mb->ops.find_disk(mb->cfg.arg, id, disk)) {
		hvs_call_fail(call, HVS_CALL_NOT_FOUND,
			      "there is no disk '%s' that can be backed up", id);
		return false;
	}
	disk->id = id;
	mb->count++;
	return take_files(call, disk, mb->count - 1);
}

static bool take_disks(struct hvs_manager_backup *mb, struct hvs_call *call)
{
	struct json_object *names;
	size_t count;

	if (!json_object_object_get_ex(hvs_call_params(call), "disks", &names)) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'disks' is missing: an array of ids: `devices` has them");
		return false;
	}
	count = json_object_is_type(names, json_type_array) ? json_object_array_length(names) : 0;
	if (count == 0 || count > HVS_POINT_MAX_DISKS) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'disks' is an array of 1 to %u ids: `devices` has them",
			      HVS_POINT_MAX_DISKS);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		if (!take_disk(mb, call, json_object_array_get_idx(names, i)))
			return false;
	return true;
}

static bool get_consistency(struct hvs_call *call, enum hvs_backup_consistency *consistency)
{
	static const char *const names[] = {"auto", "application", "crash"};
	const char *given = names[0];

	if (!hvs_call_string(call, "consistency", false, &given))
		return false;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(given, names[i]) == 0) {
			*consistency = (enum hvs_backup_consistency)i;
			return true;
		}
	hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
		      "'consistency' is 'auto', 'application' or 'crash'");
	return false;
}

/* NULL in *parent: there is none. */
static bool get_parent(struct hvs_call *call, struct hvs_guid *guid, const struct hvs_guid **parent)
{
	const char *text = NULL;

	*parent = NULL;
	if (!hvs_call_string(call, "parent", false, &text))
		return false;
	if (!text)
		return true;
	*parent = guid;
	if (hvs_guid_parse(text, guid) == 0)
		return true;
	hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'parent' is the id of a backup, a UUID");
	return false;
}

static void start(struct hvs_manager_backup *mb, struct hvs_call *call,
		  struct hvs_backup_config *cfg)
{
	int err;

	cfg->flags = mb->cfg.flags;
	cfg->base = mb->cfg.base;
	cfg->disks = mb->disks;
	cfg->disk_count = mb->count;
	cfg->machine_uuid = mb->cfg.uuid;
	cfg->machine_name = mb->name;
	if (mb->ops.guest_os)
		cfg->guest_os = mb->ops.guest_os(mb->cfg.arg);
	if (mb->ops.vss)
		cfg->vss = mb->ops.vss(mb->cfg.arg);
	cfg->progress = on_progress;
	cfg->ended = on_ended;
	cfg->arg = mb;
	err = hvs_backup_start(cfg, &mb->backup);
	if (err) {
		hvs_call_fail(call, code_of(err), "the backup can't be started: %s",
			      strerror(-err));
		close_files(mb);
		return;
	}
	mb->call = call;
	mb->client = hvs_call_client(call);
}

static void backup_start(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disks", "consistency", "parent", "max_bytes_per_s",
					     NULL};
	struct hvs_manager_backup *mb = arg;
	struct hvs_backup_config cfg = {HVS_BACKUP_CONFIG_INIT};
	struct hvs_guid parent;

	if (!hvs_call_only(call, params))
		return;
	if (mb->ended) {
		hvs_call_fail(call, HVS_CALL_GONE, "the machine has ended");
		return;
	}
	if (mb->backup) {
		hvs_call_fail(call, HVS_CALL_BUSY, "a backup of this machine is under way");
		return;
	}
	if (!get_consistency(call, &cfg.consistency) || !get_parent(call, &parent, &cfg.parent) ||
	    !hvs_call_number(call, "max_bytes_per_s", false, 1ull << 40, &cfg.max_bytes_per_s))
		return;
	if (take_disks(mb, call))
		start(mb, call, &cfg);
	else
		close_files(mb);
}

/* ---- the others ------------------------------------------------------------------------- */

static const char *const no_params[] = {NULL};

static void backup_status(void *arg, struct hvs_call *call)
{
	const struct hvs_manager_backup *mb = arg;
	struct hvs_backup_progress progress = {HVS_BACKUP_PROGRESS_INIT};
	struct json_object *result;

	if (!hvs_call_only(call, no_params))
		return;
	if (mb->backup && hvs_backup_get_progress(mb->backup, &progress) == 0)
		result = describe(mb, mb->backup, &progress);
	else
		result = json_object_new_object();
	if (!result) {
		hvs_call_fail(call, HVS_CALL_INTERNAL, "out of memory");
		return;
	}
	add(result, "active", json_object_new_boolean(mb->backup != NULL));
	hvs_call_return(call, result);
}

static void backup_cancel(void *arg, struct hvs_call *call)
{
	const struct hvs_manager_backup *mb = arg;

	if (!hvs_call_only(call, no_params))
		return;
	if (!mb->backup) {
		hvs_call_fail(call, HVS_CALL_NOT_FOUND, "there is no backup under way");
		return;
	}
	hvs_backup_cancel(mb->backup);
	hvs_call_return(call, NULL);
}

static const struct hvs_method methods[] = {
	{.name = "backup-start", .roles = HVS_ROLES_BACKUP, .run = backup_start},
	{.name = "backup-status", .roles = HVS_ROLES_INSPECT, .run = backup_status},
	{.name = "backup-cancel", .roles = HVS_ROLES_BACKUP, .run = backup_cancel},
};

static void on_left(void *arg, uint64_t client)
{
	struct hvs_manager_backup *mb = arg;

	if (mb->backup && mb->client == client)
		hvs_backup_cancel(mb->backup);
}

/* ---- set-up ----------------------------------------------------------------------------- */

int hvs_manager_backup_create(const struct hvs_manager_backup_config *cfg_in,
			      struct hvs_manager_backup **out)
{
	struct hvs_manager_backup_config cfg;
	struct hvs_manager_backup_ops ops;
	struct hvs_manager_backup *mb;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, arg);

	if (err)
		return err;
	if (cfg.flags & ~HVS_POINT_NO_CLONE)
		return -ENOTSUP;
	err = HVSI_HOST_TAKE(&ops, cfg.ops, guest_os);
	if (err)
		return err;
	if (!out || !cfg.manager || !cfg.base || !ops.find_disk)
		return -EINVAL;
	mb = calloc(1, sizeof(*mb));
	if (!mb)
		return -ENOMEM;
	mb->cfg = cfg;
	mb->ops = ops;
	mb->name = cfg.name ? strdup(cfg.name) : NULL;
	err = cfg.name && !mb->name ? -ENOMEM : 0;
	if (!err)
		err = hvs_manager_add_methods(cfg.manager, methods,
					      sizeof(methods) / sizeof(methods[0]), mb);
	if (err) {
		free(mb->name);
		free(mb);
		return err;
	}
	/* Without, it is noticed with the next progress. */
	(void)!hvs_manager_on_client_left(cfg.manager, on_left, mb);
	*out = mb;
	return 0;
}

void hvs_manager_backup_vss_gone(struct hvs_manager_backup *mb)
{
	if (mb->backup)
		hvs_backup_vss_gone(mb->backup);
}

void hvs_manager_backup_end(struct hvs_manager_backup *mb)
{
	if (!mb)
		return;
	mb->ended = true;
	if (!mb->backup)
		return;
	hvs_backup_destroy(mb->backup);
	mb->backup = NULL;
	close_files(mb);
	hvs_call_fail(mb->call, HVS_CALL_GONE, "the machine has ended");
	mb->call = NULL;
}

void hvs_manager_backup_destroy(struct hvs_manager_backup *mb)
{
	if (!mb)
		return;
	hvs_manager_backup_end(mb);
	free(mb->name);
	free(mb);
}
