/* SPDX-License-Identifier: MIT */
/*
 * Backups of two disks in files while a thread writes to them: a full one and a chain of incremental ones.
 * The thread writes number after number, each to the first disk and, when that is completed, to the second.
 * What the chain restores to has, after each backup, the same number on both, or one that is one higher on
 * the first; and the numbers do not go back.
 */
#include <hvstack/host/backup.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/snapshot.h>

#include <assert.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISKS 2u
#define BACKUPS 12u
#define BYTES (64ull * HVS_SNAPSHOT_CHUNK)
#define LEN 4096u
#define NUMBERS (BYTES / LEN) /* places for them */

static char path[DISKS][64];
static struct hvs_filedisk *file[DISKS];
static struct hvs_snapshot *snap[DISKS];
static struct event_base *disk_base;
static struct event_base *main_base;
static atomic_bool stop;
static atomic_bool begun; /* one number is on both disks */
static bool finished;     /* on the thread that writes */

static void done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	(void)req;
	assert(status == HVS_BLK_OK);
	finished = true;
}

static void write_number(unsigned disk, uint64_t number)
{
	uint64_t data[LEN / 8];
	const struct iovec iov = {data, LEN};
	struct hvs_blk_req req = {HVS_BLK_REQ_INIT,
				  .op = HVS_BLK_WRITE,
				  .iov = &iov,
				  .iovcnt = 1,
				  .offset = number % NUMBERS * LEN,
				  .len = LEN,
				  .done = done};

	for (unsigned i = 0; i < LEN / 8; i++)
		data[i] = number;
	finished = false;
	hvs_snapshot_ops()->submit(snap[disk], &req);
	hvs_snapshot_ops()->commit(snap[disk], 0);
	while (!finished)
		event_base_loop(disk_base, EVLOOP_ONCE);
}

static void *run_writer(void *arg)
{
	(void)arg;
	for (uint64_t number = 1; !atomic_load(&stop); number++) {
		for (unsigned disk = 0; disk < DISKS; disk++)
			write_number(disk, number);
		atomic_store(&begun, true);
	}
	return NULL;
}

/* ---- backups ---------------------------------------------------------------------------- */

static bool ended;

static void on_ended(void *arg, struct hvs_backup *b, const struct hvs_backup_result *r)
{
	*(struct hvs_guid *)arg = *hvs_backup_id(b);
	if (r->status)
		fprintf(stderr, "%s\n", r->message);
	assert(r->status == 0 && r->manifest);
	ended = true;
}

/* Apply a backup to what there was. */
static void restore(int image, int map, uint8_t *to)
{
	FILE *lines = fdopen(map, "r");
	char line[128];

	assert(lines);
	rewind(lines);
	while (fgets(line, sizeof(line), lines)) {
		char *rest;
		const uint64_t offset = strtoull(line, &rest, 10);
		const uint64_t len = strtoull(rest, &rest, 10);

		assert(offset + len <= BYTES);
		if (strcmp(rest, " zero\n") == 0)
			memset(to + offset, 0, len);
		else
			assert(pread(image, to + offset, len, (off_t)offset) == (ssize_t)len);
	}
	fclose(lines);
	close(image);
}

static uint64_t highest(const uint8_t *disk)
{
	uint64_t most = 0;

	for (uint64_t place = 0; place < NUMBERS; place++) {
		uint64_t number[2];

		memcpy(&number[0], disk + place * LEN, 8);
		memcpy(&number[1], disk + (place + 1) * LEN - 8, 8);
		assert(number[0] == number[1]);
		most = number[0] > most ? number[0] : most;
	}
	return most;
}

static void take_backups(void)
{
	static uint8_t restored[DISKS][BYTES];
	uint64_t before = 1;
	struct hvs_guid id;

	for (unsigned round = 0; round < BACKUPS; round++) {
		struct hvs_backup_disk disks[DISKS];
		struct hvs_backup_config cfg = {HVS_BACKUP_CONFIG_INIT,
						.base = main_base,
						.disks = disks,
						.disk_count = DISKS,
						.consistency = HVS_BACKUP_CRASH,
						.flags = HVS_POINT_NO_CLONE,
						.parent = round ? &id : NULL,
						.ended = on_ended,
						.arg = &id};
		struct hvs_backup *backup;
		uint64_t most[DISKS];

		for (unsigned i = 0; i < DISKS; i++)
			disks[i] = (struct hvs_backup_disk){
				.id = i ? "second" : "first",
				.snapshot = snap[i],
				.image_fd = open(".", O_TMPFILE | O_RDWR, 0600),
				.map_fd = open(".", O_TMPFILE | O_RDWR, 0600)};
		ended = false;
		assert(hvs_backup_start(&cfg, &backup) == 0);
		while (!ended)
			event_base_loop(main_base, EVLOOP_ONCE);
		for (unsigned i = 0; i < DISKS; i++) {
			restore(disks[i].image_fd, disks[i].map_fd, restored[i]);
			most[i] = highest(restored[i]);
		}
		assert(most[0] == most[1] || most[0] == most[1] + 1);
		assert(most[0] >= before);
		before = most[0];
	}
}

static void open_disk(unsigned n)
{
	const struct hvs_filedisk_config cfg = {HVS_FILEDISK_CONFIG_INIT, .path = path[n],
						.base = disk_base};
	struct hvs_snapshot_config snap_cfg = {HVS_SNAPSHOT_CONFIG_INIT, .ops = hvs_filedisk_ops(),
					       .base = disk_base, .dir = "."};
	const char *why;
	int fd;

	strcpy(path[n], "./hvs-threads-XXXXXX");
	fd = mkstemp(path[n]);
	assert(fd >= 0 && ftruncate(fd, BYTES) == 0);
	close(fd);
	assert(hvs_filedisk_open(&cfg, &file[n], &why) == 0);
	snap_cfg.disk = file[n];
	assert(hvs_snapshot_create(&snap_cfg, &snap[n]) == 0);
}

int main(void)
{
	pthread_t writer;

	evthread_use_pthreads();
	disk_base = event_base_new();
	main_base = event_base_new();
	for (unsigned i = 0; i < DISKS; i++)
		open_disk(i);
	assert(pthread_create(&writer, NULL, run_writer, NULL) == 0);
	while (!atomic_load(&begun))
		sched_yield();
	take_backups();
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	for (unsigned i = 0; i < DISKS; i++) {
		hvs_snapshot_destroy(snap[i]);
		hvs_filedisk_close(file[i]);
		unlink(path[i]);
	}
	event_base_free(disk_base);
	event_base_free(main_base);
	return 0;
}
