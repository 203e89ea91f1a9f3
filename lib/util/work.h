/* SPDX-License-Identifier: MIT */
/*
 * Work items: how any thread hands something to the one thread that runs a worker. Posting is
 * lock-free and never allocates; an item that is already queued is not queued twice.
 */
#ifndef HVSI_UTIL_WORK_H
#define HVSI_UTIL_WORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct hvsi_work {
	struct hvsi_work *next;
	atomic_bool queued;
	/*
	 * Runs on the worker, with queued already cleared: whatever is posted from here on, also
	 * by run itself when its budget ended, leads to another run. Returns the units it used.
	 */
	unsigned (*run)(struct hvsi_work *work, unsigned budget);
};

struct hvsi_work_queue {
	_Atomic(struct hvsi_work *) pushed; /* newest first; any thread */
	struct hvsi_work *head;             /* oldest first; consumer only */
	struct hvsi_work *tail;
};

static inline void hvsi_work_init(struct hvsi_work *w,
				  unsigned (*run)(struct hvsi_work *work, unsigned budget))
{
	w->next = NULL;
	atomic_init(&w->queued, false);
	w->run = run;
}

/* Queue an item. False: it was queued already. [any] */
bool hvsi_work_push(struct hvsi_work_queue *q, struct hvsi_work *w);

/* Oldest item, not queued any more; NULL: none. Consumer only. */
struct hvsi_work *hvsi_work_pop(struct hvsi_work_queue *q);

/* Nothing to pop. Consumer only. */
bool hvsi_work_idle(const struct hvsi_work_queue *q);

#endif
