/* SPDX-License-Identifier: MIT */
/* Many messages and one slot, between the bus and the library's own SynIC. */
#include "support/machine.h"
#include "vsc/guest.h"

#define CONTROLLERS 20u
#define EOM 0x40000084u

static struct machine many_offers(void)
{
	struct machine m = {0};

	cr_assert_eq(hvs_loopback_create(NULL, &m.lb), 0);
	for (uint8_t i = 0; i < CONTROLLERS; i++) {
		struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{i}}};

		cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(m.lb), &cfg, &m.ctl), 0);
	}
	cr_assert_eq(hvs_loopback_start(m.lb, &m.guest), 0);
	cr_assert_eq(hvs_guest_connect(m.guest, 0x50003), 0);
	return m;
}

static uint8_t *slot(struct machine *m)
{
	return m->guest->simp + 2 * 256;
}

static uint32_t slot_type(struct machine *m)
{
	uint32_t type;

	memcpy(&type, slot(m), sizeof(type));
	return type;
}

/* What the slot holds: a message type, 0 for none. */
static uint8_t message(struct machine *m)
{
	return slot_type(m) ? slot(m)[16] : 0;
}

static void empty(struct machine *m)
{
	memset(slot(m), 0, 4);
}

static void request_offers(struct machine *m)
{
	struct hvsi_msg msg = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);

	cr_assert_eq(hvs_guest_post(m->guest, 1, &msg, sizeof(msg)), 0);
	hvs_loopback_run(m->lb);
}

Test(message_slot, end_of_message_brings_the_next)
{
	struct machine m = many_offers();

	request_offers(&m);
	for (unsigned i = 0; i < CONTROLLERS; i++) {
		cr_assert_eq(message(&m), HVSI_MSG_OFFERCHANNEL);
		cr_assert_eq(slot(&m)[4], 196);
		cr_assert_eq(slot(&m)[16 + 184], i + 1, "offers come in order");
		cr_assert_eq(slot(&m)[5] & 1, 1, "more waits");
		empty(&m);
		hvs_loopback_run(m.lb);
		cr_assert_eq(message(&m), 0, "nobody was told");
		cr_assert_eq(hvs_hv_msr_write(hvs_loopback_hv(m.lb), 0, EOM, 0, true), 0);
		hvs_loopback_run(m.lb);
	}
	cr_assert_eq(message(&m), HVSI_MSG_ALLOFFERS_DELIVERED);
	cr_assert_eq(slot(&m)[5] & 1, 0, "the last one");
	empty(&m);
	machine_down(&m);
}

Test(message_slot, time_brings_the_next_where_nobody_tells_of_an_end)
{
	struct machine m = many_offers();

	request_offers(&m);
	for (unsigned i = 0; i < CONTROLLERS; i++) {
		cr_assert_eq(message(&m), HVSI_MSG_OFFERCHANNEL);
		cr_assert_eq(slot(&m)[16 + 184], i + 1);
		m.guest->ops.wait(m.guest->pf); /* the slot is still full */
		cr_assert_eq(slot(&m)[16 + 184], i + 1);
		empty(&m);
		m.guest->ops.wait(m.guest->pf);
	}
	cr_assert_eq(message(&m), HVSI_MSG_ALLOFFERS_DELIVERED);
	empty(&m);
	machine_down(&m);
}

/* The host takes what the guest posts only when nothing of its own waits; then it catches up. */
Test(message_slot, a_guest_that_does_not_read_fills_its_queue_and_loses_nothing)
{
	struct machine m = many_offers();
	struct hvsi_msg unload = hvsi_msg_header(HVSI_MSG_UNLOAD);
	uint8_t buf[240];

	request_offers(&m);
	for (unsigned i = 0; i < 16; i++)
		cr_assert_eq(hvs_guest_post(m.guest, 1, &unload, sizeof(unload)), 0);
	hvs_loopback_run(m.lb);
	cr_assert_eq(hvs_guest_post(m.guest, 1, &unload, sizeof(unload)), 0x13);
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_ALLOFFERS_DELIVERED, buf), 8);
	cr_assert_eq(m.guest->offer_count, CONTROLLERS);
	for (unsigned i = 0; i < 16; i++)
		cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_UNLOAD_RESPONSE, buf), 8);
	machine_down(&m);
}

/* The firmware's SynIC page goes away with a message in it; the next stage brings its own. */
Test(message_slot, a_message_waits_for_the_page_of_the_next_stage)
{
	struct machine m = many_offers();
	uint8_t *page;
	uint64_t gpa;

	cr_assert_eq(hvs_hv_msr_write(hvs_loopback_hv(m.lb), 0, 0x40000083, 0, true), 0);
	request_offers(&m);
	page = hvs_loopback_alloc_pages(m.lb, 1, &gpa);
	memset(page, 0xff, 4096);
	cr_assert_eq(hvs_hv_msr_write(hvs_loopback_hv(m.lb), 0, 0x40000083, gpa | 1, true), 0);
	hvs_loopback_run(m.lb);
	cr_assert_eq(page[2 * 256], 1);
	cr_assert_eq(page[2 * 256 + 16], HVSI_MSG_OFFERCHANNEL);
	machine_down(&m);
}
