/* SPDX-License-Identifier: MIT */
/*
 * Fault filter. A request that no rule fits goes on as it is: the back end below completes it. One
 * that is late or hangs is held in a list of its queue, on the queue's thread. One that is done in
 * part has a second request, which may be completed on any thread. These two are allocated.
 */
#include <hvstack/host/fault.h>

#include "host/blk_fault.h"
#include "host/blk_filter.h"
#include "host/sized.h"

#include <errno.h>
#include <hvstack/host/loop.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define ALL_OPS ((1u << (HVS_BLK_LBA_STATUS + 1)) - (1u << HVS_BLK_READ))

struct rule {
	struct hvs_fault_rule is;
	uint64_t passed; /* of skip */
	uint64_t hits;
};

struct held {
	struct held *next;
	struct hvs_blk_req *req;
	uint64_t due_ns; /* UINT64_MAX: hangs */
	struct hvs_fault_rule then;
};

/* The part of a request that is done. */
struct torn {
	struct hvs_blk_req req; /* first: done() gets its address */
	struct hvs_fault *fault;
	struct hvs_blk_req *whole;
	enum hvs_blk_status status;
	struct torn *next;
	struct iovec iov[];
};

struct queue {
	struct hvs_fault *fault;
	uint32_t index;
	struct hvsi_filter_timer timer;
	struct held *held;       /* the next that is due first */
	atomic_bool hung_may_go; /* rules were removed */
};

struct hvs_fault {
	struct hvs_blk_ops ops;
	void *disk;
	uint32_t queue_count;
	struct queue *queues;

	pthread_mutex_t mutex; /* all of the following */
	struct rule rules[HVS_FAULT_MAX_RULES];
	uint32_t rule_count;
	uint64_t random;
	struct torn *torn;
};

/* ---- which rule ------------------------------------------------------------------------- */

static uint64_t next_random(struct hvs_fault *fault)
{
	/* splitmix64 */
	uint64_t z = fault->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool touches(const struct hvs_blk_req *req, const struct hvs_fault_rule *rule)
{
	if (rule->len == 0)
		return true;
	if (req->op == HVS_BLK_FLUSH || req->len == 0)
		return false;
	if (req->offset < rule->offset)
		return rule->offset - req->offset < req->len;
	return req->offset - rule->offset < rule->len;
}

static bool fits(struct hvs_fault *fault, struct rule *rule, const struct hvs_blk_req *req)
{
	const struct hvs_fault_rule *is = &rule->is;

	if (is->ops && !(is->ops & 1u << req->op))
		return false;
	if (!touches(req, is) || (is->times && rule->hits >= is->times))
		return false;
	if (rule->passed < is->skip) {
		rule->passed++;
		return false;
	}
	if (is->one_in > 1 && next_random(fault) % is->one_in)
		return false;
	rule->hits++;
	return true;
}

/* What is to become of req. False: nothing special. */
static bool decide(struct hvs_fault *fault, const struct hvs_blk_req *req,
		   struct hvs_fault_rule *what)
{
	bool found = false;

	pthread_mutex_lock(&fault->mutex);
	for (uint32_t i = 0; i < fault->rule_count && !found; i++) {
		found = fits(fault, &fault->rules[i], req);
		if (found)
			*what = fault->rules[i].is;
	}
	pthread_mutex_unlock(&fault->mutex);
	return found;
}

/* ---- done in part ----------------------------------------------------------------------- */

static void torn_done(struct hvs_blk_req *part, enum hvs_blk_status status)
{
	struct torn *torn = (struct torn *)part;
	struct hvs_fault *fault = torn->fault;
	struct hvs_blk_req *whole = torn->whole;

	if (status == HVS_BLK_OK)
		status = torn->status;
	pthread_mutex_lock(&fault->mutex);
	for (struct torn **at = &fault->torn; *at; at = &(*at)->next)
		if (*at == torn) {
			*at = torn->next;
			break;
		}
	pthread_mutex_unlock(&fault->mutex);
	free(torn);
	hvs_blk_complete(whole, status);
}

/* The part of `whole` that is `len` bytes long. */
static struct torn *make_torn(struct hvs_fault *fault, struct hvs_blk_req *whole, uint64_t len)
{
	struct torn *torn = calloc(1, sizeof(*torn) + whole->iovcnt * sizeof(torn->iov[0]));
	uint64_t left = len;
	unsigned count = 0;

	if (!torn)
		return NULL;
	for (; count < whole->iovcnt && left > 0; count++) {
		torn->iov[count] = whole->iov[count];
		if (torn->iov[count].iov_len > left)
			torn->iov[count].iov_len = left;
		left -= torn->iov[count].iov_len;
	}
	torn->req = (struct hvs_blk_req){
		HVS_BLK_REQ_INIT,        .op = whole->op,   .flags = whole->flags,
		.queue = whole->queue,   .iovcnt = count,   .iov = torn->iov,
		.offset = whole->offset, .len = len - left, .done = torn_done,
	};
	torn->fault = fault;
	torn->whole = whole;
	return torn;
}

static void tear(struct hvs_fault *fault, struct hvs_blk_req *req,
		 const struct hvs_fault_rule *what)
{
	const bool transfer = req->op == HVS_BLK_READ || req->op == HVS_BLK_WRITE;
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};
	uint64_t len = what->bytes;
	struct torn *torn;

	if (len > req->len)
		len = req->len;
	if (transfer && fault->ops.get_info(fault->disk, &info) == 0)
		len -= len % info.block_size;
	else
		len = 0;
	if (len == 0) {
		hvs_blk_complete(req, what->status);
		return;
	}
	torn = make_torn(fault, req, len);
	if (!torn) {
		hvs_blk_complete(req, HVS_BLK_IO_ERROR);
		return;
	}
	torn->status = what->status;
	pthread_mutex_lock(&fault->mutex);
	torn->next = fault->torn;
	fault->torn = torn;
	pthread_mutex_unlock(&fault->mutex);
	fault->ops.submit(fault->disk, &torn->req);
}

