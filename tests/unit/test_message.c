/* SPDX-License-Identifier: MIT */
/* Every message in every state; protocol/vmbus.md 5.1, 5.11, 5.12, 5.14. */
#include "support/multidev.h"
#include "vmbus/bus.h"

#include <criterion/criterion.h>
#include <errno.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ALL_FEATURES 0xffffffffu
#define GRANTED 0x2fu /* of them, without monitor pages of ours */

/* ---- messages --------------------------------------------------------------------------------- */

/* A message of this type that is well-formed and about relid 1, padded to 240 bytes. */
static void make(uint8_t msg[HVSI_MSG_MAX], uint32_t type)
{
	const struct hvs_le32 wire_type = hvsi_le32(type);

	memset(msg, 0, HVSI_MSG_MAX);
	memcpy(msg, &wire_type, sizeof(wire_type));
	msg[8] = 1; /* relid of most */
	switch (type) {
	case HVSI_MSG_OPENCHANNEL: {
		struct hvsi_msg_open m = bus_open_msg(1, 5, MULTI_GPADL(1), 0, MULTI_SPLIT);
		memcpy(msg, &m, sizeof(m));
		/* if the guest says how to signal it */
		memcpy(msg + 148, (struct hvs_le32[]){hvsi_le32(0x2001)}, 4);
		memcpy(msg + 152, (struct hvs_le16[]){hvsi_le16(1)}, 2);
		break;
	}
	case HVSI_MSG_OPEN_RESERVED_CHANNEL: {
		struct hvsi_msg_open_reserved m = {.h = hvsi_msg_header(type),
						   .relid = hvsi_le32(1),
						   .target_sint = hvsi_le32(2),
						   .gpadl_id = hvsi_le32(MULTI_GPADL(1)),
						   .downstream_page = hvsi_le32(MULTI_SPLIT)};
		memcpy(msg, &m, sizeof(m));
		break;
	}
	case HVSI_MSG_CLOSE_RESERVED_CHANNEL:
		msg[16] = 2;
		break;
	case HVSI_MSG_GPADL_HEADER: { /* one page, all in this message */
		struct hvsi_msg_gpadl_header m = {.h = hvsi_msg_header(type),
						  .relid = hvsi_le32(1),
						  .gpadl_id = hvsi_le32(50),
						  .range_bytes = hvsi_le16(16),
						  .range_count = hvsi_le16(1)};
		memcpy(msg, &m, sizeof(m));
		memcpy(msg + 20, (struct hvs_le32[]){hvsi_le32(4096), hvsi_le32(0)}, 8);
		memcpy(msg + 28, (struct hvs_le64[]){hvsi_le64(BUS_PFN(3))}, 8);
		break;
	}
	case HVSI_MSG_GPADL_BODY:
	case HVSI_MSG_GPADL_TEARDOWN:
		msg[12] = 50;
		break;
	case HVSI_MSG_INITIATE_CONTACT: {
		struct hvsi_msg_initiate_contact m = {
			.h = hvsi_msg_header(type), .version = hvsi_le32(V(6, 0)), .sint = 2};
		memcpy(msg, &m, sizeof(m));
		break;
	}
	case HVSI_MSG_MODIFY_CONNECTION:
		memset(msg + 8, 0, 16);
		break;
	}
}

static void contact(struct testbus *b, uint32_t version, uint32_t features, size_t len)
{
	struct {
		struct hvsi_msg_initiate_contact c;
		struct hvs_guid client_id;
	} msg = {.c = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
		       .version = hvsi_le32(version),
		       .sint = version >= V(5, 0) ? 2 : 0,
		       .features = hvsi_le32(version >= V(6, 0) ? features : 0)}};

	bus_send(b, &msg, len);
}

static void connect_6_0(struct testbus *b, uint32_t features)
{
	contact(b, V(6, 0), features, 56);
	bus_take(b, HVSI_MSG_VERSION_RESPONSE, 20);
}

/* ---- what came of it -------------------------------------------------------------------------- */

#define NO 0x100        /* answered with this type and a status that says "failed" */
#define FAULT 0x200     /* and reported */
#define SILENCE 0       /* done, nothing is said */
#define REFUSED (FAULT) /* reported, nothing is said */

/* Messages whose status is at this offset. */
static size_t status_at(uint32_t type)
{
	switch (type) {
	case HVSI_MSG_OPENCHANNEL_RESULT:
	case HVSI_MSG_GPADL_CREATED:
		return 16;
	case HVSI_MSG_MODIFYCHANNEL_RESPONSE:
		return 12;
	default:
		return 0;
	}
}

/* Since the last call: the first answer, whether it was a bad one, whether there was a fault. */
static int effect(struct testbus *b)
{
	int e = b->faults ? FAULT : 0;

	if (b->taken < b->posted) {
		const struct bus_post *p = &b->posts[b->taken];

		e |= p->bytes[0];
		if (status_at(p->bytes[0]) &&
		    memcmp(p->bytes + status_at(p->bytes[0]), "\xff\xff\x00\x80", 4) == 0)
			e |= NO;
	}
	b->faults = 0;
	b->taken = b->posted;
	return e;
}

static int send_type(struct testbus *b, uint32_t type, size_t len)
{
	uint8_t msg[HVSI_MSG_MAX];

	make(msg, type);
	bus_send(b, msg, len);
	return effect(b);
}

/* ---- message types by connection state -------------------------------------------------------- */

enum conn { DISCONNECTED, CONNECTED, OFFERED, PAUSED, DISCONNECTING, CONNS };

static const char *const conn_name[] = {"disconnected", "connected", "offered", "paused",
					"disconnecting"};

static struct testbus *conn_up(enum conn state, struct multidev *m)
{
	struct testbus *b = bus_up(NULL);

