/* SPDX-License-Identifier: MIT */
/*
 * A storage driver that sends anything over channels it opened properly. With flag 4 the input is
 * a list of actions: commands on several channels and disks, resets, back ends that keep requests,
 * disks that come, go and change, another host.
 */
#include "input.h"
#include "race.h"

#include "vmbus/proto.h"
#include "vsp/storage/proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <stdlib.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)64 * 4096)
#define DISK_BYTES 65536u
#define BUFFER_PAGES 4u
#define DISKS 3u
#define CHANNELS 3u
#define HELD 1024u
#define REPLACEMENTS 3u /* they take their time */

enum { READ_ONLY = 1, NO_NEGOTIATION = 2, ACTIONS = 4 };

/* ---- a disk that keeps requests --------------------------------------------------------------- */

static uint8_t medium[DISK_BYTES];

struct disk {
	struct hvs_disk *disk;
	uint64_t num_blocks;
	uint32_t flags;
	bool hangs; /* cannot cancel */
	struct {
		struct hvs_blk_req *req;
		bool cancelled; /* in vain */
	} held[HELD];
	unsigned count;
};

static int disk_info(void *priv, struct hvs_blk_info *info)
{
	const struct disk *d = priv;

	info->flags = d->flags | HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_UNMAP;
	info->block_size = info->physical_block_size = 512;
	info->num_blocks = d->num_blocks;
	info->max_queues = HVS_BLK_ANY_QUEUE;
	return 0;
}

static void disk_submit(void *priv, struct hvs_blk_req *req)
{
	struct disk *d = priv;

	if (d->count == HELD)
		abort();
	d->held[d->count].req = req;
	d->held[d->count++].cancelled = false;
}

static void finish(struct disk *d, unsigned i, enum hvs_blk_status status)
{
	struct hvs_blk_req *req = d->held[i].req;
	uint64_t at = req->offset;

	d->held[i] = d->held[--d->count];
	for (unsigned n = 0; n < req->iovcnt && at + req->iov[n].iov_len <= DISK_BYTES; n++) {
		if (req->op == HVS_BLK_READ)
			memcpy(req->iov[n].iov_base, medium + at, req->iov[n].iov_len);
		else
			memcpy(medium + at, req->iov[n].iov_base, req->iov[n].iov_len);
		at += req->iov[n].iov_len;
	}
	hvs_blk_complete(req, status);
}

static void disk_cancel(void *priv, struct hvs_blk_req *req)
{
	struct disk *d = priv;

	for (unsigned i = 0; i < d->count; i++)
		if (d->held[i].req == req) {
			d->held[i].cancelled = true;
			if (!d->hangs)
				finish(d, i, HVS_BLK_ABORTED);
			return;
		}
}

static const struct hvs_blk_ops disk_ops = {HVS_BLK_OPS_INIT, .get_info = disk_info,
					    .submit = disk_submit, .cancel = disk_cancel};

/* ---- the machine ------------------------------------------------------------------------------ */

struct machine {
	struct hvs_loopback *lb;
	struct hvs_guest *g;
	struct hvs_storvsp *ctl;
	struct hvs_guest_channel *ch[CHANNELS];
	unsigned channels;
	uint64_t gpa;
	uint8_t *buffer;
	struct disk disk[DISKS];
	uint64_t xid;
	unsigned replaced;
};

static void attach(struct machine *m, unsigned i)
{
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = (uint8_t)i};

	if (hvs_storvsp_attach(m->ctl, &cfg, &disk_ops, &m->disk[i], &m->disk[i].disk))
		abort();
}

static int offer(void *arg, struct hvs_vmbus *bus)
{
	const struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .max_subchannels = 2};
	struct machine *m = arg;
	int err = hvs_storvsp_create(bus, &cfg, &m->ctl);

	for (unsigned i = 0; !err && i < DISKS; i++)
		if (m->disk[i].disk)
			attach(m, i);
	return err;
}

static void start(struct machine *m, unsigned flags)
{
	uint32_t max_transfer;

	if (hvs_loopback_start(m->lb, &m->g) || hvs_guest_connect(m->g, 0x50003) ||
	    hvs_guest_request_offers(m->g) != 1 ||
	    hvs_guest_channel_open(m->g, hvs_guest_offer_at(m->g, 0), 8192, &m->ch[0]))
		abort();
	m->channels = 1;
	if (!(flags & NO_NEGOTIATION) && hvs_guest_stor_init(m->ch[0], 0x600, &max_transfer))
		abort();
}

