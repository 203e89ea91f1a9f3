/* SPDX-License-Identifier: MIT */
/* Which channels there are, and what they count. */
#include "host/manager_impl.h"

#include <event2/buffer.h>
#include <hvstack/channel.h>
#include <hvstack/host/uuid.h>
#include <hvstack/stats.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *guid;
	const char *name;
} classes[] = {
	{"f8615163-df3e-46c5-913f-f2d2f965ed0e", "network"},
	{"ba6163d9-04a1-4d29-b605-72e2ffb1dc7f", "scsi"},
	{"32412632-86cb-44a2-9b5c-50d1417354f5", "ide"},
	{"57164f39-9115-4e78-ab55-382f3bd5422d", "heartbeat"},
	{"a9a0f4e7-5a45-4d96-b827-8a841e8c03e6", "kvp"},
	{"0e0b6031-5213-4934-818b-38d90ced39db", "shutdown"},
	{"9527e630-d0ae-497b-adce-e80ab0175caf", "time-sync"},
	{"35fa2e29-ea23-4236-96ae-3a6ebacba440", "vss"},
	{"34d14be3-dee4-41c8-9ae7-6b174977c192", "file-copy"},
};

/* For people; never NULL. */
static const char *class_name(const struct hvs_channel_info *info)
{
	char text[HVS_GUID_TEXT];

	hvs_guid_format(&info->class_id, text);
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strcmp(classes[i].guid, text) == 0)
			return classes[i].name;
	return info->flags & HVS_OFFER_SOCKET ? "socket" : "other";
}

static const char *const states[] = {
	[HVS_CHANNEL_WAITING] = "waiting",
	[HVS_CHANNEL_OFFERED] = "offered",
	[HVS_CHANNEL_OPEN] = "open",
	[HVS_CHANNEL_REVOKED] = "revoked",
};

/* A number that hvs_channel_counters has. */
static const struct {
	const char *name;   /* member of `channels` */
	const char *family; /* of metrics */
	const char *unit;
	const char *help;
	size_t at;
} counters[] = {
	{"from-packets", "hvs_channel_from_guest_packets", NULL, "Taken from the ring.",
	 offsetof(struct hvs_channel_counters, from_packets)},
	{"from-bytes", "hvs_channel_from_guest_bytes", "bytes", "Of the ring.",
	 offsetof(struct hvs_channel_counters, from_bytes)},
	{"to-packets", "hvs_channel_to_guest_packets", NULL, "Put into the ring.",
	 offsetof(struct hvs_channel_counters, to_packets)},
	{"to-bytes", "hvs_channel_to_guest_bytes", "bytes", "Of the ring.",
	 offsetof(struct hvs_channel_counters, to_bytes)},
	{"batches", "hvs_channel_batches", NULL, "Times that the device was called to look.",
	 offsetof(struct hvs_channel_counters, batches)},
	{"signals-sent", "hvs_channel_signals_sent", NULL, "Interrupts of the guest.",
	 offsetof(struct hvs_channel_counters, signals_sent)},
	{"signals-spared", "hvs_channel_signals_spared", NULL,
	 "Batches that needed no interrupt, as the guest was looking.",
	 offsetof(struct hvs_channel_counters, signals_spared)},
	{"ring-full", "hvs_channel_ring_full", NULL, "Packets that had to wait for room.",
	 offsetof(struct hvs_channel_counters, ring_full)},
	{"faults", "hvs_channel_faults", NULL, "Times that the guest broke the protocol.",
	 offsetof(struct hvs_channel_counters, faults)},
};

static uint64_t counter_at(const struct hvs_channel_counters *c, size_t at)
{
	uint64_t value;

	memcpy(&value, (const char *)c + at, sizeof(value));
	return value;
}

static bool look_at(const struct hvs_channel *ch, struct hvs_channel_info *info,
		    struct hvs_channel_counters *c)
{
	*info = (struct hvs_channel_info){.size = sizeof(*info)};
	*c = (struct hvs_channel_counters){.size = sizeof(*c)};
	return hvs_channel_get_info(ch, info) == 0 && hvs_channel_get_counters(ch, c) == 0;
}

/* ---- the list --------------------------------------------------------------------------------- */

