/* SPDX-License-Identifier: MIT */
/* What filters of block requests have in common: for each queue a place to hold requests back. */
#ifndef HVSI_HOST_BLK_FILTER_H
#define HVSI_HOST_BLK_FILTER_H

#include "host/notify.h"

#include <hvstack/blockdev.h>
#include <stdint.h>

/* A function that runs on the thread of a base, at a time or when another thread asks for it. */
struct hvsi_filter_timer {
	struct event_base *base;
	struct event *event;
	struct hvsi_notify notify; /* hvsi_notify_signal() on it, from any thread */
	void (*run)(void *arg);
	void *arg;
	uint64_t due_ns; /* UINT64_MAX: not armed */
};

/* 0, -ENOMEM or the errno of eventfd(). */
int hvsi_filter_timer_init(struct hvsi_filter_timer *t, struct event_base *base,
			   void (*run)(void *arg), void *arg);
void hvsi_filter_timer_fini(struct hvsi_filter_timer *t);

/* Run at that time of hvs_loop_now_ns(), UINT64_MAX: never; instead of what was said before. On the
 * thread of the base. */
void hvsi_filter_timer_arm(struct hvsi_filter_timer *t, uint64_t due_ns);

/*
 * Either `base`, for one queue, or `bases`: make it bases and a count in any case.
 * 0 or -EINVAL.
 */
int hvsi_filter_bases(struct event_base *const *base, struct event_base *const **bases,
		      uint32_t *count);

/* What the back end below says, with no more queues than the filter has. */
int hvsi_filter_info(const struct hvs_blk_ops *ops, void *disk, uint32_t queues,
		     struct hvs_blk_info *info);

/* A commit, and a cancel, if the back end below wants to know. */
void hvsi_filter_commit(const struct hvs_blk_ops *ops, void *disk, uint32_t queue);
void hvsi_filter_cancel(const struct hvs_blk_ops *ops, void *disk, struct hvs_blk_req *req);

/* Copy the back end below. 0, -EINVAL (not one that a filter can use), -ENOTSUP. */
int hvsi_filter_take_ops(struct hvs_blk_ops *to, const struct hvs_blk_ops *from);

#endif
