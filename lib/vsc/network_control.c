/* SPDX-License-Identifier: MIT */
/* The guest's side of a network adapter: negotiation, RNDIS control messages, the end. */
#include "vsc/network.h"

#include "util/alloc.h"
#include "util/sized.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u
#define DEFAULT_RECEIVE (256u * 1024)
#define DEFAULT_RING 65536u
#define RECEIVE_ID 0xcafeu
#define SEND_ID 0xfaceu

/* ---- NVSP ------------------------------------------------------------------------------------- */

/* Send a message and wait for its completion, which must be of this type; 0: empty. */
static int request(struct hvs_guest_net *net, const struct hvsi_nvsp *m, uint32_t type)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)m,
				  .iov_len = hvsi_guest_net_bytes(net)};
	int err;

	net->wait_xid = HVSI_GUEST_NET_CONTROL_XID;
	net->waiting = true;
	net->completed = false;
	err = hvs_guest_send(net->ch[0], net->wait_xid, true, NULL, &iov, 1);
	if (!err)
		err = hvsi_guest_net_wait(net, false);
	net->waiting = false;
	if (err)
		return err;
	if (!type)
		return net->completion_len ? -EPROTO : 0;
	return net->completion_len < HVSI_NVSP_BYTES || hvsi_get32(net->completion.type) != type
		       ? -EPROTO
		       : 0;
}

static int negotiate(struct hvs_guest_net *net)
{
	const struct hvs_le32 version = hvsi_le32(net->cfg.version);
	const struct hvsi_nvsp init = {.type = hvsi_le32(HVSI_NVSP_INIT),
				       .u.init = {.version = version, .version2 = version}};
	const struct hvsi_nvsp config = {
		.type = hvsi_le32(HVSI_NVSP_NDIS_CONFIG),
		.u.config = {.mtu = hvsi_le32(net->cfg.frame_bytes),
			     .capabilities = hvsi_le64(net->cfg.capabilities)}};
	const struct hvsi_nvsp ndis = {
		.type = hvsi_le32(HVSI_NVSP_NDIS_VERSION),
		.u.ndis_version = {
			.major = hvsi_le32(6),
			.minor = hvsi_le32(net->cfg.version >= HVSI_NVSP_VERSION_5 ? 30 : 1)}};
	int err = request(net, &init, HVSI_NVSP_INIT_DONE);

	if (!err && hvsi_get32(net->completion.u.init_done.status) != HVSI_NVSP_SUCCESS)
		err = -EPROTONOSUPPORT;
	if (!err && net->cfg.version >= HVSI_NVSP_VERSION_2)
		err = request(net, &config, 0);
	if (!err)
		err = request(net, &ndis, 0);
	return err;
}

static int share(struct hvs_guest_net *net, struct hvsi_guest_net_buffer *b, uint32_t len)
{
	struct hvs_guest *g = net->g;
	int err;

	b->bytes = g->ops.alloc_pages(g->pf, len / PAGE, &b->gpa);
	if (!b->bytes)
		return -ENOMEM;
	b->len = len;
	err = hvs_guest_gpadl_create(g, net->ch[0]->relid, b->gpa, len, &b->gpadl);
	b->shared = !err;
	return err;
}

static int share_receive(struct hvs_guest_net *net)
{
	struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_RECEIVE_BUFFER),
			      .u.buffer = {.id = hvsi_le16(RECEIVE_ID)}};
	struct hvs_guest_net_info *i = &net->info;
	int err = share(net, &net->receive, net->cfg.receive_bytes);

	m.u.buffer.gpadl = hvsi_le32(net->receive.gpadl);
	if (!err)
		err = request(net, &m, HVSI_NVSP_RECEIVE_BUFFER_DONE);
	if (err)
		return err;
	m = net->completion;
	if (hvsi_get32(m.u.receive_buffer_done.status) != HVSI_NVSP_SUCCESS)
		return -EREMOTEIO;
	i->slot_bytes = hvsi_get32(m.u.receive_buffer_done.slot_bytes);
	i->slot_count = hvsi_get32(m.u.receive_buffer_done.slot_count);
	i->receive = net->receive.bytes;
	if (hvsi_get32(m.u.receive_buffer_done.section_count) != 1 ||
	    hvsi_get32(m.u.receive_buffer_done.offset) || i->slot_bytes < 68 || !i->slot_count ||
	    (uint64_t)i->slot_bytes * i->slot_count > net->receive.len ||
	    hvsi_get32(m.u.receive_buffer_done.end) != i->slot_bytes * i->slot_count)
		return -EPROTO;
	net->held = hvsi_alloc_array(&net->g->alloc, i->slot_count, sizeof(net->held[0]));
	return net->held ? 0 : -ENOMEM;
}

