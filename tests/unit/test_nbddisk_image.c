/* SPDX-License-Identifier: MIT */
/*
 * NBD disks over images, with qemu-nbd as the server: data in every format against a model and
 * against what qemu-img reads from the image afterwards; every way an open can fail; and what is
 * in the image after somebody was killed.
 */
#include "support/nbd.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct hvs_nbddisk *disk;
static char *path; /* of the image */

static void setup(void)
{
	path = hvst_path("image");
}

static void teardown(void)
{
	hvs_nbddisk_close(disk);
	free(path);
	hvst_dir_remove();
}

TestSuite(nbddisk_image, .init = setup, .fini = teardown, .timeout = 120);

/* ---- images ----------------------------------------------------------------------------- */

static const struct kind {
	const char *format;
	const char *options; /* of qemu-img create */
	bool has_check;      /* qemu-img check knows it */
} vhdx_dynamic = {"vhdx", "-o subformat=dynamic", true},
  vhdx_fixed = {"vhdx", "-o subformat=fixed", true}, vhd_dynamic = {"vpc", "", false},
  vhd_fixed = {"vpc", "-o subformat=fixed", false}, qcow2 = {"qcow2", "", true},
  raw = {"raw", "", false};

static void make_image(const struct kind *kind, const char *size)
{
	hvst_shell("qemu-img create -q -f %s %s image %s", kind->format, kind->options, size);
}

static struct hvs_nbddisk_config config_of(const struct kind *kind)
{
	return (struct hvs_nbddisk_config){HVS_NBDDISK_CONFIG_INIT, .image = path,
					   .format = kind->format};
}

static void open_image(const struct kind *kind)
{
	const struct hvs_nbddisk_config cfg = config_of(kind);
	char why[256] = "";
	int err = hvs_nbddisk_open(&cfg, &disk, why, sizeof(why));

	cr_assert_eq(err, 0, "%s", why);
}

static void close_image(void)
{
	hvs_nbddisk_close(disk);
	disk = NULL;
}

/* What somebody else finds in the image, from the first byte on. */
static void expect_in_image(const struct kind *kind, const uint8_t *data, size_t len)
{
	char *copy = hvst_path("copy");
	uint8_t *found = malloc(len);
	int fd;

	if (kind->has_check)
		hvst_shell("qemu-img check -q -f %s image", kind->format);
	hvst_shell("qemu-img convert -f %s -O raw image copy", kind->format);
	fd = open(copy, O_RDONLY);
	cr_assert(found != NULL);
	cr_assert_eq(read(fd, found, len), (ssize_t)len);
	cr_assert_eq(memcmp(found, data, len), 0, "the image has other data");
	close(fd);
	free(found);
	free(copy);
}

/* ---- data ------------------------------------------------------------------------------- */

static void data_are_in_the_image(const struct kind *kind)
{
	make_image(kind, "32M");
	open_image(kind);
	hvst_compare_with_model(disk, 1200, 40, 512);
	close_image();
	expect_in_image(kind, hvst_model, sizeof(hvst_model));
}

Test(nbddisk_image, data_are_in_a_dynamic_vhdx)
{
	data_are_in_the_image(&vhdx_dynamic);
}

Test(nbddisk_image, data_are_in_a_fixed_vhdx)
{
	data_are_in_the_image(&vhdx_fixed);
}

Test(nbddisk_image, data_are_in_a_dynamic_vhd)
{
	data_are_in_the_image(&vhd_dynamic);
}

Test(nbddisk_image, data_are_in_a_fixed_vhd)
{
	data_are_in_the_image(&vhd_fixed);
}

Test(nbddisk_image, data_are_in_a_qcow2)
{
	data_are_in_the_image(&qcow2);
}

Test(nbddisk_image, data_are_in_a_raw_image)
{
	data_are_in_the_image(&raw);
}

/* What the guest wrote must not decide how its disk is read next time. */
Test(nbddisk_image, a_raw_image_that_looks_like_another_format_stays_raw)
{
	struct hvst_io io;

	make_image(&raw, "1M");
	open_image(&raw);
	hvst_io_init(&io, HVS_BLK_WRITE, 0, 512, 1);
	snprintf((char *)io.buf, 512, "QFI\xfb");
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	hvst_io_free(&io);
	close_image();
	open_image(&raw);
	hvst_io_init(&io, HVS_BLK_READ, 0, 512, 1);
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	cr_assert_eq(memcmp(io.buf, "QFI\xfb", 5), 0);
	hvst_io_free(&io);
}

