/* SPDX-License-Identifier: MIT */
/*
 * The host's pools are told to the guest one pair after the other: what has changed, and all of it
 * when the service has become ready. What fails is tried again at the next tick of the timer that
 * has the guest's pools looked at.
 */
#include "host/guestinfo_impl.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- those who wait -------------------------------------------------------------------------- */

void hvsi_waiters_append(struct hvsi_waiter **list, struct hvsi_waiter *w)
{
	while (*list)
		list = &(*list)->next;
	w->next = NULL;
	*list = w;
}

/* From the loop: whoever asks is never called back by the function they have called. */
static void end_waiter(struct hvs_guestinfo *g, struct hvsi_waiter *w, int status,
		       uint32_t guest_status)
{
	w->status = status;
	w->guest_status = guest_status;
	hvsi_waiters_append(&g->ended, w);
	event_active(g->soon, EV_TIMEOUT, 0);
}

void hvsi_waiters_end(struct hvs_guestinfo *g, struct hvsi_waiter **list, int status,
		      uint32_t guest_status)
{
	while (*list) {
		struct hvsi_waiter *w = *list;

		*list = w->next;
		end_waiter(g, w, status, guest_status);
	}
}

static void end_change(struct hvs_guestinfo *g, uint64_t change, int status, uint32_t guest_status)
{
	struct hvsi_waiter **p = &g->waiters;

	while (*p) {
		struct hvsi_waiter *w = *p;

		if (w->change != change) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		end_waiter(g, w, status, guest_status);
	}
}

void hvsi_guestinfo_tell_ended(struct hvs_guestinfo *g)
{
	while (g->ended) {
		struct hvsi_waiter *w = g->ended;

		g->ended = w->next;
		w->done(w->arg, w->status, w->guest_status);
		free(w);
	}
}

static struct hvsi_kvp_op *new_op(struct hvs_guestinfo *g, enum hvs_kvp_pool pool)
{
	struct hvsi_kvp_op *op = calloc(1, sizeof(*op));

	if (op) {
		op->g = g;
		op->pool = pool;
	}
	return op;
}

static void free_op(struct hvsi_kvp_op *op)
{
	if (op)
		hvsi_pairs_clear(&op->seen);
	free(op);
}

/* ---- to the guest ---------------------------------------------------------------------------- */

static void ask_status(struct hvs_guestinfo *g);

static struct hvsi_pair *find_change(struct hvsi_pairs *pairs, uint64_t change)
{
	for (uint32_t i = 0; i < pairs->count; i++)
		if (pairs->at[i].change == change)
			return &pairs->at[i];
	return NULL;
}

static void told(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, struct hvsi_pair *pair)
{
	pair->state = HVSI_PAIR_TOLD;
	if (pair->value)
		return;
	hvsi_pairs_drop(&g->pools[pool], pair);
	/* If this fails, the guest is told once more after a restart. */
	(void)hvsi_guestinfo_store(g);
}

static void on_pushed(void *arg, int status, uint32_t guest_status)
{
	struct hvsi_kvp_op *op = arg;
	struct hvs_guestinfo *g = op->g;
	struct hvsi_pair *pair;

	if (g) {
		g->push = NULL;
		pair = find_change(&g->pools[op->pool], op->change);
		if (status == -EREMOTEIO && op->removes && guest_status == HVS_IC_E_NO_MORE_ITEMS)
			status = 0;
		/* No pair: it was changed meanwhile, and is told again. */
		if (pair && status)
			pair->state = HVSI_PAIR_FAILED;
		else if (pair)
			told(g, op->pool, pair);
		end_change(g, op->change, status, guest_status);
		if (status == -ENOTCONN)
			ask_status(g);
		if (status != -ETIMEDOUT) /* the next one would only wait, too */
			hvsi_guestinfo_push(g);
	}
	free_op(op);
}

