/* SPDX-License-Identifier: MIT */
/* Metrics as clients of the management server have them. */
#include "support/ic.h"
#include "support/manager.h"
#include "support/openmetrics.h"

#include <event2/buffer.h>
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

/* The text, which keeps to the format; the caller's. */
static char *metrics(int fd)
{
	struct json_object *answer = mgr_call(&t, fd, "metrics", NULL);
	char *text = strdup(json_object_get_string(mgr_result(answer, "text")));

	json_object_put(answer);
	openmetrics_check(text);
	return text;
}

static void down(int fd)
{
	close(fd);
	mgr_run(&t);
	mgr_down(&t);
	if (machine)
		ic_down(machine);
}

TestSuite(manager_metrics, .timeout = 120);

Test(manager_metrics, a_machine_without_services_has_a_name_and_clients)
{
	char *text;
	int fd;

	mgr_up(&t, NULL);
	fd = mgr_connect(&t);
	text = metrics(fd);
	cr_expect_eq(openmetrics_value(text, "hvs_clients"), 1);
	cr_expect(strstr(text, "hvs_machine_info{name=\"web1\",uuid=\"") != NULL, "%s", text);
	cr_expect_null(strstr(text, "service=\""));
	free(text);
	down(fd);
}

Test(manager_metrics, a_service_counts_what_it_asks_and_what_the_guest_refuses)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}};
	struct hvs_guest_ic_message msg;
	char *text;
	int fd;

	mgr_up(&t, NULL);
	machine = ic_new(&opt, IC_VERSION(3, 2));
	t.run = run_host;
	cr_assert_eq(hvs_manager_add_ic(t.m, machine->ic), 0);
	fd = mgr_connect(&t);
	mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"shutdown\","
		     "\"params\":{\"action\":\"power-off\"}}\n");
	MGR_UNTIL(&t, ic_status(machine).waiting == 1);
	text = metrics(fd);
	cr_expect_eq(openmetrics_value(text, "hvs_service_waiting{service=\"shutdown\"}"), 1);
	free(text);
	msg = ic_take(machine);
	ic_answer(machine, &msg, HVS_IC_E_FAIL, msg.body, msg.len);
	json_object_put(mgr_message(&t, fd));
	text = metrics(fd);
	cr_expect_eq(openmetrics_value(text, "hvs_service_open{service=\"shutdown\"}"), 1);
	cr_expect_eq(openmetrics_value(text, "hvs_service_ready{service=\"shutdown\"}"), 1);
	cr_expect_eq(openmetrics_value(text, "hvs_service_requests_total{service=\"shutdown\"}"),
		     1);
	cr_expect_eq(openmetrics_value(text, "hvs_service_failures_total{service=\"shutdown\"}"),
		     1);
	cr_expect_eq(openmetrics_value(text, "hvs_service_waiting{service=\"shutdown\"}"), 0);
	free(text);
	down(fd);
}

Test(manager_metrics, heartbeats_are_counted_and_missed)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_HEARTBEAT}};
	struct hvs_guest_ic_message msg;
	uint8_t body[40];
	char *text;
	int fd;

	mgr_up(&t, NULL);
	machine = ic_new(&opt, IC_VERSION(3, 0));
	t.run = run_host;
	cr_assert_eq(hvs_manager_add_ic(t.m, machine->ic), 0);
	fd = mgr_connect(&t);
	msg = ic_take(machine);
	memcpy(body, msg.body, sizeof(body));
	body[0]++; /* the sequence number */
	ic_answer(machine, &msg, HVS_IC_S_OK, body, sizeof(body));
	ic_advance(machine, 2500);
	text = metrics(fd);
	cr_expect_eq(openmetrics_value(text, "hvs_heartbeat_beats_total"), 1);
	cr_expect_eq(openmetrics_value(text, "hvs_heartbeat_missed_total"), 0);
	cr_expect_geq(openmetrics_value(text, "hvs_guest_up_seconds"), 2.5);
	free(text);
	ic_advance(machine, 4000);
	text = metrics(fd);
	cr_expect_gt(openmetrics_value(text, "hvs_heartbeat_missed_total"), 0);
	free(text);
	down(fd);
}

