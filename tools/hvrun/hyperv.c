/* SPDX-License-Identifier: MIT */
/*
 * The whole integration of libhvstack. No other file of hvrun knows the library.
 *
 * Not there yet: each function names the library call that belongs into it.
 */
#include "hyperv.h"

#include "machine.h"
#include "options.h"

/*
 * hvs_kvm_create() with vm_fd, vcpu_count, opt->synic and base; crash -> machine_guest_crashed();
 * hvs_mem_add() for each of machine->regions.
 */
int hyperv_attach(struct machine *machine, const struct options *opt)
{
	(void)machine;
	(void)opt;
	return 0;
}

/* hvs_kvm_cpuid() */
int hyperv_cpuid(struct machine *machine, struct kvm_cpuid2 *cpuid, unsigned max)
{
	(void)machine;
	(void)cpuid;
	(void)max;
	return 0;
}

/* hvs_kvm_vcpu_init() */
int hyperv_vcpu_init(struct machine *machine, struct vcpu *vcpu)
{
	(void)machine;
	(void)vcpu;
	return 0;
}

/* A SCSI controller with opt->disks (hvs_filedisk_open()), then hvs_vmbus_start(). */
int hyperv_start(struct machine *machine, const struct options *opt)
{
	(void)machine;
	(void)opt;
	return 0;
}

/* hvs_kvm_handle_exit() */
int hyperv_handle_exit(struct vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}

/*
 * hvs_vmbus_reset(), run machine->base until it is done, then destroy. May find machine->hyperv
 * NULL: attach failed or was never reached.
 */
void hyperv_detach(struct machine *machine)
{
	(void)machine;
}
