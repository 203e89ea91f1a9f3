/* SPDX-License-Identifier: MIT */
/*
 * Saved state of a storage controller: the host is replaced at random instants, with commands of
 * all kinds, resets and disks that come and go in flight, and back ends that finish when they
 * like. Each command completes exactly once, and what the disks hold is what the guest was told.
 */
#include "support/rng.h"
#include "support/stor.h"
#include "vmbus/proto.h"

#include <errno.h>
#include <stdlib.h>

#define DISKS 3u
#define CHANNELS 3u
#define SLOTS 96u /* commands in flight */
#define REGION 8u /* blocks of a slot, on each disk */
#define LOCK_LBA (SLOTS * REGION)
#define BLOCKS (LOCK_LBA + 1)
#define BYTES (REGION * 512u)
#define SLOT_PAGES 3u
#define STEPS 400u

/* ---- disks that finish when they like --------------------------------------------------------- */

struct world;

struct slow {
	struct world *w;
	struct rng *rng;
	bool present;
	bool leaving;
	unsigned plugs; /* how often it came or went */
	struct hvs_disk *disk;
	uint8_t data[BLOCKS * 512];
	struct hvs_blk_req *held[SLOTS + DISKS];
	unsigned held_count;
};

static void note(struct world *w, const struct hvs_blk_req *req);

static int slow_info(void *priv, struct hvs_blk_info *info)
{
	(void)priv;
	info->flags = HVS_BLK_INFO_WRITE_BACK;
	info->block_size = info->physical_block_size = 512;
	info->num_blocks = BLOCKS;
	info->max_queues = HVS_BLK_ANY_QUEUE;
	return 0;
}

static void slow_submit(void *priv, struct hvs_blk_req *req)
{
	struct slow *d = priv;

	note(d->w, req);
	cr_assert_leq(req->offset + req->len, sizeof(d->data));
	cr_assert_lt(d->held_count, SLOTS + DISKS);
	d->held[d->held_count++] = req;
}

/* The first `len` bytes of it. */
static void transfer(struct slow *d, const struct hvs_blk_req *req, uint64_t len)
{
	uint64_t at = req->offset;

	for (unsigned i = 0; i < req->iovcnt && len; i++) {
		uint64_t n = req->iov[i].iov_len < len ? req->iov[i].iov_len : len;

		if (req->op == HVS_BLK_READ)
			memcpy(req->iov[i].iov_base, d->data + at, n);
		else
			memcpy(d->data + at, req->iov[i].iov_base, n);
		at += n;
		len -= n;
	}
}

static struct hvs_blk_req *take(struct slow *d, unsigned i)
{
	struct hvs_blk_req *req = d->held[i];

	d->held[i] = d->held[--d->held_count];
	return req;
}

/* It may have been done, or not, or in part. */
static void slow_cancel(void *priv, struct hvs_blk_req *req)
{
	struct slow *d = priv;
	unsigned i = 0;

	while (i < d->held_count && d->held[i] != req)
		i++;
	cr_assert_lt(i, d->held_count);
	(void)take(d, i);
	switch (rng_below(d->rng, 3)) {
	case 0:
		transfer(d, req, req->len);
		hvs_blk_complete(req, HVS_BLK_OK);
		break;
	case 1:
		transfer(d, req, rng_below(d->rng, (uint32_t)req->len + 1));
		hvs_blk_complete(req, HVS_BLK_ABORTED);
		break;
	default:
		hvs_blk_complete(req, HVS_BLK_ABORTED);
		break;
	}
}

static const struct hvs_blk_ops slow_ops = {HVS_BLK_OPS_INIT, .get_info = slow_info,
					    .submit = slow_submit, .cancel = slow_cancel};

static void finish_some(struct slow *d)
{
	while (d->held_count && rng_below(d->rng, 3)) {
		struct hvs_blk_req *req = take(d, rng_below(d->rng, d->held_count));

		transfer(d, req, req->len);
		hvs_blk_complete(req, HVS_BLK_OK);
	}
}

