/* SPDX-License-Identifier: MIT */
/*
 * An optical drive: any commands, while the host changes media and the back ends take their time.
 * Each command ends once, moves no more than its buffer holds and writes nowhere else; a back end is
 * not used any more when that was said.
 */
#include "input.h"
#include "race.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <stdlib.h>

#define BLOCKS 64ull
#define SLOTS 8u
#define SLOT_BYTES 8192u
#define MAX_STEPS 64u
#define UNTOUCHED 0xee

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* ---- media ------------------------------------------------------------------------------------ */

static struct medium {
	bool used; /* by the drive */
	struct hvs_blk_req *held[SLOTS];
	unsigned held_count;
} media[2];

static bool hold;

static int get_info(void *priv, struct hvs_blk_info *info)
{
	(void)priv;
	info->block_size = 512;
	info->physical_block_size = 512;
	info->num_blocks = BLOCKS * 4;
	return 0;
}

static void finish(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	for (unsigned i = 0; status == HVS_BLK_OK && i < req->iovcnt; i++)
		memset(req->iov[i].iov_base, 0x5a, req->iov[i].iov_len);
	hvs_blk_complete(req, status);
}

static void submit(void *priv, struct hvs_blk_req *req)
{
	struct medium *m = priv;

	EXPECT(m->used && req->op == HVS_BLK_READ);
	EXPECT(req->offset + req->len <= BLOCKS * 2048);
	if (hold && m->held_count < SLOTS)
		m->held[m->held_count++] = req;
	else
		finish(req, HVS_BLK_OK);
}

static void finish_one(struct medium *m, unsigned which, enum hvs_blk_status status)
{
	struct hvs_blk_req *req;

	if (!m->held_count)
		return;
	which %= m->held_count;
	req = m->held[which];
	m->held[which] = m->held[--m->held_count];
	finish(req, status);
}

static void cancel(void *priv, struct hvs_blk_req *req)
{
	struct medium *m = priv;

	/* Every second one takes its time. */
	for (unsigned i = 1; i < m->held_count; i += 2)
		if (m->held[i] == req) {
			finish_one(m, i, HVS_BLK_ABORTED);
			return;
		}
}

static const struct hvs_blk_ops ops = {HVS_BLK_OPS_INIT, .get_info = get_info, .submit = submit,
				       .cancel = cancel};

static void let_go(struct medium *m)
{
	EXPECT(m->used && !m->held_count);
	m->used = false;
}

static struct medium *inserted;

static void ejected(void *arg, struct hvs_disk *drive)
{
	(void)arg;
	(void)drive;
	let_go(inserted);
}

static void taken_out(void *arg, int err)
{
	EXPECT(!err);
	let_go(arg);
}

static void insert(struct hvs_disk *drive, struct medium *m)
{
	int err = hvs_disk_insert(drive, &ops, m);

	if (!err) {
		EXPECT(!media[0].used && !media[1].used);
		m->used = true;
		inserted = m;
	}
}

/* ---- the guest -------------------------------------------------------------------------------- */

static struct slot {
	bool used;
	uint8_t direction;
	uint32_t offset; /* of its buffer in its memory */
	uint32_t len;
} slots[SLOTS];

static uint8_t *memory; /* SLOT_BYTES for each */
static uint64_t memory_gpa;

static void send(struct hvs_guest_channel *ch, struct input *in)
{
	struct hvs_guest_scsi cmd = {0};
	unsigned which = 0;
	struct slot *s;

	while (which < SLOTS && slots[which].used)
		which++;
	if (which == SLOTS)
		return;
	s = &slots[which];
	s->direction = (uint8_t)input_number(in, 1) % 3;
	s->offset = (uint32_t)input_number(in, 2) % SLOT_BYTES;
	s->len = (uint32_t)input_number(in, 2) % (SLOT_BYTES - s->offset + 1);
	cmd.direction = s->direction;
	cmd.cdb_len = (uint8_t)input_number(in, 1) % 18; /* 17: longer than there is room */
	input_bytes(in, cmd.cdb, sizeof(cmd.cdb));
	cmd.buffer.gpa = memory_gpa + (uint64_t)which * SLOT_BYTES + s->offset;
	cmd.buffer.len = s->len;
	memset(memory + (size_t)which * SLOT_BYTES, UNTOUCHED, SLOT_BYTES);
	if (s->direction == HVS_GUEST_STOR_OUT)
		input_bytes(in, memory + (size_t)which * SLOT_BYTES + s->offset,
			    s->len < 64 ? s->len : 64);
	if (hvs_guest_stor_submit(ch, which, &cmd) == 0) {
		s->used = true;
		hvs_guest_flush(ch);
	}
}

