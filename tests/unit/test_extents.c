/* SPDX-License-Identifier: MIT */
#include "mem/extents.h"

#include "support/alloc.h"
#include "util/le.h"

#include <hvstack/memory.h>

#include <criterion/criterion.h>
#include <errno.h>

/*
 * Guest: pages 0..7 and 8..15 are two regions that touch; 16..19 is ROM; the rest is nothing.
 * Here: the second region lies before the first, so that runs must end between them.
 */
#define FIRST 0u
#define SECOND 8u
#define ROM 16u
#define NOT_RAM 20u

static uint8_t host[64 * HVSI_PAGE] __attribute__((aligned(4096)));

struct fixture {
	struct test_alloc t;
	struct hvs_allocator a;
	struct hvs_mem *mem;
	struct hvsi_map_pool pool;
	uint8_t list[4096];
	size_t len;
	uint32_t ranges;
	struct hvs_extents e;
};

static uint8_t *page_of(uint64_t pfn)
{
	if (pfn < SECOND)
		return host + (pfn + 32) * HVSI_PAGE;
	return host + (pfn - SECOND) * HVSI_PAGE;
}

static void up(struct fixture *f)
{
	*f = (struct fixture){.t = TEST_ALLOC_INIT};
	f->a = test_allocator(&f->t);
	cr_assert_eq(hvs_mem_create(&f->a, &f->mem), 0);
	cr_assert_eq(hvs_mem_add(f->mem, 0, 8 * HVSI_PAGE, page_of(FIRST), HVS_RDWR), 0);
	cr_assert_eq(
		hvs_mem_add(f->mem, SECOND * HVSI_PAGE, 8 * HVSI_PAGE, page_of(SECOND), HVS_RDWR),
		0);
	cr_assert_eq(hvs_mem_add(f->mem, ROM * HVSI_PAGE, 4 * HVSI_PAGE, page_of(ROM), HVS_READ),
		     0);
	hvsi_map_pool_init(&f->pool, &f->a);
	for (size_t i = 0; i < sizeof(host); i++)
		host[i] = (uint8_t)(i * 13 + i / 4096);
}

static void down(struct fixture *f)
{
	hvsi_map_pool_fini(&f->pool);
	hvs_mem_destroy(f->mem);
	cr_assert_eq(f->t.live, 0);
}

/* Append a range; pfns: as many as count and offset need. */
static void add(struct fixture *f, uint32_t count, uint32_t offset, const uint64_t *pfns,
		uint32_t pages)
{
	struct hvs_le32 head[2] = {hvsi_le32(count), hvsi_le32(offset)};

	memcpy(f->list + f->len, head, sizeof(head));
	f->len += sizeof(head);
	for (uint32_t i = 0; i < pages; i++) {
		struct hvs_le64 pfn = hvsi_le64(pfns[i]);

		memcpy(f->list + f->len, &pfn, sizeof(pfn));
		f->len += sizeof(pfn);
	}
	f->ranges++;
}

static int parse(struct fixture *f)
{
	size_t used = 12345;
	int err = hvsi_extents_parse(&f->e, f->mem, &f->pool, f->list, f->len, f->ranges, &used);

	if (!err)
		cr_assert_eq(used, f->len);
	return err;
}

Test(extents, counts_pages_and_bytes_of_all_ranges)
{
	const uint64_t pfns[] = {3, 4, 5};
	struct fixture f;

	up(&f);
	add(&f, 4096, 0, pfns, 1);
	add(&f, 2, 4095, pfns, 2);
	add(&f, 8192 + 1, 4095, pfns, 3); /* ends with the third page exactly */
	cr_assert_eq(parse(&f), 0);
	cr_assert_eq(hvs_extents_len(&f.e), 4096 + 2 + 8193);
	cr_assert_eq(f.e.page_count, 6);
	cr_assert_eq(f.e.range_count, 3);
	down(&f);
}

