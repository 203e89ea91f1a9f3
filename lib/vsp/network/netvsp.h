/* SPDX-License-Identifier: MIT */
/*
 * What the files of the network VSP share.
 *
 *   nic.c        public API: NICs              chan.c      a channel: packets in, completions out
 *   nvsp.c       negotiation, buffers, sub-channels, virtual functions
 *   control.c    RNDIS control messages and what the guest is told unasked
 *   transmit.c   frames from the guest         receive.c   frames to the guest, into slots
 *   packets.c    slots to the guest and back   slots.c     which there are, and other buffers
 *   save.c       saved state
 *   rndis.c      RNDIS control messages: bytes in, bytes out; oid.c: what can be queried and set;
 *                offload.c, rss.c: NDIS' structures for these
 *   frame.c      what the headers of a frame say     checksum.c   segment.c   toeplitz.c
 *   policy.c     what the port lets pass
 *
 * Channels of a NIC may run on different workers; a queue is what the channels of one worker share.
 * A channel and a queue belong to that worker. What the guest negotiates belongs to the primary
 * channel's worker (struct hvsi_session). What other workers use of it, they use inside the gate of
 * their queue, which is left before anything is called that is not ours: the primary's worker takes
 * it away by clearing a pointer and draining all gates.
 */
#ifndef HVSI_NETWORK_NETVSP_H
#define HVSI_NETWORK_NETVSP_H

#include "mem/guestptr.h"
#include "util/atomic.h"
#include "util/probe.h"
#include "vsp/network/frame.h"
#include "vsp/network/policy.h"
#include "vsp/network/proto.h"
#include "vsp/network/rndis.h"
#include "vsp/network/toeplitz.h"

#include <hvstack/channel.h>
#include <hvstack/network.h>

#define HVSI_NET_MAX_CHANNELS 64u
#define HVSI_CACHE_LINE 64u

struct hvsi_net_chan;

/* ---- buffers that guest and host share (slots.c) --------------------------------------------- */

struct hvsi_shared {
	struct hvs_gpadl *gpadl; /* NULL: there is none */
	struct hvs_map *map;
	uint32_t id;              /* of the GPADL */
	uint32_t len;             /* bytes, of whole pages */
	uint8_t HVSI_GUEST *flat; /* if it lies in one piece in this process */
	uint8_t HVSI_GUEST **pages;
};

/* 0, -ENOENT, -EINVAL (not whole pages, or not RAM), -ENOMEM. On the worker of c. */
int hvsi_shared_open(struct hvsi_shared *s, struct hvsi_net_chan *c, uint32_t gpadl,
		     enum hvs_access access);
void hvsi_shared_close(struct hvsi_shared *s, const struct hvs_allocator *a);

static inline void hvsi_shared_write(const struct hvsi_shared *s, uint32_t off, const void *from,
				     uint32_t len)
{
	const uint8_t *p = from;

	if (s->flat) {
		hvsi_guest_write(s->flat + off, p, len);
		return;
	}
	while (len) {
		uint32_t run = 4096 - off % 4096;

		if (run > len)
			run = len;
		hvsi_guest_write(s->pages[off / 4096] + off % 4096, p, run);
		p += run;
		off += run;
		len -= run;
	}
}

/* Name len bytes, in at most max pieces; how many there are. */
unsigned hvsi_shared_iov(const struct hvsi_shared *s, uint32_t off, uint32_t len, struct iovec *iov,
			 unsigned max);

/* ---- slots of the receive buffer (slots.c) --------------------------------------------------- */

#define HVSI_NO_SLOT 0xffffffffu
/* Bytes of a frame beyond what the guest configured: some drivers don't count the Ethernet header,
 * and there may be a tag. */
#define HVSI_FRAME_MORE 18u

enum hvsi_slot_state {
	HVSI_SLOT_OURS,
	HVSI_SLOT_GUESTS, /* the first of a packet: the guest completes it by this number */
	HVSI_SLOT_TAKEN,  /* restoring: another one of a packet */
};

struct hvsi_slot {
	atomic_uint state; /* enum hvsi_slot_state */
	uint32_t next;     /* in a pool, a list, or its packet */
	uint32_t len;      /* bytes that are filled */
	uint16_t pool;     /* where it goes when it is free */
	bool more;         /* the next one has more of the same frame */
};

#define HVSI_PACKET_SLOTS 64u /* in one packet */

