/* SPDX-License-Identifier: MIT */
/*
 * Frames to the guest: past the port's policy into slots of the receive buffer, and from there, many
 * in one packet, through the channel that the guest wants them on. A frame is copied by the worker
 * that has it; what belongs to a channel of another one is handed over in its slot.
 */
#include "vsp/network/netvsp.h"

#include "vsp/network/checksum.h"
#include "vsp/network/segment.h"

#include <hvstack/stats.h>
#include <hvstack/vmbus.h>

#include <string.h>

#define RX_IOV 68u

/* One call of hvs_nic_rx(). */
struct rx {
	struct hvs_nic *nic;
	struct hvsi_queue *q;
	struct hvsi_receive_buffer *b;
	const struct hvsi_policy *policy;
	/* Frames of this run for a channel of another worker, the last first. */
	struct hvsi_net_chan *remote;
	uint32_t remote_first;
	uint32_t remote_last;
	uint32_t most; /* bytes of a frame */
	uint32_t offloads_on;
	bool tags; /* out of band */
};

/* A frame in a form that can be copied as it is. */
struct plain {
	const struct iovec *iov;
	unsigned iovcnt;
	uint32_t len;
	uint32_t csum; /* for the guest: HVSI_RX_CSUM_* */
	bool tagged;   /* out of band */
	uint16_t tci;
	uint32_t hash_type;
	uint32_t hash;
	uint32_t part; /* of a coalesced segment: HVSI_RSC_*; 0: it is all */
	uint16_t id;   /* of that */
};

/* ---- into slots ------------------------------------------------------------------------------- */

struct header {
	struct hvsi_rndis_packet p;
	struct hvsi_ppi32 ppi[5];
	struct hvs_le32 pad;
};
_Static_assert(sizeof(struct header) % 8 == 0, "data begins at a multiple of 8");

static void add_ppi(struct header *h, unsigned *n, uint32_t type, uint32_t value)
{
	h->ppi[(*n)++] = (struct hvsi_ppi32){.ppi = {.size = hvsi_le32(sizeof(h->ppi[0])),
						     .type = hvsi_le32(type),
						     .off = hvsi_le32(sizeof(struct hvsi_ppi))},
					     .value = hvsi_le32(value)};
}

/* For who looks on. */
static void tap(const struct hvsi_net_chan *c, uint32_t slot, const void *header,
		uint32_t header_len, const struct plain *f)
{
	struct iovec iov[1 + RX_IOV] = {
		{.iov_base = (void *)(uintptr_t)header, .iov_len = header_len}};
	unsigned n = f->iovcnt < RX_IOV ? f->iovcnt : RX_IOV;

	memcpy(iov + 1, f->iov, n * sizeof(iov[0]));
	hvs_channel_tap(c->ch, true, slot, iov, 1 + n, header_len + f->len);
}

