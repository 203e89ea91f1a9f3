/* SPDX-License-Identifier: MIT */
/*
 * Packets to the guest: frames that are in slots, many in one packet; and slots back from the guest.
 * Inside the gate of the channel's queue.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>

#define PACKET_SLOTS_1 16u /* to firmware, whose rings are small */
#define PACKET_HEADER 24u
#define PACKET_TRAILER 8u

/* ---- slots ------------------------------------------------------------------------------------ */

static uint32_t control_pool(const struct hvs_nic *nic)
{
	return nic->queue_count;
}

void hvsi_rx_slot_put(struct hvs_nic *nic, uint32_t queue, struct hvsi_receive_buffer *b,
		      uint32_t slot)
{
	uint32_t pool;

	if (!hvsi_slot_put(b, slot, queue, queue ? queue : control_pool(nic), &pool))
		return;
	if (pool == control_pool(nic))
		hvsi_nic_kick_primary(nic);
	else
		hvsi_nic_kick_queue(nic, pool);
}

static void put_list(struct hvs_nic *nic, uint32_t queue, struct hvsi_receive_buffer *b,
		     uint32_t slot)
{
	while (slot != HVSI_NO_SLOT) {
		uint32_t next = b->slot[slot].next;

		hvsi_rx_slot_put(nic, queue, b, slot);
		slot = next;
	}
}

void hvsi_rx_completed(struct hvsi_net_chan *c, uint64_t xid)
{
	struct hvsi_receive_buffer *b = atomic_load(&c->nic->receive);
	unsigned guests = HVSI_SLOT_GUESTS;

	if (!b)
		return; /* of a buffer that was revoked */
	if (xid >= b->slot_count ||
	    !atomic_compare_exchange_strong(&b->slot[xid].state, &guests, HVSI_SLOT_OURS)) {
		hvsi_count(&c->queue->counters.from_malformed, 1);
		return;
	}
	put_list(c->nic, c->queue->number, b, (uint32_t)xid);
}

/* ---- to the guest ----------------------------------------------------------------------------- */

uint32_t hvsi_net_spare_bytes(const struct hvsi_net_chan *c)
{
	uint32_t quarter = c->send_ring_bytes / 4;

	return quarter < HVSI_NET_SPARE_BYTES ? quarter : HVSI_NET_SPARE_BYTES;
}

void hvsi_rx_settle(struct hvsi_net_chan *c, const struct hvsi_receive_buffer *b)
{
	if (c->generation == b->generation)
		return;
	c->generation = b->generation;
	c->pending = HVSI_NO_SLOT;
	c->stalled = false;
}

/* What other workers have put into slots, in order. */
static void take_handed(struct hvsi_net_chan *c, struct hvsi_receive_buffer *b)
{
	uint32_t slot = hvsi_first_handed(b, atomic_exchange_explicit(&c->handed,
								      hvsi_handed(b, HVSI_NO_SLOT),
								      memory_order_acquire));
	uint32_t first = HVSI_NO_SLOT;
	uint32_t last = slot;

	while (slot != HVSI_NO_SLOT) {
		uint32_t next = b->slot[slot].next;

		b->slot[slot].next = first;
		first = slot;
		slot = next;
	}
	if (first == HVSI_NO_SLOT)
		return;
	if (c->pending == HVSI_NO_SLOT)
		c->pending = first;
	else
		b->slot[c->pending_last].next = first;
	c->pending_last = last;
}

static void drop_pending(struct hvsi_net_chan *c, struct hvsi_receive_buffer *b)
{
	uint32_t first = c->pending;

	c->pending = HVSI_NO_SLOT;
	c->stalled = false;
	put_list(c->nic, c->queue->number, b, first);
}

/* One packet of what waits. 0 or what the channel said. */
static int send_packet(struct hvsi_net_chan *c, struct hvsi_receive_buffer *b, unsigned most)
{
	const uint32_t bytes = hvsi_nvsp_bytes(c->nic);
	const struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET),
				    .u.rndis = {.channel_type = hvsi_le32(HVSI_NVSP_DATA),
						.section = hvsi_le32(HVSI_NVSP_NO_SECTION)}};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&m, .iov_len = bytes};
	struct hvs_page_range range[HVSI_PACKET_SLOTS];
	unsigned guests = HVSI_SLOT_GUESTS;
	uint32_t first = c->pending;
	uint32_t last = first;
	uint32_t rest;
	unsigned n = 0;
	unsigned i = 0;
	int err;

	for (uint32_t slot = first; slot != HVSI_NO_SLOT && i < most; slot = b->slot[slot].next) {
		range[i++] = (struct hvs_page_range){.len = b->slot[slot].len,
						     .offset = slot * b->slot_bytes};
		if (b->slot[slot].more)
			continue; /* all parts of a frame, or none */
		n = i;
		last = slot;
	}
	err = hvs_channel_has_room(c->ch, PACKET_HEADER + 8 * n + bytes + PACKET_TRAILER +
						  hvsi_net_spare_bytes(c));
	if (err)
		return err;
	rest = b->slot[last].next;
	b->slot[last].next = HVSI_NO_SLOT;
	c->pending = rest;
	atomic_store_explicit(&b->slot[first].state, HVSI_SLOT_GUESTS, memory_order_release);
	err = hvs_channel_send_pages(c->ch, first, true, b->id, range, n, &iov, 1);
	/* A guest that completes what it never got has given it back already. */
	if (err && atomic_compare_exchange_strong(&b->slot[first].state, &guests, HVSI_SLOT_OURS))
		put_list(c->nic, c->queue->number, b, first);
	return err;
}

void hvsi_rx_send(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_receive_buffer *b = atomic_load(&nic->receive);
	unsigned most = HVSI_PACKET_SLOTS;
	int err = 0;

	if (!b)
		return;
	hvsi_rx_settle(c, b);
	if (hvsi_first_handed(b, atomic_load_explicit(&c->handed, memory_order_relaxed)) !=
	    HVSI_NO_SLOT)
		take_handed(c, b);
	if (c->pending == HVSI_NO_SLOT)
		return;
	if (!atomic_load(&nic->receiving)) {
		drop_pending(c, b);
		return;
	}
	if (atomic_load_explicit(&nic->version, memory_order_relaxed) == HVSI_NVSP_VERSION_1)
		most = PACKET_SLOTS_1;
	while (c->pending != HVSI_NO_SLOT && !err)
		err = send_packet(c, b, most);
	c->stalled = err == -EAGAIN;
	if (err && err != -EAGAIN)
		drop_pending(c, b);
}

void hvsi_rx_drop(struct hvsi_net_chan *c)
{
	struct hvsi_receive_buffer *b = atomic_load(&c->nic->receive);

	if (!b)
		return;
	hvsi_rx_settle(c, b);
	take_handed(c, b);
	drop_pending(c, b);
}

void hvsi_rx_unblock(struct hvsi_net_chan *c)
{
	struct hvsi_queue *q = c->queue;
	struct hvs_nic *nic = c->nic;
	const struct hvsi_receive_buffer *b;
	bool room;

	if (!q->blocked || c->stalled)
		return;
	hvsi_gate_enter(&q->gate);
	b = atomic_load(&nic->receive);
	room = !b || !q->channels || b->pool[q->number].free != HVSI_NO_SLOT ||
	       atomic_load(&b->pool[q->number].returned) != HVSI_NO_SLOT;
	hvsi_gate_leave(&q->gate);
	if (!room)
		return;
	q->blocked = false;
	if (nic->ops.rx_room)
		nic->ops.rx_room(nic->net, q->number);
}
