/* SPDX-License-Identifier: MIT */
#include "support/hv.h"
#include "util/le.h"

#include <criterion/criterion.h>

#define POST 0x5cull
#define SIGNAL 0x5dull
#define FAST (1ull << 16)

/* A HvPostMessage block at an address in RAM. */
static void put_block(struct testhv *t, uint64_t gpa, uint32_t connection_id, uint32_t type,
		      uint32_t size)
{
	const struct hvs_le32 head[4] = {hvsi_le32(connection_id), hvsi_le32(0xdeadbeef),
					 hvsi_le32(type), hvsi_le32(size)};
	uint8_t *p = t->ram + (gpa - HV_RAM);

	memcpy(p, head, sizeof(head));
	for (unsigned i = 0; i < 240; i++)
		p[16 + i] = (uint8_t)(i + 1);
}

Test(hypercall, post_message_hands_on_a_private_copy)
{
	static const uint32_t sizes[] = {0, 1, 8, 239, 240};
	struct testhv *t = testhv_up(NULL, false);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put_block(t, HV_GPA(2) + 8, 0x123456, 7, sizes[i]);
		t->status = (uint16_t)(i + 100);
		cr_assert_eq(hvs_hv_hypercall(t->hv, 0, POST, HV_GPA(2) + 8, 0), i + 100,
			     "the handler's verdict");
		cr_assert_eq(t->connection_id, 0x123456);
		cr_assert_eq(t->message_type, 7);
		cr_assert_eq(t->payload_len, sizes[i]);
		for (uint32_t b = 0; b < sizes[i]; b++)
			cr_assert_eq(t->payload[b], (uint8_t)(b + 1));
	}
	testhv_down(t);
}

