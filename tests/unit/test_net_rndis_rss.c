/* SPDX-License-Identifier: MIT */
/* Receive-side scaling as guests set it up. */
#include "support/rndis.h"

#define HASH (HVSI_HASH_TOEPLITZ | HVSI_HASH_IP4 | HVSI_HASH_TCP4 | HVSI_HASH_IP6 | HVSI_HASH_TCP6)

/* Parameters, a table of 128, a key: entry n names channel n % 8, byte n of the key is n. */
struct setup {
	struct hvsi_ndis_rss_parameters p;
	struct hvs_le32 table[128];
	uint8_t key[40];
};

static struct setup setup(void)
{
	struct setup s = {.p = {.hdr = {HVSI_NDIS_RSS_PARAMETERS, 2, hvsi_le16(40)},
				.hash = hvsi_le32(HASH),
				.table_bytes = hvsi_le16(sizeof(s.table)),
				.table_off = hvsi_le32(offsetof(struct setup, table)),
				.key_bytes = hvsi_le16(sizeof(s.key)),
				.key_off = hvsi_le32(offsetof(struct setup, key))}};

	for (uint32_t i = 0; i < 128; i++)
		s.table[i] = hvsi_le32(i % 8);
	for (uint8_t i = 0; i < 40; i++)
		s.key[i] = i;
	return s;
}

static int64_t set_rss(struct rndis *t, const struct setup *s)
{
	return rndis_set(t, HVSI_OID_RSS_PARAMETERS, s, sizeof(*s));
}

static struct hvsi_rss now(struct rndis *t)
{
	struct hvsi_rss rss;

	hvsi_rndis_rss_copy(&t->r, &rss);
	return rss;
}

/* ---- capabilities --------------------------------------------------------------------------- */

Test(net_rndis_rss, capabilities_have_eighteen_bytes)
{
	static const uint8_t expected[18] = {0x88, 2, 18, 0, 0x01, 0x1b, 0, 0,   1,
					     0,    0, 0,  8, 0,    0,    0, 128, 0};
	static const uint8_t asked[][20] = {{0x88, 2, 18, 0}, {0x88, 2, 20, 0}, {0x88, 1, 16, 0}};
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(
			rndis_query(&t, HVSI_OID_RSS_CAPABILITIES, asked[i], asked[i][2], &len),
			HVSI_RNDIS_SUCCESS);
		cr_assert_eq(len, 18);
		cr_assert_arr_eq(rndis_info(&t), expected, 18);
	}
}

/* DPDK divides by it. */
Test(net_rndis_rss, one_queue_has_a_table_all_the_same)
{
	struct rndis t;
	uint32_t len;

	rndis_start(&t);
	t.r.queues = 1;
	cr_assert_eq(rndis_query(&t, HVSI_OID_RSS_CAPABILITIES, NULL, 0, &len), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_info(&t)[12], 1);
	cr_assert_eq(rndis_info(&t)[16], 128);
}

/* ---- parameters ----------------------------------------------------------------------------- */

Test(net_rndis_rss, table_and_key_are_taken_over)
{
	struct setup s = setup();
	struct hvsi_rss rss = {0};
	struct rndis t;

	rndis_start(&t);
	cr_assert(hvsi_rndis_rss_changed(&t.r, &rss), "nobody has looked yet");
	rss = now(&t);
	cr_assert_eq(rss.hash, 0);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.changes, HVSI_RNDIS_CHANGED_RSS);
	cr_assert(hvsi_rndis_rss_changed(&t.r, &rss));
	rss = now(&t);
	cr_assert(!hvsi_rndis_rss_changed(&t.r, &rss));
	cr_assert_eq(rss.hash, HASH);
	cr_assert_arr_eq(rss.key, s.key, 40);
	for (uint16_t i = 0; i < 128; i++)
		cr_assert_eq(rss.table[i], i % 8);
}

Test(net_rndis_rss, a_small_table_goes_round)
{
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	s.p.table_bytes = hvsi_le16(3 * 4);
	s.table[1] = hvsi_le32(7);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	for (unsigned i = 0; i < 128; i++)
		cr_assert_eq(now(&t).table[i], ((const uint16_t[]){0, 7, 2})[i % 3]);
}

Test(net_rndis_rss, of_a_larger_table_the_first_entries_count)
{
	struct {
		struct setup s;
		struct hvs_le32 table[256];
	} big = {.s = setup()};
	struct rndis t;

	rndis_start(&t);
	for (uint32_t i = 0; i < 256; i++)
		big.table[i] = hvsi_le32(i < 128 ? i % 3 : 77);
	big.s.p.table_off = hvsi_le32(sizeof(big.s));
	big.s.p.table_bytes = hvsi_le16(sizeof(big.table));
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, &big, sizeof(big)), HVSI_RNDIS_SUCCESS);
	for (unsigned i = 0; i < 128; i++)
		cr_assert_eq(now(&t).table[i], i % 3);
}

