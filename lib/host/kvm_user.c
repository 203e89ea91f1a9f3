/* SPDX-License-Identifier: MIT */
/*
 * The user way: KVM knows nothing of Hyper-V. Every access to a synthetic MSR exits to us, the
 * guest's hypercall page is ours and does port I/O, interrupts are MSIs. Works on a KVM without
 * Hyper-V emulation, and beside it on one that has it.
 */
#include "host/kvm_impl.h"

#include <cpuid.h>
#include <errno.h>
#include <hvstack/vmbus.h>
#include <string.h>

/* Ports of the hypercall page: nothing answers there on a PC. */
#define SIGNAL_PORT 0xe4u /* 4 bytes: to 0xe7 */
#define HYPERCALL_PORT 0xe8u

#define MSR_HYPERCALL 0x40000001u
#define FILTERED_MSRS (HVS_HV_MSR_LAST - HVS_HV_MSR_FIRST + 1)

#define MSR_TSC 0x10u
#define APIC_HZ 1000000000u /* KVM's APIC timer counts nanoseconds */
#define CPUID_POWER 0x80000007u
#define CPUID_POWER_EDX_INVARIANT_TSC (1u << 8)

#define CR0_PE 1u
#define EFER_LMA (1u << 10)

#define MSI_ADDRESS 0xfee00000u
#define MSI_DEST_SHIFT 12
/* APIC ids are 8 bits in an MSI, and 255 is everybody. */
#define MAX_VCPUS 255u

static bool possible(int vm_fd)
{
	return hvsi_kvm_has(vm_fd, KVM_CAP_X86_USER_SPACE_MSR) &&
	       hvsi_kvm_has(vm_fd, KVM_CAP_X86_MSR_FILTER) &&
	       hvsi_kvm_has(vm_fd, KVM_CAP_SIGNAL_MSI);
}

static bool tsc_is_invariant(void)
{
	unsigned eax;
	unsigned ebx;
	unsigned ecx;
	unsigned edx;

	/* The processor's own answer; KVM passes the property on. */
	return __get_cpuid(CPUID_POWER, &eax, &ebx, &ecx, &edx) &&
	       edx & CPUID_POWER_EDX_INVARIANT_TSC;
}

static int configure(const struct hvs_kvm_config *cfg, struct hvs_hv_config *hv)
{
	int khz;

	if (cfg->vcpu_count > MAX_VCPUS)
		return -EINVAL;
	hv->hypercall_port = HYPERCALL_PORT;
	hv->signal_port = SIGNAL_PORT;
	/* Of the VM, since Linux 5.18: there may be no vCPU yet. Without, the guest calibrates. */
	khz = hvsi_kvm_ioctl(cfg->vm_fd, KVM_GET_TSC_KHZ, NULL);
	if (khz > 0) {
		hv->tsc_hz = (uint64_t)khz * 1000;
		hv->apic_hz = APIC_HZ;
	}
	if (tsc_is_invariant())
		hv->flags |= HVS_HV_INVARIANT_TSC;
	return 0;
}

/* Deny what is ours, so that KVM, should it know these MSRs too, does not answer instead. */
static int setup(struct hvs_kvm *kvm)
{
	uint8_t denied[FILTERED_MSRS / 8] = {0};
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] =
			{
				.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
				.nmsrs = FILTERED_MSRS,
				.base = HVS_HV_MSR_FIRST,
				.bitmap = denied,
			},
	};
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] = KVM_MSR_EXIT_REASON_FILTER,
	};
	int err = hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_ENABLE_CAP, &cap);

	return err ? err : hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_X86_SET_MSR_FILTER, &filter);
}

static int vcpu_init(struct hvs_kvm *kvm, uint32_t vp)
{
	(void)kvm;
	(void)vp;
	return 0;
}

static void vcpu_fini(struct hvs_kvm *kvm, uint32_t vp)
{
	(void)kvm;
	(void)vp;
}

static int reference_time(struct hvs_kvm *kvm, uint64_t *reference)
{
	*reference = hvs_hv_reference_time(kvm->hv);
	return 0;
}

static int reset(struct hvs_kvm *kvm)
{
	(void)kvm; /* lib/hv has all of it */
	return 0;
}

/* A result above 0 or 0, "the guest's APIC is off", is the guest's business. */
static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	const struct hvs_kvm *kvm = be;
	struct kvm_msi msi = {
		.address_lo = MSI_ADDRESS | vp << MSI_DEST_SHIFT,
		.data = vector,
	};

	(void)sint;
	(void)hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_SIGNAL_MSI, &msi);
}

static uint64_t read_tsc(void *be, uint32_t vp)
{
	const struct hvs_kvm *kvm = be;
	/* A struct kvm_msrs, which ends in an array, with one entry. */
	struct {
		uint32_t count;
		uint32_t pad;
		struct kvm_msr_entry entry;
	} msrs = {.count = 1, .entry = {.index = MSR_TSC}};

	(void)hvsi_kvm_ioctl(kvm->vcpu[vp].fd, KVM_GET_MSRS, &msrs);
	return msrs.entry.data;
}