static void list_one(void *arg, struct hvs_channel *ch)
{
	struct hvs_channel_info info;
	struct hvs_channel_counters c;
	char text[HVS_GUID_TEXT];
	struct json_object *one;
	struct json_object *counts;

	/* Sub-channels that nobody has asked for are not there yet. */
	if (!look_at(ch, &info, &c) || (info.subchannel && info.state == HVS_CHANNEL_WAITING))
		return;
	one = json_object_new_object();
	hvsi_json_string(one, "class", class_name(&info));
	hvs_guid_format(&info.class_id, text);
	hvsi_json_string(one, "class_id", text);
	hvs_guid_format(&info.instance_id, text);
	hvsi_json_string(one, "instance_id", text);
	hvsi_json_number(one, "subchannel", info.subchannel);
	hvsi_json_string(one, "state", states[info.state]);
	hvsi_json_number(one, "channel", info.channel_id);
	if (info.state == HVS_CHANNEL_OPEN && info.target_vp != UINT32_MAX)
		hvsi_json_number(one, "vp", info.target_vp);
	hvsi_json_number(one, "send_ring_bytes", info.send_ring_bytes);
	hvsi_json_number(one, "receive_ring_bytes", info.recv_ring_bytes);
	counts = json_object_new_object();
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		hvsi_json_number(counts, counters[i].name, counter_at(&c, counters[i].at));
	hvsi_json_add(one, "counters", counts);
	hvsi_json_append(arg, one);
}

static void run_channels(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {NULL};
	const struct hvs_manager *m = arg;
	struct json_object *result;
	struct json_object *array;

	if (!hvs_call_only(call, names))
		return;
	result = json_object_new_object();
	array = json_object_new_array();
	if (m->bus)
		hvs_vmbus_visit_channels(m->bus, list_one, array);
	hvsi_json_add(result, "channels", array);
	hvs_call_return(call, result);
}

static const struct hvs_method methods[] = {
	{"channels", HVS_ROLES_INSPECT, 0, run_channels},
};

int hvsi_channel_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}

void hvs_manager_set_bus(struct hvs_manager *m, struct hvs_vmbus *bus)
{
	if (m)
		m->bus = bus;
}

/* ---- metrics ---------------------------------------------------------------------------------- */

struct put {
	struct evbuffer *out;
	size_t family; /* in counters */
};

static void put_labels(struct evbuffer *out, const struct hvs_channel_info *info)
{
	char text[HVS_GUID_TEXT];

	hvs_guid_format(&info->instance_id, text);
	(void)evbuffer_add_printf(out, "{class=\"%s\",instance=\"%s\",subchannel=\"%u\"}",
				  class_name(info), text, info->subchannel);
}

static void put_open(void *arg, struct hvs_channel *ch)
{
	struct hvs_channel_info info;
	struct hvs_channel_counters c;

	if (!look_at(ch, &info, &c) || (info.subchannel && info.state == HVS_CHANNEL_WAITING) ||
	    info.state == HVS_CHANNEL_REVOKED)
		return;
	(void)evbuffer_add_printf(arg, "hvs_channel_open");
	put_labels(arg, &info);
	(void)evbuffer_add_printf(arg, " %d\n", info.state == HVS_CHANNEL_OPEN);
}

/* Of channels that were in use. One of a device that was removed may have its ids in another. */
static void put_counter(void *arg, struct hvs_channel *ch)
{
	const struct put *put = arg;
	struct hvs_channel_info info;
	struct hvs_channel_counters c;

	if (!look_at(ch, &info, &c) || (!c.batches && !c.faults) ||
	    info.state == HVS_CHANNEL_REVOKED)
		return;
	(void)evbuffer_add_printf(put->out, "%s_total", counters[put->family].family);
	put_labels(put->out, &info);
	(void)evbuffer_add_printf(put->out, " %llu\n",
				  (unsigned long long)counter_at(&c, counters[put->family].at));
}

void hvsi_channel_metrics(const struct hvs_manager *m, struct evbuffer *out)
{
	if (!m->bus)
		return;
	hvs_metrics_family(out, "hvs_channel_open", "gauge", NULL, "1: the guest's driver has it.");
	hvs_vmbus_visit_channels(m->bus, put_open, out);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		struct put put = {out, i};

		hvs_metrics_family(out, counters[i].family, "counter", counters[i].unit,
				   counters[i].help);
		hvs_vmbus_visit_channels(m->bus, put_counter, &put);
	}
}
