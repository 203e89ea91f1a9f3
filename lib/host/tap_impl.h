/* SPDX-License-Identifier: MIT */
/* A TAP from the inside: tap_open.c makes, loses and finds it, tap.c moves frames. */
#ifndef HVSI_HOST_TAP_IMPL_H
#define HVSI_HOST_TAP_IMPL_H

#include "host/net_io.h"

#include <hvstack/host/tap.h>

#include <net/if.h>

#define HVSI_TAP_MAX_QUEUES 64u

struct hvsi_tap_queue {
	struct hvs_tap *tap;
	int fd;
	struct hvsi_net_in in;
	struct hvsi_net_out out;
};

enum hvsi_tap_state {
	HVSI_TAP_UP,
	HVSI_TAP_DOWN,
	HVSI_TAP_LOST,
};

struct hvs_tap {
	char name[IFNAMSIZ];
	bool by_name;
	bool multi_queue;
	uint32_t offloads; /* HVS_NET_*: what the kernel takes */
	uint32_t mtu;
	uint32_t base_count;
	uint32_t queue_count; /* that are open */
	struct hvsi_tap_queue *queues;
	void (*log)(void *arg, const char *text);
	void *log_arg;
	struct event *timer; /* on the first base: look for it */

	pthread_mutex_t lock; /* all of the following */
	struct hvs_nic *nic;
	enum hvsi_tap_state state;
};

/* A read or write failed with this errno: the interface may be lost or down. [any] */
void hvsi_tap_failed(struct hvs_tap *tap, int err);

/* The NIC learns the state, and what comes is read. NULL: it has gone. */
void hvsi_tap_set_nic(struct hvs_tap *tap, struct hvs_nic *nic);

extern const struct hvsi_net_in_ops hvsi_tap_in_ops;
int hvsi_tap_send(void *queue, const struct hvs_net_frame *frame);

#endif
