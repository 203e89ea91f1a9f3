/* SPDX-License-Identifier: MIT */
/*
 * Frames from a guest whose driver is negotiated: several to a packet, with any headers, in
 * thousands of pieces of guest memory that may change, to a back end that takes its time. What is
 * well formed has to arrive as a model says, and every packet is completed once.
 */
#include "netmodel.h"
#include "race.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <hvstack/hvstack.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)3 * 1024 * 1024)
#define RING_BYTES (256u * 1024)
#define AREA_BYTES (384u * 1024) /* where the pieces of a packet are */
#define STREAM_BYTES (256u * 1024)
#define MESSAGES 4u
#define PIECES 4096u
#define PACKETS 32u
#define HELD 8192u

enum { BACK_END_CAN = 0x0f, KEEPS = 0x10 };

/* ---- a back end --------------------------------------------------------------------------------- */

struct held {
	struct hvs_net_frame *f;
	uint32_t sum; /* of what is the library's memory */
};

static struct model_frame model[MESSAGES];
static struct held held[HELD];

static struct machine {
	struct hvs_loopback *lb;
	struct hvs_guest *g;
	struct hvs_guest_net *drv;
	struct hvs_nic *nic;
	uint8_t *ram;
	uint8_t *area;
	uint64_t area_gpa;
	uint32_t offloads;
	bool keeps;
	bool lost;  /* memory changes, or who knows: nothing is compared */
	bool exact; /* the model knows the packet */
	unsigned models, next;
	unsigned held_count;
	uint8_t state[PACKETS]; /* of a packet */
} m;

enum { UNUSED, SENT, SENT_EXACT, DONE };

static uint32_t sum_own(const struct hvs_net_frame *f)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < f->iovcnt; i++) {
		const uint8_t *p = f->iov[i].iov_base;

		if ((uintptr_t)p - (uintptr_t)m.ram < RAM_BYTES)
			continue;
		for (size_t n = 0; n < f->iov[i].iov_len; n++)
			sum = sum * 31 + p[n];
	}
	return sum;
}

/* Whatever the guest did. */
static uint32_t flatten(const struct hvs_net_frame *f, uint8_t *to)
{
	uint32_t len = 0;

	CHECK(f->size == sizeof(*f) && f->iovcnt && f->len >= HVS_NET_HEADER_BYTES);
	CHECK(f->len <= HVS_NET_MAX_FRAME && f->iov[0].iov_len <= HVS_NET_MAX_COPIED);
	for (unsigned i = 0; i < f->iovcnt; i++) {
		CHECK(f->iov[i].iov_len <= f->len - len);
		memcpy(to + len, f->iov[i].iov_base, f->iov[i].iov_len);
		len += (uint32_t)f->iov[i].iov_len;
	}
	CHECK(len == f->len && !(f->flags & ~m.offloads));
	CHECK(!(f->flags & (HVS_NET_TSO | HVS_NET_USO)) == !f->mss);
	CHECK(!(f->flags & (HVS_NET_TSO | HVS_NET_USO)) || f->flags & HVS_NET_CSUM);
	if (f->flags & (HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_USO))
		CHECK(f->l3_off >= 14 && f->l4_off > f->l3_off && f->payload_off > f->l4_off &&
		      f->payload_off <= f->iov[0].iov_len);
	return len;
}

static void net_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	static uint8_t bytes[HVS_NET_MAX_FRAME + 64];

	(void)net;
	CHECK(queue == 0 && n && n <= HVS_NET_BATCH);
	for (unsigned i = 0; i < n; i++) {
		flatten(frames[i], bytes);
		if (m.exact) {
			CHECK(m.next < m.models);
			m.next += model_check(&model[m.next], frames[i], bytes);
		}
		if (!m.keeps)
			continue;
		CHECK(m.held_count < HELD);
		held[m.held_count++] = (struct held){frames[i], sum_own(frames[i])};
	}
	if (!m.keeps)
		hvs_nic_tx_done(m.nic, frames, n, HVS_NET_OK);
}

static int net_info(void *net, struct hvs_net_info *info)
{
	(void)net;
	info->offloads = m.offloads;
	return 0;
}

static const struct hvs_net_ops net_ops = {HVS_NET_OPS_INIT, .get_info = net_info, .tx = net_tx};

/* Some frames, from the front or the back. */
static void finish(unsigned count, bool last)
{
	while (count-- && m.held_count) {
		struct held h = held[last ? m.held_count - 1 : 0];

		CHECK(sum_own(h.f) == h.sum);
		m.held_count--;
		if (!last)
			memmove(held, held + 1, m.held_count * sizeof(held[0]));
		hvs_nic_tx_done(m.nic, &h.f, 1, count % 3 ? HVS_NET_OK : HVS_NET_DROPPED);
	}
}

static void finish_all(void)
{
	while (m.held_count) {
		finish(m.held_count, true);
		hvs_loopback_run(m.lb);
	}
}

/* ---- a driver ----------------------------------------------------------------------------------- */

