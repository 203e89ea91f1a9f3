/* SPDX-License-Identifier: MIT */
/*
 * Guest file copy.
 *
 *   IDLE --start()--> BUSY --answered--> OPEN --write(), finish()--> BUSY --...--> IDLE
 *     ^                |                  |
 *     |                | failed, too late,| cancel()
 *     |                v cancelled        v
 *     +------------ CANCELLING <----------+
 *
 * All steps use one request, which is part of the service's state. Daemons of Linux 6.12 know no
 * CANCEL, and say so; they are sent COMPLETE then, that they close the file.
 */
#include "ic/filecopy.h"
#include "ic/service.h"

#include "util/sized.h"
#include "util/utf16.h"

#include <errno.h>

#define TIMEOUT_MS 60000u
/* Daemons of Linux 6.12 read on behind the array, if more of it is in use. */
#define SAFE_UNITS 130u

enum phase { IDLE, BUSY, OPEN, CANCELLING };

struct caller {
	hvs_ic_done_fn done; /* NULL: nobody */
	void *arg;
};

struct filecopy {
	struct hvsi_ic_request r;
	enum phase phase;
	enum hvsi_filecopy_op op; /* of the message that is asked for, or was last */
	bool sent;                /* or may have been */
	struct caller step;       /* under way */
	struct caller canceller;
	uint32_t cancel_status; /* of the guest, that knows no CANCEL */
	uint32_t timeout_ms;
	uint64_t bytes;
	uint64_t written;    /* acknowledged */
	const uint8_t *data; /* the step's, not acknowledged */
	size_t len;
	struct hvsi_filecopy_start start;
};

static struct filecopy *filecopy_of(const struct hvs_ic *ic)
{
	return hvsi_ic_state(ic);
}

/* ---- messages -------------------------------------------------------------------------------- */

static uint32_t piece_of(const struct filecopy *f)
{
	return f->len < HVS_FILECOPY_PIECE ? (uint32_t)f->len : HVS_FILECOPY_PIECE;
}

static uint32_t build_write(const struct filecopy *f, uint8_t *body)
{
	const uint32_t len = piece_of(f);
	struct hvsi_filecopy_write *w = (struct hvsi_filecopy_write *)(void *)body;

	w->head.op = hvsi_le32(HVSI_FILECOPY_WRITE);
	w->offset = hvsi_le64(f->written);
	w->len = hvsi_le32(len);
	memcpy(w->data, f->data, len);
	return sizeof(*w);
}

