/* SPDX-License-Identifier: MIT */
/* Public API of the network VSP: NICs. */
#include "vsp/network/netvsp.h"

#include "util/alloc.h"
#include "util/guid.h"
#include "util/sized.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define DEFAULT_SPEED 10000000000ull
#define MIN_MTU 68u
/* Descriptor, 4,096 ranges of a page each, an NVSP message. */
#define MAX_PACKET (16u + 8 + 4096 * 16 + HVSI_NVSP_BYTES_61)
#define BACK_END_OFFLOADS (HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_USO | HVS_NET_VLAN)

/* f8615163-df3e-46c5-913f-f2d2f965ed0e */
static const struct hvs_guid network_class =
	HVSI_GUID(0xf8615163, 0xdf3e, 0x46c5, 0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e);

const struct hvs_allocator *hvsi_nic_allocator(const struct hvs_nic *nic)
{
	return hvs_vmbus_allocator(nic->bus);
}

/* ---- creation --------------------------------------------------------------------------------- */

static bool ends(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!name[i])
			return true;
	return false;
}

static bool config_ok(const struct hvs_nic_config *cfg)
{
	static const uint8_t zero[6];

	return hvsi_nvsp_version_listed(cfg->max_version) &&
	       cfg->max_subchannels < HVSI_NET_MAX_CHANNELS &&
	       !cfg->subchannel_workers == !cfg->subchannel_worker_count &&
	       cfg->subchannel_worker_count < HVSI_NET_MAX_CHANNELS && !(cfg->mac[0] & 1) &&
	       memcmp(cfg->mac, zero, sizeof(zero)) != 0 && !cfg->reserved[0] &&
	       !cfg->reserved[1] && ends(cfg->name, sizeof(cfg->name));
}

static bool info_ok(const struct hvs_nic *nic)
{
	const struct hvs_net_info *i = &nic->info;

	return !(i->offloads & ~BACK_END_OFFLOADS) && i->mtu >= MIN_MTU &&
	       i->mtu <= HVS_NET_MAX_MTU && i->max_queues >= nic->queue_count;
}

static int ask_back_end(struct hvs_nic *nic)
{
	int err;

	nic->info.size = sizeof(nic->info);
	err = nic->ops.get_info(nic->net, &nic->info);
	if (err)
		return err;
	if (!nic->info.mtu)
		nic->info.mtu = HVS_NET_MAX_MTU;
	if (!nic->info.max_queues)
		nic->info.max_queues = 1;
	if (!nic->info.bits_per_second)
		nic->info.bits_per_second = DEFAULT_SPEED;
	return info_ok(nic) ? 0 : -EINVAL;
}

static int make_queues(struct hvs_nic *nic)
{
	nic->queue =
		hvsi_alloc_array(hvsi_nic_allocator(nic), nic->queue_count, sizeof(nic->queue[0]));
	if (!nic->queue)
		return -ENOMEM;
	for (uint32_t i = 0; i < nic->queue_count; i++)
		nic->queue[i].number = i;
	return 0;
}

static void begin(struct hvs_nic *nic)
{
	struct hvsi_rndis_config cfg = {
		.name = nic->cfg.name,
		.queues = nic->channel_count,
		.offloads = HVSI_OFFLOAD_ALL,
		.link_up = !nic->info.link_down,
		.bits_per_second = nic->info.bits_per_second,
	};

	memcpy(cfg.mac, nic->cfg.mac, sizeof(cfg.mac));
	hvsi_rndis_init(&nic->rndis, &cfg);
	atomic_init(&nic->link_up, cfg.link_up);
	atomic_init(&nic->bits_per_second, cfg.bits_per_second);
	nic->session.link_up = cfg.link_up;
	nic->session.bits_per_second = cfg.bits_per_second;
}

