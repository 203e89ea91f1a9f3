/* SPDX-License-Identifier: MIT */
/*
 * Pieces of up to 1 MiB are read from the point in time, hashed, and written, but for what is zeros; the
 * map gets a line for each. One buffer, one thread: a backup takes its time.
 */
#include "host/backup_copy.h"

#include "host/blk_limit.h"
#include "host/snapshot_impl.h"

#include <errno.h>
#include <hvstack/host/loop.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000u
#define TELL_NS NS_PER_S
#define MAP_ROOM 65536u
#define MAP_LINE 128u
#define NICE 10

struct worker {
	struct hvsi_copy *copy;
	struct hvsi_bucket bucket;
	uint64_t told_ns;
	uint8_t *buf; /* HVSI_BACKUP_GRANULE */
	EVP_MD_CTX *hash;
	EVP_MD_CTX *map_hash;

	/* Of the disk that is being copied. */
	uint32_t disk;
	const struct hvs_backup_disk *to;
	struct hvsi_copied *copied;
	uint64_t zeros_at; /* a range of zeros that has no line yet */
	uint64_t zeros_len;
	size_t map_len;
	char map[MAP_ROOM];
};

static int fail(struct worker *w, const char *what, int err)
{
	w->copy->what = what;
	return err;
}

/* ---- the map ---------------------------------------------------------------------------- */

static int flush_map(struct worker *w)
{
	int err = hvsi_file_write(w->to->map_fd, w->copied->map_bytes, w->map, w->map_len);

	if (err)
		return fail(w, "the map file could not be written", err);
	if (EVP_DigestUpdate(w->map_hash, w->map, w->map_len) != 1)
		return fail(w, "SHA-256 is not to be had", -ENOMEM);
	w->copied->map_bytes += w->map_len;
	w->map_len = 0;
	return 0;
}

static int add_line(struct worker *w, uint64_t offset, uint64_t len, const char *what)
{
	w->map_len += (size_t)snprintf(w->map + w->map_len, MAP_LINE,
				       "%" PRIu64 " %" PRIu64 " %s\n", offset, len, what);
	return w->map_len > MAP_ROOM - MAP_LINE ? flush_map(w) : 0;
}

static int end_zeros(struct worker *w)
{
	const uint64_t len = w->zeros_len;

	w->zeros_len = 0;
	return len ? add_line(w, w->zeros_at, len, "zero") : 0;
}

/* In a full backup, what is not there is zeros. */
static int add_zeros(struct worker *w, uint64_t offset, uint64_t len)
{
	int err = 0;

	if (!w->copy->incremental)
		return 0;
	if (w->zeros_at + w->zeros_len != offset)
		err = end_zeros(w);
	if (w->zeros_len == 0)
		w->zeros_at = offset;
	w->zeros_len += len;
	return err;
}

