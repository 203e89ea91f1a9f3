/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include <stdlib.h>

Test(selftest, aborts)
{
	abort();
}
