/* SPDX-License-Identifier: MIT */
/*
 * Opening a TAP, and what becomes of it: an interface may be deleted, made anew, taken down and up
 * at any time. A descriptor whose interface was deleted can be given another one, so the
 * descriptors stay the same as long as the hvs_tap.
 */
#include "host/notify.h"
#include "host/sized.h"
#include "host/tap_impl.h"
#include "host/why.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define VNET_BYTES 12
#define TAG_BYTES 4u
#define MIN_MTU 68u
#define DEFAULT_MTU 1500u
#define LOOK_S 1
/* linux/if_tun.h has them since 6.2. */
#define FLAG_USO4 0x20u
#define FLAG_USO6 0x40u

/* ---- the kernel's side ------------------------------------------------------------------ */

/* Header size and offloads, whatever somebody before us has set. */
static int set_up(struct hvs_tap *tap, int fd)
{
	const unsigned usual = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	const int bytes = VNET_BYTES;

	if (ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0)
		return -errno;
	tap->offloads = HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_VLAN;
	if (ioctl(fd, TUNSETOFFLOAD, usual | FLAG_USO4 | FLAG_USO6) == 0)
		tap->offloads |= HVS_NET_USO;
	else if (ioctl(fd, TUNSETOFFLOAD, usual) < 0)
		return -errno;
	return 0;
}

static int attach_fd(struct hvs_tap *tap, int fd, bool multi_queue)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
						 (multi_queue ? IFF_MULTI_QUEUE : 0))};

	/* The kernel would make an interface that isn't there. */
	if (!if_nametoindex(tap->name))
		return -ENODEV;
	memcpy(ifr.ifr_name, tap->name, sizeof(ifr.ifr_name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	return set_up(tap, fd);
}

static uint32_t mtu_of(const char *name)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int mtu = DEFAULT_MTU;

	memcpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	if (fd >= 0 && ioctl(fd, SIOCGIFMTU, &ifr) == 0)
		mtu = ifr.ifr_mtu;
	if (fd >= 0)
		close(fd);
	return mtu < (int)MIN_MTU ? MIN_MTU : (uint32_t)mtu;
}

/* The kernel says that a TAP can be written to if its interface is up, in whichever network
 * namespace it is. */
static enum hvsi_tap_state state_of(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (poll(&p, 1, 0) < 0)
		return HVSI_TAP_DOWN;
	if (p.revents & (POLLERR | POLLHUP | POLLNVAL))
		return HVSI_TAP_LOST;
	return p.revents & POLLOUT ? HVSI_TAP_UP : HVSI_TAP_DOWN;
}

/* ---- losing and finding ----------------------------------------------------------------- */

/* With the lock held. */
static void look_later(struct hvs_tap *tap)
{
	static const struct timeval soon = {.tv_sec = LOOK_S};

	(void)event_add(tap->timer, &soon);
}

/* With the lock held. */
static void change_state(struct hvs_tap *tap, enum hvsi_tap_state state)
{
	static const char *const texts[] = {"is up", "is down", "has gone"};
	char text[64];

	if (state == tap->state)
		return;
	tap->state = state;
	if (tap->nic)
		hvs_nic_set_link(tap->nic, state == HVSI_TAP_UP, 0);
	if (tap->log) {
		(void)snprintf(text, sizeof(text), "the interface %s %s", tap->name, texts[state]);
		tap->log(tap->log_arg, text);
	}
}

void hvsi_tap_failed(struct hvs_tap *tap, int err)
{
	if (err != EIO && err != EBADFD)
		return;
	pthread_mutex_lock(&tap->lock);
	if (tap->state != HVSI_TAP_LOST) {
		change_state(tap, err == EIO ? HVSI_TAP_DOWN : HVSI_TAP_LOST);
		look_later(tap);
	}
	pthread_mutex_unlock(&tap->lock);
}

/* With the lock held: a new interface of that name. */
static bool find_again(struct hvs_tap *tap)
{
	for (uint32_t i = 0; i < tap->queue_count; i++)
		if (state_of(tap->queues[i].fd) == HVSI_TAP_LOST &&
		    (!tap->by_name || attach_fd(tap, tap->queues[i].fd, tap->multi_queue) < 0))
			return false;
	return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_tap *tap = arg;
	struct event_base *outer = hvsi_base_enter(event_get_base(tap->timer));
	bool found = false;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&tap->lock);
	if (tap->state == HVSI_TAP_LOST && find_again(tap)) {
		found = true;
		change_state(tap, HVSI_TAP_DOWN);
	}
	if (tap->state == HVSI_TAP_DOWN)
		change_state(tap, state_of(tap->queues[0].fd));
	if (tap->state != HVSI_TAP_UP)
		look_later(tap);
	pthread_mutex_unlock(&tap->lock);
	for (uint32_t i = 0; found && i < tap->queue_count; i++)
		hvsi_net_in_resume(&tap->queues[i].in);
	hvsi_base_leave(outer);
}

