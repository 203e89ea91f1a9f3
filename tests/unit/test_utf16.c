/* SPDX-License-Identifier: MIT */
/* UTF-16LE from and to UTF-8. */
#include "util/utf16.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

struct pair {
	const char *utf8;
	uint32_t units;
	uint8_t utf16[8];
};

static const struct pair pairs[] = {
	{"", 0, {0}},
	{"A", 1, {0x41, 0}},
	{"az", 2, {0x61, 0, 0x7a, 0}},
	{"\x7f", 1, {0x7f, 0}},
	{"\xc2\x80", 1, {0x80, 0}},
	{"\xdf\xbf", 1, {0xff, 0x07}},
	{"\xe0\xa0\x80", 1, {0, 0x08}},
	{"\xe2\x82\xac", 1, {0xac, 0x20}},
	{"\xed\x9f\xbf", 1, {0xff, 0xd7}},
	{"\xee\x80\x80", 1, {0, 0xe0}},
	{"\xef\xbf\xbf", 1, {0xff, 0xff}},
	{"\xf0\x90\x80\x80", 2, {0, 0xd8, 0, 0xdc}},
	{"\xf0\x9f\x98\x80!", 3, {0x3d, 0xd8, 0, 0xde, 0x21, 0}},
	{"\xf4\x8f\xbf\xbf", 2, {0xff, 0xdb, 0xff, 0xdf}},
};

Test(utf16, text_is_the_same_in_both_forms)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct pair *p = &pairs[i];
		uint8_t wide[8] = {0};
		char narrow[16];

		cr_assert_eq(hvsi_utf16_from_utf8(p->utf8, wide, 4), p->units, "%zu", i);
		cr_assert_arr_eq(wide, p->utf16, sizeof(wide), "%zu", i);
		cr_assert_eq(hvsi_utf16_from_utf8(p->utf8, NULL, 4), p->units, "%zu", i);
		cr_assert_eq(hvsi_utf16_to_utf8(p->utf16, p->units, narrow, sizeof(narrow)),
			     strlen(p->utf8), "%zu", i);
		cr_assert_str_eq(narrow, p->utf8, "%zu", i);
	}
}

Test(utf16, every_character_survives_both_ways)
{
	for (uint32_t code = 1; code <= 0x10ffff; code++) {
		uint8_t wide[4] = {(uint8_t)code, (uint8_t)(code >> 8)};
		uint8_t again[4] = {0};
		uint32_t units = 1;
		char narrow[5];

		if (code >= 0xd800 && code <= 0xdfff)
			continue;
		if (code >= 0x10000) {
			uint32_t high = 0xd800 + ((code - 0x10000) >> 10);
			uint32_t low = 0xdc00 + ((code - 0x10000) & 0x3ff);

			wide[0] = (uint8_t)high;
			wide[1] = (uint8_t)(high >> 8);
			wide[2] = (uint8_t)low;
			wide[3] = (uint8_t)(low >> 8);
			units = 2;
		}
		cr_assert_gt(hvsi_utf16_to_utf8(wide, units, narrow, sizeof(narrow)), 0);
		cr_assert_eq(hvsi_utf16_from_utf8(narrow, again, 2), units, "U+%x", code);
		cr_assert_arr_eq(wide, again, sizeof(wide), "U+%x", code);
	}
}

Test(utf16, what_is_not_utf8_is_refused)
{
	static const char *const bad[] = {
		"\x80",                 /* continuation without a beginning */
		"a\xbf",                /* the same, later */
		"\xc2",                 /* ends too early */
		"\xe2\x82",             /* the same */
		"\xf0\x9f\x98",         /* the same */
		"\xc2\x41",             /* no continuation */
		"\xc0\x80",             /* overlong NUL */
		"\xc1\xbf",             /* overlong */
		"\xe0\x9f\xbf",         /* overlong */
		"\xf0\x8f\xbf\xbf",     /* overlong */
		"\xed\xa0\x80",         /* half of a pair */
		"\xed\xbf\xbf",         /* the other half */
		"\xf4\x90\x80\x80",     /* beyond U+10FFFF */
		"\xf8\x88\x80\x80\x80", /* five bytes */
		"\xff",
	};
	uint8_t wide[16];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(hvsi_utf16_from_utf8(bad[i], wide, 8), -EINVAL, "%zu", i);
}

