/* SPDX-License-Identifier: MIT */
#include "support/hv.h"

#include <criterion/criterion.h>
#include <errno.h>

#define SINT 2u
#define VECTOR 0xf3u
#define MASKED 0x10000ull
#define POLLING 0x40000ull
#define PROXY 0x100000ull

/* VP 0: messages in page 1, events in page 2, SINT 2 open. */
static struct testhv *ready(void)
{
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_SIMP, HV_GPA(1) | 1);
	wrmsr(t, 0, HVSI_MSR_SIEFP, HV_GPA(2) | 1);
	wrmsr(t, 0, HVSI_MSR_SINT0 + SINT, VECTOR);
	wrmsr(t, 0, HVSI_MSR_SCONTROL, 1);
	t->slots_free = 0;
	return t;
}

static uint8_t *slot(struct testhv *t, unsigned sint)
{
	return testhv_page(t, 1) + sint * 256;
}

static uint32_t slot_type(struct testhv *t, unsigned sint)
{
	uint32_t type;

	memcpy(&type, slot(t, sint), sizeof(type));
	return type;
}

static void empty(struct testhv *t, unsigned sint)
{
	memset(slot(t, sint), 0, 4);
}

static int post(struct testhv *t, uint32_t type, uint8_t len, uint8_t fill)
{
	struct hvs_synic_msg msg = {.type = type, .payload_len = len};

	memset(msg.payload, fill, sizeof(msg.payload));
	return hvs_hv_post(t->hv, 0, SINT, &msg);
}

/* ---- message slots ---------------------------------------------------------------------------- */

Test(synic, a_message_lies_in_its_slot_as_the_tlfs_says)
{
	struct testhv *t = ready();
	uint8_t want[256] = {0x44, 0x33, 0x22, 0x81, 20};

	memset(want + 16, 0xab, 20);
	memset(slot(t, SINT) + 4, 0xee, 252); /* left over from the last one; type is 0 */
	cr_assert_eq(post(t, 0x81223344, 20, 0xab), 0);
	cr_assert_arr_eq(slot(t, SINT), want, 256, "exact size, no flag, the rest zero");
	cr_assert_eq(t->interrupts, 1);
	cr_assert_eq(t->vp, 0);
	cr_assert_eq(t->sint, SINT);
	cr_assert_eq(t->vector, VECTOR);
	for (unsigned sint = 0; sint < 16; sint++)
		if (sint != SINT)
			cr_assert_eq(slot_type(t, sint), 0);
	testhv_down(t);
}

Test(synic, payloads_of_every_length_are_exact)
{
	struct testhv *t = ready();

	for (unsigned len = 0; len <= 240; len++) {
		empty(t, SINT);
		cr_assert_eq(post(t, 1, (uint8_t)len, 0xcd), 0);
		cr_assert_eq(slot(t, SINT)[4], len);
		for (unsigned i = 0; i < 240; i++)
			cr_assert_eq(slot(t, SINT)[16 + i], i < len ? 0xcd : 0);
	}
	testhv_down(t);
}

Test(synic, every_sint_has_its_own_slot_and_vector)
{
	struct testhv *t = ready();

	for (uint8_t sint = 0; sint < 16; sint++) {
		struct hvs_synic_msg msg = {.type = 100u + sint};

		wrmsr(t, 0, HVSI_MSR_SINT0 + sint, 0x40u + sint);
		cr_assert_eq(hvs_hv_post(t->hv, 0, sint, &msg), 0);
		cr_assert_eq(slot_type(t, sint), 100u + sint);
		cr_assert_eq(t->sint, sint);
		cr_assert_eq(t->vector, 0x40 + sint);
	}
	cr_assert_eq(t->interrupts, 16);
	testhv_down(t);
}

