/* SPDX-License-Identifier: MIT */
/* Which channels there are, and what they have counted. */
#include "util/sized.h"
#include "vmbus/bus.h"

#include <errno.h>

void hvs_vmbus_visit_channels(struct hvs_vmbus *bus, hvs_channel_visit_fn fn, void *arg)
{
	for (struct hvs_device *d = bus->devices; d; d = d->next)
		for (unsigned i = 0; i < d->channel_count; i++)
			fn(arg, &d->channel[i]);
}

static enum hvs_channel_state state_of(const struct hvs_channel *ch)
{
	switch (ch->state) {
	case HVSI_CHAN_RELEASED:
		return HVS_CHANNEL_WAITING;
	case HVSI_CHAN_CLOSED:
		return HVS_CHANNEL_OFFERED;
	case HVSI_CHAN_REVOKED:
		return HVS_CHANNEL_REVOKED;
	case HVSI_CHAN_OPENING:
	case HVSI_CHAN_OPEN:
	case HVSI_CHAN_CLOSING:
	case HVSI_CHAN_CLOSING_REOPEN:
		break;
	}
	return HVS_CHANNEL_OPEN;
}

int hvs_channel_get_info(const struct hvs_channel *ch, struct hvs_channel_info *out)
{
	struct hvs_channel_info info = {0};

	if (!ch)
		return -EINVAL;
	info.state = state_of(ch);
	info.channel_id = info.state == HVS_CHANNEL_WAITING ? 0 : ch->relid;
	info.flags = ch->dev->offer.flags;
	info.class_id = ch->dev->offer.class_id;
	info.instance_id = ch->dev->offer.instance_id;
	info.subchannel = ch->index;
	if (info.state == HVS_CHANNEL_OPEN) {
		info.target_vp = atomic_load(&ch->modify_vp);
		info.send_ring_bytes = ch->params.send_ring_bytes;
		info.recv_ring_bytes = ch->params.recv_ring_bytes;
	}
	return hvsi_fill_sized(out, &info, sizeof(info));
}

int hvs_channel_get_counters(const struct hvs_channel *ch, struct hvs_channel_counters *out)
{
	const struct hvsi_chan_counters *c;
	struct hvs_channel_counters now;

	if (!ch)
		return -EINVAL;
	c = &ch->counters;
	now = (struct hvs_channel_counters){
		.from_packets = hvsi_counted(&c->from_packets),
		.from_bytes = hvsi_counted(&c->from_bytes),
		.to_packets = hvsi_counted(&c->to_packets),
		.to_bytes = hvsi_counted(&c->to_bytes),
		.batches = hvsi_counted(&c->batches),
		.signals_sent = hvsi_counted(&c->signals_sent),
		.signals_spared = hvsi_counted(&c->signals_spared),
		.ring_full = hvsi_counted(&c->ring_full),
		.faults = hvsi_counted(&c->faults),
	};
	return hvsi_fill_sized(out, &now, sizeof(now));
}
