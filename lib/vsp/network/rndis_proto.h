/* SPDX-License-Identifier: MIT */
/*
 * RNDIS messages and the NDIS objects in them, as they lie on the wire (little endian). Offsets in
 * a message count from its ninth byte, those in an object from its first.
 */
#ifndef HVSI_NETWORK_RNDIS_PROTO_H
#define HVSI_NETWORK_RNDIS_PROTO_H

#include "util/le.h"

#include <stddef.h>

/* ---- messages ----------------------------------------------------------------------------- */

enum {
	HVSI_RNDIS_PACKET = 1,
	HVSI_RNDIS_INITIALIZE = 2,
	HVSI_RNDIS_HALT = 3,
	HVSI_RNDIS_QUERY = 4,
	HVSI_RNDIS_SET = 5,
	HVSI_RNDIS_RESET = 6,
	HVSI_RNDIS_INDICATE_STATUS = 7,
	HVSI_RNDIS_KEEPALIVE = 8,
	HVSI_RNDIS_SET_EX = 9,
};

#define HVSI_RNDIS_COMPLETION 0x80000000u /* added to the type that is answered */

#define HVSI_RNDIS_SUCCESS 0x00000000u
#define HVSI_RNDIS_FAILURE 0xc0000001u
#define HVSI_RNDIS_NOT_SUPPORTED 0xc00000bbu
#define HVSI_RNDIS_BAD_VERSION 0xc0010004u
#define HVSI_RNDIS_MULTICAST_FULL 0xc0010009u
#define HVSI_RNDIS_MULTICAST_EXISTS 0xc001000au
#define HVSI_RNDIS_MULTICAST_NOT_FOUND 0xc001000bu
#define HVSI_RNDIS_INVALID_LENGTH 0xc0010014u
#define HVSI_RNDIS_INVALID_DATA 0xc0010015u

/* What INDICATE_STATUS tells. */
#define HVSI_RNDIS_MEDIA_CONNECT 0x4001000bu
#define HVSI_RNDIS_MEDIA_DISCONNECT 0x4001000cu
#define HVSI_RNDIS_LINK_SPEED_CHANGE 0x40010013u
#define HVSI_RNDIS_NETWORK_CHANGE 0x40010018u
#define HVSI_RNDIS_OFFLOAD_CONFIG 0x40020006u

#define HVSI_RNDIS_OFFSETS_FROM 8u /* what offsets in a message count from */

struct hvsi_rndis_header {
	struct hvs_le32 type;
	struct hvs_le32 len; /* of the whole message */
};
_Static_assert(sizeof(struct hvsi_rndis_header) == 8, "protocol: RNDIS header");

struct hvsi_rndis_packet {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 data_off;
	struct hvs_le32 data_len;
	struct hvs_le32 oob_off;
	struct hvs_le32 oob_len;
	struct hvs_le32 oob_count;
	struct hvs_le32 ppi_off;
	struct hvs_le32 ppi_len;
	struct hvs_le32 vc;
	struct hvs_le32 reserved;
};
_Static_assert(sizeof(struct hvsi_rndis_packet) == 44, "protocol: RNDIS packet");

struct hvsi_rndis_initialize {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 request_id;
	struct hvs_le32 major;
	struct hvs_le32 minor;
	struct hvs_le32 max_transfer;
};
_Static_assert(sizeof(struct hvsi_rndis_initialize) == 24, "protocol: RNDIS initialize");

struct hvsi_rndis_initialize_done {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 request_id;
	struct hvs_le32 status;
	struct hvs_le32 major;
	struct hvs_le32 minor;
	struct hvs_le32 device_flags; /* 1: connectionless */
	struct hvs_le32 medium;       /* 0: Ethernet */
	struct hvs_le32 max_packets;  /* in one message of the guest */
	struct hvs_le32 max_transfer;
	struct hvs_le32 alignment; /* of the packets in it, as a power of two */
	struct hvs_le32 af_off;
	struct hvs_le32 af_len;
};
_Static_assert(sizeof(struct hvsi_rndis_initialize_done) == 52, "protocol: RNDIS initialize");

/* QUERY, SET and SET_EX. */
struct hvsi_rndis_request {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 request_id;
	struct hvs_le32 oid;
	struct hvs_le32 info_len;
	struct hvs_le32 info_off;
	struct hvs_le32 vc;
};
_Static_assert(sizeof(struct hvsi_rndis_request) == 28, "protocol: RNDIS request");

/* Of QUERY and SET_EX; the information follows. */
struct hvsi_rndis_query_done {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 request_id;
	struct hvs_le32 status;
	struct hvs_le32 info_len;
	struct hvs_le32 info_off;
};
_Static_assert(sizeof(struct hvsi_rndis_query_done) == 24, "protocol: RNDIS query");

