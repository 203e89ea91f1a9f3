/* SPDX-License-Identifier: MIT */
/*
 * The management server: a Unix socket on which programs ask about a machine and have things done
 * with it. docs/management.md describes the protocol (JSON-RPC 2.0, a message a line), the roles, and
 * the methods that are here; a VMM adds its own. hvctl(1) is a client.
 *
 * Everything runs on the thread of its base, which must also be the one that dispatches the main
 * worker: methods call [main worker] functions of the library.
 */
#ifndef HVSTACK_HOST_MANAGER_H
#define HVSTACK_HOST_MANAGER_H

#include <hvstack/export.h>
#include <hvstack/ic.h>
#include <hvstack/kvp.h>
#include <hvstack/stats.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct evbuffer;    /* libevent */
struct event_base;  /* libevent */
struct json_object; /* json-c */
struct hvs_manager; /* the management server of a machine */
struct hvs_call;    /* one request of a client, until it has its answer */
struct hvs_guestinfo;

/* ---- who may what ------------------------------------------------------------------------------ */

/* Bits: a method names all roles that may call it. */
enum hvs_role {
	HVS_ROLE_NONE = 0,
	HVS_ROLE_MONITOR = 0x1,
	HVS_ROLE_BACKUP = 0x2,
	HVS_ROLE_OPERATOR = 0x4,
	HVS_ROLE_ADMINISTRATOR = 0x8,
};
#define HVS_ROLES_INSPECT 0xfu          /* all */
#define HVS_ROLES_BACKUP (0x2u | 0x8u)  /* who backs up */
#define HVS_ROLES_OPERATE (0x4u | 0x8u) /* who operates */
#define HVS_ROLES_ADMINISTER 0x8u       /* administrators alone */

/* Layout fixed. */
struct hvs_role_rule {
	bool group;         /* id is a group's, which the client's process is in; else a user's */
	uint32_t id;        /* uid_t, gid_t */
	enum hvs_role role; /* HVS_ROLE_NONE: denied */
};

/*
 * Read rules from a file: a JSON array of {"user": NAME or number, "role": "operator"} and
 * {"group": ..., "role": ...}. *rules is to be freed with free(). why (of why_len bytes) gets a
 * sentence when it fails. 0, -EINVAL (not such a file, an unknown name), -ENOMEM, or what open() and
 * read() said.
 */
HVS_API HVS_NODISCARD int hvs_role_rules_read(const char *path, struct hvs_role_rule **rules,
					      uint32_t *count, char *why, size_t why_len);

/* ---- the server --------------------------------------------------------------------------------- */

enum hvs_manager_log {
	HVS_MANAGER_ALLOWED = 1, /* text: "uid 1000 pid 17 (operator): shutdown" */
	HVS_MANAGER_DENIED = 2,
	HVS_MANAGER_CLIENT = 3, /* came, left, was cut off */
};

struct hvs_manager_config {
	uint32_t size;
	uint32_t rule_count;
	struct event_base *base; /* must outlive the manager */
	/* Where to listen; a socket that nobody listens on any more is replaced. Anyone on the machine
	 * may connect; who may what is up to the rules. */
	const char *socket_path;
	const struct hvs_role_rule
		*rules;           /* copied; NULL: this process's user and root administer */
	const char *server;       /* its name and version, for `version`; copied */
	const char *name;         /* of the machine, for people; copied */
	struct hvs_guid uuid;     /* of the machine */
	uint32_t max_clients;     /* 0: 32; the last eighth of them is for administrators */
	uint32_t max_line_bytes;  /* 0: 256 KiB */
	uint32_t max_calls;       /* of a client, under way; 0: 16 */
	uint32_t max_calls_per_s; /* of a client; 0: 1,000 */
	/* Each decision; text is valid during the call. Optional. */
	void (*log)(void *arg, enum hvs_manager_log what, const char *text);
	void *arg;
};
#define HVS_MANAGER_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_manager_config)

/*
 * Listen. cfg is copied. 0, -EINVAL (NULL, a limit or path out of range), -ENOTSUP (unknown members
 * set), -EADDRINUSE (another process listens there), -ENOMEM, or what socket(), bind() or listen() said.
 */
HVS_API HVS_NODISCARD int hvs_manager_create(const struct hvs_manager_config *cfg,
					     struct hvs_manager **out);

