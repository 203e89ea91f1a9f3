/* SPDX-License-Identifier: MIT */
/* The connection, message by message: protocol/vmbus.md 5.1 to 5.6, 5.11. */
#include "support/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

static struct testbus *up(struct testdev *d, const struct bus_options *opt)
{
	struct testbus *b = bus_up(opt);

	if (d)
		dev_offer(b, d, 1, NULL);
	bus_start(b);
	return b;
}

static void send_bare(struct testbus *b, uint32_t type)
{
	struct hvsi_msg msg = hvsi_msg_header(type);

	bus_send(b, &msg, sizeof(msg));
}

static void expect_bare(struct testbus *b, uint32_t type)
{
	struct hvsi_msg msg = hvsi_msg_header(type);

	bus_expect(b, &msg, sizeof(msg));
}

/* ---- hypercall level -------------------------------------------------------------------------- */

Test(conn, connection_ids)
{
	static const struct {
		uint32_t max_version;
		uint32_t id;
		uint16_t expected;
	} cases[] = {
		{0, 1, HVS_HV_STATUS_SUCCESS},
		{0, 4, HVS_HV_STATUS_SUCCESS},
		{0, 0, HVS_HV_STATUS_INVALID_CONNECTION_ID},
		{0, 2, HVS_HV_STATUS_INVALID_CONNECTION_ID},
		{0, 3, HVS_HV_STATUS_INVALID_CONNECTION_ID},
		{0, 5, HVS_HV_STATUS_INVALID_CONNECTION_ID},
		{0, 0x2001, HVS_HV_STATUS_INVALID_CONNECTION_ID},
		{0, 0x800074, HVS_HV_STATUS_INVALID_CONNECTION_ID},
		{0, 0x1000001, HVS_HV_STATUS_INVALID_CONNECTION_ID},
		{V(5, 0), 4, HVS_HV_STATUS_SUCCESS},
		{V(4, 1), 4, HVS_HV_STATUS_INVALID_CONNECTION_ID}, /* Linux goes on to 4.1 */
		{V(4, 1), 1, HVS_HV_STATUS_SUCCESS},
	};
	const uint8_t msg[8] = {HVSI_MSG_REQUESTOFFERS};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bus_options opt = {.max_version = cases[i].max_version};
		struct testbus *b = up(NULL, &opt);

		cr_assert_eq(bus_post(b, cases[i].id, msg, sizeof(msg)), cases[i].expected,
			     "case %zu", i);
		bus_run(b);
		bus_down(b);
	}
}