/* Fill a slot. */
static void fill(const struct rx *rx, const struct hvsi_net_chan *c, uint32_t slot,
		 const struct plain *f)
{
	struct header h;
	uint32_t at = slot * rx->b->slot_bytes;
	unsigned n = 0;
	uint32_t data;

	if (f->part)
		add_ppi(&h, &n, HVSI_PPI_PACKET_ID, 1u | f->part << 8 | (uint32_t)f->id << 16);
	if (!f->part || f->part & HVSI_RSC_FIRST) { /* they are taken from there */
		add_ppi(&h, &n, HVSI_PPI_CHECKSUM, f->csum);
		if (f->tagged)
			add_ppi(&h, &n, HVSI_PPI_VLAN, hvsi_tci_to_ppi(f->tci));
		if (f->hash_type) {
			add_ppi(&h, &n, HVSI_PPI_HASH_VALUE, f->hash);
			add_ppi(&h, &n, HVSI_PPI_HASH_INFO, f->hash_type | HVSI_HASH_TOEPLITZ);
		}
	}
	rx->b->slot[slot].more = f->part && !(f->part & HVSI_RSC_LAST);
	data = (uint32_t)((sizeof(h.p) + n * sizeof(h.ppi[0]) + 7) & ~7u);
	memset((uint8_t *)&h + sizeof(h.p) + n * sizeof(h.ppi[0]), 0, 4); /* up to the data */
	rx->b->slot[slot].len = (data + f->len + 7) & ~7u;
	h.p = (struct hvsi_rndis_packet){
		.hdr = {.type = hvsi_le32(HVSI_RNDIS_PACKET),
			.len = hvsi_le32(rx->b->slot[slot].len)},
		.data_off = hvsi_le32(data - HVSI_RNDIS_OFFSETS_FROM),
		.data_len = hvsi_le32(f->len),
		.ppi_off = hvsi_le32(sizeof(h.p) - HVSI_RNDIS_OFFSETS_FROM),
		.ppi_len = hvsi_le32((uint32_t)(n * sizeof(h.ppi[0]))),
	};
	if (hvs_channel_tapped(c->ch))
		tap(c, slot, &h, data, f);
	hvsi_shared_write(&rx->b->shared, at, &h, data);
	at += data;
	for (unsigned i = 0; i < f->iovcnt; i++) {
		uint32_t len = (uint32_t)f->iov[i].iov_len;

		hvsi_shared_write(&rx->b->shared, at, f->iov[i].iov_base, len);
		at += len;
	}
}

static void hand_over(struct rx *rx)
{
	struct hvsi_net_chan *c = rx->remote;
	uint64_t top;

	if (!c)
		return;
	rx->remote = NULL;
	top = atomic_load_explicit(&c->handed, memory_order_relaxed);
	do {
		rx->b->slot[rx->remote_first].next = hvsi_first_handed(rx->b, top);
	} while (!atomic_compare_exchange_weak(&c->handed, &top,
					       hvsi_handed(rx->b, rx->remote_last)));
	if (hvsi_first_handed(rx->b, top) == HVSI_NO_SLOT)
		hvs_channel_kick(c->ch);
}

static void add_remote(struct rx *rx, struct hvsi_net_chan *c, uint32_t slot)
{
	if (rx->remote != c)
		hand_over(rx);
	if (!rx->remote)
		rx->remote_first = slot;
	else
		rx->b->slot[slot].next = rx->remote_last;
	rx->remote = c;
	rx->remote_last = slot;
}

static void add_local(struct rx *rx, struct hvsi_net_chan *c, uint32_t slot)
{
	hvsi_rx_settle(c, rx->b);
	rx->b->slot[slot].next = HVSI_NO_SLOT;
	if (c->pending == HVSI_NO_SLOT)
		c->pending = slot;
	else
		rx->b->slot[c->pending_last].next = slot;
	c->pending_last = slot;
	if (c->touched)
		return;
	c->touched = true;
	c->touched_next = rx->q->touched;
	rx->q->touched = c;
}

static void deliver(struct rx *rx, struct hvsi_net_chan *c, uint32_t slot, const struct plain *f)
{
	fill(rx, c, slot, f);
	if (c->queue == rx->q)
		add_local(rx, c, slot);
	else
		add_remote(rx, c, slot);
}

/* ---- frames ----------------------------------------------------------------------------------- */

enum taken { PASSED, DROPPED, NO_ROOM };

/* Where a frame goes. NULL: there is no channel. */
static struct hvsi_net_chan *steer(struct rx *rx, const struct hvsi_headers *h, struct plain *f)
{
	struct hvs_nic *nic = rx->nic;
	const struct hvsi_rss *rss = &rx->q->rss;
	struct hvsi_net_chan *c = NULL;

	f->hash_type = 0;
	if (rss->hash)
		f->hash_type = hvsi_frame_hash(&rx->q->toeplitz, rss->hash, h, &f->hash);
	if (f->hash_type)
		c = atomic_load(&nic->channel[rss->table[f->hash % HVSI_RSS_ENTRIES]]);
	return c ? c : atomic_load(&nic->channel[0]);
}