Test(utf16, text_that_is_too_long_is_refused_and_nothing_written_behind)
{
	uint8_t wide[6] = {1, 1, 1, 1, 1, 1};

	cr_assert_eq(hvsi_utf16_from_utf8("ab", wide, 2), 2);
	cr_assert_eq(wide[4], 1);
	cr_assert_eq(hvsi_utf16_from_utf8("abc", wide, 2), -EMSGSIZE);
	cr_assert_eq(hvsi_utf16_from_utf8("a\xf0\x9f\x98\x80", wide, 2), -EMSGSIZE);
	cr_assert_eq(wide[4], 1);
	cr_assert_eq(hvsi_utf16_from_utf8("", wide, 0), 0);
	cr_assert_eq(hvsi_utf16_from_utf8("a", wide, 0), -EMSGSIZE);
}

Test(utf16, halves_of_pairs_become_the_replacement_character)
{
	static const struct {
		uint8_t wide[8];
		uint32_t units;
		const char *narrow;
	} halves[] = {
		{{0x3d, 0xd8}, 1, "\xef\xbf\xbd"},
		{{0x00, 0xde}, 1, "\xef\xbf\xbd"},
		{{0x3d, 0xd8, 'A', 0}, 2, "\xef\xbf\xbd\x41"},
		{{0x00, 0xde, 0x3d, 0xd8}, 2, "\xef\xbf\xbd\xef\xbf\xbd"},
		{{0x3d, 0xd8, 0x3d, 0xd8, 0x00, 0xde}, 3, "\xef\xbf\xbd\xf0\x9f\x98\x80"},
		/* The pair's other half is behind the end. */
		{{'A', 0, 0x3d, 0xd8, 0x00, 0xde}, 2, "A\xef\xbf\xbd"},
	};
	char narrow[16];

	for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
		cr_assert_eq(
			hvsi_utf16_to_utf8(halves[i].wide, halves[i].units, narrow, sizeof(narrow)),
			strlen(halves[i].narrow), "%zu", i);
		cr_assert_str_eq(narrow, halves[i].narrow, "%zu", i);
	}
}

Test(utf16, reading_ends_at_a_nul)
{
	static const uint8_t wide[] = {'a', 0, 0, 0, 'b', 0};
	char narrow[8];

	cr_assert_eq(hvsi_utf16_to_utf8(wide, 3, narrow, sizeof(narrow)), 1);
	cr_assert_str_eq(narrow, "a");
}

Test(utf16, what_does_not_fit_is_left_out_by_whole_characters)
{
	static const uint8_t wide[] = {'a', 0, 0xac, 0x20, 0x3d, 0xd8, 0x00, 0xde};
	static const uint32_t fits[] = {0, 0, 1, 1, 1, 4, 4, 4, 4, 8, 8}; /* by room */
	char narrow[12];

	for (uint32_t room = 1; room <= 10; room++) {
		memset(narrow, 'x', sizeof(narrow));
		cr_assert_eq(hvsi_utf16_to_utf8(wide, 4, narrow, room), fits[room], "%u", room);
		cr_assert_eq(narrow[fits[room]], 0);
		cr_assert_eq(narrow[room], 'x', "%u", room);
	}
}

Test(utf16, three_bytes_a_unit_are_enough)
{
	uint8_t wide[64];
	char narrow[sizeof(wide) / 2 * 3 + 1];

	memset(wide, 0xff, sizeof(wide));
	cr_assert_eq(hvsi_utf16_to_utf8(wide, sizeof(wide) / 2, narrow, sizeof(narrow)),
		     sizeof(narrow) - 1);
}
