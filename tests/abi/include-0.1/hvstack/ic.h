/* SPDX-License-Identifier: MIT */
/*
 * Integration components: small services of the guest that the host talks to. This header has what
 * they have in common, and the heartbeat, time synchronization and shutdown; kvp.h, vss.h and
 * filecopy.h have the others, guestos.h says which system a guest is.
 *
 * A service is a VMBus device on the main worker. When the guest has opened it, the library agrees
 * with it upon versions; from then on the service is ready. The guest gets one message at a time
 * and answers each.
 *
 * [main worker] here means: before hvs_vmbus_start(), or on any thread that does not run at the
 * same time as hvs_worker_dispatch() of the main worker.
 *
 * Requests. A function that takes a done function only queues the request, and never blocks or
 * calls back. If it returns 0, done runs exactly once, on the main worker, from a callback of the
 * library:
 *
 *   0            the guest has done it (or, for a shutdown, has accepted it)
 *   -EREMOTEIO   the guest says that it failed; guest_status is its HRESULT
 *   -ETIMEDOUT   no answer in time. What the guest still sends is dropped; until then, requests
 *                that follow wait, each until its own time is over
 *   -ENOTCONN    the guest has closed the channel, or the service was destroyed, or the machine was
 *                reset or restored meanwhile
 *   -EPROTO      the answer makes no sense
 *   -ECANCELED   withdrawn by the caller
 *   -ENODATA     time synchronization: sample_time() had none
 *
 * The time of a request includes the time that it waits for others.
 */
#ifndef HVSTACK_IC_H
#define HVSTACK_IC_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_ic; /* one service of one machine */

/* The message type of the service on the wire. */
enum hvs_ic_kind {
	HVS_IC_HEARTBEAT = 1,
	HVS_IC_KVP = 2,
	HVS_IC_SHUTDOWN = 3,
	HVS_IC_TIMESYNC = 4,
	HVS_IC_VSS = 5,
	HVS_IC_FILECOPY = 7,
};

/* HRESULTs that guests answer with. */
#define HVS_IC_S_OK 0x00000000u
#define HVS_IC_E_FAIL 0x80004005u /* also: no daemon there, or it did not answer */
#define HVS_IC_E_NO_MORE_ITEMS 0x80070103u
#define HVS_IC_E_NOT_SUPPORTED 0x80070032u
#define HVS_IC_E_INVALID_ARGUMENT 0x80070057u
#define HVS_IC_E_NOT_FOUND 0x80041002u
#define HVS_IC_E_EXISTS 0x80070050u
#define HVS_IC_E_DISK_FULL 0x80070070u
#define HVS_IC_E_MACHINE_LOCKED 0x800704f7u
#define HVS_IC_E_NOT_CONNECTED 0x8007048fu

/* A request has ended: with 0, a negative errno value, or -EREMOTEIO and what the guest answered. */
typedef void (*hvs_ic_done_fn)(void *arg, int status, uint32_t guest_status);

/* ---- a service ------------------------------------------------------------------------------ */

/* Operational status as Hyper-V's management reports it: the service itself, and in detail. */
enum hvs_ic_primary {
	HVS_IC_OK = 2,
	HVS_IC_DEGRADED = 3,            /* an older version than the newest that is offered */
	HVS_IC_NON_RECOVERABLE = 7,     /* no version in common, or answers that make no sense */
	HVS_IC_NO_CONTACT = 12,         /* never ready since the machine was started or reset */
	HVS_IC_LOST_COMMUNICATION = 13, /* was ready, and does not answer or has gone */
};
enum hvs_ic_secondary {
	HVS_IC_DETAIL_NONE = 0, /* the guest has said nothing about it */
	HVS_IC_DETAIL_OK = 2,
	HVS_IC_DETAIL_MISMATCH = 32775, /* of versions */
	HVS_IC_DETAIL_CRITICAL = 32782, /* an application in the guest is in a critical state */
	HVS_IC_DETAIL_TIMED_OUT = 32783,
	HVS_IC_DETAIL_FAILED = 32784,
};

