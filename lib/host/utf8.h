/* SPDX-License-Identifier: MIT */
#ifndef HVSI_HOST_UTF8_H
#define HVSI_HOST_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes of the character that begins here, in a text that ends with a NUL; 0: none does. */
unsigned hvsi_utf8_character(const uint8_t *s);

/* Is it UTF-8? *units: what it is long in UTF-16. */
bool hvsi_utf8_units(const char *text, size_t *units);

#endif
