/* SPDX-License-Identifier: MIT */
/* Frames from the guest: out of its memory, past the port's policy, to the back end and back. */
#include "vsp/network/netvsp.h"

#include "util/alloc.h"
#include "util/list.h"
#include "vsp/network/segment.h"

#include <hvstack/stats.h>

#include <errno.h>
#include <string.h>

#define SLAB_FRAMES 32u
#define LOW_FRAMES 1024u         /* no more are taken while so many are at the back end */
#define MAX_MESSAGES 64u         /* in one packet: more than guests are told that they may */
#define MAX_BYTES (1024u * 1024) /* in one packet */
#define MAX_PPI_BYTES 256u
#define SECTION_PIECES 18u /* 64 KiB */
#define TAP_BYTES 2048u    /* of a message that are shown */

struct hvsi_tx_slab {
	struct hvsi_tx_slab *next;
	struct hvsi_tx_frame frame[SLAB_FRAMES];
};

static const struct hvs_allocator *allocator(const struct hvsi_net_chan *c)
{
	return hvsi_nic_allocator(c->nic);
}

/* ---- where the bytes of a packet are ---------------------------------------------------------- */

/* Guest memory: part of a section of the send buffer, then what the packet names. */
struct stream {
	struct iovec section[SECTION_PIECES];
	unsigned sections;
	const struct iovec *rest;
	unsigned rests;
	uint32_t len;
};

struct place {
	unsigned piece;
	size_t off;
};

static const struct iovec *piece_at(const struct stream *s, unsigned piece)
{
	return piece < s->sections ? &s->section[piece] : &s->rest[piece - s->sections];
}

/* There are so many bytes behind it. */
static struct place skip(const struct stream *s, struct place p, size_t len)
{
	while (len && len >= piece_at(s, p.piece)->iov_len - p.off) {
		len -= piece_at(s, p.piece)->iov_len - p.off;
		p = (struct place){.piece = p.piece + 1};
	}
	p.off += len;
	return p;
}

static void copy(const struct stream *s, struct place p, void *to, size_t len)
{
	uint8_t *out = to;

	while (len) {
		const struct iovec *iov = piece_at(s, p.piece);
		size_t run = iov->iov_len - p.off;

		if (run > len)
			run = len;
		hvsi_guest_read(out, hvsi_guest_from_host(iov->iov_base) + p.off, run);
		out += run;
		len -= run;
		p = (struct place){.piece = p.piece + 1};
	}
}

/* Name len bytes. 0: in more than max pieces. */
static unsigned slice(const struct stream *s, struct place p, size_t len, struct iovec *iov,
		      unsigned max)
{
	unsigned n = 0;

	while (len) {
		const struct iovec *from = piece_at(s, p.piece);
		size_t run = from->iov_len - p.off;

		if (n == max)
			return 0;
		if (run > len)
			run = len;
		if (run)
			iov[n++] = (struct iovec){(uint8_t *)from->iov_base + p.off, run};
		len -= run;
		p = (struct place){.piece = p.piece + 1};
	}
	return n;
}

/* False: there is no such section. */
static bool open_section(struct hvsi_net_chan *c, struct hvsi_net_request *r, uint32_t section,
			 uint32_t bytes, struct stream *s)
{
	const struct hvsi_send_buffer *b;

	if (!c->section_users++)
		hvsi_gate_enter(&c->queue->sections);
	r->section = true; /* let go of with the request */
	b = atomic_load(&c->nic->send);
	if (!b || section >= b->section_count || bytes > b->section_bytes)
		return false;
	s->sections = hvsi_shared_iov(&b->shared, section * b->section_bytes, bytes, s->section,
				      SECTION_PIECES);
	s->len = bytes;
	return true;
}

/* Returns an NVSP status. */
static uint32_t open_stream(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			    const struct hvsi_nvsp *m, const struct hvs_extents *extents,
			    struct stream *s)
{
	uint32_t section = hvsi_get32(m->u.rndis.section);
	int err;

	s->sections = 0;
	s->rests = 0;
	s->len = 0;
	if (section != HVSI_NVSP_NO_SECTION &&
	    !open_section(c, r, section, hvsi_get32(m->u.rndis.section_bytes), s))
		return HVSI_NVSP_FAILURE;
	if (!extents)
		return HVSI_NVSP_SUCCESS;
	if (hvs_extents_len(extents) > MAX_BYTES)
		return HVSI_NVSP_INVALID_RNDIS_PACKET;
	err = hvs_extents_map(extents, 0, hvs_extents_len(extents), HVS_READ, &r->map);
	if (err)
		return HVSI_NVSP_FAILURE;
	s->rest = hvs_map_iov(r->map, &s->rests);
	s->len += hvs_extents_len(extents);
	return HVSI_NVSP_SUCCESS;
}

