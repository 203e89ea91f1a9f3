/* SPDX-License-Identifier: MIT */
/* Access control lists. */
#include "vsp/network/policy.h"

#include "support/frame.h"
#include "util/alloc.h"
#include "util/le.h"

#include <criterion/criterion.h>
#include <string.h>

#define OUT true
#define IN false

static struct test_frame frame;
static struct hvs_port_rule rules[HVS_PORT_MAX_RULES];

struct fixture {
	struct hvs_allocator a;
	struct hvs_port_policy p;
	struct hvsi_policy *policy;
	struct hvsi_port port;
};

static void up(struct fixture *f, uint32_t count)
{
	*f = (struct fixture){0};
	cr_assert_eq(hvsi_alloc_setup(NULL, &f->a), 0);
	f->p = (struct hvs_port_policy){HVS_PORT_POLICY_INIT, .rule_count = count, .rules = rules};
	cr_assert_eq(hvsi_policy_create(&f->a, &f->p, &f->policy), 0);
}

static void down(struct fixture *f)
{
	hvsi_policy_destroy(f->policy);
}

static bool passes_copied(struct fixture *f, bool out, size_t copied)
{
	struct hvsi_headers h;
	bool metered;
	bool pass;

	cr_assert(hvsi_frame_parse(&h, frame.b, (uint32_t)copied, (uint32_t)frame.len));
	if (out)
		return hvsi_policy_out(f->policy, &f->port, &h, frame.b + 6, 0);
	pass = hvsi_policy_in(f->policy, &f->port, &h, &metered);
	if (pass && metered)
		hvsi_port_meter_in(&f->port, h.len);
	return pass;
}

static bool passes(struct fixture *f, bool out)
{
	return passes_copied(f, out, frame.len);
}

static struct hvs_port_counters counters(const struct fixture *f)
{
	struct hvs_port_counters c;

	hvsi_port_get_counters(&f->port, &c);
	return c;
}

/* ---- second opinion ------------------------------------------------------------------------------ */

/* A frame's addresses: [0] the guest's, [1] who it talks to. */
struct talk {
	uint8_t kind; /* HVS_PORT_IP4, IP6; 0: neither */
	uint8_t mac[2][6];
	uint8_t ip[2][16];
};

