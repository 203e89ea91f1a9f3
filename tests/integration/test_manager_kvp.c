/* SPDX-License-Identifier: MIT */
/* Pairs and addresses as clients of the management server have them, with a guest like Linux. */
#include "support/kvpguest.h"
#include "support/manager.h"

#include <event2/event.h>
#include <hvstack/host/guestinfo.h>
#include <string.h>
#include <unistd.h>

static struct mgr t;
static struct ic_machine *machine;
static struct hvs_guestinfo *table;
static struct kvp_guest guest;
static int client;

/* ---- the host ---------------------------------------------------------------------------------- */

static void run_guest(void *arg)
{
	(void)arg;
	kvp_guest_run(&guest, machine);
}

static void on_event(void *arg, enum hvs_ic_event event)
{
	(void)arg;
	hvs_guestinfo_ic_event(table, event);
	hvs_manager_ic_event(t.m, machine->ic, event);
}

static void on_changed(void *arg, enum hvs_kvp_pool pool, const char *key, const char *value)
{
	(void)arg;
	hvs_manager_kvp_changed(t.m, pool, key, value);
}

static void on_changes_end(void *arg, enum hvs_kvp_pool pool)
{
	(void)arg;
	hvs_manager_kvp_changes_end(t.m, pool);
}

static bool find_net(void *arg, const char *id, uint8_t mac[6], struct hvs_guid *instance_id)
{
	static const uint8_t address[] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03};

	(void)arg;
	memcpy(mac, address, sizeof(address));
	*instance_id = (struct hvs_guid){{0xdd, 0xcc, 0xbb, 0xaa}};
	return strcmp(id, "lan") == 0;
}

static void come(void)
{
	ic_open(machine);
	ic_negotiate(machine, IC_VERSION(4, 0));
}

static void setup(void)
{
	const struct hvs_guestinfo_ops ops = {HVS_GUESTINFO_OPS_INIT, .changed = on_changed,
					      .changes_end = on_changes_end};
	const struct hvs_manager_machine_ops net = {HVS_MANAGER_MACHINE_OPS_INIT,
						    .find_net = find_net};
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_KVP}};
	struct hvs_guestinfo_config cfg = {HVS_GUESTINFO_CONFIG_INIT, .refresh_ms = 1000000};

	mgr_up(&t, NULL);
	cfg.base = t.base;
	cr_assert_eq(hvs_guestinfo_create(&cfg, &ops, NULL, NULL, 0, &table), 0);
	hvs_manager_set_guestinfo(t.m, table);
	cr_assert_eq(hvs_manager_set_machine(t.m, &net, NULL), 0);
	machine = ic_up(&opt);
	machine->on_event = on_event;
	hvs_guestinfo_set_ic(table, machine->ic);
	cr_assert_eq(hvs_manager_add_ic(t.m, machine->ic), 0);
	guest.mac = "00:15:5D:01:02:03";
	guest.device = "{aabbccdd-0000-0000-0000-000000000000}";
	ic_connect(machine);
	come();
	t.run = run_guest;
	client = mgr_connect(&t);
}

static void teardown(void)
{
	close(client);
	mgr_run(&t);
	machine->on_event = NULL;
	hvs_manager_set_guestinfo(t.m, NULL);
	hvs_guestinfo_destroy(table);
	mgr_down(&t);
	ic_down(machine);
}

TestSuite(manager_kvp, .init = setup, .fini = teardown, .timeout = 120);

static int code(const char *method, const char *params)
{
	return mgr_code(&t, client, method, params);
}

/* The method succeeds, and this member of its result is that, as JSON. */
static void expect(const char *method, const char *params, const char *member, const char *want)
{
	struct json_object *answer = mgr_call(&t, client, method, params);

	cr_expect_str_eq(json_object_to_json_string_ext(mgr_result(answer, member),
							JSON_C_TO_STRING_PLAIN |
								JSON_C_TO_STRING_NOSLASHESCAPE),
			 want);
	json_object_put(answer);
}

/* ---- pairs ------------------------------------------------------------------------------------- */

#define OS_NAME "{\"pool\":\"auto\",\"key\":\"OSName\"}"
#define OS_NAME_NOW "{\"pool\":\"auto\",\"key\":\"OSName\",\"refresh\":true}"

