/* SPDX-License-Identifier: MIT */
/* From a policy as it is written to tables that are fast to look things up in. */
#include "vsp/network/policy.h"

#include "util/alloc.h"
#include "util/le.h"
#include "util/sized.h"
#include "vsp/network/policy_impl.h"

#include <errno.h>
#include <string.h>

#define KNOWN_FLAGS                                                                                \
	(HVS_PORT_MAC_SPOOFING | HVS_PORT_DHCP_GUARD | HVS_PORT_ROUTER_GUARD |                     \
	 HVS_PORT_PRIORITY_TAG | HVS_PORT_QUARANTINE)
#define MAX_VLAN 4094u
#define MIN_BITS 8000u
#define TICKS_PER_SECOND (UINT64_C(1000000000) * HVSI_TICKS_PER_NS)

/* ---- what is allowed ----------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

static uint8_t max_prefix(uint8_t kind)
{
	if (kind == HVS_PORT_IP4)
		return 32;
	return kind == HVS_PORT_IP6 ? 128 : 0;
}

static int check_address(const struct hvs_port_address *a)
{
	if (!is_zero(a->reserved, sizeof(a->reserved)))
		return -EINVAL;
	if (a->kind > HVS_PORT_IP6 || a->prefix > max_prefix(a->kind))
		return -EINVAL;
	return 0;
}

static int check_rule(const struct hvs_port_rule *r)
{
	int err = check_address(&r->local);

	if (!err)
		err = check_address(&r->remote);
	if (err)
		return err;
	if (!is_zero(r->reserved, sizeof(r->reserved)))
		return -EINVAL;
	if (r->action < HVS_PORT_ALLOW || r->action > HVS_PORT_METER ||
	    r->direction < HVS_PORT_IN || r->direction > HVS_PORT_BOTH)
		return -EINVAL;
	if (r->local.kind && r->remote.kind && r->local.kind != r->remote.kind)
		return -EINVAL;
	return 0;
}

static int check_lists(const struct hvs_port_policy *p)
{
	if (p->rule_count > HVS_PORT_MAX_RULES || p->remediation_count > HVS_PORT_MAX_RULES ||
	    (p->rule_count && !p->rules) || (p->remediation_count && !p->remediation))
		return -EINVAL;
	for (uint32_t i = 0; i < p->rule_count; i++) {
		const int err = check_rule(&p->rules[i]);

		if (err)
			return err;
	}
	for (uint32_t i = 0; i < p->remediation_count; i++) {
		const struct hvs_port_address *a = &p->remediation[i];
		const int err = check_address(a);

		if (err)
			return err;
		if (a->kind != HVS_PORT_IP4 && a->kind != HVS_PORT_IP6)
			return -EINVAL;
	}
	return 0;
}

static int check_vlan(const struct hvs_port_policy *p)
{
	if (p->vlan > HVS_PORT_VLAN_TRUNK || p->vlan_id > MAX_VLAN)
		return -EINVAL;
	if (p->vlan == HVS_PORT_VLAN_TRANSPARENT && p->vlan_id)
		return -EINVAL;
	if (p->vlan == HVS_PORT_VLAN_ACCESS && !p->vlan_id)
		return -EINVAL;
	return p->trunk[0] & 1 || p->trunk[63] >> 63 ? -EINVAL : 0; /* VLANs 0, 4095: none */
}

static int check(const struct hvs_port_policy *p)
{
	int err;

	if (p->flags & ~KNOWN_FLAGS || p->reserved || p->reserved2)
		return -EINVAL;
	if (p->max_bits_per_second && p->max_bits_per_second < MIN_BITS)
		return -EINVAL;
	err = check_vlan(p);
	return err ? err : check_lists(p);
}

/* ---- tables -------------------------------------------------------------------------------------- */

/* An entry to be, and where it belongs. */
struct item {
	struct hvsi_acl_key key;
	uint16_t table;    /* of all of a policy */
	uint16_t specific; /* bits of both prefixes */
	uint8_t local;     /* bits of prefixes */
	uint8_t remote;
	uint8_t action; /* enum hvsi_acl_action */
};

#define REMEDIATION (2u * HVSI_ACL_KINDS) /* the table of the first kind */