/* ---- frames ----------------------------------------------------------------------------------- */

static int add_slab(struct hvsi_net_chan *c)
{
	struct hvsi_tx_slab *s = hvsi_alloc(allocator(c), sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->next = c->tx_slabs;
	c->tx_slabs = s;
	for (unsigned i = 0; i < SLAB_FRAMES; i++) {
		s->frame[i].chan = c;
		s->frame[i].next = c->tx_free;
		c->tx_free = &s->frame[i];
	}
	return 0;
}

int hvsi_tx_prepare(struct hvsi_net_chan *c)
{
	return add_slab(c);
}

void hvsi_tx_free(struct hvsi_net_chan *c)
{
	while (c->tx_slabs) {
		struct hvsi_tx_slab *s = c->tx_slabs;

		c->tx_slabs = s->next;
		hvsi_free(allocator(c), s, sizeof(*s));
	}
}

/* NULL: there are too many, or no memory. */
static struct hvsi_tx_frame *frame_get(struct hvsi_net_chan *c)
{
	struct hvsi_tx_frame *f;

	if (c->tx_frames == HVSI_TX_FRAMES || (!c->tx_free && add_slab(c) < 0))
		return NULL;
	f = c->tx_free;
	c->tx_free = f->next;
	c->tx_frames++;
	return f;
}

static void frame_put(struct hvsi_net_chan *c, struct hvsi_tx_frame *f)
{
	f->next = c->tx_free;
	c->tx_free = f;
	c->tx_frames--;
}

void hvsi_tx_put_cut(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	while (r->cut) {
		struct hvsi_tx_frame *f = r->cut;

		r->cut = f->next;
		frame_put(c, f);
	}
}

/* One less of what the request waits for. */
static void one_less(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	if (--r->frames == 0)
		hvsi_net_request_status(c, r, r->status);
}

static void add_to_batch(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			 struct hvsi_tx_frame *f)
{
	f->req = r;
	r->frames++;
	c->batch[c->batched++] = &f->f;
	if (c->batched == HVS_NET_BATCH)
		hvsi_tx_submit(c);
}

void hvsi_tx_submit(struct hvsi_net_chan *c)
{
	unsigned n = c->batched;

	if (!n)
		return;
	c->batched = 0;
	c->nic->ops.tx(c->nic->net, c->queue->number, c->batch, n);
	hvsi_tx_take_done(c); /* back ends that are done at once: the next frames are warm */
}

void hvsi_tx_take_done(struct hvsi_net_chan *c)
{
	struct hvsi_tx_frame *f = atomic_exchange_explicit(&c->done, NULL, memory_order_acquire);

	while (f) {
		struct hvsi_tx_frame *next = f->next;
		struct hvsi_net_request *r = f->req;

		if (f->status != HVS_NET_OK)
			hvsi_net_drop(c->nic, &c->queue->counters.from_dropped, 1, "dropped");
		frame_put(c, f);
		one_less(c, r);
		f = next;
	}
}

static struct hvsi_tx_frame *frame_of(struct hvs_net_frame *f)
{
	return hvsi_container_of(f, struct hvsi_tx_frame, f);
}

void hvs_nic_tx_done(struct hvs_nic *nic, struct hvs_net_frame *const *frames, unsigned n,
		     enum hvs_net_status status)
{
	(void)nic;
	for (unsigned i = 0; i < n;) {
		struct hvsi_tx_frame *first = frame_of(frames[i]);
		struct hvsi_tx_frame *last = first;
		struct hvsi_net_chan *c = first->chan;
		struct hvsi_tx_frame *top;

		hvsi_gate_enter(&c->completing);
		first->status = status;
		while (++i < n && frame_of(frames[i])->chan == c) {
			last->next = frame_of(frames[i]);
			last = last->next;
			last->status = status;
		}
		top = atomic_load_explicit(&c->done, memory_order_relaxed);
		do {
			last->next = top;
		} while (!atomic_compare_exchange_weak(&c->done, &top, first));
		if (!top && !atomic_load(&c->awake))
			hvs_channel_kick(c->ch);
		hvsi_gate_leave(&c->completing);
	}
}

/* Cut a frame that the back end can't. */
static void cut(struct hvsi_net_chan *c, struct hvsi_net_request *r,
		const struct hvsi_tx_frame *whole)
{
	struct hvsi_segments s;
	int got = hvsi_segments_start(&s, &whole->f, whole->iov[0].iov_base,
				      c->nic->info.offloads & HVS_NET_CSUM);

	while (!got) {
		struct hvsi_tx_frame *f = frame_get(c);

		if (!f) {
			hvsi_net_drop(c->nic, &c->queue->counters.from_dropped, 1, "dropped");
			return;
		}
		f->f.size = sizeof(f->f);
		got = hvsi_segments_next(&s, f->headers, f->iov, HVSI_TX_IOV, &f->f);
		if (got != 1) {
			frame_put(c, f);
			return;
		}
		got = 0;
		add_to_batch(c, r, f);
	}
}

/* ---- RNDIS packets ---------------------------------------------------------------------------- */

struct wishes {
	struct hvsi_frame_request request;
	bool tagged;
	uint16_t tci;
};

/* Per-packet information. False: it is malformed. */
static bool take_ppi(const uint8_t *list, uint32_t left, struct wishes *w)
{
	while (left >= sizeof(struct hvsi_ppi)) {
		struct hvsi_ppi ppi;
		struct hvs_le32 value;
		uint32_t size;
		uint32_t off;

		memcpy(&ppi, list, sizeof(ppi));
		size = hvsi_get32(ppi.size);
		off = hvsi_get32(ppi.off);
		if (size < sizeof(ppi) || size > left)
			return false;
		list += size;
		left -= size;
		/* All that mean something to us are of 4 bytes. */
		if (off < sizeof(ppi) || off > size || size - off < sizeof(value))
			continue;
		memcpy(&value, list - size + off, sizeof(value));
		switch (hvsi_get32(ppi.type)) {
		case HVSI_PPI_CHECKSUM:
			hvsi_frame_want_csum(&w->request, hvsi_get32(value));
			break;
		case HVSI_PPI_LARGE_SEND:
			hvsi_frame_want_lso(&w->request, hvsi_get32(value));
			break;
		case HVSI_PPI_VLAN:
			w->tagged = true;
			w->tci = hvsi_tci_from_ppi(hvsi_get32(value));
			break;
		default:
			break;
		}
	}
	return true;
}

/* What lies behind the copy of the headers, where it is or in memory of our own. */
static bool take_payload(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			 const struct stream *s, struct place at, uint32_t len,
			 struct hvsi_tx_frame *f)
{
	struct hvsi_bounce *b;
	unsigned n;

	f->f.iovcnt = 1;
	if (!len)
		return true;
	n = slice(s, at, len, f->iov + 1, HVSI_TX_IOV - 2); /* segments may need one more */
	if (!n) {
		b = hvsi_alloc(allocator(c), sizeof(*b) + len);
		if (!b)
			return false;
		b->size = sizeof(*b) + len;
		b->next = r->bounces;
		r->bounces = b;
		copy(s, at, b->bytes, len);
		f->iov[1] = (struct iovec){b->bytes, len};
		n = 1;
	}
	f->f.iovcnt = (uint16_t)(1 + n);
	return true;
}

/* The address that the guest may use as its own. */
static void own_mac(const struct hvs_nic *nic, const uint8_t *source, uint8_t mac[6])
{
	uint64_t is = hvsi_mac(source);

	/* A driver that begins anew may have gone back to the address it was given. */
	hvsi_mac_bytes(is == nic->rndis.permanent
			       ? is
			       : atomic_load_explicit(&nic->rndis.mac, memory_order_relaxed),
		       mac);
}

/* A frame is in f: send it if it may go. False: it may not, which has been counted. */
static bool send_frame(struct hvsi_net_chan *c, struct hvsi_net_request *r, const struct wishes *w,
		       struct hvsi_tx_frame *f, uint32_t copied, uint32_t len)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_net_counters *count = &c->queue->counters;
	uint8_t *bytes = f->headers + HVSI_TAG_BYTES;
	unsigned kind = hvsi_mac_kind(hvsi_mac(bytes));
	struct hvsi_headers h;
	uint8_t mac[6];
	int got;

	(void)hvsi_frame_parse(&h, bytes, copied, len); /* the caller has seen to its length */
	if (w->tagged)
		hvsi_frame_tagged(&h, w->tci);
	else if (h.tag_inline)
		bytes = hvsi_frame_pull_tag(&h, bytes);
	own_mac(nic, bytes + HVSI_MAC_BYTES, mac);
	if (!hvsi_policy_out(c->policy, &nic->port, &h, mac, c->now_ns)) {
		hvsi_net_drop(c->nic, &count->from_refused, 1, "refused");
		return false;
	}
	f->iov[0] = (struct iovec){bytes, h.copied};
	got = hvsi_frame_prepare(&f->f, &h, &w->request, nic->info.offloads, f->iov, f->f.iovcnt);
	if (got < 0 || hvsi_frame_packet_len(&f->f) > nic->info.mtu) {
		hvsi_net_drop(c->nic, &count->from_malformed, 1, "malformed");
		return false;
	}
	hvsi_count(&count->from_frames[kind], 1);
	hvsi_count(&count->from_bytes[kind], f->f.len);
	hvsi_nic_monitor(nic, c->queue, false, &f->f);
	if (!got) {
		add_to_batch(c, r, f);
		return true;
	}
	cut(c, r, f);
	f->next = r->cut;
	r->cut = f;
	return true;
}

