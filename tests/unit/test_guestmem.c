/* SPDX-License-Identifier: MIT */
#include "mem/guestmem.h"

#include "support/alloc.h"
#include "support/rng.h"

#include <hvstack/memory.h>

#include <criterion/criterion.h>
#include <errno.h>

#define PAGES 64u

static uint8_t ram[PAGES * HVSI_PAGE] __attribute__((aligned(4096)));

static struct hvs_mem *make(void)
{
	struct hvs_mem *mem;

	cr_assert_eq(hvs_mem_create(NULL, &mem), 0);
	return mem;
}

static uint8_t *at(const struct hvs_mem *mem, uint64_t gpa, uint64_t *len, enum hvs_access access)
{
	return hvsi_guest_to_host(hvsi_mem_at(mem, gpa, len, access));
}

static uint8_t *range(const struct hvs_mem *mem, uint64_t gpa, uint64_t len, enum hvs_access access)
{
	return hvsi_guest_to_host(hvsi_mem_range(mem, gpa, len, access));
}

Test(guestmem, an_empty_memory_has_no_ram)
{
	struct hvs_mem *mem = make();
	uint64_t len = 1;

	cr_assert_null(at(mem, 0, &len, HVS_READ));
	cr_assert_null(at(mem, UINT64_MAX, &len, HVS_READ));
	cr_assert_eq(len, 1);
	hvs_mem_destroy(mem);
	hvs_mem_destroy(NULL);
}

Test(guestmem, refuses_what_is_no_region)
{
	static const struct {
		uint64_t gpa;
		uint64_t len;
		int access;
	} bad[] = {
		{0x1001, 0x1000, HVS_RDWR}, /* address not on a page */
		{0x1800, 0x1000, HVS_RDWR},
		{0x1000, 0, HVS_RDWR},     /* empty */
		{0x1000, 0x800, HVS_RDWR}, /* length not of pages */
		{0x1000, 0x1001, HVS_RDWR},
		{UINT64_MAX - 0xfff, 0x1000, HVS_RDWR}, /* ends at 2^64 */
		{UINT64_MAX - 0x1fff, 0x2000, HVS_RDWR},
		{UINT64_MAX - 0xfff, 0x2000, HVS_RDWR}, /* wraps */
		{0x1000, UINT64_MAX - 0xfff, HVS_RDWR},
		{0x1000, 0x1000, HVS_WRITE}, /* nothing can only be written */
		{0x1000, 0x1000, 0},
		{0x1000, 0x1000, 4},
	};
	struct hvs_mem *mem = make();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(hvs_mem_add(mem, bad[i].gpa, bad[i].len, ram,
					 (enum hvs_access)bad[i].access),
			     -EINVAL, "case %zu", i);
	cr_assert_eq(hvs_mem_add(mem, 0x1000, 0x1000, NULL, HVS_RDWR), -EINVAL);
	cr_assert_eq(hvs_mem_add(NULL, 0x1000, 0x1000, ram, HVS_RDWR), -EINVAL);
	cr_assert_null(range(mem, 0x1000, 1, HVS_READ));
	hvs_mem_destroy(mem);
}

Test(guestmem, refuses_overlaps_and_allows_neighbours)
{
	static const struct {
		uint64_t first; /* pages */
		uint64_t count;
		int expected;
	} adds[] = {
		{10, 10, 0},      {10, 10, -EEXIST}, /* the same */
		{10, 1, -EEXIST},                    /* its first page */
		{19, 1, -EEXIST},                    /* its last page */
		{9, 2, -EEXIST},  {19, 2, -EEXIST},  /* across its ends */
		{5, 30, -EEXIST},                    /* around it */
		{12, 3, -EEXIST},                    /* inside */
		{9, 1, 0},        {20, 1, 0},        /* against it */
		{0, 10, -EEXIST}, {0, 9, 0},
		{30, 1, 0},       {21, 10, -EEXIST}, /* reaches the next one */
		{21, 9, 0},
	};
	struct hvs_mem *mem = make();

	for (size_t i = 0; i < sizeof(adds) / sizeof(adds[0]); i++)
		cr_assert_eq(hvs_mem_add(mem, adds[i].first * HVSI_PAGE, adds[i].count * HVSI_PAGE,
					 ram + adds[i].first * HVSI_PAGE, HVS_RDWR),
			     adds[i].expected, "case %zu", i);
	for (uint64_t page = 0; page < 31; page++)
		cr_assert_eq(range(mem, page * HVSI_PAGE, HVSI_PAGE, HVS_RDWR),
			     ram + page * HVSI_PAGE, "page %u", (unsigned)page);
	cr_assert_null(range(mem, 31ull * HVSI_PAGE, 1, HVS_READ));
	hvs_mem_destroy(mem);
}

