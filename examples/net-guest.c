/* SPDX-License-Identifier: MIT */
#include "net-guest.h"

#include <hvstack/guest/network.h>

#include <errno.h>
#include <string.h>

#define ADDRESS_BYTES 6u
#define NVSP_VERSION 0x60001u
#define VMBUS_VERSION (5u << 16 | 3)
#define FILTER_DIRECTED 0x01u

struct guest {
	unsigned received;
	bool wrong;
	const uint8_t *mac;
};

static void on_frame(void *arg, const struct hvs_guest_net_frame *f)
{
	struct guest *guest = arg;

	guest->received++;
	guest->wrong |= f->len != 60 || memcmp(f->data, guest->mac, ADDRESS_BYTES) != 0;
}

static int send_all(struct hvs_guest_net *drv, struct hvs_loopback *lb, const uint8_t *mac)
{
	uint8_t frame[60] = {0x02, [12] = 0x88, [13] = 0xb5}; /* a type for experiments */
	const struct hvs_guest_net_packet packet = {.data = frame, .len = sizeof(frame)};
	int err = 0;

	memcpy(frame + ADDRESS_BYTES, mac, ADDRESS_BYTES);
	for (unsigned i = 0; !err && i < NET_GUEST_FRAMES; i++) {
		err = hvs_guest_net_send(drv, 0, i, &packet, 1);
		hvs_loopback_run(lb);
		if (!err && hvs_guest_net_poll(drv) < 0)
			err = -EPROTO;
	}
	return err;
}

int net_guest_run(struct hvs_guest *g, struct hvs_loopback *lb, const uint8_t mac[6])
{
	struct guest guest = {.mac = mac};
	const struct hvs_guest_net_config cfg = {HVS_GUEST_NET_CONFIG_INIT, .version = NVSP_VERSION,
						 .send_bytes = 64u << 10, .received = on_frame,
						 .arg = &guest};
	struct hvs_guest_channel *ch;
	struct hvs_guest_net *drv;
	int err = hvs_guest_connect(g, VMBUS_VERSION);

	if (!err && hvs_guest_request_offers(g) != 1)
		err = -ENODEV;
	if (!err)
		err = hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 64u << 10, &ch);
	if (!err)
		err = hvs_guest_net_open(ch, &cfg, &drv);
	if (err)
		return err;
	err = hvs_guest_net_initialize(drv);
	if (!err)
		err = hvs_guest_net_set_filter(drv, FILTER_DIRECTED);
	if (!err)
		err = send_all(drv, lb, mac);
	if (!err && (guest.received != NET_GUEST_FRAMES || guest.wrong))
		err = -EPROTO;
	(void)hvs_guest_net_close(drv, HVS_GUEST_NET_REVOKE);
	return err;
}
