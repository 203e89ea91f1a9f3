/* SPDX-License-Identifier: MIT */
/* The channel of a service, from open to closed: versions, one message at a time, time limits. */
#include "ic/service.h"

#include "util/alloc.h"
#include "util/probe.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define NS_PER_MS 1000000ull

/* ---- the end of requests -------------------------------------------------------------------- */

static void forget(struct hvs_ic *ic, struct hvsi_ic_request *r)
{
	if (r == ic->sent)
		ic->sent = NULL;
	else
		hvsi_list_remove(&r->node);
	ic->waiting_count--;
}

/* Without an answer. */
static void end(struct hvs_ic *ic, struct hvsi_ic_request *r, int status)
{
	forget(ic, r);
	(void)r->ops->end(ic, r, status, 0, NULL, 0);
	hvsi_ic_request_free(ic, r);
}

static struct hvsi_ic_request *first_waiting(const struct hvs_ic *ic)
{
	return hvsi_list_empty(&ic->waiting)
		       ? NULL
		       : hvsi_container_of(ic->waiting.next, struct hvsi_ic_request, node);
}

static void end_all(struct hvs_ic *ic, int status)
{
	struct hvsi_ic_request *r;

	while ((r = ic->sent ? ic->sent : first_waiting(ic)) != NULL)
		end(ic, r, status);
}

/* Nothing can be asked any more. */
static void stop(struct hvs_ic *ic, enum hvsi_ic_phase phase, int status)
{
	const bool was_ready = ic->phase == HVSI_IC_READY;

	ic->phase = phase;
	ic->timer_due_ns = UINT64_MAX;
	ic->framework = 0;
	ic->version = 0;
	if (was_ready && ic->class->gone)
		ic->class->gone(ic);
	end_all(ic, status);
}

static bool overdue(const struct hvsi_ic_request *r, uint64_t now)
{
	return r->cancelled || r->deadline_ns <= now;
}

static void expire(struct hvs_ic *ic, struct hvsi_ic_request *r)
{
	if (!r->cancelled) {
		ic->timeouts++;
		ic->unanswered &= r != ic->sent || !r->droppable;
		/* One that waits says nothing while the guest is in time with another. */
		ic->late |= ic->unanswered && (r == ic->sent || !ic->sent);
	}
	end(ic, r, r->cancelled ? -ECANCELED : -ETIMEDOUT);
}

/* A done function may have changed the list: begin anew after each. */
static struct hvsi_ic_request *first_overdue(const struct hvs_ic *ic, uint64_t now)
{
	if (ic->sent && overdue(ic->sent, now))
		return ic->sent;
	for (struct hvsi_list *n = ic->waiting.next; n != &ic->waiting; n = n->next) {
		struct hvsi_ic_request *r = hvsi_container_of(n, struct hvsi_ic_request, node);

		if (overdue(r, now))
			return r;
	}
	return NULL;
}

static void expire_overdue(struct hvs_ic *ic)
{
	const uint64_t now = hvsi_ic_now(ic);
	struct hvsi_ic_request *r;

	while ((r = first_overdue(ic, now)) != NULL)
		expire(ic, r);
}

/* ---- requests ------------------------------------------------------------------------------- */

static void insert(struct hvs_ic *ic, struct hvsi_ic_request *r, bool at_the_head)
{
	struct hvsi_list *before = &ic->waiting;

	if (r->urgent || at_the_head)
		for (before = ic->waiting.next; before != &ic->waiting; before = before->next)
			if (!hvsi_container_of(before, struct hvsi_ic_request, node)->urgent)
				break;
	hvsi_list_append(before, &r->node);
	r->deadline_ns = hvsi_ic_now(ic) + r->timeout_ms * NS_PER_MS;
	ic->waiting_count++;
}

int hvsi_ic_submit(struct hvs_ic *ic, struct hvsi_ic_request *r, uint32_t timeout_ms)
{
	int err = 0;

	if (!hvsi_ic_ready(ic) || (ic->leaving && !r->urgent))
		err = -ENOTCONN;
	else if (ic->waiting_count >= HVSI_IC_MAX_WAITING && !r->urgent)
		err = -ENOSPC;
	if (err) {
		hvsi_ic_request_free(ic, r);
		return err;
	}
	r->timeout_ms = timeout_ms;
	insert(ic, r, false);
	hvs_channel_kick(ic->ch);
	return 0;
}

