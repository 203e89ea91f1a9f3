/* SPDX-License-Identifier: MIT */
/*
 * Frames to the guest: batches, slots, and what happens when there are none; offloads, tags, policy.
 * The guest's end refuses whatever some driver would not survive (vsc/network.c).
 */
#include "support/frame.h"
#include "support/nic.h"

#include <stdlib.h>

static struct nic *up(void)
{
	const struct nic_options opt = {.guest = {.capabilities = HVSI_NVSP_CAN_8021Q}};

	return nic_new(&opt);
}

/* Give n frames in one call; returns how many were taken. */
static unsigned give_many(struct nic *n, unsigned count, uint32_t payload, uint32_t first)
{
	struct hvs_net_frame *f = calloc(count, sizeof(*f));
	const struct hvs_net_frame *list[512];
	struct iovec *iov = calloc(count, sizeof(*iov));
	unsigned taken;

	cr_assert_leq(count, 512);
	for (unsigned i = 0; i < count; i++) {
		iov[i].iov_base = malloc(64 + payload);
		iov[i].iov_len = nic_frame(iov[i].iov_base, true, false, payload, first + i);
		f[i] = (struct hvs_net_frame){HVS_NET_FRAME_INIT, .len = (uint32_t)iov[i].iov_len,
					      .iov = &iov[i], .iovcnt = 1};
		list[i] = &f[i];
	}
	taken = hvs_nic_rx(n->nic, 0, list, count);
	for (unsigned i = 0; i < count; i++)
		free(iov[i].iov_base);
	free(f);
	free(iov);
	return taken;
}

/* What the guest got from index `from` on are frames number first and so on. */
static void expect_frames(struct nic *n, unsigned from, unsigned count, uint32_t payload,
			  uint32_t first)
{
	uint8_t frame[2000];

	cr_assert_eq(n->received_count, from + count);
	for (unsigned i = 0; i < count; i++) {
		const struct nic_received *r = &n->received[(from + i) % NIC_FRAMES];
		uint32_t len = nic_frame(frame, true, false, payload, first + i);

		cr_assert_eq(r->f.len, len);
		cr_assert_arr_eq(r->bytes, frame, len, "frame %u", i);
	}
}

/* ---- batches ---------------------------------------------------------------------------------- */

Test(net_receive, many_frames_make_few_packets_and_one_interrupt)
{
	static const unsigned counts[] = {1, 2, 63, 64, 65, 100};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct nic *n = up();
		uint64_t before;
		int packets;

		nic_run(n);
		(void)hvs_guest_channel_events(hvs_guest_net_channel(n->drv, 0));
		before = hvs_loopback_count(n->lb)->interrupts;
		cr_assert_eq(give_many(n, counts[i], 60, 0), counts[i]);
		cr_assert_eq(hvs_loopback_count(n->lb)->interrupts, before + 1);
		packets = hvs_guest_net_poll(n->drv);
		cr_assert_eq(packets, (int)(counts[i] + 63) / 64);
		expect_frames(n, 0, counts[i], 60, 0);
		nic_down(n);
	}
}

Test(net_receive, firmware_gets_packets_that_it_can_hold)
{
	const struct nic_options opt = {
		.guest = {.version = HVSI_NVSP_VERSION_1, .receive_bytes = 16 * 4096},
		.ring_bytes = 4096};
	struct nic *n = nic_new(&opt);

	/* 35 slots: 8 for control messages. */
	cr_assert_eq(n->info.slot_count, 35);
	cr_assert_eq(give_many(n, 40, 60, 0), 27);
	cr_assert_eq(hvs_guest_net_poll(n->drv), 2);
	expect_frames(n, 0, 27, 60, 0);
	nic_run(n);
	cr_assert_eq(n->net->rooms, 1);
	cr_assert_eq(give_many(n, 13, 60, 27), 13);
	nic_run(n);
	expect_frames(n, 27, 13, 60, 27);
	nic_down(n);
}

/* ---- no room ---------------------------------------------------------------------------------- */

