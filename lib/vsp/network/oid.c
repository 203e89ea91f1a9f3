/* SPDX-License-Identifier: MIT */
/* What guests query and set. */
#include "vsp/network/oid.h"

#include "vsp/network/rndis_impl.h"

#include <string.h>

#define VENDOR_ID 0x00155du /* of the addresses that Hyper-V gives */
#define DRIVER_VERSION 0x0100u
#define BUFFER_SPACE 262144u /* nobody uses it */

/* May look ahead, transfers don't pend, no loopback, 802.1p, 802.1Q. */
#define MAC_OPTIONS 0x24du

static const char vendor_description[] = "Synthetic Network Adapter";

/* One query: what it asks for, and the answer so far. */
struct query {
	const struct hvsi_rndis *r;
	const struct hvsi_rndis_stats *stats;
	uint32_t oid;
	struct hvsi_info asked;
	uint8_t *answer;
	uint32_t len;
};

/* Every answer is one of these. They return a status. */

static uint32_t answer_bytes(struct query *q, const void *bytes, size_t len)
{
	memcpy(q->answer, bytes, len);
	q->len = (uint32_t)len;
	return HVSI_RNDIS_SUCCESS;
}

static uint32_t answer16(struct query *q, uint16_t value)
{
	struct hvs_le16 wire = hvsi_le16(value);

	return answer_bytes(q, &wire, sizeof(wire));
}

static uint32_t answer32(struct query *q, uint32_t value)
{
	struct hvs_le32 wire = hvsi_le32(value);

	return answer_bytes(q, &wire, sizeof(wire));
}

static uint32_t answer64(struct query *q, uint64_t value)
{
	struct hvs_le64 wire = hvsi_le64(value);

	return answer_bytes(q, &wire, sizeof(wire));
}

static uint32_t answer_mac(struct query *q, uint64_t mac)
{
	uint8_t bytes[6];

	hvsi_mac_bytes(mac, bytes);
	return answer_bytes(q, bytes, sizeof(bytes));
}

/* ---- supported list ------------------------------------------------------------------------- */

static const uint32_t common_oids[] = {
	HVSI_OID_SUPPORTED_LIST,
	HVSI_OID_HARDWARE_STATUS,
	HVSI_OID_MEDIA_SUPPORTED,
	HVSI_OID_MEDIA_IN_USE,
	HVSI_OID_MAXIMUM_LOOKAHEAD,
	HVSI_OID_CURRENT_LOOKAHEAD,
	HVSI_OID_MAXIMUM_FRAME_SIZE,
	HVSI_OID_MAXIMUM_TOTAL_SIZE,
	HVSI_OID_TRANSMIT_BLOCK_SIZE,
	HVSI_OID_RECEIVE_BLOCK_SIZE,
	HVSI_OID_LINK_SPEED,
	HVSI_OID_TRANSMIT_BUFFER_SPACE,
	HVSI_OID_RECEIVE_BUFFER_SPACE,
	HVSI_OID_VENDOR_ID,
	HVSI_OID_VENDOR_DESCRIPTION,
	HVSI_OID_VENDOR_DRIVER_VERSION,
	HVSI_OID_DRIVER_VERSION,
	HVSI_OID_CURRENT_PACKET_FILTER,
	HVSI_OID_PROTOCOL_OPTIONS,
	HVSI_OID_MAC_OPTIONS,
	HVSI_OID_MEDIA_CONNECT_STATUS,
	HVSI_OID_MAXIMUM_SEND_PACKETS,
	HVSI_OID_NETWORK_LAYER_ADDRESSES,
	HVSI_OID_XMIT_OK,
	HVSI_OID_RCV_OK,
	HVSI_OID_XMIT_ERROR,
	HVSI_OID_RCV_ERROR,
	HVSI_OID_RCV_NO_BUFFER,
	HVSI_OID_FRIENDLY_NAME,
	HVSI_OID_PERMANENT_ADDRESS,
	HVSI_OID_CURRENT_ADDRESS,
	HVSI_OID_MULTICAST_LIST,
	HVSI_OID_MAXIMUM_LIST_SIZE,
	HVSI_OID_ALIGNMENT_ERROR,
	HVSI_OID_ONE_COLLISION,
	HVSI_OID_MORE_COLLISIONS,
	HVSI_OID_CONFIG_PARAMETER,
};

