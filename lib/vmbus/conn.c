/* SPDX-License-Identifier: MIT */
/*
 * The connection: version negotiation, offers, unload, and who gets which message. Everything
 * runs on the main worker; messages arrive one at a time, and only when none of ours waits.
 */
#include "vmbus/bus.h"

#include <errno.h>

/* What hosts have spoken; a number in between is not a version. */
static const uint32_t known_versions[] = {
	HVSI_VERSION(0, 13), HVSI_VERSION(1, 1), HVSI_VERSION(2, 4), HVSI_VERSION(3, 0),
	HVSI_VERSION(4, 0),  HVSI_VERSION(4, 1), HVSI_VERSION(5, 0), HVSI_VERSION(5, 1),
	HVSI_VERSION(5, 2),  HVSI_VERSION(5, 3), HVSI_VERSION(6, 0),
};

#define SUPPORTED_FEATURES (HVSI_FEATURE_CLIENT_ID | HVSI_FEATURE_PAUSE_RESUME)
#define CLIENT_ID_SIZE 16u
#define OPEN_RESERVED_SIZE 28u
#define CLOSE_RESERVED_SIZE 20u
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

static uint32_t version_of(const struct hvs_vmbus *bus)
{
	return atomic_load_explicit(&bus->conn.version, memory_order_relaxed);
}

/* ---- messages to the guest ----------------------------------------------------------------- */

static size_t build_version_response(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_conn *c = hvsi_container_of(m, struct hvsi_conn, version_response);
	uint32_t version = hvsi_get32(c->contact.version);
	struct hvsi_msg_version_response_6_0 msg = {
		.r.h = hvsi_msg_header(HVSI_MSG_VERSION_RESPONSE),
		.r.supported = c->version_ok,
		.r.selected = hvsi_le32(version >= HVSI_VERSION(5, 0) ? HVS_VMBUS_MESSAGE_CONNECTION
								      : version),
		.features = hvsi_le32(c->features),
	};

	memcpy(buf, &msg, sizeof(msg));
	return c->version_ok && version >= HVSI_VERSION(6, 0) ? sizeof(msg) : sizeof(msg.r);
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

static size_t build_refusal(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_conn *c = hvsi_container_of(m, struct hvsi_conn, refusal);

	memcpy(buf, c->refusal_bytes, c->refusal_len);
	return c->refusal_len;
}

void hvsi_conn_refuse(struct hvs_vmbus *bus, const void *msg, size_t len)
{
	memcpy(bus->conn.refusal_bytes, msg, len);
	bus->conn.refusal_len = len;
	hvsi_outq_add(bus, &bus->conn.refusal);
}

void hvsi_conn_init(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;

	hvsi_outmsg_init(&c->version_response, build_version_response, NULL);
	hvsi_outmsg_init(&c->all_offers, build_all_offers, NULL);
	hvsi_outmsg_init(&c->unload_response, build_unload_response, NULL);
	hvsi_outmsg_init(&c->pause_response, build_pause_response, pause_response_sent);
	hvsi_outmsg_init(&c->refusal, build_refusal, NULL);
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

static void negotiate(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;
	uint32_t version = hvsi_get32(c->contact.version);
	uint32_t vp = hvsi_get32(c->contact.target_vp);

	c->version_ok = contact_acceptable(bus) && take_interrupt_page(bus);
	c->features = 0;
	if (version >= HVSI_VERSION(6, 0))
		c->features = hvsi_get32(c->contact.features) & SUPPORTED_FEATURES;
	c->message_vp = 0;
	if (version >= HVSI_VERSION(3, 0)) {
		if (vp < bus->cfg.vp_count)
			c->message_vp = vp;
		else
			c->version_ok = false;
	}
	if (c->version_ok) {
		c->state = HVSI_CONN_CONNECTED;
		c->offers_sent = false;
		atomic_store(&c->version, version);
	}
	hvsi_log(bus, HVS_LOG_INFO, "conn", 0, "guest asks for VMBus %u.%u: %s", version >> 16,
		 version & 0xffff, c->version_ok ? "connected" : "not supported");
	hvsi_outq_add(bus, &c->version_response);
}

/* ---- disconnecting --------------------------------------------------------------------------- */

static void disconnected(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;
	hvs_done_fn done = c->reset_done;
	void *arg = c->reset_arg;

	hvsi_gpadl_free_all(bus);
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
	if (bus->conn.state == HVSI_CONN_DISCONNECTING && !bus->offered_count)
		disconnected(bus);
}

/* Let go of everything the guest has, then do what comes next. */
static void disconnect(struct hvs_vmbus *bus, enum hvsi_conn_next next)
{
	struct hvsi_conn *c = &bus->conn;

	if (c->state == HVSI_CONN_DISCONNECTING) {
		if (c->next != HVSI_NEXT_RESET)
			c->next = next;
		return;
	}
	c->state = HVSI_CONN_DISCONNECTING;
	c->next = next;
	atomic_store(&c->version, 0);
	c->paused = false;
	hvsi_outq_clear(bus);
	for (struct hvs_device *d = bus->devices; d;) {
		struct hvs_device *gone = d; /* a removed device is freed here */

		d = d->next;
		hvsi_chan_disconnect(&gone->primary);
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
			uint32_t relid = word * 32 + (uint32_t)__builtin_ctz(bits);
			struct hvs_channel *ch = atomic_load(&bus->open[relid]);

			if (ch)
				hvs_channel_kick(ch);
		}
	}
}

/* ---- messages from the guest ----------------------------------------------------------------- */

static void request_offers(struct hvs_vmbus *bus, const void *msg, size_t len)
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
		hvsi_device_offer_now(d);
	hvsi_outq_add(bus, &c->all_offers);
}

