/* SPDX-License-Identifier: MIT */
/* shutdown, restart, hibernate. */
#include "hvctl.h"

enum {
	OPT_FORCE = 256,
	OPT_REASON,
	OPT_GRACE,
	OPT_TIMEOUT,
	OPT_WAIT,
};

struct power_options {
	bool force;
	bool wait;
	const char *reason;
	uint64_t grace_ms;
	uint64_t timeout_ms;
	uint64_t wait_ms; /* 0: for ever */
};

static bool parse(struct ctl *ctl, int argc, char **argv, struct power_options *o)
{
	static const struct option longopts[] = {
		{"force", no_argument, NULL, OPT_FORCE},
		{"grace", required_argument, NULL, OPT_GRACE},
		{"reason", required_argument, NULL, OPT_REASON},
		{"timeout", required_argument, NULL, OPT_TIMEOUT},
		{"wait", optional_argument, NULL, OPT_WAIT},
		COMMON_OPTIONS,
	};
	bool ok = true;
	int c;

	while (ok && (c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		switch (c) {
		case OPT_FORCE:
			o->force = true;
			break;
		case OPT_REASON:
			o->reason = optarg;
			break;
		case OPT_GRACE:
			ok = parse_seconds("--grace", optarg, &o->grace_ms);
			break;
		case OPT_TIMEOUT:
			ok = parse_seconds("--timeout", optarg, &o->timeout_ms);
			break;
		case OPT_WAIT:
			o->wait = true;
			ok = !optarg || parse_seconds("--wait", optarg, &o->wait_ms);
			break;
		default:
			return false;
		}
	}
	return ok;
}

static int power(struct ctl *ctl, int argc, char **argv, const char *action)
{
	struct power_options o = {0};
	struct json_object *params;
	int code;

	if (!parse(ctl, argc, argv, &o))
		return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 0, 0, &code))
		return code;
	params = new_params();
	put_string(params, "action", action);
	if (o.force)
		put_bool(params, "force", true);
	put_string(params, "reason", o.reason);
	if (o.grace_ms)
		put_number(params, "guest_timeout_s", (o.grace_ms + 999) / 1000);
	if (o.timeout_ms)
		put_number(params, "timeout_ms", o.timeout_ms);
	code = order(ctl, "shutdown", params);
	if (!code && o.wait && !client_wait_end(ctl->client, o.wait_ms))
		return fail(EXIT_NOT_READY, "the guest has accepted, but is still running");
	return code;
}

static int shut_down(struct ctl *ctl, int argc, char **argv)
{
	return power(ctl, argc, argv, "power-off");
}

static int restart(struct ctl *ctl, int argc, char **argv)
{
	return power(ctl, argc, argv, "restart");
}

static int hibernate(struct ctl *ctl, int argc, char **argv)
{
	return power(ctl, argc, argv, "hibernate");
}

#define ARGUMENTS "[--force] [--reason TEXT] [--grace S] [--timeout S] [--wait[=S]]"
#define MORE                                                                                       \
	"  --force        whatever programs in the guest say\n"                                    \
	"  --reason TEXT  for the guest's log\n"                                                   \
	"  --grace S      what the guest may give its users, in seconds\n"                         \
	"  --timeout S    how long to wait for its answer (default 10)\n"                          \
	"  --wait[=S]     wait until the machine has ended, S seconds at most\n"

const struct command power_commands[] = {
	{"shutdown", ARGUMENTS, "Ask the guest to power off", MORE, shut_down},
	{"restart", ARGUMENTS, "Ask the guest to restart", MORE, restart},
	{"hibernate", ARGUMENTS, "Ask the guest to hibernate", MORE, hibernate},
	{NULL, NULL, NULL, NULL, NULL},
};
