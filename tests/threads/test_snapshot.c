/* SPDX-License-Identifier: MIT */
/*
 * Two disks in files under the filter, with several queues. A thread for each queue writes number after
 * number to a chunk of its own on the first disk, then to one on the second, each after the one before is
 * completed, and between them wherever it likes. Meanwhile points in time of both are taken: on the
 * second disk there is never a number that is not on the first, and what a point holds stays the same
 * however often it is read.
 *
 * Then the same over disks that have no room now and then, as long as there is a point: no write fails.
 */
#include <hvstack/host/filedisk.h>
#include <hvstack/host/snapshot.h>

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define QUEUES 3u
#define DISKS 2u
#define POINTS 40u
#define CHUNK ((uint64_t)HVS_SNAPSHOT_CHUNK)
#define NOISE_CHUNKS 24u
#define BYTES ((QUEUES + NOISE_CHUNKS) * CHUNK)
#define LEN 4096u

static char path[DISKS][64];
static struct hvs_filedisk *file[DISKS];
static struct hvs_snapshot *snap[DISKS];
static struct event_base *main_base;
static atomic_bool stop;

struct request {
	struct hvs_blk_req req; /* first */
	struct iovec iov;
	uint64_t data[LEN / 8];
	atomic_bool *finished;
};

static struct queue {
	struct event_base *base;
	pthread_t thread;
	uint32_t index;
	uint64_t random;
	atomic_uint outstanding;
} queues[QUEUES];

static void done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	const struct request *r = (struct request *)req;

	assert(status == HVS_BLK_OK);
	assert(!atomic_exchange(r->finished, true));
}

