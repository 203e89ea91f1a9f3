/* SPDX-License-Identifier: MIT */
/* A channel of a NIC: packets in, completions out. */
#include "vsp/network/netvsp.h"

#include "util/alloc.h"

#include <errno.h>
#include <string.h>

#define SLAB_REQUESTS 64u
#define RNDIS_PACKET_MIN 16u /* bytes of its message */

struct hvsi_net_slab {
	struct hvsi_net_slab *next;
	struct hvsi_net_request request[SLAB_REQUESTS];
};

/* ---- requests --------------------------------------------------------------------------------- */

static const struct hvs_allocator *allocator(const struct hvsi_net_chan *c)
{
	return hvsi_nic_allocator(c->nic);
}

static int add_slab(struct hvsi_net_chan *c)
{
	struct hvsi_net_slab *s = hvsi_alloc(allocator(c), sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->next = c->slabs;
	c->slabs = s;
	for (unsigned i = 0; i < SLAB_REQUESTS; i++) {
		s->request[i].next = c->free;
		c->free = &s->request[i];
	}
	return 0;
}

bool hvsi_net_request_available(struct hvsi_net_chan *c)
{
	return c->requests < HVSI_TX_REQUESTS && (c->free || add_slab(c) == 0);
}

struct hvsi_net_request *hvsi_net_request_get(struct hvsi_net_chan *c)
{
	struct hvsi_net_request *r = c->free;

	c->free = r->next;
	c->requests++;
	r->busy = true;
	r->wants_completion = false;
	r->frames = 0;
	r->reply_len = 0;
	return r;
}

/* What of the guest's memory it used. */
static void let_go(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	hvs_map_put(r->map);
	r->map = NULL;
	while (r->bounces) {
		struct hvsi_bounce *b = r->bounces;

		r->bounces = b->next;
		hvsi_free(allocator(c), b, b->size);
	}
	hvsi_tx_put_cut(c, r);
	if (r->section && --c->section_users == 0) {
		hvsi_gate_leave(&c->queue->sections);
		if (!atomic_load(&c->nic->send))
			hvsi_nic_kick_primary(c->nic); /* who took it away may wait for that */
	}
	r->section = false;
}

void hvsi_net_request_put(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	let_go(c, r);
	r->busy = false;
	r->unsent = false;
	r->next = c->free;
	c->free = r;
	c->requests--;
}

/* False: no room in the ring. */
static bool send(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	const struct iovec iov = {.iov_base = &r->reply, .iov_len = r->reply_len};

	/* A channel that is faulted or closing gets no answers. */
	if (r->wants_completion &&
	    hvs_channel_complete(c->ch, r->xid, &iov, r->reply_len ? 1 : 0) == -EAGAIN)
		return false;
	hvsi_net_request_put(c, r);
	return true;
}

void hvsi_net_request_keep(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	r->unsent = true;
	r->next = NULL;
	*c->unsent_last = r;
	c->unsent_last = &r->next;
}

void hvsi_net_request_reply(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	let_go(c, r);
	if (c->unsent || !send(c, r))
		hvsi_net_request_keep(c, r);
}

uint32_t hvsi_nvsp_bytes(const struct hvs_nic *nic)
{
	return atomic_load_explicit(&nic->version, memory_order_relaxed) >= HVSI_NVSP_VERSION_61
		       ? HVSI_NVSP_BYTES_61
		       : HVSI_NVSP_BYTES;
}

void hvsi_net_request_answer(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			     const struct hvsi_nvsp *reply)
{
	r->reply = *reply;
	r->reply_len = (uint8_t)hvsi_nvsp_bytes(c->nic);
	hvsi_net_request_reply(c, r);
}

void hvsi_net_request_status(struct hvsi_net_chan *c, struct hvsi_net_request *r, uint32_t status)
{
	const struct hvsi_nvsp reply = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET_DONE),
					.u.rndis_done.status = hvsi_le32(status)};

	hvsi_net_request_answer(c, r, &reply);
}

