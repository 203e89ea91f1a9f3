/* SPDX-License-Identifier: MIT */
/* The bus: life cycle, and the way from a guest's hypercall to the main worker. */
#include "vmbus/bus.h"

#include "util/alloc.h"
#include "util/format.h"
#include "util/sized.h"

#include <hvstack/hv.h>

#include <errno.h>
#include <stdarg.h>

#define NEWEST_VERSION HVSI_VERSION(6, 0)
#define DEFAULT_MAX_GPADLS 4096u
#define DEFAULT_MAX_GPADL_PAGES 131072u
#define DEFAULT_MAX_QUEUED_MESSAGES 16u
#define LARGEST_MAX_QUEUED_MESSAGES 65536u
#define LOG_BYTES 256u
#define REPORTS_PER_SECOND 50u

/* ---- main worker ------------------------------------------------------------------------------ */

static bool take_message(struct hvs_vmbus *bus, struct hvsi_inmsg *to)
{
	bool got;

	hvsi_spin_lock(&bus->inq_lock);
	got = bus->inq_count != 0;
	if (got) {
		*to = bus->inq[bus->inq_first];
		bus->inq_first = (bus->inq_first + 1) % bus->cfg.max_queued_messages;
		bus->inq_count--;
	}
	hvsi_spin_unlock(&bus->inq_lock);
	return got;
}

static void record(struct hvs_vmbus *bus, const struct hvsi_inmsg *msg)
{
	const struct hvs_record rec = {.kind = HVS_RECORD_MESSAGE,
				       .connection_id = msg->connection_id,
				       .data = msg->bytes,
				       .len = msg->len};

	bus->ops.record(bus->be, &rec);
}

static void begin_reset(struct hvs_vmbus *bus)
{
	hvsi_spin_lock(&bus->inq_lock);
	bus->inq_count = 0;
	hvsi_spin_unlock(&bus->inq_lock);
	hvsi_conn_reset(bus);
}

/* Send what waits; take the guest's next message only when nothing does. Sets the timer anew. */
static unsigned run_control(struct hvsi_work *work, unsigned budget)
{
	struct hvs_vmbus *bus = hvsi_container_of(work, struct hvs_vmbus, control_work);
	struct hvsi_inmsg msg;
	unsigned used = 1;

	bus->main_worker.deadline_ns = UINT64_MAX;
	hvsi_monitor_poll(bus);
	if (atomic_exchange(&bus->reset_wanted, false))
		begin_reset(bus);
	while (hvsi_outq_pump(bus) && take_message(bus, &msg)) {
		if (bus->ops.record)
			record(bus, &msg);
		hvsi_message(bus, msg.connection_id, msg.bytes, msg.len);
		if (++used >= budget) {
			hvsi_worker_post(&bus->main_worker, &bus->control_work);
			break;
		}
	}
	return used;
}

static unsigned run_event(struct hvsi_work *work, unsigned budget)
{
	(void)budget;
	hvsi_conn_event(hvsi_container_of(work, struct hvs_vmbus, event_work));
	return 1;
}

/* ---- any thread ------------------------------------------------------------------------------- */

uint16_t hvs_vmbus_post_message(struct hvs_vmbus *bus, uint32_t connection_id,
				uint32_t message_type, const void *payload, size_t len)
{
	uint16_t status = HVS_HV_STATUS_INSUFFICIENT_BUFFERS;

	if (!atomic_load(&bus->started))
		return HVS_HV_STATUS_INVALID_CONNECTION_ID;
	if (connection_id != HVS_VMBUS_MESSAGE_CONNECTION &&
	    (connection_id != HVS_VMBUS_MULTICLIENT_CONNECTION ||
	     bus->cfg.max_version < HVSI_VERSION(5, 0)))
		return HVS_HV_STATUS_INVALID_CONNECTION_ID;
	if (message_type != HVSI_SYNIC_TYPE_VMBUS || len < sizeof(struct hvsi_msg) ||
	    len > HVSI_MSG_MAX)
		return HVS_HV_STATUS_INVALID_HYPERCALL_INPUT;

	hvsi_spin_lock(&bus->inq_lock);
	if (bus->inq_count < bus->cfg.max_queued_messages) {
		struct hvsi_inmsg *m = &bus->inq[(bus->inq_first + bus->inq_count++) %
						 bus->cfg.max_queued_messages];

		m->connection_id = connection_id;
		m->len = (uint32_t)len;
		memcpy(m->bytes, payload, len);
		status = HVS_HV_STATUS_SUCCESS;
	}
	hvsi_spin_unlock(&bus->inq_lock);
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
	return status;
}

