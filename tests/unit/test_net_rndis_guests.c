/* SPDX-License-Identifier: MIT */
/* What each guest's driver says to RNDIS, in its order, and what it can't do without. */
#include "support/rndis.h"

static uint32_t number_at(const uint8_t *p)
{
	struct hvs_le32 v;

	memcpy(&v, p, sizeof(v));
	return hvsi_get32(v);
}

/* The answer has so many bytes. */
static const uint8_t *ask(struct rndis *t, uint32_t oid, uint32_t bytes)
{
	uint32_t len;

	cr_assert_eq(rndis_query(t, oid, NULL, 0, &len), HVSI_RNDIS_SUCCESS, "OID %#x", oid);
	cr_assert_eq(len, bytes, "OID %#x: %u bytes", oid, len);
	return rndis_info(t);
}

static void set_filter(struct rndis *t, uint32_t filter)
{
	struct hvs_le32 wire = hvsi_le32(filter);

	cr_assert_eq(rndis_set(t, HVSI_OID_CURRENT_PACKET_FILTER, &wire, sizeof(wire)),
		     HVSI_RNDIS_SUCCESS);
}

static bool wants(struct rndis *t, const uint8_t mac[6])
{
	return hvsi_rndis_wants(&t->r, mac);
}

static const uint8_t own[6] = RNDIS_MAC;
static const uint8_t group[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t everyone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Parameters of RSS with a table of 128 channels and a key, at these offsets. */
static uint32_t make_rss(uint8_t msg[1024], uint16_t size, uint32_t table_off, uint32_t key_off,
			 uint32_t channels)
{
	const struct hvsi_ndis_rss_parameters p = {
		.hdr = {HVSI_NDIS_RSS_PARAMETERS, 2, hvsi_le16(size)},
		.hash = hvsi_le32(HVSI_HASH_TOEPLITZ | HVSI_HASH_IP4 | HVSI_HASH_TCP4 |
				  HVSI_HASH_IP6 | HVSI_HASH_TCP6),
		.table_bytes = hvsi_le16(512),
		.table_off = hvsi_le32(table_off),
		.key_bytes = hvsi_le16(40),
		.key_off = hvsi_le32(key_off),
	};

	memset(msg, 0, 1024);
	memset(msg + key_off, 0x6d, 40);
	for (size_t i = 0; i < 128; i++) {
		struct hvs_le32 entry = hvsi_le32((uint32_t)i % channels);

		memcpy(msg + table_off + i * 4, &entry, sizeof(entry));
	}
	memcpy(msg, &p, sizeof(p));
	return (table_off > key_off ? table_off + 512 : key_off + 40);
}

static uint32_t rss_hash(struct rndis *t)
{
	struct hvsi_rss rss;

	hvsi_rndis_rss_copy(&t->r, &rss);
	cr_assert(!rss.hash || (rss.key[0] == 0x6d && rss.key[39] == 0x6d && rss.table[1] == 1));
	return rss.hash;
}

/* ---- Linux ---------------------------------------------------------------------------------- */

static void linux_begins(struct rndis *t)
{
	static const uint8_t offload_header[156] = {0xa7, 3, 156, 0};
	static const uint8_t rss_header[20] = {0x88, 2, 18, 0};
	struct hvsi_ndis_offload_parameters p = {.hdr = {HVSI_NDIS_DEFAULT, 3, hvsi_le16(28)}};
	uint32_t len;

	cr_assert_eq(rndis_initialize(t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_geq(number_at(ask(t, HVSI_OID_MAXIMUM_FRAME_SIZE, 4)), 1500);
	cr_assert_arr_eq(ask(t, HVSI_OID_PERMANENT_ADDRESS, 6), own, 6);
	ask(t, HVSI_OID_FRIENDLY_NAME, 512);
	cr_assert_eq(rndis_query(t, HVSI_OID_OFFLOAD_CAPABILITIES, offload_header, 156, &len),
		     HVSI_RNDIS_SUCCESS);
	cr_assert(rndis_info(t)[0] == 0xa7 && rndis_info(t)[1] >= 1);
	cr_assert(rndis_info(t)[2] >= 112 && rndis_info(t)[2] <= len && len <= 156);
	cr_assert_eq(number_at(rndis_info(t) + 8) & 0x14, 0x14, "TCP over IPv4");
	cr_assert_eq(number_at(rndis_info(t) + 24) & 0x15, 0x15, "TCP over IPv6");
	cr_assert_eq(number_at(rndis_info(t) + 104), 5, "LSO over IPv6");
	p.ip4_csum = p.tcp4_csum = p.udp4_csum = p.tcp6_csum = p.udp6_csum = 4;
	p.lso2_ip4 = p.lso2_ip6 = 2;
	cr_assert_eq(rndis_set(t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(number_at(ask(t, HVSI_OID_MEDIA_CONNECT_STATUS, 4)), 0);
	cr_assert_eq(number_at(ask(t, HVSI_OID_LINK_SPEED, 4)), 100000000);
	cr_assert_eq(rndis_query(t, HVSI_OID_RSS_CAPABILITIES, rss_header, 20, &len),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_geq(number_at(rndis_info(t) + 12), 2, "else it has one queue");
}

Test(net_rndis_guests, linux)
{
	uint8_t rss[1024];
	struct rndis t;
	uint32_t len;

	rndis_open(&t);
	linux_begins(&t);
	len = make_rss(rss, 40, 40, 40 + 512, 8);
	rss[4] = HVSI_NDIS_RSS_DISABLE;
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, rss, len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rss_hash(&t), 0);
	rss[4] = 0;
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, rss, len), HVSI_RNDIS_SUCCESS);
	cr_assert_neq(rss_hash(&t), 0);
	set_filter(&t, 0x0d);
	cr_assert(wants(&t, own) && wants(&t, group) && wants(&t, everyone));
	set_filter(&t, 0x09);
	cr_assert(wants(&t, own) && !wants(&t, group) && wants(&t, everyone));
	set_filter(&t, 0x20);
	cr_assert(wants(&t, (const uint8_t[]){2, 0, 0, 0, 0, 9}));
	set_filter(&t, 0);
	cr_assert(!wants(&t, own) && !wants(&t, everyone));
}

/* Up to NVSP 4 it sends revision 3 with 22 bytes. */
Test(net_rndis_guests, linux_with_an_old_protocol)
{
	struct hvsi_ndis_offload_parameters p = {.hdr = {HVSI_NDIS_DEFAULT, 3, hvsi_le16(22)},
						 .tcp4_csum = 4};
	static const uint8_t header[144] = {0xa7, 2, 144, 0};
	struct rndis t;
	uint32_t len;

	rndis_open(&t);
	hvsi_rndis_open(&t.r,
			&(struct hvsi_rndis_open){.ndis_major = 6, .ndis_minor = 1, .mtu = 1500});
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_query(&t, HVSI_OID_OFFLOAD_CAPABILITIES, header, 144, &len),
		     HVSI_RNDIS_SUCCESS);
	cr_assert(len >= 112 && len <= 156);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 22), HVSI_RNDIS_SUCCESS);
}

