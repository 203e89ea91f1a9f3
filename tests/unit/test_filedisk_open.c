/* SPDX-License-Identifier: MIT */
/* Opening file disks: every way it can fail, locks, and what a disk says about itself. */
#include "support/filedisk.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(filedisk_open, .init = setup, .fini = teardown, .timeout = 120);

/* ---- properties ------------------------------------------------------------------------- */

EACH_ENGINE(filedisk_open, info_of_a_writable_disk)
{
	struct hvs_blk_info info;

	make_file(MIB);
	open_disk(0, 0);
	info = info_of_disk();
	cr_assert_eq(info.block_size, 512);
	cr_assert_eq(info.num_blocks, 2048);
	cr_assert_eq(info.flags, HVS_BLK_INFO_FUA | HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_UNMAP |
					 HVS_BLK_INFO_UNMAP_ZEROES | HVS_BLK_INFO_WRITE_ZEROES |
					 HVS_BLK_INFO_LBA_STATUS);
	cr_assert_eq(info.unmap_granularity, info.physical_block_size);
	cr_assert_eq(info.max_queues, engine ? HVS_BLK_ANY_QUEUE : 1);
	cr_assert_eq(info.physical_block_size & (info.physical_block_size - 1), 0);
	cr_assert_geq(info.physical_block_size, info.block_size);
}

