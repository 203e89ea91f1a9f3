/* SPDX-License-Identifier: MIT */
/* Resets and time-outs of SRBs: what is in flight ends first, once, and others go on. */
#include "support/disk.h"
#include "support/stor.h"
#include "vmbus/proto.h"

#include <errno.h>

struct two {
	struct stor s;
	struct testdisk *d[2];
	struct hvs_disk *disk[2];
};

/* Disks at LUN 0 and 1 that keep what they get. */
static void up(struct two *t, const struct hvs_blk_ops *ops, const struct stor_options *opt)
{
	stor_up(&t->s, opt);
	for (uint8_t i = 0; i < 2; i++) {
		t->d[i] = testdisk_new(0, HVS_BLK_INFO_WRITE_BACK);
		t->d[i]->hold = true;
		t->d[i]->info.max_queues = HVS_BLK_ANY_QUEUE;
		t->disk[i] = stor_attach(&t->s, 0, 0, i, ops, t->d[i]);
	}
	stor_start(&t->s, opt);
}

static void down(struct two *t)
{
	stor_down(&t->s);
	testdisk_free(t->d[0]);
	testdisk_free(t->d[1]);
}

static const struct stor_options one_channel;
static const struct stor_options three_channels = {
	.ctl.max_subchannels = 2, .channels = 3, .workers = 2};

static uint64_t send_read(struct two *t, unsigned n, uint8_t lun)
{
	struct hvsi_vstor_packet p = stor_rw(lun, false, 8, 8);

	return stor_send(&t->s, n, &p);
}

static uint64_t send_reset(struct two *t, unsigned n, uint32_t operation, uint8_t lun)
{
	struct hvsi_vstor_packet p = stor_control(operation);

	p.u.srb.lun = lun;
	return stor_send(&t->s, n, &p);
}

static void finish(struct two *t, unsigned lun)
{
	testdisk_finish(t->d[lun], 0, HVS_BLK_OK);
	stor_run(&t->s);
}

/* Both are answered, in whatever order, and there is nothing else. */
static void expect_both(struct two *t, unsigned n, const uint64_t xid[2])
{
	struct stor_answer a[2];

	for (unsigned i = 0; i < 2; i++) {
		cr_assert(stor_take(&t->s, n, &a[i]));
		cr_assert_eq(hvsi_get32(a[i].p.status), HVSI_NT_SUCCESS);
		cr_assert(a[i].xid == xid[0] || a[i].xid == xid[1]);
	}
	cr_assert_neq(a[0].xid, a[1].xid);
	stor_expect_nothing(&t->s, n);
}

/* ---- one at a time ---------------------------------------------------------------------------- */

Test(reset, of_a_lun_is_answered_after_its_requests_and_others_go_on)
{
	struct two t;
	uint64_t read[2];
	uint64_t reset;

	up(&t, &testdisk_ops, &one_channel);
	read[0] = send_read(&t, 0, 0);
	read[1] = send_read(&t, 0, 1);
	reset = send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 0);
	stor_expect_nothing(&t.s, 0);
	finish(&t, 0);
	stor_expect_good(&t.s, 0, read[0]);
	stor_expect_control(&t.s, 0, reset);
	stor_expect_nothing(&t.s, 0);
	finish(&t, 1);
	stor_expect_good(&t.s, 0, read[1]);
	stor_do_check(&t.s, 0, stor_ready(0), SENSE_LUN_RESET);
	stor_do_good(&t.s, 0, stor_ready(0));
	stor_do_good(&t.s, 0, stor_ready(1));
	down(&t);
}

