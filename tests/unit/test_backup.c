/* SPDX-License-Identifier: MIT */
/* Backups: what they hold, how they end, and that a frozen guest always goes on. */
#include "support/fakevss.h"
#include "support/rng.h"
#include "support/snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hvstack/host/backup.h>
#include <hvstack/host/uuid.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct rng rng = {99};
static struct hvs_backup *backup;
static struct hvs_backup_result result;
static char message[256];
static struct json_object *manifest;
static unsigned endings;
static char phases[64]; /* as they came, once each */
static enum hvs_backup_phase cancel_in;
static int image[DISKS];
static int map[DISKS];

/* As their places say: nothing is left behind in the folder. */
static int nameless(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);

	cr_assert_geq(fd, 0);
	return fd;
}

static void setup(void)
{
	snapshot_setup();
	memset(vss_asked, 0, sizeof(vss_asked));
	for (unsigned i = 0; i < DISKS; i++) {
		image[i] = nameless();
		map[i] = nameless();
	}
}

static void teardown(void)
{
	hvs_backup_destroy(backup);
	json_object_put(manifest);
	for (unsigned i = 0; i < DISKS; i++) {
		close(image[i]);
		close(map[i]);
	}
	snapshot_teardown();
}

TestSuite(backup, .init = setup, .fini = teardown, .timeout = 120);

static void on_progress(void *arg, struct hvs_backup *b, const struct hvs_backup_progress *p)
{
	static const char letters[] = "-PCFTWOE";
	const size_t len = strlen(phases);

	(void)arg;
	cr_assert_leq(p->done_bytes, p->total_bytes);
	if (len == 0 || phases[len - 1] != letters[p->phase])
		phases[len] = letters[p->phase];
	if (p->phase == cancel_in)
		hvs_backup_cancel(b);
}

static void on_ended(void *arg, struct hvs_backup *b, const struct hvs_backup_result *r)
{
	(void)arg;
	cr_assert_eq(b, backup);
	cr_assert_neq(vss_state, HVS_VSS_FROZEN, "it was not thawed before");
	backup = NULL;
	endings++;
	result = *r;
	snprintf(message, sizeof(message), "%s", r->message);
	json_object_put(manifest);
	manifest = json_object_get(r->manifest);
}

static struct hvs_backup_config config(const struct hvs_backup_disk *disks)
{
	return (struct hvs_backup_config){HVS_BACKUP_CONFIG_INIT,
					  .base = base,
					  .disks = disks,
					  .disk_count = DISKS,
					  .consistency = HVS_BACKUP_CRASH,
					  .machine_name = "web1",
					  .machine_uuid = {{9}},
					  .progress = on_progress,
					  .ended = on_ended};
}

static void begin(enum hvs_backup_consistency consistency, const struct hvs_guid *parent)
{
	struct hvs_backup_disk disks[DISKS];
	struct hvs_backup_config cfg;

	for (unsigned i = 0; i < DISKS; i++)
		disks[i] = (struct hvs_backup_disk){.id = i ? "second" : "first",
						    .snapshot = snap[i],
						    .image_fd = image[i],
						    .map_fd = map[i],
						    .block_size = 512};
	cfg = config(disks);
	cfg.consistency = consistency;
	cfg.vss = consistency == HVS_BACKUP_CRASH ? NULL : vss();
	cfg.parent = parent;
	endings = 0;
	memset(phases, 0, sizeof(phases));
	cr_assert_eq(hvs_backup_start(&cfg, &backup), 0);
}

static void run_to_end(void)
{
	while (endings == 0) {
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		vss_run();
	}
	cr_assert_eq(endings, 1);
}

static void run_until_asked(char kind)
{
	while (!vss_waits(kind))
		event_base_loop(base, EVLOOP_ONCE);
}

static void new_files(void)
{
	for (unsigned i = 0; i < DISKS; i++) {
		close(image[i]);
		close(map[i]);
		image[i] = nameless();
		map[i] = nameless();
	}
}

/* ---- restoring, as docs/backup.md says -------------------------------------------------- */

static const char *member(struct json_object *of, const char *name)
{
	return json_object_get_string(json_object_object_get(of, name));
}

