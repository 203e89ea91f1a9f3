/* SPDX-License-Identifier: MIT */
/*
 * The ring algorithm. What keeps both sides from sleeping at the same time:
 *
 *        producer                                consumer
 *   [A]  store write_index                  [B]  store interrupt_mask = 0
 *        full barrier                            full barrier
 *        load interrupt_mask                     load write_index
 *          0: signal (if it was empty)             changed: don't sleep
 *
 *        producer                                consumer
 *   [C]  store pending_send_sz              [D]  store read_index
 *        full barrier                            full barrier
 *        load read_index                         load pending_send_sz
 *          room now: don't wait                    room for it now: signal
 *
 * [A] pairs with [B], [C] with [D]. Every shared word is loaded once per decision; each side
 * keeps its own indexes private and never reads them back.
 */
#include "vmbus/ring.h"

#include "util/le.h"

#include <errno.h>

/* Control page (protocol 6.1). */
#define CTL_WRITE_INDEX 0
#define CTL_READ_INDEX 4
#define CTL_INTERRUPT_MASK 8
#define CTL_PENDING_SEND_SZ 12
#define CTL_FEATURES 64
#define FEATURE_PENDING_SEND_SZ 1u

#define PAGE 4096u

struct wire_descriptor {
	struct hvs_le16 type;
	struct hvs_le16 header_len8;
	struct hvs_le16 len8;
	struct hvs_le16 flags;
	struct hvs_le64 xid;
};
_Static_assert(sizeof(struct wire_descriptor) == HVSI_RING_DESCRIPTOR, "protocol 6.2");

static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool index_ok(const struct hvsi_ringmem *m, uint32_t index)
{
	return index < m->size && index % 8 == 0;
}

static uint32_t distance(const struct hvsi_ringmem *m, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : m->size - from + to;
}

static uint32_t advance(const struct hvsi_ringmem *m, uint32_t index, uint32_t by)
{
	return by < m->size - index ? index + by : by - (m->size - index);
}

/* Bytes that may still be written: 8 always stay free. */
static uint32_t room(const struct hvsi_ringmem *m, uint32_t read, uint32_t write)
{
	return m->size - distance(m, read, write) - 8;
}

/* Largest piece at index that is contiguous in this process. */
static uint8_t HVSI_GUEST *piece(const struct hvsi_ringmem *m, uint32_t index, uint32_t *len)
{
	uint32_t run;

	if (m->flat) {
		run = m->size - index;
		if (*len > run)
			*len = run;
		return m->flat + index;
	}
	run = PAGE - index % PAGE;
	if (*len > run)
		*len = run;
	return m->pages[index / PAGE] + index % PAGE;
}

/* Copy out of the ring, across its end. index is in range, len at most the ring. */
static void copy_out(const struct hvsi_ringmem *m, uint32_t index, uint8_t *to, uint32_t len)
{
	while (len) {
		uint32_t run = len;
		const uint8_t HVSI_GUEST *p = piece(m, index, &run);

		hvsi_guest_read(to, p, run);
		index = advance(m, index, run);
		to += run;
		len -= run;
	}
}

static uint32_t copy_in(const struct hvsi_ringmem *m, uint32_t index, const void *from,
			uint32_t len)
{
	const uint8_t *bytes = from;

	while (len) {
		uint32_t run = len;
		uint8_t HVSI_GUEST *p = piece(m, index, &run);

		hvsi_guest_write(p, bytes, run);
		index = advance(m, index, run);
		bytes += run;
		len -= run;
	}
	return index;
}

int hvsi_ring_in_open(struct hvsi_ring_in *in, const struct hvsi_ringmem *mem)
{
	uint32_t read = hvsi_guest_load32(mem->ctl + CTL_READ_INDEX);

	if (!index_ok(mem, read))
		return -EPROTO;
	*in = (struct hvsi_ring_in){.mem = *mem, .next = read, .committed = read, .end = read};
	hvsi_guest_store32(mem->ctl + CTL_INTERRUPT_MASK, 1);
	return 0;
}

