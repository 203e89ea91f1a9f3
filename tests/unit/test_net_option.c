/* SPDX-License-Identifier: MIT */
/* hvrun's words about network adapters: the option, and policies in JSON. */
#include "net_option.h"
#include "net_policy.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static struct net_option option;
static char text[500];
static char why[256];

static bool parse(const char *given)
{
	(void)snprintf(text, sizeof(text), "%s", given);
	why[0] = '\0';
	return net_option_parse(text, &option, why, sizeof(why));
}

static void refused(const char *given, const char *words)
{
	cr_assert_not(parse(given), "%s", given);
	cr_assert(strstr(why, words) != NULL, "%s: '%s' is not in '%s'", given, words, why);
}

Test(net_option, back_ends)
{
	cr_assert(parse("user"));
	cr_assert_eq(option.kind, NET_USER);
	cr_assert(option.target == NULL && option.id == NULL && option.policy == NULL);
	cr_assert(parse("tap:tap0"));
	cr_assert_eq(option.kind, NET_TAP);
	cr_assert_str_eq(option.target, "tap0");
	cr_assert(parse("socket:/tmp/a,,b,listen"));
	cr_assert_eq(option.kind, NET_SOCKET);
	cr_assert_str_eq(option.target, "/tmp/a,b");
	cr_assert(option.listen);
	refused("", "give user, tap:NAME or socket:PATH");
	refused("tap", "give user");
	refused("tap:", "give user");
	refused("bridge:br0", "give user");
	refused("users", "give user");
}

Test(net_option, what_any_can_have)
{
	cr_assert(parse("tap:t,id=lan,mac=02:aB:00:00:00:01,mtu=9000,queues=4,name=My NIC,vlan=12,"
			"capture=/tmp/file"));
	cr_assert_str_eq(option.id, "lan");
	cr_assert_arr_eq(option.mac, ((uint8_t[6]){2, 0xab, 0, 0, 0, 1}), 6);
	cr_assert_eq(option.mtu, 9000);
	cr_assert_eq(option.queues, 4);
	cr_assert_str_eq(option.name, "My NIC");
	cr_assert_eq(option.vlan, 12);
	cr_assert_str_eq(option.capture, "/tmp/file");
	cr_assert(parse("user,policy=p.json"));
	cr_assert_str_eq(option.policy, "p.json");
	cr_assert_eq(option.mac[0], 0);
}

Test(net_option, what_is_wrong_is_named)
{
	refused("user,id=", "'id='");
	refused("user,mac=01:00:00:00:00:01", "'mac=01:00:00:00:00:01'");
	refused("user,mac=00:00:00:00:00:00", "mac=");
	refused("user,mac=02:00:00:00:00", "mac=");
	refused("user,mac=02-00-00-00-00-01", "mac=");
	refused("user,mac=02:00:00:00:00:0g", "mac=");
	refused("user,mtu=67", "mtu=67");
	refused("user,mtu=9203", "mtu=9203");
	refused("user,vlan=0", "vlan=0");
	refused("user,vlan=4095", "vlan=4095");
	refused("user,queues=2", "queues=2");
	refused("tap:t,queues=0", "queues=0");
	refused("tap:t,restricted", "'restricted'");
	refused("tap:t,forward=tcp:1:2", "forward=");
	refused("user,listen", "'listen'");
	refused("user,speed=1", "'speed=1'");
	refused("user,vlan=1,policy=p", "exclude each other");
}