void hvs_vmbus_slot_free(struct hvs_vmbus *bus, uint32_t vp)
{
	(void)vp;
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
}

uint32_t hvs_vmbus_guest_version(const struct hvs_vmbus *bus)
{
	return atomic_load(&bus->conn.version);
}

/* ---- life cycle ------------------------------------------------------------------------------- */

static int check(struct hvs_vmbus_config *cfg, const struct hvs_backend_ops *ops)
{
	if (!cfg->vp_count || cfg->vp_count == HVSI_VP_NONE || ops->reserved || !ops->synic_post ||
	    !ops->synic_signal || !ops->wake || !ops->now_ns ||
	    !ops->doorbell_add != !ops->doorbell_del)
		return -EINVAL;
	if (!cfg->max_version || cfg->max_version > NEWEST_VERSION)
		cfg->max_version = NEWEST_VERSION;
	if (!cfg->max_gpadls)
		cfg->max_gpadls = DEFAULT_MAX_GPADLS;
	if (!cfg->max_gpadl_pages)
		cfg->max_gpadl_pages = DEFAULT_MAX_GPADL_PAGES;
	if (!cfg->max_offers)
		cfg->max_offers = HVSI_MAX_RELID;
	if (!cfg->max_open_channels)
		cfg->max_open_channels = HVSI_MAX_RELID;
	if (!cfg->max_queued_messages)
		cfg->max_queued_messages = DEFAULT_MAX_QUEUED_MESSAGES;
	if (cfg->max_offers > HVSI_MAX_RELID ||
	    cfg->max_queued_messages > LARGEST_MAX_QUEUED_MESSAGES ||
	    !cfg->monitor_page_gpa[0] != !cfg->monitor_page_gpa[1])
		return -EINVAL;
	return hvsi_alloc_setup(&cfg->alloc, &cfg->alloc);
}

int hvs_vmbus_create(const struct hvs_vmbus_config *cfg_in, struct hvs_mem *mem,
		     const struct hvs_backend_ops *ops_in, void *be, struct hvs_vmbus **out)
{
	struct hvs_vmbus_config cfg;
	struct hvs_backend_ops ops;
	struct hvs_vmbus *bus;
	int err;

	if (!mem || !out)
		return -EINVAL;
	err = HVSI_TAKE(&cfg, cfg_in, alloc);
	if (!err)
		err = HVSI_TAKE(&ops, ops_in, record);
	if (!err)
		err = check(&cfg, &ops);
	if (err)
		return err;

	bus = hvsi_alloc(&cfg.alloc, sizeof(*bus));
	if (!bus)
		return -ENOMEM;
	bus->inq = hvsi_alloc_array(&cfg.alloc, cfg.max_queued_messages, sizeof(bus->inq[0]));
	if (!bus->inq) {
		hvsi_free(&cfg.alloc, bus, sizeof(*bus));
		return -ENOMEM;
	}
	bus->cfg = cfg;
	bus->ops = ops;
	bus->be = be;
	bus->mem = mem;
	hvsi_spin_init(&bus->inq_lock);
	hvsi_spin_init(&bus->gpadls.lock);
	hvsi_list_init(&bus->outq);
	hvsi_work_init(&bus->control_work, run_control);
	hvsi_work_init(&bus->event_work, run_event);
	hvsi_worker_init(&bus->main_worker, bus, NULL);
	bus->main_worker.timer_work = &bus->control_work;
	bus->devices_end = &bus->devices;
	hvsi_conn_init(bus);
	hvsi_monitor_init(bus);
	hvsi_tl_init(bus);
	*out = bus;
	return 0;
}

int hvs_vmbus_start(struct hvs_vmbus *bus)
{
	if (!bus)
		return -EINVAL;
	if (atomic_exchange(&bus->started, true))
		return -EBUSY;
	/* Whatever was posted before may run now. */
	bus->ops.wake(bus->be, &bus->main_worker, NULL);
	for (struct hvs_worker *w = bus->workers; w; w = w->next)
		bus->ops.wake(bus->be, w, w->priv);
	return 0;
}