static struct hvsi_pair *next_pair(struct hvs_guestinfo *g, enum hvs_kvp_pool *pool)
{
	static const enum hvs_kvp_pool order[] = {HVS_KVP_AUTO_EXTERNAL, HVS_KVP_EXTERNAL};

	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct hvsi_pairs *pairs = &g->pools[order[i]];

		*pool = order[i];
		for (uint32_t k = 0; k < pairs->count; k++)
			if (pairs->at[k].state == HVSI_PAIR_NEW)
				return &pairs->at[k];
	}
	return NULL;
}

static int push(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, const struct hvsi_pair *pair)
{
	struct hvsi_kvp_op *op = new_op(g, pool);
	int err;

	if (!op)
		return -ENOMEM;
	op->change = pair->change;
	op->removes = !pair->value;
	err = pair->value ? hvs_kvp_set(g->ic, pool, pair->key, pair->value, 0, on_pushed, op)
			  : hvs_kvp_delete(g->ic, pool, pair->key, 0, on_pushed, op);
	if (err)
		free_op(op);
	else
		g->push = op;
	return err;
}

void hvsi_guestinfo_push(struct hvs_guestinfo *g)
{
	enum hvs_kvp_pool pool;
	struct hvsi_pair *pair;

	while (g->ready && !g->push && (pair = next_pair(g, &pool))) {
		int err = push(g, pool, pair);

		if (!err)
			return;
		pair->state = HVSI_PAIR_FAILED;
		end_change(g, pair->change, err, 0);
	}
}

static void renew(struct hvs_guestinfo *g, bool told_too)
{
	for (unsigned pool = 0; pool < HVSI_POOLS; pool++)
		for (uint32_t i = 0; i < g->pools[pool].count; i++) {
			struct hvsi_pair *pair = &g->pools[pool].at[i];

			if (told_too || pair->state == HVSI_PAIR_FAILED)
				pair->state = HVSI_PAIR_NEW;
		}
}

uint64_t hvsi_guestinfo_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- from the guest -------------------------------------------------------------------------- */

static void change(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, const char *key,
		   const char *value)
{
	if (g->ops.changed)
		g->ops.changed(g->arg, pool, key, value);
}

/* Tell what is different from before, both being in order. */
static bool tell_changes(struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
			 const struct hvsi_pairs *before)
{
	const struct hvsi_pairs *now = &g->pools[pool];
	bool any = false;
	uint32_t b = 0;

	for (uint32_t n = 0; n < now->count || b < before->count;) {
		int order = n == now->count      ? 1
			    : b == before->count ? -1
						 : strcmp(now->at[n].key, before->at[b].key);

		if (order > 0) {
			change(g, pool, before->at[b++].key, NULL);
		} else if (order < 0) {
			change(g, pool, now->at[n].key, now->at[n].value);
			n++;
		} else {
			if (strcmp(now->at[n].value, before->at[b++].value) != 0)
				change(g, pool, now->at[n].key, now->at[n].value);
			else
				order = 2;
			n++;
		}
		any = any || order != 2;
	}
	return any;
}

static void adopt(struct hvs_guestinfo *g, struct hvsi_kvp_op *op)
{
	struct hvsi_look *look = &g->looks[op->pool];
	struct hvsi_pairs before = g->pools[op->pool];

	g->pools[op->pool] = op->seen;
	op->seen = before; /* freed with it */
	look->seen = true;
	look->at_ms = hvsi_guestinfo_now_ms();
	if (tell_changes(g, op->pool, &before) && g->ops.changes_end)
		g->ops.changes_end(g->arg, op->pool);
}