static const uint32_t ndis6_oids[] = {
	HVSI_OID_LINK_PARAMETERS,
	HVSI_OID_LINK_STATE,
	HVSI_OID_MAX_LINK_SPEED,
	HVSI_OID_BYTES_RCV,
	HVSI_OID_BYTES_XMIT,
	HVSI_OID_OFFLOAD_PARAMETERS,
	HVSI_OID_OFFLOAD_ENCAPSULATION,
	HVSI_OID_OFFLOAD_CAPABILITIES,
	HVSI_OID_OFFLOAD_CURRENT_CONFIG,
};

static const uint32_t ndis630_oids[] = {
	HVSI_OID_RSS_CAPABILITIES,
	HVSI_OID_RSS_PARAMETERS,
};

#define COUNT(oids) (sizeof(oids) / sizeof(*(oids)))
_Static_assert((COUNT(common_oids) + COUNT(ndis6_oids) + COUNT(ndis630_oids)) * 4 <=
		       HVSI_OID_MAX_ANSWER,
	       "the list fits an answer");

static void append_oids(struct query *q, const uint32_t *oids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct hvs_le32 oid = hvsi_le32(oids[i]);

		memcpy(q->answer + q->len, &oid, sizeof(oid));
		q->len += (uint32_t)sizeof(oid);
	}
}

static uint32_t supported_list(struct query *q)
{
	uint16_t major = q->r->ndis_major;

	if (major != 5 && major != 6)
		return HVSI_RNDIS_BAD_VERSION;
	append_oids(q, common_oids, COUNT(common_oids));
	if (major == 6)
		append_oids(q, ndis6_oids, COUNT(ndis6_oids));
	if (major == 6 && q->r->ndis_minor >= 30)
		append_oids(q, ndis630_oids, COUNT(ndis630_oids));
	return HVSI_RNDIS_SUCCESS;
}

/* ---- name ----------------------------------------------------------------------------------- */