/* ---- the machine ------------------------------------------------------------------------------ */

enum kind { NOTHING, READ, WRITE, COMPARE_AND_WRITE, FLUSH, LOCK, LOCK_READ, RESET };

struct slot {
	enum kind kind;
	unsigned disk;
	unsigned channel;
	uint64_t xid;
	uint32_t offset; /* of the data in the slot's pages */
	uint8_t fill;
	unsigned plugs; /* of the disk, when it began */
	uint64_t seen;  /* last transaction when the back end got it; 0: it has not */
};

struct reset {
	uint64_t xid;
	bool one;
	unsigned disk;
};

/* Several commands race for a block: only one may find it as it was. */
struct lock {
	unsigned in_flight;
	bool known;
	bool taken; /* one has: the block is something else now */
	bool unsure;
	uint32_t value;
	uint32_t token; /* what it is, if `taken` */
};

struct world {
	struct rng rng;
	struct hvs_loopback *lb;
	struct hvs_storvsp *ctl;
	struct hvs_guest *guest;
	struct hvs_guest_channel *ch[CHANNELS];
	unsigned channels;
	uint16_t version;
	struct slow slow[DISKS];
	struct slot slot[SLOTS];
	/* What is on the disks, if that is known. */
	uint8_t model[DISKS][SLOTS];
	bool known[DISKS][SLOTS];
	struct lock lock[DISKS];
	uint64_t xid;
	uint8_t *buf;
	uint64_t gpa;
	struct reset reset[SLOTS]; /* that were answered, and not checked yet */
	unsigned reset_count;
	unsigned odds; /* one in so many waits replaces the host; 0: none */
	unsigned replaced;
	unsigned completed;
	unsigned aborted;
	unsigned enumerates;
};

static void attach(struct world *w, unsigned i)
{
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .target = (uint8_t)(i & 1),
					    .lun = (uint8_t)(i * 5)};

	cr_assert_eq(hvs_storvsp_attach(w->ctl, &cfg, &slow_ops, &w->slow[i], &w->slow[i].disk), 0);
}

static int offer(void *arg, struct hvs_vmbus *bus)
{
	struct world *w = arg;
	struct hvs_worker *workers[CHANNELS - 1];
	const struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{1, 2, 3}},
					       .max_subchannels = CHANNELS - 1,
					       .subchannel_workers = workers,
					       .subchannel_worker_count = CHANNELS - 1};

	for (unsigned i = 0; i < CHANNELS - 1; i++)
		cr_assert_eq(hvs_worker_create(bus, NULL, &workers[i]), 0);
	cr_assert_eq(hvs_storvsp_create(bus, &cfg, &w->ctl), 0);
	for (unsigned i = 0; i < DISKS; i++) {
		cr_assert_eq(w->slow[i].held_count, 0, "the old host is not done");
		if (w->slow[i].present)
			attach(w, i);
	}
	return 0;
}

static void has_left(void *arg, int status)
{
	struct slow *d = arg;

	cr_assert_eq(status, 0);
	cr_assert_eq(d->held_count, 0, "a disk left with requests in flight");
	d->leaving = false;
}

static void plug(struct world *w)
{
	struct slow *d = &w->slow[rng_below(&w->rng, DISKS)];

	d->plugs++;
	if (d->present) {
		d->present = false;
		d->leaving = true;
		cr_assert_eq(hvs_disk_remove(d->disk, has_left, d), 0);
	} else if (!d->leaving) {
		d->present = true;
		attach(w, (unsigned)(d - w->slow));
	}
}

static void on_wait(void *arg, struct hvs_loopback *lb)
{
	struct world *w = arg;
	unsigned steps = rng_below(&w->rng, 4);

	for (unsigned i = 0; i < steps; i++) {
		hvs_loopback_step(lb, 1 + rng_below(&w->rng, 4));
		for (unsigned n = 0; n < DISKS; n++)
			if (!rng_below(&w->rng, 4))
				finish_some(&w->slow[n]);
	}
	if (w->odds && !rng_below(&w->rng, w->odds)) {
		uint32_t flags = rng_below(&w->rng, 2) ? HVS_LOOPBACK_EXTERNAL_SINTS : 0;

		w->replaced++;
		cr_assert_eq(hvs_loopback_replace_host(lb, flags, offer, w), 0);
	}
}

