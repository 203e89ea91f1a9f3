/* SPDX-License-Identifier: MIT */
/* NVSP messages as they lie on the wire (little endian). */
#ifndef HVSI_NETWORK_PROTO_H
#define HVSI_NETWORK_PROTO_H

#include "util/le.h"

#define HVSI_NVSP_VERSION_1 0x00002u
#define HVSI_NVSP_VERSION_2 0x30002u
#define HVSI_NVSP_VERSION_4 0x40000u
#define HVSI_NVSP_VERSION_5 0x50000u
#define HVSI_NVSP_VERSION_6 0x60000u
#define HVSI_NVSP_VERSION_61 0x60001u

enum {
	HVSI_NVSP_INIT = 1,
	HVSI_NVSP_INIT_DONE = 2,
	HVSI_NVSP_NDIS_VERSION = 100,
	HVSI_NVSP_RECEIVE_BUFFER = 101,
	HVSI_NVSP_RECEIVE_BUFFER_DONE = 102,
	HVSI_NVSP_REVOKE_RECEIVE_BUFFER = 103,
	HVSI_NVSP_SEND_BUFFER = 104,
	HVSI_NVSP_SEND_BUFFER_DONE = 105,
	HVSI_NVSP_REVOKE_SEND_BUFFER = 106,
	HVSI_NVSP_RNDIS_PACKET = 107,
	HVSI_NVSP_RNDIS_PACKET_DONE = 108,
	HVSI_NVSP_NDIS_CONFIG = 125,
	HVSI_NVSP_VF_ASSOCIATION = 128,
	HVSI_NVSP_SWITCH_DATA_PATH = 129,
	HVSI_NVSP_OID_QUERY_EX = 131,
	HVSI_NVSP_OID_QUERY_EX_DONE = 132,
	HVSI_NVSP_SUBCHANNELS = 133, /* the answer, too */
	HVSI_NVSP_SEND_TABLE = 134,
	HVSI_NVSP_PACKET_DIRECT = 135, /* the answer, too */
};

#define HVSI_NVSP_SUCCESS 1u
#define HVSI_NVSP_FAILURE 2u
#define HVSI_NVSP_INVALID_RNDIS_PACKET 5u

#define HVSI_NVSP_DATA 0u /* channel_type; guests give others too */
#define HVSI_NVSP_CONTROL 1u
#define HVSI_NVSP_NO_SECTION 0xffffffffu
#define HVSI_NVSP_NO_VERSION 0xffffffffu
#define HVSI_NVSP_MAX_MDL_CHAIN 34u
#define HVSI_NVSP_SEND_TABLE_ENTRIES 16u
#define HVSI_NVSP_PATH_VF 1u

/* What the guest understands, in NDIS_CONFIG. */
#define HVSI_NVSP_CAN_SRIOV 0x04u
#define HVSI_NVSP_CAN_8021Q 0x08u
#define HVSI_NVSP_CAN_RSC 0x80u

struct hvsi_nvsp {
	struct hvs_le32 type;
	union {
		struct {
			struct hvs_le32 version; /* twice */
			struct hvs_le32 version2;
		} init;
		struct {
			struct hvs_le32 version; /* of old ones */
			struct hvs_le32 max_mdl_chain;
			struct hvs_le32 status;
		} init_done;
		struct {
			struct hvs_le32 major;
			struct hvs_le32 minor;
		} ndis_version;
		struct {
			struct hvs_le32 gpadl;
			struct hvs_le16 id;
			struct hvs_le16 reserved;
		} buffer; /* receive and send */
		struct {
			struct hvs_le32 status;
			struct hvs_le32 section_count; /* always 1: */
			struct hvs_le32 offset;
			struct hvs_le32 slot_bytes;
			struct hvs_le32 slot_count;
			struct hvs_le32 end;
		} receive_buffer_done;
		struct {
			struct hvs_le32 status;
			struct hvs_le32 section_bytes;
		} send_buffer_done;
		struct {
			struct hvs_le32 channel_type;
			struct hvs_le32 section; /* of the send buffer */
			struct hvs_le32 section_bytes;
		} rndis;
		struct {
			struct hvs_le32 status;
		} rndis_done;
		struct {
			struct hvs_le32 mtu; /* with the Ethernet header */
			struct hvs_le32 reserved;
			struct hvs_le64 capabilities; /* HVSI_NVSP_CAN_* */
		} config;
		struct {
			struct hvs_le32 allocated;
			struct hvs_le32 serial;
		} vf;
		struct {
			struct hvs_le32 path;
		} data_path;
		struct {
			struct hvs_le32 status; /* RNDIS' */
			struct hvs_le32 bytes;
		} oid_done;
		struct {
			struct hvs_le32 op; /* 1: allocate; in the answer the status */
			struct hvs_le32 count;
		} subchannels;
		struct {
			struct hvs_le32 op;
			struct hvs_le32 status;
		} packet_direct;
		uint8_t bytes[36];
	} u;
};
_Static_assert(sizeof(struct hvsi_nvsp) == 40, "protocol: NVSP 6.1");

#define HVSI_NVSP_BYTES 28u    /* of a message before 6.1 */
#define HVSI_NVSP_BYTES_61 40u /* and from then on */

struct hvsi_nvsp_send_table {
	struct hvs_le32 type;
	struct hvs_le32 count;
	struct hvs_le32 offset; /* of the first entry */
	struct hvs_le32 channel[HVSI_NVSP_SEND_TABLE_ENTRIES];
};
_Static_assert(sizeof(struct hvsi_nvsp_send_table) == 76, "protocol: send table");

#endif
