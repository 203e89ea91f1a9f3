/* SPDX-License-Identifier: MIT */
/*
 * Requests of a channel: from its packet to the back end, back on any thread, and to the guest.
 * All of it but hvsi_request_done() runs on the channel's worker.
 */
#include "vsp/storage/storvsp.h"

#include "util/alloc.h"
#include "util/list.h"
#include "util/probe.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define SLAB_REQUESTS 32u

struct hvsi_stor_slab {
	struct hvsi_stor_slab *next;
	struct hvsi_stor_request request[SLAB_REQUESTS];
};

static const struct hvs_allocator *allocator(const struct hvsi_stor_chan *c)
{
	return hvs_vmbus_allocator(c->ctl->bus);
}

static int add_slab(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_slab *s = hvsi_alloc(allocator(c), sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->next = c->slabs;
	c->slabs = s;
	for (unsigned i = 0; i < SLAB_REQUESTS; i++) {
		s->request[i].chan = c;
		s->request[i].state = HVSI_REQ_FREE;
		s->request[i].next = c->free;
		c->free = &s->request[i];
	}
	return 0;
}

int hvsi_requests_init(struct hvsi_stor_chan *c)
{
	c->tick = 1;
	c->unsent_last = &c->unsent;
	c->parked_last = &c->parked;
	c->restored_last = &c->restored;
	return add_slab(c);
}

void hvsi_requests_free(struct hvsi_stor_chan *c)
{
	while (c->slabs) {
		struct hvsi_stor_slab *s = c->slabs;

		c->slabs = s->next;
		hvsi_free(allocator(c), s, sizeof(*s));
	}
}

bool hvsi_request_available(struct hvsi_stor_chan *c)
{
	return c->in_flight < HVSI_MAX_IN_FLIGHT && (c->free || add_slab(c) == 0);
}

struct hvsi_stor_request *hvsi_request_get(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *r = c->free;

	c->free = r->next;
	c->in_flight++;
	r->state = HVSI_REQ_RUNNING;
	r->disk = NULL;
	r->target = NULL;
	r->holds = NULL;
	r->aborted = false;
	r->timed_out = false;
	r->resume = 0;
	r->last_tick = 0;
	r->then = NULL;
	r->buffer = NULL;
	r->wants_exclusive = false;
	r->transferred = 0;
	return r;
}

static void put(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;

	r->state = HVSI_REQ_FREE;
	r->next = c->free;
	c->free = r;
	c->in_flight--;
	if (r->counted)
		hvsi_drain_one_less(r);
}

void hvsi_requests_visit(struct hvsi_stor_chan *c,
			 void (*visit)(struct hvsi_stor_request *req, void *arg), void *arg)
{
	for (struct hvsi_stor_slab *s = c->slabs; s; s = s->next)
		for (unsigned i = 0; i < SLAB_REQUESTS; i++)
			if (s->request[i].state != HVSI_REQ_FREE)
				visit(&s->request[i], arg);
}

void *hvsi_request_alloc(struct hvsi_stor_request *r, size_t len)
{
	r->work = hvsi_alloc(allocator(r->chan), len);
	r->work_len = len;
	return r->work;
}

/* ---- to the back end -------------------------------------------------------------------------- */

static void blk_done(struct hvs_blk_req *blk, enum hvs_blk_status status)
{
	struct hvsi_stor_request *r = hvsi_container_of(blk, struct hvsi_stor_request, blk);

	r->blk_status = status;
	atomic_store_explicit(&r->at_back_end, false, memory_order_relaxed);
	hvsi_request_done(r);
}

void hvsi_request_done(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;

	hvsi_gate_enter(&c->completing);
	r->next = atomic_load_explicit(&c->done, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&c->done, &r->next, r, memory_order_release,
						      memory_order_relaxed))
		;
	hvs_channel_kick(c->ch);
	hvsi_gate_leave(&c->completing);
}

static void park(struct hvsi_stor_request *r)
{
	r->state = HVSI_REQ_PARKED;
	r->next = NULL;
	*r->chan->parked_last = r;
	r->chan->parked_last = &r->next;
}

static bool changes_data(enum hvs_blk_op op)
{
	return op == HVS_BLK_WRITE || op == HVS_BLK_UNMAP || op == HVS_BLK_WRITE_ZEROES;
}

enum hvsi_scsi_state hvsi_request_submit(struct hvsi_stor_request *r)
{
	struct hvs_disk *disk = r->disk;
	struct hvsi_stor_chan *c = r->chan;

