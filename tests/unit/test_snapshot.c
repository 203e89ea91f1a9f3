/* SPDX-License-Identifier: MIT */
/* The snapshot filter: what a point in time holds, and what becomes of the writes meanwhile. */
#include "host/snapshot_impl.h"
#include "support/rng.h"
#include "support/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(snapshot, .init = snapshot_setup, .fini = snapshot_teardown, .timeout = 120);

static uint8_t before[DISKS][BYTES];
static uint8_t now[BYTES];
static struct io ios[8];
static struct rng rng = {4711};

/* ---- the filter ------------------------------------------------------------------------- */

Test(snapshot, without_a_point_everything_goes_through)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	cr_assert_eq(hvs_snapshot_ops()->get_info(snap[0], &info), 0);
	cr_assert_eq(info.max_queues, QUEUES);
	cr_assert_eq(info.num_blocks, BYTES / BLOCK);
	start(&ios[0], 0, HVS_BLK_WRITE, CHUNK - BLOCK, 2 * BLOCK, 'a');
	cr_assert_eq(ios[0].completions, 1, "nothing waits");
	start(&ios[1], 0, HVS_BLK_UNMAP, CHUNK, BLOCK, 0);
	cr_assert_eq(ios[1].completions, 1);
	start(&ios[2], 0, HVS_BLK_FLUSH, 0, 0, 0);
	cr_assert_eq(ios[2].completions, 1);
	start(&ios[3], 0, HVS_BLK_READ, CHUNK - BLOCK, 2 * BLOCK, 'x');
	cr_assert_eq(ios[3].completions, 1);
	cr_assert_eq(ios[3].data[0], 'a');
	cr_assert_eq(ios[3].data[BLOCK], 0);
}

