/* SPDX-License-Identifier: MIT */
/*
 * The loop adapter: no wake-up is lost, whoever makes it and wherever; deadlines are kept; other
 * events of the base get their turn; waking costs no more system calls than it must. The tests
 * are the worker: they define hvs_worker_dispatch(), and count what is written to descriptors.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/loop.h>
#include <hvstack/worker.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS 1000000ull
#define WORKERS 2
#define MAX_FDS 1024

struct hvs_worker {
	unsigned dispatches;
	unsigned budget;      /* as the last dispatch got it */
	unsigned left;        /* dispatches that will say that work is left */
	uint64_t deadline_ns; /* for the next dispatch; UINT64_MAX: none */
	uint64_t last_ns;     /* of the last dispatch */
	atomic_uint queued;   /* units of work, from any thread */
	unsigned done;
	void (*then)(struct hvs_worker *w);
};

static struct event_base *base;
static struct hvs_loop *loops[WORKERS];
static struct hvs_worker workers[WORKERS];
static bool making;
static bool ours[MAX_FDS];
static atomic_uint writes;

int hvs_worker_dispatch(struct hvs_worker *w, unsigned budget, uint64_t *next_deadline_ns)
{
	w->dispatches++;
	w->budget = budget;
	w->last_ns = hvs_loop_now_ns();
	w->done = atomic_load_explicit(&w->queued, memory_order_relaxed);
	*next_deadline_ns = w->deadline_ns;
	if (w->then)
		w->then(w);
	if (w->left == 0)
		return 0;
	w->left--;
	return 1;
}

/* Criterion uses eventfds too: only those made while make_loops() runs are ours. */
int eventfd(unsigned count, int flags)
{
	int fd = (int)syscall(SYS_eventfd2, count, flags);

	if (making && fd >= 0 && fd < MAX_FDS)
		ours[fd] = true;
	return fd;
}

ssize_t write(int fd, const void *buf, size_t n)
{
	if (fd >= 0 && fd < MAX_FDS && ours[fd])
		atomic_fetch_add(&writes, 1);
	return syscall(SYS_write, fd, buf, n);
}

static void make_loops(struct event_base *b)
{
	base = b;
	making = true;
	cr_assert(base != NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].deadline_ns = UINT64_MAX;
		cr_assert_eq(hvs_loop_create(base, &loops[i]), 0);
		hvs_loop_set_worker(loops[i], &workers[i]);
	}
	making = false;
	/* Setting a worker dispatches it once. */
	event_base_loop(base, EVLOOP_NONBLOCK);
	for (unsigned i = 0; i < WORKERS; i++) {
		cr_assert_eq(workers[i].dispatches, 1);
		workers[i].dispatches = 0;
	}
	atomic_store(&writes, 0);
}

static void setup(void)
{
	make_loops(event_base_new());
}

static void teardown(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		hvs_loop_destroy(loops[i]);
	event_base_free(base);
}

/* Run the base until nothing happens for a while. */
static void settle(void)
{
	const struct timeval quiet = {.tv_usec = 20000};
	unsigned before;

	do {
		before = workers[0].dispatches + workers[1].dispatches;
		event_base_loopexit(base, &quiet);
		event_base_dispatch(base);
	} while (workers[0].dispatches + workers[1].dispatches != before);
}

TestSuite(loop, .init = setup, .fini = teardown, .timeout = 120);

/* ---- waking ----------------------------------------------------------------------------- */

Test(loop, many_wakes_before_a_dispatch_are_one)
{
	for (int i = 0; i < 1000; i++)
		hvs_loop_wake(loops[0]);
	cr_assert_eq(atomic_load(&writes), 1);
	settle();
	cr_assert_eq(workers[0].dispatches, 1);
	cr_assert_eq(workers[1].dispatches, 0);
	cr_assert_gt(workers[0].budget, 0);
	hvs_loop_wake(loops[0]);
	cr_assert_eq(atomic_load(&writes), 2);
	settle();
	cr_assert_eq(workers[0].dispatches, 2);
}

static void wake_the_other(struct hvs_worker *w)
{
	if (w->dispatches <= 100)
		hvs_loop_wake(loops[w == &workers[0] ? 1 : 0]);
}

