/* SPDX-License-Identifier: MIT */
/* What all integration components have in common on the wire: behind the pipe's header a header of
 * their own, then the body. */
#ifndef HVSI_IC_PROTO_H
#define HVSI_IC_PROTO_H

#include "util/le.h"

#define HVSI_IC_NEGOTIATE 0u /* message type; the others are enum hvs_ic_kind */

enum {
	HVSI_IC_TRANSACTION = 0x1, /* an answer is expected, or this is one */
	HVSI_IC_REQUEST = 0x2,
	HVSI_IC_RESPONSE = 0x4,
};

struct hvsi_ic_version {
	struct hvs_le16 major;
	struct hvs_le16 minor;
};

struct hvsi_ic_header {
	struct hvsi_ic_version framework; /* as agreed; 0.0 in a negotiation */
	struct hvs_le16 type;
	struct hvsi_ic_version service; /* as agreed; 0.0 in a negotiation */
	struct hvs_le16 body_bytes;
	struct hvs_le32 status; /* HRESULT; 0 in requests */
	uint8_t transaction;    /* guests return it */
	uint8_t flags;          /* HVSI_IC_TRANSACTION, ... */
	struct hvs_le16 reserved;
};
_Static_assert(sizeof(struct hvsi_ic_header) == 20, "IC header");

/* Body of a negotiation, in front of the versions: those of the framework, those of the service. */
struct hvsi_ic_negotiation {
	struct hvs_le16 framework_count;
	struct hvs_le16 service_count;
	struct hvs_le32 reserved;
};
_Static_assert(sizeof(struct hvsi_ic_negotiation) == 8, "IC negotiation");

static inline struct hvsi_ic_version hvsi_ic_version(uint32_t v)
{
	return (struct hvsi_ic_version){hvsi_le16((uint16_t)(v >> 16)), hvsi_le16((uint16_t)v)};
}

static inline uint32_t hvsi_ic_get_version(struct hvsi_ic_version v)
{
	return (uint32_t)hvsi_get16(v.major) << 16 | hvsi_get16(v.minor);
}

#endif
