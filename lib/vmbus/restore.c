/* SPDX-License-Identifier: MIT */
/*
 * Read the state of a bus into one that has never been used. Nothing in the state is trusted.
 * The bus is filled record by record; when something is wrong it is emptied again, so that it is
 * as before. What the workers have to do is posted; they begin when the bus is started.
 */
#include "vmbus/bus.h"

#include "util/guid.h"
#include "util/probe.h"
#include "vmbus/state_format.h"

#include <errno.h>

struct restoring {
	struct hvs_vmbus *bus;
	struct hvsi_reader records; /* what is still to come */
	uint16_t last_type;
};

/* ---- channels --------------------------------------------------------------------------------- */

static struct hvs_device *find_device(struct hvs_vmbus *bus, const struct hvsi_state_channel *s)
{
	struct hvs_device *d = *hvsi_device_bucket(bus, &s->instance_id);

	for (; d; d = d->hash_next)
		if (!d->removed && hvsi_guid_equal(&d->offer.instance_id, &s->instance_id) &&
		    hvsi_guid_equal(&d->offer.class_id, &s->class_id) &&
		    hvsi_get16(s->index) < d->channel_count)
			return d;
	return NULL;
}

/* A channel with a ring is in use; one whose guest is only to be told that it is closed has none. */
static bool state_ok(const struct hvs_vmbus *bus, const struct hvsi_state_channel *s)
{
	unsigned flags = hvsi_get16(s->flags);
	bool ring = flags & HVSI_STATE_HAS_RING;
	bool reserved = flags & HVSI_STATE_RESERVED;
	bool told_later = reserved && hvsi_get32(s->close_owed);

	switch (bus->conn.state) {
	case HVSI_CONN_DISCONNECTED:
		if (!reserved || !(flags & HVSI_STATE_RELEASE))
			return false;
		break;
	case HVSI_CONN_DISCONNECTING:
		if (!(flags & HVSI_STATE_RELEASE) || (!ring && !reserved))
			return false;
		break;
	case HVSI_CONN_CONNECTED:
		/* Unless the guest has let go of what is not closed yet. */
		if (flags & HVSI_STATE_RELEASE && !reserved && s->state != HVSI_CHAN_CLOSING &&
		    !(flags & HVSI_STATE_REVOKED))
			return false;
		break;
	}
	if ((hvsi_get32(s->close_owed) && !reserved) ||
	    hvsi_get32(s->close_owed) > HVSI_STATE_MOST_OWED ||
	    hvsi_get32(s->modify_owed) > HVSI_STATE_MOST_OWED)
		return false;
	switch (s->state) {
	case HVSI_CHAN_CLOSED:
		return !ring && (reserved || !(flags & HVSI_STATE_REVOKED));
	case HVSI_CHAN_OPENING:
	case HVSI_CHAN_OPEN:
		return ring;
	case HVSI_CHAN_CLOSING:
		return ring || told_later;
	case HVSI_CHAN_CLOSING_REOPEN:
		return ring && !reserved && !(flags & HVSI_STATE_REVOKED);
	case HVSI_CHAN_REVOKED:
		return !ring && !reserved && flags & HVSI_STATE_REVOKED;
	default:
		return false;
	}
}

static int take_ring(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	ch->ring = hvsi_gpadl_find(bus, hvsi_get32(ch->request.open.gpadl_id));
	if (!ch->ring || ch->ring->relid != ch->relid || ch->ring->state == HVSI_GPADL_COLLECTING ||
	    ch->ring->status != HVSI_STATUS_OK) {
		ch->ring = NULL;
		return -EBADMSG;
	}
	hvsi_gpadl_get(ch->ring);
	bus->open_count++;
	return 0;
}

static int take_relid(struct hvs_channel *ch, const struct hvsi_state_channel *s)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	uint32_t relid = hvsi_get32(s->relid);

	if (!relid || relid > HVSI_MAX_RELID || bus->offered[relid] ||
	    (s->monitor_id != HVSI_NO_MONITOR &&
	     (s->monitor_id >= HVSI_MONITOR_IDS || bus->monitor.channel[s->monitor_id])))
		return -EBADMSG;
	ch->relid = relid;
	bus->offered[relid] = ch;
	bus->offered_count++;
	ch->dev->known++;
	/* A guest whose device gives no latency any more signals in vain until it reconnects. */
	ch->monitor_id = ch->dev->offer.monitor_latency_us ? s->monitor_id : HVSI_NO_MONITOR;
	if (ch->monitor_id != HVSI_NO_MONITOR)
		bus->monitor.channel[ch->monitor_id] = ch;
	return 0;
}