	multi_offer(b, m, 1, &(struct multi_options){0});
	bus_start(b);
	if (state >= CONNECTED)
		connect_6_0(b, ALL_FEATURES & ~HVSI_FEATURE_SIGNAL_PARAMETERS);
	if (state >= OFFERED)
		bus_offers(b, 1);
	if (state == PAUSED)
		cr_assert_eq(send_type(b, HVSI_MSG_PAUSE, 8), HVSI_MSG_PAUSE_RESPONSE);
	if (state == DISCONNECTING) {
		m->chan[0].hold_close = true;
		multi_open(b, 1);
		bus_unload(b);
	}
	bus_no_fault(b);
	bus_expect_nothing(b);
	return b;
}

static void conn_down(struct testbus *b, enum conn state, struct multidev *m)
{
	if (state == DISCONNECTING) {
		multi_finish(m, 0);
		cr_assert_neq(effect(b) & 0xff, 0, "the guest waits for ever");
	}
	bus_down(b);
}

#define ALL_REFUSED                                                                                \
	{                                                                                          \
		REFUSED, REFUSED, REFUSED, REFUSED, REFUSED                                        \
	}

Test(message, each_type_in_each_state_of_the_connection)
{
	static const int want[][CONNS] = {
		/* clang-format off */
		/*           disconnected, connected, offered,  paused,  disconnecting */
		[0] = ALL_REFUSED,
		[1] = ALL_REFUSED, /* the host's: OFFERCHANNEL */
		[2] = ALL_REFUSED, /* RESCIND_CHANNELOFFER */
		[3] =       {REFUSED, 1,          REFUSED,    REFUSED, REFUSED}, /* REQUESTOFFERS */
		[4] = ALL_REFUSED, /* ALLOFFERS_DELIVERED */
		[5] =       {REFUSED, 6|NO|FAULT, 6|NO|FAULT, REFUSED, REFUSED}, /* OPENCHANNEL */
		[6] = ALL_REFUSED, /* OPENCHANNEL_RESULT */
		[7] =       {REFUSED, REFUSED,    REFUSED,    REFUSED, REFUSED}, /* CLOSECHANNEL */
		[8] =       {REFUSED, 10|NO|FAULT, 10,        REFUSED, REFUSED}, /* GPADL_HEADER */
		[9] =       {REFUSED, REFUSED,    REFUSED,    REFUSED, REFUSED}, /* GPADL_BODY */
		[10] = ALL_REFUSED, /* GPADL_CREATED */
		[11] =      {REFUSED, REFUSED,    REFUSED,    REFUSED, REFUSED}, /* GPADL_TEARDOWN */
		[12] = ALL_REFUSED, /* GPADL_TORNDOWN */
		[13] =      {REFUSED, REFUSED,    SILENCE,    REFUSED, REFUSED}, /* RELID_RELEASED */
		[14] =      {15,      15,         15,         15,      SILENCE}, /* INITIATE_CONTACT */
		[15] = ALL_REFUSED, /* VERSION_RESPONSE */
		[16] =      {17,      17,         17,         17,      SILENCE}, /* UNLOAD */
		[17] = ALL_REFUSED, /* UNLOAD_RESPONSE */
		[18] =      {REFUSED, 6|NO|FAULT, 6|NO|FAULT, REFUSED, REFUSED}, /* OPEN_RESERVED */
		[19] =      {20,      20,         20,         REFUSED, 20},      /* CLOSE_RESERVED */
		[20] = ALL_REFUSED, /* CLOSE_RESERVED_RESPONSE */
		[21] =      {REFUSED, 23,         23,         REFUSED, REFUSED}, /* TL_CONNECT */
		[22] =      {REFUSED, 24|NO|FAULT, 24|NO|FAULT, REFUSED, REFUSED}, /* MODIFYCHANNEL */
		[23] = ALL_REFUSED, /* TL_CONNECT_REQUEST_RESULT */
		[24] = ALL_REFUSED, /* MODIFYCHANNEL_RESPONSE */
		[25] =      {REFUSED, 26,         26,         REFUSED, REFUSED}, /* MODIFY_CONNECTION */
		[26] = ALL_REFUSED, /* MODIFY_CONNECTION_RESPONSE */
		[27] =      {REFUSED, 28,         28,         REFUSED, REFUSED}, /* PAUSE */
		[28] = ALL_REFUSED, /* PAUSE_RESPONSE */
		[29] =      {REFUSED, REFUSED,    REFUSED,    SILENCE, REFUSED}, /* RESUME */
		[30] = ALL_REFUSED, [31] = ALL_REFUSED, [32] = ALL_REFUSED, [33] = ALL_REFUSED,
		[34] = ALL_REFUSED, [35] = ALL_REFUSED, [36] = ALL_REFUSED, [37] = ALL_REFUSED,
		[38] = ALL_REFUSED, [39] = ALL_REFUSED, [40] = ALL_REFUSED,
		/* clang-format on */
	};
	static const uint32_t odd[] = {255, 256 + 14, 0x10000 + 14, 0x80000000u, UINT32_MAX};

	for (enum conn state = 0; state < CONNS; state++) {
		for (uint32_t type = 0; type < COUNT(want); type++) {
			struct multidev m = {0};
			struct testbus *b = conn_up(state, &m);
			int got = send_type(b, type, HVSI_MSG_MAX);

			cr_assert_eq(got, want[type][state], "message %u %s: %#x", type,
				     conn_name[state], (unsigned)got);
			conn_down(b, state, &m);
		}
		for (size_t i = 0; i < COUNT(odd); i++) {
			struct multidev m = {0};
			struct testbus *b = conn_up(state, &m);

			cr_assert_eq(send_type(b, odd[i], HVSI_MSG_MAX), REFUSED);
			conn_down(b, state, &m);
		}
	}
}

