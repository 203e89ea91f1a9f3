/* SPDX-License-Identifier: MIT */
/*
 * Saved state of a NIC: with the primary channel what was negotiated, RNDIS, and which slots of the
 * receive buffer are the guest's; with each channel the completions that are due. What the back end
 * has is completed after a restore as if it had been sent, and frames for the guest that were not
 * sent yet are lost, as networks may lose them.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <string.h>

struct saved_channel {
	struct hvs_le32 request_count;
	struct hvs_le32 reserved;
};

struct saved_request {
	struct hvs_le64 xid;
	uint8_t reply_len;
	uint8_t reserved[7];
	struct hvsi_nvsp reply;
};

enum {
	SAVED_OPENED = 1u << 0,
	SAVED_OFFER = 1u << 1,
	SAVED_TABLE_SENT = 1u << 2,
	SAVED_LINK_UP = 1u << 3,
	SAVED_TELL_OFFLOADS = 1u << 4,
	SAVED_PATH_VF = 1u << 5,
	SAVED_RECEIVE = 1u << 6,
	SAVED_SEND = 1u << 7,
};

struct saved_session {
	struct hvs_le32 version;
	struct hvs_le32 frame_bytes;
	struct hvs_le64 capabilities;
	struct hvs_le16 ndis_major;
	struct hvs_le16 ndis_minor;
	struct hvs_le32 flags; /* SAVED_* */
	struct hvs_le64 bits_per_second;
	struct hvs_le64 vf;
	struct hvs_le32 granted;
	struct hvs_le32 receive_gpadl;
	struct hvs_le32 slot_bytes;
	struct hvs_le32 slot_count;
	struct hvs_le32 packet_count; /* of slots that the guest has */
	struct hvs_le16 receive_id;
	struct hvs_le16 reply_count;
	struct hvs_le32 send_gpadl;
	struct hvs_le32 section_bytes;
};
_Static_assert(sizeof(struct saved_session) == 72, "saved state: NIC");

/* ---- saving ----------------------------------------------------------------------------------- */

struct saving {
	struct hvs_state_writer *w;
	uint32_t bytes; /* of NVSP messages */
};

static void save_request(const struct hvsi_net_request *r, struct hvs_state_writer *w)
{
	struct saved_request saved = {
		.xid = hvsi_le64(r->xid), .reply_len = r->reply_len, .reply = r->reply};

	hvs_state_put(w, &saved, sizeof(saved));
}

/* One that waits for the back end, or for the send buffer to be let go of. */
static void save_if_waiting(struct hvsi_net_request *r, void *arg)
{
	const struct saving *s = arg;
	struct hvsi_net_request done = *r;

	if (r->unsent || !r->wants_completion)
		return;
	if (r->frames) {
		done.reply =
			(struct hvsi_nvsp){.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET_DONE),
					   .u.rndis_done.status = hvsi_le32(HVSI_NVSP_SUCCESS)};
		done.reply_len = (uint8_t)s->bytes;
	}
	save_request(&done, s->w);
}

static void count_request(struct hvsi_net_request *r, void *arg)
{
	*(uint32_t *)arg += r->wants_completion;
}

static void save_requests(struct hvsi_net_chan *c, struct hvs_state_writer *w)
{
	struct saving s = {.w = w, .bytes = hvsi_nvsp_bytes(c->nic)};
	struct saved_channel saved = {.request_count = hvsi_le32(0)};
	uint32_t count = 0;

	hvsi_net_requests_visit(c, count_request, &count);
	saved.request_count = hvsi_le32(count);
	hvs_state_put(w, &saved, sizeof(saved));
	for (struct hvsi_net_request *r = c->unsent; r; r = r->next)
		if (r->wants_completion)
			save_request(r, w);
	hvsi_net_requests_visit(c, save_if_waiting, &s);
}

