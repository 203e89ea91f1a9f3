/* SPDX-License-Identifier: MIT */
/*
 * The framework that all services share: one channel, one message at a time, a queue of requests.
 *
 *   negotiation.c  which versions (pure)
 *   service.c      the public API of all services, their status
 *   channel.c      the channel's life: negotiate, send, take answers, time limits, saved state
 *   names.c        names for people
 *   heartbeat.c timesync.c shutdown.c kvp.c vss.c filecopy.c   one service each: an hvsi_ic_class
 *
 *   CLOSED --open--> NEGOTIATE --sent--> WAIT_VERSIONS --versions of ours--> READY
 *                       ^                    |  others                         |
 *                       |                    v                                 | an answer that
 *                    restored             MISMATCH                             v makes no sense
 *                                                                            FAILED
 *
 * In every phase but CLOSED the guest may close the channel. `unanswered` says that the guest has a
 * message: nothing else is sent until it has answered, whether or not anybody still waits for it.
 */
#ifndef HVSI_IC_SERVICE_H
#define HVSI_IC_SERVICE_H

#include "ic/proto.h"
#include "util/list.h"

#include <hvstack/channel.h>
#include <hvstack/ic.h>

#define HVSI_IC_MAX_WAITING 64u /* requests of one service */

#define HVSI_IC_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

struct hvsi_ic_request;

/* What a request does. */
struct hvsi_ic_request_ops {
	/* Its body, into zeroed memory of the class's body_max bytes. Returns the body's length, or
	 * 0: it can't be sent, and ends with -ENODATA. Called right before it is sent, a second time
	 * if the ring was full. */
	uint32_t (*build)(struct hvs_ic *ic, struct hvsi_ic_request *r, uint8_t *body);

	/*
	 * It has ended: status 0 or -EREMOTEIO with the guest's status and answer (a private copy of
	 * len bytes, less than asked for maybe), or another status of ic.h with body NULL. The last
	 * thing it does is to call whoever asked.
	 *
	 * True: send it once more (an enumeration's next step), at once and with new time. False: the
	 * framework frees it. True is only allowed if body is not NULL.
	 */
	bool (*end)(struct hvs_ic *ic, struct hvsi_ic_request *r, int status, uint32_t guest_status,
		    const uint8_t *body, uint32_t len);
};

/* Embedded at the beginning of what a service needs for a request. */
struct hvsi_ic_request {
	struct hvsi_list node;
	const struct hvsi_ic_request_ops *ops;
	size_t len; /* of the whole allocation; 0: it is part of the service's state, never freed */
	const void *arg;     /* what hvs_ic_cancel() looks for */
	uint32_t timeout_ms; /* not 0 */
	uint64_t deadline_ns;
	bool cancelled;
	bool own;    /* the service asked for it: nobody cancels it */
	bool urgent; /* sent before all that are not */
	/* There are guests that drop it: when its time is over it counts as answered. Nobody cancels it
	 * once it is sent. */
	bool droppable;
};

/* One kind of service. Functions but check() run on the main worker, in a callback of the channel,
 * or of the embedder's function that led there. */
struct hvsi_ic_class {
	enum hvs_ic_kind kind;
	struct hvs_guid class_id;
	struct hvs_guid instance_id;
	const uint32_t *versions; /* ascending */
	uint32_t version_count;
	uint32_t body_max;  /* bytes of its longest message */
	size_t state_bytes; /* its own state, hvsi_ic_state(): zeroed */
	/* Fill in the configuration's defaults; is it all right? NULL: no member but the common ones
	 * may be set. */
	bool (*check)(struct hvs_ic_config *cfg, const struct hvs_ic_ops *ops);
	/* Optional, all of them. */
	void (*ready)(struct hvs_ic *ic); /* versions are agreed upon */
	void (*gone)(struct hvs_ic *ic);  /* it was ready, and is not any more */
	void (*timer)(
		struct hvs_ic *ic); /* the time of hvsi_ic_set_timer() has come; it is ready */
	/* Make what the framework knows more precise. */
	void (*status)(const struct hvs_ic *ic, struct hvs_ic_status *status);
	/* What was asked for with this arg, and has been done, is not wanted any more. */
	void (*cancelled)(struct hvs_ic *ic, const void *arg);
	/* It is to be destroyed, and is ready. True: not yet; hvsi_ic_leave() follows, or the guest
	 * closes the channel. */
	bool (*stay)(struct hvs_ic *ic);
	/* Saved state of its own. */
	uint32_t (*save)(const struct hvs_ic *ic);
	bool (*restore)(struct hvs_ic *ic, uint32_t saved); /* false: not such a thing */
};

enum hvsi_ic_phase {
	HVSI_IC_CLOSED,
	HVSI_IC_NEGOTIATION,   /* to be sent, when nothing is unanswered */
	HVSI_IC_WAIT_VERSIONS, /* sent */
	HVSI_IC_READY,
	HVSI_IC_MISMATCH,
	HVSI_IC_FAILED,
};

