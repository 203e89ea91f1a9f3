/* SPDX-License-Identifier: MIT */
/* Disks that come, go and change while the guest runs; what becomes of their requests. */
#include "support/disk.h"
#include "support/stor.h"
#include "vmbus/proto.h"

#include <errno.h>

static const struct stor_options usual;

static void removed(void *arg, int status)
{
	cr_assert_eq(status, 0);
	++*(unsigned *)arg;
}

static struct testdisk *disk_new(void)
{
	struct testdisk *d = testdisk_new(0, 0);

	d->info.max_queues = HVS_BLK_ANY_QUEUE;
	return d;
}

/* Command to an address: INVALID LUN and nothing else. */
static void expect_absent(struct stor *s, struct hvsi_vstor_packet p)
{
	p = stor_do(s, 0, &p);
	cr_assert_eq(p.u.srb.srb_status, HVSI_SRB_INVALID_LUN);
	cr_assert_eq(p.u.srb.scsi_status, 0);
	cr_assert_eq(p.u.srb.sense_len, 0);
	cr_assert_eq(hvsi_get32(p.u.srb.transfer_len), 0);
}

/* First byte of INQUIRY data: what is there. */
static uint8_t inquiry(struct stor *s, uint8_t lun)
{
	static const uint8_t cdb[6] = {0x12, 0, 0, 0, 36};
	struct hvsi_vstor_packet p = stor_srb(lun, cdb, sizeof(cdb), HVSI_DATA_IN);

	p.u.srb.transfer_len = hvsi_le32(36);
	stor_do_good(s, 0, p);
	return s->buf[0];
}

/* How many LUNs are there, and which is the first? */
static unsigned report_luns(struct stor *s, uint8_t path, uint8_t target, uint8_t *first)
{
	static const uint8_t cdb[12] = {0xa0, [8] = 0x10};
	struct hvsi_vstor_packet p = stor_srb(0, cdb, sizeof(cdb), HVSI_DATA_IN);

	p.u.srb.path = path;
	p.u.srb.target = target;
	p.u.srb.transfer_len = hvsi_le32(4096);
	stor_do_good(s, 0, p);
	*first = s->buf[9];
	return hvsi_get_be32(s->buf) / 8;
}

/* ---- coming ----------------------------------------------------------------------------------- */

Test(hot_add, is_told_once_for_all_that_came)
{
	static const struct {
		uint16_t version;
		uint32_t len;
	} cases[] = {{0x200, 0}, {0x402, 48}, {0x501, 64}, {0x600, 64}, {0x602, 64}};

	for (unsigned i = 0; i < 5; i++) {
		const struct stor_options opt = {.version = cases[i].version};
		struct testdisk *d = disk_new();
		struct stor s;

		stor_up(&s, &opt);
		stor_start(&s, &opt);
		stor_expect_nothing(&s, 0);
		for (uint8_t lun = 0; lun < 3; lun++)
			stor_attach(&s, 0, 0, lun, &testdisk_ops, d);
		stor_run(&s);
		if (cases[i].len)
			stor_expect_enumerate(&s, cases[i].len);
		stor_expect_nothing(&s, 0);
		stor_do_good(&s, 0, stor_rw(2, false, 0, 8));
		stor_attach(&s, 0, 0, 9, &testdisk_ops, d);
		stor_run(&s);
		if (cases[i].len)
			stor_expect_enumerate(&s, cases[i].len);
		stor_expect_nothing(&s, 0);
		stor_down(&s);
		testdisk_free(d);
	}
}

Test(hot_add, is_no_news_before_the_guest_looks_by_itself)
{
	static const uint32_t order[] = {
		HVSI_VSTOR_BEGIN_INITIALIZATION, HVSI_VSTOR_QUERY_PROTOCOL_VERSION,
		HVSI_VSTOR_QUERY_PROPERTIES, HVSI_VSTOR_END_INITIALIZATION};
	struct testdisk *d = disk_new();
	uint32_t max_transfer;
	struct stor s;

	stor_up(&s, &usual);
	stor_start(&s, &usual);
	cr_assert_eq(hvs_guest_channel_close(s.ch[0]), 0);
	cr_assert_eq(
		hvs_guest_channel_open(s.guest, hvs_guest_offer_at(s.guest, 0), 65536, &s.ch[0]),
		0);
	for (uint8_t step = 0; step < 4; step++) {
		struct hvsi_vstor_packet p = stor_control(order[step]);

		stor_attach(&s, 0, 0, step, &testdisk_ops, d);
		stor_expect_nothing(&s, 0);
		p.u.version.version = hvsi_le16(0x600);
		stor_expect_control(&s, 0, stor_send(&s, 0, &p));
		stor_expect_nothing(&s, 0);
	}
	stor_do_good(&s, 0, stor_ready(3));
	/* What is not told when the driver goes is none of the next one's. */
	stor_attach(&s, 0, 0, 9, &testdisk_ops, d);
	cr_assert_eq(hvs_guest_channel_close(s.ch[0]), 0);
	cr_assert_eq(
		hvs_guest_channel_open(s.guest, hvs_guest_offer_at(s.guest, 0), 65536, &s.ch[0]),
		0);
	cr_assert_eq(hvs_guest_stor_init(s.ch[0], 0x600, &max_transfer), 0);
	stor_expect_nothing(&s, 0);
	stor_down(&s);
	testdisk_free(d);
}