Test(net_receive, without_slots_frames_are_not_taken_until_some_come_back)
{
	struct nic *n = up();
	unsigned slots = n->info.slot_count - 16;
	uint64_t no_room;

	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	cr_assert_eq(give_many(n, slots + 10, 60, 0), slots);
	cr_assert_eq(give_many(n, 1, 60, 0), 0);
	nic_run(n);
	no_room = nic_counters(n).to_no_room;
	cr_assert_eq(no_room, 2);
	cr_assert_eq(n->net->rooms, 0);
	expect_frames(n, 0, slots, 60, 0);
	/* Control messages have slots of their own. */
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, NIC_FILTER), 0);
	cr_assert_eq(hvs_guest_net_hold(n->drv, false), 0);
	nic_run(n);
	cr_assert_eq(n->net->rooms, 1);
	cr_assert_eq(give_many(n, 10, 60, slots), 10);
	nic_run(n);
	expect_frames(n, slots, 10, 60, slots);
	nic_down(n);
}

Test(net_receive, a_full_ring_leaves_room_for_completions_and_control_messages)
{
	const struct nic_options opt = {.guest = {.receive_bytes = 1u << 20, .send_bytes = 65536},
					.ring_bytes = 4096};
	struct nic *n = nic_new(&opt);
	unsigned taken = 0;
	unsigned got;
	uint8_t frame[64];
	uint32_t len = nic_frame(frame, false, false, 20, 3);

	/* One frame a packet: each takes 80 bytes of the ring. */
	while (taken < 200 && give_many(n, 1, 60, taken))
		taken++;
	cr_assert_lt(taken, 60);
	cr_assert_gt(taken, 20);
	nic_send(n, 0, 1, frame, len);
	for (unsigned i = 0; i < 10; i++)
		hvs_loopback_run(n->lb);
	cr_assert_eq(n->net->sent_count, 1);
	cr_assert_eq(n->net->rooms, 0);
	nic_run(n);
	cr_assert_eq(n->done_count, 1);
	got = n->received_count;
	cr_assert_geq(got, taken - 1);
	cr_assert_eq(n->net->rooms, 1);
	cr_assert_eq(give_many(n, 5, 60, 0), 5);
	nic_run(n);
	nic_down(n);
}

Test(net_receive, control_messages_wait_for_slots_and_are_answered)
{
	const struct hvsi_rndis_simple m = {
		.hdr = {.type = hvsi_le32(HVSI_RNDIS_KEEPALIVE), .len = hvsi_le32(sizeof(m))},
		.request_id = hvsi_le32(0xabcd0000)};
	struct nic *n = up();
	struct hvsi_rndis_done done;
	uint32_t len = sizeof(done);

	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	for (unsigned i = 0; i < 16; i++) {
		len = sizeof(done);
		cr_assert_eq(hvs_guest_net_control(n->drv, &m, sizeof(m), &done, &len), 0);
		cr_assert_eq(hvsi_get32(done.request_id), 0xabcd0000);
	}
	/* No slot is left. */
	hvs_nic_network_changed(n->nic);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 0);
	cr_assert_eq(hvs_guest_net_hold(n->drv, false), 0);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 1);
	cr_assert_eq(n->indicated[0], HVSI_RNDIS_NETWORK_CHANGE);
	nic_down(n);
}

/* ---- completions that are none ---------------------------------------------------------------- */

Test(net_receive, completions_of_what_the_guest_does_not_have_are_counted_and_no_more)
{
	static const uint64_t ids[] = {UINT64_MAX, 1ull << 32, 0xffffffff, 0x80000000, 100000};
	struct nic *n = up();
	struct hvs_guest_channel *ch = hvs_guest_net_channel(n->drv, 0);
	unsigned slots = n->info.slot_count;
	uint64_t before = nic_counters(n).from_malformed;

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		cr_assert_eq(hvs_guest_complete(ch, ids[i], NULL, 0), 0);
	for (unsigned i = 0; i <= slots; i++)
		cr_assert_eq(hvs_guest_complete(ch, i, NULL, 0), 0);
	nic_run(n);
	cr_assert_eq(nic_counters(n).from_malformed, before + slots + 6);
	/* The right ones, twice. */
	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	cr_assert_eq(give_many(n, slots - 16, 60, 0), slots - 16);
	nic_run(n);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < slots; i++)
			cr_assert_eq(hvs_guest_complete(ch, i, NULL, 0), 0);
	nic_run(n);
	/* No slot was lost, none is there twice. */
	cr_assert_eq(give_many(n, slots, 60, 1000), slots - 16);
	nic_run(n);
	expect_frames(n, slots - 16, slots - 16, 60, 1000);
	nic_down(n);
}

