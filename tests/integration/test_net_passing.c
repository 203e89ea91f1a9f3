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
		cr_assert_eq(nic_counters(n).from_dropped, 2ull * (told + 1));
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

/* ---- monitors --------------------------------------------------------------------------------- */

struct seen {
	struct hvs_net_frame f;
	uint8_t bytes[2000];
	uint32_t len;
	unsigned count;
};

static void see(void *arg, uint32_t queue, bool to_guest, const struct hvs_net_frame *f)
{
	struct seen *s = arg;

	cr_assert_eq(queue, 0);
	cr_assert(to_guest);
	s->f = *f;
	s->len = 0;
	s->count++;
	for (unsigned i = 0; i < f->iovcnt; i++) {
		cr_assert_leq(s->len + f->iov[i].iov_len, sizeof(s->bytes));
		memcpy(s->bytes + s->len, f->iov[i].iov_base, f->iov[i].iov_len);
		s->len += (uint32_t)f->iov[i].iov_len;
	}
}

/* Give a frame in so many pieces, and see what the monitor has seen. */
static void expect_as_it_was(struct nic *n, struct seen *seen, struct hvs_net_frame f,
			     unsigned pieces)
{
	const struct iovec whole = *f.iov;
	struct iovec iov[3];
	unsigned count = seen->count;
	unsigned got = n->received_count;

	for (unsigned i = 0; i < pieces; i++) {
		const size_t at = (size_t)20 * i;

		iov[i] = (struct iovec){(uint8_t *)whole.iov_base + at,
					i + 1 < pieces ? 20 : whole.iov_len - at};
	}
	f.iov = iov;
	f.iovcnt = (uint16_t)pieces;
	cr_assert(nic_give_frame(n, 0, &f));
	nic_run(n);
	cr_assert_gt(n->received_count, got);
	cr_assert_eq(seen->count, count + 1);
	cr_assert_eq(seen->f.flags, f.flags);
	cr_assert_eq(seen->f.vlan_tci, f.vlan_tci);
	cr_assert_eq(seen->f.len, f.len);
	cr_assert_eq(seen->len, f.len);
	cr_assert_arr_eq(seen->bytes, whole.iov_base, f.len);
}

Test(net_passing, a_monitor_sees_tags_whatever_is_done_to_the_frame)
{
	static const uint32_t flags[] = {0, HVS_NET_CSUM, HVS_NET_CSUM_GOOD,
					 HVS_NET_CSUM | HVS_NET_TSO};
	const struct hvs_net_monitor_ops ops = {HVS_NET_MONITOR_OPS_INIT, .frame = see};
	const struct hvs_port_policy access = {HVS_PORT_POLICY_INIT, .vlan = HVS_PORT_VLAN_ACCESS,
					       .vlan_id = 77};

	for (unsigned how = 0; how < 4; how++) {
		const struct nic_options opt = {
			.guest = {.capabilities = how & 1 ? HVSI_NVSP_CAN_8021Q : 0}};
		struct nic *n = nic_new(&opt);
		struct seen seen = {.count = 0};
		uint64_t bytes = 0;
		uint8_t frame[1500];
		uint8_t tagged[1504];
		uint32_t len = nic_frame(frame, true, true, 1000, 1);

		memcpy(tagged, frame, 12);
		hvsi_put_be32(tagged + 12, 0x8100004d);
		memcpy(tagged + 16, frame + 12, len - 12);
		cr_assert_eq(hvs_nic_set_monitor(n->nic, &ops, &seen), 0);
		if (how & 2)
			cr_assert_eq(hvs_nic_set_policy(n->nic, &access), 0);
		for (unsigned i = 0; i < 2 * 4 * 3; i++) {
			const bool among = i & 1;
			const uint32_t flag = flags[i / 2 % 4];
			const uint16_t by = among ? 4 : 0;
			const struct iovec iov = {among ? tagged : frame, len + by};
			struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .flags = flag,
						  .len = len + by,    .l3_off = 14 + by,
						  .l4_off = 34 + by,  .payload_off = 54 + by,
						  .iov = &iov};

			/* Segments for guests that know no tags are dropped. */
			if (flag & HVS_NET_TSO && !how)
				continue;
			f.mss = flag & HVS_NET_TSO ? 600 : 0;
			f.flags |= among ? 0 : HVS_NET_VLAN;
			f.vlan_tci = among ? 0 : 77;
			expect_as_it_was(n, &seen, f, 1 + i / 8);
			bytes += f.len;
		}
		cr_assert_eq(nic_counters(n).to_frames, seen.count);
		cr_assert_eq(nic_counters(n).to_bytes, bytes);
		nic_down(n);
	}
}

/* ---- queues without slots --------------------------------------------------------------------- */

Test(net_passing, frames_of_a_queue_that_has_no_slots_are_dropped_and_counted)
{
	/* 4 slots, one of them for control messages: none is left for the last queue. */
	const struct nic_options opt = {
		.nic = {.max_subchannels = 3}, .guest = {.receive_bytes = 8192}, .workers = 3};
	struct nic *n = nic_new(&opt);
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, true, false, 100, 1);

	cr_assert_eq(n->info.slot_count, 4);
	cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, 3), 3);
	nic_run(n);
	cr_assert_eq(nic_status(n).channels, 4);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(nic_give(n, i, frame, len));
		cr_assert(nic_give(n, 3, frame, len));
		nic_run(n);
		cr_assert_eq(n->received_count, i + 1);
		cr_assert_eq(nic_counters(n).to_no_room, i + 1);
	}
	cr_assert_eq(n->net->rooms, 0);
	nic_down(n);
}
