/* SPDX-License-Identifier: MIT */
/* Key-value pairs. */
#include "hvctl.h"

#include <stdio.h>

enum {
	OPT_POOL = 256,
	OPT_REFRESH,
};

struct kvp_options {
	const char *pool;
	bool refresh;
};

#define OLD_MS 60000 /* worth a word */

static bool parse(struct ctl *ctl, int argc, char **argv, bool can_refresh, struct kvp_options *o)
{
	static const struct option looking[] = {
		{"pool", required_argument, NULL, OPT_POOL},
		{"refresh", no_argument, NULL, OPT_REFRESH},
		COMMON_OPTIONS,
	};
	static const struct option changing[] = {
		{"pool", required_argument, NULL, OPT_POOL},
		COMMON_OPTIONS,
	};
	int c;

	while ((c = next_option(ctl, argc, argv, can_refresh ? looking : changing)) != OPTION_END) {
		if (c == OPTION_WRONG)
			return false;
		if (c == OPT_POOL)
			o->pool = optarg;
		else
			o->refresh = true;
	}
	return true;
}

static struct json_object *params_of(const struct kvp_options *o, const char *key)
{
	struct json_object *params = new_params();

	put_string(params, "pool", o->pool);
	put_string(params, "key", key);
	if (o->refresh)
		put_bool(params, "refresh", true);
	return params;
}

static void say_how_old(struct json_object *result)
{
	const uint64_t age = number_member(result, "age_ms", UINT64_MAX);
	char text[FORMAT_MAX];

	if (age == UINT64_MAX && !bool_member(result, "complete"))
		note("the guest has never said anything about this pool; is its KVP daemon "
		     "running?");
	else if (!bool_member(result, "complete"))
		note("this is not all: the last look at the guest's pairs did not come to the end");
	else if (age != UINT64_MAX && age > OLD_MS)
		note("the guest said so %s ago; --refresh asks anew", format_ms(age, text));
}

static int list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const titles[] = {"Key", "Value", NULL};
	struct kvp_options o = {.pool = "auto"};
	struct json_object *result;
	struct json_object *items;
	struct table *t;
	int code;

	if (!parse(ctl, argc, argv, true, &o))
		return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 0, 0, &code))
		return code;
	result = ask(ctl, "kvp-list", params_of(&o, NULL), &code);
	if (result && !show_json(ctl, result)) {
		items = array_member(result, "items");
		t = table_new(titles);
		for (size_t i = 0; i < array_length(items); i++) {
			struct json_object *item = json_object_array_get_idx(items, i);

			table_cell(t, string_member(item, "key"));
			table_cell(t, string_member(item, "value"));
		}
		table_print(t);
		say_how_old(result);
	}
	json_object_put(result);
	return code;
}

static int get(struct ctl *ctl, int argc, char **argv)
{
	struct kvp_options o = {.pool = "auto"};
	struct json_object *result;
	const char *value;
	int code;

	if (!parse(ctl, argc, argv, true, &o))
		return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 1, 1, &code))
		return code;
	result = ask(ctl, "kvp-get", params_of(&o, argv[optind]), &code);
	value = string_member(result, "value");
	if (result && !show_json(ctl, result) && value) {
		print_text(value);
		putchar('\n');
	}
	json_object_put(result);
	return code;
}

static int change(struct ctl *ctl, const char *method, struct json_object *params)
{
	int code;
	struct json_object *result = ask(ctl, method, params, &code);

	if (result && !show_json(ctl, result) && !bool_member(result, "delivered"))
		note("the guest is not there: it will be told when it is");
	json_object_put(result);
	return code;
}

static int set(struct ctl *ctl, int argc, char **argv)
{
	struct kvp_options o = {0};
	struct json_object *params;
	int code;

	if (!parse(ctl, argc, argv, false, &o))
		return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 2, 2, &code))
		return code;
	params = params_of(&o, argv[optind]);
	put_string(params, "value", argv[optind + 1]);
	return change(ctl, "kvp-set", params);
}

static int remove_pair(struct ctl *ctl, int argc, char **argv)
{
	struct kvp_options o = {0};
	int code;

	if (!parse(ctl, argc, argv, false, &o))
		return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 1, 1, &code))
		return code;
	return change(ctl, "kvp-delete", params_of(&o, argv[optind]));
}

#define LOOKING                                                                                    \
	"  --pool POOL  auto: what the guest's system says (default); guest: what programs in\n"   \
	"               it say; external: what was set here; auto-external: facts about the\n"     \
	"               host\n"                                                                    \
	"  --refresh    ask the guest now\n"
#define CHANGING "  --pool POOL  external (default) or auto-external\n"

const struct command kvp_commands[] = {
	{"kvp list", "[--pool POOL] [--refresh]", "List key-value pairs", LOOKING, list},
	{"kvp get", "[--pool POOL] [--refresh] KEY", "Print the value of a key", LOOKING, get},
	{"kvp set", "[--pool POOL] KEY VALUE", "Tell the guest a pair", CHANGING, set},
	{"kvp delete", "[--pool POOL] KEY", "Remove a pair that the guest was told", CHANGING,
	 remove_pair},
	{NULL, NULL, NULL, NULL, NULL},
};
