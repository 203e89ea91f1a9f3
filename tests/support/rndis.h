/* SPDX-License-Identifier: MIT */
/* A driver that talks RNDIS to a struct hvsi_rndis of its own. */
#ifndef TEST_RNDIS_H
#define TEST_RNDIS_H

#include "vsp/network/oid.h"
#include "vsp/network/rndis.h"

#include <criterion/criterion.h>

#define RNDIS_MAC                                                                                  \
	{                                                                                          \
		0x00, 0x15, 0x5d, 0x01, 0x02, 0x03                                                 \
	}

struct rndis {
	struct hvsi_rndis r;
	struct hvsi_rndis_env env;
	uint32_t id;                     /* of the next request */
	uint32_t changes;                /* by the last one */
	struct hvsi_rndis_message reply; /* to the last one */
};

/* Everything the NIC can do, 8 channels, NDIS 6.30, an MTU of 1,500, not initialized. */
void rndis_open(struct rndis *t);
/* And initialized. */
void rndis_start(struct rndis *t);

/* Any bytes. An answer must be one that every driver understands. */
void rndis_send(struct rndis *t, const void *msg, size_t len);

/* These return the status; -1: there was no answer. */
int64_t rndis_initialize(struct rndis *t, uint32_t major);
/* The answer is at rndis_info(), *len bytes. */
int64_t rndis_query(struct rndis *t, uint32_t oid, const void *in, uint32_t in_len, uint32_t *len);
int64_t rndis_set(struct rndis *t, uint32_t oid, const void *info, uint32_t len);
/* With info_off and info_len as they are, and `sent` bytes behind the message's fixed part. */
int64_t rndis_request(struct rndis *t, uint32_t type, uint32_t oid, uint32_t info_off,
		      uint32_t info_len, const void *info, uint32_t sent);

static inline const uint8_t *rndis_info(const struct rndis *t)
{
	return t->reply.bytes + sizeof(struct hvsi_rndis_query_done);
}

void rndis_halt(struct rndis *t);

/* The answer is a number of so many bytes. */
uint64_t rndis_number(struct rndis *t, uint32_t oid, uint32_t bytes);
void rndis_expect_query_refused(struct rndis *t, uint32_t oid, uint32_t expected);

#endif
