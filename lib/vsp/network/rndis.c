/* SPDX-License-Identifier: MIT */
/* RNDIS control messages: bytes in, bytes out; and what is remembered between them. */
#include "vsp/network/rndis.h"

#include "vsp/network/rndis_impl.h"

#include <errno.h>
#include <string.h>

#define VERSION_MAJOR 1u
#define MAX_TRANSFER 0xefffffffu /* the packet's own limits apply */
#define ALIGNMENT 3u             /* 8 bytes */

_Static_assert(sizeof(struct hvsi_rndis_query_done) + HVSI_OID_MAX_ANSWER <= HVSI_RNDIS_MAX_REPLY,
	       "every answer fits");

/* ---- life ----------------------------------------------------------------------------------- */

static void forget_addressing(struct hvsi_rndis *r)
{
	atomic_store(&r->filter, 0);
	atomic_store(&r->multicast_count, 0);
}

/* A driver begins, or has ended: no frames, and nothing but the address is remembered. */
static void forget(struct hvsi_rndis *r, enum hvsi_rndis_state state)
{
	r->state = state;
	forget_addressing(r);
	/* Coalescing has to be asked for: a driver that never heard of it could not bear it. */
	atomic_store(&r->offloads_on, r->offloads & ~(uint32_t)HVSI_OFFLOAD_RSC);
	hvsi_rss_replace(r, &(struct hvsi_rss){0});
}

void hvsi_rndis_init(struct hvsi_rndis *r, const struct hvsi_rndis_config *cfg)
{
	size_t name_len = strlen(cfg->name);

	memset(r, 0, sizeof(*r));
	hvsi_spin_init(&r->rss_lock);
	r->queues = cfg->queues;
	r->offloads = cfg->offloads;
	r->permanent = hvsi_mac(cfg->mac);
	memcpy(r->name, cfg->name, name_len < sizeof(r->name) ? name_len : sizeof(r->name) - 1);
	atomic_store(&r->link_up, cfg->link_up);
	atomic_store(&r->bits_per_second, cfg->bits_per_second);
	hvsi_rndis_reset(r);
}

void hvsi_rndis_reset(struct hvsi_rndis *r)
{
	atomic_store(&r->mac, r->permanent);
	forget(r, HVSI_RNDIS_UNINITIALIZED);
}

void hvsi_rndis_open(struct hvsi_rndis *r, const struct hvsi_rndis_open *open)
{
	r->ndis_major = open->ndis_major;
	r->ndis_minor = open->ndis_minor;
	r->mtu = open->mtu;
	r->rsc = open->rsc;
	forget(r, HVSI_RNDIS_UNINITIALIZED);
}

void hvsi_rndis_close(struct hvsi_rndis *r)
{
	forget(r, HVSI_RNDIS_HALTED);
}

static bool is_station(uint64_t mac)
{
	return mac && !(mac & HVSI_MAC_GROUP);
}

uint32_t hvsi_rndis_set_mac(struct hvsi_rndis *r, const struct hvsi_rndis_env *env,
			    const uint8_t mac[6], uint32_t *changes)
{
	uint64_t to = hvsi_mac(mac);

	if (!is_station(to))
		return HVSI_RNDIS_INVALID_DATA;
	if (to == atomic_load(&r->mac))
		return HVSI_RNDIS_SUCCESS;
	if (to != r->permanent && !env->may_set_mac)
		return HVSI_RNDIS_FAILURE;
	atomic_store(&r->mac, to);
	*changes |= HVSI_RNDIS_CHANGED_MAC;
	return HVSI_RNDIS_SUCCESS;
}

/* ---- messages ------------------------------------------------------------------------------- */

static void put(struct hvsi_rndis_message *m, const void *bytes, size_t len)
{
	memcpy(m->bytes, bytes, len);
	m->len = (uint32_t)len;
}

static struct hvsi_rndis_header header(uint32_t type, size_t len)
{
	return (struct hvsi_rndis_header){hvsi_le32(type), hvsi_le32((uint32_t)len)};
}

static void reply_initialize(struct hvsi_rndis_message *reply, struct hvs_le32 id, uint32_t status)
{
	struct hvsi_rndis_initialize_done done = {
		.hdr = header(HVSI_RNDIS_INITIALIZE | HVSI_RNDIS_COMPLETION, sizeof(done)),
		.request_id = id,
		.status = hvsi_le32(status),
		.major = hvsi_le32(VERSION_MAJOR),
		.device_flags = hvsi_le32(1), /* connectionless */
		.max_packets = hvsi_le32(HVSI_RNDIS_MAX_PACKETS),
		.max_transfer = hvsi_le32(MAX_TRANSFER),
		.alignment = hvsi_le32(ALIGNMENT),
	};

	put(reply, &done, sizeof(done));
}

