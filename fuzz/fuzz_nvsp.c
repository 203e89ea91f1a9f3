/* SPDX-License-Identifier: MIT */
/*
 * A network driver that says anything over channels it opened properly, and a back end that keeps
 * frames, gives some, and whose link, policy and virtual function change: any NVSP message with any
 * memory, control messages, data, completions of whatever, buffers revoked and shared again,
 * sub-channels, channels closed and opened again, another host.
 */
#include "netport.h"
#include "race.h"

#include "vmbus/proto.h"
#include "vsp/network/oid.h"
#include "vsp/network/proto.h"
#include "vsp/network/rndis_proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <hvstack/hvstack.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)192 * 4096)
#define RING_BYTES 8192u
#define SHARED_PAGES 16u /* of what the driver shares itself */
#define CHANNELS 4u
#define WORKERS 2u /* besides the main one */
#define HELD 4096u
#define REPLACEMENTS 3u /* they take their time */

enum { BACK_END_CAN = 0x0f, NO_NEGOTIATION = 0x10, NO_RNDIS = 0x20, SUBCHANNELS = 0x40 };

static struct hvs_net_frame *held[HELD];

static struct machine {
	struct hvs_loopback *lb;
	struct hvs_guest *g;
	struct hvs_nic *nic;
	struct hvs_guest_channel *ch[CHANNELS];
	unsigned channels;
	uint32_t relid;
	uint32_t offloads;
	uint32_t queues;
	uint64_t gpa;
	uint8_t *pages;
	uint32_t gpadl[4];
	unsigned gpadls;
	unsigned held_count;
	unsigned replaced;
	bool removed; /* only frames are given back then */
	bool wanted;
	uint64_t xid;
} m;

/* ---- the back end ------------------------------------------------------------------------------- */

static int net_info(void *net, struct hvs_net_info *info)
{
	(void)net;
	info->offloads = m.offloads;
	info->max_queues = m.queues;
	return 0;
}

static void net_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	(void)net;
	CHECK(queue < m.queues && n && n <= HVS_NET_BATCH);
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = 0;

		for (unsigned p = 0; p < frames[i]->iovcnt; p++)
			len += (uint32_t)frames[i]->iov[p].iov_len;
		CHECK(len == frames[i]->len && len <= HVS_NET_MAX_FRAME);
		CHECK(!(frames[i]->flags & ~m.offloads));
		if (m.held_count == HELD)
			hvs_nic_tx_done(m.nic, &frames[i], 1, HVS_NET_DROPPED);
		else
			held[m.held_count++] = frames[i];
	}
}

static void net_rx_wanted(void *net, bool wanted)
{
	(void)net;
	CHECK(wanted != m.wanted);
	m.wanted = wanted;
}

static void net_rx_room(void *net, uint32_t queue)
{
	(void)net;
	CHECK(queue < m.queues);
}

static void mac_changed(void *arg, struct hvs_nic *nic, const uint8_t mac[6])
{
	(void)arg;
	CHECK(nic == m.nic && !(mac[0] & 1));
}

static void vf_in_use(void *arg, struct hvs_nic *nic, bool vf)
{
	(void)arg;
	(void)vf;
	CHECK(nic == m.nic);
}

static const struct hvs_net_ops net_ops = {HVS_NET_OPS_INIT, .get_info = net_info, .tx = net_tx,
					   .rx_room = net_rx_room, .rx_wanted = net_rx_wanted};

static void finish(unsigned count)
{
	while (count-- && m.held_count)
		hvs_nic_tx_done(m.nic, &held[--m.held_count], 1,
				count % 4 ? HVS_NET_OK : HVS_NET_ERROR);
}

/* ---- the machine -------------------------------------------------------------------------------- */

