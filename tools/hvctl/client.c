/* SPDX-License-Identifier: MIT */
/* A connection to a machine's socket: JSON-RPC, one request at a time. */
#include "hvctl.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_ANSWER (64u << 20)
#define MAX_DEPTH 32
#define MAX_FDS 250u
#define READ_BYTES ((size_t)64 << 10)

struct client {
	int fd;
	char *path;
	char *buffer; /* what was read */
	size_t used;
	size_t room;
	size_t line; /* length of the line in front that was dealt with */
	int64_t id;  /* of the last request */
	event_fn event;
	void *arg;
};

/* ---- connecting ------------------------------------------------------------------------------ */

static int cannot_connect(const char *path, bool quiet)
{
	const int err = errno;

	if (quiet)
		return err == EACCES || err == EPERM ? EXIT_DENIED : EXIT_CONNECT;
	switch (err) {
	case ENOENT:
		return fail(EXIT_CONNECT, "%s: there is no such socket; is the machine running?",
			    path);
	case ECONNREFUSED:
		return fail(EXIT_CONNECT, "%s: nobody listens there; the machine is not running",
			    path);
	case EACCES:
	case EPERM:
		return fail(EXIT_DENIED, "%s: you have no permission to use this socket", path);
	default:
		return fail(EXIT_CONNECT, "%s: %s", path, strerror(err));
	}
}

struct client *client_open(const char *path, unsigned timeout_s, bool quiet, int *code)
{
	const struct timeval timeout = {.tv_sec = (time_t)timeout_s};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	if (strlen(path) >= sizeof(address.sun_path)) {
		free(c);
		*code = quiet ? EXIT_USAGE : fail(EXIT_USAGE, "%s: the path is too long", path);
		return NULL;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	c->path = strdup(path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd >= 0 && timeout_s) {
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	}
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		*code = cannot_connect(path, quiet);
		client_close(c);
		return NULL;
	}
	return c;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	free(c->buffer);
	free(c);
}

void client_set_events(struct client *c, event_fn fn, void *arg)
{
	c->event = fn;
	c->arg = arg;
}

int client_fd(const struct client *c)
{
	return c->fd;
}

/* ---- lines ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool lost(struct answer *answer, const char *format,
						       ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(answer->message, sizeof(answer->message), format, args);
	va_end(args);
	answer->code = EXIT_CONNECT;
	return false;
}

/* The first piece of a request carries the descriptors. */
static bool send_all(struct client *c, const char *text, size_t len, const int *fds,
		     unsigned fd_count, struct answer *answer)
{
	char control[CMSG_SPACE(MAX_FDS * sizeof(int))] = {0};

	while (len) {
		struct iovec iov = {.iov_base = (char *)text, .iov_len = len};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;

		if (fd_count) {
			struct cmsghdr *head = (struct cmsghdr *)control;

			msg.msg_control = control;
			msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
			head->cmsg_level = SOL_SOCKET;
			head->cmsg_type = SCM_RIGHTS;
			head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
			memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
		}
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lost(answer, "the connection to %s is lost: %s", c->path,
				    strerror(errno));
		text += n;
		len -= (size_t)n;
		fd_count = 0;
	}
	return true;
}

static bool read_more(struct client *c, struct answer *answer)
{
	ssize_t n;

	if (c->room - c->used < READ_BYTES) {
		c->room = c->used + READ_BYTES * 2;
		c->buffer = realloc(c->buffer, c->room);
		if (!c->buffer)
			abort();
	}
	do
		n = read(c->fd, c->buffer + c->used, READ_BYTES);
	while (n < 0 && errno == EINTR);
	answer->ended = n == 0;
	if (n == 0)
		return lost(answer,
			    "%s: the connection was closed; the machine has ended, or lets "
			    "nobody else in",
			    c->path);
	if (n < 0)
		return lost(answer, "%s: %s", c->path,
			    errno == EAGAIN ? "no answer in time" : strerror(errno));
	c->used += (size_t)n;
	return true;
}

/* The next line, without its end; it stays until the next one is read. */
static bool read_line(struct client *c, char **line, size_t *len, struct answer *answer)
{
	size_t seen = 0;

	c->used -= c->line;
	if (c->used)
		memmove(c->buffer, c->buffer + c->line, c->used);
	c->line = 0;
	for (;;) {
		char *end = c->used > seen ? memchr(c->buffer + seen, '\n', c->used - seen) : NULL;

		if (end) {
			*line = c->buffer;
			*len = (size_t)(end - c->buffer);
			c->line = *len + 1;
			return true;
		}
		seen = c->used;
		if (c->used > MAX_ANSWER)
			return lost(answer, "%s: the answer is too long", c->path);
		if (!read_more(c, answer))
			return false;
	}
}