/* The driver re-opens the channel; the network stack's address is not set again. */
Test(net_rndis_guests, linux_changes_address_then_mtu)
{
	static const uint8_t mac[6] = {0xf2, 0x11, 0x22, 0x33, 0x44, 0x55};
	static const char name[] = "NetworkAddress", value[] = "f21122334455";
	struct hvsi_ndis_config_parameter p = {.name_off = hvsi_le32(20),
					       .name_len = hvsi_le32(28),
					       .type = hvsi_le32(2),
					       .value_off = hvsi_le32(48),
					       .value_len = hvsi_le32(24)};
	uint8_t msg[72] = {0};
	struct rndis t;

	rndis_open(&t);
	linux_begins(&t);
	set_filter(&t, 0x0d);
	memcpy(msg, &p, sizeof(p));
	for (size_t i = 0; i < 14; i++)
		msg[20 + 2 * i] = (uint8_t)name[i];
	for (size_t i = 0; i < 12; i++)
		msg[48 + 2 * i] = (uint8_t)value[i];
	cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, sizeof(msg)),
		     HVSI_RNDIS_SUCCESS);
	cr_assert(wants(&t, mac));
	set_filter(&t, 0);
	rndis_halt(&t);
	hvsi_rndis_close(&t.r);
	hvsi_rndis_open(&t.r,
			&(struct hvsi_rndis_open){.ndis_major = 6, .ndis_minor = 30, .mtu = 9000});
	linux_begins(&t);
	cr_assert(!wants(&t, mac));
	set_filter(&t, 0x0d);
	cr_assert(wants(&t, mac));
}

