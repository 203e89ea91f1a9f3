/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

int report(enum hvrun_status status, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* One call, so that lines of several threads do not mix. */
	fprintf(stderr, "hvrun: %s\n", text);
	return (int)status;
}
