/* SPDX-License-Identifier: MIT */
/* What the NIC does for the guest: what it is told, and how it chooses. */
#include "vsp/network/rndis_impl.h"

#include <string.h>

#define LSO_MIN_SEGMENTS 2u

/* ---- what the guest is told ----------------------------------------------------------------- */

static struct hvsi_ndis_csum csum4(bool ip, bool tcp, bool udp)
{
	uint32_t covers = 0;

	if (ip)
		covers |= HVSI_NDIS_CSUM_IP_HEADER | HVSI_NDIS_CSUM_OPTIONS;
	if (tcp)
		covers |= HVSI_NDIS_CSUM_TCP | HVSI_NDIS_CSUM_TCP_OPTIONS | HVSI_NDIS_CSUM_OPTIONS;
	if (udp)
		covers |= HVSI_NDIS_CSUM_UDP | HVSI_NDIS_CSUM_OPTIONS;
	return (struct hvsi_ndis_csum){
		.encapsulation = hvsi_le32(covers ? HVSI_ENCAPSULATION_ETHERNET : 0),
		.covers = hvsi_le32(covers),
	};
}

static struct hvsi_ndis_csum csum6(bool tcp, bool udp)
{
	return csum4(false, tcp, udp);
}

static struct hvsi_ndis_lso lso(bool on)
{
	if (!on)
		return (struct hvsi_ndis_lso){0};
	return (struct hvsi_ndis_lso){
		.encapsulation = hvsi_le32(HVSI_ENCAPSULATION_ETHERNET),
		.max_bytes = hvsi_le32(HVSI_RNDIS_LSO_MAX),
		.min_segments = hvsi_le32(LSO_MIN_SEGMENTS),
	};
}

/* Revision 3 for everyone: all drivers have room for it, and some want no less. */
void hvsi_offload_put(uint32_t on, struct hvsi_ndis_offload *to)
{
	*to = (struct hvsi_ndis_offload){
		.hdr = {HVSI_NDIS_OFFLOAD, 3, hvsi_le16(sizeof(*to))},
		.ip4_tx = csum4(on & HVSI_OFFLOAD_TX_IP4, on & HVSI_OFFLOAD_TX_TCP4,
				on & HVSI_OFFLOAD_TX_UDP4),
		.ip4_rx = csum4(on & HVSI_OFFLOAD_RX_IP4, on & HVSI_OFFLOAD_RX_TCP4,
				on & HVSI_OFFLOAD_RX_UDP4),
		.ip6_tx = csum6(on & HVSI_OFFLOAD_TX_TCP6, on & HVSI_OFFLOAD_TX_UDP6),
		.ip6_rx = csum6(on & HVSI_OFFLOAD_RX_TCP6, on & HVSI_OFFLOAD_RX_UDP6),
		.lso2_ip4 = lso(on & HVSI_OFFLOAD_LSO4),
		.lso2_ip6 = lso(on & HVSI_OFFLOAD_LSO6),
		.lso2_ip6_options =
			hvsi_le32(on & HVSI_OFFLOAD_LSO6 ? HVSI_NDIS_LSO_IP6_OPTIONS : 0),
		.rsc_ip4 = on & HVSI_OFFLOAD_RSC4 ? 1 : 0,
		.rsc_ip6 = on & HVSI_OFFLOAD_RSC6 ? 1 : 0,
	};
}

static struct hvsi_ndis_encapsulation ethernet(void)
{
	return (struct hvsi_ndis_encapsulation){
		.enabled = hvsi_le32(HVSI_NDIS_ENCAPSULATION_ON),
		.type = hvsi_le32(HVSI_ENCAPSULATION_ETHERNET),
		.header_bytes = hvsi_le32(HVSI_ETHERNET_HEADER),
	};
}

void hvsi_offload_put_encapsulation(struct hvsi_ndis_offload_encapsulation *to)
{
	*to = (struct hvsi_ndis_offload_encapsulation){
		.hdr = {HVSI_NDIS_OFFLOAD_ENCAPSULATION, 1, hvsi_le16(sizeof(*to))},
		.ip4 = ethernet(),
		.ip6 = ethernet(),
	};
}

/* ---- what it sets --------------------------------------------------------------------------- */

/*
 * An object as far as its header says it goes, which need not be as far as its revision would; the
 * rest is 0. Returns a status.
 */
