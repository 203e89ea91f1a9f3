/* SPDX-License-Identifier: MIT */
/* RNDIS control messages, and what the guest is told unasked. On the primary channel's worker. */
#include "vsp/network/netvsp.h"

#include <hvstack/stats.h>

#include <errno.h>

#define PACKET_HEADER 24u
#define PACKET_TRAILER 8u
#define LINK_DOWN_NS 5000000000ull /* guests don't follow quicker changes */

/* ---- receiving or not ------------------------------------------------------------------------- */

void hvsi_net_update_receiving(struct hvs_nic *nic)
{
	struct hvsi_session *s = &nic->session;
	bool on = atomic_load(&nic->receive) && nic->rndis.state == HVSI_RNDIS_OPERATIONAL &&
		  atomic_load(&nic->rndis.filter);

	if (on == s->wanted)
		return;
	s->wanted = on;
	atomic_store(&nic->receiving, on);
	if (!on)
		hvsi_nic_drain(nic); /* nothing is sent from here on */
	if (nic->ops.rx_wanted)
		nic->ops.rx_wanted(nic->net, on);
}

/* ---- to the guest ----------------------------------------------------------------------------- */

/* False: there is no slot, or no room in the ring; ready() comes when there is. */
static bool send_message(struct hvsi_net_chan *c, const struct hvsi_rndis_message *m)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_receive_buffer *b = atomic_load(&nic->receive);
	const uint32_t bytes = hvsi_nvsp_bytes(nic);
	const struct hvsi_nvsp nvsp = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET),
				       .u.rndis = {.channel_type = hvsi_le32(HVSI_NVSP_CONTROL),
						   .section = hvsi_le32(HVSI_NVSP_NO_SECTION)}};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&nvsp, .iov_len = bytes};
	const struct iovec payload = {.iov_base = (void *)(uintptr_t)m->bytes, .iov_len = m->len};
	struct hvs_page_range range = {.len = m->len};
	uint32_t slot;
	int err;

	if (!b)
		return true;
	err = hvs_channel_has_room(c->ch, PACKET_HEADER + 8 + bytes + PACKET_TRAILER);
	if (err)
		return err != -EAGAIN;
	slot = hvsi_slot_get(b, nic->queue_count);
	if (slot == HVSI_NO_SLOT)
		return false;
	range.offset = slot * b->slot_bytes;
	hvsi_shared_write(&b->shared, range.offset, m->bytes, m->len);
	b->slot[slot].next = HVSI_NO_SLOT;
	b->slot[slot].more = false;
	atomic_store_explicit(&b->slot[slot].state, HVSI_SLOT_GUESTS, memory_order_release);
	hvs_channel_tap(c->ch, true, slot, &payload, 1, m->len);
	(void)!hvs_channel_send_pages(c->ch, slot, true, b->id, &range, 1, &iov, 1);
	return true;
}

static bool send_replies(struct hvsi_net_chan *c)
{
	struct hvsi_session *s = &c->nic->session;

	while (s->replies) {
		if (!send_message(c, &s->reply[s->first_reply]))
			return false;
		s->first_reply = (s->first_reply + 1) % HVSI_NET_REPLIES;
		s->replies--;
	}
	return true;
}

/* Is it time that the link, which is up, is said to be? */
static bool may_come_up(struct hvsi_net_chan *c)
{
	uint64_t now = hvs_channel_now(c->ch);
	uint64_t then = c->nic->session.link_down_ns + LINK_DOWN_NS;

	if (now >= then)
		return true;
	hvsi_net_chan_wake_at(c, then);
	return false;
}

static bool tell_link(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	bool up = atomic_load_explicit(&nic->link_up, memory_order_relaxed);
	struct hvsi_rndis_message m;

	if (up == s->link_up || (up && !may_come_up(c)))
		return true;
	atomic_store(&nic->rndis.link_up, up);
	hvsi_rndis_indicate_link(&nic->rndis, &m);
	if (!send_message(c, &m)) {
		atomic_store(&nic->rndis.link_up, !up);
		return false;
	}
	s->link_up = up;
	if (!up)
		s->link_down_ns = hvs_channel_now(c->ch);
	return true;
}

static bool tell_speed(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	uint64_t speed = atomic_load_explicit(&nic->bits_per_second, memory_order_relaxed);
	struct hvsi_rndis_message m;

	if (speed == s->bits_per_second)
		return true;
	atomic_store(&nic->rndis.bits_per_second, speed);
	hvsi_rndis_indicate_speed(&nic->rndis, &m);
	if (!send_message(c, &m))
		return false;
	s->bits_per_second = speed;
	return true;
}

