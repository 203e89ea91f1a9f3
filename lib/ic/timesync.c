/* SPDX-License-Identifier: MIT */
/*
 * Time synchronization: the guest is told to set its clock when it has come, and whenever somebody
 * asks for it; in between it gets samples, of which it may make what it likes. The clock is read
 * right before the message is written.
 */
#include "ic/service.h"

#include <errno.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define LONGEST_MS 3600000u
#define TIMEOUT_MS 10000u

enum { SYNC = 0x1, SAMPLE = 0x2 };

/* Before 4.0. */
struct time_body {
	struct hvs_le64 host_time;
	struct hvs_le64 guest_time; /* not used */
	struct hvs_le64 round_trip; /* the same */
	uint8_t flags;
	uint8_t reserved[3];
};
_Static_assert(sizeof(struct time_body) == 28, "time synchronization");

struct time_body_4 {
	struct hvs_le64 host_time;
	struct hvs_le64 reference; /* the guest's counter at that time */
	uint8_t flags;
	uint8_t leap_indicator; /* of NTP; 0: nothing to say */
	uint8_t stratum;
	uint8_t reserved[5];
};
_Static_assert(sizeof(struct time_body_4) == 24, "time synchronization 4.0");

struct timesync {
	bool sync_owed; /* the guest has not confirmed one since the service was ready */
};

struct request {
	struct hvsi_ic_request r;
	bool sync;
	hvs_ic_done_fn done;
	void *arg;
};

/* ---- a message ------------------------------------------------------------------------------ */

static uint32_t build(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body)
{
	const uint8_t flags = ((struct request *)(void *)r)->sync ? SYNC : SAMPLE;
	struct time_body old = {.flags = flags};
	struct time_body_4 b = {.flags = flags};
	uint64_t host_time = 0;
	uint64_t reference = 0;

	if (ic->ops.sample_time(ic->arg, &host_time, &reference) < 0)
		return 0;
	if (ic->version < HVSI_IC_VERSION(4, 0)) {
		old.host_time = hvsi_le64(host_time);
		memcpy(body, &old, sizeof(old));
		return sizeof(old);
	}
	b.host_time = hvsi_le64(host_time);
	b.reference = hvsi_le64(reference);
	memcpy(body, &b, sizeof(b));
	return sizeof(b);
}

/* What the guest answers does not matter, but that it does. */
static bool end(struct hvs_ic *ic, struct hvsi_ic_request *r, int status, uint32_t guest_status,
		const uint8_t *body, uint32_t len)
{
	struct timesync *ts = hvsi_ic_state(ic);
	const struct request *t = (const struct request *)(const void *)r;

	(void)len;
	if (t->sync && body)
		ts->sync_owed = false;
	if (r->own && hvsi_ic_ready(ic))
		hvsi_ic_set_timer(ic, hvsi_ic_now(ic) + ic->cfg.interval_ms * NS_PER_MS);
	if (t->done)
		t->done(t->arg, status, guest_status);
	return false;
}

static struct request *new_request(const struct hvs_ic *ic, bool sync, const void *arg)
{
	static const struct hvsi_ic_request_ops ops = {.build = build, .end = end};
	struct request *t = hvsi_ic_request_new(ic, sizeof(*t), &ops, arg);

	if (t)
		t->sync = sync;
	return t;
}

/* ---- the service ---------------------------------------------------------------------------- */

static void tell(struct hvs_ic *ic)
{
	const struct timesync *ts = hvsi_ic_state(ic);
	struct request *t = new_request(ic, ts->sync_owed, NULL);

	if (!t) {
		hvsi_ic_set_timer(ic, hvsi_ic_now(ic) + ic->cfg.interval_ms * NS_PER_MS);
		return;
	}
	t->r.own = true;
	/* A service on its way out takes nothing. */
	(void)hvsi_ic_submit(ic, &t->r, TIMEOUT_MS);
}

static void ready(struct hvs_ic *ic)
{
	struct timesync *ts = hvsi_ic_state(ic);

	ts->sync_owed = true;
	tell(ic);
}

static bool check(struct hvs_ic_config *cfg, const struct hvs_ic_ops *ops)
{
	if (!cfg->interval_ms)
		cfg->interval_ms = 5000;
	if (!cfg->reference_time && cfg->max_version >= HVSI_IC_VERSION(4, 0))
		cfg->max_version = HVSI_IC_VERSION(3, 0);
	return ops->sample_time && cfg->interval_ms <= LONGEST_MS && !cfg->latency_ms &&
	       !cfg->error_threshold;
}

int hvs_timesync_sync(struct hvs_ic *ic, uint32_t timeout_ms, hvs_ic_done_fn done, void *arg)
{
	struct request *t;

	if (!hvsi_ic_is(ic, HVS_IC_TIMESYNC))
		return -EINVAL;
	if (!hvsi_ic_ready(ic))
		return -ENOTCONN;
	t = new_request(ic, true, arg);
	if (!t)
		return -ENOMEM;
	t->done = done;
	t->arg = arg;
	return hvsi_ic_submit(ic, &t->r, timeout_ms ? timeout_ms : TIMEOUT_MS);
}

static const uint32_t versions[] = {HVSI_IC_VERSION(1, 0), HVSI_IC_VERSION(3, 0),
				    HVSI_IC_VERSION(4, 0)};

const struct hvsi_ic_class hvsi_ic_timesync = {
	.kind = HVS_IC_TIMESYNC,
	.class_id = HVSI_IC_TIMESYNC_CLASS,
	.instance_id = HVSI_GUID(0x2dd1ce17, 0x079e, 0x403c, 0xb3, 0x52, 0xa1, 0x92, 0x1e, 0xe2,
				 0x07, 0xee),
	.versions = versions,
	.version_count = sizeof(versions) / sizeof(versions[0]),
	.body_max = sizeof(struct time_body),
	.state_bytes = sizeof(struct timesync),
	.check = check,
	.ready = ready,
	.timer = tell,
};
