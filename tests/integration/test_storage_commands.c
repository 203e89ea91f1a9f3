/* SPDX-License-Identifier: MIT */
/* SCSI commands, byte by byte: protocol/storage.md 3 and 6. */
#include "support/disk.h"
#include "support/vstor.h"

#define INVALID_FIELD 0x052400u
#define INVALID_OPCODE 0x052000u
#define OUT_OF_RANGE 0x052100u

static uint8_t *buf; /* guest page the data go to, filled with 0xee before */
static uint64_t gpa;

static void prepare(struct machine *m)
{
	buf = hvs_loopback_alloc_pages(m->lb, 1, &gpa);
	cr_assert_not_null(buf);
}

/* A command that wants up to `len` bytes. */
static struct hvs_guest_scsi_result in(struct machine *m, uint8_t lun, const uint8_t *cdb,
				       uint8_t cdb_len, uint32_t len)
{
	struct hvs_guest_scsi cmd = {.lun = lun,
				     .cdb_len = cdb_len,
				     .direction = len ? HVS_GUEST_STOR_IN : HVS_GUEST_STOR_NONE,
				     .buffer = {.gpa = gpa, .len = len}};
	struct hvs_guest_scsi_result r;

	memcpy(cmd.cdb, cdb, cdb_len < 16 ? cdb_len : 16);
	memset(buf, 0xee, 4096);
	r = scsi(m, &cmd);
	cr_assert_leq(r.transferred, len);
	for (uint32_t i = r.transferred; i < 4096; i++)
		cr_assert_eq(buf[i], 0xee, "byte %u was written", i);
	return r;
}
#define IN(m, lun, len, ...)                                                                       \
	in(m, lun, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), len)

static void expect_good(const struct hvs_guest_scsi_result *r, uint32_t transferred)
{
	cr_assert_eq(r->srb_status, 0x01, "SRB %#x", r->srb_status);
	cr_assert_eq(r->scsi_status, 0);
	cr_assert_eq(r->sense_len, 0);
	cr_assert_eq(r->transferred, transferred, "%u bytes", r->transferred);
}

static void expect_check(const struct hvs_guest_scsi_result *r, uint8_t srb, uint32_t sense)
{
	cr_assert_eq(r->srb_status, srb, "SRB %#x", r->srb_status);
	cr_assert_eq(r->scsi_status, 2);
	cr_assert_eq(r->sense_len, 18);
	cr_assert_eq(r->sense[0], 0x70);
	cr_assert_eq(r->sense[7], 10);
	cr_assert_eq(sense_of(r), sense, "sense %#x", sense_of(r));
	cr_assert_eq(r->transferred, 0, "nothing is moved by a failure");
}

static struct machine with_disk(struct testdisk *d)
{
	struct machine m =
		machine_up(&(struct machine_options){.blk_ops = &testdisk_ops, .blk_priv = d});

	prepare(&m);
	return m;
}

/* ---- completions, all 64 bytes ---------------------------------------------------------------- */

/*
 * 3.11. The sense length is what 3.6 rule 1 advises: 18 with sense data, and 0 without, where the
 * vectors, taken from another host, have 20.
 */
Test(commands, golden_completions)
{
	static const uint8_t read4k[10] = {0x28, [8] = 8};
	static const uint8_t vendor[6] = {0x12, 0x02, 0, 0, 36}; /* CMDDT: an invalid field */
	static const uint8_t good[64] = {1, [12] = 0x34, [14] = 0x01, [20] = 0x10, [25] = 0x10};
	static const uint8_t check[64] = {1,    [8] = 0x85,  0x01,        0x00,        0xc0,
					  0x34, 0x00,        0x86,        0x02,        [20] = 0x10,
					  0x12, [28] = 0x70, [30] = 0x05, [35] = 0x0a, [40] = 0x24};
	static const uint8_t absent[64] = {1,    [8] = 0xc0, 0x00, 0x00,       0xc0,
					   0x34, 0x00,       0x20, [20] = 0x10};
	struct machine m = machine_up(NULL);
	struct hvs_guest_buffer b = {.len = 4096};
	struct hvsi_vstor_packet p;
	struct vstor_reply r;

	prepare(&m);
	b.gpa = gpa;
	p = vstor_srb(read4k, 10, HVSI_DATA_IN, 4096);
	r = vstor(&m, &p, sizeof(p), &b);
	cr_assert_arr_eq(r.bytes, good, 64);
	p = vstor_srb(vendor, 6, HVSI_DATA_IN, 36);
	r = vstor(&m, &p, sizeof(p), &b);
	cr_assert_arr_eq(r.bytes, check, 64);
	p = vstor_srb(read4k, 10, HVSI_DATA_IN, 4096);
	p.u.srb.lun = 7;
	r = vstor(&m, &p, sizeof(p), &b);
	cr_assert_arr_eq(r.bytes, absent, 64);
	machine_down(&m);
}