static bool cancel(const struct hvs_ic *ic, struct hvsi_ic_request *r, const void *arg)
{
	if (r->arg != arg || r->own || r->cancelled || (r == ic->sent && r->droppable))
		return false;
	r->cancelled = true;
	return true;
}

unsigned hvs_ic_cancel(struct hvs_ic *ic, const void *arg)
{
	unsigned count = 0;

	if (!ic || !ic->ch)
		return 0;
	if (ic->sent)
		count += cancel(ic, ic->sent, arg);
	for (struct hvsi_list *n = ic->waiting.next; n != &ic->waiting; n = n->next)
		count += cancel(ic, hvsi_container_of(n, struct hvsi_ic_request, node), arg);
	if (ic->class->cancelled)
		ic->class->cancelled(ic, arg);
	if (count)
		hvs_channel_kick(ic->ch);
	return count;
}

/* ---- sending -------------------------------------------------------------------------------- */

static uint8_t *body_of(struct hvs_ic *ic)
{
	return ic->message + sizeof(struct hvsi_ic_header);
}

static int send(struct hvs_ic *ic, uint16_t type, uint32_t body_bytes)
{
	const struct hvsi_ic_header head = {
		.framework = hvsi_ic_version(ic->framework),
		.type = hvsi_le16(type),
		.service = hvsi_ic_version(ic->version),
		.body_bytes = hvsi_le16((uint16_t)body_bytes),
		.transaction = ic->transaction == UINT8_MAX ? 1 : (uint8_t)(ic->transaction + 1),
		.flags = HVSI_IC_TRANSACTION | HVSI_IC_REQUEST,
	};
	const struct iovec iov = {ic->message, sizeof(head) + body_bytes};
	int err;

	memcpy(ic->message, &head, sizeof(head));
	err = hvs_channel_send(ic->ch, 0, false, &iov, 1);
	if (err)
		return err;
	ic->transaction = head.transaction;
	ic->unanswered = true;
	HVSI_PROBE4(ic_request, ic->class->kind, type, head.transaction, body_of(ic)[0]);
	return 0;
}

static int send_versions(struct hvs_ic *ic)
{
	const uint32_t len = hvsi_ic_negotiation_build(ic->class, ic->cfg.max_version, body_of(ic));
	int err = send(ic, HVSI_IC_NEGOTIATE, len);

	if (!err)
		ic->phase = HVSI_IC_WAIT_VERSIONS;
	return err;
}

static int send_request(struct hvs_ic *ic, struct hvsi_ic_request *r)
{
	uint32_t len;
	int err;

	memset(ic->message, 0, ic->message_bytes);
	len = r->ops->build(ic, r, body_of(ic));
	if (!len) {
		end(ic, r, -ENODATA);
		return 0;
	}
	err = send(ic, (uint16_t)ic->class->kind, len);
	if (err == -EMSGSIZE) { /* the guest's ring is smaller than any driver's */
		hvsi_ic_malformed(ic);
		end(ic, r, -EPROTO);
		return 0;
	}
	if (!err) {
		hvsi_list_remove(&r->node);
		ic->sent = r;
		ic->requests++;
	}
	return err;
}

static void arm(struct hvs_ic *ic)
{
	uint64_t due = ic->timer_due_ns;
	uint64_t now;

	if (ic->sent && ic->sent->deadline_ns < due)
		due = ic->sent->deadline_ns;
	for (struct hvsi_list *n = ic->waiting.next; n != &ic->waiting; n = n->next) {
		const struct hvsi_ic_request *r =
			hvsi_container_of(n, struct hvsi_ic_request, node);

		if (r->deadline_ns < due)
			due = r->deadline_ns;
	}
	if (due == ic->armed_ns || due == UINT64_MAX)
		return;
	ic->armed_ns = due;
	now = hvsi_ic_now(ic);
	hvs_channel_set_timer(ic->ch, due > now ? due - now : 0);
}

static void fail(struct hvs_ic *ic)
{
	hvsi_ic_malformed(ic);
	ic->unanswered = false; /* that was the answer: after a restore there is a new beginning */
	stop(ic, HVSI_IC_FAILED, -EPROTO);
}

