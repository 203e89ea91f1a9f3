/* SPDX-License-Identifier: MIT */
/* Reserved channels: for a guest that crashes; protocol/vmbus.md 5.10. */
#include "support/alloc.h"
#include "support/multidev.h"

#include <criterion/criterion.h>
#include <errno.h>

#define NO_VP 99u

static const struct multi_options plain = {.max_subchannels = 1};

static void send_open_at(struct testbus *b, uint32_t relid, uint32_t vp, uint32_t sint)
{
	struct hvsi_msg_open_reserved msg = {.h = hvsi_msg_header(HVSI_MSG_OPEN_RESERVED_CHANNEL),
					     .relid = hvsi_le32(relid),
					     .target_vp = hvsi_le32(vp),
					     .target_sint = hvsi_le32(sint),
					     .gpadl_id = hvsi_le32(MULTI_GPADL(relid)),
					     .downstream_page = hvsi_le32(MULTI_SPLIT)};

	bus_send(b, &msg, sizeof(msg));
}

static void send_close_at(struct testbus *b, uint32_t relid, uint32_t vp, uint32_t sint)
{
	struct hvsi_msg_close_reserved msg = {.h = hvsi_msg_header(HVSI_MSG_CLOSE_RESERVED_CHANNEL),
					      .relid = hvsi_le32(relid),
					      .target_vp = hvsi_le32(vp),
					      .target_sint = hvsi_le32(sint)};

	bus_send(b, &msg, sizeof(msg));
}

static void expect_opened_at(struct testbus *b, uint32_t relid, uint32_t status, uint32_t vp,
			     uint8_t sint)
{
	const struct bus_post *p = bus_take_post(b, HVSI_MSG_OPENCHANNEL_RESULT, 20);
	struct hvsi_msg_open_result r;

	memcpy(&r, p->bytes, sizeof(r));
	cr_assert_eq(hvsi_get32(r.relid), relid);
	cr_assert_eq(hvsi_get32(r.open_id), 0);
	cr_assert_eq(hvsi_get32(r.status), status);
	cr_assert_eq(p->vp, vp);
	cr_assert_eq(p->sint, sint);
}

static void expect_closed_at(struct testbus *b, uint32_t relid, uint32_t vp, uint8_t sint)
{
	const struct bus_post *p = bus_take_post(b, HVSI_MSG_CLOSE_RESERVED_RESPONSE, 12);
	struct hvsi_msg_relid r;

	memcpy(&r, p->bytes, sizeof(r));
	cr_assert_eq(hvsi_get32(r.relid), relid);
	cr_assert_eq(p->vp, vp);
	cr_assert_eq(p->sint, sint);
}

