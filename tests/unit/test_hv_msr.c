/* SPDX-License-Identifier: MIT */
#include "support/alloc.h"
#include "support/hv.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#define OS_ID 0x8100000606010000ull

/* ---- which MSRs there are --------------------------------------------------------------------- */

enum { GP, RO, RW };

struct known {
	uint32_t first;
	uint32_t last;
	int kind;
	uint64_t reset; /* value a read gives before anything was written */
};

/* protocol/vmbus.md 1.3: everything that is not listed is #GP. */
static void check_all(struct testhv *t, const struct known *known, size_t count)
{
	for (uint32_t msr = 0x40000000; msr <= 0x40000200; msr++) {
		int kind = GP;
		uint64_t reset = 0;
		uint64_t value = 0;

		for (size_t i = 0; i < count; i++)
			if (msr >= known[i].first && msr <= known[i].last) {
				kind = known[i].kind;
				reset = known[i].reset;
			}
		hvs_hv_reset(t->hv);
		cr_assert_eq(hvs_hv_msr_read(t->hv, 1, msr, &value), kind == GP ? -ENOENT : 0,
			     "read of %#x", msr);
		if (kind != GP)
			cr_assert_eq(value, reset, "%#x reads %#llx", msr,
				     (unsigned long long)value);
		cr_assert_eq(hvs_hv_msr_write(t->hv, 1, msr, reset, true), kind == RW ? 0 : -ENOENT,
			     "write of %#x", msr);
	}
}

Test(msr, the_smallest_machine_has_these_and_no_others)
{
	static const struct known known[] = {
		{HVSI_MSR_GUEST_OS_ID, HVSI_MSR_GUEST_OS_ID, RW, 0},
		{HVSI_MSR_HYPERCALL, HVSI_MSR_HYPERCALL, RW, 0},
		{HVSI_MSR_VP_INDEX, HVSI_MSR_VP_INDEX, RO, 1},
		{HVSI_MSR_TIME_REF_COUNT, HVSI_MSR_TIME_REF_COUNT, RO, 0},
		{HVSI_MSR_VP_ASSIST_PAGE, HVSI_MSR_VP_ASSIST_PAGE, RW, 0},
		{HVSI_MSR_SCONTROL, HVSI_MSR_SCONTROL, RW, 1},
		{HVSI_MSR_SVERSION, HVSI_MSR_SVERSION, RO, 1},
		{HVSI_MSR_SIEFP, HVSI_MSR_SIEFP, RW, 0},
		{HVSI_MSR_SIMP, HVSI_MSR_SIMP, RW, 0},
		{HVSI_MSR_EOM, HVSI_MSR_EOM, RW, 0},
		{HVSI_MSR_SINT0, HVSI_MSR_SINT15, RW, 0x10000},
	};
	struct testhv *t = testhv_up(NULL, false);

	check_all(t, known, sizeof(known) / sizeof(known[0]));
	testhv_down(t);
}