void hvsi_net_requests_visit(struct hvsi_net_chan *c,
			     void (*visit)(struct hvsi_net_request *req, void *arg), void *arg)
{
	for (struct hvsi_net_slab *s = c->slabs; s; s = s->next)
		for (unsigned i = 0; i < SLAB_REQUESTS; i++)
			if (s->request[i].busy)
				visit(&s->request[i], arg);
}

static void send_unsent(struct hvsi_net_chan *c)
{
	while (c->unsent) {
		struct hvsi_net_request *r = c->unsent;
		struct hvsi_net_request *next = r->next;

		if (!send(c, r))
			return;
		c->unsent = next;
		if (!next)
			c->unsent_last = &c->unsent;
	}
}

void hvsi_net_requests_drop_unsent(struct hvsi_net_chan *c)
{
	struct hvsi_net_request *next;

	for (struct hvsi_net_request *r = c->unsent; r; r = next) {
		next = r->next;
		hvsi_net_request_put(c, r);
	}
	c->unsent = NULL;
	c->unsent_last = &c->unsent;
}

/* ---- packets ---------------------------------------------------------------------------------- */

/* There is a free request. */
static void handle(struct hvsi_net_chan *c, const struct hvs_packet *pkt)
{
	struct hvsi_net_request *r = hvsi_net_request_get(c);
	struct hvsi_nvsp m = {0};
	uint32_t len;

	memcpy(&m, pkt->data, pkt->len < sizeof(m) ? pkt->len : sizeof(m));
	r->xid = pkt->xid;
	r->wants_completion = pkt->wants_completion;
	if (pkt->len < RNDIS_PACKET_MIN || hvsi_get32(m.type) != HVSI_NVSP_RNDIS_PACKET)
		hvsi_nvsp_handle(c, r, &m, pkt->len);
	else if (hvsi_tx_take(c, r, &m, pkt->extents, &len) == HVSI_TX_CONTROL)
		hvsi_net_control(c, r, len);
}

static bool can_take(struct hvsi_net_chan *c)
{
	return !c->unsent && hvsi_net_request_available(c) && hvsi_tx_may_take(c);
}

/* Returns how many packets there were. */
static unsigned take(struct hvsi_net_chan *c, unsigned budget)
{
	const struct hvs_packet *pkt;
	bool inside = false;
	unsigned taken = 0;

	while (taken < budget && can_take(c) && hvs_channel_recv(c->ch, &pkt) == 1) {
		bool completion = pkt->type == HVS_PACKET_COMPLETION;

		taken++;
		if (completion && !inside)
			hvsi_gate_enter(&c->queue->gate);
		else if (!completion && inside)
			hvsi_gate_leave(&c->queue->gate);
		inside = completion;
		if (completion)
			hvsi_rx_completed(c, pkt->xid);
		else
			handle(c, pkt);
	}
	if (inside)
		hvsi_gate_leave(&c->queue->gate);
	return taken;
}

/* ---- life ------------------------------------------------------------------------------------- */

struct hvsi_net_chan *hvsi_net_chan_create(struct hvs_nic *nic, struct hvs_channel *ch,
					   const struct hvs_open_params *params)
{
	struct hvsi_net_chan *c = hvsi_alloc(hvsi_nic_allocator(nic), sizeof(*c));

	if (!c)
		return NULL;
	c->nic = nic;
	c->ch = ch;
	c->index = params->subchannel;
	c->send_ring_bytes = params->send_ring_bytes;
	c->queue = &nic->queue[hvsi_nic_queue_of(nic, c->index)];
	c->unsent_last = &c->unsent;
	c->pending = HVSI_NO_SLOT;
	atomic_init(&c->handed, HVSI_NO_SLOT); /* of generation 0: of no buffer */
	/* As few as make progress possible. */
	if (add_slab(c) < 0 || hvsi_tx_prepare(c) < 0) {
		hvsi_net_chan_destroy(c);
		return NULL;
	}
	if (!c->index)
		atomic_store(&nic->primary, ch);
	return c;
}

void hvsi_net_chan_join(struct hvsi_net_chan *c)
{
	c->joined = true;
	c->queue->channels++;
	atomic_store(&c->nic->channel[c->index], c);
	if (c->index)
		hvsi_nic_kick_primary(c->nic); /* it waits until all are there */
}

