/* SPDX-License-Identifier: MIT */
/* What the files of the guest end of a network adapter share. */
#ifndef HVSI_VSC_NETWORK_H
#define HVSI_VSC_NETWORK_H

#include "vsc/guest.h"
#include "vsp/network/proto.h"
#include "vsp/network/rndis_proto.h"

#include <hvstack/guest/network.h>

#define HVSI_GUEST_NET_CHANNELS 64u
#define HVSI_GUEST_NET_REPLY 4096u
#define HVSI_GUEST_NET_COALESCED 65600u

struct hvsi_guest_net_buffer {
	uint8_t *bytes; /* NULL: there is none */
	uint64_t gpa;
	uint32_t len;
	uint32_t gpadl;
	bool shared;
};

/* A packet that was received and is not completed yet. */
struct hvsi_guest_net_held {
	uint64_t xid;
	unsigned channel;
};

struct hvs_guest_net {
	struct hvs_guest *g;
	struct hvs_guest_net_config cfg;
	struct hvs_guest_channel *ch[HVSI_GUEST_NET_CHANNELS];
	unsigned channels;
	unsigned offered; /* sub-channels */
	uint32_t relid;   /* of the primary channel */
	struct hvsi_guest_net_buffer receive;
	struct hvsi_guest_net_buffer send;
	uint64_t control_gpa;
	uint8_t *control; /* pages for a control message */
	struct hvs_guest_net_info info;
	uint32_t request_id;
	/* The completion, or answer, that is waited for. */
	uint64_t wait_xid;
	bool waiting;
	bool completed;
	uint32_t completion_len;
	struct hvsi_nvsp completion;
	uint8_t reply[HVSI_GUEST_NET_REPLY];
	uint32_t reply_len;
	/* A coalesced segment, of the packet that is just read. */
	uint8_t *coalesced; /* NULL: they were not negotiated */
	struct hvs_guest_net_frame part;
	uint16_t part_id;
	bool hold;
	struct hvsi_guest_net_held *held; /* room for one for each slot */
	unsigned held_count;
};

#define HVSI_GUEST_NET_CONTROL_XID 0xc0ffee00u
#define HVSI_GUEST_NET_CONTROL_PAGES 2u

/* Bytes of NVSP messages. */
static inline uint32_t hvsi_guest_net_bytes(const struct hvs_guest_net *net)
{
	return net->cfg.version >= HVSI_NVSP_VERSION_61 && net->info.slot_count ? HVSI_NVSP_BYTES_61
										: HVSI_NVSP_BYTES;
}

/* Wait until what net->wait_xid is about is completed. 0, -ETIMEDOUT, -EPROTO. */
int hvsi_guest_net_wait(struct hvs_guest_net *net, bool for_reply);
/* A message in a slot that is no frame. */
int hvsi_guest_net_take_control(struct hvs_guest_net *net, const uint8_t *msg, uint32_t len);

#endif
