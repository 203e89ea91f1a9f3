/* SPDX-License-Identifier: MIT */
/* NVSP message by message: network.md 3 to 5, what a driver may say, when, and what it is told. */
#include "support/nic.h"

#include "vmbus/proto.h"

#include <errno.h>

struct answer {
	bool came;
	uint16_t type;
	uint32_t len;
	struct hvsi_nvsp m;
};

static struct nic *up(const struct nic_options *opt)
{
	struct nic *n = nic_up(opt);

	nic_connect(n);
	nic_open(n);
	return n;
}

/* Say something of len bytes, and what is said to that. */
static struct answer say_bytes(struct nic *n, uint64_t xid, bool wants, const void *m, uint32_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)m, len};
	struct hvs_guest_packet pkt;
	struct answer a = {0};

	cr_assert_eq(hvs_guest_send(n->ch, xid, wants, NULL, &iov, 1), 0);
	hvs_guest_flush(n->ch);
	hvs_loopback_run(n->lb);
	a.came = hvs_guest_recv(n->ch, &pkt) == 1;
	if (!a.came)
		return a;
	cr_assert_eq(pkt.xid, xid);
	cr_assert_not(pkt.wants_completion);
	a.type = pkt.type;
	a.len = pkt.len;
	cr_assert_leq(pkt.len, sizeof(a.m));
	memcpy(&a.m, pkt.data, pkt.len);
	cr_assert_eq(hvs_guest_recv(n->ch, &pkt), 0, "more than one answer");
	return a;
}

static struct answer say(struct nic *n, struct hvsi_nvsp m)
{
	struct answer a = say_bytes(n, 7, true, &m, HVSI_NVSP_BYTES);

	cr_assert(a.came);
	cr_assert_eq(a.type, HVS_PACKET_COMPLETION);
	return a;
}

static struct hvsi_nvsp msg(uint32_t type)
{
	return (struct hvsi_nvsp){.type = hvsi_le32(type)};
}

static uint32_t init(struct nic *n, uint32_t version)
{
	struct hvsi_nvsp m = msg(HVSI_NVSP_INIT);
	struct answer a;

	m.u.init.version = hvsi_le32(version);
	m.u.init.version2 = m.u.init.version;
	a = say(n, m);
	cr_assert_eq(a.len, 32);
	cr_assert_eq(hvsi_get32(a.m.type), HVSI_NVSP_INIT_DONE);
	return hvsi_get32(a.m.u.init_done.status);
}

static uint32_t share(struct nic *n, uint32_t pages)
{
	uint64_t gpa;
	uint32_t id;

	cr_assert_not_null(hvs_loopback_alloc_pages(n->lb, pages, &gpa));
	cr_assert_eq(hvs_guest_gpadl_create(n->guest, hvs_guest_offer_at(n->guest, 0)->relid, gpa,
					    pages * 4096, &id),
		     0);
	return id;
}

static struct answer buffer(struct nic *n, uint32_t type, uint32_t gpadl)
{
	struct hvsi_nvsp m = msg(type);

	m.u.buffer.gpadl = hvsi_le32(gpadl);
	m.u.buffer.id = hvsi_le16(0x1981);
	return say(n, m);
}

static void expect_empty(struct answer a)
{
	cr_assert(a.came);
	cr_assert_eq(a.type, HVS_PACKET_COMPLETION);
	cr_assert_eq(a.len, 0);
}

static uint32_t receive_status(struct answer a)
{
	cr_assert_eq(a.len, a.len == 40 ? 40 : 32);
	cr_assert_eq(hvsi_get32(a.m.type), HVSI_NVSP_RECEIVE_BUFFER_DONE);
	return hvsi_get32(a.m.u.receive_buffer_done.status);
}

/* ---- versions --------------------------------------------------------------------------------- */