Test(msr, the_fullest_machine_has_these_and_no_others)
{
	static const struct known known[] = {
		{HVSI_MSR_GUEST_OS_ID, HVSI_MSR_GUEST_OS_ID, RW, 0},
		{HVSI_MSR_HYPERCALL, HVSI_MSR_HYPERCALL, RW, 0},
		{HVSI_MSR_VP_INDEX, HVSI_MSR_VP_INDEX, RO, 1},
		{HVSI_MSR_TIME_REF_COUNT, HVSI_MSR_TIME_REF_COUNT, RO, 0},
		{HVSI_MSR_TSC_FREQUENCY, HVSI_MSR_TSC_FREQUENCY, RO, 2400000000},
		{HVSI_MSR_APIC_FREQUENCY, HVSI_MSR_APIC_FREQUENCY, RO, 1000000000},
		{HVSI_MSR_VP_ASSIST_PAGE, HVSI_MSR_VP_ASSIST_PAGE, RW, 0},
		{HVSI_MSR_SCONTROL, HVSI_MSR_SCONTROL, RW, 1},
		{HVSI_MSR_SVERSION, HVSI_MSR_SVERSION, RO, 1},
		{HVSI_MSR_SIEFP, HVSI_MSR_SIEFP, RW, 0},
		{HVSI_MSR_SIMP, HVSI_MSR_SIMP, RW, 0},
		{HVSI_MSR_EOM, HVSI_MSR_EOM, RW, 0},
		{HVSI_MSR_SINT0, HVSI_MSR_SINT15, RW, 0x10000},
		{HVSI_MSR_CRASH_P0, HVSI_MSR_CRASH_P4, RW, 0},
		{HVSI_MSR_CRASH_CTL, HVSI_MSR_CRASH_CTL, RW, 1ull << 63},
		{HVSI_MSR_TSC_INVARIANT, HVSI_MSR_TSC_INVARIANT, RW, 0},
	};
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 2,
					  .flags = HVS_HV_INVARIANT_TSC, .tsc_hz = 2400000000,
					  .apic_hz = 1000000000};
	struct testhv *t = testhv_up(&cfg, true);

	check_all(t, known, sizeof(known) / sizeof(known[0]));
	testhv_down(t);
}

Test(msr, a_vp_that_does_not_exist_has_none)
{
	struct testhv *t = testhv_up(NULL, false);
	uint64_t value;

	cr_assert_eq(hvs_hv_msr_read(t->hv, 2, HVSI_MSR_VP_INDEX, &value), -ENOENT);
	cr_assert_eq(hvs_hv_msr_read(t->hv, 2, HVSI_MSR_SCONTROL, &value), -ENOENT);
	cr_assert_eq(hvs_hv_msr_read(t->hv, UINT32_MAX, HVSI_MSR_SCONTROL, &value), -ENOENT);
	cr_assert_eq(hvs_hv_msr_write(t->hv, 2, HVSI_MSR_EOM, 0, true), -ENOENT);
	cr_assert_eq(hvs_hv_msr_write(t->hv, 2, HVSI_MSR_GUEST_OS_ID, OS_ID, true), -ENOENT);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_GUEST_OS_ID), 0);
	cr_assert_eq(hvs_hv_msr_read(NULL, 0, HVSI_MSR_VP_INDEX, &value), -ENOENT);
	cr_assert_eq(hvs_hv_msr_write(NULL, 0, HVSI_MSR_EOM, 0, true), -ENOENT);
	testhv_down(t);
}

/* ---- plain registers -------------------------------------------------------------------------- */

Test(msr, vp_index_is_the_vps_own)
{
	struct testhv *t = testhv_up(NULL, false);

	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_VP_INDEX), 0);
	cr_assert_eq(rdmsr(t, 1, HVSI_MSR_VP_INDEX), 1);
	testhv_down(t);
}

Test(msr, reference_time_counts_100_ns_since_creation)
{
	struct testhv *t = testhv_up(NULL, false);

	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_TIME_REF_COUNT), 0);
	t->now_ns += 99;
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_TIME_REF_COUNT), 0);
	t->now_ns += 1;
	cr_assert_eq(rdmsr(t, 1, HVSI_MSR_TIME_REF_COUNT), 1, "the same on every VP");
	t->now_ns += 3600000000000;
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_TIME_REF_COUNT), 36000000001);
	testhv_down(t);
}

Test(msr, partition_registers_are_shared_and_vp_registers_are_not)
{
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	cr_assert_eq(rdmsr(t, 1, HVSI_MSR_GUEST_OS_ID), OS_ID);
	cr_assert_eq(hvs_hv_guest_os_id(t->hv), OS_ID);
	wrmsr(t, 0, HVSI_MSR_VP_ASSIST_PAGE, HV_GPA(3) | 1);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_VP_ASSIST_PAGE), HV_GPA(3) | 1);
	cr_assert_eq(rdmsr(t, 1, HVSI_MSR_VP_ASSIST_PAGE), 0);
	wrmsr(t, 0, HVSI_MSR_SINT0 + 2, 0xf3);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_SINT0 + 2), 0xf3);
	cr_assert_eq(rdmsr(t, 1, HVSI_MSR_SINT0 + 2), 0x10000);
	testhv_down(t);
}

