/* SPDX-License-Identifier: MIT */
/*
 * A KVM that remembers what it was asked and runs nothing: the program that links it answers
 * ioctl() on these descriptors itself. All others go to the kernel.
 */
#ifndef TESTS_SUPPORT_FAKEKVM_H
#define TESTS_SUPPORT_FAKEKVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKEKVM_VM 100000
#define FAKEKVM_VCPU 100001 /* of VP 0; the others follow */
#define FAKEKVM_VCPUS 2u
#define FAKEKVM_MSRS 64u
#define FAKEKVM_BELLS 4u

struct fakekvm_msr {
	uint32_t index;
	uint64_t value;
};

struct fakekvm_bell {
	uint32_t connection_id;
	int fd;
};

extern struct fakekvm {
	bool kernel_synic;
	bool user_msrs;
	bool direct_timers;
	bool no_ioapic;
	int tsc_khz;
	uint64_t clock_ns;
	/* This request fails so, the others do not. */
	unsigned long fails;
	int error;
	bool halfway; /* KVM_GET_MSRS and KVM_SET_MSRS do one less than they are asked to */
	struct fakekvm_msr msr[FAKEKVM_VCPUS][FAKEKVM_MSRS];
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	bool synic[FAKEKVM_VCPUS];
	unsigned pins;
	unsigned sints;
	uint32_t gsi[FAKEKVM_VCPUS]; /* of an irqfd; 0: there is none */
	int irqfd[FAKEKVM_VCPUS];
	uint32_t filtered; /* MSRs, from 0x40000000 on */
	unsigned messages; /* interrupts sent as such */
	struct kvm_msi last_message;
	struct fakekvm_bell bell[FAKEKVM_BELLS];
	unsigned bells;
} fakekvm;

/* One that can do all, and has done nothing. */
void fakekvm_reset(void);

/* 0 as long as nobody has set it. */
uint64_t *fakekvm_msr(unsigned vp, uint32_t index);

#endif
