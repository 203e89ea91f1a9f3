/* SPDX-License-Identifier: MIT */
#ifndef HVSI_HOST_UTF8_H
#define HVSI_HOST_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Is it UTF-8? *units: what it is long in UTF-16. */
bool hvsi_utf8_units(const char *text, size_t *units);

#endif
