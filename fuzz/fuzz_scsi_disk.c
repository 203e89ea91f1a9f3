/* SPDX-License-Identifier: MIT */
/*
 * Sequences of block commands for the memory disk, each compared with what a model makes of it:
 * status, sense data, INFORMATION, bytes moved, what the guest's buffer holds, and in the end the
 * disk. An input is
 *
 *   u8    bit 0: blocks of 4 KiB; bit 1: read-only
 *   then for each command
 *   u8    which one, of `commands`
 *   u8    flags: bits of the CDB's second byte, mostly those that are defined
 *   u8[2] where: bits 0..7 a number, 8..9 what it means
 *   u8    blocks
 *   u8    what the guest's buffer holds: bits 0..1, and bits 2..7 a number for that
 *   u8    how much too long or too short the buffer is
 */
#include "input.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <stdio.h>
#include <stdlib.h>

#define BLOCKS 80u
#define MAX_BLOCK 4096u
#define MAX_TRANSFER 65536u
#define BUFFER_PAGES 17u
#define RAM_BYTES ((size_t)64 * 4096)
#define MAX_COMMANDS 64u
#define MAX_COMPARE_AND_WRITE 255u

#define GOOD 0u
#define LIST_LENGTH 0x051a00u
#define OUT_OF_RANGE 0x052100u
#define INVALID_FIELD 0x052400u
#define WRITE_PROTECTED 0x072700u
#define MISCOMPARE 0x0e1d00u

enum what {
	READ,
	WRITE,
	WRITE_VERIFY,
	VERIFY,
	SYNCHRONIZE,
	PREFETCH,
	WRITE_SAME,
	UNMAP,
	COMPARE_AND_WRITE,
	ORWRITE,
	GET_LBA_STATUS,
};