/* Reserved channels (for crash dumps) are not offered: the guest takes another way. */
static void open_reserved(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_msg_open_result msg = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL_RESULT),
					   .status = hvsi_le32(HVSI_STATUS_FAILED)};

	(void)len;
	memcpy(&msg.relid, (const uint8_t *)bytes + sizeof(struct hvsi_msg), sizeof(msg.relid));
	hvsi_conn_refuse(bus, &msg, sizeof(msg));
}

/* Nobody here takes socket connections. */
static void tl_connect(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvsi_msg_tl_connect request;
	struct hvsi_msg_tl_connect_result msg = {
		.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST_RESULT),
		.status = hvsi_le32(HVSI_STATUS_CONNECTION_REFUSED)};

	(void)len;
	memcpy(&request, bytes, sizeof(request));
	msg.endpoint_id = request.endpoint_id;
	msg.service_id = request.service_id;
	if (version_of(bus) >= HVSI_VERSION(4, 1))
		hvsi_conn_refuse(bus, &msg, sizeof(msg));
}

static void pause(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	(void)bytes;
	(void)len;
	hvsi_outq_add(bus, &bus->conn.pause_response);
}

/* What a connected guest may send. */
static const struct {
	uint32_t min_len;
	uint32_t min_version;
	uint32_t feature; /* that must have been negotiated; 0: none */
	void (*handle)(struct hvs_vmbus *bus, const void *msg, size_t len);
} messages[HVSI_MSG_COUNT] = {
	[HVSI_MSG_REQUESTOFFERS] = {sizeof(struct hvsi_msg), 0, 0, request_offers},
	[HVSI_MSG_OPENCHANNEL] = {sizeof(struct hvsi_msg_open), 0, 0, hvsi_chan_open},
	[HVSI_MSG_CLOSECHANNEL] = {sizeof(struct hvsi_msg_relid), 0, 0, hvsi_chan_close},
	[HVSI_MSG_GPADL_HEADER] = {sizeof(struct hvsi_msg_gpadl_header), 0, 0, hvsi_gpadl_header},
	[HVSI_MSG_GPADL_BODY] = {sizeof(struct hvsi_msg_gpadl_body), 0, 0, hvsi_gpadl_body},
	[HVSI_MSG_GPADL_TEARDOWN] = {sizeof(struct hvsi_msg_gpadl_teardown), 0, 0,
				     hvsi_gpadl_teardown},
	[HVSI_MSG_RELID_RELEASED] = {sizeof(struct hvsi_msg_relid), 0, 0, hvsi_chan_released},
	[HVSI_MSG_OPEN_RESERVED_CHANNEL] = {OPEN_RESERVED_SIZE, HVSI_VERSION(4, 0), 0,
					    open_reserved},
	[HVSI_MSG_TL_CONNECT_REQUEST] = {sizeof(struct hvsi_msg_tl_connect), HVSI_VERSION(4, 0), 0,
					 tl_connect},
	[HVSI_MSG_MODIFYCHANNEL] = {sizeof(struct hvsi_msg_modify_channel), HVSI_VERSION(4, 1), 0,
				    hvsi_chan_modify},
	[HVSI_MSG_PAUSE] = {sizeof(struct hvsi_msg), HVSI_VERSION(6, 0), HVSI_FEATURE_PAUSE_RESUME,
			    pause},
};

