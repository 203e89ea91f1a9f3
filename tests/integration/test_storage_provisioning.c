/* SPDX-License-Identifier: MIT */
/* Thin provisioning: UNMAP, WRITE SAME, GET LBA STATUS, and what a disk says it can. */
#include "support/cdb.h"

#define THIN                                                                                       \
	(HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES | HVS_BLK_INFO_WRITE_ZEROES |              \
	 HVS_BLK_INFO_LBA_STATUS)

static struct testdisk *d;
static struct machine m;
static struct cdb_memory mem;

static const uint32_t block_sizes[] = {512, 4096};

static void up(uint32_t block_size, uint32_t flags)
{
	d = testdisk_new(0, flags);
	d->info.block_size = block_size;
	d->info.physical_block_size = 4096;
	d->info.num_blocks = DISK_BYTES / block_size;
	m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
	mem = cdb_memory(&m, 20);
	memset(d->data, 0x77, DISK_BYTES);
}

/* A disk of which there is only the size. */
static void up_large(uint64_t blocks, uint32_t block_size, uint32_t flags)
{
	d = testdisk_new(blocks, flags);
	d->info.block_size = block_size;
	d->info.physical_block_size = 4096;
	m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
	mem = cdb_memory(&m, 20);
}

static void down(void)
{
	machine_down(&m);
	testdisk_free(d);
}

static struct cdb_case row(uint8_t op, uint8_t flags, uint64_t lba, uint32_t blocks, uint32_t len)
{
	struct cdb_case c = cdb_blocks(op, flags, lba, blocks);

	c.direction = HVS_GUEST_STOR_OUT;
	c.len = len;
	return c;
}

static void good(struct cdb_case c, uint32_t transferred)
{
	c.transferred = transferred;
	(void)cdb_expect(&m, &mem, &c);
}

static void fails(struct cdb_case c, uint32_t sense)
{
	c.sense = sense;
	(void)cdb_expect(&m, &mem, &c);
}

/* Do all these bytes of the disk have this value, and the ones around them another? */
static bool disk_has(uint64_t offset, uint64_t len, uint8_t value)
{
	for (uint64_t i = 0; i < len; i++)
		if (d->data[offset + i] != value)
			return false;
	return (!offset || d->data[offset - 1] != value) &&
	       (offset + len == DISK_BYTES || d->data[offset + len] != value);
}

/* ---- what the disk says it can ---------------------------------------------------------------------- */

