/* SPDX-License-Identifier: MIT */
/* Where functions that open something say what is wrong. */
#ifndef HVSI_HOST_WHY_H
#define HVSI_HOST_WHY_H

#include <stddef.h>

struct hvsi_why {
	char *text;
	size_t len; /* 0: nobody wants to know */
};

/* Note what is wrong, for people, and return the negative errno for programs. */
__attribute__((format(printf, 3, 4))) int hvsi_fail(const struct hvsi_why *why, int err,
						    const char *format, ...);

/* How such a function begins: its configuration was copied (sized.h) with this result, and there is a
 * place that the result goes to. 0 or what is wrong. */
int hvsi_took_config(const struct hvsi_why *why, int err, const void *out);

#endif
