/* SPDX-License-Identifier: MIT */
/* Cutting a large frame (HVS_NET_TSO, HVS_NET_USO) into what fits a network. */
#ifndef HVSI_NETWORK_SEGMENT_H
#define HVSI_NETWORK_SEGMENT_H

#include <hvstack/network.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a guest may ask for: `mss` of at least HVSI_SEGMENT_SMALL, or at most HVSI_SEGMENT_FEW
 * segments. So a frame never becomes more than HVSI_SEGMENTS_MAX.
 */
#define HVSI_SEGMENT_SMALL 64u
#define HVSI_SEGMENT_FEW 128u
#define HVSI_SEGMENTS_MAX 1024u

struct hvsi_segments {
	const uint8_t *headers; /* the large frame's, payload_off bytes; private */
	const struct iovec *iov;
	size_t iovcnt;
	size_t piece;     /* next payload: of iov */
	size_t piece_off; /* bytes into it */
	uint32_t left;    /* bytes of payload */
	uint32_t done;
	uint16_t count;
	uint16_t index; /* of the next segment */
	uint16_t l3_off;
	uint16_t l4_off;
	uint16_t payload_off;
	uint16_t mss;
	uint16_t vlan_tci;
	uint32_t flags; /* of each segment: HVS_NET_VLAN, and HVS_NET_CSUM if that is left undone */
	bool ip6;
	bool tcp;
};

/* mss and bytes of payload as a guest may ask for. */
bool hvsi_segments_allowed(uint32_t mss, uint32_t payload);

/*
 * Begin. headers: a private copy of f's first payload_off bytes. f has its offsets, HVS_NET_TSO or
 * USO, mss and iov, which stay until the last segment. csum_left: the segments' checksums are left
 * to others (HVS_NET_CSUM, seeds in the fields), else they are complete.
 *
 * 0, -EINVAL (offsets, mss or payload make no sense; frames that hvsi_frame_prepare() made are
 * good).
 */
int hvsi_segments_start(struct hvsi_segments *s, const struct hvs_net_frame *f,
			const uint8_t *headers, bool csum_left);

/*
 * The next segment: its headers into `headers` (payload_off bytes of room, at most
 * HVS_NET_MAX_COPIED), iov[0] names them, iov[1..] its payload where it lies. Fills in `out`.
 *
 * 1, 0 (there is no more), -ENOBUFS (its payload is in more than max - 1 pieces, with which the
 * iteration is over; f->iovcnt + 1 is always enough).
 */
int hvsi_segments_next(struct hvsi_segments *s, uint8_t *headers, struct iovec *iov, size_t max,
		       struct hvs_net_frame *out);

#endif
