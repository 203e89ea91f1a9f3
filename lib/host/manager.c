/* SPDX-License-Identifier: MIT */
/* The management server: its socket, who is connected, and events for them. */
#include "host/manager_impl.h"
#include "host/notify.h"
#include "host/sized.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_CLIENTS 32u
#define DEFAULT_LINE (256u * 1024)
#define DEFAULT_CALLS 16u
#define DEFAULT_RATE 1000u
#define MAX_LINE (4u << 20)
#define MIN_LINE 1024u
#define MAX_NUMBER 100000u /* of the other limits */
#define BACKLOG 16
#define ACCEPTS 16u /* at a time: others want the thread, too */

uint64_t hvsi_manager_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void hvsi_manager_log(const struct hvs_manager *m, enum hvs_manager_log what, const char *format,
		      ...)
{
	char text[256];
	va_list args;

	if (!m->cfg.log || m->destroyed)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	m->cfg.log(m->cfg.arg, what, text);
}

/* ---- who leaves -------------------------------------------------------------------------------- */

static struct hvsi_client *take_cut(struct hvs_manager *m)
{
	for (struct hvsi_client **p = &m->clients; *p; p = &(*p)->next)
		if ((*p)->cut) {
			struct hvsi_client *client = *p;

			*p = client->next;
			m->client_count--;
			return client;
		}
	return NULL;
}

static void reap(struct hvs_manager *m)
{
	struct hvsi_client *client;

	while ((client = take_cut(m)) != NULL) {
		hvsi_calls_cancel(m, client->number);
		hvsi_copy_left(m, client->number);
		hvsi_vss_left(m, client->number);
		for (const struct hvsi_left *l = m->left; l; l = l->next)
			l->fn(l->arg, client->number);
		hvsi_client_free(client);
	}
}

static void on_cut(evutil_socket_t fd, short what, void *arg)
{
	struct hvs_manager *m = arg;
	struct event_base *outer = hvsi_base_enter(m->cfg.base);

	(void)fd;
	(void)what;
	reap(m);
	hvsi_base_leave(outer);
}

void hvsi_client_cut(struct hvsi_client *client, const char *why)
{
	if (client->cut)
		return;
	client->cut = true;
	event_del(client->readable);
	event_del(client->writable);
	hvsi_manager_log(client->m, HVS_MANAGER_CLIENT, "%s: %s", client->who, why);
	event_active(client->m->reaping, EV_TIMEOUT, 0);
}

struct hvsi_client *hvsi_client_find(const struct hvs_manager *m, uint64_t number)
{
	for (struct hvsi_client *c = m->clients; c; c = c->next)
		if (c->number == number && !c->cut)
			return c;
	return NULL;
}

bool hvs_manager_has_client(const struct hvs_manager *m, uint64_t client)
{
	return m && hvsi_client_find(m, client);
}

int hvs_manager_on_client_left(struct hvs_manager *m, hvs_client_left_fn fn, void *arg)
{
	struct hvsi_left *left;

	if (!m || !fn)
		return -EINVAL;
	left = malloc(sizeof(*left));
	if (!left)
		return -ENOMEM;
	*left = (struct hvsi_left){.next = m->left, .fn = fn, .arg = arg};
	m->left = left;
	return 0;
}

/* ---- events ------------------------------------------------------------------------------------ */

static void add_time(struct json_object *to)
{
	struct timespec now;
	struct tm tm;
	char day[32];
	char text[48];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(text, sizeof(text), "%s.%03ldZ", day, now.tv_nsec / 1000000);
	hvsi_json_string(to, "time", text);
}

void hvs_manager_event(struct hvs_manager *m, const char *event, struct json_object *params)
{
	struct json_object *message;

	if (!m || !event || m->destroyed) {
		json_object_put(params);
		return;
	}
	if (!params)
		params = json_object_new_object();
	message = json_object_new_object();
	hvsi_json_string(params, "event", event);
	if (params)
		add_time(params);
	hvsi_json_string(message, "jsonrpc", "2.0");
	hvsi_json_string(message, "method", "event");
	hvsi_json_add(message, "params", params);
	for (struct hvsi_client *c = m->clients; c; c = c->next)
		if (c->events && !c->cut)
			hvsi_client_send(c, message);
	json_object_put(message);
}

/* ---- the socket -------------------------------------------------------------------------------- */

