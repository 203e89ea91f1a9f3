/* SPDX-License-Identifier: MIT */
/* The guest's side of a channel: rings with the roles swapped. */
#include "vsc/guest.h"

#include "util/alloc.h"
#include "vmbus/packet_proto.h"

#include <hvstack/channel.h>
#include <hvstack/vmbus.h>

#include <errno.h>

#define CALL_SIGNAL_EVENT_FAST 0x1005du
#define PAGE 4096u

static struct hvsi_ringmem view(uint8_t *ring, uint32_t data_bytes)
{
	return (struct hvsi_ringmem){.ctl = hvsi_guest_from_host(ring),
				     .flat = hvsi_guest_from_host(ring + PAGE),
				     .size = data_bytes};
}

void hvsi_guest_channel_free(struct hvs_guest_channel *ch)
{
	struct hvs_guest *g = ch->guest;

	hvsi_list_remove(&ch->node);
	if (ch->rings)
		g->ops.free_pages(g->pf, ch->rings, ch->ring_pages);
	hvsi_free(&g->alloc, ch, sizeof(*ch));
}

static int send_open(struct hvs_guest *g, struct hvs_guest_channel *ch, uint32_t ring_bytes)
{
	struct hvsi_msg_open msg = {.h = hvsi_msg_header(HVSI_MSG_OPENCHANNEL),
				    .relid = hvsi_le32(ch->relid),
				    .open_id = hvsi_le32(ch->relid),
				    .gpadl_id = hvsi_le32(ch->gpadl),
				    .downstream_page = hvsi_le32(ring_bytes / PAGE + 1)};
	struct hvsi_msg_open_result r;
	uint8_t buf[HVSI_MSG_MAX];
	int got = hvsi_guest_post(g, &msg, sizeof(msg));

	if (!got)
		got = hvs_guest_wait_message(g, HVSI_MSG_OPENCHANNEL_RESULT, buf);
	if (got < 0)
		return got;
	memcpy(&r, buf, sizeof(r));
	return hvsi_get32(r.status) ? -EREMOTEIO : 0;
}

int hvs_guest_channel_open(struct hvs_guest *g, const struct hvs_guest_offer *offer,
			   uint32_t ring_bytes, struct hvs_guest_channel **out)
{
	struct hvs_guest_channel *ch = hvsi_alloc(&g->alloc, sizeof(*ch));
	struct hvsi_ringmem mem;
	uint64_t gpa;
	int err;

	if (!ch)
		return -ENOMEM;
	hvsi_list_init(&ch->node);
	hvsi_list_append(&g->channels, &ch->node);
	ch->guest = g;
	ch->relid = offer->relid;
	ch->connection_id = offer->connection_id;
	ch->pipe = offer->flags & HVS_OFFER_PIPE;
	ch->ring_pages = 2 * ((size_t)ring_bytes / PAGE + 1);
	ch->rings = g->ops.alloc_pages(g->pf, ch->ring_pages, &gpa);
	err = -ENOMEM;
	if (!ch->rings)
		goto fail_free;

	mem = view(ch->rings, ring_bytes);
	err = hvsi_ring_out_open(&ch->out, &mem);
	mem = view(ch->rings + ch->ring_pages / 2 * PAGE, ring_bytes);
	if (!err)
		err = hvsi_ring_in_open(&ch->in, &mem);
	if (!err)
		err = hvs_guest_gpadl_create(g, ch->relid, gpa, (uint32_t)ch->ring_pages * PAGE,
					     &ch->gpadl);
	if (err)
		goto fail_free;
	err = send_open(g, ch, ring_bytes);
	if (err)
		goto fail_gpadl;
	(void)hvsi_ring_in_sleep(&ch->in);
	*out = ch;
	return 0;

fail_gpadl:
	(void)hvs_guest_gpadl_teardown(g, ch->relid, ch->gpadl);
fail_free:
	hvsi_guest_channel_free(ch);
	return err;
}