int hvsi_ring_read(struct hvsi_ring_in *in, struct hvsi_descriptor *desc, uint8_t *buf,
		   size_t buf_len)
{
	const struct hvsi_ringmem *m = &in->mem;
	struct wire_descriptor d;
	uint32_t available;
	uint32_t len;

	if (in->next == in->end) {
		uint32_t end = hvsi_guest_load32(m->ctl + CTL_WRITE_INDEX);

		if (!index_ok(m, end))
			return -EPROTO;
		in->end = end;
		if (in->next == end)
			return 0;
	}
	available = distance(m, in->next, in->end);
	if (available < sizeof(d) + HVSI_RING_TRAILER)
		return -EBADMSG;
	copy_out(m, in->next, (uint8_t *)&d, sizeof(d));
	*desc = (struct hvsi_descriptor){.type = hvsi_get16(d.type),
					 .header_len8 = hvsi_get16(d.header_len8),
					 .len8 = hvsi_get16(d.len8),
					 .flags = hvsi_get16(d.flags),
					 .xid = hvsi_get64(d.xid)};
	len = desc->len8 * 8u;
	if (desc->header_len8 < 2 || desc->header_len8 > desc->len8 ||
	    len + HVSI_RING_TRAILER > available)
		return -EBADMSG;
	if (len > buf_len)
		return -EMSGSIZE;
	memcpy(buf, &d, sizeof(d));
	copy_out(m, advance(m, in->next, sizeof(d)), buf + sizeof(d), len - (uint32_t)sizeof(d));
	in->next = advance(m, in->next, len + HVSI_RING_TRAILER);
	return 1;
}

bool hvsi_ring_in_commit(struct hvsi_ring_in *in)
{
	const struct hvsi_ringmem *m = &in->mem;
	uint32_t old = in->committed;
	uint32_t pending;
	uint32_t write;

	if (in->next == old)
		return false;
	in->committed = in->next;
	hvsi_guest_store32(m->ctl + CTL_READ_INDEX, in->next);
	full_barrier(); /* [D] */
	/* Some producers set sizes that are no multiple of 8 (ring size - 1). More than a ring ever
	 * has means: when it is empty. */
	pending = hvsi_guest_load32(m->ctl + CTL_PENDING_SEND_SZ) & ~7u;
	if (!pending)
		return false;
	if (pending > m->size - 8)
		pending = m->size - 8;
	write = hvsi_guest_load32(m->ctl + CTL_WRITE_INDEX);
	if (!index_ok(m, write))
		return false; /* the next read reports it */
	/* Once, when the room crosses what the producer waits for. */
	return room(m, old, write) < pending && room(m, in->next, write) >= pending;
}

void hvsi_ring_in_wake(struct hvsi_ring_in *in)
{
	hvsi_guest_store32(in->mem.ctl + CTL_INTERRUPT_MASK, 1);
}

bool hvsi_ring_in_sleep(struct hvsi_ring_in *in)
{
	const struct hvsi_ringmem *m = &in->mem;

	hvsi_guest_store32(m->ctl + CTL_INTERRUPT_MASK, 0);
	full_barrier(); /* [B] */
	if (hvsi_guest_load32(m->ctl + CTL_WRITE_INDEX) == in->next)
		return true;
	hvsi_guest_store32(m->ctl + CTL_INTERRUPT_MASK, 1);
	return false;
}

int hvsi_ring_out_open(struct hvsi_ring_out *out, const struct hvsi_ringmem *mem)
{
	uint32_t write = hvsi_guest_load32(mem->ctl + CTL_WRITE_INDEX);
	uint32_t read = hvsi_guest_load32(mem->ctl + CTL_READ_INDEX);

	if (!index_ok(mem, write) || !index_ok(mem, read))
		return -EPROTO;
	*out = (struct hvsi_ring_out){
		.mem = *mem, .next = write, .published = write, .start = read};
	hvsi_guest_store32(mem->ctl + CTL_PENDING_SEND_SZ, 0);
	hvsi_guest_store32(mem->ctl + CTL_FEATURES, FEATURE_PENDING_SEND_SZ);
	return 0;
}

