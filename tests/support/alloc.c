/* SPDX-License-Identifier: MIT */
#include "support/alloc.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* In front of each allocation; keeps what follows aligned for any object. */
#define HEADER 16u
_Static_assert(sizeof(size_t) <= HEADER, "the length fits");

static void *counted_alloc(void *arg, size_t len)
{
	struct test_alloc *a = arg;
	uint8_t *p;

	if (a->calls++ == a->fail_at) {
		a->failed = true;
		return NULL;
	}
	p = calloc(1, HEADER + len);
	if (!p)
		abort();
	memcpy(p, &len, sizeof(len));
	a->live += len;
	return p + HEADER;
}

static void counted_free(void *arg, void *p, size_t len)
{
	struct test_alloc *a = arg;
	size_t was;

	cr_assert_not_null(p, "free() of nothing reached the embedder");
	memcpy(&was, (uint8_t *)p - HEADER, sizeof(was));
	cr_assert_eq(was, len, "%zu bytes allocated, %zu given back", was, len);
	a->live -= len;
	free((uint8_t *)p - HEADER);
}

struct hvs_allocator test_allocator(struct test_alloc *a)
{
	return (struct hvs_allocator){.alloc = counted_alloc, .free = counted_free, .arg = a};
}