	if (r->aborted)
		return hvsi_scsi_failed(r);
	r->blk.queue = c->queue;
	r->blk.size = (uint32_t)sizeof(r->blk);
	r->blk.done = blk_done;
	/* Also a drain's memory order: who set it sees this request, or this sees it set. */
	if (atomic_load(&disk->exclusive) && changes_data(r->blk.op) && !r->holds) {
		park(r);
		return HVSI_SCSI_PENDING;
	}
	r->state = HVSI_REQ_SUBMITTED;
	atomic_store_explicit(&r->at_back_end, true, memory_order_relaxed);
	c->touched |= 1ull << (disk - c->ctl->disk);
	HVSI_PROBE4(disk_submit, r, r->blk.op, r->blk.offset, r->blk.len);
	disk->ops.submit(disk->priv, &r->blk);
	return HVSI_SCSI_PENDING;
}

void hvsi_requests_commit(struct hvsi_stor_chan *c)
{
	while (c->touched) {
		struct hvs_disk *disk = &c->ctl->disk[__builtin_ctzll(c->touched)];

		c->touched &= c->touched - 1;
		if (disk->ops.commit)
			disk->ops.commit(disk->priv, c->queue);
	}
}

/* ---- exclusive commands ------------------------------------------------------------------------ */

static void others_have_ended(struct hvsi_drain *drain)
{
	struct hvsi_stor_request *r = hvsi_container_of(drain, struct hvsi_stor_request, drain);

	r->blk_status = HVS_BLK_OK;
	hvsi_request_done(r);
}

static bool hold(struct hvsi_stor_request *r, struct hvs_disk *disk)
{
	if (!r->holds && !atomic_exchange(&disk->exclusive, true))
		r->holds = disk;
	return r->holds;
}

enum hvsi_scsi_state
hvsi_request_exclusive(struct hvsi_stor_request *r,
		       enum hvsi_scsi_state (*then)(struct hvsi_stor_request *))
{
	r->then = then;
	r->wants_exclusive = !hold(r, r->disk);
	if (r->wants_exclusive) {
		park(r);
		return HVSI_SCSI_PENDING;
	}
	r->state = HVSI_REQ_DRAINING;
	r->drain = (struct hvsi_drain){.kind = HVSI_DRAIN_EXCLUSIVE,
				       .disks = 1ull << (r->disk - r->chan->ctl->disk),
				       .done = others_have_ended};
	hvsi_drain_start(r->chan->ctl, &r->drain);
	return HVSI_SCSI_PENDING;
}

void hvsi_request_hold_again(struct hvsi_stor_request *r, struct hvs_disk *disk)
{
	(void)hold(r, disk);
}

static void end_exclusive(struct hvsi_stor_request *r)
{
	atomic_store(&r->holds->exclusive, false);
	r->holds = NULL;
	hvsi_storvsp_kick_all(r->chan->ctl);
}

void hvsi_requests_unpark(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *r = c->parked;

	if (!r)
		return;
	c->parked = NULL;
	c->parked_last = &c->parked;
	while (r) {
		struct hvsi_stor_request *next = r->next;

		r->state = HVSI_REQ_RUNNING;
		if (r->aborted)
			hvsi_request_step(r, hvsi_scsi_failed(r));
		else if (r->wants_exclusive)
			hvsi_request_step(r, hvsi_request_exclusive(r, r->then));
		else
			hvsi_request_step(r, hvsi_request_submit(r));
		r = next;
	}
}

/* ---- and to the guest -------------------------------------------------------------------------- */

static uint32_t nt_status(uint8_t srb_status)
{
	switch (srb_status) {
	case HVSI_SRB_SUCCESS:
		return HVSI_NT_SUCCESS;
	case HVSI_SRB_INVALID_LUN:
		return HVSI_NT_DEVICE_DOES_NOT_EXIST;
	default:
		return HVSI_NT_IO_DEVICE_ERROR;
	}
}

static void complete(struct hvsi_vstor_packet *p, const struct hvsi_scsi_result *res)
{
	struct hvsi_vmscsi *srb = &p->u.srb;

	*p = (struct hvsi_vstor_packet){.operation = hvsi_le32(HVSI_VSTOR_COMPLETE_IO),
					.status = hvsi_le32(nt_status(res->srb_status))};
	srb->length = hvsi_le16(sizeof(*srb));
	srb->srb_status = res->srb_status;
	srb->scsi_status = res->scsi_status;
	srb->cdb_len = HVSI_CDB_BYTES;
	srb->transfer_len = hvsi_le32(res->transferred);
	if (res->sense_len) {
		srb->srb_status |= HVSI_SRB_AUTOSENSE_VALID;
		srb->sense_len = res->sense_len;
		memcpy(srb->cdb_or_sense, res->sense, sizeof(res->sense));
	}
}

struct hvsi_vstor_packet hvsi_request_completion_of_aborted(const struct hvsi_stor_request *r)
{
	struct hvsi_stor_request copy = *r;

	(void)hvsi_scsi_failed(&copy);
	complete(&copy.packet, &copy.result);
	return copy.packet;
}