/* The guest's buffer says which command it is. */
static void note(struct world *w, const struct hvs_blk_req *req)
{
	uintptr_t at =
		req->iovcnt ? (uintptr_t)req->iov[0].iov_base - (uintptr_t)w->buf : UINTPTR_MAX;
	size_t n = at / (SLOT_PAGES * 4096);

	if (n < SLOTS && !w->slot[n].seen)
		w->slot[n].seen = w->xid;
}

/* ---- what the guest does ---------------------------------------------------------------------- */

static uint8_t *slot_data(struct world *w, unsigned n)
{
	return w->buf + (size_t)n * SLOT_PAGES * 4096 + w->slot[n].offset;
}

/* False: the ring is full. */
static bool send(struct world *w, unsigned n, struct hvsi_vstor_packet *p)
{
	struct slot *s = &w->slot[n];
	bool is_srb = hvsi_get32(p->operation) == HVSI_VSTOR_EXECUTE_SRB;
	const struct hvs_guest_buffer buffer = {
		.gpa = w->gpa + (uint64_t)n * SLOT_PAGES * 4096 + s->offset,
		.len = is_srb ? hvsi_get32(p->u.srb.transfer_len) : 0};
	struct iovec iov = {p, w->version < 0x501 ? 48 : 64};

	p->u.srb.target = (uint8_t)(s->disk & 1);
	p->u.srb.lun = (uint8_t)(s->disk * 5);
	s->channel = rng_below(&w->rng, w->channels);
	s->xid = ++w->xid;
	s->seen = 0;
	s->plugs = w->slow[s->disk].plugs;
	if (hvs_guest_send(w->ch[s->channel], s->xid, true, &buffer, &iov, 1) != 0)
		return false;
	hvs_guest_flush(w->ch[s->channel]);
	return true;
}

static struct hvsi_vstor_packet compare_and_write(uint32_t lba, uint8_t blocks)
{
	uint8_t cdb[16] = {0x89, [13] = blocks};
	struct hvsi_vstor_packet p;

	hvsi_put_be32(cdb + 6, lba);
	p = stor_srb(0, cdb, sizeof(cdb), HVSI_DATA_OUT);
	p.u.srb.transfer_len = hvsi_le32(blocks * 1024u);
	return p;
}

static struct hvsi_vstor_packet lock_command(struct world *w, unsigned n)
{
	struct slot *s = &w->slot[n];
	struct lock *l = &w->lock[s->disk];
	uint32_t token = (uint32_t)w->xid + 1;

	if (!l->known) {
		s->kind = LOCK_READ;
		return stor_rw(0, false, LOCK_LBA, 1);
	}
	s->kind = LOCK;
	memset(slot_data(w, n), 0, 1024);
	memcpy(slot_data(w, n), &l->value, 4);
	memcpy(slot_data(w, n) + 512, &token, 4);
	return compare_and_write(LOCK_LBA, 1);
}

static bool lock_is_busy(const struct lock *l)
{
	return l->known ? l->taken || l->in_flight >= 4 : l->in_flight != 0;
}

/* A command for the slot, that fits what is known. */
static struct hvsi_vstor_packet command(struct world *w, unsigned n)
{
	static const uint32_t resets[] = {HVSI_VSTOR_RESET_LUN, HVSI_VSTOR_RESET_BUS,
					  HVSI_VSTOR_RESET_ADAPTER};
	struct slot *s = &w->slot[n];
	uint32_t what = rng_below(&w->rng, 100);
	struct hvsi_vstor_packet p;