Test(loop, waking_on_the_thread_of_the_loop_costs_no_system_call)
{
	workers[0].then = wake_the_other;
	workers[1].then = wake_the_other;
	hvs_loop_wake(loops[0]);
	settle();
	cr_assert_eq(workers[0].dispatches, 101);
	cr_assert_eq(workers[1].dispatches, 100);
	cr_assert_eq(atomic_load(&writes), 1, "%u writes", atomic_load(&writes));
}

static void wake_itself(struct hvs_worker *w)
{
	if (w->dispatches <= 100)
		hvs_loop_wake(loops[0]);
}

Test(loop, a_wake_from_inside_the_dispatch_is_not_lost)
{
	workers[0].then = wake_itself;
	hvs_loop_wake(loops[0]);
	settle();
	cr_assert_eq(workers[0].dispatches, 101);
	cr_assert_eq(atomic_load(&writes), 1);
}

static void *wake_once(void *arg)
{
	hvs_loop_wake(arg);
	return NULL;
}

static void wake_from_another_thread(struct hvs_worker *w)
{
	pthread_t thread;

	if (w->dispatches > 100)
		return;
	cr_assert_eq(pthread_create(&thread, NULL, wake_once, loops[0]), 0);
	pthread_join(thread, NULL);
}

Test(loop, a_wake_from_another_thread_during_the_dispatch_is_not_lost)
{
	workers[0].then = wake_from_another_thread;
	hvs_loop_wake(loops[0]);
	settle();
	cr_assert_eq(workers[0].dispatches, 101);
}

Test(loop, a_wake_before_the_worker_is_known_is_not_lost)
{
	struct hvs_worker late = {.deadline_ns = UINT64_MAX};
	struct hvs_loop *loop;

	cr_assert_eq(hvs_loop_create(base, &loop), 0);
	hvs_loop_wake(loop);
	settle();
	hvs_loop_set_worker(loop, &late);
	settle();
	cr_assert_eq(late.dispatches, 1);
	hvs_loop_destroy(loop);
}

/* ---- threads ---------------------------------------------------------------------------- */

#define PRODUCERS 4
#define UNITS 50000u

/* Numbers that look random (xorshift). */
static unsigned number(unsigned *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void *produce(void *arg)
{
	unsigned state = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < UNITS; i++) {
		struct hvs_worker *w = &workers[i % WORKERS];

		/* Relaxed: the order must come from the loop. */
		atomic_fetch_add_explicit(&w->queued, 1, memory_order_relaxed);
		hvs_loop_wake(loops[i % WORKERS]);
		/* Back to back, a little later, and when the loop has gone to sleep. */
		for (volatile unsigned spin = number(&state) % 200; spin > 0; spin--)
			;
		if (number(&state) % 256 == 0)
			usleep(number(&state) % 100);
	}
	return NULL;
}

static void until_all_is_done(struct hvs_worker *w)
{
	wake_the_other(w);
	if (workers[0].done + workers[1].done == PRODUCERS * UNITS)
		event_base_loopbreak(base);
}

static void *run_base(void *arg)
{
	(void)arg;
	event_base_dispatch(base);
	return NULL;
}