static int add_data(struct worker *w, uint64_t offset, size_t len)
{
	char text[2 * HVSI_BACKUP_HASH + 1];
	uint8_t hash[EVP_MAX_MD_SIZE];
	int err = end_zeros(w);

	if (err)
		return err;
	if (EVP_DigestInit_ex(w->hash, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(w->hash, w->buf, len) != 1 ||
	    EVP_DigestFinal_ex(w->hash, hash, NULL) != 1)
		return fail(w, "SHA-256 is not to be had", -ENOMEM);
	for (unsigned i = 0; i < HVSI_BACKUP_HASH; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", hash[i]);
	w->copied->stored_bytes += len;
	return add_line(w, offset, len, text);
}

/* ---- pace ------------------------------------------------------------------------------- */

static bool is_stopped(struct hvsi_copy *copy, uint64_t until_ns)
{
	const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
				       .tv_nsec = (long)(until_ns % NS_PER_S)};
	bool stop;

	pthread_mutex_lock(&copy->mutex);
	while (!copy->stop && hvs_loop_now_ns() < until_ns)
		(void)pthread_cond_timedwait(&copy->cond, &copy->mutex, &until);
	stop = copy->stop;
	pthread_mutex_unlock(&copy->mutex);
	return stop;
}

static void advance(struct worker *w, uint64_t bytes)
{
	const uint64_t now_ns = hvs_loop_now_ns();

	atomic_fetch_add(&w->copy->done, bytes);
	if (now_ns - w->told_ns < TELL_NS)
		return;
	w->told_ns = now_ns;
	w->copy->tell(w->copy->arg);
}

/* ---- data ------------------------------------------------------------------------------- */

/* But for chunks of zeros, which stay holes. */
static int write_piece(struct worker *w, uint64_t offset, size_t len)
{
	for (size_t at = 0; at < len; at += HVS_SNAPSHOT_CHUNK) {
		const size_t n = len - at < HVS_SNAPSHOT_CHUNK ? len - at : HVS_SNAPSHOT_CHUNK;
		int err = 0;

		if (!hvsi_all_zeros(w->buf + at, n))
			err = hvsi_file_write(w->to->image_fd, offset + at, w->buf + at, n);
		if (err)
			return fail(w, "the image file could not be written", err);
	}
	return 0;
}

static int copy_piece(struct worker *w, uint64_t offset, size_t len)
{
	const uint64_t due_ns = hvsi_bucket_take(&w->bucket, len, hvs_loop_now_ns());
	int err;

	if (is_stopped(w->copy, due_ns))
		return -ECANCELED;
	err = hvs_point_read(w->copy->point, w->disk, offset, w->buf, len);
	if (err)
		return fail(w, "the disk could not be read as it was", err);
	hvs_point_forget(w->copy->point, w->disk, offset, len);
	if (hvsi_all_zeros(w->buf, len))
		return add_zeros(w, offset, len);
	err = write_piece(w, offset, len);
	return err ? err : add_data(w, offset, len);
}

/* One extent, or a piece of it. */
static int copy_some(struct worker *w, uint64_t offset, uint64_t len, uint64_t *copied)
{
	bool zeros = false;
	int err = is_stopped(w->copy, 0) ? -ECANCELED : 0;

	if (!err)
		err = hvs_point_extent(w->copy->point, w->disk, offset, len, copied, &zeros);
	if (err)
		return fail(w, "the disk could not be read as it was", err);
	if (zeros) {
		hvs_point_forget(w->copy->point, w->disk, offset, *copied);
		return add_zeros(w, offset, *copied);
	}
	if (*copied > HVSI_BACKUP_GRANULE - offset % HVSI_BACKUP_GRANULE)
		*copied = HVSI_BACKUP_GRANULE - offset % HVSI_BACKUP_GRANULE;
	return copy_piece(w, offset, (size_t)*copied);
}

static int copy_range(struct worker *w, uint64_t offset, uint64_t len)
{
	const uint64_t end = offset + len;
	uint64_t copied;
	int err = 0;

	for (; offset < end && !err; offset += copied) {
		copied = 0;
		err = copy_some(w, offset, end - offset, &copied);
		if (!err)
			advance(w, copied);
	}
	return err;
}

/* What was not changed need not be kept. */
static void forget_unchanged(const struct hvsi_copy *copy, uint32_t disk)
{
	const uint64_t bytes = hvs_point_bytes(copy->point, disk);
	uint64_t at = 0;
	uint64_t start;
	uint64_t len;

	while (hvs_point_next_change(copy->point, disk, at, &start, &len)) {
		if (start > at)
			hvs_point_forget(copy->point, disk, at, start - at);
		at = start + len;
	}
	if (at < bytes)
		hvs_point_forget(copy->point, disk, at, bytes - at);
}

static uint64_t size_of_changes(const struct hvsi_copy *copy, uint32_t disk)
{
	uint64_t sum = 0;
	uint64_t start;
	uint64_t len = 0;

	for (uint64_t at = 0; hvs_point_next_change(copy->point, disk, at, &start, &len);
	     at = start + len)
		sum += len;
	return sum;
}

static int copy_ranges(struct worker *w)
{
	uint64_t at = 0;
	uint64_t start;
	uint64_t len;
	int err = 0;

	if (!w->copy->incremental)
		return copy_range(w, 0, hvs_point_bytes(w->copy->point, w->disk));
	while (!err && hvs_point_next_change(w->copy->point, w->disk, at, &start, &len)) {
		err = copy_range(w, start, len);
		at = start + len;
	}
	return err;
}

static int copy_disk(struct worker *w)
{
	const uint64_t bytes = hvs_point_bytes(w->copy->point, w->disk);
	int err;

	w->zeros_len = 0;
	w->map_len = 0;
	if (ftruncate(w->to->image_fd, (off_t)bytes) < 0)
		return fail(w, "the image file could not be made as large as the disk", -errno);
	if (EVP_DigestInit_ex(w->map_hash, EVP_sha256(), NULL) != 1)
		return fail(w, "SHA-256 is not to be had", -ENOMEM);
	err = copy_ranges(w);
	if (!err)
		err = end_zeros(w);
	if (!err)
		err = flush_map(w);
	if (err)
		return err;
	if (EVP_DigestFinal_ex(w->map_hash, w->copied->map_hash, NULL) != 1)
		return fail(w, "SHA-256 is not to be had", -ENOMEM);
	if (fsync(w->to->image_fd) < 0 || fsync(w->to->map_fd) < 0)
		return fail(w, "the files could not be written to the end", -errno);
	return 0;
}

static int copy_all(struct worker *w)
{
	struct hvsi_copy *copy = w->copy;
	uint64_t total = 0;
	int err = 0;

	for (uint32_t i = 0; i < copy->count; i++) {
		if (copy->incremental)
			forget_unchanged(copy, i);
		total += copy->incremental ? size_of_changes(copy, i)
					   : hvs_point_bytes(copy->point, i);
	}
	atomic_store(&copy->total, total);
	for (uint32_t i = 0; i < copy->count && !err; i++) {
		atomic_store(&copy->disk, i);
		w->disk = i;
		w->to = &copy->disks[i];
		w->copied = &copy->copied[i];
		err = copy_disk(w);
	}
	return err;
}

/* ---- the thread ------------------------------------------------------------------------- */

static void *run(void *arg)
{
	struct hvsi_copy *copy = arg;
	struct worker *w = calloc(1, sizeof(*w));

	/* Guests come first; it goes on without. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	copy->err = -ENOMEM;
	copy->what = "out of memory";
	if (w) {
		w->copy = copy;
		w->told_ns = hvs_loop_now_ns();
		hvsi_bucket_init(&w->bucket, copy->max_bytes_per_s, 0, w->told_ns);
		w->buf = malloc(HVSI_BACKUP_GRANULE);
		w->hash = EVP_MD_CTX_new();
		w->map_hash = EVP_MD_CTX_new();
		if (w->buf && w->hash && w->map_hash)
			copy->err = copy_all(w);
		free(w->buf);
		EVP_MD_CTX_free(w->hash);
		EVP_MD_CTX_free(w->map_hash);
		free(w);
	}
	atomic_store(&copy->finished, true);
	copy->tell(copy->arg);
	return NULL;
}

int hvsi_copy_start(struct hvsi_copy *copy)
{
	pthread_condattr_t attr;
	int err;

	pthread_mutex_init(&copy->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&copy->cond, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&copy->thread, NULL, run, copy);
	if (err) {
		pthread_cond_destroy(&copy->cond);
		pthread_mutex_destroy(&copy->mutex);
	}
	return -err;
}

void hvsi_copy_stop(struct hvsi_copy *copy)
{
	pthread_mutex_lock(&copy->mutex);
	copy->stop = true;
	pthread_cond_broadcast(&copy->cond);
	pthread_mutex_unlock(&copy->mutex);
	hvs_point_abort(copy->point);
}

void hvsi_copy_join(struct hvsi_copy *copy)
{
	(void)pthread_join(copy->thread, NULL);
	pthread_cond_destroy(&copy->cond);
	pthread_mutex_destroy(&copy->mutex);
}
