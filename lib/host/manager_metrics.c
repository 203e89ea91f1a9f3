/* SPDX-License-Identifier: MIT */
/* What is counted, as OpenMetrics text. */
#include "host/manager_impl.h"

#include <event2/buffer.h>
#include <hvstack/host/uuid.h>

void hvs_metrics_label(struct evbuffer *out, const char *text)
{
	if (!out || !text)
		return;
	for (; *text; text++) {
		if (*text == '\n') {
			(void)evbuffer_add_printf(out, "\\n");
			continue;
		}
		if (*text == '"' || *text == '\\')
			(void)evbuffer_add(out, "\\", 1);
		(void)evbuffer_add(out, text, 1);
	}
}

void hvs_metrics_family(struct evbuffer *out, const char *name, const char *type, const char *unit,
			const char *help)
{
	if (!out || !name || !type || !help)
		return;
	(void)evbuffer_add_printf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		(void)evbuffer_add_printf(out, "# UNIT %s %s\n", name, unit);
	(void)evbuffer_add_printf(out, "# HELP %s %s\n", name, help);
}

static void put_seconds(struct evbuffer *out, uint64_t ns)
{
	(void)evbuffer_add_printf(out, "%llu.%09llu", (unsigned long long)(ns / 1000000000),
				  (unsigned long long)(ns % 1000000000));
}

void hvs_metrics_latency(struct evbuffer *out, const char *name, const char *labels,
			 const struct hvs_latency *latency)
{
	uint64_t count = 0;

	if (!out || !name || !labels || !latency || latency->size < sizeof(*latency))
		return;
	for (unsigned i = 0; i < HVS_LATENCY_BUCKETS; i++) {
		count += latency->bucket[i];
		(void)evbuffer_add_printf(out, "%s_bucket{%s,le=\"", name, labels);
		if (hvs_latency_bound(i) == UINT64_MAX)
			(void)evbuffer_add_printf(out, "+Inf");
		else
			put_seconds(out, hvs_latency_bound(i));
		(void)evbuffer_add_printf(out, "\"} %llu\n", (unsigned long long)count);
	}
	(void)evbuffer_add_printf(out, "%s_count{%s} %llu\n%s_sum{%s} ", name, labels,
				  (unsigned long long)count, name, labels);
	put_seconds(out, latency->sum_ns);
	(void)evbuffer_add(out, "\n", 1);
}

static void put_machine(struct evbuffer *out, const struct hvs_manager *m)
{
	char uuid[HVS_GUID_TEXT];

	hvs_guid_format(&m->cfg.uuid, uuid);
	(void)evbuffer_add_printf(out, "# TYPE hvs_machine info\n"
				       "# HELP hvs_machine The machine.\n"
				       "hvs_machine_info{name=\"");
	hvs_metrics_label(out, m->name);
	(void)evbuffer_add_printf(out,
				  "\",uuid=\"%s\"} 1\n"
				  "# TYPE hvs_clients gauge\n"
				  "# HELP hvs_clients Connections to the management server.\n"
				  "hvs_clients %u\n",
				  uuid, m->client_count);
}

enum member { OPEN, READY, PRIMARY, REQUESTS, FAILURES, TIMEOUTS, MALFORMED, WAITING, MEMBERS };

static const struct {
	const char *name;
	const char *type;
	const char *suffix;
	const char *help;
} families[MEMBERS] = {
	[OPEN] = {"hvs_service_open", "gauge", "", "1: the guest's driver has it open."},
	[READY] = {"hvs_service_ready", "gauge", "", "1: versions are agreed upon."},
	[PRIMARY] = {"hvs_service_primary_status", "gauge", "", "Operational status; 2: OK."},
	[REQUESTS] = {"hvs_service_requests", "counter", "_total", "What the guest was sent."},
	[FAILURES] = {"hvs_service_failures", "counter", "_total", "Answered with an error."},
	[TIMEOUTS] = {"hvs_service_timeouts", "counter", "_total", "Not answered in time."},
	[MALFORMED] = {"hvs_service_malformed", "counter", "_total",
		       "Answers that made no sense, or came too late."},
	[WAITING] = {"hvs_service_waiting", "gauge", "", "Requests that wait."},
};

