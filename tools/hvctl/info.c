/* SPDX-License-Identifier: MIT */
/* list, info, metrics, methods, call. */
#include "hvctl.h"
#include "machines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- list ------------------------------------------------------------------------------------ */

static const char *os_name(struct json_object *info, char *text, size_t size)
{
	struct json_object *os = object_member(info, "os");
	struct json_object *guest_os = object_member(info, "guest_os");
	const char *name = string_member(os, "name");
	const char *version;

	if (name)
		return name;
	name = string_member(guest_os, "name");
	version = string_member(guest_os, "version");
	if (!name || !version)
		return name;
	snprintf(text, size, "%s %s", name, version);
	return text;
}

static const char *status_name(struct json_object *status, const char *which)
{
	return string_member(object_member(status, which), "name");
}

static void list_json(const struct machines *m)
{
	struct json_object *all = json_object_new_object();
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < m->count; i++) {
		struct json_object *one = json_object_new_object();

		put_string(one, "socket", m->at[i].socket);
		json_object_object_add(one, "info", json_object_get(m->at[i].info));
		if (!m->at[i].info)
			put_string(one, "error", m->at[i].why);
		json_object_array_add(array, one);
	}
	json_object_object_add(all, "machines", array);
	print_json(all);
	json_object_put(all);
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Name", "State", "Guest", "Heartbeat", "Socket", NULL};
	struct machines m;
	struct table *t;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	machines_find(&m);
	if (ctl->json) {
		list_json(&m);
		machines_free(&m);
		return EXIT_OK;
	}
	t = table_new(titles);
	for (size_t i = 0; i < m.count; i++) {
		struct json_object *info = m.at[i].info;
		char text[200];

		table_cell(t, string_member(info, "name"));
		table_cell(t, info ? string_member(info, "state") : m.at[i].why);
		table_cell(t, os_name(info, text, sizeof(text)));
		table_cell(t, status_name(object_member(info, "heartbeat"), "primary"));
		table_cell(t, m.at[i].socket);
	}
	table_print(t);
	machines_free(&m);
	return EXIT_OK;
}

/* ---- info ------------------------------------------------------------------------------------ */

static void line_of_list(struct table *t, const char *name, struct json_object *array)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		abort();
	for (size_t i = 0; i < array_length(array); i++) {
		const char *one = json_object_get_string(json_object_array_get_idx(array, i));

		fprintf(f, "%s%s", i ? ", " : "", one ? one : "?");
	}
	fclose(f);
	if (array_length(array))
		table_line(t, name, text);
	free(text);
}

static void show_info(struct json_object *info)
{
	struct json_object *guest_os = object_member(info, "guest_os");
	struct json_object *os = object_member(info, "os");
	struct json_object *addresses = object_member(info, "addresses");
	struct json_object *heartbeat = object_member(info, "heartbeat");
	const uint64_t up = number_member(heartbeat, "up_ms", 0);
	struct table *t = table_new(NULL);
	char text[FORMAT_MAX];

	table_line(t, "Name", string_member(info, "name"));
	table_line(t, "UUID", string_member(info, "uuid"));
	table_line(t, "State", string_member(info, "state"));
	table_line(t, "VMBus", string_member(info, "vmbus"));
	if (guest_os)
		table_linef(t, "Kernel", "%s %s",
			    string_member(guest_os, "name") ? string_member(guest_os, "name") : "?",
			    string_member(guest_os, "version") ? string_member(guest_os, "version")
							       : "");
	table_line(t, "System", string_member(os, "name"));
	table_line(t, "System version", string_member(os, "version"));
	table_line(t, "Architecture", string_member(os, "architecture"));
	table_line(t, "Computer name", string_member(os, "computer"));
	table_line(t, "Integration services", string_member(os, "integration_services"));
	line_of_list(t, "IPv4 addresses", array_member(addresses, "ipv4"));
	line_of_list(t, "IPv6 addresses", array_member(addresses, "ipv6"));
	table_line(t, "Heartbeat", status_name(heartbeat, "primary"));
	if (up)
		table_line(t, "Guest up for", format_ms(up, text));
	table_print(t);
}

static int info(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, "info", NULL, &code);
	if (result && !show_json(ctl, result))
		show_info(result);
	json_object_put(result);
	return code;
}

/* ---- others ---------------------------------------------------------------------------------- */

static int metrics(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	const char *text;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, "metrics", NULL, &code);
	text = string_member(result, "text");
	if (result && !show_json(ctl, result) && text)
		print_lines(text);
	json_object_put(result);
	return code;
}

static int version(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	struct table *t;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, "version", NULL, &code);
	if (result && !show_json(ctl, result)) {
		t = table_new(NULL);
		table_linef(t, "Protocol", "%llu",
			    (unsigned long long)number_member(result, "protocol", 0));
		table_line(t, "Server", string_member(result, "server"));
		table_line(t, "Library", string_member(result, "library"));
		table_line(t, "Your role", string_member(result, "role"));
		table_print(t);
	}
	json_object_put(result);
	return code;
}

static void method_row(struct table *t, struct json_object *method)
{
	table_cell(t, string_member(method, "name"));
	table_cell(t, bool_member(method, "allowed") ? "yes" : "no");
}

static int methods(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Method", "Allowed", NULL};
	static const struct list all = {"methods", "methods", titles, method_row};

	return list_command(ctl, argc, argv, &all);
}

static int call(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params = NULL;
	struct json_object *result;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, 2, &code))
		return code;
	if (optind + 1 < argc) {
		params = json_tokener_parse(argv[optind + 1]);
		if (!json_object_is_type(params, json_type_object)) {
			json_object_put(params);
			return fail(EXIT_USAGE,
				    "%s: the parameters must be a JSON object, as in "
				    "'{\"pool\": \"auto\"}'",
				    argv[optind + 1]);
		}
	}
	result = ask(ctl, argv[optind], params, &code);
	if (result)
		print_json(result);
	json_object_put(result);
	return code;
}

const struct command info_commands[] = {
	{"list", "", "List the machines that run here",
	 "Sockets are looked for in $XDG_RUNTIME_DIR/hvstack and /run/hvstack.\n", list},
	{"info", "", "Show a machine and what is known of its guest", NULL, info},
	{"version", "", "Show versions, and which role you have", NULL, version},
	{"methods", "", "List what the machine can be asked, and what of it you may ask", NULL,
	 methods},
	{"metrics", "", "Print counters in OpenMetrics text", NULL, metrics},
	{"call", "METHOD [PARAMS]", "Call a method; print the result as JSON",
	 "PARAMS is a JSON object. docs/management.md describes the methods.\n", call},
	{NULL, NULL, NULL, NULL, NULL},
};