/* Below version 5.1 packets are 48 bytes, and everything is in them. */
Test(commands, a_48_byte_completion_has_its_sense_data)
{
	static const uint8_t vendor[6] = {0x12, 0x02, 0, 0, 36};
	struct machine m = machine_up(NULL);
	struct hvs_guest_buffer b = {.len = 4096};
	struct hvsi_vstor_packet p = vstor_srb(vendor, 6, HVSI_DATA_IN, 36);
	struct vstor_reply r;

	prepare(&m);
	b.gpa = gpa;
	r = vstor(&m, &p, 48, &b);
	cr_assert_eq(r.len, 48);
	cr_assert_eq(r.bytes[14], 0x86);
	cr_assert_eq(r.bytes[21], 18);
	cr_assert_eq(r.bytes[28], 0x70);
	cr_assert_eq(r.bytes[40], 0x24);
	machine_down(&m);
}

/* ---- INQUIRY ---------------------------------------------------------------------------------- */

static const uint8_t standard_inquiry[104] = "\0\0\x05\x02\x63\0\0\x02"
					     "Msft    Virtual Disk    1.0 "
					     "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
					     "\0\x60\3\0\4\xc0"; /* SAM-3, SPC-3, SBC-3 */

Test(inquiry, standard_data)
{
	static const struct {
		uint16_t alloc;
		uint32_t buffer;
		uint32_t expected;
	} lens[] = {{104, 104, 104}, {36, 36, 36}, {255, 255, 104}, {0x1000, 4096, 104},
		    {5, 5, 5},       {0, 36, 0},   {104, 36, 36},   {36, 104, 36},
		    {1, 1, 1},       {104, 0, 0}};
	struct machine m = machine_up(NULL);

	prepare(&m);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct hvs_guest_scsi_result r =
			IN(&m, 0, lens[i].buffer, 0x12, 0, 0, (uint8_t)(lens[i].alloc >> 8),
			   (uint8_t)lens[i].alloc, 0);

		expect_good(&r, lens[i].expected);
		cr_assert_eq(memcmp(buf, standard_inquiry, lens[i].expected), 0, "case %zu", i);
	}
	machine_down(&m);
}

Test(inquiry, vital_product_data)
{
	static const uint8_t p00[] = {0,    0x00, 0,    8,    0x00, 0x80,
				      0x83, 0xb0, 0xb1, 0xb2, 0xce, 0xcf};
	static const uint8_t p80[] = {0, 0x80, 0, 8, 'H', 'V', 'S', '-', 'T', 'E', 'S', 'T'};
	static const uint8_t p83[] = {0,    0x83, 0,   48,   0x01, 0x01, 0,    24, 'M', 's', 'f',
				      't',  ' ',  ' ', ' ',  ' ',  5,    6,    7,  8,   0,   0,
				      0,    0,    0,   0,    0,    0,    0,    0,  0,   0,   0x01,
				      0x03, 0,    16,  0x60, 0x02, 0x24, 0x80, 5,  6,   7,   8,
				      0,    0,    0,   0,    0,    0,    0,    0};
	/* In blocks: COMPARE AND WRITE 255, granularity 1, transfer 2,048, UNMAP 1 Mi in 256
	 * pieces, granularity 1, WRITE SAME 16,384. */
	static const uint8_t pb0[64] = {
		0, 0xb0,     0,           0x3c,     1,        255,         0,
		1, [10] = 8, [21] = 0x10, [26] = 1, [31] = 1, [32] = 0x80, [42] = 0x40};
	static const uint8_t pb1[64] = {0, 0xb1, 0, 0x3c, 0, 1, [8] = 1};
	static const uint8_t pb2[8] = {0, 0xb2, 0, 4, 0, 0xe4, 2, 0};
	static const uint8_t pce[8] = {0, 0xce, 0, 4, 1, 1, 0, 0};
	static const uint8_t pcf[24] = {0,    0xcf, 0,    20,   1,    1,    0,    0,
					0x15, 0x8f, 0xa9, 0x89, 0x28, 0xc9, 0x8b, 0x4d,
					0x94, 0xcd, 0xef, 0x51, 0xfa, 0xa9, 0x9d, 0x33};
	static const struct {
		uint8_t page;
		const uint8_t *data;
		uint32_t len;
	} pages[] = {{0x00, p00, sizeof(p00)}, {0x80, p80, sizeof(p80)}, {0x83, p83, sizeof(p83)},
		     {0xb0, pb0, sizeof(pb0)}, {0xb1, pb1, sizeof(pb1)}, {0xb2, pb2, sizeof(pb2)},
		     {0xce, pce, sizeof(pce)}, {0xcf, pcf, sizeof(pcf)}};
	struct machine m = machine_up(NULL);

	prepare(&m);
	for (unsigned page = 0; page < 256; page++) {
		struct hvs_guest_scsi_result r = IN(&m, 0, 255, 0x12, 1, (uint8_t)page, 0, 255, 0);
		bool known = false;

		for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
			if (pages[i].page != page)
				continue;
			known = true;
			expect_good(&r, pages[i].len);
			cr_assert_eq(memcmp(buf, pages[i].data, pages[i].len), 0, "page %#x", page);
			r = IN(&m, 0, 255, 0x12, 1, (uint8_t)page, 0, 4, 0); /* Linux: size first */
			expect_good(&r, 4);
			cr_assert_eq(memcmp(buf, pages[i].data, 4), 0);
		}
		if (!known)
			expect_check(&r, 0x86, INVALID_FIELD);
	}
	machine_down(&m);
}

