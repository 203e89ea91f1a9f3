/* SPDX-License-Identifier: MIT */
/* Commands that compare: VERIFY, WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE. */
#include "support/cdb.h"

#define BLOCKS(block) (DISK_BYTES / (block))

static struct testdisk *d;
static struct machine m;
static struct cdb_memory mem;

static const uint32_t block_sizes[] = {512, 4096};

static void up(uint32_t block_size, uint32_t flags)
{
	d = testdisk_new(0, flags);
	d->info.block_size = block_size;
	d->info.physical_block_size = 4096;
	d->info.num_blocks = BLOCKS(block_size);
	m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
	mem = cdb_memory(&m, 40);
	for (uint32_t i = 0; i < DISK_BYTES; i++)
		d->data[i] = (uint8_t)(i * 7 + i / 512);
}

static void down(void)
{
	machine_down(&m);
	testdisk_free(d);
}

/* A command on blocks, with what it is to send. */
static struct cdb_case row(uint8_t op, uint8_t flags, uint64_t lba, uint32_t blocks, uint32_t len)
{
	struct cdb_case c = cdb_blocks(op, flags, lba, blocks);

	c.direction = HVS_GUEST_STOR_OUT;
	c.len = len;
	return c;
}

static struct hvs_guest_scsi_result good(struct cdb_case c, uint32_t transferred)
{
	c.transferred = transferred;
	return cdb_expect(&m, &mem, &c);
}

static struct hvs_guest_scsi_result fails(struct cdb_case c, uint32_t sense)
{
	c.sense = sense;
	return cdb_expect(&m, &mem, &c);
}

#define BYTCHK_ALL 0x02
#define BYTCHK_ONE 0x06

static const uint8_t verify[] = {0x2f, 0xaf, 0x8f};
static const uint8_t write_verify[] = {0x2e, 0xae, 0x8e};

/* ---- VERIFY ------------------------------------------------------------------------------------- */

Test(verify, without_byte_check_every_block_is_read_and_nothing_moved)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];

		up(block, 0);
		for (size_t i = 0; i < sizeof(verify); i++) {
			uint64_t at = 5ull * block;

			d->count = 0;
			(void)good(row(verify[i], 0x10, 5, 30, 0), 0);
			for (unsigned n = 0; n < d->count; n++) {
				cr_assert_eq(d->log[n].op, HVS_BLK_READ);
				cr_assert_eq(d->log[n].offset, at);
				at += d->log[n].len;
			}
			cr_assert_eq(at, 35ull * block);
		}
		down();
	}
}

Test(verify, compares_every_byte)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		const uint32_t len = 131072; /* more than is read at once */
		const uint32_t bad[] = {0, 1, block - 1, block, 32767, 32768, 65536, len - 1};

		up(block, 0);
		for (size_t i = 0; i < sizeof(verify); i++) {
			struct cdb_case c = row(verify[i], BYTCHK_ALL, 3, len / block, len);

			memcpy(mem.p, d->data + 3ull * block, len);
			(void)good(c, len);
			for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
				mem.p[bad[n]] ^= 0x40;
				(void)fails(c, SENSE_MISCOMPARE);
				mem.p[bad[n]] ^= 0x40;
			}
		}
		for (unsigned n = 0; n < d->count; n++)
			cr_assert_eq(d->log[n].op, HVS_BLK_READ);
		down();
	}
}

Test(verify, compares_all_blocks_with_one)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		const uint32_t blocks = 100000 / block;
		const uint32_t bad[] = {0, block, 32768, blocks * block - 1};

		up(block, 0);
		for (uint32_t i = 0; i < block; i++)
			mem.p[i] = (uint8_t)(i * 3 + 1);
		for (uint32_t i = 0; i < blocks; i++)
			memcpy(d->data + (size_t)(7 + i) * block, mem.p, block);
		for (size_t i = 0; i < sizeof(verify); i++) {
			struct cdb_case c = row(verify[i], BYTCHK_ONE, 7, blocks, block);

			(void)good(c, block);
			for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
				d->data[7 * block + bad[n]] ^= 1;
				(void)fails(c, SENSE_MISCOMPARE);
				d->data[7 * block + bad[n]] ^= 1;
			}
		}
		down();
	}
}