/* ---- lengths ---------------------------------------------------------------------------------- */

Test(message, too_short_is_refused_and_exact_or_padded_is_taken)
{
	static const struct {
		uint32_t type;
		size_t len;
		int effect; /* offered */
	} cases[] = {
		{HVSI_MSG_OPENCHANNEL, 148, 6 | NO | FAULT},
		{HVSI_MSG_GPADL_HEADER, 36, 10},
		{HVSI_MSG_RELID_RELEASED, 12, SILENCE},
		{HVSI_MSG_INITIATE_CONTACT, 40, 15},
		{HVSI_MSG_UNLOAD, 8, 17},
		{HVSI_MSG_OPEN_RESERVED_CHANNEL, 28, 6 | NO | FAULT},
		{HVSI_MSG_CLOSE_RESERVED_CHANNEL, 20, 20},
		{HVSI_MSG_TL_CONNECT_REQUEST, 40, 23},
		{HVSI_MSG_MODIFYCHANNEL, 16, 24 | NO | FAULT},
		{HVSI_MSG_MODIFY_CONNECTION, 24, 26},
		{HVSI_MSG_PAUSE, 8, 28},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		for (unsigned way = 0; way < 3; way++) {
			const size_t lens[] = {cases[i].len - 1, cases[i].len, HVSI_MSG_MAX};
			struct multidev m = {0};
			struct testbus *b = conn_up(OFFERED, &m);
			int got;

			if (lens[way] < 8) { /* no message at all */
				uint8_t msg[HVSI_MSG_MAX];

				make(msg, cases[i].type);
				cr_assert_eq(bus_post(b, 1, msg, lens[way]),
					     HVS_HV_STATUS_INVALID_HYPERCALL_INPUT);
				bus_down(b);
				continue;
			}
			got = send_type(b, cases[i].type, lens[way]);
			/* A GPADL without all its ranges waits for more of them. */
			if (way == 0 && cases[i].type == HVSI_MSG_GPADL_HEADER)
				cr_assert_eq(got, SILENCE);
			else
				cr_assert_eq(got, way ? cases[i].effect : REFUSED,
					     "message %u of %zu bytes: %#x", cases[i].type,
					     lens[way], (unsigned)got);
			bus_down(b);
		}
}

/* Those that are never answered, or need something to be about. */
Test(message, silent_ones_need_all_their_bytes_too)
{
	struct multidev m = {0};
	struct testbus *b = conn_up(OFFERED, &m);

	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_HEADER, 19), REFUSED);
	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_HEADER, 20), SILENCE); /* collecting */
	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_BODY, 15), REFUSED);
	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_BODY, 16), SILENCE); /* none in it */
	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_BODY, HVSI_MSG_MAX), 10 | NO | FAULT);
	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_HEADER, HVSI_MSG_MAX), 10);
	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_TEARDOWN, 15), REFUSED);
	cr_assert_eq(send_type(b, HVSI_MSG_GPADL_TEARDOWN, 16), 12);
	multi_open(b, 1);
	cr_assert_eq(send_type(b, HVSI_MSG_CLOSECHANNEL, 11), REFUSED);
	cr_assert(m.chan[0].open);
	cr_assert_eq(send_type(b, HVSI_MSG_CLOSECHANNEL, 12), SILENCE);
	cr_assert_not(m.chan[0].open);
	cr_assert_eq(send_type(b, HVSI_MSG_PAUSE, 8), 28);
	cr_assert_eq(send_type(b, HVSI_MSG_RESUME, HVSI_MSG_MAX), SILENCE);
	cr_assert_eq(send_type(b, HVSI_MSG_PAUSE, HVSI_MSG_MAX), 28);
	cr_assert_eq(send_type(b, HVSI_MSG_RESUME, 8), SILENCE);
	bus_down(b);
}

/* ---- messages by channel state ---------------------------------------------------------------- */

enum chan { NONE, CLOSED, OPENING, OPEN, CLOSING, REOPEN, REVOKED, RESERVED, ORPHAN, CHANS };

static const char *const chan_name[] = {"none",    "closed",   "opening",
					"open",    "closing",  "closing, to be reopened",
					"revoked", "reserved", "reserved, connection gone"};

/* Channel of relid 1, on a worker that runs only when it must; connected with 5.3. */
static struct testbus *chan_up(enum chan state, struct multidev *m)
{
	struct testbus *b = bus_up(NULL);
	const struct multi_options opt = {.worker = bus_worker(b)};

	multi_offer(b, m, 1, &opt);
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	if (state == NONE) {
		multi_release(b, 1);
		return b;
	}
	multi_gpadl(b, 1);
	m->chan[0].hold_close = true;
	if (state == OPENING || state == OPEN || state == CLOSING || state == REOPEN)
		send_type(b, HVSI_MSG_OPENCHANNEL, 148);
	if (state == RESERVED || state == ORPHAN)
		send_type(b, HVSI_MSG_OPEN_RESERVED_CHANNEL, 28);
	if (state != OPENING)
		bus_run_all(b);
	effect(b);
	if (state == CLOSING || state == REOPEN) {
		send_type(b, HVSI_MSG_CLOSECHANNEL, 12);
		bus_run_all(b);
	}
	if (state == REOPEN)
		send_type(b, HVSI_MSG_OPENCHANNEL, 148);
	if (state == REVOKED) {
		multi_rescind(m);
		multi_expect_rescind(b, 1);
	}
	if (state == ORPHAN) {
		bus_connect(b, NEWEST);
		bus_offers(b, 0);
	}
	bus_no_fault(b);
	bus_expect_nothing(b);
	return b;
}