Test(manager_kvp, what_the_guest_says_is_listed_once_it_was_looked_at)
{
	kvp_guest_sets(&guest, HVS_KVP_AUTO, "OSVersion", "6.1");
	kvp_guest_sets(&guest, HVS_KVP_AUTO, "OSName", "Debian");
	expect("kvp-list", "{\"pool\":\"auto\",\"refresh\":true}", "items",
	       "[{\"key\":\"OSName\",\"value\":\"Debian\"},"
	       "{\"key\":\"OSVersion\",\"value\":\"6.1\"}]");
	expect("kvp-list", "{\"pool\":\"auto\"}", "complete", "true");
	expect("kvp-get", OS_NAME, "value", "\"Debian\"");
	expect("info", NULL, "os.name", "\"Debian\"");
	expect("info", NULL, "os.build", "null");
}

Test(manager_kvp, only_a_refresh_asks_the_guest_anew_and_tells_what_has_changed)
{
	struct json_object *event;

	kvp_guest_sets(&guest, HVS_KVP_AUTO, "OSName", "Debian");
	expect("kvp-get", OS_NAME_NOW, "value", "\"Debian\"");
	kvp_guest_sets(&guest, HVS_KVP_AUTO, "OSName", "Devuan");
	expect("kvp-get", OS_NAME, "value", "\"Debian\"");
	cr_assert_eq(code("events", NULL), 0);
	mgr_send(client,
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"kvp-get\",\"params\":" OS_NAME_NOW
		 "}\n");
	event = mgr_message(&t, client);
	cr_expect(strstr(json_object_to_json_string_ext(event, JSON_C_TO_STRING_PLAIN),
			 "\"pool\":\"auto\",\"changed\":"
			 "[{\"key\":\"OSName\",\"value\":\"Devuan\"}]") != NULL,
		  "%s", json_object_to_json_string(event));
	json_object_put(event);
	event = mgr_message(&t, client);
	cr_expect_str_eq(json_object_get_string(mgr_result(event, "value")), "Devuan");
	json_object_put(event);
}

Test(manager_kvp, a_pair_that_is_set_is_the_guests_until_it_is_deleted)
{
	static const char color[] = "{\"pool\":\"external\",\"key\":\"color\"}";

	expect("kvp-set", "{\"key\":\"color\",\"value\":\"blue\"}", "delivered", "true");
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "color"), "blue");
	expect("kvp-get", color, "value", "\"blue\"");
	expect("kvp-list", "{\"pool\":\"external\"}", "items",
	       "[{\"key\":\"color\",\"value\":\"blue\"}]");
	expect("kvp-delete", color, "delivered", "true");
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "color"), "(none)");
	cr_assert_eq(code("kvp-get", color), HVS_CALL_NOT_FOUND);
	cr_assert_eq(code("kvp-delete", color), HVS_CALL_NOT_FOUND);
}

Test(manager_kvp, a_pair_of_a_guest_that_is_away_waits_for_it)
{
	cr_assert_eq(hvs_guest_channel_close(machine->ch), 0);
	ic_run(machine);
	t.run = NULL;
	expect("kvp-set", "{\"pool\":\"auto-external\",\"key\":\"HostName\",\"value\":\"h\"}",
	       "delivered", "false");
	come();
	t.run = run_guest;
	MGR_UNTIL(&t, strcmp(kvp_guest_has(&guest, HVS_KVP_AUTO_EXTERNAL, "HostName"), "h") == 0);
}

Test(manager_kvp, a_program_that_fails_is_the_guests_error)
{
	guest.fails = true;
	cr_expect_eq(code("kvp-get", OS_NAME_NOW), HVS_CALL_GUEST_ERROR);
	cr_expect_eq(code("kvp-list", "{\"pool\":\"guest\",\"refresh\":true}"),
		     HVS_CALL_GUEST_ERROR);
	cr_expect_eq(code("kvp-set", "{\"key\":\"a\",\"value\":\"b\"}"), HVS_CALL_GUEST_ERROR);
	cr_expect_eq(code("ip-get", "{\"net\":\"lan\"}"), HVS_CALL_GUEST_ERROR);
}

