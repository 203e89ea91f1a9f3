/* SPDX-License-Identifier: MIT */
/* Which chunks were changed since a backup, while a disk is open and from one time to the next. */
#include "host/changes_file.h"
#include "support/rng.h"
#include "support/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(snapshot_changes, .init = snapshot_setup, .fini = snapshot_teardown, .timeout = 60);

static const struct hvs_guid first = {{1, 2, 3}};
static const struct hvs_guid second = {{4, 5, 6}};

/* "0-2 5": chunks of the first disk that the point says were changed. */
static const char *changed(void)
{
	static char text[256];
	uint64_t start;
	uint64_t len;
	size_t used = 0;

	text[0] = '\0';
	for (uint64_t at = 0; hvs_point_next_change(point, 0, at, &start, &len); at = start + len) {
		const uint64_t last = (start + len - 1) / CHUNK;

		cr_assert(start % CHUNK == 0 && (len % CHUNK == 0 || start + len == BYTES));
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 last == start / CHUNK ? "%s%u" : "%s%u-%u",
					 used ? " " : "", (unsigned)(start / CHUNK),
					 (unsigned)last);
	}
	return text;
}

static void backup(const struct hvs_guid *id)
{
	take_point(1, 0);
	hvs_point_release(point, id);
	point = NULL;
}

static void write_to(uint64_t offset, uint64_t len)
{
	do_one(0, HVS_BLK_WRITE, offset, len, 'w');
}

static void reopen(void)
{
	close_snapshot(0);
	open_snapshot(0, changes);
}

/* Does a point know what has changed since? */
static bool knows(const struct hvs_guid *id)
{
	bool known;

	take_point(1, 0);
	known = hvs_point_knows(point, 0, id);
	hvs_point_release(point, NULL);
	point = NULL;
	return known;
}

/* ---- while it is open ------------------------------------------------------------------- */

Test(snapshot_changes, before_the_first_backup_nothing_is_known)
{
	write_to(0, BLOCK);
	take_point(1, 0);
	cr_assert_not(hvs_point_knows(point, 0, &first));
	cr_assert_not(hvs_point_knows(point, 0, &(struct hvs_guid){{0}}));
	cr_assert_not(hvs_point_knows(point, 7, &first));
	cr_assert_not(hvs_point_next_change(point, 7, 0, &(uint64_t){0}, &(uint64_t){0}));
}

Test(snapshot_changes, each_kind_of_write_is_one)
{
	backup(&first);
	write_to(CHUNK - BLOCK, 2 * BLOCK);
	do_one(0, HVS_BLK_UNMAP, 4 * CHUNK, 3 * CHUNK, 0);
	do_one(0, HVS_BLK_WRITE_ZEROES, 9 * CHUNK + BLOCK, BLOCK, 0);
	do_one(0, HVS_BLK_READ, 12 * CHUNK, BLOCK, 0);
	do_one(0, HVS_BLK_FLUSH, 0, 0, 0);
	do_one(0, HVS_BLK_WRITE, 14 * CHUNK, 0, 0);
	write_to(20 * CHUNK, 3 * BLOCK);
	take_point(1, 0);
	cr_assert(hvs_point_knows(point, 0, &first));
	cr_assert_not(hvs_point_knows(point, 0, &second));
	cr_assert_str_eq(changed(), "0-1 4-6 9 20");
}

Test(snapshot_changes, what_is_written_during_a_backup_belongs_to_the_next)
{
	backup(&first);
	write_to(0, BLOCK);
	take_point(1, 0);
	write_to(CHUNK, BLOCK);
	cr_assert_str_eq(changed(), "0");
	hvs_point_release(point, &second);
	take_point(1, 0);
	cr_assert(hvs_point_knows(point, 0, &second));
	cr_assert_not(hvs_point_knows(point, 0, &first));
	cr_assert_str_eq(changed(), "1");
}

Test(snapshot_changes, a_backup_that_came_to_nothing_changes_nothing)
{
	backup(&first);
	write_to(0, BLOCK);
	take_point(1, 0);
	write_to(2 * CHUNK, BLOCK);
	hvs_point_release(point, NULL);
	take_point(1, 0);
	cr_assert(hvs_point_knows(point, 0, &first));
	cr_assert_str_eq(changed(), "0 2");
}

