/* SPDX-License-Identifier: MIT */
/* What all integration components have in common on the wire: behind the pipe's header a header of
 * their own, then the body. */
#ifndef HVSI_IC_PROTO_H
#define HVSI_IC_PROTO_H

#include "util/guid.h"
#include "util/le.h"

/* Interface GUIDs. */
#define HVSI_IC_FILECOPY_CLASS                                                                     \
	HVSI_GUID(0x34d14be3, 0xdee4, 0x41c8, 0x9a, 0xe7, 0x6b, 0x17, 0x49, 0x77, 0xc1, 0x92)
#define HVSI_IC_HEARTBEAT_CLASS                                                                    \
	HVSI_GUID(0x57164f39, 0x9115, 0x4e78, 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d)
#define HVSI_IC_KVP_CLASS                                                                          \
	HVSI_GUID(0xa9a0f4e7, 0x5a45, 0x4d96, 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6)
#define HVSI_IC_SHUTDOWN_CLASS                                                                     \
	HVSI_GUID(0x0e0b6031, 0x5213, 0x4934, 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb)
#define HVSI_IC_TIMESYNC_CLASS                                                                     \
	HVSI_GUID(0x9527e630, 0xd0ae, 0x497b, 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf)
#define HVSI_IC_VSS_CLASS                                                                          \
	HVSI_GUID(0x35fa2e29, 0xea23, 0x4236, 0x96, 0xae, 0x3a, 0x6e, 0xba, 0xcb, 0xa4, 0x40)

#define HVSI_IC_FRAMEWORK_1 0x10000u
#define HVSI_IC_FRAMEWORK_3 0x30000u

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