/* protocol/vmbus.md 2.2: status codes, in the order in which they are looked for. */
Test(hypercall, post_message_refusals)
{
	static const struct {
		uint64_t input;
		uint64_t gpa;
		uint32_t size;
		uint64_t expected;
	} cases[] = {
		{POST, HV_GPA(2), 240, HVS_HV_STATUS_SUCCESS},
		{POST, HV_GPA(2) + 4096 - 256, 240, HVS_HV_STATUS_SUCCESS}, /* ends with the page */
		{POST | FAST, HV_GPA(2), 240, HVS_HV_STATUS_INVALID_HYPERCALL_CODE},
		{POST | FAST, 1, 240, HVS_HV_STATUS_INVALID_HYPERCALL_CODE},
		{POST, HV_GPA(2) + 1, 240, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{POST, HV_GPA(2) + 4, 240, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{POST, HV_GPA(2) + 4096 - 248, 240, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{POST, HV_GPA(2) + 4096 - 8, 0, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{POST, UINT64_MAX - 7, 0, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{POST, UINT64_MAX, 0, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{POST, 0, 240, HVS_HV_STATUS_INSUFFICIENT_MEMORY},
		{POST, HV_ROM + 4096, 240, HVS_HV_STATUS_INSUFFICIENT_MEMORY},
		{POST, UINT64_MAX - 4095, 240, HVS_HV_STATUS_INSUFFICIENT_MEMORY},
		{POST, HV_GPA(2), 241, HVS_HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST, HV_GPA(2), UINT32_MAX, HVS_HV_STATUS_INVALID_HYPERCALL_INPUT},
	};
	struct testhv *t = testhv_up(NULL, false);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned posts = t->posts;
		uint64_t block = cases[i].gpa & ~7ull;

		if (block >= HV_RAM && block <= HV_ROM - 256)
			put_block(t, block, 1, 1, cases[i].size);
		cr_assert_eq(hvs_hv_hypercall(t->hv, 0, cases[i].input, cases[i].gpa, 0),
			     cases[i].expected, "case %zu", i);
		cr_assert_eq(t->posts - posts, cases[i].expected == HVS_HV_STATUS_SUCCESS,
			     "case %zu", i);
	}
	testhv_down(t);
}

Test(hypercall, a_block_in_rom_can_be_read)
{
	struct testhv *t = testhv_up(NULL, false);

	cr_assert_eq(hvs_hv_hypercall(t->hv, 0, POST, HV_ROM, 0), HVS_HV_STATUS_SUCCESS);
	cr_assert_eq(t->posts, 1);
	cr_assert_eq(t->payload_len, 0);
	testhv_down(t);
}

Test(hypercall, signal_event_takes_registers_or_memory)
{
	const uint8_t block[8] = {0x01, 0x20, 0, 0, 0x34, 0x12, 0, 0};
	struct testhv *t = testhv_up(NULL, false);

	cr_assert_eq(hvs_hv_hypercall(t->hv, 0, SIGNAL | FAST, 0x000056782002ull | 0, 99), 0);
	cr_assert_eq(t->signals, 1);
	cr_assert_eq(t->connection_id, 0x56782002);
	cr_assert_eq(t->flag, 0);
	cr_assert_eq(hvs_hv_hypercall(t->hv, 1, SIGNAL | FAST, 0x123400002001ull, 0), 0);
	cr_assert_eq(t->connection_id, 0x2001);
	cr_assert_eq(t->flag, 0x1234);
	t->connection_id = 0;
	memcpy(testhv_page(t, 3) + 4088, block, sizeof(block));
	t->status = HVS_HV_STATUS_INVALID_CONNECTION_ID;
	cr_assert_eq(hvs_hv_hypercall(t->hv, 0, SIGNAL, HV_GPA(3) + 4088, 0), 0x12);
	cr_assert_eq(t->signals, 3);
	cr_assert_eq(t->connection_id, 0x2001);
	cr_assert_eq(t->flag, 0x1234);
	testhv_down(t);
}

Test(hypercall, signal_event_refusals)
{
	static const struct {
		uint64_t input;
		uint64_t param;
		uint64_t expected;
	} cases[] = {
		{SIGNAL | FAST, 1ull << 48, HVS_HV_STATUS_INVALID_HYPERCALL_INPUT}, /* reserved */
		{SIGNAL | FAST, 1ull << 63, HVS_HV_STATUS_INVALID_HYPERCALL_INPUT},
		{SIGNAL, HV_GPA(3) + 4, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{SIGNAL, HV_GPA(3) + 4095, HVS_HV_STATUS_INVALID_ALIGNMENT},
		{SIGNAL, 0, HVS_HV_STATUS_INSUFFICIENT_MEMORY},
		{SIGNAL, HV_GPA(1),
		 HVS_HV_STATUS_INVALID_HYPERCALL_INPUT}, /* reserved, see below */
	};
	struct testhv *t = testhv_up(NULL, false);

	testhv_page(t, 1)[7] = 0x80;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(hvs_hv_hypercall(t->hv, 0, cases[i].input, cases[i].param, 0),
			     cases[i].expected, "case %zu", i);
	cr_assert_eq(t->signals, 0);
	testhv_down(t);
}

Test(hypercall, every_other_code_is_unknown)
{
	struct testhv *t = testhv_up(NULL, false);

	for (uint64_t code = 0; code <= 0xffff; code++) {
		if (code == POST || code == SIGNAL)
			continue;
		cr_assert_eq(hvs_hv_hypercall(t->hv, 0, code, HV_GPA(0), HV_GPA(1)),
			     HVS_HV_STATUS_INVALID_HYPERCALL_CODE, "code %#x", (unsigned)code);
	}
	cr_assert_eq(hvs_hv_hypercall(t->hv, 0, 0x8001 | FAST, 0, 0),
		     HVS_HV_STATUS_INVALID_HYPERCALL_CODE);
	testhv_down(t);
}

/* Variable header, nested, repetition count and start, reserved bits. */
Test(hypercall, any_other_bit_of_the_input_value_is_refused)
{
	struct testhv *t = testhv_up(NULL, false);

	for (unsigned bit = 17; bit < 64; bit++) {
		cr_assert_eq(hvs_hv_hypercall(t->hv, 0, POST | 1ull << bit, HV_GPA(0), 0),
			     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT, "bit %u", bit);
		cr_assert_eq(hvs_hv_hypercall(t->hv, 0, SIGNAL | FAST | 1ull << bit, 0x2001, 0),
			     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT, "bit %u", bit);
	}
	cr_assert_eq(hvs_hv_hypercall(t->hv, 2, POST, HV_GPA(0), 0),
		     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT, "no such VP");
	cr_assert_eq(t->posts, 0);
	cr_assert_eq(t->signals, 0);
	testhv_down(t);
}
