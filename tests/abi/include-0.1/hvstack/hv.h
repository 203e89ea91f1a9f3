/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor interface a guest sees (Hypervisor Top Level Functional Specification, "TLFS"):
 * CPUID leaves, synthetic MSRs, hypercalls, and the synthetic interrupt controller (SynIC) with
 * its message and event flag pages. For VMMs whose hypervisor has none of it, or only a part.
 *
 *   VMM                                this file
 *   CPUID setup                     -> hvs_hv_cpuid()
 *   guest reads/writes MSR 0x400000xx -> hvs_hv_msr_read(), hvs_hv_msr_write()
 *   guest writes the hypercall port -> hvs_hv_hypercall()
 *   VMBus has a message or event    -> hvs_hv_post(), hvs_hv_signal() -> ops.interrupt
 */
#ifndef HVSTACK_HV_H
#define HVSTACK_HV_H

#include <hvstack/backend.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Hypercall status values (TLFS appendix B). */
enum hvs_hv_status {
	HVS_HV_STATUS_SUCCESS = 0x00,
	HVS_HV_STATUS_INVALID_HYPERCALL_CODE = 0x02,
	HVS_HV_STATUS_INVALID_HYPERCALL_INPUT = 0x03,
	HVS_HV_STATUS_INVALID_ALIGNMENT = 0x04,
	HVS_HV_STATUS_INSUFFICIENT_MEMORY = 0x0b,
	HVS_HV_STATUS_INVALID_CONNECTION_ID = 0x12,
	HVS_HV_STATUS_INSUFFICIENT_BUFFERS = 0x13,
};

/* First and last synthetic MSR, first and last CPUID leaf. */
#define HVS_HV_MSR_FIRST 0x40000000u
#define HVS_HV_MSR_LAST 0x400001ffu
#define HVS_HV_CPUID_FIRST 0x40000000u
#define HVS_HV_CPUID_LAST 0x40000006u

/* What a guest wrote to the crash MSRs: parameters P0..P4 and the control word. Library-owned. */
struct hvs_hv_crash {
	uint64_t param[5]; /* HV_X64_MSR_CRASH_P0 to P4 */
	uint64_t control;  /* HV_X64_MSR_CRASH_CTL */
};

/* Any slot may be called from any thread that is inside the library. None may block. */
struct hvs_hv_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/*
	 * Interrupt VP vp: SINT `sint` fires. vector is what the guest programmed for it, from 16
	 * on, 0 with HVS_HV_EXTERNAL_SINTS. Required.
	 */
	void (*interrupt)(void *be, uint32_t vp, uint8_t sint, uint8_t vector);

	/* Monotonic clock, nanoseconds. With read_tsc it runs at the TSC's own rate, which nobody
	 * corrects (Linux: CLOCK_MONOTONIC_RAW): the guest's clock and the host's idea of it would
	 * drift apart otherwise. Required. */
	uint64_t (*now_ns)(void *be);

	/* HvPostMessage and HvSignalEvent: normally hvs_vmbus_post_message() and
	 * hvs_vmbus_signal_event(). They return a hypercall status. Required. */
	uint16_t (*post_message)(void *be, uint32_t connection_id, uint32_t message_type,
				 const void *payload, size_t len);
	uint16_t (*signal_event)(void *be, uint32_t connection_id, uint16_t flag);

	/* Message slots of vp may be free or enabled now. Normally hvs_vmbus_slot_free().
	 * Optional. */
	void (*slot_free)(void *be, uint32_t vp);

	/*
	 * The TSC as VP vp reads it now. Called on the thread that runs vp, from
	 * hvs_hv_msr_write(); and from hvs_hv_restore(), for VP 0, which does not run. Optional;
	 * with tsc_hz it lets the guest tell the time without an exit, from the reference TSC page.
	 * The VPs' TSCs must be in step.
	 */
	uint64_t (*read_tsc)(void *be, uint32_t vp);

	/* The guest reports that it has crashed. A notification only: the guest goes on, for
	 * example to write a dump. Optional; without it the MSRs are not offered. */
	void (*crash)(void *be, uint32_t vp, const struct hvs_hv_crash *crash);

	/*
	 * With HVS_HV_EXTERNAL_SINTS, for hvs_hv_save() and hvs_hv_restore(), which fail without:
	 * a synthetic MSR as the hypervisor keeps it, of a VP that does not run; vp is 0 for what
	 * the partition has once. docs/saved-state.md lists the MSRs. 0, -ENOENT (it has no such
	 * MSR, which then is left out), or another negative errno. Not called otherwise.
	 */
	int (*get_register)(void *be, uint32_t vp, uint32_t msr, uint64_t *value);
	int (*set_register)(void *be, uint32_t vp, uint32_t msr, uint64_t value);

	/*
	 * Optional: told of every MSR write (HVS_RECORD_MSR_WRITE) and hypercall
	 * (HVS_RECORD_HYPERCALL) that the embedder hands in, on the thread that does. What the
	 * hypervisor deals with itself is not seen: MSRs with HVS_HV_EXTERNAL_SINTS, signals that
	 * ring a doorbell. It may block: the VP waits.
	 */
	void (*record)(void *be, const struct hvs_record *record);
};
#define HVS_HV_OPS_INIT .size = (uint32_t)sizeof(struct hvs_hv_ops)

