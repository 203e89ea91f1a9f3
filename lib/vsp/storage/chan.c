/* SPDX-License-Identifier: MIT */
/*
 * A storage channel: VSTOR packets in, negotiation, completions out.
 *
 * A request is in exactly one place: free, with its back end, in `done` (back end has finished,
 * any thread put it there), or in `unsent` (its completion waits for room in the ring).
 */
#include "vsp/storage/storvsp.h"

#include "util/alloc.h"
#include "util/atomic.h"
#include "util/list.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define MAX_IN_FLIGHT 1024u /* per channel */
#define SLAB_REQUESTS 32u
#define PACKET_MIN 12u

enum negotiation { WANT_BEGIN, WANT_VERSION, WANT_PROPERTIES, WANT_END, READY };

struct slab {
	struct slab *next;
	struct hvsi_stor_request request[SLAB_REQUESTS];
};

struct hvsi_stor_chan {
	struct hvs_storvsp *ctl;
	struct hvs_channel *ch;
	bool primary;
	enum negotiation state; /* of a primary channel */
	uint16_t subchannels;   /* that the guest asked for */
	uint16_t version;
	bool closing;

	struct slab *slabs;
	struct hvsi_stor_request *free;
	unsigned in_flight;
	_Atomic(struct hvsi_stor_request *) done;
	struct hvsi_gate completing; /* threads inside hvs_blk_complete() */
	struct hvsi_stor_request *unsent;
	struct hvsi_stor_request **unsent_last;
	uint64_t touched; /* LUNs with submitted requests in this batch: commit them */
};

/* ---- requests --------------------------------------------------------------------------------- */

static int add_slab(struct hvsi_stor_chan *c)
{
	struct slab *s = hvsi_alloc(hvs_vmbus_allocator(c->ctl->bus), sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->next = c->slabs;
	c->slabs = s;
	for (unsigned i = 0; i < SLAB_REQUESTS; i++) {
		s->request[i].chan = c;
		s->request[i].next = c->free;
		c->free = &s->request[i];
	}
	return 0;
}

static struct hvsi_stor_request *request_get(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *r = c->free;

	c->free = r->next;
	c->in_flight++;
	return r;
}

static void request_put(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;

	r->next = c->free;
	c->free = r;
	c->in_flight--;
}

void hvsi_storvsp_blk_done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct hvsi_stor_request *r = hvsi_container_of(req, struct hvsi_stor_request, blk);
	struct hvsi_stor_chan *c = r->chan;

	hvsi_gate_enter(&c->completing);
	r->blk_status = status;
	r->next = atomic_load_explicit(&c->done, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&c->done, &r->next, r, memory_order_release,
						      memory_order_relaxed))
		;
	hvs_channel_kick(c->ch);
	hvsi_gate_leave(&c->completing);
}

/* ---- completions ------------------------------------------------------------------------------ */

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

static void fill_completion(struct hvsi_stor_request *r)
{
	const struct hvsi_scsi_result *res = &r->result;
	struct hvsi_vmscsi *srb = &r->reply.u.srb;

	r->reply = (struct hvsi_vstor_packet){.operation = hvsi_le32(HVSI_VSTOR_COMPLETE_IO),
					      .status = hvsi_le32(nt_status(res->srb_status))};
	srb->length = hvsi_le16(sizeof(*srb));
	srb->srb_status =
		(uint8_t)(res->srb_status | (res->sense_len ? HVSI_SRB_AUTOSENSE_VALID : 0));
	srb->scsi_status = res->scsi_status;
	srb->cdb_len = HVSI_CDB_BYTES;
	srb->sense_len = res->sense_len;
	srb->transfer_len = hvsi_le32(res->transferred);
	memcpy(srb->cdb_or_sense, res->sense, sizeof(res->sense));
}

/* False: no room in the ring; the request stays. */
static bool send_reply(struct hvsi_stor_request *r)
{
	struct iovec iov = {.iov_base = &r->reply, .iov_len = r->reply_len};

	/* A channel that is faulted or closing gets no answers. */
	if (r->wants_completion && hvs_channel_complete(r->chan->ch, r->xid, &iov, 1) == -EAGAIN)
		return false;
	request_put(r);
	return true;
}

/* r->reply is made: send it, in order behind those that wait. */
static void reply(struct hvsi_stor_request *r)
{
	struct hvsi_stor_chan *c = r->chan;

	if (!c->unsent && send_reply(r))
		return;
	r->next = NULL;
	*c->unsent_last = r;
	c->unsent_last = &r->next;
}

static void finish_srb(struct hvsi_stor_request *r)
{
	hvs_map_put(r->map);
	r->map = NULL;
	fill_completion(r);
	reply(r);
}

static void send_unsent(struct hvsi_stor_chan *c)
{
	while (c->unsent) {
		struct hvsi_stor_request *r = c->unsent;
		struct hvsi_stor_request *next = r->next;

		if (!send_reply(r))
			return;
		c->unsent = next;
		if (!next)
			c->unsent_last = &c->unsent;
	}
}

