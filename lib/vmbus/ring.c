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
 *
 * The rest is acquire and release: data is written before write_index (release) and read after it
 * (acquire); data has been read before read_index is stored (release), and is overwritten after that
 * was loaded (acquire). interrupt_mask = 1 needs nothing: who sees it late signals once too often,
 * and nobody sleeps before [B].
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

struct wire_trailer {
	struct hvs_le32 zero;
	struct hvs_le32 start; /* index of the packet's first byte */
};
_Static_assert(sizeof(struct wire_trailer) == HVSI_RING_TRAILER, "protocol 6.2");

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

/* A position in the ring's data, and what follows it in one piece in this process. */
struct cursor {
	const struct hvsi_ringmem *m;
	uint8_t HVSI_GUEST *p;
	uint32_t run; /* bytes from p on */
	uint32_t end; /* index behind them */
};

/* index is in range. */
static struct cursor cursor_at(const struct hvsi_ringmem *m, uint32_t index)
{
	uint32_t in_page = index % PAGE;

	if (m->flat)
		return (struct cursor){m, m->flat + index, m->size - index, m->size};
	return (struct cursor){m, m->pages[index / PAGE] + in_page, PAGE - in_page,
			       index - in_page + PAGE};
}

/* Copy what reaches beyond the end of a piece. len is at most the ring. */
static void copy_across(struct cursor *c, uint8_t *bytes, uint32_t len, bool to_ring)
{
	while (len) {
		uint32_t n;

		if (!c->run)
			*c = cursor_at(c->m, c->end == c->m->size ? 0 : c->end);
		n = len < c->run ? len : c->run;
		if (to_ring)
			hvsi_guest_write(c->p, bytes, n);
		else
			hvsi_guest_read(bytes, c->p, n);
		c->p += n;
		c->run -= n;
		bytes += n;
		len -= n;
	}
}

/* Inlined: most copies are of a size that the compiler knows. */
static inline void copy_out(struct cursor *c, void *to, uint32_t len)
{
	if (len > c->run) {
		copy_across(c, to, len, false);
		return;
	}
	hvsi_guest_read(to, c->p, len);
	c->p += len;
	c->run -= len;
}

static inline void copy_in(struct cursor *c, const void *from, uint32_t len)
{
	if (len > c->run) {
		copy_across(c, (uint8_t *)(uintptr_t)from, len, true);
		return;
	}
	hvsi_guest_write(c->p, from, len);
	c->p += len;
	c->run -= len;
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
	struct cursor at;
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
	at = cursor_at(m, in->next);
	copy_out(&at, &d, sizeof(d));
	*desc = (struct hvsi_descriptor){.type = hvsi_get16(d.type),
					 .header_len8 = hvsi_get16(d.header_len8),
					 .len8 = hvsi_get16(d.len8),
					 .flags = hvsi_get16(d.flags),
					 .xid = hvsi_get64(d.xid)};
	len = desc->len8 * 8u;
	/* What is too short for a descriptor and a trailer does not pass either. */
	if (desc->header_len8 < 2 || desc->header_len8 > desc->len8 ||
	    len + HVSI_RING_TRAILER > available)
		return -EBADMSG;
	if (len > buf_len)
		return -EMSGSIZE;
	memcpy(buf, &d, sizeof(d));
	copy_out(&at, buf + sizeof(d), len - (uint32_t)sizeof(d));
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
	hvsi_guest_barrier(); /* [D] */
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
	hvsi_guest_barrier(); /* [B] */
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
			hvsi_guest_barrier(); /* [C] */
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
	const struct wire_trailer trailer = {.start = hvsi_le32(out->next)};
	static const uint8_t zeros[8];
	uint16_t header_len8;
	struct cursor at;
	uint32_t padding;
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
	at = cursor_at(m, out->next);
	/* In the halves it was put together from: one load of both would wait for the stores. */
	copy_in(&at, &d, offsetof(struct wire_descriptor, xid));
	copy_in(&at, &d.xid, sizeof(d.xid));
	if (header_len)
		copy_in(&at, header, (uint32_t)header_len);
	for (unsigned i = 0; i < iovcnt; i++)
		if (iov[i].iov_len)
			copy_in(&at, iov[i].iov_base, (uint32_t)iov[i].iov_len);
	if (padding)
		copy_in(&at, zeros, padding);
	copy_in(&at, &trailer, sizeof(trailer));
	out->next = advance(m, out->next, (uint32_t)len + HVSI_RING_TRAILER);
	return 0;
}

int hvsi_ring_has_room(struct hvsi_ring_out *out, uint32_t bytes)
{
	return bytes > out->mem.size - 8 ? -EMSGSIZE : make_room(out, bytes);
}

bool hvsi_ring_out_blocked(struct hvsi_ring_out *out)
{
	const struct hvsi_ringmem *m = &out->mem;
	uint32_t read = hvsi_guest_load32(m->ctl + CTL_READ_INDEX);

	/* A read index that is nonsense is seen by the next write. */
	if (!out->wanted || (index_ok(m, read) && room(m, read, out->next) < out->wanted))
		return out->wanted != 0;
	out->wanted = 0;
	hvsi_guest_store32(m->ctl + CTL_PENDING_SEND_SZ, 0);
	return false;
}

bool hvsi_ring_publish(struct hvsi_ring_out *out)
{
	const struct hvsi_ringmem *m = &out->mem;
	uint32_t old = out->published;

	if (out->next == old)
		return false;
	out->published = out->next;
	hvsi_guest_store32(m->ctl + CTL_WRITE_INDEX, out->next);
	hvsi_guest_barrier(); /* [A] */
	return hvsi_guest_load32(m->ctl + CTL_INTERRUPT_MASK) == 0 &&
	       hvsi_guest_load32(m->ctl + CTL_READ_INDEX) == old;
}

int hvsi_ring_in_resume(struct hvsi_ring_in *in, const struct hvsi_ringmem *mem, uint32_t next)
{
	if (!index_ok(mem, next))
		return -EPROTO;
	*in = (struct hvsi_ring_in){.mem = *mem, .next = next, .committed = next, .end = next};
	hvsi_guest_store32(mem->ctl + CTL_READ_INDEX, next);
	return 0;
}

int hvsi_ring_out_resume(struct hvsi_ring_out *out, const struct hvsi_ringmem *mem, uint32_t next)
{
	uint32_t read = hvsi_guest_load32(mem->ctl + CTL_READ_INDEX);

	if (!index_ok(mem, next) || !index_ok(mem, read))
		return -EPROTO;
	*out = (struct hvsi_ring_out){.mem = *mem,
				      .next = next,
				      .published = next,
				      .start = read,
				      .wanted = hvsi_guest_load32(mem->ctl + CTL_PENDING_SEND_SZ)};
	hvsi_guest_store32(mem->ctl + CTL_WRITE_INDEX, next);
	return 0;
}
