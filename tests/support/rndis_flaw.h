/* SPDX-License-Identifier: MIT */
/* What a driver could take offence at in an answer or an indication. */
#ifndef TEST_RNDIS_FLAW_H
#define TEST_RNDIS_FLAW_H

#include "vsp/network/rndis.h"

/* Bytes behind the fixed part that OpenBSD has room for. */
#define RNDIS_FLAW_MAX_INFO 512u

/* What is wrong with the answer to a request; NULL: nothing. */
static inline const char *rndis_flaw(const void *request, const struct hvsi_rndis_message *reply)
{
	struct hvsi_rndis_query_done q = {0};
	struct hvsi_rndis_simple req;
	uint32_t type, info_len;

	memcpy(&req, request, sizeof(req));
	type = hvsi_get32(req.hdr.type);
	if (!reply->len)
		return type == HVSI_RNDIS_HALT ? NULL : "no answer";
	if (type == HVSI_RNDIS_HALT)
		return "HALT has no answer";
	if (reply->len < sizeof(struct hvsi_rndis_done) || reply->len > sizeof(reply->bytes))
		return "length";
	memcpy(&q, reply->bytes, reply->len < sizeof(q) ? reply->len : sizeof(q));
	if (hvsi_get32(q.hdr.type) != (type | HVSI_RNDIS_COMPLETION))
		return "type";
	if (hvsi_get32(q.hdr.len) != reply->len)
		return "length in the header";
	if (type != HVSI_RNDIS_RESET && hvsi_get32(q.request_id) != hvsi_get32(req.request_id))
		return "request id";
	switch (type) {
	case HVSI_RNDIS_INITIALIZE:
		return reply->len == sizeof(struct hvsi_rndis_initialize_done) ? NULL : "size";
	case HVSI_RNDIS_QUERY:
	case HVSI_RNDIS_SET_EX:
		info_len = hvsi_get32(q.info_len);
		if (reply->len != sizeof(q) + info_len)
			return "length of the information";
		if (hvsi_get32(q.info_off) != sizeof(q) - HVSI_RNDIS_OFFSETS_FROM)
			return "the information is not at once behind the header";
		if (hvsi_get32(q.status) != HVSI_RNDIS_SUCCESS && info_len)
			return "Linux looks at the length, not at the status";
		return info_len <= RNDIS_FLAW_MAX_INFO ? NULL : "too much information";
	default:
		return reply->len == sizeof(struct hvsi_rndis_done) ? NULL : "size";
	}
}

/* The same for an indication. */
static inline const char *rndis_indication_flaw(const struct hvsi_rndis_message *m)
{
	struct hvsi_rndis_indicate i;

	if (m->len < sizeof(i) || m->len > sizeof(m->bytes))
		return "length";
	memcpy(&i, m->bytes, sizeof(i));
	if (hvsi_get32(i.hdr.type) != HVSI_RNDIS_INDICATE_STATUS)
		return "type";
	if (hvsi_get32(i.hdr.len) != m->len || m->len != sizeof(i) + hvsi_get32(i.buf_len))
		return "length in the header";
	if (hvsi_get32(i.buf_off) != (hvsi_get32(i.buf_len) ? 12 : 0))
		return "offset of the buffer";
	return NULL;
}

#endif
