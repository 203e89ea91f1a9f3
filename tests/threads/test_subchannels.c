/* SPDX-License-Identifier: MIT */
/*
 * Sub-channels on workers of their own, while their device comes and goes. One thread runs the main
 * worker and removes the device again and again; three run its channels; one is a guest that opens
 * and closes what it is offered, at random.
 */
#include "vmbus/proto.h"

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
#define PAGE 4096u
#define RING_PAGES 4u
#define RELIDS 16u
#define WORKERS 3u
#define SUBCHANNELS 3u
#define REMOVALS 1000u
#define SLOT 8u /* messages the guest has not read yet */

static struct vmm {
	struct hvs_mem *mem;
	struct hvs_vmbus *bus;
	struct hvs_worker *worker[WORKERS];
	pthread_t thread[WORKERS];
	uint8_t *ram;
	atomic_bool stop;

	pthread_mutex_t slot_mutex;
	struct hvs_synic_msg slot[SLOT];
	unsigned slot_count;
} vmm = {.slot_mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- back end --------------------------------------------------------------------------------- */

static int synic_post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	int err = -11; /* EAGAIN */

	(void)be;
	(void)vp;
	(void)sint;
	pthread_mutex_lock(&vmm.slot_mutex);
	if (vmm.slot_count < SLOT) {
		vmm.slot[vmm.slot_count++] = *msg;
		err = 0;
	}
	pthread_mutex_unlock(&vmm.slot_mutex);
	return err;
}

static void synic_signal(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)flag;
}

/* Every worker polls. */
static void wake(void *be, struct hvs_worker *worker, void *priv)
{
	(void)be;
	(void)worker;
	(void)priv;
}

static uint64_t now_ns(void *be)
{
	struct timespec t;

	(void)be;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *worker_main(void *arg)
{
	while (!atomic_load(&vmm.stop)) {
		hvs_worker_dispatch(arg, 16, NULL);
		sched_yield();
	}
	return NULL;
}

/* ---- the device ------------------------------------------------------------------------------- */

struct dev {
	struct hvs_device *device;
	atomic_uint opens;
	atomic_uint using; /* channels between open and closed */
	atomic_bool done;
	atomic_bool destroyed;
};

struct chan {
	struct dev *d;
	bool primary;
	bool asked;
	bool closing;
};

static int dev_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		    void **ctx)
{
	struct chan *c = calloc(1, sizeof(*c));

	(void)ch;
	assert(c);
	c->d = dev;
	c->primary = params->subchannel == 0;
	atomic_fetch_add(&c->d->opens, 1);
	atomic_fetch_add(&c->d->using, 1);
	*ctx = c;
	return 0;
}

static bool dev_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	struct chan *c = ctx;
	const struct hvs_packet *pkt;

	(void)budget;
	if (c->closing) {
		atomic_fetch_sub(&c->d->using, 1);
		free(c);
		hvs_channel_closed(ch);
		return false;
	}
	if (c->primary && !c->asked) {
		c->asked = true;
		assert(hvs_channel_offer_subchannels(ch, SUBCHANNELS) == 0);
	}
	while (hvs_channel_recv(ch, &pkt) == 1)
		;
	return false;
}

/* Not at once: there are requests to come back. */
static void dev_close(struct hvs_channel *ch, void *ctx)
{
	((struct chan *)ctx)->closing = true;
	hvs_channel_kick(ch);
}

static void dev_destroy(void *dev)
{
	struct dev *d = dev;

	assert(atomic_load(&d->done) && !atomic_load(&d->using));
	atomic_store(&d->destroyed, true);
}

static void dev_removed(void *arg, int status)
{
	struct dev *d = arg;

	assert(status == 0 && !atomic_load(&d->using));
	atomic_store(&d->done, true);
}

static void offer(struct dev *d)
{
	static const struct hvs_vsp_ops ops = {HVS_VSP_OPS_INIT, .open = dev_open,
					       .ready = dev_ready, .close = dev_close,
					       .destroy = dev_destroy};
	const struct hvs_offer o = {HVS_OFFER_INIT,
				    .instance_id = {{1}},
				    .max_subchannels = SUBCHANNELS,
				    .worker = vmm.worker[0],
				    .subchannel_workers = vmm.worker,
				    .subchannel_worker_count = WORKERS};

	if (hvs_device_offer(vmm.bus, &o, &ops, d, &d->device) != 0)
		abort();
}

/* ---- the guest -------------------------------------------------------------------------------- */

enum guest_state { NONE, GPADL_SENT, OPEN_SENT, OPEN, TEARDOWN_SENT };

