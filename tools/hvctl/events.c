/* SPDX-License-Identifier: MIT */
/* events: what happens, until the machine ends. */
#include "hvctl.h"

#include <stdio.h>
#include <string.h>

static void print_member(const char *name, struct json_object *value)
{
	const char *text =
		json_object_is_type(value, json_type_string)
			? json_object_get_string(value)
			: json_object_to_json_string_ext(
				  value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	putchar(' ');
	print_text(name);
	putchar('=');
	print_text(text);
}

static void print_event(struct json_object *params)
{
	const char *time = string_member(params, "time");
	const char *event = string_member(params, "event");
	const char *primary = string_member(object_member(params, "primary"), "name");

	print_text(time ? time : "-");
	putchar(' ');
	print_text(event ? event : "?");
	if (primary && string_member(params, "name")) {
		putchar(' ');
		print_text(string_member(params, "name"));
		fputs(": ", stdout);
		print_text(primary);
	} else {
		json_object_object_foreach(params, name, value)
		{
			if (strcmp(name, "time") != 0 && strcmp(name, "event") != 0)
				print_member(name, value);
		}
	}
	putchar('\n');
	fflush(stdout);
}

static void on_event(void *arg, struct json_object *params)
{
	const struct ctl *ctl = arg;

	if (!params)
		return;
	if (ctl->json)
		print_json_line(params);
	else
		print_event(params);
}

static int events(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"follow", no_argument, NULL, 'f'},
		COMMON_OPTIONS,
	};
	struct json_object *result;
	struct answer answer;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END)
		if (c == OPTION_WRONG)
			return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 0, 0, &code))
		return code;
	if (!connect_machine(ctl, &code))
		return code;
	client_set_events(ctl->client, on_event, ctl);
	result = ask(ctl, "events", NULL, &code);
	if (!result)
		return code;
	json_object_put(result);
	client_follow(ctl->client, &answer);
	return answer.ended ? EXIT_OK : fail(answer.code, "%s", answer.message);
}

const struct command event_commands[] = {
	{"events", "[-f]", "Print what happens, until the machine ends",
	 "  -f, --follow  is what it does in any case\n", events},
	{NULL, NULL, NULL, NULL, NULL},
};
