/* SPDX-License-Identifier: MIT */
/* Saved state of a storage controller that says anything, or meets another configuration. */
#include "support/alloc.h"
#include "support/disk.h"
#include "support/stor.h"
#include "util/state.h"

#include <errno.h>
#include <stdlib.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES (40u * 4096)
#define SUB 2u
#define DISKS 2u

static const struct stor_options options = {.loopback.ram_bytes = RAM_BYTES,
					    .ctl.max_subchannels = SUB,
					    .workers = SUB,
					    .ring_bytes = 4096,
					    .channels = 1 + SUB};

/* What a machine is saved as. */
struct blob {
	uint8_t bytes[65536];
	size_t len;
	uint8_t ram[RAM_BYTES];
};

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	cr_assert_leq(len, sizeof(b->bytes) - b->len);
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

static struct testdisk *disk_new(void)
{
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_WRITE_BACK);

	d->info.max_queues = HVS_BLK_ANY_QUEUE;
	d->hold = true;
	return d;
}

static uint8_t *ram_of(struct hvs_loopback *lb)
{
	uint64_t gpa;
	uint8_t *page = hvs_loopback_alloc_pages(lb, 1, &gpa);

	cr_assert_not_null(page);
	hvs_loopback_free_pages(lb, page, 1);
	return page - (gpa - RAM_GPA);
}

static void save(struct stor *s, struct blob *b)
{
	b->len = 0;
	cr_assert_eq(hvs_vmbus_save(hvs_loopback_bus(s->lb), append, b), 0);
	memcpy(b->ram, ram_of(s->lb), RAM_BYTES);
}

/* ---- a machine with requests in every state --------------------------------------------------- */

static void send_compare_and_write(struct stor *s, unsigned n, uint8_t lun)
{
	static const uint8_t cdb[16] = {0x89, [13] = 1};
	struct hvsi_vstor_packet p = stor_srb(lun, cdb, sizeof(cdb), HVSI_DATA_OUT);

	p.u.srb.transfer_len = hvsi_le32(1024);
	(void)stor_send(s, n, &p);
}

static void save_busy(struct blob *b)
{
	struct testdisk *d[DISKS] = {disk_new(), disk_new()};
	struct hvs_disk *disk[DISKS];
	struct hvsi_vstor_packet p;
	struct stor s;

	stor_up(&s, &options);
	for (uint8_t i = 0; i < DISKS; i++)
		disk[i] = stor_attach(&s, 0, 0, i, &testdisk_ops, d[i]);
	stor_start(&s, &options);
	/* Completions without room. */
	d[0]->hold = false;
	p = stor_ready(0);
	for (unsigned i = 0; i < 48; i++)
		(void)stor_send(&s, 2, &p);
	d[0]->hold = true;
	/* In the second half of its changes; one that waits for that; a write that does, too. */
	send_compare_and_write(&s, 1, 0);
	testdisk_finish(d[0], 0, HVS_BLK_OK);
	stor_run(&s);
	cr_assert_eq(d[0]->log[d[0]->count - 1].op, HVS_BLK_WRITE);
	send_compare_and_write(&s, 0, 0);
	p = stor_rw(0, true, 8, 2);
	(void)stor_send_at(&s, 1, &p, s.gpa + 4096 - 512);
	/* With the back end, also after an abort. */
	p = stor_rw(1, false, 8, 2);
	(void)stor_send(&s, 0, &p);
	p = stor_control(HVSI_VSTOR_RESET_LUN);
	p.u.srb.lun = 1;
	(void)stor_send(&s, 1, &p);
	p = stor_flush(1);
	(void)stor_send(&s, 0, &p);
	p = stor_rw(1, true, 0, 8);
	(void)stor_send_at(&s, 0, &p, s.gpa + 2048);
	d[0]->info.num_blocks--;
	cr_assert_eq(hvs_disk_refresh(disk[0]), 0); /* ENUMERATE_BUS is due, and a condition */
	save(&s, b);
	while (d[0]->held_count || d[1]->held_count) {
		testdisk_finish_all(d[0]);
		testdisk_finish_all(d[1]);
		stor_run(&s);
	}
	stor_down(&s);
	testdisk_free(d[0]);
	testdisk_free(d[1]);
}

