/* SPDX-License-Identifier: MIT */
/*
 * A NIC whose host is replaced: at every instant of a driver's life, and under traffic. Frames may
 * be lost, a completion or a slot never. And saved state that says anything.
 */
#include "support/alloc.h"
#include "support/nic.h"
#include "support/rng.h"
#include "util/state.h"

#include <errno.h>
#include <stdlib.h>

static const uint8_t key[40] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

static struct nic_options options(unsigned sub)
{
	return (struct nic_options){
		.nic = {.max_subchannels = sub},
		.guest = {.send_bytes = 65536, .capabilities = HVSI_NVSP_CAN_8021Q},
		.workers = sub};
}

static void replace(struct nic *n)
{
	/* The old one's back end is done, and the old one does not know it yet. */
	n->net->hold = false;
	nic_finish(n);
	cr_assert_eq(hvs_loopback_replace_host(n->lb, 0, nic_offer, n), 0);
}

/* ---- at every instant ------------------------------------------------------------------------- */

struct instant {
	struct nic *n;
	unsigned waits;
	unsigned when;
};

static void on_wait(void *arg, struct hvs_loopback *lb)
{
	struct instant *i = arg;

	if (i->n && i->waits++ == i->when)
		replace(i->n);
	hvs_loopback_step(lb, 1);
}

static void live(struct nic *n)
{
	uint32_t table[4] = {0, 1, 0, 1};
	uint8_t frame[300];

	nic_open(n);
	nic_start(n);
	cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, 1), 1);
	cr_assert_eq(hvs_guest_net_set_rss(n->drv, HVSI_HASH_TCP4, key, table, 4), 0);
	for (unsigned i = 0; i < 2; i++)
		nic_send(n, i, i, frame, nic_frame(frame, false, true, 200, 3 + i));
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, 0), 0);
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, NIC_FILTER), 0);
	for (unsigned i = 0; i < 100 && n->done_count < 2; i++)
		nic_run(n);
	cr_assert_eq(n->done_count, 2);
	cr_assert(n->net->wanted);
	for (unsigned i = 0; i < 10; i++)
		cr_assert(nic_give(n, i % 2, frame, nic_frame(frame, true, true, 100, i)));
	nic_run(n);
	cr_assert_eq(n->received_count, 10);
	cr_assert_eq(hvs_guest_net_halt(n->drv), 0);
	cr_assert_eq(hvs_guest_net_close(n->drv, HVS_GUEST_NET_TEAR_DOWN), 0);
	n->drv = NULL;
}

/* Returns the waits there were. */
static unsigned live_with(unsigned when)
{
	struct instant i = {.when = when};
	struct nic_options opt = options(1);
	struct nic *n;

	opt.loopback.on_wait = on_wait;
	opt.loopback.arg = &i;
	n = nic_up(&opt);
	nic_connect(n);
	i.n = n;
	i.waits = 0;
	live(n);
	nic_down(n);
	return i.waits;
}

Test(net_save, at_every_instant_of_a_drivers_life)
{
	unsigned waits = live_with(UINT32_MAX);

	cr_assert_gt(waits, 20);
	for (unsigned i = 0; i < waits; i++)
		(void)live_with(i);
}

/* ---- under traffic ---------------------------------------------------------------------------- */

struct traffic {
	struct nic *n;
	struct rng rng;
	unsigned sent;
	unsigned given;
	uint8_t used[256]; /* by xid: it is in flight */
};

static void send_some(struct traffic *t)
{
	unsigned ch = rng_below(&t->rng, 4);
	uint8_t frame[1514];
	unsigned xid = rng_below(&t->rng, t->n->info.section_count);
	uint32_t len = nic_frame(frame, false, true, rng_below(&t->rng, 1400), xid);
	const struct hvs_guest_net_packet p = {.data = frame, .len = len};

	if (!t->used[xid] && hvs_guest_net_send(t->n->drv, ch, xid, &p, 1) == 0) {
		t->used[xid] = 1;
		t->sent++;
	}
}

static void give_some(struct traffic *t)
{
	uint8_t frame[1514];

	for (unsigned i = rng_below(&t->rng, 40); i; i--) {
		uint32_t len = nic_frame(frame, true, true, rng_below(&t->rng, 1400),
					 rng_below(&t->rng, 64));

		t->given += nic_give(t->n, rng_below(&t->rng, 4), frame, len);
	}
}

