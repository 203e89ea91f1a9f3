/* SPDX-License-Identifier: MIT */
/* Socket connections a guest asks for; protocol/vmbus.md 5.10. */
#include "support/multidev.h"

#include <criterion/criterion.h>
#include <errno.h>

#define REFUSED 0xc0000236u

/* What connect_request() does, and what it was asked. */
static struct {
	enum { LATER, REFUSE, REFUSE_INSIDE, OFFER_INSIDE } order;
	unsigned asked;
	struct hvs_connect_request last;
} embedder;

static int take_no_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
			void **ctx)
{
	(void)dev;
	(void)ch;
	(void)params;
	(void)ctx;
	return -EIO;
}

static bool no_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	(void)ch;
	(void)ctx;
	(void)budget;
	return false;
}

static void no_close(struct hvs_channel *ch, void *ctx)
{
	(void)ctx;
	hvs_channel_closed(ch);
}

/* The device that answers a request of endpoint e for service s. */
static void offer(struct testbus *b, uint8_t e, uint8_t s)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT, .open = take_no_open,
					       .ready = no_ready, .close = no_close};
	const struct hvs_offer o = {
		HVS_OFFER_INIT, .flags = HVS_OFFER_SOCKET | HVS_OFFER_PIPE | HVS_OFFER_INTERFACE,
		.class_id = {{s}}, .instance_id = {{e}}};
	struct hvs_device *d;

	cr_assert_eq(hvs_device_offer(b->bus, &o, &ops, NULL, &d), 0);
}

static int connect_request(void *be, const struct hvs_connect_request *request)
{
	struct testbus *b = be;

	embedder.asked++;
	embedder.last = *request;
	switch (embedder.order) {
	case LATER:
		return 0;
	case REFUSE:
		return -ECONNREFUSED;
	case REFUSE_INSIDE:
		return hvs_vmbus_refuse_connect(b->bus, &request->endpoint_id,
						&request->service_id);
	case OFFER_INSIDE:
		offer(b, request->endpoint_id.b[0], request->service_id.b[0]);
		return 0;
	}
	return -EINVAL;
}

static struct testbus *up(uint32_t version)
{
	static const struct bus_options opt = {.connect_request = connect_request};
	struct testbus *b = bus_up(&opt);

	memset(&embedder, 0, sizeof(embedder));
	bus_start(b);
	bus_connect(b, version);
	bus_offers(b, 0);
	return b;
}

static void ask(struct testbus *b, uint8_t e, uint8_t s)
{
	struct hvsi_msg_tl_connect msg = {.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST),
					  .endpoint_id = {{e}},
					  .service_id = {{s}}};

	bus_send(b, &msg, sizeof(msg));
}

static int refuse(struct testbus *b, uint8_t e, uint8_t s)
{
	int err =
		hvs_vmbus_refuse_connect(b->bus, &(struct hvs_guid){{e}}, &(struct hvs_guid){{s}});

	bus_run(b);
	return err;
}

static void expect_refused(struct testbus *b, uint8_t e, uint8_t s)
{
	struct hvsi_msg_tl_connect_result want = {
		.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST_RESULT),
		.endpoint_id = {{e}},
		.service_id = {{s}},
		.status = hvsi_le32(REFUSED)};

	bus_expect(b, &want, sizeof(want));
	bus_expect_nothing(b);
}

static void expect_offer(struct testbus *b, uint8_t e, uint8_t s)
{
	struct hvsi_msg_offer o;

	memcpy(&o, bus_take(b, HVSI_MSG_OFFERCHANNEL, sizeof(o)), sizeof(o));
	cr_assert_eq(o.class_id.b[0], s);
	cr_assert_eq(o.instance_id.b[0], e);
	cr_assert_eq(hvsi_get16(o.flags), 0x2011);
	bus_expect_nothing(b);
}

Test(tlconnect, nobody_who_could_decide_is_a_refusal)
{
	struct testbus *b = bus_up(NULL);

	bus_start(b);
	bus_connect(b, NEWEST);
	ask(b, 1, 2);
	expect_refused(b, 1, 2);
	cr_assert_eq(refuse(b, 1, 2), -ENOENT);
	bus_no_fault(b);
	bus_down(b);
}

Test(tlconnect, a_refusal_is_the_result_at_once_or_later)
{
	struct testbus *b = up(NEWEST);

	embedder.order = REFUSE;
	ask(b, 1, 2);
	expect_refused(b, 1, 2);
	embedder.order = REFUSE_INSIDE;
	ask(b, 1, 2);
	expect_refused(b, 1, 2);
	embedder.order = LATER;
	ask(b, 1, 2);
	bus_expect_nothing(b);
	cr_assert_eq(refuse(b, 2, 1), -ENOENT);
	cr_assert_eq(refuse(b, 1, 3), -ENOENT);
	cr_assert_eq(refuse(b, 3, 2), -ENOENT);
	cr_assert_eq(refuse(b, 1, 2), 0);
	expect_refused(b, 1, 2);
	cr_assert_eq(refuse(b, 1, 2), -ENOENT);
	cr_assert_eq(embedder.asked, 3);
	bus_no_fault(b);
	bus_down(b);
}