static void hash_of(const void *data, size_t len, char text[65])
{
	uint8_t hash[EVP_MAX_MD_SIZE];

	cr_assert_eq(EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL), 1);
	for (unsigned i = 0; i < 32; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", hash[i]);
}

static void apply_line(const char *line, unsigned disk, uint8_t *to, uint64_t *stored)
{
	static uint8_t data[1u << 20];
	char *rest;
	const uint64_t offset = strtoull(line, &rest, 10);
	const uint64_t len = strtoull(rest, &rest, 10);
	const char *what = rest + 1;
	char hash[65];

	cr_assert_eq(*rest, ' ');
	cr_assert(offset % 512 == 0 && len % 512 == 0 && len > 0 && offset + len <= BYTES);
	if (strcmp(what, "zero") == 0) {
		memset(to + offset, 0, len);
		return;
	}
	cr_assert_leq(len, (1u << 20) - offset % (1u << 20));
	cr_assert_eq(pread(image[disk], data, len, (off_t)offset), (ssize_t)len);
	hash_of(data, len, hash);
	cr_assert_str_eq(hash, what);
	memcpy(to + offset, data, len);
	*stored += len;
}

/* Apply the backup that has just ended to what there was before. */
static void restore(unsigned disk, uint8_t *to)
{
	static char text[65536];
	struct json_object *d =
		json_object_array_get_idx(json_object_object_get(manifest, "disks"), disk);
	ssize_t len = pread(map[disk], text, sizeof(text) - 1, 0);
	uint64_t stored = 0;
	char hash[65];

	cr_assert_geq(len, 0);
	text[len] = '\0';
	hash_of(text, (size_t)len, hash);
	cr_assert_str_eq(member(d, "map_sha256"), hash);
	cr_assert_eq(json_object_get_int64(json_object_object_get(d, "map_bytes")), len);
	cr_assert_eq(json_object_get_int64(json_object_object_get(d, "bytes")), BYTES);
	cr_assert_eq(lseek(image[disk], 0, SEEK_END), BYTES);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		apply_line(line, disk, to, &stored);
	cr_assert_eq((uint64_t)json_object_get_int64(json_object_object_get(d, "stored_bytes")),
		     stored);
}

static void random_writes(unsigned count)
{
	static const enum hvs_blk_op ops[] = {HVS_BLK_WRITE, HVS_BLK_WRITE, HVS_BLK_UNMAP,
					      HVS_BLK_WRITE_ZEROES};

	while (count-- > 0) {
		const uint64_t offset = rng_below(&rng, BYTES / BLOCK) * BLOCK;
		uint64_t len = (1 + rng_below(&rng, 200)) * BLOCK;

		if (len > BYTES - offset)
			len = BYTES - offset;
		do_one(count % DISKS, ops[rng_below(&rng, 4)], offset, len,
		       (uint8_t)rng_below(&rng, 256));
	}
}

/* ---- what a backup holds ---------------------------------------------------------------- */

Test(backup, a_chain_restores_to_what_there_was)
{
	static uint8_t restored[DISKS][BYTES];
	static uint8_t wanted[DISKS][BYTES];
	char last[HVS_GUID_TEXT] = "";
	struct hvs_guid parent;

	for (unsigned round = 0; round < 8; round++) {
		random_writes(round == 5 ? 0 : 12);
		new_files();
		begin(HVS_BACKUP_CRASH, round ? &parent : NULL);
		/* Nothing is written before the point is taken. */
		while (!strchr(phases, 'O'))
			event_base_loop(base, EVLOOP_ONCE);
		for (unsigned i = 0; i < DISKS; i++)
			memcpy(wanted[i], ram[i].data, BYTES);
		if (backup)
			random_writes(6);
		run_to_end();
		cr_assert_eq(result.status, 0, "%s", message);
		for (unsigned i = 0; i < DISKS; i++) {
			restore(i, restored[i]);
			cr_assert_arr_eq(restored[i], wanted[i], BYTES);
		}
		cr_assert(round == 0 ? !member(manifest, "parent")
				     : strcmp(member(manifest, "parent"), last) == 0);
		snprintf(last, sizeof(last), "%s", member(manifest, "id"));
		cr_assert_eq(hvs_guid_parse(last, &parent), 0);
	}
}