static void open_subchannels(struct machine *m)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_CREATE_SUB_CHANNELS)};
	struct iovec iov = {&p, sizeof(p)};
	struct hvs_guest_packet reply;
	uint8_t message[HVSI_MSG_MAX];

	p.u.subchannel_count = hvsi_le16(CHANNELS - 1);
	if (hvs_guest_send(m->ch[0], 0, true, NULL, &iov, 1) ||
	    hvs_guest_recv_wait(m->ch[0], &reply) != 1)
		abort();
	for (unsigned i = 1; i < CHANNELS; i++)
		if (hvs_guest_wait_message(m->g, HVSI_MSG_OFFERCHANNEL, message) < 0)
			abort();
	for (; m->channels < CHANNELS; m->channels++)
		if (hvs_guest_channel_open(m->g, hvs_guest_offer_at(m->g, m->channels), 8192,
					   &m->ch[m->channels]))
			abort();
}

static void exchange(struct machine *m, unsigned n, bool wants_completion,
		     const struct hvs_guest_buffer *buffer, const struct iovec *iov)
{
	struct hvs_guest_packet reply;

	if (hvs_guest_send(m->ch[n], m->xid++, wants_completion, buffer, iov, 1) == 0)
		hvs_guest_flush(m->ch[n]);
	hvs_loopback_run(m->lb);
	for (unsigned i = 0; i < m->channels; i++)
		while (hvs_guest_recv(m->ch[i], &reply) == 1)
			;
}

static void send_packet(struct machine *m, struct input *in, unsigned n)
{
	uint8_t packet[80];
	uint8_t len = (uint8_t)input_number(in, 1);
	struct iovec iov = {.iov_base = packet, .iov_len = len % sizeof(packet)};
	struct hvs_guest_buffer buffer = {.gpa = m->gpa + input_number(in, 2),
					  .len = (uint32_t)input_number(in, 2)};

	input_bytes(in, packet, iov.iov_len);
	exchange(m, n, !(len & 0x80), &buffer, &iov);
}

/* ---- actions ---------------------------------------------------------------------------------- */

/* A command that is well formed but for its CDB. */
static void send_command(struct machine *m, struct input *in, unsigned n)
{
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(HVSI_VSTOR_EXECUTE_SRB)};
	struct iovec iov = {&p, sizeof(p)};
	struct hvs_guest_buffer buffer = {.gpa = m->gpa + input_number(in, 1) * 8};

	p.u.srb.lun = (uint8_t)input_number(in, 1) % DISKS;
	p.u.srb.cdb_len = HVSI_CDB_BYTES;
	p.u.srb.data_in = (uint8_t)input_number(in, 1);
	buffer.len = (uint32_t)input_number(in, 1) * 512;
	p.u.srb.transfer_len = hvsi_le32(buffer.len);
	p.u.srb.timeout_s = hvsi_le32(p.u.srb.data_in >> 4);
	p.u.srb.data_in &= 3;
	input_bytes(in, p.u.srb.cdb_or_sense, HVSI_CDB_BYTES);
	exchange(m, n, true, &buffer, &iov);
}

/* What the next command writes. */
static void fill_buffer(struct machine *m, struct input *in)
{
	size_t len = input_number(in, 1);

	input_bytes(in, m->buffer, len);
}

static void send_reset(struct machine *m, struct input *in, unsigned n)
{
	uint32_t what = (uint32_t)input_number(in, 1);
	struct hvsi_vstor_packet p = {.operation = hvsi_le32(4 + what % 3)};
	struct iovec iov = {&p, sizeof(p)};

	p.u.srb.lun = (uint8_t)(what / 3 % DISKS);
	exchange(m, n, true, NULL, &iov);
}

static void finish_one(struct machine *m, struct input *in)
{
	struct disk *d = &m->disk[input_number(in, 1) % DISKS];
	unsigned i = (unsigned)input_number(in, 1);
	unsigned status = (unsigned)input_number(in, 1);

	if (d->count)
		finish(d, i % d->count, (enum hvs_blk_status)(status % 8));
	hvs_loopback_run(m->lb);
}

