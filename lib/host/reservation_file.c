/* SPDX-License-Identifier: MIT */
/*
 * Reservations in a file that processes share. It begins with a head page, which all map; the
 * number of the last change in there says which of the two slots behind it is valid.
 *
 * Changes are made one after the other: by a mutex among threads, which share the open file, and by
 * a lock on its first byte among open files. A lock on the second byte says that somebody uses it.
 * Both end with whoever has them. Readers take neither: they look again if there was a change.
 *
 * A slot is on the disk before the head says that it is valid, and the other one is not touched
 * until that is there, too. Checksums are the library's: the state has one.
 */
#include "host/folder.h"

#include <hvstack/host/reservation.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "HVSRESF1"
#define HEAD_BYTES 4096u
#define SLOT_BYTES 12288u
#define FILE_BYTES (HEAD_BYTES + 2 * SLOT_BYTES)
#define LOCK_CHANGE 0
#define LOCK_USE 1
#define PATIENCE_S 5
#define POLL_NS 500000

/* The numbers are of this host's byte order: the file is of no use elsewhere. */
struct head {
	uint8_t magic[8];
	_Atomic uint64_t valid; /* valid_word() of the last change: slot[changes % 2] is valid */
};

struct slot {
	uint64_t changes;
	uint8_t state[HVS_RESERVATION_BYTES];
};
_Static_assert(sizeof(struct slot) <= SLOT_BYTES, "a slot has room");

struct hvs_reservation_file {
	int fd;
	struct head *head;
	pthread_mutex_t lock;
	struct slot scratch; /* under lock */
};

static int fail(const char **why, const char *text, int err)
{
	*why = text;
	return -err;
}

/* ---- locks ----------------------------------------------------------------------------------- */

