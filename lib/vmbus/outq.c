/* SPDX-License-Identifier: MIT */
/* Messages to the guest: one FIFO in front of one message slot. Main worker only. */
#include "vmbus/bus.h"

#define RETRY_NS 1000000u /* for hypervisors that don't tell when the slot is free */

void hvsi_outmsg_init(struct hvsi_outmsg *m,
		      size_t (*build)(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]),
		      void (*sent)(struct hvsi_outmsg *m))
{
	hvsi_list_init(&m->node);
	m->build = build;
	m->sent = sent;
}

void hvsi_outq_add(struct hvs_vmbus *bus, struct hvsi_outmsg *m)
{
	if (!hvsi_list_empty(&m->node))
		return;
	hvsi_list_append(&bus->outq, &m->node);
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
}

bool hvsi_outq_pump(struct hvs_vmbus *bus)
{
	if (bus->conn.paused)
		return true; /* what waits does not keep the guest's messages waiting */
	while (!hvsi_list_empty(&bus->outq)) {
		struct hvsi_outmsg *m = hvsi_container_of(bus->outq.next, struct hvsi_outmsg, node);
		struct hvs_synic_msg msg = {.type = HVSI_SYNIC_TYPE_VMBUS};

		msg.payload_len = (uint8_t)m->build(m, msg.payload);
		if (bus->ops.synic_post(bus->be, bus->conn.message_vp, HVS_VMBUS_SINT, &msg) < 0) {
			bus->main_worker.deadline_ns = bus->ops.now_ns(bus->be) + RETRY_NS;
			return false;
		}
		hvsi_list_remove(&m->node);
		if (m->sent)
			m->sent(m);
		if (bus->conn.paused)
			return true;
	}
	bus->main_worker.deadline_ns = UINT64_MAX;
	return true;
}

void hvsi_outq_clear(struct hvs_vmbus *bus)
{
	while (!hvsi_list_empty(&bus->outq))
		hvsi_list_remove(bus->outq.next);
}
