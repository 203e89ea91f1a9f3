/* SPDX-License-Identifier: MIT */
#include "host/changes_file.h"

#include <errno.h>
#include <fcntl.h>
#include <hvstack/host/snapshot.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "HVSCBT01"
#define HEAD_BYTES 128u
#define CHUNK_AT 8u
#define BYTES_AT 16u
#define BITMAP_BYTES_AT 24u
#define BACKUP_AT 32u
#define IMAGE_AT 48u
#define IMAGE_BYTES 32u
#define SUM_AT 120u

/* ---- the format --------------------------------------------------------------------------- */

static void put64(uint8_t *to, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get64(const uint8_t *from)
{
	uint64_t value = 0;

	for (unsigned i = 8; i-- > 0;)
		value = value << 8 | from[i];
	return value;
}

/* FNV-1a of the file without the checksum. */
static uint64_t sum_of(const uint8_t *data, size_t len)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		if (i < SUM_AT || i >= HEAD_BYTES)
			sum = (sum ^ data[i]) * 0x100000001b3u;
	return sum;
}

/* What is different when somebody else has changed the image. */
static void put_image(uint8_t *to, int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	put64(to, st.st_dev);
	put64(to + 8, st.st_ino);
	put64(to + 16, (uint64_t)st.st_ctim.tv_sec);
	put64(to + 24, (uint64_t)st.st_ctim.tv_nsec);
}

/* All but the id of the backup and what follows. */
static void put_head(uint8_t *head, const struct hvsi_changes *changes)
{
	memset(head, 0, HEAD_BYTES);
	memcpy(head, MAGIC, sizeof(MAGIC) - 1);
	put64(head + CHUNK_AT, HVS_SNAPSHOT_CHUNK);
	put64(head + BYTES_AT, changes->bytes);
	put64(head + BITMAP_BYTES_AT, hvsi_chunkmap_words(changes->map->chunks) * 8);
	put_image(head + IMAGE_AT, changes->image_fd);
}

int hvsi_changes_parse(const uint8_t *data, size_t len, struct hvsi_changes *changes)
{
	struct hvsi_chunkmap *map = changes->map;
	const size_t words = hvsi_chunkmap_words(map->chunks);
	uint8_t head[HEAD_BYTES];

	put_head(head, changes);
	if (len != HEAD_BYTES + words * 8)
		return -EBADMSG;
	memcpy(head + BACKUP_AT, data + BACKUP_AT, sizeof(changes->backup.b));
	put64(head + SUM_AT, sum_of(data, len));
	if (memcmp(head, data, HEAD_BYTES) != 0)
		return -EBADMSG;
	/* There is no chunk for these. */
	if (map->chunks % 64 && get64(data + len - 8) >> (map->chunks % 64))
		return -EBADMSG;
	memcpy(changes->backup.b, data + BACKUP_AT, sizeof(changes->backup.b));
	for (size_t i = 0; i < words; i++)
		atomic_init(&map->words[i], get64(data + HEAD_BYTES + i * 8));
	return 0;
}

/* ---- files -------------------------------------------------------------------------------- */

static int sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const size_t len = slash ? (size_t)(slash - path) + 1 : 0;
	int err = 0;
	int fd;

	if (len >= sizeof(folder))
		return -ENAMETOOLONG;
	memcpy(folder, len ? path : ".", len ? len : 1);
	folder[len ? len : 1] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int read_all(int fd, uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, data + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int read_changes(int fd, struct hvsi_changes *changes)
{
	const size_t len = HEAD_BYTES + hvsi_chunkmap_words(changes->map->chunks) * 8;
	struct stat st;
	uint8_t *data;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != len)
		return -EBADMSG;
	data = malloc(len);
	if (!data)
		return -ENOMEM;
	err = read_all(fd, data, len);
	if (!err)
		err = hvsi_changes_parse(data, len, changes);
	free(data);
	return err;
}

int hvsi_changes_take(const char *path, struct hvsi_changes *changes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0)
		return -errno;
	/* First gone for good: after a crash, it must not be there. */
	err = unlink(path) < 0 ? -errno : sync_folder_of(path);
	if (!err)
		err = read_changes(fd, changes);
	close(fd);
	return err;
}

static int write_file(const char *path, const uint8_t *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, data, len);
	close(fd);
	if (err)
		(void)unlink(path);
	return err;
}

int hvsi_changes_write(const char *path, const struct hvsi_changes *changes)
{
	const size_t words = hvsi_chunkmap_words(changes->map->chunks);
	const size_t len = HEAD_BYTES + words * 8;
	char temp[PATH_MAX];
	uint8_t *data;
	int err;

	if ((size_t)snprintf(temp, sizeof(temp), "%s.new", path) >= sizeof(temp))
		return -ENAMETOOLONG;
	data = malloc(len);
	if (!data)
		return -ENOMEM;
	put_head(data, changes);
	memcpy(data + BACKUP_AT, changes->backup.b, sizeof(changes->backup.b));
	for (size_t i = 0; i < words; i++)
		put64(data + HEAD_BYTES + i * 8, atomic_load(&changes->map->words[i]));
	put64(data + SUM_AT, sum_of(data, len));
	err = write_file(temp, data, len);
	free(data);
	if (!err && rename(temp, path) < 0) {
		err = -errno;
		(void)unlink(temp);
	}
	return err ? err : sync_folder_of(path);
}