Test(conn, impossible_messages_are_refused_by_the_hypercall)
{
	struct testbus *b = up(NULL, NULL);
	uint8_t msg[241] = {HVSI_MSG_REQUESTOFFERS};

	cr_assert_eq(hvs_vmbus_post_message(b->bus, 1, 0, msg, 8),
		     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
	cr_assert_eq(hvs_vmbus_post_message(b->bus, 1, 2, msg, 8),
		     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
	cr_assert_eq(bus_post(b, 1, msg, 0), HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
	cr_assert_eq(bus_post(b, 1, msg, 7), HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
	cr_assert_eq(bus_post(b, 1, msg, 241), HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
	cr_assert_eq(bus_post(b, 1, msg, 240), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 0); /* not connected */
	bus_down(b);
}

Test(conn, before_the_bus_starts_nobody_is_there)
{
	struct testbus *b = bus_up(NULL);
	const uint8_t msg[40] = {HVSI_MSG_INITIATE_CONTACT};

	cr_assert_not(hvs_vmbus_started(b->bus));
	cr_assert_eq(bus_post(b, 1, msg, sizeof(msg)), HVS_HV_STATUS_INVALID_CONNECTION_ID);
	cr_assert_eq(hvs_vmbus_start(b->bus), 0);
	cr_assert(hvs_vmbus_started(b->bus));
	cr_assert_eq(hvs_vmbus_start(b->bus), -EBUSY);
	cr_assert_eq(hvs_vmbus_start(NULL), -EINVAL);
	cr_assert_eq(bus_post(b, 1, msg, sizeof(msg)), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
	bus_take(b, HVSI_MSG_VERSION_RESPONSE, 16);
	bus_down(b);
}

Test(conn, sixteen_messages_wait_and_the_next_is_to_be_repeated)
{
	struct testbus *b = up(NULL, NULL);
	struct hvsi_msg unload = hvsi_msg_header(HVSI_MSG_UNLOAD);

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 16; i++)
			cr_assert_eq(bus_post(b, 1, &unload, sizeof(unload)), HVS_HV_STATUS_SUCCESS,
				     "message %d", i);
		cr_assert_eq(bus_post(b, 1, &unload, sizeof(unload)),
			     HVS_HV_STATUS_INSUFFICIENT_BUFFERS);
		cr_assert_eq(bus_post(b, 4, &unload, sizeof(unload)),
			     HVS_HV_STATUS_INSUFFICIENT_BUFFERS);
		bus_run(b);
		for (int i = 0; i < 16; i++)
			expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
		bus_expect_nothing(b);
	}
	bus_down(b);
}

/* ---- versions --------------------------------------------------------------------------------- */

static const uint32_t known[] = {V(0, 13), V(1, 1), V(2, 4), V(3, 0), V(4, 0), V(4, 1),
				 V(5, 0),  V(5, 1), V(5, 2), V(5, 3), V(6, 0)};

static void expect_version(struct testbus *b, uint32_t version, bool supported)
{
	const uint8_t *p =
		bus_take(b, HVSI_MSG_VERSION_RESPONSE, supported && version >= V(6, 0) ? 20 : 16);
	struct hvsi_msg_version_response r;

	memcpy(&r, p, sizeof(r));
	cr_assert_eq(r.supported, supported, "version %u.%u", version >> 16, version & 0xffff);
	cr_assert_eq(r.connection_state, 0);
	cr_assert_eq(r.reserved[0] | r.reserved[1], 0);
	if (supported)
		cr_assert_eq(hvsi_get32(r.selected), version >= V(5, 0) ? 1 : version);
	cr_assert_eq(hvs_vmbus_guest_version(b->bus), supported ? version : 0);
}

Test(conn, every_known_version_is_accepted)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct testbus *b = up(NULL, NULL);

		cr_assert_eq(hvs_vmbus_guest_version(b->bus), 0);
		bus_contact(b, known[i], known[i] >= V(5, 0) ? 4 : 1);
		expect_version(b, known[i], true);
		bus_no_fault(b);
		bus_offers(b, 0);
		bus_down(b);
	}
}

Test(conn, unknown_versions_are_refused_and_the_guest_may_try_on)
{
	static const uint32_t unknown[] = {
		0,       V(0, 12), V(0, 14), V(1, 0), V(2, 0), V(2, 3),    V(2, 5),    V(3, 1),
		V(4, 2), V(5, 4),  V(6, 1),  V(7, 0), 1,       0x80000000, UINT32_MAX, V(3, 0xffff),
	};
	struct testbus *b = up(NULL, NULL);

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		bus_contact(b, unknown[i], 1);
		expect_version(b, unknown[i], false);
	}
	bus_no_fault(b);
	bus_connect(b, V(3, 0));
	bus_down(b);
}

Test(conn, a_cap_hides_newer_versions)
{
	for (size_t cap = 0; cap < sizeof(known) / sizeof(known[0]); cap++) {
		struct bus_options opt = {.max_version = known[cap]};
		struct testbus *b = up(NULL, &opt);

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			bus_contact(b, known[i], 1);
			expect_version(b, known[i], i <= cap);
		}
		bus_down(b);
	}
}

Test(conn, a_cap_above_the_newest_is_the_newest)
{
	struct bus_options opt = {.max_version = V(7, 0)};
	struct testbus *b = up(NULL, &opt);

	bus_contact(b, V(7, 0), 4);
	expect_version(b, V(7, 0), false);
	bus_contact(b, V(6, 0), 4);
	expect_version(b, V(6, 0), true);
	bus_down(b);
}

