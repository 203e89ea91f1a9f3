/* SPDX-License-Identifier: MIT */
/* What a port lets pass: addresses, VLANs, limits. */
#include "support/policy.h"
#include "util/le.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define SECOND 1000000000ull

/* ---- what can be compiled ------------------------------------------------------------------------ */

static int create(const struct hvs_port_policy *p)
{
	struct fixture f = {.t = TEST_ALLOC_INIT};
	int err;

	f.a = test_allocator(&f.t);
	err = hvsi_policy_create(&f.a, p, &f.policy);
	if (!err)
		hvsi_policy_destroy(f.policy);
	cr_assert_eq(f.t.live, 0);
	return err;
}

#define BASE                                                                                       \
	{                                                                                          \
		HVS_PORT_POLICY_INIT                                                               \
	}
#define EXPECT(result, change)                                                                     \
	do {                                                                                       \
		struct hvs_port_policy p = BASE;                                                   \
		change;                                                                            \
		cr_assert_eq(create(&p), result, #change);                                         \
	} while (0)

Test(net_policy, members_out_of_range_are_refused)
{
	EXPECT(0, (void)p);
	EXPECT(-EINVAL, p.size--);
	EXPECT(-EINVAL, p.flags = 0x20);
	EXPECT(0, p.flags = 0x1f);
	EXPECT(-EINVAL, p.reserved = 1);
	EXPECT(-EINVAL, p.reserved2 = 1);
	EXPECT(-EINVAL, p.max_bits_per_second = 7999);
	EXPECT(0, p.max_bits_per_second = 8000);
	EXPECT(0, p.max_bits_per_second = UINT64_MAX);
	EXPECT(-EINVAL, p.vlan = 3);
	EXPECT(-EINVAL, p.vlan_id = 1);
	EXPECT(-EINVAL, p.vlan = HVS_PORT_VLAN_ACCESS);
	EXPECT(0, p.vlan = HVS_PORT_VLAN_ACCESS; p.vlan_id = 4094);
	EXPECT(-EINVAL, p.vlan = HVS_PORT_VLAN_ACCESS; p.vlan_id = 4095);
	EXPECT(0, p.vlan = HVS_PORT_VLAN_TRUNK);
	EXPECT(-EINVAL, p.vlan = HVS_PORT_VLAN_TRUNK; p.trunk[0] = 1);
	EXPECT(-EINVAL, p.vlan = HVS_PORT_VLAN_TRUNK; p.trunk[63] = 1ull << 63);
	EXPECT(0, p.vlan = HVS_PORT_VLAN_TRUNK; p.trunk[63] = 1ull << 62);
	EXPECT(-EINVAL, p.rule_count = 1);
	EXPECT(-EINVAL, p.remediation_count = 1);
}

Test(net_policy, members_of_the_future_are_refused_if_they_are_used)
{
	struct {
		struct hvs_port_policy p;
		uint64_t more;
	} future = {.p = {.size = sizeof(future)}};

	cr_assert_eq(create(&future.p), 0);
	future.more = 1;
	cr_assert_eq(create(&future.p), -ENOTSUP);
}

Test(net_policy, addresses_and_rules_out_of_range_are_refused)
{
	const struct hvs_port_rule good = {.action = HVS_PORT_DENY,
					   .direction = HVS_PORT_BOTH,
					   .remote = {.kind = HVS_PORT_IP4, .prefix = 32}};
	static struct hvs_port_rule many[HVS_PORT_MAX_RULES + 1];
	struct hvs_port_address a;
	struct hvs_port_rule r;

#define RULE(result, change)                                                                       \
	r = good;                                                                                  \
	change;                                                                                    \
	EXPECT(result, p.rule_count = 1; p.rules = &r)
	RULE(0, (void)r);
	RULE(-EINVAL, r.action = 0);
	RULE(-EINVAL, r.action = 4);
	RULE(-EINVAL, r.direction = 0);
	RULE(-EINVAL, r.direction = 4);
	RULE(-EINVAL, r.reserved[1] = 1);
	RULE(-EINVAL, r.remote.prefix = 33);
	RULE(-EINVAL, r.remote.kind = 4);
	RULE(-EINVAL, r.remote.reserved[0] = 1);
	RULE(-EINVAL, r.local.kind = HVS_PORT_IP6);
	RULE(0, r.local.kind = HVS_PORT_IP4);
	RULE(-EINVAL, r.local.prefix = 1); /* of ANY */
	RULE(-EINVAL, r.remote.kind = HVS_PORT_MAC);
	RULE(0, r.remote.kind = HVS_PORT_MAC; r.remote.prefix = 0);
	RULE(0, r.remote.kind = HVS_PORT_IP6; r.remote.prefix = 128);
	RULE(-EINVAL, r.remote.kind = HVS_PORT_IP6; r.remote.prefix = 129);
#define REMEDIATION(result, ...)                                                                   \
	a = (struct hvs_port_address){__VA_ARGS__};                                                \
	EXPECT(result, p.remediation_count = 1; p.remediation = &a)
	REMEDIATION(0, .kind = HVS_PORT_IP4, .prefix = 8);
	REMEDIATION(0, .kind = HVS_PORT_IP6, .prefix = 128);
	REMEDIATION(-EINVAL, .kind = HVS_PORT_ANY);
	REMEDIATION(-EINVAL, .kind = HVS_PORT_MAC);
	REMEDIATION(-EINVAL, .kind = HVS_PORT_IP4, .prefix = 33);

	for (unsigned i = 0; i <= HVS_PORT_MAX_RULES; i++)
		many[i] = good;
	EXPECT(0, p.rule_count = HVS_PORT_MAX_RULES; p.rules = many);
	EXPECT(-EINVAL, p.rule_count = HVS_PORT_MAX_RULES + 1; p.rules = many);
}

Test(net_policy, without_memory_there_is_no_policy)
{
	const struct hvs_port_rule r = {.action = HVS_PORT_DENY,
					.direction = HVS_PORT_BOTH,
					.remote = {.kind = HVS_PORT_IP4}};
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .rule_count = 1, .rules = &r};
	unsigned failed = 0;

	for (size_t n = 0;; n++) {
		struct fixture f = {.t = {.fail_at = n}};
		int err;

		f.a = test_allocator(&f.t);
		err = hvsi_policy_create(&f.a, &p, &f.policy);
		if (!err) {
			hvsi_policy_destroy(f.policy);
			cr_assert_eq(f.t.live, 0);
			break;
		}
		cr_assert_eq(err, -ENOMEM);
		cr_assert_eq(f.t.live, 0);
		failed++;
	}
	cr_assert_eq(failed, 2);
	hvsi_policy_destroy(NULL);
}

