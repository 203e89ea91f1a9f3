/* SPDX-License-Identifier: MIT */
/* Commands of the control socket that have to do with disks. */
#include "control_call.h"
#include "disk_option.h"
#include "disks.h"
#include "option_text.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(CALL_WHY >= DISKS_WHY, "reasons fit");

static enum outcome disk_add(struct call *call, struct json_object *result)
{
	const char *given = call_string(call, "disk");
	struct disk_option option;
	const char *id;
	char *text;
	bool ok;

	if (!given)
		return call_wrong(call, "'disk' is missing: FILE[,OPTION]..., as --disk has it");
	text = strdup(given);
	if (!text)
		return FAILED;
	call->code = "invalid-argument";
	ok = disk_option_parse(text, false, &option, call->why, sizeof(call->why));
	if (ok) {
		call->code = "failed";
		ok = disks_add(call->disks, &option, &id, call->why);
	}
	if (ok)
		json_object_object_add(result, "disk", json_object_new_string(id));
	free(text);
	return call_outcome(ok);
}

static enum outcome disk_remove(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "disk");

	(void)result;
	if (!id)
		return call_wrong(call, "'disk' is missing: the id of a disk");
	return disks_remove(call->disks, id, call_end, call, call->why) ? LATER : FAILED;
}

static enum outcome disk_resize(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "disk");
	const char *size = call_string(call, "size");
	uint64_t bytes = 0;

	(void)result;
	if (!id)
		return call_wrong(call, "'disk' is missing: the id of a disk");
	if (size && (!parse_size(size, &bytes) || !bytes))
		return call_wrong(call, "'size' is a number of bytes, maybe with K, M, G or T");
	return call_outcome(disks_resize(call->disks, id, bytes, call->why));
}

static enum outcome disk_read_only(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "disk");
	bool on;

	(void)result;
	if (!id || !call_flag(call, "on", &on))
		return call_wrong(call, "'disk' (an id) and 'on' (true or false) are needed");
	return call_outcome(disks_set_read_only(call->disks, id, on, call->why));
}

static enum outcome disk_limit(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "disk");
	uint64_t iops;
	uint64_t bps;

	(void)result;
	if (!id || !call_number(call, "iops", &iops) || !call_number(call, "bps", &bps))
		return call_wrong(call, "'disk' (an id) is needed; 'iops' and 'bps' are numbers");
	return call_outcome(disks_set_limits(call->disks, id, iops, bps, call->why));
}

static enum outcome medium_insert(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "disk");
	const char *file = call_string(call, "file");

	(void)result;
	if (!id || !file)
		return call_wrong(call, "'disk' (the id of a drive) and 'file' are needed");
	return call_outcome(disks_insert(call->disks, id, file, call->why));
}

static enum outcome medium_eject(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "disk");
	bool force;
	bool forced = call_flag(call, "force", &force) && force;

	(void)result;
	if (!id)
		return call_wrong(call, "'disk' is missing: the id of a drive");
	return disks_eject(call->disks, id, forced, call_end, call, call->why) ? LATER : FAILED;
}

static enum outcome disk_fault(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "disk");
	const char *rules = call_string(call, "rules");

	(void)result;
	if (!id || !rules)
		return call_wrong(call, "'disk' (an id) and 'rules' (a string) are needed");
	return call_outcome(disks_set_faults(call->disks, id, rules, call->why));
}

static void list_one(void *arg, const struct disk_view *disk)
{
	struct json_object *d = json_object_new_object();

	json_object_object_add(d, "disk", json_object_new_string(disk->id));
	json_object_object_add(d, "file", disk->file ? json_object_new_string(disk->file) : NULL);
	json_object_object_add(d, "controller", json_object_new_int((int)disk->controller));
	json_object_object_add(d, "lun", json_object_new_int((int)disk->lun));
	json_object_object_add(d, "optical", json_object_new_boolean(disk->optical));
	json_object_object_add(d, "read-only", json_object_new_boolean(disk->read_only));
	json_object_array_add(arg, d);
}

static enum outcome list_disks(struct call *call, struct json_object *result)
{
	struct json_object *array = json_object_new_array();

	disks_visit(call->disks, list_one, array);
	json_object_object_add(result, "disks", array);
	return DONE;
}

const struct command disk_commands[] = {
	{"disks", list_disks},
	{"disk-add", disk_add},
	{"disk-remove", disk_remove},
	{"disk-resize", disk_resize},
	{"disk-read-only", disk_read_only},
	{"disk-limit", disk_limit},
	{"disk-fault", disk_fault},
	{"medium-insert", medium_insert},
	{"medium-eject", medium_eject},
	{NULL, NULL},
};
