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

/* ---- guest: what its end asks of the machine -------------------------------------------------- */

static int msr_read(void *pf, uint32_t msr, uint64_t *value)
{
	return hvs_hv_msr_read(((struct hvs_loopback *)pf)->hv, 0, msr, value);
}

static int msr_write(void *pf, uint32_t msr, uint64_t value)
{
	return hvs_hv_msr_write(((struct hvs_loopback *)pf)->hv, 0, msr, value, true);
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
					  .slot_free = slot_free};
	const struct hvs_hv_config hv_cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1,
					     .hypercall_port = 0xe8, .signal_port = 0xe4,
					     .alloc = lb->cfg.alloc};
	const struct hvs_backend_ops ops = {
		HVS_BACKEND_OPS_INIT, .synic_post = synic_post, .synic_signal = synic_signal,
		.wake = wake,         .now_ns = now_ns,         .guest_fault = guest_fault};
	const struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT,
					     .vp_count = 1,
					     .max_version = lb->cfg.max_version,
					     .max_gpadls = lb->cfg.max_gpadls,
					     .max_gpadl_pages = lb->cfg.max_gpadl_pages,
					     .alloc = lb->cfg.alloc};
	int err = hvs_mem_create(&lb->cfg.alloc, &lb->mem);

	if (!err)
		err = make_ram(lb);
	if (!err)
		err = hvs_hv_create(&hv_cfg, lb->mem, &hv_ops, lb, &lb->hv);
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
		err = hvsi_copy_sized(&cfg, sizeof(cfg), cfg_in, sizeof(cfg));
	if (!err)
		err = hvsi_alloc_setup(&cfg.alloc, &cfg.alloc);
	if (!err && cfg.ram_bytes % PAGE)
		err = -EINVAL;
	if (err)
		return err;
	if (!cfg.ram_bytes)
		cfg.ram_bytes = DEFAULT_RAM;
	lb = hvsi_alloc(&cfg.alloc, sizeof(*lb));
	if (!lb)
		return -ENOMEM;
	lb->cfg = cfg;
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

void hvs_loopback_destroy(struct hvs_loopback *lb)
{
	struct hvs_allocator a;

	if (!lb)
		return;
	a = lb->cfg.alloc;
	if (lb->bus && hvs_vmbus_started(lb->bus) && hvs_vmbus_reset(lb->bus, reset_done, lb) == 0)
		while (!lb->reset_done)
			hvs_loopback_run(lb);
	hvs_guest_destroy(lb->guest);
	hvs_vmbus_destroy(lb->bus);
	hvs_hv_destroy(lb->hv);
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
