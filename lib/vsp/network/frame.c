/* SPDX-License-Identifier: MIT */
/* What the headers of a frame say; tags; frames of a guest for a back end. */
#include "vsp/network/frame.h"

#include "util/le.h"
#include "vsp/network/checksum.h"
#include "vsp/network/segment.h"

#include <errno.h>
#include <string.h>

#define TYPE_8021Q 0x8100u
#define TYPE_8021AD 0x88a8u
#define TYPE_IP4 0x0800u
#define TYPE_IP6 0x86ddu
#define TYPE_MIN 0x0600u /* less is a length */
#define MAX_TAGS 2u
#define TYPE_AT 12u /* behind both addresses */

#define SNAP_BYTES 8u
#define ARP_BYTES 28u

#define EXT_HOP_BY_HOP 0u
#define EXT_ROUTING 43u
#define EXT_FRAGMENT 44u
#define EXT_AUTH 51u
#define EXT_DESTINATION 60u
#define EXT_MAX 8u /* headers */
#define EXT_MIN 8u /* bytes */

#define TCP_MIN 20u
#define UDP_BYTES 8u
#define ICMP_MIN 4u

#define MAX_IP 65535u

static void unreadable(struct hvsi_headers *h)
{
	h->flags |= HVSI_FRAME_UNREADABLE;
}

/* Headers end with the copy and with the IP packet. */
static uint32_t limit_of(const struct hvsi_headers *h)
{
	return h->copied < h->end ? h->copied : h->end;
}

static void parse_tcp(struct hvsi_headers *h, uint32_t off, uint32_t limit)
{
	uint32_t bytes;

	if (off + TCP_MIN > limit) {
		unreadable(h);
		return;
	}
	h->l4_off = (uint16_t)off;
	bytes = (uint32_t)(h->bytes[off + 12] >> 4) * 4;
	if (bytes < TCP_MIN || off + bytes > limit)
		unreadable(h);
	else
		h->payload_off = (uint16_t)(off + bytes);
}

static void parse_udp(struct hvsi_headers *h, uint32_t off, uint32_t limit)
{
	if (off + UDP_BYTES > limit) {
		unreadable(h);
		return;
	}
	h->l4_off = (uint16_t)off;
	h->payload_off = (uint16_t)(off + UDP_BYTES);
}

static void parse_l4(struct hvsi_headers *h, uint8_t protocol, uint32_t off)
{
	const uint8_t icmp = h->flags & HVSI_FRAME_IP4 ? HVSI_PROTO_ICMP : HVSI_PROTO_ICMP6;
	const uint32_t limit = limit_of(h);

	h->protocol = protocol;
	h->flags |= HVSI_FRAME_PROTOCOL;
	if (h->flags & HVSI_FRAME_LATER)
		return;
	if (protocol == HVSI_PROTO_TCP)
		parse_tcp(h, off, limit);
	else if (protocol == HVSI_PROTO_UDP)
		parse_udp(h, off, limit);
	else if (protocol == icmp && off + ICMP_MIN <= limit)
		h->l4_off = (uint16_t)off;
	else if (protocol == icmp)
		unreadable(h);
}

/* packet: bytes, as the IP header says. */
static void set_end(struct hvsi_headers *h, uint32_t packet, uint32_t min)
{
	if (packet < min || packet > h->len - h->l3_off)
		h->flags |= HVSI_FRAME_IP_LENGTH;
	else
		h->end = h->l3_off + packet;
}

static void parse_ip4(struct hvsi_headers *h)
{
	const uint8_t *ip = h->bytes + h->l3_off;
	uint32_t bytes;
	uint16_t fragment;

	if (h->l3_off + HVSI_IP4_MIN > h->copied) {
		unreadable(h);
		return;
	}
	bytes = (ip[0] & 0xfu) * 4;
	if (ip[0] >> 4 != 4 || bytes < HVSI_IP4_MIN) {
		unreadable(h);
		return;
	}
	h->flags |= HVSI_FRAME_IP4;
	set_end(h, hvsi_get_be16(ip + 2), bytes);
	if (h->l3_off + bytes > h->copied) {
		unreadable(h);
		return;
	}
	fragment = hvsi_get_be16(ip + 6);
	if (fragment & 0x3fff)
		h->flags |= HVSI_FRAME_FRAGMENT;
	if (fragment & 0x1fff)
		h->flags |= HVSI_FRAME_LATER;
	parse_l4(h, ip[9], h->l3_off + bytes);
}

static bool is_extension(uint8_t next)
{
	return next == EXT_HOP_BY_HOP || next == EXT_ROUTING || next == EXT_FRAGMENT ||
	       next == EXT_AUTH || next == EXT_DESTINATION;
}