static bool is_first(const struct hvsi_receive_buffer *b, uint32_t slot)
{
	return atomic_load(&b->slot[slot].state) == HVSI_SLOT_GUESTS;
}

static uint32_t count_packets(const struct hvsi_receive_buffer *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; b->slot && i < b->slot_count; i++)
		n += is_first(b, i);
	return n;
}

/* The slots of each packet that the guest has, behind their number. */
static void save_slots(const struct hvsi_receive_buffer *b, struct hvs_state_writer *w)
{
	for (uint32_t i = 0; b->slot && i < b->slot_count; i++) {
		struct hvs_le32 n = hvsi_le32(0);
		uint32_t count = 0;

		if (!is_first(b, i))
			continue;
		for (uint32_t s = i; s != HVSI_NO_SLOT; s = b->slot[s].next)
			count++;
		n = hvsi_le32(count);
		hvs_state_put(w, &n, sizeof(n));
		for (uint32_t s = i; s != HVSI_NO_SLOT; s = b->slot[s].next) {
			n = hvsi_le32(s);
			hvs_state_put(w, &n, sizeof(n));
		}
	}
}

static uint32_t flags_of(const struct hvs_nic *nic)
{
	const struct hvsi_session *s = &nic->session;

	return (s->opened ? SAVED_OPENED : 0) | (s->offer ? SAVED_OFFER : 0) |
	       (s->table_sent ? SAVED_TABLE_SENT : 0) | (s->link_up ? SAVED_LINK_UP : 0) |
	       (s->tell_offloads ? SAVED_TELL_OFFLOADS : 0) |
	       (atomic_load(&nic->path_vf) ? SAVED_PATH_VF : 0) |
	       (s->receive.shared.gpadl ? SAVED_RECEIVE : 0) |
	       /* One that is being let go of is not needed any more. */
	       (atomic_load(&nic->send) ? SAVED_SEND : 0);
}

static int save_session(struct hvs_nic *nic, struct hvs_state_writer *w)
{
	const struct hvsi_session *s = &nic->session;
	const struct saved_session saved = {
		.version = hvsi_le32(s->version),
		.frame_bytes = hvsi_le32(s->frame_bytes),
		.capabilities = hvsi_le64(s->capabilities),
		.ndis_major = hvsi_le16(s->ndis_major),
		.ndis_minor = hvsi_le16(s->ndis_minor),
		.flags = hvsi_le32(flags_of(nic)),
		.bits_per_second = hvsi_le64(s->bits_per_second),
		.vf = hvsi_le64(s->vf),
		.granted = hvsi_le32(s->granted),
		.receive_gpadl = hvsi_le32(s->receive.shared.id),
		.slot_bytes = hvsi_le32(s->receive.slot_bytes),
		.slot_count = hvsi_le32(s->receive.slot_count),
		.packet_count = hvsi_le32(count_packets(&s->receive)),
		.receive_id = hvsi_le16(s->receive.id),
		.reply_count = hvsi_le16((uint16_t)s->replies),
		.send_gpadl = hvsi_le32(s->send.shared.id),
		.section_bytes = hvsi_le32(s->send.section_bytes),
	};

	hvs_state_put(w, &saved, sizeof(saved));
	save_slots(&s->receive, w);
	for (unsigned i = 0; i < s->replies; i++) {
		const struct hvsi_rndis_message *m =
			&s->reply[(s->first_reply + i) % HVSI_NET_REPLIES];
		const struct hvs_le32 len = hvsi_le32(m->len);

		hvs_state_put(w, &len, sizeof(len));
		hvs_state_put(w, m->bytes, m->len);
	}
	return s->opened ? hvsi_rndis_save(&nic->rndis, w) : 0;
}

int hvsi_net_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w)
{
	struct hvsi_net_chan *c = ctx;

	(void)ch;
	save_requests(c, w);
	return c->index ? 0 : save_session(c->nic, w); /* the writer keeps its own errors */
}

/* ---- restoring -------------------------------------------------------------------------------- */

