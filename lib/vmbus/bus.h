/* SPDX-License-Identifier: MIT */
/*
 * What the files of lib/vmbus share: the bus, its devices, channels, GPADLs and workers.
 *
 * Ownership of state by thread:
 *   main worker      connection, channel states, GPADL table, outgoing messages
 *   a channel's      its rings, maps and device context, from OPEN to CLOSED
 *     worker
 *   any thread       work queues, the incoming message queue, the table of open channels
 */
#ifndef HVSI_VMBUS_BUS_H
#define HVSI_VMBUS_BUS_H

#include "mem/extents.h"
#include "util/atomic.h"
#include "util/list.h"
#include "util/work.h"
#include "vmbus/proto.h"
#include "vmbus/ring.h"

#include <hvstack/backend.h>
#include <hvstack/channel.h>
#include <hvstack/stats.h>
#include <hvstack/vmbus.h>
#include <hvstack/worker.h>

/* ---- workers (worker.c) ------------------------------------------------------------------ */

struct hvs_worker {
	struct hvs_vmbus *bus;
	struct hvs_worker *next;
	void *priv;
	struct hvsi_work_queue queue;
	atomic_bool asleep; /* the embedder must be told when something is queued */
	/* When to post timer_work. UINT64_MAX: never. */
	uint64_t deadline_ns;
	struct hvsi_work *timer_work;
	/* Channels that wait for room in the ring: some guests never say that there is some. */
	struct hvsi_list polled;
	uint64_t poll_ns;       /* when to look, if there is one */
	struct hvsi_list timed; /* channels that have set their timer */
	uint64_t timed_ns;      /* the earliest of them, or earlier */
};

void hvsi_worker_init(struct hvs_worker *w, struct hvs_vmbus *bus, void *priv);

/* Have timer_work run at that time, or earlier if somebody else wants that. The worker itself. */
static inline void hvsi_worker_wake_at(struct hvs_worker *w, uint64_t ns)
{
	if (ns < w->deadline_ns)
		w->deadline_ns = ns;
}

/* Have the channel this node is in looked at in a while. The worker itself. */
void hvsi_worker_poll(struct hvs_worker *w, struct hvsi_list *node);

/* Have the channel run when its timer_ns has come. The worker itself. */
void hvsi_worker_time(struct hvs_worker *w, struct hvs_channel *ch);

/* Have `work` run on w. [any] */
void hvsi_worker_post(struct hvs_worker *w, struct hvsi_work *work);

/* ---- messages to the guest (outq.c) -------------------------------------------------------- */

/* What a message is, together with what it is embedded in. Part of saved state: add at the end. */
enum hvsi_out {
	HVSI_OUT_VERSION_RESPONSE = 1,
	HVSI_OUT_ALL_OFFERS = 2,
	HVSI_OUT_UNLOAD_RESPONSE = 3,
	HVSI_OUT_PAUSE_RESPONSE = 4,
	HVSI_OUT_MODIFY_CONNECTION_RESPONSE = 5,
	HVSI_OUT_REFUSAL = 6,
	HVSI_OUT_TL_RESULT = 7,
	HVSI_OUT_OFFER = 8,
	HVSI_OUT_RESCIND = 9,
	HVSI_OUT_OPEN_RESULT = 10,
	HVSI_OUT_MODIFY_RESPONSE = 11,
	HVSI_OUT_RESERVED_CLOSED = 12,
	HVSI_OUT_GPADL = 13,
};

/*
 * A message that waits for the guest's message slot. It is embedded in what it is about and its
 * bytes are made when the slot is free: no queue can overflow, none allocates.
 */
struct hvsi_outmsg {
	struct hvsi_list node; /* in no list: not waiting */
	enum hvsi_out kind;
	/* Where it goes; HVSI_VP_NONE: where all messages of the connection go. */
	uint32_t vp;
	uint8_t sint;
	/* Write the message, return its exact size. */
	size_t (*build)(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]);
	/* The guest has it (or can see it). Optional. */
	void (*sent)(struct hvsi_outmsg *m);
};

