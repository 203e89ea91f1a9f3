/* SPDX-License-Identifier: MIT */
/* Methods of services, with a guest that answers or does not: what clients are told, and what ends
 * when they leave. */
#include "support/ic.h"
#include "support/manager.h"

#include <event2/event.h>
#include <string.h>
#include <unistd.h>

static struct mgr t;
static struct ic_machine *machine;

static void run_host(void *arg)
{
	(void)arg;
	ic_run(machine);
}

static int up_with(enum hvs_ic_kind kind, uint32_t version)
{
	const struct ic_options opt = {.cfg = {.kind = kind}};

	mgr_up(&t, NULL);
	machine = ic_new(&opt, version);
	t.run = run_host;
	cr_assert_eq(hvs_manager_add_ic(t.m, machine->ic), 0);
	cr_assert_eq(hvs_manager_add_ic(t.m, machine->ic), -EEXIST);
	return mgr_connect(&t);
}

static void down(int fd)
{
	close(fd);
	mgr_run(&t);
	mgr_down(&t);
	ic_down(machine);
}

static void ask(int fd, const char *method, const char *params)
{
	char line[400];

	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method,
		       params);
	mgr_send(fd, line);
}

TestSuite(manager_ic, .timeout = 120);

/* ---- without --------------------------------------------------------------------------------- */

Test(manager_ic, a_service_that_is_not_offered_is_not_supported)
{
	static const struct {
		const char *method;
		const char *params;
	} calls[] = {
		{"heartbeat", NULL},
		{"time-sync", NULL},
		{"shutdown", "{\"action\":\"restart\"}"},
		{"kvp-list", "{\"pool\":\"auto\"}"},
		{"kvp-set", "{\"key\":\"a\",\"value\":\"b\"}"},
		{"ip-get", "{\"mac\":\"00:15:5d:01:02:03\"}"},
		{"copy-file-start", "{\"directory\":\"/tmp\",\"name\":\"a\",\"bytes\":1}"},
		{"freeze", NULL},
		{"thaw", NULL},
		{"service-enable", "{\"service\":\"kvp\",\"enabled\":true}"},
	};
	struct json_object *answer;
	struct json_object *all;
	int fd;

	mgr_up(&t, NULL);
	fd = mgr_connect(&t);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		cr_expect_eq(mgr_code(&t, fd, calls[i].method, calls[i].params),
			     HVS_CALL_NOT_SUPPORTED, "%s", calls[i].method);
	answer = mgr_call(&t, fd, "services", NULL);
	all = mgr_result(answer, "services");
	cr_assert_eq(json_object_array_length(all), 6);
	cr_assert(strstr(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN),
			 "\"enabled\":false,\"open\":false,\"ready\":false,"
			 "\"primary\":{\"code\":32896,\"name\":\"Disabled\"}") != NULL);
	json_object_put(answer);
	close(fd);
	mgr_down(&t);
}

/* ---- with ---------------------------------------------------------------------------------------- */

Test(manager_ic, a_shutdown_that_the_guest_accepts_is_an_answer_and_an_event)
{
	int fd = up_with(HVS_IC_SHUTDOWN, IC_VERSION(3, 2));
	struct hvs_guest_ic_message msg;
	struct json_object *message;
	struct json_object *params;

	cr_assert_eq(mgr_code(&t, fd, "events", NULL), 0);
	ask(fd, "shutdown", "{\"action\":\"restart\",\"force\":true,\"reason\":\"why not\"}");
	mgr_run(&t);
	msg = ic_take(machine);
	ic_answer(machine, &msg, HVS_IC_S_OK, msg.body, msg.len);
	message = mgr_message(&t, fd);
	cr_assert(json_object_object_get_ex(message, "params", &params), "%s",
		  json_object_to_json_string(message));
	cr_assert(strstr(json_object_to_json_string_ext(params, JSON_C_TO_STRING_PLAIN),
			 "\"action\":\"restart\"") != NULL);
	json_object_put(message);
	message = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(message, NULL), 0);
	json_object_put(message);
	down(fd);
}

