/* SPDX-License-Identifier: MIT */
/* Sub-channels of a NIC on workers of their own, and the hash that spreads frames over them. */
#include "support/nic.h"

#include <errno.h>

static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
				0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
				0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
				0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

#define HASHES (HVSI_HASH_IP4 | HVSI_HASH_TCP4 | HVSI_HASH_IP6 | HVSI_HASH_TCP6)

static struct nic_options options(unsigned subchannels, unsigned workers)
{
	return (struct nic_options){.nic = {.max_subchannels = subchannels},
				    .guest = {.send_bytes = 1u << 20, .receive_bytes = 1u << 20},
				    .workers = workers};
}

/* With count sub-channels open and RSS over all channels. */
static struct nic *up(unsigned count, unsigned workers)
{
	const struct nic_options opt = options(count, workers);
	struct nic *n = nic_new(&opt);
	uint32_t table[128];

	cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, count), (int)count);
	nic_run(n);
	for (unsigned i = 0; i < 128; i++)
		table[i] = i % (count + 1);
	cr_assert_eq(hvs_guest_net_set_rss(n->drv, HASHES, key, table, 128), 0);
	return n;
}

/* ---- how many --------------------------------------------------------------------------------- */

Test(net_channels, as_many_as_there_may_be_are_granted)
{
	static const struct {
		unsigned max;
		unsigned asked;
		int granted;
	} cases[] = {{0, 1, -EREMOTEIO}, {3, 0, -EREMOTEIO}, {3, 1, 1},
		     {3, 3, 3},          {3, 7, 3},          {3, 63, 3}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct nic_options opt = options(cases[i].max, 0);
		struct nic *n = nic_new(&opt);

		cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, cases[i].asked),
			     cases[i].granted);
		nic_run(n);
		cr_assert_eq(nic_status(n).channels,
			     cases[i].granted > 0 ? 1 + (unsigned)cases[i].granted : 1);
		nic_down(n);
	}
}

Test(net_channels, a_count_that_wraps_is_one_that_is_too_large)
{
	const struct nic_options opt = options(3, 0);
	struct nic *n = nic_new(&opt);

	cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, UINT32_MAX), 3);
	nic_down(n);
}

Test(net_channels, older_drivers_and_those_that_have_not_begun_get_none)
{
	struct nic_options opt = options(3, 0);
	struct nic *n;

	opt.guest.version = HVSI_NVSP_VERSION_5;
	n = nic_up(&opt);
	nic_connect(n);
	nic_open(n);
	nic_negotiate(n);
	cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, 1), -EREMOTEIO);
	cr_assert_eq(hvs_guest_net_initialize(n->drv), 0);
	cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, 1), 1);
	nic_down(n);
}

Test(net_channels, the_send_table_comes_when_all_are_open)
{
	for (unsigned count = 1; count <= NIC_SUB; count++) {
		struct nic *n = up(count, 2);
		struct hvsi_nvsp_send_table t;

		cr_assert_eq(n->told_count, 1);
		memcpy(&t, n->told[0], sizeof(t));
		cr_assert_eq(hvsi_get32(t.type), HVSI_NVSP_SEND_TABLE);
		cr_assert_eq(hvsi_get32(t.count), 16);
		cr_assert_eq(hvsi_get32(t.offset), 12);
		for (unsigned i = 0; i < 16; i++)
			cr_assert_eq(hvsi_get32(t.channel[i]), i % (count + 1));
		nic_down(n);
	}
}

/* ---- from the guest --------------------------------------------------------------------------- */

Test(net_channels, frames_are_sent_through_each_of_them_to_its_queue)
{
	struct nic *n = up(4, 2);
	uint8_t frame[200];

	for (unsigned ch = 0; ch <= 4; ch++) {
		uint32_t len = nic_frame(frame, false, false, 50, ch);

		nic_send(n, ch, ch, frame, len);
		nic_run(n);
		cr_assert_eq(n->done_count, ch + 1);
		cr_assert_eq(n->net->sent_count, ch + 1);
		cr_assert_eq(n->net->sent[ch].queue, ch ? 1 + (ch - 1) % 2 : 0);
		cr_assert_arr_eq(n->net->sent[ch].bytes, frame, len);
	}
	nic_down(n);
}