Test(provisioning, is_told_as_the_back_end_has_it)
{
	static const struct {
		uint32_t flags;
		uint32_t granularity;
		uint8_t capacity;     /* READ CAPACITY (16) byte 14 */
		uint8_t provisioning; /* VPD B2h byte 5; 0: there is no such page */
		uint8_t blocks;       /* UNMAP granularity in VPD B0h */
		uint32_t unmap;       /* UNMAP ends with */
		uint32_t status;      /* GET LBA STATUS ends with */
	} cases[] = {
		{0, 0, 0, 0, 0, SENSE_OPCODE, SENSE_FIELD},
		{HVS_BLK_INFO_WRITE_ZEROES, 0, 0, 0, 0, SENSE_OPCODE, SENSE_FIELD},
		{HVS_BLK_INFO_UNMAP, 0, 0x80, 0xe0, 1, 0, SENSE_FIELD},
		{HVS_BLK_INFO_UNMAP, 4096, 0x80, 0xe0, 8, 0, SENSE_FIELD},
		{HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES, 65536, 0xc0, 0xe4, 128, 0,
		 SENSE_FIELD},
		{THIN, 512, 0xc0, 0xe4, 1, 0, 0},
		{HVS_BLK_INFO_LBA_STATUS, 0, 0, 0, 0, SENSE_OPCODE, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t page_len = cases[i].provisioning ? 8 : 0;
		const bool thin = cases[i].provisioning;

		d = testdisk_new(0, cases[i].flags);
		d->info.unmap_granularity = cases[i].granularity;
		m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
		mem = cdb_memory(&m, 1);
		(void)cdb_expect(
			&m, &mem,
			&(struct cdb_case){
				"capacity", {0x9e, 0x10, [13] = 32}, CDB_IN(32), CDB_GOOD(32)});
		cr_assert_eq(mem.p[14], cases[i].capacity, "case %zu", i);
		cr_assert_eq(mem.p[15], 0);
		(void)cdb_expect(&m, &mem,
				 &(struct cdb_case){"provisioning",
						    {0x12, 1, 0xb2, 0, 64},
						    CDB_IN(64),
						    CDB_GOOD(page_len),
						    .sense = thin ? 0 : SENSE_FIELD});
		if (thin)
			cr_assert_arr_eq(mem.p,
					 ((uint8_t[8]){0, 0xb2, 0, 4, 0, cases[i].provisioning, 2}),
					 8, "case %zu", i);
		(void)cdb_expect(
			&m, &mem,
			&(struct cdb_case){
				"limits", {0x12, 1, 0xb0, 0, 64}, CDB_IN(64), CDB_GOOD(64)});
		cr_assert_eq(mem.p[21], thin ? 0x10 : 0, "1 Mi blocks at once");
		cr_assert_eq(mem.p[26], thin ? 1 : 0, "in 256 pieces");
		cr_assert_eq(mem.p[31], cases[i].blocks, "case %zu", i);
		cr_assert_eq(mem.p[32], thin ? 0x80 : 0);
		(void)cdb_expect(
			&m, &mem,
			&(struct cdb_case){"unmap", {0x42}, CDB_NONE, .sense = cases[i].unmap});
		(void)cdb_expect(
			&m, &mem,
			&(struct cdb_case){
				"status", {0x9e, 0x12}, CDB_NONE, .sense = cases[i].status});
		down();
	}
}

/* ---- UNMAP ------------------------------------------------------------------------------------------ */

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	while (bytes--) {
		to[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static void put_descriptor(unsigned n, uint64_t lba, uint32_t blocks)
{
	uint8_t *to = mem.p + 8 + n * 16;

	memset(to, 0, 16);
	put_be(to, lba, 8);
	put_be(to + 8, blocks, 4);
}

/* A parameter list with n descriptors, whose header is right. */
static struct cdb_case unmap(unsigned n)
{
	uint32_t len = 8 + n * 16;

	memset(mem.p, 0, 8);
	put_be(mem.p, len - 2, 2);
	put_be(mem.p + 2, n * 16, 2);
	return row(0x42, 0, 0, len, len);
}

Test(unmap, each_range_is_handed_to_the_back_end)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];

		up(block, THIN);
		put_descriptor(0, 3, 2);
		put_descriptor(1, 0, 0); /* nothing */
		put_descriptor(2, DISK_BYTES / block, 0);
		put_descriptor(3, DISK_BYTES / block - 1, 1);
		put_descriptor(4, 4, 7); /* overlaps the first */
		good(unmap(5), 88);
		cr_assert_eq(d->count, 3);
		for (unsigned i = 0; i < 3; i++)
			cr_assert_eq(d->log[i].op, HVS_BLK_UNMAP);
		cr_assert(disk_has(3 * block, 8 * block, 0));
		cr_assert(disk_has(DISK_BYTES - block, block, 0));
		down();
	}
}

Test(unmap, lists_that_are_wrong)
{
	up(512, THIN);
	good(row(0x42, 0, 0, 0, 0), 0); /* no list */
	good(unmap(0), 8);
	put_descriptor(0, 0, 1);
	for (uint32_t len = 1; len < 8; len++)
		fails(row(0x42, 0, 0, len, 24), SENSE_LIST_LENGTH);
	for (uint32_t len = 8; len < 24; len++) { /* the descriptor is cut off */
		(void)unmap(1);
		fails(row(0x42, 0, 0, len, 24), SENSE_LIST_LENGTH);
	}
	(void)unmap(1);
	fails(row(0x42, 0, 0, 24, 23), SENSE_LIST_LENGTH);
	fails(row(0x42, 0, 0, 24, 0), SENSE_LIST_LENGTH);
	fails(row(0x42, 1, 0, 24, 24), SENSE_FIELD); /* ANCHOR */
	mem.p[3] = 15;                               /* a part of a descriptor counts for nothing */
	good(row(0x42, 0, 0, 24, 24), 24);
	cr_assert_eq(d->count, 0);
	mem.p[3] = 16;
	good(row(0x42, 0, 0, 100, 128), 100); /* more than the header says */
	cr_assert_eq(d->count, 1);
	down();
}

