/* SPDX-License-Identifier: MIT */
/*
 * backup create: the machine writes into files that are made here, and says at the end what they
 * are. A folder becomes a backup by its manifest, which comes last.
 */
#include "backup_chain.h"
#include "backup_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OPT_CONSISTENCY = 256,
	OPT_DISK,
	OPT_PARENT,
	OPT_RATE,
};

struct target {
	char *id;
	char *image; /* names in the folder */
	char *map;
	int fds[2]; /* of these */
};

struct run {
	const char *folder;
	const char *consistency;
	const char *parent_folder;
	uint64_t rate;
	char *parent; /* its id */
	bool made;    /* the folder */
	struct target *targets;
	unsigned count;
};

static void add_target(struct run *run, const char *id)
{
	run->targets = reallocarray(run->targets, run->count + 1, sizeof(*run->targets));
	if (!run->targets)
		abort();
	run->targets[run->count++] = (struct target){.id = strdup(id), .fds = {-1, -1}};
}

/* ---- which disks ----------------------------------------------------------------------------- */

/* All that can be backed up, if none were named. */
static int find_disks(struct ctl *ctl, struct run *run)
{
	int code;
	struct json_object *result;
	struct json_object *disks;

	if (run->count)
		return EXIT_OK;
	result = ask(ctl, "devices", NULL, &code);
	disks = array_member(result, "disks");
	for (size_t i = 0; i < array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);
		const char *id = string_member(disk, "id");

		if (!id)
			id = string_member(disk, "disk");
		if (id && bool_member(disk, "backup"))
			add_target(run, id);
	}
	json_object_put(result);
	if (!code && !run->count)
		return fail(EXIT_FAILED,
			    "the machine has no disk that can be backed up ('hvctl disk list')");
	return code;
}

static int check_disks(const struct run *run)
{
	if (run->count > BACKUP_MAX_DISKS / 2)
		return fail(EXIT_USAGE, "too many disks");
	for (unsigned i = 0; i < run->count; i++) {
		if (!is_file_name(run->targets[i].id))
			return fail(EXIT_USAGE,
				    "disk '%s': no file can be called so; give it another id",
				    run->targets[i].id);
		for (unsigned k = 0; k < i; k++)
			if (strcmp(run->targets[i].id, run->targets[k].id) == 0)
				return fail(EXIT_USAGE, "disk '%s' is named twice",
					    run->targets[i].id);
	}
	return EXIT_OK;
}