/* What is known of the checksums of a frame. */
static uint32_t csum_word(const struct rx *rx, const struct hvsi_headers *h, uint32_t flags)
{
	bool ip4 = h->flags & HVSI_FRAME_IP4;
	uint32_t word = 0;

	if (!(flags & (HVS_NET_CSUM | HVS_NET_CSUM_GOOD)))
		return 0;
	if (flags & HVS_NET_CSUM_GOOD && ip4 && rx->offloads_on & HVSI_OFFLOAD_RX_IP4)
		word |= HVSI_RX_CSUM_IP_GOOD;
	if (h->flags & HVSI_FRAME_FRAGMENT || !h->l4_off)
		return word;
	if (h->protocol == HVSI_PROTO_TCP &&
	    rx->offloads_on & (ip4 ? HVSI_OFFLOAD_RX_TCP4 : HVSI_OFFLOAD_RX_TCP6))
		word |= HVSI_RX_CSUM_TCP_GOOD;
	if (h->protocol == HVSI_PROTO_UDP &&
	    rx->offloads_on & (ip4 ? HVSI_OFFLOAD_RX_UDP4 : HVSI_OFFLOAD_RX_UDP6))
		word |= HVSI_RX_CSUM_UDP_GOOD;
	return word;
}

/* As it is at the port, whatever the guest has got of it. */
static void count_frame(struct rx *rx, const struct hvs_net_frame *f, const uint8_t *bytes,
			bool metered)
{
	unsigned kind = hvsi_mac_kind(hvsi_mac(bytes));

	if (metered)
		hvsi_port_meter_in(&rx->nic->port, f->len);
	hvsi_count(&rx->q->counters.to_frames[kind], 1);
	hvsi_count(&rx->q->counters.to_bytes[kind], f->len);
	hvsi_nic_monitor(rx->nic, rx->q, true, f);
}

static uint32_t gather(uint8_t *to, const struct hvs_net_frame *f, uint32_t len)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < f->iovcnt && done < len; i++) {
		size_t run = f->iov[i].iov_len;

		if (run > len - done)
			run = len - done;
		hvsi_guest_read(to + done, hvsi_guest_from_host(f->iov[i].iov_base), run);
		done += (uint32_t)run;
	}
	return done;
}

/* iov[0] becomes the copy, the rest what follows the first `copied` bytes. 0: too many pieces. */
static unsigned behind_copy(const struct hvs_net_frame *f, uint32_t copied, struct iovec *iov)
{
	unsigned n = 1;

	for (unsigned i = 0; i < f->iovcnt; i++) {
		size_t len = f->iov[i].iov_len;

		if (copied >= len) {
			copied -= (uint32_t)len;
			continue;
		}
		if (n == RX_IOV)
			return 0;
		iov[n++] = (struct iovec){(uint8_t *)f->iov[i].iov_base + copied, len - copied};
		copied = 0;
	}
	return n;
}

/* Slots for all segments of a frame, or none. */
static bool get_slots(struct rx *rx, uint32_t *slot, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		slot[i] = hvsi_slot_get(rx->b, rx->q->number);
		if (slot[i] != HVSI_NO_SLOT)
			continue;
		while (i)
			hvsi_rx_slot_put(rx->nic, rx->q->number, rx->b, slot[--i]);
		return false;
	}
	return true;
}

static enum taken take_large(struct rx *rx, const struct hvs_net_frame *f, struct hvsi_net_chan *c,
			     struct plain p, uint8_t *headers)
{
	uint32_t slot[HVSI_SEGMENTS_MAX];
	struct hvsi_segments s;
	struct hvs_net_frame out;
	uint8_t segment[HVS_NET_MAX_COPIED];
	struct iovec iov[RX_IOV + 1];
	unsigned n = 0;

