/* SPDX-License-Identifier: MIT */
/* The method of the control socket that captures what passes the bus. */
#include "bus_capture.h"
#include "control.h"

#include <hvstack/host/manager.h>
#include <hvstack/host/uuid.h>
#include <json-c/json.h>
#include <string.h>

/* What a capture that has ended had, or one that runs has. */
static struct json_object *counters(struct bus_capture *capture)
{
	struct hvs_capture_counters c = {.size = sizeof(c)};
	struct json_object *object = json_object_new_object();
	bool active = bus_capture_counters(capture, &c);

	json_object_object_add(object, "active", json_object_new_boolean(active));
	json_object_object_add(object, "packets", json_object_new_uint64(c.frames));
	json_object_object_add(object, "dropped", json_object_new_uint64(c.dropped));
	json_object_object_add(object, "bytes", json_object_new_uint64(c.bytes));
	json_object_object_add(object, "error",
			       c.error ? json_object_new_string(strerror(c.error)) : NULL);
	return object;
}

static void channel_capture(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"file", "device", "max-bytes", "max-packet", NULL};
	struct hvs_capture_config cfg = {HVS_CAPTURE_CONFIG_INIT, .what = HVS_CAPTURE_VMBUS,
					 .name = "vmbus"};
	struct json_object *result;
	char why[BUS_CAPTURE_WHY];
	const char *device = NULL;
	uint64_t max_packet = 0;

	if (!hvs_call_only(call, params) || !hvs_call_string(call, "file", false, &cfg.path) ||
	    !hvs_call_string(call, "device", false, &device) ||
	    !hvs_call_number(call, "max-bytes", false, INT64_MAX, &cfg.max_bytes) ||
	    !hvs_call_number(call, "max-packet", false, UINT32_MAX, &max_packet))
		return;
	cfg.max_packet = (uint32_t)max_packet;
	if (device && hvs_guid_parse(device, &cfg.instance_id) < 0) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'device' is the instance id of one, as `channels` has it");
		return;
	}
	if (cfg.path) {
		control_call_end(call, bus_capture_begin(arg, &cfg, why), why);
		return;
	}
	result = counters(arg);
	bus_capture_end(arg);
	hvs_call_return(call, result);
}

static void channel_capture_status(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {NULL};

	if (hvs_call_only(call, params))
		hvs_call_return(call, counters(arg));
}

/* It has the guest's data in it, and opens any file that hvrun may open. */
static const struct hvs_method methods[] = {
	{"channel-capture", HVS_ROLES_ADMINISTER, 0, channel_capture},
	{"channel-capture-status", HVS_ROLES_INSPECT, 0, channel_capture_status},
};

int control_add_channels(struct hvs_manager *manager, struct bus_capture *capture)
{
	return hvs_manager_add_methods(manager, methods, sizeof(methods) / sizeof(methods[0]),
				       capture);
}
