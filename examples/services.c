/* SPDX-License-Identifier: MIT */
/*
 * What a VMM asks of its guest: a moment in which its file systems are consistent, a file. Runs over the
 * loopback, with the guest of ic-guest.c; see docs/integration.md.
 */
#include "ic-guest.h"

#include <hvstack/hvstack.h>

#include <stdio.h>
#include <string.h>

/* ---- a backup -------------------------------------------------------------------------------- */

struct backup {
	struct hvs_ic *vss;
	bool consistent; /* with what programs in the guest think */
	bool done;
};

/* Your disks' way to remember what they contain now. */
static void take_point_in_time(struct backup *b)
{
	printf("point in time, %s\n", b->consistent ? "consistent" : "as after a loss of power");
}

static void backup_thawed(void *arg, int status, uint32_t guest_status)
{
	struct backup *b = arg;

	(void)guest_status;
	b->done = true;
	/* Copying what the disks contained may take hours; the guest runs. */
	printf("the guest %s\n", status ? "may still be frozen" : "goes on");
}

static void backup_frozen(void *arg, int status, uint32_t guest_status)
{
	struct backup *b = arg;

	(void)guest_status;
	b->consistent = status == 0;
	take_point_in_time(b);
	/* After a freeze that failed, too; -EALREADY: there is nothing to thaw. */
	if (hvs_vss_thaw(b->vss, 0, backup_thawed, b) != 0)
		b->done = true;
}

static void back_up(struct backup *b)
{
	const struct hvs_vss_freeze_request request = {HVS_VSS_FREEZE_REQUEST_INIT};
	int err = hvs_vss_freeze(b->vss, &request, backup_frozen, b);

	if (err) { /* not there: a copy of running disks is better than none */
		take_point_in_time(b);
		b->done = true;
	}
}

/* ---- a file ---------------------------------------------------------------------------------- */

struct copy {
	struct hvs_ic *filecopy;
	const char *text;
	size_t len;
	size_t at;
	bool done;
};

static void copy_ended(void *arg, int status, uint32_t guest_status)
{
	struct copy *c = arg;

	c->done = true;
	printf("file: %s\n", status ? hvs_ic_guest_status_name(guest_status) : "written");
}

static void copy_next(void *arg, int status, uint32_t guest_status)
{
	struct copy *c = arg;
	const size_t left = c->len - c->at;
	const size_t len = left < HVS_FILECOPY_MAX_WRITE ? left : HVS_FILECOPY_MAX_WRITE;
	int err;

	if (status) {
		copy_ended(c, status, guest_status);
		return;
	}
	if (len)
		err = hvs_filecopy_write(c->filecopy, c->text + c->at, len, copy_next, c);
	else
		err = hvs_filecopy_finish(c->filecopy, copy_ended, c);
	c->at += len;
	if (err)
		copy_ended(c, err, 0);
}

static int start_copy(struct copy *c)
{
	const struct hvs_filecopy_request request = {
		HVS_FILECOPY_REQUEST_INIT, .flags = HVS_FILECOPY_CREATE_PATH, .bytes = c->len,
		.directory = "/srv/from-host", .name = "hello.txt"};

	return hvs_filecopy_start(c->filecopy, &request, copy_next, c);
}

/* ---- the machine ----------------------------------------------------------------------------- */

#define SERVICES 2u

static const enum hvs_ic_kind kinds[SERVICES] = {HVS_IC_VSS, HVS_IC_FILECOPY};

static int create(struct hvs_loopback *lb, struct hvs_ic *ic[SERVICES])
{
	static const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT};
	int err = 0;

	for (unsigned i = 0; !err && i < SERVICES; i++) {
		const struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = kinds[i]};

		err = hvs_ic_create(hvs_loopback_bus(lb), &cfg, &ops, NULL, &ic[i]);
	}
	return err;
}

int main(void)
{
	static const char text[] = "Hello, guest.\n";
	struct ic_guest guest = {0};
	struct hvs_ic *ic[SERVICES];
	struct backup b = {0};
	struct copy c = {.text = text, .len = strlen(text)};
	int err = hvs_loopback_create(NULL, &guest.lb);

	if (!err)
		err = create(guest.lb, ic);
	if (!err)
		err = ic_guest_boot(&guest, kinds, SERVICES);
	if (!err) {
		b.vss = ic[0];
		c.filecopy = ic[1];
		back_up(&b);
		err = start_copy(&c);
	}
	if (!err)
		ic_guest_answer(&guest);
	hvs_loopback_destroy(guest.lb);
	return err || !b.done || !b.consistent || !c.done;
}
