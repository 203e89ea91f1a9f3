/* SPDX-License-Identifier: MIT */
/*
 * Saved state: a guest goes on with another host, whatever it was doing, and notices nothing. The
 * host is replaced while the guest waits for it, after the old one did a random part of its work.
 */
#include "support/alloc.h"
#include "support/rng.h"

#include "util/state.h"
#include "vmbus/proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#define DEVICES 2
#define SUBCHANNELS 2u
#define CHANNELS (DEVICES + SUBCHANNELS)
#define IN_FLIGHT 8u

/* ---- a device that answers late --------------------------------------------------------------- */

/* Answers each packet with its bytes turned around, some time after it came, in any order. */
struct late {
	struct rng *rng;
	bool subchannels; /* have the guest open two more channels */
	unsigned restores;
};

struct late_chan {
	struct hvs_channel *ch;
	struct rng *rng;
	bool ask; /* for sub-channels */
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

	cr_assert_not_null(c);
	c->ch = ch;
	c->ask = ((struct late *)dev)->subchannels && !params->subchannel;
	c->rng = ((struct late *)dev)->rng;
	*ctx = c;
	return 0;
}

/* False: no room in the ring now. */
static bool answer_one(struct late_chan *c)
{
	uint32_t i = rng_below(c->rng, c->count);
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

	if (c->ask && hvs_channel_offer_subchannels(ch, SUBCHANNELS) == 0)
		c->ask = false;
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
	int err = hvs_state_put(w, &c->ask, sizeof(c->ask));

	(void)ch;
	if (!err)
		err = hvs_state_put(w, &c->count, sizeof(c->count));
	return err ? err : hvs_state_put(w, c->request, sizeof(c->request));
}

static int late_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
			struct hvs_state_reader *r, void **ctx)
{
	struct late_chan *c;
	uint8_t ask;
	uint8_t none;

	((struct late *)dev)->restores++;
	if (late_open(dev, ch, params, ctx) < 0)
		return -ENOMEM;
	c = *ctx;
	if (hvs_state_get(r, &ask, sizeof(ask)) < 0 || ask > 1 ||
	    hvs_state_get(r, &c->count, sizeof(c->count)) < 0 || c->count > IN_FLIGHT ||
	    hvs_state_get(r, c->request, sizeof(c->request)) < 0 ||
	    hvs_state_get(r, &none, 1) != -EBADMSG) {
		free(c);
		return -EBADMSG;
	}
	c->ask = ask;
	return 0;
}

static const struct hvs_vsp_ops late_ops = {
	HVS_VSP_OPS_INIT,    .open = late_open, .ready = late_ready,
	.close = late_close, .save = late_save, .restore = late_restore,
};

static const struct hvs_vsp_ops forgetful_ops = {HVS_VSP_OPS_INIT, .open = late_open,
						 .ready = late_ready, .close = late_close};

/* ---- the machine ------------------------------------------------------------------------------ */

struct world {
	struct rng rng;
	struct late late[DEVICES];
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	unsigned replaced;
	unsigned odds; /* one in so many waits replaces the host; 0: none */
	/* Devices the next host has; bit n: device n. */
	unsigned devices;
	unsigned forgetful;
};

static int offer_devices(void *arg, struct hvs_vmbus *bus)
{
	struct world *w = arg;
	int err = 0;

	for (unsigned i = 0; i < DEVICES && !err; i++) {
		const struct hvs_vsp_ops *ops = w->forgetful >> i & 1 ? &forgetful_ops : &late_ops;
		struct hvs_worker *workers[SUBCHANNELS];
		struct hvs_offer offer = {HVS_OFFER_INIT,
					  .class_id = {{0xaa}},
					  .instance_id = {{(uint8_t)(i + 1)}},
					  .max_subchannels = SUBCHANNELS,
					  .subchannel_workers = workers,
					  .subchannel_worker_count = SUBCHANNELS};
		struct hvs_device *d;

		if (!(w->devices >> i & 1))
			continue;
		err = hvs_worker_create(bus, NULL, &offer.worker);
		for (unsigned n = 0; n < SUBCHANNELS && !err; n++)
			err = hvs_worker_create(bus, NULL, &workers[n]);
		if (!err)
			err = hvs_device_offer(bus, &offer, ops, &w->late[i], &d);
	}
	return err;
}

static void replace_host(struct world *w)
{
	uint32_t flags = rng_below(&w->rng, 2) ? HVS_LOOPBACK_EXTERNAL_SINTS : 0;

	w->replaced++;
	cr_assert_eq(hvs_loopback_replace_host(w->lb, flags, offer_devices, w), 0, "replacement %u",
		     w->replaced);
}

