/* SPDX-License-Identifier: MIT */
/* A management server, and clients of its socket, in one thread. */
#ifndef TESTS_SUPPORT_MANAGER_H
#define TESTS_SUPPORT_MANAGER_H

#include <hvstack/host/manager.h>

#include <criterion/criterion.h>
#include <json-c/json.h>

struct event_base;

struct mgr {
	struct event_base *base;
	struct hvs_manager *m;
	char path[64];
	char dir[40];
	char log[4096];         /* "allowed uid 0 ...: x\n" */
	void (*run)(void *arg); /* something besides the base that has to run; NULL: nothing */
	void *arg;
};

/* cfg: limits and rules; may be NULL. */
void mgr_up(struct mgr *t, const struct hvs_manager_config *cfg);
void mgr_down(struct mgr *t);
void mgr_run(struct mgr *t);

int mgr_connect(struct mgr *t);
void mgr_send(int fd, const char *text);
/* The next line; NULL: the server has closed it. Valid until the next call. */
const char *mgr_line(struct mgr *t, int fd);
/* The next message; the caller's. */
struct json_object *mgr_message(struct mgr *t, int fd);
/* Call a method; params is JSON or NULL. The whole answer; the caller's. */
struct json_object *mgr_call(struct mgr *t, int fd, const char *method, const char *params);
/* 0, or the error's code. */
int mgr_code(struct mgr *t, int fd, const char *method, const char *params);
int mgr_error(struct json_object *answer, const char **message);
/* A member of the result, by the names on the way: "os.name". */
struct json_object *mgr_result(struct json_object *answer, const char *path);

#define MGR_UNTIL(t, condition)                                                                    \
	do {                                                                                       \
		for (unsigned tries_ = 0; !(condition); tries_++) {                                \
			cr_assert(tries_ < 200000, "never: %s", #condition);                       \
			mgr_run(t);                                                                \
		}                                                                                  \
	} while (0)

#endif
