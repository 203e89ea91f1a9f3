/* SPDX-License-Identifier: MIT */
/* Heartbeat: beats, those that are missed, and what is thought of the guest then. */
#include "support/ic.h"

#include <errno.h>

static struct ic_options usual(void)
{
	return (struct ic_options){.cfg = {.kind = HVS_IC_HEARTBEAT}};
}

static struct ic_machine *up(void)
{
	const struct ic_options opt = usual();

	return ic_new(&opt, IC_VERSION(3, 0));
}

static uint64_t sequence(const struct hvs_guest_ic_message *msg)
{
	struct hvs_le64 seq;

	memcpy(&seq, msg->body, sizeof(seq));
	return hvsi_get64(seq);
}

/* Answer as Linux does; with an application's state, as Windows may. */
static void beat_with(struct ic_machine *m, uint32_t application)
{
	struct hvs_guest_ic_message msg = ic_take(m);
	const struct hvs_le64 next = hvsi_le64(sequence(&msg) + 1);
	const struct hvs_le32 app = hvsi_le32(application);
	uint8_t body[40];

	cr_assert_eq(msg.type, HVS_IC_HEARTBEAT);
	cr_assert_eq(msg.len, sizeof(body));
	memcpy(body, msg.body, sizeof(body));
	memcpy(body, &next, sizeof(next));
	memcpy(body + 8, &app, sizeof(app));
	ic_answer(m, &msg, 0, body, sizeof(body));
}

static void beat(struct ic_machine *m)
{
	beat_with(m, HVS_HEARTBEAT_UNKNOWN);
}

static struct hvs_heartbeat_info info(const struct ic_machine *m)
{
	struct hvs_heartbeat_info i = {.size = sizeof(i)};

	cr_assert_eq(hvs_heartbeat_get_info(m->ic, &i), 0);
	return i;
}

Test(ic_heartbeat, a_guest_that_answers_is_ok)
{
	struct ic_machine *m = up();

	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	beat(m);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	cr_assert_eq(info(m).beats, 1);
	cr_assert(ic_nothing(m));
	ic_advance(m, 2000);
	beat(m);
	cr_assert_eq(info(m).beats, 2);
	cr_assert_eq(info(m).missed, 0);
	ic_down(m);
}
