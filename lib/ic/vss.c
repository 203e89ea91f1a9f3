/* SPDX-License-Identifier: MIT */
/*
 * Volume shadow copy requestor. All that matters is that no guest stays frozen:
 *
 *                 freeze()                answered 0
 *        IDLE ---------------> FREEZING ---------------> FROZEN
 *         ^ ^                   |    | failed, too late,   | thaw(), hold time over,
 *         | |   never sent      |    | cancelled, thaw()   | cancelled, to be destroyed
 *         | +-------------------+    v                     |
 *         |        answered 0     THAWING <----------------+---- restored from a saved state
 *         +---------------------- ^  |
 *         |                thaw() |  | three tries have failed
 *         |        answered 0     |  v
 *         +---------------------- UNKNOWN: MAY_BE_FROZEN was said
 *
 *   - The guest gets no message before it has answered the last. So a thaw waits behind a freeze
 *     that is not answered; its tries pass meanwhile. When they are over in this way, one thaw stays
 *     in the queue without a limit, in state UNKNOWN too: whenever the late answer comes, it follows.
 *   - A freeze that the guest itself says has failed is thawed as well, but if it answers this with
 *     an error it is believed: that is how guests answer without a daemon.
 *   - When the channel is closed, or the machine reset, the guest has thawed itself, or is gone:
 *     IDLE. When the guest breaks the protocol while frozen nothing more can be sent: UNKNOWN.
 *
 * The one thaw request is part of the service's state, so that it needs no memory.
 */
#include "ic/vss.h"
#include "ic/service.h"

#include "util/alloc.h"
#include "util/probe.h"
#include "util/sized.h"

#include <errno.h>

#define NS_PER_MS 1000000ull
#define CHECK_MS 35000u /* a little more than Linux gives its daemon */
#define FREEZE_MS 60000u
#define FREEZE_MAX_MS 960000u /* a little more than Linux has */
#define THAW_MS 35000u
#define COMPLETE_MS 5000u
#define LEAVE_MS 5000u
#define TRIES 3u
#define VERSION_5 HVSI_IC_VERSION(5, 0)

/* Somebody who wants to know how a thaw ends. */
struct thawer {
	struct hvsi_list node;
	hvs_ic_done_fn done;
	void *arg;
};

struct vss {
	enum hvs_vss_state state;
	struct hvsi_ic_request thaw;
	bool thaw_queued;               /* the framework has it */
	bool believe;                   /* the guest says that the freeze has failed */
	bool late;                      /* it is the library that thaws */
	bool restored;                  /* from a state that was not idle */
	const void *requester;          /* arg of the freeze */
	struct hvsi_ic_request *freeze; /* that has not ended; NULL: none */
	uint32_t hold_ms;
	uint32_t try_ms;
	uint32_t tries; /* of the thaw, that have failed */
	struct hvsi_list thawers;
};

static struct vss *vss_of(const struct hvs_ic *ic)
{
	return hvsi_ic_state(ic);
}

/* ---- thaw ------------------------------------------------------------------------------------ */

static void tell_thawers(struct hvs_ic *ic, int status, uint32_t guest_status)
{
	struct vss *v = vss_of(ic);
	struct thawer *t;
	/* Those who come meanwhile belong to another thaw. */
	struct hvsi_list told;

	if (!v->thawers.next || hvsi_list_empty(&v->thawers))
		return;
	told = v->thawers;
	told.next->prev = &told;
	told.prev->next = &told;
	hvsi_list_init(&v->thawers);
	while (!hvsi_list_empty(&told)) {
		t = hvsi_container_of(told.next, struct thawer, node);
		hvsi_list_remove(&t->node);
		if (t->done)
			t->done(t->arg, status, guest_status);
		hvsi_free(hvsi_ic_allocator(ic), t, sizeof(*t));
	}
}

static void submit_thaw(struct hvs_ic *ic, uint32_t timeout_ms)
{
	struct vss *v = vss_of(ic);

	/* It is ready, and this is urgent. */
	v->thaw_queued = hvsi_ic_submit(ic, &v->thaw, timeout_ms) == 0;
}

