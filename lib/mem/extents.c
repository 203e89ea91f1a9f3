/* SPDX-License-Identifier: MIT */
#include "mem/extents.h"

#include "util/alloc.h"
#include "util/le.h"

#include <errno.h>

#define RANGE_HEADER 8u /* u32 byte count, u32 byte offset */

struct range {
	uint32_t count;
	uint32_t offset;
	const uint8_t *pfns;
	uint32_t pages;
};

/* Position in a list: the rest of the current range begins at `offset` of page `page`. */
struct cursor {
	const struct hvs_extents *e;
	struct range range;
	uint32_t ranges_left;
	uint32_t page;
	uint32_t offset;
	uint32_t left; /* bytes of the current range */
};

struct hvs_map {
	struct hvs_map *next_free;
	struct hvsi_map_pool *pool;
	unsigned class;
	unsigned iovcnt;
	struct iovec iov[];
};

/* p holds at least a range header. */
static struct range range_at(const uint8_t *p)
{
	struct hvs_le32 count;
	struct hvs_le32 offset;
	struct range r;

	memcpy(&count, p, sizeof(count));
	memcpy(&offset, p + 4, sizeof(offset));
	r.count = hvsi_get32(count);
	r.offset = hvsi_get32(offset);
	r.pfns = p + RANGE_HEADER;
	/* offset < 4096 is checked by the parser: 64 bits hold the sum. */
	r.pages = (uint32_t)(((uint64_t)r.offset + r.count + HVSI_PAGE - 1) / HVSI_PAGE);
	return r;
}

static uint64_t page_gpa(const struct range *r, uint32_t page)
{
	struct hvs_le64 pfn;

	memcpy(&pfn, r->pfns + (size_t)page * sizeof(pfn), sizeof(pfn));
	/* A number that does not fit is no RAM: the top page never is. */
	return hvsi_get64(pfn) > UINT64_MAX / HVSI_PAGE ? UINT64_MAX - HVSI_PAGE + 1
							: hvsi_get64(pfn) * HVSI_PAGE;
}

int hvsi_extents_parse(struct hvs_extents *out, const struct hvs_mem *mem,
		       struct hvsi_map_pool *pool, const uint8_t *ranges, size_t ranges_len,
		       uint32_t range_count, size_t *used)
{
	size_t at = 0;
	uint64_t len = 0;
	uint32_t pages = 0;

	for (uint32_t i = 0; i < range_count; i++) {
		struct range r;

		if (ranges_len - at < RANGE_HEADER)
			return -EPROTO;
		r = range_at(ranges + at);
		at += RANGE_HEADER;
		if (r.offset >= HVSI_PAGE || !r.count || r.pages > (ranges_len - at) / 8)
			return -EPROTO;
		at += (size_t)r.pages * 8;
		pages += r.pages;
		len += r.count;
		if (len > UINT32_MAX)
			return -EPROTO;
	}
	*out = (struct hvs_extents){.mem = mem,
				    .pool = pool,
				    .ranges = ranges,
				    .range_count = range_count,
				    .page_count = pages,
				    .len = (uint32_t)len};
	if (used)
		*used = at;
	return 0;
}

uint64_t hvsi_extents_page(const struct hvs_extents *e, uint32_t index)
{
	struct range r = range_at(e->ranges);

	return page_gpa(&r, index);
}

uint32_t hvs_extents_len(const struct hvs_extents *e)
{
	return e->len;
}

static void enter_range(struct cursor *c, const uint8_t *p)
{
	c->range = range_at(p);
	c->page = 0;
	c->offset = c->range.offset;
	c->left = c->range.count;
}

/* Skip the first off bytes; off < e->len. */
static struct cursor cursor_at(const struct hvs_extents *e, uint32_t off)
{
	struct cursor c = {.e = e, .ranges_left = e->range_count - 1};

	enter_range(&c, e->ranges);
	while (off >= c.left) {
		off -= c.left;
		c.ranges_left--;
		enter_range(&c, c.range.pfns + (size_t)c.range.pages * 8);
	}
	c.left -= off;
	c.page = (c.offset + off) / HVSI_PAGE;
	c.offset = (c.offset + off) % HVSI_PAGE;
	return c;
}

/*
 * The next piece that is contiguous in this process, at most want bytes. *len: its length.
 * NULL: not RAM for this access.
 */
static uint8_t HVSI_GUEST *cursor_next(struct cursor *c, uint32_t want, enum hvs_access access,
				       uint32_t *len)
{
	uint64_t gpa;
	uint64_t run;
	uint32_t first_page;
	uint8_t HVSI_GUEST *p;

	if (!c->left) {
		c->ranges_left--;
		enter_range(c, c->range.pfns + (size_t)c->range.pages * 8);
	}
	if (want > c->left)
		want = c->left;
	gpa = page_gpa(&c->range, c->page);
	first_page = c->page;
	run = HVSI_PAGE - c->offset;
	while (run < want && page_gpa(&c->range, c->page + 1) ==
				     gpa + (uint64_t)(c->page + 1 - first_page) * HVSI_PAGE) {
		c->page++;
		run += HVSI_PAGE;
	}
	if (run > want)
		run = want;
	p = hvsi_mem_at(c->e->mem, gpa + c->offset, &run, access);
	if (!p)
		return NULL;

	c->page = first_page + (uint32_t)((c->offset + run) / HVSI_PAGE);
	c->offset = (uint32_t)((c->offset + run) % HVSI_PAGE);
	c->left -= (uint32_t)run;
	*len = (uint32_t)run;
	return p;
}

