/* SPDX-License-Identifier: MIT */
/* What the embedder (a VMM, a hypervisor core, a test) supplies to a VMBus. */
#ifndef HVSTACK_BACKEND_H
#define HVSTACK_BACKEND_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_SYNIC_MESSAGE_MAX 240u /* payload bytes of a SynIC message (TLFS 11.8) */

enum hvs_log_level {
	HVS_LOG_ERROR = 0,
	HVS_LOG_WARN = 1,
	HVS_LOG_INFO = 2,
	HVS_LOG_DEBUG = 3,
};

/* One log record. Library-owned, valid during the call; members may be added at the end. */
struct hvs_log_record {
	enum hvs_log_level level;
	const char *module;  /* "conn", "ring", "storvsp", ...: static string */
	uint32_t channel_id; /* 0 when the record is not about a channel */
	const char *text;    /* one line, no newline */
};

/* How a guest broke the protocol. Numbers are stable. */
enum hvs_fault_code {
	HVS_FAULT_NONE = 0,
	HVS_FAULT_RING_INDEX = 1,    /* ring index out of range or not a multiple of 8 */
	HVS_FAULT_PACKET_HEADER = 2, /* lengths contradict each other or the ring; pipe header */
	HVS_FAULT_PACKET_TYPE = 3,   /* packet type or flag this side never receives */
	HVS_FAULT_PACKET_SIZE = 4,   /* packet larger than the device accepts */
	HVS_FAULT_PACKET_RANGES = 5, /* page ranges of a packet malformed or outside RAM */
	HVS_FAULT_MESSAGE = 6,       /* control message malformed or not allowed now */
	HVS_FAULT_GPADL = 7,         /* GPADL malformed, over a limit or outside RAM */
	HVS_FAULT_DEVICE = 8,        /* a device protocol was violated */
};

/*
 * The guest broke the protocol; the library already contained it: the packet, the message or the
 * whole channel is ignored from now on. Library-owned; members may be added at the end.
 */
struct hvs_guest_fault {
	uint32_t channel_id; /* 0: the control connection itself */
	enum hvs_fault_code code;
	const char *where; /* static string for humans */
};

/* What a guest did. Numbers are stable. */
enum hvs_record_kind {
	HVS_RECORD_MESSAGE = 1,   /* control message: connection_id, data */
	HVS_RECORD_PACKET = 2,    /* packet of a channel: channel_id, data with its descriptor */
	HVS_RECORD_MSR_WRITE = 3, /* vp, msr, value */
	HVS_RECORD_HYPERCALL = 4, /* vp, value (the input value), param_in, param_out */
};

/*
 * Something the guest said, before the library looks at it: it may be malformed and be refused.
 * Members that its kind does not name are 0. Library-owned, valid during the call like the data;
 * members may be added at the end.
 */
struct hvs_record {
	enum hvs_record_kind kind;
	uint32_t channel_id;    /* as in hvs_guest_fault */
	uint32_t connection_id; /* that the guest posted the message to */
	uint32_t vp;
	uint32_t msr;
	uint64_t value;
	uint64_t param_in;  /* guest address of the block, or with the fast bit a parameter */
	uint64_t param_out; /* likewise */
	const void *data;   /* private copy: what the library goes on with */
	size_t len;
};

/* A SynIC message to put into a guest's message slot. Layout fixed. */
struct hvs_synic_msg {
	uint32_t type;                          /* HvMessageType; VMBus: 1 */
	uint8_t payload_len;                    /* bytes, 0..240 */
	uint8_t payload[HVS_SYNIC_MESSAGE_MAX]; /* payload_len bytes count */
};

/*
 * A program in the guest wants to connect to a service on the host (hv_sock). Library-owned;
 * members may be added at the end.
 */
struct hvs_connect_request {
	struct hvs_guid endpoint_id; /* the guest's side */
	struct hvs_guid service_id;
	struct hvs_guid silo_id; /* VMBus 5.2 and later; zero: none */
};

/*
 * Required: synic_post, synic_signal, wake, now_ns. All slots may be called from any thread that
 * is inside the library, must not block and must not call back into the library, except where a
 * slot says otherwise.
 */
struct hvs_backend_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/*
	 * Put msg into the message slot of (vp, sint) and interrupt the VP. 0: done. -EAGAIN: the
	 * slot is occupied or not enabled; the library tries again when the embedder calls
	 * hvs_vmbus_slot_free(), and after 1 ms in any case. sint is HVS_VMBUS_SINT, or another
	 * one (below 16) that a guest that crashes has named. Main worker only.
	 */
	int (*synic_post)(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg);

	/* Set event flag `flag` (below 2048) of (vp, sint) and interrupt if it was clear. */
	void (*synic_signal)(void *be, uint32_t vp, uint8_t sint, uint16_t flag);

	/*
	 * Optional fast path: from now on make HvSignalEvent(connection_id, flag 0) call
	 * hvs_channel_kick(ch), for example through an eventfd. A negative errno means that the
	 * embedder will forward the hypercall to hvs_vmbus_signal_event() instead, which always
	 * works. After doorbell_del has returned ch must not be used any more. connection_id is
	 * below 2^24; a guest of version 6.0 may have chosen it. Main worker, or on the thread
	 * that is in hvs_vmbus_restore().
	 */
	int (*doorbell_add)(void *be, uint32_t connection_id, struct hvs_channel *ch);
	void (*doorbell_del)(void *be, uint32_t connection_id, struct hvs_channel *ch);

	/*
	 * Make somebody call hvs_worker_dispatch(worker) soon. worker_priv is what
	 * hvs_worker_create() was given, NULL for the main worker.
	 */
	void (*wake)(void *be, struct hvs_worker *worker, void *worker_priv);

	/* Monotonic clock, nanoseconds; should stop while the VM is paused. */
	uint64_t (*now_ns)(void *be);

	/* Optional. Together at most 50 calls a second: what a guest does can't flood a log. */
	void (*log)(void *be, const struct hvs_log_record *record);
	void (*guest_fault)(void *be, const struct hvs_guest_fault *fault);

	/*
	 * Optional: without it every request is refused. 0: the request is taken, and answered,
	 * here or later, with hvs_vmbus_refuse_connect(), or with hvs_device_offer() of a device of
	 * class service_id and instance endpoint_id; both may be called from here. Negative:
	 * refused. Not called for more than 16 that wait for their answer, nor for one that waits
	 * already: they are refused. A request ends unanswered when the guest disconnects. One
	 * that is in saved state waits after hvs_vmbus_restore(), without a call. Main worker only.
	 */
	int (*connect_request)(void *be, const struct hvs_connect_request *request);

	/*
	 * Optional: told of every control message (HVS_RECORD_MESSAGE, on the main worker) and of
	 * every packet that a device receives (HVS_RECORD_PACKET, on its channel's worker), in
	 * the order in which each worker handles them; several workers at the same time. A packet
	 * that is larger than the device accepts, or whose lengths contradict each other, was never
	 * fetched and is not recorded. It may block: the worker waits.
	 */
	void (*record)(void *be, const struct hvs_record *record);
};
#define HVS_BACKEND_OPS_INIT .size = (uint32_t)sizeof(struct hvs_backend_ops)

/* Name of a fault code for humans; never NULL. [any] */
HVS_API const char *hvs_fault_name(enum hvs_fault_code code);

#ifdef __cplusplus
}
#endif
#endif