Test(net_option, forwards)
{
	const struct net_forward *f = option.forwards;

	cr_assert(parse("user,restricted,forward=tcp:2222:22,forward=udp:127.0.0.1:53:5353"));
	cr_assert(option.restricted);
	cr_assert_eq(option.forward_count, 2);
	cr_assert_not(f[0].udp);
	cr_assert_eq(f[0].host_port, 2222);
	cr_assert_eq(f[0].guest_port, 22);
	cr_assert_arr_eq(f[0].host_addr, ((uint8_t[4]){0, 0, 0, 0}), 4);
	cr_assert(f[1].udp);
	cr_assert_eq(f[1].host_port, 53);
	cr_assert_eq(f[1].guest_port, 5353);
	cr_assert_arr_eq(f[1].host_addr, ((uint8_t[4]){127, 0, 0, 1}), 4);
	refused("user,forward=sctp:1:2", "forward=sctp:1:2");
	refused("user,forward=tcp:1", "forward=tcp:1");
	refused("user,forward=tcp:0:1", "forward=tcp:0:1");
	refused("user,forward=tcp:1:65536", "forward=");
	refused("user,forward=tcp:localhost:1:2", "forward=");
	refused("user,forward=tcp::1:2", "forward=");
	refused("user,forward=tcp:1:2x", "forward=");
}

Test(net_option, there_is_an_end_to_forwards)
{
	char many[400];
	int len = snprintf(many, sizeof(many), "user");

	for (unsigned i = 0; i < HVRUN_MAX_FORWARDS; i++)
		len += snprintf(many + len, sizeof(many) - (size_t)len, ",forward=tcp:1:1");
	cr_assert(parse(many), "%s", why);
	(void)snprintf(many + len, sizeof(many) - (size_t)len, ",forward=tcp:1:1");
	refused(many, "forward=");
}

/* ---- policies ------------------------------------------------------------------------------- */

static struct hvs_port_policy policy;

static bool parse_policy(const char *json)
{
	struct json_object *object = json_tokener_parse(json);
	bool ok;

	net_policy_free(&policy);
	cr_assert(object != NULL || strcmp(json, "null") == 0, "%s", json);
	ok = net_policy_parse(object, &policy, why, sizeof(why));
	json_object_put(object);
	return ok;
}

static void free_policy(void)
{
	net_policy_free(&policy);
}

TestSuite(net_policy, .fini = free_policy);

static void policy_refused(const char *json, const char *words)
{
	cr_assert_not(parse_policy(json), "%s", json);
	cr_assert(strstr(why, words) != NULL, "%s: '%s' is not in '%s'", json, words, why);
}

Test(net_policy, nothing_is_what_adapters_begin_with)
{
	static const char *const none[] = {"null", "{}", "{\"dhcp-guard\": false}"};

	for (unsigned i = 0; i < 3; i++) {
		cr_assert(parse_policy(none[i]));
		cr_assert_eq(policy.size, sizeof(policy));
		cr_assert_eq(policy.flags, 0);
		cr_assert_eq(policy.vlan, HVS_PORT_VLAN_TRANSPARENT);
		cr_assert_eq(policy.rule_count, 0);
	}
}

Test(net_policy, flags_and_limits)
{
	cr_assert(parse_policy("{\"mac-spoofing\": true, \"dhcp-guard\": true, "
			       "\"router-guard\": true, \"priority-tag\": true, "
			       "\"max-bits-per-second\": 10000000, \"max-storm-frames\": 100}"));
	cr_assert_eq(policy.flags, HVS_PORT_MAC_SPOOFING | HVS_PORT_DHCP_GUARD |
					   HVS_PORT_ROUTER_GUARD | HVS_PORT_PRIORITY_TAG);
	cr_assert_eq(policy.max_bits_per_second, 10000000);
	cr_assert_eq(policy.max_storm_frames, 100);
}

Test(net_policy, vlans)
{
	cr_assert(parse_policy("{\"vlan\": 4094}"));
	cr_assert_eq(policy.vlan, HVS_PORT_VLAN_ACCESS);
	cr_assert_eq(policy.vlan_id, 4094);
	cr_assert(parse_policy("{\"vlan\": [1, 70, 4094], \"native-vlan\": 5}"));
	cr_assert_eq(policy.vlan, HVS_PORT_VLAN_TRUNK);
	cr_assert_eq(policy.vlan_id, 5);
	cr_assert_eq(policy.trunk[0], 2);
	cr_assert_eq(policy.trunk[1], 1u << 6);
	cr_assert_eq(policy.trunk[63], UINT64_C(1) << 62);
}

