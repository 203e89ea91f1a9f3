/* SPDX-License-Identifier: MIT */
#ifndef HVCTL_TEXT_H
#define HVCTL_TEXT_H

#include <stdint.h>

/* The bytes of the character that begins here; 0: this is not UTF-8. */
unsigned decode(const char *text, uint32_t *character);

#endif
