/* SPDX-License-Identifier: MIT */
/*
 * The threads of a real VMM around one bus: one runs the main worker, one the controller's
 * worker, one completes disk requests, one is the guest, and one is a VP that only makes trouble:
 * signals, messages, SynIC registers of its own.
 */
#include "support/runner.h"

#include <hvstack/guest/guest.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES (8u << 20)
#define PAGE 4096u
#define DISK_BYTES (1u << 20)
#define DEPTH 16
#define ROUNDS 200
#define OPENS 5

/* ---- the VMM ---------------------------------------------------------------------------------- */

static struct vmm {
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	struct hvs_vmbus *bus;
	struct runner main_runner;
	struct runner disk_runner;
	uint8_t *ram;
	atomic_size_t ram_used;
	atomic_bool reset_done;
	atomic_uint connection_id;
} vmm = {
	.main_runner = RUNNER_INIT,
	.disk_runner = RUNNER_INIT,
};

static int synic_post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	(void)be;
	return hvs_hv_post(vmm.hv, vp, sint, msg);
}

static void synic_signal(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	(void)be;
	hvs_hv_signal(vmm.hv, vp, sint, flag);
	hvs_hv_signal(vmm.hv, 1, sint, flag); /* the other VP's page comes and goes */
}

static void wake(void *be, struct hvs_worker *worker, void *priv)
{
	(void)be;
	(void)worker;
	runner_wake(priv ? priv : &vmm.main_runner);
}

static uint64_t now_ns(void *be)
{
	struct timespec t;

	(void)be;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)vector;
}

static uint16_t post_message(void *be, uint32_t id, uint32_t type, const void *payload, size_t len)
{
	(void)be;
	return hvs_vmbus_post_message(vmm.bus, id, type, payload, len);
}

static uint16_t signal_event(void *be, uint32_t id, uint16_t flag)
{
	(void)be;
	return hvs_vmbus_signal_event(vmm.bus, id, flag);
}

static void slot_free(void *be, uint32_t vp)
{
	(void)be;
	hvs_vmbus_slot_free(vmm.bus, vp);
}

/* ---- a disk whose requests are finished by another thread -------------------------------------- */