Test(manager_kvp, the_guests_pools_and_what_is_no_pair_are_not_written)
{
	static const char *const params[] = {
		"{\"pool\":\"auto\",\"key\":\"a\",\"value\":\"b\"}",
		"{\"pool\":\"guest\",\"key\":\"a\",\"value\":\"b\"}",
		"{\"pool\":\"mine\",\"key\":\"a\",\"value\":\"b\"}",
		"{\"key\":\"\",\"value\":\"b\"}",
		"{\"key\":\"a\"}",
	};

	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++)
		cr_expect_eq(code("kvp-set", params[i]), HVS_CALL_INVALID_PARAMS, "%s", params[i]);
	expect("kvp-list", "{\"pool\":\"external\"}", "items", "[]");
}

/* ---- addresses --------------------------------------------------------------------------------- */

Test(manager_kvp, addresses_are_asked_for_by_adapter_or_mac)
{
	static const char *const params[] = {"{\"net\":\"lan\"}",
					     "{\"mac\":\"00:15:5d:01:02:03\",\"timeout_ms\":5000}"};

	guest.ip = (struct kvp_guest_ip){true, "192.0.2.7;fe80::1", "255.255.255.0;64", "192.0.2.1",
					 "192.0.2.53;2001:db8::53"};
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		expect("ip-get", params[i], "dhcp", "true");
		expect("ip-get", params[i], "addresses", "[\"192.0.2.7/24\",\"fe80::1/64\"]");
		expect("ip-get", params[i], "gateways", "[\"192.0.2.1\"]");
		expect("ip-get", params[i], "dns", "[\"192.0.2.53\",\"2001:db8::53\"]");
	}
	cr_expect_eq(code("ip-get", "{\"mac\":\"00:15:5d:01:02:04\"}"), HVS_CALL_GUEST_ERROR);
	cr_expect_eq(code("ip-get", "{\"net\":\"wan\"}"), HVS_CALL_NOT_FOUND);
}

Test(manager_kvp, addresses_that_are_set_are_the_guests)
{
	cr_assert_eq(code("ip-set", "{\"net\":\"lan\",\"addresses\":[\"192.0.2.7/25\"],"
				    "\"gateways\":[\"192.0.2.1\"],\"dns\":[\"192.0.2.53\"]}"),
		     0);
	cr_expect_not(guest.ip.dhcp);
	cr_expect_str_eq(guest.ip.addresses, "192.0.2.7");
	cr_expect_str_eq(guest.ip.subnets, "255.255.255.128");
	cr_expect_str_eq(guest.ip.gateways, "192.0.2.1");
	cr_expect_str_eq(guest.ip.dns, "192.0.2.53");
	cr_assert_eq(code("ip-set", "{\"net\":\"lan\",\"dhcp\":true}"), 0);
	cr_expect(guest.ip.dhcp);
	guest.device = NULL;
	cr_expect_eq(code("ip-set", "{\"net\":\"lan\",\"dhcp\":true}"), HVS_CALL_GUEST_ERROR);
}

Test(manager_kvp, addresses_that_are_none_never_reach_the_guest)
{
	static const char *const members[] = {
		"\"addresses\":[\"192.0.2.7\"]",      "\"addresses\":[\"192.0.2.7/33\"]",
		"\"addresses\":[\"192.0.2/24\"]",     "\"addresses\":\"192.0.2.7/24\"",
		"\"addresses\":[\"fe80::1/129\"]",    "\"addresses\":[\"192.0.2.7/+8\"]",
		"\"gateways\":[\"192.0.2.1/24\"]",    "\"gateways\":[7]",
		"\"dns\":[\"resolver.example.org\"]",
	};
	char params[100];

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		snprintf(params, sizeof(params), "{\"net\":\"lan\",%s}", members[i]);
		cr_expect_eq(code("ip-set", params), HVS_CALL_INVALID_PARAMS, "%s", params);
	}
	cr_expect_eq(code("ip-set", "{\"net\":\"wan\",\"dhcp\":true}"), HVS_CALL_NOT_FOUND);
	cr_expect_eq(code("ip-get", "{}"), HVS_CALL_INVALID_PARAMS);
	cr_expect_eq(code("ip-get", "{\"mac\":\"00:15:5d:01:02\"}"), HVS_CALL_INVALID_PARAMS);
	cr_expect_eq(ic_status(machine).failures, 0);
}
