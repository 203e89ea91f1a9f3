/* SPDX-License-Identifier: MIT */
#include "support/alloc.h"
#include "support/bus.h"
#include "vmbus/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>

#define ITEMS 8

struct item {
	struct hvsi_work work;
	struct hvs_worker *worker;
	char name;
	unsigned uses;   /* units a run takes */
	unsigned again;  /* runs that post the item again */
	unsigned budget; /* of the last run */
	struct hvsi_work *posts;
};

/* Who ran, in order. */
static char trace[64];

static unsigned run(struct hvsi_work *work, unsigned budget)
{
	struct item *i = hvsi_container_of(work, struct item, work);
	size_t at = strlen(trace);

	cr_assert_lt(at, sizeof(trace) - 1);
	trace[at] = i->name;
	trace[at + 1] = 0;
	i->budget = budget;
	if (i->again) {
		i->again--;
		hvsi_worker_post(i->worker, work);
	}
	if (i->posts)
		hvsi_worker_post(i->worker, i->posts);
	return i->uses;
}

struct fixture {
	struct testbus *b;
	struct hvs_worker *w;
	struct item item[ITEMS];
};

static void up(struct fixture *f)
{
	static int priv;

	*f = (struct fixture){.b = bus_up(NULL)};
	trace[0] = 0;
	cr_assert_eq(hvs_worker_create(f->b->bus, &priv, &f->w), 0);
	for (int i = 0; i < ITEMS; i++) {
		f->item[i] = (struct item){.worker = f->w, .name = (char)('a' + i), .uses = 1};
		hvsi_work_init(&f->item[i].work, run);
	}
	bus_start(f->b); /* workers do nothing before */
	f->b->wakes = 0;
}

static void post(struct fixture *f, const char *names)
{
	while (*names)
		hvsi_worker_post(f->w, &f->item[*names++ - 'a'].work);
}

Test(worker, runs_items_in_order_until_none_is_left)
{
	struct fixture f;
	uint64_t deadline = 0;

	up(&f);
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, &deadline), 0);
	cr_assert_eq(deadline, UINT64_MAX);
	post(&f, "cab");
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
	cr_assert_str_eq(trace, "cab");
	bus_down(f.b);
}

Test(worker, is_woken_only_when_it_sleeps)
{
	struct fixture f;

	up(&f);
	post(&f, "a");
	cr_assert_eq(f.b->wakes, 1);
	post(&f, "bab");
	cr_assert_eq(f.b->wakes, 1, "it knows already");
	f.item[1].posts = &f.item[2].work;
	f.item[0].again = 2;
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
	cr_assert_str_eq(trace, "abaca");
	cr_assert_eq(f.b->wakes, 1, "a worker that runs need not be woken");
	post(&f, "a");
	cr_assert_eq(f.b->wakes, 2);
	bus_down(f.b);
}

Test(worker, is_not_woken_while_work_is_left_over)
{
	struct fixture f;

	up(&f);
	post(&f, "abc");
	cr_assert_eq(hvs_worker_dispatch(f.w, 1, NULL), 1);
	post(&f, "d");
	cr_assert_eq(f.b->wakes, 1, "the caller was told to come again");
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
	cr_assert_str_eq(trace, "abcd");
	bus_down(f.b);
}

Test(worker, hands_its_private_pointer_to_wake)
{
	struct fixture f;

	up(&f);
	post(&f, "a");
	cr_assert_not_null(f.b->woken);
	cr_assert_eq(f.b->woken, f.w->priv);
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
	hvs_vmbus_slot_free(f.b->bus, 0); /* something for the main worker */
	cr_assert_eq(f.b->wakes, 2);
	cr_assert_null(f.b->woken);
	bus_run(f.b);
	bus_down(f.b);
}

