/* SPDX-License-Identifier: MIT */
/* All integration services of a machine at once: what the guest sees, and what clients do. */
#include "support/alloc.h"
#include "support/kvpguest.h"
#include "support/manager.h"
#include "vmbus/proto.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/guestinfo.h>
#include <hvstack/host/services.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define UUID_TEXT "aabbccdd-0000-0000-0000-000000000000"

static const enum hvs_ic_kind kinds[] = {HVS_IC_HEARTBEAT, HVS_IC_KVP, HVS_IC_SHUTDOWN,
					 HVS_IC_TIMESYNC,  HVS_IC_VSS, HVS_IC_FILECOPY};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct mgr t;
static struct hvs_loopback *lb;
static struct hvs_guest *guest;
static struct hvs_services *services;
static struct kvp_guest program;
static struct test_alloc memory = TEST_ALLOC_INIT;

static void setup(void)
{
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT,
						.alloc = test_allocator(&memory)};

	mgr_up(&t, NULL);
	cr_assert_eq(hvs_loopback_create(&cfg, &lb), 0);
}

static void teardown(void)
{
	hvs_loopback_destroy(lb);
	cr_assert_eq(memory.live, 0);
	hvs_services_destroy(services);
	mgr_down(&t);
}

TestSuite(services, .init = setup, .fini = teardown, .timeout = 120);

static struct hvs_services_config config(uint32_t which)
{
	return (struct hvs_services_config){
		HVS_SERVICES_CONFIG_INIT,          .services = which, .base = t.base,
		.bus = hvs_loopback_bus(lb),       .manager = t.m,    .name = "web1",
		.uuid = {{0xdd, 0xcc, 0xbb, 0xaa}}};
}

static int create(uint32_t which)
{
	const struct hvs_services_config cfg = config(which);

	return hvs_services_create(&cfg, NULL, 0, &services);
}

static void start(int offers)
{
	cr_assert_eq(hvs_loopback_start(lb, &guest), 0);
	cr_assert_eq(hvs_guest_connect(guest, 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(guest), offers);
}

/* The guest's driver of a service, up to an agreed version. */
static struct ic_machine opened(enum hvs_ic_kind kind, uint32_t version)
{
	struct ic_machine m = {.opt = {.cfg = {.kind = kind}},
			       .lb = lb,
			       .guest = guest,
			       .ic = hvs_services_get(services, kind)};

	ic_open(&m);
	ic_negotiate(&m, version);
	return m;
}

/* What clients are told of a service. */
static bool enabled(int client, enum hvs_ic_kind kind)
{
	struct json_object *answer = mgr_call(&t, client, "services", NULL);
	struct json_object *all = mgr_result(answer, "services");
	bool found = false;

	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *one = json_object_array_get_idx(all, i);

		if (strcmp(json_object_get_string(json_object_object_get(one, "name")),
			   hvs_ic_kind_name(kind)) == 0)
			found = json_object_get_boolean(json_object_object_get(one, "enabled"));
	}
	json_object_put(answer);
	return found;
}

/* ---- what is offered --------------------------------------------------------------------------- */

Test(services, what_was_asked_for_is_offered_and_known_to_clients)
{
	int client = mgr_connect(&t);
	struct json_object *answer;

	cr_assert_eq(create(HVS_SERVICES_DEFAULT), 0);
	start(5);
	for (size_t i = 0; i < KINDS; i++) {
		const bool offered = HVS_SERVICES_DEFAULT & HVS_SERVICE(kinds[i]);

		cr_expect_eq(hvs_services_get(services, kinds[i]) != NULL, offered, "%u", kinds[i]);
		cr_expect_eq(hvs_guest_ic_offer(guest, kinds[i]) != NULL, offered, "%u", kinds[i]);
		cr_expect_eq(enabled(client, kinds[i]), offered, "%u", kinds[i]);
	}
	answer = mgr_call(&t, client, "channels", NULL);
	cr_expect_eq(json_object_array_length(mgr_result(answer, "channels")), 5);
	json_object_put(answer);
	close(client);
}

Test(services, a_machine_may_have_none_but_facts)
{
	cr_assert_eq(create(0), 0);
	for (size_t i = 0; i < KINDS; i++)
		cr_expect_null(hvs_services_get(services, kinds[i]));
	cr_expect_str_eq(hvs_guestinfo_get(hvs_services_guestinfo(services), HVS_KVP_AUTO_EXTERNAL,
					   "VirtualMachineName"),
			 "web1");
	start(0);
}