static void touch(struct hvsi_stor_chan *c, const struct hvsi_disk *disk)
{
	c->touched |= 1ull << (disk - c->ctl->disk);
}

static void take_done(struct hvsi_stor_chan *c)
{
	struct hvsi_stor_request *r =
		atomic_exchange_explicit(&c->done, NULL, memory_order_acquire);

	while (r) {
		struct hvsi_stor_request *next = r->next;

		if (hvsi_scsi_io_done(r) == HVSI_SCSI_PENDING)
			touch(c, r->disk);
		else
			finish_srb(r);
		r = next;
	}
}

static void commit_touched(struct hvsi_stor_chan *c)
{
	while (c->touched) {
		struct hvsi_disk *disk = &c->ctl->disk[__builtin_ctzll(c->touched)];

		c->touched &= c->touched - 1;
		if (disk->ops.commit)
			disk->ops.commit(disk->priv, 0);
	}
}

/* ---- packets ---------------------------------------------------------------------------------- */

static bool version_known(uint16_t version)
{
	switch (version) {
	case HVSI_VSTOR_VERSION_WIN6:
	case HVSI_VSTOR_VERSION_WIN7:
	case HVSI_VSTOR_VERSION_WIN8:
	case HVSI_VSTOR_VERSION_BLUE:
		return true;
	default:
		return false;
	}
}

static uint32_t query_version(struct hvsi_stor_chan *c, struct hvsi_vstor_packet *p)
{
	uint16_t version = hvsi_get16(p->u.version.version);
	struct hvsi_vstor_version echo = {.version = p->u.version.version};

	memset(&p->u, 0, sizeof(p->u));
	p->u.version = echo;
	if (!version_known(version))
		return HVSI_NT_REVISION_MISMATCH;
	c->version = version;
	c->state = WANT_PROPERTIES;
	return HVSI_NT_SUCCESS;
}

/* As many as the guest is told of. */
static uint16_t max_subchannels(const struct hvsi_stor_chan *c)
{
	return c->version >= HVSI_VSTOR_VERSION_WIN8 ? c->ctl->max_subchannels : 0;
}

static uint32_t query_properties(struct hvsi_stor_chan *c, struct hvsi_vstor_packet *p)
{
	memset(&p->u, 0, sizeof(p->u));
	p->u.properties.flags = hvsi_le32(c->version >= HVSI_VSTOR_VERSION_WIN8);
	p->u.properties.max_subchannels = hvsi_le16(max_subchannels(c));
	p->u.properties.max_transfer_bytes = hvsi_le32(c->ctl->max_transfer_bytes);
	c->state = WANT_END;
	return HVSI_NT_SUCCESS;
}

/* Not before the negotiation has ended: a driver may use them as soon as they are offered. */
static void offer_subchannels(struct hvsi_stor_chan *c)
{
	if (c->state == READY && c->subchannels)
		(void)!hvs_channel_offer_subchannels(c->ch, c->subchannels);
}

static uint32_t create_subchannels(struct hvsi_stor_chan *c, const struct hvsi_vstor_packet *p)
{
	uint16_t count = hvsi_get16(p->u.subchannel_count);

	if (c->state < WANT_END)
		return HVSI_NT_INVALID_DEVICE_STATE;
	if (count > max_subchannels(c))
		return HVSI_NT_INVALID_PARAMETER;
	c->subchannels = count;
	offer_subchannels(c);
	return HVSI_NT_SUCCESS;
}

static bool ready(const struct hvsi_stor_chan *c)
{
	return c->primary ? c->state == READY : c->ctl->ready;
}

/* Everything but SRBs; p becomes the answer. Returns its status. */
static uint32_t control(struct hvsi_stor_chan *c, struct hvsi_vstor_packet *p)
{
	uint32_t operation = hvsi_get32(p->operation);

	if (!c->primary && operation != HVSI_VSTOR_RESET_LUN &&
	    operation != HVSI_VSTOR_RESET_ADAPTER && operation != HVSI_VSTOR_RESET_BUS)
		return HVSI_NT_INVALID_DEVICE_STATE; /* the primary negotiates for all */
	switch (operation) {
	case HVSI_VSTOR_BEGIN_INITIALIZATION:
		if (c->state != WANT_BEGIN)
			return HVSI_NT_INVALID_DEVICE_STATE;
		c->state = WANT_VERSION;
		return HVSI_NT_SUCCESS;
	case HVSI_VSTOR_QUERY_PROTOCOL_VERSION:
		if (c->state != WANT_VERSION)
			return HVSI_NT_INVALID_DEVICE_STATE;
		return query_version(c, p);
	case HVSI_VSTOR_QUERY_PROPERTIES:
		if (c->state != WANT_PROPERTIES)
			return HVSI_NT_INVALID_DEVICE_STATE;
		return query_properties(c, p);
	case HVSI_VSTOR_CREATE_SUB_CHANNELS:
		return create_subchannels(c, p);
	case HVSI_VSTOR_END_INITIALIZATION:
		if (c->state != WANT_END)
			return HVSI_NT_INVALID_DEVICE_STATE;
		c->state = READY;
		c->ctl->ready = true;
		offer_subchannels(c);
		return HVSI_NT_SUCCESS;
	case HVSI_VSTOR_EXECUTE_SRB: /* before the end of the negotiation */
	case HVSI_VSTOR_RESET_LUN:
	case HVSI_VSTOR_RESET_ADAPTER:
	case HVSI_VSTOR_RESET_BUS:
		/* The guest then waits for what is in flight, which ends as it always does. */
		return ready(c) ? HVSI_NT_SUCCESS : HVSI_NT_INVALID_DEVICE_STATE;
	default:
		return HVSI_NT_INVALID_DEVICE_REQUEST;
	}
}