EACH_ENGINE(filedisk_open, a_read_only_disk_reads_and_refuses_writes)
{
	struct hvs_blk_info info;

	make_file(MIB);
	open_disk(0, HVS_FILEDISK_READ_ONLY);
	info = info_of_disk();
	cr_assert_eq(info.flags, HVS_BLK_INFO_READ_ONLY | HVS_BLK_INFO_LBA_STATUS);
	cr_assert_eq(run_one(HVS_BLK_READ, 0, 4096, 3, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 3, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(run_one(HVS_BLK_UNMAP, 0, 4096, 0, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(run_one(HVS_BLK_WRITE_ZEROES, 0, 4096, 0, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
}

/* ---- open ------------------------------------------------------------------------------- */

Test(filedisk_open, a_bad_configuration_is_refused)
{
	struct {
		struct hvs_filedisk_config cfg;
		uint64_t newer;
	} grown = {.cfg = good_config()};
	struct hvs_filedisk_config cfg = good_config();
	struct hvs_filedisk *none;

	make_file(MIB);
	refused(NULL, EINVAL, "configuration");
	cr_assert_eq(hvs_filedisk_open(&cfg, NULL, NULL), -EINVAL);
	cfg.size = 4;
	refused(&cfg, EINVAL, "configuration");
	grown.cfg.size = sizeof(grown);
	grown.newer = 1;
	refused(&grown.cfg, ENOTSUP, "configuration");
	grown.newer = 0;
	cr_assert_eq(hvs_filedisk_open(&grown.cfg, &none, NULL), 0);
	hvs_filedisk_close(none);

	cfg = good_config();
	cfg.flags = 0x80;
	refused(&cfg, ENOTSUP, "flags");
	cfg = good_config();
	cfg.path = NULL;
	refused(&cfg, EINVAL, "base or bases");
	cfg = good_config();
	cfg.base = NULL;
	refused(&cfg, EINVAL, "base or bases");
	cfg = good_config();
	cfg.bases = &base;
	cfg.base_count = 1;
	refused(&cfg, EINVAL, "base or bases");
	cfg.bases = NULL;
	refused(&cfg, EINVAL, "base_count");
	cfg.bases = &base;
	cfg.base = NULL;
	cfg.base_count = 0;
	refused(&cfg, EINVAL, "base_count");
	cfg.base_count = 1025;
	refused(&cfg, EINVAL, "base_count");
	cfg.bases = &cfg.base;
	cfg.base_count = 1;
	refused(&cfg, EINVAL, "NULL in bases");
	cfg = good_config();
	cfg.reserved = 1;
	refused(&cfg, ENOTSUP, "flags");
	cfg = good_config();
	cfg.block_size = 1024;
	refused(&cfg, EINVAL, "block_size");
	cfg = good_config();
	cfg.queue_depth = 32768;
	refused(&cfg, EINVAL, "queue_depth");
}

EACH_ENGINE(filedisk_open, a_bad_file_is_refused)
{
	struct hvs_filedisk_config cfg = good_config();
	unsigned before = open_files();

	refused(&cfg, ENOENT, "no such file");
	make_file(0);
	refused(&cfg, EINVAL, "empty");
	make_file(511);
	refused(&cfg, EINVAL, "smaller than one block");
	make_file(513);
	refused(&cfg, EINVAL, "multiple of the block size");
	cfg.block_size = 4096;
	make_file(4096 + 512);
	refused(&cfg, EINVAL, "multiple of the block size");
	cfg.path = dir;
	refused(&cfg, EINVAL, "directory");
	cfg.path = "/dev/null";
	refused(&cfg, EINVAL, "not a regular file or block device");
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cfg.path = path;
	refused(&cfg, EINVAL, "not a regular file or block device");
	cr_assert_eq(open_files(), before, "a descriptor leaked");
}

Test(filedisk_open, a_file_without_permission_is_refused)
{
	struct hvs_filedisk_config cfg = good_config();

	make_file(MIB);
	chmod(path, 0400);
	chmod(dir, 0755);
	if (geteuid() == 0)
		cr_assert_eq(chown(path, 65534, 65534), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	refused(&cfg, EACCES, "permission");
	cfg.flags = engine | HVS_FILEDISK_READ_ONLY;
	cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0);
	close_disk();
	chmod(path, 0);
	refused(&cfg, EACCES, "permission");
	(void)!seteuid(getuid());
}

Test(filedisk_open, a_read_only_file_system_is_told)
{
	struct hvs_filedisk_config cfg = good_config();

	if (!mount_tmpfs("size=2m"))
		cr_skip_test("no mount namespace here");
	make_file(MIB);
	cr_assert_eq(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	refused(&cfg, EROFS, "attach the disk read-only");
	umount(dir);
}

Test(filedisk_open, too_many_open_files_are_told)
{
	struct hvs_filedisk_config cfg = good_config();
	struct rlimit limit;
	int fd;

	make_file(MIB);
	fd = open(path, O_RDONLY);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)fd + 1;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	refused(&cfg, EMFILE, "ulimit -n");
	limit.rlim_cur = (rlim_t)fd + 2;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	refused(&cfg, EMFILE, "ulimit -n"); /* the ring's descriptor this time */
	close(fd);
}

EACH_ENGINE(filedisk_open, a_second_writer_is_locked_out)
{
	struct hvs_filedisk_config cfg = good_config();
	struct hvs_filedisk *a;
	struct hvs_filedisk *b;

	make_file(MIB);
	cr_assert_eq(hvs_filedisk_open(&cfg, &a, NULL), 0);
	refused(&cfg, EBUSY, "has it open");
	cfg.flags = engine | HVS_FILEDISK_READ_ONLY;
	refused(&cfg, EBUSY, "is writing to it");
	hvs_filedisk_close(a);

	cr_assert_eq(hvs_filedisk_open(&cfg, &a, NULL), 0);
	cr_assert_eq(hvs_filedisk_open(&cfg, &b, NULL), 0);
	cfg.flags = engine;
	refused(&cfg, EBUSY, "has it open");
	hvs_filedisk_close(a);
	refused(&cfg, EBUSY, "has it open");
	hvs_filedisk_close(b);
	cr_assert_eq(hvs_filedisk_open(&cfg, &a, NULL), 0);
	hvs_filedisk_close(a);
}

EACH_ENGINE(filedisk_open, who_shares_gets_along_only_with_others_that_share)
{
	static const uint32_t modes[] = {0, HVS_FILEDISK_READ_ONLY, HVS_FILEDISK_SHARED,
					 HVS_FILEDISK_SHARED | HVS_FILEDISK_READ_ONLY};
	static const bool together[4][4] = {
		{false, false, false, false},
		{false, true, false, false},
		{false, false, true, true},
		{false, false, true, true},
	};
	struct hvs_filedisk_config cfg = good_config();

	make_file(MIB);
	for (unsigned i = 0; i < 4; i++) {
		open_disk(0, modes[i]);
		for (unsigned k = 0; k < 4; k++) {
			struct hvs_filedisk *second = NULL;
			int err;

			cfg.flags = engine | modes[k];
			err = hvs_filedisk_open(&cfg, &second, NULL);
			cr_assert_eq(err, together[i][k] ? 0 : -EBUSY, "%u with %u: %d", i, k, err);
			hvs_filedisk_close(second);
		}
		close_disk();
	}
	open_disk(0, 0);
	cfg.flags = engine | HVS_FILEDISK_SHARED;
	refused(&cfg, EBUSY, "does not share it");
}

EACH_ENGINE(filedisk_open, processes_that_share_see_what_the_other_writes)
{
	struct io io;
	int go[2];
	int status;
	char byte = 0;
	pid_t child;

	make_file(MIB);
	cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
	/* Before there are threads, which may hold any lock. */
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		event_reinit(base);
		if (read(go[0], &byte, 1) != 1)
			_exit(2);
		open_disk(0, HVS_FILEDISK_SHARED);
		_exit(run_one(HVS_BLK_WRITE, 4096, 4096, 2, 0) == HVS_BLK_OK ? 0 : 1);
	}
	open_disk(0, HVS_FILEDISK_SHARED);
	cr_assert_eq(write(go[1], &byte, 1), 1);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	io_init(&io, HVS_BLK_READ, 4096, 4096, 1);
	run(&io, 1);
	cr_assert_eq(io.status, HVS_BLK_OK);
	cr_assert_eq(io.buf[0], 'w');
	cr_assert_eq(io.buf[4095], 'w');
	io_free(&io);
	close(go[0]);
	close(go[1]);
}

EACH_ENGINE(filedisk_open, closing_frees_the_file_at_once)
{
	unsigned before;

	make_file(MIB);
	before = open_files();
	for (int i = 0; i < 100; i++) {
		open_disk(0, 0);
		cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 2, 0), HVS_BLK_OK);
		/* Done by another thread of the kernel, which may still be about it. */
		cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
		close_disk();
	}
	cr_assert_eq(open_files(), before, "a descriptor leaked");
	hvs_filedisk_close(NULL);
}

Test(filedisk_open, where_io_uring_is_refused_threads_do_the_work)
{
	static const struct {
		int err;
		const char *words;
	} cases[] = {{ENOSYS, "seccomp"}, {EPERM, "kernel.io_uring_disabled"}, {0, "5.6"}};
	struct hvs_filedisk_config cfg = good_config();
	unsigned before;

	make_file(MIB);
	before = open_files();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why = NULL;

		init_error = cases[i].err;
		old_kernel = !cases[i].err;
		cr_assert_eq(hvs_filedisk_open(&cfg, &disk, &why), 0);
		cr_assert(why && strstr(why, cases[i].words), "'%s'", cases[i].words);
		cr_assert_eq(info_of_disk().max_queues, HVS_BLK_ANY_QUEUE);
		cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 2, 0), HVS_BLK_OK);
		close_disk();
	}
	cr_assert_eq(open_files(), before, "a descriptor leaked");
}

