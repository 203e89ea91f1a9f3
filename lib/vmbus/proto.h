/* SPDX-License-Identifier: MIT */
/* VMBus control messages as they lie on the wire. Every message begins with struct hvsi_msg. */
#ifndef HVSI_VMBUS_PROTO_H
#define HVSI_VMBUS_PROTO_H

#include "util/le.h"

#include <hvstack/types.h>

#include <stddef.h>

enum {
	HVSI_MSG_OFFERCHANNEL = 1,
	HVSI_MSG_RESCIND_CHANNELOFFER = 2,
	HVSI_MSG_REQUESTOFFERS = 3,
	HVSI_MSG_ALLOFFERS_DELIVERED = 4,
	HVSI_MSG_OPENCHANNEL = 5,
	HVSI_MSG_OPENCHANNEL_RESULT = 6,
	HVSI_MSG_CLOSECHANNEL = 7,
	HVSI_MSG_GPADL_HEADER = 8,
	HVSI_MSG_GPADL_BODY = 9,
	HVSI_MSG_GPADL_CREATED = 10,
	HVSI_MSG_GPADL_TEARDOWN = 11,
	HVSI_MSG_GPADL_TORNDOWN = 12,
	HVSI_MSG_RELID_RELEASED = 13,
	HVSI_MSG_INITIATE_CONTACT = 14,
	HVSI_MSG_VERSION_RESPONSE = 15,
	HVSI_MSG_UNLOAD = 16,
	HVSI_MSG_UNLOAD_RESPONSE = 17,
	HVSI_MSG_OPEN_RESERVED_CHANNEL = 18,
	HVSI_MSG_CLOSE_RESERVED_CHANNEL = 19,
	HVSI_MSG_CLOSE_RESERVED_RESPONSE = 20,
	HVSI_MSG_TL_CONNECT_REQUEST = 21,
	HVSI_MSG_MODIFYCHANNEL = 22,
	HVSI_MSG_TL_CONNECT_REQUEST_RESULT = 23,
	HVSI_MSG_MODIFYCHANNEL_RESPONSE = 24,
	HVSI_MSG_MODIFY_CONNECTION = 25,
	HVSI_MSG_MODIFY_CONNECTION_RESPONSE = 26,
	HVSI_MSG_PAUSE = 27,
	HVSI_MSG_PAUSE_RESPONSE = 28,
	HVSI_MSG_RESUME = 29,
	HVSI_MSG_COUNT = 30,
};

#define HVSI_MSG_MAX 240u
#define HVSI_SYNIC_TYPE_VMBUS 1u /* HvMessageType of all VMBus messages */
#define HVSI_STATUS_OK 0u
#define HVSI_STATUS_FAILED 0x8000ffffu /* what Hyper-V answers to a request it can't meet */
#define HVSI_VP_NONE 0xffffffffu       /* "never interrupt this channel" */
#define HVSI_SINTS 16u
#define HVSI_EVENT_FLAGS 2048u /* of one SINT */
#define HVSI_MAX_RELID 2047u   /* event flags of one SINT; 0 is reserved */

struct hvsi_msg {
	struct hvs_le32 type;
	struct hvs_le32 padding;
};

struct hvsi_msg_offer {
	struct hvsi_msg h;
	struct hvs_guid class_id;
	struct hvs_guid instance_id;
	uint8_t reserved[16];
	struct hvs_le16 flags;
	struct hvs_le16 mmio_megabytes;
	uint8_t user_data[120];
	struct hvs_le16 subchannel;
	struct hvs_le16 mmio_megabytes_optional;
	struct hvs_le32 relid;
	uint8_t monitor_id;
	uint8_t monitor_allocated; /* bit 0 */
	struct hvs_le16 dedicated; /* bit 0: the channel has an interrupt of its own */
	struct hvs_le32 connection_id;
};
_Static_assert(sizeof(struct hvsi_msg_offer) == 196, "protocol: OFFERCHANNEL");
_Static_assert(offsetof(struct hvsi_msg_offer, relid) == 184, "protocol: OFFERCHANNEL");

