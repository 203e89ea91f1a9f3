/* SPDX-License-Identifier: MIT */
/* Channels: opening, closing, moving, and packets; protocol/vmbus.md 5.8 to 5.12 and 6. */
#include "support/alloc.h"
#include "support/bus.h"

#include <criterion/criterion.h>
#include <errno.h>

#define PAGES 4u
#define SPLIT 2u

static struct testbus *up(struct testdev *d, const struct bus_options *opt)
{
	struct testbus *b = bus_up(opt);

	dev_offer(b, d, 1, NULL);
	bus_start(b);
	return b;
}

/* Open with the guest's ends in r. */
static struct testbus *open_with_rings(struct testdev *d, const struct bus_options *opt,
				       struct guest_rings *r)
{
	struct testbus *b = up(d, opt);

	rings_attach(b, r, OPEN_FIRST_PAGE, SPLIT, PAGES);
	bus_open_first(b, NEWEST, PAGES, SPLIT);
	return b;
}

static uint16_t kick(struct testbus *b)
{
	uint16_t status = hvs_vmbus_signal_event(b->bus, 0x2001, 0);

	bus_run(b);
	return status;
}

/* ---- opening ---------------------------------------------------------------------------------- */

Test(chan, open_tells_the_device_what_the_guest_asked_for)
{
	struct hvsi_msg_open open = bus_open_msg(1, 0xabcd1234, 9, 1, 3);
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	for (uint8_t i = 0; i < 120; i++)
		open.user_data[i] = (uint8_t)(i + 1);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 9, 16, 8);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 0xabcd1234, 0);
	cr_assert_eq(d.opens, 1);
	cr_assert_eq(d.params.subchannel, 0);
	cr_assert_eq(d.params.target_vp, 1);
	cr_assert_eq(d.params.recv_ring_bytes, 2 * 4096);
	cr_assert_eq(d.params.send_ring_bytes, 4 * 4096);
	cr_assert_arr_eq(d.params.user_data, open.user_data, 120);
	cr_assert_eq(hvs_channel_id(d.ch), 1);
	bus_no_fault(b);
	bus_down(b);
}

Test(chan, opens_with_bad_rings_are_refused)
{
	static const struct {
		uint32_t relid;
		uint32_t gpadl;
		uint32_t vp;
		uint32_t split;
		bool ok;
	} cases[] = {
		/* GPADL 1: 6 pages; 2: 3 pages; 3: of another channel; 4: part of a page missing;
		 * 5: two ranges; 6: waits for pages; 7: being torn down; 8: does not exist */
		{1, 1, 0, 2, true},
		{1, 1, 0, 4, true},
		{1, 1, 1, 3, true},
		{1, 1, UINT32_MAX, 3, true}, /* never interrupt */
		{1, 1, 2, 3, false},         /* there are two VPs */
		{1, 1, UINT32_MAX - 1, 3, false},
		{1, 1, 0, 0, false}, /* each ring: a control page and one of data */
		{1, 1, 0, 1, false},
		{1, 1, 0, 5, false},
		{1, 1, 0, 6, false},
		{1, 1, 0, 7, false},
		{1, 1, 0, UINT32_MAX, false},
		{1, 2, 0, 1, false},
		{1, 2, 0, 2, false},
		{1, 3, 0, 2, false},
		{1, 4, 0, 2, false},
		{1, 5, 0, 2, false},
		{1, 6, 0, 2, false},
		{1, 7, 0, 2, false},
		{1, 8, 0, 2, false},
		{0, 1, 0, 2, false},
		{3, 1, 0, 2, false},
		{2047, 1, 0, 2, false},
		{2048, 1, 0, 2, false},
		{UINT32_MAX, 1, 0, 2, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvsi_msg_open open = bus_open_msg(
			cases[i].relid, (uint32_t)i, cases[i].gpadl, cases[i].vp, cases[i].split);
		struct hvsi_msg_gpadl_header h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
						  .relid = hvsi_le32(1)};
		struct testdev d[2] = {{0}};
		struct testbus *b = bus_up(NULL);
		uint8_t msg[240];

		dev_offer(b, &d[0], 1, NULL);
		dev_offer(b, &d[1], 2, NULL);
		bus_start(b);
		bus_connect(b, NEWEST);
		bus_offers(b, 2);
		bus_gpadl(b, 1, 1, 16, 6);
		bus_gpadl(b, 1, 2, 32, 3);
		bus_gpadl(b, 2, 3, 48, 6);
		/* 4: six pages, the last 8 bytes are not shared */
		h.gpadl_id = hvsi_le32(4);
		h.range_bytes = hvsi_le16(56);
		h.range_count = hvsi_le16(1);
		memcpy(msg, &h, sizeof(h));
		memcpy(msg + 20, (struct hvs_le32[]){hvsi_le32(6 * 4096 - 8), hvsi_le32(0)}, 8);
		for (uint32_t n = 0; n < 6; n++)
			memcpy(msg + 28 + 8 * n, (struct hvs_le64[]){hvsi_le64(BUS_PFN(64 + n))},
			       8);
		bus_send(b, msg, 28 + 48);
		bus_expect_created(b, 1, 4, 0);
		/* 5: two ranges of three pages */
		h.gpadl_id = hvsi_le32(5);
		h.range_bytes = hvsi_le16(64);
		h.range_count = hvsi_le16(2);
		memcpy(msg, &h, sizeof(h));
		for (uint32_t n = 0; n < 2; n++) {
			uint8_t *to = msg + 20 + 32 * n;

			memcpy(to, (struct hvs_le32[]){hvsi_le32(3 * 4096), hvsi_le32(0)}, 8);
			for (uint32_t p = 0; p < 3; p++)
				memcpy(to + 8 + 8 * p,
				       (struct hvs_le64[]){hvsi_le64(BUS_PFN(80 + 3 * n + p))}, 8);
		}
		bus_send(b, msg, 20 + 64);
		bus_expect_created(b, 1, 5, 0);
		/* 6: only announced */
		h.gpadl_id = hvsi_le32(6);
		h.range_bytes = hvsi_le16(56);
		h.range_count = hvsi_le16(1);
		bus_send(b, &h, sizeof(h));
		/* 7: gone */
		bus_gpadl(b, 1, 7, 96, 6);
		bus_teardown(b, 1, 7);
		bus_expect_torndown(b, 7);
		bus_no_fault(b);

		bus_send(b, &open, sizeof(open));
		bus_expect_opened(b, cases[i].relid, (uint32_t)i,
				  cases[i].ok ? 0 : HVSI_STATUS_FAILED);
		cr_assert_eq(d[0].opens, cases[i].ok, "case %zu", i);
		if (cases[i].ok)
			bus_no_fault(b);
		else
			bus_expect_fault(b, HVS_FAULT_MESSAGE, cases[i].relid);
		/* A refusal leaves the channel as it was. */
		if (!cases[i].ok) {
			open = bus_open_msg(1, 1000, 1, 0, 2);
			bus_send(b, &open, sizeof(open));
			bus_expect_opened(b, 1, 1000, 0);
		}
		bus_down(b);
	}
}

