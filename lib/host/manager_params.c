/* SPDX-License-Identifier: MIT */
/* Parameters of a call: whatever is wrong with one ends it with a sentence that names it. */
#include "host/manager_impl.h"

#include <string.h>

/* True: it is there. False: it is not; the call has ended if it is required (*ended). */
static bool find(struct hvs_call *call, const char *name, bool required, const char *what,
		 struct json_object **value, bool *ended)
{
	*ended = false;
	if (call->params && json_object_object_get_ex(call->params, name, value))
		return true;
	if (required) {
		*ended = true;
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'%s' is missing: %s", name, what);
	}
	return false;
}

bool hvs_call_string(struct hvs_call *call, const char *name, bool required, const char **value)
{
	struct json_object *found;
	const char *text;
	bool ended;

	if (!find(call, name, required, "a string", &found, &ended))
		return !ended;
	text = hvsi_json_text(found);
	if (!text) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'%s' is a string%s", name,
			      json_object_is_type(found, json_type_string) ? " without U+0000"
									   : "");
		return false;
	}
	*value = text;
	return true;
}

bool hvs_call_number(struct hvs_call *call, const char *name, bool required, uint64_t max,
		     uint64_t *value)
{
	struct json_object *found;
	uint64_t n;
	bool ended;

	if (!find(call, name, required, "a number", &found, &ended))
		return !ended;
	/* json-c makes 0 of what is below it, and UINT64_MAX of what is above. */
	n = json_object_get_uint64(found);
	if (!json_object_is_type(found, json_type_int) || json_object_get_int64(found) < 0 ||
	    n > max || n == UINT64_MAX) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'%s' is a whole number from 0 to %llu", name,
			      (unsigned long long)max);
		return false;
	}
	*value = n;
	return true;
}

bool hvs_call_bool(struct hvs_call *call, const char *name, bool required, bool *value)
{
	struct json_object *found;
	bool ended;

	if (!find(call, name, required, "true or false", &found, &ended))
		return !ended;
	if (!json_object_is_type(found, json_type_boolean)) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'%s' is true or false", name);
		return false;
	}
	*value = json_object_get_boolean(found);
	return true;
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names)
		if (strcmp(name, *names++) == 0)
			return true;
	return false;
}

bool hvs_call_only(struct hvs_call *call, const char *const *names)
{
	if (!call->params)
		return true;
	json_object_object_foreach(call->params, name, value)
	{
		(void)value;
		if (!is_one_of(name, names)) {
			hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "there is no parameter '%s'",
				      name);
			return false;
		}
	}
	return true;
}