static void address(const struct hvs_vmbus *bus, struct hvsi_outmsg *m, struct hvs_le32 vp,
		    struct hvs_le32 sint)
{
	if (hvsi_get32(vp) == HVSI_VP_NONE)
		m->vp = HVSI_VP_NONE;
	else
		hvsi_outmsg_address(bus, m, hvsi_get32(vp), hvsi_get32(sint));
}

static void take_fields(struct hvs_channel *ch, const struct hvsi_state_channel *s)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	unsigned flags = hvsi_get16(s->flags);

	ch->state = (enum hvsi_chan_state)s->state;
	ch->release = flags & HVSI_STATE_RELEASE;
	ch->revoked = flags & HVSI_STATE_REVOKED;
	ch->reserved = flags & HVSI_STATE_RESERVED;
	ch->close_asked = hvsi_get32(s->close_owed);
	ch->faulted = flags & HVSI_STATE_FAULTED;
	bus->reserved_count += ch->reserved;
	ch->request = s->request;
	ch->next_request = s->next_request;
	ch->open_status = hvsi_get32(s->open_status);
	ch->modify_owed = hvsi_get32(s->modify_owed);
	address(bus, &ch->open_result, s->result_vp, s->result_sint);
	address(bus, &ch->reserved_closed, s->closed_vp, s->closed_sint);
}

/* The device can't go on with the channel: closed, and taken from the guest (see settle()). */
static void give_up(struct hvs_channel *ch)
{
	if (ch->state == HVSI_CHAN_OPENING || ch->state == HVSI_CHAN_OPEN ||
	    ch->state == HVSI_CHAN_CLOSING_REOPEN)
		ch->state = HVSI_CHAN_CLOSING;
	ch->lost = true;
}

static int take_open(struct restoring *r, struct hvs_channel *ch,
		     const struct hvsi_state_channel *s)
{
	struct hvs_state_reader data = {.records = r->records};
	int err;

	if (ch->state != HVSI_CHAN_OPEN && ch->state != HVSI_CHAN_OPENING)
		return 0;
	if (ch->state == HVSI_CHAN_OPEN &&
	    (!ch->dev->ops.restore || !(hvsi_get16(s->flags) & HVSI_STATE_HAS_DATA))) {
		give_up(ch);
		return 0;
	}
	err = hvsi_chan_restore_open(ch, hvsi_get32(s->target_vp));
	if (!err && ch->state == HVSI_CHAN_OPEN)
		err = hvsi_chan_io_restore(ch, hvsi_get32(s->in_next), hvsi_get32(s->out_next),
					   &data);
	return err;
}

static int restore_channel(struct restoring *r, struct hvsi_reader *payload)
{
	struct hvs_vmbus *bus = r->bus;
	struct hvsi_state_channel s;
	struct hvs_device *d;
	struct hvs_channel *ch;
	unsigned flags;
	int err;

	if (!hvsi_read(payload, &s, sizeof(s)))
		return -EBADMSG;
	flags = hvsi_get16(s.flags);
	d = find_device(bus, &s);
	ch = d ? &d->channel[hvsi_get16(s.index)] : NULL;
	if (ch && flags & HVSI_STATE_WAITING)
		ch->wanted = true;
	if (s.state == HVSI_CHAN_RELEASED)
		return flags & HVSI_STATE_WAITING ? 0 : -EBADMSG;
	if (!state_ok(bus, &s))
		return -EBADMSG;
	if (ch && ch->state != HVSI_CHAN_RELEASED)
		return -EBADMSG;
	if (!ch || flags & HVSI_STATE_REVOKED) {
		d = hvsi_device_placeholder(bus, &s.class_id, &s.instance_id, hvsi_get16(s.index));
		if (!d)
			return -ENOMEM;
		ch = &d->channel[0];
	} else if (!ch->index && hvsi_get16(s.subchannels_wanted) < d->channel_count) {
		atomic_store(&d->subchannels_wanted, hvsi_get16(s.subchannels_wanted));
	}
	err = take_relid(ch, &s);
	if (err)
		return err;
	take_fields(ch, &s);
	if (flags & HVSI_STATE_HAS_RING)
		err = take_ring(ch);
	if (err)
		return err;
	if (d->removed) {
		give_up(ch);
		return 0;
	}
	return take_open(r, ch, &s);
}

