/* SPDX-License-Identifier: MIT */
/* Command line. Whatever can be wrong with it is found here, before the guest starts. */
#include "options.h"

#include "report.h"
#include "service_option.h"

#include <getopt.h>
#include <hvstack/host/services.h>
#include <hvstack/host/uuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_MEMORY (UINT64_C(64) << 20)
#define MAX_MEMORY (UINT64_C(32) << 30)

/* In parts, as C promises no longer strings. */
static const char *const help_texts[] = {
	"Usage: hvrun --kernel FILE [OPTION]...\n"
	"Run a Linux guest with Hyper-V devices on KVM.\n"
	"\n"
	"  --kernel FILE          Linux kernel, a 64-bit bzImage\n"
	"  --initrd FILE          initial RAM disk\n"
	"  --append STRING        kernel command line (try \"console=ttyS0\")\n"
	"  --memory SIZE          guest memory, 64M to 32G, in M or G (default 512M)\n"
	"  --cpus N               virtual CPUs, 1 to 64 (default 1)\n"
	"  --disk FILE[,OPTION]...\n"
	"                         add a SCSI disk: an image, a block device or an NBD URI;\n"
	"                         may be given up to 64 times. OPTION is one of\n"
	"                           ro           read-only\n"
	"                           id=NAME      name for the control socket\n"
	"                           format=FORMAT  raw, vhdx, vpc or qcow2 (default: what the\n"
	"                                        name ends in)\n"
	"                           controller=N, lun=N  place, 0 to 3 and 0 to 254\n"
	"                           ide=C:D      on an IDE controller, channel 0 or 1, device\n"
	"                                        0 or 1, as guests of the first generation have\n"
	"                           serial=TEXT  serial number\n"
	"                           block=N      bytes in a logical block, 512 or 4096\n"
	"                           share        other guests use the same file\n"
	"                           direct       go round the host's page cache\n"
	"                           threads      threads instead of io_uring\n"
	"                           iops=N, bps=N  limits: operations, bytes a second\n"
	"                           fault=RULES  misbehave, for tests; the last option\n"
	"  --cdrom [FILE][,OPTION]...\n"
	"                         add a DVD-ROM drive, maybe with a medium in it\n",
	"  --net BACKEND[,OPTION]...\n"
	"                         add a network adapter; may be given up to 16 times. BACKEND is\n"
	"                         one of\n"
	"                           user         a network of its own, with this host as router\n"
	"                           tap:NAME     a TAP interface\n"
	"                           socket:PATH  a Unix socket, as of another hvrun\n"
	"                         OPTION is one of\n"
	"                           forward=tcp:[ADDR:]PORT:GUESTPORT  (user; also udp) a port of\n"
	"                                        this host leads to one of the guest\n"
	"                           restricted   (user) it reaches nobody by itself\n"
	"                           queues=N     (tap) how many to use, up to --io-threads + 1\n"
	"                           listen       (socket) this end makes the socket\n"
	"                           id=NAME      name for the control socket\n"
	"                           mac=ADDRESS  (default: made from --uuid)\n"
	"                           mtu=N        68 to 9202 (default: what the backend has)\n"
	"                           name=TEXT    what the guest is told it is called\n"
	"                           vlan=N       the VLAN that it is in, 1 to 4094\n"
	"                           policy=FILE  what may pass, in JSON: see hvrun(1)\n"
	"                           capture=FILE  write down what passes, for Wireshark\n"
	"  --io-threads N         threads for disks and network adapters besides the main one,\n"
	"                         up to 16 (default 0)\n"
	"  --control SOCKET[,roles=FILE]\n"
	"                         take commands on this Unix socket: see hvrun(1). FILE says who\n"
	"                         may give which\n"
	"  --backup-dir DIR       where temporary files are made while disks are backed up\n"
	"                         (default: beside the image)\n"
	"  --name NAME            what the machine is called, for clients and the guest. Without\n"
	"                         --control, the socket is hvstack/NAME.sock in\n"
	"                         $XDG_RUNTIME_DIR, for root in /run: hvctl finds it\n"
	"  --services LIST        integration services to offer: all, none, or names of\n"
	"                         heartbeat, kvp, shutdown, time-sync, vss, file-copy, separated\n"
	"                         by commas (default: all but file-copy)\n"
	"  --kvp-store FILE       keep in this file what the guest is told by key-value pairs\n"
	"  --synic auto|kernel|user\n"
	"                         who emulates the synthetic interrupt controller: KVM, hvrun,\n"
	"                         or KVM if it can (default auto)\n"
	"  --console              connect the guest's serial input to standard input, raw;\n"
	"                         Ctrl-A x quits, Ctrl-A Ctrl-A sends Ctrl-A\n"
	"  --capture-vmbus FILE   write down what passes the VMBus, for Wireshark: messages,\n"
	"                         packets, frames; it has the guest's data in it\n"
	"  --record FILE          write down what the guest says to the Hyper-V devices\n"
	"  --uuid UUID            who the machine is to others that share a disk, and what the\n"
	"                         addresses of network adapters are made from (default: another\n"
	"                         one at each start)\n"
	"  --help                 print this and exit\n"
	"  --version              print the version and exit\n"
	"\n"
	"The guest's serial output (COM1) goes to standard output.\n"
	"\n"
	"Exit status:\n"
	"   0  the guest powered off\n"
	"   2  usage or configuration error\n"
	"  10  the guest rebooted\n"
	"  11  the guest crashed (its kernel reported so); a dump kernel that connects to\n"
	"      VMBus within 60 s runs to its end first\n"
	"  12  the guest shut its CPU down (triple fault)\n"
	"  13  error in hvrun or KVM; the message says which\n"
	"  14  stopped from outside: SIGINT, SIGTERM, SIGHUP or Ctrl-A x\n"};

