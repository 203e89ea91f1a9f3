/* SPDX-License-Identifier: MIT */
#ifndef HVCTL_MACHINES_H
#define HVCTL_MACHINES_H

#include "hvctl.h"

struct machine {
	char *socket;
	struct json_object *info; /* NULL: it has not said anything */
	int code;                 /* then, the exit code */
	char why[64];             /* and the reason */
};

struct machines {
	struct machine *at;
	size_t count;
};

/* All whose sockets are in the folders for them; each is asked for `info`. */
void machines_find(struct machines *m);
void machines_free(struct machines *m);

#endif