/* Of SET and KEEPALIVE. */
struct hvsi_rndis_done {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 request_id;
	struct hvs_le32 status;
};
_Static_assert(sizeof(struct hvsi_rndis_done) == 16, "protocol: RNDIS completion");

/* HALT and KEEPALIVE; RESET, which has no id. */
struct hvsi_rndis_simple {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 request_id;
};
_Static_assert(sizeof(struct hvsi_rndis_simple) == 12, "protocol: RNDIS message");

struct hvsi_rndis_reset_done {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 status;
	struct hvs_le32 addressing_reset; /* 1: filter and lists have to be set again */
};
_Static_assert(sizeof(struct hvsi_rndis_reset_done) == 16, "protocol: RNDIS reset");

/* The buffer follows. */
struct hvsi_rndis_indicate {
	struct hvsi_rndis_header hdr;
	struct hvs_le32 status;
	struct hvs_le32 buf_len;
	struct hvs_le32 buf_off;
};
_Static_assert(sizeof(struct hvsi_rndis_indicate) == 20, "protocol: RNDIS indication");

/* ---- per-packet information --------------------------------------------------------------- */

enum {
	HVSI_PPI_CHECKSUM = 0,
	HVSI_PPI_LARGE_SEND = 2,
	HVSI_PPI_VLAN = 6,
	HVSI_PPI_HASH_VALUE = 8,
	HVSI_PPI_HASH_INFO = 9,
};
#define HVSI_PPI_INTERNAL 0x80000000u /* types of another list */
#define HVSI_PPI_PACKET_ID (HVSI_PPI_INTERNAL | 1u)

struct hvsi_ppi {
	struct hvs_le32 size; /* with this header */
	struct hvs_le32 type;
	struct hvs_le32 off; /* of the payload, from the beginning of this header */
};
_Static_assert(sizeof(struct hvsi_ppi) == 12, "protocol: per-packet information");

/* One of four bytes, as most are. */
struct hvsi_ppi32 {
	struct hvsi_ppi ppi;
	struct hvs_le32 value;
};
_Static_assert(sizeof(struct hvsi_ppi32) == 16, "protocol: per-packet information");

/* HVSI_PPI_CHECKSUM from the guest: the offset of the TCP or UDP header is 10 bits from
 * HVSI_TX_CSUM_L4_SHIFT on; 0: unknown. */
#define HVSI_TX_CSUM_IP4 0x01u
#define HVSI_TX_CSUM_IP6 0x02u
#define HVSI_TX_CSUM_TCP 0x04u
#define HVSI_TX_CSUM_UDP 0x08u
#define HVSI_TX_CSUM_IP_HEADER 0x10u
#define HVSI_TX_CSUM_L4_SHIFT 16
#define HVSI_TX_CSUM_L4_MASK 0x3ffu

/* HVSI_PPI_CHECKSUM to the guest */
#define HVSI_RX_CSUM_TCP_BAD 0x001u
#define HVSI_RX_CSUM_UDP_BAD 0x002u
#define HVSI_RX_CSUM_IP_BAD 0x004u
#define HVSI_RX_CSUM_TCP_GOOD 0x008u
#define HVSI_RX_CSUM_UDP_GOOD 0x010u
#define HVSI_RX_CSUM_IP_GOOD 0x020u
#define HVSI_RX_CSUM_LOOPBACK 0x040u
/* Good, but the field in the frame is not the sum. */
#define HVSI_RX_CSUM_TCP_NO_VALUE 0x080u
#define HVSI_RX_CSUM_IP_NO_VALUE 0x100u

/* HVSI_PPI_LARGE_SEND */
#define HVSI_LSO_MSS_MASK 0xfffffu
#define HVSI_LSO_L4_SHIFT 20
#define HVSI_LSO_L4_MASK 0x3ffu
#define HVSI_LSO_V2 0x40000000u
#define HVSI_LSO_IP6 0x80000000u /* with HVSI_LSO_V2 */

/* HVSI_PPI_VLAN: bits 0-2 priority, 3 DEI, 4-15 VLAN; all ones: none. */

/* HVSI_PPI_PACKET_ID: part of a coalesced segment. */
struct hvsi_ppi_packet_id {
	uint8_t version; /* 1 */
	uint8_t flags;   /* HVSI_RSC_* */
	struct hvs_le16 id;
};
_Static_assert(sizeof(struct hvsi_ppi_packet_id) == 4, "protocol: packet id");
#define HVSI_RSC_FRAGMENT 0x01u
#define HVSI_RSC_FIRST 0x02u
#define HVSI_RSC_LAST 0x04u

/* ---- NDIS objects ------------------------------------------------------------------------- */

