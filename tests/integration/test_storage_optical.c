/* SPDX-License-Identifier: MIT */
/* The optical drive: its commands byte by byte, and media that change. protocol/storage.md 6.16 */
#include "support/disk.h"
#include "support/machine.h"

#include <errno.h>

#define INVALID_OPCODE 0x052000u
#define OUT_OF_RANGE 0x052100u
#define INVALID_FIELD 0x052400u
#define INVALID_PARAMETER 0x052600u
#define LIST_LENGTH 0x051a00u
#define NO_MEDIUM 0x023a01u
#define NO_MEDIUM_OPEN 0x023a02u
#define PREVENTED 0x055302u
#define PREVENTED_EMPTY 0x025302u
#define CHANGED 0x062800u

/* A testdisk with memory has 0x200 blocks. */

struct world {
	struct hvs_loopback *lb;
	struct hvs_storvsp *ctl;
	struct hvs_disk *drive;
	struct testdisk *attached; /* NULL: attached without a medium */
	struct machine m;
	uint8_t *buf; /* a few pages */
	uint64_t gpa;
	unsigned ejected;      /* how often the guest did */
	struct testdisk *next; /* put in when the guest has ejected */
	bool remove;           /* remove the drive then */
	unsigned done;         /* calls of count_done() */
};

static void count_done(void *arg, int err)
{
	struct world *w = arg;

	cr_assert_eq(err, 0);
	w->done++;
}

static void ejected(void *arg, struct hvs_disk *disk)
{
	struct world *w = arg;

	cr_assert_eq(disk, w->drive);
	w->ejected++;
	if (w->next)
		cr_assert_eq(hvs_disk_insert(disk, &testdisk_ops, w->next), 0);
	if (w->remove)
		cr_assert_eq(hvs_disk_remove(disk, count_done, w), 0);
}

static int attach(struct world *w)
{
	struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT,      .type = HVS_DISK_OPTICAL,
				      .disk_id = {{5, 6, 7, 8}}, .serial = "DVD-1",
				      .ejected = ejected,        .arg = w};

	return hvs_storvsp_attach(w->ctl, &cfg, w->attached ? &testdisk_ops : NULL, w->attached,
				  &w->drive);
}

static int offer(void *arg, struct hvs_vmbus *bus)
{
	struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{1, 2, 3}}};
	struct world *w = arg;
	int err = hvs_storvsp_create(bus, &cfg, &w->ctl);

	return err ? err : attach(w);
}

static void up(struct world *w, struct testdisk *medium)
{
	*w = (struct world){.attached = medium};
	cr_assert_eq(hvs_loopback_create(NULL, &w->lb), 0);
	cr_assert_eq(offer(w, hvs_loopback_bus(w->lb)), 0);
	cr_assert_eq(hvs_loopback_start(w->lb, &w->m.guest), 0);
	w->m.lb = w->lb;
	machine_connect(&w->m);
	machine_open(&w->m);
	w->buf = hvs_loopback_alloc_pages(w->lb, 8, &w->gpa);
	cr_assert_not_null(w->buf);
}

static void replace_host(struct world *w, struct testdisk *medium)
{
	w->attached = medium;
	cr_assert_eq(hvs_loopback_replace_host(w->lb, 0, offer, w), 0);
}

static struct hvs_guest_scsi_result run(struct world *w, const uint8_t *cdb, uint8_t cdb_len,
					uint8_t direction, uint32_t len)
{
	struct hvs_guest_scsi cmd = {.cdb_len = cdb_len,
				     .direction = len ? direction : HVS_GUEST_STOR_NONE,
				     .buffer = {.gpa = w->gpa, .len = len}};

	memcpy(cmd.cdb, cdb, cdb_len);
	if (direction == HVS_GUEST_STOR_IN)
		memset(w->buf, 0xee, 4096);
	return scsi(&w->m, &cmd);
}
#define CDB(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define IN(w, len, ...) run(w, CDB(__VA_ARGS__), HVS_GUEST_STOR_IN, len)
#define OUT(w, len, ...) run(w, CDB(__VA_ARGS__), HVS_GUEST_STOR_OUT, len)

static void good(struct hvs_guest_scsi_result r, uint32_t transferred)
{
	cr_assert_eq(r.srb_status, SRB_SUCCESS, "SRB %#x, sense %#x", r.srb_status, sense_of(&r));
	cr_assert_eq(r.scsi_status, 0);
	cr_assert_eq(r.transferred, transferred, "%u bytes", r.transferred);
}

static void check(struct hvs_guest_scsi_result r, uint32_t sense)
{
	cr_assert_eq(r.scsi_status, 2, "no error; %#x was expected", sense);
	cr_assert_eq(r.srb_status & 0x80, 0x80);
	cr_assert_eq(sense_of(&r), sense, "sense %#x, %#x was expected", sense_of(&r), sense);
	cr_assert_eq(r.transferred, 0);
}

#define TUR(w) run(w, CDB(0, 0, 0, 0, 0, 0), HVS_GUEST_STOR_NONE, 0)
#define EJECT(w) run(w, CDB(0x1b, 0, 0, 0, 2, 0), HVS_GUEST_STOR_NONE, 0)
#define LOAD(w) run(w, CDB(0x1b, 0, 0, 0, 3, 0), HVS_GUEST_STOR_NONE, 0)
#define PREVENT(w, how) run(w, CDB(0x1e, 0, 0, 0, how, 0), HVS_GUEST_STOR_NONE, 0)

