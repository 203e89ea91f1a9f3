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
#include <hvstack/vmbus.h>
#include <hvstack/worker.h>

/* ---- workers (worker.c) ------------------------------------------------------------------ */

struct hvs_worker {
	struct hvs_vmbus *bus;
	struct hvs_worker *next;
	void *priv;
	struct hvsi_work_queue queue;
	atomic_bool asleep; /* the embedder must be told when something is queued */
	/* One timer is all anybody needs: when to post timer_work. UINT64_MAX: never. */
	uint64_t deadline_ns;
	struct hvsi_work *timer_work;
};

void hvsi_worker_init(struct hvs_worker *w, struct hvs_vmbus *bus, void *priv);

/* Have `work` run on w. [any] */
void hvsi_worker_post(struct hvs_worker *w, struct hvsi_work *work);

/* ---- messages to the guest (outq.c) -------------------------------------------------------- */

/*
 * A message that waits for the guest's message slot. It is embedded in what it is about and its
 * bytes are made when the slot is free: no queue can overflow, none allocates.
 */
struct hvsi_outmsg {
	struct hvsi_list node; /* in no list: not waiting */
	/* Write the message, return its exact size. */
	size_t (*build)(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]);
	/* The guest has it (or can see it). Optional. */
	void (*sent)(struct hvsi_outmsg *m);
};

void hvsi_outmsg_init(struct hvsi_outmsg *m,
		      size_t (*build)(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]),
		      void (*sent)(struct hvsi_outmsg *m));

/* Append; a message that already waits stays where it is. */
void hvsi_outq_add(struct hvs_vmbus *bus, struct hvsi_outmsg *m);

/* Send as many as fit; the rest goes when the slot is free. True: nothing waits any more. */
bool hvsi_outq_pump(struct hvs_vmbus *bus);

/* Does the guest use the interrupt page instead of an event flag for each channel? */
static inline bool hvsi_version_is_legacy(uint32_t version)
{
	return version < HVSI_VERSION(2, 4);
}

/* Forget everything that waits. */
void hvsi_outq_clear(struct hvs_vmbus *bus);

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
	uint32_t users; /* open channels whose ring it is */
	enum hvsi_gpadl_state state;
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
	struct hvsi_gpadl *bucket[HVSI_GPADL_BUCKETS];
	uint32_t count;
	uint32_t words; /* in all of them; a page takes one */
};