/* Packet filter */
#define HVSI_FILTER_DIRECTED 0x01u
#define HVSI_FILTER_MULTICAST 0x02u /* of the list */
#define HVSI_FILTER_ALL_MULTICAST 0x04u
#define HVSI_FILTER_BROADCAST 0x08u
#define HVSI_FILTER_PROMISCUOUS 0x20u

enum {
	HVSI_NDIS_DEFAULT = 0x80,
	HVSI_NDIS_RSS_CAPABILITIES = 0x88,
	HVSI_NDIS_RSS_PARAMETERS = 0x89,
	HVSI_NDIS_OFFLOAD = 0xa7,
	HVSI_NDIS_OFFLOAD_ENCAPSULATION = 0xa8,
};

struct hvsi_ndis_header {
	uint8_t type;
	uint8_t revision;
	struct hvs_le16 size;
};
_Static_assert(sizeof(struct hvsi_ndis_header) == 4, "protocol: NDIS object");

#define HVSI_ENCAPSULATION_ETHERNET 2u
#define HVSI_ETHERNET_HEADER 14u /* bytes */

/* What a checksum covers; UDP and TCP of IPv4 and IPv6 alike. */
#define HVSI_NDIS_CSUM_OPTIONS 0x001u /* IPv4 options, IPv6 extension headers */
#define HVSI_NDIS_CSUM_TCP_OPTIONS 0x004u
#define HVSI_NDIS_CSUM_TCP 0x010u
#define HVSI_NDIS_CSUM_UDP 0x040u
#define HVSI_NDIS_CSUM_IP_HEADER 0x100u

struct hvsi_ndis_csum {
	struct hvs_le32 encapsulation;
	struct hvs_le32 covers; /* HVSI_NDIS_CSUM_* */
};

struct hvsi_ndis_lso {
	struct hvs_le32 encapsulation;
	struct hvs_le32 max_bytes;
	struct hvs_le32 min_segments;
};

/* Revision 3 */
struct hvsi_ndis_offload {
	struct hvsi_ndis_header hdr;
	struct hvsi_ndis_csum ip4_tx;
	struct hvsi_ndis_csum ip4_rx;
	struct hvsi_ndis_csum ip6_tx;
	struct hvsi_ndis_csum ip6_rx;
	struct hvsi_ndis_lso lso1;
	struct hvs_le32 lso1_options;
	struct hvs_le32 ipsec1[7];
	struct hvsi_ndis_lso lso2_ip4;
	struct hvsi_ndis_lso lso2_ip6;
	struct hvs_le32 lso2_ip6_options; /* bits 0, 2: extension headers, TCP options */
	struct hvs_le32 flags;
	uint8_t ipsec2[32];
	uint8_t rsc_ip4;
	uint8_t rsc_ip6;
	uint8_t reserved[2];
	struct hvs_le32 gre[2];
};
_Static_assert(sizeof(struct hvsi_ndis_offload) == 156, "protocol: offload");
_Static_assert(offsetof(struct hvsi_ndis_offload, lso1) == 36, "protocol: offload");
_Static_assert(offsetof(struct hvsi_ndis_offload, lso2_ip4) == 80, "protocol: offload");
_Static_assert(offsetof(struct hvsi_ndis_offload, flags) == 108, "protocol: offload");
_Static_assert(offsetof(struct hvsi_ndis_offload, rsc_ip4) == 144, "protocol: offload");

#define HVSI_NDIS_LSO_IP6_OPTIONS 0x5u

/* Revision 3. Checksums: 0 as it was, 1 off, bit 1 and 2 off by one: 2 sent, 3 received, 4 both.
 * Others: 0 as it was, 1 off, 2 on. */
struct hvsi_ndis_offload_parameters {
	struct hvsi_ndis_header hdr;
	uint8_t ip4_csum;
	uint8_t tcp4_csum;
	uint8_t udp4_csum;
	uint8_t tcp6_csum;
	uint8_t udp6_csum;
	uint8_t lso1;
	uint8_t ipsec1;
	uint8_t lso2_ip4;
	uint8_t lso2_ip6;
	uint8_t tcp4_connection;
	uint8_t tcp6_connection;
	uint8_t reserved;
	struct hvs_le32 flags;
	/* from revision 2 on */
	uint8_t ipsec2;
	uint8_t ipsec2_ip4;
	/* from revision 3 on */
	uint8_t rsc_ip4;
	uint8_t rsc_ip6;
	uint8_t encapsulated;
	uint8_t encapsulations;
	uint8_t reserved2[2];
};
_Static_assert(sizeof(struct hvsi_ndis_offload_parameters) == 28, "protocol: offload parameters");
_Static_assert(offsetof(struct hvsi_ndis_offload_parameters, ipsec2) == 20, "protocol: offload");

#define HVSI_NDIS_OFFLOAD_PARAMETERS_MIN 20u

