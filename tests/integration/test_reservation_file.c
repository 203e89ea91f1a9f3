/* SPDX-License-Identifier: MIT */
/* Reservations in a file: between processes, after they end, when they are killed, and damaged. */
#include "support/reserve.h"

#include <hvstack/host/reservation.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEY(n) (0xa0u + (n)) /* of node n */

static char folder[64];
static char path[96];

static void setup(void)
{
	/* In memory where there is such a thing: each change waits for the disk otherwise. */
	strcpy(folder,
	       access("/dev/shm", W_OK) == 0 ? "/dev/shm/reserve-XXXXXX" : "/tmp/reserve-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/disk.pr", folder);
}

static void teardown(void)
{
	(void)remove(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(reservation_file, .init = setup, .fini = teardown, .timeout = 120);

static struct hvs_reservation_file *open_file(void)
{
	struct hvs_reservation_file *f = NULL;
	const char *why = "";
	int err = hvs_reservation_file_open(path, &f, &why);

	cr_assert_eq(err, 0, "%d: %s", err, why);
	return f;
}

/* A machine with the file opened for it. */
struct host {
	struct hvs_reservation_file *file;
	struct node node;
};

static struct host host_up(uint8_t n)
{
	struct host h = {.file = open_file()};

	h.node = node_up(n, hvs_reservation_file_ops(), h.file);
	return h;
}

static void host_down(struct host *h)
{
	node_down(&h->node);
	hvs_reservation_file_close(h->file);
}

/* ---- a machine in another process -------------------------------------------------------------- */

enum { OUT = 1, READ, WRITE, ATTENTION, KEYS };

struct order {
	uint8_t what;
	uint8_t action;
	uint8_t type;
	uint8_t flags;
	uint64_t key;
	uint64_t action_key;
};

struct process {
	pid_t pid;
	int fd;
};

static uint32_t obey(struct node *n, const struct order *o)
{
	switch (o->what) {
	case OUT:
		return pr_out_list(n, o->action, o->type, o->key, o->action_key, o->flags, 24);
	case READ:
		return node_read(n);
	case WRITE:
		return node_write(n);
	case KEYS:
		return pr_key_count(n);
	default:
		return plain(n, 0, 0, 0);
	}
}

static struct process start(uint8_t n)
{
	struct process p;
	int fd[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	p.fd = fd[0];
	p.pid = fork();
	cr_assert_geq(p.pid, 0);
	if (p.pid == 0) {
		struct host h = host_up(n);
		struct order o;

		close(fd[0]);
		while (read(fd[1], &o, sizeof(o)) == sizeof(o)) {
			uint32_t result = obey(&h.node, &o);

			if (write(fd[1], &result, sizeof(result)) != sizeof(result))
				break;
		}
		host_down(&h);
		_exit(0);
	}
	close(fd[1]);
	return p;
}

static uint32_t order(struct process *p, struct order o)
{
	uint32_t result = 0xdead;

	cr_assert_eq(write(p->fd, &o, sizeof(o)), sizeof(o));
	cr_assert_eq(read(p->fd, &result, sizeof(result)), sizeof(result));
	return result;
}
#define ORDER(p, ...) order(p, (struct order){.what = __VA_ARGS__})

static void stop(struct process *p, int signal)
{
	int status;

	if (signal)
		cr_assert_eq(kill(p->pid, signal), 0);
	close(p->fd);
	cr_assert_eq(waitpid(p->pid, &status, 0), p->pid);
	if (signal)
		cr_assert(WIFSIGNALED(status));
	else
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- processes --------------------------------------------------------------------------------- */

Test(reservation_file, holds_between_processes)
{
	struct process p = start(1);
	struct host h = host_up(0);

	cr_assert_eq(ORDER(&p, WRITE), 0);
	cr_assert_eq(pr_out(&h.node, REGISTER, 0, 0, KEY(0)), 0);
	cr_assert_eq(pr_out(&h.node, RESERVE, EA, KEY(0), 0), 0);
	cr_assert_eq(ORDER(&p, WRITE), CONFLICT);
	cr_assert_eq(ORDER(&p, READ), CONFLICT);
	cr_assert_eq(ORDER(&p, OUT, .action = REGISTER, .action_key = KEY(1)), 0);
	cr_assert_eq(ORDER(&p, KEYS), 2);
	cr_assert_eq(ORDER(&p, OUT, .action = PREEMPT_ABORT, .type = EA, .key = KEY(1),
			   .action_key = KEY(0)),
		     0);
	cr_assert_eq(plain(&h.node, 0, 0, 0), 0x062a05);
	cr_assert_eq(node_write(&h.node), CONFLICT);
	cr_assert_eq(ORDER(&p, WRITE), 0);
	cr_assert_eq(ORDER(&p, OUT, .action = CLEAR, .key = KEY(1)), 0);
	cr_assert_eq(node_write(&h.node), 0);
	stop(&p, 0);
	host_down(&h);
}

Test(reservation_file, stays_while_somebody_uses_the_disk)
{
	struct process p = start(0);
	struct host h = host_up(1);

	cr_assert_eq(ORDER(&p, OUT, .action = REGISTER, .action_key = KEY(0)), 0);
	cr_assert_eq(ORDER(&p, OUT, .action = RESERVE, .type = WE, .key = KEY(0)), 0);
	stop(&p, SIGKILL);
	cr_assert_eq(node_write(&h.node), CONFLICT, "that machine may come back");
	p = start(0);
	cr_assert_eq(ORDER(&p, WRITE), 0, "it has");
	cr_assert_eq(ORDER(&p, OUT, .action = RELEASE, .type = WE, .key = KEY(0)), 0);
	cr_assert_eq(node_write(&h.node), 0);
	stop(&p, 0);
	host_down(&h);
}

Test(reservation_file, is_gone_when_all_have_stopped_unless_it_persists)
{
	for (uint8_t flags = 0; flags <= APTPL; flags++) {
		struct process p = start(0);
		struct host h;

		cr_assert_eq(
			ORDER(&p, OUT, .action = REGISTER, .flags = flags, .action_key = KEY(0)),
			0);
		cr_assert_eq(ORDER(&p, OUT, .action = RESERVE, .type = WE, .key = KEY(0)), 0);
		stop(&p, flags ? SIGKILL : 0);
		h = host_up(1);
		cr_assert_eq(pr_key_count(&h.node), flags);
		cr_assert_eq(pr_generation(&h.node), 0);
		cr_assert_eq(node_write(&h.node), flags ? CONFLICT : 0);
		p = start(0);
		if (flags)
			cr_assert_eq(ORDER(&p, OUT, .action = CLEAR, .key = KEY(0)), 0);
		stop(&p, 0);
		host_down(&h);
	}
}

/* The child counts its key up, and tells the last one that was acknowledged. */
static void count_keys(volatile uint64_t *acknowledged)
{
	struct host h = host_up(1);

	for (;;) {
		uint64_t next = *acknowledged + 1;

		if (pr_out_list(&h.node, REGISTER_IGNORE, 0, 0, next, APTPL, 24))
			_exit(1);
		*acknowledged = next;
	}
}

Test(reservation_file, who_is_killed_in_the_middle_has_changed_it_or_not)
{
	volatile uint64_t *acknowledged =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned changed = 0;

	cr_assert_neq(acknowledged, MAP_FAILED);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t before = *acknowledged;
		struct timespec moment = {.tv_nsec = 100000 + (i * 7919 % 64) * 50000};
		struct host watching;
		bool watch = i % 2;
		pid_t pid;
		int status;

		if (watch)
			watching = host_up(0);
		pid = fork();
		cr_assert_geq(pid, 0);
		if (pid == 0)
			count_keys(acknowledged);
		while (*acknowledged == before && i % 16 != 15)
			(void)nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
		(void)nanosleep(&moment, NULL);
		cr_assert_eq(kill(pid, SIGKILL), 0);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFSIGNALED(status), "it could not change its key");
		if (!watch)
			watching = host_up(0);
		if (pr_key_count(&watching.node)) {
			uint64_t key = 0;

			for (unsigned b = 0; b < 8; b++)
				key = key << 8 | watching.node.buf[8 + b];
			cr_assert(key == *acknowledged || key == *acknowledged + 1, "%llu of %llu",
				  (unsigned long long)key, (unsigned long long)*acknowledged);
			*acknowledged = key;
		} else {
			cr_assert_eq(*acknowledged, 0);
		}
		cr_assert_eq(node_write(&watching.node), 0);
		changed += *acknowledged != before;
		host_down(&watching);
	}
	cr_assert_geq(changed, 100);
	munmap((void *)acknowledged, 4096);
}

/* ---- files that are wrong ---------------------------------------------------------------------- */

static uint8_t *load(size_t *len)
{
	uint8_t *bytes = malloc(1 << 20);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, bytes, 1 << 20);

	cr_assert_gt(n, 0);
	close(fd);
	*len = (size_t)n;
	return bytes;
}

static void store_bytes(const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void refused(int err, const char *words)
{
	struct hvs_reservation_file *f = NULL;
	const char *why = "";

	cr_assert_eq(hvs_reservation_file_open(path, &f, &why), err);
	cr_assert_not_null(strstr(why, words), "%s", why);
}

static void fill(void)
{
	struct host h = host_up(0);

	put_transport_id(h.node.buf + 28, 1);
	memset(h.node.buf + 24, 0, 4);
	h.node.buf[27] = 24;
	cr_assert_eq(pr_out_list(&h.node, REGISTER, 0, 0, KEY(0), APTPL | SPEC_I_PT, 52), 0);
	cr_assert_eq(pr_out(&h.node, RESERVE, WE_RO, KEY(0), 0), 0);
	host_down(&h);
}

Test(reservation_file, each_byte_that_is_damaged_is_noticed_or_does_not_matter)
{
	uint8_t before[HVS_RESERVATION_BYTES];
	uint8_t after[HVS_RESERVATION_BYTES];
	struct hvs_reservation_file *f;
	unsigned noticed = 0;
	uint64_t generation;
	uint8_t *good;
	size_t len;

	fill();
	f = open_file(); /* somebody switches it on */
	cr_assert_eq(hvs_reservation_file_ops()->read(f, before, &generation), 0);
	hvs_reservation_file_close(f);
	good = load(&len);
	for (size_t i = 0; i < len; i++) {
		int err;

		good[i] ^= (uint8_t)(1u << i % 8);
		store_bytes(good, len);
		good[i] ^= (uint8_t)(1u << i % 8);
		err = hvs_reservation_file_open(path, &f, NULL);
		if (err) {
			cr_assert_eq(err, -EBADMSG, "byte %zu", i);
			noticed++;
			continue;
		}
		cr_assert_eq(hvs_reservation_file_ops()->read(f, after, &generation), 0);
		/* Switching on counts as a change: what is in front of the entries differs. */
		cr_assert_arr_eq(before + 24, after + 24, sizeof(before) - 24, "byte %zu", i);
		hvs_reservation_file_close(f);
	}
	cr_assert_geq(noticed, HVS_RESERVATION_BYTES + 16 + 8);
	free(good);
}

Test(reservation_file, a_damaged_one_is_refused_while_others_use_it_too)
{
	struct hvs_reservation_file *f;
	uint64_t generation;
	uint8_t byte = 0x55;
	int fd;

	fill();
	f = open_file();
	generation = hvs_reservation_file_ops()->generation(f);
	fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, &byte, 1, 4096 + (off_t)(generation % 2) * 12288 + 200), 1);
	close(fd);
	refused(-EBADMSG, "damaged");
	hvs_reservation_file_close(f);
	refused(-EBADMSG, "damaged");
}

