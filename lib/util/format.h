/* SPDX-License-Identifier: MIT */
/* Text for logs, without a C library. */
#ifndef HVSI_UTIL_FORMAT_H
#define HVSI_UTIL_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/*
 * As vsnprintf(), but of the directives only %s, %d, %u and %%; any other is copied as it is, and
 * so is what follows. len is not 0. What does not fit is cut off.
 */
__attribute__((format(printf, 3, 0))) void hvsi_format(char *to, size_t len, const char *format,
						       va_list ap);

#endif