static int share_send(struct hvs_guest_net *net)
{
	struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_SEND_BUFFER),
			      .u.buffer = {.id = hvsi_le16(SEND_ID)}};
	struct hvs_guest_net_info *i = &net->info;
	int err;

	if (!net->cfg.send_bytes)
		return 0;
	err = share(net, &net->send, net->cfg.send_bytes);
	m.u.buffer.gpadl = hvsi_le32(net->send.gpadl);
	if (!err)
		err = request(net, &m, HVSI_NVSP_SEND_BUFFER_DONE);
	if (err)
		return err;
	if (hvsi_get32(net->completion.u.send_buffer_done.status) != HVSI_NVSP_SUCCESS)
		return -EREMOTEIO;
	i->section_bytes = hvsi_get32(net->completion.u.send_buffer_done.section_bytes);
	if (i->section_bytes < 68 || i->section_bytes % 4)
		return -EPROTO;
	i->section_count = net->send.len / i->section_bytes;
	i->send = net->send.bytes;
	return 0;
}

static bool config_ok(const struct hvs_guest_net_config *cfg)
{
	return !cfg->reserved && !cfg->reserved2 && !(cfg->receive_bytes % PAGE) &&
	       !(cfg->send_bytes % PAGE) && !(cfg->ring_bytes % PAGE);
}

int hvs_guest_net_open(struct hvs_guest_channel *ch, const struct hvs_guest_net_config *cfg_in,
		       struct hvs_guest_net **out)
{
	struct hvs_guest_net_config cfg;
	struct hvs_guest *g = ch->guest;
	struct hvs_guest_net *net;
	int err = HVSI_TAKE(&cfg, cfg_in, arg);

	if (!err && !config_ok(&cfg))
		err = -EINVAL;
	if (err)
		return err;
	if (!cfg.receive_bytes)
		cfg.receive_bytes = DEFAULT_RECEIVE;
	if (!cfg.ring_bytes)
		cfg.ring_bytes = DEFAULT_RING;
	if (!cfg.frame_bytes)
		cfg.frame_bytes = 1514;
	net = hvsi_alloc(&g->alloc, sizeof(*net));
	if (!net)
		return -ENOMEM;
	net->g = g;
	net->cfg = cfg;
	net->ch[0] = ch;
	net->relid = ch->relid;
	net->channels = 1;
	net->control = g->ops.alloc_pages(g->pf, HVSI_GUEST_NET_CONTROL_PAGES, &net->control_gpa);
	if (cfg.capabilities & HVSI_NVSP_CAN_RSC)
		net->coalesced = hvsi_alloc(&g->alloc, HVSI_GUEST_NET_COALESCED);
	err = net->control && (net->coalesced || !(cfg.capabilities & HVSI_NVSP_CAN_RSC))
		      ? negotiate(net)
		      : -ENOMEM;
	if (!err)
		err = share_receive(net);
	if (!err)
		err = share_send(net);
	if (err) {
		net->channels = 0; /* the channel stays the caller's */
		(void)hvs_guest_net_close(net, HVS_GUEST_NET_TEAR_DOWN);
		return err;
	}
	*out = net;
	return 0;
}

/* ---- the end ---------------------------------------------------------------------------------- */

static void revoke(struct hvs_guest_net *net, const struct hvsi_guest_net_buffer *b, uint32_t type,
		   uint16_t id)
{
	const struct hvsi_nvsp m = {.type = hvsi_le32(type), .u.buffer.gpadl = hvsi_le32(id)};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&m,
				  .iov_len = hvsi_guest_net_bytes(net)};

	if (b->shared)
		(void)!hvs_guest_send(net->ch[0], UINT64_MAX - 2, false, NULL, &iov, 1);
}

static int tear_down(struct hvs_guest_net *net, uint32_t relid, struct hvsi_guest_net_buffer *b)
{
	bool shared = b->shared;

	b->shared = false;
	return shared ? hvs_guest_gpadl_teardown(net->g, relid, b->gpadl) : 0;
}

