/* SPDX-License-Identifier: MIT */
/* What the `record` callbacks are told, and when. */
#include "support/bus.h"
#include "support/hv.h"

#include <criterion/criterion.h>
#include <errno.h>

#define RECORDS 64u

/* Records in order, and what had happened before each. Every test is a process of its own. */
static struct {
	struct hvs_record rec;
	uint8_t bytes[240];
	unsigned posted; /* messages to the guest */
	unsigned received;
} records[RECORDS];
static unsigned recorded;
static struct testdev dev;

static void on_record(void *be, const struct hvs_record *rec)
{
	const struct testbus *b = be;

	cr_assert_lt(recorded, RECORDS);
	cr_assert_leq(rec->len, sizeof(records[0].bytes));
	records[recorded].rec = *rec;
	if (rec->len)
		memcpy(records[recorded].bytes, rec->data, rec->len);
	records[recorded].posted = b ? b->posted : 0;
	records[recorded].received = dev.received;
	recorded++;
}

static const struct bus_options recording = {.record = on_record};

static void expect_message(unsigned at, uint32_t connection, const void *msg, size_t len)
{
	const struct hvs_record *r = &records[at].rec;

	cr_assert_lt(at, recorded);
	cr_assert_eq(r->kind, HVS_RECORD_MESSAGE);
	cr_assert_eq(r->connection_id, connection);
	cr_assert_eq(r->len, len);
	cr_assert_arr_eq(records[at].bytes, msg, len);
	cr_assert(!r->channel_id && !r->vp && !r->msr && !r->value && !r->param_in &&
		  !r->param_out);
}

/* ---- control messages ------------------------------------------------------------------------- */

Test(record, message_is_told_before_it_is_handled)
{
	struct hvsi_msg_initiate_contact contact = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						    .version = hvsi_le32(V(5, 3)),
						    .sint = 2};
	struct hvsi_msg request = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	struct testbus *b = bus_up(&recording);

	bus_start(b);
	bus_connect(b, V(5, 3));
	bus_offers(b, 0);
	cr_assert_eq(recorded, 2);
	expect_message(0, 4, &contact, sizeof(contact));
	cr_assert_eq(records[0].posted, 0, "not answered yet");
	expect_message(1, 1, &request, sizeof(request));
	cr_assert_eq(records[1].posted, 1);
	bus_down(b);
}

Test(record, malformed_messages_are_told_refused_posts_are_not)
{
	const struct hvsi_msg unknown = hvsi_msg_header(999);
	struct testbus *b = bus_up(&recording);

	bus_start(b);
	bus_send(b, &unknown, sizeof(unknown));
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 0);
	cr_assert_eq(recorded, 1);
	expect_message(0, 1, &unknown, sizeof(unknown));
	cr_assert_eq(bus_post(b, 77, &unknown, sizeof(unknown)),
		     HVS_HV_STATUS_INVALID_CONNECTION_ID);
	cr_assert_eq(bus_post(b, 1, &unknown, sizeof(unknown) - 1),
		     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
	bus_run(b);
	cr_assert_eq(recorded, 1);
	bus_down(b);
}

Test(record, a_message_that_waits_is_told_when_its_turn_comes)
{
	struct hvsi_msg request = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	struct testbus *b = bus_up(&recording);

	bus_start(b);
	b->slot_busy = true;
	bus_contact(b, V(5, 3), 4);
	cr_assert_eq(recorded, 1);
	cr_assert_eq(bus_post(b, 1, &request, sizeof(request)), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
	cr_assert_eq(recorded, 1, "the answer to the first one waits");
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	cr_assert_eq(recorded, 2);
	expect_message(1, 1, &request, sizeof(request));
	bus_take(b, HVSI_MSG_VERSION_RESPONSE, sizeof(struct hvsi_msg_version_response));
	bus_take(b, HVSI_MSG_ALLOFFERS_DELIVERED, sizeof(struct hvsi_msg));
	bus_down(b);
}

/* ---- packets ---------------------------------------------------------------------------------- */

static struct testbus *open_channel(struct guest_rings *r, const struct bus_options *opt)
{
	struct testbus *b = bus_up(opt);

	dev_offer(b, &dev, 1, NULL);
	bus_start(b);
	rings_attach(b, r, OPEN_FIRST_PAGE, 2, 4);
	bus_open_first(b, NEWEST, 4, 2);
	recorded = 0;
	return b;
}

static void signal_host(struct testbus *b)
{
	cr_assert_eq(hvs_vmbus_signal_event(b->bus, 0x2001, 0), HVS_HV_STATUS_SUCCESS);
	bus_run(b);
}

Test(record, packet_is_told_with_its_descriptor_before_the_device_gets_it)
{
	const uint8_t descriptor[16] = {6, 0, 2, 0, 3, 0, 1, 0, 0xef, 0xcd, 0xab};
	struct guest_rings r;
	struct testbus *b = open_channel(&r, &recording);

	for (unsigned i = 0; i < 3; i++)
		rings_send(&r, 0xabcdef, (uint8_t)(i + 1));
	signal_host(b);
	cr_assert_eq(recorded, 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct hvs_record *rec = &records[i].rec;

		cr_assert_eq(rec->kind, HVS_RECORD_PACKET);
		cr_assert_eq(rec->channel_id, 1);
		cr_assert_eq(rec->len, 24);
		cr_assert_arr_eq(records[i].bytes, descriptor, sizeof(descriptor));
		cr_assert_eq(records[i].bytes[16], i + 1);
		cr_assert_eq(records[i].received, i);
		cr_assert(!rec->connection_id && !rec->vp && !rec->msr && !rec->value);
	}
	bus_close(b, 1);
	bus_down(b);
}

Test(record, a_packet_of_a_wrong_type_is_told)
{
	const struct hvsi_descriptor wrong = {.type = 99};
	struct guest_rings r;
	struct testbus *b = open_channel(&r, &recording);

	cr_assert_eq(hvsi_ring_write(&r.out, &wrong, NULL, 0, NULL, 0), 0);
	hvsi_ring_publish(&r.out);
	signal_host(b);
	bus_expect_fault(b, HVS_FAULT_PACKET_TYPE, 1);
	cr_assert_eq(recorded, 1);
	cr_assert_eq(records[0].rec.len, 16);
	cr_assert_eq(records[0].bytes[0], 99);
	bus_close(b, 1);
	bus_down(b);
}

Test(record, a_packet_with_impossible_lengths_is_not_told)
{
	struct guest_rings r;
	struct testbus *b = open_channel(&r, &recording);

	rings_send(&r, 1, 1);
	r.send_data[2] = 9; /* header longer than the packet */
	signal_host(b);
	bus_expect_fault(b, HVS_FAULT_PACKET_HEADER, 1);
	cr_assert_eq(recorded, 0);
	bus_close(b, 1);
	bus_down(b);
}

/* ---- hypervisor interface --------------------------------------------------------------------- */

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be, (void)vp, (void)sint, (void)vector;
}

