/* SPDX-License-Identifier: MIT */
/*
 * A device of one's own: sends every packet back. echo-loopback.c is a guest that uses it in the same
 * process, echo-uio.c one on Linux; see docs/integration.md.
 */
#include "echo-vsp.h"

#include <hvstack/channel.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* [device] */
#define ECHO_MAX (65535u * 8) /* bytes: larger ones do not exist */
#define ECHO_LATENCY_US 1000u /* programs in the guest cannot make hypercalls */

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
int echo_offer(struct hvs_vmbus *bus)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT,    .open = echo_open,
					       .ready = echo_ready, .close = echo_close,
					       .save = echo_save,   .restore = echo_restore};
	const struct hvs_offer offer = {
		HVS_OFFER_INIT, .class_id = {"echo's class id"}, .instance_id = {"echo instance 0"},
		.max_packet_bytes = ECHO_MAX, .monitor_latency_us = ECHO_LATENCY_US};
	struct hvs_device *device;

	return hvs_device_offer(bus, &offer, &ops, NULL, &device);
}
