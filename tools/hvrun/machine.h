/* SPDX-License-Identifier: MIT */
/* The virtual machine: KVM handles, RAM, vCPUs, devices, and the thread that ran main(). */
#ifndef HVRUN_MACHINE_H
#define HVRUN_MACHINE_H

#include "platform.h"
#include "ports.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console;
struct event;
struct event_base;
struct hyperv;
struct kvm_cpuid2;
struct kvm_run;
struct options;
struct serial;

/*
 * Guest physical memory: RAM, then from 3 GiB to 4 GiB a hole with the interrupt controllers and a
 * window for VMBus devices, then the rest of RAM. See also dsdt.asl.
 */
#define LOW_RAM_END (UINT64_C(3) << 30)
#define HIGH_RAM_START (UINT64_C(4) << 30)
#define MAX_RAM_REGIONS 2

struct ram_region {
	uint64_t gpa;
	uint64_t bytes;
	uint8_t *hva;
};

struct vcpu {
	struct machine *machine;
	unsigned index; /* also its APIC id and its VP index */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
};

struct machine {
	int kvm_fd;
	int vm_fd;
	int ram_fd; /* memfd: parts of RAM can be mapped a second time */
	uint8_t *ram;
	uint64_t ram_bytes;
	struct ram_region regions[MAX_RAM_REGIONS];
	size_t region_count;
	size_t run_bytes; /* size of struct kvm_run with its tail */
	struct kvm_cpuid2 *cpuid;
	struct vcpu *vcpus;
	unsigned vcpu_count;

	struct ports ports;
	struct platform platform;
	struct console *console;
	struct serial *serial;
	struct hyperv *hyperv;

	struct event_base *base; /* run by the thread that calls machine_run() */
	struct event *stop_event, *grace_event, *signal_events[3];
	int stop_fd; /* eventfd */

	atomic_int status; /* enum hvrun_status, or MACHINE_RUNNING */
	atomic_bool crashed;
	/* after a crash, of the thread that calls machine_run() */
	unsigned grace_looks;
	bool disconnected;
};

#define MACHINE_RUNNING (-1)

/*
 * Create a VM with RAM, devices and vCPUs; nothing runs yet. Call machine_destroy() whether or not
 * this succeeds.
 */
int machine_create(struct machine *machine, const struct options *opt);
void machine_destroy(struct machine *machine);

/* Run it until something stops it. Returns the exit status. */
int machine_run(struct machine *machine);

/* Ask it to stop with this exit status; the first to ask decides. Any thread. */
void machine_stop(struct machine *machine, int status);
bool machine_stopping(const struct machine *machine);

/*
 * The guest says that it crashed. It has a minute to start a dump kernel, which may run until it ends
 * by itself; the exit status is HVRUN_CRASHED all the same. Any thread.
 */
void machine_guest_crashed(struct machine *machine);

/* Host address of RAM, or NULL if [gpa, gpa + len) is not in one region. */
void *machine_ram(const struct machine *machine, uint64_t gpa, uint64_t len);

/* loop.c: what runs on the thread that called machine_run(). */
int loop_create(struct machine *machine);
void loop_destroy(struct machine *machine);

/* vcpu.c */
int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned index);
void vcpu_destroy(struct vcpu *vcpu);
int vcpu_start(struct vcpu *vcpu);
void vcpu_join(struct vcpu *vcpu); /* after machine_stop() */

#endif