static int make(struct hvs_vmbus *bus, const struct hvs_nic_config *cfg,
		const struct hvs_net_ops *ops, void *net, struct hvs_nic **out)
{
	struct hvs_nic *nic = hvsi_alloc(hvs_vmbus_allocator(bus), sizeof(*nic));
	int err;

	if (!nic)
		return -ENOMEM;
	nic->bus = bus;
	nic->cfg = *cfg;
	nic->ops = *ops;
	nic->net = net;
	nic->max_version = cfg->max_version;
	nic->queue_count = 1 + cfg->subchannel_worker_count;
	nic->channel_count = 1 + cfg->max_subchannels;
	err = ask_back_end(nic);
	if (!err)
		err = make_queues(nic);
	if (!err)
		err = hvs_nic_set_policy(nic, NULL);
	if (err) {
		hvsi_nic_destroy(nic);
		return err;
	}
	begin(nic);
	*out = nic;
	return 0;
}

int hvs_nic_create(struct hvs_vmbus *bus, const struct hvs_nic_config *cfg_in,
		   const struct hvs_net_ops *ops_in, void *net, struct hvs_nic **out)
{
	struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = network_class};
	struct hvs_nic_config cfg;
	struct hvs_net_ops ops;
	struct hvs_nic *nic;
	int err;

	if (!bus || !out)
		return -EINVAL;
	err = HVSI_TAKE(&cfg, cfg_in, arg);
	if (!err)
		err = HVSI_TAKE(&ops, ops_in, detach);
	if (err)
		return err;
	if (!cfg.max_version)
		cfg.max_version = HVSI_NVSP_VERSION_61;
	if (!config_ok(&cfg) || !ops.get_info || !ops.tx || ops.reserved)
		return -EINVAL;
	err = make(bus, &cfg, &ops, net, &nic);
	if (err)
		return err;
	offer.instance_id = cfg.instance_id;
	offer.worker = cfg.worker;
	offer.max_subchannels = (uint16_t)cfg.max_subchannels;
	offer.subchannel_workers = cfg.subchannel_workers;
	offer.subchannel_worker_count = cfg.subchannel_worker_count;
	offer.max_packet_bytes = MAX_PACKET;
	nic->cfg.subchannel_workers = NULL; /* the caller's */
	if (nic->ops.attach)
		nic->ops.attach(net, nic);
	nic->attached = true;
	err = hvs_device_offer(bus, &offer, &hvsi_net_chan_ops, nic, &nic->dev);
	if (err) {
		hvsi_nic_destroy(nic);
		return err;
	}
	*out = nic;
	return 0;
}

static void free_policies(const struct hvs_allocator *a, struct hvsi_port_policy *p)
{
	while (p) {
		struct hvsi_port_policy *next = p->next;

		hvsi_policy_destroy(p->policy);
		hvsi_free(a, p, sizeof(*p));
		p = next;
	}
}

static void detach(struct hvs_nic *nic)
{
	if (nic->attached && nic->ops.detach)
		nic->ops.detach(nic->net);
	nic->attached = false;
}

void hvsi_nic_destroy(void *dev)
{
	struct hvs_nic *nic = dev;
	const struct hvs_allocator *a = hvsi_nic_allocator(nic);

	detach(nic);
	free_policies(a, atomic_load(&nic->policy));
	free_policies(a, nic->old_policies);
	hvsi_free(a, atomic_load(&nic->monitor), sizeof(struct hvsi_net_monitor));
	hvsi_free(a, nic->queue, nic->queue_count * sizeof(nic->queue[0]));
	hvsi_free(a, nic, sizeof(*nic));
}

int hvs_nic_remove(struct hvs_nic *nic, hvs_done_fn done, void *arg)
{
	if (!nic)
		return -EINVAL;
	detach(nic);
	return hvs_device_rescind(nic->dev, done, arg);
}

/* ---- workers ---------------------------------------------------------------------------------- */

uint32_t hvsi_nic_queue_of(const struct hvs_nic *nic, uint16_t subchannel)
{
	return subchannel && nic->queue_count > 1 ? 1 + (subchannel - 1u) % (nic->queue_count - 1)
						  : 0;
}

void hvsi_nic_drain(struct hvs_nic *nic)
{
	for (uint32_t i = 0; i < nic->queue_count; i++)
		hvsi_gate_drain(&nic->queue[i].gate);
}

void hvsi_nic_kick_primary(struct hvs_nic *nic)
{
	struct hvs_channel *ch;

	hvsi_gate_enter(&nic->looking);
	ch = atomic_load(&nic->primary);
	if (ch)
		hvs_channel_kick(ch);
	hvsi_gate_leave(&nic->looking);
}

