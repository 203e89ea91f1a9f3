/* SPDX-License-Identifier: MIT */
/* What the files of RNDIS control share. Statuses are HVSI_RNDIS_*, changes enum hvsi_rndis_change. */
#ifndef HVSI_NETWORK_RNDIS_IMPL_H
#define HVSI_NETWORK_RNDIS_IMPL_H

#include "vsp/network/rndis.h"

/* What came with a request, in private memory. */
struct hvsi_info {
	const uint8_t *bytes;
	uint32_t len;
};

/* What can be done for this guest. */
static inline uint32_t hvsi_rndis_can(const struct hvsi_rndis *r)
{
	return r->rsc ? r->offloads : r->offloads & ~(uint32_t)HVSI_OFFLOAD_RSC;
}

/* ---- rndis.c ------------------------------------------------------------------------------ */

/* The guest's driver wants another address. Returns a status. */
uint32_t hvsi_rndis_set_mac(struct hvsi_rndis *r, const struct hvsi_rndis_env *env,
			    const uint8_t mac[6], uint32_t *changes);

/* ---- oid.c -------------------------------------------------------------------------------- */

#define HVSI_OID_MAX_ANSWER 512u

/* Of the link, in units of 100 bits per second. */
uint32_t hvsi_rndis_speed(const struct hvsi_rndis *r);

/* Returns a status; *len is 0 unless that is success. `answer` has HVSI_OID_MAX_ANSWER bytes. */
uint32_t hvsi_oid_query(const struct hvsi_rndis *r, const struct hvsi_rndis_env *env, uint32_t oid,
			struct hvsi_info asked, uint8_t *answer, uint32_t *len);

/* Returns a status. */
uint32_t hvsi_oid_set(struct hvsi_rndis *r, const struct hvsi_rndis_env *env, uint32_t oid,
		      struct hvsi_info info, uint32_t *changes);

/* ---- offload.c ---------------------------------------------------------------------------- */

/* A set of offloads as guests know it. */
void hvsi_offload_put(uint32_t on, struct hvsi_ndis_offload *to);
void hvsi_offload_put_encapsulation(struct hvsi_ndis_offload_encapsulation *to);

/* These three return a status. */
uint32_t hvsi_offload_set(struct hvsi_rndis *r, struct hvsi_info info, uint32_t *changes);
uint32_t hvsi_offload_set_encapsulation(struct hvsi_info info);
uint32_t hvsi_offload_set_keyword(struct hvsi_rndis *r, const struct hvsi_rndis_env *env,
				  struct hvsi_info info, uint32_t *changes);

/* ---- rss.c -------------------------------------------------------------------------------- */

void hvsi_rss_put_capabilities(const struct hvsi_rndis *r, struct hvsi_ndis_rss_capabilities *to);

/* Returns a status. */
uint32_t hvsi_rss_set(struct hvsi_rndis *r, struct hvsi_info info, uint32_t *changes);

/* The types among those of `hash` that there are; 0 if RSS is off with it. */
uint32_t hvsi_rss_known(uint32_t hash);

/* `with` is what holds now; its generation is ignored. */
void hvsi_rss_replace(struct hvsi_rndis *r, const struct hvsi_rss *with);

#endif
