/* SPDX-License-Identifier: MIT */
/* Offloads: what the guest is told, what it sets, keywords. */
#include "support/rndis.h"

#define DEFAULTS (HVSI_OFFLOAD_ALL & ~(uint32_t)HVSI_OFFLOAD_RSC)

static struct hvsi_ndis_offload offload(struct rndis *t, uint32_t oid)
{
	struct hvsi_ndis_offload o;
	uint32_t len;

	cr_assert_eq(rndis_query(t, oid, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, sizeof(o));
	memcpy(&o, rndis_info(t), sizeof(o));
	return o;
}

static void start_with(struct rndis *t, uint32_t offloads, bool rsc)
{
	rndis_open(t);
	t->r.offloads = offloads;
	hvsi_rndis_open(&t->r, &(struct hvsi_rndis_open){
				       .ndis_major = 6, .ndis_minor = 30, .mtu = 1500, .rsc = rsc});
	cr_assert_eq(rndis_initialize(t, 1), HVSI_RNDIS_SUCCESS);
}

/* ---- capabilities --------------------------------------------------------------------------- */

Test(net_rndis_offload, all_capabilities_have_the_bits_that_drivers_look_for)
{
	static const uint8_t expected[156] = {
		0xa7,      3,           156,         0,                        /* header */
		2,         0,           0,           0,         0x55, 1, 0, 0, /* IPv4 sent */
		2,         0,           0,           0,         0x55, 1, 0, 0, /* IPv4 received */
		2,         0,           0,           0,         0x55, 0, 0, 0, /* IPv6 sent */
		2,         0,           0,           0,         0x55, 0, 0, 0, /* IPv6 received */
		[80] = 2,  [84] = 0x3c, [85] = 0xf5, [88] = 2,                 /* LSOv2, IPv4 */
		[92] = 2,  [96] = 0x3c, [97] = 0xf5, [100] = 2,                /* IPv6 */
		[104] = 5, [144] = 1,   [145] = 1};
	struct hvsi_ndis_offload o;
	struct rndis t;

	start_with(&t, HVSI_OFFLOAD_ALL, true);
	o = offload(&t, HVSI_OID_OFFLOAD_CAPABILITIES);
	cr_assert_arr_eq((uint8_t *)&o, expected, sizeof(expected));
}

Test(net_rndis_offload, a_nic_that_does_nothing_says_so)
{
	static const uint8_t expected[156] = {0xa7, 3, 156, 0};
	struct hvsi_ndis_offload o;
	struct rndis t;

	start_with(&t, 0, true);
	o = offload(&t, HVSI_OID_OFFLOAD_CAPABILITIES);
	cr_assert_arr_eq((uint8_t *)&o, expected, sizeof(expected));
	o = offload(&t, HVSI_OID_OFFLOAD_CURRENT_CONFIG);
	cr_assert_arr_eq((uint8_t *)&o, expected, sizeof(expected));
}

Test(net_rndis_offload, each_offload_is_told_alone)
{
	static const struct {
		uint32_t offload;
		uint8_t at; /* of the structure's bytes that say it, and what */
		uint8_t value;
	} each[] = {
		{HVSI_OFFLOAD_TX_IP4, 8, 0x01},   {HVSI_OFFLOAD_TX_IP4, 9, 0x01},
		{HVSI_OFFLOAD_TX_TCP4, 8, 0x15},  {HVSI_OFFLOAD_TX_UDP4, 8, 0x41},
		{HVSI_OFFLOAD_RX_IP4, 17, 0x01},  {HVSI_OFFLOAD_RX_TCP4, 16, 0x15},
		{HVSI_OFFLOAD_RX_UDP4, 16, 0x41}, {HVSI_OFFLOAD_TX_TCP6, 24, 0x15},
		{HVSI_OFFLOAD_TX_UDP6, 24, 0x41}, {HVSI_OFFLOAD_RX_TCP6, 32, 0x15},
		{HVSI_OFFLOAD_RX_UDP6, 32, 0x41}, {HVSI_OFFLOAD_LSO4, 80, 2},
		{HVSI_OFFLOAD_LSO6, 92, 2},       {HVSI_OFFLOAD_LSO6, 104, 5},
		{HVSI_OFFLOAD_RSC4, 144, 1},      {HVSI_OFFLOAD_RSC6, 145, 1},
	};

	for (size_t i = 0; i < sizeof(each) / sizeof(*each); i++) {
		struct hvsi_ndis_offload o;
		const uint8_t *b = (const uint8_t *)&o;
		struct rndis t;

		start_with(&t, each[i].offload, true);
		o = offload(&t, HVSI_OID_OFFLOAD_CAPABILITIES);
		cr_assert_eq(b[each[i].at], each[i].value, "%#x: byte %u is %#x", each[i].offload,
			     each[i].at, b[each[i].at]);
	}
}

Test(net_rndis_offload, coalescing_is_told_only_to_a_guest_that_understands_it)
{
	struct rndis t;

	start_with(&t, HVSI_OFFLOAD_ALL, false);
	cr_assert_eq(offload(&t, HVSI_OID_OFFLOAD_CAPABILITIES).rsc_ip4, 0);
	cr_assert_eq(offload(&t, HVSI_OID_OFFLOAD_CAPABILITIES).rsc_ip6, 0);
}

/* Older revisions are shorter; drivers have room for the newest. */
Test(net_rndis_offload, whatever_revision_is_asked_for_the_answer_is_the_third)
{
	static const uint8_t asked[][4] = {
		{0xa7, 1, 112, 0}, {0xa7, 2, 144, 0}, {0xa7, 3, 156, 0}, {0xa7, 7, 220, 0}, {0}};
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		cr_assert_eq(rndis_query(&t, HVSI_OID_OFFLOAD_CAPABILITIES, asked[i], 4, &len),
			     HVSI_RNDIS_SUCCESS);
		cr_assert_eq(len, 156);
		cr_assert_eq(rndis_info(&t)[1], 3);
	}
}

