/* SPDX-License-Identifier: MIT */
/* What a back end and an administrator do to a NIC, as an input says. */
#ifndef FUZZ_NETPORT_H
#define FUZZ_NETPORT_H

#include "netmodel.h"

#include <hvstack/network.h>

#define PORT_RULES 4u

/* Of a frame for the guest, what the back end has left undone. */
static inline void describe(struct hvs_net_frame *f, const struct model_frame *model,
			    bool datagrams)
{
	f->l3_off = 14;
	f->l4_off = model->l4_off;
	f->payload_off = model->payload_off;
	if (model->csum)
		f->flags |= HVS_NET_CSUM;
	if (model->mss)
		f->flags |= HVS_NET_TSO;
	else if (datagrams && model->csum && model->kind != MODEL_RAW && !model_is_tcp(model))
		f->flags |= HVS_NET_USO;
	if (f->flags & (HVS_NET_TSO | HVS_NET_USO))
		f->mss = (uint16_t)(model->mss ? model->mss : 600);
	f->flags |= model->tagged ? HVS_NET_VLAN : 0;
	f->vlan_tci = model->tci;
}

static inline void give_frames(struct hvs_nic *nic, uint32_t queues, struct input *in)
{
	static struct model_frame model;
	struct iovec iov[2];
	struct hvs_net_frame f = {HVS_NET_FRAME_INIT, .iov = iov, .iovcnt = 2};
	const struct hvs_net_frame *frames[HVS_NET_BATCH];
	unsigned what = (unsigned)input_number(in, 1);
	unsigned how = (unsigned)input_number(in, 1);
	unsigned n = how & 2 ? 1 + (what & 63) : 1;
	uint32_t head;

	model_make(&model, in);
	memcpy(model.bytes, "\x00\x15\x5d\x01\x02\x03\x02\x00\x00\x00\x00\x01", 12);
	if (what & 0x40)
		memset(model.bytes, 0xff, 6);
	describe(&f, &model, how & 4);
	if (how & 8) /* nonsense, in the headers only */
		input_bytes(in, model.bytes + 14 + how % 32, 6);
	if (how & 1)
		f.flags |= HVS_NET_CSUM_GOOD;
	f.len = model.len;
	head = how & 16 ? 60 : model.payload_off;
	if (head > f.len)
		head = f.len;
	iov[0] = (struct iovec){model.bytes, head};
	iov[1] = (struct iovec){model.bytes + head, f.len - head};
	for (unsigned i = 0; i < n; i++)
		frames[i] = &f;
	CHECK(hvs_nic_rx(nic, (how >> 5) % queues, frames, n) <= n);
}

static inline void take_address(struct input *in, struct hvs_port_address *to)
{
	static const uint8_t bits[] = {0, 0, 32, 128};
	unsigned what = (unsigned)input_number(in, 1);

	*to = (struct hvs_port_address){.kind = what & 3};
	if (to->kind >= HVS_PORT_IP4)
		to->prefix = (uint8_t)((what >> 2) * 2 % (bits[to->kind] + 1u));
	for (unsigned i = 0; i < 16 && to->kind; i++)
		to->bytes[i] = (uint8_t)(i + 5); /* as in the model's frames */
}

static inline void change_port(struct hvs_nic *nic, struct input *in)
{
	unsigned what = (unsigned)input_number(in, 1);
	unsigned more = (unsigned)input_number(in, 1);
	struct hvs_port_rule rules[PORT_RULES] = {0};
	struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT, .flags = what & 0x1f, .rules = rules,
					 .rule_count = more % (PORT_RULES + 1)};

	if (what & 0x20) {
		policy.vlan = more & 0x80 ? HVS_PORT_VLAN_ACCESS : HVS_PORT_VLAN_TRUNK;
		policy.vlan_id = 7;
		policy.trunk[0] = more & 0x80 ? 0 : 0x5550;
	}
	policy.max_bits_per_second = what & 0x40 ? 1000000 : 0;
	policy.max_storm_frames = what & 0x80 ? 3 : 0;
	for (unsigned i = 0; i < policy.rule_count; i++) {
		rules[i].action = (uint8_t)(1 + input_number(in, 1) % 3);
		rules[i].direction = (uint8_t)(1 + (more >> 5) % 3);
		take_address(in, &rules[i].local);
		take_address(in, &rules[i].remote);
	}
	(void)!hvs_nic_set_policy(nic, &policy); /* not every rule makes sense */
}

static inline void watch(void *arg, uint32_t queue, bool to_guest, const struct hvs_net_frame *f)
{
	(void)to_guest;
	CHECK(queue < *(const uint32_t *)arg && f->iovcnt && f->len >= HVS_NET_HEADER_BYTES);
}

/* What an administrator sees. */
static inline void look(struct hvs_nic *nic, bool monitor)
{
	static const struct hvs_net_monitor_ops ops = {HVS_NET_MONITOR_OPS_INIT, .frame = watch};
	static uint32_t queues = 64;
	struct hvs_nic_counters counters = {HVS_NIC_COUNTERS_INIT};
	struct hvs_nic_status status = {HVS_NIC_STATUS_INIT};

	CHECK(!hvs_nic_get_counters(nic, &counters) && !hvs_nic_get_status(nic, &status));
	CHECK(!status.filter || status.version);
	CHECK(!hvs_nic_set_monitor(nic, monitor ? &ops : NULL, &queues));
}

static inline void change_link(struct hvs_nic *nic, struct input *in)
{
	unsigned what = (unsigned)input_number(in, 1);

	switch (what & 3) {
	case 0:
		hvs_nic_network_changed(nic);
		look(nic, what & 4);
		break;
	case 1:
		hvs_nic_set_vf(nic, what & 4, what >> 3);
		break;
	default:
		hvs_nic_set_link(nic, what & 4, (uint64_t)(what >> 3) * 1000000000);
	}
}

#endif
