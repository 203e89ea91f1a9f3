/* SPDX-License-Identifier: MIT */
/*
 * A storage controller as a big machine has it: four channels on workers of their own, disks whose
 * requests end on further threads, and an administrator who takes disks away and puts them back,
 * while the guest reads, writes, compares, resets and closes. Each command ends exactly once, and
 * what the disks hold is what the guest was told.
 */
#include "support/rng.h"
#include "support/runner.h"
#include "vsp/storage/proto.h"

#include <hvstack/guest/guest.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES (8u << 20)
#define PAGE 4096u
#define DISKS 3u
#define CHANNELS 4u
#define SLOTS 48u
#define REGION 8u /* blocks of a slot, on each disk */
#define BYTES (REGION * 512u)
#define LOCK_LBA (SLOTS * REGION)
#define BLOCKS (LOCK_LBA + 1)
#define SESSIONS 4u
#define COMMANDS 4000u /* of a session */

/* ---- the VMM ---------------------------------------------------------------------------------- */

static struct vmm {
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	struct hvs_vmbus *bus;
	struct hvs_storvsp *ctl;
	struct runner main_runner;
	struct runner runner[CHANNELS];
	uint8_t *ram;
	size_t ram_used;
	atomic_bool reset_done;
} vmm = {.main_runner = RUNNER_INIT,
	 .runner = {RUNNER_INIT, RUNNER_INIT, RUNNER_INIT, RUNNER_INIT}};

static int synic_post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	(void)be;
	return hvs_hv_post(vmm.hv, vp, sint, msg);
}