	s->disk = rng_below(&w->rng, DISKS);
	s->offset = rng_below(&w->rng, 512) * 2;
	s->fill = (uint8_t)rng_next(&w->rng);
	if (what < 3) {
		s->kind = RESET;
		s->fill = (uint8_t)rng_below(&w->rng, 3);
		return stor_control(resets[s->fill]);
	}
	if (what < 10) {
		s->kind = FLUSH;
		return stor_flush(0);
	}
	if (what < 35 && !lock_is_busy(&w->lock[s->disk])) {
		p = lock_command(w, n);
		return p;
	}
	memset(slot_data(w, n), s->fill, BYTES);
	if (what < 55 && w->known[s->disk][n]) {
		s->kind = COMPARE_AND_WRITE;
		memset(slot_data(w, n), w->model[s->disk][n], BYTES);
		memset(slot_data(w, n) + BYTES, s->fill, BYTES);
		return compare_and_write(n * REGION, REGION);
	}
	s->kind = what < 75 && w->known[s->disk][n] ? READ : WRITE;
	p = stor_rw(0, s->kind == WRITE, n * REGION, REGION);
	if (s->kind == WRITE && rng_below(&w->rng, 2))
		p.u.srb.cdb_or_sense[1] = 0x08; /* FUA: two steps */
	return p;
}

static void begin(struct world *w, unsigned n)
{
	struct hvsi_vstor_packet p = command(w, n);
	struct slot *s = &w->slot[n];

	if (!send(w, n, &p))
		s->kind = NOTHING;
	else if (s->kind == LOCK || s->kind == LOCK_READ)
		w->lock[s->disk].in_flight++;
}

static void lock_ended(struct world *w, unsigned n, bool good, bool miscompare)
{
	struct slot *s = &w->slot[n];
	struct lock *l = &w->lock[s->disk];
	uint32_t value;

	l->in_flight--;
	if (s->kind == LOCK_READ) {
		memcpy(&value, slot_data(w, n), 4);
		if (good && l->taken && !l->unsure)
			cr_assert_eq(value, l->token);
		if (good)
			*l = (struct lock){.known = true, .value = value};
		return;
	}
	if (good) {
		cr_assert_not(l->taken, "two commands found %u", l->value);
		l->taken = true;
		memcpy(&l->token, slot_data(w, n) + 512, 4);
	} else if (!miscompare) {
		l->unsure = true;
	} else {
		cr_assert(l->taken || l->unsure || l->in_flight, "nobody has changed it");
	}
	if ((l->taken || l->unsure) && !l->in_flight)
		l->known = false;
}

static void srb_ended(struct world *w, unsigned n, const struct hvsi_vstor_packet *p)
{
	struct slot *s = &w->slot[n];
	uint8_t status = p->u.srb.srb_status;
	bool good = status == HVSI_SRB_SUCCESS;
	bool miscompare = status == 0x84 && stor_sense(p) == 0x0e1d00;

	cr_assert_eq(hvsi_get32(p->operation), HVSI_VSTOR_COMPLETE_IO);
	cr_assert_eq(good, hvsi_get32(p->status) == HVSI_NT_SUCCESS);
	/* Aborted, told of a reset, or gone. */
	cr_assert(good || miscompare || status == STOR_ABORTED || status == HVSI_SRB_INVALID_LUN ||
			  (status == 0x84 && stor_sense(p) >> 16 == 6),
		  "SRB %#x, sense %#x", status, stor_sense(p));
	w->aborted += status == STOR_ABORTED;
	if (s->kind == LOCK || s->kind == LOCK_READ) {
		lock_ended(w, n, good, miscompare);
		return;
	}
	cr_assert_not(miscompare, "the disk is not what it was");
	if (s->kind == READ && good)
		for (unsigned i = 0; i < BYTES; i++)
			cr_assert_eq(slot_data(w, n)[i], w->model[s->disk][n], "byte %u", i);
	if (s->kind == WRITE || s->kind == COMPARE_AND_WRITE) {
		w->known[s->disk][n] = good;
		w->model[s->disk][n] = s->fill;
	}
}