/* ---- messages --------------------------------------------------------------------------------- */

static int restore_connect_request(struct hvs_vmbus *bus, struct hvsi_reader *payload)
{
	struct hvsi_state_connect_request s;
	struct hvsi_tl_request *request;

	if (!hvsi_read(payload, &s, sizeof(s)) || hvsi_get32(s.slot) >= HVSI_TL_REQUESTS)
		return -EBADMSG;
	request = &bus->tl[hvsi_get32(s.slot)];
	request->used = true;
	request->endpoint_id = s.endpoint_id;
	request->service_id = s.service_id;
	return 0;
}

static int restore_incoming(struct hvs_vmbus *bus, struct hvsi_reader *payload)
{
	struct hvsi_state_incoming s;
	struct hvsi_inmsg *m;

	if (!hvsi_read(payload, &s, sizeof(s)) || payload->left > HVSI_MSG_MAX)
		return -EBADMSG;
	if (bus->inq_count == bus->cfg.max_queued_messages)
		return -ENOSPC;
	m = &bus->inq[bus->inq_count++];
	m->connection_id = hvsi_get32(s.connection_id);
	m->len = (uint32_t)payload->left;
	(void)hvsi_read(payload, m->bytes, payload->left);
	return 0;
}

static struct hvsi_outmsg *message_of_channel(struct hvs_channel *ch, uint32_t kind)
{
	if (!ch)
		return NULL;
	switch (kind) {
	case HVSI_OUT_OFFER:
		return ch->state == HVSI_CHAN_CLOSED ? &ch->offer : NULL;
	case HVSI_OUT_RESCIND:
		return ch->revoked ? &ch->rescind : NULL;
	case HVSI_OUT_OPEN_RESULT:
		return &ch->open_result;
	case HVSI_OUT_MODIFY_RESPONSE:
		return ch->modify_owed ? &ch->modify_response : NULL;
	case HVSI_OUT_RESERVED_CLOSED:
		return ch->reserved && ch->close_asked && !ch->ring ? &ch->reserved_closed : NULL;
	default:
		return NULL;
	}
}

static struct hvsi_outmsg *message_of_gpadl(struct hvs_vmbus *bus, uint32_t id)
{
	struct hvsi_gpadl *g = hvsi_gpadl_find(bus, id);

	if (!g || g->users || g->state == HVSI_GPADL_COLLECTING)
		return NULL;
	g->shared = false;
	if (g->state == HVSI_GPADL_TEARDOWN)
		hvsi_gpadl_torndown(g); /* is in the queue with that */
	return &g->answer;
}

static struct hvsi_outmsg *message(struct hvs_vmbus *bus, uint32_t kind, uint32_t about)
{
	struct hvsi_conn *c = &bus->conn;

	switch (kind) {
	case HVSI_OUT_VERSION_RESPONSE:
		return &c->version_response;
	case HVSI_OUT_ALL_OFFERS:
		return &c->all_offers;
	case HVSI_OUT_UNLOAD_RESPONSE:
		return &c->unload_response;
	case HVSI_OUT_PAUSE_RESPONSE:
		return &c->pause_response;
	case HVSI_OUT_MODIFY_CONNECTION_RESPONSE:
		return &c->modify_connection_response;
	case HVSI_OUT_REFUSAL:
		return &c->refusal;
	case HVSI_OUT_TL_RESULT:
		return about < HVSI_TL_REQUESTS && bus->tl[about].used ? &bus->tl[about].result
								       : NULL;
	case HVSI_OUT_GPADL:
		return message_of_gpadl(bus, about);
	default:
		return message_of_channel(hvsi_bus_channel(bus, about), kind);
	}
}

