/* SPDX-License-Identifier: MIT */
/*
 * The host side without KVM: plain memory, one VP, one disk. Everything that a VMM on another
 * hypervisor supplies is here; where its vCPU would exit, the guest end of libhvstack-guest calls.
 */
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_BYTES (8u << 20) /* from guest physical address 0 on */

struct vmm {
	unsigned char *ram;
	size_t used; /* bytes of it that the guest has allocated */
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	struct hvs_vmbus *bus;
	uint64_t now_ns;
	bool reset;
};

static int must(int err, const char *what)
{
	if (err < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-err));
		exit(1);
	}
	return err;
}

/* [backend] What VMBus asks of the VMM: hvs_backend_ops. */
static int synic_post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	return hvs_hv_post(((struct vmm *)be)->hv, vp, sint, msg);
}

static void synic_signal(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	hvs_hv_signal(((struct vmm *)be)->hv, vp, sint, flag);
}

static void wake(void *be, struct hvs_worker *worker, void *worker_priv)
{
	(void)be, (void)worker, (void)worker_priv; /* a VMM wakes the worker's thread */
}

static uint64_t now_ns(void *be)
{
	return ((struct vmm *)be)->now_ns += 1000; /* a VMM reads a monotonic clock */
}

/* [hv] What the hypervisor interface asks of the VMM: hvs_hv_ops. */
static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be, (void)vp, (void)sint, (void)vector; /* a VMM injects vector; this guest polls */
}

static uint16_t post_message(void *be, uint32_t id, uint32_t type, const void *payload, size_t len)
{
	return hvs_vmbus_post_message(((struct vmm *)be)->bus, id, type, payload, len);
}

static uint16_t signal_event(void *be, uint32_t id, uint16_t flag)
{
	return hvs_vmbus_signal_event(((struct vmm *)be)->bus, id, flag);
}

static void slot_free(void *be, uint32_t vp)
{
	hvs_vmbus_slot_free(((struct vmm *)be)->bus, vp);
}
/* [end] */

/* The guest: what would be exits of a vCPU. */
static int rdmsr(void *pf, uint32_t msr, uint64_t *value)
{
	return hvs_hv_msr_read(((struct vmm *)pf)->hv, 0, msr, value);
}

static int wrmsr(void *pf, uint32_t msr, uint64_t value)
{
	return hvs_hv_msr_write(((struct vmm *)pf)->hv, 0, msr, value, true);
}

static uint64_t hypercall(void *pf, uint64_t input, uint64_t in, uint64_t out)
{
	return hvs_hv_hypercall(((struct vmm *)pf)->hv, 0, input, in, out);
}

static void *alloc_pages(void *pf, size_t count, uint64_t *gpa)
{
	struct vmm *vmm = pf;

	if (count > (RAM_BYTES - vmm->used) / 4096)
		return NULL;
	*gpa = vmm->used;
	vmm->used += count * 4096;
	return vmm->ram + *gpa;
}

static void free_pages(void *pf, void *pages, size_t count)
{
	(void)pf, (void)pages, (void)count;
}

static void run_worker(void *pf) /* the guest waits: now this thread is the I/O thread */
{
	(void)hvs_worker_dispatch(hvs_vmbus_main_worker(((struct vmm *)pf)->bus), 0, NULL);
}

