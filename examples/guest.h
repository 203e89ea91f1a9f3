/* SPDX-License-Identifier: MIT */
/* The guest of minimal-vmm.c and kvm-vmm.c: a driver of the synthetic SCSI controller, on one VP. */
#ifndef EXAMPLES_GUEST_H
#define EXAMPLES_GUEST_H

#include <hvstack/guest/guest.h>

/*
 * Boot: enable hypercalls and SynIC, connect, open the controller, write a block of its first disk and
 * have it made durable, read it back. 0 or a negative errno.
 */
int guest_run(const struct hvs_guest_ops *machine, void *pf);

#endif