/* ---- what the guest wants --------------------------------------------------------------------- */

Test(net_receive, nothing_arrives_while_the_filter_is_0)
{
	struct nic *n = up();

	for (unsigned i = 0; i < 20; i++) {
		unsigned got = n->received_count;

		cr_assert_eq(hvs_guest_net_set_filter(n->drv, 0), 0);
		cr_assert_not(n->net->wanted);
		cr_assert_eq(give_many(n, 5, 60, 0), 5);
		nic_run(n);
		cr_assert_eq(n->received_count, got);
		cr_assert_eq(nic_counters(n).to_unwanted, 5ull * (i + 1));
		cr_assert_eq(hvs_guest_net_set_filter(n->drv, NIC_FILTER), 0);
		cr_assert(n->net->wanted);
		cr_assert_eq(give_many(n, 5, 60, 0), 5);
		nic_run(n);
		cr_assert_eq(n->received_count, got + 5);
	}
	nic_down(n);
}

Test(net_receive, what_waits_for_room_is_not_sent_when_the_filter_has_become_0)
{
	const struct nic_options opt = {.ring_bytes = 4096};
	struct nic *n = nic_new(&opt);
	unsigned got;

	while (give_many(n, 1, 60, 0))
		;
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, 0), 0);
	got = n->received_count;
	nic_run(n);
	cr_assert_eq(n->received_count, got);
	/* Their slots are back. */
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, NIC_FILTER), 0);
	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	got = 0;
	for (unsigned i = 0; i < 500; i++) {
		got += give_many(n, 1, 60, 0);
		nic_run(n);
	}
	cr_assert_eq(got, n->info.slot_count - 16);
	nic_down(n);
}

Test(net_receive, frames_for_others_are_unwanted_unless_promiscuous)
{
	struct nic *n = up();
	uint8_t frame[100];
	uint32_t len = nic_frame(frame, true, false, 40, 1);

	frame[5] ^= 1;
	cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	cr_assert_eq(n->received_count, 0);
	cr_assert_eq(nic_counters(n).to_unwanted, 1);
	memset(frame, 0xff, 6);
	cr_assert(nic_give(n, 0, frame, len));
	frame[0] = 0x01;
	cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	cr_assert_eq(n->received_count, 2);
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, 0x20), 0);
	frame[0] = 0x02;
	cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	cr_assert_eq(n->received_count, 3);
	nic_down(n);
}

Test(net_receive, frames_that_fit_no_slot_are_dropped_and_counted)
{
	struct nic *n = up();
	uint8_t frame[3000];

	for (uint32_t payload = 1480; payload < 1500; payload++)
		cr_assert(nic_give(n, 0, frame, nic_frame(frame, true, false, payload, 1)));
	nic_run(n);
	/* 18 bytes more than the guest's 1,514. */
	cr_assert_eq(n->received_count, 1532 - 42 - 1480 + 1);
	cr_assert_eq(nic_counters(n).to_too_long, 9);
	cr_assert(nic_give(n, 0, frame, 13));
	cr_assert(nic_give(n, 0, frame, 0));
	cr_assert_eq(nic_counters(n).to_too_long, 11);
	nic_down(n);
}

/* ---- pieces, offloads, tags ------------------------------------------------------------------- */

Test(net_receive, frames_in_pieces_arrive_in_one)
{
	struct rng rng = {7};
	struct nic *n = up();
	uint8_t frame[1600];

	for (unsigned i = 0; i < 300; i++) {
		uint32_t len = nic_frame(frame, true, i & 1, i * 4, i);
		struct iovec iov[60];
		struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .len = len, .iov = iov};

		f.iovcnt = (uint16_t)test_frame_cut(&rng, frame, len, iov, 60);
		cr_assert(nic_give_frame(n, 0, &f));
		nic_run(n);
		cr_assert_eq(n->received_count, i + 1);
		cr_assert_eq(n->received[i].f.len, len);
		cr_assert_arr_eq(n->received[i].bytes, frame, len);
	}
	nic_down(n);
}

