/* SPDX-License-Identifier: MIT */
/*
 * Several workers use one NBD disk at the same time, and cancel some of their requests: each
 * completes once, and each worker reads what it wrote.
 */
#include <assert.h>
#include <hvstack/host/nbddisk.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 4u
#define ROUNDS 150u
#define BATCH 40u
#define LEN 4096u

struct io {
	struct hvs_blk_req req;
	struct iovec iov;
	atomic_uint completions;
	enum hvs_blk_status status;
	struct worker *worker;
	uint8_t buf[LEN];
};

struct worker {
	unsigned index;
	unsigned aborted;
	unsigned outstanding;
	pthread_mutex_t lock;
	pthread_cond_t none;
	struct io ios[BATCH];
	uint8_t written[BATCH]; /* what each block is filled with */
};

static struct hvs_nbddisk *disk;
static struct worker workers[WORKERS];

static void on_done(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	struct io *io = (struct io *)req;
	struct worker *worker = io->worker;

	assert(atomic_fetch_add(&io->completions, 1) == 0);
	pthread_mutex_lock(&worker->lock);
	io->status = status;
	if (--worker->outstanding == 0)
		pthread_cond_signal(&worker->none);
	pthread_mutex_unlock(&worker->lock);
}

static void run_batch(struct worker *worker, enum hvs_blk_op op, bool cancel)
{
	worker->outstanding = BATCH;
	for (unsigned i = 0; i < BATCH; i++) {
		struct io *io = &worker->ios[i];

		io->worker = worker;
		io->iov = (struct iovec){io->buf, LEN};
		io->req = (struct hvs_blk_req){
			HVS_BLK_REQ_INIT,
			.op = op,
			.queue = worker->index,
			.offset = ((uint64_t)worker->index * BATCH + i) * LEN,
			.len = LEN,
			.iov = &io->iov,
			.iovcnt = 1,
			.done = on_done,
		};
		atomic_store(&io->completions, 0);
		hvs_nbddisk_ops()->submit(disk, &io->req);
		if (i % 7 == 0)
			hvs_nbddisk_ops()->commit(disk, worker->index);
	}
	hvs_nbddisk_ops()->commit(disk, worker->index);
	if (cancel)
		for (unsigned i = 0; i < BATCH; i += 3)
			hvs_nbddisk_ops()->cancel(disk, &worker->ios[i].req);
	pthread_mutex_lock(&worker->lock);
	while (worker->outstanding > 0)
		pthread_cond_wait(&worker->none, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < BATCH; i++)
			memset(worker->ios[i].buf, (int)(uint8_t)(round + i), LEN);
		run_batch(worker, HVS_BLK_WRITE, round % 2);
		for (unsigned i = 0; i < BATCH; i++) {
			assert(atomic_load(&worker->ios[i].completions) == 1);
			if (worker->ios[i].status == HVS_BLK_OK)
				worker->written[i] = (uint8_t)(round + i);
			else
				assert(worker->ios[i].status == HVS_BLK_ABORTED);
			worker->aborted += worker->ios[i].status == HVS_BLK_ABORTED;
		}
		run_batch(worker, HVS_BLK_READ, false);
		for (unsigned i = 0; i < BATCH; i++) {
			assert(worker->ios[i].status == HVS_BLK_OK);
			assert(worker->ios[i].buf[0] == worker->written[i]);
			assert(worker->ios[i].buf[LEN - 1] == worker->written[i]);
		}
	}
	return NULL;
}

int main(void)
{
	char path[] = "/tmp/hvs-nbdthreads-XXXXXX";
	const struct hvs_nbddisk_config cfg = {HVS_NBDDISK_CONFIG_INIT, .image = path,
					       .format = "raw"};
	pthread_t threads[WORKERS];
	unsigned aborted = 0;
	char why[256] = "";
	int fd = mkstemp(path);
	int err;

	assert(fd >= 0 && ftruncate(fd, (off_t)WORKERS * BATCH * LEN) == 0);
	close(fd);
	err = hvs_nbddisk_open(&cfg, &disk, why, sizeof(why));
	if (err)
		fprintf(stderr, "%s\n", why);
	unlink(path);
	assert(err == 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].index = i;
		pthread_mutex_init(&workers[i].lock, NULL);
		pthread_cond_init(&workers[i].none, NULL);
		if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
			return 1;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		aborted += workers[i].aborted;
	}
	hvs_nbddisk_close(disk);
	printf("%u of %u writes cancelled\n", aborted, WORKERS * ROUNDS * BATCH);
	return 0;
}