static void begin_thaw(struct hvs_ic *ic, uint32_t try_ms)
{
	struct vss *v = vss_of(ic);

	v->state = HVS_VSS_THAWING;
	v->tries = 0;
	v->try_ms = try_ms;
	if (v->freeze && v->freeze != ic->sent)
		v->freeze->cancelled = true; /* it would come after the thaw */
	hvsi_ic_set_timer(ic, ic->leaving ? hvsi_ic_now(ic) + LEAVE_MS * NS_PER_MS : UINT64_MAX);
	if (!v->thaw_queued) {
		submit_thaw(ic, try_ms);
		return;
	}
	v->thaw.deadline_ns = hvsi_ic_now(ic) + try_ms * NS_PER_MS;
	hvs_channel_kick(ic->ch);
}

static void thawed(struct hvs_ic *ic)
{
	struct vss *v = vss_of(ic);
	const bool late = v->late;

	v->state = HVS_VSS_IDLE;
	v->late = false;
	HVSI_PROBE2(guest_thawed, ic->bus, late);
	tell_thawers(ic, 0, HVS_IC_S_OK);
	if (late)
		hvsi_ic_event(ic, HVS_IC_EVENT_THAWED_LATE);
	if (ic->leaving)
		(void)hvsi_ic_leave(ic);
}

/* No more tries. */
static void give_up(struct hvs_ic *ic, int status, uint32_t guest_status)
{
	struct vss *v = vss_of(ic);
	const bool alarm = status != -EREMOTEIO || !v->believe;

	v->state = alarm ? HVS_VSS_UNKNOWN : HVS_VSS_IDLE;
	v->late = alarm; /* if it thaws yet */
	tell_thawers(ic, status, guest_status);
	if (alarm)
		hvsi_ic_event(ic, HVS_IC_EVENT_MAY_BE_FROZEN);
	if (ic->leaving)
		(void)hvsi_ic_leave(ic);
}

static uint32_t build_thaw(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	/* From now on it has its time, however long it has waited. */
	r->deadline_ns = hvsi_ic_now(ic) + vss_of(ic)->try_ms * NS_PER_MS;
	body[0] = HVSI_VSS_THAW;
	return sizeof(struct hvsi_vss_flags);
}

static bool end_thaw(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
		     uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	struct vss *v = vss_of(ic);

	(void)r;
	(void)body;
	(void)len;
	v->thaw_queued = false;
	if (!hvsi_ic_ready(ic))
		return false; /* gone() has seen to it */
	if (status == 0) {
		thawed(ic);
		return false;
	}
	v->tries += v->state == HVS_VSS_THAWING;
	if (v->tries < TRIES) {
		submit_thaw(ic, v->try_ms);
		return false;
	}
	if (status == -ETIMEDOUT)
		submit_thaw(ic, UINT32_MAX);
	if (v->state == HVS_VSS_THAWING)
		give_up(ic, status, guest_status);
	return false;
}

static void prepare_thaw(struct vss *v)
{
	static const struct hvsi_ic_request_ops ops = {.build = build_thaw, .end = end_thaw};

	if (!v->thawers.next)
		hvsi_list_init(&v->thawers);
	v->thaw.ops = &ops;
	v->thaw.own = true;
	v->thaw.urgent = true;
	hvsi_list_init(&v->thaw.node);
}

