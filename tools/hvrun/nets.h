/* SPDX-License-Identifier: MIT */
/*
 * The guest's network adapters: NICs, back ends, and changes while the guest runs. Everything here
 * is called on the thread that runs machine->base.
 */
#ifndef HVRUN_NETS_H
#define HVRUN_NETS_H

#include "net_option.h"

#include <hvstack/host/capture.h>
#include <hvstack/network.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct hvs_vmbus;
struct iothreads;
struct json_object;
struct nets;

#define NETS_WHY 256u /* room for a text that says what is wrong */

struct nets_config {
	struct hvs_vmbus *bus;
	struct event_base *base;
	struct iothreads *threads;
	unsigned subchannels; /* that each adapter has */
	struct hvs_guid machine_id;
};

/* NULL: no memory. */
struct nets *nets_create(const struct nets_config *cfg);
/* The bus is gone, and nothing runs on the bases. NULL is allowed. */
void nets_destroy(struct nets *nets);

/*
 * The functions below return true, or false with what is wrong in `why`, NETS_WHY bytes.
 *
 * Add an adapter. option and its strings are copied. id is set to what the others name it by; it is
 * valid as long as the adapter.
 */
bool nets_add(struct nets *nets, const struct net_option *option, const char **id, char *why);

/* Take one away; gone() is called when nothing uses its back end, in nets_destroy() at the latest. */
bool nets_remove(struct nets *nets, const char *id, void (*gone)(void *arg), void *arg, char *why);

/* Pull the plug, or put it in again. */
bool nets_set_link(struct nets *nets, const char *id, bool up, char *why);
/* Other rules than before; NULL: none. */
bool nets_set_policy(struct nets *nets, const char *id, struct json_object *policy, char *why);
/* Write what passes to a file of at most so many bytes (0: any), instead of another; NULL: no more. */
bool nets_set_capture(struct nets *nets, const char *id, const char *file, uint64_t max_bytes,
		      char *why);
/* Have another adapter get copies of what passes, instead of another one; NULL: none. */
bool nets_set_mirror(struct nets *nets, const char *id, const char *to, char *why);
/* Forward a port to the guest, or no more. Of user networks. */
bool nets_set_forward(struct nets *nets, const char *id, const struct net_forward *forward, bool on,
		      char *why);

bool nets_have(const struct nets *nets, const char *id);

/* What is there. */
struct net_view {
	const struct net_option *option;
	const char *id;
	struct hvs_guid instance_id;
	bool plugged;
	struct hvs_nic_status status;
	struct hvs_nic_counters counters;
	const char *capture; /* NULL: none */
	struct hvs_capture_counters captured;
	const char *mirror; /* NULL: none */
	uint64_t mirror_dropped;
};
void nets_visit(const struct nets *nets, void (*visit)(void *arg, const struct net_view *net),
		void *arg);

#endif
