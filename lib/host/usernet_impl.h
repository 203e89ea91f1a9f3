/* SPDX-License-Identifier: MIT */
/* A user-mode network from the inside: usernet_open.c makes it, usernet.c moves frames. */
#ifndef HVSI_HOST_USERNET_IMPL_H
#define HVSI_HOST_USERNET_IMPL_H

#include "host/net_io.h"
#include "host/notify.h"

#include <hvstack/host/usernet.h>

#include <libslirp.h>

/* What libslirp waits for at a descriptor, the element's index. */
struct hvsi_watch {
	int wanted; /* SLIRP_POLL_*; 0: it is not in the set */
	int got;
	bool asked; /* in this round */
};

/* A frame for the guest. */
struct hvsi_packet {
	struct hvsi_packet *next;
	uint32_t len;
	uint8_t bytes[];
};

struct hvs_usernet {
	Slirp *slirp;
	struct event_base *base;
	uint32_t mtu;
	uint32_t max_queues;
	void (*log)(void *arg, const char *text);
	void *log_arg;
	struct hvs_nic *nic;
	pthread_mutex_t delivering; /* while the NIC takes frames */
	bool attached;              /* under that lock */

	struct hvsi_notify notify; /* runs step() */
	struct event *timeout;
	struct event *ready; /* of the epoll set */
	int epoll;
	struct hvsi_watch *watches;
	unsigned watch_count;

	struct hvsi_packet *first;
	struct hvsi_packet *last;
	uint32_t waiting_bytes;
	bool no_room;

	uint8_t *frame; /* in one piece, for libslirp */
	pthread_mutex_t lock;
	struct hvsi_frames frames; /* from the guest */
};

/* Let libslirp do what it has to. On the thread of the base; arg is the network. */
void hvsi_usernet_step(void *arg);
/* Ask libslirp what it waits for. */
void hvsi_usernet_wait(struct hvs_usernet *net);
/* It waits for that descriptor no more. */
void hvsi_usernet_unwatch(struct hvs_usernet *net, int fd);
/* libslirp has a frame for the guest. */
ssize_t hvsi_usernet_packet(const void *bytes, size_t len, void *arg);
/* Drop what waits for room. */
void hvsi_usernet_drop(struct hvs_usernet *net);

#endif