Test(extents, an_empty_list_names_nothing)
{
	struct fixture f;
	struct hvs_map *map = NULL;
	uint8_t b;

	up(&f);
	cr_assert_eq(parse(&f), 0);
	cr_assert_eq(hvs_extents_len(&f.e), 0);
	cr_assert_eq(hvs_extents_read(&f.e, 0, &b, 0), 0);
	cr_assert_eq(hvs_extents_read(&f.e, 0, &b, 1), -ERANGE);
	cr_assert_eq(hvs_extents_read(&f.e, 1, &b, 0), -ERANGE);
	cr_assert_eq(hvs_extents_write(&f.e, 0, &b, 1), -ERANGE);
	cr_assert_eq(hvs_extents_map(&f.e, 0, 1, HVS_READ, &map), -ERANGE);
	cr_assert_eq(hvs_extents_map(&f.e, 0, 0, HVS_READ, &map), -EINVAL);
	cr_assert_null(map);
	down(&f);
}

Test(extents, leaves_bytes_behind_the_last_range_alone)
{
	const uint64_t pfns[] = {3};
	struct fixture f;
	size_t used;

	up(&f);
	add(&f, 100, 0, pfns, 1);
	cr_assert_eq(hvsi_extents_parse(&f.e, f.mem, &f.pool, f.list, 64, 1, &used), 0);
	cr_assert_eq(used, 16);
	down(&f);
}

Test(extents, refuses_hostile_lists)
{
	static const struct {
		uint32_t count;
		uint32_t offset;
		uint32_t pages;  /* page numbers that are there */
		uint32_t ranges; /* that the sender claims */
		uint32_t cut;    /* bytes missing at the end */
	} bad[] = {
		{0, 0, 0, 1, 0},    /* no bytes */
		{0, 5, 1, 1, 0},    /* no bytes, but a page */
		{1, 4096, 1, 1, 0}, /* offset not in the first page */
		{1, 4096, 2, 1, 0},
		{1, UINT32_MAX, 1, 1, 0},
		{UINT32_MAX, UINT32_MAX, 2, 1, 0},
		{4097, 0, 1, 1, 0}, /* one page number too few */
		{4096, 1, 1, 1, 0},
		{2, 4095, 1, 1, 0},
		{UINT32_MAX, 0, 8, 1, 0},
		{UINT32_MAX, 4095, 8, 1, 0}, /* the sum does not fit 32 bits */
		{UINT32_MAX - 4095, 4095, 1, 1, 0},
		{4096, 0, 1, 1, 1}, /* the last page number is cut */
		{4096, 0, 1, 1, 8},
		{4096, 0, 1, 1, 9}, /* the range header is cut */
		{4096, 0, 1, 1, 16},
		{4096, 0, 1, 2, 0}, /* a range more than there is */
		{4096, 0, 1, UINT32_MAX, 0},
	};
	static const uint64_t pfns[8] = {1, 2, 3, 4, 5, 6, 7, 0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fixture f;

		up(&f);
		add(&f, bad[i].count, bad[i].offset, pfns, bad[i].pages);
		f.len -= bad[i].cut;
		f.ranges = bad[i].ranges;
		cr_assert_eq(parse(&f), -EPROTO, "case %zu", i);
		down(&f);
	}
}

Test(extents, refuses_more_bytes_than_32_bits_count)
{
	/* 33 ranges of 128 MiB each name the same pages: 4.125 GiB. */
	const uint32_t range_bytes = 128u << 20;
	const uint32_t pages = range_bytes / HVSI_PAGE;
	const size_t range_len = 8 + (size_t)pages * 8;
	struct hvs_le32 head[2] = {hvsi_le32(range_bytes), hvsi_le32(0)};
	struct fixture f;
	uint8_t *list;

	up(&f);
	list = calloc(33, range_len);
	cr_assert_not_null(list);
	for (size_t i = 0; i < 33; i++)
		memcpy(list + i * range_len, head, sizeof(head));
	cr_assert_eq(hvsi_extents_parse(&f.e, f.mem, &f.pool, list, 33 * range_len, 31, NULL), 0);
	cr_assert_eq(hvs_extents_len(&f.e), 31u * range_bytes);
	cr_assert_eq(hvsi_extents_parse(&f.e, f.mem, &f.pool, list, 33 * range_len, 33, NULL),
		     -EPROTO);
	free(list);
	down(&f);
}

