/* SPDX-License-Identifier: MIT */
/* Synthetic MSRs but the SynIC's: identification, hypercall page, time, crash. */
#include "hv/msr_numbers.h"
#include "hv/state.h"

#include <errno.h>

#define HYPERCALL_LOCKED 2u
#define CRASH_NOTIFY (1ull << 63)

/*
 * What the guest calls for a hypercall. The short form works in every mode; it changes no
 * register, the embedder puts the result where it belongs.
 *
 *   out  hypercall_port, al
 *   ret
 *
 * The 64-bit form sends HvSignalEvent with flag 0 (input value fast | 0x5d, connection id in
 * EDX) straight to a port that a hypervisor can watch without help, for example KVM's ioeventfd.
 * It uses R10 and R11, which are volatile in every caller's convention (TLFS 3.7).
 *
 *   endbr64
 *   cmp  rcx, 0x1005d
 *   jne  slow
 *   mov  r10, rdx
 *   shr  r10, 32
 *   jnz  slow
 *   xor  r11d, r11d
 *   mov  eax, edx
 *   out  signal_port, eax
 *   mov  rax, r11
 *   ret
 * slow:
 *   out  hypercall_port, al
 *   ret
 */
static void hypercall_code(const struct hvs_hv_config *cfg, bool long_mode, uint8_t *code)
{
	const uint8_t hypercall_port = (uint8_t)cfg->hypercall_port;
	const uint8_t signal_port = (uint8_t)cfg->signal_port;
	const uint8_t slow[] = {0xe6, hypercall_port, 0xc3};
	const uint8_t fast[] = {
		0xf3, 0x0f,           0x1e, 0xfa,                   /* endbr64 */
		0x48, 0x81,           0xf9, 0x5d, 0x00, 0x01, 0x00, /* cmp rcx, 0x1005d */
		0x75, 0x14,                                         /* jne slow */
		0x49, 0x89,           0xd2,                         /* mov r10, rdx */
		0x49, 0xc1,           0xea, 0x20,                   /* shr r10, 32 */
		0x75, 0x0b,                                         /* jnz slow */
		0x45, 0x31,           0xdb,                         /* xor r11d, r11d */
		0x89, 0xd0,                                         /* mov eax, edx */
		0xe7, signal_port,                                  /* out signal_port, eax */
		0x4c, 0x89,           0xd8,                         /* mov rax, r11 */
		0xc3,                                               /* ret */
		0xe6, hypercall_port, /* slow: out hypercall_port, al */
		0xc3,                 /* ret */
	};

	if (long_mode && signal_port)
		memcpy(code, fast, sizeof(fast));
	else
		memcpy(code, slow, sizeof(slow));
}

/* The page must be RAM, else it stays disabled and the guest sees that in bit 0. */
static void place_hypercall_page(struct hvs_hv *hv, uint64_t value, bool long_mode)
{
	uint8_t page[HVSI_PAGE];
	uint8_t HVSI_GUEST *p;

	hv->hypercall = value;
	if (!(value & HVSI_PAGE_ENABLE))
		return;
	p = hvsi_mem_range(hv->mem, value & ~(uint64_t)(HVSI_PAGE - 1), HVSI_PAGE, HVS_RDWR);
	if (!p || !atomic_load(&hv->guest_os_id)) {
		hv->hypercall &= ~(uint64_t)HVSI_PAGE_ENABLE;
		return;
	}
	if (!hv->cfg.hypercall_port)
		return; /* the hypervisor's to fill */
	hv->hypercall_long_mode = long_mode;
	memset(page, 0xcc, sizeof(page));
	hypercall_code(&hv->cfg, long_mode, page);
	hvsi_guest_write(p, page, sizeof(page));
}

static int other_read(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case HVSI_MSR_GUEST_OS_ID:
		*value = atomic_load(&hv->guest_os_id);
		return 0;
	case HVSI_MSR_HYPERCALL:
		*value = hv->hypercall;
		return 0;
	case HVSI_MSR_VP_INDEX:
		*value = vp;
		return 0;
	case HVSI_MSR_VP_ASSIST_PAGE:
		*value = hv->vp[vp].vp_assist;
		return 0;
	case HVSI_MSR_REFERENCE_TSC:
		*value = hv->reference_tsc;
		return hvsi_has_reference_tsc(hv) ? 0 : -ENOENT;
	case HVSI_MSR_TSC_FREQUENCY:
		*value = hv->cfg.tsc_hz;
		return hv->cfg.tsc_hz ? 0 : -ENOENT;
	case HVSI_MSR_APIC_FREQUENCY:
		*value = hv->cfg.apic_hz;
		return hv->cfg.apic_hz ? 0 : -ENOENT;
	case HVSI_MSR_TSC_INVARIANT:
		*value = hv->tsc_invariant;
		return hv->cfg.flags & HVS_HV_INVARIANT_TSC ? 0 : -ENOENT;
	default:
		if (!hv->ops.crash || msr < HVSI_MSR_CRASH_P0 || msr > HVSI_MSR_CRASH_CTL)
			return -ENOENT;
		/* The control register reads as what we can take: a notification. */
		*value = msr == HVSI_MSR_CRASH_CTL ? CRASH_NOTIFY
						   : hv->crash.param[msr - HVSI_MSR_CRASH_P0];
		return 0;
	}
}

