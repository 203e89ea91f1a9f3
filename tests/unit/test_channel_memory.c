/* SPDX-License-Identifier: MIT */
/* What else channels give a device: pages that the guest shares, room in the ring, the clock. */
#include "support/alloc.h"
#include "support/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define FIRST 40u
#define PAGES 3u
#define ID 0xe1e20u

/* An open channel, and PAGES pages that are shared on it. */
static struct testbus *up(struct testdev *d)
{
	struct testbus *b = bus_up(NULL);

	dev_offer(b, d, 1, NULL);
	bus_start(b);
	bus_open_first(b, NEWEST, 8, 4);
	bus_run_all(b);
	cr_assert_not_null(d->ch);
	bus_gpadl(b, 1, ID, FIRST, PAGES);
	return b;
}

static struct hvs_gpadl *get(struct testdev *d)
{
	struct hvs_gpadl *g;

	cr_assert_eq(hvs_channel_gpadl_get(d->ch, ID, &g), 0);
	return g;
}

Test(channel_memory, its_bytes_are_the_guests)
{
	struct testdev d = {0};
	struct testbus *b = up(&d);
	struct hvs_gpadl *g = get(&d);
	const struct hvs_extents *e = hvs_gpadl_extents(g);
	struct hvs_map *map;
	unsigned count;
	char word[5] = {0};

	cr_assert_eq(hvs_extents_len(e), PAGES * 4096);
	cr_assert_eq(hvs_extents_write(e, 4094, "word", 4), 0);
	cr_assert_eq(hvs_extents_map(e, 0, PAGES * 4096, HVS_RDWR, &map), 0);
	memcpy(word, (const char *)hvs_map_iov(map, &count)->iov_base + 4094, 4);
	cr_assert_eq(count, 1);
	cr_assert_str_eq(word, "word");
	hvs_map_put(map);
	hvs_gpadl_put(g);
	hvs_gpadl_put(NULL);
	bus_down(b);
}

Test(channel_memory, a_teardown_is_answered_when_the_last_one_has_put_it)
{
	struct testdev d = {0};
	struct testbus *b = up(&d);
	struct hvs_gpadl *first = get(&d);
	struct hvs_gpadl *second = get(&d);
	struct hvs_gpadl *none;

	bus_teardown(b, 1, ID);
	bus_expect_nothing(b);
	cr_assert_eq(hvs_channel_gpadl_get(d.ch, ID, &none), -ENOENT);
	hvs_gpadl_put(first);
	bus_run_all(b);
	bus_expect_nothing(b);
	/* It is still there. */
	cr_assert_eq(hvs_extents_write(hvs_gpadl_extents(second), 0, "x", 1), 0);
	hvs_gpadl_put(second);
	bus_run_all(b);
	bus_expect_torndown(b, ID);
	cr_assert_eq(hvs_channel_gpadl_get(d.ch, ID, &none), -ENOENT);
	bus_gpadl(b, 1, ID, FIRST, PAGES);
	hvs_gpadl_put(get(&d));
	bus_no_fault(b);
	bus_down(b);
}

Test(channel_memory, without_a_user_a_teardown_is_answered_at_once)
{
	struct testdev d = {0};
	struct testbus *b = up(&d);

	hvs_gpadl_put(get(&d));
	bus_run_all(b);
	bus_expect_nothing(b);
	bus_teardown(b, 1, ID);
	bus_expect_torndown(b, ID);
	bus_down(b);
}

Test(channel_memory, a_channel_that_closes_lets_go_of_it)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d);
	struct hvs_gpadl *g = get(&d);

	bus_close(b, 1);
	bus_run_all(b);
	bus_teardown(b, 1, ID);
	bus_run_all(b);
	bus_expect_nothing(b);
	hvs_gpadl_put(g);
	hvs_channel_closed(d.ch);
	bus_run_all(b);
	bus_expect_torndown(b, ID);
	bus_down(b);
}

Test(channel_memory, those_of_other_channels_and_unknown_ones_are_not_there)
{
	struct testdev d = {0};
	struct testdev other = {0};
	struct testbus *b = bus_up(NULL);
	struct hvs_gpadl *g;

	dev_offer(b, &d, 1, NULL);
	dev_offer(b, &other, 2, NULL);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 2);
	bus_gpadl(b, 1, 1, 16, 8);
	{
		const struct hvsi_msg_open m = bus_open_msg(1, 1, 1, 0, 4);

		bus_send(b, &m, sizeof(m));
	}
	bus_expect_opened(b, 1, 1, 0);
	bus_gpadl(b, 2, ID, FIRST, PAGES);
	cr_assert_eq(hvs_channel_gpadl_get(d.ch, ID, &g), -ENOENT);
	cr_assert_eq(hvs_channel_gpadl_get(d.ch, ID + 1, &g), -ENOENT);
	bus_teardown(b, 2, ID);
	bus_expect_torndown(b, ID);
	bus_down(b);
}

