/* SPDX-License-Identifier: MIT */
/*
 * The guest end of VMBus (pkg-config hvstack-guest): for tests of the host end, firmware,
 * unikernels and authors of drivers. One thread, no interrupts: it polls.
 *
 * Every function returns 0 or positive, or a negative errno value. Calls that wait for the host
 * call hvs_guest_ops.wait in between, and give up with -ETIMEDOUT after a bounded number of
 * waits without news.
 */
#ifndef HVSTACK_GUEST_GUEST_H
#define HVSTACK_GUEST_GUEST_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stdbool.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_guest; /* the guest's end of a bus */
struct hvs_guest_channel;

/* What the guest end needs of the machine it runs on. All required. */
struct hvs_guest_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/* Synthetic MSRs of VP 0, on which everything runs. 0 or a negative errno (#GP). */
	int (*msr_read)(void *pf, uint32_t msr, uint64_t *value);
	int (*msr_write)(void *pf, uint32_t msr, uint64_t value);

	/* Returns the hypercall result value. */
	uint64_t (*hypercall)(void *pf, uint64_t input, uint64_t param_in, uint64_t param_out);

	/* count zeroed pages of 4096 bytes, contiguous in guest memory at *gpa. NULL: none left. */
	void *(*alloc_pages)(void *pf, size_t count, uint64_t *gpa);
	void (*free_pages)(void *pf, void *pages, size_t count);

	/* There is nothing to do until the host has acted. */
	void (*wait)(void *pf);
};
#define HVS_GUEST_OPS_INIT .size = (uint32_t)sizeof(struct hvs_guest_ops)

/* Enable hypercalls and the SynIC. alloc: NULL for malloc. 0, -EINVAL, -ENOTSUP, -ENOMEM, -EIO. */
HVS_API HVS_NODISCARD int hvs_guest_create(const struct hvs_allocator *alloc,
					   const struct hvs_guest_ops *ops, void *pf,
					   struct hvs_guest **out);
/* Channels are freed with it; nothing is said to the host. NULL is allowed. */
HVS_API void hvs_guest_destroy(struct hvs_guest *g);

/* INITIATE_CONTACT. version: (major << 16) | minor. 0, -EPROTONOSUPPORT, -ETIMEDOUT, -EIO. */
HVS_API HVS_NODISCARD int hvs_guest_connect(struct hvs_guest *g, uint32_t version);

/* UNLOAD, and wait for the answer: everything is given back. 0, -ETIMEDOUT, -EIO. */
HVS_API HVS_NODISCARD int hvs_guest_unload(struct hvs_guest *g);

/* Layout fixed: that of the message. */
struct hvs_guest_offer {
	struct hvs_guid class_id;
	struct hvs_guid instance_id;
	uint16_t flags;      /* HVS_OFFER_* */
	uint16_t subchannel; /* 0: primary */
	uint32_t relid;
	uint32_t connection_id;
	uint8_t user_data[120]; /* class specific */
};

/*
 * REQUESTOFFERS, and wait for all of them. Returns how many there are, or -ETIMEDOUT, -EIO, -ENOMEM
 * (some could not be kept).
 */
HVS_API HVS_NODISCARD int hvs_guest_request_offers(struct hvs_guest *g);
/* Offer number index; NULL: there are not that many. Valid until the next offer arrives. */
HVS_API const struct hvs_guest_offer *hvs_guest_offer_at(const struct hvs_guest *g, unsigned index);

/*
 * Share len bytes of consecutive pages from gpa on (both multiples of 4096).
 * Returns 0 and the GPADL's number in *id, -EINVAL (no page, or over 8190), -EREMOTEIO (the host
 * refused), -ETIMEDOUT, -EIO.
 */
HVS_API HVS_NODISCARD int hvs_guest_gpadl_create(struct hvs_guest *g, uint32_t relid, uint64_t gpa,
						 uint32_t len, uint32_t *id);
HVS_API int hvs_guest_gpadl_teardown(struct hvs_guest *g, uint32_t relid, uint32_t id);