static void print_help(void)
{
	for (size_t i = 0; i < sizeof(help_texts) / sizeof(help_texts[0]); i++)
		fputs(help_texts[i], stdout);
}

/* A decimal number in all of [text, end). */
static bool parse_number(const char *text, const char *end, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > max) /* max is far below UINT64_MAX / 10 */
			return false;
	}
	*value = v;
	return true;
}

static int parse_memory(const char *arg, uint64_t *bytes)
{
	const size_t len = strlen(arg);
	const int unit = len > 0 ? arg[len - 1] : '\0';
	const unsigned shift = unit == 'G' ? 30 : 20;
	uint64_t n;

	if ((unit != 'M' && unit != 'G') ||
	    !parse_number(arg, arg + len - 1, MAX_MEMORY >> shift, &n) || n < MIN_MEMORY >> shift)
		return report(HVRUN_USAGE, "--memory %s: give 64M to 32G, as in 512M or 2G", arg);
	*bytes = n << shift;
	return 0;
}

static int parse_cpus(const char *arg, unsigned *cpu_count)
{
	uint64_t n;

	if (!parse_number(arg, arg + strlen(arg), HVRUN_MAX_CPUS, &n) || n == 0)
		return report(HVRUN_USAGE, "--cpus %s: give a number from 1 to %u", arg,
			      HVRUN_MAX_CPUS);
	*cpu_count = (unsigned)n;
	return 0;
}

static int parse_synic(const char *arg, enum synic_mode *mode)
{
	if (strcmp(arg, "auto") == 0)
		*mode = SYNIC_AUTO;
	else if (strcmp(arg, "kernel") == 0)
		*mode = SYNIC_KERNEL;
	else if (strcmp(arg, "user") == 0)
		*mode = SYNIC_USER;
	else
		return report(HVRUN_USAGE, "--synic %s: give auto, kernel or user", arg);
	return 0;
}

static int parse_services(const char *arg, uint32_t *services)
{
	char why[200];

	if (!service_option_parse(arg, services, why, sizeof(why)))
		return report(HVRUN_USAGE, "--services: %s", why);
	return 0;
}

static int parse_io_threads(const char *arg, unsigned *count)
{
	uint64_t n;

	if (!parse_number(arg, arg + strlen(arg), HVRUN_MAX_IO_THREADS, &n))
		return report(HVRUN_USAGE, "--io-threads %s: give a number from 0 to %u", arg,
			      HVRUN_MAX_IO_THREADS);
	*count = (unsigned)n;
	return 0;
}

static int parse_disk(char *arg, bool optical, struct options *opt)
{
	const char *option = optical ? "--cdrom" : "--disk";
	char why[200];

	if (opt->disk_count == HVRUN_MAX_DISKS)
		return report(HVRUN_USAGE, "more than %u disks", HVRUN_MAX_DISKS);
	if (!disk_option_parse(arg, optical, &opt->disks[opt->disk_count], why, sizeof(why)))
		return report(HVRUN_USAGE, "%s: %s", option, why);
	opt->disk_count++;
	return 0;
}

