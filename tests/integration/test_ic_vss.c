/* SPDX-License-Identifier: MIT */
/* VSS: whatever happens while a guest is frozen, or might be, it is thawed. */
#include "support/vss.h"

#include <errno.h>

/* ---- a backup -------------------------------------------------------------------------------- */

static uint32_t check_flags;

static void checked(void *arg, int status, uint32_t guest_status, uint32_t flags)
{
	ic_note_done(arg, status, guest_status);
	check_flags = flags;
}

Test(ic_vss, a_backup_of_linux)
{
	struct ic_machine *m = up();
	struct ic_done check = {0};
	struct ic_done complete = {0};
	struct hvsi_vss_flags linux_answer = {.head = {.op = HVSI_VSS_HOT_BACKUP},
					      .flags = hvsi_le32(5)};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_vss_check(m->ic, 0, checked, &check), 0);
	msg = take(m, HVSI_VSS_HOT_BACKUP);
	ic_answer(m, &msg, 0, &linux_answer, sizeof(linux_answer));
	expect_done(&check, 0, 0);
	cr_assert(check_flags & HVS_VSS_NO_AUTO_RECOVER);

	ask_freeze(m);
	guest_does(m, HVSI_VSS_FREEZE, 0);
	expect_done(&frozen, 0, 0);
	ask_thaw(m);
	cr_assert_eq(state(m), HVS_VSS_THAWING);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect_done(&thawed, 0, 0);
	cr_assert_eq(hvs_vss_complete(m->ic, 0, ic_note_done, &complete), 0);
	guest_does(m, HVSI_VSS_COMPLETE, 0);
	expect_done(&complete, 0, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_vss, disks_to_freeze_are_named_as_the_wire_has_them)
{
	struct ic_machine *m = up();
	const struct hvs_vss_lun luns[] = {
		{.controller = {{1, 2, 3}}, .port = 4, .target = 5, .lun = 6}, {.lun = 63}};
	const struct hvs_vss_freeze_request q = {HVS_VSS_FREEZE_REQUEST_INIT, .lun_count = 2,
						 .luns = luns};
	struct hvs_guest_ic_message msg;
	static const uint8_t zero[6240 - 48];

	cr_assert_eq(hvs_vss_freeze(m->ic, &q, NULL, NULL), 0);
	msg = take(m, HVSI_VSS_FREEZE);
	cr_assert_eq(msg.body[16], 2);
	cr_assert_arr_eq(msg.body + 20 + 4, luns[0].controller.b, 16);
	cr_assert_eq(msg.body[20 + 20], 4);
	cr_assert_eq(msg.body[20 + 21], 5);
	cr_assert_eq(msg.body[20 + 22], 6);
	cr_assert_eq(msg.body[44 + 22], 63);
	cr_assert_arr_eq(msg.body + 68, zero, sizeof(zero));
	answer(m, &msg, 0);
	ic_down(m);
}

/* ---- guests that differ ---------------------------------------------------------------------- */

Test(ic_vss, linux_without_its_daemon_is_believed_that_nothing_is_frozen)
{
	struct ic_machine *m = up();
	struct ic_done check = {0};

	cr_assert_eq(hvs_vss_check(m->ic, 0, checked, &check), 0);
	guest_does(m, HVSI_VSS_HOT_BACKUP, HVS_IC_E_FAIL);
	expect_done(&check, -EREMOTEIO, HVS_IC_E_FAIL);
	ask_freeze(m);
	guest_does(m, HVSI_VSS_FREEZE, HVS_IC_E_FAIL);
	expect_done(&frozen, -EREMOTEIO, HVS_IC_E_FAIL);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(state(m), HVS_VSS_THAWING);
		guest_does(m, HVSI_VSS_THAW, HVS_IC_E_FAIL);
	}
	expect(m, HVS_VSS_IDLE, 0, 0);
	ask_freeze(m);
	guest_does(m, HVSI_VSS_FREEZE, HVS_IC_S_OK);
	cr_assert_eq(state(m), HVS_VSS_FROZEN);
	ic_down(m);
}

