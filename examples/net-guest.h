/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_NET_GUEST_H
#define EXAMPLES_NET_GUEST_H

#include <hvstack/guest/loopback.h>

#define NET_GUEST_FRAMES 1000u

/* Send frames to the adapter with this address, which have to come back to it. 0 or a negative errno. */
int net_guest_run(struct hvs_guest *g, struct hvs_loopback *lb, const uint8_t mac[6]);

#endif
