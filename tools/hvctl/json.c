/* SPDX-License-Identifier: MIT */
/* Parameters, and members of answers, which may be anything. */
#include "hvctl.h"

#include <string.h>

struct json_object *new_params(void)
{
	return json_object_new_object();
}

void put_string(struct json_object *params, const char *name, const char *text)
{
	if (text)
		json_object_object_add(params, name, json_object_new_string(text));
}

void put_number(struct json_object *params, const char *name, uint64_t number)
{
	json_object_object_add(params, name, json_object_new_uint64(number));
}

void put_bool(struct json_object *params, const char *name, bool value)
{
	json_object_object_add(params, name, json_object_new_boolean(value));
}

struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		json_object_object_get_ex(object, name, &value);
	return value;
}

static struct json_object *typed(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *value = member(object, name);

	return value && json_object_is_type(value, type) ? value : NULL;
}

struct json_object *object_member(struct json_object *object, const char *name)
{
	return typed(object, name, json_type_object);
}

struct json_object *array_member(struct json_object *object, const char *name)
{
	return typed(object, name, json_type_array);
}

const char *string_member(struct json_object *object, const char *name)
{
	struct json_object *value = typed(object, name, json_type_string);
	const char *text = value ? json_object_get_string(value) : NULL;

	/* What is behind a NUL would not be seen. */
	return text && strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

uint64_t number_member(struct json_object *object, const char *name, uint64_t otherwise)
{
	struct json_object *value = typed(object, name, json_type_int);

	if (!value || json_object_get_int64(value) < 0)
		return otherwise;
	return json_object_get_uint64(value);
}

bool bool_member(struct json_object *object, const char *name)
{
	struct json_object *value = typed(object, name, json_type_boolean);

	return value && json_object_get_boolean(value);
}

size_t array_length(struct json_object *array)
{
	return array ? json_object_array_length(array) : 0;
}
