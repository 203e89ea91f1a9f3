/* SPDX-License-Identifier: MIT */
/*
 * A file disk with several queues: each thread runs the base of one, reads and writes an area of
 * its own and looks at what it reads, while another thread changes the size of the file behind the
 * areas, makes it read-only and measures it.
 */
#include <hvstack/host/filedisk.h>

#include <assert.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUES 3u
#define DEPTH 8u
#define ROUNDS 400u
#define LEN 4096u
#define AREA (DEPTH * LEN)
#define END (QUEUES * AREA) /* of what the threads use for sure */

static char path[] = "/tmp/hvs-threads-XXXXXX";
static struct hvs_filedisk *disk;
static atomic_bool stop;

struct request {
	struct hvs_blk_req req; /* first */
	struct iovec iov;
	uint8_t data[LEN];
	uint8_t wanted; /* in data after a read */
	struct queue *queue;
	atomic_bool finished;
};

static struct queue {
	struct event_base *base;
	pthread_t thread;
	uint32_t index;
	struct request requests[DEPTH];
	atomic_uint outstanding; /* may be completed elsewhere */
} queues[QUEUES];

/* Only what lies behind the areas, and writes while the disk is read-only, may fail. */
static void done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct request *r = (struct request *)req;
	const bool read = req->op == HVS_BLK_READ;

	if (req->offset >= END)
		assert(status == HVS_BLK_OK || status == HVS_BLK_RANGE ||
		       status == HVS_BLK_READ_ONLY);
	else if (status != HVS_BLK_OK)
		assert(status == (read ? HVS_BLK_ABORTED : HVS_BLK_READ_ONLY));
	else if (read)
		assert(r->data[0] == r->wanted && r->data[LEN - 1] == r->wanted);
	else
		r->wanted = req->op == HVS_BLK_WRITE ? r->data[0] : 0;
	assert(!atomic_exchange(&r->finished, true));
	atomic_fetch_sub(&r->queue->outstanding, 1);
}

static void batch(struct queue *q, unsigned round)
{
	static const enum hvs_blk_op ops[] = {HVS_BLK_WRITE, HVS_BLK_READ, HVS_BLK_WRITE_ZEROES,
					      HVS_BLK_READ};

	for (unsigned i = 0; i < DEPTH; i++) {
		struct request *r = &q->requests[i];
		const enum hvs_blk_op op = ops[(round + i) % 4];
		const bool transfer = op != HVS_BLK_WRITE_ZEROES;
		const bool far = i == 0 && op == HVS_BLK_WRITE && round % 2;

		memset(r->data, op == HVS_BLK_WRITE ? (int)(1 + (round + i) % 200) : 0, LEN);
		r->iov = (struct iovec){r->data, LEN};
		r->queue = q;
		r->req = (struct hvs_blk_req){
			HVS_BLK_REQ_INIT,
			.op = op,
			.flags = op == HVS_BLK_WRITE_ZEROES ? HVS_BLK_MAY_UNMAP : 0,
			.queue = q->index,
			.iov = &r->iov,
			.iovcnt = transfer ? 1 : 0,
			.offset = far ? END + q->index * LEN
				      : (uint64_t)q->index * AREA + (uint64_t)i * LEN,
			.len = LEN,
			.done = done,
		};
		atomic_store(&r->finished, false);
		atomic_fetch_add(&q->outstanding, 1);
		hvs_filedisk_ops()->submit(disk, &r->req);
	}
	hvs_filedisk_ops()->commit(disk, q->index);
	/* A read, so that it is known what is in the file. */
	if (round % 16 == 0 && !atomic_load(&q->requests[DEPTH - 1].finished))
		hvs_filedisk_ops()->cancel(disk, &q->requests[DEPTH - 1].req);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void *run_queue(void *arg)
{
	struct queue *q = arg;
	const struct timeval ms = {.tv_usec = 1000};
	struct event *timer = event_new(q->base, -1, EV_PERSIST, tick, NULL);

	event_add(timer, &ms);
	for (unsigned round = 0; round < ROUNDS; round++) {
		batch(q, round);
		while (atomic_load(&q->outstanding) > 0)
			event_base_loop(q->base, EVLOOP_ONCE);
	}
	event_free(timer);
	return NULL;
}

static void *change(void *arg)
{
	unsigned turn = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		struct hvs_blk_info info = {HVS_BLK_INFO_INIT};
		uint64_t bytes = turn++ % 2 ? END : 2 * END;

		assert(hvs_filedisk_resize(disk, bytes) == 0);
		assert(hvs_filedisk_ops()->get_info(disk, &info) == 0);
		assert(info.num_blocks * 512 == bytes);
		assert(hvs_filedisk_set_read_only(disk, turn % 3 == 0) == 0);
		usleep(100);
	}
	return NULL;
}

static void run(uint32_t flags)
{
	struct event_base *bases[QUEUES];
	struct hvs_filedisk_config cfg = {
		HVS_FILEDISK_CONFIG_INIT, .path = path,         .flags = flags,
		.bases = bases,           .base_count = QUEUES, .queue_depth = DEPTH / 2,
	};
	pthread_t changer;

	assert(truncate(path, 0) == 0 && truncate(path, END) == 0);
	memset(queues, 0, sizeof(queues));
	for (uint32_t i = 0; i < QUEUES; i++) {
		queues[i].index = i;
		queues[i].base = bases[i] = event_base_new();
	}
	assert(hvs_filedisk_open(&cfg, &disk, NULL) == 0);
	atomic_store(&stop, false);
	assert(pthread_create(&changer, NULL, change, NULL) == 0);
	for (uint32_t i = 0; i < QUEUES; i++)
		assert(pthread_create(&queues[i].thread, NULL, run_queue, &queues[i]) == 0);
	for (uint32_t i = 0; i < QUEUES; i++)
		pthread_join(queues[i].thread, NULL);
	atomic_store(&stop, true);
	pthread_join(changer, NULL);
	hvs_filedisk_close(disk);
	for (uint32_t i = 0; i < QUEUES; i++)
		event_base_free(bases[i]);
}

int main(void)
{
	int fd = mkstemp(path);

	assert(fd >= 0);
	close(fd);
	run(0);
	run(HVS_FILEDISK_THREADS);
	unlink(path);
	puts("passed");
	return 0;
}
