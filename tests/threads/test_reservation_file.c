/* SPDX-License-Identifier: MIT */
/* A file of reservations, changed and read by threads of one process, through two open files. */
#include <hvstack/host/reservation.h>

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITERS 4
#define CHANGES 200

static struct hvs_reservation_file *file[2];
static atomic_uint writing;

/* All bytes are the same, and count. */
static int count(void *arg, void *state)
{
	uint8_t *bytes = state;

	(void)arg;
	memset(bytes, (uint8_t)(bytes[0] + 1), HVS_RESERVATION_BYTES);
	return 1;
}

static void *write_it(void *arg)
{
	for (unsigned i = 0; i < CHANGES; i++)
		assert(hvs_reservation_file_ops()->update(arg, count, NULL) == 0);
	atomic_fetch_sub(&writing, 1);
	return NULL;
}

static void check(struct hvs_reservation_file *f, uint64_t *last)
{
	uint8_t state[HVS_RESERVATION_BYTES];
	uint64_t generation;

	assert(hvs_reservation_file_ops()->read(f, state, &generation) == 0);
	assert(generation >= *last);
	assert(state[0] == (uint8_t)generation);
	assert(memcmp(state, state + 1, sizeof(state) - 1) == 0);
	assert(hvs_reservation_file_ops()->generation(f) >= generation);
	*last = generation;
}

static void *read_it(void *arg)
{
	uint64_t last = 0;

	while (atomic_load(&writing))
		check(arg, &last);
	return NULL;
}

int main(void)
{
	char path[] = "/tmp/reserve-XXXXXX";
	pthread_t thread[WRITERS + 2];
	uint64_t last = 0;
	int fd = mkstemp(path);

	assert(fd >= 0);
	close(fd);
	for (unsigned i = 0; i < 2; i++)
		assert(hvs_reservation_file_open(path, &file[i], NULL) == 0);
	atomic_store(&writing, WRITERS);
	for (unsigned i = 0; i < WRITERS + 2; i++)
		assert(pthread_create(&thread[i], NULL, i < WRITERS ? write_it : read_it,
				      file[i % 2]) == 0);
	for (unsigned i = 0; i < WRITERS + 2; i++)
		assert(pthread_join(thread[i], NULL) == 0);
	check(file[0], &last);
	assert(last == WRITERS * CHANGES);
	for (unsigned i = 0; i < 2; i++)
		hvs_reservation_file_close(file[i]);
	unlink(path);
	puts("passed");
	return 0;
}
