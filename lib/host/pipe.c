/* SPDX-License-Identifier: MIT */
/*
 * Frames through a Unix socket that keeps the boundaries of what is sent. The descriptor that is
 * read and written stays the same for ever: the socket of the moment is put into its place with
 * dup3(), so that no other thread ever sends into a descriptor that means something else.
 */
#include <hvstack/host/wire.h>

#include "host/net_io.h"
#include "host/notify.h"
#include "host/sized.h"
#include "host/why.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MIN_MTU 68u
#define DEFAULT_MTU 1500u
#define MAX_PIECES 256u
#define BUFFER_BYTES (4 << 20) /* asked for; the host's limit may be lower */
#define LOOK_S 1

struct hvs_pipe {
	struct sockaddr_un address; /* sun_path "": it was given a descriptor */
	bool listens;
	bool datagrams;
	int fd;       /* the connection; a socket that nobody is at if there is none */
	int listener; /* or -1 */
	bool bound;   /* the path is ours */
	struct event_base *base;
	struct event *accept_event;
	struct event *timer; /* look for the other end */
	uint32_t mtu;
	uint32_t max_queues;
	void (*log)(void *arg, const char *text);
	void *log_arg;
	struct hvsi_net_in in;
	struct hvsi_net_out out;

	pthread_mutex_t lock; /* all of the following */
	struct hvs_nic *nic;
	bool connected;
};

/* ---- the connection --------------------------------------------------------------------- */

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static void look_later(struct hvs_pipe *p)
{
	static const struct timeval soon = {.tv_sec = LOOK_S};

	(void)event_add(p->timer, &soon);
}

/* That socket is the connection now; it is taken over. */
static bool use(struct hvs_pipe *p, int socket)
{
	const int bytes = BUFFER_BYTES;
	const bool ok = dup3(socket, p->fd, O_CLOEXEC) >= 0;

	close(socket);
	(void)setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return ok;
}

/* Returns whether this is news. */
static bool set_connected(struct hvs_pipe *p, bool connected)
{
	bool changed;

	pthread_mutex_lock(&p->lock);
	changed = p->connected != connected;
	p->connected = connected;
	if (changed && p->nic)
		hvs_nic_set_link(p->nic, connected, 0);
	pthread_mutex_unlock(&p->lock);
	if (changed && p->log)
		p->log(p->log_arg, connected ? "the other end of the socket is there"
					     : "the other end of the socket has gone");
	return changed;
}

static void lose(struct hvs_pipe *p)
{
	int nobody;

	if (!set_connected(p, false))
		return;
	hvsi_net_out_drop(&p->out);
	nobody = new_socket();
	if (nobody >= 0)
		(void)use(p, nobody);
	if (p->listens)
		(void)event_add(p->accept_event, NULL);
	else if (p->address.sun_path[0])
		look_later(p);
}

static bool try_connect(struct hvs_pipe *p)
{
	int fd = new_socket();

	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)&p->address, sizeof(p->address)) < 0) {
		close(fd);
		return false;
	}
	return use(p, fd);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_pipe *p = arg;
	struct event_base *outer = hvsi_base_enter(p->base);

	(void)fd;
	(void)what;
	if (try_connect(p)) {
		hvsi_net_in_resume(&p->in);
		(void)set_connected(p, true);
	} else {
		look_later(p);
	}
	hvsi_base_leave(outer);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_pipe *p = arg;
	struct event_base *outer = hvsi_base_enter(p->base);
	int other = accept4((int)fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (other >= 0 && use(p, other)) {
		/* Others wait until this one leaves. */
		(void)event_del(p->accept_event);
		hvsi_net_in_resume(&p->in);
		(void)set_connected(p, true);
	}
	hvsi_base_leave(outer);
}

/* ---- frames ----------------------------------------------------------------------------- */

static bool pipe_parse(void *arg, struct iovec *bytes, struct hvs_net_frame *frame)
{
	(void)arg;
	(void)frame;
	return bytes->iov_len >= HVS_NET_HEADER_BYTES;
}

static void pipe_ended(void *arg, int err)
{
	struct hvs_pipe *p = arg;
	struct pollfd other = {.fd = p->fd, .events = POLLIN};

	/* A datagram may be empty. */
	if (!err && p->datagrams && poll(&other, 1, 0) >= 0 && !(other.revents & POLLHUP))
		hvsi_net_in_resume(&p->in);
	else
		lose(p);
}

