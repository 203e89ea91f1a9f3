/* SPDX-License-Identifier: MIT */
/* The stream of saved state, and the hypervisor interface in it. */
#include "support/hv.h"

#include "hv/msr_numbers.h"
#include "util/state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

struct blob {
	uint8_t bytes[4096];
	size_t len;
};

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	cr_assert_leq(len, sizeof(b->bytes) - b->len);
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

/* ---- stream ----------------------------------------------------------------------------------- */

Test(state, stream_has_the_bytes_that_are_documented)
{
	static const uint8_t expected[] = {
		1,    0,    1, 0, 3, 0, 0, 0, 'a',  'b',  'c',        /* BUS, version 1 */
		0xff, 0x7f, 1, 0, 4, 0, 0, 0, 0x22, 0xf8, 0xff, 0x46, /* END, CRC-32 */
	};
	struct blob b = {.len = 0};
	struct hvs_state_writer w;

	hvsi_state_begin(&w, append, &b);
	hvsi_state_put(&w, HVSI_STATE_BUS, "a", 1, "bc", 2);
	cr_assert_eq(hvsi_state_end(&w), 0);
	cr_assert_eq(b.len, sizeof(expected));
	cr_assert_arr_eq(b.bytes, expected, sizeof(expected));
}

static void three_records(struct blob *b, uint16_t type)
{
	struct hvs_state_writer w;

	b->len = 0;
	hvsi_state_begin(&w, append, b);
	hvsi_state_put(&w, HVSI_STATE_BUS, "one", 3, NULL, 0);
	hvsi_state_put(&w, type, "two", 3, NULL, 0);
	hvsi_state_put(&w, HVSI_STATE_GPADL, "three", 5, NULL, 0);
	cr_assert_eq(hvsi_state_end(&w), 0);
}

Test(state, records_nobody_knows_are_an_error_unless_they_say_that_they_may_be_passed_over)
{
	struct hvsi_reader records;
	struct hvsi_reader payload;
	struct blob b;
	uint16_t type;

	three_records(&b, 0x1234);
	cr_assert_eq(hvsi_state_open(&records, b.bytes, b.len, HVSI_STATE_BUS), -ENOTSUP);
	three_records(&b, 0x1234 | HVSI_STATE_SKIPPABLE);
	cr_assert_eq(hvsi_state_open(&records, b.bytes, b.len, HVSI_STATE_BUS), 0);
	cr_assert(hvsi_state_next(&records, &type, &payload));
	cr_assert_eq(type, HVSI_STATE_BUS);
	cr_assert(hvsi_state_next(&records, &type, &payload));
	cr_assert_eq(type, HVSI_STATE_GPADL);
	cr_assert_eq(payload.left, 5);
	cr_assert(!hvsi_state_next(&records, &type, &payload));
}

Test(state, newer_record_is_not_supported_and_a_record_without_version_is_damaged)
{
	struct hvs_state_writer w;
	struct hvsi_reader records;
	struct blob b;

	for (uint8_t version = 0; version < 4; version++) {
		const uint8_t head[8] = {HVSI_STATE_BUS, 0, version};
		struct hvs_le32 crc;

		b.len = 0;
		hvsi_state_begin(&w, append, &b);
		hvsi_state_put(&w, HVSI_STATE_BUS, NULL, 0, NULL, 0);
		cr_assert_eq(hvsi_state_end(&w), 0);
		memcpy(b.bytes, head, sizeof(head));
		crc = hvsi_le32(hvsi_state_crc(b.bytes, 8));
		memcpy(b.bytes + 16, &crc, sizeof(crc));
		cr_assert_eq(hvsi_state_open(&records, b.bytes, b.len, HVSI_STATE_BUS),
			     version == 0   ? -EBADMSG
			     : version == 1 ? 0
					    : -ENOTSUP);
	}
}

Test(state, stream_of_something_else_is_refused)
{
	struct hvsi_reader records;
	struct blob b;

	three_records(&b, HVSI_STATE_CHANNEL);
	cr_assert_eq(hvsi_state_open(&records, b.bytes, b.len, HVSI_STATE_HV), -EBADMSG);
	cr_assert_eq(hvsi_state_open(&records, b.bytes, 0, HVSI_STATE_BUS), -EBADMSG);
}

/* ---- hypervisor interface --------------------------------------------------------------------- */

static void fill(struct testhv *t)
{
	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, 0x8100060000000000);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(1) | 1);
	wrmsr(t, 0, HVSI_MSR_CRASH_P0, 11);
	wrmsr(t, 0, HVSI_MSR_CRASH_P4, 15);
	for (uint32_t vp = 0; vp < 2; vp++) {
		wrmsr(t, vp, HVSI_MSR_SIMP, HV_GPA(2 + vp) | 1);
		wrmsr(t, vp, HVSI_MSR_SIEFP, HV_GPA(4 + vp) | 1);
		wrmsr(t, vp, HVSI_MSR_SINT0 + 2, 0x20f3 + vp);
		wrmsr(t, vp, HVSI_MSR_VP_ASSIST_PAGE, HV_GPA(6 + vp) | 1);
	}
}

