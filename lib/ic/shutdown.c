/* SPDX-License-Identifier: MIT */
/* Shutdown: the guest is asked once, and says whether it will. */
#include "ic/service.h"

#include "util/sized.h"
#include "util/utf16.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS 10000u
#define PLANNED 0x80000000u /* the reason code of Windows for what its administrator wants */

enum { FORCE = 0x1, RESTART = 0x2, HIBERNATE = 0x4 };

struct shutdown_body {
	struct hvs_le32 reason;
	struct hvs_le32 timeout_s;
	struct hvs_le32 flags;
	uint8_t text[(HVS_SHUTDOWN_REASON_MAX + 1) * 2]; /* UTF-16LE, NUL */
};
_Static_assert(sizeof(struct shutdown_body) == 2060, "shutdown");

struct request {
	struct hvsi_ic_request r;
	struct shutdown_body body;
	hvs_ic_done_fn done;
	void *arg;
};

static uint32_t build(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	const struct request *s = (const struct request *)(const void *)r;

	(void)ic;
	memcpy(body, &s->body, sizeof(s->body));
	return sizeof(s->body);
}

static bool end(struct hvs_ic *ic, struct hvsi_ic_request *r, int status, uint32_t guest_status,
		const uint8_t *body, uint32_t len)
{
	const struct request *s = (const struct request *)(const void *)r;

	(void)ic;
	(void)body;
	(void)len;
	if (s->done)
		s->done(s->arg, status, guest_status);
	return false;
}

/* From which version on guests know it. */
static uint32_t first_version(enum hvs_shutdown_action action)
{
	switch (action) {
	case HVS_SHUTDOWN_RESTART:
		return HVSI_IC_VERSION(3, 1);
	case HVS_SHUTDOWN_HIBERNATE:
		return HVSI_IC_VERSION(3, 2);
	case HVS_SHUTDOWN_POWER_OFF:
		break;
	}
	return 0;
}

static uint32_t flags_of(const struct hvs_shutdown_request *q)
{
	const uint32_t force = q->force ? FORCE : 0;

	return force | (q->action == HVS_SHUTDOWN_RESTART     ? RESTART
			: q->action == HVS_SHUTDOWN_HIBERNATE ? HIBERNATE
							      : 0);
}

static bool request_ok(const struct hvs_shutdown_request *q)
{
	return q->action <= HVS_SHUTDOWN_HIBERNATE &&
	       (!q->reason || hvsi_utf16_from_utf8(q->reason, NULL, HVS_SHUTDOWN_REASON_MAX) >= 0);
}

int hvs_shutdown(struct hvs_ic *ic, const struct hvs_shutdown_request *request, hvs_ic_done_fn done,
		 void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build, .end = end};
	struct hvs_shutdown_request q;
	struct request *s;
	int err;

	if (!hvsi_ic_is(ic, HVS_IC_SHUTDOWN))
		return -EINVAL;
	err = HVSI_TAKE(&q, request, reason);
	if (err)
		return err;
	if (!request_ok(&q))
		return -EINVAL;
	if (!hvsi_ic_ready(ic))
		return -ENOTCONN;
	if (ic->version < first_version(q.action))
		return -ENOTSUP;
	if (ic->unanswered || ic->waiting_count)
		return -EALREADY;
	s = hvsi_ic_request_new(ic, sizeof(*s), &ops, arg);
	if (!s)
		return -ENOMEM;
	s->body.reason = hvsi_le32(PLANNED);
	s->body.timeout_s = hvsi_le32(q.guest_timeout_s);
	s->body.flags = hvsi_le32(flags_of(&q));
	if (q.reason)
		(void)hvsi_utf16_from_utf8(q.reason, s->body.text, HVS_SHUTDOWN_REASON_MAX);
	s->done = done;
	s->arg = arg;
	return hvsi_ic_submit(ic, &s->r, q.timeout_ms ? q.timeout_ms : TIMEOUT_MS);
}

static const uint32_t versions[] = {HVSI_IC_VERSION(1, 0), HVSI_IC_VERSION(3, 0),
				    HVSI_IC_VERSION(3, 1), HVSI_IC_VERSION(3, 2)};

const struct hvsi_ic_class hvsi_ic_shutdown = {
	.kind = HVS_IC_SHUTDOWN,
	.class_id = HVSI_IC_SHUTDOWN_CLASS,
	.instance_id = HVSI_GUID(0xb6650ff7, 0x33bc, 0x4840, 0x80, 0x48, 0xe0, 0x67, 0x67, 0x86,
				 0xf3, 0x93),
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.body_max = sizeof(struct shutdown_body),
};