/* A pool for each queue, the last for control messages. */
struct hvsi_pool {
	uint32_t free;  /* its worker's, the last returned first */
	uint32_t count; /* all that are this pool's */
	uint8_t apart[HVSI_CACHE_LINE];
	/* Given back by other workers, taken all at once. */
	_Atomic(uint32_t) returned;
	atomic_bool starving; /* its worker is to be told when there is one */
	uint8_t apart2[HVSI_CACHE_LINE];
};

struct hvsi_receive_buffer {
	struct hvsi_shared shared;
	uint16_t id;         /* what the guest calls it */
	uint32_t generation; /* of those that there were; lists of slots belong to one */
	uint32_t slot_bytes;
	uint32_t slot_count;
	uint32_t pool_count;
	struct hvsi_pool *pool;
	struct hvsi_slot *slot;
};

struct hvsi_send_buffer {
	struct hvsi_shared shared;
	uint32_t section_bytes;
	uint32_t section_count;
};

/* All slots in their pools. 0, -ENOMEM. */
int hvsi_slots_init(struct hvsi_receive_buffer *b, const struct hvs_allocator *a,
		    uint32_t slot_bytes, uint32_t queues);
/* From saved state: those that are the guest's are in no pool. */
void hvsi_slots_settle(struct hvsi_receive_buffer *b);
void hvsi_slots_free(struct hvsi_receive_buffer *b, const struct hvs_allocator *a);
/* One of a pool, on its worker; HVSI_NO_SLOT: there is none, and it is starving. */
uint32_t hvsi_slot_get(struct hvsi_receive_buffer *b, uint32_t pool);
/* Back to its pool. own: the pools of this worker, which `own` and `own2` are. True: the worker of
 * *pool is to be told. */
bool hvsi_slot_put(struct hvsi_receive_buffer *b, uint32_t slot, uint32_t own, uint32_t own2,
		   uint32_t *pool);

/* ---- requests: packets of the guest until they are completed (chan.c) ------------------------- */

#define HVSI_TX_IOV 36u        /* pieces of a frame; if there are more it is copied */
#define HVSI_TX_REQUESTS 1024u /* per channel */
#define HVSI_TX_FRAMES 4096u   /* per channel, with what large ones are cut into */

/* A private copy of guest memory. */
struct hvsi_bounce {
	struct hvsi_bounce *next;
	size_t size;
	uint8_t bytes[];
};

struct hvsi_net_request {
	struct hvsi_net_request *next; /* free, unsent */
	struct hvs_map *map;
	struct hvsi_bounce *bounces;
	struct hvsi_tx_frame *cut; /* into others, whose payload is partly in their copies */
	uint64_t xid;
	uint32_t frames; /* at the back end; and 1 as long as it is being read */
	uint32_t status; /* NVSP, when they are all done */
	bool wants_completion;
	bool busy;    /* not free */
	bool unsent;  /* its completion waits for room in the ring */
	bool section; /* uses the send buffer */
	uint8_t reply_len;
	struct hvsi_nvsp reply;
};

struct hvsi_net_slab;

/* A frame at the back end. */
struct hvsi_tx_frame {
	struct hvs_net_frame f;
	struct hvsi_tx_frame *next; /* free, done */
	struct hvsi_net_chan *chan;
	struct hvsi_net_request *req;
	uint32_t status; /* enum hvs_net_status */
	struct iovec iov[HVSI_TX_IOV];
	uint8_t headers[HVS_NET_MAX_COPIED];
};

struct hvsi_tx_slab;

/* ---- channels -------------------------------------------------------------------------------- */

struct hvsi_net_chan {
	struct hvs_nic *nic;
	struct hvs_channel *ch;
	struct hvsi_queue *queue;
	uint16_t index; /* 0: primary */
	bool closing;
	bool joined;       /* is in nic->channel */
	uint64_t timer_ns; /* when it is set for; 0: it is not */
	uint32_t send_ring_bytes;

	/* Requests. */
	struct hvsi_net_slab *slabs;
	struct hvsi_net_request *free;
	unsigned requests; /* that are not free */
	struct hvsi_net_request *unsent;
	struct hvsi_net_request **unsent_last;

	/* Frames from the guest. */
	struct hvsi_tx_slab *tx_slabs;
	struct hvsi_tx_frame *tx_free;
	unsigned tx_frames; /* that are not free */
	struct hvs_net_frame *batch[HVS_NET_BATCH];
	unsigned batched;
	unsigned section_users;           /* requests here; not 0: inside queue->sections */
	const struct hvsi_policy *policy; /* while a packet is read */
	bool limited;                     /* the policy looks at the clock: */
	uint64_t now_ns;
	_Atomic(struct hvsi_tx_frame *) done;
	atomic_bool awake;           /* looks at `done` before it sleeps */
	struct hvsi_gate completing; /* threads inside hvs_nic_tx_done() */