static void unload(struct testbus *b)
{
	bus_unload(b);
	bus_run_all(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
}

/* Connected, offered, GPADL made. */
static struct testbus *closed(struct multidev *m, const struct multi_options *opt,
			      const struct bus_options *bus_opt)
{
	struct testbus *b = bus_up(bus_opt);

	multi_offer(b, m, 1, opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_gpadl(b, 1);
	return b;
}

/* And opened through VP 1, SINT 5. */
static struct testbus *opened(struct multidev *m)
{
	struct testbus *b = closed(m, &plain, NULL);

	send_open_at(b, 1, 1, 5);
	expect_opened_at(b, 1, 0, 1, 5);
	bus_no_fault(b);
	return b;
}

/* Its device on a worker that does not run yet; OPEN_RESERVED was sent. */
static struct testbus *opening(struct multidev *m)
{
	struct testbus *b = bus_up(NULL);
	const struct multi_options opt = {.worker = bus_worker(b)};

	multi_offer(b, m, 1, &opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_gpadl(b, 1);
	send_open_at(b, 1, 1, 5);
	bus_expect_nothing(b);
	return b;
}

/* The channel is like any other: the guest opens and closes it. */
static void works(struct testbus *b, struct multidev *m, uint32_t relid)
{
	unsigned opens = m->chan[0].opens;

	multi_open(b, relid);
	cr_assert_eq(m->chan[0].opens, opens + 1);
	multi_close(b, relid);
	bus_expect_nothing(b);
}

/* A new connection is offered the device, with a relid of its own, and it works. */
static void works_on_a_new_connection(struct testbus *b, struct multidev *m)
{
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	works(b, m, 1);
	bus_no_fault(b);
}

/* ---- opening ---------------------------------------------------------------------------------- */

Test(reserved, packets_are_taken_and_the_guest_is_never_interrupted)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m);
	struct guest_rings r;

	cr_assert_eq(m.chan[0].params.target_vp, UINT32_MAX);
	rings_attach(b, &r, MULTI_FIRST(1), MULTI_SPLIT, MULTI_PAGES);
	multi_packet(b, 1, &r);
	cr_assert_eq(m.chan[0].received, 1);
	cr_assert_eq(b->signals, 0);
	send_close_at(b, 1, 0, 3);
	expect_closed_at(b, 1, 0, 3);
	bus_teardown(b, 1, MULTI_GPADL(1));
	bus_expect_torndown(b, MULTI_GPADL(1));
	works(b, &m, 1);
	bus_no_fault(b);
	bus_down(b);
}

Test(reserved, answers_go_where_the_message_says_or_where_all_others_go)
{
	static const struct {
		uint32_t vp;
		uint32_t sint;
		uint32_t got_vp;
		uint8_t got_sint;
	} cases[] = {{0, 2, 0, 2}, {1, 0, 1, 0},          {1, 15, 1, 15}, {1, 16, 0, 2},
		     {2, 5, 0, 2}, {UINT32_MAX, 5, 0, 2}, {0, 258, 0, 2}, {0, UINT32_MAX, 0, 2}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct multidev m = {0};
		struct testbus *b = closed(&m, &plain, NULL);

		send_open_at(b, 1, cases[i].vp, cases[i].sint);
		expect_opened_at(b, 1, 0, cases[i].got_vp, cases[i].got_sint);
		send_open_at(b, 7, cases[i].vp, cases[i].sint); /* there is none */
		expect_opened_at(b, 7, HVSI_STATUS_FAILED, cases[i].got_vp, cases[i].got_sint);
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 7);
		send_close_at(b, 1, cases[i].vp, cases[i].sint);
		expect_closed_at(b, 1, cases[i].got_vp, cases[i].got_sint);
		send_close_at(b, 7, cases[i].vp, cases[i].sint);
		expect_closed_at(b, 7, cases[i].got_vp, cases[i].got_sint);
		/* Ordinary answers go the ordinary way again. */
		multi_send_open(b, 1);
		bus_expect_opened(b, 1, 1, 0);
		bus_down(b);
	}
}

Test(reserved, messages_of_ordinary_channels_do_not_touch_it)
{
	struct hvsi_msg_modify_channel modify = {.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL),
						 .relid = hvsi_le32(1)};
	struct multidev m = {0};
	struct testbus *b = opened(&m);

	bus_close(b, 1);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	multi_release(b, 1);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	bus_send(b, &modify, sizeof(modify));
	bus_take(b, HVSI_MSG_MODIFYCHANNEL_RESPONSE, 16);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	send_open_at(b, 1, 1, 5);
	expect_opened_at(b, 1, HVSI_STATUS_FAILED, 1, 5);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	bus_send_gpadl(b, 1, 9, 100, 4);
	bus_expect_created(b, 1, 9, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	cr_assert(m.chan[0].open);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(reserved, an_open_channel_can_not_be_opened_once_more_as_reserved)
{
	struct multidev m = {0};
	struct testbus *b = closed(&m, &plain, NULL);

	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	send_open_at(b, 1, 1, 5);
	expect_opened_at(b, 1, HVSI_STATUS_FAILED, 1, 5);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	/* What is not open as reserved is closed as reserved at once. */
	send_close_at(b, 1, 1, 5);
	expect_closed_at(b, 1, 1, 5);
	cr_assert(m.chan[0].open);
	bus_down(b);
}

Test(reserved, a_bad_ring_or_a_device_that_refuses_leave_an_ordinary_closed_channel)
{
	struct multidev m = {0};
	struct testbus *b = closed(&m, &plain, NULL);

	bus_teardown(b, 1, MULTI_GPADL(1));
	bus_expect_torndown(b, MULTI_GPADL(1));
	send_open_at(b, 1, 1, 5);
	expect_opened_at(b, 1, HVSI_STATUS_FAILED, 1, 5);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	multi_gpadl(b, 1);
	m.chan[0].open_result = -ENODEV;
	send_open_at(b, 1, 1, 5);
	expect_opened_at(b, 1, HVSI_STATUS_FAILED, 1, 5);
	m.chan[0].open_result = 0;
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	bus_no_fault(b);
	bus_down(b);
}

Test(reserved, it_has_no_sub_channels)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m);

	cr_assert_eq(multi_ask(&m, 1), 0);
	bus_expect_nothing(b);
	/* Nor has the next open, which did not ask. */
	send_close_at(b, 1, 1, 5);
	expect_closed_at(b, 1, 1, 5);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	bus_expect_nothing(b);
	bus_down(b);
}

