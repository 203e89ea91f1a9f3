/* SPDX-License-Identifier: MIT */
/*
 * The guest end of a synthetic network adapter: a driver that polls. It negotiates, shares its
 * buffers, speaks RNDIS, opens sub-channels, sends and receives. It checks what the host sends as
 * strictly as the strictest of known drivers does.
 */
#ifndef HVSTACK_GUEST_NETWORK_H
#define HVSTACK_GUEST_NETWORK_H

#include <hvstack/guest/guest.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_guest_net; /* a guest's network adapter */

/* A frame that was received. Library-owned. */
struct hvs_guest_net_frame {
	unsigned channel; /* 0: primary */
	const uint8_t *data;
	uint32_t len;
	uint32_t csum; /* per-packet information of type 0 */
	bool tagged;   /* there is one of type 6: */
	uint32_t vlan;
	uint32_t hash_info; /* 0: there is no hash */
	uint32_t hash;      /* RSS, of the kind in hash_info */
	unsigned parts;     /* of a coalesced segment, put together; 1: it was in one piece */
};

struct hvs_guest_net_config {
	uint32_t size;
	uint32_t version;       /* NVSP: 2, 0x30002, 0x40000, 0x50000, 0x60000, 0x60001 */
	uint32_t frame_bytes;   /* largest frame, as NDIS_CONFIG says; 0: 1514 */
	uint32_t reserved;      /* 0 */
	uint64_t capabilities;  /* as in NDIS_CONFIG */
	uint32_t receive_bytes; /* of the receive buffer, whole pages; 0: 256 KiB */
	uint32_t send_bytes;    /* of the send buffer, whole pages; 0: there is none */
	uint32_t ring_bytes;    /* of sub-channels, each way; 0: 64 KiB */
	uint32_t reserved2;     /* 0 */
	/* In hvs_guest_net_poll(). All optional. */
	void (*received)(void *arg, const struct hvs_guest_net_frame *f);
	/* A packet was completed, with this NVSP status. */
	void (*sent)(void *arg, unsigned channel, uint64_t xid, uint32_t status);
	/* RNDIS' INDICATE_STATUS */
	void (*indicated)(void *arg, uint32_t status, const void *buf, uint32_t len);
	/* An in-band NVSP message: virtual functions, the send table. */
	void (*told)(void *arg, const void *message, uint32_t len);
	void *arg;
};
#define HVS_GUEST_NET_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_guest_net_config)

/*
 * Negotiate NVSP on a channel that was just opened, share the buffers. 0, -EINVAL, -ENOTSUP,
 * -EPROTONOSUPPORT (the version), -EREMOTEIO (refused), -ENOMEM, -ETIMEDOUT, -EPROTO.
 */
HVS_API HVS_NODISCARD int hvs_guest_net_open(struct hvs_guest_channel *ch,
					     const struct hvs_guest_net_config *cfg,
					     struct hvs_guest_net **out);

enum hvs_guest_net_end {
	HVS_GUEST_NET_REVOKE, /* revoke the buffers, close, take them back */
	HVS_GUEST_NET_CLOSE,  /* close, take the buffers back */
	/* Revoke them and take them back before closing, as Linux did before VMBus 4.0. */
	HVS_GUEST_NET_TEAR_DOWN,
	HVS_GUEST_NET_FORGET, /* say nothing to the host: the connection has gone */
};

/* Close all channels, the primary one too, and free net. 0, -ETIMEDOUT, -EIO. */
HVS_API int hvs_guest_net_close(struct hvs_guest_net *net, enum hvs_guest_net_end how);

struct hvs_guest_net_info {
	uint32_t size;
	uint32_t slot_bytes;
	uint32_t slot_count;
	uint32_t section_bytes; /* 0: there is no send buffer */
	uint32_t section_count;
	uint32_t channels; /* open */
	uint8_t *receive;  /* the buffers */
	uint8_t *send;     /* NULL: there is none */
};
#define HVS_GUEST_NET_INFO_INIT .size = (uint32_t)sizeof(struct hvs_guest_net_info)
/* What was agreed upon, and where the buffers are. 0, -EINVAL (size is too small to be one). */
HVS_API int hvs_guest_net_get_info(const struct hvs_guest_net *net,
				   struct hvs_guest_net_info *info);
/* Channel n, 0: the primary. NULL: there is none. */
HVS_API struct hvs_guest_channel *hvs_guest_net_channel(struct hvs_guest_net *net, unsigned n);

/* ---- control ------------------------------------------------------------------------------ */

/*
 * Send the RNDIS control message msg and wait for its answer, which is copied to reply (*len: in room,
 * out bytes). reply NULL: there is none. 0, -ENOSPC (longer than that), -EREMOTEIO (the host says
 * that it is malformed), -ETIMEDOUT, -EPROTO.
 */
