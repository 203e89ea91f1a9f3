/* SPDX-License-Identifier: MIT */
/*
 * Connections a guest asks for (hv_sock). The embedder decides; a request is over when it was
 * refused, or when a device with its two GUIDs was offered, which is the answer then.
 */
#include "vmbus/bus.h"

#include "util/guid.h"

#include <errno.h>

static size_t build_result(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX])
{
	const struct hvsi_tl_request *r = hvsi_container_of(m, struct hvsi_tl_request, result);
	struct hvsi_msg_tl_connect_result msg = {
		.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST_RESULT),
		.endpoint_id = r->endpoint_id,
		.service_id = r->service_id,
		.status = hvsi_le32(HVSI_STATUS_CONNECTION_REFUSED)};

	memcpy(buf, &msg, sizeof(msg));
	return sizeof(msg);
}

static void result_sent(struct hvsi_outmsg *m)
{
	hvsi_container_of(m, struct hvsi_tl_request, result)->used = false;
}

void hvsi_tl_init(struct hvs_vmbus *bus)
{
	for (unsigned i = 0; i < HVSI_TL_REQUESTS; i++)
		hvsi_outmsg_init(&bus->tl[i].result, HVSI_OUT_TL_RESULT, build_result, result_sent);
}

static bool result_is_sent(const struct hvs_vmbus *bus)
{
	return atomic_load(&bus->conn.version) >= HVSI_VERSION(4, 1);
}

/* Without a request of its own: none can be kept. */
static void refuse(struct hvs_vmbus *bus, const struct hvs_connect_request *request)
{
	struct hvsi_msg_tl_connect_result msg = {
		.h = hvsi_msg_header(HVSI_MSG_TL_CONNECT_REQUEST_RESULT),
		.endpoint_id = request->endpoint_id,
		.service_id = request->service_id,
		.status = hvsi_le32(HVSI_STATUS_CONNECTION_REFUSED)};

	if (result_is_sent(bus))
		hvsi_conn_refuse(bus, &msg, sizeof(msg));
}

static struct hvsi_tl_request *find(struct hvs_vmbus *bus, const struct hvs_guid *endpoint_id,
				    const struct hvs_guid *service_id)
{
	for (unsigned i = 0; i < HVSI_TL_REQUESTS; i++) {
		struct hvsi_tl_request *r = &bus->tl[i];

		if (r->used && hvsi_list_empty(&r->result.node) &&
		    hvsi_guid_equal(&r->endpoint_id, endpoint_id) &&
		    hvsi_guid_equal(&r->service_id, service_id))
			return r;
	}
	return NULL;
}

void hvsi_tl_request(struct hvs_vmbus *bus, const void *bytes, size_t len)
{
	struct hvs_connect_request request = {0};
	struct hvsi_tl_request *r = NULL;
	struct hvsi_msg_tl_connect msg;

	memcpy(&msg, bytes, sizeof(msg));
	request.endpoint_id = msg.endpoint_id;
	request.service_id = msg.service_id;
	if (atomic_load(&bus->conn.version) >= HVSI_VERSION(5, 2) &&
	    len >= sizeof(msg) + sizeof(request.silo_id))
		memcpy(&request.silo_id, (const uint8_t *)bytes + sizeof(msg),
		       sizeof(request.silo_id));
	for (unsigned i = 0; i < HVSI_TL_REQUESTS && !r; i++)
		if (!bus->tl[i].used)
			r = &bus->tl[i];
	if (!bus->ops.connect_request || !r ||
	    find(bus, &request.endpoint_id, &request.service_id)) {
		refuse(bus, &request);
		return;
	}
	r->used = true;
	r->endpoint_id = request.endpoint_id;
	r->service_id = request.service_id;
	if (bus->ops.connect_request(bus->be, &request) < 0) {
		r->used = false;
		refuse(bus, &request);
	}
}

int hvs_vmbus_refuse_connect(struct hvs_vmbus *bus, const struct hvs_guid *endpoint_id,
			     const struct hvs_guid *service_id)
{
	struct hvsi_tl_request *r;

	if (!bus || !endpoint_id || !service_id)
		return -EINVAL;
	r = find(bus, endpoint_id, service_id);
	if (!r)
		return -ENOENT;
	if (result_is_sent(bus))
		hvsi_outq_add(bus, &r->result);
	else
		r->used = false;
	return 0;
}

void hvsi_tl_offered(struct hvs_vmbus *bus, const struct hvs_offer *offer)
{
	struct hvsi_tl_request *r = find(bus, &offer->instance_id, &offer->class_id);

	if (r)
		r->used = false;
}

void hvsi_tl_forget(struct hvs_vmbus *bus)
{
	for (unsigned i = 0; i < HVSI_TL_REQUESTS; i++) {
		hvsi_list_remove(&bus->tl[i].result.node);
		bus->tl[i].used = false;
	}
}