/*
 * Open a channel with rings of ring_bytes of data each way (a multiple of 4096).
 * 0, -EREMOTEIO (the host refused), -ENOMEM, -ETIMEDOUT, -EIO.
 */
HVS_API HVS_NODISCARD int hvs_guest_channel_open(struct hvs_guest *g,
						 const struct hvs_guest_offer *offer,
						 uint32_t ring_bytes,
						 struct hvs_guest_channel **out);
/* CLOSECHANNEL, tear the rings' GPADL down, free the channel. 0, -ETIMEDOUT, -EIO. */
HVS_API int hvs_guest_channel_close(struct hvs_guest_channel *ch);

/* Guest memory that goes with a packet: one range of bytes in consecutive pages. Layout fixed. */
struct hvs_guest_buffer {
	uint64_t gpa;
	uint32_t len; /* 0: none, an in-band packet */
};

/*
 * Queue a packet. In a pipe (offer flag 0x10) an in-band packet is a message: its header is added
 * here, and taken off on receipt. 0, -EAGAIN (ring full), -EMSGSIZE, -EPROTO.
 */
HVS_API HVS_NODISCARD int hvs_guest_send(struct hvs_guest_channel *ch, uint64_t xid,
					 bool wants_completion,
					 const struct hvs_guest_buffer *buffer,
					 const struct iovec *iov, unsigned iovcnt);
/*
 * The same, with any number of ranges, each of consecutive pages. Also -EMSGSIZE: there are more
 * page numbers than a packet holds.
 */
HVS_API HVS_NODISCARD int hvs_guest_send_ranges(struct hvs_guest_channel *ch, uint64_t xid,
						bool wants_completion,
						const struct hvs_guest_buffer *ranges,
						unsigned range_count, const struct iovec *iov,
						unsigned iovcnt);
/* Queue the completion of a packet. As hvs_guest_send(). */
HVS_API HVS_NODISCARD int hvs_guest_complete(struct hvs_guest_channel *ch, uint64_t xid,
					     const struct iovec *iov, unsigned iovcnt);
/* Make queued packets visible, signal the host if it sleeps. */
HVS_API void hvs_guest_flush(struct hvs_guest_channel *ch);

/* Layout fixed. */
struct hvs_guest_packet {
	uint16_t type; /* enum hvs_packet_type */
	bool wants_completion;
	uint32_t len;
	uint64_t xid;
	const void *data; /* private copy, valid until the next receive on any channel */
	/* HVS_PACKET_TRANSFER_PAGES: where the data is, as the host says; else NULL and 0. As long
	 * valid as data. */
	const struct hvs_page_range *ranges;
	uint32_t range_count;
	uint16_t pageset_id;
};

/* 1: *pkt is the next packet; 0: none; -EPROTO. */
HVS_API HVS_NODISCARD int hvs_guest_recv(struct hvs_guest_channel *ch,
					 struct hvs_guest_packet *pkt);
/* The same, but wait for one. 1, -ETIMEDOUT, -EPROTO. */
HVS_API HVS_NODISCARD int hvs_guest_recv_wait(struct hvs_guest_channel *ch,
					      struct hvs_guest_packet *pkt);

/* Events the host has sent for this channel since the last call; clears the count. */
HVS_API unsigned hvs_guest_channel_events(struct hvs_guest_channel *ch);

/* ---- for tests: say anything ------------------------------------------------------------ */

/* Post a control message, the bytes of msg as they are. Returns the hypercall status. */
HVS_API uint16_t hvs_guest_post(struct hvs_guest *g, uint32_t connection_id, const void *msg,
				size_t len);
/*
 * Wait for a control message of this type; others are handled as usual, the wanted one is copied
 * to buf (240 bytes). Returns its length, or -ETIMEDOUT.
 */
HVS_API HVS_NODISCARD int hvs_guest_wait_message(struct hvs_guest *g, uint32_t type, void *buf);

/* Both rings of a channel as they lie in memory: control page, data; guest to host first. */
HVS_API void *hvs_guest_channel_rings(struct hvs_guest_channel *ch, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
