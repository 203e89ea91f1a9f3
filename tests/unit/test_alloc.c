/* SPDX-License-Identifier: MIT */
#include "util/alloc.h"

#include "support/alloc.h"

#include <criterion/criterion.h>
#include <errno.h>

static void *some_alloc(void *arg, size_t len)
{
	(void)len;
	return arg;
}

static void some_free(void *arg, void *p, size_t len)
{
	(void)arg;
	(void)p;
	(void)len;
}

Test(alloc, all_or_nothing)
{
	const struct hvs_allocator only_alloc = {.alloc = some_alloc};
	const struct hvs_allocator only_free = {.free = some_free};
	int here;
	const struct hvs_allocator both = {some_alloc, some_free, &here};
	struct hvs_allocator to = {0};

	cr_assert_eq(hvsi_alloc_setup(&only_alloc, &to), -EINVAL);
	cr_assert_eq(hvsi_alloc_setup(&only_free, &to), -EINVAL);
	cr_assert_null(to.alloc);
	cr_assert_eq(hvsi_alloc_setup(&both, &to), 0);
	cr_assert_eq(to.alloc, some_alloc);
	cr_assert_eq(to.free, some_free);
	cr_assert_eq(to.arg, &here);
}

Test(alloc, none_means_zeroed_memory_of_malloc)
{
	const struct hvs_allocator none = {0};
	const struct hvs_allocator *from[] = {NULL, &none};

	for (size_t i = 0; i < 2; i++) {
		struct hvs_allocator a;
		uint8_t *p;

		cr_assert_eq(hvsi_alloc_setup(from[i], &a), 0);
		/* Whatever malloc hands out again has been written to. */
		for (int round = 0; round < 4; round++) {
			p = hvsi_alloc(&a, 1000);
			cr_assert_not_null(p);
			for (int b = 0; b < 1000; b++)
				cr_assert_eq(p[b], 0);
			memset(p, 0xff, 1000);
			hvsi_free(&a, p, 1000);
		}
	}
}

Test(alloc, an_array_that_overflows_is_not_asked_for)
{
	struct test_alloc t = TEST_ALLOC_INIT;
	struct hvs_allocator a = test_allocator(&t);
	void *p;

	cr_assert_null(hvsi_alloc_array(&a, SIZE_MAX / 8 + 1, 8));
	cr_assert_null(hvsi_alloc_array(&a, 2, SIZE_MAX));
	cr_assert_null(hvsi_alloc_array(&a, SIZE_MAX, SIZE_MAX));
	cr_assert_eq(t.calls, 0);
	p = hvsi_alloc_array(&a, 3, 16);
	cr_assert_not_null(p);
	cr_assert_eq(t.live, 48);
	hvsi_free(&a, p, 48);
	cr_assert_eq(t.live, 0);
}

Test(alloc, free_of_null_is_not_handed_on)
{
	struct test_alloc t = TEST_ALLOC_INIT;
	struct hvs_allocator a = test_allocator(&t);

	hvsi_free(&a, NULL, 7); /* test_allocator() fails a NULL */
	cr_assert_eq(t.live, 0);
}