static void on_wait(void *arg, struct hvs_loopback *lb)
{
	struct world *w = arg;
	unsigned steps = rng_below(&w->rng, 4);

	for (unsigned i = 0; i < steps; i++)
		hvs_loopback_step(lb, 1 + rng_below(&w->rng, 4));
	if (w->odds && !rng_below(&w->rng, w->odds))
		replace_host(w);
}

static void world_up(struct world *w, uint64_t seed, unsigned odds)
{
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 64 * 4096,
						.on_wait = on_wait, .arg = w};

	*w = (struct world){.rng = {seed}, .odds = odds, .devices = 3};
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
	bool answered[CHANNELS][PACKETS] = {{false}};
	unsigned sent[CHANNELS] = {0};
	unsigned total = 0;

	while (total < channels * PACKETS) {
		unsigned n = rng_below(&w->rng, channels);
		struct hvs_guest_packet pkt;
		unsigned burst = rng_below(&w->rng, 12);

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
			total++;
		}
	}
}

static struct hvs_guest_channel *open_offer(struct world *w, unsigned index)
{
	struct hvs_guest_channel *ch;

	cr_assert_eq(hvs_guest_channel_open(w->guest, hvs_guest_offer_at(w->guest, index),
					    RING_BYTES, &ch),
		     0);
	return ch;
}

/* From contact to unload. */
static void session(struct world *w)
{
	static const uint32_t versions[] = {
		HVSI_VERSION(0, 13), HVSI_VERSION(1, 1), HVSI_VERSION(2, 4), HVSI_VERSION(3, 0),
		HVSI_VERSION(4, 0),  HVSI_VERSION(4, 1), HVSI_VERSION(5, 0), HVSI_VERSION(5, 1),
		HVSI_VERSION(5, 2),  HVSI_VERSION(5, 3), HVSI_VERSION(6, 0)};
	uint32_t version = versions[rng_below(&w->rng, sizeof(versions) / sizeof(versions[0]))];
	unsigned channels = version >= HVSI_VERSION(2, 4) ? CHANNELS : DEVICES;
	struct hvs_guest_channel *ch[CHANNELS];

	w->late[0].subchannels = true;
	cr_assert_eq(hvs_guest_connect(w->guest, version), 0);
	cr_assert_eq(hvs_guest_request_offers(w->guest), DEVICES);
	for (unsigned i = 0; i < DEVICES; i++)
		ch[i] = open_offer(w, i);
	for (unsigned i = DEVICES; i < channels; i++) {
		while (!hvs_guest_offer_at(w->guest, i)) {
			on_wait(w, w->lb);
			(void)hvs_guest_channel_events(ch[0]); /* takes messages */
		}
		ch[i] = open_offer(w, i);
	}
	traffic(w, ch, channels);
	for (unsigned i = channels; i-- > 0;)
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
		replaced += w.replaced;
		world_down(&w);
	}
}

/* ---- other devices than before ---------------------------------------------------------------- */

static void open_both(struct world *w, struct hvs_guest_channel *ch[DEVICES])
{
	world_up(w, 7, 0);
	cr_assert_eq(hvs_guest_connect(w->guest, HVSI_VERSION(5, 3)), 0);
	cr_assert_eq(hvs_guest_request_offers(w->guest), DEVICES);
	for (unsigned i = 0; i < DEVICES; i++)
		ch[i] = open_offer(w, i);
}

static void expect_rescind(struct world *w, uint32_t relid)
{
	struct hvsi_msg_relid msg;
	uint8_t buf[HVSI_MSG_MAX];

	cr_assert_eq(hvs_guest_wait_message(w->guest, HVSI_MSG_RESCIND_CHANNELOFFER, buf),
		     sizeof(msg));
	memcpy(&msg, buf, sizeof(msg));
	cr_assert_eq(hvsi_get32(msg.relid), relid);
}

static void release(struct world *w, uint32_t relid)
{
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_RELID_RELEASED),
				     .relid = hvsi_le32(relid)};

	cr_assert_eq(hvs_guest_post(w->guest, 1, &msg, sizeof(msg)), 0);
	hvs_loopback_run(w->lb);
}

static void take_messages(struct world *w, struct hvs_guest_channel *ch)
{
	for (unsigned i = 0; i < 20; i++) {
		hvs_loopback_run(w->lb);
		(void)hvs_guest_channel_events(ch);
	}
}