static enum hvsi_chan_state chan_state(const struct testbus *b)
{
	return b->bus->offered[1] ? b->bus->offered[1]->state : HVSI_CHAN_RELEASED;
}

#define S_NONE HVSI_CHAN_RELEASED
#define S_CLOSED HVSI_CHAN_CLOSED
#define S_OPENING HVSI_CHAN_OPENING
#define S_OPEN HVSI_CHAN_OPEN
#define S_CLOSING HVSI_CHAN_CLOSING
#define S_REOPEN HVSI_CHAN_CLOSING_REOPEN
#define S_REVOKED HVSI_CHAN_REVOKED

Test(message, each_channel_message_in_each_state_of_the_channel)
{
	static const enum hvsi_chan_state before[CHANS] = {S_NONE,    S_CLOSED,  S_OPENING,
							   S_OPEN,    S_CLOSING, S_REOPEN,
							   S_REVOKED, S_OPEN,    S_OPEN};
	static const struct {
		uint32_t type;
		struct {
			int effect;
			enum hvsi_chan_state after;
		} want[CHANS];
	} cases[] = {
		/* clang-format off */
		{HVSI_MSG_OPENCHANNEL, {
			[NONE] =     {6|NO|FAULT, S_NONE},
			[CLOSED] =   {SILENCE,    S_OPENING},
			[OPENING] =  {6|NO|FAULT, S_OPENING},
			[OPEN] =     {6|NO|FAULT, S_OPEN},
			[CLOSING] =  {SILENCE,    S_REOPEN},
			[REOPEN] =   {6|NO|FAULT, S_REOPEN},
			[REVOKED] =  {SILENCE,    S_REVOKED},
			[RESERVED] = {6|NO|FAULT, S_OPEN},
			[ORPHAN] =   {6|NO|FAULT, S_OPEN}}},
		{HVSI_MSG_CLOSECHANNEL, {
			[NONE] =     {REFUSED, S_NONE},
			[CLOSED] =   {REFUSED, S_CLOSED},
			[OPENING] =  {REFUSED, S_OPENING},
			[OPEN] =     {SILENCE, S_CLOSING},
			[CLOSING] =  {REFUSED, S_CLOSING},
			[REOPEN] =   {REFUSED, S_REOPEN},
			[REVOKED] =  {SILENCE, S_REVOKED},
			[RESERVED] = {REFUSED, S_OPEN},
			[ORPHAN] =   {REFUSED, S_OPEN}}},
		{HVSI_MSG_RELID_RELEASED, {
			[NONE] =     {REFUSED, S_NONE},
			[CLOSED] =   {SILENCE, S_NONE},
			[OPENING] =  {REFUSED, S_OPENING},
			[OPEN] =     {REFUSED, S_OPEN},
			[CLOSING] =  {SILENCE, S_CLOSING}, /* when it is closed */
			[REOPEN] =   {REFUSED, S_REOPEN},
			[REVOKED] =  {SILENCE, S_NONE},
			[RESERVED] = {REFUSED, S_OPEN},
			[ORPHAN] =   {REFUSED, S_OPEN}}},
		{HVSI_MSG_MODIFYCHANNEL, {
			[NONE] =     {24|NO|FAULT, S_NONE},
			[CLOSED] =   {24|NO|FAULT, S_CLOSED},
			[OPENING] =  {24|NO|FAULT, S_OPENING},
			[OPEN] =     {SILENCE,     S_OPEN}, /* answered when its worker has done it */
			[CLOSING] =  {24|NO|FAULT, S_CLOSING},
			[REOPEN] =   {24|NO|FAULT, S_REOPEN},
			[REVOKED] =  {24|NO,       S_REVOKED},
			[RESERVED] = {24|NO|FAULT, S_OPEN},
			[ORPHAN] =   {24|NO|FAULT, S_OPEN}}},
		{HVSI_MSG_OPEN_RESERVED_CHANNEL, {
			[NONE] =     {6|NO|FAULT, S_NONE},
			[CLOSED] =   {SILENCE,    S_OPENING},
			[OPENING] =  {6|NO|FAULT, S_OPENING},
			[OPEN] =     {6|NO|FAULT, S_OPEN},
			[CLOSING] =  {6|NO|FAULT, S_CLOSING},
			[REOPEN] =   {6|NO|FAULT, S_REOPEN},
			[REVOKED] =  {6|NO|FAULT, S_REVOKED},
			[RESERVED] = {6|NO|FAULT, S_OPEN},
			[ORPHAN] =   {6|NO|FAULT, S_OPEN}}},
		{HVSI_MSG_CLOSE_RESERVED_CHANNEL, {
			[NONE] =     {20, S_NONE},
			[CLOSED] =   {20, S_CLOSED},
			[OPENING] =  {20, S_OPENING},
			[OPEN] =     {20, S_OPEN},
			[CLOSING] =  {20, S_CLOSING},
			[REOPEN] =   {20, S_REOPEN},
			[REVOKED] =  {20, S_REVOKED},
			[RESERVED] = {SILENCE, S_CLOSING}, /* when it is closed */
			[ORPHAN] =   {SILENCE, S_CLOSING}}},
		{HVSI_MSG_GPADL_HEADER, {
			[NONE] =     {10|NO|FAULT, S_NONE},
			[CLOSED] =   {10, S_CLOSED},
			[OPENING] =  {10, S_OPENING},
			[OPEN] =     {10, S_OPEN},
			[CLOSING] =  {10, S_CLOSING},
			[REOPEN] =   {10, S_REOPEN},
			[REVOKED] =  {10, S_REVOKED},
			[RESERVED] = {10|NO|FAULT, S_OPEN},
			[ORPHAN] =   {10|NO|FAULT, S_OPEN}}},
		/* clang-format on */
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		for (enum chan state = 0; state < CHANS; state++) {
			struct multidev m = {0};
			struct testbus *b = chan_up(state, &m);
			int got;

			cr_assert_eq(chan_state(b), before[state]);
			got = send_type(b, cases[i].type, HVSI_MSG_MAX);
			cr_assert_eq(got, cases[i].want[state].effect, "message %u, %s: %#x",
				     cases[i].type, chan_name[state], (unsigned)got);
			cr_assert_eq(chan_state(b), cases[i].want[state].after, "message %u, %s",
				     cases[i].type, chan_name[state]);
			/* Whatever it was, the machine can be reset. */
			m.chan[0].hold_close = false;
			bus_run_all(b);
			if (m.chan[0].open && m.chan[0].closes)
				multi_finish(&m, 0);
			effect(b);
			bus_down(b);
			cr_assert_not(m.chan[0].open);
		}
}

Test(message, what_was_put_off_while_closing_happens_when_it_is_closed)
{
	struct multidev m = {0};
	struct testbus *b = chan_up(CLOSING, &m);

	cr_assert_eq(send_type(b, HVSI_MSG_RELID_RELEASED, 12), SILENCE);
	/* It was let go of: it can't be opened. */
	cr_assert_eq(send_type(b, HVSI_MSG_OPENCHANNEL, 148), 6 | NO | FAULT);
	cr_assert_eq(send_type(b, HVSI_MSG_RELID_RELEASED, 12), SILENCE);
	multi_finish(&m, 0);
	cr_assert_eq(chan_state(b), S_NONE);
	cr_assert_eq(effect(b), SILENCE);
	bus_down(b);

	m = (struct multidev){0};
	b = chan_up(REOPEN, &m);
	multi_finish(&m, 0);
	cr_assert_eq(effect(b), 6);
	cr_assert_eq(chan_state(b), S_OPEN);
	m.chan[0].hold_close = false;
	bus_down(b);
}

/* ---- saved state by channel state ------------------------------------------------------------- */

static struct {
	uint8_t bytes[65536];
	size_t len;
} saved;

static int append(void *arg, const void *bytes, size_t len)
{
	(void)arg;
	cr_assert_leq(len, sizeof(saved.bytes) - saved.len);
	memcpy(saved.bytes + saved.len, bytes, len);
	saved.len += len;
	return 0;
}

/* What is saved can be restored, by a host whose device remembers nothing, and be reset. */
Test(message, each_state_of_the_channel_can_be_saved_and_restored)
{
	for (enum chan state = 0; state < CHANS; state++)
		for (unsigned released = 0; released < 2; released++) {
			struct multidev m = {0};
			struct multidev again = {0};
			struct testbus *b = chan_up(state, &m);
			struct testbus *copy = bus_up(NULL);

			if (released) /* in some states it is put off until the channel is closed */
				send_type(b, HVSI_MSG_RELID_RELEASED, 12);
			effect(b);
			saved.len = 0;
			cr_assert_eq(hvs_vmbus_save(b->bus, append, NULL), 0);
			multi_offer(copy, &again, 1, &(struct multi_options){0});
			cr_assert_eq(hvs_vmbus_restore(copy->bus, saved.bytes, saved.len), 0,
				     "%s, %u", chan_name[state], released);
			bus_start(copy);
			bus_run_all(copy);
			effect(copy);
			bus_unload(copy);
			cr_assert_eq(effect(copy), 17, "%s, %u", chan_name[state], released);
			bus_down(copy);
			m.chan[0].hold_close = false;
			bus_run_all(b);
			if (m.chan[0].open && m.chan[0].closes)
				multi_finish(&m, 0);
			effect(b);
			bus_down(b);
		}
}

/* ---- messages by GPADL state ------------------------------------------------------------------ */

enum gpadl { ABSENT, COLLECTING, READY, IN_USE, TEARDOWN_WAITS, GPADLS };

static struct testbus *gpadl_up(enum gpadl state, struct multidev *m)
{
	struct testbus *b = bus_up(NULL);
	struct hvsi_msg_gpadl_header h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
					  .relid = hvsi_le32(1),
					  .gpadl_id = hvsi_le32(MULTI_GPADL(1)),
					  .range_bytes = hvsi_le16(8 + 8 * MULTI_PAGES),
					  .range_count = hvsi_le16(1)};

	multi_offer(b, m, 1, &(struct multi_options){0});
	bus_start(b);
	bus_connect(b, NEWEST);
	bus_offers(b, 1);
	if (state == COLLECTING)
		bus_send(b, &h, sizeof(h));
	if (state >= READY)
		multi_gpadl(b, 1);
	if (state >= IN_USE)
		cr_assert_eq(send_type(b, HVSI_MSG_OPENCHANNEL, 148), 6);
	if (state == TEARDOWN_WAITS)
		bus_teardown(b, 1, MULTI_GPADL(1));
	bus_no_fault(b);
	bus_expect_nothing(b);
	return b;
}