Test(unmap, is_all_or_nothing)
{
	static const struct {
		uint64_t lba;
		uint32_t blocks;
	} bad[] = {{2048, 1},       {2047, 2},       {0, 2049},       {2049, 0},
		   {UINT64_MAX, 1}, {UINT64_MAX, 2}, {1ull << 63, 1}, {UINT64_MAX / 512 + 1, 1}};

	up(512, THIN);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_descriptor(0, 0, 1);
		put_descriptor(1, bad[i].lba, bad[i].blocks);
		fails(unmap(2), SENSE_RANGE);
	}
	cr_assert_eq(d->count, 0);
	for (unsigned i = 0; i < 257; i++)
		put_descriptor(i, i, 1);
	fails(unmap(257), SENSE_PARAMETER);
	cr_assert_eq(d->count, 0);
	good(unmap(256), 8 + 256 * 16);
	cr_assert_eq(d->count, 256);
	cr_assert(disk_has(0, 256 * 512, 0));
	down();
}

Test(unmap, more_than_the_limit_is_refused)
{
	up_large(1ull << 30, 4096, HVS_BLK_INFO_UNMAP);
	put_descriptor(0, 0, 1u << 20);
	good(unmap(1), 24);
	cr_assert_eq(d->log[0].len, 1ull << 32);
	put_descriptor(0, 0, (1u << 20) + 1);
	fails(unmap(1), SENSE_PARAMETER);
	put_descriptor(0, 0, 1u << 20);
	put_descriptor(1, 1u << 20, 1);
	fails(unmap(2), SENSE_PARAMETER);
	cr_assert_eq(d->count, 1);
	down();
}

Test(unmap, a_back_end_that_cannot_after_all)
{
	/* Nobody relies on what is there: done. */
	up(512, HVS_BLK_INFO_UNMAP);
	d->unmap_status = HVS_BLK_UNSUPPORTED;
	put_descriptor(0, 5, 9);
	put_descriptor(1, 100, 1);
	good(unmap(2), 40);
	cr_assert_eq(d->count, 2);
	cr_assert_eq(d->data[5 * 512], 0x77);
	down();
	/* It has to be zeros: they are written. */
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];

		up(block, THIN);
		d->unmap_status = HVS_BLK_UNSUPPORTED;
		put_descriptor(0, 1, 524288 / block + 1);
		put_descriptor(1, DISK_BYTES / block - 1, 1);
		good(unmap(2), 40);
		cr_assert(disk_has(block, 524288 + block, 0));
		cr_assert(disk_has(DISK_BYTES - block, block, 0));
		d->status = HVS_BLK_NO_SPACE;
		fails(unmap(2), 0x072707);
		down();
	}
	/* Any other failure is one. */
	up(512, THIN);
	d->unmap_status = HVS_BLK_IO_ERROR;
	put_descriptor(0, 5, 9);
	fails(unmap(1), SENSE_MEDIUM_WRITE);
	down();
}

Test(unmap, a_disk_that_is_read_only_is_not)
{
	up(512, THIN | HVS_BLK_INFO_READ_ONLY);
	put_descriptor(0, 5, 9);
	fails(unmap(1), SENSE_PROTECTED);
	fails(row(0x41, 0, 0, 1, 512), SENSE_PROTECTED);
	fails(row(0x93, 0, 0, 1, 512), SENSE_PROTECTED);
	cr_assert_eq(d->count, 0);
	down();
}