/* The answer, if any, is behind the room for the header already. */
static void reply_query(struct hvsi_rndis_message *reply, uint32_t type, struct hvs_le32 id,
			uint32_t status, uint32_t len)
{
	struct hvsi_rndis_query_done done = {
		.hdr = header(type | HVSI_RNDIS_COMPLETION, sizeof(done) + len),
		.request_id = id,
		.status = hvsi_le32(status),
		.info_len = hvsi_le32(len),
		.info_off = hvsi_le32(sizeof(done) - HVSI_RNDIS_OFFSETS_FROM),
	};

	put(reply, &done, sizeof(done));
	reply->len += len;
}

static void reply_done(struct hvsi_rndis_message *reply, uint32_t type, struct hvs_le32 id,
		       uint32_t status)
{
	struct hvsi_rndis_done done = {
		.hdr = header(type | HVSI_RNDIS_COMPLETION, sizeof(done)),
		.request_id = id,
		.status = hvsi_le32(status),
	};

	put(reply, &done, sizeof(done));
}

/* What came with a request. False: it says to be where it can't be. */
static bool find_info(const uint8_t *msg, uint32_t len, const struct hvsi_rndis_request *req,
		      struct hvsi_info *info)
{
	uint64_t at = (uint64_t)hvsi_get32(req->info_off) + HVSI_RNDIS_OFFSETS_FROM;
	uint32_t info_len = hvsi_get32(req->info_len);

	*info = (struct hvsi_info){.bytes = msg, .len = 0};
	if (!info_len)
		return true; /* whatever the offset */
	if (at < sizeof(*req) || at + info_len > len)
		return false;
	*info = (struct hvsi_info){.bytes = msg + at, .len = info_len};
	return true;
}

static uint32_t query(struct hvsi_rndis *r, const struct hvsi_rndis_env *env, const uint8_t *msg,
		      uint32_t len, struct hvsi_rndis_message *reply)
{
	uint32_t answer_len = 0, status = HVSI_RNDIS_INVALID_LENGTH, changes = 0;
	struct hvsi_rndis_request req = {0};
	struct hvsi_info info;

	memcpy(&req, msg, len < sizeof(req) ? len : sizeof(req));
	if (len < sizeof(req) || !find_info(msg, len, &req, &info))
		changes = HVSI_RNDIS_MALFORMED;
	else if (r->state != HVSI_RNDIS_OPERATIONAL)
		status = HVSI_RNDIS_FAILURE;
	else
		status = hvsi_oid_query(r, env, hvsi_get32(req.oid), info,
					reply->bytes + sizeof(struct hvsi_rndis_query_done),
					&answer_len);
	reply_query(reply, HVSI_RNDIS_QUERY, req.request_id, status, answer_len);
	return changes;
}

static uint32_t set(struct hvsi_rndis *r, const struct hvsi_rndis_env *env, const uint8_t *msg,
		    uint32_t len, struct hvsi_rndis_message *reply)
{
	uint32_t status = HVSI_RNDIS_INVALID_LENGTH, changes = 0;
	struct hvsi_rndis_request req = {0};
	struct hvsi_info info;

	memcpy(&req, msg, len < sizeof(req) ? len : sizeof(req));
	if (len < sizeof(req) || !find_info(msg, len, &req, &info))
		changes = HVSI_RNDIS_MALFORMED;
	else if (r->state != HVSI_RNDIS_OPERATIONAL)
		status = HVSI_RNDIS_FAILURE;
	else
		status = hvsi_oid_set(r, env, hvsi_get32(req.oid), info, &changes);
	reply_done(reply, HVSI_RNDIS_SET, req.request_id, status);
	return changes;
}

/* A driver may do it again: it begins anew. */
static uint32_t initialize(struct hvsi_rndis *r, const uint8_t *msg, uint32_t len,
			   struct hvsi_rndis_message *reply)
{
	struct hvsi_rndis_initialize req = {0};

	memcpy(&req, msg, len < sizeof(req) ? len : sizeof(req));
	if (len < sizeof(req)) {
		reply_initialize(reply, req.request_id, HVSI_RNDIS_INVALID_LENGTH);
		return HVSI_RNDIS_MALFORMED;
	}
	if (hvsi_get32(req.major) != VERSION_MAJOR) {
		reply_initialize(reply, req.request_id, HVSI_RNDIS_BAD_VERSION);
		return 0;
	}
	forget(r, HVSI_RNDIS_OPERATIONAL);
	reply_initialize(reply, req.request_id, HVSI_RNDIS_SUCCESS);
	return HVSI_RNDIS_CHANGED_STATE | HVSI_RNDIS_CHANGED_FILTER | HVSI_RNDIS_CHANGED_RSS;
}