static struct guest_channel {
	enum guest_state state;
	bool rescinded;
} channel[RELIDS];

static uint32_t random_state = 1;
static atomic_bool guest_over;

static uint32_t rnd(void)
{
	random_state = random_state * 1664525u + 1013904223u;
	return random_state >> 16;
}

static void say(const void *msg, size_t len)
{
	uint16_t status;

	while ((status = hvs_vmbus_post_message(vmm.bus, 1, 1, msg, len)) != 0) {
		assert(status == HVS_HV_STATUS_INSUFFICIENT_BUFFERS);
		if (atomic_load(&guest_over))
			return;
		sched_yield();
	}
}

static void say_relid(uint32_t type, uint32_t relid)
{
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(type), .relid = hvsi_le32(relid)};

	say(&msg, sizeof(msg));
}

static void share(uint32_t relid)
{
	struct {
		struct hvsi_msg_gpadl_header h;
		struct hvs_le32 range[2];
		struct hvs_le64 pfn[RING_PAGES];
	} msg = {.h = {.h = hvsi_msg_header(HVSI_MSG_GPADL_HEADER),
		       .relid = hvsi_le32(relid),
		       .gpadl_id = hvsi_le32(relid),
		       .range_bytes = hvsi_le16(8 + 8 * RING_PAGES),
		       .range_count = hvsi_le16(1)},
		 .range = {hvsi_le32(RING_PAGES * PAGE)}};

	memset(vmm.ram + (size_t)relid * RING_PAGES * PAGE, 0, RING_PAGES * PAGE);
	for (uint32_t i = 0; i < RING_PAGES; i++)
		msg.pfn[i] = hvsi_le64(RAM_GPA / PAGE + relid * RING_PAGES + i);
	channel[relid].state = GPADL_SENT;
	say(&msg, sizeof(msg));
}

static void tear_down(uint32_t relid)
{
	struct hvsi_msg_gpadl_teardown msg = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TEARDOWN),
					      .relid = hvsi_le32(relid),
					      .gpadl_id = hvsi_le32(relid)};

	channel[relid].state = TEARDOWN_SENT;
	say(&msg, sizeof(msg));
}

static void open_channel(uint32_t relid)
{
	struct hvsi_msg_open msg = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL),
				    .relid = hvsi_le32(relid),
				    .gpadl_id = hvsi_le32(relid),
				    .downstream_page = hvsi_le32(RING_PAGES / 2)};

	channel[relid].state = OPEN_SENT;
	say(&msg, sizeof(msg));
}

static void hear_rescind(uint32_t relid)
{
	struct guest_channel *c = &channel[relid];

	assert(!c->rescinded && c->state != NONE);
	c->rescinded = true;
	if (c->state == OPEN_SENT || c->state == OPEN)
		tear_down(relid);
}

static uint32_t field(const struct hvs_synic_msg *m, size_t offset)
{
	struct hvs_le32 v;

	memcpy(&v, m->payload + offset, sizeof(v));
	return hvsi_get32(v);
}

static void hear(const struct hvs_synic_msg *m)
{
	uint32_t relid = field(m, 8);

	switch (field(m, 0)) {
	case HVSI_MSG_OFFERCHANNEL:
		relid = field(m, offsetof(struct hvsi_msg_offer, relid));
		assert(channel[relid].state == NONE && !channel[relid].rescinded);
		share(relid);
		break;
	case HVSI_MSG_RESCIND_CHANNELOFFER:
		hear_rescind(relid);
		break;
	case HVSI_MSG_GPADL_CREATED:
		assert(field(m, 16) == 0 && channel[relid].state == GPADL_SENT);
		if (channel[relid].rescinded)
			tear_down(relid);
		else
			open_channel(relid);
		break;
	case HVSI_MSG_OPENCHANNEL_RESULT:
		assert(field(m, 16) == 0 && channel[relid].state == OPEN_SENT);
		channel[relid].state = OPEN;
		break;
	case HVSI_MSG_GPADL_TORNDOWN: /* the GPADL has the relid's number */
		assert(channel[relid].state == TEARDOWN_SENT);
		if (channel[relid].rescinded) {
			channel[relid] = (struct guest_channel){0};
			say_relid(HVSI_MSG_RELID_RELEASED, relid);
		} else {
			share(relid);
		}
		break;
	}
}

