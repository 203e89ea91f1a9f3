/* SPDX-License-Identifier: MIT */
/* Services of the guest: which there are, what is asked of them, and the simple ones. */
#include "host/manager_impl.h"

#include <errno.h>
#include <hvstack/host/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISABLED 32896 /* of Hyper-V's EnabledState and OperationalStatus */

const enum hvs_ic_kind hvsi_ic_kinds[] = {HVS_IC_HEARTBEAT,   HVS_IC_TIMESYNC, HVS_IC_SHUTDOWN,
					  HVS_IC_KVP,         HVS_IC_VSS,      HVS_IC_FILECOPY,
					  (enum hvs_ic_kind)0};

const char *hvsi_ic_word(enum hvs_ic_kind kind)
{
	switch (kind) {
	case HVS_IC_HEARTBEAT:
		return "heartbeat";
	case HVS_IC_KVP:
		return "kvp";
	case HVS_IC_SHUTDOWN:
		return "shutdown";
	case HVS_IC_TIMESYNC:
		return "time-sync";
	case HVS_IC_VSS:
		return "vss";
	case HVS_IC_FILECOPY:
		return "file-copy";
	}
	return "unknown";
}

/* ---- requests ---------------------------------------------------------------------------------- */

struct hvs_ic *hvsi_call_ic(struct hvs_call *call, enum hvs_ic_kind kind)
{
	struct hvs_ic *ic = call->m->ic[kind];

	if (!ic)
		hvs_call_fail(call, HVS_CALL_NOT_SUPPORTED,
			      "this machine does not offer the service '%s': 'service-enable' may",
			      hvsi_ic_word(kind));
	return ic;
}

static enum hvs_call_error code_of(int err)
{
	switch (err) {
	case -EINVAL:
	case -EILSEQ:
	case -EMSGSIZE:
		return HVS_CALL_INVALID_PARAMS;
	case -ENOTSUP:
		return HVS_CALL_NOT_SUPPORTED;
	case -ENOTCONN:
		return HVS_CALL_NOT_READY;
	case -EBUSY:
	case -EALREADY:
	case -ENOSPC:
		return HVS_CALL_BUSY;
	case -ENOENT:
		return HVS_CALL_NOT_FOUND;
	case -EEXIST:
		return HVS_CALL_EXISTS;
	case -ENOMEM:
		return HVS_CALL_INTERNAL;
	default:
		return HVS_CALL_FAILED;
	}
}

static const char *sentence_of(int err)
{
	switch (err) {
	case -EINVAL:
		return "a value is out of range";
	case -EILSEQ:
		return "such names are not safe with every guest: use up to 130 ASCII characters";
	case -EMSGSIZE:
		return "that is too much for this guest";
	case -ENOTSUP:
		return "this guest can't do that";
	case -ENOTCONN:
		return "the guest's driver or daemon is not there, or not yet";
	case -EBUSY:
	case -EALREADY:
		return "another one is under way";
	case -ENOSPC:
		return "too many requests wait for the guest";
	default:
		return strerror(-err);
	}
}

bool hvsi_call_waits(struct hvs_call *call, struct hvs_ic *ic, const char *what, int err)
{
	call->what = what;
	if (!err) {
		call->ic = ic;
		call->ic_arg = call;
		return true;
	}
	hvs_call_fail(call, code_of(err), "%s: %s", what, sentence_of(err));
	return false;
}

void hvs_call_fail_ic(struct hvs_call *call, const char *what, int status, uint32_t guest_status)
{
	struct json_object *data;
	char text[256];

	switch (status) {
	case -EREMOTEIO:
		data = json_object_new_object();
		hvsi_json_number(data, "guest_status", guest_status);
		hvsi_json_string(data, "guest_error", hvs_ic_guest_status_name(guest_status));
		(void)snprintf(text, sizeof(text), "%s: the guest answers: %s (0x%08x)", what,
			       hvs_ic_guest_status_name(guest_status), guest_status);
		hvsi_call_fail_data(call, HVS_CALL_GUEST_ERROR, data, text);
		break;
	case -ETIMEDOUT:
		hvs_call_fail(call, HVS_CALL_GUEST_TIMEOUT, "%s: the guest did not answer in time",
			      what);
		break;
	case -ENOTCONN:
		hvs_call_fail(call, HVS_CALL_GONE, "%s: the service was lost meanwhile", what);
		break;
	case -ECANCELED:
		hvs_call_fail(call, HVS_CALL_CANCELLED, "%s: cancelled", what);
		break;
	case -EPROTO:
		hvs_call_fail(call, HVS_CALL_FAILED, "%s: the guest's answer makes no sense", what);
		break;
	default:
		hvs_call_fail(call, code_of(status), "%s: %s", what, sentence_of(status));
		break;
	}
}