Test(snapshot, errors_of_the_disk_come_through)
{
	ram[0].hold_writes = true;
	start(&ios[0], 0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	cr_assert_eq(ios[0].completions, 0);
	ramdisk_complete(&ram[0], 0, HVS_BLK_NO_SPACE);
	cr_assert_eq(ios[0].status, HVS_BLK_NO_SPACE);
	start(&ios[0], 0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	hvs_snapshot_ops()->cancel(snap[0], &ios[0].req);
	cr_assert_eq(ios[0].status, HVS_BLK_ABORTED);
	cr_assert_eq(ram[0].cancels, 1, "the disk is told of the request that it has");
}

Test(snapshot, more_writes_than_there_was_memory_for_at_first)
{
	struct io *many = calloc(60, sizeof(*many));

	ram[0].hold_writes = true;
	for (unsigned i = 0; i < 60; i++)
		start(&many[i], 0, HVS_BLK_WRITE, 0, BLOCK, (uint8_t)i);
	cr_assert_eq(ram[0].held_count, 60);
	while (ram[0].held_count > 0)
		ramdisk_complete(&ram[0], ram[0].held_count / 2, HVS_BLK_OK);
	for (unsigned i = 0; i < 60; i++)
		cr_assert_eq(many[i].completions, 1);
	free(many);
}

Test(snapshot, a_disk_that_only_its_queues_may_read_is_refused)
{
	const struct hvs_snapshot_config cfg = {HVS_SNAPSHOT_CONFIG_INIT, .ops = &ramdisk_ops,
						.disk = &ram[0], .base = base, .dir = dir};
	struct hvs_snapshot_config wrong = cfg;
	struct hvs_snapshot *s;

	ram[0].max_queues = 3;
	cr_assert_eq(hvs_snapshot_create(&cfg, &s), -ENOTSUP);
	wrong.dir = NULL;
	cr_assert_eq(hvs_snapshot_create(&wrong, &s), -EINVAL);
	wrong = cfg;
	wrong.base = NULL;
	cr_assert_eq(hvs_snapshot_create(&wrong, &s), -EINVAL);
	cr_assert_eq(hvs_snapshot_create(&cfg, NULL), -EINVAL);
	ram[0].max_queues = HVS_BLK_ANY_QUEUE;
}

/* ---- what a point holds ----------------------------------------------------------------- */

/* Reads, too, have to say what was written last. */
static void random_write(unsigned disk)
{
	static const enum hvs_blk_op ops[] = {HVS_BLK_WRITE, HVS_BLK_WRITE, HVS_BLK_UNMAP,
					      HVS_BLK_WRITE_ZEROES};
	const enum hvs_blk_op op = ops[rng_below(&rng, 4)];
	const uint64_t max = op == HVS_BLK_WRITE ? 4 * CHUNK : 9 * CHUNK;
	const uint64_t offset = rng_below(&rng, BYTES / BLOCK) * BLOCK;
	uint64_t len =
		(1 + rng_below(&rng, (uint32_t)(rng_below(&rng, 4) ? 8 : max / BLOCK))) * BLOCK;

	if (len > BYTES - offset)
		len = BYTES - offset;
	do_one(disk, op, offset, len, (uint8_t)(1 + rng_below(&rng, 255)));
}

Test(snapshot, a_point_holds_what_was_there_whatever_is_written_since)
{
	for (unsigned round = 0; round < 12; round++) {
		for (unsigned i = 0; i < 20; i++)
			random_write(i % DISKS);
		for (unsigned i = 0; i < DISKS; i++)
			memcpy(before[i], ram[i].data, BYTES);
		take_point(DISKS, 0);
		for (unsigned i = 0; i < 40; i++) {
			random_write(i % DISKS);
			if (i % 10 == 0) {
				read_point(i % DISKS, now);
				cr_assert_arr_eq(now, before[i % DISKS], BYTES);
			}
		}
		for (unsigned i = 0; i < DISKS; i++) {
			read_point(i, now);
			cr_assert_arr_eq(now, before[i], BYTES);
		}
		hvs_point_release(point, NULL);
		point = NULL;
	}
}

Test(snapshot, extents_that_are_zeros_are_so)
{
	uint64_t len;
	bool zeros;

	for (unsigned round = 0; round < 6; round++) {
		do_one(0, HVS_BLK_UNMAP, 0, BYTES, 0);
		for (unsigned i = 0; i < 6; i++)
			do_one(0, HVS_BLK_WRITE, rng_below(&rng, BYTES / BLOCK) * BLOCK, BLOCK,
			       'x');
		memcpy(before[0], ram[0].data, BYTES);
		take_point(1, 0);
		for (unsigned i = 0; i < 6; i++)
			random_write(0);
		for (uint64_t at = 0; at < BYTES; at += len) {
			cr_assert_eq(hvs_point_extent(point, 0, at, BYTES - at, &len, &zeros), 0);
			cr_assert(len > 0 && len <= BYTES - at);
			cr_assert(len % CHUNK == 0 || at + len == BYTES);
			for (uint64_t i = 0; zeros && i < len; i++)
				cr_assert_eq(before[0][at + i], 0);
		}
		hvs_point_release(point, NULL);
		point = NULL;
	}
	take_point(1, 0);
	do_one(0, HVS_BLK_UNMAP, 0, BYTES, 0);
	hvs_point_release(point, NULL);
	take_point(1, 0);
	cr_assert_eq(hvs_point_extent(point, 0, 0, BYTES, &len, &zeros), 0);
	cr_assert(zeros && len == BYTES, "an empty disk is one extent");
}

Test(snapshot, what_is_not_needed_is_not_saved)
{
	unsigned reads;

	take_point(1, 0);
	hvs_point_forget(point, 0, 0, 4 * CHUNK);
	reads = atomic_load(&ram[0].reads);
	start(&ios[0], 0, HVS_BLK_WRITE, 0, 4 * CHUNK, 'a');
	cr_assert_eq(ios[0].completions, 1, "it does not wait");
	cr_assert_eq(atomic_load(&ram[0].reads), reads);
	start(&ios[1], 0, HVS_BLK_WRITE, 4 * CHUNK, BLOCK, 'a');
	cr_assert_eq(ios[1].completions, 0);
	wait_for(&ios[1]);
	cr_assert_eq(atomic_load(&ram[0].reads), reads + 1);
}

Test(snapshot, ranges_that_make_no_sense_are_refused)
{
	uint64_t len;
	bool zeros;

	prepare_point(1, 0);
	cr_assert_eq(hvs_point_read(point, 0, 0, now, CHUNK), -EINVAL, "not taken yet");
	cr_assert_eq(hvs_point_take(point), 0);
	cr_assert_eq(hvs_point_take(point), -EINVAL);
	wait_for_point(HVS_POINT_TAKEN);
	cr_assert_eq(hvs_point_read(point, 1, 0, now, CHUNK), -EINVAL);
	cr_assert_eq(hvs_point_read(point, 0, BLOCK, now, CHUNK), -EINVAL);
	cr_assert_eq(hvs_point_read(point, 0, 0, now, BLOCK), -EINVAL);
	cr_assert_eq(hvs_point_read(point, 0, 0, now, 0), -EINVAL);
	cr_assert_eq(hvs_point_read(point, 0, 20 * CHUNK, now, CHUNK), -EINVAL);
	cr_assert_eq(hvs_point_read(point, 0, 21 * CHUNK, now, CHUNK), -EINVAL);
	cr_assert_eq(hvs_point_extent(point, 0, UINT64_MAX - CHUNK + 1, CHUNK, &len, &zeros),
		     -EINVAL);
	cr_assert_eq(hvs_point_read(point, 0, 20 * CHUNK, now, 3 * BLOCK), 0);
}

/* ---- the instant ------------------------------------------------------------------------ */

Test(snapshot, a_point_waits_for_writes_under_way_and_later_ones_wait_for_it)
{
	ram[0].hold_writes = true;
	start(&ios[0], 0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	prepare_point(DISKS, 0);
	cr_assert_eq(hvs_point_take(point), 0);
	/* The gates close on another thread: the first write that does not go through tells. */
	do {
		start(&ios[1], 1, HVS_BLK_WRITE, 0, BLOCK, 'b');
	} while (ios[1].completions > 0);
	memcpy(before[1], ram[1].data, BYTES);
	start(&ios[2], 1, HVS_BLK_WRITE, 0, 2 * BLOCK, 'c');
	start(&ios[3], 1, HVS_BLK_READ, 0, BLOCK, 0);
	cr_assert_eq(ios[3].completions, 1, "reads do not wait");
	start(&ios[4], 1, HVS_BLK_FLUSH, 0, 0, 0);
	cr_assert_eq(ios[4].completions, 1);
	turn();
	cr_assert_eq(ios[1].completions + ios[2].completions, 0);
	cr_assert_neq(point_has, HVS_POINT_TAKEN);
	ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	cr_assert_eq(ios[0].completions, 1);
	memcpy(before[0], ram[0].data, BYTES);
	wait_for_point(HVS_POINT_TAKEN);
	cr_assert_eq(point_status, 0);
	wait_for(&ios[1]);
	wait_for(&ios[2]);
	for (unsigned i = 0; i < DISKS; i++) {
		read_point(i, now);
		cr_assert_arr_eq(now, before[i], BYTES);
	}
	cr_assert_eq(before[0][0], 'a', "what was under way is in it");
}

static void on_event(void *arg, struct hvs_point *p, enum hvs_point_event event, int status)
{
	(void)arg;
	(void)p;
	point_has = event;
	point_status = status;
}

Test(snapshot, a_write_that_does_not_end_costs_the_point_and_nothing_else)
{
	const struct hvs_point_config cfg = {HVS_POINT_CONFIG_INIT, .count = DISKS,
					     .disks = snap,         .base = base,
					     .event = on_event,     .drain_ms = 1};

	cr_assert_eq(hvs_point_create(&cfg, &point), 0);
	wait_for_point(HVS_POINT_PREPARED);
	ram[0].hold_writes = true;
	start(&ios[0], 0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	cr_assert_eq(hvs_point_take(point), 0);
	wait_for_point(HVS_POINT_TAKEN);
	cr_assert_eq(point_status, -ETIMEDOUT);
	start(&ios[1], 1, HVS_BLK_WRITE, 0, BLOCK, 'a');
	wait_for(&ios[1]);
	hvs_point_release(point, NULL);
	ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	cr_assert_eq(ios[0].completions, 1);
	ram[0].hold_writes = false;
	take_point(DISKS, 0);
}

Test(snapshot, a_disk_is_in_one_point_at_a_time)
{
	struct hvs_snapshot *const twice[] = {snap[1], snap[1]};
	struct hvs_point_config cfg = {HVS_POINT_CONFIG_INIT, .count = 1, .disks = &snap[0],
				       .base = base, .event = on_event};
	struct hvs_point *other;

	take_point(1, 0);
	cr_assert_eq(hvs_point_create(&cfg, &other), -EBUSY);
	cfg.disks = twice;
	cfg.count = 2;
	cr_assert_eq(hvs_point_create(&cfg, &other), -EINVAL);
	cfg.count = 0;
	cr_assert_eq(hvs_point_create(&cfg, &other), -EINVAL);
	cfg.count = 1;
	cfg.flags = 0x80;
	cr_assert_eq(hvs_point_create(&cfg, &other), -ENOTSUP);
	cfg.flags = 0;
	cr_assert_eq(hvs_point_create(&cfg, &other), 0, "the second disk is free");
	hvs_point_release(other, NULL);
}

/* ---- trouble ---------------------------------------------------------------------------- */

Test(snapshot, without_room_for_what_is_saved_writes_go_on_and_the_point_is_useless)
{
	const struct rlimit limit = {CHUNK, RLIM_INFINITY};

	memset(ram[0].data, 'd', BYTES);
	take_point(1, 0);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	do_one(0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	cr_assert_eq(hvs_point_read(point, 0, 0, now, CHUNK), 0, "there was room for one");
	cr_assert_eq(now[0], 'd');
	do_one(0, HVS_BLK_WRITE, 3 * CHUNK, 4 * CHUNK, 'b');
	cr_assert_eq(ram[0].data[3 * CHUNK], 'b');
	cr_assert_eq(hvs_point_read(point, 0, 0, now, CHUNK), -EFBIG);
	start(&ios[0], 0, HVS_BLK_WRITE, 9 * CHUNK, BLOCK, 'c');
	cr_assert_eq(ios[0].completions, 1, "nothing is saved any more");
}

Test(snapshot, a_write_without_room_is_tried_again_without_the_point)
{
	take_point(DISKS, 0);
	do_one(0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	hvs_point_forget(point, 0, CHUNK, 2 * CHUNK);
	ram[0].hold_writes = true;
	for (unsigned i = 0; i < 2; i++)
		start(&ios[i], 0, HVS_BLK_WRITE, (1 + i) * CHUNK, BLOCK, 'b');
	cr_assert_eq(ram[0].held_count, 2);
	for (unsigned i = 0; i < 2; i++)
		ramdisk_complete(&ram[0], 0, HVS_BLK_NO_SPACE);
	cr_assert_eq(hvs_point_read(point, 0, 0, now, CHUNK), -ENOSPC);
	while (ram[0].held_count < 2)
		event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(ios[0].completions + ios[1].completions, 0);
	/* The other time it counts. */
	ramdisk_complete(&ram[0], 0, HVS_BLK_NO_SPACE);
	ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	cr_assert_eq(ios[0].completions + ios[1].completions, 2);
	cr_assert_eq((ios[0].status == HVS_BLK_OK) + (ios[1].status == HVS_BLK_OK), 1);
	hvs_point_release(point, NULL);
	point = NULL;
	start(&ios[3], 0, HVS_BLK_WRITE, 0, BLOCK, 'd');
	ramdisk_complete(&ram[0], 0, HVS_BLK_NO_SPACE);
	cr_assert_eq(ios[3].status, HVS_BLK_NO_SPACE);
}

Test(snapshot, a_write_without_room_may_be_cancelled_or_outlive_the_point)
{
	take_point(1, 0);
	hvs_point_forget(point, 0, 0, 2 * CHUNK);
	ram[0].hold_writes = true;
	for (unsigned i = 0; i < 2; i++)
		start(&ios[i], 0, HVS_BLK_WRITE, i * CHUNK, BLOCK, 'a');
	for (unsigned i = 0; i < 2; i++)
		ramdisk_complete(&ram[0], 0, HVS_BLK_NO_SPACE);
	hvs_snapshot_ops()->cancel(snap[0], &ios[0].req);
	cr_assert_eq(ios[0].completions, 1);
	cr_assert_eq(ios[0].status, HVS_BLK_ABORTED);
	hvs_point_release(point, NULL);
	point = NULL;
	while (ram[0].held_count < 1)
		event_base_loop(base, EVLOOP_ONCE);
	ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	cr_assert_eq(ios[1].status, HVS_BLK_OK);
}

Test(snapshot, a_disk_that_can_t_be_read_costs_the_point_and_not_the_write)
{
	take_point(1, 0);
	atomic_store(&ram[0].bad, true);
	do_one(0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	cr_assert_eq(hvs_point_read(point, 0, CHUNK, now, CHUNK), -EIO);
}

Test(snapshot, a_temporary_file_that_can_t_be_made_is_told)
{
	struct event_base *const bases[] = {base};
	const struct hvs_snapshot_config cfg = {HVS_SNAPSHOT_CONFIG_INIT, .ops = &ramdisk_ops,
						.disk = &ram[0],          .bases = bases,
						.base_count = 1,          .dir = "/nowhere/at/all"};
	struct hvs_point_config point_cfg = {HVS_POINT_CONFIG_INIT, .count = 1, .base = base,
					     .event = on_event};
	struct hvs_snapshot *s;

	cr_assert_eq(hvs_snapshot_create(&cfg, &s), 0);
	point_cfg.disks = &s;
	cr_assert_eq(hvs_point_create(&point_cfg, &point), 0);
	wait_for_point(HVS_POINT_PREPARED);
	cr_assert_eq(point_status, -ENOENT);
	cr_assert_eq(hvs_point_take(point), -EINVAL);
	hvs_point_release(point, NULL);
	point = NULL;
	hvs_snapshot_destroy(s);
}

Test(snapshot, a_write_is_cancelled_wherever_it_waits)
{
	/* Until a chunk is saved: in the hands of a thread, and behind it. */
	take_point(1, 0);
	atomic_store(&ram[0].hold_reads, true);
	for (unsigned i = 0; i < 4; i++)
		start(&ios[i], 0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	while (atomic_load(&ram[0].reads) == 0)
		turn();
	for (unsigned i = 0; i < 3; i++) {
		hvs_snapshot_ops()->cancel(snap[0], &ios[i].req);
		cr_assert_eq(ios[i].completions, 1);
		cr_assert_eq(ios[i].status, HVS_BLK_ABORTED);
	}
	cr_assert_eq(ram[0].cancels, 0);
	ramdisk_release_reads(&ram[0]);
	wait_for(&ios[3]);
	hvs_point_release(point, NULL);

	/* At the gate. */
	ram[0].hold_writes = true;
	start(&ios[0], 0, HVS_BLK_WRITE, 0, BLOCK, 'b');
	prepare_point(DISKS, 0);
	cr_assert_eq(hvs_point_take(point), 0);
	do {
		start(&ios[1], 1, HVS_BLK_WRITE, 0, BLOCK, 'b');
	} while (ios[1].completions > 0);
	for (unsigned i = 2; i < 5; i++)
		start(&ios[i], 1, HVS_BLK_WRITE, 0, BLOCK, 'c');
	hvs_snapshot_ops()->cancel(snap[1], &ios[4].req);
	hvs_snapshot_ops()->cancel(snap[1], &ios[2].req);
	hvs_snapshot_ops()->cancel(snap[1], &ios[1].req);
	cr_assert_eq(ios[1].completions + ios[2].completions + ios[4].completions, 3);
	start(&ios[5], 1, HVS_BLK_WRITE, 0, BLOCK, 'd');
	ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	wait_for(&ios[3]);
	wait_for(&ios[5]);
}

Test(snapshot, writes_that_wait_go_on_when_the_point_is_released)
{
	take_point(1, 0);
	atomic_store(&ram[0].hold_reads, true);
	for (unsigned i = 0; i < 8; i++)
		start(&ios[i], 0, HVS_BLK_WRITE, i * CHUNK, BLOCK, 'a');
	while (atomic_load(&ram[0].reads) < 4)
		turn();
	/* The threads of the point take back what they have asked for. */
	hvs_point_release(point, NULL);
	point = NULL;
	for (unsigned i = 0; i < 8; i++)
		wait_for(&ios[i]);
	cr_assert_eq(ram[0].cancels, 4);
}

Test(snapshot, a_point_outlives_its_disk_and_is_useless)
{
	take_point(DISKS, 0);
	close_snapshot(0);
	cr_assert_eq(hvs_point_read(point, 0, 0, now, CHUNK), -ENODEV);
	cr_assert_eq(hvs_point_read(point, 1, 0, now, CHUNK), -ENODEV);
	hvs_point_release(point, NULL);
	point = NULL;
	do_one(1, HVS_BLK_WRITE, 0, BLOCK, 'a');
}

Test(snapshot, a_disk_may_go_while_another_one_of_the_point_is_waited_for)
{
	ram[0].hold_writes = true;
	start(&ios[0], 0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	prepare_point(DISKS, 0);
	cr_assert_eq(hvs_point_take(point), 0);
	do {
		start(&ios[1], 1, HVS_BLK_WRITE, 0, BLOCK, 'b');
	} while (ios[1].completions > 0);
	hvs_snapshot_ops()->cancel(snap[1], &ios[1].req);
	/* The point would wait for ten minutes. */
	close_snapshot(1);
	wait_for_point(HVS_POINT_TAKEN);
	cr_assert_eq(point_status, -ENODEV);
	ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	cr_assert_eq(ios[0].status, HVS_BLK_OK);
}

Test(snapshot, a_disk_may_go_whose_writes_need_not_be_saved_any_more)
{
	take_point(DISKS, 0);
	atomic_store(&ram[0].hold_reads, true);
	for (unsigned i = 0; i < HVSI_POINT_THREADS; i++)
		start(&ios[i], 0, HVS_BLK_WRITE, i * CHUNK, BLOCK, 'a');
	while (atomic_load(&ram[0].reads) < HVSI_POINT_THREADS)
		turn();
	/* All threads are busy: this one waits, until its chunk is not needed. */
	start(&ios[4], 1, HVS_BLK_WRITE, 0, BLOCK, 'b');
	cr_assert_eq(ios[4].completions, 0);
	hvs_point_forget(point, 1, 0, CHUNK);
	hvsi_snapshot_wake(snap[1]);
	wait_for(&ios[4]);
	close_snapshot(1);
	ramdisk_release_reads(&ram[0]);
	for (unsigned i = 0; i < HVSI_POINT_THREADS; i++)
		wait_for(&ios[i]);
	hvs_point_release(point, NULL);
	point = NULL;
}

Test(snapshot, reading_that_is_aborted_ends)
{
	take_point(1, 0);
	hvs_point_abort(point);
	cr_assert_eq(hvs_point_read(point, 0, 0, now, CHUNK), -ECANCELED);
}
