/* SPDX-License-Identifier: MIT */
/* The management server's wire: requests good and bad, events, clients that leave, the socket. */
#include "support/manager.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct mgr t;
static struct hvs_call *waiting[64];
static unsigned waiting_count;
static uint64_t left;

/* ---- methods of a VMM -------------------------------------------------------------------------- */

static void run_wait(void *arg, struct hvs_call *call)
{
	(void)arg;
	waiting[waiting_count++] = call;
}

static void run_params(void *arg, struct hvs_call *call)
{
	static const char *const names[] = {"text", "number", "flag", NULL};
	const char *text = "none";
	uint64_t number = 7;
	bool flag = true;
	struct json_object *result;

	(void)arg;
	if (!hvs_call_only(call, names) || !hvs_call_string(call, "text", true, &text) ||
	    !hvs_call_number(call, "number", false, 1000, &number) ||
	    !hvs_call_bool(call, "flag", false, &flag))
		return;
	result = json_object_new_object();
	json_object_object_add(result, "text", json_object_new_string(text));
	json_object_object_add(result, "number", json_object_new_uint64(number));
	json_object_object_add(result, "flag", json_object_new_boolean(flag));
	hvs_call_return(call, result);
}

/* Names of files are of any bytes. */
static void run_bytes(void *arg, struct hvs_call *call)
{
	(void)arg;
	hvs_call_fail(call, HVS_CALL_FAILED, "%s",
		      "a\xff"
		      "b\xc3\xa4\xe2\x82");
}

static const struct hvs_method methods[] = {
	{"wait", HVS_ROLES_INSPECT, 0, run_wait},
	{"params", HVS_ROLES_INSPECT, 0, run_params},
	{"bytes", HVS_ROLES_INSPECT, 0, run_bytes},
};

static void on_left(void *arg, uint64_t client)
{
	(void)arg;
	left = client;
}

static void up(const struct hvs_manager_config *cfg)
{
	mgr_up(&t, cfg);
	waiting_count = 0;
	left = 0;
	cr_assert_eq(
		hvs_manager_add_methods(t.m, methods, sizeof(methods) / sizeof(methods[0]), NULL),
		0);
	cr_assert_eq(hvs_manager_on_client_left(t.m, on_left, NULL), 0);
}

static void down(void)
{
	mgr_down(&t);
}

TestSuite(manager, .timeout = 120);

/* ---- requests ---------------------------------------------------------------------------------- */

Test(manager, a_client_learns_what_it_talks_to)
{
	struct json_object *answer;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	answer = mgr_call(&t, fd, "version", NULL);
	cr_assert_eq(json_object_get_int(mgr_result(answer, "protocol")), 1);
	cr_assert_str_eq(json_object_get_string(mgr_result(answer, "server")), "a test 1.0");
	cr_assert_str_eq(json_object_get_string(mgr_result(answer, "role")), "administrator");
	json_object_put(answer);
	close(fd);
	down();
}

static const struct {
	const char *line;
	int code;
	const char *words;
} bad_lines[] = {
	{"", -32700, "not JSON"},
	{"{", -32700, "not JSON"},
	{"nonsense", -32700, "not JSON"},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":1} {}", -32700, "not JSON"},
	{"{'jsonrpc':'2.0'}", -32700, "not JSON"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xff\"}", -32700, "not JSON"},
	{"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", -32700, "not JSON"},
	{"[]", -32600, "no batches"},
	{"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}]", -32600, "no batches"},
	{"null", -32600, "an object"},
	{"7", -32600, "an object"},
	{"{}", -32600, "'jsonrpc' is missing"},
	{"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"version\"}", -32600, "'jsonrpc'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1}", -32600, "'method' is missing"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":5}", -32600, "'method'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\\u0000\"}", -32600, "'method'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"version\"}", -32600, "'id'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"version\"}", -32600, "'id'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,\"method\":\"version\"}", -32600,
	 "'id'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\",\"parms\":{}}", -32600, "only"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\",\"params\":null}", -32600,
	 "'params'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\",\"params\":[1]}", -32602,
	 "'params'"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no-such\"}", -32601, "no such method"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\",\"params\":{\"x\":1}}", -32602,
	 "no parameter 'x'"},
};

Test(manager, each_bad_line_is_answered_and_the_next_is_served)
{
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
		struct json_object *answer;
		const char *message = "";

		mgr_send(fd, bad_lines[i].line);
		mgr_send(fd, "\n");
		answer = mgr_message(&t, fd);
		cr_expect_eq(mgr_error(answer, &message), bad_lines[i].code, "%s: %s",
			     bad_lines[i].line, message);
		cr_expect(strstr(message, bad_lines[i].words) != NULL, "%s: %s", bad_lines[i].line,
			  message);
		json_object_put(answer);
		cr_expect_eq(mgr_code(&t, fd, "version", NULL), 0);
	}
	close(fd);
	down();
}

