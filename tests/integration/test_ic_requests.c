/* SPDX-License-Identifier: MIT */
/* What all integration components have in common: one message at a time, time limits, withdrawal,
 * guests that go away. Time synchronization stands for all: anybody may ask for it any time. */
#include "support/ic.h"

#include <errno.h>

#define SYNCS 3u

static struct ic_machine *up(void)
{
	const struct ic_options opt = {
		.cfg = {.kind = HVS_IC_TIMESYNC, .interval_ms = 3600000, .reference_time = true}};

	return ic_new(&opt, IC_VERSION(4, 0));
}

/* The guest's next message, answered. */
static void answer(struct ic_machine *m)
{
	struct hvs_guest_ic_message msg = ic_take(m);

	cr_assert_eq(msg.type, HVS_IC_TIMESYNC);
	ic_answer(m, &msg, 0, msg.body, msg.len);
}

/* Ready, and with nothing to do for an hour. */
static struct ic_machine *idle(void)
{
	struct ic_machine *m = up();

	answer(m);
	cr_assert(ic_nothing(m));
	return m;
}

static void sync(struct ic_machine *m, struct ic_done *d, uint32_t timeout_ms)
{
	cr_assert_eq(hvs_timesync_sync(m->ic, timeout_ms, ic_note_done, d), 0);
}

static void ended(const struct ic_done *d, int status)
{
	cr_expect_eq(d->count, 1);
	cr_expect_eq(d->status, status, "%d", d->status);
}

/* ---- one at a time -------------------------------------------------------------------------- */

Test(ic_requests, the_guest_has_one_message_at_a_time)
{
	struct ic_machine *m = up();
	struct ic_done d[SYNCS] = {{0}};

	for (unsigned i = 0; i < SYNCS; i++)
		sync(m, &d[i], 0);
	cr_assert_eq(ic_status(m).waiting, SYNCS + 1);
	for (unsigned i = 0; i < SYNCS; i++) {
		struct hvs_guest_ic_message msg = ic_take(m);

		cr_assert(ic_nothing(m));
		ic_advance(m, 1000);
		cr_assert(ic_nothing(m));
		cr_assert_eq(d[i].count, 0);
		ic_answer(m, &msg, 0, NULL, 0);
	}
	answer(m);
	for (unsigned i = 0; i < SYNCS; i++)
		ended(&d[i], 0);
	cr_assert(ic_nothing(m));
	cr_assert_eq(ic_status(m).requests, SYNCS + 1);
	cr_assert_eq(ic_status(m).waiting, 0);
	ic_down(m);
}

Test(ic_requests, transactions_are_numbered_and_never_0)
{
	struct ic_machine *m = idle();
	struct ic_done d = {0};
	uint8_t last = 0;

	for (unsigned i = 0; i < 600; i++) {
		struct hvs_guest_ic_message msg;

		sync(m, &d, 0);
		msg = ic_take(m);
		cr_assert_neq(msg.transaction, 0);
		if (i)
			cr_assert_eq(msg.transaction, last == 255 ? 1 : last + 1);
		last = msg.transaction;
		ic_answer(m, &msg, 0, NULL, 0);
	}
	cr_assert_eq(d.count, 600);
	ic_down(m);
}

Test(ic_requests, an_error_of_the_guest_is_passed_on)
{
	struct ic_machine *m = idle();
	struct ic_done d = {0};
	struct hvs_guest_ic_message msg;

	sync(m, &d, 0);
	msg = ic_take(m);
	ic_answer(m, &msg, HVS_IC_E_FAIL, msg.body, msg.len);
	ended(&d, -EREMOTEIO);
	cr_assert_eq(d.guest_status, HVS_IC_E_FAIL);
	cr_assert_eq(ic_status(m).failures, 1);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_down(m);
}

Test(ic_requests, more_than_can_wait_are_refused)
{
	struct ic_machine *m = idle();
	struct ic_done d = {0};

	for (unsigned i = 0; i < 64; i++)
		sync(m, &d, 0);
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), -ENOSPC);
	answer(m);
	sync(m, &d, 0);
	for (unsigned i = 0; i < 64; i++)
		answer(m);
	cr_assert_eq(d.count, 65);
	ic_down(m);
}

/* ---- time ----------------------------------------------------------------------------------- */

Test(ic_requests, a_late_answer_is_dropped_and_what_waited_goes_on)
{
	struct ic_machine *m = idle();
	struct ic_done late = {0};
	struct ic_done next = {0};
	struct hvs_guest_ic_message msg;

	sync(m, &late, 1000);
	sync(m, &next, 5000);
	msg = ic_take(m);
	ic_advance(m, 950);
	cr_assert_eq(late.count, 0);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_advance(m, 100);
	ended(&late, -ETIMEDOUT);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_TIMED_OUT);
	cr_assert_eq(m->status.primary, HVS_IC_LOST_COMMUNICATION);
	cr_assert(ic_status(m).ready);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, 0, NULL, 0);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	cr_assert_eq(m->status.primary, HVS_IC_OK);
	cr_assert_eq(ic_status(m).malformed, 1);
	cr_assert_eq(ic_status(m).timeouts, 1);
	answer(m);
	ended(&late, -ETIMEDOUT);
	ended(&next, 0);
	ic_down(m);
}