static uint64_t bytes_allocated(void)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void unmapping_gives_space_back(const struct kind *kind)
{
	struct hvst_io io;
	uint64_t full;

	make_image(kind, "64M");
	open_image(kind);
	for (unsigned i = 0; i < 16; i++)
		cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, i * HVST_MIB, HVST_MIB, 0),
			     HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0), HVS_BLK_OK);
	full = bytes_allocated();
	cr_assert_geq(full, 16 * HVST_MIB);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_UNMAP, HVST_MIB, 8 * HVST_MIB, 0), HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0), HVS_BLK_OK);
	cr_assert_leq(bytes_allocated(), full - 7 * HVST_MIB);

	hvst_io_init(&io, HVS_BLK_LBA_STATUS, 2 * HVST_MIB, 0, 0);
	io.req.len = 4 * HVST_MIB;
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	cr_assert(io.req.extent_unmapped);
	hvst_io_free(&io);
	hvst_io_init(&io, HVS_BLK_LBA_STATUS, 10 * HVST_MIB, 0, 0);
	io.req.len = 4 * HVST_MIB;
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	cr_assert(!io.req.extent_unmapped);
	hvst_io_free(&io);
}

Test(nbddisk_image, unmapping_gives_space_of_a_qcow2_back)
{
	unmapping_gives_space_back(&qcow2);
}

Test(nbddisk_image, unmapping_gives_space_of_a_raw_image_back)
{
	unmapping_gives_space_back(&raw);
}

Test(nbddisk_image, zeros_keep_their_space_unless_they_may_be_unmapped)
{
	uint64_t full;

	make_image(&raw, "16M");
	open_image(&raw);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, 8 * HVST_MIB, HVS_BLK_FUA), HVS_BLK_OK);
	full = bytes_allocated();
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE_ZEROES, 0, 4 * HVST_MIB, 0), HVS_BLK_OK);
	cr_assert_geq(bytes_allocated(), full);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE_ZEROES, 0, 4 * HVST_MIB, HVS_BLK_MAY_UNMAP),
		     HVS_BLK_OK);
	cr_assert_leq(bytes_allocated(), full - 3 * HVST_MIB);
}

/* ---- properties ------------------------------------------------------------------------- */

Test(nbddisk_image, info_of_an_image)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	make_image(&vhdx_dynamic, "64M");
	open_image(&vhdx_dynamic);
	cr_assert_eq(hvs_nbddisk_ops()->get_info(disk, &info), 0);
	cr_assert_eq(info.flags, HVS_BLK_INFO_FUA | HVS_BLK_INFO_WRITE_BACK | HVS_BLK_INFO_UNMAP |
					 HVS_BLK_INFO_WRITE_ZEROES | HVS_BLK_INFO_LBA_STATUS);
	cr_assert_eq(info.block_size, 512);
	cr_assert_eq(info.physical_block_size, 4096);
	cr_assert_eq(info.num_blocks, 131072);
	cr_assert_eq(info.max_queues, HVS_BLK_ANY_QUEUE);
}

Test(nbddisk_image, a_read_only_image_reads_and_refuses_writes)
{
	struct hvs_nbddisk_config cfg = config_of(&qcow2);
	struct hvs_nbddisk *second;

	make_image(&qcow2, "1M");
	cfg.flags = HVS_NBDDISK_READ_ONLY;
	cr_assert_eq(hvs_nbddisk_open(&cfg, &disk, NULL, 0), 0);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 0, 4096, 0), HVS_BLK_OK);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, 4096, 0), HVS_BLK_READ_ONLY);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0), HVS_BLK_OK);
	/* Any number of readers. */
	cr_assert_eq(hvs_nbddisk_open(&cfg, &second, NULL, 0), 0);
	hvs_nbddisk_close(second);
}