static int doorbell(struct hvs_kvm *kvm, uint32_t connection_id, int fd, bool on)
{
	struct kvm_ioeventfd bell = {
		.datamatch = connection_id,
		.addr = SIGNAL_PORT,
		.len = 4,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH |
			 (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return hvsi_kvm_ioctl(kvm->cfg.vm_fd, KVM_IOEVENTFD, &bell);
}

/* ---- exits ------------------------------------------------------------------------------ */

static bool in_long_mode(const struct kvm_sregs *sregs)
{
	return sregs->efer & EFER_LMA && sregs->cs.l;
}

/* What hypercalls need: protected mode, privilege level 0 (that of SS on all processors). */
static bool in_kernel_mode(const struct kvm_sregs *sregs)
{
	return sregs->cr0 & CR0_PE && sregs->ss.dpl == 0;
}

static int handle_rdmsr(struct hvs_kvm *kvm, uint32_t vp, struct kvm_run *run)
{
	uint64_t value = 0;

	run->msr.error = hvs_hv_msr_read(kvm->hv, vp, run->msr.index, &value) < 0;
	run->msr.data = value;
	return 1;
}

static int handle_wrmsr(struct hvs_kvm *kvm, uint32_t vp, struct kvm_run *run)
{
	bool long_mode = false;
	struct kvm_sregs sregs;
	int err;

	if (run->msr.index == MSR_HYPERCALL) {
		err = hvsi_kvm_ioctl(kvm->vcpu[vp].fd, KVM_GET_SREGS, &sregs);
		if (err)
			return err;
		long_mode = in_long_mode(&sregs);
	}
	run->msr.error =
		hvs_hv_msr_write(kvm->hv, vp, run->msr.index, run->msr.data, long_mode) < 0;
	return 1;
}

static uint64_t pair(uint64_t high, uint64_t low)
{
	return high << 32 | (uint32_t)low;
}

/* The hypercall page was called. KVM skips the OUT when the vCPU runs again: RIP stays. */
static int handle_hypercall(struct hvs_kvm *kvm, uint32_t vp)
{
	const int fd = kvm->vcpu[vp].fd;
	struct kvm_sregs sregs;
	struct kvm_regs r;
	uint64_t result;
	int err;

	err = hvsi_kvm_ioctl(fd, KVM_GET_SREGS, &sregs);
	if (!err)
		err = hvsi_kvm_ioctl(fd, KVM_GET_REGS, &r);
	if (err)
		return err;
	if (!in_kernel_mode(&sregs))
		return 0; /* a program that may use ports wrote to one */
	if (in_long_mode(&sregs)) {
		r.rax = hvs_hv_hypercall(kvm->hv, vp, r.rcx, r.rdx, r.r8);
	} else {
		result = hvs_hv_hypercall(kvm->hv, vp, pair(r.rdx, r.rax), pair(r.rbx, r.rcx),
					  pair(r.rdi, r.rsi));
		r.rdx = result >> 32;
		r.rax = (uint32_t)result;
	}
	err = hvsi_kvm_ioctl(fd, KVM_SET_REGS, &r);
	return err ? err : 1;
}

/*
 * The page's short way for HvSignalEvent, for a connection without a doorbell. The page has set
 * R11 to 0, success, and returns it.
 */
static int handle_signal(struct hvs_kvm *kvm, uint32_t vp, uint32_t connection_id)
{
	uint16_t status = hvs_vmbus_signal_event(kvm->bus, connection_id, 0);
	struct kvm_regs r;
	int err;

	if (status == HVS_HV_STATUS_SUCCESS)
		return 1;
	err = hvsi_kvm_ioctl(kvm->vcpu[vp].fd, KVM_GET_REGS, &r);
	if (err)
		return err;
	r.r11 = status;
	err = hvsi_kvm_ioctl(kvm->vcpu[vp].fd, KVM_SET_REGS, &r);
	return err ? err : 1;
}

static int handle_io(struct hvs_kvm *kvm, uint32_t vp, struct kvm_run *run)
{
	uint32_t connection_id;

	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.count != 1)
		return 0;
	if (run->io.port == HYPERCALL_PORT && run->io.size == 1)
		return handle_hypercall(kvm, vp);
	if (run->io.port == SIGNAL_PORT && run->io.size == sizeof(connection_id)) {
		memcpy(&connection_id, (const char *)run + run->io.data_offset,
		       sizeof(connection_id));
		return handle_signal(kvm, vp, connection_id);
	}
	return 0;
}

static bool is_ours(const struct kvm_run *run)
{
	return run->msr.index >= HVS_HV_MSR_FIRST && run->msr.index <= HVS_HV_MSR_LAST;
}

static int handle_exit(struct hvs_kvm *kvm, uint32_t vp, struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_io(kvm, vp, run);
	case KVM_EXIT_X86_RDMSR:
		return is_ours(run) ? handle_rdmsr(kvm, vp, run) : 0;
	case KVM_EXIT_X86_WRMSR:
		return is_ours(run) ? handle_wrmsr(kvm, vp, run) : 0;
	default:
		return 0;
	}
}

const struct hvsi_kvm_way hvsi_kvm_user = {
	.synic = HVS_KVM_SYNIC_USER,
	.possible = possible,
	.setup = setup,
	.configure = configure,
	.vcpu_init = vcpu_init,
	.vcpu_fini = vcpu_fini,
	.interrupt = interrupt,
	.read_tsc = read_tsc,
	.doorbell = doorbell,
	.handle_exit = handle_exit,
	.reference_time = reference_time,
	.reset = reset,
};
