/* SPDX-License-Identifier: MIT */
/* Commands that ask for an array and print it as a table. */
#include "hvctl.h"

int list_command(struct ctl *ctl, int argc, char **argv, const struct list *list)
{
	struct json_object *result;
	struct json_object *array;
	struct table *t;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, list->method, NULL, &code);
	if (result && !show_json(ctl, result)) {
		array = array_member(result, list->array);
		t = table_new(list->titles);
		for (size_t i = 0; i < array_length(array); i++)
			list->row(t, json_object_array_get_idx(array, i));
		table_print(t);
	}
	json_object_put(result);
	return code;
}
