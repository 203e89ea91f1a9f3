/* SPDX-License-Identifier: MIT */
/* What an embedder may limit: how a guest sees it, and that it recovers. */
#include "support/alloc.h"
#include "support/multidev.h"
#include "vmbus/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

static const struct multi_options plain;

static struct testbus *up(struct multidev *m, unsigned count, const struct bus_options *opt)
{
	struct testbus *b = bus_up(opt);

	for (unsigned i = 0; i < count; i++)
		multi_offer(b, &m[i], (uint8_t)i, &plain);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, count);
	return b;
}

static int offer_error(struct testbus *b, uint8_t number)
{
	struct multidev dummy;
	const struct hvs_offer offer = {HVS_OFFER_INIT, .instance_id = {{0x70, number}}};
	struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT};
	struct hvs_device *d;

	/* Never opened. */
	ops.open = (int (*)(void *, struct hvs_channel *, const struct hvs_open_params *,
			    void **))abort;
	ops.ready = (bool (*)(struct hvs_channel *, void *, unsigned))abort;
	ops.close = (void (*)(struct hvs_channel *, void *))abort;
	return hvs_device_offer(b->bus, &offer, &ops, &dummy, &d);
}

Test(limits, impossible_ones_are_refused)
{
	static const struct {
		struct hvs_vmbus_config cfg;
		int expected;
	} cases[] = {
		{{.max_offers = 2047}, 0},
		{{.max_offers = 2048}, -EINVAL},
		{{.max_offers = UINT32_MAX}, -EINVAL},
		{{.max_queued_messages = 65536}, 0},
		{{.max_queued_messages = 65537}, -EINVAL},
		{{.max_open_channels = UINT32_MAX}, 0},
		{{.monitor_page_gpa = {4096, 0}}, -EINVAL},
		{{.monitor_page_gpa = {0, 4096}}, -EINVAL},
		{{.monitor_page_gpa = {4096, 8192}}, 0},
	};
	struct testbus *b = bus_up(NULL);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_vmbus_config cfg = cases[i].cfg;
		struct hvs_vmbus *bus = NULL;

		cfg.size = sizeof(cfg);
		cfg.vp_count = 1;
		cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &b->bus->ops, b, &bus),
			     cases[i].expected, "case %zu", i);
		hvs_vmbus_destroy(bus);
	}
	bus_down(b);
}

Test(limits, one_device_too_many_is_refused_until_another_has_gone)
{
	const struct bus_options opt = {.max_offers = 3};
	struct multidev m[3] = {{0}};
	struct testbus *b = up(m, 3, &opt);

	cr_assert_eq(offer_error(b, 1), -ENOSPC);
	multi_rescind(&m[1]);
	multi_expect_rescind(b, 2);
	cr_assert_eq(offer_error(b, 1), -ENOSPC, "the guest has not let go");
	multi_release(b, 2);
	cr_assert_eq(offer_error(b, 1), 0);
	bus_run_all(b);
	cr_assert_eq(bus_take(b, HVSI_MSG_OFFERCHANNEL, 196)[184], 2);
	cr_assert_eq(offer_error(b, 2), -ENOSPC);
	bus_down(b);
}

Test(limits, relids_stay_below_the_number_of_offers)
{
	const struct bus_options opt = {.max_offers = 2};
	struct multidev m[2] = {{0}};
	struct testbus *b = up(m, 2, &opt);

	bus_send_gpadl(b, 3, 1, 16, 4);
	bus_expect_created(b, 3, 1, HVSI_STATUS_FAILED);
	bus_down(b);
}

Test(limits, one_open_channel_too_many_is_refused_and_works_when_another_is_closed)
{
	const struct bus_options opt = {.max_open_channels = 2};
	struct multidev m[3] = {{0}};
	struct testbus *b = up(m, 3, &opt);
	struct hvsi_msg_open_reserved reserved = {
		.h = hvsi_msg_header(HVSI_MSG_OPEN_RESERVED_CHANNEL),
		.relid = hvsi_le32(3),
		.target_sint = hvsi_le32(2),
		.gpadl_id = hvsi_le32(MULTI_GPADL(3)),
		.downstream_page = hvsi_le32(MULTI_SPLIT)};

	multi_open(b, 1);
	multi_open(b, 2);
	for (unsigned i = 0; i < 3; i++) {
		multi_gpadl(b, 3);
		multi_send_open(b, 3);
		bus_expect_opened(b, 3, 3, HVSI_STATUS_FAILED);
		bus_send(b, &reserved, sizeof(reserved));
		bus_take(b, HVSI_MSG_OPENCHANNEL_RESULT, 20);
		cr_assert_eq(m[2].chan[0].opens, 0);
		/* The ring was not kept. */
		bus_teardown(b, 3, MULTI_GPADL(3));
		bus_expect_torndown(b, MULTI_GPADL(3));
	}
	multi_close(b, 1);
	multi_open(b, 3);
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, HVSI_STATUS_FAILED);
	bus_unload(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_connect(b, NEWEST);
	bus_offers(b, 3);
	multi_open(b, 1);
	multi_open(b, 2);
	bus_no_fault(b);
	bus_down(b);
}

