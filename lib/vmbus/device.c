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
#define KNOWN_FLAGS (HVS_OFFER_INTERFACE | HVS_OFFER_PIPE | HVS_OFFER_SOCKET)
#define LONGEST_LATENCY_US (UINT16_MAX / 10u)

static size_t device_size(unsigned channels)
{
	return sizeof(struct hvs_device) + channels * sizeof(struct hvs_channel);
}

static int check(struct hvs_vmbus *bus, struct hvs_offer *offer, const struct hvs_vsp_ops *ops)
{
	const struct hvs_le32 pipe_type = hvsi_le32(HVSI_PIPE_MESSAGE);

	if (!ops->open || !ops->ready || !ops->close || ops->reserved || offer->reserved ||
	    offer->flags & ~KNOWN_FLAGS || (offer->worker && offer->worker->bus != bus) ||
	    offer->max_subchannels >= HVSI_MAX_RELID ||
	    offer->monitor_latency_us > LONGEST_LATENCY_US ||
	    !offer->subchannel_workers != !offer->subchannel_worker_count ||
	    !ops->save != !ops->restore)
		return -EINVAL;
	for (uint32_t i = 0; i < offer->subchannel_worker_count; i++)
		if (!offer->subchannel_workers[i] || offer->subchannel_workers[i]->bus != bus)
			return -EINVAL;
	if (!offer->max_packet_bytes)
		offer->max_packet_bytes = DEFAULT_MAX_PACKET;
	if (offer->max_packet_bytes < HVSI_RING_DESCRIPTOR ||
	    offer->max_packet_bytes > LARGEST_PACKET)
		return -EINVAL;
	if (!offer->worker)
		offer->worker = &bus->main_worker;
	if (bus->device_count >= bus->cfg.max_offers)
		return -ENOSPC;
	if (offer->flags & HVS_OFFER_PIPE)
		memcpy(offer->user_data, &pipe_type, sizeof(pipe_type));
	return 0;
}

static bool same_instance(const struct hvs_device *d, const struct hvs_offer *offer)
{
	return hvsi_guid_equal(&d->offer.instance_id, &offer->instance_id);
}

struct hvs_device **hvsi_device_bucket(struct hvs_vmbus *bus, const struct hvs_guid *instance_id)
{
	uint32_t hash = 0;

	for (unsigned i = 0; i < sizeof(instance_id->b); i++)
		hash = hash * 31 + instance_id->b[i];
	return &bus->by_instance[hash % HVSI_DEVICE_BUCKETS];
}

static struct hvs_worker *worker_of(const struct hvs_offer *offer, unsigned index)
{
	if (!index || !offer->subchannel_workers)
		return offer->worker;
	return offer->subchannel_workers[(index - 1) % offer->subchannel_worker_count];
}

static struct hvs_device *create(struct hvs_vmbus *bus, const struct hvs_offer *offer,
				 const struct hvs_vsp_ops *ops, void *priv)
{
	unsigned channels = 1u + offer->max_subchannels;
	struct hvs_device *d = hvsi_alloc(&bus->cfg.alloc, device_size(channels));
	struct hvs_device **bucket;

	if (!d)
		return NULL;
	d->bus = bus;
	d->offer = *offer;
	d->ops = *ops;
	d->priv = priv;
	d->channel_count = channels;
	for (unsigned i = 0; i < channels; i++)
		hvsi_chan_init(&d->channel[i], d, (uint16_t)i, worker_of(offer, i));
	d->offer.subchannel_workers = NULL; /* the caller's */
	bus->device_count++;
	bucket = hvsi_device_bucket(bus, &offer->instance_id);
	d->hash_next = *bucket;
	*bucket = d;
	return d;
}

int hvs_device_offer(struct hvs_vmbus *bus, const struct hvs_offer *offer_in,
		     const struct hvs_vsp_ops *ops_in, void *dev, struct hvs_device **out)
{
	struct hvs_offer offer;
	struct hvs_vsp_ops ops;
	struct hvs_device *d;
	int err;

	if (!bus || !out)
		return -EINVAL;
	err = HVSI_TAKE(&offer, offer_in, reserved);
	if (!err)
		err = HVSI_TAKE(&ops, ops_in, timer);
	if (!err)
		err = check(bus, &offer, &ops);
	if (err)
		return err;
	for (d = *hvsi_device_bucket(bus, &offer.instance_id); d; d = d->hash_next)
		if (!d->removed && same_instance(d, &offer))
			return -EEXIST;

	d = create(bus, &offer, &ops, dev);
	if (!d)
		return -ENOMEM;
	*bus->devices_end = d;
	bus->devices_end = &d->next;
	*out = d;
	if (bus->conn.state == HVSI_CONN_CONNECTED && bus->conn.offers_sent)
		hvsi_device_offer_channel(&d->channel[0]);
	hvsi_tl_offered(bus, &d->offer);
	return 0;
}

/* ---- offering --------------------------------------------------------------------------------- */

/* Drivers can't stand two devices of one identity: has the guest let go of the one before d? */
static bool predecessor_gone(const struct hvs_device *d)
{
	if (!d->bus->leaving_count)
		return true;
	for (const struct hvs_device *o = *hvsi_device_bucket(d->bus, &d->offer.instance_id); o;
	     o = o->hash_next)
		if (o != d && o->known && same_instance(o, &d->offer))
			return false;
	return true;
}

