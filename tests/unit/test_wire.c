/* SPDX-License-Identifier: MIT */
/* Two NICs end to end: frames, with what is left undone; room; ends that come and go. */
#include "support/fakenic.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <hvstack/host/wire.h>
#include <string.h>

#define QUEUES 2u

static struct event_base *base;
static struct hvs_wire *wire;
static struct hvs_nic *nic[2];
static struct hvs_wire_end *end[2];

static void setup(void)
{
	struct event_base *bases[QUEUES];
	struct hvs_wire_config cfg = {HVS_WIRE_CONFIG_INIT};

	evthread_use_pthreads();
	base = event_base_new();
	bases[0] = bases[1] = base;
	cfg.end[0] = (struct hvs_wire_end_config){.bases = bases, .base_count = 1};
	cfg.end[1] = (struct hvs_wire_end_config){.bases = bases, .base_count = QUEUES};
	cr_assert_eq(hvs_wire_create(&cfg, &wire), 0);
	for (unsigned i = 0; i < 2; i++) {
		nic[i] = hvst_nic_new();
		end[i] = hvs_wire_get_end(wire, i);
	}
}

static void teardown(void)
{
	hvs_wire_destroy(wire);
	event_base_free(base);
	hvst_nic_free(nic[0]);
	hvst_nic_free(nic[1]);
	libevent_global_shutdown();
}

TestSuite(wire, .init = setup, .fini = teardown, .timeout = 60);

static struct hvs_net_info get_info(unsigned which)
{
	struct hvs_net_info info = {HVS_NET_INFO_INIT};

	cr_assert_eq(hvs_wire_ops()->get_info(end[which], &info), 0);
	return info;
}

static void attach_both(void)
{
	hvs_wire_ops()->attach(end[0], nic[0]);
	hvs_wire_ops()->attach(end[1], nic[1]);
}

static void send_one(unsigned from, uint32_t queue, uint8_t mark)
{
	uint8_t bytes[200];

	hvst_send(hvs_wire_ops(), end[from], queue, bytes, hvst_udp4(bytes, 100, mark));
}

Test(wire, a_frame_arrives_as_it_was_sent)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 1000, 1);
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 64, 100);
	struct hvst_rx rx;

	attach_both();
	frame->flags = HVS_NET_CSUM | HVS_NET_USO | HVS_NET_VLAN;
	frame->vlan_tci = 77;
	frame->mss = 300;
	frame->l3_off = 14;
	frame->l4_off = 34;
	frame->payload_off = 42;
	hvs_wire_ops()->tx(end[0], 0, &frame, 1);
	hvst_until(base, hvst_nic_came(nic[1]) == 1);
	rx = hvst_nic_rx(nic[1], 0);
	cr_assert_eq(rx.frame.flags, HVS_NET_CSUM | HVS_NET_USO | HVS_NET_VLAN);
	cr_assert_eq(rx.frame.vlan_tci, 77);
	cr_assert_eq(rx.frame.mss, 300);
	cr_assert_eq(rx.frame.l4_off, 34);
	cr_assert_eq(rx.frame.len, len);
	cr_assert_eq(memcmp(rx.bytes, bytes, len), 0);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_OK), 1);
	cr_assert_eq(hvst_nic_came(nic[0]), 0);
}

Test(wire, both_directions_keep_their_order)
{
	attach_both();
	for (unsigned i = 0; i < 200; i++) {
		send_one(0, 0, (uint8_t)i);
		send_one(1, i % QUEUES, (uint8_t)i);
	}
	hvst_until(base, hvst_nic_came(nic[0]) == 200 && hvst_nic_came(nic[1]) == 200);
	for (unsigned i = 0; i < 200; i++) {
		cr_assert_eq(hvst_nic_rx(nic[0], i).bytes[19], (uint8_t)i);
		cr_assert_eq(hvst_nic_rx(nic[1], i).bytes[19], (uint8_t)i);
		cr_assert_eq(hvst_nic_rx(nic[0], i).queue, 0);
	}
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_OK), 200);
	cr_assert_eq(hvst_nic_done(nic[1], HVS_NET_OK), 200);
}

Test(wire, what_there_is_no_room_for_is_dropped)
{
	attach_both();
	hvst_nic_set_room(nic[1], 7);
	for (unsigned i = 0; i < 10; i++)
		send_one(0, 0, (uint8_t)i);
	hvst_until(base, hvst_nic_done(nic[0], HVS_NET_DROPPED) == 3);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_OK), 7);
	hvst_nic_set_room(nic[1], 7);
	send_one(0, 0, 42);
	hvst_until(base, hvst_nic_came(nic[1]) == 8);
	cr_assert_eq(hvst_nic_rx(nic[1], 7).bytes[19], 42);
}

Test(wire, the_link_is_down_while_nobody_is_at_the_other_end)
{
	cr_assert(get_info(0).link_down);
	hvs_wire_ops()->attach(end[0], nic[0]);
	cr_assert_not(hvst_nic_link(nic[0]));
	send_one(0, 0, 1);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_DROPPED), 1);

	cr_assert_not(get_info(1).link_down);
	hvs_wire_ops()->attach(end[1], nic[1]);
	cr_assert(hvst_nic_link(nic[0]));
	cr_assert(hvst_nic_link(nic[1]));
	send_one(0, 0, 2);
	hvst_until(base, hvst_nic_came(nic[1]) == 1);

	/* It leaves with a frame on its way. */
	send_one(0, 0, 3);
	hvs_wire_ops()->detach(end[1]);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_DROPPED), 2);
	cr_assert_not(hvst_nic_link(nic[0]));
	hvst_linger(base, 10);
	cr_assert_eq(hvst_nic_came(nic[1]), 1);
}

Test(wire, ends_say_what_they_can)
{
	cr_assert_eq(get_info(0).max_queues, 1);
	cr_assert_eq(get_info(1).max_queues, QUEUES);
	cr_assert_eq(get_info(0).mtu, HVS_NET_MAX_MTU);
	cr_assert_eq(get_info(0).offloads, HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_USO | HVS_NET_VLAN);
}

Test(wire, wrong_configurations_are_refused)
{
	struct hvs_wire_config cfg = {HVS_WIRE_CONFIG_INIT};
	const struct hvs_wire_end_config good = {.bases = &base, .base_count = 1};
	struct hvs_wire *none = NULL;

	cr_assert_eq(hvs_wire_create(NULL, &none), -EINVAL);
	cr_assert_eq(hvs_wire_create(&cfg, &none), -EINVAL);
	cfg.end[0] = cfg.end[1] = good;
	cr_assert_eq(hvs_wire_create(&cfg, NULL), -EINVAL);
	cfg.mtu = HVS_NET_MAX_MTU + 1;
	cr_assert_eq(hvs_wire_create(&cfg, &none), -EINVAL);
	cfg.mtu = 67;
	cr_assert_eq(hvs_wire_create(&cfg, &none), -EINVAL);
	cfg.mtu = 0;
	cfg.end[1].base_count = 65;
	cr_assert_eq(hvs_wire_create(&cfg, &none), -EINVAL);
	cr_assert(none == NULL);
}
