/* SPDX-License-Identifier: MIT */
/* What passes the port, in both directions: the link, limits, what is counted, and what monitors see. */
#include "support/nic.h"

/* ---- the link --------------------------------------------------------------------------------- */

Test(net_passing, while_the_link_is_down_no_frame_passes)
{
	const struct nic_options opt = {.guest = {.send_bytes = 65536}};
	struct nic *n = nic_new(&opt);
	uint8_t to[200];
	uint8_t from[200];
	uint32_t to_len = nic_frame(to, true, false, 100, 1);
	uint32_t from_len = nic_frame(from, false, false, 100, 1);
	struct hvs_guest_net_packet two[2] = {{.data = from, .len = from_len},
					      {.data = from, .len = from_len}};

	hvs_nic_set_link(n->nic, false, 0);
	for (unsigned told = 0; told < 2; told++) {
		cr_assert(nic_give(n, 0, to, to_len));
		cr_assert_eq(hvs_guest_net_send(n->drv, 0, told, two, 2), 0);
		nic_run(n);
		cr_assert_eq(n->received_count, 0);
		cr_assert_eq(n->net->sent_count, 0);
		cr_assert_eq(n->done_count, told + 1);
		cr_assert_eq(n->done_status[told], HVSI_NVSP_SUCCESS);
		cr_assert_eq(nic_counters(n).to_unwanted, told + 1);
		cr_assert_eq(nic_counters(n).from_dropped, 2 * (told + 1));
	}
	cr_assert_eq(nic_counters(n).to_frames, 0);
	cr_assert_eq(nic_counters(n).from_frames, 0);
	hvs_nic_set_link(n->nic, true, 0);
	cr_assert(nic_give(n, 0, to, to_len));
	nic_send(n, 0, 2, from, from_len);
	nic_run(n);
	cr_assert_eq(n->received_count, 1);
	cr_assert_eq(n->net->sent_count, 1);
	nic_down(n);
}

/* ---- limits ----------------------------------------------------------------------------------- */

static struct nic *with_sections(void)
{
	const struct nic_options opt = {.guest = {.send_bytes = 1u << 20}};

	return nic_new(&opt);
}

Test(net_passing, a_new_policy_does_not_charge_what_passed_under_the_last_one)
{
	const struct hvs_port_policy slow = {HVS_PORT_POLICY_INIT, .max_bits_per_second = 8000,
					     .max_storm_frames = 3};
	const struct hvs_port_policy fast = {
		HVS_PORT_POLICY_INIT, .max_bits_per_second = 10000000000u, .max_storm_frames = 3};
	struct nic *n = with_sections();
	uint8_t frame[1514];
	uint8_t group[1514];
	uint32_t len = nic_frame(frame, false, false, 1400, 3);

	(void)nic_frame(group, false, false, 1400, 3);
	memset(group, 0xff, 6);
	cr_assert_eq(hvs_nic_set_policy(n->nic, &slow), 0);
	/* A frame is worth 1.4 s. */
	for (unsigned i = 0; i < 20; i++)
		nic_send(n, 0, i, frame, len);
	nic_run(n);
	cr_assert_lt(n->net->sent_count, 20);
	/* Those that wait go on by themselves. */
	cr_assert_eq(hvs_nic_set_policy(n->nic, &fast), 0);
	nic_run(n);
	cr_assert_eq(n->net->sent_count, 20);
	cr_assert_eq(n->done_count, 20);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 4; i++)
			nic_send(n, 0, i, group, len);
		nic_run(n);
		cr_assert_eq(nic_counters(n).port.storm, round + 1);
		cr_assert_eq(hvs_nic_set_policy(n->nic, &fast), 0);
	}
	nic_down(n);
}

/* ---- metering --------------------------------------------------------------------------------- */

/* With 27 slots for frames. */
static struct nic *with_few_slots(bool coalesced)
{
	/* Revision 3: nothing changes but the two at the end of it. */
	uint8_t parameters[28] = {HVSI_NDIS_DEFAULT, 3, 28};
	const struct nic_options opt = {
		.guest = {.capabilities = HVSI_NVSP_CAN_RSC, .receive_bytes = 16 * 4096}};
	struct nic *n = nic_new(&opt);
	uint32_t status;

	parameters[22] = coalesced ? 2 : 1;
	parameters[23] = coalesced ? 2 : 1;
	cr_assert_eq(hvs_guest_net_set(n->drv, 0xfc01020c, parameters, sizeof(parameters), &status),
		     0);
	cr_assert_eq(status, 0);
	return n;
}

Test(net_passing, a_frame_that_finds_no_room_is_metered_when_it_gets_there)
{
	static const struct hvs_port_rule all = {.action = HVS_PORT_METER,
						 .direction = HVS_PORT_IN};
	const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT, .rules = &all,
					       .rule_count = 1};
	static uint8_t large[20000];
	uint32_t len = nic_frame(large, true, true, 14480, 1);
	const struct iovec iov = {large, len};
	const struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .flags = HVS_NET_CSUM | HVS_NET_TSO,
					.len = len,         .l3_off = 14,
					.l4_off = 34,       .payload_off = 54,
					.mss = 1448,        .iov = &iov,
					.iovcnt = 1};

	for (unsigned coalesced = 0; coalesced < 2; coalesced++) {
		struct nic *n = with_few_slots(coalesced);
		uint8_t small[100];
		uint32_t small_len = nic_frame(small, true, false, 50, 1);

		cr_assert_eq(hvs_nic_set_policy(n->nic, &policy), 0);
		cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
		for (unsigned i = 0; i < 23; i++)
			cr_assert(nic_give(n, 0, small, small_len));
		for (unsigned i = 0; i < 5; i++)
			cr_assert_not(nic_give_frame(n, 0, &f));
		nic_run(n);
		cr_assert_eq(nic_counters(n).port.metered_in_frames, 23);
		cr_assert_eq(nic_counters(n).port.metered_in_bytes, 23ull * small_len);
		cr_assert_eq(hvs_guest_net_hold(n->drv, false), 0);
		nic_run(n);
		cr_assert(nic_give_frame(n, 0, &f));
		cr_assert_eq(nic_counters(n).port.metered_in_frames, 24);
		cr_assert_eq(nic_counters(n).port.metered_in_bytes, 23ull * small_len + len);
		nic_down(n);
	}
}