Test(backup, the_manifest_says_what_it_is)
{
	struct json_object *disk;

	do_one(1, HVS_BLK_WRITE, 3 * CHUNK, BLOCK, 'x');
	begin(HVS_BACKUP_APPLICATION, NULL);
	run_to_end();
	cr_assert_eq(result.status, 0, "%s", message);
	cr_assert_str_eq(phases, "CFTWOE");
	cr_assert_str_eq(vss_asked, "cftb");
	cr_assert_geq(result.frozen_ms, 0);
	cr_assert_str_eq(member(manifest, "format"), "hvstack-backup");
	cr_assert_str_eq(member(manifest, "version"), "1");
	cr_assert_str_eq(member(manifest, "consistency"), "application");
	cr_assert(
		json_object_is_type(json_object_object_get(manifest, "frozen_ms"), json_type_int));
	cr_assert_null(json_object_object_get(manifest, "guest_os"));
	cr_assert_str_eq(member(json_object_object_get(manifest, "machine"), "name"), "web1");
	cr_assert_eq(strlen(member(manifest, "time")), strlen("2026-11-23T16:20:11.482Z"));
	disk = json_object_array_get_idx(json_object_object_get(manifest, "disks"), 1);
	cr_assert_str_eq(member(disk, "id"), "second");
	cr_assert_str_eq(member(disk, "type"), "full");
	cr_assert_str_eq(member(disk, "block_size"), "512");
	cr_assert_str_eq(member(disk, "stored_bytes"), "65536", "the chunk, and nothing else");
}

Test(backup, holes_stay_holes)
{
	do_one(0, HVS_BLK_WRITE, 0, BLOCK, 'x');
	begin(HVS_BACKUP_CRASH, NULL);
	run_to_end();
	cr_assert_eq(lseek(image[0], (off_t)CHUNK, SEEK_DATA), -1);
	cr_assert_eq(lseek(image[1], 0, SEEK_DATA), -1);
	cr_assert_eq(lseek(map[1], 0, SEEK_END), 0);
}

Test(backup, only_the_last_one_is_a_parent)
{
	struct hvs_guid first;
	struct hvs_guid second;

	begin(HVS_BACKUP_CRASH, &(struct hvs_guid){{1}});
	run_to_end();
	cr_assert_eq(result.status, -ESTALE);
	cr_assert_null(manifest);
	begin(HVS_BACKUP_CRASH, NULL);
	first = *hvs_backup_id(backup);
	run_to_end();
	new_files();
	begin(HVS_BACKUP_CRASH, NULL);
	second = *hvs_backup_id(backup);
	run_to_end();
	new_files();
	begin(HVS_BACKUP_CRASH, &first);
	run_to_end();
	cr_assert_eq(result.status, -ESTALE);
	new_files();
	begin(HVS_BACKUP_CRASH, &second);
	run_to_end();
	cr_assert_eq(result.status, 0, "one that failed does not count");
}

/* ---- guests ----------------------------------------------------------------------------- */

static const char *consistency(void)
{
	run_to_end();
	return result.status ? "none" : member(manifest, "consistency");
}

Test(backup, a_guest_that_can_t_be_frozen_is_backed_up_without_or_not_at_all)
{
	for (unsigned round = 0; round < 6; round++) {
		const bool automatic = round % 2 == 0;
		const char *wanted = automatic ? "crash" : "none";

		new_files();
		/* It says so, it is not there, or freezing fails. */
		vss_refuses['c'] = round / 2 == 1 ? -ENOTCONN : 0;
		begin(automatic ? HVS_BACKUP_AUTO : HVS_BACKUP_APPLICATION, NULL);
		if (round / 2 == 0) {
			run_until_asked('c');
			vss_answer('c', -EREMOTEIO, HVS_IC_E_FAIL);
		} else if (round / 2 == 2) {
			run_until_asked('c');
			vss_answer('c', 0, 0);
			vss_answer('f', -ETIMEDOUT, 0);
		}
		cr_assert_str_eq(consistency(), wanted);
		cr_assert_eq(result.frozen_ms, -1);
		if (automatic)
			continue;
		cr_assert_eq(result.status,
			     ((int[]){-EREMOTEIO, -ENOTCONN, -ETIMEDOUT})[round / 2]);
		cr_assert(strstr(message, "crash-consistent"), "%s", message);
	}
}