Test(reservation_file, what_is_not_such_a_file_is_refused)
{
	static const uint8_t something[100] = {1};
	struct hvs_reservation_file *f;
	uint8_t *good;
	size_t len;

	store_bytes(something, sizeof(something));
	refused(-EBADMSG, "not a file of reservations");
	(void)remove(path);
	fill();
	good = load(&len);
	store_bytes(good, len - 1);
	refused(-EBADMSG, "not a file of reservations");
	memset(good, 'x', 8);
	store_bytes(good, len);
	refused(-EBADMSG, "not a file of reservations");
	memset(good, 0, len); /* somebody was killed who made it */
	store_bytes(good, len);
	hvs_reservation_file_close(open_file());
	free(good);
	(void)remove(path);
	cr_assert_eq(symlink("/dev/null", path), 0);
	refused(-ELOOP, "symbolic link");
	(void)remove(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	refused(-EINVAL, "regular");
	(void)remove(path);
	cr_assert_eq(mkdir(path, 0700), 0);
	refused(-EINVAL, "directory");
	(void)remove(path);
	cr_assert_eq(hvs_reservation_file_open(NULL, &f, NULL), -EINVAL);
	cr_assert_eq(hvs_reservation_file_open(path, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_reservation_file_open("/nowhere/at/all", &f, NULL), -ENOENT);
	hvs_reservation_file_close(NULL);
}

/* ---- locks ------------------------------------------------------------------------------------- */

static int never(void *arg, void *state)
{
	(void)arg;
	(void)state;
	cr_assert(false);
	return 0;
}

static int refuse(void *arg, void *state)
{
	memset(state, 'x', HVS_RESERVATION_BYTES);
	return *(int *)arg;
}

Test(reservation_file, does_not_wait_for_ever)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
	struct hvs_reservation_file *f = open_file();
	uint8_t state[HVS_RESERVATION_BYTES];
	uint64_t generation;
	int fd = open(path, O_RDWR);

	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	cr_assert_eq(hvs_reservation_file_ops()->read(f, state, &generation), 0);
	cr_assert_eq(hvs_reservation_file_ops()->update(f, never, NULL), -ETIMEDOUT);
	refused(-ETIMEDOUT, "locked");
	close(fd);
	hvs_reservation_file_close(f);
}

Test(reservation_file, a_change_that_is_refused_changes_nothing)
{
	struct hvs_reservation_file *f = open_file();
	uint8_t state[HVS_RESERVATION_BYTES];
	uint64_t generation;
	int no = -EPERM;
	int unchanged = 0;

	cr_assert_eq(hvs_reservation_file_ops()->update(f, refuse, &no), -EPERM);
	cr_assert_eq(hvs_reservation_file_ops()->update(f, refuse, &unchanged), 0);
	cr_assert_eq(hvs_reservation_file_ops()->read(f, state, &generation), 0);
	cr_assert_eq(generation, 0);
	for (size_t i = 0; i < sizeof(state); i++)
		cr_assert_eq(state[i], 0);
	hvs_reservation_file_close(f);
}
