/* SPDX-License-Identifier: MIT */
/* GPADLs, message by message: protocol/vmbus.md 5.7. */
#include "support/alloc.h"
#include "support/bus.h"

#include <criterion/criterion.h>

/* Connected, one offer: relid 1. */
static struct testbus *up(struct testdev *d, const struct bus_options *opt)
{
	struct testbus *b = bus_up(opt);

	dev_offer(b, d, 1, NULL);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	return b;
}

/* GPADL_HEADER with these words behind it. */
static size_t header(uint8_t to[240], uint32_t relid, uint32_t id, uint16_t range_bytes,
		     uint16_t range_count, const uint64_t *words, size_t count)
{
	struct hvsi_msg_gpadl_header h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
					  .relid = hvsi_le32(relid),
					  .gpadl_id = hvsi_le32(id),
					  .range_bytes = hvsi_le16(range_bytes),
					  .range_count = hvsi_le16(range_count)};

	memcpy(to, &h, sizeof(h));
	for (size_t i = 0; i < count; i++) {
		struct hvs_le64 w = hvsi_le64(words[i]);

		memcpy(to + sizeof(h) + i * 8, &w, 8);
	}
	return sizeof(h) + count * 8;
}

static size_t body(uint8_t to[240], uint32_t number, uint32_t id, const uint64_t *words,
		   size_t count)
{
	struct hvsi_msg_gpadl_body h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_BODY),
					.number = hvsi_le32(number),
					.gpadl_id = hvsi_le32(id)};

	memcpy(to, &h, sizeof(h));
	for (size_t i = 0; i < count; i++) {
		struct hvs_le64 w = hvsi_le64(words[i]);

		memcpy(to + sizeof(h) + i * 8, &w, 8);
	}
	return sizeof(h) + count * 8;
}

#define RANGE(count, offset) ((uint64_t)(offset) << 32 | (count))

/* ---- creation --------------------------------------------------------------------------------- */

Test(gpadl, one_message_is_enough_for_26_pages)
{
	for (uint32_t pages = 1; pages <= 26; pages++) {
		struct testdev d = {0};
		struct testbus *b = up(&d, NULL);
		unsigned posted = b->posted;

		bus_gpadl(b, 1, 0xe1e10 + pages, 0, pages);
		cr_assert_eq(b->posted - posted, 1);
		bus_no_fault(b);
		bus_down(b);
	}
}

Test(gpadl, more_pages_come_in_bodies)
{
	static const uint32_t counts[] = {27, 28, 53, 54, 55, 56, 82, 83, 200, 256};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct testdev d = {0};
		struct testbus *b = up(&d, NULL);

		bus_gpadl(b, 1, 1, 0, counts[i]);
		bus_no_fault(b);
		bus_teardown(b, 1, 1);
		bus_expect_torndown(b, 1);
		bus_down(b);
	}
}

Test(gpadl, is_answered_only_when_it_is_complete)
{
	const uint64_t words[] = {RANGE(4 * 4096, 0), BUS_PFN(0), BUS_PFN(1)};
	const uint64_t rest[] = {BUS_PFN(2), BUS_PFN(3)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	bus_send(b, msg, header(msg, 1, 5, 40, 1, words, 3));
	bus_expect_nothing(b);
	bus_send(b, msg, body(msg, 1, 5, rest, 1));
	bus_expect_nothing(b);
	bus_send(b, msg, body(msg, 2, 5, rest + 1, 1));
	bus_expect_created(b, 1, 5, 0);
	bus_no_fault(b);
	bus_down(b);
}

/* Linux sends 0, others count, some begin at 1. */
Test(gpadl, body_numbers_are_not_looked_at)
{
	const uint64_t words[] = {RANGE(4096, 0)};
	const uint64_t pfn[] = {BUS_PFN(9)};
	static const uint32_t numbers[] = {0, 1, 77, UINT32_MAX};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct testdev d = {0};
		struct testbus *b = up(&d, NULL);
		uint8_t msg[240];

		bus_send(b, msg, header(msg, 1, 5, 16, 1, words, 1));
		bus_send(b, msg, body(msg, numbers[i], 5, pfn, 1));
		bus_expect_created(b, 1, 5, 0);
		bus_down(b);
	}
}

/* mu_msvm pads every message to 240 bytes. */
Test(gpadl, padding_behind_the_last_page_is_not_taken)
{
	uint64_t words[27];
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	for (int i = 0; i < 27; i++)
		words[i] = UINT64_MAX; /* no pages at all */
	words[0] = RANGE(2 * 4096, 0);
	words[1] = BUS_PFN(0);
	words[2] = BUS_PFN(1);
	cr_assert_eq(header(msg, 1, 5, 24, 1, words, 27), 236);
	bus_send(b, msg, 240);
	bus_expect_created(b, 1, 5, 0);
	bus_send(b, msg, header(msg, 1, 6, 24, 1, words, 1));
	body(msg, 0, 6, words + 1, 26);
	bus_send(b, msg, 240);
	bus_expect_created(b, 1, 6, 0);
	bus_no_fault(b);
	bus_down(b);
}

