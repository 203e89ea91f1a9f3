/* SPDX-License-Identifier: MIT */
/* Sub-channels of a storage controller: protocol/storage.md 2, and I/O on each of them. */
#include "support/vstor.h"
#include "vmbus/proto.h"

#include <errno.h>

#define SUCCESS 0u
#define STATE 0xc0000184u
#define PARAMETER 0xc000000du

enum { BEGIN = 7, END = 8, VERSION = 9, PROPERTIES = 10, CREATE_SUB = 13 };

#define MAX_SUB 3u

/* The primary is open, nothing said yet. */
static struct machine up(void)
{
	struct machine m = machine_up(
		&(struct machine_options){.leave_closed = true, .max_subchannels = MAX_SUB});

	cr_assert_eq(hvs_guest_channel_open(m.guest, hvs_guest_offer_at(m.guest, 0), 65536, &m.ch),
		     0);
	return m;
}

static void advance(struct machine *m, unsigned steps, uint16_t version)
{
	static const uint32_t order[] = {BEGIN, VERSION, PROPERTIES, END};

	for (unsigned i = 0; i < steps; i++)
		cr_assert_eq(vstor_control(m, order[i], version), SUCCESS);
}

/* Sub-channels the guest was offered so far. */
static unsigned offers(struct machine *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 10; i++)
		hvs_loopback_run(m->lb);
	for (unsigned i = 0; hvs_guest_offer_at(m->guest, i); i++)
		n += hvs_guest_offer_at(m->guest, i)->subchannel != 0;
	return n;
}

/* Wait for `count` of them. */
static void expect_offers(struct machine *m, unsigned count)
{
	uint8_t buf[HVSI_MSG_MAX];

	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(hvs_guest_wait_message(m->guest, HVSI_MSG_OFFERCHANNEL, buf), 196);
	cr_assert_eq(offers(m), count);
	for (unsigned i = 1; i <= count; i++)
		cr_assert_eq(hvs_guest_offer_at(m->guest, i)->subchannel, i);
}

static struct hvs_guest_channel *open_sub(struct machine *m, unsigned index)
{
	struct hvs_guest_channel *ch;

	cr_assert_eq(
		hvs_guest_channel_open(m->guest, hvs_guest_offer_at(m->guest, index), 65536, &ch),
		0);
	return ch;
}

Test(storage_subchannels, properties_say_how_many_from_5_1_on)
{
	static const struct {
		uint16_t version;
		uint16_t max;
	} cases[] = {{0x0200, 0}, {0x0402, 0}, {0x0501, MAX_SUB}, {0x0600, MAX_SUB}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvsi_vstor_packet p = {.operation = hvsi_le32(PROPERTIES)};
		struct machine m = up();
		struct vstor_reply r;

		advance(&m, 2, cases[i].version);
		r = vstor(&m, &p, sizeof(p), NULL);
		memcpy(&p, r.bytes, sizeof(p));
		cr_assert_eq(hvsi_get16(p.u.properties.max_subchannels), cases[i].max);
		/* And an older guest that asks all the same gets none. */
		cr_assert_eq(vstor_control(&m, CREATE_SUB, 1), cases[i].max ? SUCCESS : PARAMETER);
		cr_assert_eq(vstor_control(&m, CREATE_SUB, 0), SUCCESS);
		machine_down(&m);
	}
}

Test(storage_subchannels, asked_for_before_the_end_they_are_offered_at_the_end)
{
	struct machine m = up();

	advance(&m, 3, 0x600);
	cr_assert_eq(vstor_control(&m, CREATE_SUB, 2), SUCCESS);
	cr_assert_eq(offers(&m), 0);
	cr_assert_eq(vstor_control(&m, END, 0), SUCCESS);
	expect_offers(&m, 2);
	machine_down(&m);
}

Test(storage_subchannels, asked_for_after_the_end_they_are_offered_at_once)
{
	struct machine m = up();

	advance(&m, 4, 0x600);
	cr_assert_eq(offers(&m), 0);
	cr_assert_eq(vstor_control(&m, CREATE_SUB, MAX_SUB), SUCCESS);
	expect_offers(&m, MAX_SUB);
	machine_down(&m);
}

