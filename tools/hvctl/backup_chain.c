/* SPDX-License-Identifier: MIT */
/* backup verify, restore and list: they need no machine, only the files. */
#include "backup_chain.h"
#include "backup_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BAD_SHOWN 20u
#define ZEROS 65536u

/* ---- verify ---------------------------------------------------------------------------------- */

/* How much is wrong with it; all of it is said, but not too much. */
static unsigned verify_disk(const struct backup *b, const struct backup_disk *disk)
{
	struct backup_reader r;
	struct range range;
	unsigned wrong = 0;
	int more = -1;

	if (!reader_open(&r, b, disk)) {
		reader_close(&r);
		return 1;
	}
	while (wrong < BAD_SHOWN && (more = reader_next(&r, &range)) > 0) {
		show_progress(disk->id, range.offset, disk->bytes);
		if (!range.zero && !reader_data(&r, &range))
			wrong++;
	}
	if (!wrong)
		show_progress(disk->id, disk->bytes, disk->bytes);
	end_progress();
	if (wrong == BAD_SHOWN)
		note("%s: there may be more", b->folder);
	reader_close(&r);
	return wrong + (more < 0 && wrong < BAD_SHOWN);
}

static bool verify_one(const char *folder, struct json_object *results)
{
	struct json_object *result = json_object_new_object();
	struct backup b;
	bool ok = backup_load(&b, folder);
	unsigned wrong = 0;

	if (ok)
		for (unsigned i = 0; i < b.disk_count; i++)
			wrong += verify_disk(&b, &b.disks[i]);
	ok = ok && !wrong;
	put_string(result, "folder", folder);
	put_string(result, "id", ok ? b.id : NULL);
	put_bool(result, "intact", ok);
	json_object_array_add(results, result);
	backup_free(&b);
	return ok;
}

int backup_verify(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *result;
	struct json_object *all;
	bool ok = true;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, argc, &code))
		return code;
	result = json_object_new_object();
	all = json_object_new_array();
	json_object_object_add(result, "backups", all);
	for (int i = optind; i < argc; i++) {
		const bool intact = verify_one(argv[i], all);

		if (intact && !ctl->json) {
			print_text(argv[i]);
			print_lines(": intact\n");
		}
		ok = ok && intact;
	}
	(void)show_json(ctl, result);
	json_object_put(result);
	return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- the chain ------------------------------------------------------------------------------- */

struct chain {
	struct backup *at; /* from the full one on */
	unsigned count;
};

static void chain_free(struct chain *c)
{
	for (unsigned i = 0; i < c->count; i++)
		backup_free(&c->at[i]);
	free(c->at);
}

/* Put the one that follows `parent` (NULL: the full one) in place `i`. */
static bool put_next(struct chain *c, unsigned i, const char *parent)
{
	for (unsigned k = i; k < c->count; k++) {
		const struct backup b = c->at[k];

		if (parent ? b.parent && strcmp(b.parent, parent) == 0 : !b.parent) {
			c->at[k] = c->at[i];
			c->at[i] = b;
			return true;
		}
	}
	return false;
}

/* Given in any order. */
static int sort_chain(struct chain *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		if (put_next(c, i, i ? c->at[i - 1].id : NULL))
			continue;
		if (!i)
			return fail(EXIT_FAILED,
				    "%s is incremental: the backup %s that it is based on is "
				    "needed, too",
				    c->at[0].folder, c->at[0].parent);
		return fail(EXIT_FAILED,
			    "%s does not follow on the others%s%s; give a full backup and those "
			    "made after it, each once",
			    c->at[i].folder, c->at[i].parent ? ": its parent is " : "",
			    c->at[i].parent ? c->at[i].parent : "");
	}
	return EXIT_OK;
}

/* All have the disks of the last one. */
static int check_disks(const struct chain *c)
{
	const struct backup *last = &c->at[c->count - 1];

	for (unsigned i = 0; i < c->count; i++)
		for (unsigned k = 0; k < last->disk_count; k++) {
			const struct backup_disk *want = &last->disks[k];
			const struct backup_disk *disk = backup_find(&c->at[i], want->id);

			if (!disk || disk->bytes != want->bytes)
				return fail(EXIT_FAILED,
					    "%s has no disk '%s' of this size, as %s has",
					    c->at[i].folder, want->id, last->folder);
		}
	return EXIT_OK;
}

static int load_chain(struct chain *c, char **folders, unsigned count)
{
	int code;

	c->at = calloc(count, sizeof(*c->at));
	if (!c->at)
		abort();
	while (c->count < count) {
		const bool ok = backup_load(&c->at[c->count], folders[c->count]);

		c->count++;
		if (!ok)
			return EXIT_FAILED;
	}
	code = sort_chain(c);
	return code ? code : check_disks(c);
}

/* ---- restore --------------------------------------------------------------------------------- */

static int write_zeros(int fd, uint64_t offset, uint64_t len)
{
	static const uint8_t zeros[ZEROS];

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) ==
	    0)
		return 0;
	while (len) {
		const size_t most = len < ZEROS ? (size_t)len : ZEROS;
		ssize_t n = pwrite(fd, zeros, most, (off_t)offset);

		if (n < 0)
			return errno;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int write_data(int fd, const uint8_t *data, uint64_t offset, uint64_t len)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);

		if (n < 0)
			return errno;
		data += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int apply(const struct backup *b, const struct backup_disk *disk, int fd)
{
	struct backup_reader r;
	struct range range;
	int code = reader_open(&r, b, disk) ? EXIT_OK : EXIT_FAILED;
	int more = 0;

	while (!code && (more = reader_next(&r, &range)) > 0) {
		int err;

		show_progress(disk->id, range.offset, disk->bytes);
		if (!range.zero && !reader_data(&r, &range)) {
			code = EXIT_FAILED;
			break;
		}
		err = range.zero ? write_zeros(fd, range.offset, range.len)
				 : write_data(fd, r.data, range.offset, range.len);
		if (err)
			code = fail(EXIT_FAILED, "can't write the image of '%s': %s", disk->id,
				    strerror(err));
	}
	end_progress();
	reader_close(&r);
	return more < 0 ? EXIT_FAILED : code;
}

