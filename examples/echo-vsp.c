/* SPDX-License-Identifier: MIT */
/*
 * A device of one's own: sends every packet back. Runs over the loopback, and half-way on another
 * host, from saved state; see docs/integration.md.
 */
#include <hvstack/channel.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/vmbus.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* [device] */
#define ECHO_MAX 1024u /* bytes of a packet */

struct echo_channel {
	bool blocked; /* the answer below waits for room in the ring */
	uint64_t xid;
	uint32_t len;
	unsigned char data[ECHO_MAX];
};

static int echo_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     void **ctx)
{
	(void)dev, (void)ch, (void)params;
	*ctx = calloc(1, sizeof(struct echo_channel));
	return *ctx ? 0 : -ENOMEM;
}

static int answer(struct hvs_channel *ch, struct echo_channel *echo)
{
	const struct iovec iov = {.iov_base = echo->data, .iov_len = echo->len};
	int err = hvs_channel_complete(ch, echo->xid, &iov, 1);

	echo->blocked = err == -EAGAIN; /* ready() is called when there is room */
	return err;
}

static bool echo_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct echo_channel *echo = ctx;
	const struct hvs_packet *pkt;
	unsigned taken = 0;

	if (echo->blocked && answer(ch, echo) < 0)
		return false;
	while (taken < budget && hvs_channel_recv(ch, &pkt) == 1) {
		taken++;
		if (!pkt->wants_completion)
			continue;
		echo->xid = pkt->xid;
		echo->len = pkt->len; /* at most ECHO_MAX: max_packet_bytes says so */
		memcpy(echo->data, pkt->data, pkt->len);
		if (answer(ch, echo) < 0)
			return false;
	}
	return taken == budget; /* what was queued is flushed when we return */
}

static void echo_close(struct hvs_channel *ch, void *ctx)
{
	free(ctx);              /* nothing is in flight, */
	hvs_channel_closed(ch); /* so at once */
}

/* [state] the answer that waits; on machines of one byte order */
struct echo_state {
	uint64_t xid;
	uint32_t len;
	uint32_t blocked;
};

static int echo_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w)
{
	const struct echo_channel *echo = ctx;
	const struct echo_state state = {echo->xid, echo->len, echo->blocked};
	int err = hvs_state_put(w, &state, sizeof(state));

	(void)ch;
	return err ? err : hvs_state_put(w, echo->data, echo->len);
}

static int echo_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
			struct hvs_state_reader *r, void **ctx)
{
	struct echo_channel *echo;
	struct echo_state state;
	int err = hvs_state_get(r, &state, sizeof(state));

	if (!err && (state.len > ECHO_MAX || state.blocked > 1))
		err = -EBADMSG; /* whoever it comes from */
	if (!err)
		err = echo_open(dev, ch, params, ctx);
	if (err)
		return err;
	echo = *ctx;
	echo->xid = state.xid;
	echo->len = state.len;
	echo->blocked = state.blocked; /* ready() follows, and answers */
	err = hvs_state_get(r, echo->data, echo->len);
	if (err)
		free(echo);
	return err;
}

/* [offer] */
static int echo_create(struct hvs_vmbus *bus)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT,    .open = echo_open,
					       .ready = echo_ready, .close = echo_close,
					       .save = echo_save,   .restore = echo_restore};
	const struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = {"echo's class id"},
					.instance_id = {"echo instance 0"},
					.max_packet_bytes = ECHO_MAX};
	struct hvs_device *device;

	return hvs_device_offer(bus, &offer, &ops, NULL, &device);
}
/* [end] */

static int offer(void *arg, struct hvs_vmbus *bus)
{
	(void)arg;
	return echo_create(bus);
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
		err = echo_create(hvs_loopback_bus(lb));
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
