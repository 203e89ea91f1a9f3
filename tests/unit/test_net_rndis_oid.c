/* SPDX-License-Identifier: MIT */
/* Every OID: its size, its value, who may set it. */
#include "support/rndis.h"

static const uint8_t permanent[6] = RNDIS_MAC;

/* ---- numbers -------------------------------------------------------------------------------- */

Test(net_rndis_oid, numbers_have_their_size_and_value)
{
	static const struct {
		uint32_t oid, bytes;
		uint64_t value;
	} numbers[] = {
		{0x00010102, 4, 0},          /* hardware status */
		{0x00010103, 4, 0},          /* media supported */
		{0x00010104, 4, 0},          /* media in use */
		{0x00010105, 4, 1500},       /* lookahead */
		{0x0001010f, 4, 1500},       /* current lookahead */
		{0x00010106, 4, 1500},       /* frame size */
		{0x00010111, 4, 1514},       /* total size */
		{0x0001010a, 4, 1514},       /* transmit block */
		{0x0001010b, 4, 1514},       /* receive block */
		{0x00010107, 4, 100000000},  /* link speed */
		{0x00010108, 4, 262144},     /* transmit space */
		{0x00010109, 4, 262144},     /* receive space */
		{0x0001010c, 4, 0x155d},     /* vendor */
		{0x00010116, 4, 0x0100},     /* vendor driver version */
		{0x00010110, 2, 0x0100},     /* driver version */
		{0x0001010e, 4, 0},          /* packet filter */
		{0x00010112, 4, 0},          /* protocol options */
		{0x00010113, 4, 0x24d},      /* MAC options */
		{0x00010114, 4, 0},          /* connected */
		{0x00010115, 4, 0xffffffff}, /* send packets */
		{0x00010202, 4, 0},          /* physical medium */
		{0x0001021c, 4, 0},          /* VLAN */
		{0x01010104, 4, 32},         /* multicast list */
		{0x01010105, 4, 0},          /* Ethernet options */
		{0x01020101, 4, 0},          {0x01020102, 4, 0},
		{0x01020103, 4, 0}, /* collisions */
	};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		cr_assert_eq(rndis_number(&t, numbers[i].oid, numbers[i].bytes), numbers[i].value,
			     "OID %#x", numbers[i].oid);
}

Test(net_rndis_oid, sizes_follow_the_mtu)
{
	struct rndis t;

	rndis_open(&t);
	hvsi_rndis_open(&t.r, &(struct hvsi_rndis_open){.ndis_major = 6, .mtu = 9000});
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_number(&t, HVSI_OID_MAXIMUM_FRAME_SIZE, 4), 9000);
	cr_assert_eq(rndis_number(&t, HVSI_OID_MAXIMUM_TOTAL_SIZE, 4), 9014);
}

Test(net_rndis_oid, unknown_ones_are_not_supported)
{
	static const uint32_t unknown[] = {0,          1,          0x00010100, 0x00010117,
					   0x00010204, 0x00010209, 0x0002020e, 0x00020200,
					   0x01010109, 0xfc01020e, 0xfc01020f, 0xfd010100,
					   0xfd010106, 0xffffffff, 0x0001021b, 0xfc01020c};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		rndis_expect_query_refused(&t, unknown[i], HVSI_RNDIS_NOT_SUPPORTED);
	cr_assert_eq(rndis_set(&t, 0xffffffff, "1234", 4), HVSI_RNDIS_NOT_SUPPORTED);
	cr_assert_eq(rndis_set(&t, HVSI_OID_PERMANENT_ADDRESS, permanent, 6),
		     HVSI_RNDIS_NOT_SUPPORTED);
	cr_assert_eq(t.changes, 0);
}

/* ---- supported list ------------------------------------------------------------------------- */

