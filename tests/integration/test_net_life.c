/* SPDX-License-Identifier: MIT */
/* A NIC's life: drivers that come and go, links, addresses, virtual functions, removal. */
#include "support/nic.h"

#include "vmbus/proto.h"

#include <errno.h>

static struct nic_options usual(void)
{
	return (struct nic_options){
		.guest = {.send_bytes = 256u * 1024, .capabilities = HVSI_NVSP_CAN_SRIOV}};
}

static struct nic *up(void)
{
	const struct nic_options opt = usual();

	return nic_new(&opt);
}

static void traffic(struct nic *n)
{
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, false, false, 500, 1);
	unsigned sent = n->net->sent_count;
	unsigned got = n->received_count;

	nic_send(n, 0, 1, frame, len);
	len = nic_frame(frame, true, false, 500, 1);
	cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	cr_assert_eq(n->net->sent_count, sent + 1);
	cr_assert_eq(n->received_count, got + 1);
}

/* ---- drivers come and go ---------------------------------------------------------------------- */

Test(net_life, detach_and_attach_in_every_way_and_with_other_versions)
{
	static const uint32_t versions[] = {HVSI_NVSP_VERSION_1, HVSI_NVSP_VERSION_5,
					    HVSI_NVSP_VERSION_61};
	struct nic *n = up();

	for (unsigned i = 0; i < 30; i++) {
		traffic(n);
		if (i & 1)
			cr_assert_eq(hvs_guest_net_halt(n->drv), 0);
		cr_assert_eq(hvs_guest_net_close(n->drv, i % 3), 0);
		cr_assert_not(n->net->wanted);
		cr_assert_eq(nic_status(n).version, 0);
		cr_assert_eq(nic_status(n).channels, 0);
		n->opt.guest.version = versions[i % 3];
		n->opt.guest.frame_bytes = 1514 + 100 * i;
		nic_open(n);
		nic_start(n);
		cr_assert_eq(nic_status(n).mtu,
			     versions[i % 3] == HVSI_NVSP_VERSION_1 ? 1500 : 1500 + 100 * i);
	}
	traffic(n);
	nic_down(n);
}

Test(net_life, firmware_describes_the_nic_closes_and_opens_it_again)
{
	struct nic_options opt = {
		.guest = {.version = HVSI_NVSP_VERSION_1, .receive_bytes = 16 * 4096},
		.ring_bytes = 4096};
	struct nic *n = nic_up(&opt);
	uint32_t status;
	uint8_t mac[6];
	uint32_t len = sizeof(mac);

	nic_connect(n);
	for (unsigned i = 0; i < 3; i++) {
		nic_open(n);
		nic_negotiate(n);
		cr_assert_eq(hvs_guest_net_initialize(n->drv), 0);
		cr_assert_eq(hvs_guest_net_query(n->drv, 0x01010101, NULL, 0, &status, mac, &len),
			     0);
		cr_assert_eq(len, 6);
		cr_assert_arr_eq(mac, nic_mac, 6);
		cr_assert_eq(hvs_guest_net_halt(n->drv), 0);
		cr_assert_eq(hvs_guest_net_close(n->drv, HVS_GUEST_NET_CLOSE), 0);
	}
	nic_open(n);
	nic_start(n);
	nic_down(n);
}

Test(net_life, control_messages_after_a_revoke_are_completed_and_not_answered)
{
	struct nic *n = up();
	const struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_REVOKE_RECEIVE_BUFFER)};
	const struct iovec iov = {(void *)(uintptr_t)&m, 40};
	const struct hvsi_rndis_simple keepalive = {.hdr = {.type = hvsi_le32(HVSI_RNDIS_KEEPALIVE),
							    .len = hvsi_le32(sizeof(keepalive))}};

	cr_assert_eq(hvs_guest_send(hvs_guest_net_channel(n->drv, 0), 9, false, NULL, &iov, 1), 0);
	nic_run(n);
	cr_assert_not(n->net->wanted);
	cr_assert_eq(hvs_guest_net_control(n->drv, &keepalive, sizeof(keepalive), NULL, NULL), 0);
	cr_assert_eq(hvs_guest_net_halt(n->drv), 0);
	nic_down(n);
}

