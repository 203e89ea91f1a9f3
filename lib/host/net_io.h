/* SPDX-License-Identifier: MIT */
/*
 * Frames through a file descriptor that has one for each read and each write. One `in` for each
 * descriptor and base that reads from it; one `out` for each descriptor, which any number of queues
 * write to.
 */
#ifndef HVSI_HOST_NET_IO_H
#define HVSI_HOST_NET_IO_H

#include <hvstack/network.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct event;
struct event_base;

/* ---- lists of frames from the guest, linked through backend_priv[0] ---------------------- */

struct hvsi_frames {
	struct hvs_net_frame *first;
	struct hvs_net_frame *last;
};

void hvsi_frames_append(struct hvsi_frames *list, struct hvs_net_frame *frame);
struct hvs_net_frame *hvsi_frames_take(struct hvsi_frames *list); /* NULL: none is left */

/* The first `max` bytes of it in one piece. Returns how many there are. */
uint32_t hvsi_frame_gather(const struct hvs_net_frame *frame, uint8_t *to, uint32_t max);

/* All of them go back; the list is empty then. */
void hvsi_frames_done(struct hvsi_frames *list, struct hvs_nic *nic, enum hvs_net_status status);

/* ---- to the guest ------------------------------------------------------------------------ */

struct hvsi_net_in_ops {
	/* What a read returned: the frame's flags, offsets and so on, and in *bytes where it is
	 * (an Ethernet header at least). False: nothing of use. */
	bool (*parse)(void *arg, struct iovec *bytes, struct hvs_net_frame *frame);
	/* No more comes, and the descriptor is not looked at again until hvsi_net_in_resume(). err:
	 * of read(), or 0 for its end. */
	void (*ended)(void *arg, int err);
};

struct hvsi_net_in {
	const struct hvsi_net_in_ops *ops;
	void *arg;
	int fd;
	uint32_t queue;
	uint32_t max_read; /* bytes that one read may return */
	struct event_base *base;
	struct event *event;

	pthread_mutex_t lock; /* all of the following, also while the NIC takes frames */
	struct hvs_nic *nic;  /* NULL: not attached */
	bool waiting;         /* for room */
	uint8_t *memory;
	/* Read, and not taken by the NIC yet: first to count - 1. */
	unsigned first;
	unsigned count;
	struct hvs_net_frame frames[HVS_NET_BATCH];
	struct iovec iov[HVS_NET_BATCH];
	const struct hvs_net_frame *pointers[HVS_NET_BATCH];
};

/* in->ops, arg, fd, queue, max_read and base are set, the rest is 0. 0 or -ENOMEM. */
int hvsi_net_in_init(struct hvsi_net_in *in);
void hvsi_net_in_fini(struct hvsi_net_in *in);

/* Frames go to that NIC from now on. [any] */
void hvsi_net_in_attach(struct hvsi_net_in *in, struct hvs_nic *nic);
/* As hvs_net_ops.detach() and rx_room(). */
void hvsi_net_in_detach(struct hvsi_net_in *in);
void hvsi_net_in_room(struct hvsi_net_in *in);
/* There is something to read again. [any] */
void hvsi_net_in_resume(struct hvsi_net_in *in);

/* ---- from the guest ---------------------------------------------------------------------- */

struct hvsi_net_out {
	/* Send one. 0, -EAGAIN (later), or another errno: it is dropped. On any thread. */
	int (*send)(void *arg, const struct hvs_net_frame *frame);
	void *arg;
	int fd;
	struct event_base *base; /* where the others are sent when there is room */
	struct event *event;
	struct hvs_nic *nic;
	atomic_bool holding; /* the list is not empty, or was a moment ago */
	pthread_mutex_t lock;
	struct hvsi_frames held;
};

/* out->send, arg, fd and base are set, the rest is 0. 0 or -ENOMEM. */
int hvsi_net_out_init(struct hvsi_net_out *out);
void hvsi_net_out_fini(struct hvsi_net_out *out);

/* As hvs_net_ops.tx(). A descriptor that takes none for a while loses what waits for it. [any] */
void hvsi_net_out_tx(struct hvsi_net_out *out, struct hvs_net_frame *const *frames, unsigned n);
/* What waits is dropped. [any] */
void hvsi_net_out_drop(struct hvsi_net_out *out);

#endif
