/* SPDX-License-Identifier: MIT */
/*
 * Every story again and again, each time with another allocation failing: no crash, everything is
 * given back, and whoever asked gets to know.
 */
#include "support/alloc.h"
#include "support/disk.h"
#include "support/machine.h"

#include <errno.h>

/*
 * A story: 0 when it came to its end, else a negative errno; step says how far. It must give
 * back everything it has, however far it came.
 */
typedef int (*story)(struct test_alloc *a);

static int up(struct test_alloc *a, struct testdisk *d, struct machine *m)
{
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .serial = "OOM"};
	struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = 4u << 20,
					  .alloc = test_allocator(a)};
	int err = hvs_loopback_create(&cfg, &m->lb);

	if (err)
		return err;
	err = hvs_storvsp_create(hvs_loopback_bus(m->lb), &ctl_cfg, &m->ctl);
	if (!err)
		err = hvs_storvsp_attach(m->ctl, &disk_cfg, &testdisk_ops, d, NULL);
	if (!err)
		err = hvs_loopback_start(m->lb, &m->guest);
	return err;
}

static int connect(struct machine *m)
{
	int got = hvs_guest_connect(m->guest, 0x50003);

	if (!got)
		got = hvs_guest_request_offers(m->guest);
	if (got < 0)
		return got;
	cr_assert_eq(got, 1);
	return 0;
}

static int open_channel(struct machine *m)
{
	int err = hvs_guest_channel_open(m->guest, hvs_guest_offer_at(m->guest, 0), 65536, &m->ch);

	return err ? err : hvs_guest_stor_init(m->ch, 0x600, &m->max_transfer);
}

/* A scattered read: one range, 32 pages; a failing allocation may fail it, in so many words. */
static int read_some(struct machine *m, uint64_t gpa)
{
	const struct hvs_guest_scsi cmd = {.cdb_len = 10,
					   .cdb = {OP_READ10, [8] = 255},
					   .direction = HVS_GUEST_STOR_IN,
					   .buffer = {.gpa = gpa + 100, .len = 255 * 512}};
	struct hvs_guest_scsi_result r;
	int err = hvs_guest_stor_execute(m->ch, &cmd, &r);

	if (err)
		return err;
	if (r.srb_status == SRB_SUCCESS)
		return 0;
	cr_assert_eq(r.srb_status, SRB_ERROR);
	cr_assert_eq(sense_of(&r), 0x044400, "sense %#x", sense_of(&r));
	cr_assert_eq(r.transferred, 0);
	return -ENOMEM;
}

/* Forty reads at a time: more than one slab of requests. All of them must end. */
static int read_many(struct machine *m, struct testdisk *d, uint64_t gpa)
{
	const struct hvs_guest_scsi cmd = {.cdb_len = 10,
					   .cdb = {OP_READ10, [8] = 1},
					   .direction = HVS_GUEST_STOR_IN,
					   .buffer = {.gpa = gpa, .len = 512}};
	struct hvs_guest_scsi_result r;
	unsigned ended = 0;
	uint64_t xid;
	int result = 0;

	d->hold = true;
	for (unsigned i = 0; i < 40; i++)
		cr_assert_eq(hvs_guest_stor_submit(m->ch, i, &cmd), 0);
	hvs_guest_flush(m->ch);
	for (unsigned i = 0; i < 100 && ended < 40; i++) {
		hvs_loopback_run(m->lb);
		testdisk_finish_all(d);
		hvs_loopback_run(m->lb);
		while (hvs_guest_stor_reap(m->ch, &xid, &r) == 1) {
			ended++;
			if (r.srb_status != SRB_SUCCESS) {
				cr_assert_eq(sense_of(&r), 0x044400);
				result = -ENOMEM;
			}
		}
	}
	d->hold = false;
	cr_assert_eq(ended, 40, "a command was lost");
	return result;
}

/* Commands that need memory of their own. Any of them may fail for want of it. */
static int look_and_change(struct machine *m, uint64_t gpa)
{
	static const struct {
		uint8_t cdb[16];
		uint8_t cdb_len;
		uint8_t direction;
		uint32_t len;
	} cases[] = {
		{{0x2f, 0x02, [8] = 2}, 10, HVS_GUEST_STOR_OUT, 1024}, /* VERIFY */
		{{0x2e, 0x00, [8] = 2}, 10, HVS_GUEST_STOR_OUT, 1024}, /* WRITE AND VERIFY */
		{{0x89, [13] = 1}, 16, HVS_GUEST_STOR_OUT, 1024},      /* COMPARE AND WRITE */
		{{0x8b, [13] = 2}, 16, HVS_GUEST_STOR_OUT, 1024},      /* ORWRITE */
		{{0x41, [8] = 9}, 10, HVS_GUEST_STOR_OUT, 512},        /* WRITE SAME */
		{{0x42, [8] = 24}, 10, HVS_GUEST_STOR_OUT, 24},        /* UNMAP */
		{{0x9e, 0x12, [13] = 24}, 16, HVS_GUEST_STOR_IN, 24},  /* GET LBA STATUS */
		{{0xa3, 0x0c, [8] = 4},
		 12,
		 HVS_GUEST_STOR_IN,
		 1024}, /* SUPPORTED OPERATION CODES */
	};
	int result = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_guest_scsi cmd = {.cdb_len = cases[i].cdb_len,
					     .direction = cases[i].direction,
					     .buffer = {.gpa = gpa, .len = cases[i].len}};
		struct hvs_guest_scsi_result r;
		int err;

		memcpy(cmd.cdb, cases[i].cdb, sizeof(cmd.cdb));
		err = hvs_guest_stor_execute(m->ch, &cmd, &r);
		if (err)
			return err;
		if (r.srb_status == SRB_SUCCESS)
			continue;
		cr_assert_eq(sense_of(&r), 0x044400, "%02x: sense %#x", cmd.cdb[0], sense_of(&r));
		result = -ENOMEM;
	}
	return result;
}

