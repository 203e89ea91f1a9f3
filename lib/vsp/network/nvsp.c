/* SPDX-License-Identifier: MIT */
/* NVSP: versions, buffers, sub-channels. On the primary channel's worker. */
#include "vsp/network/netvsp.h"

#include "util/alloc.h"

#include <errno.h>

#define DEFAULT_FRAME 1514u
#define LARGEST_FRAME (HVS_NET_MAX_MTU + HVS_NET_HEADER_BYTES)
#define SLOT_HEADER 256u /* RNDIS header and per-packet information */
#define SLOT_TAIL 36u    /* newer Windows drivers write beyond the end of a frame */
#define LEAST_SLOTS 4u
#define LARGEST_BUFFER (64u * 1024 * 1024)
#define SECTION_BYTES 6144u
#define LEAST_SECTION 2048u
#define MOST_SECTION 65536u

static const uint32_t versions[] = {HVSI_NVSP_VERSION_1, HVSI_NVSP_VERSION_2, HVSI_NVSP_VERSION_4,
				    HVSI_NVSP_VERSION_5, HVSI_NVSP_VERSION_6, HVSI_NVSP_VERSION_61};

bool hvsi_nvsp_version_listed(uint32_t version)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (versions[i] == version)
			return true;
	return false;
}

static unsigned rank(uint32_t version)
{
	unsigned i = 0;

	while (versions[i] != version)
		i++;
	return i;
}

bool hvsi_nvsp_version_known(const struct hvs_nic *nic, uint32_t version)
{
	return hvsi_nvsp_version_listed(version) && rank(version) <= rank(nic->max_version);
}

uint32_t hvsi_nvsp_slot_bytes(uint32_t frame_bytes)
{
	return (SLOT_HEADER + frame_bytes + HVSI_FRAME_MORE + SLOT_TAIL + 63) & ~63u;
}

bool hvsi_nvsp_frame_ok(uint32_t frame_bytes)
{
	return frame_bytes >= DEFAULT_FRAME && frame_bytes <= LARGEST_FRAME;
}

bool hvsi_nvsp_section_ok(uint32_t section_bytes)
{
	return section_bytes >= LEAST_SECTION && section_bytes <= MOST_SECTION &&
	       section_bytes % 8 == 0;
}

/* ---- the receive buffer ----------------------------------------------------------------------- */

void hvsi_nvsp_open_rndis(struct hvs_nic *nic)
{
	struct hvsi_session *s = &nic->session;
	uint32_t mtu = s->frame_bytes - HVS_NET_HEADER_BYTES;
	const struct hvsi_rndis_open open = {
		.ndis_major = s->ndis_major,
		.ndis_minor = s->ndis_minor,
		.mtu = mtu < nic->info.mtu ? mtu : nic->info.mtu,
		.rsc = s->version >= HVSI_NVSP_VERSION_61 && s->capabilities & HVSI_NVSP_CAN_RSC,
	};

	s->opened = true;
	hvsi_rndis_open(&nic->rndis, &open);
	atomic_store(&nic->rndis_state, nic->rndis.state);
}

int hvsi_nvsp_take_receive(struct hvsi_net_chan *c, uint32_t gpadl, uint16_t id,
			   uint32_t slot_bytes)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_receive_buffer *b = &nic->session.receive;
	int err = hvsi_shared_open(&b->shared, c, gpadl, HVS_RDWR);

	if (err)
		return err;
	if (b->shared.len / slot_bytes < LEAST_SLOTS || b->shared.len > LARGEST_BUFFER)
		err = -EINVAL;
	else
		err = hvsi_slots_init(b, hvsi_nic_allocator(nic), slot_bytes, nic->queue_count);
	if (err) {
		hvsi_shared_close(&b->shared, hvsi_nic_allocator(nic));
		return err;
	}
	b->id = id;
	b->generation++;
	atomic_store(&nic->frame_bytes, nic->session.frame_bytes);
	atomic_store(&nic->tags, nic->session.capabilities & HVSI_NVSP_CAN_8021Q);
	atomic_store(&nic->receive, b);
	return 0;
}

/* No worker looks at it any more; what it held is forgotten. */
static void drop_receive(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_receive_buffer *b = &nic->session.receive;

	if (!b->shared.gpadl)
		return;
	atomic_store(&nic->receive, NULL);
	hvsi_net_update_receiving(nic);
	hvsi_nic_drain(nic);
	nic->session.replies = 0; /* there is no place for them */
	hvsi_slots_free(b, hvsi_nic_allocator(nic));
	hvsi_shared_close(&b->shared, hvsi_nic_allocator(nic));
}