/* One RNDIS packet, whose lengths are checked. */
static void take_frame(struct hvsi_net_chan *c, struct hvsi_net_request *r, const struct stream *s,
		       struct place at, uint32_t len, const struct wishes *w)
{
	uint32_t copied = len < HVSI_FRAME_COPY ? len : HVSI_FRAME_COPY;
	struct hvsi_tx_frame *f = atomic_load(&c->nic->link_up) ? frame_get(c) : NULL;

	if (!f) {
		hvsi_net_drop(c->nic, &c->queue->counters.from_dropped, 1, "dropped");
		return;
	}
	f->f.size = sizeof(f->f);
	copy(s, at, f->headers + HVSI_TAG_BYTES, copied);
	if (!take_payload(c, r, s, skip(s, at, copied), len - copied, f)) {
		hvsi_net_drop(c->nic, &c->queue->counters.from_dropped, 1, "dropped");
		frame_put(c, f);
		return;
	}
	if (!send_frame(c, r, w, f, copied, len))
		frame_put(c, f);
}

/* len: of the whole message, as checked. False: it is malformed. */
static bool take_message(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			 const struct stream *s, struct place at, const struct hvsi_rndis_packet *p,
			 uint32_t len)
{
	const uint32_t body = len - HVSI_RNDIS_OFFSETS_FROM;
	const uint32_t least = sizeof(*p) - HVSI_RNDIS_OFFSETS_FROM;
	uint32_t data_off = hvsi_get32(p->data_off);
	uint32_t data_len = hvsi_get32(p->data_len);
	uint32_t ppi_off = hvsi_get32(p->ppi_off);
	uint32_t ppi_len = hvsi_get32(p->ppi_len);
	struct wishes w = {0};
	uint8_t list[MAX_PPI_BYTES];

	if (data_off < least || data_off > body || data_len > body - data_off ||
	    data_len < HVS_NET_HEADER_BYTES || data_len > HVS_NET_MAX_FRAME)
		return false;
	if (ppi_len) {
		if (ppi_off < least || ppi_off > body || ppi_len > body - ppi_off ||
		    ppi_len > sizeof(list))
			return false;
		copy(s, skip(s, at, HVSI_RNDIS_OFFSETS_FROM + ppi_off), list, ppi_len);
		if (!take_ppi(list, ppi_len, &w))
			return false;
	}
	take_frame(c, r, s, skip(s, at, HVSI_RNDIS_OFFSETS_FROM + data_off), data_len, &w);
	return true;
}

