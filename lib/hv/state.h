/* SPDX-License-Identifier: MIT */
/* What the files of lib/hv share: the state behind the synthetic MSRs of one virtual machine. */
#ifndef HVSI_HV_STATE_H
#define HVSI_HV_STATE_H

#include "mem/guestmem.h"
#include "util/atomic.h"

#include <hvstack/hv.h>

#define HVSI_SINTS 16u
#define HVSI_SINT_MASKED 0x10000u /* bit 16 of a SINT register; also its reset value */
#define HVSI_SINT_POLLING 0x40000u
#define HVSI_SINT_PROXY 0x100000u
#define HVSI_PAGE_ENABLE 1u /* bit 0 of every MSR that places a page */

/* Synthetic interrupt controller of one VP, and what else a VP has of its own. */
struct hvsi_synic {
	/* Registers; written only by the VP's own thread. */
	uint64_t scontrol;
	uint64_t siefp;
	uint64_t simp;
	uint64_t vp_assist;
	_Atomic(uint64_t) sint[HVSI_SINTS];

	/* What deliveries use, on any thread: NULL unless enabled and RAM. */
	struct hvsi_gate gate;
	_Atomic(uintptr_t) event_page;
	_Atomic(uintptr_t) message_page;
};

struct hvs_hv {
	struct hvs_hv_config cfg;
	struct hvs_hv_ops ops;
	void *be;
	const struct hvs_mem *mem;
	uint64_t start_ns;

	/* Partition-wide registers; any VP may write them. */
	struct hvsi_spin lock;
	_Atomic(uint64_t) guest_os_id;
	uint64_t hypercall;
	bool hypercall_long_mode; /* the page holds code that needs 64-bit mode */
	uint64_t reference_tsc;
	uint32_t tsc_sequence; /* of the reference TSC page; 0 is never used */
	uint64_t tsc_invariant;
	struct hvs_hv_crash crash;

	struct hvsi_synic vp[];
};

/* Vectors below 16 are exceptions; 0 with the mask bit is the reset value. */
static inline bool hvsi_sint_valid(uint64_t value)
{
	return (value & 0xff) >= 16 || value & HVSI_SINT_MASKED;
}

/* synic.c */
void hvsi_synic_reset(struct hvsi_synic *s);
int hvsi_synic_read(const struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t *value);
int hvsi_synic_write(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value);
/* Set a VP's register from saved state, whatever is in it. False: not a VP's register. */
bool hvsi_synic_restore(struct hvs_hv *hv, uint32_t vp, uint32_t msr, uint64_t value);
/* All of them are set: find the pages, whose contents are as they were. Interrupts that were on
 * their way may be lost: what the guest has not taken yet interrupts again. */
void hvsi_synic_restored(struct hvs_hv *hv, uint32_t vp);

/* msr.c: a partition-wide register. */
void hvsi_msr_restore(struct hvs_hv *hv, uint32_t msr, uint64_t value);

/* clock.c */
bool hvsi_has_reference_tsc(const struct hvs_hv *hv);
/* What the page has to hold now; only with a reference TSC. Calls the embedder. */
uint64_t hvsi_reference_tsc_offset(const struct hvs_hv *hv, uint32_t vp);
/* The guest wrote the REFERENCE_TSC register. */
void hvsi_place_reference_tsc(struct hvs_hv *hv, uint64_t value, uint64_t offset);
/* It comes from saved state: the page is there, but the TSC is another one. */
void hvsi_restore_reference_tsc(struct hvs_hv *hv, uint64_t value);

#endif