/* GET EVENT STATUS NOTIFICATION for media: event and status. */
static void media_event(struct world *w, uint8_t event, uint8_t status)
{
	const uint8_t want[8] = {0, 6, 4, 0x7e, event, status};

	good(IN(w, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 8);
	cr_assert_arr_eq(w->buf, want, 8, "event %u, status %u", w->buf[4], w->buf[5]);
}
#define NONE 0
#define EJECT_REQUEST 1
#define NEW_MEDIUM 2
#define REMOVAL 3
#define OPEN 1
#define LOADED 2

/* ---- answers ---------------------------------------------------------------------------------- */

struct answer {
	const char *name;
	uint8_t cdb[16];
	uint8_t cdb_len;
	uint8_t buffer_len;
	uint32_t sense;   /* else: */
	uint8_t len;      /* of the data */
	uint8_t data[64]; /* as far as they are not 0 */
};

static void expect(struct world *w, const struct answer *a)
{
	struct hvs_guest_scsi_result r =
		run(w, a->cdb, a->cdb_len, HVS_GUEST_STOR_IN, a->buffer_len);

	if (a->sense) {
		cr_assert_eq(sense_of(&r), a->sense, "%s: %#x", a->name, sense_of(&r));
		check(r, a->sense);
		return;
	}
	cr_assert_eq(r.scsi_status, 0, "%s: sense %#x", a->name, sense_of(&r));
	cr_assert_eq(r.transferred, a->len, "%s: %u bytes", a->name, r.transferred);
	for (unsigned i = 0; i < a->len && i < sizeof(a->data); i++)
		cr_assert_eq(w->buf[i], a->data[i], "%s: byte %u is %#x", a->name, i, w->buf[i]);
	cr_assert_eq(w->buf[a->len], 0xee, "%s: more was written", a->name);
}

/* Features: 0000, 0001, 0002, 0003, 0010. */
#define FEATURES(current)                                                                          \
	0, 0, 3, 8, 0, 0x10, current, 0, 0, 8, 0, 0, 0, 1, 0x0b, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2,  \
		7, 4, 2, 0, 0, 0, 0, 3, 7, 4, 0x39, 0, 0, 0

static const struct answer with_medium[] = {
	{"TEST UNIT READY", {0}, 6, 0, 0, 0, {0}},
	{"INQUIRY",
	 {0x12, [4] = 255},
	 6,
	 255,
	 0,
	 36,
	 "\x05\x80\x05\x02\x1f\0\0\0Msft    Virtual DVD-ROM 1.0 "},
	{"INQUIRY, a page without EVPD",
	 {0x12, [2] = 0x83, [4] = 255},
	 6,
	 255,
	 INVALID_FIELD,
	 0,
	 {0}},
	{"VPD 00", {0x12, 1, [4] = 255}, 6, 255, 0, 7, {5, 0, 0, 3, 0, 0x80, 0x83}},
	{"VPD 80",
	 {0x12, 1, 0x80, [4] = 255},
	 6,
	 255,
	 0,
	 9,
	 {5, 0x80, 0, 5, 'D', 'V', 'D', '-', '1'}},
	{"VPD 83", {0x12, 1, 0x83, [4] = 255}, 6, 255, 0, 52, {5,   0x83, 0,   48,   1,    1,   0,
							       24,  'M',  's', 'f',  't',  ' ', ' ',
							       ' ', ' ',  5,   6,    7,    8,   0,
							       0,   0,    0,   0,    0,    0,   0,
							       0,   0,    0,   0,    1,    3,   0,
							       16,  0x60, 2,   0x24, 0x80, 5,   6,
							       7,   8}},
	{"VPD B0", {0x12, 1, 0xb0, [4] = 255}, 6, 255, INVALID_FIELD, 0, {0}},
	{"REQUEST SENSE", {3, [4] = 18}, 6, 18, 0, 18, {0x70, [7] = 10}},
	{"READ CAPACITY", {0x25}, 10, 8, 0, 8, {0, 0, 1, 0xff, 0, 0, 8, 0}},
	{"START", {0x1b, [4] = 1}, 6, 0, 0, 0, {0}},
	{"STOP", {0x1b, 1}, 6, 0, 0, 0, {0}},
	{"standby", {0x1b, [4] = 0x30}, 6, 0, 0, 0, {0}},
	{"power condition 1", {0x1b, [4] = 0x10}, 6, 0, INVALID_FIELD, 0, {0}},
	{"SEEK to the last block", {0x2b, 0, 0, 0, 1, 0xff}, 10, 0, 0, 0, {0}},
	{"SEEK beyond it", {0x2b, 0, 0, 0, 2, 0}, 10, 0, OUT_OF_RANGE, 0, {0}},
	{"SYNCHRONIZE CACHE", {0x35}, 10, 0, 0, 0, {0}},
	{"VERIFY", {0x2f, [5] = 1, [8] = 2}, 10, 0, 0, 0, {0}},
	{"VERIFY beyond the end", {0x2f, [4] = 2, [8] = 1}, 10, 0, OUT_OF_RANGE, 0, {0}},
	/* READ TOC */
	{"TOC", {0x43, [8] = 255}, 10, 255, 0, 20, {0, 18, 1, 1,    0,    0x14, 1, 0, 0, 0,
						    0, 0,  0, 0x14, 0xaa, 0,    0, 0, 2, 0}},
	{"TOC, MSF",
	 {0x43, 2, [8] = 255},
	 10,
	 255,
	 0,
	 20,
	 /* 512 + 150 frames: 8 s, 62 */
	 {0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 0, 8, 62}},
	{"TOC from track 1 on, cut short", {0x43, [6] = 1, [8] = 4}, 10, 255, 0, 4, {0, 18, 1, 1}},
	{"TOC, lead-out",
	 {0x43, [6] = 0xaa, [8] = 255},
	 10,
	 255,
	 0,
	 12,
	 {0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 2, 0}},
	{"TOC of track 2", {0x43, [6] = 2, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	{"sessions",
	 {0x43, 0, 1, [8] = 255},
	 10,
	 255,
	 0,
	 12,
	 {0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}},
	{"raw TOC",
	 {0x43, 2, 2, [6] = 1, [8] = 255},
	 10,
	 255,
	 0,
	 48,
	 {0,    46, 1,    1, 1,  0x14, 0,    0xa0, 0, 0, 0, 0,    1, 0,    0, 1,
	  0x14, 0,  0xa1, 0, 0,  0,    0,    1,    0, 0, 1, 0x14, 0, 0xa2, 0, 0,
	  0,    0,  0,    8, 62, 1,    0x14, 0,    1, 0, 0, 0,    0, 0,    2, 0}},
	{"TOC, format 3", {0x43, 0, 3, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	/* GET CONFIGURATION */
	{"features up to 0003 of all",
	 {0x46, [8] = 48},
	 10,
	 48,
	 0,
	 48,
	 {0, 0, 0, 92, 0, 0, 0, 0x10, FEATURES(1)}},
	{"features from 0010 on that are current",
	 {0x46, 1, 0, 0x10, [8] = 255},
	 10,
	 255,
	 0,
	 48,
	 {0, 0, 0, 44, 0, 0, 0, 0x10, 0, 0x10, 1, 8, 0, 0, 8, 0, 0, 16, 1,    0, 0,    0x1f, 5, 4,
	  0, 0, 0, 0,  1, 0, 3, 0,    1, 5,    7, 4, 1, 0, 2, 0, 1, 7,  0x15, 4, 0x10, 0,    0, 0}},
	{"feature 001E",
	 {0x46, 2, 0, 0x1e, [8] = 255},
	 10,
	 255,
	 0,
	 16,
	 {0, 0, 0, 12, 0, 0, 0, 0x10, 0, 0x1e, 8, 4}},
	{"feature 0004", {0x46, 2, 0, 4, [8] = 255}, 10, 255, 0, 8, {0, 0, 0, 4, 0, 0, 0, 0x10}},
	{"features, type 3", {0x46, 3, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	/* GET EVENT STATUS NOTIFICATION */
	{"event, asynchronous", {0x4a, 0, [4] = 0x10, [8] = 8}, 10, 8, INVALID_FIELD, 0, {0}},
	{"event of no class", {0x4a, 1, [8] = 8}, 10, 8, 0, 4, {0, 2, 0x80, 0x7e}},
	{"event of class 7", {0x4a, 1, [4] = 0x80, [8] = 8}, 10, 8, 0, 4, {0, 2, 0x80, 0x7e}},
	{"operational", {0x4a, 1, [4] = 2, [8] = 8}, 10, 8, 0, 8, {0, 6, 1, 0x7e}},
	{"power", {0x4a, 1, [4] = 4, [8] = 8}, 10, 8, 0, 8, {0, 6, 2, 0x7e, 0, 1}},
	{"external", {0x4a, 1, [4] = 8, [8] = 8}, 10, 8, 0, 8, {0, 6, 3, 0x7e}},
	{"media", {0x4a, 1, [4] = 0x10, [8] = 8}, 10, 8, 0, 8, {0, 6, 4, 0x7e, 0, 2}},
	{"hosts", {0x4a, 1, [4] = 0x20, [8] = 8}, 10, 8, 0, 8, {0, 6, 5, 0x7e}},
	{"busy", {0x4a, 1, [4] = 0x40, [8] = 8}, 10, 8, 0, 8, {0, 6, 6, 0x7e}},
	{"the first of several",
	 {0x4a, 1, [4] = 0x50, [8] = 8},
	 10,
	 8,
	 0,
	 8,
	 {0, 6, 4, 0x7e, 0, 2}},
	/* disc, track */
	{"disc", {0x51, [8] = 255}, 10, 255, 0, 34, {0, 32, 0x0e, 1, 1, 1, 1, 0x20}},
	{"disc, type 1", {0x51, 1, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	{"track 1",
	 {0x52, 1, [5] = 1, [8] = 255},
	 10,
	 255,
	 0,
	 48,
	 {0, 46, 1, 1, 0, 4, 0x21, [26] = 2}},
	{"track of the last block",
	 {0x52, 0, [4] = 1, [5] = 0xff, [8] = 28},
	 10,
	 255,
	 0,
	 28,
	 {0, 46, 1, 1, 0, 4, 0x21, [26] = 2}},
	{"track of session 1", {0x52, 2, [5] = 1, [8] = 4}, 10, 255, 0, 4, {0, 46, 1, 1}},
	{"track of the block behind", {0x52, 0, [4] = 2, [8] = 255}, 10, 255, OUT_OF_RANGE, 0, {0}},
	{"track 2", {0x52, 1, [5] = 2, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	{"track of session 2", {0x52, 2, [5] = 2, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	{"open track", {0x52, 5, [5] = 1, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	/* mode pages */
	{"page 2A, 6",
	 {0x1a, 0, 0x2a, [4] = 128},
	 6,
	 128,
	 0,
	 24,
	 {23, 0, 0, 0, 0x2a, 0x12, 0x0b, 0, 0, 0, 0x29, 0, 0x7e, 0x90, [18] = 0x7e, 0x90}},
	{"page 1D, 10", {0x5a, 0, 0x1d, [8] = 255}, 10, 255, 0, 20, {0, 18,   0,  0,  0, 0, 0,
								     0, 0x1d, 10, 0,  0, 0, 0,
								     0, 5,    0,  20, 0, 10}},
	{"all pages, changeable values",
	 {0x5a, 0, 0x7f, [8] = 255},
	 10,
	 255,
	 0,
	 64,
	 {0, 62, [8] = 1, 10, [20] = 0x1a, 10, [32] = 0x1d, 10, [44] = 0x2a, 0x12}},
	{"page 08", {0x5a, 0, 0x08, [8] = 255}, 10, 255, INVALID_FIELD, 0, {0}},
	{"saved pages", {0x5a, 0, 0xea, [8] = 255}, 10, 255, 0x053900, 0, {0}},
	/* speed, structure, buffer, mechanism */
	{"buffer", {0x5c, [8] = 255}, 10, 255, 0, 12, {0, 10}},
	{"buffer in blocks", {0x5c, 1, [8] = 255}, 10, 255, 0, 12, {0, 10, 0, 1}},
	{"performance",
	 {0xac, 0x10, [9] = 8},
	 12,
	 255,
	 0,
	 24,
	 {0, 0, 0, 20, [14] = 0x7e, 0x90, 0, 0, 1, 0xff, 0, 0, 0x7e, 0x90}},
	{"performance, no descriptor", {0xac, 0x10}, 12, 255, 0, 8, {0, 0, 0, 20}},
	{"performance, exceptions", {0xac, 0x11, [9] = 8}, 12, 255, 0, 8, {0, 0, 0, 4, 1}},
	{"performance, write", {0xac, 0x14, [9] = 8}, 12, 255, INVALID_FIELD, 0, {0}},
	{"performance, type 3", {0xac, 0x10, [9] = 8, 3}, 12, 255, INVALID_FIELD, 0, {0}},
	{"performance of block 512", {0xac, 0x10, [4] = 2, [9] = 8}, 12, 255, OUT_OF_RANGE, 0, {0}},
	{"physical format",
	 {0xad, [9] = 24},
	 12,
	 255,
	 0,
	 24,
	 {8, 2, 0, 0, 1, 2, 1, 0, 0, 3, 0, 0, 0, 3, 1, 0xff}},
	{"copyright", {0xad, [7] = 1, [9] = 24}, 12, 255, 0, 8, {0, 6}},
	{"manufacturer", {0xad, [7] = 4, [9] = 8}, 12, 255, 0, 8, {8, 2}},
	{"structure 2", {0xad, [7] = 2, [9] = 8}, 12, 255, INVALID_FIELD, 0, {0}},
	{"layer 1", {0xad, [6] = 1, [9] = 8}, 12, 255, INVALID_FIELD, 0, {0}},
	{"of a blu-ray", {0xad, 1, [9] = 8}, 12, 255, INVALID_FIELD, 0, {0}},
	{"mechanism", {0xbd, [9] = 8}, 12, 8, 0, 8, {0}},
	{"mechanism, cut short", {0xbd, [9] = 2}, 12, 8, 0, 2, {0}},
	/* which commands there are */
	{"is there READ (10)",
	 {0xa3, 0x0c, 1, 0x28, [9] = 255},
	 12,
	 255,
	 0,
	 14,
	 {0, 3, 0, 10, 0x28, 0xf8, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 4}},
	{"is there WRITE (10)", {0xa3, 0x0c, 1, 0x2a, [9] = 255}, 12, 255, 0, 4, {0, 1}},
	{"WRITE (6)", {0x0a, [4] = 1}, 6, 0, INVALID_OPCODE, 0, {0}},
	{"WRITE (10)", {0x2a, [8] = 1}, 10, 0, INVALID_OPCODE, 0, {0}},
	{"WRITE (12)", {0xaa, [9] = 1}, 12, 0, INVALID_OPCODE, 0, {0}},
	{"UNMAP", {0x42}, 10, 0, INVALID_OPCODE, 0, {0}},
	{"PERSISTENT RESERVE IN", {0x5e, [8] = 8}, 10, 8, INVALID_OPCODE, 0, {0}},
	{"NACA", {[5] = 4}, 6, 0, INVALID_FIELD, 0, {0}},
};

static const struct answer without_medium[] = {
	{"TEST UNIT READY", {0}, 6, 0, NO_MEDIUM, 0, {0}},
	{"INQUIRY", {0x12, [4] = 8}, 6, 255, 0, 8, {5, 0x80, 5, 2, 0x1f}},
	{"REQUEST SENSE", {3, [4] = 18}, 6, 18, 0, 18, {0x70, [7] = 10}},
	{"READ (6)", {8, [4] = 1}, 6, 255, NO_MEDIUM, 0, {0}},
	{"READ (10)", {0x28, [8] = 1}, 10, 255, NO_MEDIUM, 0, {0}},
	{"READ (12)", {0xa8, [9] = 1}, 12, 255, NO_MEDIUM, 0, {0}},
	{"READ (16)", {0x88, [13] = 1}, 16, 255, NO_MEDIUM, 0, {0}},
	{"READ of nothing", {0x28}, 10, 0, NO_MEDIUM, 0, {0}},
	{"READ CAPACITY", {0x25}, 10, 8, NO_MEDIUM, 0, {0}},
	{"START", {0x1b, [4] = 1}, 6, 0, 0, 0, {0}},
	{"SEEK", {0x2b}, 10, 0, NO_MEDIUM, 0, {0}},
	{"VERIFY", {0x2f}, 10, 0, NO_MEDIUM, 0, {0}},
	{"TOC", {0x43, [8] = 255}, 10, 255, NO_MEDIUM, 0, {0}},
	{"features up to 0003 of all",
	 {0x46, [8] = 48},
	 10,
	 48,
	 0,
	 48,
	 {0, 0, 0, 92, 0, 0, 0, 0, FEATURES(0)}},
	{"features from 0010 on that are current",
	 {0x46, 1, 0, 0x10, [8] = 255},
	 10,
	 255,
	 0,
	 20,
	 {0, 0, 0, 16, 0, 0, 0, 0, 1, 0, 3, 0, 1, 5, 7, 4, 1, 0, 2, 0}},
	{"feature 0010", {0x46, 2, 0, 0x10, [8] = 255}, 10, 255, 0, 20, {0, 0, 0,    16, 0, 0, 0,
									 0, 0, 0x10, 0,  8, 0, 0,
									 8, 0, 0,    16, 1, 0}},
	{"media", {0x4a, 1, [4] = 0x10, [8] = 8}, 10, 8, 0, 8, {0, 6, 4, 0x7e, 0, 0}},
	{"disc", {0x51, [8] = 255}, 10, 255, NO_MEDIUM, 0, {0}},
	{"track", {0x52, 1, [5] = 1, [8] = 255}, 10, 255, NO_MEDIUM, 0, {0}},
	{"page 2A", {0x1a, 0, 0x2a, [4] = 4}, 6, 255, 0, 4, {23}},
	{"buffer", {0x5c, [8] = 255}, 10, 255, 0, 12, {0, 10}},
	{"performance", {0xac, 0x10, [9] = 8}, 12, 255, NO_MEDIUM, 0, {0}},
	{"structure", {0xad, [9] = 8}, 12, 255, NO_MEDIUM, 0, {0}},
	{"streaming", {0xb6, [10] = 28}, 12, 0, NO_MEDIUM, 0, {0}},
	{"mechanism", {0xbd, [9] = 8}, 12, 8, 0, 8, {0}},
	{"WRITE (10)", {0x2a, [8] = 1}, 10, 0, INVALID_OPCODE, 0, {0}},
};

Test(optical, answers_with_a_medium)
{
	struct testdisk *d = testdisk_new(0, 0);
	struct world w;

	up(&w, d);
	for (size_t i = 0; i < sizeof(with_medium) / sizeof(with_medium[0]); i++)
		expect(&w, &with_medium[i]);
	hvs_loopback_destroy(w.lb);
	testdisk_free(d);
}

Test(optical, answers_without_a_medium)
{
	struct world w;

	up(&w, NULL);
	for (size_t i = 0; i < sizeof(without_medium) / sizeof(without_medium[0]); i++)
		expect(&w, &without_medium[i]);
	hvs_loopback_destroy(w.lb);
}

Test(optical, every_read_finds_blocks_of_2048_bytes)
{
	static const struct {
		uint8_t cdb[16];
		uint8_t len;
	} reads[] = {{{8, 0, 0, 3, 2}, 6},
		     {{0x28, [5] = 3, [8] = 2}, 10},
		     {{0xa8, [5] = 3, [9] = 2}, 12},
		     {{0x88, [9] = 3, [13] = 2}, 16}};
	struct testdisk *d = testdisk_new(0, 0);
	struct world w;

	for (unsigned i = 0; i < DISK_BYTES; i++)
		d->data[i] = (uint8_t)(i * 7 + i / 253);
	up(&w, d);
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		good(run(&w, reads[i].cdb, reads[i].len, HVS_GUEST_STOR_IN, 4096), 4096);
		cr_assert_arr_eq(w.buf, d->data + 3 * 2048, 4096, "form %zu", i);
	}
	good(IN(&w, 4096, 0x28, 0, 0, 0, 1, 0xff, 0, 0, 1, 0), 2048);
	check(IN(&w, 4096, 0x28, 0, 0, 0, 1, 0xff, 0, 0, 2, 0), OUT_OF_RANGE);
	good(IN(&w, 4096, 0x28, 0, 0, 0, 1, 0, 0, 0, 0, 0), 0);
	check(IN(&w, 2047, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), INVALID_FIELD);
	d->status = HVS_BLK_IO_ERROR;
	check(IN(&w, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 0x031100);
	hvs_loopback_destroy(w.lb);
	testdisk_free(d);
}

Test(optical, media_of_either_block_size_and_what_is_behind_the_last_whole_block)
{
	static const struct {
		uint32_t block_size;
		uint64_t blocks;
		int err;
		uint8_t last;
	} media[] = {{512, 4, 0, 0},        {512, 11, 0, 1},
		     {2048, 5, 0, 4},       {512, 3, -EINVAL, 0},
		     {4096, 5, -EINVAL, 0}, {1024, 5, -EINVAL, 0},
		     {512, 0, -EINVAL, 0},  {2048, 1ull << 32, -EINVAL, 0}};
	struct world w;

	up(&w, NULL);
	for (size_t i = 0; i < sizeof(media) / sizeof(media[0]); i++) {
		struct testdisk *d = testdisk_new(1, 0);

		d->info.block_size = media[i].block_size;
		d->info.physical_block_size = media[i].block_size;
		d->info.num_blocks = media[i].blocks;
		cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, d), media[i].err, "%zu", i);
		if (!media[i].err) {
			check(TUR(&w), CHANGED);
			good(IN(&w, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 8);
			cr_assert_arr_eq(w.buf, ((uint8_t[]){0, 0, 0, media[i].last, 0, 0, 8, 0}),
					 8);
			cr_assert_eq(hvs_disk_eject(w.drive, false, NULL, NULL), 0);
			hvs_loopback_run(w.lb);
		}
		testdisk_free(d);
	}
	hvs_loopback_destroy(w.lb);
}

Test(optical, toc_of_long_media_stays_inside_a_cd)
{
	struct testdisk *d = testdisk_new(4ull * 75 * 60 * 256, 0);
	struct world w;

	up(&w, d);
	good(IN(&w, 20, 0x43, 2, 0, 0, 0, 0, 0, 0, 20, 0), 20);
	cr_assert_arr_eq(w.buf + 16, ((uint8_t[]){0, 255, 59, 74}), 4);
	hvs_loopback_destroy(w.lb);
	testdisk_free(d);
}

Test(optical, mode_select_takes_pages_that_drivers_set)
{
	static const struct {
		uint8_t list[32];
		uint8_t len;
		uint32_t sense;
	} lists[] = {
		{{[8] = 0x01, 10, 0x20, 5}, 20, 0},
		{{[8] = 0x1a, 10, [13] = 9}, 20, 0},
		{{[8] = 0x1d, 10, [13] = 9}, 20, 0},
		{{[8] = 0x2a, 0x12, 0x0b, 0, 0, 0, 0x29, 0, 0x7e, 0x90, [22] = 0x7e, 0x90}, 28, 0},
		{{[8] = 0x2a, 0x12, 0x3f}, 28, INVALID_PARAMETER},
		{{[8] = 0x08, 10}, 20, INVALID_PARAMETER},
		{{[8] = 0x01, 6}, 16, INVALID_PARAMETER},
		{{[8] = 0x01, 10}, 18, LIST_LENGTH},
		{{0}, 7, LIST_LENGTH},
		{{0}, 0, 0},
	};
	struct world w;

	up(&w, NULL);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct hvs_guest_scsi_result r;

		memcpy(w.buf, lists[i].list, sizeof(lists[i].list));
		r = OUT(&w, lists[i].len, 0x55, 0x10, 0, 0, 0, 0, 0, 0, lists[i].len, 0);
		if (lists[i].sense)
			check(r, lists[i].sense);
		else
			good(r, lists[i].len);
	}
	hvs_loopback_destroy(w.lb);
}

Test(optical, set_streaming_knows_the_blocks_there_are)
{
	static const struct {
		uint8_t list[28];
		uint8_t len;
		uint32_t sense;
	} lists[] = {
		{{4, [8] = 0xff}, 28, 0}, /* defaults: no blocks are named */
		{{[10] = 1, 0xff}, 28, 0},
		{{[10] = 2, 0}, 28, INVALID_PARAMETER},
		{{[7] = 9, [11] = 8}, 28, INVALID_PARAMETER},
		{{4}, 27, LIST_LENGTH},
	};
	struct testdisk *d = testdisk_new(0, 0);
	struct world w;

	up(&w, d);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct hvs_guest_scsi_result r;

		memcpy(w.buf, lists[i].list, sizeof(lists[i].list));
		r = OUT(&w, lists[i].len, 0xb6, 0, 0, 0, 0, 0, 0, 0, 0, 0, lists[i].len, 0);
		if (lists[i].sense)
			check(r, lists[i].sense);
		else
			good(r, 28);
	}
	check(OUT(&w, 28, 0xb6, 0, 0, 0, 0, 0, 0, 0, 5, 0, 28, 0), INVALID_FIELD);
	hvs_loopback_destroy(w.lb);
	testdisk_free(d);
}

/* ---- media change ----------------------------------------------------------------------------- */

Test(media, guest_ejects_and_the_host_puts_the_next_one_in)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct testdisk *b = testdisk_new(8, 0);
	struct world w;

	up(&w, a);
	good(EJECT(&w), 0);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.ejected, 1);
	check(TUR(&w), NO_MEDIUM_OPEN);
	media_event(&w, REMOVAL, OPEN);
	media_event(&w, NONE, OPEN);
	good(IN(&w, 8, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0), 8);
	cr_assert_eq(w.buf[1], 0x10, "the door is open");
	/* What the guest ejected does not come back. */
	good(LOAD(&w), 0);
	check(TUR(&w), NO_MEDIUM);
	media_event(&w, NONE, 0);
	good(EJECT(&w), 0);
	hvs_loopback_run(w.lb);
	check(TUR(&w), NO_MEDIUM_OPEN);
	cr_assert_eq(w.ejected, 1, "nothing was in it");
	cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, b), 0);
	/* Asking what happened is possible before the condition was reported. */
	media_event(&w, NEW_MEDIUM, LOADED);
	good(IN(&w, 8, 0x46, 2, 0, 0x10, 0, 0, 0, 0, 8, 0), 8);
	check(TUR(&w), CHANGED);
	good(TUR(&w), 0);
	good(IN(&w, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 8);
	cr_assert_eq(w.buf[3], 1);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
	testdisk_free(b);
}

Test(media, host_changes_it_and_the_guest_sees_removal_then_new)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct testdisk *b = testdisk_new(8, 0);
	struct world w;

	up(&w, a);
	cr_assert_eq(hvs_disk_eject(w.drive, false, count_done, &w), 0);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.done, 1);
	cr_assert_eq(w.ejected, 0, "it was not the guest");
	cr_assert_eq(hvs_disk_eject(w.drive, false, count_done, &w), -ENOENT);
	cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, b), 0);
	cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, a), -EEXIST);
	media_event(&w, REMOVAL, LOADED);
	media_event(&w, NEW_MEDIUM, LOADED);
	media_event(&w, NONE, LOADED);
	check(IN(&w, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), CHANGED);
	good(IN(&w, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2048);
	cr_assert_eq(a->count, 0);
	cr_assert_eq(b->count, 1);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
	testdisk_free(b);
}

/* An event that did not fit was not told. */
Test(media, event_waits_until_the_guest_has_room_for_it)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct world w;

	up(&w, NULL);
	cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, a), 0);
	good(IN(&w, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4, 0), 4);
	good(IN(&w, 4, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 4);
	good(IN(&w, 8, 0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8, 0), 8);
	/* It goes before what is asked first. */
	good(IN(&w, 8, 0x4a, 1, 0, 0, 0x12, 0, 0, 0, 8, 0), 8);
	cr_assert_arr_eq(w.buf, ((uint8_t[]){0, 6, 4, 0x7e, 2, 2, 0, 0}), 8);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

Test(media, guest_that_prevents_removal_is_asked_and_then_forced)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct world w;

	for (unsigned persistent = 0; persistent <= 2; persistent += 2) {
		up(&w, a);
		good(PREVENT(&w, (uint8_t)(1 | persistent)), 0);
		check(EJECT(&w), PREVENTED);
		good(TUR(&w), 0);
		good(IN(&w, 12, 0x1a, 0, 0x2a, 0, 12, 0), 12);
		cr_assert_eq(w.buf[10], 0x2b, "it is locked");
		good(IN(&w, 8, 0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8, 0), 8);
		cr_assert_eq(w.buf[5], persistent ? 0x80 : 0);
		cr_assert_eq(hvs_disk_eject(w.drive, false, count_done, &w), -EBUSY);
		media_event(&w, EJECT_REQUEST, LOADED);
		media_event(&w, NONE, LOADED);
		good(TUR(&w), 0);
		/* Prevented twice: both have to be allowed. */
		good(PREVENT(&w, (uint8_t)(2 - persistent)), 0);
		check(EJECT(&w), PREVENTED);
		cr_assert_eq(hvs_disk_eject(w.drive, true, count_done, &w), 0);
		hvs_loopback_run(w.lb);
		cr_assert_eq(w.done, 1);
		media_event(&w, REMOVAL, OPEN);
		check(TUR(&w), NO_MEDIUM_OPEN);
		check(EJECT(&w), PREVENTED_EMPTY);
		good(PREVENT(&w, (uint8_t)persistent), 0);
		good(EJECT(&w), 0);
		hvs_loopback_destroy(w.lb);
	}
	testdisk_free(a);
}

Test(media, guest_that_was_asked_ejects)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct world w;

	up(&w, a);
	good(PREVENT(&w, 1), 0);
	cr_assert_eq(hvs_disk_eject(w.drive, false, count_done, &w), -EBUSY);
	good(PREVENT(&w, 0), 0);
	good(EJECT(&w), 0);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.ejected, 1);
	cr_assert_eq(w.done, 0);
	media_event(&w, REMOVAL, OPEN);
	media_event(&w, NONE, OPEN);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

/* A driver that comes after another one knows nothing of its locks. */
Test(media, locks_end_with_the_channel)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct world w;

	up(&w, a);
	good(PREVENT(&w, 1), 0);
	good(PREVENT(&w, 3), 0);
	cr_assert_eq(hvs_guest_channel_close(w.m.ch), 0);
	machine_open(&w.m);
	cr_assert_eq(hvs_disk_eject(w.drive, false, count_done, &w), 0);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.done, 1);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

