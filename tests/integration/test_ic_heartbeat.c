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
	struct hvs_heartbeat_info i = {HVS_HEARTBEAT_INFO_INIT};

	cr_assert_eq(hvs_heartbeat_get_info(m->ic, &i), 0);
	return i;
}

static void note_reset(void *arg, int status)
{
	cr_assert_eq(status, 0);
	(*(unsigned *)arg)++;
}

/* Ready, and the first beat answered. */
static struct ic_machine *beating(void)
{
	struct ic_machine *m = up();

	beat(m);
	return m;
}

static unsigned misses(const struct ic_machine *m)
{
	cr_assert_eq(info(m).missed, m->events[HVS_IC_EVENT_BEAT_MISSED]);
	return m->events[HVS_IC_EVENT_BEAT_MISSED];
}

/* ---- beats ---------------------------------------------------------------------------------- */

Test(ic_heartbeat, a_guest_that_answers_is_ok)
{
	struct ic_machine *m = up();

	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	beat(m);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	cr_assert_eq(m->status.primary, HVS_IC_OK);
	for (unsigned i = 1; i < 10; i++) {
		cr_assert_eq(info(m).beats, i);
		ic_advance(m, 1900);
		cr_assert(ic_nothing(m));
		ic_advance(m, 100);
		beat(m);
	}
	cr_assert_eq(misses(m), 0);
	ic_down(m);
}

Test(ic_heartbeat, numbers_only_grow)
{
	struct ic_machine *m = up();
	uint64_t last = 0;

	for (unsigned i = 0; i < 5; i++) {
		struct hvs_guest_ic_message msg = ic_take(m);
		struct hvs_le64 next = hvsi_le64(sequence(&msg) + 1);

		cr_assert_gt(sequence(&msg), last);
		last = sequence(&msg) + 1;
		ic_answer(m, &msg, 0, &next, sizeof(next));
		ic_advance(m, 2000);
	}
	cr_assert_eq(info(m).beats, 5);
	ic_down(m);
}

Test(ic_heartbeat, the_bytes_are_those_of_hyper_v_but_for_number_and_transaction)
{
	static const uint8_t want[] = {
		0x06, 0x00, 0x02, 0x00, 0x0b, 0x00, 0x00, 0x00, 0,    0,    0,    0,    0,   0, 0,
		0,    0x01, 0x00, 0x00, 0x00, 0x3c, 0x00, 0x00, 0x00, 3,    0,    0,    0,   1, 0,
		3,    0,    0x00, 0x00, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 2,    3,    0,   0, 1,
		0,    0,    0,    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0,    0,   0, 0,
		0,    0,    0,    0,    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0,   0, 0,
		0,    0,    0,    0,    0,    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
	struct ic_machine *m = up();
	const uint8_t *ring;
	size_t len;

	ring = hvs_guest_channel_rings(m->ch, &len);
	/* Behind the versions: descriptor, header of the pipe, ours, 24 bytes, padding, trailer. */
	cr_assert_arr_eq(ring + len / 2 + 4096 + 80, want, sizeof(want));
	ic_down(m);
}

Test(ic_heartbeat, what_is_known_of_beats)
{
	struct ic_machine *m = up();
	struct hvs_heartbeat_info first;
	struct hvs_heartbeat_info i = {.size = offsetof(struct hvs_heartbeat_info, beats)};

	cr_assert_eq(info(m).last_beat_ns, 0);
	cr_assert_eq(info(m).up_ns, 0);
	beat(m);
	first = info(m);
	cr_assert_gt(first.last_beat_ns, 0);
	ic_advance(m, 2000);
	beat(m);
	cr_assert_geq(info(m).last_beat_ns, first.last_beat_ns + 2000000000);
	ic_advance(m, 500);
	cr_assert_geq(info(m).up_ns, 2500000000);
	cr_assert_eq(info(m).beats, 2);
	cr_assert_eq(hvs_heartbeat_get_info(m->ic, &i), 0);
	cr_assert_eq(i.size, offsetof(struct hvs_heartbeat_info, beats));
	cr_assert_eq(i.beats, 0);
	i.size = 3;
	cr_assert_eq(hvs_heartbeat_get_info(m->ic, &i), -EINVAL);
	cr_assert_eq(hvs_heartbeat_get_info(m->ic, NULL), -EINVAL);
	/* The driver goes. */
	first = info(m);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	cr_assert_eq(info(m).beats, 0);
	cr_assert_eq(info(m).up_ns, 0);
	cr_assert_eq(info(m).last_beat_ns, first.last_beat_ns);
	ic_down(m);
}

Test(ic_heartbeat, applications_are_what_the_guest_says)
{
	static const struct {
		uint32_t number;
		enum hvs_heartbeat_application application;
		enum hvs_ic_secondary secondary;
	} row[] = {
		{1, HVS_HEARTBEAT_HEALTHY, HVS_IC_DETAIL_OK},
		{2, HVS_HEARTBEAT_CRITICAL, HVS_IC_DETAIL_CRITICAL},
		{3, HVS_HEARTBEAT_STOPPED, HVS_IC_DETAIL_NONE},
		{0, HVS_HEARTBEAT_UNKNOWN, HVS_IC_DETAIL_NONE},
		{4, HVS_HEARTBEAT_UNKNOWN, HVS_IC_DETAIL_NONE},
		{UINT32_MAX, HVS_HEARTBEAT_UNKNOWN, HVS_IC_DETAIL_NONE},
	};
	struct ic_machine *m = up();

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		beat_with(m, row[i].number);
		cr_assert_eq(info(m).application, row[i].application, "%zu", i);
		ic_expect(m, HVS_IC_OK, row[i].secondary);
		cr_assert_eq(m->status.secondary, row[i].secondary);
		ic_advance(m, 2000);
	}
	ic_down(m);
}