static void completed(void *arg, unsigned channel, uint64_t xid, uint32_t status)
{
	(void)arg;
	if (m.lost)
		return;
	CHECK(!channel && xid < PACKETS && (m.state[xid] == SENT || m.state[xid] == SENT_EXACT));
	CHECK(m.state[xid] == SENT || status == 1);
	m.state[xid] = DONE;
}

static void start(void)
{
	const struct hvs_nic_config nic = {HVS_NIC_CONFIG_INIT,
					   .mac = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03}};
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES};
	const struct hvs_guest_net_config drv = {HVS_GUEST_NET_CONFIG_INIT, .version = 0x60001,
						 .receive_bytes = 64u * 1024,
						 .send_bytes = 64u * 1024, .sent = completed};
	const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT,
					       .flags = HVS_PORT_PRIORITY_TAG};
	struct hvs_guest_channel *ch;

	CHECK(!hvs_loopback_create(&cfg, &m.lb));
	CHECK(!hvs_nic_create(hvs_loopback_bus(m.lb), &nic, &net_ops, &m, &m.nic));
	CHECK(!hvs_nic_set_policy(m.nic, &policy));
	CHECK(!hvs_loopback_start(m.lb, &m.g) && !hvs_guest_connect(m.g, 0x50003) &&
	      hvs_guest_request_offers(m.g) == 1);
	CHECK(!hvs_guest_channel_open(m.g, hvs_guest_offer_at(m.g, 0), RING_BYTES, &ch));
	m.area = hvs_loopback_alloc_pages(m.lb, AREA_BYTES / 4096, &m.area_gpa);
	CHECK(m.area);
	m.ram = m.area - (m.area_gpa - RAM_GPA);
	CHECK(!hvs_guest_net_open(ch, &drv, &m.drv) && !hvs_guest_net_initialize(m.drv));
}

/* ---- packets ------------------------------------------------------------------------------------ */

static struct stream {
	uint8_t b[STREAM_BYTES];
	uint32_t len;
} s;

static void put_ppi(uint32_t type, uint32_t value)
{
	const struct hvsi_ppi32 ppi = {.ppi = {.size = hvsi_le32(sizeof(ppi)),
					       .type = hvsi_le32(type),
					       .off = hvsi_le32(sizeof(ppi.ppi))},
				       .value = hvsi_le32(value)};

	memcpy(s.b + s.len, &ppi, sizeof(ppi));
	s.len += (uint32_t)sizeof(ppi);
}

static void put_ppis(const struct model_frame *f, unsigned style)
{
	uint32_t l4 = style & 1 ? f->l4_off : 0; /* some drivers don't say */
	/* and some call everything IPv4 */
	uint32_t ip = style & 2 || model_is_ip4(f) ? HVSI_TX_CSUM_IP4 : HVSI_TX_CSUM_IP6;

	if (style & 4)
		put_ppi(HVSI_PPI_HASH_VALUE, 0x12345678);
	if (f->tagged)
		put_ppi(HVSI_PPI_VLAN,
			f->tci >> 13 | (f->tci & 0x1000u) >> 9 | (f->tci & 0xfffu) << 4);
	if (f->mss)
		put_ppi(HVSI_PPI_LARGE_SEND, f->mss | l4 << HVSI_LSO_L4_SHIFT | HVSI_LSO_V2 |
						     (model_is_ip4(f) ? 0 : HVSI_LSO_IP6));
	else if (f->csum || f->ip_csum)
		put_ppi(HVSI_PPI_CHECKSUM, ip | l4 << HVSI_TX_CSUM_L4_SHIFT |
						   (f->ip_csum ? HVSI_TX_CSUM_IP_HEADER : 0) |
						   (!f->csum          ? 0
						    : model_is_tcp(f) ? HVSI_TX_CSUM_TCP
								      : HVSI_TX_CSUM_UDP));
}

/* An RNDIS packet around it. False: there is no room. */
static bool put_message(const struct model_frame *f, struct input *in)
{
	unsigned style = (unsigned)input_number(in, 1);
	uint32_t begin = s.len, gap = style & 8 ? style >> 4 : 0, ppi;
	struct hvsi_rndis_packet p = {.hdr.type = hvsi_le32(HVSI_RNDIS_PACKET)};

	if (f->len + 512 > STREAM_BYTES - s.len)
		return false;
	memset(s.b + s.len, 0, 512);
	s.len += (uint32_t)sizeof(p) + gap;
	ppi = s.len;
	put_ppis(f, style);
	if (s.len != ppi) {
		p.ppi_off = hvsi_le32(ppi - begin - HVSI_RNDIS_OFFSETS_FROM);
		p.ppi_len = hvsi_le32(s.len - ppi);
	}
	s.len += gap;
	p.data_off = hvsi_le32(s.len - begin - HVSI_RNDIS_OFFSETS_FROM);
	p.data_len = hvsi_le32(f->len);
	memcpy(s.b + s.len, f->bytes, f->len);
	s.len += f->len;
	while (s.len % 8)
		s.b[s.len++] = 0;
	p.hdr.len = hvsi_le32(s.len - begin);
	memcpy(s.b + begin, &p, sizeof(p));
	return true;
}