static void initiate_contact(struct hvs_vmbus *bus, uint32_t connection_id, const void *msg,
			     size_t len)
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
	c->contact_connection = connection_id;
	if (c->state == HVSI_CONN_DISCONNECTED)
		negotiate(bus);
	else
		disconnect(bus, HVSI_NEXT_RECONNECT);
}

static void unload(struct hvs_vmbus *bus)
{
	if (bus->conn.state == HVSI_CONN_DISCONNECTED)
		hvsi_outq_add(bus, &bus->conn.unload_response);
	else
		disconnect(bus, HVSI_NEXT_UNLOAD);
}

static void resume(struct hvs_vmbus *bus)
{
	bus->conn.paused = false;
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
}

/* Legal also when disconnected: a guest that crashes closes what it may have had open. */
static void close_reserved(struct hvs_vmbus *bus, const void *bytes)
{
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_CLOSE_RESERVED_RESPONSE)};

	memcpy(&msg.relid, (const uint8_t *)bytes + sizeof(struct hvsi_msg), sizeof(msg.relid));
	hvsi_conn_refuse(bus, &msg, sizeof(msg));
}

static bool allowed(const struct hvs_vmbus *bus, uint32_t type, size_t len)
{
	const struct hvsi_conn *c = &bus->conn;

	return c->state == HVSI_CONN_CONNECTED && !c->paused && type < HVSI_MSG_COUNT &&
	       messages[type].handle && len >= messages[type].min_len &&
	       version_of(bus) >= messages[type].min_version &&
	       (c->features & messages[type].feature) == messages[type].feature;
}

void hvsi_conn_message(struct hvs_vmbus *bus, uint32_t connection_id, const void *msg, size_t len)
{
	struct hvsi_msg h;
	uint32_t type;

	if (len < sizeof(h))
		return;
	memcpy(&h, msg, sizeof(h));
	type = hvsi_get32(h.type);

	if (type == HVSI_MSG_INITIATE_CONTACT && len >= sizeof(struct hvsi_msg_initiate_contact))
		initiate_contact(bus, connection_id, msg, len);
	else if (type == HVSI_MSG_UNLOAD)
		unload(bus);
	else if (type == HVSI_MSG_RESUME && bus->conn.paused)
		resume(bus);
	else if (type == HVSI_MSG_CLOSE_RESERVED_CHANNEL && !bus->conn.paused &&
		 len >= CLOSE_RESERVED_SIZE)
		close_reserved(bus, msg);
	else if (allowed(bus, type, len))
		messages[type].handle(bus, msg, len);
	else
		hvsi_fault(bus, 0, HVS_FAULT_MESSAGE, "message malformed or not allowed now");
}
