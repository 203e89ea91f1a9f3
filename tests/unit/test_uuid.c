/* SPDX-License-Identifier: MIT */
/* UUIDs as text, and the byte order that guests see. */
#include <criterion/criterion.h>
#include <errno.h>
#include <hvstack/host/uuid.h>
#include <string.h>

Test(uuid, the_first_three_fields_are_little_endian)
{
	static const struct hvs_guid want = {{0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd, 0x01,
					      0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}};
	struct hvs_guid guid;

	cr_assert_eq(hvs_guid_parse("01234567-89AB-cdef-0123-456789ABcdef", &guid), 0);
	cr_assert_arr_eq(guid.b, want.b, 16);
}

Test(uuid, what_is_written_is_read_as_the_same)
{
	struct hvs_guid guid;
	struct hvs_guid again;
	char text[HVS_GUID_TEXT];

	hvs_guid_generate(&guid);
	hvs_guid_format(&guid, text);
	cr_assert_eq(strlen(text), HVS_GUID_TEXT - 1);
	cr_assert_eq(hvs_guid_parse(text, &again), 0);
	cr_assert_arr_eq(again.b, guid.b, 16);
}

Test(uuid, no_two_that_are_made_are_equal)
{
	struct hvs_guid a;
	struct hvs_guid b;

	hvs_guid_generate(&a);
	hvs_guid_generate(&b);
	cr_assert_arr_neq(a.b, b.b, 16);
}

Test(uuid, other_texts_are_refused_and_leave_the_guid_alone)
{
	static const char *const wrong[] = {
		NULL,
		"",
		"01234567-89ab-cdef-0123-456789abcde",
		"01234567-89ab-cdef-0123-456789abcdeff",
		"{01234567-89ab-cdef-0123-456789abcdef}",
		" 01234567-89ab-cdef-0123-456789abcdef",
		"0123456789ab-cdef-0123-456789abcdefabcd",
		"01234567-89ab-cdef-0123-456789abcdeg",
	};
	struct hvs_guid guid = {{7}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_eq(hvs_guid_parse(wrong[i], &guid), -EINVAL, "%zu", i);
	cr_assert_eq(guid.b[0], 7);
	cr_assert_eq(hvs_guid_parse("01234567-89ab-cdef-0123-456789abcdef", NULL), -EINVAL);
}