/* For who looks on. What is in too many pieces is not shown. */
static void tap(struct hvsi_net_chan *c, const struct hvsi_net_request *r, const struct stream *s,
		struct place at, uint32_t len)
{
	struct iovec iov[HVSI_TX_IOV];

	hvs_channel_tap(c->ch, false, r->xid, iov, slice(s, at, len, iov, HVSI_TX_IOV), len);
}

/* All of a packet. Returns an NVSP status. */
static uint32_t take_messages(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			      const struct stream *s)
{
	struct place at = {0};
	uint32_t left = s->len;
	unsigned n = 0;

	/* What is shorter than a message is padding. */
	while (left >= sizeof(struct hvsi_rndis_packet)) {
		struct hvsi_rndis_packet p;
		uint32_t len;

		copy(s, at, &p, sizeof(p));
		len = hvsi_get32(p.hdr.len);
		if (hvs_channel_tapped(c->ch))
			tap(c, r, s, at, len < left ? len : left);
		if (hvsi_get32(p.hdr.type) != HVSI_RNDIS_PACKET || len < sizeof(p) || len > left ||
		    ++n > MAX_MESSAGES || !take_message(c, r, s, at, &p, len))
			return HVSI_NVSP_INVALID_RNDIS_PACKET;
		left -= len;
		if (left)
			at = skip(s, at, len);
	}
	return n ? HVSI_NVSP_SUCCESS : HVSI_NVSP_INVALID_RNDIS_PACKET;
}

