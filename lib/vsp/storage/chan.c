/* SPDX-License-Identifier: MIT */
/* A storage channel: packets in, completions out. */
#include "vsp/storage/storvsp.h"

#include "util/alloc.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define PACKET_MIN 12u
#define OLD_PACKET 48u
#define SECOND_NS 1000000000u

void hvsi_stor_execute(struct hvsi_stor_request *r, const struct hvs_extents *buffer)
{
	struct hvsi_stor_chan *c = r->chan;

	if (hvsi_get32(r->packet.operation) == HVSI_VSTOR_EXECUTE_SRB && hvsi_stor_ready(c))
		hvsi_request_step(r, hvsi_scsi_execute(c->ctl, r, buffer));
	else
		hvsi_stor_control(r);
}

/* There is a free request. */
static void handle(struct hvsi_stor_chan *c, const struct hvs_packet *pkt)
{
	uint32_t len = pkt->len < sizeof(struct hvsi_vstor_packet)
			       ? pkt->len
			       : (uint32_t)sizeof(struct hvsi_vstor_packet);
	struct hvsi_stor_request *r;

	if (pkt->type == HVS_PACKET_COMPLETION)
		return; /* some firmware answers our notifications */
	if (len < PACKET_MIN) {
		hvs_channel_fault(c->ch, "VSTOR packet too short");
		return;
	}
	r = hvsi_request_get(c);
	memcpy(&r->packet, pkt->data, len);
	if (len < sizeof(r->packet))
		memset((uint8_t *)&r->packet + len, 0, sizeof(r->packet) - len);
	r->packet_len = len;
	r->xid = pkt->xid;
	r->wants_completion = pkt->wants_completion;
	hvsi_stor_execute(r, pkt->extents);
}

/* ENUMERATE_BUS, once for all that has changed. */
static void tell_of_disks(struct hvsi_stor_chan *c)
{
	const struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_ENUMERATE_BUS)};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&p,
				  .iov_len = hvsi_stor_has_long_srbs(c) ? sizeof(p) : OLD_PACKET};

	if (c->index || !hvsi_stor_ready(c) || c->closing || c->version < HVSI_VSTOR_VERSION_WIN7 ||
	    !atomic_exchange(&c->ctl->tell_of_disks, false))
		return;
	if (hvs_channel_send(c->ch, 0, false, &iov, 1) == -EAGAIN)
		atomic_store(&c->ctl->tell_of_disks, true); /* ready() comes when there is room */
}

/* ---- life ------------------------------------------------------------------------------------ */

static uint32_t queue_of(const struct hvs_storvsp *ctl, uint16_t subchannel)
{
	return subchannel && ctl->subchannel_workers
		       ? 1 + (subchannel - 1u) % ctl->subchannel_workers
		       : 0;
}

struct hvsi_stor_chan *hvsi_stor_chan_create(struct hvs_storvsp *ctl, struct hvs_channel *ch,
					     const struct hvs_open_params *params)
{
	struct hvsi_stor_chan *c = hvsi_alloc(hvs_vmbus_allocator(ctl->bus), sizeof(*c));

	if (!c)
		return NULL;
	c->ctl = ctl;
	c->ch = ch;
	c->index = params->subchannel;
	c->queue = queue_of(ctl, c->index);
	if (hvsi_requests_init(c) < 0) {
		hvsi_free(hvs_vmbus_allocator(ctl->bus), c, sizeof(*c));
		return NULL;
	}
	return c;
}

void hvsi_stor_chan_join(struct hvsi_stor_chan *c)
{
	c->joined = true;
	atomic_store(&c->ctl->channel[c->index], c);
}

/* What happened before is no news for the next driver. While a drain asks the channel, as disks
 * stay that it has found present. */
