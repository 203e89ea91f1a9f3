/* SPDX-License-Identifier: MIT */
#include "support/rndis.h"

#include "support/rndis_flaw.h"

void rndis_open(struct rndis *t)
{
	const struct hvsi_rndis_config cfg = {
		.mac = RNDIS_MAC,
		.name = "lan",
		.queues = 8,
		.offloads = HVSI_OFFLOAD_ALL,
		.link_up = true,
		.bits_per_second = 10000000000,
	};

	memset(t, 0, sizeof(*t));
	t->id = 1;
	t->env.may_set_mac = true;
	hvsi_rndis_init(&t->r, &cfg);
	hvsi_rndis_open(&t->r,
			&(struct hvsi_rndis_open){.ndis_major = 6, .ndis_minor = 30, .mtu = 1500});
}

void rndis_start(struct rndis *t)
{
	rndis_open(t);
	cr_assert_eq(rndis_initialize(t, 1), HVSI_RNDIS_SUCCESS);
}

void rndis_send(struct rndis *t, const void *msg, size_t len)
{
	const char *flaw = NULL;

	memset(&t->reply, 0xa5, sizeof(t->reply));
	t->changes = hvsi_rndis_control(&t->r, &t->env, msg, len, &t->reply);
	cr_assert_leq(t->reply.len, sizeof(t->reply.bytes));
	if (t->reply.len)
		flaw = rndis_flaw(msg, &t->reply);
	cr_assert_null(flaw, "%s", flaw);
}

static int64_t status(const struct rndis *t)
{
	struct hvsi_rndis_done done;

	if (!t->reply.len)
		return -1;
	memcpy(&done, t->reply.bytes, sizeof(done));
	return hvsi_get32(done.status);
}

int64_t rndis_initialize(struct rndis *t, uint32_t major)
{
	const struct hvsi_rndis_initialize msg = {
		.hdr = {hvsi_le32(HVSI_RNDIS_INITIALIZE), hvsi_le32(sizeof(msg))},
		.request_id = hvsi_le32(t->id++),
		.major = hvsi_le32(major),
		.max_transfer = hvsi_le32(0x4000),
	};

	rndis_send(t, &msg, sizeof(msg));
	return status(t);
}

int64_t rndis_request(struct rndis *t, uint32_t type, uint32_t oid, uint32_t info_off,
		      uint32_t info_len, const void *info, uint32_t sent)
{
	uint8_t msg[HVSI_RNDIS_MAX_CONTROL];
	const struct hvsi_rndis_request req = {
		.hdr = {hvsi_le32(type), hvsi_le32((uint32_t)sizeof(req) + sent)},
		.request_id = hvsi_le32(t->id++),
		.oid = hvsi_le32(oid),
		.info_len = hvsi_le32(info_len),
		.info_off = hvsi_le32(info_off),
	};

	cr_assert_leq(sent, sizeof(msg) - sizeof(req));
	memcpy(msg, &req, sizeof(req));
	if (sent)
		memcpy(msg + sizeof(req), info, sent);
	rndis_send(t, msg, sizeof(req) + sent);
	return status(t);
}

int64_t rndis_query(struct rndis *t, uint32_t oid, const void *in, uint32_t in_len, uint32_t *len)
{
	int64_t s = rndis_request(t, HVSI_RNDIS_QUERY, oid, 20, in_len, in, in_len);

	cr_assert_geq(s, 0);
	*len = t->reply.len - (uint32_t)sizeof(struct hvsi_rndis_query_done);
	return s;
}

int64_t rndis_set(struct rndis *t, uint32_t oid, const void *info, uint32_t len)
{
	return rndis_request(t, HVSI_RNDIS_SET, oid, 20, len, info, len);
}

void rndis_halt(struct rndis *t)
{
	const struct hvsi_rndis_simple msg = {
		.hdr = {hvsi_le32(HVSI_RNDIS_HALT), hvsi_le32(sizeof(msg))},
		.request_id = hvsi_le32(t->id++),
	};

	rndis_send(t, &msg, sizeof(msg));
	cr_assert_eq(t->reply.len, 0);
}

uint64_t rndis_number(struct rndis *t, uint32_t oid, uint32_t bytes)
{
	struct hvs_le64 value = {0};
	uint32_t len;

	cr_assert_eq(rndis_query(t, oid, NULL, 0, &len), HVSI_RNDIS_SUCCESS, "OID %#x", oid);
	cr_assert_eq(len, bytes, "OID %#x: %u bytes", oid, len);
	memcpy(&value, rndis_info(t), bytes);
	return hvsi_get64(value);
}

void rndis_expect_query_refused(struct rndis *t, uint32_t oid, uint32_t expected)
{
	uint32_t len;

	cr_assert_eq(rndis_query(t, oid, NULL, 0, &len), expected, "OID %#x", oid);
	cr_assert_eq(len, 0);
}