/* ---- the connection goes and comes ------------------------------------------------------------ */

Test(reserved, outlives_unload_and_the_next_connection_is_offered_it_when_it_closes)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m);
	struct guest_rings r;

	rings_attach(b, &r, MULTI_FIRST(1), MULTI_SPLIT, MULTI_PAGES);
	unload(b);
	multi_packet(b, 1, &r);
	cr_assert_eq(m.chan[0].received, 1);
	bus_connect(b, NEWEST);
	bus_offers(b, 0); /* it is in use */
	multi_packet(b, 1, &r);
	cr_assert_eq(m.chan[0].received, 2);
	send_close_at(b, 1, 1, 5);
	expect_closed_at(b, 1, 1, 5);
	multi_expect_offer(b, 1, 0);
	cr_assert_eq(m.chan[0].closes, 1);
	works(b, &m, 1); /* its GPADL is gone, too: the id can be used again */
	bus_no_fault(b);
	bus_down(b);
}

Test(reserved, outlives_a_contact_on_the_live_connection_and_keeps_its_relid)
{
	struct multidev m = {0};
	struct multidev other = {0};
	struct testbus *b = bus_up(NULL);

	multi_offer(b, &m, 1, &plain);
	multi_offer(b, &other, 2, &plain);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 2);
	multi_gpadl(b, 1);
	send_open_at(b, 1, 1, 5);
	expect_opened_at(b, 1, 0, 1, 5);
	multi_open(b, 2);
	for (unsigned i = 0; i < 3; i++) {
		bus_connect(b, NEWEST);
		cr_assert(m.chan[0].open);
		cr_assert_not(other.chan[0].open);
		bus_send(b, &(struct hvsi_msg){.type = hvsi_le32(HVSI_MSG_REQUESTOFFERS)}, 8);
		multi_expect_offer(b, 2, 0); /* never the relid that is in use */
		bus_take(b, HVSI_MSG_ALLOFFERS_DELIVERED, 8);
		multi_open(b, 2);
	}
	bus_no_fault(b);
	bus_down(b);
}

Test(reserved, closed_while_disconnected_is_answered_when_the_device_has_let_go)
{
	struct multidev m = {.chan[0].hold_close = true};
	struct testbus *b = opened(&m);

	unload(b);
	send_close_at(b, 1, 0, 9);
	bus_expect_nothing(b);
	multi_finish(&m, 0);
	expect_closed_at(b, 1, 0, 9);
	m.chan[0].hold_close = false;
	works_on_a_new_connection(b, &m);
	bus_down(b);
}

Test(reserved, unload_is_answered_while_a_reserved_channel_closes)
{
	struct multidev m = {.chan[0].hold_close = true};
	struct testbus *b = opened(&m);

	send_close_at(b, 1, 0, 9);
	unload(b);
	multi_finish(&m, 0);
	expect_closed_at(b, 1, 0, 9);
	m.chan[0].hold_close = false;
	works_on_a_new_connection(b, &m);
	bus_down(b);
}

