/* SPDX-License-Identifier: MIT */
/* Reads, writes, flushes: from the CDB to the back end and back, in order and out of it. */
#include "support/disk.h"
#include "support/rng.h"
#include "support/vstor.h"
#include "vsc/guest.h"

#define INVALID_FIELD 0x052400u
#define OUT_OF_RANGE 0x052100u

static uint8_t *buf;
static uint64_t gpa;

static struct machine with_disk(struct testdisk *d)
{
	struct machine m =
		machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});

	buf = hvs_loopback_alloc_pages(m.lb, 40, &gpa);
	cr_assert_not_null(buf);
	return m;
}

static void put_be(uint8_t *to, uint64_t v, unsigned bytes)
{
	while (bytes--) {
		to[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

/* READ or WRITE in one of its four forms. */
static struct hvs_guest_scsi rw(bool write, uint8_t form, uint64_t lba, uint32_t blocks,
				uint32_t buffer_len)
{
	struct hvs_guest_scsi c = {.cdb_len = form,
				   .direction = write ? HVS_GUEST_STOR_OUT : HVS_GUEST_STOR_IN,
				   .buffer = {.gpa = gpa, .len = buffer_len}};

	switch (form) {
	case 6:
		put_be(c.cdb, lba, 4);
		c.cdb[0] = write ? 0x0a : 0x08;
		c.cdb[4] = (uint8_t)blocks;
		break;
	case 10:
		c.cdb[0] = write ? 0x2a : 0x28;
		put_be(c.cdb + 2, lba, 4);
		put_be(c.cdb + 7, blocks, 2);
		break;
	case 12:
		c.cdb[0] = write ? 0xaa : 0xa8;
		put_be(c.cdb + 2, lba, 4);
		put_be(c.cdb + 6, blocks, 4);
		break;
	default:
		c.cdb[0] = write ? 0x8a : 0x88;
		put_be(c.cdb + 2, lba, 8);
		put_be(c.cdb + 10, blocks, 4);
		break;
	}
	return c;
}

static void expect_check(const struct hvs_guest_scsi_result *r, uint8_t srb, uint32_t sense)
{
	cr_assert_eq(r->srb_status, srb, "SRB %#x", r->srb_status);
	cr_assert_eq(r->scsi_status, 2);
	cr_assert_eq(sense_of(r), sense, "sense %#x", sense_of(r));
	cr_assert_eq(r->transferred, 0);
}

static const uint8_t forms[] = {6, 10, 12, 16};

/* ---- decoding --------------------------------------------------------------------------------- */

Test(io, every_form_reads_and_writes_the_right_blocks)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);

	for (size_t i = 0; i < sizeof(forms); i++) {
		for (int write = 0; write < 2; write++) {
			struct hvs_guest_scsi c = rw(write, forms[i], 0x321, 5, 5 * 512);
			struct hvs_guest_scsi_result r;

			for (unsigned b = 0; b < 5 * 512; b++) {
				buf[b] = (uint8_t)(b * 3 + i);
				d->data[0x321 * 512 + b] = (uint8_t)(b * 5 + i + 1);
			}
			r = scsi(&m, &c);
			cr_assert_eq(r.srb_status, SRB_SUCCESS);
			cr_assert_eq(r.transferred, 5 * 512);
			cr_assert_eq(d->count, 1);
			cr_assert_eq(d->log[0].op, write ? HVS_BLK_WRITE : HVS_BLK_READ);
			cr_assert_eq(d->log[0].flags, 0);
			cr_assert_eq(d->log[0].offset, 0x321 * 512);
			cr_assert_eq(d->log[0].len, 5 * 512);
			cr_assert_arr_eq(buf, d->data + 0x321 * 512, 5 * 512);
			cr_assert_eq(buf[7], write ? (uint8_t)(21 + i) : (uint8_t)(35 + i + 1));
			d->count = 0;
		}
	}
	machine_down(&m);
	testdisk_free(d);
}

Test(io, addresses_use_all_their_bits)
{
	static const struct {
		uint8_t form;
		uint64_t lba;
		uint64_t offset;
	} cases[] = {
		{6, 0x1fffff, 0x1fffffull * 512},
		{10, 0xfedcba98, 0xfedcba98ull * 512},
		{12, 0xfedcba98, 0xfedcba98ull * 512},
		{16, 0x123456789abcd, 0x123456789abcdull * 512},
	};
	struct testdisk *d = testdisk_new(1ull << 50, 0);
	struct machine m = with_disk(d);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_guest_scsi c = rw(false, cases[i].form, cases[i].lba, 1, 512);
		struct hvs_guest_scsi_result r = scsi(&m, &c);

		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(d->log[i].offset, cases[i].offset, "case %zu", i);
	}
	/* READ(6): the bits above the address belong to nothing. */
	{
		struct hvs_guest_scsi c = rw(false, 6, 0, 1, 512);
		struct hvs_guest_scsi_result r;

		c.cdb[1] = 0xe0;
		r = scsi(&m, &c);
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(d->log[4].offset, 0);
	}
	machine_down(&m);
	testdisk_free(d);
}

