/* SPDX-License-Identifier: MIT */
/* The reference TSC page (TLFS 12.7): time = ((tsc * scale) >> 64) + offset, in 100 ns. */
#include "support/hv.h"

#include <criterion/criterion.h>
#include <errno.h>

struct page {
	uint32_t sequence;
	uint32_t reserved;
	uint64_t scale;
	uint64_t offset;
};

static struct page page_at(struct testhv *t, unsigned page)
{
	struct page p;

	memcpy(&p, testhv_page(t, page), sizeof(p));
	return p;
}

__extension__ typedef unsigned __int128 wide;

static uint64_t guest_time(const struct page *p, uint64_t tsc)
{
	return (uint64_t)((wide)tsc * p->scale >> 64) + p->offset;
}

Test(clock, the_page_tells_the_time_of_the_msr)
{
	static const uint64_t rates[] = {10000001, 800000000, 2399999000, 5000000000};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 2,
						  .tsc_hz = rates[i], .apic_hz = 1};
		struct testhv *t = testhv_up_with_tsc(&cfg);
		struct page p;

		t->tsc = 0x123456789abcull;
		t->now_ns += 7000000000;
		wrmsr(t, 0, HVSI_MSR_REFERENCE_TSC, HV_GPA(3) | 1);
		cr_assert_eq(rdmsr(t, 1, HVSI_MSR_REFERENCE_TSC), HV_GPA(3) | 1);
		p = page_at(t, 3);
		cr_assert_neq(p.sequence, 0);
		cr_assert_neq(p.sequence, UINT32_MAX);
		cr_assert_eq(p.reserved, 0);
		cr_assert_eq(p.scale, (uint64_t)(((wide)10000000 << 64) / rates[i]));
		cr_assert_eq(guest_time(&p, t->tsc), rdmsr(t, 0, HVSI_MSR_TIME_REF_COUNT));
		cr_assert_eq(hvs_hv_reference_time(t->hv), rdmsr(t, 0, HVSI_MSR_TIME_REF_COUNT));
		/* An hour later they still agree, to a microsecond. */
		t->now_ns += 3600000000000;
		t->tsc += 3600 * rates[i];
		cr_assert_leq(rdmsr(t, 0, HVSI_MSR_TIME_REF_COUNT) - guest_time(&p, t->tsc) + 10,
			      20);
		testhv_down(t);
	}
}

Test(clock, each_new_page_has_a_new_sequence)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1, .tsc_hz = 1000000000,
					  .apic_hz = 1};
	struct testhv *t = testhv_up_with_tsc(&cfg);
	uint32_t first;

	wrmsr(t, 0, HVSI_MSR_REFERENCE_TSC, HV_GPA(3) | 1);
	first = page_at(t, 3).sequence;
	wrmsr(t, 0, HVSI_MSR_REFERENCE_TSC, HV_GPA(3));
	wrmsr(t, 0, HVSI_MSR_REFERENCE_TSC, HV_GPA(3) | 1);
	cr_assert_neq(page_at(t, 3).sequence, first);
	cr_assert_neq(page_at(t, 3).sequence, 0);
	hvs_hv_reset(t->hv);
	cr_assert_eq(rdmsr(t, 0, HVSI_MSR_REFERENCE_TSC), 0);
	testhv_down(t);
}

Test(clock, a_page_that_is_no_ram_is_not_written)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1, .tsc_hz = 1000000000,
					  .apic_hz = 1};
	struct testhv *t = testhv_up_with_tsc(&cfg);

	wrmsr(t, 0, HVSI_MSR_REFERENCE_TSC, HV_ROM | 1);
	cr_assert_eq(testhv_page(t, HV_PAGES)[0], 0);
	cr_assert_eq(testhv_page(t, HV_PAGES)[8], 0);
	wrmsr(t, 0, HVSI_MSR_REFERENCE_TSC, 0xfffffffffffff001);
	testhv_down(t);
}

/* Without a TSC, without its rate, or with one that the formula can't express. */
Test(clock, is_not_offered_where_it_can_not_work)
{
	static const struct {
		uint64_t hz;
		bool tsc;
		bool offered;
	} cases[] = {{0, true, false},
		     {1000000000, false, false},
		     {10000000, true, false},
		     {10000001, true, true},
		     {1000000000, true, true}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1,
						  .tsc_hz = cases[i].hz, .apic_hz = cases[i].hz};
		struct testhv *t = cases[i].tsc ? testhv_up_with_tsc(&cfg) : testhv_up(&cfg, false);
		const int expected = cases[i].offered ? 0 : -ENOENT;
		uint32_t regs[4];
		uint64_t value;

		cr_assert_eq(hvs_hv_cpuid(t->hv, 0x40000003, regs), 0);
		cr_assert_eq(!!(regs[0] & 1u << 9), cases[i].offered, "case %zu", i);
		cr_assert_eq(hvs_hv_msr_read(t->hv, 0, HVSI_MSR_REFERENCE_TSC, &value), expected);
		cr_assert_eq(
			hvs_hv_msr_write(t->hv, 0, HVSI_MSR_REFERENCE_TSC, HV_GPA(1) | 1, true),
			expected);
		cr_assert_eq(page_at(t, 1).sequence != 0, cases[i].offered);
		testhv_down(t);
	}
}
