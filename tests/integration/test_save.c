/* SPDX-License-Identifier: MIT */
/*
 * Saved state: a guest goes on with another host, whatever it was doing, and notices nothing. The
 * host is replaced while the guest waits for it, after the old one did a random part of its work.
 */
#include "support/rng.h"

#include "vmbus/proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#define DEVICES 2
#define IN_FLIGHT 8u

/* ---- a device that answers late --------------------------------------------------------------- */

/* Answers each packet with its bytes turned around, some time after it came, in any order. */
struct late {
	struct rng *rng;
	unsigned restores;
};

struct late_chan {
	struct hvs_channel *ch;
	struct rng *rng;
	uint32_t count;
	struct {
		uint64_t xid;
		uint64_t payload;
	} request[IN_FLIGHT];
};

static int late_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     void **ctx)
{
	struct late_chan *c = calloc(1, sizeof(*c));

	(void)params;
	cr_assert_not_null(c);
	c->ch = ch;
	c->rng = ((struct late *)dev)->rng;
	*ctx = c;
	return 0;
}

/* False: no room in the ring now. */
static bool answer_one(struct late_chan *c)
{
	uint32_t i = (uint32_t)rng_below(c->rng, c->count);
	uint64_t answer = ~c->request[i].payload;
	struct iovec iov = {&answer, sizeof(answer)};

	if (hvs_channel_complete(c->ch, c->request[i].xid, &iov, 1) != 0)
		return false;
	c->request[i] = c->request[--c->count];
	return true;
}

static bool late_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct late_chan *c = ctx;
	const struct hvs_packet *pkt;
	int got = 0;

	while (c->count && rng_below(c->rng, 3) && answer_one(c))
		;
	for (unsigned taken = 0; taken < budget && c->count < IN_FLIGHT; taken++) {
		got = hvs_channel_recv(ch, &pkt);
		if (got != 1)
			break;
		c->request[c->count].xid = pkt->xid;
		memcpy(&c->request[c->count].payload, pkt->data, 8);
		c->count++;
		got = 0;
	}
	if (c->count)
		hvs_channel_kick(ch);
	return got == 0 && !c->count ? false : c->count < IN_FLIGHT && got == 1;
}

static void late_close(struct hvs_channel *ch, void *ctx)
{
	free(ctx);
	hvs_channel_closed(ch);
}

static int late_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w)
{
	struct late_chan *c = ctx;
	int err = hvs_state_put(w, &c->count, sizeof(c->count));

	(void)ch;
	/* In two records, to be read as one. */
	return err ? err : hvs_state_put(w, c->request, sizeof(c->request));
}

static int late_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
			struct hvs_state_reader *r, void **ctx)
{
	struct late_chan *c;
	uint8_t none;

	((struct late *)dev)->restores++;
	if (late_open(dev, ch, params, ctx) < 0)
		return -ENOMEM;
	c = *ctx;
	if (hvs_state_get(r, &c->count, sizeof(c->count)) < 0 || c->count > IN_FLIGHT ||
	    hvs_state_get(r, c->request, sizeof(c->request)) < 0) {
		free(c);
		return -EBADMSG;
	}
	cr_assert_eq(hvs_state_get(r, &none, 1), -EBADMSG);
	return 0;
}

static const struct hvs_vsp_ops late_ops = {
	HVS_VSP_OPS_INIT,    .open = late_open, .ready = late_ready,
	.close = late_close, .save = late_save, .restore = late_restore,
};

/* ---- the machine ------------------------------------------------------------------------------ */

struct world {
	struct rng rng;
	struct late late[DEVICES];
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	unsigned replaced;
	unsigned odds; /* one in so many waits replaces the host; 0: none */
	unsigned subchannels;
};

static int offer_devices(void *arg, struct hvs_vmbus *bus)
{
	struct world *w = arg;

	for (unsigned i = 0; i < DEVICES; i++) {
		struct hvs_offer offer = {HVS_OFFER_INIT,
					  .class_id = {{0xaa}},
					  .instance_id = {{(uint8_t)(i + 1)}},
					  .max_subchannels = 2};
		struct hvs_device *d;
		int err = hvs_worker_create(bus, NULL, &offer.worker);

		if (!err)
			err = hvs_device_offer(bus, &offer, &late_ops, &w->late[i], &d);
		if (err)
			return err;
	}
	return 0;
}

static void on_wait(void *arg, struct hvs_loopback *lb)
{
	struct world *w = arg;
	unsigned steps = (unsigned)rng_below(&w->rng, 4);

	for (unsigned i = 0; i < steps; i++)
		hvs_loopback_step(lb, 1 + (unsigned)rng_below(&w->rng, 4));
	if (!w->odds || rng_below(&w->rng, w->odds))
		return;
	w->replaced++;
	cr_assert_eq(hvs_loopback_replace_host(
			     lb, rng_below(&w->rng, 2) ? HVS_LOOPBACK_EXTERNAL_SINTS : 0,
			     offer_devices, w),
		     0, "replacement %u", w->replaced);
}