Test(io, a_length_of_0_is_256_blocks_in_6_bytes_and_nothing_in_others)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);

	for (size_t i = 0; i < sizeof(forms); i++) {
		for (int write = 0; write < 2; write++) {
			struct hvs_guest_scsi c = rw(write, forms[i], 8, 0, 256 * 512);
			struct hvs_guest_scsi_result r = scsi(&m, &c);

			cr_assert_eq(r.srb_status, SRB_SUCCESS);
			cr_assert_eq(r.transferred, forms[i] == 6 ? 256 * 512 : 0);
		}
	}
	cr_assert_eq(d->count, 2);
	cr_assert_eq(d->log[1].len, 256 * 512);
	machine_down(&m);
	testdisk_free(d);
}

Test(io, nothing_reaches_beyond_the_end_of_the_disk)
{
	static const struct {
		uint64_t lba;
		uint32_t blocks;
		bool ok;
	} cases[] = {
		{2047, 1, true},
		{2048, 1, false},
		{2047, 2, false},
		{2040, 8, true},
		{2040, 9, false},
		{0, 2049, false},
		{0xffffffff, 1, false},
		{0xfffffff8, 16, false},
		{2049, 1, false},
		{UINT64_MAX, 1, false},
		{UINT64_MAX, UINT32_MAX, false},
		{UINT64_MAX - 7, 16, false},
		{1ull << 32, 1, false},
		{1ull << 55, 1, false},
		{0, UINT32_MAX, false},
	};
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);

	for (size_t f = 1; f < sizeof(forms); f++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct hvs_guest_scsi_result r;
			struct hvs_guest_scsi c;

			if (forms[f] != 16 && cases[i].lba > UINT32_MAX)
				continue;
			if (forms[f] == 10 && cases[i].blocks > 0xffff)
				continue;
			for (int write = 0; write < 2; write++) {
				c = rw(write, forms[f], cases[i].lba, cases[i].blocks, 16 * 512);
				r = scsi(&m, &c);
				if (cases[i].ok)
					cr_assert_eq(r.srb_status, SRB_SUCCESS, "case %zu", i);
				else
					expect_check(&r, SRB_INVALID, OUT_OF_RANGE);
			}
		}
	}
	cr_assert_eq(d->count, 2 * 2 * 3);
	machine_down(&m);
	testdisk_free(d);
}

Test(io, the_buffer_must_hold_the_blocks_and_may_hold_more)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi c = rw(false, 10, 0, 4, 4 * 512 - 1);
	struct hvs_guest_scsi_result r = scsi(&m, &c);

	expect_check(&r, SRB_INVALID, INVALID_FIELD);
	c = rw(false, 10, 0, 4, 0);
	c.direction = HVS_GUEST_STOR_NONE;
	r = scsi(&m, &c);
	expect_check(&r, SRB_INVALID, INVALID_FIELD);
	cr_assert_eq(d->count, 0);
	memset(buf, 0xee, 8192);
	c = rw(false, 10, 0, 4, 8192);
	r = scsi(&m, &c);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	cr_assert_eq(r.transferred, 2048);
	cr_assert_eq(buf[2047], 0);
	cr_assert_eq(buf[2048], 0xee);
	machine_down(&m);
	testdisk_free(d);
}

Test(io, protection_and_relative_addresses_are_refused)
{
	static const uint8_t flags[] = {0x20, 0x40, 0x80, 0xe0, 0x01, 0x21};
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);

	for (size_t f = 1; f < sizeof(forms); f++) {
		for (size_t i = 0; i < sizeof(flags); i++) {
			for (int write = 0; write < 2; write++) {
				struct hvs_guest_scsi c = rw(write, forms[f], 0, 1, 512);
				struct hvs_guest_scsi_result r;

				c.cdb[1] = flags[i];
				r = scsi(&m, &c);
				expect_check(&r, SRB_INVALID, INVALID_FIELD);
			}
		}
	}
	cr_assert_eq(d->count, 0);
	machine_down(&m);
	testdisk_free(d);
}