/* ---- WRITE SAME ------------------------------------------------------------------------------------- */

static const uint8_t write_same[] = {0x41, 0x93};
#define UNMAP 0x08
#define ANCHOR 0x10
#define NDOB 0x01

Test(write_same, a_pattern_is_written_to_every_block)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		const uint32_t counts[] = {1, 2, 9, 600000 / block};

		up(block, THIN);
		for (unsigned i = 0; i < 4 * 4; i++) {
			uint32_t blocks = counts[i / 4];

			memset(d->data, 0x77, DISK_BYTES);
			for (uint32_t n = 0; n < block; n++)
				mem.p[n] = (uint8_t)(n * 5 + i);
			/* UNMAP or not: unmapped blocks would not read like that. */
			good(row(write_same[i & 1], i & 2 ? UNMAP : 0, 4, blocks, block), block);
			for (uint32_t n = 0; n < blocks; n++)
				cr_assert_arr_eq(d->data + (4 + n) * (size_t)block, mem.p, block);
			cr_assert_eq(d->data[4 * block - 1], 0x77);
			cr_assert_eq(d->data[(4 + blocks) * (size_t)block], 0x77);
		}
		for (unsigned n = 0; n < d->count; n++)
			cr_assert_eq(d->log[n].op, HVS_BLK_WRITE);
		down();
	}
}

Test(write_same, zeros_are_left_to_the_back_end_if_it_can)
{
	static const struct {
		uint32_t flags;
		uint8_t cdb1;
		enum hvs_blk_op op;
		uint32_t blk_flags;
	} cases[] = {
		{THIN, 0, HVS_BLK_WRITE_ZEROES, 0},
		{THIN, UNMAP, HVS_BLK_WRITE_ZEROES, HVS_BLK_MAY_UNMAP},
		{HVS_BLK_INFO_WRITE_ZEROES, 0, HVS_BLK_WRITE_ZEROES, 0},
		{HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES, 0, HVS_BLK_WRITE, 0},
		{HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_UNMAP_ZEROES, UNMAP, HVS_BLK_UNMAP, 0},
		{HVS_BLK_INFO_UNMAP, UNMAP, HVS_BLK_WRITE, 0},
		{0, 0, HVS_BLK_WRITE, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned n = 0; n < 3; n++) { /* 10, 16, and 16 without data */
			uint8_t flags = (uint8_t)(cases[i].cdb1 | (n == 2 ? NDOB : 0));
			uint32_t len = n == 2 ? 0 : 512;

			up(512, cases[i].flags);
			good(row(n ? 0x93 : 0x41, flags, 4, 300, len), len);
			cr_assert_eq(d->count, 1);
			cr_assert_eq(d->log[0].op, cases[i].op, "case %zu", i);
			cr_assert_eq(d->log[0].flags, cases[i].blk_flags, "case %zu", i);
			cr_assert(disk_has(4 * 512, 300 * 512, 0));
			down();
		}
	}
}

Test(write_same, zeros_are_written_if_the_back_end_cannot_after_all)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];

		up(block, THIN);
		d->unmap_status = HVS_BLK_UNSUPPORTED;
		memset(mem.p, 0, block);
		good(row(0x93, UNMAP, 4, 600000 / block, block), block);
		cr_assert(disk_has(4 * block, 600000 / block * block, 0));
		cr_assert_eq(d->log[0].op, HVS_BLK_WRITE_ZEROES);
		cr_assert_eq(d->log[1].op, HVS_BLK_WRITE);
		d->unmap_status = HVS_BLK_IO_ERROR;
		fails(row(0x93, UNMAP, 4, 7, block), SENSE_MEDIUM_WRITE);
		down();
	}
}