static int find_parent(struct run *run)
{
	struct backup parent;
	bool ok;

	if (!run->parent_folder)
		return EXIT_OK;
	ok = backup_load(&parent, run->parent_folder);
	if (ok)
		run->parent = strdup(parent.id);
	backup_free(&parent);
	return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int make_file(const struct run *run, const char *name)
{
	char *path = path_in(run->folder, name);
	const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	free(path);
	return fd;
}

static int make_files(struct run *run)
{
	run->made = mkdir(run->folder, 0700) == 0;
	if (!run->made && errno != EEXIST)
		return fail(EXIT_FAILED, "%s: %s", run->folder, strerror(errno));
	for (unsigned i = 0; i < run->count; i++) {
		struct target *t = &run->targets[i];

		if (asprintf(&t->image, "%s.%s", t->id, run->parent ? "inc" : "img") < 0 ||
		    asprintf(&t->map, "%s.map", t->id) < 0)
			abort();
		t->fds[0] = make_file(run, t->image);
		t->fds[1] = t->fds[0] < 0 ? -1 : make_file(run, t->map);
		if (t->fds[1] < 0)
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

static void remove_file(const struct run *run, const char *name)
{
	char *path = path_in(run->folder, name);

	unlink(path);
	free(path);
}

static void remove_files(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++) {
		if (run->targets[i].fds[0] >= 0)
			remove_file(run, run->targets[i].image);
		if (run->targets[i].fds[1] >= 0)
			remove_file(run, run->targets[i].map);
	}
	if (run->made)
		rmdir(run->folder);
}

static int sync_files(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++)
		for (unsigned k = 0; k < 2; k++)
			if (fsync(run->targets[i].fds[k]) < 0)
				return fail(EXIT_FAILED, "%s: %s", run->folder, strerror(errno));
	return EXIT_OK;
}

static int write_manifest(const struct run *run, struct json_object *manifest)
{
	char *temporary = path_in(run->folder, "manifest.json.new");
	char *path = path_in(run->folder, "manifest.json");
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && json_object_to_fd(fd, manifest, JSON_C_TO_STRING_PRETTY) == 0 &&
		  fsync(fd) == 0;
	int code = EXIT_OK;

	if (fd >= 0 && close(fd) < 0)
		ok = false;
	if (!ok || rename(temporary, path) < 0 || sync_folder(run->folder)) {
		code = fail(EXIT_FAILED, "%s: can't be written: %s", path, strerror(errno));
		unlink(temporary);
		unlink(path);
	}
	free(temporary);
	free(path);
	return code;
}

/* ---- the backup ------------------------------------------------------------------------------ */

static void on_event(void *arg, struct json_object *params)
{
	const char *event = string_member(params, "event");
	const char *disk = string_member(params, "disk");

	(void)arg;
	if (event && strcmp(event, "backup-progress") == 0 && disk)
		show_progress(disk, number_member(params, "done_bytes", 0),
			      number_member(params, "total_bytes", 0));
}

static struct json_object *params_of(const struct run *run)
{
	struct json_object *params = new_params();
	struct json_object *disks = json_object_new_array();

	for (unsigned i = 0; i < run->count; i++)
		json_object_array_add(disks, json_object_new_string(run->targets[i].id));
	json_object_object_add(params, "disks", disks);
	put_string(params, "consistency", run->consistency);
	put_string(params, "parent", run->parent);
	if (run->rate)
		put_number(params, "max_bytes_per_s", run->rate);
	return params;
}

/* The machine does not know what its files are called here. */
static bool name_files(const struct run *run, struct json_object *manifest)
{
	struct json_object *disks = array_member(manifest, "disks");

	for (unsigned i = 0; i < run->count; i++) {
		struct json_object *disk =
			i < array_length(disks) ? json_object_array_get_idx(disks, i) : NULL;
		const char *id = string_member(disk, "id");

		if (!id || strcmp(id, run->targets[i].id) != 0)
			return false;
		put_string(disk, "image", run->targets[i].image);
		put_string(disk, "map", run->targets[i].map);
	}
	return array_length(disks) == run->count;
}

static int finish(struct ctl *ctl, const struct run *run, struct json_object *result)
{
	struct json_object *manifest = object_member(result, "manifest");
	const uint64_t frozen = number_member(manifest, "frozen_ms", UINT64_MAX);
	const char *consistency = string_member(manifest, "consistency");
	struct backup b = {0};
	char text[FORMAT_MAX];
	int code;

	if (!manifest || !name_files(run, manifest) ||
	    !backup_parse(&b, run->folder, json_object_get(manifest))) {
		backup_free(&b);
		return fail(EXIT_FAILED, "the machine gave a manifest that makes no sense");
	}
	code = sync_files(run);
	if (!code)
		code = write_manifest(run, manifest);
	if (!code && !show_json(ctl, manifest)) {
		struct table *t = table_new(NULL);

		table_line(t, "Backup", b.id);
		table_line(t, "Type", b.parent ? "incremental" : "full");
		table_line(t, "Consistency", consistency);
		if (frozen != UINT64_MAX)
			table_line(t, "Guest frozen for", format_ms(frozen, text));
		for (unsigned i = 0; i < b.disk_count; i++)
			table_linef(t, b.disks[i].id, "%s stored",
				    format_bytes(b.disks[i].stored_bytes, text));
		table_print(t);
	}
	backup_free(&b);
	return code;
}

static int back_up(struct ctl *ctl, struct run *run)
{
	struct json_object *subscribed;
	struct answer answer;
	int *fds;
	int code = EXIT_OK;
	bool ok;

	client_set_events(ctl->client, on_event, run);
	subscribed = ask(ctl, "events", NULL, &code);
	if (!subscribed)
		return code;
	json_object_put(subscribed);
	fds = calloc(run->count, 2 * sizeof(*fds));
	if (!fds)
		abort();
	for (unsigned i = 0; i < run->count; i++)
		memcpy(fds + (size_t)2 * i, run->targets[i].fds, sizeof(run->targets[i].fds));
	ok = client_call(ctl->client, "backup-start", params_of(run), fds, 2 * run->count, &answer);
	free(fds);
	end_progress();
	if (!ok)
		return fail(answer.code, "%s", answer.message);
	code = finish(ctl, run, answer.result);
	json_object_put(answer.result);
	return code;
}

static bool parse(struct ctl *ctl, int argc, char **argv, struct run *run)
{
	static const struct option longopts[] = {
		{"consistency", required_argument, NULL, OPT_CONSISTENCY},
		{"disk", required_argument, NULL, OPT_DISK},
		{"parent", required_argument, NULL, OPT_PARENT},
		{"rate", required_argument, NULL, OPT_RATE},
		COMMON_OPTIONS,
	};
	bool ok = true;
	int c;

	while (ok && (c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		switch (c) {
		case OPT_CONSISTENCY:
			run->consistency = optarg;
			break;
		case OPT_DISK:
			add_target(run, optarg);
			break;
		case OPT_PARENT:
			run->parent_folder = optarg;
			break;
		case OPT_RATE:
			ok = parse_bytes("--rate", optarg, &run->rate);
			break;
		default:
			return false;
		}
	}
	return ok;
}

static void run_free(struct run *run)
{
	for (unsigned i = 0; i < run->count; i++) {
		struct target *t = &run->targets[i];

		for (unsigned k = 0; k < 2; k++)
			if (t->fds[k] >= 0)
				close(t->fds[k]);
		free(t->id);
		free(t->image);
		free(t->map);
	}
	free(run->targets);
	free(run->parent);
}

static int create(struct ctl *ctl, int argc, char **argv)
{
	struct run run = {0};
	int code = EXIT_USAGE;

	if (parse(ctl, argc, argv, &run) && check_arguments(ctl, argc, 1, 1, &code)) {
		run.folder = argv[optind];
		code = find_parent(&run);
		if (!code && !connect_machine(ctl, &code))
			code = code ? code : EXIT_CONNECT;
		if (!code)
			code = find_disks(ctl, &run);
		if (!code)
			code = check_disks(&run);
		if (!code) {
			code = make_files(&run);
			if (!code)
				code = back_up(ctl, &run);
			if (code)
				remove_files(&run);
		}
	}
	run_free(&run);
	return code;
}

static int status(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	struct table *t;
	char text[FORMAT_MAX];
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, "backup-status", NULL, &code);
	if (result && !show_json(ctl, result)) {
		t = table_new(NULL);
		table_line(t, "Active", bool_member(result, "active") ? "yes" : "no");
		table_line(t, "Backup", string_member(result, "id"));
		table_line(t, "Phase", string_member(result, "phase"));
		if (member(result, "done_bytes"))
			table_line(t, "Copied",
				   format_bytes(number_member(result, "done_bytes", 0), text));
		if (member(result, "total_bytes"))
			table_line(t, "Of",
				   format_bytes(number_member(result, "total_bytes", 0), text));
		table_print(t);
	}
	json_object_put(result);
	return code;
}

static int cancel(struct ctl *ctl, int argc, char **argv)
{
	int code;

	return take_arguments(ctl, argc, argv, common_options, 0, 0, &code)
		       ? order(ctl, "backup-cancel", NULL)
		       : code;
}

static int check(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 0, 0, &code))
		return code;
	result = ask(ctl, "backup-check", NULL, &code);
	if (result && !show_json(ctl, result)) {
		const char *reason = string_member(result, "reason");

		if (bool_member(result, "application")) {
			print_lines(
				"The guest can be frozen: backups are application-consistent.\n");
		} else {
			print_lines("The guest can't be frozen");
			if (reason) {
				print_lines(": ");
				print_text(reason);
			}
			print_lines(". Backups are crash-consistent.\n");
		}
	}
	json_object_put(result);
	return code;
}

