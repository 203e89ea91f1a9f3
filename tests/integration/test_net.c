/* SPDX-License-Identifier: MIT */
/* A NIC and the guest's driver: frames both ways, and what keeps them from getting there. */
#include "support/nic.h"

#include <stdlib.h>

static struct nic_options usual(void)
{
	return (struct nic_options){.guest = {.send_bytes = 256u * 1024}};
}

Test(net, frames_go_both_ways_with_every_version)
{
	static const uint32_t versions[] = {HVSI_NVSP_VERSION_1, HVSI_NVSP_VERSION_2,
					    HVSI_NVSP_VERSION_4, HVSI_NVSP_VERSION_5,
					    HVSI_NVSP_VERSION_6, HVSI_NVSP_VERSION_61};
	uint8_t frame[1514];
	uint32_t len;

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct nic_options opt = usual();
		struct nic *n;

		opt.guest.version = versions[i];
		n = nic_new(&opt);
		cr_assert(n->net->wanted);
		cr_assert_eq(nic_status(n).version, versions[i]);
		for (uint32_t payload = 0; payload <= 1472; payload += 46) {
			unsigned sent = n->net->sent_count;
			unsigned got = n->received_count;

			len = nic_frame(frame, false, false, payload, payload + 1);
			nic_send(n, 0, payload, frame, len);
			nic_run(n);
			cr_assert_eq(n->net->sent_count, sent + 1);
			cr_assert_eq(n->net->sent[sent].f.len, len);
			cr_assert_arr_eq(n->net->sent[sent].bytes, frame, len);
			cr_assert_eq(n->done[n->done_count - 1], payload);
			cr_assert_eq(n->done_status[n->done_count - 1], HVSI_NVSP_SUCCESS);

			len = nic_frame(frame, true, false, payload, payload + 1);
			cr_assert(nic_give(n, 0, frame, len));
			nic_run(n);
			cr_assert_eq(n->received_count, got + 1);
			cr_assert_eq(n->received[got].f.len, len);
			cr_assert_arr_eq(n->received[got].bytes, frame, len);
		}
		cr_assert_eq(nic_counters(n).from_frames, 33);
		cr_assert_eq(nic_counters(n).to_frames, 33);
		nic_down(n);
	}
}

Test(net, a_host_is_replaced_under_traffic)
{
	struct nic_options opt = usual();
	struct nic *n = nic_new(&opt);
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, false, true, 1000, 1);
	struct hvs_net_frame *held;

	n->net->hold = true;
	nic_send(n, 0, 77, frame, len);
	hvs_loopback_run(n->lb);
	cr_assert_eq(n->net->held_count, 1);
	held = n->net->held[0];
	(void)held;
	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	len = nic_frame(frame, true, true, 1000, 2);
	for (unsigned i = 0; i < 5; i++)
		cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	cr_assert_eq(n->received_count, 5);
	n->net->hold = false;
	nic_finish(n);
	cr_assert_eq(hvs_loopback_replace_host(n->lb, 0, nic_offer, n), 0);
	nic_run(n);
	cr_assert_eq(n->done_count, 1);
	cr_assert_eq(n->done[0], 77);
	cr_assert_eq(n->indicated_count, 1);
	cr_assert_eq(n->indicated[0], HVSI_RNDIS_NETWORK_CHANGE);
	cr_assert_eq(hvs_guest_net_hold(n->drv, false), 0);
	nic_run(n);
	/* As many as there are slots: none was lost. */
	for (unsigned i = 0; i < 1000; i++) {
		cr_assert(nic_give(n, 0, frame, len));
		nic_run(n);
	}
	cr_assert_eq(n->received_count, 1005);
	len = nic_frame(frame, false, true, 1000, 1);
	nic_send(n, 0, 78, frame, len);
	nic_run(n);
	cr_assert_eq(n->done_count, 2);
	nic_down(n);
}