HVS_API HVS_NODISCARD int hvs_guest_net_control(struct hvs_guest_net *net, const void *msg,
						uint32_t msg_len, void *reply, uint32_t *len);
/* INITIALIZE 1.0; HALT. 0 or as hvs_guest_net_control(); -EREMOTEIO (refused). */
HVS_API HVS_NODISCARD int hvs_guest_net_initialize(struct hvs_guest_net *net);
HVS_API int hvs_guest_net_halt(struct hvs_guest_net *net);
/*
 * QUERY and SET of the object oid. *status: RNDIS'. out: the information, *len in room, out bytes.
 * in may be NULL.
 * Return as hvs_guest_net_control().
 */
HVS_API HVS_NODISCARD int hvs_guest_net_query(struct hvs_guest_net *net, uint32_t oid,
					      const void *in, uint32_t in_len, uint32_t *status,
					      void *out, uint32_t *len);
HVS_API HVS_NODISCARD int hvs_guest_net_set(struct hvs_guest_net *net, uint32_t oid, const void *in,
					    uint32_t in_len, uint32_t *status);
/* The packet filter: begin or end to receive. 0, -EREMOTEIO, or as hvs_guest_net_control(). */
HVS_API HVS_NODISCARD int hvs_guest_net_set_filter(struct hvs_guest_net *net, uint32_t filter);
/* RSS: hash 0: off; key of 40 bytes; table of channel numbers, with so many entries. As
 * hvs_guest_net_set_filter(). */
HVS_API HVS_NODISCARD int hvs_guest_net_set_rss(struct hvs_guest_net *net, uint32_t hash,
						const uint8_t key[40], const uint32_t *table,
						uint16_t entries);
/*
 * Ask for sub-channels, wait for them, open them. Returns how many were granted, -EREMOTEIO (none),
 * or as hvs_guest_net_control() and hvs_guest_channel_open().
 */
HVS_API HVS_NODISCARD int hvs_guest_net_open_subchannels(struct hvs_guest_net *net, unsigned count);

/* ---- frames ------------------------------------------------------------------------------- */

/* Layout fixed. */
struct hvs_guest_net_ppi {
	uint32_t type; /* NDIS's number of the information */
	uint32_t value;
};

/* An RNDIS packet with a frame. Layout fixed. */
struct hvs_guest_net_packet {
	const void *data; /* NULL: it lies elsewhere, behind what is written */
	uint32_t len;
	const struct hvs_guest_net_ppi *ppi;
	unsigned ppi_count;
	uint32_t pad; /* what follows the data is filled up to a multiple of this; 0: is not */
};

/* Write one to `to`, which has room for so many bytes. Returns its bytes there, or 0 (they don't
 * fit). */
HVS_API uint32_t hvs_guest_net_build(void *to, uint32_t room, const struct hvs_guest_net_packet *p);

#define HVS_GUEST_NET_NO_SECTION 0xffffffffu /* the packet is in ranges alone */

/*
 * Queue a packet on channel (0: the primary): section_bytes of a section of the send buffer, or
 * none, then ranges of guest memory. Flush after a batch. As hvs_guest_send_ranges().
 */
HVS_API HVS_NODISCARD int hvs_guest_net_transmit(struct hvs_guest_net *net, unsigned channel,
						 uint64_t xid, uint32_t section,
						 uint32_t section_bytes,
						 const struct hvs_guest_buffer *ranges,
						 unsigned range_count);
/* Where a section is. */
HVS_API uint8_t *hvs_guest_net_section(struct hvs_guest_net *net, uint32_t section);

/* Write packets into section xid modulo their number, queue on channel, flush. As
 * hvs_guest_net_transmit(), and -EMSGSIZE (they don't fit). */
HVS_API HVS_NODISCARD int hvs_guest_net_send(struct hvs_guest_net *net, unsigned channel,
					     uint64_t xid, const struct hvs_guest_net_packet *p,
					     unsigned count);

/*
 * Take what the host has sent: calls the functions of the configuration, completes what was
 * received unless it is held. Returns how many packets there were, -EPROTO (the host does what some
 * driver would not survive).
 */
HVS_API HVS_NODISCARD int hvs_guest_net_poll(struct hvs_guest_net *net);
/* hold: keep what is received from now on, or no longer: then it is completed. 0, -EAGAIN (not all
 * of it has found room in the rings: call it again), -EPROTO. */
HVS_API HVS_NODISCARD int hvs_guest_net_hold(struct hvs_guest_net *net, bool hold);

#ifdef __cplusplus
}
#endif
#endif