Test(storage_subchannels, too_many_or_too_early_is_refused)
{
	struct machine m = up();

	for (unsigned steps = 0; steps < 3; steps++) {
		cr_assert_eq(vstor_control(&m, CREATE_SUB, 1), STATE);
		cr_assert_eq(
			vstor_control(&m, ((uint32_t[]){BEGIN, VERSION, PROPERTIES})[steps], 0x600),
			SUCCESS);
	}
	cr_assert_eq(vstor_control(&m, CREATE_SUB, MAX_SUB + 1), PARAMETER);
	cr_assert_eq(vstor_control(&m, CREATE_SUB, UINT16_MAX), PARAMETER);
	cr_assert_eq(vstor_control(&m, END, 0), SUCCESS);
	cr_assert_eq(offers(&m), 0);
	machine_down(&m);
}

Test(storage_subchannels, commands_go_through_each_of_them)
{
	struct hvs_guest_channel *sub[MAX_SUB + 1];
	struct machine m = up();
	struct hvs_guest_scsi_result r;
	uint64_t gpa;
	uint8_t *buf = hvs_loopback_alloc_pages(m.lb, 1, &gpa);

	advance(&m, 4, 0x600);
	cr_assert_eq(vstor_control(&m, CREATE_SUB, MAX_SUB), SUCCESS);
	expect_offers(&m, MAX_SUB);
	sub[0] = m.ch;
	for (unsigned i = 1; i <= MAX_SUB; i++)
		sub[i] = open_sub(&m, i);
	for (unsigned i = 0; i <= MAX_SUB; i++) {
		m.ch = sub[i];
		memset(buf, (int)(0x40 + i), 512);
		r = scsi_rw(&m, OP_WRITE10, i, 1, gpa);
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(m.disk[i * 512], 0x40 + i);
		/* The answer comes through the channel of the question. */
		cr_assert_eq(hvs_guest_channel_events(sub[i]) > 0, true);
	}
	for (unsigned i = MAX_SUB + 1; i-- > 0;) { /* what one wrote another one reads */
		m.ch = sub[MAX_SUB - i];
		r = scsi_rw(&m, OP_READ10, i, 1, gpa);
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(buf[0], 0x40 + i);
	}
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
	machine_down(&m);
}

Test(storage_subchannels, the_primary_negotiates_for_all)
{
	static const uint32_t refused[] = {BEGIN, VERSION, PROPERTIES, END, CREATE_SUB, 0, 14};
	struct hvs_guest_channel *primary;
	struct machine m = up();

	advance(&m, 4, 0x600);
	cr_assert_eq(vstor_control(&m, CREATE_SUB, 1), SUCCESS);
	expect_offers(&m, 1);
	primary = m.ch;
	m.ch = open_sub(&m, 1);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		cr_assert_eq(vstor_control(&m, refused[i], 1), STATE);
	for (uint32_t reset = 4; reset <= 6; reset++)
		cr_assert_eq(vstor_control(&m, reset, 0), SUCCESS);
	cr_assert_eq(offers(&m), 1);
	m.ch = primary;
	for (uint32_t reset = 4; reset <= 6; reset++)
		cr_assert_eq(vstor_control(&m, reset, 0), SUCCESS);
	machine_down(&m);
}

Test(storage_subchannels, a_sub_channel_can_close_and_open_again)
{
	const uint8_t tur[6] = {0};
	struct hvsi_vstor_packet p = vstor_srb(tur, 6, HVSI_DATA_NONE, 0);
	struct hvs_guest_channel *primary;
	struct machine m = up();
	struct vstor_reply r;

	advance(&m, 4, 0x600);
	cr_assert_eq(vstor_control(&m, CREATE_SUB, 1), SUCCESS);
	expect_offers(&m, 1);
	primary = m.ch;
	for (unsigned i = 0; i < 3; i++) {
		m.ch = open_sub(&m, 1);
		r = vstor(&m, &p, sizeof(p), NULL);
		cr_assert_eq(vstor_status(&r), SUCCESS);
		cr_assert_eq(hvs_guest_channel_close(m.ch), 0);
		m.ch = primary;
		r = vstor(&m, &p, sizeof(p), NULL);
		cr_assert_eq(vstor_status(&r), SUCCESS);
	}
	machine_down(&m);
}