Test(manager_ic, what_the_guest_refuses_has_its_status)
{
	int fd = up_with(HVS_IC_SHUTDOWN, IC_VERSION(3, 2));
	struct hvs_guest_ic_message msg;
	struct json_object *answer;

	ask(fd, "shutdown", "{\"action\":\"hibernate\"}");
	mgr_run(&t);
	msg = ic_take(machine);
	ic_answer(machine, &msg, HVS_IC_E_FAIL, msg.body, msg.len);
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), HVS_CALL_GUEST_ERROR);
	cr_assert(strstr(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN),
			 "\"guest_status\":2147500037") != NULL);
	json_object_put(answer);
	down(fd);
}

Test(manager_ic, one_shutdown_at_a_time_and_an_answer_in_time)
{
	int fd = up_with(HVS_IC_SHUTDOWN, IC_VERSION(3, 2));
	struct json_object *answer;

	ask(fd, "shutdown", "{\"action\":\"power-off\",\"timeout_ms\":5000}");
	mgr_run(&t);
	cr_assert_eq(mgr_code(&t, fd, "shutdown", "{\"action\":\"power-off\"}"), HVS_CALL_BUSY);
	ic_advance(machine, 6000);
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), HVS_CALL_GUEST_TIMEOUT);
	json_object_put(answer);
	down(fd);
}

Test(manager_ic, a_request_ends_with_its_client)
{
	int fd = up_with(HVS_IC_SHUTDOWN, IC_VERSION(3, 2));
	int other;

	ask(fd, "shutdown", "{\"action\":\"power-off\"}");
	mgr_run(&t);
	cr_assert_eq(ic_status(machine).waiting, 1);
	close(fd);
	MGR_UNTIL(&t, !hvs_manager_has_client(t.m, 1));
	mgr_run(&t);
	other = mgr_connect(&t);
	cr_assert_eq(mgr_code(&t, other, "services", NULL), 0);
	down(other);
}

Test(manager_ic, a_service_may_go_while_a_call_waits_for_it)
{
	int fd = up_with(HVS_IC_SHUTDOWN, IC_VERSION(3, 2));
	struct json_object *answer;

	ask(fd, "shutdown", "{\"action\":\"power-off\"}");
	mgr_run(&t);
	hvs_manager_remove_ic(t.m, HVS_IC_SHUTDOWN);
	cr_assert_eq(hvs_ic_destroy(machine->ic, NULL, NULL), 0);
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), HVS_CALL_GONE);
	json_object_put(answer);
	cr_assert_eq(mgr_code(&t, fd, "shutdown", "{\"action\":\"power-off\"}"),
		     HVS_CALL_NOT_SUPPORTED);
	machine->ic = NULL;
	down(fd);
}

Test(manager_ic, that_a_guest_may_stay_frozen_is_told_though_the_service_is_gone)
{
	int fd = up_with(HVS_IC_VSS, IC_VERSION(5, 0));
	struct json_object *message;

	cr_assert_eq(mgr_code(&t, fd, "events", NULL), 0);
	hvs_manager_remove_ic(t.m, HVS_IC_VSS);
	json_object_put(mgr_message(&t, fd)); /* service-status */
	hvs_manager_ic_event(t.m, machine->ic, HVS_IC_EVENT_THAWED_LATE);
	hvs_manager_ic_event(t.m, machine->ic, HVS_IC_EVENT_MAY_BE_FROZEN);
	message = mgr_message(&t, fd);
	cr_assert(strstr(json_object_to_json_string(message), "\"may-be-frozen\""));
	json_object_put(message);
	down(fd);
}

Test(manager_ic, a_guest_is_thawed_when_who_has_frozen_it_leaves)
{
	int fd = up_with(HVS_IC_VSS, IC_VERSION(5, 0));
	struct hvs_guest_ic_message msg;
	struct json_object *answer;
	int other = mgr_connect(&t);

	while (!ic_nothing(machine))
		(void)ic_take(machine);
	ask(fd, "freeze", "{}");
	mgr_run(&t);
	msg = ic_take(machine);
	ic_answer(machine, &msg, HVS_IC_S_OK, msg.body, msg.len);
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), 0);
	cr_assert_eq(json_object_get_int(mgr_result(answer, "hold_ms")), 10000);
	json_object_put(answer);
	cr_assert_eq(mgr_code(&t, other, "freeze", NULL), HVS_CALL_BUSY);
	cr_assert(ic_nothing(machine));
	close(fd);
	MGR_UNTIL(&t, !hvs_manager_has_client(t.m, 1));
	mgr_run(&t);
	cr_assert_not(ic_nothing(machine));
	down(other);
}