Test(save, device_that_is_gone_is_rescinded_and_the_others_go_on)
{
	struct hvs_guest_channel *ch[DEVICES];
	struct world w;

	open_both(&w, ch);
	w.devices = 2;
	replace_host(&w);
	expect_rescind(&w, 1);
	traffic(&w, &ch[1], 1);
	cr_assert_eq(hvs_guest_channel_close(ch[0]), 0);
	release(&w, 1);
	/* It has come back with the next host. */
	w.devices = 3;
	replace_host(&w);
	take_messages(&w, ch[1]);
	cr_assert_not_null(hvs_guest_offer_at(w.guest, 2));
	ch[0] = open_offer(&w, 2);
	traffic(&w, ch, 2);
	world_down(&w);
}

Test(save, device_that_comes_back_before_the_guest_has_let_go_waits)
{
	struct hvs_guest_channel *ch[DEVICES];
	struct world w;

	open_both(&w, ch);
	w.devices = 2;
	replace_host(&w);
	w.devices = 3;
	replace_host(&w);
	expect_rescind(&w, 1);
	take_messages(&w, ch[1]);
	cr_assert_null(hvs_guest_offer_at(w.guest, 2));
	cr_assert_eq(hvs_guest_channel_close(ch[0]), 0);
	release(&w, 1);
	take_messages(&w, ch[1]);
	cr_assert_not_null(hvs_guest_offer_at(w.guest, 2));
	world_down(&w);
}

Test(save, device_without_restore_leaves_and_comes_back)
{
	struct hvs_guest_channel *ch[DEVICES];
	struct world w;

	open_both(&w, ch);
	w.forgetful = 1;
	replace_host(&w);
	expect_rescind(&w, 1);
	cr_assert_eq(hvs_guest_channel_close(ch[0]), 0);
	release(&w, 1);
	take_messages(&w, ch[1]);
	ch[0] = open_offer(&w, 2);
	traffic(&w, ch, 2);
	world_down(&w);
}

Test(save, devices_are_not_offered_to_a_guest_that_has_not_asked)
{
	struct world w;

	world_up(&w, 7, 0);
	w.devices = 1;
	replace_host(&w);
	cr_assert_eq(hvs_guest_connect(w.guest, HVSI_VERSION(5, 3)), 0);
	w.devices = 3;
	replace_host(&w);
	cr_assert_eq(hvs_guest_request_offers(w.guest), 2);
	world_down(&w);
}

/* ---- connections in between ------------------------------------------------------------------- */

static void reset_done(void *arg, int status)
{
	cr_assert_eq(status, 0);
	*(bool *)arg = true;
}

Test(save, machine_that_was_reset_is_like_a_new_one)
{
	struct hvs_guest_channel *ch[DEVICES];
	bool done = false;
	struct world w;

	open_both(&w, ch);
	cr_assert_eq(hvs_vmbus_reset(hvs_loopback_bus(w.lb), reset_done, &done), 0);
	cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(w.lb), NULL, NULL), -EINVAL);
	hvs_loopback_run(w.lb);
	cr_assert(done);
	replace_host(&w);
	cr_assert_eq(hvs_guest_connect(w.guest, HVSI_VERSION(5, 3)), 0);
	replace_host(&w);
	cr_assert_eq(hvs_guest_request_offers(w.guest), DEVICES);
	world_down(&w);
}

Test(save, features_and_pause_go_on_and_end_with_the_connection)
{
	struct hvsi_msg_initiate_contact contact = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						    .version = hvsi_le32(HVSI_VERSION(6, 0)),
						    .sint = 2,
						    .features = hvsi_le32(0x27)};
	const struct hvsi_msg pause = hvsi_msg_header(HVSI_MSG_PAUSE);
	const struct hvsi_msg resume = hvsi_msg_header(HVSI_MSG_RESUME);
	const struct hvsi_msg offers = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	uint8_t buf[HVSI_MSG_MAX];
	struct world w;

	world_up(&w, 7, 0);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &contact, sizeof(contact)), 0);
	replace_host(&w);
	cr_assert_eq(hvs_guest_wait_message(w.guest, HVSI_MSG_VERSION_RESPONSE, buf), 20);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &pause, sizeof(pause)), 0);
	replace_host(&w);
	cr_assert_eq(hvs_guest_wait_message(w.guest, HVSI_MSG_PAUSE_RESPONSE, buf), 8);
	replace_host(&w);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &resume, sizeof(resume)), 0);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &offers, sizeof(offers)), 0);
	replace_host(&w);
	cr_assert_eq(hvs_guest_wait_message(w.guest, HVSI_MSG_ALLOFFERS_DELIVERED, buf), 8);
	cr_assert_eq(hvs_guest_unload(w.guest), 0);
	replace_host(&w);
	cr_assert_eq(hvs_loopback_count(w.lb)->faults, 0);
	world_down(&w);
}

