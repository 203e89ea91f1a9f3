/* SPDX-License-Identifier: MIT */
/* Where the control socket is if only the machine's name is given: where hvctl(1) looks. */
#ifndef HVRUN_CONTROL_PATH_H
#define HVRUN_CONTROL_PATH_H

#include <stdbool.h>

#define CONTROL_PATH 108u /* what a socket's address has room for */

/*
 * NAME.sock in /run/hvstack (system: hvrun is root's) or in hvstack/ of runtime, the user's folder
 * (NULL or "": there is none, and no path). Makes the folder. Returns an exit status.
 */
int control_path(bool system, const char *runtime, const char *name, char path[CONTROL_PATH]);

#endif
