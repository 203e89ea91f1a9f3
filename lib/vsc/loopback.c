/* SPDX-License-Identifier: MIT */
/* Host and guest in one process, over plain memory. */
#include "util/alloc.h"
#include "util/sized.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <errno.h>
#include <string.h>

#define PAGE 4096u
#define RAM_GPA 0x100000u
#define DEFAULT_RAM (16u << 20)
#define MAX_WORKERS 16u
#define TICK_NS 2000000u /* time passes only when there is nothing to do */
#define MSRS (HVS_HV_MSR_LAST - HVS_HV_MSR_FIRST + 1)
#define MSR_TIME_REF_COUNT 0x40000020u
#define MSR_SCONTROL 0x40000080u
#define MSR_SIEFP 0x40000082u
#define MSR_SIMP 0x40000083u
#define MSR_EOM 0x40000084u

struct hvs_loopback {
	struct hvs_loopback_config cfg;
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	struct hvs_vmbus *bus;
	struct hvs_guest *guest;
	uint8_t *ram;      /* as allocated */
	uint8_t *ram_page; /* aligned */
	uint8_t *used;     /* a byte a page */
	size_t pages;
	size_t first_free; /* no page before it is */
	uint64_t now_ns;
	bool reset_done;
	struct hvs_worker *workers[MAX_WORKERS]; /* that were ever woken */
	size_t worker_count;
	struct hvs_loopback_counters counters;
	uint64_t msr[MSRS]; /* with HVS_LOOPBACK_EXTERNAL_SINTS */
};

/* ---- host: what VMBus and the hypervisor interface ask of a VMM ------------------------------- */

static int synic_post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	return hvs_hv_post(((struct hvs_loopback *)be)->hv, vp, sint, msg);
}

static void synic_signal(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	hvs_hv_signal(((struct hvs_loopback *)be)->hv, vp, sint, flag);
}

static void wake(void *be, struct hvs_worker *worker, void *worker_priv)
{
	struct hvs_loopback *lb = be;
	size_t i = 0;

	(void)worker_priv;
	lb->counters.wakes++;
	while (i < lb->worker_count && lb->workers[i] != worker)
		i++;
	if (i == lb->worker_count && i < MAX_WORKERS)
		lb->workers[lb->worker_count++] = worker;
}

static uint64_t now_ns(void *be)
{
	return ((struct hvs_loopback *)be)->now_ns;
}

static void guest_fault(void *be, const struct hvs_guest_fault *fault)
{
	struct hvs_loopback *lb = be;

	lb->counters.faults++;
	lb->counters.last_fault = fault->code;
}

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)vp;
	(void)sint;
	(void)vector;
	((struct hvs_loopback *)be)->counters.interrupts++;
}

static uint16_t post_message(void *be, uint32_t connection_id, uint32_t message_type,
			     const void *payload, size_t len)
{
	return hvs_vmbus_post_message(((struct hvs_loopback *)be)->bus, connection_id, message_type,
				      payload, len);
}

static uint16_t signal_event(void *be, uint32_t connection_id, uint16_t flag)
{
	return hvs_vmbus_signal_event(((struct hvs_loopback *)be)->bus, connection_id, flag);
}

static void slot_free(void *be, uint32_t vp)
{
	struct hvs_loopback *lb = be;

	if (lb->bus)
		hvs_vmbus_slot_free(lb->bus, vp);
}

static int get_register(void *be, uint32_t vp, uint32_t msr, uint64_t *value)
{
	struct hvs_loopback *lb = be;

	(void)vp;
	if (msr == MSR_TIME_REF_COUNT)
		return -ENOENT; /* the machine's clock goes on */
	*value = lb->msr[msr - HVS_HV_MSR_FIRST];
	return 0;
}

static int set_register(void *be, uint32_t vp, uint32_t msr, uint64_t value)
{
	struct hvs_loopback *lb = be;

	(void)vp;
	lb->msr[msr - HVS_HV_MSR_FIRST] = value;
	return 0;
}

