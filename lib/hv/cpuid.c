/* SPDX-License-Identifier: MIT */
/* CPUID leaves that tell a guest it runs on Hyper-V (TLFS 2.4). */
#include "hv/state.h"

#include <errno.h>

/* 0x40000003 EAX: partition privileges */
#define PRIV_TIME_REF_COUNT (1u << 1)
#define PRIV_SYNIC (1u << 2)
#define PRIV_HYPERCALL (1u << 5)
#define PRIV_VP_INDEX (1u << 6)
#define PRIV_REFERENCE_TSC (1u << 9)
#define PRIV_FREQUENCY (1u << 11)
#define PRIV_TSC_INVARIANT (1u << 15)
/* 0x40000003 EBX */
#define PRIV_POST_MESSAGES (1u << 4)
#define PRIV_SIGNAL_EVENTS (1u << 5)
/* 0x40000003 EDX: features */
#define FEAT_FREQUENCY (1u << 8)
#define FEAT_CRASH (1u << 10)
/* 0x40000004 EAX: recommendations */
#define REC_RELAXED_TIMING (1u << 5)
#define REC_NO_AUTO_EOI (1u << 9)

#define REC_NEVER_NOTIFY_SPIN 0xffffffffu

/* What we say we are: guests only print it. Windows Server 2022's build. */
#define HOST_BUILD 20348u
#define HOST_VERSION (10u << 16)

static void privileges(const struct hvs_hv *hv, uint32_t regs[4])
{
	regs[0] = PRIV_TIME_REF_COUNT | PRIV_SYNIC | PRIV_HYPERCALL | PRIV_VP_INDEX |
		  hv->cfg.extra_privileges;
	regs[1] = PRIV_POST_MESSAGES | PRIV_SIGNAL_EVENTS;
	regs[3] = hv->cfg.extra_features;
	if (hv->cfg.tsc_hz) {
		regs[0] |= PRIV_FREQUENCY;
		regs[3] |= FEAT_FREQUENCY;
	}
	if (hvsi_has_reference_tsc(hv))
		regs[0] |= PRIV_REFERENCE_TSC;
	if (hv->cfg.flags & HVS_HV_INVARIANT_TSC)
		regs[0] |= PRIV_TSC_INVARIANT;
	if (hv->ops.crash)
		regs[3] |= FEAT_CRASH;
}

int hvs_hv_cpuid(const struct hvs_hv *hv, uint32_t leaf, uint32_t regs[4])
{
	if (!hv || !regs)
		return -ENOENT;
	memset(regs, 0, 4 * sizeof(regs[0]));
	switch (leaf) {
	case 0x40000000:
		regs[0] = HVS_HV_CPUID_LAST;
		regs[1] = 0x7263694d; /* "Micr" */
		regs[2] = 0x666f736f; /* "osof" */
		regs[3] = 0x76482074; /* "t Hv" */
		return 0;
	case 0x40000001:
		regs[0] = 0x31237648; /* "Hv#1" */
		return 0;
	case 0x40000002:
		regs[0] = HOST_BUILD;
		regs[1] = HOST_VERSION;
		return 0;
	case 0x40000003:
		privileges(hv, regs);
		return 0;
	case 0x40000004:
		regs[0] = REC_RELAXED_TIMING | REC_NO_AUTO_EOI;
		regs[1] = REC_NEVER_NOTIFY_SPIN;
		return 0;
	case 0x40000005:
		regs[0] = hv->cfg.vp_count;
		regs[1] = hv->cfg.vp_count;
		return 0;
	case 0x40000006:
		return 0;
	default:
		return -ENOENT;
	}
}
