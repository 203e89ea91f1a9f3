/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_ECHO_VSP_H
#define EXAMPLES_ECHO_VSP_H

#include <hvstack/vmbus.h>

/* Offer the echo device. One per bus. Returns as hvs_device_offer(). */
int echo_offer(struct hvs_vmbus *bus);

#endif
