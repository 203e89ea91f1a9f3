/* SPDX-License-Identifier: MIT */
/*
 * Watches a guest: does it still answer, which system is it, what does it say about itself. Runs over
 * the loopback, with the guest of ic-guest.c, which hangs for a while; see docs/integration.md.
 */
#include "ic-guest.h"

#include <hvstack/guestos.h>
#include <hvstack/hvstack.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAIRS 16u
#define TEXT 64u
#define SECOND 1000000000u

struct observer {
	struct hvs_ic *heartbeat;
	struct hvs_ic *kvp;
	unsigned known; /* pairs; a new one beyond PAIRS is not told */
	struct {
		char key[TEXT];
		char value[TEXT];
	} pairs[PAIRS];
};

/* [events] Called by the library, on the main worker: whatever the guest does, or does not in time. */
static void on_event(void *arg, struct hvs_ic *ic, enum hvs_ic_event event)
{
	struct hvs_ic_status status = {HVS_IC_STATUS_INIT};

	(void)arg;
	if (event == HVS_IC_EVENT_BEAT_MISSED)
		puts("a heartbeat is missing");
	if (event == HVS_IC_EVENT_STATUS && hvs_ic_get_status(ic, &status) == 0)
		printf("%s: %s%s\n", hvs_ic_kind_name(status.kind),
		       hvs_ic_primary_name(status.primary), status.ready ? "" : ", not ready");
}

/* [pairs] What the guest says about itself; only what is new is told. */
static void on_pair(void *arg, const char *key, const char *value)
{
	struct observer *o = arg;
	unsigned i = 0;

	while (i < o->known && strcmp(o->pairs[i].key, key) != 0)
		i++;
	if (i == PAIRS || (i < o->known && strcmp(o->pairs[i].value, value) == 0))
		return;
	if (i == o->known)
		o->known++;
	printf("%s is %s\n", key, value);
	snprintf(o->pairs[i].key, TEXT, "%s", key);
	snprintf(o->pairs[i].value, TEXT, "%s", value);
}

static void pairs_done(void *arg, int status, uint32_t guest_status)
{
	(void)arg;
	if (status == -EREMOTEIO)
		printf("not all pairs: %s\n", hvs_ic_guest_status_name(guest_status));
	else if (status)
		printf("not all pairs: %s\n", strerror(-status));
}

/* Now and then; each of its requests may take 3 s. */
static void look(struct observer *o)
{
	int err = hvs_kvp_enumerate(o->kvp, HVS_KVP_AUTO, 3000, on_pair, pairs_done, o);

	if (err) /* -ENOTCONN: the guest has no driver for it, or no daemon */
		printf("no pairs: %s\n", strerror(-err));
}

/* [system] Long before any daemon runs. */
static void print_system(uint64_t guest_os_id)
{
	struct hvs_guest_os os = {HVS_GUEST_OS_INIT};

	if (hvs_guest_os_decode(guest_os_id, &os) == 0 && os.present)
		printf("the guest is %s %u.%u\n", os.name, os.major, os.minor);
}

static int create(struct observer *o, struct hvs_vmbus *bus)
{
	const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT, .event = on_event};
	/* It is asked every 2 s, and has 1 s to answer; after 2 misses, communication is lost. */
	const struct hvs_ic_config beats = {HVS_IC_CONFIG_INIT, .kind = HVS_IC_HEARTBEAT,
					    .interval_ms = 2000, .latency_ms = 1000,
					    .error_threshold = 2};
	const struct hvs_ic_config pairs = {HVS_IC_CONFIG_INIT, .kind = HVS_IC_KVP};
	int err = hvs_ic_create(bus, &beats, &ops, o, &o->heartbeat);

	return err ? err : hvs_ic_create(bus, &pairs, &ops, o, &o->kvp);
}
/* [end] */

static void pass(struct ic_guest *guest, unsigned seconds)
{
	for (; seconds; seconds--) {
		ic_guest_answer(guest);
		hvs_loopback_advance(guest->lb, SECOND);
	}
	ic_guest_answer(guest);
}

int main(void)
{
	static const enum hvs_ic_kind kinds[] = {HVS_IC_HEARTBEAT, HVS_IC_KVP};
	struct ic_guest guest = {.pairs = {{"OSName", "example"}, {"Load", "low"}}};
	struct observer o = {0};
	struct hvs_heartbeat_info info = {HVS_HEARTBEAT_INFO_INIT};
	int err = hvs_loopback_create(NULL, &guest.lb);

	if (!err)
		err = create(&o, hvs_loopback_bus(guest.lb));
	if (!err)
		err = ic_guest_boot(&guest, kinds, 2);
	if (!err) {
		print_system(hvs_hv_guest_os_id(hvs_loopback_hv(guest.lb)));
		look(&o);
		pass(&guest, 5);
		guest.pairs[1][1] = "high";
		look(&o);
		pass(&guest, 1);
		guest.hangs = true;
		look(&o);
		pass(&guest, 8);
		guest.hangs = false;
		pass(&guest, 4);
		err = hvs_heartbeat_get_info(o.heartbeat, &info);
		printf("%u heartbeats missed\n", (unsigned)info.missed);
	}
	hvs_loopback_destroy(guest.lb);
	return err || info.missed == 0;
}
