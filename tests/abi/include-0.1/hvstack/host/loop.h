/* SPDX-License-Identifier: MIT */
/* Drive a worker from a libevent loop. */
#ifndef HVSTACK_HOST_LOOP_H
#define HVSTACK_HOST_LOOP_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct hvs_loop;   /* a worker in an event loop */

/*
 * An object that dispatches a worker on whatever thread runs `base`. base must outlive it. The
 * embedder's hvs_backend_ops.wake calls hvs_loop_wake(), its now_ns calls hvs_loop_now_ns().
 * The worker is set later because it exists only after the bus does. Deadlines are as precise as
 * the timers of base (EVENT_BASE_FLAG_PRECISE_TIMER).
 *
 * 0, -EINVAL, -ENOMEM or the errno of eventfd().
 */
HVS_API HVS_NODISCARD int hvs_loop_create(struct event_base *base, struct hvs_loop **out);

/* Name the worker; once, before base runs. */
HVS_API void hvs_loop_set_worker(struct hvs_loop *loop, struct hvs_worker *worker);

/*
 * Have the worker dispatched soon. [any] One system call at most; none when a dispatch is due
 * anyway, or from inside a callback of this library on the thread that runs base.
 */
HVS_API void hvs_loop_wake(struct hvs_loop *loop);

/* CLOCK_MONOTONIC in nanoseconds. [any] */
HVS_API uint64_t hvs_loop_now_ns(void);

/* NULL is allowed. base must not be running. */
HVS_API void hvs_loop_destroy(struct hvs_loop *loop);

#ifdef __cplusplus
}
#endif
#endif