	/* Frames to the guest: in slots, not sent yet. */
	uint32_t pending;
	uint32_t pending_last;
	uint32_t generation; /* of the receive buffer they are in */
	bool stalled;        /* there is no room in the ring for them */
	bool touched;        /* in queue->touched */
	struct hvsi_net_chan *touched_next;
	uint8_t apart[HVSI_CACHE_LINE];
	/* From other workers, the last first: generation << 32 | slot. */
	_Atomic(uint64_t) handed;
	uint8_t apart2[HVSI_CACHE_LINE];
};

/* ---- queues ---------------------------------------------------------------------------------- */

struct hvsi_net_counters {
	_Atomic(uint64_t) from_frames[3]; /* by HVSI_DIRECTED and so on */
	_Atomic(uint64_t) from_bytes[3];
	_Atomic(uint64_t) from_dropped;
	_Atomic(uint64_t) from_refused; /* by policy */
	_Atomic(uint64_t) from_malformed;
	_Atomic(uint64_t) to_frames[3];
	_Atomic(uint64_t) to_bytes[3];
	_Atomic(uint64_t) to_unwanted;
	_Atomic(uint64_t) to_no_room;
	_Atomic(uint64_t) to_too_long;
};

/* Frames that don't pass. */
static inline void hvsi_net_drop(const struct hvs_nic *nic, _Atomic(uint64_t) *counter, uint64_t n,
				 const char *why)
{
	hvsi_count(counter, n);
	HVSI_PROBE3(net_drop, (const void *)nic, why, n);
}

struct hvsi_port_policy;

struct hvsi_queue {
	struct hvsi_gate gate;       /* above */
	struct hvsi_gate sections;   /* channels with requests that use the send buffer */
	struct hvsi_gate monitoring; /* inside a monitor */
	_Atomic(struct hvsi_port_policy *) policy; /* being used */
	uint32_t number;
	bool blocked;      /* rx_room() is due */
	unsigned channels; /* that have joined */
	unsigned policy_users;
	uint16_t coalesced;            /* frames: numbers them */
	struct hvsi_net_chan *touched; /* channels with frames of this batch */
	struct hvsi_rss rss;
	struct hvsi_toeplitz toeplitz;
	struct hvsi_net_counters counters;
	uint8_t apart[HVSI_CACHE_LINE]; /* the next queue is another worker's */
};

/* ---- the session: what the guest's driver negotiates ------------------------------------------ */

#define HVSI_NET_REPLIES 8u

/* On the primary channel's worker. */
struct hvsi_session {
	uint32_t version;     /* NVSP; 0: none yet */
	uint32_t frame_bytes; /* largest frame as the guest configured it */
	uint64_t capabilities;
	bool opened; /* RNDIS may begin */
	uint16_t ndis_major;
	uint16_t ndis_minor;
	struct hvsi_receive_buffer receive;
	struct hvsi_send_buffer send;
	/* The guest wants the send buffer back. */
	bool revoking;
	struct hvsi_net_request *revoke; /* to be answered then; or NULL */
	unsigned granted;                /* sub-channels */
	bool offer;                      /* them, when the answer is sent */
	bool table_sent;
	bool wanted;  /* the back end was told that frames are */
	bool link_up; /* as the guest was told */
	uint64_t bits_per_second;
	uint64_t link_down_ns; /* since when */
	bool tell_network;
	bool tell_offloads;
	uint64_t vf;                                       /* as the guest was told */
	struct hvsi_rndis_message reply[HVSI_NET_REPLIES]; /* wait for a slot, or room */
	unsigned first_reply;
	unsigned replies;
	uint8_t control[HVSI_RNDIS_MAX_CONTROL];
};

struct hvsi_net_monitor {
	struct hvs_net_monitor_ops ops;
	void *arg;
};

/* A policy that is, or was, in use. */
struct hvsi_port_policy {
	struct hvsi_port_policy *next; /* older ones that may still be used */
	struct hvsi_policy *policy;
};

struct hvs_nic {
	struct hvs_vmbus *bus;
	struct hvs_device *dev;
	struct hvs_nic_config cfg;
	struct hvs_net_ops ops;
	void *net;
	struct hvs_net_info info;
	uint32_t max_version;
	uint32_t queue_count;
	uint32_t channel_count;
	bool attached; /* the back end knows it */

