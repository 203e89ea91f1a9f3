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

Test(packet, the_only_flag_asks_for_a_completion)
{
	struct hvs_extents e;
	struct hvs_packet pkt;

	for (unsigned bit = 0; bit < 16; bit++) {
		struct hvsi_descriptor d = {.type = HVS_PACKET_INBAND,
					    .header_len8 = 2,
					    .len8 = 2,
					    .flags = (uint16_t)(1u << bit)};

		cr_assert_eq(parse(d, &pkt, &e), bit ? HVS_FAULT_PACKET_TYPE : HVS_FAULT_NONE);
		cr_assert(bit || pkt.wants_completion);
		d.flags |= 1;
		cr_assert_eq(parse(d, &pkt, &e), bit ? HVS_FAULT_PACKET_TYPE : HVS_FAULT_NONE);
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

/* Protocol 6.2: what a guest may send, and what is for hosts, out of use, or nothing at all. */
Test(packet, three_types_are_accepted_from_a_guest)
{
	static const struct {
		uint16_t type;
		const char *name;
		bool accepted;
	} types[] = {
		{0x0, "invalid", false},
		{0x1, "synch", false},
		{0x2, "add transfer page set", false},
		{0x3, "remove transfer page set", false},
		{0x4, "establish GPADL", false},
		{0x5, "tear down GPADL", false},
		{0x6, "in-band data", true},
		{0x7, "data using transfer pages", false}, /* host to guest */
		{0x8, "data using GPADL", false},
		{0x9, "data using GPA direct", true},
		{0xa, "cancel request", false},
		{0xb, "completion", true},
		{0xc, "data using additional packets", false},
		{0xd, "additional data", false},
		{0xe, "unknown", false},
		{0xf, "unknown", false},
		{0x10, "unknown", false},
		{0x106, "in-band with a bit too many", false},
		{0xffff, "unknown", false},
	};
	/* Good as an extended header of any type: one range of no page set, GPADL or memory. */
	const struct hvs_le32 header[6] = {hvsi_le32(0), hvsi_le32(1), hvsi_le32(1), hvsi_le32(0)};
	struct hvs_extents e;
	struct hvs_packet pkt;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct hvsi_descriptor d = {.type = types[i].type, .header_len8 = 5, .len8 = 6};
		enum hvs_fault_code code;

		memcpy(bytes + HVSI_RING_DESCRIPTOR, header, sizeof(header));
		code = parse(d, &pkt, &e);
		cr_assert_eq(code, types[i].accepted ? HVS_FAULT_NONE : HVS_FAULT_PACKET_TYPE,
			     "%#x, %s", types[i].type, types[i].name);
		cr_assert(!types[i].accepted || pkt.type == types[i].type);
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

Test(packet, gpa_direct_names_at_least_one_range)
{
	struct hvsi_descriptor d = {.type = HVS_PACKET_GPA_DIRECT, .header_len8 = 3, .len8 = 3};
	struct hvs_extents e;
	struct hvs_packet pkt;

	put_ranges(0, 0, 0);
	cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_PACKET_RANGES);
}

/*
 * What network drivers send: a header in the middle of a page, a fragment over two pages that are
 * not neighbours, a tail. The bytes of all ranges in a row are the buffer.
 */
static const uint64_t several[] = {
	0xfee1deadull | 3ull << 32,       /* garbage; three ranges */
	20 | 100ull << 32,          1,    /* page 1, 100..120 */
	4000 | 200ull << 32,        4, 2, /* page 4, 200..4096; page 2, 0..104 */
	1 | 4095ull << 32,          3,    /* the last byte of page 3 */
};

Test(packet, gpa_direct_names_several_ranges)
{
	static uint8_t ram[5 * 4096] __attribute__((aligned(4096)));
	const uint32_t end8 = 2 + sizeof(several) / 8;
	struct hvsi_descriptor d = {.type = HVS_PACKET_GPA_DIRECT,
				    .header_len8 = (uint16_t)end8,
				    .len8 = (uint16_t)(end8 + 1)};
	static uint8_t got[4021];
	struct hvs_mem *mem;
	struct hvs_extents e;
	struct hvs_packet pkt;

	for (size_t i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i * 7 + i / 4096);
	cr_assert_eq(hvs_mem_create(NULL, &mem), 0);
	cr_assert_eq(hvs_mem_add(mem, 0, sizeof(ram), ram, HVS_RDWR), 0);
	memcpy(bytes + HVSI_RING_DESCRIPTOR, several, sizeof(several));
	memcpy(bytes + end8 * 8, "payload!", 8);
	cr_assert_eq(hvsi_packet_parse(&d, bytes, mem, NULL, &pkt, &e), HVS_FAULT_NONE);
	cr_assert_eq(pkt.len, 8);
	cr_assert_eq(memcmp(pkt.data, "payload!", 8), 0);
	cr_assert_eq(hvs_extents_len(pkt.extents), 20 + 4000 + 1);
	cr_assert_eq(hvs_extents_read(pkt.extents, 0, got, sizeof(got)), 0);
	cr_assert_eq(memcmp(got, ram + 4096 + 100, 20), 0);
	cr_assert_eq(memcmp(got + 20, ram + 4 * 4096 + 200, 3896), 0);
	cr_assert_eq(memcmp(got + 20 + 3896, ram + 2 * 4096, 104), 0);
	cr_assert_eq(got[4020], ram[4 * 4096 - 1]);
	hvs_mem_destroy(mem);
}

/* Whatever the count says, and wherever the header ends, nothing behind the header is a range. */
Test(packet, several_ranges_end_with_the_header)
{
	const uint16_t whole = 2 + sizeof(several) / 8;
	struct hvs_extents e;
	struct hvs_packet pkt;

	memcpy(bytes + HVSI_RING_DESCRIPTOR, several, sizeof(several));
	for (uint16_t end8 = 2; end8 < whole; end8++) {
		struct hvsi_descriptor d = {
			.type = HVS_PACKET_GPA_DIRECT, .header_len8 = end8, .len8 = 100};

		cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_PACKET_RANGES, "%u", end8);
	}
	for (unsigned more = 4; more; more *= 2) {
		const struct hvs_le32 count = hvsi_le32(more);
		struct hvsi_descriptor d = {
			.type = HVS_PACKET_GPA_DIRECT, .header_len8 = whole, .len8 = 100};

		memcpy(bytes + 20, &count, sizeof(count));
		cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_PACKET_RANGES, "%u", more);
	}
}

/* A count below what the header has room for is fine: drivers reuse headers. */
Test(packet, what_follows_the_last_range_is_skipped)
{
	const uint16_t whole = 2 + sizeof(several) / 8;
	const struct hvs_le32 count = hvsi_le32(1);
	struct hvsi_descriptor d = {
		.type = HVS_PACKET_GPA_DIRECT, .header_len8 = whole, .len8 = (uint16_t)(whole + 2)};
	struct hvs_extents e;
	struct hvs_packet pkt;

	memcpy(bytes + HVSI_RING_DESCRIPTOR, several, sizeof(several));
	memcpy(bytes + 20, &count, sizeof(count));
	cr_assert_eq(parse(d, &pkt, &e), HVS_FAULT_NONE);
	cr_assert_eq(hvs_extents_len(&e), 20);
	cr_assert_eq(pkt.data, bytes + whole * 8);
	cr_assert_eq(pkt.len, 16);
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
