/* SPDX-License-Identifier: MIT */
/*
 * The connection: version negotiation, offers, unload, and who gets which message. Everything
 * runs on the main worker; messages arrive one at a time, and only when none of ours waits.
 */
#include "vmbus/bus.h"

#include <errno.h>

static const uint32_t known_versions[] = {
	HVSI_VERSION(2, 4), HVSI_VERSION(3, 0), HVSI_VERSION(4, 0), HVSI_VERSION(4, 1),
	HVSI_VERSION(5, 0), HVSI_VERSION(5, 1), HVSI_VERSION(5, 2), HVSI_VERSION(5, 3),
};

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
	struct hvsi_msg_version_response msg = {
		.h = hvsi_msg_header(HVSI_MSG_VERSION_RESPONSE),
		.supported = c->version_ok,
		.selected = hvsi_le32(version >= HVSI_VERSION(5, 0) ? HVS_VMBUS_MESSAGE_CONNECTION
								    : version),
	};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
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

static void negotiate(struct hvs_vmbus *bus)
{
	struct hvsi_conn *c = &bus->conn;
	uint32_t version = hvsi_get32(c->contact.version);
	uint32_t vp = hvsi_get32(c->contact.target_vp);

	c->version_ok = contact_acceptable(bus);
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
	if (bus->conn.state != HVSI_CONN_DISCONNECTING)
		return;
	for (struct hvs_device *d = bus->devices; d; d = d->next)
		if (d->primary.state != HVSI_CHAN_RELEASED)
			return;
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

/* What a connected guest may send. */
static const struct {
	uint32_t min_len;
	uint32_t min_version;
	void (*handle)(struct hvs_vmbus *bus, const void *msg, size_t len);
} messages[HVSI_MSG_COUNT] = {
	[HVSI_MSG_REQUESTOFFERS] = {sizeof(struct hvsi_msg), 0, request_offers},
	[HVSI_MSG_OPENCHANNEL] = {sizeof(struct hvsi_msg_open), 0, hvsi_chan_open},
	[HVSI_MSG_CLOSECHANNEL] = {sizeof(struct hvsi_msg_relid), 0, hvsi_chan_close},
	[HVSI_MSG_GPADL_HEADER] = {sizeof(struct hvsi_msg_gpadl_header), 0, hvsi_gpadl_header},
	[HVSI_MSG_GPADL_BODY] = {sizeof(struct hvsi_msg_gpadl_body), 0, hvsi_gpadl_body},
	[HVSI_MSG_GPADL_TEARDOWN] = {sizeof(struct hvsi_msg_gpadl_teardown), 0,
				     hvsi_gpadl_teardown},
	[HVSI_MSG_RELID_RELEASED] = {sizeof(struct hvsi_msg_relid), 0, hvsi_chan_released},
	[HVSI_MSG_MODIFYCHANNEL] = {sizeof(struct hvsi_msg_modify_channel), HVSI_VERSION(4, 1),
				    hvsi_chan_modify},
};

static void initiate_contact(struct hvs_vmbus *bus, uint32_t connection_id, const void *msg)
{
	struct hvsi_conn *c = &bus->conn;

	memcpy(&c->contact, msg, sizeof(c->contact));
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

void hvsi_conn_message(struct hvs_vmbus *bus, uint32_t connection_id, const void *msg, size_t len)
{
	struct hvsi_msg h;
	uint32_t type;

	if (len < sizeof(h))
		return;
	memcpy(&h, msg, sizeof(h));
	type = hvsi_get32(h.type);

	if (type == HVSI_MSG_INITIATE_CONTACT && len >= sizeof(struct hvsi_msg_initiate_contact)) {
		initiate_contact(bus, connection_id, msg);
	} else if (type == HVSI_MSG_UNLOAD) {
		unload(bus);
	} else if (bus->conn.state != HVSI_CONN_CONNECTED || type >= HVSI_MSG_COUNT ||
		   !messages[type].handle || len < messages[type].min_len ||
		   version_of(bus) < messages[type].min_version) {
		hvsi_fault(bus, 0, HVS_FAULT_MESSAGE, "message malformed or not allowed now");
	} else {
		messages[type].handle(bus, msg, len);
	}
}
