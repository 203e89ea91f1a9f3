/* SPDX-License-Identifier: MIT */
#include "host/guestinfo_impl.h"
#include "host/sized.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS 15000u

static bool is_hosts(enum hvs_kvp_pool pool)
{
	return pool == HVS_KVP_EXTERNAL || pool == HVS_KVP_AUTO_EXTERNAL;
}

static bool is_guests(enum hvs_kvp_pool pool)
{
	return pool == HVS_KVP_GUEST || pool == HVS_KVP_AUTO;
}

/* ---- creation -------------------------------------------------------------------------------- */

int hvsi_guestinfo_store(const struct hvs_guestinfo *g)
{
	const struct hvsi_guestinfo_store store = {
		.uuid = g->uuid,
		.external = g->pools[HVS_KVP_EXTERNAL],
		.auto_external = g->pools[HVS_KVP_AUTO_EXTERNAL],
	};

	return g->path ? hvsi_guestinfo_save(g->path, &store) : 0;
}

static int load(struct hvs_guestinfo *g, const struct hvsi_why *why)
{
	struct hvsi_guestinfo_store store = {.uuid = g->uuid};
	int err = hvsi_guestinfo_load(g->path, &store, why);

	g->pools[HVS_KVP_EXTERNAL] = store.external;
	g->pools[HVS_KVP_AUTO_EXTERNAL] = store.auto_external;
	if (err == -ENOENT) {
		err = hvsi_guestinfo_store(g);
		if (err)
			return hvsi_fail(why, -err, "can't be written: %s", strerror(-err));
	}
	for (unsigned pool = 0; pool < HVSI_POOLS; pool++)
		for (uint32_t i = 0; i < g->pools[pool].count; i++)
			g->pools[pool].at[i].change = ++g->changes;
	return err;
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	hvsi_guestinfo_tick(arg);
}

static void on_soon(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	hvsi_guestinfo_tell_ended(arg);
}

static int set_up(struct hvs_guestinfo *g, const struct hvs_guestinfo_config *cfg,
		  const struct hvsi_why *why)
{
	const uint32_t ms = cfg->refresh_ms ? cfg->refresh_ms : REFRESH_MS;

	g->uuid = cfg->uuid;
	g->refresh = (struct timeval){ms / 1000, (suseconds_t)(ms % 1000) * 1000};
	g->tick = event_new(cfg->base, -1, EV_PERSIST, on_tick, g);
	g->soon = event_new(cfg->base, -1, 0, on_soon, g);
	g->path = cfg->path ? strdup(cfg->path) : NULL;
	if (!g->tick || !g->soon || (cfg->path && !g->path))
		return hvsi_fail(why, ENOMEM, "out of memory");
	return g->path ? load(g, why) : 0;
}

int hvs_guestinfo_create(const struct hvs_guestinfo_config *cfg_in,
			 const struct hvs_guestinfo_ops *ops_in, void *arg, char *why_text,
			 size_t why_len, struct hvs_guestinfo **out)
{
	const struct hvsi_why why = {why_text, why_text ? why_len : 0};
	struct hvs_guestinfo_config cfg;
	struct hvs_guestinfo_ops ops = {HVS_GUESTINFO_OPS_INIT};
	struct hvs_guestinfo *g;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, uuid);

	if (!err && ops_in)
		err = HVSI_HOST_TAKE(&ops, ops_in, changes_end);
	if (!err && (!out || !cfg.base || ops.reserved))
		err = -EINVAL;
	if (err)
		return hvsi_fail(&why, -err, "the configuration is wrong");
	g = calloc(1, sizeof(*g));
	if (!g)
		return hvsi_fail(&why, ENOMEM, "out of memory");
	g->ops = ops;
	g->arg = arg;
	err = set_up(g, &cfg, &why);
	if (err) {
		hvs_guestinfo_destroy(g);
		return err;
	}
	*out = g;
	return 0;
}

void hvs_guestinfo_destroy(struct hvs_guestinfo *g)
{
	if (!g)
		return;
	if (g->tick && g->soon) {
		hvsi_guestinfo_detach(g);
		hvsi_guestinfo_tell_ended(g);
	}
	if (g->tick)
		event_free(g->tick);
	if (g->soon)
		event_free(g->soon);
	for (unsigned pool = 0; pool < HVSI_POOLS; pool++)
		hvsi_pairs_clear(&g->pools[pool]);
	free(g->path);
	free(g);
}

/* ---- what the host says ---------------------------------------------------------------------- */

/* Those who wait for the guest to be told of the pair as it was wait for what it is now. */
static void take_over(struct hvs_guestinfo *g, uint64_t before, uint64_t now)
{
	for (struct hvsi_waiter *w = g->waiters; w; w = w->next)
		if (w->change == before)
			w->change = now;
}

