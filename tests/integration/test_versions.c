/* SPDX-License-Identifier: MIT */
/* Every VMBus version from contact to a disk that works, and what each version answers. */
#include "support/machine.h"
#include "vmbus/proto.h"

#include <criterion/parameterized.h>
#include <errno.h>

static const struct machine_options unconnected = {.leave_unconnected = true};

/* ---- versions --------------------------------------------------------------------------------- */

struct version {
	uint32_t version;
	bool known;
};

static struct version versions[] = {
	{HVSI_VERSION(0, 0), false},  {HVSI_VERSION(0, 12), false}, {HVSI_VERSION(0, 13), true},
	{HVSI_VERSION(0, 14), false}, {HVSI_VERSION(1, 0), false},  {HVSI_VERSION(1, 1), true},
	{HVSI_VERSION(2, 0), false},  {HVSI_VERSION(2, 4), true},   {HVSI_VERSION(2, 5), false},
	{HVSI_VERSION(3, 0), true},   {HVSI_VERSION(3, 1), false},  {HVSI_VERSION(4, 0), true},
	{HVSI_VERSION(4, 1), true},   {HVSI_VERSION(4, 2), false},  {HVSI_VERSION(5, 0), true},
	{HVSI_VERSION(5, 1), true},   {HVSI_VERSION(5, 2), true},   {HVSI_VERSION(5, 3), true},
	{HVSI_VERSION(5, 4), false},  {HVSI_VERSION(6, 0), true},   {HVSI_VERSION(6, 1), false},
	{HVSI_VERSION(7, 0), false},  {UINT32_MAX, false},
};

ParameterizedTestParameters(versions, disk_works_with_every_known_version_and_no_other)
{
	return cr_make_param_array(struct version, versions,
				   sizeof(versions) / sizeof(versions[0]));
}

ParameterizedTest(struct version *v, versions, disk_works_with_every_known_version_and_no_other)
{
	struct machine m = machine_up(&unconnected);
	struct hvs_guest_scsi_result r;
	uint64_t gpa;
	uint8_t *buf = hvs_loopback_alloc_pages(m.lb, 1, &gpa);

	cr_assert_eq(hvs_guest_connect(m.guest, v->version), v->known ? 0 : -EPROTONOSUPPORT);
	cr_assert_eq(hvs_vmbus_guest_version(hvs_loopback_bus(m.lb)), v->known ? v->version : 0);
	if (v->known) {
		cr_assert_eq(hvs_guest_request_offers(m.guest), 1);
		machine_open(&m);
		hvs_guest_channel_events(m.ch);
		memset(buf, 0x77, 512);
		r = scsi_rw(&m, OP_WRITE10, 3, 1, gpa);
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(m.disk[3 * 512], 0x77);
		/* The answer came with an interrupt that names this channel. */
		cr_assert_eq(hvs_guest_channel_events(m.ch), 1);
		cr_assert_eq(hvs_guest_channel_close(m.ch), 0);
		cr_assert_eq(hvs_guest_unload(m.guest), 0);
		cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
	}
	machine_down(&m);
}

Test(versions, newer_versions_than_the_cap_are_refused)
{
	struct machine m = machine_up(&(struct machine_options){
		.loopback = {.max_version = HVSI_VERSION(4, 1)}, .leave_unconnected = true});
	struct hvsi_msg any = hvsi_msg_header(HVSI_MSG_UNLOAD);

	/* The newer message connection does not exist either: guests try the older one then. */
	cr_assert_eq(hvs_guest_post(m.guest, 4, &any, sizeof(any)), 0x12);
	cr_assert_eq(hvs_guest_connect(m.guest, HVSI_VERSION(4, 1)), 0);
	machine_down(&m);
}

/* ---- answers to messages that belong to some versions ----------------------------------------- */

static struct machine connected(uint32_t version)
{
	struct machine m = machine_up(&unconnected);

	cr_assert_eq(hvs_guest_connect(m.guest, version), 0);
	return m;
}

static void post(struct machine *m, const void *msg, size_t len)
{
	cr_assert_eq(hvs_guest_post(m->guest, 1, msg, len), 0);
	hvs_loopback_run(m->lb);
}

Test(versions, socket_connections_are_refused_from_4_1_on)
{
	struct machine m = connected(HVSI_VERSION(4, 1));
	struct hvsi_msg_tl_connect msg = {.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST),
					  .endpoint_id = {{1}},
					  .service_id = {{2}}};
	struct hvsi_msg_tl_connect_result r;
	uint8_t buf[HVSI_MSG_MAX];

	post(&m, &msg, sizeof(msg));
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_TL_CONNECT_REQUEST_RESULT, buf), 44);
	memcpy(&r, buf, sizeof(r));
	cr_assert_eq(hvsi_get32(r.status), 0xc0000236);
	cr_assert(r.endpoint_id.b[0] == 1 && r.service_id.b[0] == 2);
	machine_down(&m);
}

