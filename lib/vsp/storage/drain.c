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

static unsigned place_of(enum hvsi_drain_kind kind, uint64_t disks)
{
	if (kind == HVSI_DRAIN_RESET_ALL)
		return HVSI_DRAIN_PLACES - 1;
	return (unsigned)kind * HVS_STORVSP_MAX_DISKS + (unsigned)__builtin_ctzll(disks);
}

static uint64_t bit_of(const struct hvsi_stor_request *req)
{
	return req->disk ? 1ull << (req->disk - req->chan->ctl->disk) : 0;
}

/* ---- the controller's side ------------------------------------------------------------------- */

/* One party less that the drain waits for. Returns one whose turn it is then. */
static struct hvsi_drain *let_go(struct hvs_storvsp *ctl, struct hvsi_drain *drain)
{
	struct hvsi_drain_place *place = &ctl->drains[place_of(drain->kind, drain->disks)];
	struct hvsi_drain *next;

	if (atomic_fetch_sub(&drain->waiting, 1) != 1)
		return NULL;
	hvsi_spin_lock(&ctl->lock);
	next = drain->next;
	place->first = next;
	hvsi_spin_unlock(&ctl->lock);
	drain->done(drain);
	return next;
}

static void hand_out(struct hvs_storvsp *ctl, struct hvsi_drain *drain)
{
	while (drain) {
		unsigned place = place_of(drain->kind, drain->disks);

		atomic_store(&drain->waiting, 1); /* we */
		hvsi_gate_enter(&ctl->looking);
		for (unsigned i = 0; i < ctl->channel_count; i++) {
			struct hvsi_stor_chan *c = atomic_load(&ctl->channel[i]);

			if (!c)
				continue;
			atomic_fetch_add(&drain->waiting, 1);
			atomic_fetch_or(&c->asked_by[place / 64], 1ull << place % 64);
			atomic_store(&c->asked, true);
			hvs_channel_kick(c->ch);
		}
		hvsi_gate_leave(&ctl->looking);
		drain = let_go(ctl, drain);
	}
}

void hvsi_drain_start(struct hvs_storvsp *ctl, struct hvsi_drain *drain)
{
	struct hvsi_drain_place *place = &ctl->drains[place_of(drain->kind, drain->disks)];
	bool first;

	drain->next = NULL;
	hvsi_spin_lock(&ctl->lock);
	first = !place->first;
	if (first)
		place->last = &place->first;
	*place->last = drain;
	place->last = &drain->next;
	hvsi_spin_unlock(&ctl->lock);
	if (first)
		hand_out(ctl, drain);
}

/* ---- a channel's side ------------------------------------------------------------------------ */

static bool concerned(const struct hvsi_drain *drain, const struct hvsi_stor_request *req)
{
	if (!(drain->disks & bit_of(req)))
		return false;
	switch (req->state) {
	case HVSI_REQ_SUBMITTED:
		return true;
	case HVSI_REQ_PARKED:
	case HVSI_REQ_DRAINING:
		return drain->abort;
	case HVSI_REQ_UNSENT:
		/* Its back end is not in use any more, and the guest may never make room. */
		return drain->kind >= HVSI_DRAIN_RESET;
	default:
		return false;
	}
}

static void count(struct hvsi_stor_request *req, void *arg)
{
	const struct hvsi_drain *drain = arg;

	if (!concerned(drain, req))
		return;
	req->counted |= (uint8_t)(1u << drain->kind);
	req->chan->counted[place_of(drain->kind, drain->disks)]++;
}

static void abort_one(struct hvsi_stor_request *req, void *arg)
{
	const struct hvsi_drain *drain = arg;

	if (drain->disks & bit_of(req))
		hvsi_request_abort(req);
}

/* A reset waits for more than the disk's leaving does: when it ends, another one may be there. */
static void leave_reset(struct hvsi_stor_request *req, void *arg)
{
	const struct hvsi_drain *drain = arg;

	if (!req->disk && req->state == HVSI_REQ_DRAINING)
		req->reset_disks &= ~drain->disks;
}

static void one_less(struct hvsi_stor_chan *c, unsigned place)
{
	/* It stays the first until this channel lets it go. */
	if (--c->counted[place] == 0)
		hand_out(c->ctl, let_go(c->ctl, c->ctl->drains[place].first));
}

static void take_part(struct hvsi_stor_chan *c, unsigned place)
{
	struct hvsi_drain *drain = c->ctl->drains[place].first;

	c->counted[place] = 1; /* until all are counted and aborted */
	hvsi_requests_visit(c, count, drain);
	if (drain->abort)
		hvsi_requests_visit(c, abort_one, drain);
	if (drain->kind == HVSI_DRAIN_LEAVE)
		hvsi_requests_visit(c, leave_reset, drain);
	one_less(c, place);
}

void hvsi_drain_check(struct hvsi_stor_chan *c)
{
	if (!atomic_exchange(&c->asked, false))
		return;
	for (unsigned word = 0; word < HVSI_DRAIN_WORDS; word++) {
		uint64_t places = atomic_exchange(&c->asked_by[word], 0);

		for (; places; places &= places - 1)
			take_part(c, word * 64 + (unsigned)__builtin_ctzll(places));
	}
}

void hvsi_drain_one_less(struct hvsi_stor_request *req)
{
	unsigned kinds = req->counted;

	req->counted = 0;
	for (; kinds; kinds &= kinds - 1)
		one_less(req->chan,
			 place_of((enum hvsi_drain_kind)__builtin_ctz(kinds), bit_of(req)));
}