Test(chan, rings_that_begin_corrupt_are_refused)
{
	static const uint32_t words[] = {OPEN_FIRST_PAGE * 1024 + 1,       /* guest's read index */
					 (OPEN_FIRST_PAGE + SPLIT) * 1024, /* ours: write index */
					 (OPEN_FIRST_PAGE + SPLIT) * 1024 + 1};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct hvsi_msg_open open = bus_open_msg(1, 5, 1, 0, SPLIT);
		struct testdev d = {0};
		struct testbus *b = up(&d, NULL);
		uint32_t *word = (uint32_t *)(void *)b->ram + words[i];

		bus_connect(b, NEWEST);
		bus_offers(b, 1);
		bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
		*word = 4096;
		bus_send(b, &open, sizeof(open));
		bus_expect_opened(b, 1, 5, HVSI_STATUS_FAILED);
		bus_expect_fault(b, HVS_FAULT_RING_INDEX, 1);
		cr_assert_eq(d.opens, 0);
		*word = 0;
		bus_send(b, &open, sizeof(open));
		bus_expect_opened(b, 1, 5, 0);
		bus_down(b);
	}
}

Test(chan, a_device_may_refuse)
{
	struct hvsi_msg_open open = bus_open_msg(1, 5, 1, 0, SPLIT);
	struct testdev d = {.open_result = -ENODEV};
	struct bus_options opt = {.doorbells = true};
	struct testbus *b = up(&d, &opt);

	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 5, HVSI_STATUS_FAILED);
	bus_no_fault(b);
	cr_assert_eq(d.opens, 1);
	cr_assert_eq(d.closes, 0);
	cr_assert_eq(d.readies, 0);
	cr_assert_eq(b->doorbells, 0);
	cr_assert_eq(kick(b), HVS_HV_STATUS_INVALID_CONNECTION_ID);
	bus_teardown(b, 1, 1); /* nothing uses it */
	bus_expect_torndown(b, 1);
	d.open_result = 0;
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 5, 0);
	bus_down(b);
}

Test(chan, without_memory_an_open_is_refused)
{
	for (size_t n = 0; n < 2; n++) { /* page pointers, packet buffer */
		struct hvsi_msg_open open = bus_open_msg(1, 5, 1, 0, SPLIT);
		struct test_alloc a = TEST_ALLOC_INIT;
		struct bus_options opt = {.alloc = test_allocator(&a)};
		struct testdev d = {0};
		struct testbus *b = up(&d, &opt);

		bus_connect(b, NEWEST);
		bus_offers(b, 1);
		bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
		a.fail_at = a.calls + n;
		bus_send(b, &open, sizeof(open));
		cr_assert(a.failed);
		bus_expect_opened(b, 1, 5, HVSI_STATUS_FAILED);
		cr_assert_eq(d.opens, 0);
		bus_send(b, &open, sizeof(open));
		bus_expect_opened(b, 1, 5, 0);
		bus_down(b);
		cr_assert_eq(a.live, 0);
	}
}

Test(chan, a_channel_is_opened_once)
{
	struct hvsi_msg_open open = bus_open_msg(1, 99, 1, 0, SPLIT);
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 99, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	cr_assert_eq(d.opens, 1);
	cr_assert_eq(kick(b), HVS_HV_STATUS_SUCCESS, "the open one goes on");
	bus_down(b);
}