Test(net_life, frames_at_the_back_end_hold_a_close_up_and_nothing_else)
{
	for (unsigned how = HVS_GUEST_NET_REVOKE; how <= HVS_GUEST_NET_CLOSE; how++) {
		struct nic *n = up();
		uint8_t frame[1514];
		uint32_t len = nic_frame(frame, false, false, 1000, 1);
		uint32_t relid = hvs_guest_offer_at(n->guest, 0)->relid;
		struct hvsi_msg_relid m = {.h = hvsi_msg_header(HVSI_MSG_CLOSECHANNEL),
					   .relid = hvsi_le32(relid)};

		n->net->hold = true;
		for (unsigned i = 0; i < 10; i++)
			nic_send(n, 0, i, frame, len);
		nic_run(n);
		cr_assert_eq(n->net->held_count, 10);
		cr_assert_eq(hvs_guest_post(n->guest, 1, &m, sizeof(m)), 0);
		for (unsigned i = 0; i < 5; i++)
			hvs_loopback_run(n->lb);
		cr_assert_not(n->net->wanted);
		cr_assert_eq(nic_status(n).channels, 0);
		cr_assert_neq(nic_status(n).version, 0);
		/* The bytes are still there to be read. */
		for (unsigned i = 0; i < 10; i++)
			cr_assert_arr_eq(n->net->held[i]->iov[1].iov_base, frame + 252, len - 252);
		nic_finish(n);
		hvs_loopback_run(n->lb);
		cr_assert_eq(nic_status(n).version, 0);
		nic_down(n);
	}
}

Test(net_life, the_send_buffer_is_given_back_when_its_frames_are_done)
{
	struct nic *n = up();
	const struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_REVOKE_SEND_BUFFER)};
	const struct iovec iov = {(void *)(uintptr_t)&m, 40};
	struct hvs_guest_channel *ch = hvs_guest_net_channel(n->drv, 0);
	struct hvs_guest_packet pkt;
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, false, false, 1000, 1);

	n->net->hold = true;
	nic_send(n, 0, 1, frame, len);
	nic_run(n);
	cr_assert_eq(hvs_guest_send(ch, 9, true, NULL, &iov, 1), 0);
	hvs_guest_flush(ch);
	hvs_loopback_run(n->lb);
	cr_assert_eq(hvs_guest_recv(ch, &pkt), 0); /* not yet */
	/* No new frame gets there. */
	nic_send(n, 0, 2, frame, len);
	hvs_loopback_run(n->lb);
	cr_assert_eq(hvs_guest_recv(ch, &pkt), 1);
	cr_assert_eq(pkt.xid, 2);
	nic_finish(n);
	hvs_loopback_run(n->lb);
	cr_assert_eq(hvs_guest_recv(ch, &pkt), 1);
	cr_assert_eq(pkt.xid, 1);
	cr_assert_eq(hvs_guest_recv(ch, &pkt), 1);
	cr_assert_eq(pkt.xid, 9);
	cr_assert_eq(pkt.len, 0);
	nic_down(n);
}

Test(net_life, a_guest_that_unloads_says_nothing_and_the_next_one_begins_anew)
{
	struct nic_options opt = usual();
	struct nic *n;

	opt.nic.max_subchannels = 3;
	opt.workers = 3;
	n = nic_new(&opt);
	for (unsigned i = 0; i < 5; i++) {
		uint8_t frame[300];

		cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, 3), 3);
		for (unsigned k = 0; k < 20; k++)
			cr_assert(nic_give(n, k % 4, frame, nic_frame(frame, true, true, 99, k)));
		nic_send(n, 2, 3, frame, nic_frame(frame, false, true, 200, 3));
		cr_assert_eq(hvs_guest_unload(n->guest), 0);
		cr_assert_not(n->net->wanted);
		(void)hvs_guest_net_close(n->drv, HVS_GUEST_NET_FORGET);
		n->drv = NULL;
		cr_assert_eq(hvs_guest_connect(n->guest, 0x50003), 0);
		cr_assert_eq(hvs_guest_request_offers(n->guest), 1);
		nic_open(n);
		nic_start(n);
		traffic(n);
	}
	nic_down(n);
}

