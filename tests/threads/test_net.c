/* SPDX-License-Identifier: MIT */
/*
 * A NIC as a big machine has it: four channels on workers of their own, a back end whose frames come
 * in on each of these workers and whose transmissions end on a further thread, and an administrator
 * who changes everything that may be changed; meanwhile drivers come and go. Each packet is
 * completed exactly once, and frames of a flow arrive in order.
 */
#include "support/rng.h"
#include "vsp/network/proto.h"
#include "vsp/network/rndis_proto.h"

#include <hvstack/guest/guest.h>
#include <hvstack/guest/network.h>
#include <hvstack/hvstack.h>

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES (64u << 20)
#define PAGE 4096u
#define CHANNELS 4u
#define FLOWS 32u
#define SESSIONS 8u
#define PACKETS 3000u /* of a session */
#define SECTIONS 40u
#define PENDING 8192u

static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0, 0, 1};

static struct vmm {
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	struct hvs_vmbus *bus;
	struct hvs_nic *nic;
	uint8_t *ram;
	size_t ram_used;
	atomic_bool reset_done;
	atomic_bool stop;
	pthread_t main_thread;
} vmm;

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

/* All threads look again and again. */
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

/* ---- the back end ----------------------------------------------------------------------------- */

static struct {
	pthread_t thread;
	pthread_mutex_t mutex;
	struct hvs_net_frame *pending[PENDING];
	unsigned count;
	atomic_bool wanted;
	atomic_uint transmitted;
} net = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct queue {
	struct hvs_worker *worker;
	pthread_t thread;
	unsigned number;
	bool blocked;
	uint32_t next[FLOWS];
	struct rng rng;
} queues[CHANNELS];

static int get_info(void *priv, struct hvs_net_info *info)
{
	(void)priv;
	info->max_queues = CHANNELS;
	info->offloads = HVS_NET_CSUM;
	return 0;
}

static void tx(void *priv, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	(void)priv;
	assert(queue < CHANNELS && pthread_equal(pthread_self(), queues[queue].thread));
	/* Some at once, the others on another thread. */
	if (queues[queue].rng.state % 3 == 0) {
		hvs_nic_tx_done(vmm.nic, frames, n, HVS_NET_OK);
		return;
	}
	pthread_mutex_lock(&net.mutex);
	for (unsigned i = 0; i < n; i++) {
		assert(net.count < PENDING);
		net.pending[net.count++] = frames[i];
	}
	pthread_mutex_unlock(&net.mutex);
}

static void rx_room(void *priv, uint32_t queue)
{
	(void)priv;
	assert(pthread_equal(pthread_self(), queues[queue].thread));
	queues[queue].blocked = false;
}

static void rx_wanted(void *priv, bool wanted)
{
	(void)priv;
	atomic_store(&net.wanted, wanted);
}

static void *net_main(void *arg)
{
	struct rng rng = {55};

	(void)arg;
	while (!atomic_load(&vmm.stop)) {
		struct hvs_net_frame *f[16];
		unsigned n = 0;

		pthread_mutex_lock(&net.mutex);
		while (n < 16 && net.count) {
			unsigned i = rng_below(&rng, net.count);

			f[n++] = net.pending[i];
			net.pending[i] = net.pending[--net.count];
		}
		pthread_mutex_unlock(&net.mutex);
		if (n)
			hvs_nic_tx_done(vmm.nic, f, n, HVS_NET_OK);
		atomic_fetch_add(&net.transmitted, n);
		sched_yield();
	}
	return NULL;
}

/* UDP, in which the queue, the flow and a number are. */
static uint32_t build(uint8_t *to, bool to_guest, unsigned queue, unsigned flow, uint32_t number)
{
	const uint32_t words[2] = {queue << 16 | flow, number};

	memset(to, 0, 60);
	memcpy(to, to_guest ? mac : (const uint8_t[6]){2, 2, 2, 2, 2, 2}, 6);
	memcpy(to + 6, to_guest ? (const uint8_t[6]){2, 2, 2, 2, 2, 2} : mac, 6);
	to[12] = 0x08;
	to[14] = 0x45;
	to[17] = 46;
	to[22] = 64;
	to[23] = 17;
	to[29] = (uint8_t)flow;
	to[33] = 1;
	to[35] = (uint8_t)flow;
	to[37] = 9;
	to[39] = 26;
	memcpy(to + 42, words, sizeof(words));
	return 60;
}

static void give(struct queue *q)
{
	uint8_t bytes[16][60];
	struct iovec iov[16];
	struct hvs_net_frame f[16];
	const struct hvs_net_frame *list[16];
	unsigned n = 1 + rng_below(&q->rng, 16);

	for (unsigned i = 0; i < n; i++) {
		unsigned flow = rng_below(&q->rng, FLOWS);

		iov[i] = (struct iovec){bytes[i],
					build(bytes[i], true, q->number, flow, ++q->next[flow])};
		f[i] = (struct hvs_net_frame){HVS_NET_FRAME_INIT, .len = 60, .iov = &iov[i],
					      .iovcnt = 1};
		list[i] = &f[i];
	}
	q->blocked = hvs_nic_rx(vmm.nic, q->number, list, n) < n;
}

