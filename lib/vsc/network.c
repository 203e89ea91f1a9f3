/* SPDX-License-Identifier: MIT */
/* The guest's side of a network adapter: frames, and what is shared with control messages. */
#include "vsc/network.h"

#include "util/alloc.h"

#include <hvstack/channel.h>

#include <errno.h>
#include <string.h>

/* ---- to the host ------------------------------------------------------------------------------ */

uint32_t hvs_guest_net_build(void *to, uint32_t room, const struct hvs_guest_net_packet *p)
{
	const uint32_t ppi_len = p->ppi_count * (uint32_t)sizeof(struct hvsi_ppi32);
	const uint32_t headers = (uint32_t)sizeof(struct hvsi_rndis_packet) + ppi_len;
	uint32_t end = headers + p->len;
	uint32_t here = p->data ? end : headers;
	struct hvsi_rndis_packet head;
	uint8_t *at = to;

	if (p->pad)
		end = (end + p->pad - 1) / p->pad * p->pad;
	if (p->data)
		here = end;
	if (here > room)
		return 0;
	head = (struct hvsi_rndis_packet){
		.hdr = {.type = hvsi_le32(HVSI_RNDIS_PACKET), .len = hvsi_le32(end)},
		.data_off = hvsi_le32(headers - HVSI_RNDIS_OFFSETS_FROM),
		.data_len = hvsi_le32(p->len),
		.ppi_off =
			hvsi_le32(ppi_len ? (uint32_t)sizeof(head) - HVSI_RNDIS_OFFSETS_FROM : 0),
		.ppi_len = hvsi_le32(ppi_len)};
	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	for (unsigned i = 0; i < p->ppi_count; i++) {
		const struct hvsi_ppi32 ppi = {.ppi = {.size = hvsi_le32(sizeof(ppi)),
						       .type = hvsi_le32(p->ppi[i].type),
						       .off = hvsi_le32(sizeof(struct hvsi_ppi))},
					       .value = hvsi_le32(p->ppi[i].value)};

		memcpy(at, &ppi, sizeof(ppi));
		at += sizeof(ppi);
	}
	if (p->data) {
		memcpy(at, p->data, p->len);
		memset(at + p->len, 0, end - headers - p->len);
	}
	return here;
}

int hvs_guest_net_transmit(struct hvs_guest_net *net, unsigned channel, uint64_t xid,
			   uint32_t section, uint32_t section_bytes,
			   const struct hvs_guest_buffer *ranges, unsigned range_count)
{
	const struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET),
				    .u.rndis = {.channel_type = hvsi_le32(HVSI_NVSP_DATA),
						.section = hvsi_le32(section),
						.section_bytes = hvsi_le32(section_bytes)}};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&m,
				  .iov_len = hvsi_guest_net_bytes(net)};

	return range_count ? hvs_guest_send_ranges(net->ch[channel], xid, true, ranges, range_count,
						   &iov, 1)
			   : hvs_guest_send(net->ch[channel], xid, true, NULL, &iov, 1);
}

uint8_t *hvs_guest_net_section(struct hvs_guest_net *net, uint32_t section)
{
	return net->send.bytes + (size_t)section * net->info.section_bytes;
}

int hvs_guest_net_send(struct hvs_guest_net *net, unsigned channel, uint64_t xid,
		       const struct hvs_guest_net_packet *p, unsigned count)
{
	uint32_t section;
	uint32_t at = 0;
	int err;

	if (!net->info.section_count)
		return -EMSGSIZE;
	section = (uint32_t)(xid % net->info.section_count);
	for (unsigned i = 0; i < count; i++) {
		uint32_t len = hvs_guest_net_build(hvs_guest_net_section(net, section) + at,
						   net->info.section_bytes - at, &p[i]);

		if (!len)
			return -EMSGSIZE;
		at += len;
	}
	err = hvs_guest_net_transmit(net, channel, xid, section, at, NULL, 0);
	if (!err)
		hvs_guest_flush(net->ch[channel]);
	return err;
}

/* ---- from the host ---------------------------------------------------------------------------- */

/* Strictly: some driver never ends, or trusts it, where one of these does not hold. */
static bool take_ppi(const uint8_t *list, uint32_t left, struct hvs_guest_net_frame *f,
		     struct hvsi_ppi_packet_id *id)
{
	while (left) {
		struct hvsi_ppi32 ppi;

		if (left < sizeof(ppi))
			return false;
		memcpy(&ppi, list, sizeof(ppi));
		if (hvsi_get32(ppi.ppi.size) != sizeof(ppi) ||
		    hvsi_get32(ppi.ppi.off) != sizeof(ppi.ppi))
			return false;
		switch (hvsi_get32(ppi.ppi.type)) {
		case HVSI_PPI_CHECKSUM:
			f->csum = hvsi_get32(ppi.value);
			break;
		case HVSI_PPI_VLAN:
			f->tagged = true;
			f->vlan = hvsi_get32(ppi.value);
			break;
		case HVSI_PPI_HASH_VALUE:
			f->hash = hvsi_get32(ppi.value);
			break;
		case HVSI_PPI_HASH_INFO:
			f->hash_info = hvsi_get32(ppi.value);
			break;
		case HVSI_PPI_PACKET_ID:
			memcpy(id, &ppi.value, sizeof(*id));
			break;
		default:
			return false;
		}
		list += sizeof(ppi);
		left -= (uint32_t)sizeof(ppi);
	}
	return true;
}

