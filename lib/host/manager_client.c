/* SPDX-License-Identifier: MIT */
/* One connection of the management server. */
#include "host/manager_impl.h"
#include "host/notify.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PER_CALL 1000u /* tokens */
#define BURST_S 2u     /* calls of so many seconds, at once */

/* ---- answers ----------------------------------------------------------------------------------- */

/* evbuffer_write() would have the process killed when nobody reads. */
static int send_some(struct hvsi_client *client)
{
	struct evbuffer_iovec pieces[8];
	int n = evbuffer_peek(client->out, -1, NULL, pieces, 8);
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = n < 8 ? (size_t)n : 8};
	ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return -errno;
	evbuffer_drain(client->out, (size_t)sent);
	return 0;
}

static void flush(struct hvsi_client *client)
{
	int err = 0;

	while (!err && evbuffer_get_length(client->out))
		err = send_some(client);
	if (err == -EAGAIN)
		event_add(client->writable, NULL);
	else if (err && err != -EINTR)
		hvsi_client_cut(client, "left");
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct hvsi_client *client = arg;
	struct event_base *outer = hvsi_base_enter(client->m->cfg.base);

	(void)fd;
	(void)what;
	flush(client);
	hvsi_base_leave(outer);
}

void hvsi_client_send(struct hvsi_client *client, struct json_object *message)
{
	size_t len = 0;
	char *line;
	int err;

	if (client->cut)
		return;
	if (evbuffer_get_length(client->out) >= HVSI_CLIENT_UNREAD) {
		hvsi_client_cut(client, "cut off: it does not read its answers");
		return;
	}
	line = hvsi_json_line(message, &len);
	err = line ? evbuffer_add(client->out, line, len) : -1;
	free(line);
	if (err) /* it would wait for ever */
		hvsi_client_cut(client, "cut off: no memory for its answer");
	else
		flush(client);
}

/* ---- requests ---------------------------------------------------------------------------------- */

bool hvsi_client_may_call(struct hvsi_client *client)
{
	const uint64_t now = hvsi_manager_now_ms();
	const uint64_t rate = client->m->cfg.max_calls_per_s;
	const uint64_t full = rate * BURST_S * PER_CALL;
	const uint64_t ms = now - client->tokens_at;

	/* rate calls a second are rate tokens a millisecond. */
	client->tokens =
		ms >= full || client->tokens + ms * rate > full ? full : client->tokens + ms * rate;
	client->tokens_at = now;
	if (client->tokens < PER_CALL)
		return false;
	client->tokens -= PER_CALL;
	return true;
}

static void append(struct hvsi_client *client, const char *bytes, size_t len)
{
	const size_t max = client->m->cfg.max_line_bytes;
	size_t room = client->line_room ? client->line_room : 1024;
	char *line = client->line;

	if (client->too_long || len > max - client->line_len) {
		client->too_long = true;
		return;
	}
	while (room < client->line_len + len)
		room *= 2;
	if (room != client->line_room)
		line = realloc(client->line, room);
	if (!line) {
		hvsi_client_cut(client, "cut off: no memory for its request");
		return;
	}
	client->line = line;
	client->line_room = room;
	if (len)
		memcpy(line + client->line_len, bytes, len);
	client->line_len += len;
}

static void end_line(struct hvsi_client *client)
{
	int fds[HVSI_CALL_FDS];
	unsigned count = 0;
	unsigned kept = 0;

	for (unsigned i = 0; i < client->fd_count; i++) {
		if (client->fds[i].line == client->lines)
			fds[count++] = client->fds[i].fd;
		else
			client->fds[kept++] = client->fds[i];
	}
	client->fd_count = kept;
	client->lines++;
	if (client->too_long) {
		hvsi_call_refuse(client, NULL, HVSI_INVALID_REQUEST, "the line is too long");
		while (count)
			close(fds[--count]);
	} else {
		hvsi_call_line(client, client->line, client->line_len, fds, count);
	}
	client->too_long = false;
	client->line_len = 0;
}

static void take(struct hvsi_client *client, const char *bytes, size_t len)
{
	while (len && !client->cut) {
		const char *end = memchr(bytes, '\n', len);
		size_t n = end ? (size_t)(end - bytes) : len;

		append(client, bytes, n);
		if (end && !client->cut) {
			end_line(client);
			n++;
		}
		bytes += n;
		len -= n;
	}
}

/* ---- file descriptors ---------------------------------------------------------------------------- */