void hvsi_outmsg_init(struct hvsi_outmsg *m, enum hvsi_out kind,
		      size_t (*build)(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]),
		      void (*sent)(struct hvsi_outmsg *m));

/* Have it go to this VP and SINT, whatever becomes of the connection. If there is no such place:
 * where all others go now. */
void hvsi_outmsg_address(const struct hvs_vmbus *bus, struct hvsi_outmsg *m, uint32_t vp,
			 uint32_t sint);

/* Append; a message that already waits stays where it is. */
void hvsi_outq_add(struct hvs_vmbus *bus, struct hvsi_outmsg *m);

/* Send as many as fit; the rest goes when the slot is free. True: nothing waits any more. */
bool hvsi_outq_pump(struct hvs_vmbus *bus);

/* Does the guest use the interrupt page instead of an event flag for each channel? */
static inline bool hvsi_version_is_legacy(uint32_t version)
{
	return version < HVSI_VERSION(2, 4);
}

/* Forget what waits; unless `all`, not what has an address of its own: it is about reserved
 * channels, which outlive the connection. */
void hvsi_outq_clear(struct hvs_vmbus *bus, bool all);

/* ---- GPADLs (gpadl.c) ---------------------------------------------------------------------- */

enum hvsi_gpadl_state {
	HVSI_GPADL_COLLECTING, /* pages still arrive */
	HVSI_GPADL_READY,      /* the guest was or is being told */
	HVSI_GPADL_TEARDOWN,   /* the guest wants it back; answered when nobody uses it */
};

struct hvsi_gpadl {
	struct hvsi_gpadl *hash_next;
	struct hvs_vmbus *bus;
	uint32_t id;
	uint32_t relid;
	enum hvsi_gpadl_state state;
	/* Under gpadls.lock: */
	uint32_t users; /* open channels whose ring it is, and devices */
	bool shared;    /* the guest knows that it is there, and has not asked for it back */
	bool torn;      /* it has */
	uint32_t range_count;
	uint32_t need; /* 8-byte words of ranges */
	uint32_t have;
	struct hvs_extents extents; /* of words, once READY */
	uint32_t status;            /* what GPADL_CREATED says */
	struct hvsi_outmsg answer;  /* GPADL_CREATED, then GPADL_TORNDOWN */
	uint64_t words[];
};

#define HVSI_GPADL_BUCKETS 256u

struct hvsi_gpadls {
	struct hvsi_spin lock; /* what the main worker changes, other workers look at */
	struct hvsi_gpadl *bucket[HVSI_GPADL_BUCKETS];
	uint32_t count;
	uint32_t words; /* in all of them; a page takes one */
};

