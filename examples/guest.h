/* SPDX-License-Identifier: MIT */
/* The guest of minimal-vmm.c: a driver of the synthetic SCSI controller, on one VP. */
#ifndef EXAMPLES_GUEST_H
#define EXAMPLES_GUEST_H

#include <hvstack/hv.h>

/*
 * Boot: enable hypercalls and SynIC, connect, open the controller, write a block of its first
 * disk, read it back. ram is guest physical memory from address 0 on, zeroed; wait() is called
 * with arg when there is nothing to do until the host has acted. 0 or a negative errno.
 */
int guest_run(struct hvs_hv *hv, unsigned char *ram, size_t ram_bytes, void (*wait)(void *arg),
	      void *arg);

#endif