/* ---- another host ----------------------------------------------------------------------------- */

struct host {
	struct hvs_loopback *lb;
	struct hvs_storvsp *ctl;
	struct testdisk *d[DISKS];
};

static void host_up(struct host *h, const struct hvs_allocator *alloc)
{
	struct hvs_loopback_config lb_cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES};
	struct hvs_worker *workers[SUB];
	const struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .max_subchannels = SUB,
					       .subchannel_worker_count = SUB,
					       .subchannel_workers = workers};

	if (alloc)
		lb_cfg.alloc = *alloc;
	cr_assert_eq(hvs_loopback_create(&lb_cfg, &h->lb), 0);
	for (unsigned i = 0; i < SUB; i++)
		cr_assert_eq(hvs_worker_create(hvs_loopback_bus(h->lb), NULL, &workers[i]), 0);
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(h->lb), &cfg, &h->ctl), 0);
	for (uint8_t i = 0; i < DISKS; i++) {
		const struct hvs_disk_config disk = {HVS_DISK_CONFIG_INIT, .lun = i};

		cr_assert_eq(hvs_storvsp_attach(h->ctl, &disk, &testdisk_cancel_ops, h->d[i], NULL),
			     0);
	}
}

/* Whatever was restored runs; then everything has to be given back. */
static void host_down(struct host *h, bool start)
{
	if (start)
		cr_assert_eq(hvs_vmbus_start(hvs_loopback_bus(h->lb)), 0);
	for (unsigned round = 0; start && round < 3; round++) {
		hvs_loopback_run(h->lb);
		for (unsigned i = 0; i < DISKS; i++)
			if (h->d[i]->held_count)
				testdisk_finish(h->d[i], 0, HVS_BLK_OK);
	}
	hvs_loopback_destroy(h->lb);
	for (unsigned i = 0; i < DISKS; i++)
		cr_assert_eq(h->d[i]->held_count, 0);
}

static int try_state(struct host *h, struct blob *b, size_t fails)
{
	struct hvs_le32 crc = hvsi_le32(hvsi_state_crc(b->bytes, b->len - 12));
	struct test_alloc a = TEST_ALLOC_INIT;
	const struct hvs_allocator alloc = test_allocator(&a);
	int err;

	memcpy(b->bytes + b->len - 4, &crc, sizeof(crc));
	host_up(h, &alloc);
	memcpy(ram_of(h->lb), b->ram, RAM_BYTES);
	a.fail_at = fails == SIZE_MAX ? SIZE_MAX : a.calls + fails;
	err = hvs_vmbus_restore(hvs_loopback_bus(h->lb), b->bytes, b->len);
	a.fail_at = SIZE_MAX;
	host_down(h, !err);
	cr_assert_eq(a.live, 0);
	return err;
}

static void disks_up(struct host *h)
{
	for (unsigned i = 0; i < DISKS; i++)
		h->d[i] = disk_new();
}

static void disks_down(struct host *h)
{
	for (unsigned i = 0; i < DISKS; i++)
		testdisk_free(h->d[i]);
}

Test(storage_state, that_says_anything_harms_nobody)
{
	static const uint8_t values[] = {0, 1, 5, 0x89, 0xff};
	static struct blob b;
	struct host h;

	disks_up(&h);
	save_busy(&b);
	cr_assert_eq(try_state(&h, &b, SIZE_MAX), 0);
	for (size_t i = 0; i < b.len - 12; i++) {
		uint8_t was = b.bytes[i];

		for (size_t n = 0; n < sizeof(values); n++) {
			int err;

			b.bytes[i] = values[n];
			err = try_state(&h, &b, SIZE_MAX);
			cr_assert(err == 0 || err == -EBADMSG || err == -ENOTSUP ||
					  err == -ENOSPC || err == -EFAULT,
				  "byte %zu = %u: %d", i, values[n], err);
		}
		b.bytes[i] = was;
	}
	disks_down(&h);
}

