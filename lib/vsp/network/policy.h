/* SPDX-License-Identifier: MIT */
/*
 * Policy of a switch port (hvstack/port.h): compiled once, then verdicts on parsed headers. A policy
 * does not change; what does (counters, what a limit has seen) is the port's, which outlives it.
 */
#ifndef HVSI_NETWORK_POLICY_H
#define HVSI_NETWORK_POLICY_H

#include "vsp/network/frame.h"

#include <hvstack/port.h>
#include <hvstack/types.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hvsi_policy;

/* A port's state, shared by all queues. Begins as zeroes. */
struct hvsi_port {
	struct {
		atomic_uint_least64_t quarantine;
		atomic_uint_least64_t mac_spoofing;
		atomic_uint_least64_t vlan;
		atomic_uint_least64_t dhcp_guard;
		atomic_uint_least64_t router_guard;
		atomic_uint_least64_t denied;
		atomic_uint_least64_t storm;
		atomic_uint_least64_t metered_out_frames;
		atomic_uint_least64_t metered_out_bytes;
		atomic_uint_least64_t metered_in_frames;
		atomic_uint_least64_t metered_in_bytes;
	} counters;
	/* When what passed is paid for, in 1/64 ns of the caller's clock. */
	atomic_uint_least64_t bandwidth;
	atomic_uint_least64_t storm;
};

/*
 * Compile a policy; NULL: the one that NICs begin with, that is all members 0.
 *
 * 0, -EINVAL (a member out of range), -ENOTSUP (unknown members set), -ENOMEM.
 */
int hvsi_policy_create(const struct hvs_allocator *a, const struct hvs_port_policy *from,
		       struct hvsi_policy **out);

/* NULL is allowed. */
void hvsi_policy_destroy(struct hvsi_policy *p);

/* hvsi_policy_out() and hvsi_policy_wait() look at now_ns: fetch it, else 0 will do. */
bool hvsi_policy_needs_clock(const struct hvsi_policy *p);

/*
 * May the guest send this frame? mac: the NIC's address now. h's tag (tagged, vlan_tci) becomes that
 * outside; one that is among the bytes must have been pulled. A frame to be segmented counts
 * as one. now_ns: of a clock that never goes back.
 *
 * false: it is dropped, and counted.
 */
bool hvsi_policy_out(const struct hvsi_policy *p, struct hvsi_port *port, struct hvsi_headers *h,
		     const uint8_t mac[HVSI_MAC_BYTES], uint64_t now_ns);

/*
 * May the guest have this frame? h's tag becomes what the guest is to see (tagged, vlan_tci). If it
 * is among the bytes (tag_inline) it still is. false: it is dropped, and counted. metered: say so
 * with hvsi_port_meter_in() when it gets there, since it may be offered again.
 */
bool hvsi_policy_in(const struct hvsi_policy *p, struct hvsi_port *port, struct hvsi_headers *h,
		    bool *metered);
void hvsi_port_meter_in(struct hvsi_port *port, uint32_t bytes);

/*
 * Nanoseconds until the guest may send again; 0: now. Ask before taking frames from it: those that
 * are then taken pass, and are charged by hvsi_policy_out().
 */
uint64_t hvsi_policy_wait(const struct hvsi_policy *p, const struct hvsi_port *port,
			  uint64_t now_ns);

/* Another policy is in force: what its limits allow begins anew. */
static inline void hvsi_port_new_policy(struct hvsi_port *port)
{
	atomic_store_explicit(&port->bandwidth, 0, memory_order_relaxed);
	atomic_store_explicit(&port->storm, 0, memory_order_relaxed);
}

void hvsi_port_get_counters(const struct hvsi_port *port, struct hvs_port_counters *out);

#endif