Test(msr, sint_vectors_below_16_are_refused_unless_masked)
{
	static const struct {
		uint64_t value;
		int expected;
	} cases[] = {
		{0x10000, 0},
		{0x1000f, 0},
		{0x00000, -ENOENT},
		{0x0000f, -ENOENT},
		{0x20002, -ENOENT},
		{0x00010, 0},
		{0x000ff, 0},
		{0x200f3, 0},
		{0x4000e, -ENOENT},
		{0x400f3, 0},
		{0x30000, 0},
		{0xffffffff000000f3, 0},
		{0xffffffff00000003, -ENOENT},
	};
	struct testhv *t = testhv_up(NULL, false);

	for (uint32_t n = 0; n < 16; n++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint32_t msr = HVSI_MSR_SINT0 + n;
			uint64_t before = rdmsr(t, 0, msr);

			cr_assert_eq(hvs_hv_msr_write(t->hv, 0, msr, cases[i].value, true),
				     cases[i].expected, "SINT%u case %zu", n, i);
			cr_assert_eq(rdmsr(t, 0, msr), cases[i].expected ? before : cases[i].value);
		}
	}
	testhv_down(t);
}

Test(msr, reserved_bits_of_page_registers_are_preserved)
{
	static const uint32_t msrs[] = {HVSI_MSR_SIMP, HVSI_MSR_SIEFP};
	struct testhv *t = testhv_up(NULL, false);

	for (size_t i = 0; i < 2; i++) {
		wrmsr(t, 0, msrs[i], HV_GPA(i) | 0xfff);
		cr_assert_eq(rdmsr(t, 0, msrs[i]), HV_GPA(i) | 0xfff);
		wrmsr(t, 0, msrs[i], 0xffffffffffffe000);
		cr_assert_eq(rdmsr(t, 0, msrs[i]), 0xffffffffffffe000);
	}
	testhv_down(t);
}

Test(msr, tsc_invariant_control_has_one_bit)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 2,
					  .flags = HVS_HV_INVARIANT_TSC};
	struct testhv *t = testhv_up(&cfg, false);

	wrmsr(t, 0, HVSI_MSR_TSC_INVARIANT, 1);
	cr_assert_eq(rdmsr(t, 1, HVSI_MSR_TSC_INVARIANT), 1);
	cr_assert_eq(hvs_hv_msr_write(t->hv, 0, HVSI_MSR_TSC_INVARIANT, 2, true), -ENOENT);
	cr_assert_eq(hvs_hv_msr_write(t->hv, 0, HVSI_MSR_TSC_INVARIANT, 1ull << 63, true), -ENOENT);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_TSC_INVARIANT), 1);
	testhv_down(t);
}

/* ---- hypercall page --------------------------------------------------------------------------- */

static void check_page(const uint8_t *page, const uint8_t *code, size_t len)
{
	cr_assert_arr_eq(page, code, len);
	for (size_t i = len; i < 4096; i++)
		cr_assert_eq(page[i], 0xcc, "byte %zu", i);
}

Test(hypercall_page, is_out_and_ret_outside_64_bit_mode)
{
	const uint8_t code[] = {0xe6, 0xe8, 0xc3};
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	cr_assert_eq(hvs_hv_msr_write(t->hv, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 1, false), 0);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), HV_GPA(4) | 1);
	check_page(testhv_page(t, 4), code, sizeof(code));
	cr_assert_eq(testhv_page(t, 3)[4095], 0);
	cr_assert_eq(testhv_page(t, 5)[0], 0);
	testhv_down(t);
}

Test(hypercall_page, is_out_and_ret_without_a_signal_port)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1,
					  .hypercall_port = 0x42};
	const uint8_t code[] = {0xe6, 0x42, 0xc3};
	struct testhv *t = testhv_up(&cfg, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 1);
	check_page(testhv_page(t, 4), code, sizeof(code));
	testhv_down(t);
}