static void synic_signal(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	(void)be;
	hvs_hv_signal(vmm.hv, vp, sint, flag);
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

static void guest_fault(void *be, const struct hvs_guest_fault *fault)
{
	(void)be;
	(void)fault;
	abort();
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

/* ---- disks with threads ----------------------------------------------------------------------- */

static struct disk {
	struct hvs_disk *disk;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct hvs_blk_req *queue[SLOTS + 8];
	unsigned count;
	bool stop;
	atomic_uint busy; /* requests that the thread is just doing */
	atomic_bool gone;
	uint8_t data[BLOCKS * 512];
} disks[DISKS];

static int disk_info(void *priv, struct hvs_blk_info *info)
{
	(void)priv;
	info->flags = HVS_BLK_INFO_WRITE_BACK;
	info->block_size = info->physical_block_size = 512;
	info->num_blocks = BLOCKS;
	info->max_queues = HVS_BLK_ANY_QUEUE;
	return 0;
}

static void disk_submit(void *priv, struct hvs_blk_req *req)
{
	struct disk *d = priv;

	assert(!atomic_load(&d->gone) && req->queue < CHANNELS);
	pthread_mutex_lock(&d->mutex);
	assert(d->count < SLOTS + 8);
	d->queue[d->count++] = req;
	pthread_cond_signal(&d->cond);
	pthread_mutex_unlock(&d->mutex);
}

static void disk_cancel(void *priv, struct hvs_blk_req *req)
{
	struct disk *d = priv;
	bool found = false;

	assert(!atomic_load(&d->gone));
	pthread_mutex_lock(&d->mutex);
	for (unsigned i = 0; i < d->count && !found; i++)
		if (d->queue[i] == req) {
			d->queue[i] = d->queue[--d->count];
			found = true;
		}
	pthread_mutex_unlock(&d->mutex);
	if (found)
		hvs_blk_complete(req, HVS_BLK_ABORTED);
}

static const struct hvs_blk_ops disk_ops = {HVS_BLK_OPS_INIT, .get_info = disk_info,
					    .submit = disk_submit, .cancel = disk_cancel};

static void transfer(struct disk *d, const struct hvs_blk_req *req)
{
	uint8_t *at = d->data + req->offset;

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
	struct disk *d = arg;
	unsigned n = 0;

	pthread_mutex_lock(&d->mutex);
	while (!d->stop || d->count) {
		struct hvs_blk_req *req;

		if (!d->count) {
			pthread_cond_wait(&d->cond, &d->mutex);
			continue;
		}
		req = d->queue[n % d->count];
		d->queue[n % d->count] = d->queue[d->count - 1];
		d->count--;
		atomic_fetch_add(&d->busy, 1);
		pthread_mutex_unlock(&d->mutex);
		if (n++ % 16 == 0)
			sched_yield(); /* let some pile up */
		transfer(d, req);
		atomic_fetch_sub(&d->busy, 1);
		hvs_blk_complete(req, HVS_BLK_OK);
		pthread_mutex_lock(&d->mutex);
	}
	pthread_mutex_unlock(&d->mutex);
	return NULL;
}

/* ---- the administrator ------------------------------------------------------------------------ */

static atomic_bool admin_over;
static unsigned removals;

static void put(unsigned i)
{
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = (uint8_t)i};

	atomic_store(&disks[i].gone, false);
	if (hvs_storvsp_attach(vmm.ctl, &cfg, &disk_ops, &disks[i], &disks[i].disk) != 0)
		abort();
}

static void has_left(void *arg, int status)
{
	struct disk *d = arg;

	assert(status == 0 && d->count == 0 && atomic_load(&d->busy) == 0);
	atomic_store(&d->gone, true);
}

static void *admin_main(void *arg)
{
	struct rng rng = {4711};

	(void)arg;
	while (!atomic_load(&admin_over)) {
		unsigned i = rng_below(&rng, DISKS);

		for (unsigned wait = 0; wait < 200; wait++)
			sched_yield();
		if (rng_below(&rng, 4) == 0) {
			if (hvs_disk_refresh(disks[i].disk) != 0)
				abort();
			continue;
		}
		if (hvs_disk_remove(disks[i].disk, has_left, &disks[i]) != 0)
			abort();
		while (!atomic_load(&disks[i].gone))
			sched_yield();
		removals++;
		put(i);
	}
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
	size_t at = vmm.ram_used;

	(void)pf;
	if (count * PAGE > RAM_BYTES - at)
		return NULL;
	vmm.ram_used += count * PAGE;
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

enum kind { NOTHING, READ, WRITE, COMPARE_AND_WRITE, LOCK, LOCK_READ, FLUSH, RESET };

static struct guest {
	struct rng rng;
	struct hvs_guest *g;
	struct hvs_guest_channel *ch[CHANNELS];
	uint8_t *buf; /* two pages a slot */
	uint64_t gpa;
	uint64_t xid;
	struct slot {
		enum kind kind;
		unsigned disk;
		unsigned channel;
		uint64_t xid;
		uint8_t fill;
	} slot[SLOTS];
	uint8_t model[DISKS][SLOTS];
	bool known[DISKS][SLOTS];
	struct lock {
		unsigned in_flight;
		bool known;
		bool taken;
		bool unsure; /* maybe */
		uint32_t value;
	} lock[DISKS];
	unsigned good;
	unsigned aborted;
	unsigned absent;
} guest = {.rng = {99}};

static uint8_t *data_of(unsigned n)
{
	return guest.buf + (size_t)n * 2 * PAGE;
}

static struct hvsi_vstor_packet srb(unsigned disk, uint8_t cdb_len, uint8_t data_in, uint32_t len)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_EXECUTE_SRB),
				      .flags = hvsi_le32(1)};

	p.u.srb.lun = (uint8_t)disk;
	p.u.srb.cdb_len = cdb_len;
	p.u.srb.data_in = data_in;
	p.u.srb.transfer_len = hvsi_le32(len);
	p.u.srb.timeout_s = hvsi_le32(60);
	return p;
}

static struct hvsi_vstor_packet rw(unsigned disk, bool write, uint32_t lba, uint8_t blocks)
{
	struct hvsi_vstor_packet p =
		srb(disk, 10, write ? HVSI_DATA_OUT : HVSI_DATA_IN, blocks * 512u);
	uint8_t *cdb = p.u.srb.cdb_or_sense;

	cdb[0] = write ? 0x2a : 0x28;
	cdb[1] = write && lba % 16 == 0 ? 0x08 : 0; /* FUA: two steps */
	hvsi_put_be32(cdb + 2, lba);
	cdb[8] = blocks;
	return p;
}

static struct hvsi_vstor_packet compare_and_write(unsigned disk, uint32_t lba, uint8_t blocks)
{
	struct hvsi_vstor_packet p = srb(disk, 16, HVSI_DATA_OUT, blocks * 1024u);

	p.u.srb.cdb_or_sense[0] = 0x89;
	hvsi_put_be32(p.u.srb.cdb_or_sense + 6, lba);
	p.u.srb.cdb_or_sense[13] = blocks;
	return p;
}

static struct hvsi_vstor_packet lock_command(unsigned n)
{
	struct slot *s = &guest.slot[n];
	struct lock *l = &guest.lock[s->disk];
	uint32_t token = (uint32_t)guest.xid + 1;