static void more(void *arg, struct evbuffer *out)
{
	(void)evbuffer_add_printf(out, "# TYPE vmm_disk_bytes gauge\n# UNIT vmm_disk_bytes bytes\n"
				       "vmm_disk_bytes{disk=\"");
	hvs_metrics_label(out, arg);
	(void)evbuffer_add_printf(out, "\"} 512\n");
}

Test(manager_metrics, a_vmm_adds_its_own_with_labels_of_any_text)
{
	const struct hvs_manager_machine_ops ops = {HVS_MANAGER_MACHINE_OPS_INIT, .metrics = more};
	char id[] = "a\"b\\c\nd";
	char *text;
	int fd;

	mgr_up(&t, NULL);
	cr_assert_eq(hvs_manager_set_machine(t.m, &ops, id), 0);
	fd = mgr_connect(&t);
	text = metrics(fd);
	cr_expect_eq(openmetrics_value(text, "vmm_disk_bytes{disk=\"a\\\"b\\\\c\\nd\"}"), 512);
	free(text);
	down(fd);
}

Test(manager_metrics, channels_of_the_bus_are_listed_and_counted)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}};
	struct json_object *answer;
	struct json_object *all;
	struct json_object *one;
	struct json_object *member;
	char *text;
	int fd;

	mgr_up(&t, NULL);
	machine = ic_new(&opt, IC_VERSION(3, 2));
	t.run = run_host;
	hvs_manager_set_bus(t.m, hvs_loopback_bus(machine->lb));
	fd = mgr_connect(&t);
	answer = mgr_call(&t, fd, "channels", NULL);
	all = mgr_result(answer, "channels");
	cr_assert_eq(json_object_array_length(all), 1);
	one = json_object_array_get_idx(all, 0);
	cr_assert(json_object_object_get_ex(one, "class", &member));
	cr_expect_str_eq(json_object_get_string(member), "shutdown");
	cr_assert(json_object_object_get_ex(one, "state", &member));
	cr_expect_str_eq(json_object_get_string(member), "open");
	json_object_put(answer);
	text = metrics(fd);
	cr_expect_eq(openmetrics_value(text, "hvs_channel_faults_total{class=\"shutdown\",instance="
					     "\"b6650ff7-33bc-4840-8048-e0676786f393\","
					     "subchannel=\"0\"}"),
		     0);
	/* The versions. */
	cr_expect_eq(openmetrics_value(text, "hvs_channel_from_guest_packets_total{class="
					     "\"shutdown\",instance="
					     "\"b6650ff7-33bc-4840-8048-e0676786f393\","
					     "subchannel=\"0\"}"),
		     1);
	free(text);
	hvs_manager_set_bus(t.m, NULL);
	down(fd);
}

Test(manager_metrics, latencies_are_a_histogram)
{
	struct hvs_latency l = {HVS_LATENCY_INIT, .sum_ns = 2500000000};
	struct evbuffer *out = evbuffer_new();
	const char *text;

	l.bucket[0] = 2;
	l.bucket[3] = 1;
	l.bucket[HVS_LATENCY_BUCKETS - 1] = 1;
	hvs_metrics_family(out, "x_seconds", "histogram", "seconds", "How long.");
	hvs_metrics_latency(out, "x_seconds", "a=\"b\"", &l);
	cr_assert_eq(evbuffer_add(out, "# EOF\n", sizeof("# EOF\n")), 0);
	text = (const char *)evbuffer_pullup(out, -1);
	openmetrics_check(text);
	cr_expect_eq(openmetrics_value(text, "x_seconds_bucket{a=\"b\",le=\"0.000001024\"}"), 2);
	cr_expect_eq(openmetrics_value(text, "x_seconds_bucket{a=\"b\",le=\"0.000004096\"}"), 2);
	cr_expect_eq(openmetrics_value(text, "x_seconds_bucket{a=\"b\",le=\"0.000008192\"}"), 3);
	cr_expect_eq(openmetrics_value(text, "x_seconds_bucket{a=\"b\",le=\"+Inf\"}"), 4);
	cr_expect_eq(openmetrics_value(text, "x_seconds_count{a=\"b\"}"), 4);
	cr_expect_eq(openmetrics_value(text, "x_seconds_sum{a=\"b\"}"), 2.5);
	evbuffer_free(out);
}