static void send_next(struct hvs_ic *ic)
{
	struct hvsi_ic_request *r;
	int err = 0;

	if (ic->phase == HVSI_IC_NEGOTIATION && !ic->unanswered)
		err = send_versions(ic);
	/* More than one only if the first can't be sent. */
	for (unsigned i = 0; i < HVSI_IC_MAX_WAITING && !err && !ic->unanswered; i++) {
		r = ic->phase == HVSI_IC_READY ? first_waiting(ic) : NULL;
		if (!r)
			break;
		err = send_request(ic, r);
	}
	if (err == -EPROTO)
		fail(ic);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void take_versions(struct hvs_ic *ic, const struct hvsi_ic_header *head, const uint8_t *body,
			  uint32_t len)
{
	uint32_t framework;
	uint32_t version;

	ic->unanswered = false;
	if (hvsi_get32(head->status) ||
	    !hvsi_ic_negotiation_parse(ic->class, ic->cfg.max_version, body, len, &framework,
				       &version)) {
		ic->phase = HVSI_IC_MISMATCH;
		return;
	}
	ic->framework = framework;
	ic->version = version;
	ic->phase = HVSI_IC_READY;
	ic->was_ready = true;
	ic->resets = hvs_vmbus_reset_count(ic->bus);
	if (ic->class->ready)
		ic->class->ready(ic);
}

static void take_answer(struct hvs_ic *ic, const struct hvsi_ic_header *head, const uint8_t *body,
			uint32_t len)
{
	const uint32_t guest_status = hvsi_get32(head->status);
	struct hvsi_ic_request *r = ic->sent;

	if (ic->late)
		hvsi_ic_malformed(ic);
	ic->unanswered = false;
	ic->late = false;
	if (!r)
		return; /* nobody waits for it any more */
	if (r->cancelled) {
		end(ic, r, -ECANCELED);
		return;
	}
	/* Each look at a pool of pairs ends with the latter. */
	ic->failures += guest_status != HVS_IC_S_OK && guest_status != HVS_IC_E_NO_MORE_ITEMS;
	forget(ic, r);
	if (r->ops->end(ic, r, guest_status ? -EREMOTEIO : 0, guest_status, body, len))
		insert(ic, r, true);
	else
		hvsi_ic_request_free(ic, r);
}

static void take(struct hvs_ic *ic, const struct hvs_packet *pkt)
{
	const uint8_t want = HVSI_IC_TRANSACTION | HVSI_IC_RESPONSE;
	struct hvsi_ic_header head;
	const uint8_t *body;
	uint32_t len;

	if (ic->phase == HVSI_IC_FAILED)
		return;
	if (pkt->type != HVS_PACKET_INBAND || pkt->len < sizeof(head)) {
		fail(ic);
		return;
	}
	memcpy(&head, pkt->data, sizeof(head));
	if ((head.flags & want) != want) {
		fail(ic);
		return;
	}
	HVSI_PROBE4(ic_answer, ic->class->kind, hvsi_get16(head.type), head.transaction,
		    hvsi_get32(head.status));
	body = (const uint8_t *)pkt->data + sizeof(head);
	/* OpenBSD's is larger than what is there. */
	len = pkt->len - (uint32_t)sizeof(head);
	if (len > hvsi_get16(head.body_bytes))
		len = hvsi_get16(head.body_bytes);

	if (ic->unanswered && hvsi_get16(head.type) == HVSI_IC_NEGOTIATE &&
	    ic->phase == HVSI_IC_WAIT_VERSIONS)
		take_versions(ic, &head, body, len);
	else if (ic->unanswered && hvsi_get16(head.type) == ic->class->kind &&
		 ic->phase != HVSI_IC_WAIT_VERSIONS &&
		 (!head.transaction || head.transaction == ic->transaction))
		take_answer(ic, &head, body, len);
	else
		hvsi_ic_malformed(ic); /* an answer to what nobody asked, or asked long ago */
}

/* ---- callbacks of the channel --------------------------------------------------------------- */

static void begin(struct hvs_ic *ic, struct hvs_channel *ch, const struct hvs_open_params *params)
{
	ic->ch = ch;
	ic->phase = HVSI_IC_NEGOTIATION;
	ic->unanswered = false;
	ic->late = false;
	ic->timer_due_ns = UINT64_MAX;
	ic->armed_ns = UINT64_MAX;
	ic->send_ring_bytes = params->send_ring_bytes;
}

static int on_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		   void **ctx)
{
	struct hvs_ic *ic = dev;

	if (ic->leaving)
		return -ENODEV;
	begin(ic, ch, params);
	*ctx = ic;
	hvsi_ic_report(ic);
	return 0;
}

