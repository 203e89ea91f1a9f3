/* SPDX-License-Identifier: MIT */
/*
 * The management server: lines of any bytes from one client, in pieces of any length, while events go
 * to it and calls of it wait. Each answer must be one line of JSON, and UTF-8.
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

static const struct hvs_method methods[] = {
	{"wait", HVS_ROLES_INSPECT, 0, run_wait},
	{"echo", HVS_ROLES_INSPECT, 0, run_echo},
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT, .max_line_bytes = 4096};
	struct input in = {data, size};
	struct event_base *base = event_base_new();
	struct hvs_manager *m;
	char bytes[256];
	int fd[2];

	cfg.base = base;
	answers_len = 0;
	CHECK(hvsi_manager_new(&cfg, &m) == 0);
	CHECK(hvs_manager_add_methods(m, methods, 2, NULL) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
	hvsi_client_add(m, fd[1]);
	while (input_more(&in)) {
		size_t piece = (size_t)input_number(&in, 1);

		piece = input_bytes(&in, bytes, piece);
		if (piece)
			(void)!send(fd[0], bytes, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
		else
			end_one();
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		hvs_manager_event(m, "test", NULL);
		take_answers(fd[0]);
	}
	if (size % 2)
		close(fd[0]);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	hvs_manager_destroy(m);
	while (waiting_count)
		end_one();
	event_base_free(base);
	if (size % 2 == 0)
		close(fd[0]);
	return 0;
}
