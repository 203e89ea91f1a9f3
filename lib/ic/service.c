/* SPDX-License-Identifier: MIT */
/* Services as their users see them: creation, status, removal. */
#include "ic/service.h"

#include "util/alloc.h"
#include "util/guid.h"
#include "util/sized.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define MAX_PACKET_BYTES 16384u /* a guest returns what it got, and that may be padded */
/* In the ring, besides the body: descriptor, pipe header, our header, padding, trailer; and it is
 * never full. */
#define RING_OVERHEAD (16u + 8 + sizeof(struct hvsi_ic_header) + 7 + 8 + 8)

static const struct hvsi_ic_class *class_of(enum hvs_ic_kind kind)
{
	static const struct hvsi_ic_class *const classes[] = {
		&hvsi_ic_filecopy, &hvsi_ic_heartbeat, &hvsi_ic_kvp,
		&hvsi_ic_shutdown, &hvsi_ic_timesync,  &hvsi_ic_vss,
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (classes[i]->kind == kind)
			return classes[i];
	return NULL;
}

/* ---- for the services ----------------------------------------------------------------------- */

void *hvsi_ic_state(const struct hvs_ic *ic)
{
	return (void *)(ic + 1);
}

const struct hvs_allocator *hvsi_ic_allocator(const struct hvs_ic *ic)
{
	return hvs_vmbus_allocator(ic->bus);
}

bool hvsi_ic_is(const struct hvs_ic *ic, enum hvs_ic_kind kind)
{
	return ic && ic->class->kind == kind;
}

bool hvsi_ic_ready(const struct hvs_ic *ic)
{
	return ic->phase == HVSI_IC_READY;
}

bool hvsi_ic_fits(const struct hvs_ic *ic, uint32_t body_bytes)
{
	return body_bytes + RING_OVERHEAD <= ic->send_ring_bytes;
}

void *hvsi_ic_request_new(const struct hvs_ic *ic, size_t len,
			  const struct hvsi_ic_request_ops *ops, const void *arg)
{
	struct hvsi_ic_request *r = hvsi_alloc(hvsi_ic_allocator(ic), len);

	if (!r)
		return NULL;
	hvsi_list_init(&r->node);
	r->ops = ops;
	r->len = len;
	r->arg = arg;
	return r;
}

void hvsi_ic_request_free(const struct hvs_ic *ic, struct hvsi_ic_request *r)
{
	if (r->len)
		hvsi_free(hvsi_ic_allocator(ic), r, r->len);
}

void hvsi_ic_set_timer(struct hvs_ic *ic, uint64_t due_ns)
{
	ic->timer_due_ns = due_ns;
	hvs_channel_kick(ic->ch);
}

uint64_t hvsi_ic_now(const struct hvs_ic *ic)
{
	return hvs_channel_now(ic->ch);
}

void hvsi_ic_malformed(struct hvs_ic *ic)
{
	ic->malformed++;
}

/* ---- status --------------------------------------------------------------------------------- */

bool hvsi_ic_was_ready(const struct hvs_ic *ic)
{
	return ic->was_ready && ic->resets == hvs_vmbus_reset_count(ic->bus);
}

void hvsi_ic_judge_version(const struct hvs_ic *ic, struct hvs_ic_status *s)
{
	const bool old = ic->version < hvsi_ic_newest(ic->class, ic->cfg.max_version);

	s->primary = old ? HVS_IC_DEGRADED : HVS_IC_OK;
	s->secondary = old ? HVS_IC_DETAIL_MISMATCH : HVS_IC_DETAIL_OK;
}

static void judge(const struct hvs_ic *ic, struct hvs_ic_status *s)
{
	s->primary = hvsi_ic_was_ready(ic) ? HVS_IC_LOST_COMMUNICATION : HVS_IC_NO_CONTACT;
	s->secondary = HVS_IC_DETAIL_NONE;
	if (ic->phase == HVSI_IC_MISMATCH || ic->phase == HVSI_IC_FAILED) {
		s->primary = HVS_IC_NON_RECOVERABLE;
		s->secondary =
			ic->phase == HVSI_IC_FAILED ? HVS_IC_DETAIL_FAILED : HVS_IC_DETAIL_MISMATCH;
	} else if (s->ready && ic->late) {
		s->secondary = HVS_IC_DETAIL_TIMED_OUT;
	} else if (s->ready) {
		hvsi_ic_judge_version(ic, s);
	}
}

static void get_status(const struct hvs_ic *ic, struct hvs_ic_status *s)
{
	*s = (struct hvs_ic_status){
		HVS_IC_STATUS_INIT,
		.kind = ic->class->kind,
		.open = ic->ch != NULL,
		.ready = hvsi_ic_ready(ic),
		.framework_version = ic->framework,
		.service_version = ic->version,
		.requests = ic->requests,
		.failures = ic->failures,
		.timeouts = ic->timeouts,
		.malformed = ic->malformed,
		.waiting = ic->waiting_count,
	};
	judge(ic, s);
	if (ic->class->status)
		ic->class->status(ic, s);
}

int hvs_ic_get_status(const struct hvs_ic *ic, struct hvs_ic_status *status)
{
	struct hvs_ic_status s;

	if (!ic)
		return -EINVAL;
	get_status(ic, &s);
	return hvsi_fill_sized(status, &s, sizeof(s));
}

void hvsi_ic_event(struct hvs_ic *ic, enum hvs_ic_event event)
{
	if (ic->ops.event && ic->dev)
		ic->ops.event(ic->arg, ic, event);
}

void hvsi_ic_report(struct hvs_ic *ic)
{
	const struct hvs_ic_status last = ic->reported;
	struct hvs_ic_status *s = &ic->reported;

	if (ic->leaving)
		return;
	get_status(ic, s);
	if (s->primary != last.primary || s->secondary != last.secondary || s->open != last.open ||
	    s->ready != last.ready || s->framework_version != last.framework_version ||
	    s->service_version != last.service_version)
		hvsi_ic_event(ic, HVS_IC_EVENT_STATUS);
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool config_ok(const struct hvsi_ic_class *class, struct hvs_ic_config *cfg,
		      const struct hvs_ic_ops *ops)
{
	static const struct hvs_guid none;

	if (ops->reserved || cfg->reserved[0] || cfg->reserved[1] || cfg->reserved[2])
		return false;
	if (hvsi_guid_equal(&cfg->instance_id, &none))
		cfg->instance_id = class->instance_id;
	if (!cfg->max_version)
		cfg->max_version = class->versions[class->version_count - 1];
	if (cfg->max_version < class->versions[0])
		return false;
	if (class->check)
		return class->check(cfg, ops);
	return !cfg->interval_ms && !cfg->latency_ms && !cfg->error_threshold &&
	       !cfg->reference_time;
}

static int make(struct hvs_vmbus *bus, const struct hvsi_ic_class *class,
		const struct hvs_ic_config *cfg, struct hvs_ic **out)
{
	const struct hvs_allocator *a = hvs_vmbus_allocator(bus);
	struct hvs_ic *ic = hvsi_alloc(a, sizeof(*ic) + class->state_bytes);
	uint32_t body = class->body_max;

	if (!ic)
		return -ENOMEM;
	if (body < HVSI_IC_NEGOTIATION_MAX)
		body = HVSI_IC_NEGOTIATION_MAX;
	ic->bus = bus;
	ic->class = class;
	ic->cfg = *cfg;
	hvsi_list_init(&ic->waiting);
	ic->timer_due_ns = UINT64_MAX;
	ic->message_bytes = sizeof(struct hvsi_ic_header) + body;
	ic->message = hvsi_alloc(a, ic->message_bytes);
	if (!ic->message) {
		hvsi_ic_channel_ops.destroy(ic);
		return -ENOMEM;
	}
	*out = ic;
	return 0;
}

int hvs_ic_create(struct hvs_vmbus *bus, const struct hvs_ic_config *cfg_in,
		  const struct hvs_ic_ops *ops_in, void *arg, struct hvs_ic **out)
{
	struct hvs_offer offer = {HVS_OFFER_INIT, .flags = HVS_OFFER_INTERFACE | HVS_OFFER_PIPE,
				  .max_packet_bytes = MAX_PACKET_BYTES};
	const struct hvsi_ic_class *class;
	struct hvs_ic_config cfg;
	struct hvs_ic_ops ops;
	struct hvs_ic *ic;
	int err;

	if (!bus || !out)
		return -EINVAL;
	err = HVSI_TAKE(&cfg, cfg_in, reserved);
	if (!err)
		err = HVSI_TAKE(&ops, ops_in, sample_time);
	if (err)
		return err;
	class = class_of(cfg.kind);
	if (!class || !config_ok(class, &cfg, &ops))
		return -EINVAL;
	err = make(bus, class, &cfg, &ic);
	if (err)
		return err;
	ic->ops = ops;
	ic->arg = arg;
	get_status(ic, &ic->reported);
	offer.class_id = class->class_id;
	offer.instance_id = cfg.instance_id;
	err = hvs_device_offer(bus, &offer, &hvsi_ic_channel_ops, ic, &ic->dev);
	if (err) {
		hvsi_ic_channel_ops.destroy(ic);
		return err;
	}
	*out = ic;
	return 0;
}

int hvsi_ic_leave(struct hvs_ic *ic)
{
	struct hvs_device *dev = ic->dev;

	ic->dev = NULL;
	return dev ? hvs_device_rescind(dev, ic->destroyed, ic->destroyed_arg) : 0;
}

int hvs_ic_destroy(struct hvs_ic *ic, hvs_done_fn done, void *arg)
{
	if (!ic)
		return -EINVAL;
	if (ic->leaving)
		return -EBUSY;
	ic->leaving = true;
	ic->destroyed = done;
	ic->destroyed_arg = arg;
	if (hvsi_ic_ready(ic) && ic->class->stay && ic->class->stay(ic))
		return 0;
	return hvsi_ic_leave(ic);
}