/* Drivers lose interrupts that come before they know that the channel is open. */
Test(chan, nothing_is_received_or_signalled_before_the_guest_knows)
{
	struct hvsi_msg_open open = bus_open_msg(1, 5, 1, 0, SPLIT);
	struct testdev d = {.echo = true, .kicks_in_open = 2};
	struct testbus *b = up(&d, NULL);
	struct guest_rings r;

	rings_attach(b, &r, OPEN_FIRST_PAGE, SPLIT, PAGES);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	rings_send(&r, 1, 0x11);
	b->slot_busy = true;
	bus_send(b, &open, sizeof(open));
	cr_assert_eq(d.opens, 1);
	cr_assert_eq(kick(b), HVS_HV_STATUS_SUCCESS, "its event is known already");
	hvs_channel_kick(d.ch);
	bus_run(b);
	cr_assert_eq(d.readies, 0);
	cr_assert_eq(b->signals, 0);
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	bus_expect_opened(b, 1, 5, 0);
	cr_assert_geq(d.readies, 1);
	cr_assert_eq(d.received, 1);
	cr_assert_eq(d.first_byte[0], 0x11);
	cr_assert_eq(b->signals, 1);
	bus_down(b);
}

/* ---- closing ---------------------------------------------------------------------------------- */

Test(chan, close_is_silent_and_the_channel_can_be_opened_again)
{
	struct hvsi_msg_open open = bus_open_msg(1, 6, 1, 0, SPLIT);
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	for (int i = 0; i < 3; i++) {
		bus_close(b, 1);
		bus_expect_nothing(b);
		cr_assert_eq(d.closes, (unsigned)i + 1);
		cr_assert_eq(kick(b), HVS_HV_STATUS_INVALID_CONNECTION_ID);
		bus_send(b, &open, sizeof(open));
		bus_expect_opened(b, 1, 6, 0);
	}
	bus_no_fault(b);
	bus_down(b);
}

Test(chan, closing_what_is_not_open_is_a_fault_without_an_answer)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_close(b, 1);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	bus_close(b, 2);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 2);
	bus_close(b, UINT32_MAX);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, UINT32_MAX);
	bus_expect_nothing(b);
	bus_unload(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_open_first(b, NEWEST, PAGES, SPLIT);
	bus_close(b, 1);
	bus_close(b, 1);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	cr_assert_eq(d.closes, 1);
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_down(b);
}

Test(chan, an_open_that_overtakes_the_close_waits_for_it)
{
	struct hvsi_msg_open open = bus_open_msg(1, 6, 2, 1, SPLIT);
	struct hvsi_msg_open third = bus_open_msg(1, 8, 2, 1, SPLIT);
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	bus_gpadl(b, 1, 2, 64, PAGES);
	bus_close(b, 1);
	bus_teardown(b, 1, 1);
	bus_send(b, &open, sizeof(open));
	bus_expect_nothing(b);
	bus_no_fault(b);
	cr_assert_eq(d.opens, 1);
	bus_send(b, &third, sizeof(third)); /* one may wait */
	bus_expect_opened(b, 1, 8, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_expect_torndown(b, 1);
	bus_expect_opened(b, 1, 6, 0);
	cr_assert_eq(d.opens, 2);
	cr_assert_eq(d.params.target_vp, 1);
	bus_close(b, 1);
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_down(b);
}

/* Close, tear down, open with the torn-down ring: too late for that one. */
Test(chan, an_open_that_waits_finds_its_ring_gone)
{
	struct hvsi_msg_open open = bus_open_msg(1, 6, 1, 0, SPLIT);
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	bus_close(b, 1);
	bus_send(b, &open, sizeof(open));
	bus_teardown(b, 1, 1);
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_expect_torndown(b, 1);
	bus_expect_opened(b, 1, 6, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 6, 0);
	bus_close(b, 1);
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_down(b);
}

Test(chan, closed_before_close_or_twice_means_nothing)
{
	struct hvsi_msg_open open = bus_open_msg(1, 6, 1, 0, SPLIT);
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	hvs_channel_closed(d.ch);
	bus_run(b);
	cr_assert_eq(kick(b), HVS_HV_STATUS_SUCCESS, "still open");
	bus_close(b, 1);
	hvs_channel_closed(d.ch);
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 6, 0);
	bus_close(b, 1);
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_down(b);
}

Test(chan, a_closing_channel_still_hears_kicks_but_not_after_closed)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);
	unsigned before;

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	bus_close(b, 1);
	before = d.readies;
	hvs_channel_kick(d.ch);
	bus_run(b);
	cr_assert_eq(d.readies, before + 1);
	cr_assert_eq(d.last_recv, -ESHUTDOWN);
	hvs_channel_closed(d.ch);
	hvs_channel_kick(d.ch); /* an I/O thread that is late */
	bus_run(b);
	cr_assert_eq(d.readies, before + 1);
	bus_down(b);
}

/* ---- moving ----------------------------------------------------------------------------------- */

static void modify(struct testbus *b, uint32_t relid, uint32_t vp)
{
	struct hvsi_msg_modify_channel msg = {.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL),
					      .relid = hvsi_le32(relid),
					      .target_vp = hvsi_le32(vp)};

	bus_send(b, &msg, sizeof(msg));
}

static void expect_modified(struct testbus *b, uint32_t relid, uint32_t status)
{
	struct hvsi_msg_modify_response want = {
		.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL_RESPONSE),
		.relid = hvsi_le32(relid),
		.status = hvsi_le32(status)};

	bus_expect(b, &want, sizeof(want));
}