static void submit(struct queue *q, struct request *r, unsigned disk, enum hvs_blk_op op,
		   uint64_t offset, uint64_t number, atomic_bool *finished)
{
	for (unsigned i = 0; i < LEN / 8; i++)
		r->data[i] = number;
	atomic_store(finished, false);
	r->finished = finished;
	r->iov = (struct iovec){r->data, LEN};
	r->req = (struct hvs_blk_req){HVS_BLK_REQ_INIT,
				      .op = op,
				      .queue = q->index,
				      .iov = &r->iov,
				      .iovcnt = op == HVS_BLK_WRITE ? 1 : 0,
				      .offset = offset,
				      .len = LEN,
				      .done = done};
	hvs_snapshot_ops()->submit(snap[disk], &r->req);
	hvs_snapshot_ops()->commit(snap[disk], q->index);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void wait_for(struct queue *q, atomic_bool *finished)
{
	while (!atomic_load(finished))
		event_base_loop(q->base, EVLOOP_ONCE);
}

static uint32_t below(struct queue *q, uint32_t n)
{
	q->random = q->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((q->random >> 33) % n);
}

static void *run_queue(void *arg)
{
	struct queue *q = arg;
	const struct timeval ms = {.tv_usec = 1000};
	struct event *timer = event_new(q->base, -1, EV_PERSIST, tick, NULL);
	static struct request requests[QUEUES][2];
	struct request *r = requests[q->index];
	atomic_bool finished[2];

	event_add(timer, &ms);
	for (uint64_t number = 1; !atomic_load(&stop); number++) {
		const uint64_t far = (QUEUES + below(q, NOISE_CHUNKS)) * CHUNK + below(q, 16) * LEN;

		submit(q, &r[1], below(q, DISKS),
		       below(q, 3) ? HVS_BLK_WRITE : HVS_BLK_WRITE_ZEROES, far, number,
		       &finished[1]);
		for (unsigned disk = 0; disk < DISKS; disk++) {
			submit(q, &r[0], disk, HVS_BLK_WRITE, q->index * CHUNK, number,
			       &finished[0]);
			wait_for(q, &finished[0]);
		}
		wait_for(q, &finished[1]);
	}
	event_free(timer);
	return NULL;
}

/* Can files of this folder be cloned? */
static bool can_clone(void)
{
	char from[] = "./hvs-threads-XXXXXX";
	char to[] = "./hvs-threads-XXXXXX";
	const int fds[] = {mkstemp(from), mkstemp(to)};
	bool can;

	assert(fds[0] >= 0 && fds[1] >= 0 && write(fds[0], "x", 1) == 1);
	can = ioctl(fds[1], FICLONE, fds[0]) == 0;
	close(fds[0]);
	close(fds[1]);
	unlink(from);
	unlink(to);
	return can;
}

/* ---- points ----------------------------------------------------------------------------- */

static enum hvs_point_event happened;

static void on_event(void *arg, struct hvs_point *p, enum hvs_point_event event, int status)
{
	(void)arg;
	(void)p;
	assert(status == 0);
	happened = event;
}

static void wait_for_point(enum hvs_point_event event)
{
	while (happened != event)
		event_base_loop(main_base, EVLOOP_ONCE);
}

static void check_point(struct hvs_point *p)
{
	static uint8_t first[DISKS][BYTES];
	static uint8_t again[BYTES];

	for (unsigned disk = 0; disk < DISKS; disk++)
		assert(hvs_point_read(p, disk, 0, first[disk], BYTES) == 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		uint64_t number[DISKS];

		for (unsigned disk = 0; disk < DISKS; disk++) {
			memcpy(&number[disk], first[disk] + q * CHUNK, sizeof(number[0]));
			/* No write is torn: none was under way. */
			for (unsigned i = 0; i < LEN; i += 8)
				assert(memcmp(first[disk] + q * CHUNK + i, &number[disk], 8) == 0);
		}
		assert(number[0] == number[1] || number[0] == number[1] + 1);
	}
	for (unsigned disk = 0; disk < DISKS; disk++) {
		assert(hvs_point_read(p, disk, 0, again, BYTES) == 0);
		assert(memcmp(first[disk], again, BYTES) == 0);
	}
}

static void take_points(uint32_t flags)
{
	const bool clone = can_clone() && !(flags & HVS_POINT_NO_CLONE);

	for (unsigned i = 0; i < POINTS; i++) {
		const struct hvs_point_config cfg = {HVS_POINT_CONFIG_INIT, .flags = flags,
						     .count = DISKS,        .drain_ms = 600000,
						     .disks = snap,         .base = main_base,
						     .event = on_event};
		struct hvs_point *p;

		happened = 0;
		assert(hvs_point_create(&cfg, &p) == 0);
		wait_for_point(HVS_POINT_PREPARED);
		assert(hvs_point_take(p) == 0);
		wait_for_point(HVS_POINT_TAKEN);
		assert(hvs_point_is_clone(p, 0) == clone && hvs_point_is_clone(p, 1) == clone);
		if (i % 4 == 3)
			hvs_point_abort(p);
		else
			check_point(p);
		hvs_point_release(p, i % 2 ? &(struct hvs_guid){{1}} : NULL);
	}
}

/* ---- without room ----------------------------------------------------------------------- */

#define FULL_POINTS 200u

/* It keeps nothing. */
static struct full {
	pthread_mutex_t mutex;
	bool is_full;
	atomic_uint refused;
	const struct hvs_blk_req *again[QUEUES]; /* was refused: the next time there is room */
} full = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int full_info(void *disk, struct hvs_blk_info *info)
{
	(void)disk;
	info->flags = HVS_BLK_INFO_WRITE_ZEROES;
	info->block_size = 512;
	info->physical_block_size = 512;
	info->num_blocks = BYTES / 512;
	info->max_queues = HVS_BLK_ANY_QUEUE;
	return 0;
}

static void full_submit(void *disk, struct hvs_blk_req *req)
{
	const struct hvs_blk_req **again = &full.again[req->queue];

	(void)disk;
	if (req->op == HVS_BLK_READ) {
		memset(req->iov[0].iov_base, 0, req->len);
		hvs_blk_complete(req, HVS_BLK_OK);
		return;
	}
	pthread_mutex_lock(&full.mutex);
	if (full.is_full && !*again && below(&queues[req->queue], 4) == 0) {
		*again = req;
		hvs_blk_complete(req, HVS_BLK_NO_SPACE);
		atomic_fetch_add(&full.refused, 1);
		pthread_mutex_unlock(&full.mutex);
		return;
	}
	pthread_mutex_unlock(&full.mutex);
	if (*again == req)
		*again = NULL;
	hvs_blk_complete(req, HVS_BLK_OK);
}

static void set_full(bool is_full)
{
	pthread_mutex_lock(&full.mutex);
	full.is_full = is_full;
	pthread_mutex_unlock(&full.mutex);
}

static void take_points_without_room(void)
{
	static uint8_t buf[CHUNK];

	for (unsigned i = 0; i < FULL_POINTS; i++) {
		const struct hvs_point_config cfg = {HVS_POINT_CONFIG_INIT, .count = DISKS,
						     .drain_ms = 600000,    .disks = snap,
						     .base = main_base,     .event = on_event};
		const unsigned refused = atomic_load(&full.refused);
		struct hvs_point *p;

		happened = 0;
		assert(hvs_point_create(&cfg, &p) == 0);
		wait_for_point(HVS_POINT_PREPARED);
		assert(hvs_point_take(p) == 0);
		wait_for_point(HVS_POINT_TAKEN);
		set_full(true);
		while (atomic_load(&full.refused) == refused)
			usleep(100);
		set_full(false);
		assert(hvs_point_read(p, 0, 0, buf, CHUNK) == -ENOSPC);
		hvs_point_release(p, NULL);
	}
}

static void run_without_room(void)
{
	static const struct hvs_blk_ops ops = {HVS_BLK_OPS_INIT, .get_info = full_info,
					       .submit = full_submit};
	struct event_base *bases[QUEUES];

	for (unsigned i = 0; i < QUEUES; i++) {
		bases[i] = event_base_new();
		queues[i] = (struct queue){.base = bases[i], .index = i, .random = i};
	}
	main_base = event_base_new();
	for (unsigned i = 0; i < DISKS; i++) {
		const struct hvs_snapshot_config cfg = {HVS_SNAPSHOT_CONFIG_INIT, .ops = &ops,
							.bases = bases, .base_count = QUEUES,
							.dir = "."};

		assert(hvs_snapshot_create(&cfg, &snap[i]) == 0);
	}
	atomic_store(&stop, false);
	for (unsigned i = 0; i < QUEUES; i++)
		assert(pthread_create(&queues[i].thread, NULL, run_queue, &queues[i]) == 0);
	take_points_without_room();
	atomic_store(&stop, true);
	for (unsigned i = 0; i < QUEUES; i++)
		pthread_join(queues[i].thread, NULL);
	for (unsigned i = 0; i < DISKS; i++)
		hvs_snapshot_destroy(snap[i]);
	for (unsigned i = 0; i < QUEUES; i++)
		event_base_free(bases[i]);
	event_base_free(main_base);
}

/* ---- set-up ----------------------------------------------------------------------------- */

static void open_disk(unsigned n, struct event_base *const *bases, uint32_t flags)
{
	const struct hvs_filedisk_config cfg = {HVS_FILEDISK_CONFIG_INIT, .path = path[n],
						.bases = bases, .base_count = QUEUES,
						.flags = flags};
	struct hvs_snapshot_config snap_cfg = {HVS_SNAPSHOT_CONFIG_INIT, .ops = hvs_filedisk_ops(),
					       .bases = bases, .base_count = QUEUES, .dir = "."};
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

static void run(uint32_t file_flags, uint32_t point_flags)
{
	struct event_base *bases[QUEUES];

	for (unsigned i = 0; i < QUEUES; i++) {
		bases[i] = event_base_new();
		queues[i] = (struct queue){.base = bases[i], .index = i, .random = i};
	}
	main_base = event_base_new();
	for (unsigned i = 0; i < DISKS; i++)
		open_disk(i, bases, file_flags);
	atomic_store(&stop, false);
	for (unsigned i = 0; i < QUEUES; i++)
		assert(pthread_create(&queues[i].thread, NULL, run_queue, &queues[i]) == 0);
	take_points(point_flags);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < QUEUES; i++)
		pthread_join(queues[i].thread, NULL);
	for (unsigned i = 0; i < DISKS; i++) {
		hvs_snapshot_destroy(snap[i]);
		hvs_filedisk_close(file[i]);
		unlink(path[i]);
	}
	for (unsigned i = 0; i < QUEUES; i++)
		event_base_free(bases[i]);
	event_base_free(main_base);
}

int main(void)
{
	evthread_use_pthreads();
	run(0, HVS_POINT_NO_CLONE);
	run(HVS_FILEDISK_THREADS, HVS_POINT_NO_CLONE);
	/* Clones, where the file system of this folder has them: else, this is the first again. */
	run(0, 0);
	run_without_room();
	return 0;
}