static void parse_extensions(struct hvsi_headers *h, uint8_t next, uint32_t off)
{
	const uint32_t limit = limit_of(h);

	for (unsigned n = 0; is_extension(next); n++) {
		const uint8_t *ext = h->bytes + off;
		uint32_t bytes;

		if (n == EXT_MAX || off + EXT_MIN > limit) {
			unreadable(h);
			return;
		}
		bytes = (ext[1] + 1u) * 8;
		if (next == EXT_AUTH)
			bytes = (ext[1] + 2u) * 4;
		if (next == EXT_FRAGMENT) {
			bytes = EXT_MIN;
			h->flags |= HVSI_FRAME_FRAGMENT;
			if (hvsi_get_be16(ext + 2) & 0xfff8)
				h->flags |= HVSI_FRAME_LATER;
		}
		next = ext[0];
		off += bytes;
		if (h->flags & HVSI_FRAME_LATER)
			break; /* what follows is data */
		if (off > limit) {
			unreadable(h);
			return;
		}
	}
	if (!is_extension(next))
		parse_l4(h, next, off);
}

static void parse_ip6(struct hvsi_headers *h)
{
	const uint8_t *ip = h->bytes + h->l3_off;

	if (h->l3_off + HVSI_IP6_BYTES > h->copied || ip[0] >> 4 != 6) {
		unreadable(h);
		return;
	}
	h->flags |= HVSI_FRAME_IP6;
	set_end(h, HVSI_IP6_BYTES + hvsi_get_be16(ip + 4), HVSI_IP6_BYTES + 1);
	parse_extensions(h, ip[6], h->l3_off + HVSI_IP6_BYTES);
}

static void parse_arp(struct hvsi_headers *h)
{
	static const uint8_t ethernet_ip4[6] = {0, 1, 8, 0, 6, 4};

	if (h->l3_off + ARP_BYTES > h->copied ||
	    memcmp(h->bytes + h->l3_off, ethernet_ip4, sizeof(ethernet_ip4)) != 0)
		unreadable(h);
	else
		h->flags |= HVSI_FRAME_ARP;
}

static bool is_tag(uint16_t type)
{
	return type == TYPE_8021Q || type == TYPE_8021AD;
}

/*
 * An ethertype may hide behind LLC and SNAP (RFC 1042, and 802.1H): there are receivers who take it
 * for the same protocol.
 */
static uint16_t parse_snap(struct hvsi_headers *h, uint32_t *off)
{
	static const uint8_t rfc1042[6] = {0xaa, 0xaa, 3, 0, 0, 0};
	static const uint8_t bridged[6] = {0xaa, 0xaa, 3, 0, 0, 0xf8};
	const uint8_t *llc = h->bytes + *off;
	uint16_t type;

	if (*off + SNAP_BYTES > h->copied) {
		if (h->copied < h->len)
			unreadable(h);
		return 0;
	}
	if (memcmp(llc, rfc1042, sizeof(rfc1042)) != 0 &&
	    memcmp(llc, bridged, sizeof(bridged)) != 0)
		return 0;
	h->flags |= HVSI_FRAME_SNAP;
	type = hvsi_get_be16(llc + 6);
	*off += SNAP_BYTES;
	if (is_tag(type))
		unreadable(h);
	return type;
}

/* The tags. Returns where the ethertype behind them is; 0: that can't be said. */
static uint32_t parse_tags(struct hvsi_headers *h)
{
	uint32_t at = TYPE_AT;
	uint16_t type;

	while (is_tag(type = hvsi_get_be16(h->bytes + at))) {
		if (at + HVSI_TAG_BYTES + 2 > h->copied ||
		    at == TYPE_AT + MAX_TAGS * HVSI_TAG_BYTES) {
			h->inner_tags++;
			return 0;
		}
		if (at == TYPE_AT && type == TYPE_8021Q) {
			h->tagged = true;
			h->tag_inline = true;
			h->vlan_tci = hvsi_get_be16(h->bytes + at + 2);
		} else {
			h->inner_tags++;
		}
		at += HVSI_TAG_BYTES;
	}
	return at;
}

bool hvsi_frame_parse(struct hvsi_headers *h, const void *bytes, uint32_t copied, uint32_t len)
{
	uint32_t off;

	*h = (struct hvsi_headers){.bytes = bytes, .copied = copied, .len = len, .end = len};
	if (copied < HVS_NET_HEADER_BYTES)
		return false;
	off = parse_tags(h);
	if (!off) {
		unreadable(h);
		return true;
	}
	h->ethertype = hvsi_get_be16(h->bytes + off);
	off += 2;
	if (h->ethertype < TYPE_MIN)
		h->ethertype = parse_snap(h, &off);
	h->l3_off = (uint16_t)off;
	if (h->ethertype == TYPE_IP4)
		parse_ip4(h);
	else if (h->ethertype == TYPE_IP6)
		parse_ip6(h);
	else if (h->ethertype == HVSI_TYPE_ARP)
		parse_arp(h);
	return true;
}