/* What is known of a service. */
struct hvs_ic_status {
	uint32_t size;
	enum hvs_ic_kind kind;
	enum hvs_ic_primary primary;
	enum hvs_ic_secondary secondary;
	bool open;                  /* the guest's driver has the channel open */
	bool ready;                 /* and has agreed upon versions: requests are taken */
	uint32_t framework_version; /* (major << 16) | minor; 0: not agreed */
	uint32_t service_version;   /* likewise */
	uint64_t requests;          /* that the guest was sent */
	uint64_t failures;          /* it answered with an error; the end of a list is none */
	uint64_t timeouts;          /* it did not answer in time */
	uint64_t malformed;         /* answers that made no sense, or came too late */
	uint32_t waiting;           /* requests, the one that the guest has included */
	uint32_t reserved;
};
#define HVS_IC_STATUS_INIT .size = (uint32_t)sizeof(struct hvs_ic_status)

enum hvs_ic_event {
	HVS_IC_EVENT_STATUS = 1,      /* a member from primary to service_version has changed */
	HVS_IC_EVENT_BEAT_MISSED = 2, /* heartbeat: once for each */
	HVS_IC_EVENT_THAWED_LATE = 3, /* VSS: thawed by the library, as the time was over */
	HVS_IC_EVENT_MAY_BE_FROZEN =
		4, /* VSS: thaw failed; the guest's file systems may still be frozen */
};

struct hvs_ic_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/* Something has happened. Any function of the service but hvs_ic_destroy() may be called.
	 * On the main worker. Optional. */
	void (*event)(void *arg, struct hvs_ic *ic, enum hvs_ic_event event);

	/*
	 * Time synchronization, required there. The host's time, in units of 100 ns since 1601-01-01
	 * 00:00 UTC without leap seconds, and the guest's reference counter (HV_X64_MSR_TIME_REF_COUNT,
	 * units of 100 ns) at the same instant. *reference may be left alone if `reference_time` in
	 * the configuration is false. 0, or a negative errno: no sample this time. On the main worker.
	 */
	int (*sample_time)(void *arg, uint64_t *host_time, uint64_t *reference);
};
#define HVS_IC_OPS_INIT .size = (uint32_t)sizeof(struct hvs_ic_ops)

struct hvs_ic_config {
	uint32_t size;
	enum hvs_ic_kind kind;
	/* Instance GUID; all zero: the one that Hyper-V gives to this service, which some guests want
	 * for file copy. */
	struct hvs_guid instance_id;
	uint32_t max_version;     /* of the service, (major << 16) | minor; 0: the newest known */
	uint32_t interval_ms;     /* heartbeat: 0: 2,000; time samples: 0: 5,000; others: 0 */
	uint32_t latency_ms;      /* heartbeat: how late an answer may be; 0: 1,000; others: 0 */
	uint32_t error_threshold; /* heartbeat: missed beats until communication is lost; 0: 2 */
	bool reference_time; /* time synchronization: sample_time() has it; without, no 4.0 is offered */
	uint8_t reserved[3]; /* 0 */
};
#define HVS_IC_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_ic_config)

/*
 * Offer a service to the guest: one of each kind per machine. cfg and ops are copied. [main worker]
 *
 * 0, -EINVAL (NULL, a member out of range), -ENOTSUP (unknown members set), -EEXIST (there is one
 * of this instance_id), -ENOSPC (as hvs_device_offer()), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_ic_create(struct hvs_vmbus *bus, const struct hvs_ic_config *cfg,
					const struct hvs_ic_ops *ops, void *arg,
					struct hvs_ic **out);

/*
 * Take a service away; requests end with -ENOTCONN before done runs (NULL: nobody wants to know).
 * ic must not be used after this call; no event follows but HVS_IC_EVENT_MAY_BE_FROZEN. A guest
 * whose file systems are frozen is thawed first, as far as it answers within 5 s. Destroying the
 * bus destroys its services, too. [main worker]
 *
 * 0, -EINVAL (NULL), -EBUSY (on its way out already).
 */
HVS_API HVS_NODISCARD int hvs_ic_destroy(struct hvs_ic *ic, hvs_done_fn done, void *arg);

/* 0, -EINVAL (NULL, or size is too small to be one). [main worker] */
HVS_API HVS_NODISCARD int hvs_ic_get_status(const struct hvs_ic *ic, struct hvs_ic_status *status);