int hvs_guest_channel_close(struct hvs_guest_channel *ch)
{
	struct hvs_guest *g = ch->guest;
	struct hvsi_msg_relid msg = {.h = hvsi_msg_header(HVSI_MSG_CLOSECHANNEL),
				     .relid = hvsi_le32(ch->relid)};
	int err = hvsi_guest_post(g, &msg, sizeof(msg));

	if (!err)
		err = hvs_guest_gpadl_teardown(g, ch->relid, ch->gpadl);
	hvsi_guest_channel_free(ch);
	return err;
}

/* A range of a GPA-direct packet; returns its length, a multiple of 8. 0: more than room. */
static size_t put_range(uint8_t *to, size_t room, const struct hvs_guest_buffer *b)
{
	uint32_t offset = (uint32_t)(b->gpa % PAGE);
	uint64_t pages = ((uint64_t)offset + b->len + PAGE - 1) / PAGE;
	struct hvs_le32 head[2] = {hvsi_le32(b->len), hvsi_le32(offset)};

	if (room < sizeof(head) || pages > (room - sizeof(head)) / 8)
		return 0;
	memcpy(to, head, sizeof(head));
	for (uint64_t i = 0; i < pages; i++) {
		struct hvs_le64 pfn = hvsi_le64(b->gpa / PAGE + i);

		memcpy(to + sizeof(head) + i * sizeof(pfn), &pfn, sizeof(pfn));
	}
	return sizeof(head) + (size_t)pages * 8;
}

int hvs_guest_send_ranges(struct hvs_guest_channel *ch, uint64_t xid, bool wants_completion,
			  const struct hvs_guest_buffer *ranges, unsigned range_count,
			  const struct iovec *iov, unsigned iovcnt)
{
	const struct hvsi_descriptor desc = {
		.type = HVS_PACKET_GPA_DIRECT, .flags = wants_completion, .xid = xid};
	const struct hvsi_gpa_direct_header head = {.range_count = hvsi_le32(range_count)};
	uint8_t *to = ch->guest->ranges;
	size_t len = sizeof(head);

	memcpy(to, &head, sizeof(head));
	for (unsigned i = 0; i < range_count; i++) {
		size_t more = put_range(to + len, HVSI_GUEST_PACKET - len, &ranges[i]);

		if (!more)
			return -EMSGSIZE;
		len += more;
	}
	return hvsi_ring_write(&ch->out, &desc, to, len, iov, iovcnt);
}

int hvs_guest_complete(struct hvs_guest_channel *ch, uint64_t xid, const struct iovec *iov,
		       unsigned iovcnt)
{
	const struct hvsi_descriptor desc = {.type = HVS_PACKET_COMPLETION, .xid = xid};

	return hvsi_ring_write(&ch->out, &desc, NULL, 0, iov, iovcnt);
}

int hvs_guest_send(struct hvs_guest_channel *ch, uint64_t xid, bool wants_completion,
		   const struct hvs_guest_buffer *buffer, const struct iovec *iov, unsigned iovcnt)
{
	struct hvsi_descriptor desc = {
		.type = HVS_PACKET_INBAND, .flags = wants_completion, .xid = xid};
	struct hvsi_pipe_header pipe;

	if (buffer && buffer->len)
		return hvs_guest_send_ranges(ch, xid, wants_completion, buffer, 1, iov, iovcnt);
	if (!ch->pipe)
		return hvsi_ring_write(&ch->out, &desc, NULL, 0, iov, iovcnt);
	desc.header_len8 = HVSI_RING_DESCRIPTOR / 8;
	pipe = hvsi_pipe_header(iov, iovcnt);
	return hvsi_ring_write(&ch->out, &desc, &pipe, sizeof(pipe), iov, iovcnt);
}

static void signal_host(struct hvs_guest_channel *ch)
{
	struct hvs_guest *g = ch->guest;
	uint32_t connection_id = ch->connection_id;

	/* Before 1.1 channels have no connection of their own. */
	if (g->version < HVSI_VERSION(1, 1)) {
		uint8_t *page = g->interrupt_page + HVSI_INTERRUPT_PAGE_TO_HOST;

		hvsi_guest_or32(hvsi_guest_from_host(page + (size_t)ch->relid / 32 * 4),
				1u << ch->relid % 32);
		connection_id = HVS_VMBUS_EVENT_CONNECTION;
	}
	(void)g->ops.hypercall(g->pf, CALL_SIGNAL_EVENT_FAST, connection_id, 0);
}