/* ---- tags ---------------------------------------------------------------------------------------- */

void hvsi_frame_tagged(struct hvsi_headers *h, uint16_t tci)
{
	if (h->tag_inline)
		h->inner_tags++;
	h->tag_inline = false;
	h->tagged = true;
	h->vlan_tci = tci;
}

static void move(uint16_t *off, int by)
{
	if (*off)
		*off = (uint16_t)(*off + by);
}

uint8_t *hvsi_frame_pull_tag(struct hvsi_headers *h, uint8_t *copy)
{
	const int by = -(int)HVSI_TAG_BYTES;

	memmove(copy + HVSI_TAG_BYTES, copy, TYPE_AT);
	h->tag_inline = false;
	h->bytes = copy + HVSI_TAG_BYTES;
	h->copied -= HVSI_TAG_BYTES;
	h->len -= HVSI_TAG_BYTES;
	h->end -= HVSI_TAG_BYTES;
	move(&h->l3_off, by);
	move(&h->l4_off, by);
	move(&h->payload_off, by);
	return copy + HVSI_TAG_BYTES;
}

void hvsi_frame_push_tag(struct hvs_net_frame *f, struct iovec *first)
{
	const int by = HVSI_TAG_BYTES;
	uint8_t *to = (uint8_t *)first->iov_base - HVSI_TAG_BYTES;

	memmove(to, first->iov_base, TYPE_AT);
	hvsi_put_be16(to + TYPE_AT, TYPE_8021Q);
	hvsi_put_be16(to + TYPE_AT + 2, f->vlan_tci);
	first->iov_base = to;
	first->iov_len += HVSI_TAG_BYTES;
	f->len += HVSI_TAG_BYTES;
	f->flags &= ~HVS_NET_VLAN;
	f->vlan_tci = 0;
	move(&f->l3_off, by);
	move(&f->l4_off, by);
	move(&f->payload_off, by);
}

/* ---- what a guest wants done with a frame -------------------------------------------------------- */

#define PPI_CSUM_IP4 0x01u
#define PPI_CSUM_IP6 0x02u
#define PPI_CSUM_TCP 0x04u
#define PPI_CSUM_UDP 0x08u
#define PPI_CSUM_HEADER 0x10u

void hvsi_frame_want_csum(struct hvsi_frame_request *r, uint32_t ppi)
{
	if (!(ppi & (PPI_CSUM_IP4 | PPI_CSUM_IP6)))
		return;
	if (ppi & (PPI_CSUM_TCP | PPI_CSUM_UDP))
		r->flags |= HVS_NET_CSUM;
	if (ppi & PPI_CSUM_HEADER)
		r->ip4_csum = true;
	r->l4_off = (uint16_t)(ppi >> 16 & 0x3ff);
}

void hvsi_frame_want_lso(struct hvsi_frame_request *r, uint32_t ppi)
{
	r->flags |= HVS_NET_TSO | HVS_NET_CSUM;
	r->mss = ppi & 0xfffff;
	r->l4_off = (uint16_t)(ppi >> 20 & 0x3ff);
}

/* Guests leave different things in the field, so it is written anew. */
static void write_seed(const struct hvsi_headers *h, uint8_t *copy)
{
	struct hvsi_sum s = {0};

	hvsi_sum_pseudo(&s, copy + h->l3_off, h->protocol, h->end - h->l4_off);
	hvsi_put_be16(copy + h->l4_off + hvsi_l4_csum_off(h->protocol), hvsi_sum_fold(&s));
}

/* A frame to be segmented: its lengths are ours to say. */
static int prepare_large(struct hvs_net_frame *f, struct hvsi_headers *h,
			 struct hvsi_frame_request *r, uint8_t *copy)
{
	const uint32_t packet = h->len - h->l3_off;
	uint8_t *ip = copy + h->l3_off;

	if (packet > MAX_IP || !hvsi_frame_has_ports(h) || h->flags & HVSI_FRAME_SNAP ||
	    h->protocol != HVSI_PROTO_TCP || h->len <= h->payload_off)
		return -EINVAL;
	if (!hvsi_segments_allowed(r->mss, h->len - h->payload_off))
		return -EINVAL;
	h->end = h->len;
	h->flags &= (uint16_t)~HVSI_FRAME_IP_LENGTH;
	if (h->flags & HVSI_FRAME_IP4) {
		hvsi_put_be16(ip + 2, (uint16_t)packet);
		r->ip4_csum = true;
	} else {
		hvsi_put_be16(ip + 4, (uint16_t)(packet - HVSI_IP6_BYTES));
	}
	if (h->len - h->payload_off > r->mss) {
		f->flags |= HVS_NET_TSO;
		f->mss = (uint16_t)r->mss;
	}
	return 0;
}