static void *queue_main(void *arg)
{
	struct queue *q = arg;

	while (!atomic_load(&vmm.stop)) {
		(void)rng_next(&q->rng);
		(void)hvs_worker_dispatch(q->worker, 64, NULL);
		/* Also when they are not wanted, now and then. */
		if ((atomic_load(&net.wanted) && !q->blocked) || rng_below(&q->rng, 16) == 0)
			give(q);
		sched_yield();
	}
	while (hvs_worker_dispatch(q->worker, 0, NULL))
		;
	return NULL;
}

static void *main_worker(void *arg)
{
	(void)arg;
	while (!atomic_load(&vmm.stop)) {
		(void)hvs_worker_dispatch(hvs_vmbus_main_worker(vmm.bus), 64, NULL);
		sched_yield();
	}
	return NULL;
}

/* ---- the administrator ------------------------------------------------------------------------ */

static atomic_bool admin_over;
static atomic_uint seen;

static void see(void *arg, uint32_t queue, bool to_guest, const struct hvs_net_frame *f)
{
	(void)arg;
	(void)to_guest;
	assert(queue < CHANNELS && f->len >= 14);
	atomic_fetch_add(&seen, 1);
}

static void change_something(struct rng *rng)
{
	const struct hvs_net_monitor_ops ops = {HVS_NET_MONITOR_OPS_INIT, .frame = see};
	const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT, .flags = HVS_PORT_DHCP_GUARD,
					       .max_storm_frames = 1 + rng_below(rng, 100)};
	struct hvs_nic_counters counters = {HVS_NIC_COUNTERS_INIT};
	struct hvs_nic_status status = {HVS_NIC_STATUS_INIT};

	switch (rng_below(rng, 6)) {
	case 0:
		if (hvs_nic_set_policy(vmm.nic, rng_below(rng, 2) ? &policy : NULL) != 0)
			abort();
		break;
	case 1:
		if (hvs_nic_set_monitor(vmm.nic, rng_below(rng, 2) ? &ops : NULL, NULL) != 0)
			abort();
		break;
	case 2:
		hvs_nic_set_link(vmm.nic, rng_below(rng, 2), 1000000000u << rng_below(rng, 3));
		break;
	case 3:
		hvs_nic_network_changed(vmm.nic);
		break;
	case 4:
		hvs_nic_set_vf(vmm.nic, rng_below(rng, 2), rng_below(rng, 4));
		break;
	default:
		if (hvs_nic_get_counters(vmm.nic, &counters) != 0 ||
		    hvs_nic_get_status(vmm.nic, &status) != 0)
			abort();
		break;
	}
}

