/* SPDX-License-Identifier: MIT */
#include "support/runner.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

void runner_wake(struct runner *r)
{
	pthread_mutex_lock(&r->mutex);
	r->woken = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->mutex);
}

static void *runner_main(void *arg)
{
	struct runner *r = arg;

	while (!atomic_load(&r->stop)) {
		uint64_t deadline;

		while (hvs_worker_dispatch(r->worker, 64, &deadline))
			;
		pthread_mutex_lock(&r->mutex);
		if (!r->woken && deadline != UINT64_MAX) {
			struct timespec until;

			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += 1000000;
			if (until.tv_nsec >= 1000000000) {
				until.tv_nsec -= 1000000000;
				until.tv_sec++;
			}
			pthread_cond_timedwait(&r->cond, &r->mutex, &until);
		}
		while (!r->woken && deadline == UINT64_MAX && !atomic_load(&r->stop))
			pthread_cond_wait(&r->cond, &r->mutex);
		r->woken = false;
		pthread_mutex_unlock(&r->mutex);
	}
	return NULL;
}

void runner_start(struct runner *r, struct hvs_worker *worker)
{
	r->worker = worker;
	if (pthread_create(&r->thread, NULL, runner_main, r) != 0)
		abort();
}

void runner_join(struct runner *r)
{
	atomic_store(&r->stop, true);
	runner_wake(r);
	pthread_join(r->thread, NULL);
}