Test(backup, a_machine_without_the_service_is_backed_up_without_or_not_at_all)
{
	struct hvs_backup_disk disk = {"first", snap[0], image[0], map[0], 512, 0};
	struct hvs_backup_config cfg = config(&disk);

	cfg.disk_count = 1;
	cfg.consistency = HVS_BACKUP_APPLICATION;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), 0);
	run_to_end();
	cr_assert_eq(result.status, -ENOTCONN);
	endings = 0;
	cfg.consistency = HVS_BACKUP_AUTO;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), 0);
	cr_assert_str_eq(consistency(), "crash");
}

Test(backup, a_guest_that_went_on_too_early_was_not_frozen)
{
	for (unsigned round = 0; round < 2; round++) {
		new_files();
		begin(round ? HVS_BACKUP_APPLICATION : HVS_BACKUP_AUTO, NULL);
		run_until_asked('c');
		vss_answer('c', 0, 0);
		vss_answer('f', 0, 0);
		/* The library has thawed it. */
		vss_state = HVS_VSS_IDLE;
		cr_assert_str_eq(consistency(), round ? "none" : "crash");
	}
	cr_assert_eq(result.status, -ETIMEDOUT);
}

/* ---- cancelling ------------------------------------------------------------------------- */

Test(backup, is_cancelled_in_each_phase)
{
	for (unsigned phase = HVS_BACKUP_CHECKING; phase <= HVS_BACKUP_COPYING; phase++) {
		new_files();
		cancel_in = (enum hvs_backup_phase)phase;
		begin(HVS_BACKUP_APPLICATION, NULL);
		run_to_end();
		cr_assert_eq(result.status, -ECANCELED, "phase %u", phase);
		cr_assert_eq(vss_state, HVS_VSS_IDLE);
	}
	cancel_in = HVS_BACKUP_COMPLETING;
	new_files();
	begin(HVS_BACKUP_APPLICATION, NULL);
	run_to_end();
	cr_assert_eq(result.status, 0, "it is too late");
	cancel_in = 0;
	begin(HVS_BACKUP_AUTO, NULL);
	hvs_backup_cancel(backup);
	run_to_end();
	cr_assert_eq(result.status, -ECANCELED, "before it has begun");
}

Test(backup, is_cancelled_while_the_guest_is_asked)
{
	static const char kinds[] = "cft";

	for (const char *kind = kinds; *kind; kind++) {
		new_files();
		begin(HVS_BACKUP_AUTO, NULL);
		while (!vss_waits(*kind)) {
			event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
			if (!vss_waits(*kind))
				vss_run();
		}
		hvs_backup_cancel(backup);
		hvs_backup_cancel(backup);
		run_to_end();
		cr_assert_eq(result.status, -ECANCELED);
		cr_assert_eq(vss_state, HVS_VSS_IDLE);
	}
}

Test(backup, a_guest_that_is_frozen_is_thawed_at_once_when_it_is_cancelled)
{
	/* A write of another disk under way keeps the point from being taken. */
	static struct io io;

	ram[1].hold_writes = true;
	start(&io, 1, HVS_BLK_WRITE, 0, BLOCK, 'x');
	begin(HVS_BACKUP_AUTO, NULL);
	run_until_asked('c');
	vss_answer('c', 0, 0);
	vss_answer('f', 0, 0);
	cr_assert_eq(vss_state, HVS_VSS_FROZEN);
	hvs_backup_cancel(backup);
	cr_assert(vss_waits('t'), "not when something else has happened first");
	run_to_end();
	cr_assert_eq(result.status, -ECANCELED);
	ramdisk_complete(&ram[1], 0, HVS_BLK_OK);
}

Test(backup, a_copy_that_waits_for_its_turn_is_cancelled)
{
	struct hvs_backup_disk disk = {"first", snap[0], image[0], map[0], 512, 0};
	struct hvs_backup_config cfg = config(&disk);

	memset(ram[0].data, 1, BYTES);
	cfg.disk_count = 1;
	cfg.max_bytes_per_s = 1;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), 0);
	while (!strchr(phases, 'O'))
		event_base_loop(base, EVLOOP_ONCE);
	cr_assert_not_null(backup, "it would take days");
	hvs_backup_cancel(backup);
	run_to_end();
	cr_assert_eq(result.status, -ECANCELED);
}

