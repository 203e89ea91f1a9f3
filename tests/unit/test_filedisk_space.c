/* SPDX-License-Identifier: MIT */
/* File disks: unmapping, zeros, what is mapped; and what changes while the disk is in use. */
#include "support/filedisk.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(filedisk_space, .init = setup, .fini = teardown, .timeout = 120);

/* Bytes that the file occupies. */
static uint64_t occupied(void)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static uint64_t file_size(void)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

/* Every byte of the range is `byte`. */
static void reads_as(uint64_t offset, uint64_t len, uint8_t byte)
{
	struct io io;

	io_init(&io, HVS_BLK_READ, offset, len, 3);
	memset(io.buf, '?', len);
	run(&io, 1);
	cr_assert_eq(io.status, HVS_BLK_OK);
	for (uint64_t i = 0; i < len; i++)
		cr_assert_eq(io.buf[i], byte, "at %llu", (unsigned long long)(offset + i));
	io_free(&io);
}

/* ---- space ------------------------------------------------------------------------------ */

EACH_ENGINE(filedisk_space, unmapping_returns_space_and_leaves_zeros)
{
	uint64_t full;

	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, MIB, 5, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
	full = occupied();
	cr_assert_eq(run_one(HVS_BLK_UNMAP, 256 * KIB, 512 * KIB, 0, 0), HVS_BLK_OK);
	cr_assert_leq(occupied(), full - 512 * KIB);
	reads_as(0, 256 * KIB, 'w');
	reads_as(256 * KIB, 512 * KIB, 0);
	reads_as(768 * KIB, 256 * KIB, 'w');
	cr_assert_eq(file_size(), MIB);
}

EACH_ENGINE(filedisk_space, unmapping_a_part_of_a_file_block_leaves_zeros_in_just_that_part)
{
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 16 * KIB, 2, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_UNMAP, 512, 1024, 0, 0), HVS_BLK_OK);
	reads_as(0, 512, 'w');
	reads_as(512, 1024, 0);
	reads_as(1536, 4096, 'w');
}

EACH_ENGINE(filedisk_space, zeros_keep_their_space_unless_they_may_be_unmapped)
{
	static const uint32_t fua[] = {0, HVS_BLK_FUA};

	for (unsigned i = 0; i < 2; i++) {
		uint64_t full;

		make_file(MIB);
		open_disk(0, 0);
		cr_assert_eq(run_one(HVS_BLK_WRITE, 0, MIB, 5, HVS_BLK_FUA), HVS_BLK_OK);
		full = occupied();
		cr_assert_eq(run_one(HVS_BLK_WRITE_ZEROES, 0, 512 * KIB, 0, fua[i]), HVS_BLK_OK);
		cr_assert_geq(occupied(), full);
		cr_assert_eq(run_one(HVS_BLK_WRITE_ZEROES, 256 * KIB, 512 * KIB, 0,
				     fua[i] | HVS_BLK_MAY_UNMAP),
			     HVS_BLK_OK);
		cr_assert_leq(occupied(), full - 512 * KIB);
		reads_as(0, 768 * KIB, 0);
		reads_as(768 * KIB, 256 * KIB, 'w');
		close_disk();
	}
}

EACH_ENGINE(filedisk_space, a_file_system_that_can_unmap_but_not_write_zeros_says_so)
{
	if (!mount_tmpfs("size=2m"))
		cr_skip_test("no mount namespace here");
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 64 * KIB, 2, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_WRITE_ZEROES, 0, 4096, 0, 0), HVS_BLK_UNSUPPORTED);
	reads_as(0, 4096, 'w');
	cr_assert_eq(run_one(HVS_BLK_WRITE_ZEROES, 0, 4096, 0, HVS_BLK_MAY_UNMAP), HVS_BLK_OK);
	reads_as(0, 4096, 0);
	close_disk();
	umount(dir);
}

/* ---- what is mapped --------------------------------------------------------------------- */