static int set_lock(const struct hvs_reservation_file *f, off_t byte, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static struct timespec deadline(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += PATIENCE_S;
	return t;
}

static bool is_over(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > t->tv_sec || (now.tv_sec == t->tv_sec && now.tv_nsec >= t->tv_nsec);
}

static int try_lock_change(struct hvs_reservation_file *f)
{
	int err;

	if (pthread_mutex_trylock(&f->lock))
		return -EAGAIN;
	err = set_lock(f, LOCK_CHANGE, F_WRLCK);
	if (err)
		pthread_mutex_unlock(&f->lock);
	return err;
}

/* There is no lock on a file that waits only so long. */
static int lock_change(struct hvs_reservation_file *f)
{
	const struct timespec poll = {.tv_nsec = POLL_NS};
	const struct timespec until = deadline();
	int err;

	while ((err = try_lock_change(f)) == -EAGAIN && !is_over(&until))
		(void)nanosleep(&poll, NULL);
	return err == -EAGAIN ? -ETIMEDOUT : err;
}

static void unlock_change(struct hvs_reservation_file *f)
{
	(void)set_lock(f, LOCK_CHANGE, F_UNLCK);
	pthread_mutex_unlock(&f->lock);
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* With a checksum below it, so that no damage leads to the other slot. */
static uint64_t valid_word(uint64_t changes)
{
	return changes << 16 | changes * 0x9e3779b97f4a7c15u >> 48;
}

static uint64_t load_valid(const struct hvs_reservation_file *f)
{
	return atomic_load_explicit(&f->head->valid, memory_order_acquire);
}

static off_t offset_of(uint64_t changes)
{
	return HEAD_BYTES + (off_t)(changes % 2) * SLOT_BYTES;
}

static int read_slot(const struct hvs_reservation_file *f, uint64_t valid, struct slot *s)
{
	uint64_t changes = valid >> 16;
	ssize_t n = pread(f->fd, s, sizeof(*s), offset_of(changes));

	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(*s) || s->changes != changes || valid != valid_word(changes))
		return -EBADMSG;
	return 0;
}

static int write_slot(const struct hvs_reservation_file *f, const struct slot *s)
{
	ssize_t n = pwrite(f->fd, s, sizeof(*s), offset_of(s->changes));

	if (n != (ssize_t)sizeof(*s))
		return n < 0 ? -errno : -EIO;
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

/* ---- the store ------------------------------------------------------------------------------- */

static uint64_t file_generation(void *store)
{
	return load_valid(store) >> 16;
}

static int file_read(void *store, void *state, uint64_t *generation)
{
	struct hvs_reservation_file *f = store;
	struct slot *s = malloc(sizeof(*s));
	uint64_t valid;
	int err;

	if (!s)
		return -ENOMEM;
	do {
		valid = load_valid(f);
		err = read_slot(f, valid, s);
	} while (valid != load_valid(f));
	*generation = valid >> 16;
	if (!err)
		memcpy(state, s->state, sizeof(s->state));
	free(s);
	return err;
}

/* Under the lock. */
static int update_locked(struct hvs_reservation_file *f, int (*change)(void *arg, void *state),
			 void *arg)
{
	struct slot *s = &f->scratch;
	int err = read_slot(f, load_valid(f), s);

	if (err)
		return err;
	err = change(arg, s->state);
	if (err <= 0)
		return err;
	s->changes++;
	/* Whoever stored it may have been killed before the head was on the disk. */
	if (fdatasync(f->fd) < 0)
		return -errno;
	err = write_slot(f, s);
	if (err)
		return err;
	atomic_store_explicit(&f->head->valid, valid_word(s->changes), memory_order_release);
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

static int file_update(void *store, int (*change)(void *arg, void *state), void *arg)
{
	struct hvs_reservation_file *f = store;
	int err = lock_change(f);

	if (err)
		return err;
	err = update_locked(f, change, arg);
	unlock_change(f);
	return err;
}

const struct hvs_reservation_ops *hvs_reservation_file_ops(void)
{
	static const struct hvs_reservation_ops ops = {
		HVS_RESERVATION_OPS_INIT,
		.generation = file_generation,
		.read = file_read,
		.update = file_update,
	};

	return &ops;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_file(struct hvs_reservation_file *f, const char *path, const char **why)
{
	struct stat st;

	f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0660);
	if (f->fd < 0)
		switch (errno) {
		case EACCES:
		case EPERM:
			return fail(why, "no permission to read and write the file", errno);
		case ENOENT:
		case ENOTDIR:
			return fail(why, "there is no such folder", errno);
		case ELOOP:
			return fail(why, "the file is a symbolic link", ELOOP);
		case EISDIR:
			return fail(why, "this is a directory", EINVAL);
		default:
			return fail(why, "the file can't be opened", errno);
		}
	if (fstat(f->fd, &st) < 0)
		return fail(why, "the file can't be examined", errno);
	if (!S_ISREG(st.st_mode))
		return fail(why, "not a regular file", EINVAL);
	return 0;
}

static int map_head(struct hvs_reservation_file *f, const char **why)
{
	void *head = mmap(NULL, HEAD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

	if (head == MAP_FAILED)
		return fail(why, "the file can't be mapped", errno);
	f->head = head;
	return 0;
}

static bool is_new(const struct hvs_reservation_file *f)
{
	static const uint8_t zero[sizeof(f->head->magic)];

	return memcmp(f->head->magic, zero, sizeof(zero)) == 0;
}

/* What was not finished by somebody who was killed is done again. */
static int make_state(struct hvs_reservation_file *f, const char *path)
{
	int err;

	memset(&f->scratch, 0, sizeof(f->scratch));
	err = write_slot(f, &f->scratch);
	if (err)
		return err;
	memcpy(f->head->magic, MAGIC, sizeof(f->head->magic));
	if (fsync(f->fd) < 0)
		return -errno;
	hvsi_sync_folder(path);
	return 0;
}

static int power_on(void *arg, void *state)
{
	(void)arg;
	return hvs_reservation_power_on(state);
}

/* Switching on what is only a copy says whether it is a state. */
static int check_state(struct hvs_reservation_file *f)
{
	int err = read_slot(f, load_valid(f), &f->scratch);

	if (!err)
		err = hvs_reservation_power_on(f->scratch.state);
	return err < 0 ? err : 0;
}

/* Under the lock: nobody else is just beginning or ceasing to use it. */
static int begin_use(struct hvs_reservation_file *f, const char *path, const char **why)
{
	struct stat st;
	int err;

	if (fstat(f->fd, &st) < 0)
		return fail(why, "the file can't be examined", errno);
	if (st.st_size == 0 && ftruncate(f->fd, FILE_BYTES) < 0)
		return fail(why, "the file can't be written", errno);
	if (st.st_size != 0 && st.st_size != FILE_BYTES)
		return fail(why, "this is not a file of reservations", EBADMSG);
	err = map_head(f, why);
	if (err)
		return err;
	err = is_new(f) ? make_state(f, path) : 0;
	if (err)
		return fail(why, "the file can't be written", -err);
	if (memcmp(f->head->magic, MAGIC, sizeof(f->head->magic)) != 0)
		return fail(why, "this is not a file of reservations", EBADMSG);
	err = set_lock(f, LOCK_USE, F_WRLCK);
	if (!err)
		err = update_locked(f, power_on, NULL);
	else if (err == -EAGAIN)
		err = check_state(f);
	if (err == -EBADMSG)
		return fail(why,
			    "the file is damaged: delete it when no machine uses the disk, and "
			    "reservations are gone",
			    EBADMSG);
	if (!err)
		err = set_lock(f, LOCK_USE, F_RDLCK);
	return err ? fail(why, "the file can't be read, written or locked", -err) : 0;
}

int hvs_reservation_file_open(const char *path, struct hvs_reservation_file **out, const char **why)
{
	struct hvs_reservation_file *f;
	const char *ignored;
	int err;

	if (!why)
		why = &ignored;
	if (!path || !out)
		return fail(why, "a path is needed", EINVAL);
	f = calloc(1, sizeof(*f));
	if (!f)
		return fail(why, "out of memory", ENOMEM);
	f->fd = -1;
	pthread_mutex_init(&f->lock, NULL);
	err = open_file(f, path, why);
	if (!err) {
		err = lock_change(f);
		if (err)
			(void)fail(why,
				   err == -ETIMEDOUT ? "another program keeps the file locked"
						     : "the file can't be locked",
				   -err);
	}
	if (!err) {
		err = begin_use(f, path, why);
		unlock_change(f);
	}
	if (err) {
		hvs_reservation_file_close(f);
		return err;
	}
	*out = f;
	return 0;
}

void hvs_reservation_file_close(struct hvs_reservation_file *f)
{
	if (!f)
		return;
	if (f->head)
		munmap(f->head, HEAD_BYTES);
	if (f->fd >= 0)
		close(f->fd);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