	if (hvsi_segments_start(&s, f, headers, false) < 0 || f->payload_off + f->mss > rx->most ||
	    s.count > rx->b->pool[rx->q->number].count) {
		hvsi_net_drop(rx->nic, &rx->q->counters.to_too_long, 1, "too long");
		return DROPPED;
	}
	if (!get_slots(rx, slot, s.count))
		return NO_ROOM;
	p.iov = iov;
	while (n < s.count && hvsi_segments_next(&s, segment, iov, RX_IOV + 1, &out) == 1) {
		p.iovcnt = out.iovcnt;
		p.len = out.len;
		deliver(rx, c, slot[n++], &p);
	}
	while (n < s.count)
		hvsi_rx_slot_put(rx->nic, rx->q->number, rx->b, slot[n++]);
	return PASSED;
}

/* May a large frame be given to the guest as it is? */
static bool may_coalesce(const struct rx *rx, const struct hvs_net_frame *f,
			 const struct hvsi_headers *h, uint32_t csum)
{
	bool ip4 = h->flags & HVSI_FRAME_IP4;

	return f->flags & HVS_NET_TSO &&
	       rx->offloads_on & (ip4 ? HVSI_OFFLOAD_RSC4 : HVSI_OFFLOAD_RSC6) &&
	       csum & HVSI_RX_CSUM_TCP_GOOD && f->len > rx->most &&
	       f->len - h->l3_off <= UINT16_MAX;
}

/* IP lengths that a back end may have left 0. */
static void set_ip_length(const struct hvsi_headers *h, uint8_t *ip)
{
	uint32_t len = h->len - h->l3_off;

	if (h->flags & HVSI_FRAME_IP4) {
		hvsi_put_be16(ip + 2, (uint16_t)len);
		hvsi_ip4_set_csum(ip, 4 * (size_t)(ip[0] & 15));
	} else {
		hvsi_put_be16(ip + 4, (uint16_t)(len - HVSI_IP6_BYTES));
	}
}

/* Name the next len bytes of *from, which goes on behind them; how many pieces. */
static unsigned next_part(struct iovec **from, uint32_t len, struct iovec *iov)
{
	unsigned n = 0;

	while (len) {
		struct iovec *piece = *from;
		size_t run = piece->iov_len < len ? piece->iov_len : len;

		iov[n++] = (struct iovec){piece->iov_base, run};
		piece->iov_base = (uint8_t *)piece->iov_base + run;
		piece->iov_len -= run;
		len -= (uint32_t)run;
		if (!piece->iov_len)
			++*from;
	}
	return n;
}

/* A large frame in several slots of one packet. Uses up its iov. */
static enum taken take_coalesced(struct rx *rx, const struct hvs_net_frame *f, struct iovec *from,
				 struct hvsi_net_chan *c, struct plain p)
{
	const uint32_t most = rx->most - HVSI_FRAME_MORE;
	unsigned count = (f->len + most - 1) / most;
	uint32_t slot[HVSI_PACKET_SLOTS];
	struct iovec iov[RX_IOV + 1];
	uint32_t left = f->len;

	if (count > HVSI_PACKET_SLOTS || count > rx->b->pool[rx->q->number].count) {
		hvsi_net_drop(rx->nic, &rx->q->counters.to_too_long, 1, "too long");
		return DROPPED;
	}
	if (!get_slots(rx, slot, count))
		return NO_ROOM;
	p.iov = iov;
	p.id = rx->q->coalesced++;
	for (unsigned i = 0; i < count; i++) {
		p.len = left < most ? left : most;
		p.iovcnt = next_part(&from, p.len, iov);
		p.part = HVSI_RSC_FRAGMENT | (i ? 0 : HVSI_RSC_FIRST) |
			 (i + 1 < count ? 0 : HVSI_RSC_LAST);
		left -= p.len;
		deliver(rx, c, slot[i], &p);
	}
	return PASSED;
}

/* One frame into one slot. */
static enum taken take_small(struct rx *rx, const struct hvs_net_frame *f, struct hvsi_net_chan *c,
			     struct plain p)
{
	uint32_t slot;

	if (f->len > rx->most) {
		hvsi_net_drop(rx->nic, &rx->q->counters.to_too_long, 1, "too long");
		return DROPPED;
	}
	slot = hvsi_slot_get(rx->b, rx->q->number);
	if (slot == HVSI_NO_SLOT)
		return NO_ROOM;
	p.iov = f->iov;
	p.iovcnt = f->iovcnt;
	p.len = f->len;
	deliver(rx, c, slot, &p);
	return PASSED;
}

