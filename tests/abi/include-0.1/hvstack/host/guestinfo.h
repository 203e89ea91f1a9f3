/* SPDX-License-Identifier: MIT */
/*
 * What the host knows of a guest, and tells it, by key-value pairs: a table of both that keeps
 * itself up to date, and is kept in a file over restarts of the host.
 *
 *   to the guest    pool external: what the administrator sets; pool auto-external: facts about the
 *                   host. Told whenever the guest's program comes or comes back; kept in the file
 *   from the guest  pools auto and guest, looked at every refresh_ms: a cache
 *
 * [main worker] functions, as those of kvp.h. base must be the one that dispatches the main worker.
 */
#ifndef HVSTACK_HOST_GUESTINFO_H
#define HVSTACK_HOST_GUESTINFO_H

#include <hvstack/export.h>
#include <hvstack/kvp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;    /* libevent */
struct hvs_guestinfo; /* tables of key-value pairs */

#define HVS_GUESTINFO_MAX_ITEMS 1024u /* of a pool */

struct hvs_guestinfo_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */
	/* A pair of a pool that comes from the guest has changed; value NULL: it is gone.
	 * Optional. */
	void (*changed)(void *arg, enum hvs_kvp_pool pool, const char *key, const char *value);
	/* All changes of a look at a pool were told; there was one at least. Optional. */
	void (*changes_end)(void *arg, enum hvs_kvp_pool pool);
};
#define HVS_GUESTINFO_OPS_INIT .size = (uint32_t)sizeof(struct hvs_guestinfo_ops)

struct hvs_guestinfo_config {
	uint32_t size;
	uint32_t refresh_ms;     /* 0: 15,000 */
	struct event_base *base; /* must outlive it */
	const char *path;        /* the file; NULL: nothing is kept. Copied */
	struct hvs_guid uuid;    /* of the machine: a file of another one is refused */
};
#define HVS_GUESTINFO_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_guestinfo_config)

/*
 * Read the file, or begin a new one if there is none. why (of why_len bytes, may be NULL) gets a
 * sentence if that fails; the file is left as it is. cfg and ops are copied. 0, -EINVAL (NULL, out
 * of range), -ENOTSUP (unknown members set; a file of a newer version), -EBADMSG (damaged, or not
 * such a file), -EPERM (of another machine), -ENOMEM, or what open() and read() said.
 */
HVS_API HVS_NODISCARD int hvs_guestinfo_create(const struct hvs_guestinfo_config *cfg,
					       const struct hvs_guestinfo_ops *ops, void *arg,
					       char *why, size_t why_len,
					       struct hvs_guestinfo **out);
/* NULL is allowed. Before the service goes away, or after; not from a callback of it. Those who
 * still wait hear -ENOTCONN. */
HVS_API void hvs_guestinfo_destroy(struct hvs_guestinfo *g);

/* The KVP service to use from now on; NULL: none, as is to be said before hvs_ic_destroy(). */
HVS_API void hvs_guestinfo_set_ic(struct hvs_guestinfo *g, struct hvs_ic *kvp);
/* To be called from hvs_ic_ops.event of that service. */
HVS_API void hvs_guestinfo_ic_event(struct hvs_guestinfo *g, enum hvs_ic_event event);

/*
 * Set or remove a pair of the pool external or auto-external. It is in the file, durably, when this
 * returns. done (may be NULL) runs from the loop, when the guest has heard of it. If the guest is
 * not there (-ENOTCONN) or fails, it is told when it is, or again; what was removed is not
 * forgotten before that. Who sets a pair anew while the guest is just being told waits for the new
 * value, as all do who wait for that pair. 0, -EINVAL (pool, key or value), -ENOENT (remove: there
 * is none), -ENOSPC (too many; remove: too many of which the guest has not heard), -ENOMEM, or the
 * errno of writing the file; then nothing has changed.
 */
HVS_API HVS_NODISCARD int hvs_guestinfo_set(struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
					    const char *key, const char *value, hvs_ic_done_fn done,
					    void *arg);
HVS_API HVS_NODISCARD int hvs_guestinfo_remove(struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
					       const char *key, hvs_ic_done_fn done, void *arg);

/* What is known of a key; valid until the table changes. NULL: nothing, or no such pool. */
HVS_API const char *hvs_guestinfo_get(const struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
				      const char *key);

/* Calls item for all pairs of a pool, by key. */
HVS_API void hvs_guestinfo_visit(const struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
				 hvs_kvp_item_fn item, void *arg);

/* How old what is known of a pool is, in ms; UINT64_MAX: never seen. The host's pools: 0.
 * *complete (may be NULL): the last look came to the end. */
HVS_API uint64_t hvs_guestinfo_age(const struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
				   bool *complete);

/* Look now. done runs when it was looked at, as of hvs_kvp_enumerate(). 0, -EINVAL (a pool of the
 * host), -ENOTCONN, -ENOSPC, -ENOMEM. */
HVS_API HVS_NODISCARD int hvs_guestinfo_refresh(struct hvs_guestinfo *g, enum hvs_kvp_pool pool,
						hvs_ic_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif
#endif