static int take_whole(struct hvs_guest_net *net, struct hvs_guest_net_frame *f)
{
	if (f->len < 14)
		return -EPROTO;
	if (net->cfg.received)
		net->cfg.received(net->cfg.arg, f);
	return 0;
}

/* Part of a coalesced segment: all of them are in one packet, in order. */
static int take_part(struct hvs_guest_net *net, const struct hvs_guest_net_frame *f,
		     const struct hvsi_ppi_packet_id *id)
{
	struct hvs_guest_net_frame *whole = &net->part;
	bool first = id->flags & HVSI_RSC_FIRST;

	if (!net->coalesced || id->version != 1 || !(id->flags & HVSI_RSC_FRAGMENT) ||
	    first != !whole->parts || (!first && hvsi_get16(id->id) != net->part_id))
		return -EPROTO;
	if (first) {
		*whole = *f;
		whole->len = 0;
		whole->parts = 0;
		net->part_id = hvsi_get16(id->id);
	} else if (f->csum || f->tagged || f->hash_info) {
		return -EPROTO; /* nobody would see it */
	}
	if (f->len > HVSI_GUEST_NET_COALESCED - whole->len)
		return -EPROTO;
	memcpy(net->coalesced + whole->len, f->data, f->len);
	whole->len += f->len;
	whole->parts++;
	if (!(id->flags & HVSI_RSC_LAST))
		return 0;
	whole->data = net->coalesced;
	{
		int err = take_whole(net, whole);

		whole->parts = 0;
		return err;
	}
}

static int take_frame(struct hvs_guest_net *net, unsigned channel, const uint8_t *msg, uint32_t len)
{
	const uint32_t least = sizeof(struct hvsi_rndis_packet) - HVSI_RNDIS_OFFSETS_FROM;
	struct hvs_guest_net_frame f = {.channel = channel, .parts = 1};
	struct hvsi_ppi_packet_id id = {0};
	struct hvsi_rndis_packet p;
	uint32_t body;
	uint32_t data;
	uint32_t ppi;
	uint32_t ppi_len;

	if (len < sizeof(p))
		return -EPROTO;
	memcpy(&p, msg, sizeof(p));
	body = hvsi_get32(p.hdr.len) - HVSI_RNDIS_OFFSETS_FROM;
	data = hvsi_get32(p.data_off);
	f.len = hvsi_get32(p.data_len);
	ppi = hvsi_get32(p.ppi_off);
	ppi_len = hvsi_get32(p.ppi_len);
	if (hvsi_get32(p.hdr.len) != len || data < least || data >= body || f.len > body - data ||
	    !f.len || ppi < least || ppi % 4 || ppi > data || ppi_len > data - ppi ||
	    hvsi_get32(p.oob_off) || hvsi_get32(p.oob_len) || hvsi_get32(p.oob_count) ||
	    hvsi_get32(p.vc) || hvsi_get32(p.reserved) ||
	    !take_ppi(msg + HVSI_RNDIS_OFFSETS_FROM + ppi, ppi_len, &f, &id))
		return -EPROTO;
	f.data = msg + HVSI_RNDIS_OFFSETS_FROM + data;
	if (id.flags)
		return take_part(net, &f, &id);
	return net->part.parts ? -EPROTO : take_whole(net, &f);
}

static int take_range(struct hvs_guest_net *net, unsigned channel, bool control,
		      const struct hvs_page_range *range)
{
	struct hvsi_rndis_header h;
	const uint8_t *msg;
	bool frame;

	if (range->offset > net->receive.len || range->len > net->receive.len - range->offset ||
	    range->len > net->info.slot_bytes || range->offset % net->info.slot_bytes ||
	    range->len < 12)
		return -EPROTO;
	msg = net->receive.bytes + range->offset;
	memcpy(&h, msg, sizeof(h));
	frame = hvsi_get32(h.type) == HVSI_RNDIS_PACKET;
	if (frame == control)
		return -EPROTO;
	return frame ? take_frame(net, channel, msg, range->len)
		     : hvsi_guest_net_take_control(net, msg, range->len);
}

static int complete(struct hvs_guest_net *net, unsigned channel, uint64_t xid)
{
	const struct hvsi_nvsp m = {.type = hvsi_le32(HVSI_NVSP_RNDIS_PACKET_DONE),
				    .u.rndis_done.status = hvsi_le32(HVSI_NVSP_SUCCESS)};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&m, .iov_len = 8};

	return hvs_guest_complete(net->ch[channel], xid, &iov, 1);
}

