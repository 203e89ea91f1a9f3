/* SPDX-License-Identifier: MIT */
/* Freeze and thaw. A guest that a connection has frozen is thawed when that ends. */
#include "host/manager_impl.h"

#include <errno.h>
#include <hvstack/vss.h>

#define FREEZE_MAX 960000u

static const char *const only_timeout[] = {"timeout_ms", NULL};

void hvsi_vss_over(struct hvs_manager *m)
{
	m->freezer = 0;
}

void hvsi_vss_left(struct hvs_manager *m, uint64_t client)
{
	if (m->freezer != client)
		return;
	m->freezer = 0;
	if (m->ic[HVS_IC_VSS])
		(void)hvs_vss_thaw(m->ic[HVS_IC_VSS], 0, NULL, NULL);
}

/* ---- check ------------------------------------------------------------------------------------- */

static void answer_check(struct hvs_call *call, const char *reason, uint32_t flags)
{
	struct json_object *result = json_object_new_object();

	hvsi_json_bool(result, "application", !reason);
	if (reason)
		hvsi_json_string(result, "reason", reason);
	else
		hvsi_json_number(result, "flags", flags);
	hvs_call_return(call, result);
}

static void on_checked(void *arg, int status, uint32_t guest_status, uint32_t flags)
{
	struct hvs_call *call = arg;

	if (status == 0)
		answer_check(call, NULL, flags);
	else if (status == -EREMOTEIO)
		answer_check(call, hvs_ic_guest_status_name(guest_status), 0);
	else
		hvs_call_fail_ic(call, call->what, status, guest_status);
}

static void run_check(void *arg, struct hvs_call *call)
{
	const struct hvs_manager *m = arg;
	struct hvs_ic *ic = m->ic[HVS_IC_VSS];
	uint32_t timeout_ms;
	int err;

	if (!hvs_call_only(call, only_timeout) || !hvsi_call_timeout(call, &timeout_ms))
		return;
	if (!ic) {
		answer_check(call, "this machine does not offer the service", 0);
		return;
	}
	err = hvs_vss_check(ic, timeout_ms, on_checked, call);
	if (err == -ENOTCONN)
		answer_check(call, "the guest's driver or daemon is not there", 0);
	else
		(void)hvsi_call_waits(call, ic, "ask whether it can be frozen", err);
}

/* ---- freeze ------------------------------------------------------------------------------------ */

static void on_frozen(void *arg, int status, uint32_t guest_status)
{
	struct hvs_manager *m = arg;
	struct hvs_call *call = m->freezing;

	m->freezing = NULL;
	if (m->freezer == call->client) {
		m->frozen_at = hvsi_manager_now_ms();
		if (status)
			m->freezer = 0;
	}
	hvsi_call_ic_done(call, status, guest_status);
}

static void run_freeze(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"timeout_ms", "hold_ms", NULL};
	struct hvs_vss_freeze_request request = {HVS_VSS_FREEZE_REQUEST_INIT};
	struct hvs_manager *m = arg;
	uint64_t timeout_ms = 0;
	uint64_t hold_ms = 0;
	struct hvs_ic *ic;

	if (!hvs_call_only(call, names) ||
	    !hvs_call_number(call, "timeout_ms", false, FREEZE_MAX, &timeout_ms) ||
	    !hvs_call_number(call, "hold_ms", false, HVS_VSS_HOLD_MS, &hold_ms))
		return;
	ic = hvsi_call_ic(call, HVS_IC_VSS);
	if (!ic)
		return;
	/* Also of a service that is on its way out. */
	if (m->freezing) {
		hvs_call_fail(call, HVS_CALL_BUSY, "freeze: another one is under way");
		return;
	}
	request.timeout_ms = (uint32_t)timeout_ms;
	request.hold_ms = (uint32_t)hold_ms;
	call->result = json_object_new_object();
	hvsi_json_number(call->result, "hold_ms", hold_ms ? hold_ms : HVS_VSS_HOLD_MS);
	/* Whoever withdraws requests of the argument thaws what was frozen with it: the address of a call
	 * may become another call's. */
	if (hvsi_call_waits(call, ic, "freeze", hvs_vss_freeze(ic, &request, on_frozen, m))) {
		call->ic_arg = m;
		m->freezing = call;
		m->freezer = call->client;
	}
}

static void on_thawed(void *arg, int status, uint32_t guest_status)
{
	struct hvs_call *call = arg;
	struct hvs_manager *m = call->m;

	if (status == 0) {
		m->freezer = 0;
		call->result = json_object_new_object();
		hvsi_json_number(call->result, "frozen_ms",
				 m->frozen_at ? hvsi_manager_now_ms() - m->frozen_at : 0);
		m->frozen_at = 0;
	}
	hvsi_call_ic_done(call, status, guest_status);
}

static void run_thaw(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {NULL};
	struct hvs_ic *ic;
	int err;

	(void)arg;
	if (!hvs_call_only(call, names))
		return;
	ic = hvsi_call_ic(call, HVS_IC_VSS);
	if (!ic)
		return;
	err = hvs_vss_thaw(ic, 0, on_thawed, call);
	if (err == -EALREADY)
		hvs_call_fail(call, HVS_CALL_FAILED,
			      "the guest is not frozen: it was not, or its time was over");
	else
		(void)hvsi_call_waits(call, ic, "thaw", err);
}

static const struct hvs_method methods[] = {
	{"backup-check", HVS_ROLES_BACKUP, 0, run_check},
	{"freeze", HVS_ROLES_BACKUP, 0, run_freeze},
	{"thaw", HVS_ROLES_BACKUP, 0, run_thaw},
};

int hvsi_vss_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