static void check_producers(bool on_another_thread)
{
	pthread_t producers[PRODUCERS];
	pthread_t runner;

	workers[0].then = until_all_is_done;
	workers[1].then = until_all_is_done;
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_create(&producers[i], NULL, produce, (void *)(uintptr_t)(i + 1));
	/* Returns when the last unit is done; a lost wake-up ends in the test's time limit. */
	if (on_another_thread) {
		pthread_create(&runner, NULL, run_base, NULL);
		pthread_join(runner, NULL);
	} else {
		run_base(NULL);
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	cr_assert_eq(workers[0].done + workers[1].done, PRODUCERS * UNITS);
}

Test(loop, no_wake_of_many_threads_is_lost)
{
	check_producers(false);
}

Test(loop, a_base_may_move_to_another_thread)
{
	/* This thread ran it in setup(); now it is one that wakes. */
	check_producers(true);
}

/* ---- fairness and time ------------------------------------------------------------------ */

static void on_pipe(evutil_socket_t fd, short what, void *arg)
{
	char byte;

	(void)what;
	cr_assert_eq(read(fd, &byte, 1), 1);
	*(unsigned *)arg = workers[0].dispatches;
}

Test(loop, work_that_is_left_is_continued_and_others_get_their_turn)
{
	unsigned seen_at = 0;
	struct event *ev;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	ev = event_new(base, fds[0], EV_READ, on_pipe, &seen_at);
	event_add(ev, NULL);
	workers[0].left = 1000;
	cr_assert_eq(write(fds[1], "x", 1), 1);
	hvs_loop_wake(loops[0]);
	settle();
	cr_assert_eq(workers[0].dispatches, 1001);
	cr_assert_leq(seen_at, 2, "the pipe had to wait for %u dispatches", seen_at);
	event_free(ev);
	close(fds[0]);
	close(fds[1]);
}

static void no_deadline_any_more(struct hvs_worker *w)
{
	w->deadline_ns = UINT64_MAX;
}

Test(loop, a_deadline_is_kept)
{
	uint64_t start_ns = hvs_loop_now_ns();

	workers[0].deadline_ns = start_ns + 50 * MS;
	workers[0].then = no_deadline_any_more;
	hvs_loop_wake(loops[0]);
	while (workers[0].dispatches < 2)
		event_base_loop(base, EVLOOP_ONCE);
	/* libevent's clock may be a few ms behind ours: early is allowed, and asked again. */
	cr_assert_geq(workers[0].last_ns, start_ns + 40 * MS);
	settle();
	cr_assert_eq(workers[0].dispatches, 2);
}

static void postpone_twice(struct hvs_worker *w)
{
	w->deadline_ns = w->dispatches <= 2 ? hvs_loop_now_ns() + 30 * MS : UINT64_MAX;
}

Test(loop, a_deadline_that_moves_is_followed)
{
	uint64_t start_ns = hvs_loop_now_ns();

	workers[0].deadline_ns = start_ns + 3600000 * MS;
	workers[0].then = postpone_twice;
	hvs_loop_wake(loops[0]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(workers[0].dispatches, 1);
	hvs_loop_wake(loops[0]); /* an hour becomes 30 ms */
	while (workers[0].dispatches < 3)
		event_base_loop(base, EVLOOP_ONCE);
	cr_assert_lt(hvs_loop_now_ns(), start_ns + 10000 * MS);
}

Test(loop, a_deadline_taken_back_does_not_fire)
{
	workers[0].deadline_ns = hvs_loop_now_ns() + 40 * MS;
	hvs_loop_wake(loops[0]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	workers[0].deadline_ns = UINT64_MAX;
	hvs_loop_wake(loops[0]);
	settle();
	usleep(60000);
	settle();
	cr_assert_eq(workers[0].dispatches, 2);
}

Test(loop, a_deadline_in_the_past_is_now)
{
	workers[0].deadline_ns = 1;
	workers[0].then = no_deadline_any_more;
	hvs_loop_wake(loops[0]);
	settle();
	cr_assert_eq(workers[0].dispatches, 2);
}

/* ---- making and freeing ----------------------------------------------------------------- */

Test(loop, a_base_without_edge_triggering_will_do)
{
	struct event_config *cfg = event_config_new();

	/* setup() has run: begin anew. */
	teardown();
	memset(workers, 0, sizeof(workers));
	event_config_avoid_method(cfg, "epoll");
	make_loops(event_base_new_with_config(cfg));
	event_config_free(cfg);
	cr_assert_eq(event_base_get_features(base) & EV_FEATURE_ET, 0);

	hvs_loop_wake(loops[0]);
	settle();
	cr_assert_eq(workers[0].dispatches, 1);
	workers[0].dispatches = 0;
	check_producers(true);
}

Test(loop, creation_fails_cleanly)
{
	struct hvs_loop *loop;
	struct rlimit limit;

	cr_assert_eq(hvs_loop_create(NULL, &loop), -EINVAL);
	cr_assert_eq(hvs_loop_create(base, NULL), -EINVAL);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(hvs_loop_create(base, &loop), -EMFILE);
	limit.rlim_cur = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	hvs_loop_destroy(NULL);
}

Test(loop, the_clock_is_monotonic)
{
	uint64_t before = hvs_loop_now_ns();

	for (int i = 0; i < 1000; i++) {
		uint64_t now = hvs_loop_now_ns();

		cr_assert_geq(now, before);
		before = now;
	}
}