Test(filedisk_open, who_gets_what_was_asked_for_is_told_nothing)
{
	static const uint32_t flags[] = {0, HVS_FILEDISK_THREADS};
	struct hvs_filedisk_config cfg = good_config();

	make_file(MIB);
	for (unsigned i = 0; i < 2; i++) {
		const char *why = "";

		cfg.flags = flags[i];
		cr_assert_eq(hvs_filedisk_open(&cfg, &disk, &why), 0);
		cr_assert_null(why);
		close_disk();
	}
}

Test(filedisk_open, a_host_that_could_have_io_uring_is_told_how)
{
	static const struct {
		int err;
		const char *words;
	} cases[] = {{ENOMEM, "ulimit -l"}, {EMFILE, "ulimit -n"}, {EFAULT, "can't be set up"}};
	struct hvs_filedisk_config cfg = good_config();
	unsigned before;

	make_file(MIB);
	before = open_files();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		init_error = cases[i].err;
		refused(&cfg, cases[i].err, cases[i].words);
	}
	cr_assert_eq(open_files(), before, "a descriptor leaked");
}

Test(filedisk_open, one_queue_that_gets_no_ring_gives_the_others_back)
{
	struct event_base *bases[2] = {base, base};
	struct hvs_filedisk_config cfg = good_config();
	struct rlimit limit;
	int fd;

	make_file(MIB);
	cfg.base = NULL;
	cfg.bases = bases;
	cfg.base_count = 2;
	fd = open(path, O_RDONLY);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)fd + 3; /* the file and the first ring */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	refused(&cfg, EMFILE, "ulimit -n");
	close(fd);
}