Test(inquiry, page_83_names_the_disk_by_both_ends_of_its_id)
{
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = 5};
	struct testdisk *d = testdisk_new(8, 0);
	struct hvs_loopback *lb;
	struct machine m = {0};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	struct hvs_guest_scsi_result r;

	for (uint8_t i = 0; i < 16; i++)
		cfg.disk_id.b[i] = (uint8_t)(0xa0 + i);
	cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &m.ctl), 0);
	cr_assert_eq(hvs_storvsp_attach(m.ctl, &cfg, &testdisk_ops, d, NULL), 0);
	cr_assert_eq(hvs_loopback_start(lb, &m.guest), 0);
	m.lb = lb;
	machine_connect(&m);
	machine_open(&m);
	prepare(&m);
	r = IN(&m, 5, 255, 0x12, 1, 0x83, 0, 255, 0);
	expect_good(&r, 52);
	cr_assert_arr_eq(buf + 16, cfg.disk_id.b, 16);
	cr_assert_arr_eq(buf + 40, cfg.disk_id.b, 6);
	cr_assert_arr_eq(buf + 46, cfg.disk_id.b + 10, 6);
	/* No serial number: no page 80h, not even in the list. */
	r = IN(&m, 5, 255, 0x12, 1, 0x80, 0, 255, 0);
	expect_check(&r, 0x86, INVALID_FIELD);
	r = IN(&m, 5, 255, 0x12, 1, 0, 0, 255, 0);
	expect_good(&r, 10);
	cr_assert_arr_eq(buf, ((uint8_t[]){0, 0, 0, 6, 0, 0x83, 0xb0, 0xb1, 0xce, 0xcf}), 10);
	machine_down(&m);
	testdisk_free(d);
}

Test(inquiry, fields_that_contradict_are_refused)
{
	struct machine m = machine_up(NULL);
	struct hvs_guest_scsi_result r;

	prepare(&m);
	r = IN(&m, 0, 36, 0x12, 0, 0x80, 0, 36, 0); /* a page without EVPD */
	expect_check(&r, 0x86, INVALID_FIELD);
	r = IN(&m, 0, 36, 0x12, 2, 0, 0, 36, 0); /* CMDDT */
	expect_check(&r, 0x86, INVALID_FIELD);
	machine_down(&m);
}

/* ---- what is not there ------------------------------------------------------------------------ */

Test(absent, inquiry_succeeds_and_says_nothing_is_there)
{
	uint8_t want[104];
	struct machine m = machine_up(NULL);
	struct hvs_guest_scsi_result r;

	prepare(&m);
	memcpy(want, standard_inquiry, 104);
	want[0] = 0x7f;
	memset(want + 8, 0, 96); /* nameless where it is not LUN 0, and of no standard */
	for (unsigned lun = 1; lun < 256; lun++) {
		r = IN(&m, (uint8_t)lun, 104, 0x12, 0, 0, 0, 104, 0);
		expect_good(&r, 104);
		cr_assert_arr_eq(buf, want, 104, "LUN %u", lun);
	}
	r = IN(&m, 3, 36, 0x12, 0, 0, 0, 255, 0);
	expect_good(&r, 36);
	r = IN(&m, 3, 36, 0x12, 1, 0, 0, 36, 0);
	expect_check(&r, 0x86, INVALID_FIELD);
	r = IN(&m, 3, 36, 0x12, 0, 0x80, 0, 36, 0);
	expect_check(&r, 0x86, INVALID_FIELD);
	machine_down(&m);
}