/* Clients are cut off, and what they had under way ends. NULL is allowed. */
HVS_API void hvs_manager_destroy(struct hvs_manager *m);

/* ---- what it manages ------------------------------------------------------------------------------ */

/*
 * Let clients use a service: methods and events of its kind. The manager does not own it. It is told
 * of events by whoever has created it: call hvs_manager_ic_event() from hvs_ic_ops.event. When the
 * service goes away: hvs_manager_remove_ic(), before hvs_ic_destroy(). 0, -EINVAL, -EEXIST (one of this
 * kind is there), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_manager_add_ic(struct hvs_manager *m, struct hvs_ic *ic);
HVS_API void hvs_manager_remove_ic(struct hvs_manager *m, enum hvs_ic_kind kind);
HVS_API void hvs_manager_ic_event(struct hvs_manager *m, struct hvs_ic *ic,
				  enum hvs_ic_event event);

/* The tables of pairs, for kvp-* and `info`. Call hvs_manager_kvp_changed() and _end() from
 * hvs_guestinfo_ops. NULL: none, before it is destroyed. */
HVS_API void hvs_manager_set_guestinfo(struct hvs_manager *m, struct hvs_guestinfo *g);
HVS_API void hvs_manager_kvp_changed(struct hvs_manager *m, enum hvs_kvp_pool pool, const char *key,
				     const char *value);
HVS_API void hvs_manager_kvp_changes_end(struct hvs_manager *m, enum hvs_kvp_pool pool);

/* For `info`: the guest's own words; NULL: not known. Called when a client asks. */
struct hvs_manager_machine_ops {
	uint32_t size;
	uint32_t reserved;                    /* 0 */
	const char *(*state)(void *arg);      /* "running", "paused", ... Optional. */
	uint64_t (*guest_os_id)(void *arg);   /* hvs_hv_guest_os_id(). Optional. */
	uint32_t (*vmbus_version)(void *arg); /* hvs_vmbus_guest_version(). Optional. */
	/* Offer a service, or take it away: `service-enable`. It calls hvs_manager_add_ic() or
	 * _remove_ic(). 0 or a negative errno. Optional. */
	int (*enable_service)(void *arg, enum hvs_ic_kind kind, bool enabled);
	/* The id of an adapter becomes its MAC (for `ip-get`) and its VMBus instance (`ip-set`). False:
	 * there is none. Optional. */
	bool (*find_net)(void *arg, const char *id, uint8_t mac[6], struct hvs_guid *instance_id);
	/* Add what is known of disks and adapters to these arrays, for `devices`. Optional. */
	void (*devices)(void *arg, struct json_object *disks, struct json_object *nets);
	/* Write more metrics, in OpenMetrics text without "# EOF". Optional. */
	void (*metrics)(void *arg, struct evbuffer *out);
};
#define HVS_MANAGER_MACHINE_OPS_INIT .size = (uint32_t)sizeof(struct hvs_manager_machine_ops)
/* ops is copied. 0, -EINVAL, -ENOTSUP (unknown members set). */
HVS_API HVS_NODISCARD int hvs_manager_set_machine(struct hvs_manager *m,
						  const struct hvs_manager_machine_ops *ops,
						  void *arg);

/* For `channels` and metrics; hvs_services_create() does it. NULL: none, before it is destroyed. */
HVS_API void hvs_manager_set_bus(struct hvs_manager *m, struct hvs_vmbus *bus);

/* ---- for metrics() ------------------------------------------------------------------------------ */

/* Write the value of a label, any text, as it stands between its quotes. */
HVS_API void hvs_metrics_label(struct evbuffer *out, const char *text);

/* Begin a family of this name; its samples follow. type: of OpenMetrics ("counter", ...). unit: what the
 * name ends in; NULL: nothing. help: one line for people. */
HVS_API void hvs_metrics_family(struct evbuffer *out, const char *name, const char *type,
				const char *unit, const char *help);

/* Samples of the family `name`, of type histogram, in seconds. labels: one or more, as they stand between
 * their braces. */
HVS_API void hvs_metrics_latency(struct evbuffer *out, const char *name, const char *labels,
				 const struct hvs_latency *latency);

/* ---- methods of a VMM ------------------------------------------------------------------------------ */

