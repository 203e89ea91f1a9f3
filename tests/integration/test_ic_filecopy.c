/* SPDX-License-Identifier: MIT */
/* Guest file copy, to guests like Linux 6.1 and 6.12. */
#include "ic/filecopy.h"
#include "support/ic.h"

#include <errno.h>
#include <string.h>

#define PIECE HVS_FILECOPY_PIECE

static struct ic_done step;
static struct ic_done cancelled;

static struct ic_machine *up(void)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_FILECOPY}};

	step = (struct ic_done){0};
	cancelled = (struct ic_done){0};
	return ic_new(&opt, IC_VERSION(1, 1));
}

static struct hvs_filecopy_request file(uint64_t bytes)
{
	return (struct hvs_filecopy_request){HVS_FILECOPY_REQUEST_INIT, .bytes = bytes,
					     .directory = "/srv/in", .name = "file.bin"};
}

/* The next message of the host, which must be this one, as long as it has to be. */
static struct hvs_guest_ic_message take(struct ic_machine *m, enum hvsi_filecopy_op op)
{
	static const uint32_t bytes[] = {1088, 6196, 36, 36};
	const struct hvs_guest_ic_message msg = ic_take(m);
	static const uint8_t zero[32];

	cr_assert_eq(msg.type, HVS_IC_FILECOPY);
	cr_assert_eq(msg.body[0], op, "%u", msg.body[0]);
	cr_assert_eq(msg.len, bytes[op]);
	cr_assert_arr_eq(msg.body + 4, zero, sizeof(zero));
	return msg;
}

static void guest_does(struct ic_machine *m, enum hvsi_filecopy_op op, uint32_t status)
{
	const struct hvs_guest_ic_message msg = take(m, op);

	ic_answer(m, &msg, status, msg.body, 36);
}

static void expect_done(struct ic_done *d, int status, uint32_t guest_status)
{
	cr_expect_eq(d->count, 1, "done ran %u times", d->count);
	cr_expect_eq(d->status, status, "status %d", d->status);
	cr_expect_eq(d->guest_status, guest_status, "guest's status %#x", d->guest_status);
	*d = (struct ic_done){0};
}

static void begin(struct ic_machine *m, uint64_t bytes)
{
	const struct hvs_filecopy_request q = file(bytes);

	cr_assert_eq(hvs_filecopy_start(m->ic, &q, ic_note_done, &step), 0);
}

static struct ic_machine *up_open(uint64_t bytes)
{
	struct ic_machine *m = up();

	begin(m, bytes);
	guest_does(m, HVSI_FILECOPY_START, 0);
	expect_done(&step, 0, 0);
	return m;
}

static void write_some(struct ic_machine *m, const void *data, size_t len)
{
	cr_assert_eq(hvs_filecopy_write(m->ic, data, len, ic_note_done, &step), 0);
}

static struct hvs_filecopy_progress progress(const struct ic_machine *m)
{
	struct hvs_filecopy_progress p = {HVS_FILECOPY_PROGRESS_INIT};

	cr_assert_eq(hvs_filecopy_get_progress(m->ic, &p), 0);
	return p;
}

/* No copy is under way, nothing is with the guest: a new one can begin. */
static void expect_over(struct ic_machine *m)
{
	cr_expect(ic_nothing(m));
	cr_expect_eq(progress(m).bytes, 0);
	cr_expect_eq(hvs_filecopy_cancel(m->ic, NULL, NULL), -ENOENT);
	cr_expect_eq(hvs_filecopy_finish(m->ic, NULL, NULL), -ENOENT);
	begin(m, 0);
	guest_does(m, HVSI_FILECOPY_START, 0);
	cr_expect_eq(step.status, 0);
}

/* A string of UTF-16 in a message, all of ASCII. */
static bool says(const uint8_t *field, const char *text, size_t bytes)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < bytes / 2; i++)
		if (field[2 * i] != (i < len ? (uint8_t)text[i] : 0) || field[2 * i + 1])
			return false;
	return true;
}

/* ---- copies that succeed --------------------------------------------------------------------- */