Test(versions, reserved_channel_without_rings_is_refused_and_its_close_answered_even_unconnected)
{
	struct machine m = machine_up(&unconnected);
	uint8_t close[20] = {HVSI_MSG_CLOSE_RESERVED_CHANNEL, [8] = 1, [16] = 2};
	uint8_t open[28] = {HVSI_MSG_OPEN_RESERVED_CHANNEL, [8] = 1, [16] = 2};
	struct hvsi_msg_open_result r;
	uint8_t buf[HVSI_MSG_MAX];

	post(&m, close, sizeof(close));
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_CLOSE_RESERVED_RESPONSE, buf), 12);
	cr_assert_eq(buf[8], 1);
	cr_assert_eq(hvs_guest_connect(m.guest, HVSI_VERSION(4, 0)), 0);
	post(&m, open, sizeof(open));
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_OPENCHANNEL_RESULT, buf), 20);
	memcpy(&r, buf, sizeof(r));
	cr_assert(hvsi_get32(r.relid) == 1 && hvsi_get32(r.status) != 0);
	machine_down(&m);
}

/* ---- 6.0 -------------------------------------------------------------------------------------- */

static struct hvsi_msg_version_response_6_0 contact_6_0(struct machine *m, uint32_t features,
							size_t len)
{
	struct {
		struct hvsi_msg_initiate_contact c;
		struct hvs_guid client_id;
	} msg = {.c = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
		       .version = hvsi_le32(HVSI_VERSION(6, 0)),
		       .features = hvsi_le32(features)}};
	struct hvsi_msg_version_response_6_0 r = {.r.supported = 0xee};
	uint8_t buf[HVSI_MSG_MAX];

	post(m, &msg, len);
	if (hvs_loopback_count(m->lb)->faults == 0) {
		cr_assert_eq(hvs_guest_wait_message(m->guest, HVSI_MSG_VERSION_RESPONSE, buf), 20);
		memcpy(&r, buf, sizeof(r));
	}
	return r;
}

Test(versions, features_we_have_are_granted_and_others_are_not)
{
	struct machine m = machine_up(&unconnected);
	struct hvsi_msg_version_response_6_0 r = contact_6_0(&m, 0xffffffff, 56);

	cr_assert_eq(r.r.supported, 1);
	/* Not confidential channels, pinning; server monitor pages only where there are some. */
	cr_assert_eq(hvsi_get32(r.features), 0x2f);
	machine_down(&m);
}

Test(versions, contact_that_announces_a_client_id_without_one_is_dropped)
{
	struct machine m = machine_up(&unconnected);
	struct hvsi_msg_version_response_6_0 r = contact_6_0(&m, HVSI_FEATURE_CLIENT_ID, 40);

	cr_assert_eq(r.r.supported, 0xee);
	cr_assert_eq(hvs_vmbus_guest_version(hvs_loopback_bus(m.lb)), 0);
	machine_down(&m);
}

Test(versions, messages_wait_while_the_guest_has_paused_the_connection)
{
	struct machine m = machine_up(&unconnected);
	struct hvsi_msg pause = hvsi_msg_header(HVSI_MSG_PAUSE);
	struct hvsi_msg resume = hvsi_msg_header(HVSI_MSG_RESUME);
	struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{9}}};
	struct hvs_storvsp *ctl;
	uint8_t buf[HVSI_MSG_MAX];

	contact_6_0(&m, HVSI_FEATURE_PAUSE_RESUME, 40);
	cr_assert_eq(hvs_guest_request_offers(m.guest), 1);
	post(&m, &pause, sizeof(pause));
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_PAUSE_RESPONSE, buf), 8);
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(m.lb), &cfg, &ctl), 0);
	hvs_loopback_run(m.lb);
	hvs_loopback_run(m.lb);
	cr_assert_null(hvs_guest_offer_at(m.guest, 1));
	/* Anything but RESUME, UNLOAD and INITIATE_CONTACT is out of turn. */
	post(&m, &pause, sizeof(pause));
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 1);
	post(&m, &resume, sizeof(resume));
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_OFFERCHANNEL, buf), 196);
	machine_down(&m);
}

Test(versions, unload_ends_a_pause)
{
	struct machine m = machine_up(&unconnected);
	struct hvsi_msg pause = hvsi_msg_header(HVSI_MSG_PAUSE);
	uint8_t buf[HVSI_MSG_MAX];

	contact_6_0(&m, HVSI_FEATURE_PAUSE_RESUME, 40);
	post(&m, &pause, sizeof(pause));
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_PAUSE_RESPONSE, buf), 8);
	cr_assert_eq(hvs_guest_unload(m.guest), 0);
	machine_down(&m);
}

Test(versions, pause_without_its_feature_is_not_answered)
{
	struct machine m = machine_up(&unconnected);
	struct hvsi_msg pause = hvsi_msg_header(HVSI_MSG_PAUSE);

	contact_6_0(&m, 0, 40);
	post(&m, &pause, sizeof(pause));
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 1);
	cr_assert_eq(hvs_guest_request_offers(m.guest), 1);
	machine_down(&m);
}

/* ---- interrupt page --------------------------------------------------------------------------- */

Test(versions, interrupt_page_that_is_no_ram_is_refused)
{
	struct machine m = machine_up(&unconnected);
	struct hvsi_msg_initiate_contact msg = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						.version = hvsi_le32(HVSI_VERSION(1, 1))};
	struct hvs_le64 nowhere = hvsi_le64(0x7000000000);
	uint8_t buf[HVSI_MSG_MAX];

	memcpy(&msg.sint, &nowhere, sizeof(nowhere));
	post(&m, &msg, sizeof(msg));
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_VERSION_RESPONSE, buf), 16);
	cr_assert_eq(buf[8], 0);
	machine_down(&m);
}
