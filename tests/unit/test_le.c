/* SPDX-License-Identifier: MIT */
#include "util/bytes.h"
#include "util/guid.h"
#include "util/le.h"

#include <criterion/criterion.h>

Test(le, least_significant_byte_first)
{
	const struct hvs_le16 a = hvsi_le16(0x1234);
	const struct hvs_le32 b = hvsi_le32(0x89abcdef);
	const struct hvs_le64 c = hvsi_le64(0x8192a3b4c5d6e7f8);

	cr_assert_arr_eq(a.b, ((uint8_t[]){0x34, 0x12}), 2);
	cr_assert_arr_eq(b.b, ((uint8_t[]){0xef, 0xcd, 0xab, 0x89}), 4);
	cr_assert_arr_eq(c.b, ((uint8_t[]){0xf8, 0xe7, 0xd6, 0xc5, 0xb4, 0xa3, 0x92, 0x81}), 8);
}

Test(le, reads_what_it_wrote)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t v = 1ull << bit;

		cr_assert_eq(hvsi_get64(hvsi_le64(v)), v);
		cr_assert_eq(hvsi_get64(hvsi_le64(~v)), ~v);
		cr_assert_eq(hvsi_get32(hvsi_le32((uint32_t)v)), (uint32_t)v);
		cr_assert_eq(hvsi_get32(hvsi_le32((uint32_t)~v)), (uint32_t)~v);
		cr_assert_eq(hvsi_get16(hvsi_le16((uint16_t)v)), (uint16_t)v);
		cr_assert_eq(hvsi_get16(hvsi_le16((uint16_t)~v)), (uint16_t)~v);
	}
}

Test(le, has_no_alignment)
{
	cr_assert_eq(_Alignof(struct hvs_le16), 1);
	cr_assert_eq(_Alignof(struct hvs_le32), 1);
	cr_assert_eq(_Alignof(struct hvs_le64), 1);
}

Test(be, most_significant_byte_first)
{
	uint8_t b[9] = {0};

	hvsi_put_be16(b, 0x1234);
	cr_assert_arr_eq(b, ((uint8_t[]){0x12, 0x34, 0}), 3);
	hvsi_put_be32(b, 0x89abcdef);
	cr_assert_arr_eq(b, ((uint8_t[]){0x89, 0xab, 0xcd, 0xef, 0}), 5);
	hvsi_put_be64(b, 0x8192a3b4c5d6e7f8);
	cr_assert_arr_eq(b, ((uint8_t[]){0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8, 0}), 9);
	cr_assert_eq(hvsi_get_be16(b), 0x8192);
	cr_assert_eq(hvsi_get_be32(b), 0x8192a3b4);
	cr_assert_eq(hvsi_get_be64(b), 0x8192a3b4c5d6e7f8);
}

/* protocol/vmbus.md 10.1 */
Test(guid, has_its_first_three_fields_swapped_on_the_wire)
{
	const struct hvs_guid net = HVSI_GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2,
					      0xf9, 0x65, 0xed, 0x0e);
	const uint8_t wire[16] = {0x63, 0x51, 0x61, 0xf8, 0x3e, 0xdf, 0xc5, 0x46,
				  0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e};
	struct hvs_guid other = net;

	cr_assert_arr_eq(net.b, wire, 16);
	cr_assert(hvsi_guid_equal(&net, &other));
	other.b[15] ^= 1;
	cr_assert_not(hvsi_guid_equal(&net, &other));
}

Test(reader, advances_or_fails)
{
	const uint8_t bytes[5] = {1, 2, 3, 4, 5};
	struct hvsi_reader r = hvsi_reader(bytes, sizeof(bytes));
	uint8_t to[4] = {0};

	cr_assert(hvsi_read(&r, to, 3));
	cr_assert_arr_eq(to, bytes, 3);
	cr_assert_not(hvsi_read(&r, to, 3), "two bytes are left");
	cr_assert_null(hvsi_take(&r, 3));
	cr_assert_eq(r.left, 2, "a read that fails moves nothing");
	cr_assert_eq(hvsi_take(&r, 2), bytes + 3);
	cr_assert_eq(r.left, 0);
	cr_assert(hvsi_read(&r, to, 0));
	cr_assert_not(hvsi_read(&r, to, 1));
	cr_assert_not(hvsi_read(&r, to, SIZE_MAX));
}