Test(io, buffers_anywhere_in_memory)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);

	for (uint32_t off = 0; off < 4096; off += 123) {
		struct hvs_guest_scsi c = rw(true, 10, 3, 20, 20 * 512);
		struct hvs_guest_scsi_result r;

		c.buffer.gpa = gpa + off;
		for (unsigned b = 0; b < 20 * 512; b++)
			buf[off + b] = (uint8_t)(b * 11 + off);
		r = scsi(&m, &c);
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_arr_eq(d->data + 3 * 512, buf + off, 20 * 512, "offset %u", off);
		memset(buf, 0xee, 5 * 4096);
		c = rw(false, 10, 3, 20, 20 * 512);
		c.buffer.gpa = gpa + off;
		r = scsi(&m, &c);
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_arr_eq(buf + off, d->data + 3 * 512, 20 * 512, "offset %u", off);
		if (off)
			cr_assert_eq(buf[off - 1], 0xee);
		cr_assert_eq(buf[off + 20 * 512], 0xee);
	}
	cr_assert_eq(d->log[0].iovcnt, 1, "pages that follow each other are one piece");
	machine_down(&m);
	testdisk_free(d);
}

Test(io, buffers_that_are_no_ram_fail_the_command_only)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi c = rw(true, 10, 0, 8, 4096);
	struct hvs_guest_scsi_result r;

	c.buffer.gpa = 0x1000;
	r = scsi(&m, &c);
	expect_check(&r, SRB_INVALID, INVALID_FIELD);
	c.buffer.gpa = 0x100000 + (16u << 20) - 2048; /* half of it */
	r = scsi(&m, &c);
	expect_check(&r, SRB_INVALID, INVALID_FIELD);
	c.buffer.gpa = 1ull << 60;
	r = scsi(&m, &c);
	expect_check(&r, SRB_INVALID, INVALID_FIELD);
	cr_assert_eq(d->count, 0);
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
	c.buffer.gpa = gpa;
	r = scsi(&m, &c);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	machine_down(&m);
	testdisk_free(d);
}

Test(io, the_largest_transfer_fits_at_every_offset_and_more_faults_the_channel)
{
	struct testdisk *d = testdisk_new(1 << 20, 0);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi c = rw(false, 16, 0, 2048, 1 << 20);
	struct hvs_guest_scsi_result r;

	c.buffer.gpa = 0x100000;
	r = scsi(&m, &c);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	cr_assert_eq(r.transferred, 1 << 20);
	c.buffer.gpa += 4095;
	r = scsi(&m, &c);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	c.buffer.len += 8192;
	cr_assert_eq(hvs_guest_stor_submit(m.ch, 1, &c), 0);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	cr_assert_eq(hvs_loopback_count(m.lb)->last_fault, HVS_FAULT_PACKET_SIZE);
	machine_down(&m);
	testdisk_free(d);
}

/* ---- durability ------------------------------------------------------------------------------- */

Test(io, fua_is_what_the_back_end_makes_of_it)
{
	static const struct {
		uint32_t flags;
		bool write;
		uint32_t req_flags;
		unsigned flushes;
	} cases[] = {
		{0, true, 0, 0}, /* every write is durable */
		{HVS_BLK_INFO_FUA, true, 0, 0},
		{HVS_BLK_INFO_WRITE_BACK, true, 0, 1},
		{HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_FUA, true, HVS_BLK_FUA, 0},
		{HVS_BLK_INFO_WRITE_BACK, false, 0, 0},
		{HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_FUA, false, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t f = 1; f < sizeof(forms); f++) {
			struct testdisk *d = testdisk_new(0, cases[i].flags);
			struct machine m = with_disk(d);
			struct hvs_guest_scsi c = rw(cases[i].write, forms[f], 9, 2, 1024);
			struct hvs_guest_scsi_result r;

			c.cdb[1] = 0x08;
			r = scsi(&m, &c);
			cr_assert_eq(r.srb_status, SRB_SUCCESS);
			cr_assert_eq(r.transferred, 1024, "case %zu: %u", i, r.transferred);
			cr_assert_eq(d->count, 1 + cases[i].flushes, "case %zu", i);
			cr_assert_eq(d->log[0].flags, cases[i].req_flags, "case %zu", i);
			if (cases[i].flushes)
				cr_assert_eq(d->log[1].op, HVS_BLK_FLUSH);
			machine_down(&m);
			testdisk_free(d);
		}
	}
}

