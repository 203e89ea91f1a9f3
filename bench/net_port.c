/* SPDX-License-Identifier: MIT */
#include "net_port.h"

#include "util/alloc.h"
#include "util/le.h"
#include "vsp/network/policy.h"

#include <stdlib.h>
#include <string.h>

struct port {
	struct hvsi_policy *policy;
	struct hvsi_port port;
};

/* Rule n: 10.x.y.z or 2001:db8::, which no frame of the benchmark is from or to. */
static void rule(struct hvs_port_rule *r, enum port_rules rules, uint32_t n)
{
	struct hvs_port_address *a = &r->remote;

	r->action = HVS_PORT_DENY;
	r->direction = HVS_PORT_BOTH;
	a->kind = rules == PORT_PREFIXES6 ? HVS_PORT_IP6 : HVS_PORT_IP4;
	a->prefix = 32;
	hvsi_put_be32(a->bytes, 0x0a000000 + n * 0x2545);
	if (rules == PORT_PREFIXES4)
		a->prefix = (uint8_t)(1 + n % 32);
	if (rules == PORT_PREFIXES6) {
		hvsi_put_be32(a->bytes, 0x20010db8);
		hvsi_put_be32(a->bytes + 12, n);
		a->prefix = (uint8_t)(1 + n % 128);
	}
	if (rules == PORT_PAIRS4) {
		a->prefix = (uint8_t)(1 + n % 32);
		r->local = *a;
		r->local.prefix = (uint8_t)(1 + n / 32 % 32);
	}
}

struct port *port_create(enum port_rules rules)
{
	static struct hvs_port_rule list[HVS_PORT_MAX_RULES];
	struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT};
	struct port *p = calloc(1, sizeof(*p));
	struct hvs_allocator a;

	memset(list, 0, sizeof(list));
	if (rules == PORT_GUARDS) {
		policy.flags = HVS_PORT_DHCP_GUARD | HVS_PORT_ROUTER_GUARD;
		policy.vlan = HVS_PORT_VLAN_ACCESS;
		policy.vlan_id = 5;
		policy.max_bits_per_second = UINT64_C(10000000000);
		policy.max_storm_frames = 1000;
	} else if (rules != PORT_NO_RULES) {
		policy.rules = list;
		policy.rule_count = HVS_PORT_MAX_RULES;
		for (uint32_t n = 0; n < HVS_PORT_MAX_RULES; n++)
			rule(&list[n], rules, n);
	}
	if (!p || hvsi_alloc_setup(NULL, &a) < 0 || hvsi_policy_create(&a, &policy, &p->policy) < 0)
		abort();
	return p;
}

void port_destroy(struct port *p)
{
	hvsi_policy_destroy(p->policy);
	free(p);
}

bool port_out(struct port *p, struct hvsi_headers *h, uint64_t now_ns)
{
	return hvsi_policy_out(p->policy, &p->port, h, h->bytes + HVSI_MAC_BYTES, now_ns);
}
