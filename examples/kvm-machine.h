/* SPDX-License-Identifier: MIT */
/* What any VMM on KVM has: a machine with RAM and a vCPU. These functions end the program if they fail. */
#ifndef EXAMPLES_KVM_MACHINE_H
#define EXAMPLES_KVM_MACHINE_H

#include <linux/kvm.h>
#include <stdint.h>

#define CPUID_MAX 200u

struct machine {
	int kvm;
	int vm;
	int vcpu;
	unsigned char *ram; /* from address 0 on */
	uint64_t ram_bytes;
	struct kvm_run *run;      /* of the vCPU */
	struct kvm_cpuid2 *cpuid; /* with room for CPUID_MAX entries */
};

/* VM, interrupt controller, RAM, and what KVM can do as CPUID table. */
void machine_create(struct machine *m, uint64_t ram_bytes);

/* With the CPUID table as it is now. */
void machine_create_vcpu(struct machine *m);

/*
 * Load an ELF program that needs no relocation, and have the vCPU begin with it: in 64-bit mode, with
 * addresses as they are, interrupts off, and its stack at the end of RAM.
 */
void machine_load(struct machine *m, const char *path);

#endif