Test(nbddisk_image, names_promise_formats)
{
	static const char *const names[][2] = {
		{"/a.b/disk.vhdx", "vhdx"}, {"DISK.VHDX", "vhdx"}, {"disk.vhd", "vpc"},
		{"disk.Vhd", "vpc"},        {"d.qcow2", "qcow2"},  {"install.iso", "raw"},
		{"disk.img", "raw"},        {"disk.raw", "raw"},   {"/dev/sdb", "raw"},
		{"/a.vhdx/disk", "raw"},    {"vhdx", "raw"},       {"", "raw"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_assert_str_eq(hvs_nbddisk_format(names[i][0]), names[i][1], "%s", names[i][0]);
	cr_assert_str_eq(hvs_nbddisk_format(NULL), "raw");
}

/* ---- refusals --------------------------------------------------------------------------- */

static void refused(const struct hvs_nbddisk_config *cfg, int err, const char *words)
{
	struct hvs_nbddisk *none = NULL;
	char why[256] = "";

	cr_assert_eq(hvs_nbddisk_open(cfg, &none, why, sizeof(why)), -err, "%s: %s", words, why);
	cr_assert(strstr(why, words) != NULL, "'%s' is not in '%s'", words, why);
	cr_assert(strchr(why, '\n') == NULL);
	cr_assert(none == NULL);
}

static unsigned open_files(void)
{
	DIR *fds = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert(fds != NULL);
	while (readdir(fds))
		count++;
	closedir(fds);
	return count;
}

Test(nbddisk_image, an_image_that_is_none_is_refused)
{
	struct hvs_nbddisk_config cfg = config_of(&vhdx_dynamic);
	unsigned before = open_files();

	refused(&cfg, ENOENT, "no such file");
	make_image(&qcow2, "1M");
	refused(&cfg, EINVAL, "this is not a VHDX image");
	cfg.format = "vpc";
	refused(&cfg, EINVAL, "this is not a VHD image");
	make_image(&vhdx_dynamic, "1M");
	cfg.format = "qcow2";
	refused(&cfg, EINVAL, "this is not a qcow2 image");
	make_image(&raw, "0");
	refused(&cfg, EINVAL, "this is not a qcow2 image");
	cfg.format = "raw";
	refused(&cfg, EINVAL, "the disk is empty");
	cfg.image = hvst_dir();
	refused(&cfg, EINVAL, "not a regular file or block device");
	cfg.image = "/dev/null";
	refused(&cfg, EINVAL, "not a regular file or block device");
	cr_assert_eq(open_files(), before, "a descriptor leaked");
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a process was left");
}

Test(nbddisk_image, qemu_nbd_says_what_is_wrong_with_a_damaged_image)
{
	struct hvs_nbddisk_config cfg = config_of(&qcow2);

	make_image(&qcow2, "1M");
	/* The version of the format. */
	hvst_shell("printf '\\0\\0\\0\\143' | dd of=image bs=1 seek=4 conv=notrunc 2>/dev/null");
	refused(&cfg, EINVAL, "qemu-nbd can't open it: Unsupported qcow2 version 99");
}

Test(nbddisk_image, a_second_writer_is_locked_out)
{
	struct hvs_nbddisk_config cfg = config_of(&vhdx_dynamic);

	make_image(&vhdx_dynamic, "8M");
	open_image(&vhdx_dynamic);
	refused(&cfg, EBUSY, "another program has it open");
	cfg.flags = HVS_NBDDISK_READ_ONLY;
	refused(&cfg, EBUSY, "another program has it open");
	/* With the end of close() the lock has gone. */
	for (unsigned i = 0; i < 5; i++) {
		close_image();
		open_image(&vhdx_dynamic);
	}
}

Test(nbddisk_image, an_image_without_permission_is_refused)
{
	struct hvs_nbddisk_config cfg = config_of(&qcow2);

	make_image(&qcow2, "1M");
	cr_assert_eq(chmod(hvst_dir(), 0755), 0);
	cr_assert_eq(chmod(path, 0444), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	refused(&cfg, EACCES, "is it meant to be read-only?");
	(void)!seteuid(getuid());
	cr_assert_eq(chmod(path, 0), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	refused(&cfg, EACCES, "can't be opened");
	(void)!seteuid(getuid());
}

Test(nbddisk_image, qemu_nbd_that_is_not_installed_is_told)
{
	struct hvs_nbddisk_config cfg = config_of(&qcow2);
	char *was = strdup(getenv("PATH"));

	make_image(&qcow2, "1M");
	setenv("PATH", hvst_dir(), 1);
	refused(&cfg, ENOEXEC, "qemu-nbd is not installed: apt-get install qemu-utils");
	setenv("PATH", was, 1);
	free(was);
}

/* A program in the place of qemu-nbd, which must not be waited for without end. */
static void replace_qemu_nbd(const char *script)
{
	char *was = strdup(getenv("PATH"));
	char *now = NULL;

	hvst_shell("printf '#!/bin/sh\\n%s\\n' >qemu-nbd && chmod +x qemu-nbd", script);
	cr_assert_geq(asprintf(&now, "%s:%s", hvst_dir(), was), 0);
	setenv("PATH", now, 1);
	free(now);
	free(was);
}

Test(nbddisk_image, a_qemu_nbd_that_hangs_is_killed)
{
	struct hvs_nbddisk_config cfg = config_of(&qcow2);

	make_image(&qcow2, "1M");
	replace_qemu_nbd("sleep 1000"); /* a process of its own */
	cfg.open_timeout_ms = 100;
	refused(&cfg, ETIMEDOUT, "qemu-nbd does not answer");
	/* With all it has started. */
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "a process was left");
}

Test(nbddisk_image, a_qemu_nbd_that_fails_in_many_words_is_told_in_few)
{
	struct hvs_nbddisk_config cfg = config_of(&qcow2);

	make_image(&qcow2, "1M");
	replace_qemu_nbd("for i in $(seq 2000); do echo qemu-nbd: noise $i; done >&2\\n"
			 "echo qemu-nbd: the reason >&2\\necho and a hint >&2\\nexit 1");
	refused(&cfg, EINVAL, "qemu-nbd can't open it: the reason and a hint");
	replace_qemu_nbd("exit 1");
	refused(&cfg, EINVAL, "no reason given");
}

Test(nbddisk_image, names_with_special_characters)
{
	char *name = hvst_path("a,b 'c\" $d,,json:{}=é");
	struct hvs_nbddisk_config cfg = config_of(&qcow2);

	make_image(&qcow2, "1M");
	cr_assert_eq(rename(path, name), 0);
	cfg.image = name;
	cr_assert_eq(hvs_nbddisk_open(&cfg, &disk, NULL, 0), 0);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, 4096, 0), HVS_BLK_OK);
	free(name);
}

/* ---- what qemu-nbd says ----------------------------------------------------------------- */

static char logged[4096];

static void on_log(void *arg, const char *text)
{
	size_t len = strlen(logged);

	cr_assert(strchr(text, '\n') == NULL);
	snprintf(logged + len, sizeof(logged) - len, "[%s]%s", text, (const char *)arg);
}

Test(nbddisk_image, what_qemu_nbd_says_comes_to_the_log)
{
	struct hvs_nbddisk_config cfg = config_of(&qcow2);

	make_image(&qcow2, "1M");
	/* The real one, of the folders behind ours, gets the same process. */
	replace_qemu_nbd("echo one >&2; echo two; seq -s . 500\nPATH=${PATH#*:}\n"
			 "exec qemu-nbd \"$@\"");
	cfg.log = on_log;
	cfg.arg = (void *)";";
	cr_assert_eq(hvs_nbddisk_open(&cfg, &disk, NULL, 0), 0);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_WRITE, 0, 4096, 0), HVS_BLK_OK);
	close_image();
	/* Of a line that is too long, the end. */
	cr_assert(strstr(logged, "[one];[two];[") == logged, "%s", logged);
	cr_assert(strstr(logged, ".499.500];") != NULL, "%s", logged);
}

