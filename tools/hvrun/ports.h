/* SPDX-License-Identifier: MIT */
/* Port I/O: which device answers which port. */
#ifndef HVRUN_PORTS_H
#define HVRUN_PORTS_H

#include <stddef.h>
#include <stdint.h>

struct kvm_run;

#define PORTS_MAX 8

/* A device's ports. Called on vCPU threads, several at a time: the device does its own locking. */
struct port_range {
	uint16_t first;
	uint16_t count;
	uint32_t (*in)(void *device, uint16_t port); /* excess upper bytes are cut off */
	void (*out)(void *device, uint16_t port, uint32_t value);
	void *device;
};

struct ports {
	struct port_range ranges[PORTS_MAX];
	size_t count;
};

void ports_add(struct ports *ports, const struct port_range *range);

/* Carry out a KVM_EXIT_IO. Nobody home: reads give all ones, writes vanish. */
void ports_handle_exit(const struct ports *ports, struct kvm_run *run);

#endif