static void take_completions(struct traffic *t, unsigned from)
{
	for (unsigned i = from; i < t->n->done_count; i++) {
		cr_assert(t->used[t->n->done[i % NIC_FRAMES]], "completed twice");
		t->used[t->n->done[i % NIC_FRAMES]] = 0;
	}
}

static void act(struct traffic *t)
{
	struct nic *n = t->n;
	unsigned done = n->done_count;

	switch (rng_below(&t->rng, 10)) {
	case 0:
	case 1:
	case 2:
		send_some(t);
		break;
	case 3:
	case 4:
		give_some(t);
		break;
	case 5:
		(void)!hvs_guest_net_hold(n->drv, rng_below(&t->rng, 2));
		break;
	case 6:
		n->net->hold = rng_below(&t->rng, 2);
		nic_finish(n);
		break;
	case 7:
		cr_assert_geq(hvs_guest_net_poll(n->drv), 0);
		break;
	default:
		hvs_loopback_step(n->lb, 1 + rng_below(&t->rng, 8));
		break;
	}
	take_completions(t, done);
}

static void expect_all_slots(struct nic *n)
{
	unsigned slots = n->info.slot_count - 16;
	unsigned taken = 0;
	uint8_t frame[100];

	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	for (unsigned q = 0; q < 4; q++)
		for (unsigned i = 0; i < slots; i++) {
			taken += nic_give(n, q, frame, nic_frame(frame, true, true, 40, i));
			nic_run(n);
		}
	cr_assert_eq(taken, slots);
}

Test(net_save, under_traffic_at_random_instants)
{
	for (unsigned seed = 1; seed <= 30; seed++) {
		struct nic_options opt = options(3);
		struct traffic t = {.rng = {seed * 7919ull}};
		uint32_t table[128];
		unsigned done;

		opt.ring_bytes = seed % 2 ? 4096 : 0;
		t.n = nic_new(&opt);
		cr_assert_eq(hvs_guest_net_open_subchannels(t.n->drv, 3), 3);
		for (unsigned i = 0; i < 128; i++)
			table[i] = i % 4;
		cr_assert_eq(hvs_guest_net_set_rss(t.n->drv, HVSI_HASH_TCP4, key, table, 128), 0);
		for (unsigned round = 0; round < 10; round++) {
			for (unsigned i = rng_below(&t.rng, 200); i; i--)
				act(&t);
			replace(t.n);
		}
		t.n->net->hold = false;
		nic_finish(t.n);
		(void)!hvs_guest_net_hold(t.n->drv, false);
		done = t.n->done_count;
		nic_run(t.n);
		take_completions(&t, done);
		cr_assert_eq(t.n->done_count, t.sent);
		cr_assert_leq(t.n->received_count, t.given);
		expect_all_slots(t.n);
		nic_down(t.n);
	}
}

/* ---- what the next host is -------------------------------------------------------------------- */

Test(net_save, the_link_as_it_was_told_and_is_now)
{
	const struct nic_options opt = options(0);
	struct nic *n = nic_new(&opt);

	n->net->info.link_down = true; /* the next one's */
	replace(n);
	nic_run(n);
	cr_assert_eq(n->indicated_count, 2);
	cr_assert_eq(n->indicated[0], HVSI_RNDIS_MEDIA_DISCONNECT);
	cr_assert_eq(n->indicated[1], HVSI_RNDIS_NETWORK_CHANGE);
	nic_down(n);
}

Test(net_save, a_buffer_that_the_guest_wants_back_is_still_held_and_then_given)
{
	const struct nic_options opt = options(0);
	struct nic *n = nic_new(&opt);
	uint8_t frame[200];
	uint32_t len = nic_frame(frame, true, false, 100, 1);

	for (unsigned i = 0; i < 3; i++) {
		replace(n);
		cr_assert(nic_give(n, 0, frame, len) || !n->net->wanted);
		nic_run(n);
	}
	cr_assert_eq(hvs_guest_net_close(n->drv, HVS_GUEST_NET_TEAR_DOWN), 0);
	n->drv = NULL;
	nic_down(n);
}

/* ---- state that says anything ----------------------------------------------------------------- */

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)64 * 4096)
#define SUB 1u

struct blob {
	uint8_t bytes[32768];
	size_t len;
	uint8_t ram[RAM_BYTES];
};

static struct nic_options small(void)
{
	struct nic_options opt = options(SUB);

