/* SPDX-License-Identifier: MIT */
/* How a device saves what it has to remember, and reads it again: DATA records as one stream. */
#include "util/alloc.h"
#include "util/list.h"
#include "util/state.h"
#include "vmbus/bus.h"

#include <errno.h>
#include <string.h>

int hvs_state_put(struct hvs_state_writer *w, const void *bytes, size_t len)
{
	if (len > UINT32_MAX)
		return -EINVAL;
	hvsi_state_put(w, HVSI_STATE_DATA, bytes, len, NULL, 0);
	return w->err;
}

int hvs_state_get(struct hvs_state_reader *r, void *bytes, size_t len)
{
	struct hvs_state_reader old = *r;
	uint8_t *to = bytes;

	while (len) {
		size_t part = len < r->payload.left ? len : r->payload.left;
		struct hvsi_reader records;
		uint16_t type;

		if (part)
			(void)hvsi_read(&r->payload, to, part);
		to += part;
		len -= part;
		if (!len)
			break;
		records = r->records;
		if (!hvsi_state_next(&records, &type, &r->payload) || type != HVSI_STATE_DATA) {
			*r = old;
			return -EBADMSG;
		}
		r->records = records;
	}
	return 0;
}

/* ---- guest memory of requests ---------------------------------------------------------------- */

#define RANGE_HEADER 8u

struct saved_piece {
	struct hvs_le64 gpa;
	struct hvs_le32 len;
};
_Static_assert(sizeof(struct saved_piece) == 12, "saved state: piece of a map");

/* w may be NULL. Returns how many pieces there are. */
static uint32_t put_pieces(struct hvs_state_writer *w, const struct hvs_mem *mem,
			   const struct hvs_map *map)
{
	uint32_t count = 0;
	unsigned iovcnt;
	const struct iovec *iov = hvs_map_iov(map, &iovcnt);

	for (unsigned i = 0; i < iovcnt; i++) {
		const uint8_t *at = iov[i].iov_base;
		uint64_t left = iov[i].iov_len;

		while (left) {
			uint64_t len = left;
			const struct saved_piece piece = {
				.gpa = hvsi_le64(hvsi_mem_gpa(mem, at, &len)),
				.len = hvsi_le32((uint32_t)len)};

			if (w)
				hvs_state_put(w, &piece, sizeof(piece));
			count++;
			at += len;
			left -= len;
		}
	}
	return count;
}

int hvs_state_put_map(struct hvs_state_writer *w, struct hvs_channel *ch, const struct hvs_map *map)
{
	const struct hvs_mem *mem = ch->dev->bus->mem;
	struct hvs_le32 count = hvsi_le32(map ? put_pieces(NULL, mem, map) : 0);

	hvs_state_put(w, &count, sizeof(count));
	if (map)
		put_pieces(w, mem, map);
	return w->err;
}

struct restored_extents {
	struct hvs_extents extents;
	size_t size;
	uint8_t ranges[];
};

static uint32_t pages_of(const struct saved_piece *p)
{
	return (uint32_t)((hvsi_get64(p->gpa) % HVSI_PAGE + hvsi_get32(p->len) + HVSI_PAGE - 1) /
			  HVSI_PAGE);
}

/* Read `count` pieces; write them as ranges of a packet if there is a place to. Adds up bytes and
 * the size of the ranges. */
static int get_pieces(struct hvs_state_reader *r, uint32_t count, uint8_t *to, uint64_t *bytes,
		      size_t *size)
{
	struct saved_piece p;

	*bytes = 0;
	*size = 0;
	for (uint32_t i = 0; i < count; i++) {
		int err = hvs_state_get(r, &p, sizeof(p));
		uint64_t pfn = hvsi_get64(p.gpa) / HVSI_PAGE;

		if (err)
			return err;
		*bytes += hvsi_get32(p.len);
		if (to) {
			struct hvs_le32 head[2] = {p.len, hvsi_le32(hvsi_get64(p.gpa) % HVSI_PAGE)};

			memcpy(to + *size, head, sizeof(head));
			for (uint32_t page = 0; page < pages_of(&p); page++) {
				struct hvs_le64 n = hvsi_le64(pfn + page);

				memcpy(to + *size + RANGE_HEADER + 8 * (size_t)page, &n, 8);
			}
		}
		*size += RANGE_HEADER + 8 * (size_t)pages_of(&p);
	}
	return 0;
}

int hvs_state_get_extents(struct hvs_state_reader *r, struct hvs_channel *ch, uint32_t max_len,
			  struct hvs_extents **out)
{
	const struct hvs_allocator *alloc = &ch->dev->bus->cfg.alloc;
	struct hvs_state_reader look = *r;
	struct restored_extents *e;
	struct hvs_le32 n;
	uint64_t bytes;
	size_t size;
	int err = hvs_state_get(&look, &n, sizeof(n));

	*out = NULL;
	if (err)
		return err;
	*r = look;
	if (!hvsi_get32(n))
		return 0;
	err = get_pieces(&look, hvsi_get32(n), NULL, &bytes, &size);
	if (err)
		return err;
	/* Bytes bound pages but for two of each piece, and the pieces have been there. */
	if (bytes > max_len)
		return -EBADMSG;
	e = hvsi_alloc(alloc, sizeof(*e) + size);
	if (!e)
		return -ENOMEM;
	e->size = sizeof(*e) + size;
	(void)get_pieces(r, hvsi_get32(n), e->ranges, &bytes, &size);
	if (hvsi_extents_parse(&e->extents, ch->dev->bus->mem, &ch->maps, e->ranges, size,
			       hvsi_get32(n), NULL) < 0) {
		hvsi_free(alloc, e, e->size);
		return -EBADMSG;
	}
	*out = &e->extents;
	return 0;
}

void hvs_extents_free(struct hvs_extents *extents)
{
	struct restored_extents *e;

	if (!extents)
		return;
	e = hvsi_container_of(extents, struct restored_extents, extents);
	hvsi_free(extents->pool->alloc, e, e->size);
}
