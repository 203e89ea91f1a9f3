/* SPDX-License-Identifier: MIT */
/*
 * Tests the echo device of echo-vsp.c: host and guest in one process, and half-way another host, from
 * saved state.
 */
#include "echo-vsp.h"

#include <hvstack/channel.h>
#include <hvstack/guest/loopback.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int offer(void *arg, struct hvs_vmbus *bus)
{
	(void)arg;
	return echo_offer(bus);
}

/* The guest's driver: sends a text, waits for it to come back. */
static int guest_run(struct hvs_guest *g, struct hvs_loopback *lb)
{
	char text[] = "is anybody there?";
	const struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
	struct hvs_guest_channel *ch;
	struct hvs_guest_packet pkt;
	int err = hvs_guest_connect(g, 5u << 16 | 3);

	if (!err && hvs_guest_request_offers(g) != 1)
		err = -ENODEV;
	if (!err)
		err = hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 4096, &ch);
	for (uint64_t xid = 1; !err && xid <= 1000; xid++) {
		err = hvs_guest_send(ch, xid, true, NULL, &iov, 1);
		if (!err && xid == 500)
			err = hvs_loopback_replace_host(lb, 0, offer, NULL);
		if (!err && hvs_guest_recv_wait(ch, &pkt) != 1)
			err = -EIO;
		/* The payload is padded to a multiple of 8. */
		if (!err && (pkt.type != HVS_PACKET_COMPLETION || pkt.xid != xid ||
			     pkt.len < sizeof(text) || memcmp(pkt.data, text, sizeof(text)) != 0))
			err = -EPROTO;
	}
	return err ? err : hvs_guest_channel_close(ch);
}

int main(void)
{
	struct hvs_loopback *lb = NULL;
	struct hvs_guest *g;
	int err = hvs_loopback_create(NULL, &lb);

	if (!err)
		err = echo_offer(hvs_loopback_bus(lb));
	if (!err)
		err = hvs_loopback_start(lb, &g);
	if (!err)
		err = guest_run(g, lb);
	if (!err)
		puts("1000 packets came back, half of them from a second host");
	else
		fprintf(stderr, "echo: %s\n", strerror(-err));
	hvs_loopback_destroy(lb);
	return err ? 1 : 0;
}
