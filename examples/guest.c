/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <hvstack/guest/storage.h>

#include <errno.h>
#include <string.h>

#define PAGE 4096u

struct machine {
	struct hvs_hv *hv;
	unsigned char *ram;
	size_t pages;
	size_t used; /* pages; nothing is given back */
	void (*wait)(void *arg);
	void *arg;
};

/* [exits] Where a vCPU would exit to the VMM, which then makes these calls. */
static int rdmsr(void *pf, uint32_t msr, uint64_t *value)
{
	return hvs_hv_msr_read(((struct machine *)pf)->hv, 0, msr, value);
}

static int wrmsr(void *pf, uint32_t msr, uint64_t value)
{
	return hvs_hv_msr_write(((struct machine *)pf)->hv, 0, msr, value, true);
}

static uint64_t hypercall(void *pf, uint64_t input, uint64_t param_in, uint64_t param_out)
{
	return hvs_hv_hypercall(((struct machine *)pf)->hv, 0, input, param_in, param_out);
}
/* [end] */

static void *alloc_pages(void *pf, size_t count, uint64_t *gpa)
{
	struct machine *m = pf;

	if (count > m->pages - m->used)
		return NULL;
	*gpa = m->used * PAGE;
	m->used += count;
	return m->ram + *gpa;
}

static void free_pages(void *pf, void *pages, size_t count)
{
	(void)pf, (void)pages, (void)count;
}

static void wait_for_host(void *pf)
{
	struct machine *m = pf;

	m->wait(m->arg);
}

/* READ(10) or WRITE(10) of block 0. */
static int transfer(struct hvs_guest_channel *ch, bool write, uint64_t gpa)
{
	const struct hvs_guest_scsi cmd = {
		.cdb_len = 10,
		.cdb = {write ? 0x2a : 0x28, [8] = 1},
		.direction = write ? HVS_GUEST_STOR_OUT : HVS_GUEST_STOR_IN,
		.buffer = {.gpa = gpa, .len = 512},
	};
	struct hvs_guest_scsi_result result;
	int err = hvs_guest_stor_execute(ch, &cmd, &result);

	return !err && result.srb_status != 1 ? -EIO : err;
}

static int use_disk(struct hvs_guest *g, struct machine *m)
{
	static const char text[] = "hello from the guest";
	struct hvs_guest_channel *ch;
	uint32_t max_transfer_bytes;
	uint64_t gpa;
	char *buf = alloc_pages(m, 1, &gpa);
	int err = buf ? hvs_guest_connect(g, 5u << 16 | 3) : -ENOMEM;

	if (!err && hvs_guest_request_offers(g) != 1)
		err = -ENODEV;
	if (!err)
		err = hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 64 * 1024, &ch);
	if (!err)
		err = hvs_guest_stor_init(ch, 0x600, &max_transfer_bytes);
	if (err)
		return err;
	memcpy(buf, text, sizeof(text));
	err = transfer(ch, true, gpa);
	memset(buf, 0, 512);
	if (!err)
		err = transfer(ch, false, gpa);
	if (!err && memcmp(buf, text, sizeof(text)) != 0)
		err = -EIO;
	return err ? err : hvs_guest_channel_close(ch);
}

int guest_run(struct hvs_hv *hv, unsigned char *ram, size_t ram_bytes, void (*wait)(void *arg),
	      void *arg)
{
	const struct hvs_guest_ops ops = {HVS_GUEST_OPS_INIT,         .msr_read = rdmsr,
					  .msr_write = wrmsr,         .hypercall = hypercall,
					  .alloc_pages = alloc_pages, .free_pages = free_pages,
					  .wait = wait_for_host};
	struct machine m = {.hv = hv, .ram = ram, .wait = wait, .arg = arg};
	struct hvs_guest *g;
	int err;

	m.pages = ram_bytes / PAGE;
	m.used = 1; /* page 0 stays free, as on a PC */
	err = hvs_guest_create(NULL, &ops, &m, &g);
	if (err)
		return err;
	err = use_disk(g, &m);
	hvs_guest_destroy(g);
	return err;
}
