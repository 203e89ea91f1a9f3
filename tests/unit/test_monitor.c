/* SPDX-License-Identifier: MIT */
/* Monitor pages; protocol/vmbus.md 7. */
#include "support/multidev.h"
#include "vmbus/bus.h"

#include <criterion/criterion.h>
#include <errno.h>

#define TO_GUEST 200u /* pages: of the guest's */
#define TO_HOST 201u
#define OTHER_TO_GUEST 202u
#define OTHER_TO_HOST 203u
#define GPA(page) (BUS_RAM + (page)*4096ull)
#define US 1000u
#define LATENCY_US 100u

static const struct multi_options monitored = {.monitor_latency_us = LATENCY_US};

static struct hvsi_msg_initiate_contact contact_with(uint32_t version, uint64_t page0,
						     uint64_t page1)
{
	return (struct hvsi_msg_initiate_contact){
		.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
		.version = hvsi_le32(version),
		.sint = 2,
		.features = hvsi_le32(version >= V(6, 0) ? HVSI_FEATURE_MODIFY_CONNECTION |
								   HVSI_FEATURE_SERVER_MONITOR_PAGES
							 : 0),
		.monitor_page = {hvsi_le64(page0), hvsi_le64(page1)}};
}

/* Is it answered "supported"? */
static bool contact(struct testbus *b, uint32_t version, uint64_t page0, uint64_t page1)
{
	struct hvsi_msg_initiate_contact msg = contact_with(version, page0, page1);
	bool ok;

	bus_send(b, &msg, sizeof(msg));
	ok = b->posts[b->taken].bytes[8] == 1;
	bus_take(b, HVSI_MSG_VERSION_RESPONSE, ok && version >= V(6, 0) ? 20 : 16);
	return ok;
}

static struct testbus *up(struct multidev *m, const struct multi_options *opt)
{
	struct testbus *b = bus_up(NULL);

	multi_offer(b, m, 1, opt);
	bus_start(b);
	return b;
}

/* Open with monitor id 0. */
static struct testbus *opened(struct multidev *m, uint32_t version)
{
	struct testbus *b = up(m, &monitored);

	cr_assert(contact(b, version, GPA(TO_GUEST), GPA(TO_HOST)));
	bus_offers(b, 1);
	multi_open(b, 1);
	bus_no_fault(b);
	return b;
}

/* Monitor id of the next offer; -1: none. */
static int offered_id(struct testbus *b)
{
	const uint8_t *offer = bus_take(b, HVSI_MSG_OFFERCHANNEL, 196);

	cr_assert_eq(offer[189], offer[188] != HVSI_NO_MONITOR);
	return offer[189] ? offer[188] : -1;
}

static int id_of_first_offer(struct testbus *b)
{
	struct hvsi_msg request = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	int id;

	bus_send(b, &request, sizeof(request));
	id = offered_id(b);
	bus_take(b, HVSI_MSG_ALLOFFERS_DELIVERED, 8);
	return id;
}

/* A word of the page from the guest to the host. */
static uint32_t *word(struct testbus *b, uint32_t page, size_t offset)
{
	return (uint32_t *)(void *)(b->ram + page * 4096u + offset);
}

static uint32_t *pending(struct testbus *b, uint32_t page, unsigned group)
{
	return word(b, page, 8 + 8 * (size_t)group);
}

static void pass(struct testbus *b, uint64_t ns)
{
	b->now_ns += ns;
	bus_run_all(b);
}

/* ---- ids -------------------------------------------------------------------------------------- */

Test(monitor, an_id_is_given_only_if_the_device_wants_it_and_the_guest_gave_pages)
{
	for (unsigned wants = 0; wants < 2; wants++)
		for (unsigned gives = 0; gives < 2; gives++) {
			const struct multi_options opt = {.monitor_latency_us =
								  wants ? LATENCY_US : 0};
			struct multidev m = {0};
			struct testbus *b = up(&m, &opt);

			cr_assert(contact(b, NEWEST, gives ? GPA(TO_GUEST) : 0,
					  gives ? GPA(TO_HOST) : 0));
			cr_assert_eq(id_of_first_offer(b), wants && gives ? 0 : -1);
			bus_down(b);
		}
}