/* The offer of one, the newest if there were several; NULL: there is none. */
static const struct hvs_guest_offer *offer_of(const struct hvs_guest_net *net, unsigned n)
{
	const struct hvs_guest_offer *o;
	const struct hvs_guest_offer *found = NULL;
	const struct hvs_guest_offer *primary = NULL;

	for (unsigned i = 0; (o = hvs_guest_offer_at(net->g, i)) != NULL; i++)
		if (o->relid == net->relid)
			primary = o;
	for (unsigned i = 0; primary && (o = hvs_guest_offer_at(net->g, i)) != NULL; i++)
		if (o->subchannel == n &&
		    memcmp(&o->instance_id, &primary->instance_id, sizeof(o->instance_id)) == 0)
			found = o;
	return found;
}

/* Sub-channels are withdrawn when the primary one is closed. */
static int let_go_of_offers(struct hvs_guest_net *net)
{
	int err = 0;

	for (; net->offered && !err; net->offered--) {
		const struct hvs_guest_offer *o = offer_of(net, net->offered);

		err = o ? hvsi_guest_release(net->g, o->relid) : 0;
	}
	return err;
}

static void free_buffer(struct hvs_guest *g, uint8_t *bytes, uint32_t len)
{
	if (bytes)
		g->ops.free_pages(g->pf, bytes, len / PAGE);
}

int hvs_guest_net_close(struct hvs_guest_net *net, enum hvs_guest_net_end how)
{
	struct hvs_guest *g = net->g;
	uint32_t relid = net->relid;
	bool say = how != HVS_GUEST_NET_FORGET;
	int err = 0;
	int got;

	if (how == HVS_GUEST_NET_REVOKE || how == HVS_GUEST_NET_TEAR_DOWN) {
		revoke(net, &net->receive, HVSI_NVSP_REVOKE_RECEIVE_BUFFER, RECEIVE_ID);
		revoke(net, &net->send, HVSI_NVSP_REVOKE_SEND_BUFFER, SEND_ID);
		hvs_guest_flush(net->ch[0]);
	}
	if (how == HVS_GUEST_NET_TEAR_DOWN) {
		err = tear_down(net, relid, &net->receive);
		got = tear_down(net, relid, &net->send);
		err = err ? err : got;
	}
	while (say && net->channels) {
		got = hvs_guest_channel_close(net->ch[--net->channels]);
		err = err ? err : got;
	}
	if (say) {
		got = let_go_of_offers(net);
		err = err ? err : got;
	}
	if (say) {
		got = tear_down(net, relid, &net->receive);
		err = err ? err : got;
		got = tear_down(net, relid, &net->send);
		err = err ? err : got;
	}
	free_buffer(g, net->receive.bytes, net->receive.len);
	free_buffer(g, net->send.bytes, net->send.len);
	free_buffer(g, net->control, HVSI_GUEST_NET_CONTROL_PAGES * PAGE);
	hvsi_free(&g->alloc, net->coalesced, HVSI_GUEST_NET_COALESCED);
	hvsi_free(&g->alloc, net->held, net->info.slot_count * sizeof(net->held[0]));
	hvsi_free(&g->alloc, net, sizeof(*net));
	return err;
}

int hvs_guest_net_get_info(const struct hvs_guest_net *net, struct hvs_guest_net_info *info)
{
	struct hvs_guest_net_info now = net->info;

	now.channels = net->channels;
	return hvsi_fill_sized(info, &now, sizeof(now));
}

struct hvs_guest_channel *hvs_guest_net_channel(struct hvs_guest_net *net, unsigned n)
{
	return n < net->channels ? net->ch[n] : NULL;
}

/* ---- RNDIS ------------------------------------------------------------------------------------ */

int hvsi_guest_net_take_control(struct hvs_guest_net *net, const uint8_t *msg, uint32_t len)
{
	struct hvsi_rndis_header h;
	struct hvsi_rndis_indicate i = {0};

	memcpy(&h, msg, sizeof(h));
	if (hvsi_get32(h.len) != len)
		return -EPROTO;
	if (hvsi_get32(h.type) != HVSI_RNDIS_INDICATE_STATUS) {
		if (!net->waiting || net->reply_len || len > sizeof(net->reply))
			return -EPROTO; /* nobody has asked */
		memcpy(net->reply, msg, len);
		net->reply_len = len;
		return 0;
	}
	if (len < sizeof(i))
		return -EPROTO;
	memcpy(&i, msg, sizeof(i));
	if (hvsi_get32(i.buf_len) != len - sizeof(i))
		return -EPROTO;
	if (net->cfg.indicated)
		net->cfg.indicated(net->cfg.arg, hvsi_get32(i.status), msg + sizeof(i),
				   hvsi_get32(i.buf_len));
	return 0;
}