Test(guestmem, ends_where_a_region_ends)
{
	struct hvs_mem *mem = make();
	const uint64_t base = 0x100000;
	const uint64_t len = 4ull * HVSI_PAGE;
	uint64_t run;

	cr_assert_eq(hvs_mem_add(mem, base, len, ram, HVS_RDWR), 0);
	run = 1;
	cr_assert_null(at(mem, base - 1, &run, HVS_READ));
	cr_assert_eq(at(mem, base, &run, HVS_READ), ram);
	cr_assert_eq(run, 1);
	run = 100;
	cr_assert_eq(at(mem, base + len - 1, &run, HVS_READ), ram + len - 1);
	cr_assert_eq(run, 1);
	run = 100;
	cr_assert_null(at(mem, base + len, &run, HVS_READ));
	cr_assert_eq(run, 100, "untouched");
	run = UINT64_MAX;
	cr_assert_eq(at(mem, base + 5, &run, HVS_READ), ram + 5);
	cr_assert_eq(run, len - 5);

	cr_assert_eq(range(mem, base, len, HVS_READ), ram);
	cr_assert_null(range(mem, base, len + 1, HVS_READ));
	cr_assert_null(range(mem, base + 1, len, HVS_READ));
	cr_assert_null(range(mem, base + len - 1, UINT64_MAX, HVS_READ));
	hvs_mem_destroy(mem);
}

/* Two regions that touch in the guest, but not here, are two pieces. */
Test(guestmem, a_run_does_not_cross_regions)
{
	struct hvs_mem *mem = make();
	uint64_t run = 0x2000;

	cr_assert_eq(hvs_mem_add(mem, 0x1000, 0x1000, ram + 0x5000, HVS_RDWR), 0);
	cr_assert_eq(hvs_mem_add(mem, 0x2000, 0x1000, ram + 0x1000, HVS_RDWR), 0);
	cr_assert_eq(at(mem, 0x1800, &run, HVS_READ), ram + 0x5800);
	cr_assert_eq(run, 0x800);
	cr_assert_null(range(mem, 0x1800, 0x801, HVS_READ));
	hvs_mem_destroy(mem);
}

Test(guestmem, rom_can_only_be_read)
{
	struct hvs_mem *mem = make();

	cr_assert_eq(hvs_mem_add(mem, 0, 0x1000, ram, HVS_READ), 0);
	cr_assert_eq(hvs_mem_add(mem, 0x1000, 0x1000, ram + 0x1000, HVS_RDWR), 0);
	cr_assert_eq(range(mem, 0, 1, HVS_READ), ram);
	cr_assert_null(range(mem, 0, 1, HVS_WRITE));
	cr_assert_null(range(mem, 0, 1, HVS_RDWR));
	cr_assert_eq(range(mem, 0x1000, 1, HVS_READ), ram + 0x1000);
	cr_assert_eq(range(mem, 0x1000, 1, HVS_WRITE), ram + 0x1000);
	cr_assert_eq(range(mem, 0x1000, 1, HVS_RDWR), ram + 0x1000);
	hvs_mem_destroy(mem);
}

Test(guestmem, the_highest_page_that_can_be_ram_is_found)
{
	struct hvs_mem *mem = make();
	const uint64_t gpa = UINT64_MAX - 0x1fff; /* 2^64 - 8192 */
	uint64_t run = 0x2000;

	cr_assert_eq(hvs_mem_add(mem, gpa, 0x1000, ram, HVS_RDWR), 0);
	cr_assert_eq(at(mem, gpa + 0xfff, &run, HVS_READ), ram + 0xfff);
	cr_assert_eq(run, 1);
	cr_assert_null(range(mem, gpa + 0x1000, 1, HVS_READ));
	cr_assert_null(range(mem, UINT64_MAX, 1, HVS_READ));
	cr_assert_null(range(mem, 0, 1, HVS_READ));
	hvs_mem_destroy(mem);
}

