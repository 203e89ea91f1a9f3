/* SPDX-License-Identifier: MIT */
/* Policies behind an interface that C++ can include: theirs has C's atomics. */
#ifndef BENCH_NET_PORT_H
#define BENCH_NET_PORT_H

#include "vsp/network/frame.h"

enum port_rules {
	PORT_NO_RULES,  /* the policy that NICs begin with */
	PORT_HOSTS4,    /* 1,024 remote IPv4 addresses */
	PORT_PREFIXES4, /* ... of every length of prefix */
	PORT_PREFIXES6, /* ... of IPv6 */
	PORT_PAIRS4,    /* prefixes of both sides: no two rules have the same lengths */
	PORT_GUARDS,    /* no rules; all guards, a VLAN and both limits */
};

struct port;

struct port *port_create(enum port_rules rules);
void port_destroy(struct port *p);
bool port_out(struct port *p, struct hvsi_headers *h, uint64_t now_ns);

#endif
