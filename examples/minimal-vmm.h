/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_MINIMAL_VMM_H
#define EXAMPLES_MINIMAL_VMM_H

#include <hvstack/blockdev.h>

/* A machine with this disk: runs the guest of guest.h, from start to end. 0 or a negative errno. */
int vmm_run(const struct hvs_blk_ops *ops, void *disk);

#endif