struct items {
	struct item *item;
	uint32_t count;
	uint32_t max;
};

static enum hvsi_acl_kind kind_of(uint8_t kind)
{
	if (kind == HVS_PORT_MAC)
		return HVSI_ACL_MAC;
	return kind == HVS_PORT_IP4 ? HVSI_ACL_IP4 : HVSI_ACL_IP6;
}

/* An address' half of a key: low, high. */
static void put_address(uint64_t v[2], const struct hvs_port_address *a)
{
	switch (a->kind) {
	case HVS_PORT_MAC:
		v[0] = hvsi_get_be64(a->bytes) >> 16;
		break;
	case HVS_PORT_IP4:
		v[0] = hvsi_get_be32(a->bytes);
		break;
	case HVS_PORT_IP6:
		v[0] = hvsi_get_be64(a->bytes + 8);
		v[1] = hvsi_get_be64(a->bytes);
		break;
	default:
		break;
	}
}

/* A number of `of` bits, the highest of which are set. */
static uint64_t ones(unsigned bits, unsigned of)
{
	const uint64_t all = ~UINT64_C(0) >> (64 - of);

	return bits < of ? all & ~(all >> bits) : all;
}

static void put_mask(uint64_t v[2], enum hvsi_acl_kind kind, unsigned prefix)
{
	if (kind == HVSI_ACL_MAC) {
		v[0] = ones(prefix, 48);
	} else if (kind == HVSI_ACL_IP4) {
		v[0] = ones(prefix, 32);
	} else {
		v[1] = ones(prefix < 64 ? prefix : 64, 64);
		v[0] = ones(prefix < 64 ? 0 : prefix - 64, 64);
	}
}

static struct hvsi_acl_key mask_of(const struct item *it)
{
	const enum hvsi_acl_kind kind = it->table % HVSI_ACL_KINDS;
	struct hvsi_acl_key mask = {0};

	put_mask(mask.v, kind, it->local);
	put_mask(mask.v + 2, kind, it->remote);
	return mask;
}

static uint8_t prefix_of(const struct hvs_port_address *a)
{
	return a->kind == HVS_PORT_MAC ? 48 : a->prefix;
}

static void add(struct items *items, uint16_t table, const struct hvs_port_address *local,
		const struct hvs_port_address *remote, uint8_t action)
{
	struct item *it = &items->item[items->count++];
	struct hvsi_acl_key mask;

	it->table = table;
	it->local = prefix_of(local);
	it->remote = prefix_of(remote);
	it->specific = (uint16_t)(it->local + it->remote);
	it->action = action;
	put_address(it->key.v, local);
	put_address(it->key.v + 2, remote);
	mask = mask_of(it);
	it->key = hvsi_acl_masked(&it->key, &mask);
}

static uint8_t action_of(uint8_t action)
{
	if (action == HVS_PORT_DENY)
		return HVSI_ACL_DENY;
	return action == HVS_PORT_METER ? HVSI_ACL_METER : HVSI_ACL_ALLOW;
}

static void add_rule(struct items *items, uint8_t any[2], const struct hvs_port_rule *r)
{
	const uint8_t kind = r->local.kind ? r->local.kind : r->remote.kind;
	const uint8_t action = action_of(r->action);

	for (unsigned out = 0; out < 2; out++) {
		if (!(r->direction & (out ? HVS_PORT_OUT : HVS_PORT_IN)))
			continue;
		if (kind)
			add(items, (uint16_t)(out * HVSI_ACL_KINDS + kind_of(kind)), &r->local,
			    &r->remote, action);
		else if (action > any[out])
			any[out] = action;
	}
}

/* By table and group, the most specific first, then by key. */
static bool before(const struct item *a, const struct item *b)
{
	if (a->table != b->table)
		return a->table < b->table;
	if (a->specific != b->specific)
		return a->specific > b->specific;
	if (a->local != b->local)
		return a->local > b->local;
	for (unsigned i = 0; i < 4; i++)
		if (a->key.v[i] != b->key.v[i])
			return a->key.v[i] < b->key.v[i];
	return a->action > b->action;
}