	struct hvsi_rndis rndis;
	struct hvsi_session session;
	/* Inside a queue's gate: */
	_Atomic(struct hvsi_receive_buffer *) receive; /* there are slots to be completed */
	_Atomic(struct hvsi_send_buffer *) send;       /* inside queue->sections */
	atomic_bool receiving;                         /* frames are wanted */
	_Atomic(struct hvsi_net_chan *) channel[HVSI_NET_MAX_CHANNELS]; /* those that run */

	atomic_uint version;     /* of session.version */
	atomic_uint frame_bytes; /* largest that fits a slot */
	atomic_bool tags;        /* the guest takes tags out of band */
	atomic_uint rndis_state; /* enum hvsi_rndis_state */
	atomic_bool may_set_mac; /* the guest may choose its address */
	atomic_bool network_changed;
	atomic_bool link_up;
	_Atomic(uint64_t) bits_per_second;
	_Atomic(uint64_t) vf; /* 1 << 32 | serial; 0: none */
	atomic_bool path_vf;
	/* Of the primary channel, as long as it is there; and threads that look at it or `channel`
	 * for the sake of a kick. */
	_Atomic(struct hvs_channel *) primary;
	struct hvsi_gate looking;

	struct hvsi_port port;
	_Atomic(struct hvsi_port_policy *) policy;
	struct hvsi_port_policy *old_policies;
	_Atomic(struct hvsi_net_monitor *) monitor;
	struct hvsi_queue *queue;
};

/* nic.c */
const struct hvs_allocator *hvsi_nic_allocator(const struct hvs_nic *nic);
/* hvs_vsp_ops.destroy() */
void hvsi_nic_destroy(void *dev);
uint32_t hvsi_nic_queue_of(const struct hvs_nic *nic, uint16_t subchannel);
/* Wait until no worker is in the gate of its queue. Not from inside one. */
void hvsi_nic_drain(struct hvs_nic *nic);
/* Have ready() called: of the primary channel; of one on the worker of this queue. [any] */
void hvsi_nic_kick_primary(struct hvs_nic *nic);
void hvsi_nic_kick_queue(struct hvs_nic *nic, uint32_t queue);
/* The policy, until it is let go; on the queue's worker. */
const struct hvsi_policy *hvsi_nic_policy(struct hvs_nic *nic, struct hvsi_queue *q);
void hvsi_nic_policy_done(struct hvsi_queue *q);
/* Show a frame to the monitor, if there is one. */
void hvsi_nic_monitor(struct hvs_nic *nic, struct hvsi_queue *q, bool to_guest,
		      const struct hvs_net_frame *f);
void hvsi_nic_stats(const struct hvs_nic *nic, struct hvsi_rndis_stats *s);

/* chan.c */
extern const struct hvs_vsp_ops hvsi_net_chan_ops;
struct hvsi_net_chan *hvsi_net_chan_create(struct hvs_nic *nic, struct hvs_channel *ch,
					   const struct hvs_open_params *params);
void hvsi_net_chan_destroy(struct hvsi_net_chan *c);
void hvsi_net_chan_join(struct hvsi_net_chan *c);
/* Have timer() called at that time, if it is not called earlier. */
void hvsi_net_chan_wake_at(struct hvsi_net_chan *c, uint64_t ns);
/* Is there a free one? Makes some if it may. */
bool hvsi_net_request_available(struct hvsi_net_chan *c);
struct hvsi_net_request *hvsi_net_request_get(struct hvsi_net_chan *c);
/* It is done with: send r->reply, in order behind those that wait, and free it. */
void hvsi_net_request_reply(struct hvsi_net_chan *c, struct hvsi_net_request *r);
void hvsi_net_request_put(struct hvsi_net_chan *c, struct hvsi_net_request *r);
/* From saved state: to be replied to in the first ready(). */
void hvsi_net_request_keep(struct hvsi_net_chan *c, struct hvsi_net_request *r);
/* An NVSP message as the reply. */
void hvsi_net_request_answer(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			     const struct hvsi_nvsp *reply);
/* RNDIS_PACKET_DONE */
void hvsi_net_request_status(struct hvsi_net_chan *c, struct hvsi_net_request *r, uint32_t status);
/* The channel is closed, or not restored after all: nobody wants them. */
void hvsi_net_requests_drop_unsent(struct hvsi_net_chan *c);
void hvsi_net_requests_visit(struct hvsi_net_chan *c,
			     void (*visit)(struct hvsi_net_request *req, void *arg), void *arg);

/* Bytes of NVSP messages now. */
uint32_t hvsi_nvsp_bytes(const struct hvs_nic *nic);

/* nvsp.c: a message of the guest that is no frame; it has been taken. */
void hvsi_nvsp_handle(struct hvsi_net_chan *c, struct hvsi_net_request *r,
		      const struct hvsi_nvsp *m, uint32_t len);