Test(write_same, boundaries)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		uint64_t end = DISK_BYTES / block;

		up(block, THIN);
		for (size_t i = 0; i < sizeof(write_same); i++) {
			uint8_t op = write_same[i];

			good(row(op, 0, end - 1, 1, block), block);
			good(row(op, UNMAP, end - 9, 9, block), block);
			d->count = 0;
			fails(row(op, 0, 0, 0, block), SENSE_FIELD); /* WSNZ */
			fails(row(op, 0, end, 0, block), SENSE_FIELD);
			fails(row(op, 0, end + 1, 0, block), SENSE_RANGE);
			fails(row(op, 0, end, 1, block), SENSE_RANGE);
			fails(row(op, 0, end - 1, 2, block), SENSE_RANGE);
			fails(row(op, UNMAP, end - 1, 2, block), SENSE_RANGE);
			fails(row(op, 0, 0xffffffff, 2, block), SENSE_RANGE);
			fails(row(op, 0x20, 0, 1, block), SENSE_FIELD);
			fails(row(op, 0xe0, end, 1, block), SENSE_FIELD);
			fails(row(op, ANCHOR, 0, 1, block), SENSE_FIELD);
			fails(row(op, ANCHOR | UNMAP, 0, 1, block), SENSE_FIELD);
			fails(row(op, 0x04, 0, 1, block), SENSE_FIELD);
			fails(row(op, 0x02, 0, 1, block), SENSE_FIELD);
			fails(row(op, 0, 0, 1, block - 1), SENSE_FIELD);
			fails(row(op, 0, 0, 1, 2 * block), SENSE_FIELD);
			fails(row(op, 0, 0, 1, 0), SENSE_FIELD);
		}
		fails(row(0x41, NDOB, 0, 1, 0), SENSE_FIELD);
		fails(row(0x93, NDOB, end, 1, 0), SENSE_RANGE);
		fails(row(0x93, 0, UINT64_MAX, 2, block), SENSE_RANGE);
		cr_assert_eq(d->count, 0);
		down();
	}
}

Test(write_same, limits)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		uint32_t max = (8u << 20) / block;

		up_large(1u << 30, block, HVS_BLK_INFO_WRITE_ZEROES);
		good(row(0x93, 0, 0, max, block), block);
		fails(row(0x93, 0, 0, max + 1, block), SENSE_FIELD);
		fails(row(0x93, 0, 0, 1u << 30, block), SENSE_FIELD);
		fails(row(0x93, UNMAP, 0, 1, block), SENSE_FIELD); /* nothing can be unmapped */
		fails(row(0x41, UNMAP, 0, 1, block), SENSE_FIELD);
		down();
	}
}

/* ---- GET LBA STATUS --------------------------------------------------------------------------------- */

static struct cdb_case get_status(uint64_t lba, uint32_t alloc, uint32_t len)
{
	struct cdb_case c = row(0x9e, 0x12, lba, alloc, len);

	c.direction = HVS_GUEST_STOR_IN;
	return c;
}

static void expect_extent(unsigned n, uint64_t lba, uint32_t blocks, uint8_t status)
{
	uint8_t want[16] = {[12] = status};

	put_be(want, lba, 8);
	put_be(want + 8, blocks, 4);
	cr_assert_arr_eq(mem.p + 8 + n * 16, want, 16, "extent %u", n);
}

Test(get_lba_status, tells_the_extents)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		uint32_t end = DISK_BYTES / block;

		for (uint64_t max = 0; max < 3 * block; max += block) { /* told in pieces, or not */
			up(block, THIN);
			d->status_max = max;
			put_descriptor(0, 10, 5);
			put_descriptor(1, 20, 20);
			good(unmap(2), 40);
			good(get_status(0, 88, 88), 88);
			cr_assert_arr_eq(mem.p, ((uint8_t[8]){0, 0, 0, 84}), 8);
			expect_extent(0, 0, 10, 0);
			expect_extent(1, 10, 5, 1);
			expect_extent(2, 15, 5, 0);
			expect_extent(3, 20, 20, 1);
			if (!max)
				expect_extent(4, 40, end - 40, 0);
			good(get_status(12, 24, 24), 24); /* in the middle of one */
			expect_extent(0, 12, 3, 1);
			cr_assert_eq(mem.p[3], 20);
			good(get_status(end - 1, 4096, 4096), 24); /* the last block */
			expect_extent(0, end - 1, 1, 0);
			down();
		}
	}
}