/* It would run over the end of its buffer, or fail. */
Test(net_rndis_guests, linux_sees_a_failure_by_the_length)
{
	struct rndis t;

	rndis_start(&t);
	rndis_expect_query_refused(&t, 0xfd010100, HVSI_RNDIS_NOT_SUPPORTED);
}

/* ---- FreeBSD -------------------------------------------------------------------------------- */

Test(net_rndis_guests, freebsd)
{
	static const uint8_t offload_header[156] = {0xa7, 3, 156, 0};
	static const uint8_t rss_header[20] = {0x88, 2, 20, 0};
	struct hvsi_ndis_offload_parameters p = {.hdr = {HVSI_NDIS_DEFAULT, 3, hvsi_le16(28)},
						 .ip4_csum = 4,
						 .tcp4_csum = 4,
						 .lso2_ip4 = 2};
	uint8_t rss[1024];
	struct rndis t;
	uint32_t len;

	rndis_open(&t);
	t.id = 0x10000; /* its ids are above 0xffff, with the low half 0 */
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	t.id = 0x20000;
	cr_assert_eq(rndis_query(&t, HVSI_OID_OFFLOAD_CAPABILITIES, offload_header, 156, &len),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 156);
	cr_assert_eq(number_at(rndis_info(&t) + 8) & 0x101, 0x101, "IPv4 header");
	cr_assert_eq(number_at(rndis_info(&t) + 24) & 0x55, 0x55, "TCP and UDP over IPv6");
	cr_assert_geq(number_at(rndis_info(&t) + 84), number_at(rndis_info(&t) + 88) * 9000, "TSO");
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_SUCCESS);
	ask(&t, HVSI_OID_PERMANENT_ADDRESS, 6);
	ask(&t, HVSI_OID_MEDIA_CONNECT_STATUS, 4);
	cr_assert_eq(rndis_query(&t, HVSI_OID_RSS_CAPABILITIES, rss_header, 20, &len),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_geq(len, 16, "revision 1");
	cr_assert(number_at(rndis_info(&t) + 4) & 1, "Toeplitz");
	cr_assert(number_at(rndis_info(&t) + 4) & 0xf00, "types");
	cr_assert_geq(number_at(rndis_info(&t) + 12), 1);
	cr_assert_leq(rndis_info(&t)[16], 128);
	/* The key is before the table, and the header counts all. */
	len = make_rss(rss, 40 + 40 + 512, 80, 40, 8);
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, rss, len), HVSI_RNDIS_SUCCESS);
	cr_assert_neq(rss_hash(&t), 0);
	set_filter(&t, 0);
	set_filter(&t, 0x0d);
	cr_assert(wants(&t, own));
	rndis_halt(&t);
}

/* ---- DPDK ----------------------------------------------------------------------------------- */

/* It has room for 256 bytes. */
static void dpdk_expect_short(const struct rndis *t)
{
	cr_assert_leq(t->reply.len, 256);
}