Test(chan, modify_moves_the_interrupt_and_is_answered_from_5_3_on)
{
	static const uint32_t versions[] = {V(4, 1), V(5, 0), V(5, 1), V(5, 2), V(5, 3)};

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		struct testdev d = {.echo = true};
		struct testbus *b = up(&d, NULL);
		struct guest_rings r;

		rings_attach(b, &r, OPEN_FIRST_PAGE, SPLIT, PAGES);
		bus_open_first(b, versions[i], PAGES, SPLIT);
		rings_send(&r, 1, 0);
		kick(b);
		cr_assert_eq(b->signal_vp, 0);
		b->signals = 0;
		modify(b, 1, 1);
		cr_assert_eq(b->signals, 1, "the old VP may have missed one");
		cr_assert_eq(b->signal_vp, 1);
		cr_assert_eq(b->signal_flag, 1);
		if (versions[i] >= V(5, 3))
			expect_modified(b, 1, 0);
		bus_expect_nothing(b);
		modify(b, 1, 2); /* no such VP */
		if (versions[i] >= V(5, 3))
			expect_modified(b, 1, HVSI_STATUS_FAILED);
		modify(b, 1, UINT32_MAX);
		if (versions[i] >= V(5, 3))
			expect_modified(b, 1, HVSI_STATUS_FAILED);
		bus_expect_nothing(b);
		cr_assert_eq(b->signals, 1);
		cr_assert_eq(b->signal_vp, 1, "it stays where it was");
		bus_no_fault(b);
		modify(b, 2, 0); /* no such channel */
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 2);
		if (versions[i] >= V(5, 3))
			expect_modified(b, 2, HVSI_STATUS_FAILED);
		bus_close(b, 1);
		modify(b, 1, 0);
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
		if (versions[i] >= V(5, 3))
			expect_modified(b, 1, HVSI_STATUS_FAILED);
		bus_down(b);
	}
}

/* protocol/vmbus.md 5.10: "Always answer in >= 5.3 (Linux waits without timeout)". */
Test(chan, modify_is_answered_even_if_the_close_comes_right_behind)
{
	struct hvsi_msg_modify_channel msg = {.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL),
					      .relid = hvsi_le32(1),
					      .target_vp = hvsi_le32(1)};
	struct hvsi_msg_relid close = {.h = hvsi_msg_header(HVSI_MSG_CLOSECHANNEL),
				       .relid = hvsi_le32(1)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	cr_assert_eq(bus_post(b, 1, &msg, sizeof(msg)), 0);
	cr_assert_eq(bus_post(b, 1, &close, sizeof(close)), 0);
	bus_run(b);
	cr_assert_eq(b->posted - b->taken, 1, "one request, one answer");
	cr_assert_eq(b->posts[b->taken].bytes[0], HVSI_MSG_MODIFYCHANNEL_RESPONSE);
	b->taken++;
	bus_down(b);
}

Test(chan, every_modify_is_answered)
{
	struct hvsi_msg_modify_channel msg = {.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL),
					      .relid = hvsi_le32(1)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	for (uint32_t i = 0; i < 3; i++) {
		msg.target_vp = hvsi_le32(1 - i % 2);
		cr_assert_eq(bus_post(b, 1, &msg, sizeof(msg)), 0);
	}
	bus_run(b);
	cr_assert_eq(b->posted - b->taken, 3);
	for (int i = 0; i < 3; i++)
		expect_modified(b, 1, 0);
	cr_assert_eq(b->signal_vp, 1, "the last one counts");
	bus_down(b);
}

/* ---- signals ---------------------------------------------------------------------------------- */

Test(chan, only_open_channels_have_events)
{
	static const uint32_t ids[] = {
		0, 1, 3, 4, 0x2000, 0x2002, 0x27ff, 0x2800, 0x2000 + 4096, 0x1fff, UINT32_MAX};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	cr_assert_eq(kick(b), HVS_HV_STATUS_INVALID_CONNECTION_ID);
	bus_open_first(b, NEWEST, PAGES, SPLIT);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		cr_assert_eq(hvs_vmbus_signal_event(b->bus, ids[i], 0),
			     HVS_HV_STATUS_INVALID_CONNECTION_ID, "id %#x", ids[i]);
	cr_assert_eq(hvs_vmbus_signal_event(b->bus, 2, 0), HVS_HV_STATUS_SUCCESS,
		     "FreeBSD and iPXE knock there");
	cr_assert_eq(kick(b), HVS_HV_STATUS_SUCCESS);
	cr_assert_eq(d.readies, 2);
	bus_down(b);
}

Test(chan, doorbells_come_and_go_with_the_channel)
{
	struct bus_options opt = {.doorbells = true};
	struct testdev d = {0};
	struct testbus *b = up(&d, &opt);
	unsigned before;

	bus_open_first(b, NEWEST, PAGES, SPLIT);
	cr_assert_eq(b->doorbells, 1);
	cr_assert_eq(b->doorbell_id, 0x2001);
	cr_assert_eq(b->doorbell, d.ch);
	before = d.readies;
	hvs_channel_kick(b->doorbell);
	bus_run(b);
	cr_assert_eq(d.readies, before + 1);
	bus_close(b, 1);
	cr_assert_eq(b->doorbells, 0);
	bus_down(b);
}

Test(chan, a_doorbell_that_is_refused_is_not_taken_away)
{
	struct bus_options opt = {.doorbells = true};
	struct testdev d = {0};
	struct testbus *b = up(&d, &opt);

	b->refuse_doorbells = true;
	bus_open_first(b, NEWEST, PAGES, SPLIT);
	cr_assert_eq(kick(b), HVS_HV_STATUS_SUCCESS, "the hypercall works");
	bus_close(b, 1);
	cr_assert_eq(b->doorbells, 0);
	bus_down(b);
}

