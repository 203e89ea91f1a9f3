/* SPDX-License-Identifier: MIT */
/* The queues of a NIC at one port: what its limits allow is allowed once, and all is counted. */
#include "util/alloc.h"
#include "vsp/network/policy.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define QUEUES 4
#define FRAMES 20000u
#define STORM 30000u
#define LEN 100u
#define BITS 8000000u /* a second: 1 us for each byte */
#define BURST_NS 5000000u

static struct queue {
	pthread_t thread;
	unsigned passed;
} queues[QUEUES];

static struct hvsi_policy *policy;
static struct hvsi_port port;

static void *run(void *arg)
{
	struct queue *q = arg;
	const uint8_t bytes[LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2};
	struct hvsi_headers h;

	assert(hvsi_frame_parse(&h, bytes, LEN, LEN));
	for (unsigned i = 0; i < FRAMES; i++)
		q->passed += hvsi_policy_out(policy, &port, &h, bytes + 6, 0);
	return NULL;
}

int main(void)
{
	const struct hvs_port_rule rule = {.action = HVS_PORT_METER, .direction = HVS_PORT_OUT};
	const struct hvs_port_policy p = {HVS_PORT_POLICY_INIT, .rules = &rule, .rule_count = 1,
					  .max_storm_frames = STORM, .max_bits_per_second = BITS};
	struct hvs_port_counters c;
	struct hvs_allocator a;
	unsigned passed = 0;

	assert(!hvsi_alloc_setup(NULL, &a));
	assert(!hvsi_policy_create(&a, &p, &policy));
	for (unsigned i = 0; i < QUEUES; i++)
		assert(!pthread_create(&queues[i].thread, NULL, run, &queues[i]));
	for (unsigned i = 0; i < QUEUES; i++) {
		assert(!pthread_join(queues[i].thread, NULL));
		passed += queues[i].passed;
	}
	hvsi_port_get_counters(&port, &c);
	assert(passed == STORM);
	assert(c.storm == QUEUES * FRAMES - STORM);
	assert(c.metered_out_frames == STORM);
	assert(c.metered_out_bytes == (uint64_t)STORM * LEN);
	assert(hvsi_policy_wait(policy, &port, 0) == (uint64_t)STORM * LEN * 1000 - BURST_NS);
	hvsi_policy_destroy(policy);
	return 0;
}