Test(storage_state, without_memory_is_not_restored_and_leaves_nothing)
{
	static struct blob b;
	size_t fails = 0;
	struct host h;

	disks_up(&h);
	save_busy(&b);
	while (try_state(&h, &b, fails) == -ENOMEM)
		fails++;
	cr_assert_gt(fails, 10);
	cr_assert_eq(try_state(&h, &b, fails), 0);
	disks_down(&h);
}

/* What a failed restore has left behind would be told to the guest that boots next. */
Test(storage_state, that_is_refused_leaves_no_conditions)
{
	static struct blob b;
	struct stor s;
	struct host h;
	int err;

	disks_up(&h);
	h.d[0]->hold = false;
	save_busy(&b);
	/* The records behind the controller's are damaged: it was restored, and has to go back. */
	for (size_t cut = 1; cut < 200; cut++) {
		const struct stor_options opt = {.ctl.max_subchannels = SUB, .workers = SUB};
		struct hvs_le32 crc;
		uint8_t was = b.bytes[b.len - 12 - cut];

		b.bytes[b.len - 12 - cut] = (uint8_t)~was;
		crc = hvsi_le32(hvsi_state_crc(b.bytes, b.len - 12));
		memcpy(b.bytes + b.len - 4, &crc, sizeof(crc));
		stor_up(&s, &opt);
		stor_attach(&s, 0, 0, 0, &testdisk_ops, h.d[0]);
		memcpy(ram_of(s.lb), b.ram, RAM_BYTES);
		err = hvs_vmbus_restore(hvs_loopback_bus(s.lb), b.bytes, b.len);
		b.bytes[b.len - 12 - cut] = was;
		if (!err) {
			hvs_loopback_destroy(s.lb);
			continue;
		}
		stor_start(&s, &opt);
		stor_do_good(&s, 0, stor_rw(0, false, 0, 8));
		stor_down(&s);
	}
	disks_down(&h);
}

/* ---- another configuration -------------------------------------------------------------------- */

struct next {
	struct stor *s;
	struct hvs_storvsp_config cfg;
	unsigned disks; /* bit n: LUN n */
	struct testdisk *d[3];
};

static int offer(void *arg, struct hvs_vmbus *bus)
{
	struct next *n = arg;
	int err;

	n->cfg.size = sizeof(n->cfg);
	err = hvs_storvsp_create(bus, &n->cfg, &n->s->ctl);
	for (uint8_t i = 0; !err && i < 3; i++)
		if (n->disks >> i & 1)
			stor_attach(n->s, 0, 0, i, &testdisk_cancel_ops, n->d[i]);
	return err;
}

static void next_up(struct next *n, struct stor *s, const struct stor_options *opt)
{
	*n = (struct next){.s = s, .cfg = opt->ctl, .disks = 3};
	stor_up(s, opt);
	for (uint8_t i = 0; i < 3; i++) {
		n->d[i] = disk_new();
		n->d[i]->hold = false;
		if (n->disks >> i & 1)
			stor_attach(s, 0, 0, i, &testdisk_cancel_ops, n->d[i]);
	}
	stor_start(s, opt);
}

static void next_down(struct next *n, struct stor *s)
{
	stor_down(s);
	for (unsigned i = 0; i < 3; i++)
		testdisk_free(n->d[i]);
}

