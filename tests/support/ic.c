/* SPDX-License-Identifier: MIT */
#include "support/ic.h"

#include <stdlib.h>

#define RING_BYTES 12288u
#define STEP_MS 50u

static void event(void *arg, struct hvs_ic *ic, enum hvs_ic_event number)
{
	struct ic_machine *m = arg;

	m->events[number]++;
	if (number == HVS_IC_EVENT_STATUS) {
		m->status.size = sizeof(m->status);
		cr_assert_eq(hvs_ic_get_status(ic, &m->status), 0);
	}
	if (m->on_event)
		m->on_event(m->on_event_arg, number);
}

static int sample_time(void *arg, uint64_t *host_time, uint64_t *reference)
{
	struct ic_time *t = &((struct ic_machine *)arg)->time;

	t->samples++;
	*host_time = t->host;
	*reference = t->reference;
	return t->err;
}

/* ---- the machine ---------------------------------------------------------------------------- */

int ic_offer(void *arg, struct hvs_vmbus *bus)
{
	static const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT, .event = event,
					      .sample_time = sample_time};
	struct ic_machine *m = arg;
	struct hvs_ic_config cfg = m->opt.cfg;

	cfg.size = sizeof(cfg);
	return hvs_ic_create(bus, &cfg, &ops, m, &m->ic);
}

struct ic_machine *ic_up(const struct ic_options *opt)
{
	struct ic_machine *m = calloc(1, sizeof(*m));
	struct hvs_loopback_config lb_cfg = opt->loopback;

	cr_assert_not_null(m);
	m->opt = *opt;
	lb_cfg.size = sizeof(lb_cfg);
	cr_assert_eq(hvs_loopback_create(&lb_cfg, &m->lb), 0);
	cr_assert_eq(ic_offer(m, hvs_loopback_bus(m->lb)), 0);
	return m;
}

void ic_connect(struct ic_machine *m)
{
	cr_assert_eq(hvs_loopback_start(m->lb, &m->guest), 0);
	cr_assert_eq(hvs_guest_connect(m->guest, 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(m->guest), 1);
}

void ic_open(struct ic_machine *m)
{
	const struct hvs_guest_offer *offer = hvs_guest_ic_offer(m->guest, m->opt.cfg.kind);

	cr_assert_not_null(offer);
	cr_assert_eq(hvs_guest_channel_open(m->guest, offer,
					    m->opt.ring_bytes ? m->opt.ring_bytes : RING_BYTES,
					    &m->ch),
		     0);
}

void ic_negotiate(struct ic_machine *m, uint32_t version)
{
	cr_assert_eq(hvs_guest_ic_negotiate(m->ch, &version, 1, true), version);
	ic_run(m);
	cr_assert(ic_status(m).ready);
}

struct ic_machine *ic_new(const struct ic_options *opt, uint32_t version)
{
	struct ic_machine *m = ic_up(opt);

	ic_connect(m);
	ic_open(m);
	ic_negotiate(m, version);
	return m;
}

void ic_down(struct ic_machine *m)
{
	cr_assert(m->may_fault || hvs_loopback_count(m->lb)->faults == 0);
	hvs_loopback_destroy(m->lb);
	free(m);
}

void ic_replace(struct ic_machine *m)
{
	cr_assert_eq(hvs_loopback_replace_host(m->lb, m->opt.loopback.flags, ic_offer, m), 0);
	ic_run(m);
}

/* ---- both ends ------------------------------------------------------------------------------ */

void ic_run(struct ic_machine *m)
{
	hvs_loopback_run(m->lb);
}

void ic_advance(struct ic_machine *m, uint32_t ms)
{
	ic_run(m);
	while (ms) {
		uint32_t step = ms < STEP_MS ? ms : STEP_MS;

		hvs_loopback_advance(m->lb, step * 1000000ull);
		ic_run(m);
		ms -= step;
	}
}

struct hvs_guest_ic_message ic_take(struct ic_machine *m)
{
	struct hvs_guest_ic_message msg = {0};

	ic_run(m);
	cr_assert_eq(hvs_guest_ic_recv(m->ch, &msg), 1);
	return msg;
}

bool ic_nothing(struct ic_machine *m)
{
	struct hvs_guest_ic_message msg;

	ic_run(m);
	return hvs_guest_ic_recv(m->ch, &msg) == 0;
}

void ic_answer(struct ic_machine *m, const struct hvs_guest_ic_message *msg, uint32_t status,
	       const void *body, uint32_t len)
{
	cr_assert_eq(hvs_guest_ic_reply(m->ch, msg, status, body, len), 0);
	ic_run(m);
}

void ic_send_raw(struct ic_machine *m, const void *bytes, uint32_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)bytes, len};

	cr_assert_eq(hvs_guest_send(m->ch, 0, false, NULL, &iov, 1), 0);
	hvs_guest_flush(m->ch);
	ic_run(m);
}

struct hvs_ic_status ic_status(const struct ic_machine *m)
{
	struct hvs_ic_status s = {HVS_IC_STATUS_INIT};

	cr_assert_eq(hvs_ic_get_status(m->ic, &s), 0);
	return s;
}

void ic_note_done(void *arg, int status, uint32_t guest_status)
{
	struct ic_done *d = arg;

	d->count++;
	d->status = status;
	d->guest_status = guest_status;
}
