/* SPDX-License-Identifier: MIT */
/* Controllers: misuse, removal, workers, IDE, protocol versions. */
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

/* ---- controllers ------------------------------------------------------------------------------ */

Test(controller, is_removed_with_requests_in_flight)
{
	const struct hvs_blk_ops *ops[2] = {&testdisk_ops, &testdisk_cancel_ops};

	for (unsigned i = 0; i < 2; i++) {
		struct hvsi_vstor_packet p = stor_rw(0, false, 0, 8);
		const struct stor_options opt = {
			.ctl.max_subchannels = 2, .channels = 3, .workers = 2};
		struct testdisk *d = disk_new();
		uint8_t message[HVSI_MSG_MAX];
		unsigned gone = 0;
		struct stor s;

		d->hold = true;
		stor_up(&s, &opt);
		stor_attach(&s, 0, 0, 0, ops[i], d);
		stor_start(&s, &opt);
		for (unsigned n = 0; n < 3; n++)
			(void)stor_send(&s, n, &p);
		p = stor_control(HVSI_VSTOR_RESET_ADAPTER);
		if (!i)
			(void)stor_send(&s, 1, &p);
		cr_assert_eq(hvs_storvsp_remove(s.ctl, removed, &gone), 0);
		stor_run(&s);
		cr_assert_eq(gone, i);
		testdisk_finish_all(d);
		stor_run(&s);
		cr_assert_eq(gone, 1);
		cr_assert_gt(
			hvs_guest_wait_message(s.guest, HVSI_MSG_RESCIND_CHANNELOFFER, message), 0);
		stor_down(&s);
		testdisk_free(d);
	}
}

Test(controller, misuse_is_an_error)
{
	static const struct {
		struct hvs_storvsp_config cfg;
		int expected;
	} cases[] = {
		{{.max_subchannels = 1023}, 0},
		{{.max_subchannels = 1024}, -EINVAL},
		{{.max_version = 0x1ff}, -EINVAL},
		{{.max_version = 0x200}, 0},
		{{.max_version = 0xffff}, 0},
		{{.kind = 2}, -EINVAL},
		{{.ide_channel = 1}, -EINVAL},
		{{.ide_device = 1}, -EINVAL},
		{{.kind = HVS_STORVSP_IDE, .ide_channel = 2}, -EINVAL},
		{{.kind = HVS_STORVSP_IDE, .ide_device = 2}, -EINVAL},
		{{.kind = HVS_STORVSP_IDE, .max_subchannels = 1}, -EINVAL},
		{{.kind = HVS_STORVSP_IDE, .ide_channel = 1, .ide_device = 1}, 0},
		{{.subchannel_worker_count = 1}, -EINVAL},
		{{.reserved = {0, 0, 1}}, -EINVAL},
	};
	struct hvs_storvsp *ctl = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_storvsp_config cfg = cases[i].cfg;
		struct hvs_loopback *lb;

		cfg.size = sizeof(cfg);
		cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
		cr_assert_eq(hvs_storvsp_create(NULL, &cfg, &ctl), -EINVAL);
		cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), &cfg, NULL), -EINVAL);
		cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), NULL, &ctl), -EINVAL);
		cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), &cfg, &ctl),
			     cases[i].expected, "case %zu", i);
		if (!cases[i].expected)
			cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), &cfg, &ctl), -EEXIST);
		hvs_loopback_destroy(lb);
	}
	cr_assert_eq(hvs_storvsp_remove(NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_disk_remove(NULL, NULL, NULL), -EINVAL);
}

Test(controller, a_back_end_must_serve_all_its_workers)
{
	static const struct {
		unsigned workers;
		uint32_t max_queues;
		int expected;
	} cases[] = {{0, 0, 0}, {0, 1, 0},       {1, 0, -EINVAL}, {1, 1, -EINVAL},
		     {1, 2, 0}, {3, 3, -EINVAL}, {3, 4, 0},       {3, HVS_BLK_ANY_QUEUE, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct stor_options opt = {.ctl.max_subchannels = 4,
						 .workers = cases[i].workers};
		const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT};
		struct testdisk *d = testdisk_new(0, 0);
		struct stor s;

		d->info.max_queues = cases[i].max_queues;
		stor_up(&s, &opt);
		cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, &testdisk_ops, d, NULL),
			     cases[i].expected, "case %zu", i);
		stor_down(&s);
		testdisk_free(d);
	}
}

Test(controller, addresses_out_of_range_are_refused)
{
	static const struct {
		uint8_t path;
		uint8_t target;
		uint8_t lun;
		int expected;
	} cases[] = {{7, 1, 254, 0}, {8, 0, 0, -EINVAL}, {0, 2, 0, -EINVAL}, {0, 0, 255, -EINVAL}};
	struct testdisk *d = disk_new();
	struct stor s;

	stor_up(&s, &usual);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .path = cases[i].path,
						    .target = cases[i].target, .lun = cases[i].lun};

		cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, &testdisk_ops, d, NULL),
			     cases[i].expected, "case %zu", i);
	}
	stor_down(&s);
	testdisk_free(d);
}

/* ---- queues ----------------------------------------------------------------------------------- */

static void note_queue(struct testdisk *d, struct hvs_blk_req *req)
{
	*(uint32_t *)d->arg = req->queue;
}

