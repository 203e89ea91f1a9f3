/* SPDX-License-Identifier: MIT */
/* Two threads, one counter, no order between them. */
#include <pthread.h>
#include <stddef.h>

static int counter;

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < 1000; i++)
		counter++;
	return NULL;
}

int main(void)
{
	pthread_t a, b;

	if (pthread_create(&a, NULL, count, NULL) || pthread_create(&b, NULL, count, NULL))
		return 1;
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	return 0;
}
