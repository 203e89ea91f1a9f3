/* SPDX-License-Identifier: MIT */
/* Methods of the control socket that have to do with disks. */
#include "control.h"
#include "disk_option.h"
#include "disks.h"
#include "option_text.h"

#include <hvstack/host/manager.h>
#include <hvstack/stats.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* True: `disk` is the id of one, and there are no parameters but these. */
static bool get_disk(struct disks *disks, struct hvs_call *call, const char *const *params,
		     const char **id)
{
	if (!hvs_call_only(call, params) || !hvs_call_string(call, "disk", true, id))
		return false;
	if (disks_have(disks, *id))
		return true;
	hvs_call_fail(call, HVS_CALL_NOT_FOUND, "there is no disk '%s'", *id);
	return false;
}

static void disk_add(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", NULL};
	struct disk_option option;
	struct json_object *result;
	char why[DISKS_WHY];
	const char *given;
	const char *id;
	char *text;

	if (!hvs_call_only(call, params) || !hvs_call_string(call, "disk", true, &given))
		return;
	text = strdup(given);
	if (!text) {
		hvs_call_fail(call, HVS_CALL_INTERNAL, "out of memory");
	} else if (!disk_option_parse(text, false, &option, why, sizeof(why))) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "%s", why);
	} else if (option.id && disks_have(arg, option.id)) {
		hvs_call_fail(call, HVS_CALL_EXISTS, "there is a disk '%s' already", option.id);
	} else if (!disks_add(arg, &option, &id, why)) {
		hvs_call_fail(call, HVS_CALL_FAILED, "%s", why);
	} else {
		result = json_object_new_object();
		json_object_object_add(result, "disk", json_object_new_string(id));
		hvs_call_return(call, result);
	}
	free(text);
}

static void disk_remove(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", NULL};
	char why[DISKS_WHY];
	const char *id;

	if (get_disk(arg, call, params, &id) &&
	    !disks_remove(arg, id, control_call_done, call, why))
		control_call_end(call, false, why);
}

static void disk_resize(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", "size", NULL};
	char why[DISKS_WHY];
	const char *size = NULL;
	const char *id;
	uint64_t bytes = 0;

	if (!get_disk(arg, call, params, &id) || !hvs_call_string(call, "size", false, &size))
		return;
	if (size && (!parse_size(size, &bytes) || !bytes))
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'size' is a number of bytes, maybe with K, M, G or T");
	else
		control_call_end(call, disks_resize(arg, id, bytes, why), why);
}

static void disk_read_only(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", "on", NULL};
	char why[DISKS_WHY];
	const char *id;
	bool on;

	if (get_disk(arg, call, params, &id) && hvs_call_bool(call, "on", true, &on))
		control_call_end(call, disks_set_read_only(arg, id, on, why), why);
}

static void disk_limit(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", "iops", "bps", NULL};
	char why[DISKS_WHY];
	const char *id;
	uint64_t iops = 0;
	uint64_t bps = 0;

	if (get_disk(arg, call, params, &id) &&
	    hvs_call_number(call, "iops", false, INT64_MAX, &iops) &&
	    hvs_call_number(call, "bps", false, INT64_MAX, &bps))
		control_call_end(call, disks_set_limits(arg, id, iops, bps, why), why);
}

static void disk_latency(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", "on", NULL};
	char why[DISKS_WHY];
	const char *id;
	bool on;

	if (get_disk(arg, call, params, &id) && hvs_call_bool(call, "on", true, &on))
		control_call_end(call, disks_measure_latency(arg, id, on, why), why);
}

static void medium_insert(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", "file", NULL};
	char why[DISKS_WHY];
	const char *id;
	const char *file;

	if (get_disk(arg, call, params, &id) && hvs_call_string(call, "file", true, &file))
		control_call_end(call, disks_insert(arg, id, file, why), why);
}

static void medium_eject(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", "force", NULL};
	char why[DISKS_WHY];
	const char *id;
	bool force = false;

	if (get_disk(arg, call, params, &id) && hvs_call_bool(call, "force", false, &force) &&
	    !disks_eject(arg, id, force, control_call_done, call, why))
		control_call_end(call, false, why);
}

