/* SPDX-License-Identifier: MIT */
/* RNDIS control messages, their states, and indications. */
#include "support/rndis.h"
#include "support/rndis_flaw.h"

#define FILTER_UP 0x0du

static uint32_t word(const struct rndis *t, size_t off)
{
	struct hvs_le32 v;

	cr_assert_leq(off + sizeof(v), t->reply.len);
	memcpy(&v, t->reply.bytes + off, sizeof(v));
	return hvsi_get32(v);
}

static int64_t set_filter(struct rndis *t, uint32_t filter)
{
	struct hvs_le32 wire = hvsi_le32(filter);

	return rndis_set(t, HVSI_OID_CURRENT_PACKET_FILTER, &wire, sizeof(wire));
}

static void send_simple(struct rndis *t, uint32_t type, uint32_t id)
{
	const struct hvsi_rndis_simple msg = {.hdr = {hvsi_le32(type), hvsi_le32(sizeof(msg))},
					      .request_id = hvsi_le32(id)};

	rndis_send(t, &msg, sizeof(msg));
}

/* ---- INITIALIZE ----------------------------------------------------------------------------- */

Test(net_rndis, initialize_says_what_the_host_is_like)
{
	struct rndis t;

	rndis_open(&t);
	t.id = 0xe110e110;
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.reply.len, 52);
	cr_assert_eq(word(&t, 0), 0x80000002);
	cr_assert_eq(word(&t, 4), 52);
	cr_assert_eq(word(&t, 8), 0xe110e110);
	cr_assert_eq(word(&t, 16), 1, "major version");
	cr_assert_eq(word(&t, 20), 0, "minor version");
	cr_assert_eq(word(&t, 24), 1, "connectionless");
	cr_assert_eq(word(&t, 28), 0, "Ethernet");
	cr_assert_eq(word(&t, 32), HVSI_RNDIS_MAX_PACKETS);
	cr_assert_eq(word(&t, 36), 0xefffffff);
	cr_assert_eq(word(&t, 40), 3, "alignment");
	cr_assert_eq(word(&t, 44), 0);
	cr_assert_eq(word(&t, 48), 0);
	cr_assert_eq(t.r.state, HVSI_RNDIS_OPERATIONAL);
	cr_assert(t.changes & HVSI_RNDIS_CHANGED_STATE);
}

Test(net_rndis, another_major_version_is_refused)
{
	struct rndis t;

	rndis_open(&t);
	cr_assert_eq(rndis_initialize(&t, 2), HVSI_RNDIS_BAD_VERSION);
	cr_assert_eq(rndis_initialize(&t, 0), HVSI_RNDIS_BAD_VERSION);
	cr_assert_eq(t.r.state, HVSI_RNDIS_UNINITIALIZED);
	cr_assert_eq(t.changes, 0);
}