static void receive_buffer(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			   const struct hvsi_nvsp *m)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	const struct hvsi_receive_buffer *b = &s->receive;
	struct hvsi_nvsp reply = {
		.type = hvsi_le32(HVSI_NVSP_RECEIVE_BUFFER_DONE),
		.u.receive_buffer_done = {.status = hvsi_le32(HVSI_NVSP_FAILURE)}};

	if (!b->shared.gpadl &&
	    hvsi_nvsp_take_receive(c, hvsi_get32(m->u.buffer.gpadl), hvsi_get16(m->u.buffer.id),
				   hvsi_nvsp_slot_bytes(s->frame_bytes)) == 0) {
		hvsi_nvsp_open_rndis(nic);
		reply.u.receive_buffer_done.status = hvsi_le32(HVSI_NVSP_SUCCESS);
		reply.u.receive_buffer_done.section_count = hvsi_le32(1);
		reply.u.receive_buffer_done.slot_bytes = hvsi_le32(b->slot_bytes);
		reply.u.receive_buffer_done.slot_count = hvsi_le32(b->slot_count);
		reply.u.receive_buffer_done.end = hvsi_le32(b->slot_count * b->slot_bytes);
	}
	hvsi_net_request_answer(c, r, &reply);
}

/* ---- the send buffer -------------------------------------------------------------------------- */

int hvsi_nvsp_take_send(struct hvsi_net_chan *c, uint32_t gpadl, uint32_t section_bytes)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_send_buffer *b = &nic->session.send;
	int err = hvsi_shared_open(&b->shared, c, gpadl, HVS_READ);

	if (err)
		return err;
	b->section_bytes = section_bytes;
	b->section_count = b->shared.len / section_bytes;
	atomic_store(&nic->send, b);
	return 0;
}

static void send_buffer(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			const struct hvsi_nvsp *m)
{
	struct hvsi_nvsp reply = {.type = hvsi_le32(HVSI_NVSP_SEND_BUFFER_DONE),
				  .u.send_buffer_done = {.status = hvsi_le32(HVSI_NVSP_FAILURE)}};

	if (!c->nic->session.send.shared.gpadl &&
	    hvsi_nvsp_take_send(c, hvsi_get32(m->u.buffer.gpadl), SECTION_BYTES) == 0) {
		reply.u.send_buffer_done.status = hvsi_le32(HVSI_NVSP_SUCCESS);
		reply.u.send_buffer_done.section_bytes = hvsi_le32(SECTION_BYTES);
	}
	hvsi_net_request_answer(c, r, &reply);
}

/* Requests of any channel may use it until they are done. True: none does. */
static bool drop_send(struct hvs_nic *nic)
{
	struct hvsi_session *s = &nic->session;

	if (!s->send.shared.gpadl)
		return true;
	atomic_store(&nic->send, NULL);
	for (uint32_t i = 0; i < nic->queue_count; i++)
		if (atomic_load(&nic->queue[i].sections.users))
			return false; /* hvsi_nic_kick_primary() when it does not any more */
	hvsi_shared_close(&s->send.shared, hvsi_nic_allocator(nic));
	return true;
}

static void revoke_send(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	struct hvsi_session *s = &c->nic->session;

	if (s->revoking || drop_send(c->nic)) {
		hvsi_net_request_reply(c, r);
		return;
	}
	s->revoking = true;
	s->revoke = r;
}

static void go_on_revoking(struct hvsi_net_chan *c)
{
	struct hvsi_session *s = &c->nic->session;
	struct hvsi_net_request *r = s->revoke;

	if (!s->revoking || !drop_send(c->nic))
		return;
	s->revoking = false;
	s->revoke = NULL;
	if (r)
		hvsi_net_request_reply(c, r);
}

/* ---- sub-channels ----------------------------------------------------------------------------- */

static void subchannels(struct hvsi_net_chan *c, struct hvsi_net_request *r,
			const struct hvsi_nvsp *m)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	uint32_t count = hvsi_get32(m->u.subchannels.count);
	struct hvsi_nvsp reply = {.type = hvsi_le32(HVSI_NVSP_SUBCHANNELS),
				  .u.subchannels = {.op = hvsi_le32(HVSI_NVSP_FAILURE)}};

	if (count > nic->channel_count - 1)
		count = nic->channel_count - 1;
	if (hvsi_get32(m->u.subchannels.op) == 1 && count &&
	    nic->rndis.state == HVSI_RNDIS_OPERATIONAL) {
		s->granted = count > s->granted ? count : s->granted;
		s->offer = true;
		s->table_sent = false;
		reply.u.subchannels.op = hvsi_le32(HVSI_NVSP_SUCCESS);
		reply.u.subchannels.count = hvsi_le32(count);
	}
	hvsi_net_request_answer(c, r, &reply);
}

