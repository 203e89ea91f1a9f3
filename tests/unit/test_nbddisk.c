/* SPDX-License-Identifier: MIT */
/*
 * NBD disks against servers of all kinds (nbdkit): data against a model, limits, errors, delays,
 * and servers that go or hang. What no real server can be made to say stands between the disk and
 * libnbd.
 */
#include "support/nbd.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <libnbd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct hvs_nbddisk *disk;

static void teardown(void)
{
	hvs_nbddisk_close(disk);
	hvst_dir_remove();
}

TestSuite(nbddisk, .fini = teardown, .timeout = 120);

static struct hvs_nbddisk_config good_config(void)
{
	return (struct hvs_nbddisk_config){HVS_NBDDISK_CONFIG_INIT, .uri = hvst_nbdkit_uri()};
}

static void open_with(const struct hvs_nbddisk_config *cfg)
{
	char why[256] = "";
	int err = hvs_nbddisk_open(cfg, &disk, why, sizeof(why));

	cr_assert_eq(err, 0, "%s", why);
}

static void open_disk(void)
{
	const struct hvs_nbddisk_config cfg = good_config();

	open_with(&cfg);
}

static void refused(const struct hvs_nbddisk_config *cfg, int err, const char *words)
{
	struct hvs_nbddisk *none = NULL;
	char why[256] = "";
	char little[8] = "";

	cr_assert_eq(hvs_nbddisk_open(cfg, &none, why, sizeof(why)), -err, "%s: %s", words, why);
	cr_assert(strstr(why, words) != NULL, "'%s' is not in '%s'", words, why);
	cr_assert(none == NULL);
	/* And nobody has to ask, or have room. */
	cr_assert_eq(hvs_nbddisk_open(cfg, &none, NULL, 0), -err);
	cr_assert_eq(hvs_nbddisk_open(cfg, &none, little, sizeof(little)), -err);
	cr_assert_eq(strncmp(little, why, sizeof(little) - 1), 0);
	cr_assert_eq(strlen(little), sizeof(little) - 1);
}

static struct hvs_blk_info get_info(void)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	cr_assert_eq(hvs_nbddisk_ops()->get_info(disk, &info), 0);
	return info;
}

/* ---- what the disk says in its log ------------------------------------------------------ */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char logged[1024];

static void on_log(void *arg, const char *text)
{
	pthread_mutex_lock(&log_lock);
	strncat(logged, text, sizeof(logged) - strlen(logged) - 1);
	pthread_mutex_unlock(&log_lock);
	cr_assert_eq(arg, &disk);
}

static bool was_logged(const char *words)
{
	bool found;

	pthread_mutex_lock(&log_lock);
	found = strstr(logged, words) != NULL;
	pthread_mutex_unlock(&log_lock);
	return found;
}

/* ---- data ------------------------------------------------------------------------------- */

Test(nbddisk, random_io_matches_a_model)
{
	hvst_nbdkit("memory 4M");
	open_disk();
	hvst_compare_with_model(disk, 3000, 100, 512);
}

Test(nbddisk, requests_above_the_limit_of_the_server_are_split)
{
	hvst_nbdkit("--filter=blocksize-policy memory 4M blocksize-minimum=512 "
		    "blocksize-preferred=4K blocksize-maximum=16K blocksize-error-policy=error");
	open_disk();
	hvst_compare_with_model(disk, 1500, 20, 512);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 512, 3 * HVST_MIB, 0), HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 512, 3 * HVST_MIB, 0), HVS_BLK_OK);
}

Test(nbddisk, a_server_of_4096_byte_blocks_makes_a_disk_of_them)
{
	struct hvs_nbddisk_config cfg = good_config();

	hvst_nbdkit("--filter=blocksize-policy memory 4M blocksize-minimum=4K "
		    "blocksize-preferred=64K blocksize-maximum=1M blocksize-error-policy=error");
	cfg.block_size = 512;
	refused(&cfg, ENOTSUP, "smallest block has 4096 bytes");
	open_disk();
	cr_assert_eq(get_info().block_size, 4096);
	cr_assert_eq(get_info().physical_block_size, 65536);
	cr_assert_eq(get_info().num_blocks, 1024);
	hvst_compare_with_model(disk, 500, 20, 4096);
}