void hvsi_nic_kick_queue(struct hvs_nic *nic, uint32_t queue)
{
	hvsi_gate_enter(&nic->looking);
	for (uint32_t i = 0; i < nic->channel_count; i++) {
		const struct hvsi_net_chan *c = atomic_load(&nic->channel[i]);

		if (!c || c->queue->number != queue)
			continue;
		hvs_channel_kick(c->ch);
		break;
	}
	hvsi_gate_leave(&nic->looking);
}

/* Each of them looks whether it may go on. */
static void kick_all(struct hvs_nic *nic)
{
	hvsi_gate_enter(&nic->looking);
	for (uint32_t i = 0; i < nic->channel_count; i++) {
		const struct hvsi_net_chan *c = atomic_load(&nic->channel[i]);

		if (c)
			hvs_channel_kick(c->ch);
	}
	hvsi_gate_leave(&nic->looking);
}

void hvs_nic_set_link(struct hvs_nic *nic, bool up, uint64_t bits_per_second)
{
	atomic_store(&nic->link_up, up);
	if (bits_per_second)
		atomic_store(&nic->bits_per_second, bits_per_second);
	hvsi_nic_kick_primary(nic);
}

void hvs_nic_network_changed(struct hvs_nic *nic)
{
	atomic_store(&nic->network_changed, true);
	hvsi_nic_kick_primary(nic);
}

void hvs_nic_set_vf(struct hvs_nic *nic, bool allocated, uint32_t serial)
{
	atomic_store(&nic->vf, allocated ? 1ull << 32 | serial : 0);
	hvsi_nic_kick_primary(nic);
}

/* ---- policy ----------------------------------------------------------------------------------- */

const struct hvsi_policy *hvsi_nic_policy(struct hvs_nic *nic, struct hvsi_queue *q)
{
	struct hvsi_port_policy *p;

	if (!q->policy_users++) {
		do { /* it is not freed if who replaced it has seen us with it */
			p = atomic_load(&nic->policy);
			atomic_store(&q->policy, p);
		} while (p != atomic_load(&nic->policy));
	} else {
		p = atomic_load_explicit(&q->policy, memory_order_relaxed);
	}
	return p->policy;
}

void hvsi_nic_policy_done(struct hvsi_queue *q)
{
	if (!--q->policy_users)
		atomic_store_explicit(&q->policy, NULL, memory_order_release);
}

static bool in_use(const struct hvs_nic *nic, const struct hvsi_port_policy *p)
{
	for (uint32_t i = 0; i < nic->queue_count; i++)
		if (atomic_load(&nic->queue[i].policy) == p)
			return true;
	return false;
}

