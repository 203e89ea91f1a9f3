/* SPDX-License-Identifier: MIT */
/* Devices that come and go while a guest is connected. */
#include "vmbus/proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <errno.h>

#define RING_BYTES 16384u

/* A device that does nothing, and keeps its channel when it is told to close until it may. */
struct dummy {
	struct hvs_device *dev;
	struct hvs_channel *ch;
	unsigned opened;
	unsigned destroyed;
	unsigned done;
	bool refuse;
	bool hold; /* close later: finish() */
};

static int dummy_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		      void **ctx)
{
	struct dummy *d = dev;

	(void)params;
	*ctx = d;
	d->ch = ch;
	d->opened++;
	return d->refuse ? -1 : 0;
}

static bool dummy_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	const struct hvs_packet *pkt;

	(void)ctx;
	(void)budget;
	while (hvs_channel_recv(ch, &pkt) == 1)
		;
	return false;
}

static void dummy_close(struct hvs_channel *ch, void *ctx)
{
	if (!((struct dummy *)ctx)->hold)
		hvs_channel_closed(ch);
}

static void dummy_destroy(void *dev)
{
	((struct dummy *)dev)->destroyed++;
}

static const struct hvs_vsp_ops dummy_ops = {HVS_VSP_OPS_INIT, .open = dummy_open,
					     .ready = dummy_ready, .close = dummy_close,
					     .destroy = dummy_destroy};

struct site {
	struct hvs_loopback *lb;
	struct hvs_guest *g;
};

static void add(struct site *s, struct dummy *d, unsigned id)
{
	const struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = {{0xd}},
					.instance_id = {{(uint8_t)id, (uint8_t)(id >> 8)}}};

	cr_assert_eq(hvs_device_offer(hvs_loopback_bus(s->lb), &offer, &dummy_ops, d, &d->dev), 0);
}

static void on_done(void *arg, int status)
{
	cr_assert_eq(status, 0);
	((struct dummy *)arg)->done++;
}

static void take_away(struct site *s, struct dummy *d)
{
	cr_assert_eq(hvs_device_rescind(d->dev, on_done, d), 0);
	hvs_loopback_run(s->lb);
}

static struct site up(struct dummy *first)
{
	struct site s;

	cr_assert_eq(hvs_loopback_create(NULL, &s.lb), 0);
	add(&s, first, 1);
	cr_assert_eq(hvs_loopback_start(s.lb, &s.g), 0);
	cr_assert_eq(hvs_guest_connect(s.g, 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(s.g), 1);
	return s;
}

static uint32_t message_relid(const uint8_t *buf)
{
	struct hvsi_msg_relid msg;

	memcpy(&msg, buf, sizeof(msg));
	return hvsi_get32(msg.relid);
}

static void expect_rescind(struct site *s, uint32_t relid)
{
	uint8_t buf[HVSI_MSG_MAX];

	cr_assert_eq(hvs_guest_wait_message(s->g, HVSI_MSG_RESCIND_CHANNELOFFER, buf), 12);
	cr_assert_eq(message_relid(buf), relid);
}

static uint32_t expect_offer(struct site *s)
{
	uint8_t buf[HVSI_MSG_MAX];
	struct hvsi_msg_offer msg;

	cr_assert_eq(hvs_guest_wait_message(s->g, HVSI_MSG_OFFERCHANNEL, buf), 196);
	memcpy(&msg, buf, sizeof(msg));
	return hvsi_get32(msg.relid);
}

static void say(struct site *s, uint32_t type, uint32_t relid)
{
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(type), .relid = hvsi_le32(relid)};

	cr_assert_eq(hvs_guest_post(s->g, 1, &msg, sizeof(msg)), 0);
	hvs_loopback_run(s->lb);
}

Test(hotplug, device_added_to_a_connected_guest_is_offered_at_once)
{
	struct dummy a = {0};
	struct dummy b = {0};
	struct site s = up(&a);
	struct hvs_guest_channel *ch;

	add(&s, &b, 2);
	cr_assert_eq(expect_offer(&s), 2);
	cr_assert_eq(hvs_guest_channel_open(s.g, hvs_guest_offer_at(s.g, 1), RING_BYTES, &ch), 0);
	cr_assert_eq(b.opened, 1);
	hvs_loopback_destroy(s.lb);
	cr_assert(a.destroyed == 1 && b.destroyed == 1);
}

