/* SPDX-License-Identifier: MIT */
/* Channels of the VMBus. */
#include "hvctl.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	OPT_MAX_BYTES = 256,
	OPT_MAX_PACKET,
	OPT_DEVICE,
};

static void row(struct table *t, struct json_object *c)
{
	struct json_object *counters = object_member(c, "counters");
	const char *const numbers[] = {"from-packets",   "to-packets", "signals-sent",
				       "signals-spared", "ring-full",  "faults"};

	table_cellf(t, "%llu", (unsigned long long)number_member(c, "channel", 0));
	table_cell(t, string_member(c, "class"));
	table_cell(t, string_member(c, "instance_id"));
	table_cellf(t, "%llu", (unsigned long long)number_member(c, "subchannel", 0));
	table_cell(t, string_member(c, "state"));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		table_cellf(t, "%llu", (unsigned long long)number_member(counters, numbers[i], 0));
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Channel", "Class", "Device", "Sub",
					     "State",   "From",  "To",     "Signals",
					     "Spared",  "Full",  "Faults", NULL};
	static const struct list channels = {"channels", "channels", titles, row};

	return list_command(ctl, argc, argv, &channels);
}

static int capture(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"device", required_argument, NULL, OPT_DEVICE},
		{"max-bytes", required_argument, NULL, OPT_MAX_BYTES},
		{"max-packet", required_argument, NULL, OPT_MAX_PACKET},
		COMMON_OPTIONS,
	};
	struct json_object *params = new_params();
	uint64_t number = 0;
	bool ok = true;
	char *file;
	int code;
	int c;

	while (ok && (c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		if (c == OPT_DEVICE)
			put_string(params, "device", optarg);
		else if (c == OPT_MAX_BYTES && (ok = parse_bytes("--max-bytes", optarg, &number)))
			put_number(params, "max-bytes", number);
		else if (c == OPT_MAX_PACKET && (ok = parse_bytes("--max-packet", optarg, &number)))
			put_number(params, "max-packet", number);
		else if (c == OPTION_WRONG)
			ok = false;
	}
	code = EXIT_USAGE;
	if (!ok || !check_arguments(ctl, argc, 0, 1, &code)) {
		json_object_put(params);
		return code;
	}
	if (optind < argc) {
		file = absolute_path(argv[optind]);
		put_string(params, "file", file);
		free(file);
	}
	return order(ctl, "channel-capture", params);
}

static int status(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	struct table *t;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, "channel-capture-status", NULL, &code);
	if (result && !show_json(ctl, result)) {
		t = table_new(NULL);
		table_line(t, "Active", bool_member(result, "active") ? "yes" : "no");
		table_linef(t, "Packets", "%llu",
			    (unsigned long long)number_member(result, "packets", 0));
		table_linef(t, "Dropped", "%llu",
			    (unsigned long long)number_member(result, "dropped", 0));
		table_linef(t, "Bytes", "%llu",
			    (unsigned long long)number_member(result, "bytes", 0));
		table_line(t, "Error", string_member(result, "error"));
		table_print(t);
	}
	json_object_put(result);
	return code;
}

const struct command channel_commands[] = {
	{"channel list", "", "List the channels and what they have counted", NULL, list},
	{"channel capture", "[--max-bytes N] [--max-packet N] [--device GUID] [FILE]",
	 "Write down what passes the VMBus, or stop that",
	 "For Wireshark, with the dissector that comes with hvstack. The file has the guest's "
	 "data\n"
	 "in it. --max-packet: bytes kept of each packet. --device: packets of one device, by its\n"
	 "id in `channel list`. Without FILE: stop.\n",
	 capture},
	{"channel capture-status", "", "Show how far a capture is", NULL, status},
	{NULL, NULL, NULL, NULL, NULL},
};
