/* SPDX-License-Identifier: MIT */
/* How a storage channel is set up: protocol/storage.md 2. */
#include "support/vstor.h"
#include "vsc/guest.h"

#define SUCCESS 0u
#define STATE 0xc0000184u
#define REQUEST 0xc0000010u
#define PARAMETER 0xc000000du
#define REVISION 0xc0000059u

enum { BEGIN = 7, END = 8, VERSION = 9, PROPERTIES = 10, CREATE_SUB = 13 };

/* Channel open, nothing said yet. */
static struct machine closed(void)
{
	struct machine m = machine_up(&(struct machine_options){.leave_closed = true});

	cr_assert_eq(hvs_guest_channel_open(m.guest, hvs_guest_offer_at(m.guest, 0), 65536, &m.ch),
		     0);
	return m;
}

/* Steps done: 0 none, 1 BEGIN, 2 VERSION, 3 PROPERTIES, 4 END. */
static void advance(struct machine *m, unsigned steps)
{
	static const uint32_t order[] = {BEGIN, VERSION, PROPERTIES, END};

	for (unsigned i = 0; i < steps; i++)
		cr_assert_eq(vstor_control(m, order[i], 0x600), SUCCESS);
}

Test(negotiation, operations_out_of_order_are_refused_and_change_nothing)
{
	static const struct {
		uint32_t operation;
		uint16_t argument;
		uint32_t status[5]; /* by steps done */
	} ops[] = {
		{BEGIN, 0, {SUCCESS, STATE, STATE, STATE, STATE}},
		{VERSION, 0x600, {STATE, SUCCESS, STATE, STATE, STATE}},
		{PROPERTIES, 0, {STATE, STATE, SUCCESS, STATE, STATE}},
		{END, 0, {STATE, STATE, STATE, SUCCESS, STATE}},
		{CREATE_SUB, 0, {STATE, STATE, STATE, SUCCESS, SUCCESS}},
		{CREATE_SUB, 1, {STATE, STATE, STATE, PARAMETER, PARAMETER}},
		{CREATE_SUB, 0xffff, {STATE, STATE, STATE, PARAMETER, PARAMETER}},
		{4, 0, {STATE, STATE, STATE, STATE, SUCCESS}}, /* RESET_LUN */
		{5, 0, {STATE, STATE, STATE, STATE, SUCCESS}}, /* RESET_ADAPTER */
		{6, 0, {STATE, STATE, STATE, STATE, SUCCESS}}, /* RESET_BUS */
		{0, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
		{1, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
		{2, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
		{11, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
		{12, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
		{14, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
		{0x103, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
		{UINT32_MAX, 0, {REQUEST, REQUEST, REQUEST, REQUEST, REQUEST}},
	};

	for (unsigned steps = 0; steps <= 4; steps++) {
		for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
			struct machine m = closed();
			uint32_t got;
			bool forward;

			advance(&m, steps);
			got = vstor_control(&m, ops[i].operation, ops[i].argument);
			cr_assert_eq(got, ops[i].status[steps], "operation %u after %u steps: %#x",
				     ops[i].operation, steps, got);
			/* The way forward is what it was, or one step less. */
			forward = got == SUCCESS && ops[i].operation >= BEGIN &&
				  ops[i].operation <= PROPERTIES;
			if (steps + forward < 4) {
				static const uint32_t next[] = {BEGIN, VERSION, PROPERTIES, END};

				cr_assert_eq(vstor_control(&m, next[steps + forward], 0x600),
					     SUCCESS);
			}
			cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
			machine_down(&m);
		}
	}
}

Test(negotiation, commands_before_the_end_are_out_of_order)
{
	const uint8_t tur[6] = {0};
	struct hvsi_vstor_packet p = vstor_srb(tur, 6, HVSI_DATA_NONE, 0);

	for (unsigned steps = 0; steps < 4; steps++) {
		struct machine m = closed();
		struct vstor_reply r;

		advance(&m, steps);
		r = vstor(&m, &p, sizeof(p), NULL);
		cr_assert_eq(vstor_status(&r), STATE, "after %u steps: %#x", steps,
			     vstor_status(&r));
		machine_down(&m);
	}
}

Test(negotiation, versions)
{
	static const struct {
		uint16_t version;
		bool ok;
		uint8_t flags; /* of the properties: multi-channel */
	} cases[] = {
		{0x0200, true, 0},  {0x0402, true, 0},  {0x0501, true, 1},  {0x0600, true, 1},
		{0x0602, true, 1},  {0x0603, false, 0}, {0x0000, false, 0}, {0x0100, false, 0},
		{0x0500, false, 0}, {0x0601, false, 0}, {0x0700, false, 0}, {0xffff, false, 0},
		{0x0002, false, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvsi_vstor_packet ask = {.operation = hvsi_le32(VERSION)};
		struct hvsi_vstor_packet props = {.operation = hvsi_le32(PROPERTIES)};
		uint8_t want[64] = {1, [12] = (uint8_t)cases[i].version,
				    [13] = (uint8_t)(cases[i].version >> 8)};
		uint8_t want_props[64] = {1, [20] = cases[i].flags, [26] = 0x10};
		struct machine m = closed();
		struct vstor_reply r;

		advance(&m, 1);
		ask.u.version.version = hvsi_le16(cases[i].version);
		ask.u.version.revision = hvsi_le16(0x1234);
		r = vstor(&m, &ask, sizeof(ask), NULL);
		if (!cases[i].ok)
			memcpy(want + 8, "\x59\x00\x00\xc0", 4); /* exactly: UEFI tries on */
		cr_assert_arr_eq(r.bytes, want, 64, "version %#x", cases[i].version);
		if (cases[i].ok) {
			r = vstor(&m, &props, sizeof(props), NULL);
			/* no sub-channels, 1 MiB; the reserved words must be zero */
			cr_assert_arr_eq(r.bytes, want_props, 64, "version %#x", cases[i].version);
		} else {
			cr_assert_eq(vstor_control(&m, VERSION, 0x600), SUCCESS, "try on");
		}
		machine_down(&m);
	}
}

/* The reply is as long as the request, up to 64; whatever was negotiated. */
Test(negotiation, replies_are_as_long_as_requests)
{
	static const struct {
		size_t sent;
		uint32_t reply;
	} cases[] = {{12, 16}, {16, 16}, {40, 40}, {48, 48},  {50, 56}, {56, 56},
		     {64, 64}, {65, 64}, {72, 64}, {128, 64}, {200, 64}};
	const uint8_t tur[6] = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvsi_vstor_packet begin = {.operation = hvsi_le32(BEGIN)};
		struct hvsi_vstor_packet p = vstor_srb(tur, 6, HVSI_DATA_NONE, 0);
		const uint8_t want[64] = {1};
		struct machine m = closed();
		struct vstor_reply r;

		r = vstor(&m, &begin, cases[i].sent, NULL);
		cr_assert_eq(r.len, cases[i].reply, "%zu bytes", cases[i].sent);
		cr_assert_arr_eq(r.bytes, want, r.len);
		for (unsigned step = 1; step < 4; step++)
			cr_assert_eq(
				vstor_control(&m, ((uint32_t[]){0, VERSION, PROPERTIES, END})[step],
					      0x402),
				SUCCESS);
		r = vstor(&m, &p, cases[i].sent, NULL);
		cr_assert_eq(r.len, cases[i].reply, "%zu bytes", cases[i].sent);
		/* Bytes that were not sent are zero: no CDB. */
		cr_assert_eq(vstor_status(&r), cases[i].sent < 40 ? 0xc0000185 : SUCCESS);
		machine_down(&m);
	}
}

Test(negotiation, a_packet_without_a_header_faults_the_channel)
{
	static const size_t lens[] = {0, 1, 8};

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint8_t bytes[8] = {BEGIN};
		struct iovec iov = {bytes, lens[i]};
		struct machine m = closed();
		struct hvs_guest_packet pkt;

		cr_assert_eq(hvs_guest_send(m.ch, 1, true, NULL, &iov, 1), 0);
		hvs_guest_flush(m.ch);
		hvs_loopback_run(m.lb);
		cr_assert_eq(hvs_loopback_count(m.lb)->faults, 1);
		cr_assert_eq(hvs_loopback_count(m.lb)->last_fault, HVS_FAULT_DEVICE);
		cr_assert_eq(hvs_guest_recv(m.ch, &pkt), 0, "no answer");
		cr_assert_eq(hvs_guest_channel_close(m.ch), 0);
		machine_open(&m);
		machine_down(&m);
	}
}

Test(negotiation, no_reply_where_none_is_asked_for)
{
	struct hvsi_vstor_packet begin = {.operation = hvsi_le32(BEGIN)};
	struct iovec iov = {&begin, sizeof(begin)};
	struct machine m = closed();
	struct hvs_guest_packet pkt;

	cr_assert_eq(hvs_guest_send(m.ch, 1, false, NULL, &iov, 1), 0);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	cr_assert_eq(hvs_guest_recv(m.ch, &pkt), 0);
	cr_assert_eq(vstor_control(&m, VERSION, 0x600), SUCCESS, "but it was done");
	machine_down(&m);
}

/* Some firmware answers what the host did not ask. */
Test(negotiation, completions_from_the_guest_are_ignored)
{
	const struct hvsi_descriptor desc = {.type = HVS_PACKET_COMPLETION, .xid = 5};
	struct machine m = closed();

	cr_assert_eq(hvsi_ring_write(&m.ch->out, &desc, NULL, 0, NULL, 0), 0);
	advance(&m, 4);
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
	machine_down(&m);
}

Test(negotiation, begins_anew_when_the_channel_is_opened_again)
{
	struct machine m = machine_up(NULL);

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(vstor_control(&m, BEGIN, 0), STATE);
		cr_assert_eq(hvs_guest_channel_close(m.ch), 0);
		machine_open(&m);
		cr_assert_eq(m.max_transfer, 1u << 20);
	}
	machine_down(&m);
}