static void copy_ram(struct testhv *to, const struct testhv *from)
{
	memcpy(to->ram, from->ram, HV_PAGES * 4096u);
}

Test(state, hypervisor_interface_has_all_its_registers_again)
{
	struct testhv *old = testhv_up(NULL, true);
	struct testhv *now = testhv_up(NULL, true);
	const struct hvs_synic_msg msg = {.type = 1, .payload_len = 1, .payload = {42}};
	struct blob b = {.len = 0};

	fill(old);
	cr_assert_eq(hvs_hv_post(old->hv, 1, 2, &msg), 0);
	cr_assert_eq(hvs_hv_save(old->hv, append, &b), 0);
	copy_ram(now, old);
	cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, b.len), 0);
	cr_assert_arr_eq(now->ram, old->ram, HV_PAGES * 4096u);
	for (uint32_t vp = 0; vp < 2; vp++)
		for (uint32_t msr = HVS_HV_MSR_FIRST; msr <= HVS_HV_MSR_LAST; msr++) {
			uint64_t a = 0;
			uint64_t c = 0;

			cr_assert_eq(hvs_hv_msr_read(old->hv, vp, msr, &a),
				     hvs_hv_msr_read(now->hv, vp, msr, &c), "MSR %#x", msr);
			cr_assert_eq(a, c, "MSR %#x", msr);
		}
	/* The slot the guest has not emptied interrupts again; the other one is free. */
	cr_assert(now->interrupts == 1 && now->vp == 1 && now->vector == 0xf4);
	cr_assert_eq(hvs_hv_post(now->hv, 1, 2, &msg), -EAGAIN);
	cr_assert_eq(hvs_hv_post(now->hv, 0, 2, &msg), 0);
	cr_assert(now->interrupts == 2 && now->vector == 0xf3);
	hvs_hv_signal(now->hv, 1, 2, 5);
	cr_assert(now->interrupts == 3 && now->vp == 1 && now->vector == 0xf4);
	testhv_down(old);
	testhv_down(now);
}

Test(state, reference_time_goes_on)
{
	struct testhv *old = testhv_up(NULL, false);
	struct testhv *now = testhv_up(NULL, false);
	struct blob b = {.len = 0};
	uint64_t time;

	old->now_ns += 123456700;
	time = rdmsr(old, 0, HVSI_MSR_TIME_REF_COUNT);
	cr_assert_eq(time, 1234567);
	cr_assert_eq(hvs_hv_save(old->hv, append, &b), 0);
	now->now_ns += 5000000000;
	cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, b.len), 0);
	cr_assert_eq(rdmsr(now, 0, HVSI_MSR_TIME_REF_COUNT), time);
	now->now_ns += 1000;
	cr_assert_eq(rdmsr(now, 0, HVSI_MSR_TIME_REF_COUNT), time + 10);
	testhv_down(old);
	testhv_down(now);
}

Test(state, reference_tsc_page_is_made_anew_with_another_sequence)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1, .tsc_hz = 2000000000,
					  .apic_hz = 1000000000};
	struct testhv *old = testhv_up_with_tsc(&cfg);
	struct testhv *now = testhv_up_with_tsc(&cfg);
	struct blob b = {.len = 0};
	uint32_t before;
	uint32_t after;
	int64_t offset;

	wrmsr(old, 0, HVSI_MSR_REFERENCE_TSC, HV_GPA(3) | 1);
	memcpy(&before, testhv_page(old, 3), sizeof(before));
	old->now_ns += 1000000;
	cr_assert_eq(hvs_hv_save(old->hv, append, &b), 0);
	copy_ram(now, old);
	now->tsc = 4000000000; /* two seconds of this machine's */
	cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, b.len), 0);
	memcpy(&after, testhv_page(now, 3), sizeof(after));
	cr_assert(after != before && after != 0 && after != UINT32_MAX);
	/* time = tsc * scale / 2^64 + offset: 20,000,000 + offset = 10,000 */
	memcpy(&offset, testhv_page(now, 3) + 16, sizeof(offset));
	cr_assert(offset >= 10000 - 20000000 && offset <= 10000 - 20000000 + 1);
	testhv_down(old);
	testhv_down(now);
}

Test(state, event_flag_that_was_not_taken_interrupts_again_unless_it_is_masked)
{
	struct testhv *old = testhv_up(NULL, true);
	struct testhv *now = testhv_up(NULL, true);
	struct blob b = {.len = 0};

	fill(old);
	wrmsr(old, 1, HVSI_MSR_SINT0 + 2, 0x100f4);
	for (uint32_t vp = 0; vp < 2; vp++)
		testhv_page(old, 4 + vp)[2 * 256 + 255] = 0x80; /* flag 2047 */
	cr_assert_eq(hvs_hv_save(old->hv, append, &b), 0);
	copy_ram(now, old);
	cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, b.len), 0);
	cr_assert(now->interrupts == 1 && now->vp == 0 && now->vector == 0xf3);
	testhv_down(old);
	testhv_down(now);
}