/* The hypervisor keeps MSRs and SINTs itself and reports the pages: see hvs_hv_synic_update(). */
#define HVS_HV_EXTERNAL_SINTS 0x1u
/* The guest's TSC has a constant rate and does not stop: the guest may use it as its clock. */
#define HVS_HV_INVARIANT_TSC 0x2u

struct hvs_hv_config {
	uint32_t size;
	uint32_t flags;    /* HVS_HV_* */
	uint32_t vp_count; /* virtual processors, 1..4096 */
	/*
	 * I/O ports the hypercall page uses. The guest writes 1 byte to hypercall_port for a
	 * hypercall, and (64-bit guests) 4 bytes, a connection id, to signal_port for
	 * HvSignalEvent with flag 0; what the embedder puts into R11 before it runs the guest on
	 * is the hypercall's result (0, success, when it leaves it alone). Both below 0x100.
	 * hypercall_port 0: the page is not ours (the hypervisor traps hypercalls itself).
	 * signal_port 0: signals come as hypercalls.
	 */
	uint16_t hypercall_port;
	uint16_t signal_port;
	uint64_t tsc_hz;  /* guest TSC; 0: do not tell the guest */
	uint64_t apic_hz; /* APIC timer; 0: do not tell the guest. Both or none */
	/* Bits the embedder's hypervisor implements by itself, added to CPUID 0x40000003 EAX and
	 * EDX, for example synthetic timers. 0: none. */
	uint32_t extra_privileges;
	uint32_t extra_features;
	struct hvs_allocator alloc; /* all NULL: malloc */
};
#define HVS_HV_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_hv_config)

/* 0, -EINVAL, -ENOTSUP (unknown members or flags), -ENOMEM. cfg and ops are copied. */
HVS_API HVS_NODISCARD int hvs_hv_create(const struct hvs_hv_config *cfg, struct hvs_mem *mem,
					const struct hvs_hv_ops *ops, void *be,
					struct hvs_hv **out);
/* NULL is allowed. No thread may be inside the library. */
HVS_API void hvs_hv_destroy(struct hvs_hv *hv);

/*
 * CPUID leaf `leaf` (HVS_HV_CPUID_FIRST..LAST), the same on every VP: regs = EAX, EBX, ECX, EDX.
 * No other hypervisor's signature may be visible to the guest. 0, -ENOENT. [any]
 */
HVS_API HVS_NODISCARD int hvs_hv_cpuid(const struct hvs_hv *hv, uint32_t leaf, uint32_t regs[4]);

/*
 * Synthetic MSR access by VP vp, on the thread that runs it, or while it does not run.
 * long_mode: the VP is in 64-bit mode (decides what the hypercall page holds).
 *
 * 0, -ENOENT: inject #GP.
 */
HVS_API HVS_NODISCARD int hvs_hv_msr_read(struct hvs_hv *hv, uint32_t vp, uint32_t msr,
					  uint64_t *value);
HVS_API HVS_NODISCARD int hvs_hv_msr_write(struct hvs_hv *hv, uint32_t vp, uint32_t msr,
					   uint64_t value, bool long_mode);

/*
 * A hypercall by VP vp. input is the hypercall input value; param_in and param_out are the guest
 * addresses of the parameter blocks, or with the fast bit the first two parameters. Returns the
 * hypercall result value. On the thread that runs the VP.
 */
HVS_API uint64_t hvs_hv_hypercall(struct hvs_hv *hv, uint32_t vp, uint64_t input, uint64_t param_in,
				  uint64_t param_out);

/*
 * With HVS_HV_EXTERNAL_SINTS: the guest changed SCONTROL, SIEFP or SIMP of vp; values as in the
 * MSRs. On the thread that runs the VP.
 *
 * scontrol, siefp, simp  what is in the registers now
 *
 * 0, -EINVAL (vp).
 */
HVS_API HVS_NODISCARD int hvs_hv_synic_update(struct hvs_hv *hv, uint32_t vp, uint64_t scontrol,
					      uint64_t siefp, uint64_t simp);

/*
 * Put a message into a slot and interrupt. 0, -EAGAIN (slot in use, SINT masked or SynIC not
 * enabled: try again later), -EINVAL. Calls for one VP must not overlap. [any]
 */
HVS_API HVS_NODISCARD int hvs_hv_post(struct hvs_hv *hv, uint32_t vp, uint8_t sint,
				      const struct hvs_synic_msg *msg);

/*
 * Set an event flag (below 2048), interrupt if it was clear. Nothing happens while it can't be
 * delivered. [any]
 */
HVS_API void hvs_hv_signal(struct hvs_hv *hv, uint32_t vp, uint8_t sint, uint16_t flag);

/* All VPs are reset and do not run: every register to its reset value. */
HVS_API void hvs_hv_reset(struct hvs_hv *hv);

/*
 * The partition's reference counter, as the guest reads it from HV_X64_MSR_TIME_REF_COUNT or the
 * reference TSC page: units of 100 ns. Not with a hypervisor that keeps that MSR itself. [any]
 */
HVS_API uint64_t hvs_hv_reference_time(const struct hvs_hv *hv);

/* GUEST_OS_ID as the guest wrote it last, 0: none (TLFS 2.6). [any] */
HVS_API uint64_t hvs_hv_guest_os_id(const struct hvs_hv *hv);

#ifdef __cplusplus
}
#endif
#endif