static void expect_untouched(const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		EXPECT(p[i] == UNTOUCHED);
}

static void reap(struct hvs_guest_channel *ch)
{
	struct hvs_guest_scsi_result r;
	uint64_t xid;
	int got;

	while ((got = hvs_guest_stor_reap(ch, &xid, &r)) == 1) {
		const uint8_t *mem = memory + xid * SLOT_BYTES;
		struct slot *s;

		EXPECT(xid < SLOTS);
		s = &slots[xid];
		EXPECT(s->used && r.transferred <= s->len);
		EXPECT((r.scsi_status == 2) == (r.sense_len != 0));
		EXPECT(r.scsi_status != 2 || (r.srb_status & 0x80 && !r.transferred));
		if (s->direction != HVS_GUEST_STOR_OUT) {
			expect_untouched(mem, s->offset);
			expect_untouched(mem + s->offset + s->len, SLOT_BYTES - s->offset - s->len);
		}
		s->used = false;
	}
	EXPECT(!got);
}

/* ---- one run ---------------------------------------------------------------------------------- */

enum { SEND, SEND_MORE, HOLD, FINISH, INSERT, EJECT, STEP_KINDS };

static void step(struct hvs_disk *drive, struct hvs_guest_channel *ch, struct input *in)
{
	uint8_t kind = (uint8_t)input_number(in, 1);
	uint8_t argument = (uint8_t)input_number(in, 1);

	switch (kind % STEP_KINDS) {
	case SEND:
	case SEND_MORE:
		send(ch, in);
		break;
	case HOLD:
		hold = argument & 1;
		break;
	case FINISH:
		finish_one(&media[argument & 1], argument >> 3,
			   argument & 2 ? HVS_BLK_OK : HVS_BLK_IO_ERROR);
		break;
	case INSERT:
		insert(drive, &media[argument & 1]);
		break;
	case EJECT:
		(void)!hvs_disk_eject(drive, argument & 1, taken_out, inserted);
		break;
	}
}

static void finish_all(struct hvs_loopback *lb, struct hvs_guest_channel *ch)
{
	hold = false;
	for (unsigned m = 0; m < 2; m++)
		while (media[m].held_count)
			finish_one(&media[m], 0, HVS_BLK_OK);
	hvs_loopback_run(lb);
	reap(ch);
	for (unsigned i = 0; i < SLOTS; i++)
		EXPECT(!slots[i].used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = (size_t)64 * 4096};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .type = HVS_DISK_OPTICAL,
					   .serial = "fuzz", .ejected = ejected};
	struct hvs_guest_channel *ch;
	struct hvs_storvsp *ctl;
	struct hvs_loopback *lb;
	struct hvs_disk *drive;
	struct hvs_guest *g;
	uint32_t max_transfer;

	memset(media, 0, sizeof(media));
	memset(slots, 0, sizeof(slots));
	hold = false;
	inserted = NULL;
	race_take(&in);
	if (hvs_loopback_create(&cfg, &lb) ||
	    hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl) ||
	    hvs_storvsp_attach(ctl, &disk_cfg, NULL, NULL, &drive) || hvs_loopback_start(lb, &g) ||
	    hvs_guest_connect(g, 0x50003) || hvs_guest_request_offers(g) != 1 ||
	    hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 8192, &ch) ||
	    hvs_guest_stor_init(ch, 0x600, &max_transfer))
		abort();
	memory = hvs_loopback_alloc_pages(lb, SLOTS * SLOT_BYTES / 4096, &memory_gpa);
	EXPECT(memory);
	race_start(memory, (size_t)SLOTS * SLOT_BYTES);
	insert(drive, &media[0]);
	for (unsigned i = 0; i < MAX_STEPS && input_more(&in); i++) {
		step(drive, ch, &in);
		hvs_loopback_run(lb);
		reap(ch);
	}
	finish_all(lb, ch);
	hvs_loopback_destroy(lb);
	return 0;
}