/* ---- OFFLOAD_PARAMETERS --------------------------------------------------------------------- */

static struct hvsi_ndis_offload_parameters parameters(uint8_t revision, uint16_t size)
{
	return (struct hvsi_ndis_offload_parameters){
		.hdr = {HVSI_NDIS_DEFAULT, revision, hvsi_le16(size)}};
}

static int64_t set_parameters(struct rndis *t, const struct hvsi_ndis_offload_parameters *p)
{
	return rndis_set(t, HVSI_OID_OFFLOAD_PARAMETERS, p, hvsi_get16(p->hdr.size));
}

Test(net_rndis_offload, a_new_driver_has_all_but_coalescing)
{
	struct rndis t;

	start_with(&t, HVSI_OFFLOAD_ALL, true);
	cr_assert_eq(t.r.offloads_on, DEFAULTS);
	cr_assert_eq(offload(&t, HVSI_OID_OFFLOAD_CURRENT_CONFIG).rsc_ip4, 0);
}

Test(net_rndis_offload, zeroes_change_nothing_and_are_indicated)
{
	struct hvsi_ndis_offload_parameters p = parameters(3, 28);
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, HVSI_RNDIS_CHANGED_OFFLOADS);
	cr_assert_eq(t.r.offloads_on, DEFAULTS);
}

Test(net_rndis_offload, each_parameter_sets_its_own)
{
	static const struct {
		uint8_t at; /* in the structure */
		uint32_t tx, rx;
	} csums[] = {
		{4, HVSI_OFFLOAD_TX_IP4, HVSI_OFFLOAD_RX_IP4},
		{5, HVSI_OFFLOAD_TX_TCP4, HVSI_OFFLOAD_RX_TCP4},
		{6, HVSI_OFFLOAD_TX_UDP4, HVSI_OFFLOAD_RX_UDP4},
		{7, HVSI_OFFLOAD_TX_TCP6, HVSI_OFFLOAD_RX_TCP6},
		{8, HVSI_OFFLOAD_TX_UDP6, HVSI_OFFLOAD_RX_UDP6},
	};
	static const struct {
		uint8_t at;
		uint32_t bit;
	} switches[] = {{11, HVSI_OFFLOAD_LSO4},
			{12, HVSI_OFFLOAD_LSO6},
			{22, HVSI_OFFLOAD_RSC4},
			{23, HVSI_OFFLOAD_RSC6}};
	struct hvsi_ndis_offload_parameters p;
	struct rndis t;

	start_with(&t, HVSI_OFFLOAD_ALL, true);
	for (size_t i = 0; i < sizeof(csums) / sizeof(*csums); i++)
		for (uint8_t v = 1; v <= 4; v++) {
			uint32_t all = csums[i].tx | csums[i].rx;
			uint32_t on = v == 1   ? 0
				      : v == 2 ? csums[i].tx
				      : v == 3 ? csums[i].rx
					       : all;

			p = parameters(3, 28);
			((uint8_t *)&p)[csums[i].at] = v;
			cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_SUCCESS);
			cr_assert_eq(t.r.offloads_on, (DEFAULTS & ~all) | on, "byte %u: %u",
				     csums[i].at, v);
		}
	for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++)
		for (uint8_t v = 2; v >= 1; v--) {
			p = parameters(3, 28);
			((uint8_t *)&p)[switches[i].at] = v;
			cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_SUCCESS);
			cr_assert_eq((t.r.offloads_on & switches[i].bit) != 0, v == 2, "byte %u",
				     switches[i].at);
		}
}

