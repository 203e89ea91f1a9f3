/* SPDX-License-Identifier: MIT */
/*
 * Frames of a TAP. In front of each is what the kernel calls a virtio_net_hdr, of the 12 bytes that
 * TUNSETVNETHDRSZ asked for, in the host's byte order.
 */
#include "host/tap_impl.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#define VNET_BYTES ((uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf))
#define ADDRESSES_BYTES 12u
#define TAG_BYTES 4u
#define TYPE_VLAN 0x8100u
#define TYPE_IP4 0x0800u
#define TYPE_IP6 0x86ddu
#define IP6_BYTES 40u
#define PROTO_TCP 6u
#define PROTO_UDP 17u
#define TCP_CHECKSUM_OFFSET 16u
#define UDP_CHECKSUM_OFFSET 6u
#define TCP_MIN_BYTES 20u
#define UDP_BYTES 8u
#define TCP_FLAG_CWR 0x80u
/* linux/virtio_net.h has it since 6.2. */
#define GSO_UDP_L4 5u
/* Pieces of a frame, with what is put in front: more than a frame of 64 KiB in pages can have. */
#define MAX_PIECES 256u

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* ---- to the guest ----------------------------------------------------------------------- */

/* What the kernel would have done with a frame that is nothing the NIC could finish: a checksum
 * inside of a tunnel, for example. */
