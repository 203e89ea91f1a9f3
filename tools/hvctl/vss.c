/* SPDX-License-Identifier: MIT */
/* freeze and thaw. What was frozen is thawed when the connection ends: freeze keeps it. */
#include "hvctl.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	OPT_HOLD = 256,
	OPT_TIMEOUT,
};

/* Until a key is pressed, or the time is over, or the machine ends. */
static int wait_for_enter(struct ctl *ctl, uint64_t hold_ms)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			      {.fd = client_fd(ctl->client), .events = POLLIN}};

	note("frozen; press Enter to thaw");
	if (poll(p, 2, hold_ms && hold_ms < INT32_MAX ? (int)hold_ms : -1) == 0)
		note("the time is over");
	return EXIT_OK;
}

static int run_program(char **argv)
{
	int status;
	pid_t pid;
	int err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

	if (err)
		return fail(EXIT_FAILED, "%s: %s", argv[0], strerror(err));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(EXIT_FAILED, "%s: %s", argv[0], strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return EXIT_OK;
	return fail(EXIT_FAILED, "%s has failed", argv[0]);
}

static int do_thaw(struct ctl *ctl)
{
	char text[FORMAT_MAX];
	int code;
	struct json_object *result = ask(ctl, "thaw", NULL, &code);

	if (result && !show_json(ctl, result))
		printf("The guest was frozen for %s.\n",
		       format_ms(number_member(result, "frozen_ms", 0), text));
	json_object_put(result);
	return code;
}

static int freeze(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"hold", required_argument, NULL, OPT_HOLD},
		{"timeout", required_argument, NULL, OPT_TIMEOUT},
		COMMON_OPTIONS,
	};
	struct json_object *params = new_params();
	struct json_object *result;
	uint64_t ms;
	int thawed;
	int code;
	int c;

	while ((c = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		if (c == OPTION_WRONG ||
		    !parse_seconds(c == OPT_HOLD ? "--hold" : "--timeout", optarg, &ms)) {
			json_object_put(params);
			return EXIT_USAGE;
		}
		put_number(params, c == OPT_HOLD ? "hold_ms" : "timeout_ms", ms);
	}
	if (!check_arguments(ctl, argc, 0, argc, &code)) {
		json_object_put(params);
		return code;
	}
	result = ask(ctl, "freeze", params, &code);
	if (!result)
		return code;
	if (optind < argc)
		code = run_program(argv + optind);
	else
		code = wait_for_enter(ctl, number_member(result, "hold_ms", 0));
	json_object_put(result);
	thawed = do_thaw(ctl);
	return code ? code : thawed;
}

static int thaw(struct ctl *ctl, int argc, char **argv)
{
	int code;

	return take_arguments(ctl, argc, argv, common_options, 0, 0, &code) ? do_thaw(ctl) : code;
}

const struct command vss_commands[] = {
	{"freeze", "[--hold S] [--timeout S] [-- PROGRAM [ARGUMENT]...]",
	 "Freeze the guest's file systems while a program runs",
	 "Without PROGRAM they stay frozen until Enter is pressed. The guest is thawed when\n"
	 "hvctl ends, however that comes about.\n"
	 "\n"
	 "  --hold S     thaw after S seconds at the latest; 10 is most\n"
	 "  --timeout S  how long to wait for the guest to freeze\n",
	 freeze},
	{"thaw", "", "Thaw the guest's file systems", NULL, thaw},
	{NULL, NULL, NULL, NULL, NULL},
};