Test(ic_heartbeat, an_application_in_need_of_an_old_guest_is_seen)
{
	const struct ic_options opt = usual();
	struct ic_machine *m = ic_new(&opt, IC_VERSION(1, 0));

	beat_with(m, HVS_HEARTBEAT_HEALTHY);
	ic_expect(m, HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH);
	ic_advance(m, 2000);
	beat_with(m, HVS_HEARTBEAT_CRITICAL);
	ic_expect(m, HVS_IC_DEGRADED, HVS_IC_DETAIL_CRITICAL);
	ic_down(m);
}

/* ---- missed ones ---------------------------------------------------------------------------- */

Test(ic_heartbeat, after_two_missed_beats_the_guest_is_lost_until_it_answers)
{
	struct ic_machine *m = beating();
	struct hvs_guest_ic_message msg;
	struct hvs_le64 next;

	ic_advance(m, 2000);
	msg = ic_take(m); /* and no answer */
	next = hvsi_le64(sequence(&msg) + 1);
	ic_advance(m, 2950);
	cr_assert_eq(misses(m), 0);
	ic_advance(m, 100);
	cr_assert_eq(misses(m), 1);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	ic_advance(m, 1850);
	cr_assert_eq(misses(m), 1);
	ic_advance(m, 150);
	cr_assert_eq(misses(m), 2);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_TIMED_OUT);
	cr_assert_eq(m->status.primary, HVS_IC_LOST_COMMUNICATION);
	ic_advance(m, 20050);
	cr_assert_eq(misses(m), 12);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, 0, &next, sizeof(next));
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_TIMED_OUT);
	beat(m); /* the next one comes at once */
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	cr_assert_eq(m->status.primary, HVS_IC_OK);
	cr_assert_eq(misses(m), 12);
	ic_advance(m, 2000);
	beat(m);
	cr_assert_eq(info(m).beats, 3);
	ic_down(m);
}

