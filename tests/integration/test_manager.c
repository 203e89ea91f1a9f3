/* SPDX-License-Identifier: MIT */
/* The management server's wire: requests good and bad, limits, events, file descriptors. */
#include "support/manager.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct mgr t;
static struct hvs_call *waiting[64];
static unsigned waiting_count;
static char got[64];
static uint64_t left;

/* ---- methods of a VMM -------------------------------------------------------------------------- */

static void run_wait(void *arg, struct hvs_call *call)
{
	(void)arg;
	waiting[waiting_count++] = call;
}

static void run_read_fd(void *arg, struct hvs_call *call)
{
	int fd = hvs_call_take_fd(call, 0);
	ssize_t n;

	(void)arg;
	if (fd < 0) {
		hvs_call_fail(call, HVS_CALL_NOT_FOUND, "no file descriptor came");
		return;
	}
	cr_assert_eq(hvs_call_take_fd(call, 0), -ENOENT);
	n = read(fd, got, sizeof(got) - 1);
	cr_assert_geq(n, 0);
	got[n] = '\0';
	close(fd);
	hvs_call_return(call, NULL);
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

static void run_large(void *arg, struct hvs_call *call)
{
	struct json_object *result = json_object_new_object();
	char *text = malloc(1u << 20);

	(void)arg;
	memset(text, 'x', 1u << 20);
	json_object_object_add(result, "text", json_object_new_string_len(text, 1 << 20));
	free(text);
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
	{"read-fd", HVS_ROLES_INSPECT, 0, run_read_fd},
	{"params", HVS_ROLES_INSPECT, 0, run_params},
	{"large", HVS_ROLES_INSPECT, 0, run_large},
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

/* ---- limits ------------------------------------------------------------------------------------ */

Test(manager, a_line_that_is_too_long_is_refused_once)
{
	const struct hvs_manager_config cfg = {.max_line_bytes = 1024};
	struct json_object *answer;
	char line[1000];
	const char *message;
	int fd;

	up(&cfg);
	fd = mgr_connect(&t);
	memset(line, ' ', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (unsigned i = 0; i < 200; i++) {
		mgr_send(fd, line);
		mgr_run(&t);
	}
	mgr_send(fd, "\n");
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, &message), -32600);
	cr_assert_str_eq(message, "the line is too long");
	json_object_put(answer);
	cr_assert_eq(mgr_code(&t, fd, "version", NULL), 0);
	close(fd);
	down();
}

Test(manager, a_line_of_very_many_objects_is_refused)
{
	char *line = malloc(60001);
	struct json_object *answer;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	for (unsigned i = 0; i < 20000; i++)
		memcpy(line + (size_t)3 * i, "{},", 4);
	mgr_send(fd, "[");
	mgr_send(fd, line);
	mgr_send(fd, "{}]\n");
	answer = mgr_message(&t, fd);
	cr_assert_eq(mgr_error(answer, NULL), -32700);
	json_object_put(answer);
	free(line);
	close(fd);
	down();
}

Test(manager, one_client_too_many_is_told_and_closed)
{
	const struct hvs_manager_config cfg = {.max_clients = 2};
	struct json_object *answer;
	int fd[3];

	up(&cfg);
	for (unsigned i = 0; i < 3; i++)
		fd[i] = mgr_connect(&t);
	answer = mgr_message(&t, fd[2]);
	cr_assert_eq(mgr_error(answer, NULL), HVS_CALL_TOO_MANY);
	json_object_put(answer);
	cr_assert(mgr_line(&t, fd[2]) == NULL);
	cr_assert_eq(mgr_code(&t, fd[0], "version", NULL), 0);
	/* There is room when one has left. */
	close(fd[0]);
	MGR_UNTIL(&t, left == 1);
	fd[0] = mgr_connect(&t);
	cr_assert_eq(mgr_code(&t, fd[0], "version", NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
	down();
}

Test(manager, some_connections_are_for_administrators)
{
	static const enum hvs_role roles[] = {HVS_ROLE_OPERATOR, HVS_ROLE_ADMINISTRATOR};

	for (unsigned r = 0; r < 2; r++) {
		const struct hvs_role_rule rule = {.id = geteuid(), .role = roles[r]};
		const struct hvs_manager_config cfg = {
			.rules = &rule, .rule_count = 1, .max_clients = 8};
		struct json_object *message;
		int fd[8];

		up(&cfg);
		for (unsigned i = 0; i < 8; i++)
			fd[i] = mgr_connect(&t);
		for (unsigned i = 0; i < 7; i++)
			cr_assert_eq(mgr_code(&t, fd[i], "version", NULL), 0);
		if (roles[r] == HVS_ROLE_ADMINISTRATOR) {
			cr_assert_eq(mgr_code(&t, fd[7], "version", NULL), 0);
		} else {
			message = mgr_message(&t, fd[7]);
			cr_assert_eq(mgr_error(message, NULL), HVS_CALL_TOO_MANY);
			json_object_put(message);
		}
		for (unsigned i = 0; i < 8; i++)
			close(fd[i]);
		down();
	}
}

Test(manager, one_call_too_many_is_refused)
{
	const struct hvs_manager_config cfg = {.max_calls = 3};
	int other;
	int fd;

	up(&cfg);
	fd = mgr_connect(&t);
	other = mgr_connect(&t);
	for (unsigned i = 0; i < 3; i++)
		mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"wait\"}\n");
	MGR_UNTIL(&t, waiting_count == 3);
	cr_assert_eq(mgr_code(&t, fd, "version", NULL), HVS_CALL_TOO_MANY);
	cr_assert_eq(mgr_code(&t, other, "version", NULL), 0);
	hvs_call_return(waiting[0], NULL);
	json_object_put(mgr_message(&t, fd));
	cr_assert_eq(mgr_code(&t, fd, "version", NULL), 0);
	hvs_call_return(waiting[1], NULL);
	hvs_call_return(waiting[2], NULL);
	close(fd);
	close(other);
	down();
}

Test(manager, calls_that_come_too_fast_are_refused)
{
	const struct hvs_manager_config cfg = {.max_calls_per_s = 1};
	unsigned served = 0;
	unsigned refused = 0;
	int other;
	int fd;

	up(&cfg);
	fd = mgr_connect(&t);
	other = mgr_connect(&t);
	for (unsigned i = 0; i < 50; i++)
		mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\n");
	for (unsigned i = 0; i < 50; i++) {
		struct json_object *answer = mgr_message(&t, fd);
		int code = mgr_error(answer, NULL);

		cr_assert(code == 0 || code == HVS_CALL_TOO_MANY);
		served += code == 0;
		refused += code != 0;
		json_object_put(answer);
	}
	cr_assert_geq(served, 2);
	cr_assert_gt(refused, 0);
	cr_assert_eq(mgr_code(&t, other, "version", NULL), 0);
	close(fd);
	close(other);
	down();
}

Test(manager, a_client_that_sends_nothing_but_nonsense_is_cut_off)
{
	const struct hvs_manager_config cfg = {.max_calls_per_s = 1};
	char lines[2001];
	int fd;

	up(&cfg);
	fd = mgr_connect(&t);
	memset(lines, '\n', sizeof(lines) - 1);
	lines[sizeof(lines) - 1] = '\0';
	mgr_send(fd, lines);
	MGR_UNTIL(&t, left == 1);
	cr_assert(strstr(t.log, "cut off: too many lines") != NULL, "%s", t.log);
	close(fd);
	down();
}

Test(manager, a_client_that_does_not_read_is_cut_off)
{
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	for (unsigned i = 0; i < 12; i++)
		mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"large\"}\n");
	MGR_UNTIL(&t, left == 1);
	cr_assert(strstr(t.log, "cut off: it does not read") != NULL, "%s", t.log);
	close(fd);
	down();
}

Test(manager, a_client_that_reads_gets_all_of_many_large_answers)
{
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	for (unsigned i = 0; i < 4; i++)
		mgr_send(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"large\"}\n");
	for (unsigned i = 0; i < 4; i++)
		cr_assert_gt(strlen(mgr_line(&t, fd)), 1u << 20);
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

/* ---- file descriptors -------------------------------------------------------------------------- */

static void send_with_fd(int fd, const char *text, int passed)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed, sizeof(passed));
	cr_assert_eq(sendmsg(fd, &message, 0), (ssize_t)strlen(text));
}

