/* SPDX-License-Identifier: MIT */
#include <hvstack/hv.h>
#include <hvstack/memory.h>

#include <criterion/criterion.h>
#include <errno.h>

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)vector;
}

static uint64_t now_ns(void *be)
{
	(void)be;
	return 0;
}

static uint16_t post_message(void *be, uint32_t id, uint32_t type, const void *payload, size_t len)
{
	(void)be;
	(void)id;
	(void)type;
	(void)payload;
	(void)len;
	return 0;
}

static uint16_t signal_event(void *be, uint32_t id, uint16_t flag)
{
	(void)be;
	(void)id;
	(void)flag;
	return 0;
}

static void crash(void *be, uint32_t vp, const struct hvs_hv_crash *c)
{
	(void)be;
	(void)vp;
	(void)c;
}

static const struct hvs_hv_ops plain_ops = {HVS_HV_OPS_INIT, .interrupt = interrupt,
					    .now_ns = now_ns, .post_message = post_message,
					    .signal_event = signal_event};

/* Leaf as this configuration shows it. */
static void cpuid(const struct hvs_hv_config *cfg, bool with_crash, uint32_t leaf, uint32_t regs[4])
{
	struct hvs_hv_ops ops = plain_ops;
	struct hvs_mem *mem;
	struct hvs_hv *hv;

	if (with_crash)
		ops.crash = crash;
	cr_assert_eq(hvs_mem_create(NULL, &mem), 0);
	cr_assert_eq(hvs_hv_create(cfg, mem, &ops, NULL, &hv), 0);
	memset(regs, 0xff, 16);
	cr_assert_eq(hvs_hv_cpuid(hv, leaf, regs), 0);
	hvs_hv_destroy(hv);
	hvs_mem_destroy(mem);
}

/* protocol/vmbus.md 1.1, minimal profile and 1.2: bits that change what a guest does. */
Test(cpuid, the_smallest_machine_shows_exactly_this)
{
	static const struct {
		uint32_t leaf;
		uint32_t regs[4];
	} leaves[] = {
		{0x40000000, {0x40000006, 0x7263694d, 0x666f736f, 0x76482074}},
		{0x40000001, {0x31237648, 0, 0, 0}},
		{0x40000002, {20348, 10u << 16, 0, 0}},
		{0x40000003, {0x66, 0x30, 0, 0}},
		{0x40000004, {0x220, 0xffffffff, 0, 0}},
		{0x40000005, {3, 3, 0, 0}},
		{0x40000006, {0, 0, 0, 0}},
	};
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 3};
	uint32_t regs[4];

	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		cpuid(&cfg, false, leaves[i].leaf, regs);
		cr_assert_arr_eq(regs, leaves[i].regs, 16, "leaf %#x", leaves[i].leaf);
	}
}

Test(cpuid, the_signature_reads_microsoft_hv)
{
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1};
	uint32_t regs[4];

	cpuid(&cfg, false, 0x40000000, regs);
	cr_assert_arr_eq(&regs[1], "Microsoft Hv", 12);
	cpuid(&cfg, false, 0x40000001, regs);
	cr_assert_arr_eq(&regs[0], "Hv#1", 4);
}

Test(cpuid, each_feature_has_its_bits)
{
	static const struct {
		struct hvs_hv_config cfg;
		bool crash;
		uint32_t eax;
		uint32_t edx;
	} cases[] = {
		{{.vp_count = 1}, false, 0x66, 0},
		{{.vp_count = 1, .tsc_hz = 1, .apic_hz = 1}, false, 0x66 | 1u << 11, 1u << 8},
		{{.vp_count = 1, .flags = HVS_HV_INVARIANT_TSC}, false, 0x66 | 1u << 15, 0},
		{{.vp_count = 1}, true, 0x66, 1u << 10},
		{{.vp_count = 1, .extra_privileges = 1u << 3, .extra_features = 1u << 19},
		 false,
		 0x66 | 1u << 3,
		 1u << 19},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_hv_config cfg = cases[i].cfg;
		uint32_t regs[4];

		cfg.size = sizeof(cfg);
		cpuid(&cfg, cases[i].crash, 0x40000003, regs);
		cr_assert_eq(regs[0], cases[i].eax, "case %zu: EAX %#x", i, regs[0]);
		cr_assert_eq(regs[1], 0x30, "case %zu", i);
		cr_assert_eq(regs[2], 0, "case %zu", i);
		cr_assert_eq(regs[3], cases[i].edx, "case %zu: EDX %#x", i, regs[3]);
	}
}

Test(cpuid, other_leaves_are_not_ours)
{
	static const uint32_t others[] = {0,          1,          0x3fffffff, 0x40000007,
					  0x400000ff, 0x40000100, 0x80000000, 0xffffffff};
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1};
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	uint32_t regs[4];

	cr_assert_eq(hvs_mem_create(NULL, &mem), 0);
	cr_assert_eq(hvs_hv_create(&cfg, mem, &plain_ops, NULL, &hv), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_eq(hvs_hv_cpuid(hv, others[i], regs), -ENOENT, "leaf %#x", others[i]);
	cr_assert_eq(hvs_hv_cpuid(NULL, 0x40000000, regs), -ENOENT);
	hvs_hv_destroy(hv);
	hvs_mem_destroy(mem);
}