Test(hotplug, closed_device_is_rescinded_and_freed_when_the_guest_lets_go)
{
	struct dummy a = {0};
	struct site s = up(&a);

	take_away(&s, &a);
	cr_assert_eq(a.done, 1);
	expect_rescind(&s, 1);
	cr_assert_eq(a.destroyed, 0);
	say(&s, HVSI_MSG_RELID_RELEASED, 1);
	cr_assert_eq(a.destroyed, 1);
	hvs_loopback_destroy(s.lb);
}

Test(hotplug, open_device_is_closed_before_its_embedder_is_told)
{
	struct dummy a = {.hold = true};
	struct site s = up(&a);
	struct hvs_guest_channel *ch;

	cr_assert_eq(hvs_guest_channel_open(s.g, hvs_guest_offer_at(s.g, 0), RING_BYTES, &ch), 0);
	take_away(&s, &a);
	expect_rescind(&s, 1);
	cr_assert_eq(a.done, 0);
	/* The guest may be done before the device is. */
	say(&s, HVSI_MSG_RELID_RELEASED, 1);
	cr_assert(a.done == 0 && a.destroyed == 0);
	hvs_channel_closed(a.ch);
	hvs_loopback_run(s.lb);
	cr_assert(a.done == 1 && a.destroyed == 1);
	hvs_loopback_destroy(s.lb);
}

Test(hotplug, relid_is_not_used_again_before_the_guest_lets_go)
{
	struct dummy a = {0};
	struct dummy b = {0};
	struct dummy c = {0};
	struct site s = up(&a);

	take_away(&s, &a);
	expect_rescind(&s, 1);
	add(&s, &b, 2);
	cr_assert_eq(expect_offer(&s), 2);
	say(&s, HVSI_MSG_RELID_RELEASED, 1);
	add(&s, &c, 3);
	cr_assert_eq(expect_offer(&s), 1);
	hvs_loopback_destroy(s.lb);
}

Test(hotplug, replacement_of_the_same_identity_waits_for_the_guest_to_let_go)
{
	struct dummy a = {0};
	struct dummy b = {0};
	struct site s = up(&a);
	const struct hvs_offer again = {HVS_OFFER_INIT, .class_id = {{0xd}}, .instance_id = {{1}}};
	struct hvs_device *dev;

	cr_assert_eq(hvs_device_offer(hvs_loopback_bus(s.lb), &again, &dummy_ops, &b, &dev),
		     -EEXIST);
	take_away(&s, &a);
	expect_rescind(&s, 1);
	add(&s, &b, 1);
	hvs_loopback_run(s.lb);
	cr_assert_null(hvs_guest_offer_at(s.g, 1));
	say(&s, HVSI_MSG_RELID_RELEASED, 1);
	cr_assert_eq(expect_offer(&s), 1);
	hvs_loopback_destroy(s.lb);
}

Test(hotplug, messages_that_cross_a_rescind_do_no_harm)
{
	struct dummy a = {0};
	struct site s = up(&a);
	struct hvsi_msg_open open = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL),
				     .relid = hvsi_le32(1)};
	uint64_t gpa;
	uint32_t id;

	cr_assert(hvs_loopback_alloc_pages(s.lb, 4, &gpa));
	take_away(&s, &a);
	expect_rescind(&s, 1);
	/* GPADLs are answered, so that the guest's wait ends; an open is not. */
	cr_assert_eq(hvs_guest_gpadl_create(s.g, 1, gpa, 16384, &id), 0);
	cr_assert_eq(hvs_guest_post(s.g, 1, &open, sizeof(open)), 0);
	say(&s, HVSI_MSG_CLOSECHANNEL, 1);
	cr_assert_eq(hvs_guest_gpadl_teardown(s.g, 1, id), 0);
	cr_assert_eq(hvs_loopback_count(s.lb)->faults, 0);
	cr_assert_eq(a.opened, 0);
	say(&s, HVSI_MSG_RELID_RELEASED, 1);
	cr_assert_eq(a.destroyed, 1);
	hvs_loopback_destroy(s.lb);
}