/* Just enough of an x86 to follow the 64-bit code. Returns how it ended. */
enum end { FELL_THROUGH, SLOW, FAST };

struct cpu {
	uint64_t rax, rcx, rdx, r10, r11;
	bool zero;
	uint32_t out;
};

static enum end follow(const uint8_t *code, struct cpu *c)
{
	enum end end = FELL_THROUGH;
	size_t ip = 0;

	for (unsigned steps = 0; steps < 32; steps++) {
		const uint8_t *i = code + ip;

		if (!memcmp(i, "\xf3\x0f\x1e\xfa", 4)) { /* endbr64 */
			ip += 4;
		} else if (!memcmp(i, "\x48\x81\xf9", 3)) { /* cmp rcx, imm32 */
			int32_t imm;

			memcpy(&imm, i + 3, 4);
			c->zero = c->rcx == (uint64_t)(int64_t)imm;
			ip += 7;
		} else if (i[0] == 0x75) { /* jne */
			ip = c->zero ? ip + 2 : (size_t)((ptrdiff_t)ip + 2 + (int8_t)i[1]);
		} else if (!memcmp(i, "\x49\x89\xd2", 3)) { /* mov r10, rdx */
			c->r10 = c->rdx;
			ip += 3;
		} else if (!memcmp(i, "\x49\xc1\xea", 3)) { /* shr r10, imm8 */
			c->r10 >>= i[3];
			c->zero = !c->r10;
			ip += 4;
		} else if (!memcmp(i, "\x45\x31\xdb", 3)) { /* xor r11d, r11d */
			c->r11 = 0;
			c->zero = true;
			ip += 3;
		} else if (!memcmp(i, "\x89\xd0", 2)) { /* mov eax, edx */
			c->rax = (uint32_t)c->rdx;
			ip += 2;
		} else if (!memcmp(i, "\xe7\xe4", 2)) { /* out 0xe4, eax */
			end = FAST;
			c->out = (uint32_t)c->rax;
			c->r11 = 0x1234; /* as the embedder may answer */
			ip += 2;
		} else if (!memcmp(i, "\xe6\xe8", 2)) { /* out 0xe8, al */
			end = SLOW;
			ip += 2;
		} else if (!memcmp(i, "\x4c\x89\xd8", 3)) { /* mov rax, r11 */
			c->rax = c->r11;
			ip += 3;
		} else if (i[0] == 0xc3) { /* ret */
			return end;
		} else {
			cr_assert_fail("unknown instruction %02x at %zu", i[0], ip);
		}
	}
	cr_assert_fail("no end");
	return FELL_THROUGH;
}

Test(hypercall_page, sends_plain_signals_to_the_signal_port_in_64_bit_mode)
{
	static const struct {
		uint64_t rcx;
		uint64_t rdx;
		enum end end;
	} calls[] = {
		{0x1005d, 0x2001, FAST},
		{0x1005d, 0xffffffff, FAST},
		{0x1005d, 0, FAST},
		{0x1005d, 1ull << 32 | 0x2001, SLOW}, /* event flag 1 */
		{0x1005d, 1ull << 63, SLOW},
		{0x0005d, 0x2001, SLOW}, /* parameters in memory */
		{0x1005c, 0x2001, SLOW},
		{0x0005c, 0x100000, SLOW},
		{0x10001005d, 0x2001, SLOW}, /* a repetition count */
		{1ull << 63 | 0x1005d, 0x2001, SLOW},
	};
	struct testhv *t = testhv_up(NULL, false);
	const uint8_t *code = testhv_page(t, 7);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(7) | 1);
	/* Linux keeps kernel IBT on only if it sees this. */
	cr_assert_arr_eq(code, ((uint8_t[]){0xf3, 0x0f, 0x1e, 0xfa}), 4);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct cpu c = {.rax = 0x5555, .rcx = calls[i].rcx, .rdx = calls[i].rdx};

		cr_assert_eq(follow(code, &c), calls[i].end, "case %zu", i);
		cr_assert_eq(c.rcx, calls[i].rcx);
		cr_assert_eq(c.rdx, calls[i].rdx);
		if (calls[i].end == FAST) {
			cr_assert_eq(c.out, (uint32_t)calls[i].rdx);
			cr_assert_eq(c.rax, 0x1234, "R11 is the result");
		} else {
			cr_assert_eq(c.rax, 0x5555, "the slow path leaves RAX to the embedder");
		}
	}
	for (size_t i = 36; i < 4096; i++)
		cr_assert_eq(code[i], 0xcc, "byte %zu", i);
	testhv_down(t);
}