Test(conn, what_else_a_contact_says_is_checked)
{
	static const struct {
		uint32_t version;
		uint32_t connection;
		uint32_t vp;
		uint8_t sint;
		uint8_t vtl;
		uint64_t page0;
		uint64_t page1;
		bool ok;
	} cases[] = {
		{V(5, 3), 4, 0, 2, 0, 0, 0, true},
		{V(5, 3), 4, 0, 1, 0, 0, 0, false}, /* SINT is 2, through connection 4 */
		{V(5, 3), 4, 0, 0, 0, 0, 0, false},
		{V(5, 3), 1, 0, 0, 0, 0, 0, true}, /* ... and not looked at through 1 */
		{V(5, 0), 4, 0, 3, 0, 0, 0, false},
		{V(4, 1), 4, 0, 3, 0, 0, 0, true},  /* part of an address before 5.0 */
		{V(5, 3), 4, 0, 2, 1, 0, 0, false}, /* for another trust level */
		{V(5, 1), 4, 0, 2, 2, 0, 0, false},
		{V(5, 0), 4, 0, 2, 1, 0, 0, true}, /* no such field before 5.1 */
		{V(5, 3), 4, 0, 2, 0, 0x1000, 0x2000, true},
		{V(5, 3), 4, 0, 2, 0, 0x1000, 0, false}, /* both monitor pages or none */
		{V(3, 0), 1, 0, 0, 0, 0, 0x2000, false},
		{V(5, 3), 4, 1, 2, 0, 0, 0, true},
		{V(5, 3), 4, 2, 2, 0, 0, 0, false}, /* there are two VPs */
		{V(3, 0), 1, UINT32_MAX, 0, 0, 0, 0, false},
		{V(2, 4), 1, 1, 0, 0, 0, 0, true}, /* before 3.0 it is always VP 0 */
		{V(2, 4), 1, 99, 0, 0, 0, 0, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvsi_msg_initiate_contact msg = {
			.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
			.version = hvsi_le32(cases[i].version),
			.target_vp = hvsi_le32(cases[i].vp),
			.sint = cases[i].sint,
			.vtl = cases[i].vtl,
			.monitor_page = {hvsi_le64(cases[i].page0), hvsi_le64(cases[i].page1)}};
		struct testbus *b = up(NULL, NULL);
		bool vp_used = cases[i].version >= V(3, 0) && cases[i].vp < 2;

		cr_assert_eq(bus_post(b, cases[i].connection, &msg, sizeof(msg)), 0);
		bus_run(b);
		cr_assert_eq(b->posted, 1, "case %zu", i);
		cr_assert_eq(b->posts[0].bytes[8], cases[i].ok, "case %zu", i);
		cr_assert_eq(b->posts[0].vp, vp_used ? cases[i].vp : 0, "case %zu", i);
		b->taken = 1;
		bus_down(b);
	}
}

Test(conn, messages_go_to_the_vp_the_guest_asked_for)
{
	struct hvsi_msg_initiate_contact msg = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						.version = hvsi_le32(V(4, 0)),
						.target_vp = hvsi_le32(1)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_send(b, &msg, sizeof(msg));
	bus_take(b, HVSI_MSG_VERSION_RESPONSE, 16);
	bus_offers(b, 1);
	bus_unload(b);
	expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
	for (unsigned i = 0; i < b->posted; i++)
		cr_assert_eq(b->posts[i].vp, 1, "message %u", i);
	bus_down(b);
}

/* mu_msvm and newer clients send more than we know. */
Test(conn, trailing_bytes_are_accepted)
{
	uint8_t msg[240] = {HVSI_MSG_INITIATE_CONTACT};
	struct testbus *b = up(NULL, NULL);
	struct hvs_le32 version = hvsi_le32(V(3, 0));

	memcpy(msg + 8, &version, 4);
	memset(msg + 40, 0xff, 200);
	bus_send(b, msg, sizeof(msg));
	expect_version(b, V(3, 0), true);
	memset(msg, 0xff, sizeof(msg));
	memcpy(msg, "\x03\0\0\0", 4); /* header padding is not looked at either */
	bus_send(b, msg, sizeof(msg));
	expect_bare(b, HVSI_MSG_ALLOFFERS_DELIVERED);
	bus_no_fault(b);
	bus_down(b);
}

/* ---- what may be said when -------------------------------------------------------------------- */

/* Shortest valid message of every type; none is answered while disconnected. */
static const struct {
	uint8_t type;
	uint8_t len;
} from_guest[] = {
	{HVSI_MSG_REQUESTOFFERS, 8},   {HVSI_MSG_OPENCHANNEL, 148},  {HVSI_MSG_CLOSECHANNEL, 12},
	{HVSI_MSG_GPADL_HEADER, 20},   {HVSI_MSG_GPADL_BODY, 16},    {HVSI_MSG_GPADL_TEARDOWN, 16},
	{HVSI_MSG_RELID_RELEASED, 12}, {HVSI_MSG_MODIFYCHANNEL, 16},
};

Test(conn, while_disconnected_only_contact_and_unload_mean_something)
{
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	for (size_t i = 0; i < sizeof(from_guest) / sizeof(from_guest[0]); i++) {
		uint8_t msg[240] = {from_guest[i].type};

		bus_send(b, msg, from_guest[i].len);
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
		bus_expect_nothing(b);
	}
	/* Harmless, and it keeps a confused guest from waiting for ever. */
	bus_unload(b);
	expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
	bus_no_fault(b);
	bus_down(b);
}

Test(conn, messages_too_short_are_dropped)
{
	for (size_t i = 1; i < sizeof(from_guest) / sizeof(from_guest[0]); i++) {
		struct testdev d = {0};
		struct testbus *b = up(&d, NULL);
		uint8_t msg[240] = {from_guest[i].type};

		bus_connect(b, NEWEST);
		bus_offers(b, 1);
		msg[8] = 1; /* relid */
		for (size_t len = 8; len < from_guest[i].len; len++) {
			bus_send(b, msg, len);
			bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
			bus_expect_nothing(b);
		}
		bus_down(b);
	}
}

Test(conn, a_contact_too_short_is_dropped)
{
	struct testbus *b = up(NULL, NULL);
	uint8_t msg[40] = {HVSI_MSG_INITIATE_CONTACT};

	for (size_t len = 8; len < 40; len++) {
		bus_send(b, msg, len);
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
	}
	bus_connect(b, NEWEST);
	for (size_t len = 8; len < 40; len++) {
		bus_send(b, msg, len);
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
	}
	cr_assert_eq(hvs_vmbus_guest_version(b->bus), NEWEST, "still connected");
	bus_down(b);
}

Test(conn, unknown_types_and_the_hosts_own_are_dropped)
{
	static const uint32_t types[] = {0,  1,  2,   4,       6,          10,        12, 15,
					 17, 20, 23,  24,      25,         26,        27, 28,
					 29, 30, 255, 256 + 3, 0x80000003, UINT32_MAX};
	struct testbus *b = up(NULL, NULL);

	bus_connect(b, NEWEST);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct {
			struct hvsi_msg h;
			uint8_t rest[232];
		} msg = {.h = hvsi_msg_header(types[i])};

		bus_send(b, &msg, sizeof(msg));
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
		bus_expect_nothing(b);
	}
	bus_down(b);
}