Test(net_negotiation, unknown_versions_are_refused_until_a_known_one_comes)
{
	static const uint32_t unknown[] = {0,       1,       3,       0x30001, 0x30003,
					   0x40001, 0x50001, 0x60002, 0x70000, UINT32_MAX};
	struct nic *n = up(NULL);

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		cr_assert_neq(init(n, unknown[i]), HVSI_NVSP_SUCCESS, "%#x", unknown[i]);
	cr_assert_eq(nic_status(n).version, 0);
	cr_assert_eq(init(n, HVSI_NVSP_VERSION_5), HVSI_NVSP_SUCCESS);
	cr_assert_eq(nic_status(n).version, HVSI_NVSP_VERSION_5);
	/* Once. */
	cr_assert_neq(init(n, HVSI_NVSP_VERSION_4), HVSI_NVSP_SUCCESS);
	cr_assert_eq(nic_status(n).version, HVSI_NVSP_VERSION_5);
	nic_down(n);
}

Test(net_negotiation, versions_above_the_limit_are_refused)
{
	static const uint32_t versions[] = {HVSI_NVSP_VERSION_1, HVSI_NVSP_VERSION_2,
					    HVSI_NVSP_VERSION_4, HVSI_NVSP_VERSION_5,
					    HVSI_NVSP_VERSION_6, HVSI_NVSP_VERSION_61};

	for (size_t most = 0; most < 6; most++) {
		const struct nic_options opt = {.nic = {.max_version = versions[most]}};
		struct nic *n = up(&opt);

		for (size_t i = 6; i-- > most + 1;)
			cr_assert_neq(init(n, versions[i]), HVSI_NVSP_SUCCESS);
		cr_assert_eq(init(n, versions[most]), HVSI_NVSP_SUCCESS);
		nic_down(n);
	}
}

Test(net_negotiation, old_drivers_are_told_the_version)
{
	struct nic *n = up(NULL);
	struct hvsi_nvsp m = msg(HVSI_NVSP_INIT);
	struct answer a;

	m.u.init.version = hvsi_le32(HVSI_NVSP_VERSION_1);
	a = say(n, m);
	cr_assert_eq(hvsi_get32(a.m.u.init_done.version), HVSI_NVSP_VERSION_1);
	nic_down(n);
}

/* ---- order and length ------------------------------------------------------------------------- */

Test(net_negotiation, before_a_version_is_agreed_upon_all_else_is_answered_empty)
{
	static const uint32_t types[] = {100, 101, 103, 104, 106, 125, 129, 131, 133,       135,
					 0,   2,   99,  102, 128, 134, 136, 137, UINT32_MAX};
	struct nic *n = up(NULL);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint64_t before = nic_counters(n).from_malformed;

		expect_empty(say(n, msg(types[i])));
		cr_assert_eq(nic_counters(n).from_malformed, before + 1);
	}
	cr_assert_eq(init(n, HVSI_NVSP_VERSION_61), HVSI_NVSP_SUCCESS);
	nic_down(n);
}

Test(net_negotiation, types_of_newer_versions_are_answered_empty)
{
	static const struct {
		uint32_t type;
		uint32_t since;
		bool empty; /* also when it is known */
	} cases[] = {{125, HVSI_NVSP_VERSION_2, true},
		     {129, HVSI_NVSP_VERSION_4, true},
		     {131, HVSI_NVSP_VERSION_5, false},
		     {133, HVSI_NVSP_VERSION_5, false},
		     {135, HVSI_NVSP_VERSION_61, false}};
	static const uint32_t versions[] = {HVSI_NVSP_VERSION_1, HVSI_NVSP_VERSION_2,
					    HVSI_NVSP_VERSION_4, HVSI_NVSP_VERSION_5,
					    HVSI_NVSP_VERSION_6, HVSI_NVSP_VERSION_61};

	for (size_t v = 0; v < 6; v++) {
		struct nic *n = up(NULL);

		cr_assert_eq(init(n, versions[v]), HVSI_NVSP_SUCCESS);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			uint64_t before = nic_counters(n).from_malformed;
			struct answer a = say(n, msg(cases[i].type));
			bool known = versions[v] >= cases[i].since;

			cr_assert_eq(nic_counters(n).from_malformed, before + !known);
			if (!known || cases[i].empty) {
				expect_empty(a);
				continue;
			}
			cr_assert_eq(a.len, versions[v] == HVSI_NVSP_VERSION_61 ? 40 : 32);
		}
		nic_down(n);
	}
}