Test(state, reference_tsc_page_is_taken_back_where_there_is_no_tsc)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1, .tsc_hz = 2000000000,
					  .apic_hz = 1000000000};
	struct testhv *old = testhv_up_with_tsc(&cfg);
	struct testhv *now = testhv_up(&cfg, false);
	struct blob b = {.len = 0};
	uint32_t sequence;

	wrmsr(old, 0, HVSI_MSR_REFERENCE_TSC, HV_GPA(3) | 1);
	cr_assert_eq(hvs_hv_save(old->hv, append, &b), 0);
	copy_ram(now, old);
	cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, b.len), 0);
	memcpy(&sequence, testhv_page(now, 3), sizeof(sequence));
	cr_assert_eq(sequence, 0, "the guest uses the MSR");
	testhv_down(old);
	testhv_down(now);
}

Test(state, damaged_state_changes_no_register)
{
	struct testhv *old = testhv_up(NULL, true);
	struct testhv *now = testhv_up(NULL, true);
	struct blob b = {.len = 0};

	fill(old);
	cr_assert_eq(hvs_hv_save(old->hv, append, &b), 0);
	for (size_t i = 0; i < b.len; i++) {
		b.bytes[i] ^= 4;
		cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, b.len), -EBADMSG, "byte %zu", i);
		b.bytes[i] ^= 4;
		cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, i), -EBADMSG);
	}
	cr_assert_eq(rdmsr(now, 0, HVSI_MSR_GUEST_OS_ID), 0);
	cr_assert_eq(hvs_hv_restore(NULL, b.bytes, b.len), -EINVAL);
	cr_assert_eq(hvs_hv_restore(now->hv, NULL, b.len), -EINVAL);
	cr_assert_eq(hvs_hv_save(NULL, append, &b), -EINVAL);
	cr_assert_eq(hvs_hv_save(old->hv, NULL, &b), -EINVAL);
	testhv_down(old);
	testhv_down(now);
}

Test(state, another_number_of_vps_is_not_supported)
{
	const struct hvs_hv_config three = {HVS_HV_CONFIG_INIT, .vp_count = 3};
	struct testhv *old = testhv_up(NULL, false);
	struct testhv *now = testhv_up(&three, false);
	struct blob b = {.len = 0};

	cr_assert_eq(hvs_hv_save(old->hv, append, &b), 0);
	cr_assert_eq(hvs_hv_restore(now->hv, b.bytes, b.len), -ENOTSUP);
	testhv_down(old);
	testhv_down(now);
}

/* Registers a state must not have, or not for that VP. */
Test(state, strange_registers_are_refused)
{
	static const struct {
		uint32_t vp;
		uint32_t msr;
		int expected;
		uint32_t value;
	} cases[] = {
		{0, HVSI_MSR_SINT0, -EBADMSG, 15},
		{0, HVSI_MSR_SINT15, -EBADMSG, 0},
		{0, HVSI_MSR_SINT0, 0, 0x10000},
		{0, HVSI_MSR_SINT0, 0, 16},
		{0, HVSI_MSR_GUEST_OS_ID, 0, 0},
		{1, HVSI_MSR_GUEST_OS_ID, -EBADMSG, 0},
		{1, HVSI_MSR_SIMP, 0, 0},
		{2, HVSI_MSR_SIMP, -EBADMSG, 0},
		{0, HVSI_MSR_EOM, -EBADMSG, 0},
		{0, HVSI_MSR_VP_INDEX, -EBADMSG, 0},
		{0, 0x10, -EBADMSG, 0},
		{0, HVSI_MSR_CRASH_CTL, -EBADMSG, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct hvs_le32 head[2] = {hvsi_le32(2), hvsi_le32(0)};
		const struct hvs_le32 reg[4] = {hvsi_le32(cases[i].vp), hvsi_le32(cases[i].msr),
						hvsi_le32(cases[i].value)};
		struct testhv *t = testhv_up(NULL, false);
		struct blob b = {.len = 0};
		struct hvs_state_writer w;

		hvsi_state_begin(&w, append, &b);
		hvsi_state_put(&w, HVSI_STATE_HV, head, sizeof(head), NULL, 0);
		hvsi_state_put(&w, HVSI_STATE_REGISTER, reg, sizeof(reg), NULL, 0);
		cr_assert_eq(hvsi_state_end(&w), 0);
		cr_assert_eq(hvs_hv_restore(t->hv, b.bytes, b.len), cases[i].expected, "case %zu",
			     i);
		testhv_down(t);
	}
}

Test(state, external_sints_need_access_to_the_registers)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .flags = HVS_HV_EXTERNAL_SINTS,
					  .vp_count = 2};
	struct testhv *t = testhv_up(&cfg, false);
	struct blob b = {.len = 0};

	cr_assert_eq(hvs_hv_save(t->hv, append, &b), -EINVAL);
	cr_assert_eq(hvs_hv_restore(t->hv, b.bytes, b.len), -EINVAL);
	testhv_down(t);
}
