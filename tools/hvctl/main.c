/* SPDX-License-Identifier: MIT */
/* hvctl, the command people type: finds the command, and runs it. */
#include "hvctl.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 40

static const struct command *const lists[] = {
	info_commands,    service_commands, power_commands, kvp_commands,
	ip_commands,      copy_commands,    vss_commands,   backup_commands,
	channel_commands, disk_commands,    net_commands,   event_commands,
};
#define LISTS (sizeof(lists) / sizeof(lists[0]))

static void print_help(void)
{
	fputs("Usage: hvctl [--json] [--machine NAME | --socket PATH] COMMAND [ARGUMENT]...\n"
	      "Look after running machines and the guests in them.\n"
	      "\n"
	      "  --json          print what the machine answers, as JSON\n"
	      "  -m, --machine NAME\n"
	      "                  which machine: its name or UUID, or what its socket is called; "
	      "not\n"
	      "                  needed if only one is running\n"
	      "  -s, --socket PATH\n"
	      "                  the machine's socket\n"
	      "  -h, --help      print this, or more about a command, and exit\n"
	      "  --version       print the version and exit\n"
	      "\n",
	      stdout);
	for (size_t i = 0; i < LISTS; i++) {
		for (const struct command *c = lists[i]; c->name; c++)
			printf("  %-16s %s\n", c->name, c->summary);
		putchar('\n');
	}
	fputs("Exit status:\n"
	      "  0  it worked\n"
	      "  1  it failed; the message says why\n"
	      "  2  the command line is wrong\n"
	      "  3  no connection to the machine\n"
	      "  4  you may not do that\n"
	      "  5  the guest is not ready, or does not answer\n"
	      "  6  the guest has answered with an error\n",
	      stdout);
}

/* The longest name that fits; *words: how many of argv it is. */
static const struct command *find(int argc, char **argv, int *words)
{
	char name[NAME_MAX_BYTES];

	for (*words = argc > 1 ? 2 : 1; *words; (*words)--) {
		snprintf(name, sizeof(name), "%s%s%s", argv[0], *words > 1 ? " " : "",
			 *words > 1 ? argv[1] : "");
		for (size_t i = 0; i < LISTS; i++)
			for (const struct command *c = lists[i]; c->name; c++)
				if (strcmp(c->name, name) == 0)
					return c;
	}
	return NULL;
}

/* Print the commands that begin with this word. */
static bool print_group(const char *word, FILE *out)
{
	const size_t len = strlen(word);
	bool any = false;

	for (size_t i = 0; i < LISTS; i++)
		for (const struct command *c = lists[i]; c->name; c++)
			if (strncmp(c->name, word, len) == 0 && c->name[len] == ' ') {
				if (!any)
					fputs("Commands:\n", out);
				any = true;
				fprintf(out, "  hvctl %s%s%s\n", c->name, *c->arguments ? " " : "",
					c->arguments);
			}
	return any;
}

static int no_such_command(int argc, char **argv)
{
	const char *word = argv[0];

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) &&
	    print_group(word, stdout))
		return EXIT_OK;
	if (print_group(word, stderr))
		return EXIT_USAGE;
	return fail(EXIT_USAGE, "there is no command '%s' (see --help)", word);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	char name[NAME_MAX_BYTES + 8];
	int words;
	int code;

	ctl->command = find(argc, argv, &words);
	if (!ctl->command)
		return no_such_command(argc, argv);
	argc -= words - 1;
	argv += words - 1;
	/* getopt_long begins its messages with it. */
	snprintf(name, sizeof(name), "hvctl %s", ctl->command->name);
	argv[0] = name;
	optind = 0;
	code = ctl->command->run(ctl, argc, argv);
	client_close(ctl->client);
	return code;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{"version", no_argument, NULL, 256},
		COMMON_OPTIONS,
	};
	static char program[] = "hvctl";
	struct ctl ctl = {0};
	int c;
	int code;

	(void)setlocale(LC_CTYPE, "");
	argv[0] = program;
	while ((c = getopt_long(argc, argv, "+hm:s:", longopts, NULL)) != -1) {
		switch (c) {
		case 'h':
			print_help();
			return EXIT_OK;
		case 'j':
			ctl.json = true;
			break;
		case 'm':
			ctl.machine = optarg;
			break;
		case 's':
			ctl.socket = optarg;
			break;
		case 256:
			puts("hvctl " HVCTL_VERSION);
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return fail(EXIT_USAGE, "no command given (see --help)");
	code = run(&ctl, argc - optind, argv + optind);
	if (fflush(stdout) != 0 || ferror(stdout))
		return code ? code : fail(EXIT_FAILED, "can't write what there is to say");
	return code;
}
