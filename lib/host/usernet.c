/* SPDX-License-Identifier: MIT */
/*
 * libslirp in a libevent loop. All of it happens in step(), on the thread of the base: sockets that
 * are ready and timeouts are handled, frames from the guest go in, frames to the guest go out, and
 * libslirp says what it waits for next. Its sockets are in an epoll set of our own, whose descriptor
 * is the one that libevent knows.
 */
#include <hvstack/host/usernet.h>

#if HVSI_WITH_LIBSLIRP

#include "host/usernet_impl.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* For a guest that has no room now: more than TCP sends at a time through libslirp's buffers. */
#define MAX_WAITING_BYTES (4u << 20)

/* ---- to the guest ----------------------------------------------------------------------- */

ssize_t hvsi_usernet_packet(const void *bytes, size_t len, void *arg)
{
	struct hvs_usernet *net = arg;
	struct hvsi_packet *p;

	if (len > HVS_NET_MAX_FRAME || len < HVS_NET_HEADER_BYTES ||
	    net->waiting_bytes + len > MAX_WAITING_BYTES)
		return (ssize_t)len;
	p = malloc(sizeof(*p) + len);
	if (!p)
		return (ssize_t)len;
	p->next = NULL;
	p->len = (uint32_t)len;
	memcpy(p->bytes, bytes, len);
	if (net->first)
		net->last->next = p;
	else
		net->first = p;
	net->last = p;
	net->waiting_bytes += p->len;
	return (ssize_t)len;
}

static void free_first(struct hvs_usernet *net)
{
	struct hvsi_packet *p = net->first;

	net->first = p->next;
	net->waiting_bytes -= p->len;
	free(p);
}

void hvsi_usernet_drop(struct hvs_usernet *net)
{
	while (net->first)
		free_first(net);
}

static void deliver(struct hvs_usernet *net)
{
	const struct hvs_net_frame *pointers[HVS_NET_BATCH];
	struct hvs_net_frame frames[HVS_NET_BATCH];
	struct iovec iov[HVS_NET_BATCH];
	unsigned taken = 0;
	unsigned n = 0;

	pthread_mutex_lock(&net->delivering);
	if (!net->attached)
		hvsi_usernet_drop(net);
	while (net->first && taken == n) {
		n = 0;
		for (struct hvsi_packet *p = net->first; p && n < HVS_NET_BATCH; p = p->next) {
			iov[n] = (struct iovec){p->bytes, p->len};
			frames[n] = (struct hvs_net_frame){HVS_NET_FRAME_INIT, .len = p->len,
							   .iov = &iov[n], .iovcnt = 1};
			pointers[n] = &frames[n];
			n++;
		}
		taken = hvs_nic_rx(net->nic, 0, pointers, n);
		for (unsigned i = 0; i < taken; i++)
			free_first(net);
	}
	net->no_room = taken < n;
	pthread_mutex_unlock(&net->delivering);
}

/* ---- from the guest --------------------------------------------------------------------- */

static struct hvsi_frames take_frames(struct hvs_usernet *net)
{
	struct hvsi_frames list;

	pthread_mutex_lock(&net->lock);
	list = net->frames;
	net->frames.first = NULL;
	pthread_mutex_unlock(&net->lock);
	return list;
}

static void send_frames(struct hvs_usernet *net)
{
	struct hvsi_frames list = take_frames(net);

	for (const struct hvs_net_frame *f = list.first; f; f = f->backend_priv[0]) {
		uint32_t len = hvsi_frame_gather(f, net->frame, HVS_NET_MAX_FRAME);

		slirp_input(net->slirp, net->frame, (int)len);
	}
	hvsi_frames_done(&list, net->nic, HVS_NET_OK);
}

/* ---- what libslirp waits for ------------------------------------------------------------ */

static uint32_t to_epoll(int events)
{
	return (events & SLIRP_POLL_IN ? (uint32_t)EPOLLIN : 0) |
	       (events & SLIRP_POLL_OUT ? (uint32_t)EPOLLOUT : 0) |
	       (events & SLIRP_POLL_PRI ? (uint32_t)EPOLLPRI : 0);
}

void hvsi_usernet_unwatch(struct hvs_usernet *net, int fd)
{
	(void)epoll_ctl(net->epoll, EPOLL_CTL_DEL, fd, NULL);
	net->watches[fd] = (struct hvsi_watch){0};
}