Test(backup, is_destroyed_in_each_phase)
{
	for (unsigned steps = 0; steps < 12; steps++) {
		new_files();
		begin(HVS_BACKUP_AUTO, NULL);
		for (unsigned i = 0; i < steps && backup; i++) {
			event_base_loop(base, EVLOOP_NONBLOCK);
			if (i % 2 && (vss_waits('c') || vss_waits('f') || vss_waits('t')))
				vss_run();
			usleep(300);
		}
		endings = 0;
		hvs_backup_destroy(backup);
		backup = NULL;
		while (vss_waits('t') || vss_waits('b'))
			vss_run();
		event_base_loop(base, EVLOOP_NONBLOCK);
		cr_assert_eq(endings, 0);
		cr_assert_eq(vss_state, HVS_VSS_IDLE, "after %u steps", steps);
	}
	hvs_backup_destroy(NULL);
}

Test(backup, destroyed_while_frozen_thaws)
{
	begin(HVS_BACKUP_AUTO, NULL);
	run_until_asked('c');
	vss_answer('c', 0, 0);
	vss_answer('f', 0, 0);
	hvs_backup_destroy(backup);
	backup = NULL;
	cr_assert(vss_waits('t'));
	vss_answer('t', 0, 0);
	cr_assert_eq(endings, 0);
}

/* ---- trouble ---------------------------------------------------------------------------- */

Test(backup, files_that_can_t_be_written_are_named)
{
	const struct rlimit less = {BYTES - 1, RLIM_INFINITY};
	int read_only = open("/dev/null", O_RDONLY);
	int keep = map[0];

	signal(SIGXFSZ, SIG_IGN);
	memset(ram[0].data, 1, BYTES);
	map[0] = read_only;
	begin(HVS_BACKUP_CRASH, NULL);
	run_to_end();
	cr_assert_eq(result.status, -EBADF);
	cr_assert(strstr(message, "map file"), "%s", message);
	map[0] = keep;
	close(read_only);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &less), 0);
	begin(HVS_BACKUP_CRASH, NULL);
	run_to_end();
	cr_assert_eq(result.status, -EFBIG);
}

Test(backup, a_disk_that_can_t_be_read_is_told)
{
	memset(ram[0].data, 1, BYTES);
	atomic_store(&ram[0].bad, true);
	begin(HVS_BACKUP_CRASH, NULL);
	run_to_end();
	cr_assert_eq(result.status, -EIO);
	cr_assert(strstr(message, "could not be read"), "%s", message);
}

Test(backup, a_disk_that_is_closed_meanwhile_ends_it)
{
	begin(HVS_BACKUP_AUTO, NULL);
	run_until_asked('c');
	close_snapshot(0);
	run_to_end();
	cr_assert_eq(result.status, -ENODEV);
	cr_assert_eq(vss_state, HVS_VSS_IDLE);
}

Test(backup, a_disk_is_in_one_at_a_time)
{
	struct hvs_backup_disk disk = {"first", snap[0], image[0], map[0], 512, 0};
	struct hvs_backup_config cfg = config(&disk);
	struct hvs_backup *other;

	cfg.disk_count = 1;
	begin(HVS_BACKUP_CRASH, NULL);
	cr_assert_eq(hvs_backup_start(&cfg, &other), -EBUSY);
	run_to_end();
	cr_assert_eq(result.status, 0);
}

Test(backup, what_makes_no_sense_is_refused)
{
	const struct hvs_backup_disk disk = {"first", snap[0], image[0], map[0], 512, 0};
	const struct hvs_backup_config good = config(&disk);
	struct hvs_backup_config cfg = good;

	cr_assert_eq(hvs_backup_start(&cfg, NULL), -EINVAL);
	cfg.disk_count = 0;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), -EINVAL);
	cfg = good;
	cfg.disk_count = 1;
	cfg.consistency = 7;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), -EINVAL);
	cfg.consistency = HVS_BACKUP_CRASH;
	cfg.flags = 0x10;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), -ENOTSUP);
	cfg.flags = 0;
	cfg.max_bytes_per_s = UINT64_MAX;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), -EINVAL);
	cfg.max_bytes_per_s = 0;
	cfg.ended = NULL;
	cr_assert_eq(hvs_backup_start(&cfg, &backup), -EINVAL);
	backup = NULL;
}
