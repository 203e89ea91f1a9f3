/* SPDX-License-Identifier: MIT */
/*
 * The management server inside.
 *
 *   manager.c          the socket, who is connected, events
 *   manager_client.c   one connection: lines in, lines out, its limits
 *   manager_call.c     a line becomes a call, and a call its answer
 *   manager_params.c   parameters of a call
 *   manager_methods.c  which methods there are, and those about the server itself
 *   manager_roles.c    who is at the other end, and what role that is
 *   manager_rules.c    the file of rules
 *   manager_json.c     json-c without surprises
 *   manager_info.c     the machine as a whole
 *   manager_ic.c       which services there are; heartbeat, time, shutdown
 *   manager_kvp.c      pairs
 *   manager_ip.c       addresses
 *   manager_copy.c     files that are copied into the guest
 *   manager_vss.c      freeze and thaw
 *   manager_channels.c channels
 *   manager_metrics.c  OpenMetrics
 *
 * A connection that ends is only marked (cut) by whoever notices; it is taken away from a callback of
 * its own, so that whoever has a client may go on using it until it returns.
 */
#ifndef HVSI_HOST_MANAGER_IMPL_H
#define HVSI_HOST_MANAGER_IMPL_H

#include <hvstack/host/manager.h>
#include <json-c/json.h>
#include <sys/stat.h>
#include <sys/un.h>

struct event;
struct evbuffer;

#define HVSI_MANAGER_PROTOCOL 1
#define HVSI_CALL_FDS 128u            /* that come with a request: two for each disk of a backup */
#define HVSI_CLIENT_UNREAD (4u << 20) /* bytes of answers; then it is cut off */
#define HVSI_CLIENT_CHUNK 65536u
#define HVSI_PARSE_ERROR (-32700)
#define HVSI_INVALID_REQUEST (-32600)
#define HVSI_NO_METHOD (-32601)

/* ---- connections ----------------------------------------------------------------------------- */

struct hvsi_client {
	struct hvsi_client *next;
	struct hvs_manager *m;
	struct event *readable;
	struct event *writable;
	struct evbuffer *out;
	int fd;
	bool cut;      /* it is on its way out: nothing is read or sent any more */
	bool events;   /* it wants them */
	bool too_long; /* the line that comes in is */
	enum hvs_role role;
	char who[64]; /* "uid 1000 pid 17 (operator)" */
	uint64_t number;
	uint32_t calls;     /* under way */
	uint64_t tokens;    /* thousandths of a call that it may make now */
	uint64_t tokens_at; /* when that was counted, ms */
	char *line;         /* what has come of a line */
	size_t line_len;
	size_t line_room;
	uint64_t lines; /* that were complete */
	struct {
		int fd;
		uint64_t line; /* that it came with */
	} fds[HVSI_CALL_FDS];
	unsigned fd_count;
};

/* A new connection, which becomes the manager's: a client, or told why not and closed. */
void hvsi_client_add(struct hvs_manager *m, int fd);
void hvsi_client_free(struct hvsi_client *client);
/* Its end: why is for the log. */
void hvsi_client_cut(struct hvsi_client *client, const char *why);
void hvsi_client_send(struct hvsi_client *client, struct json_object *message);
/* Has it a call left in this second? Then it has one less. */
bool hvsi_client_may_call(struct hvsi_client *client);
struct hvsi_client *hvsi_client_find(const struct hvs_manager *m, uint64_t number);

/* ---- roles ------------------------------------------------------------------------------------- */

/* Who is at the other end; fills in role and who. 0 or a negative errno. */
int hvsi_roles_identify(const struct hvs_manager *m, struct hvsi_client *client);
const char *hvsi_role_name(enum hvs_role role);
/* NULL: no role is called so. */
bool hvsi_role_parse(const char *name, enum hvs_role *role);

/* ---- calls ------------------------------------------------------------------------------------- */

struct hvs_call {
	struct hvs_call *next;
	struct hvs_manager *m;
	uint64_t client;
	const struct hvs_method *method;
	struct json_object *request; /* params and id are in it */
	struct json_object *params;
	struct json_object *id;
	bool wants_answer;
	struct hvs_ic *ic;          /* it has a request there; NULL: none */
	const void *ic_arg;         /* the argument of that */
	const char *what;           /* it asks the guest for, for errors */
	struct json_object *result; /* what has come of it; freed with the call */
	void *state;                /* of its method; freed with the call */
	int fds[HVSI_CALL_FDS];     /* -1: taken */
	unsigned fd_count;
};

/* A line has come, with file descriptors that become the callee's. */
void hvsi_call_line(struct hvsi_client *client, const char *line, size_t len, const int *fds,
		    unsigned fd_count);
/* An error without a call. id may be NULL; it stays the caller's. */
void hvsi_call_refuse(struct hvsi_client *client, struct json_object *id, int code,
		      const char *message);
/* data becomes the call's. */
void hvsi_call_fail_data(struct hvs_call *call, int code, struct json_object *data,
			 const char *message);
/* {"jsonrpc": "2.0", "id": null, "error": {...}}; NULL: no memory. */
struct json_object *hvsi_call_error(struct json_object *id, int code, const char *message,
				    struct json_object *data);

/* Whose calls end, as there is nobody left: what they wait for is withdrawn. */
void hvsi_calls_cancel(struct hvs_manager *m, uint64_t client);

/* ---- requests to the guest --------------------------------------------------------------------- */

#define HVSI_IC_KINDS 8u /* numbers of enum hvs_ic_kind are below it */

