/* SPDX-License-Identifier: MIT */
/*
 * Limit filter. A request takes what it costs out of the disk's buckets, which may leave them in
 * debt; it goes on when the debt is paid. Only the first of a queue has taken its share, the others
 * wait behind it, so each queue gets its turn however many requests another one has. A request that
 * goes on is handed to the back end below as it is: nothing is allocated.
 */
#include <hvstack/host/limit.h>

#include "host/blk_filter.h"
#include "host/blk_limit.h"
#include "host/sized.h"

#include <errno.h>
#include <hvstack/host/loop.h>
#include <pthread.h>
#include <stdlib.h>

#define NS_PER_S 1000000000u
#define MAX_RATE (1ull << 40)
#define DEFAULT_BURST_DIVISOR 10u /* of a second */

struct queue {
	struct hvs_limit *limit;
	uint32_t index;
	struct hvsi_filter_timer timer;
	/* Requests that wait, oldest first, linked through backend_priv. */
	struct hvs_blk_req *first;
	struct hvs_blk_req *last;
	uint64_t due_ns;     /* when the first may go on */
	uint64_t generation; /* of the rates that say so; 0: it has not taken its share yet */
};

struct hvs_limit {
	struct hvs_blk_ops ops;
	void *disk;
	uint32_t queue_count;
	struct queue *queues;

	pthread_mutex_t mutex; /* all of the following */
	struct hvsi_bucket requests;
	struct hvsi_bucket bytes;
	uint64_t generation; /* not 0 */
};

/* ---- buckets ---------------------------------------------------------------------------- */

__extension__ typedef __int128 wide;

/* The fill is in units of one request or byte divided by a second's nanoseconds, so that nothing is
 * lost however short the time. */
void hvsi_bucket_init(struct hvsi_bucket *b, uint64_t per_s, uint64_t burst, uint64_t now_ns)
{
	if (burst == 0)
		burst = per_s / DEFAULT_BURST_DIVISOR;
	if (burst == 0)
		burst = 1;
	b->per_s = per_s;
	b->full = (wide)burst * NS_PER_S;
	b->fill = b->full;
	b->filled_ns = now_ns;
}

uint64_t hvsi_bucket_take(struct hvsi_bucket *b, uint64_t amount, uint64_t now_ns)
{
	wide debt;

	if (b->per_s == 0 || amount == 0)
		return now_ns;
	if (now_ns > b->filled_ns) {
		b->fill += (wide)(now_ns - b->filled_ns) * b->per_s;
		if (b->fill > b->full)
			b->fill = b->full;
		b->filled_ns = now_ns;
	}
	b->fill -= (wide)amount * NS_PER_S;
	if (b->fill >= 0)
		return now_ns;
	debt = (-b->fill + b->per_s - 1) / b->per_s;
	return debt < (wide)(UINT64_MAX - 1 - now_ns) ? now_ns + (uint64_t)debt : UINT64_MAX - 1;
}

void hvsi_bucket_give_back(struct hvsi_bucket *b, uint64_t amount)
{
	b->fill += (wide)amount * NS_PER_S;
	if (b->fill > b->full)
		b->fill = b->full;
}

/* ---- requests --------------------------------------------------------------------------- */

static uint64_t bytes_of(const struct hvs_blk_req *req)
{
	return req->op == HVS_BLK_READ || req->op == HVS_BLK_WRITE ? req->len : 0;
}

/* Take what req costs, which is or becomes the first of its queue. */
static void take(struct queue *q, const struct hvs_blk_req *req, uint64_t now_ns)
{
	struct hvs_limit *limit = q->limit;
	uint64_t other_ns;

	pthread_mutex_lock(&limit->mutex);
	if (q->generation != limit->generation) {
		q->generation = limit->generation;
		q->due_ns = hvsi_bucket_take(&limit->requests, 1, now_ns);
		other_ns = hvsi_bucket_take(&limit->bytes, bytes_of(req), now_ns);
		if (other_ns > q->due_ns)
			q->due_ns = other_ns;
	}
	pthread_mutex_unlock(&limit->mutex);
}

/* The first goes on, or away. */
static void next_turn(struct queue *q)
{
	q->first = q->first->backend_priv[0];
	q->generation = 0;
}

static void run_queue(void *arg)
{
	struct queue *q = arg;
	struct hvs_limit *limit = q->limit;
	bool any = false;

	while (q->first) {
		struct hvs_blk_req *req = q->first;
		uint64_t now_ns = hvs_loop_now_ns();

		take(q, req, now_ns);
		if (q->due_ns > now_ns)
			break;
		next_turn(q);
		limit->ops.submit(limit->disk, req);
		any = true;
	}
	if (any)
		hvsi_filter_commit(&limit->ops, limit->disk, q->index);
	hvsi_filter_timer_arm(&q->timer, q->first ? q->due_ns : UINT64_MAX);
}

static int limit_get_info(void *opaque, struct hvs_blk_info *info)
{
	struct hvs_limit *limit = opaque;

	return hvsi_filter_info(&limit->ops, limit->disk, limit->queue_count, info);
}

