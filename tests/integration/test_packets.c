/* SPDX-License-Identifier: MIT */
/* Kinds of packets between a device and the guest end. */
#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* A device that sends back what it gets; what else it sends the test does. */
struct device {
	struct hvs_channel *ch;
	bool asks; /* wants completions of what it sends back */
};

static int device_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		       void **ctx)
{
	struct device *d = dev;

	(void)params;
	d->ch = ch;
	*ctx = d;
	return 0;
}

static bool device_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	const struct device *d = ctx;
	const struct hvs_packet *pkt;

	(void)budget;
	while (hvs_channel_recv(ch, &pkt) == 1) {
		const struct iovec iov = {(void *)(uintptr_t)pkt->data, pkt->len};

		cr_assert_eq(pkt->type, HVS_PACKET_INBAND);
		cr_assert_eq(hvs_channel_send(ch, pkt->xid, d->asks, &iov, 1), 0);
	}
	return false;
}

static void device_close(struct hvs_channel *ch, void *ctx)
{
	((struct device *)ctx)->ch = NULL;
	hvs_channel_closed(ch);
}

struct pair {
	struct hvs_loopback *lb;
	struct device dev;
	struct hvs_guest_channel *ch;
};

static void up(struct pair *p, uint32_t flags)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT, .open = device_open,
					       .ready = device_ready, .close = device_close};
	const struct hvs_offer offer = {HVS_OFFER_INIT, .flags = flags, .instance_id = {{1}}};
	struct hvs_device *device;
	struct hvs_guest *g;

	*p = (struct pair){0};
	cr_assert_eq(hvs_loopback_create(NULL, &p->lb), 0);
	cr_assert_eq(hvs_device_offer(hvs_loopback_bus(p->lb), &offer, &ops, &p->dev, &device), 0);
	cr_assert_eq(hvs_loopback_start(p->lb, &g), 0);
	cr_assert_eq(hvs_guest_connect(g, 5u << 16 | 3), 0);
	cr_assert_eq(hvs_guest_request_offers(g), 1);
	cr_assert_eq(hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 8192, &p->ch), 0);
	hvs_loopback_run(p->lb);
}

static void down(struct pair *p)
{
	cr_assert_eq(hvs_guest_channel_close(p->ch), 0);
	cr_assert_null(p->dev.ch);
	hvs_loopback_destroy(p->lb);
}

Test(packets, the_guest_sees_the_ranges_of_transfer_pages)
{
	static const struct hvs_page_range ranges[] = {{.len = 1514, .offset = 2 * 1536},
						       {.len = 60, .offset = 5 * 1536}};
	const struct iovec iov = {(void *)(uintptr_t) "rndis", 5};
	struct hvs_guest_packet pkt;
	struct pair p;

	up(&p, 0);
	for (uint64_t i = 0; i < 300; i++) { /* several times around */
		cr_assert_eq(hvs_channel_send_pages(p.dev.ch, i, i % 2, 0xcafe, ranges, 2, &iov, 1),
			     0);
		cr_assert_eq(hvs_channel_send(p.dev.ch, i, false, &iov, 1), 0);
		hvs_channel_flush(p.dev.ch);
		cr_assert_eq(hvs_guest_recv(p.ch, &pkt), 1);
		cr_assert_eq(pkt.type, HVS_PACKET_TRANSFER_PAGES);
		cr_assert_eq(pkt.xid, i);
		cr_assert_eq(pkt.wants_completion, i % 2);
		cr_assert_eq(pkt.pageset_id, 0xcafe);
		cr_assert_eq(pkt.range_count, 2);
		for (unsigned n = 0; n < 2; n++) {
			cr_assert_eq(pkt.ranges[n].len, ranges[n].len);
			cr_assert_eq(pkt.ranges[n].offset, ranges[n].offset);
		}
		cr_assert_eq(pkt.len, 8);
		cr_assert_eq(memcmp(pkt.data, "rndis\0\0", 8), 0);
		cr_assert_eq(hvs_guest_recv(p.ch, &pkt), 1);
		cr_assert_eq(pkt.type, HVS_PACKET_INBAND);
		cr_assert_null(pkt.ranges);
		cr_assert_eq(pkt.range_count, 0);
		cr_assert_eq(hvs_guest_recv(p.ch, &pkt), 0);
	}
	down(&p);
}

/* The guest end does not believe the host either. */
Test(packets, the_guest_refuses_ranges_that_are_not_there)
{
	for (uint32_t count = 0; count <= 4; count++) {
		static const struct hvs_page_range ranges[3];
		struct hvs_guest_packet pkt;
		struct pair p;
		uint8_t *rings;
		size_t len;

		up(&p, 0);
		cr_assert_eq(hvs_channel_send_pages(p.dev.ch, 1, true, 1, ranges, 3, NULL, 0), 0);
		hvs_channel_flush(p.dev.ch);
		rings = hvs_guest_channel_rings(p.ch, &len);
		rings[len / 2 + 4096 + 20] = (uint8_t)count;
		cr_assert_eq(hvs_guest_recv(p.ch, &pkt), count >= 1 && count <= 3 ? 1 : -EPROTO,
			     "%u ranges", count);
		down(&p);
	}
}

Test(packets, messages_come_back_exactly_as_long)
{
	static char bytes[2000];
	struct hvs_guest_packet pkt;
	struct pair p;

	memset(bytes, 0x5a, sizeof(bytes));
	up(&p, HVS_OFFER_PIPE);
	for (uint32_t len = 0; len < sizeof(bytes); len += len < 40 ? 1 : 97) {
		const struct iovec iov[2] = {{bytes, len / 3}, {bytes, len - len / 3}};

		p.dev.asks = len % 2;
		cr_assert_eq(hvs_guest_send(p.ch, len, false, NULL, iov, 2), 0);
		cr_assert_eq(hvs_guest_recv_wait(p.ch, &pkt), 1);
		cr_assert_eq(pkt.type, HVS_PACKET_INBAND);
		cr_assert_eq(pkt.xid, len);
		cr_assert_eq(pkt.wants_completion, len % 2);
		cr_assert_eq(pkt.len, len);
		cr_assert_eq(memcmp(pkt.data, bytes, len), 0);
	}
	cr_assert_eq(hvs_loopback_count(p.lb)->faults, 0);
	down(&p);
}

Test(packets, the_guest_refuses_a_message_that_is_not_there)
{
	static const uint32_t bad[][2] = {{0, 4}, {2, 4}, {1, 9}, {1, UINT32_MAX}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct iovec iov = {(void *)(uintptr_t) "message", 8};
		struct hvs_guest_packet pkt;
		struct pair p;
		uint8_t *rings;
		size_t len;

		up(&p, HVS_OFFER_PIPE);
		cr_assert_eq(hvs_channel_send(p.dev.ch, 1, false, &iov, 1), 0);
		hvs_channel_flush(p.dev.ch);
		rings = hvs_guest_channel_rings(p.ch, &len);
		memcpy(rings + len / 2 + 4096 + 16, bad[i], 8);
		cr_assert_eq(hvs_guest_recv(p.ch, &pkt), -EPROTO, "case %zu", i);
		down(&p);
	}
}