/* ---- state that is not what it should be ------------------------------------------------------ */

struct blob {
	uint8_t bytes[65536];
	size_t len;
};

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	cr_assert_leq(len, sizeof(b->bytes) - b->len);
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

static void save_open_machine(struct blob *b)
{
	struct hvs_guest_channel *ch[DEVICES];
	struct world w;

	open_both(&w, ch);
	b->len = 0;
	cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(w.lb), append, b), 0);
	world_down(&w);
}

/* A machine whose bus waits for state. */
static void world_waiting(struct world *w)
{
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 64 * 4096};

	*w = (struct world){.rng = {1}, .devices = 3};
	cr_assert_eq(hvs_loopback_create(&cfg, &w->lb), 0);
	cr_assert_eq(offer_devices(w, hvs_loopback_bus(w->lb)), 0);
}

Test(save, damaged_state_is_refused_and_changes_nothing)
{
	static struct blob b;
	struct hvs_vmbus *bus;
	struct world w;

	save_open_machine(&b);
	world_waiting(&w);
	bus = hvs_loopback_bus(w.lb);
	cr_assert_eq(hvs_vmbus_restore(NULL, b.bytes, b.len), -EINVAL);
	cr_assert_eq(hvs_vmbus_restore(bus, NULL, b.len), -EINVAL);
	for (size_t len = 0; len < b.len; len++)
		cr_assert_eq(hvs_vmbus_restore(bus, b.bytes, len), -EBADMSG, "%zu bytes", len);
	for (size_t i = 0; i < b.len; i++) {
		b.bytes[i] ^= 0x10;
		cr_assert_eq(hvs_vmbus_restore(bus, b.bytes, b.len), -EBADMSG, "byte %zu", i);
		b.bytes[i] ^= 0x10;
	}
	cr_assert_eq(hvs_vmbus_restore(bus, b.bytes, b.len), 0);
	cr_assert_eq(hvs_vmbus_restore(bus, b.bytes, b.len), -EBUSY);
	hvs_loopback_destroy(w.lb);
}

Test(save, started_bus_takes_no_state)
{
	static struct blob b;
	struct world w;

	save_open_machine(&b);
	world_up(&w, 1, 0);
	cr_assert_eq(hvs_vmbus_restore(hvs_loopback_bus(w.lb), b.bytes, b.len), -EBUSY);
	world_down(&w);
}

static int refuse_to_write(void *arg, const void *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	return --*(int *)arg ? 0 : -ENOSPC;
}

Test(save, error_of_the_writer_is_returned)
{
	struct hvs_guest_channel *ch[DEVICES];
	struct world w;

	open_both(&w, ch);
	for (int at = 1; at < 20; at++) {
		int left = at;

		cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(w.lb), refuse_to_write, &left),
			     -ENOSPC);
	}
	cr_assert_eq(hvs_vmbus_save(NULL, append, NULL), -EINVAL);
	cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(w.lb), NULL, NULL), -EINVAL);
	world_down(&w);
}