Test(hot_add, waits_for_room_in_the_ring)
{
	const struct stor_options opt = {.ring_bytes = 4096};
	struct testdisk *d = disk_new();
	unsigned enumerates = 0;
	unsigned answers = 0;
	struct hvs_guest_packet pkt;
	struct stor s;

	stor_up(&s, &opt);
	stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &opt);
	for (unsigned i = 0; i < 80; i++) {
		struct hvsi_vstor_packet p = stor_ready(0);
		struct iovec iov = {&p, sizeof(p)};

		if (hvs_guest_send(s.ch[0], i, true, NULL, &iov, 1) == 0)
			answers++;
		hvs_guest_flush(s.ch[0]);
		stor_run(&s);
	}
	stor_attach(&s, 0, 0, 1, &testdisk_ops, d);
	stor_run(&s);
	stor_attach(&s, 0, 0, 2, &testdisk_ops, d);
	stor_run(&s);
	while (hvs_guest_recv(s.ch[0], &pkt) == 1) {
		if (pkt.type == HVS_PACKET_COMPLETION)
			answers--;
		else
			enumerates++;
		hvs_guest_flush(s.ch[0]);
		stor_run(&s);
	}
	cr_assert_eq(answers, 0);
	cr_assert_eq(enumerates, 1);
	stor_down(&s);
	testdisk_free(d);
}

Test(hot_add, fills_a_controller_with_64_disks_anywhere)
{
	static uint8_t data[HVS_STORVSP_MAX_DISKS][4096];
	struct hvs_memdisk mem[HVS_STORVSP_MAX_DISKS];
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT};
	struct hvs_disk *out = NULL;
	uint8_t first;
	struct stor s;

	stor_up(&s, &usual);
	stor_start(&s, &usual);
	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++) {
		mem[i] = (struct hvs_memdisk){HVS_MEMDISK_INIT, .data = data[i], .len = 4096,
					      .block_size = 512};
		memset(data[i], (int)i + 1, 4096);
		/* LUNs that lie at the same place, and far ones. */
		stor_attach(&s, (uint8_t)(i % 8), (uint8_t)(i / 8 % 2), (uint8_t)(i / 16 * 64),
			    hvs_memdisk_ops(), &mem[i]);
	}
	cfg.lun = 254;
	cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, hvs_memdisk_ops(), &mem[0], &out), -ENOSPC);
	cfg.lun = 64;
	cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, hvs_memdisk_ops(), &mem[0], &out), -EEXIST);
	cr_assert_null(out);
	stor_run(&s);
	stor_expect_enumerate(&s, 64);
	for (unsigned i = 0; i < HVS_STORVSP_MAX_DISKS; i++) {
		struct hvsi_vstor_packet p = stor_rw((uint8_t)(i / 16 * 64), false, 0, 8);

		p.u.srb.path = (uint8_t)(i % 8);
		p.u.srb.target = (uint8_t)(i / 8 % 2);
		stor_do_good(&s, 0, p);
		cr_assert_arr_eq(s.buf, data[i], 4096);
		p.u.srb.lun++;
		expect_absent(&s, p);
		p.u.srb.lun--;
		p.u.srb.target = 2;
		expect_absent(&s, p);
	}
	for (uint8_t path = 0; path < 8; path++)
		for (uint8_t target = 0; target < 2; target++) {
			cr_assert_eq(report_luns(&s, path, target, &first), 4);
			cr_assert_eq(first, 0);
		}
	cr_assert_eq(report_luns(&s, 0, 2, &first), 0);
	cr_assert_eq(report_luns(&s, 8, 0, &first), 0);
	stor_down(&s);
}

/* ---- going ------------------------------------------------------------------------------------ */

