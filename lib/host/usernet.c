/* SPDX-License-Identifier: MIT */
/*
 * libslirp in a libevent loop. All of it happens in step(), on the thread of the base: sockets that
 * are ready and timeouts are handled, frames from the guest go in, frames to the guest go out, and
 * libslirp says what it waits for next. Its sockets are in an epoll set of our own, whose descriptor
 * is the one that libevent knows.
 */
#include <hvstack/host/usernet.h>

#if HVSI_WITH_LIBSLIRP

#include "host/net_io.h"
#include "host/notify.h"
#include "host/sized.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/loop.h>
#include <libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MIN_MTU 68u
#define DEFAULT_MTU 1500u
#define MAX_READY 64
#define PREFIX_BITS 64u
/* For a guest that has no room now: more than TCP sends at a time through libslirp's buffers. */
#define MAX_WAITING_BYTES (4u << 20)

/* What libslirp waits for at a descriptor, the element's index. */
struct watch {
	int wanted; /* SLIRP_POLL_*; 0: it is not in the set */
	int got;
	bool asked; /* in this round */
};

struct timer {
	struct hvs_usernet *net;
	struct event *event;
	SlirpTimerId id;
	void *opaque;
};

/* A frame for the guest. */
struct packet {
	struct packet *next;
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
	struct watch *watches;
	unsigned watch_count;

	struct packet *first;
	struct packet *last;
	uint32_t waiting_bytes;
	bool no_room;

	uint8_t *frame; /* in one piece, for libslirp */
	pthread_mutex_t lock;
	struct hvsi_frames frames; /* from the guest */
};

/* ---- to the guest ----------------------------------------------------------------------- */

static ssize_t on_packet(const void *bytes, size_t len, void *arg)
{
	struct hvs_usernet *net = arg;
	struct packet *p;

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
	struct packet *p = net->first;

	net->first = p->next;
	net->waiting_bytes -= p->len;
	free(p);
}

