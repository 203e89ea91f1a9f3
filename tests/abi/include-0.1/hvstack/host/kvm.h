/* SPDX-License-Identifier: MIT */
/*
 * VMBus for a VMM on Linux KVM. Five calls: create, add RAM, CPUID, vCPU init, exit handler.
 *
 *   hvs_kvm_create(&cfg, &kvm)                    after KVM_CREATE_VM and KVM_CREATE_IRQCHIP
 *   hvs_mem_add(hvs_kvm_mem(kvm), ...)            for every RAM slot
 *   hvs_kvm_cpuid(kvm, cpuid, max)                before KVM_SET_CPUID2
 *   hvs_kvm_vcpu_init(kvm, vp, vcpu_fd)           after KVM_SET_CPUID2, in VP order
 *   ... offer devices on hvs_kvm_bus(kvm), hvs_vmbus_start(), run the loop on an I/O thread
 *   hvs_kvm_handle_exit(kvm, vp, run)             on every exit of KVM_RUN
 *   hvs_kvm_drain(kvm)                            when the VM is reset or ends, vCPUs stopped
 *   hvs_kvm_reset(kvm)                            when it is reset, then
 *
 * One thread runs `base`, and with it the bus's main worker and its devices. A device gets a
 * thread of its own with a second base:
 *
 *   hvs_loop_create(base2, &loop), hvs_worker_create(bus, loop, &worker),
 *   hvs_loop_set_worker(loop, worker)             worker_priv must be the loop, or NULL
 */
#ifndef HVSTACK_HOST_KVM_H
#define HVSTACK_HOST_KVM_H

#include <hvstack/backend.h>
#include <hvstack/export.h>
#include <hvstack/hv.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct kvm_cpuid2;
struct kvm_run;
struct hvs_kvm; /* a virtual machine on KVM, with its bus */

/*
 * Who keeps the synthetic interrupt controller. The guest can't tell the difference.
 *
 * USER takes from the VM: I/O ports 0xe4 to 0xe8; the MSR filter, and MSR exits for the reason
 * "filter" (a VMM that wants other reasons too enables all of them after hvs_kvm_create()). The
 * guest is told the TSC rate of the VM (KVM_SET_TSC_KHZ on the VM, before hvs_kvm_create(), if
 * it is to differ from the host's). At most 255 vCPUs.
 */
enum hvs_kvm_synic {
	HVS_KVM_SYNIC_AUTO = 0,   /* the kernel if it can */
	HVS_KVM_SYNIC_KERNEL = 1, /* KVM_CAP_HYPERV_SYNIC2; -ENOTSUP if KVM was built without */
	HVS_KVM_SYNIC_USER = 2,   /* the library: MSR exits and a hypercall page of its own */
};

struct hvs_kvm_config {
	uint32_t size;
	int vm_fd;           /* stays the VMM's; needs an in-kernel irqchip */
	uint32_t vcpu_count; /* vCPU indexes are VP indexes, and APIC ids in the user way */
	enum hvs_kvm_synic synic;
	struct event_base *base; /* the VMM runs it on one thread; must outlive the hvs_kvm */
	enum hvs_log_level log_level;
	void (*log)(void *arg, const struct hvs_log_record *record);         /* optional */
	void (*guest_fault)(void *arg, const struct hvs_guest_fault *fault); /* optional */
	/* The guest reported a crash (Hyper-V crash MSRs); a notification, on the thread of the
	 * vCPU: the guest goes on, for example to write a dump. Optional. */
	void (*crash)(void *arg, uint32_t vp, const struct hvs_hv_crash *crash);
	void *arg;
	/*
	 * Kernel way, for VMMs with interrupt routes of their own: add a route from a GSI of your
	 * choice to SINT `sint` of VP vp (KVM_IRQ_ROUTING_HV_SINT) and make the table effective
	 * (KVM_SET_GSI_ROUTING). 0 or a negative errno, which hvs_kvm_vcpu_init() returns; called
	 * from there. NULL: the library sets the whole table, KVM's default routes and, from GSI
	 * 24 on, one route per VP.
	 */
	int (*add_sint_route)(void *arg, uint32_t vp, uint8_t sint, uint32_t *gsi);
	/*
	 * Told of everything the guest says, on the threads that hvs_backend_ops.record and
	 * hvs_hv_ops.record name, also several at the same time. Kernel way: KVM keeps the MSRs
	 * and handles most signals, so there are few of these. Optional.
	 */
	void (*record)(void *arg, const struct hvs_record *record);
	/* hvs_backend_ops.connect_request. Optional. */
	int (*connect_request)(void *arg, const struct hvs_connect_request *request);
	/* Newest version and limits of the bus; vp_count and log_level in it do not count. Read by
	 * hvs_kvm_create(). NULL: the defaults. */
	const struct hvs_vmbus_config *bus;
};
#define HVS_KVM_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_kvm_config)

