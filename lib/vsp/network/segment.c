/* SPDX-License-Identifier: MIT */
#include "vsp/network/segment.h"

#include "util/le.h"
#include "vsp/network/checksum.h"
#include "vsp/network/frame.h"

#include <errno.h>
#include <string.h>

#define TCP_MIN 20u
#define UDP_BYTES 8u
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u
#define MAX_IP 65535u

static uint32_t count_of(uint32_t mss, uint32_t payload)
{
	return (payload + mss - 1) / mss;
}

bool hvsi_segments_allowed(uint32_t mss, uint32_t payload)
{
	if (!mss || mss > MAX_IP || !payload || payload > HVS_NET_MAX_FRAME)
		return false;
	return mss >= HVSI_SEGMENT_SMALL || count_of(mss, payload) <= HVSI_SEGMENT_FEW;
}

static bool offsets_ok(const struct hvs_net_frame *f, const uint8_t *headers, bool tcp)
{
	uint32_t ip_min;
	uint32_t payload;

	if (f->l3_off < HVS_NET_HEADER_BYTES || f->l4_off <= f->l3_off ||
	    f->payload_off > HVS_NET_MAX_COPIED || f->payload_off >= f->len)
		return false;
	if (f->payload_off < f->l4_off + (tcp ? TCP_MIN : UDP_BYTES))
		return false;
	ip_min = headers[f->l3_off] >> 4 == 6 ? HVSI_IP6_BYTES : HVSI_IP4_MIN;
	payload = f->len - f->payload_off;
	if (payload > f->mss)
		payload = f->mss;
	return f->l4_off >= f->l3_off + ip_min && f->payload_off - f->l3_off + payload <= MAX_IP;
}

int hvsi_segments_start(struct hvsi_segments *s, const struct hvs_net_frame *f,
			const uint8_t *headers, bool csum_left)
{
	const bool tcp = f->flags & HVS_NET_TSO;

	if (!offsets_ok(f, headers, tcp) || !hvsi_segments_allowed(f->mss, f->len - f->payload_off))
		return -EINVAL;
	*s = (struct hvsi_segments){
		.headers = headers,
		.iov = f->iov,
		.iovcnt = f->iovcnt,
		.piece_off = f->payload_off,
		.left = f->len - f->payload_off,
		.l3_off = f->l3_off,
		.l4_off = f->l4_off,
		.payload_off = f->payload_off,
		.mss = f->mss,
		.vlan_tci = f->vlan_tci,
		.flags = (f->flags & HVS_NET_VLAN) | (csum_left ? HVS_NET_CSUM : 0),
		.ip6 = headers[f->l3_off] >> 4 == 6,
		.tcp = tcp,
	};
	s->count = (uint16_t)count_of(s->mss, s->left);
	return 0;
}

/* Names the next len bytes of payload. The number of pieces; 0: more than max. */
static size_t take_payload(struct hvsi_segments *s, uint32_t len, struct iovec *iov, size_t max)
{
	size_t n = 0;

	while (len && s->piece < s->iovcnt) {
		const struct iovec *from = &s->iov[s->piece];
		size_t have;

		if (s->piece_off >= from->iov_len) {
			s->piece_off -= from->iov_len;
			s->piece++;
			continue;
		}
		if (n == max)
			return 0;
		have = from->iov_len - s->piece_off;
		if (have > len)
			have = len;
		iov[n].iov_base = (uint8_t *)from->iov_base + s->piece_off;
		iov[n++].iov_len = have;
		s->piece_off += have;
		len -= (uint32_t)have;
	}
	return n;
}

static void write_ip(const struct hvsi_segments *s, uint8_t *headers, uint32_t payload)
{
	const uint32_t packet = s->payload_off - s->l3_off + payload;
	uint8_t *ip = headers + s->l3_off;

	if (s->ip6) {
		hvsi_put_be16(ip + 4, (uint16_t)(packet - HVSI_IP6_BYTES));
		return;
	}
	hvsi_put_be16(ip + 2, (uint16_t)packet);
	hvsi_put_be16(ip + 4, (uint16_t)(hvsi_get_be16(ip + 4) + s->index));
	hvsi_ip4_set_csum(ip, s->l4_off - s->l3_off);
}

static void write_l4(const struct hvsi_segments *s, uint8_t *headers, uint32_t payload)
{
	uint8_t *l4 = headers + s->l4_off;

	if (!s->tcp) {
		hvsi_put_be16(l4 + 4, (uint16_t)(UDP_BYTES + payload));
		return;
	}
	hvsi_put_be32(l4 + 4, hvsi_get_be32(l4 + 4) + s->done);
	if (s->index)
		l4[13] &= (uint8_t)~TCP_CWR;
	if (s->index + 1 < s->count)
		l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
}

static void write_csum(const struct hvsi_segments *s, uint8_t *headers, const struct iovec *iov,
		       size_t iovcnt, uint32_t payload)
{
	const uint8_t protocol = s->tcp ? HVSI_PROTO_TCP : HVSI_PROTO_UDP;
	uint8_t *field = headers + s->l4_off + hvsi_l4_csum_off(protocol);
	const uint32_t l4_bytes = s->payload_off - s->l4_off;
	struct hvsi_sum sum = {0};
	uint16_t csum;

	hvsi_put_be16(field, 0);
	hvsi_sum_pseudo(&sum, headers + s->l3_off, protocol, l4_bytes + payload);
	if (s->flags & HVS_NET_CSUM) {
		hvsi_put_be16(field, hvsi_sum_fold(&sum));
		return;
	}
	hvsi_sum_bytes(&sum, headers + s->l4_off, l4_bytes);
	hvsi_sum_iov(&sum, iov, iovcnt, 0, payload);
	csum = (uint16_t)~hvsi_sum_fold(&sum);
	if (!csum && !s->tcp)
		csum = 0xffff; /* 0 means that there is none */
	hvsi_put_be16(field, csum);
}

int hvsi_segments_next(struct hvsi_segments *s, uint8_t *headers, struct iovec *iov, size_t max,
		       struct hvs_net_frame *out)
{
	const uint32_t payload = s->left < s->mss ? s->left : s->mss;
	size_t pieces;

	if (!payload)
		return 0;
	pieces = max > 1 ? take_payload(s, payload, iov + 1, max - 1) : 0;
	if (!pieces)
		return -ENOBUFS;
	memcpy(headers, s->headers, s->payload_off);
	iov[0] = (struct iovec){.iov_base = headers, .iov_len = s->payload_off};
	write_ip(s, headers, payload);
	write_l4(s, headers, payload);
	write_csum(s, headers, iov + 1, pieces, payload);
	*out = (struct hvs_net_frame){
		HVS_NET_FRAME_INIT,
		.flags = s->flags,
		.len = s->payload_off + payload,
		.l3_off = s->l3_off,
		.l4_off = s->l4_off,
		.payload_off = s->payload_off,
		.vlan_tci = s->vlan_tci,
		.iovcnt = (uint16_t)(pieces + 1),
		.iov = iov,
	};
	s->left -= payload;
	s->done += payload;
	s->index++;
	return 1;
}