static int take_pages(struct hvs_guest_net *net, unsigned channel,
		      const struct hvs_guest_packet *pkt)
{
	struct hvsi_nvsp m;
	bool control;
	uint64_t xid = pkt->xid;
	int err = 0;

	if (pkt->len < HVSI_NVSP_BYTES || pkt->len % 8 || pkt->pageset_id != 0xcafe ||
	    !pkt->wants_completion || xid >= net->info.slot_count || pkt->range_count > 375 ||
	    (channel && net->cfg.version < HVSI_NVSP_VERSION_5))
		return -EPROTO;
	memcpy(&m, pkt->data, HVSI_NVSP_BYTES);
	control = hvsi_get32(m.u.rndis.channel_type) == HVSI_NVSP_CONTROL;
	if (hvsi_get32(m.type) != HVSI_NVSP_RNDIS_PACKET || (control && channel))
		return -EPROTO;
	for (uint32_t i = 0; !err && i < pkt->range_count; i++)
		err = take_range(net, channel, control, &pkt->ranges[i]);
	if (!err && net->part.parts)
		err = -EPROTO; /* its end is not there */
	if (err)
		return err;
	if (!net->hold && complete(net, channel, xid) == 0)
		return 0;
	if (net->held_count == net->info.slot_count)
		return -EPROTO; /* it has sent slots that are ours */
	net->held[net->held_count++] = (struct hvsi_guest_net_held){.xid = xid, .channel = channel};
	return 0;
}

static int take_completion(struct hvs_guest_net *net, unsigned channel,
			   const struct hvs_guest_packet *pkt)
{
	struct hvsi_nvsp m = {0};

	memcpy(&m, pkt->data, pkt->len < sizeof(m) ? pkt->len : sizeof(m));
	if (net->waiting && pkt->xid == net->wait_xid) {
		if (net->completed)
			return -EPROTO; /* twice */
		net->completed = true;
		net->completion = m;
		net->completion_len = pkt->len;
		return 0;
	}
	if (hvsi_get32(m.type) != HVSI_NVSP_RNDIS_PACKET_DONE || pkt->len < HVSI_NVSP_BYTES)
		return -EPROTO;
	if (net->cfg.sent)
		net->cfg.sent(net->cfg.arg, channel, pkt->xid, hvsi_get32(m.u.rndis_done.status));
	return 0;
}

static int take_packet(struct hvs_guest_net *net, unsigned channel,
		       const struct hvs_guest_packet *pkt)
{
	switch (pkt->type) {
	case HVS_PACKET_COMPLETION:
		return take_completion(net, channel, pkt);
	case HVS_PACKET_TRANSFER_PAGES:
		return take_pages(net, channel, pkt);
	case HVS_PACKET_INBAND:
		if (net->cfg.told)
			net->cfg.told(net->cfg.arg, pkt->data, pkt->len);
		return 0;
	default:
		return -EPROTO;
	}
}

/* Complete what is not held any more, as far as there is room. */
static int give_back(struct hvs_guest_net *net)
{
	while (!net->hold && net->held_count) {
		const struct hvsi_guest_net_held *h = &net->held[net->held_count - 1];
		int err = complete(net, h->channel, h->xid);

		if (err)
			return err;
		net->held_count--;
	}
	return 0;
}

int hvs_guest_net_poll(struct hvs_guest_net *net)
{
	int taken = 0;

	(void)give_back(net);
	for (unsigned i = 0; i < net->channels; i++) {
		struct hvs_guest_packet pkt;
		int got;

		while ((got = hvs_guest_recv(net->ch[i], &pkt)) == 1) {
			got = take_packet(net, i, &pkt);
			if (got < 0)
				return got;
			taken++;
		}
		if (got < 0)
			return got;
		hvs_guest_flush(net->ch[i]);
	}
	return taken;
}

int hvs_guest_net_hold(struct hvs_guest_net *net, bool hold)
{
	int err;

	net->hold = hold;
	err = give_back(net);
	for (unsigned i = 0; i < net->channels; i++)
		hvs_guest_flush(net->ch[i]);
	return err;
}

int hvsi_guest_net_wait(struct hvs_guest_net *net, bool for_reply)
{
	hvs_guest_flush(net->ch[0]);
	for (unsigned i = 0; i < HVSI_GUEST_MAX_WAITS; i++) {
		int got = hvs_guest_net_poll(net);

		if (got < 0)
			return got;
		if (net->completed && (!for_reply || net->reply_len))
			return 0;
		/* Malformed messages have no answer. */
		if (net->completed && for_reply &&
		    hvsi_get32(net->completion.u.rndis_done.status) != HVSI_NVSP_SUCCESS)
			return -EREMOTEIO;
		net->g->ops.wait(net->g->pf);
	}
	return -ETIMEDOUT;
}