/* ---- addresses ----------------------------------------------------------------------------------- */

Test(net_policy, a_guest_sends_from_its_own_address_unless_it_may_spoof)
{
	const struct hvs_port_policy open = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_MAC_SPOOFING};
	const struct test_frame_spec s = {.protocol = TEST_UDP};
	struct fixture f;

	up(&f, NULL);
	cr_assert(passes(&f, OUT, &s));
	for (unsigned i = 0; i < 6; i++) {
		test_frame_build(&frame, &s);
		frame.b[6 + i] ^= 1;
		cr_assert_not(passes_built(&f, OUT));
		cr_assert(passes_built(&f, IN)); /* others have other addresses */
	}
	cr_assert_eq(f.counters.mac_spoofing, 6);
	down(&f);

	up(&f, &open);
	cr_assert(passes_built(&f, OUT));
	cr_assert_eq(f.counters.mac_spoofing, 0);
	down(&f);
}

/* ---- VLANs --------------------------------------------------------------------------------------- */

#define UNTAGGED (-1)

/* Frame with that tag; what it has then, or -2: dropped. */
static int vlan(struct fixture *f, bool out, int tci, bool among_bytes)
{
	struct test_frame_spec s = {.protocol = TEST_UDP, .payload = 50};
	bool pass;

	if (tci >= 0 && among_bytes) {
		s.tags = 1;
		s.tci[0] = (uint16_t)tci;
	}
	test_frame_build(&frame, &s);
	cr_assert(hvsi_frame_parse(&f->h, frame.b, (uint32_t)frame.len, (uint32_t)frame.len));
	if (tci >= 0 && !among_bytes)
		hvsi_frame_tagged(&f->h, (uint16_t)tci);
	if (f->h.tag_inline && out)
		(void)hvsi_frame_pull_tag(&f->h, frame.b);
	pass = verdict(f, out);
	if (!pass)
		return -2;
	return f->h.tagged ? f->h.vlan_tci : UNTAGGED;
}

/* The same whether the tag is metadata or among the bytes. */
static void expect_vlan(struct fixture *f, bool out, int tci, int then)
{
	cr_assert_eq(vlan(f, out, tci, false), then, "%d", tci);
	cr_assert_eq(vlan(f, out, tci, true), then, "%d", tci);
}

Test(net_policy, transparent_ports_leave_tags_but_not_priorities)
{
	const struct hvs_port_policy keep = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_PRIORITY_TAG};
	struct fixture f;

	up(&f, NULL);
	expect_vlan(&f, OUT, UNTAGGED, UNTAGGED);
	expect_vlan(&f, OUT, 0xf005, 0x1005);
	expect_vlan(&f, OUT, 0xe000, 0);
	expect_vlan(&f, IN, 0xf005, 0xf005);
	down(&f);
	up(&f, &keep);
	expect_vlan(&f, OUT, 0xf005, 0xf005);
	down(&f);
}

