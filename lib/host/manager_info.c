/* SPDX-License-Identifier: MIT */
/* The machine as a whole, and its devices. */
#include "host/manager_impl.h"
#include "host/sized.h"

#include <errno.h>
#include <hvstack/guestos.h>
#include <hvstack/host/guestinfo.h>
#include <hvstack/host/uuid.h>
#include <stdio.h>
#include <string.h>

static const char *const no_params[] = {NULL};

int hvs_manager_set_machine(struct hvs_manager *m, const struct hvs_manager_machine_ops *ops,
			    void *arg)
{
	struct hvs_manager_machine_ops copy;
	int err;

	if (!m)
		return -EINVAL;
	err = HVSI_HOST_TAKE(&copy, ops, metrics);
	if (!err && copy.reserved)
		err = -EINVAL;
	if (err)
		return err;
	m->machine = copy;
	m->machine_arg = arg;
	return 0;
}

static void run_devices(void *arg, struct hvs_call *call)
{
	const struct hvs_manager *m = arg;
	struct json_object *result;
	struct json_object *disks;
	struct json_object *nets;

	if (!hvs_call_only(call, no_params))
		return;
	result = json_object_new_object();
	disks = json_object_new_array();
	nets = json_object_new_array();
	if (m->machine.devices && disks && nets)
		m->machine.devices(m->machine_arg, disks, nets);
	hvsi_json_add(result, "disks", disks);
	hvsi_json_add(result, "nets", nets);
	hvs_call_return(call, result);
}

/* ---- the guest record -------------------------------------------------------------------------- */

static struct json_object *guest_os(const struct hvs_manager *m)
{
	struct hvs_guest_os os = {HVS_GUEST_OS_INIT};
	struct json_object *object;
	uint64_t id = m->machine.guest_os_id ? m->machine.guest_os_id(m->machine_arg) : 0;
	char text[40];

	if (hvs_guest_os_decode(id, &os) != 0 || !os.present)
		return NULL;
	object = json_object_new_object();
	(void)snprintf(text, sizeof(text), "0x%016llx", (unsigned long long)id);
	hvsi_json_string(object, "id", text);
	hvsi_json_string(object, "name", os.name);
	(void)snprintf(text, sizeof(text), "%u.%u.%u", os.major, os.minor, os.patch);
	hvsi_json_string(object, "version", text);
	hvsi_json_bool(object, "open_source", os.open_source);
	return object;
}

/* What the guest's KVP daemon says of its system; NULL: nothing yet. */
static struct json_object *daemons_words(const struct hvs_guestinfo *g)
{
	static const struct {
		const char *name;
		const char *key;
	} members[] = {
		{"name", "OSName"},
		{"version", "OSVersion"},
		{"build", "OSBuildNumber"},
		{"architecture", "ProcessorArchitecture"},
		{"integration_services", "IntegrationServicesVersion"},
		{"computer", "FullyQualifiedDomainName"},
	};
	struct json_object *object = json_object_new_object();
	bool any = false;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const char *value = g ? hvs_guestinfo_get(g, HVS_KVP_AUTO, members[i].key) : NULL;

		hvsi_json_string(object, members[i].name, value);
		any |= value != NULL;
	}
	if (any)
		return object;
	json_object_put(object);
	return NULL;
}

/* Addresses with a ';' between them. */
static struct json_object *split(const char *text)
{
	struct json_object *array = json_object_new_array();

	while (text && *text) {
		size_t len = strcspn(text, ";");

		if (len)
			hvsi_json_append(array, json_object_new_string_len(text, (int)len));
		text += len + (text[len] == ';');
	}
	return array;
}

static struct json_object *addresses(const struct hvs_guestinfo *g)
{
	struct json_object *object;

	if (!g)
		return NULL;
	object = json_object_new_object();
	hvsi_json_add(object, "ipv4",
		      split(hvs_guestinfo_get(g, HVS_KVP_AUTO, "NetworkAddressIPv4")));
	hvsi_json_add(object, "ipv6",
		      split(hvs_guestinfo_get(g, HVS_KVP_AUTO, "NetworkAddressIPv6")));
	return object;
}

static struct json_object *heartbeat(const struct hvs_manager *m)
{
	const struct hvs_ic *ic = m->ic[HVS_IC_HEARTBEAT];
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};
	struct hvs_ic_status status = {HVS_IC_STATUS_INIT};
	struct json_object *object;

	if (!ic || hvs_ic_get_status(ic, &status) != 0 || hvs_heartbeat_get_info(ic, &info) != 0)
		return NULL;
	object = json_object_new_object();
	hvsi_json_add(object, "primary", hvsi_ic_primary(&status));
	hvsi_json_number(object, "up_ms", info.up_ns / 1000000);
	return object;
}

static void add_machine(const struct hvs_manager *m, struct json_object *result)
{
	uint32_t version = m->machine.vmbus_version ? m->machine.vmbus_version(m->machine_arg) : 0;
	char text[HVS_GUID_TEXT];

	hvsi_json_string(result, "name", m->name);
	hvs_guid_format(&m->cfg.uuid, text);
	hvsi_json_string(result, "uuid", text);
	hvsi_json_string(result, "state",
			 m->machine.state ? m->machine.state(m->machine_arg) : NULL);
	(void)snprintf(text, sizeof(text), "%u.%u", version >> 16, version & 0xffff);
	hvsi_json_string(result, "vmbus", version ? text : NULL);
}

static void run_info(void *arg, struct hvs_call *call)
{
	const struct hvs_manager *m = arg;
	struct json_object *result;

	if (!hvs_call_only(call, no_params))
		return;
	result = json_object_new_object();
	add_machine(m, result);
	hvsi_json_add(result, "guest_os", guest_os(m));
	hvsi_json_add(result, "os", daemons_words(m->guestinfo));
	hvsi_json_add(result, "addresses", addresses(m->guestinfo));
	hvsi_json_add(result, "heartbeat", heartbeat(m));
	hvs_call_return(call, result);
}

static const struct hvs_method methods[] = {
	{"info", HVS_ROLES_INSPECT, 0, run_info},
	{"devices", HVS_ROLES_INSPECT, 0, run_devices},
};

int hvsi_info_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