static uint32_t build(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	struct filecopy *f = filecopy_of(ic);
	const struct hvsi_filecopy_header head = {.op = hvsi_le32(f->op)};

	(void)r;
	f->sent = true;
	switch (f->op) {
	case HVSI_FILECOPY_START:
		memcpy(body, &f->start, sizeof(f->start));
		return sizeof(f->start);
	case HVSI_FILECOPY_WRITE:
		return build_write(f, body);
	case HVSI_FILECOPY_COMPLETE:
	case HVSI_FILECOPY_CANCEL:
		break;
	}
	memcpy(body, &head, sizeof(head));
	return sizeof(head);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static int submit(struct hvs_ic *ic, const struct hvsi_ic_request_ops *ops,
		  enum hvsi_filecopy_op op, const void *arg)
{
	struct filecopy *f = filecopy_of(ic);

	f->r = (struct hvsi_ic_request){.ops = ops, .arg = arg, .own = f->phase == CANCELLING};
	hvsi_list_init(&f->r.node);
	f->op = op;
	f->sent = false;
	return hvsi_ic_submit(ic, &f->r, f->timeout_ms);
}

static void tell(struct caller *c, int status, uint32_t guest_status)
{
	const struct caller told = *c;

	*c = (struct caller){0};
	if (told.done)
		told.done(told.arg, status, guest_status);
}

static void idle(struct hvs_ic *ic)
{
	struct filecopy *f = filecopy_of(ic);

	f->phase = IDLE;
	f->bytes = 0;
	f->written = 0;
	f->data = NULL;
	f->len = 0;
}

static bool end_cancel(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
		       uint32_t guest_status, const uint8_t *body, uint32_t len);

/* Have the guest forget it, or close its file. */
static int submit_cancel(struct hvs_ic *ic, enum hvsi_filecopy_op op)
{
	static const struct hvsi_ic_request_ops ops = {.build = build, .end = end_cancel};

	filecopy_of(ic)->phase = CANCELLING;
	return submit(ic, &ops, op, NULL);
}

static bool end_cancel(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
		       uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	struct filecopy *f = filecopy_of(ic);

	(void)r;
	(void)body;
	(void)len;
	if (f->op == HVSI_FILECOPY_CANCEL && status == -EREMOTEIO) {
		f->cancel_status = guest_status;
		if (submit_cancel(ic, HVSI_FILECOPY_COMPLETE) == 0)
			return false;
	}
	if (f->op == HVSI_FILECOPY_COMPLETE) {
		status = -EREMOTEIO;
		guest_status = f->cancel_status;
	}
	idle(ic);
	tell(&f->canceller, status, guest_status);
	return false;
}

/* May the guest have a file open? If START has failed it has none; a daemon that is told to forget it
 * then might remove a file that was there before. */
static bool file_left(const struct filecopy *f, int status)
{
	return f->op != HVSI_FILECOPY_START ||
	       (f->sent && status != -EREMOTEIO && status != -EPROTO);
}

static void fail_step(struct hvs_ic *ic, int status, uint32_t guest_status)
{
	struct filecopy *f = filecopy_of(ic);
	struct caller step = f->step;
	struct caller canceller = f->canceller;
	int cancel_status = hvsi_ic_ready(ic) ? 0 : status;

	f->step = (struct caller){0};
	if (!cancel_status && file_left(f, status))
		cancel_status = submit_cancel(ic, HVSI_FILECOPY_CANCEL);
	else
		f->phase = IDLE;
	if (f->phase == CANCELLING && !cancel_status) {
		tell(&step, status, guest_status);
		return;
	}
	f->canceller = (struct caller){0};
	idle(ic);
	tell(&step, status, guest_status);
	tell(&canceller, cancel_status, 0);
}

/* True: there is more to be sent. */
static bool step_done(struct filecopy *f)
{
	const uint32_t piece = piece_of(f);

	if (f->op != HVSI_FILECOPY_WRITE)
		return false;
	f->written += piece;
	f->data += piece;
	f->len -= piece;
	return f->len > 0;
}

static bool end_step(struct hvs_ic *ic, struct hvsi_ic_request *r, int status,
		     uint32_t guest_status, const uint8_t *body, uint32_t len)
{
	struct filecopy *f = filecopy_of(ic);

	(void)r;
	(void)body;
	(void)len;
	if (status) {
		fail_step(ic, status, guest_status);
		return false;
	}
	if (step_done(f))
		return true;
	if (f->op == HVSI_FILECOPY_COMPLETE)
		idle(ic);
	else
		f->phase = OPEN;
	tell(&f->step, 0, HVS_IC_S_OK);
	return false;
}

static int begin_step(struct hvs_ic *ic, enum hvsi_filecopy_op op, hvs_ic_done_fn done, void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build, .end = end_step};
	struct filecopy *f = filecopy_of(ic);
	int err = submit(ic, &ops, op, arg);

	if (err)
		return err;
	f->phase = BUSY;
	f->step = (struct caller){done, arg};
	return 0;
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Returns the length in units: not 0, not more than SAFE_UNITS; -EINVAL, -EILSEQ. */
static int64_t check_text(const char *text)
{
	const int64_t units =
		text ? hvsi_utf16_from_utf8(text, NULL, HVS_FILECOPY_NAME_MAX) : -EINVAL;

	if (units <= 0)
		return -EINVAL;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p >= 0x80)
			return -EILSEQ;
	return units <= SAFE_UNITS ? units : -EILSEQ;
}

static bool has_separator(const char *name)
{
	for (; *name; name++)
		if (*name == '/' || *name == '\\')
			return true;
	return false;
}

/* Guests create the last directory only if there is a separator behind it. */
static int write_path(uint8_t *to, const char *directory)
{
	const int64_t units = check_text(directory);
	const bool complete = units > 0 && directory[units - 1] == '/';

	if (units < 0)
		return (int)units;
	if (!complete && units == SAFE_UNITS)
		return -EILSEQ;
	(void)hvsi_utf16_from_utf8(directory, to, HVS_FILECOPY_NAME_MAX);
	if (!complete)
		to[2 * units] = '/';
	return 0;
}

static int write_start(struct hvsi_filecopy_start *s, const struct hvs_filecopy_request *q)
{
	const int64_t units = check_text(q->name);
	int err;

	if (q->flags & ~(HVS_FILECOPY_OVERWRITE | HVS_FILECOPY_CREATE_PATH))
		return -EINVAL;
	if (units < 0)
		return (int)units;
	if (has_separator(q->name))
		return -EINVAL;
	err = write_path(s->path, q->directory);
	if (err)
		return err;
	(void)hvsi_utf16_from_utf8(q->name, s->name, HVS_FILECOPY_NAME_MAX);
	s->head.op = hvsi_le32(HVSI_FILECOPY_START);
	s->flags = hvsi_le32(q->flags);
	s->bytes = hvsi_le64(q->bytes);
	return 0;
}

