/* SPDX-License-Identifier: MIT */
#include "util/sized.h"

#include <hvstack/version.h>

#include <criterion/criterion.h>
#include <errno.h>

/* One struct at three ages. */
struct first {
	uint32_t size;
	uint32_t a;
};

struct ours {
	uint32_t size;
	uint32_t a;
	uint64_t b;
};

struct newer {
	uint32_t size;
	uint32_t a;
	uint64_t b;
	uint64_t c;
};

static int take(struct ours *to, const void *from)
{
	return hvsi_copy_sized(to, sizeof(*to), from, sizeof(struct first));
}

Test(sized, copies_a_struct_of_the_same_age)
{
	const struct ours from = {.size = sizeof(from), .a = 1, .b = 2};
	struct ours to = {.b = 99};

	cr_assert_eq(take(&to, &from), 0);
	cr_assert_eq(to.size, sizeof(from));
	cr_assert_eq(to.a, 1);
	cr_assert_eq(to.b, 2);
}

Test(sized, members_an_older_caller_does_not_know_become_zero)
{
	const struct first from = {.size = sizeof(from), .a = 1};
	struct ours to = {.b = 99};

	cr_assert_eq(take(&to, &from), 0);
	cr_assert_eq(to.a, 1);
	cr_assert_eq(to.b, 0);
}

Test(sized, a_newer_caller_is_fine_while_it_uses_nothing_new)
{
	const struct newer from = {.size = sizeof(from), .a = 1, .b = 2};
	struct ours to = {0};

	cr_assert_eq(take(&to, &from), 0);
	cr_assert_eq(to.a, 1);
	cr_assert_eq(to.b, 2);
}

Test(sized, any_unknown_byte_that_is_set_is_refused)
{
	struct newer from = {.size = sizeof(from), .a = 1};

	for (unsigned bit = 0; bit < 64; bit++) {
		struct ours to = {.a = 77};

		from.c = 1ull << bit;
		cr_assert_eq(take(&to, &from), -ENOTSUP, "bit %u", bit);
		cr_assert_eq(to.a, 77, "refused: nothing is written");
	}
}

Test(sized, too_small_or_absent_is_a_mistake)
{
	struct first from = {.size = 0, .a = 1};
	struct ours to = {.a = 77};

	cr_assert_eq(take(&to, &from), -EINVAL, "size was not set");
	from.size = sizeof(from) - 1;
	cr_assert_eq(take(&to, &from), -EINVAL);
	cr_assert_eq(take(&to, NULL), -EINVAL);
	cr_assert_eq(to.a, 77);
}

/* Nobody guarantees that a size is a multiple of anything. */
Test(sized, copies_no_byte_beyond_the_size)
{
	struct ours from = {.size = offsetof(struct ours, b) + 3, .b = 0x1122334455667788};
	struct ours to = {0};

	cr_assert_eq(take(&to, &from), 0);
	cr_assert_eq(to.b, 0x667788);
}

Test(version, is_the_headers)
{
	cr_assert_eq(hvs_version(),
		     HVS_VERSION_MAJOR << 16 | HVS_VERSION_MINOR << 8 | HVS_VERSION_PATCH);
}
