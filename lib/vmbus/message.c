/* SPDX-License-Identifier: MIT */
/* Which messages a guest may send when, and who handles them (protocol: message table). */
#include "vmbus/bus.h"

/* Where the connection can be. */
#define DISCONNECTED 1u
#define CONNECTED 2u
#define PAUSED 4u
#define DISCONNECTING 8u
#define ANY (DISCONNECTED | CONNECTED | PAUSED | DISCONNECTING)

static const struct {
	uint32_t min_len;     /* longer ones are accepted: guests pad */
	uint32_t min_version; /* while there is a connection */
	uint32_t feature;     /* that must have been negotiated; 0: none */
	unsigned states;
	void (*handle)(struct hvs_vmbus *bus, const void *msg, size_t len);
} table[HVSI_MSG_COUNT] = {
	/* clang-format off */
	[HVSI_MSG_REQUESTOFFERS] = {
		sizeof(struct hvsi_msg), 0, 0, CONNECTED, hvsi_conn_request_offers},
	[HVSI_MSG_OPENCHANNEL] = {
		sizeof(struct hvsi_msg_open), 0, 0, CONNECTED, hvsi_chan_open},
	[HVSI_MSG_CLOSECHANNEL] = {
		sizeof(struct hvsi_msg_relid), 0, 0, CONNECTED, hvsi_chan_close},
	[HVSI_MSG_GPADL_HEADER] = {
		sizeof(struct hvsi_msg_gpadl_header), 0, 0, CONNECTED, hvsi_gpadl_header},
	[HVSI_MSG_GPADL_BODY] = {
		sizeof(struct hvsi_msg_gpadl_body), 0, 0, CONNECTED, hvsi_gpadl_body},
	[HVSI_MSG_GPADL_TEARDOWN] = {
		sizeof(struct hvsi_msg_gpadl_teardown), 0, 0, CONNECTED, hvsi_gpadl_teardown},
	[HVSI_MSG_RELID_RELEASED] = {
		sizeof(struct hvsi_msg_relid), 0, 0, CONNECTED, hvsi_chan_released},
	[HVSI_MSG_INITIATE_CONTACT] = {
		sizeof(struct hvsi_msg_initiate_contact), 0, 0, ANY, hvsi_conn_initiate_contact},
	/* Also when there is nothing to unload: a guest that is confused must not wait for ever. */
	[HVSI_MSG_UNLOAD] = {
		sizeof(struct hvsi_msg), 0, 0, ANY, hvsi_conn_unload},
	[HVSI_MSG_OPEN_RESERVED_CHANNEL] = {
		sizeof(struct hvsi_msg_open_reserved), HVSI_VERSION(4, 0), 0, CONNECTED,
		hvsi_chan_open_reserved},
	/* Also when disconnected: a guest that crashes closes what it may have had open. */
	[HVSI_MSG_CLOSE_RESERVED_CHANNEL] = {
		sizeof(struct hvsi_msg_close_reserved), HVSI_VERSION(4, 0), 0, ANY & ~PAUSED,
		hvsi_chan_close_reserved},
	[HVSI_MSG_TL_CONNECT_REQUEST] = {
		sizeof(struct hvsi_msg_tl_connect), HVSI_VERSION(4, 0), 0, CONNECTED,
		hvsi_tl_request},
	[HVSI_MSG_MODIFYCHANNEL] = {
		sizeof(struct hvsi_msg_modify_channel), HVSI_VERSION(4, 1), 0, CONNECTED,
		hvsi_chan_modify},
	[HVSI_MSG_MODIFY_CONNECTION] = {
		sizeof(struct hvsi_msg_modify_connection), HVSI_VERSION(6, 0),
		HVSI_FEATURE_MODIFY_CONNECTION, CONNECTED, hvsi_conn_modify},
	[HVSI_MSG_PAUSE] = {
		sizeof(struct hvsi_msg), HVSI_VERSION(6, 0), HVSI_FEATURE_PAUSE_RESUME, CONNECTED,
		hvsi_conn_pause},
	[HVSI_MSG_RESUME] = {
		sizeof(struct hvsi_msg), HVSI_VERSION(6, 0), HVSI_FEATURE_PAUSE_RESUME, PAUSED,
		hvsi_conn_resume},
	/* clang-format on */
};

static unsigned state_of(const struct hvsi_conn *c)
{
	switch (c->state) {
	case HVSI_CONN_DISCONNECTED:
		return DISCONNECTED;
	case HVSI_CONN_CONNECTED:
		return c->paused ? PAUSED : CONNECTED;
	case HVSI_CONN_DISCONNECTING:
		break;
	}
	return DISCONNECTING;
}

static bool allowed(const struct hvsi_conn *c, uint32_t type, size_t len)
{
	unsigned state = state_of(c);

	if (type >= HVSI_MSG_COUNT || !(table[type].states & state) || len < table[type].min_len)
		return false;
	if (state & (DISCONNECTED | DISCONNECTING))
		return true;
	return atomic_load(&c->version) >= table[type].min_version &&
	       (c->features & table[type].feature) == table[type].feature;
}

void hvsi_message(struct hvs_vmbus *bus, uint32_t connection_id, const void *msg, size_t len)
{
	struct hvsi_msg h;
	uint32_t type;

	if (len < sizeof(h))
		return;
	memcpy(&h, msg, sizeof(h));
	type = hvsi_get32(h.type);
	bus->conn.via = connection_id;
	if (allowed(&bus->conn, type, len))
		table[type].handle(bus, msg, len);
	else
		hvsi_fault(bus, 0, HVS_FAULT_MESSAGE, "message malformed or not allowed now");
}