static uint32_t list_of(struct rndis *t, uint16_t major, uint16_t minor, uint32_t oids[128])
{
	uint32_t len;

	hvsi_rndis_open(&t->r, &(struct hvsi_rndis_open){
				       .ndis_major = major, .ndis_minor = minor, .mtu = 1500});
	cr_assert_eq(rndis_initialize(t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_query(t, HVSI_OID_SUPPORTED_LIST, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len % 4, 0);
	cr_assert_leq(len, 128 * 4);
	for (size_t i = 0; i < len / 4; i++) {
		struct hvs_le32 oid;

		memcpy(&oid, rndis_info(t) + i * 4, sizeof(oid));
		oids[i] = hvsi_get32(oid);
	}
	return len / 4;
}

static bool has(const uint32_t *oids, uint32_t count, uint32_t oid)
{
	for (uint32_t i = 0; i < count; i++)
		if (oids[i] == oid)
			return true;
	return false;
}

Test(net_rndis_oid, the_list_grows_with_the_version_of_ndis)
{
	uint32_t oids[128];
	struct rndis t;
	uint32_t count;

	rndis_open(&t);
	count = list_of(&t, 5, 1, oids);
	cr_assert(has(oids, count, HVSI_OID_MEDIA_CONNECT_STATUS));
	cr_assert(!has(oids, count, HVSI_OID_OFFLOAD_CAPABILITIES));
	count = list_of(&t, 6, 1, oids);
	cr_assert(has(oids, count, HVSI_OID_OFFLOAD_CAPABILITIES));
	cr_assert(!has(oids, count, HVSI_OID_RSS_CAPABILITIES));
	count = list_of(&t, 6, 30, oids);
	cr_assert(has(oids, count, HVSI_OID_RSS_CAPABILITIES));
	cr_assert(has(oids, count, HVSI_OID_RSS_PARAMETERS));
}

Test(net_rndis_oid, the_list_names_what_windows_requires)
{
	static const uint32_t required[] = {
		0x00010101, 0x00010102, 0x00010103, 0x00010104, 0x00010106, 0x00010107, 0x0001010a,
		0x0001010b, 0x0001010c, 0x0001010d, 0x00010116, 0x0001010e, 0x00010111, 0x00010114,
		0x00020101, 0x00020102, 0x00020103, 0x00020104, 0x00020105, 0x01010101, 0x01010102,
		0x01010103, 0x01010104, 0x01020101, 0x01020102, 0x01020103};
	uint32_t oids[128], count;
	struct rndis t;

	rndis_open(&t);
	count = list_of(&t, 5, 1, oids);
	for (size_t i = 0; i < sizeof(required) / sizeof(*required); i++)
		cr_assert(has(oids, count, required[i]), "OID %#x", required[i]);
}

Test(net_rndis_oid, everything_in_the_list_is_answered)
{
	static const uint32_t set_only[] = {
		HVSI_OID_CONFIG_PARAMETER, HVSI_OID_NETWORK_LAYER_ADDRESSES,
		HVSI_OID_LINK_PARAMETERS, HVSI_OID_OFFLOAD_PARAMETERS, HVSI_OID_RSS_PARAMETERS};
	uint32_t oids[128], count, len;
	struct rndis t;

	rndis_open(&t);
	count = list_of(&t, 6, 89, oids);
	cr_assert_geq(count, 40);
	for (uint32_t i = 0; i < count; i++) {
		cr_assert(!has(oids, i, oids[i]), "OID %#x twice", oids[i]);
		if (has(set_only, sizeof(set_only) / sizeof(*set_only), oids[i]))
			cr_assert_neq(rndis_set(&t, oids[i], NULL, 0), HVSI_RNDIS_NOT_SUPPORTED,
				      "OID %#x", oids[i]);
		else
			cr_assert_eq(rndis_query(&t, oids[i], NULL, 0, &len), HVSI_RNDIS_SUCCESS,
				     "OID %#x", oids[i]);
	}
}

Test(net_rndis_oid, there_is_no_list_for_other_versions)
{
	struct rndis t;

	rndis_open(&t);
	hvsi_rndis_open(&t.r, &(struct hvsi_rndis_open){.ndis_major = 7, .mtu = 1500});
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	rndis_expect_query_refused(&t, HVSI_OID_SUPPORTED_LIST, HVSI_RNDIS_BAD_VERSION);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void expect_name(const char *name, const uint16_t *units, size_t count)
{
	const struct hvsi_rndis_config cfg = {.mac = RNDIS_MAC, .name = name, .queues = 1};
	uint16_t got[256];
	struct rndis t;
	uint32_t len;

	rndis_open(&t);
	hvsi_rndis_init(&t.r, &cfg);
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_query(&t, HVSI_OID_FRIENDLY_NAME, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 512);
	for (size_t i = 0; i < 256; i++)
		got[i] = (uint16_t)(rndis_info(&t)[2 * i] | rndis_info(&t)[2 * i + 1] << 8);
	for (size_t i = 0; i < 256; i++)
		cr_assert_eq(got[i], i < count ? units[i] : 0, "%s: unit %zu is %#x", name, i,
			     got[i]);
}

Test(net_rndis_oid, the_name_is_utf16_padded_with_zeroes)
{
	static const uint16_t lan[] = {'l', 'a', 'n'};
	static const uint16_t none[] = {'N', 'e', 't', 'w', 'o', 'r', 'k', ' ',
					'A', 'd', 'a', 'p', 't', 'e', 'r'};
	static const uint16_t wide[] = {0xe4, 0x20ac, 0xd83d, 0xde00, 0x10, 0xdbff, 0xdfff};
	static const uint16_t broken[] = {0xfffd, 'a', 0xfffd, 0xfffd, 0xfffd, 0xfffd, 'b', 0xfffd};
	uint16_t longest[63];
	char longest_name[64] = {0};

	expect_name("lan", lan, 3);
	expect_name("", none, 15);
	expect_name("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\x10\xf4\x8f\xbf\xbf", wide, 7);
	/* alone, too long for what it says, a surrogate, cut off */
	expect_name("\x80"
		    "a\xc0\xaf\xed\xa0\x62\xe2",
		    broken, 8);
	for (size_t i = 0; i < 63; i++) {
		longest_name[i] = 'x';
		longest[i] = 'x';
	}
	expect_name(longest_name, longest, 63);
}

Test(net_rndis_oid, the_vendor_is_described_in_ascii_with_its_end)
{
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	cr_assert_eq(rndis_query(&t, HVSI_OID_VENDOR_DESCRIPTION, NULL, 0, &len),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_gt(len, 1);
	cr_assert_leq(len, 64);
	for (uint32_t i = 0; i < len - 1; i++)
		cr_assert(rndis_info(&t)[i] >= ' ' && rndis_info(&t)[i] < 0x7f);
	cr_assert_eq(rndis_info(&t)[len - 1], 0);
}

/* ---- link ----------------------------------------------------------------------------------- */

Test(net_rndis_oid, link_state_says_speed_and_connection)
{
	static const uint8_t expected[40] = {
		0x80, 1,    40,   0,    1, 0, 0, 0,
		2,    0,    0,    0,    0, 0, 0, 0, /* connected, full duplex */
		0,    0xe4, 0x0b, 0x54, 2, 0, 0, 0,
		0,    0xe4, 0x0b, 0x54, 2, 0, 0, 0};
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	cr_assert_eq(rndis_query(&t, HVSI_OID_LINK_STATE, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 40);
	cr_assert_arr_eq(rndis_info(&t), expected, 40);
	t.r.link_up = false;
	cr_assert_eq(rndis_query(&t, HVSI_OID_LINK_STATE, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_info(&t)[4], 2);
	cr_assert_eq(rndis_query(&t, HVSI_OID_MAX_LINK_SPEED, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 16);
	cr_assert_arr_eq(rndis_info(&t), expected + 16, 16);
}

Test(net_rndis_oid, a_speed_above_the_largest_number_is_that)
{
	struct rndis t;

	rndis_start(&t);
	t.r.bits_per_second = 800000000000;
	cr_assert_eq(rndis_number(&t, HVSI_OID_LINK_SPEED, 4), UINT32_MAX);
}

/* ---- statistics ----------------------------------------------------------------------------- */

#define BIG 0x100000000u

static void count_something(struct rndis *t)
{
	t->env.stats = (struct hvsi_rndis_stats){
		.tx = {.frames = {BIG + 1, 2, 3}, .bytes = {10, 20, BIG + 30}},
		.rx = {.frames = {4, 5, 6}, .bytes = {40, 50, 60}},
		.tx_errors = 7,
		.tx_discards = 8,
		.rx_errors = 9,
		.rx_no_buffer = BIG + 11,
	};
}

Test(net_rndis_oid, statistics_are_as_wide_as_the_guest_asks)
{
	static const struct {
		uint32_t oid, bytes; /* unless it asks */
		uint64_t value;
	} counters[] = {
		{0x00020101, 4, BIG + 6},  {0x00020102, 4, 15},       {0x00020103, 4, 7},
		{0x00020104, 4, 9},        {0x00020105, 4, BIG + 11}, {0x00020201, 8, 10},
		{0x00020202, 8, BIG + 1},  {0x00020203, 8, 20},       {0x00020204, 8, 2},
		{0x00020205, 8, BIG + 30}, {0x00020206, 8, 3},        {0x00020207, 8, 40},
		{0x00020208, 8, 4},        {0x00020209, 8, 50},       {0x0002020a, 8, 5},
		{0x0002020b, 8, 60},       {0x0002020c, 8, 6},        {0x0002020d, 8, 0},
		{0x00020219, 8, 150},      {0x0002021a, 8, BIG + 60}, {0x0002021b, 8, BIG + 20},
		{0x0002021c, 8, 8},
	};
	struct rndis t;

	rndis_start(&t);
	count_something(&t);
	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		for (uint32_t asked = 0; asked <= 8; asked += 4) {
			uint32_t bytes = asked ? asked : counters[i].bytes;
			struct hvs_le64 got = {0};
			uint32_t len;

			cr_assert_eq(rndis_query(&t, counters[i].oid, &got, asked, &len),
				     HVSI_RNDIS_SUCCESS);
			cr_assert_eq(len, bytes, "OID %#x asked with %u", counters[i].oid, asked);
			memcpy(&got, rndis_info(&t), bytes);
			cr_assert_eq(hvsi_get64(got),
				     bytes == 8 ? counters[i].value : (uint32_t)counters[i].value,
				     "OID %#x", counters[i].oid);
		}
}

/* ---- addresses ------------------------------------------------------------------------------ */

static void expect_address(struct rndis *t, uint32_t oid, const uint8_t mac[6])
{
	uint32_t len;

	cr_assert_eq(rndis_query(t, oid, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 6);
	cr_assert_arr_eq(rndis_info(t), mac, 6);
}

Test(net_rndis_oid, the_address_can_be_changed_and_the_permanent_one_stays)
{
	static const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
	struct rndis t;

	rndis_start(&t);
	expect_address(&t, HVSI_OID_PERMANENT_ADDRESS, permanent);
	expect_address(&t, HVSI_OID_CURRENT_ADDRESS, permanent);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, mac, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, HVSI_RNDIS_CHANGED_MAC);
	expect_address(&t, HVSI_OID_PERMANENT_ADDRESS, permanent);
	expect_address(&t, HVSI_OID_CURRENT_ADDRESS, mac);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, mac, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, 0, "it is that already");
}

Test(net_rndis_oid, an_address_that_is_none_is_refused)
{
	static const uint8_t zero[6] = {0}, group[6] = {0x03, 1, 2, 3, 4, 5};
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, zero, 6), HVSI_RNDIS_INVALID_DATA);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, group, 6), HVSI_RNDIS_INVALID_DATA);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, permanent, 5),
		     HVSI_RNDIS_INVALID_LENGTH);
	expect_address(&t, HVSI_OID_CURRENT_ADDRESS, permanent);
}