Test(reset, cancels_what_can_be_cancelled)
{
	struct two t;
	uint64_t read[3];
	uint64_t reset;

	up(&t, &testdisk_cancel_ops, &one_channel);
	read[0] = send_read(&t, 0, 0);
	read[1] = send_read(&t, 0, 0);
	read[2] = send_read(&t, 0, 1);
	reset = send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 0);
	cr_assert_eq(t.d[0]->cancels, 2);
	cr_assert_eq(t.d[1]->cancels, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct stor_answer a;

		cr_assert(stor_take(&t.s, 0, &a));
		cr_assert(a.xid == read[0] || a.xid == read[1]);
		cr_assert_eq(a.p.u.srb.srb_status, STOR_ABORTED);
		cr_assert_eq(a.p.u.srb.scsi_status, 2);
		cr_assert_eq(stor_sense(&a.p), SENSE_ABORTED);
		cr_assert_eq(hvsi_get32(a.p.u.srb.transfer_len), 0);
	}
	stor_expect_control(&t.s, 0, reset);
	stor_expect_nothing(&t.s, 0);
	finish(&t, 1);
	stor_expect_good(&t.s, 0, read[2]);
	down(&t);
}

/* What was completed, but is not answered yet, is not the back end's any more. */
Test(reset, cancels_nothing_that_the_back_end_has_completed)
{
	struct two t;
	uint64_t read;
	uint64_t reset;
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_RESET_LUN);
	struct iovec iov = {&p, sizeof(p)};

	up(&t, &testdisk_cancel_ops, &one_channel);
	read = send_read(&t, 0, 0);
	cr_assert_eq(hvs_guest_send(t.s.ch[0], 7, true, NULL, &iov, 1), 0);
	hvs_guest_flush(t.s.ch[0]);
	/* Answers and the reset are seen in one go: the drain comes first. */
	testdisk_finish(t.d[0], 0, HVS_BLK_OK);
	reset = 7;
	stor_run(&t.s);
	cr_assert_eq(t.d[0]->cancels, 0);
	stor_expect_good(&t.s, 0, read);
	stor_expect_control(&t.s, 0, reset);
	down(&t);
}

Test(reset, of_bus_and_adapter_concern_the_disks_there)
{
	struct stor s;
	struct testdisk *d[3];
	static const uint8_t path[3] = {0, 0, 3};
	static const uint8_t target[3] = {0, 1, 0};
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_RESET_BUS);

	stor_up(&s, &one_channel);
	for (unsigned i = 0; i < 3; i++) {
		d[i] = testdisk_new(0, 0);
		stor_attach(&s, path[i], target[i], 0, &testdisk_ops, d[i]);
	}
	stor_start(&s, &one_channel);
	for (unsigned round = 0; round < 2; round++) {
		stor_expect_control(&s, 0, stor_send(&s, 0, &p));
		for (unsigned i = 0; i < 3; i++) {
			struct hvsi_vstor_packet tur = stor_ready(0);

			tur.u.srb.path = path[i];
			tur.u.srb.target = target[i];
			if (round || path[i] == 0)
				stor_do_check(&s, 0, tur, SENSE_BUS_RESET);
			stor_do_good(&s, 0, tur);
		}
		p = stor_control(HVSI_VSTOR_RESET_ADAPTER);
	}
	stor_down(&s);
	for (unsigned i = 0; i < 3; i++)
		testdisk_free(d[i]);
}

Test(reset, of_what_is_not_there_is_answered_at_once)
{
	struct two t;
	uint64_t read;

	up(&t, &testdisk_ops, &one_channel);
	read = send_read(&t, 0, 0);
	stor_expect_control(&t.s, 0, send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 9));
	finish(&t, 0);
	stor_expect_good(&t.s, 0, read);
	stor_do_good(&t.s, 0, stor_ready(0));
	down(&t);
}

Test(reset, does_not_wait_for_what_comes_later)
{
	struct two t;
	uint64_t early;
	uint64_t late;
	uint64_t reset;

	up(&t, &testdisk_ops, &one_channel);
	early = send_read(&t, 0, 0);
	reset = send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 0);
	late = send_read(&t, 0, 0);
	finish(&t, 0);
	stor_expect_good(&t.s, 0, early);
	stor_expect_control(&t.s, 0, reset);
	finish(&t, 0);
	stor_expect_good(&t.s, 0, late);
	down(&t);
}