Test(net_rndis, initialize_again_begins_anew)
{
	static const uint8_t group[6] = {0x01, 0, 0x5e, 0, 0, 1};
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(set_filter(&t, FILTER_UP), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, group, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert(t.changes & HVSI_RNDIS_CHANGED_FILTER);
	cr_assert_eq(t.r.filter, 0);
	cr_assert_eq(t.r.multicast_count, 0);
	cr_assert_eq(t.r.state, HVSI_RNDIS_OPERATIONAL);
}

/* ---- states --------------------------------------------------------------------------------- */

Test(net_rndis, queries_and_sets_before_initialize_fail)
{
	struct rndis t;

	rndis_open(&t);
	rndis_expect_query_refused(&t, HVSI_OID_PERMANENT_ADDRESS, HVSI_RNDIS_FAILURE);
	cr_assert_eq(set_filter(&t, FILTER_UP), HVSI_RNDIS_FAILURE);
	cr_assert_eq(t.r.filter, 0);
}

Test(net_rndis, halt_has_no_answer_and_ends_reception)
{
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(set_filter(&t, FILTER_UP), HVSI_RNDIS_SUCCESS);
	rndis_halt(&t);
	cr_assert_eq(t.r.state, HVSI_RNDIS_HALTED);
	cr_assert_eq(t.r.filter, 0);
	cr_assert(t.changes & HVSI_RNDIS_CHANGED_STATE);
	cr_assert(t.changes & HVSI_RNDIS_CHANGED_FILTER);
	rndis_expect_query_refused(&t, HVSI_OID_PERMANENT_ADDRESS, HVSI_RNDIS_FAILURE);
	cr_assert_eq(set_filter(&t, FILTER_UP), HVSI_RNDIS_FAILURE);
}

Test(net_rndis, halt_before_initialize_or_twice_changes_nothing)
{
	struct rndis t;

	rndis_open(&t);
	rndis_halt(&t);
	cr_assert_eq(t.changes, 0);
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	rndis_halt(&t);
	rndis_halt(&t);
	cr_assert_eq(t.changes, 0);
}

Test(net_rndis, initialize_after_halt_works)
{
	struct rndis t;

	rndis_start(&t);
	rndis_halt(&t);
	cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(set_filter(&t, FILTER_UP), HVSI_RNDIS_SUCCESS);
}

Test(net_rndis, a_closed_channel_receives_nothing_and_keeps_its_address)
{
	static const uint8_t mac[6] = {0x02, 1, 2, 3, 4, 5};
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(rndis_set(&t, HVSI_OID_CURRENT_ADDRESS, mac, 6), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(set_filter(&t, FILTER_UP), HVSI_RNDIS_SUCCESS);
	hvsi_rndis_close(&t.r);
	cr_assert_eq(t.r.filter, 0);
	hvsi_rndis_open(&t.r, &(struct hvsi_rndis_open){.ndis_major = 6, .mtu = 9000});
	cr_assert_eq(t.r.state, HVSI_RNDIS_UNINITIALIZED);
	cr_assert_eq(t.r.mac, hvsi_mac(mac));
	hvsi_rndis_reset(&t.r);
	cr_assert_eq(t.r.mac, t.r.permanent);
}

/* ---- RESET, KEEPALIVE, SET_EX --------------------------------------------------------------- */

Test(net_rndis, reset_clears_filter_and_list_and_says_so)
{
	static const uint8_t group[6] = {0x01, 0, 0x5e, 0, 0, 1};
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(set_filter(&t, FILTER_UP), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(rndis_set(&t, HVSI_OID_MULTICAST_LIST, group, 6), HVSI_RNDIS_SUCCESS);
	send_simple(&t, HVSI_RNDIS_RESET, 0);
	cr_assert_eq(t.reply.len, 16);
	cr_assert_eq(word(&t, 0), 0x80000006);
	cr_assert_eq(word(&t, 8), HVSI_RNDIS_SUCCESS);
	cr_assert_eq(word(&t, 12), 1, "addressing reset");
	cr_assert_eq(t.r.filter, 0);
	cr_assert_eq(t.r.multicast_count, 0);
	cr_assert_eq(t.changes, HVSI_RNDIS_CHANGED_FILTER);
	cr_assert_eq(t.r.state, HVSI_RNDIS_OPERATIONAL);
}

Test(net_rndis, reset_before_initialize_fails)
{
	struct rndis t;

	rndis_open(&t);
	send_simple(&t, HVSI_RNDIS_RESET, 0);
	cr_assert_eq(word(&t, 8), HVSI_RNDIS_FAILURE);
	cr_assert_eq(word(&t, 12), 0);
	cr_assert_eq(t.r.state, HVSI_RNDIS_UNINITIALIZED);
}

Test(net_rndis, keepalive_is_answered_in_every_state)
{
	struct rndis t;

	rndis_open(&t);
	for (int i = 0; i < 3; i++) {
		send_simple(&t, HVSI_RNDIS_KEEPALIVE, 0x12340000);
		cr_assert_eq(t.reply.len, 16);
		cr_assert_eq(word(&t, 0), 0x80000008);
		cr_assert_eq(word(&t, 8), 0x12340000);
		cr_assert_eq(word(&t, 12), HVSI_RNDIS_SUCCESS);
		if (i == 0)
			cr_assert_eq(rndis_initialize(&t, 1), HVSI_RNDIS_SUCCESS);
		else
			rndis_halt(&t);
	}
}

Test(net_rndis, set_ex_is_not_supported)
{
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(rndis_request(&t, HVSI_RNDIS_SET_EX, HVSI_OID_CURRENT_PACKET_FILTER, 20, 4,
				   "\x0d\0\0", 4),
		     HVSI_RNDIS_NOT_SUPPORTED);
	cr_assert_eq(word(&t, 0), 0x80000009);
	cr_assert_eq(t.reply.len, 24);
}

/* ---- malformed ------------------------------------------------------------------------------ */

Test(net_rndis, types_that_are_no_requests_are_swallowed_and_counted)
{
	static const uint32_t types[] = {0,
					 HVSI_RNDIS_PACKET,
					 HVSI_RNDIS_INDICATE_STATUS,
					 10,
					 0x8001,
					 HVSI_RNDIS_INITIALIZE | HVSI_RNDIS_COMPLETION,
					 0xff000001,
					 0xffffffff};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		send_simple(&t, types[i], 1);
		cr_assert_eq(t.reply.len, 0, "type %#x", types[i]);
		cr_assert_eq(t.changes, HVSI_RNDIS_MALFORMED);
	}
}

Test(net_rndis, what_has_no_request_id_has_no_answer)
{
	static const uint8_t msg[12] = {HVSI_RNDIS_QUERY, 0, 0, 0, 12};
	struct rndis t;

	rndis_start(&t);
	for (size_t len = 0; len < sizeof(msg); len++) {
		rndis_send(&t, msg, len);
		cr_assert_eq(t.reply.len, 0);
		cr_assert_eq(t.changes, HVSI_RNDIS_MALFORMED);
	}
}

Test(net_rndis, a_message_over_the_limit_has_no_answer)
{
	static uint8_t msg[HVSI_RNDIS_MAX_CONTROL + 1] = {HVSI_RNDIS_KEEPALIVE, 0, 0, 0, 12};
	struct rndis t;

	rndis_start(&t);
	rndis_send(&t, msg, sizeof(msg));
	cr_assert_eq(t.changes, HVSI_RNDIS_MALFORMED);
	cr_assert_eq(t.reply.len, 0);
	rndis_send(&t, msg, sizeof(msg) - 1);
	cr_assert_eq(t.reply.len, 16);
}

/* Drivers wait for ever. */
Test(net_rndis, a_short_request_is_answered_with_its_id)
{
	struct rndis t;
	uint8_t msg[28] = {0};
	static const uint8_t types[] = {HVSI_RNDIS_INITIALIZE, HVSI_RNDIS_QUERY, HVSI_RNDIS_SET};

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(types); i++)
		for (unsigned len = 12; len < (i ? 28 : 24); len++) {
			msg[0] = types[i];
			msg[4] = (uint8_t)len;
			msg[10] = 0x77;
			rndis_send(&t, msg, len);
			cr_assert_eq(word(&t, 8), 0x770000);
			cr_assert_eq(word(&t, 12), HVSI_RNDIS_INVALID_LENGTH);
			cr_assert_eq(t.changes, HVSI_RNDIS_MALFORMED);
		}
}

Test(net_rndis, a_message_longer_than_what_came_is_answered_as_too_short)
{
	struct rndis t;
	uint8_t msg[32] = {HVSI_RNDIS_QUERY, 0, 0, 0, 33, 0, 0, 0, 5};

	rndis_start(&t);
	rndis_send(&t, msg, sizeof(msg));
	cr_assert_eq(word(&t, 8), 5);
	cr_assert_eq(word(&t, 12), HVSI_RNDIS_INVALID_LENGTH);
	msg[4] = 4; /* less than a header */
	rndis_send(&t, msg, sizeof(msg));
	cr_assert_eq(word(&t, 12), HVSI_RNDIS_INVALID_LENGTH);
}

Test(net_rndis, what_follows_the_message_does_not_belong_to_it)
{
	struct hvsi_rndis_request req = {
		.hdr = {hvsi_le32(HVSI_RNDIS_SET), hvsi_le32(sizeof(req))},
		.oid = hvsi_le32(HVSI_OID_CURRENT_PACKET_FILTER),
		.info_len = hvsi_le32(4),
		.info_off = hvsi_le32(20),
	};
	uint8_t msg[sizeof(req) + 4];
	struct rndis t;

	rndis_start(&t);
	memcpy(msg, &req, sizeof(req));
	memcpy(msg + sizeof(req), "\x0d\0\0", 4);
	rndis_send(&t, msg, sizeof(msg));
	cr_assert_eq(word(&t, 12), HVSI_RNDIS_INVALID_LENGTH);
	cr_assert_eq(t.r.filter, 0);
}

/* ---- the information of a request ----------------------------------------------------------- */

Test(net_rndis, a_query_without_information_may_have_any_offset)
{
	static const uint32_t offs[] = {0, 1, 20, 24, 0x7fffffff, 0xfffffff8, 0xffffffff};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(offs) / sizeof(*offs); i++)
		cr_assert_eq(rndis_request(&t, HVSI_RNDIS_QUERY, HVSI_OID_PERMANENT_ADDRESS,
					   offs[i], 0, NULL, 0),
			     HVSI_RNDIS_SUCCESS);
}

