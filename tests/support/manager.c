/* SPDX-License-Identifier: MIT */
#include "support/manager.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void on_log(void *arg, enum hvs_manager_log what, const char *text)
{
	static const char *const words[] = {"", "allowed", "denied", "client"};
	struct mgr *t = arg;
	size_t len = strlen(t->log);

	(void)snprintf(t->log + len, sizeof(t->log) - len, "%s %s\n", words[what], text);
}

void mgr_up(struct mgr *t, const struct hvs_manager_config *given)
{
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT};

	if (given)
		cfg = *given;
	memset(t, 0, sizeof(*t));
	strcpy(t->dir, "/tmp/hvs-manager-XXXXXX");
	cr_assert(mkdtemp(t->dir) != NULL);
	cr_assert_eq(chmod(t->dir, 0755), 0);
	(void)snprintf(t->path, sizeof(t->path), "%s/s", t->dir);
	t->base = event_base_new();
	cfg.size = sizeof(cfg);
	cfg.base = t->base;
	cfg.socket_path = t->path;
	cfg.server = "a test 1.0";
	cfg.name = "web1";
	cfg.log = on_log;
	cfg.arg = t;
	cr_assert_eq(hvs_manager_create(&cfg, &t->m), 0);
}

void mgr_down(struct mgr *t)
{
	hvs_manager_destroy(t->m);
	event_base_free(t->base);
	cr_assert_neq(access(t->path, F_OK), 0, "the socket is left over");
	cr_assert_eq(rmdir(t->dir), 0);
}

void mgr_run(struct mgr *t)
{
	(void)event_base_loop(t->base, EVLOOP_NONBLOCK);
	if (t->run)
		t->run(t->arg);
}

int mgr_connect(struct mgr *t)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, t->path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	mgr_run(t);
	return fd;
}

void mgr_send(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

const char *mgr_line(struct mgr *t, int fd)
{
	static char line[1u << 21];
	size_t len = 0;

	for (;;) {
		const char *end;
		ssize_t n;

		/* What follows is the next call's. */
		MGR_UNTIL(t, (n = recv(fd, line + len, sizeof(line) - len, MSG_PEEK)) >= 0 ||
				     errno != EAGAIN);
		if (n <= 0)
			return NULL;
		end = memchr(line + len, '\n', (size_t)n);
		n = end ? end - (line + len) + 1 : n;
		cr_assert_eq(recv(fd, line + len, (size_t)n, 0), n);
		len += (size_t)n;
		if (end)
			break;
		cr_assert_lt(len, sizeof(line));
	}
	len--;
	line[len] = '\0';
	return line;
}

struct json_object *mgr_message(struct mgr *t, int fd)
{
	const char *line = mgr_line(t, fd);
	struct json_object *message = line ? json_tokener_parse(line) : NULL;

	cr_assert(json_object_is_type(message, json_type_object), "not an object: %s",
		  line ? line : "the end");
	return message;
}

struct json_object *mgr_call(struct mgr *t, int fd, const char *method, const char *params)
{
	char request[4096];
	struct json_object *answer;
	struct json_object *id;

	(void)snprintf(request, sizeof(request),
		       "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"%s\"%s%s}\n", method,
		       method, params ? ",\"params\":" : "", params ? params : "");
	mgr_send(fd, request);
	answer = mgr_message(t, fd);
	cr_assert(json_object_object_get_ex(answer, "id", &id));
	cr_assert_str_eq(json_object_get_string(id), method);
	return answer;
}

int mgr_error(struct json_object *answer, const char **message)
{
	struct json_object *error;
	struct json_object *found;

	if (!json_object_object_get_ex(answer, "error", &error)) {
		cr_assert(json_object_object_get_ex(answer, "result", NULL));
		return 0;
	}
	cr_assert(json_object_object_get_ex(error, "message", &found));
	if (message)
		*message = json_object_get_string(found);
	cr_assert(json_object_object_get_ex(error, "code", &found));
	return json_object_get_int(found);
}

int mgr_code(struct mgr *t, int fd, const char *method, const char *params)
{
	struct json_object *answer = mgr_call(t, fd, method, params);
	int code = mgr_error(answer, NULL);

	json_object_put(answer);
	return code;
}

struct json_object *mgr_result(struct json_object *answer, const char *path)
{
	struct json_object *found;
	char name[64];

	cr_assert(json_object_object_get_ex(answer, "result", &found), "%s",
		  json_object_to_json_string(answer));
	while (*path) {
		size_t len = strcspn(path, ".");

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
		cr_assert(json_object_object_get_ex(found, name, &found), "%s in %s", name,
			  json_object_to_json_string(answer));
		path += len + (path[len] == '.');
	}
	return found;
}