/* All its pages, in one BODY. */
static void send_body(struct testbus *b)
{
	struct hvsi_msg_gpadl_body body = {.h = hvsi_msg_header(HVSI_MSG_GPADL_BODY),
					   .gpadl_id = hvsi_le32(MULTI_GPADL(1))};
	uint8_t msg[16 + 8 + 8 * MULTI_PAGES];

	memcpy(msg, &body, sizeof(body));
	memcpy(msg + 16, (struct hvs_le32[]){hvsi_le32(MULTI_PAGES * 4096), hvsi_le32(0)}, 8);
	for (uint32_t i = 0; i < MULTI_PAGES; i++)
		memcpy(msg + 24 + 8 * i,
		       (struct hvs_le64[]){hvsi_le64(BUS_PFN(MULTI_FIRST(1) + i))}, 8);
	bus_send(b, msg, sizeof(msg));
}

Test(message, each_gpadl_message_in_each_state_of_the_gpadl)
{
	enum { HEADER, BODY, TEARDOWN, OPENING_IT, MESSAGES };
	static const int want[GPADLS][MESSAGES] = {
		/* clang-format off */
		/*                   HEADER,       BODY,    TEARDOWN, OPENCHANNEL */
		[ABSENT] =         {10,           REFUSED, REFUSED,  6|NO|FAULT},
		[COLLECTING] =     {10|NO|FAULT,  10,      REFUSED,  6|NO|FAULT},
		[READY] =          {10|NO|FAULT,  REFUSED, 12,       6},
		[IN_USE] =         {10|NO|FAULT,  REFUSED, SILENCE,  6|NO|FAULT},
		[TEARDOWN_WAITS] = {10|NO|FAULT,  REFUSED, REFUSED,  6|NO|FAULT},
		/* clang-format on */
	};

	for (enum gpadl state = 0; state < GPADLS; state++)
		for (unsigned i = 0; i < MESSAGES; i++) {
			struct multidev m = {0};
			struct testbus *b = gpadl_up(state, &m);
			int got;

			if (i == HEADER)
				bus_send_gpadl(b, 1, MULTI_GPADL(1), MULTI_FIRST(1), MULTI_PAGES);
			else if (i == BODY)
				send_body(b);
			else if (i == TEARDOWN)
				bus_teardown(b, 1, MULTI_GPADL(1));
			got = i == OPENING_IT ? send_type(b, HVSI_MSG_OPENCHANNEL, 148) : effect(b);
			cr_assert_eq(got, want[state][i], "state %u, message %u: %#x", state, i,
				     (unsigned)got);
			/* The ring that is in use goes on; what waits is answered when it is closed. */
			cr_assert_eq(m.chan[0].open,
				     state >= IN_USE || (state == READY && i == OPENING_IT));
			if (m.chan[0].open) {
				multi_close(b, 1);
				cr_assert_eq(effect(b),
					     state == TEARDOWN_WAITS ||
							     (state == IN_USE && i == TEARDOWN)
						     ? 12
						     : SILENCE);
			}
			bus_down(b);
		}
}