Test(ic_vss, freebsd_does_not_answer_complete_and_is_asked_other_things_after_that)
{
	struct ic_machine *m = up();
	struct ic_done complete = {0};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_vss_complete(m->ic, 0, ic_note_done, &complete), 0);
	msg = take(m, HVSI_VSS_COMPLETE);
	cr_assert_eq(hvs_ic_cancel(m->ic, &complete), 0, "it has it");
	ask_freeze(m);
	ic_advance(m, 4900);
	cr_assert(ic_nothing(m));
	cr_assert_eq(complete.count, 0);
	ic_advance(m, 200);
	expect_done(&complete, -ETIMEDOUT, 0);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	answer(m, &msg,
	       HVS_IC_E_FAIL); /* should it answer yet: nobody takes it for another answer */
	cr_assert_eq(state(m), HVS_VSS_FREEZING);
	guest_does(m, HVSI_VSS_FREEZE, 0);
	expect_done(&frozen, 0, 0);
	ic_down(m);
}

Test(ic_vss, a_complete_that_nobody_answers_does_not_hold_up_a_restored_guest)
{
	struct ic_machine *m = up();

	cr_assert_eq(hvs_vss_complete(m->ic, 0, NULL, NULL), 0);
	(void)take(m, HVSI_VSS_COMPLETE);
	ic_replace(m);
	ic_negotiate(m, V5);
	ic_down(m);
}

Test(ic_vss, a_check_of_too_few_bytes_makes_no_sense)
{
	struct ic_machine *m = up();
	struct ic_done check = {0};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_vss_check(m->ic, 0, checked, &check), 0);
	msg = take(m, HVSI_VSS_HOT_BACKUP);
	ic_answer(m, &msg, 0, msg.body, 11);
	expect_done(&check, -EPROTO, 0);
	cr_assert_eq(ic_status(m).malformed, 1);
	ic_down(m);
}

Test(ic_vss, guests_of_4_0_can_be_asked_but_not_frozen)
{
	const struct ic_options opt = usual();
	struct ic_machine *m = ic_new(&opt, IC_VERSION(4, 0));
	const struct hvs_vss_freeze_request q = {HVS_VSS_FREEZE_REQUEST_INIT};
	const struct hvs_vss_lun lun = {.lun = 1};
	struct ic_done check = {0};

	cr_assert_eq(hvs_vss_freeze(m->ic, &q, ic_note_done, &frozen), -ENOTSUP);
	cr_assert_eq(hvs_vss_auto_recover(m->ic, &lun, &lun, 1, 0, NULL, NULL), -ENOTSUP);
	cr_assert_eq(hvs_vss_check(m->ic, 0, checked, &check), 0);
	guest_does(m, HVSI_VSS_HOT_BACKUP, 0);
	expect_done(&check, 0, 0);
	ic_down(m);
}

Test(ic_vss, recovery_needs_a_ring_larger_than_linux_has)
{
	struct ic_options opt = usual();
	struct ic_machine *m = up();
	const struct hvs_vss_lun lun = {.lun = 1};
	const struct hvs_vss_lun shadow = {.lun = 2};
	struct ic_done recovered = {0};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_vss_auto_recover(m->ic, &lun, &shadow, 1, 0, NULL, NULL), -EMSGSIZE);
	ic_down(m);
	opt.ring_bytes = 16384;
	m = ic_new(&opt, V5);
	cr_assert_eq(hvs_vss_auto_recover(m->ic, &lun, &shadow, 1, 0, ic_note_done, &recovered), 0);
	msg = take(m, HVSI_VSS_AUTO_RECOVER);
	cr_assert_eq(msg.body[20 + 22], 1);
	cr_assert_eq(msg.body[6260 + 22], 2);
	answer(m, &msg, 0);
	expect_done(&recovered, 0, 0);
	ic_down(m);
}

/* ---- who forgets to thaw --------------------------------------------------------------------- */

Test(ic_vss, rule_9_a_guest_is_thawed_when_the_hold_time_is_over)
{
	struct ic_machine *m = up_frozen();

	ic_advance(m, 9900);
	cr_assert(ic_nothing(m));
	ic_advance(m, 200);
	cr_assert_eq(state(m), HVS_VSS_THAWING);
	ask_thaw(m); /* who asks now hears how that ends */
	guest_does(m, HVSI_VSS_THAW, 0);
	expect_done(&thawed, 0, 0);
	expect(m, HVS_VSS_IDLE, 1, 0);
	cr_assert_eq(hvs_vss_thaw(m->ic, 0, ic_note_done, &thawed), -EALREADY);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_vss, the_hold_time_can_be_shorter_and_not_longer)
{
	struct ic_machine *m = up();
	struct hvs_vss_freeze_request q = {HVS_VSS_FREEZE_REQUEST_INIT, .hold_ms = 10001};

	cr_assert_eq(hvs_vss_freeze(m->ic, &q, ic_note_done, &frozen), -EINVAL);
	q.hold_ms = 300;
	cr_assert_eq(hvs_vss_freeze(m->ic, &q, ic_note_done, &frozen), 0);
	guest_does(m, HVSI_VSS_FREEZE, 0);
	ic_advance(m, 350);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 1, 0);
	ic_down(m);
}