/* Every page its own region, added in random order, with every third page missing. */
Test(guestmem, finds_every_page_whatever_order_they_came_in)
{
	struct rng rng = {20260101};
	struct hvs_mem *mem = make();
	unsigned order[PAGES];

	for (unsigned i = 0; i < PAGES; i++)
		order[i] = i;
	for (unsigned i = PAGES - 1; i > 0; i--) {
		unsigned j = rng_below(&rng, i + 1);
		unsigned other = order[j];

		order[j] = order[i];
		order[i] = other;
	}
	for (unsigned i = 0; i < PAGES; i++)
		if (order[i] % 3)
			cr_assert_eq(hvs_mem_add(mem, order[i] * 0x1000ull, 0x1000,
						 ram + (PAGES - 1 - order[i]) * 0x1000ull,
						 HVS_RDWR),
				     0);
	for (unsigned i = 0; i < PAGES; i++)
		cr_assert_eq(range(mem, i * 0x1000ull + 7, 1, HVS_READ),
			     i % 3 ? ram + (PAGES - 1 - i) * 0x1000ull + 7 : NULL, "page %u", i);
	hvs_mem_destroy(mem);
}

Test(guestmem, the_address_of_a_byte_is_found_from_ours)
{
	struct hvs_mem *mem = make();
	uint64_t len = 1;

	cr_assert_eq(hvsi_mem_gpa(mem, ram, &len), 0);
	cr_assert_eq(len, 0, "nothing is RAM");
	/* Neighbours here, far apart for the guest, and not in order. */
	cr_assert_eq(hvs_mem_add(mem, 0x90000, 2 * HVSI_PAGE, ram, HVS_RDWR), 0);
	cr_assert_eq(hvs_mem_add(mem, 0x10000, 3 * HVSI_PAGE, ram + 2 * HVSI_PAGE, HVS_READ), 0);
	len = 100;
	cr_assert_eq(hvsi_mem_gpa(mem, ram, &len), 0x90000);
	cr_assert_eq(len, 100);
	len = UINT64_MAX;
	cr_assert_eq(hvsi_mem_gpa(mem, ram + 5, &len), 0x90005);
	cr_assert_eq(len, 2 * HVSI_PAGE - 5, "as far as the region goes");
	len = 2;
	cr_assert_eq(hvsi_mem_gpa(mem, ram + 2 * HVSI_PAGE - 1, &len), 0x90000 + 2 * HVSI_PAGE - 1);
	cr_assert_eq(len, 1);
	len = 2;
	cr_assert_eq(hvsi_mem_gpa(mem, ram + 2 * HVSI_PAGE, &len), 0x10000);
	cr_assert_eq(len, 2);
	len = 1;
	cr_assert_eq(hvsi_mem_gpa(mem, ram + 5 * HVSI_PAGE, &len), 0);
	cr_assert_eq(len, 0);
	hvs_mem_destroy(mem);
}

Test(guestmem, without_memory_nothing_changes)
{
	struct test_alloc t = {.fail_at = 0};
	struct hvs_allocator a = test_allocator(&t);
	struct hvs_mem *mem;

	cr_assert_eq(hvs_mem_create(&a, &mem), -ENOMEM);
	cr_assert_eq(hvs_mem_create(&a, NULL), -EINVAL);
	cr_assert_eq(hvs_mem_create(&a, &mem), 0);
	cr_assert_eq(hvs_mem_add(mem, 0, 0x1000, ram, HVS_RDWR), 0);
	t.fail_at = t.calls;
	cr_assert_eq(hvs_mem_add(mem, 0x1000, 0x1000, ram + 0x1000, HVS_RDWR), -ENOMEM);
	cr_assert_null(range(mem, 0x1000, 1, HVS_READ));
	cr_assert_eq(range(mem, 0, 1, HVS_READ), ram);
	cr_assert_eq(hvs_mem_add(mem, 0x1000, 0x1000, ram + 0x1000, HVS_RDWR), 0);
	hvs_mem_destroy(mem);
	cr_assert_eq(t.live, 0);
}

Test(guestmem, half_an_allocator_is_refused)
{
	struct test_alloc t = TEST_ALLOC_INIT;
	struct hvs_allocator a = test_allocator(&t);
	struct hvs_mem *mem;

	a.free = NULL;
	cr_assert_eq(hvs_mem_create(&a, &mem), -EINVAL);
	cr_assert_eq(t.calls, 0);
}
