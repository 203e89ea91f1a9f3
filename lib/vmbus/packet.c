/* SPDX-License-Identifier: MIT */
#include "vmbus/packet.h"

#include "util/le.h"

#define FLAG_COMPLETION_REQUESTED 1u

/* Extended header of a GPA-direct packet, before the ranges. */
struct gpa_direct_header {
	struct hvs_le32 reserved; /* may hold garbage */
	struct hvs_le32 range_count;
};

static enum hvs_fault_code parse_ranges(const struct hvsi_descriptor *desc, const uint8_t *bytes,
					const struct hvs_mem *mem, struct hvsi_map_pool *pool,
					struct hvs_extents *extents)
{
	const size_t first = HVSI_RING_DESCRIPTOR + sizeof(struct gpa_direct_header);
	const size_t end = (size_t)desc->header_len8 * 8;
	struct gpa_direct_header h;

	if (end < first)
		return HVS_FAULT_PACKET_RANGES;
	memcpy(&h, bytes + HVSI_RING_DESCRIPTOR, sizeof(h));
	if (hvsi_extents_parse(extents, mem, pool, bytes + first, end - first,
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
		.wants_completion = desc->flags & FLAG_COMPLETION_REQUESTED,
		.len = desc->len8 * 8u - header_len,
		.xid = desc->xid,
		.data = bytes + header_len,
	};
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