Test(get_lba_status, boundaries)
{
	up(512, THIN);
	fails(get_status(2048, 64, 64), SENSE_RANGE);
	fails(get_status(2049, 64, 64), SENSE_RANGE);
	fails(get_status(UINT64_MAX, 64, 64), SENSE_RANGE);
	good(get_status(0, 0, 64), 0);
	good(get_status(0, 64, 0), 0);
	for (uint32_t len = 1; len < 24; len++) { /* what fits of one descriptor */
		good(get_status(0, len, 64), len);
		good(get_status(0, 64, len), len);
	}
	cr_assert_eq(mem.p[3], 20, "the length is that of the whole");
	d->status = HVS_BLK_IO_ERROR;
	fails(get_status(0, 64, 64), SENSE_MEDIUM_READ);
	down();
}

Test(get_lba_status, of_many_extents_as_many_as_fit)
{
	up(512, THIN);
	for (unsigned i = 0; i < 200; i++)
		put_descriptor(i, 2ull * i, 1);
	good(unmap(200), 8 + 200 * 16);
	good(get_status(0, 8 + 40 * 16 + 15, 4096), 8 + 40 * 16);
	good(get_status(0, 8192, 8192), 8 + 64 * 16); /* all that one command looks for */
	for (unsigned i = 0; i < 64; i++)
		expect_extent(i, i, 1, !(i & 1));
	down();
}

static void nonsense(struct testdisk *disk, struct hvs_blk_req *req)
{
	(void)disk;
	req->extent_len = 0;
}

Test(get_lba_status, a_back_end_that_says_nothing_is_broken)
{
	up_large(4096, 512, THIN); /* without data it does not answer */
	d->on_submit = nonsense;
	fails(get_status(0, 64, 64), SENSE_TARGET_FAILURE);
	down();
}

/* An extent is at most 2^32 - 1 blocks. */
static void all_alike(struct testdisk *disk, struct hvs_blk_req *req)
{
	(void)disk;
	req->extent_len = req->len;
	req->extent_unmapped = true;
}

Test(get_lba_status, of_a_large_disk)
{
	up_large(3ull << 32, 512, THIN);
	d->on_submit = all_alike;
	good(get_status(0, 4096, 4096), 8 + 4 * 16);
	expect_extent(0, 0, 0xffffffff, 1);
	expect_extent(1, 0xffffffff, 0xffffffff, 1);
	expect_extent(2, 0x1fffffffe, 0xffffffff, 1);
	expect_extent(3, 0x2fffffffd, 3, 1);
	down();
}

/* ---- the memory disk -------------------------------------------------------------------------------- */

Test(memory_disk, unmaps_and_tells)
{
	m = machine_up(NULL);
	mem = cdb_memory(&m, 2);
	memset(m.disk, 0x77, DISK_BYTES);
	put_descriptor(0, 10, 5);
	good(unmap(1), 24);
	cr_assert_eq(m.disk[10 * 512], 0);
	cr_assert_eq(m.disk[15 * 512 - 1], 0);
	cr_assert_eq(m.disk[10 * 512 - 1], 0x77);
	cr_assert_eq(m.disk[15 * 512], 0x77);
	good(get_status(0, 255, 255), 8 + 3 * 16);
	expect_extent(0, 0, 10, 0);
	expect_extent(1, 10, 5, 1);
	expect_extent(2, 15, 2048 - 15, 0);
	memset(mem.p, 0, 512);
	good(row(0x93, 0, 20, 100, 512), 512);
	cr_assert_eq(m.disk[20 * 512], 0);
	cr_assert_eq(m.disk[120 * 512 - 1], 0);
	cr_assert_eq(m.disk[120 * 512], 0x77);
	good(row(0x35, 0, 0, 0, 0), 0);
	machine_down(&m);
}
