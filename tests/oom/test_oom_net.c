/* SPDX-License-Identifier: MIT */
/*
 * The life of a NIC again and again, each time with another allocation failing: no crash, everything
 * is given back, and what works without that memory works.
 */
#include "support/alloc.h"
#include "vsp/network/proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <errno.h>

#define FRAMES 60u

struct machine {
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_nic *nic;
	struct hvs_guest_net *drv;
	unsigned transmitted;
	unsigned completed;
	unsigned received;
	struct hvs_net_frame *held[FRAMES];
	unsigned held_count;
};

static int get_info(void *priv, struct hvs_net_info *info)
{
	(void)priv;
	(void)info;
	return 0;
}

/* What is sent is kept: so much is in flight that more memory is needed. */
static void tx(void *priv, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	struct machine *m = priv;

	(void)queue;
	for (unsigned i = 0; i < n; i++)
		m->held[m->held_count++] = frames[i];
	m->transmitted += n;
}

static void finish(struct machine *m)
{
	for (unsigned i = 0; i < m->held_count; i++)
		hvs_nic_tx_done(m->nic, &m->held[i], 1, HVS_NET_OK);
	m->held_count = 0;
}

static void rx_wanted(void *priv, bool wanted)
{
	if (!wanted)
		finish(priv);
}

static void sent(void *arg, unsigned channel, uint64_t xid, uint32_t status)
{
	(void)channel;
	(void)xid;
	(void)status;
	((struct machine *)arg)->completed++;
}

static void received(void *arg, const struct hvs_guest_net_frame *f)
{
	(void)f;
	((struct machine *)arg)->received++;
}

static int up(struct test_alloc *a, struct machine *m)
{
	const struct hvs_net_ops ops = {HVS_NET_OPS_INIT, .get_info = get_info, .tx = tx,
					.rx_wanted = rx_wanted};
	const struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .mac = {2}, .max_subchannels = 1};
	const struct hvs_loopback_config lb_cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 4u << 20,
						   .alloc = test_allocator(a)};
	int err = hvs_loopback_create(&lb_cfg, &m->lb);

	if (err)
		return err;
	err = hvs_nic_create(hvs_loopback_bus(m->lb), &cfg, &ops, m, &m->nic);
	if (!err)
		err = hvs_loopback_start(m->lb, &m->guest);
	if (!err)
		err = hvs_guest_connect(m->guest, 0x50003);
	if (err)
		return err;
	err = hvs_guest_request_offers(m->guest);
	return err < 0 ? err : 0;
}

static int open_nic(struct machine *m)
{
	const struct hvs_guest_net_config cfg = {
		HVS_GUEST_NET_CONFIG_INIT, .version = HVSI_NVSP_VERSION_61,
		.send_bytes = 512u * 1024, .sent = sent,
		.received = received,      .arg = m};
	struct hvs_guest_channel *ch;
	int err = hvs_guest_channel_open(m->guest, hvs_guest_offer_at(m->guest, 0), 65536, &ch);

	if (err)
		return err;
	err = hvs_guest_net_open(ch, &cfg, &m->drv);
	if (err) {
		(void)hvs_guest_channel_close(ch);
		return err;
	}
	err = hvs_guest_net_initialize(m->drv);
	if (!err)
		err = hvs_guest_net_set_filter(m->drv, 0x0d);
	if (!err)
		err = hvs_guest_net_open_subchannels(m->drv, 1);
	return err < 0 ? err : 0;
}

static void run(struct machine *m)
{
	int got;

	do {
		hvs_loopback_run(m->lb);
		got = hvs_guest_net_poll(m->drv);
		cr_assert_geq(got, 0);
	} while (got);
}

/* Everything is completed; without memory some of it does not get to the network. */
static int traffic(struct machine *m)
{
	uint8_t frame[600] = {2, [6] = 2, [12] = 8};
	const struct hvs_guest_net_packet p = {.data = frame, .len = sizeof(frame)};
	const struct iovec iov = {frame, sizeof(frame)};
	const struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .len = sizeof(frame), .iov = &iov,
					.iovcnt = 1};
	const struct hvs_net_frame *list = &f;

	m->transmitted = 0;
	m->completed = 0;
	m->received = 0;
	for (unsigned i = 0; i < FRAMES; i++)
		cr_assert_eq(hvs_guest_net_send(m->drv, 0, i, &p, 1), 0);
	for (unsigned i = 0; i < FRAMES && m->completed < FRAMES; i++) {
		run(m);
		finish(m);
	}
	run(m);
	cr_assert_eq(m->completed, FRAMES);
	cr_assert_eq(hvs_nic_rx(m->nic, 0, &list, 1), 1);
	run(m);
	cr_assert_eq(m->received, 1);
	return m->transmitted == FRAMES ? 0 : -ENOMEM;
}

static int whole_life(struct test_alloc *a)
{
	const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_DHCP_GUARD};
	struct machine m = {0};
	int err = up(a, &m);

	if (!err)
		err = open_nic(&m);
	if (!err)
		err = traffic(&m);
	if (!err)
		err = hvs_nic_set_policy(m.nic, &policy);
	if (!err)
		err = hvs_guest_net_close(m.drv, HVS_GUEST_NET_REVOKE);
	else if (m.drv)
		(void)hvs_guest_net_close(m.drv, HVS_GUEST_NET_CLOSE);
	m.drv = NULL;
	hvs_loopback_destroy(m.lb);
	return err;
}

Test(oom_net, every_failure_ends_the_life_cleanly)
{
	for (size_t n = 0; n < 1000; n++) {
		struct test_alloc a = {.fail_at = n};
		int err = whole_life(&a);

		cr_assert_eq(a.live, 0, "allocation %zu failed: %zu bytes are lost", n, a.live);
		if (!a.failed) {
			cr_assert_eq(err, 0, "nothing failed, but the story says %d", err);
			cr_assert_gt(n, 25);
			return;
		}
	}
	cr_assert_fail("allocates without end");
}

/* Where opening failed, the same is tried again, with memory: it must work then. */
static void persistent(struct test_alloc *a)
{
	struct machine m = {0};

	if (up(a, &m) == 0) {
		int err = open_nic(&m);

		if (err) {
			if (m.drv)
				(void)hvs_guest_net_close(m.drv, HVS_GUEST_NET_CLOSE);
			int second = open_nic(&m);

			cr_assert_eq(second, 0, "first %d, then %d", err, second);
		}
		(void)traffic(&m);
		cr_assert_eq(traffic(&m), 0);
		cr_assert_eq(hvs_guest_net_close(m.drv, HVS_GUEST_NET_REVOKE), 0);
	}
	hvs_loopback_destroy(m.lb);
}

Test(oom_net, every_failure_can_be_repaired_by_trying_again)
{
	for (size_t n = 0; n < 1000; n++) {
		struct test_alloc a = {.fail_at = n};

		persistent(&a);
		cr_assert_eq(a.live, 0, "allocation %zu failed: %zu bytes are lost", n, a.live);
		if (!a.failed)
			return;
	}
	cr_assert_fail("allocates without end");
}