Test(ic_vss, rule_9_a_freeze_that_failed_is_thawed_all_the_same)
{
	struct ic_machine *m = up();

	ask_freeze(m);
	guest_does(m, HVSI_VSS_FREEZE, HVS_IC_E_FAIL);
	expect_done(&frozen, -EREMOTEIO, HVS_IC_E_FAIL);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	ic_down(m);
}

Test(ic_vss, rule_1_a_freeze_that_is_too_late_is_thawed_as_soon_as_it_is_answered)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;

	ask_freeze(m);
	msg = take(m, HVSI_VSS_FREEZE);
	ic_advance(m, 60100);
	expect_done(&frozen, -ETIMEDOUT, 0);
	cr_assert_eq(state(m), HVS_VSS_THAWING);
	cr_assert(ic_nothing(m));
	answer(m, &msg, 0);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	ic_down(m);
}

Test(ic_vss, a_freeze_answered_after_all_tries_to_thaw_is_thawed_yet)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;

	ask_freeze(m);
	msg = take(m, HVSI_VSS_FREEZE);
	ic_advance(m, 60100);
	ask_thaw(m);
	ic_advance(m, 3 * 35000);
	expect_done(&thawed, -ETIMEDOUT, 0);
	expect(m, HVS_VSS_UNKNOWN, 0, 1);
	ic_advance(m, 600000);
	cr_assert(ic_nothing(m));
	answer(m, &msg, 0);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 1, 1);
	ic_down(m);
}

Test(ic_vss, a_freeze_that_was_never_sent_needs_no_thaw)
{
	struct ic_machine *m = up();
	struct ic_done check = {0};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_vss_check(m->ic, 120000, checked, &check), 0);
	msg = take(m, HVSI_VSS_HOT_BACKUP);
	ask_freeze(m);
	ic_advance(m, 60100);
	expect_done(&frozen, -ETIMEDOUT, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	answer(m, &msg, 0);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_vss, a_thaw_takes_a_freeze_back_that_waits)
{
	struct ic_machine *m = up();
	struct ic_done check = {0};
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_vss_check(m->ic, 0, checked, &check), 0);
	msg = take(m, HVSI_VSS_HOT_BACKUP);
	ask_freeze(m);
	ask_thaw(m);
	answer(m, &msg, 0);
	expect_done(&frozen, -ECANCELED, 0);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect_done(&thawed, 0, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_vss, a_thaw_during_a_freeze_follows_it)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;

	ask_freeze(m);
	msg = take(m, HVSI_VSS_FREEZE);
	ask_thaw(m);
	cr_assert(ic_nothing(m));
	answer(m, &msg, 0);
	expect_done(&frozen, -ECANCELED, 0);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect_done(&thawed, 0, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	ic_down(m);
}

Test(ic_vss, a_requester_that_is_cancelled_leaves_no_frozen_guest)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;

	ask_freeze(m);
	msg = take(m, HVSI_VSS_FREEZE);
	cr_assert_eq(hvs_ic_cancel(m->ic, &frozen), 1);
	ic_run(m);
	expect_done(&frozen, -ECANCELED, 0);
	answer(m, &msg, 0);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	ic_down(m);

	m = up_frozen();
	cr_assert_eq(hvs_ic_cancel(m->ic, &thawed), 0);
	ic_run(m);
	cr_assert_eq(state(m), HVS_VSS_FROZEN);
	cr_assert_eq(hvs_ic_cancel(m->ic, &frozen), 0);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect_done(&frozen, 0, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	ic_down(m);
}

/* ---- thaws that fail ------------------------------------------------------------------------- */

Test(ic_vss, a_thaw_that_fails_is_tried_three_times_then_the_embedder_is_warned)
{
	struct ic_machine *m = up_frozen();

	ask_thaw(m);
	for (unsigned i = 0; i < 3; i++) {
		expect(m, HVS_VSS_THAWING, 0, 0);
		guest_does(m, HVSI_VSS_THAW, HVS_IC_E_FAIL);
	}
	expect_done(&thawed, -EREMOTEIO, HVS_IC_E_FAIL);
	expect(m, HVS_VSS_UNKNOWN, 0, 1);
	cr_assert(ic_nothing(m));

	thawed = (struct ic_done){0};
	ask_thaw(m);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect_done(&thawed, 0, 0);
	expect(m, HVS_VSS_IDLE, 0, 1);
	ic_down(m);
}

