/* SPDX-License-Identifier: MIT */
/*
 * A frame of any bytes on its way from a guest to a back end and back: headers, policy, offloads,
 * segments. What is accepted must come out whole, with lengths and checksums that are right.
 */
#include "input.h"
#include "support/frame.h"
#include "util/alloc.h"
#include "util/le.h"
#include "vsp/network/policy.h"
#include "vsp/network/segment.h"
#include "vsp/network/toeplitz.h"

#include <stdlib.h>

#define RULES 8u
#define PIECES 8u

static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03};

/* A frame of a guest. */
struct sent {
	uint32_t len;
	uint8_t *copy; /* behind room for a tag; ends with its allocation */
	uint8_t *room;
	uint32_t copied;
	struct iovec iov[1 + PIECES];
	uint16_t iovcnt;
	uint8_t bytes[TEST_FRAME_MAX];
};

struct fuzz {
	struct hvs_allocator a;
	struct hvsi_policy *policy;
	struct hvsi_port port;
	struct hvsi_frame_request request;
	uint32_t offloads;
	struct sent sent;
	uint8_t got[TEST_FRAME_MAX];
	struct hvsi_toeplitz hash;
};

static void need(bool good)
{
	if (!good)
		abort();
}

/* ---- input --------------------------------------------------------------------------------------- */

static void take_address(struct input *in, struct hvs_port_address *a)
{
	a->kind = (uint8_t)input_number(in, 1) % 4;
	a->prefix = (uint8_t)input_number(in, 1);
	input_bytes(in, a->bytes, 4);
}

/* Any, or else the strictest. */
static void take_policy(struct input *in, struct fuzz *f)
{
	struct hvs_port_policy p = {HVS_PORT_POLICY_INIT};
	struct hvs_port_rule rules[RULES] = {0};
	struct hvs_port_address remediation = {0};

	p.flags = (uint32_t)input_number(in, 1);
	p.vlan = (uint32_t)input_number(in, 1) % 4;
	p.vlan_id = (uint16_t)input_number(in, 2);
	p.trunk[0] = input_number(in, 1);
	p.max_storm_frames = (uint32_t)input_number(in, 1);
	p.max_bits_per_second = input_number(in, 1) << 10;
	p.rules = rules;
	p.rule_count = (uint32_t)input_number(in, 1) % (RULES + 1);
	for (uint32_t i = 0; i < p.rule_count; i++) {
		rules[i].action = (uint8_t)input_number(in, 1);
		rules[i].direction = (uint8_t)input_number(in, 1);
		take_address(in, &rules[i].local);
		take_address(in, &rules[i].remote);
	}
	p.remediation = &remediation;
	p.remediation_count = p.flags >> 7;
	if (p.remediation_count)
		take_address(in, &remediation);
	p.flags &= 0x7f;
	if (hvsi_policy_create(&f->a, &p, &f->policy) < 0) {
		p = (struct hvs_port_policy){HVS_PORT_POLICY_INIT,
					     .flags = HVS_PORT_DHCP_GUARD | HVS_PORT_ROUTER_GUARD};
		need(!hvsi_policy_create(&f->a, &p, &f->policy));
	}
}

static void take_request(struct input *in, struct fuzz *f)
{
	const uint8_t which = (uint8_t)input_number(in, 1);
	const uint32_t ppi = (uint32_t)input_number(in, 4);

	if (which & 1)
		hvsi_frame_want_csum(&f->request, ppi);
	if (which & 2)
		hvsi_frame_want_lso(&f->request, ppi);
	f->offloads = (uint32_t)input_number(in, 1) & 0xf;
}

/* Headers from the input, then bytes of ours; the copy, then pieces. */
static void take_frame(struct input *in, struct sent *s)
{
	const uint32_t more = (uint32_t)input_number(in, 2);
	const uint32_t piece = 1 + (uint32_t)input_number(in, 2);
	uint32_t at;

	s->len = (uint32_t)input_bytes(in, s->bytes, HVSI_FRAME_COPY);
	for (at = s->len; at < s->len + more && at < HVS_NET_MAX_FRAME; at++)
		s->bytes[at] = (uint8_t)(at * 31 + at / 256);
	s->len = at;
	s->copied = s->len < HVSI_FRAME_COPY ? s->len : HVSI_FRAME_COPY;
	s->room = malloc(HVSI_TAG_BYTES + s->copied);
	need(s->room);
	s->copy = s->room + HVSI_TAG_BYTES;
	memcpy(s->copy, s->bytes, s->copied);
	s->iovcnt = 1;
	s->iov[0] = (struct iovec){s->copy, s->copied};
	for (at = s->copied; at < s->len; s->iovcnt++) {
		uint32_t n = s->len - at;

		if (n > piece && s->iovcnt < PIECES)
			n = piece;
		s->iov[s->iovcnt] = (struct iovec){s->bytes + at, n};
		at += n;
	}
}

/* ---- what must hold ------------------------------------------------------------------------------ */

static void check_headers(const struct hvsi_headers *h)
{
	need(h->copied <= h->len && h->end <= h->len);
	need(h->l4_off <= h->copied && h->payload_off <= h->copied && h->payload_off <= h->end);
	need(!h->payload_off || h->payload_off >= h->l4_off + 8);
	need(!h->l4_off || h->l4_off >= h->l3_off + HVSI_IP4_MIN);
	need(!(h->flags & HVSI_FRAME_LATER) || !h->l4_off);
	need(!h->tag_inline || h->tagged);
}