Test(net_receive, checksums_that_the_back_end_left_are_completed)
{
	struct nic *n = up();

	for (unsigned tcp = 0; tcp < 2; tcp++) {
		uint8_t right[300];
		uint8_t frame[300];
		uint32_t len = nic_frame(right, true, tcp, 200, 1);
		const struct iovec iov[2] = {{frame, 60}, {frame + 60, len - 60}};
		const struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .flags = HVS_NET_CSUM,
						.len = len, .iov = iov, .iovcnt = 2};

		memcpy(frame, right, len);
		memset(frame + 34 + (tcp ? 16 : 6), 0x55, 2);
		cr_assert(nic_give_frame(n, 0, &f));
		nic_run(n);
		cr_assert_eq(n->received_count, tcp + 1);
		cr_assert_arr_eq(n->received[tcp].bytes, right, len);
		cr_assert_eq(n->received[tcp].f.csum,
			     tcp ? HVSI_RX_CSUM_TCP_GOOD : HVSI_RX_CSUM_UDP_GOOD);
		/* The back end's frame stays as it was. */
		cr_assert_eq(frame[34 + (tcp ? 16 : 6)], 0x55);
	}
	nic_down(n);
}

Test(net_receive, checked_checksums_are_said_to_be_good_and_others_to_be_unknown)
{
	struct nic *n = up();
	uint8_t frame[300];
	struct iovec iov = {frame, 0};
	struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .iov = &iov, .iovcnt = 1};

	f.len = nic_frame(frame, true, true, 100, 1);
	iov.iov_len = f.len;
	f.flags = HVS_NET_CSUM_GOOD;
	cr_assert(nic_give_frame(n, 0, &f));
	f.flags = 0;
	cr_assert(nic_give_frame(n, 0, &f));
	f.flags = HVS_NET_CSUM_GOOD;
	frame[20] = 0x20; /* a fragment: nobody knows the whole datagram's */
	cr_assert(nic_give_frame(n, 0, &f));
	nic_run(n);
	cr_assert_eq(n->received[0].f.csum, HVSI_RX_CSUM_TCP_GOOD | HVSI_RX_CSUM_IP_GOOD);
	cr_assert_eq(n->received[1].f.csum, 0);
	cr_assert_eq(n->received[2].f.csum, HVSI_RX_CSUM_IP_GOOD);
	nic_down(n);
}

Test(net_receive, large_frames_are_cut)
{
	struct nic *n = up();
	static uint8_t frame[65536];
	uint32_t len = nic_frame(frame, true, true, 20000, 1);
	const struct iovec iov[2] = {{frame, 54}, {frame + 54, len - 54}};
	const struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .flags = HVS_NET_CSUM | HVS_NET_TSO,
					.len = len,         .l3_off = 14,
					.l4_off = 34,       .payload_off = 54,
					.mss = 1448,        .iov = iov,
					.iovcnt = 2};
	uint32_t at = 0;

	cr_assert(nic_give_frame(n, 0, &f));
	nic_run(n);
	cr_assert_eq(n->received_count, 14);
	for (unsigned i = 0; i < 14; i++) {
		static struct test_frame got;
		const struct nic_received *r = &n->received[i];
		const char *wrong = test_frame_check(r->bytes, r->f.len, true, &got);

		cr_assert_null(wrong, "%s", wrong);
		cr_assert_arr_eq(r->bytes + 54, frame + 54 + at, r->f.len - 54);
		cr_assert(r->f.csum & HVSI_RX_CSUM_TCP_GOOD);
		at += r->f.len - 54;
	}
	cr_assert_eq(at, 20000);
	cr_assert_eq(nic_counters(n).to_frames, 1);
	nic_down(n);
}