static int restore_requests(struct hvsi_net_chan *c, struct hvs_state_reader *r)
{
	struct saved_channel saved;
	int err = hvs_state_get(r, &saved, sizeof(saved));

	for (uint32_t i = 0; !err && i < hvsi_get32(saved.request_count); i++) {
		struct hvsi_net_request *req;
		struct saved_request s;

		err = hvs_state_get(r, &s, sizeof(s));
		if (err)
			return err;
		if (s.reply_len > sizeof(s.reply) || c->requests == HVSI_TX_REQUESTS)
			return -EBADMSG;
		if (!hvsi_net_request_available(c))
			return -ENOMEM;
		req = hvsi_net_request_get(c);
		req->xid = hvsi_get64(s.xid);
		req->wants_completion = true;
		req->reply = s.reply;
		req->reply_len = s.reply_len;
		hvsi_net_request_keep(c, req);
	}
	return err;
}

/* A buffer that can't be used is none that was in use. */
static int bad_unless_memory(int err)
{
	return err && err != -ENOMEM ? -EBADMSG : err;
}

/* The slots of a packet: the guest's. */
static int restore_packet(struct hvsi_receive_buffer *b, struct hvs_state_reader *r)
{
	uint32_t last = HVSI_NO_SLOT;
	struct hvs_le32 n;
	int err = hvs_state_get(r, &n, sizeof(n));
	uint32_t count = err ? 0 : hvsi_get32(n);

	if (!err && !count)
		return -EBADMSG;
	while (!err && count--) {
		uint32_t slot;

		err = hvs_state_get(r, &n, sizeof(n));
		if (err)
			break;
		slot = hvsi_get32(n);
		if (slot >= b->slot_count || atomic_load(&b->slot[slot].state) != HVSI_SLOT_OURS)
			return -EBADMSG;
		atomic_store(&b->slot[slot].state,
			     last == HVSI_NO_SLOT ? HVSI_SLOT_GUESTS : HVSI_SLOT_TAKEN);
		b->slot[slot].next = HVSI_NO_SLOT;
		if (last != HVSI_NO_SLOT)
			b->slot[last].next = slot;
		last = slot;
	}
	return err;
}

static int restore_receive(struct hvsi_net_chan *c, const struct saved_session *saved,
			   struct hvs_state_reader *r)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_receive_buffer *b = &nic->session.receive;
	uint32_t slot_bytes = hvsi_get32(saved->slot_bytes);
	int err;

	/* Another library may have made them larger than we would. */
	if (slot_bytes < hvsi_nvsp_slot_bytes(nic->session.frame_bytes) || slot_bytes % 8)
		return -EBADMSG;
	err = bad_unless_memory(hvsi_nvsp_take_receive(c, hvsi_get32(saved->receive_gpadl),
						       hvsi_get16(saved->receive_id), slot_bytes));
	if (err)
		return err;
	if (b->slot_count != hvsi_get32(saved->slot_count))
		return -EBADMSG;
	for (uint32_t i = 0; !err && i < hvsi_get32(saved->packet_count); i++)
		err = restore_packet(b, r);
	hvsi_slots_settle(b);
	return err;
}

static int restore_replies(struct hvsi_session *s, unsigned count, struct hvs_state_reader *r)
{
	if (count > HVSI_NET_REPLIES)
		return -EBADMSG;
	for (unsigned i = 0; i < count; i++) {
		struct hvs_le32 len;
		int err = hvs_state_get(r, &len, sizeof(len));

		if (!err && hvsi_get32(len) > sizeof(s->reply[i].bytes))
			err = -EBADMSG;
		if (!err)
			err = hvs_state_get(r, s->reply[i].bytes, hvsi_get32(len));
		if (err)
			return err;
		s->reply[i].len = hvsi_get32(len);
	}
	s->first_reply = 0;
	s->replies = count;
	return 0;
}