Test(hot_remove, with_requests_that_the_back_end_keeps)
{
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT};
	struct hvsi_vstor_packet p = stor_rw(0, false, 0, 8);
	struct testdisk *d = disk_new();
	struct hvs_disk *disk;
	unsigned gone = 0;
	uint8_t first;
	uint64_t xid;
	struct stor s;

	d->hold = true;
	stor_up(&s, &usual);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_attach(&s, 0, 0, 7, &testdisk_ops, d);
	stor_start(&s, &usual);
	xid = stor_send(&s, 0, &p);
	cr_assert_eq(hvs_disk_remove(disk, removed, &gone), 0);
	stor_run(&s);
	stor_expect_enumerate(&s, 64);
	stor_expect_nothing(&s, 0);
	cr_assert_eq(gone, 0);
	cr_assert_eq(hvs_disk_remove(disk, removed, &gone), -EBUSY);
	cr_assert_eq(hvs_disk_refresh(disk), -EBUSY);
	cr_assert_eq(hvs_storvsp_remove(s.ctl, NULL, NULL), -EBUSY);
	cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, &testdisk_ops, d, NULL), -EEXIST);
	expect_absent(&s, stor_rw(0, false, 0, 8));
	expect_absent(&s, stor_ready(0));
	cr_assert_eq(inquiry(&s, 0), 0x7f);
	cr_assert_eq(report_luns(&s, 0, 0, &first), 1);
	cr_assert_eq(first, 7);
	cr_assert_eq(d->held_count, 1);
	testdisk_finish_all(d);
	stor_run(&s);
	stor_expect_good(&s, 0, xid);
	cr_assert_eq(gone, 1);
	stor_expect_nothing(&s, 0);
	stor_down(&s);
	testdisk_free(d);
}

Test(hot_remove, cancels_and_the_place_is_free_for_another)
{
	const struct stor_options opt = {.ctl.max_subchannels = 2, .channels = 3, .workers = 2};
	struct testdisk *d[2] = {disk_new(), disk_new()};
	struct hvsi_vstor_packet p = stor_rw(0, false, 0, 8);
	struct hvs_disk *disk;
	uint64_t xid[3];
	unsigned gone = 0;
	struct stor s;

	d[0]->hold = true;
	memset(d[1]->data, 0x77, 4096);
	stor_up(&s, &opt);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_cancel_ops, d[0]);
	stor_start(&s, &opt);
	for (unsigned round = 0; round < 3; round++) {
		gone = 0;
		for (unsigned n = 0; n < 3; n++)
			xid[n] = stor_send(&s, n, &p);
		cr_assert_eq(hvs_disk_remove(disk, removed, &gone), 0);
		stor_run(&s);
		cr_assert_eq(gone, 1);
		cr_assert_eq(d[0]->held_count, 0);
		for (unsigned n = 1; n < 3; n++)
			stor_expect_check(&s, n, xid[n], STOR_ABORTED, SENSE_ABORTED);
		stor_expect_check(&s, 0, xid[0], STOR_ABORTED, SENSE_ABORTED);
		stor_expect_enumerate(&s, 64);
		/* Another disk, at once. */
		disk = stor_attach(&s, 0, 0, 0, &testdisk_cancel_ops, d[1]);
		stor_run(&s);
		stor_expect_enumerate(&s, 64);
		stor_do_good(&s, 2, p);
		cr_assert_eq(s.buf[4095], 0x77);
		gone = 0;
		cr_assert_eq(hvs_disk_remove(disk, removed, &gone), 0);
		stor_run(&s);
		cr_assert_eq(gone, 1);
		stor_expect_enumerate(&s, 64);
		disk = stor_attach(&s, 0, 0, 0, &testdisk_cancel_ops, d[0]);
		stor_run(&s);
		stor_expect_enumerate(&s, 64);
	}
	stor_down(&s);
	testdisk_free(d[0]);
	testdisk_free(d[1]);
}

struct swap {
	struct stor *s;
	struct testdisk *next;
	unsigned count;
};

static void put_another(void *arg, int status)
{
	struct swap *w = arg;

	(void)status;
	w->count++;
	stor_attach(w->s, 0, 0, 0, &testdisk_ops, w->next);
}

Test(hot_remove, done_may_put_the_next_disk_there)
{
	struct testdisk *d[2] = {disk_new(), disk_new()};
	struct hvsi_vstor_packet p = stor_rw(0, false, 0, 8);
	struct swap swap = {.next = d[1]};
	struct hvs_disk *disk;
	struct stor s;
	uint64_t xid;

	d[0]->hold = true;
	stor_up(&s, &usual);
	swap.s = &s;
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d[0]);
	stor_start(&s, &usual);
	xid = stor_send(&s, 0, &p);
	cr_assert_eq(hvs_disk_remove(disk, put_another, &swap), 0);
	stor_run(&s);
	stor_expect_enumerate(&s, 64);
	testdisk_finish_all(d[0]);
	stor_run(&s);
	cr_assert_eq(swap.count, 1);
	stor_expect_good(&s, 0, xid);
	stor_expect_enumerate(&s, 64);
	stor_do_good(&s, 0, p);
	cr_assert_eq(d[1]->count, 1);
	stor_down(&s);
	testdisk_free(d[0]);
	testdisk_free(d[1]);
}