Test(nbddisk, a_disk_of_4096_byte_blocks_is_made_if_wanted)
{
	struct hvs_nbddisk_config cfg = good_config();

	hvst_nbdkit("memory 4M");
	cfg.block_size = 4096;
	open_with(&cfg);
	cr_assert_eq(get_info().block_size, 4096);
	cr_assert_eq(get_info().num_blocks, 1024);
}

Test(nbddisk, info_says_what_the_server_can)
{
	hvst_nbdkit("memory 64M");
	open_disk();
	cr_assert_eq(get_info().flags, HVS_BLK_INFO_FUA | HVS_BLK_INFO_WRITE_BACK |
					       HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_WRITE_ZEROES |
					       HVS_BLK_INFO_LBA_STATUS);
	cr_assert_eq(get_info().num_blocks, 131072);
	cr_assert_eq(get_info().max_queues, HVS_BLK_ANY_QUEUE);
}

Test(nbddisk, info_says_what_the_server_cannot)
{
	hvst_nbdkit("--filter=nozero --filter=noextents eval get_size='echo 1M' "
		    "can_write='exit 0' pread='head -c $3 /dev/zero' pwrite='cat >/dev/null'");
	open_disk();
	cr_assert_eq(get_info().flags & ~HVS_BLK_INFO_LBA_STATUS, 0);
	/* Not asked for, then. */
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, 4096, 0), HVS_BLK_UNSUPPORTED);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE_ZEROES, 0, 4096, 0), HVS_BLK_UNSUPPORTED);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0), HVS_BLK_OK);
}

Test(nbddisk, unmapped_and_mapped_ranges_are_told)
{
	struct hvst_io io;

	hvst_nbdkit("memory 4M");
	open_disk();
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, HVST_MIB, 0), HVS_BLK_OK);

	hvst_io_init(&io, HVS_BLK_LBA_STATUS, 512 * HVST_KIB, 0, 0);
	io.req.len = 3 * HVST_MIB;
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	cr_assert(!io.req.extent_unmapped);
	cr_assert_leq(io.req.extent_len, 512 * HVST_KIB);
	cr_assert_gt(io.req.extent_len, 0);
	hvst_io_free(&io);

	hvst_io_init(&io, HVS_BLK_LBA_STATUS, HVST_MIB, 0, 0);
	io.req.len = 2 * HVST_MIB;
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	cr_assert(io.req.extent_unmapped);
	cr_assert_leq(io.req.extent_len, 2 * HVST_MIB);
	cr_assert_eq(io.req.extent_len % 512, 0);
	hvst_io_free(&io);

	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, HVST_MIB, 0), HVS_BLK_OK);
	hvst_io_init(&io, HVS_BLK_LBA_STATUS, 0, 0, 0);
	io.req.len = HVST_MIB;
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	cr_assert(io.req.extent_unmapped);
	hvst_io_free(&io);
}

Test(nbddisk, ranges_above_4_gib_are_unmapped_and_zeroed_in_several_commands)
{
	hvst_nbdkit("memory 1T");
	open_disk();
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 20ull << 30, 4096, 0), HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, 1ull << 40, 0), HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE_ZEROES, 4096, (1ull << 40) - 4096,
				HVS_BLK_MAY_UNMAP),
		     HVS_BLK_OK);
}

/* ---- refusals --------------------------------------------------------------------------- */

Test(nbddisk, a_bad_configuration_is_refused)
{
	struct hvs_nbddisk_config cfg = good_config();

	refused(NULL, EINVAL, "configuration");
	cr_assert_eq(hvs_nbddisk_open(&cfg, NULL, NULL, 0), -EINVAL);
	cfg.size = 4;
	refused(&cfg, EINVAL, "configuration");
	cfg = good_config();
	cfg.flags = 0x80;
	refused(&cfg, ENOTSUP, "flags");
	cfg = good_config();
	cfg.uri = NULL;
	refused(&cfg, EINVAL, "either uri, or image and format");
	cfg.image = "image";
	refused(&cfg, EINVAL, "either uri, or image and format");
	cfg.format = "floppy";
	refused(&cfg, EINVAL, "vhdx, vpc, qcow2 or raw");
	cfg.format = "raw";
	cfg.uri = "nbd://localhost";
	refused(&cfg, EINVAL, "either uri, or image and format");
	cfg = good_config();
	cfg.block_size = 1024;
	refused(&cfg, EINVAL, "block_size");
}