static void take_answer(struct world *w, unsigned channel, const struct hvs_guest_packet *pkt)
{
	uint32_t len = w->version < 0x501 ? 48 : 64;
	struct hvsi_vstor_packet p = {0};
	unsigned n = 0;

	cr_assert_eq(pkt->len, len);
	memcpy(&p, pkt->data, len);
	if (pkt->type == HVS_PACKET_INBAND) {
		cr_assert_eq(hvsi_get32(p.operation), HVSI_VSTOR_ENUMERATE_BUS);
		w->enumerates++;
		return;
	}
	while (n < SLOTS && (w->slot[n].kind == NOTHING || w->slot[n].xid != pkt->xid))
		n++;
	cr_assert_lt(n, SLOTS, "%lu is answered twice", (unsigned long)pkt->xid);
	cr_assert_eq(w->slot[n].channel, channel);
	if (w->slot[n].kind == RESET) {
		cr_assert_eq(hvsi_get32(p.status), HVSI_NT_SUCCESS);
		w->reset[w->reset_count++] = (struct reset){
			.xid = pkt->xid, .one = w->slot[n].fill == 0, .disk = w->slot[n].disk};
	} else {
		srb_ended(w, n, &p);
	}
	w->slot[n].kind = NOTHING;
	w->completed++;
}

static unsigned in_flight(const struct world *w)
{
	unsigned count = 0;

	for (unsigned n = 0; n < SLOTS; n++)
		count += w->slot[n].kind != NOTHING;
	return count;
}

/* What the back end had before a reset was sent has been answered when that is; all answers have
 * been taken. */
static void check_resets(struct world *w)
{
	for (unsigned i = 0; i < w->reset_count; i++)
		for (unsigned n = 0; n < SLOTS; n++) {
			const struct slot *s = &w->slot[n];

			cr_assert(s->kind == NOTHING || s->kind == RESET ||
					  s->xid > w->reset[i].xid || !s->seen ||
					  s->seen >= w->reset[i].xid ||
					  (w->reset[i].one && s->disk != w->reset[i].disk) ||
					  s->plugs != w->slow[s->disk].plugs,
				  "%lu has not ended before reset %lu", (unsigned long)s->xid,
				  (unsigned long)w->reset[i].xid);
		}
	w->reset_count = 0;
}

static void take_answers(struct world *w)
{
	struct hvs_guest_packet pkt;

	for (unsigned i = 0; i < w->channels; i++)
		while (rng_below(&w->rng, 8) && hvs_guest_recv(w->ch[i], &pkt) == 1)
			take_answer(w, i, &pkt);
	if (w->reset_count) {
		for (unsigned i = 0; i < w->channels; i++)
			while (hvs_guest_recv(w->ch[i], &pkt) == 1)
				take_answer(w, i, &pkt);
		check_resets(w);
	}
	for (unsigned i = 0; i < w->channels; i++)
		hvs_guest_flush(w->ch[i]);
}

static void traffic(struct world *w)
{
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned n = rng_below(&w->rng, SLOTS);

		if (w->slot[n].kind == NOTHING)
			begin(w, n);
		if (!rng_below(&w->rng, 50))
			plug(w);
		if (!rng_below(&w->rng, 6))
			on_wait(w, w->lb);
		if (!rng_below(&w->rng, 60)) /* seldom: answers fill the ring */
			take_answers(w);
	}
	for (unsigned i = 0; in_flight(w); i++) {
		cr_assert_lt(i, 10000, "a command was lost");
		on_wait(w, w->lb);
		take_answers(w);
	}
}

static struct hvs_guest_channel *open_offer(struct world *w, unsigned index)
{
	struct hvs_guest_channel *ch;

	cr_assert_eq(
		hvs_guest_channel_open(w->guest, hvs_guest_offer_at(w->guest, index), 4096, &ch),
		0);
	return ch;
}

