/* SPDX-License-Identifier: MIT */
/* Disks: what hvrun's methods do. */
#include "hvctl.h"

#include <stdlib.h>
#include <string.h>

enum {
	OPT_FORCE = 256,
	OPT_IOPS,
	OPT_BPS,
	OPT_OFF,
};

static void row(struct table *t, struct json_object *d)
{
	const uint64_t bytes = number_member(d, "bytes", UINT64_MAX);
	char text[FORMAT_MAX];

	table_cell(t, string_member(d, "disk"));
	table_cell(t, bool_member(d, "optical") ? "DVD" : "disk");
	table_cellf(t, "%llu:%llu", (unsigned long long)number_member(d, "controller", 0),
		    (unsigned long long)number_member(d, "lun", 0));
	table_cell(t, bytes == UINT64_MAX ? NULL : format_bytes(bytes, text));
	table_cell(t, bool_member(d, "read-only") ? "read-only" : "read-write");
	table_cell(t, bool_member(d, "backup") ? "yes" : "no");
	table_cell(t, string_member(d, "file"));
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Disk", "Kind",        "Place", "Size",
					     "Mode", "Can back up", "File",  NULL};
	static const struct list disks = {"devices", "disks", titles, row};

	return list_command(ctl, argc, argv, &disks);
}

/* The time that so many hundredths of the commands took at most. 0: none was measured. */
static uint64_t percentile_us(struct json_object *buckets, unsigned hundredths)
{
	uint64_t all = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < array_length(buckets); i++)
		all += json_object_get_uint64(json_object_array_get_idx(buckets, i));
	for (size_t i = 0; all && i < array_length(buckets) && i < 50; i++) {
		sum += json_object_get_uint64(json_object_array_get_idx(buckets, i));
		if (sum * 100 >= all * hundredths)
			return (UINT64_C(1024) << i) / 1000;
	}
	return 0;
}

static void op_row(struct table *t, const char *disk, const char *op, struct json_object *one)
{
	struct json_object *buckets = array_member(object_member(one, "latency"), "buckets");
	char text[FORMAT_MAX];

	table_cell(t, disk);
	table_cell(t, op);
	table_cellf(t, "%llu", (unsigned long long)number_member(one, "requests", 0));
	table_cell(t, format_bytes(number_member(one, "bytes", 0), text));
	table_cellf(t, "%llu", (unsigned long long)number_member(one, "errors", 0));
	for (unsigned hundredths = 50; hundredths <= 99; hundredths += 49) {
		const uint64_t us = percentile_us(buckets, hundredths);

		if (us)
			table_cellf(t, "%llu us", (unsigned long long)us);
		else
			table_cell(t, NULL);
	}
}

static void stats_rows(struct table *t, struct json_object *d)
{
	struct json_object *counters = object_member(d, "counters");

	if (!counters)
		return;
	json_object_object_foreach(counters, op, one)
	{
		op_row(t, string_member(d, "disk"), op, one);
	}
}

static int stats(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Disk",   "Operation", "Requests", "Bytes",
					     "Errors", "50% in",    "99% in",   NULL};
	static const struct list disks = {"devices", "disks", titles, stats_rows};

	return list_command(ctl, argc, argv, &disks);
}

/* FILE[,OPTION]... with the file named in full: the server may run elsewhere. In the option, a
 * comma of a name is written twice. */
static char *full_disk_option(const char *given)
{
	char *folder;
	char *text;
	char *to;

	if (*given == '/' || *given == ',' || !*given || strstr(given, "://") ||
	    strncmp(given, "nbd+", 4) == 0)
		return strdup(given);
	folder = absolute_path("");
	text = malloc(strlen(folder) * 2 + strlen(given) + 1);
	if (!text)
		abort();
	to = text;
	for (const char *from = folder; *from; from++) {
		if (*from == ',')
			*to++ = ',';
		*to++ = *from;
	}
	memcpy(to, given, strlen(given) + 1);
	free(folder);
	return text;
}

static int add(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params;
	struct json_object *result;
	char *full;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, 1, &code))
		return code;
	params = new_params();
	full = full_disk_option(argv[optind]);
	put_string(params, "disk", full);
	free(full);
	result = ask(ctl, "disk-add", params, &code);
	if (result && !show_json(ctl, result) && string_member(result, "disk")) {
		print_lines(string_member(result, "disk"));
		print_lines("\n");
	}
	json_object_put(result);
	return code;
}

/* One whose only argument is the id. */
static int simple(struct ctl *ctl, int argc, char **argv, const char *method)
{
	struct json_object *params;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, 1, &code))
		return code;
	params = new_params();
	put_string(params, "disk", argv[optind]);
	return order(ctl, method, params);
}

