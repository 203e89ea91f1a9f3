/* SPDX-License-Identifier: MIT */
/* An allocator that counts, checks the lengths given back, and fails when it is told to. */
#ifndef TESTS_SUPPORT_ALLOC_H
#define TESTS_SUPPORT_ALLOC_H

#include <hvstack/types.h>

#include <stdbool.h>
#include <stdint.h>

struct test_alloc {
	size_t live;    /* bytes */
	size_t calls;   /* of alloc, refused ones too */
	size_t fail_at; /* number of the call that fails, from 0; SIZE_MAX: none */
	bool failed;    /* that call has come */
};

#define TEST_ALLOC_INIT                                                                            \
	{                                                                                          \
		.fail_at = SIZE_MAX                                                                \
	}

/* *a must outlive everything that allocates from it. */
struct hvs_allocator test_allocator(struct test_alloc *a);

#endif