/* Other workers have nothing to do with it any more. */
static void leave(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;

	if (!c->joined)
		return;
	c->joined = false;
	c->queue->channels--;
	atomic_store(&nic->channel[c->index], NULL);
	hvsi_gate_drain(&nic->looking);
	hvsi_nic_drain(nic);
	hvsi_gate_enter(&c->queue->gate);
	hvsi_rx_drop(c);
	hvsi_gate_leave(&c->queue->gate);
}

void hvsi_net_chan_destroy(struct hvsi_net_chan *c)
{
	const struct hvs_allocator *a = allocator(c);

	leave(c);
	if (!c->index) {
		atomic_store(&c->nic->primary, NULL);
		hvsi_gate_drain(&c->nic->looking);
	}
	/* Who gave back the last frame may still have to kick. */
	hvsi_gate_drain(&c->completing);
	hvsi_tx_free(c);
	while (c->slabs) {
		struct hvsi_net_slab *s = c->slabs;

		c->slabs = s->next;
		hvsi_free(a, s, sizeof(*s));
	}
	hvsi_free(a, c, sizeof(*c));
}

static int chan_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     void **ctx)
{
	*ctx = hvsi_net_chan_create(dev, ch, params);
	return *ctx ? 0 : -ENOMEM;
}

/* Back ends give everything back before the channel is let go. */
static bool closed_if_idle(struct hvsi_net_chan *c)
{
	struct hvs_channel *ch = c->ch;

	if (!c->closing || c->requests || c->tx_frames || (!c->index && !hvsi_nvsp_end(c)))
		return false;
	hvsi_net_chan_destroy(c);
	hvs_channel_closed(ch);
	return true;
}

static void send_frames(struct hvsi_net_chan *c)
{
	hvsi_gate_enter(&c->queue->gate);
	hvsi_rx_send(c);
	hvsi_gate_leave(&c->queue->gate);
}

static bool chan_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct hvsi_net_chan *c = ctx;
	unsigned taken;
	bool again;

	(void)ch;
	if (!c->joined && !c->closing)
		hvsi_net_chan_join(c);
	atomic_store(&c->awake, true);
	hvsi_tx_take_done(c);
	send_unsent(c);
	hvsi_tx_begin(c);
	taken = take(c, budget);
	hvsi_tx_submit(c);
	hvsi_tx_take_done(c); /* back ends that are done at once */
	if (!c->index)
		hvsi_nvsp_poll(c);
	send_frames(c);
	hvsi_rx_unblock(c);
	atomic_store(&c->awake, false);
	/* Who gives back a frame from here on sees that; what came before is seen here. */
	again = atomic_load(&c->done) != NULL;
	if (closed_if_idle(c))
		return false;
	if (again)
		hvs_channel_kick(ch);
	return taken == budget;
}

void hvsi_net_chan_wake_at(struct hvsi_net_chan *c, uint64_t ns)
{
	uint64_t now;

	if (c->timer_ns && c->timer_ns <= ns)
		return;
	now = hvs_channel_now(c->ch);
	c->timer_ns = ns;
	hvs_channel_set_timer(c->ch, ns > now ? ns - now : 0);
}

static void chan_timer(struct hvs_channel *ch, void *ctx)
{
	struct hvsi_net_chan *c = ctx;

	(void)ch;
	c->timer_ns = 0; /* ready() follows, and looks at everything */
}

static void chan_close(struct hvs_channel *ch, void *ctx)
{
	struct hvsi_net_chan *c = ctx;

	c->closing = true;
	leave(c);
	hvsi_net_requests_drop_unsent(c);
	if (!c->index)
		hvsi_nvsp_close(c);
	(void)chan_ready(ch, ctx, 0);
}

const struct hvs_vsp_ops hvsi_net_chan_ops = {
	HVS_VSP_OPS_INIT,
	.open = chan_open,
	.ready = chan_ready,
	.close = chan_close,
	.destroy = hvsi_nic_destroy,
	.save = hvsi_net_save,
	.restore = hvsi_net_restore,
	.timer = chan_timer,
};