static void limit_submit(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_limit *limit = opaque;
	struct queue *q = &limit->queues[req->queue];

	if (!q->first) {
		uint64_t now_ns = hvs_loop_now_ns();

		take(q, req, now_ns);
		if (q->due_ns <= now_ns) {
			q->generation = 0;
			limit->ops.submit(limit->disk, req);
			return;
		}
		hvsi_filter_timer_arm(&q->timer, q->due_ns);
		q->first = req;
	} else {
		q->last->backend_priv[0] = req;
	}
	req->backend_priv[0] = NULL;
	q->last = req;
}

static void limit_commit(void *opaque, uint32_t queue)
{
	struct hvs_limit *limit = opaque;

	hvsi_filter_commit(&limit->ops, limit->disk, queue);
}

/* The first has taken its share, which the others may have now. */
static void give_back(struct queue *q)
{
	struct hvs_limit *limit = q->limit;

	pthread_mutex_lock(&limit->mutex);
	if (q->generation == limit->generation) {
		hvsi_bucket_give_back(&limit->requests, 1);
		hvsi_bucket_give_back(&limit->bytes, bytes_of(q->first));
	}
	pthread_mutex_unlock(&limit->mutex);
}

static bool stop_waiting(struct queue *q, const struct hvs_blk_req *req)
{
	struct hvs_blk_req *before = q->first;

	if (before == req) {
		give_back(q);
		next_turn(q);
		/* The next one takes its share: now, but not from inside a cancel. */
		hvsi_filter_timer_arm(&q->timer, q->first ? 0 : UINT64_MAX);
		return true;
	}
	while (before && before->backend_priv[0] != req)
		before = before->backend_priv[0];
	if (!before)
		return false;
	before->backend_priv[0] = req->backend_priv[0];
	if (q->last == req)
		q->last = before;
	return true;
}

static void limit_cancel(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_limit *limit = opaque;

	if (stop_waiting(&limit->queues[req->queue], req))
		hvs_blk_complete(req, HVS_BLK_ABORTED);
	else
		hvsi_filter_cancel(&limit->ops, limit->disk, req);
}

const struct hvs_blk_ops *hvs_limit_ops(void)
{
	static const struct hvs_blk_ops ops = {
		HVS_BLK_OPS_INIT,       .get_info = limit_get_info, .submit = limit_submit,
		.commit = limit_commit, .cancel = limit_cancel,
	};

	return &ops;
}

/* ---- set-up ----------------------------------------------------------------------------- */

static bool rates_ok(const struct hvs_limit_rates *rates)
{
	return rates->requests_per_s <= MAX_RATE && rates->bytes_per_s <= MAX_RATE &&
	       rates->burst_requests <= MAX_RATE && rates->burst_bytes <= MAX_RATE;
}

static void set_rates(struct hvs_limit *limit, const struct hvs_limit_rates *rates)
{
	uint64_t now_ns = hvs_loop_now_ns();

	pthread_mutex_lock(&limit->mutex);
	hvsi_bucket_init(&limit->requests, rates->requests_per_s, rates->burst_requests, now_ns);
	hvsi_bucket_init(&limit->bytes, rates->bytes_per_s, rates->burst_bytes, now_ns);
	limit->generation++;
	pthread_mutex_unlock(&limit->mutex);
}

int hvs_limit_set(struct hvs_limit *limit, const struct hvs_limit_rates *rates)
{
	if (!rates || !rates_ok(rates))
		return -EINVAL;
	set_rates(limit, rates);
	for (uint32_t i = 0; i < limit->queue_count; i++)
		hvsi_notify_signal(&limit->queues[i].timer.notify);
	return 0;
}

static void free_limit(struct hvs_limit *limit, uint32_t queues)
{
	for (uint32_t i = 0; i < queues; i++)
		hvsi_filter_timer_fini(&limit->queues[i].timer);
	pthread_mutex_destroy(&limit->mutex);
	free(limit->queues);
	free(limit);
}

int hvs_limit_create(const struct hvs_limit_config *cfg_in, struct hvs_limit **out)
{
	struct hvs_limit_config cfg;
	struct hvs_limit *limit;
	struct hvs_blk_ops ops;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, rates);

	if (!err)
		err = hvsi_filter_take_ops(&ops, cfg.ops);
	if (err)
		return err;
	if (!out || !rates_ok(&cfg.rates) ||
	    hvsi_filter_bases(&cfg.base, &cfg.bases, &cfg.base_count))
		return -EINVAL;
	limit = calloc(1, sizeof(*limit));
	if (!limit)
		return -ENOMEM;
	pthread_mutex_init(&limit->mutex, NULL);
	limit->ops = ops;
	limit->disk = cfg.disk;
	limit->queue_count = cfg.base_count;
	limit->queues = calloc(cfg.base_count, sizeof(*limit->queues));
	if (!limit->queues) {
		free_limit(limit, 0);
		return -ENOMEM;
	}
	set_rates(limit, &cfg.rates);
	for (uint32_t i = 0; i < cfg.base_count; i++) {
		struct queue *q = &limit->queues[i];

		q->limit = limit;
		q->index = i;
		err = hvsi_filter_timer_init(&q->timer, cfg.bases[i], run_queue, q);
		if (err) {
			free_limit(limit, i);
			return err;
		}
	}
	*out = limit;
	return 0;
}

void hvs_limit_destroy(struct hvs_limit *limit)
{
	if (limit)
		free_limit(limit, limit->queue_count);
}