void hvs_guest_flush(struct hvs_guest_channel *ch)
{
	bool arrived = hvsi_ring_publish(&ch->out);
	bool room = hvsi_ring_in_commit(&ch->in);

	if (arrived || room)
		signal_host(ch);
}

/* Turn the ranges of a packet into host order, where they are. 0, -EPROTO. */
static int take_ranges(uint8_t *packet, uint32_t header_len, struct hvs_guest_packet *pkt)
{
	const size_t first = HVSI_RING_DESCRIPTOR + sizeof(struct hvsi_transfer_pages_header);
	struct hvs_page_range *ranges = (void *)(packet + first);
	struct hvsi_transfer_pages_header h;

	if (header_len < first)
		return -EPROTO;
	memcpy(&h, packet + HVSI_RING_DESCRIPTOR, sizeof(h));
	pkt->pageset_id = hvsi_get16(h.set_id);
	pkt->range_count = hvsi_get32(h.range_count);
	pkt->ranges = ranges;
	if (!pkt->range_count || pkt->range_count > (header_len - first) / sizeof(*ranges))
		return -EPROTO;
	for (uint32_t i = 0; i < pkt->range_count; i++) {
		struct hvsi_wire_page_range r;

		memcpy(&r, &ranges[i], sizeof(r));
		ranges[i] = (struct hvs_page_range){.len = hvsi_get32(r.len),
						    .offset = hvsi_get32(r.offset)};
	}
	return 0;
}

int hvs_guest_recv(struct hvs_guest_channel *ch, struct hvs_guest_packet *pkt)
{
	struct hvsi_descriptor desc;
	int got = hvsi_ring_read(&ch->in, &desc, ch->guest->received, HVSI_GUEST_PACKET);

	if (got < 0)
		return -EPROTO;
	if (got == 0) {
		/* Empty: give the room back, and have the host signal the next packet. */
		if (hvsi_ring_in_commit(&ch->in))
			signal_host(ch);
		if (hvsi_ring_in_sleep(&ch->in))
			return 0;
		return hvs_guest_recv(ch, pkt);
	}
	*pkt = (struct hvs_guest_packet){
		.type = desc.type,
		.wants_completion = desc.flags & HVSI_PACKET_COMPLETION_REQUESTED,
		.len = (desc.len8 - desc.header_len8) * 8u,
		.xid = desc.xid,
		.data = ch->guest->received + (size_t)desc.header_len8 * 8};
	if (desc.type == HVS_PACKET_TRANSFER_PAGES &&
	    take_ranges(ch->guest->received, desc.header_len8 * 8u, pkt) < 0)
		return -EPROTO;
	if (ch->pipe && desc.type == HVS_PACKET_INBAND) {
		if (!hvsi_pipe_check(pkt->data, pkt->len, &pkt->len))
			return -EPROTO;
		pkt->data = (const uint8_t *)pkt->data + sizeof(struct hvsi_pipe_header);
	}
	return 1;
}

int hvs_guest_recv_wait(struct hvs_guest_channel *ch, struct hvs_guest_packet *pkt)
{
	hvs_guest_flush(ch);
	for (unsigned i = 0; i < HVSI_GUEST_MAX_WAITS; i++) {
		int got = hvs_guest_recv(ch, pkt);

		if (got)
			return got;
		ch->guest->ops.wait(ch->guest->pf);
	}
	return -ETIMEDOUT;
}

unsigned hvs_guest_channel_events(struct hvs_guest_channel *ch)
{
	unsigned n;

	hvsi_guest_poll(ch->guest);
	n = ch->events;
	ch->events = 0;
	return n;
}

void *hvs_guest_channel_rings(struct hvs_guest_channel *ch, size_t *len)
{
	*len = ch->ring_pages * PAGE;
	return ch->rings;
}