/* What all commands that name blocks have in common. bytes: that one block sends. */
static void boundaries(uint8_t op, uint8_t flags, uint32_t block, uint32_t bytes)
{
	const uint64_t end = BLOCKS(block);
	const uint32_t max = (1u << 20) / block;
	const struct {
		const char *what;
		struct cdb_case c;
		uint32_t sense;
	} rows[] = {
		{"no blocks", row(op, flags, 0, 0, 0), 0},
		{"no blocks behind the last", row(op, flags, end, 0, 0), 0},
		{"no blocks beyond the end", row(op, flags, end + 1, 0, 0), SENSE_RANGE},
		{"no blocks far beyond", row(op, flags, 0xffffffff, 0, 0), SENSE_RANGE},
		{"one behind the last", row(op, flags, end, 1, bytes), SENSE_RANGE},
		{"the last and one more", row(op, flags, end - 1, 2, 2 * bytes), SENSE_RANGE},
		{"all and one more", row(op, flags, 0, (uint32_t)end + 1, bytes), SENSE_RANGE},
		{"a range that wraps 32 bits", row(op, flags, 0xffffffff, 2, 2 * bytes),
		 SENSE_RANGE},
		{"obsolete RELADR", row(op, flags | 1, 0, 1, bytes), SENSE_FIELD},
		{"protection 1", row(op, flags | 0x20, 0, 1, bytes), SENSE_FIELD},
		{"protection 7", row(op, flags | 0xe0, 0, 1, bytes), SENSE_FIELD},
		{"protection first", row(op, flags | 0x80, end, 1, bytes), SENSE_FIELD},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cdb_case c = rows[i].c;

		c.what = rows[i].what;
		c.sense = rows[i].sense;
		(void)cdb_expect(&m, &mem, &c);
	}
	if (op >= 0x80 && op < 0xa0) {
		(void)fails(row(op, flags, UINT64_MAX, 1, bytes), SENSE_RANGE);
		(void)fails(row(op, flags, UINT64_MAX, 2, 2 * bytes), SENSE_RANGE);
		(void)fails(row(op, flags, 1ull << 32, 1, bytes), SENSE_RANGE);
	}
	cr_assert_leq(max, end);
	if (bytes) {
		(void)fails(row(op, flags, 0, 2, 2 * bytes - 1), SENSE_FIELD);
		(void)fails(row(op, flags, 0, 1, 0), SENSE_FIELD);
	}
}

Test(verify, boundaries)
{
	for (unsigned b = 0; b < 2; b++) {
		up(block_sizes[b], 0);
		for (size_t i = 0; i < sizeof(verify); i++) {
			boundaries(verify[i], 0, block_sizes[b], 0);
			boundaries(verify[i], BYTCHK_ALL, block_sizes[b], block_sizes[b]);
			(void)fails(row(verify[i], 0x04, 0, 1, 512), SENSE_FIELD);
			(void)fails(row(verify[i], BYTCHK_ONE, 0, 1, block_sizes[b] - 1),
				    SENSE_FIELD);
		}
		cr_assert_eq(d->count, 0);
		down();
	}
}

/* 1 MiB is what VPD page B0h says. */
Test(verify, more_than_the_largest_transfer_is_refused)
{
	d = testdisk_new(1u << 20, 0);
	m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
	mem = cdb_memory(&m, 1);
	(void)good(row(0x8f, 0, 0, 2048, 0), 0);
	(void)fails(row(0x8f, 0, 0, 2049, 0), SENSE_FIELD);
	(void)fails(row(0x2f, 0, 0, 0xffff, 0), SENSE_FIELD);
	(void)fails(row(0x8f, BYTCHK_ONE, 0, 2049, 512), SENSE_FIELD);
	down();
}