/* Overwrite some of it, but for the type: it stays a packet. */
static bool spoil(struct input *in, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t at = 4 + (uint32_t)input_number(in, 2) % (s.len - 4);
		uint8_t bytes[4];

		input_bytes(in, bytes, sizeof(bytes));
		memcpy(s.b + at, bytes, s.len - at < 4 ? s.len - at : 4);
	}
	return count != 0;
}

/*
 * Lay it out in guest memory: the pieces in order from the end of the area, now and then one of no
 * bytes. Returns how many there are.
 */
static unsigned lay_out(uint32_t from, uint32_t piece, unsigned empty, struct hvs_guest_buffer *to)
{
	unsigned n = 0;

	for (uint32_t at = from; at < s.len; n++) {
		uint32_t len = s.len - at < piece ? s.len - at : piece;
		uint32_t end = AREA_BYTES - (at - from) - len;

		if (empty && n % empty == empty - 1)
			len = 0;
		memcpy(m.area + end, s.b + at, len);
		to[n] = (struct hvs_guest_buffer){.gpa = m.area_gpa + end, .len = len};
		at += len;
	}
	return n;
}

/* A packet has room for so many ranges of one page each. */
static bool too_many(const struct hvs_guest_buffer *ranges, unsigned n)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += 8 + (ranges[i].gpa % 4096 + ranges[i].len + 4095) / 4096 * 8;
	return bytes > (size_t)PIECES * 16;
}

static int transmit(struct input *in, uint64_t xid)
{
	static struct hvs_guest_buffer ranges[PIECES];
	uint32_t piece = (uint32_t)input_number(in, 2);
	unsigned how = (unsigned)input_number(in, 1);
	uint32_t section = HVS_GUEST_NET_NO_SECTION, in_section = 0;
	unsigned empty = how & 4 ? 3 + how % 7 : 0, most, n;
	struct hvs_guest_net_info info = {HVS_GUEST_NET_INFO_INIT};
	int err;

	hvs_guest_net_get_info(m.drv, &info);
	if (how & 1) {
		section = how >> 4 & 7;
		in_section = how & 8 ? piece % info.section_bytes : info.section_bytes;
		if (in_section > s.len)
			in_section = s.len;
		memcpy(hvs_guest_net_section(m.drv, section), s.b, in_section);
		if (how == 0xff) { /* what is behind it may be a control message */
			section = (uint32_t)input_number(in, 4);
			m.lost = true;
		}
	}
	most = empty ? PIECES * 2 / 3 : PIECES;
	if (piece < (s.len - in_section) / (most - 1) + 1)
		piece = (s.len - in_section) / (most - 1) + 1;
	do {
		n = lay_out(in_section, piece, empty, ranges);
		piece *= 2;
	} while (too_many(ranges, n));
	err = hvs_guest_net_transmit(m.drv, 0, xid, section, in_section, ranges, n);
	m.exact = m.exact && !m.lost && !empty; /* the channel ends with those of no bytes */
	return err;
}

static void send_packet(struct input *in, uint64_t xid)
{
	unsigned what = (unsigned)input_number(in, 1);

	s.len = 0;
	m.next = 0;
	for (m.models = 0; m.models < 1 + what % MESSAGES; m.models++) {
		model_make(&model[m.models], in);
		if (!put_message(&model[m.models], in))
			break;
	}
	m.exact = !spoil(in, what >> 6) && !m.lost;
	if (transmit(in, xid)) {
		m.exact = false;
		return; /* the ring is full */
	}
	m.state[xid] = m.exact ? SENT_EXACT : SENT;
	hvs_guest_flush(hvs_guest_net_channel(m.drv, 0));
	hvs_loopback_run(m.lb);
	if (m.exact && m.next != m.models)
		finish_all(); /* it waits for them */
	CHECK(!m.exact || m.next == m.models);
	m.exact = false;
}

/* The channel is out of use, or who knows. */
static bool lost(void)
{
	return m.lost || hvs_loopback_count(m.lb)->faults;
}

static void act(struct input *in, uint64_t xid)
{
	unsigned what = (unsigned)input_number(in, 1);

	if (what & 3) {
		send_packet(in, xid);
	} else {
		finish((unsigned)input_number(in, 1), what & 4);
		hvs_loopback_run(m.lb);
	}
	CHECK(hvs_guest_net_poll(m.drv) >= 0 || lost());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned flags;

	memset(&m, 0, sizeof(m));
	race_take(&in);
	m.lost = input_more(&race.changes);
	flags = (unsigned)input_number(&in, 1);
	m.offloads = flags & BACK_END_CAN;
	m.keeps = flags & KEEPS;
	start();
	race_start(m.ram, RAM_BYTES);
	for (uint64_t xid = 0; xid < PACKETS && input_more(&in) && (m.lost || !lost()); xid++)
		act(&in, xid);
	finish_all();
	CHECK(hvs_guest_net_poll(m.drv) >= 0 || lost());
	for (unsigned i = 0; i < PACKETS && !lost(); i++)
		CHECK(m.state[i] == UNUSED || m.state[i] == DONE);
	hvs_guest_net_close(m.drv, HVS_GUEST_NET_FORGET);
	hvs_loopback_destroy(m.lb);
	return 0;
}
