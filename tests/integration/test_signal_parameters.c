/* SPDX-License-Identifier: MIT */
/* A guest of 6.0 says how each channel is signalled; protocol/vmbus.md 5.3, 5.8. */
#include "support/multidev.h"

#include <criterion/criterion.h>

#define DEVICES 4u

static void contact(struct testbus *b, uint32_t features)
{
	struct hvsi_msg_initiate_contact msg = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						.version = hvsi_le32(V(6, 0)),
						.sint = 2,
						.features = hvsi_le32(features)};

	bus_send(b, &msg, sizeof(msg));
	bus_take(b, HVSI_MSG_VERSION_RESPONSE, 20);
	bus_offers(b, DEVICES);
	for (uint32_t relid = 1; relid <= DEVICES; relid++)
		multi_gpadl(b, relid);
}

static struct testbus *up(struct multidev m[DEVICES], const struct bus_options *opt)
{
	struct testbus *b = bus_up(opt);

	for (uint8_t i = 0; i < DEVICES; i++)
		multi_offer(b, &m[i], i, &(struct multi_options){.monitor_latency_us = 100});
	bus_start(b);
	contact(b, HVSI_FEATURE_SIGNAL_PARAMETERS);
	return b;
}

/* Open relid so; the status. */
static uint32_t open_as(struct testbus *b, uint32_t relid, uint32_t id, uint16_t flag)
{
	struct hvsi_msg_open_6_0 msg = {
		.open = bus_open_msg(relid, relid, MULTI_GPADL(relid), 1, MULTI_SPLIT),
		.connection_id = hvsi_le32(id),
		.event_flag = hvsi_le16(flag)};
	struct hvsi_msg_open_result r;

	bus_send(b, &msg, sizeof(msg));
	memcpy(&r, bus_take(b, HVSI_MSG_OPENCHANNEL_RESULT, sizeof(r)), sizeof(r));
	cr_assert_eq(hvsi_get32(r.relid), relid);
	return hvsi_get32(r.status);
}

static bool heard(struct testbus *b, struct multidev *m, uint32_t id)
{
	unsigned before = m->chan[0].readies;

	hvs_vmbus_signal_event(b->bus, id, 0);
	bus_run(b);
	return m->chan[0].readies > before;
}

Test(signal_parameters, the_guests_id_and_flag_are_used_both_ways)
{
	const struct bus_options opt = {.doorbells = true};
	struct multidev m[DEVICES] = {{0}};
	struct testbus *b = up(m, &opt);

	cr_assert_eq(open_as(b, 1, 0x123456, 77), 0);
	cr_assert_eq(b->doorbell_id, 0x123456);
	cr_assert(heard(b, &m[0], 0x123456));
	cr_assert_eq(hvs_vmbus_signal_event(b->bus, 0x2001, 0),
		     HVS_HV_STATUS_INVALID_CONNECTION_ID);
	cr_assert_eq(hvs_channel_send(m[0].chan[0].ch, 1, false, NULL, 0), 0);
	hvs_channel_flush(m[0].chan[0].ch);
	cr_assert_eq(b->signals, 1);
	cr_assert_eq(b->signal_flag, 77);
	cr_assert_eq(b->signal_vp, 1);
	multi_close(b, 1);
	cr_assert_eq(b->doorbells, 0);
	cr_assert_eq(hvs_vmbus_signal_event(b->bus, 0x123456, 0),
		     HVS_HV_STATUS_INVALID_CONNECTION_ID);
	/* Other ones next time. */
	cr_assert_eq(open_as(b, 1, 0x2001, 1), 0);
	cr_assert(heard(b, &m[0], 0x2001));
	bus_no_fault(b);
	bus_down(b);
}