Test(queues, of_requests_say_which_worker_they_come_from)
{
	static const struct {
		unsigned workers;
		uint32_t queue[4];
	} cases[] = {{0, {0, 0, 0, 0}}, {1, {0, 1, 1, 1}}, {2, {0, 1, 2, 1}}, {4, {0, 1, 2, 3}}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct stor_options opt = {
			.ctl.max_subchannels = 3, .channels = 4, .workers = cases[i].workers};
		struct testdisk *d = disk_new();
		uint32_t queue = 99;
		struct stor s;

		d->on_submit = note_queue;
		d->arg = &queue;
		stor_up(&s, &opt);
		stor_attach(&s, 0, 0, 0, &testdisk_ops, d);
		stor_start(&s, &opt);
		for (unsigned n = 0; n < 4; n++) {
			stor_do_good(&s, n, stor_rw(0, n & 1, 0, 8));
			cr_assert_eq(queue, cases[i].queue[n]);
		}
		stor_down(&s);
		testdisk_free(d);
	}
}

/* ---- IDE -------------------------------------------------------------------------------------- */

Test(ide, offer_names_channel_and_device)
{
	static const uint8_t class_id[16] = {0x32, 0x26, 0x41, 0x32, 0xcb, 0x86, 0xa2, 0x44,
					     0x9b, 0x5c, 0x50, 0xd1, 0x41, 0x73, 0x54, 0xf5};

	for (uint8_t i = 0; i < 4; i++) {
		const struct stor_options opt = {.ctl = {.kind = HVS_STORVSP_IDE,
							 .ide_channel = i / 2,
							 .ide_device = i % 2,
							 .instance_id = {{1, 2, 3}}}};
		uint8_t instance_id[16] = {i / 2, 0, 0, 0, i % 2, 0, 0x99, 0x88};
		uint8_t user_data[120] = {0, 0, i / 2, i % 2, 0, 0, 0, 0, 2};
		const struct hvs_guest_offer *offer;
		struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_CREATE_SUB_CHANNELS);
		struct stor s;

		stor_up(&s, &opt);
		stor_start(&s, &opt);
		offer = hvs_guest_offer_at(s.guest, 0);
		cr_assert_arr_eq(offer->class_id.b, class_id, 16);
		cr_assert_arr_eq(offer->instance_id.b, instance_id, 16);
		cr_assert_arr_eq(offer->user_data, user_data, 120);
		cr_assert_eq(offer->subchannel, 0);
		p.u.subchannel_count = hvsi_le16(1);
		p = stor_do(&s, 0, &p);
		cr_assert_eq(hvsi_get32(p.status), HVSI_NT_INVALID_PARAMETER);
		stor_down(&s);
	}
}

Test(ide, has_one_disk_whatever_path_the_driver_names)
{
	const struct stor_options opt = {
		.ctl = {.kind = HVS_STORVSP_IDE, .ide_channel = 1, .ide_device = 1}};
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .path = 0, .target = 1};
	struct hvsi_vstor_packet p;
	struct testdisk *d = disk_new();
	uint8_t first;
	struct stor s;

	stor_up(&s, &opt);
	cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, &testdisk_ops, d, NULL), -EINVAL);
	cfg.path = 1;
	cfg.target = 0; /* that is the other device's */
	cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, &testdisk_ops, d, NULL), -EINVAL);
	cfg.target = 1;
	cfg.lun = 1;
	cr_assert_eq(hvs_storvsp_attach(s.ctl, &cfg, &testdisk_ops, d, NULL), -EINVAL);
	stor_attach(&s, 1, 1, 0, &testdisk_ops, d);
	stor_start(&s, &opt);
	for (uint8_t path = 0; path < 3; path++) {
		p = stor_rw(0, false, 0, 8);
		p.u.srb.path = path;
		p.u.srb.target = 1;
		stor_do_good(&s, 0, p);
		p.u.srb.target = 0;
		expect_absent(&s, p);
		/* But REPORT LUNS goes by what it says. */
		cr_assert_eq(report_luns(&s, path, 1, &first), path == 1);
		/* A reset concerns it, too. */
		p = stor_control(HVSI_VSTOR_RESET_BUS);
		p.u.srb.path = path;
		stor_expect_control(&s, 0, stor_send(&s, 0, &p));
		p = stor_ready(0);
		p.u.srb.target = 1;
		stor_do_check(&s, 0, p, SENSE_BUS_RESET);
	}
	stor_down(&s);
	testdisk_free(d);
}

/* ---- versions --------------------------------------------------------------------------------- */

Test(version, max_version_cuts_what_the_guest_may_choose)
{
	static const uint16_t all[] = {0x200, 0x402, 0x501, 0x600, 0x602};
	static const uint16_t max[] = {0, 0x200, 0x401, 0x402, 0x501, 0x600, 0x601, 0x602, 0x700};

	for (unsigned i = 0; i < sizeof(max) / sizeof(max[0]); i++)
		for (unsigned v = 0; v < 5; v++) {
			const struct stor_options opt = {.ctl.max_version = max[i],
							 .version = all[v]};
			uint16_t newest = max[i] ? max[i] : 0x602;
			uint32_t max_transfer;
			struct stor s;

			stor_up(&s, &opt);
			if (all[v] <= newest) {
				stor_start(&s, &opt);
				stor_down(&s);
				continue;
			}
			cr_assert_eq(hvs_loopback_start(s.lb, &s.guest), 0);
			cr_assert_eq(hvs_guest_connect(s.guest, 0x50003), 0);
			cr_assert_eq(hvs_guest_request_offers(s.guest), 1);
			cr_assert_eq(hvs_guest_channel_open(s.guest, hvs_guest_offer_at(s.guest, 0),
							    65536, &s.ch[0]),
				     0);
			cr_assert_eq(hvs_guest_stor_init(s.ch[0], all[v], &max_transfer),
				     -EPROTONOSUPPORT);
			stor_down(&s);
		}
}
