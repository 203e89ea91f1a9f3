/* SPDX-License-Identifier: MIT */
/* The state of RNDIS, saved and restored. */
#include "support/rndis.h"

#include "util/state.h"

#include <errno.h>

struct blob {
	uint8_t bytes[2048];
	size_t len;
};

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	cr_assert_leq(len, sizeof(b->bytes) - b->len);
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

/* Behind the record's header. */
static void save(struct rndis *t, struct blob *b)
{
	struct hvs_state_writer w;

	b->len = 0;
	hvsi_state_begin(&w, append, b);
	cr_assert_eq(hvsi_rndis_save(&t->r, &w), 0);
	cr_assert_eq(hvsi_state_end(&w), 0);
}

static int restore(struct hvsi_rndis *r, const struct blob *b, size_t len)
{
	struct hvs_state_reader reader = {
		.payload = hvsi_reader(b->bytes + sizeof(struct hvsi_state_record), len)};

	return hvsi_rndis_restore(r, &reader);
}

#define STATE_BYTES 584u

static const uint8_t mac[6] = {0x02, 1, 2, 3, 4, 5};
static const uint8_t group[6] = {0x01, 0, 0x5e, 0, 0, 9};

static void set_up(struct rndis *t)
{
	struct {
		struct hvsi_ndis_rss_parameters p;
		struct hvs_le32 table[4];
		uint8_t key[40];
	} rss = {.p = {.hash = hvsi_le32(HVSI_HASH_TOEPLITZ | HVSI_HASH_TCP4),
		       .table_bytes = hvsi_le16(16),
		       .table_off = hvsi_le32(40),
		       .key_bytes = hvsi_le16(40),
		       .key_off = hvsi_le32(56)},
		 .table = {hvsi_le32(7), hvsi_le32(6), hvsi_le32(1), hvsi_le32(0)},
		 .key = {0x6d, 0x5a}};
	struct hvsi_ndis_offload_parameters p = {
		.hdr = {HVSI_NDIS_DEFAULT, 3, hvsi_le16(28)}, .udp6_csum = 1, .rsc_ip4 = 2};

	rndis_open(t);
	hvsi_rndis_open(&t->r,
			&(struct hvsi_rndis_open){
				.ndis_major = 6, .ndis_minor = 30, .mtu = 9000, .rsc = true});
	cr_assert_eq(rndis_initialize(t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(t, HVSI_OID_RSS_PARAMETERS, &rss, sizeof(rss)), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(t, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(t, HVSI_OID_CURRENT_ADDRESS, mac, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(t, HVSI_OID_MULTICAST_LIST, group, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(t, HVSI_OID_CURRENT_PACKET_FILTER, "\x03\0\0", 4),
		     HVSI_RNDIS_SUCCESS);
}

Test(net_rndis_save, everything_the_guest_set_comes_back)
{
	struct rndis from, to;
	struct hvsi_rss rss;
	struct blob b;

	set_up(&from);
	save(&from, &b);
	rndis_open(&to);
	cr_assert_eq(restore(&to.r, &b, STATE_BYTES), 0);
	cr_assert_eq(to.r.state, HVSI_RNDIS_OPERATIONAL);
	cr_assert_eq(to.r.filter, 3);
	cr_assert(hvsi_rndis_wants(&to.r, mac));
	cr_assert(hvsi_rndis_wants(&to.r, group));
	cr_assert(!hvsi_rndis_wants(&to.r, (const uint8_t[]){1, 0, 0x5e, 0, 0, 8}));
	cr_assert_eq(to.r.offloads_on, from.r.offloads_on);
	cr_assert_eq(rndis_number(&to, HVSI_OID_MAXIMUM_FRAME_SIZE, 4), 9000);
	hvsi_rndis_rss_copy(&to.r, &rss);
	cr_assert_eq(rss.hash, HVSI_HASH_TOEPLITZ | HVSI_HASH_TCP4);
	cr_assert(rss.key[0] == 0x6d && rss.key[1] == 0x5a && !rss.key[39]);
	for (unsigned i = 0; i < 128; i++)
		cr_assert_eq(rss.table[i], ((const uint16_t[]){7, 6, 1, 0})[i % 4]);
	save(&to, &b);
	rndis_open(&from);
	cr_assert_eq(restore(&from.r, &b, STATE_BYTES), 0);
}

Test(net_rndis_save, an_uninitialized_or_halted_driver_stays_one)
{
	struct rndis from, to;
	struct blob b;

	rndis_open(&from);
	save(&from, &b);
	rndis_start(&to);
	cr_assert_eq(restore(&to.r, &b, STATE_BYTES), 0);
	cr_assert_eq(to.r.state, HVSI_RNDIS_UNINITIALIZED);
	rndis_start(&from);
	rndis_halt(&from);
	save(&from, &b);
	cr_assert_eq(restore(&to.r, &b, STATE_BYTES), 0);
	cr_assert_eq(to.r.state, HVSI_RNDIS_HALTED);
	cr_assert_eq(to.r.filter, 0);
}

Test(net_rndis_save, entries_go_round_when_there_are_fewer_channels)
{
	struct rndis from, to;
	struct hvsi_rss rss;
	struct blob b;

	set_up(&from);
	save(&from, &b);
	rndis_open(&to);
	to.r.queues = 3;
	cr_assert_eq(restore(&to.r, &b, STATE_BYTES), 0);
	hvsi_rndis_rss_copy(&to.r, &rss);
	for (unsigned i = 0; i < 128; i++)
		cr_assert_lt(rss.table[i], 3);
}

/* The guest goes on using it; the NIC does it in software, or not at all. */
Test(net_rndis_save, an_offload_the_nic_has_lost_stays_on_until_the_guest_turns_it_off)
{
	struct hvsi_ndis_offload_parameters p = {.hdr = {HVSI_NDIS_DEFAULT, 3, hvsi_le16(28)},
						 .lso2_ip4 = 1};
	struct rndis from, to;
	struct blob b;

	set_up(&from);
	save(&from, &b);
	rndis_open(&to);
	to.r.offloads = 0;
	cr_assert_eq(restore(&to.r, &b, STATE_BYTES), 0);
	cr_assert(to.r.offloads_on & HVSI_OFFLOAD_LSO4);
	cr_assert_eq(rndis_set(&to, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_SUCCESS);
	cr_assert(!(to.r.offloads_on & HVSI_OFFLOAD_LSO4));
	cr_assert(to.r.offloads_on & HVSI_OFFLOAD_LSO6);
	p.lso2_ip4 = 2;
	cr_assert_eq(rndis_set(&to, HVSI_OID_OFFLOAD_PARAMETERS, &p, 28), HVSI_RNDIS_SUCCESS);
	cr_assert(!(to.r.offloads_on & HVSI_OFFLOAD_LSO4));
}

Test(net_rndis_save, hostile_state_is_refused_and_changes_nothing)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {
		{0, 3},
		{0, 255}, /* state */
		{0, 0},
		{0, 2}, /* a filter without a driver */
		{20, 33},
		{23, 0x80}, /* multicast count */
		{24, 1},
		{30, 1},               /* address */
		{32 + 40 + 256 + 6, 1} /* group */
	};
	struct rndis from, to;
	struct blob b;

	set_up(&from);
	rndis_start(&to);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		save(&from, &b);
		b.bytes[sizeof(struct hvsi_state_record) + bad[i].at] = bad[i].value;
		cr_assert_eq(restore(&to.r, &b, STATE_BYTES), -EBADMSG, "case %zu", i);
	}
	save(&from, &b);
	memset(b.bytes + sizeof(struct hvsi_state_record) + 24, 0, 8);
	cr_assert_eq(restore(&to.r, &b, STATE_BYTES), -EBADMSG, "no address");
	for (size_t len = 0; len < STATE_BYTES; len++)
		cr_assert_eq(restore(&to.r, &b, len), -EBADMSG);
	cr_assert_eq(to.r.filter, 0);
	cr_assert_eq(to.r.mac, to.r.permanent);
	cr_assert_eq(to.r.mtu, 1500);
}

Test(net_rndis_save, numbers_nobody_knows_are_left_out)
{
	struct rndis from, to;
	struct hvsi_rss rss;
	struct blob b;

	set_up(&from);
	save(&from, &b);
	memset(b.bytes + sizeof(struct hvsi_state_record) + 12, 0xff, 8); /* offloads, hash */
	rndis_open(&to);
	cr_assert_eq(restore(&to.r, &b, STATE_BYTES), 0);
	cr_assert_eq(to.r.offloads_on, HVSI_OFFLOAD_ALL);
	hvsi_rndis_rss_copy(&to.r, &rss);
	cr_assert_eq(rss.hash, 0, "function 255");
}