Test(monitor, one_page_alone_is_refused_and_pages_that_are_no_ram_are_not_used)
{
	static const struct {
		uint64_t page[2];
		bool ok;
		int id;
	} cases[] = {
		{{GPA(TO_GUEST), 0}, false, -1},
		{{0, GPA(TO_HOST)}, false, -1},
		{{GPA(TO_GUEST) + 8, GPA(TO_HOST)}, true, -1},
		{{GPA(TO_GUEST), GPA(TO_HOST) + 2048}, true, -1},
		{{GPA(BUS_PAGES), GPA(TO_HOST)}, true, -1},
		{{GPA(TO_GUEST), GPA(BUS_PAGES)}, true, -1},
		{{GPA(TO_GUEST), UINT64_MAX & ~4095ull}, true, -1},
		{{GPA(TO_GUEST), GPA(TO_HOST)}, true, 0},
		{{GPA(0), GPA(BUS_PAGES - 1)}, true, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct multidev m = {0};
		struct testbus *b = up(&m, &monitored);

		cr_assert_eq(contact(b, NEWEST, cases[i].page[0], cases[i].page[1]), cases[i].ok);
		if (cases[i].ok) {
			cr_assert_eq(id_of_first_offer(b), cases[i].id, "case %zu", i);
			multi_open(b, 1); /* which works in any case */
		}
		bus_down(b);
	}
}

Test(monitor, there_are_128_ids_and_one_that_is_released_is_used_again)
{
	struct hvsi_msg request = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	static struct multidev m[131];
	struct testbus *b = bus_up(NULL);

	for (unsigned i = 0; i < 130; i++)
		multi_offer(b, &m[i], (uint8_t)i, &monitored);
	bus_start(b);
	cr_assert(contact(b, NEWEST, GPA(TO_GUEST), GPA(TO_HOST)));
	bus_send(b, &request, sizeof(request));
	for (int i = 0; i < 130; i++)
		cr_assert_eq(offered_id(b), i < 128 ? i : -1);
	bus_take(b, HVSI_MSG_ALLOFFERS_DELIVERED, 8);
	multi_release(b, 71); /* id 70 */
	multi_offer(b, &m[130], 200, &monitored);
	bus_run_all(b);
	cr_assert_eq(offered_id(b), 70);
	bus_down(b);
}

/* ---- signals ---------------------------------------------------------------------------------- */

Test(monitor, the_page_says_how_the_channel_is_signalled)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m, NEWEST);

	cr_assert_eq(*word(b, TO_HOST, 0x000), 1, "group 0 is in use");
	cr_assert_eq(*word(b, TO_HOST, 0x240) & 0xffff, LATENCY_US * 10, "in units of 100 ns");
	cr_assert_eq(*word(b, TO_HOST, 0x440), 0x2001, "connection id");
	cr_assert_eq(*word(b, TO_HOST, 0x444), 0, "flag");
	bus_down(b);
}

Test(monitor, a_bit_leads_to_ready_within_the_latency)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m, NEWEST);
	unsigned readies = m.chan[0].readies;

	for (unsigned i = 1; i <= 20; i++) {
		pass(b, 50 * US);
		*pending(b, TO_HOST, 0) |= 1;
		pass(b, LATENCY_US * US);
		cr_assert_eq(m.chan[0].readies, readies + i);
		cr_assert_eq(*pending(b, TO_HOST, 0), 0);
	}
	bus_down(b);
}

Test(monitor, without_a_bit_nothing_is_ready_and_the_page_is_looked_at_once_a_period)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m, NEWEST);
	unsigned readies = m.chan[0].readies;

	pass(b, LATENCY_US * US);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert_eq(b->deadline_ns, b->now_ns + LATENCY_US * US);
		*pending(b, TO_HOST, 0) |= 1;
		pass(b, LATENCY_US * US - 1);
		cr_assert_eq(*pending(b, TO_HOST, 0), 1, "not yet");
		pass(b, 1);
		cr_assert_eq(*pending(b, TO_HOST, 0), 0);
	}
	cr_assert_eq(m.chan[0].readies, readies + 10);
	bus_down(b);
}