static void deliver(struct hvs_usernet *net)
{
	const struct hvs_net_frame *pointers[HVS_NET_BATCH];
	struct hvs_net_frame frames[HVS_NET_BATCH];
	struct iovec iov[HVS_NET_BATCH];
	unsigned taken = 0;
	unsigned n = 0;

	pthread_mutex_lock(&net->delivering);
	while (!net->attached && net->first)
		free_first(net);
	while (net->first && taken == n) {
		n = 0;
		for (struct packet *p = net->first; p && n < HVS_NET_BATCH; p = p->next) {
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

static int from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static void unwatch(struct hvs_usernet *net, int fd)
{
	(void)epoll_ctl(net->epoll, EPOLL_CTL_DEL, fd, NULL);
	net->watches[fd] = (struct watch){0};
}

static int on_add_poll(int fd, int events, void *arg)
{
	struct epoll_event e = {.events = to_epoll(events), .data.fd = fd};
	struct hvs_usernet *net = arg;
	struct watch *w;

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

static void wait_for_next(struct hvs_usernet *net)
{
	uint32_t ms = UINT32_MAX;

	for (unsigned fd = 0; fd < net->watch_count; fd++)
		net->watches[fd].asked = false;
	slirp_pollfds_fill(net->slirp, &ms, on_add_poll, net);
	for (unsigned fd = 0; fd < net->watch_count; fd++)
		if (net->watches[fd].wanted && !net->watches[fd].asked)
			unwatch(net, (int)fd);
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

static void step(void *arg)
{
	struct hvs_usernet *net = arg;

	/* First, as it tells libslirp what time it is: it would take new connections for old. */
	slirp_pollfds_poll(net->slirp, 0, on_get_revents, net);
	send_frames(net);
	deliver_if_room(net);
	wait_for_next(net);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_usernet *net = arg;
	struct event_base *outer = hvsi_base_enter(net->base);
	struct epoll_event events[MAX_READY];
	int n = epoll_wait((int)fd, events, MAX_READY, 0);

	(void)what;
	for (int i = 0; i < n; i++)
		net->watches[events[i].data.fd].got = from_epoll(events[i].events);
	step(net);
	hvsi_base_leave(outer);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_usernet *net = arg;
	struct event_base *outer = hvsi_base_enter(net->base);

	(void)fd;
	(void)what;
	step(net);
	hvsi_base_leave(outer);
}

/* ---- what else libslirp needs ----------------------------------------------------------- */

static void on_guest_error(const char *text, void *arg)
{
	const struct hvs_usernet *net = arg;

	if (net->log)
		net->log(net->log_arg, text);
}

static int64_t on_clock(void *arg)
{
	(void)arg;
	return (int64_t)hvs_loop_now_ns();
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	const struct timer *t = arg;
	struct event_base *outer = hvsi_base_enter(t->net->base);

	(void)fd;
	(void)what;
	slirp_handle_timer(t->net->slirp, t->id, t->opaque);
	step(t->net);
	hvsi_base_leave(outer);
}

static void *on_timer_new(SlirpTimerId id, void *opaque, void *arg)
{
	struct hvs_usernet *net = arg;
	struct timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct timer){.net = net, .id = id, .opaque = opaque};
	t->event = evtimer_new(net->base, on_timer, t);
	return t;
}

static void on_timer_free(void *timer, void *arg)
{
	struct timer *t = timer;

	(void)arg;
	if (t && t->event)
		event_free(t->event);
	free(t);
}

static void on_timer_mod(void *timer, int64_t due_ms, void *arg)
{
	const struct timer *t = timer;
	int64_t ms = due_ms - on_clock(arg) / 1000000;
	struct timeval tv = {0};

	if (ms > 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000;
	}
	if (t && t->event)
		(void)event_add(t->event, &tv);
}

static void on_register(int fd, void *arg)
{
	(void)fd; /* on_add_poll() does it */
	(void)arg;
}

static void on_unregister(int fd, void *arg)
{
	struct hvs_usernet *net = arg;

	if (fd >= 0 && (unsigned)fd < net->watch_count)
		unwatch(net, fd);
}

static void on_notify(void *arg)
{
	struct hvs_usernet *net = arg;

	hvsi_notify_signal(&net->notify);
}

static const SlirpCb callbacks = {
	.send_packet = on_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = on_clock,
	.timer_new_opaque = on_timer_new,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_register,
	.unregister_poll_fd = on_unregister,
	.notify = on_notify,
};

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

const struct hvs_net_ops hvs_usernet_ops = {
	HVS_NET_OPS_INIT,           .get_info = usernet_get_info, .tx = usernet_tx,
	.rx_room = usernet_rx_room, .attach = usernet_attach,     .detach = usernet_detach,
};

/* ---- making and freeing ----------------------------------------------------------------- */

static struct in_addr ip4(const uint8_t network[4], uint8_t last)
{
	const uint8_t bytes[4] = {network[0], network[1], network[2], last};
	struct in_addr addr;

	memcpy(&addr, bytes, sizeof(addr));
	return addr;
}

static struct in6_addr ip6(uint8_t last)
{
	return (struct in6_addr){.s6_addr = {0xfe, 0xc0, [15] = last}};
}

static int start_slirp(struct hvs_usernet *net, const struct hvs_usernet_config *cfg)
{
	static const uint8_t usual[4] = {10, 0, 2, 0};
	static const uint8_t none[4];
	const uint8_t *network = memcmp(cfg->network, none, 4) == 0 ? usual : cfg->network;
	const SlirpConfig config = {
		.version = 4,
		.restricted = cfg->flags & HVS_USERNET_RESTRICTED ? 1 : 0,
		.disable_host_loopback = cfg->flags & HVS_USERNET_NO_LOOPBACK,
		.in_enabled = true,
		.vnetwork = ip4(network, 0),
		.vnetmask = ip4((const uint8_t[4]){255, 255, 255}, 0),
		.vhost = ip4(network, 2),
		.vnameserver = ip4(network, 3),
		.vdhcp_start = ip4(network, 15),
		.in6_enabled = !(cfg->flags & HVS_USERNET_NO_IPV6),
		.vprefix_addr6 = ip6(0),
		.vprefix_len = PREFIX_BITS,
		.vhost6 = ip6(2),
		.vnameserver6 = ip6(3),
		.vhostname = cfg->hostname,
		.if_mtu = net->mtu,
		.if_mru = net->mtu,
	};

	net->slirp = slirp_new(&config, &callbacks, net);
	return net->slirp ? 0 : -EINVAL;
}

static int init(struct hvs_usernet *net, const struct hvs_usernet_config *cfg)
{
	int err = hvsi_notify_init(&net->notify, net->base, step, net);

	if (err)
		return err;
	net->frame = malloc(HVS_NET_MAX_FRAME);
	net->timeout = evtimer_new(net->base, on_timeout, net);
	net->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (net->epoll < 0)
		return -errno;
	net->ready = event_new(net->base, net->epoll, EV_READ | EV_PERSIST, on_ready, net);
	if (!net->frame || !net->timeout || !net->ready || event_add(net->ready, NULL) < 0)
		return -ENOMEM;
	err = start_slirp(net, cfg);
	if (!err)
		wait_for_next(net);
	return err;
}

int hvs_usernet_create(const struct hvs_usernet_config *cfg_in, struct hvs_usernet **out)
{
	const uint32_t known =
		HVS_USERNET_RESTRICTED | HVS_USERNET_NO_LOOPBACK | HVS_USERNET_NO_IPV6;
	struct hvs_usernet_config cfg;
	struct hvs_usernet *net;
	int err = hvsi_host_copy_sized(&cfg, sizeof(cfg), cfg_in, sizeof(cfg));

	if (err || !out)
		return err ? err : -EINVAL;
	if (cfg.flags & ~known)
		return -ENOTSUP;
	if (!cfg.base || cfg.network[3] ||
	    (cfg.mtu && (cfg.mtu < MIN_MTU || cfg.mtu > HVS_NET_MAX_MTU)))
		return -EINVAL;
	net = calloc(1, sizeof(*net));
	if (!net)
		return -ENOMEM;
	net->base = cfg.base;
	net->mtu = cfg.mtu ? cfg.mtu : DEFAULT_MTU;
	net->max_queues = cfg.max_queues;
	net->log = cfg.log;
	net->log_arg = cfg.arg;
	net->epoll = -1;
	net->notify.fd = -1;
	pthread_mutex_init(&net->delivering, NULL);
	pthread_mutex_init(&net->lock, NULL);
	err = init(net, &cfg);
	if (err) {
		hvs_usernet_destroy(net);
		return err;
	}
	*out = net;
	return 0;
}

static int change_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *f, bool add)
{
	struct in_addr host;
	struct in_addr guest;
	int err;

	if (!net || !f || !f->host_port || !f->guest_port || f->reserved)
		return -EINVAL;
	memcpy(&host, f->host_addr, sizeof(host));
	memcpy(&guest, f->guest_addr, sizeof(guest));
	if (add)
		err = slirp_add_hostfwd(net->slirp, f->udp, host, f->host_port, guest,
					f->guest_port);
	else
		err = slirp_remove_hostfwd(net->slirp, f->udp, host, f->host_port);
	if (err < 0)
		return add ? -EADDRINUSE : -ENOENT;
	wait_for_next(net);
	return 0;
}

int hvs_usernet_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
{
	return change_forward(net, forward, true);
}

int hvs_usernet_unforward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
{
	return change_forward(net, forward, false);
}

void hvs_usernet_destroy(struct hvs_usernet *net)
{
	if (!net)
		return;
	if (net->slirp)
		slirp_cleanup(net->slirp);
	if (net->ready)
		event_free(net->ready);
	if (net->timeout)
		event_free(net->timeout);
	if (net->notify.fd >= 0)
		hvsi_notify_fini(&net->notify);
	if (net->epoll >= 0)
		close(net->epoll);
	while (net->first)
		free_first(net);
	pthread_mutex_destroy(&net->delivering);
	pthread_mutex_destroy(&net->lock);
	free(net->watches);
	free(net->frame);
	free(net);
}

#else

#include <errno.h>

int hvs_usernet_create(const struct hvs_usernet_config *cfg, struct hvs_usernet **out)
{
	(void)cfg;
	(void)out;
	return -ENOTSUP;
}

int hvs_usernet_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
{
	(void)net;
	(void)forward;
	return -EINVAL;
}

int hvs_usernet_unforward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
{
	return hvs_usernet_forward(net, forward);
}

void hvs_usernet_destroy(struct hvs_usernet *net)
{
	(void)net;
}

const struct hvs_net_ops hvs_usernet_ops = {HVS_NET_OPS_INIT};

#endif
