/* SPDX-License-Identifier: MIT */
/* A ring packet, as it lies on the wire. */
#ifndef HVSI_VMBUS_PACKET_PROTO_H
#define HVSI_VMBUS_PACKET_PROTO_H

#include "util/le.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#define HVSI_PACKET_COMPLETION_REQUESTED 1u /* the only flag of a descriptor */

/* The first bytes of a packet; lengths in units of 8 bytes, without the trailer. */
struct hvsi_wire_descriptor {
	struct hvs_le16 type;
	struct hvs_le16 header_len8;
	struct hvs_le16 len8;
	struct hvs_le16 flags;
	struct hvs_le64 xid;
};
_Static_assert(sizeof(struct hvsi_wire_descriptor) == 16, "protocol 6.2");

/* GPA-direct; page ranges follow (mem/extents.h). */
struct hvsi_gpa_direct_header {
	struct hvs_le32 reserved; /* may hold garbage */
	struct hvs_le32 range_count;
};
_Static_assert(sizeof(struct hvsi_gpa_direct_header) == 8, "protocol 6.2");

/* Data using transfer pages; range_count ranges follow. */
struct hvsi_transfer_pages_header {
	struct hvs_le16 set_id;
	uint8_t sender_owns_set;
	uint8_t reserved;
	struct hvs_le32 range_count;
};
_Static_assert(sizeof(struct hvsi_transfer_pages_header) == 8, "protocol 6.2");

/* Bytes of a set of pages that both sides know. */
struct hvsi_wire_page_range {
	struct hvs_le32 len;
	struct hvs_le32 offset;
};
_Static_assert(sizeof(struct hvsi_wire_page_range) == 8, "protocol 6.2");

/* Begins the payload of an in-band packet on a pipe's channel (protocol 6.6). */
struct hvsi_pipe_header {
	struct hvs_le32 type;
	struct hvs_le32 len; /* bytes that follow; padding comes behind them */
};
_Static_assert(sizeof(struct hvsi_pipe_header) == 8, "protocol 6.6");

#define HVSI_PIPE_DATA 1u    /* the only type that is ever sent */
#define HVSI_PIPE_MESSAGE 4u /* first word of an offer's user data: a packet is a message */

/* What goes before this message. One of 4 GiB or more is refused by the ring. */
static inline struct hvsi_pipe_header hvsi_pipe_header(const struct iovec *iov, unsigned iovcnt)
{
	size_t len = 0;

	for (unsigned i = 0; i < iovcnt; i++)
		len += iov[i].iov_len;
	return (struct hvsi_pipe_header){.type = hvsi_le32(HVSI_PIPE_DATA),
					 .len = hvsi_le32((uint32_t)len)};
}

/* Is this payload of payload_len bytes a message? Sets *len; it begins behind the header. */
static inline bool hvsi_pipe_check(const void *payload, uint32_t payload_len, uint32_t *len)
{
	struct hvsi_pipe_header h;

	if (payload_len < sizeof(h))
		return false;
	memcpy(&h, payload, sizeof(h));
	*len = hvsi_get32(h.len);
	return hvsi_get32(h.type) == HVSI_PIPE_DATA && *len <= payload_len - sizeof(h);
}

#endif
