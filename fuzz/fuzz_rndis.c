/* SPDX-License-Identifier: MIT */
/*
 * RNDIS control: any messages, of any driver, that opens, closes and is saved in between. The
 * input: a byte of flags, then actions. Whatever comes, answers are such as drivers can bear and
 * what other threads read makes sense.
 */
#include "check.h"
#include "input.h"

#include "support/rndis_flaw.h"
#include "util/state.h"
#include "vsp/network/oid.h"
#include "vsp/network/rndis.h"

#include <stdlib.h>

enum { ALL_OFFLOADS = 1, MAY_SET_MAC = 2, LINK_DOWN = 4, ONE_QUEUE = 8 };

/* ---- what must always hold ---------------------------------------------------------------------- */

static void check_rss(struct hvsi_rndis *r)
{
	struct hvsi_rss rss = {0};

	CHECK(hvsi_rndis_rss_changed(r, &rss));
	hvsi_rndis_rss_copy(r, &rss);
	CHECK(rss.generation && !hvsi_rndis_rss_changed(r, &rss));
	CHECK(!rss.hash || (rss.hash & HVSI_HASH_FUNCTION_MASK) == HVSI_HASH_TOEPLITZ);
	for (unsigned i = 0; i < HVSI_RSS_ENTRIES; i++)
		CHECK(rss.table[i] < r->queues);
}

static void check_state(struct hvsi_rndis *r)
{
	uint8_t mac[6];

	hvsi_mac_bytes(r->mac, mac);
	CHECK(r->mac && hvsi_mac_kind(r->mac) == HVSI_DIRECTED && hvsi_mac(mac) == r->mac);
	CHECK(r->multicast_count <= HVSI_RNDIS_MAX_MULTICAST);
	CHECK(!(r->offloads_on & ~HVSI_OFFLOAD_ALL));
	if (r->state != HVSI_RNDIS_OPERATIONAL)
		CHECK(!r->filter && !hvsi_rndis_wants(r, mac));
	else if (r->filter & (HVSI_FILTER_DIRECTED | HVSI_FILTER_PROMISCUOUS))
		CHECK(hvsi_rndis_wants(r, mac));
	check_rss(r);
}

static void check_indications(const struct hvsi_rndis *r)
{
	struct hvsi_rndis_message m;

	hvsi_rndis_indicate_link(r, &m);
	CHECK(!rndis_indication_flaw(&m));
	hvsi_rndis_indicate_speed(r, &m);
	CHECK(!rndis_indication_flaw(&m));
	hvsi_rndis_indicate_offloads(r, &m);
	CHECK(!rndis_indication_flaw(&m));
	hvsi_rndis_indicate_network_change(&m);
	CHECK(!rndis_indication_flaw(&m));
}

/* ---- messages ----------------------------------------------------------------------------------- */

/* Drivers have room for that many bytes, or take no others. */
static uint32_t natural_size(uint32_t oid)
{
	switch (oid) {
	case HVSI_OID_PERMANENT_ADDRESS:
	case HVSI_OID_CURRENT_ADDRESS:
		return 6;
	case HVSI_OID_MAXIMUM_FRAME_SIZE:
	case HVSI_OID_MEDIA_CONNECT_STATUS:
	case HVSI_OID_LINK_SPEED:
	case HVSI_OID_CURRENT_PACKET_FILTER:
		return 4;
	case HVSI_OID_RSS_CAPABILITIES:
		return sizeof(struct hvsi_ndis_rss_capabilities);
	case HVSI_OID_OFFLOAD_CAPABILITIES:
	case HVSI_OID_OFFLOAD_CURRENT_CONFIG:
		return sizeof(struct hvsi_ndis_offload);
	case HVSI_OID_FRIENDLY_NAME:
		return 512;
	default:
		return 0;
	}
}

static void check_size(const uint8_t *msg, const struct hvsi_rndis_message *reply)
{
	struct hvsi_rndis_request req;
	struct hvsi_rndis_query_done done;

	memcpy(&req, msg, sizeof(req)); /* it was long enough, or there would be no success */
	memcpy(&done, reply->bytes, sizeof(done));
	if (natural_size(hvsi_get32(req.oid)))
		CHECK(hvsi_get32(done.info_len) == natural_size(hvsi_get32(req.oid)));
}

static void check_reply(const uint8_t *msg, size_t len, const struct hvsi_rndis_message *reply)
{
	struct hvsi_rndis_done done;
	struct hvs_le32 type;

	if (len < sizeof(struct hvsi_rndis_simple) || len > HVSI_RNDIS_MAX_CONTROL) {
		CHECK(!reply->len);
		return;
	}
	memcpy(&type, msg, sizeof(type));
	switch (hvsi_get32(type)) {
	case HVSI_RNDIS_INITIALIZE:
	case HVSI_RNDIS_HALT:
	case HVSI_RNDIS_QUERY:
	case HVSI_RNDIS_SET:
	case HVSI_RNDIS_RESET:
	case HVSI_RNDIS_KEEPALIVE:
	case HVSI_RNDIS_SET_EX:
		CHECK(!rndis_flaw(msg, reply));
		break;
	default:
		CHECK(!reply->len);
	}
	memcpy(&done, reply->bytes, sizeof(done));
	if (reply->len && hvsi_get32(type) == HVSI_RNDIS_QUERY && !hvsi_get32(done.status))
		check_size(msg, reply);
}

