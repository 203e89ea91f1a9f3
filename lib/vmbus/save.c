/* SPDX-License-Identifier: MIT */
/* Write the state of a bus. Nothing runs meanwhile, and nothing is changed. */
#include "vmbus/bus.h"

#include "util/probe.h"
#include "vmbus/state_format.h"

#include <errno.h>

static void save_connection(const struct hvs_vmbus *bus, struct hvs_state_writer *w)
{
	const struct hvsi_conn *c = &bus->conn;
	const struct hvsi_state_connection s = {
		.state = (uint8_t)c->state,
		.next = (uint8_t)(c->state == HVSI_CONN_DISCONNECTING ? c->next : 0),
		.flags = (uint8_t)((c->offers_sent ? HVSI_STATE_OFFERS_SENT : 0) |
				   (c->version_ok ? HVSI_STATE_VERSION_OK : 0) |
				   (c->modify_connection_ok ? HVSI_STATE_MODIFY_CONNECTION_OK : 0) |
				   (c->paused ? HVSI_STATE_PAUSED : 0)),
		.version = hvsi_le32(atomic_load(&c->version)),
		.features = hvsi_le32(c->features),
		.message_vp = hvsi_le32(c->message_vp),
		.contact_connection = hvsi_le32(c->contact_connection),
		.monitor_page = {hvsi_le64(bus->monitor.gpa[0]), hvsi_le64(bus->monitor.gpa[1])},
		.contact = c->contact,
	};

	hvsi_state_put(w, HVSI_STATE_CONNECTION, &s, sizeof(s), NULL, 0);
}

static void save_gpadls(const struct hvs_vmbus *bus, struct hvs_state_writer *w)
{
	for (unsigned i = 0; i < HVSI_GPADL_BUCKETS; i++)
		for (const struct hvsi_gpadl *g = bus->gpadls.bucket[i]; g; g = g->hash_next) {
			const struct hvsi_state_gpadl s = {.id = hvsi_le32(g->id),
							   .relid = hvsi_le32(g->relid),
							   .state = hvsi_le32(g->state),
							   .status = hvsi_le32(g->status),
							   .range_count = hvsi_le32(g->range_count),
							   .need = hvsi_le32(g->need)};

			/* The words are as the guest sent them: little endian. */
			hvsi_state_put(w, HVSI_STATE_GPADL, &s, sizeof(s), g->words,
				       (size_t)g->have * sizeof(g->words[0]));
		}
}

static bool is_open(const struct hvs_channel *ch)
{
	return ch->state == HVSI_CHAN_OPEN && ch->accepted;
}

static unsigned flags_of(const struct hvs_channel *ch)
{
	return (ch->release ? HVSI_STATE_RELEASE : 0) | (ch->revoked ? HVSI_STATE_REVOKED : 0) |
	       (ch->waiting ? HVSI_STATE_WAITING : 0) | (ch->reserved ? HVSI_STATE_RESERVED : 0) |
	       (ch->ring ? HVSI_STATE_HAS_RING : 0) | (ch->faulted ? HVSI_STATE_FAULTED : 0) |
	       (is_open(ch) && ch->dev->ops.save ? HVSI_STATE_HAS_DATA : 0);
}

/* A MODIFYCHANNEL that is under way counts as done: restoring brings it about. */
static uint32_t target_vp(const struct hvs_channel *ch)
{
	return atomic_load(&ch->modify_asked) ? atomic_load(&ch->modify_vp) : ch->target_vp;
}

static uint32_t modify_owed(const struct hvs_channel *ch)
{
	uint32_t under_way = atomic_load(&ch->modify_asked) + atomic_load(&ch->modify_done);

	if (hvsi_modify_is_answered(ch->dev->bus))
		under_way += ch->modify_owed;
	else
		under_way = ch->modify_owed;
	return under_way < HVSI_STATE_MOST_OWED ? under_way : HVSI_STATE_MOST_OWED;
}

static void save_channel(struct hvs_channel *ch, struct hvs_state_writer *w)
{
	const struct hvsi_state_channel s = {
		.class_id = ch->dev->offer.class_id,
		.instance_id = ch->dev->offer.instance_id,
		.index = hvsi_le16(ch->index),
		.flags = hvsi_le16((uint16_t)flags_of(ch)),
		.state = (uint8_t)ch->state,
		.monitor_id = ch->monitor_id,
		.subchannels_wanted = hvsi_le16(
			ch->index ? 0 : (uint16_t)atomic_load(&ch->dev->subchannels_wanted)),
		.relid = hvsi_le32(ch->relid),
		.open_status = hvsi_le32(ch->open_status),
		.modify_owed = hvsi_le32(modify_owed(ch)),
		.close_owed = hvsi_le32(ch->close_asked),
		.target_vp = hvsi_le32(target_vp(ch)),
		.in_next = hvsi_le32(ch->in.next),
		.out_next = hvsi_le32(ch->out.next),
		.result_vp = hvsi_le32(ch->open_result.vp),
		.result_sint = hvsi_le32(ch->open_result.sint),
		.closed_vp = hvsi_le32(ch->reserved_closed.vp),
		.closed_sint = hvsi_le32(ch->reserved_closed.sint),
		.request = ch->request,
		.next_request = ch->next_request,
	};

	hvsi_state_put(w, HVSI_STATE_CHANNEL, &s, sizeof(s), NULL, 0);
	if (flags_of(ch) & HVSI_STATE_HAS_DATA && !w->err) {
		int err = ch->dev->ops.save(ch, ch->ctx, w);

		if (!w->err)
			w->err = err;
	}
}

