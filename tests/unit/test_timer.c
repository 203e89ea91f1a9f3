/* SPDX-License-Identifier: MIT */
/* hvs_channel_set_timer(): when timer() is called, and when not. */
#include "support/bus.h"
#include "support/multidev.h"

#define DEVICES 3u
#define HOUR_NS 3600000000000ull

struct timed {
	struct hvs_channel *ch;

	/* Orders. */
	uint64_t delay_ns; /* the next ready() sets the timer, if it is not 0 */
	bool again;        /* timer() sets it again */
	bool hold_close;
	bool fault;

	/* What happened. */
	unsigned timers;
	unsigned readies;
	bool timer_last; /* and no ready() since */
	uint64_t period_ns;
};

static int timed_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		      void **ctx)
{
	struct timed *t = dev;

	(void)params;
	t->ch = ch;
	*ctx = t;
	return 0;
}

static bool timed_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct timed *t = ctx;

	(void)budget;
	t->readies++;
	t->timer_last = false;
	if (t->delay_ns)
		hvs_channel_set_timer(ch, t->delay_ns);
	t->delay_ns = 0;
	if (t->fault)
		hvs_channel_fault(ch, "told to");
	t->fault = false;
	return false;
}

static void timed_timer(struct hvs_channel *ch, void *ctx)
{
	struct timed *t = ctx;

	t->timers++;
	t->timer_last = true;
	if (t->again)
		hvs_channel_set_timer(ch, t->period_ns);
}

static void timed_close(struct hvs_channel *ch, void *ctx)
{
	struct timed *t = ctx;

	if (!t->hold_close)
		hvs_channel_closed(ch);
}

static struct timed timed[DEVICES];

/* All devices are open, and have nothing to do. */
static struct testbus *up(void)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT, .open = timed_open,
					       .ready = timed_ready, .close = timed_close,
					       .timer = timed_timer};
	struct testbus *b = bus_up(NULL);

	memset(timed, 0, sizeof(timed));
	for (uint8_t i = 0; i < DEVICES; i++) {
		const struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = {{0xc1}},
						.instance_id = {{0x20, i}}};
		struct hvs_device *d;

		cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, &timed[i], &d), 0);
	}
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, DEVICES);
	for (uint32_t i = 0; i < DEVICES; i++)
		multi_open(b, i + 1);
	b->now_ns = 1000; /* every message took its time */
	bus_run(b);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	return b;
}

static void set(struct testbus *b, unsigned i, uint64_t delay_ns)
{
	timed[i].delay_ns = delay_ns;
	hvs_channel_kick(timed[i].ch);
	bus_run(b);
	cr_assert_eq(timed[i].delay_ns, 0);
}

static void at(struct testbus *b, uint64_t now_ns)
{
	b->now_ns = now_ns;
	bus_run(b);
}

Test(timer, comes_once_at_its_time_and_ready_follows)
{
	struct testbus *b = up();
	unsigned readies;

	set(b, 0, 500);
	cr_assert_eq(b->deadline_ns, 1500);
	readies = timed[0].readies;
	at(b, 1499);
	cr_assert_eq(timed[0].timers, 0);
	cr_assert_eq(timed[0].readies, readies);
	at(b, 1500);
	cr_assert_eq(timed[0].timers, 1);
	cr_assert_not(timed[0].timer_last);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	at(b, 9000);
	cr_assert_eq(timed[0].timers, 1);
	bus_down(b);
}

Test(timer, each_channel_has_its_own)
{
	static const uint64_t delays[DEVICES] = {300, 100, 200};
	struct testbus *b = up();

	for (unsigned i = 0; i < DEVICES; i++)
		set(b, i, delays[i]);
	cr_assert_eq(b->deadline_ns, 1100);
	at(b, 1100);
	cr_assert(timed[0].timers == 0 && timed[1].timers == 1 && timed[2].timers == 0);
	cr_assert_eq(b->deadline_ns, 1200);
	at(b, 1350);
	cr_assert(timed[0].timers == 1 && timed[1].timers == 1 && timed[2].timers == 1);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	bus_down(b);
}

Test(timer, set_again_takes_the_place_of_the_first)
{
	static const uint64_t later[] = {100, 900};

	for (unsigned i = 0; i < 2; i++) {
		struct testbus *b = up();

		set(b, 0, 500);
		set(b, 0, later[i]);
		at(b, 1000 + later[i] - 1);
		cr_assert_eq(timed[0].timers, 0);
		at(b, 1000 + later[i]);
		cr_assert_eq(timed[0].timers, 1);
		at(b, 9000);
		cr_assert_eq(timed[0].timers, 1);
		bus_down(b);
	}
}

Test(timer, that_sets_itself_comes_once_however_far_the_clock_jumps)
{
	struct testbus *b = up();

	timed[0].again = true;
	timed[0].period_ns = 10;
	set(b, 0, 10);
	at(b, 1010);
	at(b, 1000000);
	cr_assert_eq(timed[0].timers, 2);
	cr_assert_eq(b->deadline_ns, 1000010);
	at(b, 500); /* backwards: it comes later */
	cr_assert_eq(timed[0].timers, 2);
	at(b, 1000010);
	cr_assert_eq(timed[0].timers, 3);
	bus_down(b);
}

Test(timer, of_a_time_that_never_comes)
{
	struct testbus *b = up();

	set(b, 0, UINT64_MAX);
	set(b, 1, UINT64_MAX - 1001);
	at(b, UINT64_MAX - 2);
	cr_assert_eq(timed[0].timers, 0);
	cr_assert_eq(timed[1].timers, 0);
	bus_down(b);
}

Test(timer, comes_while_the_device_closes_and_not_afterwards)
{
	struct testbus *b = up();
	unsigned readies;

	timed[0].hold_close = true;
	set(b, 0, HOUR_NS);
	set(b, 1, HOUR_NS);
	multi_close(b, 1);
	multi_close(b, 2);
	cr_assert_eq(b->deadline_ns, 1000 + HOUR_NS);
	at(b, 1000 + HOUR_NS);
	cr_assert_eq(timed[0].timers, 1);
	cr_assert_not(timed[0].timer_last);
	cr_assert_eq(timed[1].timers, 0);
	timed[0].again = true;
	timed[0].period_ns = 100;
	hvs_channel_set_timer(timed[0].ch, 100);
	readies = timed[0].readies;
	hvs_channel_closed(timed[0].ch);
	bus_run(b);
	at(b, 3 * HOUR_NS);
	cr_assert_eq(timed[0].timers, 1);
	cr_assert_eq(timed[0].readies, readies);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	bus_down(b);
}

Test(timer, comes_on_a_faulted_channel_too)
{
	struct testbus *b = up();

	timed[0].fault = true;
	set(b, 0, 500);
	bus_expect_fault(b, HVS_FAULT_DEVICE, 1);
	at(b, 1500);
	cr_assert_eq(timed[0].timers, 1);
	cr_assert_not(timed[0].timer_last);
	bus_down(b);
}

Test(timer, does_not_come_when_the_bus_is_being_reset)
{
	struct testbus *b = up();

	timed[0].hold_close = false;
	set(b, 0, 500);
	b->now_ns = 2000;
	bus_down(b); /* due, but the channel closes first */
	cr_assert_eq(timed[0].timers, 0);
}