Test(nbddisk, a_server_that_is_not_there_is_told)
{
	struct hvs_nbddisk_config cfg = good_config();

	hvst_dir();
	refused(&cfg, ENOENT, "No such file");
	cfg.uri = "nbd://127.0.0.1:1/";
	refused(&cfg, ECONNREFUSED, "refused");
	cfg.uri = "ftp://127.0.0.1/";
	refused(&cfg, EINVAL, "can't connect to the NBD server");
}

Test(nbddisk, an_export_that_is_not_there_is_told)
{
	struct hvs_nbddisk_config cfg = good_config();
	char uri[160];

	hvst_nbdkit("--filter=exportname memory 1M exportname=here exportname-strict=true");
	snprintf(uri, sizeof(uri), "nbd+unix:///absent?socket=%s/nbd", hvst_dir());
	cfg.uri = uri;
	refused(&cfg, ENOENT, "the NBD server can't be used");
	snprintf(uri, sizeof(uri), "nbd+unix:///here?socket=%s/nbd", hvst_dir());
	open_with(&cfg);
}

Test(nbddisk, sizes_that_make_no_disk_are_refused)
{
	struct hvs_nbddisk_config cfg = good_config();
	pid_t server = hvst_nbdkit("memory 1000000");

	refused(&cfg, EINVAL, "1000000 bytes, is not a multiple of the block size 512");
	kill(server, SIGKILL);
	hvst_nbdkit("memory 0");
	refused(&cfg, EINVAL, "empty");
}

Test(nbddisk, blocks_larger_than_4096_bytes_are_refused)
{
	struct hvs_nbddisk_config cfg = good_config();

	hvst_nbdkit("--filter=blocksize-policy memory 4M blocksize-minimum=8K "
		    "blocksize-preferred=64K blocksize-maximum=1M");
	refused(&cfg, ENOTSUP, "smallest block has 8192 bytes");
}

Test(nbddisk, a_read_only_server_makes_a_read_only_disk)
{
	struct hvs_nbddisk_config cfg = good_config();

	hvst_nbdkit("-r memory 1M");
	refused(&cfg, EROFS, "attach the disk read-only");
	cfg.flags = HVS_NBDDISK_READ_ONLY;
	open_with(&cfg);
	cr_assert(get_info().flags & HVS_BLK_INFO_READ_ONLY);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 0, 4096, 0), HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, 4096, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, 4096, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE_ZEROES, 0, 4096, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0), HVS_BLK_OK);
}

Test(nbddisk, a_disk_may_be_read_only_although_the_server_is_not)
{
	struct hvs_nbddisk_config cfg = good_config();

	hvst_nbdkit("memory 1M");
	cfg.flags = HVS_NBDDISK_READ_ONLY;
	open_with(&cfg);
	cr_assert(get_info().flags & HVS_BLK_INFO_READ_ONLY);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, 4096, 0), HVS_BLK_READ_ONLY);
}

Test(nbddisk, requests_that_make_no_sense_are_refused)
{
	struct hvst_io io;

	hvst_nbdkit("memory 1M");
	open_disk();
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, HVST_MIB, 512, 0), HVS_BLK_RANGE);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, HVST_MIB - 512, 1024, 0), HVS_BLK_RANGE);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, UINT64_MAX - 511, 512, 0), HVS_BLK_RANGE);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 4096, 0, 0), HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, (enum hvs_blk_op)99, 0, 512, 0), HVS_BLK_UNSUPPORTED);
	hvst_io_init(&io, HVS_BLK_READ, 0, 4096, 3);
	io.req.len = 8192;
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_IO_ERROR);
	hvst_io_free(&io);
}

/* ---- errors ----------------------------------------------------------------------------- */

static void errors_become(const char *error, enum hvs_blk_status status)
{
	pid_t server = hvst_nbdkit("--filter=error memory 1M error=%s error-rate=100%%", error);

	open_disk();
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, 4096, 0), status, "%s", error);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 0, 4096, 0), status, "%s", error);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, 4096, 0), status, "%s", error);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE_ZEROES, 0, 4096, 0), status, "%s", error);
	hvs_nbddisk_close(disk);
	disk = NULL;
	kill(server, SIGKILL);
}