static uint32_t read_object(struct hvsi_info info, uint8_t type, uint32_t min, void *to,
			    uint32_t max)
{
	struct hvsi_ndis_header hdr;
	uint32_t size;

	if (info.len < sizeof(hdr))
		return HVSI_RNDIS_INVALID_LENGTH;
	memcpy(&hdr, info.bytes, sizeof(hdr));
	size = hvsi_get16(hdr.size);
	if (hdr.type != type || hdr.revision < 1)
		return HVSI_RNDIS_INVALID_DATA;
	if (size < min || size > info.len)
		return HVSI_RNDIS_INVALID_LENGTH;
	memset(to, 0, max);
	memcpy(to, info.bytes, size < max ? size : max);
	return HVSI_RNDIS_SUCCESS;
}

static void turn(uint32_t *set, uint32_t bits, bool on)
{
	*set = on ? *set | bits : *set & ~bits;
}

static bool choose_csum(uint32_t *set, uint8_t value, uint32_t tx, uint32_t rx)
{
	enum { AS_IT_WAS, OFF, TX, RX, BOTH };

	if (value == AS_IT_WAS)
		return true;
	turn(set, tx, value == TX || value == BOTH);
	turn(set, rx, value == RX || value == BOTH);
	return value <= BOTH;
}

static bool choose(uint32_t *set, uint8_t value, uint32_t bit)
{
	enum { AS_IT_WAS, OFF, ON };

	if (value == AS_IT_WAS)
		return true;
	turn(set, bit, value == ON);
	return value <= ON;
}

/* What a restored guest has and the NIC can't do any more it may keep, but not turn on again. */
static void set_offloads(struct hvsi_rndis *r, uint32_t on)
{
	atomic_store(&r->offloads_on, on & (hvsi_rndis_can(r) | atomic_load(&r->offloads_on)));
}

uint32_t hvsi_offload_set(struct hvsi_rndis *r, struct hvsi_info info, uint32_t *changes)
{
	struct hvsi_ndis_offload_parameters p;
	uint32_t on = atomic_load(&r->offloads_on);
	uint32_t status = read_object(info, HVSI_NDIS_DEFAULT, HVSI_NDIS_OFFLOAD_PARAMETERS_MIN, &p,
				      sizeof(p));

	if (status != HVSI_RNDIS_SUCCESS)
		return status;
	if (p.lso1 == 2)
		return HVSI_RNDIS_NOT_SUPPORTED;
	if (!choose_csum(&on, p.ip4_csum, HVSI_OFFLOAD_TX_IP4, HVSI_OFFLOAD_RX_IP4) ||
	    !choose_csum(&on, p.tcp4_csum, HVSI_OFFLOAD_TX_TCP4, HVSI_OFFLOAD_RX_TCP4) ||
	    !choose_csum(&on, p.udp4_csum, HVSI_OFFLOAD_TX_UDP4, HVSI_OFFLOAD_RX_UDP4) ||
	    !choose_csum(&on, p.tcp6_csum, HVSI_OFFLOAD_TX_TCP6, HVSI_OFFLOAD_RX_TCP6) ||
	    !choose_csum(&on, p.udp6_csum, HVSI_OFFLOAD_TX_UDP6, HVSI_OFFLOAD_RX_UDP6) ||
	    !choose(&on, p.lso2_ip4, HVSI_OFFLOAD_LSO4) ||
	    !choose(&on, p.lso2_ip6, HVSI_OFFLOAD_LSO6) ||
	    !choose(&on, p.rsc_ip4, HVSI_OFFLOAD_RSC4) ||
	    !choose(&on, p.rsc_ip6, HVSI_OFFLOAD_RSC6))
		return HVSI_RNDIS_INVALID_DATA;
	set_offloads(r, on);
	*changes |= HVSI_RNDIS_CHANGED_OFFLOADS;
	return HVSI_RNDIS_SUCCESS;
}

static bool is_ethernet_or_off(const struct hvsi_ndis_encapsulation *e)
{
	return hvsi_get32(e->enabled) != HVSI_NDIS_ENCAPSULATION_ON ||
	       (hvsi_get32(e->type) == HVSI_ENCAPSULATION_ETHERNET &&
		hvsi_get32(e->header_bytes) == HVSI_ETHERNET_HEADER);
}

uint32_t hvsi_offload_set_encapsulation(struct hvsi_info info)
{
	struct hvsi_ndis_offload_encapsulation e;
	uint32_t status =
		read_object(info, HVSI_NDIS_OFFLOAD_ENCAPSULATION, sizeof(e), &e, sizeof(e));

	if (status == HVSI_RNDIS_SUCCESS &&
	    !(is_ethernet_or_off(&e.ip4) && is_ethernet_or_off(&e.ip6)))
		status = HVSI_RNDIS_NOT_SUPPORTED;
	return status;
}

/* ---- keywords ------------------------------------------------------------------------------- */

#define MAX_STRING 255u /* bytes of a name or a value */