Test(conn, modifychannel_is_unknown_before_4_1)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct hvsi_msg_modify_channel msg = {.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL),
						      .relid = hvsi_le32(1)};
		struct testdev d = {0};
		struct testbus *b = up(&d, NULL);

		bus_open_first(b, known[i], 4, 2);
		bus_send(b, &msg, sizeof(msg));
		if (known[i] < V(4, 1))
			bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
		else
			bus_no_fault(b);
		b->taken = b->posted;
		bus_down(b);
	}
}

/* ---- offers ----------------------------------------------------------------------------------- */

Test(conn, an_offer_is_196_bytes_that_say_this)
{
	static const struct hvs_vsp_ops nobody = {HVS_VSP_OPS_INIT};
	struct hvs_offer offer = {HVS_OFFER_INIT, .flags = HVS_OFFER_PIPE};
	struct testdev first = {0};
	struct hvs_vsp_ops ops = nobody;
	struct testbus *b = bus_up(NULL);
	struct hvs_device *device;
	uint8_t want[196] = {1};

	/* Functions that are never called. */
	ops.open = (int (*)(void *, struct hvs_channel *, const struct hvs_open_params *,
			    void **))abort;
	ops.ready = (bool (*)(struct hvs_channel *, void *, unsigned))abort;
	ops.close = (void (*)(struct hvs_channel *, void *))abort;
	dev_offer(b, &first, 1, NULL);
	for (uint8_t i = 0; i < 16; i++) {
		offer.class_id.b[i] = (uint8_t)(0x20 + i);
		offer.instance_id.b[i] = (uint8_t)(0x40 + i);
	}
	for (uint8_t i = 0; i < 120; i++)
		offer.user_data[i] = (uint8_t)(0x80 + i);
	cr_assert_eq(hvs_device_offer(b->bus, &offer, &ops, NULL, &device), 0);
	bus_start(b);
	bus_connect(b, NEWEST);
	send_bare(b, HVSI_MSG_REQUESTOFFERS);

	bus_take(b, HVSI_MSG_OFFERCHANNEL, 196);
	memcpy(want + 8, offer.class_id.b, 16);
	memcpy(want + 24, offer.instance_id.b, 16);
	want[56] = 0x10;
	memcpy(want + 60, offer.user_data, 120);
	memcpy(want + 60, "\4\0\0\0", 4); /* a pipe in message mode */
	want[184] = 2;                    /* relid */
	want[188] = 0xff;                 /* no monitor */
	want[190] = 1;                    /* an interrupt of its own */
	want[192] = 0x02;                 /* connection id 0x2002 */
	want[193] = 0x20;
	bus_expect(b, want, sizeof(want));
	expect_bare(b, HVSI_MSG_ALLOFFERS_DELIVERED);
	bus_down(b);
}