/*
 * Withdraw what was asked for with this arg and waits, or is with the guest: done runs with
 * -ECANCELED. A request that the guest has is done there all the same. Returns how many.
 * [main worker]
 */
HVS_API unsigned hvs_ic_cancel(struct hvs_ic *ic, const void *arg);

/* Static strings, never NULL: "Key-Value Pair Exchange", "Lost Communication", ... [any] */
HVS_API const char *hvs_ic_kind_name(enum hvs_ic_kind kind);
HVS_API const char *hvs_ic_primary_name(enum hvs_ic_primary primary);
HVS_API const char *hvs_ic_secondary_name(enum hvs_ic_secondary secondary);
HVS_API const char *hvs_ic_guest_status_name(uint32_t guest_status); /* what it means */

/* ---- heartbeat ------------------------------------------------------------------------------ */

/* Numbers of the wire. */
enum hvs_heartbeat_application {
	HVS_HEARTBEAT_UNKNOWN = 0, /* Linux never says more */
	HVS_HEARTBEAT_HEALTHY = 1,
	HVS_HEARTBEAT_CRITICAL = 2,
	HVS_HEARTBEAT_STOPPED = 3,
};

struct hvs_heartbeat_info {
	uint32_t size;
	enum hvs_heartbeat_application application;
	uint64_t beats;        /* answered, since the service was ready */
	uint64_t missed;       /* since the service was created */
	uint64_t last_beat_ns; /* when, by hvs_backend_ops.now_ns; 0: never */
	uint64_t up_ns; /* since the first beat after the guest's driver came; 0: it is not there */
};
#define HVS_HEARTBEAT_INFO_INIT .size = (uint32_t)sizeof(struct hvs_heartbeat_info)

/* 0, -EINVAL (NULL, size, another kind). [main worker] */
HVS_API HVS_NODISCARD int hvs_heartbeat_get_info(const struct hvs_ic *ic,
						 struct hvs_heartbeat_info *info);

/* ---- time synchronization ------------------------------------------------------------------- */

/*
 * Have the guest set its clock now; done (may be NULL) when it has been told. By itself the library
 * does this when the service becomes ready and after a restore, and sends a sample each
 * interval_ms: whoever lets a paused machine go on, or sets the host's clock, calls this.
 * timeout_ms 0: 10,000. [main worker]
 *
 * 0, -EINVAL (another kind), -ENOTCONN (not ready: the guest is told when it is), -ENOSPC, -ENOMEM.
 */
HVS_API int hvs_timesync_sync(struct hvs_ic *ic, uint32_t timeout_ms, hvs_ic_done_fn done,
			      void *arg);

/* ---- shutdown ------------------------------------------------------------------------------- */

enum hvs_shutdown_action {
	HVS_SHUTDOWN_POWER_OFF = 0,
	HVS_SHUTDOWN_RESTART = 1,
	HVS_SHUTDOWN_HIBERNATE = 2,
};

#define HVS_SHUTDOWN_REASON_MAX 1023u /* UTF-16 units */

struct hvs_shutdown_request {
	uint32_t size;
	enum hvs_shutdown_action action;
	bool force;               /* whatever programs say; Linux always forces */
	uint32_t guest_timeout_s; /* for the guest to tell its users; Linux does not wait */
	uint32_t timeout_ms;      /* for its answer; 0: 10,000 */
	const char *reason;       /* UTF-8; NULL: none */
};
#define HVS_SHUTDOWN_REQUEST_INIT .size = (uint32_t)sizeof(struct hvs_shutdown_request)

/*
 * Ask the guest to shut down. done with 0 says that it will; that it has, is seen by the machine
 * being powered off or reset. guest_status HVS_IC_E_FAIL: it can't do that. There is no way back.
 * [main worker]
 *
 * 0, -EINVAL (NULL, another kind, a member out of range, a reason that is not UTF-8 or too long),
 * -ENOTSUP (unknown members set, or not in the agreed version: restart from 3.1, hibernate from 3.2
 * on), -ENOTCONN (not ready), -EALREADY (one is under way: until the guest has answered it, be it
 * too late), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_shutdown(struct hvs_ic *ic,
				       const struct hvs_shutdown_request *request,
				       hvs_ic_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif
#endif
