/* SPDX-License-Identifier: MIT */
/*
 * Which channel a guest's signal is for: a table of the open ones by connection id. The main
 * worker changes it, any thread looks; who looks passes the gate, and the main worker waits for
 * those inside before it lets go of a channel.
 */
#include "vmbus/bus.h"

#include <hvstack/hv.h>

struct hvs_channel *hvsi_signal_find(struct hvs_vmbus *bus, uint32_t connection_id)
{
	struct hvs_channel *ch = atomic_load(&bus->signal[connection_id % HVSI_SIGNAL_BUCKETS]);

	while (ch && ch->connection_id != connection_id)
		ch = atomic_load(&ch->signal_next);
	return ch;
}

void hvsi_signal_add(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	struct hvs_channel *_Atomic *bucket = &bus->signal[ch->connection_id % HVSI_SIGNAL_BUCKETS];

	atomic_store(&ch->signal_next, atomic_load(bucket));
	atomic_store(bucket, ch);
	ch->enlisted = true;
	ch->doorbell =
		bus->ops.doorbell_add && bus->ops.doorbell_add(bus->be, ch->connection_id, ch) == 0;
	hvsi_monitor_watch(ch);
}

void hvsi_signal_remove(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	struct hvs_channel *_Atomic *at = &bus->signal[ch->connection_id % HVSI_SIGNAL_BUCKETS];

	if (ch->doorbell)
		bus->ops.doorbell_del(bus->be, ch->connection_id, ch);
	ch->doorbell = false;
	while (atomic_load(at) != ch)
		at = &atomic_load(at)->signal_next;
	atomic_store(at, atomic_load(&ch->signal_next));
	hvsi_gate_drain(&bus->signal_gate);
	ch->enlisted = false;
	if (ch->monitor_id != HVSI_NO_MONITOR)
		hvsi_monitor_changed(bus);
}

uint16_t hvs_vmbus_signal_event(struct hvs_vmbus *bus, uint32_t connection_id, uint16_t flag)
{
	struct hvs_channel *ch;

	(void)flag; /* a channel has one event: every known guest passes 0 */
	if (connection_id == HVS_VMBUS_EVENT_CONNECTION) {
		hvsi_worker_post(&bus->main_worker, &bus->event_work);
		return HVS_HV_STATUS_SUCCESS;
	}
	hvsi_gate_enter(&bus->signal_gate);
	ch = hvsi_signal_find(bus, connection_id);
	if (ch)
		hvs_channel_kick(ch);
	hvsi_gate_leave(&bus->signal_gate);
	return ch ? HVS_HV_STATUS_SUCCESS : HVS_HV_STATUS_INVALID_CONNECTION_ID;
}
