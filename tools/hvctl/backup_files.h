/* SPDX-License-Identifier: MIT */
/* Backups on disk, as docs/backup.md describes them. Whoever keeps them may have damaged them,
 * or worse. */
#ifndef HVCTL_BACKUP_FILES_H
#define HVCTL_BACKUP_FILES_H

#include "hvctl.h"

#include <stdio.h>

#define BACKUP_MAX_DISKS 256u
#define RANGE_MAX (1u << 20)
#define HASH_BYTES 32

struct backup_disk {
	const char *id;
	bool full;
	uint64_t bytes;
	uint64_t stored_bytes;
	uint64_t map_bytes;
	const char *map_sha256;
	const char *image; /* names in the folder */
	const char *map;
};

struct backup {
	const char *folder;
	struct json_object *manifest;
	const char *id;
	const char *parent; /* NULL: a full one */
	const char *time;
	unsigned disk_count;
	struct backup_disk *disks;
};

/* Take over a manifest, and check it. False: the user has been told. */
bool backup_parse(struct backup *b, const char *folder, struct json_object *manifest);
/* The same, from DIR/manifest.json. */
bool backup_load(struct backup *b, const char *folder);
void backup_free(struct backup *b);
/* NULL: there is none. */
const struct backup_disk *backup_find(const struct backup *b, const char *disk);
/* Could it be the name of a file in a folder, and nothing else? */
bool is_file_name(const char *name);
/* DIR/NAME, to be freed. */
char *path_in(const char *folder, const char *name);
/* 0, or the errno. */
int sync_folder(const char *folder);

/* A disk's files, open for reading. */
struct backup_reader {
	const struct backup *backup;
	const struct backup_disk *disk;
	FILE *map;
	int image;
	unsigned line;
	uint64_t end; /* of the last range */
	uint64_t stored;
	uint8_t *data; /* of the range, once it was read */
};

struct range {
	uint64_t offset;
	uint64_t len;
	bool zero;
	uint8_t hash[HASH_BYTES];
};

/* Opens them, and checks the map's hash and the image's size. False: the user has been told. */
bool reader_open(struct backup_reader *r, const struct backup *b, const struct backup_disk *disk);
/* 1: a range, 0: the end, -1: the map is wrong; the user has been told. */
int reader_next(struct backup_reader *r, struct range *range);
/* Read a range that is not zero, and check its hash. False: as above. */
bool reader_data(struct backup_reader *r, const struct range *range);
void reader_close(struct backup_reader *r);

#endif