void hvs_loopback_step(struct hvs_loopback *lb, unsigned budget)
{
	(void)hvs_worker_dispatch(hvs_vmbus_main_worker(lb->bus), budget, NULL);
	for (size_t i = 0; i < lb->worker_count; i++)
		(void)hvs_worker_dispatch(lb->workers[i], budget, NULL);
}

void hvs_loopback_run(struct hvs_loopback *lb)
{
	uint64_t wakes;

	do {
		wakes = lb->counters.wakes;
		(void)hvs_worker_dispatch(hvs_vmbus_main_worker(lb->bus), 0, NULL);
		for (size_t i = 0; i < lb->worker_count; i++)
			(void)hvs_worker_dispatch(lb->workers[i], 0, NULL);
	} while (lb->counters.wakes != wakes);
}

void hvs_loopback_advance(struct hvs_loopback *lb, uint64_t ns)
{
	lb->now_ns += ns;
}

/* ---- guest: what its end asks of the machine -------------------------------------------------- */

static bool external(const struct hvs_loopback *lb)
{
	return lb->cfg.flags & HVS_LOOPBACK_EXTERNAL_SINTS;
}

static int msr_read(void *pf, uint32_t msr, uint64_t *value)
{
	struct hvs_loopback *lb = pf;

	return external(lb) ? get_register(lb, 0, msr, value)
			    : hvs_hv_msr_read(lb->hv, 0, msr, value);
}

/* What a hypervisor with a SynIC of its own does, as far as we are concerned. */
static int external_msr_write(struct hvs_loopback *lb, uint32_t msr, uint64_t value)
{
	const uint64_t *reg = lb->msr;

	(void)set_register(lb, 0, msr, value);
	switch (msr) {
	case MSR_EOM:
		slot_free(lb, 0);
		return 0;
	case MSR_SCONTROL:
	case MSR_SIEFP:
	case MSR_SIMP:
		return hvs_hv_synic_update(lb->hv, 0, reg[MSR_SCONTROL - HVS_HV_MSR_FIRST],
					   reg[MSR_SIEFP - HVS_HV_MSR_FIRST],
					   reg[MSR_SIMP - HVS_HV_MSR_FIRST]);
	default:
		return 0;
	}
}

static int msr_write(void *pf, uint32_t msr, uint64_t value)
{
	struct hvs_loopback *lb = pf;

	if (!lb->hv)
		return -EIO; /* it could not be replaced */
	return external(lb) ? external_msr_write(lb, msr, value)
			    : hvs_hv_msr_write(lb->hv, 0, msr, value, true);
}

static uint64_t hypercall(void *pf, uint64_t input, uint64_t param_in, uint64_t param_out)
{
	struct hvs_loopback *lb = pf;

	lb->counters.hypercalls++;
	return hvs_hv_hypercall(lb->hv, 0, input, param_in, param_out);
}

void *hvs_loopback_alloc_pages(struct hvs_loopback *lb, size_t count, uint64_t *gpa)
{
	size_t run = 0;

	while (lb->first_free < lb->pages && lb->used[lb->first_free])
		lb->first_free++;
	for (size_t i = lb->first_free; i < lb->pages; i++) {
		run = lb->used[i] ? 0 : run + 1;
		if (run < count)
			continue;
		i -= count - 1;
		memset(lb->used + i, 1, count);
		memset(lb->ram_page + i * PAGE, 0, count * PAGE);
		*gpa = RAM_GPA + i * PAGE;
		return lb->ram_page + i * PAGE;
	}
	return NULL;
}

void hvs_loopback_free_pages(struct hvs_loopback *lb, void *pages, size_t count)
{
	size_t first = (size_t)((uint8_t *)pages - lb->ram_page) / PAGE;

	memset(lb->used + first, 0, count);
	if (first < lb->first_free)
		lb->first_free = first;
}

static void *alloc_pages(void *pf, size_t count, uint64_t *gpa)
{
	return hvs_loopback_alloc_pages(pf, count, gpa);
}

static void free_pages(void *pf, void *pages, size_t count)
{
	hvs_loopback_free_pages(pf, pages, count);
}