Test(net_receive, tags_are_told_beside_the_frame_to_guests_that_know_them)
{
	for (unsigned knows = 0; knows < 2; knows++) {
		const struct nic_options opt = {
			.guest = {.capabilities = knows ? HVSI_NVSP_CAN_8021Q : 0}};
		struct nic *n = nic_new(&opt);
		uint8_t plain[200];
		uint8_t tagged[204];
		uint32_t len = nic_frame(plain, true, false, 100, 1);
		const struct iovec iov = {plain, len};
		const struct hvs_net_frame beside = {HVS_NET_FRAME_INIT, .flags = HVS_NET_VLAN,
						     .len = len,         .vlan_tci = 5 << 13 | 77,
						     .iov = &iov,        .iovcnt = 1};

		memcpy(tagged, plain, 12);
		hvsi_put_be32(tagged + 12, 0x81000000u | 5 << 13 | 77);
		memcpy(tagged + 16, plain + 12, len - 12);
		cr_assert(nic_give(n, 0, tagged, len + 4));
		cr_assert(nic_give_frame(n, 0, &beside));
		nic_run(n);
		for (unsigned i = 0; i < 2; i++) {
			const struct nic_received *r = &n->received[i];

			cr_assert_eq(r->f.tagged, knows);
			cr_assert_eq(r->f.len, len + (knows ? 0 : 4));
			cr_assert_arr_eq(r->bytes, knows ? plain : tagged, r->f.len);
			if (knows)
				cr_assert_eq(r->f.vlan, 5 | 77 << 4);
		}
		nic_down(n);
	}
}

Test(net_receive, the_ports_policy_decides_what_arrives)
{
	struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT, .vlan = HVS_PORT_VLAN_ACCESS,
					 .vlan_id = 9};
	struct nic *n = up();
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, true, false, 100, 1);
	const struct iovec iov = {frame, len};
	struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .flags = HVS_NET_VLAN, .len = len,
				  .vlan_tci = 9,      .iov = &iov,           .iovcnt = 1};

	cr_assert_eq(hvs_nic_set_policy(n->nic, &policy), 0);
	cr_assert(nic_give(n, 0, frame, len)); /* untagged: of another network */
	cr_assert(nic_give_frame(n, 0, &f));
	nic_run(n);
	cr_assert_eq(n->received_count, 1);
	cr_assert_not(n->received[0].f.tagged);
	cr_assert_eq(nic_counters(n).port.vlan, 1);
	nic_down(n);
}

/* ---- monitors --------------------------------------------------------------------------------- */

struct seen {
	unsigned to;
	unsigned from;
	uint32_t bytes;
};

static void see(void *arg, uint32_t queue, bool to_guest, const struct hvs_net_frame *f)
{
	struct seen *s = arg;

	cr_assert_eq(queue, 0);
	s->to += to_guest;
	s->from += !to_guest;
	s->bytes += f->len;
}

Test(net_receive, a_monitor_sees_what_passes_the_port_and_nothing_else)
{
	const struct hvs_net_monitor_ops ops = {HVS_NET_MONITOR_OPS_INIT, .frame = see};
	const struct nic_options opt = {.guest = {.send_bytes = 65536}};
	struct nic *n = nic_new(&opt);
	struct seen seen = {0};
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, true, false, 100, 1);

	cr_assert(nic_give(n, 0, frame, len));
	cr_assert_eq(hvs_nic_set_monitor(n->nic, &ops, &seen), 0);
	cr_assert(nic_give(n, 0, frame, len));
	frame[5] ^= 1;
	cr_assert(nic_give(n, 0, frame, len));
	nic_send(n, 0, 1, frame, len); /* with a foreign source address */
	len = nic_frame(frame, false, false, 50, 1);
	nic_send(n, 0, 2, frame, len);
	nic_run(n);
	cr_assert_eq(seen.to, 1);
	cr_assert_eq(seen.from, 1);
	cr_assert_eq(seen.bytes, 142 + 92);
	cr_assert_eq(hvs_nic_set_monitor(n->nic, NULL, NULL), 0);
	nic_send(n, 0, 3, frame, len);
	nic_run(n);
	cr_assert_eq(seen.from, 1);
	nic_down(n);
}

/* ---- coalesced segments ----------------------------------------------------------------------- */

