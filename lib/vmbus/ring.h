/* SPDX-License-Identifier: MIT */
/*
 * Ring buffers: the algorithm, both directions, over a view of shared memory. Knows nothing of
 * channels, packets' meaning or interrupts: it says when the other side must be signalled. The
 * host uses both structs; the guest ends use the same two with the roles swapped.
 *
 * A ring is a control page and `size` bytes of data. Indexes are byte offsets into the data,
 * multiples of 8. Equal: empty; it is never filled completely.
 */
#ifndef HVSI_VMBUS_RING_H
#define HVSI_VMBUS_RING_H

#include "mem/guestptr.h"

#include <stdbool.h>
#include <sys/uio.h>

#define HVSI_RING_TRAILER 8u /* after each packet: u32 0, u32 offset where the packet began */
#define HVSI_RING_DESCRIPTOR 16u

struct hvsi_ringmem {
	uint8_t HVSI_GUEST *ctl;    /* control page */
	uint8_t HVSI_GUEST *flat;   /* data, if it lies in one piece in this process */
	uint8_t HVSI_GUEST **pages; /* else page by page */
	uint32_t size;              /* data bytes, a multiple of 4096 */
};

/* Consumer side. */
struct hvsi_ring_in {
	struct hvsi_ringmem mem;
	uint32_t next;      /* where the next packet is read; private */
	uint32_t committed; /* read_index as the producer sees it */
	uint32_t end;       /* write_index as it was last seen */
};

/* Producer side. */
struct hvsi_ring_out {
	struct hvsi_ringmem mem;
	uint32_t next;      /* where the next packet goes; private */
	uint32_t published; /* write_index as the consumer sees it */
	uint32_t start;     /* read_index as it was last seen */
	uint32_t wanted;    /* pending_send_sz: what a refused packet takes; 0: none was */
};

/* First 16 bytes of a packet. */
struct hvsi_descriptor {
	uint16_t type;
	uint16_t header_len8; /* payload offset / 8; to be written, 0: behind the header */
	uint16_t len8;        /* packet length without the trailer / 8 */
	uint16_t flags;       /* bit 0: completion requested */
	uint64_t xid;
};

/*
 * Begin to consume, with the producer's interrupts off. 0, -EPROTO (indexes are nonsense).
 */
int hvsi_ring_in_open(struct hvsi_ring_in *in, const struct hvsi_ringmem *mem);

/*
 * Copy the next packet, without trailer, into buf.
 *
 * 1: *desc is its descriptor and buf[0..len8 * 8) the packet; the room is given back by commit.
 * 0: empty. -EPROTO: an index is out of range. -EBADMSG: lengths contradict each other or the
 * ring. -EMSGSIZE: larger than buf_len. After an error the ring must not be used any more.
 */
int hvsi_ring_read(struct hvsi_ring_in *in, struct hvsi_descriptor *desc, uint8_t *buf,
		   size_t buf_len);

/* Give the room of consumed packets back. True: the producer waits for it, signal it. */
bool hvsi_ring_in_commit(struct hvsi_ring_in *in);

/* Awake: the producer need not signal. */
void hvsi_ring_in_wake(struct hvsi_ring_in *in);

/*
 * Ask to be signalled when something arrives. True: the ring is empty, sleep. False: something
 * has arrived meanwhile and the producer may not have signalled; go on reading.
 */
bool hvsi_ring_in_sleep(struct hvsi_ring_in *in);

/*
 * Go on where a consumer or producer stopped that was saved; next is its private index. 0, -EPROTO
 * (an index is nonsense).
 */
int hvsi_ring_in_resume(struct hvsi_ring_in *in, const struct hvsi_ringmem *mem, uint32_t next);
int hvsi_ring_out_resume(struct hvsi_ring_out *out, const struct hvsi_ringmem *mem, uint32_t next);

/* Begin to produce. 0, -EPROTO. */
int hvsi_ring_out_open(struct hvsi_ring_out *out, const struct hvsi_ringmem *mem);

/*
 * Append a packet: descriptor (the length is filled in here), then `header` (a multiple of 8
 * bytes), then the payload, padded to 8 with zeros. The header is the extended header, or, if
 * desc->header_len8 says so, begins the payload.
 *
 * 0: visible after publish. -EAGAIN: no room now; the consumer signals when there is, until a packet
 * of that size was written; smaller ones may go before it. -EMSGSIZE: can never fit. -EPROTO: the
 * consumer's index is nonsense.
 */
int hvsi_ring_write(struct hvsi_ring_out *out, const struct hvsi_descriptor *desc,
		    const void *header, size_t header_len, const struct iovec *iov,
		    unsigned iovcnt);

/*
 * Do so many bytes fit, trailers included? As if a packet of them was to be written: 0, -EAGAIN,
 * -EMSGSIZE, -EPROTO.
 */
int hvsi_ring_has_room(struct hvsi_ring_out *out, uint32_t bytes);

/*
 * A write was refused: is there still too little room? False: there is enough now, and the consumer
 * need not signal it any more.
 */
bool hvsi_ring_out_blocked(struct hvsi_ring_out *out);

/* Make what was appended visible. True: the consumer sleeps, signal it. */
bool hvsi_ring_publish(struct hvsi_ring_out *out);

#endif