static int offer(void *arg, struct hvs_vmbus *bus)
{
	struct hvs_worker *workers[WORKERS];
	struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT,
				     .max_subchannels = CHANNELS - 1,
				     .mac = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03},
				     .name = "fuzz",
				     .mac_changed = mac_changed,
				     .vf_in_use = vf_in_use};
	int err = 0;

	(void)arg;
	m.wanted = false;
	if (m.removed)
		return 0;
	for (unsigned i = 0; !err && i + 1 < m.queues; i++)
		err = hvs_worker_create(bus, NULL, &workers[i]);
	if (err)
		return err;
	cfg.subchannel_worker_count = m.queues - 1;
	cfg.subchannel_workers = m.queues > 1 ? workers : NULL;
	return hvs_nic_create(bus, &cfg, &net_ops, &m, &m.nic);
}

static bool open_channel(unsigned n, unsigned offer_index)
{
	return hvs_guest_offer_at(m.g, offer_index) &&
	       !hvs_guest_channel_open(m.g, hvs_guest_offer_at(m.g, offer_index), RING_BYTES,
				       &m.ch[n]);
}

static void drain_rings(void)
{
	struct hvs_guest_packet pkt;

	hvs_loopback_run(m.lb);
	for (unsigned i = 0; i < m.channels; i++)
		while (m.ch[i] && hvs_guest_recv(m.ch[i], &pkt) == 1)
			;
}

static void send_on(unsigned n, uint64_t xid, bool wants_completion,
		    const struct hvs_guest_buffer *ranges, unsigned count, const void *msg,
		    size_t len)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = len};

	if (!m.ch[n])
		return;
	if (!(count ? hvs_guest_send_ranges(m.ch[n], xid, wants_completion, ranges, count, &iov, 1)
		    : hvs_guest_send(m.ch[n], xid, wants_completion, NULL, &iov, 1)))
		hvs_guest_flush(m.ch[n]);
	drain_rings();
}

static void say(uint32_t type, uint64_t a, uint64_t b)
{
	struct hvsi_nvsp msg = {.type = hvsi_le32(type)};
	struct hvs_le64 words[2] = {hvsi_le64(a), hvsi_le64(b)};

	memcpy(msg.u.bytes, words, sizeof(words));
	send_on(0, m.xid++, true, NULL, 0, &msg, sizeof(msg));
}

/* A GPADL of some of the pages; 0: the host does not take it. */
static uint32_t share(unsigned first, unsigned pages)
{
	uint32_t id = 0;

	if (m.gpadls == 4 ||
	    hvs_guest_gpadl_create(m.g, m.relid, m.gpa + (uint64_t)first * 4096, pages * 4096, &id))
		return 0;
	m.gpadl[m.gpadls++] = id;
	return id;
}

/* An RNDIS message at the beginning of the pages. */
static void send_rndis(unsigned n, const void *msg, uint32_t len)
{
	const struct hvsi_nvsp nvsp = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET),
				       .u.rndis = {.channel_type = hvsi_le32(HVSI_NVSP_CONTROL),
						   .section = hvsi_le32(HVSI_NVSP_NO_SECTION)}};
	const struct hvs_guest_buffer range = {.gpa = m.gpa, .len = len};

	memcpy(m.pages, msg, len);
	send_on(n, m.xid++, true, &range, 1, &nvsp, sizeof(nvsp));
}

static void set_filter(void)
{
	struct {
		struct hvsi_rndis_request req;
		struct hvs_le32 filter;
	} set = {.req = {.hdr = {hvsi_le32(HVSI_RNDIS_SET), hvsi_le32(sizeof(set))},
			 .oid = hvsi_le32(HVSI_OID_CURRENT_PACKET_FILTER),
			 .info_len = hvsi_le32(4),
			 .info_off = hvsi_le32(20)},
		 .filter = hvsi_le32(0x2d)};

	send_rndis(0, &set, sizeof(set));
}