#define HVSI_OFFER_SIZE_V1 190u /* before 1.1: without the last two fields */

#define HVSI_NO_MONITOR 0xffu
#define HVSI_MONITOR_IDS 128u

/* Fill in a message header. */
static inline struct hvsi_msg hvsi_msg_header(uint32_t type)
{
	return (struct hvsi_msg){.type = hvsi_le32(type)};
}

/* Messages that carry a relid. */
struct hvsi_msg_relid {
	struct hvsi_msg h;
	struct hvs_le32 relid;
};
_Static_assert(sizeof(struct hvsi_msg_relid) == 12, "protocol: CLOSECHANNEL and others");

struct hvsi_msg_open {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 open_id;
	struct hvs_le32 gpadl_id;
	struct hvs_le32 target_vp;
	struct hvs_le32
		downstream_page; /* pages before it: guest to host; from it: host to guest */
	uint8_t user_data[120];
};
_Static_assert(sizeof(struct hvsi_msg_open) == 148, "protocol: OPENCHANNEL");

/* With HVSI_FEATURE_SIGNAL_PARAMETERS or HVSI_FEATURE_INTERRUPT_REDIRECTION. */
struct hvsi_msg_open_6_0 {
	struct hvsi_msg_open open;
	struct hvs_le32 connection_id;
	struct hvs_le16 event_flag;
	struct hvs_le16 flags; /* bit 0: redirect the interrupt */
};
_Static_assert(sizeof(struct hvsi_msg_open_6_0) == 156, "protocol: OPENCHANNEL of 6.0");

struct hvsi_msg_open_reserved {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 target_vp; /* where the answers go */
	struct hvs_le32 target_sint;
	struct hvs_le32 gpadl_id;
	struct hvs_le32 downstream_page;
};
_Static_assert(sizeof(struct hvsi_msg_open_reserved) == 28, "protocol: OPEN_RESERVED_CHANNEL");

struct hvsi_msg_close_reserved {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 target_vp;
	struct hvs_le32 target_sint;
};
_Static_assert(sizeof(struct hvsi_msg_close_reserved) == 20, "protocol: CLOSE_RESERVED_CHANNEL");

struct hvsi_msg_open_result {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 open_id;
	struct hvs_le32 status;
};
_Static_assert(sizeof(struct hvsi_msg_open_result) == 20, "protocol: OPENCHANNEL_RESULT");

struct hvsi_msg_gpadl_header {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 gpadl_id;
	struct hvs_le16 range_bytes;
	struct hvs_le16 range_count;
	/* ranges follow */
};
_Static_assert(sizeof(struct hvsi_msg_gpadl_header) == 20, "protocol: GPADL_HEADER");

struct hvsi_msg_gpadl_body {
	struct hvsi_msg h;
	struct hvs_le32 number; /* unreliable, ignored */
	struct hvs_le32 gpadl_id;
	/* more of the ranges follows */
};
_Static_assert(sizeof(struct hvsi_msg_gpadl_body) == 16, "protocol: GPADL_BODY");

struct hvsi_msg_gpadl_created {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 gpadl_id;
	struct hvs_le32 status;
};
_Static_assert(sizeof(struct hvsi_msg_gpadl_created) == 20, "protocol: GPADL_CREATED");

struct hvsi_msg_gpadl_teardown {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 gpadl_id;
};
_Static_assert(sizeof(struct hvsi_msg_gpadl_teardown) == 16, "protocol: GPADL_TEARDOWN");

struct hvsi_msg_gpadl_torndown {
	struct hvsi_msg h;
	struct hvs_le32 gpadl_id;
};
_Static_assert(sizeof(struct hvsi_msg_gpadl_torndown) == 12, "protocol: GPADL_TORNDOWN");

