/* SPDX-License-Identifier: MIT */
/*
 * The connection: version negotiation, offers, pause, unload. Everything runs on the main worker;
 * messages arrive one at a time, and only when none of ours waits.
 */
#include "vmbus/bus.h"

#include "util/probe.h"
#include "vmbus/state_format.h"

#include <errno.h>

/* What hosts have spoken; a number in between is not a version. */
static const uint32_t known_versions[] = {
	HVSI_VERSION(0, 13), HVSI_VERSION(1, 1), HVSI_VERSION(2, 4), HVSI_VERSION(3, 0),
	HVSI_VERSION(4, 0),  HVSI_VERSION(4, 1), HVSI_VERSION(5, 0), HVSI_VERSION(5, 1),
	HVSI_VERSION(5, 2),  HVSI_VERSION(5, 3), HVSI_VERSION(6, 0),
};

/*
 * Redirection sends a channel's interrupts to a paravisor. There is none below us: what is
 * redirected arrives where it would have arrived anyway, as on any host without one.
 */
#define SUPPORTED_FEATURES                                                                         \
	(HVSI_FEATURE_SIGNAL_PARAMETERS | HVSI_FEATURE_INTERRUPT_REDIRECTION |                     \
	 HVSI_FEATURE_MODIFY_CONNECTION | HVSI_FEATURE_CLIENT_ID | HVSI_FEATURE_PAUSE_RESUME |     \
	 HVSI_FEATURE_SERVER_MONITOR_PAGES)
#define CLIENT_ID_SIZE 16u
#define TO_HOST_WORDS 64u /* of 32 bits in half an interrupt page */

static bool version_known(const struct hvs_vmbus *bus, uint32_t version)
{
	if (version > bus->cfg.max_version)
		return false;
	for (size_t i = 0; i < sizeof(known_versions) / sizeof(known_versions[0]); i++)
		if (known_versions[i] == version)
			return true;
	return false;
}

/* ---- messages to the guest ----------------------------------------------------------------- */

static size_t build_version_response(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_conn *c = hvsi_container_of(m, struct hvsi_conn, version_response);
	const struct hvs_vmbus *bus = hvsi_container_of(c, struct hvs_vmbus, conn);
	uint32_t version = hvsi_get32(c->contact.version);
	struct hvsi_msg_version_response_monitor msg = {
		.r.r.h = hvsi_msg_header(HVSI_MSG_VERSION_RESPONSE),
		.r.r.supported = c->version_ok,
		.r.r.selected = hvsi_le32(
			version >= HVSI_VERSION(5, 0) ? HVS_VMBUS_MESSAGE_CONNECTION : version),
		.r.features = hvsi_le32(c->features),
		.monitor_page = {hvsi_le64(bus->cfg.monitor_page_gpa[0]),
				 hvsi_le64(bus->cfg.monitor_page_gpa[1])},
	};

	memcpy(buf, &msg, sizeof(msg));
	if (!c->version_ok || version < HVSI_VERSION(6, 0))
		return sizeof(msg.r.r);
	return c->features & HVSI_FEATURE_SERVER_MONITOR_PAGES ? sizeof(msg) : sizeof(msg.r);
}

static size_t build_bare(uint32_t type, uint8_t buf[HVSI_MSG_MAX])
{
	struct hvsi_msg msg = hvsi_msg_header(type);

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}

static size_t build_all_offers(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	(void)m;
	return build_bare(HVSI_MSG_ALLOFFERS_DELIVERED, buf);
}

static size_t build_unload_response(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	(void)m;
	return build_bare(HVSI_MSG_UNLOAD_RESPONSE, buf);
}

static size_t build_pause_response(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	(void)m;
	return build_bare(HVSI_MSG_PAUSE_RESPONSE, buf);
}

/* The last message until the guest says RESUME. */
static void pause_response_sent(struct hvsi_outmsg *m)
{
	hvsi_container_of(m, struct hvsi_conn, pause_response)->paused = true;
}

static size_t build_modify_connection_response(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_conn *c =
		hvsi_container_of(m, struct hvsi_conn, modify_connection_response);

	build_bare(HVSI_MSG_MODIFY_CONNECTION_RESPONSE, buf);
	buf[sizeof(struct hvsi_msg)] = c->modify_connection_ok ? HVSI_CONNECTION_STATE_SUCCESS
							       : HVSI_CONNECTION_STATE_FAILED;
	return HVSI_MODIFY_CONNECTION_RESPONSE_SIZE;
}