Test(snapshot_changes, after_another_size_nothing_is_known)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	backup(&first);
	ram[0].bytes -= CHUNK;
	cr_assert_eq(hvs_snapshot_ops()->get_info(snap[0], &info), 0);
	cr_assert_not(knows(&first));
	backup(&second);
	cr_assert(knows(&second));
	ram[0].bytes += CHUNK;
	cr_assert_eq(hvs_snapshot_ops()->get_info(snap[0], &info), 0);
	cr_assert_not(knows(&second));
	write_to(20 * CHUNK, BLOCK);
	ram[0].bytes -= CHUNK;
	cr_assert_eq(hvs_snapshot_ops()->get_info(snap[0], &info), 0);
	cr_assert_not(knows(&second), "it was written behind the end");
	ram[0].bytes += CHUNK;
}

Test(snapshot_changes, what_a_shorter_disk_has_lost_is_one)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	backup(&first);
	ram[0].bytes -= CHUNK;
	cr_assert_eq(hvs_snapshot_ops()->get_info(snap[0], &info), 0);
	ram[0].bytes += CHUNK;
	cr_assert_eq(hvs_snapshot_ops()->get_info(snap[0], &info), 0);
	cr_assert_not(knows(&first), "the last chunk is zeros now");
	backup(&second);
	cr_assert(knows(&second));
}

/* ---- from one time to the next ---------------------------------------------------------- */

Test(snapshot_changes, are_remembered_while_the_disk_is_closed)
{
	reopen();
	backup(&first);
	write_to(3 * CHUNK, BLOCK);
	reopen();
	cr_assert_eq(access(changes, F_OK), -1, "while it is open there is no file");
	write_to(5 * CHUNK, BLOCK);
	take_point(1, 0);
	cr_assert(hvs_point_knows(point, 0, &first));
	cr_assert_str_eq(changed(), "3 5");
}

Test(snapshot_changes, are_not_remembered_without_an_end)
{
	struct hvs_snapshot *crashed;

	reopen();
	backup(&first);
	reopen();
	cr_assert(knows(&first));
	crashed = snap[0];
	open_snapshot(0, changes);
	cr_assert_not(knows(&first));
	hvs_snapshot_destroy(crashed);
}

Test(snapshot_changes, nothing_is_written_if_nothing_is_known)
{
	reopen();
	write_to(0, BLOCK);
	close_snapshot(0);
	cr_assert_eq(access(changes, F_OK), -1);
	open_snapshot(0, changes);
	backup(&first);
	take_point(1, 0);
	close_snapshot(0);
	cr_assert_eq(access(changes, F_OK), -1, "closed in the middle of a backup");
	hvs_point_release(point, NULL);
	point = NULL;
	open_snapshot(0, NULL);
}

Test(snapshot_changes, a_disk_of_another_size_has_none)
{
	reopen();
	backup(&first);
	close_snapshot(0);
	ram[0].bytes -= BLOCK;
	open_snapshot(0, changes);
	cr_assert_not(knows(&first));
	cr_assert_eq(access(changes, F_OK), -1);
	ram[0].bytes += BLOCK;
}

Test(snapshot_changes, where_no_file_can_be_written_there_is_none)
{
	close_snapshot(0);
	open_snapshot(0, "/nowhere/at/all");
	backup(&first);
	cr_assert(knows(&first));
	close_snapshot(0);
	open_snapshot(0, NULL);
}

/* ---- the file --------------------------------------------------------------------------- */

#define CHUNKS 100u

static struct hvsi_changes changes_of(struct hvsi_chunkmap *map, int image_fd)
{
	return (struct hvsi_changes){
		.backup = first, .bytes = CHUNKS * CHUNK, .image_fd = image_fd, .map = map};
}