Test(net_negotiation, short_messages_are_answered_empty)
{
	static const struct {
		uint32_t type;
		uint32_t least;
	} cases[] = {{100, 12}, {101, 10}, {103, 6},  {104, 10}, {106, 6},
		     {125, 20}, {129, 8},  {131, 12}, {133, 12}, {135, 8}};
	struct nic *n = up(NULL);

	cr_assert_eq(init(n, HVSI_NVSP_VERSION_61), HVSI_NVSP_SUCCESS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvsi_nvsp m = msg(cases[i].type);

		/* Rings pad to 8. */
		for (uint32_t len = 0; (len + 7) / 8 * 8 < cases[i].least; len += 4)
			expect_empty(say_bytes(n, 9, true, &m, len));
	}
	nic_down(n);
}

Test(net_negotiation, what_wants_no_answer_gets_none)
{
	struct nic *n = up(NULL);
	struct hvsi_nvsp m = msg(HVSI_NVSP_INIT);

	m.u.init.version = hvsi_le32(HVSI_NVSP_VERSION_5);
	cr_assert_not(say_bytes(n, 1, false, &m, 28).came);
	cr_assert_eq(nic_status(n).version, HVSI_NVSP_VERSION_5);
	m = msg(HVSI_NVSP_NDIS_VERSION);
	cr_assert_not(say_bytes(n, 1, false, &m, 28).came);
	m = msg(0xdead);
	cr_assert_not(say_bytes(n, 1, false, &m, 28).came);
	/* An id of 0 is one like any other. */
	expect_empty(say_bytes(n, 0, true, &m, 28));
	nic_down(n);
}

/* ---- buffers ---------------------------------------------------------------------------------- */

Test(net_negotiation, slots_fit_frames_and_fill_the_buffer)
{
	static const struct {
		uint32_t frame;
		uint32_t slot;
	} cases[] = {{1514, 1856},       {0, 1856},    {1500, 1856}, {9217, 1856},
		     {UINT32_MAX, 1856}, {1600, 1920}, {9014, 9344}, {9216, 9536}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nic *n = up(NULL);
		struct hvsi_nvsp m = msg(HVSI_NVSP_NDIS_CONFIG);
		struct answer a;
		uint32_t slots = 16 * 4096 / cases[i].slot;

		cr_assert_eq(init(n, HVSI_NVSP_VERSION_5), HVSI_NVSP_SUCCESS);
		m.u.config.mtu = hvsi_le32(cases[i].frame);
		expect_empty(say(n, m));
		a = buffer(n, HVSI_NVSP_RECEIVE_BUFFER, share(n, 16));
		cr_assert_eq(receive_status(a), HVSI_NVSP_SUCCESS);
		cr_assert_eq(hvsi_get32(a.m.u.receive_buffer_done.section_count), 1);
		cr_assert_eq(hvsi_get32(a.m.u.receive_buffer_done.offset), 0);
		cr_assert_eq(hvsi_get32(a.m.u.receive_buffer_done.slot_bytes), cases[i].slot);
		cr_assert_eq(hvsi_get32(a.m.u.receive_buffer_done.slot_count), slots);
		cr_assert_eq(hvsi_get32(a.m.u.receive_buffer_done.end), slots * cases[i].slot);
		nic_down(n);
	}
}

