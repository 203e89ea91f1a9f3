/* SPDX-License-Identifier: MIT */
/* Devices: what is offered to the guest, in the order it was added; coming and going. */
#include "vmbus/bus.h"

#include "util/alloc.h"
#include "util/guid.h"
#include "util/sized.h"
#include "vmbus/packet_proto.h"

#include <errno.h>

#define DEFAULT_MAX_PACKET 4096u
/* A packet's length is a 16-bit count of 8-byte words. */
#define LARGEST_PACKET (UINT16_MAX * 8u)

static int check(struct hvs_vmbus *bus, struct hvs_offer *offer, const struct hvs_vsp_ops *ops)
{
	const struct hvs_le32 pipe_type = hvsi_le32(HVSI_PIPE_MESSAGE);

	if (!ops->open || !ops->ready || !ops->close || ops->reserved || offer->reserved ||
	    offer->flags & ~HVS_OFFER_PIPE || (offer->worker && offer->worker->bus != bus))
		return -EINVAL;
	if (!offer->max_packet_bytes)
		offer->max_packet_bytes = DEFAULT_MAX_PACKET;
	if (offer->max_packet_bytes < HVSI_RING_DESCRIPTOR ||
	    offer->max_packet_bytes > LARGEST_PACKET)
		return -EINVAL;
	if (bus->device_count == HVSI_MAX_RELID)
		return -ENOSPC;
	if (offer->flags & HVS_OFFER_PIPE)
		memcpy(offer->user_data, &pipe_type, sizeof(pipe_type));
	return 0;
}

static bool same_instance(const struct hvs_device *d, const struct hvs_offer *offer)
{
	return hvsi_guid_equal(&d->offer.instance_id, &offer->instance_id);
}

int hvs_device_offer(struct hvs_vmbus *bus, const struct hvs_offer *offer_in,
		     const struct hvs_vsp_ops *ops_in, void *dev, struct hvs_device **out)
{
	struct hvs_device **last;
	struct hvs_offer offer;
	struct hvs_vsp_ops ops;
	struct hvs_device *d;
	int err;

	if (!bus || !out)
		return -EINVAL;
	err = hvsi_copy_sized(&offer, sizeof(offer), offer_in, sizeof(offer));
	if (!err)
		err = hvsi_copy_sized(&ops, sizeof(ops), ops_in, sizeof(ops));
	if (!err)
		err = check(bus, &offer, &ops);
	if (err)
		return err;
	for (last = &bus->devices; *last; last = &(*last)->next)
		if (!(*last)->primary.revoked && same_instance(*last, &offer))
			return -EEXIST;

	d = hvsi_alloc(&bus->cfg.alloc, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->bus = bus;
	d->offer = offer;
	d->ops = ops;
	d->priv = dev;
	hvsi_chan_init(&d->primary, d);
	*last = d;
	bus->device_count++;
	*out = d;
	if (bus->conn.state == HVSI_CONN_CONNECTED && bus->conn.offers_sent)
		hvsi_device_offer_now(d);
	return 0;
}

/* Drivers can't stand two devices of one identity: has the guest let go of the one before d? */
static bool predecessor_gone(const struct hvs_device *d)
{
	if (!d->bus->leaving_count)
		return true;
	for (const struct hvs_device *o = d->bus->devices; o; o = o->next)
		if (o != d && o->primary.state != HVSI_CHAN_RELEASED && same_instance(o, &d->offer))
			return false;
	return true;
}

void hvsi_device_offer_now(struct hvs_device *d)
{
	struct hvs_vmbus *bus = d->bus;
	uint32_t relid = 1;

	if (d->primary.revoked)
		return;
	while (relid <= HVSI_MAX_RELID && bus->offered[relid])
		relid++;
	d->waiting = relid > HVSI_MAX_RELID || !predecessor_gone(d);
	if (!d->waiting)
		hvsi_chan_offer(&d->primary, relid);
}

static void free_device(struct hvs_device *d)
{
	struct hvs_vmbus *bus = d->bus;
	struct hvs_device **at = &bus->devices;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	bus->device_count--;
	bus->leaving_count--;
	if (d->ops.destroy)
		d->ops.destroy(d->priv);
	hvsi_free(&bus->cfg.alloc, d, sizeof(*d));
}

void hvsi_device_at_rest(struct hvs_device *d)
{
	hvs_done_fn done = d->done;
	void *arg = d->done_arg;

	if (done)
		done(arg, 0);
	d->told = true;
	if (d->primary.state == HVSI_CHAN_RELEASED)
		free_device(d);
}

void hvsi_device_let_go(struct hvs_device *d)
{
	struct hvs_vmbus *bus = d->bus;

	if (d->told)
		free_device(d);
	if (bus->conn.state != HVSI_CONN_CONNECTED)
		return;
	for (d = bus->devices; d; d = d->next)
		if (d->waiting)
			hvsi_device_offer_now(d);
}

int hvs_device_rescind(struct hvs_device *d, hvs_done_fn done, void *arg)
{
	if (!d)
		return -EINVAL;
	if (d->primary.revoked)
		return -EBUSY;
	d->done = done;
	d->done_arg = arg;
	d->bus->leaving_count++;
	hvsi_chan_revoke(&d->primary);
	return 0;
}
