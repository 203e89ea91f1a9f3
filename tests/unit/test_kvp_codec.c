/* SPDX-License-Identifier: MIT */
/* Pairs on the wire. */
#include "ic/kvp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct hvsi_kvp_pair pair;

/* A value record; texts are ASCII. */
static struct hvsi_kvp_value record(uint32_t type, const char *key, const char *value)
{
	struct hvsi_kvp_value v = {.type = hvsi_le32(type),
				   .key_bytes = hvsi_le32((uint32_t)strlen(key) * 2 + 2),
				   .value_bytes = hvsi_le32((uint32_t)strlen(value) * 2 + 2)};

	for (size_t i = 0; key[i]; i++)
		v.key[2 * i] = (uint8_t)key[i];
	for (size_t i = 0; value[i]; i++)
		v.value[2 * i] = (uint8_t)value[i];
	return v;
}

static enum hvsi_kvp_read take(const struct hvsi_kvp_value *v)
{
	/* Of its exact length, that a sanitizer sees what is read beyond. */
	uint8_t *copy = malloc(sizeof(*v));
	enum hvsi_kvp_read got;

	cr_assert_not_null(copy);
	memcpy(copy, v, sizeof(*v));
	got = hvsi_kvp_read(copy, sizeof(*v), &pair);
	free(copy);
	return got;
}

Test(kvp_codec, rule_11_a_set_has_strings_only_with_their_nul_in_the_size)
{
	static const uint8_t want[] = {1,   2, 0,    0, /* set, pool 2 */
				       1,   0, 0,    0, 6, 0,
				       0,   0, 4,    0, 0, 0, /* string, 6, 4 bytes */
				       'a', 0, 0xe4, 0, 0, 0};
	struct hvsi_kvp_pair_message m;
	const uint8_t *bytes = (const uint8_t *)&m;

	memset(&m, 0xff, sizeof(m));
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_SET, HVS_KVP_AUTO, "a\xc3\xa4", "7"), 0);
	cr_assert_arr_eq(bytes, want, sizeof(want));
	for (size_t i = sizeof(want); i < sizeof(m); i++)
		cr_assert_eq(bytes[i], i == 4 + 524 ? '7' : 0, "byte %zu", i);
}

Test(kvp_codec, a_delete_has_its_key_after_its_size)
{
	static const uint8_t want[] = {2, 0, 0, 0, 4, 0, 0, 0, 'k', 0, 0, 0};
	struct hvsi_kvp_pair_message m;

	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_DELETE, HVS_KVP_EXTERNAL, "k", NULL), 0);
	cr_assert_arr_eq((const uint8_t *)&m, want, sizeof(want));
}

Test(kvp_codec, lengths_of_what_can_be_written)
{
	static char text[1025];
	struct hvsi_kvp_pair_message m;

	memset(text, 't', sizeof(text) - 1);
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_SET, 0, text + 1024 - 255, text + 1), 0);
	cr_assert_eq(hvsi_get32(m.u.value.key_bytes), 512);
	cr_assert_eq(hvsi_get32(m.u.value.value_bytes), 2048);
	cr_assert_eq(m.u.value.value[2046], 0);
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_SET, 0, text + 1024 - 256, ""), -EINVAL);
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_SET, 0, "k", text), -EINVAL);
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_SET, 0, "", "v"), -EINVAL);
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_SET, 0, "\xff", "v"), -EINVAL);
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_SET, 0, "k", "\xc0\x80"), -EINVAL);
	cr_assert_eq(hvsi_kvp_write(&m, HVSI_KVP_DELETE, 0, text + 1024 - 256, NULL), -EINVAL);
}