Test(nbddisk, errors_of_the_server_become_statuses)
{
	errors_become("EIO", HVS_BLK_IO_ERROR);
	errors_become("ENOSPC", HVS_BLK_NO_SPACE);
	errors_become("EPERM", HVS_BLK_READ_ONLY);
	errors_become("ESHUTDOWN", HVS_BLK_GONE);
	errors_become("ENOMEM", HVS_BLK_IO_ERROR);
	errors_become("EINVAL", HVS_BLK_IO_ERROR);
}

Test(nbddisk, an_error_of_one_part_fails_the_request)
{
	hvst_nbdkit("--filter=blocksize-policy --filter=error memory 4M error=ENOSPC "
		    "error-rate=30%% blocksize-minimum=512 blocksize-preferred=4K "
		    "blocksize-maximum=16K");
	open_disk();
	for (unsigned i = 0; i < 20; i++) {
		enum hvs_blk_status status = hvst_io_do(disk, HVS_BLK_WRITE, 0, 4 * HVST_MIB, 0);

		/* 256 parts: that all are lucky will not happen. */
		cr_assert_eq(status, HVS_BLK_NO_SPACE);
	}
}

/* What trim answers: an errno value, then 0. */
static int trim_errors[3];
static unsigned trims;

int64_t nbd_aio_trim(struct nbd_handle *h, uint64_t count, uint64_t offset,
		     nbd_completion_callback completion, uint32_t flags)
{
	int64_t (*real)(struct nbd_handle *, uint64_t, uint64_t, nbd_completion_callback,
			uint32_t) =
		__extension__(__typeof__(real)) dlsym(RTLD_NEXT, "nbd_aio_trim");
	int error = trims < 3 ? trim_errors[trims] : 0;

	trims++;
	if (!error)
		return real(h, count, offset, completion, flags);
	completion.callback(completion.user_data, &error);
	completion.free(completion.user_data);
	return 1;
}

Test(nbddisk, unmap_is_unsupported_after_all)
{
	hvst_nbdkit("memory 4G");
	open_disk();
	trim_errors[0] = EOPNOTSUPP;
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, 4096, 0), HVS_BLK_UNSUPPORTED);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, 4096, 0), HVS_BLK_OK);
}

Test(nbddisk, unmap_that_was_done_in_part_is_an_error)
{
	hvst_nbdkit("memory 4G");
	open_disk();
	trim_errors[1] = EOPNOTSUPP;
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, 0, 3ull << 30, 0), HVS_BLK_IO_ERROR);
}

/* ---- cancel ----------------------------------------------------------------------------- */

Test(nbddisk, what_was_not_sent_is_cancelled)
{
	struct hvst_io ios[5];

	hvst_nbdkit("memory 1M");
	open_disk();
	for (unsigned i = 0; i < 5; i++) {
		hvst_io_init(&ios[i], HVS_BLK_READ, i * 512, 512, 1);
		hvst_io_submit(disk, &ios[i]);
	}
	/* The last, the first, one in the middle; one that is not there any more. */
	hvs_nbddisk_ops()->cancel(disk, &ios[4].req);
	hvs_nbddisk_ops()->cancel(disk, &ios[0].req);
	hvs_nbddisk_ops()->cancel(disk, &ios[2].req);
	hvs_nbddisk_ops()->cancel(disk, &ios[2].req);
	hvst_io_wait(2);
	hvs_nbddisk_ops()->commit(disk, 0);
	hvst_io_wait(0);
	for (unsigned i = 0; i < 5; i++) {
		cr_assert_eq(ios[i].status, i % 2 ? HVS_BLK_OK : HVS_BLK_ABORTED);
		hvst_io_free(&ios[i]);
	}
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 0, 512, 0), HVS_BLK_OK);
	/* Nothing is left, and a new one comes in where the last one went. */
	hvst_io_init(&ios[0], HVS_BLK_READ, 0, 512, 1);
	hvst_io_submit(disk, &ios[0]);
	hvs_nbddisk_ops()->cancel(disk, &ios[0].req);
	cr_assert_eq(ios[0].status, HVS_BLK_ABORTED);
	hvst_io_free(&ios[0]);
}