static void set_rss(struct input *in)
{
	struct {
		struct hvsi_rndis_request req;
		struct hvsi_ndis_rss_parameters p;
		uint8_t key[40];
		struct hvs_le32 table[8];
	} set = {.req = {.hdr = {hvsi_le32(HVSI_RNDIS_SET), hvsi_le32(sizeof(set))},
			 .oid = hvsi_le32(HVSI_OID_RSS_PARAMETERS),
			 .info_len = hvsi_le32(sizeof(set) - sizeof(set.req)),
			 .info_off = hvsi_le32(20)},
		 .p = {.hash = hvsi_le32(HVSI_HASH_TOEPLITZ | (uint32_t)input_number(in, 2) << 8),
		       .table_bytes = hvsi_le16(sizeof(set.table)),
		       .table_off = hvsi_le32(sizeof(set.p) + sizeof(set.key)),
		       .key_bytes = hvsi_le16(sizeof(set.key)),
		       .key_off = hvsi_le32(sizeof(set.p))}};

	model_fill(set.key, sizeof(set.key), 1);
	for (unsigned i = 0; i < 8; i++)
		set.table[i] = hvsi_le32((uint32_t)input_number(in, 1) % CHANNELS);
	send_rndis(0, &set, sizeof(set));
}

static void open_subchannels(void)
{
	uint8_t message[HVSI_MSG_MAX];

	say(HVSI_NVSP_SUBCHANNELS, (uint64_t)(CHANNELS - 1) << 32 | 1, 0);
	for (unsigned i = 1; i < CHANNELS; i++)
		if (hvs_guest_wait_message(m.g, HVSI_MSG_OFFERCHANNEL, message) < 0)
			return;
	for (; m.channels < CHANNELS; m.channels++)
		if (!open_channel(m.channels, m.channels))
			return;
	drain_rings();
}

static void negotiate(unsigned flags)
{
	static const uint32_t versions[] = {HVSI_NVSP_VERSION_61, HVSI_NVSP_VERSION_5,
					    HVSI_NVSP_VERSION_1};
	const struct hvsi_rndis_initialize init = {
		.hdr = {hvsi_le32(HVSI_RNDIS_INITIALIZE), hvsi_le32(sizeof(init))},
		.major = hvsi_le32(1)};
	uint32_t version = versions[flags & NO_RNDIS ? 1 : flags >> 7];

	say(HVSI_NVSP_INIT, version | (uint64_t)version << 32, 0);
	if (version != HVSI_NVSP_VERSION_1)
		say(HVSI_NVSP_NDIS_CONFIG, 1514, 0x8c);
	say(HVSI_NVSP_NDIS_VERSION, (uint64_t)30 << 32 | 6, 0);
	say(HVSI_NVSP_RECEIVE_BUFFER, share(4, 9) | (uint64_t)0xcafe << 32, 0);
	say(HVSI_NVSP_SEND_BUFFER, share(13, 3) | (uint64_t)0xface << 32, 0);
	if (flags & NO_RNDIS)
		return;
	send_rndis(0, &init, sizeof(init));
	set_filter();
	if (flags & SUBCHANNELS)
		open_subchannels();
}

static void start(unsigned flags)
{
	CHECK(!hvs_loopback_start(m.lb, &m.g) && !hvs_guest_connect(m.g, 0x50003) &&
	      hvs_guest_request_offers(m.g) == 1);
	m.relid = hvs_guest_offer_at(m.g, 0)->relid;
	CHECK(open_channel(0, 0));
	m.channels = 1;
	if (!(flags & NO_NEGOTIATION))
		negotiate(flags);
}

/* ---- actions ------------------------------------------------------------------------------------ */

static void send_anything(struct input *in, unsigned n)
{
	uint8_t msg[48];
	unsigned what = (unsigned)input_number(in, 1);
	unsigned count = what & 0x80 ? 1 + what % 3 : 0;
	struct hvs_guest_buffer ranges[3];

	for (unsigned i = 0; i < count; i++)
		ranges[i] = (struct hvs_guest_buffer){.gpa = m.gpa + input_number(in, 2),
						      .len = (uint32_t)input_number(in, 2)};
	input_bytes(in, msg, what % 44);
	send_on(n, m.xid++, !(what & 0x40), ranges, count, msg, what % 44);
}

