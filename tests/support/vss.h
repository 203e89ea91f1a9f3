/* SPDX-License-Identifier: MIT */
/* A machine with VSS, somebody who asks for things, and a guest that does them. */
#ifndef TESTS_SUPPORT_VSS_H
#define TESTS_SUPPORT_VSS_H

#include "ic/vss.h"
#include "support/ic.h"

#define V5 IC_VERSION(5, 0)

/* Somebody who asks, and what became of it. */
static struct ic_done frozen;
static struct ic_done thawed;

static inline struct ic_options usual(void)
{
	frozen = (struct ic_done){0};
	thawed = (struct ic_done){0};
	return (struct ic_options){.cfg = {.kind = HVS_IC_VSS}};
}

static inline struct ic_machine *up(void)
{
	const struct ic_options opt = usual();

	return ic_new(&opt, V5);
}

static inline enum hvs_vss_state state(const struct ic_machine *m)
{
	return hvs_vss_get_state(m->ic);
}

static inline void ask_freeze(struct ic_machine *m)
{
	const struct hvs_vss_freeze_request q = {HVS_VSS_FREEZE_REQUEST_INIT};

	cr_assert_eq(hvs_vss_freeze(m->ic, &q, ic_note_done, &frozen), 0);
	cr_assert_eq(state(m), HVS_VSS_FREEZING);
}

static inline void ask_thaw(struct ic_machine *m)
{
	cr_assert_eq(hvs_vss_thaw(m->ic, 0, ic_note_done, &thawed), 0);
}

/* The next message of the host, which must be this one; its body is as long as guests want it. */
static inline struct hvs_guest_ic_message take(struct ic_machine *m, enum hvsi_vss_op op)
{
	const struct hvs_guest_ic_message msg = ic_take(m);

	cr_assert_eq(msg.type, HVS_IC_VSS);
	cr_assert_eq(msg.body[0], op, "%u", msg.body[0]);
	cr_assert_eq(msg.len, op == HVSI_VSS_FREEZE         ? 6260
			      : op == HVSI_VSS_AUTO_RECOVER ? 12500
							    : 12);
	return msg;
}

/* An answer with nothing new in it: only the status counts. */
static inline void answer(struct ic_machine *m, const struct hvs_guest_ic_message *msg,
			  uint32_t status)
{
	const struct hvsi_vss_flags body = {.head = {.op = msg->body[0]}};

	ic_answer(m, msg, status, &body, sizeof(body));
}

static inline void guest_does(struct ic_machine *m, enum hvsi_vss_op op, uint32_t status)
{
	const struct hvs_guest_ic_message msg = take(m, op);

	answer(m, &msg, status);
}

static inline struct ic_machine *up_frozen(void)
{
	struct ic_machine *m = up();

	ask_freeze(m);
	guest_does(m, HVSI_VSS_FREEZE, HVS_IC_S_OK);
	cr_assert_eq(frozen.count, 1);
	cr_assert_eq(frozen.status, 0);
	cr_assert_eq(state(m), HVS_VSS_FROZEN);
	return m;
}

static inline void expect(const struct ic_machine *m, enum hvs_vss_state want, unsigned late,
			  unsigned alarms)
{
	cr_expect_eq(state(m), want, "state %u", state(m));
	cr_expect_eq(m->events[HVS_IC_EVENT_THAWED_LATE], late, "late");
	cr_expect_eq(m->events[HVS_IC_EVENT_MAY_BE_FROZEN], alarms, "alarms");
}

static inline void expect_done(const struct ic_done *d, int status, uint32_t guest_status)
{
	cr_expect_eq(d->count, 1, "done ran %u times", d->count);
	cr_expect_eq(d->status, status, "status %d", d->status);
	cr_expect_eq(d->guest_status, guest_status, "guest's status %#x", d->guest_status);
}

#endif