Test(reserved, a_close_can_come_while_the_connection_goes)
{
	struct multidev m = {0};
	struct multidev slow = {.chan[0].hold_close = true};
	struct testbus *b = bus_up(NULL);

	multi_offer(b, &m, 1, &plain);
	multi_offer(b, &slow, 2, &plain);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 2);
	multi_gpadl(b, 1);
	send_open_at(b, 1, 1, 5);
	expect_opened_at(b, 1, 0, 1, 5);
	multi_open(b, 2);
	bus_unload(b);
	bus_expect_nothing(b);
	send_close_at(b, 1, 1, 5);
	expect_closed_at(b, 1, 1, 5);
	bus_expect_nothing(b);
	multi_finish(&slow, 0);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_down(b);
}

Test(reserved, opened_while_the_connection_goes_is_open_all_the_same)
{
	struct multidev m = {0};
	struct testbus *b = opening(&m);
	struct guest_rings r;

	rings_attach(b, &r, MULTI_FIRST(1), MULTI_SPLIT, MULTI_PAGES);
	bus_unload(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_run_all(b);
	expect_opened_at(b, 1, 0, 1, 5);
	cr_assert(m.chan[0].open);
	multi_packet(b, 1, &r);
	cr_assert_eq(m.chan[0].received, 1);
	send_close_at(b, 1, 1, 5);
	bus_run_all(b);
	expect_closed_at(b, 1, 1, 5);
	works_on_a_new_connection(b, &m);
	bus_down(b);
}

Test(reserved, a_device_that_refuses_while_disconnected_is_answered_and_offered_again)
{
	struct multidev m = {.chan[0].open_result = -ENODEV};
	struct testbus *b = opening(&m);

	bus_unload(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_run_all(b);
	expect_opened_at(b, 1, HVSI_STATUS_FAILED, 1, 5);
	m.chan[0].open_result = 0;
	works_on_a_new_connection(b, &m);
	bus_down(b);
}

Test(reserved, what_waits_for_the_slot_is_not_lost_with_the_connection)
{
	struct hvsi_msg pause = hvsi_msg_header(HVSI_MSG_PAUSE);
	struct hvsi_msg unload_msg = hvsi_msg_header(HVSI_MSG_UNLOAD);
	/* Through a place of their own, and through the one of all others. */
	static const uint32_t vps[] = {1, NO_VP};

	for (size_t i = 0; i < sizeof(vps) / sizeof(vps[0]); i++) {
		struct multidev m = {0};
		struct testbus *b = bus_up(NULL);
		const struct multi_options opt = {.worker = bus_worker(b)};
		struct hvsi_msg_initiate_contact contact = {
			.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
			.version = hvsi_le32(V(6, 0)),
			.sint = 2,
			.features = hvsi_le32(HVSI_FEATURE_PAUSE_RESUME)};

		multi_offer(b, &m, 1, &opt);
		bus_start(b);
		bus_send(b, &contact, sizeof(contact));
		bus_take(b, HVSI_MSG_VERSION_RESPONSE, 20);
		bus_offers(b, 1);
		multi_gpadl(b, 1);
		send_open_at(b, 1, vps[i], 5);
		bus_send(b, &pause, sizeof(pause));
		bus_take(b, HVSI_MSG_PAUSE_RESPONSE, 8);
		bus_run_all(b); /* it is open; the guest wants no messages */
		bus_expect_nothing(b);
		cr_assert(m.chan[0].open);
		bus_send(b, &unload_msg, sizeof(unload_msg));
		bus_run_all(b);
		expect_opened_at(b, 1, 0, vps[i] == 1 ? 1 : 0, vps[i] == 1 ? 5 : 2);
		bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
		send_close_at(b, 1, 1, 5);
		bus_run_all(b);
		expect_closed_at(b, 1, 1, 5);
		works_on_a_new_connection(b, &m);
		bus_down(b);
	}
}

/* ---- closing ---------------------------------------------------------------------------------- */

Test(reserved, closed_while_it_opens_is_answered_twice_in_order)
{
	for (int result = 0; result >= -ENODEV; result -= ENODEV) {
		struct multidev m = {.chan[0].open_result = result};
		struct testbus *b = opening(&m);

		send_close_at(b, 1, 0, 7);
		bus_expect_nothing(b);
		bus_run_all(b);
		expect_opened_at(b, 1, result ? HVSI_STATUS_FAILED : 0, 1, 5);
		expect_closed_at(b, 1, 0, 7);
		cr_assert_eq(m.chan[0].closes, result == 0);
		m.chan[0].open_result = 0;
		bus_teardown(b, 1, MULTI_GPADL(1));
		bus_expect_torndown(b, MULTI_GPADL(1));
		works(b, &m, 1);
		bus_no_fault(b);
		bus_down(b);
	}
}

/* An early answer would have the guest use the ring's memory for something else. */
Test(reserved, closed_twice_is_answered_twice_and_not_before_the_device_has_let_go)
{
	struct multidev m = {.chan[0].hold_close = true};
	struct testbus *b = opened(&m);

	send_close_at(b, 1, 0, 7);
	send_close_at(b, 1, 1, 8);
	bus_expect_nothing(b);
	multi_finish(&m, 0);
	expect_closed_at(b, 1, 1, 8);
	expect_closed_at(b, 1, 1, 8);
	cr_assert_eq(m.chan[0].closes, 1);
	m.chan[0].hold_close = false;
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	bus_down(b);
}

Test(reserved, its_gpadl_is_torn_down_when_it_is_closed)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m);

	bus_teardown(b, 1, MULTI_GPADL(1));
	bus_expect_nothing(b);
	send_close_at(b, 1, 1, 5);
	bus_expect_torndown(b, MULTI_GPADL(1));
	expect_closed_at(b, 1, 1, 5);
	works(b, &m, 1);
	bus_down(b);
}