/* False: no room in the ring; the request stays. */
static bool send(struct hvsi_stor_request *r)
{
	struct iovec iov = {.iov_base = &r->packet, .iov_len = r->packet_len};

	/* A channel that is faulted or closing gets no answers. */
	if (r->wants_completion && hvs_channel_complete(r->chan->ch, r->xid, &iov, 1) == -EAGAIN)
		return false;
	if (r->target)
		hvsi_request_ended(r);
	put(r);
	return true;
}

void hvsi_request_keep_unsent(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;

	r->state = HVSI_REQ_UNSENT;
	r->next = NULL;
	*c->unsent_last = r;
	c->unsent_last = &r->next;
}

void hvsi_request_reply(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;

	if (!c->unsent && send(r))
		return;
	hvsi_request_keep_unsent(r);
}

void hvsi_requests_send(struct hvsi_stor_chan *c)
{
	while (c->unsent) {
		struct hvsi_stor_request *r = c->unsent;
		struct hvsi_stor_request *next = r->next;

		if (!send(r))
			return;
		c->unsent = next;
		if (!next)
			c->unsent_last = &c->unsent;
	}
}

void hvsi_request_step(struct hvsi_stor_request *r, enum hvsi_scsi_state state)
{
	if (state == HVSI_SCSI_PENDING)
		return;
	if (r->holds)
		end_exclusive(r);
	if (r->work) {
		hvsi_free(allocator(r->chan), r->work, r->work_len);
		r->work = NULL;
	}
	hvs_map_put(r->map);
	r->map = NULL;
	complete(&r->packet, &r->result);
	hvsi_request_reply(r);
}

static enum hvsi_scsi_state go_on(struct hvsi_stor_request *r)
{
	enum hvsi_scsi_state (*then)(struct hvsi_stor_request *) = r->then;

	bool ok = r->blk_status == HVS_BLK_OK || (then && r->blk_status == HVS_BLK_UNSUPPORTED);

	if (!ok || (then && r->aborted))
		return hvsi_scsi_failed(r);
	if (!then)
		return hvsi_scsi_good(r, r->transferred);
	r->then = NULL;
	return then(r);
}

void hvsi_requests_take_done(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *r =
		atomic_exchange_explicit(&c->done, NULL, memory_order_acquire);

	while (r) {
		struct hvsi_stor_request *next = r->next;

		r->state = HVSI_REQ_RUNNING;
		if (r->disk)
			hvsi_request_step(r, go_on(r));
		else
			hvsi_stor_reset_done(r);
		r = next;
	}
}

/* ---- aborting ---------------------------------------------------------------------------------- */

void hvsi_request_abort(struct hvsi_stor_request *r)
{
	struct hvs_disk *disk = r->disk;

	if (r->state == HVSI_REQ_UNSENT || !disk || r->aborted)
		return;
	r->aborted = true;
	if (r->state == HVSI_REQ_PARKED)
		hvs_channel_kick(r->chan->ch); /* what is parked looks again */
	/* Whether it is still there is for the back end to find out, but for one on this thread. */
	if (r->state == HVSI_REQ_SUBMITTED && disk->ops.cancel &&
	    atomic_load_explicit(&r->at_back_end, memory_order_relaxed))
		disk->ops.cancel(disk->priv, &r->blk);
}

static void check_time(struct hvsi_stor_request *r, void *arg)
{
	const struct hvsi_stor_chan *c = arg;

	if (!r->last_tick || (int32_t)(c->tick - r->last_tick) <= 0 || r->aborted ||
	    r->state == HVSI_REQ_UNSENT)
		return;
	r->timed_out = true;
	hvsi_request_abort(r);
}

void hvsi_requests_tick(struct hvsi_stor_chan *c)
{
	if (!++c->tick)
		c->tick++;
	hvsi_requests_visit(c, check_time, c);
}

/* ---- from saved state -------------------------------------------------------------------------- */

void hvsi_request_keep_restored(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;

	r->state = HVSI_REQ_RESTORED;
	r->next = NULL;
	*c->restored_last = r;
	c->restored_last = &r->next;
}

static struct hvsi_stor_request *take_restored(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *all = c->restored;

	c->restored = NULL;
	c->restored_last = &c->restored;
	return all;
}

void hvsi_requests_do_restored(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *next;

	for (struct hvsi_stor_request *r = take_restored(c); r; r = next) {
		struct hvs_extents *buffer = r->buffer;

		next = r->next;
		r->state = HVSI_REQ_RUNNING;
		r->buffer = NULL;
		hvsi_stor_execute(r, buffer);
		hvs_extents_free(buffer);
	}
}

void hvsi_requests_drop_kept(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *unsent = c->unsent;
	struct hvsi_stor_request *next;

	for (struct hvsi_stor_request *r = take_restored(c); r; r = next) {
		next = r->next;
		hvs_extents_free(r->buffer);
		if (r->holds)
			end_exclusive(r);
		put(r);
	}
	c->unsent = NULL;
	c->unsent_last = &c->unsent;
	for (struct hvsi_stor_request *r = unsent; r; r = next) {
		next = r->next;
		put(r);
	}
}