Test(ic_filecopy, rule_4_a_file_goes_in_full_messages_whatever_its_length)
{
	static uint8_t data[2 * PIECE + 100];
	struct ic_machine *m = up_open(sizeof(data));
	struct hvs_guest_ic_message msg;
	uint8_t copy[sizeof(data)] = {0};

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256 + 1);
	write_some(m, data, sizeof(data));
	for (size_t at = 0; at < sizeof(data); at += PIECE) {
		const struct hvsi_filecopy_write *w;
		const size_t len = sizeof(data) - at < PIECE ? sizeof(data) - at : PIECE;

		cr_assert_eq(progress(m).written, at);
		msg = take(m, HVSI_FILECOPY_WRITE);
		w = (const struct hvsi_filecopy_write *)(const void *)msg.body;
		cr_assert_eq(hvsi_get64(w->offset), at);
		cr_assert_eq(hvsi_get32(w->len), len);
		memcpy(copy + at, w->data, len);
		for (size_t i = len; i < PIECE; i++)
			cr_assert_eq(w->data[i], 0);
		cr_assert_eq(step.count, 0);
		ic_answer(m, &msg, 0, msg.body, msg.len);
	}
	expect_done(&step, 0, 0);
	cr_assert_arr_eq(copy, data, sizeof(data));
	cr_assert_eq(progress(m).written, sizeof(data));
	cr_assert_eq(hvs_filecopy_finish(m->ic, ic_note_done, &step), 0);
	guest_does(m, HVSI_FILECOPY_COMPLETE, 0);
	expect_done(&step, 0, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, rule_13_no_message_has_more_than_6144_bytes_of_data)
{
	static const size_t sizes[] = {1, PIECE - 1, PIECE, PIECE + 1, 65536};
	static uint8_t data[65536];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ic_machine *m = up_open(sizes[i]);
		size_t got = 0;

		write_some(m, data, sizes[i]);
		while (!step.count) {
			const struct hvs_guest_ic_message msg = take(m, HVSI_FILECOPY_WRITE);
			const struct hvsi_filecopy_write *w =
				(const struct hvsi_filecopy_write *)(const void *)msg.body;

			cr_assert_leq(hvsi_get32(w->len), PIECE);
			got += hvsi_get32(w->len);
			ic_answer(m, &msg, 0, NULL, 0);
		}
		cr_assert_eq(got, sizes[i]);
		expect_done(&step, 0, 0);
		ic_down(m);
	}
}

