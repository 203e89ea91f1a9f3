/* SPDX-License-Identifier: MIT */
/* The file that says who has which role. */
#include "host/manager_impl.h"
#include "host/why.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE (1u << 20)
#define NAME_BYTES 65536u /* for what is known of a user or a group, its members included */

static int read_file(const char *path, char **text, size_t *len, const struct hvsi_why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	int err = 0;

	if (fd < 0)
		return hvsi_fail(why, errno, "%s: %s", path, strerror(errno));
	*text = malloc(MAX_FILE);
	if (!*text)
		err = hvsi_fail(why, ENOMEM, "out of memory");
	for (*len = 0; !err && *len < MAX_FILE; *len += (size_t)n) {
		n = read(fd, *text + *len, MAX_FILE - *len);
		if (n < 0)
			err = hvsi_fail(why, errno, "%s: %s", path, strerror(errno));
		if (n <= 0)
			break;
	}
	if (!err && *len == MAX_FILE)
		err = hvsi_fail(why, EINVAL, "%s: the file is too long", path);
	close(fd);
	return err;
}

/* 0, 1: there is none, or a negative errno. */
static int find_id(const char *name, bool group, uint32_t *id)
{
	char *room = malloc(NAME_BYTES);
	struct group g;
	struct group *found_group = NULL;
	struct passwd p;
	struct passwd *found_user = NULL;
	int err;

	if (!room)
		return -ENOMEM;
	err = group ? getgrnam_r(name, &g, room, NAME_BYTES, &found_group)
		    : getpwnam_r(name, &p, room, NAME_BYTES, &found_user);
	if (found_group)
		*id = found_group->gr_gid;
	if (found_user)
		*id = found_user->pw_uid;
	free(room);
	if (found_group || found_user)
		return 0;
	return err == ENOMEM || err == ERANGE ? -err : 1;
}

static int read_id(struct json_object *value, struct hvs_role_rule *rule, unsigned n,
		   const struct hvsi_why *why)
{
	const char *what = rule->group ? "group" : "user";
	const char *name = hvsi_json_text(value);
	int err;

	if (json_object_is_type(value, json_type_int)) {
		const int64_t id = json_object_get_int64(value);

		/* The last number means "nobody" to the kernel. */
		if (id < 0 || id >= UINT32_MAX)
			return hvsi_fail(why, EINVAL, "rule %u: there is no %s %lld", n, what,
					 (long long)id);
		rule->id = (uint32_t)id;
		return 0;
	}
	if (!name)
		return hvsi_fail(why, EINVAL, "rule %u: '%s' is a name or a number", n, what);
	err = find_id(name, rule->group, &rule->id);
	if (err < 0)
		return hvsi_fail(why, -err, "rule %u: %s '%s': %s", n, what, name, strerror(-err));
	return err ? hvsi_fail(why, EINVAL, "rule %u: there is no %s '%s'", n, what, name) : 0;
}

static int read_rule(struct json_object *object, struct hvs_role_rule *rule, unsigned n,
		     const struct hvsi_why *why)
{
	struct json_object *user = NULL;
	struct json_object *group = NULL;
	struct json_object *role = NULL;
	const char *name;

	if (!json_object_is_type(object, json_type_object))
		return hvsi_fail(why, EINVAL, "rule %u: an object is needed", n);
	rule->group = json_object_object_get_ex(object, "group", &group);
	if (json_object_object_get_ex(object, "user", &user) == rule->group)
		return hvsi_fail(why, EINVAL, "rule %u: give one of 'user' and 'group'", n);
	json_object_object_get_ex(object, "role", &role);
	name = hvsi_json_text(role);
	if (!name || !hvsi_role_parse(name, &rule->role))
		return hvsi_fail(why, EINVAL,
				 "rule %u: 'role' is monitor, backup, operator, administrator or "
				 "none",
				 n);
	if (json_object_object_length(object) != 2)
		return hvsi_fail(why, EINVAL, "rule %u: there is something besides %s and role", n,
				 rule->group ? "group" : "user");
	return read_id(rule->group ? group : user, rule, n, why);
}

static int read_rules(const char *path, struct json_object *array, struct hvs_role_rule **rules,
		      uint32_t *count, const struct hvsi_why *why)
{
	size_t n;
	int err = 0;

	if (!json_object_is_type(array, json_type_array))
		return hvsi_fail(why, EINVAL, "%s: an array of rules is needed", path);
	n = json_object_array_length(array);
	*rules = calloc(n ? n : 1, sizeof(**rules));
	if (!*rules)
		return hvsi_fail(why, ENOMEM, "out of memory");
	for (size_t i = 0; !err && i < n; i++)
		err = read_rule(json_object_array_get_idx(array, i), &(*rules)[i], (unsigned)i + 1,
				why);
	if (err) {
		free(*rules);
		*rules = NULL;
		return err;
	}
	*count = (uint32_t)n;
	return 0;
}

int hvs_role_rules_read(const char *path, struct hvs_role_rule **rules, uint32_t *count, char *why,
			size_t why_len)
{
	const struct hvsi_why sentence = {why, why ? why_len : 0};
	struct json_object *array;
	const char *wrong;
	char *text = NULL;
	size_t len = 0;
	int err;

	if (!path || !rules || !count)
		return hvsi_fail(&sentence, EINVAL, "no path");
	err = read_file(path, &text, &len, &sentence);
	if (!err) {
		array = hvsi_json_parse(text, len, &wrong);
		err = wrong ? hvsi_fail(&sentence, EINVAL, "%s: this is not JSON: %s", path, wrong)
			    : read_rules(path, array, rules, count, &sentence);
		json_object_put(array);
	}
	free(text);
	return err;
}