Test(synic, a_busy_slot_keeps_its_message_and_gets_the_pending_flag)
{
	struct testhv *t = ready();

	cr_assert_eq(post(t, 1, 8, 0x11), 0);
	cr_assert_eq(slot(t, SINT)[5], 0);
	cr_assert_eq(post(t, 2, 16, 0x22), -EAGAIN);
	cr_assert_eq(slot_type(t, SINT), 1);
	cr_assert_eq(slot(t, SINT)[4], 8);
	cr_assert_eq(slot(t, SINT)[5], 1, "asks for an end-of-message");
	cr_assert_eq(slot(t, SINT)[16], 0x11);
	cr_assert_eq(slot(t, SINT)[24], 0);
	cr_assert_eq(t->interrupts, 1);

	empty(t, SINT);
	cr_assert_eq(post(t, 2, 16, 0x22), 0);
	cr_assert_eq(slot_type(t, SINT), 2);
	cr_assert_eq(slot(t, SINT)[5], 0, "each message has its own flag");
	cr_assert_eq(t->interrupts, 2);
	testhv_down(t);
}

Test(synic, end_of_message_tells_that_slots_may_be_free)
{
	struct testhv *t = ready();

	wrmsr(t, 0, HVSI_MSR_EOM, 0);
	cr_assert_eq(t->slots_free, 1);
	cr_assert_eq(t->slots_free_vp, 0);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_EOM), 0);
	wrmsr(t, 0, HVSI_MSR_SIMP, HV_GPA(1));
	t->slots_free = 0;
	wrmsr(t, 0, HVSI_MSR_EOM, 0);
	cr_assert_eq(t->slots_free, 0, "without a message page there is no slot");
	testhv_down(t);
}

Test(synic, a_message_waits_until_everything_is_enabled)
{
	static const struct {
		uint32_t msr;
		uint64_t off;
		uint64_t on;
	} cases[] = {
		{HVSI_MSR_SCONTROL, 0, 1},
		{HVSI_MSR_SIMP, HV_GPA(1), HV_GPA(1) | 1},
		{HVSI_MSR_SIMP, HV_ROM | 1, HV_GPA(1) | 1},        /* not writable */
		{HVSI_MSR_SIMP, HV_ROM + 4096 + 1, HV_GPA(1) | 1}, /* no RAM */
		{HVSI_MSR_SINT0 + SINT, MASKED | VECTOR, VECTOR},
		{HVSI_MSR_SINT0 + SINT, PROXY | VECTOR, VECTOR},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct testhv *t = ready();

		wrmsr(t, 0, cases[i].msr, cases[i].off);
		cr_assert_eq(post(t, 1, 8, 0), -EAGAIN, "case %zu", i);
		cr_assert_eq(t->interrupts, 0, "case %zu", i);
		cr_assert_eq(slot_type(t, SINT), 0, "case %zu", i);
		t->slots_free = 0;
		wrmsr(t, 0, cases[i].msr, cases[i].on);
		cr_assert_eq(t->slots_free, 1, "case %zu: somebody should try again", i);
		cr_assert_eq(post(t, 1, 8, 0), 0, "case %zu", i);
		testhv_down(t);
	}
}

Test(synic, after_reset_nothing_is_delivered)
{
	struct testhv *t = ready();

	cr_assert_eq(post(t, 1, 8, 0), 0);
	hvs_hv_reset(t->hv);
	cr_assert_eq(post(t, 1, 8, 0), -EAGAIN);
	hvs_hv_signal(t->hv, 0, SINT, 1);
	cr_assert_eq(t->interrupts, 1);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_SIMP), 0);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_SIEFP), 0);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_SCONTROL), 1);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_SINT0 + SINT), MASKED);
	testhv_down(t);
}

Test(synic, polling_changes_state_without_an_interrupt)
{
	struct testhv *t = ready();

	wrmsr(t, 0, HVSI_MSR_SINT0 + SINT, POLLING | VECTOR);
	cr_assert_eq(post(t, 1, 8, 0), 0);
	cr_assert_eq(slot_type(t, SINT), 1);
	hvs_hv_signal(t->hv, 0, SINT, 5);
	cr_assert_eq(testhv_page(t, 2)[SINT * 256], 1 << 5);
	cr_assert_eq(t->interrupts, 0);
	testhv_down(t);
}