static struct slow_disk {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct hvs_blk_req *queue[DEPTH * 2];
	unsigned count;
	bool stop;
	uint8_t data[DISK_BYTES];
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static int disk_info(void *priv, struct hvs_blk_info *info)
{
	(void)priv;
	info->block_size = 512;
	info->physical_block_size = 512;
	info->num_blocks = DISK_BYTES / 512;
	return 0;
}

static void disk_submit(void *priv, struct hvs_blk_req *req)
{
	(void)priv;
	pthread_mutex_lock(&disk.mutex);
	disk.queue[disk.count++] = req;
	pthread_cond_signal(&disk.cond);
	pthread_mutex_unlock(&disk.mutex);
}

static const struct hvs_blk_ops disk_ops = {HVS_BLK_OPS_INIT, .get_info = disk_info,
					    .submit = disk_submit};

static void transfer(const struct hvs_blk_req *req)
{
	uint8_t *at = disk.data + req->offset;

	for (unsigned i = 0; i < req->iovcnt; i++) {
		if (req->op == HVS_BLK_READ)
			memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
		else
			memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
}

static void *disk_main(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&disk.mutex);
	while (!disk.stop || disk.count) {
		struct hvs_blk_req *req;

		if (!disk.count) {
			pthread_cond_wait(&disk.cond, &disk.mutex);
			continue;
		}
		req = disk.queue[--disk.count];
		pthread_mutex_unlock(&disk.mutex);
		transfer(req);
		hvs_blk_complete(req, HVS_BLK_OK);
		pthread_mutex_lock(&disk.mutex);
	}
	pthread_mutex_unlock(&disk.mutex);
	return NULL;
}

/* ---- the guest -------------------------------------------------------------------------------- */

static int msr_read(void *pf, uint32_t msr, uint64_t *value)
{
	(void)pf;
	return hvs_hv_msr_read(vmm.hv, 0, msr, value);
}

static int msr_write(void *pf, uint32_t msr, uint64_t value)
{
	(void)pf;
	return hvs_hv_msr_write(vmm.hv, 0, msr, value, true);
}

static uint64_t hypercall(void *pf, uint64_t input, uint64_t in, uint64_t out)
{
	(void)pf;
	return hvs_hv_hypercall(vmm.hv, 0, input, in, out);
}

static void *alloc_pages(void *pf, size_t count, uint64_t *gpa)
{
	size_t at = atomic_fetch_add(&vmm.ram_used, count * PAGE);

	(void)pf;
	if (at + count * PAGE > RAM_BYTES)
		return NULL;
	*gpa = RAM_GPA + at;
	return vmm.ram + at;
}

static void free_pages(void *pf, void *pages, size_t count)
{
	(void)pf;
	(void)pages;
	(void)count;
}

static void give_way(void *pf)
{
	(void)pf;
	sched_yield();
}

static void exchange(struct hvs_guest_channel *ch, uint8_t *buf[DEPTH], const uint64_t gpa[DEPTH],
		     unsigned round)
{
	struct hvs_guest_scsi cmd = {.cdb_len = 10, .cdb = {round % 2 ? 0x28 : 0x2a}};
	struct hvs_guest_scsi_result result;
	unsigned reaped = 0;
	uint64_t xid;

	cmd.cdb[8] = PAGE / 512;
	cmd.direction = round % 2 ? HVS_GUEST_STOR_IN : HVS_GUEST_STOR_OUT;
	cmd.buffer.len = PAGE;
	for (unsigned i = 0; i < DEPTH; i++) {
		memset(buf[i], round % 2 ? 0 : (int)(round + i), PAGE);
		cmd.cdb[5] = (uint8_t)(i * (PAGE / 512));
		cmd.buffer.gpa = gpa[i];
		if (hvs_guest_stor_submit(ch, i + 1, &cmd) != 0)
			abort();
	}
	hvs_guest_flush(ch);
	while (reaped < DEPTH) {
		int got = hvs_guest_stor_reap(ch, &xid, &result);

		assert(got >= 0);
		if (got == 0)
			sched_yield();
		else
			assert(result.srb_status == 1 && result.transferred == PAGE);
		reaped += (unsigned)got;
	}
	for (unsigned i = 0; round % 2 && i < DEPTH; i++)
		for (unsigned j = 0; j < PAGE; j++)
			assert(buf[i][j] == (uint8_t)(round - 1 + i));
}

static void guest(void)
{
	const struct hvs_guest_ops ops = {
		HVS_GUEST_OPS_INIT,     .msr_read = msr_read,       .msr_write = msr_write,
		.hypercall = hypercall, .alloc_pages = alloc_pages, .free_pages = free_pages,
		.wait = give_way};
	struct hvs_guest_channel *ch;
	struct hvs_guest *g;
	uint8_t *buf[DEPTH];
	uint64_t gpa[DEPTH];
	uint32_t max_transfer;

	if (hvs_guest_create(NULL, &ops, NULL, &g) != 0 || hvs_guest_connect(g, 0x50003) != 0 ||
	    hvs_guest_request_offers(g) != 1)
		abort();
	atomic_store(&vmm.connection_id, hvs_guest_offer_at(g, 0)->connection_id);
	for (unsigned i = 0; i < DEPTH; i++)
		buf[i] = alloc_pages(NULL, 1, &gpa[i]);
	for (unsigned n = 0; n < OPENS; n++) {
		if (hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 64 * 1024, &ch) != 0 ||
		    hvs_guest_stor_init(ch, 0x600, &max_transfer) != 0)
			abort();
		for (unsigned round = 0; round < ROUNDS; round++)
			exchange(ch, buf, gpa, round);
		if (hvs_guest_channel_close(ch) != 0)
			abort();
	}
	if (hvs_guest_unload(g) != 0)
		abort();
	hvs_guest_destroy(g);
}

/* ---- the other VP ------------------------------------------------------------------------------ */

static atomic_bool trouble_over;

static void write_msr(uint32_t msr, uint64_t value)
{
	if (hvs_hv_msr_write(vmm.hv, 1, msr, value, true) != 0)
		abort();
}