Test(io, a_fua_write_is_finished_only_after_its_flush)
{
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_WRITE_BACK);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi c = rw(true, 10, 9, 2, 1024);
	struct hvs_guest_scsi_result r;
	uint64_t xid;

	c.cdb[1] = 0x08;
	d->hold = true;
	cr_assert_eq(hvs_guest_stor_submit(m.ch, 42, &c), 0);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	cr_assert_eq(d->held_count, 1);
	testdisk_finish(d, 0, HVS_BLK_OK);
	hvs_loopback_run(m.lb);
	cr_assert_eq(d->held_count, 1);
	cr_assert_eq(d->held[0]->op, HVS_BLK_FLUSH);
	cr_assert_eq(d->commits, 2, "each batch of submits is committed");
	cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 0);
	testdisk_finish(d, 0, HVS_BLK_OK);
	hvs_loopback_run(m.lb);
	cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 1);
	cr_assert_eq(xid, 42);
	cr_assert_eq(r.transferred, 1024);
	/* One that fails at either step. */
	for (int step = 0; step < 2; step++) {
		cr_assert_eq(hvs_guest_stor_submit(m.ch, 43, &c), 0);
		hvs_guest_flush(m.ch);
		hvs_loopback_run(m.lb);
		if (step == 1) {
			testdisk_finish(d, 0, HVS_BLK_OK);
			hvs_loopback_run(m.lb);
		}
		testdisk_finish(d, 0, HVS_BLK_IO_ERROR);
		hvs_loopback_run(m.lb);
		cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 1);
		expect_check(&r, SRB_ERROR, 0x030c00);
		cr_assert_eq(d->held_count, 0);
	}
	machine_down(&m);
	testdisk_free(d);
}

Test(io, a_disk_that_is_read_only_is_not_written)
{
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_READ_ONLY | HVS_BLK_INFO_WRITE_BACK);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi c;
	struct hvs_guest_scsi_result r;

	for (size_t f = 0; f < sizeof(forms); f++) {
		c = rw(true, forms[f], 9, 2, 1024);
		r = scsi(&m, &c);
		expect_check(&r, SRB_ERROR, 0x072700);
	}
	c = (struct hvs_guest_scsi){.cdb_len = 10, .cdb = {0x35}, .direction = HVS_GUEST_STOR_NONE};
	r = scsi(&m, &c);
	cr_assert_eq(r.srb_status, SRB_SUCCESS, "there is nothing to make durable");
	cr_assert_eq(d->count, 0);
	c = rw(false, 10, 9, 2, 1024);
	r = scsi(&m, &c);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	machine_down(&m);
	testdisk_free(d);
}

/* ---- errors ----------------------------------------------------------------------------------- */

Test(io, errors_of_the_back_end_become_sense_data)
{
	static const struct {
		enum hvs_blk_status status;
		uint32_t read;
		uint32_t write;
	} cases[] = {
		{HVS_BLK_IO_ERROR, 0x031100, 0x030c00},
		{HVS_BLK_RANGE, 0x052100, 0x052100},
		{HVS_BLK_READ_ONLY, 0x072700, 0x072700},
		{HVS_BLK_NO_SPACE, 0x072707, 0x072707},
		{HVS_BLK_GONE, 0x044400, 0x044400},
		{(enum hvs_blk_status)77, 0x031100, 0x030c00}, /* one of a later release */
	};
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_guest_scsi c = rw(false, 10, 0, 1, 512);
		struct hvs_guest_scsi_result r;

		d->status = cases[i].status;
		d->flush_status = cases[i].status;
		r = scsi(&m, &c);
		expect_check(&r, SRB_ERROR, cases[i].read);
		c = rw(true, 10, 0, 1, 512);
		r = scsi(&m, &c);
		expect_check(&r, SRB_ERROR, cases[i].write);
		c = (struct hvs_guest_scsi){
			.cdb_len = 10, .cdb = {0x35}, .direction = HVS_GUEST_STOR_NONE};
		r = scsi(&m, &c);
		expect_check(&r, SRB_ERROR, cases[i].write);
	}
	d->status = HVS_BLK_OK;
	{
		struct hvs_guest_scsi c = rw(false, 10, 0, 1, 512);
		struct hvs_guest_scsi_result r = scsi(&m, &c);

		cr_assert_eq(r.srb_status, SRB_SUCCESS);
	}
	machine_down(&m);
	testdisk_free(d);
}