/* ---- removal ---------------------------------------------------------------------------------- */

static void removed(void *arg, int status)
{
	cr_assert_eq(status, 0);
	++*(unsigned *)arg;
}

Test(net_life, removal_ends_when_the_back_end_has_given_all_back)
{
	struct nic *n = up();
	unsigned done = 0;
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, false, false, 1000, 1);

	n->net->hold = true;
	for (unsigned i = 0; i < 10; i++)
		nic_send(n, 0, i, frame, len);
	hvs_loopback_run(n->lb);
	cr_assert_eq(n->net->held_count, 10);
	cr_assert_eq(hvs_nic_remove(n->nic, removed, &done), 0);
	for (unsigned i = 0; i < 5; i++)
		hvs_loopback_run(n->lb);
	cr_assert_eq(done, 0);
	nic_finish(n);
	hvs_loopback_run(n->lb);
	cr_assert_eq(done, 1);
	cr_assert_not(n->net->wanted);
	nic_down(n);
}

/* ---- link ------------------------------------------------------------------------------------- */

static uint32_t connect_status(struct nic *n)
{
	struct hvs_le32 value;
	uint32_t len = sizeof(value);
	uint32_t status;

	cr_assert_eq(hvs_guest_net_query(n->drv, 0x00010114, NULL, 0, &status, &value, &len), 0);
	return hvsi_get32(value);
}

Test(net_life, the_link_is_told_and_comes_up_again_5_seconds_later_at_the_earliest)
{
	struct nic *n = up();

	hvs_nic_set_link(n->nic, false, 0);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 1);
	cr_assert_eq(n->indicated[0], HVSI_RNDIS_MEDIA_DISCONNECT);
	cr_assert_eq(connect_status(n), 1);
	cr_assert_not(nic_status(n).link_up);
	for (unsigned i = 0; i < 100; i++) {
		hvs_nic_set_link(n->nic, true, 0);
		nic_run(n);
		hvs_nic_set_link(n->nic, i == 99, 0);
		nic_run(n);
	}
	cr_assert_eq(n->indicated_count, 1);
	hvs_loopback_advance(n->lb, 4800000000u);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 1);
	hvs_loopback_advance(n->lb, 300000000u);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 2);
	cr_assert_eq(n->indicated[1], HVSI_RNDIS_MEDIA_CONNECT);
	cr_assert_eq(connect_status(n), 0);
	nic_down(n);
}

Test(net_life, speed_and_another_network_are_told)
{
	struct nic *n = up();

	hvs_nic_set_link(n->nic, true, 25000000000u);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 1);
	cr_assert_eq(n->indicated[0], HVSI_RNDIS_LINK_SPEED_CHANGE);
	hvs_nic_network_changed(n->nic);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 2);
	cr_assert_eq(n->indicated[1], HVSI_RNDIS_NETWORK_CHANGE);
	nic_down(n);
}

Test(net_life, what_happens_before_a_driver_is_there_is_asked_for_by_it)
{
	const struct nic_options opt = usual();
	struct nic *n = nic_up(&opt);

	hvs_nic_set_link(n->nic, false, 0);
	nic_connect(n);
	hvs_nic_network_changed(n->nic);
	nic_open(n);
	nic_negotiate(n);
	hvs_nic_set_link(n->nic, true, 0);
	hvs_nic_set_link(n->nic, false, 1000000000);
	cr_assert_eq(hvs_guest_net_initialize(n->drv), 0);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 0);
	cr_assert_eq(connect_status(n), 1);
	nic_down(n);
}

/* ---- addresses and virtual functions ---------------------------------------------------------- */

struct calls {
	unsigned mac;
	uint8_t address[6];
	unsigned vf;
	bool in_use;
};

static void mac_changed(void *arg, struct hvs_nic *nic, const uint8_t mac[6])
{
	struct calls *c = arg;

	(void)nic;
	c->mac++;
	memcpy(c->address, mac, 6);
}