Test(reset, ends_a_command_between_its_steps)
{
	struct two t;
	struct hvsi_vstor_packet p;
	uint64_t write;
	uint64_t reset;

	up(&t, &testdisk_ops, &one_channel);
	p = stor_rw(0, true, 0, 8);
	p.u.srb.cdb_or_sense[1] = 0x08; /* FUA: a flush follows */
	write = stor_send(&t.s, 0, &p);
	reset = send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 0);
	finish(&t, 0);
	cr_assert_eq(t.d[0]->held_count, 0, "no flush any more");
	stor_expect_check(&t.s, 0, write, STOR_ABORTED, SENSE_ABORTED);
	stor_expect_control(&t.s, 0, reset);
	down(&t);
}

Test(reset, an_error_of_the_back_end_after_it_is_an_abort)
{
	struct two t;
	uint64_t read;
	uint64_t reset;

	up(&t, &testdisk_ops, &one_channel);
	read = send_read(&t, 0, 0);
	reset = send_reset(&t, 0, HVSI_VSTOR_RESET_ADAPTER, 0);
	testdisk_finish(t.d[0], 0, HVS_BLK_IO_ERROR);
	stor_run(&t.s);
	stor_expect_check(&t.s, 0, read, STOR_ABORTED, SENSE_ABORTED);
	stor_expect_control(&t.s, 0, reset);
	down(&t);
}

/* ---- many, and from everywhere ---------------------------------------------------------------- */

Test(reset, ends_requests_of_all_channels)
{
	struct two t;
	uint64_t read[3];
	uint64_t reset;

	up(&t, &testdisk_cancel_ops, &three_channels);
	for (unsigned n = 0; n < 3; n++)
		read[n] = send_read(&t, n, 0);
	reset = send_reset(&t, 2, HVSI_VSTOR_RESET_BUS, 0);
	cr_assert_eq(t.d[0]->cancels, 3);
	for (unsigned n = 0; n < 3; n++)
		stor_expect_check(&t.s, n, read[n], STOR_ABORTED, SENSE_ABORTED);
	stor_expect_control(&t.s, 2, reset);
	for (unsigned n = 0; n < 3; n++)
		stor_expect_nothing(&t.s, n);
	down(&t);
}

Test(reset, several_at_once_are_answered_once_each)
{
	static const uint32_t operation[6] = {HVSI_VSTOR_RESET_LUN, HVSI_VSTOR_RESET_LUN,
					      HVSI_VSTOR_RESET_BUS, HVSI_VSTOR_RESET_ADAPTER,
					      HVSI_VSTOR_RESET_LUN, HVSI_VSTOR_RESET_BUS};
	struct two t;
	uint64_t read;
	uint64_t reset[6];

	up(&t, &testdisk_ops, &three_channels);
	read = send_read(&t, 1, 0);
	for (unsigned i = 0; i < 6; i++)
		reset[i] = send_reset(&t, i % 3, operation[i], 0);
	for (unsigned n = 0; n < 3; n++)
		stor_expect_nothing(&t.s, n);
	finish(&t, 0);
	stor_expect_good(&t.s, 1, read);
	for (unsigned n = 0; n < 3; n++)
		expect_both(&t, n, (uint64_t[]){reset[n], reset[n + 3]});
	/* Both conditions, the more urgent one first, each once for all of its resets. */
	stor_do_check(&t.s, 0, stor_ready(0), SENSE_BUS_RESET);
	stor_do_check(&t.s, 1, stor_ready(0), SENSE_LUN_RESET);
	stor_do_good(&t.s, 0, stor_ready(0));
	stor_do_check(&t.s, 2, stor_ready(1), SENSE_BUS_RESET);
	stor_do_good(&t.s, 2, stor_ready(1));
	down(&t);
}