Test(worker, stops_when_the_budget_is_used)
{
	static const struct {
		unsigned uses;
		unsigned budget;
		const char *first; /* what the first dispatch runs of "abcde" */
		int left;
	} cases[] = {
		{1, 1, "a", 1},     {1, 3, "abc", 1}, {1, 5, "abcde", 0},
		{1, 6, "abcde", 0}, {2, 3, "ab", 1},  {2, 4, "ab", 1},
		{2, 5, "abc", 1},   {100, 1, "a", 1}, {0, 1, "abcde", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;

		up(&f);
		for (int n = 0; n < ITEMS; n++)
			f.item[n].uses = cases[i].uses;
		post(&f, "abcde");
		cr_assert_eq(hvs_worker_dispatch(f.w, cases[i].budget, NULL), cases[i].left,
			     "case %zu", i);
		cr_assert_str_eq(trace, cases[i].first, "case %zu: %s", i, trace);
		cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
		cr_assert_str_eq(trace, "abcde");
		bus_down(f.b);
	}
}

Test(worker, an_item_gets_the_rest_of_the_budget_up_to_a_slice)
{
	struct fixture f;

	up(&f);
	f.item[0].uses = 10;
	post(&f, "ab");
	cr_assert_eq(hvs_worker_dispatch(f.w, 30, NULL), 0);
	cr_assert_eq(f.item[0].budget, 30);
	cr_assert_eq(f.item[1].budget, 20);
	post(&f, "a");
	cr_assert_eq(hvs_worker_dispatch(f.w, 1000, NULL), 0);
	cr_assert_eq(f.item[0].budget, 64, "nobody has the worker for itself");
	post(&f, "a");
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
	cr_assert_eq(f.item[0].budget, 64);
	bus_down(f.b);
}

Test(worker, greedy_items_take_turns)
{
	struct fixture f;

	up(&f);
	f.item[0].again = 3;
	f.item[1].again = 2;
	post(&f, "abc");
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
	cr_assert_str_eq(trace, "abcababa");
	bus_down(f.b);
}

Test(worker, an_endless_item_leaves_work_with_a_budget)
{
	struct fixture f;

	up(&f);
	f.item[0].again = UINT_MAX;
	post(&f, "a");
	for (int i = 0; i < 5; i++) {
		trace[0] = 0;
		cr_assert_eq(hvs_worker_dispatch(f.w, 4, NULL), 1);
		cr_assert_str_eq(trace, "aaaa");
	}
	f.item[0].again = 0;
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, NULL), 0);
	bus_down(f.b);
}

Test(worker, runs_the_timer_at_its_deadline_and_not_before)
{
	struct fixture f;
	uint64_t deadline = 0;

	up(&f);
	f.b->now_ns = 5000;
	f.w->deadline_ns = 6000;
	f.w->timer_work = &f.item[0].work;
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, &deadline), 0);
	cr_assert_eq(deadline, 6000);
	f.b->now_ns = 5999;
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, &deadline), 0);
	cr_assert_eq(deadline, 6000);
	cr_assert_str_eq(trace, "");
	f.b->now_ns = 6000;
	cr_assert_eq(hvs_worker_dispatch(f.w, 0, &deadline), 0);
	cr_assert_eq(deadline, UINT64_MAX);
	cr_assert_str_eq(trace, "a");
	cr_assert_eq(f.b->wakes, 0, "whoever dispatches need not be woken");
	bus_down(f.b);
}

Test(worker, is_made_only_before_the_bus_starts)
{
	struct hvs_worker *w = NULL;
	struct testbus *b = bus_up(NULL);

	cr_assert_eq(hvs_worker_create(NULL, NULL, &w), -EINVAL);
	cr_assert_eq(hvs_worker_create(b->bus, NULL, NULL), -EINVAL);
	bus_start(b);
	cr_assert_eq(hvs_worker_create(b->bus, NULL, &w), -EBUSY);
	cr_assert_null(w);
	bus_down(b);
}

Test(worker, without_memory_is_not_made_and_goes_with_the_bus)
{
	struct test_alloc a = TEST_ALLOC_INIT;
	struct bus_options opt = {.alloc = test_allocator(&a)};
	struct testbus *b = bus_up(&opt);
	struct hvs_worker *w = NULL;

	a.fail_at = a.calls;
	cr_assert_eq(hvs_worker_create(b->bus, NULL, &w), -ENOMEM);
	cr_assert_eq(hvs_worker_create(b->bus, NULL, &w), 0);
	cr_assert_eq(hvs_worker_create(b->bus, NULL, &w), 0);
	bus_down(b);
	cr_assert_eq(a.live, 0);
}