Test(ic_vss, a_thaw_that_is_not_answered_warns_and_ends_when_it_is)
{
	struct ic_machine *m = up_frozen();
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_vss_thaw(m->ic, 1000, ic_note_done, &thawed), 0);
	msg = take(m, HVSI_VSS_THAW);
	ic_advance(m, 2900);
	cr_assert_eq(thawed.count, 0);
	ic_advance(m, 200);
	expect_done(&thawed, -ETIMEDOUT, 0);
	expect(m, HVS_VSS_UNKNOWN, 0, 1);
	cr_assert(ic_nothing(m));
	answer(m, &msg, 0); /* too late to be matched, so it is asked again */
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 1, 1);
	ic_down(m);
}

Test(ic_vss, a_guest_that_breaks_the_protocol_while_frozen_is_warned_of)
{
	struct ic_machine *m = up_frozen();

	ask_thaw(m);
	(void)take(m, HVSI_VSS_THAW);
	ic_send_raw(m, "nonsense", 8);
	expect_done(&thawed, -EPROTO, 0);
	expect(m, HVS_VSS_UNKNOWN, 0, 1);
	cr_assert_eq(hvs_vss_thaw(m->ic, 0, NULL, NULL), -ENOTCONN);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_open(m);
	ic_negotiate(m, V5);
	expect(m, HVS_VSS_IDLE, 0, 1);
	ic_down(m);
}

Test(ic_vss, a_guest_that_closes_the_channel_has_thawed_itself)
{
	struct ic_machine *m = up_frozen();

	ask_thaw(m);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	expect_done(&thawed, -ENOTCONN, 0);
	expect(m, HVS_VSS_IDLE, 0, 0);
	ic_open(m);
	ic_negotiate(m, V5);
	cr_assert(ic_nothing(m));
	expect(m, HVS_VSS_IDLE, 0, 0);
	ic_down(m);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

Test(ic_vss, what_does_not_fit_the_state_is_refused)
{
	struct ic_machine *m = up();
	struct hvs_vss_freeze_request q = {HVS_VSS_FREEZE_REQUEST_INIT};
	const struct hvs_vss_lun lun = {.lun = 1};
	const struct hvs_vss_lun reserved = {.reserved = 1};

	cr_assert_eq(hvs_vss_get_state(NULL), HVS_VSS_IDLE);
	cr_assert_eq(hvs_vss_thaw(NULL, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_vss_thaw(m->ic, 0, NULL, NULL), -EALREADY);
	cr_assert_eq(hvs_vss_check(m->ic, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_vss_freeze(m->ic, NULL, NULL, NULL), -EINVAL);
	q.timeout_ms = 960001;
	cr_assert_eq(hvs_vss_freeze(m->ic, &q, NULL, NULL), -EINVAL);
	q.timeout_ms = 0;
	q.lun_count = 1;
	cr_assert_eq(hvs_vss_freeze(m->ic, &q, NULL, NULL), -EINVAL);
	q.luns = &reserved;
	cr_assert_eq(hvs_vss_freeze(m->ic, &q, NULL, NULL), -EINVAL);
	q.luns = &lun;
	q.lun_count = HVS_VSS_MAX_LUNS + 1;
	cr_assert_eq(hvs_vss_freeze(m->ic, &q, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_vss_auto_recover(m->ic, &lun, &lun, 0, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_vss_auto_recover(m->ic, &lun, NULL, 1, 0, NULL, NULL), -EINVAL);

	q.lun_count = 0;
	ask_freeze(m);
	cr_assert_eq(hvs_vss_freeze(m->ic, &q, NULL, NULL), -EBUSY);
	cr_assert_eq(hvs_vss_check(m->ic, 0, checked, NULL), -EBUSY);
	cr_assert_eq(hvs_vss_complete(m->ic, 0, NULL, NULL), -EBUSY);
	cr_assert_eq(hvs_vss_auto_recover(m->ic, &lun, &lun, 1, 0, NULL, NULL), -EBUSY);
	guest_does(m, HVSI_VSS_FREEZE, 0);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	cr_assert_eq(hvs_vss_freeze(m->ic, &q, NULL, NULL), -ENOTCONN);
	cr_assert_eq(hvs_vss_complete(m->ic, 0, NULL, NULL), -ENOTCONN);
	cr_assert_eq(hvs_vss_thaw(m->ic, 0, NULL, NULL), -ENOTCONN);
	ic_down(m);
}
