/* SPDX-License-Identifier: MIT */
/* Text of options: parts between commas, numbers. */
#ifndef HVRUN_OPTION_TEXT_H
#define HVRUN_OPTION_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* The text up to the next comma, which two commas stand for one of; NULL: none is left. */
char *next_part(char **rest);

/* A size in bytes: a number, maybe with K, M, G or T. */
bool parse_size(const char *text, uint64_t *bytes);

/* A decimal number up to max. */
bool parse_number(const char *text, uint64_t max, uint64_t *n);

#endif
