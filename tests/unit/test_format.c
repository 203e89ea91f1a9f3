/* SPDX-License-Identifier: MIT */
#include "util/format.h"

#include <criterion/criterion.h>
#include <limits.h>

__attribute__((format(printf, 3, 4))) static void format(char *to, size_t len, const char *text,
							 ...)
{
	va_list ap;

	va_start(ap, text);
	hvsi_format(to, len, text, ap);
	va_end(ap);
}

#define EXPECT(room, want, ...)                                                                    \
	do {                                                                                       \
		char got[(room) + 1];                                                              \
                                                                                                   \
		got[room] = 'x';                                                                   \
		format(got, room, __VA_ARGS__);                                                    \
		cr_assert_str_eq(got, want);                                                       \
		cr_assert_eq(got[room], 'x');                                                      \
	} while (0)

Test(format, what_it_knows)
{
	EXPECT(100, "nothing", "nothing");
	EXPECT(100, "this and %", "%s and %s%%", "this", "");
	EXPECT(100, "0 10 4294967295", "%u %u %u", 0u, 10u, UINT_MAX);
	EXPECT(100, "0 2147483647 -2147483648", "%d %d %d", 0, INT_MAX, INT_MIN);
}

Test(format, what_does_not_fit_is_cut_off)
{
	EXPECT(6, "12345", "12345");
	EXPECT(5, "1234", "12345");
	EXPECT(5, "1234", "%s", "12345");
	EXPECT(5, "a-12", "a%d, more", -12345);
	EXPECT(1, "", "%u%s", 7u, "seven");
}

Test(format, what_it_does_not_know_ends_it)
{
	EXPECT(100, "1, %lx, %s", "%u, %lx, %s", 1u, 2ul, "three");
}