/* ---- many at a time --------------------------------------------------------------------------- */

static void submit(struct machine *m, uint64_t xid, uint64_t lba)
{
	struct hvs_guest_scsi c = rw(false, 16, lba, 1, 512);

	c.buffer.gpa = gpa + lba % 300 * 512;
	cr_assert_eq(hvs_guest_stor_submit(m->ch, xid, &c), 0);
}

Test(io, completions_come_in_the_order_of_the_back_end_each_once)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi_result r;
	struct rng rng = {4711};
	bool seen[200] = {false};
	unsigned reaped = 0;
	uint64_t xid;

	for (unsigned i = 0; i < 200; i++)
		d->data[i * 512] = (uint8_t)(i + 1);
	d->hold = true;
	for (unsigned i = 0; i < 200; i++)
		submit(&m, i, i); /* 0 is a transaction id, too */
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	cr_assert_eq(d->held_count, 200);
	cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 0);
	while (reaped < 200) {
		unsigned burst = rng_below(&rng, 5) + 1;

		while (burst-- && d->held_count) {
			unsigned which = rng_below(&rng, d->held_count);
			uint64_t block = d->held[which]->offset / 512;

			testdisk_finish(d, which, block % 7 == 3 ? HVS_BLK_IO_ERROR : HVS_BLK_OK);
		}
		hvs_loopback_run(m.lb);
		while (hvs_guest_stor_reap(m.ch, &xid, &r) == 1) {
			cr_assert_lt(xid, 200);
			cr_assert_not(seen[xid], "%u twice", (unsigned)xid);
			seen[xid] = true;
			reaped++;
			cr_assert_eq(r.srb_status, xid % 7 == 3 ? SRB_ERROR : SRB_SUCCESS);
			if (xid % 7 != 3)
				cr_assert_eq(buf[xid * 512], (uint8_t)(xid + 1));
		}
	}
	machine_down(&m);
	testdisk_free(d);
}

Test(io, a_batch_is_committed_once_and_signalled_once)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi_result r;
	unsigned commits = d->commits;
	uint64_t xid;

	(void)hvs_guest_channel_events(m.ch);
	for (unsigned i = 0; i < 40; i++)
		submit(&m, i, i);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	cr_assert_eq(d->count, 40);
	cr_assert_eq(d->commits, commits + 1);
	cr_assert_eq(hvs_guest_channel_events(m.ch), 1);
	for (unsigned i = 0; i < 40; i++)
		cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 1);
	cr_assert_eq(hvs_guest_stor_reap(m.ch, &xid, &r), 0);
	machine_down(&m);
	testdisk_free(d);
}

/* ---- ends ------------------------------------------------------------------------------------- */

static void post_close(struct machine *m)
{
	struct hvsi_msg_relid close = {.h = hvsi_msg_header(HVSI_MSG_CLOSECHANNEL),
				       .relid = hvsi_le32(m->ch->relid)};
	struct hvsi_msg_gpadl_teardown teardown = {.h = hvsi_msg_header(HVSI_MSG_GPADL_TEARDOWN),
						   .relid = hvsi_le32(m->ch->relid),
						   .gpadl_id = hvsi_le32(m->ch->gpadl)};

	cr_assert_eq(hvs_guest_post(m->guest, 1, &close, sizeof(close)), 0);
	cr_assert_eq(hvs_guest_post(m->guest, 1, &teardown, sizeof(teardown)), 0);
	hvs_loopback_run(m->lb);
}

static bool slot_empty(struct machine *m)
{
	uint32_t type;

	memcpy(&type, m->guest->simp + 2 * 256, sizeof(type));
	return type == 0;
}

Test(io, close_waits_for_requests_in_flight)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	uint8_t msg[240];
	size_t len;
	uint8_t *rings = hvs_guest_channel_rings(m.ch, &len);

	d->hold = true;
	for (unsigned i = 0; i < 10; i++)
		submit(&m, i, i);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	post_close(&m);
	cr_assert(slot_empty(&m), "the ring is still in use");
	memset(rings + 4096, 0x5a, len / 2 - 4096);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert(slot_empty(&m));
		testdisk_finish(d, d->held_count / 2, HVS_BLK_OK);
		hvs_loopback_run(m.lb);
	}
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_GPADL_TORNDOWN, msg), 12);
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
	d->hold = false;
	machine_open(&m);
	cr_assert_eq(scsi_rw(&m, OP_READ10, 0, 1, gpa).srb_status, SRB_SUCCESS);
	machine_down(&m);
	testdisk_free(d);
}

