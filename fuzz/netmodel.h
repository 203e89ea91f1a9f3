/* SPDX-License-Identifier: MIT */
/*
 * Frames that a driver could want sent, and what a back end must be given for them: a model that
 * knows nothing of how the library does it.
 */
#ifndef FUZZ_NETMODEL_H
#define FUZZ_NETMODEL_H

#include "check.h"
#include "input.h"

#include "util/le.h"
#include "vsp/network/rndis_proto.h"

#include <hvstack/network.h>

#define MODEL_MAX_FRAME 9000u /* that is not to be cut */
#define MODEL_MAX_LARGE 62000u
#define MODEL_MIN_MSS 536u
#define MODEL_MAX_MSS 8900u

enum model_kind { MODEL_RAW, MODEL_TCP4, MODEL_UDP4, MODEL_TCP6, MODEL_UDP6, MODEL_KINDS };

struct model_frame {
	enum model_kind kind;
	uint8_t bytes[MODEL_MAX_LARGE + 200];
	uint32_t len;
	uint16_t l4_off;
	uint16_t payload_off;
	bool csum;    /* wanted: TCP's or UDP's */
	bool ip_csum; /* and the IPv4 header's */
	uint32_t mss; /* not 0: to be cut */
	bool tagged;
	uint16_t tci;
	uint32_t sent; /* bytes of payload that the back end has got */
};

static inline bool model_is_ip4(const struct model_frame *m)
{
	return m->kind == MODEL_TCP4 || m->kind == MODEL_UDP4;
}

static inline bool model_is_tcp(const struct model_frame *m)
{
	return m->kind == MODEL_TCP4 || m->kind == MODEL_TCP6;
}

/* ---- sums --------------------------------------------------------------------------------------- */

static inline uint32_t model_add(uint32_t sum, const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len % 2)
		sum += (uint32_t)p[len - 1] << 8;
	return sum; /* 64 KiB of it do not overflow */
}

static inline uint16_t model_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t model_pseudo(const struct model_frame *m, const uint8_t *frame,
				    uint32_t l4_len)
{
	uint32_t sum = l4_len + (model_is_tcp(m) ? 6 : 17);

	sum = model_is_ip4(m) ? model_add(sum, frame + 14 + 12, 8)
			      : model_add(sum, frame + 14 + 8, 32);
	return model_fold(sum);
}

/* ---- making them -------------------------------------------------------------------------------- */

static inline void model_ip(struct model_frame *m, uint32_t options, uint32_t l4_len)
{
	uint8_t *ip = m->bytes + 14;
	uint8_t protocol = model_is_tcp(m) ? 6 : 17;

	for (unsigned i = 0; i < 32; i++)
		ip[8 + i] = (uint8_t)(i + 1); /* addresses */
	if (!model_is_ip4(m)) {
		hvsi_put_be16(m->bytes + 12, 0x86dd);
		ip[0] = 0x60;
		hvsi_put_be16(ip + 4, (uint16_t)l4_len);
		ip[6] = protocol;
		ip[7] = 64;
		m->l4_off = 14 + 40;
		return;
	}
	hvsi_put_be16(m->bytes + 12, 0x0800);
	memset(ip, 0, 12);
	ip[0] = (uint8_t)(0x45 + options);
	hvsi_put_be16(ip + 2, (uint16_t)(20 + options * 4 + l4_len));
	ip[8] = 64;
	ip[9] = protocol;
	memset(ip + 20, 1, (size_t)options * 4); /* no-operation */
	m->l4_off = (uint16_t)(14 + 20 + options * 4);
	hvsi_put_be16(ip + 10, (uint16_t)~model_fold(model_add(0, ip, m->l4_off - 14u)));
}