Test(hypercall_page, needs_a_guest_os_id)
{
	static const uint8_t zero[4096];
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 1);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL) & 1, 0);
	cr_assert_arr_eq(testhv_page(t, 4), zero, 4096);
	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL) & 1, 0, "not by itself");
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 1);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL) & 1, 1);
	testhv_down(t);
}

Test(hypercall_page, is_disabled_when_the_guest_os_id_becomes_0)
{
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 1);
	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID + 1); /* the next boot stage */
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), HV_GPA(4) | 1);
	wrmsr(t, 1, HVSI_MSR_GUEST_OS_ID, 0);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), HV_GPA(4));
	cr_assert_eq(hvs_hv_guest_os_id(t->hv), 0);
	testhv_down(t);
}

Test(hypercall_page, stays_disabled_where_there_is_no_ram)
{
	static const uint64_t bad[] = {HV_ROM, 0, HV_ROM + 4096, 0xfffffffffffff000};
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wrmsr(t, 0, HVSI_MSR_HYPERCALL, bad[i] | 1);
		cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), bad[i], "case %zu", i);
	}
	testhv_down(t);
}

Test(hypercall_page, moves_and_goes)
{
	static const uint8_t zero[4096];
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4)); /* not enabled: the page is the guest's */
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), HV_GPA(4));
	cr_assert_arr_eq(testhv_page(t, 4), zero, 4096);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 1);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(5) | 1);
	cr_assert_arr_eq(testhv_page(t, 5), testhv_page(t, 4), 4096);
	testhv_down(t);
}

Test(hypercall_page, once_locked_every_write_is_refused)
{
	struct testhv *t = testhv_up(NULL, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 3);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), HV_GPA(4) | 3);
	cr_assert_eq(hvs_hv_msr_write(t->hv, 0, HVSI_MSR_HYPERCALL, HV_GPA(5) | 1, true), -ENOENT);
	cr_assert_eq(hvs_hv_msr_write(t->hv, 1, HVSI_MSR_HYPERCALL, 0, true), -ENOENT);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), HV_GPA(4) | 3);
	hvs_hv_reset(t->hv);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_HYPERCALL), 0);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(5));
	testhv_down(t);
}

/* hv.h: "hypercall_port 0: the page is not ours". */
Test(hypercall_page, is_left_alone_when_the_hypervisor_traps_hypercalls_itself)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1};
	static const uint8_t zero[4096];
	struct testhv *t = testhv_up(&cfg, false);

	wrmsr(t, 0, HVSI_MSR_GUEST_OS_ID, OS_ID);
	wrmsr(t, 0, HVSI_MSR_HYPERCALL, HV_GPA(4) | 1);
	cr_assert_arr_eq(testhv_page(t, 4), zero, 4096);
	testhv_down(t);
}

/* ---- crash ------------------------------------------------------------------------------------ */

