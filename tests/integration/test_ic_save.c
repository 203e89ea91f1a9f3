/* SPDX-License-Identifier: MIT */
/* Integration components whose host is replaced by another one, in each phase. */
#include "support/ic.h"

#include "util/state.h"

#include <errno.h>

/* One that does nothing by itself. */
static struct ic_options shutdown_only(void)
{
	return (struct ic_options){.cfg = {.kind = HVS_IC_SHUTDOWN}};
}

static struct ic_machine *unready(void)
{
	const struct ic_options opt = shutdown_only();
	struct ic_machine *m = ic_up(&opt);

	ic_connect(m);
	ic_open(m);
	return m;
}

static struct ic_machine *up(void)
{
	const struct ic_options opt = shutdown_only();

	return ic_new(&opt, IC_VERSION(3, 2));
}

static void ask(struct ic_machine *m, struct ic_done *d)
{
	const struct hvs_shutdown_request q = {HVS_SHUTDOWN_REQUEST_INIT};

	cr_assert_eq(hvs_shutdown(m->ic, &q, ic_note_done, d), 0);
}

/* It works again: the guest is asked, and answers. */
static void works(struct ic_machine *m)
{
	struct hvs_guest_ic_message msg;
	struct ic_done d = {0};

	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_OK);
	ask(m, &d);
	msg = ic_take(m);
	cr_assert_eq(msg.type, HVS_IC_SHUTDOWN);
	ic_answer(m, &msg, 0, NULL, 0);
	cr_assert_eq(d.count, 1);
	cr_assert_eq(d.status, 0);
	cr_assert(ic_nothing(m));
}

/* ---- phases --------------------------------------------------------------------------------- */