/* Three ranges, scattered pages, crossing the regions: every start, many lengths. */
Test(extents, copies_at_every_offset)
{
	const uint64_t a[] = {6, 7, 8, 9}; /* contiguous for the guest, not here */
	const uint64_t b[] = {15, 1};
	const uint64_t c[] = {2};
	const uint32_t total = 12288 + 10 + 3000;
	static uint8_t flat[16384];
	static uint8_t got[16384];
	struct fixture f;

	up(&f);
	add(&f, 12288, 100, a, 4);
	add(&f, 10, 4090, b, 2);
	add(&f, 3000, 50, c, 1);
	cr_assert_eq(parse(&f), 0);
	cr_assert_eq(hvs_extents_len(&f.e), total);

	memcpy(flat, page_of(6) + 100, 2 * HVSI_PAGE - 100);
	memcpy(flat + 8092, page_of(8), 2 * HVSI_PAGE - 3996);
	memcpy(flat + 12288, page_of(15) + 4090, 6);
	memcpy(flat + 12294, page_of(1), 4);
	memcpy(flat + 12298, page_of(2) + 50, 3000);

	for (uint32_t off = 0; off <= total; off++) {
		uint32_t lens[] = {0, 1, 7, 4096, total - off};

		for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
			uint32_t len = lens[i] > total - off ? total - off : lens[i];

			if (len > 5000 && off % 61)
				continue;
			memset(got, 0xee, len + 1);
			cr_assert_eq(hvs_extents_read(&f.e, off, got, len), 0);
			cr_assert_eq(memcmp(got, flat + off, len), 0, "%u bytes at %u", len, off);
			cr_assert_eq(got[len], 0xee);
		}
		cr_assert_eq(hvs_extents_read(&f.e, off, got, total - off + 1), -ERANGE);
	}
	cr_assert_eq(hvs_extents_read(&f.e, total + 1, got, 0), -ERANGE);
	cr_assert_eq(hvs_extents_read(&f.e, UINT32_MAX, got, UINT32_MAX), -ERANGE);
	cr_assert_eq(hvs_extents_read(&f.e, 1, got, UINT32_MAX), -ERANGE);
	down(&f);
}

Test(extents, writes_nothing_around_the_range)
{
	const uint64_t pfns[] = {7, 8};
	static uint8_t before[sizeof(host)];
	struct fixture f;

	up(&f);
	add(&f, 20, 4086, pfns, 2);
	cr_assert_eq(parse(&f), 0);
	memcpy(before, host, sizeof(host));
	cr_assert_eq(hvs_extents_write(&f.e, 5, "0123456789", 10), 0);
	cr_assert_arr_eq(page_of(7) + 4091, "01234", 5);
	cr_assert_arr_eq(page_of(8), "56789", 5);
	memcpy(page_of(7) + 4091, before + (page_of(7) + 4091 - host), 5);
	memcpy(page_of(8), before + (page_of(8) - host), 5);
	cr_assert_eq(memcmp(host, before, sizeof(host)), 0);
	down(&f);
}

Test(extents, what_is_not_ram_is_refused_when_it_is_used)
{
	static const uint64_t bad[] = {
		NOT_RAM,
		1ull << 40,
		UINT64_MAX / HVSI_PAGE,           /* 2^52 - 1: the top page */
		UINT64_MAX / HVSI_PAGE + 1,       /* page numbers that do not fit ... */
		(UINT64_MAX / HVSI_PAGE + 1) + 3, /* ... and would name page 3 cut off */
		UINT64_MAX,
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const uint64_t pfns[] = {2, bad[i]};
		struct hvs_map *map = NULL;
		uint8_t b[8192] = {0};
		struct fixture f;

		up(&f);
		add(&f, 8192, 0, pfns, 2);
		cr_assert_eq(parse(&f), 0);
		cr_assert_eq(hvs_extents_read(&f.e, 0, b, 4096), 0, "the first page is RAM");
		cr_assert_eq(hvs_extents_read(&f.e, 0, b, 4097), -EFAULT, "case %zu", i);
		cr_assert_eq(hvs_extents_read(&f.e, 4096, b, 1), -EFAULT);
		cr_assert_eq(hvs_extents_write(&f.e, 8191, b, 1), -EFAULT);
		cr_assert_eq(hvs_extents_map(&f.e, 0, 8192, HVS_READ, &map), -EFAULT);
		cr_assert_null(map);
		cr_assert_eq(hvs_extents_map(&f.e, 0, 4096, HVS_READ, &map), 0);
		hvs_map_put(map);
		down(&f);
	}
}