static void world_up(struct world *w, uint64_t seed, unsigned odds)
{
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 2 << 20,
						.on_wait = on_wait, .arg = w};

	*w = (struct world){.rng = {seed}, .odds = odds};
	for (unsigned i = 0; i < DEVICES; i++)
		w->late[i].rng = &w->rng;
	cr_assert_eq(hvs_loopback_create(&cfg, &w->lb), 0);
	cr_assert_eq(offer_devices(w, hvs_loopback_bus(w->lb)), 0);
	cr_assert_eq(hvs_loopback_start(w->lb, &w->guest), 0);
}

static void world_down(struct world *w)
{
	w->odds = 0;
	hvs_loopback_destroy(w->lb);
}

/* ---- what the guest does ---------------------------------------------------------------------- */

#define PACKETS 60u
#define RING_BYTES 4096u

static void expect_answer(const struct hvs_guest_packet *pkt, bool *answered, unsigned sent)
{
	uint64_t payload;

	cr_assert_eq(pkt->type, HVS_PACKET_COMPLETION);
	cr_assert_lt(pkt->xid, sent);
	cr_assert(!answered[pkt->xid], "request %u is answered twice", (unsigned)pkt->xid);
	answered[pkt->xid] = true;
	memcpy(&payload, pkt->data, sizeof(payload));
	cr_assert_eq(payload, ~(pkt->xid * 7), "of request %u", (unsigned)pkt->xid);
}

/* Requests on all channels at once; each is answered once, with its own data. */
static void traffic(struct world *w, struct hvs_guest_channel **ch, unsigned channels)
{
	bool answered[4][PACKETS] = {{false}};
	unsigned sent[4] = {0};
	unsigned got[4] = {0};
	unsigned total = 0;

	while (total < channels * PACKETS) {
		unsigned n = (unsigned)rng_below(&w->rng, channels);
		struct hvs_guest_packet pkt;
		unsigned burst = (unsigned)rng_below(&w->rng, 12);

		while (burst-- && sent[n] < PACKETS) {
			uint64_t payload = (uint64_t)sent[n] * 7;
			struct iovec iov = {&payload, sizeof(payload)};

			if (hvs_guest_send(ch[n], sent[n], true, NULL, &iov, 1) != 0)
				break;
			sent[n]++;
		}
		hvs_guest_flush(ch[n]);
		on_wait(w, w->lb);
		while (hvs_guest_recv(ch[n], &pkt) == 1) {
			expect_answer(&pkt, answered[n], sent[n]);
			got[n]++;
			total++;
		}
	}
}

/* From contact to unload. */
static void session(struct world *w)
{
	static const uint32_t versions[] = {
		HVSI_VERSION(0, 13), HVSI_VERSION(1, 1), HVSI_VERSION(2, 4), HVSI_VERSION(3, 0),
		HVSI_VERSION(4, 0),  HVSI_VERSION(4, 1), HVSI_VERSION(5, 0), HVSI_VERSION(5, 1),
		HVSI_VERSION(5, 2),  HVSI_VERSION(5, 3), HVSI_VERSION(6, 0)};
	struct hvs_guest_channel *ch[DEVICES];

	cr_assert_eq(hvs_guest_connect(w->guest, versions[rng_below(&w->rng, 11)]), 0);
	cr_assert_eq(hvs_guest_request_offers(w->guest), DEVICES);
	for (unsigned i = 0; i < DEVICES; i++)
		cr_assert_eq(hvs_guest_channel_open(w->guest, hvs_guest_offer_at(w->guest, i),
						    RING_BYTES, &ch[i]),
			     0);
	traffic(w, ch, DEVICES);
	for (unsigned i = 0; i < DEVICES; i++)
		cr_assert_eq(hvs_guest_channel_close(ch[i]), 0);
	if (rng_below(&w->rng, 2))
		cr_assert_eq(hvs_guest_unload(w->guest), 0);
}

Test(save, every_packet_arrives_once_when_the_host_is_replaced_at_1000_instants)
{
	unsigned replaced = 0;

	for (uint64_t seed = 1; replaced < 1000; seed++) {
		struct world w;

		world_up(&w, seed, 8);
		for (unsigned i = 0; i < 3; i++)
			session(&w);
		cr_assert_eq(hvs_loopback_count(w.lb)->faults, 0, "seed %u", (unsigned)seed);
		replaced += w.replaced; cr_log_warn("seed %u: %u restores %u %u", (unsigned)seed, replaced, w.late[0].restores, w.late[1].restores);
		world_down(&w);
	}
}
