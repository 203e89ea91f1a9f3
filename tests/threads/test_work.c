/* SPDX-License-Identifier: MIT */
/* Many threads post the same work items; every post is followed by a run that sees its value. */
#include "util/work.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#define ITEMS 8
#define POSTERS 3
#define POSTS 100000

struct item {
	struct hvsi_work work;
	atomic_uint posted;
	unsigned seen;
};

static struct hvsi_work_queue queue;
static struct item items[ITEMS];
static atomic_uint posters_left = POSTERS;

static unsigned run(struct hvsi_work *work, unsigned budget)
{
	struct item *item = (struct item *)(void *)work;

	(void)budget;
	item->seen = atomic_load(&item->posted);
	return 1;
}

static void *poster(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	for (unsigned n = 0; n < POSTS; n++) {
		struct item *item = &items[i++ % ITEMS];

		atomic_fetch_add(&item->posted, 1);
		hvsi_work_push(&queue, &item->work);
	}
	atomic_fetch_sub(&posters_left, 1);
	return NULL;
}

int main(void)
{
	pthread_t threads[POSTERS];
	unsigned total = 0;
	unsigned runs = 0;

	for (unsigned i = 0; i < ITEMS; i++)
		hvsi_work_init(&items[i].work, run);
	for (uintptr_t i = 0; i < POSTERS; i++)
		if (pthread_create(&threads[i], NULL, poster, (void *)i) != 0)
			return 1;
	for (;;) {
		/* Asked before the queue is looked at: nothing can come after it then. */
		bool last = atomic_load(&posters_left) == 0;
		struct hvsi_work *work;

		while ((work = hvsi_work_pop(&queue)) != NULL) {
			work->run(work, 1);
			runs++;
		}
		if (last)
			break;
	}
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < ITEMS; i++) {
		assert(items[i].seen == atomic_load(&items[i].posted));
		total += items[i].seen;
	}
	assert(total == POSTERS * POSTS && runs <= total && hvsi_work_idle(&queue));
	printf("%u posts, %u runs\n", total, runs);
	return 0;
}