/* A CREATED that the guest has not read does not make the GPADL any less there. */
Test(message, a_gpadl_whose_created_waits_is_not_torn_down_before)
{
	uint8_t msg[HVSI_MSG_MAX];
	struct multidev m = {0};
	struct testbus *b = gpadl_up(ABSENT, &m);

	b->slot_busy = true;
	bus_send_gpadl(b, 1, MULTI_GPADL(1), MULTI_FIRST(1), MULTI_PAGES);
	make(msg, HVSI_MSG_GPADL_TEARDOWN);
	msg[12] = MULTI_GPADL(1);
	bus_send(b, msg, 16);
	bus_expect_nothing(b);
	b->slot_busy = false;
	hvs_vmbus_slot_free(b->bus, 0);
	bus_run(b);
	bus_expect_created(b, 1, MULTI_GPADL(1), 0);
	bus_expect_torndown(b, MULTI_GPADL(1));
	bus_no_fault(b);
	bus_down(b);
}

/* ---- versions --------------------------------------------------------------------------------- */

enum answer { NOT_ALLOWED, NOT_ANSWERED, ANSWERED };

static const struct version {
	uint32_t version;
	size_t response; /* bytes; 16 and "unsupported" for what is no version */
	bool known;
	uint32_t selected; /* 5.0 and later: connection id for messages */
	size_t offer;
	bool event_flags; /* else the interrupt page, flag 0, VP 0 */
	enum answer modify;
	bool reserved;
	enum answer tl_connect;
	bool silo;
	bool subchannels;
	bool sint; /* of a contact through connection 4 is looked at */
	bool vtl;
	bool message_vp; /* from the contact */
} versions[] = {
	/* clang-format off */
	/*          response  selected  offer flags  modify       reserved tl_connect    silo subch sint vtl vp */
	{V(0, 13),  16, true,  V(0, 13), 190, false, NOT_ALLOWED,  false, NOT_ALLOWED,  false, false, false, false, false},
	{V(1, 1),   16, true,  V(1, 1),  196, false, NOT_ALLOWED,  false, NOT_ALLOWED,  false, false, false, false, false},
	{V(2, 4),   16, true,  V(2, 4),  196, true,  NOT_ALLOWED,  false, NOT_ALLOWED,  false, true,  false, false, false},
	{V(3, 0),   16, true,  V(3, 0),  196, true,  NOT_ALLOWED,  false, NOT_ALLOWED,  false, true,  false, false, true},
	{V(4, 0),   16, true,  V(4, 0),  196, true,  NOT_ALLOWED,  true,  NOT_ANSWERED, false, true,  false, false, true},
	{V(4, 1),   16, true,  V(4, 1),  196, true,  NOT_ANSWERED, true,  ANSWERED,     false, true,  false, false, true},
	{V(5, 0),   16, true,  1,        196, true,  NOT_ANSWERED, true,  ANSWERED,     false, true,  true,  false, true},
	{V(5, 1),   16, true,  1,        196, true,  NOT_ANSWERED, true,  ANSWERED,     false, true,  true,  true,  true},
	{V(5, 2),   16, true,  1,        196, true,  NOT_ANSWERED, true,  ANSWERED,     true,  true,  true,  true,  true},
	{V(5, 3),   16, true,  1,        196, true,  ANSWERED,     true,  ANSWERED,     true,  true,  true,  true,  true},
	{V(6, 0),   20, true,  1,        196, true,  ANSWERED,     true,  ANSWERED,     true,  true,  true,  true,  true},
	{.version = V(0, 0), 16}, {.version = V(0, 12), 16}, {.version = V(0, 14), 16},
	{.version = V(1, 0), 16}, {.version = V(2, 3), 16},  {.version = V(2, 5), 16},
	{.version = V(3, 1), 16}, {.version = V(4, 2), 16},  {.version = V(5, 4), 16},
	{.version = V(6, 1), 16}, {.version = V(7, 0), 16},  {.version = UINT32_MAX, 16},
	/* clang-format on */
};