void hvsi_call_ic_done(void *arg, int status, uint32_t guest_status)
{
	struct hvs_call *call = arg;

	if (status)
		hvs_call_fail_ic(call, call->what, status, guest_status);
	else
		hvs_call_return(call, json_object_get(call->result));
}

bool hvsi_call_timeout(struct hvs_call *call, uint32_t *timeout_ms)
{
	uint64_t ms = 0;

	if (!hvs_call_number(call, "timeout_ms", false, HVSI_TIMEOUT_MAX, &ms))
		return false;
	*timeout_ms = (uint32_t)ms;
	return true;
}

/* What waits for a service, or for nobody any more. */
static struct hvs_call *find_waiting(const struct hvs_manager *m, uint64_t client)
{
	for (struct hvs_call *call = m->calls; call; call = call->next)
		if (call->client == client && call->ic)
			return call;
	return NULL;
}

void hvsi_calls_cancel(struct hvs_manager *m, uint64_t client)
{
	struct hvs_call *call;

	while ((call = find_waiting(m, client)) != NULL) {
		struct hvs_ic *ic = call->ic;

		call->ic = NULL;
		(void)hvs_ic_cancel(ic, call->ic_arg);
	}
}

/* ---- which there are --------------------------------------------------------------------------- */

struct json_object *hvsi_ic_primary(const struct hvs_ic_status *status)
{
	struct json_object *object = json_object_new_object();

	hvsi_json_number(object, "code", status ? (uint64_t)status->primary : DISABLED);
	hvsi_json_string(object, "name",
			 status ? hvs_ic_primary_name(status->primary) : "Disabled");
	return object;
}

static struct json_object *secondary(const struct hvs_ic_status *status)
{
	struct json_object *object;

	if (!status || status->secondary == HVS_IC_DETAIL_NONE)
		return NULL;
	object = json_object_new_object();
	hvsi_json_number(object, "code", status->secondary);
	hvsi_json_string(object, "name", hvs_ic_secondary_name(status->secondary));
	return object;
}

static void add_version(struct json_object *to, const char *name, uint32_t version)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%u.%u", version >> 16, version & 0xffff);
	hvsi_json_string(to, name, version ? text : NULL);
}

struct json_object *hvsi_ic_status(const struct hvs_manager *m, enum hvs_ic_kind kind)
{
	struct json_object *object = json_object_new_object();
	struct hvs_ic_status s = {HVS_IC_STATUS_INIT};
	const bool enabled = m->ic[kind] && hvs_ic_get_status(m->ic[kind], &s) == 0;

	hvsi_json_string(object, "service", hvsi_ic_word(kind));
	hvsi_json_string(object, "name", hvs_ic_kind_name(kind));
	hvsi_json_bool(object, "enabled", enabled);
	hvsi_json_bool(object, "open", s.open);
	hvsi_json_bool(object, "ready", s.ready);
	hvsi_json_add(object, "primary", hvsi_ic_primary(enabled ? &s : NULL));
	hvsi_json_add(object, "secondary", secondary(enabled ? &s : NULL));
	add_version(object, "framework", s.framework_version);
	add_version(object, "version", s.service_version);
	hvsi_json_number(object, "requests", s.requests);
	hvsi_json_number(object, "failures", s.failures);
	hvsi_json_number(object, "timeouts", s.timeouts);
	hvsi_json_number(object, "malformed", s.malformed);
	hvsi_json_number(object, "waiting", s.waiting);
	return object;
}

static bool is_kind(enum hvs_ic_kind kind)
{
	for (const enum hvs_ic_kind *k = hvsi_ic_kinds; *k; k++)
		if (*k == kind)
			return true;
	return false;
}