/* 0: all are in use. */
static uint32_t free_relid(const struct hvs_vmbus *bus)
{
	for (uint32_t relid = 1; relid <= bus->cfg.max_offers; relid++)
		if (!bus->offered[relid])
			return relid;
	return 0;
}

static void set_waiting(struct hvs_channel *ch, bool waiting)
{
	if (ch->waiting == waiting)
		return;
	ch->waiting = waiting;
	if (waiting)
		ch->dev->bus->waiting_count++;
	else
		ch->dev->bus->waiting_count--;
}

void hvsi_device_offer_channel(struct hvs_channel *ch)
{
	uint32_t relid = free_relid(ch->dev->bus);

	if (ch->dev->removed)
		return;
	set_waiting(ch, ch->state != HVSI_CHAN_RELEASED || !relid || !predecessor_gone(ch->dev));
	if (!ch->waiting)
		hvsi_chan_offer(ch, relid);
}

static void offer_waiting(struct hvs_vmbus *bus)
{
	for (struct hvs_device *d = bus->devices; d && bus->waiting_count; d = d->next)
		for (unsigned i = 0; i < d->channel_count; i++)
			if (d->channel[i].waiting)
				hvsi_device_offer_channel(&d->channel[i]);
}

void hvsi_device_offer_subchannels(struct hvs_device *d)
{
	unsigned wanted;

	if (d->channel[0].state != HVSI_CHAN_OPEN || d->channel[0].reserved)
		return; /* when it is open */
	wanted = atomic_exchange(&d->subchannels_wanted, 0);
	if (hvsi_version_is_legacy(atomic_load(&d->bus->conn.version)))
		return;
	for (unsigned i = 1; i <= wanted; i++)
		if (d->channel[i].state == HVSI_CHAN_RELEASED || d->channel[i].revoked)
			hvsi_device_offer_channel(&d->channel[i]);
}

void hvsi_device_revoke_subchannels(struct hvs_device *d)
{
	for (unsigned i = d->channel_count - 1; i > 0; i--) {
		struct hvs_channel *ch = &d->channel[i];

		set_waiting(ch, false);
		if (ch->state != HVSI_CHAN_RELEASED && !ch->revoked)
			hvsi_chan_revoke(ch);
	}
}

/* ---- going ------------------------------------------------------------------------------------ */

void hvsi_device_free(struct hvs_device *d)
{
	if (d->ops.destroy)
		d->ops.destroy(d->priv);
	hvsi_free(&d->bus->cfg.alloc, d, device_size(d->channel_count));
}

void hvsi_device_drop(struct hvs_device *d)
{
	struct hvs_vmbus *bus = d->bus;
	struct hvs_device **at = &bus->devices;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	if (bus->devices_end == &d->next)
		bus->devices_end = at;
	at = hvsi_device_bucket(bus, &d->offer.instance_id);
	while (*at != d)
		at = &(*at)->hash_next;
	*at = d->hash_next;
	bus->device_count--;
	bus->leaving_count--;
	hvsi_device_free(d);
}

static void free_if_gone(struct hvs_device *d)
{
	if (d->told && !d->known)
		hvsi_device_drop(d);
}

/* A device that is closed already never gets a callback. */
struct hvs_device *hvsi_device_placeholder(struct hvs_vmbus *bus, const struct hvs_guid *class_id,
					   const struct hvs_guid *instance_id, uint16_t index)
{
	const struct hvs_offer offer = {
		.class_id = *class_id, .instance_id = *instance_id, .worker = &bus->main_worker};
	const struct hvs_vsp_ops none = {0};
	struct hvs_device *d = create(bus, &offer, &none, NULL);

	if (!d)
		return NULL;
	d->channel[0].index = index;
	d->removed = true;
	d->fences = 1;
	bus->leaving_count++;
	d->next = bus->devices;
	bus->devices = d;
	if (!d->next)
		bus->devices_end = &d->next;
	return d;
}

void hvsi_device_at_rest(struct hvs_device *d)
{
	hvs_done_fn done = d->done;
	void *arg = d->done_arg;

	if (--d->fences)
		return;
	if (done)
		done(arg, 0);
	d->told = true;
	free_if_gone(d);
}

void hvsi_device_let_go(struct hvs_device *d)
{
	struct hvs_vmbus *bus = d->bus;

	free_if_gone(d);
	if (bus->conn.state == HVSI_CONN_CONNECTED)
		offer_waiting(bus);
}

void hvsi_device_disconnect(struct hvs_device *d)
{
	d->known++; /* d stays until the loop is over */
	for (unsigned i = d->channel_count; i-- > 0;) {
		set_waiting(&d->channel[i], false);
		hvsi_chan_disconnect(&d->channel[i]);
	}
	d->known--;
	free_if_gone(d);
}

int hvs_device_rescind(struct hvs_device *d, hvs_done_fn done, void *arg)
{
	if (!d)
		return -EINVAL;
	if (d->removed)
		return -EBUSY;
	d->removed = true;
	d->done = done;
	d->done_arg = arg;
	d->fences = d->channel_count;
	d->bus->leaving_count++;
	/* Sub-channels before their primary. */
	for (unsigned i = d->channel_count; i-- > 0;) {
		set_waiting(&d->channel[i], false);
		hvsi_chan_revoke(&d->channel[i]);
	}
	return 0;
}
