/* SPDX-License-Identifier: MIT */
/*
 * The tap: somebody sees all that passes. Whoever calls it passes a gate, and who takes it off waits
 * for those inside.
 */
#include "util/sized.h"
#include "vmbus/bus.h"
#include "vmbus/packet_proto.h"

#include <errno.h>

#define IOV_MAX_PARTS 32u /* of a packet that are shown */

int hvs_vmbus_set_tap(struct hvs_vmbus *bus, const struct hvs_tap_ops *ops_in, void *arg)
{
	struct hvs_tap_ops ops;
	struct hvsi_tap *tap;
	int err;

	if (!bus)
		return -EINVAL;
	tap = &bus->tap;
	if (!ops_in) {
		atomic_store(&tap->on, false);
		hvsi_gate_drain(&tap->gate);
		return 0;
	}
	err = HVSI_TAKE(&ops, ops_in, event);
	if (err)
		return err;
	if (ops.reserved || !ops.event)
		return -EINVAL;
	if (atomic_load(&tap->on))
		return -EEXIST;
	tap->ops = ops;
	tap->arg = arg;
	atomic_store(&tap->on, true);
	return 0;
}

static void show(struct hvs_vmbus *bus, const struct hvs_tap_event *event)
{
	struct hvsi_tap *tap = &bus->tap;

	hvsi_gate_enter(&tap->gate);
	if (atomic_load(&tap->on))
		tap->ops.event(tap->arg, event);
	hvsi_gate_leave(&tap->gate);
}

void hvsi_tap_message(struct hvs_vmbus *bus, bool to_guest, uint32_t connection_id, const void *msg,
		      size_t len)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = len};
	const struct hvs_tap_event event = {.kind = HVS_TAP_MESSAGE,
					    .to_guest = to_guest,
					    .connection_id = connection_id,
					    .iov = &iov,
					    .iovcnt = 1,
					    .len = len};

	show(bus, &event);
}

static struct hvs_tap_event event_of(const struct hvs_channel *ch, enum hvs_tap_kind kind,
				     bool to_guest)
{
	return (struct hvs_tap_event){.kind = kind,
				      .to_guest = to_guest,
				      .subchannel = ch->index,
				      .flags = ch->dev->offer.flags,
				      .channel_id = ch->relid,
				      .class_id = &ch->dev->offer.class_id,
				      .instance_id = &ch->dev->offer.instance_id};
}

void hvsi_tap_received(struct hvs_channel *ch, const struct hvsi_descriptor *desc)
{
	struct hvs_tap_event event = event_of(ch, HVS_TAP_PACKET, false);
	const struct iovec iov = {.iov_base = ch->staging, .iov_len = (size_t)desc->len8 * 8};

	event.xid = desc->xid;
	event.iov = &iov;
	event.iovcnt = 1;
	event.len = iov.iov_len;
	show(ch->dev->bus, &event);
}

void hvsi_tap_sent(struct hvs_channel *ch, const struct hvsi_descriptor *desc, const void *header,
		   size_t header_len, const struct iovec *iov, unsigned iovcnt)
{
	struct hvs_tap_event event = event_of(ch, HVS_TAP_PACKET, true);
	struct hvsi_wire_descriptor d = {.type = hvsi_le16(desc->type),
					 .flags = hvsi_le16(desc->flags),
					 .xid = hvsi_le64(desc->xid)};
	struct iovec parts[IOV_MAX_PARTS] = {
		{.iov_base = &d, .iov_len = sizeof(d)},
		{.iov_base = (void *)(uintptr_t)header, .iov_len = header_len}};

	event.xid = desc->xid;
	event.iov = parts;
	event.iovcnt = 2;
	event.len = sizeof(d) + header_len;
	for (unsigned i = 0; i < iovcnt; i++) {
		event.len += iov[i].iov_len;
		if (event.iovcnt < IOV_MAX_PARTS)
			parts[event.iovcnt++] = iov[i];
	}
	/* The ring has filled these in. */
	d.header_len8 = hvsi_le16(desc->header_len8 ? desc->header_len8
						    : (uint16_t)((sizeof(d) + header_len) / 8));
	d.len8 = hvsi_le16((uint16_t)((event.len + 7) / 8));
	show(ch->dev->bus, &event);
}

bool hvs_channel_tapped(const struct hvs_channel *ch)
{
	return hvsi_tapped(&ch->dev->bus->tap);
}

void hvs_channel_tap(struct hvs_channel *ch, bool to_guest, uint64_t xid, const struct iovec *iov,
		     unsigned iovcnt, size_t len)
{
	struct hvs_tap_event event;

	if (!hvs_channel_tapped(ch))
		return;
	event = event_of(ch, HVS_TAP_PAYLOAD, to_guest);
	event.xid = xid;
	event.iov = iov;
	event.iovcnt = iovcnt;
	event.len = len;
	show(ch->dev->bus, &event);
}