struct hvs_ic {
	struct hvs_vmbus *bus;
	const struct hvsi_ic_class *class;
	struct hvs_ic_config cfg;
	struct hvs_ic_ops ops;
	void *arg;
	struct hvs_device *dev; /* NULL: rescinded; the embedder knows of nothing any more */
	struct hvs_channel *ch; /* NULL: CLOSED */

	enum hvsi_ic_phase phase;
	bool unanswered;    /* the guest has a message */
	bool late;          /* and its time is over */
	bool was_ready;     /* since the machine was started or reset... */
	uint32_t resets;    /* ... for this time */
	uint32_t framework; /* agreed; 0: not */
	uint32_t version;
	uint32_t send_ring_bytes;
	uint8_t transaction;          /* of the last message; never 0 */
	struct hvsi_ic_request *sent; /* NULL: nobody waits for what is unanswered */
	struct hvsi_list waiting;     /* requests not sent; those that are urgent first */
	uint32_t waiting_count;       /* `sent` included */
	uint64_t timer_due_ns;        /* of the class; UINT64_MAX: none */
	uint64_t armed_ns;            /* what the channel's timer is set to */

	uint64_t requests;
	uint64_t failures;
	uint64_t timeouts;
	uint64_t malformed;
	struct hvs_ic_status reported; /* what the last event was about */

	bool leaving; /* hvs_ic_destroy() was called */
	hvs_done_fn destroyed;
	void *destroyed_arg;

	uint8_t *message; /* header and body that are being sent */
	size_t message_bytes;
};

/* Of the service; what state_bytes asked for. */
void *hvsi_ic_state(const struct hvs_ic *ic);
const struct hvs_allocator *hvsi_ic_allocator(const struct hvs_ic *ic);
bool hvsi_ic_is(const struct hvs_ic *ic, enum hvs_ic_kind kind); /* ic may be NULL */
bool hvsi_ic_ready(const struct hvs_ic *ic);

/* Does a body of so many bytes fit into the ring? It is ready. */
bool hvsi_ic_fits(const struct hvs_ic *ic, uint32_t body_bytes);

/* A request of len bytes, zeroed but for what this sets. NULL: no memory. */
void *hvsi_ic_request_new(const struct hvs_ic *ic, size_t len,
			  const struct hvsi_ic_request_ops *ops, const void *arg);
void hvsi_ic_request_free(const struct hvs_ic *ic, struct hvsi_ic_request *r);

/*
 * Queue it; from now on it is the framework's, which ends and frees it. When this fails it is
 * freed, and end() not called. urgent requests are always taken. 0, -ENOTCONN, -ENOSPC.
 */
int hvsi_ic_submit(struct hvs_ic *ic, struct hvsi_ic_request *r, uint32_t timeout_ms);

/* Have class->timer() called at that time of hvsi_ic_now(), UINT64_MAX: never. It is ready. */
void hvsi_ic_set_timer(struct hvs_ic *ic, uint64_t due_ns);
/* It is open. */
uint64_t hvsi_ic_now(const struct hvs_ic *ic);

/* An answer, or a part of it, makes no sense: count it. */
void hvsi_ic_malformed(struct hvs_ic *ic);

/* The verdict on a service that answers: OK, or degraded as its version is old. It is ready. */
void hvsi_ic_judge_version(const struct hvs_ic *ic, struct hvs_ic_status *status);

/* Was it ready since the machine was started or reset? */
bool hvsi_ic_was_ready(const struct hvs_ic *ic);

/* Tell the embedder, if the status is another one than it was told of last. */
void hvsi_ic_report(struct hvs_ic *ic);
void hvsi_ic_event(struct hvs_ic *ic, enum hvs_ic_event event);

/* After class->stay() has returned true: it may go. A second time: nothing. As
 * hvs_device_rescind(). */
int hvsi_ic_leave(struct hvs_ic *ic);

/* ---- negotiation.c -------------------------------------------------------------------------- */

#define HVSI_IC_NEGOTIATION_MAX 64u /* bytes of body */

/* The versions up to max_version, as the body of a negotiation. Returns its length. */
uint32_t hvsi_ic_negotiation_build(const struct hvsi_ic_class *class, uint32_t max_version,
				   uint8_t *body);
/* What the guest has chosen. False: nothing, or what was not offered. */
bool hvsi_ic_negotiation_parse(const struct hvsi_ic_class *class, uint32_t max_version,
			       const uint8_t *body, uint32_t len, uint32_t *framework,
			       uint32_t *version);
/* Newest one that is offered. */
uint32_t hvsi_ic_newest(const struct hvsi_ic_class *class, uint32_t max_version);

/* ---- channel.c ------------------------------------------------------------------------------ */

extern const struct hvs_vsp_ops hvsi_ic_channel_ops;

/* ---- the services --------------------------------------------------------------------------- */

extern const struct hvsi_ic_class hvsi_ic_filecopy;
extern const struct hvsi_ic_class hvsi_ic_heartbeat;
extern const struct hvsi_ic_class hvsi_ic_kvp;
extern const struct hvsi_ic_class hvsi_ic_shutdown;
extern const struct hvsi_ic_class hvsi_ic_timesync;
extern const struct hvsi_ic_class hvsi_ic_vss;

#endif