static void save_channels(struct hvs_vmbus *bus, struct hvs_state_writer *w)
{
	for (struct hvs_device *d = bus->devices; d; d = d->next)
		for (unsigned i = 0; i < d->channel_count; i++)
			if (d->channel[i].state != HVSI_CHAN_RELEASED || d->channel[i].waiting)
				save_channel(&d->channel[i], w);
}

static void save_connect_requests(const struct hvs_vmbus *bus, struct hvs_state_writer *w)
{
	for (uint32_t i = 0; i < HVSI_TL_REQUESTS; i++) {
		const struct hvsi_tl_request *r = &bus->tl[i];
		const struct hvsi_state_connect_request s = {.slot = hvsi_le32(i),
							     .endpoint_id = r->endpoint_id,
							     .service_id = r->service_id};

		if (r->used)
			hvsi_state_put(w, HVSI_STATE_CONNECT_REQUEST, &s, sizeof(s), NULL, 0);
	}
}

static void save_incoming(const struct hvs_vmbus *bus, struct hvs_state_writer *w)
{
	for (unsigned i = 0; i < bus->inq_count; i++) {
		const struct hvsi_inmsg *m =
			&bus->inq[(bus->inq_first + i) % bus->cfg.max_queued_messages];
		const struct hvsi_state_incoming s = {.connection_id = hvsi_le32(m->connection_id)};

		hvsi_state_put(w, HVSI_STATE_INCOMING, &s, sizeof(s), m->bytes, m->len);
	}
}

static uint32_t about(const struct hvs_vmbus *bus, struct hvsi_outmsg *m)
{
	switch (m->kind) {
	case HVSI_OUT_VERSION_RESPONSE:
	case HVSI_OUT_ALL_OFFERS:
	case HVSI_OUT_UNLOAD_RESPONSE:
	case HVSI_OUT_PAUSE_RESPONSE:
	case HVSI_OUT_MODIFY_CONNECTION_RESPONSE:
	case HVSI_OUT_REFUSAL:
		return 0;
	case HVSI_OUT_TL_RESULT:
		return (uint32_t)(hvsi_container_of(m, struct hvsi_tl_request, result) - bus->tl);
	case HVSI_OUT_OFFER:
		return hvsi_container_of(m, struct hvs_channel, offer)->relid;
	case HVSI_OUT_RESCIND:
		return hvsi_container_of(m, struct hvs_channel, rescind)->relid;
	case HVSI_OUT_OPEN_RESULT:
		return hvsi_container_of(m, struct hvs_channel, open_result)->relid;
	case HVSI_OUT_MODIFY_RESPONSE:
		return hvsi_container_of(m, struct hvs_channel, modify_response)->relid;
	case HVSI_OUT_RESERVED_CLOSED:
		return hvsi_container_of(m, struct hvs_channel, reserved_closed)->relid;
	case HVSI_OUT_GPADL:
		return hvsi_container_of(m, struct hvsi_gpadl, answer)->id;
	}
	return 0;
}

static void save_outgoing(struct hvs_vmbus *bus, struct hvs_state_writer *w)
{
	for (struct hvsi_list *n = bus->outq.next; n != &bus->outq; n = n->next) {
		struct hvsi_outmsg *m = hvsi_container_of(n, struct hvsi_outmsg, node);
		bool refusal = m->kind == HVSI_OUT_REFUSAL;
		const struct hvsi_state_outgoing s = {.kind = hvsi_le32(m->kind),
						      .about = hvsi_le32(about(bus, m)),
						      .vp = hvsi_le32(m->vp),
						      .sint = hvsi_le32(m->sint)};

		hvsi_state_put(w, HVSI_STATE_OUTGOING, &s, sizeof(s),
			       refusal ? bus->conn.refusal_bytes : NULL,
			       refusal ? bus->conn.refusal_len : 0);
	}
}

int hvs_vmbus_save(struct hvs_vmbus *bus, hvs_write_fn write, void *arg)
{
	struct hvsi_state_bus head;
	struct hvs_state_writer w;
	int err;

	if (!bus || !write)
		return -EINVAL;
	if (atomic_load(&bus->resetting))
		return -EBUSY;
	head = (struct hvsi_state_bus){.vp_count = hvsi_le32(bus->cfg.vp_count)};
	hvsi_state_begin(&w, write, arg);
	hvsi_state_put(&w, HVSI_STATE_BUS, &head, sizeof(head), NULL, 0);
	save_connection(bus, &w);
	save_gpadls(bus, &w);
	save_channels(bus, &w);
	save_connect_requests(bus, &w);
	save_incoming(bus, &w);
	save_outgoing(bus, &w);
	err = hvsi_state_end(&w);
	HVSI_PROBE2(save, bus, err);
	return err;
}