static inline void model_l4(struct model_frame *m, uint32_t options, uint32_t l4_len)
{
	uint8_t *l4 = m->bytes + m->l4_off;

	memset(l4, 0, 8);
	hvsi_put_be16(l4, 1000);
	hvsi_put_be16(l4 + 2, 2000);
	if (!model_is_tcp(m)) {
		hvsi_put_be16(l4 + 4, (uint16_t)l4_len);
		m->payload_off = (uint16_t)(m->l4_off + 8);
		return;
	}
	memset(l4 + 8, 0, 12);
	hvsi_put_be32(l4 + 4, 0xfffff000); /* wraps */
	l4[12] = (uint8_t)((5 + options) << 4);
	l4[13] = 0x19; /* FIN, PSH, ACK */
	memset(l4 + 20, 1, (size_t)options * 4);
	m->payload_off = (uint16_t)(m->l4_off + 20 + options * 4);
}

/* Leave in the fields what Linux does when somebody else is to fill them in. */
static inline void model_leave_undone(struct model_frame *m)
{
	uint8_t *ip = m->bytes + 14;
	uint8_t *sum = m->bytes + m->l4_off + (model_is_tcp(m) ? 16 : 6);
	uint32_t l4_len = m->len - m->l4_off;

	if (m->mss) {
		hvsi_put_be16(ip + (model_is_ip4(m) ? 2 : 4), 0);
		hvsi_put_be16(sum, model_pseudo(m, m->bytes, 0));
	} else if (m->csum) {
		hvsi_put_be16(sum, model_pseudo(m, m->bytes, l4_len));
	}
	if (model_is_ip4(m) && (m->ip_csum || m->mss))
		hvsi_put_be16(ip + 10, 0);
}

static inline void model_fill(uint8_t *to, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		to[i] = (uint8_t)(seed >> 24);
	}
}

static inline void model_make(struct model_frame *m, struct input *in)
{
	unsigned kind = (unsigned)input_number(in, 1);
	unsigned wishes = (unsigned)input_number(in, 1);
	uint32_t payload = (uint32_t)input_number(in, 2);
	uint32_t options = kind / MODEL_KINDS;
	uint32_t ip_options, tcp_options, max;

	m->kind = kind % MODEL_KINDS;
	m->sent = 0;
	m->tagged = wishes & 8;
	m->tci = (uint16_t)(payload * 7 + kind);
	m->csum = m->kind != MODEL_RAW && wishes & 1;
	m->ip_csum = model_is_ip4(m) && wishes & 2;
	m->mss = model_is_tcp(m) && wishes & 4
			 ? MODEL_MIN_MSS + payload * 31 % (MODEL_MAX_MSS - MODEL_MIN_MSS)
			 : 0;
	m->csum |= m->mss != 0;
	max = m->mss ? MODEL_MAX_LARGE : MODEL_MAX_FRAME - 200;
	payload %= max;
	if (m->mss && !payload)
		payload = 1;
	memcpy(m->bytes, "\x02\x00\x00\x00\x00\x01\x00\x15\x5d\x01\x02\x03\x88\xb5", 14);
	if (m->kind == MODEL_RAW) {
		m->l4_off = m->payload_off = 14;
	} else {
		ip_options = model_is_ip4(m) ? options % 11 : 0;
		tcp_options = model_is_tcp(m) ? options / 2 % 11 : 0;
		max = payload + (model_is_tcp(m) ? 20 + tcp_options * 4 : 8);
		model_ip(m, ip_options, max);
		model_l4(m, tcp_options, max);
	}
	model_fill(m->bytes + m->payload_off, payload, payload + kind);
	m->len = m->payload_off + payload;
	if (m->kind != MODEL_RAW)
		model_leave_undone(m);
}

/* ---- what the back end is given ------------------------------------------------------------------ */

/* Untagged bytes of a frame, and where its headers are now. */
struct model_got {
	const uint8_t *b;
	uint32_t len;
	uint32_t flags;
	uint16_t mss;
};

