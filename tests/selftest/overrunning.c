/* SPDX-License-Identifier: MIT */
/* Reads one byte behind a heap block. */
#include <criterion/criterion.h>

#include <stdlib.h>

static volatile size_t block_len = 16;

Test(selftest, reads_past_the_end)
{
	char *volatile block = calloc(1, block_len);

	cr_assert_not_null(block);
	cr_assert_neq(block[block_len], 'x');
	free(block);
}
