/* SPDX-License-Identifier: MIT */
#include "host/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int hvsi_fail(const struct hvsi_why *why, int err, const char *format, ...)
{
	va_list args;

	if (why->len) {
		va_start(args, format);
		(void)vsnprintf(why->text, why->len, format, args);
		va_end(args);
	}
	return -err;
}

int hvsi_took_config(const struct hvsi_why *why, int err, const void *out)
{
	if (!err && !out)
		err = -EINVAL;
	return err ? hvsi_fail(why, -err, "the configuration is not one that this library knows")
		   : 0;
}
