/* SPDX-License-Identifier: MIT */
#include "host/backup_impl.h"

#include <hvstack/host/uuid.h>
#include <json-c/json.h>
#include <stdio.h>

/* False, with nothing left behind, if there is no memory for the value. */
static bool add(struct json_object *to, const char *name, struct json_object *value)
{
	if (value && json_object_object_add(to, name, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static bool add_text(struct json_object *to, const char *name, const char *text)
{
	if (!text)
		return json_object_object_add(to, name, NULL) == 0;
	return add(to, name, json_object_new_string(text));
}

static bool add_number(struct json_object *to, const char *name, uint64_t number)
{
	return add(to, name, json_object_new_uint64(number));
}

static bool add_guid(struct json_object *to, const char *name, const struct hvs_guid *guid)
{
	char text[HVS_GUID_TEXT];

	if (guid)
		hvs_guid_format(guid, text);
	return add_text(to, name, guid ? text : NULL);
}

static bool add_time(struct json_object *to, const struct timespec *time)
{
	char text[64];
	struct tm tm;
	size_t len;

	if (!gmtime_r(&time->tv_sec, &tm))
		return false;
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%03ldZ", time->tv_nsec / 1000000);
	return add_text(to, "time", text);
}

static bool add_machine(struct json_object *to, const struct hvs_backup *b)
{
	struct json_object *machine = json_object_new_object();

	return machine && add(to, "machine", machine) &&
	       add_guid(machine, "uuid", &b->cfg.machine_uuid) &&
	       add_text(machine, "name", b->cfg.machine_name);
}

static bool add_disk(struct json_object *disks, const struct hvs_backup *b, uint32_t n)
{
	const struct hvsi_copied *copied = &b->copied[n];
	struct json_object *disk = json_object_new_object();
	char hash[2 * HVSI_BACKUP_HASH + 1];

	if (!disk)
		return false;
	if (json_object_array_add(disks, disk) < 0) {
		json_object_put(disk);
		return false;
	}
	for (unsigned i = 0; i < HVSI_BACKUP_HASH; i++)
		snprintf(hash + (size_t)2 * i, 3, "%02x", copied->map_hash[i]);
	return add_text(disk, "id", b->disks[n].id) &&
	       add_text(disk, "type", b->cfg.parent ? "incremental" : "full") &&
	       add_number(disk, "bytes", hvs_point_bytes(b->point, n)) &&
	       add_number(disk, "block_size", b->disks[n].block_size) &&
	       add_number(disk, "stored_bytes", copied->stored_bytes) &&
	       add_number(disk, "map_bytes", copied->map_bytes) &&
	       add_text(disk, "map_sha256", hash);
}

static bool fill(struct json_object *m, const struct hvs_backup *b)
{
	struct json_object *disks = json_object_new_array();
	bool ok = add(m, "disks", disks) && add_text(m, "format", "hvstack-backup") &&
		  add_number(m, "version", 1) && add_guid(m, "id", &b->id) &&
		  add_guid(m, "parent", b->cfg.parent) && add_time(m, &b->time) &&
		  add_machine(m, b) && add_text(m, "guest_os", b->cfg.guest_os) &&
		  add_text(m, "consistency", b->application ? "application" : "crash") &&
		  (b->frozen_ms < 0 ? add_text(m, "frozen_ms", NULL)
				    : add_number(m, "frozen_ms", (uint64_t)b->frozen_ms)) &&
		  (b->held_us < 0 ? add_text(m, "held_us", NULL)
				  : add_number(m, "held_us", (uint64_t)b->held_us));

	for (uint32_t i = 0; i < b->cfg.disk_count && ok; i++)
		ok = add_disk(disks, b, i);
	return ok;
}

struct json_object *hvsi_backup_manifest(const struct hvs_backup *b)
{
	struct json_object *m = json_object_new_object();

	if (m && fill(m, b))
		return m;
	json_object_put(m);
	return NULL;
}