Test(ic_save, a_guest_that_has_not_opened)
{
	const struct ic_options opt = shutdown_only();
	struct ic_machine *m = ic_up(&opt);

	ic_connect(m);
	ic_replace(m);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	ic_open(m);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

Test(ic_save, a_guest_that_has_versions_to_answer)
{
	struct ic_machine *m = unready();

	ic_replace(m);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	cr_assert(ic_status(m).open);
	/* What it was sent before counts; it gets no second list. */
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

Test(ic_save, a_guest_whose_versions_are_on_their_way)
{
	struct ic_machine *m = unready();
	const uint32_t version = IC_VERSION(3, 1);

	cr_assert_eq(hvs_guest_ic_negotiate(m->ch, &version, 1, true), version);
	ic_replace(m);
	ic_expect(m, HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH);
	cr_assert_eq(ic_status(m).service_version, version);
	ic_down(m);
}

Test(ic_save, a_guest_that_is_ready_chooses_versions_once_more)
{
	struct ic_machine *m = up();
	unsigned events = m->events[HVS_IC_EVENT_STATUS];

	works(m);
	ic_replace(m);
	cr_assert_not(ic_status(m).ready);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	cr_assert_gt(m->events[HVS_IC_EVENT_STATUS], events);
	ic_down(m);
}

Test(ic_save, a_guest_without_a_common_version_gets_another_chance)
{
	struct ic_machine *m = unready();
	const uint32_t unknown = IC_VERSION(9, 9);

	cr_assert_eq(hvs_guest_ic_negotiate(m->ch, &unknown, 1, true), 0);
	ic_run(m);
	ic_expect(m, HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_MISMATCH);
	ic_replace(m);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

Test(ic_save, a_service_that_had_failed_gets_another_chance)
{
	struct ic_machine *m = up();
	const uint8_t nonsense = 0;
	struct ic_done d = {0};

	ask(m, &d);
	(void)ic_take(m);
	ic_send_raw(m, &nonsense, 1);
	cr_assert_eq(d.status, -EPROTO);
	ic_expect(m, HVS_IC_NON_RECOVERABLE, HVS_IC_DETAIL_FAILED);
	ic_replace(m);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

Test(ic_save, a_guest_that_closes_afterwards)
{
	struct ic_machine *m = up();

	ic_replace(m);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	ic_open(m);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

/* ---- with a message at the guest ------------------------------------------------------------ */

Test(ic_save, an_old_request_must_be_answered_before_the_new_host_says_anything)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;
	struct ic_done d = {0};

	ask(m, &d);
	ic_run(m);
	ic_replace(m);
	cr_assert_eq(d.count, 1);
	cr_assert_eq(d.status, -ENOTCONN);
	msg = ic_take(m);
	cr_assert_eq(msg.type, HVS_IC_SHUTDOWN);
	cr_assert(ic_nothing(m));
	ic_advance(m, 60000);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, 0, msg.body, msg.len);
	cr_assert_eq(ic_status(m).malformed, 0);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	cr_assert_eq(d.count, 1);
	ic_down(m);
}

Test(ic_save, an_old_answer_that_is_on_its_way_is_dropped)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;
	struct ic_done d = {0};

	ask(m, &d);
	msg = ic_take(m);
	cr_assert_eq(hvs_guest_ic_reply(m->ch, &msg, 0, NULL, 0), 0);
	ic_replace(m);
	cr_assert_eq(d.count, 1);
	cr_assert_eq(d.status, -ENOTCONN);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

Test(ic_save, a_request_that_was_over_time_still_holds_the_channel_up)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;
	struct ic_done d = {0};

	ask(m, &d);
	msg = ic_take(m);
	ic_advance(m, 11000);
	cr_assert_eq(d.status, -ETIMEDOUT);
	ic_replace(m);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, 0, NULL, 0);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

Test(ic_save, twice_in_a_row)
{
	struct ic_machine *m = up();
	struct hvs_guest_ic_message msg;
	struct ic_done d = {0};

	ask(m, &d);
	msg = ic_take(m);
	ic_replace(m);
	ic_replace(m);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, 0, NULL, 0);
	ic_replace(m);
	ic_negotiate(m, IC_VERSION(3, 2));
	ic_replace(m);
	ic_negotiate(m, IC_VERSION(3, 2));
	works(m);
	ic_down(m);
}

/* ---- each service --------------------------------------------------------------------------- */

Test(ic_save, time_is_set_anew_by_the_new_host)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_TIMESYNC, .reference_time = true}};
	struct ic_machine *m = ic_new(&opt, IC_VERSION(4, 0));
	struct hvs_guest_ic_message msg = ic_take(m);

	ic_answer(m, &msg, 0, NULL, 0);
	ic_advance(m, 5000);
	msg = ic_take(m);
	cr_assert_eq(msg.body[16], 2); /* a sample */
	m->time.host = 0x1122334455667788;
	ic_replace(m);
	ic_answer(m, &msg, 0, NULL, 0);
	ic_negotiate(m, IC_VERSION(4, 0));
	msg = ic_take(m);
	cr_assert_eq(msg.body[16], 1); /* set it */
	cr_assert_arr_eq(msg.body, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	ic_down(m);
}

static void beat(struct ic_machine *m)
{
	struct hvs_guest_ic_message msg = ic_take(m);
	uint8_t body[40];

	cr_assert_eq(msg.type, HVS_IC_HEARTBEAT);
	memcpy(body, msg.body, sizeof(body));
	body[0]++;
	ic_answer(m, &msg, 0, body, sizeof(body));
}

Test(ic_save, a_guest_that_has_beaten_is_lost_and_not_unknown)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_HEARTBEAT}};
	struct ic_machine *m = ic_new(&opt, IC_VERSION(3, 0));

	ic_replace(m); /* with the first beat at the guest */
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	beat(m);
	ic_negotiate(m, IC_VERSION(3, 0));
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	beat(m);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	ic_replace(m);
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	ic_negotiate(m, IC_VERSION(3, 0));
	ic_expect(m, HVS_IC_LOST_COMMUNICATION, HVS_IC_DETAIL_NONE);
	beat(m);
	ic_expect(m, HVS_IC_OK, HVS_IC_DETAIL_NONE);
	ic_down(m);
}

/* ---- state that is wrong -------------------------------------------------------------------- */

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)64 * 4096)

static struct ic_options small(enum hvs_ic_kind kind)
{
	return (struct ic_options){.cfg = {.kind = kind}, .loopback = {.ram_bytes = RAM_BYTES}};
}

static struct {
	uint8_t bytes[4096];
	size_t len;
	uint8_t ram[RAM_BYTES];
} saved;

static int keep(void *arg, const void *bytes, size_t len)
{
	(void)arg;
	cr_assert_leq(len, sizeof(saved.bytes) - saved.len);
	memcpy(saved.bytes + saved.len, bytes, len);
	saved.len += len;
	return 0;
}