static void extent(uint64_t offset, uint64_t len, uint64_t expected_len, bool unmapped)
{
	struct io io;

	io_init(&io, HVS_BLK_LBA_STATUS, offset, len, 0);
	run(&io, 1);
	cr_assert_eq(io.status, HVS_BLK_OK);
	cr_assert_eq(io.req.extent_len, expected_len, "%llu instead of %llu at %llu",
		     (unsigned long long)io.req.extent_len, (unsigned long long)expected_len,
		     (unsigned long long)offset);
	cr_assert_eq(io.req.extent_unmapped, unmapped);
	io_free(&io);
}

EACH_ENGINE(filedisk_space, what_was_written_is_mapped_and_holes_are_not)
{
	make_file(MIB);
	open_disk(0, 0);
	extent(0, MIB, MIB, true);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 256 * KIB, 256 * KIB, 2, 0), HVS_BLK_OK);
	extent(0, MIB, 256 * KIB, true);
	extent(0, 4096, 4096, true);
	extent(256 * KIB, 768 * KIB, 256 * KIB, false);
	extent(300 * KIB, 4096, 4096, false);
	extent(512 * KIB, 512 * KIB, 512 * KIB, true);
	extent(MIB - 512, 512, 512, true);
	cr_assert_eq(run_one(HVS_BLK_UNMAP, 256 * KIB, 128 * KIB, 0, 0), HVS_BLK_OK);
	extent(0, MIB, 384 * KIB, true);
	cr_assert_eq(run_one(HVS_BLK_LBA_STATUS, MIB, 512, 0, 0), HVS_BLK_RANGE);
}

/* ---- change of size and of permission --------------------------------------------------- */

EACH_ENGINE(filedisk_space, a_file_that_somebody_made_longer_is_measured_anew)
{
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(truncate(path, 2 * MIB + 100), 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB, 4096, 1, 0), HVS_BLK_RANGE);
	cr_assert_eq(info_of_disk().num_blocks, 4096);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB, 4096, 1, 0), HVS_BLK_OK);
	cr_assert_eq(truncate(path, 512 * KIB), 0);
	cr_assert_eq(info_of_disk().num_blocks, 1024);
	cr_assert_eq(run_one(HVS_BLK_READ, 512 * KIB, 4096, 1, 0), HVS_BLK_RANGE);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 512 * KIB, 4096, 1, 0), HVS_BLK_RANGE);
}

EACH_ENGINE(filedisk_space, a_file_that_somebody_emptied_has_no_geometry)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(truncate(path, 0), 0);
	cr_assert_eq(hvs_filedisk_ops()->get_info(disk, &info), -EINVAL);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 1, 0), HVS_BLK_RANGE);
	cr_assert_eq(file_size(), 0);
}

EACH_ENGINE(filedisk_space, resizing_changes_the_file_and_the_disk)
{
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(hvs_filedisk_resize(disk, 2 * MIB), 0);
	cr_assert_eq(file_size(), 2 * MIB);
	cr_assert_eq(info_of_disk().num_blocks, 4096);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 2 * MIB - 4096, 4096, 1, 0), HVS_BLK_OK);
	cr_assert_eq(hvs_filedisk_resize(disk, 64 * KIB), 0);
	cr_assert_eq(file_size(), 64 * KIB);
	cr_assert_eq(info_of_disk().num_blocks, 128);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 64 * KIB, 4096, 1, 0), HVS_BLK_RANGE);
	cr_assert_eq(file_size(), 64 * KIB);
}

EACH_ENGINE(filedisk_space, a_size_that_can_not_be_is_refused_and_changes_nothing)
{
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(hvs_filedisk_resize(disk, 0), -EINVAL);
	cr_assert_eq(hvs_filedisk_resize(disk, 1000), -EINVAL);
	cr_assert_eq(hvs_filedisk_resize(disk, UINT64_MAX - 511), -EINVAL);
	cr_assert_eq(hvs_filedisk_resize(disk, INT64_MAX - 511), -EFBIG);
	cr_assert_eq(info_of_disk().num_blocks, 2048);
	close_disk();
	open_disk(0, HVS_FILEDISK_READ_ONLY);
	cr_assert_eq(hvs_filedisk_resize(disk, 2 * MIB), -EROFS);
	cr_assert_eq(file_size(), MIB);
}