static bool is_torn(struct hvs_fault *fault, const struct hvs_blk_req *req)
{
	const struct torn *torn;

	pthread_mutex_lock(&fault->mutex);
	for (torn = fault->torn; torn && torn->whole != req; torn = torn->next)
		;
	pthread_mutex_unlock(&fault->mutex);
	return torn != NULL;
}

/* ---- held back -------------------------------------------------------------------------- */

static void act(struct hvs_fault *fault, struct hvs_blk_req *req, const struct hvs_fault_rule *what)
{
	switch (what->action) {
	case HVS_FAULT_ERROR:
		hvs_blk_complete(req, what->status);
		break;
	case HVS_FAULT_TORN:
		tear(fault, req, what);
		break;
	case HVS_FAULT_PASS:
	case HVS_FAULT_HANG: /* not any more */
		fault->ops.submit(fault->disk, req);
		break;
	}
}

/* Take the first that is due at that time out of the list. */
static struct held *take_due(struct queue *q, uint64_t now_ns)
{
	struct held *held = q->held;

	if (!held || held->due_ns > now_ns)
		return NULL;
	q->held = held->next;
	return held;
}

static void insert(struct queue *q, struct held *held)
{
	struct held **at = &q->held;

	while (*at && (*at)->due_ns <= held->due_ns)
		at = &(*at)->next;
	held->next = *at;
	*at = held;
}

static void arm(struct queue *q)
{
	hvsi_filter_timer_arm(&q->timer, q->held ? q->held->due_ns : UINT64_MAX);
}

static void hold(struct queue *q, struct hvs_blk_req *req, const struct hvs_fault_rule *what)
{
	struct held *held = malloc(sizeof(*held));

	if (!held) {
		hvs_blk_complete(req, HVS_BLK_IO_ERROR);
		return;
	}
	held->req = req;
	held->then = *what;
	held->due_ns = what->action == HVS_FAULT_HANG
			       ? UINT64_MAX
			       : hvs_loop_now_ns() + (uint64_t)what->delay_ms * NS_PER_MS;
	insert(q, held);
	arm(q);
}

/* The list may change with each of them. */
static void let_hung_go(struct queue *q)
{
	struct held **at = &q->held;

	for (struct held *held = q->held; held; held = held->next)
		if (held->due_ns == UINT64_MAX)
			held->due_ns = 0; /* not what begins to hang from now on */
	while (*at) {
		struct held *held = *at;

		if (held->due_ns > 0) {
			at = &held->next;
			continue;
		}
		*at = held->next;
		act(q->fault, held->req, &held->then);
		free(held);
		at = &q->held;
	}
}

static void run_queue(void *arg)
{
	struct queue *q = arg;
	struct held *held;

	if (atomic_exchange(&q->hung_may_go, false))
		let_hung_go(q);
	while ((held = take_due(q, hvs_loop_now_ns()))) {
		act(q->fault, held->req, &held->then);
		free(held);
	}
	hvsi_filter_commit(&q->fault->ops, q->fault->disk, q->index);
	arm(q);
}

/* ---- the back end ----------------------------------------------------------------------- */

static int fault_get_info(void *opaque, struct hvs_blk_info *info)
{
	struct hvs_fault *fault = opaque;

	return hvsi_filter_info(&fault->ops, fault->disk, fault->queue_count, info);
}

static void fault_submit(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_fault *fault = opaque;
	struct hvs_fault_rule what;

	if (!decide(fault, req, &what))
		fault->ops.submit(fault->disk, req);
	else if (what.delay_ms || what.action == HVS_FAULT_HANG)
		hold(&fault->queues[req->queue], req, &what);
	else
		act(fault, req, &what);
}

