/* SPDX-License-Identifier: MIT */
/*
 * RNDIS control: what a guest's driver asks a NIC, and tells it. Messages in, messages out; nothing
 * here sends or waits.
 *
 * A struct hvsi_rndis is changed on the primary channel's worker. Other workers may call what is
 * marked [any].
 */
#ifndef HVSI_NETWORK_RNDIS_H
#define HVSI_NETWORK_RNDIS_H

#include "util/atomic.h"
#include "vsp/network/rndis_proto.h"

#include <hvstack/state.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HVSI_RNDIS_MAX_PACKETS 8u    /* in one message of the guest */
#define HVSI_RNDIS_MAX_CONTROL 4096u /* bytes of a control message; longer ones are malformed */
#define HVSI_RNDIS_MAX_REPLY 536u    /* bytes */
#define HVSI_RNDIS_MAX_MULTICAST 32u
#define HVSI_RNDIS_LSO_MAX 62780u /* bytes of a frame that is to be segmented, as guests are told */

#define HVSI_RSS_KEY_BYTES 40u
#define HVSI_RSS_ENTRIES 128u

/* What a NIC does for the guest. */
enum hvsi_offload {
	HVSI_OFFLOAD_TX_IP4 = 1u << 0, /* checksum of the IPv4 header, and so on */
	HVSI_OFFLOAD_TX_TCP4 = 1u << 1,
	HVSI_OFFLOAD_TX_UDP4 = 1u << 2,
	HVSI_OFFLOAD_TX_TCP6 = 1u << 3,
	HVSI_OFFLOAD_TX_UDP6 = 1u << 4,
	HVSI_OFFLOAD_RX_IP4 = 1u << 5, /* the order is that of TX */
	HVSI_OFFLOAD_RX_TCP4 = 1u << 6,
	HVSI_OFFLOAD_RX_UDP4 = 1u << 7,
	HVSI_OFFLOAD_RX_TCP6 = 1u << 8,
	HVSI_OFFLOAD_RX_UDP6 = 1u << 9,
	HVSI_OFFLOAD_LSO4 = 1u << 10, /* TCP segmentation */
	HVSI_OFFLOAD_LSO6 = 1u << 11,
	HVSI_OFFLOAD_RSC4 = 1u << 12, /* coalesced TCP segments to the guest */
	HVSI_OFFLOAD_RSC6 = 1u << 13,
};
#define HVSI_OFFLOAD_RSC (HVSI_OFFLOAD_RSC4 | HVSI_OFFLOAD_RSC6)
#define HVSI_OFFLOAD_ALL 0x3fffu

/* How frames to the guest are spread over its channels. */
struct hvsi_rss {
	uint32_t generation; /* hvsi_rndis_rss() */
	uint32_t hash;       /* HVSI_HASH_*; 0: off, all to channel 0, and there is no hash */
	uint8_t key[HVSI_RSS_KEY_BYTES];
	uint16_t table[HVSI_RSS_ENTRIES]; /* channel numbers, below hvsi_rndis.queues */
};

/* Of frames: to one address, to a group, to all. */
struct hvsi_rndis_traffic {
	uint64_t frames[3]; /* HVSI_DIRECTED and so on */
	uint64_t bytes[3];
};
enum { HVSI_DIRECTED, HVSI_MULTICAST, HVSI_BROADCAST };

/* Counters as the guest sees them: tx is what it sent. */
struct hvsi_rndis_stats {
	struct hvsi_rndis_traffic tx;
	struct hvsi_rndis_traffic rx;
	uint64_t tx_errors;    /* malformed */
	uint64_t tx_discards;  /* by policy or the back end */
	uint64_t rx_errors;    /* too long */
	uint64_t rx_no_buffer; /* there was no room */
};

enum hvsi_rndis_state {
	HVSI_RNDIS_UNINITIALIZED,
	HVSI_RNDIS_OPERATIONAL,
	HVSI_RNDIS_HALTED,
};