static uint64_t member(const struct hvs_ic_status *s, enum member which)
{
	const uint64_t all[MEMBERS] = {
		[OPEN] = s->open,           [READY] = s->ready,       [PRIMARY] = s->primary,
		[REQUESTS] = s->requests,   [FAILURES] = s->failures, [TIMEOUTS] = s->timeouts,
		[MALFORMED] = s->malformed, [WAITING] = s->waiting,
	};

	return all[which];
}

static void put_services(struct evbuffer *out, const struct hvs_manager *m)
{
	for (unsigned f = 0; f < MEMBERS; f++) {
		(void)evbuffer_add_printf(out, "# TYPE %s %s\n# HELP %s %s\n", families[f].name,
					  families[f].type, families[f].name, families[f].help);
		for (const enum hvs_ic_kind *k = hvsi_ic_kinds; *k; k++) {
			struct hvs_ic_status s = {HVS_IC_STATUS_INIT};

			if (m->ic[*k] && hvs_ic_get_status(m->ic[*k], &s) == 0)
				(void)evbuffer_add_printf(out, "%s%s{service=\"%s\"} %llu\n",
							  families[f].name, families[f].suffix,
							  hvsi_ic_word(*k),
							  (unsigned long long)member(&s, f));
		}
	}
}

static void put_heartbeat(struct evbuffer *out, const struct hvs_manager *m)
{
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};

	if (!m->ic[HVS_IC_HEARTBEAT] || hvs_heartbeat_get_info(m->ic[HVS_IC_HEARTBEAT], &info) != 0)
		return;
	(void)evbuffer_add_printf(
		out,
		"# TYPE hvs_heartbeat_beats counter\n"
		"# HELP hvs_heartbeat_beats Heartbeats that the guest has answered.\n"
		"hvs_heartbeat_beats_total %llu\n"
		"# TYPE hvs_heartbeat_missed counter\n"
		"# HELP hvs_heartbeat_missed Heartbeats without an answer in time.\n"
		"hvs_heartbeat_missed_total %llu\n"
		"# TYPE hvs_guest_up_seconds gauge\n"
		"# UNIT hvs_guest_up_seconds seconds\n"
		"# HELP hvs_guest_up_seconds Since the guest's driver came; 0: it is not there.\n"
		"hvs_guest_up_seconds %llu.%03u\n",
		(unsigned long long)info.beats, (unsigned long long)info.missed,
		(unsigned long long)(info.up_ns / 1000000000),
		(unsigned)(info.up_ns / 1000000 % 1000));
}

static void run_metrics(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {NULL};
	const struct hvs_manager *m = arg;
	struct json_object *result;
	struct evbuffer *out;
	const char *text = NULL;

	if (!hvs_call_only(call, names))
		return;
	out = evbuffer_new();
	if (out) {
		put_machine(out, m);
		put_services(out, m);
		put_heartbeat(out, m);
		hvsi_channel_metrics(m, out);
		if (m->machine.metrics)
			m->machine.metrics(m->machine_arg, out);
		(void)evbuffer_add(out, "# EOF\n", sizeof("# EOF\n"));
		text = (const char *)evbuffer_pullup(out, -1);
	}
	if (text) {
		result = json_object_new_object();
		hvsi_json_string(result, "text", text);
		hvs_call_return(call, result);
	} else {
		hvs_call_fail(call, HVS_CALL_INTERNAL, "out of memory");
	}
	if (out)
		evbuffer_free(out);
}

static const struct hvs_method methods[] = {
	{"metrics", HVS_ROLES_INSPECT, 0, run_metrics},
};

int hvsi_metrics_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