static void vf_in_use(void *arg, struct hvs_nic *nic, bool vf)
{
	struct calls *c = arg;

	(void)nic;
	c->vf++;
	c->in_use = vf;
}

static uint32_t set_mac(struct nic *n, const uint8_t mac[6])
{
	uint32_t status = UINT32_MAX;

	cr_assert_eq(hvs_guest_net_set(n->drv, 0x01010102, mac, 6, &status), 0);
	return status;
}

Test(net_life, the_guests_address_is_changed_if_the_port_lets_it)
{
	static const uint8_t mac[6] = {2, 2, 3, 4, 5, 6};
	const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT,
					       .flags = HVS_PORT_MAC_SPOOFING};
	struct calls calls = {0};
	struct nic_options opt = usual();
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, true, false, 100, 1);
	struct nic *n;

	opt.nic.mac_changed = mac_changed;
	opt.nic.arg = &calls;
	n = nic_new(&opt);
	cr_assert_neq(set_mac(n, mac), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(calls.mac, 0);
	cr_assert_eq(hvs_nic_set_policy(n->nic, &policy), 0);
	cr_assert_eq(set_mac(n, mac), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(calls.mac, 1);
	cr_assert_arr_eq(calls.address, mac, 6);
	cr_assert_arr_eq(nic_status(n).mac, mac, 6);
	memcpy(frame, mac, 6);
	cr_assert(nic_give(n, 0, frame, len));
	nic_run(n);
	cr_assert_eq(n->received_count, 1);
	nic_down(n);
}

static struct hvsi_nvsp told(const struct nic *n, unsigned i)
{
	struct hvsi_nvsp m;

	memcpy(&m, n->told[i], sizeof(m));
	return m;
}

Test(net_life, virtual_functions_are_told_to_drivers_that_know_them)
{
	struct calls calls = {0};
	struct nic_options opt = usual();
	struct hvsi_nvsp path = {.type = hvsi_le32(HVSI_NVSP_SWITCH_DATA_PATH),
				 .u.data_path.path = hvsi_le32(HVSI_NVSP_PATH_VF)};
	const struct iovec iov = {&path, 40};
	struct nic *n;

	opt.nic.vf_in_use = vf_in_use;
	opt.nic.arg = &calls;
	n = nic_new(&opt);
	/* There is none to move to. */
	cr_assert_eq(hvs_guest_send(hvs_guest_net_channel(n->drv, 0), 0, false, NULL, &iov, 1), 0);
	nic_run(n);
	cr_assert_eq(calls.vf, 0);
	hvs_nic_set_vf(n->nic, true, 7);
	nic_run(n);
	cr_assert_eq(n->told_count, 1);
	cr_assert_eq(hvsi_get32(told(n, 0).type), HVSI_NVSP_VF_ASSOCIATION);
	cr_assert_eq(hvsi_get32(told(n, 0).u.vf.allocated), 1);
	cr_assert_eq(hvsi_get32(told(n, 0).u.vf.serial), 7);
	cr_assert_eq(hvs_guest_send(hvs_guest_net_channel(n->drv, 0), 0, false, NULL, &iov, 1), 0);
	nic_run(n);
	cr_assert(calls.in_use);
	cr_assert(nic_status(n).vf);
	/* Another one: the last one goes first. */
	hvs_nic_set_vf(n->nic, true, 8);
	nic_run(n);
	cr_assert_eq(n->told_count, 3);
	cr_assert_eq(hvsi_get32(told(n, 1).u.vf.allocated), 0);
	cr_assert_eq(hvsi_get32(told(n, 1).u.vf.serial), 7);
	cr_assert_eq(hvsi_get32(told(n, 2).u.vf.allocated), 1);
	cr_assert_eq(hvsi_get32(told(n, 2).u.vf.serial), 8);
	cr_assert_eq(hvs_guest_net_close(n->drv, HVS_GUEST_NET_CLOSE), 0);
	cr_assert_not(calls.in_use);
	cr_assert_eq(calls.vf, 2);
	n->opt.guest.capabilities = 0;
	nic_open(n);
	nic_start(n);
	nic_run(n);
	cr_assert_eq(n->told_count, 3);
	nic_down(n);
}