/* A frame that can't be copied as it is. What it takes is on the stack: kept apart. */
__attribute__((noinline)) static enum taken take_slowly(struct rx *rx,
							const struct hvs_net_frame *f,
							struct hvsi_headers h,
							struct hvsi_net_chan *c, struct plain p)
{
	bool large = f->flags & (HVS_NET_TSO | HVS_NET_USO);
	struct hvs_net_frame plain = *f;
	uint8_t copy[HVS_NET_MAX_COPIED];
	uint8_t *bytes = copy + HVSI_TAG_BYTES;
	struct iovec iov[RX_IOV];

	plain.iov = iov;
	plain.iovcnt = (uint16_t)behind_copy(f, h.copied, iov);
	memcpy(bytes, h.bytes, h.copied);
	h.bytes = bytes;
	if (h.tag_inline)
		bytes = hvsi_frame_pull_tag(&h, bytes);
	iov[0] = (struct iovec){bytes, h.copied};
	plain.len = h.len;
	plain.l3_off = h.l3_off;
	plain.l4_off = h.l4_off;
	plain.payload_off = h.payload_off;
	plain.flags &= ~HVS_NET_VLAN;
	/* A tag among the bytes of each segment is not worth the trouble. */
	if (!plain.iovcnt || (large && (!h.payload_off || (h.tagged && !rx->tags)))) {
		hvsi_net_drop(rx->nic, &rx->q->counters.to_too_long, 1, "too long");
		return DROPPED;
	}
	p.tagged = h.tagged && rx->tags;
	p.tci = h.vlan_tci;
	if (may_coalesce(rx, &plain, &h, p.csum)) {
		set_ip_length(&h, bytes + h.l3_off);
		return take_coalesced(rx, &plain, iov, c, p);
	}
	if (large)
		return take_large(rx, &plain, c, p, bytes);
	if (f->flags & HVS_NET_CSUM && h.payload_off)
		hvsi_frame_sum_l4(&h, bytes, iov, plain.iovcnt);
	if (h.tagged && !rx->tags) {
		plain.flags |= HVS_NET_VLAN;
		plain.vlan_tci = h.vlan_tci;
		hvsi_frame_push_tag(&plain, iov);
	}
	return take_small(rx, &plain, c, p);
}

static bool has_slot(const struct rx *rx)
{
	const struct hvsi_pool *pool = &rx->b->pool[rx->q->number];

	return pool->free != HVSI_NO_SLOT ||
	       atomic_load_explicit(&pool->returned, memory_order_relaxed) != HVSI_NO_SLOT;
}

static bool has_room(struct rx *rx, const struct hvsi_net_chan *c)
{
	uint32_t slot;

	if (has_slot(rx))
		return c->queue != rx->q || !c->stalled || c->generation != rx->b->generation;
	/* Have whoever gives one back say so. */
	slot = hvsi_slot_get(rx->b, rx->q->number);
	if (slot != HVSI_NO_SLOT)
		hvsi_rx_slot_put(rx->nic, rx->q->number, rx->b, slot);
	return false;
}

static enum taken take_one(struct rx *rx, const struct hvs_net_frame *f)
{
	uint32_t want = f->len < HVSI_FRAME_COPY ? f->len : HVSI_FRAME_COPY;
	uint8_t copy[HVSI_FRAME_COPY];
	const uint8_t *bytes = copy;
	struct hvsi_headers h;
	struct hvsi_net_chan *c;
	struct plain p = {.iov = f->iov, .iovcnt = f->iovcnt, .len = f->len};
	enum taken got;
	bool metered;