static void take_fds(struct hvsi_client *client, struct msghdr *message, uint64_t line)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (client->fd_count == HVSI_CALL_FDS) {
				close(fd);
				continue;
			}
			client->fds[client->fd_count].fd = fd;
			client->fds[client->fd_count++].line = line;
		}
	}
}

/* The line that file descriptors of these bytes belong to: the kernel puts nothing behind what was
 * sent with them, but maybe what was sent before in front of it. */
static uint64_t last_line(const struct hvsi_client *client, const char *bytes, size_t len)
{
	uint64_t line = client->lines;

	for (size_t i = 0; i + 1 < len; i++)
		line += bytes[i] == '\n';
	return line;
}

static void receive(struct hvsi_client *client)
{
	char *chunk = client->m->chunk;
	union {
		char bytes[CMSG_SPACE(HVSI_CALL_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {chunk, HVSI_CLIENT_CHUNK};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t len;

	/* Whoever may only look has no use for them; and to close a file may take as long as its file
	 * system likes. The kernel drops what there is no room for. */
	if (client->role == HVS_ROLE_MONITOR)
		message.msg_controllen = 0;
	len = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len > 0) {
		take_fds(client, &message, last_line(client, chunk, (size_t)len));
		take(client, chunk, (size_t)len);
	} else {
		hvsi_client_cut(client, "left");
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct hvsi_client *client = arg;
	struct event_base *outer = hvsi_base_enter(client->m->cfg.base);

	(void)fd;
	(void)what;
	receive(client);
	hvsi_base_leave(outer);
}

/* ---- life -------------------------------------------------------------------------------------- */

/* It is no client, and hears why. */
static void turn_away(int fd, int code, const char *why, struct json_object *data)
{
	struct json_object *message = hvsi_call_error(NULL, code, why, data);
	size_t len = 0;
	char *line = hvsi_json_line(message, &len);

	if (line)
		(void)!send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(line);
	json_object_put(message);
	close(fd);
}

static bool prepare(struct hvsi_client *client)
{
	struct event_base *base = client->m->cfg.base;

	client->out = evbuffer_new();
	client->readable = event_new(base, client->fd, EV_READ | EV_PERSIST, on_readable, client);
	client->writable = event_new(base, client->fd, EV_WRITE, on_writable, client);
	return client->out && client->readable && client->writable &&
	       event_add(client->readable, NULL) == 0;
}

/* Also closes its socket. */
void hvsi_client_free(struct hvsi_client *client)
{
	if (client->readable)
		event_free(client->readable);
	if (client->writable)
		event_free(client->writable);
	if (client->out)
		evbuffer_free(client->out);
	while (client->fd_count)
		close(client->fds[--client->fd_count].fd);
	if (client->fd >= 0)
		close(client->fd);
	free(client->line);
	free(client);
}

/* Nobody can keep administrators out. */
static uint32_t max_clients(const struct hvs_manager *m, enum hvs_role role)
{
	const uint32_t max = m->cfg.max_clients;

	return role == HVS_ROLE_ADMINISTRATOR ? max : max - max / 8;
}

void hvsi_client_add(struct hvs_manager *m, int fd)
{
	struct hvsi_client *client = calloc(1, sizeof(*client));
	int err;

	if (!client) {
		turn_away(fd, HVS_CALL_INTERNAL, "out of memory", NULL);
		return;
	}
	client->m = m;
	client->fd = fd;
	err = hvsi_roles_identify(m, client);
	if (err || !client->role) {
		hvsi_manager_log(m, HVS_MANAGER_DENIED, "%s: no role",
				 err ? "somebody" : client->who);
		turn_away(fd, HVS_CALL_DENIED, "access denied: you have no role here", NULL);
		client->fd = -1;
	} else if (m->client_count >= max_clients(m, client->role)) {
		hvsi_manager_log(m, HVS_MANAGER_CLIENT, "%s: too many connections", client->who);
		turn_away(fd, HVS_CALL_TOO_MANY, "too many connections", NULL);
		client->fd = -1;
	} else if (prepare(client)) {
		client->number = ++m->numbers;
		client->tokens = (uint64_t)m->cfg.max_calls_per_s * BURST_S * PER_CALL;
		client->tokens_at = hvsi_manager_now_ms();
		client->next = m->clients;
		m->clients = client;
		m->client_count++;
		hvsi_manager_log(m, HVS_MANAGER_CLIENT, "%s: connected", client->who);
		return;
	}
	hvsi_client_free(client);
}