static int whole_life(struct test_alloc *a)
{
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_UNMAP |
						     HVS_BLK_INFO_LBA_STATUS);
	struct machine m = {0};
	uint64_t gpa = 0;
	int err = up(a, d, &m);

	if (!err)
		err = connect(&m);
	if (!err)
		err = open_channel(&m);
	if (!err && !hvs_loopback_alloc_pages(m.lb, 40, &gpa))
		err = -ENOSPC;
	if (!err)
		err = look_and_change(&m, gpa);
	if (!err)
		err = read_some(&m, gpa);
	if (!err)
		err = read_many(&m, d, gpa);
	if (!err)
		err = hvs_guest_channel_close(m.ch);
	if (!err)
		err = open_channel(&m);
	if (!err)
		err = hvs_guest_unload(m.guest);
	hvs_loopback_destroy(m.lb);
	testdisk_free(d);
	return err;
}

/* Where something failed, the same is tried again, with memory: it must work then. */
static int persistent(struct test_alloc *a)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = {0};
	uint64_t gpa = 0;
	int failures = 0;
	int err = up(a, d, &m);

	if (err)
		goto out; /* without a machine there is nothing to try again */
	err = connect(&m);
	if (err) { /* offers come once a connection */
		cr_assert_eq(err, -ENOMEM);
		failures++;
		cr_assert_eq(hvs_guest_unload(m.guest), 0);
		cr_assert_eq(connect(&m), 0);
	}
	for (int i = 0; i < 2; i++) {
		err = hvs_guest_channel_open(m.guest, hvs_guest_offer_at(m.guest, 0), 65536, &m.ch);
		if (!err)
			break;
		cr_assert(err == -ENOMEM || err == -EREMOTEIO, "%d", err);
		failures++;
	}
	cr_assert_eq(err, 0, "memory is there again");
	cr_assert_eq(hvs_guest_stor_init(m.ch, 0x600, &m.max_transfer), 0);
	cr_assert_not_null(hvs_loopback_alloc_pages(m.lb, 40, &gpa));
	err = read_some(&m, gpa);
	if (err) {
		cr_assert_eq(err, -ENOMEM);
		failures++;
		cr_assert_eq(read_some(&m, gpa), 0);
	}
	(void)read_many(&m, d, gpa);
	cr_assert_eq(read_some(&m, gpa), 0);
	cr_assert_eq(hvs_guest_channel_close(m.ch), 0);
	/* However it went, nothing is left over: the same room serves the next connection. */
	cr_assert_eq(hvs_guest_unload(m.guest), 0);
	err = failures ? -ENOMEM : 0;
out:
	hvs_loopback_destroy(m.lb);
	testdisk_free(d);
	return err;
}

/* Runs a story until no allocation is left to fail; returns how many there were. */
static size_t run(story tell, bool failure_may_be_hidden)
{
	for (size_t n = 0; n < 1000; n++) {
		struct test_alloc a = {.fail_at = n};
		int err = tell(&a);

		cr_assert_eq(a.live, 0, "allocation %zu failed: %zu bytes are lost", n, a.live);
		if (!a.failed) {
			cr_assert_eq(err, 0, "nothing failed, but the story says %d", err);
			return n;
		}
		if (!failure_may_be_hidden)
			cr_assert_neq(err, 0, "allocation %zu failed, and nobody was told", n);
	}
	cr_assert_fail("allocates without end");
	return 0;
}

/* The second slab of requests is not needed: the first ones do, one after the other. */
Test(oom, every_failure_ends_the_story_cleanly)
{
	cr_assert_geq(run(whole_life, true), 15);
}

Test(oom, every_failure_can_be_repaired_by_trying_again)
{
	cr_assert_geq(run(persistent, true), 15);
}

static int machine_only(struct test_alloc *a)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = {0};
	int err = up(a, d, &m);

	if (!err)
		err = connect(&m);
	if (!err)
		err = open_channel(&m);
	hvs_loopback_destroy(m.lb);
	testdisk_free(d);
	return err;
}

Test(oom, nobody_hides_a_failure_to_create_or_open)
{
	cr_assert_geq(run(machine_only, false), 12);
}