struct hvsi_msg_initiate_contact {
	struct hvsi_msg h;
	struct hvs_le32 version;
	struct hvs_le32 target_vp;
	uint8_t sint; /* 5.0 and later; before, 8 bytes from here are the interrupt page's address */
	uint8_t vtl;
	struct hvs_le16 reserved;
	struct hvs_le32 features; /* 6.0 and later: HVSI_FEATURE_* */
	struct hvs_le64 monitor_page[2];
	/* with HVSI_FEATURE_CLIENT_ID a GUID follows */
};
_Static_assert(sizeof(struct hvsi_msg_initiate_contact) == 40, "protocol: INITIATE_CONTACT");

#define HVSI_FEATURE_SIGNAL_PARAMETERS 0x01u /* OPENCHANNEL says how to signal the channel */
#define HVSI_FEATURE_INTERRUPT_REDIRECTION 0x02u
#define HVSI_FEATURE_MODIFY_CONNECTION 0x04u
#define HVSI_FEATURE_CLIENT_ID 0x08u
#define HVSI_FEATURE_PAUSE_RESUME 0x20u
#define HVSI_FEATURE_SERVER_MONITOR_PAGES 0x40u

struct hvsi_msg_version_response {
	struct hvsi_msg h;
	uint8_t supported;
	uint8_t connection_state; /* 0: success */
	uint8_t reserved[2];
	struct hvs_le32 selected; /* 5.0 and later: connection id for messages; before: version */
};
_Static_assert(sizeof(struct hvsi_msg_version_response) == 16, "protocol: VERSION_RESPONSE");

struct hvsi_msg_version_response_6_0 {
	struct hvsi_msg_version_response r;
	struct hvs_le32 features;
};
_Static_assert(sizeof(struct hvsi_msg_version_response_6_0) == 20, "protocol: VERSION_RESPONSE");

/* With HVSI_FEATURE_SERVER_MONITOR_PAGES. */
struct hvsi_msg_version_response_monitor {
	struct hvsi_msg_version_response_6_0 r;
	struct hvs_le32 padding;
	struct hvs_le64 monitor_page[2]; /* parent to child, child to parent */
};
_Static_assert(sizeof(struct hvsi_msg_version_response_monitor) == 40,
	       "protocol: VERSION_RESPONSE");

struct hvsi_msg_modify_connection {
	struct hvsi_msg h;
	struct hvs_le64 monitor_page[2]; /* parent to child, child to parent */
};
_Static_assert(sizeof(struct hvsi_msg_modify_connection) == 24, "protocol: MODIFY_CONNECTION");

#define HVSI_MODIFY_CONNECTION_RESPONSE_SIZE 9u /* header, u8 connection state */
#define HVSI_CONNECTION_STATE_SUCCESS 0u
#define HVSI_CONNECTION_STATE_FAILED 2u

struct hvsi_msg_modify_channel {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 target_vp;
};
_Static_assert(sizeof(struct hvsi_msg_modify_channel) == 16, "protocol: MODIFYCHANNEL");

struct hvsi_msg_modify_response {
	struct hvsi_msg h;
	struct hvs_le32 relid;
	struct hvs_le32 status;
};
_Static_assert(sizeof(struct hvsi_msg_modify_response) == 16, "protocol: MODIFYCHANNEL_RESPONSE");

struct hvsi_msg_tl_connect {
	struct hvsi_msg h;
	struct hvs_guid endpoint_id;
	struct hvs_guid service_id;
	/* 5.2 and later, optional: silo GUID */
};
_Static_assert(sizeof(struct hvsi_msg_tl_connect) == 40, "protocol: TL_CONNECT_REQUEST");

struct hvsi_msg_tl_connect_result {
	struct hvsi_msg h;
	struct hvs_guid endpoint_id;
	struct hvs_guid service_id;
	struct hvs_le32 status;
};
_Static_assert(sizeof(struct hvsi_msg_tl_connect_result) == 44,
	       "protocol: TL_CONNECT_REQUEST_RESULT");

#define HVSI_STATUS_CONNECTION_REFUSED 0xc0000236u

/*
 * Interrupt page, versions before 2.4: a bit for each relid, first from the host to the guest,
 * then, in the second half, back.
 */
#define HVSI_INTERRUPT_PAGE_TO_HOST 2048u

#define HVSI_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))

#endif