Test(net_negotiation, a_receive_buffer_of_few_slots_works_and_one_of_fewer_is_refused)
{
	for (uint32_t pages = 1; pages <= 17; pages++) {
		struct nic *n = up(NULL);
		uint32_t slots = pages * 4096 / 1856;
		struct answer a;

		cr_assert_eq(init(n, HVSI_NVSP_VERSION_1), HVSI_NVSP_SUCCESS);
		a = buffer(n, HVSI_NVSP_RECEIVE_BUFFER, share(n, pages));
		cr_assert_eq(receive_status(a), slots >= 4 ? HVSI_NVSP_SUCCESS : HVSI_NVSP_FAILURE);
		nic_down(n);
	}
}

Test(net_negotiation, buffers_that_are_not_there_are_refused)
{
	struct nic *n = up(NULL);
	uint32_t id = share(n, 16);

	cr_assert_eq(init(n, HVSI_NVSP_VERSION_61), HVSI_NVSP_SUCCESS);
	cr_assert_eq(receive_status(buffer(n, HVSI_NVSP_RECEIVE_BUFFER, id + 1)),
		     HVSI_NVSP_FAILURE);
	cr_assert_eq(
		hvsi_get32(buffer(n, HVSI_NVSP_SEND_BUFFER, id + 1).m.u.send_buffer_done.status),
		HVSI_NVSP_FAILURE);
	/* Nothing was taken: the right one works, once; the same for both does. */
	cr_assert_eq(receive_status(buffer(n, HVSI_NVSP_RECEIVE_BUFFER, id)), HVSI_NVSP_SUCCESS);
	cr_assert_eq(receive_status(buffer(n, HVSI_NVSP_RECEIVE_BUFFER, id)), HVSI_NVSP_FAILURE);
	cr_assert_eq(hvsi_get32(buffer(n, HVSI_NVSP_SEND_BUFFER, id).m.u.send_buffer_done.status),
		     HVSI_NVSP_SUCCESS);
	cr_assert_eq(hvsi_get32(buffer(n, HVSI_NVSP_SEND_BUFFER, id).m.u.send_buffer_done.status),
		     HVSI_NVSP_FAILURE);
	nic_down(n);
}

Test(net_negotiation, buffers_may_be_revoked_and_given_again)
{
	struct nic *n = up(NULL);
	uint32_t id = share(n, 16);
	uint32_t relid = hvs_guest_offer_at(n->guest, 0)->relid;

	cr_assert_eq(init(n, HVSI_NVSP_VERSION_61), HVSI_NVSP_SUCCESS);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(receive_status(buffer(n, HVSI_NVSP_RECEIVE_BUFFER, id)),
			     HVSI_NVSP_SUCCESS);
		cr_assert_eq(
			hvsi_get32(
				buffer(n, HVSI_NVSP_SEND_BUFFER, id).m.u.send_buffer_done.status),
			HVSI_NVSP_SUCCESS);
		expect_empty(say(n, msg(HVSI_NVSP_REVOKE_RECEIVE_BUFFER)));
		expect_empty(say(n, msg(HVSI_NVSP_REVOKE_SEND_BUFFER)));
		/* Twice is once too often, but no harm. */
		expect_empty(say(n, msg(HVSI_NVSP_REVOKE_RECEIVE_BUFFER)));
		expect_empty(say(n, msg(HVSI_NVSP_REVOKE_SEND_BUFFER)));
	}
	/* And nobody holds the pages. */
	cr_assert_eq(hvs_guest_gpadl_teardown(n->guest, relid, id), 0);
	nic_down(n);
}