Test(signal_parameters, ids_and_flags_that_can_not_be_are_refused)
{
	static const struct {
		uint32_t id;
		uint16_t flag;
		bool ok;
	} cases[] = {{0, 1, false},         {1, 1, false},       /* messages */
		     {2, 1, false},                              /* shared event */
		     {3, 1, false},                              /* monitor */
		     {4, 1, false},                              /* messages of newer guests */
		     {5, 1, true},          {0xffffff, 1, true}, /* ids have 24 bits */
		     {0x1000000, 1, false}, {UINT32_MAX, 1, false}, {0x2001, 0, false},
		     {0x2001, 2047, true},  {0x2001, 2048, false},  {0x2001, UINT16_MAX, false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct multidev m[DEVICES] = {{0}};
		struct testbus *b = up(m, NULL);

		cr_assert_eq(open_as(b, 1, cases[i].id, cases[i].flag),
			     cases[i].ok ? 0 : HVSI_STATUS_FAILED, "case %zu", i);
		cr_assert_eq(m[0].chan[0].opens, cases[i].ok);
		if (!cases[i].ok)
			bus_expect_fault(b, HVS_FAULT_MESSAGE, 1);
		if (!cases[i].ok) /* and it can be tried again */
			cr_assert_eq(open_as(b, 1, 0x2001, 1), 0);
		bus_down(b);
	}
}

Test(signal_parameters, an_id_has_one_channel_and_a_flag_may_have_several)
{
	struct hvsi_msg_open_reserved reserved = {
		.h = hvsi_msg_header(HVSI_MSG_OPEN_RESERVED_CHANNEL),
		.relid = hvsi_le32(3),
		.target_sint = hvsi_le32(2),
		.gpadl_id = hvsi_le32(MULTI_GPADL(3)),
		.downstream_page = hvsi_le32(MULTI_SPLIT)};
	struct hvsi_msg_open_result r;
	struct multidev m[DEVICES] = {{0}};
	struct testbus *b = up(m, NULL);

	cr_assert_eq(open_as(b, 1, 0x500, 9), 0);
	cr_assert_eq(open_as(b, 2, 0x500, 10), HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 2);
	cr_assert_eq(open_as(b, 2, 0x2003, 9), 0);
	/* A reserved channel has the id it was offered with, which is taken now. */
	bus_send(b, &reserved, sizeof(reserved));
	memcpy(&r, bus_take(b, HVSI_MSG_OPENCHANNEL_RESULT, sizeof(r)), sizeof(r));
	cr_assert_eq(hvsi_get32(r.status), HVSI_STATUS_FAILED);
	bus_expect_fault(b, HVS_FAULT_MESSAGE, 3);
	cr_assert(heard(b, &m[0], 0x500) && heard(b, &m[1], 0x2003));
	multi_close(b, 1);
	multi_close(b, 2);
	cr_assert_eq(open_as(b, 2, 0x500, 9), 0);
	bus_send(b, &reserved, sizeof(reserved));
	memcpy(&r, bus_take(b, HVSI_MSG_OPENCHANNEL_RESULT, sizeof(r)), sizeof(r));
	cr_assert_eq(hvsi_get32(r.status), 0);
	cr_assert(heard(b, &m[2], 0x2003));
	bus_down(b);
}

/* Such ids share a bucket. They come and go in every order. */
Test(signal_parameters, ids_equal_modulo_2048_are_told_apart)
{
	static const unsigned orders[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
					     {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
	static const uint32_t ids[] = {0, 7, 7 + 2048, 7 + 4 * 2048};

	for (size_t o = 0; o < sizeof(orders) / sizeof(orders[0]); o++) {
		struct multidev m[DEVICES] = {{0}};
		struct testbus *b = up(m, NULL);
		bool open[DEVICES] = {false};

		for (uint32_t relid = 1; relid <= 3; relid++) {
			cr_assert_eq(open_as(b, relid, ids[relid], (uint16_t)relid), 0);
			open[relid] = true;
		}
		for (unsigned n = 0; n < 3; n++) {
			for (uint32_t relid = 1; relid <= 3; relid++) {
				cr_assert_eq(heard(b, &m[relid - 1], ids[relid]), open[relid]);
				for (uint32_t other = 1; other <= 3; other++)
					if (other != relid)
						cr_assert_not(heard(b, &m[relid - 1], ids[other]));
			}
			multi_close(b, orders[o][n]);
			open[orders[o][n]] = false;
		}
		for (uint32_t relid = 1; relid <= 3; relid++)
			cr_assert_not(heard(b, &m[relid - 1], ids[relid]));
		cr_assert_eq(open_as(b, 4, ids[2], 1), 0);
		cr_assert(heard(b, &m[3], ids[2]));
		bus_down(b);
	}
}

Test(signal_parameters, without_the_feature_the_field_means_nothing)
{
	struct multidev m[DEVICES] = {{0}};
	struct testbus *b = up(m, NULL);

	contact(b, HVSI_FEATURE_INTERRUPT_REDIRECTION); /* anew */
	cr_assert_eq(open_as(b, 1, 3, 0), 0);
	cr_assert(heard(b, &m[0], 0x2001));
	bus_down(b);
}
