/* SPDX-License-Identifier: MIT */
#include "mem/guestmem.h"

#include "util/alloc.h"

#include <hvstack/memory.h>

#include <errno.h>
#include <stdatomic.h>

struct region {
	uint64_t gpa;
	uint64_t len;
	uint8_t HVSI_GUEST *hva;
	enum hvs_access access;
};

/* An immutable, sorted set of regions. Readers may still use an old one, so none is freed before
 * the memory is; there is one per hvs_mem_add(), a handful in the life of a machine. */
struct snapshot {
	struct snapshot *older;
	size_t count;
	struct region region[];
};

struct hvs_mem {
	struct hvs_allocator alloc;
	_Atomic(struct snapshot *) now;
};

static size_t snapshot_size(size_t count)
{
	return sizeof(struct snapshot) + count * sizeof(struct region);
}

int hvs_mem_create(const struct hvs_allocator *alloc, struct hvs_mem **out)
{
	struct hvs_allocator a;
	struct hvs_mem *mem;

	if (!out || hvsi_alloc_setup(alloc, &a) < 0)
		return -EINVAL;
	mem = hvsi_alloc(&a, sizeof(*mem));
	if (!mem)
		return -ENOMEM;
	mem->alloc = a;
	*out = mem;
	return 0;
}

int hvs_mem_add(struct hvs_mem *mem, uint64_t gpa, uint64_t len, void *hva, enum hvs_access access)
{
	struct snapshot *old;
	struct snapshot *now;
	size_t old_count;
	size_t at = 0;

	if (!mem || !hva || !len || gpa % HVSI_PAGE || len % HVSI_PAGE || len > UINT64_MAX - gpa ||
	    (access != HVS_READ && access != HVS_RDWR))
		return -EINVAL;

	old = atomic_load(&mem->now);
	old_count = old ? old->count : 0;
	while (at < old_count && old->region[at].gpa < gpa)
		at++;
	if (at > 0 && gpa - old->region[at - 1].gpa < old->region[at - 1].len)
		return -EEXIST;
	if (at < old_count && old->region[at].gpa - gpa < len)
		return -EEXIST;

	now = hvsi_alloc(&mem->alloc, snapshot_size(old_count + 1));
	if (!now)
		return -ENOMEM;
	for (size_t i = 0; i < old_count; i++)
		now->region[i < at ? i : i + 1] = old->region[i];
	now->region[at] = (struct region){
		.gpa = gpa, .len = len, .hva = hvsi_guest_from_host(hva), .access = access};
	now->count = old_count + 1;
	now->older = old;
	atomic_store(&mem->now, now);
	return 0;
}

void hvs_mem_destroy(struct hvs_mem *mem)
{
	struct snapshot *s;
	struct hvs_allocator a;

	if (!mem)
		return;
	a = mem->alloc;
	s = atomic_load(&mem->now);
	while (s) {
		struct snapshot *older = s->older;

		hvsi_free(&a, s, snapshot_size(s->count));
		s = older;
	}
	hvsi_free(&a, mem, sizeof(*mem));
}

uint8_t HVSI_GUEST *hvsi_mem_at(const struct hvs_mem *mem, uint64_t gpa, uint64_t *len,
				enum hvs_access access)
{
	const struct snapshot *s = atomic_load_explicit(&mem->now, memory_order_acquire);
	size_t low = 0;
	size_t high = s ? s->count : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct region *r = &s->region[mid];

		if (gpa < r->gpa) {
			high = mid;
		} else if (gpa - r->gpa >= r->len) {
			low = mid + 1;
		} else {
			uint64_t off = gpa - r->gpa;

			if ((r->access & access) != access)
				return NULL;
			if (*len > r->len - off)
				*len = r->len - off;
			return r->hva + off;
		}
	}
	return NULL;
}

uint8_t HVSI_GUEST *hvsi_mem_range(const struct hvs_mem *mem, uint64_t gpa, uint64_t len,
				   enum hvs_access access)
{
	uint64_t run = len;
	uint8_t HVSI_GUEST *p = hvsi_mem_at(mem, gpa, &run, access);

	return p && run == len ? p : NULL;
}

uint64_t hvsi_mem_gpa(const struct hvs_mem *mem, const void *hva, uint64_t *len)
{
	const struct snapshot *s = atomic_load_explicit(&mem->now, memory_order_acquire);
	uintptr_t p = (uintptr_t)hva;

	for (size_t i = 0; s && i < s->count; i++) {
		const struct region *r = &s->region[i];
		uintptr_t start = (uintptr_t)hvsi_guest_to_host(r->hva);

		if (p < start || p - start >= r->len)
			continue;
		if (*len > r->len - (p - start))
			*len = r->len - (p - start);
		return r->gpa + (p - start);
	}
	*len = 0;
	return 0;
}
