/* SPDX-License-Identifier: MIT */
/* What disks and adapters count, as OpenMetrics text. */
#include "control.h"
#include "disks.h"
#include "nets.h"

#include <event2/buffer.h>
#include <hvstack/host/manager.h>
#include <hvstack/stats.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* name is the sample's; more: labels besides the id, with a comma in front. */
static void put_sample(struct evbuffer *out, const char *name, const char *label, const char *id,
		       const char *more, uint64_t value)
{
	(void)evbuffer_add_printf(out, "%s{%s=\"", name, label);
	hvs_metrics_label(out, id);
	(void)evbuffer_add_printf(out, "\"%s} %llu\n", more, (unsigned long long)value);
}

/* ---- disks ---------------------------------------------------------------------------------- */

static void put_disk_bytes(void *arg, const struct disk_view *disk)
{
	if (disk->bytes)
		put_sample(arg, "hvs_disk_bytes", "disk", disk->id, "", disk->bytes);
}

static void put_disk_read_only(void *arg, const struct disk_view *disk)
{
	put_sample(arg, "hvs_disk_read_only", "disk", disk->id, "", disk->read_only);
}

static const char *const ops[HVS_DISK_OPS] = {
	[HVS_DISK_READ] = "read",   [HVS_DISK_WRITE] = "write", [HVS_DISK_FLUSH] = "flush",
	[HVS_DISK_UNMAP] = "unmap", [HVS_DISK_OTHER] = "other",
};

static void put_disk_counter(struct evbuffer *out, const struct disk_view *disk, const char *name,
			     size_t at)
{
	for (unsigned op = 0; op < HVS_DISK_OPS; op++) {
		struct hvs_disk_counters c = {.size = sizeof(c)};
		char more[32];
		uint64_t value;

		if (hvs_disk_get_counters(disk->handle, op, &c) < 0)
			continue;
		(void)snprintf(more, sizeof(more), ",op=\"%s\"", ops[op]);
		memcpy(&value, (const char *)&c + at, sizeof(value));
		put_sample(out, name, "disk", disk->id, more, value);
	}
}

static void put_disk_requests(void *arg, const struct disk_view *disk)
{
	put_disk_counter(arg, disk, "hvs_disk_requests_total",
			 offsetof(struct hvs_disk_counters, requests));
}

static void put_disk_transferred(void *arg, const struct disk_view *disk)
{
	put_disk_counter(arg, disk, "hvs_disk_transferred_bytes_total",
			 offsetof(struct hvs_disk_counters, bytes));
}

static void put_disk_errors(void *arg, const struct disk_view *disk)
{
	put_disk_counter(arg, disk, "hvs_disk_errors_total",
			 offsetof(struct hvs_disk_counters, errors));
}

/* Of those that measure, or have. */
static void put_disk_latency(void *arg, const struct disk_view *disk)
{
	for (unsigned op = 0; op < HVS_DISK_OPS; op++) {
		struct hvs_latency latency = {.size = sizeof(latency)};
		struct evbuffer *labels;
		bool any = false;

		if (hvs_disk_get_latency(disk->handle, op, &latency) < 0)
			continue;
		for (unsigned i = 0; i < HVS_LATENCY_BUCKETS; i++)
			any |= latency.bucket[i] != 0;
		labels = any ? evbuffer_new() : NULL;
		if (!labels)
			continue;
		(void)evbuffer_add_printf(labels, "disk=\"");
		hvs_metrics_label(labels, disk->id);
		(void)evbuffer_add_printf(labels, "\",op=\"%s\"", ops[op]);
		(void)evbuffer_add(labels, "", 1);
		hvs_metrics_latency(arg, "hvs_disk_latency_seconds",
				    (const char *)evbuffer_pullup(labels, -1), &latency);
		evbuffer_free(labels);
	}
}

static void put_disks(const struct disks *disks, struct evbuffer *out)
{
	hvs_metrics_family(out, "hvs_disk_bytes", "gauge", "bytes",
			   "Size of the disk, or of the medium.");
	disks_visit(disks, put_disk_bytes, out);
	hvs_metrics_family(out, "hvs_disk_read_only", "gauge", NULL,
			   "1: the guest can't write to it.");
	disks_visit(disks, put_disk_read_only, out);
	hvs_metrics_family(out, "hvs_disk_requests", "counter", NULL, "Commands that have ended.");
	disks_visit(disks, put_disk_requests, out);
	hvs_metrics_family(out, "hvs_disk_transferred_bytes", "counter", "bytes",
			   "To or from the guest.");
	disks_visit(disks, put_disk_transferred, out);
	hvs_metrics_family(out, "hvs_disk_errors", "counter", NULL,
			   "Commands that did not end well.");
	disks_visit(disks, put_disk_errors, out);
	hvs_metrics_family(out, "hvs_disk_latency_seconds", "histogram", "seconds",
			   "From a command's packet to its completion, where it is measured.");
	disks_visit(disks, put_disk_latency, out);
}

