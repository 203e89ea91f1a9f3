/* SPDX-License-Identifier: MIT */
#include "support/alloc.h"
#include "support/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

/* Never called. */
static struct hvs_vsp_ops some_ops(void)
{
	return (struct hvs_vsp_ops){
		HVS_VSP_OPS_INIT,
		.open = (int (*)(void *, struct hvs_channel *, const struct hvs_open_params *,
				 void **))abort,
		.ready = (bool (*)(struct hvs_channel *, void *, unsigned))abort,
		.close = (void (*)(struct hvs_channel *, void *))abort,
	};
}

Test(device, refuses_bad_offers)
{
	static const struct {
		struct hvs_offer offer;
		int expected;
	} cases[] = {
		{{.flags = 2}, -EINVAL},
		{{.flags = 0x12}, -EINVAL},
		{{.max_subchannels = 2047}, -EINVAL},
		{{.monitor_latency_us = 6554}, -EINVAL},
		{{.subchannel_worker_count = 1}, -EINVAL},
		{{.flags = 0x10010}, -EINVAL},
		{{.reserved = 1}, -EINVAL},
		{{.max_packet_bytes = 15}, -EINVAL},
		{{.max_packet_bytes = 65535 * 8 + 1}, -EINVAL},
		{{.max_packet_bytes = 16, .instance_id = {{1}}}, 0},
		{{.max_packet_bytes = 65535 * 8, .instance_id = {{2}}}, 0},
		{{.flags = HVS_OFFER_PIPE, .instance_id = {{3}}}, 0},
		{{.flags = 0x2011, .instance_id = {{4}}}, 0},
		{{.max_subchannels = 2046, .instance_id = {{5}}}, 0},
		{{.instance_id = {{3}}}, -EEXIST},
	};
	struct testbus *b = bus_up(NULL);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_vsp_ops ops = some_ops();
		struct hvs_offer offer = cases[i].offer;
		struct hvs_device *d;

		offer.size = sizeof(offer);
		cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), cases[i].expected,
			     "case %zu", i);
	}
	bus_down(b);
}

Test(device, refuses_incomplete_operations)
{
	struct testbus *b = bus_up(NULL);
	const struct hvs_offer offer = {HVS_OFFER_INIT};
	struct hvs_device *d;
	struct hvs_vsp_ops ops;

	ops = some_ops();
	ops.open = NULL;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	ops = some_ops();
	ops.ready = NULL;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	ops = some_ops();
	ops.close = NULL;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	ops = some_ops();
	ops.reserved = 1;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	ops = some_ops();
	cr_assert_eq(hvs_device_offer(NULL, &offer, &ops, NULL, &d), -EINVAL);
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_device_offer(b->bus, NULL, &ops, NULL, &d), -EINVAL);
	cr_assert_eq(hvs_device_offer(b->bus, &offer, NULL, NULL, &d), -EINVAL);
	bus_down(b);
}

Test(device, belongs_to_a_worker_of_its_own_bus)
{
	struct testbus *b = bus_up(NULL);
	struct testbus *other = bus_up(NULL);
	struct hvs_worker *workers[2] = {hvs_vmbus_main_worker(b->bus), NULL};
	struct hvs_offer offer = {HVS_OFFER_INIT};
	struct hvs_vsp_ops ops = some_ops();
	struct hvs_device *d;

	offer.worker = hvs_vmbus_main_worker(other->bus);
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	offer.worker = hvs_vmbus_main_worker(b->bus);
	offer.max_subchannels = 2;
	offer.subchannel_workers = workers;
	offer.subchannel_worker_count = 2;
	workers[1] = hvs_vmbus_main_worker(other->bus);
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	workers[1] = NULL;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	offer.subchannel_worker_count = 0;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -EINVAL);
	offer.subchannel_worker_count = 1;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), 0);
	bus_down(other);
	bus_down(b);
}

Test(device, can_be_offered_after_the_bus_has_started)
{
	struct testbus *b = bus_up(NULL);
	const struct hvs_offer offer = {HVS_OFFER_INIT};
	struct hvs_vsp_ops ops = some_ops();
	struct hvs_device *d;

	bus_start(b);
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), 0);
	bus_connect(b, V(5, 3));
	bus_offers(b, 1);
	bus_down(b);
}

Test(device, there_are_2047_at_most)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	struct bus_options opt = {.alloc = test_allocator(&a)};
	struct testbus *b = bus_up(&opt);
	struct hvs_offer offer = {HVS_OFFER_INIT};
	struct hvs_vsp_ops ops = some_ops();
	struct hvs_device *d;

	for (unsigned i = 0; i < 2047; i++) {
		offer.instance_id.b[0] = (uint8_t)i;
		offer.instance_id.b[1] = (uint8_t)(i >> 8);
		cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), 0);
	}
	offer.instance_id.b[2] = 1;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -ENOSPC);
	/* And all of them are offered, with the highest relid and connection id that exist. */
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 2047);
	cr_assert_arr_eq(b->posts[2047].bytes + 184, ((uint8_t[]){0xff, 0x07, 0, 0}), 4);
	cr_assert_arr_eq(b->posts[2047].bytes + 192, ((uint8_t[]){0xff, 0x27, 0, 0}), 4);
	bus_down(b);
	cr_assert_eq(a.live, 0);
}

Test(device, without_memory_is_not_offered)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	struct bus_options opt = {.alloc = test_allocator(&a)};
	struct testbus *b = bus_up(&opt);
	const struct hvs_offer offer = {HVS_OFFER_INIT};
	struct hvs_vsp_ops ops = some_ops();
	struct hvs_device *d;

	a.fail_at = a.calls;
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), -ENOMEM);
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &d), 0);
	bus_down(b);
	cr_assert_eq(a.live, 0);
}
