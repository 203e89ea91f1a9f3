/* SPDX-License-Identifier: MIT */
#include "util/work.h"

bool hvsi_work_push(struct hvsi_work_queue *q, struct hvsi_work *w)
{
	struct hvsi_work *top;

	/*
	 * seq_cst: whoever posts has written what the item is about; a run that starts after it
	 * cleared `queued` must see that, or this exchange must see `queued` cleared.
	 */
	if (atomic_exchange(&w->queued, true))
		return false;
	top = atomic_load_explicit(&q->pushed, memory_order_relaxed);
	do {
		w->next = top;
	} while (!atomic_compare_exchange_weak(&q->pushed, &top, w));
	return true;
}

/* Move everything pushed to the consumer's list, turning it into arrival order. */
static void take_pushed(struct hvsi_work_queue *q)
{
	struct hvsi_work *w = atomic_exchange_explicit(&q->pushed, NULL, memory_order_acquire);
	struct hvsi_work *oldest = NULL;
	struct hvsi_work *newest = w;

	while (w) {
		struct hvsi_work *next = w->next;

		w->next = oldest;
		oldest = w;
		w = next;
	}
	if (!oldest)
		return;
	if (q->tail)
		q->tail->next = oldest;
	else
		q->head = oldest;
	q->tail = newest;
}

struct hvsi_work *hvsi_work_pop(struct hvsi_work_queue *q)
{
	struct hvsi_work *w;

	if (!q->head)
		take_pushed(q);
	w = q->head;
	if (!w)
		return NULL;
	q->head = w->next;
	if (!q->head)
		q->tail = NULL;
	atomic_exchange(&w->queued, false);
	return w;
}

bool hvsi_work_idle(const struct hvsi_work_queue *q)
{
	return !q->head && !atomic_load(&q->pushed);
}
