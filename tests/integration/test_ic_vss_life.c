/* SPDX-License-Identifier: MIT */
/* VSS: a guest that is frozen when its service goes, or when it is saved. */
#include "support/vss.h"

#include <errno.h>

/* ---- the end of the service ------------------------------------------------------------------ */

static void note_destroyed(void *arg, int status)
{
	(void)status;
	++*(unsigned *)arg;
}

Test(ic_vss, a_frozen_guest_is_thawed_before_the_service_goes)
{
	struct ic_machine *m = up_frozen();
	unsigned destroyed = 0;

	cr_assert_eq(hvs_ic_destroy(m->ic, note_destroyed, &destroyed), 0);
	ic_run(m);
	cr_assert_eq(destroyed, 0);
	guest_does(m, HVSI_VSS_THAW, 0);
	cr_assert_eq(destroyed, 1);
	cr_assert_eq(m->events[HVS_IC_EVENT_MAY_BE_FROZEN], 0);
	ic_down(m);
}

Test(ic_vss, a_guest_that_does_not_thaw_keeps_the_service_for_five_seconds_only)
{
	struct ic_machine *m = up();
	unsigned destroyed = 0;

	ask_freeze(m);
	(void)take(m, HVSI_VSS_FREEZE);
	cr_assert_eq(hvs_ic_destroy(m->ic, note_destroyed, &destroyed), 0);
	cr_assert_eq(hvs_ic_destroy(m->ic, note_destroyed, &destroyed), -EBUSY);
	ic_advance(m, 4900);
	cr_assert_eq(destroyed, 0);
	ic_advance(m, 200);
	cr_assert_eq(destroyed, 1);
	expect_done(&frozen, -ENOTCONN, 0);
	cr_assert_eq(m->events[HVS_IC_EVENT_MAY_BE_FROZEN], 1);
	ic_down(m);
}

Test(ic_vss, an_idle_service_goes_at_once)
{
	struct ic_machine *m = up();
	unsigned destroyed = 0;

	cr_assert_eq(hvs_ic_destroy(m->ic, note_destroyed, &destroyed), 0);
	ic_run(m);
	cr_assert_eq(destroyed, 1);
	ic_down(m);
}

/* ---- saved state ----------------------------------------------------------------------------- */

Test(ic_vss, a_guest_that_was_saved_frozen_is_thawed_when_it_is_restored)
{
	struct ic_machine *m = up_frozen();

	ic_replace(m);
	ic_negotiate(m, V5);
	cr_assert_eq(state(m), HVS_VSS_THAWING);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 1, 0);
	ic_replace(m);
	ic_negotiate(m, V5);
	cr_assert(ic_nothing(m));
	expect(m, HVS_VSS_IDLE, 1, 0);
	ic_down(m);
}

Test(ic_vss, a_freeze_that_was_under_way_when_it_was_saved_is_thawed)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;

	ask_freeze(m);
	msg = take(m, HVSI_VSS_FREEZE);
	ic_replace(m);
	expect_done(&frozen, -ENOTCONN, 0);
	cr_assert(ic_nothing(m));
	answer(m, &msg, 0);
	ic_negotiate(m, V5);
	guest_does(m, HVSI_VSS_THAW, 0);
	expect(m, HVS_VSS_IDLE, 1, 0);
	ic_down(m);
}