/* The next character, which advances *s; what is no UTF-8 counts as one each byte. */
static uint32_t utf8_next(const char **s)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	const uint8_t *b = (const uint8_t *)*s;
	unsigned more = b[0] < 0x80 ? 0 : b[0] < 0xe0 ? 1 : b[0] < 0xf0 ? 2 : 3;
	uint32_t c = more ? b[0] & (0x3fu >> more) : b[0];

	*s += 1;
	if (b[0] >= 0x80 && (b[0] < 0xc0 || b[0] >= 0xf8))
		return 0xfffd;
	for (unsigned i = 1; i <= more; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0xfffd;
		c = c << 6 | (b[i] & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0xfffd;
	*s += more;
	return c;
}

/* As many UTF-16 units as a name may have, with the end; the rest is 0. */
static uint32_t friendly_name(struct query *q)
{
	/* Linux takes this one for none. */
	const char *name = q->r->name[0] ? q->r->name : "Network Adapter";
	struct hvs_le16 units[HVSI_OID_MAX_ANSWER / 2] = {0};
	size_t n = 0;

	_Static_assert(sizeof(units) / sizeof(*units) > sizeof(q->r->name), "no more than bytes");
	while (*name) {
		uint32_t c = utf8_next(&name);

		if (c >= 0x10000) {
			units[n++] = hvsi_le16((uint16_t)(0xd7c0 + (c >> 10)));
			c = 0xdc00 | (c & 0x3ff);
		}
		units[n++] = hvsi_le16((uint16_t)c);
	}
	return answer_bytes(q, units, sizeof(units));
}

/* ---- link ----------------------------------------------------------------------------------- */

uint32_t hvsi_rndis_speed(const struct hvsi_rndis *r)
{
	uint64_t hundreds = atomic_load(&r->bits_per_second) / 100;

	return hundreds > UINT32_MAX ? UINT32_MAX : (uint32_t)hundreds;
}

static uint32_t max_link_speed(struct query *q)
{
	uint64_t speed = atomic_load(&q->r->bits_per_second);
	struct hvs_le64 both_ways[2] = {hvsi_le64(speed), hvsi_le64(speed)};

	return answer_bytes(q, both_ways, sizeof(both_ways));
}

static uint32_t link_state(struct query *q)
{
	uint64_t speed = atomic_load(&q->r->bits_per_second);
	struct hvsi_ndis_link_state state = {
		.hdr = {HVSI_NDIS_DEFAULT, 1, hvsi_le16(sizeof(state))},
		.connected = hvsi_le32(atomic_load(&q->r->link_up) ? 1 : 2),
		.duplex = hvsi_le32(2),
		.tx_bits_per_second = hvsi_le64(speed),
		.rx_bits_per_second = hvsi_le64(speed),
	};

	return answer_bytes(q, &state, sizeof(state));
}

/* ---- statistics ----------------------------------------------------------------------------- */

static uint64_t sum(const uint64_t values[3])
{
	return values[0] + values[1] + values[2];
}

/* oid is the n-th of a group of six. */
static uint64_t traffic(const struct hvsi_rndis_traffic *t, uint32_t n)
{
	return n % 2 ? t->frames[n / 2] : t->bytes[n / 2];
}

/* False: it is none. *wide: 64 bits, unless the guest has no room for them. */
static bool statistic(const struct query *q, uint64_t *value, bool *wide)
{
	const struct hvsi_rndis_stats *s = q->stats;

	*wide = q->oid > HVSI_OID_RCV_NO_BUFFER;
	if (q->oid >= HVSI_OID_DIRECTED_BYTES_XMIT && q->oid <= HVSI_OID_BROADCAST_FRAMES_XMIT) {
		*value = traffic(&s->tx, q->oid - HVSI_OID_DIRECTED_BYTES_XMIT);
		return true;
	}
	if (q->oid >= HVSI_OID_DIRECTED_BYTES_RCV && q->oid <= HVSI_OID_BROADCAST_FRAMES_RCV) {
		*value = traffic(&s->rx, q->oid - HVSI_OID_DIRECTED_BYTES_RCV);
		return true;
	}
	switch (q->oid) {
	case HVSI_OID_XMIT_OK:
		*value = sum(s->tx.frames);
		return true;
	case HVSI_OID_RCV_OK:
		*value = sum(s->rx.frames);
		return true;
	case HVSI_OID_XMIT_ERROR:
		*value = s->tx_errors;
		return true;
	case HVSI_OID_RCV_ERROR:
		*value = s->rx_errors;
		return true;
	case HVSI_OID_RCV_NO_BUFFER:
		*value = s->rx_no_buffer;
		return true;
	case HVSI_OID_RCV_CRC_ERROR:
		*value = 0;
		return true;
	case HVSI_OID_BYTES_RCV:
		*value = sum(s->rx.bytes);
		return true;
	case HVSI_OID_BYTES_XMIT:
		*value = sum(s->tx.bytes);
		return true;
	case HVSI_OID_RCV_DISCARDS:
		*value = s->rx_no_buffer + s->rx_errors;
		return true;
	case HVSI_OID_XMIT_DISCARDS:
		*value = s->tx_discards;
		return true;
	default:
		return false;
	}
}

static uint32_t answer_counter(struct query *q, uint64_t value, bool wide)
{
	if (q->asked.len == sizeof(struct hvs_le64))
		wide = true;
	else if (q->asked.len == sizeof(struct hvs_le32))
		wide = false;
	return wide ? answer64(q, value) : answer32(q, (uint32_t)value);
}

/* ---- queries -------------------------------------------------------------------------------- */

static uint32_t query_number(struct query *q)
{
	switch (q->oid) {
	case HVSI_OID_HARDWARE_STATUS: /* ready */
	case HVSI_OID_MEDIA_SUPPORTED: /* Ethernet */
	case HVSI_OID_MEDIA_IN_USE:
	case HVSI_OID_PHYSICAL_MEDIUM:
	case HVSI_OID_PROTOCOL_OPTIONS:
	case HVSI_OID_VLAN_ID:
	case HVSI_OID_ETHERNET_OPTIONS:
	case HVSI_OID_ALIGNMENT_ERROR:
	case HVSI_OID_ONE_COLLISION:
	case HVSI_OID_MORE_COLLISIONS:
		return answer32(q, 0);
	case HVSI_OID_MAXIMUM_LOOKAHEAD:
	case HVSI_OID_CURRENT_LOOKAHEAD:
	case HVSI_OID_MAXIMUM_FRAME_SIZE:
		return answer32(q, q->r->mtu);
	case HVSI_OID_MAXIMUM_TOTAL_SIZE:
	case HVSI_OID_TRANSMIT_BLOCK_SIZE:
	case HVSI_OID_RECEIVE_BLOCK_SIZE:
		return answer32(q, q->r->mtu + HVSI_ETHERNET_HEADER);
	case HVSI_OID_TRANSMIT_BUFFER_SPACE:
	case HVSI_OID_RECEIVE_BUFFER_SPACE:
		return answer32(q, BUFFER_SPACE);
	case HVSI_OID_VENDOR_ID:
		return answer32(q, VENDOR_ID);
	case HVSI_OID_VENDOR_DRIVER_VERSION:
		return answer32(q, DRIVER_VERSION);
	case HVSI_OID_DRIVER_VERSION:
		return answer16(q, DRIVER_VERSION);
	case HVSI_OID_CURRENT_PACKET_FILTER:
		return answer32(q, atomic_load(&q->r->filter));
	case HVSI_OID_MAC_OPTIONS:
		return answer32(q, MAC_OPTIONS);
	case HVSI_OID_MEDIA_CONNECT_STATUS:
		return answer32(q, atomic_load(&q->r->link_up) ? 0 : 1);
	case HVSI_OID_MAXIMUM_SEND_PACKETS:
		return answer32(q, UINT32_MAX); /* it does not count them */
	case HVSI_OID_MAXIMUM_LIST_SIZE:
		return answer32(q, HVSI_RNDIS_MAX_MULTICAST);
	default:
		return HVSI_RNDIS_NOT_SUPPORTED;
	}
}

static uint32_t query_multicast(struct query *q)
{
	unsigned count = atomic_load(&q->r->multicast_count);

	for (size_t i = 0; i < count; i++)
		hvsi_mac_bytes(atomic_load(&q->r->multicast[i]), q->answer + i * 6);
	q->len = count * 6;
	return HVSI_RNDIS_SUCCESS;
}

static uint32_t query_offloads(struct query *q, uint32_t offloads)
{
	struct hvsi_ndis_offload to;

	hvsi_offload_put(offloads, &to);
	return answer_bytes(q, &to, sizeof(to));
}

static uint32_t query(struct query *q)
{
	struct hvsi_ndis_offload_encapsulation encapsulation;
	struct hvsi_ndis_rss_capabilities rss;
	uint64_t value;
	bool wide;

	switch (q->oid) {
	case HVSI_OID_SUPPORTED_LIST:
		return supported_list(q);
	case HVSI_OID_VENDOR_DESCRIPTION:
		return answer_bytes(q, vendor_description, sizeof(vendor_description));
	case HVSI_OID_FRIENDLY_NAME:
		return friendly_name(q);
	case HVSI_OID_LINK_SPEED:
		return answer32(q, hvsi_rndis_speed(q->r));
	case HVSI_OID_MAX_LINK_SPEED:
		return max_link_speed(q);
	case HVSI_OID_LINK_STATE:
		return link_state(q);
	case HVSI_OID_PERMANENT_ADDRESS:
		return answer_mac(q, q->r->permanent);
	case HVSI_OID_CURRENT_ADDRESS:
		return answer_mac(q, atomic_load(&q->r->mac));
	case HVSI_OID_MULTICAST_LIST:
		return query_multicast(q);
	case HVSI_OID_OFFLOAD_ENCAPSULATION:
		hvsi_offload_put_encapsulation(&encapsulation);
		return answer_bytes(q, &encapsulation, sizeof(encapsulation));
	case HVSI_OID_RSS_CAPABILITIES:
		hvsi_rss_put_capabilities(q->r, &rss);
		return answer_bytes(q, &rss, sizeof(rss));
	case HVSI_OID_OFFLOAD_CURRENT_CONFIG:
		return query_offloads(q, atomic_load(&q->r->offloads_on));
	case HVSI_OID_OFFLOAD_CAPABILITIES:
		return query_offloads(q, hvsi_rndis_can(q->r));
	default:
		if (statistic(q, &value, &wide))
			return answer_counter(q, value, wide);
		return query_number(q);
	}
}

uint32_t hvsi_oid_query(const struct hvsi_rndis *r, const struct hvsi_rndis_env *env, uint32_t oid,
			struct hvsi_info asked, uint8_t *answer, uint32_t *len)
{
	struct query q = {
		.r = r, .stats = &env->stats, .oid = oid, .asked = asked, .answer = answer};
	uint32_t status = query(&q);

	*len = q.len;
	return status;
}

/* ---- sets ----------------------------------------------------------------------------------- */

static uint32_t set_filter(struct hvsi_rndis *r, struct hvsi_info info, uint32_t *changes)
{
	struct hvs_le32 filter;

	if (info.len < sizeof(filter))
		return HVSI_RNDIS_INVALID_LENGTH;
	memcpy(&filter, info.bytes, sizeof(filter));
	atomic_store(&r->filter, hvsi_get32(filter));
	*changes |= HVSI_RNDIS_CHANGED_FILTER;
	return HVSI_RNDIS_SUCCESS;
}

static uint32_t set_multicast(struct hvsi_rndis *r, struct hvsi_info info)
{
	unsigned count = info.len / 6;

	if (info.len % 6)
		return HVSI_RNDIS_INVALID_LENGTH;
	if (count > HVSI_RNDIS_MAX_MULTICAST)
		return HVSI_RNDIS_MULTICAST_FULL;
	for (size_t i = 0; i < count; i++)
		if (!(info.bytes[i * 6] & HVSI_MAC_GROUP))
			return HVSI_RNDIS_INVALID_DATA;
	for (size_t i = 0; i < count; i++)
		atomic_store(&r->multicast[i], hvsi_mac(info.bytes + i * 6));
	atomic_store(&r->multicast_count, count);
	return HVSI_RNDIS_SUCCESS;
}

/* The index; the count: it is not there. */
static unsigned find_multicast(const struct hvsi_rndis *r, uint64_t mac)
{
	unsigned count = atomic_load(&r->multicast_count), i = 0;

	while (i < count && atomic_load(&r->multicast[i]) != mac)
		i++;
	return i;
}

static uint32_t change_multicast(struct hvsi_rndis *r, struct hvsi_info info, bool add)
{
	unsigned count = atomic_load(&r->multicast_count), at;

	if (info.len < 6)
		return HVSI_RNDIS_INVALID_LENGTH;
	if (!(info.bytes[0] & HVSI_MAC_GROUP))
		return HVSI_RNDIS_INVALID_DATA;
	at = find_multicast(r, hvsi_mac(info.bytes));
	if (!add && at == count)
		return HVSI_RNDIS_MULTICAST_NOT_FOUND;
	if (!add) {
		atomic_store(&r->multicast[at], atomic_load(&r->multicast[count - 1]));
		atomic_store(&r->multicast_count, count - 1);
		return HVSI_RNDIS_SUCCESS;
	}
	if (at < count)
		return HVSI_RNDIS_MULTICAST_EXISTS;
	if (count == HVSI_RNDIS_MAX_MULTICAST)
		return HVSI_RNDIS_MULTICAST_FULL;
	atomic_store(&r->multicast[count], hvsi_mac(info.bytes));
	atomic_store(&r->multicast_count, count + 1);
	return HVSI_RNDIS_SUCCESS;
}

uint32_t hvsi_oid_set(struct hvsi_rndis *r, const struct hvsi_rndis_env *env, uint32_t oid,
		      struct hvsi_info info, uint32_t *changes)
{
	switch (oid) {
	case HVSI_OID_CURRENT_PACKET_FILTER:
		return set_filter(r, info, changes);
	case HVSI_OID_OFFLOAD_PARAMETERS:
		return hvsi_offload_set(r, info, changes);
	case HVSI_OID_OFFLOAD_ENCAPSULATION:
		return hvsi_offload_set_encapsulation(info);
	case HVSI_OID_CONFIG_PARAMETER:
		return hvsi_offload_set_keyword(r, env, info, changes);
	case HVSI_OID_RSS_PARAMETERS:
		return hvsi_rss_set(r, info, changes);
	case HVSI_OID_CURRENT_ADDRESS:
		if (info.len < 6)
			return HVSI_RNDIS_INVALID_LENGTH;
		return hvsi_rndis_set_mac(r, env, info.bytes, changes);
	case HVSI_OID_MULTICAST_LIST:
		return set_multicast(r, info);
	case HVSI_OID_ADD_MULTICAST:
	case HVSI_OID_DELETE_MULTICAST:
		return change_multicast(r, info, oid == HVSI_OID_ADD_MULTICAST);
	case HVSI_OID_NETWORK_LAYER_ADDRESSES: /* told, nothing to be done */
	case HVSI_OID_CURRENT_LOOKAHEAD:
	case HVSI_OID_PROTOCOL_OPTIONS:
	case HVSI_OID_LINK_PARAMETERS:
		return HVSI_RNDIS_SUCCESS;
	default:
		return HVSI_RNDIS_NOT_SUPPORTED;
	}
}