Test(net_negotiation, a_buffer_in_use_is_given_back_when_it_is_revoked_or_the_channel_closed)
{
	for (unsigned close = 0; close < 2; close++) {
		struct nic *n = up(NULL);
		uint32_t id = share(n, 16);
		uint32_t relid = hvs_guest_offer_at(n->guest, 0)->relid;
		struct hvsi_msg_gpadl_teardown m = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TEARDOWN),
						    .relid = hvsi_le32(relid),
						    .gpadl_id = hvsi_le32(id)};
		uint8_t buf[HVSI_MSG_MAX];

		cr_assert_eq(init(n, HVSI_NVSP_VERSION_5), HVSI_NVSP_SUCCESS);
		cr_assert_eq(receive_status(buffer(n, HVSI_NVSP_RECEIVE_BUFFER, id)),
			     HVSI_NVSP_SUCCESS);
		cr_assert_eq(hvs_guest_post(n->guest, 1, &m, sizeof(m)), 0);
		for (unsigned i = 0; i < 5; i++)
			hvs_loopback_run(n->lb);
		/* Not yet: its answer would come before this one. */
		cr_assert_eq(hvs_guest_gpadl_create(n->guest, relid, 0x100000, 4096, &id), 0);
		if (close)
			cr_assert_eq(hvs_guest_channel_close(n->ch), 0);
		else
			expect_empty(say(n, msg(HVSI_NVSP_REVOKE_RECEIVE_BUFFER)));
		if (!close)
			cr_assert_gt(hvs_guest_wait_message(n->guest, HVSI_MSG_GPADL_TORNDOWN, buf),
				     0);
		nic_down(n);
	}
}

/* ---- RNDIS' first message --------------------------------------------------------------------- */

Test(net_negotiation, frames_and_control_messages_before_their_time_fail)
{
	const struct nic_options opt = {.guest = {.send_bytes = 65536}};
	struct nic *n = up(&opt);
	uint8_t frame[64] = {0};
	struct hvsi_nvsp m = msg(HVSI_NVSP_RNDIS_PACKET);
	struct answer a;

	/* Nothing is negotiated: there is no section. */
	a = say(n, m);
	cr_assert_eq(hvsi_get32(a.m.type), HVSI_NVSP_RNDIS_PACKET_DONE);
	cr_assert_eq(hvsi_get32(a.m.u.rndis_done.status), HVSI_NVSP_FAILURE);
	nic_negotiate(n);
	nic_send(n, 0, 3, frame, sizeof(frame));
	nic_run(n);
	cr_assert_eq(n->done_status[0], HVSI_NVSP_FAILURE);
	cr_assert_eq(n->net->sent_count, 0);
	cr_assert_eq(hvs_guest_net_initialize(n->drv), 0);
	nic_send(n, 0, 4, frame, sizeof(frame));
	nic_run(n);
	cr_assert_eq(n->done_status[1], HVSI_NVSP_SUCCESS);
	cr_assert_eq(hvs_guest_net_halt(n->drv), 0);
	nic_send(n, 0, 5, frame, sizeof(frame));
	nic_run(n);
	cr_assert_eq(n->done_status[2], HVSI_NVSP_SUCCESS);
	cr_assert_eq(n->net->sent_count, 0); /* the first had a foreign source address */
	nic_down(n);
}

Test(net_negotiation, what_the_library_may_not_be_asked_for_is_refused)
{
	struct hvs_loopback *lb;
	struct nic *n = nic_up(NULL);
	struct hvs_nic *nic;
	struct hvs_net_ops none = {HVS_NET_OPS_INIT};
	struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .mac = {2}};

	cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
	cr_assert_eq(hvs_nic_create(hvs_loopback_bus(lb), &cfg, &none, NULL, &nic), -EINVAL);
	cr_assert_eq(hvs_nic_create(NULL, &cfg, &none, NULL, &nic), -EINVAL);
	cr_assert_eq(hvs_nic_remove(NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_nic_set_policy(NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_nic_set_monitor(NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_nic_get_counters(n->nic, NULL), -EINVAL);
	cr_assert_eq(hvs_nic_get_status(NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_nic_rx(n->nic, 1, NULL, 0), 0);
	hvs_loopback_destroy(lb);
	nic_connect(n);
	nic_down(n);
}