void hvsi_tap_set_nic(struct hvs_tap *tap, struct hvs_nic *nic)
{
	pthread_mutex_lock(&tap->lock);
	tap->nic = nic;
	if (nic && tap->state != HVSI_TAP_UP)
		look_later(tap);
	pthread_mutex_unlock(&tap->lock);
}

/* ---- opening ---------------------------------------------------------------------------- */

static int check_config(const struct hvs_tap_config *cfg, const struct hvsi_why *why)
{
	const bool name_or_fds = !cfg->name != !cfg->fd_count && !cfg->fds == !cfg->fd_count;

	if (cfg->flags)
		return hvsi_fail(why, ENOTSUP, "unknown flags");
	if (!name_or_fds)
		return hvsi_fail(why, EINVAL, "either a name or descriptors have to be given");
	if (cfg->name && (!*cfg->name || strlen(cfg->name) >= IFNAMSIZ))
		return hvsi_fail(why, EINVAL, "'%s' can't be the name of an interface", cfg->name);
	if (!cfg->bases || cfg->base_count == 0 || cfg->base_count > HVSI_TAP_MAX_QUEUES)
		return hvsi_fail(why, EINVAL, "1 to %u bases have to be given",
				 HVSI_TAP_MAX_QUEUES);
	if (cfg->queue_count > cfg->base_count || cfg->fd_count > cfg->base_count)
		return hvsi_fail(why, EINVAL, "more queues than bases");
	if (cfg->fds && cfg->queue_count)
		return hvsi_fail(why, EINVAL, "descriptors are as many queues as they are");
	if (cfg->mtu && (cfg->mtu < MIN_MTU || cfg->mtu > HVS_NET_MAX_MTU))
		return hvsi_fail(why, EINVAL, "the MTU has to be %u to %u", MIN_MTU,
				 HVS_NET_MAX_MTU);
	return 0;
}

static int open_failed(const struct hvs_tap *tap, int err, uint32_t queue,
		       const struct hvsi_why *why)
{
	const char *name = tap->name;

	switch (-err) {
	case ENODEV:
		return hvsi_fail(why, ENODEV,
				 "there is no interface %s (ip tuntap add dev %s mode tap)", name,
				 name);
	case EBUSY:
		return hvsi_fail(why, EBUSY, "somebody else uses %s", name);
	case E2BIG:
		return hvsi_fail(why, EBUSY, "%s has no free queue left", name);
	case EPERM:
		return hvsi_fail(
			why, EPERM,
			"%s belongs to another user (ip tuntap add dev %s mode tap user ...)", name,
			name);
	case EINVAL:
		if (queue > 0)
			return hvsi_fail(why, EINVAL,
					 "%s has one queue only (ip tuntap add ... multi_queue)",
					 name);
		return hvsi_fail(why, EINVAL, "%s is not a TAP interface", name);
	default:
		return hvsi_fail(why, -err, "can't open %s: %s", name, strerror(-err));
	}
}

/* The first queue also tells whether there can be more. */
static int open_queue(struct hvs_tap *tap, uint32_t queue, const struct hvsi_why *why)
{
	struct hvsi_tap_queue *q = &tap->queues[queue];
	int err;

	q->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (q->fd < 0) {
		err = errno;
		return hvsi_fail(why, err, "can't open /dev/net/tun: %s", strerror(err));
	}
	tap->queue_count++;
	tap->multi_queue |= queue == 0;
	err = attach_fd(tap, q->fd, tap->multi_queue);
	if (err == -EINVAL && queue == 0) {
		tap->multi_queue = false;
		err = attach_fd(tap, q->fd, false);
	}
	return err ? open_failed(tap, err, queue, why) : 0;
}

static int open_by_name(struct hvs_tap *tap, const struct hvs_tap_config *cfg,
			const struct hvsi_why *why)
{
	uint32_t count = cfg->queue_count ? cfg->queue_count : 1;
	int err;

	memcpy(tap->name, cfg->name, strlen(cfg->name) + 1);
	tap->by_name = true;
	err = open_queue(tap, 0, why);
	if (!err && !cfg->queue_count && tap->multi_queue)
		count = cfg->base_count;
	if (!err && count > 1 && !tap->multi_queue)
		return open_failed(tap, -EINVAL, 1, why);
	for (uint32_t i = 1; !err && i < count; i++)
		err = open_queue(tap, i, why);
	tap->mtu = cfg->mtu ? cfg->mtu : mtu_of(tap->name);
	return err;
}