int hvs_manager_add_ic(struct hvs_manager *m, struct hvs_ic *ic)
{
	struct hvs_ic_status s = {HVS_IC_STATUS_INIT};

	if (!m || !ic || hvs_ic_get_status(ic, &s) || !is_kind(s.kind))
		return -EINVAL;
	if (m->ic[s.kind])
		return -EEXIST;
	m->ic[s.kind] = ic;
	hvs_manager_event(m, "service-status", hvsi_ic_status(m, s.kind));
	return 0;
}

void hvs_manager_remove_ic(struct hvs_manager *m, enum hvs_ic_kind kind)
{
	if (!m || !is_kind(kind) || !m->ic[kind])
		return;
	for (struct hvs_call *call = m->calls; call; call = call->next)
		if (call->ic == m->ic[kind])
			call->ic = NULL; /* ends when the service does */
	m->ic[kind] = NULL;
	if (kind == HVS_IC_VSS)
		hvsi_vss_over(m);
	if (kind == HVS_IC_FILECOPY)
		hvsi_copy_over(m);
	hvs_manager_event(m, "service-status", hvsi_ic_status(m, kind));
}

static void missed_event(struct hvs_manager *m, struct hvs_ic *ic)
{
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};
	struct json_object *params = json_object_new_object();

	if (hvs_heartbeat_get_info(ic, &info) == 0)
		hvsi_json_number(params, "missed", info.missed);
	hvs_manager_event(m, "heartbeat-missed", params);
}

void hvs_manager_ic_event(struct hvs_manager *m, struct hvs_ic *ic, enum hvs_ic_event event)
{
	struct hvs_ic_status s = {HVS_IC_STATUS_INIT};

	if (!m || hvs_ic_get_status(ic, &s) || !is_kind(s.kind))
		return;
	/* That a guest may stay frozen has to be known whatever becomes of the service. */
	if (m->ic[s.kind] != ic && event != HVS_IC_EVENT_MAY_BE_FROZEN)
		return;
	switch (event) {
	case HVS_IC_EVENT_STATUS:
		hvs_manager_event(m, "service-status", hvsi_ic_status(m, s.kind));
		break;
	case HVS_IC_EVENT_BEAT_MISSED:
		missed_event(m, ic);
		break;
	case HVS_IC_EVENT_THAWED_LATE:
		hvsi_vss_over(m);
		hvs_manager_event(m, "thawed-late", NULL);
		break;
	case HVS_IC_EVENT_MAY_BE_FROZEN:
		hvs_manager_event(m, "may-be-frozen", NULL);
		break;
	}
}

/* ---- methods ----------------------------------------------------------------------------------- */

static void run_services(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {NULL};
	struct json_object *result;
	struct json_object *array;

	if (!hvs_call_only(call, names))
		return;
	result = json_object_new_object();
	array = json_object_new_array();
	for (const enum hvs_ic_kind *k = hvsi_ic_kinds; *k; k++)
		hvsi_json_append(array, hvsi_ic_status(arg, *k));
	hvsi_json_add(result, "services", array);
	hvs_call_return(call, result);
}

static void run_service_enable(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"service", "enabled", NULL};
	const struct hvs_manager *m = arg;
	const enum hvs_ic_kind *k = hvsi_ic_kinds;
	const char *service;
	bool enabled;
	int err = 0;

	if (!hvs_call_only(call, names) || !hvs_call_string(call, "service", true, &service) ||
	    !hvs_call_bool(call, "enabled", true, &enabled))
		return;
	while (*k && strcmp(hvsi_ic_word(*k), service) != 0)
		k++;
	if (!*k) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "there is no service '%s': 'services' lists them", service);
		return;
	}
	if (enabled != (m->ic[*k] != NULL))
		err = m->machine.enable_service
			      ? m->machine.enable_service(m->machine_arg, *k, enabled)
			      : -ENOTSUP;
	if (err)
		hvs_call_fail(call, code_of(err), "the service '%s' can't be %s: %s", service,
			      enabled ? "offered" : "taken away",
			      err == -ENOTSUP ? "this machine can't do that" : strerror(-err));
	else
		hvs_call_return(call, NULL);
}