int hvs_guest_net_control(struct hvs_guest_net *net, const void *msg, uint32_t msg_len, void *reply,
			  uint32_t *len)
{
	const struct hvs_guest_buffer buffer = {.gpa = net->control_gpa, .len = msg_len};
	int err;

	if (msg_len > HVSI_GUEST_NET_CONTROL_PAGES * PAGE)
		return -EMSGSIZE;
	memcpy(net->control, msg, msg_len);
	net->wait_xid = HVSI_GUEST_NET_CONTROL_XID + 1;
	net->waiting = true;
	net->completed = false;
	net->reply_len = 0;
	err = hvs_guest_net_transmit(net, 0, net->wait_xid, HVS_GUEST_NET_NO_SECTION, 0, &buffer,
				     1);
	if (!err)
		err = hvsi_guest_net_wait(net, reply != NULL);
	net->waiting = false;
	if (err)
		return err;
	if (hvsi_get32(net->completion.u.rndis_done.status) != HVSI_NVSP_SUCCESS)
		return -EREMOTEIO;
	if (!reply)
		return 0;
	if (net->reply_len > *len)
		return -ENOSPC;
	memcpy(reply, net->reply, net->reply_len);
	*len = net->reply_len;
	return 0;
}

int hvs_guest_net_initialize(struct hvs_guest_net *net)
{
	const struct hvsi_rndis_initialize m = {
		.hdr = {.type = hvsi_le32(HVSI_RNDIS_INITIALIZE), .len = hvsi_le32(sizeof(m))},
		.request_id = hvsi_le32(++net->request_id),
		.major = hvsi_le32(1),
		.max_transfer = hvsi_le32(0x4000)};
	struct hvsi_rndis_initialize_done done;
	uint32_t len = sizeof(done);
	int err = hvs_guest_net_control(net, &m, sizeof(m), &done, &len);

	if (err)
		return err;
	if (len != sizeof(done) ||
	    hvsi_get32(done.hdr.type) != (HVSI_RNDIS_INITIALIZE | HVSI_RNDIS_COMPLETION) ||
	    hvsi_get32(done.request_id) != net->request_id)
		return -EPROTO;
	return hvsi_get32(done.status) ? -EREMOTEIO : 0;
}

int hvs_guest_net_halt(struct hvs_guest_net *net)
{
	const struct hvsi_rndis_simple m = {
		.hdr = {.type = hvsi_le32(HVSI_RNDIS_HALT), .len = hvsi_le32(sizeof(m))},
		.request_id = hvsi_le32(++net->request_id)};

	return hvs_guest_net_control(net, &m, sizeof(m), NULL, NULL);
}

/* QUERY or SET; its answer is in net->reply, of at least `least` bytes. */
static int ask(struct hvs_guest_net *net, uint32_t type, uint32_t oid, const void *in,
	       uint32_t in_len, uint32_t least)
{
	struct {
		struct hvsi_rndis_request m;
		uint8_t in[HVSI_GUEST_NET_REPLY];
	} msg;
	uint32_t len = sizeof(net->reply);
	struct hvsi_rndis_done done;
	int err;

	if (in_len > sizeof(msg.in))
		return -EMSGSIZE;
	msg.m = (struct hvsi_rndis_request){
		.hdr = {.type = hvsi_le32(type),
			.len = hvsi_le32((uint32_t)sizeof(msg.m) + in_len)},
		.request_id = hvsi_le32(++net->request_id),
		.oid = hvsi_le32(oid),
		.info_len = hvsi_le32(in_len),
		.info_off = hvsi_le32(sizeof(msg.m) - HVSI_RNDIS_OFFSETS_FROM)};
	if (in_len)
		memcpy(msg.in, in, in_len);
	err = hvs_guest_net_control(net, &msg, (uint32_t)sizeof(msg.m) + in_len, net->reply, &len);
	if (err)
		return err;
	memcpy(&done, net->reply, sizeof(done));
	return len < least || hvsi_get32(done.hdr.type) != (type | HVSI_RNDIS_COMPLETION) ||
			       hvsi_get32(done.request_id) != net->request_id
		       ? -EPROTO
		       : 0;
}