Test(chan, a_guest_that_polls_is_never_interrupted)
{
	struct hvsi_msg_open open = bus_open_msg(1, 5, 1, UINT32_MAX, SPLIT);
	struct testdev d = {.echo = true};
	struct testbus *b = up(&d, NULL);
	struct hvsi_descriptor desc;
	struct guest_rings r;
	uint8_t buf[64];

	rings_attach(b, &r, OPEN_FIRST_PAGE, SPLIT, PAGES);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 5, 0);
	rings_send(&r, 9, 0x44);
	kick(b);
	cr_assert_eq(hvsi_ring_read(&r.in, &desc, buf, sizeof(buf)), 1);
	cr_assert_eq(desc.xid, 9);
	cr_assert_eq(b->signals, 0);
	bus_down(b);
}

/* ---- packets ---------------------------------------------------------------------------------- */

Test(chan, packets_go_there_and_back)
{
	struct testdev d = {.echo = true};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);
	struct hvsi_descriptor desc;
	uint8_t buf[64];

	for (unsigned i = 0; i < 500; i++) { /* several times around */
		cr_assert_eq(rings_send(&r, 1000 + i, (uint8_t)i), true, "the host sleeps");
		b->signals = 0;
		kick(b);
		cr_assert_eq(b->signals, 1);
		cr_assert_eq(b->signal_vp, 0);
		cr_assert_eq(b->signal_flag, 1);
		cr_assert_eq(hvsi_ring_read(&r.in, &desc, buf, sizeof(buf)), 1);
		cr_assert_eq(desc.type, HVS_PACKET_COMPLETION);
		cr_assert_eq(desc.xid, 1000 + i);
		cr_assert_eq(desc.flags, 0);
		cr_assert_eq(buf[16], (uint8_t)i);
		hvsi_ring_in_commit(&r.in);
		cr_assert(hvsi_ring_in_sleep(&r.in));
	}
	cr_assert_eq(d.received, 500);
	bus_no_fault(b);
	bus_down(b);
}

Test(chan, a_batch_is_one_signal_and_no_interrupt_while_the_guest_looks)
{
	struct testdev d = {.echo = true};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);

	for (unsigned i = 0; i < 50; i++)
		rings_send(&r, i, 0);
	kick(b);
	cr_assert_eq(d.received, 50);
	cr_assert_eq(b->signals, 1);
	cr_assert_eq(r.send_ctl[2], 0, "the host sleeps: signal the next one");
	rings_send(&r, 50, 0);
	kick(b);
	cr_assert_eq(b->signals, 1, "the guest has not read the first batch");
	bus_down(b);
}

Test(chan, the_budget_ends_a_run_and_the_rest_follows)
{
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);
	struct hvs_worker *w = hvs_vmbus_main_worker(b->bus);

	for (unsigned i = 0; i < 60; i++)
		rings_send(&r, i, 0);
	cr_assert_eq(hvs_vmbus_signal_event(b->bus, 0x2001, 0), 0);
	cr_assert_eq(hvs_worker_dispatch(w, 10, NULL), 1);
	cr_assert_eq(d.last_budget, 10);
	cr_assert_eq(d.received, 10);
	cr_assert_eq(r.send_ctl[2], 1, "awake: the guest need not signal");
	cr_assert_eq(r.send_ctl[1], 10 * 32, "room is given back");
	cr_assert_eq(hvs_worker_dispatch(w, 100, NULL), 0);
	cr_assert_eq(d.received, 60);
	cr_assert_eq(r.send_ctl[2], 0);
	for (unsigned i = 0; i < 60; i++)
		cr_assert_eq(d.xid[i], i);
	bus_down(b);
}

Test(chan, a_host_packet_is_inband_and_padded)
{
	static const uint8_t want[40] = {6,    0,    2,    0,    4,    0,    1,    0,   0xef,
					 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 'h', 'e',
					 'l',  'l',  'o',  ' ',  'w',  'o',  'r',  'l', 'd'};
	const struct iovec iov[] = {{(void *)(uintptr_t) "hello ", 6},
				    {(void *)(uintptr_t) "world", 5}};
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);

	cr_assert_eq(hvs_channel_send(d.ch, 0x0123456789abcdef, true, iov, 2), 0);
	cr_assert_eq(r.recv_ctl[0], 0);
	cr_assert_eq(b->signals, 0);
	hvs_channel_flush(d.ch);
	cr_assert_eq(r.recv_ctl[0], 40);
	cr_assert_eq(b->signals, 1);
	cr_assert_arr_eq(r.recv_data, want, 40);
	hvs_channel_flush(d.ch);
	cr_assert_eq(b->signals, 1, "nothing new");
	cr_assert_eq(hvs_channel_send(d.ch, 1, false, NULL, 0), 0);
	hvs_channel_flush(d.ch);
	cr_assert_eq(r.recv_data[40 + 6], 0, "no completion wanted");
	bus_down(b);
}

