/* SPDX-License-Identifier: MIT */
/* Sub-channels: offered on request, withdrawn with their primary; protocol/vmbus.md 5.12. */
#include "support/alloc.h"
#include "support/multidev.h"

#include <criterion/criterion.h>
#include <errno.h>

static const struct multi_options three = {.max_subchannels = 3};

/* Connected, the primary (relid 1) open. */
static struct testbus *primary_open(struct multidev *m, const struct multi_options *opt,
				    const struct bus_options *bus_opt)
{
	struct testbus *b = bus_up(bus_opt);

	multi_offer(b, m, 1, opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	return b;
}

/* And `count` sub-channels offered, as relids 2.. */
static struct testbus *offered(struct multidev *m, unsigned count)
{
	struct testbus *b = primary_open(m, &three, NULL);

	cr_assert_eq(multi_ask(m, count), 0);
	for (unsigned i = 1; i <= count; i++)
		multi_expect_offer(b, i + 1, (uint16_t)i);
	bus_expect_nothing(b);
	return b;
}

/* ---- offers ----------------------------------------------------------------------------------- */

Test(subchannels, none_is_offered_before_the_device_asks)
{
	struct multidev m = {0};
	struct testbus *b = primary_open(&m, &three, NULL);

	bus_expect_nothing(b);
	bus_down(b);
}

Test(subchannels, offers_have_the_primarys_guids_their_index_and_a_relid_of_their_own)
{
	struct multidev m = {0};
	struct testbus *b = offered(&m, 3);

	bus_no_fault(b);
	bus_down(b);
}

Test(subchannels, more_may_be_asked_for_later_and_those_there_stay)
{
	struct multidev m = {0};
	struct testbus *b = offered(&m, 1);

	cr_assert_eq(multi_ask(&m, 3), 0);
	multi_expect_offer(b, 3, 2);
	multi_expect_offer(b, 4, 3);
	cr_assert_eq(multi_ask(&m, 1), 0);
	cr_assert_eq(multi_ask(&m, 0), 0);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(subchannels, asking_for_more_than_the_offer_said_is_an_error)
{
	struct multidev m = {0};
	struct testbus *b = primary_open(&m, &three, NULL);

	cr_assert_eq(multi_ask(&m, 4), -EINVAL);
	cr_assert_eq(multi_ask(&m, UINT32_MAX), -EINVAL);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(subchannels, a_sub_channel_has_none_and_a_closed_primary_gets_none)
{
	struct multidev m = {.chan[0].hold_close = true};
	struct testbus *b = offered(&m, 1);

	multi_open(b, 2);
	cr_assert_eq(hvs_channel_offer_subchannels(m.chan[1].ch, 1), -EINVAL);
	multi_close(b, 1);
	multi_expect_rescind(b, 2);
	cr_assert_eq(hvs_channel_offer_subchannels(m.chan[0].ch, 1), -ESHUTDOWN);
	multi_finish(&m, 0);
	cr_assert_eq(hvs_channel_offer_subchannels(m.chan[0].ch, 1), -ESHUTDOWN);
	bus_down(b);
}

Test(subchannels, guests_before_2_4_are_offered_none)
{
	static const uint32_t old[] = {V(0, 13), V(1, 1)};

	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		struct multidev m = {0};
		struct testbus *b = bus_up(NULL);

		multi_offer(b, &m, 1, &three);
		bus_start(b);
		bus_connect(b, old[i]);
		bus_offers(b, 1);
		multi_open(b, 1);
		cr_assert_eq(multi_ask(&m, 3), 0);
		bus_expect_nothing(b);
		bus_down(b);
	}
}

Test(subchannels, requestoffers_names_only_primaries)
{
	struct multidev m[2] = {{0}};
	struct testbus *b = bus_up(NULL);

	multi_offer(b, &m[0], 1, &three);
	multi_offer(b, &m[1], 2, &three);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 2);
	bus_down(b);
}

/* ---- use -------------------------------------------------------------------------------------- */

Test(subchannels, each_runs_on_its_worker_and_carries_its_own_packets)
{
	struct multidev m = {0};
	struct testbus *b = bus_up(NULL);
	struct hvs_worker *w[3] = {bus_worker(b), bus_worker(b), bus_worker(b)};
	const struct multi_options opt = {.max_subchannels = 3,
					  .worker = w[0],
					  .subchannel_workers = w + 1,
					  .subchannel_worker_count = 2};
	struct guest_rings r;

	multi_offer(b, &m, 1, &opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	cr_assert_eq(multi_ask(&m, 3), 0);
	for (uint32_t i = 1; i <= 3; i++)
		multi_expect_offer(b, i + 1, (uint16_t)i);
	for (uint32_t i = 1; i <= 3; i++) {
		multi_open(b, i + 1);
		cr_assert_eq(m.chan[i].params.subchannel, i);
	}
	cr_assert_eq(m.chan[0].ran_on, w[0]);
	cr_assert_eq(m.chan[1].ran_on, w[1]);
	cr_assert_eq(m.chan[2].ran_on, w[2]);
	cr_assert_eq(m.chan[3].ran_on, w[1]);
	for (uint32_t i = 0; i <= 3; i++) {
		rings_attach(b, &r, MULTI_FIRST(i + 1), MULTI_SPLIT, MULTI_PAGES);
		multi_packet(b, i + 1, &r);
		for (uint32_t j = 0; j <= 3; j++)
			cr_assert_eq(m.chan[j].received, j <= i);
	}
	bus_no_fault(b);
	bus_down(b);
}

Test(subchannels, without_workers_of_their_own_they_run_on_the_primarys)
{
	struct multidev m = {0};
	struct testbus *b = bus_up(NULL);
	const struct multi_options opt = {.max_subchannels = 1, .worker = bus_worker(b)};

	multi_offer(b, &m, 1, &opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	cr_assert_eq(multi_ask(&m, 1), 0);
	multi_expect_offer(b, 2, 1);
	multi_open(b, 2);
	cr_assert_eq(m.chan[1].ran_on, opt.worker);
	bus_down(b);
}

Test(subchannels, one_closes_and_opens_again_without_the_others)
{
	struct multidev m = {0};
	struct testbus *b = offered(&m, 2);

	multi_open(b, 2);
	multi_open(b, 3);
	multi_close(b, 2);
	cr_assert(m.chan[0].open && !m.chan[1].open && m.chan[2].open);
	multi_send_open(b, 2);
	bus_expect_opened(b, 2, 2, 0);
	cr_assert_eq(m.chan[1].opens, 2);
	bus_down(b);
}

Test(subchannels, a_refused_one_leaves_the_others_alone)
{
	struct multidev m = {.chan[1].open_result = -ENODEV};
	struct testbus *b = offered(&m, 2);

	multi_gpadl(b, 2);
	multi_send_open(b, 2);
	bus_expect_opened(b, 2, 2, HVSI_STATUS_FAILED);
	multi_open(b, 3);
	cr_assert(m.chan[0].open && !m.chan[1].open && m.chan[2].open);
	bus_down(b);
}

/* ---- withdrawing ------------------------------------------------------------------------------ */

Test(subchannels, closing_the_primary_withdraws_them_and_a_new_request_offers_them_again)
{
	struct multidev m = {0};
	struct testbus *b = offered(&m, 2);

	multi_open(b, 2); /* 3 stays closed */
	multi_close(b, 1);
	multi_expect_rescind(b, 3);
	multi_expect_rescind(b, 2);
	bus_expect_nothing(b);
	cr_assert_eq(m.chan[1].closes, 1);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	bus_expect_nothing(b);
	/* Asked for before the guest has let go: offered when it has. */
	multi_release(b, 3);
	cr_assert_eq(multi_ask(&m, 2), 0);
	multi_expect_offer(b, 3, 2);
	bus_expect_nothing(b);
	multi_release(b, 2);
	multi_expect_offer(b, 2, 1);
	multi_open(b, 2);
	bus_no_fault(b);
	bus_down(b);
}

Test(subchannels, a_request_is_forgotten_when_the_primary_closes)
{
	struct multidev m = {0};
	struct testbus *b = offered(&m, 2);

	multi_close(b, 1);
	multi_expect_rescind(b, 3);
	multi_expect_rescind(b, 2);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	cr_assert_eq(multi_ask(&m, 2), 0);
	multi_close(b, 1); /* they wait for the guest: nothing to withdraw */
	bus_expect_nothing(b);
	multi_release(b, 2);
	multi_release(b, 3);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	bus_expect_nothing(b);
	bus_down(b);
}

/* The request is on its way to the main worker when the guest closes. */
Test(subchannels, a_request_that_crosses_the_close_is_forgotten)
{
	struct multidev m = {0};
	struct testbus *b = bus_up(NULL);
	const struct multi_options opt = {.max_subchannels = 2, .worker = bus_worker(b)};

	multi_offer(b, &m, 1, &opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	bus_close(b, 1); /* handled; the device has not been told yet */
	cr_assert_eq(hvs_channel_offer_subchannels(m.chan[0].ch, 2), 0);
	bus_run_all(b);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(subchannels, a_request_that_crosses_an_unload_is_forgotten)
{
	struct multidev m = {0};
	struct testbus *b = bus_up(NULL);
	const struct multi_options opt = {.max_subchannels = 2, .worker = bus_worker(b)};

	multi_offer(b, &m, 1, &opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	bus_unload(b);
	cr_assert_eq(hvs_channel_offer_subchannels(m.chan[0].ch, 2), 0);
	bus_run_all(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(subchannels, withdrawn_while_opening_are_closed_without_an_answer)
{
	struct multidev m = {0};
	struct testbus *b = bus_up(NULL);
	struct hvs_worker *w[1] = {bus_worker(b)};
	const struct multi_options opt = {
		.max_subchannels = 1, .subchannel_workers = w, .subchannel_worker_count = 1};
	struct hvsi_msg_open open = bus_open_msg(2, 2, MULTI_GPADL(2), 0, MULTI_SPLIT);

	multi_offer(b, &m, 1, &opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	cr_assert_eq(multi_ask(&m, 1), 0);
	multi_expect_offer(b, 2, 1);
	multi_gpadl(b, 2);
	bus_send(b, &open, sizeof(open)); /* its worker does not run */
	bus_close(b, 1);
	multi_expect_rescind(b, 2);
	bus_run_all(b);
	cr_assert_eq(m.chan[1].opens, 1);
	cr_assert_eq(m.chan[1].closes, 1);
	bus_expect_nothing(b);
	multi_release(b, 2);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	cr_assert_eq(multi_ask(&m, 1), 0);
	multi_expect_offer(b, 2, 1);
	bus_down(b);
}

Test(subchannels, an_offer_the_guest_has_not_seen_is_withdrawn_in_silence)
{
	struct hvsi_msg_relid close = {.h = hvsi_msg_header(HVSI_MSG_CLOSECHANNEL),
				       .relid = hvsi_le32(1)};
	struct multidev m = {0};
	struct testbus *b = primary_open(&m, &three, NULL);

	b->slot_busy = true;
	cr_assert_eq(multi_ask(&m, 2), 0);
	cr_assert_eq(bus_post(b, 1, &close, sizeof(close)), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
	multi_rescind(&m); /* the guest's close waits behind the offers */
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run_all(b);
	multi_expect_rescind(b, 1);
	bus_expect_nothing(b);
	cr_assert_eq(m.done, 1);
	multi_release(b, 1);
	cr_assert_eq(m.destroys, 1);
	bus_down(b);
}

Test(subchannels, a_guest_that_never_lets_go_keeps_only_its_relids)
{
	struct multidev m = {0};
	struct testbus *b = offered(&m, 2);

	for (unsigned i = 0; i < 3; i++) {
		multi_close(b, 1);
		if (!i) {
			multi_expect_rescind(b, 3);
			multi_expect_rescind(b, 2);
		}
		bus_expect_nothing(b);
		multi_send_open(b, 1);
		bus_expect_opened(b, 1, 1, 0);
		cr_assert_eq(multi_ask(&m, 2), 0);
		bus_expect_nothing(b);
	}
	/* A new connection has them. */
	bus_unload(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	bus_expect_nothing(b);
	cr_assert_eq(multi_ask(&m, 2), 0);
	multi_expect_offer(b, 2, 1);
	multi_expect_offer(b, 3, 2);
	bus_down(b);
}

/* ---- the device goes -------------------------------------------------------------------------- */

Test(subchannels, go_before_their_primary_and_the_device_is_done_once)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	struct bus_options opt = {.alloc = test_allocator(&a)};
	struct multidev m = {.chan[2].hold_close = true};
	struct testbus *b = primary_open(&m, &three, &opt);

	/* 1 closed, 2 open and slow, 3 never opened again after its withdrawal */
	cr_assert_eq(multi_ask(&m, 3), 0);
	for (uint32_t i = 1; i <= 3; i++)
		multi_expect_offer(b, i + 1, (uint16_t)i);
	multi_open(b, 3);
	multi_rescind(&m);
	for (uint32_t relid = 4; relid >= 1; relid--)
		multi_expect_rescind(b, relid);
	bus_expect_nothing(b);
	for (uint32_t relid = 1; relid <= 4; relid++)
		multi_release(b, relid);
	cr_assert_eq(m.done, 0);
	multi_finish(&m, 2);
	cr_assert_eq(m.done, 1);
	cr_assert_eq(m.destroys, 1);
	bus_no_fault(b);
	bus_down(b);
	cr_assert_eq(a.live, 0);
}

/* They have nothing to do any more; the primary still closes. */
Test(subchannels, a_removal_is_not_done_before_the_primary_has_let_go)
{
	struct multidev m = {.chan[0].hold_close = true};
	struct testbus *b = offered(&m, 3);

	multi_rescind(&m);
	for (uint32_t relid = 4; relid >= 1; relid--)
		multi_expect_rescind(b, relid);
	cr_assert_eq(m.done, 0);
	multi_finish(&m, 0);
	cr_assert_eq(m.done, 1);
	bus_down(b);
	cr_assert_eq(m.destroys, 1);
}

/* Withdrawn ones the guest has not let go of, and a primary that opens again meanwhile. */
Test(subchannels, a_removal_while_the_primary_opens_waits_for_it)
{
	struct hvsi_msg_open open = bus_open_msg(1, 1, MULTI_GPADL(1), 0, MULTI_SPLIT);
	struct multidev m = {0};
	struct testbus *b = bus_up(NULL);
	const struct multi_options opt = {.max_subchannels = 2, .worker = bus_worker(b)};
	struct hvs_worker *main_worker;

	main_worker = hvs_vmbus_main_worker(b->bus);
	multi_offer(b, &m, 1,
		    &(struct multi_options){.max_subchannels = 2,
					    .worker = opt.worker,
					    .subchannel_workers = &main_worker,
					    .subchannel_worker_count = 1});
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	multi_open(b, 1);
	cr_assert_eq(multi_ask(&m, 2), 0);
	multi_expect_offer(b, 2, 1);
	multi_expect_offer(b, 3, 2);
	multi_close(b, 1);
	multi_expect_rescind(b, 3);
	multi_expect_rescind(b, 2);
	m.chan[0].hold_close = true;
	bus_send(b, &open, sizeof(open)); /* opening: its worker does not run */
	multi_rescind(&m);
	multi_expect_rescind(b, 1);
	cr_assert_eq(m.chan[0].opens, 2);
	cr_assert(m.chan[0].open);
	cr_assert_eq(m.done, 0);
	multi_finish(&m, 0);
	cr_assert_eq(m.done, 1);
	cr_assert_eq(m.destroys, 0);
	for (uint32_t relid = 1; relid <= 3; relid++)
		multi_release(b, relid);
	cr_assert_eq(m.destroys, 1);
	bus_no_fault(b);
	bus_down(b);
}

Test(subchannels, a_removal_can_come_while_a_withdrawn_one_still_closes)
{
	struct multidev m = {.chan[1].hold_close = true};
	struct testbus *b = offered(&m, 2);

	multi_open(b, 2);
	multi_close(b, 1);
	multi_expect_rescind(b, 3);
	multi_expect_rescind(b, 2);
	multi_rescind(&m);
	multi_expect_rescind(b, 1); /* the others know */
	bus_expect_nothing(b);
	for (uint32_t relid = 1; relid <= 3; relid++)
		multi_release(b, relid);
	cr_assert_eq(m.done, 0);
	multi_finish(&m, 1);
	cr_assert_eq(m.done, 1);
	cr_assert_eq(m.destroys, 1);
	bus_no_fault(b);
	bus_down(b);
}

Test(subchannels, a_removal_while_one_is_to_be_reopened_forgets_the_open)
{
	struct multidev m = {.chan[1].hold_close = true};
	struct testbus *b = offered(&m, 1);

	multi_open(b, 2);
	multi_close(b, 2);
	multi_send_open(b, 2); /* waits for the close */
	multi_rescind(&m);
	multi_expect_rescind(b, 2);
	multi_expect_rescind(b, 1);
	multi_finish(&m, 1);
	cr_assert_eq(m.chan[1].opens, 1);
	bus_expect_nothing(b);
	multi_release(b, 1);
	multi_release(b, 2);
	cr_assert_eq(m.destroys, 1);
	bus_down(b);
}

/* One of its workers has not got round to it yet. */
Test(subchannels, a_device_on_its_way_out_is_not_offered)
{
	struct hvsi_msg request = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	struct multidev m = {0};
	struct testbus *b = bus_up(NULL);
	const struct multi_options opt = {.max_subchannels = 1, .worker = bus_worker(b)};

	multi_offer(b, &m, 1, &opt);
	bus_start(b);
	cr_assert_eq(hvs_device_rescind(m.device, NULL, NULL), 0);
	cr_assert_eq(hvs_device_rescind(m.device, NULL, NULL), -EBUSY);
	bus_connect(b, NEWEST);
	bus_send(b, &request, sizeof(request));
	bus_take(b, HVSI_MSG_ALLOFFERS_DELIVERED, 8);
	cr_assert_eq(m.destroys, 0);
	bus_run_all(b);
	cr_assert_eq(m.destroys, 1);
	bus_down(b);
}

Test(subchannels, nothing_leaks_when_a_device_goes_in_any_state)
{
	/* Relids 2 and 3: what was done with them. */
	enum { NOT_ASKED, OFFERED, OPENED, CLOSED_AGAIN, WITHDRAWN, RELEASED, STATES };

	for (unsigned state = 0; state < STATES; state++)
		for (unsigned reset = 0; reset < 3; reset++) {
			struct test_alloc a = TEST_ALLOC_INIT;
			struct bus_options opt = {.alloc = test_allocator(&a)};
			struct multidev m = {0};
			struct testbus *b = primary_open(&m, &three, &opt);

			if (state >= OFFERED) {
				cr_assert_eq(multi_ask(&m, 2), 0);
				b->taken += 2;
			}
			for (uint32_t relid = 2; state >= OPENED && relid <= 3; relid++)
				multi_open(b, relid);
			for (uint32_t relid = 2; state == CLOSED_AGAIN && relid <= 3; relid++)
				multi_close(b, relid);
			if (state >= WITHDRAWN) {
				multi_close(b, 1);
				b->taken += 2;
			}
			for (uint32_t relid = 2; state == RELEASED && relid <= 3; relid++)
				multi_release(b, relid);
			if (reset == 1) {
				bus_unload(b);
				bus_run_all(b);
				bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
			}
			multi_rescind(&m);
			b->taken = b->posted;
			cr_assert_eq(m.done, 1, "state %u", state);
			for (uint32_t relid = 1; reset == 2 && relid <= 3; relid++)
				multi_release(b, relid);
			b->taken = b->posted;
			cr_assert_eq(m.destroys, reset != 0);
			bus_down(b);
			cr_assert_eq(m.done, 1);
			cr_assert_eq(m.destroys, 1);
			cr_assert_eq(a.live, 0);
		}
}

/* ---- the connection goes ---------------------------------------------------------------------- */

Test(subchannels, unload_and_reset_wait_for_all_of_them)
{
	for (unsigned reset = 0; reset < 2; reset++) {
		struct multidev m = {.chan[2].hold_close = true};
		struct testbus *b = offered(&m, 3);
		bool done = false;

		multi_open(b, 2);
		multi_open(b, 3);
		if (reset)
			cr_assert_eq(hvs_vmbus_reset(b->bus, NULL, &done), 0);
		else
			bus_unload(b);
		bus_run_all(b);
		bus_expect_nothing(b);
		cr_assert(!m.chan[0].open && !m.chan[1].open && m.chan[2].open);
		cr_assert_eq(hvs_vmbus_reset(b->bus, NULL, NULL), reset ? -EBUSY : 0);
		multi_finish(&m, 2);
		cr_assert_eq(hvs_vmbus_reset(b->bus, NULL, NULL), 0);
		bus_run_all(b);
		bus_connect(b, NEWEST);
		bus_offers(b, 1);
		multi_open(b, 1);
		bus_expect_nothing(b);
		bus_down(b);
	}
}

/* ---- relids ----------------------------------------------------------------------------------- */

Test(subchannels, without_a_relid_they_wait_until_one_is_free)
{
	const struct bus_options opt = {.max_offers = 3};
	struct multidev m = {0};
	struct multidev other = {0};
	struct testbus *b = bus_up(&opt);

	multi_offer(b, &m, 1, &three);
	multi_offer(b, &other, 2, &three);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 2);
	multi_open(b, 1);
	cr_assert_eq(multi_ask(&m, 3), 0);
	multi_expect_offer(b, 3, 1);
	bus_expect_nothing(b);
	multi_release(b, 2); /* the other device's */
	multi_expect_offer(b, 2, 2);
	bus_expect_nothing(b);
	/* What waits does so no longer when its primary closes. */
	multi_close(b, 1);
	multi_expect_rescind(b, 2);
	multi_expect_rescind(b, 3);
	multi_release(b, 2);
	multi_release(b, 3);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(subchannels, a_device_can_wait_for_relids_that_sub_channels_have)
{
	const struct bus_options opt = {.max_offers = 3};
	struct multidev m = {0};
	struct multidev late = {0};
	struct testbus *b = primary_open(&m, &three, &opt);

	cr_assert_eq(multi_ask(&m, 2), 0);
	multi_expect_offer(b, 2, 1);
	multi_expect_offer(b, 3, 2);
	multi_offer(b, &late, 2, &three);
	bus_run_all(b);
	bus_expect_nothing(b);
	multi_release(b, 3);
	multi_expect_offer(b, 3, 0);
	bus_down(b);
}
