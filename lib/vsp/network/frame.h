/* SPDX-License-Identifier: MIT */
/*
 * What the headers of an Ethernet frame say, and making the frames that guests hand us into those
 * that a back end can carry. Pure functions: what they read of headers is a private copy; payload
 * may be guest memory that changes meanwhile.
 *
 * From the guest:  copy, hvsi_frame_parse(), hvsi_frame_tagged() or hvsi_frame_pull_tag(),
 *                  hvsi_policy_out(), hvsi_frame_prepare(), perhaps segment.h
 * To the guest:    hvsi_frame_parse(), hvsi_frame_tagged(), hvsi_policy_in(), toeplitz.h,
 *                  hvsi_frame_sum_l4() or segment.h for what the back end left undone
 */
#ifndef HVSI_NETWORK_FRAME_H
#define HVSI_NETWORK_FRAME_H

#include <hvstack/network.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HVSI_MAC_BYTES 6u
#define HVSI_TAG_BYTES 4u /* 802.1Q, behind the addresses */

/* So much of a frame is copied; what lies behind it can't be read. The copy has HVSI_TAG_BYTES in
 * front that a tag can be put into. */
#define HVSI_FRAME_COPY (HVS_NET_MAX_COPIED - HVSI_TAG_BYTES)

#define HVSI_TYPE_ARP 0x0806u

#define HVSI_IP4_MIN 20u
#define HVSI_IP6_BYTES 40u

/* Which protocols of `protocol` are looked into. */
#define HVSI_PROTO_ICMP 1u
#define HVSI_PROTO_TCP 6u
#define HVSI_PROTO_UDP 17u
#define HVSI_PROTO_ICMP6 58u

/* IP4, IP6, ARP: that header (ARP: for IPv4 and Ethernet) is at l3_off; addresses can be read. */
#define HVSI_FRAME_IP4 0x01u
#define HVSI_FRAME_IP6 0x02u
#define HVSI_FRAME_ARP 0x04u
#define HVSI_FRAME_PROTOCOL 0x08u /* `protocol` is known: no header before it is unreadable */
#define HVSI_FRAME_FRAGMENT 0x10u /* of an IP datagram */
#define HVSI_FRAME_LATER 0x20u    /* with FRAGMENT: not the first, so it has no l4_off */
/*
 * A header goes beyond the copy, the frame or the IP packet, contradicts itself, or there are more
 * of them than anybody needs. Those before it are known.
 */
#define HVSI_FRAME_UNREADABLE 0x40u
/* The IP length is nonsense, as that of frames to be segmented may be; `end` is the frame's. */
#define HVSI_FRAME_IP_LENGTH 0x80u
#define HVSI_FRAME_SNAP 0x100u /* ethertype is behind an 802.3 length, LLC and SNAP */

struct hvsi_headers {
	const uint8_t *bytes; /* the copy, from the destination address on */
	uint32_t copied;      /* bytes of it */
	uint32_t len;         /* bytes of the frame */
	uint32_t end;         /* where the IP packet ends: Ethernet may have padded it. Else len */
	uint16_t flags;       /* HVSI_FRAME_* */
	uint16_t ethertype;   /* behind the tags; 0: none */
	uint16_t l3_off;      /* behind the ethertype */
	uint16_t l4_off;      /* TCP, UDP, ICMP: its fixed header can be read. Else 0 */
	uint16_t payload_off; /* TCP, UDP: all of its header can be read. Else 0 */
	uint8_t protocol;     /* with HVSI_FRAME_PROTOCOL: behind all extension headers */
	/* The VLAN: that of the frame's metadata, else the outermost tag if it is 802.1Q. The policy
	 * changes it. */
	bool tagged;
	uint16_t vlan_tci;
	bool tag_inline;    /* that tag is among the bytes, at 2 * HVSI_MAC_BYTES */
	uint8_t inner_tags; /* other tags among the bytes */
};

/*
 * Parse. false: fewer than HVS_NET_HEADER_BYTES of `copied`; h is not to be used.
 * Never reads beyond `copied`, which is at most len.
 */
bool hvsi_frame_parse(struct hvsi_headers *h, const void *bytes, uint32_t copied, uint32_t len);

/* All of TCP or UDP: a header that can be read, and no fragment. */
static inline bool hvsi_frame_has_ports(const struct hvsi_headers *h)
{
	return h->payload_off && !(h->flags & HVSI_FRAME_FRAGMENT);
}

/* The frame's metadata have a tag: that among the bytes is a second one. */
void hvsi_frame_tagged(struct hvsi_headers *h, uint16_t tci);

/*
 * Take the tag that is among the bytes (tag_inline) out of the copy: it begins HVSI_TAG_BYTES later
 * then, where the result points to, which h->bytes is now too. h's lengths and offsets follow.
 */
uint8_t *hvsi_frame_pull_tag(struct hvsi_headers *h, uint8_t *copy);

/*
 * Put the tag of f (HVS_NET_VLAN) into the copy, which then begins HVSI_TAG_BYTES earlier: those
 * must be there. first is f->iov[0]. f's flag goes, its lengths and offsets follow.
 */
void hvsi_frame_push_tag(struct hvs_net_frame *f, struct iovec *first);

/* What RNDIS calls 802.1Q information, and what is on the wire. */
static inline uint16_t hvsi_tci_from_ppi(uint32_t v)
{
	return (uint16_t)((v & 7) << 13 | (v & 8) << 9 | (v >> 4 & 0xfff));
}

static inline uint32_t hvsi_tci_to_ppi(uint16_t tci)
{
	return (uint32_t)tci >> 13 | (tci & 0x1000u) >> 9 | (tci & 0xfffu) << 4;
}

/* ---- what a guest wants done with a frame -------------------------------------------------------- */

struct hvsi_frame_request {
	uint32_t flags;  /* HVS_NET_CSUM, TSO */
	bool ip4_csum;   /* the IPv4 header's checksum */
	uint16_t l4_off; /* what the guest says; 0: nothing. To check ours */
	uint32_t mss;    /* with TSO */
};

/* Per-packet information to it; begin with zeroes. */
void hvsi_frame_want_csum(struct hvsi_frame_request *r, uint32_t ppi); /* type 0 */
void hvsi_frame_want_lso(struct hvsi_frame_request *r, uint32_t ppi);  /* type 2, LSO v1 and v2 */

/*
 * Fill in f for a back end with these offloads and rewrite the copy of the headers: IP lengths,
 * IPv4 checksum, seed or checksum of TCP and UDP, the tag. iov: [0] is the copy as h describes it
 * (h->bytes), which begins earlier if a tag is put in; then guest memory; what is behind the IP
 * packet of a frame with sums to be made is cut off. It stays f's. h is of no use then.
 *
 * 0: f can go to the back end. 1: it is to be cut first (hvsi_segments_start()), f->flags say how.
 * -EINVAL: the guest asked for what the headers don't allow; drop it.
 */
int hvsi_frame_prepare(struct hvs_net_frame *f, struct hvsi_headers *h,
		       const struct hvsi_frame_request *r, uint32_t offloads, struct iovec *iov,
		       uint16_t iovcnt);

/*
 * Bytes of the largest IP packet (without IP: of what follows Ethernet's header and tags) that f
 * becomes, which hvsi_frame_prepare() has made.
 */
uint32_t hvsi_frame_packet_len(const struct hvs_net_frame *f);

#endif
