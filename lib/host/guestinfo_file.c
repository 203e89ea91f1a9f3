/* SPDX-License-Identifier: MIT */
/*
 * The file of pairs that the guest is told, in JSON:
 *
 *   {"hvstack": "guest-info", "version": 1, "uuid": "...",
 *    "external": [{"key": "color", "value": "blue"}, {"key": "shape", "value": null}],
 *    "auto-external": []}
 *
 * A value that is null: the pair was removed, but the guest has to be told yet. Whoever has the
 * file in hand may have written anything into it.
 */
#include "host/folder.h"
#include "host/guestinfo_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <hvstack/host/uuid.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIND "guest-info"
#define VERSION 1
#define DEPTH 8
/* Commas of two pools with as many pairs, and as many that were removed, as may be; and some
 * more. */
#define COMMAS_MAX (2 * 2 * 2 * HVS_GUESTINFO_MAX_ITEMS + 16)

static const char *const pool_names[] = {"external", "auto-external"};

/* ---- text ------------------------------------------------------------------------------------ */

/* json-c needs much more memory for an item of an array than the file does. */
static bool has_too_many_items(const char *text, size_t len)
{
	bool in_string = false;
	size_t commas = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			in_string = !in_string;
		else if (text[i] == '\\' && in_string)
			i++;
		else if (text[i] == ',' && !in_string)
			commas++;
	}
	return commas > COMMAS_MAX;
}