static bool tell_network(struct hvsi_net_chan *c)
{
	struct hvsi_session *s = &c->nic->session;
	struct hvsi_rndis_message m;

	if (atomic_load_explicit(&c->nic->network_changed, memory_order_relaxed) &&
	    atomic_exchange(&c->nic->network_changed, false))
		s->tell_network = true;
	if (!s->tell_network)
		return true;
	hvsi_rndis_indicate_network_change(&m);
	s->tell_network = !send_message(c, &m);
	return !s->tell_network;
}

static bool tell_offloads(struct hvsi_net_chan *c)
{
	struct hvsi_session *s = &c->nic->session;
	struct hvsi_rndis_message m;

	if (!s->tell_offloads)
		return true;
	hvsi_rndis_indicate_offloads(&c->nic->rndis, &m);
	s->tell_offloads = !send_message(c, &m);
	return !s->tell_offloads;
}

/* Of which virtual function the guest is to know. */
static void tell_vf(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	uint64_t vf = atomic_load_explicit(&nic->vf, memory_order_relaxed);

	if (s->version < HVSI_NVSP_VERSION_4 || !(s->capabilities & HVSI_NVSP_CAN_SRIOV))
		return;
	while (vf != s->vf) {
		uint64_t about = s->vf ? s->vf : vf; /* the last one has to go first */
		const struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_VF_ASSOCIATION),
					    .u.vf = {.allocated = hvsi_le32(!s->vf),
						     .serial = hvsi_le32((uint32_t)about)}};
		const struct iovec iov = {.iov_base = (void *)(uintptr_t)&m,
					  .iov_len = hvsi_nvsp_bytes(nic)};

		if (hvs_channel_send(c->ch, 0, false, &iov, 1) == -EAGAIN)
			return;
		s->vf = s->vf ? 0 : vf;
	}
}

/* A driver that begins is told nothing: it asks. */
static void nothing_to_tell(struct hvs_nic *nic)
{
	struct hvsi_session *s = &nic->session;

	s->link_up = atomic_load(&nic->link_up);
	s->bits_per_second = atomic_load(&nic->bits_per_second);
	atomic_store(&nic->rndis.link_up, s->link_up);
	atomic_store(&nic->rndis.bits_per_second, s->bits_per_second);
	atomic_store(&nic->network_changed, false);
	s->tell_network = false;
	s->tell_offloads = false;
}

void hvsi_net_tell(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;

	if (!nic->session.opened || !send_replies(c))
		return;
	if (nic->rndis.state != HVSI_RNDIS_OPERATIONAL) {
		nothing_to_tell(nic);
		return;
	}
	tell_vf(c);
	(void)(tell_offloads(c) && tell_link(c) && tell_speed(c) && tell_network(c));
}

/* ---- from the guest --------------------------------------------------------------------------- */

static void apply(struct hvs_nic *nic, uint32_t changes)
{
	uint8_t mac[6];

	if (changes & HVSI_RNDIS_CHANGED_STATE) {
		nothing_to_tell(nic);
		atomic_store(&nic->rndis_state, nic->rndis.state);
	}
	if (changes & (HVSI_RNDIS_CHANGED_STATE | HVSI_RNDIS_CHANGED_FILTER))
		hvsi_net_update_receiving(nic);
	if (changes & HVSI_RNDIS_CHANGED_MAC && nic->cfg.mac_changed) {
		hvsi_mac_bytes(atomic_load(&nic->rndis.mac), mac);
		nic->cfg.mac_changed(nic->cfg.arg, nic, mac);
	}
	if (changes & HVSI_RNDIS_CHANGED_OFFLOADS)
		nic->session.tell_offloads = true;
	if (changes & HVSI_RNDIS_MALFORMED)
		hvsi_count(&nic->queue[0].counters.from_malformed, 1);
}

void hvsi_net_control(struct hvsi_net_chan *c, struct hvsi_net_request *r, uint32_t len)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	struct hvsi_rndis_message *reply;
	struct hvsi_rndis_env env;

	if (!s->opened || s->replies == HVSI_NET_REPLIES) {
		hvsi_count(&c->queue->counters.from_malformed, 1);
		hvsi_net_request_status(c, r, HVSI_NVSP_FAILURE);
		return;
	}
	/* Firmware uses its memory again as soon as it is told; we have a copy. */
	hvsi_net_request_status(c, r, HVSI_NVSP_SUCCESS);
	hvsi_nic_stats(nic, &env.stats);
	env.may_set_mac = atomic_load(&nic->may_set_mac);
	reply = &s->reply[(s->first_reply + s->replies) % HVSI_NET_REPLIES];
	reply->len = 0;
	apply(nic, hvsi_rndis_control(&nic->rndis, &env, s->control, len, reply));
	if (reply->len && s->receive.shared.gpadl)
		s->replies++;
	hvsi_net_tell(c);
}