struct hvsi_rndis {
	enum hvsi_rndis_state state;
	uint16_t ndis_major; /* what the guest said it speaks */
	uint16_t ndis_minor;
	uint32_t mtu;       /* largest IP packet of the connection */
	bool rsc;           /* the guest understands coalesced segments */
	uint32_t queues;    /* channels there may be, 1..64 */
	uint32_t offloads;  /* enum hvsi_offload: can be done */
	uint64_t permanent; /* hvsi_mac() of the address it was given */
	char name[64];

	/* Read by all; the first two are set by whoever learns of it. */
	atomic_bool link_up;
	_Atomic(uint64_t) bits_per_second;
	atomic_uint filter;    /* HVSI_FILTER_*; 0: the guest wants no frames */
	_Atomic(uint64_t) mac; /* hvsi_mac() */
	atomic_uint multicast_count;
	_Atomic(uint64_t) multicast[HVSI_RNDIS_MAX_MULTICAST];
	atomic_uint offloads_on; /* enum hvsi_offload: as the guest has set it */
	atomic_uint rss_generation;
	struct hvsi_spin rss_lock; /* over: */
	struct hvsi_rss rss;
};

struct hvsi_rndis_config {
	uint8_t mac[6];
	const char *name;  /* UTF-8, at most 63 bytes; copied */
	uint32_t queues;   /* channels there may be, 1..64 */
	uint32_t offloads; /* enum hvsi_offload; RSC also needs the guest's: hvsi_rndis_open() */
	bool link_up;
	uint64_t bits_per_second;
};

/* A NIC nobody has opened yet. */
void hvsi_rndis_init(struct hvsi_rndis *r, const struct hvsi_rndis_config *cfg);

/* The guest goes, or is another one: nothing it set remains, its address neither. */
void hvsi_rndis_reset(struct hvsi_rndis *r);

/* What NVSP has agreed upon. */
struct hvsi_rndis_open {
	uint16_t ndis_major;
	uint16_t ndis_minor;
	uint32_t mtu; /* largest IP packet of both the guest's configuration and the back end */
	bool rsc;     /* the guest understands coalesced segments */
};

/* The primary channel is negotiated: the driver begins. Of what the last one set, its address
 * alone remains: Linux re-opens the channel to change the MTU and does not set it again. */
void hvsi_rndis_open(struct hvsi_rndis *r, const struct hvsi_rndis_open *open);

/* The primary channel is closed: as after HALT. */
void hvsi_rndis_close(struct hvsi_rndis *r);

/* What is not the NIC's state but has a say in an answer. */
struct hvsi_rndis_env {
	struct hvsi_rndis_stats stats;
	bool may_set_mac; /* the port lets the guest choose its address */
};

struct hvsi_rndis_message {
	uint32_t len; /* 0: none */
	uint8_t bytes[HVSI_RNDIS_MAX_REPLY];
};

/* What a control message did. */
enum hvsi_rndis_change {
	HVSI_RNDIS_CHANGED_STATE = 1u << 0,    /* INITIALIZE, HALT: see r->state */
	HVSI_RNDIS_CHANGED_FILTER = 1u << 1,   /* may have */
	HVSI_RNDIS_CHANGED_MAC = 1u << 2,      /* the address is another */
	HVSI_RNDIS_CHANGED_OFFLOADS = 1u << 3, /* send hvsi_rndis_indicate_offloads() */
	HVSI_RNDIS_CHANGED_RSS = 1u << 4,
	HVSI_RNDIS_MALFORMED = 1u << 5, /* or of an unknown type; there may be a reply even so */
};

/*
 * One control message, anything but PACKET, in private memory, and the answer to it: none or one.
 * Returns enum hvsi_rndis_change. After HALT the guest wants no frames.
 */
uint32_t hvsi_rndis_control(struct hvsi_rndis *r, const struct hvsi_rndis_env *env, const void *msg,
			    size_t len, struct hvsi_rndis_message *reply);

/* ---- what the guest is told unasked, in HVSI_RNDIS_OPERATIONAL only ------------------------- */