Test(monitor, the_shortest_latency_counts)
{
	const struct multi_options slow = {.monitor_latency_us = 6553};
	struct multidev m[2] = {{0}};
	struct testbus *b = bus_up(NULL);

	multi_offer(b, &m[0], 1, &slow);
	multi_offer(b, &m[1], 2, &monitored);
	bus_start(b);
	cr_assert(contact(b, NEWEST, GPA(TO_GUEST), GPA(TO_HOST)));
	bus_offers(b, 2);
	multi_open(b, 1);
	cr_assert_eq(*word(b, TO_HOST, 0x240) & 0xffff, 65530);
	pass(b, 1);
	cr_assert_gt(b->deadline_ns, b->now_ns + LATENCY_US * US);
	multi_open(b, 2);
	pass(b, LATENCY_US * US);
	cr_assert_eq(b->deadline_ns, b->now_ns + LATENCY_US * US);
	multi_close(b, 2);
	pass(b, LATENCY_US * US);
	cr_assert_gt(b->deadline_ns, b->now_ns + LATENCY_US * US);
	multi_close(b, 1);
	bus_down(b);
}

Test(monitor, the_page_is_left_alone_when_nothing_is_open)
{
	struct multidev m = {0};
	struct testbus *b = up(&m, &monitored);

	cr_assert(contact(b, NEWEST, GPA(TO_GUEST), GPA(TO_HOST)));
	bus_offers(b, 1);
	*pending(b, TO_HOST, 0) = 1;
	pass(b, 1000000 * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 1);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	multi_open(b, 1);
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 0);
	multi_close(b, 1);
	*pending(b, TO_HOST, 0) = 1;
	pass(b, 1000000 * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 1);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	bus_down(b);
}

Test(monitor, bits_of_channels_that_are_not_open_do_nothing)
{
	struct multidev m[2] = {{0}};
	struct testbus *b = bus_up(NULL);
	unsigned readies;

	multi_offer(b, &m[0], 1, &monitored);
	multi_offer(b, &m[1], 2, &monitored);
	bus_start(b);
	cr_assert(contact(b, NEWEST, GPA(TO_GUEST), GPA(TO_HOST)));
	bus_offers(b, 2);
	multi_open(b, 1);
	readies = m[0].chan[0].readies;
	for (unsigned group = 0; group < 4; group++)
		*pending(b, TO_HOST, group) = group ? UINT32_MAX : UINT32_MAX - 1;
	memset(b->ram + TO_HOST * 4096u + 0x28, 0xff, 0x840 - 0x28); /* and nonsense */
	pass(b, LATENCY_US * US);
	for (unsigned group = 0; group < 4; group++)
		cr_assert_eq(*pending(b, TO_HOST, group), 0);
	cr_assert_eq(m[0].chan[0].readies, readies);
	cr_assert_eq(m[1].chan[0].readies, 0);
	bus_no_fault(b);
	bus_down(b);
}

Test(monitor, hypercalls_still_work)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m, NEWEST);
	struct guest_rings r;

	rings_attach(b, &r, MULTI_FIRST(1), MULTI_SPLIT, MULTI_PAGES);
	multi_packet(b, 1, &r);
	cr_assert_eq(m.chan[0].received, 1);
	bus_down(b);
}

Test(monitor, sub_channels_have_ids_of_their_own)
{
	const struct multi_options opt = {.monitor_latency_us = LATENCY_US, .max_subchannels = 2};
	struct multidev m = {0};
	struct testbus *b = up(&m, &opt);

	cr_assert(contact(b, NEWEST, GPA(TO_GUEST), GPA(TO_HOST)));
	bus_offers(b, 1);
	multi_open(b, 1);
	cr_assert_eq(multi_ask(&m, 2), 0);
	cr_assert_eq(offered_id(b), 1);
	cr_assert_eq(offered_id(b), 2);
	multi_open(b, 3);
	*pending(b, TO_HOST, 0) = 1u << 2;
	pass(b, LATENCY_US * US);
	cr_assert_eq(m.chan[2].readies, 2); /* the first was that it is open */
	bus_down(b);
}