Test(net_policy, access_ports_are_in_one_vlan_and_know_nothing_of_it)
{
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .vlan = HVS_PORT_VLAN_ACCESS,
					  .vlan_id = 5, .flags = HVS_PORT_PRIORITY_TAG};
	struct fixture f;

	up(&f, &p);
	expect_vlan(&f, OUT, UNTAGGED, 5);
	expect_vlan(&f, OUT, 0xe000, 0xe005); /* a priority is no VLAN */
	expect_vlan(&f, OUT, 5, -2);
	expect_vlan(&f, OUT, 6, -2);
	cr_assert_eq(f.counters.vlan, 4);
	expect_vlan(&f, IN, 5, UNTAGGED);
	expect_vlan(&f, IN, 0xe005, UNTAGGED);
	expect_vlan(&f, IN, 6, -2);
	expect_vlan(&f, IN, 0, -2);
	expect_vlan(&f, IN, UNTAGGED, -2);
	cr_assert_eq(f.counters.vlan, 10);
	down(&f);
}

Test(net_policy, trunk_ports_have_the_vlans_they_are_given)
{
	struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .vlan = HVS_PORT_VLAN_TRUNK};
	struct fixture f;

	p.trunk[0] = 1ull << 5;
	p.trunk[4094 / 64] |= 1ull << 4094 % 64;
	up(&f, &p);
	for (unsigned direction = 0; direction < 2; direction++) {
		expect_vlan(&f, direction, 5, 5);
		expect_vlan(&f, direction, 4094, 4094);
		expect_vlan(&f, direction, 6, -2);
		expect_vlan(&f, direction, 69, -2);
		expect_vlan(&f, direction, 4095, -2);
		expect_vlan(&f, direction, UNTAGGED, UNTAGGED);
		expect_vlan(&f, direction, 0, 0);
	}
	down(&f);

	p.vlan_id = 9;
	up(&f, &p);
	expect_vlan(&f, OUT, UNTAGGED, 9);
	expect_vlan(&f, OUT, 0, 9);
	expect_vlan(&f, OUT, 5, 5);
	expect_vlan(&f, OUT, 9, -2); /* not said to be allowed */
	expect_vlan(&f, IN, 9, UNTAGGED);
	expect_vlan(&f, IN, 5, 5);
	expect_vlan(&f, IN, 6, -2);
	expect_vlan(&f, IN, UNTAGGED, -2);
	expect_vlan(&f, IN, 0, -2);
	down(&f);
}

/* Whoever takes the outer tag off would see a frame of VLAN 7. */
Test(net_policy, no_other_vlan_is_reached_by_a_second_tag)
{
	struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .vlan = HVS_PORT_VLAN_ACCESS,
				    .vlan_id = 5};
	struct test_frame_spec s = {.protocol = TEST_UDP, .tags = 2, .tci = {0, 7}};
	struct fixture f;

	for (unsigned trunk = 0; trunk < 3; trunk++) {
		up(&f, &p);
		s.tags = 2;
		s.tag_type = 0;
		cr_assert_not(passes(&f, OUT, &s)); /* behind a priority */
		cr_assert_not(passes(&f, IN, &s));
		s.tags = 3;
		cr_assert_not(passes(&f, OUT, &s));
		s.tags = 1;
		s.tag_type = 0x88a8;
		cr_assert_not(passes(&f, OUT, &s)); /* a service tag alone */
		frame.len = 14;                     /* that ends there */
		cr_assert_not(passes_built(&f, OUT));
		/* As a second one: the first is metadata. */
		s.tag_type = 0;
		s.tci[0] = 7;
		test_frame_build(&frame, &s);
		cr_assert(
			hvsi_frame_parse(&f.h, frame.b, (uint32_t)frame.len, (uint32_t)frame.len));
		hvsi_frame_tagged(&f.h, 0);
		cr_assert_not(verdict(&f, OUT));
		s.tci[0] = 0;
		cr_assert_eq(f.counters.vlan, 6);
		down(&f);
		p.vlan = HVS_PORT_VLAN_TRUNK;
		p.vlan_id = trunk ? 3 : 0;
	}
}

/* ---- limits -------------------------------------------------------------------------------------- */

static bool group(struct fixture *f)
{
	const struct test_frame_spec s = {.protocol = TEST_UDP};

	test_frame_build(&frame, &s);
	memset(frame.b, 0xff, 6);
	return passes_built(f, OUT);
}