static void *trouble(void *arg)
{
	const uint8_t nonsense[16] = {200};
	uint64_t gpa;
	uint64_t value;

	(void)arg;
	if (!alloc_pages(NULL, 2, &gpa))
		abort();
	while (!atomic_load(&trouble_over)) {
		write_msr(0x40000082, gpa | 1);
		write_msr(0x40000083, (gpa + PAGE) | 1);
		write_msr(0x40000092, 0x30);
		if (hvs_hv_msr_read(vmm.hv, 1, 0x40000020, &value) != 0)
			abort();
		hvs_vmbus_signal_event(vmm.bus, atomic_load(&vmm.connection_id), 0);
		hvs_vmbus_signal_event(vmm.bus, 0x2fff, 0);
		hvs_vmbus_post_message(vmm.bus, 1, 1, nonsense, sizeof(nonsense));
		write_msr(0x40000084, 0);
		write_msr(0x40000082, 0);
		write_msr(0x40000083, 0);
		sched_yield();
	}
	return NULL;
}

/* ------------------------------------------------------------------------------------------------ */

static void reset_done(void *arg, int status)
{
	(void)arg;
	(void)status;
	atomic_store(&vmm.reset_done, true);
}

static void make_vmm(void)
{
	const struct hvs_hv_ops hv_ops = {HVS_HV_OPS_INIT,
					  .interrupt = interrupt,
					  .now_ns = now_ns,
					  .post_message = post_message,
					  .signal_event = signal_event,
					  .slot_free = slot_free};
	const struct hvs_hv_config hv_cfg = {HVS_HV_CONFIG_INIT, .vp_count = 2};
	const struct hvs_backend_ops ops = {HVS_BACKEND_OPS_INIT, .synic_post = synic_post,
					    .synic_signal = synic_signal, .wake = wake,
					    .now_ns = now_ns};
	const struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT, .vp_count = 2};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT};
	struct hvs_storvsp *ctl;

	vmm.ram = aligned_alloc(PAGE, RAM_BYTES);
	assert(vmm.ram);
	memset(vmm.ram, 0, RAM_BYTES);
	if (hvs_mem_create(NULL, &vmm.mem) != 0 ||
	    hvs_mem_add(vmm.mem, RAM_GPA, RAM_BYTES, vmm.ram, HVS_RDWR) != 0 ||
	    hvs_hv_create(&hv_cfg, vmm.mem, &hv_ops, NULL, &vmm.hv) != 0 ||
	    hvs_vmbus_create(&cfg, vmm.mem, &ops, NULL, &vmm.bus) != 0 ||
	    hvs_worker_create(vmm.bus, &vmm.disk_runner, &ctl_cfg.worker) != 0 ||
	    hvs_storvsp_create(vmm.bus, &ctl_cfg, &ctl) != 0 ||
	    hvs_storvsp_attach(ctl, &disk_cfg, &disk_ops, NULL, NULL) != 0 ||
	    hvs_vmbus_start(vmm.bus) != 0)
		abort();
	runner_start(&vmm.main_runner, hvs_vmbus_main_worker(vmm.bus));
	runner_start(&vmm.disk_runner, ctl_cfg.worker);
}

int main(void)
{
	pthread_t trouble_thread;

	make_vmm();
	if (pthread_create(&disk.thread, NULL, disk_main, NULL) != 0 ||
	    pthread_create(&trouble_thread, NULL, trouble, NULL) != 0)
		abort();
	guest();
	atomic_store(&trouble_over, true);
	pthread_join(trouble_thread, NULL);

	if (hvs_vmbus_reset(vmm.bus, reset_done, NULL) != 0)
		abort();
	while (!atomic_load(&vmm.reset_done))
		sched_yield();
	runner_join(&vmm.main_runner);
	runner_join(&vmm.disk_runner);
	pthread_mutex_lock(&disk.mutex);
	disk.stop = true;
	pthread_cond_signal(&disk.cond);
	pthread_mutex_unlock(&disk.mutex);
	pthread_join(disk.thread, NULL);
	hvs_vmbus_destroy(vmm.bus);
	hvs_hv_destroy(vmm.hv);
	hvs_mem_destroy(vmm.mem);
	free(vmm.ram);
	printf("%d commands through %d opens\n", OPENS * ROUNDS * DEPTH, OPENS);
	return 0;
}