int hvs_filecopy_start(struct hvs_ic *ic, const struct hvs_filecopy_request *request,
		       hvs_ic_done_fn done, void *arg)
{
	struct hvsi_filecopy_start s = {0};
	struct hvs_filecopy_request q;
	struct filecopy *f;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_FILECOPY))
		return -EINVAL;
	err = HVSI_TAKE(&q, request, reserved);
	if (!err && q.reserved)
		err = -EINVAL;
	if (!err)
		err = write_start(&s, &q);
	if (err)
		return err;
	f = filecopy_of(ic);
	if (f->phase != IDLE)
		return -EBUSY;
	f->start = s;
	f->timeout_ms = q.timeout_ms ? q.timeout_ms : TIMEOUT_MS;
	err = begin_step(ic, HVSI_FILECOPY_START, done, arg);
	if (!err)
		f->bytes = q.bytes;
	return err;
}

/* ---- what follows ---------------------------------------------------------------------------- */

static int may_go_on(const struct filecopy *f)
{
	if (f->phase == BUSY)
		return -EBUSY;
	return f->phase == OPEN ? 0 : -ENOENT;
}

int hvs_filecopy_write(struct hvs_ic *ic, const void *data, size_t len, hvs_ic_done_fn done,
		       void *arg)
{
	struct filecopy *f;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_FILECOPY) || !data || !len || len > HVS_FILECOPY_MAX_WRITE)
		return -EINVAL;
	f = filecopy_of(ic);
	err = may_go_on(f);
	if (!err && len > f->bytes - f->written)
		err = -EINVAL;
	if (err)
		return err;
	f->data = data;
	f->len = len;
	return begin_step(ic, HVSI_FILECOPY_WRITE, done, arg);
}

int hvs_filecopy_finish(struct hvs_ic *ic, hvs_ic_done_fn done, void *arg)
{
	const struct filecopy *f;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_FILECOPY))
		return -EINVAL;
	f = filecopy_of(ic);
	err = may_go_on(f);
	if (!err && f->written != f->bytes)
		err = -EINVAL;
	return err ? err : begin_step(ic, HVSI_FILECOPY_COMPLETE, done, arg);
}

int hvs_filecopy_cancel(struct hvs_ic *ic, hvs_ic_done_fn done, void *arg)
{
	struct filecopy *f;
	int err = 0;

	if (!hvsi_ic_is(ic, HVS_IC_FILECOPY))
		return -EINVAL;
	f = filecopy_of(ic);
	if (f->phase != BUSY && f->phase != OPEN)
		return -ENOENT;
	if (f->phase == OPEN) {
		err = submit_cancel(ic, HVSI_FILECOPY_CANCEL);
	} else {
		f->phase = CANCELLING; /* when the step has ended */
		f->r.cancelled = true;
		hvs_channel_kick(ic->ch);
	}
	if (err)
		idle(ic);
	else
		f->canceller = (struct caller){done, arg};
	return err;
}

int hvs_filecopy_get_progress(const struct hvs_ic *ic, struct hvs_filecopy_progress *progress)
{
	struct hvs_filecopy_progress p = {0};
	const struct filecopy *f;

	if (!hvsi_ic_is(ic, HVS_IC_FILECOPY))
		return -EINVAL;
	f = filecopy_of(ic);
	if (f->phase == BUSY || f->phase == OPEN) {
		p.bytes = f->bytes;
		p.written = f->written;
	}
	return hvsi_fill_sized(progress, &p, sizeof(p));
}

/* ---- what the framework calls ---------------------------------------------------------------- */

/* Steps under way end by themselves. */
static void gone(struct hvs_ic *ic)
{
	if (filecopy_of(ic)->phase == OPEN)
		idle(ic);
}

static const uint32_t versions[] = {HVSI_IC_VERSION(1, 1)};

const struct hvsi_ic_class hvsi_ic_filecopy = {
	.kind = HVS_IC_FILECOPY,
	.class_id = HVSI_IC_FILECOPY_CLASS,
	/* The daemon of Linux 6.12 looks for this one only. */
	.instance_id = HVSI_GUID(0xeb765408, 0x105f, 0x49b6, 0xb4, 0xaa, 0xc1, 0x23, 0xb6, 0x4d,
				 0x17, 0xd4),
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.body_max = sizeof(struct hvsi_filecopy_write),
	.state_bytes = sizeof(struct filecopy),
	.gone = gone,
};
