/* SPDX-License-Identifier: MIT */
/*
 * The management server: lines of any bytes from one client, in pieces of any length and with files,
 * while events go to it and calls of it wait. Each answer must be one line of JSON, and UTF-8. The
 * length of the input says what the client may do, and how much.
 */
#include "check.h"
#include "host/manager_impl.h"
#include "host/utf8.h"
#include "input.h"

#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_WAITING 8u

static struct hvs_call *waiting[MAX_WAITING];
static unsigned waiting_count;

static void run_wait(void *arg, struct hvs_call *call)
{
	(void)arg;
	if (waiting_count < MAX_WAITING)
		waiting[waiting_count++] = call;
	else
		hvs_call_fail(call, HVS_CALL_BUSY, "enough");
}

/* What came is in the answer, as names of files may be. */
static void run_echo(void *arg, struct hvs_call *call)
{
	const char *text = "";
	uint64_t number = 0;
	bool flag = false;

	(void)arg;
	if (!hvs_call_number(call, "number", false, 1000, &number) ||
	    !hvs_call_bool(call, "flag", false, &flag) ||
	    !hvs_call_string(call, "text", true, &text))
		return;
	CHECK(number <= 1000);
	hvs_call_fail(call, HVS_CALL_FAILED, "%.20s", text);
}

static void run_take(void *arg, struct hvs_call *call)
{
	int fd = hvs_call_take_fd(call, 0);

	(void)arg;
	if (fd >= 0)
		close(fd);
	hvs_call_return(call, NULL);
}

static const struct hvs_method methods[] = {
	{"wait", HVS_ROLES_INSPECT, 0, run_wait},
	{"echo", HVS_ROLES_INSPECT, 0, run_echo},
	{"take", HVS_ROLES_OPERATE, 0, run_take},
};

static void end_one(void)
{
	if (waiting_count)
		hvs_call_return(waiting[--waiting_count], NULL);
}

static char answers[1u << 20];
static size_t answers_len;

static void check_answers(void)
{
	char *line = answers;
	char *end;

	answers[answers_len] = '\0';
	CHECK(strlen(answers) == answers_len);
	while ((end = strchr(line, '\n')) != NULL) {
		struct json_object *answer;
		const char *why;
		size_t units;

		*end = '\0';
		CHECK(hvsi_utf8_units(line, &units));
		answer = hvsi_json_parse(line, strlen(line), &why);
		CHECK(json_object_is_type(answer, json_type_object));
		json_object_put(answer);
		line = end + 1;
	}
	answers_len -= (size_t)(line - answers);
	memmove(answers, line, answers_len);
}

static void take_answers(int fd)
{
	ssize_t n;

	while ((n = recv(fd, answers + answers_len, sizeof(answers) - 1 - answers_len,
			 MSG_DONTWAIT)) > 0) {
		answers_len += (size_t)n;
		check_answers();
	}
}

/* With the same file each time. */
static void send_piece(int to, const char *bytes, size_t len, int file)
{
	char control[CMSG_SPACE(sizeof(file))] = {0};
	struct iovec iov = {(void *)bytes, len};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (file >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(file));
		memcpy(CMSG_DATA(c), &file, sizeof(file));
	}
	(void)!sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum { LEAVES_EARLY = 1, SENDS_FILES = 2, MONITORS = 4, FEW_CALLS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct hvs_role_rule monitor = {.id = getuid(), .role = HVS_ROLE_MONITOR};
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT, .max_line_bytes = 4096};
	struct input in = {data, size};
	struct event_base *base = event_base_new();
	struct hvs_manager *m;
	char bytes[256];
	int fd[2];

	cfg.base = base;
	if (size & MONITORS) {
		cfg.rules = &monitor;
		cfg.rule_count = 1;
	}
	cfg.max_calls = size & FEW_CALLS ? 2 : 0;
	cfg.max_calls_per_s = size & FEW_CALLS ? 5 : 0;
	answers_len = 0;
	CHECK(hvsi_manager_new(&cfg, &m) == 0);
	CHECK(hvs_manager_add_methods(m, methods, 3, NULL) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
	hvsi_client_add(m, fd[1]);
	while (input_more(&in)) {
		size_t piece = (size_t)input_number(&in, 1);

		piece = input_bytes(&in, bytes, piece);
		if (piece)
			send_piece(fd[0], bytes, piece, size & SENDS_FILES ? STDERR_FILENO : -1);
		else
			end_one();
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		hvs_manager_event(m, "test", NULL);
		take_answers(fd[0]);
	}
	if (size & LEAVES_EARLY)
		close(fd[0]);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	hvs_manager_destroy(m);
	while (waiting_count)
		end_one();
	event_base_free(base);
	if (!(size & LEAVES_EARLY))
		close(fd[0]);
	return 0;
}
