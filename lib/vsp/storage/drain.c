/* SPDX-License-Identifier: MIT */
/*
 * Wait until what is in flight for some disks has ended: resets, disks that leave, commands that
 * nothing may overlap.
 *
 * Each open channel is handed the drain. Its worker counts the requests that it has for these
 * disks then, and lets the drain go when the last of them has ended: no request takes part in a
 * count that workers share. A channel that opens later sees the change that led to the drain.
 */
#include "vsp/storage/storvsp.h"

static void hand_out(struct hvs_storvsp *ctl, struct hvsi_drain *drain);

/* One party less that the first drain waits for. */
static void let_go(struct hvs_storvsp *ctl, struct hvsi_drain *drain)
{
	struct hvsi_drain *next;

	if (atomic_fetch_sub(&drain->waiting, 1) != 1)
		return;
	hvsi_spin_lock(&ctl->lock);
	next = drain->next;
	ctl->drains = next;
	hvsi_spin_unlock(&ctl->lock);
	drain->done(drain);
	if (next)
		hand_out(ctl, next);
}

static void hand_out(struct hvs_storvsp *ctl, struct hvsi_drain *drain)
{
	atomic_store(&drain->waiting, 1); /* we */
	hvsi_gate_enter(&ctl->looking);
	for (unsigned i = 0; i < ctl->channel_count; i++) {
		struct hvsi_stor_chan *c = atomic_load(&ctl->channel[i]);

		if (!c)
			continue;
		atomic_fetch_add(&drain->waiting, 1);
		atomic_store(&c->drain, drain);
		hvs_channel_kick(c->ch);
	}
	hvsi_gate_leave(&ctl->looking);
	let_go(ctl, drain);
}

void hvsi_drain_start(struct hvs_storvsp *ctl, struct hvsi_drain *drain)
{
	struct hvsi_drain **last = &ctl->drains;
	bool first;

	drain->next = NULL;
	hvsi_spin_lock(&ctl->lock);
	first = !ctl->drains;
	while (*last)
		last = &(*last)->next;
	*last = drain;
	hvsi_spin_unlock(&ctl->lock);
	if (first)
		hand_out(ctl, drain);
}

static bool concerned(const struct hvsi_drain *drain, const struct hvsi_stor_request *req)
{
	if (!req->disk || !(drain->disks >> (req->disk - req->chan->ctl->disk) & 1))
		return false;
	switch (req->state) {
	case HVSI_REQ_SUBMITTED:
		return true;
	case HVSI_REQ_PARKED:
	case HVSI_REQ_UNSENT:
		return drain->abort;
	default:
		/* One that waits for a drain itself waits for this one first. */
		return false;
	}
}

static void count(struct hvsi_stor_request *req, void *arg)
{
	struct hvsi_drain *drain = arg;

	if (!concerned(drain, req))
		return;
	req->counted = true;
	req->chan->counted++;
}

static void abort_one(struct hvsi_stor_request *req, void *arg)
{
	const struct hvsi_drain *drain = arg;

	if (req->disk && drain->disks >> (req->disk - req->chan->ctl->disk) & 1)
		hvsi_request_abort(req);
}

static void leave_if_none(struct hvsi_stor_chan *c)
{
	struct hvsi_drain *drain = atomic_load(&c->drain);

	if (c->counted)
		return;
	c->drain_seen = false;
	atomic_store(&c->drain, NULL);
	let_go(c->ctl, drain);
}

void hvsi_drain_check(struct hvsi_stor_chan *c)
{
	struct hvsi_drain *drain = atomic_load(&c->drain);

	if (!drain || c->drain_seen)
		return;
	c->drain_seen = true;
	c->counted = 1; /* until all are counted and aborted */
	hvsi_requests_visit(c, count, drain);
	if (drain->abort)
		hvsi_requests_visit(c, abort_one, drain);
	hvsi_drain_one_less(c);
}

void hvsi_drain_one_less(struct hvsi_stor_chan *c)
{
	c->counted--;
	leave_if_none(c);
}
