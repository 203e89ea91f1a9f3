/* SPDX-License-Identifier: MIT */
/* The host's clock together with a guest's reference counter. */
#include <hvstack/host/timesample.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <time.h>

#define UNITS_1601_TO_1970 116444736000000000ull

/* Values that the counter has, one after the other. */
struct counter {
	const uint64_t *values;
	unsigned reads;
	unsigned fails_at; /* number of the read, from 1; 0: none */
};

static int reference_time(void *arg, uint64_t *value)
{
	struct counter *c = arg;

	*value = c->values[c->reads++];
	return c->reads == c->fails_at ? -EIO : 0;
}

static uint64_t realtime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 10000000 + (uint64_t)t.tv_nsec / 100 + UNITS_1601_TO_1970;
}

Test(timesample, the_clock_counts_from_1601)
{
	uint64_t before = realtime();
	uint64_t host = 0;
	uint64_t reference = 42;

	cr_assert_eq(hvs_timesample(NULL, NULL, &host, &reference), 0);
	cr_assert_geq(host, before);
	cr_assert_leq(host, realtime());
	cr_assert_eq(reference, 42);
}

Test(timesample, the_middle_of_the_shortest_try_counts)
{
	static const uint64_t values[][6] = {
		{1000, 1010, 2000, 2900, 3000, 3500},
		{1000, 1900, 2000, 2010, 3000, 3500},
		{1000, 1900, 2000, 2500, 3000, 3010},
	};

	for (unsigned i = 0; i < 3; i++) {
		struct counter c = {.values = values[i]};
		uint64_t before = realtime();
		uint64_t host = 0;
		uint64_t reference = 0;

		cr_assert_eq(hvs_timesample(reference_time, &c, &host, &reference), 0);
		cr_assert_eq(reference, 1000 * (i + 1) + 5);
		cr_assert_geq(host, before);
		cr_assert_leq(host, realtime());
	}
}

Test(timesample, what_the_counter_fails_with_is_returned)
{
	static const uint64_t values[6] = {1, 2, 3, 4, 5, 6};

	for (unsigned i = 1; i <= 6; i++) {
		struct counter c = {.values = values, .fails_at = i};
		uint64_t host;
		uint64_t reference;

		cr_assert_eq(hvs_timesample(reference_time, &c, &host, &reference), -EIO);
		cr_assert_eq(c.reads, i);
	}
}
