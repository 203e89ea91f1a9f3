/* SPDX-License-Identifier: MIT */
#include "host/notify.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * The base whose callback this thread is in. libevent 2.1 does not tell which thread runs a base,
 * and a thread id remembered from an earlier callback may be stale (a base can move to another
 * thread), which would lose a wake-up. What is true here and now cannot be stale.
 */
static _Thread_local struct event_base *inside;

struct event_base *hvsi_base_enter(struct event_base *base)
{
	struct event_base *outer = inside;

	inside = base;
	return outer;
}

void hvsi_base_leave(struct event_base *outer)
{
	inside = outer;
}

bool hvsi_base_inside(const struct event_base *base)
{
	return inside == base;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct hvsi_notify *n = arg;
	struct event_base *outer = hvsi_base_enter(n->base);
	uint64_t count;

	(void)what;
	/* Failure means that there was nothing to read: an activation, or a stale event. */
	if (n->drain)
		(void)!read(fd, &count, sizeof(count));
	n->run(n->arg);
	/* run() may have freed n. */
	hvsi_base_leave(outer);
}

int hvsi_notify_init(struct hvsi_notify *n, struct event_base *base, void (*run)(void *arg),
		     void *arg)
{
	short what = EV_READ | EV_PERSIST;

	n->base = base;
	n->run = run;
	n->arg = arg;
	/*
	 * Edge-triggered, every signal is an event of its own whatever the counter says, so the
	 * counter is never read: one system call less per wake-up. It would take centuries to
	 * overflow.
	 */
	n->drain = !(event_base_get_features(base) & EV_FEATURE_ET);
	if (!n->drain)
		what |= EV_ET;

	n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->fd < 0)
		return -errno;
	n->event = event_new(base, n->fd, what, on_event, n);
	if (!n->event || event_add(n->event, NULL) < 0) {
		hvsi_notify_fini(n);
		return -ENOMEM;
	}
	return 0;
}

void hvsi_notify_fini(struct hvsi_notify *n)
{
	if (n->event)
		event_free(n->event);
	close(n->fd);
	n->event = NULL;
	n->fd = -1;
}

void hvsi_notify_signal(struct hvsi_notify *n)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, and then the event is due anyway. */
	(void)!write(n->fd, &one, sizeof(one));
}

void hvsi_notify_activate(struct hvsi_notify *n)
{
	event_active(n->event, EV_READ, 0);
}
