/* SPDX-License-Identifier: MIT */
/* The guest: one that uses the devices of host.h, over the loopback. All of it true, or not. */
#ifndef BARE_METAL_GUEST_H
#define BARE_METAL_GUEST_H

#include "host.h"

#include <hvstack/guest/loopback.h>

bool guest_connects(void);
bool guest_uses_disk(void); /* what it writes it reads again */
bool guest_uses_network(void);
bool guest_exchanges_frame(unsigned number); /* from 1, as counted by both sides */
bool guest_has_heartbeat(void);
bool guest_answers_beat(unsigned number);
bool guest_breaks_protocol(void); /* on the disk's channel; and the host has seen it */
void guest_ends(void);

#endif