Test(conn, offers_come_in_order_with_relids_from_1)
{
	struct testdev d[5] = {{0}};
	struct testbus *b = bus_up(NULL);

	for (uint8_t i = 0; i < 5; i++)
		dev_offer(b, &d[i], (uint8_t)(50 - i), NULL);
	bus_start(b);
	for (int connection = 0; connection < 2; connection++) {
		bus_connect(b, NEWEST);
		send_bare(b, HVSI_MSG_REQUESTOFFERS);
		for (uint8_t i = 0; i < 5; i++) {
			const uint8_t *p = bus_take(b, HVSI_MSG_OFFERCHANNEL, 196);

			cr_assert_eq(p[25], 50 - i, "instance");
			cr_assert_eq(p[184], i + 1, "relid");
			cr_assert_eq(p[192], i + 1, "connection id");
		}
		expect_bare(b, HVSI_MSG_ALLOFFERS_DELIVERED);
	}
	bus_down(b);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(d[i].destroys, 1);
}

Test(conn, without_devices_all_offers_are_delivered_too)
{
	struct testbus *b = up(NULL, NULL);

	bus_connect(b, NEWEST);
	bus_offers(b, 0);
	bus_down(b);
}

Test(conn, a_second_requestoffers_is_ignored)
{
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	send_bare(b, HVSI_MSG_REQUESTOFFERS);
	bus_expect_nothing(b);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
	bus_down(b);
}

Test(conn, a_released_relid_is_gone_until_the_next_connection)
{
	struct hvsi_msg_relid released = {.h = hvsi_msg_header(HVSI_MSG_RELID_RELEASED),
					  .relid = hvsi_le32(1)};
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_send(b, &released, sizeof(released));
	bus_no_fault(b);
	bus_send_gpadl(b, 1, 1, 0, 4);
	bus_expect_created(b, 1, 1, HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_GPADL, 1);
	bus_send(b, &released, sizeof(released));
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
	bus_unload(b);
	expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	bus_down(b);
}

/* ---- the message slot ------------------------------------------------------------------------- */