	if (!l->known) {
		s->kind = LOCK_READ;
		return rw(s->disk, false, LOCK_LBA, 1);
	}
	s->kind = LOCK;
	memset(data_of(n), 0, 1024);
	memcpy(data_of(n), &l->value, 4);
	memcpy(data_of(n) + 512, &token, 4);
	return compare_and_write(s->disk, LOCK_LBA, 1);
}

static struct hvsi_vstor_packet command(unsigned n)
{
	struct slot *s = &guest.slot[n];
	const struct lock *l;
	uint32_t what = rng_below(&guest.rng, 200);
	struct hvsi_vstor_packet p;

	s->disk = rng_below(&guest.rng, DISKS);
	s->fill = (uint8_t)rng_next(&guest.rng);
	l = &guest.lock[s->disk];
	if (what < 2) {
		s->kind = RESET;
		p = (struct hvsi_vstor_packet){.operation = hvsi_le32(4 + s->fill % 3)};
		p.u.srb.lun = (uint8_t)s->disk;
		return p;
	}
	if (what < 10) {
		s->kind = FLUSH;
		p = srb(s->disk, 10, HVSI_DATA_NONE, 0);
		p.u.srb.cdb_or_sense[0] = 0x35;
		return p;
	}
	if (what < 40 &&
	    !(l->known ? l->taken || l->unsure || l->in_flight >= 4 : l->in_flight != 0))
		return lock_command(n);
	memset(data_of(n), s->fill, BYTES);
	if (what < 70 && guest.known[s->disk][n]) {
		s->kind = COMPARE_AND_WRITE;
		memset(data_of(n), guest.model[s->disk][n], BYTES);
		memset(data_of(n) + BYTES, s->fill, BYTES);
		return compare_and_write(s->disk, n * REGION, REGION);
	}
	s->kind = what < 140 && guest.known[s->disk][n] ? READ : WRITE;
	return rw(s->disk, s->kind == WRITE, n * REGION, REGION);
}

static void begin(unsigned n)
{
	struct hvsi_vstor_packet p = command(n);
	struct slot *s = &guest.slot[n];
	struct iovec iov = {&p, sizeof(p)};
	struct hvs_guest_buffer buffer = {.gpa = guest.gpa + (uint64_t)n * 2 * PAGE};

	if (s->kind != RESET)
		buffer.len = hvsi_get32(p.u.srb.transfer_len);
	s->channel = rng_below(&guest.rng, CHANNELS);
	s->xid = ++guest.xid;
	if (hvs_guest_send(guest.ch[s->channel], s->xid, true, &buffer, &iov, 1) != 0) {
		s->kind = NOTHING;
		return;
	}
	hvs_guest_flush(guest.ch[s->channel]);
	if (s->kind == LOCK || s->kind == LOCK_READ)
		guest.lock[s->disk].in_flight++;
}

/* Only one command may find the block as it was. */
static void lock_ended(unsigned n, bool good, bool miscompare)
{
	const struct slot *s = &guest.slot[n];
	struct lock *l = &guest.lock[s->disk];

	l->in_flight--;
	if (s->kind == LOCK_READ) {
		if (good) {
			*l = (struct lock){.known = true};
			memcpy(&l->value, data_of(n), 4);
		}
		return;
	}
	assert(!good || !l->taken);
	l->taken = l->taken || good;
	l->unsure = l->unsure || !(good || miscompare);
	if ((l->taken || l->unsure) && !l->in_flight)
		*l = (struct lock){0};
}

static void srb_ended(unsigned n, const struct hvsi_vstor_packet *p)
{
	const struct slot *s = &guest.slot[n];
	const uint8_t *sense = p->u.srb.cdb_or_sense;
	uint8_t status = p->u.srb.srb_status;
	bool good = status == HVSI_SRB_SUCCESS;
	bool miscompare = status == 0x84 && sense[2] == 0x0e;

	assert(good || miscompare || status == 0x82 || status == HVSI_SRB_INVALID_LUN ||
	       (status == 0x84 && sense[2] == 6));
	guest.good += good;
	guest.aborted += status == 0x82;
	guest.absent += status == HVSI_SRB_INVALID_LUN;
	if (s->kind == LOCK || s->kind == LOCK_READ) {
		lock_ended(n, good, miscompare);
		return;
	}
	assert(!miscompare);
	for (unsigned i = 0; s->kind == READ && good && i < BYTES; i++)
		assert(data_of(n)[i] == guest.model[s->disk][n]);
	if (s->kind == WRITE || s->kind == COMPARE_AND_WRITE) {
		guest.known[s->disk][n] = good;
		guest.model[s->disk][n] = s->fill;
	}
}

