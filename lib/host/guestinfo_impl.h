/* SPDX-License-Identifier: MIT */
/* What the files of the table of key-value pairs share. */
#ifndef HVSI_HOST_GUESTINFO_IMPL_H
#define HVSI_HOST_GUESTINFO_IMPL_H

#include <hvstack/host/guestinfo.h>

#include "host/why.h"

#include <sys/time.h>

#define HVSI_GUESTINFO_FILE_MAX (24u << 20) /* bytes; two full pools have less */

/* ---- pairs ----------------------------------------------------------------------------------- */

enum hvsi_pair_state {
	HVSI_PAIR_NEW,    /* the guest is to be told */
	HVSI_PAIR_FAILED, /* it did not take it: again at the next round */
	HVSI_PAIR_TOLD,
};

struct hvsi_pair {
	char *key;
	char *value;     /* NULL: removed, but the guest has to be told yet */
	uint64_t change; /* number of the last one; of no other pair */
	enum hvsi_pair_state state;
};

struct hvsi_pairs {
	struct hvsi_pair *at; /* by key */
	uint32_t count;
	uint32_t room;
};

struct hvsi_pair *hvsi_pairs_find(const struct hvsi_pairs *p, const char *key);
/* A new pair without a value; there is none of this key. NULL: no memory. Moves the others. */
struct hvsi_pair *hvsi_pairs_add(struct hvsi_pairs *p, const char *key);
/* Set or replace. 0, -ENOSPC (HVS_GUESTINFO_MAX_ITEMS), -ENOMEM. */
int hvsi_pairs_set(struct hvsi_pairs *p, const char *key, const char *value);
void hvsi_pairs_drop(struct hvsi_pairs *p, struct hvsi_pair *pair);
void hvsi_pairs_clear(struct hvsi_pairs *p);
/* How many have a value (`there`), or have none. */
uint32_t hvsi_pairs_count(const struct hvsi_pairs *p, bool there);

/* Could the guest be told this? value NULL: remove. */
bool hvsi_pair_valid(const char *key, const char *value);

/* ---- the file -------------------------------------------------------------------------------- */

struct hvsi_guestinfo_store {
	struct hvs_guid uuid;
	struct hvsi_pairs external;
	struct hvsi_pairs auto_external;
};

/* From text to an empty store, whose uuid says which machine's it must be. 0, or as
 * hvs_guestinfo_create(); the store may have been filled then. */
int hvsi_guestinfo_parse(const char *text, size_t len, struct hvsi_guestinfo_store *store,
			 const struct hvsi_why *why);
/* To text, to be freed with free(). NULL: no memory. */
char *hvsi_guestinfo_text(const struct hvsi_guestinfo_store *store);

/* -ENOENT: there is no such file; else as hvs_guestinfo_create(). */
int hvsi_guestinfo_load(const char *path, struct hvsi_guestinfo_store *store,
			const struct hvsi_why *why);
/* Durably, or not at all. 0, -ENOMEM, or the errno. */
int hvsi_guestinfo_save(const char *path, const struct hvsi_guestinfo_store *store);

/* ---- the table ------------------------------------------------------------------------------- */

#define HVSI_POOLS (HVS_KVP_AUTO_EXTERNAL + 1)

/* Somebody who wants to hear that something is done. */
struct hvsi_waiter {
	struct hvsi_waiter *next;
	uint64_t change; /* hvsi_pair.change */
	hvs_ic_done_fn done;
	void *arg;
	int status;
	uint32_t guest_status;
};

/* A request that the service has. It may last longer than the table. */
struct hvsi_kvp_op {
	struct hvs_guestinfo *g; /* NULL: nobody is interested any more */
	enum hvs_kvp_pool pool;
	bool removes;
	uint64_t change;        /* of the pair that is told */
	struct hvsi_pairs seen; /* when looking */
	bool lost;              /* some of that */
};

struct hvsi_look {
	struct hvsi_kvp_op *op; /* NULL: nobody is looking */
	uint64_t at_ms;
	bool seen; /* ever */
	bool complete;
	struct hvsi_waiter *waiters; /* for the end of op */
	struct hvsi_waiter *later;   /* for the end of the one after it */
};

struct hvs_guestinfo {
	struct hvs_guestinfo_ops ops;
	void *arg;
	struct hvs_ic *ic;
	bool ready; /* it is; as far as known */
	char *path;
	struct hvs_guid uuid;
	struct timeval refresh;
	struct event *tick;
	struct event *soon; /* tells those in `ended` */
	uint64_t changes;
	struct hvsi_pairs pools[HVSI_POOLS];
	struct hvsi_look looks[HVSI_POOLS]; /* of those of the guest */
	struct hvsi_kvp_op *push;           /* NULL: the guest is not just being told anything */
	struct hvsi_waiter *waiters;        /* for the guest to be told */
	struct hvsi_waiter *ended;
};

void hvsi_waiters_append(struct hvsi_waiter **list, struct hvsi_waiter *w);
/* Have the loop tell them that what they wait for has ended: the function that they have called
 * never calls back. */
void hvsi_waiters_end(struct hvs_guestinfo *g, struct hvsi_waiter **list, int status,
		      uint32_t guest_status);
/* What g->soon does. */
void hvsi_guestinfo_tell_ended(struct hvs_guestinfo *g);

uint64_t hvsi_guestinfo_now_ms(void);
/* Write the file. */
int hvsi_guestinfo_store(const struct hvs_guestinfo *g);
/* Begin to tell the guest what it does not know yet. */
void hvsi_guestinfo_push(struct hvs_guestinfo *g);
/* Begin to look at a pool; nobody does yet. 0, -ENOTCONN, -ENOMEM, -ENOSPC. */
int hvsi_guestinfo_look(struct hvs_guestinfo *g, enum hvs_kvp_pool pool);
/* What g->tick does. */
void hvsi_guestinfo_tick(struct hvs_guestinfo *g);
/* What the service still has concerns nobody any more. Those who wait hear -ENOTCONN. */
void hvsi_guestinfo_detach(struct hvs_guestinfo *g);

#endif