static int file_with(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

#define READ_FD "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"read-fd\"}\n"

Test(manager, a_file_descriptor_belongs_to_the_line_it_came_with)
{
	struct json_object *answer;
	int file;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	file = file_with("hello");
	/* What waits before it has none, nor what comes behind. */
	mgr_send(fd, READ_FD);
	send_with_fd(fd, READ_FD, file);
	mgr_send(fd, READ_FD);
	for (unsigned i = 0; i < 3; i++) {
		answer = mgr_message(&t, fd);
		cr_assert_eq(mgr_error(answer, NULL), i == 1 ? 0 : HVS_CALL_NOT_FOUND, "%u", i);
		json_object_put(answer);
	}
	cr_assert_str_eq(got, "hello");
	close(file);
	close(fd);
	down();
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(manager, file_descriptors_that_nobody_takes_are_closed)
{
	unsigned before;
	int file;
	int fd;

	up(NULL);
	fd = mgr_connect(&t);
	file = file_with("x");
	before = open_files();
	send_with_fd(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"version\"}\n", file);
	json_object_put(mgr_message(&t, fd));
	send_with_fd(fd, "nonsense\n", file);
	json_object_put(mgr_message(&t, fd));
	cr_assert_eq(open_files(), before);
	/* More than are taken, of a line that never ends. */
	for (unsigned i = 0; i < 20; i++) {
		send_with_fd(fd, "x", file);
		mgr_run(&t);
	}
	close(fd);
	MGR_UNTIL(&t, left == 1);
	cr_assert_eq(open_files(), before - 2);
	close(file);
	down();
}

Test(manager, a_monitor_can_t_send_file_descriptors)
{
	const struct hvs_role_rule rule = {.id = geteuid(), .role = HVS_ROLE_MONITOR};
	const struct hvs_manager_config cfg = {.rules = &rule, .rule_count = 1};
	unsigned before;
	int file;
	int fd;

	up(&cfg);
	fd = mgr_connect(&t);
	file = file_with("x");
	before = open_files();
	send_with_fd(fd, "x", file);
	mgr_run(&t);
	cr_assert_eq(open_files(), before);
	send_with_fd(fd, "\n" READ_FD, file);
	for (unsigned i = 0; i < 2; i++) {
		struct json_object *answer = mgr_message(&t, fd);

		cr_assert_eq(mgr_error(answer, NULL), i ? HVS_CALL_NOT_FOUND : -32700);
		json_object_put(answer);
	}
	close(fd);
	close(file);
	down();
}

Test(manager, without_a_file_descriptor_for_a_client_the_server_rests)
{
	struct rlimit limit;
	struct rlimit none;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	up(NULL);
	strcpy(address.sun_path, t.path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	/* It would never return. */
	mgr_run(&t);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (!strstr(t.log, "connected"))
		cr_assert_eq(event_base_loop(t.base, EVLOOP_ONCE), 0);
	cr_assert_eq(mgr_code(&t, fd, "version", NULL), 0);
	close(fd);
	down();
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
	strcpy(address.sun_path, path);
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