Test(net_rndis_offload, what_the_nic_can_not_stays_off)
{
	struct hvsi_ndis_offload_parameters p = parameters(3, 28);
	struct rndis t;

	start_with(&t, HVSI_OFFLOAD_TX_TCP4 | HVSI_OFFLOAD_RSC4, false);
	p.ip4_csum = p.tcp4_csum = p.udp4_csum = p.tcp6_csum = p.udp6_csum = 4;
	p.lso2_ip4 = p.lso2_ip6 = p.rsc_ip4 = p.rsc_ip6 = 2;
	cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.r.offloads_on, HVSI_OFFLOAD_TX_TCP4);
}

Test(net_rndis_offload, a_value_that_is_none_changes_nothing)
{
	static const uint8_t csums[] = {4, 5, 6, 7, 8}, switches[] = {11, 12, 22, 23};
	struct hvsi_ndis_offload_parameters p;
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(csums); i++) {
		p = parameters(3, 28);
		p.lso2_ip4 = 1;
		((uint8_t *)&p)[csums[i]] = 5;
		cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_INVALID_DATA);
	}
	for (size_t i = 0; i < sizeof(switches); i++) {
		p = parameters(3, 28);
		p.tcp4_csum = 1;
		((uint8_t *)&p)[switches[i]] = 3;
		cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_INVALID_DATA);
	}
	cr_assert_eq(t.r.offloads_on, DEFAULTS);
	cr_assert_eq(t.changes, 0);
}

Test(net_rndis_offload, the_first_large_send_offload_is_not_offered)
{
	struct hvsi_ndis_offload_parameters p = parameters(3, 28);
	struct rndis t;

	rndis_start(&t);
	p.lso1 = 1;
	cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_SUCCESS);
	p.lso1 = 2;
	cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_NOT_SUPPORTED);
}

/* Linux sends 22 bytes as revision 3, the bytes behind belong to nobody. */
Test(net_rndis_offload, parameters_reach_as_far_as_their_size)
{
	struct hvsi_ndis_offload_parameters p = parameters(3, 22);
	struct rndis t;

	start_with(&t, HVSI_OFFLOAD_ALL, true);
	p.rsc_ip4 = 2;
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, sizeof(p)), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.r.offloads_on & HVSI_OFFLOAD_RSC, 0);
}

Test(net_rndis_offload, objects_that_are_none_are_refused)
{
	struct hvsi_ndis_offload_parameters p = parameters(3, 28);
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 27), HVSI_RNDIS_INVALID_LENGTH);
	for (uint32_t len = 0; len < 4; len++)
		cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, len),
			     HVSI_RNDIS_INVALID_LENGTH);
	p.hdr.size = hvsi_le16(19);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_INVALID_LENGTH);
	p.hdr.size = hvsi_le16(0xffff);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_INVALID_LENGTH);
	p = parameters(0, 28);
	cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_INVALID_DATA);
	p = parameters(3, 28);
	p.hdr.type = HVSI_NDIS_OFFLOAD;
	cr_assert_eq(set_parameters(&t, &p), HVSI_RNDIS_INVALID_DATA);
}

/* ---- OFFLOAD_ENCAPSULATION ------------------------------------------------------------------ */