/* ---- reset ------------------------------------------------------------------------------------ */

static void on_reset(void *arg, int status)
{
	cr_assert_eq(status, 0);
	*(bool *)arg = true;
}

Test(reserved, reset_closes_it_in_every_state_without_a_word)
{
	enum {
		OPENING,
		OPENING_REFUSED,
		OPENING_CLOSE_ASKED,
		OPEN,
		RESULT_WAITS,
		REFUSAL_WAITS,
		LIMIT_REFUSAL_WAITS,
		CLOSING,
		CLOSE_ANSWER_WAITS,
		DISCONNECTED,
		STATES
	};

	for (unsigned state = 0; state < STATES; state++) {
		struct test_alloc a = TEST_ALLOC_INIT;
		struct bus_options bus_opt = {.alloc = test_allocator(&a)};
		struct multidev m = {0};
		struct testbus *b = bus_up(&bus_opt);
		const struct multi_options opt = {.worker = bus_worker(b)};
		bool done = false;

		multi_offer(b, &m, 1, &opt);
		bus_start(b);
		bus_connect(b, NEWEST);
		bus_offers(b, 1);
		multi_gpadl(b, 1);
		if (state == OPENING_REFUSED || state == REFUSAL_WAITS)
			m.chan[0].open_result = -ENODEV;
		if (state == CLOSING)
			m.chan[0].hold_close = true;
		b->slot_busy = state == RESULT_WAITS || state == REFUSAL_WAITS ||
			       state == LIMIT_REFUSAL_WAITS;
		if (state == LIMIT_REFUSAL_WAITS)
			a.fail_at = a.calls; /* no memory for the views */
		send_open_at(b, 1, 1, 5);
		if (state == OPENING_CLOSE_ASKED)
			send_close_at(b, 1, 1, 5);
		if (state > OPENING_CLOSE_ASKED)
			bus_run_all(b);
		if (state == OPEN || state >= CLOSING)
			expect_opened_at(b, 1, 0, 1, 5);
		b->slot_busy = b->slot_busy || state == CLOSE_ANSWER_WAITS;
		if (state == CLOSING || state == CLOSE_ANSWER_WAITS) {
			send_close_at(b, 1, 1, 5);
			bus_run_all(b);
		}
		if (state == DISCONNECTED)
			unload(b);
		bus_expect_nothing(b);

		cr_assert_eq(hvs_vmbus_reset(b->bus, on_reset, &done), 0);
		bus_run_all(b);
		if (state == CLOSING) {
			cr_assert_not(done);
			multi_finish(&m, 0);
		}
		cr_assert(done, "state %u", state);
		b->slot_busy = false;
		m.chan[0].open_result = 0;
		m.chan[0].hold_close = false;
		b->faults = 0;
		bus_expect_nothing(b);
		works_on_a_new_connection(b, &m);
		bus_down(b);
		cr_assert_eq(a.live, 0);
	}
}

