/* SPDX-License-Identifier: MIT */
#include "support/nic.h"

#include "vmbus/proto.h"
#include "vsp/network/checksum.h"

#include <stdlib.h>

const uint8_t nic_mac[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03};
const uint8_t nic_peer[6] = {0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};

/* ---- the back end ----------------------------------------------------------------------------- */

static int get_info(void *priv, struct hvs_net_info *info)
{
	const struct nic_net *net = priv;

	*info = net->info;
	info->size = sizeof(*info);
	return 0;
}

static void tx(void *priv, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	struct nic_net *net = priv;

	cr_assert(n >= 1 && n <= HVS_NET_BATCH);
	net->batches++;
	for (unsigned i = 0; i < n; i++) {
		struct nic_sent *s = &net->sent[net->sent_count++ % NIC_FRAMES];
		uint32_t at = 0;

		free(s->bytes);
		*s = (struct nic_sent){.f = *frames[i], .queue = queue};
		s->bytes = malloc(s->f.len);
		for (unsigned k = 0; k < s->f.iovcnt; k++) {
			cr_assert_leq(s->f.iov[k].iov_len, s->f.len - at);
			memcpy(s->bytes + at, s->f.iov[k].iov_base, s->f.iov[k].iov_len);
			at += (uint32_t)s->f.iov[k].iov_len;
		}
		cr_assert_eq(at, s->f.len);
		if (net->hold)
			net->held[net->held_count++] = frames[i];
	}
	if (!net->hold)
		hvs_nic_tx_done(net->nic, frames, n, net->status);
}

static void rx_room(void *priv, uint32_t queue)
{
	(void)queue;
	((struct nic_net *)priv)->rooms++;
}

static void rx_wanted(void *priv, bool wanted)
{
	struct nic_net *net = priv;

	cr_assert_neq(net->wanted, wanted);
	net->wanted = wanted;
}

static const struct hvs_net_ops ops = {HVS_NET_OPS_INIT, .get_info = get_info, .tx = tx,
				       .rx_room = rx_room, .rx_wanted = rx_wanted};

void nic_finish(struct nic *n)
{
	unsigned count = n->net->held_count;

	n->net->held_count = 0;
	for (unsigned i = 0; i < count; i += HVS_NET_BATCH) {
		unsigned run = count - i < HVS_NET_BATCH ? count - i : HVS_NET_BATCH;

		hvs_nic_tx_done(n->nic, n->net->held + i, run, n->net->status);
	}
}

/* ---- the guest's driver ----------------------------------------------------------------------- */

static void received(void *arg, const struct hvs_guest_net_frame *f)
{
	struct nic *n = arg;
	struct nic_received *r = &n->received[n->received_count++ % NIC_FRAMES];

	free(r->bytes);
	r->bytes = malloc(f->len);
	r->f = *f;
	r->f.data = r->bytes;
	memcpy(r->bytes, f->data, f->len);
}

static void sent(void *arg, unsigned channel, uint64_t xid, uint32_t status)
{
	struct nic *n = arg;

	(void)channel;
	n->done[n->done_count % NIC_FRAMES] = xid;
	n->done_status[n->done_count++ % NIC_FRAMES] = status;
}

static void indicated(void *arg, uint32_t status, const void *buf, uint32_t len)
{
	struct nic *n = arg;

	(void)buf;
	(void)len;
	n->indicated[n->indicated_count++ % 64] = status;
}

static void told(void *arg, const void *message, uint32_t len)
{
	struct nic *n = arg;

	cr_assert_leq(len, sizeof(n->told[0]));
	memcpy(n->told[n->told_count++ % 16], message, len);
}

/* ---- the machine ------------------------------------------------------------------------------ */

