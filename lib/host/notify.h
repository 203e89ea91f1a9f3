/* SPDX-License-Identifier: MIT */
/*
 * A function that runs on a libevent base when somebody, maybe another thread or the kernel,
 * signals an eventfd; and the knowledge whether this thread is on that base already, which
 * makes the system call unnecessary.
 */
#ifndef HVSI_HOST_NOTIFY_H
#define HVSI_HOST_NOTIFY_H

#include <stdbool.h>

struct event;
struct event_base;

struct hvsi_notify {
	int fd; /* eventfd, non-blocking; may be handed to the kernel */
	bool drain;
	struct event_base *base;
	struct event *event;
	void (*run)(void *arg);
	void *arg;
};

/* run(arg) is called on the thread that runs base. 0, -ENOMEM or the errno of eventfd(). */
int hvsi_notify_init(struct hvsi_notify *n, struct event_base *base, void (*run)(void *arg),
		     void *arg);

/* On the thread that runs base, or while nobody does: afterwards run() is not called again. */
void hvsi_notify_fini(struct hvsi_notify *n);

/* Have run() called, from any thread: one system call. */
void hvsi_notify_signal(struct hvsi_notify *n);

/* The same without a system call, only where hvsi_base_inside(n->base). */
void hvsi_notify_activate(struct hvsi_notify *n);

/*
 * Every event callback of lib/host runs between these two. enter returns what leave wants: the
 * base this thread was inside before, for loops run from a callback of another base.
 */
struct event_base *hvsi_base_enter(struct event_base *base);
void hvsi_base_leave(struct event_base *outer);

/* Is this thread inside a callback of lib/host on that base? False proves nothing. */
bool hvsi_base_inside(const struct event_base *base);

#endif
