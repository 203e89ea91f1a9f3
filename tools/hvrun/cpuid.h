/* SPDX-License-Identifier: MIT */
/* What CPUID tells the guest: one package of single-threaded cores, APIC ids from 0. */
#ifndef HVRUN_CPUID_H
#define HVRUN_CPUID_H

#include <stdbool.h>
#include <stdint.h>

struct kvm_cpuid2;

/* Room in the table, for KVM's entries, ours, and those of the Hyper-V interface. */
#define CPUID_MAX_ENTRIES 256u

/*
 * All that this KVM and CPU support, without nested virtualization and without a hypervisor's
 * leaves. free() it.
 */
int cpuid_create(struct kvm_cpuid2 **out, int kvm_fd, unsigned cpu_count);

/* Make it the table of the vCPU with this APIC id. */
void cpuid_set_apic_id(struct kvm_cpuid2 *cpuid, uint32_t apic_id);

bool cpuid_is_intel(const struct kvm_cpuid2 *cpuid);

#endif
