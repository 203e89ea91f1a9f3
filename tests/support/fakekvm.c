/* SPDX-License-Identifier: MIT */
#include "support/fakekvm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fakekvm fakekvm;

void fakekvm_reset(void)
{
	fakekvm = (struct fakekvm){
		.kernel_synic = true, .user_msrs = true, .direct_timers = true, .tsc_khz = 2000000};
}

uint64_t *fakekvm_msr(unsigned vp, uint32_t index)
{
	struct fakekvm_msr *m = fakekvm.msr[vp];

	for (unsigned i = 0; i < FAKEKVM_MSRS; i++)
		if (m[i].index == index || !m[i].index) {
			m[i].index = index;
			return &m[i].value;
		}
	cr_assert_fail("more MSRs than a fake KVM has");
	return NULL;
}

static int can(uintptr_t cap)
{
	switch (cap) {
	case KVM_CAP_HYPERV_SYNIC2:
	case KVM_CAP_HYPERV_EVENTFD:
	case KVM_CAP_IRQFD:
	case KVM_CAP_IRQ_ROUTING:
		return fakekvm.kernel_synic;
	case KVM_CAP_X86_USER_SPACE_MSR:
	case KVM_CAP_X86_MSR_FILTER:
	case KVM_CAP_SIGNAL_MSI:
		return fakekvm.user_msrs;
	case KVM_CAP_HYPERV_CPUID:
		return fakekvm.direct_timers;
	default:
		cr_assert_fail("nobody needs capability %u", (unsigned)cap);
		return 0;
	}
}

static int take_routes(const struct kvm_irq_routing *table)
{
	fakekvm.pins = 0;
	fakekvm.sints = 0;
	for (unsigned i = 0; i < table->nr; i++) {
		if (table->entries[i].type == KVM_IRQ_ROUTING_HV_SINT) {
			cr_assert(fakekvm.synic[table->entries[i].u.hv_sint.vcpu]);
			fakekvm.sints++;
		} else {
			fakekvm.pins++;
		}
	}
	return 0;
}

static int take_irqfd(const struct kvm_irqfd *irqfd)
{
	bool on = !(irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN);

	for (unsigned vp = 0; vp < FAKEKVM_VCPUS; vp++)
		if (on ? !fakekvm.gsi[vp] : fakekvm.gsi[vp] == irqfd->gsi) {
			fakekvm.gsi[vp] = on ? irqfd->gsi : 0;
			fakekvm.irqfd[vp] = on ? (int)irqfd->fd : -1;
			return 0;
		}
	cr_assert_fail("more, or other, irqfds than VPs");
	return -1;
}

static int take_bell(uint32_t connection_id, int fd, bool on)
{
	unsigned i = 0;

	if (on) {
		cr_assert_lt(fakekvm.bells, FAKEKVM_BELLS);
		fakekvm.bell[fakekvm.bells++] = (struct fakekvm_bell){connection_id, fd};
		return 0;
	}
	while (i < fakekvm.bells && fakekvm.bell[i].connection_id != connection_id)
		i++;
	cr_assert_lt(i, fakekvm.bells);
	fakekvm.bell[i] = fakekvm.bell[--fakekvm.bells];
	return 0;
}

static int vm_ioctl(unsigned long request, void *arg)
{
	const struct kvm_hyperv_eventfd *event = arg;
	const struct kvm_ioeventfd *io = arg;
	struct kvm_clock_data *clock = arg;
	struct kvm_msr_filter *filter = arg;

	switch (request) {
	case KVM_CHECK_EXTENSION:
		return can((uintptr_t)arg);
	case KVM_GET_TSC_KHZ:
		return fakekvm.tsc_khz;
	case KVM_ENABLE_CAP:
		return 0;
	case KVM_X86_SET_MSR_FILTER:
		fakekvm.filtered = filter->ranges[0].nmsrs;
		return 0;
	case KVM_GET_IRQCHIP:
		errno = ENXIO;
		return fakekvm.no_ioapic ? -1 : 0;
	case KVM_SET_GSI_ROUTING:
		return take_routes(arg);
	case KVM_IRQFD:
		return take_irqfd(arg);
	case KVM_SIGNAL_MSI:
		fakekvm.messages++;
		fakekvm.last_message = *(struct kvm_msi *)arg;
		return 1;
	case KVM_GET_CLOCK:
		clock->clock = fakekvm.clock_ns;
		return 0;
	case KVM_HYPERV_EVENTFD:
		return take_bell(event->conn_id, event->fd,
				 !(event->flags & KVM_HYPERV_EVENTFD_DEASSIGN));
	case KVM_IOEVENTFD:
		return take_bell((uint32_t)io->datamatch, io->fd,
				 !(io->flags & KVM_IOEVENTFD_FLAG_DEASSIGN));
	default:
		cr_assert_fail("a VM has no ioctl %lx", request);
		return -1;
	}
}

static int msrs_ioctl(unsigned vp, bool set, struct kvm_msrs *msrs)
{
	for (unsigned i = 0; i < msrs->nmsrs; i++) {
		uint64_t *value = fakekvm_msr(vp, msrs->entries[i].index);

		if (set)
			*value = msrs->entries[i].data;
		else
			msrs->entries[i].data = *value;
	}
	return (int)msrs->nmsrs - fakekvm.halfway;
}

static int vcpu_ioctl(unsigned vp, unsigned long request, void *arg)
{
	switch (request) {
	case KVM_ENABLE_CAP:
		fakekvm.synic[vp] = true;
		return 0;
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return msrs_ioctl(vp, request == KVM_SET_MSRS, arg);
	case KVM_GET_REGS:
		*(struct kvm_regs *)arg = fakekvm.regs;
		return 0;
	case KVM_SET_REGS:
		fakekvm.regs = *(struct kvm_regs *)arg;
		return 0;
	case KVM_GET_SREGS:
		*(struct kvm_sregs *)arg = fakekvm.sregs;
		return 0;
	default:
		cr_assert_fail("a vCPU has no ioctl %lx", request);
		return -1;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (fd < FAKEKVM_VM)
		return (int)syscall(SYS_ioctl, fd, request, arg);
	if (request == fakekvm.fails) {
		errno = fakekvm.error;
		return -1;
	}
	return fd == FAKEKVM_VM ? vm_ioctl(request, arg)
				: vcpu_ioctl((unsigned)(fd - FAKEKVM_VCPU), request, arg);
}