Test(net_channels, control_messages_are_the_primarys)
{
	struct nic *n = up(1, 1);
	struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_REVOKE_RECEIVE_BUFFER)};
	const struct iovec iov = {&m, 40};
	const struct hvsi_rndis_simple halt = {
		.hdr = {.type = hvsi_le32(HVSI_RNDIS_HALT), .len = hvsi_le32(sizeof(halt))}};
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, true, true, 50, 1);
	struct hvs_guest_packet pkt;
	struct hvs_guest_channel *ch = hvs_guest_net_channel(n->drv, 1);

	cr_assert_eq(hvs_guest_send(ch, 5, true, NULL, &iov, 1), 0);
	hvs_guest_flush(ch);
	hvs_loopback_run(n->lb);
	cr_assert_eq(hvs_guest_recv(ch, &pkt), 1);
	cr_assert_eq(pkt.len, 0);
	memcpy(hvs_guest_net_section(n->drv, 0), &halt, sizeof(halt));
	cr_assert_eq(hvs_guest_net_transmit(n->drv, 1, 6, 0, sizeof(halt), NULL, 0), 0);
	nic_run(n);
	cr_assert_eq(n->done_status[n->done_count - 1], HVSI_NVSP_INVALID_RNDIS_PACKET);
	/* All is as before. */
	cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	cr_assert_eq(n->received_count, 1);
	nic_down(n);
}

/* ---- to the guest ----------------------------------------------------------------------------- */

/* All frames of flows arrive once, each flow's in order and through one channel. */
static void give_flows(struct nic *n, unsigned queues, unsigned count)
{
	unsigned from = n->received_count;
	unsigned last[64];
	unsigned channel[64];
	bool used[1 + NIC_SUB] = {false};
	unsigned spread = 0;
	uint8_t frame[300];

	memset(last, 0xff, sizeof(last));
	for (unsigned i = 0; i < count; i++) {
		uint32_t len = nic_frame(frame, true, true, 100, i % 64);

		memcpy(frame + 54, &i, sizeof(i));
		cr_assert(nic_give(n, i % 64 % queues, frame, len));
		if (i % 50 == 49)
			nic_run(n);
	}
	nic_run(n);
	cr_assert_eq(n->received_count, from + count);
	for (unsigned i = 0; i < count; i++) {
		const struct nic_received *r = &n->received[(from + i) % NIC_FRAMES];
		unsigned number;
		unsigned flow;

		memcpy(&number, r->bytes + 54, sizeof(number));
		flow = number % 64;
		if (last[flow] != UINT32_MAX) {
			cr_assert_gt(number, last[flow], "flow %u: %u after %u", flow, number,
				     last[flow]);
			cr_assert_eq(r->f.channel, channel[flow]);
		}
		last[flow] = number;
		channel[flow] = r->f.channel;
		spread += !used[r->f.channel];
		used[r->f.channel] = true;
	}
	cr_assert_eq(spread, hvs_guest_net_channel(n->drv, 1) ? nic_status(n).channels : 1);
}

Test(net_channels, flows_are_spread_and_stay_in_order)
{
	static const unsigned workers[] = {0, 1, 2, 4};

	for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
		struct nic *n = up(4, workers[i]);

		give_flows(n, 1, 1000);
		give_flows(n, 1 + workers[i], 1000);
		nic_down(n);
	}
}

Test(net_channels, the_hash_is_the_one_that_is_known)
{
	struct nic *n = up(1, 0);
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, true, true, 20, 0);
	static const struct {
		uint8_t ip[8];
		uint16_t port[2];
		uint32_t hash;
	} cases[] = {{{66, 9, 149, 187, 161, 142, 100, 80}, {2794, 1766}, 0x51ccc178},
		     {{199, 92, 111, 2, 65, 69, 140, 83}, {14230, 4739}, 0xc626b0ea}};

	for (size_t i = 0; i < 2; i++) {
		memcpy(frame + 26, cases[i].ip, 8);
		hvsi_put_be16(frame + 34, cases[i].port[0]);
		hvsi_put_be16(frame + 36, cases[i].port[1]);
		cr_assert(nic_give(n, 0, frame, len));
		nic_run(n);
		cr_assert_eq(n->received[i].f.hash, cases[i].hash);
		cr_assert_eq(n->received[i].f.hash_info, HVSI_HASH_TCP4 | HVSI_HASH_TOEPLITZ);
		cr_assert_eq(n->received[i].f.channel, cases[i].hash % 128 % 2);
	}
	/* No hash: of another protocol, or when it is off. */
	memset(frame + 12, 0, 2);
	cr_assert(nic_give(n, 0, frame, len));
	cr_assert_eq(hvs_guest_net_set_rss(n->drv, 0, key, (uint32_t[]){0}, 1), 0);
	hvsi_put_be16(frame + 12, 0x0800);
	cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	for (unsigned i = 2; i < 4; i++) {
		cr_assert_eq(n->received[i].f.hash_info, 0);
		cr_assert_eq(n->received[i].f.channel, 0);
	}
	nic_down(n);
}