/* Put a value in place, or none, in the file too. value becomes the pair's if that works. */
static int put(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, const char *key, char *value,
	       struct hvsi_waiter *waiter)
{
	struct hvsi_pairs *pairs = &g->pools[pool];
	struct hvsi_pair *pair = hvsi_pairs_find(pairs, key);
	const bool is_new = !pair;
	char *before;
	int err;

	/* Those that were removed are counted for themselves. */
	if ((is_new || !pair->value != !value) &&
	    hvsi_pairs_count(pairs, value != NULL) >= HVS_GUESTINFO_MAX_ITEMS)
		return -ENOSPC;
	if (is_new)
		pair = hvsi_pairs_add(pairs, key);
	if (!pair)
		return -ENOMEM;
	before = pair->value;
	pair->value = value;
	err = before && value && strcmp(before, value) == 0 ? 0 : hvsi_guestinfo_store(g);
	if (err) {
		pair->value = before;
		if (is_new)
			hvsi_pairs_drop(pairs, pair);
		return err;
	}
	free(before);
	g->changes++;
	take_over(g, pair->change, g->changes);
	pair->change = g->changes;
	pair->state = HVSI_PAIR_NEW;
	if (waiter) {
		waiter->change = pair->change;
		hvsi_waiters_append(&g->waiters, waiter);
	}
	return 0;
}

/* NULL: no memory, or nobody waits. */
static struct hvsi_waiter *new_waiter(hvs_ic_done_fn done, void *arg)
{
	struct hvsi_waiter *w = done ? calloc(1, sizeof(*w)) : NULL;

	if (w) {
		w->done = done;
		w->arg = arg;
	}
	return w;
}

static int change_pair(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, const char *key,
		       const char *value, hvs_ic_done_fn done, void *arg)
{
	struct hvsi_waiter *waiter = new_waiter(done, arg);
	char *copy = value ? strdup(value) : NULL;
	int err = -ENOMEM;

	if ((!value || copy) && (!done || waiter))
		err = put(g, pool, key, copy, waiter);
	if (err) {
		free(waiter);
		free(copy);
		return err;
	}
	if (g->ready)
		hvsi_guestinfo_push(g);
	else
		hvsi_waiters_end(g, &g->waiters, -ENOTCONN, 0);
	return 0;
}

int hvs_guestinfo_set(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, const char *key,
		      const char *value, hvs_ic_done_fn done, void *arg)
{
	if (!g || !is_hosts(pool) || !value || !hvsi_pair_valid(key, value))
		return -EINVAL;
	return change_pair(g, pool, key, value, done, arg);
}

int hvs_guestinfo_remove(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, const char *key,
			 hvs_ic_done_fn done, void *arg)
{
	if (!g || !is_hosts(pool) || !hvsi_pair_valid(key, NULL))
		return -EINVAL;
	if (!hvs_guestinfo_get(g, pool, key))
		return -ENOENT;
	return change_pair(g, pool, key, NULL, done, arg);
}

/* ---- what is known --------------------------------------------------------------------------- */

const char *hvs_guestinfo_get(const struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
			      const char *key)
{
	const struct hvsi_pair *pair = g && key && (is_hosts(pool) || is_guests(pool))
					       ? hvsi_pairs_find(&g->pools[pool], key)
					       : NULL;

	return pair ? pair->value : NULL;
}

void hvs_guestinfo_visit(const struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
			 hvs_kvp_item_fn item, void *arg)
{
	if (!g || !item || (!is_hosts(pool) && !is_guests(pool)))
		return;
	for (uint32_t i = 0; i < g->pools[pool].count; i++)
		if (g->pools[pool].at[i].value)
			item(arg, g->pools[pool].at[i].key, g->pools[pool].at[i].value);
}

uint64_t hvs_guestinfo_age(const struct hvs_guestinfo *g, enum hvs_kvp_pool pool, bool *complete)
{
	const bool hosts = is_hosts(pool);
	const struct hvsi_look *look = g && is_guests(pool) ? &g->looks[pool] : NULL;

	if (complete)
		*complete = hosts || (look && look->complete);
	if (hosts)
		return 0;
	return look && look->seen ? hvsi_guestinfo_now_ms() - look->at_ms : UINT64_MAX;
}

int hvs_guestinfo_refresh(struct hvs_guestinfo *g, enum hvs_kvp_pool pool, hvs_ic_done_fn done,
			  void *arg)
{
	struct hvsi_waiter *waiter;
	struct hvsi_look *look;
	int err = 0;

	if (!g || !is_guests(pool))
		return -EINVAL;
	if (!g->ready)
		return -ENOTCONN;
	look = &g->looks[pool];
	waiter = new_waiter(done, arg);
	if (done && !waiter)
		return -ENOMEM;
	if (waiter && look->op) {
		/* What it has passed already may be different now. */
		hvsi_waiters_append(&look->later, waiter);
	} else if (!look->op) {
		err = hvsi_guestinfo_look(g, pool);
		if (!err && waiter)
			hvsi_waiters_append(&look->waiters, waiter);
	}
	if (err)
		free(waiter);
	return err;
}