static void reset_done(void *arg, int status)
{
	cr_assert_eq(status, 0);
	*(bool *)arg = true;
}

Test(io, reset_waits_for_requests_in_flight)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	bool done = false;

	d->hold = true;
	for (unsigned i = 0; i < 3; i++)
		submit(&m, i, i);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	cr_assert_eq(hvs_vmbus_reset(hvs_loopback_bus(m.lb), reset_done, &done), 0);
	for (unsigned i = 0; i < 3; i++) {
		hvs_loopback_run(m.lb);
		cr_assert_not(done);
		testdisk_finish(d, 0, i == 1 ? HVS_BLK_IO_ERROR : HVS_BLK_OK);
	}
	hvs_loopback_run(m.lb);
	cr_assert(done);
	d->hold = false;
	machine_connect(&m);
	machine_open(&m);
	cr_assert_eq(scsi_rw(&m, OP_READ10, 0, 1, gpa).srb_status, SRB_SUCCESS);
	machine_down(&m);
	testdisk_free(d);
}

Test(io, a_close_finds_a_fua_write_between_its_two_steps)
{
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_WRITE_BACK);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi c = rw(true, 10, 9, 2, 1024);
	uint8_t msg[240];

	c.cdb[1] = 0x08;
	d->hold = true;
	cr_assert_eq(hvs_guest_stor_submit(m.ch, 1, &c), 0);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	post_close(&m);
	testdisk_finish(d, 0, HVS_BLK_OK);
	hvs_loopback_run(m.lb);
	cr_assert_eq(d->held_count, 0, "nothing new is begun");
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_GPADL_TORNDOWN, msg), 12);
	machine_down(&m);
	testdisk_free(d);
}

Test(io, a_corrupt_ring_faults_the_channel_and_a_new_one_works)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	struct hvs_guest_packet pkt;
	uint8_t msg[240];
	size_t len;
	uint32_t *rings = hvs_guest_channel_rings(m.ch, &len);

	d->hold = true;
	submit(&m, 1, 1);
	hvs_guest_flush(m.ch);
	hvs_loopback_run(m.lb);
	rings[0] = 0xfffffff8;
	cr_assert_eq(hvs_vmbus_signal_event(hvs_loopback_bus(m.lb), m.ch->connection_id, 0), 0);
	hvs_loopback_run(m.lb);
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 1);
	cr_assert_eq(hvs_loopback_count(m.lb)->last_fault, HVS_FAULT_RING_INDEX);
	testdisk_finish(d, 0, HVS_BLK_OK);
	hvs_loopback_run(m.lb);
	cr_assert_eq(hvs_guest_recv(m.ch, &pkt), 0, "nothing is written any more");
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 1);
	post_close(&m);
	cr_assert_eq(hvs_guest_wait_message(m.guest, HVSI_MSG_GPADL_TORNDOWN, msg), 12);
	d->hold = false;
	machine_open(&m);
	cr_assert_eq(scsi_rw(&m, OP_READ10, 0, 1, gpa).srb_status, SRB_SUCCESS);
	machine_down(&m);
	testdisk_free(d);
}

/* ---- memory that changes under us ------------------------------------------------------------- */

static void scribble(struct testdisk *d, struct hvs_blk_req *req)
{
	struct machine *m = d->arg;
	size_t len;
	uint8_t *rings = hvs_guest_channel_rings(m->ch, &len);

	(void)req;
	/* Everything the guest has sent; its indexes are needed to go on. */
	memset(rings + 4096, 0xff, len / 2 - 4096);
}

Test(io, a_request_is_read_once)
{
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_WRITE_BACK);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi c = rw(true, 10, 77, 2, 1024);
	struct hvs_guest_scsi_result r;

	d->arg = &m;
	d->on_submit = scribble;
	c.cdb[1] = 0x08;
	for (int i = 0; i < 20; i++) {
		memset(buf, i, 1024);
		r = scsi(&m, &c);
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(r.transferred, 1024);
		cr_assert_eq(d->log[2 * i].offset, 77 * 512);
		cr_assert_eq(d->log[2 * i].len, 1024);
		cr_assert_eq(d->log[2 * i + 1].op, HVS_BLK_FLUSH);
		cr_assert_eq(d->data[77 * 512 + 1023], i);
	}
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
	machine_down(&m);
	testdisk_free(d);
}