/* May one more packet be taken? */
static bool can_take(struct hvsi_stor_chan *c)
{
	return !c->unsent && c->in_flight < MAX_IN_FLIGHT && (c->free || add_slab(c) == 0);
}

/* There is a free request: can_take() saw to it. */
static void handle(struct hvsi_stor_chan *c, const struct hvs_packet *pkt)
{
	uint32_t len = pkt->len < sizeof(struct hvsi_vstor_packet)
			       ? pkt->len
			       : (uint32_t)sizeof(struct hvsi_vstor_packet);
	struct hvsi_stor_request *r;
	struct hvsi_vstor_packet p = {0};

	if (pkt->type == HVS_PACKET_COMPLETION)
		return; /* some firmware answers our notifications */
	if (len < PACKET_MIN) {
		hvs_channel_fault(c->ch, "VSTOR packet too short");
		return;
	}
	memcpy(&p, pkt->data, len);
	r = request_get(c);
	r->xid = pkt->xid;
	r->wants_completion = pkt->wants_completion;
	r->reply_len = len;
	r->transferred = 0;
	if (hvsi_get32(p.operation) != HVSI_VSTOR_EXECUTE_SRB || !ready(c)) {
		p.status = hvsi_le32(control(c, &p));
		p.operation = hvsi_le32(HVSI_VSTOR_COMPLETE_IO);
		p.flags = hvsi_le32(0);
		r->reply = p;
		reply(r);
	} else if (hvsi_scsi_execute(c->ctl, r, &p.u.srb, pkt->extents) == HVSI_SCSI_PENDING) {
		touch(c, r->disk);
	} else {
		finish_srb(r);
	}
}

/* ---- channel callbacks ------------------------------------------------------------------------ */

static void chan_free(struct hvsi_stor_chan *c)
{
	const struct hvs_allocator *a = hvs_vmbus_allocator(c->ctl->bus);

	while (c->slabs) {
		struct slab *s = c->slabs;

		c->slabs = s->next;
		hvsi_free(a, s, sizeof(*s));
	}
	hvsi_free(a, c, sizeof(*c));
}

static int chan_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     void **ctx)
{
	struct hvs_storvsp *ctl = dev;
	struct hvsi_stor_chan *c = hvsi_alloc(hvs_vmbus_allocator(ctl->bus), sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->ctl = ctl;
	c->ch = ch;
	c->primary = params->subchannel == 0;
	c->unsent_last = &c->unsent;
	/* With a first one there is always a request that is free or will be. */
	if (add_slab(c) < 0) {
		chan_free(c);
		return -ENOMEM;
	}
	*ctx = c;
	return 0;
}

/* Back ends give everything back before the channel is let go. */
static void closed_if_idle(struct hvsi_stor_chan *c)
{
	struct hvs_channel *ch = c->ch;

	if (!c->closing || c->in_flight)
		return;
	/* Who completed the last one may still have to kick. */
	hvsi_gate_drain(&c->completing);
	chan_free(c);
	hvs_channel_closed(ch);
}

static bool chan_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct hvsi_stor_chan *c = ctx;
	const struct hvs_packet *pkt;
	unsigned taken = 0;

	take_done(c);
	send_unsent(c);
	while (taken < budget && can_take(c) && hvs_channel_recv(ch, &pkt) == 1) {
		handle(c, pkt);
		taken++;
	}
	commit_touched(c);
	take_done(c); /* back ends that finish at once */
	commit_touched(c);
	closed_if_idle(c);
	return taken == budget;
}

static void chan_close(struct hvs_channel *ch, void *ctx)
{
	struct hvsi_stor_chan *c = ctx;

	(void)ch;
	c->closing = true;
	if (c->primary)
		c->ctl->ready = false;
	take_done(c);
	send_unsent(c);
	commit_touched(c);
	closed_if_idle(c);
}

static void chan_destroy(void *dev)
{
	struct hvs_storvsp *ctl = dev;

	hvsi_free(hvs_vmbus_allocator(ctl->bus), ctl, sizeof(*ctl));
}

const struct hvs_vsp_ops hvsi_storvsp_chan_ops = {
	HVS_VSP_OPS_INIT,    .open = chan_open,       .ready = chan_ready,
	.close = chan_close, .destroy = chan_destroy,
};