/* Layout fixed. */
struct hvs_method {
	const char *name;  /* as clients call it */
	uint32_t roles;    /* HVS_ROLES_* */
	uint32_t reserved; /* 0 */
	/* Do it, and end the call with hvs_call_return() or hvs_call_fail(), now or later. */
	void (*run)(void *arg, struct hvs_call *call);
};

/* methods must stay as long as the manager. 0, -EINVAL, -EEXIST (a name is taken), -ENOMEM. */
HVS_API HVS_NODISCARD int hvs_manager_add_methods(struct hvs_manager *m,
						  const struct hvs_method *methods, uint32_t count,
						  void *arg);

/* Tell all clients that want events. params is an object that becomes the manager's, NULL: none.
 * `event` and `time` are added to it. */
HVS_API void hvs_manager_event(struct hvs_manager *m, const char *event,
			       struct json_object *params);

/* The codes of docs/management.md. */
enum hvs_call_error {
	HVS_CALL_INVALID_PARAMS = -32602,
	HVS_CALL_INTERNAL = -32603,
	HVS_CALL_DENIED = 1,
	HVS_CALL_NOT_FOUND = 2,
	HVS_CALL_EXISTS = 3,
	HVS_CALL_BUSY = 4,
	HVS_CALL_NOT_READY = 5,
	HVS_CALL_GUEST_ERROR = 6,
	HVS_CALL_GUEST_TIMEOUT = 7,
	HVS_CALL_GONE = 8,
	HVS_CALL_NOT_SUPPORTED = 9,
	HVS_CALL_FAILED = 10,
	HVS_CALL_TOO_MANY = 11,
	HVS_CALL_CANCELLED = 12,
};

/* The parameters: an object, or NULL if there are none. Valid until the call ends. */
HVS_API struct json_object *hvs_call_params(const struct hvs_call *call);

/* End a call. result is an object that becomes the call's; NULL: an empty one. If the client has
 * left meanwhile, nobody hears of it. */
HVS_API void hvs_call_return(struct hvs_call *call, struct json_object *result);
/* End a call with an error. format: the sentence for the client, as printf() takes it. */
HVS_API void hvs_call_fail(struct hvs_call *call, enum hvs_call_error code, const char *format, ...)
	HVS_PRINTF(3, 4);
/* The same, from what a request to the guest ended with (ic.h): `what` is what was tried. */
HVS_API void hvs_call_fail_ic(struct hvs_call *call, const char *what, int status,
			      uint32_t guest_status);

/* Which connection: the same number for all its calls, of no other. */
HVS_API uint64_t hvs_call_client(const struct hvs_call *call);
/* Is it still connected? client: the number of hvs_call_client(). */
HVS_API bool hvs_manager_has_client(const struct hvs_manager *m, uint64_t client);

/* A client has left: the number of hvs_call_client(). */
typedef void (*hvs_client_left_fn)(void *arg, uint64_t client);

/* Have fn called when a client leaves, for what belongs to its connection. 0, -EINVAL, -ENOMEM. */
HVS_API HVS_NODISCARD int hvs_manager_on_client_left(struct hvs_manager *m, hvs_client_left_fn fn,
						     void *arg);

/*
 * A file descriptor that came with the request (SCM_RIGHTS): number `index` of them. It becomes the
 * caller's, who closes it. -ENOENT: there is none; monitors can't send any.
 */
HVS_API HVS_NODISCARD int hvs_call_take_fd(struct hvs_call *call, unsigned index);

/*
 * Parameters. What is missing and optional leaves *value alone. If one is wrong the call is failed with
 * HVS_CALL_INVALID_PARAMS and a sentence that names it, and false is returned: run() only has to return.
 *
 * name  of the parameter
 * max   the largest number that is allowed
 */
HVS_API HVS_NODISCARD bool hvs_call_string(struct hvs_call *call, const char *name, bool required,
					   const char **value);
HVS_API HVS_NODISCARD bool hvs_call_number(struct hvs_call *call, const char *name, bool required,
					   uint64_t max, uint64_t *value);
HVS_API HVS_NODISCARD bool hvs_call_bool(struct hvs_call *call, const char *name, bool required,
					 bool *value);
/* No parameter but these names (NULL ends the list) is there; else as above. */
HVS_API HVS_NODISCARD bool hvs_call_only(struct hvs_call *call, const char *const *names);

#ifdef __cplusplus
}
#endif
#endif
