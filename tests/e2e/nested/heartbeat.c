/* SPDX-License-Identifier: MIT */
/* Has each CPU of L1 run once a second: the lab sees from outside when QEMU does not run one any more. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <unistd.h>

static void *beat(void *arg)
{
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET((int)(intptr_t)arg, &cpu);
	if (pthread_setaffinity_np(pthread_self(), sizeof(cpu), &cpu))
		return NULL;
	for (;;)
		sleep(1);
}

int main(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (intptr_t i = 0; i < cpus; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, beat, (void *)i))
			return 1;
	}
	for (;;)
		pause();
}
