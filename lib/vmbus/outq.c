/* SPDX-License-Identifier: MIT */
/* Messages to the guest: one FIFO in front of one message slot. Main worker only. */
#include "vmbus/bus.h"

#define RETRY_NS 1000000u /* for hypervisors that don't tell when the slot is free */

void hvsi_outmsg_init(struct hvsi_outmsg *m, enum hvsi_out kind,
		      size_t (*build)(struct hvsi_outmsg *m, uint8_t buf[HVSI_MSG_MAX]),
		      void (*sent)(struct hvsi_outmsg *m))
{
	hvsi_list_init(&m->node);
	m->kind = kind;
	m->vp = HVSI_VP_NONE;
	m->build = build;
	m->sent = sent;
}

void hvsi_outmsg_address(const struct hvs_vmbus *bus, struct hvsi_outmsg *m, uint32_t vp,
			 uint32_t sint)
{
	bool valid = vp < bus->cfg.vp_count && sint < HVSI_SINTS;

	m->vp = valid ? vp : bus->conn.message_vp;
	m->sint = valid ? (uint8_t)sint : HVS_VMBUS_SINT;
}

void hvsi_outq_add(struct hvs_vmbus *bus, struct hvsi_outmsg *m)
{
	if (!hvsi_list_empty(&m->node))
		return;
	hvsi_list_append(&bus->outq, &m->node);
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
}

static int post(struct hvs_vmbus *bus, const struct hvsi_outmsg *m, const struct hvs_synic_msg *msg)
{
	if (m->vp == HVSI_VP_NONE)
		return bus->ops.synic_post(bus->be, bus->conn.message_vp, HVS_VMBUS_SINT, msg);
	return bus->ops.synic_post(bus->be, m->vp, m->sint, msg);
}

bool hvsi_outq_pump(struct hvs_vmbus *bus)
{
	if (bus->conn.paused)
		return true; /* what waits does not keep the guest's messages waiting */
	while (!hvsi_list_empty(&bus->outq)) {
		struct hvsi_outmsg *m = hvsi_container_of(bus->outq.next, struct hvsi_outmsg, node);
		struct hvs_synic_msg msg = {.type = HVSI_SYNIC_TYPE_VMBUS};

		msg.payload_len = (uint8_t)m->build(m, msg.payload);
		if (post(bus, m, &msg) < 0) {
			hvsi_worker_wake_at(&bus->main_worker, bus->ops.now_ns(bus->be) + RETRY_NS);
			return false;
		}
		if (hvsi_tapped(&bus->tap))
			hvsi_tap_message(bus, true, 0, msg.payload, msg.payload_len);
		hvsi_list_remove(&m->node);
		if (m->sent)
			m->sent(m);
		if (bus->conn.paused)
			return true;
	}
	return true;
}

void hvsi_outq_clear(struct hvs_vmbus *bus, bool all)
{
	struct hvsi_list *next;

	for (struct hvsi_list *n = bus->outq.next; n != &bus->outq; n = next) {
		next = n->next;
		if (all || hvsi_container_of(n, struct hvsi_outmsg, node)->vp == HVSI_VP_NONE)
			hvsi_list_remove(n);
	}
}
