/* SPDX-License-Identifier: MIT */
/* A worker with a thread of its own, for tests of threads. */
#ifndef TESTS_SUPPORT_RUNNER_H
#define TESTS_SUPPORT_RUNNER_H

#include <hvstack/worker.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct runner {
	struct hvs_worker *worker;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool woken;
	atomic_bool stop;
};

#define RUNNER_INIT                                                                                \
	{                                                                                          \
		.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER               \
	}

void runner_start(struct runner *r, struct hvs_worker *worker);
/* hvs_backend_ops.wake */
void runner_wake(struct runner *r);
void runner_join(struct runner *r);

#endif
