/* SPDX-License-Identifier: MIT */
/* Pairs: what host and guest tell each other, from the table that guestinfo.h keeps. */
#include "host/manager_impl.h"

#include <errno.h>
#include <hvstack/host/guestinfo.h>
#include <string.h>

static const char *const pools[] = {
	[HVS_KVP_EXTERNAL] = "external",
	[HVS_KVP_GUEST] = "guest",
	[HVS_KVP_AUTO] = "auto",
	[HVS_KVP_AUTO_EXTERNAL] = "auto-external",
};
#define POOLS (sizeof(pools) / sizeof(pools[0]))

static bool is_guests(enum hvs_kvp_pool pool)
{
	return pool == HVS_KVP_GUEST || pool == HVS_KVP_AUTO;
}

/* ---- events ------------------------------------------------------------------------------------ */

void hvs_manager_set_guestinfo(struct hvs_manager *m, struct hvs_guestinfo *g)
{
	if (!m)
		return;
	m->guestinfo = g;
	json_object_put(m->changed);
	m->changed = NULL;
}

void hvs_manager_kvp_changed(struct hvs_manager *m, enum hvs_kvp_pool pool, const char *key,
			     const char *value)
{
	struct json_object *item;

	(void)pool; /* the changes of a pool end before those of the next begin */
	if (!m)
		return;
	if (!m->changed)
		m->changed = json_object_new_array();
	item = json_object_new_object();
	hvsi_json_string(item, "key", key);
	hvsi_json_string(item, "value", value);
	hvsi_json_append(m->changed, item);
}

void hvs_manager_kvp_changes_end(struct hvs_manager *m, enum hvs_kvp_pool pool)
{
	struct json_object *params;

	if (!m || pool >= POOLS)
		return;
	params = json_object_new_object();
	hvsi_json_string(params, "pool", pools[pool]);
	hvsi_json_add(params, "changed", m->changed);
	m->changed = NULL;
	hvs_manager_event(m, "kvp-changed", params);
}

/* ---- parameters -------------------------------------------------------------------------------- */

static bool get_pool(struct hvs_call *call, bool required, enum hvs_kvp_pool *pool)
{
	const char *text = NULL;

	if (!hvs_call_string(call, "pool", required, &text))
		return false;
	if (!text)
		return true;
	for (unsigned i = 0; i < POOLS; i++)
		if (strcmp(pools[i], text) == 0) {
			*pool = (enum hvs_kvp_pool)i;
			return true;
		}
	hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
		      "'pool' is external, guest, auto or auto-external");
	return false;
}

/* The pools that the host may write to. */
static bool get_hosts_pool(struct hvs_call *call, enum hvs_kvp_pool *pool)
{
	*pool = HVS_KVP_EXTERNAL;
	if (!get_pool(call, false, pool))
		return false;
	if (!is_guests(*pool))
		return true;
	hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
		      "'pool' is external or auto-external: the others are the guest's");
	return false;
}