static void sift(struct item *item, uint32_t root, uint32_t count)
{
	const struct item moved = item[root];
	uint32_t child;

	while ((child = 2 * root + 1) < count) {
		if (child + 1 < count && before(&item[child], &item[child + 1]))
			child++;
		if (!before(&moved, &item[child]))
			break;
		item[root] = item[child];
		root = child;
	}
	item[root] = moved;
}

static void sort(struct items *items)
{
	for (uint32_t i = items->count / 2; i-- > 0;)
		sift(items->item, i, items->count);
	for (uint32_t n = items->count; n-- > 1;) {
		const struct item last = items->item[n];

		items->item[n] = items->item[0];
		items->item[0] = last;
		sift(items->item, 0, n);
	}
}

static bool same_group(const struct item *a, const struct item *b)
{
	return a->table == b->table && a->local == b->local && a->remote == b->remote;
}

/* Of items for the same addresses the first decides. */
static void unite(struct items *items)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < items->count; i++) {
		const struct item *it = &items->item[i];

		if (n && same_group(it, &items->item[n - 1]) &&
		    hvsi_acl_equal(&it->key, &items->item[n - 1].key))
			continue;
		items->item[n++] = *it;
	}
	items->count = n;
}

static uint32_t group_end(const struct items *items, uint32_t i)
{
	uint32_t end = i;

	while (end < items->count && same_group(&items->item[i], &items->item[end]))
		end++;
	return end;
}

/* At least twice as many slots as entries: a look-up ends soon. */
static uint8_t slot_bits(uint32_t entries)
{
	uint8_t bits = 1;

	while (1u << bits < 2 * entries)
		bits++;
	return bits;
}

/* Entries and slots of a group. */
static void fill(struct hvsi_acl_group *g, const struct items *items, uint32_t i, uint32_t end,
		 struct hvsi_acl_entry *entries, uint16_t *slots)
{
	for (; i < end; i++) {
		uint32_t n = hvsi_acl_hash(&items->item[i].key, g->shift);

		while (slots[g->slot + n])
			n = (n + 1) & (g->slots - 1);
		slots[g->slot + n] = (uint16_t)(i + 1);
		entries[i].key = items->item[i].key;
		entries[i].action = items->item[i].action;
	}
}

static struct hvsi_acl_table *table_of(struct hvsi_policy *p, uint16_t table)
{
	if (table >= REMEDIATION)
		return &p->remediation[table - REMEDIATION];
	return &p->rules[table / HVSI_ACL_KINDS][table % HVSI_ACL_KINDS];
}

static void build(struct hvsi_policy *p, const struct items *items, struct hvsi_acl_group *groups,
		  struct hvsi_acl_entry *entries, uint16_t *slots)
{
	uint16_t group = 0;
	uint32_t slot = 0;

	for (uint32_t i = 0; i < items->count; group++) {
		const struct item *it = &items->item[i];
		const uint32_t end = group_end(items, i);
		const uint8_t bits = slot_bits(end - i);
		struct hvsi_acl_table *t = table_of(p, it->table);
		struct hvsi_acl_group *g = &groups[group];

		if (!t->groups++)
			t->group = group;
		*g = (struct hvsi_acl_group){.mask = mask_of(it),
					     .slot = slot,
					     .slots = 1u << bits,
					     .specific = it->specific,
					     .shift = (uint8_t)(64 - bits)};
		fill(g, items, i, end, entries, slots);
		slot += g->slots;
		i = end;
	}
	p->groups = groups;
	p->entries = entries;
	p->slots = slots;
}

/* A policy with its tables, which lie behind it. */
static struct hvsi_policy *make(const struct hvs_allocator *a, const struct items *items)
{
	size_t bytes = sizeof(struct hvsi_policy);
	size_t groups = 0;
	size_t slots = 0;
	struct hvsi_acl_entry *entry;
	struct hvsi_policy *p;

	for (uint32_t i = 0; i < items->count; groups++) {
		const uint32_t end = group_end(items, i);

		slots += (size_t)1 << slot_bits(end - i);
		i = end;
	}
	bytes += groups * sizeof(struct hvsi_acl_group) + items->count * sizeof(*entry) +
		 slots * sizeof(uint16_t);
	p = hvsi_alloc(a, bytes);
	if (!p)
		return NULL;
	p->a = *a;
	p->bytes = bytes;
	entry = (void *)((struct hvsi_acl_group *)(void *)(p + 1) + groups);
	build(p, items, (void *)(p + 1), entry, (void *)(entry + items->count));
	return p;
}