Test(net_rndis_oid, a_port_that_guards_addresses_lets_the_guest_go_back_only)
{
	static const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, mac, 6), HVSI_RNDIS_SUCCESS);
	t.env.may_set_mac = false;
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, permanent, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, HVSI_RNDIS_CHANGED_MAC);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, mac, 6), HVSI_RNDIS_FAILURE);
	expect_address(&t, HVSI_OID_CURRENT_ADDRESS, permanent);
}

/* ---- multicast list ------------------------------------------------------------------------- */

static void make_list(uint8_t list[][6], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		memcpy(list[i], (uint8_t[6]){0x01, 0, 0x5e, 0, 0, (uint8_t)i}, 6);
}

Test(net_rndis_oid, the_multicast_list_is_what_was_set)
{
	uint8_t list[33][6];
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	make_list(list, 33);
	cr_assert_eq(rndis_query(&t, HVSI_OID_MULTICAST_LIST, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 0);
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, list, 32 * 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_query(&t, HVSI_OID_MULTICAST_LIST, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(len, 32 * 6);
	cr_assert_arr_eq(rndis_info(&t), list, (size_t)32 * 6);
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, list, 33 * 6),
		     HVSI_RNDIS_MULTICAST_FULL);
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, list, 7), HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, permanent, 6), HVSI_RNDIS_INVALID_DATA);
	cr_assert_eq(t.r.multicast_count, 32, "as it was");
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, NULL, 0), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.r.multicast_count, 0);
}