static void change_disk(struct machine *m, struct input *in)
{
	struct disk *d = &m->disk[input_number(in, 1) % DISKS];
	unsigned how = (unsigned)input_number(in, 1);

	d->hangs = how & 1;
	d->flags = how & 2 ? HVS_BLK_INFO_READ_ONLY : 0;
	d->num_blocks = how & 4 ? 64 : 128;
	if (d->disk && how & 8)
		(void)!hvs_disk_refresh(d->disk);
	hvs_loopback_run(m->lb);
}

static void left(void *arg, int status)
{
	(void)status;
	*(bool *)arg = false;
}

static bool leaving[DISKS];

static void plug(struct machine *m, struct input *in)
{
	unsigned i = (unsigned)input_number(in, 1) % DISKS;
	struct disk *d = &m->disk[i];

	if (d->disk) {
		leaving[i] = true;
		if (hvs_disk_remove(d->disk, left, &leaving[i]))
			abort();
		d->disk = NULL;
	} else if (!leaving[i]) {
		attach(m, i);
	}
	hvs_loopback_run(m->lb);
}

static void give_back(struct machine *m)
{
	for (unsigned i = 0; i < DISKS; i++) {
		struct disk *d = &m->disk[i];

		d->hangs = false;
		for (unsigned n = d->count; n-- > 0;)
			if (n < d->count && d->held[n].cancelled)
				finish(d, n, HVS_BLK_ABORTED);
	}
}

/* False: the machine is gone. */
static bool act(struct machine *m, struct input *in)
{
	unsigned what = (unsigned)input_number(in, 1);
	unsigned n = (what >> 4) % m->channels;

	switch (what & 7) {
	case 0:
		send_packet(m, in, n);
		return true;
	case 2:
		fill_buffer(m, in);
		send_command(m, in, n);
		return true;
	case 1:
		send_command(m, in, n);
		return true;
	case 3:
		send_reset(m, in, n);
		return true;
	case 4:
		finish_one(m, in);
		return true;
	case 5:
		change_disk(m, in);
		return true;
	case 6:
		plug(m, in);
		return true;
	default:
		if (m->replaced++ == REPLACEMENTS)
			return false;
		give_back(m); /* the old host waits for them */
		return hvs_loopback_replace_host(m->lb, what & 8 ? HVS_LOOPBACK_EXTERNAL_SINTS : 0,
						 offer, m) == 0;
	}
}

static void run_actions(struct machine *m, struct input *in)
{
	for (unsigned i = 0; i < 64 && input_more(in); i++)
		if (!act(m, in))
			return;
}

/* ------------------------------------------------------------------------------------------------ */

static void attach_memdisk(struct machine *m, struct hvs_memdisk *memdisk)
{
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .serial = "fuzz"};

	if (hvs_storvsp_attach(m->ctl, &cfg, hvs_memdisk_ops(), memdisk, NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct machine m;
	struct input in = {data, size};
	const struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES};
	struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = medium, .len = DISK_BYTES,
				      .block_size = 512};
	uint8_t flags;

	m = (struct machine){0};
	memset(leaving, 0, sizeof(leaving));
	race_take(&in);
	flags = (uint8_t)input_number(&in, 1);
	memdisk.flags = flags & READ_ONLY ? HVS_BLK_INFO_READ_ONLY : 0;
	if (hvs_loopback_create(&cfg, &m.lb) || offer(&m, hvs_loopback_bus(m.lb)))
		abort();
	for (unsigned i = 0; i < DISKS; i++)
		m.disk[i].num_blocks = DISK_BYTES / 512;
	if (flags & ACTIONS)
		for (unsigned i = 0; i < DISKS; i++)
			attach(&m, i);
	else
		attach_memdisk(&m, &memdisk);
	start(&m, flags);
	if ((flags & (ACTIONS | NO_NEGOTIATION)) == ACTIONS)
		open_subchannels(&m);
	m.buffer = hvs_loopback_alloc_pages(m.lb, BUFFER_PAGES, &m.gpa);
	if (!m.buffer)
		abort();
	race_start(m.buffer - (m.gpa - RAM_GPA), RAM_BYTES); /* rings, SynIC pages: all of it */
	if (flags & ACTIONS)
		run_actions(&m, &in);
	else
		for (unsigned i = 0; i < 64 && input_more(&in); i++)
			send_packet(&m, &in, 0);
	give_back(&m);
	hvs_loopback_destroy(m.lb);
	return 0;
}