/* The service; NULL: there is none, the call has failed. */
struct hvs_ic *hvsi_call_ic(struct hvs_call *call, enum hvs_ic_kind kind);
/* A request with the call as argument was begun (err 0), or was not: then the call has failed, and
 * false is returned. what names the request; a static string. */
bool hvsi_call_waits(struct hvs_call *call, struct hvs_ic *ic, const char *what, int err);
/* Its end, if that is all: result is returned. */
void hvsi_call_ic_done(void *arg, int status, uint32_t guest_status);
bool hvsi_call_timeout(struct hvs_call *call, uint32_t *timeout_ms);
const char *hvsi_ic_word(enum hvs_ic_kind kind); /* of the protocol: "time-sync" */
struct json_object *hvsi_ic_status(const struct hvs_manager *m, enum hvs_ic_kind kind);
struct json_object *hvsi_ic_primary(const struct hvs_ic_status *status);
/* Kinds of services, in order; 0 ends them. */
extern const enum hvs_ic_kind hvsi_ic_kinds[];
#define HVSI_TIMEOUT_MAX 3600000u /* ms */

void hvsi_vss_left(struct hvs_manager *m, uint64_t client);
void hvsi_copy_left(struct hvs_manager *m, uint64_t client);
/* The service is gone, or has thawed the guest by itself. */
void hvsi_vss_over(struct hvs_manager *m);
void hvsi_copy_over(struct hvs_manager *m);

/* ---- methods ----------------------------------------------------------------------------------- */

struct hvsi_methods {
	struct hvsi_methods *next;
	const struct hvs_method *methods;
	uint32_t count;
	void *arg;
};

const struct hvs_method *hvsi_method_find(const struct hvs_manager *m, const char *name,
					  void **arg);
/* All that every machine has; then those of one file each. */
int hvsi_methods_add_own(struct hvs_manager *m);
int hvsi_info_methods(struct hvs_manager *m);
int hvsi_ic_methods(struct hvs_manager *m);
int hvsi_kvp_methods(struct hvs_manager *m);
int hvsi_ip_methods(struct hvs_manager *m);
int hvsi_copy_methods(struct hvs_manager *m);
int hvsi_vss_methods(struct hvs_manager *m);
int hvsi_metrics_methods(struct hvs_manager *m);
int hvsi_channel_methods(struct hvs_manager *m);
void hvsi_channel_metrics(const struct hvs_manager *m, struct evbuffer *out);
void hvsi_methods_free(struct hvs_manager *m);

/* ---- the manager ------------------------------------------------------------------------------- */

struct hvsi_left {
	struct hvsi_left *next;
	hvs_client_left_fn fn;
	void *arg;
};

struct hvs_manager {
	struct hvs_manager_config cfg; /* its strings and rules are ours */
	char *server;
	char *name;
	struct hvs_role_rule *rules; /* NULL: none were given */
	int fd;                      /* -1: it does not listen */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat path_is; /* the socket's file */
	struct event *connecting;
	struct event *accepting; /* again: there was no file descriptor left */
	struct event *reaping;
	struct hvsi_client *clients;
	uint32_t client_count;
	uint64_t numbers; /* given to clients */
	struct hvs_call *calls;
	bool destroyed; /* calls that have not ended keep it */
	struct hvsi_methods *methods;
	struct hvsi_left *left;
	struct hvs_manager_machine_ops machine;
	void *machine_arg;
	struct hvs_vmbus *bus;            /* NULL: not known */
	struct hvs_ic *ic[HVSI_IC_KINDS]; /* NULL: there is none of this kind */
	struct hvs_guestinfo *guestinfo;
	struct json_object *changed; /* pairs that kvp-changed will tell */
	uint64_t copier;             /* the client whose file is being copied; 0: none */
	uint64_t freezer;            /* the client that has frozen the guest, or is about to */
	uint64_t frozen_at;          /* ms */
	struct hvs_call *freezing;   /* the call that waits for it */
	char chunk[HVSI_CLIENT_CHUNK];
};

/* All but the socket. As hvs_manager_create(). */
int hvsi_manager_new(const struct hvs_manager_config *given, struct hvs_manager **out);
/* The last call of a manager that was destroyed has ended. */
void hvsi_manager_free(struct hvs_manager *m);
__attribute__((format(printf, 3, 4))) void
hvsi_manager_log(const struct hvs_manager *m, enum hvs_manager_log what, const char *format, ...);
uint64_t hvsi_manager_now_ms(void);

/* ---- json-c ------------------------------------------------------------------------------------ */

/* Add a member that becomes to's. Without memory, for any of it, there is no such member. */
void hvsi_json_add(struct json_object *to, const char *name, struct json_object *value);
void hvsi_json_string(struct json_object *to, const char *name, const char *text); /* NULL: null */
void hvsi_json_number(struct json_object *to, const char *name, uint64_t n);
void hvsi_json_bool(struct json_object *to, const char *name, bool value);
/* Append to an array. */
void hvsi_json_append(struct json_object *to, struct json_object *value);
/* All of it is one JSON value in UTF-8, without a NUL. NULL: it is not, *why says what is wrong; NULL
 * with *why NULL: it is `null`. */
struct json_object *hvsi_json_parse(const char *text, size_t len, const char **why);
/* A string without U+0000; NULL: it is something else. */
const char *hvsi_json_text(struct json_object *value);
/* As a line, with its end, in UTF-8 whatever the strings in it are. To be freed; NULL: no memory. */
char *hvsi_json_line(struct json_object *message, size_t *len);

#endif