Test(filedisk_space, a_write_that_was_on_its_way_does_not_make_a_shorter_file_longer)
{
	struct io io;

	make_file(MIB);
	open_disk(0, 0);
	io_init(&io, HVS_BLK_WRITE, 512 * KIB, 4096, 1);
	memset(io.buf, 'w', 4096);
	submit(&io);
	cr_assert_eq(hvs_filedisk_resize(disk, 64 * KIB), 0);
	hvs_filedisk_ops()->commit(disk, 0);
	wait_for(0);
	cr_assert_eq(io.status, HVS_BLK_RANGE);
	cr_assert_eq(file_size(), 64 * KIB);
	/* Even if somebody measures in between. */
	cr_assert_eq(truncate(path, MIB), 0);
	cr_assert_eq(info_of_disk().num_blocks, 128);
	io_free(&io);
}

EACH_ENGINE(filedisk_space, a_disk_can_be_made_read_only_and_writable_again)
{
	uint32_t flags;

	make_file(MIB);
	open_disk(0, 0);
	flags = info_of_disk().flags;
	cr_assert_eq(hvs_filedisk_set_read_only(disk, true), 0);
	cr_assert_eq(info_of_disk().flags, flags | HVS_BLK_INFO_READ_ONLY);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 1, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
	cr_assert_eq(hvs_filedisk_set_read_only(disk, false), 0);
	cr_assert_eq(info_of_disk().flags, flags);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 1, 0), HVS_BLK_OK);
	close_disk();
	open_disk(0, HVS_FILEDISK_READ_ONLY);
	cr_assert_eq(hvs_filedisk_set_read_only(disk, true), 0);
	cr_assert_eq(hvs_filedisk_set_read_only(disk, false), -EROFS);
}

static unsigned syncs;

static void count_syncs(struct io_uring_cqe *cqe)
{
	(void)cqe;
	syncs++;
}

Test(filedisk_space, what_was_written_before_a_disk_became_read_only_is_still_flushed)
{
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 1, 0), HVS_BLK_OK);
	cr_assert_eq(hvs_filedisk_set_read_only(disk, true), 0);
	spoil = count_syncs;
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
	cr_assert_eq(syncs, 1);
}

/* ---- queues ----------------------------------------------------------------------------- */

Test(filedisk_space, each_queue_completes_on_its_own_base)
{
	struct event_base *second = event_base_new();
	struct event_base *bases[2] = {base, second};
	struct hvs_filedisk_config cfg = good_config();
	struct io ios[2];

	make_file(MIB);
	cfg.base = NULL;
	cfg.bases = bases;
	cfg.base_count = 2;
	cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0);
	cr_assert_eq(info_of_disk().max_queues, 2);
	for (uint32_t i = 0; i < 2; i++) {
		io_init(&ios[i], HVS_BLK_WRITE_ZEROES, i * 4096, 4096, 0);
		ios[i].req.queue = i;
		submit(&ios[i]);
	}
	/* A commit is about one queue. Operations on the file's extents take a while. */
	hvs_filedisk_ops()->commit(disk, 1);
	while (outstanding > 1)
		event_base_loop(second, EVLOOP_ONCE);
	cr_assert_eq(ios[1].completions, 1);
	cr_assert_eq(ios[0].completions, 0);
	hvs_filedisk_ops()->commit(disk, 0);
	wait_for(0);
	cr_assert_eq(ios[0].completions, 1);
	io_free(&ios[0]);
	io_free(&ios[1]);
	close_disk();
	event_base_free(second);
}