Test(services, the_guest_is_told_the_hosts_facts)
{
	struct ic_machine kvp;
	struct utsname host;

	cr_assert_eq(uname(&host), 0);
	cr_assert_eq(create(HVS_SERVICES_ALL), 0);
	start(6);
	kvp = opened(HVS_IC_KVP, IC_VERSION(4, 0));
	kvp_guest_run(&program, &kvp);
	cr_expect_eq(program.counts[HVS_KVP_AUTO_EXTERNAL], 5);
	cr_expect_str_eq(kvp_guest_has(&program, HVS_KVP_AUTO_EXTERNAL, "HostName"), host.nodename);
	cr_expect_str_eq(kvp_guest_has(&program, HVS_KVP_AUTO_EXTERNAL, "VirtualMachineName"),
			 "web1");
	cr_expect_str_eq(kvp_guest_has(&program, HVS_KVP_AUTO_EXTERNAL, "VirtualMachineId"),
			 UUID_TEXT);
}

Test(services, clients_hear_what_happens_to_a_service_and_what_the_guest_says)
{
	int client = mgr_connect(&t);
	struct json_object *event;
	struct ic_machine kvp;
	const char *line;

	cr_assert_eq(create(HVS_SERVICES_DEFAULT), 0);
	start(5);
	cr_assert_eq(mgr_code(&t, client, "events", NULL), 0);
	kvp_guest_sets(&program, HVS_KVP_AUTO, "OSName", "Debian");
	kvp = opened(HVS_IC_KVP, IC_VERSION(4, 0));
	event = mgr_message(&t, client);
	line = json_object_to_json_string_ext(event, JSON_C_TO_STRING_PLAIN);
	cr_expect(strstr(line, "\"service\":\"kvp\"") != NULL, "%s", line);
	json_object_put(event);
	kvp_guest_run(&program, &kvp);
	do
		line = mgr_line(&t, client);
	while (strstr(line, "\"event\":\"service-status\""));
	cr_expect(strstr(line, "\"event\":\"kvp-changed\"") != NULL, "%s", line);
	close(client);
}

Test(services, a_guest_whose_time_has_jumped_is_told_at_once)
{
	struct hvs_guest_ic_message msg = {0};
	struct ic_machine timesync;

	cr_assert_eq(create(HVS_SERVICE(HVS_IC_TIMESYNC)), 0);
	hvs_services_time_jumped(services);
	start(1);
	timesync = opened(HVS_IC_TIMESYNC, IC_VERSION(3, 0));
	while (hvs_guest_ic_recv(timesync.ch, &msg) == 1)
		ic_answer(&timesync, &msg, HVS_IC_S_OK, msg.body, msg.len);
	hvs_services_time_jumped(services);
	cr_assert_not(ic_nothing(&timesync));
}

/* ---- at run time ------------------------------------------------------------------------------- */

Test(services, a_service_comes_and_goes_while_the_guest_runs)
{
	int client = mgr_connect(&t);
	uint8_t message[HVSI_MSG_MAX];

	cr_assert_eq(create(HVS_SERVICES_DEFAULT), 0);
	start(5);
	cr_assert_eq(hvs_services_enable(services, HVS_IC_VSS, true), 0, "it is there");
	cr_assert_eq(hvs_services_enable(services, HVS_IC_FILECOPY, false), 0, "it is not there");
	cr_assert_eq(hvs_services_enable(services, HVS_IC_FILECOPY, true), 0);
	cr_assert_eq(hvs_guest_wait_message(guest, HVSI_MSG_OFFERCHANNEL, message), 196);
	cr_expect(enabled(client, HVS_IC_FILECOPY));
	cr_assert_eq(hvs_services_enable(services, HVS_IC_VSS, false), 0);
	cr_expect_null(hvs_services_get(services, HVS_IC_VSS));
	cr_expect_not(enabled(client, HVS_IC_VSS));
	cr_assert_eq(hvs_guest_wait_message(guest, HVSI_MSG_RESCIND_CHANNELOFFER, message), 12);
	cr_assert_eq(hvs_services_enable(services, HVS_IC_VSS, true), 0);
	cr_expect(enabled(client, HVS_IC_VSS));
	close(client);
}

Test(services, pairs_outlive_their_service)
{
	struct hvs_guestinfo *table;

	cr_assert_eq(create(HVS_SERVICES_DEFAULT), 0);
	table = hvs_services_guestinfo(services);
	cr_assert_eq(hvs_guestinfo_set(table, HVS_KVP_EXTERNAL, "color", "blue", NULL, NULL), 0);
	cr_assert_eq(hvs_services_enable(services, HVS_IC_KVP, false), 0);
	/* A bus that has not been started lets go of nothing. */
	cr_expect_eq(hvs_services_enable(services, HVS_IC_KVP, true), -EBUSY);
	start(4);
	cr_assert_eq(hvs_services_enable(services, HVS_IC_KVP, true), 0);
	cr_expect_str_eq(hvs_guestinfo_get(table, HVS_KVP_EXTERNAL, "color"), "blue");
}