	if (f->iovcnt && f->iov[0].iov_len >= want)
		bytes = f->iov[0].iov_base;
	else
		want = gather(copy, f, want);
	if (!hvsi_frame_parse(&h, bytes, want, f->len)) {
		hvsi_net_drop(rx->nic, &rx->q->counters.to_too_long, 1, "too long");
		return DROPPED;
	}
	if (f->flags & HVS_NET_VLAN)
		hvsi_frame_tagged(&h, f->vlan_tci);
	c = hvsi_rndis_wants(&rx->nic->rndis, bytes) ? steer(rx, &h, &p) : NULL;
	if (!c) {
		hvsi_net_drop(rx->nic, &rx->q->counters.to_unwanted, 1, "unwanted");
		return DROPPED;
	}
	if (!has_room(rx, c))
		return NO_ROOM;
	if (!hvsi_policy_in(rx->policy, &rx->nic->port, &h, &metered))
		return DROPPED;
	p.csum = csum_word(rx, &h, f->flags);
	if (f->flags & (HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_USO) || h.tag_inline ||
	    (h.tagged && !rx->tags) || bytes == copy) {
		got = take_slowly(rx, f, h, c, p);
	} else {
		p.tagged = h.tagged;
		p.tci = h.vlan_tci;
		got = take_small(rx, f, c, p);
	}
	if (got == PASSED)
		count_frame(rx, f, bytes, metered);
	return got;
}

/* ---- batches ---------------------------------------------------------------------------------- */

static void learn_rss(struct rx *rx)
{
	struct hvsi_queue *q = rx->q;

	if (!hvsi_rndis_rss_changed(&rx->nic->rndis, &q->rss))
		return;
	hvsi_rndis_rss_copy(&rx->nic->rndis, &q->rss);
	if (q->rss.hash)
		hvsi_toeplitz_init(&q->toeplitz, q->rss.key);
}

static void send_touched(struct rx *rx)
{
	struct hvsi_net_chan *c;

	while ((c = rx->q->touched) != NULL) {
		rx->q->touched = c->touched_next;
		c->touched = false;
		hvsi_rx_send(c);
		hvs_channel_flush(c->ch);
		if (c->stalled)
			hvs_channel_kick(c->ch); /* what waits for room is looked after there */
	}
}

static unsigned take_all(struct rx *rx, const struct hvs_net_frame *const *frames, unsigned n)
{
	struct hvs_nic *nic = rx->nic;
	unsigned i = 0;

	learn_rss(rx);
	rx->policy = hvsi_nic_policy(nic, rx->q);
	rx->most = atomic_load_explicit(&nic->frame_bytes, memory_order_relaxed) + HVSI_FRAME_MORE;
	rx->tags = atomic_load_explicit(&nic->tags, memory_order_relaxed);
	rx->offloads_on = atomic_load_explicit(&nic->rndis.offloads_on, memory_order_relaxed);
	while (i < n) {
		if (take_one(rx, frames[i]) == NO_ROOM) {
			hvsi_net_drop(rx->nic, &rx->q->counters.to_no_room, 1, "no room");
			if (rx->q->channels && rx->b->pool[rx->q->number].count)
				break;
			/* Nobody there who could say when there is room, or there never is: dropped. */
		}
		i++;
	}
	hvsi_nic_policy_done(rx->q);
	hand_over(rx);
	send_touched(rx);
	return i;
}

unsigned hvs_nic_rx(struct hvs_nic *nic, uint32_t queue, const struct hvs_net_frame *const *frames,
		    unsigned n)
{
	struct rx rx = {.nic = nic};

	if (!nic || !frames || queue >= nic->queue_count)
		return 0;
	rx.q = &nic->queue[queue];
	hvsi_gate_enter(&rx.q->gate);
	rx.b = atomic_load(&nic->receive);
	if (rx.b && atomic_load(&nic->receiving) && atomic_load(&nic->link_up) &&
	    !hvs_vmbus_resetting(nic->bus)) {
		unsigned taken = take_all(&rx, frames, n);

		rx.q->blocked = taken < n;
		n = taken;
	} else {
		hvsi_net_drop(rx.nic, &rx.q->counters.to_unwanted, n, "unwanted");
		rx.q->blocked = false;
	}
	hvsi_gate_leave(&rx.q->gate);
	return n;
}
