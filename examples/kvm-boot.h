/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_KVM_BOOT_H
#define EXAMPLES_KVM_BOOT_H

#include <stdint.h>

/* Load an ELF program that needs no relocation, and have the vCPU begin with it: in 64-bit mode, with
 * addresses as they are, interrupts off, and its stack at the end of RAM. */
void kvm_boot(int vcpu, unsigned char *ram, uint64_t ram_bytes, const char *path);

#endif
