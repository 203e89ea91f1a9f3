/* SPDX-License-Identifier: MIT */
#include "support/multidev.h"

/* ---- the device ------------------------------------------------------------------------------- */

static int multi_dev_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
			  void **ctx)
{
	struct multidev *m = dev;
	struct multichan *c = &m->chan[params->subchannel];

	cr_assert_lt(params->subchannel, MULTI_MAX);
	cr_assert_not(c->open);
	c->m = m;
	c->opens++;
	c->params = *params;
	c->ran_on = m->b->running;
	if (c->open_result)
		return c->open_result;
	c->ch = ch;
	c->open = true;
	*ctx = c;
	return 0;
}

static bool multi_dev_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct multichan *c = ctx;
	struct multidev *m = c->m;
	const struct hvs_packet *pkt;

	(void)budget;
	cr_assert(c->open);
	cr_assert_eq(c->ran_on, m->b->running);
	c->readies++;
	if (m->ask) {
		m->ask = false;
		m->asked = hvs_channel_offer_subchannels(ch, m->ask_for);
	}
	while (hvs_channel_recv(ch, &pkt) == 1)
		c->received++;
	return false;
}

static void multi_dev_close(struct hvs_channel *ch, void *ctx)
{
	struct multichan *c = ctx;

	cr_assert(c->open);
	c->closes++;
	if (c->hold_close)
		return;
	c->open = false;
	hvs_channel_closed(ch);
}

static void multi_dev_destroy(void *dev)
{
	struct multidev *m = dev;

	for (unsigned i = 0; i < MULTI_MAX; i++)
		cr_assert_not(m->chan[i].open);
	m->destroys++;
}

void multi_offer(struct testbus *b, struct multidev *m, uint8_t number,
		 const struct multi_options *opt)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT, .open = multi_dev_open,
					       .ready = multi_dev_ready, .close = multi_dev_close,
					       .destroy = multi_dev_destroy};
	const struct hvs_offer offer = {HVS_OFFER_INIT,
					.class_id = {{0xc1}},
					.instance_id = {{0x20, number}},
					.max_subchannels = opt->max_subchannels,
					.monitor_latency_us = opt->monitor_latency_us,
					.worker = opt->worker,
					.subchannel_workers = opt->subchannel_workers,
					.subchannel_worker_count = opt->subchannel_worker_count};

	m->b = b;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, m, &m->device), 0);
}

int multi_ask(struct multidev *m, unsigned count)
{
	m->ask = true;
	m->ask_for = count;
	hvs_channel_kick(m->chan[0].ch);
	bus_run_all(m->b);
	cr_assert_not(m->ask);
	return m->asked;
}

void multi_finish(struct multidev *m, unsigned index)
{
	cr_assert(m->chan[index].open);
	m->chan[index].open = false;
	hvs_channel_closed(m->chan[index].ch);
	bus_run_all(m->b);
}

static void removed(void *arg, int status)
{
	struct multidev *m = arg;

	cr_assert_eq(status, 0);
	for (unsigned i = 0; i < MULTI_MAX; i++)
		cr_assert_not(m->chan[i].open, "channel %u is still in use", i);
	m->done++;
}

void multi_rescind(struct multidev *m)
{
	cr_assert_eq(hvs_device_rescind(m->device, removed, m), 0);
	bus_run_all(m->b);
}

/* ---- the guest's side ------------------------------------------------------------------------- */

void multi_expect_offer(struct testbus *b, uint32_t relid, uint16_t index)
{
	const uint8_t *bytes = bus_take(b, HVSI_MSG_OFFERCHANNEL, sizeof(struct hvsi_msg_offer));
	struct hvsi_msg_offer offer;

	memcpy(&offer, bytes, sizeof(offer));
	cr_assert_eq(hvsi_get32(offer.relid), relid);
	cr_assert_eq(hvsi_get16(offer.subchannel), index);
	cr_assert_eq(hvsi_get32(offer.connection_id), 0x2000 + relid);
	cr_assert_eq(offer.class_id.b[0], 0xc1);
	cr_assert_eq(offer.instance_id.b[0], 0x20);
}

void multi_expect_rescind(struct testbus *b, uint32_t relid)
{
	struct hvsi_msg_relid want = {.h = hvsi_msg_header(HVSI_MSG_RESCIND_CHANNELOFFER),
				      .relid = hvsi_le32(relid)};

	bus_expect(b, &want, sizeof(want));
}

void multi_gpadl(struct testbus *b, uint32_t relid)
{
	memset(b->ram + MULTI_FIRST(relid) * 4096u, 0, MULTI_PAGES * 4096u);
	bus_gpadl(b, relid, MULTI_GPADL(relid), MULTI_FIRST(relid), MULTI_PAGES);
}

void multi_send_open(struct testbus *b, uint32_t relid)
{
	struct hvsi_msg_open open = bus_open_msg(relid, relid, MULTI_GPADL(relid), 0, MULTI_SPLIT);

	bus_send(b, &open, sizeof(open));
	bus_run_all(b);
}

void multi_open(struct testbus *b, uint32_t relid)
{
	multi_gpadl(b, relid);
	multi_send_open(b, relid);
	bus_expect_opened(b, relid, relid, 0);
}

void multi_close(struct testbus *b, uint32_t relid)
{
	bus_close(b, relid);
	bus_run_all(b);
}

void multi_release(struct testbus *b, uint32_t relid)
{
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_RELID_RELEASED),
				     .relid = hvsi_le32(relid)};

	bus_send(b, &msg, sizeof(msg));
	bus_run_all(b);
}

void multi_packet(struct testbus *b, uint32_t relid, struct guest_rings *r)
{
	rings_send(r, 1, 1);
	cr_assert_eq(hvs_vmbus_signal_event(b->bus, 0x2000 + relid, 0), HVS_HV_STATUS_SUCCESS);
	bus_run_all(b);
}
