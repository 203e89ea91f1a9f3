/* SPDX-License-Identifier: MIT */
#include "vmbus/packet.h"

#include "vmbus/packet_proto.h"

static enum hvs_fault_code parse_ranges(const struct hvsi_descriptor *desc, const uint8_t *bytes,
					const struct hvs_mem *mem, struct hvsi_map_pool *pool,
					struct hvs_extents *extents)
{
	const size_t first = HVSI_RING_DESCRIPTOR + sizeof(struct hvsi_gpa_direct_header);
	const size_t end = (size_t)desc->header_len8 * 8;
	struct hvsi_gpa_direct_header h;

	if (end < first)
		return HVS_FAULT_PACKET_RANGES;
	memcpy(&h, bytes + HVSI_RING_DESCRIPTOR, sizeof(h));
	if (!hvsi_get32(h.range_count) ||
	    hvsi_extents_parse(extents, mem, pool, bytes + first, end - first,
			       hvsi_get32(h.range_count), NULL) < 0)
		return HVS_FAULT_PACKET_RANGES;
	return HVS_FAULT_NONE;
}

enum hvs_fault_code hvsi_packet_parse(const struct hvsi_descriptor *desc, const uint8_t *bytes,
				      const struct hvs_mem *mem, struct hvsi_map_pool *pool,
				      struct hvs_packet *pkt, struct hvs_extents *extents)
{
	const uint32_t header_len = desc->header_len8 * 8u;

	*pkt = (struct hvs_packet){
		.wants_completion = desc->flags & HVSI_PACKET_COMPLETION_REQUESTED,
		.len = desc->len8 * 8u - header_len,
		.xid = desc->xid,
		.data = bytes + header_len,
	};
	if (desc->flags & ~HVSI_PACKET_COMPLETION_REQUESTED)
		return HVS_FAULT_PACKET_TYPE;
	switch (desc->type) {
	case HVS_PACKET_INBAND:
		pkt->type = HVS_PACKET_INBAND;
		return HVS_FAULT_NONE;
	case HVS_PACKET_COMPLETION:
		pkt->type = HVS_PACKET_COMPLETION;
		return HVS_FAULT_NONE;
	case HVS_PACKET_GPA_DIRECT:
		pkt->type = HVS_PACKET_GPA_DIRECT;
		pkt->extents = extents;
		return parse_ranges(desc, bytes, mem, pool, extents);
	default:
		return HVS_FAULT_PACKET_TYPE;
	}
}

enum hvs_fault_code hvsi_packet_unpipe(struct hvs_packet *pkt)
{
	if (pkt->type == HVS_PACKET_COMPLETION)
		return HVS_FAULT_NONE;
	if (pkt->type != HVS_PACKET_INBAND)
		return HVS_FAULT_PACKET_TYPE;
	if (!hvsi_pipe_check(pkt->data, pkt->len, &pkt->len))
		return HVS_FAULT_PACKET_HEADER;
	pkt->data = (const uint8_t *)pkt->data + sizeof(struct hvsi_pipe_header);
	return HVS_FAULT_NONE;
}
