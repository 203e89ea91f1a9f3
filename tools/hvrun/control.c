/* SPDX-License-Identifier: MIT */
#include "control.h"

#include "control_call.h"
#include "report.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_LINE 65536u
#define MAX_CLIENTS 16u
#define MAX_UNREAD (1u << 20) /* bytes of answers that a client may leave unread */

struct client {
	struct client *next;
	struct control *control;
	struct bufferevent *socket;
	uint64_t number;
	unsigned pending; /* commands that run */
	bool eof;         /* it sends no more, but may still read */
};

struct control {
	struct event_base *base;
	struct disks *disks;
	struct nets *nets;
	struct event *listen_event;
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct client *clients;
	unsigned client_count;
	uint64_t numbers; /* given to clients */
};

/* ---- answers -------------------------------------------------------------------------------- */

static void client_free(struct client *client)
{
	bufferevent_free(client->socket);
	free(client);
}

static void client_leave(struct client *client)
{
	struct client **p = &client->control->clients;

	while (*p != client)
		p = &(*p)->next;
	*p = client->next;
	client->control->client_count--;
	client_free(client);
}

static void send_line(struct client *client, struct json_object *line)
{
	struct evbuffer *out = bufferevent_get_output(client->socket);

	if (evbuffer_get_length(out) < MAX_UNREAD)
		evbuffer_add_printf(out, "%s\n",
				    json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
}

/* Takes over body and id. */
static void answer(struct client *client, const char *key, struct json_object *body,
		   struct json_object *id)
{
	struct json_object *line = json_object_new_object();

	json_object_object_add(line, key, body);
	if (id)
		json_object_object_add(line, "id", id);
	send_line(client, line);
	json_object_put(line);
}

static void answer_error(struct client *client, const char *code, const char *message,
			 struct json_object *id)
{
	struct json_object *error = json_object_new_object();

	json_object_object_add(error, "code", json_object_new_string(code));
	json_object_object_add(error, "message", json_object_new_string(message));
	answer(client, "error", error, id);
}

/* ---- commands ------------------------------------------------------------------------------- */

static void call_free(struct call *call)
{
	json_object_put(call->id);
	json_object_put(call->arguments);
	free(call);
}

void call_end(void *arg)
{
	struct call *call = arg;

	for (struct client *c = call->control->clients; c; c = c->next)
		if (c->number == call->client) {
			c->pending--;
			answer(c, "return", json_object_new_object(), json_object_get(call->id));
		}
	call_free(call);
}

enum outcome call_wrong(struct call *call, const char *what)
{
	call->code = "invalid-argument";
	snprintf(call->why, sizeof(call->why), "%s", what);
	return FAILED;
}

enum outcome call_outcome(bool ok)
{
	return ok ? DONE : FAILED;
}

const char *call_string(const struct call *call, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(call->arguments, name, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

bool call_number(const struct call *call, const char *name, uint64_t *number)
{
	struct json_object *value;

	*number = 0;
	if (!json_object_object_get_ex(call->arguments, name, &value))
		return true;
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return false;
	*number = (uint64_t)json_object_get_int64(value);
	return true;
}

bool call_flag(const struct call *call, const char *name, bool *flag)
{
	struct json_object *value;

	if (!json_object_object_get_ex(call->arguments, name, &value) ||
	    !json_object_is_type(value, json_type_boolean))
		return false;
	*flag = json_object_get_boolean(value);
	return true;
}

static const struct command *find_command(const char *name)
{
	const struct command *const lists[] = {disk_commands, net_commands};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct command *c = lists[i]; c->name; c++)
			if (strcmp(name, c->name) == 0)
				return c;
	return NULL;
}

static void run_command(struct client *client, const struct command *command,
			struct json_object *arguments, struct json_object *id)
{
	struct json_object *result = json_object_new_object();
	struct call *call = calloc(1, sizeof(*call));
	enum outcome how = FAILED;

	if (call) {
		*call = (struct call){.control = client->control,
				      .disks = client->control->disks,
				      .nets = client->control->nets,
				      .client = client->number,
				      .id = json_object_get(id),
				      .arguments = json_object_get(arguments),
				      .code = "failed",
				      .why = "out of memory"};
		how = command->run(call, result);
	}
	if (how == DONE)
		answer(client, "return", json_object_get(result), json_object_get(id));
	else if (how == FAILED)
		answer_error(client, call ? call->code : "failed",
			     call ? call->why : "out of memory", json_object_get(id));
	if (how == LATER)
		client->pending++;
	else if (call)
		call_free(call);
	json_object_put(result);
}

static void handle(struct client *client, struct json_object *request)
{
	struct json_object *name;
	struct json_object *arguments = NULL;
	struct json_object *id = NULL;
	const struct command *command;

	if (!json_object_is_type(request, json_type_object) ||
	    !json_object_object_get_ex(request, "execute", &name) ||
	    !json_object_is_type(name, json_type_string)) {
		answer_error(client, "invalid-request",
			     "a line has to be a JSON object with a string 'execute'", NULL);
		return;
	}
	json_object_object_get_ex(request, "arguments", &arguments);
	json_object_object_get_ex(request, "id", &id);
	command = find_command(json_object_get_string(name));
	if (command)
		run_command(client, command, arguments, id);
	else
		answer_error(client, "unknown-command", "there is no such command: see hvrun(1)",
			     json_object_get(id));
}

/* ---- clients -------------------------------------------------------------------------------- */

static void on_read(struct bufferevent *socket, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(socket);
	struct client *client = arg;
	size_t len;
	char *line;

	while ((line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF)) != NULL) {
		struct json_object *request = json_tokener_parse(line);

		handle(client, request);
		json_object_put(request);
		free(line);
	}
	if (evbuffer_get_length(in) >= MAX_LINE) {
		answer_error(client, "invalid-request", "the line is too long", NULL);
		evbuffer_drain(in, evbuffer_get_length(in));
	}
}

static void leave_if_served(struct bufferevent *socket, void *arg)
{
	struct client *client = arg;

	if (client->eof && !client->pending && !evbuffer_get_length(bufferevent_get_output(socket)))
		client_leave(client);
}

static void on_client_event(struct bufferevent *socket, short what, void *arg)
{
	struct client *client = arg;

	if (what & BEV_EVENT_ERROR) {
		client_leave(client);
	} else if (what & BEV_EVENT_EOF) {
		client->eof = true;
		leave_if_served(socket, client);
	}
}

static void on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct control *control = arg;
	int client_fd = accept4((int)fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	(void)what;
	if (client_fd < 0)
		return;
	client = control->client_count < MAX_CLIENTS ? calloc(1, sizeof(*client)) : NULL;
	if (client)
		client->socket =
			bufferevent_socket_new(control->base, client_fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client || !client->socket) {
		free(client);
		close(client_fd);
		return;
	}
	client->control = control;
	client->number = ++control->numbers;
	client->next = control->clients;
	control->clients = client;
	control->client_count++;
	bufferevent_setcb(client->socket, on_read, leave_if_served, on_client_event, client);
	bufferevent_enable(client->socket, EV_READ | EV_WRITE);
}

void control_medium_ejected(struct control *control, const char *disk)
{
	struct json_object *event;

	if (!control)
		return;
	event = json_object_new_object();
	json_object_object_add(event, "event", json_object_new_string("medium-ejected"));
	json_object_object_add(event, "disk", json_object_new_string(disk));
	for (struct client *c = control->clients; c; c = c->next)
		send_line(c, event);
	json_object_put(event);
}

/* ---- the socket ------------------------------------------------------------------------------- */

/* A socket that nobody listens on any more, after a crash. */
static void remove_left_over(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
}

static int listen_on(struct control *control, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int err;
	size_t len = strlen(path) + 1;

	if (len > sizeof(address.sun_path))
		return report(HVRUN_USAGE, "--control %s: the path is too long", path);
	memcpy(address.sun_path, path, len);
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0)
		return report(HVRUN_VMM_ERROR, "cannot make a socket: %s", strerror(errno));
	remove_left_over(path);
	mask = umask(0077);
	err = bind(control->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	      listen(control->fd, 4) < 0;
	umask(mask);
	if (err)
		return report(HVRUN_USAGE, "--control %s: %s", path, strerror(errno));
	memcpy(control->path, path, len);
	return 0;
}

int control_create(const char *path, struct event_base *base, struct disks *disks,
		   struct nets *nets, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	int status;

	if (!control)
		return report(HVRUN_VMM_ERROR, "out of memory");
	*out = control;
	control->base = base;
	control->disks = disks;
	control->nets = nets;
	status = listen_on(control, path);
	if (status)
		return status;
	control->listen_event =
		event_new(base, control->fd, EV_READ | EV_PERSIST, on_connect, control);
	if (!control->listen_event || event_add(control->listen_event, NULL) < 0)
		return report(HVRUN_VMM_ERROR, "out of memory");
	return 0;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	while (control->clients) {
		struct client *client = control->clients;

		control->clients = client->next;
		client_free(client);
	}
	if (control->listen_event)
		event_free(control->listen_event);
	if (control->fd >= 0)
		close(control->fd);
	if (control->path[0])
		unlink(control->path);
	free(control);
}