static void act(void)
{
	uint32_t relid = rnd() % RELIDS;

	if (channel[relid].state != OPEN)
		return;
	if (rnd() % 8) {
		hvs_vmbus_signal_event(vmm.bus, 0x2000 + relid, 0);
	} else {
		struct hvsi_msg_modify_channel msg = {.h = hvsi_msg_header(HVSI_MSG_MODIFYCHANNEL),
						      .relid = hvsi_le32(relid)};

		say(&msg, sizeof(msg));
		say_relid(HVSI_MSG_CLOSECHANNEL, relid);
		tear_down(relid);
	}
}

static bool next_message(struct hvs_synic_msg *m)
{
	bool got;

	pthread_mutex_lock(&vmm.slot_mutex);
	got = vmm.slot_count != 0;
	if (got) {
		*m = vmm.slot[0];
		memmove(vmm.slot, vmm.slot + 1, --vmm.slot_count * sizeof(vmm.slot[0]));
	}
	pthread_mutex_unlock(&vmm.slot_mutex);
	if (got)
		hvs_vmbus_slot_free(vmm.bus, 0);
	return got;
}

static void *guest_main(void *arg)
{
	struct hvsi_msg_initiate_contact contact = {.h = hvsi_msg_header(HVSI_MSG_INITIATE_CONTACT),
						    .version = hvsi_le32(HVSI_VERSION(5, 3)),
						    .sint = 2};
	struct hvsi_msg request = hvsi_msg_header(HVSI_MSG_REQUESTOFFERS);
	struct hvs_synic_msg m;

	(void)arg;
	say(&contact, sizeof(contact));
	say(&request, sizeof(request));
	while (!atomic_load(&guest_over)) {
		if (next_message(&m))
			hear(&m);
		else
			act();
		sched_yield();
	}
	return NULL;
}

/* ---- main worker ------------------------------------------------------------------------------ */

static void step(void)
{
	hvs_worker_dispatch(hvs_vmbus_main_worker(vmm.bus), 16, NULL);
	sched_yield();
}

static void make_vmm(void)
{
	const struct hvs_backend_ops ops = {HVS_BACKEND_OPS_INIT, .synic_post = synic_post,
					    .synic_signal = synic_signal, .wake = wake,
					    .now_ns = now_ns};
	const struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT, .vp_count = 1,
					     .max_offers = RELIDS - 1};
	const size_t bytes = RELIDS * RING_PAGES * PAGE;

	vmm.ram = aligned_alloc(PAGE, bytes);
	assert(vmm.ram);
	memset(vmm.ram, 0, bytes);
	if (hvs_mem_create(NULL, &vmm.mem) != 0 ||
	    hvs_mem_add(vmm.mem, RAM_GPA, bytes, vmm.ram, HVS_RDWR) != 0 ||
	    hvs_vmbus_create(&cfg, vmm.mem, &ops, NULL, &vmm.bus) != 0)
		abort();
	for (unsigned i = 0; i < WORKERS; i++)
		if (hvs_worker_create(vmm.bus, NULL, &vmm.worker[i]) != 0)
			abort();
	if (hvs_vmbus_start(vmm.bus) != 0)
		abort();
	for (unsigned i = 0; i < WORKERS; i++)
		if (pthread_create(&vmm.thread[i], NULL, worker_main, vmm.worker[i]) != 0)
			abort();
}

static void reset_done(void *arg, int status)
{
	(void)status;
	*(bool *)arg = true;
}

int main(void)
{
	static struct dev dev[REMOVALS];
	pthread_t guest;
	unsigned opens = 0;
	bool done = false;

	make_vmm();
	if (pthread_create(&guest, NULL, guest_main, NULL) != 0)
		abort();
	for (unsigned i = 0; i < REMOVALS; i++) {
		unsigned wanted = i % 7; /* channels that are opened before it goes */

		offer(&dev[i]);
		while (atomic_load(&dev[i].opens) < wanted)
			step();
		if (hvs_device_rescind(dev[i].device, dev_removed, &dev[i]) != 0)
			abort();
		while (!atomic_load(&dev[i].done))
			step();
		opens += atomic_load(&dev[i].opens);
	}
	while (!atomic_load(&dev[REMOVALS - 1].destroyed))
		step();
	atomic_store(&guest_over, true);
	pthread_join(guest, NULL);
	if (hvs_vmbus_reset(vmm.bus, reset_done, &done) != 0)
		abort();
	while (!done)
		step();
	atomic_store(&vmm.stop, true);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(vmm.thread[i], NULL);
	for (unsigned i = 0; i < REMOVALS; i++)
		assert(atomic_load(&dev[i].destroyed));
	hvs_vmbus_destroy(vmm.bus);
	hvs_mem_destroy(vmm.mem);
	free(vmm.ram);
	printf("%u removals, %u opens\n", REMOVALS, opens);
	return 0;
}