Test(snapshot_changes, no_bit_of_the_file_can_be_changed)
{
	struct hvsi_chunkmap *map = hvsi_chunkmap_new(CHUNKS);
	struct hvsi_chunkmap *read_map = hvsi_chunkmap_new(CHUNKS);
	struct hvsi_changes written = changes_of(map, -1);
	struct hvsi_changes got = changes_of(read_map, -1);
	uint8_t data[128 + 16];
	int fd;

	hvsi_chunkmap_set(map, 60, 10);
	cr_assert_eq(hvsi_changes_write(changes, &written), 0);
	fd = open(changes, O_RDONLY);
	cr_assert_eq(read(fd, data, sizeof(data)), sizeof(data));
	cr_assert_eq(read(fd, data, 1), 0);
	cr_assert_eq(pread(fd, data, sizeof(data), 0), sizeof(data));
	close(fd);
	cr_assert_arr_eq(data, "HVSCBT01", 8);
	for (unsigned i = 0; i < 8 * sizeof(data); i++) {
		data[i / 8] ^= (uint8_t)(1u << i % 8);
		cr_assert_eq(hvsi_changes_parse(data, sizeof(data), &got), -EBADMSG);
		data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (size_t len = 0; len < sizeof(data); len++)
		cr_assert_eq(hvsi_changes_parse(data, len, &got), -EBADMSG);
	got.backup = second;
	cr_assert_eq(hvsi_changes_take(changes, &got), 0);
	cr_assert_arr_eq(got.backup.b, first.b, sizeof(first.b));
	cr_assert_eq(hvsi_chunkmap_find(read_map, 0, CHUNKS, true), 60);
	cr_assert_eq(hvsi_chunkmap_find(read_map, 60, CHUNKS, false), 70);
	cr_assert_eq(hvsi_chunkmap_find(read_map, 70, CHUNKS, true), CHUNKS);
	cr_assert_eq(hvsi_changes_take(changes, &got), -ENOENT);
	free(map);
	free(read_map);
}

Test(snapshot_changes, an_image_that_somebody_has_changed_has_none)
{
	struct hvsi_chunkmap *map = hvsi_chunkmap_new(CHUNKS);
	char image[64];
	struct hvsi_changes c;
	int fd;

	snprintf(image, sizeof(image), "%s.img", changes);
	fd = open(image, O_RDWR | O_CREAT, 0600);
	c = changes_of(map, fd);
	cr_assert_eq(hvsi_changes_write(changes, &c), 0);
	cr_assert_eq(hvsi_changes_take(changes, &c), 0);
	cr_assert_eq(hvsi_changes_write(changes, &c), 0);
	cr_assert_eq(futimens(fd, (const struct timespec[2]){{1, 0}, {1, 0}}), 0);
	cr_assert_eq(hvsi_changes_take(changes, &c), -EBADMSG, "even with the old time");
	close(fd);
	cr_assert_eq(unlink(image), 0);
	free(map);
}

Test(snapshot_changes, what_is_no_file_is_none)
{
	struct hvsi_chunkmap *map = hvsi_chunkmap_new(CHUNKS);
	struct hvsi_changes c = changes_of(map, -1);

	cr_assert_eq(mkdir(changes, 0700), 0);
	cr_assert_lt(hvsi_changes_take(changes, &c), 0);
	cr_assert_lt(hvsi_changes_write(changes, &c), 0);
	cr_assert_eq(rmdir(changes), 0);
	cr_assert_eq(mkfifo(changes, 0600), 0);
	cr_assert_eq(hvsi_changes_take(changes, &c), -EBADMSG, "and it does not wait for a writer");
	cr_assert_eq(hvsi_chunkmap_find(map, 0, CHUNKS, true), CHUNKS);
	free(map);
}

/* ---- maps ------------------------------------------------------------------------------- */

Test(snapshot_changes, maps_find_and_merge_as_a_list_of_bits_does)
{
	enum { MAX = 300 };
	struct rng rng = {42};

	for (unsigned round = 0; round < 300; round++) {
		const uint64_t chunks = 1 + rng_below(&rng, MAX);
		struct hvsi_chunkmap *map = hvsi_chunkmap_new(chunks);
		struct hvsi_chunkmap *sum = hvsi_chunkmap_new(chunks);
		bool bits[MAX] = {false};

		for (unsigned i = 0; i < 4; i++) {
			const uint64_t at = rng_below(&rng, (uint32_t)chunks);
			const uint64_t count = 1 + rng_below(&rng, (uint32_t)(chunks - at));

			hvsi_chunkmap_set(i % 2 ? map : sum, at, count);
			for (uint64_t b = at; b < at + count; b++)
				bits[b] = true;
		}
		hvsi_chunkmap_merge(sum, map);
		for (uint64_t from = 0; from < chunks; from++)
			for (unsigned value = 0; value < 2; value++) {
				uint64_t wanted = from;

				while (wanted < chunks && bits[wanted] != (value == 1))
					wanted++;
				cr_assert_eq(hvsi_chunkmap_find(sum, from, chunks, value == 1),
					     wanted);
			}
		free(map);
		free(sum);
	}
}