struct hvsi_gpadl *hvsi_gpadl_find(struct hvs_vmbus *bus, uint32_t id);
void hvsi_gpadl_header(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_gpadl_body(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_gpadl_teardown(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_gpadl_get(struct hvsi_gpadl *g);
void hvsi_gpadl_put(struct hvsi_gpadl *g);
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
	HVSI_CTL_FENCE = 16, /* nothing of the channel is queued on its worker any more */
};

/* And back. */
enum {
	HVSI_DONE_OPEN = 1,
	HVSI_DONE_MODIFY = 2,
	HVSI_DONE_CLOSE = 4,
	HVSI_DONE_FENCE = 8,
};

struct hvs_channel {
	struct hvs_device *dev;
	struct hvs_worker *worker;

	/* Main worker. */
	enum hvsi_chan_state state;
	bool release; /* on its way to RELEASED */
	bool revoked; /* on its way to REVOKED, or there */
	uint32_t relid;
	uint32_t connection_id;
	struct hvsi_msg_open request;      /* the open being served */
	struct hvsi_msg_open next_request; /* CLOSING_REOPEN */
	struct hvsi_gpadl *ring;
	uint32_t open_status;
	unsigned modify_owed; /* answers to MODIFYCHANNEL that are due */
	bool doorbell;
	struct hvsi_outmsg offer;
	struct hvsi_outmsg rescind;
	struct hvsi_outmsg open_result;
	struct hvsi_outmsg modify_response;
	struct hvsi_work done_work;

	/* Between the two workers. */
	atomic_uint ctl;
	atomic_uint done;
	int open_error;        /* valid with HVSI_DONE_OPEN */
	atomic_uint modify_vp; /* valid with HVSI_CTL_MODIFY */
	atomic_uint modify_asked;
	atomic_uint modify_done; /* valid with HVSI_DONE_MODIFY */
	struct hvsi_work ctl_work;

	/* Channel's worker. */
	struct hvsi_work io_work;
	struct hvs_open_params params;
	void *ctx;
	bool accepted; /* the device has it: open() returned 0, closed() has not come */
	bool started;
	bool closing;
	bool faulted;
	bool legacy; /* interrupts through the interrupt page */
	uint32_t target_vp;
	unsigned received; /* packets in this run */
	bool drained;      /* the device has seen the ring empty in this run */
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
	struct hvs_device *next; /* in the order of hvs_device_offer() */
	struct hvs_vmbus *bus;
	struct hvs_offer offer;
	struct hvs_vsp_ops ops;
	void *priv;
	struct hvs_channel primary;

	/* To be offered when a relid, or the device it takes the place of, is gone. */
	bool waiting;
	/* Removal: freed when the embedder has been told and the relid is free. */
	bool told;
	hvs_done_fn done;
	void *done_arg;
};

/* device.c, main worker. A removed device's channel is closed and nothing of it is queued. */
void hvsi_device_at_rest(struct hvs_device *d);
/* A removed device's relid is free again, or it never had one. */
void hvsi_device_let_go(struct hvs_device *d);
/* Give the device a relid and offer it. */
void hvsi_device_offer_now(struct hvs_device *d);

void hvsi_chan_init(struct hvs_channel *ch, struct hvs_device *dev);

/* Main worker: guest's messages. */
void hvsi_chan_open(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_close(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_released(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_modify(struct hvs_vmbus *bus, const void *bytes, size_t len);
void hvsi_chan_offer(struct hvs_channel *ch, uint32_t relid);
/* The device goes away: hvsi_device_at_rest() and hvsi_device_let_go() follow. */
void hvsi_chan_revoke(struct hvs_channel *ch);
/* Begin to bring it to RELEASED; hvsi_conn_channel_released() is called when it is there. */
void hvsi_chan_disconnect(struct hvs_channel *ch);

/* chan_io.c: the worker's side. prepare and free are called by the main worker, while the
 * channel's worker does not use it: views of the rings and private memory. 0, -EPROTO, -ENOMEM. */
void hvsi_chan_io_init(struct hvs_channel *ch);
int hvsi_chan_io_prepare(struct hvs_channel *ch);
void hvsi_chan_io_free(struct hvs_channel *ch);

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
	struct hvsi_outmsg version_response;
	struct hvsi_outmsg all_offers;
	struct hvsi_outmsg unload_response;
	struct hvsi_outmsg pause_response;
	bool version_ok;
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
/* One message of the guest's: a private copy. */
void hvsi_conn_message(struct hvs_vmbus *bus, uint32_t connection_id, const void *msg, size_t len);
void hvsi_conn_channel_released(struct hvs_vmbus *bus);
void hvsi_conn_reset(struct hvs_vmbus *bus);
/* Look which channels the guest has marked in the interrupt page. */
void hvsi_conn_event(struct hvs_vmbus *bus);
/* Answer with a message that no object stands behind. */
void hvsi_conn_refuse(struct hvs_vmbus *bus, const void *msg, size_t len);

/* ---- the bus (bus.c) ----------------------------------------------------------------------- */

#define HVSI_INQ_DEPTH 16u
#define HVSI_FIRST_CONNECTION_ID 0x2000u /* of relid 0; above every well-known connection id */

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
	atomic_bool started;

	struct hvs_worker main_worker;
	struct hvs_worker *workers; /* all others */
	struct hvsi_work control_work;
	struct hvsi_work event_work; /* the guest signalled the shared event connection */

	struct hvsi_spin inq_lock;
	struct hvsi_inmsg inq[HVSI_INQ_DEPTH];
	unsigned inq_first;
	unsigned inq_count;

	atomic_bool resetting;    /* from hvs_vmbus_reset() until it is done */
	atomic_bool reset_wanted; /* the main worker has not begun with it yet */

	/* A guest can't flood the embedder with records: so many a second. */
	_Atomic(uint64_t) report_second;
	atomic_uint report_count;

	struct hvsi_list outq;
	struct hvsi_conn conn;
	struct hvsi_gpadls gpadls;
	struct hvs_device *devices;
	uint32_t device_count;
	uint32_t offered_count; /* relids in use */
	uint32_t leaving_count; /* devices that were removed and are not freed yet */
	/* Index is the relid. */
	struct hvs_channel *offered[HVSI_MAX_RELID + 1]; /* on this connection; main worker */
	_Atomic(struct hvs_channel *) open[HVSI_MAX_RELID + 1]; /* any thread, through the gate */
	struct hvsi_gate open_gate;
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
