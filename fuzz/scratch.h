/* SPDX-License-Identifier: MIT */
/* Files of a target, in a folder that goes with the process. */
#ifndef FUZZ_SCRATCH_H
#define FUZZ_SCRATCH_H

#include "check.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_file[PATH_MAX];

static void scratch_remove(void)
{
	char *slash = strrchr(scratch_file, '/');

	(void)unlink(scratch_file);
	*slash = '\0';
	(void)rmdir(scratch_file);
}

/* The same one each time. In memory, where the file may be synced often. */
static const char *scratch_path(const char *name)
{
	char folder[] = "/dev/shm/fuzz.XXXXXX";

	if (!*scratch_file) {
		if (!mkdtemp(folder)) {
			strcpy(folder, "/tmp/fuzz.XXXXXX");
			CHECK(mkdtemp(folder));
		}
		(void)snprintf(scratch_file, sizeof(scratch_file), "%s/%s", folder, name);
		CHECK(atexit(scratch_remove) == 0);
	}
	return scratch_file;
}

#endif