/* Drivers wait for the answer first, and then for all of them. */
static void offer_subchannels(struct hvsi_net_chan *c)
{
	struct hvsi_session *s = &c->nic->session;

	if (!s->offer || c->unsent)
		return;
	hvs_channel_flush(c->ch);
	s->offer = false;
	(void)!hvs_channel_offer_subchannels(c->ch, s->granted);
}

static bool all_joined(const struct hvs_nic *nic)
{
	for (unsigned i = 1; i <= nic->session.granted; i++)
		if (!atomic_load(&nic->channel[i]))
			return false;
	return true;
}

/* Which channel a guest is to send through. */
static void send_table(struct hvsi_net_chan *c)
{
	struct hvsi_session *s = &c->nic->session;
	struct hvsi_nvsp_send_table t = {
		.type = hvsi_le32(HVSI_NVSP_SEND_TABLE),
		.count = hvsi_le32(HVSI_NVSP_SEND_TABLE_ENTRIES),
		.offset = hvsi_le32(offsetof(struct hvsi_nvsp_send_table, channel))};
	const struct iovec iov = {.iov_base = &t, .iov_len = sizeof(t)};

	if (!s->granted || s->table_sent || !all_joined(c->nic))
		return;
	for (unsigned i = 0; i < HVSI_NVSP_SEND_TABLE_ENTRIES; i++)
		t.channel[i] = hvsi_le32(i % (s->granted + 1));
	s->table_sent = hvs_channel_send(c->ch, 0, false, &iov, 1) != -EAGAIN;
}

/* ---- messages --------------------------------------------------------------------------------- */

static void init(struct hvsi_net_chan *c, struct hvsi_net_request *r, const struct hvsi_nvsp *m)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	uint32_t version = hvsi_get32(m->u.init.version);
	struct hvsi_nvsp reply = {.type = hvsi_le32(HVSI_NVSP_INIT_DONE)};
	bool ok = !s->version && hvsi_nvsp_version_known(nic, version);

	if (ok) {
		reply.u.init_done.version =
			hvsi_le32(version == HVSI_NVSP_VERSION_1 ? version : HVSI_NVSP_NO_VERSION);
		reply.u.init_done.max_mdl_chain = hvsi_le32(HVSI_NVSP_MAX_MDL_CHAIN);
		reply.u.init_done.status = hvsi_le32(HVSI_NVSP_SUCCESS);
	}
	hvsi_net_request_answer(c, r, &reply); /* as long as before */
	if (!ok)
		return;
	s->version = version;
	s->frame_bytes = DEFAULT_FRAME;
	atomic_store(&nic->version, version);
	atomic_store(&nic->frame_bytes, s->frame_bytes);
}

/* Before the buffers, whose slots depend on it. */
static void configure(struct hvsi_session *s, const struct hvsi_nvsp *m)
{
	uint32_t frame = hvsi_get32(m->u.config.mtu);

	if (s->receive.shared.gpadl)
		return;
	s->frame_bytes = hvsi_nvsp_frame_ok(frame) ? frame : DEFAULT_FRAME;
	s->capabilities = hvsi_get64(m->u.config.capabilities) &
			  (HVSI_NVSP_CAN_SRIOV | HVSI_NVSP_CAN_8021Q | HVSI_NVSP_CAN_RSC);
}

static void ndis_version(struct hvsi_session *s, const struct hvsi_nvsp *m)
{
	s->ndis_major = (uint16_t)hvsi_get32(m->u.ndis_version.major);
	s->ndis_minor = (uint16_t)hvsi_get32(m->u.ndis_version.minor);
}

static void set_path(struct hvs_nic *nic, bool vf)
{
	if (vf == atomic_load(&nic->path_vf))
		return;
	atomic_store(&nic->path_vf, vf);
	if (nic->cfg.vf_in_use)
		nic->cfg.vf_in_use(nic->cfg.arg, nic, vf);
}

/* What a guest may send with this version, and how long that is at least. 0: it may not. */
static uint32_t least_bytes(uint32_t type, uint32_t version)
{
	switch (type) {
	case HVSI_NVSP_INIT:
		return 12;
	case HVSI_NVSP_NDIS_VERSION:
		return version ? 12 : 0;
	case HVSI_NVSP_RECEIVE_BUFFER:
	case HVSI_NVSP_SEND_BUFFER:
		return version ? 10 : 0;
	case HVSI_NVSP_REVOKE_RECEIVE_BUFFER:
	case HVSI_NVSP_REVOKE_SEND_BUFFER:
		return version ? 6 : 0;
	case HVSI_NVSP_NDIS_CONFIG:
		return version >= HVSI_NVSP_VERSION_2 ? 20 : 0;
	case HVSI_NVSP_SWITCH_DATA_PATH:
		return version >= HVSI_NVSP_VERSION_4 ? 8 : 0;
	case HVSI_NVSP_OID_QUERY_EX:
	case HVSI_NVSP_SUBCHANNELS:
		return version >= HVSI_NVSP_VERSION_5 ? 12 : 0;
	case HVSI_NVSP_PACKET_DIRECT:
		return version >= HVSI_NVSP_VERSION_61 ? 8 : 0;
	default:
		return 0;
	}
}