/* ---- what fails -------------------------------------------------------------------------------- */

Test(services, a_service_that_clients_have_of_another_machine_stays_theirs)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_VSS}};
	struct ic_machine *other = ic_up(&opt);
	int client = mgr_connect(&t);

	cr_assert_eq(hvs_manager_add_ic(t.m, other->ic), 0);
	cr_assert_eq(create(HVS_SERVICES_DEFAULT), -EEXIST);
	for (size_t i = 0; i < KINDS; i++)
		cr_expect_eq(enabled(client, kinds[i]), kinds[i] == HVS_IC_VSS, "%u", kinds[i]);
	cr_expect_eq(mgr_code(&t, client, "kvp-list", "{\"pool\":\"external\"}"),
		     HVS_CALL_NOT_SUPPORTED);
	/* The same at run time. */
	cr_assert_eq(create(HVS_SERVICE(HVS_IC_SHUTDOWN)), 0);
	cr_assert_eq(hvs_services_enable(services, HVS_IC_VSS, true), -EEXIST);
	cr_expect_null(hvs_services_get(services, HVS_IC_VSS));
	cr_expect(enabled(client, HVS_IC_VSS));
	hvs_manager_remove_ic(t.m, HVS_IC_VSS);
	start(1);
	close(client);
	ic_down(other);
}

Test(services, memory_that_ends_at_any_point_leaves_nothing)
{
	int client = mgr_connect(&t);
	size_t n = 0;

	for (;; n++) {
		memory.calls = 0;
		memory.fail_at = n;
		memory.failed = false;
		if (create(HVS_SERVICES_ALL) == 0)
			break;
		cr_assert(memory.failed);
		for (size_t i = 0; i < KINDS; i++)
			cr_expect_not(enabled(client, kinds[i]));
	}
	memory.fail_at = SIZE_MAX;
	cr_assert_geq(n, KINDS);
	start((int)KINDS);
	close(client);
}

Test(services, a_file_of_pairs_that_is_none_is_named)
{
	struct hvs_services_config cfg = config(HVS_SERVICES_ALL);
	char why[200];

	cfg.path = "/dev/null/pairs";
	cr_assert_neq(hvs_services_create(&cfg, why, sizeof(why), &services), 0);
	cr_expect(strstr(why, "can't be opened") != NULL, "%s", why);
	cr_assert_eq(create(HVS_SERVICES_ALL), 0);
	start((int)KINDS);
}

Test(services, what_makes_no_sense_is_refused)
{
	struct hvs_services_config cfg = config(HVS_SERVICES_ALL | 1);

	cr_expect_eq(hvs_services_create(NULL, NULL, 0, &services), -EINVAL);
	cr_expect_eq(hvs_services_create(&cfg, NULL, 0, NULL), -EINVAL);
	cr_expect_eq(hvs_services_create(&cfg, NULL, 0, &services), -EINVAL);
	cfg = config(HVS_SERVICE(6));
	cr_expect_eq(hvs_services_create(&cfg, NULL, 0, &services), -EINVAL);
	cfg = config(0);
	cfg.base = NULL;
	cr_expect_eq(hvs_services_create(&cfg, NULL, 0, &services), -EINVAL);
	cfg = config(0);
	cfg.bus = NULL;
	cr_expect_eq(hvs_services_create(&cfg, NULL, 0, &services), -EINVAL);
	cr_expect_eq(hvs_services_enable(NULL, HVS_IC_KVP, true), -EINVAL);
	cr_assert_eq(create(0), 0);
	cr_expect_eq(hvs_services_enable(services, (enum hvs_ic_kind)0, true), -EINVAL);
	cr_expect_eq(hvs_services_enable(services, (enum hvs_ic_kind)6, true), -EINVAL);
	cr_expect_eq(hvs_services_enable(services, (enum hvs_ic_kind)99, true), -EINVAL);
	cr_expect_null(hvs_services_get(services, (enum hvs_ic_kind)99));
	cr_expect_null(hvs_services_get(NULL, HVS_IC_KVP));
	cr_expect_null(hvs_services_guestinfo(NULL));
	hvs_services_time_jumped(NULL);
	hvs_services_destroy(NULL);
}