Test(net_policy, rules_and_quarantine)
{
	const struct hvs_port_rule *r;

	cr_assert(parse_policy(
		"{\"rules\": [{\"action\": \"deny\", \"direction\": \"out\", "
		"\"remote\": \"10.0.0.0/8\"}, {\"action\": \"allow\", \"local\": \"fd00::1\", "
		"\"remote\": \"any\"}, {\"action\": \"meter\", \"direction\": \"in\", "
		"\"remote\": \"02:00:00:00:00:01\"}], \"quarantine\": [\"192.0.2.1\"]}"));
	cr_assert_eq(policy.rule_count, 3);
	r = policy.rules;
	cr_assert_eq(r[0].action, HVS_PORT_DENY);
	cr_assert_eq(r[0].direction, HVS_PORT_OUT);
	cr_assert_eq(r[0].local.kind, HVS_PORT_ANY);
	cr_assert_eq(r[0].remote.kind, HVS_PORT_IP4);
	cr_assert_eq(r[0].remote.prefix, 8);
	cr_assert_eq(r[0].remote.bytes[0], 10);
	cr_assert_eq(r[1].direction, HVS_PORT_BOTH);
	cr_assert_eq(r[1].local.kind, HVS_PORT_IP6);
	cr_assert_eq(r[1].local.prefix, 128);
	cr_assert_eq(r[2].action, HVS_PORT_METER);
	cr_assert_eq(r[2].remote.kind, HVS_PORT_MAC);
	cr_assert_eq(r[2].remote.prefix, 0);
	cr_assert_eq(policy.flags, HVS_PORT_QUARANTINE);
	cr_assert_eq(policy.remediation_count, 1);
	cr_assert_eq(policy.remediation[0].prefix, 32);
}

Test(net_policy, what_is_wrong_is_named)
{
	policy_refused("[]", "a JSON object is needed");
	policy_refused("{\"speed\": 1}", "'speed' is not known");
	policy_refused("{\"dhcp-guard\": 1}", "'dhcp-guard'");
	policy_refused("{\"vlan\": 0}", "'vlan'");
	policy_refused("{\"vlan\": 4095}", "'vlan'");
	policy_refused("{\"vlan\": [0]}", "'vlan'");
	policy_refused("{\"vlan\": \"1\"}", "'vlan'");
	policy_refused("{\"native-vlan\": 1}", "'native-vlan'");
	policy_refused("{\"vlan\": 1, \"native-vlan\": 1}", "'native-vlan'");
	policy_refused("{\"max-bits-per-second\": -1}", "'max-bits-per-second'");
	policy_refused("{\"max-storm-frames\": 4294967296}", "'max-storm-frames'");
	policy_refused("{\"rules\": {}}", "'rules'");
	policy_refused("{\"rules\": [1]}", "a rule has");
	policy_refused("{\"rules\": [{}]}", "a rule has");
	policy_refused("{\"rules\": [{\"action\": \"drop\"}]}", "a rule has");
	policy_refused("{\"rules\": [{\"action\": \"deny\", \"port\": 1}]}", "a rule has");
	policy_refused("{\"rules\": [{\"action\": \"deny\", \"local\": \"10.0.0.0/33\"}]}",
		       "a rule has");
	policy_refused("{\"rules\": [{\"action\": \"deny\", \"local\": \"10.0.0.0/\"}]}",
		       "a rule has");
	policy_refused("{\"rules\": [{\"action\": \"deny\", \"local\": \"fd00::/129\"}]}",
		       "a rule has");
	policy_refused("{\"rules\": [{\"action\": \"deny\", \"local\": \"host\"}]}", "a rule has");
	policy_refused("{\"rules\": [{\"action\": \"deny\", \"local\": 5}]}", "a rule has");
	policy_refused("{\"quarantine\": [\"any\"]}", "'quarantine'");
	policy_refused("{\"quarantine\": [\"02:00:00:00:00:01\"]}", "'quarantine'");
	policy_refused("{\"quarantine\": 1}", "'quarantine'");
}
