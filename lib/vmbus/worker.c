/* SPDX-License-Identifier: MIT */
/* Workers: run what was posted, tell the embedder when there is something to run. */
#include "vmbus/bus.h"

#include "util/alloc.h"

#include <errno.h>
#include <limits.h>

#define POLL_NS 10000000u
#define SLICE 64u /* units one item may use before the next gets its turn */

void hvsi_worker_init(struct hvs_worker *w, struct hvs_vmbus *bus, void *priv)
{
	w->bus = bus;
	w->priv = priv;
	w->deadline_ns = UINT64_MAX;
	hvsi_list_init(&w->polled);
	hvsi_list_init(&w->timed);
	atomic_init(&w->asleep, true);
}

void hvsi_worker_post(struct hvs_worker *w, struct hvsi_work *work)
{
	if (!hvsi_work_push(&w->queue, work))
		return;
	/* Pairs with fall_asleep(): either we see that it sleeps, or it sees the item. */
	if (atomic_load(&w->asleep) && atomic_exchange(&w->asleep, false))
		w->bus->ops.wake(w->bus->be, w, w->priv);
}

/* True: nothing is left, and whoever posts from now on wakes us. */
static bool fall_asleep(struct hvs_worker *w)
{
	atomic_store(&w->asleep, true);
	if (hvsi_work_idle(&w->queue))
		return true;
	atomic_store(&w->asleep, false);
	return false;
}

void hvsi_worker_poll(struct hvs_worker *w, struct hvsi_list *node)
{
	if (!hvsi_list_empty(node))
		return;
	if (hvsi_list_empty(&w->polled))
		w->poll_ns = w->bus->ops.now_ns(w->bus->be) + POLL_NS;
	hvsi_list_append(&w->polled, node);
}

void hvsi_worker_time(struct hvs_worker *w, struct hvs_channel *ch)
{
	if (hvsi_list_empty(&w->timed) || ch->timer_ns < w->timed_ns)
		w->timed_ns = ch->timer_ns;
	if (hvsi_list_empty(&ch->timed))
		hvsi_list_append(&w->timed, &ch->timed);
}

static void check_timers(struct hvs_worker *w, uint64_t now)
{
	struct hvsi_list *next;

	if (hvsi_list_empty(&w->timed) || now < w->timed_ns)
		return;
	w->timed_ns = UINT64_MAX;
	for (struct hvsi_list *n = w->timed.next; n != &w->timed; n = next) {
		struct hvs_channel *ch = hvsi_container_of(n, struct hvs_channel, timed);

		next = n->next;
		if (now >= ch->timer_ns) {
			hvsi_list_remove(n);
			ch->timer_due = true;
			hvsi_worker_post(w, &ch->io_work);
		} else if (ch->timer_ns < w->timed_ns) {
			w->timed_ns = ch->timer_ns;
		}
	}
}

static void check_deadlines(struct hvs_worker *w)
{
	bool polls = !hvsi_list_empty(&w->polled);
	uint64_t now;

	if (w->deadline_ns == UINT64_MAX && !polls && hvsi_list_empty(&w->timed))
		return;
	now = w->bus->ops.now_ns(w->bus->be);
	if (now >= w->deadline_ns) {
		w->deadline_ns = UINT64_MAX;
		hvsi_worker_post(w, w->timer_work);
	}
	while (now >= w->poll_ns && !hvsi_list_empty(&w->polled)) {
		struct hvs_channel *ch =
			hvsi_container_of(w->polled.next, struct hvs_channel, polled);

		hvsi_list_remove(&ch->polled);
		hvsi_worker_post(w, &ch->io_work);
	}
	check_timers(w, now);
}

static uint64_t next_deadline(const struct hvs_worker *w)
{
	uint64_t ns = w->deadline_ns;

	if (!hvsi_list_empty(&w->polled) && w->poll_ns < ns)
		ns = w->poll_ns;
	if (!hvsi_list_empty(&w->timed) && w->timed_ns < ns)
		ns = w->timed_ns;
	return ns;
}

/* Run items until none is left (true) or the budget is used up (false). */
static bool run_queue(struct hvs_worker *w, unsigned budget)
{
	struct hvsi_work *work;

	while ((work = hvsi_work_pop(&w->queue)) != NULL) {
		unsigned used = work->run(work, budget < SLICE ? budget : SLICE);

		if (budget == UINT_MAX)
			continue;
		if (used >= budget)
			return false;
		budget -= used;
	}
	return true;
}

int hvs_worker_dispatch(struct hvs_worker *worker, unsigned budget, uint64_t *next_deadline_ns)
{
	bool idle;

	if (!atomic_load(&worker->bus->started)) {
		if (next_deadline_ns)
			*next_deadline_ns = UINT64_MAX;
		return 0;
	}
	atomic_store(&worker->asleep, false);
	check_deadlines(worker);
	do {
		idle = run_queue(worker, budget ? budget : UINT_MAX);
		/* With a budget the caller decides whether to go on. */
	} while (!fall_asleep(worker) && idle && !budget);

	if (next_deadline_ns)
		*next_deadline_ns = next_deadline(worker);
	return !atomic_load(&worker->asleep);
}

struct hvs_worker *hvs_vmbus_main_worker(struct hvs_vmbus *bus)
{
	return &bus->main_worker;
}

int hvs_worker_create(struct hvs_vmbus *bus, void *worker_priv, struct hvs_worker **out)
{
	struct hvs_worker *w;

	if (!bus || !out)
		return -EINVAL;
	if (atomic_load(&bus->started))
		return -EBUSY;
	w = hvsi_alloc(&bus->cfg.alloc, sizeof(*w));
	if (!w)
		return -ENOMEM;
	hvsi_worker_init(w, bus, worker_priv);
	w->next = bus->workers;
	bus->workers = w;
	*out = w;
	return 0;
}