static void submit_read(struct world *w, uint64_t xid)
{
	struct hvs_guest_scsi c = {.cdb = {0x28, [8] = 1},
				   .cdb_len = 10,
				   .direction = HVS_GUEST_STOR_IN,
				   .buffer = {.gpa = w->gpa + 4096, .len = 2048}};

	cr_assert_eq(hvs_guest_stor_submit(w->m.ch, xid, &c), 0);
	hvs_guest_flush(w->m.ch);
	hvs_loopback_run(w->lb);
}

static void expect_end(struct world *w, uint64_t want, bool aborted)
{
	struct hvs_guest_scsi_result r;
	uint64_t xid;

	hvs_loopback_run(w->lb);
	cr_assert_eq(hvs_guest_stor_reap(w->m.ch, &xid, &r), 1);
	cr_assert_eq(xid, want);
	cr_assert_eq(r.srb_status, aborted ? 0x82 : SRB_SUCCESS);
	cr_assert_eq(r.scsi_status, aborted ? 2 : 0);
	cr_assert_eq(sense_of(&r), aborted ? 0x0b0000 : 0);
}

/* Whoever takes it out: the back end is let go of when it has given back what it had. */
Test(media, back_end_is_in_use_until_its_last_read_has_ended)
{
	for (unsigned by_guest = 0; by_guest < 2; by_guest++) {
		struct testdisk *a = testdisk_new(0, 0);
		struct testdisk *b = testdisk_new(0, 0);
		struct world w;

		up(&w, a);
		a->hold = true;
		submit_read(&w, 71);
		submit_read(&w, 72);
		cr_assert_eq(a->held_count, 2);
		if (by_guest)
			good(EJECT(&w), 0);
		else
			cr_assert_eq(hvs_disk_eject(w.drive, false, count_done, &w), 0);
		check(TUR(&w), NO_MEDIUM_OPEN);
		check(IN(&w, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), NO_MEDIUM_OPEN);
		cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, b), -EBUSY);
		cr_assert_eq(hvs_disk_eject(w.drive, true, count_done, &w), -EALREADY);
		testdisk_finish(a, 0, HVS_BLK_OK);
		expect_end(&w, 71, false);
		cr_assert_eq(w.done + w.ejected, 0);
		testdisk_finish(a, 0, HVS_BLK_ABORTED);
		expect_end(&w, 72, true);
		cr_assert_eq(w.done, 1 - by_guest);
		cr_assert_eq(w.ejected, by_guest);
		testdisk_free(a);
		cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, b), 0);
		check(TUR(&w), CHANGED);
		good(IN(&w, 2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2048);
		hvs_loopback_destroy(w.lb);
		testdisk_free(b);
	}
}