/* LUN 0 of another target: drivers read its name. */
Test(absent, lun_0_has_a_name_and_other_targets_and_paths_are_empty)
{
	static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 104};
	static const uint8_t tur[6] = {0};
	struct machine m = machine_up(NULL);
	struct hvs_guest_buffer b = {.len = 104};

	prepare(&m);
	b.gpa = gpa;
	for (int i = 0; i < 4; i++) {
		struct hvsi_vstor_packet p = vstor_srb(inquiry, 6, HVSI_DATA_IN, 104);
		struct vstor_reply r;

		p.u.srb.target = (uint8_t)(i & 1 ? 1 : 0);
		p.u.srb.path = (uint8_t)(i & 2 ? 7 : 0);
		p.u.srb.port = 9; /* never looked at */
		r = vstor(&m, &p, sizeof(p), &b);
		cr_assert_eq(r.bytes[14], 0x01);
		cr_assert_eq(buf[0], i ? 0x7f : 0x00);
		cr_assert_arr_eq(buf + 8, standard_inquiry + 8, 28);
		p = vstor_srb(tur, 6, HVSI_DATA_NONE, 0);
		p.u.srb.target = (uint8_t)(i & 1 ? 1 : 0);
		p.u.srb.path = (uint8_t)(i & 2 ? 7 : 0);
		r = vstor(&m, &p, sizeof(p), NULL);
		cr_assert_eq(r.bytes[14], i ? 0x20 : 0x01);
	}
	machine_down(&m);
}

Test(absent, every_other_command_finds_no_lun)
{
	struct machine m = machine_up(NULL);

	prepare(&m);
	for (unsigned op = 0; op < 256; op++) {
		uint8_t cdb[16] = {(uint8_t)op};
		struct hvs_guest_scsi_result r;

		if (op == 0x12 || op == 0xa0)
			continue;
		r = in(&m, 1, cdb, 16, 512);
		cr_assert_eq(r.srb_status, 0x20, "command %#x", op);
		cr_assert_eq(r.scsi_status, 0);
		cr_assert_eq(r.sense_len, 0);
		cr_assert_eq(r.transferred, 0);
	}
	machine_down(&m);
}

/* ---- REPORT LUNS ------------------------------------------------------------------------------ */

Test(report_luns, lists_what_is_there_whomever_it_asks)
{
	static const uint8_t luns[] = {0, 2, 63};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	uint8_t want[32] = {0, 0, 0, 24, [17] = 2, [25] = 63};
	struct testdisk *d[3];
	struct machine m = {0};
	struct hvs_guest_scsi_result r;

	cr_assert_eq(hvs_loopback_create(NULL, &m.lb), 0);
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(m.lb), &ctl_cfg, &m.ctl), 0);
	for (unsigned i = 3; i-- > 0;) { /* in whatever order they were attached */
		struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = luns[i]};

		d[i] = testdisk_new(8, 0);
		cr_assert_eq(hvs_storvsp_attach(m.ctl, &cfg, &testdisk_ops, d[i], NULL), 0);
	}
	cr_assert_eq(hvs_loopback_start(m.lb, &m.guest), 0);
	machine_connect(&m);
	machine_open(&m);
	prepare(&m);
	for (unsigned lun = 0; lun < 4; lun++) {
		r = IN(&m, (uint8_t)lun, 255, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0);
		expect_good(&r, 32);
		cr_assert_arr_eq(buf, want, 32);
	}
	r = IN(&m, 0, 2048, 0xa0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* firmware: length 0 */
	expect_good(&r, 32);
	r = IN(&m, 0, 20, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0);
	expect_good(&r, 20);
	cr_assert_arr_eq(buf, want, 20, "the length is that of the whole list");
	r = IN(&m, 0, 255, 0xa0, 0, 1, 0, 0, 0, 0, 0, 0, 255, 0, 0); /* well-known ones only */
	expect_good(&r, 8);
	cr_assert_arr_eq(buf, ((uint8_t[8]){0}), 8);
	/* Another target has none. */
	{
		static const uint8_t cdb[12] = {0xa0, [9] = 255};
		struct hvs_guest_buffer b = {.gpa = gpa, .len = 255};
		struct hvsi_vstor_packet p = vstor_srb(cdb, 12, HVSI_DATA_IN, 255);
		struct vstor_reply v;

		p.u.srb.target = 1;
		v = vstor(&m, &p, sizeof(p), &b);
		cr_assert_eq(v.bytes[14], 1);
		cr_assert_eq(v.bytes[24], 8);
		cr_assert_arr_eq(buf, ((uint8_t[8]){0}), 8);
	}
	machine_down(&m);
	for (unsigned i = 0; i < 3; i++)
		testdisk_free(d[i]);
}

/* ---- MODE SENSE ------------------------------------------------------------------------------- */

#define CACHING(wce) 0x08, 0x12, wce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define CONTROL(swp) 0x0a, 0x0a, 0, 0x10, swp, 0, 0, 0, 0xff, 0xff, 0, 0
#define EXCEPTIONS 0x1c, 0x0a, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define UNCHANGEABLE(page) page, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define UNCHANGEABLE_CACHING CACHING(0)