Test(net_channels, what_is_meant_for_a_closed_channel_goes_through_the_primary)
{
	const struct nic_options opt = options(3, 2);
	struct nic *n = nic_new(&opt);
	uint32_t table[128];
	uint8_t frame[300];

	/* Granted, offered, but not opened. */
	for (unsigned i = 0; i < 128; i++)
		table[i] = 1 + i % 3;
	cr_assert_eq(hvs_guest_net_set_rss(n->drv, HASHES, key, table, 128), 0);
	for (unsigned i = 0; i < 100; i++)
		cr_assert(nic_give(n, i % 3, frame, nic_frame(frame, true, true, 100, i)));
	nic_run(n);
	cr_assert_eq(n->received_count, 100);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(n->received[i].f.channel, 0);
	nic_down(n);
}

Test(net_channels, the_slots_of_all_queues_come_back_from_whatever_channel)
{
	struct nic *n = up(4, 4);
	unsigned slots = n->info.slot_count - 16;
	uint8_t frame[300];

	for (unsigned round = 0; round < 5; round++) {
		unsigned taken = 0;

		/* All of them, through all queues. */
		cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
		for (uint32_t q = 0; q < 5; q++)
			for (unsigned i = 0; i < slots; i++) {
				uint32_t len = nic_frame(frame, true, true, 100, i);

				if (!nic_give(n, q, frame, len))
					break;
				taken++;
				nic_run(n);
			}
		cr_assert_eq(taken, slots);
		cr_assert_eq(hvs_guest_net_hold(n->drv, false), 0);
		nic_run(n);
		cr_assert_eq(n->net->rooms, 5 * (round + 1));
	}
	nic_down(n);
}

Test(net_channels, filter_0_stops_all_of_them)
{
	struct nic *n = up(4, 4);
	uint8_t frame[300];
	unsigned got;

	for (unsigned i = 0; i < 300; i++)
		cr_assert(nic_give(n, i % 5, frame, nic_frame(frame, true, true, 100, i)));
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, 0), 0);
	nic_run(n);
	got = n->received_count;
	for (unsigned i = 0; i < 100; i++)
		cr_assert(nic_give(n, i % 5, frame, nic_frame(frame, true, true, 100, i)));
	nic_run(n);
	cr_assert_eq(n->received_count, got);
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, NIC_FILTER), 0);
	give_flows(n, 5, 1000);
	nic_down(n);
}

Test(net_channels, closing_the_primary_takes_all_with_it)
{
	for (unsigned round = 0; round < 3; round++) {
		struct nic *n = up(4, 4);
		uint8_t frame[300];

		for (unsigned i = 0; i < 40; i++)
			cr_assert(nic_give(n, i % 5, frame, nic_frame(frame, true, true, 100, i)));
		cr_assert_eq(hvs_guest_net_close(n->drv, round), 0);
		n->drv = NULL;
		nic_run(n);
		cr_assert_eq(nic_status(n).channels, 0);
		cr_assert_eq(nic_status(n).version, 0);
		cr_assert_not(n->net->wanted);
		cr_assert(nic_give(n, 2, frame, 100));
		nic_down(n);
	}
}

Test(net_channels, drivers_come_and_go_with_their_sub_channels)
{
	const struct nic_options opt = options(4, 2);
	struct nic *n = nic_new(&opt);
	uint8_t frame[300];

	for (unsigned round = 0; round < 10; round++) {
		unsigned sent = n->net->sent_count;
		unsigned count = 1 + round % 4;

		cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, count), (int)count);
		for (unsigned i = 0; i < 40; i++)
			cr_assert(nic_give(n, i % 3, frame, nic_frame(frame, true, true, 100, i)));
		for (unsigned i = 0; i <= count; i++)
			nic_send(n, i, i, frame, nic_frame(frame, false, true, 100, i));
		if (round & 1)
			nic_run(n);
		cr_assert_eq(hvs_guest_net_close(n->drv, round % 3), 0);
		if (round & 1)
			cr_assert_eq(n->net->sent_count, sent + count + 1);
		nic_open(n);
		nic_start(n);
	}
	nic_down(n);
}