struct hvsi_ndis_encapsulation {
	struct hvs_le32 enabled; /* HVSI_NDIS_ENCAPSULATION_ON; 2: off */
	struct hvs_le32 type;
	struct hvs_le32 header_bytes;
};

#define HVSI_NDIS_ENCAPSULATION_ON 1u

struct hvsi_ndis_offload_encapsulation {
	struct hvsi_ndis_header hdr;
	struct hvsi_ndis_encapsulation ip4;
	struct hvsi_ndis_encapsulation ip6;
};
_Static_assert(sizeof(struct hvsi_ndis_offload_encapsulation) == 28, "protocol: encapsulation");

/* Revision 2, which has two bytes more at the end that nobody sends. */
struct hvsi_ndis_rss_capabilities {
	struct hvsi_ndis_header hdr;
	struct hvs_le32 flags;
	struct hvs_le32 interrupt_messages;
	struct hvs_le32 queues;
	struct hvs_le16 table_entries;
};
_Static_assert(sizeof(struct hvsi_ndis_rss_capabilities) == 18, "protocol: RSS capabilities");

#define HVSI_NDIS_RSS_CAN_TOEPLITZ 0x00000001u
#define HVSI_NDIS_RSS_CAN_TCP4 0x00000100u
#define HVSI_NDIS_RSS_CAN_TCP6 0x00000200u
#define HVSI_NDIS_RSS_CAN_TCP6_EX 0x00000400u
#define HVSI_NDIS_RSS_CAN_UDP4 0x00000800u
#define HVSI_NDIS_RSS_CAN_UDP6 0x00001000u

/* Revision 2; table and key are somewhere behind. */
struct hvsi_ndis_rss_parameters {
	struct hvsi_ndis_header hdr;
	struct hvs_le16 flags; /* HVSI_NDIS_RSS_SAME_*, HVSI_NDIS_RSS_DISABLE */
	struct hvs_le16 base_cpu;
	struct hvs_le32 hash; /* HVSI_HASH_* */
	struct hvs_le16 table_bytes;
	struct hvs_le16 reserved;
	struct hvs_le32 table_off;
	struct hvs_le16 key_bytes;
	struct hvs_le16 reserved2;
	struct hvs_le32 key_off;
	struct hvs_le32 masks_off;
	struct hvs_le32 mask_count;
	struct hvs_le32 mask_bytes;
};
_Static_assert(sizeof(struct hvsi_ndis_rss_parameters) == 40, "protocol: RSS parameters");
_Static_assert(offsetof(struct hvsi_ndis_rss_parameters, masks_off) == 28, "protocol: RSS");

#define HVSI_NDIS_RSS_PARAMETERS_MIN 28u /* as far as the key's offset */

#define HVSI_NDIS_RSS_SAME_HASH 0x02u
#define HVSI_NDIS_RSS_SAME_TABLE 0x04u
#define HVSI_NDIS_RSS_SAME_KEY 0x08u
#define HVSI_NDIS_RSS_DISABLE 0x10u

/* Function and types of a hash, as in RSS parameters and HVSI_PPI_HASH_INFO. */
#define HVSI_HASH_FUNCTION_MASK 0x000000ffu
#define HVSI_HASH_TOEPLITZ 0x00000001u
#define HVSI_HASH_IP4 0x00000100u
#define HVSI_HASH_TCP4 0x00000200u
#define HVSI_HASH_IP6 0x00000400u
#define HVSI_HASH_IP6_EX 0x00000800u
#define HVSI_HASH_TCP6 0x00001000u
#define HVSI_HASH_TCP6_EX 0x00002000u
#define HVSI_HASH_UDP4 0x00004000u
#define HVSI_HASH_UDP6 0x00008000u
#define HVSI_HASH_UDP6_EX 0x00010000u

struct hvsi_ndis_link_state {
	struct hvsi_ndis_header hdr;
	struct hvs_le32 connected; /* 1 yes, 2 no */
	struct hvs_le32 duplex;    /* 2 full */
	struct hvs_le32 reserved;
	struct hvs_le64 tx_bits_per_second;
	struct hvs_le64 rx_bits_per_second;
	struct hvs_le32 pause;
	struct hvs_le32 autonegotiated;
};
_Static_assert(sizeof(struct hvsi_ndis_link_state) == 40, "protocol: link state");

/* A keyword and its value, both UTF-16 without an end, behind this. */
struct hvsi_ndis_config_parameter {
	struct hvs_le32 name_off;
	struct hvs_le32 name_len;
	struct hvs_le32 type;
	struct hvs_le32 value_off;
	struct hvs_le32 value_len;
};
_Static_assert(sizeof(struct hvsi_ndis_config_parameter) == 20, "protocol: keyword");

enum { HVSI_NDIS_CONFIG_INTEGER = 0, HVSI_NDIS_CONFIG_STRING = 2 };

#endif