Test(mode_sense, pages)
{
	static const struct {
		uint32_t flags;
		uint8_t cdb2;
		uint8_t device;
		uint8_t len;
		uint8_t pages[44];
	} cases[] = {
		{0, 0x08, 0x10, 20, {CACHING(0)}},
		{HVS_BLK_INFO_WRITE_BACK, 0x08, 0x10, 20, {CACHING(4)}},
		{HVS_BLK_INFO_WRITE_BACK, 0x88, 0x10, 20, {CACHING(4)}}, /* default values */
		{HVS_BLK_INFO_WRITE_BACK, 0x48, 0x10, 20, {UNCHANGEABLE_CACHING}},
		{0, 0x0a, 0x10, 12, {CONTROL(0)}},
		{HVS_BLK_INFO_READ_ONLY, 0x0a, 0x90, 12, {CONTROL(8)}},
		{0, 0x4a, 0x10, 12, {UNCHANGEABLE(0x0a)}},
		{0, 0x1c, 0x10, 12, {EXCEPTIONS}},
		{HVS_BLK_INFO_READ_ONLY, 0x3f, 0x90, 44, {CACHING(0), CONTROL(8), EXCEPTIONS}},
		{HVS_BLK_INFO_WRITE_BACK, 0x3f, 0x10, 44, {CACHING(4), CONTROL(0), EXCEPTIONS}},
		{0, 0x7f, 0x10, 44, {UNCHANGEABLE_CACHING, UNCHANGEABLE(0x0a), UNCHANGEABLE(0x1c)}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct machine m =
			machine_up(&(struct machine_options){.disk_flags = cases[i].flags});
		uint8_t head6[4] = {(uint8_t)(3 + cases[i].len), 0, cases[i].device, 0};
		uint8_t head10[8] = {0, (uint8_t)(6 + cases[i].len), 0, cases[i].device};
		struct hvs_guest_scsi_result r;

		prepare(&m);
		r = IN(&m, 0, 255, 0x1a, 8, cases[i].cdb2, 0, 255, 0);
		expect_good(&r, 4u + cases[i].len);
		cr_assert_arr_eq(buf, head6, 4, "case %zu", i);
		cr_assert_arr_eq(buf + 4, cases[i].pages, cases[i].len, "case %zu", i);
		r = IN(&m, 0, 255, 0x5a, 0, cases[i].cdb2, 0, 0, 0, 0, 0, 255, 0);
		expect_good(&r, 8u + cases[i].len);
		cr_assert_arr_eq(buf, head10, 8, "case %zu", i);
		cr_assert_arr_eq(buf + 8, cases[i].pages, cases[i].len, "case %zu", i);
		r = IN(&m, 0, 255, 0x1a, 0, cases[i].cdb2, 0, 4, 0); /* Linux: header first */
		expect_good(&r, 4);
		cr_assert_arr_eq(buf, head6, 4);
		r = IN(&m, 0, 255, 0x1a, 0, cases[i].cdb2, 0, 0, 0);
		expect_good(&r, 0);
		machine_down(&m);
	}
}

Test(mode_sense, what_there_is_not)
{
	struct machine m = machine_up(NULL);
	struct hvs_guest_scsi_result r;

	prepare(&m);
	for (uint8_t page = 0; page < 0x3f; page++) {
		if (page == 0x08 || page == 0x0a || page == 0x1c)
			continue;
		r = IN(&m, 0, 255, 0x1a, 0, page, 0, 255, 0);
		expect_check(&r, 0x86, INVALID_FIELD);
		r = IN(&m, 0, 255, 0x5a, 0, page, 0, 0, 0, 0, 0, 255, 0);
		expect_check(&r, 0x86, INVALID_FIELD);
	}
	r = IN(&m, 0, 255, 0x1a, 0, 0x0a, 5, 255, 0); /* subpages */
	expect_check(&r, 0x86, INVALID_FIELD);
	r = IN(&m, 0, 255, 0x1a, 0, 0x3f, 0xff, 255, 0);
	expect_check(&r, 0x86, INVALID_FIELD);
	r = IN(&m, 0, 255, 0x1a, 0, 0xc8, 0, 255, 0); /* saved values */
	expect_check(&r, 0x86, 0x053900);
	machine_down(&m);
}

/* ---- READ CAPACITY ---------------------------------------------------------------------------- */

Test(read_capacity, of_disks_of_all_kinds)
{
	static const struct {
		uint64_t blocks;
		uint32_t block;
		uint32_t physical;
		uint8_t ten[8];
		uint8_t sixteen[14];
		uint8_t granularity[2];
		uint8_t max_transfer[4];
	} cases[] = {
		{2048,
		 512,
		 512,
		 {0, 0, 7, 0xff, 0, 0, 2, 0},
		 {0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 2, 0, 0, 0},
		 {0, 1},
		 {0, 0, 8, 0}},
		{2048,
		 512,
		 4096,
		 {0, 0, 7, 0xff, 0, 0, 2, 0},
		 {0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 2, 0, 0, 3},
		 {0, 8},
		 {0, 0, 8, 0}},
		{256,
		 4096,
		 4096,
		 {0, 0, 0, 0xff, 0, 0, 0x10, 0},
		 {0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0x10, 0, 0, 0},
		 {0, 1},
		 {0, 0, 1, 0}},
		{1,
		 512,
		 512,
		 {0, 0, 0, 0, 0, 0, 2, 0},
		 {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0},
		 {0, 1},
		 {0, 0, 8, 0}},
		/* The last one 32 bits can say is taken for "ask with 16 bytes", as it must. */
		{0xffffffff,
		 512,
		 512,
		 {0xff, 0xff, 0xff, 0xfe, 0, 0, 2, 0},
		 {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe, 0, 0, 2, 0, 0, 0},
		 {0, 1},
		 {0, 0, 8, 0}},
		{0x100000000,
		 512,
		 512,
		 {0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0},
		 {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0, 0, 0},
		 {0, 1},
		 {0, 0, 8, 0}},
		{0x100000001,
		 512,
		 4096,
		 {0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0},
		 {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3},
		 {0, 8},
		 {0, 0, 8, 0}},
		{INT64_MAX / 512,
		 512,
		 512 << 15,
		 {0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0},
		 {0, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0, 0, 2, 0, 0, 15},
		 {0x80, 0},
		 {0, 0, 8, 0}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct testdisk *d = testdisk_new(cases[i].blocks, 0);
		uint8_t want[32] = {0};
		struct hvs_guest_scsi_result r;
		struct machine m;

		d->info.block_size = cases[i].block;
		d->info.physical_block_size = cases[i].physical;
		m = with_disk(d);
		r = IN(&m, 0, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
		expect_good(&r, 8);
		cr_assert_arr_eq(buf, cases[i].ten, 8, "case %zu", i);
		memcpy(want, cases[i].sixteen, 14);
		r = IN(&m, 0, 255, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
		expect_good(&r, 32);
		cr_assert_arr_eq(buf, want, 32, "case %zu", i);
		r = IN(&m, 0, 255, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0);
		expect_good(&r, 12);
		r = IN(&m, 0, 255, 0x12, 1, 0xb0, 0, 64, 0);
		expect_good(&r, 64);
		cr_assert_arr_eq(buf + 6, cases[i].granularity, 2, "case %zu", i);
		cr_assert_arr_eq(buf + 8, cases[i].max_transfer, 4, "case %zu", i);
		machine_down(&m);
		testdisk_free(d);
	}
}

Test(read_capacity, fields_that_are_not_supported)
{
	struct machine m = machine_up(NULL);
	struct hvs_guest_scsi_result r;

	prepare(&m);
	r = IN(&m, 0, 8, 0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0); /* an LBA without PMI */
	expect_check(&r, 0x86, INVALID_FIELD);
	r = IN(&m, 0, 8, 0x25, 0, 0, 0, 0, 1, 0, 0, 1, 0);
	expect_good(&r, 8);
	for (uint8_t action = 0; action < 32; action++) {
		if (action == 0x10 || action == 0x12)
			continue;
		r = IN(&m, 0, 32, 0x9e, action, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
		expect_check(&r, 0x86, INVALID_FIELD);
	}
	machine_down(&m);
}

/* ---- the rest --------------------------------------------------------------------------------- */

Test(commands, that_move_nothing_succeed)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct machine m = with_disk(d);
	struct hvs_guest_scsi_result r;

	r = IN(&m, 0, 0, 0, 0, 0, 0, 0, 0); /* TEST UNIT READY */
	expect_good(&r, 0);
	r = IN(&m, 0, 0, 0x1e, 0, 0, 0, 1, 0); /* PREVENT MEDIUM REMOVAL */
	expect_good(&r, 0);
	cr_assert_eq(d->count, 0);
	r = IN(&m, 0, 0, 0x1b, 1, 0, 0, 0, 0); /* STOP: what is cached goes to the disk */
	expect_good(&r, 0);
	r = IN(&m, 0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	expect_good(&r, 0);
	r = IN(&m, 0, 0, 0x91, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	expect_good(&r, 0);
	cr_assert_eq(d->count, 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(d->log[i].op, HVS_BLK_FLUSH);
		cr_assert_eq(d->log[i].len, 0);
		cr_assert_eq(d->log[i].iovcnt, 0);
	}
	r = IN(&m, 0, 0, 0, 0, 0, 0, 0, 0);
	expect_good(&r, 0);
	machine_down(&m);
	testdisk_free(d);
}

Test(commands, request_sense_has_nothing_to_say)
{
	static const uint8_t none[18] = {0x70, [7] = 10};
	struct machine m = machine_up(NULL);
	struct hvs_guest_scsi_result r;

	prepare(&m);
	r = IN(&m, 0, 36, 0x12, 2, 0, 0, 36, 0);
	expect_check(&r, 0x86, INVALID_FIELD);
	r = IN(&m, 0, 255, 3, 0, 0, 0, 255, 0); /* it went with the command */
	expect_good(&r, 18);
	cr_assert_arr_eq(buf, none, 18);
	r = IN(&m, 0, 255, 3, 0, 0, 0, 7, 0);
	expect_good(&r, 7);
	r = IN(&m, 0, 255, 3, 1, 0, 0, 255, 0); /* descriptor format */
	expect_good(&r, 8);
	cr_assert_arr_eq(buf, ((uint8_t[8]){0x72}), 8);
	machine_down(&m);
}

static const struct {
	uint8_t op;
	uint8_t len;
	uint8_t data; /* 0: none, 1: to the guest, 2: from the guest */
} supported[] = {
	{0x00, 6, 0},  {0x03, 6, 1},  {0x08, 6, 1},  {0x0a, 6, 2},  {0x12, 6, 1},  {0x15, 6, 2},
	{0x16, 6, 0},  {0x17, 6, 0},  {0x1a, 6, 1},  {0x1b, 6, 0},  {0x1d, 6, 0},  {0x1e, 6, 0},
	{0x25, 10, 1}, {0x28, 10, 1}, {0x2a, 10, 2}, {0x2e, 10, 2}, {0x2f, 10, 2}, {0x34, 10, 0},
	{0x35, 10, 0}, {0x41, 10, 2}, {0x42, 10, 2}, {0x55, 10, 2}, {0x56, 10, 0}, {0x57, 10, 0},
	{0x5a, 10, 1}, {0x5e, 10, 1}, {0x5f, 10, 2}, {0x88, 16, 1}, {0x89, 16, 2}, {0x8a, 16, 2},
	{0x8b, 16, 2}, {0x8e, 16, 2}, {0x8f, 16, 2}, {0x90, 16, 0}, {0x91, 16, 0}, {0x93, 16, 2},
	{0x9e, 16, 1}, {0xa0, 12, 1}, {0xa3, 12, 1}, {0xa8, 12, 1}, {0xaa, 12, 2}, {0xae, 12, 2},
	{0xaf, 12, 2},
};

Test(commands, unknown_ones_are_refused_with_sense)
{
	struct machine m = machine_up(NULL);

	prepare(&m);
	for (unsigned op = 0; op < 256; op++) {
		uint8_t cdb[16] = {(uint8_t)op};
		struct hvs_guest_scsi_result r;
		bool known = false;

		for (size_t i = 0; i < sizeof(supported) / sizeof(supported[0]); i++)
			known |= supported[i].op == op;
		if (known)
			continue;
		r = in(&m, 0, cdb, 16, 512);
		expect_check(&r, 0x86, INVALID_OPCODE);
	}
	machine_down(&m);
}

Test(commands, cdbs_too_short_or_too_long_and_naca_are_refused)
{
	struct machine m = machine_up(NULL);

	prepare(&m);
	for (size_t i = 0; i < sizeof(supported) / sizeof(supported[0]); i++) {
		uint8_t cdb[16] = {supported[i].op};
		struct hvs_guest_scsi_result r;

		if (supported[i].op != 0xa0) { /* whose CDB is hardly looked at */
			r = in(&m, 0, cdb, (uint8_t)(supported[i].len - 1), 0);
			expect_check(&r, 0x86, INVALID_FIELD);
			cdb[supported[i].len - 1] = 0x04;
			r = in(&m, 0, cdb, supported[i].len, 0);
			expect_check(&r, 0x86, INVALID_FIELD);
			cdb[supported[i].len - 1] = 0;
		}
		r = in(&m, 0, cdb, 17, 0);
		expect_check(&r, 0x86, INVALID_FIELD);
		r = in(&m, 0, cdb, 255, 0);
		expect_check(&r, 0x86, INVALID_FIELD);
	}
	machine_down(&m);
}

/* 3.3: never write to a buffer the guest gave to be read, nor the other way round. */
Test(commands, data_do_not_move_against_the_direction_the_guest_gave)
{
	struct testdisk *d = testdisk_new(0, HVS_BLK_INFO_UNMAP);
	struct machine m = with_disk(d);

	for (size_t i = 0; i < sizeof(supported) / sizeof(supported[0]); i++) {
		struct hvs_guest_scsi cmd = {.cdb_len = supported[i].len,
					     .cdb = {supported[i].op},
					     .direction = supported[i].data == 1
								  ? HVS_GUEST_STOR_OUT
								  : HVS_GUEST_STOR_IN,
					     .buffer = {.gpa = gpa, .len = 512}};
		struct hvs_guest_scsi_result r;

		if (!supported[i].data)
			continue;
		switch (supported[i].op) { /* make it want data */
		case 0x08:
		case 0x0a:
			cmd.cdb[4] = 1;
			break;
		case 0x15:
			cmd.cdb[1] = 0x10;
			cmd.cdb[4] = 4;
			break;
		case 0x42:
		case 0x55:
			cmd.cdb[1] = supported[i].op == 0x55 ? 0x10 : 0;
			cmd.cdb[8] = 24;
			break;
		case 0xa3:
			cmd.cdb[1] = 0x0c;
			cmd.cdb[9] = 96;
			break;
		case 0x03:
		case 0x12:
		case 0x1a:
			cmd.cdb[4] = 96;
			cmd.cdb[2] = supported[i].op == 0x1a ? 8 : 0;
			break;
		case 0x2f:
			cmd.cdb[1] = 2;
			cmd.cdb[8] = 1;
			break;
		case 0x28:
		case 0x2a:
		case 0x2e:
		case 0x41:
			cmd.cdb[8] = 1;
			break;
		case 0x5e:
			cmd.cdb[8] = 96;
			break;
		case 0x5f:
			cmd.cdb[8] = 24;
			break;
		case 0x5a:
			cmd.cdb[2] = 8;
			cmd.cdb[8] = 96;
			break;
		case 0x8f:
			cmd.cdb[1] = 2;
			cmd.cdb[13] = 1;
			break;
		case 0x88:
		case 0x89:
		case 0x8a:
		case 0x8b:
		case 0x8e:
		case 0x93:
			cmd.cdb[13] = 1;
			break;
		case 0x9e:
			cmd.cdb[1] = 0x10;
			cmd.cdb[13] = 32;
			break;
		case 0xa8:
		case 0xaa:
		case 0xae:
		case 0xaf:
			cmd.cdb[1] = supported[i].op == 0xaf ? 2 : 0;
			cmd.cdb[9] = 1;
			break;
		case 0xa0:
			cmd.cdb[9] = 96;
			break;
		default:
			break;
		}
		memset(buf, 0xee, 4096);
		r = scsi(&m, &cmd);
		for (unsigned b = 0; b < 4096; b++)
			cr_assert_eq(buf[b], 0xee, "command %#x wrote", supported[i].op);
		expect_check(&r, 0x86, INVALID_FIELD);
	}
	cr_assert_eq(d->count, 0);
	machine_down(&m);
	testdisk_free(d);
}

Test(commands, an_inquiry_of_nothing_does_not_write_against_the_direction_either)
{
	struct machine m = machine_up(NULL);
	struct hvs_guest_scsi cmd = {.lun = 9,
				     .cdb_len = 6,
				     .cdb = {0x12, 0, 0, 0, 96},
				     .direction = HVS_GUEST_STOR_OUT};
	struct hvs_guest_scsi_result r;

	prepare(&m);
	cmd.buffer = (struct hvs_guest_buffer){.gpa = gpa, .len = 512};
	memset(buf, 0xee, 4096);
	r = scsi(&m, &cmd);
	cr_assert_eq(buf[0], 0xee);
	expect_check(&r, 0x86, INVALID_FIELD);
	machine_down(&m);
}

Test(commands, the_buffer_is_what_packet_and_request_agree_on)
{
	static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 104};
	struct machine m = machine_up(NULL);
	struct hvs_guest_buffer b = {.len = 100};
	struct hvsi_vstor_packet p;
	struct vstor_reply r;

	prepare(&m);
	b.gpa = gpa;
	p = vstor_srb(inquiry, 6, HVSI_DATA_IN, 101); /* more than the pages named */
	r = vstor(&m, &p, sizeof(p), &b);
	cr_assert_eq(r.bytes[14], 0x86);
	cr_assert_eq(r.bytes[40], 0x24);
	p = vstor_srb(inquiry, 6, HVSI_DATA_IN, 1); /* pages, but none in the packet */
	r = vstor(&m, &p, sizeof(p), NULL);
	cr_assert_eq(r.bytes[14], 0x86);
	memset(buf, 0xee, 200);
	p = vstor_srb(inquiry, 6, HVSI_DATA_IN, 50); /* a part of what was named */
	r = vstor(&m, &p, sizeof(p), &b);
	cr_assert_eq(r.bytes[14], 0x01);
	cr_assert_eq(r.bytes[24], 50);
	cr_assert_eq(buf[50], 0xee);
	b.gpa = 0; /* no RAM */
	p = vstor_srb(inquiry, 6, HVSI_DATA_IN, 100);
	r = vstor(&m, &p, sizeof(p), &b);
	cr_assert_eq(r.bytes[14], 0x86);
	cr_assert_eq(r.bytes[40], 0x24);
	cr_assert_eq(hvs_loopback_count(m.lb)->faults, 0);
	machine_down(&m);
}
