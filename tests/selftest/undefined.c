/* SPDX-License-Identifier: MIT */
/* Overflows a signed integer: clang's UBSan prints and goes on unless it is told otherwise. */
#include <criterion/criterion.h>

#include <limits.h>

static volatile int large = INT_MAX;

Test(selftest, overflows)
{
	large = large + 1;
	cr_assert(true);
}
