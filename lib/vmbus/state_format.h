/* SPDX-License-Identifier: MIT */
/*
 * Payloads of a bus's saved state (docs/saved-state.md), in the order of the stream: BUS,
 * CONNECTION, GPADL..., CHANNEL (and its DATA)..., CONNECT_REQUEST..., INCOMING..., OUTGOING...
 */
#ifndef HVSI_VMBUS_STATE_FORMAT_H
#define HVSI_VMBUS_STATE_FORMAT_H

#include "util/state.h"
#include "vmbus/proto.h"

struct hvsi_state_bus {
	struct hvs_le32 vp_count;
	struct hvs_le32 reserved;
};
_Static_assert(sizeof(struct hvsi_state_bus) == 8, "saved state: BUS");

#define HVSI_STATE_OFFERS_SENT 0x01u
#define HVSI_STATE_VERSION_OK 0x02u
#define HVSI_STATE_MODIFY_CONNECTION_OK 0x04u
#define HVSI_STATE_PAUSED 0x08u

struct hvsi_state_connection {
	uint8_t state; /* enum hvsi_conn_state */
	uint8_t next;  /* enum hvsi_conn_next */
	uint8_t flags; /* above */
	uint8_t reserved[5];
	struct hvs_le32 version;
	struct hvs_le32 features;
	struct hvs_le32 message_vp;
	struct hvs_le32 contact_connection;
	struct hvs_le64 monitor_page[2];
	struct hvsi_msg_initiate_contact contact;
};
_Static_assert(sizeof(struct hvsi_state_connection) == 80, "saved state: CONNECTION");

struct hvsi_state_gpadl {
	struct hvs_le32 id;
	struct hvs_le32 relid;
	struct hvs_le32 state; /* enum hvsi_gpadl_state */
	struct hvs_le32 status;
	struct hvs_le32 range_count;
	struct hvs_le32 need; /* words */
			      /* the words that are there follow */
};
_Static_assert(sizeof(struct hvsi_state_gpadl) == 24, "saved state: GPADL");

#define HVSI_STATE_RELEASE 0x0001u
#define HVSI_STATE_REVOKED 0x0002u
#define HVSI_STATE_WAITING 0x0004u
#define HVSI_STATE_RESERVED 0x0008u
#define HVSI_STATE_HAS_RING 0x0010u
#define HVSI_STATE_FAULTED 0x0020u
#define HVSI_STATE_HAS_DATA 0x0040u /* DATA records follow */

#define HVSI_STATE_MOST_OWED 4096u /* answers; a guest waits for each before it asks again */

struct hvsi_state_channel {
	struct hvs_guid class_id;
	struct hvs_guid instance_id;
	struct hvs_le16 index;
	struct hvs_le16 flags;
	uint8_t state; /* enum hvsi_chan_state */
	uint8_t monitor_id;
	struct hvs_le16 subchannels_wanted;
	struct hvs_le32 relid;
	struct hvs_le32 open_status;
	struct hvs_le32 modify_owed; /* answers to MODIFYCHANNEL that are due */
	struct hvs_le32 close_owed;  /* and to CLOSE_RESERVED_CHANNEL */
	struct hvs_le32 target_vp;
	struct hvs_le32 in_next; /* ring indexes that are ours */
	struct hvs_le32 out_next;
	struct hvs_le32 result_vp; /* where OPENCHANNEL_RESULT goes */
	struct hvs_le32 result_sint;
	struct hvs_le32 closed_vp; /* and CLOSE_RESERVED_RESPONSE */
	struct hvs_le32 closed_sint;
	struct hvsi_msg_open_6_0 request;
	struct hvsi_msg_open_6_0 next_request;
};
_Static_assert(sizeof(struct hvsi_state_channel) == 396, "saved state: CHANNEL");

struct hvsi_state_connect_request {
	struct hvs_le32 slot;
	struct hvs_guid endpoint_id;
	struct hvs_guid service_id;
};
_Static_assert(sizeof(struct hvsi_state_connect_request) == 36, "saved state: CONNECT_REQUEST");

struct hvsi_state_incoming {
	struct hvs_le32 connection_id;
	/* the message follows */
};
_Static_assert(sizeof(struct hvsi_state_incoming) == 4, "saved state: INCOMING");

struct hvsi_state_outgoing {
	struct hvs_le32 kind;  /* enum hvsi_out */
	struct hvs_le32 about; /* relid, GPADL, slot of a connect request; else 0 */
	struct hvs_le32 vp;    /* of a refusal */
	struct hvs_le32 sint;
	/* a refusal's bytes follow */
};
_Static_assert(sizeof(struct hvsi_state_outgoing) == 16, "saved state: OUTGOING");

#endif