static unsigned asked; /* connect_request()s, and the last one's silo */
static struct hvs_guid silo;

static int take_request(void *be, const struct hvs_connect_request *request)
{
	(void)be;
	asked++;
	silo = request->silo_id;
	return -ECONNREFUSED;
}

/* INITIATE_CONTACT with these fields; is the answer "supported", and the whole answer. */
static const struct bus_post *answer_to(struct testbus *b, uint32_t version, uint32_t connection,
					uint32_t vp, uint8_t sint, uint8_t vtl, bool *ok)
{
	struct hvsi_msg_initiate_contact msg = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						.version = hvsi_le32(version),
						.target_vp = hvsi_le32(vp),
						.sint = sint,
						.vtl = vtl};
	const struct bus_post *p;

	cr_assert_eq(bus_post(b, connection, &msg, sizeof(msg)), HVS_HV_STATUS_SUCCESS);
	bus_run_all(b);
	cr_assert_eq(b->posted, b->taken + 1);
	p = &b->posts[b->taken++];
	cr_assert_eq(p->bytes[0], HVSI_MSG_VERSION_RESPONSE);
	*ok = p->bytes[8] == 1;
	return p;
}

static void check_contact(const struct version *v, struct testbus *b)
{
	uint32_t selected = v->known && v->version < V(5, 0) ? v->selected : 1;
	const struct bus_post *p;
	bool ok;

	if (v->version >= V(5, 0)) {
		answer_to(b, v->version, 4, 0, 3, 0, &ok);
		cr_assert_eq(ok, v->known && !v->sint);
		answer_to(b, v->version, 1, 0, 0, 0, &ok); /* the old way: not looked at */
		cr_assert_eq(ok, v->known);
		answer_to(b, v->version, 4, 0, 2, 1, &ok);
		cr_assert_eq(ok, v->known && !v->vtl);
	}
	p = answer_to(b, v->version, v->version >= V(5, 0) ? 4 : 1, 1,
		      v->version >= V(5, 0) ? 2 : 0, 0, &ok);
	cr_assert_eq(ok, v->known);
	cr_assert_eq(p->len, v->response);
	if (v->known) {
		cr_assert_eq(p->vp, v->message_vp);
		cr_assert_arr_eq(p->bytes + 12, (struct hvs_le32[]){hvsi_le32(selected)}, 4);
		/* A VP that does not exist is refused where the field counts. */
		answer_to(b, v->version, 1, 2, v->version >= V(5, 0) ? 2 : 0, 0, &ok);
		cr_assert_eq(ok, !v->message_vp);
	}
}

static void check_channel(const struct version *v, struct testbus *b, struct multidev *m)
{
	struct guest_rings r;

	bus_send(b, &(struct hvsi_msg){.type = hvsi_le32(HVSI_MSG_REQUESTOFFERS)}, 8);
	bus_take(b, HVSI_MSG_OFFERCHANNEL, v->offer);
	bus_take(b, HVSI_MSG_ALLOFFERS_DELIVERED, 8);
	multi_gpadl(b, 1);
	rings_attach(b, &r, MULTI_FIRST(1), MULTI_SPLIT, MULTI_PAGES);
	{
		struct hvsi_msg_open open = bus_open_msg(1, 1, MULTI_GPADL(1), 1, MULTI_SPLIT);

		bus_send(b, &open, sizeof(open));
	}
	bus_expect_opened(b, 1, 1, 0);
	cr_assert_eq(hvs_channel_send(m->chan[0].ch, 1, false, NULL, 0), 0);
	hvs_channel_flush(m->chan[0].ch);
	cr_assert_eq(b->signal_vp, v->event_flags);
	cr_assert_eq(b->signal_flag, v->event_flags);
	cr_assert_eq(multi_ask(m, 1), 0);
	cr_assert_eq(effect(b), v->subchannels ? 1 : SILENCE);
}

static void check_messages(const struct version *v, struct testbus *b)
{
	static const uint8_t no_silo[16];
	int want = v->modify == NOT_ALLOWED ? REFUSED : v->modify == ANSWERED ? 24 : SILENCE;

	cr_assert_eq(send_type(b, HVSI_MSG_MODIFYCHANNEL, 16), want);
	cr_assert_eq(send_type(b, HVSI_MSG_CLOSE_RESERVED_CHANNEL, 20), v->reserved ? 20 : REFUSED);
	cr_assert_eq(send_type(b, HVSI_MSG_OPEN_RESERVED_CHANNEL, 28),
		     v->reserved ? 6 | NO | FAULT : REFUSED);
	{
		uint8_t msg[56] = {HVSI_MSG_TL_CONNECT_REQUEST, [8] = 1, [24] = 2, [40] = 3};

		bus_send(b, msg, sizeof(msg));
	}
	want = v->tl_connect == NOT_ALLOWED ? REFUSED : v->tl_connect == ANSWERED ? 23 : SILENCE;
	cr_assert_eq(effect(b), want);
	cr_assert_eq(asked, v->tl_connect != NOT_ALLOWED);
	cr_assert_eq(silo.b[0], v->silo ? 3 : 0);
	/* The short form has none. */
	send_type(b, HVSI_MSG_TL_CONNECT_REQUEST, 40);
	cr_assert_arr_eq(silo.b, no_silo, 16);
	/* Only 6.0 has these, and only with their features. */
	cr_assert_eq(send_type(b, HVSI_MSG_MODIFY_CONNECTION, 24), REFUSED);
	cr_assert_eq(send_type(b, HVSI_MSG_PAUSE, 8), REFUSED);
}

