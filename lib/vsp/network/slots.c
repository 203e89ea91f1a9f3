/* SPDX-License-Identifier: MIT */
/* Buffers that guest and host share, and the slots of the receive buffer. */
#include "vsp/network/netvsp.h"

#include "util/alloc.h"

#include <errno.h>

#define PAGE 4096u
#define CONTROL_SLOTS 16u
#define MANY_SLOTS 64u

/* ---- buffers ---------------------------------------------------------------------------------- */

static size_t table_size(const struct hvsi_shared *s)
{
	return (size_t)(s->len / PAGE) * sizeof(s->pages[0]);
}

/* Where each page is. False: a piece is no whole pages. */
static bool fill_pages(struct hvsi_shared *s)
{
	unsigned count;
	const struct iovec *iov = hvs_map_iov(s->map, &count);
	size_t page = 0;

	for (unsigned i = 0; i < count; i++) {
		uint8_t HVSI_GUEST *p = hvsi_guest_from_host(iov[i].iov_base);

		if (iov[i].iov_len % PAGE)
			return false;
		for (size_t off = 0; off < iov[i].iov_len; off += PAGE)
			s->pages[page++] = p + off;
	}
	s->flat = count == 1 ? s->pages[0] : NULL;
	return true;
}

int hvsi_shared_open(struct hvsi_shared *s, struct hvsi_net_chan *c, uint32_t gpadl,
		     enum hvs_access access)
{
	const struct hvs_allocator *a = hvsi_nic_allocator(c->nic);
	const struct hvs_extents *e;
	int err;

	*s = (struct hvsi_shared){.id = gpadl};
	err = hvs_channel_gpadl_get(c->ch, gpadl, &s->gpadl);
	if (err)
		return err;
	e = hvs_gpadl_extents(s->gpadl);
	err = hvs_extents_len(e) % PAGE ? -EINVAL : 0;
	if (!err)
		err = hvs_extents_map(e, 0, hvs_extents_len(e), access, &s->map);
	if (!err) {
		s->len = hvs_extents_len(e);
		s->pages = hvsi_alloc(a, table_size(s));
		err = s->pages ? 0 : -ENOMEM;
	}
	if (!err && !fill_pages(s))
		err = -EINVAL;
	if (err)
		hvsi_shared_close(s, a);
	return err == -EFAULT ? -EINVAL : err;
}

void hvsi_shared_close(struct hvsi_shared *s, const struct hvs_allocator *a)
{
	hvsi_free(a, s->pages, table_size(s));
	hvs_map_put(s->map);
	hvs_gpadl_put(s->gpadl);
	*s = (struct hvsi_shared){0};
}

unsigned hvsi_shared_iov(const struct hvsi_shared *s, uint32_t off, uint32_t len, struct iovec *iov,
			 unsigned max)
{
	unsigned n = 0;

	if (s->flat && len && max) {
		iov[0] = (struct iovec){hvsi_guest_to_host(s->flat + off), len};
		return 1;
	}
	while (len && n < max) {
		uint32_t run = PAGE - off % PAGE;

		if (run > len)
			run = len;
		iov[n++] =
			(struct iovec){hvsi_guest_to_host(s->pages[off / PAGE] + off % PAGE), run};
		off += run;
		len -= run;
	}
	return n;
}

/* ---- slots ------------------------------------------------------------------------------------ */

static void add_free(struct hvsi_receive_buffer *b, uint32_t pool, uint32_t slot)
{
	b->slot[slot].pool = (uint16_t)pool;
	b->slot[slot].next = b->pool[pool].free;
	b->pool[pool].free = slot;
	b->pool[pool].count++;
}

int hvsi_slots_init(struct hvsi_receive_buffer *b, const struct hvs_allocator *a,
		    uint32_t slot_bytes, uint32_t queues)
{
	uint32_t control;
	uint32_t pool = 0;

	b->slot_bytes = slot_bytes;
	b->slot_count = b->shared.len / slot_bytes;
	b->pool_count = queues + 1;
	b->slot = hvsi_alloc_array(a, b->slot_count, sizeof(b->slot[0]));
	b->pool = hvsi_alloc_array(a, b->pool_count, sizeof(b->pool[0]));
	if (!b->slot || !b->pool) {
		hvsi_slots_free(b, a);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < b->pool_count; i++) {
		b->pool[i].free = HVSI_NO_SLOT;
		atomic_init(&b->pool[i].returned, HVSI_NO_SLOT);
	}
	control = b->slot_count < MANY_SLOTS ? b->slot_count / 4 : CONTROL_SLOTS;
	for (uint32_t i = b->slot_count; i-- > control;) {
		add_free(b, pool, i);
		pool = pool + 1 < queues ? pool + 1 : 0;
	}
	for (uint32_t i = control; i-- > 0;)
		add_free(b, queues, i);
	return 0;
}

void hvsi_slots_settle(struct hvsi_receive_buffer *b)
{
	for (uint32_t i = 0; i < b->pool_count; i++)
		b->pool[i].free = HVSI_NO_SLOT;
	for (uint32_t i = b->slot_count; i-- > 0;) {
		struct hvsi_slot *s = &b->slot[i];

		if (atomic_load(&s->state) == HVSI_SLOT_TAKEN) {
			atomic_store(&s->state, HVSI_SLOT_OURS);
		} else if (atomic_load(&s->state) == HVSI_SLOT_OURS) {
			s->next = b->pool[s->pool].free;
			b->pool[s->pool].free = i;
		}
	}
}

void hvsi_slots_free(struct hvsi_receive_buffer *b, const struct hvs_allocator *a)
{
	hvsi_free(a, b->slot, b->slot_count * sizeof(b->slot[0]));
	hvsi_free(a, b->pool, b->pool_count * sizeof(b->pool[0]));
	b->slot = NULL;
	b->pool = NULL;
}

uint32_t hvsi_slot_get(struct hvsi_receive_buffer *b, uint32_t pool)
{
	struct hvsi_pool *p = &b->pool[pool];
	uint32_t slot = p->free;

	if (slot == HVSI_NO_SLOT) {
		slot = atomic_exchange_explicit(&p->returned, HVSI_NO_SLOT, memory_order_acquire);
		if (slot == HVSI_NO_SLOT) {
			/* Who gives one back now sees this, or this sees what was given back. */
			atomic_store(&p->starving, true);
			slot = atomic_exchange(&p->returned, HVSI_NO_SLOT);
			if (slot == HVSI_NO_SLOT)
				return slot;
		}
	}
	p->free = b->slot[slot].next;
	return slot;
}

bool hvsi_slot_put(struct hvsi_receive_buffer *b, uint32_t slot, uint32_t own, uint32_t own2,
		   uint32_t *pool)
{
	struct hvsi_slot *s = &b->slot[slot];
	struct hvsi_pool *p = &b->pool[s->pool];

	*pool = s->pool;
	if (s->pool == own || s->pool == own2) {
		s->next = p->free;
		p->free = slot;
	} else {
		uint32_t top = atomic_load_explicit(&p->returned, memory_order_relaxed);

		do {
			s->next = top;
		} while (!atomic_compare_exchange_weak(&p->returned, &top, slot));
	}
	return atomic_load(&p->starving) && atomic_exchange(&p->starving, false);
}