Test(conn, a_busy_slot_is_tried_again_after_a_millisecond)
{
	struct testbus *b = up(NULL, NULL);
	uint64_t deadline;

	b->now_ns = 10000000;
	b->slot_busy = true;
	bus_contact(b, NEWEST, 4);
	bus_expect_nothing(b);
	for (unsigned i = 0; i < 3; i++) {
		unsigned refused = b->refused;

		cr_assert_gt(refused, 0);
		cr_assert_eq(hvs_worker_dispatch(hvs_vmbus_main_worker(b->bus), 0, &deadline), 0);
		cr_assert_eq(deadline, b->now_ns + 1000000);
		b->now_ns += 999999;
		bus_run(b);
		cr_assert_eq(b->refused, refused, "not before");
		b->now_ns += 1;
		if (i == 2)
			b->slot_busy = false;
		bus_run(b);
		cr_assert_eq(b->refused, i == 2 ? refused : refused + 1);
	}
	expect_version(b, NEWEST, true);
	cr_assert_eq(hvs_worker_dispatch(hvs_vmbus_main_worker(b->bus), 0, &deadline), 0);
	cr_assert_eq(deadline, UINT64_MAX);
	bus_down(b);
}

Test(conn, a_slot_that_becomes_free_is_used_at_once)
{
	struct testbus *b = up(NULL, NULL);

	b->slot_busy = true;
	bus_contact(b, NEWEST, 4);
	bus_expect_nothing(b);
	bus_run(b);
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	expect_version(b, NEWEST, true);
	hvs_vmbus_slot_free(b->bus, 0); /* any number of times */
	hvs_vmbus_slot_free(b->bus, 1);
	bus_run(b);
	bus_down(b);
}

Test(conn, the_guests_messages_wait_while_ours_do)
{
	struct hvsi_msg offers = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	struct hvsi_msg unload = hvsi_msg_header(HVSI_MSG_UNLOAD);
	struct testdev d[40] = {{0}};
	struct testbus *b = bus_up(NULL);

	for (uint8_t i = 0; i < 40; i++)
		dev_offer(b, &d[i], i, NULL);
	bus_start(b);
	bus_connect(b, NEWEST);
	cr_assert_eq(bus_post(b, 1, &offers, sizeof(offers)), 0);
	/* The slot takes nothing, then everything: what the guest asks meanwhile comes last. */
	b->slot_busy = true;
	bus_run(b);
	cr_assert_eq(bus_post(b, 1, &unload, sizeof(unload)), 0);
	bus_run(b);
	bus_expect_nothing(b);
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(bus_take(b, HVSI_MSG_OFFERCHANNEL, 196)[184], i + 1);
	expect_bare(b, HVSI_MSG_ALLOFFERS_DELIVERED);
	expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
	bus_down(b);
}

/* ---- disconnecting ---------------------------------------------------------------------------- */

Test(conn, unload_is_answered_in_every_state_and_nothing_follows)
{
	for (int state = 0; state < 5; state++) {
		struct hvsi_msg_open open = bus_open_msg(1, 7, 1, 0, 2);
		struct testdev d = {0};
		struct testbus *b = up(&d, NULL);

		if (state >= 1)
			bus_connect(b, NEWEST);
		if (state >= 2)
			bus_offers(b, 1);
		if (state >= 3)
			bus_gpadl(b, 1, 1, 16, 4);
		if (state >= 4) {
			bus_send(b, &open, sizeof(open));
			bus_expect_opened(b, 1, 7, 0);
		}
		bus_unload(b);
		expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
		bus_expect_nothing(b);
		bus_no_fault(b);
		cr_assert_eq(d.closes, state == 4);
		cr_assert_eq(hvs_vmbus_guest_version(b->bus), 0);
		/* Everything is as new. */
		bus_open_first(b, NEWEST, 4, 2);
		bus_down(b);
	}
}

Test(conn, unload_is_answered_when_the_last_device_has_let_go)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, 4, 2);
	bus_unload(b);
	cr_assert_eq(d.closes, 1);
	bus_expect_nothing(b);
	cr_assert_eq(hvs_vmbus_guest_version(b->bus), 0);
	bus_unload(b); /* again: one answer is enough */
	bus_expect_nothing(b);
	hvs_channel_closed(d.ch);
	bus_run(b);
	expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(conn, contact_on_a_live_connection_begins_anew)
{
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, V(5, 3), 4, 2);
	bus_connect(b, V(3, 0)); /* the next kernel, without a word of goodbye */
	cr_assert_eq(d.closes, 1);
	bus_offers(b, 1);
	bus_gpadl(b, 1, 1, 16, 4); /* the id is free again */
	bus_no_fault(b);
	bus_contact(b, V(9, 9), 1);
	expect_version(b, V(9, 9), false);
	cr_assert_eq(hvs_vmbus_guest_version(b->bus), 0, "the old connection is gone all the same");
	bus_down(b);
}

