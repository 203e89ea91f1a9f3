/* SPDX-License-Identifier: MIT */
/* Devices and guests that stop taking what the other side sends. */
#include "support/machine.h"

#include <stdlib.h>

#define LIMIT 1024u /* commands a storage channel has in flight at the most */

/* A back end that keeps every request until it is told. */
struct keeper {
	struct hvs_blk_req *req[2 * LIMIT];
	unsigned count;
};

static int keeper_info(void *priv, struct hvs_blk_info *info)
{
	(void)priv;
	info->block_size = 512;
	info->physical_block_size = 512;
	info->num_blocks = 2048;
	return 0;
}

static void keeper_submit(void *priv, struct hvs_blk_req *req)
{
	struct keeper *k = priv;

	k->req[k->count++] = req;
}

static const struct hvs_blk_ops keeper_ops = {HVS_BLK_OPS_INIT, .get_info = keeper_info,
					      .submit = keeper_submit};

static void give_back(struct keeper *k)
{
	for (unsigned i = 0; i < k->count; i++)
		hvs_blk_complete(k->req[i], HVS_BLK_OK);
	k->count = 0;
}

static void submit_reads(struct machine *m, unsigned first, unsigned count, uint64_t gpa)
{
	const struct hvs_guest_scsi cmd = {.cdb_len = 10,
					   .cdb = {OP_READ10, [8] = 1},
					   .direction = HVS_GUEST_STOR_IN,
					   .buffer = {.gpa = gpa, .len = 512}};

	for (unsigned i = 0; i < count; i++) {
		cr_assert_eq(hvs_guest_stor_submit(m->ch, first + i + 1, &cmd), 0);
		hvs_guest_flush(m->ch);
		hvs_loopback_run(m->lb);
	}
}

static unsigned reap(struct machine *m)
{
	struct hvs_guest_scsi_result r;
	unsigned n = 0;
	uint64_t xid;

	while (hvs_guest_stor_reap(m->ch, &xid, &r) == 1) {
		cr_assert_eq(r.srb_status, SRB_SUCCESS);
		n++;
	}
	hvs_guest_flush(m->ch);
	hvs_loopback_run(m->lb);
	return n;
}

/* hvs_loopback_run() returns when every worker is idle: .timeout is the check. */
Test(backpressure, device_that_leaves_packets_in_the_ring_lets_its_worker_sleep, .timeout = 20)
{
	struct keeper *k = calloc(1, sizeof(*k));
	struct machine m =
		machine_up(&(struct machine_options){.blk_ops = &keeper_ops, .blk_priv = k});
	unsigned done = 0;
	uint64_t gpa;

	cr_assert(hvs_loopback_alloc_pages(m.lb, 1, &gpa));
	submit_reads(&m, 0, LIMIT + 3, gpa);
	cr_assert_eq(k->count, LIMIT);
	while (done < LIMIT + 3) {
		give_back(k);
		hvs_loopback_run(m.lb);
		done += reap(&m);
	}
	cr_assert_eq(done, LIMIT + 3);
	machine_down(&m);
	free(k);
}

Test(backpressure, guest_that_reads_no_completions_gets_them_all_later, .timeout = 20)
{
	struct machine m = machine_up(NULL);
	unsigned done = 0;
	uint64_t gpa;

	cr_assert(hvs_loopback_alloc_pages(m.lb, 1, &gpa));
	/* A completion takes 88 bytes of the guest's 128 KiB, a request 128 of the host's. */
	submit_reads(&m, 0, 1600, gpa);
	submit_reads(&m, 1600, 900, gpa);
	for (unsigned i = 0; i < 2500 && done < 2500; i++)
		done += reap(&m);
	cr_assert_eq(done, 2500);
	machine_down(&m);
}