Test(reset, conditions_are_not_for_inquiry_and_report_luns)
{
	static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 36};
	static const uint8_t report_luns[12] = {0xa0};
	struct hvsi_vstor_packet p = stor_srb(0, inquiry, 6, HVSI_DATA_IN);
	struct two t;

	up(&t, &testdisk_ops, &one_channel);
	stor_expect_control(&t.s, 0, send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 0));
	p.u.srb.transfer_len = hvsi_le32(36);
	stor_do_good(&t.s, 0, p);
	p = stor_srb(0, report_luns, 12, HVSI_DATA_IN);
	p.u.srb.transfer_len = hvsi_le32(64);
	stor_do_good(&t.s, 0, p);
	stor_do_check(&t.s, 0, stor_ready(0), SENSE_LUN_RESET);
	down(&t);
}

static void removed(void *arg, int status)
{
	cr_assert_eq(status, 0);
	++*(unsigned *)arg;
}

Test(reset, of_a_disk_that_hangs_holds_up_no_other)
{
	unsigned gone = 0;
	struct two t;
	uint64_t read[2];
	uint64_t hanging[2];

	up(&t, &testdisk_ops, &three_channels);
	read[0] = send_read(&t, 1, 0);
	hanging[0] = send_reset(&t, 2, HVSI_VSTOR_RESET_LUN, 0);
	hanging[1] = send_reset(&t, 2, HVSI_VSTOR_RESET_ADAPTER, 0);
	read[1] = send_read(&t, 1, 1);
	finish(&t, 1);
	stor_expect_good(&t.s, 1, read[1]);
	stor_expect_control(&t.s, 0, send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 1));
	cr_assert_eq(hvs_disk_remove(t.disk[1], removed, &gone), 0);
	stor_run(&t.s);
	cr_assert_eq(gone, 1);
	stor_expect_enumerate(&t.s, 64);
	stor_expect_nothing(&t.s, 2);
	finish(&t, 0);
	stor_expect_good(&t.s, 1, read[0]);
	expect_both(&t, 2, hanging);
	down(&t);
}

#define UNSENT 100u

Test(reset, waits_for_completions_that_have_no_room_and_a_removal_does_not)
{
	const struct stor_options opt = {
		.ctl.max_subchannels = 1, .channels = 2, .ring_bytes = 4096};
	bool answered[UNSENT] = {false};
	struct stor_answer a;
	uint64_t first;
	uint64_t reset;
	unsigned gone = 0;
	unsigned count = 0;
	struct two t;

	up(&t, &testdisk_ops, &opt);
	first = send_read(&t, 1, 0);
	for (unsigned i = 1; i < UNSENT; i++)
		cr_assert_eq(send_read(&t, 1, 0), first + i);
	cr_assert_eq(t.d[0]->held_count, UNSENT);
	testdisk_finish_all(t.d[0]);
	reset = send_reset(&t, 0, HVSI_VSTOR_RESET_LUN, 0);
	stor_expect_nothing(&t.s, 0);
	cr_assert_eq(hvs_disk_remove(t.disk[0], removed, &gone), 0);
	stor_run(&t.s);
	cr_assert_eq(gone, 1);
	stor_expect_enumerate(&t.s, 64);
	stor_expect_nothing(&t.s, 0);
	while (stor_take(&t.s, 1, &a)) {
		cr_assert_eq(a.p.u.srb.srb_status, HVSI_SRB_SUCCESS);
		cr_assert(a.xid >= first && a.xid < first + UNSENT && !answered[a.xid - first]);
		answered[a.xid - first] = true;
		count++;
		hvs_guest_flush(t.s.ch[1]);
		stor_run(&t.s);
	}
	cr_assert_eq(count, UNSENT);
	stor_expect_control(&t.s, 0, reset);
	down(&t);
}

