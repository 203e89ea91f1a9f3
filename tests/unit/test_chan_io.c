/* SPDX-License-Identifier: MIT */
/* Packets of an open channel, byte by byte; protocol/vmbus.md 6.2, 6.6 and 6.7. */
#include "support/bus.h"

#include <criterion/criterion.h>
#include <errno.h>

#define PAGES 4u
#define SPLIT 2u

/* An open channel with the guest's ends in r. */
static struct testbus *up(struct testdev *d, struct guest_rings *r)
{
	struct testbus *b = bus_up(NULL);

	dev_offer(b, d, 1, NULL);
	bus_start(b);
	rings_attach(b, r, OPEN_FIRST_PAGE, SPLIT, PAGES);
	bus_open_first(b, NEWEST, PAGES, SPLIT);
	return b;
}

static void kick(struct testbus *b)
{
	cr_assert_eq(hvs_vmbus_signal_event(b->bus, 0x2001, 0), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
}

/* The guest sends a packet, and the device looks at it. */
static void put(struct testbus *b, struct guest_rings *r, struct hvsi_descriptor desc,
		const void *payload, size_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)payload, len};

	cr_assert_eq(hvsi_ring_write(&r->out, &desc, NULL, 0, &iov, 1), 0);
	hvsi_ring_publish(&r->out);
	kick(b);
}

/* ---- transfer pages --------------------------------------------------------------------------- */

Test(chan_io, transfer_pages_on_the_wire)
{
	static const uint8_t want[] = {
		7, 0, 6, 0, 7, 0, 1, 0, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
		/* set, owner, reserved, count */
		0xfe, 0xca, 0, 0, 3, 0, 0, 0,
		/* length, offset */
		0x40, 0, 0, 0, 0, 0x10, 0, 0, /* 64 at 4096 */
		1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
		/* payload, padding */
		'd', 'a', 't', 'a', '!', 0, 0, 0,
		/* where it began */
		0, 0, 0, 0, 0, 0, 0, 0};
	static const struct hvs_page_range ranges[] = {
		{.len = 64, .offset = 4096}, {.len = 1, .offset = UINT32_MAX}, {.len = UINT32_MAX}};
	const struct iovec iov[] = {{(void *)(uintptr_t) "da", 2}, {(void *)(uintptr_t) "ta!", 3}};
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = up(&d, &r);

	cr_assert_eq(
		hvs_channel_send_pages(d.ch, 0x0123456789abcdef, true, 0xcafe, ranges, 3, iov, 2),
		0);
	hvs_channel_flush(d.ch);
	cr_assert_eq(b->signals, 1);
	cr_assert_eq(r.recv_ctl[0], sizeof(want));
	cr_assert_arr_eq(r.recv_data, want, sizeof(want));
	bus_down(b);
}

Test(chan_io, transfer_pages_need_a_range_and_room)
{
	static const struct hvs_page_range ranges[HVS_PAGE_RANGES_MAX + 1];
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = up(&d, &r);

	cr_assert_eq(hvs_channel_send_pages(d.ch, 1, true, 1, ranges, 0, NULL, 0), -EINVAL);
	cr_assert_eq(
		hvs_channel_send_pages(d.ch, 1, true, 1, ranges, HVS_PAGE_RANGES_MAX + 1, NULL, 0),
		-EINVAL);
	/* This ring is one page. */
	cr_assert_eq(hvs_channel_send_pages(d.ch, 1, true, 1, ranges, HVS_PAGE_RANGES_MAX, NULL, 0),
		     -EMSGSIZE);
	cr_assert_eq(hvs_channel_send_pages(d.ch, 1, true, 1, ranges, 500, NULL, 0), 0);
	cr_assert_eq(hvs_channel_send_pages(d.ch, 1, true, 1, ranges, 1, NULL, 0), 0);
	cr_assert_eq(hvs_channel_send_pages(d.ch, 1, true, 1, ranges, 1, NULL, 0), -EAGAIN);
	cr_assert_eq(r.recv_ctl[3], 40);
	bus_no_fault(b);
	bus_close(b, 1);
	cr_assert_eq(hvs_channel_send_pages(d.ch, 1, true, 1, ranges, 1, NULL, 0), -ESHUTDOWN);
	bus_down(b);
}

/* ---- what a guest may send -------------------------------------------------------------------- */

Test(chan_io, a_type_or_flag_for_nobody_faults_the_channel)
{
	static const struct hvsi_descriptor cases[] = {
		{.type = 7}, {.type = 8}, {.type = 0xa},           {.type = 0xc},
		{.type = 0}, {.type = 2}, {.type = 6, .flags = 2}, {.type = 9, .flags = 0x8001},
	};
	static const uint32_t payload[4] = {0, 1, 1, 0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct testdev d = {0};
		struct guest_rings r;
		struct testbus *b = up(&d, &r);

		put(b, &r, cases[i], payload, sizeof(payload));
		bus_expect_fault(b, HVS_FAULT_PACKET_TYPE, 1);
		cr_assert_eq(d.received, 0);
		cr_assert_eq(d.last_recv, -EPROTO);
		bus_down(b);
	}
}