/* What is left of a message that does not end with a whole word belongs to nothing. */
Test(gpadl, half_words_are_not_taken)
{
	const uint64_t words[] = {RANGE(4096, 0), BUS_PFN(0)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	bus_send(b, msg, header(msg, 1, 5, 16, 1, words, 2) - 1);
	bus_expect_nothing(b);
	bus_send(b, msg, body(msg, 0, 5, words + 1, 1) - 4);
	bus_expect_nothing(b);
	bus_send(b, msg, body(msg, 0, 5, words + 1, 1));
	bus_expect_created(b, 1, 5, 0);
	bus_no_fault(b);
	bus_down(b);
}

Test(gpadl, interleaved_lists_do_not_mix)
{
	const uint64_t a[] = {RANGE(2 * 4096, 0), BUS_PFN(0), BUS_PFN(1)};
	const uint64_t c[] = {RANGE(4096, 0), BUS_PFN(2)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	/* Ids in one hash bucket. */
	bus_send(b, msg, header(msg, 1, 5, 24, 1, a, 1));
	bus_send(b, msg, header(msg, 1, 5 + 256, 16, 1, c, 1));
	bus_send(b, msg, body(msg, 0, 5, a + 1, 1));
	bus_send(b, msg, body(msg, 0, 5 + 256, c + 1, 1));
	bus_expect_created(b, 1, 5 + 256, 0);
	bus_send(b, msg, body(msg, 0, 5, a + 2, 1));
	bus_expect_created(b, 1, 5, 0);
	bus_teardown(b, 1, 5);
	bus_expect_torndown(b, 5);
	bus_teardown(b, 1, 5 + 256);
	bus_expect_torndown(b, 5 + 256);
	bus_no_fault(b);
	bus_down(b);
}

Test(gpadl, partial_pages_and_several_ranges_are_lists_too)
{
	const uint64_t partial[] = {RANGE(100, 4090), BUS_PFN(0), BUS_PFN(1)};
	const uint64_t two[] = {RANGE(4096, 0), BUS_PFN(0), RANGE(8, 0), BUS_PFN(1)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	bus_send(b, msg, header(msg, 1, 5, 24, 1, partial, 3));
	bus_expect_created(b, 1, 5, 0);
	bus_send(b, msg, header(msg, 1, 6, 32, 2, two, 4));
	bus_expect_created(b, 1, 6, 0);
	bus_no_fault(b);
	bus_down(b);
}

/* ---- what is refused -------------------------------------------------------------------------- */

Test(gpadl, malformed_lists_are_refused_and_forgotten)
{
	static const struct {
		uint32_t relid;
		uint16_t range_bytes;
		uint16_t range_count;
		uint64_t words[5];
		uint8_t count;
	} bad[] = {
		{1, 0, 1, {0}, 0},                           /* no ranges */
		{1, 8, 1, {RANGE(4096, 0)}, 1},              /* no page */
		{1, 15, 1, {RANGE(4096, 0), BUS_PFN(0)}, 2}, /* not words */
		{1, 17, 1, {RANGE(4096, 0), BUS_PFN(0), 0}, 3},
		{1, 20, 1, {RANGE(4096, 0), BUS_PFN(0), 0}, 3},
		{1, 65535, 1, {RANGE(4096, 0), BUS_PFN(0)}, 2},
		{1, 16, 0, {RANGE(4096, 0), BUS_PFN(0)}, 2}, /* no range */
		{0, 16, 1, {RANGE(4096, 0), BUS_PFN(0)}, 2}, /* relids nobody has */
		{2, 16, 1, {RANGE(4096, 0), BUS_PFN(0)}, 2},
		{2047, 16, 1, {RANGE(4096, 0), BUS_PFN(0)}, 2},
		{2048, 16, 1, {RANGE(4096, 0), BUS_PFN(0)}, 2},
		{UINT32_MAX, 16, 1, {RANGE(4096, 0), BUS_PFN(0)}, 2},
		{1, 16, 1, {RANGE(0, 0), BUS_PFN(0)}, 2},    /* an empty range */
		{1, 16, 1, {RANGE(1, 4096), BUS_PFN(0)}, 2}, /* offset not in the page */
		{1, 16, 1, {RANGE(4097, 0), BUS_PFN(0)}, 2}, /* too few pages */
		{1, 16, 1, {RANGE(4096, 1), BUS_PFN(0)}, 2},
		{1, 16, 1, {RANGE(UINT32_MAX, 4095), BUS_PFN(0)}, 2},
		{1, 24, 1, {RANGE(4096, 0), BUS_PFN(0), BUS_PFN(1)}, 3}, /* too many */
		{1, 16, 2, {RANGE(4096, 0), BUS_PFN(0)}, 2},             /* a range too few */
		{1, 16, 65535, {RANGE(4096, 0), BUS_PFN(0)}, 2},
		{1, 32, 1, {RANGE(4096, 0), BUS_PFN(0), RANGE(4096, 0), BUS_PFN(1)}, 4},
		{1, 16, 1, {RANGE(4096, 0), 0}, 2}, /* no RAM */
		{1, 16, 1, {RANGE(4096, 0), BUS_PFN(BUS_PAGES)}, 2},
		{1, 16, 1, {RANGE(4096, 0), UINT64_MAX}, 2},
		{1, 16, 1, {RANGE(4096, 0), (1ull << 52) + BUS_PFN(0)}, 2},
		{1, 24, 1, {RANGE(8192, 0), BUS_PFN(0), 7}, 3},
	};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t msg[240];

		bus_send(b, msg,
			 header(msg, bad[i].relid, 5, bad[i].range_bytes, bad[i].range_count,
				bad[i].words, bad[i].count));
		cr_assert_eq(b->faults, 1, "case %zu", i);
		bus_expect_fault(b, HVS_FAULT_GPADL, bad[i].relid);
		cr_assert_eq(b->posted - b->taken, 1, "case %zu", i);
		bus_expect_created(b, bad[i].relid, 5, HVSI_STATUS_FAILED);
		bus_expect_nothing(b);
	}
	/* The number is free. */
	bus_gpadl(b, 1, 5, 0, 4);
	bus_no_fault(b);
	bus_down(b);
}

Test(gpadl, a_number_in_use_is_refused_and_the_first_one_stays)
{
	const uint64_t words[] = {RANGE(2 * 4096, 0), BUS_PFN(0), BUS_PFN(1)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	bus_send(b, msg, header(msg, 1, 5, 24, 1, words, 2)); /* waits for a body */
	bus_send(b, msg, header(msg, 1, 5, 24, 1, words, 3));
	bus_expect_created(b, 1, 5, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_send(b, msg, body(msg, 0, 5, words + 2, 1));
	bus_expect_created(b, 1, 5, 0);
	bus_send(b, msg, header(msg, 1, 5, 24, 1, words, 3));
	bus_expect_created(b, 1, 5, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_teardown(b, 1, 5);
	bus_expect_torndown(b, 5);
	bus_gpadl(b, 1, 5, 0, 2);
	bus_down(b);
}

Test(gpadl, a_body_nobody_waits_for_is_dropped)
{
	const uint64_t words[] = {RANGE(4096, 0), BUS_PFN(0)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	bus_send(b, msg, body(msg, 0, 5, words, 2));
	bus_expect_fault(b, HVS_FAULT_GPADL, 0);
	bus_gpadl(b, 1, 5, 0, 1);
	bus_send(b, msg, body(msg, 1, 5, words, 2)); /* it is complete */
	bus_expect_fault(b, HVS_FAULT_GPADL, 0);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(gpadl, only_what_was_created_is_torn_down)
{
	const uint64_t words[] = {RANGE(4096, 0), BUS_PFN(0)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	uint8_t msg[240];

	bus_teardown(b, 1, 5);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_send(b, msg, header(msg, 1, 5, 16, 1, words, 1));
	bus_teardown(b, 1, 5); /* half of it is there */
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_expect_nothing(b);
	bus_send(b, msg, body(msg, 0, 5, words + 1, 1));
	bus_expect_created(b, 1, 5, 0);
	bus_teardown(b, 1, 5);
	bus_expect_torndown(b, 5);
	bus_teardown(b, 1, 5);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_expect_nothing(b);
	bus_down(b);
}

/* ---- limits ----------------------------------------------------------------------------------- */

Test(gpadl, their_number_is_limited)
{
	struct bus_options opt = {.max_gpadls = 3};
	struct testdev d = {0};
	struct testbus *b = up(&d, &opt);

	for (uint32_t id = 1; id <= 3; id++)
		bus_gpadl(b, 1, id, 0, 1);
	bus_send_gpadl(b, 1, 4, 0, 1);
	bus_expect_created(b, 1, 4, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_teardown(b, 1, 2);
	bus_expect_torndown(b, 2);
	bus_gpadl(b, 1, 4, 0, 1);
	bus_no_fault(b);
	bus_down(b);
}

/* A range takes one word more than it has pages. */
Test(gpadl, their_pages_are_limited_together)
{
	struct bus_options opt = {.max_gpadl_pages = 20};
	struct testdev d = {0};
	struct testbus *b = up(&d, &opt);

	bus_gpadl(b, 1, 1, 0, 9);
	bus_send_gpadl(b, 1, 2, 0, 10);
	bus_expect_created(b, 1, 2, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_gpadl(b, 1, 2, 0, 9);
	bus_send_gpadl(b, 1, 3, 0, 1);
	bus_expect_created(b, 1, 3, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_teardown(b, 1, 1);
	bus_expect_torndown(b, 1);
	bus_gpadl(b, 1, 3, 0, 9);
	bus_unload(b);
	bus_take(b, HVSI_MSG_UNLOAD_RESPONSE, 8);
	bus_connect(b, NEWEST); /* a new connection has the whole limit */
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, 0, 19);
	bus_down(b);
}

/* Nothing a guest announces costs memory beyond the limit, whether or not it ever comes. */
Test(gpadl, announcements_that_are_never_completed_are_limited)
{
	const uint64_t words[] = {RANGE(4096, 0)};
	struct test_alloc a = TEST_ALLOC_INIT;
	struct bus_options opt = {.max_gpadl_pages = 10000, .alloc = test_allocator(&a)};
	struct testdev d = {0};
	struct testbus *b = up(&d, &opt);
	size_t before = a.live;
	uint8_t msg[240];

	for (uint32_t id = 0; id < 100; id++)
		bus_send(b, msg, header(msg, 1, id, 65528, 1, words, 1));
	cr_assert_lt(a.live - before, 10000 * 8 + 4096);
	cr_assert_eq(b->faults, 99);
	b->faults = 0;
	b->taken = b->posted;
	bus_down(b);
	cr_assert_eq(a.live, 0);
}

Test(gpadl, without_memory_it_is_refused)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	struct bus_options opt = {.alloc = test_allocator(&a)};
	struct testdev d = {0};
	struct testbus *b = up(&d, &opt);

	a.fail_at = a.calls;
	bus_send_gpadl(b, 1, 5, 0, 4);
	cr_assert(a.failed);
	bus_expect_created(b, 1, 5, HVSI_STATUS_FAILED);
	b->faults = 0;
	bus_gpadl(b, 1, 5, 0, 4);
	bus_down(b);
	cr_assert_eq(a.live, 0);
}

/* ---- together with channels ------------------------------------------------------------------- */

Test(gpadl, teardown_of_an_open_ring_is_answered_after_close)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = bus_up(NULL);

	dev_offer(b, &d, 1, NULL);
	bus_start(b);
	bus_open_first(b, NEWEST, 4, 2);
	bus_teardown(b, 1, 1);
	bus_no_fault(b);
	bus_expect_nothing(b);
	bus_teardown(b, 1, 1);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_close(b, 1);
	bus_expect_nothing(b); /* the device still uses it */
	hvs_channel_closed(d.ch);
	bus_run(b);
	bus_expect_torndown(b, 1);
	bus_gpadl(b, 1, 1, 16, 4);
	bus_down(b);
}

Test(gpadl, a_refusal_that_waits_for_the_slot_is_not_lost)
{
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	const uint64_t words[] = {RANGE(4096, 0), 7};
	uint8_t msg[240];

	b->slot_busy = true;
	bus_send(b, msg, header(msg, 1, 5, 16, 1, words, 2)); /* not RAM */
	bus_send(b, msg, header(msg, 9, 6, 16, 1, words, 2)); /* no such channel */
	bus_send(b, msg, header(msg, 9, 7, 16, 1, words, 2));
	bus_expect_nothing(b);
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	bus_expect_created(b, 1, 5, HVSI_STATUS_FAILED);
	bus_expect_created(b, 9, 6, HVSI_STATUS_FAILED);
	bus_expect_created(b, 9, 7, HVSI_STATUS_FAILED);
	bus_down(b);
}

Test(gpadl, a_reset_forgets_answers_that_wait)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	struct bus_options opt = {.alloc = test_allocator(&a)};
	const uint64_t words[] = {RANGE(4096, 0), 7};
	struct testdev d = {0};
	struct testbus *b = up(&d, &opt);
	uint8_t msg[240];

	bus_gpadl(b, 1, 1, 0, 1);
	b->slot_busy = true;
	bus_send(b, msg, header(msg, 1, 5, 16, 1, words, 2));
	cr_assert_eq(hvs_vmbus_reset(b->bus, NULL, NULL), 0);
	bus_run(b);
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	bus_expect_nothing(b);
	bus_down(b);
	cr_assert_eq(a.live, 0);
}