/* The guest sends, reads nothing; later it reads everything. */
Test(chan, a_full_ring_holds_the_device_up_and_nothing_is_lost)
{
	struct testdev d = {.echo = true, .stop_at_full = true};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);
	struct hvsi_descriptor desc;
	unsigned sent = 0;
	unsigned got = 0;
	uint8_t buf[64];

	/* 127 completions of 32 bytes fill 4096 - 8; then one is owed. */
	while (d.owes == false && sent < 1000) {
		rings_send(&r, sent++, 0);
		kick(b);
	}
	cr_assert_eq(sent, 128);
	cr_assert_eq(r.recv_ctl[3], 32, "the host says how much room it wants");
	/* More comes in: it stays in the ring, and the worker does not spin over it. */
	rings_send(&r, sent++, 0);
	kick(b);
	rings_send(&r, sent++, 0);
	kick(b);
	cr_assert_eq(d.received, 128);
	for (;;) {
		int n = hvsi_ring_read(&r.in, &desc, buf, sizeof(buf));

		if (n == 0) {
			if (hvsi_ring_in_commit(&r.in))
				kick(b); /* the host waits for room */
			if (hvsi_ring_in_sleep(&r.in))
				break;
			continue;
		}
		cr_assert_eq(n, 1);
		cr_assert_eq(desc.xid, got++);
	}
	cr_assert_eq(got, sent);
	cr_assert_eq(r.recv_ctl[3], 0);
	bus_no_fault(b);
	bus_down(b);
}

/* As iPXE does: it reads, and never says that there is room. */
Test(chan, a_full_ring_is_looked_at_again_without_a_signal)
{
	struct testdev d = {.echo = true, .stop_at_full = true};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);
	struct hvsi_descriptor desc;
	unsigned sent = 0;
	unsigned got = 0;
	uint8_t buf[64];

	while (!d.owes) {
		rings_send(&r, sent++, 0);
		kick(b);
	}
	cr_assert_eq(b->deadline_ns, b->now_ns + 10000000);
	b->now_ns += 10000000;
	bus_run(b);
	cr_assert(d.owes, "there is no room yet");
	cr_assert_eq(b->deadline_ns, b->now_ns + 10000000);
	while (hvsi_ring_read(&r.in, &desc, buf, sizeof(buf)) == 1)
		got++;
	(void)hvsi_ring_in_commit(&r.in);
	b->now_ns += 10000000;
	bus_run(b);
	cr_assert(!d.owes);
	while (hvsi_ring_read(&r.in, &desc, buf, sizeof(buf)) == 1)
		got++;
	cr_assert_eq(got, sent);
	cr_assert_eq(b->deadline_ns, UINT64_MAX, "nothing is blocked, nothing is looked at");
	bus_down(b);
}

Test(chan, a_device_that_wants_no_room_any_more_is_left_alone)
{
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);
	struct hvsi_descriptor desc;
	uint8_t buf[64];

	while (hvs_channel_send(d.ch, 1, false, NULL, 0) == 0)
		;
	hvs_channel_flush(d.ch);
	kick(b);
	cr_assert_neq(b->deadline_ns, UINT64_MAX);
	while (hvsi_ring_read(&r.in, &desc, buf, sizeof(buf)) == 1)
		;
	(void)hvsi_ring_in_commit(&r.in);
	b->now_ns += 10000000;
	bus_run(b);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	cr_assert_eq(r.recv_ctl[3], 0, "pending_send_sz is taken back");
	bus_down(b);
}

Test(chan, a_consumer_that_waits_for_room_is_signalled)
{
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);
	const struct hvsi_descriptor desc = {.type = HVS_PACKET_INBAND};

	while (hvsi_ring_write(&r.out, &desc, NULL, 0, NULL, 0) == 0)
		;
	hvsi_ring_publish(&r.out);
	cr_assert_eq(r.send_ctl[3], 24, "pending_send_sz");
	kick(b);
	cr_assert_eq(d.received, 170);
	cr_assert_eq(b->signals, 1, "room has come back");
	bus_down(b);
}

Test(chan, what_never_fits_is_refused_and_harms_nobody)
{
	static uint8_t bytes[8192];
	const struct iovec iov = {bytes, sizeof(bytes)};
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);

	cr_assert_eq(hvs_channel_send(d.ch, 1, false, &iov, 1), -EMSGSIZE);
	cr_assert_eq(hvs_channel_complete(d.ch, 1, &iov, 1), -EMSGSIZE);
	cr_assert_eq(hvs_channel_send(d.ch, 1, false, NULL, 0), 0);
	bus_no_fault(b);
	bus_down(b);
}

/* ---- faults ----------------------------------------------------------------------------------- */

/* How the guest breaks its ring, and what that is called. */
static const struct {
	const char *what;
	uint32_t write_index;
	uint8_t descriptor[16];
	enum hvs_fault_code code;
} breakages[] = {
	{"index beyond the ring", 4096, {0}, HVS_FAULT_RING_INDEX},
	{"index not aligned", 12, {0}, HVS_FAULT_RING_INDEX},
	{"index far out", 0xfffffff8, {0}, HVS_FAULT_RING_INDEX},
	{"less than a packet", 16, {6, 0, 2, 0, 2, 0}, HVS_FAULT_PACKET_HEADER},
	{"longer than written", 24, {6, 0, 2, 0, 3, 0}, HVS_FAULT_PACKET_HEADER},
	{"header in the descriptor", 24, {6, 0, 1, 0, 2, 0}, HVS_FAULT_PACKET_HEADER},
	{"header beyond the packet", 24, {6, 0, 3, 0, 2, 0}, HVS_FAULT_PACKET_HEADER},
	{"a type for hosts only", 32, {7, 0, 2, 0, 3, 0}, HVS_FAULT_PACKET_TYPE},
	{"no type", 32, {0, 0, 2, 0, 3, 0}, HVS_FAULT_PACKET_TYPE},
	{"ranges cut off", 32, {9, 0, 2, 0, 3, 0}, HVS_FAULT_PACKET_RANGES},
	{"larger than the device takes", 8192 - 8, {6, 0, 2, 0, 0xfe, 3}, HVS_FAULT_PACKET_SIZE},
};