static void *admin_main(void *arg)
{
	struct rng rng = {4711};

	(void)arg;
	while (!atomic_load(&admin_over)) {
		for (unsigned wait = 0; wait < 50; wait++)
			sched_yield();
		change_something(&rng);
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

static struct guest {
	struct rng rng;
	struct hvs_guest *g;
	struct hvs_guest_net *drv;
	bool in_flight[SECTIONS];
	unsigned sent;
	unsigned completed;
	unsigned received;
	uint32_t last[CHANNELS][FLOWS];
	unsigned of_channel[CHANNELS];
} guest = {.rng = {99}};

static void sent(void *arg, unsigned channel, uint64_t xid, uint32_t status)
{
	(void)arg;
	(void)channel;
	assert(xid < SECTIONS && guest.in_flight[xid] && status == HVSI_NVSP_SUCCESS);
	guest.in_flight[xid] = false;
	guest.completed++;
}

static void received(void *arg, const struct hvs_guest_net_frame *f)
{
	uint32_t words[2];
	unsigned queue;
	unsigned flow;

	(void)arg;
	assert(f->len == 60);
	memcpy(words, f->data + 42, sizeof(words));
	queue = words[0] >> 16;
	flow = words[0] & 0xffff;
	assert(queue < CHANNELS && flow < FLOWS);
	assert(words[1] > guest.last[queue][flow]);
	guest.last[queue][flow] = words[1];
	guest.of_channel[f->channel]++;
	guest.received++;
}

static void send_one(void)
{
	unsigned section = rng_below(&guest.rng, SECTIONS);
	unsigned channel = rng_below(&guest.rng, CHANNELS);
	uint8_t bytes[1000] = {0};
	struct hvs_guest_net_packet p = {.data = bytes, .len = 300};

	if (guest.in_flight[section])
		return;
	build(bytes, false, channel, section, guest.sent);
	if (hvs_guest_net_send(guest.drv, channel, section, &p, 1) != 0)
		return;
	guest.in_flight[section] = true;
	guest.sent++;
}

static void spread(unsigned over)
{
	static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41};
	uint32_t table[128];

	for (unsigned i = 0; i < 128; i++)
		table[i] = i % over;
	if (hvs_guest_net_set_rss(guest.drv, HVSI_HASH_IP4, key, table, 128) != 0)
		abort();
}

static void begin(void)
{
	const struct hvs_guest_net_config cfg = {HVS_GUEST_NET_CONFIG_INIT,
						 .version = HVSI_NVSP_VERSION_61,
						 .capabilities = HVSI_NVSP_CAN_SRIOV,
						 .send_bytes = 256u * 1024,
						 .sent = sent,
						 .received = received};
	struct hvs_guest_channel *ch;

	if (hvs_guest_connect(guest.g, 0x50003) != 0 || hvs_guest_request_offers(guest.g) != 1 ||
	    hvs_guest_channel_open(guest.g, hvs_guest_offer_at(guest.g, 0), 65536, &ch) != 0 ||
	    hvs_guest_net_open(ch, &cfg, &guest.drv) != 0 ||
	    hvs_guest_net_initialize(guest.drv) != 0 ||
	    hvs_guest_net_set_filter(guest.drv, 0x0d) != 0 ||
	    hvs_guest_net_open_subchannels(guest.drv, CHANNELS - 1) != CHANNELS - 1)
		abort();
	spread(CHANNELS);
}

static void session(unsigned how)
{
	unsigned completed = guest.completed;

	begin();
	for (unsigned i = 0; guest.completed - completed < PACKETS; i++) {
		send_one();
		if (hvs_guest_net_poll(guest.drv) < 0)
			abort();
		if (i % 512 == 100 && hvs_guest_net_set_filter(guest.drv, 0) != 0)
			abort();
		if (i % 512 == 120 && hvs_guest_net_set_filter(guest.drv, 0x0d) != 0)
			abort();
		if (i % 2048 == 200) /* no filter: frames of a flow may not overtake each other */
			spread(CHANNELS);
		sched_yield();
	}
	if (how == HVS_GUEST_NET_FORGET && hvs_guest_unload(guest.g) != 0)
		abort();
	if (hvs_guest_net_close(guest.drv, how) != 0)
		abort();
	if (how != HVS_GUEST_NET_FORGET && hvs_guest_unload(guest.g) != 0)
		abort();
	memset(guest.in_flight, 0, sizeof(guest.in_flight));
}

static void run_guest(void)
{
	const struct hvs_guest_ops ops = {
		HVS_GUEST_OPS_INIT,     .msr_read = msr_read,       .msr_write = msr_write,
		.hypercall = hypercall, .alloc_pages = alloc_pages, .free_pages = free_pages,
		.wait = give_way};

	if (hvs_guest_create(NULL, &ops, NULL, &guest.g) != 0)
		abort();
	for (unsigned i = 0; i < SESSIONS; i++)
		session(i % 4);
	hvs_guest_destroy(guest.g);
	for (unsigned i = 0; i < CHANNELS; i++)
		assert(guest.of_channel[i]);
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

static void make_nic(void)
{
	const struct hvs_net_ops ops = {HVS_NET_OPS_INIT, .get_info = get_info, .tx = tx,
					.rx_room = rx_room, .rx_wanted = rx_wanted};
	struct hvs_worker *workers[CHANNELS];
	struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .max_subchannels = CHANNELS - 1,
				     .subchannel_workers = workers + 1,
				     .subchannel_worker_count = CHANNELS - 1};

	memcpy(cfg.mac, mac, sizeof(mac));
	for (unsigned i = 0; i < CHANNELS; i++) {
		queues[i].number = i;
		queues[i].rng.state = 1000 + i;
		if (hvs_worker_create(vmm.bus, NULL, &workers[i]) != 0)
			abort();
		queues[i].worker = workers[i];
	}
	cfg.worker = workers[0];
	if (hvs_nic_create(vmm.bus, &cfg, &ops, NULL, &vmm.nic) != 0 ||
	    hvs_vmbus_start(vmm.bus) != 0 ||
	    pthread_create(&net.thread, NULL, net_main, NULL) != 0 ||
	    pthread_create(&vmm.main_thread, NULL, main_worker, NULL) != 0)
		abort();
	for (unsigned i = 0; i < CHANNELS; i++)
		if (pthread_create(&queues[i].thread, NULL, queue_main, &queues[i]) != 0)
			abort();
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
	atomic_store(&vmm.stop, true);
	pthread_join(vmm.main_thread, NULL);
	pthread_join(net.thread, NULL);
	for (unsigned i = 0; i < CHANNELS; i++)
		pthread_join(queues[i].thread, NULL);
	assert(!net.count);
	hvs_vmbus_destroy(vmm.bus);
	hvs_hv_destroy(vmm.hv);
	hvs_mem_destroy(vmm.mem);
	free(vmm.ram);
}

int main(void)
{
	pthread_t admin;

	make_bus();
	make_nic();
	if (pthread_create(&admin, NULL, admin_main, NULL) != 0)
		abort();
	run_guest();
	atomic_store(&admin_over, true);
	pthread_join(admin, NULL);
	free_vmm();
	printf("%u sent, %u completed, %u received (%u %u %u %u), %u seen\n", guest.sent,
	       guest.completed, guest.received, guest.of_channel[0], guest.of_channel[1],
	       guest.of_channel[2], guest.of_channel[3], atomic_load(&seen));
	return 0;
}