Test(nbddisk, what_was_sent_is_not_cancelled_and_what_waits_is)
{
	struct hvst_io ios[100];

	hvst_nbdkit("--filter=delay memory 1M delay-read=500ms");
	open_disk();
	for (unsigned i = 0; i < 100; i++) {
		hvst_io_init(&ios[i], HVS_BLK_READ, i * 512, 512, 1 + i % 3);
		hvst_io_submit(disk, &ios[i]);
	}
	hvs_nbddisk_ops()->commit(disk, 0);
	/* The first is answered together with those that were sent right after it. */
	hvst_io_wait(99);
	for (unsigned i = 0; i < 100; i++)
		hvs_nbddisk_ops()->cancel(disk, &ios[i].req);
	hvst_io_wait(0);
	cr_assert_eq(ios[0].status, HVS_BLK_OK);
	cr_assert_eq(ios[63].status, HVS_BLK_OK);
	cr_assert_eq(ios[99].status, HVS_BLK_ABORTED);
	for (unsigned i = 0; i < 100; i++)
		hvst_io_free(&ios[i]);
}

/* ---- servers that go -------------------------------------------------------------------- */

static void all_are_gone_after(void (*harm)(pid_t server), pid_t server)
{
	struct hvst_io ios[100];

	for (unsigned i = 0; i < 100; i++) {
		hvst_io_init(&ios[i], i % 2 ? HVS_BLK_READ : HVS_BLK_WRITE, i * 8192, 8192,
			     1 + i % 3);
		hvst_io_submit(disk, &ios[i]);
	}
	hvs_nbddisk_ops()->commit(disk, 0);
	harm(server);
	hvst_io_wait(0);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(ios[i].status, HVS_BLK_GONE);
		hvst_io_free(&ios[i]);
	}
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 0, 512, 0), HVS_BLK_GONE);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0), HVS_BLK_GONE);
	cr_assert(was_logged("connection to the NBD server is lost"));
	cr_assert_eq(get_info().num_blocks, 2048);
}

static void kill_it(pid_t server)
{
	kill(server, SIGKILL);
}

static void nothing(pid_t server)
{
	(void)server;
}

Test(nbddisk, when_the_server_dies_every_request_ends_once)
{
	struct hvs_nbddisk_config cfg = good_config();
	pid_t server = hvst_nbdkit("--filter=delay memory 1M rdelay=60 wdelay=60");

	cfg.log = on_log;
	cfg.arg = &disk;
	open_with(&cfg);
	all_are_gone_after(kill_it, server);
}

Test(nbddisk, a_server_that_does_not_answer_is_given_up)
{
	struct hvs_nbddisk_config cfg = good_config();
	pid_t server = hvst_nbdkit("memory 1M");

	cfg.request_timeout_ms = 100;
	cfg.log = on_log;
	cfg.arg = &disk;
	open_with(&cfg);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 0, 512, 0), HVS_BLK_OK);
	kill(server, SIGSTOP);
	all_are_gone_after(nothing, server);
	cr_assert(was_logged("does not answer and is given up"));
}

Test(nbddisk, a_silent_server_is_not_waited_for_when_opening)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct hvs_nbddisk_config cfg = good_config();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s/nbd", hvst_dir());
	cr_assert_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	cr_assert_eq(listen(fd, 5), 0);
	cfg.open_timeout_ms = 50;
	refused(&cfg, ETIMEDOUT, "does not answer");
	close(fd);
}

Test(nbddisk, a_server_of_something_else_is_told)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct hvs_nbddisk_config cfg = good_config();
	struct hvs_nbddisk *none;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char why[128];
	pid_t pid;

	snprintf(name.sun_path, sizeof(name.sun_path), "%s/nbd", hvst_dir());
	cr_assert_eq(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	cr_assert_eq(listen(fd, 5), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		int client = accept(fd, NULL, NULL);

		(void)!write(client, "HTTP/1.0 400 Bad Request\r\n\r\n", 28);
		_exit(0);
	}
	close(fd);
	cr_assert_lt(hvs_nbddisk_open(&cfg, &none, why, sizeof(why)), 0);
	cr_assert(strstr(why, "the NBD server can't be used") != NULL, "%s", why);
}