Test(kvp_codec, values_of_all_types)
{
	static const struct {
		uint32_t type;
		uint32_t bytes;
		char raw[9];
		enum hvsi_kvp_read got;
		const char *value;
	} table[] = {
		{1, 4, "v\0\0", HVSI_KVP_OK, "v"},
		{2, 4, "v\0\0", HVSI_KVP_OK, "v"},
		{1, 0, "", HVSI_KVP_OK, ""},
		{1, 2, "", HVSI_KVP_OK, ""},
		{1, 6, "v\0\0\0w", HVSI_KVP_BAD, NULL},
		{1, 3, "v\0\0", HVSI_KVP_BAD, NULL},
		{1, 1, "", HVSI_KVP_BAD, NULL},
		{1, 2050, "", HVSI_KVP_BAD, NULL},
		{1, 0xffffffff, "", HVSI_KVP_BAD, NULL},
		{1, 4, "\0\xd8\0", HVSI_KVP_OK, "\xef\xbf\xbd"},
		{4, 4, "\xff\xff\xff\xff", HVSI_KVP_OK, "4294967295"},
		{4, 8, "\1", HVSI_KVP_BAD, NULL},
		{8, 8, "\0\0\0\0\1\0\0", HVSI_KVP_OK, "4294967296"},
		{11, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", HVSI_KVP_OK, "18446744073709551615"},
		{11, 4, "\1", HVSI_KVP_BAD, NULL},
		{0, 4, "v\0\0", HVSI_KVP_BAD, NULL},
		{3, 4, "v\0\0", HVSI_KVP_BAD, NULL},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct hvsi_kvp_value v = record(table[i].type, "key", "");

		v.value_bytes = hvsi_le32(table[i].bytes);
		memcpy(v.value, table[i].raw, table[i].bytes < 8 ? table[i].bytes : 8);
		cr_expect_eq(take(&v), table[i].got, "row %zu", i);
		if (table[i].value)
			cr_expect_str_eq(pair.value, table[i].value, "row %zu", i);
		if (table[i].value)
			cr_expect_str_eq(pair.key, "key");
	}
}

Test(kvp_codec, rule_12_keys_of_all_sizes)
{
	static const struct {
		uint32_t bytes;
		enum hvsi_kvp_read got;
	} table[] = {
		{0, HVSI_KVP_NO_KEY},       {1, HVSI_KVP_NO_KEY}, {2, HVSI_KVP_NO_KEY},
		{3, HVSI_KVP_BAD},          {4, HVSI_KVP_BAD},    {8, HVSI_KVP_OK},
		{9, HVSI_KVP_BAD},          {512, HVSI_KVP_OK},   {514, HVSI_KVP_BAD},
		{0xfffffffe, HVSI_KVP_BAD},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct hvsi_kvp_value v = record(1, "key", "v");

		v.key_bytes = hvsi_le32(table[i].bytes);
		cr_expect_eq(take(&v), table[i].got, "%u bytes", table[i].bytes);
	}
}

Test(kvp_codec, a_key_that_begins_with_its_end_is_none)
{
	struct hvsi_kvp_value v = record(1, "", "v");

	v.key_bytes = hvsi_le32(512);
	cr_assert_eq(take(&v), HVSI_KVP_NO_KEY);
}

Test(kvp_codec, rule_12_records_that_are_cut_anywhere)
{
	const struct hvsi_kvp_value v = record(1, "key", "value");

	for (uint32_t len = 0; len < sizeof(v); len++) {
		uint8_t *copy = malloc(len + 1);
		enum hvsi_kvp_read got;

		cr_assert_not_null(copy);
		memcpy(copy, &v, len);
		got = hvsi_kvp_read(copy, len, &pair);
		/* Once the key is there, all of the value must be, too. */
		cr_expect_eq(got,
			     len < 13         ? HVSI_KVP_NO_KEY
			     : len < 524 + 12 ? HVSI_KVP_BAD
					      : HVSI_KVP_OK,
			     "%u bytes", len);
		free(copy);
	}
}

Test(kvp_codec, the_longest_pair_there_is)
{
	struct hvsi_kvp_value v = {
		.type = hvsi_le32(1), .key_bytes = hvsi_le32(512), .value_bytes = hvsi_le32(2048)};

	for (size_t i = 0; i < 510; i += 2)
		hvsi_put_be16(v.key + i,
			      0x20ac); /* 3 bytes of UTF-8, as a number of the other order */
	for (size_t i = 0; i < 2046; i += 2)
		hvsi_put_be16(v.value + i, 0xac20);
	cr_assert_eq(take(&v), HVSI_KVP_OK);
	cr_assert_eq(strlen(pair.key), 255 * 3);
	cr_assert_eq(strlen(pair.value), 1023 * 3);
}