Test(reset, in_flight_holds_the_close_of_its_channel)
{
	struct two t;
	uint64_t read;

	up(&t, &testdisk_ops, &three_channels);
	read = send_read(&t, 0, 0);
	(void)send_reset(&t, 1, HVSI_VSTOR_RESET_LUN, 0);
	/* The teardown of the rings' GPADL waits: nobody gives the request back. */
	cr_assert_eq(hvs_guest_channel_close(t.s.ch[1]), -ETIMEDOUT);
	finish(&t, 0);
	stor_expect_good(&t.s, 0, read);
	stor_do_check(&t.s, 0, stor_ready(0), SENSE_LUN_RESET);
	down(&t);
}

Test(reset, of_a_channel_that_closes_is_for_the_others_all_the_same)
{
	struct two t;

	up(&t, &testdisk_cancel_ops, &three_channels);
	(void)send_read(&t, 1, 0);
	cr_assert_eq(hvs_guest_channel_close(t.s.ch[1]), 0);
	cr_assert_eq(t.d[0]->cancels, 1);
	stor_expect_control(&t.s, 0, send_reset(&t, 0, HVSI_VSTOR_RESET_ADAPTER, 0));
	stor_do_check(&t.s, 2, stor_ready(0), SENSE_BUS_RESET);
	down(&t);
}

Test(reset, is_no_news_for_the_next_driver)
{
	uint32_t max_transfer;
	struct two t;

	up(&t, &testdisk_ops, &one_channel);
	stor_expect_control(&t.s, 0, send_reset(&t, 0, HVSI_VSTOR_RESET_ADAPTER, 0));
	cr_assert_eq(hvs_guest_channel_close(t.s.ch[0]), 0);
	cr_assert_eq(hvs_guest_channel_open(t.s.guest, hvs_guest_offer_at(t.s.guest, 0), 65536,
					    &t.s.ch[0]),
		     0);
	cr_assert_eq(hvs_guest_stor_init(t.s.ch[0], 0x600, &max_transfer), 0);
	stor_do_good(&t.s, 0, stor_ready(0));
	down(&t);
}

/* ---- time-outs -------------------------------------------------------------------------------- */

static unsigned waits; /* of 2 ms, by the machine's own clock */

static void count_waits(void *arg, struct hvs_loopback *lb)
{
	(void)arg;
	waits++;
	hvs_loopback_run(lb);
}

static const struct stor_options clocked = {.loopback = {.on_wait = count_waits}};

static uint64_t send_timed(struct two *t, uint8_t lun, uint32_t timeout_s)
{
	struct hvsi_vstor_packet p = stor_rw(lun, false, 8, 8);

	p.u.srb.timeout_s = hvsi_le32(timeout_s);
	waits = 0;
	return stor_send(&t->s, 0, &p);
}

/* Let minutes pass. */
static void expect_no_answer(struct two *t)
{
	struct hvs_guest_packet pkt;

	cr_assert_eq(hvs_guest_recv_wait(t->s.ch[0], &pkt), -ETIMEDOUT);
	cr_assert_gt(waits, 60 * 500);
}

static void expect_timed_out(struct two *t, uint64_t xid, uint32_t timeout_s)
{
	struct hvsi_vstor_packet p;
	struct hvs_guest_packet pkt;

	cr_assert_eq(hvs_guest_recv_wait(t->s.ch[0], &pkt), 1);
	cr_assert_eq(pkt.xid, xid);
	memcpy(&p, pkt.data, sizeof(p));
	cr_assert_eq(p.u.srb.srb_status, 0x84);
	cr_assert_eq(p.u.srb.scsi_status, 2);
	cr_assert_eq(stor_sense(&p), SENSE_TIMED_OUT);
	cr_assert_eq(hvsi_get32(p.u.srb.transfer_len), 0);
	cr_assert_geq(waits, timeout_s * 500, "after %u ms", waits * 2);
	cr_assert_leq(waits, (timeout_s + 2) * 500, "after %u ms", waits * 2);
}

