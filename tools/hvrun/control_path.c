/* SPDX-License-Identifier: MIT */
#include "control_path.h"

#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int make_folder(const char *folder, mode_t mode)
{
	if (mkdir(folder, mode) == 0)
		return chmod(folder, mode) == 0 ? 0 : errno; /* whatever the umask is */
	return errno == EEXIST ? 0 : errno;
}

int control_path(bool system, const char *runtime, const char *name, char path[CONTROL_PATH])
{
	char folder[CONTROL_PATH];
	int len;
	int err;

	path[0] = '\0';
	if (!system && (!runtime || !*runtime))
		return 0;
	len = snprintf(folder, sizeof(folder), "%s/hvstack", system ? "/run" : runtime);
	if (strchr(name, '/') || len >= (int)CONTROL_PATH ||
	    snprintf(path, CONTROL_PATH, "%s/%s.sock", folder, name) >= (int)CONTROL_PATH)
		return report(HVRUN_USAGE,
			      "--name %s: there can be no socket of this name: give --control",
			      name);
	err = make_folder(folder, system ? 0755 : 0700);
	return err ? report(HVRUN_USAGE, "--name: %s: %s", folder, strerror(err)) : 0;
}