Test(manager, a_nul_in_a_line_makes_it_no_json)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\0\n";
	struct json_object *answer;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	cr_assert_eq(write(fd, line, sizeof(line) - 1), (ssize_t)sizeof(line) - 1);
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), -32700);
	json_object_put(answer);
	close(fd);
	down();
}

static const struct {
	const char *params;
	const char *words; /* NULL: they are good */
} given[] = {
	{"{\"text\":\"a\"}", NULL},
	{"{\"text\":\"a\",\"number\":1000,\"flag\":false}", NULL},
	{NULL, "'text' is missing"},
	{"{}", "'text' is missing"},
	{"{\"text\":null}", "'text' is a string"},
	{"{\"text\":1}", "'text' is a string"},
	{"{\"text\":\"a\\u0000b\"}", "'text' is a string without"},
	{"{\"text\":\"a\",\"number\":-1}", "'number' is a whole number from 0 to 1000"},
	{"{\"text\":\"a\",\"number\":1001}", "'number'"},
	{"{\"text\":\"a\",\"number\":1.5}", "'number'"},
	{"{\"text\":\"a\",\"number\":\"1\"}", "'number'"},
	{"{\"text\":\"a\",\"number\":99999999999999999999999}", "'number'"},
	{"{\"text\":\"a\",\"flag\":1}", "'flag' is true or false"},
	{"{\"text\":\"a\",\"other\":1}", "there is no parameter 'other'"},
};

Test(manager, parameters_are_checked_by_name_type_and_range)
{
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		struct json_object *answer = mgr_call(&t, fd, "params", given[i].params);
		const char *message = "";

		cr_expect_eq(mgr_error(answer, &message), given[i].words ? -32602 : 0, "%s: %s",
			     given[i].params, message);
		cr_expect(strstr(message, given[i].words ? given[i].words : "") != NULL, "%s: %s",
			  given[i].params, message);
		json_object_put(answer);
	}
	close(fd);
	down();
}

Test(manager, answers_are_utf_8_whatever_a_method_says)
{
	struct json_object *answer;
	const char *message;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	answer = mgr_call(&t, fd, "bytes", NULL);
	cr_assert_eq(mgr_error(answer, &message), HVS_CALL_FAILED);
	cr_assert_str_eq(message, "a?b\xc3\xa4??");
	json_object_put(answer);
	close(fd);
	down();
}

Test(manager, a_notification_is_done_and_not_answered)
{
	struct json_object *answer;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"wait\"}\n"
		     "{\"jsonrpc\":\"2.0\",\"method\":\"no-such\"}\n"
		     "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"version\"}\n");
	answer = mgr_message(&t, fd);
	cr_assert_eq(waiting_count, 1);
	cr_assert_eq(mgr_error(answer, NULL), 0);
	cr_assert(json_object_object_get_ex(answer, "id", NULL));
	json_object_put(answer);
	hvs_call_return(waiting[0], NULL);
	cr_assert_eq(mgr_code(&t, fd, "version", NULL), 0);
	close(fd);
	down();
}

Test(manager, answers_come_as_calls_end)
{
	struct json_object *answer;
	struct json_object *id;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"wait\"}\n"
		     "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"wait\"}\n");
	MGR_UNTIL(&t, waiting_count == 2);
	hvs_call_return(waiting[1], NULL);
	hvs_call_fail(waiting[0], HVS_CALL_BUSY, "not now");
	answer = mgr_message(&t, fd);
	cr_assert(json_object_object_get_ex(answer, "id", &id));
	cr_assert_eq(json_object_get_int(id), 2);
	json_object_put(answer);
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), HVS_CALL_BUSY);
	json_object_put(answer);
	close(fd);
	down();
}

Test(manager, a_line_may_come_in_pieces)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\n";
	struct json_object *answer;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	for (size_t i = 0; line[i]; i++) {
		cr_assert_eq(write(fd, line + i, 1), 1);
		mgr_run(&t);
	}
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), 0);
	json_object_put(answer);
	close(fd);
	down();
}

/* ---- events ------------------------------------------------------------------------------------ */

Test(manager, events_go_to_whoever_wants_them)
{
	struct json_object *params;
	struct json_object *found;
	struct json_object *event;
	int wants;
	int fd;

	up(NULL);
	wants = mgr_connect(&t);
	fd = mgr_connect(&t);
	cr_assert_eq(mgr_code(&t, wants, "events", NULL), 0);
	params = json_object_new_object();
	json_object_object_add(params, "disk", json_object_new_string("cd"));
	hvs_manager_event(t.m, "medium-ejected", params);
	event = mgr_message(&t, wants);
	cr_assert_not(json_object_object_get_ex(event, "id", NULL));
	cr_assert(json_object_object_get_ex(event, "params", &params));
	cr_assert(json_object_object_get_ex(params, "event", &found));
	cr_assert_str_eq(json_object_get_string(found), "medium-ejected");
	cr_assert(json_object_object_get_ex(params, "time", &found));
	cr_assert_eq(strlen(json_object_get_string(found)), strlen("2026-11-23T15:50:22.104Z"));
	json_object_put(event);
	/* An answer is the first thing that the other one sees. */
	cr_assert_eq(mgr_code(&t, fd, "version", NULL), 0);
	cr_assert_eq(mgr_code(&t, wants, "events", "{\"subscribe\":false}"), 0);
	hvs_manager_event(t.m, "medium-ejected", NULL);
	cr_assert_eq(mgr_code(&t, wants, "version", NULL), 0);
	close(fd);
	close(wants);
	down();
}