struct hvsi_gpadl *hvsi_gpadl_find(struct hvs_vmbus *bus, uint32_t id);
void hvsi_gpadl_header(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_gpadl_body(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_gpadl_teardown(struct hvs_vmbus *bus, const void *bytes, size_t len);
/* From saved state; words has the bytes of those that are there. 0, -EBADMSG, -ENOSPC, -ENOMEM. */
struct hvsi_state_gpadl;
int hvsi_gpadl_restore(struct hvs_vmbus *bus, const struct hvsi_state_gpadl *s,
		       const uint8_t *words, size_t len);
/* The guest waits for the answer to its teardown. */
void hvsi_gpadl_torndown(struct hvsi_gpadl *g);
void hvsi_gpadl_get(struct hvsi_gpadl *g);
void hvsi_gpadl_put(struct hvsi_gpadl *g);
/* The same for a device, on its channel's worker. NULL: there is none. Whether the guest waits for
 * it: hvsi_gpadl_answer_teardowns() is to be called on the main worker. */
struct hvsi_gpadl *hvsi_gpadl_claim(struct hvs_vmbus *bus, uint32_t relid, uint32_t id);
bool hvsi_gpadl_unclaim(struct hvsi_gpadl *g);
void hvsi_gpadl_answer_teardowns(struct hvs_vmbus *bus);
/* All of them, or those of one relid; none may be in use. */
void hvsi_gpadl_free_all(struct hvs_vmbus *bus);
void hvsi_gpadl_free_relid(struct hvs_vmbus *bus, uint32_t relid);

/* ---- channels (chan.c, chan_io.c) ---------------------------------------------------------- */

enum hvsi_chan_state {
	HVSI_CHAN_RELEASED, /* not offered on this connection */
	HVSI_CHAN_CLOSED,   /* offered */
	HVSI_CHAN_OPENING,
	HVSI_CHAN_OPEN,
	HVSI_CHAN_CLOSING,
	HVSI_CHAN_CLOSING_REOPEN, /* the guest has asked for the next open already */
	HVSI_CHAN_REVOKED, /* closed, the device is gone; the guest has not let go of the relid */
};

/* From the main worker to the channel's, in this order when several are set. */
enum {
	HVSI_CTL_OPEN = 1,
	HVSI_CTL_START = 2, /* the guest knows that the channel is open */
	HVSI_CTL_MODIFY = 4,
	HVSI_CTL_CLOSE = 8,
	HVSI_CTL_RESUME = 16, /* it was open when it was saved */
};

/* And back. */
enum {
	HVSI_DONE_OPEN = 1,
	HVSI_DONE_MODIFY = 2,
	HVSI_DONE_CLOSE = 4,
	HVSI_DONE_SUBCHANNELS = 8, /* the device asks for sub-channels */
	HVSI_DONE_GPADL = 16,      /* it does not use one any more that the guest wants back */
};

/* As hvs_channel_counters. The channel's worker alone writes them. */
struct hvsi_chan_counters {
	_Atomic(uint64_t) from_packets;
	_Atomic(uint64_t) from_bytes;
	_Atomic(uint64_t) to_packets;
	_Atomic(uint64_t) to_bytes;
	_Atomic(uint64_t) batches;
	_Atomic(uint64_t) signals_sent;
	_Atomic(uint64_t) signals_spared;
	_Atomic(uint64_t) ring_full;
	_Atomic(uint64_t) faults;
};

struct hvs_channel {
	struct hvs_device *dev;
	struct hvs_worker *worker;
	uint16_t index; /* 0: the device's primary channel, else a sub-channel */

	/* Main worker. */
	enum hvsi_chan_state state;
	bool release;       /* on its way to RELEASED */
	bool revoked;       /* on its way to REVOKED, or there */
	bool waiting;       /* to be offered when a relid, or what it takes the place of, is gone */
	bool reserved;      /* opened by a guest that crashes; outlives the connection */
	uint8_t monitor_id; /* HVSI_NO_MONITOR: the guest signals by hypercall */
	uint32_t relid;
	/* While open: which HvSignalEvent is for it; the guest may have chosen another one. */
	uint32_t connection_id;
	struct hvs_channel *_Atomic signal_next;
	struct hvsi_msg_open_6_0 request;      /* the open being served */
	struct hvsi_msg_open_6_0 next_request; /* CLOSING_REOPEN */
	unsigned close_asked; /* of a reserved channel: answers that are due when it is closed */
	bool lost;            /* restoring: its device can't go on with it */
	bool wanted;          /* restoring: to be offered */
	struct hvsi_gpadl *ring;
	uint32_t open_status;
	unsigned modify_owed; /* answers to MODIFYCHANNEL that are due */
	bool doorbell;
	bool enlisted; /* the guest's signals find it */
	struct hvsi_outmsg offer;
	struct hvsi_outmsg rescind;
	struct hvsi_outmsg open_result;
	struct hvsi_outmsg modify_response;
	struct hvsi_outmsg reserved_closed;
	struct hvsi_work done_work;

	/* Between the two workers. */
	atomic_uint ctl;
	atomic_uint done;
	int open_error;        /* valid with HVSI_DONE_OPEN */
	atomic_uint modify_vp; /* valid with HVSI_CTL_MODIFY */
	atomic_uint modify_asked;
	atomic_uint modify_done; /* valid with HVSI_DONE_MODIFY */
	struct hvsi_work ctl_work;
	struct hvsi_work fence_work; /* of a removal: the last that is posted */

	/* Channel's worker. */
	struct hvsi_work io_work;
	struct hvsi_list polled;
	struct hvsi_list timed;
	uint64_t timer_ns;
	bool timer_due;
	struct hvs_open_params params;
	void *ctx;
	bool accepted; /* the device has it: open() returned 0, closed() has not come */
	bool started;
	bool closing;
	bool faulted;
	bool legacy; /* interrupts through the interrupt page */
	uint16_t event_flag;
	uint32_t target_vp;
	unsigned received; /* packets in this run */
	bool drained;      /* the device has seen the ring empty in this run */
	struct hvsi_chan_counters counters;
	struct hvsi_ring_in in;
	struct hvsi_ring_out out;
	struct hvsi_map_pool maps;
	struct hvs_packet packet;
	struct hvs_extents extents;
	uint8_t *staging; /* private copy of the packet being handled; max_packet bytes */
	uint8_t HVSI_GUEST **ring_pages;
	size_t ring_page_count;
};

struct hvs_device {
	struct hvs_device *next;      /* in the order of hvs_device_offer() */
	struct hvs_device *hash_next; /* by instance id */
	struct hvs_vmbus *bus;
	struct hvs_offer offer;
	struct hvs_vsp_ops ops;
	void *priv;
	unsigned known; /* channels with a relid */

	/* Removal: freed when the embedder has been told and the relids are free. */
	bool removed;
	bool told;
	unsigned fences; /* channels that are not at rest yet */
	hvs_done_fn done;
	void *done_arg;

	atomic_uint subchannels_wanted; /* by the device's worker; 0: nothing new */
	unsigned channel_count;
	struct hvs_channel channel[]; /* the primary, then its sub-channels */
};

/* device.c, main worker. One more channel of a removed device is closed and has nothing queued. */
void hvsi_device_at_rest(struct hvs_device *d);
/* A relid of the device's is free again. d may be gone afterwards. */
void hvsi_device_let_go(struct hvs_device *d);
/* The connection goes away: every channel on its way to RELEASED. d may be gone afterwards. */
void hvsi_device_disconnect(struct hvs_device *d);
/* Offer a channel as soon as that is possible. */
void hvsi_device_offer_channel(struct hvs_channel *ch);
/* Offer the sub-channels the device has asked for; its primary is open. */
void hvsi_device_offer_subchannels(struct hvs_device *d);
/* The primary is closed: so are they. */
void hvsi_device_revoke_subchannels(struct hvs_device *d);

void hvsi_device_free(struct hvs_device *d);
/* Devices that may have this instance id, linked by hash_next; those on their way out, too. */
struct hvs_device **hvsi_device_bucket(struct hvs_vmbus *bus, const struct hvs_guid *instance_id);
/* From saved state: in the place of a device that is not there any more. NULL: no memory. */
struct hvs_device *hvsi_device_placeholder(struct hvs_vmbus *bus, const struct hvs_guid *class_id,
					   const struct hvs_guid *instance_id, uint16_t index);
/* Take it out of the bus and free it. */
void hvsi_device_drop(struct hvs_device *d);

void hvsi_chan_init(struct hvs_channel *ch, struct hvs_device *dev, uint16_t index,
		    struct hvs_worker *worker);

/* chan_msg.c */
size_t hvsi_chan_build_offer(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]);
size_t hvsi_chan_build_rescind(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]);
size_t hvsi_chan_build_open_result(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]);
size_t hvsi_chan_build_modify_response(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]);
size_t hvsi_chan_build_reserved_closed(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]);