/* ---- the connection goes ---------------------------------------------------------------------- */

Test(monitor, a_new_connection_has_its_own_pages)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m, NEWEST);

	cr_assert(contact(b, NEWEST, GPA(OTHER_TO_GUEST), GPA(OTHER_TO_HOST)));
	*pending(b, TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 1);
	cr_assert_eq(id_of_first_offer(b), 0);
	multi_open(b, 1);
	*pending(b, OTHER_TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, OTHER_TO_HOST, 0), 0);
	cr_assert_eq(*pending(b, TO_HOST, 0), 1);
	/* And one without any leaves them alone. */
	cr_assert(contact(b, NEWEST, 0, 0));
	*pending(b, OTHER_TO_HOST, 0) = 1;
	cr_assert_eq(id_of_first_offer(b), -1);
	multi_open(b, 1);
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, OTHER_TO_HOST, 0), 1);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	bus_down(b);
}

Test(monitor, reserved_channels_are_not_looked_for)
{
	struct hvsi_msg_open_reserved open = {.h = hvsi_msg_header(HVSI_MSG_OPEN_RESERVED_CHANNEL),
					      .relid = hvsi_le32(1),
					      .target_sint = hvsi_le32(2),
					      .gpadl_id = hvsi_le32(MULTI_GPADL(1)),
					      .downstream_page = hvsi_le32(MULTI_SPLIT)};
	struct multidev m = {0};
	struct testbus *b = up(&m, &monitored);

	cr_assert(contact(b, NEWEST, GPA(TO_GUEST), GPA(TO_HOST)));
	cr_assert_eq(id_of_first_offer(b), 0);
	multi_gpadl(b, 1);
	bus_send(b, &open, sizeof(open));
	bus_run_all(b);
	bus_take(b, HVSI_MSG_OPENCHANNEL_RESULT, 20);
	*pending(b, TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 1);
	cr_assert_eq(b->deadline_ns, UINT64_MAX);
	/* The next connection's pages are its own business. */
	cr_assert(contact(b, V(6, 0), GPA(OTHER_TO_GUEST), GPA(OTHER_TO_HOST)));
	*pending(b, OTHER_TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, OTHER_TO_HOST, 0), 1);
	cr_assert(m.chan[0].open);
	bus_down(b);
}

/* ---- 6.0 -------------------------------------------------------------------------------------- */

/* MODIFY_CONNECTION; was it done? */
static bool modify(struct testbus *b, uint64_t page0, uint64_t page1)
{
	struct hvsi_msg_modify_connection msg = {
		.h = hvsi_msg_header(HVSI_MSG_MODIFY_CONNECTION),
		.monitor_page = {hvsi_le64(page0), hvsi_le64(page1)}};
	const uint8_t *r;

	bus_send(b, &msg, sizeof(msg));
	r = bus_take(b, HVSI_MSG_MODIFY_CONNECTION_RESPONSE, 9);
	cr_assert(r[8] == 0 || r[8] == 2);
	return r[8] == 0;
}

Test(monitor, pages_are_exchanged_both_or_none_and_not_while_in_use)
{
	struct multidev m = {0};
	struct testbus *b = opened(&m, V(6, 0));

	cr_assert_not(modify(b, GPA(OTHER_TO_GUEST), GPA(OTHER_TO_HOST)), "in use");
	cr_assert_not(modify(b, 0, 0));
	*pending(b, TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 0, "still the old ones");
	multi_close(b, 1);
	cr_assert_not(modify(b, GPA(OTHER_TO_GUEST), 0));
	cr_assert_not(modify(b, 0, GPA(OTHER_TO_HOST)));
	cr_assert_not(modify(b, GPA(OTHER_TO_GUEST), GPA(BUS_PAGES)));
	cr_assert_not(modify(b, GPA(BUS_PAGES), GPA(OTHER_TO_HOST)));
	cr_assert_not(modify(b, GPA(OTHER_TO_GUEST) + 1, GPA(OTHER_TO_HOST)));
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	*pending(b, TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 0, "nothing has changed");
	multi_close(b, 1);
	cr_assert(modify(b, GPA(OTHER_TO_GUEST), GPA(OTHER_TO_HOST)));
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	*pending(b, OTHER_TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, OTHER_TO_HOST, 0), 0);
	multi_close(b, 1);
	/* None at all: the id it was offered with means nothing then. */
	cr_assert(modify(b, 0, 0));
	multi_send_open(b, 1);
	bus_expect_opened(b, 1, 1, 0);
	*pending(b, OTHER_TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, OTHER_TO_HOST, 0), 1);
	bus_no_fault(b);
	bus_down(b);
}