const struct command backup_commands[] = {
	{"backup create", "[--parent DIR] [--consistency KIND] [--disk ID]... [--rate N] DIR",
	 "Back up a machine's disks to a new folder",
	 "  --parent DIR        incremental: what has changed since that backup, the last one\n"
	 "  --consistency KIND  application: freeze the guest, or fail; crash: don't ask the\n"
	 "                      guest; auto: what is possible (default)\n"
	 "  --disk ID           only this one; may be given several times\n"
	 "  --rate N            bytes per second at most, maybe with K, M or G\n",
	 create},
	{"backup verify", "DIR...", "Check that backups are intact",
	 "Needs no machine. Each range of data is compared with its SHA-256.\n", backup_verify},
	{"backup restore", "--output DIR DIR...", "Make images from a backup",
	 "Needs no machine. Give the full backup and all incremental ones up to the one that is\n"
	 "wanted, in any order. All is verified; if anything is wrong, no image is made.\n"
	 "\n"
	 "  --output DIR  where to put ID.img, for each disk\n",
	 backup_restore},
	{"backup list", "DIR...", "List the backups in folders", "Needs no machine.\n",
	 backup_list},
	{"backup status", "", "Show how far a running backup is", NULL, status},
	{"backup cancel", "", "Cancel a running backup", NULL, cancel},
	{"backup check", "", "Can the guest be frozen for a backup?", NULL, check},
	{NULL, NULL, NULL, NULL, NULL},
};
