/* SPDX-License-Identifier: MIT */
/* What a capture file has in it: frames of a NIC, or what passes the bus. */
#include <hvstack/host/capture.h>

#include "host/net_io.h"
#include "host/pcapng.h"
#include "host/sized.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BUFFER (4u << 20)
#define MIN_BUFFER (128u << 10)
#define MIN_PACKET 64u
#define MAX_NAME 64u
#define TAG_BYTES 4u
#define ADDRESSES_BYTES 12u
#define LARGEST_PACKET (72u << 10) /* that is kept of what passes the bus */

struct hvs_capture {
	struct hvsi_pcapng *file;
	bool filtered; /* packets of one device */
	struct hvs_guid instance_id;
};

/* ---- frames ----------------------------------------------------------------------------- */

/* The frame's first `max` bytes, with its tag among them. */
static uint32_t copy_tagged(const void *arg, uint8_t *to, uint32_t max)
{
	const struct hvs_net_frame *frame = arg;
	const uint8_t tag[TAG_BYTES] = {0x81, 0x00, (uint8_t)(frame->vlan_tci >> 8),
					(uint8_t)frame->vlan_tci};
	uint32_t len;

	if (!(frame->flags & HVS_NET_VLAN))
		return hvsi_frame_gather(frame, to, max);
	len = hvsi_frame_gather(frame, to, max - TAG_BYTES);
	if (len < ADDRESSES_BYTES)
		return len;
	memmove(to + ADDRESSES_BYTES + TAG_BYTES, to + ADDRESSES_BYTES, len - ADDRESSES_BYTES);
	memcpy(to + ADDRESSES_BYTES, tag, TAG_BYTES);
	return len + TAG_BYTES;
}

static void capture_frame(void *arg, uint32_t queue, bool to_guest,
			  const struct hvs_net_frame *frame)
{
	const struct hvs_capture *c = arg;
	const struct hvsi_pcapng_packet packet = {
		.to_guest = to_guest,
		.len = frame->len + (frame->flags & HVS_NET_VLAN ? TAG_BYTES : 0),
		.gather = copy_tagged,
		.arg = frame};

	(void)queue;
	hvsi_pcapng_add(c->file, &packet);
}

const struct hvs_net_monitor_ops *hvs_capture_ops(void)
{
	static const struct hvs_net_monitor_ops ops = {
		HVS_NET_MONITOR_OPS_INIT,
		.frame = capture_frame,
	};

	return &ops;
}

/* ---- the bus ---------------------------------------------------------------------------- */

/* In front of what was seen; docs/observability.md. Little endian, like all machines this runs on. */
struct pseudo_header {
	uint8_t version;
	uint8_t kind; /* enum hvs_tap_kind */
	uint8_t to_guest;
	uint8_t header_bytes;
	uint32_t channel_id;
	uint32_t connection_id;
	uint16_t subchannel;
	uint16_t flags; /* of the offer */
	uint64_t xid;
	struct hvs_guid class_id;
	struct hvs_guid instance_id;
};
#define HEADER_BYTES 56u
_Static_assert(sizeof(struct pseudo_header) == HEADER_BYTES, "docs/observability.md");

static uint32_t gather_event(const void *arg, uint8_t *to, uint32_t max)
{
	const struct hvs_tap_event *e = arg;
	struct pseudo_header h = {.version = 1,
				  .kind = (uint8_t)e->kind,
				  .to_guest = e->to_guest,
				  .header_bytes = sizeof(h),
				  .channel_id = e->channel_id,
				  .connection_id = e->connection_id,
				  .subchannel = e->subchannel,
				  .flags = (uint16_t)e->flags,
				  .xid = e->xid};
	uint32_t used = sizeof(h);

	if (e->class_id)
		h.class_id = *e->class_id;
	if (e->instance_id)
		h.instance_id = *e->instance_id;
	memcpy(to, &h, sizeof(h)); /* max is larger */
	for (unsigned i = 0; i < e->iovcnt && used < max; i++) {
		size_t len = e->iov[i].iov_len < max - used ? e->iov[i].iov_len : max - used;

		if (len)
			memcpy(to + used, e->iov[i].iov_base, len);
		used += (uint32_t)len;
	}
	return used;
}

static void capture_event(void *arg, const struct hvs_tap_event *event)
{
	const struct hvs_capture *c = arg;
	const struct hvsi_pcapng_packet packet = {
		.to_guest = event->to_guest,
		.len = (uint32_t)(sizeof(struct pseudo_header) + event->len),
		.gather = gather_event,
		.arg = event};

	if (c->filtered && (!event->instance_id || memcmp(event->instance_id, &c->instance_id,
							  sizeof(c->instance_id)) != 0))
		return;
	hvsi_pcapng_add(c->file, &packet);
}

const struct hvs_tap_ops *hvs_capture_tap_ops(void)
{
	static const struct hvs_tap_ops ops = {
		HVS_TAP_OPS_INIT,
		.event = capture_event,
	};

	return &ops;
}

/* ---- life ------------------------------------------------------------------------------- */

static bool config_ok(const struct hvs_capture_config *cfg)
{
	return cfg->path && !cfg->reserved && !cfg->reserved2 && cfg->what <= HVS_CAPTURE_VMBUS &&
	       !(cfg->name && strlen(cfg->name) > MAX_NAME) &&
	       !(cfg->max_packet && cfg->max_packet < MIN_PACKET) &&
	       !(cfg->buffer_bytes && cfg->buffer_bytes < MIN_BUFFER);
}

int hvs_capture_open(const struct hvs_capture_config *cfg_in, struct hvs_capture **out)
{
	static const struct hvs_guid none;
	struct hvs_capture_config cfg;
	struct hvsi_pcapng_config file;
	struct hvs_capture *c;
	uint32_t most;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, reserved);

	if (err || !out)
		return err ? err : -EINVAL;
	if (!config_ok(&cfg))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->instance_id = cfg.instance_id;
	c->filtered = memcmp(&cfg.instance_id, &none, sizeof(none)) != 0;
	most = cfg.what == HVS_CAPTURE_VMBUS ? LARGEST_PACKET : HVS_NET_MAX_FRAME + TAG_BYTES;
	if (cfg.max_packet && cfg.max_packet < most)
		most = cfg.max_packet;
	file = (struct hvsi_pcapng_config){
		.path = cfg.path,
		.name = cfg.name,
		.link = cfg.what == HVS_CAPTURE_VMBUS ? HVSI_LINK_USER0 : HVSI_LINK_ETHERNET,
		.max_packet = most + (cfg.what == HVS_CAPTURE_VMBUS ? HEADER_BYTES : 0),
		.max_bytes = cfg.max_bytes,
		.buffer_bytes = cfg.buffer_bytes ? cfg.buffer_bytes : DEFAULT_BUFFER};
	err = hvsi_pcapng_open(&file, &c->file);
	if (err) {
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

int hvs_capture_get_counters(struct hvs_capture *capture, struct hvs_capture_counters *counters)
{
	struct hvs_capture_counters now;

	if (!capture)
		return -EINVAL;
	hvsi_pcapng_counters(capture->file, &now);
	return hvsi_host_fill_sized(counters, &now, sizeof(now));
}

void hvs_capture_close(struct hvs_capture *capture)
{
	if (!capture)
		return;
	hvsi_pcapng_close(capture->file);
	free(capture);
}
