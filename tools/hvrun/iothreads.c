/* SPDX-License-Identifier: MIT */
#include "iothreads.h"

#include "report.h"

#include <event2/event.h>
#include <hvstack/host/loop.h>
#include <hvstack/worker.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct iothread {
	struct event_base *base;
	struct hvs_loop *loop;
	pthread_t thread;
	bool running;
};

struct iothreads {
	struct hvs_worker **workers;
	size_t count;
	struct iothread thread[];
};

static int make(struct iothread *t, struct hvs_vmbus *bus, struct hvs_worker **worker)
{
	int err;

	t->base = event_base_new();
	if (!t->base)
		return report(HVRUN_VMM_ERROR, "cannot make the event loop of an I/O thread");
	err = hvs_loop_create(t->base, &t->loop);
	if (!err)
		err = hvs_worker_create(bus, t->loop, worker);
	if (err)
		return report(HVRUN_VMM_ERROR, "cannot make an I/O thread: %s", strerror(-err));
	hvs_loop_set_worker(t->loop, *worker);
	return 0;
}

int iothreads_create(struct hvs_vmbus *bus, size_t count, struct iothreads **out)
{
	struct iothreads *threads =
		calloc(1, sizeof(*threads) + count * sizeof(threads->thread[0]));
	int status = 0;

	if (threads)
		threads->workers = calloc(count ? count : 1, sizeof(struct hvs_worker *));
	if (!threads || !threads->workers) {
		free(threads);
		return report(HVRUN_VMM_ERROR, "out of memory");
	}
	*out = threads;
	while (!status && threads->count < count) {
		status = make(&threads->thread[threads->count], bus,
			      &threads->workers[threads->count]);
		threads->count++; /* also if it failed: to be freed */
	}
	return status;
}

static void *run(void *arg)
{
	struct iothread *t = arg;

	event_base_loop(t->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

int iothreads_start(struct iothreads *threads)
{
	for (size_t i = 0; i < threads->count; i++) {
		struct iothread *t = &threads->thread[i];
		int err = pthread_create(&t->thread, NULL, run, t);

		if (err)
			return report(HVRUN_VMM_ERROR, "cannot start an I/O thread: %s",
				      strerror(err));
		t->running = true;
		pthread_setname_np(t->thread, "hvrun-io");
	}
	return 0;
}

void iothreads_stop(struct iothreads *threads)
{
	for (size_t i = 0; i < threads->count; i++) {
		struct iothread *t = &threads->thread[i];

		if (!t->running)
			continue;
		event_base_loopbreak(t->base);
		pthread_join(t->thread, NULL);
		t->running = false;
	}
}

void iothreads_destroy(struct iothreads *threads)
{
	if (!threads)
		return;
	for (size_t i = 0; i < threads->count; i++) {
		hvs_loop_destroy(threads->thread[i].loop);
		if (threads->thread[i].base)
			event_base_free(threads->thread[i].base);
	}
	free(threads->workers);
	free(threads);
}

size_t iothreads_count(const struct iothreads *threads)
{
	return threads->count;
}

struct event_base *iothreads_base(const struct iothreads *threads, size_t index)
{
	return threads->thread[index].base;
}

struct hvs_worker *const *iothreads_workers(const struct iothreads *threads)
{
	return threads->count ? threads->workers : NULL;
}
