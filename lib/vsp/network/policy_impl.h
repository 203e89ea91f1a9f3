/* SPDX-License-Identifier: MIT */
/* A compiled policy. */
#ifndef HVSI_NETWORK_POLICY_IMPL_H
#define HVSI_NETWORK_POLICY_IMPL_H

#include "vsp/network/policy.h"

#include <stddef.h>

/* What has to be looked at at all. */
#define HVSI_CHECK_QUARANTINE 0x01u
#define HVSI_CHECK_MAC 0x02u
#define HVSI_CHECK_PRIORITY 0x04u
#define HVSI_CHECK_VLAN 0x08u
#define HVSI_CHECK_DHCP 0x10u
#define HVSI_CHECK_ROUTER 0x20u
#define HVSI_CHECK_RULES 0x40u
#define HVSI_CHECK_STORM 0x80u
#define HVSI_CHECK_BANDWIDTH 0x100u

/* Of rules that are equal otherwise the larger wins. */
enum hvsi_acl_action {
	HVSI_ACL_NONE = 0, /* no rule matches */
	HVSI_ACL_ALLOW = 1,
	HVSI_ACL_METER = 2,
	HVSI_ACL_DENY = 3,
};

enum hvsi_acl_kind {
	HVSI_ACL_MAC,
	HVSI_ACL_IP4,
	HVSI_ACL_IP6,
	HVSI_ACL_KINDS,
};

/* Addresses, the local and the remote one, as numbers of 128 bits, low half first. */
struct hvsi_acl_key {
	uint64_t v[4];
};

struct hvsi_acl_entry {
	struct hvsi_acl_key key;
	uint8_t action;
};

/* Entries with the same lengths of prefixes: a hash table. */
struct hvsi_acl_group {
	struct hvsi_acl_key mask;
	uint32_t slot;     /* its first */
	uint32_t slots;    /* a power of two; never full */
	uint16_t specific; /* bits of both prefixes */
	uint8_t shift;     /* of hashes */
};

/* Groups, the most specific first. */
struct hvsi_acl_table {
	uint16_t group;
	uint16_t groups;
};

struct hvsi_policy {
	struct hvs_allocator a;
	size_t bytes; /* of this and what follows it */
	uint16_t out; /* HVSI_CHECK_* */
	uint16_t in;  /* HVSI_CHECK_* */
	uint16_t vlan_id;
	uint8_t vlan;   /* enum hvs_port_vlan */
	uint8_t any[2]; /* enum hvsi_acl_action of rules for every frame; [1]: out */
	struct hvsi_acl_table rules[2][HVSI_ACL_KINDS];
	struct hvsi_acl_table remediation[HVSI_ACL_KINDS];
	uint64_t byte_cost;  /* 1/64 ns, 2^-20 of that */
	uint64_t frame_cost; /* 1/64 ns: a broadcast */
	uint64_t trunk[64];
	const struct hvsi_acl_group *groups;
	const struct hvsi_acl_entry *entries;
	const uint16_t *slots; /* index of an entry and 1; 0: nothing */
};

#define HVSI_TICKS_PER_NS 64u
#define HVSI_COST_SHIFT 20u /* of byte_cost */

static inline uint32_t hvsi_acl_hash(const struct hvsi_acl_key *k, uint8_t shift)
{
	const uint64_t h = k->v[0] * 0x9e3779b97f4a7c15u + k->v[1] * 0xc2b2ae3d27d4eb4fu +
			   k->v[2] * 0xd6e8feb86659fd93u + k->v[3] * 0xa0761d6478bd642fu;

	return (uint32_t)(h >> shift);
}

static inline bool hvsi_acl_equal(const struct hvsi_acl_key *a, const struct hvsi_acl_key *b)
{
	return a->v[0] == b->v[0] && a->v[1] == b->v[1] && a->v[2] == b->v[2] && a->v[3] == b->v[3];
}

static inline struct hvsi_acl_key hvsi_acl_masked(const struct hvsi_acl_key *k,
						  const struct hvsi_acl_key *mask)
{
	return (struct hvsi_acl_key){{k->v[0] & mask->v[0], k->v[1] & mask->v[1],
				      k->v[2] & mask->v[2], k->v[3] & mask->v[3]}};
}

#endif
