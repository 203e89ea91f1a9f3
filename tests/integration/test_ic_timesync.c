/* SPDX-License-Identifier: MIT */
/* Time synchronization: what the guest is told, and when. */
#include "support/ic.h"

#include <errno.h>

#define SYNC 1
#define SAMPLE 2
/* 2023-11-14 22:13:20 UTC */
#define HOST_TIME (116444736000000000ull + 1700000000ull * 10000000)
#define REFERENCE 0x123456789ull

static struct ic_options with(uint32_t max_version, bool reference)
{
	return (struct ic_options){.cfg = {.kind = HVS_IC_TIMESYNC,
					   .max_version = max_version,
					   .reference_time = reference}};
}

/* Connected, open, the clock stopped; the versions are not agreed upon yet. */
static struct ic_machine *unready(const struct ic_options *opt)
{
	struct ic_machine *m = ic_up(opt);

	m->time = (struct ic_time){.host = HOST_TIME, .reference = REFERENCE};
	ic_connect(m);
	ic_open(m);
	return m;
}

static struct ic_machine *up(uint32_t version)
{
	const struct ic_options opt = with(0, true);
	struct ic_machine *m = unready(&opt);

	ic_negotiate(m, version);
	return m;
}

struct told {
	uint64_t host_time;
	uint64_t reference;
	uint8_t flags;
};

/* The next message, answered as Linux does. */
static struct told take(struct ic_machine *m)
{
	struct hvs_guest_ic_message msg = ic_take(m);
	struct told t = {0};
	struct hvs_le64 v;

	cr_assert_eq(msg.type, HVS_IC_TIMESYNC);
	memcpy(&v, msg.body, sizeof(v));
	t.host_time = hvsi_get64(v);
	if (msg.service_version >= IC_VERSION(4, 0)) {
		cr_assert_eq(msg.len, 24);
		memcpy(&v, msg.body + 8, sizeof(v));
		t.reference = hvsi_get64(v);
		t.flags = msg.body[16];
		for (unsigned i = 17; i < 24; i++)
			cr_assert_eq(msg.body[i], 0);
	} else {
		cr_assert_eq(msg.len, 28);
		for (unsigned i = 8; i < 24; i++)
			cr_assert_eq(msg.body[i], 0);
		t.flags = msg.body[24];
		for (unsigned i = 25; i < 28; i++)
			cr_assert_eq(msg.body[i], 0);
	}
	ic_answer(m, &msg, 0, msg.body, msg.len);
	return t;
}

static void expect_told(struct ic_machine *m, uint8_t flags)
{
	struct told t = take(m);

	cr_expect_eq(t.flags, flags);
	cr_expect_eq(t.host_time, m->time.host);
}

/* ---- bodies --------------------------------------------------------------------------------- */

Test(ic_timesync, versions_before_4_tell_the_time_alone)
{
	static const uint32_t old[] = {IC_VERSION(1, 0), IC_VERSION(3, 0)};

	for (unsigned i = 0; i < 2; i++) {
		struct ic_machine *m = up(old[i]);

		expect_told(m, SYNC);
		ic_advance(m, 5000);
		expect_told(m, SAMPLE);
		ic_down(m);
	}
}

Test(ic_timesync, version_4_tells_the_guests_counter_too)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct told t = take(m);

	cr_assert_eq(t.flags, SYNC);
	cr_assert_eq(t.host_time, HOST_TIME);
	cr_assert_eq(t.reference, REFERENCE);
	m->time.host += 50000000;
	m->time.reference += 50000001;
	ic_advance(m, 5000);
	t = take(m);
	cr_assert_eq(t.flags, SAMPLE);
	cr_assert_eq(t.host_time, HOST_TIME + 50000000);
	cr_assert_eq(t.reference, REFERENCE + 50000001);
	ic_down(m);
}

Test(ic_timesync, the_bytes_are_those_of_hyper_v_but_for_the_transaction)
{
	static const uint8_t want[] = {
		0x06, 0x00, 0x02, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
		0x04, 0x00, 0x04, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03,
		0x00, 0x00, 0x00, 0x00, 0x6d, 0xc6, 0x47, 0x17, 0xda, 0x01, 0x89, 0x67, 0x45, 0x23,
		0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
	struct ic_machine *m = up(IC_VERSION(4, 0));
	const uint8_t *ring;
	size_t len;

	ring = hvs_guest_channel_rings(m->ch, &len);
	/* Behind the versions. */
	cr_assert_arr_eq(ring + len / 2 + 4096 + 80, want, sizeof(want));
	ic_down(m);
}

Test(ic_timesync, without_the_guests_counter_version_4_is_not_offered)
{
	const struct ic_options opt = with(0, false);
	struct ic_machine *m = unready(&opt);
	struct hvs_guest_ic_message msg = ic_take(m);

	cr_assert_eq(msg.body[2], 2);
	ic_down(m);
	m = unready(&opt);
	ic_negotiate(m, IC_VERSION(3, 0));
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_down(m);
}

/* ---- when ----------------------------------------------------------------------------------- */

Test(ic_timesync, the_clock_is_read_when_the_message_is_sent)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct hvs_guest_ic_message msg = ic_take(m);
	struct ic_done d = {0};

	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), 0);
	ic_run(m);
	cr_assert_eq(m->time.samples, 1);
	ic_advance(m, 3000);
	m->time.host += 30000000;
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(m->time.samples, 2);
	expect_told(m, SYNC);
	cr_assert_eq(d.count, 1);
	cr_assert_eq(d.status, 0);
	ic_down(m);
}

