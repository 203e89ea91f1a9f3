/* SPDX-License-Identifier: MIT */
/* What --disk and --cdrom, and the control socket's disk-add, say about one disk. */
#ifndef HVRUN_DISK_OPTION_H
#define HVRUN_DISK_OPTION_H

#include <stdbool.h>
#include <stdint.h>

#define HVRUN_MAX_CONTROLLERS 4u

struct disk_option {
	char *file;   /* a path or an NBD URI; NULL: a drive without a medium */
	char *id;     /* NULL: made up */
	char *format; /* NULL: what the name of the file says */
	char *serial; /* NULL: none */
	char *fault;  /* NULL: none */
	bool optical;
	bool read_only;
	bool shared;
	bool direct;
	bool threads;
	int lun; /* -1: the next that is free */
	int ide; /* place on an IDE controller, channel * 2 + device; -1: it is a SCSI disk */
	uint32_t controller;
	uint32_t block_size;
	uint64_t iops;          /* 0: no limit */
	uint64_t bytes_per_sec; /* 0: no limit */
};

/*
 * FILE[,NAME[=VALUE]]... Strings in *out point into text, which is modified. False: `why`, which
 * has room for why_len bytes, says in one line what is wrong.
 */
bool disk_option_parse(char *text, bool optical, struct disk_option *out, char *why,
		       unsigned why_len);

#endif