/* An RNDIS message in a section, in pages, or in both. */
static void send_message(struct input *in, unsigned n)
{
	unsigned where = (unsigned)input_number(in, 1);
	uint32_t len = (uint32_t)input_number(in, 2) % 4200;
	uint32_t in_section = where & 1 ? len / (1 + (where >> 4)) : 0;
	struct hvsi_nvsp nvsp = {
		.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET),
		.u.rndis = {.section = hvsi_le32(where & 1 ? where >> 1 & 1 : HVSI_NVSP_NO_SECTION),
			    .section_bytes = hvsi_le32(in_section)}};
	struct hvs_guest_buffer range = {.gpa = m.gpa, .len = len - in_section};
	uint8_t bytes[4200];

	input_bytes(in, bytes, len);
	if (where & 4) { /* a packet, but for what it says */
		struct hvsi_rndis_packet p = {.hdr = {hvsi_le32(HVSI_RNDIS_PACKET), hvsi_le32(len)},
					      .data_off = hvsi_le32(36),
					      .data_len = hvsi_le32(len - 44)};

		memcpy(bytes, &p, sizeof(p));
	}
	memcpy(m.pages + (size_t)13 * 4096 + (size_t)(where >> 1 & 1) * 6144, bytes, in_section);
	memcpy(m.pages, bytes + in_section, len - in_section);
	send_on(n, m.xid++, true, &range, range.len ? 1 : 0, &nvsp, sizeof(nvsp));
}

/* Something that a driver could send, nearly. */
static void send_frame(struct input *in, unsigned n)
{
	static struct model_frame model;
	struct {
		struct hvsi_rndis_packet p;
		struct hvsi_ppi32 ppi;
	} head = {.ppi.ppi = {.size = hvsi_le32(sizeof(head.ppi)), .off = hvsi_le32(12)}};
	const struct hvsi_nvsp nvsp = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET),
				       .u.rndis.section = hvsi_le32(HVSI_NVSP_NO_SECTION)};
	struct hvs_guest_buffer range = {.gpa = m.gpa};

	model_make(&model, in);
	if (model.len > 12000) /* into the pages that no buffer is made of */
		model.len = 12000;
	range.len = (uint32_t)sizeof(head) + model.len;
	head.p = (struct hvsi_rndis_packet){
		.hdr = {hvsi_le32(HVSI_RNDIS_PACKET), hvsi_le32(range.len)},
		.data_off = hvsi_le32(sizeof(head) - HVSI_RNDIS_OFFSETS_FROM),
		.data_len = hvsi_le32(model.len),
		.ppi_off = hvsi_le32(sizeof(head.p) - HVSI_RNDIS_OFFSETS_FROM),
		.ppi_len = hvsi_le32(sizeof(head.ppi))};
	head.ppi.ppi.type =
		hvsi_le32(model.mss ? HVSI_PPI_LARGE_SEND
				    : (model.tagged ? HVSI_PPI_VLAN : HVSI_PPI_CHECKSUM));
	head.ppi.value = hvsi_le32(model.mss      ? model.mss
				   : model.tagged ? model.tci
						  : (uint32_t)input_number(in, 4));
	if (input_number(in, 1) & 1)
		input_bytes(in, model.bytes + 14, 40);
	memcpy(m.pages, &head, sizeof(head));
	memcpy(m.pages + sizeof(head), model.bytes, model.len);
	send_on(n, m.xid++, true, &range, 1, &nvsp, sizeof(nvsp));
}

static void complete(struct input *in, unsigned n)
{
	uint64_t xid = input_number(in, 1);
	unsigned count = 1 + (unsigned)(xid >> 5);

	if (xid == 255)
		xid = input_number(in, 8);
	for (unsigned i = 0; i < count; i++)
		if (m.ch[n] && hvs_guest_complete(m.ch[n], (xid & 31) + i, NULL, 0) == 0)
			hvs_guest_flush(m.ch[n]);
	drain_rings();
}

static void buffers(struct input *in)
{
	unsigned what = (unsigned)input_number(in, 1);

	switch (what & 7) {
	case 0:
		say(HVSI_NVSP_REVOKE_RECEIVE_BUFFER, 0xcafe, 0);
		break;
	case 1:
		say(HVSI_NVSP_REVOKE_SEND_BUFFER, 0xface, 0);
		break;
	case 2:
		say(HVSI_NVSP_RECEIVE_BUFFER,
		    (m.gpadls ? m.gpadl[(what >> 3) % m.gpadls] : 1) | (uint64_t)0xcafe << 32, 0);
		break;
	case 3:
		say(HVSI_NVSP_SEND_BUFFER,
		    (m.gpadls ? m.gpadl[(what >> 3) % m.gpadls] : 1) | (uint64_t)0xface << 32, 0);
		break;
	case 4:
		(void)share(what >> 4, 1 + (what >> 3 & 1) * 8);
		break;
	default:
		if (m.gpadls) {
			m.gpadls--;
			hvs_guest_gpadl_teardown(m.g, m.relid, m.gpadl[m.gpadls]);
		}
	}
	drain_rings();
}