Test(verify, an_unreadable_block_is_a_medium_error)
{
	struct hvs_guest_scsi_result r;
	uint32_t information;

	up(512, 0);
	d->status = HVS_BLK_IO_ERROR;
	r = fails(row(0x2f, 0, 9, 1, 0), SENSE_MEDIUM_READ);
	cr_assert(cdb_information(&r, &information));
	cr_assert_eq(information, 9, "the only one it can be");
	r = fails(row(0x2f, 0, 9, 2, 0), SENSE_MEDIUM_READ);
	cr_assert_not(cdb_information(&r, &information), "it may be the other");
	(void)fails(row(0x2f, BYTCHK_ALL, 9, 2, 1024), SENSE_MEDIUM_READ);
	down();
}

/* ---- WRITE AND VERIFY ----------------------------------------------------------------------------- */

Test(write_and_verify, data_are_written_durable_and_read_back)
{
	static const struct {
		uint32_t flags;
		unsigned count;
		enum hvs_blk_op op[4];
	} cases[] = {
		{0, 3, {HVS_BLK_WRITE, HVS_BLK_READ, HVS_BLK_READ}},
		{HVS_BLK_INFO_WRITE_BACK,
		 4,
		 {HVS_BLK_WRITE, HVS_BLK_FLUSH, HVS_BLK_READ, HVS_BLK_READ}},
		{HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_FUA,
		 4,
		 {HVS_BLK_WRITE, HVS_BLK_FLUSH, HVS_BLK_READ, HVS_BLK_READ}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t f = 0; f < 2 * sizeof(write_verify); f++) {
			uint32_t block = block_sizes[f & 1];
			uint8_t flags = f & 1 ? BYTCHK_ALL : 0;

			up(block, cases[i].flags);
			memset(mem.p, 0x11 + (int)f, 40960);
			(void)good(row(write_verify[f / 2], flags, 4, 40960 / block, 40960), 40960);
			cr_assert_eq(d->count, cases[i].count);
			for (unsigned n = 0; n < cases[i].count; n++)
				cr_assert_eq(d->log[n].op, cases[i].op[n], "case %zu, step %u", i,
					     n);
			cr_assert_arr_eq(d->data + 4 * block, mem.p, 40960);
			down();
		}
	}
}

/* A medium that does not keep what it is given. */
static void forget(struct testdisk *disk, struct hvs_blk_req *req)
{
	if (req->op == HVS_BLK_READ)
		disk->data[req->offset + req->len - 1] ^= 1;
}

Test(write_and_verify, byte_check_notices_what_the_medium_lost)
{
	for (size_t f = 0; f < sizeof(write_verify); f++) {
		up(512, HVS_BLK_INFO_WRITE_BACK);
		d->on_submit = forget;
		(void)good(row(write_verify[f], 0, 4, 8, 4096), 4096);
		(void)fails(row(write_verify[f], BYTCHK_ALL, 4, 8, 4096), SENSE_MISCOMPARE);
		down();
	}
}

Test(write_and_verify, fails_at_each_step)
{
	up(512, HVS_BLK_INFO_WRITE_BACK);
	d->flush_status = HVS_BLK_IO_ERROR;
	(void)fails(row(0x2e, 0, 4, 8, 4096), SENSE_MEDIUM_WRITE);
	cr_assert_eq(d->count, 2, "nothing was read");
	d->status = HVS_BLK_NO_SPACE;
	(void)fails(row(0x2e, 0, 4, 8, 4096), 0x072707);
	cr_assert_eq(d->count, 3);
	down();
}

Test(write_and_verify, boundaries)
{
	for (unsigned b = 0; b < 2; b++) {
		up(block_sizes[b], 0);
		for (size_t i = 0; i < sizeof(write_verify); i++) {
			boundaries(write_verify[i], 0, block_sizes[b], block_sizes[b]);
			boundaries(write_verify[i], BYTCHK_ALL, block_sizes[b], block_sizes[b]);
			(void)fails(row(write_verify[i], BYTCHK_ONE, 0, 1, 4096), SENSE_FIELD);
			(void)fails(row(write_verify[i], 0x04, 0, 1, 4096), SENSE_FIELD);
		}
		cr_assert_eq(d->count, 0);
		down();
	}
}

/* ---- COMPARE AND WRITE ------------------------------------------------------------------------------ */