static int restore_outgoing(struct hvs_vmbus *bus, struct hvsi_reader *payload)
{
	struct hvsi_state_outgoing s;
	struct hvsi_outmsg *m;

	if (!hvsi_read(payload, &s, sizeof(s)))
		return -EBADMSG;
	m = message(bus, hvsi_get32(s.kind), hvsi_get32(s.about));
	if (!m)
		return -EBADMSG;
	if (m == &bus->conn.refusal) {
		if (!payload->left || payload->left > sizeof(bus->conn.refusal_bytes))
			return -EBADMSG;
		hvsi_conn_refuse(bus, payload->p, payload->left);
		address(bus, m, s.vp, s.sint);
	}
	hvsi_outq_add(bus, m);
	return 0;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static int restore_bus(struct hvs_vmbus *bus, struct hvsi_reader *payload)
{
	struct hvsi_state_bus s;

	if (!hvsi_read(payload, &s, sizeof(s)))
		return -EBADMSG;
	return hvsi_get32(s.vp_count) == bus->cfg.vp_count ? 0 : -ENOTSUP;
}

static int restore_connection(struct hvs_vmbus *bus, struct hvsi_reader *payload)
{
	struct hvsi_state_connection s;

	return hvsi_read(payload, &s, sizeof(s)) ? hvsi_conn_restore(bus, &s) : -EBADMSG;
}

static int restore_gpadl(struct hvs_vmbus *bus, struct hvsi_reader *payload)
{
	struct hvsi_state_gpadl s;

	if (!hvsi_read(payload, &s, sizeof(s)))
		return -EBADMSG;
	return hvsi_gpadl_restore(bus, &s, payload->p, payload->left);
}

/* Records come in the order of their types; there is one BUS and one CONNECTION, first. */
static bool order_ok(const struct restoring *r, uint16_t type)
{
	switch (type) {
	case HVSI_STATE_BUS:
		return !r->last_type;
	case HVSI_STATE_CONNECTION:
		return r->last_type == HVSI_STATE_BUS;
	case HVSI_STATE_DATA:
		return r->last_type == HVSI_STATE_CHANNEL || r->last_type == HVSI_STATE_DATA;
	case HVSI_STATE_CHANNEL:
		return r->last_type >= HVSI_STATE_CONNECTION && r->last_type <= HVSI_STATE_DATA;
	default:
		return r->last_type >= HVSI_STATE_CONNECTION && r->last_type <= type;
	}
}

static int restore_record(struct restoring *r, uint16_t type, struct hvsi_reader *payload)
{
	if (!order_ok(r, type))
		return -EBADMSG;
	r->last_type = type;
	switch (type) {
	case HVSI_STATE_BUS:
		return restore_bus(r->bus, payload);
	case HVSI_STATE_CONNECTION:
		return restore_connection(r->bus, payload);
	case HVSI_STATE_GPADL:
		return restore_gpadl(r->bus, payload);
	case HVSI_STATE_CHANNEL:
		return restore_channel(r, payload);
	case HVSI_STATE_DATA:
		return 0; /* the channel before has read it, or had no use for it */
	case HVSI_STATE_CONNECT_REQUEST:
		return restore_connect_request(r->bus, payload);
	case HVSI_STATE_INCOMING:
		return restore_incoming(r->bus, payload);
	case HVSI_STATE_OUTGOING:
		return restore_outgoing(r->bus, payload);
	default:
		return -EBADMSG;
	}
}

static int check_gpadls(struct hvs_vmbus *bus)
{
	for (unsigned i = 0; i < HVSI_GPADL_BUCKETS; i++)
		for (struct hvsi_gpadl *g = bus->gpadls.bucket[i]; g; g = g->hash_next) {
			bool told = !hvsi_list_empty(&g->answer.node);

			if (!hvsi_bus_channel(bus, g->relid) ||
			    (g->state != HVSI_GPADL_COLLECTING && g->status != HVSI_STATUS_OK &&
			     !told))
				return -EBADMSG;
			if (g->state == HVSI_GPADL_TEARDOWN && !g->users && !told)
				hvsi_gpadl_torndown(g);
		}
	return 0;
}

/* Have a channel go on from where it was. */
static void settle(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	if (ch->modify_owed)
		hvsi_outq_add(bus, &ch->modify_response);
	if (ch->lost) {
		ch->lost = false;
		ch->wanted = !ch->dev->removed && !ch->index && !ch->reserved;
		hvsi_chan_revoke(ch);
	}
	switch (ch->state) {
	case HVSI_CHAN_OPENING:
		hvsi_chan_command(ch, HVSI_CTL_OPEN);
		break;
	case HVSI_CHAN_OPEN:
		if (hvsi_list_empty(&ch->open_result.node))
			hvsi_chan_command(ch, HVSI_CTL_RESUME);
		if (!ch->index && atomic_load(&ch->dev->subchannels_wanted))
			hvsi_device_offer_subchannels(ch->dev);
		break;
	case HVSI_CHAN_CLOSING:
	case HVSI_CHAN_CLOSING_REOPEN:
		if (ch->ring) {
			atomic_fetch_or(&ch->done, HVSI_DONE_CLOSE);
			hvsi_worker_post(&bus->main_worker, &ch->done_work);
		} else {
			hvsi_outq_add(bus, &ch->reserved_closed);
		}
		break;
	case HVSI_CHAN_CLOSED:
		/* Who wanted to open it is told, and then it is let go of. */
		if (ch->reserved && hvsi_list_empty(&ch->reserved_closed.node))
			hvsi_outq_add(bus, &ch->open_result);
		break;
	case HVSI_CHAN_RELEASED:
	case HVSI_CHAN_REVOKED:
		break;
	}
}

static void settle_all(struct hvs_vmbus *bus)
{
	bool offers_sent = bus->conn.state == HVSI_CONN_CONNECTED && bus->conn.offers_sent;

	for (struct hvs_device *d = bus->devices; d; d = d->next)
		for (unsigned i = 0; i < d->channel_count; i++)
			settle(&d->channel[i]);
	for (struct hvs_device *d = bus->devices; d; d = d->next)
		for (unsigned i = 0; i < d->channel_count; i++) {
			struct hvs_channel *ch = &d->channel[i];
			bool new_device = !i && ch->state == HVSI_CHAN_RELEASED;

			if (offers_sent && (ch->wanted || new_device))
				hvsi_device_offer_channel(ch);
			ch->wanted = false;
		}
	hvsi_conn_channel_released(bus);
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
	hvsi_worker_post(&bus->main_worker, &bus->event_work);
}

/* ---- undo ------------------------------------------------------------------------------------- */

static void empty_channel(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;

	hvsi_chan_io_restore_undo(ch);
	hvsi_chan_restore_undo(ch);
	hvsi_monitor_release(ch);
	if (ch->ring) {
		ch->ring->users = 0;
		ch->ring = NULL;
	}
	if (ch->state != HVSI_CHAN_RELEASED && ch->relid && bus->offered[ch->relid] == ch)
		bus->offered[ch->relid] = NULL;
	ch->state = HVSI_CHAN_RELEASED;
	ch->release = false;
	ch->revoked = false;
	ch->reserved = false;
	ch->close_asked = 0;
	ch->lost = false;
	ch->wanted = false;
	ch->modify_owed = 0;
	ch->open_result.vp = HVSI_VP_NONE;
}

void hvsi_restore_undo(struct hvs_vmbus *bus)
{
	struct hvs_device *next;

	hvsi_outq_clear(bus, true);
	for (struct hvs_device *d = bus->devices; d; d = next) {
		next = d->next;
		for (unsigned i = 0; i < d->channel_count; i++)
			empty_channel(&d->channel[i]);
		d->known = 0;
		atomic_store(&d->subchannels_wanted, 0);
		if (d->removed)
			hvsi_device_drop(d);
	}
	memset(bus->offered, 0, sizeof(bus->offered));
	bus->offered_count = 0;
	bus->reserved_count = 0;
	bus->open_count = 0;
	bus->inq_count = 0;
	hvsi_gpadl_free_all(bus);
	hvsi_tl_forget(bus);
	(void)hvsi_monitor_set_pages(bus, 0, 0);
	bus->conn.state = HVSI_CONN_DISCONNECTED;
	bus->conn.offers_sent = false;
	bus->conn.paused = false;
	bus->conn.features = 0;
	bus->conn.message_vp = 0;
	bus->conn.interrupt_page = NULL;
	atomic_store(&bus->conn.version, 0);
}

int hvs_vmbus_restore(struct hvs_vmbus *bus, const void *state, size_t len)
{
	struct restoring r = {.bus = bus};
	struct hvsi_reader payload;
	uint16_t type;
	int err;

	if (!bus || !state)
		return -EINVAL;
	if (atomic_load(&bus->started) || bus->restored || bus->leaving_count)
		return -EBUSY;
	err = hvsi_state_open(&r.records, state, len, HVSI_STATE_BUS);
	if (err)
		return err;
	while (!err && hvsi_state_next(&r.records, &type, &payload))
		err = restore_record(&r, type, &payload);
	if (!err && r.last_type < HVSI_STATE_CONNECTION)
		err = -EBADMSG;
	if (!err)
		err = check_gpadls(bus);
	HVSI_PROBE2(restore, bus, err);
	if (err) {
		hvsi_restore_undo(bus);
		return err;
	}
	bus->restored = true;
	settle_all(bus);
	return 0;
}
