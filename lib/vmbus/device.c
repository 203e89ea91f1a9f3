/* SPDX-License-Identifier: MIT */
/* Devices: what is offered to the guest, in the order it was added. */
#include "vmbus/bus.h"

#include "util/alloc.h"
#include "util/guid.h"
#include "util/sized.h"

#include <errno.h>

#define DEFAULT_MAX_PACKET 4096u
/* A packet's length is a 16-bit count of 8-byte words. */
#define LARGEST_PACKET (UINT16_MAX * 8u)

static int check(struct hvs_vmbus *bus, struct hvs_offer *offer, const struct hvs_vsp_ops *ops)
{
	if (!ops->open || !ops->ready || !ops->close || ops->reserved || offer->reserved ||
	    offer->flags & ~HVS_OFFER_PIPE || (offer->worker && offer->worker->bus != bus))
		return -EINVAL;
	if (!offer->max_packet_bytes)
		offer->max_packet_bytes = DEFAULT_MAX_PACKET;
	if (offer->max_packet_bytes < HVSI_RING_DESCRIPTOR ||
	    offer->max_packet_bytes > LARGEST_PACKET)
		return -EINVAL;
	if (atomic_load(&bus->started))
		return -EBUSY;
	if (bus->device_count == HVSI_MAX_RELID)
		return -ENOSPC;
	return 0;
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
		if (hvsi_guid_equal(&(*last)->offer.instance_id, &offer.instance_id))
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
	return 0;
}