/* ---- crashes ---------------------------------------------------------------------------- */

#define CHUNK (256 * HVST_KIB)
#define CHUNKS 24u

static void fill_chunk(uint8_t *buf, unsigned n)
{
	for (unsigned i = 0; i < CHUNK; i++)
		buf[i] = (uint8_t)(n * 7 + i / 512 + i);
}

static void write_chunk(unsigned n)
{
	struct hvst_io io;

	/* With gaps: the image has to allocate. */
	hvst_io_init(&io, HVS_BLK_WRITE, 2ull * n * CHUNK, CHUNK, 1);
	fill_chunk(io.buf, n);
	cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
	hvst_io_free(&io);
}

/* Write, flush, and say how many chunks are safe; without end. */
static void write_until_killed(const struct kind *kind, int said)
{
	uint8_t safe = 0;

	open_image(kind);
	for (unsigned n = 0; n < CHUNKS; n++) {
		write_chunk(n);
		if (n % 4 != 3)
			continue;
		if (hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0) != HVS_BLK_OK)
			_exit(1);
		safe = (uint8_t)(n + 1);
		(void)!write(said, &safe, 1);
	}
	pause();
}

/* Open it as soon as the qemu-nbd of the dead process has let it go. */
static void open_when_free(const struct kind *kind)
{
	const struct hvs_nbddisk_config cfg = config_of(kind);
	const struct timespec moment = {.tv_nsec = 5000000};
	char why[256];
	int err;

	while ((err = hvs_nbddisk_open(&cfg, &disk, why, sizeof(why))) == -EBUSY)
		nanosleep(&moment, NULL);
	cr_assert_eq(err, 0, "%s", why);
}