static uint8_t *ram_of(struct hvs_loopback *lb)
{
	uint64_t gpa;
	uint8_t *page = hvs_loopback_alloc_pages(lb, 1, &gpa);

	cr_assert_not_null(page);
	hvs_loopback_free_pages(lb, page, 1);
	return page - (gpa - RAM_GPA);
}

/* Save a service that is ready. */
static void save(enum hvs_ic_kind kind)
{
	const struct ic_options opt = small(kind);
	struct ic_machine *m =
		ic_new(&opt, kind == HVS_IC_SHUTDOWN ? IC_VERSION(3, 2) : IC_VERSION(3, 0));

	saved.len = 0;
	cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(m->lb), keep, NULL), 0);
	memcpy(saved.ram, ram_of(m->lb), RAM_BYTES);
	ic_down(m);
}

/* The service's own bytes, 12 of them. */
static uint8_t *data(void)
{
	struct hvsi_state_record r;

	for (size_t at = 0; at < saved.len; at += sizeof(r) + hvsi_get32(r.len)) {
		memcpy(&r, saved.bytes + at, sizeof(r));
		if (hvsi_get16(r.type) != HVSI_STATE_DATA)
			continue;
		cr_assert_eq(hvsi_get32(r.len), 12);
		return saved.bytes + at + sizeof(r);
	}
	cr_assert_fail("no such record");
	return NULL;
}

/* Restore it elsewhere and let it run for a while. */
static int restore(enum hvs_ic_kind kind, uint32_t flags, uint32_t transaction, uint32_t own)
{
	const struct hvs_le32 words[] = {hvsi_le32(flags), hvsi_le32(transaction), hvsi_le32(own)};
	const struct ic_options opt = small(kind);
	struct ic_machine *m = ic_up(&opt);
	struct hvs_vmbus *bus = hvs_loopback_bus(m->lb);
	struct hvs_le32 crc;
	int err;

	memcpy(data(), words, sizeof(words));
	crc = hvsi_le32(hvsi_state_crc(saved.bytes, saved.len - 12));
	memcpy(saved.bytes + saved.len - 4, &crc, sizeof(crc));
	memcpy(ram_of(m->lb), saved.ram, RAM_BYTES);
	err = hvs_vmbus_restore(bus, saved.bytes, saved.len);
	if (!err) {
		cr_assert_eq(hvs_vmbus_start(bus), 0);
		ic_advance(m, 1000);
		cr_assert(ic_status(m).open);
	} else {
		cr_assert_not(ic_status(m).open);
	}
	ic_down(m);
	return err;
}

Test(ic_save, state_that_contradicts_itself_is_refused)
{
	static const struct {
		enum hvs_ic_kind kind;
		uint32_t flags;
		uint32_t transaction;
		uint32_t own;
		int err;
	} row[] = {
		{HVS_IC_SHUTDOWN, 0, 0, 0, 0},
		{HVS_IC_SHUTDOWN, 1, 1, 0, 0},
		{HVS_IC_SHUTDOWN, 3, 255, 0, 0},
		{HVS_IC_SHUTDOWN, 7, 255, 0, 0},
		{HVS_IC_SHUTDOWN, 2, 1, 0, -EBADMSG}, /* versions that are not unanswered */
		{HVS_IC_SHUTDOWN, 8, 1, 0, -EBADMSG},
		{HVS_IC_SHUTDOWN, 0x80000000, 1, 0, -EBADMSG},
		{HVS_IC_SHUTDOWN, 0, 256, 0, -EBADMSG},
		{HVS_IC_SHUTDOWN, 0, 0, 1, -EBADMSG},
		{HVS_IC_HEARTBEAT, 0, 0, 0, 0},
		{HVS_IC_HEARTBEAT, 0, 0, 1, 0},
		{HVS_IC_HEARTBEAT, 0, 0, 2, -EBADMSG},
		{HVS_IC_TIMESYNC, 4, 0, 0, 0},
		{HVS_IC_TIMESYNC, 4, 0, 1, -EBADMSG},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		save(row[i].kind);
		cr_assert_eq(restore(row[i].kind, row[i].flags, row[i].transaction, row[i].own),
			     row[i].err, "%zu", i);
	}
}