Test(storage_state, disks_that_are_other_ones_are_news)
{
	static const struct stor_options usual;
	struct hvsi_vstor_packet p = stor_rw(1, false, 0, 8);
	struct next n;
	struct stor s;
	uint64_t xid;

	next_up(&n, &s, &usual);
	/* The same ones: nothing is told. */
	cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), 0);
	stor_expect_nothing(&s, 0);
	stor_do_good(&s, 0, stor_ready(0));
	/* One is gone, with a request in flight; one has grown. */
	n.d[1]->hold = true;
	xid = stor_send(&s, 0, &p);
	n.d[0]->info.num_blocks++;
	n.disks = 1;
	cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), 0);
	stor_run(&s);
	p = stor_expect(&s, 0, xid);
	cr_assert_eq(p.u.srb.srb_status, HVSI_SRB_INVALID_LUN);
	stor_expect_enumerate(&s, 64);
	stor_expect_nothing(&s, 0);
	stor_do_check(&s, 0, stor_ready(0), SENSE_CAPACITY_CHANGED);
	stor_do_good(&s, 0, stor_ready(0));
	/* Another one came in place of it. */
	n.disks = 5;
	cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), 0);
	stor_run(&s);
	stor_expect_enumerate(&s, 64);
	stor_do_good(&s, 0, stor_ready(2));
	next_down(&n, &s);
}

Test(storage_state, what_disks_have_to_tell_is_told_once)
{
	static const struct stor_options usual;
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_RESET_BUS);
	struct next n;
	struct stor s;

	next_up(&n, &s, &usual);
	stor_expect_control(&s, 0, stor_send(&s, 0, &p));
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), 0);
	stor_do_check(&s, 0, stor_ready(0), SENSE_BUS_RESET);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), 0);
	stor_do_good(&s, 0, stor_ready(0));
	stor_do_check(&s, 0, stor_ready(1), SENSE_BUS_RESET);
	next_down(&n, &s);
}

Test(storage_state, of_a_reset_raises_its_condition_on_the_next_host)
{
	static const struct stor_options usual;
	struct hvsi_vstor_packet read = stor_rw(0, false, 0, 8);
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_RESET_LUN);
	struct iovec iov = {&p, sizeof(p)};
	uint64_t xid[2];
	struct next n;
	struct stor s;

	next_up(&n, &s, &usual);
	n.d[0]->hold = true;
	xid[0] = stor_send(&s, 0, &read);
	/* Not dispatched again: it is in flight when the machine is saved. */
	xid[1] = 1;
	cr_assert_eq(hvs_guest_send(s.ch[0], xid[1], true, NULL, &iov, 1), 0);
	hvs_guest_flush(s.ch[0]);
	hvs_loopback_step(s.lb, 1);
	cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), 0);
	stor_run(&s);
	stor_expect_check(&s, 0, xid[0], STOR_ABORTED, SENSE_ABORTED);
	stor_expect_control(&s, 0, xid[1]);
	n.d[0]->hold = false;
	stor_do_check(&s, 0, stor_ready(0), SENSE_LUN_RESET);
	stor_do_good(&s, 0, stor_ready(0));
	next_down(&n, &s);
}

Test(storage_state, of_a_newer_protocol_is_not_supported)
{
	static const struct stor_options usual;
	struct next n;
	struct stor s;

	next_up(&n, &s, &usual);
	n.cfg.max_version = 0x600;
	cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), -ENOTSUP);
	hvs_loopback_destroy(s.lb);
	for (unsigned i = 0; i < 3; i++)
		testdisk_free(n.d[i]);
}

Test(storage_state, with_fewer_subchannels_the_guest_loses_some)
{
	const struct stor_options opt = {.ctl.max_subchannels = 2, .channels = 3};
	struct next n;
	struct stor s;

	next_up(&n, &s, &opt);
	n.cfg.max_subchannels = 1;
	cr_assert_eq(hvs_loopback_replace_host(s.lb, 0, offer, &n), 0);
	stor_do_good(&s, 0, stor_ready(0));
	stor_do_good(&s, 1, stor_ready(0));
	next_down(&n, &s);
}
