/* SPDX-License-Identifier: MIT */
#include "host/blk_filter.h"

#include "host/sized.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/loop.h>

#define MAX_QUEUES 1024u

/* ---- timers ----------------------------------------------------------------------------- */

static void on_notify(void *arg)
{
	struct hvsi_filter_timer *t = arg;

	t->run(t->arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hvsi_filter_timer *t = arg;
	struct event_base *outer = hvsi_base_enter(t->base);

	(void)fd;
	(void)what;
	t->due_ns = UINT64_MAX;
	t->run(t->arg);
	hvsi_base_leave(outer);
}

int hvsi_filter_timer_init(struct hvsi_filter_timer *t, struct event_base *base,
			   void (*run)(void *arg), void *arg)
{
	int err;

	t->base = base;
	t->run = run;
	t->arg = arg;
	t->due_ns = UINT64_MAX;
	t->event = evtimer_new(base, on_timer, t);
	if (!t->event)
		return -ENOMEM;
	err = hvsi_notify_init(&t->notify, base, on_notify, t);
	if (err)
		event_free(t->event);
	return err;
}

void hvsi_filter_timer_fini(struct hvsi_filter_timer *t)
{
	hvsi_notify_fini(&t->notify);
	event_free(t->event);
}

void hvsi_filter_timer_arm(struct hvsi_filter_timer *t, uint64_t due_ns)
{
	struct timeval tv = {0};
	uint64_t now_ns;
	uint64_t us;

	if (due_ns == t->due_ns)
		return;
	t->due_ns = due_ns;
	if (due_ns == UINT64_MAX) {
		event_del(t->event);
		return;
	}
	now_ns = hvs_loop_now_ns();
	us = due_ns > now_ns ? (due_ns - now_ns - 1) / 1000 + 1 : 0;
	tv.tv_sec = (time_t)(us / 1000000);
	tv.tv_usec = (suseconds_t)(us % 1000000);
	/* No memory for libevent's heap: ask again at once, or the requests would stay for ever. */
	if (event_add(t->event, &tv) < 0) {
		t->due_ns = UINT64_MAX;
		hvsi_notify_signal(&t->notify);
	}
}

/* ---- the back end below ----------------------------------------------------------------- */

int hvsi_filter_bases(struct event_base *const *base, struct event_base *const **bases,
		      uint32_t *count)
{
	if (!*base == !*bases)
		return -EINVAL;
	if (*base) {
		if (*count > 0)
			return -EINVAL;
		*bases = base;
		*count = 1;
	}
	if (*count == 0 || *count > MAX_QUEUES)
		return -EINVAL;
	for (uint32_t i = 0; i < *count; i++)
		if (!(*bases)[i])
			return -EINVAL;
	return 0;
}

int hvsi_filter_take_ops(struct hvs_blk_ops *to, const struct hvs_blk_ops *from)
{
	int err = HVSI_HOST_TAKE(to, from, cancel);

	return !err && (to->reserved || !to->get_info || !to->submit) ? -EINVAL : err;
}

int hvsi_filter_info(const struct hvs_blk_ops *ops, void *disk, uint32_t queues,
		     struct hvs_blk_info *info)
{
	int err = ops->get_info(disk, info);

	if (err)
		return err;
	if (info->max_queues == 0)
		info->max_queues = 1;
	if (info->max_queues > queues)
		info->max_queues = queues;
	return 0;
}

void hvsi_filter_commit(const struct hvs_blk_ops *ops, void *disk, uint32_t queue)
{
	if (ops->commit)
		ops->commit(disk, queue);
}

void hvsi_filter_cancel(const struct hvs_blk_ops *ops, void *disk, struct hvs_blk_req *req)
{
	if (ops->cancel)
		ops->cancel(disk, req);
}