Test(tlconnect, arguments_are_checked)
{
	struct testbus *b = up(NEWEST);
	const struct hvs_guid guid = {{1}};

	cr_assert_eq(hvs_vmbus_refuse_connect(NULL, &guid, &guid), -EINVAL);
	cr_assert_eq(hvs_vmbus_refuse_connect(b->bus, NULL, &guid), -EINVAL);
	cr_assert_eq(hvs_vmbus_refuse_connect(b->bus, &guid, NULL), -EINVAL);
	bus_down(b);
}

Test(tlconnect, a_device_with_both_guids_is_the_answer_and_there_is_no_result)
{
	struct testbus *b = up(NEWEST);

	embedder.order = OFFER_INSIDE;
	ask(b, 1, 2);
	expect_offer(b, 1, 2);
	cr_assert_eq(refuse(b, 1, 2), -ENOENT);
	embedder.order = LATER;
	ask(b, 3, 2);
	offer(b, 4, 2); /* another endpoint's */
	bus_run(b);
	expect_offer(b, 4, 2);
	offer(b, 3, 2);
	bus_run(b);
	expect_offer(b, 3, 2);
	cr_assert_eq(refuse(b, 3, 2), -ENOENT);
	bus_down(b);
}

Test(tlconnect, sixteen_wait_and_the_next_is_refused_until_one_is_answered)
{
	struct testbus *b = up(NEWEST);

	for (uint8_t e = 1; e <= 16; e++)
		ask(b, e, 2);
	bus_expect_nothing(b);
	cr_assert_eq(embedder.asked, 16);
	ask(b, 17, 2);
	expect_refused(b, 17, 2);
	cr_assert_eq(embedder.asked, 16, "nobody is bothered with it");
	cr_assert_eq(refuse(b, 5, 2), 0);
	expect_refused(b, 5, 2);
	ask(b, 17, 2);
	bus_expect_nothing(b);
	offer(b, 9, 2);
	bus_run(b);
	expect_offer(b, 9, 2);
	ask(b, 18, 2);
	bus_expect_nothing(b);
	cr_assert_eq(embedder.asked, 18);
	ask(b, 19, 2);
	expect_refused(b, 19, 2);
	bus_down(b);
}

Test(tlconnect, the_same_request_twice_is_refused_and_the_first_goes_on)
{
	struct testbus *b = up(NEWEST);

	ask(b, 1, 2);
	ask(b, 1, 2);
	expect_refused(b, 1, 2);
	cr_assert_eq(embedder.asked, 1);
	offer(b, 1, 2);
	bus_run(b);
	expect_offer(b, 1, 2);
	bus_down(b);
}

Test(tlconnect, a_refusal_that_waits_for_the_slot_is_sent_once)
{
	struct testbus *b = up(NEWEST);

	ask(b, 1, 2);
	b->slot_busy = true;
	cr_assert_eq(refuse(b, 1, 2), 0);
	cr_assert_eq(refuse(b, 1, 2), -ENOENT);
	bus_expect_nothing(b);
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	expect_refused(b, 1, 2);
	bus_down(b);
}

Test(tlconnect, a_connection_that_goes_takes_its_requests_with_it)
{
	struct testbus *b = up(NEWEST);

	for (uint8_t e = 1; e <= 16; e++)
		ask(b, e, 2);
	bus_unload(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	for (uint8_t e = 1; e <= 16; e++)
		cr_assert_eq(refuse(b, e, 2), -ENOENT);
	bus_expect_nothing(b);
	bus_connect(b, NEWEST);
	for (uint8_t e = 1; e <= 16; e++)
		ask(b, e, 2);
	bus_expect_nothing(b);
	bus_connect(b, NEWEST); /* the same without an UNLOAD */
	cr_assert_eq(refuse(b, 3, 2), -ENOENT);
	bus_down(b);
}

/* The embedder answers while a device still holds the old connection. */
Test(tlconnect, an_answer_while_the_connection_goes_is_not_sent)
{
	static const struct bus_options opt = {.connect_request = connect_request};
	struct multidev m = {.chan[0].hold_close = true};
	struct testbus *b = bus_up(&opt);

	memset(&embedder, 0, sizeof(embedder));
	multi_offer(b, &m, 1, &(struct multi_options){0});
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	ask(b, 1, 2);
	ask(b, 2, 2);
	bus_unload(b);
	cr_assert_eq(refuse(b, 1, 2), 0);
	offer(b, 2, 2);
	bus_run(b);
	bus_expect_nothing(b);
	multi_finish(&m, 0);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(tlconnect, version_4_0_gets_no_result_but_the_device)
{
	struct testbus *b = up(V(4, 0));

	embedder.order = REFUSE;
	ask(b, 1, 2);
	bus_expect_nothing(b);
	embedder.order = LATER;
	ask(b, 1, 2);
	cr_assert_eq(refuse(b, 1, 2), 0);
	bus_expect_nothing(b);
	cr_assert_eq(refuse(b, 1, 2), -ENOENT);
	for (uint8_t e = 1; e <= 17; e++)
		ask(b, e, 2);
	bus_expect_nothing(b);
	cr_assert_eq(embedder.asked, 2 + 16);
	offer(b, 1, 2);
	bus_run(b);
	expect_offer(b, 1, 2);
	bus_no_fault(b);
	bus_down(b);
}