static bool finish_checksum(uint8_t *bytes, uint32_t len, uint32_t start, uint32_t offset)
{
	uint64_t sum = 0;

	if (start > len || len - start < 2 || offset > len - start - 2)
		return false;
	for (uint32_t i = start; i + 1 < len; i += 2)
		sum += be16(bytes + i);
	if ((len - start) % 2)
		sum += (unsigned)bytes[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum ^= 0xffff;
	if (sum == 0 && offset == UDP_CHECKSUM_OFFSET)
		sum = 0xffff;
	bytes[start + offset] = (uint8_t)(sum >> 8);
	bytes[start + offset + 1] = (uint8_t)sum;
	return true;
}

/* Does the IP header's payload begin at l4 with that protocol? IPv6: behind extension headers only
 * where the kernel says that it is a segment. */
static bool l3_leads_to(const uint8_t *bytes, uint32_t l4, unsigned proto, bool gso)
{
	const uint8_t *ip = bytes + HVS_NET_HEADER_BYTES;

	switch (be16(bytes + ADDRESSES_BYTES)) {
	case TYPE_IP4:
		return l4 == HVS_NET_HEADER_BYTES + (ip[0] & 0xfu) * 4u && ip[9] == proto;
	case TYPE_IP6:
		return (l4 == HVS_NET_HEADER_BYTES + IP6_BYTES && ip[6] == proto) ||
		       (l4 > HVS_NET_HEADER_BYTES + IP6_BYTES && gso);
	default:
		return false;
	}
}

/* Offsets of a frame whose TCP or UDP checksum is to be done. False: it is something else. */
static bool describe(struct hvs_net_frame *frame, const uint8_t *bytes, uint32_t len, uint32_t l4,
		     uint32_t offset, bool gso)
{
	const bool tcp = offset == TCP_CHECKSUM_OFFSET;
	uint32_t payload;

	if ((!tcp && offset != UDP_CHECKSUM_OFFSET) || l4 < HVS_NET_HEADER_BYTES + 20u ||
	    l4 > len || len - l4 < (tcp ? TCP_MIN_BYTES : UDP_BYTES) ||
	    !l3_leads_to(bytes, l4, tcp ? PROTO_TCP : PROTO_UDP, gso))
		return false;
	payload = l4 + (tcp ? (bytes[l4 + 12] >> 4) * 4u : UDP_BYTES);
	if (payload > len || (tcp && payload < l4 + TCP_MIN_BYTES))
		return false;
	frame->flags |= HVS_NET_CSUM;
	frame->l3_off = HVS_NET_HEADER_BYTES;
	frame->l4_off = (uint16_t)l4;
	frame->payload_off = (uint16_t)payload;
	return true;
}

/* The tag goes from the frame's bytes to the frame. Returns how many bytes shorter it is. */
static uint32_t take_tag(struct iovec *bytes, struct hvs_net_frame *frame)
{
	uint8_t *p = bytes->iov_base;

	if (bytes->iov_len < HVS_NET_HEADER_BYTES + TAG_BYTES ||
	    be16(p + ADDRESSES_BYTES) != TYPE_VLAN)
		return 0;
	frame->flags |= HVS_NET_VLAN;
	frame->vlan_tci = (uint16_t)be16(p + ADDRESSES_BYTES + 2);
	memmove(p + TAG_BYTES, p, ADDRESSES_BYTES);
	bytes->iov_base = p + TAG_BYTES;
	bytes->iov_len -= TAG_BYTES;
	return TAG_BYTES;
}

static bool tap_parse(void *arg, struct iovec *bytes, struct hvs_net_frame *frame)
{
	struct virtio_net_hdr_mrg_rxbuf vnet;
	const struct virtio_net_hdr *hdr = &vnet.hdr;
	uint32_t start;
	unsigned gso;

	(void)arg;
	if (bytes->iov_len < VNET_BYTES + HVS_NET_HEADER_BYTES)
		return false;
	memcpy(&vnet, bytes->iov_base, VNET_BYTES);
	bytes->iov_base = (uint8_t *)bytes->iov_base + VNET_BYTES;
	bytes->iov_len -= VNET_BYTES;
	start = hdr->csum_start - take_tag(bytes, frame);
	gso = hdr->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;

	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		if (hdr->flags & VIRTIO_NET_HDR_F_DATA_VALID)
			frame->flags |= HVS_NET_CSUM_GOOD;
		return gso == VIRTIO_NET_HDR_GSO_NONE;
	}
	if (!describe(frame, bytes->iov_base, (uint32_t)bytes->iov_len, start, hdr->csum_offset,
		      gso != VIRTIO_NET_HDR_GSO_NONE))
		return gso == VIRTIO_NET_HDR_GSO_NONE &&
		       finish_checksum(bytes->iov_base, (uint32_t)bytes->iov_len, start,
				       hdr->csum_offset);
	if (gso == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	frame->flags |= gso == GSO_UDP_L4 ? HVS_NET_USO : HVS_NET_TSO;
	frame->mss = hdr->gso_size;
	return frame->mss > 0 && (gso == GSO_UDP_L4) == (hdr->csum_offset == UDP_CHECKSUM_OFFSET);
}

static void tap_ended(void *arg, int err)
{
	const struct hvsi_tap_queue *q = arg;

	hvsi_tap_failed(q->tap, err ? err : EBADFD);
}

const struct hvsi_net_in_ops hvsi_tap_in_ops = {.parse = tap_parse, .ended = tap_ended};

/* ---- from the guest --------------------------------------------------------------------- */

static bool is_ip6(const struct hvs_net_frame *frame)
{
	const uint8_t *bytes = frame->iov[0].iov_base;

	return bytes[frame->l3_off] >> 4 == 6;
}

/* With HVS_NET_CSUM. All headers are in the first piece. */
static bool is_udp(const struct hvs_net_frame *frame)
{
	const uint8_t *ip = (const uint8_t *)frame->iov[0].iov_base + frame->l3_off;

	if (frame->flags & (HVS_NET_TSO | HVS_NET_USO))
		return frame->flags & HVS_NET_USO;
	if (!is_ip6(frame))
		return ip[9] == PROTO_UDP;
	if (frame->l4_off == frame->l3_off + IP6_BYTES)
		return ip[6] == PROTO_UDP;
	/* Behind extension headers its length tells: TCP's is at least 20. */
	return frame->payload_off == frame->l4_off + UDP_BYTES;
}

static void make_vnet(struct virtio_net_hdr *hdr, const struct hvs_net_frame *frame)
{
	const uint32_t tag = frame->flags & HVS_NET_VLAN ? TAG_BYTES : 0;
	const uint8_t *bytes = frame->iov[0].iov_base;

	if (!(frame->flags & HVS_NET_CSUM))
		return;
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = (uint16_t)(frame->l4_off + tag);
	hdr->csum_offset = is_udp(frame) ? UDP_CHECKSUM_OFFSET : TCP_CHECKSUM_OFFSET;
	if (!(frame->flags & (HVS_NET_TSO | HVS_NET_USO)))
		return;
	hdr->hdr_len = (uint16_t)(frame->payload_off + tag);
	hdr->gso_size = frame->mss;
	if (frame->flags & HVS_NET_USO)
		hdr->gso_type = GSO_UDP_L4;
	else
		hdr->gso_type = is_ip6(frame) ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	if (frame->flags & HVS_NET_TSO && bytes[frame->l4_off + 13] & TCP_FLAG_CWR)
		hdr->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

int hvsi_tap_send(void *queue, const struct hvs_net_frame *frame)
{
	const uint8_t tag[TAG_BYTES] = {TYPE_VLAN >> 8, TYPE_VLAN & 0xff,
					(uint8_t)(frame->vlan_tci >> 8), (uint8_t)frame->vlan_tci};
	const struct iovec *first = &frame->iov[0];
	const struct hvsi_tap_queue *q = queue;
	struct virtio_net_hdr_mrg_rxbuf vnet = {0};
	struct iovec iov[MAX_PIECES];
	unsigned n = 0;
	int err;

	if (frame->iovcnt == 0 || frame->iovcnt + 3u > MAX_PIECES ||
	    first->iov_len < HVS_NET_HEADER_BYTES)
		return -EINVAL;
	make_vnet(&vnet.hdr, frame);
	iov[n++] = (struct iovec){&vnet, VNET_BYTES};
	if (frame->flags & HVS_NET_VLAN) {
		iov[n++] = (struct iovec){first->iov_base, ADDRESSES_BYTES};
		iov[n++] = (struct iovec){(void *)tag, TAG_BYTES};
		iov[n++] = (struct iovec){(uint8_t *)first->iov_base + ADDRESSES_BYTES,
					  first->iov_len - ADDRESSES_BYTES};
	} else {
		iov[n++] = *first;
	}
	memcpy(&iov[n], first + 1, (frame->iovcnt - 1u) * sizeof(iov[0]));
	n += frame->iovcnt - 1u;
	do {
		err = writev(q->fd, iov, (int)n) < 0 ? -errno : 0;
	} while (err == -EINTR);
	if (err && err != -EAGAIN && err != -EINVAL)
		hvsi_tap_failed(q->tap, -err);
	return err;
}

/* ---- what the NIC calls ----------------------------------------------------------------- */

static struct hvsi_tap_queue *queue_of(struct hvs_tap *tap, uint32_t queue)
{
	return &tap->queues[queue % tap->queue_count];
}

static int tap_get_info(void *net, struct hvs_net_info *info)
{
	struct hvs_tap *tap = net;

	info->offloads = tap->offloads;
	info->mtu = tap->mtu;
	info->max_queues = tap->base_count;
	pthread_mutex_lock(&tap->lock);
	info->link_down = tap->state != HVSI_TAP_UP;
	pthread_mutex_unlock(&tap->lock);
	return 0;
}

static void tap_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	hvsi_net_out_tx(&queue_of(net, queue)->out, frames, n);
}

static void tap_rx_room(void *net, uint32_t queue)
{
	const struct hvs_tap *tap = net;

	if (queue < tap->queue_count)
		hvsi_net_in_room(&tap->queues[queue].in);
}

static void tap_attach(void *net, struct hvs_nic *nic)
{
	struct hvs_tap *tap = net;

	for (uint32_t i = 0; i < tap->queue_count; i++) {
		tap->queues[i].out.nic = nic;
		hvsi_net_in_attach(&tap->queues[i].in, nic);
	}
	hvsi_tap_set_nic(tap, nic);
}

static void tap_detach(void *net)
{
	struct hvs_tap *tap = net;

	hvsi_tap_set_nic(tap, NULL);
	for (uint32_t i = 0; i < tap->queue_count; i++) {
		hvsi_net_in_detach(&tap->queues[i].in);
		hvsi_net_out_drop(&tap->queues[i].out);
	}
}

const struct hvs_net_ops *hvs_tap_ops(void)
{
	static const struct hvs_net_ops ops = {
		HVS_NET_OPS_INIT,       .get_info = tap_get_info, .tx = tap_tx,
		.rx_room = tap_rx_room, .attach = tap_attach,     .detach = tap_detach,
	};

	return &ops;
}