static uint32_t halt(struct hvsi_rndis *r)
{
	if (r->state != HVSI_RNDIS_OPERATIONAL)
		return 0;
	forget(r, HVSI_RNDIS_HALTED);
	return HVSI_RNDIS_CHANGED_STATE | HVSI_RNDIS_CHANGED_FILTER | HVSI_RNDIS_CHANGED_RSS;
}

static uint32_t reset(struct hvsi_rndis *r, struct hvsi_rndis_message *reply)
{
	bool done = r->state == HVSI_RNDIS_OPERATIONAL;
	struct hvsi_rndis_reset_done reset_done = {
		.hdr = header(HVSI_RNDIS_RESET | HVSI_RNDIS_COMPLETION, sizeof(reset_done)),
		.status = hvsi_le32(done ? HVSI_RNDIS_SUCCESS : HVSI_RNDIS_FAILURE),
		.addressing_reset = hvsi_le32(done),
	};

	put(reply, &reset_done, sizeof(reset_done));
	if (!done)
		return 0;
	forget_addressing(r); /* the guest's network stack sets it again, and nothing else */
	return HVSI_RNDIS_CHANGED_FILTER;
}

uint32_t hvsi_rndis_control(struct hvsi_rndis *r, const struct hvsi_rndis_env *env, const void *msg,
			    size_t len, struct hvsi_rndis_message *reply)
{
	struct hvsi_rndis_simple head;
	uint32_t msg_len;

	reply->len = 0;
	if (len < sizeof(head) || len > HVSI_RNDIS_MAX_CONTROL)
		return HVSI_RNDIS_MALFORMED;
	memcpy(&head, msg, sizeof(head));
	/* A packet's length is rounded up. A message that says it is longer than all that came is
	 * answered like one that is too short, as drivers wait for ever. */
	msg_len = hvsi_get32(head.hdr.len);
	if (msg_len < sizeof(head) || msg_len > len)
		msg_len = sizeof(head);
	switch (hvsi_get32(head.hdr.type)) {
	case HVSI_RNDIS_INITIALIZE:
		return initialize(r, msg, msg_len, reply);
	case HVSI_RNDIS_HALT:
		return halt(r);
	case HVSI_RNDIS_QUERY:
		return query(r, env, msg, msg_len, reply);
	case HVSI_RNDIS_SET:
		return set(r, env, msg, msg_len, reply);
	case HVSI_RNDIS_RESET:
		return reset(r, reply);
	case HVSI_RNDIS_KEEPALIVE:
		reply_done(reply, HVSI_RNDIS_KEEPALIVE, head.request_id, HVSI_RNDIS_SUCCESS);
		return 0;
	case HVSI_RNDIS_SET_EX:
		reply_query(reply, HVSI_RNDIS_SET_EX, head.request_id, HVSI_RNDIS_NOT_SUPPORTED, 0);
		return 0;
	default:
		return HVSI_RNDIS_MALFORMED;
	}
}

/* ---- indications ---------------------------------------------------------------------------- */

static void indicate(struct hvsi_rndis_message *m, uint32_t status, const void *buf, size_t len)
{
	struct hvsi_rndis_indicate msg = {
		.hdr = header(HVSI_RNDIS_INDICATE_STATUS, sizeof(msg) + len),
		.status = hvsi_le32(status),
		.buf_len = hvsi_le32((uint32_t)len),
		.buf_off = hvsi_le32(len ? sizeof(msg) - HVSI_RNDIS_OFFSETS_FROM : 0),
	};

	put(m, &msg, sizeof(msg));
	if (len)
		memcpy(m->bytes + sizeof(msg), buf, len);
	m->len += (uint32_t)len;
}

void hvsi_rndis_indicate_link(const struct hvsi_rndis *r, struct hvsi_rndis_message *m)
{
	bool up = atomic_load(&r->link_up);

	indicate(m, up ? HVSI_RNDIS_MEDIA_CONNECT : HVSI_RNDIS_MEDIA_DISCONNECT, NULL, 0);
}

void hvsi_rndis_indicate_speed(const struct hvsi_rndis *r, struct hvsi_rndis_message *m)
{
	struct hvs_le32 speed = hvsi_le32(hvsi_rndis_speed(r));

	indicate(m, HVSI_RNDIS_LINK_SPEED_CHANGE, &speed, sizeof(speed));
}

void hvsi_rndis_indicate_network_change(struct hvsi_rndis_message *m)
{
	indicate(m, HVSI_RNDIS_NETWORK_CHANGE, NULL, 0);
}