static const struct {
	enum what what;
	uint8_t opcode;
	uint8_t len;
} commands[] = {
	{READ, 0x08, 6},          {READ, 0x28, 10},
	{READ, 0xa8, 12},         {READ, 0x88, 16},
	{WRITE, 0x0a, 6},         {WRITE, 0x2a, 10},
	{WRITE, 0xaa, 12},        {WRITE, 0x8a, 16},
	{WRITE_VERIFY, 0x2e, 10}, {WRITE_VERIFY, 0xae, 12},
	{WRITE_VERIFY, 0x8e, 16}, {VERIFY, 0x2f, 10},
	{VERIFY, 0xaf, 12},       {VERIFY, 0x8f, 16},
	{SYNCHRONIZE, 0x35, 10},  {SYNCHRONIZE, 0x91, 16},
	{PREFETCH, 0x34, 10},     {PREFETCH, 0x90, 16},
	{WRITE_SAME, 0x41, 10},   {WRITE_SAME, 0x93, 16},
	{UNMAP, 0x42, 10},        {COMPARE_AND_WRITE, 0x89, 16},
	{ORWRITE, 0x8b, 16},      {GET_LBA_STATUS, 0x9e, 16},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The disk as it should be. */
static uint8_t model[BLOCKS * MAX_BLOCK];
static uint32_t block_size;
static bool read_only;

/* A command, and what it should do. */
struct command {
	enum what what;
	uint8_t cdb[16];
	uint8_t cdb_len;
	uint8_t flags;
	uint64_t lba;
	uint32_t blocks;
	uint32_t len; /* of the buffer */
	uint8_t buffer[MAX_TRANSFER];

	uint32_t sense;
	uint32_t transferred;
	bool has_information;
	uint32_t information;
};

/* ---- the model -------------------------------------------------------------------------------- */

static bool fits(uint64_t lba, uint64_t blocks)
{
	return lba <= BLOCKS && blocks <= BLOCKS - lba;
}

static uint8_t *at(uint64_t lba)
{
	return model + lba * block_size;
}

static bool unmapped(uint64_t lba)
{
	return !*at(lba) && memcmp(at(lba), at(lba) + 1, block_size - 1) == 0;
}

static uint64_t get_be(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *p++;
	return v;
}

static void put_be(uint8_t *p, uint64_t v, unsigned bytes)
{
	while (bytes--) {
		p[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

static uint32_t transfer(struct command *c)
{
	uint32_t len = c->blocks * block_size;
	bool obsolete = c->cdb_len > 6 && c->flags & 0xe1;
	uint32_t bytchk = c->flags >> 1 & 3;

	if (obsolete || (c->what == WRITE_VERIFY && bytchk > 1))
		return INVALID_FIELD;
	if (!fits(c->lba, c->blocks))
		return OUT_OF_RANGE;
	if (!c->blocks)
		return GOOD;
	if (len > c->len || len > MAX_TRANSFER)
		return INVALID_FIELD;
	c->transferred = len;
	if (c->what == READ)
		memcpy(c->buffer, at(c->lba), len);
	else if (c->what != ORWRITE)
		memcpy(at(c->lba), c->buffer, len);
	for (uint32_t i = 0; c->what == ORWRITE && i < len; i++)
		at(c->lba)[i] |= c->buffer[i];
	return GOOD;
}

static uint32_t verify(struct command *c)
{
	uint32_t len = c->blocks * block_size;
	uint32_t bytchk = c->flags >> 1 & 3;
	uint32_t sent = bytchk == 0 ? 0 : bytchk == 1 ? len : block_size;

	if (c->flags & 0xe1 || bytchk == 2)
		return INVALID_FIELD;
	if (!fits(c->lba, c->blocks))
		return OUT_OF_RANGE;
	if (!c->blocks)
		return GOOD;
	if (sent > c->len || len > MAX_TRANSFER)
		return INVALID_FIELD;
	c->transferred = sent;
	for (uint32_t i = 0; sent && i < len; i += block_size)
		if (memcmp(at(c->lba) + i, c->buffer + i % sent, block_size) != 0)
			return MISCOMPARE;
	return GOOD;
}

static uint32_t compare_and_write(struct command *c)
{
	uint32_t len = c->blocks * block_size;
	uint32_t max = MAX_TRANSFER / 2 / block_size;

	if (c->flags & 0xe0)
		return INVALID_FIELD;
	if (!fits(c->lba, c->blocks))
		return OUT_OF_RANGE;
	if (!c->blocks)
		return GOOD;
	if (c->blocks > max || c->blocks > MAX_COMPARE_AND_WRITE || c->len != 2 * len)
		return INVALID_FIELD;
	for (uint32_t i = 0; i < len; i++) {
		if (at(c->lba)[i] == c->buffer[i])
			continue;
		c->has_information = true;
		c->information = i;
		return MISCOMPARE;
	}
	memcpy(at(c->lba), c->buffer + len, len);
	c->transferred = 2 * len;
	return GOOD;
}

static uint32_t write_same(struct command *c)
{
	bool no_data = c->cdb_len == 16 && c->flags & 1;

	if (c->flags & 0xf6 || (c->cdb_len == 10 && c->flags & 1))
		return INVALID_FIELD;
	if (!fits(c->lba, c->blocks))
		return OUT_OF_RANGE;
	if (!c->blocks || (!no_data && c->len != block_size))
		return INVALID_FIELD;
	for (uint32_t i = 0; i < c->blocks; i++) {
		if (no_data)
			memset(at(c->lba + i), 0, block_size);
		else
			memcpy(at(c->lba + i), c->buffer, block_size);
	}
	c->transferred = no_data ? 0 : block_size;
	return GOOD;
}

static uint32_t unmap(struct command *c)
{
	uint32_t list = (uint32_t)get_be(c->cdb + 7, 2);
	uint32_t count;

	if (c->flags & 1)
		return INVALID_FIELD;
	if (!list)
		return GOOD;
	if (list < 8 || list > c->len || get_be(c->buffer + 2, 2) > list - 8)
		return LIST_LENGTH;
	count = (uint32_t)get_be(c->buffer + 2, 2) / 16;
	for (size_t i = 0; i < count; i++)
		if (!fits(get_be(c->buffer + 8 + i * 16, 8), get_be(c->buffer + 16 + i * 16, 4)))
			return OUT_OF_RANGE;
	for (size_t i = 0; i < count; i++)
		memset(at(get_be(c->buffer + 8 + i * 16, 8)), 0,
		       get_be(c->buffer + 16 + i * 16, 4) * block_size);
	c->transferred = list;
	return GOOD;
}

static uint32_t get_lba_status(struct command *c)
{
	uint8_t answer[8 + BLOCKS * 16] = {0};
	uint32_t room = (uint32_t)get_be(c->cdb + 10, 4);
	uint32_t most;
	uint32_t count = 0;

	if (c->lba >= BLOCKS)
		return OUT_OF_RANGE;
	room = room < c->len ? room : c->len;
	most = room < 24 ? 1 : (room - 8) / 16;
	most = most < 64 ? most : 64;
	for (uint64_t lba = c->lba; lba < BLOCKS && count < most; count++) {
		uint8_t *d = answer + 8 + (size_t)count * 16;
		uint64_t first = lba;

		while (lba < BLOCKS && unmapped(lba) == unmapped(first))
			lba++;
		put_be(d, first, 8);
		put_be(d + 8, lba - first, 4);
		d[12] = unmapped(first);
	}
	put_be(answer, 4 + count * 16, 4);
	c->transferred = 8 + count * 16 < room ? 8 + count * 16 : room;
	memcpy(c->buffer, answer, c->transferred);
	return GOOD;
}

static uint32_t outcome(struct command *c)
{
	switch (c->what) {
	case READ:
	case WRITE:
	case WRITE_VERIFY:
	case ORWRITE:
		return transfer(c);
	case VERIFY:
		return verify(c);
	case SYNCHRONIZE:
	case PREFETCH:
		return fits(c->lba, c->blocks) ? GOOD : OUT_OF_RANGE;
	case WRITE_SAME:
		return write_same(c);
	case UNMAP:
		return unmap(c);
	case COMPARE_AND_WRITE:
		return compare_and_write(c);
	case GET_LBA_STATUS:
		return get_lba_status(c);
	}
	abort();
}

static void expect(struct command *c)
{
	bool writes = c->what == WRITE || c->what == WRITE_VERIFY || c->what == WRITE_SAME ||
		      c->what == UNMAP || c->what == COMPARE_AND_WRITE || c->what == ORWRITE;

	c->transferred = 0;
	c->has_information = false;
	c->sense = writes && read_only ? WRITE_PROTECTED : outcome(c);
	if (c->sense)
		c->transferred = 0;
}

/* ---- commands from the input ---------------------------------------------------------------------- */

static uint64_t take_lba(struct input *in)
{
	uint64_t n = input_number(in, 1);

	switch (input_number(in, 1) & 3) {
	case 0:
	case 1:
		return n % (BLOCKS + 2);
	case 2:
		return BLOCKS - n % 4;
	default: /* around the powers of two */
		return (1ull << n % 64) - (n >> 6);
	}
}

/* The bytes that a command of this kind is about. */
static uint32_t wanted(const struct command *c)
{
	switch (c->what) {
	case SYNCHRONIZE:
	case PREFETCH:
		return 0;
	case VERIFY:
		return c->flags & 2 ? (c->flags & 4 ? 1 : c->blocks) * block_size : 0;
	case WRITE_SAME:
		return c->cdb_len == 16 && c->flags & 1 ? 0 : block_size;
	case COMPARE_AND_WRITE:
		return 2 * c->blocks * block_size;
	case UNMAP:
	case GET_LBA_STATUS:
		return 8 + c->blocks % 5 * 16;
	default:
		return c->blocks * block_size;
	}
}

/* What is in the buffer: what is on the disk, most interesting of all, zeros, or a pattern. */
static void fill_buffer(struct command *c, struct input *in)
{
	uint8_t how = (uint8_t)input_number(in, 1);
	uint32_t len = wanted(c) + 32;
	uint64_t on_disk = c->what == COMPARE_AND_WRITE ? c->blocks : BLOCKS;

	len = len < sizeof(c->buffer) ? len : (uint32_t)sizeof(c->buffer);
	memset(c->buffer, how & 1 ? how : 0, len);
	if (!(how & 2) || c->lba >= BLOCKS)
		return;
	on_disk = on_disk < BLOCKS - c->lba ? on_disk : BLOCKS - c->lba;
	on_disk *= block_size;
	memcpy(c->buffer, at(c->lba), on_disk < len ? on_disk : len);
	if (how & 1)
		c->buffer[(how >> 2) * 997u % len] ^= 0x10;
}

static void put_unmap_list(struct command *c, struct input *in)
{
	uint32_t list = wanted(c) + (input_number(in, 1) & 3 ? 0 : 5);

	put_be(c->cdb + 2, 0, 4);
	put_be(c->cdb + 7, list, 2);
	memset(c->buffer, 0, 128); /* more than the longest */
	put_be(c->buffer, list - 2, 2);
	put_be(c->buffer + 2, list - 8 + (c->flags & 0x80 ? 16 : 0), 2);
	for (uint32_t n = 0; n < 5; n++) {
		put_be(c->buffer + 8 + (size_t)n * 16, take_lba(in), 8);
		put_be(c->buffer + 16 + (size_t)n * 16, input_number(in, 1) % 9, 4);
	}
}

static void put_blocks(struct command *c)
{
	switch (c->cdb_len) {
	case 6:
		c->lba &= 0x1fffff;
		put_be(c->cdb + 1, c->lba, 3);
		c->cdb[4] = (uint8_t)c->blocks;
		c->blocks = c->blocks ? c->blocks : 256;
		break;
	case 10:
		c->lba &= UINT32_MAX;
		put_be(c->cdb + 2, c->lba, 4);
		put_be(c->cdb + 7, c->blocks, 2);
		break;
	case 12:
		c->lba &= UINT32_MAX;
		put_be(c->cdb + 2, c->lba, 4);
		put_be(c->cdb + 6, c->blocks, 4);
		break;
	default:
		put_be(c->cdb + 2, c->lba, 8);
		put_be(c->cdb + 10, c->blocks, 4);
		break;
	}
}

static void take_command(struct command *c, struct input *in)
{
	size_t n = input_number(in, 1) % COMMANDS;
	int off;

	memset(c->cdb, 0, sizeof(c->cdb));
	c->what = commands[n].what;
	c->cdb_len = commands[n].len;
	c->cdb[0] = commands[n].opcode;
	c->flags = (uint8_t)input_number(in, 1);
	if (c->flags & 1) /* mostly no fields that are refused */
		c->flags &= 0x1e;
	c->flags = c->cdb_len == 6 ? 0 : c->flags;
	c->lba = take_lba(in);
	c->blocks = (uint32_t)input_number(in, 1);
	if (c->blocks < 0xf0)
		c->blocks %= 24;
	c->cdb[1] = c->flags;
	put_blocks(c);
	fill_buffer(c, in);
	off = (int)input_number(in, 1);
	if (off > 127)
		off -= 256;
	c->len = wanted(c);
	if (c->what == UNMAP)
		put_unmap_list(c, in);
	if (c->what == GET_LBA_STATUS) {
		c->cdb[1] = 0x12;
		put_be(c->cdb + 10, c->len, 4);
	}
	if (off > 96) /* mostly it is as long as it should be */
		c->len += (uint32_t)off - 96;
	else if (off < -96)
		c->len -= c->len < (uint32_t)(-96 - off) ? c->len : (uint32_t)(-96 - off);
	if (c->len > MAX_TRANSFER)
		c->len = MAX_TRANSFER;
}

/* ---- doing them ----------------------------------------------------------------------------------- */

static void check(const struct command *c, const struct hvs_guest_scsi_result *r,
		  const uint8_t *guest)
{
	uint32_t sense = (uint32_t)r->sense[2] << 16 | (uint32_t)r->sense[12] << 8 | r->sense[13];
	uint8_t failed = c->sense >> 16 == 5 ? 0x86 : 0x84;
	bool has_information = r->sense[0] & 0x80;
	bool data = memcmp(guest, c->buffer, c->len) == 0;

	if (sense == c->sense && r->scsi_status == (c->sense ? 2 : 0) &&
	    r->srb_status == (c->sense ? failed : 0x01) && r->transferred == c->transferred &&
	    has_information == c->has_information &&
	    (!has_information || get_be(r->sense + 3, 4) == c->information) && data)
		return;
	fprintf(stderr,
		"command %02x/%02x lba %#llx blocks %u buffer %u: SRB %02x, sense %06x, %u bytes,\n"
		"expected %06x, %u bytes; data are %s\n",
		c->cdb[0], c->cdb[1], (unsigned long long)c->lba, c->blocks, c->len, r->srb_status,
		sense, r->transferred, c->sense, c->transferred, data ? "right" : "wrong");
	abort();
}

static void execute(struct hvs_guest_channel *ch, struct command *c, uint8_t *guest, uint64_t gpa)
{
	bool in = c->what == READ || c->what == GET_LBA_STATUS;
	struct hvs_guest_scsi cmd = {.cdb_len = c->cdb_len,
				     .direction = in ? HVS_GUEST_STOR_IN : HVS_GUEST_STOR_OUT,
				     .buffer = {.gpa = gpa, .len = c->len}};
	struct hvs_guest_scsi_result r;

	if (!c->len)
		cmd.direction = HVS_GUEST_STOR_NONE;
	memcpy(cmd.cdb, c->cdb, c->cdb_len);
	memcpy(guest, c->buffer, c->len);
	expect(c);
	if (hvs_guest_stor_execute(ch, &cmd, &r))
		abort();
	check(c, &r, guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT,
					     .max_transfer_bytes = MAX_TRANSFER};
	struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .serial = "fuzz"};
	static uint8_t disk[sizeof(model)];
	static struct command command;
	uint8_t flags = (uint8_t)input_number(&in, 1);
	struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = disk};
	struct hvs_guest_channel *ch;
	struct hvs_storvsp *ctl;
	struct hvs_loopback *lb;
	struct hvs_guest *g;
	uint32_t max_transfer;
	uint8_t *guest;
	uint64_t gpa;

	block_size = flags & 1 ? 4096 : 512;
	read_only = flags & 2;
	for (uint32_t lba = 0; lba < BLOCKS; lba++)
		memset(at(lba), lba % 5 ? (int)lba : 0, block_size);
	memcpy(disk, model, sizeof(model));
	memdisk.block_size = block_size;
	memdisk.len = (uint64_t)BLOCKS * block_size;
	memdisk.flags = read_only ? HVS_BLK_INFO_READ_ONLY : 0;
	if (hvs_loopback_create(&cfg, &lb) ||
	    hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl) ||
	    hvs_storvsp_attach(ctl, &disk_cfg, hvs_memdisk_ops(), &memdisk, NULL) ||
	    hvs_loopback_start(lb, &g) || hvs_guest_connect(g, 0x50003) ||
	    hvs_guest_request_offers(g) != 1 ||
	    hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 8192, &ch) ||
	    hvs_guest_stor_init(ch, 0x600, &max_transfer) ||
	    !(guest = hvs_loopback_alloc_pages(lb, BUFFER_PAGES, &gpa)))
		abort();
	for (unsigned i = 0; i < MAX_COMMANDS && input_more(&in); i++) {
		take_command(&command, &in);
		execute(ch, &command, guest + 100, gpa + 100);
	}
	if (memcmp(disk, model, memdisk.len) != 0)
		abort();
	hvs_loopback_destroy(lb);
	return 0;
}