Test(synic, impossible_messages_are_refused)
{
	struct testhv *t = ready();
	struct hvs_synic_msg msg = {.type = 1};

	cr_assert_eq(hvs_hv_post(t->hv, 2, SINT, &msg), -EINVAL);
	cr_assert_eq(hvs_hv_post(t->hv, 0, 16, &msg), -EINVAL);
	cr_assert_eq(hvs_hv_post(t->hv, 0, SINT, NULL), -EINVAL);
	cr_assert_eq(hvs_hv_post(NULL, 0, SINT, &msg), -EINVAL);
	msg.payload_len = 241;
	cr_assert_eq(hvs_hv_post(t->hv, 0, SINT, &msg), -EINVAL);
	msg = (struct hvs_synic_msg){.type = 0};
	cr_assert_eq(hvs_hv_post(t->hv, 0, SINT, &msg), -EINVAL, "type 0 is an empty slot");
	cr_assert_eq(t->interrupts, 0);
	testhv_down(t);
}

Test(synic, each_vp_has_its_own_pages)
{
	struct testhv *t = ready();
	struct hvs_synic_msg msg = {.type = 9};

	cr_assert_eq(hvs_hv_post(t->hv, 1, SINT, &msg), -EAGAIN);
	wrmsr(t, 1, HVSI_MSR_SIMP, HV_GPA(5) | 1);
	wrmsr(t, 1, HVSI_MSR_SINT0 + SINT, 0x77);
	cr_assert_eq(t->slots_free_vp, 1);
	cr_assert_eq(hvs_hv_post(t->hv, 1, SINT, &msg), 0);
	cr_assert_eq(testhv_page(t, 5)[SINT * 256], 9);
	cr_assert_eq(slot_type(t, SINT), 0);
	cr_assert_eq(t->vp, 1);
	cr_assert_eq(t->vector, 0x77);
	testhv_down(t);
}

/* ---- overlay pages ---------------------------------------------------------------------------- */

static void dirty(struct testhv *t, unsigned page)
{
	memset(testhv_page(t, page), 0x5a, 4096);
}

static bool is_zero(struct testhv *t, unsigned page)
{
	for (unsigned i = 0; i < 4096; i++)
		if (testhv_page(t, page)[i])
			return false;
	return true;
}

/* A stale type would look like an occupied slot for ever. */
Test(synic, a_page_that_appears_is_zeroed)
{
	static const uint32_t msrs[] = {HVSI_MSR_SIMP, HVSI_MSR_SIEFP};

	for (size_t i = 0; i < 2; i++) {
		struct testhv *t = testhv_up(NULL, false);

		dirty(t, 8);
		dirty(t, 9);
		wrmsr(t, 0, msrs[i], HV_GPA(8));
		cr_assert_eq(testhv_page(t, 8)[0], 0x5a, "not enabled: the guest's");
		wrmsr(t, 0, msrs[i], HV_GPA(8) | 1);
		cr_assert(is_zero(t, 8));
		dirty(t, 8);
		wrmsr(t, 0, msrs[i], HV_GPA(8) | 1);
		wrmsr(t, 0, HVSI_MSR_SCONTROL, 1);
		cr_assert_eq(testhv_page(t, 8)[0], 0x5a, "it is where it was: left alone");
		wrmsr(t, 0, msrs[i], HV_GPA(9) | 1);
		cr_assert(is_zero(t, 9));
		cr_assert_eq(testhv_page(t, 8)[0], 0x5a, "the guest's again");
		dirty(t, 9);
		wrmsr(t, 0, HVSI_MSR_SCONTROL, 0);
		cr_assert_eq(testhv_page(t, 9)[0], 0x5a);
		wrmsr(t, 0, HVSI_MSR_SCONTROL, 1);
		cr_assert(is_zero(t, 9), "it appears anew");
		testhv_down(t);
	}
}

/* ---- event flags ------------------------------------------------------------------------------ */

Test(synic, an_event_sets_its_bit_and_interrupts_once)
{
	static const uint16_t flags[] = {0, 1, 7, 8, 31, 32, 33, 1000, 2046, 2047};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct testhv *t = ready();
		uint8_t *page = testhv_page(t, 2);
		uint8_t want[4096] = {0};

		want[SINT * 256u + flags[i] / 8u] = (uint8_t)(1u << flags[i] % 8);
		hvs_hv_signal(t->hv, 0, SINT, flags[i]);
		cr_assert_arr_eq(page, want, 4096, "flag %u", flags[i]);
		cr_assert_eq(t->interrupts, 1);
		cr_assert_eq(t->vector, VECTOR);
		hvs_hv_signal(t->hv, 0, SINT, flags[i]);
		cr_assert_eq(t->interrupts, 1, "the guest has not seen the first one");
		page[SINT * 256u + flags[i] / 8u] = 0;
		hvs_hv_signal(t->hv, 0, SINT, flags[i]);
		cr_assert_eq(t->interrupts, 2);
		testhv_down(t);
	}
}