Test(net_rndis_oid, groups_are_added_and_deleted_one_by_one)
{
	uint8_t list[33][6];
	struct rndis t;

	rndis_start(&t);
	make_list(list, 33);
	for (unsigned i = 0; i < 32; i++)
		cr_assert_eq(rndis_set(&t, HVSI_OID_ADD_MULTICAST, list[i], 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_ADD_MULTICAST, list[32], 6), HVSI_RNDIS_MULTICAST_FULL);
	cr_assert_eq(rndis_set(&t, HVSI_OID_ADD_MULTICAST, list[3], 6),
		     HVSI_RNDIS_MULTICAST_EXISTS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_DELETE_MULTICAST, list[3], 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_DELETE_MULTICAST, list[3], 6),
		     HVSI_RNDIS_MULTICAST_NOT_FOUND);
	cr_assert_eq(rndis_set(&t, HVSI_OID_ADD_MULTICAST, list[32], 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_ADD_MULTICAST, list[0], 5), HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(rndis_set(&t, HVSI_OID_ADD_MULTICAST, permanent, 6), HVSI_RNDIS_INVALID_DATA);
	for (unsigned i = 0; i < 33; i++)
		cr_assert_eq(hvsi_rndis_wants_group(&t.r, hvsi_mac(list[i])), i != 3);
}

