/* SPDX-License-Identifier: MIT */
#include <hvstack/host/timesample.h>

#include <time.h>

#define TRIES 3u /* a thread may be interrupted in the middle of one */
#define UNITS_PER_S 10000000u
#define NS_PER_UNIT 100u
#define S_1601_TO_1970 11644473600u

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return ((uint64_t)t.tv_sec + S_1601_TO_1970) * UNITS_PER_S +
	       (uint64_t)t.tv_nsec / NS_PER_UNIT;
}

int hvs_timesample(int (*reference_time)(void *arg, uint64_t *value), void *arg,
		   uint64_t *host_time, uint64_t *reference)
{
	uint64_t shortest = UINT64_MAX;

	if (!reference_time) {
		*host_time = now();
		return 0;
	}
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t before;
		uint64_t after;
		uint64_t host;
		int err = reference_time(arg, &before);

		host = now();
		if (!err)
			err = reference_time(arg, &after);
		if (err)
			return err;
		if (after - before < shortest) {
			shortest = after - before;
			*host_time = host;
			*reference = before + shortest / 2;
		}
	}
	return 0;
}