static int copy(const struct hvs_extents *e, uint32_t off, uint8_t *buf, uint32_t len,
		bool to_guest)
{
	struct cursor c;

	if (off > e->len || len > e->len - off)
		return -ERANGE;
	if (!len)
		return 0;
	c = cursor_at(e, off);
	while (len) {
		uint32_t run;
		uint8_t HVSI_GUEST *p = cursor_next(&c, len, to_guest ? HVS_WRITE : HVS_READ, &run);

		if (!p)
			return -EFAULT;
		if (to_guest)
			hvsi_guest_write(p, buf, run);
		else
			hvsi_guest_read(buf, p, run);
		buf += run;
		len -= run;
	}
	return 0;
}

int hvs_extents_read(const struct hvs_extents *e, uint32_t off, void *buf, uint32_t len)
{
	return copy(e, off, buf, len, false);
}

int hvs_extents_write(const struct hvs_extents *e, uint32_t off, const void *buf, uint32_t len)
{
	return copy(e, off, (uint8_t *)(uintptr_t)buf, len, true);
}

void hvsi_map_pool_init(struct hvsi_map_pool *pool, const struct hvs_allocator *alloc)
{
	*pool = (struct hvsi_map_pool){.alloc = alloc};
}

static size_t class_iovs(unsigned class)
{
	return (size_t)4 << class;
}

static size_t map_size(unsigned class)
{
	return sizeof(struct hvs_map) + class_iovs(class) * sizeof(struct iovec);
}

void hvsi_map_pool_fini(struct hvsi_map_pool *pool)
{
	for (unsigned class = 0; class < HVSI_MAP_CLASSES; class ++) {
		while (pool->free[class]) {
			struct hvs_map *m = pool->free[class];

			pool->free[class] = m->next_free;
			hvsi_free(pool->alloc, m, map_size(class));
		}
	}
	hvsi_free(pool->alloc, pool->scratch, pool->scratch_count * sizeof(struct iovec));
	*pool = (struct hvsi_map_pool){.alloc = pool->alloc};
}

static struct hvs_map *map_get(struct hvsi_map_pool *pool, size_t iovcnt)
{
	unsigned class = 0;
	struct hvs_map *m;

	while (class_iovs(class) < iovcnt)
		if (++class == HVSI_MAP_CLASSES)
			return NULL;
	m = pool->free[class];
	if (m) {
		pool->free[class] = m->next_free;
		return m;
	}
	m = hvsi_alloc(pool->alloc, map_size(class));
	if (m) {
		m->pool = pool;
		m->class = class;
	}
	return m;
}

static int grow_scratch(struct hvsi_map_pool *pool, size_t count)
{
	struct iovec *iov = hvsi_alloc_array(pool->alloc, count, sizeof(*iov));

	if (!iov)
		return -ENOMEM;
	hvsi_free(pool->alloc, pool->scratch, pool->scratch_count * sizeof(*iov));
	pool->scratch = iov;
	pool->scratch_count = count;
	return 0;
}

int hvs_extents_map(const struct hvs_extents *e, uint32_t off, uint32_t len, enum hvs_access access,
		    struct hvs_map **out)
{
	struct hvsi_map_pool *pool = e->pool;
	struct iovec *iov;
	struct cursor c;
	struct hvs_map *m;
	unsigned n = 0;

	if (!len)
		return -EINVAL;
	if (off > e->len || len > e->len - off)
		return -ERANGE;
	/* A piece ends at a page, a range or a region; the last only splits pages it shares. */
	if (pool->scratch_count < e->page_count && grow_scratch(pool, e->page_count) < 0)
		return -ENOMEM;

	iov = pool->scratch;
	c = cursor_at(e, off);
	while (len) {
		uint32_t run;
		uint8_t HVSI_GUEST *p = cursor_next(&c, len, access, &run);

		if (!p)
			return -EFAULT;
		if (n && (uintptr_t)iov[n - 1].iov_base + iov[n - 1].iov_len == (uintptr_t)p) {
			iov[n - 1].iov_len += run;
		} else {
			iov[n].iov_base = hvsi_guest_to_host(p);
			iov[n].iov_len = run;
			n++;
		}
		len -= run;
	}

	m = map_get(pool, n);
	if (!m)
		return -ENOMEM;
	memcpy(m->iov, iov, n * sizeof(*iov));
	m->iovcnt = n;
	*out = m;
	return 0;
}

const struct iovec *hvs_map_iov(const struct hvs_map *map, unsigned *iovcnt)
{
	*iovcnt = map->iovcnt;
	return map->iov;
}

void hvs_map_put(struct hvs_map *map)
{
	if (!map)
		return;
	map->next_free = map->pool->free[map->class];
	map->pool->free[map->class] = map;
}