/* Who can't be accepted stays there, and would keep the thread busy. */
static void on_connect(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval later = {.tv_sec = 1};
	struct hvs_manager *m = arg;
	struct event_base *outer = hvsi_base_enter(m->cfg.base);
	int client = 0;
	int err = 0;

	(void)what;
	for (unsigned i = 0; i < ACCEPTS && client >= 0; i++) {
		client = accept4((int)fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		err = client < 0 ? errno : 0;
		if (client >= 0)
			hvsi_client_add(m, client);
	}
	if (err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS) {
		event_del(m->connecting);
		event_add(m->accepting, &later);
	}
	hvsi_base_leave(outer);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	const struct hvs_manager *m = arg;

	(void)fd;
	(void)what;
	event_add(m->connecting, NULL);
}

/* After a crash there is a socket that nobody listens on. */
static int remove_left_over(const struct sockaddr_un *address)
{
	struct stat st;
	int err = 0;
	int fd;

	if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return 0; /* whatever it is, bind() tells */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno != ECONNREFUSED)
		err = -EADDRINUSE;
	else if (unlink(address->sun_path) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int bind_and_listen(struct hvs_manager *m, const struct sockaddr_un *address)
{
	m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0 || bind(m->fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		return -errno;
	memcpy(m->path, address->sun_path, sizeof(m->path));
	if (lstat(m->path, &m->path_is) < 0 || chmod(m->path, 0666) < 0 ||
	    listen(m->fd, BACKLOG) < 0)
		return -errno;
	m->connecting = event_new(m->cfg.base, m->fd, EV_READ | EV_PERSIST, on_connect, m);
	m->accepting = evtimer_new(m->cfg.base, on_later, m);
	return m->connecting && m->accepting && event_add(m->connecting, NULL) == 0 ? 0 : -ENOMEM;
}

static int listen_on(struct hvs_manager *m, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int err;

	if (!len || len >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, path, len + 1);
	err = remove_left_over(&address);
	return err ? err : bind_and_listen(m, &address);
}

static void stop_listening(struct hvs_manager *m)
{
	struct stat st;

	if (m->accepting)
		event_free(m->accepting);
	if (m->connecting)
		event_free(m->connecting);
	m->accepting = NULL;
	m->connecting = NULL;
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	if (m->path[0] && lstat(m->path, &st) == 0 && st.st_dev == m->path_is.st_dev &&
	    st.st_ino == m->path_is.st_ino)
		unlink(m->path);
}

/* ---- life -------------------------------------------------------------------------------------- */

static bool set_limit(uint32_t *limit, uint32_t by_default, uint32_t min, uint32_t max)
{
	if (!*limit)
		*limit = by_default;
	return *limit >= min && *limit <= max;
}

static int check(struct hvs_manager_config *cfg)
{
	bool good = cfg->base && (cfg->rules || !cfg->rule_count) &&
		    set_limit(&cfg->max_clients, DEFAULT_CLIENTS, 1, MAX_NUMBER) &&
		    set_limit(&cfg->max_line_bytes, DEFAULT_LINE, MIN_LINE, MAX_LINE) &&
		    set_limit(&cfg->max_calls, DEFAULT_CALLS, 1, MAX_NUMBER) &&
		    set_limit(&cfg->max_calls_per_s, DEFAULT_RATE, 1, MAX_NUMBER);

	return good ? 0 : -EINVAL;
}

static bool copy_strings(struct hvs_manager *m)
{
	const struct hvs_manager_config *cfg = &m->cfg;
	size_t rules = cfg->rule_count ? cfg->rule_count : 1;

	m->server = strdup(cfg->server ? cfg->server : "");
	m->name = strdup(cfg->name ? cfg->name : "");
	if (cfg->rules) {
		m->rules = calloc(rules, sizeof(*m->rules));
		if (m->rules)
			memcpy(m->rules, cfg->rules, cfg->rule_count * sizeof(*m->rules));
	}
	return m->server && m->name && (m->rules || !cfg->rules);
}

int hvsi_manager_new(const struct hvs_manager_config *given, struct hvs_manager **out)
{
	struct hvs_manager_config cfg;
	struct hvs_manager *m;
	int err = HVSI_HOST_TAKE(&cfg, given, arg);

	if (!err)
		err = check(&cfg);
	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->cfg = cfg;
	m->fd = -1;
	m->reaping = evtimer_new(cfg.base, on_cut, m);
	err = m->reaping && copy_strings(m) ? hvsi_methods_add_own(m) : -ENOMEM;
	if (err) {
		hvs_manager_destroy(m);
		return err;
	}
	*out = m;
	return 0;
}

int hvs_manager_create(const struct hvs_manager_config *cfg, struct hvs_manager **out)
{
	struct hvs_manager *m;
	int err;

	if (!cfg || !out)
		return -EINVAL;
	err = hvsi_manager_new(cfg, &m);
	if (err)
		return err;
	err = m->cfg.socket_path ? listen_on(m, m->cfg.socket_path) : -EINVAL;
	m->cfg.socket_path = NULL;
	if (err) {
		hvs_manager_destroy(m);
		return err;
	}
	*out = m;
	return 0;
}

void hvsi_manager_free(struct hvs_manager *m)
{
	hvsi_methods_free(m);
	json_object_put(m->changed);
	free(m->rules);
	free(m->name);
	free(m->server);
	free(m);
}

void hvs_manager_destroy(struct hvs_manager *m)
{
	if (!m)
		return;
	stop_listening(m);
	for (struct hvsi_client *c = m->clients; c; c = c->next)
		hvsi_client_cut(c, "cut off: the server ends");
	reap(m);
	if (m->reaping)
		event_free(m->reaping);
	while (m->left) {
		struct hvsi_left *left = m->left;

		m->left = left->next;
		free(left);
	}
	m->destroyed = true;
	if (!m->calls)
		hvsi_manager_free(m);
}