static int restore_disk(const struct chain *c, const char *id, const char *path)
{
	const uint64_t bytes = backup_find(&c->at[0], id)->bytes;
	const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int code = EXIT_OK;

	if (fd < 0)
		return fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	if (ftruncate(fd, (off_t)bytes) < 0)
		code = fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	for (unsigned i = 0; i < c->count && !code; i++)
		code = apply(&c->at[i], backup_find(&c->at[i], id), fd);
	if (!code && fsync(fd) < 0)
		code = fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
	close(fd);
	if (code)
		unlink(path);
	return code;
}

static int restore_all(const struct chain *c, const char *folder, struct json_object *images)
{
	const struct backup *last = &c->at[c->count - 1];
	int code = EXIT_OK;

	for (unsigned i = 0; i < last->disk_count && !code; i++) {
		const char *id = last->disks[i].id;
		char *path;

		if (asprintf(&path, "%s/%s.img", folder, id) < 0)
			abort();
		code = restore_disk(c, id, path);
		if (!code)
			json_object_array_add(images, json_object_new_string(path));
		free(path);
	}
	if (!code && sync_folder(folder))
		code = fail(EXIT_FAILED, "%s: %s", folder, strerror(errno));
	/* All or nothing. */
	for (size_t i = 0; code && i < array_length(images); i++)
		unlink(json_object_get_string(json_object_array_get_idx(images, i)));
	return code;
}

int backup_restore(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"output", required_argument, NULL, 256},
		COMMON_OPTIONS,
	};
	const char *output = NULL;
	struct json_object *result;
	struct json_object *images;
	struct chain c = {0};
	bool made;
	int code;
	int o;

	while ((o = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		if (o == OPTION_WRONG)
			return EXIT_USAGE;
		output = optarg;
	}
	if (!check_arguments(ctl, argc, 1, argc, &code))
		return code;
	if (!output)
		return fail(EXIT_USAGE, "say where to with --output DIR");
	code = load_chain(&c, argv + optind, (unsigned)(argc - optind));
	if (code) {
		chain_free(&c);
		return code;
	}
	made = mkdir(output, 0700) == 0;
	result = json_object_new_object();
	images = json_object_new_array();
	json_object_object_add(result, "images", images);
	code = restore_all(&c, output, images);
	if (code && made)
		rmdir(output);
	if (!code && !show_json(ctl, result))
		for (size_t i = 0; i < array_length(images); i++) {
			print_text(json_object_get_string(json_object_array_get_idx(images, i)));
			print_lines("\n");
		}
	json_object_put(result);
	chain_free(&c);
	return code;
}

/* ---- list ------------------------------------------------------------------------------------ */

static void list_one(const char *folder, struct table *t, struct json_object *all)
{
	char text[FORMAT_MAX];
	struct backup b;
	uint64_t stored = 0;
	uint64_t frozen;

	if (backup_load(&b, folder)) {
		for (unsigned i = 0; i < b.disk_count; i++)
			stored += b.disks[i].stored_bytes;
		frozen = number_member(b.manifest, "frozen_ms", UINT64_MAX);
		table_cell(t, b.time);
		table_cell(t, string_member(object_member(b.manifest, "machine"), "name"));
		table_cell(t, b.parent ? "incremental" : "full");
		table_cell(t, string_member(b.manifest, "consistency"));
		table_cell(t, frozen == UINT64_MAX ? NULL : format_ms(frozen, text));
		table_cellf(t, "%u", b.disk_count);
		table_cell(t, format_bytes(stored, text));
		table_cell(t, folder);
		put_string(b.manifest, "folder", folder);
		json_object_array_add(all, json_object_get(b.manifest));
	}
	backup_free(&b);
}

static bool has_manifest(const char *folder)
{
	char *path = path_in(folder, "manifest.json");
	const bool is_there = access(path, F_OK) == 0;

	free(path);
	return is_there;
}

/* The folder is a backup, or has some in it. */
static int list_folder(const char *folder, struct table *t, struct json_object *all)
{
	struct dirent **names;
	int count;

	if (has_manifest(folder)) {
		list_one(folder, t, all);
		return EXIT_OK;
	}
	count = scandir(folder, &names, NULL, alphasort);
	if (count < 0)
		return fail(EXIT_FAILED, "%s: %s", folder, strerror(errno));
	for (int i = 0; i < count; i++) {
		char *path = path_in(folder, names[i]->d_name);

		if (names[i]->d_name[0] != '.' && has_manifest(path))
			list_one(path, t, all);
		free(path);
		free(names[i]);
	}
	free(names);
	return EXIT_OK;
}

int backup_list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Time",  "Machine", "Type",   "Consistency", "Frozen",
					     "Disks", "Stored",  "Folder", NULL};
	struct json_object *result;
	struct json_object *all;
	struct table *t;
	int code;

	if (!take_arguments(ctl, argc, argv, common_options, 1, argc, &code))
		return code;
	t = table_new(titles);
	result = json_object_new_object();
	all = json_object_new_array();
	json_object_object_add(result, "backups", all);
	code = EXIT_OK;
	for (int i = optind; i < argc && !code; i++)
		code = list_folder(argv[i], t, all);
	if (code || show_json(ctl, result))
		table_free(t);
	else
		table_print(t);
	json_object_put(result);
	return code;
}