/* ---- two controllers -------------------------------------------------------------------------- */

Test(io, two_controllers_do_not_know_each_other)
{
	struct testdisk *d[2] = {testdisk_new(0, 0), testdisk_new(0, 0)};
	struct machine m[2] = {{0}, {0}};

	cr_assert_eq(hvs_loopback_create(NULL, &m[0].lb), 0);
	m[1].lb = m[0].lb;
	for (uint8_t i = 0; i < 2; i++) {
		struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{i}}};
		struct hvs_disk_config disk = {HVS_DISK_CONFIG_INIT};

		cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(m[0].lb), &cfg, &m[i].ctl), 0);
		cr_assert_eq(hvs_storvsp_attach(m[i].ctl, &disk, &testdisk_ops, d[i], NULL), 0);
	}
	cr_assert_eq(hvs_loopback_start(m[0].lb, &m[0].guest), 0);
	m[1].guest = m[0].guest;
	cr_assert_eq(hvs_guest_connect(m[0].guest, 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(m[0].guest), 2);
	buf = hvs_loopback_alloc_pages(m[0].lb, 40, &gpa);
	for (uint8_t i = 0; i < 2; i++) {
		cr_assert_eq(hvs_guest_channel_open(m[0].guest, hvs_guest_offer_at(m[0].guest, i),
						    65536, &m[i].ch),
			     0);
		cr_assert_eq(hvs_guest_stor_init(m[i].ch, 0x501, &m[i].max_transfer), 0);
	}
	memset(buf, 0x11, 512);
	cr_assert_eq(scsi_rw(&m[0], OP_WRITE10, 5, 1, gpa).srb_status, SRB_SUCCESS);
	memset(buf, 0x22, 512);
	cr_assert_eq(scsi_rw(&m[1], OP_WRITE10, 5, 1, gpa).srb_status, SRB_SUCCESS);
	cr_assert_eq(d[0]->data[5 * 512], 0x11);
	cr_assert_eq(d[1]->data[5 * 512], 0x22);
	/* One waits for its disk, the other does not wait for it. */
	d[0]->hold = true;
	submit(&m[0], 1, 1);
	hvs_guest_flush(m[0].ch);
	hvs_loopback_run(m[0].lb);
	cr_assert_eq(scsi_rw(&m[1], OP_READ10, 5, 1, gpa).srb_status, SRB_SUCCESS);
	cr_assert_eq(hvs_guest_channel_close(m[1].ch), 0);
	testdisk_finish_all(d[0]);
	machine_down(&m[0]);
	testdisk_free(d[0]);
	testdisk_free(d[1]);
}

/* ---- against a model -------------------------------------------------------------------------- */

Test(io, random_commands_leave_what_a_model_disk_has)
{
	static uint8_t model[DISK_BYTES];
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_WRITE_BACK);
	struct machine m = with_disk(d);
	struct rng rng = {20261123};
	unsigned good = 0;

	for (unsigned i = 0; i < 3000; i++) {
		bool write = rng_below(&rng, 2);
		uint8_t form = forms[rng_below(&rng, 4)];
		uint32_t blocks = rng_below(&rng, 64) + 1;
		uint32_t lba = rng_below(&rng, 2048 + 16);
		uint32_t len = blocks * 512 + rng_below(&rng, 3) * 100;
		uint32_t off = rng_below(&rng, 20000);
		bool fits = lba + blocks <= 2048;
		struct hvs_guest_scsi c = rw(write, form, lba, blocks, len);
		struct hvs_guest_scsi_result r;

		c.buffer.gpa = gpa + off;
		if (form != 6 && rng_below(&rng, 4) == 0)
			c.cdb[1] = 0x08;
		if (write)
			for (uint32_t b = 0; b < blocks * 512; b += 64)
				memset(buf + off + b, (int)rng_next(&rng), 64);
		r = scsi(&m, &c);
		if (!fits) {
			expect_check(&r, SRB_INVALID, OUT_OF_RANGE);
			continue;
		}
		good++;
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		cr_assert_eq(r.transferred, blocks * 512);
		if (write)
			memcpy(model + lba * 512, buf + off, blocks * 512);
		else
			cr_assert_arr_eq(buf + off, model + lba * 512, blocks * 512);
	}
	cr_assert_gt(good, 2500);
	cr_assert_arr_eq(d->data, model, DISK_BYTES);
	machine_down(&m);
	testdisk_free(d);
}

/* ---- configuration ---------------------------------------------------------------------------- */