static const struct hvsi_net_in_ops in_ops = {.parse = pipe_parse, .ended = pipe_ended};

static int pipe_send(void *arg, const struct hvs_net_frame *frame)
{
	const struct hvs_pipe *p = arg;
	const struct msghdr msg = {.msg_iov = (struct iovec *)frame->iov,
				   .msg_iovlen = frame->iovcnt};
	int err;

	if (frame->iovcnt == 0 || frame->iovcnt > MAX_PIECES)
		return -EINVAL;
	do {
		err = sendmsg(p->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
	} while (err == -EINTR);
	return err;
}

/* ---- what the NIC calls ----------------------------------------------------------------- */

static int pipe_get_info(void *net, struct hvs_net_info *info)
{
	struct hvs_pipe *p = net;

	info->mtu = p->mtu;
	info->max_queues = p->max_queues;
	pthread_mutex_lock(&p->lock);
	info->link_down = !p->connected;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static void pipe_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	struct hvs_pipe *p = net;

	(void)queue;
	hvsi_net_out_tx(&p->out, frames, n);
}

static void pipe_rx_room(void *net, uint32_t queue)
{
	struct hvs_pipe *p = net;

	if (queue == 0)
		hvsi_net_in_room(&p->in);
}

static void pipe_attach(void *net, struct hvs_nic *nic)
{
	struct hvs_pipe *p = net;

	p->out.nic = nic;
	pthread_mutex_lock(&p->lock);
	p->nic = nic;
	hvs_nic_set_link(nic, p->connected, 0); /* it may have changed since get_info() */
	pthread_mutex_unlock(&p->lock);
	hvsi_net_in_attach(&p->in, nic);
}

static void pipe_detach(void *net)
{
	struct hvs_pipe *p = net;

	pthread_mutex_lock(&p->lock);
	p->nic = NULL;
	pthread_mutex_unlock(&p->lock);
	hvsi_net_out_drop(&p->out);
	hvsi_net_in_detach(&p->in);
}

const struct hvs_net_ops *hvs_pipe_ops(void)
{
	static const struct hvs_net_ops ops = {
		HVS_NET_OPS_INIT,        .get_info = pipe_get_info, .tx = pipe_tx,
		.rx_room = pipe_rx_room, .attach = pipe_attach,     .detach = pipe_detach,
	};

	return &ops;
}

/* ---- opening ---------------------------------------------------------------------------- */

static int take_fd(struct hvs_pipe *p, int fd, const struct hvsi_why *why)
{
	socklen_t len = sizeof(int);
	int type;
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX ||
	    (type != SOCK_SEQPACKET && type != SOCK_DGRAM))
		return hvsi_fail(why, EINVAL,
				 "the descriptor is no Unix socket that keeps packets apart");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return hvsi_fail(why, errno, "the socket can't be used: %s", strerror(errno));
	p->datagrams = type == SOCK_DGRAM;
	p->connected = true;
	p->fd = fd;
	return 0;
}