/* NULL: it is no JSON object. */
static struct json_object *parse(const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	struct json_object *object;

	if (!tokener)
		abort();
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	/* The line feed says that nothing follows. */
	object = json_tokener_parse_ex(tokener, line, (int)len + 1);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) < len ||
	    !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int exit_code_of(int error)
{
	switch (error) {
	case ERROR_INVALID_PARAMS:
		return EXIT_USAGE;
	case ERROR_DENIED:
		return EXIT_DENIED;
	case ERROR_NOT_READY:
	case ERROR_GUEST_TIMEOUT:
	case ERROR_GONE:
		return EXIT_NOT_READY;
	case ERROR_GUEST:
		return EXIT_GUEST;
	default:
		return EXIT_FAILED;
	}
}

static bool take_error(struct json_object *error, const char *method, struct answer *answer)
{
	const char *message = string_member(error, "message");
	struct json_object *code = member(error, "code");
	struct json_object *data = object_member(error, "data");
	struct json_object *needs = array_member(data, "needs");

	answer->error = json_object_get_int(code);
	answer->code = exit_code_of(answer->error);
	if (answer->error == ERROR_METHOD_NOT_FOUND)
		snprintf(answer->message, sizeof(answer->message),
			 "this machine does not know '%s'", method);
	else
		snprintf(answer->message, sizeof(answer->message), "%s",
			 message ? message : "the machine says that it failed, but not why");
	for (size_t i = 0; i < array_length(needs); i++) {
		const char *role = json_object_get_string(json_object_array_get_idx(needs, i));
		const size_t n = strlen(answer->message);

		snprintf(answer->message + n, sizeof(answer->message) - n, "%s%s",
			 i ? ", " : "; this needs the role of: ", role ? role : "?");
	}
	return false;
}

/* *done: this is what was waited for. */
static bool take_line(struct client *c, struct json_object *line, const char *method,
		      struct answer *answer, bool *done)
{
	struct json_object *id = member(line, "id");
	struct json_object *error = object_member(line, "error");
	const char *notification = string_member(line, "method");

	*done = false;
	if (notification) {
		if (strcmp(notification, "event") == 0 && c->event)
			c->event(c->arg, object_member(line, "params"));
		return true;
	}
	/* An error without an id: of whatever the server takes for a request, or of the
	 * connection. */
	if (error && (!id || json_object_get_int64(id) == c->id))
		return take_error(error, method, answer);
	if (!id || json_object_get_int64(id) != c->id)
		return true;
	answer->result = json_object_get(object_member(line, "result"));
	*done = true;
	return answer->result ? true
			      : lost(answer,
				     "%s: an answer without a result; is this a machine's "
				     "socket?",
				     c->path);
}

/* The next message. NULL: answer says why. */
static struct json_object *read_message(struct client *c, struct answer *answer)
{
	struct json_object *object;
	char *line = NULL;
	size_t len = 0;

	if (!read_line(c, &line, &len, answer))
		return NULL;
	object = parse(line, len);
	if (!object)
		(void)lost(answer, "%s: the answer is not JSON; is this a machine's socket?",
			   c->path);
	return object;
}

static bool wait_answer(struct client *c, const char *method, struct answer *answer)
{
	bool done = false;

	while (!done) {
		struct json_object *object = read_message(c, answer);
		bool ok;

		if (!object)
			return false;
		ok = take_line(c, object, method, answer, &done);
		json_object_put(object);
		if (!ok)
			return false;
	}
	return true;
}

bool client_call(struct client *c, const char *method, struct json_object *params, const int *fds,
		 unsigned fd_count, struct answer *answer)
{
	struct json_object *request = json_object_new_object();
	struct answer unsent = {0};
	char *text = NULL;
	bool ok;

	*answer = (struct answer){0};
	json_object_object_add(request, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(request, "id", json_object_new_int64(++c->id));
	json_object_object_add(request, "method", json_object_new_string(method));
	if (params)
		json_object_object_add(request, "params", params);
	if (asprintf(&text, "%s\n",
		     json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN)) < 0)
		abort();
	ok = send_all(c, text, strlen(text), fds, fd_count, &unsent);
	free(text);
	json_object_put(request);
	/* Who is not let in may be told why before the connection is closed. */
	if (wait_answer(c, method, answer))
		return true;
	if (!ok && !answer->error)
		*answer = unsent;
	return false;
}

void client_follow(struct client *c, struct answer *answer)
{
	bool done = false;

	*answer = (struct answer){0};
	while (!done) {
		struct json_object *object = read_message(c, answer);

		if (!object)
			return;
		done = !take_line(c, object, "events", answer, &done);
		json_object_put(object);
	}
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool client_wait_end(struct client *c, uint64_t timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	struct answer ignored = {0};
	const uint64_t from = now_ms();

	for (;;) {
		const uint64_t gone = now_ms() - from;
		const uint64_t left = timeout_ms > gone ? timeout_ms - gone : 0;

		if (timeout_ms && !left)
			return false;
		if (poll(&p, 1, !timeout_ms ? -1 : left > 60000 ? 60000 : (int)left) <= 0)
			continue;
		c->used = 0;
		c->line = 0;
		if (!read_more(c, &ignored))
			return true;
	}
}
