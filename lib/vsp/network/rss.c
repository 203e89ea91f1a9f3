/* SPDX-License-Identifier: MIT */
/* Receive-side scaling, as the guest's driver sets it up. */
#include "vsp/network/rndis_impl.h"

#include <string.h>

#define KNOWN_TYPES                                                                                \
	(HVSI_HASH_IP4 | HVSI_HASH_TCP4 | HVSI_HASH_UDP4 | HVSI_HASH_IP6 | HVSI_HASH_TCP6 |        \
	 HVSI_HASH_UDP6)

void hvsi_rss_put_capabilities(const struct hvsi_rndis *r, struct hvsi_ndis_rss_capabilities *to)
{
	*to = (struct hvsi_ndis_rss_capabilities){
		.hdr = {HVSI_NDIS_RSS_CAPABILITIES, 2, hvsi_le16(sizeof(*to))},
		.flags = hvsi_le32(HVSI_NDIS_RSS_CAN_TOEPLITZ | HVSI_NDIS_RSS_CAN_TCP4 |
				   HVSI_NDIS_RSS_CAN_TCP6 | HVSI_NDIS_RSS_CAN_UDP4 |
				   HVSI_NDIS_RSS_CAN_UDP6),
		.interrupt_messages = hvsi_le32(1),
		.queues = hvsi_le32(r->queues),
		.table_entries = hvsi_le16(HVSI_RSS_ENTRIES),
	};
}

uint32_t hvsi_rss_known(uint32_t hash)
{
	if ((hash & HVSI_HASH_FUNCTION_MASK) != HVSI_HASH_TOEPLITZ)
		return 0;
	return hash & (HVSI_HASH_TOEPLITZ | KNOWN_TYPES);
}

void hvsi_rss_replace(struct hvsi_rndis *r, const struct hvsi_rss *with)
{
	hvsi_spin_lock(&r->rss_lock);
	uint32_t generation = r->rss.generation + 1;

	r->rss = *with;
	r->rss.generation = generation ? generation : 1; /* 0 is older than any */
	atomic_store_explicit(&r->rss_generation, r->rss.generation, memory_order_release);
	hvsi_spin_unlock(&r->rss_lock);
}

void hvsi_rndis_rss_copy(struct hvsi_rndis *r, struct hvsi_rss *mine)
{
	hvsi_spin_lock(&r->rss_lock);
	*mine = r->rss;
	hvsi_spin_unlock(&r->rss_lock);
}

static bool inside(struct hvsi_info info, uint32_t off, uint32_t len)
{
	return off <= info.len && len <= info.len - off;
}

/* The guest's table as often as it fits into ours. */
static bool read_table(const struct hvsi_rndis *r, struct hvsi_info info,
		       const struct hvsi_ndis_rss_parameters *p, uint16_t table[HVSI_RSS_ENTRIES])
{
	uint32_t off = hvsi_get32(p->table_off);
	uint32_t bytes = hvsi_get16(p->table_bytes);
	uint32_t count = bytes / sizeof(struct hvs_le32);

	if (!bytes || bytes % sizeof(struct hvs_le32) || !inside(info, off, bytes))
		return false;
	if (count > HVSI_RSS_ENTRIES)
		count = HVSI_RSS_ENTRIES;
	for (uint32_t i = 0; i < count; i++) {
		struct hvs_le32 entry;

		memcpy(&entry, info.bytes + off + i * sizeof(entry), sizeof(entry));
		if (hvsi_get32(entry) >= r->queues)
			return false;
		table[i] = (uint16_t)hvsi_get32(entry);
	}
	for (uint32_t i = count; i < HVSI_RSS_ENTRIES; i++)
		table[i] = table[i - count];
	return true;
}

/* The header's size is that of the structure in some drivers, in others with all that is behind:
 * what counts is how much was sent. */
uint32_t hvsi_rss_set(struct hvsi_rndis *r, struct hvsi_info info, uint32_t *changes)
{
	struct hvsi_ndis_rss_parameters p = {0};
	struct hvsi_rss to = r->rss; /* only this thread changes it */
	uint32_t hash, flags;

	if (info.len < HVSI_NDIS_RSS_PARAMETERS_MIN)
		return HVSI_RNDIS_INVALID_LENGTH;
	memcpy(&p, info.bytes, info.len < sizeof(p) ? info.len : sizeof(p));
	flags = hvsi_get16(p.flags);
	hash = flags & HVSI_NDIS_RSS_SAME_HASH ? to.hash : hvsi_get32(p.hash);
	if (flags & HVSI_NDIS_RSS_DISABLE || !(hash & HVSI_HASH_FUNCTION_MASK)) {
		to.hash = 0;
	} else {
		if ((hash & HVSI_HASH_FUNCTION_MASK) != HVSI_HASH_TOEPLITZ)
			return HVSI_RNDIS_NOT_SUPPORTED;
		to.hash = hvsi_rss_known(hash);
		if (!(flags & HVSI_NDIS_RSS_SAME_KEY)) {
			if (hvsi_get16(p.key_bytes) != sizeof(to.key) ||
			    !inside(info, hvsi_get32(p.key_off), sizeof(to.key)))
				return HVSI_RNDIS_INVALID_DATA;
			memcpy(to.key, info.bytes + hvsi_get32(p.key_off), sizeof(to.key));
		}
		if (!(flags & HVSI_NDIS_RSS_SAME_TABLE) && !read_table(r, info, &p, to.table))
			return HVSI_RNDIS_INVALID_DATA;
	}
	hvsi_rss_replace(r, &to);
	*changes |= HVSI_RNDIS_CHANGED_RSS;
	return HVSI_RNDIS_SUCCESS;
}
