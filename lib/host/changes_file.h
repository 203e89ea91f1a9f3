/* SPDX-License-Identifier: MIT */
/* The file that says which chunks of a closed disk were changed; docs/backup.md has its format. */
#ifndef HVSI_HOST_CHANGES_FILE_H
#define HVSI_HOST_CHANGES_FILE_H

#include "host/chunkmap.h"

#include <hvstack/types.h>

struct hvsi_changes {
	struct hvs_guid backup; /* since which */
	uint64_t bytes;         /* of the disk */
	int image_fd;           /* the image, if it is a regular file, else -1 */
	struct hvsi_chunkmap *map;
};

/*
 * Read the file and remove it. bytes, image_fd and an empty map are what must be in there; backup and
 * map are set. 0, -ENOENT (there is none), -EBADMSG (damaged, or of another disk: the map stays
 * empty), or what open(), read() or unlink() said. When it could not be removed, it is not used.
 */
int hvsi_changes_take(const char *path, struct hvsi_changes *changes);

/* Write it, whole or not at all. 0, -ENOMEM, -ENAMETOOLONG, or what open(), write(), fsync() or rename()
 * said. */
int hvsi_changes_write(const char *path, const struct hvsi_changes *changes);

/* For tests: data of len bytes as a file. 0, -EBADMSG. */
int hvsi_changes_parse(const uint8_t *data, size_t len, struct hvsi_changes *changes);

#endif