int nic_offer(void *arg, struct hvs_vmbus *bus)
{
	struct nic *n = arg;
	struct hvs_nic_config cfg = n->opt.nic;
	struct hvs_worker *workers[NIC_SUB];
	int err = 0;

	for (unsigned i = 0; !err && i < n->opt.workers; i++)
		err = hvs_worker_create(bus, NULL, &workers[i]);
	if (err)
		return err;
	cfg.size = sizeof(cfg);
	memcpy(cfg.mac, nic_mac, sizeof(cfg.mac));
	cfg.instance_id.b[0] = 0x42;
	cfg.subchannel_worker_count = n->opt.workers;
	cfg.subchannel_workers = n->opt.workers ? workers : NULL;
	n->net->wanted = false; /* a new NIC wants nothing yet */
	err = n->opt.ops ? hvs_nic_create(bus, &cfg, n->opt.ops, n->opt.back_end, &n->nic)
			 : hvs_nic_create(bus, &cfg, &ops, n->net, &n->nic);
	n->net->nic = n->nic;
	return err;
}

struct nic *nic_up(const struct nic_options *opt)
{
	struct nic *n = calloc(1, sizeof(*n));
	struct hvs_loopback_config lb_cfg;

	cr_assert_not_null(n);
	if (opt)
		n->opt = *opt;
	n->net = calloc(1, sizeof(*n->net));
	n->received = calloc(NIC_FRAMES, sizeof(*n->received));
	n->net->info = n->opt.info;
	if (!n->net->info.max_queues)
		n->net->info.max_queues = 1 + n->opt.workers;
	lb_cfg = n->opt.loopback;
	lb_cfg.size = sizeof(lb_cfg);
	cr_assert_eq(hvs_loopback_create(&lb_cfg, &n->lb), 0);
	cr_assert_eq(nic_offer(n, hvs_loopback_bus(n->lb)), 0);
	return n;
}