Test(net_rndis_rss, what_is_said_to_be_unchanged_is)
{
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	memset(s.key, 0xee, sizeof(s.key));
	s.table[0] = hvsi_le32(5);
	s.p.hash = hvsi_le32(HVSI_HASH_TOEPLITZ | HVSI_HASH_UDP4);
	s.p.flags = hvsi_le16(HVSI_NDIS_RSS_SAME_KEY);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(now(&t).key[1], 1);
	cr_assert_eq(now(&t).table[0], 5);
	cr_assert_eq(now(&t).hash, HVSI_HASH_TOEPLITZ | HVSI_HASH_UDP4);
	s.table[0] = hvsi_le32(6);
	s.p.flags = hvsi_le16(HVSI_NDIS_RSS_SAME_TABLE | HVSI_NDIS_RSS_SAME_HASH);
	s.p.hash = hvsi_le32(0);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(now(&t).key[1], 0xee);
	cr_assert_eq(now(&t).table[0], 5);
	cr_assert_eq(now(&t).hash, HVSI_HASH_TOEPLITZ | HVSI_HASH_UDP4);
	/* Nothing is looked at that does not count. */
	s.p.flags = hvsi_le16(HVSI_NDIS_RSS_SAME_TABLE | HVSI_NDIS_RSS_SAME_KEY |
			      HVSI_NDIS_RSS_SAME_HASH);
	s.p.key_bytes = s.p.table_bytes = hvsi_le16(0xffff);
	s.p.key_off = s.p.table_off = hvsi_le32(0xffffffff);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
}

Test(net_rndis_rss, disable_turns_it_off_whatever_else_it_says)
{
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	s.p.flags = hvsi_le16(HVSI_NDIS_RSS_DISABLE);
	s.p.table_bytes = hvsi_le16(0);
	s.p.key_off = hvsi_le32(0xffffffff);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(now(&t).hash, 0);
	cr_assert_eq(t.changes, HVSI_RNDIS_CHANGED_RSS);
	s = setup();
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(now(&t).hash, HASH);
	s.p.hash = hvsi_le32(HVSI_HASH_TCP4); /* no function */
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(now(&t).hash, 0);
}

Test(net_rndis_rss, functions_and_types_nobody_knows)
{
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	s.p.hash = hvsi_le32(2 | HVSI_HASH_TCP4);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_NOT_SUPPORTED);
	cr_assert_eq(now(&t).hash, 0);
	s.p.hash = hvsi_le32(HASH | 0xfff00000 | HVSI_HASH_IP6_EX);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(now(&t).hash, HASH);
}

Test(net_rndis_rss, tables_and_keys_outside_the_message_change_nothing)
{
	static const struct {
		uint32_t table_bytes, table_off, key_bytes, key_off;
	} bad[] = {
		{0, 40, 40, 552},          {2, 40, 40, 552},    {511, 40, 40, 552},
		{512, 81, 40, 552},        {512, 592, 40, 552}, {512, 0xfffffe00, 40, 552},
		{512, 593, 40, 552},       {4, 589, 40, 552},   {0xfffc, 40, 40, 552},
		{512, 40, 39, 552},        {512, 40, 41, 552},  {512, 40, 0, 552},
		{512, 40, 40, 553},        {512, 40, 40, 592},  {512, 40, 40, 0xffffffff},
		{512, 40, 40, 0xffffffd8},
	};
	struct setup s = setup();
	struct rndis t;
	uint32_t generation;

	rndis_start(&t);
	cr_assert_eq(sizeof(s), 592);
	generation = now(&t).generation;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		s.p.table_bytes = hvsi_le16((uint16_t)bad[i].table_bytes);
		s.p.table_off = hvsi_le32(bad[i].table_off);
		s.p.key_bytes = hvsi_le16((uint16_t)bad[i].key_bytes);
		s.p.key_off = hvsi_le32(bad[i].key_off);
		cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_INVALID_DATA, "case %zu", i);
		cr_assert_eq(t.changes, 0);
	}
	cr_assert_eq(now(&t).generation, generation);
}

Test(net_rndis_rss, entries_name_channels_there_may_be)
{
	static const uint32_t bad[] = {8, 64, 0x10000, 0xffffffff};
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		s.table[127] = hvsi_le32(bad[i]);
		cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_INVALID_DATA);
	}
	cr_assert_eq(now(&t).hash, 0);
	s.table[127] = hvsi_le32(7);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
}

Test(net_rndis_rss, parameters_reach_at_least_to_the_key)
{
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	s.p.flags = hvsi_le16(HVSI_NDIS_RSS_SAME_TABLE | HVSI_NDIS_RSS_SAME_KEY);
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, &s, 27), HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, NULL, 0), HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(rndis_set(&t, HVSI_OID_RSS_PARAMETERS, &s, 28), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(now(&t).hash, HASH);
}

Test(net_rndis_rss, a_halted_driver_has_no_rss)
{
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	rndis_halt(&t);
	cr_assert_eq(now(&t).hash, 0);
	cr_assert(t.changes & HVSI_RNDIS_CHANGED_RSS);
}

Test(net_rndis_rss, a_copy_of_zeroes_is_old_even_when_generations_wrap)
{
	struct hvsi_rss zero = {0};
	struct setup s = setup();
	struct rndis t;

	rndis_start(&t);
	t.r.rss.generation = UINT32_MAX;
	cr_assert_eq(set_rss(&t, &s), HVSI_RNDIS_SUCCESS);
	cr_assert(hvsi_rndis_rss_changed(&t.r, &zero));
}