/* In memory of its own, so that a read over its end is seen. */
static void send_message(struct hvsi_rndis *r, const struct hvsi_rndis_env *env, struct input *in)
{
	size_t len = input_number(in, 2) % (HVSI_RNDIS_MAX_CONTROL + 8);
	struct hvsi_rndis_message reply;
	uint64_t mac = r->mac;
	uint32_t filter = r->filter, offloads = r->offloads_on, changes;
	enum hvsi_rndis_state state = r->state;
	uint8_t *msg;

	if (len > in->left)
		len = in->left;
	msg = malloc(len ? len : 1);
	CHECK(msg);
	input_bytes(in, msg, len);
	changes = hvsi_rndis_control(r, env, msg, len, &reply);
	check_reply(msg, len, &reply);
	free(msg);
	CHECK(changes & HVSI_RNDIS_CHANGED_STATE || r->state == state);
	CHECK(changes & HVSI_RNDIS_CHANGED_FILTER || r->filter == filter);
	CHECK(!(changes & HVSI_RNDIS_CHANGED_MAC) == (r->mac == mac));
	CHECK(r->mac == mac || r->mac == r->permanent || env->may_set_mac);
	CHECK(changes & (HVSI_RNDIS_CHANGED_OFFLOADS | HVSI_RNDIS_CHANGED_STATE) ||
	      r->offloads_on == offloads);
}

/* ---- the NIC's life ----------------------------------------------------------------------------- */

static void open_again(struct hvsi_rndis *r, struct input *in)
{
	hvsi_rndis_open(r, &(struct hvsi_rndis_open){
				   .ndis_major = (uint16_t)input_number(in, 1),
				   .ndis_minor = (uint16_t)input_number(in, 1),
				   .mtu = (uint32_t)input_number(in, 2) % 9203,
				   .rsc = input_number(in, 1) & 1,
			   });
}

struct blob {
	uint8_t bytes[1024];
	size_t len;
};

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	CHECK(len <= sizeof(b->bytes) - b->len);
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

static void save(struct hvsi_rndis *r, struct blob *b)
{
	struct hvs_state_writer w;

	b->len = 0;
	hvsi_state_begin(&w, append, b);
	CHECK(!hvsi_rndis_save(r, &w) && !hvsi_state_end(&w));
}

#define RECORD sizeof(struct hvsi_state_record)

static void save_and_restore(struct hvsi_rndis *r)
{
	struct hvs_state_reader reader = {0};
	struct blob before, after;

	save(r, &before);
	reader.payload = hvsi_reader(before.bytes + RECORD, before.len - 2 * RECORD);
	CHECK(!hvsi_rndis_restore(r, &reader));
	save(r, &after);
	CHECK(before.len == after.len && !memcmp(before.bytes, after.bytes, before.len));
}

/* Bytes of a state are changed. */
static void restore_anything(struct hvsi_rndis *r, struct input *in)
{
	struct hvs_state_reader reader = {0};
	struct blob before, b, after;

	save(r, &before);
	b = before;
	for (unsigned n = (unsigned)input_number(in, 1) % 16; n > 0; n--) {
		size_t at = input_number(in, 2) % (b.len - 2 * RECORD);

		b.bytes[RECORD + at] = (uint8_t)input_number(in, 1);
	}
	reader.payload = hvsi_reader(b.bytes + RECORD, b.len - 2 * RECORD);
	if (hvsi_rndis_restore(r, &reader)) {
		save(r, &after);
		CHECK(!memcmp(before.bytes, after.bytes, before.len)); /* as it was */
	}
}

static void act(struct hvsi_rndis *r, struct hvsi_rndis_env *env, struct input *in)
{
	unsigned what = (unsigned)input_number(in, 1);

	switch (what & 15) {
	case 1:
		open_again(r, in);
		break;
	case 2:
		hvsi_rndis_close(r);
		break;
	case 3:
		hvsi_rndis_reset(r);
		CHECK(r->mac == r->permanent);
		break;
	case 4:
		save_and_restore(r);
		break;
	case 5:
		restore_anything(r, in);
		break;
	case 6:
		env->may_set_mac = what & 16;
		break;
	default:
		send_message(r, env, in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned flags = (unsigned)input_number(&in, 1);
	const struct hvsi_rndis_config cfg = {
		.mac = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03},
		.name = flags & ALL_OFFLOADS ? "n\xc3\xa4me" : "",
		.queues = flags & ONE_QUEUE ? 1 : 5,
		.offloads = flags & ALL_OFFLOADS ? HVSI_OFFLOAD_ALL : HVSI_OFFLOAD_TX_TCP4,
		.link_up = !(flags & LINK_DOWN),
		.bits_per_second = 10000000000,
	};
	struct hvsi_rndis_env env = {.stats = {.tx = {.frames = {UINT64_MAX, 1, 2}}},
				     .may_set_mac = flags & MAY_SET_MAC};
	struct hvsi_rndis r;

	hvsi_rndis_init(&r, &cfg);
	hvsi_rndis_open(&r, &(struct hvsi_rndis_open){.ndis_major = 6,
						      .ndis_minor = 30,
						      .mtu = 1500,
						      .rsc = flags & ALL_OFFLOADS});
	for (unsigned i = 0; i < 64 && input_more(&in); i++) {
		act(&r, &env, &in);
		check_state(&r);
		check_indications(&r);
	}
	return 0;
}