Test(ic_requests, the_time_includes_that_of_waiting)
{
	struct ic_machine *m = idle();
	struct ic_done first = {0};
	struct ic_done second = {0};

	sync(m, &first, 10000);
	sync(m, &second, 2000);
	ic_advance(m, 2050);
	ended(&second, -ETIMEDOUT);
	cr_assert_eq(first.count, 0);
	/* The guest is in time with the first one. */
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	answer(m);
	ended(&first, 0);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_requests, all_that_waits_behind_a_dead_guest_ends)
{
	struct ic_machine *m = idle();
	struct ic_done d[SYNCS] = {{0}};

	for (unsigned i = 0; i < SYNCS; i++)
		sync(m, &d[i], 1000 * (i + 1));
	for (unsigned i = 0; i < SYNCS; i++) {
		ic_advance(m, 1000);
		ic_advance(m, 50);
		ended(&d[i], -ETIMEDOUT);
	}
	cr_assert_eq(ic_status(m).timeouts, SYNCS);
	cr_assert_eq(ic_status(m).requests, 2);
	cr_assert_eq(ic_status(m).waiting, 0);
	ic_down(m);
}

/* ---- withdrawal ----------------------------------------------------------------------------- */

Test(ic_requests, what_is_withdrawn_before_it_is_sent_is_never_sent)
{
	struct ic_machine *m = idle();
	struct ic_done sent = {0};
	struct ic_done waiting = {0};
	struct ic_done other = {0};

	sync(m, &sent, 0);
	sync(m, &waiting, 0);
	sync(m, &other, 0);
	sync(m, &waiting, 0);
	cr_assert_eq(hvs_ic_cancel(m->ic, &waiting), 2);
	cr_assert_eq(hvs_ic_cancel(m->ic, &waiting), 0);
	cr_assert_eq(waiting.count, 0); /* not from inside */
	ic_run(m);
	cr_assert_eq(waiting.count, 2);
	cr_assert_eq(waiting.status, -ECANCELED);
	answer(m);
	answer(m);
	cr_assert(ic_nothing(m));
	ended(&sent, 0);
	ended(&other, 0);
	cr_assert_eq(ic_status(m).timeouts, 0);
	ic_down(m);
}

Test(ic_requests, what_the_guest_has_can_be_withdrawn_but_must_be_answered)
{
	struct ic_machine *m = idle();
	struct ic_done d = {0};
	struct ic_done next = {0};
	struct hvs_guest_ic_message msg;

	sync(m, &d, 0);
	sync(m, &next, 0);
	msg = ic_take(m);
	cr_assert_eq(hvs_ic_cancel(m->ic, &d), 1);
	ic_run(m);
	ended(&d, -ECANCELED);
	cr_assert(ic_nothing(m));
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(ic_status(m).malformed, 0);
	answer(m);
	ended(&d, -ECANCELED);
	ended(&next, 0);
	ic_down(m);
}

Test(ic_requests, an_answer_that_crosses_the_withdrawal_does_not_count)
{
	struct ic_machine *m = idle();
	struct ic_done d = {0};
	struct hvs_guest_ic_message msg;

	sync(m, &d, 0);
	msg = ic_take(m);
	cr_assert_eq(hvs_guest_ic_reply(m->ch, &msg, HVS_IC_E_FAIL, NULL, 0), 0);
	cr_assert_eq(hvs_ic_cancel(m->ic, &d), 1);
	ic_run(m);
	ended(&d, -ECANCELED);
	cr_assert_eq(ic_status(m).failures, 0);
	ic_down(m);
}

Test(ic_requests, a_guest_that_keeps_a_withdrawn_message_is_found_out_by_the_next)
{
	struct ic_machine *m = idle();
	struct ic_done d = {0};
	struct ic_done next = {0};

	sync(m, &d, 0);
	ic_run(m);
	cr_assert_eq(hvs_ic_cancel(m->ic, &d), 1);
	sync(m, &next, 1000);
	ic_advance(m, 1050);
	ended(&next, -ETIMEDOUT);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_TIMED_OUT);
	ic_down(m);
}

Test(ic_requests, nobody_withdraws_what_the_service_does_by_itself)
{
	struct ic_machine *m = up();

	ic_run(m);
	cr_assert_eq(hvs_ic_cancel(m->ic, NULL), 0);
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, NULL, NULL), 0);
	cr_assert_eq(hvs_ic_cancel(m->ic, NULL), 1);
	answer(m);
	cr_assert(ic_nothing(m));
	cr_assert_eq(hvs_ic_cancel(NULL, NULL), 0);
	ic_down(m);
}

/* ---- callbacks ------------------------------------------------------------------------------ */

struct chain {
	struct ic_machine *m;
	unsigned left;
	unsigned done;
};

static void ask_again(void *arg, int status, uint32_t guest_status)
{
	struct chain *c = arg;

	(void)status;
	(void)guest_status;
	c->done++;
	if (c->left--)
		cr_assert_eq(hvs_timesync_sync(c->m->ic, 0, ask_again, c), 0);
}

