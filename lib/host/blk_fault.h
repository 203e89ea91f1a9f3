/* SPDX-License-Identifier: MIT */
/* Between the fault filter and the parser of its rules. */
#ifndef HVSI_HOST_BLK_FAULT_H
#define HVSI_HOST_BLK_FAULT_H

#include <hvstack/host/fault.h>
#include <stdint.h>

/* All of these rules, which are right, or none: 0 or -E2BIG. */
int hvsi_fault_add_all(struct hvs_fault *fault, const struct hvs_fault_rule *rules, uint32_t count);

#endif