Test(conn, the_last_contact_counts_while_the_old_connection_goes)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, V(5, 3), 4, 2);
	bus_contact(b, V(5, 3), 4);
	bus_contact(b, V(4, 1), 1);
	bus_expect_nothing(b);
	hvs_channel_closed(d.ch);
	bus_run(b);
	expect_version(b, V(4, 1), true);
	bus_expect_nothing(b);
	bus_down(b);
}

Test(conn, unload_replaces_a_contact_that_waits_and_the_other_way_round)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, V(5, 3), 4, 2);
	bus_contact(b, V(5, 3), 4);
	bus_unload(b);
	hvs_channel_closed(d.ch);
	bus_run(b);
	expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
	cr_assert_eq(hvs_vmbus_guest_version(b->bus), 0);

	bus_open_first(b, V(5, 3), 4, 2);
	bus_unload(b);
	bus_contact(b, V(5, 2), 4);
	hvs_channel_closed(d.ch);
	bus_run(b);
	expect_version(b, V(5, 2), true);
	bus_down(b);
}

Test(conn, other_messages_are_dropped_while_the_connection_goes)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);

	bus_open_first(b, NEWEST, 4, 2);
	bus_unload(b);
	for (size_t i = 0; i < sizeof(from_guest) / sizeof(from_guest[0]); i++) {
		uint8_t msg[240] = {from_guest[i].type};

		bus_send(b, msg, sizeof(msg));
		bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
	}
	bus_expect_nothing(b);
	hvs_channel_closed(d.ch);
	bus_run(b);
	expect_bare(b, HVSI_MSG_UNLOAD_RESPONSE);
	bus_down(b);
}

/* Messages of the old connection that still wait are nobody's business any more. */
Test(conn, unload_forgets_what_the_guest_has_not_read)
{
	struct hvsi_msg offers = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);

	bus_connect(b, NEWEST);
	cr_assert_eq(bus_post(b, 1, &offers, sizeof(offers)), 0);
	b->slot_busy = true;
	bus_run(b);
	cr_assert_gt(b->refused, 0);
	bus_expect_nothing(b);
	/* A reset, since a message of the guest's would wait for the offer to go out. */
	cr_assert_eq(hvs_vmbus_reset(b->bus, NULL, NULL), 0);
	b->slot_busy = false;
	bus_run(b);
	bus_expect_nothing(b);
	bus_open_first(b, NEWEST, 4, 2);
	bus_down(b);
}

/* ---- reset ------------------------------------------------------------------------------------ */

static void count(void *arg, int status)
{
	cr_assert_eq(status, 0);
	++*(unsigned *)arg;
}

Test(reset, ends_everything_without_a_word_to_the_guest)
{
	struct testdev d = {0};
	struct testbus *b = up(&d, NULL);
	unsigned done = 0;

	bus_open_first(b, NEWEST, 4, 2);
	cr_assert_eq(hvs_vmbus_reset(b->bus, count, &done), 0);
	cr_assert_eq(done, 0, "not from inside the call");
	cr_assert_eq(hvs_vmbus_reset(b->bus, count, &done), -EBUSY);
	bus_run(b);
	cr_assert_eq(done, 1);
	cr_assert_eq(d.closes, 1);
	bus_expect_nothing(b);
	cr_assert_eq(hvs_vmbus_guest_version(b->bus), 0);
	cr_assert_eq(hvs_vmbus_reset(b->bus, count, &done), 0, "and again, from nothing");
	bus_run(b);
	cr_assert_eq(done, 2);
	cr_assert_eq(hvs_vmbus_reset(NULL, count, &done), -EINVAL);
	bus_open_first(b, NEWEST, 4, 2);
	bus_down(b);
}