Test(chan, a_corrupt_ring_faults_only_its_channel_until_it_is_opened_again)
{
	for (size_t i = 0; i < sizeof(breakages) / sizeof(breakages[0]); i++) {
		const uint32_t split = 3; /* two data pages */
		const uint32_t pages = 5;
		struct hvsi_msg_open open = bus_open_msg(1, 6, 1, 0, split);
		struct hvsi_msg_open other = bus_open_msg(2, 7, 2, 0, 2);
		struct testdev d[2] = {{.echo = true}, {.echo = true}};
		struct testbus *b = bus_up(NULL);
		struct guest_rings r[2];
		unsigned before;

		dev_offer(b, &d[0], 1, NULL);
		dev_offer(b, &d[1], 2, NULL);
		bus_start(b);
		bus_connect(b, NEWEST);
		bus_offers(b, 2);
		bus_gpadl(b, 1, 1, 16, pages);
		bus_gpadl(b, 2, 2, 32, 4);
		rings_attach(b, &r[0], 16, split, pages);
		rings_attach(b, &r[1], 32, 2, 4);
		bus_send(b, &open, sizeof(open));
		bus_send(b, &other, sizeof(other));
		bus_expect_opened(b, 1, 6, 0);
		bus_expect_opened(b, 2, 7, 0);

		memcpy(r[0].send_data, breakages[i].descriptor, 16);
		r[0].send_ctl[0] = breakages[i].write_index;
		if (breakages[i].write_index == 4096)
			r[0].send_ctl[0] = 8192; /* the size of this ring */
		kick(b);
		cr_assert_eq(b->faults, 1, "%s", breakages[i].what);
		bus_expect_fault(b, breakages[i].code, 1);
		cr_assert_eq(d[0].last_recv, -EPROTO, "%s", breakages[i].what);
		cr_assert_eq(d[0].received, 0);
		/* For good: no read, no write, no second report. */
		before = d[0].readies;
		r[0].send_ctl[0] = 0;
		cr_assert_eq(kick(b), HVS_HV_STATUS_SUCCESS);
		cr_assert_eq(d[0].readies, before + 1);
		cr_assert_eq(d[0].last_recv, -ESHUTDOWN);
		cr_assert_eq(hvs_channel_send(d[0].ch, 1, false, NULL, 0), -ESHUTDOWN);
		cr_assert_eq(hvs_channel_complete(d[0].ch, 1, NULL, 0), -ESHUTDOWN);
		hvs_channel_flush(d[0].ch);
		cr_assert_eq(r[0].recv_ctl[0], 0);
		bus_no_fault(b);
		/* The other one goes on. */
		rings_send(&r[1], 5, 0x55);
		cr_assert_eq(hvs_vmbus_signal_event(b->bus, 0x2002, 0), 0);
		bus_run(b);
		cr_assert_eq(d[1].received, 1);
		cr_assert_eq(r[1].recv_ctl[0], 32);
		/* Close, repair, open. */
		bus_close(b, 1);
		memset(b->ram + 16 * 4096, 0, pages * 4096);
		rings_attach(b, &r[0], 16, split, pages);
		bus_send(b, &open, sizeof(open));
		bus_expect_opened(b, 1, 6, 0);
		rings_send(&r[0], 6, 0x66);
		kick(b);
		cr_assert_eq(d[0].received, 1);
		cr_assert_eq(r[0].recv_ctl[0], 32);
		bus_no_fault(b);
		bus_down(b);
	}
}

Test(chan, a_corrupt_read_index_is_seen_when_the_ring_looks_full)
{
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);

	for (int i = 0; i < 170; i++)
		cr_assert_eq(hvs_channel_send(d.ch, 1, false, NULL, 0), 0);
	r.recv_ctl[1] = 4;
	cr_assert_eq(hvs_channel_send(d.ch, 1, false, NULL, 0), -EPROTO);
	bus_expect_fault(b, HVS_FAULT_RING_INDEX, 1);
	cr_assert_eq(hvs_channel_send(d.ch, 1, false, NULL, 0), -ESHUTDOWN);
	bus_no_fault(b);
	bus_down(b);
}

Test(chan, a_device_can_fault_its_channel)
{
	struct testdev d = {0};
	struct guest_rings r;
	struct testbus *b = open_with_rings(&d, NULL, &r);
	const struct hvs_packet *pkt;

	hvs_channel_fault(d.ch, "test");
	bus_expect_fault(b, HVS_FAULT_DEVICE, 1);
	hvs_channel_fault(d.ch, "again");
	bus_no_fault(b);
	cr_assert_eq(hvs_channel_recv(d.ch, &pkt), -ESHUTDOWN);
	bus_close(b, 1);
	cr_assert_eq(d.closes, 1);
	bus_down(b);
}

