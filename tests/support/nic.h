/* SPDX-License-Identifier: MIT */
/*
 * A loopback machine with one NIC, the guest's driver, and a back end that remembers what the guest
 * has sent.
 */
#ifndef TESTS_SUPPORT_NIC_H
#define TESTS_SUPPORT_NIC_H

#include "vsp/network/proto.h"
#include "vsp/network/rndis_proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <string.h>

#define NIC_SUB 7u
#define NIC_FRAMES 4096u
#define NIC_FILTER 0x0du /* directed, all multicast, broadcast */

extern const uint8_t nic_mac[6];
extern const uint8_t nic_peer[6];

struct nic_sent {
	struct hvs_net_frame f;
	uint32_t queue;
	uint8_t *bytes; /* f.len of them */
};

/* The back end. */
struct nic_net {
	struct hvs_net_info info;
	struct hvs_nic *nic; /* who gets frames back */
	bool hold;           /* what the guest sends is not given back yet */
	enum hvs_net_status status;
	struct nic_sent sent[NIC_FRAMES];
	unsigned sent_count;
	struct hvs_net_frame *held[NIC_FRAMES];
	unsigned held_count;
	unsigned batches;
	unsigned rooms; /* rx_room() */
	bool wanted;
};

struct nic_received {
	struct hvs_guest_net_frame f;
	uint8_t *bytes;
};

struct nic_options {
	struct hvs_loopback_config loopback;
	struct hvs_nic_config nic;         /* but size, mac and workers */
	struct hvs_net_info info;          /* of the back end, but size */
	struct hvs_guest_net_config guest; /* but size and callbacks; version 0: the newest */
	unsigned workers;                  /* for sub-channels */
	const struct hvs_net_ops *ops;     /* another back end; NULL: the usual one */
	void *back_end;                    /* its argument */
	uint32_t vmbus;                    /* version; 0: 5.3 */
	uint32_t ring_bytes;               /* of the primary channel; 0: 64 KiB */
};

struct nic {
	struct nic_options opt;
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_nic *nic;
	struct nic_net *net;
	struct hvs_guest_channel *ch;
	struct hvs_guest_net *drv;
	struct hvs_guest_net_info info;
	bool may_fault; /* the guest breaks the protocol */
	/* What the guest has received, been told, and had completed. */
	struct nic_received *received;
	unsigned received_count;
	uint32_t indicated[64];
	unsigned indicated_count;
	uint8_t told[16][128];
	unsigned told_count;
	uint64_t done[NIC_FRAMES];
	uint32_t done_status[NIC_FRAMES];
	unsigned done_count;
};

/* NULL: the usual machine. The bus is not started. */
struct nic *nic_up(const struct nic_options *opt);
/* Connect, open the channel. */
void nic_connect(struct nic *n);
void nic_open(struct nic *n);
/* Negotiate, initialize RNDIS, receive. */
void nic_negotiate(struct nic *n);
void nic_start(struct nic *n);
/* All of that. */
struct nic *nic_new(const struct nic_options *opt);
void nic_down(struct nic *n);

/* A UDP or TCP frame from peer to us or back, with `payload` bytes that begin with `seed`; returns
 * its length. Ports, too, depend on seed. */
uint32_t nic_frame(uint8_t *to, bool to_guest, bool tcp, uint32_t payload, uint32_t seed);

/* Let both run until nothing happens any more. */
void nic_run(struct nic *n);
/* The guest sends these bytes through this channel, in a section. */
void nic_send(struct nic *n, unsigned channel, uint64_t xid, const void *bytes, uint32_t len);
/* The network has a frame for the guest. True: taken. */
bool nic_give(struct nic *n, uint32_t queue, const void *bytes, uint32_t len);
bool nic_give_frame(struct nic *n, uint32_t queue, const struct hvs_net_frame *f);
/* The back end is done with what it holds. */
void nic_finish(struct nic *n);
struct hvs_nic_counters nic_counters(const struct nic *n);
struct hvs_nic_status nic_status(const struct nic *n);
/* Offer the NIC on another bus. hvs_loopback_replace_host()'s offer(). */
int nic_offer(void *arg, struct hvs_vmbus *bus);

#endif