uint32_t hvs_vmbus_reset_count(const struct hvs_vmbus *bus)
{
	return atomic_load_explicit(&bus->resets, memory_order_relaxed);
}

bool hvs_vmbus_resetting(const struct hvs_vmbus *bus)
{
	return atomic_load_explicit(&bus->resetting, memory_order_relaxed);
}

bool hvs_vmbus_started(const struct hvs_vmbus *bus)
{
	return atomic_load(&bus->started);
}

const struct hvs_allocator *hvs_vmbus_allocator(const struct hvs_vmbus *bus)
{
	return &bus->cfg.alloc;
}

int hvs_vmbus_reset(struct hvs_vmbus *bus, hvs_done_fn done, void *arg)
{
	if (!bus)
		return -EINVAL;
	if (atomic_exchange(&bus->resetting, true))
		return -EBUSY;
	atomic_fetch_add(&bus->resets, 1);
	bus->conn.reset_done = done;
	bus->conn.reset_arg = arg;
	atomic_store(&bus->reset_wanted, true);
	hvsi_worker_post(&bus->main_worker, &bus->control_work);
	return 0;
}

void hvs_vmbus_destroy(struct hvs_vmbus *bus)
{
	struct hvs_allocator a;

	if (!bus)
		return;
	a = bus->cfg.alloc;
	if (!atomic_load(&bus->started))
		hvsi_restore_undo(bus);
	hvsi_gpadl_free_all(bus);
	while (bus->devices) {
		struct hvs_device *d = bus->devices;

		bus->devices = d->next;
		hvsi_device_free(d);
	}
	while (bus->workers) {
		struct hvs_worker *w = bus->workers;

		bus->workers = w->next;
		hvsi_free(&a, w, sizeof(*w));
	}
	hvsi_free(&a, bus->inq, bus->cfg.max_queued_messages * sizeof(bus->inq[0]));
	hvsi_free(&a, bus, sizeof(*bus));
}

/* ---- telling the embedder --------------------------------------------------------------------- */

/* Two threads that begin a second together may let a few more through. */
static bool may_report(struct hvs_vmbus *bus)
{
	uint64_t second = bus->ops.now_ns(bus->be) / 1000000000u;

	if (atomic_exchange(&bus->report_second, second) != second)
		atomic_store(&bus->report_count, 0);
	return atomic_fetch_add(&bus->report_count, 1) < REPORTS_PER_SECOND;
}

void hvsi_log(struct hvs_vmbus *bus, enum hvs_log_level level, const char *module,
	      uint32_t channel_id, const char *format, ...)
{
	char text[LOG_BYTES];
	struct hvs_log_record rec = {
		.level = level, .module = module, .channel_id = channel_id, .text = text};
	va_list ap;

	if (!bus->ops.log || level > bus->cfg.log_level || !may_report(bus))
		return;
	va_start(ap, format);
	hvsi_format(text, sizeof(text), format, ap);
	va_end(ap);
	bus->ops.log(bus->be, &rec);
}

void hvsi_fault(struct hvs_vmbus *bus, uint32_t channel_id, enum hvs_fault_code code,
		const char *where)
{
	struct hvs_guest_fault f = {.channel_id = channel_id, .code = code, .where = where};

	if (bus->ops.guest_fault && may_report(bus))
		bus->ops.guest_fault(bus->be, &f);
}

const char *hvs_fault_name(enum hvs_fault_code code)
{
	switch (code) {
	case HVS_FAULT_NONE:
		return "none";
	case HVS_FAULT_RING_INDEX:
		return "ring index";
	case HVS_FAULT_PACKET_HEADER:
		return "packet header";
	case HVS_FAULT_PACKET_TYPE:
		return "packet type";
	case HVS_FAULT_PACKET_SIZE:
		return "packet size";
	case HVS_FAULT_PACKET_RANGES:
		return "packet ranges";
	case HVS_FAULT_MESSAGE:
		return "control message";
	case HVS_FAULT_GPADL:
		return "GPADL";
	case HVS_FAULT_DEVICE:
		return "device protocol";
	}
	return "unknown";
}
