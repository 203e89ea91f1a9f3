/* SPDX-License-Identifier: MIT */
/*
 * A network back end of one's own: at the other end of the link is somebody who sends every frame
 * back. Runs over the loopback, with the guest of net-guest.c; see docs/integration.md.
 */
#include "net-guest.h"

#include <hvstack/network.h>

#include <stdio.h>
#include <string.h>

#define ECHO_MTU 1500u
#define ADDRESS_BYTES 6u

/* [back end] */
struct echo_net {
	struct hvs_nic *nic;
	bool attached; /* back ends that use other threads need a lock for it */
};

static int echo_get_info(void *net, struct hvs_net_info *info)
{
	(void)net;
	info->mtu = ECHO_MTU; /* no offloads: all frames come complete */
	return 0;
}

static void echo_attach(void *net, struct hvs_nic *nic)
{
	*(struct echo_net *)net = (struct echo_net){.nic = nic, .attached = true};
}

static void echo_detach(void *net)
{
	((struct echo_net *)net)->attached = false; /* frames may still come, and go back */
}

static void send_back(const struct echo_net *net, uint32_t queue, const struct hvs_net_frame *sent)
{
	uint8_t bytes[HVS_NET_HEADER_BYTES + 2 * 4 + ECHO_MTU]; /* with two tags */
	const struct iovec iov = {.iov_base = bytes, .iov_len = sent->len};
	const struct hvs_net_frame frame = {HVS_NET_FRAME_INIT, .len = sent->len, .iov = &iov,
					    .iovcnt = 1};
	const struct hvs_net_frame *frames = &frame;
	uint32_t at = 0;

	if (sent->len > sizeof(bytes))
		return;
	for (unsigned i = 0; i < sent->iovcnt; i++) {
		memcpy(bytes + at, sent->iov[i].iov_base, sent->iov[i].iov_len);
		at += (uint32_t)sent->iov[i].iov_len;
	}
	memcpy(bytes, (const uint8_t *)sent->iov[0].iov_base + ADDRESS_BYTES, ADDRESS_BYTES);
	memcpy(bytes + ADDRESS_BYTES, sent->iov[0].iov_base, ADDRESS_BYTES);
	/* If there is no room it is dropped, as networks may. rx_room() would tell when there is. */
	(void)!hvs_nic_rx(net->nic, queue, &frames, 1);
}

static void echo_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	const struct echo_net *echo = net;

	for (unsigned i = 0; echo->attached && i < n; i++)
		send_back(echo, queue, frames[i]);
	hvs_nic_tx_done(echo->nic, frames, n, HVS_NET_OK);
}

static const struct hvs_net_ops echo_ops = {
	HVS_NET_OPS_INIT,      .get_info = echo_get_info, .tx = echo_tx,
	.attach = echo_attach, .detach = echo_detach,
};
/* [end] */

static const uint8_t nic_mac[6] = {0x00, 0x15, 0x5d, 0x00, 0x00, 0x01};

static int echo_create(struct hvs_vmbus *bus, struct echo_net *net)
{
	struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .instance_id = {"echo instance 0"}};
	struct hvs_nic *nic;

	memcpy(cfg.mac, nic_mac, sizeof(cfg.mac));
	return hvs_nic_create(bus, &cfg, &echo_ops, net, &nic);
}

int main(void)
{
	struct hvs_loopback *lb = NULL;
	struct echo_net net;
	struct hvs_guest *g;
	int err = hvs_loopback_create(NULL, &lb);

	if (!err)
		err = echo_create(hvs_loopback_bus(lb), &net);
	if (!err)
		err = hvs_loopback_start(lb, &g);
	if (!err)
		err = net_guest_run(g, lb, nic_mac);
	if (!err)
		printf("%u frames came back\n", NET_GUEST_FRAMES);
	else
		fprintf(stderr, "echo: %s\n", strerror(-err));
	hvs_loopback_destroy(lb);
	return err ? 1 : 0;
}
