/* SPDX-License-Identifier: MIT */
/* Commands of the control socket that have to do with network adapters. */
#include "control_call.h"
#include "nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(CALL_WHY >= NETS_WHY, "reasons fit");

static const char no_id[] = "'net' is missing: the id of an adapter";

static enum outcome net_add(struct call *call, struct json_object *result)
{
	const char *given = call_string(call, "net");
	struct net_option option;
	const char *id;
	char *text;
	bool ok;

	if (!given)
		return call_wrong(call, "'net' is missing: BACKEND[,OPTION]..., as --net has it");
	text = strdup(given);
	if (!text)
		return FAILED;
	call->code = "invalid-argument";
	ok = net_option_parse(text, &option, call->why, sizeof(call->why));
	if (ok) {
		call->code = "failed";
		ok = nets_add(call->nets, &option, &id, call->why);
	}
	if (ok)
		json_object_object_add(result, "net", json_object_new_string(id));
	free(text);
	return call_outcome(ok);
}

static enum outcome net_remove(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "net");

	(void)result;
	if (!id)
		return call_wrong(call, no_id);
	return nets_remove(call->nets, id, call_end, call, call->why) ? LATER : FAILED;
}

static enum outcome net_link(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "net");
	bool up;

	(void)result;
	if (!id || !call_flag(call, "up", &up))
		return call_wrong(call, "'net' (an id) and 'up' (true or false) are needed");
	return call_outcome(nets_set_link(call->nets, id, up, call->why));
}

static enum outcome net_policy(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "net");
	struct json_object *policy;

	(void)result;
	if (!id || !json_object_object_get_ex(call->arguments, "policy", &policy))
		return call_wrong(call,
				  "'net' (an id) and 'policy' (an object, or null) are needed");
	return call_outcome(nets_set_policy(call->nets, id, policy, call->why));
}

static enum outcome net_capture(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "net");
	const char *file = call_string(call, "file");
	uint64_t max_bytes;

	(void)result;
	if (!id || !call_number(call, "max-bytes", &max_bytes))
		return call_wrong(call, "'net' (an id) is needed; 'max-bytes' is a number");
	return call_outcome(nets_set_capture(call->nets, id, file, max_bytes, call->why));
}

static enum outcome net_mirror(struct call *call, struct json_object *result)
{
	const char *id = call_string(call, "net");

	(void)result;
	if (!id)
		return call_wrong(call, no_id);
	return call_outcome(nets_set_mirror(call->nets, id, call_string(call, "to"), call->why));
}

static enum outcome change_forward(struct call *call, bool on)
{
	const char *id = call_string(call, "net");
	const char *text = call_string(call, "forward");
	struct net_forward forward;

	if (!id || !text || !net_forward_parse(text, &forward))
		return call_wrong(call, "'net' (an id) and 'forward' (tcp:[ADDR:]PORT:GUESTPORT, "
					"or udp) are needed");
	return call_outcome(nets_set_forward(call->nets, id, &forward, on, call->why));
}

static enum outcome net_forward(struct call *call, struct json_object *result)
{
	(void)result;
	return change_forward(call, true);
}

static enum outcome net_unforward(struct call *call, struct json_object *result)
{
	(void)result;
	return change_forward(call, false);
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

static enum outcome list_nets(struct call *call, struct json_object *result)
{
	struct json_object *array = json_object_new_array();

	nets_visit(call->nets, list_one, array);
	json_object_object_add(result, "nets", array);
	return DONE;
}

const struct command net_commands[] = {
	{"nets", list_nets},
	{"net-add", net_add},
	{"net-remove", net_remove},
	{"net-link", net_link},
	{"net-policy", net_policy},
	{"net-capture", net_capture},
	{"net-mirror", net_mirror},
	{"net-forward", net_forward},
	{"net-unforward", net_unforward},
	{NULL, NULL},
};