static bool has_table(struct hvs_call *call)
{
	if (call->m->guestinfo)
		return true;
	hvs_call_fail(call, HVS_CALL_NOT_SUPPORTED, "this machine keeps no pairs");
	return false;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static void add_item(void *arg, const char *key, const char *value)
{
	struct json_object *item = json_object_new_object();

	hvsi_json_string(item, "key", key);
	hvsi_json_string(item, "value", value);
	hvsi_json_append(arg, item);
}

static void answer_list(struct hvs_call *call, enum hvs_kvp_pool pool)
{
	const struct hvs_guestinfo *g = call->m->guestinfo;
	struct json_object *result = json_object_new_object();
	struct json_object *items = json_object_new_array();
	bool complete = true;
	uint64_t age = hvs_guestinfo_age(g, pool, &complete);

	if (items)
		hvs_guestinfo_visit(g, pool, add_item, items);
	hvsi_json_add(result, "items", items);
	hvsi_json_bool(result, "complete", complete);
	hvsi_json_add(result, "age_ms", age == UINT64_MAX ? NULL : json_object_new_uint64(age));
	hvs_call_return(call, result);
}

static void answer_get(struct hvs_call *call, enum hvs_kvp_pool pool)
{
	const char *key = NULL;
	const char *value;
	struct json_object *result;

	if (!hvs_call_string(call, "key", true, &key))
		return;
	value = hvs_guestinfo_get(call->m->guestinfo, pool, key);
	if (!value) {
		hvs_call_fail(call, HVS_CALL_NOT_FOUND, "there is no '%s' in the pool '%s'", key,
			      pools[pool]);
		return;
	}
	result = json_object_new_object();
	hvsi_json_string(result, "value", value);
	hvs_call_return(call, result);
}

static void answer(struct hvs_call *call, enum hvs_kvp_pool pool)
{
	if (strcmp(call->method->name, "kvp-list") == 0)
		answer_list(call, pool);
	else
		answer_get(call, pool);
}

static void on_refreshed(void *arg, int status, uint32_t guest_status)
{
	struct hvs_call *call = arg;
	enum hvs_kvp_pool pool = HVS_KVP_AUTO;

	if (status)
		hvs_call_fail_ic(call, call->what, status, guest_status);
	else if (has_table(call) && get_pool(call, true, &pool))
		answer(call, pool);
}

static void read_pool(struct hvs_call *call, const char *const *names)
{
	enum hvs_kvp_pool pool = HVS_KVP_AUTO;
	bool refresh = false;
	int err;

	if (!hvs_call_only(call, names) || !get_pool(call, true, &pool) ||
	    !hvs_call_bool(call, "refresh", false, &refresh) || !has_table(call))
		return;
	if (!refresh || !is_guests(pool)) {
		answer(call, pool);
		return;
	}
	err = hvs_guestinfo_refresh(call->m->guestinfo, pool, on_refreshed, call);
	(void)hvsi_call_waits(call, NULL, "look at the guest's pairs", err);
}

static void run_list(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"pool", "refresh", NULL};

	(void)arg;
	read_pool(call, names);
}

static void run_get(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"pool", "key", "refresh", NULL};
	const char *key;

	(void)arg;
	if (hvs_call_string(call, "key", true, &key))
		read_pool(call, names);
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* The table has it, and the guest gets it whenever it comes back. */
static void on_told(void *arg, int status, uint32_t guest_status)
{
	struct hvs_call *call = arg;
	struct json_object *result;

	if (status && status != -ENOTCONN) {
		hvs_call_fail_ic(call, call->what, status, guest_status);
		return;
	}
	result = json_object_new_object();
	hvsi_json_bool(result, "delivered", status == 0);
	hvs_call_return(call, result);
}

static void run_set(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"pool", "key", "value", NULL};
	enum hvs_kvp_pool pool;
	const char *key;
	const char *value;
	int err;

	(void)arg;
	if (!hvs_call_only(call, names) || !hvs_call_string(call, "key", true, &key) ||
	    !hvs_call_string(call, "value", true, &value) || !get_hosts_pool(call, &pool) ||
	    !has_table(call))
		return;
	err = hvs_guestinfo_set(call->m->guestinfo, pool, key, value, on_told, call);
	if (err == -EINVAL)
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'key' has 1 to %u UTF-16 units, 'value' up to %u", HVS_KVP_KEY_MAX,
			      HVS_KVP_VALUE_MAX);
	else if (err == -ENOSPC)
		hvs_call_fail(call, HVS_CALL_TOO_MANY, "there are %u pairs in the pool",
			      HVS_GUESTINFO_MAX_ITEMS);
	else
		(void)hvsi_call_waits(call, NULL, "set a pair", err);
}

static void run_delete(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"pool", "key", NULL};
	enum hvs_kvp_pool pool;
	const char *key;
	int err;

	(void)arg;
	if (!hvs_call_only(call, names) || !hvs_call_string(call, "key", true, &key) ||
	    !get_hosts_pool(call, &pool) || !has_table(call))
		return;
	err = hvs_guestinfo_remove(call->m->guestinfo, pool, key, on_told, call);
	if (err == -ENOENT)
		hvs_call_fail(call, HVS_CALL_NOT_FOUND, "there is no '%s' in the pool '%s'", key,
			      pools[pool]);
	else
		(void)hvsi_call_waits(call, NULL, "remove a pair", err);
}

static const struct hvs_method methods[] = {
	{"kvp-list", HVS_ROLES_INSPECT, 0, run_list},
	{"kvp-get", HVS_ROLES_INSPECT, 0, run_get},
	{"kvp-set", HVS_ROLES_OPERATE, 0, run_set},
	{"kvp-delete", HVS_ROLES_OPERATE, 0, run_delete},
};

int hvsi_kvp_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