Test(monitor, pages_of_the_servers_are_named_in_the_answer_and_used_instead)
{
	const struct bus_options opt = {.monitor_page_gpa = {GPA(240), GPA(241)}};
	struct hvsi_msg_initiate_contact msg = contact_with(V(6, 0), GPA(TO_GUEST), GPA(TO_HOST));
	struct hvsi_msg_version_response_monitor r;
	struct multidev m = {0};
	struct testbus *b = bus_up(&opt);

	multi_offer(b, &m, 1, &monitored);
	bus_start(b);
	bus_send(b, &msg, sizeof(msg));
	memcpy(&r, bus_take(b, HVSI_MSG_VERSION_RESPONSE, 40), sizeof(r));
	cr_assert_eq(hvsi_get32(r.r.features),
		     HVSI_FEATURE_MODIFY_CONNECTION | HVSI_FEATURE_SERVER_MONITOR_PAGES);
	cr_assert_eq(hvsi_get64(r.monitor_page[0]), GPA(240));
	cr_assert_eq(hvsi_get64(r.monitor_page[1]), GPA(241));
	cr_assert_eq(id_of_first_offer(b), 0);
	multi_open(b, 1);
	*pending(b, 241, 0) = 1;
	*pending(b, TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, 241, 0), 0);
	cr_assert_eq(*pending(b, TO_HOST, 0), 1);
	bus_down(b);
}

Test(monitor, a_guest_that_does_not_ask_or_an_older_one_uses_its_own_pages)
{
	const struct bus_options opt = {.monitor_page_gpa = {GPA(240), GPA(241)}};

	for (unsigned old = 0; old < 2; old++) {
		struct hvsi_msg_initiate_contact msg =
			contact_with(old ? NEWEST : V(6, 0), GPA(TO_GUEST), GPA(TO_HOST));
		struct multidev m = {0};
		struct testbus *b = bus_up(&opt);

		multi_offer(b, &m, 1, &monitored);
		bus_start(b);
		msg.features = hvsi_le32(0);
		bus_send(b, &msg, sizeof(msg));
		bus_take(b, HVSI_MSG_VERSION_RESPONSE, old ? 16 : 20);
		bus_offers(b, 1);
		multi_open(b, 1);
		*pending(b, 241, 0) = 1;
		*pending(b, TO_HOST, 0) = 1;
		pass(b, LATENCY_US * US);
		cr_assert_eq(*pending(b, 241, 0), 1);
		cr_assert_eq(*pending(b, TO_HOST, 0), 0);
		bus_down(b);
	}
}

Test(monitor, pages_of_the_servers_that_are_no_ram_are_not_granted)
{
	const struct bus_options opt = {.monitor_page_gpa = {GPA(240), GPA(BUS_PAGES)}};
	struct multidev m = {0};
	struct testbus *b = bus_up(&opt);

	multi_offer(b, &m, 1, &monitored);
	bus_start(b);
	cr_assert(contact(b, V(6, 0), GPA(TO_GUEST), GPA(TO_HOST))); /* of 20 bytes */
	cr_assert_eq(id_of_first_offer(b), 0);
	multi_open(b, 1);
	*pending(b, TO_HOST, 0) = 1;
	pass(b, LATENCY_US * US);
	cr_assert_eq(*pending(b, TO_HOST, 0), 0);
	bus_down(b);
}