Test(net_policy, storms_are_cut_to_so_many_frames_a_second)
{
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .max_storm_frames = 100};
	const struct test_frame_spec s = {.protocol = TEST_UDP};
	unsigned passed = 0;
	struct fixture f;

	up(&f, &p);
	cr_assert(hvsi_policy_needs_clock(f.policy));
	f.now = 5 * SECOND;
	for (unsigned i = 0; i < 1000; i++)
		passed += group(&f);
	cr_assert_eq(passed, 100);
	cr_assert_eq(f.counters.storm, 900);
	cr_assert(passes(&f, OUT, &s)); /* to one station */
	/* For ten seconds, ten times too many. */
	passed = 0;
	for (unsigned i = 0; i < 10000; i++) {
		f.now += SECOND / 1000;
		passed += group(&f);
	}
	cr_assert(passed >= 999 && passed <= 1001, "%u", passed);
	/* Silence is not saved up. */
	f.now += 100 * SECOND;
	passed = 0;
	for (unsigned i = 0; i < 1000; i++)
		passed += group(&f);
	cr_assert_eq(passed, 100);
	hvsi_port_new_policy(&f.port);
	cr_assert(group(&f));
	down(&f);
}

/* Send whenever it is allowed, for a while: bits that passed. */
static uint64_t send(struct fixture *f, uint64_t ns, size_t len)
{
	const struct test_frame_spec s = {.protocol = TEST_UDP,
					  .payload = (uint32_t)(len - 14 - 20 - 8)};
	const uint64_t end = f->now + ns;
	uint64_t bits = 0;

	test_frame_build(&frame, &s);
	cr_assert_eq(frame.len, len);
	while (f->now < end) {
		const uint64_t wait = hvsi_policy_wait(f->policy, &f->port, f->now);

		f->now += wait;
		cr_assert_eq(hvsi_policy_wait(f->policy, &f->port, f->now), 0);
		if (f->now >= end)
			break;
		cr_assert(passes_built(f, OUT)); /* nothing is dropped */
		bits += len * 8;
	}
	return bits;
}

Test(net_policy, bandwidth_is_what_it_says_whatever_the_frames)
{
	static const uint64_t rates[] = {8000, 1000000, 1000000000, 100000000000};
	static const size_t lengths[] = {64, 1514, 60000};

	for (unsigned i = 0; i < 4; i++) {
		for (unsigned j = 0; j < 3; j++) {
			struct hvs_port_policy p = {HVS_PORT_POLICY_INIT,
						    .max_bits_per_second = rates[i]};
			/* A few thousand frames. */
			const uint64_t ns = lengths[j] * 8 * 5000 * SECOND / rates[i];
			const uint64_t right = lengths[j] * 8 * 5000;
			const uint64_t burst = rates[i] / 200;
			const uint64_t most = burst + (right + burst) / 300 + lengths[j] * 16;
			struct fixture f;
			uint64_t bits;

			up(&f, &p);
			cr_assert(hvsi_policy_needs_clock(f.policy));
			f.now = 3 * SECOND;
			bits = send(&f, ns, lengths[j]);
			/* Nothing takes a fraction of a clock's tick. */
			cr_assert(bits >= right - right / 300, "%lu %zu", rates[i], lengths[j]);
			cr_assert(bits <= right + most, "%lu %zu", rates[i], lengths[j]);
			/* Silence is not saved up, but for a moment. */
			f.now += 1000 * SECOND;
			bits = send(&f, 1, lengths[j]);
			cr_assert(bits <= most, "%lu", rates[i]);
			down(&f);
		}
	}
}

Test(net_policy, what_is_dropped_costs_no_bandwidth)
{
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .max_bits_per_second = 8000};
	const struct test_frame_spec s = {.protocol = TEST_UDP, .payload = 1000};
	struct fixture f;

	up(&f, &p);
	test_frame_build(&frame, &s);
	frame.b[11]++; /* not its own */
	cr_assert_not(passes_built(&f, OUT));
	cr_assert_eq(hvsi_policy_wait(f.policy, &f.port, f.now), 0);
	cr_assert(passes(&f, OUT, &s));
	cr_assert_gt(hvsi_policy_wait(f.policy, &f.port, f.now), SECOND);
	cr_assert(passes(&f, IN, &s)); /* to the guest there is no limit */
	hvsi_port_new_policy(&f.port);
	cr_assert_eq(hvsi_policy_wait(f.policy, &f.port, f.now), 0);
	down(&f);
}

Test(net_policy, without_limits_there_is_nothing_to_wait_for)
{
	struct fixture f;

	up(&f, NULL);
	cr_assert_not(hvsi_policy_needs_clock(f.policy));
	cr_assert_eq(hvsi_policy_wait(f.policy, &f.port, 0), 0);
	down(&f);
}
