/* SPDX-License-Identifier: MIT */
/* Addresses of the guest's adapters. */
#include "hvctl.h"

#include <stdlib.h>
#include <string.h>

enum {
	OPT_ADDRESS = 256,
	OPT_DHCP,
	OPT_DNS,
	OPT_GATEWAY,
	OPT_TIMEOUT,
};

static bool is_mac(const char *text)
{
	return strlen(text) == 17 && strspn(text, "0123456789abcdefABCDEF:-") == 17 &&
	       (text[2] == ':' || text[2] == '-');
}

static void lines(struct table *t, const char *name, struct json_object *array)
{
	for (size_t i = 0; i < array_length(array); i++)
		table_line(t, i ? "" : name,
			   json_object_get_string(json_object_array_get_idx(array, i)));
}

static int get(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"timeout", required_argument, NULL, OPT_TIMEOUT},
		COMMON_OPTIONS,
	};
	struct json_object *params;
	struct json_object *result;
	uint64_t timeout = 0;
	struct table *t;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END)
		if (c == OPTION_WRONG || !parse_seconds("--timeout", optarg, &timeout))
			return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 1, 1, &code))
		return code;
	params = new_params();
	put_string(params, is_mac(argv[optind]) ? "mac" : "net", argv[optind]);
	if (timeout)
		put_number(params, "timeout_ms", timeout);
	result = ask(ctl, "ip-get", params, &code);
	if (result && !show_json(ctl, result)) {
		t = table_new(NULL);
		table_line(t, "DHCP", bool_member(result, "dhcp") ? "yes" : "no");
		lines(t, "Addresses", array_member(result, "addresses"));
		lines(t, "Gateways", array_member(result, "gateways"));
		lines(t, "DNS servers", array_member(result, "dns"));
		table_print(t);
	}
	json_object_put(result);
	return code;
}

static void add_to(struct json_object *params, const char *name, const char *text)
{
	struct json_object *array = array_member(params, name);

	if (!array) {
		array = json_object_new_array();
		json_object_object_add(params, name, array);
	}
	json_object_array_add(array, json_object_new_string(text));
}

static bool parse_set(struct ctl *ctl, int argc, char **argv, struct json_object *params)
{
	static const struct option longopts[] = {
		{"address", required_argument, NULL, OPT_ADDRESS},
		{"dhcp", no_argument, NULL, OPT_DHCP},
		{"dns", required_argument, NULL, OPT_DNS},
		{"gateway", required_argument, NULL, OPT_GATEWAY},
		{"timeout", required_argument, NULL, OPT_TIMEOUT},
		COMMON_OPTIONS,
	};
	uint64_t timeout;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		switch (c) {
		case OPT_ADDRESS:
			add_to(params, "addresses", optarg);
			break;
		case OPT_DHCP:
			put_bool(params, "dhcp", true);
			break;
		case OPT_DNS:
			add_to(params, "dns", optarg);
			break;
		case OPT_GATEWAY:
			add_to(params, "gateways", optarg);
			break;
		case OPT_TIMEOUT:
			if (!parse_seconds("--timeout", optarg, &timeout))
				return false;
			put_number(params, "timeout_ms", timeout);
			break;
		default:
			return false;
		}
	}
	return true;
}

static int set(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *params = new_params();
	int code = EXIT_USAGE;

	if (!parse_set(ctl, argc, argv, params) || !check_arguments(ctl, argc, 1, 1, &code)) {
		json_object_put(params);
		return code;
	}
	if (!member(params, "dhcp") && !member(params, "addresses")) {
		json_object_put(params);
		return fail(EXIT_USAGE, "give --dhcp, or an --address");
	}
	put_string(params, "net", argv[optind]);
	return order(ctl, "ip-set", params);
}

const struct command ip_commands[] = {
	{"ip get", "[--timeout S] NET", "Show the addresses of an adapter of the guest",
	 "NET is the id of an adapter, or its MAC.\n", get},
	{"ip set", "[--dhcp] [--address ADDR/BITS]... [--gateway ADDR]... [--dns ADDR]... NET",
	 "Give addresses to an adapter of the guest",
	 "NET is the id of an adapter.\n"
	 "\n"
	 "  --dhcp               by DHCP\n"
	 "  --address ADDR/BITS  IPv4 or IPv6, as in 192.0.2.7/24\n"
	 "  --gateway ADDR\n"
	 "  --dns ADDR\n"
	 "  --timeout S          how long to wait for the guest (default 35)\n",
	 set},
	{NULL, NULL, NULL, NULL, NULL},
};