Test(channel_memory, one_that_is_not_complete_is_not_there)
{
	struct testdev d = {0};
	struct testbus *b = up(&d);
	struct hvs_gpadl *g;
	const struct {
		struct hvsi_msg_gpadl_header h;
		struct hvs_le64 range;
	} m = {.h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
		     .relid = hvsi_le32(1),
		     .gpadl_id = hvsi_le32(ID + 1),
		     .range_bytes = hvsi_le16(16),
		     .range_count = hvsi_le16(1)},
	       .range = hvsi_le64(4096)};

	bus_send(b, &m, sizeof(m)); /* its page number is still to come */
	cr_assert_eq(hvs_channel_gpadl_get(d.ch, ID + 1, &g), -ENOENT);
	bus_down(b);
}

Test(channel_memory, without_memory_nothing_is_taken)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	const struct bus_options opt = {.alloc = test_allocator(&a)};
	struct testdev d = {0};
	struct testbus *b = bus_up(&opt);
	struct hvs_gpadl *g;

	dev_offer(b, &d, 1, NULL);
	bus_start(b);
	bus_open_first(b, NEWEST, 8, 4);
	bus_run_all(b);
	bus_gpadl(b, 1, ID, FIRST, PAGES);
	a.fail_at = a.calls;
	cr_assert_eq(hvs_channel_gpadl_get(d.ch, ID, &g), -ENOMEM);
	a.fail_at = SIZE_MAX;
	bus_teardown(b, 1, ID);
	bus_expect_torndown(b, ID);
	bus_down(b);
}

/* ---- room in the ring, and the clock ----------------------------------------------------------- */

Test(channel_memory, room_is_known_and_waited_for)
{
	struct testdev d = {.ignore_ring = true};
	struct testbus *b = bus_up(NULL);
	struct guest_rings r;
	const uint8_t payload[1000] = {0};
	const struct iovec iov = {(void *)(uintptr_t)payload, sizeof(payload)};
	unsigned readies;

	dev_offer(b, &d, 1, NULL);
	bus_start(b);
	bus_open_first(b, NEWEST, 4, 2); /* a page each way */
	bus_run_all(b);
	rings_attach(b, &r, OPEN_FIRST_PAGE, 2, 4);
	cr_assert_eq(hvs_channel_has_room(d.ch, 4089), -EMSGSIZE);
	cr_assert_eq(hvs_channel_has_room(d.ch, 4088), 0);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(hvs_channel_send(d.ch, i, false, &iov, 1), 0);
	hvs_channel_flush(d.ch);
	cr_assert_eq(hvs_channel_has_room(d.ch, 4088 - 3 * 1024), 0);
	cr_assert_eq(r.recv_ctl[3], 0); /* pending send size */
	cr_assert_eq(hvs_channel_has_room(d.ch, 4096 - 3 * 1024), -EAGAIN);
	cr_assert_eq(r.recv_ctl[3], 4096 - 3 * 1024);
	/* The guest takes one, and says so: ready() comes. */
	hvs_channel_kick(d.ch);
	bus_run_all(b);
	readies = d.readies;
	{
		struct hvsi_descriptor desc;
		uint8_t buf[2048];

		cr_assert_eq(hvsi_ring_read(&r.in, &desc, buf, sizeof(buf)), 1);
		cr_assert(hvsi_ring_in_commit(&r.in));
	}
	hvs_channel_kick(d.ch);
	bus_run_all(b);
	cr_assert_gt(d.readies, readies);
	cr_assert_eq(hvs_channel_has_room(d.ch, 4096 - 3 * 1024), 0);
	cr_assert_eq(r.recv_ctl[3], 0);
	bus_close(b, 1);
	bus_run_all(b);
	cr_assert_eq(hvs_channel_has_room(d.ch, 8), -ESHUTDOWN);
	bus_down(b);
}

Test(channel_memory, a_read_index_that_is_nonsense_faults_the_channel_that_looks_for_room)
{
	struct testdev d = {.ignore_ring = true};
	struct testbus *b = bus_up(NULL);
	struct guest_rings r;

	dev_offer(b, &d, 1, NULL);
	bus_start(b);
	bus_open_first(b, NEWEST, 4, 2);
	bus_run_all(b);
	rings_attach(b, &r, OPEN_FIRST_PAGE, 2, 4);
	cr_assert_eq(hvs_channel_send(d.ch, 1, false, NULL, 0), 0);
	r.recv_ctl[1] = 4;
	cr_assert_eq(hvs_channel_has_room(d.ch, 4088), -EPROTO);
	bus_expect_fault(b, HVS_FAULT_RING_INDEX, 1);
	cr_assert_eq(hvs_channel_has_room(d.ch, 8), -ESHUTDOWN);
	bus_down(b);
}

Test(channel_memory, the_clock_is_the_embedders)
{
	struct testdev d = {0};
	struct testbus *b = up(&d);

	b->now_ns = 12345;
	cr_assert_eq(hvs_channel_now(d.ch), 12345);
	bus_down(b);
}