static void disk_fault(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"disk", "rules", NULL};
	char why[DISKS_WHY];
	const char *id;
	const char *rules;

	if (get_disk(arg, call, params, &id) && hvs_call_string(call, "rules", true, &rules))
		control_call_end(call, disks_set_faults(arg, id, rules, why), why);
}

static const char *const ops[HVS_DISK_OPS] = {
	[HVS_DISK_READ] = "read",   [HVS_DISK_WRITE] = "write", [HVS_DISK_FLUSH] = "flush",
	[HVS_DISK_UNMAP] = "unmap", [HVS_DISK_OTHER] = "other",
};

static struct json_object *latency(const struct hvs_disk *disk, enum hvs_disk_op op)
{
	struct hvs_latency l = {.size = sizeof(l)};
	struct json_object *object = json_object_new_object();
	struct json_object *buckets = json_object_new_array();

	(void)!hvs_disk_get_latency(disk, op, &l);
	for (unsigned i = 0; i < HVS_LATENCY_BUCKETS; i++)
		json_object_array_add(buckets, json_object_new_uint64(l.bucket[i]));
	json_object_object_add(object, "sum-ns", json_object_new_uint64(l.sum_ns));
	json_object_object_add(object, "buckets", buckets);
	return object;
}

static struct json_object *counters(const struct hvs_disk *disk)
{
	struct json_object *all = json_object_new_object();

	for (unsigned op = 0; op < HVS_DISK_OPS; op++) {
		struct hvs_disk_counters c = {.size = sizeof(c)};
		struct json_object *one = json_object_new_object();

		(void)!hvs_disk_get_counters(disk, op, &c);
		json_object_object_add(one, "requests", json_object_new_uint64(c.requests));
		json_object_object_add(one, "bytes", json_object_new_uint64(c.bytes));
		json_object_object_add(one, "errors", json_object_new_uint64(c.errors));
		json_object_object_add(one, "latency", latency(disk, op));
		json_object_object_add(all, ops[op], one);
	}
	return all;
}

static void list_one(void *arg, const struct disk_view *disk)
{
	struct json_object *d = json_object_new_object();

	json_object_object_add(d, "disk", json_object_new_string(disk->id));
	json_object_object_add(d, "file", disk->file ? json_object_new_string(disk->file) : NULL);
	json_object_object_add(d, "bytes",
			       disk->bytes ? json_object_new_uint64(disk->bytes) : NULL);
	json_object_object_add(d, "controller", json_object_new_int((int)disk->controller));
	json_object_object_add(d, "lun", json_object_new_int((int)disk->lun));
	json_object_object_add(d, "optical", json_object_new_boolean(disk->optical));
	json_object_object_add(d, "read-only", json_object_new_boolean(disk->read_only));
	json_object_object_add(d, "backup", json_object_new_boolean(disk->backup));
	json_object_object_add(d, "counters", counters(disk->handle));
	json_object_array_add(arg, d);
}

void control_list_disks(const struct disks *disks, struct json_object *array)
{
	disks_visit(disks, list_one, array);
}

static void list_disks(void *arg, struct hvs_call *call)
{
	struct json_object *array = json_object_new_array();

	control_list_disks(arg, array);
	control_call_list(call, "disks", array);
}

/* What opens any file that hvrun may open is for administrators. */
static const struct hvs_method methods[] = {
	{"disks", HVS_ROLES_INSPECT, 0, list_disks},
	{"disk-add", HVS_ROLES_ADMINISTER, 0, disk_add},
	{"disk-remove", HVS_ROLES_OPERATE, 0, disk_remove},
	{"disk-resize", HVS_ROLES_OPERATE, 0, disk_resize},
	{"disk-read-only", HVS_ROLES_OPERATE, 0, disk_read_only},
	{"disk-limit", HVS_ROLES_OPERATE, 0, disk_limit},
	{"disk-latency", HVS_ROLES_OPERATE, 0, disk_latency},
	{"disk-fault", HVS_ROLES_ADMINISTER, 0, disk_fault},
	{"medium-insert", HVS_ROLES_ADMINISTER, 0, medium_insert},
	{"medium-eject", HVS_ROLES_OPERATE, 0, medium_eject},
};

int control_add_disks(struct hvs_manager *manager, struct disks *disks)
{
	return hvs_manager_add_methods(manager, methods, sizeof(methods) / sizeof(methods[0]),
				       disks);
}