Test(net_rndis_offload, only_ethernet_is_offloaded)
{
	struct hvsi_ndis_offload_encapsulation e;
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	cr_assert_eq(rndis_query(&t, HVSI_OID_OFFLOAD_ENCAPSULATION, NULL, 0, &len),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 28);
	memcpy(&e, rndis_info(&t), sizeof(e));
	cr_assert_arr_eq((uint8_t *)&e,
			 ((uint8_t[]){0xa8, 1, 28, 0, 1, 0, 0, 0, 2, 0, 0,  0, 14, 0,
				      0,    0, 1,  0, 0, 0, 2, 0, 0, 0, 14, 0, 0,  0}),
			 28);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_ENCAPSULATION, &e, 28), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_ENCAPSULATION, &e, 27),
		     HVSI_RNDIS_INVALID_LENGTH);
	e.ip6.type = hvsi_le32(4);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_ENCAPSULATION, &e, 28),
		     HVSI_RNDIS_NOT_SUPPORTED);
	e.ip6.enabled = hvsi_le32(2);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_ENCAPSULATION, &e, 28), HVSI_RNDIS_SUCCESS);
	e.ip4.header_bytes = hvsi_le32(18);
	cr_assert_eq(rndis_set(&t, HVSI_OID_OFFLOAD_ENCAPSULATION, &e, 28),
		     HVSI_RNDIS_NOT_SUPPORTED);
}

/* ---- keywords ------------------------------------------------------------------------------- */

static uint32_t put_utf16(uint8_t *to, const char *s)
{
	uint32_t n = 0;

	for (; *s; s++) {
		to[n++] = (uint8_t)*s;
		to[n++] = 0;
	}
	return n;
}

static uint32_t make_keyword(uint8_t msg[512], const char *name, uint32_t type, const char *value)
{
	struct hvsi_ndis_config_parameter p = {.type = hvsi_le32(type)};
	uint32_t at = sizeof(p), len;

	memset(msg, 0, 512);
	len = put_utf16(msg + at, name);
	p.name_off = hvsi_le32(at);
	p.name_len = hvsi_le32(len);
	at += len;
	len = put_utf16(msg + at, value);
	p.value_off = hvsi_le32(at);
	p.value_len = hvsi_le32(len);
	memcpy(msg, &p, sizeof(p));
	return at + len;
}

static int64_t keyword(struct rndis *t, const char *name, const char *value)
{
	uint8_t msg[512];
	uint32_t len = make_keyword(msg, name, HVSI_NDIS_CONFIG_STRING, value);

	return rndis_set(t, HVSI_OID_CONFIG_PARAMETER, msg, len);
}

Test(net_rndis_offload, keywords_turn_offloads_on_and_off)
{
	static const struct {
		const char *name;
		uint32_t tx, rx;
	} words[] = {
		{"*IPChecksumOffloadIPv4", HVSI_OFFLOAD_TX_IP4, HVSI_OFFLOAD_RX_IP4},
		{"*TCPChecksumOffloadIPv4", HVSI_OFFLOAD_TX_TCP4, HVSI_OFFLOAD_RX_TCP4},
		{"*TCPChecksumOffloadIPv6", HVSI_OFFLOAD_TX_TCP6, HVSI_OFFLOAD_RX_TCP6},
		{"*UDPChecksumOffloadIPv4", HVSI_OFFLOAD_TX_UDP4, HVSI_OFFLOAD_RX_UDP4},
		{"*UDPChecksumOffloadIPv6", HVSI_OFFLOAD_TX_UDP6, HVSI_OFFLOAD_RX_UDP6},
		{"*LsoV2IPv4", HVSI_OFFLOAD_LSO4, 0},
		{"*LsoV2IPv6", HVSI_OFFLOAD_LSO6, 0},
		{"*LSOv2ipV6", HVSI_OFFLOAD_LSO6, 0}, /* they have no case */
	};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		for (unsigned v = words[i].rx ? 4 : 2; v-- > 0;) {
			uint32_t all = words[i].tx | words[i].rx, was = t.r.offloads_on;

			cr_assert_eq(keyword(&t, words[i].name, (char[]){(char)('0' + v), 0}),
				     HVSI_RNDIS_SUCCESS);
			cr_assert_eq(t.r.offloads_on,
				     (was & ~all) | (v & 1 ? words[i].tx : 0) |
					     (v & 2 ? words[i].rx : 0),
				     "%s %u", words[i].name, v);
			cr_assert_eq(t.changes,
				     t.r.offloads_on == was ? 0 : HVSI_RNDIS_CHANGED_OFFLOADS);
		}
}

