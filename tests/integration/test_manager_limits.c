/* SPDX-License-Identifier: MIT */
/* What a client of the management server may not: too much, too fast, too long, and file descriptors
 * that nobody wants. */
#include "support/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct mgr t;
static struct hvs_call *waiting[8];
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

static const struct hvs_method methods[] = {
	{"wait", HVS_ROLES_INSPECT, 0, run_wait},
	{"read-fd", HVS_ROLES_INSPECT, 0, run_read_fd},
	{"large", HVS_ROLES_INSPECT, 0, run_large},
};

static void on_left(void *arg, uint64_t client)
{
	(void)arg;
	left = client;
}

static void up(const struct hvs_manager_config *cfg)
{
	mgr_up(&t, cfg);
	cr_assert_eq(
		hvs_manager_add_methods(t.m, methods, sizeof(methods) / sizeof(methods[0]), NULL),
		0);
	cr_assert_eq(hvs_manager_on_client_left(t.m, on_left, NULL), 0);
}

static void down(void)
{
	mgr_down(&t);
}

TestSuite(manager_limits, .timeout = 120);

/* ---- limits ------------------------------------------------------------------------------------ */

Test(manager_limits, a_line_that_is_too_long_is_refused_once)
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

Test(manager_limits, a_line_of_very_many_objects_is_refused)
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

Test(manager_limits, one_client_too_many_is_told_and_closed)
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

Test(manager_limits, one_call_too_many_is_refused)
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

Test(manager_limits, calls_that_come_too_fast_are_refused)
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

Test(manager_limits, a_client_that_does_not_read_is_cut_off)
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

Test(manager_limits, a_client_that_reads_gets_all_of_many_large_answers)
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

Test(manager_limits, a_file_descriptor_belongs_to_the_line_it_came_with)
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

Test(manager_limits, file_descriptors_that_nobody_takes_are_closed)
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

Test(manager_limits, some_connections_are_for_administrators)
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

Test(manager_limits, a_client_that_sends_nothing_but_nonsense_is_cut_off)
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

Test(manager_limits, a_monitor_can_t_send_file_descriptors)
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

Test(manager_limits, without_a_file_descriptor_for_a_client_the_server_rests)
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
