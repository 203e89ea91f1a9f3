/* SPDX-License-Identifier: MIT */
/*
 * Heartbeat: the guest is sent a number every so often, and answers with the next one.
 *
 * An answer has interval and latency of time. After that each further interval without one counts
 * as a missed beat, too, though the guest can't be sent anything before it answers.
 */
#include "ic/service.h"

#include "util/sized.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define LONGEST_MS 3600000u

struct beat_body {
	struct hvs_le64 sequence;
	struct hvs_le32 application; /* in answers */
	struct hvs_le32 reserved[7]; /* old guests want them */
};
_Static_assert(sizeof(struct beat_body) == 40, "heartbeat");

struct heartbeat {
	uint64_t sequence; /* of the last beat */
	uint64_t sent_ns;  /* when it was */
	uint64_t beats;    /* answered since the service was ready */
	uint64_t missed;
	uint64_t last_beat_ns;
	uint64_t first_beat_ns; /* of `beats` */
	uint32_t in_a_row;      /* missed */
	bool contact;           /* it has beaten since the machine was started or reset... */
	uint32_t resets;        /* ... for this time */
	enum hvs_heartbeat_application application;
};

static void beat(struct hvs_ic *ic, uint32_t timeout_ms);

static uint64_t interval_ns(const struct hvs_ic *ic)
{
	return ic->cfg.interval_ms * NS_PER_MS;
}

/* ---- a beat --------------------------------------------------------------------------------- */

static uint32_t build(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	struct heartbeat *hb = hvsi_ic_state(ic);
	struct beat_body b = {.sequence = hvsi_le64(++hb->sequence)};

	(void)r;
	hb->sent_ns = hvsi_ic_now(ic);
	memcpy(body, &b, sizeof(b));
	return sizeof(b);
}

static void miss(struct hvs_ic *ic)
{
	struct heartbeat *hb = hvsi_ic_state(ic);

	hb->missed++;
	if (hb->in_a_row < UINT32_MAX)
		hb->in_a_row++;
	hvsi_ic_event(ic, HVS_IC_EVENT_BEAT_MISSED);
}

static enum hvs_heartbeat_application application(uint32_t number)
{
	switch (number) {
	case HVS_HEARTBEAT_HEALTHY:
		return HVS_HEARTBEAT_HEALTHY;
	case HVS_HEARTBEAT_CRITICAL:
		return HVS_HEARTBEAT_CRITICAL;
	case HVS_HEARTBEAT_STOPPED:
		return HVS_HEARTBEAT_STOPPED;
	default:
		return HVS_HEARTBEAT_UNKNOWN;
	}
}

/* Linux wants 8 bytes and returns them; so do we. */
static bool take_beat(struct hvs_ic *ic, const uint8_t *body, uint32_t len)
{
	struct heartbeat *hb = hvsi_ic_state(ic);
	struct beat_body b = {0};

	if (len < sizeof(b.sequence))
		return false;
	memcpy(&b, body, len < sizeof(b) ? len : sizeof(b));
	if (hvsi_get64(b.sequence) != hb->sequence + 1)
		return false;
	hb->sequence++;
	hb->last_beat_ns = hvsi_ic_now(ic);
	if (!hb->beats++)
		hb->first_beat_ns = hb->last_beat_ns;
	hb->in_a_row = 0;
	hb->contact = true;
	hb->resets = hvs_vmbus_reset_count(ic->bus);
	hb->application = application(hvsi_get32(b.application));
	return true;
}

static bool end(struct hvs_ic *ic, struct hvsi_ic_request *r, int status, uint32_t guest_status,
		const uint8_t *body, uint32_t len)
{
	const struct heartbeat *hb = hvsi_ic_state(ic);

	(void)r;
	(void)guest_status;
	if (status == -ETIMEDOUT) {
		miss(ic);
		beat(ic, ic->cfg.interval_ms);
		return false;
	}
	if (!body)
		return false; /* not ready any more */
	if (status || !take_beat(ic, body, len)) {
		if (!status)
			hvsi_ic_malformed(ic);
		miss(ic);
	}
	hvsi_ic_set_timer(ic, hb->sent_ns + interval_ns(ic));
	return false;
}

