/* SPDX-License-Identifier: MIT */
/* Integration services: state, heartbeat, time. */
#include "hvctl.h"

#include <string.h>

static const char *status_name(struct json_object *status, const char *which)
{
	return string_member(object_member(status, which), "name");
}

static void row(struct table *t, struct json_object *s)
{
	table_cell(t, string_member(s, "name"));
	table_cell(t, string_member(s, "service"));
	table_cell(t, bool_member(s, "enabled") ? "True" : "False");
	table_cell(t, status_name(s, "primary"));
	table_cell(t, status_name(s, "secondary"));
	table_cell(t, string_member(s, "version"));
}

static int services(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {
		"Name",    "Service", "Enabled", "Primary status", "Secondary status",
		"Version", NULL};
	static const struct list all = {"services", "services", titles, row};

	return list_command(ctl, argc, argv, &all);
}

static int set_enabled(struct ctl *ctl, int argc, char **argv, bool enabled)
{
	struct json_object *params;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, 1, &code))
		return code;
	params = new_params();
	put_string(params, "service", argv[optind]);
	put_bool(params, "enabled", enabled);
	return order(ctl, "service-enable", params);
}

static int enable(struct ctl *ctl, int argc, char **argv)
{
	return set_enabled(ctl, argc, argv, true);
}

static int disable(struct ctl *ctl, int argc, char **argv)
{
	return set_enabled(ctl, argc, argv, false);
}

static int heartbeat(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	struct table *t;
	char text[FORMAT_MAX];
	uint64_t last;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, "heartbeat", NULL, &code);
	if (result && !show_json(ctl, result)) {
		last = number_member(result, "last_beat_ms", UINT64_MAX);
		t = table_new(NULL);
		table_line(t, "Primary status", status_name(result, "primary"));
		table_line(t, "Secondary status", status_name(result, "secondary"));
		table_line(t, "Applications", string_member(result, "application"));
		table_linef(t, "Beats", "%llu",
			    (unsigned long long)number_member(result, "beats", 0));
		table_linef(t, "Missed", "%llu",
			    (unsigned long long)number_member(result, "missed", 0));
		if (last == UINT64_MAX)
			table_line(t, "Last beat", "never");
		else
			table_linef(t, "Last beat", "%s ago", format_ms(last, text));
		table_line(t, "Guest up for", format_ms(number_member(result, "up_ms", 0), text));
		table_print(t);
	}
	json_object_put(result);
	return code;
}

static int time_sync(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"timeout", required_argument, NULL, 256},
		COMMON_OPTIONS,
	};
	struct json_object *params;
	uint64_t timeout = 0;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END)
		if (c == OPTION_WRONG || !parse_seconds("--timeout", optarg, &timeout))
			return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 0, 0, &code))
		return code;
	params = new_params();
	if (timeout)
		put_number(params, "timeout_ms", timeout);
	return order(ctl, "time-sync", params);
}

const struct command service_commands[] = {
	{"services", "", "List the integration services and their state", NULL, services},
	{"service enable", "SERVICE", "Offer a service to the guest",
	 "SERVICE is heartbeat, kvp, shutdown, time-sync, vss or file-copy.\n", enable},
	{"service disable", "SERVICE", "Take a service away from the guest",
	 "SERVICE is heartbeat, kvp, shutdown, time-sync, vss or file-copy.\n", disable},
	{"heartbeat", "", "Show whether the guest is alive", NULL, heartbeat},
	{"time-sync", "[--timeout SECONDS]", "Have the guest set its clock now", NULL, time_sync},
	{NULL, NULL, NULL, NULL, NULL},
};