Test(ic_requests, whoever_is_told_may_ask_again)
{
	struct ic_machine *m = idle();
	struct chain c = {.m = m, .left = 3};

	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ask_again, &c), 0);
	for (unsigned i = 0; i < 4; i++)
		answer(m);
	cr_assert_eq(c.done, 4);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

static void note_gone(void *arg, int status)
{
	cr_assert_eq(status, 0);
	(*(unsigned *)arg)++;
}

struct remover {
	struct ic_machine *m;
	struct ic_done d;
	unsigned gone;
};

static void remove_it(void *arg, int status, uint32_t guest_status)
{
	struct remover *r = arg;

	ic_note_done(&r->d, status, guest_status);
	cr_assert_eq(hvs_ic_destroy(r->m->ic, note_gone, &r->gone), 0);
}

Test(ic_requests, whoever_is_told_may_take_the_service_away)
{
	struct ic_machine *m = idle();
	struct remover r = {.m = m};
	struct ic_done other = {0};
	unsigned events;

	cr_assert_eq(hvs_timesync_sync(m->ic, 0, remove_it, &r), 0);
	sync(m, &other, 0);
	events = m->events[HVS_IC_EVENT_STATUS];
	answer(m);
	ic_run(m);
	ended(&r.d, 0);
	ended(&other, -ENOTCONN);
	cr_assert_eq(r.gone, 1);
	cr_assert_eq(m->events[HVS_IC_EVENT_STATUS], events);
	ic_down(m);
}

/* ---- guests that go away -------------------------------------------------------------------- */

Test(ic_requests, when_the_guest_closes_all_requests_end)
{
	struct ic_machine *m = idle();
	struct ic_done d[SYNCS] = {{0}};

	for (unsigned i = 0; i < SYNCS; i++)
		sync(m, &d[i], 0);
	ic_run(m);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	for (unsigned i = 0; i < SYNCS; i++)
		ended(&d[i], -ENOTCONN);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	cr_assert_not(ic_status(m).open);
	cr_assert_not(m->status.open);
	cr_assert_eq(ic_status(m).service_version, 0);
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d[0]), -ENOTCONN);
	cr_assert_eq(hvs_ic_cancel(m->ic, &d[0]), 0);
	/* And comes back. */
	ic_open(m);
	ic_negotiate(m, IC_VERSION(3, 0));
	answer(m);
	ic_expect(m, HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH);
	ended(&d[0], -ENOTCONN);
	ic_down(m);
}

Test(ic_requests, requests_of_a_service_that_is_destroyed_end_before_it_is_gone)
{
	struct ic_machine *m = idle();
	struct ic_done d[SYNCS] = {{0}};
	unsigned events = m->events[HVS_IC_EVENT_STATUS];
	unsigned gone = 0;

	for (unsigned i = 0; i < SYNCS; i++)
		sync(m, &d[i], 0);
	ic_run(m);
	cr_assert_eq(hvs_ic_destroy(m->ic, note_gone, &gone), 0);
	cr_assert_eq(d[0].count + gone, 0); /* not from inside */
	ic_run(m);
	cr_assert_eq(gone, 1);
	for (unsigned i = 0; i < SYNCS; i++)
		ended(&d[i], -ENOTCONN);
	cr_assert_eq(m->events[HVS_IC_EVENT_STATUS], events);
	/* Another one takes its place. */
	cr_assert_eq(ic_offer(m, hvs_loopback_bus(m->lb)), 0);
	ic_run(m);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	ic_down(m);
}

Test(ic_requests, a_service_that_was_never_opened_can_be_destroyed)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_TIMESYNC}};
	struct ic_machine *m = ic_up(&opt);
	unsigned gone = 0;

	cr_assert_eq(hvs_ic_destroy(m->ic, note_gone, &gone), 0);
	cr_assert_eq(hvs_loopback_start(m->lb, &m->guest), 0);
	ic_run(m);
	cr_assert_eq(gone, 1);
	ic_down(m);
}

static void reset(struct ic_machine *m)
{
	unsigned done = 0;

	cr_assert_eq(hvs_vmbus_reset(hvs_loopback_bus(m->lb), note_gone, &done), 0);
	ic_run(m);
	cr_assert_eq(done, 1);
}

Test(ic_requests, when_the_machine_is_reset_all_requests_end_and_nothing_is_known)
{
	struct ic_machine *m = idle();
	struct ic_done d[SYNCS] = {{0}};

	for (unsigned i = 0; i < SYNCS; i++)
		sync(m, &d[i], 0);
	ic_run(m);
	reset(m);
	for (unsigned i = 0; i < SYNCS; i++)
		ended(&d[i], -ENOTCONN);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	cr_assert_eq(m->status.primary, HVS_IC_NO_CONTACT);
	ic_down(m);
}

Test(ic_requests, a_reset_after_the_guest_has_closed_is_a_new_beginning_too)
{
	struct ic_machine *m = idle();

	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	reset(m);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	ic_down(m);
}