static void on_looked(void *arg, int status, uint32_t guest_status)
{
	struct hvsi_kvp_op *op = arg;
	struct hvs_guestinfo *g = op->g;
	struct hvsi_look *look;
	int err;

	if (g) {
		look = &g->looks[op->pool];
		look->op = NULL;
		if (!status && op->lost)
			status = -ENOMEM;
		look->complete = !status;
		hvsi_waiters_end(g, &look->waiters, status, guest_status);
		look->waiters = look->later;
		look->later = NULL;
		if (!status)
			adopt(g, op);
		if (status == -ENOTCONN)
			ask_status(g);
		err = look->waiters && !look->op ? hvsi_guestinfo_look(g, op->pool) : 0;
		if (err)
			hvsi_waiters_end(g, &look->waiters, err, 0);
	}
	free_op(op);
}

static void on_item(void *arg, const char *key, const char *value)
{
	struct hvsi_kvp_op *op = arg;

	if (op->g && hvsi_pairs_set(&op->seen, key, value))
		op->lost = true;
}

/* Nobody looks there yet. */
int hvsi_guestinfo_look(struct hvs_guestinfo *g, enum hvs_kvp_pool pool)
{
	struct hvsi_kvp_op *op;
	int err;

	if (!g->ready)
		return -ENOTCONN;
	op = new_op(g, pool);
	if (!op)
		return -ENOMEM;
	err = hvs_kvp_enumerate(g->ic, pool, 0, on_item, on_looked, op);
	if (err)
		free_op(op);
	else
		g->looks[pool].op = op;
	return err;
}

/* ---- coming and going ------------------------------------------------------------------------ */

static void round_begins(struct hvs_guestinfo *g)
{
	static const enum hvs_kvp_pool order[] = {HVS_KVP_AUTO, HVS_KVP_GUEST};

	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (!g->looks[order[i]].op && hvsi_guestinfo_look(g, order[i]))
			g->looks[order[i]].complete = false;
	hvsi_guestinfo_push(g);
}

void hvsi_guestinfo_tick(struct hvs_guestinfo *g)
{
	enum hvs_kvp_pool pool;

	/* One that fails each time must not keep the others from their turn. */
	if (!next_pair(g, &pool))
		renew(g, false);
	round_begins(g);
}

/* The guest's program has gone; what it was asked for ends with -ENOTCONN. */
static void leave(struct hvs_guestinfo *g)
{
	g->ready = false;
	event_del(g->tick);
	hvsi_waiters_end(g, &g->waiters, -ENOTCONN, 0);
	for (unsigned pool = 0; pool < HVSI_POOLS; pool++) {
		hvsi_waiters_end(g, &g->looks[pool].waiters, -ENOTCONN, 0);
		hvsi_waiters_end(g, &g->looks[pool].later, -ENOTCONN, 0);
	}
}

static void enter(struct hvs_guestinfo *g)
{
	g->ready = true;
	renew(g, true);
	event_add(g->tick, &g->refresh);
	round_begins(g);
}

static void ask_status(struct hvs_guestinfo *g)
{
	struct hvs_ic_status status = {HVS_IC_STATUS_INIT};
	bool ready = g->ic && !hvs_ic_get_status(g->ic, &status) && status.ready;

	if (ready && !g->ready)
		enter(g);
	else if (!ready && g->ready)
		leave(g);
}

void hvsi_guestinfo_detach(struct hvs_guestinfo *g)
{
	if (g->push)
		g->push->g = NULL;
	g->push = NULL;
	for (unsigned pool = 0; pool < HVSI_POOLS; pool++) {
		if (g->looks[pool].op)
			g->looks[pool].op->g = NULL;
		g->looks[pool].op = NULL;
	}
	leave(g);
}

void hvs_guestinfo_set_ic(struct hvs_guestinfo *g, struct hvs_ic *kvp)
{
	if (!g || g->ic == kvp)
		return;
	hvsi_guestinfo_detach(g);
	g->ic = kvp;
	ask_status(g);
}

void hvs_guestinfo_ic_event(struct hvs_guestinfo *g, enum hvs_ic_event event)
{
	if (g && event == HVS_IC_EVENT_STATUS)
		ask_status(g);
}