static bool on_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	const struct hvs_packet *pkt;
	struct hvs_ic *ic = ctx;
	int got = 1;

	while (budget && (got = hvs_channel_recv(ch, &pkt)) == 1) {
		take(ic, pkt);
		budget--;
	}
	if (got == -EPROTO)
		fail(ic);
	expire_overdue(ic);
	send_next(ic);
	arm(ic);
	hvsi_ic_report(ic);
	return got == 1;
}

static void on_timer(struct hvs_channel *ch, void *ctx)
{
	struct hvs_ic *ic = ctx;

	(void)ch;
	ic->armed_ns = UINT64_MAX;
	if (ic->timer_due_ns > hvsi_ic_now(ic))
		return;
	ic->timer_due_ns = UINT64_MAX;
	ic->class->timer(ic);
}

static void on_close(struct hvs_channel *ch, void *ctx)
{
	struct hvs_ic *ic = ctx;

	stop(ic, HVSI_IC_CLOSED, -ENOTCONN);
	ic->ch = NULL;
	hvs_channel_closed(ch);
	hvsi_ic_report(ic);
	if (ic->leaving)
		(void)hvsi_ic_leave(ic);
}

static void on_destroy(void *dev)
{
	struct hvs_ic *ic = dev;
	const struct hvs_allocator *a = hvsi_ic_allocator(ic);

	hvsi_free(a, ic->message, ic->message_bytes);
	hvsi_free(a, ic, sizeof(*ic) + ic->class->state_bytes);
}

/* ---- saved state ---------------------------------------------------------------------------- */

/*
 * Requests are not saved, as nobody will wait for them, but that one is unanswered is. Versions are
 * agreed upon anew, so that the guest's clock is set among other things.
 */
struct saved {
	struct hvs_le32 flags;
	struct hvs_le32 transaction;
	struct hvs_le32 service;
};

enum {
	SAVED_UNANSWERED = 0x1,
	SAVED_WAIT_VERSIONS = 0x2, /* what is unanswered are the versions */
	SAVED_WAS_READY = 0x4,
};

static int on_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w)
{
	const struct hvs_ic *ic = ctx;
	const bool unanswered = ic->unanswered && !(ic->sent && ic->sent->droppable);
	const struct saved saved = {
		.flags = hvsi_le32((unanswered ? SAVED_UNANSWERED : 0) |
				   (ic->phase == HVSI_IC_WAIT_VERSIONS ? SAVED_WAIT_VERSIONS : 0) |
				   (hvsi_ic_was_ready(ic) ? SAVED_WAS_READY : 0)),
		.transaction = hvsi_le32(ic->transaction),
		.service = hvsi_le32(ic->class->save ? ic->class->save(ic) : 0),
	};

	(void)ch;
	return hvs_state_put(w, &saved, sizeof(saved));
}

static int on_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		      struct hvs_state_reader *r, void **ctx)
{
	struct hvs_ic *ic = dev;
	struct saved saved;
	uint32_t flags;
	uint32_t service;
	int err = hvs_state_get(r, &saved, sizeof(saved));

	if (err)
		return err;
	flags = hvsi_get32(saved.flags);
	service = hvsi_get32(saved.service);
	if (flags & ~(uint32_t)(SAVED_UNANSWERED | SAVED_WAIT_VERSIONS | SAVED_WAS_READY) ||
	    (flags & SAVED_WAIT_VERSIONS && !(flags & SAVED_UNANSWERED)) ||
	    hvsi_get32(saved.transaction) > UINT8_MAX)
		return -EBADMSG;
	if (ic->class->restore ? !ic->class->restore(ic, service) : service)
		return -EBADMSG;
	begin(ic, ch, params);
	ic->unanswered = flags & SAVED_UNANSWERED;
	if (flags & SAVED_WAIT_VERSIONS)
		ic->phase = HVSI_IC_WAIT_VERSIONS;
	ic->was_ready = flags & SAVED_WAS_READY;
	ic->resets = hvs_vmbus_reset_count(ic->bus);
	ic->transaction = (uint8_t)hvsi_get32(saved.transaction);
	*ctx = ic;
	return 0;
}

const struct hvs_vsp_ops hvsi_ic_channel_ops = {
	HVS_VSP_OPS_INIT,      .open = on_open, .ready = on_ready,     .close = on_close,
	.destroy = on_destroy, .save = on_save, .restore = on_restore, .timer = on_timer,
};