Test(limits, a_channel_counts_as_open_until_its_device_has_let_go)
{
	const struct bus_options opt = {.max_open_channels = 1};
	struct multidev m[2] = {{.chan[0].hold_close = true}, {0}};
	struct testbus *b = up(m, 2, &opt);

	multi_open(b, 1);
	multi_gpadl(b, 2);
	multi_close(b, 1);
	multi_send_open(b, 2);
	bus_expect_opened(b, 2, 2, HVSI_STATUS_FAILED);
	multi_finish(&m[0], 0);
	multi_send_open(b, 2);
	bus_expect_opened(b, 2, 2, 0);
	/* A device that refuses counts no more. */
	multi_close(b, 2);
	m[0].chan[0].open_result = -ENODEV;
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, HVSI_STATUS_FAILED);
	multi_send_open(b, 2);
	bus_expect_opened(b, 2, 2, 0);
	bus_down(b);
}

Test(limits, one_message_too_many_is_to_be_repeated)
{
	static const unsigned limits[] = {1, 3, 16, 100};

	for (size_t n = 0; n < sizeof(limits) / sizeof(limits[0]); n++) {
		const struct bus_options opt = {.max_queued_messages = limits[n]};
		struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_CLOSE_RESERVED_CHANNEL)};
		struct hvsi_msg_close_reserved close = {.h = msg.h};
		struct testbus *b = bus_up(&opt);

		bus_start(b);
		for (uint32_t round = 0; round < 5; round++) { /* the queue goes round */
			for (uint32_t i = 0; i <= limits[n]; i++) {
				close.relid = hvsi_le32(round * 1000 + i);
				cr_assert_eq(bus_post(b, 1, &close, sizeof(close)),
					     i < limits[n] ? HVS_HV_STATUS_SUCCESS
							   : HVS_HV_STATUS_INSUFFICIENT_BUFFERS);
			}
			bus_run(b);
			for (uint32_t i = 0; i < limits[n]; i++) {
				struct hvsi_msg_relid r;

				memcpy(&r,
				       bus_take_post(b, HVSI_MSG_CLOSE_RESERVED_RESPONSE, 12)
					       ->bytes,
				       sizeof(r));
				cr_assert_eq(hvsi_get32(r.relid), round * 1000 + i);
			}
			bus_expect_nothing(b);
		}
		bus_down(b);
	}
}

Test(limits, one_gpadl_too_many_is_refused_until_another_is_torn_down)
{
	const struct bus_options opt = {.max_gpadls = 3};
	struct multidev m[1] = {{0}};
	struct testbus *b = up(m, 1, &opt);

	for (uint32_t id = 1; id <= 3; id++)
		bus_gpadl(b, 1, id, 16, 4);
	bus_send_gpadl(b, 1, 4, 16, 4);
	bus_expect_created(b, 1, 4, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_teardown(b, 1, 2);
	bus_expect_torndown(b, 2);
	bus_gpadl(b, 1, 4, 16, 4);
	/* A new connection begins with none. */
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	for (uint32_t id = 1; id <= 3; id++)
		bus_gpadl(b, 1, id, 16, 4);
	bus_no_fault(b);
	bus_down(b);
}

Test(limits, pages_too_many_are_refused_until_others_are_torn_down)
{
	/* A range header counts as a page. */
	const struct bus_options opt = {.max_gpadl_pages = 15};
	struct multidev m[1] = {{0}};
	struct testbus *b = up(m, 1, &opt);

	bus_gpadl(b, 1, 1, 16, 4);
	bus_gpadl(b, 1, 2, 16, 9);
	bus_send_gpadl(b, 1, 3, 16, 1);
	bus_expect_created(b, 1, 3, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_teardown(b, 1, 1);
	bus_expect_torndown(b, 1);
	bus_gpadl(b, 1, 3, 16, 4);
	bus_no_fault(b);
	bus_down(b);
}

/* All limits reached at once, again and again: nothing is left behind. */
Test(limits, a_greedy_guest_leaves_nothing_behind)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	const struct bus_options opt = {.alloc = test_allocator(&a),
					.max_offers = 4,
					.max_open_channels = 2,
					.max_gpadls = 5,
					.max_gpadl_pages = 40};
	struct multidev m[2] = {{0}};
	struct testbus *b = bus_up(&opt);
	size_t idle;

	multi_offer(b, &m[0], 0, &(struct multi_options){.max_subchannels = 5});
	multi_offer(b, &m[1], 1, &(struct multi_options){.max_subchannels = 5});
	bus_start(b);
	idle = a.live;
	for (unsigned round = 0; round < 10; round++) {
		bus_connect(b, NEWEST);
		bus_offers(b, 2);
		multi_open(b, 1);
		cr_assert_eq(multi_ask(&m[0], 5), 0);
		b->taken = b->posted;
		for (uint32_t relid = 2; relid <= 4; relid++) {
			multi_gpadl(b, relid);
			multi_send_open(b, relid);
			b->taken = b->posted;
		}
		for (uint32_t id = 1; id < 10; id++)
			bus_send_gpadl(b, 1, id, 16, 8);
		b->taken = b->posted;
		b->faults = 0;
		cr_assert_eq(b->bus->open_count, 2);
		cr_assert_eq(b->bus->gpadls.count, 5);
		cr_assert_leq(b->bus->gpadls.words, 40);
		cr_assert_eq(b->bus->offered_count, 4);
		bus_unload(b);
		bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
		cr_assert_eq(a.live, idle);
		cr_assert(!b->bus->open_count && !b->bus->gpadls.count && !b->bus->gpadls.words &&
			  !b->bus->offered_count && !b->bus->waiting_count &&
			  !b->bus->reserved_count);
	}
	bus_down(b);
	cr_assert_eq(a.live, 0);
}
