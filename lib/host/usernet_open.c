/* SPDX-License-Identifier: MIT */
/* Making a user-mode network, and what wakes it. */
#include <hvstack/host/usernet.h>

#if HVSI_WITH_LIBSLIRP

#include "host/sized.h"
#include "host/usernet_impl.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/loop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MIN_MTU 68u
#define DEFAULT_MTU 1500u
#define MAX_READY 64
#define PREFIX_BITS 64u

struct timer {
	struct hvs_usernet *net;
	struct event *event;
	SlirpTimerId id;
	void *opaque;
};

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
	hvsi_usernet_step(t->net);
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
		hvsi_usernet_unwatch(net, fd);
}

static void on_notify(void *arg)
{
	struct hvs_usernet *net = arg;

	hvsi_notify_signal(&net->notify);
}

static const SlirpCb callbacks = {
	.send_packet = hvsi_usernet_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = on_clock,
	.timer_new_opaque = on_timer_new,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_register,
	.unregister_poll_fd = on_unregister,
	.notify = on_notify,
};

static int from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
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
	hvsi_usernet_step(net);
	hvsi_base_leave(outer);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_usernet *net = arg;
	struct event_base *outer = hvsi_base_enter(net->base);

	(void)fd;
	(void)what;
	hvsi_usernet_step(net);
	hvsi_base_leave(outer);
}

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
	int err = hvsi_notify_init(&net->notify, net->base, hvsi_usernet_step, net);

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
		hvsi_usernet_wait(net);
	return err;
}

int hvs_usernet_create(const struct hvs_usernet_config *cfg_in, struct hvs_usernet **out)
{
	const uint32_t known =
		HVS_USERNET_RESTRICTED | HVS_USERNET_NO_LOOPBACK | HVS_USERNET_NO_IPV6;
	struct hvs_usernet_config cfg;
	struct hvs_usernet *net;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, arg);

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

static int change_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward,
			  bool add)
{
	struct hvs_usernet_forward f;
	struct in_addr host;
	struct in_addr guest;
	int err = HVSI_HOST_TAKE(&f, forward, guest_addr);

	if (err)
		return err;
	if (!net || !f.host_port || !f.guest_port || f.reserved[0] || f.reserved[1] ||
	    f.reserved[2])
		return -EINVAL;
	memcpy(&host, f.host_addr, sizeof(host));
	memcpy(&guest, f.guest_addr, sizeof(guest));
	if (add)
		err = slirp_add_hostfwd(net->slirp, f.udp, host, f.host_port, guest, f.guest_port);
	else
		err = slirp_remove_hostfwd(net->slirp, f.udp, host, f.host_port);
	if (err < 0)
		return add ? -EADDRINUSE : -ENOENT;
	hvsi_usernet_wait(net);
	return 0;
}

int hvs_usernet_add_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
{
	return change_forward(net, forward, true);
}

int hvs_usernet_remove_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
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
	hvsi_usernet_drop(net);
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

int hvs_usernet_add_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
{
	(void)net;
	(void)forward;
	return -EINVAL;
}

int hvs_usernet_remove_forward(struct hvs_usernet *net, const struct hvs_usernet_forward *forward)
{
	return hvs_usernet_add_forward(net, forward);
}

void hvs_usernet_destroy(struct hvs_usernet *net)
{
	(void)net;
}

#endif