static void forget(struct hvs_storvsp *ctl)
{
	atomic_store(&ctl->ready, false);
	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++) {
		if (atomic_load(&ctl->disk[i].state) != HVSI_DISK_PRESENT)
			continue;
		atomic_store(&ctl->disk[i].attentions, 0);
		hvsi_drive_forget(&ctl->disk[i]);
	}
}

void hvsi_stor_chan_destroy(struct hvsi_stor_chan *c)
{
	struct hvs_storvsp *ctl = c->ctl;

	if (!c->index)
		forget(ctl);
	if (c->joined) {
		atomic_store(&ctl->channel[c->index], NULL);
		hvsi_gate_drain(&ctl->looking);
		hvsi_drain_check(c);
	}
	/* Who completed the last request may still have to kick. */
	hvsi_gate_drain(&c->completing);
	hvsi_requests_free(c);
	hvsi_free(hvs_vmbus_allocator(ctl->bus), c, sizeof(*c));
}

static int chan_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     void **ctx)
{
	*ctx = hvsi_stor_chan_create(dev, ch, params);
	return *ctx ? 0 : -ENOMEM;
}

/* Back ends give everything back before the channel is let go. */
static void closed_if_idle(struct hvsi_stor_chan *c)
{
	struct hvs_channel *ch = c->ch;

	if (!c->closing || c->in_flight)
		return;
	hvsi_stor_chan_destroy(c);
	hvs_channel_closed(ch);
}

static bool can_take(struct hvsi_stor_chan *c)
{
	return !c->unsent && hvsi_request_available(c);
}

static bool chan_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct hvsi_stor_chan *c = ctx;
	const struct hvs_packet *pkt;
	unsigned taken = 0;

	/* Not from open() on: a guest that does not take the answer could hold a drain up. */
	if (!c->joined)
		hvsi_stor_chan_join(c);
	/* Before drains: what is restored was there first. */
	if (c->restored)
		hvsi_requests_do_restored(c);
	if (atomic_load(&c->asked))
		hvsi_drain_check(c);
	hvsi_requests_take_done(c);
	hvsi_requests_unpark(c);
	hvsi_requests_send(c);
	if (atomic_load_explicit(&c->ctl->tell_of_disks, memory_order_relaxed))
		tell_of_disks(c);
	while (taken < budget && can_take(c) && hvs_channel_recv(ch, &pkt) == 1) {
		handle(c, pkt);
		taken++;
	}
	hvsi_requests_commit(c);
	hvsi_requests_take_done(c); /* back ends that finish at once */
	hvsi_requests_commit(c);
	if (c->in_flight && !c->ticking) {
		c->ticking = true;
		hvs_channel_set_timer(ch, SECOND_NS);
	}
	closed_if_idle(c);
	return taken == budget;
}

static void chan_timer(struct hvs_channel *ch, void *ctx)
{
	struct hvsi_stor_chan *c = ctx;

	(void)ch;
	c->ticking = false; /* ready() follows */
	hvsi_requests_tick(c);
	hvsi_reservations_look(c->ctl);
}

static void abort_one(struct hvsi_stor_request *req, void *arg)
{
	(void)arg;
	hvsi_request_abort(req);
}

static void chan_close(struct hvs_channel *ch, void *ctx)
{
	struct hvsi_stor_chan *c = ctx;

	c->closing = true;
	if (!c->joined)
		hvsi_stor_chan_join(c);
	if (!c->index) {
		atomic_store(&c->ctl->ready, false);
		hvsi_reservations_nexus_lost(c->ctl);
	}
	hvsi_requests_drop_kept(c);
	hvsi_requests_visit(c, abort_one, NULL);
	(void)chan_ready(ch, ctx, 0);
}

const struct hvs_vsp_ops hvsi_storvsp_chan_ops = {
	HVS_VSP_OPS_INIT,
	.open = chan_open,
	.ready = chan_ready,
	.close = chan_close,
	.destroy = hvsi_storvsp_destroy,
	.save = hvsi_stor_save,
	.restore = hvsi_stor_restore,
	.timer = chan_timer,
};
