/* SPDX-License-Identifier: MIT */
/* Network adapters: what hvrun's methods do. */
#include "hvctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPT_MAX_BYTES = 256,
};

static void row(struct table *t, struct json_object *n)
{
	struct json_object *counters = object_member(n, "counters");
	const char *target = string_member(n, "target");
	const char *backend = string_member(n, "backend");
	char text[FORMAT_MAX];

	table_cell(t, string_member(n, "net"));
	table_cell(t, string_member(n, "mac"));
	table_cell(t, bool_member(n, "link-up") ? "up" : "down");
	table_cellf(t, "%s%s%s", backend ? backend : "-", target ? ":" : "", target ? target : "");
	table_cellf(t, "%llu", (unsigned long long)number_member(n, "channels", 0));
	table_cell(t, format_bytes(number_member(counters, "from-bytes", 0), text));
	table_cell(t, format_bytes(number_member(counters, "to-bytes", 0), text));
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Adapter",  "MAC",  "Link",     "Backend",
					     "Channels", "Sent", "Received", NULL};
	static const struct list nets = {"devices", "nets", titles, row};

	return list_command(ctl, argc, argv, &nets);
}

static int add(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params;
	struct json_object *result;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, 1, &code))
		return code;
	params = new_params();
	put_string(params, "net", argv[optind]);
	result = ask(ctl, "net-add", params, &code);
	if (result && !show_json(ctl, result) && string_member(result, "net")) {
		print_text(string_member(result, "net"));
		putchar('\n');
	}
	json_object_put(result);
	return code;
}

/* The parameters of one that has an adapter's id and maybe another argument. NULL: *code. */
static struct json_object *take(struct ctl *ctl, int argc, char **argv, int min, int max, int *code)
{
	struct json_object *params;

	if (!take_arguments(ctl, argc, argv, common_options, min, max, code))
		return NULL;
	params = new_params();
	put_string(params, "net", argv[optind]);
	return params;
}

static int remove_net(struct ctl *ctl, int argc, char **argv)
{
	int code;
	struct json_object *params = take(ctl, argc, argv, 1, 1, &code);

	return params ? order(ctl, "net-remove", params) : code;
}

static int link_state(struct ctl *ctl, int argc, char **argv)
{
	int code;
	struct json_object *params = take(ctl, argc, argv, 2, 2, &code);
	const char *state;

	if (!params)
		return code;
	state = argv[optind + 1];
	if (strcmp(state, "up") != 0 && strcmp(state, "down") != 0) {
		json_object_put(params);
		return fail(EXIT_USAGE, "%s: give up or down", state);
	}
	put_bool(params, "up", strcmp(state, "up") == 0);
	return order(ctl, "net-link", params);
}

static int policy(struct ctl *ctl, int argc, char **argv)
{
	int code;
	struct json_object *params = take(ctl, argc, argv, 1, 2, &code);
	struct json_object *object = NULL;

	if (!params)
		return code;
	if (optind + 1 < argc) {
		object = json_object_from_file(
			strcmp(argv[optind + 1], "-") == 0 ? "/dev/stdin" : argv[optind + 1]);
		if (!json_object_is_type(object, json_type_object)) {
			json_object_put(object);
			json_object_put(params);
			return fail(EXIT_USAGE,
				    "%s: can't be read, or is not a JSON object; policies are "
				    "described in hvrun(1)",
				    argv[optind + 1]);
		}
	}
	json_object_object_add(params, "policy", object);
	return order(ctl, "net-policy", params);
}

static int capture(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"max-bytes", required_argument, NULL, OPT_MAX_BYTES},
		COMMON_OPTIONS,
	};
	struct json_object *params;
	uint64_t max_bytes = 0;
	char *file;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END)
		if (c == OPTION_WRONG || !parse_bytes("--max-bytes", optarg, &max_bytes))
			return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 1, 2, &code))
		return code;
	params = new_params();
	put_string(params, "net", argv[optind]);
	if (optind + 1 < argc) {
		file = absolute_path(argv[optind + 1]);
		put_string(params, "file", file);
		free(file);
	}
	if (max_bytes)
		put_number(params, "max-bytes", max_bytes);
	return order(ctl, "net-capture", params);
}

static int mirror(struct ctl *ctl, int argc, char **argv)
{
	int code;
	struct json_object *params = take(ctl, argc, argv, 1, 2, &code);

	if (!params)
		return code;
	if (optind + 1 < argc)
		put_string(params, "to", argv[optind + 1]);
	return order(ctl, "net-mirror", params);
}

static int forward(struct ctl *ctl, int argc, char **argv)
{
	int code;
	struct json_object *params = take(ctl, argc, argv, 2, 2, &code);

	if (!params)
		return code;
	put_string(params, "forward", argv[optind + 1]);
	return order(ctl, "net-forward", params);
}

static int unforward(struct ctl *ctl, int argc, char **argv)
{
	int code;
	struct json_object *params = take(ctl, argc, argv, 2, 2, &code);

	if (!params)
		return code;
	put_string(params, "forward", argv[optind + 1]);
	return order(ctl, "net-unforward", params);
}

const struct command net_commands[] = {
	{"net list", "", "List the network adapters", NULL, list},
	{"net add", "BACKEND[,OPTION]...", "Add an adapter; print its id",
	 "The options are those of --net in hvrun(1).\n", add},
	{"net remove", "NET", "Take an adapter away", NULL, remove_net},
	{"net link", "NET up|down", "Plug the cable in, or unplug it", NULL, link_state},
	{"net policy", "NET [FILE]", "Replace the policy of an adapter",
	 "FILE is a policy in JSON, as in hvrun(1); \"-\" is standard input. Without it: the one\n"
	 "that adapters begin with.\n",
	 policy},
	{"net capture", "[--max-bytes N] NET [FILE]", "Write down what passes, or stop that",
	 "Without FILE: stop.\n", capture},
	{"net mirror", "NET [NET]", "Have another adapter get copies, or stop that",
	 "Without the second adapter: stop.\n", mirror},
	{"net forward", "NET tcp|udp:[ADDR:]PORT:GUESTPORT", "Forward a port to the guest", NULL,
	 forward},
	{"net unforward", "NET tcp|udp:[ADDR:]PORT:GUESTPORT", "Forward it no longer", NULL,
	 unforward},
	{NULL, NULL, NULL, NULL, NULL},
};