Test(synic, another_flag_of_the_same_word_interrupts_too)
{
	struct testhv *t = ready();

	hvs_hv_signal(t->hv, 0, SINT, 3);
	hvs_hv_signal(t->hv, 0, SINT, 4);
	cr_assert_eq(t->interrupts, 2);
	cr_assert_eq(testhv_page(t, 2)[SINT * 256], 0x18);
	testhv_down(t);
}

Test(synic, flags_beyond_2047_do_nothing)
{
	struct testhv *t = ready();

	hvs_hv_signal(t->hv, 0, SINT, 2048);
	hvs_hv_signal(t->hv, 0, SINT, UINT16_MAX);
	hvs_hv_signal(t->hv, 0, 15, 2048);
	hvs_hv_signal(t->hv, 0, 16, 0);
	hvs_hv_signal(t->hv, 2, SINT, 0);
	hvs_hv_signal(NULL, 0, SINT, 0);
	cr_assert(is_zero(t, 2));
	cr_assert(is_zero(t, 3));
	cr_assert_eq(t->interrupts, 0);
	testhv_down(t);
}

Test(synic, an_event_that_can_not_be_delivered_is_dropped)
{
	static const struct {
		uint32_t msr;
		uint64_t off;
	} cases[] = {
		{HVSI_MSR_SCONTROL, 0},
		{HVSI_MSR_SIEFP, HV_GPA(2)},
		{HVSI_MSR_SIEFP, HV_ROM | 1},
		{HVSI_MSR_SINT0 + SINT, MASKED | VECTOR},
		{HVSI_MSR_SINT0 + SINT, PROXY | VECTOR},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct testhv *t = ready();

		wrmsr(t, 0, cases[i].msr, cases[i].off);
		hvs_hv_signal(t->hv, 0, SINT, 1);
		cr_assert_eq(t->interrupts, 0, "case %zu", i);
		cr_assert(is_zero(t, 2), "case %zu", i);
		testhv_down(t);
	}
}

/* ---- a hypervisor that keeps the registers itself --------------------------------------------- */

Test(synic, with_external_sints_the_pages_are_reported_and_every_sint_is_open)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1,
					  .flags = HVS_HV_EXTERNAL_SINTS};
	struct testhv *t = testhv_up(&cfg, false);
	struct hvs_synic_msg msg = {.type = 1};

	dirty(t, 1);
	cr_assert_eq(hvs_hv_post(t->hv, 0, SINT, &msg), -EAGAIN);
	cr_assert_eq(hvs_hv_synic_update(t->hv, 0, 1, HV_GPA(2) | 1, HV_GPA(1) | 1), 0);
	cr_assert_eq(t->slots_free, 1);
	cr_assert(is_zero(t, 1));
	cr_assert_eq(hvs_hv_post(t->hv, 0, SINT, &msg), 0);
	cr_assert_eq(t->interrupts, 1);
	cr_assert_eq(t->sint, SINT);
	cr_assert_eq(t->vector, 0);
	hvs_hv_signal(t->hv, 0, SINT, 9);
	cr_assert_eq(t->interrupts, 2);
	cr_assert_eq(hvs_hv_synic_update(t->hv, 0, 0, HV_GPA(2) | 1, HV_GPA(1) | 1), 0);
	cr_assert_eq(hvs_hv_post(t->hv, 0, SINT, &msg), -EAGAIN);
	cr_assert_eq(hvs_hv_synic_update(t->hv, 1, 1, 0, 0), -EINVAL);
	cr_assert_eq(hvs_hv_synic_update(NULL, 0, 1, 0, 0), -EINVAL);
	testhv_down(t);
}