/* Does it exist; and is it one for this NIC? */
bool hvsi_nvsp_version_listed(uint32_t version);
bool hvsi_nvsp_version_known(const struct hvs_nic *nic, uint32_t version);
/* The primary channel: what is due. */
void hvsi_nvsp_poll(struct hvsi_net_chan *c);
/* The driver goes. End, again and again until it is true: nothing of its buffers is in use. */
void hvsi_nvsp_close(struct hvsi_net_chan *c);
bool hvsi_nvsp_end(struct hvsi_net_chan *c);
/* Take buffers into use. 0 or a negative errno. */
int hvsi_nvsp_take_receive(struct hvsi_net_chan *c, uint32_t gpadl, uint16_t id,
			   uint32_t slot_bytes);
int hvsi_nvsp_take_send(struct hvsi_net_chan *c, uint32_t gpadl, uint32_t section_bytes);
void hvsi_nvsp_open_rndis(struct hvs_nic *nic);
uint32_t hvsi_nvsp_slot_bytes(uint32_t frame_bytes);
/* May a guest configure such frames; may sections be of this size? */
bool hvsi_nvsp_frame_ok(uint32_t frame_bytes);
bool hvsi_nvsp_section_ok(uint32_t section_bytes);

/* control.c: a control message of the guest, in n->session.control. */
void hvsi_net_control(struct hvsi_net_chan *c, struct hvsi_net_request *r, uint32_t len);
/* Send what waits: replies, indications. */
void hvsi_net_tell(struct hvsi_net_chan *c);
/* Frames are wanted, or not any more. */
void hvsi_net_update_receiving(struct hvs_nic *nic);

/* transmit.c */
enum hvsi_tx_taken {
	HVSI_TX_TAKEN,   /* its completion follows by itself */
	HVSI_TX_CONTROL, /* it is a control message, in nic->session.control */
};
/* An RNDIS packet in the guest's memory. *len: of a control message. */
enum hvsi_tx_taken hvsi_tx_take(struct hvsi_net_chan *c, struct hvsi_net_request *r,
				const struct hvsi_nvsp *m, const struct hvs_extents *extents,
				uint32_t *len);
/* Before packets are taken. */
void hvsi_tx_begin(struct hvsi_net_chan *c);
/* May frames be taken now? */
bool hvsi_tx_may_take(struct hvsi_net_chan *c);
/* Nothing of a request's frames is in use any more. */
void hvsi_tx_put_cut(struct hvsi_net_chan *c, struct hvsi_net_request *r);
/* Hand over what was taken. */
void hvsi_tx_submit(struct hvsi_net_chan *c);
void hvsi_tx_take_done(struct hvsi_net_chan *c);
/* As few frames as make progress possible. 0, -ENOMEM. */
int hvsi_tx_prepare(struct hvsi_net_chan *c);
void hvsi_tx_free(struct hvsi_net_chan *c);

/* A list that is handed over, and its first slot; one of another buffer is empty. */
static inline uint64_t hvsi_handed(const struct hvsi_receive_buffer *b, uint32_t slot)
{
	return (uint64_t)b->generation << 32 | slot;
}

static inline uint32_t hvsi_first_handed(const struct hvsi_receive_buffer *b, uint64_t list)
{
	return list >> 32 == b->generation ? (uint32_t)list : HVSI_NO_SLOT;
}

/* packets.c, inside the queue's gate */
/* Slots of another buffer are forgotten. */
void hvsi_rx_settle(struct hvsi_net_chan *c, const struct hvsi_receive_buffer *b);
/* The guest has completed this. */
void hvsi_rx_completed(struct hvsi_net_chan *c, uint64_t xid);
/* Send frames that wait. */
void hvsi_rx_send(struct hvsi_net_chan *c);
/* Forget them. */
void hvsi_rx_drop(struct hvsi_net_chan *c);
/* There is room again: tell the back end, if it waits for it. Outside. */
void hvsi_rx_unblock(struct hvsi_net_chan *c);
/* A slot is free; on the worker of this queue. */
void hvsi_rx_slot_put(struct hvs_nic *nic, uint32_t queue, struct hvsi_receive_buffer *b,
		      uint32_t slot);

/* So much of the ring to the guest is kept for completions and control messages. */
#define HVSI_NET_SPARE_BYTES 2048u
uint32_t hvsi_net_spare_bytes(const struct hvsi_net_chan *c);

/* save.c */
int hvsi_net_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w);
int hvsi_net_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     struct hvs_state_reader *r, void **ctx);

#endif
