/* SPDX-License-Identifier: MIT */
/* What the guest is told about a channel. */
#include "vmbus/bus.h"

size_t hvsi_chan_build_offer(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, offer);
	const struct hvs_offer *o = &ch->dev->offer;
	struct hvsi_msg_offer msg = {
		.h = hvsi_msg_header(HVSI_MSG_OFFERCHANNEL),
		.class_id = o->class_id,
		.instance_id = o->instance_id,
		.flags = hvsi_le16((uint16_t)o->flags),
		.subchannel = hvsi_le16(ch->index),
		.relid = hvsi_le32(ch->relid),
		.monitor_id = ch->monitor_id,
		.monitor_allocated = ch->monitor_id != HVSI_NO_MONITOR,
		.dedicated = hvsi_le16(1),
		.connection_id = hvsi_le32(HVSI_FIRST_CONNECTION_ID + ch->relid),
	};

	memcpy(msg.user_data, o->user_data, sizeof(msg.user_data));
	memcpy(buf, &msg, sizeof(msg));
	return atomic_load(&ch->dev->bus->conn.version) < HVSI_VERSION(1, 1) ? HVSI_OFFER_SIZE_V1
									     : sizeof(msg);
}

size_t hvsi_chan_build_open_result(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, open_result);
	struct hvsi_msg_open_result msg = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL_RESULT),
					   .relid = hvsi_le32(ch->relid),
					   .open_id = ch->request.open.open_id,
					   .status = hvsi_le32(ch->open_status)};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}

size_t hvsi_chan_build_rescind(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, rescind);
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_RESCIND_CHANNELOFFER),
				     .relid = hvsi_le32(ch->relid)};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}

size_t hvsi_chan_build_modify_response(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, modify_response);
	struct hvsi_msg_modify_response msg = {
		.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL_RESPONSE),
		.relid = hvsi_le32(ch->relid),
		.status = hvsi_le32(HVSI_STATUS_OK)};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}

size_t hvsi_chan_build_reserved_closed(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvs_channel *ch = hvsi_container_of(m, struct hvs_channel, reserved_closed);
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_CLOSE_RESERVED_RESPONSE),
				     .relid = hvsi_le32(ch->relid)};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}
