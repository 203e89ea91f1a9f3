/* SPDX-License-Identifier: MIT */
#include "util/format.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>

__attribute__((format(printf, 3, 4))) static void format(char *to, size_t len, const char *text,
							 ...)
{
	va_list ap;

	va_start(ap, text);
	hvsi_format(to, len, text, ap);
	va_end(ap);
}

/* The C library decides what is right. */
#define AS_THE_C_LIBRARY(room, ...)                                                                \
	do {                                                                                       \
		char want[room];                                                                   \
		char got[(room) + 1];                                                              \
                                                                                                   \
		got[room] = 'x';                                                                   \
		(void)!snprintf(want, room, __VA_ARGS__);                                          \
		format(got, room, __VA_ARGS__);                                                    \
		cr_assert_str_eq(got, want);                                                       \
		cr_assert_eq(got[room], 'x');                                                      \
	} while (0)

Test(format, what_it_knows)
{
	AS_THE_C_LIBRARY(100, "nothing");
	AS_THE_C_LIBRARY(100, "%s and %s%%", "this", "");
	AS_THE_C_LIBRARY(100, "%u %u %u", 0u, 10u, UINT_MAX);
	AS_THE_C_LIBRARY(100, "%d %d %d", 0, INT_MAX, INT_MIN);
}

#pragma GCC diagnostic ignored "-Wformat-truncation"

Test(format, what_does_not_fit_is_cut_off)
{
	AS_THE_C_LIBRARY(6, "12345");
	AS_THE_C_LIBRARY(5, "12345");
	AS_THE_C_LIBRARY(5, "%s", "12345");
	AS_THE_C_LIBRARY(5, "a%d, more", -12345);
	AS_THE_C_LIBRARY(1, "%u%s", 7u, "seven");
}

Test(format, what_it_does_not_know_ends_it)
{
	char got[100];

	format(got, sizeof(got), "%u, %lx, %s", 1u, 2ul, "three");
	cr_assert_str_eq(got, "1, %lx, %s");
}