Test(net_rndis, information_outside_the_message_is_refused)
{
	static const struct {
		uint32_t off, len;
	} bad[] = {{0, 4},         {19, 4},          {21, 4},         {24, 1},
		   {20, 5},        {20, 0xffffffff}, {0xfffffff8, 4}, {0xffffffff, 0xffffffff},
		   {0x80000000, 4}};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cr_assert_eq(rndis_request(&t, HVSI_RNDIS_SET, HVSI_OID_CURRENT_PACKET_FILTER,
					   bad[i].off, bad[i].len, "\x0d\0\0", 4),
			     HVSI_RNDIS_INVALID_LENGTH, "case %zu", i);
		cr_assert_eq(t.changes, HVSI_RNDIS_MALFORMED);
		cr_assert_eq(rndis_request(&t, HVSI_RNDIS_QUERY, HVSI_OID_XMIT_OK, bad[i].off,
					   bad[i].len, "\0\0\0", 4),
			     HVSI_RNDIS_INVALID_LENGTH, "case %zu", i);
	}
	cr_assert_eq(t.r.filter, 0);
}

Test(net_rndis, information_may_be_behind_a_gap)
{
	struct rndis t;

	rndis_start(&t);
	cr_assert_eq(rndis_request(&t, HVSI_RNDIS_SET, HVSI_OID_CURRENT_PACKET_FILTER, 24, 4,
				   "\xff\xff\xff\xff\x0d\0\0", 8),
		     HVSI_RNDIS_SUCCESS);
	cr_assert_eq(t.r.filter, 0x0d);
}