static const struct {
	const char *name;
	uint32_t bit0; /* of the value */
	uint32_t bit1;
} keywords[] = {
	{"*IPChecksumOffloadIPv4", HVSI_OFFLOAD_TX_IP4, HVSI_OFFLOAD_RX_IP4},
	{"*TCPChecksumOffloadIPv4", HVSI_OFFLOAD_TX_TCP4, HVSI_OFFLOAD_RX_TCP4},
	{"*TCPChecksumOffloadIPv6", HVSI_OFFLOAD_TX_TCP6, HVSI_OFFLOAD_RX_TCP6},
	{"*UDPChecksumOffloadIPv4", HVSI_OFFLOAD_TX_UDP4, HVSI_OFFLOAD_RX_UDP4},
	{"*UDPChecksumOffloadIPv6", HVSI_OFFLOAD_TX_UDP6, HVSI_OFFLOAD_RX_UDP6},
	{"*LsoV2IPv4", HVSI_OFFLOAD_LSO4, 0},
	{"*LsoV2IPv6", HVSI_OFFLOAD_LSO6, 0},
};

/* What can be told from ASCII in a UTF-16 string. */
struct text {
	const uint8_t *bytes;
	uint32_t chars;
};

static bool read_text(struct hvsi_info info, struct hvs_le32 off, struct hvs_le32 len,
		      struct text *to)
{
	uint32_t at = hvsi_get32(off);
	uint32_t bytes = hvsi_get32(len);

	if (bytes > MAX_STRING || bytes % 2 || at > info.len || bytes > info.len - at)
		return false;
	*to = (struct text){.bytes = info.bytes + at, .chars = bytes / 2};
	return true;
}

/* 0: not ASCII. */
static uint8_t text_char(struct text t, size_t i)
{
	uint8_t low = t.bytes[2 * i], high = t.bytes[2 * i + 1];

	return high || low > 0x7f ? 0 : low;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool text_is(struct text t, const char *name)
{
	if (t.chars != strlen(name))
		return false;
	for (uint32_t i = 0; i < t.chars; i++)
		if (lower(text_char(t, i)) != lower((uint8_t)name[i]))
			return false;
	return true;
}

/* -1: it is none. */
static int hex_digit(uint8_t c)
{
	c = lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_mac(struct text value, uint8_t mac[6])
{
	if (value.chars != 12)
		return false;
	for (size_t i = 0; i < 6; i++) {
		int high = hex_digit(text_char(value, 2 * i));
		int low = hex_digit(text_char(value, 2 * i + 1));

		if (high < 0 || low < 0)
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* One digit, or an integer. */
static bool read_number(uint32_t type, struct text value, uint32_t *to)
{
	if (type == HVSI_NDIS_CONFIG_STRING && value.chars == 1) {
		int digit = hex_digit(text_char(value, 0));

		*to = (uint32_t)digit;
		return digit >= 0 && digit <= 9;
	}
	if (type == HVSI_NDIS_CONFIG_INTEGER && value.chars == sizeof(struct hvs_le32) / 2) {
		struct hvs_le32 number;

		memcpy(&number, value.bytes, sizeof(number));
		*to = hvsi_get32(number);
		return true;
	}
	return false;
}

uint32_t hvsi_offload_set_keyword(struct hvsi_rndis *r, const struct hvsi_rndis_env *env,
				  struct hvsi_info info, uint32_t *changes)
{
	struct hvsi_ndis_config_parameter p;
	uint32_t was = atomic_load(&r->offloads_on), on = was, number;
	struct text name, value;
	uint8_t mac[6];

	if (info.len < sizeof(p))
		return HVSI_RNDIS_INVALID_LENGTH;
	memcpy(&p, info.bytes, sizeof(p));
	if (!read_text(info, p.name_off, p.name_len, &name) ||
	    !read_text(info, p.value_off, p.value_len, &value))
		return HVSI_RNDIS_INVALID_DATA;
	if (text_is(name, "NetworkAddress"))
		return hvsi_get32(p.type) == HVSI_NDIS_CONFIG_STRING && read_mac(value, mac)
			       ? hvsi_rndis_set_mac(r, env, mac, changes)
			       : HVSI_RNDIS_INVALID_DATA;
	for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++) {
		if (!text_is(name, keywords[i].name))
			continue;
		if (!read_number(hvsi_get32(p.type), value, &number) ||
		    number > (keywords[i].bit1 ? 3 : 1))
			return HVSI_RNDIS_INVALID_DATA;
		turn(&on, keywords[i].bit0, number & 1);
		turn(&on, keywords[i].bit1, number & 2);
	}
	set_offloads(r, on);
	if (atomic_load(&r->offloads_on) != was)
		*changes |= HVSI_RNDIS_CHANGED_OFFLOADS;
	return HVSI_RNDIS_SUCCESS;
}