/* MEDIA_CONNECT or MEDIA_DISCONNECT, as r->link_up is. */
void hvsi_rndis_indicate_link(const struct hvsi_rndis *r, struct hvsi_rndis_message *m);
void hvsi_rndis_indicate_speed(const struct hvsi_rndis *r, struct hvsi_rndis_message *m);
void hvsi_rndis_indicate_network_change(struct hvsi_rndis_message *m);
void hvsi_rndis_indicate_offloads(const struct hvsi_rndis *r, struct hvsi_rndis_message *m);

/* ---- saved state -------------------------------------------------------------------------- */

/* Returns as hvs_state_put(). */
int hvsi_rndis_save(struct hvsi_rndis *r, struct hvs_state_writer *w);

/*
 * Instead of hvsi_rndis_open(). What the guest was told goes on being true for it, whatever the NIC
 * is now: it uses the address it had, and offloads_on may exceed what r->offloads can do. Entries
 * of channels that there are no more go round.
 *
 * 0, -EBADMSG; then r is as before.
 */
int hvsi_rndis_restore(struct hvsi_rndis *r, struct hvs_state_reader *state);

/* ---- while frames pass [any] ---------------------------------------------------------------- */

/* An address as a number: the first byte is the lowest. */
static inline uint64_t hvsi_mac(const uint8_t mac[6])
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, mac, sizeof(low));
	memcpy(&high, mac + 4, sizeof(high));
	return HVSI_LE(32, low) | (uint64_t)HVSI_LE(16, high) << 32;
}

static inline void hvsi_mac_bytes(uint64_t from, uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)(from >> 8 * i);
}

#define HVSI_MAC_GROUP 0x01u /* bit of the first byte */
#define HVSI_MAC_BROADCAST 0xffffffffffffu

/* HVSI_DIRECTED, HVSI_MULTICAST or HVSI_BROADCAST. */
static inline unsigned hvsi_mac_kind(uint64_t mac)
{
	if (!(mac & HVSI_MAC_GROUP))
		return HVSI_DIRECTED;
	return mac == HVSI_MAC_BROADCAST ? HVSI_BROADCAST : HVSI_MULTICAST;
}

static inline bool hvsi_rndis_wants_group(const struct hvsi_rndis *r, uint64_t mac)
{
	unsigned count = atomic_load_explicit(&r->multicast_count, memory_order_acquire);

	for (unsigned i = 0; i < count; i++)
		if (atomic_load_explicit(&r->multicast[i], memory_order_relaxed) == mac)
			return true;
	return count == 0; /* the firmware asks for groups and gives no list */
}

/* The guest wants a frame for this address. */
static inline bool hvsi_rndis_wants(const struct hvsi_rndis *r, const uint8_t destination[6])
{
	uint32_t filter = atomic_load_explicit(&r->filter, memory_order_relaxed);
	uint64_t mac = hvsi_mac(destination);

	if (filter & HVSI_FILTER_PROMISCUOUS)
		return true;
	switch (hvsi_mac_kind(mac)) {
	case HVSI_DIRECTED:
		/* A driver that begins anew may have gone back to the address it was given. */
		return filter & HVSI_FILTER_DIRECTED &&
		       (mac == atomic_load_explicit(&r->mac, memory_order_relaxed) ||
			mac == r->permanent);
	case HVSI_BROADCAST:
		return filter & HVSI_FILTER_BROADCAST;
	default:
		return filter & HVSI_FILTER_ALL_MULTICAST ||
		       (filter & HVSI_FILTER_MULTICAST && hvsi_rndis_wants_group(r, mac));
	}
}

/* Has RSS changed since mine was taken? */
static inline bool hvsi_rndis_rss_changed(const struct hvsi_rndis *r, const struct hvsi_rss *mine)
{
	return atomic_load_explicit(&r->rss_generation, memory_order_acquire) != mine->generation;
}

/* Take a copy: each queue has its own, so that frames share nothing. One of all zeroes is older
 * than any. */
void hvsi_rndis_rss_copy(struct hvsi_rndis *r, struct hvsi_rss *mine);

#endif