Test(hot_remove, without_a_guest_is_done_at_once)
{
	struct testdisk *d = disk_new();
	struct hvs_disk *disk;
	unsigned gone = 0;
	struct stor s;

	stor_up(&s, &usual);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	cr_assert_eq(hvs_disk_remove(disk, removed, &gone), 0);
	cr_assert_eq(gone, 1);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	cr_assert_eq(hvs_disk_remove(disk, NULL, NULL), 0);
	(void)stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &usual);
	stor_do_good(&s, 0, stor_ready(0));
	stor_down(&s);
	testdisk_free(d);
}

Test(hot_remove, goes_on_when_the_guest_closes_the_channel)
{
	struct hvsi_vstor_packet p = stor_rw(0, false, 0, 8);
	struct testdisk *d = disk_new();
	struct hvs_disk *disk;
	unsigned gone = 0;
	struct stor s;

	d->hold = true;
	stor_up(&s, &usual);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &usual);
	(void)stor_send(&s, 0, &p);
	cr_assert_eq(hvs_disk_remove(disk, removed, &gone), 0);
	cr_assert_eq(hvs_guest_channel_close(s.ch[0]), -ETIMEDOUT);
	cr_assert_eq(gone, 0);
	testdisk_finish_all(d);
	stor_run(&s);
	cr_assert_eq(gone, 1);
	stor_down(&s);
	testdisk_free(d);
}

/* A guest that opened a sub-channel, and takes no more messages, holds no removal up. */
Test(hot_remove, does_not_wait_for_a_channel_that_does_not_run_yet)
{
	const struct stor_options opt = {.ctl.max_subchannels = 1, .channels = 1};
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_CREATE_SUB_CHANNELS);
	struct hvsi_msg_open open = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL)};
	uint8_t message[HVSI_MSG_MAX];
	struct testdisk *d = disk_new();
	struct hvs_disk *disk;
	unsigned gone = 0;
	uint32_t gpadl;
	uint64_t gpa;
	struct stor s;

	stor_up(&s, &opt);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &opt);
	p.u.subchannel_count = hvsi_le16(1);
	stor_expect_control(&s, 0, stor_send(&s, 0, &p));
	cr_assert_gt(hvs_guest_wait_message(s.guest, HVSI_MSG_OFFERCHANNEL, message), 0);
	cr_assert(hvs_loopback_alloc_pages(s.lb, 4, &gpa));
	cr_assert_eq(hvs_guest_gpadl_create(s.guest, 2, gpa, 4 * 4096, &gpadl), 0);
	open.relid = hvsi_le32(2);
	open.gpadl_id = hvsi_le32(gpadl + 1);
	open.downstream_page = hvsi_le32(2);
	/* Two answers: the second, that it is open, does not get into the slot. */
	cr_assert_eq(hvs_guest_post(s.guest, 1, &open, sizeof(open)), 0);
	open.gpadl_id = hvsi_le32(gpadl);
	cr_assert_eq(hvs_guest_post(s.guest, 1, &open, sizeof(open)), 0);
	stor_run(&s);
	cr_assert_eq(hvs_disk_remove(disk, removed, &gone), 0);
	stor_run(&s);
	cr_assert_eq(gone, 1);
	hvs_loopback_destroy(s.lb);
	testdisk_free(d);
}

/* ---- changing --------------------------------------------------------------------------------- */

static uint32_t last_block(struct stor *s)
{
	static const uint8_t cdb[10] = {0x25};
	struct hvsi_vstor_packet p = stor_srb(0, cdb, sizeof(cdb), HVSI_DATA_IN);

	p.u.srb.transfer_len = hvsi_le32(8);
	stor_do_good(s, 0, p);
	return hvsi_get_be32(s->buf);
}