/* signal.c: from here on the guest's signals find the channel, and its doorbell is there. */
void hvsi_signal_add(struct hvs_channel *ch);
void hvsi_signal_remove(struct hvs_channel *ch);
/* NULL: none. Main worker, or inside the gate. */
struct hvs_channel *hvsi_signal_find(struct hvs_vmbus *bus, uint32_t connection_id);

/* Main worker: guest's messages. */
void hvsi_chan_open(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_close(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_released(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_modify(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_open_reserved(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_close_reserved(struct hvs_vmbus *bus, const void *bytes, size_t len);
bool hvsi_modify_is_answered(const struct hvs_vmbus *bus);
void hvsi_chan_offer(struct hvs_channel *ch, uint32_t relid);
/* Have the channel's worker do HVSI_CTL_*. */
void hvsi_chan_command(struct hvs_channel *ch, unsigned ctl);
/* The channel is withdrawn. If its device goes away hvsi_device_at_rest() follows. */
void hvsi_chan_revoke(struct hvs_channel *ch);
/* Begin to bring it to RELEASED; hvsi_conn_channel_released() is called when it is there. */
void hvsi_chan_disconnect(struct hvs_channel *ch);

/*
 * From saved state: ch->ring and ch->request are set, and the connection; take the rings into use
 * as an open channel does. 0, -EBADMSG, -EFAULT, -ENOMEM. And give them back.
 */
int hvsi_chan_restore_open(struct hvs_channel *ch, uint32_t target_vp);
void hvsi_chan_restore_undo(struct hvs_channel *ch);

/* chan_io.c: the worker's side. prepare and free are called by the main worker, while the
 * channel's worker does not use it: views of the rings and private memory. 0, -EPROTO, -ENOMEM. */
void hvsi_chan_io_init(struct hvs_channel *ch);
int hvsi_chan_io_prepare(struct hvs_channel *ch);
void hvsi_chan_io_free(struct hvs_channel *ch);
/* The device takes up what it had saved. 0 or what it returned. */
int hvsi_chan_io_restore(struct hvs_channel *ch, uint32_t in_next, uint32_t out_next,
			 struct hvs_state_reader *r);
void hvsi_chan_io_restore_undo(struct hvs_channel *ch);
/* Tell the main worker HVSI_DONE_*. */
void hvsi_chan_report(struct hvs_channel *ch, unsigned done);
/* Of a removed device, once for each channel, when it is at rest: hvsi_device_at_rest() follows. */
void hvsi_chan_fence(struct hvs_channel *ch);

/* ---- connection (conn.c) ------------------------------------------------------------------- */

enum hvsi_conn_state {
	HVSI_CONN_DISCONNECTED,
	HVSI_CONN_CONNECTED,
	HVSI_CONN_DISCONNECTING,
};

/* What comes when everything of the old connection is gone. */
enum hvsi_conn_next {
	HVSI_NEXT_RECONNECT,
	HVSI_NEXT_UNLOAD,
	HVSI_NEXT_RESET,
};

struct hvsi_conn {
	enum hvsi_conn_state state;
	enum hvsi_conn_next next;
	bool offers_sent;
	_Atomic(uint32_t) version;                /* 0: not connected */
	uint32_t message_vp;                      /* where messages to the guest go */
	struct hvsi_msg_initiate_contact contact; /* the last one */
	uint32_t contact_connection;              /* connection id it came through */
	uint32_t via;                             /* and the message being handled */
	struct hvsi_outmsg version_response;
	struct hvsi_outmsg all_offers;
	struct hvsi_outmsg unload_response;
	struct hvsi_outmsg pause_response;
	struct hvsi_outmsg modify_connection_response;
	bool version_ok;
	bool modify_connection_ok;
	uint32_t features; /* negotiated */
	bool paused;       /* the guest wants no message until it says so */
	/* Versions before 2.4; NULL: none given. Stays while a channel is open. */
	uint8_t HVSI_GUEST *interrupt_page;
	/* The answer to a message that names nothing we have; one at a time, since messages are
	 * handled only while none of ours waits. */
	struct hvsi_outmsg refusal;
	uint8_t refusal_bytes[sizeof(struct hvsi_msg_tl_connect_result)];
	size_t refusal_len;
	hvs_done_fn reset_done;
	void *reset_arg;
};

void hvsi_conn_init(struct hvs_vmbus *bus);
void hvsi_conn_channel_released(struct hvs_vmbus *bus);
void hvsi_conn_reset(struct hvs_vmbus *bus);
/* Look which channels the guest has marked in the interrupt page. */
void hvsi_conn_event(struct hvs_vmbus *bus);
/* Answer with a message that no object stands behind. */
void hvsi_conn_refuse(struct hvs_vmbus *bus, const void *msg, size_t len);
/* The same, to a place the guest named; to the usual one if there is no such place. */
void hvsi_conn_refuse_at(struct hvs_vmbus *bus, uint32_t vp, uint32_t sint, const void *msg,
			 size_t len);

/* The guest's messages; message.c has seen to it that they are long enough and allowed now. */
void hvsi_conn_initiate_contact(struct hvs_vmbus *bus, const void *msg, size_t len);
void hvsi_conn_unload(struct hvs_vmbus *bus, const void *msg, size_t len);
void hvsi_conn_request_offers(struct hvs_vmbus *bus, const void *msg, size_t len);
void hvsi_conn_modify(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_conn_pause(struct hvs_vmbus *bus, const void *msg, size_t len);
void hvsi_conn_resume(struct hvs_vmbus *bus, const void *msg, size_t len);

/* From saved state. 0, -EBADMSG, -ENOTSUP, -EFAULT. */
struct hvsi_state_connection;
int hvsi_conn_restore(struct hvs_vmbus *bus, const struct hvsi_state_connection *s);

/* ---- message.c: one message of the guest's, a private copy ---------------------------------- */

void hvsi_message(struct hvs_vmbus *bus, uint32_t connection_id, const void *msg, size_t len);

/* ---- monitor.c: signals through a page in memory instead of hypercalls ----------------------- */

struct hvsi_monitor {
	uint8_t HVSI_GUEST *page; /* child to parent; NULL: the guest gave none */
	uint64_t gpa[2];          /* parent to child, child to parent */
	struct hvs_channel *channel[HVSI_MONITOR_IDS]; /* that were offered with this id */
	uint64_t period_ns;                            /* UINT64_MAX: none of them is open */
	uint64_t next_ns;
};

void hvsi_monitor_init(struct hvs_vmbus *bus);
/* Take both pages, or none (both 0), into use. False: they are not RAM; nothing has changed. */
bool hvsi_monitor_set_pages(struct hvs_vmbus *bus, uint64_t to_guest, uint64_t to_host);
/* May the pages be exchanged? Not while somebody uses them. */
static inline bool hvsi_monitor_idle(const struct hvsi_monitor *m)
{
	return m->period_ns == UINT64_MAX;
}
/* Give a channel that wants it an id, and take it back. */
void hvsi_monitor_assign(struct hvs_channel *ch);
void hvsi_monitor_release(struct hvs_channel *ch);
/* A channel with an id opens or has closed. */
void hvsi_monitor_watch(struct hvs_channel *ch);
void hvsi_monitor_changed(struct hvs_vmbus *bus);
/* Look, if it is time. */
void hvsi_monitor_poll(struct hvs_vmbus *bus);

/* ---- tlconnect.c: the guest asks for a socket connection to the host ------------------------- */

#define HVSI_TL_REQUESTS 16u

struct hvsi_tl_request {
	bool used;
	uint32_t status;
	struct hvs_guid endpoint_id;
	struct hvs_guid service_id;
	struct hvsi_outmsg result;
};

void hvsi_tl_init(struct hvs_vmbus *bus);
void hvsi_tl_request(struct hvs_vmbus *bus, const void *bytes, size_t len);
/* The connection goes away. */
void hvsi_tl_forget(struct hvs_vmbus *bus);
/* A device was offered: it may be the answer. */
void hvsi_tl_offered(struct hvs_vmbus *bus, const struct hvs_offer *offer);

/* restore.c: the bus as it was before it took state; it was not started since. */
void hvsi_restore_undo(struct hvs_vmbus *bus);

/* ---- tap.c: somebody sees all that passes ------------------------------------------------------ */

struct hvsi_tap {
	atomic_bool on; /* ops and arg are valid */
	struct hvs_tap_ops ops;
	void *arg;
	struct hvsi_gate gate; /* threads inside ops */
};

static inline bool hvsi_tapped(const struct hvsi_tap *tap)
{
	return atomic_load_explicit(&tap->on, memory_order_relaxed);
}

void hvsi_tap_message(struct hvs_vmbus *bus, bool to_guest, uint32_t connection_id, const void *msg,
		      size_t len);
void hvsi_tap_received(struct hvs_channel *ch, const struct hvsi_descriptor *desc);
/* As for hvsi_ring_write(), which has written it. */
void hvsi_tap_sent(struct hvs_channel *ch, const struct hvsi_descriptor *desc, const void *header,
		   size_t header_len, const struct iovec *iov, unsigned iovcnt);

/* ---- the bus (bus.c) ----------------------------------------------------------------------- */

#define HVSI_FIRST_CONNECTION_ID 0x2000u /* of relid 0; above every well-known connection id */
#define HVSI_SIGNAL_BUCKETS 2048u
#define HVSI_DEVICE_BUCKETS 512u

struct hvsi_inmsg {
	uint32_t connection_id;
	uint32_t len;
	uint8_t bytes[HVSI_MSG_MAX];
};

struct hvs_vmbus {
	struct hvs_vmbus_config cfg;
	struct hvs_backend_ops ops;
	void *be;
	struct hvs_mem *mem;
	atomic_bool started; /* until then workers do nothing */
	bool restored;

	struct hvs_worker main_worker;
	struct hvs_worker *workers; /* all others */
	struct hvsi_work control_work;
	struct hvsi_work event_work; /* the guest signalled the shared event connection */

	struct hvsi_spin inq_lock;
	struct hvsi_inmsg *inq; /* cfg.max_queued_messages of them */
	unsigned inq_first;
	unsigned inq_count;

	atomic_bool resetting; /* from hvs_vmbus_reset() until it is done */
	atomic_uint resets;
	atomic_bool reset_wanted; /* the main worker has not begun with it yet */

	/* A guest can't flood the embedder with records: so many a second. */
	_Atomic(uint64_t) report_second;
	atomic_uint report_count;

	struct hvsi_tap tap;
	struct hvsi_list outq;
	struct hvsi_conn conn;
	struct hvsi_gpadls gpadls;
	struct hvsi_monitor monitor;
	struct hvsi_tl_request tl[HVSI_TL_REQUESTS];
	struct hvs_device *devices;
	struct hvs_device **devices_end; /* where the next one goes */
	struct hvs_device *by_instance[HVSI_DEVICE_BUCKETS];
	uint32_t device_count;
	uint32_t offered_count;  /* relids in use */
	uint32_t reserved_count; /* of them: opened as reserved channels */
	uint32_t open_count;     /* channels whose rings are in use */
	uint32_t waiting_count;  /* channels that wait to be offered */
	uint32_t leaving_count;  /* devices that were removed and are not freed yet */
	struct hvs_channel *offered[HVSI_MAX_RELID + 1]; /* by relid; main worker */
	/* Open channels by connection id, which is a hash without collisions unless guests choose
	 * ids themselves. Any thread, through the gate. */
	struct hvs_channel *_Atomic signal[HVSI_SIGNAL_BUCKETS];
	struct hvsi_gate signal_gate;
};

/* Channel with this relid that is offered on this connection; NULL: none. Main worker. */
static inline struct hvs_channel *hvsi_bus_channel(struct hvs_vmbus *bus, uint32_t relid)
{
	return relid <= HVSI_MAX_RELID ? bus->offered[relid] : NULL;
}

__attribute__((format(printf, 5, 6))) void hvsi_log(struct hvs_vmbus *bus, enum hvs_log_level level,
						    const char *module, uint32_t channel_id,
						    const char *format, ...);

/* Report a violation of the protocol by the guest. */
void hvsi_fault(struct hvs_vmbus *bus, uint32_t channel_id, enum hvs_fault_code code,
		const char *where);

#endif
