/* SPDX-License-Identifier: MIT */
/* Methods of the control socket that have to do with network adapters. */
#include "control.h"
#include "nets.h"

#include <hvstack/host/manager.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* True: `net` is the id of one, and there are no parameters but these. */
static bool get_net(struct nets *nets, struct hvs_call *call, const char *const *params,
		    const char **id)
{
	if (!hvs_call_only(call, params) || !hvs_call_string(call, "net", true, id))
		return false;
	if (nets_have(nets, *id))
		return true;
	hvs_call_fail(call, HVS_CALL_NOT_FOUND, "there is no adapter '%s'", *id);
	return false;
}

static void net_add(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"net", NULL};
	struct net_option option;
	struct json_object *result;
	char why[NETS_WHY];
	const char *given;
	const char *id;
	char *text;

	if (!hvs_call_only(call, params) || !hvs_call_string(call, "net", true, &given))
		return;
	text = strdup(given);
	if (!text) {
		hvs_call_fail(call, HVS_CALL_INTERNAL, "out of memory");
	} else if (!net_option_parse(text, &option, why, sizeof(why))) {
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS, "%s", why);
	} else if (option.id && nets_have(arg, option.id)) {
		hvs_call_fail(call, HVS_CALL_EXISTS, "there is an adapter '%s' already", option.id);
	} else if (!nets_add(arg, &option, &id, why)) {
		hvs_call_fail(call, HVS_CALL_FAILED, "%s", why);
	} else {
		result = json_object_new_object();
		json_object_object_add(result, "net", json_object_new_string(id));
		hvs_call_return(call, result);
	}
	free(text);
}

static void net_remove(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"net", NULL};
	char why[NETS_WHY];
	const char *id;

	if (get_net(arg, call, params, &id) && !nets_remove(arg, id, control_call_done, call, why))
		control_call_end(call, false, why);
}

static void net_link(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"net", "up", NULL};
	char why[NETS_WHY];
	const char *id;
	bool up;

	if (get_net(arg, call, params, &id) && hvs_call_bool(call, "up", true, &up))
		control_call_end(call, nets_set_link(arg, id, up, why), why);
}

static void net_policy(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"net", "policy", NULL};
	struct json_object *policy;
	char why[NETS_WHY];
	const char *id;

	if (!get_net(arg, call, params, &id))
		return;
	if (json_object_object_get_ex(hvs_call_params(call), "policy", &policy))
		control_call_end(call, nets_set_policy(arg, id, policy, why), why);
	else
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'policy' is missing: an object, or null");
}

static void net_capture(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"net", "file", "max-bytes", NULL};
	char why[NETS_WHY];
	const char *file = NULL;
	const char *id;
	uint64_t max_bytes = 0;

	if (get_net(arg, call, params, &id) && hvs_call_string(call, "file", false, &file) &&
	    hvs_call_number(call, "max-bytes", false, INT64_MAX, &max_bytes))
		control_call_end(call, nets_set_capture(arg, id, file, max_bytes, why), why);
}

static void net_mirror(void *arg, struct hvs_call *call)
{
	static const char *const params[] = {"net", "to", NULL};
	char why[NETS_WHY];
	const char *to = NULL;
	const char *id;

	if (get_net(arg, call, params, &id) && hvs_call_string(call, "to", false, &to))
		control_call_end(call, nets_set_mirror(arg, id, to, why), why);
}

static void change_forward(struct nets *nets, struct hvs_call *call, bool on)
{
	static const char *const params[] = {"net", "forward", NULL};
	struct net_forward forward;
	char why[NETS_WHY];
	const char *text;
	const char *id;

	if (!get_net(nets, call, params, &id) || !hvs_call_string(call, "forward", true, &text))
		return;
	if (net_forward_parse(text, &forward))
		control_call_end(call, nets_set_forward(nets, id, &forward, on, why), why);
	else
		hvs_call_fail(call, HVS_CALL_INVALID_PARAMS,
			      "'forward' is tcp:[ADDR:]PORT:GUESTPORT, or udp");
}

static void net_forward(void *arg, struct hvs_call *call)
{
	change_forward(arg, call, true);
}

static void net_unforward(void *arg, struct hvs_call *call)
{
	change_forward(arg, call, false);
}

/* ---- what is there -------------------------------------------------------------------------- */

static void add_string(struct json_object *to, const char *name, const char *text)
{
	json_object_object_add(to, name, text ? json_object_new_string(text) : NULL);
}

