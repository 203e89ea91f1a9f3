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

const struct command disk_commands[] = {
	{"disk list", "", "List the disks", NULL, list},
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
