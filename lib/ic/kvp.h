/* SPDX-License-Identifier: MIT */
/*
 * What key-value pair exchange has on the wire, and how it is written and read.
 *
 *   kvp_codec.c  pairs (pure)
 *   kvp_ip.c     addresses of adapters, as text and in binary (pure)
 *   kvp.c        requests
 *
 * Every message has its fixed size and zeros where nothing stands: guests answer in the bytes they
 * got, and rely on zeros behind their strings.
 */
#ifndef HVSI_IC_KVP_H
#define HVSI_IC_KVP_H

#include "util/le.h"

#include <hvstack/kvp.h>

enum hvsi_kvp_op {
	HVSI_KVP_GET = 0,
	HVSI_KVP_SET = 1,
	HVSI_KVP_DELETE = 2,
	HVSI_KVP_ENUMERATE = 3,
	HVSI_KVP_GET_IP = 4,
	HVSI_KVP_SET_IP = 5,
};

/* Types of values: those of the registry, and one that Linux and FreeBSD have for itself. */
enum {
	HVSI_KVP_STRING = 1,
	HVSI_KVP_EXPANDABLE = 2,
	HVSI_KVP_U32 = 4,
	HVSI_KVP_U64_UNIX = 8,
	HVSI_KVP_U64 = 11,
};

struct hvsi_kvp_value {
	struct hvs_le32 type;
	struct hvs_le32 key_bytes; /* with the NUL */
	struct hvs_le32 value_bytes;
	uint8_t key[512]; /* UTF-16LE, NUL */
	uint8_t value[2048];
};
_Static_assert(sizeof(struct hvsi_kvp_value) == 2572, "KVP value");

struct hvsi_kvp_delete {
	struct hvs_le32 key_bytes;
	uint8_t key[512];
};

struct hvsi_kvp_item {
	struct hvs_le32 index;
	struct hvsi_kvp_value value;
};

struct hvsi_kvp_pair_message {
	uint8_t op;
	uint8_t pool;
	uint8_t reserved[2];
	union {
		struct hvsi_kvp_value value; /* get, set */
		struct hvsi_kvp_delete delete;
		struct hvsi_kvp_item item; /* enumerate */
	} u;
};
_Static_assert(sizeof(struct hvsi_kvp_pair_message) == 2580, "KVP pair");

#define HVSI_KVP_IP_FAMILY_4 0x1u
#define HVSI_KVP_IP_FAMILY_6 0x2u
#define HVSI_KVP_ADAPTER_BYTES 256u /* UTF-16LE, NUL */

/* Up to version 4.0. Lists have ';' between their elements; UTF-16LE. */
struct hvsi_kvp_ip_text {
	uint8_t adapter[HVSI_KVP_ADAPTER_BYTES];
	uint8_t family;
	uint8_t dhcp;
	uint8_t addresses[2048];
	uint8_t subnets[2048]; /* of the addresses, in their order */
	uint8_t gateways[1024];
	uint8_t dns[2048];
};
_Static_assert(sizeof(struct hvsi_kvp_ip_text) == 7426, "KVP IP, text");

/* Addresses of one use. */
struct hvsi_kvp_ip_counts {
	struct hvs_le32 ipv4;
	struct hvs_le32 ipv6;
};

/* From version 5.0 on. */
struct hvsi_kvp_ip_binary {
	struct hvsi_kvp_ip_counts addresses;
	struct hvsi_kvp_ip_counts gateways;
	struct hvsi_kvp_ip_counts dns;
	uint8_t adapter[HVSI_KVP_ADAPTER_BYTES];
	uint8_t family;
	uint8_t dhcp;
	uint8_t reserved[2];
	uint8_t ipv4[HVS_KVP_MAX_ADDRESSES][4];
	uint8_t ipv6[HVS_KVP_MAX_ADDRESSES][16];
	uint8_t masks[HVS_KVP_MAX_ADDRESSES][4];
	struct hvs_le32 prefixes[HVS_KVP_MAX_ADDRESSES];
	uint8_t gateways4[HVS_KVP_MAX_GATEWAYS][4];
	uint8_t gateways6[HVS_KVP_MAX_GATEWAYS][16];
	uint8_t dns4[HVS_KVP_MAX_ADDRESSES][4];
	uint8_t dns6[HVS_KVP_MAX_ADDRESSES][16];
	struct hvs_le16 origins[2 * HVS_KVP_MAX_ADDRESSES]; /* IPv4's, then IPv6's, without a gap */
};
_Static_assert(sizeof(struct hvsi_kvp_ip_binary) == 3712, "KVP IP, binary");

#define HVSI_KVP_IP_MESSAGE 7428u /* bytes, in either form */
/* Where the record begins: only the binary form has padding in front of it. */
#define HVSI_KVP_IP_TEXT_AT 2u
#define HVSI_KVP_IP_BINARY_AT 4u

/* ---- pairs ----------------------------------------------------------------------------------- */

/* A message about this key; value NULL: none. 0, -EINVAL (empty, not UTF-8, too long). */
int hvsi_kvp_write(struct hvsi_kvp_pair_message *m, enum hvsi_kvp_op op, enum hvs_kvp_pool pool,
		   const char *key, const char *value);

/* A pair that the guest has answered with. */
struct hvsi_kvp_pair {
	char key[HVS_KVP_TEXT_MAX];
	char value[HVS_KVP_TEXT_MAX];
};

enum hvsi_kvp_read {
	HVSI_KVP_OK,
	HVSI_KVP_NO_KEY, /* there is no pair */
	HVSI_KVP_BAD,    /* makes no sense */
};
/* body, of which len bytes are there, begins with a value record. */
enum hvsi_kvp_read hvsi_kvp_read(const uint8_t *body, uint32_t len, struct hvsi_kvp_pair *pair);

/* ---- addresses ------------------------------------------------------------------------------- */

/* How guests want an adapter to be named: when asked for its addresses, and when given some. */
void hvsi_kvp_adapter_of_mac(const uint8_t mac[6], uint8_t adapter[HVSI_KVP_ADAPTER_BYTES]);
void hvsi_kvp_adapter_of_guid(const struct hvs_guid *id, uint8_t adapter[HVSI_KVP_ADAPTER_BYTES]);

/* Are its counts in range, and its addresses all right? */
bool hvsi_kvp_ip_ok(const struct hvs_kvp_ip *ip);

/* Fill in a zeroed record, but for the adapter; ip is all right. The text: 0, -EMSGSIZE. */
int hvsi_kvp_ip_write_text(struct hvsi_kvp_ip_text *to, const struct hvs_kvp_ip *ip);
void hvsi_kvp_ip_write_binary(struct hvsi_kvp_ip_binary *to, const struct hvs_kvp_ip *ip);

/* The guest's addresses. */
struct hvsi_kvp_ip_found {
	struct hvs_kvp_ip ip; /* names what follows */
	struct hvs_kvp_address addresses[2 * HVS_KVP_MAX_ADDRESSES];
	struct hvs_kvp_address gateways[2 * HVS_KVP_MAX_GATEWAYS];
	struct hvs_kvp_address dns[2 * HVS_KVP_MAX_ADDRESSES];
	uint32_t malformed; /* entries left out, and networks that make no sense */
};
/* False: it makes no sense at all. The text does always. */
void hvsi_kvp_ip_read_text(const struct hvsi_kvp_ip_text *from, struct hvsi_kvp_ip_found *to);
bool hvsi_kvp_ip_read_binary(const struct hvsi_kvp_ip_binary *from, struct hvsi_kvp_ip_found *to);

#endif