void nic_connect(struct nic *n)
{
	cr_assert_eq(hvs_loopback_start(n->lb, &n->guest), 0);
	cr_assert_eq(hvs_guest_connect(n->guest, n->opt.vmbus ? n->opt.vmbus : 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(n->guest), 1);
}

void nic_open(struct nic *n)
{
	cr_assert_eq(hvs_guest_channel_open(n->guest, hvs_guest_offer_at(n->guest, 0),
					    n->opt.ring_bytes ? n->opt.ring_bytes : 65536, &n->ch),
		     0);
}

void nic_negotiate(struct nic *n)
{
	struct hvs_guest_net_config cfg = n->opt.guest;

	cfg.size = sizeof(cfg);
	if (!cfg.version)
		cfg.version = HVSI_NVSP_VERSION_61;
	cfg.received = received;
	cfg.sent = sent;
	cfg.indicated = indicated;
	cfg.told = told;
	cfg.arg = n;
	cr_assert_eq(hvs_guest_net_open(n->ch, &cfg, &n->drv), 0);
	n->info = (struct hvs_guest_net_info){HVS_GUEST_NET_INFO_INIT};
	cr_assert_eq(hvs_guest_net_get_info(n->drv, &n->info), 0);
}

void nic_start(struct nic *n)
{
	nic_negotiate(n);
	cr_assert_eq(hvs_guest_net_initialize(n->drv), 0);
	cr_assert_eq(hvs_guest_net_set_filter(n->drv, NIC_FILTER), 0);
}

struct nic *nic_new(const struct nic_options *opt)
{
	struct nic *n = nic_up(opt);

	nic_connect(n);
	nic_open(n);
	nic_start(n);
	return n;
}

void nic_down(struct nic *n)
{
	n->net->hold = false;
	nic_finish(n);
	cr_assert(n->may_fault || hvs_loopback_count(n->lb)->faults == 0);
	if (n->drv)
		(void)hvs_guest_net_close(n->drv, HVS_GUEST_NET_FORGET);
	hvs_loopback_destroy(n->lb);
	for (unsigned i = 0; i < NIC_FRAMES; i++)
		free(n->net->sent[i].bytes);
	for (unsigned i = 0; i < NIC_FRAMES; i++)
		free(n->received[i].bytes);
	free(n->net);
	free(n->received);
	free(n);
}

void nic_run(struct nic *n)
{
	int got;

	do {
		for (unsigned i = 0; n->drv && hvs_guest_net_channel(n->drv, i); i++)
			hvs_guest_flush(hvs_guest_net_channel(n->drv, i));
		hvs_loopback_run(n->lb);
		got = n->drv ? hvs_guest_net_poll(n->drv) : 0;
		cr_assert_geq(got, 0, "the guest does not bear it: %d", got);
	} while (got);
}

/* ---- frames ----------------------------------------------------------------------------------- */

uint32_t nic_frame(uint8_t *to, bool to_guest, bool tcp, uint32_t payload, uint32_t seed)
{
	const uint32_t l4 = tcp ? 20 : 8;
	uint8_t *ip = to + 14;
	uint8_t *l4p = ip + 20;
	struct hvsi_sum s = {0};

	memcpy(to, to_guest ? nic_mac : nic_peer, 6);
	memcpy(to + 6, to_guest ? nic_peer : nic_mac, 6);
	hvsi_put_be16(to + 12, 0x0800);
	memset(ip, 0, 20 + l4);
	ip[0] = 0x45;
	hvsi_put_be16(ip + 2, (uint16_t)(20 + l4 + payload));
	hvsi_put_be16(ip + 4, (uint16_t)seed);
	ip[8] = 64;
	ip[9] = tcp ? 6 : 17;
	hvsi_put_be32(ip + 12, to_guest ? 0x0a000001 : 0x0a000002);
	hvsi_put_be32(ip + 16, to_guest ? 0x0a000002 : 0x0a000001);
	hvsi_ip4_set_csum(ip, 20);
	hvsi_put_be16(l4p, (uint16_t)(1024 + seed));
	hvsi_put_be16(l4p + 2, (uint16_t)(5000 + seed % 7));
	if (tcp) {
		hvsi_put_be32(l4p + 4, seed);
		l4p[12] = 5 << 4;
		l4p[13] = 0x10;
		hvsi_put_be16(l4p + 14, 8192);
	} else {
		hvsi_put_be16(l4p + 4, (uint16_t)(8 + payload));
	}
	for (uint32_t i = 0; i < payload; i++)
		l4p[l4 + i] = (uint8_t)(seed + i);
	hvsi_sum_pseudo(&s, ip, ip[9], l4 + payload);
	hvsi_sum_bytes(&s, l4p, l4 + payload);
	hvsi_put_be16(l4p + (tcp ? 16 : 6), (uint16_t)~hvsi_sum_fold(&s));
	return 14 + 20 + l4 + payload;
}

void nic_send(struct nic *n, unsigned channel, uint64_t xid, const void *bytes, uint32_t len)
{
	const struct hvs_guest_net_packet p = {.data = bytes, .len = len};

	cr_assert_eq(hvs_guest_net_send(n->drv, channel, xid, &p, 1), 0);
}

bool nic_give_frame(struct nic *n, uint32_t queue, const struct hvs_net_frame *f)
{
	unsigned taken = hvs_nic_rx(n->nic, queue, &f, 1);

	cr_assert_leq(taken, 1);
	return taken;
}

bool nic_give(struct nic *n, uint32_t queue, const void *bytes, uint32_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)bytes, len};
	const struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .len = len, .iov = &iov, .iovcnt = 1};

	return nic_give_frame(n, queue, &f);
}

struct hvs_nic_counters nic_counters(const struct nic *n)
{
	struct hvs_nic_counters c = {HVS_NIC_COUNTERS_INIT};

	cr_assert_eq(hvs_nic_get_counters(n->nic, &c), 0);
	return c;
}

struct hvs_nic_status nic_status(const struct nic *n)
{
	struct hvs_nic_status s = {HVS_NIC_STATUS_INIT};

	cr_assert_eq(hvs_nic_get_status(n->nic, &s), 0);
	return s;
}
