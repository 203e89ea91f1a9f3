/* SPDX-License-Identifier: MIT */
/* What the files of the guest end share. */
#ifndef HVSI_VSC_GUEST_H
#define HVSI_VSC_GUEST_H

#include "util/list.h"
#include "vmbus/proto.h"
#include "vmbus/ring.h"

#include <hvstack/guest/guest.h>

#define HVSI_GUEST_MAX_WAITS 100000u

struct hvs_guest {
	struct hvs_allocator alloc;
	struct hvs_guest_ops ops;
	void *pf;
	/* Pages shared with the hypervisor. */
	uint8_t *hypercall_page;
	uint8_t *input_page;
	uint64_t input_gpa;
	uint8_t *simp;
	uint8_t *siefp;
	uint32_t version;
	uint8_t *interrupt_page; /* versions before 2.4 */
	uint64_t interrupt_gpa;
	uint32_t message_connection;
	uint32_t next_gpadl;
	struct hvs_guest_offer *offers; /* room for offer_room */
	unsigned offer_count;
	unsigned offer_room;
	bool offer_lost;                             /* no memory for it */
	uint8_t rescinded[(HVSI_MAX_RELID + 8) / 8]; /* a bit a relid */
	struct hvsi_list channels;
	/* The last message taken out of the slot. */
	uint8_t message[HVSI_MSG_MAX];
	size_t message_len;
	uint8_t *received; /* the last packet, of whatever channel */
	uint8_t *ranges;   /* page ranges of the packet being sent */
};

#define HVSI_GUEST_PACKET (65536u + 4096u) /* bytes of received and of ranges */

struct hvs_guest_channel {
	struct hvsi_list node;
	struct hvs_guest *guest;
	uint32_t relid;
	uint32_t connection_id;
	uint32_t gpadl;
	bool pipe; /* in-band packets are messages with a header */
	uint8_t *rings;
	size_t ring_pages;        /* both rings, control pages included */
	struct hvsi_ring_out out; /* guest to host */
	struct hvsi_ring_in in;
	unsigned events;
};

/* Does this version use the interrupt page? */
static inline bool hvsi_guest_is_legacy(const struct hvs_guest *g)
{
	return g->version < HVSI_VERSION(2, 4);
}

/* Take messages and events in. True: there was something. */
bool hvsi_guest_poll(struct hvs_guest *g);

/* Post a control message; while the host's queue is full, wait. 0, -EIO, -ETIMEDOUT. */
int hvsi_guest_post(struct hvs_guest *g, const void *msg, size_t len);

/* Wait until an offer is rescinded, and let go of it. 0, -EIO, -ETIMEDOUT. */
int hvsi_guest_release(struct hvs_guest *g, uint32_t relid);

void hvsi_guest_channel_free(struct hvs_guest_channel *ch);

#endif