Test(timeout, a_disk_that_hangs_until_cancelled_times_out_and_others_go_on)
{
	struct two t;
	uint64_t hung;

	up(&t, &testdisk_cancel_ops, &clocked);
	t.d[1]->hold = false;
	for (uint32_t timeout_s = 1; timeout_s <= 60; timeout_s = timeout_s * 3 + 1) {
		hung = send_timed(&t, 0, timeout_s);
		stor_do_good(&t.s, 0, stor_rw(1, false, 0, 8));
		expect_timed_out(&t, hung, timeout_s);
		stor_do_good(&t.s, 0, stor_rw(1, false, 0, 8));
	}
	/* It is not the whole disk's: the next request is fine. */
	hung = send_timed(&t, 0, 1);
	finish(&t, 0);
	stor_expect_good(&t.s, 0, hung);
	down(&t);
}

Test(timeout, each_request_has_its_own)
{
	struct two t;
	uint64_t slow;
	uint64_t fast;

	up(&t, &testdisk_cancel_ops, &clocked);
	slow = send_timed(&t, 0, 30);
	fast = send_timed(&t, 0, 3);
	expect_timed_out(&t, fast, 3);
	expect_timed_out(&t, slow, 30);
	cr_assert_eq(t.d[0]->cancels, 2);
	down(&t);
}

Test(timeout, without_one_or_with_one_beyond_reason_a_request_waits)
{
	static const uint32_t never[] = {0, 1000000001, UINT32_MAX};
	struct two t;

	up(&t, &testdisk_cancel_ops, &clocked);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t xid = send_timed(&t, 0, never[i]);

		expect_no_answer(&t);
		finish(&t, 0);
		stor_expect_good(&t.s, 0, xid);
	}
	down(&t);
}

Test(timeout, there_is_none_before_version_5_1)
{
	static const uint16_t versions[] = {0x200, 0x402, 0x501};

	for (unsigned i = 0; i < 3; i++) {
		struct stor_options opt = clocked;
		struct two t;
		uint64_t xid;

		opt.version = versions[i];
		up(&t, &testdisk_cancel_ops, &opt);
		xid = send_timed(&t, 0, 5);
		if (versions[i] >= 0x501) {
			expect_timed_out(&t, xid, 5);
		} else {
			expect_no_answer(&t);
			finish(&t, 0);
			stor_expect_good(&t.s, 0, xid);
		}
		down(&t);
	}
}

Test(timeout, of_a_back_end_that_cannot_cancel_is_told_when_it_ends)
{
	struct two t;
	uint64_t xid;

	up(&t, &testdisk_ops, &clocked);
	xid = send_timed(&t, 0, 5);
	expect_no_answer(&t);
	testdisk_finish(t.d[0], 0, HVS_BLK_IO_ERROR);
	stor_run(&t.s);
	stor_expect_check(&t.s, 0, xid, 0x84, SENSE_TIMED_OUT);
	/* And if it went well after all, it did. */
	xid = send_timed(&t, 0, 5);
	expect_no_answer(&t);
	finish(&t, 0);
	stor_expect_good(&t.s, 0, xid);
	down(&t);
}

Test(timeout, does_not_touch_what_waits_for_room_in_the_ring)
{
	struct stor_options opt = clocked;
	struct stor_answer a;
	uint8_t message[HVSI_MSG_MAX];
	unsigned count = 0;
	struct two t;

	opt.ring_bytes = 4096;
	up(&t, &testdisk_cancel_ops, &opt);
	for (unsigned i = 0; i < 60; i++)
		(void)send_timed(&t, 0, 1);
	testdisk_finish_all(t.d[0]);
	stor_run(&t.s);
	cr_assert_eq(hvs_guest_wait_message(t.s.guest, HVSI_MSG_OFFERCHANNEL, message),
		     -ETIMEDOUT); /* minutes */
	while (stor_take(&t.s, 0, &a)) {
		cr_assert_eq(a.p.u.srb.srb_status, HVSI_SRB_SUCCESS);
		count++;
		hvs_guest_flush(t.s.ch[0]);
		stor_run(&t.s);
	}
	cr_assert_eq(count, 60);
	down(&t);
}