/* ---- the device goes -------------------------------------------------------------------------- */

Test(reserved, its_device_can_go_while_it_is_open)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m);

	multi_rescind(&m);
	multi_expect_rescind(b, 1);
	cr_assert_eq(m.done, 1);
	/* Nothing is open any more: answered at once. */
	send_close_at(b, 1, 1, 5);
	expect_closed_at(b, 1, 1, 5);
	multi_release(b, 1);
	cr_assert_eq(m.destroys, 1);
	bus_no_fault(b);
	bus_down(b);
}

Test(reserved, its_device_can_go_while_the_guest_is_disconnected)
{
	struct multidev m = {.chan[0].hold_close = true};
	struct testbus *b = opened(&m);

	unload(b);
	multi_rescind(&m);
	send_close_at(b, 1, 1, 5);
	bus_expect_nothing(b); /* nobody was told of a RESCIND */
	cr_assert_eq(m.done, 0);
	multi_finish(&m, 0);
	expect_closed_at(b, 1, 1, 5);
	cr_assert_eq(m.done, 1);
	cr_assert_eq(m.destroys, 1);
	bus_connect(b, NEWEST);
	bus_offers(b, 0);
	bus_down(b);
}

Test(reserved, its_device_can_go_while_it_opens)
{
	/* The guest asks for the close, or lets go, or has gone. */
	enum { CLOSES, LETS_GO, UNLOADED, WAYS };

	for (unsigned way = 0; way < WAYS; way++)
		for (int result = 0; result >= -ENODEV; result -= ENODEV) {
			struct multidev m = {.chan[0].open_result = result};
			struct testbus *b = opening(&m);

			if (way == UNLOADED) {
				bus_unload(b);
				bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
			}
			if (way == CLOSES)
				send_close_at(b, 1, 0, 7);
			multi_rescind(&m);
			if (way != UNLOADED)
				multi_expect_rescind(b, 1);
			cr_assert_eq(m.chan[0].opens, 1);
			cr_assert_not(m.chan[0].open);
			/* A guest that polls for the result gets one, RESCIND or not. */
			expect_opened_at(b, 1, HVSI_STATUS_FAILED, 1, 5);
			if (way == CLOSES)
				expect_closed_at(b, 1, 0, 7);
			bus_expect_nothing(b);
			cr_assert_eq(m.done, 1, "way %u, result %d", way, result);
			if (way != UNLOADED)
				multi_release(b, 1);
			cr_assert_eq(m.destroys, 1, "way %u, result %d", way, result);
			bus_no_fault(b);
			bus_down(b);
		}
}

Test(reserved, its_device_can_go_while_a_result_waits_for_the_slot)
{
	for (int result = 0; result >= -ENODEV; result -= ENODEV) {
		struct multidev m = {.chan[0].open_result = result};
		struct testbus *b = closed(&m, &plain, NULL);

		b->slot_busy = true;
		send_open_at(b, 1, 1, 5);
		multi_rescind(&m);
		b->slot_busy = false;
		hvs_vmbus_slot_free(b->bus, 0);
		bus_run_all(b);
		expect_opened_at(b, 1, result ? HVSI_STATUS_FAILED : 0, 1, 5);
		multi_expect_rescind(b, 1);
		bus_expect_nothing(b);
		send_close_at(b, 1, 1, 5);
		expect_closed_at(b, 1, 1, 5);
		cr_assert_eq(m.done, 1);
		multi_release(b, 1);
		cr_assert_eq(m.destroys, 1);
		bus_down(b);
	}
}