Test(reset, waits_for_devices_and_wins_over_what_the_guest_wanted)
{
	struct testdev d = {.hold_close = true};
	struct testbus *b = up(&d, NULL);
	unsigned done = 0;

	bus_open_first(b, NEWEST, 4, 2);
	bus_unload(b);
	cr_assert_eq(hvs_vmbus_reset(b->bus, count, &done), 0);
	bus_run(b);
	bus_contact(b, V(5, 3), 4);
	bus_unload(b);
	cr_assert_eq(done, 0);
	hvs_channel_closed(d.ch);
	bus_run(b);
	cr_assert_eq(done, 1);
	bus_expect_nothing(b);
	b->faults = 0;
	bus_down(b);
}

Test(reset, drops_messages_that_were_posted_before)
{
	struct hvsi_msg_initiate_contact msg = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						.version = hvsi_le32(V(3, 0))};
	struct testbus *b = up(NULL, NULL);
	unsigned done = 0;

	cr_assert_eq(bus_post(b, 1, &msg, sizeof(msg)), 0);
	cr_assert_eq(hvs_vmbus_reset(b->bus, count, &done), 0);
	bus_run(b);
	cr_assert_eq(done, 1);
	bus_expect_nothing(b);
	bus_down(b);
}

/* ---- configuration ---------------------------------------------------------------------------- */

Test(bus, refuses_what_is_incomplete)
{
	struct testbus *b = bus_up(NULL);
	struct hvs_backend_ops ops = {HVS_BACKEND_OPS_INIT};
	struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT, .vp_count = 1};
	struct hvs_vmbus *bus = NULL;

	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, &bus), -EINVAL);
	ops.synic_post = (int (*)(void *, uint32_t, uint8_t, const struct hvs_synic_msg *))abort;
	ops.synic_signal = (void (*)(void *, uint32_t, uint8_t, uint16_t))abort;
	ops.wake = (void (*)(void *, struct hvs_worker *, void *))abort;
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, &bus), -EINVAL, "no clock");
	ops.now_ns = (uint64_t(*)(void *))abort;
	cr_assert_eq(hvs_vmbus_create(&cfg, NULL, &ops, NULL, &bus), -EINVAL);
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_vmbus_create(NULL, b->mem, &ops, NULL, &bus), -EINVAL);
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, NULL, NULL, &bus), -EINVAL);
	ops.reserved = 1;
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, &bus), -EINVAL);
	ops.reserved = 0;
	ops.doorbell_add = (int (*)(void *, uint32_t, struct hvs_channel *))abort;
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, &bus), -EINVAL, "add without del");
	ops.doorbell_add = NULL;
	cfg.vp_count = 0;
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, &bus), -EINVAL);
	cfg.vp_count = UINT32_MAX;
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, &bus), -EINVAL);
	cfg.vp_count = 1;
	cr_assert_null(bus);
	cr_assert_eq(hvs_vmbus_create(&cfg, b->mem, &ops, NULL, &bus), 0);
	hvs_vmbus_destroy(bus);
	hvs_vmbus_destroy(NULL);
	bus_down(b);
}

Test(bus, a_guest_can_not_flood_the_embedder_with_reports)
{
	struct testbus *b = up(NULL, NULL);
	const uint8_t nonsense[8] = {200};

	b->now_ns = 5000000000;
	for (int second = 0; second < 3; second++) {
		b->faults = 0;
		for (int i = 0; i < 200; i++) {
			cr_assert_eq(bus_post(b, 1, nonsense, sizeof(nonsense)), 0);
			bus_run(b);
		}
		cr_assert_eq(b->faults, 50);
		b->now_ns += 1000000000;
	}
	bus_down(b);
}

Test(bus, fault_names_are_there_for_every_code)
{
	for (int code = HVS_FAULT_NONE; code <= HVS_FAULT_DEVICE; code++) {
		cr_assert_str_not_empty(hvs_fault_name((enum hvs_fault_code)code));
		cr_assert_str_neq(hvs_fault_name((enum hvs_fault_code)code), "unknown");
	}
	cr_assert_str_eq(hvs_fault_name((enum hvs_fault_code)99), "unknown");
}