static size_t build_refusal(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_conn *c = hvsi_container_of(m, struct hvsi_conn, refusal);

	memcpy(buf, c->refusal_bytes, c->refusal_len);
	return c->refusal_len;
}

void hvsi_conn_refuse(struct hvs_vmbus *bus, const void *msg, size_t len)
{
	bus->conn.refusal.vp = HVSI_VP_NONE;
	memcpy(bus->conn.refusal_bytes, msg, len);
	bus->conn.refusal_len = len;
	hvsi_outq_add(bus, &bus->conn.refusal);
}

void hvsi_conn_refuse_at(struct hvs_vmbus *bus, uint32_t vp, uint32_t sint, const void *msg,
			 size_t len)
{
	hvsi_conn_refuse(bus, msg, len);
	hvsi_outmsg_address(bus, &bus->conn.refusal, vp, sint);
}

void hvsi_conn_init(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;

	hvsi_outmsg_init(&c->version_response, HVSI_OUT_VERSION_RESPONSE, build_version_response,
			 NULL);
	hvsi_outmsg_init(&c->all_offers, HVSI_OUT_ALL_OFFERS, build_all_offers, NULL);
	hvsi_outmsg_init(&c->unload_response, HVSI_OUT_UNLOAD_RESPONSE, build_unload_response,
			 NULL);
	hvsi_outmsg_init(&c->pause_response, HVSI_OUT_PAUSE_RESPONSE, build_pause_response,
			 pause_response_sent);
	hvsi_outmsg_init(&c->modify_connection_response, HVSI_OUT_MODIFY_CONNECTION_RESPONSE,
			 build_modify_connection_response, NULL);
	hvsi_outmsg_init(&c->refusal, HVSI_OUT_REFUSAL, build_refusal, NULL);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static bool contact_acceptable(const struct hvs_vmbus *bus)
{
	const struct hvsi_conn *c = &bus->conn;
	uint32_t version = hvsi_get32(c->contact.version);
	bool page0 = hvsi_get64(c->contact.monitor_page[0]) != 0;
	bool page1 = hvsi_get64(c->contact.monitor_page[1]) != 0;

	if (!version_known(bus, version) || page0 != page1)
		return false;
	/* Through the old connection id the field is not used: some firmware leaves it 0. */
	if (version >= HVSI_VERSION(5, 0) &&
	    c->contact_connection == HVS_VMBUS_MULTICLIENT_CONNECTION &&
	    c->contact.sint != HVS_VMBUS_SINT)
		return false;
	return version < HVSI_VERSION(5, 1) || c->contact.vtl == 0;
}

/* Versions before 2.4. False: the guest names a page that is none. */
static bool take_interrupt_page(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;
	struct hvs_le64 gpa;

	c->interrupt_page = NULL;
	memcpy(&gpa,
	       (const uint8_t *)&c->contact + offsetof(struct hvsi_msg_initiate_contact, sint),
	       sizeof(gpa));
	if (!hvsi_version_is_legacy(hvsi_get32(c->contact.version)) || !hvsi_get64(gpa))
		return true;
	if (hvsi_get64(gpa) % HVSI_PAGE == 0)
		c->interrupt_page = hvsi_mem_range(bus->mem, hvsi_get64(gpa), HVSI_PAGE, HVS_RDWR);
	return c->interrupt_page != NULL;
}

/* Which features; and whose monitor pages are used, if any are. */
static void take_features(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;

	c->features = 0;
	if (hvsi_get32(c->contact.version) >= HVSI_VERSION(6, 0))
		c->features = hvsi_get32(c->contact.features) & SUPPORTED_FEATURES;
	if (c->features & HVSI_FEATURE_SERVER_MONITOR_PAGES && bus->cfg.monitor_page_gpa[0] &&
	    hvsi_monitor_set_pages(bus, bus->cfg.monitor_page_gpa[0], bus->cfg.monitor_page_gpa[1]))
		return;
	c->features &= ~HVSI_FEATURE_SERVER_MONITOR_PAGES;
	if (!hvsi_monitor_set_pages(bus, hvsi_get64(c->contact.monitor_page[0]),
				    hvsi_get64(c->contact.monitor_page[1])))
		(void)hvsi_monitor_set_pages(bus, 0, 0);
}

static void negotiate(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;
	uint32_t version = hvsi_get32(c->contact.version);
	uint32_t vp = hvsi_get32(c->contact.target_vp);

	c->version_ok = contact_acceptable(bus) && take_interrupt_page(bus);
	c->message_vp = 0;
	if (version >= HVSI_VERSION(3, 0)) {
		if (vp < bus->cfg.vp_count)
			c->message_vp = vp;
		else
			c->version_ok = false;
	}
	if (c->version_ok) {
		take_features(bus);
		c->state = HVSI_CONN_CONNECTED;
		c->offers_sent = false;
		atomic_store(&c->version, version);
	}
	hvsi_log(bus, HVS_LOG_INFO, "conn", 0, "guest asks for VMBus %u.%u: %s", version >> 16,
		 version & 0xffff, c->version_ok ? "connected" : "not supported");
	HVSI_PROBE3(connect, version, c->version_ok, c->features);
	hvsi_outq_add(bus, &c->version_response);
}

/* ---- disconnecting --------------------------------------------------------------------------- */

static void disconnected(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;
	hvs_done_fn done = c->reset_done;
	void *arg = c->reset_arg;

	hvsi_gpadl_free_all(bus);
	hvsi_tl_forget(bus);
	(void)hvsi_monitor_set_pages(bus, 0, 0);
	c->state = HVSI_CONN_DISCONNECTED;
	c->offers_sent = false;
	switch (c->next) {
	case HVSI_NEXT_RECONNECT:
		negotiate(bus);
		break;
	case HVSI_NEXT_UNLOAD:
		hvsi_outq_add(bus, &c->unload_response);
		break;
	case HVSI_NEXT_RESET:
		c->message_vp = 0;
		atomic_store(&bus->resetting, false);
		if (done)
			done(arg, 0);
		break;
	}
}

void hvsi_conn_channel_released(struct hvs_vmbus *bus)
{
	/* Reserved channels outlive a connection, but not the machine. */
	uint32_t may_stay = bus->conn.next == HVSI_NEXT_RESET ? 0 : bus->reserved_count;

	if (bus->conn.state == HVSI_CONN_DISCONNECTING && bus->offered_count == may_stay)
		disconnected(bus);
}

/* Let go of everything the guest has, then do what comes next. */
static void disconnect(struct hvs_vmbus *bus, enum hvsi_conn_next next)
{
	struct hvsi_conn *c = &bus->conn;

	if (c->state == HVSI_CONN_DISCONNECTING &&
	    (c->next == HVSI_NEXT_RESET || next != HVSI_NEXT_RESET)) {
		if (c->next != HVSI_NEXT_RESET)
			c->next = next;
		return;
	}
	c->state = HVSI_CONN_DISCONNECTING;
	c->next = next;
	atomic_store(&c->version, 0);
	c->features = 0;
	c->paused = false;
	hvsi_outq_clear(bus, next == HVSI_NEXT_RESET);
	for (struct hvs_device *d = bus->devices; d;) {
		struct hvs_device *gone = d; /* a removed device is freed here */

		d = d->next;
		hvsi_device_disconnect(gone);
	}
	hvsi_conn_channel_released(bus);
}

void hvsi_conn_reset(struct hvs_vmbus *bus)
{
	disconnect(bus, HVSI_NEXT_RESET);
}

void hvsi_conn_event(struct hvs_vmbus *bus)
{
	uint8_t HVSI_GUEST *page = bus->conn.interrupt_page;

	if (bus->conn.state != HVSI_CONN_CONNECTED ||
	    !hvsi_version_is_legacy(atomic_load(&bus->conn.version)))
		return;
	for (uint32_t word = 0; word < TO_HOST_WORDS; word++) {
		uint32_t bits = UINT32_MAX; /* without a page the guest may mean any */

		if (page)
			bits = hvsi_guest_swap32(
				page + HVSI_INTERRUPT_PAGE_TO_HOST + (size_t)word * 4, 0);
		for (; bits; bits &= bits - 1) {
			struct hvs_channel *ch =
				hvsi_bus_channel(bus, word * 32 + (uint32_t)__builtin_ctz(bits));

			if (ch && ch->enlisted)
				hvs_channel_kick(ch);
		}
	}
}

int hvsi_conn_restore(struct hvs_vmbus *bus, const struct hvsi_state_connection *s)
{
	struct hvsi_conn *c = &bus->conn;
	uint32_t version = hvsi_get32(s->version);
	bool connected = s->state == HVSI_CONN_CONNECTED;

	if (s->state > HVSI_CONN_DISCONNECTING || s->next > HVSI_NEXT_UNLOAD ||
	    connected != (version != 0) || (s->flags & HVSI_STATE_PAUSED && !connected) ||
	    (hvsi_get32(s->features) && version < HVSI_VERSION(6, 0)))
		return -EBADMSG;
	if ((connected && !version_known(bus, version)) ||
	    hvsi_get32(s->features) & ~SUPPORTED_FEATURES ||
	    hvsi_get32(s->message_vp) >= bus->cfg.vp_count)
		return -ENOTSUP;
	c->contact = s->contact;
	if (connected && (hvsi_get32(c->contact.version) != version || !take_interrupt_page(bus)))
		return -EBADMSG;
	if (!hvsi_monitor_set_pages(bus, hvsi_get64(s->monitor_page[0]),
				    hvsi_get64(s->monitor_page[1])))
		return -EFAULT;
	c->state = (enum hvsi_conn_state)s->state;
	c->next = (enum hvsi_conn_next)s->next;
	c->offers_sent = s->flags & HVSI_STATE_OFFERS_SENT;
	c->version_ok = s->flags & HVSI_STATE_VERSION_OK;
	c->modify_connection_ok = s->flags & HVSI_STATE_MODIFY_CONNECTION_OK;
	c->paused = s->flags & HVSI_STATE_PAUSED;
	c->features = hvsi_get32(s->features);
	c->message_vp = hvsi_get32(s->message_vp);
	c->contact_connection = hvsi_get32(s->contact_connection);
	atomic_store(&c->version, version);
	return 0;
}

/* ---- messages from the guest ----------------------------------------------------------------- */

void hvsi_conn_request_offers(struct hvs_vmbus *bus, const void *msg, size_t len)
{
	struct hvsi_conn *c = &bus->conn;

	(void)msg;
	(void)len;
	if (c->offers_sent) {
		hvsi_fault(bus, 0, HVS_FAULT_MESSAGE, "second REQUESTOFFERS");
		return;
	}
	c->offers_sent = true;
	for (struct hvs_device *d = bus->devices; d; d = d->next)
		hvsi_device_offer_channel(&d->channel[0]);
	hvsi_outq_add(bus, &c->all_offers);
}

/* The monitor pages are exchanged, both or none, while nobody uses them. */
void hvsi_conn_modify(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_conn *c = &bus->conn;
	struct hvsi_msg_modify_connection msg;

	(void)len;
	memcpy(&msg, bytes, sizeof(msg));
	c->modify_connection_ok = hvsi_monitor_idle(&bus->monitor) &&
				  hvsi_monitor_set_pages(bus, hvsi_get64(msg.monitor_page[0]),
							 hvsi_get64(msg.monitor_page[1]));
	hvsi_outq_add(bus, &c->modify_connection_response);
}

void hvsi_conn_pause(struct hvs_vmbus *bus, const void *msg, size_t len)
{
	(void)msg;
	(void)len;
	hvsi_outq_add(bus, &bus->conn.pause_response);
}

void hvsi_conn_resume(struct hvs_vmbus *bus, const void *msg, size_t len)
{
	(void)msg;
	(void)len;
	bus->conn.paused = false;
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
}

void hvsi_conn_initiate_contact(struct hvs_vmbus *bus, const void *msg, size_t len)
{
	struct hvsi_conn *c = &bus->conn;
	struct hvsi_msg_initiate_contact contact;

	memcpy(&contact, msg, sizeof(contact));
	if (hvsi_get32(contact.version) >= HVSI_VERSION(6, 0) &&
	    hvsi_get32(contact.features) & HVSI_FEATURE_CLIENT_ID &&
	    len < sizeof(contact) + CLIENT_ID_SIZE) {
		hvsi_fault(bus, 0, HVS_FAULT_MESSAGE, "INITIATE_CONTACT without its client id");
		return;
	}
	c->contact = contact;
	c->contact_connection = c->via;
	if (c->state == HVSI_CONN_DISCONNECTED)
		negotiate(bus);
	else
		disconnect(bus, HVSI_NEXT_RECONNECT);
}

void hvsi_conn_unload(struct hvs_vmbus *bus, const void *msg, size_t len)
{
	(void)msg;
	(void)len;
	if (bus->conn.state == HVSI_CONN_DISCONNECTED)
		hvsi_outq_add(bus, &bus->conn.unload_response);
	else
		disconnect(bus, HVSI_NEXT_UNLOAD);
}