Test(media, next_medium_is_put_in_by_the_callback)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct testdisk *b = testdisk_new(0, 0);
	struct world w;

	up(&w, a);
	w.next = b;
	good(EJECT(&w), 0);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.ejected, 1);
	media_event(&w, REMOVAL, LOADED);
	media_event(&w, NEW_MEDIUM, LOADED);
	check(TUR(&w), CHANGED);
	good(EJECT(&w), 0);
	w.next = NULL;
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.ejected, 2);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
	testdisk_free(b);
}

Test(media, drive_that_is_removed_leaves_after_the_medium)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct world w;

	up(&w, a);
	a->hold = true;
	submit_read(&w, 71);
	good(EJECT(&w), 0);
	cr_assert_eq(hvs_disk_remove(w.drive, count_done, &w), 0);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.done, 0);
	cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, a), -EINVAL);
	cr_assert_eq(hvs_disk_eject(w.drive, true, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_disk_remove(w.drive, count_done, &w), -EBUSY);
	testdisk_finish(a, 0, HVS_BLK_OK);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.ejected, 1);
	cr_assert_eq(w.done, 1);
	/* The place is free. */
	w.attached = NULL;
	cr_assert_eq(attach(&w), 0);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

Test(media, drive_may_be_removed_by_the_callback)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct world w;

	up(&w, a);
	w.remove = true;
	good(EJECT(&w), 0);
	hvs_loopback_run(w.lb);
	cr_assert_eq(w.ejected, 1);
	cr_assert_eq(w.done, 1);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