/* What Ethernet was padded with is not part of the sum, and back ends sum to the end. */
static void trim(struct hvs_net_frame *f, struct hvsi_headers *h, struct iovec *iov)
{
	uint32_t left = h->end;
	uint16_t n = 0;

	while (left && n < f->iovcnt) {
		if (iov[n].iov_len > left)
			iov[n].iov_len = left;
		left -= (uint32_t)iov[n++].iov_len;
	}
	f->iovcnt = n;
	f->len = h->end;
	h->len = h->end;
}

static int prepare_csum(struct hvs_net_frame *f, struct hvsi_headers *h, uint8_t *copy,
			struct iovec *iov)
{
	if (!hvsi_frame_has_ports(h) || h->flags & HVSI_FRAME_IP_LENGTH)
		return -EINVAL;
	if (h->protocol == HVSI_PROTO_UDP &&
	    hvsi_get_be16(copy + h->l4_off + 4) != h->end - h->l4_off)
		return -EINVAL;
	if (h->end < h->len)
		trim(f, h, iov);
	f->flags |= HVS_NET_CSUM;
	write_seed(h, copy);
	return 0;
}

static int prepare_ip4(const struct hvsi_headers *h, uint8_t *copy)
{
	uint8_t *ip = copy + h->l3_off;

	if (!(h->flags & HVSI_FRAME_IP4))
		return 0; /* some guests say so of IPv6 too */
	if (!(h->flags & HVSI_FRAME_PROTOCOL))
		return -EINVAL;
	hvsi_ip4_set_csum(ip, (size_t)(ip[0] & 0xfu) * 4);
	return 0;
}

static int rewrite(struct hvs_net_frame *f, struct hvsi_headers *h, struct hvsi_frame_request r,
		   struct iovec *iov)
{
	uint8_t *copy = iov->iov_base;
	int err = 0;

	if (r.l4_off >= h->len)
		return -EINVAL;
	if (r.flags & HVS_NET_TSO)
		err = prepare_large(f, h, &r, copy);
	if (!err && r.flags & HVS_NET_CSUM)
		err = prepare_csum(f, h, copy, iov);
	if (!err && r.ip4_csum)
		err = prepare_ip4(h, copy);
	return err;
}

int hvsi_frame_prepare(struct hvs_net_frame *f, struct hvsi_headers *h,
		       const struct hvsi_frame_request *r, uint32_t offloads, struct iovec *iov,
		       uint16_t iovcnt)
{
	bool cut = false;

	*f = (struct hvs_net_frame){HVS_NET_FRAME_INIT, .len = h->len, .iov = iov,
				    .iovcnt = iovcnt};
	if (h->flags & (HVSI_FRAME_IP4 | HVSI_FRAME_IP6))
		f->l3_off = h->l3_off;
	if (h->payload_off) {
		f->l4_off = h->l4_off;
		f->payload_off = h->payload_off;
	}
	if (r->flags || r->ip4_csum) {
		const int err = rewrite(f, h, *r, iov);

		if (err)
			return err;
	}
	if (f->flags & HVS_NET_TSO) {
		cut = (f->flags & ~offloads) != 0;
	} else if (f->flags & ~offloads) {
		(void)hvsi_frame_sum_l4(h, iov->iov_base, iov, f->iovcnt);
		f->flags = 0;
	}
	if (h->tagged && !h->tag_inline) {
		f->flags |= HVS_NET_VLAN;
		f->vlan_tci = h->vlan_tci;
		if (!(offloads & HVS_NET_VLAN))
			hvsi_frame_push_tag(f, iov);
	}
	return cut;
}

/* Where what follows Ethernet's header and tags begins. */
static uint32_t after_ethernet(const struct hvs_net_frame *f)
{
	const uint8_t *bytes = f->iov[0].iov_base;
	uint32_t at = TYPE_AT;

	/* One more than guests can send in a frame that is understood: we may have added it. */
	for (unsigned n = 0; n <= MAX_TAGS && at + HVSI_TAG_BYTES + 2 <= f->iov[0].iov_len; n++) {
		if (!is_tag(hvsi_get_be16(bytes + at)))
			break;
		at += HVSI_TAG_BYTES;
	}
	return at + 2;
}

uint32_t hvsi_frame_packet_len(const struct hvs_net_frame *f)
{
	const uint32_t l3_off = f->l3_off ? f->l3_off : after_ethernet(f);

	if (f->flags & HVS_NET_TSO)
		return f->payload_off - l3_off + (uint32_t)f->mss;
	return f->len - l3_off;
}