int hvs_vss_thaw(struct hvs_ic *ic, uint32_t timeout_ms, hvs_ic_done_fn done, void *arg)
{
	const enum hvs_vss_state state = hvs_vss_get_state(ic);
	struct thawer *t;
	struct vss *v;

	if (!hvsi_ic_is(ic, HVS_IC_VSS))
		return -EINVAL;
	if (!hvsi_ic_ready(ic) || ic->leaving)
		return -ENOTCONN;
	if (state == HVS_VSS_IDLE)
		return -EALREADY;
	t = hvsi_alloc(hvsi_ic_allocator(ic), sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->done = done;
	t->arg = arg;
	v = vss_of(ic);
	hvsi_list_append(&v->thawers, &t->node);
	if (state == HVS_VSS_UNKNOWN)
		v->late = false;
	if (state != HVS_VSS_THAWING)
		begin_thaw(ic, timeout_ms ? timeout_ms : THAW_MS);
	return 0;
}

/* ---- freeze ---------------------------------------------------------------------------------- */

struct freeze {
	struct hvsi_ic_request r;
	hvs_ic_done_fn done;
	void *arg;
	bool sent;
	struct hvsi_vss_luns m;
};

static struct freeze *freeze_of(struct hvsi_ic_request *r)
{
	return hvsi_container_of(r, struct freeze, r);
}

static uint32_t build_freeze(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	struct freeze *f = freeze_of(r);

	(void)ic;
	f->sent = true;
	memcpy(body, &f->m, sizeof(f->m));
	return sizeof(f->m);
}

static void freeze_failed(struct hvs_ic *ic, const struct freeze *f, int status)
{
	struct vss *v = vss_of(ic);

	if (v->state == HVS_VSS_THAWING) {
		v->believe = status == -EREMOTEIO;
	} else if (f->sent && status != -EPROTO) {
		v->believe = status == -EREMOTEIO;
		begin_thaw(ic, THAW_MS);
	} else {
		v->state = HVS_VSS_IDLE;
	}
}

static bool end_freeze(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
		       uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	const struct freeze *f = freeze_of(r);
	struct vss *v = vss_of(ic);

	(void)body;
	(void)len;
	v->freeze = NULL;
	if (hvsi_ic_ready(ic)) {
		if (status) {
			freeze_failed(ic, f, status);
		} else if (v->state == HVS_VSS_FREEZING) {
			v->state = HVS_VSS_FROZEN;
			HVSI_PROBE2(guest_frozen, ic->bus, v->hold_ms);
			hvsi_ic_set_timer(ic, hvsi_ic_now(ic) + v->hold_ms * NS_PER_MS);
		} else {
			status = -ECANCELED; /* the thaw is next */
		}
	}
	if (f->done)
		f->done(f->arg, status, guest_status);
	return false;
}

static struct hvsi_vss_lun lun_of(const struct hvs_vss_lun *l)
{
	return (struct hvsi_vss_lun){.bus_type = HVSI_VSS_BUS_SCSI,
				     .controller = l->controller,
				     .port = l->port,
				     .target = l->target,
				     .lun = l->lun};
}

static bool luns_ok(const struct hvs_vss_lun *luns, uint32_t count)
{
	if (count > HVS_VSS_MAX_LUNS || (count && !luns))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (luns[i].reserved)
			return false;
	return true;
}

static void write_luns(struct hvsi_vss_luns *to, enum hvsi_vss_op op,
		       const struct hvs_vss_lun *luns, uint32_t count)
{
	to->head.op = (uint8_t)op;
	to->lun_count = hvsi_le32(count);
	for (uint32_t i = 0; i < count; i++)
		to->luns[i] = lun_of(&luns[i]);
}

static int may_begin(const struct hvs_ic *ic, uint32_t version)
{
	if (!hvsi_ic_ready(ic))
		return -ENOTCONN;
	if (ic->version < version)
		return -ENOTSUP;
	return vss_of(ic)->state == HVS_VSS_IDLE ? 0 : -EBUSY;
}

static bool fill_in(struct hvs_vss_freeze_request *q)
{
	if (!q->timeout_ms)
		q->timeout_ms = FREEZE_MS;
	if (!q->hold_ms)
		q->hold_ms = HVS_VSS_HOLD_MS;
	return q->timeout_ms <= FREEZE_MAX_MS && q->hold_ms <= HVS_VSS_HOLD_MS &&
	       luns_ok(q->luns, q->lun_count);
}

int hvs_vss_freeze(struct hvs_ic *ic, const struct hvs_vss_freeze_request *request,
		   hvs_ic_done_fn done, void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build_freeze, .end = end_freeze};
	struct hvs_vss_freeze_request q;
	struct freeze *f;
	struct vss *v;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_VSS))
		return -EINVAL;
	err = HVSI_TAKE(&q, request, luns);
	if (!err)
		err = fill_in(&q) ? may_begin(ic, VERSION_5) : -EINVAL;
	if (err)
		return err;
	f = hvsi_ic_request_new(ic, sizeof(*f), &ops, arg);
	if (!f)
		return -ENOMEM;
	f->done = done;
	f->arg = arg;
	write_luns(&f->m, HVSI_VSS_FREEZE, q.luns, q.lun_count);
	err = hvsi_ic_submit(ic, &f->r, q.timeout_ms);
	if (err)
		return err;
	v = vss_of(ic);
	v->state = HVS_VSS_FREEZING;
	v->believe = false;
	v->late = false;
	v->requester = arg;
	v->freeze = &f->r;
	v->hold_ms = q.hold_ms;
	return 0;
}