/* 2^64 - 4096 is what a number that does not fit becomes; page 0 does not follow it. */
Test(extents, the_top_page_and_page_zero_are_no_neighbours)
{
	const uint64_t pfns[] = {UINT64_MAX, 0};
	struct fixture f;
	uint8_t b[8192];

	up(&f);
	add(&f, 8192, 0, pfns, 2);
	cr_assert_eq(parse(&f), 0);
	cr_assert_eq(hvs_extents_read(&f.e, 0, b, 8192), -EFAULT);
	cr_assert_eq(hvs_extents_read(&f.e, 4096, b, 4096), 0);
	cr_assert_arr_eq(b, page_of(0), 4096);
	down(&f);
}

Test(extents, rom_is_never_written)
{
	const uint64_t pfns[] = {ROM};
	struct hvs_map *map = NULL;
	struct fixture f;
	uint8_t b = 1;

	up(&f);
	add(&f, 16, 0, pfns, 1);
	cr_assert_eq(parse(&f), 0);
	cr_assert_eq(hvs_extents_write(&f.e, 0, &b, 1), -EFAULT);
	cr_assert_eq(hvs_extents_map(&f.e, 0, 16, HVS_WRITE, &map), -EFAULT);
	cr_assert_eq(hvs_extents_map(&f.e, 0, 16, HVS_RDWR, &map), -EFAULT);
	cr_assert_eq(hvs_extents_read(&f.e, 0, &b, 1), 0);
	cr_assert_eq(b, page_of(ROM)[0]);
	cr_assert_eq(hvs_extents_map(&f.e, 0, 16, HVS_READ, &map), 0);
	hvs_map_put(map);
	down(&f);
}

static void check_map(struct fixture *f, uint32_t off, uint32_t len, const struct iovec *want,
		      unsigned count)
{
	const struct iovec *iov;
	struct hvs_map *map;
	unsigned iovcnt;

	cr_assert_eq(hvs_extents_map(&f->e, off, len, HVS_RDWR, &map), 0);
	iov = hvs_map_iov(map, &iovcnt);
	cr_assert_eq(iovcnt, count, "%u pieces, not %u", iovcnt, count);
	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(iov[i].iov_base, want[i].iov_base, "piece %u", i);
		cr_assert_eq(iov[i].iov_len, want[i].iov_len, "piece %u", i);
	}
	hvs_map_put(map);
}

Test(extents, a_map_merges_pages_that_follow_each_other)
{
	const uint64_t run[] = {2, 3, 4, 5};
	const uint64_t gap[] = {2, 3, 5, 4};
	const uint64_t regions[] = {6, 7, 8, 9};
	struct fixture f;

	up(&f);
	add(&f, 16384, 0, run, 4);
	cr_assert_eq(parse(&f), 0);
	check_map(&f, 0, 16384, (struct iovec[]){{page_of(2), 16384}}, 1);
	check_map(&f, 1, 16382, (struct iovec[]){{page_of(2) + 1, 16382}}, 1);
	check_map(&f, 4095, 2, (struct iovec[]){{page_of(2) + 4095, 2}}, 1);
	check_map(&f, 8192, 1, (struct iovec[]){{page_of(4), 1}}, 1);
	down(&f);

	up(&f);
	add(&f, 16384, 0, gap, 4);
	cr_assert_eq(parse(&f), 0);
	check_map(&f, 0, 16384,
		  (struct iovec[]){{page_of(2), 8192}, {page_of(5), 4096}, {page_of(4), 4096}}, 3);
	check_map(&f, 8191, 2, (struct iovec[]){{page_of(3) + 4095, 1}, {page_of(5), 1}}, 2);
	down(&f);

	/* Neighbours in the guest, but in different places here. */
	up(&f);
	add(&f, 16384, 0, regions, 4);
	cr_assert_eq(parse(&f), 0);
	check_map(&f, 0, 16384, (struct iovec[]){{page_of(6), 8192}, {page_of(8), 8192}}, 2);
	down(&f);
}