static void open_subchannels(struct world *w)
{
	struct hvsi_vstor_packet p = stor_control(HVSI_VSTOR_CREATE_SUB_CHANNELS);
	struct iovec iov = {&p, sizeof(p)};
	struct hvs_guest_packet pkt;

	p.u.subchannel_count = hvsi_le16(CHANNELS - 1);
	cr_assert_eq(hvs_guest_send(w->ch[0], 1, true, NULL, &iov, 1), 0);
	hvs_guest_flush(w->ch[0]);
	do
		cr_assert_eq(hvs_guest_recv_wait(w->ch[0], &pkt), 1);
	while (pkt.type != HVS_PACKET_COMPLETION);
	while (!hvs_guest_offer_at(w->guest, CHANNELS - 1)) {
		on_wait(w, w->lb);
		(void)hvs_guest_channel_events(w->ch[0]); /* takes messages */
	}
	while (w->channels < CHANNELS) {
		w->ch[w->channels] = open_offer(w, w->channels);
		w->channels++;
	}
}

/* From contact to unload. */
static void session(struct world *w)
{
	static const uint16_t versions[] = {0x200, 0x402, 0x501, 0x600, 0x602};
	static const uint32_t bus_versions[] = {HVSI_VERSION(1, 1), HVSI_VERSION(2, 4),
						HVSI_VERSION(3, 0), HVSI_VERSION(4, 0),
						HVSI_VERSION(5, 3), HVSI_VERSION(6, 0)};
	uint32_t bus_version = bus_versions[rng_below(&w->rng, 6)];
	uint32_t max_transfer;

	w->version = versions[rng_below(&w->rng, 5)];
	cr_assert_eq(hvs_guest_connect(w->guest, bus_version), 0);
	cr_assert_eq(hvs_guest_request_offers(w->guest), 1);
	w->ch[0] = open_offer(w, 0);
	w->channels = 1;
	cr_assert_eq(hvs_guest_stor_init(w->ch[0], w->version, &max_transfer), 0);
	if (w->version >= 0x501 && bus_version >= HVSI_VERSION(2, 4))
		open_subchannels(w);
	traffic(w);
	while (w->channels)
		cr_assert_eq(hvs_guest_channel_close(w->ch[--w->channels]), 0);
	cr_assert_eq(hvs_guest_unload(w->guest), 0);
}

static void world_up(struct world *w, uint64_t seed, unsigned odds)
{
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT,
						.ram_bytes = (64 + SLOTS * SLOT_PAGES) * 4096,
						.on_wait = on_wait, .arg = w};

	memset(w, 0, sizeof(*w));
	w->rng.state = seed;
	w->odds = odds;
	for (unsigned i = 0; i < DISKS; i++) {
		w->slow[i].rng = &w->rng;
		w->slow[i].w = w;
		w->slow[i].present = true;
	}
	cr_assert_eq(hvs_loopback_create(&cfg, &w->lb), 0);
	cr_assert_eq(offer(w, hvs_loopback_bus(w->lb)), 0);
	cr_assert_eq(hvs_loopback_start(w->lb, &w->guest), 0);
	w->buf = hvs_loopback_alloc_pages(w->lb, SLOTS * SLOT_PAGES, &w->gpa);
	cr_assert_not_null(w->buf);
}

static void compare_disks(const struct world *w)
{
	for (unsigned d = 0; d < DISKS; d++)
		for (unsigned n = 0; n < SLOTS; n++)
			for (unsigned i = 0; w->known[d][n] && i < BYTES; i++)
				cr_assert_eq(w->slow[d].data[n * BYTES + i], w->model[d][n]);
}

Test(storage_save, every_command_ends_once_when_the_host_is_replaced_at_1000_instants)
{
	static struct world w;
	unsigned replaced = 0;
	unsigned aborted = 0;

	for (uint64_t seed = 1; replaced < 1000; seed++) {
		world_up(&w, seed * 77, 12);
		for (unsigned i = 0; i < 2; i++)
			session(&w);
		cr_assert_eq(hvs_loopback_count(w.lb)->faults, 0, "seed %u", (unsigned)seed);
		compare_disks(&w);
		replaced += w.replaced;
		aborted += w.aborted;
		w.odds = 0;
		hvs_loopback_destroy(w.lb);
	}
	cr_assert_gt(aborted, 100);
}