Test(message, versions_differ_in_this)
{
	for (size_t i = 0; i < COUNT(versions); i++) {
		const struct version *v = &versions[i];
		const struct bus_options opt = {.connect_request = take_request};
		struct multidev m = {0};
		struct testbus *b = bus_up(&opt);
		bool ok;

		asked = 0;
		silo = (struct hvs_guid){0};
		multi_offer(b, &m, 1, &(struct multi_options){.max_subchannels = 1});
		bus_start(b);
		check_contact(v, b);
		if (v->known) {
			answer_to(b, v->version, 1, 0, v->version >= V(5, 0) ? 2 : 0, 0, &ok);
			cr_assert(ok);
			check_channel(v, b, &m);
			check_messages(v, b);
		}
		bus_down(b);
	}
}

Test(message, a_cap_hides_versions_above_it_and_connection_4_with_those_that_use_it)
{
	for (size_t cap = 0; versions[cap].known; cap++) {
		const struct bus_options opt = {.max_version = versions[cap].version};

		for (size_t i = 0; versions[i].known; i++) {
			struct testbus *b = bus_up(&opt);
			struct hvsi_msg any = hvsi_msg_header(HVSI_MSG_UNLOAD);
			bool ok;

			bus_start(b);
			cr_assert_eq(bus_post(b, 4, &any, sizeof(any)),
				     versions[cap].version >= V(5, 0)
					     ? HVS_HV_STATUS_SUCCESS
					     : HVS_HV_STATUS_INVALID_CONNECTION_ID);
			bus_run(b);
			effect(b);
			answer_to(b, versions[i].version, 1, 0,
				  versions[i].version >= V(5, 0) ? 2 : 0, 0, &ok);
			cr_assert_eq(ok, i <= cap);
			bus_down(b);
		}
	}
}

/* ---- features of 6.0 -------------------------------------------------------------------------- */

Test(message, features_are_granted_one_by_one_and_change_this)
{
	static const struct {
		uint32_t bit;
		bool granted;
		size_t contact;    /* bytes an INITIATE_CONTACT needs */
		int open_148;      /* OPENCHANNEL without signal parameters */
		int modify, pause; /* MODIFY_CONNECTION, PAUSE */
	} cases[] = {
		{0, true, 40, 6, REFUSED, REFUSED},
		{HVSI_FEATURE_SIGNAL_PARAMETERS, true, 40, 6 | NO | FAULT, REFUSED, REFUSED},
		{HVSI_FEATURE_INTERRUPT_REDIRECTION, true, 40, 6, REFUSED, REFUSED},
		{HVSI_FEATURE_MODIFY_CONNECTION, true, 40, 6, 26, REFUSED},
		{HVSI_FEATURE_CLIENT_ID, true, 56, 6, REFUSED, REFUSED},
		{0x10, false, 40, 6, REFUSED, REFUSED}, /* confidential channels */
		{HVSI_FEATURE_PAUSE_RESUME, true, 40, 6, REFUSED, 28},
		{HVSI_FEATURE_SERVER_MONITOR_PAGES, false, 40, 6, REFUSED,
		 REFUSED},                              /* we have none */
		{0x80, false, 40, 6, REFUSED, REFUSED}, /* pinning */
		{0x100, false, 40, 6, REFUSED, REFUSED},
		{0x80000000u, false, 40, 6, REFUSED, REFUSED},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct multidev m = {0};
		struct testbus *b = bus_up(NULL);
		const uint8_t *r;

		multi_offer(b, &m, 1, &(struct multi_options){0});
		bus_start(b);
		if (cases[i].contact == 56) {
			contact(b, V(6, 0), cases[i].bit, 55);
			cr_assert_eq(effect(b), REFUSED);
		}
		contact(b, V(6, 0), cases[i].bit, cases[i].contact);
		r = bus_take(b, HVSI_MSG_VERSION_RESPONSE, 20);
		cr_assert_arr_eq(
			r + 16, (struct hvs_le32[]){hvsi_le32(cases[i].granted ? cases[i].bit : 0)},
			4);
		bus_offers(b, 1);
		multi_gpadl(b, 1);
		cr_assert_eq(send_type(b, HVSI_MSG_OPENCHANNEL, 148), cases[i].open_148,
			     "feature %#x", cases[i].bit);
		cr_assert_eq(send_type(b, HVSI_MSG_MODIFY_CONNECTION, 24), cases[i].modify,
			     "feature %#x", cases[i].bit);
		cr_assert_eq(send_type(b, HVSI_MSG_PAUSE, 8), cases[i].pause, "feature %#x",
			     cases[i].bit);
		bus_down(b);
	}
}

Test(message, all_features_together_and_older_versions_have_none)
{
	struct testbus *b = bus_up(NULL);
	const uint8_t *r;

	bus_start(b);
	contact(b, V(6, 0), ALL_FEATURES, 56);
	r = bus_take(b, HVSI_MSG_VERSION_RESPONSE, 20);
	cr_assert_arr_eq(r + 16, (struct hvs_le32[]){hvsi_le32(GRANTED)}, 4);
	/* The same bytes mean nothing to 5.3; what was granted before is gone. */
	contact(b, V(5, 3), 0, 40);
	bus_take(b, HVSI_MSG_VERSION_RESPONSE, 16);
	cr_assert_eq(send_type(b, HVSI_MSG_PAUSE, 8), REFUSED);
	bus_down(b);
}
