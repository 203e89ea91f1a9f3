/* SPDX-License-Identifier: MIT */
/*
 * A backup again and again, each time with another allocation failing: it ends once, the guest is thawed,
 * and its writes are done.
 */
#include "support/badmem.h"
#include "support/fakevss.h"
#include "support/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hvstack/host/backup.h>
#include <string.h>
#include <unistd.h>

TestSuite(oom, .init = snapshot_setup, .fini = snapshot_teardown, .timeout = 240);

static struct io io[4];
static unsigned endings;
static int status;

static void on_ended(void *arg, struct hvs_backup *b, const struct hvs_backup_result *r)
{
	(void)arg;
	(void)b;
	cr_assert_neq(vss_state, HVS_VSS_FROZEN, "it was not thawed before");
	cr_assert_eq(!r->manifest, r->status != 0);
	status = r->status;
	endings++;
}

static int start_backup(const int *files)
{
	struct hvs_backup_disk disks[DISKS];
	const struct hvs_backup_config cfg = {HVS_BACKUP_CONFIG_INIT, .base = base,
					      .disks = disks,         .disk_count = DISKS,
					      .vss = vss(),           .machine_name = "web1",
					      .guest_os = "x",        .ended = on_ended};
	struct hvs_backup *b;

	for (unsigned i = 0; i < DISKS; i++)
		disks[i] = (struct hvs_backup_disk){.id = i ? "second" : "first",
						    .snapshot = snap[i],
						    .image_fd = files[2 * i],
						    .map_fd = files[2 * i + 1],
						    .block_size = 512};
	return hvs_backup_start(&cfg, &b);
}

static void run_to_end(void)
{
	for (unsigned i = 0; i < 4; i++)
		start(&io[i], i % DISKS, HVS_BLK_WRITE, i * CHUNK, BLOCK, (uint8_t)('a' + i));
	while (endings == 0) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		vss_run();
	}
	for (unsigned i = 0; i < 4; i++) {
		wait_for(&io[i]);
		cr_assert_eq(io[i].status, HVS_BLK_OK);
	}
}

Test(oom, backup)
{
	bool failed = true;

	for (unsigned n = 0; failed; n++) {
		int files[2 * DISKS];
		int err;

		for (unsigned i = 0; i < 2 * DISKS; i++)
			files[i] = open(dir, O_TMPFILE | O_RDWR, 0600);
		memset(vss_asked, 0, sizeof(vss_asked));
		endings = 0;
		badmem_arm(n);
		err = start_backup(files);
		if (!err)
			run_to_end();
		failed = badmem_disarm();
		cr_assert(!err || (err == -ENOMEM && failed), "%d", err);
		cr_assert_eq(endings, !err);
		/* Without what fails for certain, a backup may still be crash-consistent. */
		cr_assert(err || status == 0 || (status == -ENOMEM && failed), "%d", status);
		cr_assert_eq(vss_state, HVS_VSS_IDLE);
		for (unsigned i = 0; i < 2 * DISKS; i++)
			close(files[i]);
	}
}

Test(oom, snapshot)
{
	const struct hvs_snapshot_config cfg = {HVS_SNAPSHOT_CONFIG_INIT,
						.ops = &ramdisk_ops,
						.disk = &ram[0],
						.base = base,
						.dir = dir,
						.changes_path = changes};
	bool failed = true;

	for (unsigned n = 0; failed; n++) {
		struct hvs_snapshot *s = NULL;
		int err;

		badmem_arm(n);
		err = hvs_snapshot_create(&cfg, &s);
		hvs_snapshot_destroy(s);
		failed = badmem_disarm();
		cr_assert(!err || (err == -ENOMEM && failed), "%d", err);
	}
}

Test(oom, writes_wait_for_memory_of_others)
{
	static struct io many[33];

	/* As many as there is memory for from the beginning. */
	ram[0].hold_writes = true;
	for (unsigned i = 0; i < 32; i++)
		start(&many[i], 0, HVS_BLK_WRITE, 0, BLOCK, 'a');
	badmem_arm(0);
	start(&many[32], 0, HVS_BLK_WRITE, 0, BLOCK, 'b');
	cr_assert(badmem_disarm());
	cr_assert_eq(ram[0].held_count, 32);
	ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	while (ram[0].held_count < 32)
		event_base_loop(base, EVLOOP_ONCE);
	while (ram[0].held_count > 0)
		ramdisk_complete(&ram[0], 0, HVS_BLK_OK);
	cr_assert_eq(many[32].completions, 1);
}