static uint64_t dropped(const struct hvsi_port *port)
{
	struct hvs_port_counters c;

	hvsi_port_get_counters(port, &c);
	return c.quarantine + c.mac_spoofing + c.vlan + c.dhcp_guard + c.router_guard + c.denied +
	       c.storm;
}

static void check_hash(struct fuzz *f, const struct hvsi_headers *h, uint32_t types)
{
	uint32_t hash;
	const uint32_t type = hvsi_frame_hash(&f->hash, types, h, &hash);

	need(!(type & ~types) && !(type & (type - 1)));
	need(type || !hash);
}

/* All bytes of `out` behind its headers are those of the guest's frame. */
static void check_payload(struct fuzz *f, const struct hvs_net_frame *out, uint32_t at,
			  const uint8_t *payload)
{
	const size_t len = test_frame_linear(out, f->got);

	need(len == out->len && out->payload_off <= len && out->payload_off <= out->iov[0].iov_len);
	need(!memcmp(f->got + out->payload_off, payload + at, len - out->payload_off));
}

static void check_sums(struct fuzz *f, const struct hvs_net_frame *out, bool csum)
{
	static struct test_frame frame;

	need(!test_frame_check(f->got, out->len, csum, &frame));
	need(frame.payload_off == out->payload_off && frame.l4_off == out->l4_off);
}

static void cut(struct fuzz *f, const struct hvs_net_frame *large, const uint8_t *payload)
{
	const bool csum_left = f->offloads & HVS_NET_CSUM;
	const uint32_t len = large->len - large->payload_off;
	uint8_t *headers = large->payload_off ? malloc(large->payload_off) : NULL;
	struct iovec iov[2 + PIECES];
	struct hvsi_segments s;
	struct hvs_net_frame out;
	uint32_t done = 0;
	unsigned n = 0;

	need(headers && !hvsi_segments_start(&s, large, large->iov[0].iov_base, csum_left));
	need(s.count <= HVSI_SEGMENTS_MAX && s.count > 1);
	while (hvsi_segments_next(&s, headers, iov, 2 + PIECES, &out) == 1) {
		need(out.len - out.payload_off == large->mss || ++n == 1);
		check_payload(f, &out, done, payload);
		check_sums(f, &out, !csum_left);
		done += out.len - out.payload_off;
	}
	need(done == len);
	free(headers);
}

static void to_back_end(struct fuzz *f, struct hvsi_headers *h)
{
	/* All sums are ours then; the second opinion knows no SNAP. */
	const bool whole = f->request.flags && !(h->flags & HVSI_FRAME_SNAP) &&
			   (f->request.flags != HVS_NET_CSUM || f->request.ip4_csum ||
			    h->flags & HVSI_FRAME_IP6);
	const uint8_t *payload = f->sent.bytes + h->payload_off + (f->sent.len - h->len);
	struct hvs_net_frame out;
	const int result =
		hvsi_frame_prepare(&out, h, &f->request, f->offloads, f->sent.iov, f->sent.iovcnt);

	if (result < 0)
		return;
	need(out.iov == f->sent.iov && out.iovcnt >= 1);
	need(result || !(out.flags & ~(f->offloads)));
	need(out.iov[0].iov_len <= HVS_NET_MAX_COPIED);
	need((uint8_t *)out.iov[0].iov_base >= f->sent.room);
	need(test_frame_linear(&out, f->got) == out.len);
	if (out.payload_off)
		check_payload(f, &out, 0, payload);
	if (whole)
		check_sums(f, &out, !(out.flags & HVS_NET_CSUM));
	if (result)
		cut(f, &out, payload);
}

static void from_guest(struct fuzz *f, int tci, uint32_t types)
{
	struct sent *s = &f->sent;
	struct hvsi_headers h;
	bool metered;
	bool pass;

	if (!hvsi_frame_parse(&h, s->copy, s->copied, s->len))
		return;
	check_headers(&h);
	check_hash(f, &h, types);
	if (tci >= 0)
		hvsi_frame_tagged(&h, (uint16_t)tci);
	pass = hvsi_policy_in(f->policy, &f->port, &h, &metered);
	need(dropped(&f->port) == !pass);

	f->port = (struct hvsi_port){0};
	need(hvsi_frame_parse(&h, s->copy, s->copied, s->len));
	if (tci >= 0)
		hvsi_frame_tagged(&h, (uint16_t)tci);
	if (h.tag_inline) {
		s->iov[0].iov_base = hvsi_frame_pull_tag(&h, s->copy);
		s->iov[0].iov_len -= HVSI_TAG_BYTES;
		check_headers(&h);
	}
	pass = hvsi_policy_out(f->policy, &f->port, &h, mac, 1000);
	need(dropped(&f->port) == !pass);
	to_back_end(f, &h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	static struct fuzz f;
	uint8_t key[HVSI_TOEPLITZ_KEY];
	uint32_t types;
	int tci;

	f.port = (struct hvsi_port){0};
	f.request = (struct hvsi_frame_request){0};
	need(!hvsi_alloc_setup(NULL, &f.a));
	memset(key, 0x6d, sizeof(key));
	hvsi_toeplitz_init(&f.hash, key);
	take_policy(&in, &f);
	take_request(&in, &f);
	types = (uint32_t)input_number(&in, 3);
	tci = input_number(&in, 1) & 1 ? (int)input_number(&in, 2) : -1;
	take_frame(&in, &f.sent);
	from_guest(&f, tci, types);
	free(f.sent.room);
	hvsi_policy_destroy(f.policy);
	return 0;
}