/* Returns how many commands have ended. */
static unsigned take_answers(void)
{
	struct hvs_guest_packet pkt;
	unsigned ended = 0;

	for (unsigned i = 0; i < CHANNELS; i++) {
		while (hvs_guest_recv(guest.ch[i], &pkt) == 1) {
			struct hvsi_vstor_packet p;
			unsigned n = 0;

			assert(pkt.len == sizeof(p));
			memcpy(&p, pkt.data, sizeof(p));
			if (pkt.type == HVS_PACKET_INBAND)
				continue; /* ENUMERATE_BUS */
			while (n < SLOTS &&
			       (guest.slot[n].kind == NOTHING || guest.slot[n].xid != pkt.xid))
				n++;
			assert(n < SLOTS && guest.slot[n].channel == i);
			if (guest.slot[n].kind == RESET)
				assert(hvsi_get32(p.status) == 0);
			else
				srb_ended(n, &p);
			guest.slot[n].kind = NOTHING;
			ended++;
		}
		hvs_guest_flush(guest.ch[i]);
	}
	return ended;
}

static void open_channel(unsigned i)
{
	if (hvs_guest_channel_open(guest.g, hvs_guest_offer_at(guest.g, i), 8192, &guest.ch[i]) !=
	    0)
		abort();
}

static void open_all(void)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_CREATE_SUB_CHANNELS)};
	struct iovec iov = {&p, sizeof(p)};
	struct hvs_guest_packet pkt;
	uint32_t max_transfer;

	if (hvs_guest_connect(guest.g, 0x50003) != 0 || hvs_guest_request_offers(guest.g) != 1)
		abort();
	open_channel(0);
	if (hvs_guest_stor_init(guest.ch[0], 0x602, &max_transfer) != 0)
		abort();
	p.u.subchannel_count = hvsi_le16(CHANNELS - 1);
	if (hvs_guest_send(guest.ch[0], 1, true, NULL, &iov, 1) != 0)
		abort();
	do
		if (hvs_guest_recv_wait(guest.ch[0], &pkt) != 1)
			abort();
	while (pkt.type != HVS_PACKET_COMPLETION);
	while (!hvs_guest_offer_at(guest.g, CHANNELS - 1)) {
		(void)hvs_guest_channel_events(guest.ch[0]); /* takes messages */
		sched_yield();
	}
	for (unsigned i = 1; i < CHANNELS; i++)
		open_channel(i);
}

/* With what is in flight: nobody answers that, and whether it is done nobody knows. */
static void close_all(void)
{
	for (unsigned i = CHANNELS; i-- > 0;)
		if (hvs_guest_channel_close(guest.ch[i]) != 0)
			abort();
	if (hvs_guest_unload(guest.g) != 0)
		abort();
	for (unsigned n = 0; n < SLOTS; n++) {
		struct slot *s = &guest.slot[n];

		if (s->kind == WRITE || s->kind == COMPARE_AND_WRITE)
			guest.known[s->disk][n] = false;
		s->kind = NOTHING;
	}
	memset(guest.lock, 0, sizeof(guest.lock));
}

static void session(bool wait)
{
	unsigned ended = 0;
	bool idle = false;

	open_all();
	while (ended < COMMANDS || (wait && !idle)) {
		idle = true;
		for (unsigned n = 0; n < SLOTS; n++) {
			if (guest.slot[n].kind == NOTHING && ended < COMMANDS)
				begin(n);
			idle = idle && guest.slot[n].kind == NOTHING;
		}
		ended += take_answers();
		sched_yield();
	}
	close_all();
}

static void run_guest(void)
{
	const struct hvs_guest_ops ops = {
		HVS_GUEST_OPS_INIT,     .msr_read = msr_read,       .msr_write = msr_write,
		.hypercall = hypercall, .alloc_pages = alloc_pages, .free_pages = free_pages,
		.wait = give_way};

	if (hvs_guest_create(NULL, &ops, NULL, &guest.g) != 0)
		abort();
	guest.buf = alloc_pages(NULL, (size_t)SLOTS * 2, &guest.gpa);
	assert(guest.buf);
	for (unsigned i = 0; i < SESSIONS; i++)
		session(i % 2);
	hvs_guest_destroy(guest.g);
	for (unsigned d = 0; d < DISKS; d++)
		for (unsigned n = 0; n < SLOTS; n++)
			for (unsigned i = 0; guest.known[d][n] && i < BYTES; i++)
				assert(disks[d].data[n * BYTES + i] == guest.model[d][n]);
}