Test(ic_timesync, samples_follow_in_the_interval)
{
	struct ic_options opt = with(0, true);
	struct ic_machine *m;

	for (unsigned i = 0; i < 2; i++) {
		uint32_t interval = i ? 700 : 5000;

		opt.cfg.interval_ms = i ? interval : 0;
		m = unready(&opt);
		ic_negotiate(m, IC_VERSION(4, 0));
		expect_told(m, SYNC);
		for (unsigned k = 0; k < 10; k++) {
			ic_advance(m, interval - 50);
			cr_assert(ic_nothing(m));
			ic_advance(m, 50);
			expect_told(m, SAMPLE);
		}
		ic_down(m);
	}
}

Test(ic_timesync, whoever_asks_has_the_guests_clock_set)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct ic_done d = {0};

	expect_told(m, SYNC);
	ic_advance(m, 1000);
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), 0);
	expect_told(m, SYNC);
	cr_assert_eq(d.count, 1);
	cr_assert_eq(d.status, 0);
	ic_advance(m, 4000); /* samples keep their interval */
	expect_told(m, SAMPLE);
	cr_assert_eq(d.count, 1);
	ic_down(m);
}

Test(ic_timesync, before_the_guest_is_ready_nobody_needs_to_ask)
{
	const struct ic_options opt = with(0, true);
	struct ic_machine *m = unready(&opt);

	cr_assert_eq(hvs_timesync_sync(m->ic, 0, NULL, NULL), -ENOTCONN);
	ic_negotiate(m, IC_VERSION(4, 0));
	expect_told(m, SYNC);
	ic_down(m);
}

Test(ic_timesync, a_driver_that_comes_back_is_told_to_set_its_clock)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));

	expect_told(m, SYNC);
	ic_advance(m, 5000);
	expect_told(m, SAMPLE);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	ic_advance(m, 20000);
	ic_open(m);
	ic_negotiate(m, IC_VERSION(3, 0));
	expect_told(m, SYNC);
	ic_down(m);
}

/* ---- what goes wrong ------------------------------------------------------------------------ */

Test(ic_timesync, without_a_sample_nothing_is_sent_and_the_next_time_it_is_sync_again)
{
	const struct ic_options opt = with(0, true);
	struct ic_machine *m = unready(&opt);
	struct ic_done d = {0};

	m->time.err = -EIO;
	ic_negotiate(m, IC_VERSION(4, 0));
	cr_assert(ic_nothing(m));
	cr_assert_eq(hvs_timesync_sync(m->ic, 0, ic_note_done, &d), 0);
	cr_assert_eq(d.count, 0);
	cr_assert(ic_nothing(m));
	cr_assert_eq(d.count, 1);
	cr_assert_eq(d.status, -ENODATA);
	ic_advance(m, 5000);
	cr_assert(ic_nothing(m));
	cr_assert_eq(m->time.samples, 3);
	m->time.err = 0;
	ic_advance(m, 5000);
	expect_told(m, SYNC);
	ic_advance(m, 5000);
	expect_told(m, SAMPLE);
	ic_down(m);
}

Test(ic_timesync, a_sync_that_was_not_answered_in_time_is_sent_again)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct hvs_guest_ic_message msg = ic_take(m);

	ic_advance(m, 10050);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_TIMED_OUT);
	ic_advance(m, 60000);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, 0, NULL, 0);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ic_advance(m, 5000);
	expect_told(m, SYNC);
	ic_advance(m, 5000);
	expect_told(m, SAMPLE);
	ic_down(m);
}

Test(ic_timesync, a_guest_that_refuses_is_not_pressed)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct hvs_guest_ic_message msg = ic_take(m);

	ic_answer(m, &msg, HVS_IC_E_FAIL, NULL, 0);
	cr_assert(ic_nothing(m));
	ic_advance(m, 5000);
	expect_told(m, SAMPLE);
	cr_assert_eq(ic_status(m).failures, 1);
	ic_down(m);
}