Test(config, controllers)
{
	static const struct {
		uint32_t max_transfer;
		int expected;
	} cases[] = {{0, 0},
		     {4096, 0},
		     {8u << 20, 0},
		     {4095, -22},
		     {1, -22},
		     {(8u << 20) + 4096, -22},
		     {UINT32_MAX, -22},
		     {0xfffff000, -22}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT,
						 .max_transfer_bytes = cases[i].max_transfer};
		struct hvs_storvsp *ctl = NULL;
		struct hvs_loopback *lb;

		cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
		cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), &cfg, &ctl),
			     cases[i].expected, "case %zu", i);
		cr_assert_eq(!ctl, cases[i].expected != 0);
		hvs_loopback_destroy(lb);
	}
}

Test(config, disks)
{
	static const struct {
		uint8_t lun;
		struct hvs_blk_info info;
		int info_result;
		int expected;
	} cases[] = {
		{0, {0, 0, 512, 512, 1, 0, 0}, 0, 0},
		{0, {0, 0, 512, 512, 1, 0, 0}, 0, -17}, /* LUN in use */
		{63, {0, 0, 4096, 4096, 1, 0, 0}, 0, 0},
		{255, {0, 0, 512, 512, 1, 0, 0}, 0, -22},
		{1, {0, 0, 512, 512, 1, 0, 0}, -5, -5}, /* what get_info says */
		{1, {0, 0, 512, 512, 0, 0, 0}, 0, -22}, /* no blocks */
		{1, {0, 0, 1024, 1024, 1, 0, 0}, 0, -22},
		{1, {0, 0, 0, 512, 1, 0, 0}, 0, -22},
		{1, {0, 0, 512, 0, 1, 0, 0}, 0, -22},
		{1, {0, 0, 512, 513, 1, 0, 0}, 0, -22},
		{1, {0, 0, 512, 1536, 1, 0, 0}, 0, -22}, /* no power of two */
		{1, {0, 0, 4096, 512, 1, 0, 0}, 0, -22},
		{1, {0, 0, 512, 512u << 16, 1, 0, 0}, 0, -22},
		{1, {0, 0x80, 512, 512, 1, 0, 0}, 0, -22}, /* unknown flag */
		{1, {0, 0, 512, 512, INT64_MAX / 512 + 1, 0, 0}, 0, -22},
		{1, {0, 0, 512, 512, UINT64_MAX, 0, 0}, 0, -22},
		{1, {0, 7, 512, 512u << 15, INT64_MAX / 512, 0, 0}, 0, 0},
	};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	struct testdisk *d = testdisk_new(8, 0);
	struct hvs_blk_ops ops = testdisk_ops;
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = 9};
	struct hvs_storvsp *ctl;
	struct hvs_loopback *lb;
	struct hvs_guest *g;

	cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hvs_disk_config disk = {HVS_DISK_CONFIG_INIT, .lun = cases[i].lun};

		d->info = cases[i].info;
		d->info_result = cases[i].info_result;
		cr_assert_eq(hvs_storvsp_attach(ctl, &disk, &testdisk_ops, d, NULL),
			     cases[i].expected, "case %zu", i);
	}
	d->info = (struct hvs_blk_info){
		.block_size = 512, .physical_block_size = 512, .num_blocks = 1};
	memset(cfg.serial, 'x', 33); /* no end */
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &testdisk_ops, d, NULL), -22);
	memcpy(cfg.serial, "tab\t", 5);
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &testdisk_ops, d, NULL), -22);
	memcpy(cfg.serial, "\xc3\xa4", 3);
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &testdisk_ops, d, NULL), -22);
	memset(cfg.serial, 0, sizeof(cfg.serial));
	memset(cfg.serial, '~', 32);
	cfg.reserved[6] = 1;
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &testdisk_ops, d, NULL), -22);
	cfg.reserved[6] = 0;
	ops.submit = NULL;
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &ops, d, NULL), -22);
	ops = testdisk_ops;
	ops.get_info = NULL;
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &ops, d, NULL), -22);
	cr_assert_eq(hvs_storvsp_attach(NULL, &cfg, &testdisk_ops, d, NULL), -22);
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &testdisk_ops, d, NULL), 0);
	cr_assert_eq(hvs_loopback_start(lb, &g), 0);
	cfg.lun = 10;
	cr_assert_eq(hvs_storvsp_attach(ctl, &cfg, &testdisk_ops, d, NULL), 0);
	hvs_loopback_destroy(lb);
	testdisk_free(d);
}