Test(filedisk_open, a_host_without_room_for_threads_is_told)
{
	struct hvs_filedisk_config cfg = good_config();
	struct rlimit limit;

	make_file(MIB);
	cfg.flags = HVS_FILEDISK_THREADS;
	/* The limit is not root's. */
	if (geteuid() == 0) {
		cr_assert_eq(chown(dir, 65534, 65534), 0);
		cr_assert_eq(chown(path, 65534, 65534), 0);
		cr_assert_eq(setuid(65534), 0);
	}
	limit.rlim_cur = limit.rlim_max = 1;
	cr_assert_eq(setrlimit(RLIMIT_NPROC, &limit), 0);
	refused(&cfg, EAGAIN, "ulimit -u");
}

Test(filedisk_open, a_kernel_without_the_newest_flags_will_do)
{
	init_error = EINVAL;
	make_file(MIB);
	open_disk(0, 0);
	cr_assert_eq(run_one(HVS_BLK_WRITE, 0, 4096, 2, 0), HVS_BLK_OK);
}

EACH_ENGINE(filedisk_open, a_killed_process_leaves_no_lock)
{
	struct hvs_filedisk_config cfg = good_config();

	make_file(MIB);
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			event_reinit(base);
			open_disk(0, 0);
			run_one(HVS_BLK_WRITE, 0, 64 * KIB, 3, 0);
			raise(SIGKILL);
		}
		cr_assert_eq(waitpid(child, NULL, 0), child);
		cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0);
		close_disk();
	}
}

/* ---- block devices ---------------------------------------------------------------------- */

EACH_ENGINE(filedisk_open, a_block_device_is_a_disk_and_claimed)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int index = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	struct hvs_filedisk_config cfg = good_config();
	struct hvs_blk_info info;
	char device[32];
	struct io io;
	int loop;
	int file;

	make_file(MIB + 512);
	snprintf(device, sizeof(device), "/dev/loop%d", index);
	loop = index < 0 ? -1 : open(device, O_RDWR | O_CLOEXEC);
	file = open(path, O_RDWR | O_CLOEXEC);
	if (loop < 0 || ioctl(loop, LOOP_SET_FD, file) < 0)
		cr_skip_test("no loop device here");

	cfg.path = device;
	cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0);
	refused(&cfg, EBUSY, "mounted");
	info = info_of_disk();
	cr_assert_eq(info.num_blocks, 2049);
	cr_assert_eq(run_one(HVS_BLK_WRITE, MIB, 512, 2, HVS_BLK_FUA), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_FLUSH, 0, 0, 0, 0), HVS_BLK_OK);
	cr_assert_eq(run_one(HVS_BLK_READ, 512, MIB, 7, 0), HVS_BLK_OK);
	cr_assert_eq(info.flags & HVS_BLK_INFO_LBA_STATUS, 0);
	cr_assert_eq(hvs_filedisk_resize(disk, MIB), -ENOTSUP);
	/* A loop device writes zeros and unmaps if the file below can do it. */
	cr_assert_neq(info.flags & HVS_BLK_INFO_UNMAP, 0);
	cr_assert_eq(run_one(HVS_BLK_UNMAP, MIB, 512, 0, 0), HVS_BLK_OK);
	io_init(&io, HVS_BLK_READ, MIB, 512, 1);
	run(&io, 1);
	cr_assert_eq(io.status, HVS_BLK_OK);
	for (unsigned i = 0; i < 512; i++)
		cr_assert_eq(io.buf[i], 0);
	io_free(&io);
	hvs_filedisk_close(disk);
	cr_assert_eq(hvs_filedisk_open(&cfg, &disk, NULL), 0, "it is not free after close");
	close_disk();
	cfg.block_size = 4096;
	refused(&cfg, EINVAL, "multiple");
	cr_assert_eq(ioctl(loop, LOOP_CLR_FD, 0), 0);
	close(loop);
	close(file);
	close(control);
}