Test(compare_and_write, writes_only_where_the_data_are_as_expected)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		uint32_t max = 131072 / 2 / block;

		up(block, 0);
		for (uint32_t blocks = 1; blocks <= max; blocks += max - 1) {
			uint32_t len = blocks * block;
			struct cdb_case c = row(0x89, 0, 6, blocks, 2 * len);
			struct hvs_guest_scsi_result r;
			uint32_t information;

			memcpy(mem.p, d->data + 6ull * block, len);
			memset(mem.p + len, 0x5a + (int)blocks, len);
			for (uint32_t bad = 0; bad < len; bad += len - 1) {
				mem.p[bad] ^= 8;
				d->count = 0;
				r = fails(c, SENSE_MISCOMPARE);
				cr_assert(cdb_information(&r, &information));
				cr_assert_eq(information, bad);
				for (unsigned n = 0; n < d->count; n++)
					cr_assert_eq(d->log[n].op, HVS_BLK_READ);
				mem.p[bad] ^= 8;
			}
			(void)good(c, 2 * len);
			cr_assert_arr_eq(d->data + 6ull * block, mem.p + len, len);
			cr_assert_neq(d->data[6ull * block - 1], 0x5a + (int)blocks);
			cr_assert_neq(d->data[6ull * block + len], 0x5a + (int)blocks);
		}
		down();
	}
}

Test(compare_and_write, boundaries)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		uint64_t end = BLOCKS(block);
		uint32_t max = (1u << 20) / 2 / block < 255 ? (1u << 20) / 2 / block : 255;

		up(block, 0);
		(void)good(row(0x89, 0, 0, 0, 0), 0);
		(void)good(row(0x89, 0, end, 0, 0), 0);
		(void)fails(row(0x89, 0, end + 1, 0, 0), SENSE_RANGE);
		(void)fails(row(0x89, 0, end, 1, 2 * block), SENSE_RANGE);
		(void)fails(row(0x89, 0, UINT64_MAX, 2, 4 * block), SENSE_RANGE);
		(void)fails(row(0x89, 0x20, 0, 1, 2 * block), SENSE_FIELD);
		(void)fails(row(0x89, 0, 0, 1, block), SENSE_FIELD);
		(void)fails(row(0x89, 0, 0, 1, 2 * block - 1), SENSE_FIELD);
		(void)fails(row(0x89, 0, 0, 1, 3 * block), SENSE_FIELD);
		if (max < 255)
			(void)fails(row(0x89, 0, 0, max + 1, 512), SENSE_FIELD);
		cr_assert_eq(d->count, 0);
		down();
	}
}

Test(compare_and_write, fua_is_durable)
{
	up(512, HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_FUA);
	memcpy(mem.p, d->data, 512);
	(void)good(row(0x89, 0x18, 0, 1, 1024), 1024);
	cr_assert_eq(d->count, 3);
	cr_assert_eq(d->log[2].op, HVS_BLK_FLUSH);
	memcpy(mem.p, d->data, 512);
	d->flush_status = HVS_BLK_IO_ERROR;
	(void)fails(row(0x89, 0x08, 0, 1, 1024), SENSE_MEDIUM_WRITE);
	(void)good(row(0x89, 0, 0, 1, 1024), 1024);
	cr_assert_eq(d->log[d->count - 1].op, HVS_BLK_WRITE);
	down();
}

static void submit(uint64_t xid, struct cdb_case c, uint32_t at)
{
	struct hvs_guest_scsi cmd = cdb_command(&mem, &c);

	cmd.buffer.gpa += at;
	cr_assert_eq(hvs_guest_stor_submit(m.ch, xid, &cmd), 0);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
}

static void finish_one(void)
{
	testdisk_finish(d, 0, HVS_BLK_OK);
	hvs_loopback_run(m.lb);
}

static uint64_t reap(uint32_t sense)
{
	struct hvs_guest_scsi_result r;
	uint64_t xid;

	cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 1);
	cr_assert_eq(sense_of(&r), sense, "%06x", sense_of(&r));
	return xid;
}

