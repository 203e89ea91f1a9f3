/* SPDX-License-Identifier: MIT */
/* Loses memory: Criterion calls it passed. */
#include <criterion/criterion.h>

#include <stdlib.h>

static void *volatile lost;

Test(selftest, leaks)
{
	lost = malloc(123);
	cr_assert_not_null(lost);
	lost = NULL;
}
