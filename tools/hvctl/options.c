/* SPDX-License-Identifier: MIT */
/* What command lines have in common. */
#include "hvctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct option common_options[] = {COMMON_OPTIONS};

int next_option(struct ctl *ctl, int argc, char **argv, const struct option *longopts)
{
	bool has_f = false;
	int c;

	for (const struct option *o = longopts; o->name; o++)
		has_f = has_f || o->val == 'f';
	while ((c = getopt_long(argc, argv, has_f ? "fhm:s:" : "hm:s:", longopts, NULL)) != -1) {
		switch (c) {
		case 'h':
			ctl->help = true;
			break;
		case 'j':
			ctl->json = true;
			break;
		case 'm':
			ctl->machine = optarg;
			break;
		case 's':
			ctl->socket = optarg;
			break;
		case '?': /* getopt_long has said what is wrong */
			return OPTION_WRONG;
		default:
			return c;
		}
	}
	return OPTION_END;
}

static void print_usage(const struct command *command)
{
	printf("Usage: hvctl %s%s%s [--json] [--machine NAME | --socket PATH]\n%s.\n",
	       command->name, *command->arguments ? " " : "", command->arguments, command->summary);
	if (command->more)
		printf("\n%s", command->more);
}

bool check_arguments(struct ctl *ctl, int argc, int min, int max, int *code)
{
	const int count = argc - optind;

	if (ctl->help) {
		print_usage(ctl->command);
		*code = EXIT_OK;
		return false;
	}
	if (count >= min && count <= max)
		return true;
	*code = fail(EXIT_USAGE, "%s: usage: hvctl %s %s",
		     count < min ? "something is missing" : "too many arguments",
		     ctl->command->name, ctl->command->arguments);
	return false;
}

bool take_arguments(struct ctl *ctl, int argc, char **argv, const struct option *longopts, int min,
		    int max, int *code)
{
	if (next_option(ctl, argc, argv, longopts) != OPTION_END) {
		*code = EXIT_USAGE;
		return false;
	}
	return check_arguments(ctl, argc, min, max, code);
}

bool parse_seconds(const char *option, const char *text, uint64_t *ms)
{
	char *end;
	double s;

	errno = 0;
	s = strtod(text, &end);
	if (*text < '0' || *text > '9' || errno || *end || !(s > 0) || s > 4000000) {
		fail(EXIT_USAGE, "%s %s: give a number of seconds, as in 30 or 0.5", option, text);
		return false;
	}
	*ms = (uint64_t)(s * 1000 + 0.5);
	if (!*ms)
		*ms = 1;
	return true;
}

bool parse_bytes(const char *option, const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	unsigned long long n;
	const char *unit;
	unsigned shift;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (*text < '0' || *text > '9' || errno || (*end && (!unit || end[1])) ||
	    n > (unsigned long long)INT64_MAX >> shift) {
		fail(EXIT_USAGE, "%s %s: give a number of bytes, maybe with K, M, G or T", option,
		     text);
		return false;
	}
	*bytes = (uint64_t)n << shift;
	return true;
}

char *absolute_path(const char *path)
{
	char *folder = *path == '/' ? NULL : getcwd(NULL, 0);
	char *text;

	if (asprintf(&text, "%s%s%s", folder ? folder : "", folder ? "/" : "", path) < 0)
		abort();
	free(folder);
	return text;
}
