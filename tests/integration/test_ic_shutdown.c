/* SPDX-License-Identifier: MIT */
/* Shutdown: what the guest is asked for, and what it says. */
#include "support/ic.h"

#include <errno.h>

#define BODY_BYTES 2060u

static struct ic_machine *up(uint32_t version)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}};

	return ic_new(&opt, version);
}

static uint32_t word(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int ask(struct ic_machine *m, enum hvs_shutdown_action action, struct ic_done *d)
{
	const struct hvs_shutdown_request q = {HVS_SHUTDOWN_REQUEST_INIT, .action = action};

	return hvs_shutdown(m->ic, &q, ic_note_done, d);
}

/* ---- what is sent --------------------------------------------------------------------------- */

Test(ic_shutdown, each_action_has_its_flags)
{
	static const struct {
		enum hvs_shutdown_action action;
		bool force;
		uint32_t flags;
	} row[] = {
		{HVS_SHUTDOWN_POWER_OFF, false, 0}, {HVS_SHUTDOWN_POWER_OFF, true, 1},
		{HVS_SHUTDOWN_RESTART, false, 2},   {HVS_SHUTDOWN_RESTART, true, 3},
		{HVS_SHUTDOWN_HIBERNATE, false, 4}, {HVS_SHUTDOWN_HIBERNATE, true, 5},
	};
	struct ic_machine *m = up(IC_VERSION(3, 2));

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const struct hvs_shutdown_request q = {
			HVS_SHUTDOWN_REQUEST_INIT, .action = row[i].action, .force = row[i].force,
			.guest_timeout_s = (uint32_t)i * 1000};
		struct ic_done d = {0};
		struct hvs_guest_ic_message msg;

		cr_assert_eq(hvs_shutdown(m->ic, &q, ic_note_done, &d), 0);
		msg = ic_take(m);
		cr_assert_eq(msg.type, HVS_IC_SHUTDOWN);
		cr_assert_eq(msg.len, BODY_BYTES);
		cr_assert_eq(word(msg.body), 0x80000000);
		cr_assert_eq(word(msg.body + 4), i * 1000);
		cr_assert_eq(word(msg.body + 8), row[i].flags);
		for (unsigned k = 12; k < BODY_BYTES; k++)
			cr_assert_eq(msg.body[k], 0);
		ic_answer(m, &msg, 0, msg.body, msg.len);
		cr_assert_eq(d.count, 1);
		cr_assert_eq(d.status, 0);
	}
	ic_down(m);
}

Test(ic_shutdown, the_bytes_are_those_of_hyper_v_but_for_the_transaction)
{
	/* Pipe header on. */
	static const uint8_t want[] = {0x01, 0x00, 0x00, 0x00, 0x20, 0x08, 0x00, 0x00, 0x03, 0x00,
				       0x00, 0x00, 0x03, 0x00, 0x03, 0x00, 0x02, 0x00, 0x0c, 0x08,
				       0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x00, 0x00, 0x00, 0x00,
				       0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00};
	struct ic_machine *m = up(IC_VERSION(3, 2));
	struct ic_done d = {0};
	const uint8_t *ring;
	size_t len;

	cr_assert_eq(ask(m, HVS_SHUTDOWN_RESTART, &d), 0);
	ic_run(m);
	ring = hvs_guest_channel_rings(m->ch, &len);
	/* Behind the versions, 80 bytes and a trailer, and the descriptor. */
	cr_assert_arr_eq(ring + len / 2 + 4096 + 88 + 16, want, sizeof(want));
	ic_down(m);
}

Test(ic_shutdown, a_reason_is_sent_in_utf16)
{
	struct ic_machine *m = up(IC_VERSION(3, 2));
	struct hvs_shutdown_request q = {HVS_SHUTDOWN_REQUEST_INIT, .reason = "a\xe2\x82\xac"};
	struct ic_done d = {0};
	struct hvs_guest_ic_message msg;
	char longest[HVS_SHUTDOWN_REASON_MAX + 2];

	cr_assert_eq(hvs_shutdown(m->ic, &q, ic_note_done, &d), 0);
	msg = ic_take(m);
	cr_assert_arr_eq(msg.body + 12, "a\0\xac\x20\0\0", 6);
	ic_answer(m, &msg, 0, NULL, 0);

	memset(longest, 'z', sizeof(longest));
	longest[HVS_SHUTDOWN_REASON_MAX] = 0;
	q.reason = longest;
	cr_assert_eq(hvs_shutdown(m->ic, &q, ic_note_done, &d), 0);
	memset(longest, 'y', sizeof(longest)); /* it was copied */
	msg = ic_take(m);
	for (unsigned i = 0; i < HVS_SHUTDOWN_REASON_MAX; i++)
		cr_assert_eq(msg.body[12 + 2 * i], 'z');
	cr_assert_eq(msg.body[BODY_BYTES - 2], 0);
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(d.count, 2);
	ic_down(m);
}

/* ---- what is refused ------------------------------------------------------------------------ */

