/* SPDX-License-Identifier: MIT */
/* docs/management.md and docs/management.schema.json have the methods that the server has. */
#include "support/manager.h"

#include <hvstack/host/backup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mgr t;
static struct hvs_manager_backup *backups;
static int fd;
static struct json_object *schema;

static bool no_disk(void *arg, const char *id, struct hvs_backup_disk *disk)
{
	(void)arg;
	(void)id;
	(void)disk;
	return false;
}

static void up(void)
{
	const struct hvs_manager_backup_ops ops = {HVS_MANAGER_BACKUP_OPS_INIT,
						   .find_disk = no_disk};
	struct hvs_manager_backup_config cfg = {HVS_MANAGER_BACKUP_CONFIG_INIT, .ops = &ops};

	mgr_up(&t, NULL);
	cfg.manager = t.m;
	cfg.base = t.base;
	cr_assert_eq(hvs_manager_backup_create(&cfg, &backups), 0);
	fd = mgr_connect(&t);
	schema = json_object_from_file(HVST_DOCS "/management.schema.json");
	cr_assert(json_object_is_type(schema, json_type_object));
}

static void down(void)
{
	json_object_put(schema);
	close(fd);
	hvs_manager_backup_end(backups);
	mgr_down(&t);
	hvs_manager_backup_destroy(backups);
}

TestSuite(manager_docs, .init = up, .fini = down, .timeout = 60);

static struct json_object *member(struct json_object *of, const char *name)
{
	struct json_object *found;

	cr_assert(json_object_object_get_ex(of, name, &found), "%s", name);
	return found;
}

Test(manager_docs, every_method_is_in_the_schema_and_no_other)
{
	struct json_object *described = member(schema, "methods");
	struct json_object *answer = mgr_call(&t, fd, "methods", NULL);
	struct json_object *all = mgr_result(answer, "methods");

	for (size_t i = 0; i < json_object_array_length(all); i++) {
		const char *name =
			json_object_get_string(member(json_object_array_get_idx(all, i), "name"));

		cr_expect(json_object_object_get_ex(described, name, NULL), "%s", name);
	}
	cr_assert_eq((size_t)json_object_object_length(described), json_object_array_length(all));
	json_object_put(answer);
}

Test(manager_docs, every_method_has_a_row_in_the_documentation)
{
	static char text[1u << 17];
	FILE *file = fopen(HVST_DOCS "/management.md", "r");
	char row[80];

	cr_assert(file != NULL);
	cr_assert_lt(fread(text, 1, sizeof(text) - 1, file), sizeof(text) - 1);
	cr_assert_eq(fclose(file), 0);
	json_object_object_foreach(member(schema, "methods"), name, value)
	{
		(void)value;
		(void)snprintf(row, sizeof(row), "\n| `%s` |", name);
		cr_expect(strstr(text, row) != NULL, "%s", name);
	}
}

/* The server takes the parameters that the schema has, and misses those that it requires. */
Test(manager_docs, the_schema_names_the_parameters_of_methods)
{
	json_object_object_foreach(member(schema, "methods"), name, method)
	{
		struct json_object *params = member(method, "params");
		struct json_object *required;
		struct json_object *answer;
		const char *message = "";
		char given[400];

		json_object_object_foreach(member(params, "properties"), param, kind)
		{
			(void)kind;
			/* Of no type that there is. */
			(void)snprintf(given, sizeof(given), "{\"%s\":1.5}", param);
			answer = mgr_call(&t, fd, name, given);
			(void)mgr_error(answer, &message);
			cr_expect(strstr(message, "there is no parameter") == NULL, "%s: %s", name,
				  message);
			json_object_put(answer);
		}
		if (!json_object_object_get_ex(params, "required", &required) ||
		    !json_object_array_length(required))
			continue;
		answer = mgr_call(&t, fd, name, "{}");
		cr_expect_eq(mgr_error(answer, &message), -32602, "%s", name);
		cr_expect(strstr(message, "is missing") != NULL, "%s: %s", name, message);
		json_object_put(answer);
	}
}

Test(manager_docs, results_have_the_members_that_the_schema_requires)
{
	static const char *const callable[] = {"version",  "methods",      "events",
					       "info",     "devices",      "metrics",
					       "services", "backup-check", "backup-status"};

	for (unsigned i = 0; i < sizeof(callable) / sizeof(callable[0]); i++) {
		struct json_object *answer = mgr_call(&t, fd, callable[i], NULL);
		struct json_object *shape =
			member(member(member(schema, "methods"), callable[i]), "result");
		struct json_object *required;

		if (json_object_object_get_ex(shape, "$ref", NULL))
			shape = member(member(schema, "$defs"), "guest_record");
		required = member(shape, "required");
		for (size_t k = 0; k < json_object_array_length(required); k++)
			(void)mgr_result(answer, json_object_get_string(
							 json_object_array_get_idx(required, k)));
		json_object_put(answer);
	}
}