static void beat(struct hvs_ic *ic, uint32_t timeout_ms)
{
	static const struct hvsi_ic_request_ops ops = {.build = build, .end = end};
	struct hvsi_ic_request *r = hvsi_ic_request_new(ic, sizeof(*r), &ops, NULL);

	if (!r) { /* the next one, perhaps */
		hvsi_ic_set_timer(ic, hvsi_ic_now(ic) + interval_ns(ic));
		return;
	}
	r->own = true;
	(void)hvsi_ic_submit(ic, r, timeout_ms);
}

static void next_beat(struct hvs_ic *ic)
{
	beat(ic, ic->cfg.interval_ms + ic->cfg.latency_ms);
}

/* ---- the service ---------------------------------------------------------------------------- */

static void ready(struct hvs_ic *ic)
{
	struct heartbeat *hb = hvsi_ic_state(ic);

	hb->beats = 0;
	hb->in_a_row = 0;
	hb->application = HVS_HEARTBEAT_UNKNOWN;
	next_beat(ic);
}

static bool had_contact(const struct hvs_ic *ic)
{
	const struct heartbeat *hb = hvsi_ic_state(ic);

	return hb->contact && hb->resets == hvs_vmbus_reset_count(ic->bus);
}

static void status(const struct hvs_ic *ic, struct hvs_ic_status *s)
{
	const struct heartbeat *hb = hvsi_ic_state(ic);
	const bool lost = hb->in_a_row >= ic->cfg.error_threshold;

	if (!s->ready)
		return;
	if (lost || !hb->beats) {
		s->primary = had_contact(ic) ? HVS_IC_LOST_COMMUNICATION : HVS_IC_NO_CONTACT;
		s->secondary = lost ? HVS_IC_DETAIL_TIMED_OUT : HVS_IC_DETAIL_NONE;
		return;
	}
	hvsi_ic_judge_version(ic, s);
	if (hb->application == HVS_HEARTBEAT_CRITICAL)
		s->secondary = HVS_IC_DETAIL_CRITICAL;
	else if (s->primary == HVS_IC_OK && hb->application != HVS_HEARTBEAT_HEALTHY)
		s->secondary = HVS_IC_DETAIL_NONE;
}

static bool check(struct hvs_ic_config *cfg, const struct hvs_ic_ops *ops)
{
	(void)ops;
	if (!cfg->interval_ms)
		cfg->interval_ms = 2000;
	if (!cfg->latency_ms)
		cfg->latency_ms = 1000;
	if (!cfg->error_threshold)
		cfg->error_threshold = 2;
	return cfg->interval_ms <= LONGEST_MS && cfg->latency_ms <= LONGEST_MS &&
	       !cfg->reference_time;
}

static uint32_t save(const struct hvs_ic *ic)
{
	return had_contact(ic);
}

static bool restore(struct hvs_ic *ic, uint32_t saved)
{
	struct heartbeat *hb = hvsi_ic_state(ic);

	hb->contact = saved;
	hb->resets = hvs_vmbus_reset_count(ic->bus);
	return saved <= 1;
}

int hvs_heartbeat_get_info(const struct hvs_ic *ic, struct hvs_heartbeat_info *info)
{
	struct hvs_heartbeat_info all = {0};
	const struct heartbeat *hb;

	if (!hvsi_ic_is(ic, HVS_IC_HEARTBEAT))
		return -EINVAL;
	hb = hvsi_ic_state(ic);
	all.missed = hb->missed;
	all.last_beat_ns = hb->last_beat_ns;
	if (hvsi_ic_ready(ic)) {
		all.application = hb->application;
		all.beats = hb->beats;
		all.up_ns = hb->beats ? hvsi_ic_now(ic) - hb->first_beat_ns : 0;
	}
	return hvsi_fill_sized(info, &all, sizeof(all));
}

static const uint32_t versions[] = {HVSI_IC_VERSION(1, 0), HVSI_IC_VERSION(3, 0)};

const struct hvsi_ic_class hvsi_ic_heartbeat = {
	.kind = HVS_IC_HEARTBEAT,
	.class_id = HVSI_IC_HEARTBEAT_CLASS,
	.instance_id = HVSI_GUID(0xfd149e91, 0x82e0, 0x4a7d, 0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb,
				 0xd7, 0xc0),
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.body_max = sizeof(struct beat_body),
	.state_bytes = sizeof(struct heartbeat),
	.check = check,
	.ready = ready,
	.timer = next_beat,
	.status = status,
	.save = save,
	.restore = restore,
};