static struct nic *with_rsc(bool on, uint32_t ring_bytes)
{
	/* Revision 3: nothing changes but the two at the end of it. */
	uint8_t parameters[28] = {HVSI_NDIS_DEFAULT, 3, 28};
	const struct nic_options opt = {
		.guest = {.capabilities = HVSI_NVSP_CAN_RSC | HVSI_NVSP_CAN_8021Q,
			  .receive_bytes = 1u << 20},
		.ring_bytes = ring_bytes};
	struct nic *n = nic_new(&opt);
	uint32_t status;

	parameters[22] = on ? 2 : 1;
	parameters[23] = on ? 2 : 1;
	cr_assert_eq(hvs_guest_net_set(n->drv, 0xfc01020c, parameters, sizeof(parameters), &status),
		     0);
	cr_assert_eq(status, 0);
	return n;
}

static bool give_large(struct nic *n, const uint8_t *frame, uint32_t len)
{
	const struct iovec iov[3] = {{(void *)(uintptr_t)frame, 54},
				     {(void *)(uintptr_t)(frame + 54), 1000},
				     {(void *)(uintptr_t)(frame + 1054), len - 1054}};
	const struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .flags = HVS_NET_CSUM | HVS_NET_TSO,
					.len = len,         .l3_off = 14,
					.l4_off = 34,       .payload_off = 54,
					.mss = 1448,        .iov = iov,
					.iovcnt = 3};

	return nic_give_frame(n, 0, &f);
}

Test(net_receive, large_frames_arrive_whole_at_guests_that_want_them)
{
	static const uint32_t payloads[] = {1448, 2000, 3000, 20000, 65495};
	static uint8_t frame[65600];
	struct nic *n = with_rsc(true, 0);

	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		uint32_t len = nic_frame(frame, true, true, payloads[i], 1);
		unsigned got = n->received_count;
		const struct nic_received *r = &n->received[got];

		memset(frame + 16, 0, 2); /* the back end has left it so */
		cr_assert(give_large(n, frame, len));
		nic_run(n);
		cr_assert_eq(n->received_count, got + 1);
		cr_assert_eq(r->f.len, len);
		cr_assert_eq(r->f.parts, len > 1532 ? (len + 1513) / 1514 : 1);
		cr_assert_eq(hvsi_get_be16(r->bytes + 16), len - 14);
		cr_assert_eq(test_sum(0, r->bytes + 14, 20), 0xffff);
		cr_assert_arr_eq(r->bytes + 54, frame + 54, len - 54);
		cr_assert(r->f.csum & HVSI_RX_CSUM_TCP_GOOD);
	}
	cr_assert_eq(nic_counters(n).to_frames, 5);
	nic_down(n);
}

Test(net_receive, parts_of_a_frame_are_never_in_two_packets)
{
	static uint8_t frame[65600];
	struct nic *n = with_rsc(true, 4096);
	unsigned slots = n->info.slot_count - 16;
	uint32_t len = nic_frame(frame, true, true, 30000, 1);
	unsigned given = 0;
	unsigned small = 0;

	/* 20 parts each, between others; ring and slots run out. */
	for (unsigned i = 0; i < 300; i++) {
		if (i % 3)
			small += give_many(n, 7, 60, 0);
		else
			given += give_large(n, frame, len);
		if (i % 10 == 0)
			nic_run(n);
	}
	nic_run(n);
	cr_assert_eq(n->received_count, given + small);
	cr_assert_gt(given, 20);
	/* No slot is lost. */
	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	small = 0;
	for (unsigned i = 0; i < slots + 5; i++) {
		small += give_many(n, 1, 60, 0);
		nic_run(n);
	}
	cr_assert_eq(small, slots);
	nic_down(n);
}

Test(net_receive, large_frames_are_cut_for_guests_that_have_turned_them_off)
{
	static uint8_t frame[65600];
	struct nic *n = with_rsc(false, 0);
	uint32_t len = nic_frame(frame, true, true, 14480, 1);

	cr_assert(give_large(n, frame, len));
	nic_run(n);
	cr_assert_eq(n->received_count, 10);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(n->received[i].f.parts, 1);
	nic_down(n);
}