/* ---- check, complete, recover ---------------------------------------------------------------- */

struct simple {
	struct hvsi_ic_request r;
	enum hvsi_vss_op op;
	hvs_ic_done_fn done;
	hvs_vss_check_fn check; /* instead of done */
	void *arg;
};

static struct simple *simple_of(struct hvsi_ic_request *r)
{
	return hvsi_container_of(r, struct simple, r);
}

static uint32_t build_simple(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	(void)ic;
	body[0] = (uint8_t)simple_of(r)->op;
	return sizeof(struct hvsi_vss_flags);
}

static bool end_simple(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
		       uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	const struct simple *s = simple_of(r);
	struct hvsi_vss_flags answer = {0};

	if (s->check && status == 0 && len < sizeof(answer)) {
		hvsi_ic_malformed(ic);
		status = -EPROTO;
	}
	if (s->check && status == 0)
		memcpy(&answer, body, sizeof(answer));
	if (s->check)
		s->check(s->arg, status, guest_status, hvsi_get32(answer.flags));
	else if (s->done)
		s->done(s->arg, status, guest_status);
	return false;
}

static int ask(struct hvs_ic *ic, const struct simple *what, uint32_t timeout_ms)
{
	static const struct hvsi_ic_request_ops ops = {.build = build_simple, .end = end_simple};
	struct simple *s;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_VSS))
		return -EINVAL;
	err = may_begin(ic, 0);
	if (err)
		return err;
	s = hvsi_ic_request_new(ic, sizeof(*s), &ops, what->arg);
	if (!s)
		return -ENOMEM;
	s->op = what->op;
	s->r.droppable = what->op == HVSI_VSS_COMPLETE; /* FreeBSD */
	s->done = what->done;
	s->check = what->check;
	s->arg = what->arg;
	return hvsi_ic_submit(ic, &s->r, timeout_ms);
}

int hvs_vss_check(struct hvs_ic *ic, uint32_t timeout_ms, hvs_vss_check_fn done, void *arg)
{
	const struct simple s = {.op = HVSI_VSS_HOT_BACKUP, .check = done, .arg = arg};

	return done ? ask(ic, &s, timeout_ms ? timeout_ms : CHECK_MS) : -EINVAL;
}

int hvs_vss_complete(struct hvs_ic *ic, uint32_t timeout_ms, hvs_ic_done_fn done, void *arg)
{
	const struct simple s = {.op = HVSI_VSS_COMPLETE, .done = done, .arg = arg};

	return ask(ic, &s, timeout_ms ? timeout_ms : COMPLETE_MS);
}

struct recovery {
	struct hvsi_ic_request r;
	hvs_ic_done_fn done;
	void *arg;
	struct hvsi_vss_recover m;
};

static struct recovery *recovery_of(struct hvsi_ic_request *r)
{
	return hvsi_container_of(r, struct recovery, r);
}

static uint32_t build_recovery(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	const struct recovery *rec = recovery_of(r);

	(void)ic;
	memcpy(body, &rec->m, sizeof(rec->m));
	return sizeof(rec->m);
}

static bool end_recovery(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
			 uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	const struct recovery *rec = recovery_of(r);

	(void)ic;
	(void)body;
	(void)len;
	if (rec->done)
		rec->done(rec->arg, status, guest_status);
	return false;
}