static void close_or_open(unsigned n, unsigned flags)
{
	if (n && m.ch[n]) {
		hvs_guest_channel_close(m.ch[n]);
		m.ch[n] = NULL;
		return;
	}
	finish(HELD); /* it waits for them */
	for (unsigned i = m.channels; i-- > 0;) {
		if (m.ch[i])
			hvs_guest_channel_close(m.ch[i]);
		m.ch[i] = NULL;
	}
	while (m.gpadls)
		hvs_guest_gpadl_teardown(m.g, m.relid, m.gpadl[--m.gpadls]);
	m.channels = 1;
	if (open_channel(0, 0))
		negotiate(flags & ~(unsigned)SUBCHANNELS); /* their offers are others now */
}

static void change_nic(struct input *in, unsigned what)
{
	if (m.removed)
		return;
	switch (what) {
	case 8:
	case 9:
		give_frames(m.nic, m.queues, in);
		break;
	case 10:
		change_port(m.nic, in);
		break;
	case 11:
		change_link(m.nic, in);
		break;
	default:
		m.removed = true;
		CHECK(!hvs_nic_remove(m.nic, NULL, NULL));
	}
}

/* False: the machine is gone. */
static bool replace_host(unsigned what)
{
	if (m.replaced++ == REPLACEMENTS)
		return false;
	finish(HELD); /* the old host waits for them */
	return hvs_loopback_replace_host(m.lb, what & 0x80 ? HVS_LOOPBACK_EXTERNAL_SINTS : 0, offer,
					 NULL) == 0;
}

/* False: the machine is gone. */
static bool act(struct input *in, unsigned flags)
{
	unsigned what = (unsigned)input_number(in, 1);
	unsigned n = (what >> 4) % m.channels;

	switch (what & 15) {
	case 0:
	case 1:
		send_anything(in, n);
		return true;
	case 2:
	case 3:
		send_message(in, n);
		return true;
	case 4:
		send_frame(in, n);
		return true;
	case 5:
		complete(in, n);
		return true;
	case 6:
		if (what & 0x80)
			set_rss(in);
		else
			buffers(in);
		return true;
	case 7:
		finish(1 + (what >> 4));
		break;
	case 8:
	case 9:
	case 10:
	case 11:
		change_nic(in, what & 15);
		break;
	case 12:
		if (what >> 4 == 15)
			change_nic(in, 12);
		else
			say(HVSI_NVSP_SWITCH_DATA_PATH, what >> 4, 0);
		break;
	case 13:
		close_or_open(n, flags);
		break;
	case 14:
		hvs_loopback_advance(m.lb, (what >> 4) * 500000000ull);
		break;
	default:
		return replace_host(what);
	}
	drain_rings();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES};
	unsigned flags;

	m = (struct machine){0};
	race_take(&in);
	flags = (unsigned)input_number(&in, 1);
	m.offloads = flags & BACK_END_CAN;
	m.queues = flags & SUBCHANNELS ? 1 + WORKERS : 1;
	CHECK(!hvs_loopback_create(&cfg, &m.lb) && !offer(NULL, hvs_loopback_bus(m.lb)));
	CHECK((m.pages = hvs_loopback_alloc_pages(m.lb, SHARED_PAGES, &m.gpa)) != NULL);
	start(flags);
	race_start(m.pages - (m.gpa - RAM_GPA), RAM_BYTES); /* rings, SynIC pages: all of it */
	for (unsigned i = 0; i < 64 && input_more(&in); i++)
		if (!act(&in, flags))
			break;
	finish(HELD);
	hvs_loopback_destroy(m.lb);
	return 0;
}