Test(media, reset_bus_unlocks_the_drive)
{
	struct testdisk *a = testdisk_new(0, 0);
	uint8_t reset[64] = {6, [4] = 1};
	struct iovec iov = {reset, sizeof(reset)};
	struct hvs_guest_packet pkt;
	struct world w;

	up(&w, a);
	good(PREVENT(&w, 1), 0);
	check(EJECT(&w), PREVENTED);
	cr_assert_eq(hvs_guest_send(w.m.ch, 9, true, NULL, &iov, 1), 0);
	cr_assert_eq(hvs_guest_recv_wait(w.m.ch, &pkt), 1);
	check(TUR(&w), 0x062902);
	good(EJECT(&w), 0);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

/* ---- saved state ------------------------------------------------------------------------------ */

Test(saved, locks_tray_and_events_go_on)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct world w;

	up(&w, a);
	good(PREVENT(&w, 1), 0);
	cr_assert_eq(hvs_disk_eject(w.drive, false, count_done, &w), -EBUSY);
	replace_host(&w, a);
	good(TUR(&w), 0);
	media_event(&w, EJECT_REQUEST, LOADED);
	replace_host(&w, a);
	media_event(&w, NONE, LOADED);
	check(EJECT(&w), PREVENTED);
	good(PREVENT(&w, 0), 0);
	good(PREVENT(&w, 3), 0);
	replace_host(&w, a);
	check(EJECT(&w), PREVENTED);
	good(PREVENT(&w, 2), 0);
	good(EJECT(&w), 0);
	hvs_loopback_run(w.lb);
	replace_host(&w, NULL);
	check(TUR(&w), NO_MEDIUM_OPEN);
	media_event(&w, REMOVAL, OPEN);
	cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, a), 0);
	replace_host(&w, a);
	media_event(&w, NEW_MEDIUM, LOADED);
	check(TUR(&w), CHANGED);
	good(TUR(&w), 0);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