static bool matches(const struct hvs_port_address *a, const uint8_t *address, uint8_t kind)
{
	const unsigned bits = kind == HVS_PORT_MAC ? 48 : a->prefix;

	if (a->kind == HVS_PORT_ANY)
		return true;
	for (unsigned i = 0; i < bits; i++)
		if ((a->bytes[i / 8] ^ address[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

/* What one of the two lists says; `kind` of its rules, apart from those for every frame. */
static uint8_t list_says(const struct fixture *f, const struct talk *t, bool out, uint8_t kind)
{
	unsigned longest = 0;
	uint8_t says = HVS_PORT_ALLOW;
	bool any = false;

	for (uint32_t i = 0; i < f->p.rule_count; i++) {
		const struct hvs_port_rule *r = &f->p.rules[i];
		const uint8_t of = r->local.kind ? r->local.kind : r->remote.kind;
		unsigned bits = r->local.prefix + r->remote.prefix;

		if (!(r->direction & (out ? HVS_PORT_OUT : HVS_PORT_IN)))
			continue;
		if (of && (of != kind ||
			   !matches(&r->local, kind == HVS_PORT_MAC ? t->mac[0] : t->ip[0], kind) ||
			   !matches(&r->remote, kind == HVS_PORT_MAC ? t->mac[1] : t->ip[1], kind)))
			continue;
		if (of == HVS_PORT_MAC)
			bits = (r->local.kind ? 48u : 0) + (r->remote.kind ? 48u : 0);
		if (any && bits < longest)
			continue;
		/* Of equals DENY, and what is counted is counted. */
		if (!any || bits > longest || r->action == HVS_PORT_DENY ||
		    (r->action == HVS_PORT_METER && says == HVS_PORT_ALLOW))
			says = r->action;
		any = true;
		longest = bits;
	}
	return says;
}

static bool should_pass(const struct fixture *f, const struct talk *t, bool out, bool *metered)
{
	const uint8_t mac = list_says(f, t, out, HVS_PORT_MAC);
	const uint8_t ip = list_says(f, t, out, t->kind ? t->kind : 0xff);

	*metered = mac == HVS_PORT_METER || ip == HVS_PORT_METER;
	return mac != HVS_PORT_DENY && ip != HVS_PORT_DENY;
}

/* Addresses that are often equal, or nearly. */
static void some_address(struct rng *rng, uint8_t a[16])
{
	memset(a, 0, 16);
	for (unsigned i = 0; i < 16; i++)
		if (!rng_below(rng, 3))
			a[i] = (uint8_t)(1u << rng_below(rng, 8));
	a[0] = (uint8_t)(10 + 2 * rng_below(rng, 2));
	a[1] = (uint8_t)rng_below(rng, 3);
}

static void some_rule_address(struct rng *rng, struct hvs_port_address *a, uint8_t kind)
{
	static const uint8_t most[] = {0, 0, 32, 128};

	*a = (struct hvs_port_address){.kind = kind};
	some_address(rng, a->bytes);
	if (most[kind])
		a->prefix = rng_below(rng, 2) ? (uint8_t)rng_below(rng, most[kind] + 1u)
					      : (uint8_t)(8 * rng_below(rng, 3));
}

static void some_rule(struct rng *rng, struct hvs_port_rule *r)
{
	const uint8_t kind = (uint8_t)(rng_below(rng, 20) ? 1 + rng_below(rng, 3) : 0);

	*r = (struct hvs_port_rule){.action = (uint8_t)(1 + rng_below(rng, 3)),
				    .direction = (uint8_t)(1 + rng_below(rng, 3))};
	some_rule_address(rng, &r->local, rng_below(rng, 2) ? kind : 0);
	some_rule_address(rng, &r->remote, rng_below(rng, 2) ? kind : 0);
}

/* A frame of these addresses, ARP too. */
static void some_frame(struct rng *rng, struct talk *t, bool out)
{
	const unsigned src = out ? 0 : 1;
	struct test_frame_spec s = {.protocol = rng_below(rng, 4) ? TEST_UDP : TEST_ARP,
				    .ip4_options = (uint8_t)(4 * rng_below(rng, 3)),
				    .exts = (uint8_t)rng_below(rng, 3),
				    .ext = {0, 60}};

	t->kind = HVS_PORT_IP4;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t mac[16];

		some_address(rng, mac);
		memcpy(t->mac[i], mac, 6);
		some_address(rng, t->ip[i]);
	}
	if (s.protocol != TEST_ARP && rng_below(rng, 2)) {
		s.ip6 = true;
		t->kind = HVS_PORT_IP6;
	}
	memcpy(s.src, t->ip[src], 16);
	memcpy(s.dst, t->ip[1 - src], 16);
	test_frame_build(&frame, &s);
	if (!rng_below(rng, 8)) {
		hvsi_put_be16(frame.b + 12, 0x88cc);
		t->kind = 0;
	}
	memcpy(frame.b, t->mac[1 - src], 6);
	memcpy(frame.b + 6, t->mac[src], 6);
}

Test(net_policy_rules, verdicts_are_those_of_reading_all_rules_one_by_one)
{
	struct rng rng = {1};
	unsigned passed = 0;
	unsigned all = 0;

	for (unsigned round = 0; round < 400; round++) {
		const uint32_t count = 1 + rng_below(&rng, round & 7 ? 30 : HVS_PORT_MAX_RULES);
		uint64_t metered_frames[2] = {0};
		uint64_t metered_bytes[2] = {0};
		struct hvs_port_counters c;
		uint64_t denied = 0;
		struct fixture f;

		for (uint32_t i = 0; i < count; i++)
			some_rule(&rng, &rules[i]);
		up(&f, count);
		for (unsigned n = 0; n < 200; n++) {
			const bool out = rng_below(&rng, 2);
			struct talk t;
			bool metered;
			bool pass;

			some_frame(&rng, &t, out);
			pass = should_pass(&f, &t, out, &metered);
			cr_assert_eq(passes(&f, out), pass, "round %u, frame %u", round, n);
			denied += !pass;
			passed += pass;
			all++;
			metered_frames[out] += pass && metered;
			metered_bytes[out] += pass && metered ? frame.len : 0;
		}
		c = counters(&f);
		cr_assert_eq(c.denied, denied);
		cr_assert_eq(c.metered_out_frames, metered_frames[OUT]);
		cr_assert_eq(c.metered_out_bytes, metered_bytes[OUT]);
		cr_assert_eq(c.metered_in_frames, metered_frames[IN]);
		cr_assert_eq(c.metered_in_bytes, metered_bytes[IN]);
		down(&f);
	}
	/* Both happened often. */
	cr_assert(passed > all / 4 && passed < all - all / 4, "%u of %u", passed, all);
}

/* ---- rules one by one ---------------------------------------------------------------------------- */

static struct hvs_port_rule rule4(uint8_t action, uint8_t direction, uint8_t prefix, uint8_t a,
				  uint8_t b)
{
	return (struct hvs_port_rule){
		.action = action,
		.direction = direction,
		.remote = {.kind = HVS_PORT_IP4, .prefix = prefix, .bytes = {a, b}}};
}

static bool to(struct fixture *f, uint8_t a, uint8_t b)
{
	const struct test_frame_spec s = {.protocol = TEST_UDP, .dst = {a, b, 7, 7}};

	test_frame_build(&frame, &s);
	return passes(f, OUT);
}

static bool from(struct fixture *f, uint8_t a, uint8_t b)
{
	const struct test_frame_spec s = {.protocol = TEST_UDP, .src = {a, b, 7, 7}};

	test_frame_build(&frame, &s);
	return passes(f, IN);
}

Test(net_policy_rules, the_longest_prefix_wins_whatever_the_order)
{
	struct fixture f;

	for (unsigned order = 0; order < 2; order++) {
		rules[order] = rule4(HVS_PORT_DENY, HVS_PORT_BOTH, 0, 0, 0);
		rules[1 - order] = rule4(HVS_PORT_ALLOW, HVS_PORT_BOTH, 8, 10, 0);
		rules[2] = rule4(HVS_PORT_DENY, HVS_PORT_OUT, 16, 10, 5);
		up(&f, 3);
		cr_assert(to(&f, 10, 4));
		cr_assert_not(to(&f, 10, 5));
		cr_assert_not(to(&f, 11, 0));
		cr_assert(from(&f, 10, 5));
		cr_assert_not(from(&f, 11, 0));
		cr_assert_eq(counters(&f).denied, 3);
		down(&f);
	}
}

Test(net_policy_rules, of_equals_deny_wins_and_counting_before_not)
{
	struct fixture f;

	rules[0] = rule4(HVS_PORT_ALLOW, HVS_PORT_OUT, 8, 10, 0);
	rules[1] = rule4(HVS_PORT_METER, HVS_PORT_OUT, 8, 10, 0);
	rules[2] = rule4(HVS_PORT_DENY, HVS_PORT_OUT, 8, 10, 99);
	up(&f, 2);
	cr_assert(to(&f, 10, 1));
	cr_assert(to(&f, 11, 1));
	cr_assert_eq(counters(&f).metered_out_frames, 1);
	cr_assert_eq(counters(&f).metered_out_bytes, frame.len);
	down(&f);
	up(&f, 3);
	cr_assert_not(to(&f, 10, 1));
	cr_assert_eq(counters(&f).metered_out_frames, 0);
	down(&f);
}

Test(net_policy_rules, rules_for_every_frame_are_in_both_lists)
{
	const struct test_frame_spec s = {.protocol = TEST_UDP, .dst = {10, 1}};
	struct fixture f;

	rules[0] = (struct hvs_port_rule){.action = HVS_PORT_DENY, .direction = HVS_PORT_OUT};
	rules[1] = rule4(HVS_PORT_ALLOW, HVS_PORT_OUT, 8, 10, 0);
	rules[2] = (struct hvs_port_rule){.action = HVS_PORT_ALLOW,
					  .direction = HVS_PORT_OUT,
					  .remote = {.kind = HVS_PORT_MAC}};
	memcpy(rules[2].remote.bytes, test_mac_dst, 6);
	up(&f, 2);
	cr_assert_not(to(&f, 10, 1)); /* that of MAC addresses denies it */
	cr_assert(from(&f, 10, 1));
	down(&f);
	up(&f, 3);
	cr_assert(to(&f, 10, 1));
	cr_assert_not(to(&f, 11, 1));
	test_frame_build(&frame, &s);
	hvsi_put_be16(frame.b + 12, 0x88cc);
	cr_assert_not(passes(&f, OUT));
	down(&f);
}

Test(net_policy_rules, what_is_no_ip_is_no_matter_of_ip_rules)
{
	struct fixture f;

	rules[0] = rule4(HVS_PORT_DENY, HVS_PORT_BOTH, 0, 0, 0);
	up(&f, 1);
	cr_assert_not(to(&f, 10, 1));
	hvsi_put_be16(frame.b + 12, 0x88cc);
	cr_assert(passes(&f, OUT));
	test_frame_build(&frame, &(struct test_frame_spec){.protocol = TEST_UDP, .ip6 = true});
	cr_assert(passes(&f, OUT));
	test_frame_build(&frame, &(struct test_frame_spec){.protocol = TEST_ARP});
	cr_assert_not(passes(&f, OUT));
	down(&f);
}

Test(net_policy_rules, addresses_that_cannot_be_read_are_denied_where_rules_need_them)
{
	const struct test_frame_spec tags = {.protocol = TEST_UDP, .tags = 3};
	struct fixture f;

	rules[0] = rule4(HVS_PORT_DENY, HVS_PORT_OUT, 32, 10, 1);
	rules[1] = (struct hvs_port_rule){.action = HVS_PORT_METER, .direction = HVS_PORT_IN};
	up(&f, 2);
	cr_assert(to(&f, 11, 0));
	cr_assert_not(passes_copied(&f, OUT, frame.l3_off + 19));
	cr_assert(passes_copied(&f, OUT, frame.l3_off + 20));
	cr_assert(passes_copied(&f, IN, frame.l3_off + 19));
	test_frame_build(&frame, &tags);
	cr_assert_not(passes(&f, OUT));
	cr_assert(passes(&f, IN));
	test_frame_build(&frame, &(struct test_frame_spec){.protocol = TEST_ARP});
	frame.b[frame.l3_off] = 9;
	cr_assert_not(passes(&f, OUT));
	cr_assert_eq(counters(&f).denied, 3);
	cr_assert_eq(counters(&f).metered_in_frames, 2);
	down(&f);
}

Test(net_policy_rules, fragments_have_addresses_too)
{
	struct test_frame_spec s = {.protocol = TEST_TCP, .dst = {10, 1}, .fragment = 5};
	struct fixture f;

	rules[0] = rule4(HVS_PORT_DENY, HVS_PORT_OUT, 8, 10, 0);
	up(&f, 1);
	test_frame_build(&frame, &s);
	cr_assert_not(passes(&f, OUT));
	s.dst[0] = 11;
	test_frame_build(&frame, &s);
	cr_assert(passes(&f, OUT));
	down(&f);
}

Test(net_policy_rules, a_full_list_of_different_prefixes_finds_each)
{
	struct fixture f;

	/* Every length of prefix there is, many times. */
	for (uint32_t i = 0; i < HVS_PORT_MAX_RULES; i++) {
		rules[i] = rule4(i & 1 ? HVS_PORT_DENY : HVS_PORT_ALLOW, HVS_PORT_OUT, 32, 10, 0);
		rules[i].remote.bytes[2] = (uint8_t)(i >> 8);
		rules[i].remote.bytes[3] = (uint8_t)i;
		rules[i].local.kind = HVS_PORT_IP4;
		rules[i].local.prefix = (uint8_t)(i % 33);
	}
	up(&f, HVS_PORT_MAX_RULES);
	for (uint32_t i = 0; i < HVS_PORT_MAX_RULES; i++) {
		const struct test_frame_spec s = {.protocol = TEST_UDP,
						  .src = {0, 0, 0, 0, 1},
						  .dst = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};

		test_frame_build(&frame, &s);
		cr_assert_eq(passes(&f, OUT), !(i & 1), "%u", i);
	}
	down(&f);
}