Test(net_rndis_offload, values_that_are_none_are_refused)
{
	static const char *const bad[] = {"4", "9", "a", "", "10", " 1", "1 ", "-"};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(keyword(&t, "*TCPChecksumOffloadIPv4", bad[i]),
			     HVSI_RNDIS_INVALID_DATA, "'%s'", bad[i]);
	cr_assert_eq(keyword(&t, "*LsoV2IPv4", "2"), HVSI_RNDIS_INVALID_DATA);
	cr_assert_eq(t.r.offloads_on, DEFAULTS);
}

Test(net_rndis_offload, a_value_may_be_an_integer)
{
	uint8_t msg[512];
	uint32_t len = make_keyword(msg, "*LsoV2IPv4", HVSI_NDIS_CONFIG_INTEGER, "xx");
	struct rndis t;

	rndis_start(&t);
	memset(msg + len - 4, 0, 4);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.r.offloads_on, DEFAULTS & ~(uint32_t)HVSI_OFFLOAD_LSO4);
	msg[len - 1] = 0x80;
	cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, len), HVSI_RNDIS_INVALID_DATA);
	len = make_keyword(msg, "*LsoV2IPv4", 4, "1");
	cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, len), HVSI_RNDIS_INVALID_DATA);
}

Test(net_rndis_offload, keywords_nobody_knows_are_accepted)
{
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(keyword(&t, "*JumboPacket", "9014"), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(keyword(&t, "", ""), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(keyword(&t, "*LsoV2IPv", "x"), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, 0);
}

Test(net_rndis_offload, network_address_may_begin_with_a_letter)
{
	static const uint8_t mac[6] = {0xfe, 0xab, 0xcd, 0x01, 0x23, 0x45};
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(keyword(&t, "NetworkAddress", "FEabCD012345"), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, HVSI_RNDIS_CHANGED_MAC);
	cr_assert_eq(t.r.mac, hvsi_mac(mac));
}

Test(net_rndis_offload, network_address_follows_the_policy_of_the_port)
{
	struct rndis t;

	rndis_start(&t);
	t.env.may_set_mac = false;
	cr_assert_eq(keyword(&t, "NetworkAddress", "021122334455"), HVSI_RNDIS_FAILURE);
	cr_assert_eq(keyword(&t, "NetworkAddress", "00155d010203"), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, 0);
	cr_assert_eq(t.r.mac, t.r.permanent);
}

Test(net_rndis_offload, a_network_address_that_is_none_is_refused)
{
	static const char *const bad[] = {"",
					  "02112233445",
					  "0211223344556",
					  "02112233445g",
					  "02-11-22-33-",
					  "000000000000",
					  "010203040506",
					  "ffffffffffff",
					  "0211 2233445"};
	uint8_t msg[512];
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(keyword(&t, "NetworkAddress", bad[i]), HVSI_RNDIS_INVALID_DATA, "%s",
			     bad[i]);
	len = make_keyword(msg, "NetworkAddress", HVSI_NDIS_CONFIG_STRING, "021122334455");
	msg[len - 1] = 1; /* not the character it looks like */
	cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, len), HVSI_RNDIS_INVALID_DATA);
	len = make_keyword(msg, "NetworkAddress", HVSI_NDIS_CONFIG_INTEGER, "021122334455");
	cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, len), HVSI_RNDIS_INVALID_DATA);
	cr_assert_eq(t.r.mac, t.r.permanent);
}

Test(net_rndis_offload, strings_outside_the_message_are_refused)
{
	static const struct {
		size_t field;
		uint32_t value;
	} bad[] = {{0, 1000},  {0, 0xffffffff},  {4, 1},  {4, 255},  {4, 256},  {4, 0xfffffffe},
		   {12, 1000}, {12, 0xfffffff0}, {16, 3}, {16, 254}, {16, 258}, {16, 0xfffffffe}};
	uint8_t msg[512];
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct hvs_le32 value = hvsi_le32(bad[i].value);

		len = make_keyword(msg, "*LsoV2IPv4", HVSI_NDIS_CONFIG_STRING, "0");
		memcpy(msg + bad[i].field, &value, sizeof(value));
		cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, len),
			     HVSI_RNDIS_INVALID_DATA, "case %zu", i);
	}
	for (len = 0; len < 20; len++)
		cr_assert_eq(rndis_set(&t, HVSI_OID_CONFIG_PARAMETER, msg, len),
			     HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(t.r.offloads_on, DEFAULTS);
}
