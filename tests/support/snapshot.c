/* SPDX-License-Identifier: MIT */
#include "support/snapshot.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct event_base *base;
struct ramdisk ram[DISKS];
struct hvs_snapshot *snap[DISKS];
char dir[] = "/tmp/hvs-snapshot-XXXXXX";
char changes[sizeof(dir) + 16];
struct hvs_point *point;
int point_status;
enum hvs_point_event point_has;

void open_snapshot(unsigned disk, const char *changes_path)
{
	struct event_base *const bases[QUEUES] = {base, base};
	const struct hvs_snapshot_config cfg = {HVS_SNAPSHOT_CONFIG_INIT,    .ops = &ramdisk_ops,
						.disk = &ram[disk],          .bases = bases,
						.base_count = QUEUES,        .dir = dir,
						.changes_path = changes_path};

	cr_assert_eq(hvs_snapshot_create(&cfg, &snap[disk]), 0);
}

void close_snapshot(unsigned disk)
{
	hvs_snapshot_destroy(snap[disk]);
	snap[disk] = NULL;
}

void snapshot_setup(void)
{
	base = event_base_new();
	cr_assert(mkdtemp(dir));
	snprintf(changes, sizeof(changes), "%s/cbt", dir);
	for (unsigned i = 0; i < DISKS; i++) {
		ramdisk_init(&ram[i], BYTES);
		open_snapshot(i, NULL);
	}
}

void snapshot_teardown(void)
{
	hvs_point_release(point, NULL);
	point = NULL;
	for (unsigned i = 0; i < DISKS; i++) {
		close_snapshot(i);
		ramdisk_fini(&ram[i]);
	}
	event_base_free(base);
	(void)unlink(changes);
	cr_assert_eq(rmdir(dir), 0, "a file was left behind");
}

static void done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct io *io = (struct io *)req;

	io->status = status;
	cr_assert_eq(++io->completions, 1, "a request completed twice");
}

void start(struct io *io, unsigned disk, enum hvs_blk_op op, uint64_t offset, uint64_t len,
	   uint8_t byte)
{
	const bool transfer = op == HVS_BLK_READ || op == HVS_BLK_WRITE;

	cr_assert(len <= sizeof(io->data) || !transfer);
	memset(io->data, byte, transfer ? len : 0);
	io->completions = 0;
	io->iov = (struct iovec){io->data, len};
	io->req = (struct hvs_blk_req){HVS_BLK_REQ_INIT,
				       .op = op,
				       .queue = (uint32_t)(offset / CHUNK % QUEUES),
				       .iov = &io->iov,
				       .iovcnt = transfer ? 1 : 0,
				       .offset = offset,
				       .len = len,
				       .done = done};
	hvs_snapshot_ops()->submit(snap[disk], &io->req);
	hvs_snapshot_ops()->commit(snap[disk], io->req.queue);
}

void turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

void wait_for(const struct io *io)
{
	while (io->completions == 0)
		event_base_loop(base, EVLOOP_ONCE);
}

void do_one(unsigned disk, enum hvs_blk_op op, uint64_t offset, uint64_t len, uint8_t byte)
{
	struct io *io = malloc(sizeof(*io));

	cr_assert(io);
	start(io, disk, op, offset, len, byte);
	wait_for(io);
	cr_assert_eq(io->status, HVS_BLK_OK);
	free(io);
}

static void on_point(void *arg, struct hvs_point *p, enum hvs_point_event event, int status)
{
	(void)arg;
	cr_assert_eq(p, point);
	point_has = event;
	point_status = status;
}

void wait_for_point(enum hvs_point_event event)
{
	while (point_has != event)
		event_base_loop(base, EVLOOP_ONCE);
}

void prepare_point(uint32_t count, uint32_t flags)
{
	const struct hvs_point_config cfg = {
		HVS_POINT_CONFIG_INIT, .flags = flags,    .count = count,    .disks = snap,
		.base = base,          .event = on_point, .drain_ms = 600000};

	point_has = 0;
	cr_assert_eq(hvs_point_create(&cfg, &point), 0);
	wait_for_point(HVS_POINT_PREPARED);
	cr_assert_eq(point_status, 0);
}

void take_point(uint32_t count, uint32_t flags)
{
	prepare_point(count, flags);
	cr_assert_eq(hvs_point_take(point), 0);
	wait_for_point(HVS_POINT_TAKEN);
	cr_assert_eq(point_status, 0);
}

void read_point(unsigned disk, uint8_t *data)
{
	cr_assert_eq(hvs_point_bytes(point, disk), BYTES);
	for (uint64_t at = 0; at < BYTES; at += CHUNK)
		cr_assert_eq(hvs_point_read(point, disk, at, data + at,
					    BYTES - at < CHUNK ? BYTES - at : CHUNK),
			     0);
}