/* ---- policies ------------------------------------------------------------------------------------ */

static void set_checks(struct hvsi_policy *p, const struct hvs_port_policy *from)
{
	bool rules[2];

	for (unsigned out = 0; out < 2; out++) {
		rules[out] = p->any[out];
		for (unsigned kind = 0; kind < HVSI_ACL_KINDS; kind++)
			rules[out] |= p->rules[out][kind].groups != 0;
	}
	if (from->flags & HVS_PORT_QUARANTINE)
		p->in |= HVSI_CHECK_QUARANTINE;
	if (from->vlan != HVS_PORT_VLAN_TRANSPARENT)
		p->in |= HVSI_CHECK_VLAN;
	p->out = p->in;
	if (rules[0])
		p->in |= HVSI_CHECK_RULES;
	if (rules[1])
		p->out |= HVSI_CHECK_RULES;
	if (!(from->flags & HVS_PORT_MAC_SPOOFING))
		p->out |= HVSI_CHECK_MAC;
	if (!(from->flags & HVS_PORT_PRIORITY_TAG))
		p->out |= HVSI_CHECK_PRIORITY;
	if (from->flags & HVS_PORT_DHCP_GUARD)
		p->out |= HVSI_CHECK_DHCP;
	if (from->flags & HVS_PORT_ROUTER_GUARD)
		p->out |= HVSI_CHECK_ROUTER;
	if (from->max_storm_frames)
		p->out |= HVSI_CHECK_STORM;
	if (from->max_bits_per_second)
		p->out |= HVSI_CHECK_BANDWIDTH;
}

static void set_members(struct hvsi_policy *p, const struct hvs_port_policy *from)
{
	p->vlan = (uint8_t)from->vlan;
	p->vlan_id = from->vlan_id;
	memcpy(p->trunk, from->trunk, sizeof(p->trunk));
	if (from->max_storm_frames)
		p->frame_cost = TICKS_PER_SECOND / from->max_storm_frames;
	if (from->max_bits_per_second)
		p->byte_cost =
			(8 * TICKS_PER_SECOND << HVSI_COST_SHIFT) / from->max_bits_per_second;
	set_checks(p, from);
}

static int compile(const struct hvs_allocator *a, const struct hvs_port_policy *from,
		   struct hvsi_policy **out)
{
	static const struct hvs_port_address everybody;
	struct items items = {.max = 2 * from->rule_count + from->remediation_count};
	uint8_t any[2] = {HVSI_ACL_NONE, HVSI_ACL_NONE};

	if (items.max) {
		items.item = hvsi_alloc_array(a, items.max, sizeof(*items.item));
		if (!items.item)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < from->rule_count; i++)
		add_rule(&items, any, &from->rules[i]);
	for (uint32_t i = 0; i < from->remediation_count; i++)
		add(&items, (uint16_t)(REMEDIATION + kind_of(from->remediation[i].kind)),
		    &everybody, &from->remediation[i], HVSI_ACL_ALLOW);
	sort(&items);
	unite(&items);
	*out = make(a, &items);
	if (items.item)
		hvsi_free(a, items.item, items.max * sizeof(*items.item));
	if (!*out)
		return -ENOMEM;
	memcpy((*out)->any, any, sizeof(any));
	set_members(*out, from);
	return 0;
}

int hvsi_policy_create(const struct hvs_allocator *a, const struct hvs_port_policy *from,
		       struct hvsi_policy **out)
{
	struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT};
	int err = 0;

	if (from)
		err = HVSI_TAKE(&policy, from, reserved2);
	if (!err)
		err = check(&policy);
	return err ? err : compile(a, &policy, out);
}

void hvsi_policy_destroy(struct hvsi_policy *p)
{
	const struct hvs_allocator a = p ? p->a : (struct hvs_allocator){0};

	if (p)
		hvsi_free(&a, p, p->bytes);
}