Test(ic_heartbeat, single_missed_beats_do_not_add_up)
{
	struct ic_machine *m = beating();

	for (unsigned i = 0; i < 5; i++) {
		struct hvs_guest_ic_message msg;

		ic_advance(m, 2000);
		msg = ic_take(m);
		ic_advance(m, 3050);
		cr_assert_eq(misses(m), i + 1);
		ic_answer(m, &msg, 0, NULL, 0); /* late */
		beat(m);
		ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	}
	cr_assert_eq(m->status.primary, HVS_IC_OK);
	ic_down(m);
}

Test(ic_heartbeat, a_guest_that_never_beats_is_no_contact)
{
	struct ic_machine *m = up();

	ic_advance(m, 10000);
	cr_assert_gt(misses(m), 2);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_TIMED_OUT);
	ic_down(m);
}

Test(ic_heartbeat, interval_latency_and_threshold_are_as_configured)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_HEARTBEAT,
					       .interval_ms = 500,
					       .latency_ms = 200,
					       .error_threshold = 4}};
	struct ic_machine *m = ic_new(&opt, IC_VERSION(3, 0));

	beat(m);
	ic_advance(m, 500);
	ic_advance(m, 650);
	cr_assert_eq(misses(m), 0);
	ic_advance(m, 100);
	cr_assert_eq(misses(m), 1);
	ic_advance(m, 1000);
	cr_assert_eq(misses(m), 3);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	ic_advance(m, 500);
	cr_assert_eq(misses(m), 4);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_TIMED_OUT);
	ic_down(m);
}

Test(ic_heartbeat, answers_that_are_no_beats_count_as_missed)
{
	struct ic_machine *m = beating();

	for (unsigned i = 0; i < 4; i++) {
		struct hvs_guest_ic_message msg;
		struct hvs_le64 next;

		ic_advance(m, 2000);
		msg = ic_take(m);
		switch (i) {
		case 0: /* too short */
			next = hvsi_le64(sequence(&msg) + 1);
			ic_answer(m, &msg, 0, &next, 7);
			break;
		case 1: /* the same number */
			next = hvsi_le64(sequence(&msg));
			ic_answer(m, &msg, 0, &next, sizeof(next));
			break;
		case 2: /* the number after the next */
			next = hvsi_le64(sequence(&msg) + 2);
			ic_answer(m, &msg, 0, &next, sizeof(next));
			break;
		default: /* a failure */
			next = hvsi_le64(sequence(&msg) + 1);
			ic_answer(m, &msg, HVS_IC_E_FAIL, &next, sizeof(next));
		}
		cr_assert_eq(misses(m), i + 1);
		cr_assert_eq(ic_status(m).malformed, i < 3 ? i + 1 : 3);
	}
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_TIMED_OUT);
	ic_advance(m, 2000);
	beat(m);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	ic_down(m);
}

Test(ic_heartbeat, time_that_stands_still_misses_nothing)
{
	struct ic_machine *m = beating();

	ic_advance(m, 2000);
	for (unsigned i = 0; i < 1000; i++)
		ic_run(m); /* the machine is paused, and with it the clock of its host's end */
	cr_assert_eq(misses(m), 0);
	beat(m);
	cr_assert_eq(info(m).beats, 2);
	ic_down(m);
}

/* ---- a driver that goes and comes ----------------------------------------------------------- */

Test(ic_heartbeat, each_state_that_a_guest_can_get_into)
{
	struct ic_machine *m;
	const struct ic_options opt = usual();
	unsigned done = 0;

	m = ic_up(&opt);
	ic_connect(m);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	ic_open(m);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	cr_assert(m->status.open);
	ic_negotiate(m, IC_VERSION(3, 0));
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	cr_assert(m->status.ready);
	beat(m);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	cr_assert_not(m->status.open);
	ic_advance(m, 10000);
	cr_assert_eq(misses(m), 0);
	ic_open(m);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	ic_negotiate(m, IC_VERSION(1, 0));
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	beat(m);
	ic_expect(m, HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH);
	cr_assert_eq(info(m).beats, 1);
	cr_assert_eq(hvs_vmbus_reset(hvs_loopback_bus(m->lb), note_reset, &done), 0);
	ic_run(m);
	cr_assert_eq(done, 1);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	ic_down(m);
}