/* 0: total bytes fit. */
static int make_room(struct hvsi_ring_out *out, uint32_t total)
{
	const struct hvsi_ringmem *m = &out->mem;

	if (total <= room(m, out->start, out->next))
		return 0;
	for (int look = 0; look < 2; look++) {
		uint32_t read = hvsi_guest_load32(m->ctl + CTL_READ_INDEX);

		if (!index_ok(m, read))
			return -EPROTO;
		out->start = read;
		if (total <= room(m, read, out->next))
			return 0;
		if (look == 0) {
			out->wanted = total;
			hvsi_guest_store32(m->ctl + CTL_PENDING_SEND_SZ, total);
			full_barrier(); /* [C] */
		}
	}
	return -EAGAIN;
}

int hvsi_ring_write(struct hvsi_ring_out *out, const struct hvsi_descriptor *desc,
		    const void *header, size_t header_len, const struct iovec *iov, unsigned iovcnt)
{
	const struct hvsi_ringmem *m = &out->mem;
	const size_t max = m->size - 8 - HVSI_RING_TRAILER;
	struct wire_descriptor d;
	size_t len = sizeof(d) + header_len;
	uint8_t tail[8 + HVSI_RING_TRAILER] = {0};
	struct hvs_le32 start = hvsi_le32(out->next);
	uint16_t header_len8;
	uint32_t padding;
	uint32_t at;
	int err;

	if (header_len > max)
		return -EMSGSIZE;
	for (unsigned i = 0; i < iovcnt; i++) {
		if (len > max || iov[i].iov_len > max - len)
			return -EMSGSIZE;
		len += iov[i].iov_len;
	}
	padding = (uint32_t)(-len & 7);
	len += padding;
	if (len > max || len > UINT16_MAX * 8u)
		return -EMSGSIZE;
	err = make_room(out, (uint32_t)len + HVSI_RING_TRAILER);
	if (err)
		return err;
	/* Something smaller may have fitted while what was refused still waits. */
	if (out->wanted && len + HVSI_RING_TRAILER >= out->wanted) {
		out->wanted = 0;
		hvsi_guest_store32(m->ctl + CTL_PENDING_SEND_SZ, 0);
	}

	header_len8 =
		desc->header_len8 ? desc->header_len8 : (uint16_t)((sizeof(d) + header_len) / 8);
	d = (struct wire_descriptor){.type = hvsi_le16(desc->type),
				     .header_len8 = hvsi_le16(header_len8),
				     .len8 = hvsi_le16((uint16_t)(len / 8)),
				     .flags = hvsi_le16(desc->flags),
				     .xid = hvsi_le64(desc->xid)};
	at = copy_in(m, out->next, &d, sizeof(d));
	at = copy_in(m, at, header, (uint32_t)header_len);
	for (unsigned i = 0; i < iovcnt; i++)
		at = copy_in(m, at, iov[i].iov_base, (uint32_t)iov[i].iov_len);
	memcpy(tail + padding + 4, &start, sizeof(start));
	out->next = copy_in(m, at, tail, padding + HVSI_RING_TRAILER);
	return 0;
}

bool hvsi_ring_publish(struct hvsi_ring_out *out)
{
	const struct hvsi_ringmem *m = &out->mem;
	uint32_t old = out->published;

	if (out->next == old)
		return false;
	out->published = out->next;
	hvsi_guest_store32(m->ctl + CTL_WRITE_INDEX, out->next);
	full_barrier(); /* [A] */
	return hvsi_guest_load32(m->ctl + CTL_INTERRUPT_MASK) == 0 &&
	       hvsi_guest_load32(m->ctl + CTL_READ_INDEX) == old;
}