Test(net_rndis_guests, dpdk)
{
	struct hvsi_ndis_offload_parameters p = {.hdr = {HVSI_NDIS_DEFAULT, 3, hvsi_le16(28)}};
	uint8_t rss[1024];
	struct rndis t;
	uint32_t len;

	rndis_open(&t);
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	dpdk_expect_short(&t);
	ask(&t, HVSI_OID_MAXIMUM_FRAME_SIZE, 4);
	ask(&t, HVSI_OID_PERMANENT_ADDRESS, 6);
	set_filter(&t, 0);
	ask(&t, HVSI_OID_OFFLOAD_CAPABILITIES, 156);
	dpdk_expect_short(&t);
	/* It takes "send" and "receive" for bits, so that both looks like the latter. */
	p.ip4_csum = p.tcp4_csum = p.udp4_csum = p.tcp6_csum = p.udp6_csum = 2 | 3;
	p.lso2_ip4 = p.lso2_ip6 = 2;
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_SUCCESS);
	ask(&t, HVSI_OID_RSS_CAPABILITIES, 18);
	cr_assert(rndis_info(&t)[16] > 0 && rndis_info(&t)[16] <= 128, "it divides by it");
	len = make_rss(rss, 40, 40, 40 + 512, 8);
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, rss, len), HVSI_RNDIS_SUCCESS);
	cr_assert_neq(rss_hash(&t), 0);
	set_filter(&t, 0x20);
	rndis_halt(&t);
}

/* ---- iPXE ----------------------------------------------------------------------------------- */

/* Its request ids are the OIDs. */
static const uint8_t *ipxe_ask(struct rndis *t, uint32_t oid, uint32_t bytes)
{
	t->id = oid;
	ask(t, oid, bytes);
	cr_assert_eq(number_at(t->reply.bytes + 8), oid);
	return rndis_info(t);
}

static void ipxe_describes(struct rndis *t)
{
	t->id = 0xe110e110;
	cr_assert_eq(rndis_initialize(t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_arr_eq(ipxe_ask(t, HVSI_OID_PERMANENT_ADDRESS, 6), own, 6);
	cr_assert_arr_eq(ipxe_ask(t, HVSI_OID_CURRENT_ADDRESS, 6), own, 6);
	cr_assert_eq(number_at(ipxe_ask(t, HVSI_OID_MEDIA_CONNECT_STATUS, 4)), 0);
}

Test(net_rndis_guests, ipxe)
{
	const struct hvsi_rndis_open old = {.ndis_major = 6, .ndis_minor = 1, .mtu = 1500};
	struct rndis t;

	rndis_open(&t);
	hvsi_rndis_open(&t.r, &old);
	ipxe_describes(&t);
	rndis_halt(&t);
	hvsi_rndis_close(&t.r);
	hvsi_rndis_open(&t.r, &old);
	ipxe_describes(&t);
	t.id = HVSI_OID_CURRENT_PACKET_FILTER;
	set_filter(&t, 0x2f);
	cr_assert_eq(number_at(t.reply.bytes + 8), HVSI_OID_CURRENT_PACKET_FILTER);
	cr_assert(wants(&t, own) && wants(&t, group) && wants(&t, everyone));
	set_filter(&t, 0);
	rndis_halt(&t);
	cr_assert(!wants(&t, own));
}

/* ---- firmware ------------------------------------------------------------------------------- */

/* It closes the channel without HALT. */
Test(net_rndis_guests, uefi)
{
	struct rndis t;

	rndis_open(&t);
	hvsi_rndis_open(&t.r,
			&(struct hvsi_rndis_open){.ndis_major = 6, .ndis_minor = 0, .mtu = 1500});
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_arr_eq(ask(&t, HVSI_OID_CURRENT_ADDRESS, 6), own, 6);
	cr_assert_arr_eq(ask(&t, HVSI_OID_CURRENT_ADDRESS, 6), own, 6);
	set_filter(&t, 0x0b); /* groups, of which it gives no list */
	cr_assert(wants(&t, own) && wants(&t, group) && wants(&t, everyone));
	hvsi_rndis_close(&t.r);
	cr_assert(!wants(&t, own) && !wants(&t, group) && !wants(&t, everyone));
}

/* ---- OpenBSD, NetBSD ------------------------------------------------------------------------ */

/* Parameters without asking for capabilities: 22 bytes, or 28 of the third revision. */
static void openbsd(uint8_t revision, uint16_t size)
{
	struct hvsi_ndis_offload_parameters p = {
		.hdr = {HVSI_NDIS_DEFAULT, revision, hvsi_le16(size)},
		.ip4_csum = 4,
		.tcp4_csum = 4,
		.udp4_csum = 4,
		.tcp6_csum = 4,
		.udp6_csum = 4};
	struct rndis t;

	rndis_open(&t);
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, size), HVSI_RNDIS_SUCCESS);
	ask(&t, HVSI_OID_PERMANENT_ADDRESS, 6);
	cr_assert_eq(number_at(ask(&t, HVSI_OID_MEDIA_CONNECT_STATUS, 4)), 0);
	set_filter(&t, 0x0d);
	cr_assert(wants(&t, own));
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, own, 6), HVSI_RNDIS_SUCCESS);
	rndis_halt(&t);
}

