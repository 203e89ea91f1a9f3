/* SPDX-License-Identifier: MIT */
/*
 * The host side without KVM: plain memory, one VP, a disk. Everything that a VMM on another hypervisor
 * has to supply is here. A vCPU is played by played-vcpu.c, which calls what exits lead to.
 */
#include "minimal-vmm.h"

#include "played-vcpu.h"

#include <hvstack/hvstack.h>

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#define RAM_BYTES (8u << 20) /* from guest physical address 0 on */

struct vmm {
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	struct hvs_vmbus *bus;
	sem_t work; /* wake() was called */
	uint64_t now_ns;
	bool reset;
};

/* [backend] what VMBus asks of the VMM */
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
	(void)worker, (void)worker_priv; /* there is no other than the main worker */
	sem_post(&((struct vmm *)be)->work);
}

static uint64_t now_ns(void *be)
{
	return ((struct vmm *)be)->now_ns += 1000; /* a VMM reads a monotonic clock */
}

/* [hv] what the hypervisor interface asks of the VMM */
static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be, (void)vp, (void)sint, (void)vector; /* a VMM injects vector; our guest polls */
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

/* [create] */
static int create(struct vmm *vmm, void *ram, const struct hvs_blk_ops *ops, void *disk)
{
	const struct hvs_hv_config hv_cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1,
					     .hypercall_port = 0xe8, .signal_port = 0xe4};
	const struct hvs_hv_ops hv_ops = {HVS_HV_OPS_INIT,
					  .interrupt = interrupt,
					  .now_ns = now_ns,
					  .post_message = post_message,
					  .signal_event = signal_event,
					  .slot_free = slot_free};
	const struct hvs_vmbus_config bus_cfg = {HVS_VMBUS_CONFIG_INIT, .vp_count = 1};
	const struct hvs_backend_ops bus_ops = {HVS_BACKEND_OPS_INIT, .synic_post = synic_post,
						.synic_signal = synic_signal, .wake = wake,
						.now_ns = now_ns};
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{1}}};
	const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .disk_id = {{2}}};
	struct hvs_storvsp *ctl;
	int err = hvs_mem_create(NULL, &vmm->mem);

	if (!err)
		err = hvs_mem_add(vmm->mem, 0, RAM_BYTES, ram, HVS_RDWR);
	if (!err)
		err = hvs_hv_create(&hv_cfg, vmm->mem, &hv_ops, vmm, &vmm->hv);
	if (!err)
		err = hvs_vmbus_create(&bus_cfg, vmm->mem, &bus_ops, vmm, &vmm->bus);
	if (!err)
		err = hvs_storvsp_create(vmm->bus, &ctl_cfg, &ctl);
	if (!err)
		err = hvs_storvsp_attach(ctl, &disk_cfg, ops, disk, NULL);
	return err ? err : hvs_vmbus_start(vmm->bus);
}

/* [run] */
static void run_worker(void *arg)
{
	struct vmm *vmm = arg;

	sem_wait(&vmm->work);
	(void)hvs_worker_dispatch(hvs_vmbus_main_worker(vmm->bus), 0, NULL);
}

static void on_reset(void *arg, int status)
{
	(void)status;
	((struct vmm *)arg)->reset = true;
}

static void destroy(struct vmm *vmm)
{
	if (vmm->bus && hvs_vmbus_started(vmm->bus) &&
	    hvs_vmbus_reset(vmm->bus, on_reset, vmm) == 0)
		while (!vmm->reset)
			run_worker(vmm);
	hvs_vmbus_destroy(vmm->bus);
	hvs_hv_destroy(vmm->hv);
	hvs_mem_destroy(vmm->mem);
}
/* [end] */

int vmm_run(const struct hvs_blk_ops *ops, void *disk)
{
	struct vmm vmm = {0};
	unsigned char *ram = aligned_alloc(4096, RAM_BYTES);
	int err = -ENOMEM;

	sem_init(&vmm.work, 0, 0);
	if (ram)
		err = create(&vmm, memset(ram, 0, RAM_BYTES), ops, disk);
	if (!err)
		err = vcpu_run(vmm.hv, ram, RAM_BYTES, run_worker, &vmm);
	destroy(&vmm);
	sem_destroy(&vmm.work);
	free(ram);
	return err;
}