/* Data pages in the wrong order, not next to each other. */
Test(chan, rings_of_scattered_pages_carry_packets)
{
	static const uint32_t order[] = {20, 27, 22, 24, 29, 26}; /* control, 2 of data; twice */
	struct hvsi_msg_gpadl_header h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
					  .relid = hvsi_le32(1),
					  .gpadl_id = hvsi_le32(1),
					  .range_bytes = hvsi_le16(8 + 8 * 6),
					  .range_count = hvsi_le16(1)};
	struct hvsi_msg_open open = bus_open_msg(1, 5, 1, 0, 3);
	const struct hvsi_descriptor desc = {.type = HVS_PACKET_INBAND, .flags = 1};
	struct testdev d = {.echo = true};
	struct testbus *b = up(&d, NULL);
	uint8_t HVSI_GUEST *page[6];
	struct hvsi_ring_out out;
	struct hvsi_ring_in in;
	uint8_t payload[1000];
	uint8_t got[1040];
	uint8_t msg[20 + 8 + 8 * 6];

	memcpy(msg, &h, sizeof(h));
	memcpy(msg + 20, (struct hvs_le32[]){hvsi_le32(6 * 4096), hvsi_le32(0)}, 8);
	for (uint32_t i = 0; i < 6; i++) {
		memcpy(msg + 28 + 8 * i, (struct hvs_le64[]){hvsi_le64(BUS_PFN(order[i]))}, 8);
		page[i] = hvsi_guest_from_host(b->ram + order[i] * 4096);
	}
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_send(b, msg, sizeof(msg));
	bus_expect_created(b, 1, 1, 0);
	bus_send(b, &open, sizeof(open));
	bus_expect_opened(b, 1, 5, 0);
	cr_assert_eq(hvsi_ring_out_open(&out, &(struct hvsi_ringmem){.ctl = page[0],
								     .pages = page + 1,
								     .size = 8192}),
		     0);
	cr_assert_eq(hvsi_ring_in_open(&in, &(struct hvsi_ringmem){.ctl = page[3],
								   .pages = page + 4,
								   .size = 8192}),
		     0);
	for (unsigned i = 0; i < 50; i++) { /* several times around */
		const struct iovec iov = {payload, sizeof(payload)};
		struct hvsi_descriptor answer;

		for (unsigned j = 0; j < sizeof(payload); j++)
			payload[j] = (uint8_t)(i * 7 + j);
		cr_assert_eq(hvsi_ring_write(&out, &desc, NULL, 0, &iov, 1), 0);
		hvsi_ring_publish(&out);
		cr_assert_eq(kick(b), HVS_HV_STATUS_SUCCESS);
		cr_assert_eq(hvsi_ring_read(&in, &answer, got, sizeof(got)), 1);
		cr_assert_arr_eq(got + 16, payload, sizeof(payload)); /* behind the descriptor */
		hvsi_ring_in_commit(&in);
	}
	bus_no_fault(b);
	bus_down(b);
}

/* ---- a worker of its own ---------------------------------------------------------------------- */

Test(chan, a_device_on_its_own_worker_runs_only_there)
{
	struct hvsi_msg_open open = bus_open_msg(1, 5, 1, 0, SPLIT);
	struct testdev d = {.echo = true};
	struct testbus *b = bus_up(NULL);
	struct guest_rings r;
	struct hvs_worker *w;
	bool done = false;
	int priv;

	cr_assert_eq(hvs_worker_create(b->bus, &priv, &w), 0);
	dev_offer(b, &d, 1, w);
	bus_start(b);
	rings_attach(b, &r, OPEN_FIRST_PAGE, SPLIT, PAGES);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	bus_send(b, &open, sizeof(open));
	cr_assert_eq(d.opens, 0);
	cr_assert_eq(b->woken, &priv);
	bus_expect_nothing(b);
	cr_assert_eq(hvs_worker_dispatch(w, 0, NULL), 0);
	cr_assert_eq(d.opens, 1);
	bus_run(b);
	bus_expect_opened(b, 1, 5, 0);
	cr_assert_eq(d.readies, 0);
	cr_assert_eq(hvs_worker_dispatch(w, 0, NULL), 0);
	cr_assert_eq(d.readies, 1);
	rings_send(&r, 1, 1);
	kick(b);
	cr_assert_eq(d.received, 0);
	cr_assert_eq(hvs_worker_dispatch(w, 0, NULL), 0);
	cr_assert_eq(d.received, 1);
	/* A disconnect that comes while it opens or closes waits for this worker. */
	bus_close(b, 1);
	bus_send(b, &open, sizeof(open));
	cr_assert_eq(d.closes, 0);
	bus_unload(b);
	bus_expect_nothing(b);
	cr_assert_eq(hvs_worker_dispatch(w, 0, NULL), 0);
	cr_assert_eq(d.closes, 1);
	bus_run(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	cr_assert_eq(d.opens, 1, "the open that waited is not done any more");

	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	memset(b->ram + OPEN_FIRST_PAGE * 4096, 0, PAGES * 4096);
	bus_send(b, &open, sizeof(open));
	bus_unload(b); /* while it opens: open, then close */
	cr_assert_eq(hvs_worker_dispatch(w, 0, NULL), 0);
	cr_assert_eq(d.opens, 2);
	bus_run(b);
	bus_expect_nothing(b);
	cr_assert_eq(hvs_worker_dispatch(w, 0, NULL), 0);
	cr_assert_eq(d.closes, 2);
	bus_run(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);

	/* A device that refuses after the connection has gone. */
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, OPEN_FIRST_PAGE, PAGES);
	d.open_result = -ENODEV;
	bus_send(b, &open, sizeof(open));
	cr_assert_eq(hvs_vmbus_reset(b->bus, NULL, &done), 0);
	bus_run(b);
	cr_assert_eq(hvs_worker_dispatch(w, 0, NULL), 0);
	cr_assert_eq(d.opens, 3);
	bus_run(b);
	bus_down(b);
}
