/* SPDX-License-Identifier: MIT */
/*
 * Hyper-V devices: all that a VMM does with libhvstack is in hyperv.c, in the order of these calls.
 * Functions that return int: 0, or the exit status to end with, unless they say otherwise.
 */
#ifndef HVRUN_HYPERV_H
#define HVRUN_HYPERV_H

#include <stdbool.h>

struct kvm_cpuid2;
struct machine;
struct options;
struct vcpu;

/* The VM has its interrupt controller, its RAM and its event loop. */
int hyperv_attach(struct machine *machine, const struct options *opt);

/* Complete a CPUID table with room for max entries; once, before any vCPU gets it. */
int hyperv_cpuid(struct machine *machine, struct kvm_cpuid2 *cpuid, unsigned max);

/* A vCPU has got its CPUID; called in the order of their indexes. */
int hyperv_vcpu_init(struct machine *machine, struct vcpu *vcpu);

/* Offer the devices of the command line and start the bus: the guest is about to run. */
int hyperv_start(struct machine *machine, const struct options *opt);

/*
 * On every exit: 1 it was for a Hyper-V device and is handled, 0 it was not, -1 it failed (the
 * message is printed). On the vCPU's thread.
 */
int hyperv_handle_exit(struct vcpu *vcpu);

/* The guest is connected to VMBus. */
bool hyperv_connected(const struct machine *machine);

/* No vCPU runs any more, and the event loop has returned. Undoes all of the above. */
void hyperv_detach(struct machine *machine);

#endif