/* Messages wait in both directions, and everything there is a record for exists. */
static void save_busy_machine(struct blob *b)
{
	struct hvsi_msg_modify_channel move = {.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL),
					       .relid = hvsi_le32(1)};
	struct hvsi_msg_open_reserved reserved = {
		.h = hvsi_msg_header(HVSI_MSG_OPEN_RESERVED_CHANNEL),
		.relid = hvsi_le32(2),
		.target_sint = hvsi_le32(2),
		.downstream_page = hvsi_le32(2)};
	struct hvsi_msg_close_reserved close_reserved = {
		.h = hvsi_msg_header(HVSI_MSG_CLOSE_RESERVED_CHANNEL),
		.relid = hvsi_le32(2),
		.target_sint = hvsi_le32(2)};
	struct hvsi_msg_tl_connect tl = {.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST)};
	struct hvsi_msg_gpadl_header partly = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
					       .relid = hvsi_le32(1),
					       .gpadl_id = hvsi_le32(77),
					       .range_bytes = hvsi_le16(800),
					       .range_count = hvsi_le16(1)};
	struct hvsi_msg_gpadl_teardown teardown = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TEARDOWN),
						   .relid = hvsi_le32(1)};
	struct hvs_guest_channel *ch;
	struct world w;
	uint32_t rings;
	uint32_t other;
	uint64_t gpa;

	world_up(&w, 7, 0);
	w.late[0].subchannels = true;
	cr_assert_eq(hvs_guest_connect(w.guest, HVSI_VERSION(5, 3)), 0);
	cr_assert_eq(hvs_guest_request_offers(w.guest), DEVICES);
	cr_assert(hvs_loopback_alloc_pages(w.lb, 4, &gpa));
	cr_assert_eq(hvs_guest_gpadl_create(w.guest, 2, gpa, 4 * 4096, &rings), 0);
	cr_assert_eq(hvs_guest_gpadl_create(w.guest, 1, gpa, 4096, &other), 0);
	ch = open_offer(&w, 0);
	take_messages(&w, ch);
	reserved.gpadl_id = hvsi_le32(rings);
	teardown.gpadl_id = hvsi_le32(other);
	/* The first answer occupies the slot; the others wait behind it. */
	cr_assert_eq(hvs_guest_post(w.guest, 1, &partly, sizeof(partly)), 0);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &tl, sizeof(tl)), 0);
	hvs_loopback_run(w.lb);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(hvs_guest_post(w.guest, 1, &move, sizeof(move)), 0);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &reserved, sizeof(reserved)), 0);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &teardown, sizeof(teardown)), 0);
	cr_assert_eq(hvs_guest_post(w.guest, 1, &close_reserved, sizeof(close_reserved)), 0);
	hvs_loopback_run(w.lb);
	b->len = 0;
	cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(w.lb), append, b), 0);
	world_down(&w);
}

/* Restore, with the n-th allocation failing, and if that went well run a little. Everything has to be
 * given back. */
static int try_state_without_memory(struct blob *b, size_t fails)
{
	struct hvs_le32 crc = hvsi_le32(hvsi_state_crc(b->bytes, b->len - 12));
	struct test_alloc a = TEST_ALLOC_INIT;
	struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 64 * 4096,
					  .alloc = test_allocator(&a)};
	struct world w = {.rng = {1}, .devices = 3};
	struct hvs_guest *guest;
	int err;

	w.late[0].rng = &w.rng;
	w.late[1].rng = &w.rng;
	memcpy(b->bytes + b->len - 4, &crc, sizeof(crc));
	cr_assert_eq(hvs_loopback_create(&cfg, &w.lb), 0);
	cr_assert_eq(offer_devices(&w, hvs_loopback_bus(w.lb)), 0);
	a.fail_at = fails == SIZE_MAX ? SIZE_MAX : a.calls + fails;
	err = hvs_vmbus_restore(hvs_loopback_bus(w.lb), b->bytes, b->len);
	a.fail_at = SIZE_MAX;
	if (!err) {
		cr_assert_eq(hvs_loopback_start(w.lb, &guest), 0);
		hvs_loopback_run(w.lb);
	}
	hvs_loopback_destroy(w.lb);
	cr_assert_eq(a.live, 0);
	return err;
}

static int try_state(struct blob *b)
{
	return try_state_without_memory(b, SIZE_MAX);
}

static void try_every_byte(struct blob *b)
{
	static const uint8_t values[] = {0, 1, 2, 5, 0x40, 0xff};

	cr_assert_eq(try_state(b), 0);
	for (size_t i = 0; i < b->len - 12; i++) {
		uint8_t was = b->bytes[i];

		for (size_t n = 0; n < sizeof(values); n++) {
			int err;

			b->bytes[i] = values[n];
			err = try_state(b);
			cr_assert(err == 0 || err == -EBADMSG || err == -ENOTSUP ||
					  err == -ENOSPC || err == -EFAULT,
				  "byte %zu = %u: %d", i, values[n], err);
		}
		b->bytes[i] = was;
	}
}

Test(save, state_of_an_open_machine_that_says_anything_harms_nobody)
{
	static struct blob b;

	save_open_machine(&b);
	try_every_byte(&b);
}

Test(save, state_of_a_busy_machine_that_says_anything_harms_nobody)
{
	static struct blob b;

	save_busy_machine(&b);
	try_every_byte(&b);
}

Test(save, without_memory_the_bus_is_as_before)
{
	static struct blob b;
	size_t fails = 0;

	save_busy_machine(&b);
	while (try_state_without_memory(&b, fails) == -ENOMEM)
		fails++;
	cr_assert_gt(fails, 5);
	cr_assert_eq(try_state_without_memory(&b, fails), 0);
}