static void fault_commit(void *opaque, uint32_t queue)
{
	struct hvs_fault *fault = opaque;

	hvsi_filter_commit(&fault->ops, fault->disk, queue);
}

static void fault_cancel(void *opaque, struct hvs_blk_req *req)
{
	struct hvs_fault *fault = opaque;
	struct queue *q = &fault->queues[req->queue];

	for (struct held **at = &q->held; *at; at = &(*at)->next)
		if ((*at)->req == req) {
			struct held *held = *at;

			*at = held->next;
			free(held);
			arm(q);
			hvs_blk_complete(req, HVS_BLK_ABORTED);
			return;
		}
	/* The back end below does not know a request that is done in part: it will end. */
	if (!is_torn(fault, req))
		hvsi_filter_cancel(&fault->ops, fault->disk, req);
}

const struct hvs_blk_ops *hvs_fault_ops(void)
{
	static const struct hvs_blk_ops ops = {
		HVS_BLK_OPS_INIT,       .get_info = fault_get_info, .submit = fault_submit,
		.commit = fault_commit, .cancel = fault_cancel,
	};

	return &ops;
}

/* ---- rules ------------------------------------------------------------------------------ */

int hvsi_fault_add_all(struct hvs_fault *fault, const struct hvs_fault_rule *rules, uint32_t count)
{
	int err = 0;

	pthread_mutex_lock(&fault->mutex);
	if (count <= HVS_FAULT_MAX_RULES - fault->rule_count)
		for (uint32_t i = 0; i < count; i++)
			fault->rules[fault->rule_count++] = (struct rule){.is = rules[i]};
	else
		err = -E2BIG;
	pthread_mutex_unlock(&fault->mutex);
	return err;
}

int hvs_fault_add(struct hvs_fault *fault, const struct hvs_fault_rule *rule_in)
{
	struct hvs_fault_rule rule;
	int err = HVSI_HOST_TAKE(&rule, rule_in, bytes);

	if (err)
		return err;
	if (rule.action > HVS_FAULT_TORN || rule.status > HVS_BLK_UNSUPPORTED ||
	    rule.ops & ~ALL_OPS)
		return -EINVAL;
	return hvsi_fault_add_all(fault, &rule, 1);
}

void hvs_fault_clear(struct hvs_fault *fault)
{
	pthread_mutex_lock(&fault->mutex);
	fault->rule_count = 0;
	pthread_mutex_unlock(&fault->mutex);
	for (uint32_t i = 0; i < fault->queue_count; i++) {
		atomic_store(&fault->queues[i].hung_may_go, true);
		hvsi_notify_signal(&fault->queues[i].timer.notify);
	}
}

uint64_t hvs_fault_hits(struct hvs_fault *fault, uint32_t rule)
{
	uint64_t hits = 0;

	pthread_mutex_lock(&fault->mutex);
	if (rule < fault->rule_count)
		hits = fault->rules[rule].hits;
	pthread_mutex_unlock(&fault->mutex);
	return hits;
}

/* ---- set-up ----------------------------------------------------------------------------- */

static void free_fault(struct hvs_fault *fault, uint32_t queues)
{
	for (uint32_t i = 0; i < queues; i++)
		hvsi_filter_timer_fini(&fault->queues[i].timer);
	pthread_mutex_destroy(&fault->mutex);
	free(fault->queues);
	free(fault);
}

int hvs_fault_create(const struct hvs_fault_config *cfg_in, struct hvs_fault **out)
{
	struct hvs_fault_config cfg;
	struct hvs_fault *fault;
	struct hvs_blk_ops ops;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, seed);

	if (!err)
		err = hvsi_filter_take_ops(&ops, cfg.ops);
	if (err)
		return err;
	if (!out || hvsi_filter_bases(&cfg.base, &cfg.bases, &cfg.base_count))
		return -EINVAL;
	fault = calloc(1, sizeof(*fault));
	if (!fault)
		return -ENOMEM;
	pthread_mutex_init(&fault->mutex, NULL);
	fault->ops = ops;
	fault->disk = cfg.disk;
	fault->random = cfg.seed;
	fault->queue_count = cfg.base_count;
	fault->queues = calloc(cfg.base_count, sizeof(*fault->queues));
	if (!fault->queues) {
		free_fault(fault, 0);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < cfg.base_count; i++) {
		struct queue *q = &fault->queues[i];

		q->fault = fault;
		q->index = i;
		atomic_init(&q->hung_may_go, false);
		err = hvsi_filter_timer_init(&q->timer, cfg.bases[i], run_queue, q);
		if (err) {
			free_fault(fault, i);
			return err;
		}
	}
	*out = fault;
	return 0;
}

void hvs_fault_destroy(struct hvs_fault *fault)
{
	if (fault)
		free_fault(fault, fault->queue_count);
}
