/* SPDX-License-Identifier: MIT */
/*
 * Drive a worker from a libevent loop: wake-ups and deadlines become dispatches on the thread
 * that runs the base. Nothing here knows what a worker does.
 */
#include <hvstack/host/loop.h>

#include "host/notify.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/worker.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/* Units of work before other events of the base get their turn. */
#define BUDGET 256u

struct hvs_loop {
	struct event_base *base;
	struct hvs_worker *worker;
	struct hvsi_notify notify;
	struct event *timer;
	uint64_t timer_ns; /* when it fires; 0: in the next round, UINT64_MAX: not armed */
	bool dispatching;  /* both only on the thread that runs base */
	bool again;        /* woken from inside the dispatch */
	/*
	 * A dispatch is on its way: whoever finds this set need not wake. It is cleared before
	 * the dispatch looks for work, so work that was queued before a wake is always seen: by
	 * that dispatch [A], or by the one that the waker causes [B].
	 */
	atomic_bool woken;
};

uint64_t hvs_loop_now_ns(void)
{
	struct timespec ts;

	/* Can't fail: the clock exists and ts is ours. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Have the timer fire at due_ns: 0 for the next round of the loop, UINT64_MAX for never. */
static void arm(struct hvs_loop *loop, uint64_t due_ns)
{
	struct timeval tv = {0};

	if (due_ns == loop->timer_ns)
		return;
	loop->timer_ns = due_ns;
	if (due_ns == UINT64_MAX) {
		event_del(loop->timer);
		return;
	}
	if (due_ns) {
		uint64_t now_ns = hvs_loop_now_ns();
		uint64_t us = due_ns > now_ns ? (due_ns - now_ns - 1) / 1000 + 1 : 0;

		tv.tv_sec = (time_t)(us / 1000000);
		tv.tv_usec = (suseconds_t)(us % 1000000);
	}
	/* No memory for libevent's heap: ask again at once; a lost deadline would hang a guest. */
	if (event_add(loop->timer, &tv) < 0) {
		loop->timer_ns = UINT64_MAX;
		hvsi_notify_signal(&loop->notify);
	}
}

static void dispatch(struct hvs_loop *loop)
{
	uint64_t due_ns = UINT64_MAX;
	int left;

	/* [A] pairs with the exchange in hvs_loop_wake(): sees all work queued before it. */
	atomic_exchange(&loop->woken, false);
	if (!loop->worker)
		return;
	loop->again = false;
	loop->dispatching = true;
	left = hvs_worker_dispatch(loop->worker, BUDGET, &due_ns);
	loop->dispatching = false;
	/* In the next round, not now: other events of the base must get their turn. */
	if (left > 0 || loop->again)
		due_ns = 0;
	arm(loop, due_ns);
}

static void on_wake(void *arg)
{
	dispatch(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_loop *loop = arg;
	struct event_base *outer = hvsi_base_enter(loop->base);

	(void)fd;
	(void)what;
	loop->timer_ns = UINT64_MAX;
	dispatch(loop);
	hvsi_base_leave(outer);
}

int hvs_loop_create(struct event_base *base, struct hvs_loop **out)
{
	struct hvs_loop *loop;
	int err;

	if (!base || !out)
		return -EINVAL;
	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	loop->base = base;
	loop->timer_ns = UINT64_MAX;
	atomic_init(&loop->woken, false);
	err = hvsi_notify_init(&loop->notify, base, on_wake, loop);
	if (err)
		goto fail_free;
	loop->timer = evtimer_new(base, on_timer, loop);
	if (!loop->timer) {
		err = -ENOMEM;
		goto fail_notify;
	}
	*out = loop;
	return 0;

fail_notify:
	hvsi_notify_fini(&loop->notify);
fail_free:
	free(loop);
	return err;
}

void hvs_loop_set_worker(struct hvs_loop *loop, struct hvs_worker *worker)
{
	loop->worker = worker;
	/* Whatever was queued for it until now. */
	hvs_loop_wake(loop);
}

void hvs_loop_wake(struct hvs_loop *loop)
{
	bool inside = hvsi_base_inside(loop->base);

	if (inside && loop->dispatching) {
		loop->again = true;
		return;
	}
	/* [B] pairs with [A]: either that dispatch is still to come, or we cause another. */
	if (atomic_exchange(&loop->woken, true))
		return;
	if (inside)
		hvsi_notify_activate(&loop->notify);
	else
		hvsi_notify_signal(&loop->notify);
}

void hvs_loop_destroy(struct hvs_loop *loop)
{
	if (!loop)
		return;
	event_free(loop->timer);
	hvsi_notify_fini(&loop->notify);
	free(loop);
}