static void wait_for_host(void *pf)
{
	struct hvs_loopback *lb = pf;

	lb->now_ns += TICK_NS;
	if (lb->cfg.on_wait)
		lb->cfg.on_wait(lb->cfg.arg, lb);
	else
		hvs_loopback_run(lb);
}

/* ---- life cycle ------------------------------------------------------------------------------- */

static int make_ram(struct hvs_loopback *lb)
{
	size_t len = lb->cfg.ram_bytes;

	lb->pages = len / PAGE;
	lb->ram = hvsi_alloc(&lb->cfg.alloc, len + PAGE);
	lb->used = hvsi_alloc(&lb->cfg.alloc, lb->pages);
	if (!lb->ram || !lb->used)
		return -ENOMEM;
	lb->ram_page = lb->ram + (-(uintptr_t)lb->ram & (PAGE - 1));
	return hvs_mem_add(lb->mem, RAM_GPA, len, lb->ram_page, HVS_RDWR);
}

static int make_host(struct hvs_loopback *lb)
{
	const struct hvs_hv_ops hv_ops = {HVS_HV_OPS_INIT,
					  .interrupt = interrupt,
					  .now_ns = now_ns,
					  .post_message = post_message,
					  .signal_event = signal_event,
					  .slot_free = slot_free,
					  .get_register = get_register,
					  .set_register = set_register};
	const struct hvs_hv_config hv_cfg = {
		HVS_HV_CONFIG_INIT,  .flags = external(lb) ? HVS_HV_EXTERNAL_SINTS : 0,
		.vp_count = 1,       .hypercall_port = 0xe8,
		.signal_port = 0xe4, .alloc = lb->cfg.alloc};
	const struct hvs_backend_ops ops = {
		HVS_BACKEND_OPS_INIT, .synic_post = synic_post, .synic_signal = synic_signal,
		.wake = wake,         .now_ns = now_ns,         .guest_fault = guest_fault};
	const struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT,
					     .vp_count = 1,
					     .max_version = lb->cfg.max_version,
					     .max_gpadls = lb->cfg.max_gpadls,
					     .max_gpadl_pages = lb->cfg.max_gpadl_pages,
					     .alloc = lb->cfg.alloc};
	int err = hvs_hv_create(&hv_cfg, lb->mem, &hv_ops, lb, &lb->hv);

	if (!err)
		err = hvs_vmbus_create(&cfg, lb->mem, &ops, lb, &lb->bus);
	return err;
}

int hvs_loopback_create(const struct hvs_loopback_config *cfg_in, struct hvs_loopback **out)
{
	struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT};
	struct hvs_loopback *lb;
	int err = 0;

	if (!out)
		return -EINVAL;
	if (cfg_in)
		err = HVSI_TAKE(&cfg, cfg_in, arg);
	if (!err)
		err = hvsi_alloc_setup(&cfg.alloc, &cfg.alloc);
	if (!err && (cfg.ram_bytes % PAGE || cfg.flags & ~HVS_LOOPBACK_EXTERNAL_SINTS))
		err = -EINVAL;
	if (err)
		return err;
	if (!cfg.ram_bytes)
		cfg.ram_bytes = DEFAULT_RAM;
	lb = hvsi_alloc(&cfg.alloc, sizeof(*lb));
	if (!lb)
		return -ENOMEM;
	lb->cfg = cfg;
	lb->msr[MSR_SCONTROL - HVS_HV_MSR_FIRST] = 1;
	err = hvs_mem_create(&lb->cfg.alloc, &lb->mem);
	if (!err)
		err = make_ram(lb);
	if (!err)
		err = make_host(lb);
	if (err) {
		hvs_loopback_destroy(lb);
		return err;
	}
	*out = lb;
	return 0;
}

int hvs_loopback_start(struct hvs_loopback *lb, struct hvs_guest **out)
{
	const struct hvs_guest_ops ops = {HVS_GUEST_OPS_INIT,         .msr_read = msr_read,
					  .msr_write = msr_write,     .hypercall = hypercall,
					  .alloc_pages = alloc_pages, .free_pages = free_pages,
					  .wait = wait_for_host};
	int err = hvs_vmbus_start(lb->bus);

	if (!err)
		err = hvs_guest_create(&lb->cfg.alloc, &ops, lb, &lb->guest);
	if (!err)
		*out = lb->guest;
	return err;
}