static int other_write(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value, bool long_mode,
		       uint64_t tsc_offset)
{
	switch (msr) {
	case HVSI_MSR_GUEST_OS_ID:
		atomic_store(&hv->guest_os_id, value);
		if (!value)
			hv->hypercall &= ~(uint64_t)HVSI_PAGE_ENABLE;
		return 0;
	case HVSI_MSR_HYPERCALL:
		if (hv->hypercall & HYPERCALL_LOCKED)
			return -ENOENT;
		place_hypercall_page(hv, value, long_mode);
		return 0;
	case HVSI_MSR_REFERENCE_TSC:
		if (!hvsi_has_reference_tsc(hv))
			return -ENOENT;
		hvsi_place_reference_tsc(hv, value, tsc_offset);
		return 0;
	case HVSI_MSR_VP_ASSIST_PAGE:
		/* Linux writes it whether or not it is offered. A page of zeros, as the guest gives
		 * it, asks for nothing: we never look at it. */
		hv->vp[vp].vp_assist = value;
		return 0;
	case HVSI_MSR_TSC_INVARIANT:
		if (!(hv->cfg.flags & HVS_HV_INVARIANT_TSC) || value & ~1ull)
			return -ENOENT;
		hv->tsc_invariant = value;
		return 0;
	default:
		if (!hv->ops.crash || msr < HVSI_MSR_CRASH_P0 || msr > HVSI_MSR_CRASH_CTL)
			return -ENOENT;
		if (msr == HVSI_MSR_CRASH_CTL)
			hv->crash.control = value;
		else
			hv->crash.param[msr - HVSI_MSR_CRASH_P0] = value;
		return 0;
	}
}

void hvsi_msr_restore(struct hvs_hv *hv, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case HVSI_MSR_GUEST_OS_ID:
		atomic_store(&hv->guest_os_id, value);
		break;
	case HVSI_MSR_HYPERCALL:
		place_hypercall_page(hv, value, hv->hypercall_long_mode);
		break;
	case HVSI_MSR_TIME_REF_COUNT:
		hv->start_ns = hv->ops.now_ns(hv->be) - value * 100;
		break;
	case HVSI_MSR_REFERENCE_TSC:
		hvsi_restore_reference_tsc(hv, value);
		break;
	case HVSI_MSR_TSC_INVARIANT:
		hv->tsc_invariant = value & 1;
		break;
	default:
		hv->crash.param[msr - HVSI_MSR_CRASH_P0] = value;
		break;
	}
}

static bool is_synic(uint32_t msr)
{
	return msr >= HVSI_MSR_SCONTROL && msr <= HVSI_MSR_SINT15;
}

int hvs_hv_msr_read(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t *value)
{
	int err;

	if (!hv || !value || vp >= hv->cfg.vp_count)
		return -ENOENT;
	if (is_synic(msr))
		return hvsi_synic_read(hv, vp, msr, value);
	if (msr == HVSI_MSR_TIME_REF_COUNT) {
		*value = hvs_hv_reference_time(hv);
		return 0;
	}
	hvsi_spin_lock(&hv->lock);
	err = other_read(hv, vp, msr, value);
	hvsi_spin_unlock(&hv->lock);
	return err;
}

int hvs_hv_msr_write(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value, bool long_mode)
{
	struct hvs_hv_crash crash;
	uint64_t tsc_offset = 0;
	int err;

	if (!hv || vp >= hv->cfg.vp_count)
		return -ENOENT;
	if (hv->ops.record)
		hv->ops.record(hv->be, &(struct hvs_record){.kind = HVS_RECORD_MSR_WRITE,
							    .vp = vp,
							    .msr = msr,
							    .value = value});
	if (is_synic(msr))
		return hvsi_synic_write(hv, vp, msr, value);
	if (msr == HVSI_MSR_REFERENCE_TSC && hvsi_has_reference_tsc(hv))
		tsc_offset = hvsi_reference_tsc_offset(hv, vp);
	hvsi_spin_lock(&hv->lock);
	err = other_write(hv, vp, msr, value, long_mode, tsc_offset);
	crash = hv->crash;
	hvsi_spin_unlock(&hv->lock);
	if (!err && msr == HVSI_MSR_CRASH_CTL && value & CRASH_NOTIFY)
		hv->ops.crash(hv->be, vp, &crash);
	return err;
}