static enum hvsi_tx_taken refuse(struct hvsi_net_chan *c, struct hvsi_net_request *r,
				 uint32_t status)
{
	hvsi_net_drop(c->nic, &c->queue->counters.from_malformed, 1, "malformed");
	hvsi_net_request_status(c, r, status);
	return HVSI_TX_TAKEN;
}

/* The first message decides, whatever the packet says. */
static enum hvsi_tx_taken take_control(struct hvsi_net_chan *c, struct hvsi_net_request *r,
				       const struct stream *s, uint32_t *len)
{
	struct hvsi_session *n = &c->nic->session;
	struct iovec iov;

	if (c->index || s->len > sizeof(n->control))
		return refuse(c, r, HVSI_NVSP_INVALID_RNDIS_PACKET);
	copy(s, (struct place){0}, n->control, s->len);
	iov = (struct iovec){.iov_base = n->control, .iov_len = s->len};
	hvs_channel_tap(c->ch, false, r->xid, &iov, 1, s->len);
	*len = s->len;
	return HVSI_TX_CONTROL;
}

static void take_packets(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			 const struct stream *s)
{
	r->frames = 1;
	c->policy = hvsi_nic_policy(c->nic, c->queue);
	r->status = take_messages(c, r, s);
	hvsi_nic_policy_done(c->queue);
	if (r->status != HVSI_NVSP_SUCCESS)
		hvsi_net_drop(c->nic, &c->queue->counters.from_malformed, 1, "malformed");
	one_less(c, r);
}

enum hvsi_tx_taken hvsi_tx_take(struct hvsi_net_chan *c, struct hvsi_net_request *r,
				const struct hvsi_nvsp *m, const struct hvs_extents *extents,
				uint32_t *len)
{
	struct hvsi_rndis_header first;
	struct stream s;
	uint32_t status = open_stream(c, r, m, extents, &s);

	if (status != HVSI_NVSP_SUCCESS)
		return refuse(c, r, status);
	if (s.len < sizeof(first))
		return refuse(c, r, HVSI_NVSP_INVALID_RNDIS_PACKET);
	copy(&s, (struct place){0}, &first, sizeof(first));
	if (hvsi_get32(first.type) != HVSI_RNDIS_PACKET)
		return take_control(c, r, &s, len);
	switch (atomic_load_explicit(&c->nic->rndis_state, memory_order_relaxed)) {
	case HVSI_RNDIS_OPERATIONAL:
		take_packets(c, r, &s);
		return HVSI_TX_TAKEN;
	case HVSI_RNDIS_HALTED:
		hvsi_net_request_status(c, r, HVSI_NVSP_SUCCESS);
		return HVSI_TX_TAKEN;
	default:
		return refuse(c, r, HVSI_NVSP_FAILURE);
	}
}

void hvsi_tx_begin(struct hvsi_net_chan *c)
{
	const struct hvsi_policy *p = hvsi_nic_policy(c->nic, c->queue);

	c->limited = hvsi_policy_needs_clock(p);
	if (c->limited)
		c->now_ns = hvs_channel_now(c->ch);
	hvsi_nic_policy_done(c->queue);
}

bool hvsi_tx_may_take(struct hvsi_net_chan *c)
{
	uint64_t wait;

	if (c->tx_frames >= LOW_FRAMES || (!c->tx_free && add_slab(c) < 0))
		return false;
	if (!c->limited)
		return true;
	wait = hvsi_policy_wait(hvsi_nic_policy(c->nic, c->queue), &c->nic->port, c->now_ns);
	hvsi_nic_policy_done(c->queue);
	if (wait)
		hvsi_net_chan_wake_at(c, c->now_ns + wait);
	return !wait;
}