void hvsi_rndis_indicate_offloads(const struct hvsi_rndis *r, struct hvsi_rndis_message *m)
{
	struct hvsi_ndis_offload offload;

	hvsi_offload_put(atomic_load(&r->offloads_on), &offload);
	indicate(m, HVSI_RNDIS_OFFLOAD_CONFIG, &offload, sizeof(offload));
}

/* ---- saved state ---------------------------------------------------------------------------- */

struct saved_rndis {
	uint8_t state; /* enum hvsi_rndis_state */
	uint8_t rsc;
	struct hvs_le16 ndis_major;
	struct hvs_le16 ndis_minor;
	struct hvs_le16 mtu;
	struct hvs_le32 filter;
	struct hvs_le32 offloads_on;
	struct hvs_le32 hash;
	struct hvs_le32 multicast_count;
	struct hvs_le64 mac;
	uint8_t key[HVSI_RSS_KEY_BYTES];
	struct hvs_le16 table[HVSI_RSS_ENTRIES];
	struct hvs_le64 multicast[HVSI_RNDIS_MAX_MULTICAST];
};
_Static_assert(sizeof(struct saved_rndis) == 32 + 40 + 256 + 256, "saved state: no padding");

int hvsi_rndis_save(struct hvsi_rndis *r, struct hvs_state_writer *w)
{
	struct saved_rndis saved = {
		.state = (uint8_t)r->state,
		.rsc = r->rsc,
		.ndis_major = hvsi_le16(r->ndis_major),
		.ndis_minor = hvsi_le16(r->ndis_minor),
		.mtu = hvsi_le16((uint16_t)r->mtu),
		.filter = hvsi_le32(atomic_load(&r->filter)),
		.offloads_on = hvsi_le32(atomic_load(&r->offloads_on)),
		.hash = hvsi_le32(r->rss.hash),
		.multicast_count = hvsi_le32(atomic_load(&r->multicast_count)),
		.mac = hvsi_le64(atomic_load(&r->mac)),
	};

	memcpy(saved.key, r->rss.key, sizeof(saved.key));
	for (unsigned i = 0; i < HVSI_RSS_ENTRIES; i++)
		saved.table[i] = hvsi_le16(r->rss.table[i]);
	for (unsigned i = 0; i < HVSI_RNDIS_MAX_MULTICAST; i++)
		saved.multicast[i] = hvsi_le64(atomic_load(&r->multicast[i]));
	return hvs_state_put(w, &saved, sizeof(saved));
}

static bool is_address(uint64_t mac)
{
	return mac <= HVSI_MAC_BROADCAST;
}

static bool is_sane(const struct saved_rndis *s)
{
	uint64_t mac = hvsi_get64(s->mac);
	uint32_t count = hvsi_get32(s->multicast_count);

	if (s->state > HVSI_RNDIS_HALTED || !is_address(mac) || !is_station(mac) ||
	    count > HVSI_RNDIS_MAX_MULTICAST ||
	    (s->state != HVSI_RNDIS_OPERATIONAL && hvsi_get32(s->filter)))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!is_address(hvsi_get64(s->multicast[i])))
			return false;
	return true;
}

int hvsi_rndis_restore(struct hvsi_rndis *r, struct hvs_state_reader *state)
{
	struct hvsi_rss rss = {0};
	struct saved_rndis saved;
	int err = hvs_state_get(state, &saved, sizeof(saved));

	if (err)
		return err;
	if (!is_sane(&saved))
		return -EBADMSG;
	r->state = saved.state;
	r->rsc = saved.rsc != 0;
	r->ndis_major = hvsi_get16(saved.ndis_major);
	r->ndis_minor = hvsi_get16(saved.ndis_minor);
	r->mtu = hvsi_get16(saved.mtu);
	atomic_store(&r->mac, hvsi_get64(saved.mac));
	for (unsigned i = 0; i < HVSI_RNDIS_MAX_MULTICAST; i++)
		atomic_store(&r->multicast[i], hvsi_get64(saved.multicast[i]));
	atomic_store(&r->multicast_count, hvsi_get32(saved.multicast_count));
	atomic_store(&r->offloads_on, hvsi_get32(saved.offloads_on) & HVSI_OFFLOAD_ALL);
	rss.hash = hvsi_rss_known(hvsi_get32(saved.hash));
	memcpy(rss.key, saved.key, sizeof(rss.key));
	for (unsigned i = 0; i < HVSI_RSS_ENTRIES; i++)
		rss.table[i] = (uint16_t)(hvsi_get16(saved.table[i]) % r->queues);
	hvsi_rss_replace(r, &rss);
	atomic_store(&r->filter, hvsi_get32(saved.filter));
	return 0;
}
