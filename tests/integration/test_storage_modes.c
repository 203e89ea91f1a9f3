/* SPDX-License-Identifier: MIT */
/* Commands about the disk itself: what it can, how it works, starting and stopping it. */
#include "support/cdb.h"

static struct testdisk *d;
static struct machine m;
static struct cdb_memory mem;

static void up(uint32_t flags)
{
	d = testdisk_new(0, flags);
	m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
	mem = cdb_memory(&m, 2);
}

static void down(void)
{
	machine_down(&m);
	testdisk_free(d);
}

/* ---- REPORT SUPPORTED OPERATION CODES --------------------------------------------------------------- */

#define ALL_FLAGS (HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_LBA_STATUS)

struct supported {
	uint8_t opcode;
	uint8_t action; /* NONE: has none */
	uint8_t len;
	uint32_t needs;
	uint8_t usage[16];
};

#define NONE 0xff
#define FF4 0xff, 0xff, 0xff, 0xff
#define FF8 FF4, FF4

/* What the standards define of each CDB, as far as it is looked at. */
static const struct supported supported[] = {
	{0x00, NONE, 6, 0, {0x00, 0, 0, 0, 0, 4}},
	{0x03, NONE, 6, 0, {0x03, 1, 0, 0, 0xff, 4}},
	{0x08, NONE, 6, 0, {0x08, 0x1f, 0xff, 0xff, 0xff, 4}},
	{0x0a, NONE, 6, 0, {0x0a, 0x1f, 0xff, 0xff, 0xff, 4}},
	{0x12, NONE, 6, 0, {0x12, 3, 0xff, 0xff, 0xff, 4}},
	{0x15, NONE, 6, 0, {0x15, 0x11, 0, 0, 0xff, 4}},
	{0x16, NONE, 6, 0, {0x16, 0x1f, 0, 0, 0, 4}},
	{0x17, NONE, 6, 0, {0x17, 0x1f, 0, 0, 0, 4}},
	{0x1a, NONE, 6, 0, {0x1a, 0, 0xff, 0xff, 0xff, 4}},
	{0x1b, NONE, 6, 0, {0x1b, 0, 0, 0, 0xf3, 4}},
	{0x1d, NONE, 6, 0, {0x1d, 0xf4, 0, 0xff, 0xff, 4}},
	{0x1e, NONE, 6, 0, {0x1e, 0, 0, 0, 3, 4}},
	{0x25, NONE, 10, 0, {0x25, 0, FF4, 0, 0, 1, 4}},
	{0x28, NONE, 10, 0, {0x28, 0xf8, FF4, 0, 0xff, 0xff, 4}},
	{0x2a, NONE, 10, 0, {0x2a, 0xf8, FF4, 0, 0xff, 0xff, 4}},
	{0x2e, NONE, 10, 0, {0x2e, 0xf6, FF4, 0, 0xff, 0xff, 4}},
	{0x2f, NONE, 10, 0, {0x2f, 0xf6, FF4, 0, 0xff, 0xff, 4}},
	{0x34, NONE, 10, 0, {0x34, 0, FF4, 0, 0xff, 0xff, 4}},
	{0x35, NONE, 10, 0, {0x35, 0, FF4, 0, 0xff, 0xff, 4}},
	{0x41, NONE, 10, 0, {0x41, 0xf8, FF4, 0, 0xff, 0xff, 4}},
	{0x42, NONE, 10, HVS_BLK_INFO_UNMAP, {0x42, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x55, NONE, 10, 0, {0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x56, NONE, 10, 0, {0x56, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x57, NONE, 10, 0, {0x57, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x5a, NONE, 10, 0, {0x5a, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 4}},
	{0x5e, 0, 10, 0, {0x5e, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x5e, 1, 10, 0, {0x5e, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x5e, 2, 10, 0, {0x5e, 2, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x5e, 3, 10, 0, {0x5e, 3, 0, 0, 0, 0, 0, 0xff, 0xff, 4}},
	{0x5f, 0, 10, 0, {0x5f, 0, 0xff, 0, 0, FF4, 4}},
	{0x5f, 1, 10, 0, {0x5f, 1, 0xff, 0, 0, FF4, 4}},
	{0x5f, 2, 10, 0, {0x5f, 2, 0xff, 0, 0, FF4, 4}},
	{0x5f, 3, 10, 0, {0x5f, 3, 0xff, 0, 0, FF4, 4}},
	{0x5f, 4, 10, 0, {0x5f, 4, 0xff, 0, 0, FF4, 4}},
	{0x5f, 5, 10, 0, {0x5f, 5, 0xff, 0, 0, FF4, 4}},
	{0x5f, 6, 10, 0, {0x5f, 6, 0xff, 0, 0, FF4, 4}},
	{0x5f, 7, 10, 0, {0x5f, 7, 0xff, 0, 0, FF4, 4}},
	{0x88, NONE, 16, 0, {0x88, 0xf8, FF8, FF4, 0, 4}},
	{0x89, NONE, 16, 0, {0x89, 0xf8, FF8, 0, 0, 0, 0xff, 0, 4}},
	{0x8a, NONE, 16, 0, {0x8a, 0xf8, FF8, FF4, 0, 4}},
	{0x8b, NONE, 16, 0, {0x8b, 0xf8, FF8, FF4, 0, 4}},
	{0x8e, NONE, 16, 0, {0x8e, 0xf6, FF8, FF4, 0, 4}},
	{0x8f, NONE, 16, 0, {0x8f, 0xf6, FF8, FF4, 0, 4}},
	{0x90, NONE, 16, 0, {0x90, 0, FF8, FF4, 0, 4}},
	{0x91, NONE, 16, 0, {0x91, 0, FF8, FF4, 0, 4}},
	{0x93, NONE, 16, 0, {0x93, 0xf9, FF8, FF4, 0, 4}},
	{0x9e, 0x10, 16, 0, {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, FF4, 0, 4}},
	{0x9e, 0x12, 16, HVS_BLK_INFO_LBA_STATUS, {0x9e, 0x12, FF8, FF4, 0, 4}},
	{0xa0, NONE, 12, 0, {0xa0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 4}},
	{0xa3, 0x0c, 12, 0, {0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, FF4, 0, 4}},
	{0xa3, 0x0d, 12, 0, {0xa3, 0x0d, 0x80, 0, 0, 0, FF4, 0, 4}},
	{0xa8, NONE, 12, 0, {0xa8, 0xf8, FF8, 0, 4}},
	{0xaa, NONE, 12, 0, {0xaa, 0xf8, FF8, 0, 4}},
	{0xae, NONE, 12, 0, {0xae, 0xf6, FF8, 0, 4}},
	{0xaf, NONE, 12, 0, {0xaf, 0xf6, FF8, 0, 4}},
};
#define SUPPORTED (sizeof(supported) / sizeof(supported[0]))

static struct hvs_guest_scsi_result report(uint8_t options, uint8_t opcode, uint16_t action,
					   uint32_t len, uint32_t sense, uint32_t transferred)
{
	const struct cdb_case c = {"report supported operation codes",
				   {0xa3, 0x0c, options, opcode, (uint8_t)(action >> 8),
				    (uint8_t)action, 0, 0, (uint8_t)(len >> 8), (uint8_t)len},
				   CDB_IN(len),
				   CDB_FAILS(sense),
				   CDB_GOOD(transferred)};

	memset(mem.p, 0xee, 4096);
	return cdb_expect(&m, &mem, &c);
}

/* How often an entry is in a list; their order says nothing. */
static unsigned times(const uint8_t *list, uint32_t len, const uint8_t *entry, uint32_t each)
{
	unsigned n = 0;

	for (uint32_t at = 0; at < len; at += each)
		n += memcmp(list + at, entry, each) == 0;
	return n;
}

Test(report_opcodes, all_of_them)
{
	static const uint32_t flags[] = {0, ALL_FLAGS};

	for (unsigned f = 0; f < 2; f++) {
		up(flags[f]);
		for (unsigned timeouts = 0; timeouts < 2; timeouts++) {
			uint32_t each = timeouts ? 20 : 8;
			uint32_t len = 4;

			for (size_t i = 0; i < SUPPORTED; i++)
				if ((supported[i].needs & flags[f]) == supported[i].needs)
					len += each;
			(void)report(timeouts ? 0x80 : 0, 0, 0, 4096, 0, len);
			cr_assert_arr_eq(
				mem.p,
				((uint8_t[4]){0, 0, (uint8_t)((len - 4) >> 8), (uint8_t)(len - 4)}),
				4);
			for (size_t i = 0; i < SUPPORTED; i++) {
				const struct supported *s = &supported[i];
				uint8_t want[20] = {
					s->opcode, [3] = s->action == NONE ? 0 : s->action,
					[5] = (uint8_t)((s->action != NONE) | (timeouts ? 2 : 0)),
					[7] = s->len, [9] = 0x0a};

				if ((s->needs & flags[f]) != s->needs)
					continue;
				cr_assert_eq(times(mem.p + 4, len - 4, want, each), 1, "%02x",
					     s->opcode);
			}
			(void)report(0, 0, 0, 4, 0, 4);
			(void)report(0, 0, 0, 0, 0, 0);
		}
		down();
	}
}

Test(report_opcodes, one_and_what_its_cdb_has)
{
	struct hvs_guest_scsi_result r;

	up(ALL_FLAGS);
	for (size_t i = 0; i < SUPPORTED; i++) {
		const struct supported *s = &supported[i];

		for (uint8_t options = 1; options < 4; options++) {
			uint8_t action = s->action == NONE ? 0 : s->action;
			bool refused = options == (s->action == NONE ? 2 : 1);

			(void)report(options, s->opcode, action, 255, refused ? SENSE_FIELD : 0,
				     refused ? 0 : 4u + s->len);
			if (refused)
				continue;
			cr_assert_arr_eq(mem.p, ((uint8_t[4]){0, 3, 0, s->len}), 4);
			cr_assert_arr_eq(mem.p + 4, s->usage, s->len, "%02x/%02x", s->opcode,
					 s->action);
			(void)report(0x80 | options, s->opcode, action, 255, 0, 16u + s->len);
			cr_assert_arr_eq(mem.p, ((uint8_t[4]){0, 0x83, 0, s->len}), 4);
			cr_assert_arr_eq(mem.p + 4 + s->len, ((uint8_t[12]){0, 10}), 12);
		}
	}
	r = report(4, 0, 0, 255, SENSE_FIELD, 0);
	/* Byte 2 of the CDB is wrong, not the command. */
	cr_assert_arr_eq(r.sense + 15, ((uint8_t[3]){0xc0, 0, 2}), 3);
	(void)report(7, 0, 0, 255, SENSE_FIELD, 0);
	down();
}

Test(report_opcodes, one_that_there_is_not)
{
	static const struct {
		uint8_t options;
		uint8_t opcode;
		uint16_t action;
	} cases[] = {{1, 0x04, 0}, {2, 0x04, 0}, {3, 0x04, 0},    {1, 0x42, 0},     {3, 0x42, 0},
		     {2, 0x42, 0}, {1, 0xff, 0}, {2, 0x9e, 0x11}, {3, 0x9e, 0x11},  {2, 0x9e, 0x12},
		     {3, 0x28, 1}, {2, 0xa3, 0}, {3, 0xa3, 0x0a}, {2, 0x9e, 0x110}, {2, 0x7f, 9}};

	up(0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)report(cases[i].options, cases[i].opcode, cases[i].action, 255, 0, 4);
		cr_assert_arr_eq(mem.p, ((uint8_t[4]){0, 1}), 4, "case %zu", i);
		(void)report(0x80 | cases[i].options, cases[i].opcode, cases[i].action, 255, 0, 4);
		cr_assert_arr_eq(mem.p, ((uint8_t[4]){0, 1}), 4, "case %zu", i);
	}
	down();
}

Test(report_opcodes, task_management)
{
	up(0);
	(void)cdb_expect(
		&m, &mem,
		&(struct cdb_case){"short", {0xa3, 0x0d, [9] = 4}, CDB_IN(64), CDB_GOOD(4)});
	cr_assert_arr_eq(mem.p, ((uint8_t[4]){8}), 4);
	(void)cdb_expect(
		&m, &mem,
		&(struct cdb_case){"long", {0xa3, 0x0d, 0x80, [9] = 64}, CDB_IN(64), CDB_GOOD(16)});
	cr_assert_arr_eq(mem.p, ((uint8_t[16]){8, 0, 0, 12}), 16);
	(void)cdb_expect(
		&m, &mem,
		&(struct cdb_case){
			"unknown", {0xa3, 0x0a, [9] = 64}, CDB_IN(64), CDB_FAILS(SENSE_FIELD)});
	down();
}

/* ---- MODE SELECT ------------------------------------------------------------------------------------ */

#define CACHING(wce) 0x08, 0x12, wce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define SHORT_CACHING(wce) 0x08, 0x0a, wce, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define CONTROL(d_sense, swp) 0x0a, 0x0a, d_sense, 0x10, swp, 0, 0, 0, 0xff, 0xff, 0, 0
#define EXCEPTIONS(mrie) 0x1c, 0x0a, 0x08, mrie, 0, 0, 0, 0, 0, 0, 0, 0

Test(mode_select, accepts_what_is_there_and_nothing_else)
{
	static const struct {
		const char *what;
		uint32_t flags;
		uint32_t len; /* of the pages */
		uint8_t pages[64];
		uint32_t sense;
	} cases[] = {
		{"only the header", 0, 0, {0}, 0},
		{"caching, as it is", 0, 20, {CACHING(0)}, 0},
		{"caching, as it is", HVS_BLK_INFO_WRITE_BACK, 20, {CACHING(4)}, 0},
		{"the short form", HVS_BLK_INFO_WRITE_BACK, 12, {SHORT_CACHING(4)}, 0},
		{"write cache off", HVS_BLK_INFO_WRITE_BACK, 20, {CACHING(0)}, SENSE_PARAMETER},
		{"write cache on", 0, 20, {CACHING(4)}, SENSE_PARAMETER},
		{"write cache on", 0, 12, {SHORT_CACHING(4)}, SENSE_PARAMETER},
		{"read cache off", 0, 20, {CACHING(1)}, SENSE_PARAMETER},
		{"control, as it is", 0, 12, {CONTROL(0, 0)}, 0},
		{"read-only", HVS_BLK_INFO_READ_ONLY, 12, {CONTROL(0, 8)}, 0},
		{"made read-only", 0, 12, {CONTROL(0, 8)}, SENSE_PARAMETER},
		{"made writable", HVS_BLK_INFO_READ_ONLY, 12, {CONTROL(0, 0)}, SENSE_PARAMETER},
		{"descriptor sense", 0, 12, {CONTROL(4, 0)}, SENSE_PARAMETER},
		{"exceptions", 0, 12, {EXCEPTIONS(0)}, 0},
		{"exceptions reported", 0, 12, {EXCEPTIONS(6)}, SENSE_PARAMETER},
		{"all", 0, 44, {CACHING(0), CONTROL(0, 0), EXCEPTIONS(0)}, 0},
		{"the last is wrong",
		 0,
		 44,
		 {CACHING(0), CONTROL(0, 0), EXCEPTIONS(1)},
		 SENSE_PARAMETER},
		{"a page there is not", 0, 12, {0x01, 0x0a}, SENSE_PARAMETER},
		{"page 0", 0, 2, {0}, SENSE_PARAMETER},
		{"a wrong length", 0, 12, {0x0a, 0x09}, SENSE_PARAMETER},
		{"a page that is cut off", 0, 11, {CONTROL(0, 0)}, SENSE_LIST_LENGTH},
		{"half a page header", 0, 1, {0x0a}, SENSE_LIST_LENGTH},
		{"a bit behind the page", 0, 13, {CONTROL(0, 0)}, SENSE_LIST_LENGTH},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned ten = 0; ten < 2; ten++) {
			uint32_t len = (ten ? 8 : 4) + cases[i].len;
			struct cdb_case c = {cases[i].what,
					     {ten ? 0x55 : 0x15, 0x10},
					     CDB_OUT(len),
					     CDB_FAILS(cases[i].sense),
					     CDB_GOOD(cases[i].sense ? 0 : len)};

			up(cases[i].flags);
			c.cdb[ten ? 8 : 4] = (uint8_t)len;
			memset(mem.p, 0, 8);
			memcpy(mem.p + (ten ? 8 : 4), cases[i].pages, cases[i].len);
			(void)cdb_expect(&m, &mem, &c);
			down();
		}
	}
}

Test(mode_select, fields_and_lengths)
{
	static const struct cdb_case cases[] = {
		{"no list", {0x15, 0x10}, CDB_NONE, CDB_GOOD(0)},
		{"no list, no page format", {0x15}, CDB_NONE, CDB_GOOD(0)},
		{"no page format", {0x15, 0, 0, 0, 4}, CDB_OUT(4), CDB_FAILS(SENSE_FIELD)},
		{"save pages", {0x15, 0x11, 0, 0, 4}, CDB_OUT(4), CDB_FAILS(SENSE_FIELD)},
		{"save pages, no list", {0x15, 0x11}, CDB_NONE, CDB_FAILS(SENSE_FIELD)},
		{"less than a header",
		 {0x15, 0x10, 0, 0, 3},
		 CDB_OUT(4),
		 CDB_FAILS(SENSE_LIST_LENGTH)},
		{"more than was sent",
		 {0x15, 0x10, 0, 0, 4},
		 CDB_OUT(3),
		 CDB_FAILS(SENSE_LIST_LENGTH)},
		{"no list", {0x55, 0x10}, CDB_NONE, CDB_GOOD(0)},
		{"less than a header",
		 {0x55, 0x10, [8] = 7},
		 CDB_OUT(8),
		 CDB_FAILS(SENSE_LIST_LENGTH)},
		{"only the header", {0x55, 0x10, [8] = 8}, CDB_OUT(100), CDB_GOOD(8)},
		{"too much", {0x55, 0x10, [7] = 1}, CDB_OUT(256), CDB_FAILS(SENSE_LIST_LENGTH)},
	};
	static const struct cdb_case descriptor = {"a block descriptor",
						   {0x15, 0x10, 0, 0, 12},
						   CDB_OUT(12),
						   CDB_FAILS(SENSE_PARAMETER)};
	static const struct cdb_case cut_off = {"a descriptor cut off",
						{0x15, 0x10, 0, 0, 11},
						CDB_OUT(11),
						CDB_FAILS(SENSE_LIST_LENGTH)};

	up(0);
	memset(mem.p, 0, 4096);
	CDB_EXPECT_ALL(&m, &mem, cases);
	mem.p[3] = 8;
	(void)cdb_expect(&m, &mem, &descriptor);
	(void)cdb_expect(&m, &mem, &cut_off);
	down();
}

/* ---- START STOP UNIT and the like ------------------------------------------------------------------- */

Test(start_stop, flushes_when_it_stops_and_never_stops)
{
	static const struct {
		uint8_t cdb1;
		uint8_t cdb4;
		uint32_t sense;
		unsigned flushes;
	} cases[] = {
		{0, 0x01, 0, 0},                                      /* start */
		{1, 0x01, 0, 0},                                      /* IMMED */
		{0, 0x00, 0, 1},                                      /* stop */
		{1, 0x00, 0, 1},           {0, 0x02, SENSE_FIELD, 0}, /* eject */
		{0, 0x03, SENSE_FIELD, 0},                            /* load */
		{0, 0x10, 0, 0}, /* active; START and LOEJ don't count with these */
		{0, 0x13, 0, 0},           {0, 0x20, 0, 0}, /* idle */
		{0, 0x30, 0, 1},                            /* standby */
		{0, 0x31, 0, 1},           {0, 0x70, 0, 0},           {0, 0xa0, 0, 0},
		{0, 0xb0, 0, 1},           {0, 0x40, SENSE_FIELD, 0}, {0, 0x50, SENSE_FIELD, 0},
		{0, 0xf0, SENSE_FIELD, 0},
	};
	static const struct cdb_case ready = {"TEST UNIT READY", {0}, CDB_NONE, CDB_GOOD(0)};

	up(HVS_BLK_INFO_WRITE_BACK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct cdb_case c = {"start stop",
					   {0x1b, cases[i].cdb1, 0, 0, cases[i].cdb4},
					   CDB_NONE,
					   CDB_FAILS(cases[i].sense)};

		d->count = 0;
		(void)cdb_expect(&m, &mem, &c);
		cr_assert_eq(d->count, cases[i].flushes, "case %zu", i);
		(void)cdb_expect(&m, &mem, &ready);
	}
	d->flush_status = HVS_BLK_IO_ERROR;
	(void)cdb_expect(
		&m, &mem,
		&(struct cdb_case){"stop", {0x1b}, CDB_NONE, CDB_FAILS(SENSE_MEDIUM_WRITE)});
	down();
	up(HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_READ_ONLY);
	(void)cdb_expect(&m, &mem, &(struct cdb_case){"stop", {0x1b}, CDB_NONE, CDB_GOOD(0)});
	cr_assert_eq(d->count, 0, "there is nothing to flush");
	down();
}

Test(small_commands, ends)
{
	static const struct cdb_case cases[] = {
		{"self-test", {0x1d, 0x04}, CDB_NONE, CDB_GOOD(0)},
		{"nothing to test", {0x1d}, CDB_NONE, CDB_GOOD(0)},
		{"background self-test", {0x1d, 0x20}, CDB_NONE, CDB_FAILS(SENSE_FIELD)},
		{"diagnostic page", {0x1d, 0x10}, CDB_NONE, CDB_FAILS(SENSE_FIELD)},
		{"parameters", {0x1d, 0, 0, 0, 8}, CDB_OUT(8), CDB_FAILS(SENSE_FIELD)},
		{"prevent", {0x1e, 0, 0, 0, 1}, CDB_NONE, CDB_GOOD(0)},
		{"allow", {0x1e, 0, 0, 0, 0}, CDB_NONE, CDB_GOOD(0)},
		{"format", {0x04}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"read defect data", {0x37}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"read defect data (12)", {0xb7}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"write buffer", {0x3b}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"sanitize", {0x48}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"log sense", {0x4d}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"extended copy", {0x83}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"receive copy results", {0x84}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"ATA pass-through", {0x85}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"ATA pass-through (12)", {0xa1}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
		{"security protocol in", {0xa2}, CDB_NONE, CDB_FAILS(SENSE_OPCODE)},
	};

	up(0);
	CDB_EXPECT_ALL(&m, &mem, cases);
	cr_assert_eq(d->count, 0);
	down();
}

/* ---- SYNCHRONIZE CACHE, PRE-FETCH ------------------------------------------------------------------- */

Test(cache, ranges)
{
	static const uint8_t ops[] = {0x35, 0x91, 0x34, 0x90};
	static const struct {
		uint64_t lba;
		uint32_t blocks;
		uint32_t sense;
	} cases[] = {
		{0, 0, 0}, /* to the end */
		{0, 2048, 0},
		{2047, 1, 0},
		{2048, 0, 0},
		{0, 2049, SENSE_RANGE},
		{2047, 2, SENSE_RANGE},
		{2048, 1, SENSE_RANGE},
		{2049, 0, SENSE_RANGE},
		{0xffffffff, 1, SENSE_RANGE},
		{0xffffffff, 0xffff, SENSE_RANGE},
	};

	up(HVS_BLK_INFO_WRITE_BACK);
	for (size_t op = 0; op < sizeof(ops); op++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			for (uint8_t immed = 0; immed < 4; immed += 2) {
				struct cdb_case c =
					cdb_blocks(ops[op], immed, cases[i].lba, cases[i].blocks);
				bool flushes = op < 2 && !cases[i].sense;

				c.sense = cases[i].sense;
				d->count = 0;
				(void)cdb_expect(&m, &mem, &c);
				cr_assert_eq(d->count, flushes ? 1 : 0, "case %zu", i);
			}
		}
	}
	(void)cdb_expect(&m, &mem,
			 &(struct cdb_case){
				 "64 bits", {0x91, [2] = 0x80}, CDB_NONE, CDB_FAILS(SENSE_RANGE)});
	d->flush_status = HVS_BLK_IO_ERROR;
	(void)cdb_expect(
		&m, &mem,
		&(struct cdb_case){"flush", {0x35}, CDB_NONE, CDB_FAILS(SENSE_MEDIUM_WRITE)});
	down();
}

/* ---- sense data ------------------------------------------------------------------------------------- */

/* REQUEST SENSE tells a condition and ends it, in either format. */
Test(request_sense, of_a_condition)
{
	up(0);
	for (uint8_t descriptor = 0; descriptor < 2; descriptor++) {
		const struct cdb_case c = {"request sense",
					   {0x03, descriptor, 0, 0, 255},
					   CDB_IN(255),
					   CDB_GOOD(descriptor ? 8 : 18)};
		struct hvs_guest_scsi tur = {.cdb_len = 6, .direction = HVS_GUEST_STOR_NONE};
		struct hvs_guest_packet enumerate_bus;

		machine_down(&m);
		d->info.num_blocks = 2048;
		m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
		mem = cdb_memory(&m, 2);
		d->info.num_blocks = 1024;
		cr_assert_eq(hvs_disk_refresh(m.attached), 0);
		hvs_loopback_run(m.lb);
		cr_assert_eq(hvs_guest_recv(m.ch, &enumerate_bus), 1);
		(void)cdb_expect(&m, &mem, &c);
		cr_assert_eq(mem.p[0], descriptor ? 0x72 : 0x70);
		cr_assert_eq(mem.p[descriptor ? 1 : 2], 6);
		cr_assert_eq(mem.p[descriptor ? 2 : 12], 0x2a);
		cr_assert_eq(mem.p[descriptor ? 3 : 13], 0x09);
		cr_assert_eq(scsi(&m, &tur).scsi_status, 0);
	}
	down();
}

/* The LBA is in the INFORMATION field if it is known, and fits. */
Test(medium_errors, name_the_block)
{
	static const struct {
		uint8_t op;
		uint64_t lba;
		uint32_t blocks;
		bool known;
	} cases[] = {
		{0x28, 0, 1, true},
		{0x28, 77, 1, true},
		{0x28, 77, 2, false},
		{0x2a, 0xffffffff, 1, true},
		{0x88, 0xffffffff, 1, true},
		{0x88, 0x100000000, 1, false},
		{0x8a, 0x100000000, 1, false},
	};

	d = testdisk_new(1ull << 33, 0);
	m = machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});
	mem = cdb_memory(&m, 1);
	d->status = HVS_BLK_IO_ERROR;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool write = cases[i].op & 2;
		struct cdb_case c = cdb_blocks(cases[i].op, 0, cases[i].lba, cases[i].blocks);
		struct hvs_guest_scsi_result r;
		uint32_t information;

		c.direction = write ? HVS_GUEST_STOR_OUT : HVS_GUEST_STOR_IN;
		c.len = cases[i].blocks * 512;
		c.sense = write ? SENSE_MEDIUM_WRITE : SENSE_MEDIUM_READ;
		r = cdb_expect(&m, &mem, &c);
		cr_assert_eq(cdb_information(&r, &information), cases[i].known, "case %zu", i);
		cr_assert_eq(information, cases[i].known ? cases[i].lba : 0, "case %zu", i);
	}
	down();
}
