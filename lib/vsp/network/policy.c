/* SPDX-License-Identifier: MIT */
/* Verdicts. */
#include "vsp/network/policy.h"

#include "util/le.h"
#include "vsp/network/policy_impl.h"

#include <string.h>

#define PORT_DHCP_SERVER 67u
#define PORT_DHCP_CLIENT 68u
#define PORT_DHCP6_CLIENT 546u
#define PORT_DHCP6_SERVER 547u
#define DHCP_REPLY 2u /* op */
#define DHCP6_ADVERTISE 2u
#define DHCP6_REPLY 7u
#define DHCP6_RECONFIGURE 10u
#define DHCP6_RELAY_REPLY 13u

#define ICMP_REDIRECT 5u
#define ICMP_ROUTER 9u
#define ICMP6_ROUTER_SOLICITATION 133u
#define ICMP6_ROUTER 134u
#define ICMP6_NEIGHBOUR_SOLICITATION 135u
#define ICMP6_NEIGHBOUR 136u
#define ICMP6_REDIRECT 137u

#define VID 0x0fffu
#define PRIORITY 0xe000u

#define TICKS_PER_SECOND (UINT64_C(1000000000) * HVSI_TICKS_PER_NS)
/* So much may be sent at once by somebody who was silent: what timers are late. */
#define BURST (TICKS_PER_SECOND / 200)

