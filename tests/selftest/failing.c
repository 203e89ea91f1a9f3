/* SPDX-License-Identifier: MIT */
/* One test passes, one does not. */
#include <criterion/criterion.h>

Test(selftest, passes)
{
	cr_assert_eq(1 + 1, 2);
}

Test(selftest, fails)
{
	cr_assert_eq(1 + 1, 3);
}