Test(saved, medium_that_is_another_afterwards_is_a_change)
{
	struct testdisk *a = testdisk_new(0, 0);
	struct testdisk *b = testdisk_new(8, 0);
	struct world w;

	up(&w, a);
	replace_host(&w, b);
	media_event(&w, REMOVAL, LOADED);
	media_event(&w, NEW_MEDIUM, LOADED);
	check(TUR(&w), CHANGED);
	good(TUR(&w), 0);
	replace_host(&w, NULL);
	media_event(&w, REMOVAL, 0);
	media_event(&w, NONE, 0);
	check(TUR(&w), NO_MEDIUM);
	replace_host(&w, a);
	media_event(&w, NEW_MEDIUM, LOADED);
	media_event(&w, NONE, LOADED);
	check(TUR(&w), CHANGED);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
	testdisk_free(b);
}

/* ---- the embedder ----------------------------------------------------------------------------- */

Test(optical_api, misuse_is_refused)
{
	struct hvs_disk_config fixed = {HVS_DISK_CONFIG_INIT, .lun = 1};
	struct hvs_disk_config drive = {HVS_DISK_CONFIG_INIT, .lun = 2, .type = HVS_DISK_OPTICAL};
	struct testdisk *a = testdisk_new(0, 0);
	struct hvs_blk_ops ops = testdisk_ops;
	struct hvs_guest_packet pkt;
	struct hvs_disk *disk;
	struct world w;

	up(&w, NULL);
	cr_assert_eq(hvs_storvsp_attach(w.ctl, &fixed, NULL, NULL, &disk), -EINVAL);
	cr_assert_eq(hvs_storvsp_attach(w.ctl, &fixed, &testdisk_ops, a, &disk), 0);
	cr_assert_eq(hvs_disk_insert(disk, &testdisk_ops, a), -EINVAL);
	cr_assert_eq(hvs_disk_eject(disk, true, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_disk_insert(NULL, &testdisk_ops, a), -EINVAL);
	cr_assert_eq(hvs_disk_eject(NULL, true, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_disk_insert(w.drive, NULL, a), -EINVAL);
	ops.get_info = NULL;
	cr_assert_eq(hvs_disk_insert(w.drive, &ops, a), -EINVAL);
	cr_assert_eq(hvs_storvsp_attach(w.ctl, &drive, &ops, a, &disk), -EINVAL);
	a->info_result = -EIO;
	cr_assert_eq(hvs_disk_insert(w.drive, &testdisk_ops, a), -EIO);
	a->info_result = 0;
	cr_assert_eq(hvs_disk_refresh(w.drive), -EINVAL);
	drive.type = 2;
	cr_assert_eq(hvs_storvsp_attach(w.ctl, &drive, &testdisk_ops, a, &disk), -EINVAL);
	cr_assert_eq(hvs_guest_recv_wait(w.m.ch, &pkt), 1, "there is a new disk");
	check(TUR(&w), NO_MEDIUM);
	hvs_loopback_destroy(w.lb);
	testdisk_free(a);
}

Test(optical_api, drive_is_no_ide_disk)
{
	struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .kind = HVS_STORVSP_IDE};
	struct hvs_disk_config drive = {HVS_DISK_CONFIG_INIT, .type = HVS_DISK_OPTICAL};
	struct hvs_loopback *lb;
	struct hvs_storvsp *ctl;

	cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(lb), &cfg, &ctl), 0);
	cr_assert_eq(hvs_storvsp_attach(ctl, &drive, NULL, NULL, NULL), -EINVAL);
	hvs_loopback_destroy(lb);
}