static int on_add_poll(int fd, int events, void *arg)
{
	struct epoll_event e = {.events = to_epoll(events), .data.fd = fd};
	struct hvs_usernet *net = arg;
	struct hvsi_watch *w;

	if (fd < 0)
		return -1;
	if ((unsigned)fd >= net->watch_count) {
		unsigned count = (unsigned)fd + 64;

		w = realloc(net->watches, count * sizeof(*w));
		if (!w)
			return -1;
		memset(w + net->watch_count, 0, (count - net->watch_count) * sizeof(*w));
		net->watches = w;
		net->watch_count = count;
	}
	w = &net->watches[fd];
	w->asked = true;
	if (w->wanted == events)
		return fd;
	/* It may be another file than the last time. */
	if (epoll_ctl(net->epoll, EPOLL_CTL_MOD, fd, &e) < 0 &&
	    epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		return -1;
	w->wanted = events;
	return fd;
}

static int on_get_revents(int index, void *arg)
{
	struct hvs_usernet *net = arg;
	int got;

	if (index < 0 || (unsigned)index >= net->watch_count)
		return 0;
	got = net->watches[index].got;
	net->watches[index].got = 0;
	return got;
}

void hvsi_usernet_wait(struct hvs_usernet *net)
{
	uint32_t ms = UINT32_MAX;

	for (unsigned fd = 0; fd < net->watch_count; fd++)
		net->watches[fd].asked = false;
	slirp_pollfds_fill(net->slirp, &ms, on_add_poll, net);
	for (unsigned fd = 0; fd < net->watch_count; fd++)
		if (net->watches[fd].wanted && !net->watches[fd].asked)
			hvsi_usernet_unwatch(net, (int)fd);
	if (ms == UINT32_MAX) {
		(void)event_del(net->timeout);
	} else {
		const struct timeval tv = {.tv_sec = ms / 1000,
					   .tv_usec = (suseconds_t)(ms % 1000) * 1000};

		(void)event_add(net->timeout, &tv);
	}
}

static void deliver_if_room(struct hvs_usernet *net)
{
	bool room;

	pthread_mutex_lock(&net->delivering);
	room = !net->no_room;
	pthread_mutex_unlock(&net->delivering);
	if (room)
		deliver(net);
}

void hvsi_usernet_step(void *arg)
{
	struct hvs_usernet *net = arg;

	/* First, as it tells libslirp what time it is: it would take new connections for old. */
	slirp_pollfds_poll(net->slirp, 0, on_get_revents, net);
	send_frames(net);
	deliver_if_room(net);
	hvsi_usernet_wait(net);
}

/* ---- what the NIC calls ----------------------------------------------------------------- */

static int usernet_get_info(void *opaque, struct hvs_net_info *info)
{
	const struct hvs_usernet *net = opaque;

	info->mtu = net->mtu;
	info->max_queues = net->max_queues;
	return 0;
}

static void usernet_tx(void *opaque, uint32_t queue, struct hvs_net_frame *const *frames,
		       unsigned n)
{
	struct hvs_usernet *net = opaque;
	bool first;

	(void)queue;
	pthread_mutex_lock(&net->lock);
	first = !net->frames.first;
	for (unsigned i = 0; i < n; i++)
		hvsi_frames_append(&net->frames, frames[i]);
	pthread_mutex_unlock(&net->lock);
	if (first && hvsi_base_inside(net->base))
		hvsi_notify_activate(&net->notify);
	else if (first)
		hvsi_notify_signal(&net->notify);
}

static void usernet_rx_room(void *opaque, uint32_t queue)
{
	if (queue == 0)
		deliver(opaque);
}

static void usernet_attach(void *opaque, struct hvs_nic *nic)
{
	struct hvs_usernet *net = opaque;

	pthread_mutex_lock(&net->delivering);
	net->nic = nic;
	net->no_room = false;
	net->attached = true;
	pthread_mutex_unlock(&net->delivering);
	hvsi_notify_signal(&net->notify);
}

static void usernet_detach(void *opaque)
{
	struct hvs_usernet *net = opaque;
	struct hvsi_frames list;

	pthread_mutex_lock(&net->delivering);
	net->attached = false;
	net->no_room = false; /* what waits is freed by the next step() */
	pthread_mutex_unlock(&net->delivering);
	list = take_frames(net);
	hvsi_frames_done(&list, net->nic, HVS_NET_DROPPED);
}

const struct hvs_net_ops *hvs_usernet_ops(void)
{
	static const struct hvs_net_ops ops = {
		HVS_NET_OPS_INIT,           .get_info = usernet_get_info, .tx = usernet_tx,
		.rx_room = usernet_rx_room, .attach = usernet_attach,     .detach = usernet_detach,
	};

	return &ops;
}

#else

const struct hvs_net_ops *hvs_usernet_ops(void)
{
	static const struct hvs_net_ops ops = {HVS_NET_OPS_INIT};

	return &ops;
}

#endif