/* Does somebody listen there? If not, what is left over there is removed. */
static bool in_use(const struct hvs_pipe *p)
{
	const int fd = new_socket();
	struct stat st;
	bool used;

	if (fd < 0)
		return true;
	used = connect(fd, (const struct sockaddr *)&p->address, sizeof(p->address)) == 0 ||
	       errno == EAGAIN;
	close(fd);
	if (!used && lstat(p->address.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(p->address.sun_path);
	return used;
}

static int listen_there(struct hvs_pipe *p, const struct hvsi_why *why)
{
	const char *path = p->address.sun_path;
	mode_t mask;
	int err;

	p->listener = new_socket();
	if (p->listener < 0)
		return hvsi_fail(why, -p->listener, "no socket: %s", strerror(-p->listener));
	if (in_use(p))
		return hvsi_fail(why, EADDRINUSE, "somebody else listens at %s", path);
	mask = umask(0077);
	err = bind(p->listener, (const struct sockaddr *)&p->address, sizeof(p->address)) < 0
		      ? errno
		      : 0;
	umask(mask);
	if (err)
		return hvsi_fail(why, err, "%s: %s", path, strerror(err));
	p->bound = true;
	if (listen(p->listener, 1) < 0)
		return hvsi_fail(why, errno, "%s: %s", path, strerror(errno));
	p->accept_event = event_new(p->base, p->listener, EV_READ | EV_PERSIST, on_accept, p);
	if (!p->accept_event || event_add(p->accept_event, NULL) < 0)
		return hvsi_fail(why, ENOMEM, "out of memory");
	return 0;
}

static int take_path(struct hvs_pipe *p, const struct hvs_pipe_config *cfg,
		     const struct hvsi_why *why)
{
	const size_t len = strlen(cfg->path);

	if (len == 0 || len >= sizeof(p->address.sun_path))
		return hvsi_fail(why, ENAMETOOLONG, "a path has 1 to %zu characters here",
				 sizeof(p->address.sun_path) - 1);
	p->address.sun_family = AF_UNIX;
	memcpy(p->address.sun_path, cfg->path, len + 1);
	p->listens = cfg->flags & HVS_PIPE_LISTEN;
	p->fd = new_socket();
	if (p->fd < 0)
		return hvsi_fail(why, -p->fd, "no socket: %s", strerror(-p->fd));
	if (p->listens)
		return listen_there(p, why);
	p->connected = try_connect(p);
	if (!p->connected)
		look_later(p);
	return 0;
}

static int check_config(const struct hvs_pipe_config *cfg, const struct hvsi_why *why)
{
	if (cfg->flags & ~HVS_PIPE_LISTEN || cfg->reserved)
		return hvsi_fail(why, ENOTSUP, "unknown flags");
	if (!cfg->base || (cfg->path && cfg->fd) || (!cfg->path && cfg->flags & HVS_PIPE_LISTEN))
		return hvsi_fail(why, EINVAL,
				 "a base, and either a path or a descriptor are needed");
	if (cfg->mtu && (cfg->mtu < MIN_MTU || cfg->mtu > HVS_NET_MAX_MTU))
		return hvsi_fail(why, EINVAL, "the MTU has to be %u to %u", MIN_MTU,
				 HVS_NET_MAX_MTU);
	return 0;
}

static int init_io(struct hvs_pipe *p)
{
	int err;

	p->in.ops = &in_ops;
	p->in.arg = p;
	p->in.fd = p->fd;
	p->in.max_read = HVS_NET_MAX_FRAME;
	p->in.base = p->base;
	p->out.send = pipe_send;
	p->out.arg = p;
	p->out.fd = p->fd;
	p->out.base = p->base;
	err = hvsi_net_in_init(&p->in);
	return err ? err : hvsi_net_out_init(&p->out);
}

int hvs_pipe_open(const struct hvs_pipe_config *cfg_in, struct hvs_pipe **out, char *text,
		  size_t text_len)
{
	const struct hvsi_why why = {.text = text, .len = text ? text_len : 0};
	struct hvs_pipe_config cfg;
	struct hvs_pipe *p;
	int err;

	err = hvsi_took_config(&why, HVSI_HOST_TAKE(&cfg, cfg_in, arg), out);
	if (!err)
		err = check_config(&cfg, &why);
	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return hvsi_fail(&why, ENOMEM, "out of memory");
	pthread_mutex_init(&p->lock, NULL);
	p->fd = -1;
	p->listener = -1;
	p->base = cfg.base;
	p->mtu = cfg.mtu ? cfg.mtu : DEFAULT_MTU;
	p->max_queues = cfg.max_queues;
	p->log = cfg.log;
	p->log_arg = cfg.arg;
	p->timer = evtimer_new(p->base, on_timer, p);
	err = p->timer ? 0 : hvsi_fail(&why, ENOMEM, "out of memory");
	if (!err)
		err = cfg.path ? take_path(p, &cfg, &why) : take_fd(p, cfg.fd, &why);
	if (!err && init_io(p) < 0)
		err = hvsi_fail(&why, ENOMEM, "out of memory");
	if (err) {
		if (!cfg.path)
			p->fd = -1; /* the caller's still */
		hvs_pipe_close(p);
		return err;
	}
	*out = p;
	return 0;
}

void hvs_pipe_close(struct hvs_pipe *p)
{
	if (!p)
		return;
	if (p->timer)
		event_free(p->timer);
	if (p->accept_event)
		event_free(p->accept_event);
	if (p->in.ops) {
		hvsi_net_in_fini(&p->in);
		hvsi_net_out_fini(&p->out);
	}
	if (p->listener >= 0)
		close(p->listener);
	if (p->bound)
		unlink(p->address.sun_path);
	if (p->fd >= 0)
		close(p->fd);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