static int parse_net(char *arg, struct options *opt)
{
	char why[200];

	if (opt->net_count == HVRUN_MAX_NETS)
		return report(HVRUN_USAGE, "more than %u network adapters", HVRUN_MAX_NETS);
	if (!net_option_parse(arg, &opt->nets[opt->net_count], why, sizeof(why)))
		return report(HVRUN_USAGE, "--net: %s", why);
	opt->net_count++;
	return 0;
}

static int parse_control(char *arg, struct options *opt)
{
	static const char roles[] = "roles=";
	char *more = strchr(arg, ',');

	opt->control = arg;
	opt->roles = NULL;
	if (!more)
		return 0;
	*more++ = '\0';
	if (strncmp(more, roles, strlen(roles)) != 0 || !more[strlen(roles)])
		return report(HVRUN_USAGE, "--control: '%s': give roles=FILE", more);
	opt->roles = more + strlen(roles);
	return 0;
}

static int check_all(const struct options *opt, bool has_uuid, const char *extra_arg)
{
	if (extra_arg)
		return report(HVRUN_USAGE, "unexpected argument '%s' (see --help)", extra_arg);
	if (!opt->kernel)
		return report(HVRUN_USAGE, "no kernel given: use --kernel FILE (see --help)");
	if (opt->kvp_store && !has_uuid)
		return report(HVRUN_USAGE,
			      "--kvp-store needs --uuid: the file belongs to one machine");
	return 0;
}

int options_parse(struct options *opt, int argc, char **argv)
{
	static const struct option longopts[] = {
		{"append", required_argument, NULL, 'a'},
		{"backup-dir", required_argument, NULL, 'b'},
		{"capture-vmbus", required_argument, NULL, 'C'},
		{"cdrom", required_argument, NULL, 'o'},
		{"console", no_argument, NULL, 'c'},
		{"control", required_argument, NULL, 'l'},
		{"cpus", required_argument, NULL, 'n'},
		{"disk", required_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{"initrd", required_argument, NULL, 'i'},
		{"io-threads", required_argument, NULL, 't'},
		{"kernel", required_argument, NULL, 'k'},
		{"kvp-store", required_argument, NULL, 'p'},
		{"memory", required_argument, NULL, 'm'},
		{"name", required_argument, NULL, 'N'},
		{"net", required_argument, NULL, 'e'},
		{"record", required_argument, NULL, 'r'},
		{"services", required_argument, NULL, 'g'},
		{"synic", required_argument, NULL, 's'},
		{"uuid", required_argument, NULL, 'u'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	bool has_uuid = false;
	int status = 0;
	int c;

	*opt = (struct options){.append = "",
				.name = "",
				.memory_bytes = UINT64_C(512) << 20,
				.cpu_count = 1,
				.services = HVS_SERVICES_DEFAULT};
	hvs_guid_generate(&opt->machine_id);
	while (!status && (c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'a':
			opt->append = optarg;
			break;
		case 'b':
			opt->backup_dir = optarg;
			break;
		case 'c':
			opt->console = true;
			break;
		case 'd':
			status = parse_disk(optarg, false, opt);
			break;
		case 'e':
			status = parse_net(optarg, opt);
			break;
		case 'h':
		case 'v':
			if (c == 'h')
				print_help();
			else
				fputs("hvrun " HVRUN_VERSION "\n", stdout);
			opt->done = true;
			return 0;
		case 'i':
			opt->initrd = optarg;
			break;
		case 'k':
			opt->kernel = optarg;
			break;
		case 'l':
			status = parse_control(optarg, opt);
			break;
		case 'm':
			status = parse_memory(optarg, &opt->memory_bytes);
			break;
		case 'n':
			status = parse_cpus(optarg, &opt->cpu_count);
			break;
		case 'C':
			opt->capture_vmbus = optarg;
			break;
		case 'N':
			opt->name = optarg;
			break;
		case 'o':
			status = parse_disk(optarg, true, opt);
			break;
		case 'g':
			status = parse_services(optarg, &opt->services);
			break;
		case 'p':
			opt->kvp_store = optarg;
			break;
		case 'r':
			opt->record = optarg;
			break;
		case 's':
			status = parse_synic(optarg, &opt->synic);
			break;
		case 't':
			status = parse_io_threads(optarg, &opt->io_threads);
			break;
		case 'u':
			has_uuid = true;
			if (hvs_guid_parse(optarg, &opt->machine_id) < 0)
				status = report(HVRUN_USAGE, "--uuid %s: not a UUID", optarg);
			break;
		default: /* getopt_long has said what is wrong */
			return HVRUN_USAGE;
		}
	}
	return status ? status : check_all(opt, has_uuid, argv[optind]);
}