static void run_heartbeat(void *arg, struct hvs_call *call)
{
	static const char *const applications[] = {"unknown", "healthy", "critical", "stopped"};
	static const char *const names[] = {NULL};
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};
	struct json_object *result;
	struct hvs_ic *ic;
	uint64_t now;

	if (!hvs_call_only(call, names))
		return;
	ic = hvsi_call_ic(call, HVS_IC_HEARTBEAT);
	if (!ic)
		return;
	if (hvs_heartbeat_get_info(ic, &info) != 0)
		info = (struct hvs_heartbeat_info){HVS_HEARTBEAT_INFO_INIT};
	now = hvs_loop_now_ns();
	result = hvsi_ic_status(arg, HVS_IC_HEARTBEAT);
	hvsi_json_string(
		result, "application",
		applications[info.application <= HVS_HEARTBEAT_STOPPED ? info.application : 0]);
	hvsi_json_number(result, "beats", info.beats);
	hvsi_json_number(result, "missed", info.missed);
	hvsi_json_add(result, "last_beat_ms",
		      info.last_beat_ns && now >= info.last_beat_ns
			      ? json_object_new_uint64((now - info.last_beat_ns) / 1000000)
			      : NULL);
	hvsi_json_number(result, "up_ms", info.up_ns / 1000000);
	hvs_call_return(call, result);
}

static void run_time_sync(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"timeout_ms", NULL};
	uint32_t timeout_ms;
	struct hvs_ic *ic;
	int err;

	(void)arg;
	if (!hvs_call_only(call, names) || !hvsi_call_timeout(call, &timeout_ms))
		return;
	ic = hvsi_call_ic(call, HVS_IC_TIMESYNC);
	if (!ic)
		return;
	err = hvs_timesync_sync(ic, timeout_ms, hvsi_call_ic_done, call);
	(void)hvsi_call_waits(call, ic, "set the clock", err);
}

/* ---- shutdown ---------------------------------------------------------------------------------- */

static const char *const actions[] = {"power-off", "restart", "hibernate"};

static void on_shutdown(void *arg, int status, uint32_t guest_status)
{
	struct hvs_call *call = arg;

	if (status == 0) {
		struct json_object *params = json_object_new_object();

		hvsi_json_string(params, "action", call->what);
		hvs_manager_event(call->m, "guest-shutdown", params);
	}
	hvsi_call_ic_done(call, status, guest_status);
}

static bool get_request(struct hvs_call *call, struct hvs_shutdown_request *request)
{
	static const char *const names[] = {"action",          "force",      "reason",
					    "guest_timeout_s", "timeout_ms", NULL};
	uint64_t guest_timeout_s = 0;
	const char *action;

	if (!hvs_call_only(call, names) || !hvs_call_string(call, "action", true, &action) ||
	    !hvs_call_bool(call, "force", false, &request->force) ||
	    !hvs_call_string(call, "reason", false, &request->reason) ||
	    !hvs_call_number(call, "guest_timeout_s", false, UINT32_MAX, &guest_timeout_s) ||
	    !hvsi_call_timeout(call, &request->timeout_ms))
		return false;
	request->guest_timeout_s = (uint32_t)guest_timeout_s;
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(action, actions[i]) == 0) {
			request->action = (enum hvs_shutdown_action)i;
			return true;
		}
	hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "'action' is power-off, restart or hibernate");
	return false;
}

static void run_shutdown(void *arg, struct hvs_call *call)
{
	struct hvs_shutdown_request request = {HVS_SHUTDOWN_REQUEST_INIT};
	struct hvs_ic *ic;

	(void)arg;
	if (!get_request(call, &request))
		return;
	ic = hvsi_call_ic(call, HVS_IC_SHUTDOWN);
	if (ic)
		(void)hvsi_call_waits(call, ic, actions[request.action],
				      hvs_shutdown(ic, &request, on_shutdown, call));
}

static const struct hvs_method methods[] = {
	{"services", HVS_ROLES_INSPECT, 0, run_services},
	{"service-enable", HVS_ROLES_ADMINISTER, 0, run_service_enable},
	{"heartbeat", HVS_ROLES_INSPECT, 0, run_heartbeat},
	{"time-sync", HVS_ROLES_OPERATE, 0, run_time_sync},
	{"shutdown", HVS_ROLES_OPERATE, 0, run_shutdown},
};

int hvsi_ic_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