	opt.loopback.ram_bytes = RAM_BYTES;
	opt.guest.receive_bytes = 16 * 4096;
	opt.guest.send_bytes = 4 * 4096;
	opt.guest.ring_bytes = 4096;
	opt.ring_bytes = 4096;
	return opt;
}

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	cr_assert_leq(len, sizeof(b->bytes) - b->len);
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

static uint8_t *ram_of(struct hvs_loopback *lb)
{
	uint64_t gpa;
	uint8_t *page = hvs_loopback_alloc_pages(lb, 1, &gpa);

	cr_assert_not_null(page);
	hvs_loopback_free_pages(lb, page, 1);
	return page - (gpa - RAM_GPA);
}

/* Frames at the back end, slots with the guest, answers without a slot. */
static void save_busy(struct blob *b)
{
	const struct hvsi_rndis_simple m = {
		.hdr = {.type = hvsi_le32(HVSI_RNDIS_KEEPALIVE), .len = hvsi_le32(sizeof(m))}};
	const struct nic_options opt = small();
	struct nic *n = nic_new(&opt);
	uint8_t frame[200];

	cr_assert_eq(hvs_guest_net_open_subchannels(n->drv, SUB), SUB);
	nic_run(n);
	n->net->hold = true;
	nic_send(n, 0, 0, frame, nic_frame(frame, false, true, 100, 1));
	nic_send(n, 1, 1, frame, nic_frame(frame, false, true, 100, 2));
	cr_assert_eq(hvs_guest_net_hold(n->drv, true), 0);
	for (unsigned i = 0; i < 5; i++)
		cr_assert(nic_give(n, i % 2, frame, nic_frame(frame, true, true, 100, i)));
	nic_run(n);
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(hvs_guest_net_control(n->drv, &m, sizeof(m), NULL, NULL), 0);
	b->len = 0;
	cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(n->lb), append, b), 0);
	memcpy(b->ram, ram_of(n->lb), RAM_BYTES);
	nic_down(n);
}

static int try_state(struct blob *b, size_t fails)
{
	struct hvs_le32 crc = hvsi_le32(hvsi_state_crc(b->bytes, b->len - 12));
	struct test_alloc a = TEST_ALLOC_INIT;
	struct nic_options opt = small();
	struct nic *n;
	int err;

	memcpy(b->bytes + b->len - 4, &crc, sizeof(crc));
	opt.loopback.alloc = test_allocator(&a);
	n = nic_up(&opt);
	n->may_fault = true;
	memcpy(ram_of(n->lb), b->ram, RAM_BYTES);
	a.fail_at = fails == SIZE_MAX ? SIZE_MAX : a.calls + fails;
	err = hvs_vmbus_restore(hvs_loopback_bus(n->lb), b->bytes, b->len);
	a.fail_at = SIZE_MAX;
	if (!err) {
		uint8_t frame[200];

		cr_assert_eq(hvs_vmbus_start(hvs_loopback_bus(n->lb)), 0);
		for (unsigned i = 0; i < 3; i++) {
			hvs_loopback_run(n->lb);
			(void)nic_give(n, i % 2, frame, nic_frame(frame, true, true, 100, i));
		}
	} else {
		cr_assert_not(n->net->wanted);
	}
	nic_down(n);
	cr_assert_eq(a.live, 0);
	return err;
}

Test(net_save, state_that_says_anything_harms_nobody, .timeout = 200)
{
	static const uint8_t values[] = {0, 1, 7, 0x40, 0xff};
	static struct blob b;

	save_busy(&b);
	cr_assert_eq(try_state(&b, SIZE_MAX), 0);
	for (size_t i = 0; i < b.len - 12; i++) {
		uint8_t was = b.bytes[i];

		for (size_t k = 0; k < sizeof(values); k++) {
			int err;

			b.bytes[i] = values[k];
			err = try_state(&b, SIZE_MAX);
			cr_assert(err == 0 || err == -EBADMSG || err == -ENOTSUP ||
					  err == -ENOSPC || err == -EFAULT,
				  "byte %zu = %u: %d", i, values[k], err);
		}
		b.bytes[i] = was;
	}
}

Test(net_save, state_without_memory_is_not_restored_and_leaves_nothing)
{
	static struct blob b;
	size_t fails = 0;

	save_busy(&b);
	while (try_state(&b, fails) == -ENOMEM)
		fails++;
	cr_assert_gt(fails, 10);
	cr_assert_eq(try_state(&b, fails), 0);
}
