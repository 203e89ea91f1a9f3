/* SPDX-License-Identifier: MIT */
/*
 * The management server again and again, each time with another allocation failing: each request is
 * answered, or its connection ends, and who comes afterwards is served.
 */
#include "support/badmem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hvstack/host/manager.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct event_base *base;
static char dir[] = "/tmp/hvs-oom-XXXXXX";
static char path[sizeof(dir) + 8];

static int talk_to_server(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* True: there is an answer. False: the connection has ended. */
static bool ask(int fd, const char *method)
{
	static char answer[1u << 16];
	char line[200];
	size_t len = 0;

	(void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\"}\n",
		       method);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		return false;
	for (unsigned tries = 0; tries < 10000; tries++) {
		ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		len += n > 0 ? (size_t)n : 0;
		answer[len] = '\0';
		if (len && answer[len - 1] == '\n') {
			/* Whoever waits for this answer must know it. */
			cr_assert(strstr(answer, "\"id\":"), "%s", answer);
			cr_assert(strstr(answer, "\"result\":") || strstr(answer, "\"error\":"),
				  "%s", answer);
			return true;
		}
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	cr_assert_fail("%s: neither an answer nor an end", method);
	return false;
}

static void story(struct hvs_manager *m)
{
	static const char *const methods[] = {"events",   "version", "methods",
					      "info",     "devices", "metrics",
					      "services", "none",    "kvp-list"};
	int fd = talk_to_server();
	bool there = true;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (!there) {
			close(fd);
			fd = talk_to_server();
		}
		there = ask(fd, methods[i]);
	}
	hvs_manager_kvp_changed(m, HVS_KVP_AUTO, "OSName", "x");
	hvs_manager_kvp_changed(m, HVS_KVP_AUTO, "OSVersion", NULL);
	hvs_manager_kvp_changes_end(m, HVS_KVP_AUTO);
	event_base_loop(base, EVLOOP_NONBLOCK);
	close(fd);
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(oom, manager, .timeout = 240)
{
	bool failed = true;

	base = event_base_new();
	cr_assert(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	for (unsigned n = 0; failed; n++) {
		const struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT, .base = base,
						       .socket_path = path, .server = "x"};
		const unsigned files = open_files();
		struct hvs_manager *m = NULL;
		int err;
		int fd;

		badmem_arm(n);
		err = hvs_manager_create(&cfg, &m);
		if (!err)
			story(m);
		failed = badmem_disarm();
		cr_assert(!err || (err == -ENOMEM && failed), "%d", err);
		if (!err) {
			event_base_loop(base, EVLOOP_NONBLOCK);
			fd = talk_to_server();
			cr_assert(ask(fd, "version"));
			close(fd);
		}
		hvs_manager_destroy(m);
		cr_assert_eq(open_files(), files);
	}
	event_base_free(base);
	cr_assert_eq(rmdir(dir), 0, "a socket is left over");
}