static int take_fds(struct hvs_tap *tap, const struct hvs_tap_config *cfg,
		    const struct hvsi_why *why)
{
	const short needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq ifr = {0};

	tap->mtu = cfg->mtu ? cfg->mtu : DEFAULT_MTU;
	for (uint32_t i = 0; i < cfg->fd_count; i++) {
		const int fd = cfg->fds[i];

		if (ioctl(fd, TUNGETIFF, &ifr) < 0 || (ifr.ifr_flags & needed) != needed)
			return hvsi_fail(
				why, EINVAL,
				"a descriptor is not of a TAP with IFF_NO_PI and IFF_VNET_HDR");
		if (i > 0 && strncmp(ifr.ifr_name, tap->name, IFNAMSIZ - 1) != 0)
			return hvsi_fail(why, EINVAL, "the descriptors are of several interfaces");
		memcpy(tap->name, ifr.ifr_name, IFNAMSIZ - 1);
		if (set_up(tap, fd) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			return hvsi_fail(why, ENOTSUP, "the kernel is too old");
	}
	/* Only now they are ours. */
	for (; tap->queue_count < cfg->fd_count; tap->queue_count++)
		tap->queues[tap->queue_count].fd = cfg->fds[tap->queue_count];
	return 0;
}

static int init_queue(struct hvs_tap *tap, uint32_t i, struct event_base *base)
{
	struct hvsi_tap_queue *q = &tap->queues[i];
	int err;

	q->tap = tap;
	q->in.ops = &hvsi_tap_in_ops;
	q->in.arg = q;
	q->in.fd = q->fd;
	q->in.queue = i;
	q->in.max_read = VNET_BYTES + HVS_NET_MAX_FRAME + TAG_BYTES;
	q->in.base = base;
	q->out.send = hvsi_tap_send;
	q->out.arg = q;
	q->out.fd = q->fd;
	q->out.base = base;
	err = hvsi_net_in_init(&q->in);
	return err ? err : hvsi_net_out_init(&q->out);
}

static struct hvs_tap *make_tap(const struct hvs_tap_config *cfg)
{
	struct hvs_tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		return NULL;
	tap->queues = calloc(cfg->base_count, sizeof(*tap->queues));
	tap->timer = evtimer_new(cfg->bases[0], on_timer, tap);
	tap->base_count = cfg->base_count;
	tap->log = cfg->log;
	tap->log_arg = cfg->arg;
	pthread_mutex_init(&tap->lock, NULL);
	return tap;
}

static void destroy(struct hvs_tap *tap)
{
	if (tap->timer)
		event_free(tap->timer);
	for (uint32_t i = 0; i < tap->queue_count; i++) {
		if (tap->queues[i].tap) {
			hvsi_net_in_fini(&tap->queues[i].in);
			hvsi_net_out_fini(&tap->queues[i].out);
		}
		if (tap->queues[i].fd >= 0)
			close(tap->queues[i].fd);
	}
	pthread_mutex_destroy(&tap->lock);
	free(tap->queues);
	free(tap);
}

int hvs_tap_open(const struct hvs_tap_config *cfg_in, struct hvs_tap **out, char *text,
		 size_t text_len)
{
	const struct hvsi_why why = {.text = text, .len = text ? text_len : 0};
	struct hvs_tap_config cfg;
	struct hvs_tap *tap;
	int err;

	err = hvsi_took_config(&why, HVSI_HOST_TAKE(&cfg, cfg_in, arg), out);
	if (!err)
		err = check_config(&cfg, &why);
	if (err)
		return err;
	tap = make_tap(&cfg);
	if (!tap)
		return hvsi_fail(&why, ENOMEM, "out of memory");
	err = tap->queues && tap->timer ? 0 : hvsi_fail(&why, ENOMEM, "out of memory");
	if (!err)
		err = cfg.name ? open_by_name(tap, &cfg, &why) : take_fds(tap, &cfg, &why);
	for (uint32_t i = 0; !err && i < tap->queue_count; i++) {
		err = init_queue(tap, i, cfg.bases[i]);
		if (err)
			hvsi_fail(&why, -err, "out of memory");
	}
	if (err) {
		for (uint32_t i = 0; cfg.fds && tap->queues && i < tap->queue_count; i++)
			tap->queues[i].fd = -1; /* the caller's still */
		destroy(tap);
		return err;
	}
	if (tap->mtu > HVS_NET_MAX_MTU)
		tap->mtu = HVS_NET_MAX_MTU;
	tap->state = state_of(tap->queues[0].fd);
	*out = tap;
	return 0;
}

void hvs_tap_close(struct hvs_tap *tap)
{
	if (tap)
		destroy(tap);
}
