/* SPDX-License-Identifier: MIT */
/* json-c asserts where memory is short, and reads more than JSON. */
#include "host/manager_impl.h"
#include "host/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 32
#define MAX_CONTAINERS 8192u /* json-c takes a kilobyte for the two bytes of an empty object */

void hvsi_json_add(struct json_object *to, const char *name, struct json_object *value)
{
	if (!to || json_object_object_add(to, name, value) < 0)
		json_object_put(value);
}

void hvsi_json_string(struct json_object *to, const char *name, const char *text)
{
	hvsi_json_add(to, name, text ? json_object_new_string(text) : NULL);
}

void hvsi_json_number(struct json_object *to, const char *name, uint64_t n)
{
	hvsi_json_add(to, name, json_object_new_uint64(n));
}

void hvsi_json_bool(struct json_object *to, const char *name, bool value)
{
	hvsi_json_add(to, name, json_object_new_boolean(value));
}

void hvsi_json_append(struct json_object *to, struct json_object *value)
{
	if (!to || json_object_array_add(to, value) < 0)
		json_object_put(value);
}

static bool has_few_containers(const char *text, size_t len)
{
	bool string = false;
	unsigned n = 0;

	for (size_t i = 0; i < len && n <= MAX_CONTAINERS; i++) {
		if (text[i] == '"')
			string = !string;
		else if (string && text[i] == '\\')
			i++;
		else if (!string && (text[i] == '{' || text[i] == '['))
			n++;
	}
	return n <= MAX_CONTAINERS;
}

struct json_object *hvsi_json_parse(const char *text, size_t len, const char **why)
{
	struct json_tokener *tokener;
	struct json_object *value;
	enum json_tokener_error err;

	*why = "there are too many objects and arrays in it";
	if (!has_few_containers(text, len))
		return NULL;
	*why = "out of memory";
	tokener = json_tokener_new_ex(MAX_DEPTH);
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	value = json_tokener_parse_ex(tokener, text, (int)len);
	err = json_tokener_get_error(tokener);
	if (err == json_tokener_continue) { /* a number may have more digits: no */
		value = json_tokener_parse_ex(tokener, "", 1);
		err = json_tokener_get_error(tokener);
	}
	*why = err == json_tokener_continue ? "it is not complete" : json_tokener_error_desc(err);
	if (err == json_tokener_success && memchr(text, '\0', len)) {
		err = json_tokener_error_parse_unexpected;
		*why = "there is a NUL in it";
	}
	json_tokener_free(tokener);
	if (err != json_tokener_success) {
		json_object_put(value);
		return NULL;
	}
	*why = NULL;
	return value;
}

const char *hvsi_json_text(struct json_object *value)
{
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

/* ---- UTF-8 ------------------------------------------------------------------------------------- */

/* Names of files need not be UTF-8. What is not is in a string, so it stays JSON. */
static void replace_wrong(char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned n = hvsi_utf8_character((const uint8_t *)text + i);

		if (!n)
			text[i] = '?';
		i += n ? n : 1;
	}
}

char *hvsi_json_line(struct json_object *message, size_t *len)
{
	const char *text =
		message ? json_object_to_json_string_length(
				  message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
				  len)
			: NULL;
	char *line = text ? malloc(*len + 1) : NULL;

	if (!line)
		return NULL;
	memcpy(line, text, *len + 1);
	replace_wrong(line, *len);
	line[(*len)++] = '\n';
	return line;
}