Test(refresh, a_disk_grows_and_shrinks)
{
	static const uint32_t sizes[] = {4096, 100, 2048};
	struct testdisk *d = testdisk_new(2048, 0);
	struct hvs_disk *disk;
	struct stor s;

	stor_up(&s, &usual);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &usual);
	cr_assert_eq(last_block(&s), 2047);
	for (unsigned i = 0; i < 3; i++) {
		d->info.num_blocks = sizes[i];
		cr_assert_eq(hvs_disk_refresh(disk), 0);
		stor_run(&s);
		stor_expect_enumerate(&s, 64);
		cr_assert_eq(inquiry(&s, 0), 0); /* reports no condition */
		stor_do_check(&s, 0, stor_rw(0, false, 0, 1), SENSE_CAPACITY_CHANGED);
		stor_do_good(&s, 0, stor_rw(0, false, 0, 1));
		cr_assert_eq(last_block(&s), sizes[i] - 1);
		stor_do_good(&s, 0, stor_rw(0, false, sizes[i] - 1, 1));
		stor_do_check(&s, 0, stor_rw(0, false, sizes[i], 1), 0x052100);
		stor_do_check(&s, 0, stor_rw(0, true, sizes[i] - 1, 2), 0x052100);
	}
	/* The same as before: nothing to tell. */
	cr_assert_eq(hvs_disk_refresh(disk), 0);
	stor_run(&s);
	stor_expect_enumerate(&s, 64);
	stor_do_good(&s, 0, stor_ready(0));
	stor_down(&s);
	testdisk_free(d);
}

Test(refresh, a_disk_becomes_read_only_and_writable)
{
	struct testdisk *d = disk_new();
	struct hvs_disk *disk;
	struct stor s;

	stor_up(&s, &usual);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &usual);
	for (unsigned i = 0; i < 2; i++) {
		d->info.flags = HVS_BLK_INFO_READ_ONLY;
		d->info.num_blocks--;
		cr_assert_eq(hvs_disk_refresh(disk), 0);
		stor_run(&s);
		stor_expect_enumerate(&s, 64);
		stor_do_check(&s, 0, stor_rw(0, true, 0, 1), SENSE_MODE_CHANGED);
		stor_do_check(&s, 0, stor_rw(0, true, 0, 1), SENSE_CAPACITY_CHANGED);
		stor_do_check(&s, 0, stor_rw(0, true, 0, 1), 0x072700);
		stor_do_good(&s, 0, stor_rw(0, false, 0, 1));
		d->info.flags = 0;
		cr_assert_eq(hvs_disk_refresh(disk), 0);
		stor_run(&s);
		stor_expect_enumerate(&s, 64);
		stor_do_check(&s, 0, stor_rw(0, true, 0, 1), SENSE_MODE_CHANGED);
		stor_do_good(&s, 0, stor_rw(0, true, 0, 1));
	}
	stor_down(&s);
	testdisk_free(d);
}

Test(refresh, a_request_beyond_the_new_end_is_the_back_ends_to_refuse)
{
	struct hvsi_vstor_packet p = stor_rw(0, false, 1000, 8);
	struct testdisk *d = disk_new();
	struct hvs_disk *disk;
	struct stor s;
	uint64_t xid;

	d->hold = true;
	stor_up(&s, &usual);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &usual);
	xid = stor_send(&s, 0, &p);
	d->info.num_blocks = 10;
	cr_assert_eq(hvs_disk_refresh(disk), 0);
	testdisk_finish(d, 0, HVS_BLK_RANGE);
	stor_run(&s);
	stor_expect_check(&s, 0, xid, 0x84, 0x052100);
	stor_expect_enumerate(&s, 64);
	stor_down(&s);
	testdisk_free(d);
}

Test(refresh, nothing_else_may_change)
{
	struct testdisk *d = disk_new();
	const struct hvs_blk_info info = d->info;
	struct hvs_disk *disk;
	struct stor s;

	stor_up(&s, &usual);
	disk = stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
	stor_start(&s, &usual);
	cr_assert_eq(hvs_disk_refresh(NULL), -EINVAL);
	d->info.block_size = d->info.physical_block_size = 4096;
	cr_assert_eq(hvs_disk_refresh(disk), -EINVAL);
	d->info = info;
	d->info.physical_block_size = 4096;
	cr_assert_eq(hvs_disk_refresh(disk), -EINVAL);
	d->info = info;
	d->info.flags = HVS_BLK_INFO_FUA;
	cr_assert_eq(hvs_disk_refresh(disk), -EINVAL);
	d->info = info;
	d->info.num_blocks = 0;
	cr_assert_eq(hvs_disk_refresh(disk), -EINVAL);
	d->info = info;
	d->info_result = -EIO;
	cr_assert_eq(hvs_disk_refresh(disk), -EIO);
	stor_expect_nothing(&s, 0);
	stor_do_good(&s, 0, stor_ready(0));
	stor_down(&s);
	testdisk_free(d);
}
