/* SPDX-License-Identifier: MIT */
/* The command line, checked. */
#ifndef HVRUN_OPTIONS_H
#define HVRUN_OPTIONS_H

#include "disk_option.h"
#include "net_option.h"

#include <hvstack/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HVRUN_MAX_CPUS 64u
#define HVRUN_MAX_DISKS 64u
#define HVRUN_MAX_NETS 16u
#define HVRUN_MAX_IO_THREADS 16u

/* Who keeps the synthetic interrupt controller: KVM, the library, or KVM if it can. */
enum synic_mode {
	SYNIC_AUTO,
	SYNIC_KERNEL,
	SYNIC_USER,
};

struct options {
	const char *kernel;
	const char *initrd; /* NULL: none */
	const char *append;
	const char *record;        /* NULL: nothing */
	const char *capture_vmbus; /* the same */
	const char *control;       /* NULL: no socket */
	const char *roles;         /* NULL: no rules */
	const char *name;
	const char *backup_dir; /* NULL: beside the images */
	const char *kvp_store;  /* NULL: none */
	uint32_t services;      /* HVS_SERVICE() bits */
	uint64_t memory_bytes;
	struct hvs_guid machine_id;
	unsigned cpu_count;
	unsigned io_threads;
	struct disk_option disks[HVRUN_MAX_DISKS];
	size_t disk_count;
	struct net_option nets[HVRUN_MAX_NETS];
	size_t net_count;
	enum synic_mode synic;
	bool console;
	bool done; /* --help or --version was answered: exit 0 */
};

/*
 * Parse argv, without opening any file. Strings in opt point into argv, which is modified.
 */
int options_parse(struct options *opt, int argc, char **argv);

#endif
