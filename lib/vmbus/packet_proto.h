/* SPDX-License-Identifier: MIT */
/* Extended headers of ring packets as they lie on the wire, behind the descriptor. */
#ifndef HVSI_VMBUS_PACKET_PROTO_H
#define HVSI_VMBUS_PACKET_PROTO_H

#include "util/le.h"

#include <stddef.h>

#define HVSI_PACKET_COMPLETION_REQUESTED 1u /* the only flag of a descriptor */

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

#endif