Test(net_rndis, request_ids_come_back_bit_by_bit)
{
	static const uint32_t ids[] = {0, 1, 0x10000, 0xffff0000, 0x80000000, 0xffffffff};
	struct rndis t;

	rndis_start(&t);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		uint32_t len;

		t.id = ids[i];
		cr_assert_eq(rndis_query(&t, HVSI_OID_PERMANENT_ADDRESS, NULL, 0, &len),
			     HVSI_RNDIS_SUCCESS);
		cr_assert_eq(word(&t, 8), ids[i]);
		t.id = ids[i];
		cr_assert_eq(set_filter(&t, 1), HVSI_RNDIS_SUCCESS);
		cr_assert_eq(word(&t, 8), ids[i]);
	}
}

/* ---- indications ---------------------------------------------------------------------------- */

static uint32_t indicated(const struct hvsi_rndis_message *m, size_t off)
{
	const char *flaw = rndis_indication_flaw(m);
	struct hvs_le32 v;

	cr_assert_null(flaw, "%s", flaw);
	memcpy(&v, m->bytes + off, sizeof(v));
	return hvsi_get32(v);
}

Test(net_rndis, link_is_indicated_as_it_is)
{
	struct hvsi_rndis_message m;
	struct rndis t;

	rndis_start(&t);
	hvsi_rndis_indicate_link(&t.r, &m);
	cr_assert_eq(indicated(&m, 8), 0x4001000b);
	cr_assert_eq(m.len, 20);
	t.r.link_up = false;
	hvsi_rndis_indicate_link(&t.r, &m);
	cr_assert_eq(indicated(&m, 8), 0x4001000c);
	cr_assert_eq(rndis_number(&t, HVSI_OID_MEDIA_CONNECT_STATUS, 4), 1);
}

Test(net_rndis, speed_is_indicated_in_hundreds_of_bits)
{
	struct hvsi_rndis_message m;
	struct rndis t;

	rndis_start(&t);
	hvsi_rndis_indicate_speed(&t.r, &m);
	cr_assert_eq(indicated(&m, 8), 0x40010013);
	cr_assert_eq(m.len, 24);
	cr_assert_eq(indicated(&m, 20), 100000000);
	t.r.bits_per_second = UINT64_MAX;
	hvsi_rndis_indicate_speed(&t.r, &m);
	cr_assert_eq(indicated(&m, 20), UINT32_MAX);
}

Test(net_rndis, network_change_has_no_buffer)
{
	struct hvsi_rndis_message m;

	hvsi_rndis_indicate_network_change(&m);
	cr_assert_eq(indicated(&m, 8), 0x40010018);
	cr_assert_eq(m.len, 20);
}

Test(net_rndis, offload_configuration_is_indicated_whole)
{
	struct hvsi_rndis_message m;
	struct rndis t;

	rndis_start(&t);
	hvsi_rndis_indicate_offloads(&t.r, &m);
	cr_assert_eq(indicated(&m, 8), 0x40020006);
	cr_assert_eq(m.len, 20 + 156);
	cr_assert_eq(m.bytes[20], 0xa7);
}