int hvs_nic_set_policy(struct hvs_nic *nic, const struct hvs_port_policy *policy)
{
	const struct hvs_allocator *a;
	struct hvsi_port_policy **at;
	struct hvsi_port_policy *p;
	int err;

	if (!nic)
		return -EINVAL;
	a = hvsi_nic_allocator(nic);
	p = hvsi_alloc(a, sizeof(*p));
	if (!p)
		return -ENOMEM;
	err = hvsi_policy_create(a, policy, &p->policy);
	if (err) {
		hvsi_free(a, p, sizeof(*p));
		return err;
	}
	atomic_store(&nic->may_set_mac, policy && policy->flags & HVS_PORT_MAC_SPOOFING);
	p = atomic_exchange(&nic->policy, p);
	hvsi_port_new_policy(&nic->port);
	kick_all(nic); /* those that wait for what the last one allows */
	if (p) {
		p->next = nic->old_policies;
		nic->old_policies = p;
	}
	/* Those that a queue is just using stay until the next time. */
	for (at = &nic->old_policies; *at;) {
		p = *at;
		if (in_use(nic, p)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->next = NULL;
		free_policies(a, p);
	}
	return 0;
}

/* ---- monitor ---------------------------------------------------------------------------------- */

void hvsi_nic_monitor(struct hvs_nic *nic, struct hvsi_queue *q, bool to_guest,
		      const struct hvs_net_frame *f)
{
	const struct hvsi_net_monitor *m;

	if (!atomic_load_explicit(&nic->monitor, memory_order_relaxed))
		return;
	hvsi_gate_enter(&q->monitoring);
	m = atomic_load(&nic->monitor);
	if (m)
		m->ops.frame(m->arg, q->number, to_guest, f);
	hvsi_gate_leave(&q->monitoring);
}

int hvs_nic_set_monitor(struct hvs_nic *nic, const struct hvs_net_monitor_ops *ops, void *arg)
{
	const struct hvs_allocator *a;
	struct hvsi_net_monitor *m = NULL;
	struct hvs_net_monitor_ops copy;
	int err;

	if (!nic)
		return -EINVAL;
	a = hvsi_nic_allocator(nic);
	if (ops) {
		err = HVSI_TAKE(&copy, ops, frame);
		if (err)
			return err;
		if (!copy.frame || copy.reserved)
			return -EINVAL;
		m = hvsi_alloc(a, sizeof(*m));
		if (!m)
			return -ENOMEM;
		*m = (struct hvsi_net_monitor){.ops = copy, .arg = arg};
	}
	m = atomic_exchange(&nic->monitor, m);
	for (uint32_t i = 0; i < nic->queue_count; i++)
		hvsi_gate_drain(&nic->queue[i].monitoring);
	hvsi_free(a, m, sizeof(*m));
	return 0;
}

/* ---- counters and status ---------------------------------------------------------------------- */

static uint64_t get(const _Atomic(uint64_t) *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t sum3(const _Atomic(uint64_t) counter[3])
{
	return get(&counter[0]) + get(&counter[1]) + get(&counter[2]);
}

void hvsi_nic_stats(const struct hvs_nic *nic, struct hvsi_rndis_stats *s)
{
	*s = (struct hvsi_rndis_stats){0};
	for (uint32_t i = 0; i < nic->queue_count; i++) {
		const struct hvsi_net_counters *c = &nic->queue[i].counters;

		for (unsigned kind = 0; kind < 3; kind++) {
			s->tx.frames[kind] += get(&c->from_frames[kind]);
			s->tx.bytes[kind] += get(&c->from_bytes[kind]);
			s->rx.frames[kind] += get(&c->to_frames[kind]);
			s->rx.bytes[kind] += get(&c->to_bytes[kind]);
		}
		s->tx_errors += get(&c->from_malformed);
		s->tx_discards += get(&c->from_dropped) + get(&c->from_refused);
		s->rx_errors += get(&c->to_too_long);
		s->rx_no_buffer += get(&c->to_no_room);
	}
}

int hvs_nic_get_counters(const struct hvs_nic *nic, struct hvs_nic_counters *out)
{
	struct hvs_nic_counters sum = {0};

	if (!nic)
		return -EINVAL;
	for (uint32_t i = 0; i < nic->queue_count; i++) {
		const struct hvsi_net_counters *c = &nic->queue[i].counters;

		sum.from_frames += sum3(c->from_frames);
		sum.from_bytes += sum3(c->from_bytes);
		sum.from_dropped += get(&c->from_dropped);
		sum.from_malformed += get(&c->from_malformed);
		sum.to_frames += sum3(c->to_frames);
		sum.to_bytes += sum3(c->to_bytes);
		sum.to_unwanted += get(&c->to_unwanted);
		sum.to_no_room += get(&c->to_no_room);
		sum.to_too_long += get(&c->to_too_long);
	}
	hvsi_port_get_counters(&nic->port, &sum.port);
	return hvsi_fill_sized(out, &sum, sizeof(sum));
}

int hvs_nic_get_status(const struct hvs_nic *nic, struct hvs_nic_status *out)
{
	struct hvs_nic_status s = {.version = 0};

	if (!nic)
		return -EINVAL;
	s.version = atomic_load(&nic->version);
	for (uint32_t i = 0; i < nic->channel_count; i++)
		s.channels += atomic_load(&nic->channel[i]) != NULL;
	s.mtu = s.version ? atomic_load(&nic->frame_bytes) - HVS_NET_HEADER_BYTES : 0;
	s.filter = atomic_load(&nic->rndis.filter);
	hvsi_mac_bytes(atomic_load(&nic->rndis.mac), s.mac);
	s.link_up = atomic_load(&nic->link_up);
	s.vf = atomic_load(&nic->path_vf);
	return hvsi_fill_sized(out, &s, sizeof(s));
}