/* ---- filter --------------------------------------------------------------------------------- */

static void set_filter(struct rndis *t, uint32_t filter)
{
	struct hvs_le32 wire = hvsi_le32(filter);

	cr_assert_eq(rndis_set(t, HVSI_OID_CURRENT_PACKET_FILTER, &wire, sizeof(wire)),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t->changes, HVSI_RNDIS_CHANGED_FILTER);
}

/* Which of these does the guest want: its own, another's, a group, another group, all. */
static unsigned wanted(struct rndis *t)
{
	static const uint8_t to[5][6] = {RNDIS_MAC,
					 {0x00, 0x15, 0x5d, 0x01, 0x02, 0x04},
					 {0x01, 0x00, 0x5e, 0, 0, 1},
					 {0x01, 0x00, 0x5e, 0, 0, 2},
					 {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	unsigned bits = 0;

	for (unsigned i = 0; i < 5; i++)
		bits |= (unsigned)hvsi_rndis_wants(&t->r, to[i]) << i;
	return bits;
}

enum { OWN = 1, OTHER = 2, GROUP = 4, OTHER_GROUP = 8, ALL = 16 };

Test(net_rndis_oid, the_filter_says_which_frames_are_wanted)
{
	static const uint8_t group[6] = {0x01, 0x00, 0x5e, 0, 0, 1};
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(wanted(&t), 0);
	set_filter(&t, 0x01);
	cr_assert_eq(wanted(&t), OWN);
	set_filter(&t, 0x04);
	cr_assert_eq(wanted(&t), GROUP | OTHER_GROUP);
	set_filter(&t, 0x08);
	cr_assert_eq(wanted(&t), ALL);
	set_filter(&t, 0x0d);
	cr_assert_eq(wanted(&t), OWN | GROUP | OTHER_GROUP | ALL);
	set_filter(&t, 0x20);
	cr_assert_eq(wanted(&t), OWN | OTHER | GROUP | OTHER_GROUP | ALL);
	set_filter(&t, 0x02);
	cr_assert_eq(wanted(&t), GROUP | OTHER_GROUP, "without a list: all groups");
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, group, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(wanted(&t), GROUP);
	set_filter(&t, 0xffffff50); /* nothing a NIC of today knows */
	cr_assert_eq(wanted(&t), 0);
	cr_assert_eq(rndis_number(&t, HVSI_OID_CURRENT_PACKET_FILTER, 4), 0xffffff50);
	set_filter(&t, 0);
	cr_assert_eq(wanted(&t), 0);
}

Test(net_rndis_oid, a_changed_address_is_wanted_and_the_permanent_one_still)
{
	static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x04};
	struct rndis t;

	rndis_start(&t);
	set_filter(&t, 0x01);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, mac, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(wanted(&t), OWN | OTHER);
}

Test(net_rndis_oid, a_filter_needs_four_bytes_and_may_have_more)
{
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_PACKET_FILTER, "\x0d\0", 3),
		     HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_PACKET_FILTER, NULL, 0),
		     HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(t.r.filter, 0);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_PACKET_FILTER, "\x0d\0\0\0\xff\xff\xff", 8),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.r.filter, 0x0d);
}

Test(net_rndis_oid, what_is_only_told_is_accepted)
{
	static const uint32_t told[] = {HVSI_OID_NETWORK_LAYER_ADDRESSES,
					HVSI_OID_CURRENT_LOOKAHEAD, HVSI_OID_PROTOCOL_OPTIONS,
					HVSI_OID_LINK_PARAMETERS};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++) {
		cr_assert_eq(rndis_set(&t, told[i], "\x01\x02\x03\x04", 4), HVSI_RNDIS_SUCCESS);
		cr_assert_eq(t.changes, 0);
	}
}