Test(hotplug, device_removed_before_its_offer_was_sent_is_never_heard_of)
{
	struct dummy a = {0};
	struct dummy b = {0};
	struct site s = up(&a);

	add(&s, &b, 2);
	cr_assert_eq(hvs_device_rescind(b.dev, on_done, &b), 0);
	hvs_loopback_run(s.lb);
	cr_assert(b.done == 1 && b.destroyed == 1);
	take_away(&s, &a);
	expect_rescind(&s, 1); /* and not one of b before */
	hvs_loopback_destroy(s.lb);
}

Test(hotplug, device_that_refuses_to_open_can_be_removed)
{
	struct dummy a = {.refuse = true};
	struct site s = up(&a);
	struct hvs_guest_channel *ch;

	cr_assert_eq(hvs_guest_channel_open(s.g, hvs_guest_offer_at(s.g, 0), RING_BYTES, &ch),
		     -EREMOTEIO);
	take_away(&s, &a);
	cr_assert_eq(a.done, 1);
	hvs_loopback_destroy(s.lb);
	cr_assert_eq(a.destroyed, 1);
}

Test(hotplug, removal_of_a_device_twice_is_refused)
{
	struct dummy a = {0};
	struct site s = up(&a);

	cr_assert_eq(hvs_device_rescind(NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_device_rescind(a.dev, NULL, NULL), 0);
	cr_assert_eq(hvs_device_rescind(a.dev, NULL, NULL), -EBUSY);
	hvs_loopback_destroy(s.lb);
}

Test(hotplug, device_removed_while_the_guest_disconnects_is_freed)
{
	struct dummy a = {.hold = true};
	struct site s = up(&a);
	struct hvs_guest_channel *ch;
	struct hvsi_msg unload = hvsi_msg_header(HVSI_MSG_UNLOAD);
	uint8_t buf[HVSI_MSG_MAX];

	cr_assert_eq(hvs_guest_channel_open(s.g, hvs_guest_offer_at(s.g, 0), RING_BYTES, &ch), 0);
	cr_assert_eq(hvs_guest_post(s.g, 1, &unload, sizeof(unload)), 0);
	hvs_loopback_run(s.lb);
	take_away(&s, &a);
	cr_assert_eq(a.done, 0);
	hvs_channel_closed(a.ch);
	hvs_loopback_run(s.lb);
	cr_assert(a.done == 1 && a.destroyed == 1);
	cr_assert_eq(hvs_guest_wait_message(s.g, HVSI_MSG_UNLOAD_RESPONSE, buf), 8);
	hvs_loopback_destroy(s.lb);
}

/* A guest that lets go late, or never until it disconnects. */
Test(hotplug, ten_thousand_devices_come_and_go_without_a_leak, .timeout = 60)
{
	enum { CYCLES = 10000, LATE = 100 };
	static struct dummy d[CYCLES];
	struct dummy first = {0};
	struct site s = up(&first);
	uint32_t relid[LATE];
	unsigned destroyed = 0;

	for (unsigned i = 0; i < CYCLES; i++) {
		add(&s, &d[i], 2 + i);
		if (i >= LATE)
			say(&s, HVSI_MSG_RELID_RELEASED, relid[i % LATE]);
		relid[i % LATE] = expect_offer(&s);
		for (unsigned j = 0; j < LATE && j < i; j++)
			cr_assert(j == i % LATE || relid[j] != relid[i % LATE]);
		take_away(&s, &d[i]);
		expect_rescind(&s, relid[i % LATE]);
	}
	cr_assert_eq(hvs_guest_unload(s.g), 0);
	for (unsigned i = 0; i < CYCLES; i++)
		destroyed += d[i].destroyed;
	cr_assert_eq(destroyed, CYCLES);
	cr_assert_eq(hvs_loopback_count(s.lb)->faults, 0);
	hvs_loopback_destroy(s.lb);
}