Test(extents, a_map_merges_ranges_that_follow_each_other)
{
	const uint64_t a[] = {2};
	const uint64_t b[] = {2, 3};
	struct fixture f;

	up(&f);
	add(&f, 100, 0, a, 1);
	add(&f, 4000, 100, b, 2);
	add(&f, 1, 7, a, 1);
	cr_assert_eq(parse(&f), 0);
	check_map(&f, 0, 4101, (struct iovec[]){{page_of(2), 4100}, {page_of(2) + 7, 1}}, 2);
	down(&f);
}

Test(extents, maps_are_used_again_without_allocation)
{
	const uint64_t pfns[] = {0, 2, 4, 6, 1, 3, 5, 7, 9, 11, 13, 15};
	struct hvs_map *map[3];
	struct fixture f;
	size_t calls;

	up(&f);
	add(&f, 12 * HVSI_PAGE, 0, pfns, 12);
	cr_assert_eq(parse(&f), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(hvs_extents_map(&f.e, 0, 12 * HVSI_PAGE, HVS_READ, &map[i]), 0);
	for (int i = 0; i < 3; i++)
		hvs_map_put(map[i]);
	calls = f.t.calls;
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 3; i++)
			cr_assert_eq(hvs_extents_map(&f.e, 0, 12 * HVSI_PAGE, HVS_READ, &map[i]),
				     0);
		cr_assert(map[0] != map[1] && map[1] != map[2] && map[0] != map[2]);
		for (int i = 0; i < 3; i++)
			hvs_map_put(map[i]);
	}
	cr_assert_eq(f.t.calls, calls, "steady state allocates nothing");
	hvs_map_put(NULL);
	down(&f);
}

/* A small map may be handed out for a big one only if it is big enough. */
Test(extents, maps_of_many_sizes_do_not_share_memory)
{
	uint64_t pfns[64];
	struct hvs_map *map[64];
	struct fixture f;

	for (unsigned i = 0; i < 64; i++)
		pfns[i] = i * 2 % 15; /* no two neighbours */
	up(&f);
	add(&f, 64 * HVSI_PAGE, 0, pfns, 64);
	cr_assert_eq(parse(&f), 0);
	for (int round = 0; round < 2; round++) {
		for (unsigned n = 1; n <= 64; n++) {
			unsigned iovcnt;

			cr_assert_eq(hvs_extents_map(&f.e, 0, n * HVSI_PAGE, HVS_READ, &map[n - 1]),
				     0);
			cr_assert_eq(hvs_map_iov(map[n - 1], &iovcnt)[n - 1].iov_base,
				     page_of(pfns[n - 1]));
			cr_assert_eq(iovcnt, n);
		}
		for (unsigned n = 1; n <= 64; n++) {
			unsigned iovcnt;
			const struct iovec *iov = hvs_map_iov(map[n - 1], &iovcnt);

			for (unsigned i = 0; i < n; i++)
				cr_assert_eq(iov[i].iov_base, page_of(pfns[i]));
			hvs_map_put(map[n - 1]);
		}
	}
	down(&f);
}

Test(extents, a_map_without_memory_fails_and_loses_nothing)
{
	const uint64_t pfns[] = {0, 2};
	struct hvs_map *map = NULL;
	struct fixture f;

	up(&f);
	add(&f, 8192, 0, pfns, 2);
	cr_assert_eq(parse(&f), 0);
	f.t.fail_at = f.t.calls; /* the scratch area */
	cr_assert_eq(hvs_extents_map(&f.e, 0, 8192, HVS_READ, &map), -ENOMEM);
	f.t.fail_at = f.t.calls + 1; /* the map itself */
	cr_assert_eq(hvs_extents_map(&f.e, 0, 8192, HVS_READ, &map), -ENOMEM);
	cr_assert_null(map);
	cr_assert_eq(hvs_extents_map(&f.e, 0, 8192, HVS_READ, &map), 0);
	hvs_map_put(map);
	down(&f);
}