static int remove_disk(struct ctl *ctl, int argc, char **argv)
{
	return simple(ctl, argc, argv, "disk-remove");
}

static int resize(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, 2, &code))
		return code;
	params = new_params();
	put_string(params, "disk", argv[optind]);
	put_string(params, "size", argv[optind + 1]);
	return order(ctl, "disk-resize", params);
}

static int read_only(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"off", no_argument, NULL, OPT_OFF},
		COMMON_OPTIONS,
	};
	struct json_object *params;
	bool on = true;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		if (c == OPTION_WRONG)
			return EXIT_USAGE;
		on = false;
	}
	if (!check_arguments(ctl, argc, 1, 1, &code))
		return code;
	params = new_params();
	put_string(params, "disk", argv[optind]);
	put_bool(params, "on", on);
	return order(ctl, "disk-read-only", params);
}

static int limit(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"bps", required_argument, NULL, OPT_BPS},
		{"iops", required_argument, NULL, OPT_IOPS},
		COMMON_OPTIONS,
	};
	struct json_object *params = new_params();
	uint64_t n;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		if (c == OPTION_WRONG ||
		    !parse_bytes(c == OPT_BPS ? "--bps" : "--iops", optarg, &n)) {
			json_object_put(params);
			return EXIT_USAGE;
		}
		put_number(params, c == OPT_BPS ? "bps" : "iops", n);
	}
	if (!check_arguments(ctl, argc, 1, 1, &code)) {
		json_object_put(params);
		return code;
	}
	put_string(params, "disk", argv[optind]);
	return order(ctl, "disk-limit", params);
}

static int fault(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 2, 2, &code))
		return code;
	params = new_params();
	put_string(params, "disk", argv[optind]);
	put_string(params, "rules", argv[optind + 1]);
	return order(ctl, "disk-fault", params);
}

static int insert(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params;
	char *file;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 2, 2, &code))
		return code;
	file = absolute_path(argv[optind + 1]);
	params = new_params();
	put_string(params, "disk", argv[optind]);
	put_string(params, "file", file);
	free(file);
	return order(ctl, "medium-insert", params);
}

static int eject(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"force", no_argument, NULL, OPT_FORCE},
		COMMON_OPTIONS,
	};
	struct json_object *params;
	bool force = false;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		if (c == OPTION_WRONG)
			return EXIT_USAGE;
		force = true;
	}
	if (!check_arguments(ctl, argc, 1, 1, &code))
		return code;
	params = new_params();
	put_string(params, "disk", argv[optind]);
	if (force)
		put_bool(params, "force", true);
	return order(ctl, "medium-eject", params);
}

static int latency(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params;
	const char *state;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 2, 2, &code))
		return code;
	state = argv[optind + 1];
	if (strcmp(state, "on") != 0 && strcmp(state, "off") != 0)
		return fail(EXIT_USAGE, "%s: give on or off", state);
	params = new_params();
	put_string(params, "disk", argv[optind]);
	put_bool(params, "on", strcmp(state, "on") == 0);
	return order(ctl, "disk-latency", params);
}

const struct command disk_commands[] = {
	{"disk list", "", "List the disks", NULL, list},
	{"disk stats", "", "Show what disks have done, and how long it took",
	 "Times are upper bounds of intervals that double, and there if they are measured: see\n"
	 "`disk latency`.\n",
	 stats},
	{"disk latency", "DISK on|off", "Measure how long commands take, or no longer", NULL,
	 latency},
	{"disk add", "FILE[,OPTION]...", "Add a disk; print its id",
	 "The options are those of --disk in hvrun(1).\n", add},
	{"disk remove", "DISK", "Take a disk away", NULL, remove_disk},
	{"disk resize", "DISK [SIZE]", "Make a disk longer or shorter",
	 "SIZE is a number of bytes, maybe with K, M, G or T. Without it: somebody else has done\n"
	 "that, and the guest is to see it.\n",
	 resize},
	{"disk read-only", "[--off] DISK", "Let the guest write to a disk no more, or again", NULL,
	 read_only},
	{"disk limit", "[--iops N] [--bps N] DISK", "Limit operations and bytes per second",
	 "Without --iops or --bps there is no such limit any more.\n", limit},
	{"disk fault", "DISK RULES", "Have a disk misbehave, for tests", NULL, fault},
	{"disk insert", "DISK FILE", "Put a medium into a drive", NULL, insert},
	{"disk eject", "[--force] DISK", "Take the medium out of a drive",
	 "  --force  even if the guest has locked it\n", eject},
	{NULL, NULL, NULL, NULL, NULL},
};