int hvs_vss_auto_recover(struct hvs_ic *ic, const struct hvs_vss_lun *luns,
			 const struct hvs_vss_lun *shadows, uint32_t count, uint32_t timeout_ms,
			 hvs_ic_done_fn done, void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build_recovery,
						       .end = end_recovery};
	struct recovery *rec;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_VSS) || !count || !luns_ok(luns, count) ||
	    !luns_ok(shadows, count))
		return -EINVAL;
	err = may_begin(ic, VERSION_5);
	if (err)
		return err;
	if (!hvsi_ic_fits(ic, sizeof(rec->m)))
		return -EMSGSIZE;
	rec = hvsi_ic_request_new(ic, sizeof(*rec), &ops, arg);
	if (!rec)
		return -ENOMEM;
	rec->done = done;
	rec->arg = arg;
	write_luns(&rec->m.what, HVSI_VSS_AUTO_RECOVER, luns, count);
	for (uint32_t i = 0; i < count; i++)
		rec->m.shadows[i] = lun_of(&shadows[i]);
	return hvsi_ic_submit(ic, &rec->r, timeout_ms ? timeout_ms : FREEZE_MAX_MS);
}

/* ---- what the framework calls ---------------------------------------------------------------- */

enum hvs_vss_state hvs_vss_get_state(const struct hvs_ic *ic)
{
	/* A guest that has closed the channel is not frozen by it any more. */
	return hvsi_ic_is(ic, HVS_IC_VSS) && ic->ch ? vss_of(ic)->state : HVS_VSS_IDLE;
}

static void ready(struct hvs_ic *ic)
{
	struct vss *v = vss_of(ic);
	const bool restored = v->restored;

	*v = (struct vss){.late = restored};
	prepare_thaw(v);
	if (restored)
		begin_thaw(ic, THAW_MS);
}

static void gone(struct hvs_ic *ic)
{
	struct vss *v = vss_of(ic);
	const bool failed = ic->phase == HVSI_IC_FAILED;
	const bool alarm = failed && v->state != HVS_VSS_IDLE;

	v->state = alarm ? HVS_VSS_UNKNOWN : HVS_VSS_IDLE;
	tell_thawers(ic, failed ? -EPROTO : -ENOTCONN, 0);
	if (alarm)
		hvsi_ic_event(ic, HVS_IC_EVENT_MAY_BE_FROZEN);
}

static void timer(struct hvs_ic *ic)
{
	if (ic->leaving) {
		if (vss_of(ic)->state != HVS_VSS_IDLE)
			hvsi_ic_event(ic, HVS_IC_EVENT_MAY_BE_FROZEN);
		(void)hvsi_ic_leave(ic);
		return;
	}
	vss_of(ic)->late = true;
	begin_thaw(ic, THAW_MS);
}

static void cancelled(struct hvs_ic *ic, const void *arg)
{
	struct vss *v = vss_of(ic);

	if (v->state == HVS_VSS_FROZEN && v->requester == arg)
		begin_thaw(ic, THAW_MS);
}

static bool stay(struct hvs_ic *ic)
{
	if (vss_of(ic)->state == HVS_VSS_IDLE)
		return false;
	begin_thaw(ic, THAW_MS);
	return true;
}

static uint32_t save(const struct hvs_ic *ic)
{
	const struct vss *v = vss_of(ic);

	return v->state != HVS_VSS_IDLE || v->restored;
}

static bool restore(struct hvs_ic *ic, uint32_t saved)
{
	if (saved > 1)
		return false;
	vss_of(ic)->restored = saved;
	return true;
}

static const uint32_t versions[] = {HVSI_IC_VERSION(4, 0), VERSION_5};

const struct hvsi_ic_class hvsi_ic_vss = {
	.kind = HVS_IC_VSS,
	.class_id = HVSI_IC_VSS_CLASS,
	.instance_id = HVSI_GUID(0x2450ee40, 0x33bf, 0x4fbd, 0x89, 0x2e, 0x9f, 0xb0, 0x6e, 0x92,
				 0x14, 0xcf),
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.body_max = sizeof(struct hvsi_vss_recover),
	.state_bytes = sizeof(struct vss),
	.ready = ready,
	.gone = gone,
	.timer = timer,
	.cancelled = cancelled,
	.stay = stay,
	.save = save,
	.restore = restore,
};