static int parse_json(const char *text, size_t len, struct json_object **out,
		      const struct hvsi_why *why)
{
	struct json_tokener *tokener;
	size_t end;
	int err = 0;

	if (len > HVSI_GUESTINFO_FILE_MAX || has_too_many_items(text, len))
		return hvsi_fail(why, EBADMSG, "damaged: it is too large");
	tokener = json_tokener_new_ex(DEPTH);
	if (!tokener)
		return hvsi_fail(why, ENOMEM, "out of memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	*out = json_tokener_parse_ex(tokener, text, (int)len);
	end = json_tokener_get_parse_end(tokener);
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		err = hvsi_fail(why, EBADMSG, "damaged: it ends too early");
	else if (json_tokener_get_error(tokener) != json_tokener_success)
		err = hvsi_fail(why, EBADMSG, "damaged at byte %zu: %s", end,
				json_tokener_error_desc(json_tokener_get_error(tokener)));
	else if (end != len || !json_object_is_type(*out, json_type_object))
		err = hvsi_fail(why, EBADMSG, "damaged: it is not one JSON object");
	json_tokener_free(tokener);
	return err;
}

/* NULL: it is none, or has a NUL inside. */
static const char *string_of(struct json_object *object)
{
	const char *text;

	if (!json_object_is_type(object, json_type_string))
		return NULL;
	text = json_object_get_string(object);
	return strlen(text) == (size_t)json_object_get_string_len(object) ? text : NULL;
}

static const char *string_member(struct json_object *object, const char *name)
{
	struct json_object *member;

	return json_object_object_get_ex(object, name, &member) ? string_of(member) : NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int parse_head(struct json_object *root, const struct hvsi_guestinfo_store *store,
		      const struct hvsi_why *why)
{
	const char *kind = string_member(root, "hvstack");
	struct json_object *version;
	struct hvs_guid uuid;

	if (!kind || strcmp(kind, KIND) != 0)
		return hvsi_fail(why, EBADMSG, "not a file of key-value pairs");
	if (!json_object_object_get_ex(root, "version", &version) ||
	    !json_object_is_type(version, json_type_int) || json_object_get_int64(version) < 1)
		return hvsi_fail(why, EBADMSG, "damaged: 'version' is no number");
	if (json_object_get_int64(version) > VERSION)
		return hvsi_fail(why, ENOTSUP, "of a newer version than this program knows");
	if (hvs_guid_parse(string_member(root, "uuid"), &uuid) < 0)
		return hvsi_fail(why, EBADMSG, "damaged: 'uuid' is no UUID");
	if (memcmp(&uuid, &store->uuid, sizeof(uuid)) != 0)
		return hvsi_fail(why, EPERM, "of another machine");
	/* What is not known here would be lost when the file is written. */
	if (json_object_object_length(root) != 5)
		return hvsi_fail(why, EBADMSG, "damaged: it has other members than it should");
	return 0;
}

static int parse_pair(struct json_object *item, struct hvsi_pairs *pairs, const char *pool,
		      size_t i, const struct hvsi_why *why)
{
	const char *key = string_member(item, "key");
	struct json_object *value;
	struct hvsi_pair *pair;
	const char *text;

	if (!key || !json_object_object_get_ex(item, "value", &value) ||
	    json_object_object_length(item) != 2)
		return hvsi_fail(why, EBADMSG, "damaged: %s[%zu] is not a key and a value", pool,
				 i);
	text = string_of(value);
	if ((value && !text) || !hvsi_pair_valid(key, text))
		return hvsi_fail(why, EBADMSG,
				 "damaged: %s[%zu] is empty, too long, not UTF-8 or no string",
				 pool, i);
	if (hvsi_pairs_find(pairs, key))
		return hvsi_fail(why, EBADMSG, "damaged: %s[%zu] has a key that was there before",
				 pool, i);
	pair = hvsi_pairs_add(pairs, key);
	if (pair && text)
		pair->value = strdup(text);
	if (!pair || (text && !pair->value))
		return hvsi_fail(why, ENOMEM, "out of memory");
	return 0;
}

static int parse_pool(struct json_object *root, const char *pool, struct hvsi_pairs *pairs,
		      const struct hvsi_why *why)
{
	struct json_object *array;
	int err = 0;

	if (!json_object_object_get_ex(root, pool, &array) ||
	    !json_object_is_type(array, json_type_array))
		return hvsi_fail(why, EBADMSG, "damaged: '%s' is no array", pool);
	for (size_t i = 0; i < json_object_array_length(array) && !err; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (!json_object_is_type(item, json_type_object))
			return hvsi_fail(why, EBADMSG, "damaged: %s[%zu] is no object", pool, i);
		err = parse_pair(item, pairs, pool, i, why);
	}
	if (!err && (hvsi_pairs_count(pairs, true) > HVS_GUESTINFO_MAX_ITEMS ||
		     hvsi_pairs_count(pairs, false) > HVS_GUESTINFO_MAX_ITEMS))
		return hvsi_fail(why, EBADMSG, "damaged: '%s' has too many pairs", pool);
	return err;
}

int hvsi_guestinfo_parse(const char *text, size_t len, struct hvsi_guestinfo_store *store,
			 const struct hvsi_why *why)
{
	struct json_object *root = NULL;
	int err = parse_json(text, len, &root, why);

	if (!err)
		err = parse_head(root, store, why);
	if (!err)
		err = parse_pool(root, pool_names[0], &store->external, why);
	if (!err)
		err = parse_pool(root, pool_names[1], &store->auto_external, why);
	json_object_put(root);
	return err;
}

/* NULL: errno says why. */
static char *read_all(int fd, size_t len)
{
	char *text = malloc(len + 1);
	size_t done = 0;

	while (text && done < len) {
		ssize_t n = read(fd, text + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = EBADMSG;
			free(text);
			return NULL;
		}
		done += (size_t)n;
	}
	return text;
}

static int load_from(int fd, struct hvsi_guestinfo_store *store, const struct hvsi_why *why)
{
	struct stat st;
	char *text;
	int err;

	if (fstat(fd, &st) < 0)
		return hvsi_fail(why, errno, "can't be examined: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return hvsi_fail(why, EINVAL, "not a regular file");
	if (st.st_size > HVSI_GUESTINFO_FILE_MAX)
		return hvsi_fail(why, EBADMSG, "damaged: it is too large");
	text = read_all(fd, (size_t)st.st_size);
	if (!text)
		return hvsi_fail(why, errno, "can't be read: %s", strerror(errno));
	err = hvsi_guestinfo_parse(text, (size_t)st.st_size, store, why);
	free(text);
	return err;
}

int hvsi_guestinfo_load(const char *path, struct hvsi_guestinfo_store *store,
			const struct hvsi_why *why)
{
	/* Not to wait for the other end of a FIFO. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int err;

	if (fd < 0)
		return hvsi_fail(why, errno, "can't be opened: %s",
				 errno == ELOOP ? "it is a symbolic link" : strerror(errno));
	err = load_from(fd, store, why);
	close(fd);
	return err;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Becomes the object's, unless there is no memory. */
static bool add(struct json_object *object, const char *name, struct json_object *member)
{
	if (member && json_object_object_add(object, name, member) == 0)
		return true;
	json_object_put(member);
	return false;
}

static bool add_pair(struct json_object *array, const struct hvsi_pair *pair)
{
	struct json_object *item = json_object_new_object();

	if (item && add(item, "key", json_object_new_string(pair->key)) &&
	    (pair->value ? add(item, "value", json_object_new_string(pair->value))
			 : json_object_object_add(item, "value", NULL) == 0) &&
	    json_object_array_add(array, item) == 0)
		return true;
	json_object_put(item);
	return false;
}

static struct json_object *array_of(const struct hvsi_pairs *pairs)
{
	struct json_object *array = json_object_new_array();
	bool ok = array != NULL;

	for (uint32_t i = 0; i < pairs->count && ok; i++)
		ok = add_pair(array, &pairs->at[i]);
	if (ok)
		return array;
	json_object_put(array);
	return NULL;
}

char *hvsi_guestinfo_text(const struct hvsi_guestinfo_store *store)
{
	struct json_object *root = json_object_new_object();
	char uuid[HVS_GUID_TEXT];
	const char *json;
	char *text = NULL;

	hvs_guid_format(&store->uuid, uuid);
	if (root && add(root, "hvstack", json_object_new_string(KIND)) &&
	    add(root, "version", json_object_new_int(VERSION)) &&
	    add(root, "uuid", json_object_new_string(uuid)) &&
	    add(root, pool_names[0], array_of(&store->external)) &&
	    add(root, pool_names[1], array_of(&store->auto_external))) {
		json = json_object_to_json_string_ext(root, JSON_C_TO_STRING_SPACED |
								    JSON_C_TO_STRING_NOSLASHESCAPE);
		if (json && asprintf(&text, "%s\n", json) < 0)
			text = NULL;
	}
	json_object_put(root);
	return text;
}

static int write_synced(int fd, const char *text)
{
	while (*text) {
		ssize_t n = write(fd, text, strlen(text));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			text += n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int replace(const char *path, char *temporary, const char *text)
{
	const int fd = mkostemp(temporary, O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = write_synced(fd, text);
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && rename(temporary, path) < 0)
		err = -errno;
	if (err)
		unlink(temporary);
	else
		hvsi_sync_folder(path);
	return err;
}

int hvsi_guestinfo_save(const char *path, const struct hvsi_guestinfo_store *store)
{
	char *text = hvsi_guestinfo_text(store);
	char *temporary = NULL;
	int err = -ENOMEM;

	if (text && asprintf(&temporary, "%s.XXXXXX", path) >= 0) {
		err = replace(path, temporary, text);
		free(temporary);
	}
	free(text);
	return err;
}