static void add_number(struct json_object *to, const char *name, uint64_t n)
{
	json_object_object_add(to, name, json_object_new_uint64(n));
}

static void add_flag(struct json_object *to, const char *name, bool flag)
{
	json_object_object_add(to, name, json_object_new_boolean(flag));
}

static struct json_object *counters(const struct hvs_nic_counters *c)
{
	const struct {
		const char *name;
		uint64_t n;
	} all[] = {
		{"from-frames", c->from_frames},
		{"from-bytes", c->from_bytes},
		{"from-dropped", c->from_dropped},
		{"from-malformed", c->from_malformed},
		{"to-frames", c->to_frames},
		{"to-bytes", c->to_bytes},
		{"to-unwanted", c->to_unwanted},
		{"to-no-room", c->to_no_room},
		{"to-too-long", c->to_too_long},
		{"quarantine", c->port.quarantine},
		{"mac-spoofing", c->port.mac_spoofing},
		{"vlan", c->port.vlan},
		{"dhcp-guard", c->port.dhcp_guard},
		{"router-guard", c->port.router_guard},
		{"denied", c->port.denied},
		{"storm", c->port.storm},
		{"metered-out-frames", c->port.metered_out_frames},
		{"metered-out-bytes", c->port.metered_out_bytes},
		{"metered-in-frames", c->port.metered_in_frames},
		{"metered-in-bytes", c->port.metered_in_bytes},
	};
	struct json_object *object = json_object_new_object();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		add_number(object, all[i].name, all[i].n);
	return object;
}

static struct json_object *capture(const struct net_view *net)
{
	struct json_object *object;

	if (!net->capture)
		return NULL;
	object = json_object_new_object();
	add_string(object, "file", net->capture);
	add_number(object, "frames", net->captured.frames);
	add_number(object, "dropped", net->captured.dropped);
	add_number(object, "bytes", net->captured.bytes);
	add_string(object, "error", net->captured.error ? strerror(net->captured.error) : NULL);
	return object;
}

static struct json_object *mirror(const struct net_view *net)
{
	struct json_object *object;

	if (!net->mirror)
		return NULL;
	object = json_object_new_object();
	add_string(object, "to", net->mirror);
	add_number(object, "dropped", net->mirror_dropped);
	return object;
}

static void list_one(void *arg, const struct net_view *net)
{
	static const char *const kinds[] = {
		[NET_USER] = "user", [NET_TAP] = "tap", [NET_SOCKET] = "socket"};
	const uint8_t *mac = net->status.mac;
	struct json_object *n = json_object_new_object();
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	add_string(n, "net", net->id);
	add_string(n, "backend", kinds[net->option->kind]);
	add_string(n, "target", net->option->target);
	add_string(n, "mac", text);
	add_flag(n, "plugged", net->plugged);
	add_flag(n, "link-up", net->status.link_up);
	add_number(n, "version", net->status.version);
	add_number(n, "channels", net->status.channels);
	add_number(n, "mtu", net->status.mtu);
	add_number(n, "filter", net->status.filter);
	json_object_object_add(n, "counters", counters(&net->counters));
	json_object_object_add(n, "capture", capture(net));
	json_object_object_add(n, "mirror", mirror(net));
	json_object_array_add(arg, n);
}

void control_list_nets(const struct nets *nets, struct json_object *array)
{
	nets_visit(nets, list_one, array);
}

static void list_nets(void *arg, struct hvs_call *call)
{
	struct json_object *array = json_object_new_array();

	control_list_nets(arg, array);
	control_call_list(call, "nets", array);
}

/* What opens files or interfaces of the host is for administrators. */
static const struct hvs_method methods[] = {
	{"nets", HVS_ROLES_INSPECT, 0, list_nets},
	{"net-add", HVS_ROLES_ADMINISTER, 0, net_add},
	{"net-remove", HVS_ROLES_OPERATE, 0, net_remove},
	{"net-link", HVS_ROLES_OPERATE, 0, net_link},
	{"net-policy", HVS_ROLES_OPERATE, 0, net_policy},
	{"net-capture", HVS_ROLES_ADMINISTER, 0, net_capture},
	{"net-mirror", HVS_ROLES_OPERATE, 0, net_mirror},
	{"net-forward", HVS_ROLES_OPERATE, 0, net_forward},
	{"net-unforward", HVS_ROLES_OPERATE, 0, net_unforward},
};

int control_add_nets(struct hvs_manager *manager, struct nets *nets)
{
	return hvs_manager_add_methods(manager, methods, sizeof(methods) / sizeof(methods[0]),
				       nets);
}