int hvs_guest_net_query(struct hvs_guest_net *net, uint32_t oid, const void *in, uint32_t in_len,
			uint32_t *status, void *out, uint32_t *len)
{
	struct hvsi_rndis_query_done done;
	uint32_t got;
	int err = ask(net, HVSI_RNDIS_QUERY, oid, in, in_len, sizeof(done));

	if (err)
		return err;
	memcpy(&done, net->reply, sizeof(done));
	got = hvsi_get32(done.info_len);
	if (got != net->reply_len - sizeof(done) ||
	    (got && hvsi_get32(done.info_off) != sizeof(done) - HVSI_RNDIS_OFFSETS_FROM))
		return -EPROTO;
	if (got > *len)
		return -ENOSPC;
	memcpy(out, net->reply + sizeof(done), got);
	*len = got;
	*status = hvsi_get32(done.status);
	return 0;
}

int hvs_guest_net_set(struct hvs_guest_net *net, uint32_t oid, const void *in, uint32_t in_len,
		      uint32_t *status)
{
	struct hvsi_rndis_done done;
	int err = ask(net, HVSI_RNDIS_SET, oid, in, in_len, sizeof(done));

	if (err)
		return err;
	memcpy(&done, net->reply, sizeof(done));
	*status = hvsi_get32(done.status);
	return 0;
}

static int set_ok(struct hvs_guest_net *net, uint32_t oid, const void *in, uint32_t in_len)
{
	uint32_t status;
	int err = hvs_guest_net_set(net, oid, in, in_len, &status);

	return err ? err : status ? -EREMOTEIO : 0;
}

#define OID_PACKET_FILTER 0x0001010eu
#define OID_RSS_PARAMETERS 0x00010204u

int hvs_guest_net_set_filter(struct hvs_guest_net *net, uint32_t filter)
{
	const struct hvs_le32 v = hvsi_le32(filter);

	return set_ok(net, OID_PACKET_FILTER, &v, sizeof(v));
}

int hvs_guest_net_set_rss(struct hvs_guest_net *net, uint32_t hash, const uint8_t key[40],
			  const uint32_t *table, uint16_t entries)
{
	struct {
		struct hvsi_ndis_rss_parameters p;
		struct hvs_le32 table[256];
		uint8_t key[40];
	} m = {.p = {.hdr = {.type = HVSI_NDIS_RSS_PARAMETERS,
			     .revision = 2,
			     .size = hvsi_le16(sizeof(m.p))},
		     .flags = hvsi_le16(hash ? 0 : HVSI_NDIS_RSS_DISABLE),
		     .hash = hvsi_le32(hash ? hash | HVSI_HASH_TOEPLITZ : 0),
		     .table_bytes = hvsi_le16((uint16_t)(entries * sizeof(m.table[0]))),
		     .table_off = hvsi_le32(offsetof(__typeof__(m), table)),
		     .key_bytes = hvsi_le16(sizeof(m.key)),
		     .key_off = hvsi_le32(offsetof(__typeof__(m), key))}};

	if (entries > sizeof(m.table) / sizeof(m.table[0]))
		return -EINVAL;
	for (uint16_t i = 0; i < entries; i++)
		m.table[i] = hvsi_le32(table[i]);
	if (key)
		memcpy(m.key, key, sizeof(m.key));
	return set_ok(net, OID_RSS_PARAMETERS, &m, sizeof(m));
}

/* ---- sub-channels ----------------------------------------------------------------------------- */

int hvs_guest_net_open_subchannels(struct hvs_guest_net *net, unsigned count)
{
	const struct hvsi_nvsp m = {
		.type = hvsi_le32(HVSI_NVSP_SUBCHANNELS),
		.u.subchannels = {.op = hvsi_le32(1), .count = hvsi_le32(count)}};
	uint8_t buf[HVSI_MSG_MAX];
	unsigned granted;
	int err = request(net, &m, HVSI_NVSP_SUBCHANNELS);

	if (err)
		return err;
	granted = hvsi_get32(net->completion.u.subchannels.count);
	if (hvsi_get32(net->completion.u.subchannels.op) != HVSI_NVSP_SUCCESS)
		return -EREMOTEIO;
	if (!granted || granted > count || granted >= HVSI_GUEST_NET_CHANNELS)
		return -EPROTO;
	for (unsigned i = 0; i < granted; i++, net->offered++) {
		err = hvs_guest_wait_message(net->g, HVSI_MSG_OFFERCHANNEL, buf);
		if (err < 0)
			return err;
	}
	for (unsigned i = 1; i <= granted; i++) {
		const struct hvs_guest_offer *o = offer_of(net, i);

		err = o ? hvs_guest_channel_open(net->g, o, net->cfg.ring_bytes, &net->ch[i])
			: -EPROTO;
		if (err)
			return err;
		net->channels = i + 1;
	}
	return (int)granted;
}