static uint64_t now_ns(void *be)
{
	(void)be;
	return 0;
}

static uint16_t post_message(void *be, uint32_t connection_id, uint32_t message_type,
			     const void *payload, size_t len)
{
	(void)be, (void)connection_id, (void)message_type, (void)payload, (void)len;
	return 0;
}

static uint16_t signal_event(void *be, uint32_t connection_id, uint16_t flag)
{
	(void)be, (void)connection_id, (void)flag;
	cr_assert_eq(records[recorded - 1].rec.kind, HVS_RECORD_HYPERCALL, "told before");
	return 0;
}

static struct hvs_hv *recording_hv(struct testhv *t)
{
	const struct hvs_hv_ops ops = {HVS_HV_OPS_INIT,
				       .interrupt = interrupt,
				       .now_ns = now_ns,
				       .post_message = post_message,
				       .signal_event = signal_event,
				       .record = on_record};
	const struct hvs_hv_config cfg = {HVS_HV_CONFIG_INIT, .vp_count = 2};
	struct hvs_hv *hv;

	cr_assert_eq(hvs_hv_create(&cfg, t->mem, &ops, NULL, &hv), 0);
	return hv;
}

Test(record, msr_writes_are_told_refused_ones_too)
{
	static const struct {
		uint32_t vp;
		uint32_t msr;
		uint64_t value;
		int err;
	} writes[] = {{0, 0x40000000, 0x8100000000000000, 0},
		      {1, 0x40000083, HV_GPA(1) | 1, 0},
		      {1, 0x40000092, 5, -ENOENT},
		      {0, 0x40000100, 1, -ENOENT},
		      {1, 0x400001ff, 0xffffffffffffffff, -ENOENT}};
	const unsigned count = sizeof(writes) / sizeof(writes[0]);
	struct testhv *t = testhv_up(NULL, false);
	struct hvs_hv *hv = recording_hv(t);
	uint64_t value;

	for (unsigned i = 0; i < count; i++) {
		const struct hvs_record *r = &records[i].rec;

		cr_assert_eq(
			hvs_hv_msr_write(hv, writes[i].vp, writes[i].msr, writes[i].value, true),
			writes[i].err);
		cr_assert_eq(recorded, i + 1);
		cr_assert_eq(r->kind, HVS_RECORD_MSR_WRITE);
		cr_assert_eq(r->vp, writes[i].vp);
		cr_assert_eq(r->msr, writes[i].msr);
		cr_assert_eq(r->value, writes[i].value);
		cr_assert(!r->len && !r->data && !r->channel_id && !r->connection_id);
	}
	cr_assert_eq(hvs_hv_msr_read(hv, 0, 0x40000000, &value), 0);
	cr_assert_eq(hvs_hv_msr_write(hv, 2, 0x40000000, 1, true), -ENOENT, "no such VP");
	cr_assert_eq(recorded, count);
	hvs_hv_destroy(hv);
	testhv_down(t);
}

Test(record, hypercalls_are_told_refused_ones_too)
{
	struct testhv *t = testhv_up(NULL, false);
	struct hvs_hv *hv = recording_hv(t);

	cr_assert_eq(hvs_hv_hypercall(hv, 1, 0x1005d, 0x2001, 7), 0);
	cr_assert_eq(hvs_hv_hypercall(hv, 0, 0xdead0000beef, 1, 2),
		     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
	cr_assert_eq(hvs_hv_hypercall(hv, 0, 0x5c, 1, 2), HVS_HV_STATUS_INVALID_ALIGNMENT);
	cr_assert_eq(hvs_hv_hypercall(hv, 2, 0x1005d, 0x2001, 0),
		     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT, "no such VP");
	cr_assert_eq(recorded, 3);
	cr_assert_eq(records[0].rec.kind, HVS_RECORD_HYPERCALL);
	cr_assert_eq(records[0].rec.vp, 1);
	cr_assert_eq(records[0].rec.value, 0x1005d);
	cr_assert_eq(records[0].rec.param_in, 0x2001);
	cr_assert_eq(records[0].rec.param_out, 7);
	cr_assert_eq(records[1].rec.value, 0xdead0000beef);
	cr_assert_eq(records[2].rec.value, 0x5c);
	hvs_hv_destroy(hv);
	testhv_down(t);
}
