/* SPDX-License-Identifier: MIT */
#include "vmbus/packet.h"

#include "util/le.h"

#include <hvstack/memory.h>

#include <criterion/criterion.h>

static uint8_t bytes[4096] __attribute__((aligned(8)));

static enum hvs_fault_code parse(struct hvsi_descriptor desc, struct hvs_packet *pkt,
				 struct hvs_extents *e)
{
	return hvsi_packet_parse(&desc, bytes, NULL, NULL, pkt, e);
}

Test(packet, inband_and_completion_carry_a_payload)
{
	static const uint16_t types[] = {HVS_PACKET_INBAND, HVS_PACKET_COMPLETION};
	struct hvs_extents e;
	struct hvs_packet pkt;

	for (size_t i = 0; i < 2; i++) {
		struct hvsi_descriptor d = {
			.type = types[i], .header_len8 = 2, .len8 = 5, .xid = UINT64_MAX - 1};

		cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_NONE);
		cr_assert_eq(pkt.type, types[i]);
		cr_assert_eq(pkt.len, 24);
		cr_assert_eq(pkt.data, bytes + 16);
		cr_assert_eq(pkt.xid, UINT64_MAX - 1);
		cr_assert_null(pkt.extents);
		cr_assert_not(pkt.wants_completion);
	}
}

Test(packet, only_bit_0_of_the_flags_asks_for_a_completion)
{
	struct hvs_extents e;
	struct hvs_packet pkt;

	for (unsigned bit = 0; bit < 16; bit++) {
		struct hvsi_descriptor d = {.type = HVS_PACKET_INBAND,
					    .header_len8 = 2,
					    .len8 = 2,
					    .flags = (uint16_t)(1u << bit)};

		cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_NONE);
		cr_assert_eq(pkt.wants_completion, bit == 0);
	}
}

Test(packet, an_extended_header_is_skipped)
{
	struct hvsi_descriptor d = {.type = HVS_PACKET_INBAND, .header_len8 = 4, .len8 = 4};
	struct hvs_extents e;
	struct hvs_packet pkt;

	cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_NONE);
	cr_assert_eq(pkt.len, 0);
	cr_assert_eq(pkt.data, bytes + 32);
}

Test(packet, every_other_type_is_a_fault)
{
	struct hvs_extents e;
	struct hvs_packet pkt;

	for (uint32_t type = 0; type <= 0x10000; type += type < 64 ? 1 : 777) {
		struct hvsi_descriptor d = {.type = (uint16_t)type, .header_len8 = 4, .len8 = 4};
		bool known = d.type == 0x6 || d.type == 0x9 || d.type == 0xb;

		memset(bytes, 0, sizeof(bytes));
		cr_assert_eq(parse(d, &pkt, &e), known ? HVS_FAULT_NONE : HVS_FAULT_PACKET_TYPE,
			     "type %u", type);
	}
}

/* Garbage in the reserved word, one range of two pages, payload behind. */
static void put_ranges(uint32_t count, uint32_t len, uint32_t offset)
{
	const struct hvs_le32 head[4] = {hvsi_le32(0xdeadbeef), hvsi_le32(count), hvsi_le32(len),
					 hvsi_le32(offset)};
	const struct hvs_le64 pfn[2] = {hvsi_le64(5), hvsi_le64(9)};

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + 16, head, sizeof(head));
	memcpy(bytes + 32, pfn, sizeof(pfn));
}

Test(packet, gpa_direct_names_guest_memory)
{
	struct hvsi_descriptor d = {
		.type = HVS_PACKET_GPA_DIRECT, .header_len8 = 6, .len8 = 14, .flags = 1};
	struct hvs_extents e;
	struct hvs_packet pkt;

	put_ranges(1, 4097, 4095);
	cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_NONE);
	cr_assert_eq(pkt.extents, &e);
	cr_assert_eq(hvs_extents_len(pkt.extents), 4097);
	cr_assert_eq(e.page_count, 2);
	cr_assert_eq(hvsi_extents_page(&e, 0), 5 * 4096);
	cr_assert_eq(hvsi_extents_page(&e, 1), 9 * 4096);
	cr_assert_eq(pkt.len, 64);
	cr_assert_eq(pkt.data, bytes + 48);
	cr_assert(pkt.wants_completion);
}

Test(packet, gpa_direct_without_a_range_names_nothing)
{
	struct hvsi_descriptor d = {.type = HVS_PACKET_GPA_DIRECT, .header_len8 = 3, .len8 = 3};
	struct hvs_extents e;
	struct hvs_packet pkt;

	put_ranges(0, 0, 0);
	cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_NONE);
	cr_assert_eq(hvs_extents_len(pkt.extents), 0);
}

/* The list ends where the payload begins, however much follows. */
Test(packet, ranges_do_not_reach_into_the_payload)
{
	static const struct {
		uint16_t header_len8;
		uint32_t ranges;
		uint32_t len;
		uint32_t offset;
	} bad[] = {
		{2, 0, 0, 0},       /* no room for the range count */
		{3, 1, 1, 0},       /* ... a range */
		{4, 1, 1, 0},       /* ... its page number */
		{5, 1, 4097, 4095}, /* ... its second page number */
		{6, 2, 4097, 4095}, /* ... a second range */
		{6, UINT32_MAX, 4097, 4095},
		{6, 1, 0, 0},
		{6, 1, 100, 4096},
	};
	struct hvs_extents e;
	struct hvs_packet pkt;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hvsi_descriptor d = {.type = HVS_PACKET_GPA_DIRECT,
					    .header_len8 = bad[i].header_len8,
					    .len8 = 100};

		put_ranges(bad[i].ranges, bad[i].len, bad[i].offset);
		cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_PACKET_RANGES, "case %zu", i);
	}
}