static void expect_chunks(unsigned safe)
{
	uint8_t *wanted = malloc(CHUNK);
	struct hvst_io io;

	cr_assert(wanted != NULL);
	for (unsigned n = 0; n < safe; n++) {
		hvst_io_init(&io, HVS_BLK_READ, 2ull * n * CHUNK, CHUNK, 3);
		cr_assert_eq(hvst_io_run(disk, &io), HVS_BLK_OK);
		fill_chunk(wanted, n);
		cr_assert(hvst_io_equals(&io, wanted), "chunk %u was flushed and is lost", n);
		hvst_io_free(&io);
	}
	free(wanted);
}

static void flushed_data_survive_a_kill(const struct kind *kind, unsigned wait_for)
{
	unsigned safe = 0;
	uint8_t n;
	int said[2];
	pid_t pid;

	make_image(kind, "64M");
	cr_assert_eq(pipe2(said, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0)
		write_until_killed(kind, said[1]);
	close(said[1]);
	while (safe < wait_for && read(said[0], &n, 1) == 1)
		safe = n;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (read(said[0], &n, 1) == 1)
		safe = n;
	close(said[0]);
	cr_assert_geq(safe, wait_for);

	open_when_free(kind);
	expect_chunks(safe);
	close_image();
	if (kind->has_check)
		hvst_shell("qemu-img check -q -f %s image", kind->format);
}

Test(nbddisk_image, flushed_data_are_in_a_vhdx_after_a_kill)
{
	for (unsigned n = 4; n <= CHUNKS; n += 4)
		flushed_data_survive_a_kill(&vhdx_dynamic, n);
}

Test(nbddisk_image, flushed_data_are_in_a_vhd_after_a_kill)
{
	for (unsigned n = 4; n <= CHUNKS; n += 8)
		flushed_data_survive_a_kill(&vhd_dynamic, n);
}

Test(nbddisk_image, flushed_data_are_in_a_qcow2_after_a_kill)
{
	for (unsigned n = 4; n <= CHUNKS; n += 4)
		flushed_data_survive_a_kill(&qcow2, n);
}

/* The qemu-nbd of this process. */
static pid_t child(void)
{
	char name[64];
	FILE *file;
	int pid = 0;

	snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(name, "re");
	cr_assert(file != NULL);
	cr_assert_eq(fscanf(file, "%d", &pid), 1); /* NOLINT(cert-err34-c) */
	fclose(file);
	return pid;
}

static void flushed_data_survive_the_end_of_the_server(const struct kind *kind)
{
	make_image(kind, "64M");
	open_image(kind);
	for (unsigned n = 0; n < CHUNKS; n++)
		write_chunk(n);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_FLUSH, 0, 0, 0), HVS_BLK_OK);
	kill(child(), SIGKILL);
	cr_assert_eq(hvst_io_do(disk, HVS_BLK_READ, 0, 512, 0), HVS_BLK_GONE);
	close_image();
	open_image(kind);
	expect_chunks(CHUNKS);
}

Test(nbddisk_image, flushed_data_are_in_a_vhdx_after_the_server_was_killed)
{
	flushed_data_survive_the_end_of_the_server(&vhdx_dynamic);
}

Test(nbddisk_image, flushed_data_are_in_a_qcow2_after_the_server_was_killed)
{
	flushed_data_survive_the_end_of_the_server(&qcow2);
}

Test(nbddisk_image, qemu_nbd_is_apart_from_the_terminal)
{
	make_image(&qcow2, "1M");
	open_image(&qcow2);
	cr_assert_eq(getpgid(child()), child());
}

Test(nbddisk_image, qemu_nbd_gets_no_descriptor_of_ours)
{
	char name[64];
	char target[256];
	int leak = open("/proc/self/status", O_RDONLY); /* no O_CLOEXEC */
	ssize_t len;

	make_image(&qcow2, "1M");
	open_image(&qcow2);
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)child(), leak);
	len = readlink(name, target, sizeof(target) - 1);
	target[len < 0 ? 0 : len] = '\0';
	cr_assert(strstr(target, "status") == NULL, "%s", target);
	close(leak);
}