/* A write that is under way ends first; one that comes meanwhile waits until it is over. */
Test(compare_and_write, no_write_comes_in_between)
{
	up(512, 0);
	memset(d->data, 1, 512);
	memset(mem.p, 2, 512);        /* what the first write makes of it */
	memset(mem.p + 512, 3, 512);  /* what COMPARE AND WRITE makes of that */
	memset(mem.p + 4096, 2, 512); /* the first write */
	memset(mem.p + 8192, 4, 512); /* the second */
	d->hold = true;
	submit(1, row(0x2a, 0, 0, 1, 512), 4096);
	submit(2, row(0x89, 0, 0, 1, 1024), 0);
	cr_assert_eq(d->held_count, 1, "waits for the write");
	finish_one();
	cr_assert_eq(reap(0), 1);
	cr_assert_eq(d->held_count, 1);
	cr_assert_eq(d->held[0]->op, HVS_BLK_READ);
	submit(3, row(0x2a, 0, 0, 1, 512), 8192);
	cr_assert_eq(d->held_count, 1, "this write waits");
	finish_one();
	cr_assert_eq(d->held_count, 1);
	cr_assert_eq(d->held[0]->op, HVS_BLK_WRITE);
	finish_one();
	cr_assert_eq(reap(0), 2);
	cr_assert_eq(d->data[0], 3);
	finish_one();
	cr_assert_eq(reap(0), 3);
	cr_assert_eq(d->data[0], 4);
	down();
}

/* Locks are taken this way: of those who compare with the same, one wins. */
Test(compare_and_write, of_many_at_once_one_wins)
{
	unsigned won = 0;

	up(512, 0);
	memset(d->data, 0, 512);
	memset(mem.p, 0, 1024);
	d->hold = true;
	for (uint32_t i = 0; i < 8; i++) {
		memset(mem.p + i * 4096, 0, 512);
		memset(mem.p + i * 4096 + 512, 1 + (int)i, 512);
		submit(i, row(0x89, 0, 0, 1, 1024), i * 4096);
	}
	while (d->held_count)
		finish_one();
	for (unsigned i = 0; i < 8; i++) {
		struct hvs_guest_scsi_result r;
		uint64_t xid;

		cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 1);
		if (r.scsi_status == 0) {
			won++;
			cr_assert_eq(d->data[0], 1 + xid);
		} else {
			cr_assert_eq(sense_of(&r), SENSE_MISCOMPARE);
		}
	}
	cr_assert_eq(won, 1);
	down();
}

/* ---- ORWRITE ---------------------------------------------------------------------------------------- */

Test(orwrite, sets_bits)
{
	for (unsigned b = 0; b < 2; b++) {
		uint32_t block = block_sizes[b];
		const uint32_t len = 98304;
		static uint8_t want[98304];

		up(block, HVS_BLK_INFO_WRITE_BACK);
		for (uint32_t i = 0; i < len; i++) {
			mem.p[i] = (uint8_t)(i * 11 + 5);
			want[i] = (uint8_t)(d->data[2 * block + i] | mem.p[i]);
		}
		(void)good(row(0x8b, 0, 2, len / block, len), len);
		cr_assert_arr_eq(d->data + 2 * block, want, len);
		cr_assert_eq(d->log[d->count - 1].op, HVS_BLK_WRITE);
		(void)good(row(0x8b, 0x08, 2, len / block, len), len);
		cr_assert_eq(d->log[d->count - 1].op, HVS_BLK_FLUSH);
		d->count = 0;
		boundaries(0x8b, 0, block, block);
		cr_assert_eq(d->count, 0);
		down();
	}
}

/* ---- disks that are read-only ----------------------------------------------------------------------- */

Test(read_only, is_verified_and_not_written)
{
	up(512, HVS_BLK_INFO_READ_ONLY);
	for (size_t i = 0; i < 3; i++) {
		(void)good(row(verify[i], 0, 0, 1, 0), 0);
		(void)fails(row(write_verify[i], 0, 0, 1, 512), SENSE_PROTECTED);
	}
	(void)fails(row(0x89, 0, 0, 1, 1024), SENSE_PROTECTED);
	(void)fails(row(0x8b, 0, 0, 1, 512), SENSE_PROTECTED);
	down();
}