Test(crash, is_reported_with_all_parameters_when_the_notify_bit_is_written)
{
	struct testhv *t = testhv_up(NULL, true);

	for (uint32_t i = 0; i < 5; i++)
		wrmsr(t, 0, HVSI_MSR_CRASH_P0 + i, 0x1111111111111111ull * (i + 1));
	cr_assert_eq(rdmsr(t, 1, HVSI_MSR_CRASH_P0 + 3), 0x4444444444444444ull);
	wrmsr(t, 0, HVSI_MSR_CRASH_CTL, 1ull << 62);
	cr_assert_eq(t->crashes, 0, "no notification asked for");
	wrmsr(t, 1, HVSI_MSR_CRASH_CTL, 3ull << 62);
	cr_assert_eq(t->crashes, 1);
	cr_assert_eq(t->crash_vp, 1);
	cr_assert_eq(t->crash.control, 3ull << 62);
	for (uint32_t i = 0; i < 5; i++)
		cr_assert_eq(t->crash.param[i], 0x1111111111111111ull * (i + 1));
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_CRASH_CTL), 1ull << 63, "reads what we can take");
	/* The guest lives on and may report again. */
	wrmsr(t, 0, HVSI_MSR_CRASH_CTL, 1ull << 63);
	cr_assert_eq(t->crashes, 2);
	hvs_hv_reset(t->hv);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_CRASH_P0), 0);
	testhv_down(t);
}

/* ---- life cycle ------------------------------------------------------------------------------- */

Test(hv, refuses_bad_configurations)
{
	static const struct {
		struct hvs_hv_config cfg;
		int expected;
	} cases[] = {
		{{.vp_count = 0}, -EINVAL},
		{{.vp_count = 4097}, -EINVAL},
		{{.vp_count = UINT32_MAX}, -EINVAL},
		{{.vp_count = 1, .hypercall_port = 0x100}, -EINVAL},
		{{.vp_count = 1, .hypercall_port = 1, .signal_port = 0x100}, -EINVAL},
		{{.vp_count = 1, .signal_port = 1}, -EINVAL},
		{{.vp_count = 1, .tsc_hz = 1}, -EINVAL},
		{{.vp_count = 1, .apic_hz = 1}, -EINVAL},
		{{.vp_count = 1, .flags = 4}, -ENOTSUP},
		{{.vp_count = 1, .flags = 0x80000000}, -ENOTSUP},
		{{.vp_count = 4096,
		  .hypercall_port = 0xff,
		  .signal_port = 0xff,
		  .tsc_hz = 1,
		  .apic_hz = 1,
		  .flags = HVS_HV_EXTERNAL_SINTS | HVS_HV_INVARIANT_TSC},
		 0},
	};
	struct testhv *t = testhv_up(NULL, false);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_hv_config cfg = cases[i].cfg;
		struct hvs_hv_ops ops = {HVS_HV_OPS_INIT};
		struct hvs_hv *hv = NULL;

		/* Any functions do: nothing is called but the clock. */
		ops.interrupt = (void (*)(void *, uint32_t, uint8_t, uint8_t))abort;
		ops.post_message =
			(uint16_t(*)(void *, uint32_t, uint32_t, const void *, size_t))abort;
		ops.signal_event = (uint16_t(*)(void *, uint32_t, uint16_t))abort;
		ops.now_ns = NULL;
		cfg.size = sizeof(cfg);
		cr_assert_eq(hvs_hv_create(&cfg, t->mem, &ops, t, &hv),
			     cases[i].expected == -ENOTSUP ? -ENOTSUP : -EINVAL,
			     "case %zu: no clock", i);
		cr_assert_null(hv);
		if (!cases[i].expected)
			continue;
		ops.now_ns = (uint64_t(*)(void *))abort;
		cr_assert_eq(hvs_hv_create(&cfg, t->mem, &ops, t, &hv), cases[i].expected,
			     "case %zu", i);
		cr_assert_null(hv);
	}
	testhv_down(t);
}

Test(hv, counts_its_memory)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 64,
					  .alloc = test_allocator(&a)};
	struct testhv *t = testhv_up(&cfg, false);

	cr_assert_gt(a.live, 0);
	cr_assert_eq(rdmsr(t, 63, HVSI_MSR_VP_INDEX), 63);
	testhv_down(t);
	cr_assert_eq(a.live, 0);
}
