/* SPDX-License-Identifier: MIT */
/*
 * What the port of a virtual switch lets pass, by the names and rules of Hyper-V's switch ports.
 * Directions are the guest's: "out" is what it sends.
 *
 * Order, out: closed port, MAC spoofing, VLAN, DHCP and router guard, access control, storm limit,
 * bandwidth. In: closed port, VLAN, access control. Headers that can't be read as far as a rule
 * needs are dropped by that rule. Of fragments the guards look at the first, without which the
 * others are of no use.
 */
#ifndef HVSTACK_PORT_H
#define HVSTACK_PORT_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_PORT_MAC_SPOOFING 0x01u /* any source address; else the NIC's own only */
#define HVS_PORT_DHCP_GUARD 0x02u   /* nothing that a DHCP or DHCPv6 server sends */
#define HVS_PORT_ROUTER_GUARD 0x04u /* no router advertisements, no redirects */
#define HVS_PORT_PRIORITY_TAG 0x08u /* the guest's 802.1p priority stays; else it is made 0 */
/*
 * Closed (network access protection): only ARP, neighbour discovery, DHCP, and what goes to or
 * comes from `remediation`.
 */
#define HVS_PORT_QUARANTINE 0x10u

/* What a port does with VLAN tags. */
enum hvs_port_vlan {
	HVS_PORT_VLAN_TRANSPARENT = 0, /* tags pass as they are */
	/* The guest sends and gets untagged frames, which are tagged vlan_id outside. A tag with a
	 * priority but no VLAN is none. */
	HVS_PORT_VLAN_ACCESS = 1,
	/* Tags of `trunk` pass; untagged frames of the guest are tagged vlan_id outside. 0: they pass
	 * untagged. Second tags pass behind one of `trunk` only. */
	HVS_PORT_VLAN_TRUNK = 2,
};

/* What a rule does with the frames that match. */
enum hvs_port_action {
	HVS_PORT_ALLOW = 1,
	HVS_PORT_DENY = 2,
	HVS_PORT_METER = 3, /* allow, and count */
};

/* As the guest sees it: what it receives, what it sends. */
enum hvs_port_direction {
	HVS_PORT_IN = 1,
	HVS_PORT_OUT = 2,
	HVS_PORT_BOTH = 3,
};

/* What an address of a rule is. */
enum hvs_port_address_kind {
	HVS_PORT_ANY = 0, /* every frame */
	HVS_PORT_MAC = 1,
	HVS_PORT_IP4 = 2,
	HVS_PORT_IP6 = 3,
};

/* MAC: all 48 bits count. Layout fixed. */
struct hvs_port_address {
	uint8_t kind;        /* enum hvs_port_address_kind */
	uint8_t prefix;      /* bits that count: IPv4 0..32, IPv6 0..128; else 0 */
	uint8_t reserved[2]; /* 0 */
	uint8_t bytes[16];   /* network order, the first 4, 6 or 16 */
};

/*
 * MAC rules and IP rules are two lists (rules of HVS_PORT_ANY are in both): a frame passes if neither
 * denies it. Among those of one list that match, the longest prefix wins, local's and remote's
 * together; of equals DENY, then METER. ARP counts as IPv4 with its addresses.
 *
 * So what denies every frame can only be overcome by both lists: to deny all IP addresses but some,
 * deny IP4 and IP6 with a prefix of 0.
 *
 * Layout fixed.
 */
struct hvs_port_rule {
	uint8_t action;                 /* enum hvs_port_action */
	uint8_t direction;              /* enum hvs_port_direction */
	uint8_t reserved[2];            /* 0 */
	struct hvs_port_address local;  /* the guest's */
	struct hvs_port_address remote; /* who it talks to; its kind is local's, or either is ANY */
};

#define HVS_PORT_MAX_RULES 1024u /* of a policy */

struct hvs_port_policy {
	uint32_t size;
	uint32_t flags;     /* HVS_PORT_* */
	uint32_t vlan;      /* enum hvs_port_vlan */
	uint16_t vlan_id;   /* 1..4094; TRUNK: or 0; TRANSPARENT: 0 */
	uint16_t reserved;  /* 0 */
	uint64_t trunk[64]; /* bit n % 64 of element n / 64: VLAN n, 1..4094 */
	/* What the guest may send: bits of frames a second, at least 8,000; 0: no limit. It waits,
	 * nothing is dropped. */
	uint64_t max_bits_per_second;
	/* Broadcast and multicast frames a second that the guest may send, those of a second at
	 * once; 0: no limit. */
	uint32_t max_storm_frames;
	uint32_t rule_count;               /* up to HVS_PORT_MAX_RULES */
	const struct hvs_port_rule *rules; /* copied */
	/* With HVS_PORT_QUARANTINE; IPv4 and IPv6 only. Copied. */
	const struct hvs_port_address *remediation;
	uint32_t remediation_count; /* up to HVS_PORT_MAX_RULES */
	uint32_t reserved2;         /* 0 */
};
#define HVS_PORT_POLICY_INIT .size = (uint32_t)sizeof(struct hvs_port_policy)

/* Frames that were dropped, by what; and what HVS_PORT_METER counted. Layout fixed. */
struct hvs_port_counters {
	uint64_t quarantine;         /* HVS_PORT_QUARANTINE */
	uint64_t mac_spoofing;       /* from an address that is not the NIC's */
	uint64_t vlan;               /* of another VLAN */
	uint64_t dhcp_guard;         /* HVS_PORT_DHCP_GUARD */
	uint64_t router_guard;       /* HVS_PORT_ROUTER_GUARD */
	uint64_t denied;             /* by a rule */
	uint64_t storm;              /* over the limit of broadcasts */
	uint64_t metered_out_frames; /* HVS_PORT_METER, from the guest; passed */
	uint64_t metered_out_bytes;
	uint64_t metered_in_frames; /* to the guest; passed */
	uint64_t metered_in_bytes;
};

#ifdef __cplusplus
}
#endif
#endif