static inline void model_check_sums(const struct model_frame *m, const struct model_got *g)
{
	const uint8_t *l4 = g->b + m->l4_off;
	uint32_t l4_len = g->len - m->l4_off;
	uint16_t field = hvsi_get_be16(l4 + (model_is_tcp(m) ? 16 : 6));

	if (model_is_ip4(m) && (m->ip_csum || m->mss))
		CHECK(model_fold(model_add(0, g->b + 14, m->l4_off - 14u)) == 0xffff);
	if (!m->csum)
		return;
	if (g->flags & HVS_NET_CSUM)
		CHECK(field == model_pseudo(m, g->b, l4_len));
	else
		CHECK((field || model_is_tcp(m)) &&
		      model_fold(model_pseudo(m, g->b, l4_len) +
				 (uint32_t)model_fold(model_add(0, l4, l4_len))) == 0xffff);
}

/* Headers as they were, but for the fields that are somebody else's to fill in. */
static inline void model_check_headers(const struct model_frame *m, const struct model_got *g)
{
	uint8_t is[256], was[256];
	uint8_t *const both[2] = {is, was};
	unsigned ip_len = model_is_ip4(m) ? 2 : 4;
	uint32_t n = m->payload_off;

	CHECK(g->len >= n);
	memcpy(is, g->b, n);
	memcpy(was, m->bytes, n);
	if (m->mss) {
		CHECK(hvsi_get_be16(is + 14 + ip_len) == g->len - (model_is_ip4(m) ? 14 : 54));
		CHECK(hvsi_get_be32(is + m->l4_off + 4) ==
		      (uint32_t)(hvsi_get_be32(was + m->l4_off + 4) + m->sent));
	}
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *l4 = both[i] + m->l4_off;

		if (m->csum)
			hvsi_put_be16(l4 + (model_is_tcp(m) ? 16 : 6), 0);
		if (model_is_ip4(m) && (m->ip_csum || m->mss))
			hvsi_put_be16(both[i] + 14 + 10, 0);
		if (!m->mss)
			continue;
		hvsi_put_be16(both[i] + 14 + ip_len, 0);
		if (model_is_ip4(m))
			hvsi_put_be16(both[i] + 14 + 4, 0);
		memset(l4 + 4, 0, 4);
		l4[13] &= 0xf6; /* FIN and PSH are of the last */
	}
	CHECK(!memcmp(is, was, n));
}

/* A frame, in one piece, that must be the next of m. True: the last. */
static inline bool model_check(struct model_frame *m, const struct hvs_net_frame *f, uint8_t *bytes)
{
	struct model_got g = {.b = bytes, .len = f->len, .flags = f->flags, .mss = f->mss};
	uint32_t payload;

	if (f->flags & HVS_NET_VLAN) {
		CHECK(m->tagged && f->vlan_tci == m->tci);
	} else if (m->tagged) {
		CHECK(g.len >= 18 && hvsi_get_be16(bytes + 12) == 0x8100 &&
		      hvsi_get_be16(bytes + 14) == m->tci);
		memmove(bytes + 4, bytes, 12);
		g.b += 4;
		g.len -= 4;
	}
	if (m->kind == MODEL_RAW) {
		CHECK(g.len == m->len && !memcmp(g.b, m->bytes, g.len));
		return true;
	}
	model_check_headers(m, &g);
	model_check_sums(m, &g);
	payload = g.len - m->payload_off;
	CHECK(payload <= m->len - m->payload_off - m->sent);
	CHECK(!memcmp(g.b + m->payload_off, m->bytes + m->payload_off + m->sent, payload));
	if (m->mss && !(f->flags & HVS_NET_TSO))
		CHECK(payload <= m->mss && payload);
	else
		CHECK(!m->sent && (!(f->flags & HVS_NET_TSO) || g.mss == m->mss));
	m->sent += payload;
	if (m->sent != m->len - m->payload_off)
		return false;
	if (model_is_tcp(m))
		CHECK((g.b[m->l4_off + 13] & 9) == 9);
	return true;
}

#endif