Test(ic_shutdown, old_guests_are_not_asked_for_what_they_do_not_know)
{
	static const struct {
		uint32_t version;
		int restart;
		int hibernate;
	} row[] = {
		{IC_VERSION(1, 0), -ENOTSUP, -ENOTSUP},
		{IC_VERSION(3, 0), -ENOTSUP, -ENOTSUP},
		{IC_VERSION(3, 1), 0, -ENOTSUP},
		{IC_VERSION(3, 2), 0, 0},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		for (unsigned action = 0; action <= HVS_SHUTDOWN_HIBERNATE; action++) {
			struct ic_machine *m = up(row[i].version);
			struct ic_done d = {0};
			int want = action == HVS_SHUTDOWN_RESTART     ? row[i].restart
				   : action == HVS_SHUTDOWN_HIBERNATE ? row[i].hibernate
								      : 0;

			cr_assert_eq(ask(m, action, &d), want, "%zu %u", i, action);
			cr_assert_eq(ic_nothing(m), want != 0);
			ic_down(m);
		}
}

Test(ic_shutdown, requests_that_make_no_sense_are_refused)
{
	struct ic_machine *m = up(IC_VERSION(3, 2));
	char too_long[HVS_SHUTDOWN_REASON_MAX + 2];
	struct hvs_shutdown_request q = {HVS_SHUTDOWN_REQUEST_INIT, .action = 3};
	struct {
		struct hvs_shutdown_request known;
		uint32_t unknown;
	} newer = {.known.size = sizeof(newer), .unknown = 1};

	cr_assert_eq(hvs_shutdown(m->ic, NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_shutdown(m->ic, &q, NULL, NULL), -EINVAL);
	q.action = HVS_SHUTDOWN_POWER_OFF;
	q.reason = "\xff";
	cr_assert_eq(hvs_shutdown(m->ic, &q, NULL, NULL), -EINVAL);
	memset(too_long, 'z', sizeof(too_long));
	too_long[sizeof(too_long) - 1] = 0;
	q.reason = too_long;
	cr_assert_eq(hvs_shutdown(m->ic, &q, NULL, NULL), -EINVAL);
	q.reason = NULL;
	q.size = 4;
	cr_assert_eq(hvs_shutdown(m->ic, &q, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_shutdown(m->ic, &newer.known, NULL, NULL), -ENOTSUP);
	cr_assert(ic_nothing(m));
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	q.size = sizeof(q);
	cr_assert_eq(hvs_shutdown(m->ic, &q, NULL, NULL), -ENOTCONN);
	ic_down(m);
}

Test(ic_shutdown, a_second_request_waits_for_the_guests_answer_to_the_first)
{
	struct ic_machine *m = up(IC_VERSION(3, 2));
	struct ic_done d = {0};
	struct ic_done again = {0};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(ask(m, HVS_SHUTDOWN_POWER_OFF, &d), 0);
	cr_assert_eq(ask(m, HVS_SHUTDOWN_POWER_OFF, &again), -EALREADY); /* not sent yet */
	msg = ic_take(m);
	cr_assert_eq(ask(m, HVS_SHUTDOWN_RESTART, &again), -EALREADY);
	ic_advance(m, 9950);
	cr_assert_eq(d.count, 0);
	ic_advance(m, 100);
	cr_assert_eq(d.status, -ETIMEDOUT);
	cr_assert_eq(ask(m, HVS_SHUTDOWN_RESTART, &again), -EALREADY); /* it may still do it */
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(d.count, 1);
	cr_assert_eq(ask(m, HVS_SHUTDOWN_RESTART, &again), 0);
	msg = ic_take(m);
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(again.count, 1);
	cr_assert_eq(again.status, 0);
	ic_down(m);
}

Test(ic_shutdown, what_is_withdrawn_before_it_is_sent_is_not_asked)
{
	struct ic_machine *m = up(IC_VERSION(3, 2));
	struct ic_done d = {0};

	cr_assert_eq(ask(m, HVS_SHUTDOWN_POWER_OFF, &d), 0);
	cr_assert_eq(hvs_ic_cancel(m->ic, &d), 1);
	cr_assert(ic_nothing(m));
	cr_assert_eq(d.status, -ECANCELED);
	cr_assert_eq(ask(m, HVS_SHUTDOWN_POWER_OFF, &d), 0);
	ic_down(m);
}

/* ---- what the guest says -------------------------------------------------------------------- */

Test(ic_shutdown, a_guest_that_cannot_says_so)
{
	static const uint32_t codes[] = {HVS_IC_E_FAIL, HVS_IC_E_MACHINE_LOCKED, 22};
	struct ic_machine *m = up(IC_VERSION(3, 2));

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct ic_done d = {0};
		struct hvs_guest_ic_message msg;

		cr_assert_eq(ask(m, HVS_SHUTDOWN_HIBERNATE, &d), 0);
		msg = ic_take(m);
		ic_answer(m, &msg, codes[i], msg.body, msg.len);
		cr_assert_eq(d.status, -EREMOTEIO);
		cr_assert_eq(d.guest_status, codes[i]);
	}
	ic_down(m);
}

Test(ic_shutdown, a_guest_that_goes_down_closes_its_channel)
{
	struct ic_machine *m = up(IC_VERSION(3, 2));
	struct ic_done d = {0};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(ask(m, HVS_SHUTDOWN_POWER_OFF, &d), 0);
	msg = ic_take(m);
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(d.status, 0);
	cr_assert_eq(hvs_guest_unload(m->guest), 0);
	ic_run(m);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	cr_assert_eq(ask(m, HVS_SHUTDOWN_POWER_OFF, &d), -ENOTCONN);
	cr_assert_eq(d.count, 1);
	ic_down(m);
}

Test(ic_shutdown, the_smallest_ring_that_there_is_suffices)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_SHUTDOWN}, .ring_bytes = 4096};
	struct ic_machine *m = ic_new(&opt, IC_VERSION(3, 2));
	struct ic_done d = {0};

	for (unsigned i = 0; i < 10; i++) {
		struct hvs_guest_ic_message msg;

		cr_assert_eq(ask(m, HVS_SHUTDOWN_POWER_OFF, &d), 0);
		msg = ic_take(m);
		ic_answer(m, &msg, 0, msg.body, msg.len);
	}
	cr_assert_eq(d.count, 10);
	ic_down(m);
}