static void count(atomic_uint_least64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static bool drop(atomic_uint_least64_t *counter)
{
	count(counter, 1);
	return false;
}

/* ---- rules --------------------------------------------------------------------------------------- */

static struct hvsi_acl_key key_of(const struct hvsi_headers *h, enum hvsi_acl_kind kind, bool out)
{
	const uint8_t *l3 = h->bytes + h->l3_off;
	const unsigned from = out ? 0 : 2; /* the local one is first */
	const unsigned to = 2 - from;
	struct hvsi_acl_key k = {0};

	switch (kind) {
	case HVSI_ACL_MAC:
		k.v[to] = hvsi_get_be64(h->bytes) >> 16;
		k.v[from] =
			(uint64_t)hvsi_get_be16(h->bytes + 6) << 32 | hvsi_get_be32(h->bytes + 8);
		break;
	case HVSI_ACL_IP6:
		k.v[from] = hvsi_get_be64(l3 + 16);
		k.v[from + 1] = hvsi_get_be64(l3 + 8);
		k.v[to] = hvsi_get_be64(l3 + 32);
		k.v[to + 1] = hvsi_get_be64(l3 + 24);
		break;
	default:
		k.v[from] = hvsi_get_be32(l3 + (h->flags & HVSI_FRAME_ARP ? 14 : 12));
		k.v[to] = hvsi_get_be32(l3 + (h->flags & HVSI_FRAME_ARP ? 24 : 16));
		break;
	}
	return k;
}

static uint8_t find(const struct hvsi_policy *p, const struct hvsi_acl_group *g,
		    const struct hvsi_acl_key *key)
{
	const struct hvsi_acl_key masked = hvsi_acl_masked(key, &g->mask);
	uint32_t n = hvsi_acl_hash(&masked, g->shift);
	uint16_t index;

	while ((index = p->slots[g->slot + n]) != 0) {
		const struct hvsi_acl_entry *e = &p->entries[index - 1];

		if (hvsi_acl_equal(&e->key, &masked))
			return e->action;
		n = (n + 1) & (g->slots - 1);
	}
	return HVSI_ACL_NONE;
}

/* any: what rules without addresses say. */
static uint8_t look_up(const struct hvsi_policy *p, const struct hvsi_acl_table *t,
		       const struct hvsi_acl_key *key, uint8_t any)
{
	const struct hvsi_acl_group *g = p->groups + t->group;
	uint8_t best = HVSI_ACL_NONE;
	uint16_t specific = 0;

	for (const struct hvsi_acl_group *end = g + t->groups; g < end; g++) {
		uint8_t action;

		if (best && g->specific < specific)
			break;
		action = find(p, g, key);
		if (action)
			specific = g->specific;
		if (action > best)
			best = action;
	}
	return specific || best > any ? best : any;
}

static uint8_t rules_for_mac(const struct hvsi_policy *p, const struct hvsi_headers *h, bool out)
{
	struct hvsi_acl_key key;

	if (!p->rules[out][HVSI_ACL_MAC].groups)
		return p->any[out];
	key = key_of(h, HVSI_ACL_MAC, out);
	return look_up(p, &p->rules[out][HVSI_ACL_MAC], &key, p->any[out]);
}

static uint8_t rules_for_ip(const struct hvsi_policy *p, const struct hvsi_headers *h, bool out)
{
	enum hvsi_acl_kind kind;
	struct hvsi_acl_key key;

	if (h->flags & (HVSI_FRAME_IP4 | HVSI_FRAME_ARP)) {
		kind = HVSI_ACL_IP4;
	} else if (h->flags & HVSI_FRAME_IP6) {
		kind = HVSI_ACL_IP6;
	} else {
		const bool wanted =
			p->rules[out][HVSI_ACL_IP4].groups || p->rules[out][HVSI_ACL_IP6].groups;

		return h->flags & HVSI_FRAME_UNREADABLE && wanted ? HVSI_ACL_DENY : p->any[out];
	}
	if (!p->rules[out][kind].groups)
		return p->any[out];
	key = key_of(h, kind, out);
	return look_up(p, &p->rules[out][kind], &key, p->any[out]);
}

static bool rules_pass(const struct hvsi_policy *p, const struct hvsi_headers *h, bool out,
		       bool *metered)
{
	const uint8_t mac = rules_for_mac(p, h, out);
	const uint8_t ip = rules_for_ip(p, h, out);

	*metered = mac == HVSI_ACL_METER || ip == HVSI_ACL_METER;
	return mac != HVSI_ACL_DENY && ip != HVSI_ACL_DENY;
}

/* ---- closed ports -------------------------------------------------------------------------------- */

static bool is_remediation(const struct hvsi_policy *p, const struct hvsi_headers *h, bool out)
{
	enum hvsi_acl_kind kind = HVSI_ACL_IP4;
	struct hvsi_acl_key key;

	if (h->flags & HVSI_FRAME_IP6)
		kind = HVSI_ACL_IP6;
	else if (!(h->flags & HVSI_FRAME_IP4))
		return false;
	key = key_of(h, kind, out);
	return look_up(p, &p->remediation[kind], &key, HVSI_ACL_NONE) == HVSI_ACL_ALLOW;
}

static bool is_udp(const struct hvsi_headers *h, uint16_t from, uint16_t to)
{
	const uint8_t *udp = h->bytes + h->l4_off;

	return hvsi_get_be16(udp) == from && hvsi_get_be16(udp + 2) == to;
}

static bool passes_closed(const struct hvsi_policy *p, const struct hvsi_headers *h, bool out)
{
	uint8_t type;

	if (h->flags & HVSI_FRAME_ARP || is_remediation(p, h, out))
		return true;
	if (!h->l4_off)
		return false;
	if (h->protocol == HVSI_PROTO_UDP && h->flags & HVSI_FRAME_IP4)
		return out ? is_udp(h, PORT_DHCP_CLIENT, PORT_DHCP_SERVER)
			   : is_udp(h, PORT_DHCP_SERVER, PORT_DHCP_CLIENT);
	if (h->protocol == HVSI_PROTO_UDP)
		return out ? is_udp(h, PORT_DHCP6_CLIENT, PORT_DHCP6_SERVER)
			   : is_udp(h, PORT_DHCP6_SERVER, PORT_DHCP6_CLIENT);
	if (h->protocol != HVSI_PROTO_ICMP6)
		return false;
	type = h->bytes[h->l4_off];
	return type == ICMP6_NEIGHBOUR_SOLICITATION || type == ICMP6_NEIGHBOUR ||
	       type == (out ? ICMP6_ROUTER_SOLICITATION : ICMP6_ROUTER);
}

/* ---- guards -------------------------------------------------------------------------------------- */

/*
 * Might be of that protocol, but nobody can say what its header contains. Later fragments are of no
 * use without the first, which is looked at.
 */
static bool hidden(const struct hvsi_headers *h, uint8_t protocol)
{
	if (h->flags & HVSI_FRAME_LATER)
		return false;
	if (h->flags & HVSI_FRAME_PROTOCOL)
		return h->protocol == protocol && !h->l4_off;
	return h->flags & HVSI_FRAME_UNREADABLE && h->ethertype != HVSI_TYPE_ARP;
}

/* First byte of a datagram, which says who sends it; `reply` if it can't be read. */
static uint8_t first_byte(const struct hvsi_headers *h, uint8_t reply)
{
	if (h->payload_off >= h->copied || h->payload_off >= h->end)
		return reply;
	return h->bytes[h->payload_off];
}

/* Clients and relays are told by the port or the message; what port it comes from, any can say. */
static bool is_dhcp_server(const struct hvsi_headers *h)
{
	uint16_t to;
	uint8_t op;

	if (h->protocol != HVSI_PROTO_UDP || !h->l4_off)
		return false;
	to = hvsi_get_be16(h->bytes + h->l4_off + 2);
	if (h->flags & HVSI_FRAME_IP4)
		return to == PORT_DHCP_CLIENT ||
		       (to == PORT_DHCP_SERVER && first_byte(h, DHCP_REPLY) == DHCP_REPLY);
	if (to != PORT_DHCP6_SERVER)
		return to == PORT_DHCP6_CLIENT;
	op = first_byte(h, DHCP6_REPLY);
	return op == DHCP6_ADVERTISE || op == DHCP6_REPLY || op == DHCP6_RECONFIGURE ||
	       op == DHCP6_RELAY_REPLY;
}

static bool dhcp_passes(const struct hvsi_headers *h)
{
	return !hidden(h, HVSI_PROTO_UDP) && !is_dhcp_server(h);
}

static bool router_passes(const struct hvsi_headers *h)
{
	const bool ip4 = h->flags & HVSI_FRAME_IP4;
	const uint8_t icmp = ip4 ? HVSI_PROTO_ICMP : HVSI_PROTO_ICMP6;
	uint8_t type;

	if (hidden(h, icmp))
		return false;
	if (h->protocol != icmp || !h->l4_off)
		return true;
	type = h->bytes[h->l4_off];
	if (ip4)
		return type != ICMP_REDIRECT && type != ICMP_ROUTER;
	return type != ICMP6_ROUTER && type != ICMP6_REDIRECT;
}

/* ---- VLANs --------------------------------------------------------------------------------------- */

static bool in_trunk(const struct hvsi_policy *p, uint16_t vid)
{
	return p->trunk[vid / 64] >> vid % 64 & 1;
}

/*
 * A tag without a VLAN is none, but for the priority. What is tagged again behind it, or behind
 * nothing, would be taken for a frame of the inner VLAN once the outer tag is gone.
 */
static bool vlan_out(const struct hvsi_policy *p, struct hvsi_headers *h)
{
	const uint16_t vid = h->tagged ? h->vlan_tci & VID : 0;

	if (vid && p->vlan == HVS_PORT_VLAN_TRUNK)
		return in_trunk(p, vid);
	if (vid || h->inner_tags)
		return false;
	if (p->vlan_id) {
		h->vlan_tci = (uint16_t)((h->tagged ? h->vlan_tci : 0) | p->vlan_id);
		h->tagged = true;
	}
	return true;
}

static bool vlan_in(const struct hvsi_policy *p, struct hvsi_headers *h)
{
	const uint16_t vid = h->tagged ? h->vlan_tci & VID : 0;

	if (vid != p->vlan_id)
		return p->vlan == HVS_PORT_VLAN_TRUNK && vid && in_trunk(p, vid);
	if (h->inner_tags)
		return false;
	if (vid) {
		h->tagged = false;
		h->vlan_tci = 0;
	}
	return true;
}

/* ---- limits -------------------------------------------------------------------------------------- */

/* Pay for something: if that is paid for within `most` from now on. */
static bool charge(atomic_uint_least64_t *paid, uint64_t now, uint64_t cost, uint64_t most)
{
	uint64_t was = atomic_load_explicit(paid, memory_order_relaxed);
	uint64_t then;

	do {
		then = (was > now ? was : now) + cost;
		if (then - now > most)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(paid, &was, then, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static bool storm_passes(const struct hvsi_policy *p, struct hvsi_port *port,
			 const struct hvsi_headers *h, uint64_t now)
{
	const bool group = h->bytes[0] & 1;

	return !group || charge(&port->storm, now, p->frame_cost, TICKS_PER_SECOND);
}

uint64_t hvsi_policy_wait(const struct hvsi_policy *p, const struct hvsi_port *port,
			  uint64_t now_ns)
{
	const uint64_t now = now_ns * HVSI_TICKS_PER_NS;
	uint64_t paid;

	if (!(p->out & HVSI_CHECK_BANDWIDTH))
		return 0;
	paid = atomic_load_explicit(&port->bandwidth, memory_order_relaxed);
	if (paid <= now + BURST)
		return 0;
	return (paid - now - BURST + HVSI_TICKS_PER_NS - 1) / HVSI_TICKS_PER_NS;
}

bool hvsi_policy_needs_clock(const struct hvsi_policy *p)
{
	return p->out & (HVSI_CHECK_STORM | HVSI_CHECK_BANDWIDTH);
}

/* ---- verdicts ------------------------------------------------------------------------------------ */

static void meter_out(struct hvsi_port *port, const struct hvsi_headers *h)
{
	count(&port->counters.metered_out_frames, 1);
	count(&port->counters.metered_out_bytes, h->len);
}

/* Who sends it, and where to. */
static bool out_addresses(const struct hvsi_policy *p, struct hvsi_port *port,
			  struct hvsi_headers *h, const uint8_t mac[HVSI_MAC_BYTES])
{
	const uint16_t checks = p->out;

	if (checks & HVSI_CHECK_QUARANTINE && !passes_closed(p, h, true))
		return drop(&port->counters.quarantine);
	if (checks & HVSI_CHECK_MAC && memcmp(h->bytes + HVSI_MAC_BYTES, mac, HVSI_MAC_BYTES) != 0)
		return drop(&port->counters.mac_spoofing);
	if (checks & HVSI_CHECK_PRIORITY && h->tagged)
		h->vlan_tci &= (uint16_t)~PRIORITY;
	if (checks & HVSI_CHECK_VLAN && !vlan_out(p, h))
		return drop(&port->counters.vlan);
	return true;
}

/* What it is. */
static bool out_contents(const struct hvsi_policy *p, struct hvsi_port *port,
			 const struct hvsi_headers *h, uint64_t now)
{
	const uint16_t checks = p->out;
	bool metered = false;

	if (checks & HVSI_CHECK_DHCP && !dhcp_passes(h))
		return drop(&port->counters.dhcp_guard);
	if (checks & HVSI_CHECK_ROUTER && !router_passes(h))
		return drop(&port->counters.router_guard);
	if (checks & HVSI_CHECK_RULES && !rules_pass(p, h, true, &metered))
		return drop(&port->counters.denied);
	if (checks & HVSI_CHECK_STORM && !storm_passes(p, port, h, now))
		return drop(&port->counters.storm);
	if (checks & HVSI_CHECK_BANDWIDTH)
		(void)charge(&port->bandwidth, now, h->len * p->byte_cost >> HVSI_COST_SHIFT,
			     UINT64_MAX);
	if (metered)
		meter_out(port, h);
	return true;
}

bool hvsi_policy_out(const struct hvsi_policy *p, struct hvsi_port *port, struct hvsi_headers *h,
		     const uint8_t mac[HVSI_MAC_BYTES], uint64_t now_ns)
{
	return out_addresses(p, port, h, mac) &&
	       out_contents(p, port, h, now_ns * HVSI_TICKS_PER_NS);
}

bool hvsi_policy_in(const struct hvsi_policy *p, struct hvsi_port *port, struct hvsi_headers *h,
		    bool *metered)
{
	const uint16_t checks = p->in;

	*metered = false;
	if (checks & HVSI_CHECK_QUARANTINE && !passes_closed(p, h, false))
		return drop(&port->counters.quarantine);
	if (checks & HVSI_CHECK_VLAN && !vlan_in(p, h))
		return drop(&port->counters.vlan);
	if (checks & HVSI_CHECK_RULES && !rules_pass(p, h, false, metered))
		return drop(&port->counters.denied);
	return true;
}

void hvsi_port_meter_in(struct hvsi_port *port, uint32_t bytes)
{
	count(&port->counters.metered_in_frames, 1);
	count(&port->counters.metered_in_bytes, bytes);
}

void hvsi_port_get_counters(const struct hvsi_port *port, struct hvs_port_counters *out)
{
#define GET(name) out->name = atomic_load_explicit(&port->counters.name, memory_order_relaxed)
	GET(quarantine);
	GET(mac_spoofing);
	GET(vlan);
	GET(dhcp_guard);
	GET(router_guard);
	GET(denied);
	GET(storm);
	GET(metered_out_frames);
	GET(metered_out_bytes);
	GET(metered_in_frames);
	GET(metered_in_bytes);
#undef GET
}