Test(net_rndis_guests, openbsd)
{
	openbsd(2, 22);
	openbsd(3, 28);
}

/* The set is fatal to it, even when nothing can be offloaded. */
Test(net_rndis_guests, openbsd_on_a_nic_without_offloads)
{
	struct hvsi_ndis_offload_parameters p = {
		.hdr = {HVSI_NDIS_DEFAULT, 2, hvsi_le16(22)}, .ip4_csum = 4, .tcp4_csum = 4};
	struct rndis t;

	rndis_start(&t);
	t.r.offloads = 0;
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 22), HVSI_RNDIS_SUCCESS);
}

/* ---- Windows -------------------------------------------------------------------------------- */

/* What Windows' documentation requires of RNDIS devices for Ethernet. */
Test(net_rndis_guests, windows)
{
	static const uint32_t required[] = {HVSI_OID_SUPPORTED_LIST,
					    HVSI_OID_HARDWARE_STATUS,
					    HVSI_OID_MEDIA_SUPPORTED,
					    HVSI_OID_MEDIA_IN_USE,
					    HVSI_OID_MAXIMUM_FRAME_SIZE,
					    HVSI_OID_LINK_SPEED,
					    HVSI_OID_TRANSMIT_BLOCK_SIZE,
					    HVSI_OID_RECEIVE_BLOCK_SIZE,
					    HVSI_OID_VENDOR_ID,
					    HVSI_OID_VENDOR_DESCRIPTION,
					    HVSI_OID_VENDOR_DRIVER_VERSION,
					    HVSI_OID_CURRENT_PACKET_FILTER,
					    HVSI_OID_MAXIMUM_TOTAL_SIZE,
					    HVSI_OID_MEDIA_CONNECT_STATUS,
					    HVSI_OID_PERMANENT_ADDRESS,
					    HVSI_OID_CURRENT_ADDRESS,
					    HVSI_OID_MULTICAST_LIST,
					    HVSI_OID_MAXIMUM_LIST_SIZE,
					    HVSI_OID_PHYSICAL_MEDIUM,
					    HVSI_OID_MAC_OPTIONS,
					    HVSI_OID_XMIT_OK,
					    HVSI_OID_RCV_OK,
					    HVSI_OID_XMIT_ERROR,
					    HVSI_OID_RCV_ERROR,
					    HVSI_OID_RCV_NO_BUFFER};
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(required) / sizeof(*required); i++)
		cr_assert_eq(rndis_query(&t, required[i], NULL, 0, &len), HVSI_RNDIS_SUCCESS,
			     "OID %#x", required[i]);
}
