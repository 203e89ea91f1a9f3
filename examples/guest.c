/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <hvstack/guest/storage.h>

#include <errno.h>
#include <string.h>

#define BLOCK_BYTES 512u

/* SCSI commands, with the address and number of the blocks where they have them: block 0, one. */
enum { READ_10 = 0x28, WRITE_10 = 0x2a, SYNCHRONIZE_CACHE_10 = 0x35 };

static int execute(struct hvs_guest_channel *ch, uint8_t operation, uint64_t gpa)
{
	const bool write = operation == WRITE_10;
	struct hvs_guest_scsi cmd = {.cdb_len = 10, .cdb = {operation, [8] = 1}};
	struct hvs_guest_scsi_result result;
	int err;

	cmd.direction = write ? HVS_GUEST_STOR_OUT : HVS_GUEST_STOR_IN;
	if (operation == SYNCHRONIZE_CACHE_10)
		cmd.direction = HVS_GUEST_STOR_NONE;
	else
		cmd.buffer = (struct hvs_guest_buffer){.gpa = gpa, .len = BLOCK_BYTES};
	err = hvs_guest_stor_execute(ch, &cmd, &result);
	return !err && result.srb_status != 1 ? -EIO : err;
}

static int use_disk(struct hvs_guest *g, char *buf, uint64_t gpa)
{
	static const char text[] = "hello from the guest";
	struct hvs_guest_channel *ch;
	uint32_t max_transfer_bytes;
	int err = hvs_guest_connect(g, 5u << 16 | 3);

	if (!err && hvs_guest_request_offers(g) != 1)
		err = -ENODEV;
	if (!err)
		err = hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 64 * 1024, &ch);
	if (!err)
		err = hvs_guest_stor_init(ch, 0x600, &max_transfer_bytes);
	if (err)
		return err;
	memcpy(buf, text, sizeof(text));
	err = execute(ch, WRITE_10, gpa);
	if (!err)
		err = execute(ch, SYNCHRONIZE_CACHE_10, 0);
	memset(buf, 0, BLOCK_BYTES);
	if (!err)
		err = execute(ch, READ_10, gpa);
	if (!err && memcmp(buf, text, sizeof(text)) != 0)
		err = -EIO;
	return err ? err : hvs_guest_channel_close(ch);
}

int guest_run(const struct hvs_guest_ops *machine, void *pf)
{
	uint64_t gpa;
	char *buf = machine->alloc_pages(pf, 1, &gpa);
	struct hvs_guest *g;
	int err = buf ? hvs_guest_create(NULL, machine, pf, &g) : -ENOMEM;

	if (err)
		return err;
	err = use_disk(g, buf, gpa);
	hvs_guest_destroy(g);
	return err;
}