/*
 * Attach to a VM. cfg is copied.
 *
 * 0, -EINVAL (cfg), -ENOTSUP (this KVM lacks what the chosen way needs, or unknown members set),
 * -ENOMEM, or the errno of a KVM ioctl.
 */
HVS_API HVS_NODISCARD int hvs_kvm_create(const struct hvs_kvm_config *cfg, struct hvs_kvm **out);

/* NULL is allowed. No vCPU and no loop may be running; the bus must be reset or never started. */
HVS_API void hvs_kvm_destroy(struct hvs_kvm *kvm);

/* The bus, for devices, and the RAM, for hvs_mem_add(); valid until hvs_kvm_destroy(). [any] */
HVS_API struct hvs_vmbus *hvs_kvm_bus(struct hvs_kvm *kvm);
HVS_API struct hvs_mem *hvs_kvm_mem(struct hvs_kvm *kvm);

/* Which way was chosen: HVS_KVM_SYNIC_KERNEL or HVS_KVM_SYNIC_USER. */
HVS_API enum hvs_kvm_synic hvs_kvm_synic_in_use(const struct hvs_kvm *kvm);

/*
 * Add the Hyper-V leaves to a CPUID table, and remove those of other hypervisors.
 * max: entries the table has room for. 0, -E2BIG.
 */
HVS_API HVS_NODISCARD int hvs_kvm_cpuid(struct hvs_kvm *kvm, struct kvm_cpuid2 *cpuid,
					unsigned max);

/*
 * Prepare vCPU vp, once; vcpu_fd stays the VMM's and open until hvs_kvm_destroy(). 0, -EINVAL
 * (vp, or done before), the errno of a KVM ioctl, or what add_sint_route() returned.
 */
HVS_API HVS_NODISCARD int hvs_kvm_vcpu_init(struct hvs_kvm *kvm, uint32_t vp, int vcpu_fd);

/*
 * Is this exit ours? 1: yes, handled, run on; 0: no; negative errno: ours, but it failed (an
 * error of KVM's, or -EINVAL: hvs_kvm_vcpu_init() was not called for vp). On the thread that
 * runs the vCPU.
 */
HVS_API HVS_NODISCARD int hvs_kvm_handle_exit(struct hvs_kvm *kvm, uint32_t vp,
					      struct kvm_run *run);

/*
 * No vCPU runs any more: reset the bus (hvs_vmbus_reset()) and run the base until that is done, so
 * that no device has a request with its back end. On the thread that runs the base, while it does
 * not; bases of other workers must run. A bus that was never started, and NULL, are allowed.
 *
 * 0, -EBUSY (a reset of the bus is under way), or -EIO (the base can't be run).
 */
HVS_API int hvs_kvm_drain(struct hvs_kvm *kvm);

/*
 * The VM is being reset: give all Hyper-V registers their reset values, those that KVM keeps
 * included. No vCPU may be running, and the bus must be reset (hvs_kvm_drain()) before. 0 or
 * the errno of a KVM ioctl.
 */
HVS_API HVS_NODISCARD int hvs_kvm_reset(struct hvs_kvm *kvm);

/*
 * What the guest last wrote into HV_X64_MSR_GUEST_OS_ID, for guestos.h; 0: nothing, or nobody has used
 * VMBus yet. [any]
 */
HVS_API uint64_t hvs_kvm_guest_os_id(const struct hvs_kvm *kvm);

/*
 * The guest's reference counter (HV_X64_MSR_TIME_REF_COUNT) now, units of 100 ns. Does not wait for
 * a vCPU. 0 or the errno of a KVM ioctl. [any]
 */
HVS_API HVS_NODISCARD int hvs_kvm_reference_time(struct hvs_kvm *kvm, uint64_t *reference);

/*
 * The host's clock and the guest's reference counter at the same instant, for
 * hvs_ic_ops.sample_time(): host_time in units of 100 ns since 1601. Returns as
 * hvs_kvm_reference_time(). [any]
 */
HVS_API HVS_NODISCARD int hvs_kvm_sample_time(struct hvs_kvm *kvm, uint64_t *host_time,
					      uint64_t *reference);

#ifdef __cplusplus
}
#endif
#endif
