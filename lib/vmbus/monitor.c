/* SPDX-License-Identifier: MIT */
/*
 * Monitor page: a guest that signals often sets a bit in a page instead of making a hypercall,
 * and the host looks at the page (protocol: monitor pages). We look from the main worker's timer,
 * as long as a channel with an id is open. The page from host to guest is not used.
 */
#include "vmbus/bus.h"

#define GROUPS 4u
#define PER_GROUP 32u
/* Layout of the page. */
#define TRIGGER_STATE 0x000u               /* u32: bit n, group n is in use */
#define TRIGGER_GROUP(n) (0x008u + (n)*8u) /* u32 pending, u32 armed */
#define LATENCY(id) (0x240u + (id)*2u)     /* u16, 100 ns */
#define PARAMETER(id) (0x440u + (id)*8u)   /* u32 connection id, u16 flag, u16 reserved */

void hvsi_monitor_init(struct hvs_vmbus *bus)
{
	bus->monitor.period_ns = UINT64_MAX;
}

bool hvsi_monitor_set_pages(struct hvs_vmbus *bus, uint64_t to_guest, uint64_t to_host)
{
	uint8_t HVSI_GUEST *page;

	if (!to_guest && !to_host) {
		bus->monitor.page = NULL;
		bus->monitor.gpa[0] = 0;
		bus->monitor.gpa[1] = 0;
		return true;
	}
	if (to_guest % HVSI_PAGE || to_host % HVSI_PAGE || !to_guest || !to_host ||
	    !hvsi_mem_range(bus->mem, to_guest, HVSI_PAGE, HVS_RDWR))
		return false;
	page = hvsi_mem_range(bus->mem, to_host, HVSI_PAGE, HVS_RDWR);
	if (!page)
		return false;
	bus->monitor.page = page;
	bus->monitor.gpa[0] = to_guest;
	bus->monitor.gpa[1] = to_host;
	return true;
}

void hvsi_monitor_assign(struct hvs_channel *ch)
{
	struct hvsi_monitor *m = &ch->dev->bus->monitor;

	ch->monitor_id = HVSI_NO_MONITOR;
	if (!ch->dev->offer.monitor_latency_us || !m->page)
		return;
	for (uint8_t id = 0; id < HVSI_MONITOR_IDS; id++)
		if (!m->channel[id]) {
			m->channel[id] = ch;
			ch->monitor_id = id;
			return;
		}
}

void hvsi_monitor_release(struct hvs_channel *ch)
{
	if (ch->monitor_id == HVSI_NO_MONITOR)
		return;
	ch->dev->bus->monitor.channel[ch->monitor_id] = NULL;
	ch->monitor_id = HVSI_NO_MONITOR;
}

/* May its bit be set? Guests that crash signal reserved channels by hypercall. */
static bool watched(const struct hvs_channel *ch)
{
	return ch && ch->enlisted && !ch->reserved;
}

void hvsi_monitor_watch(struct hvs_channel *ch)
{
	struct hvs_vmbus *bus = ch->dev->bus;
	uint8_t HVSI_GUEST *page = bus->monitor.page;
	uint8_t id = ch->monitor_id;
	uint8_t parameter[8] = {0};
	uint8_t latency[2];
	uint32_t units = ch->dev->offer.monitor_latency_us * 10u;
	struct hvs_le32 connection = hvsi_le32(ch->connection_id);
	struct hvs_le16 wire_units = hvsi_le16((uint16_t)units);

	if (id == HVSI_NO_MONITOR || !page || !watched(ch))
		return;
	memcpy(parameter, &connection, sizeof(connection));
	memcpy(latency, &wire_units, sizeof(latency));
	hvsi_guest_write(page + PARAMETER(id), parameter, sizeof(parameter));
	hvsi_guest_write(page + LATENCY(id), latency, sizeof(latency));
	hvsi_guest_or32(page + TRIGGER_STATE, 1u << id / PER_GROUP);
	hvsi_monitor_changed(bus);
}

void hvsi_monitor_changed(struct hvs_vmbus *bus)
{
	struct hvsi_monitor *m = &bus->monitor;

	m->period_ns = UINT64_MAX;
	for (unsigned id = 0; id < HVSI_MONITOR_IDS; id++) {
		const struct hvs_channel *ch = m->channel[id];
		uint64_t ns = watched(ch) ? ch->dev->offer.monitor_latency_us * UINT64_C(1000)
					  : UINT64_MAX;

		if (ns < m->period_ns)
			m->period_ns = ns;
	}
	if (m->period_ns != UINT64_MAX) {
		m->next_ns = 0; /* at once; sets the timer */
		hvsi_worker_post(&bus->main_worker, &bus->control_work);
	}
}

static void scan(struct hvsi_monitor *m)
{
	for (uint32_t group = 0; group < GROUPS; group++) {
		/* What a guest wrote to its ring before it set the bit is seen behind this; a bit
		 * that it sets later stays for the next time. */
		uint32_t bits = hvsi_guest_swap32(m->page + TRIGGER_GROUP(group), 0);

		for (; bits; bits &= bits - 1) {
			uint32_t id = group * PER_GROUP + (uint32_t)__builtin_ctz(bits);

			if (watched(m->channel[id]))
				hvs_channel_kick(m->channel[id]);
		}
	}
}

void hvsi_monitor_poll(struct hvs_vmbus *bus)
{
	struct hvsi_monitor *m = &bus->monitor;
	uint64_t now;

	if (hvsi_monitor_idle(m) || !m->page)
		return;
	now = bus->ops.now_ns(bus->be);
	if (now >= m->next_ns) {
		scan(m);
		m->next_ns = now + m->period_ns;
	}
	hvsi_worker_wake_at(&bus->main_worker, m->next_ns);
}
