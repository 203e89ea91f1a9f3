/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_PLAYED_VCPU_H
#define EXAMPLES_PLAYED_VCPU_H

#include <hvstack/hv.h>

/*
 * Run the guest of guest.h without a processor of its own: what it does that would be an exit is a call
 * here. ram is guest physical memory from address 0 on, zeroed; wait() is called with arg when the
 * guest has nothing to do until the host has acted. 0 or a negative errno.
 */
int vcpu_run(struct hvs_hv *hv, unsigned char *ram, size_t ram_bytes, void (*wait)(void *arg),
	     void *arg);

#endif