static bool session_ok(const struct hvs_nic *nic, const struct saved_session *saved)
{
	uint32_t flags = hvsi_get32(saved->flags);
	uint32_t version = hvsi_get32(saved->version);
	uint32_t frame = hvsi_get32(saved->frame_bytes);

	if (!version)
		return !(flags & (SAVED_OPENED | SAVED_RECEIVE | SAVED_SEND)) &&
		       !hvsi_get32(saved->packet_count) && !hvsi_get16(saved->reply_count);
	if (!hvsi_nvsp_version_known(nic, version) || !hvsi_nvsp_frame_ok(frame) ||
	    (!(flags & SAVED_RECEIVE) && hvsi_get32(saved->packet_count)))
		return false;
	return flags & SAVED_SEND ? hvsi_nvsp_section_ok(hvsi_get32(saved->section_bytes)) : true;
}

static void take_session(struct hvs_nic *nic, const struct saved_session *saved)
{
	struct hvsi_session *s = &nic->session;
	uint32_t flags = hvsi_get32(saved->flags);

	s->version = hvsi_get32(saved->version);
	s->frame_bytes = hvsi_get32(saved->frame_bytes);
	s->capabilities = hvsi_get64(saved->capabilities);
	s->ndis_major = hvsi_get16(saved->ndis_major);
	s->ndis_minor = hvsi_get16(saved->ndis_minor);
	s->opened = flags & SAVED_OPENED;
	s->offer = flags & SAVED_OFFER;
	s->table_sent = flags & SAVED_TABLE_SENT;
	s->link_up = flags & SAVED_LINK_UP;
	s->tell_offloads = flags & SAVED_TELL_OFFLOADS;
	s->bits_per_second = hvsi_get64(saved->bits_per_second);
	s->vf = hvsi_get64(saved->vf);
	s->granted = hvsi_get32(saved->granted);
	if (s->granted > nic->channel_count - 1)
		s->granted = nic->channel_count - 1; /* the bus takes back the others */
	atomic_store(&nic->version, s->version);
	atomic_store(&nic->frame_bytes, s->frame_bytes);
	atomic_store(&nic->path_vf, (flags & SAVED_PATH_VF) != 0);
}

static int restore_session(struct hvsi_net_chan *c, struct hvs_state_reader *r)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	struct saved_session saved;
	uint32_t flags;
	int err = hvs_state_get(r, &saved, sizeof(saved));

	if (err)
		return err;
	if (!session_ok(nic, &saved))
		return -EBADMSG;
	flags = hvsi_get32(saved.flags);
	take_session(nic, &saved);
	if (flags & SAVED_RECEIVE)
		err = restore_receive(c, &saved, r);
	if (!err)
		err = restore_replies(s, hvsi_get16(saved.reply_count), r);
	if (!err && flags & SAVED_SEND)
		err = bad_unless_memory(hvsi_nvsp_take_send(c, hvsi_get32(saved.send_gpadl),
							    hvsi_get32(saved.section_bytes)));
	if (!err && s->opened)
		err = hvsi_rndis_restore(&nic->rndis, r);
	atomic_store(&nic->rndis_state, nic->rndis.state);
	/* Its network may be another one now. */
	s->tell_network = nic->rndis.state == HVSI_RNDIS_OPERATIONAL;
	return err;
}

int hvsi_net_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     struct hvs_state_reader *r, void **ctx)
{
	struct hvsi_net_chan *c = hvsi_net_chan_create(dev, ch, params);
	int err;

	if (!c)
		return -ENOMEM;
	err = restore_requests(c, r);
	if (!err && !c->index)
		err = restore_session(c, r);
	if (err) {
		hvsi_net_requests_drop_unsent(c);
		if (!c->index) {
			hvsi_nvsp_close(c);
			(void)hvsi_nvsp_end(c);
		}
		hvsi_net_chan_destroy(c);
		return err;
	}
	*ctx = c;
	return 0;
}
