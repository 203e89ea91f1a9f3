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

/* ---- pipes ------------------------------------------------------------------------------------ */

static struct testbus *pipe_up(struct testdev *d, struct guest_rings *r)
{
	*d = (struct testdev){.flags = HVS_OFFER_PIPE};
	return up(d, r);
}

Test(chan_io, a_message_on_the_wire)
{
	static const uint8_t want[] = {6,   0,   2,   0,   5,   0,   0,   0,   7,   0,
				       0,   0,   0,   0,   0,   0,   1,   0,   0,   0, /* data */
				       9,   0,   0,   0,                               /* bytes */
				       'n', 'i', 'n', 'e', 'b', 'y', 't', 'e', 's', 0,
				       0,   0,   0,   0,   0,   0, /* padding */
				       0,   0,   0,   0,   0,   0,   0,   0};
	static const uint8_t empty[] = {6,
					0,
					2,
					0,
					3,
					0,
					1,
					0,
					8,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					1,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					0,
					sizeof(want),
					0,
					0,
					0};
	static const uint8_t completion[] = {0xb, 0,   2,   0, 4, 0,   0,   0,   9,   0,   0,
					     0,   0,   0,   0, 0, 'n', 'i', 'n', 'e', 'b', 'y',
					     't', 'e', 's', 0, 0, 0,   0,   0,   0,   0};
	const struct iovec iov[] = {{(void *)(uintptr_t) "nine", 4},
				    {(void *)(uintptr_t) "bytes", 5}};
	const uint8_t *at;
	struct testdev d;
	struct guest_rings r;
	struct testbus *b = pipe_up(&d, &r);

	cr_assert_eq(hvs_channel_send(d.ch, 7, false, iov, 2), 0);
	cr_assert_eq(hvs_channel_send(d.ch, 8, true, NULL, 0), 0);
	cr_assert_eq(hvs_channel_complete(d.ch, 9, iov, 2), 0);
	hvs_channel_flush(d.ch);
	at = r.recv_data;
	cr_assert_arr_eq(at, want, sizeof(want));
	at += sizeof(want);
	cr_assert_arr_eq(at, empty, sizeof(empty));
	at += sizeof(empty);
	cr_assert_arr_eq(at, completion, sizeof(completion));
	bus_down(b);
}

Test(chan_io, a_message_has_room_for_its_header)
{
	static uint8_t bytes[4096];
	struct iovec iov[2] = {{bytes, 4096 - 8 - 16 - 8 - 8}, {bytes, 1}};
	const struct iovec huge[2] = {{bytes, SIZE_MAX}, {bytes, 9}};
	struct testdev d;
	struct guest_rings r;
	struct testbus *b = pipe_up(&d, &r);

	cr_assert_eq(hvs_channel_send(d.ch, 1, false, iov, 2), -EMSGSIZE);
	cr_assert_eq(hvs_channel_send(d.ch, 1, false, huge, 2), -EMSGSIZE);
	cr_assert_eq(hvs_channel_send(d.ch, 1, false, iov, 1), 0);
	bus_down(b);
}

Test(chan_io, a_message_is_as_long_as_its_header_says)
{
	static const struct {
		uint32_t payload; /* bytes in the packet: header, message, padding */
		uint32_t len;
	} good[] = {{8, 0}, {16, 0}, {16, 1}, {16, 7}, {16, 8}, {24, 9}, {1000, 992}, {1000, 3}};
	struct testdev d;
	struct guest_rings r;
	struct testbus *b = pipe_up(&d, &r);

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint32_t payload[250] = {1, good[i].len, 0xee00 + i};

		put(b, &r, (struct hvsi_descriptor){.type = 6, .xid = i}, payload, good[i].payload);
		cr_assert_eq(d.received, i + 1, "case %u", i);
		cr_assert_eq(d.len[i], good[i].len, "case %u", i);
		cr_assert_eq(d.first_byte[i], good[i].len ? i : 0, "case %u", i);
	}
	bus_no_fault(b);
	bus_down(b);
}

Test(chan_io, what_is_no_message_faults_a_pipe)
{
	static const struct {
		const char *what;
		struct hvsi_descriptor desc;
		uint32_t payload[5];
		uint32_t len;
		enum hvs_fault_code code;
	} bad[] = {
		{"no header", {.type = 6}, {0}, 0, HVS_FAULT_PACKET_HEADER},
		{"no type", {.type = 6}, {0, 0}, 8, HVS_FAULT_PACKET_HEADER},
		{"partially read", {.type = 6}, {2, 0}, 8, HVS_FAULT_PACKET_HEADER},
		{"set up GPA direct", {.type = 6}, {3, 8}, 16, HVS_FAULT_PACKET_HEADER},
		{"tear down GPA direct", {.type = 6}, {4, 8}, 16, HVS_FAULT_PACKET_HEADER},
		{"type far out", {.type = 6}, {0x80000001, 8}, 16, HVS_FAULT_PACKET_HEADER},
		{"a byte too long", {.type = 6}, {1, 1}, 8, HVS_FAULT_PACKET_HEADER},
		{"counts the header", {.type = 6}, {1, 16}, 16, HVS_FAULT_PACKET_HEADER},
		{"wraps", {.type = 6}, {1, 0xfffffff8}, 16, HVS_FAULT_PACKET_HEADER},
		{"longest", {.type = 6}, {1, UINT32_MAX}, 16, HVS_FAULT_PACKET_HEADER},
		{"GPA direct",
		 {.type = 9, .header_len8 = 3},
		 {0, 1, 1, 0},
		 16,
		 HVS_FAULT_PACKET_RANGES},
		{"good GPA direct",
		 {.type = 9, .header_len8 = 5},
		 {0, 1, 0, 0, 5},
		 24,
		 HVS_FAULT_PACKET_TYPE},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t payload[6] = {0};
		struct testdev d;
		struct guest_rings r;
		struct testbus *b = pipe_up(&d, &r);

		memcpy(payload, bad[i].payload, sizeof(bad[i].payload));
		if (bad[i].desc.type == 9)
			payload[2] = bad[i].payload[2] ? bad[i].payload[2] : 4;
		put(b, &r, bad[i].desc, payload, bad[i].len);
		cr_assert_eq(b->faults, 1, "%s", bad[i].what);
		bus_expect_fault(b, bad[i].code, 1);
		cr_assert_eq(d.received, 0, "%s", bad[i].what);
		cr_assert_eq(hvs_channel_send(d.ch, 1, false, NULL, 0), -ESHUTDOWN);
		bus_down(b);
	}
}

Test(chan_io, completions_in_a_pipe_are_as_they_are)
{
	const uint64_t payload = 0x4444444444444444;
	struct testdev d;
	struct guest_rings r;
	struct testbus *b = pipe_up(&d, &r);

	put(b, &r, (struct hvsi_descriptor){.type = 0xb, .xid = 5}, &payload, sizeof(payload));
	cr_assert_eq(d.received, 1);
	cr_assert_eq(d.len[0], 8);
	cr_assert_eq(d.first_byte[0], 0x44);
	bus_no_fault(b);
	bus_down(b);
}