static void answer_oid(struct hvsi_net_chan *c, struct hvsi_net_request *r)
{
	const struct hvsi_nvsp reply = {.type = hvsi_le32(HVSI_NVSP_OID_QUERY_EX_DONE),
					.u.oid_done.status = hvsi_le32(HVSI_RNDIS_NOT_SUPPORTED)};

	hvsi_net_request_answer(c, r, &reply);
}

static void answer_packet_direct(struct hvsi_net_chan *c, struct hvsi_net_request *r,
				 const struct hvsi_nvsp *m)
{
	const struct hvsi_nvsp reply = {
		.type = hvsi_le32(HVSI_NVSP_PACKET_DIRECT),
		.u.packet_direct = {.op = m->u.packet_direct.op,
				    .status = hvsi_le32(HVSI_NVSP_FAILURE)}};

	hvsi_net_request_answer(c, r, &reply);
}

void hvsi_nvsp_handle(struct hvsi_net_chan *c, struct hvsi_net_request *r,
		      const struct hvsi_nvsp *m, uint32_t len)
{
	struct hvsi_session *s = &c->nic->session;
	uint32_t type = hvsi_get32(m->type);
	uint32_t least = c->index ? 0 : least_bytes(type, s->version);

	if (!least || len < least) {
		hvsi_count(&c->queue->counters.from_malformed, 1);
		hvsi_net_request_reply(c, r); /* empty */
		return;
	}
	switch (type) {
	case HVSI_NVSP_INIT:
		init(c, r, m);
		return;
	case HVSI_NVSP_RECEIVE_BUFFER:
		receive_buffer(c, r, m);
		return;
	case HVSI_NVSP_SEND_BUFFER:
		send_buffer(c, r, m);
		return;
	case HVSI_NVSP_REVOKE_SEND_BUFFER:
		revoke_send(c, r);
		return;
	case HVSI_NVSP_SUBCHANNELS:
		subchannels(c, r, m);
		return;
	case HVSI_NVSP_OID_QUERY_EX:
		answer_oid(c, r);
		return;
	case HVSI_NVSP_PACKET_DIRECT:
		answer_packet_direct(c, r, m);
		return;
	case HVSI_NVSP_NDIS_VERSION:
		ndis_version(s, m);
		break;
	case HVSI_NVSP_NDIS_CONFIG:
		configure(s, m);
		break;
	case HVSI_NVSP_REVOKE_RECEIVE_BUFFER:
		drop_receive(c);
		break;
	case HVSI_NVSP_SWITCH_DATA_PATH:
		set_path(c->nic, s->vf && hvsi_get32(m->u.data_path.path) == HVSI_NVSP_PATH_VF);
		break;
	default:
		break;
	}
	hvsi_net_request_reply(c, r); /* these are empty, as drivers want it */
}

void hvsi_nvsp_poll(struct hvsi_net_chan *c)
{
	hvsi_net_update_receiving(c->nic); /* what was restored may want frames */
	go_on_revoking(c);
	offer_subchannels(c);
	send_table(c);
	hvsi_net_tell(c);
}

/* ---- the end ---------------------------------------------------------------------------------- */

void hvsi_nvsp_close(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;
	struct hvsi_net_request *r = s->revoke;

	s->revoke = NULL;
	s->revoking = false;
	if (r)
		hvsi_net_request_put(c, r);
	hvsi_rndis_close(&nic->rndis);
	atomic_store(&nic->rndis_state, HVSI_RNDIS_UNINITIALIZED);
	drop_receive(c);
	set_path(nic, false);
}

bool hvsi_nvsp_end(struct hvsi_net_chan *c)
{
	struct hvs_nic *nic = c->nic;
	struct hvsi_session *s = &nic->session;

	if (!drop_send(nic))
		return false;
	s->version = 0;
	s->frame_bytes = 0;
	s->capabilities = 0;
	s->opened = false;
	s->ndis_major = 0;
	s->ndis_minor = 0;
	s->granted = 0;
	s->offer = false;
	s->table_sent = false;
	s->tell_network = false;
	s->tell_offloads = false;
	s->vf = 0;
	atomic_store(&nic->version, 0);
	atomic_store(&nic->frame_bytes, 0);
	return true;
}