/* ---- leaving ----------------------------------------------------------------------------------- */

Test(manager, a_call_may_end_after_its_client_has_left)
{
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"wait\"}\n");
	MGR_UNTIL(&t, waiting_count == 1);
	cr_assert_eq(hvs_call_client(waiting[0]), 1);
	cr_assert(hvs_manager_has_client(t.m, 1));
	close(fd);
	MGR_UNTIL(&t, left == 1);
	cr_assert_not(hvs_manager_has_client(t.m, 1));
	hvs_call_return(waiting[0], NULL);
	/* The next one is another. */
	fd = mgr_connect(&t);
	mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"wait\"}\n");
	MGR_UNTIL(&t, waiting_count == 2);
	cr_assert_eq(hvs_call_client(waiting[1]), 2);
	hvs_call_return(waiting[1], NULL);
	close(fd);
	down();
}

Test(manager, a_call_may_end_after_the_server)
{
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"wait\"}\n"
		     "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"wait\"}\n");
	MGR_UNTIL(&t, waiting_count == 2);
	down();
	cr_assert_eq(left, 1);
	hvs_call_return(waiting[0], NULL);
	hvs_call_fail(waiting[1], HVS_CALL_FAILED, "too late");
	close(fd);
}

/* ---- the socket -------------------------------------------------------------------------------- */

Test(manager, only_a_socket_that_nobody_listens_on_is_replaced)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT};
	struct hvs_manager *second;
	char path[128];
	int fd;

	up(NULL);
	cfg.base = t.base;
	cfg.socket_path = t.path;
	cr_assert_eq(hvs_manager_create(&cfg, &second), -EADDRINUSE);
	(void)snprintf(path, sizeof(path), "%s/old", t.dir);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	cfg.socket_path = path;
	cr_assert_eq(hvs_manager_create(&cfg, &second), 0);
	hvs_manager_destroy(second);
	cr_assert_neq(access(path, F_OK), 0);
	/* A file is not. */
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	cr_assert_eq(hvs_manager_create(&cfg, &second), -EADDRINUSE);
	cr_assert_eq(unlink(path), 0);
	/* One that has another's name by now is left alone. */
	cr_assert_eq(hvs_manager_create(&cfg, &second), 0);
	cr_assert_eq(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	hvs_manager_destroy(second);
	cr_assert_eq(unlink(path), 0);
	down();
}

Test(manager, what_makes_no_sense_is_refused)
{
	static const struct hvs_method twice[] = {{"x", HVS_ROLES_INSPECT, 0, run_wait},
						  {"x", HVS_ROLES_INSPECT, 0, run_wait}};
	static const struct hvs_method no_run[] = {{"x", HVS_ROLES_INSPECT, 0, NULL}};
	static const struct hvs_method no_role[] = {{"x", 0x10, 0, run_wait}};
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT};
	struct hvs_manager *m;
	char path[200];

	up(NULL);
	cr_assert_eq(hvs_manager_create(NULL, &m), -EINVAL);
	cr_assert_eq(hvs_manager_create(&cfg, &m), -EINVAL);
	cfg.base = t.base;
	cr_assert_eq(hvs_manager_create(&cfg, &m), -EINVAL);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	cfg.socket_path = path;
	cr_assert_eq(hvs_manager_create(&cfg, &m), -EINVAL);
	cfg.socket_path = "/nowhere/at/all";
	cr_assert_eq(hvs_manager_create(&cfg, &m), -ENOENT);
	cfg.max_line_bytes = 1;
	cr_assert_eq(hvs_manager_create(&cfg, &m), -EINVAL);
	cr_assert_eq(hvs_manager_add_methods(t.m, methods, 1, NULL), -EEXIST);
	cr_assert_eq(hvs_manager_add_methods(t.m, twice, 2, NULL), -EEXIST);
	cr_assert_eq(hvs_manager_add_methods(t.m, no_run, 1, NULL), -EINVAL);
	cr_assert_eq(hvs_manager_add_methods(t.m, no_role, 1, NULL), -EINVAL);
	cr_assert_eq(hvs_manager_on_client_left(t.m, NULL, NULL), -EINVAL);
	hvs_manager_destroy(NULL);
	down();
}