/* ------------------------------------------------------------------------------------------------ */

static void make_bus(void)
{
	const struct hvs_hv_ops hv_ops = {HVS_HV_OPS_INIT,
					  .interrupt = interrupt,
					  .now_ns = now_ns,
					  .post_message = post_message,
					  .signal_event = signal_event,
					  .slot_free = slot_free};
	const struct hvs_hv_config hv_cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1};
	const struct hvs_backend_ops ops = {
		HVS_BACKEND_OPS_INIT, .synic_post = synic_post, .synic_signal = synic_signal,
		.wake = wake,         .now_ns = now_ns,         .guest_fault = guest_fault};
	const struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT, .vp_count = 1};

	vmm.ram = aligned_alloc(PAGE, RAM_BYTES);
	assert(vmm.ram);
	memset(vmm.ram, 0, RAM_BYTES);
	if (hvs_mem_create(NULL, &vmm.mem) != 0 ||
	    hvs_mem_add(vmm.mem, RAM_GPA, RAM_BYTES, vmm.ram, HVS_RDWR) != 0 ||
	    hvs_hv_create(&hv_cfg, vmm.mem, &hv_ops, NULL, &vmm.hv) != 0 ||
	    hvs_vmbus_create(&cfg, vmm.mem, &ops, NULL, &vmm.bus) != 0)
		abort();
}

static void make_vmm(void)
{
	struct hvs_worker *workers[CHANNELS];
	const struct hvs_storvsp_config cfg = {
		HVS_STORVSP_CONFIG_INIT, .max_subchannels = CHANNELS - 1,
		.subchannel_workers = workers + 1, .subchannel_worker_count = CHANNELS - 1};
	struct hvs_storvsp_config with_worker = cfg;

	make_bus();
	for (unsigned i = 0; i < CHANNELS; i++)
		if (hvs_worker_create(vmm.bus, &vmm.runner[i], &workers[i]) != 0)
			abort();
	with_worker.worker = workers[0];
	if (hvs_storvsp_create(vmm.bus, &with_worker, &vmm.ctl) != 0)
		abort();
	for (unsigned i = 0; i < DISKS; i++) {
		pthread_mutex_init(&disks[i].mutex, NULL);
		pthread_cond_init(&disks[i].cond, NULL);
		put(i);
		if (pthread_create(&disks[i].thread, NULL, disk_main, &disks[i]) != 0)
			abort();
	}
	if (hvs_vmbus_start(vmm.bus) != 0)
		abort();
	runner_start(&vmm.main_runner, hvs_vmbus_main_worker(vmm.bus));
	for (unsigned i = 0; i < CHANNELS; i++)
		runner_start(&vmm.runner[i], workers[i]);
}

static void reset_done(void *arg, int status)
{
	(void)arg;
	(void)status;
	atomic_store(&vmm.reset_done, true);
}

static void free_vmm(void)
{
	if (hvs_vmbus_reset(vmm.bus, reset_done, NULL) != 0)
		abort();
	while (!atomic_load(&vmm.reset_done))
		sched_yield();
	runner_join(&vmm.main_runner);
	for (unsigned i = 0; i < CHANNELS; i++)
		runner_join(&vmm.runner[i]);
	for (unsigned i = 0; i < DISKS; i++) {
		pthread_mutex_lock(&disks[i].mutex);
		disks[i].stop = true;
		pthread_cond_signal(&disks[i].cond);
		pthread_mutex_unlock(&disks[i].mutex);
		pthread_join(disks[i].thread, NULL);
	}
	hvs_vmbus_destroy(vmm.bus);
	hvs_hv_destroy(vmm.hv);
	hvs_mem_destroy(vmm.mem);
	free(vmm.ram);
}

int main(void)
{
	pthread_t admin;

	make_vmm();
	if (pthread_create(&admin, NULL, admin_main, NULL) != 0)
		abort();
	run_guest();
	atomic_store(&admin_over, true);
	pthread_join(admin, NULL);
	free_vmm();
	printf("%u good, %u aborted, %u without a disk, %u removals\n", guest.good, guest.aborted,
	       guest.absent, removals);
	return 0;
}