static void reset_done(void *arg, int status)
{
	(void)status;
	((struct hvs_loopback *)arg)->reset_done = true;
}

/* Everything is given back; the guest's memory stays as it is. */
static void reset_host(struct hvs_loopback *lb)
{
	lb->reset_done = false;
	if (lb->bus && hvs_vmbus_started(lb->bus) && hvs_vmbus_reset(lb->bus, reset_done, lb) == 0)
		while (!lb->reset_done)
			hvs_loopback_run(lb);
}

static void free_host(struct hvs_loopback *lb)
{
	hvs_vmbus_destroy(lb->bus);
	hvs_hv_destroy(lb->hv);
	lb->bus = NULL;
	lb->hv = NULL;
	lb->worker_count = 0;
}

/* ---- another host ----------------------------------------------------------------------------- */

struct blob {
	const struct hvs_allocator *alloc;
	uint8_t *bytes;
	size_t len;
	size_t room;
};

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	if (len > b->room - b->len) {
		size_t room = (b->len + len) * 2;
		uint8_t *more = hvsi_alloc(b->alloc, room);

		if (!more)
			return -ENOMEM;
		if (b->len)
			memcpy(more, b->bytes, b->len);
		hvsi_free(b->alloc, b->bytes, b->room);
		b->bytes = more;
		b->room = room;
	}
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

static int rebuild(struct hvs_loopback *lb, uint32_t flags,
		   int (*offer)(void *arg, struct hvs_vmbus *bus), void *arg,
		   const struct blob *hv_state, const struct blob *bus_state)
{
	int err;

	reset_host(lb);
	free_host(lb);
	lb->cfg.flags = flags;
	err = make_host(lb);
	if (!err)
		err = offer(arg, lb->bus);
	if (!err)
		err = hvs_hv_restore(lb->hv, hv_state->bytes, hv_state->len);
	if (!err)
		err = hvs_vmbus_restore(lb->bus, bus_state->bytes, bus_state->len);
	if (!err)
		err = hvs_vmbus_start(lb->bus);
	return err;
}

int hvs_loopback_replace_host(struct hvs_loopback *lb, uint32_t flags,
			      int (*offer)(void *arg, struct hvs_vmbus *bus), void *arg)
{
	struct blob hv_state = {.alloc = &lb->cfg.alloc};
	struct blob bus_state = {.alloc = &lb->cfg.alloc};
	int err = hvs_hv_save(lb->hv, append, &hv_state);

	if (!err)
		err = hvs_vmbus_save(lb->bus, append, &bus_state);
	if (!err)
		err = rebuild(lb, flags, offer, arg, &hv_state, &bus_state);
	hvsi_free(&lb->cfg.alloc, hv_state.bytes, hv_state.room);
	hvsi_free(&lb->cfg.alloc, bus_state.bytes, bus_state.room);
	return err;
}

void hvs_loopback_destroy(struct hvs_loopback *lb)
{
	struct hvs_allocator a;

	if (!lb)
		return;
	a = lb->cfg.alloc;
	reset_host(lb);
	hvs_guest_destroy(lb->guest);
	free_host(lb);
	hvs_mem_destroy(lb->mem);
	hvsi_free(&a, lb->used, lb->pages);
	hvsi_free(&a, lb->ram, lb->cfg.ram_bytes + PAGE);
	hvsi_free(&a, lb, sizeof(*lb));
}

struct hvs_vmbus *hvs_loopback_bus(struct hvs_loopback *lb)
{
	return lb->bus;
}

struct hvs_mem *hvs_loopback_mem(struct hvs_loopback *lb)
{
	return lb->mem;
}

struct hvs_hv *hvs_loopback_hv(struct hvs_loopback *lb)
{
	return lb->hv;
}

const struct hvs_loopback_counters *hvs_loopback_count(const struct hvs_loopback *lb)
{
	return &lb->counters;
}