Test(ic_filecopy, an_empty_file_is_start_and_complete)
{
	struct ic_machine *m = up_open(0);

	cr_assert_eq(hvs_filecopy_write(m->ic, "x", 1, ic_note_done, &step), -EINVAL);
	cr_assert_eq(hvs_filecopy_finish(m->ic, ic_note_done, &step), 0);
	guest_does(m, HVSI_FILECOPY_COMPLETE, 0);
	expect_done(&step, 0, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, data_may_change_until_it_is_sent_and_pieces_are_taken_when_they_are)
{
	uint8_t data[PIECE + 1] = {0};
	struct ic_machine *m = up_open(sizeof(data));
	struct hvs_guest_ic_message msg;

	write_some(m, data, sizeof(data));
	msg = take(m, HVSI_FILECOPY_WRITE);
	data[PIECE] = 9;
	ic_answer(m, &msg, 0, NULL, 0);
	msg = take(m, HVSI_FILECOPY_WRITE);
	cr_assert_eq(msg.body[52], 9);
	ic_answer(m, &msg, 0, NULL, 0);
	expect_done(&step, 0, 0);
	ic_down(m);
}

/* ---- names ----------------------------------------------------------------------------------- */

Test(ic_filecopy, the_directory_always_ends_with_a_separator)
{
	static const struct {
		const char *directory;
		const char *sent;
	} table[] = {
		{"/srv/in", "/srv/in/"},
		{"/srv/in/", "/srv/in/"},
		{"/", "/"},
		{"C:\\Users", "C:\\Users/"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ic_machine *m = up();
		struct hvs_filecopy_request q = file(0x1122334455);
		struct hvs_guest_ic_message msg;

		q.directory = table[i].directory;
		q.flags = HVS_FILECOPY_OVERWRITE | HVS_FILECOPY_CREATE_PATH;
		cr_assert_eq(hvs_filecopy_start(m->ic, &q, NULL, NULL), 0);
		msg = take(m, HVSI_FILECOPY_START);
		cr_expect(says(msg.body + 36, "file.bin", 520));
		cr_expect(says(msg.body + 556, table[i].sent, 520), "%s", table[i].sent);
		cr_expect_eq(msg.body[1076], 3);
		cr_expect_arr_eq(msg.body + 1080, "\x55\x44\x33\x22\x11\0\0", 8);
		ic_answer(m, &msg, 0, NULL, 0);
		ic_down(m);
	}
}

Test(ic_filecopy, names_that_a_guest_might_read_wrong_are_refused)
{
	static char long_name[301];
	static const struct {
		const char *directory;
		const char *name;
		int err;
	} table[] = {
		{"/srv", NULL, -EINVAL},
		{NULL, "f", -EINVAL},
		{"/srv", "", -EINVAL},
		{"", "f", -EINVAL},
		{"/srv", "a/b", -EINVAL},
		{"/srv", "a\\b", -EINVAL},
		{"/srv", "\xff", -EINVAL},
		{"/srv", "\xc3\xa4", -EILSEQ},
		{"/sr\xc3\xa4", "f", -EILSEQ},
		{"/srv", long_name + 300 - 130, 0},
		{"/srv", long_name + 300 - 131, -EILSEQ},
		{"/srv", long_name + 300 - 260, -EINVAL},
		{long_name + 300 - 129, "f", 0},
		{long_name + 300 - 130, "f", -EILSEQ},
	};

	memset(long_name, 'n', 300);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ic_machine *m = up();
		struct hvs_filecopy_request q = file(0);

		q.directory = table[i].directory;
		q.name = table[i].name;
		cr_expect_eq(hvs_filecopy_start(m->ic, &q, NULL, NULL), table[i].err, "row %zu", i);
		cr_expect_eq(ic_nothing(m), table[i].err != 0);
		ic_down(m);
	}
}

/* ---- copies that fail ------------------------------------------------------------------------ */

Test(ic_filecopy, a_start_that_is_refused_is_not_cancelled_as_that_might_remove_the_old_file)
{
	static const uint32_t statuses[] = {HVS_IC_E_EXISTS, HVS_IC_E_FAIL};

	for (size_t i = 0; i < 2; i++) {
		struct ic_machine *m = up();

		begin(m, 5);
		guest_does(m, HVSI_FILECOPY_START, statuses[i]);
		expect_done(&step, -EREMOTEIO, statuses[i]);
		expect_over(m);
		ic_down(m);
	}
}

Test(ic_filecopy, linux_6_1_removes_a_file_that_did_not_fit)
{
	struct ic_machine *m = up_open(5);

	write_some(m, "hello", 5);
	guest_does(m, HVSI_FILECOPY_WRITE, HVS_IC_E_DISK_FULL);
	expect_done(&step, -EREMOTEIO, HVS_IC_E_DISK_FULL);
	cr_assert_eq(hvs_filecopy_write(m->ic, "hello", 5, NULL, NULL), -ENOENT);
	guest_does(m, HVSI_FILECOPY_CANCEL, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, linux_6_12_knows_no_cancel_and_is_told_to_close_the_file)
{
	struct ic_machine *m = up_open(5);

	cr_assert_eq(hvs_filecopy_cancel(m->ic, ic_note_done, &cancelled), 0);
	guest_does(m, HVSI_FILECOPY_CANCEL, HVS_IC_E_FAIL);
	cr_assert_eq(cancelled.count, 0);
	guest_does(m, HVSI_FILECOPY_COMPLETE, 0);
	expect_done(&cancelled, -EREMOTEIO, HVS_IC_E_FAIL);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, a_cancel_between_two_steps)
{
	struct ic_machine *m = up_open(5);
	const struct hvs_filecopy_request q = file(0);

	cr_assert_eq(hvs_filecopy_cancel(m->ic, ic_note_done, &cancelled), 0);
	cr_assert_eq(hvs_filecopy_start(m->ic, &q, NULL, NULL), -EBUSY);
	cr_assert_eq(hvs_filecopy_cancel(m->ic, NULL, NULL), -ENOENT);
	cr_assert_eq(hvs_ic_cancel(m->ic, &cancelled), 0);
	guest_does(m, HVSI_FILECOPY_CANCEL, 0);
	expect_done(&cancelled, 0, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, rule_1_a_cancel_during_a_write_waits_for_its_answer)
{
	static uint8_t data[2 * PIECE];
	struct ic_machine *m = up_open(sizeof(data));
	struct hvs_guest_ic_message msg;

	write_some(m, data, sizeof(data));
	msg = take(m, HVSI_FILECOPY_WRITE);
	cr_assert_eq(hvs_filecopy_cancel(m->ic, ic_note_done, &cancelled), 0);
	cr_assert_eq(step.count, 0, "never from inside");
	cr_assert(ic_nothing(m));
	expect_done(&step, -ECANCELED, 0);
	ic_answer(m, &msg, 0, NULL, 0);
	guest_does(m, HVSI_FILECOPY_CANCEL, 0);
	expect_done(&cancelled, 0, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, a_cancel_before_the_start_was_sent_tells_the_guest_nothing)
{
	struct ic_machine *m = up();

	begin(m, 5);
	cr_assert_eq(hvs_filecopy_cancel(m->ic, ic_note_done, &cancelled), 0);
	ic_run(m);
	expect_done(&step, -ECANCELED, 0);
	expect_done(&cancelled, 0, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, a_step_that_is_withdrawn_ends_the_copy)
{
	struct ic_machine *m = up_open(5);

	write_some(m, "hello", 5);
	cr_assert_eq(hvs_ic_cancel(m->ic, &step), 1);
	ic_run(m);
	expect_done(&step, -ECANCELED, 0);
	guest_does(m, HVSI_FILECOPY_CANCEL, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, a_guest_that_does_not_answer_ends_the_copy_and_is_told_when_it_does)
{
	struct ic_machine *m = up_open(5);
	struct hvs_guest_ic_message msg;

	write_some(m, "hello", 5);
	msg = take(m, HVSI_FILECOPY_WRITE);
	ic_advance(m, 59900);
	cr_assert_eq(step.count, 0);
	ic_advance(m, 200);
	expect_done(&step, -ETIMEDOUT, 0);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, 0, NULL, 0);
	guest_does(m, HVSI_FILECOPY_CANCEL, 0);
	expect_over(m);
	ic_down(m);
}

Test(ic_filecopy, each_answer_has_its_own_time)
{
	static uint8_t data[3 * PIECE];
	struct ic_machine *m = up();
	struct hvs_filecopy_request q = file(sizeof(data));

	q.timeout_ms = 1000;
	cr_assert_eq(hvs_filecopy_start(m->ic, &q, ic_note_done, &step), 0);
	guest_does(m, HVSI_FILECOPY_START, 0);
	expect_done(&step, 0, 0);
	write_some(m, data, sizeof(data));
	for (unsigned i = 0; i < 3; i++) {
		const struct hvs_guest_ic_message msg = take(m, HVSI_FILECOPY_WRITE);

		ic_advance(m, 900);
		ic_answer(m, &msg, 0, NULL, 0);
	}
	expect_done(&step, 0, 0);
	ic_down(m);
}

Test(ic_filecopy, a_daemon_that_dies_ends_everything_at_once)
{
	struct ic_machine *m = up_open(5);

	write_some(m, "hello", 5);
	(void)take(m, HVSI_FILECOPY_WRITE);
	cr_assert_eq(hvs_filecopy_cancel(m->ic, ic_note_done, &cancelled), 0);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	cr_expect_eq(step.count, 1);
	cr_expect_eq(cancelled.count, 1);
	cr_expect_eq(cancelled.status, -ENOTCONN);
	step = (struct ic_done){0};
	ic_open(m);
	ic_negotiate(m, IC_VERSION(1, 1));
	expect_over(m);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	cr_assert_eq(progress(m).bytes, 0);
	cr_assert_eq(hvs_filecopy_finish(m->ic, NULL, NULL), -ENOENT);
	ic_down(m);
}

Test(ic_filecopy, a_copy_does_not_survive_a_restore)
{
	struct ic_machine *m = up_open(5);
	struct hvs_guest_ic_message msg;

	write_some(m, "hello", 5);
	msg = take(m, HVSI_FILECOPY_WRITE);
	ic_replace(m);
	expect_done(&step, -ENOTCONN, 0);
	ic_answer(m, &msg, 0, NULL, 0);
	ic_negotiate(m, IC_VERSION(1, 1));
	expect_over(m);
	ic_down(m);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

Test(ic_filecopy, what_does_not_fit_the_copy_is_refused)
{
	struct ic_machine *m = up();
	struct hvs_filecopy_request q = file(5);
	struct hvs_filecopy_progress p = {.size = 3};

	cr_assert_eq(hvs_filecopy_start(NULL, &q, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_filecopy_start(m->ic, NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_filecopy_get_progress(m->ic, &p), -EINVAL);
	q.flags = 4;
	cr_assert_eq(hvs_filecopy_start(m->ic, &q, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_filecopy_write(m->ic, "hello", 5, NULL, NULL), -ENOENT);
	begin(m, 5);
	cr_assert_eq(hvs_filecopy_write(m->ic, "hello", 5, NULL, NULL), -EBUSY);
	cr_assert_eq(hvs_filecopy_finish(m->ic, NULL, NULL), -EBUSY);
	guest_does(m, HVSI_FILECOPY_START, 0);
	expect_done(&step, 0, 0);
	cr_assert_eq(hvs_filecopy_write(m->ic, "hello!", 6, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_filecopy_write(m->ic, "hello", 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_filecopy_write(m->ic, NULL, 5, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_filecopy_write(m->ic, "x", HVS_FILECOPY_MAX_WRITE + 1, NULL, NULL),
		     -EINVAL);
	cr_assert_eq(hvs_filecopy_finish(m->ic, NULL, NULL), -EINVAL);
	write_some(m, "hello", 5); /* the copy goes on */
	guest_does(m, HVSI_FILECOPY_WRITE, 0);
	expect_done(&step, 0, 0);
	ic_down(m);
}