/* ---- adapters -------------------------------------------------------------------------------- */

/* A number that hvs_nic_counters has. */
struct counter {
	const char *name;
	const char *unit;
	const char *help;
	size_t at; /* in hvs_nic_counters */
};
#define AT(member) offsetof(struct hvs_nic_counters, member)

static const struct counter counters[] = {
	{"hvs_net_from_guest_frames", NULL, "That passed.", AT(from_frames)},
	{"hvs_net_from_guest_bytes", "bytes", "That passed.", AT(from_bytes)},
	{"hvs_net_from_guest_dropped", NULL, "By the back end, or the link was down.",
	 AT(from_dropped)},
	{"hvs_net_from_guest_malformed", NULL, "Frames and messages against the protocol.",
	 AT(from_malformed)},
	{"hvs_net_to_guest_frames", NULL, "That passed.", AT(to_frames)},
	{"hvs_net_to_guest_bytes", "bytes", "That passed.", AT(to_bytes)},
	{"hvs_net_to_guest_unwanted", NULL, "The guest does not want them, or is not there.",
	 AT(to_unwanted)},
	{"hvs_net_to_guest_no_room", NULL, "Times that the guest had too little room.",
	 AT(to_no_room)},
	{"hvs_net_to_guest_too_long", NULL, "Longer than the guest takes.", AT(to_too_long)},
	{"hvs_net_metered_from_guest_frames", NULL, "By the policy's rules that meter.",
	 AT(port.metered_out_frames)},
	{"hvs_net_metered_from_guest_bytes", "bytes", "By the policy's rules that meter.",
	 AT(port.metered_out_bytes)},
	{"hvs_net_metered_to_guest_frames", NULL, "By the policy's rules that meter.",
	 AT(port.metered_in_frames)},
	{"hvs_net_metered_to_guest_bytes", "bytes", "By the policy's rules that meter.",
	 AT(port.metered_in_bytes)},
};

static const struct {
	const char *label;
	size_t at;
} policies[] = {
	{",policy=\"quarantine\"", AT(port.quarantine)},
	{",policy=\"mac-spoofing\"", AT(port.mac_spoofing)},
	{",policy=\"vlan\"", AT(port.vlan)},
	{",policy=\"dhcp-guard\"", AT(port.dhcp_guard)},
	{",policy=\"router-guard\"", AT(port.router_guard)},
	{",policy=\"denied\"", AT(port.denied)},
	{",policy=\"storm\"", AT(port.storm)},
};

static uint64_t value_at(const struct net_view *net, size_t at)
{
	uint64_t value;

	memcpy(&value, (const char *)&net->counters + at, sizeof(value));
	return value;
}

struct put {
	struct evbuffer *out;
	const struct counter *counter;
};

static void put_link(void *arg, const struct net_view *net)
{
	put_sample(arg, "hvs_net_link_up", "net", net->id, "", net->status.link_up);
}

static void put_counter(void *arg, const struct net_view *net)
{
	const struct put *put = arg;
	char name[64];

	(void)snprintf(name, sizeof(name), "%s_total", put->counter->name);
	put_sample(put->out, name, "net", net->id, "", value_at(net, put->counter->at));
}

static void put_policies(void *arg, const struct net_view *net)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		put_sample(arg, "hvs_net_policy_dropped_total", "net", net->id, policies[i].label,
			   value_at(net, policies[i].at));
}

static void put_nets(const struct nets *nets, struct evbuffer *out)
{
	hvs_metrics_family(out, "hvs_net_link_up", "gauge", NULL, "1: the cable is plugged in.");
	nets_visit(nets, put_link, out);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		struct put put = {out, &counters[i]};

		hvs_metrics_family(out, counters[i].name, "counter", counters[i].unit,
				   counters[i].help);
		nets_visit(nets, put_counter, &put);
	}
	hvs_metrics_family(out, "hvs_net_policy_dropped", "counter", NULL,
			   "Frames that a policy dropped.");
	nets_visit(nets, put_policies, out);
}

void control_put_metrics(const struct disks *disks, const struct nets *nets, struct evbuffer *out)
{
	put_disks(disks, out);
	put_nets(nets, out);
}
