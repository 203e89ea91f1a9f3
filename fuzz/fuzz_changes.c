/* SPDX-License-Identifier: MIT */
/*
 * The file of changed chunks: for a disk of some size, any bytes, with a right checksum if the first says
 * so. What is taken for one has no chunk behind the end of the disk, and is the same when it is written and
 * read; what is not changes nothing.
 */
#include "check.h"
#include "host/changes_file.h"
#include "input.h"
#include "scratch.h"

#include <errno.h>
#include <hvstack/host/snapshot.h>
#include <stdlib.h>

#define MAX_CHUNKS 1000u
#define HEAD_BYTES 128u
#define SUM_AT 120u

static void seal(uint8_t *data, size_t len)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		if (i < SUM_AT || i >= HEAD_BYTES)
			sum = (sum ^ data[i]) * 0x100000001b3u;
	for (unsigned i = 0; i < 8; i++)
		data[SUM_AT + i] = (uint8_t)(sum >> (8 * i));
}

static void write_and_take(const struct hvsi_changes *changes)
{
	const char *path = scratch_path("changes");
	struct hvsi_changes again = *changes;

	again.map = hvsi_chunkmap_new(changes->map->chunks);
	CHECK(again.map && hvsi_changes_write(path, changes) == 0);
	CHECK(hvsi_changes_take(path, &again) == 0);
	CHECK(memcmp(&again.backup, &changes->backup, sizeof(again.backup)) == 0);
	for (uint64_t i = 0; i < hvsi_chunkmap_words(changes->map->chunks); i++)
		CHECK(again.map->words[i] == changes->map->words[i]);
	CHECK(hvsi_changes_take(path, &again) == -ENOENT);
	free(again.map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const bool sealed = input_number(&in, 1) & 1;
	const uint64_t chunks = 1 + input_number(&in, 2) % MAX_CHUNKS;
	struct hvsi_chunkmap *map = hvsi_chunkmap_new(chunks);
	struct hvsi_changes changes = {
		.bytes = chunks * HVS_SNAPSHOT_CHUNK, .image_fd = -1, .map = map};
	const size_t len = in.left;
	uint8_t *file = malloc(len ? len : 1);
	int err;

	if (!map || !file)
		abort();
	input_bytes(&in, file, len);
	if (sealed && len >= HEAD_BYTES)
		seal(file, len);
	err = hvsi_changes_parse(file, len, &changes);
	for (uint64_t at = 0; (at = hvsi_chunkmap_find(map, at, chunks, true)) < chunks; at++)
		if (err)
			abort();
	if (!err && chunks % 64 && map->words[chunks / 64] >> (chunks % 64))
		abort();
	if (!err)
		write_and_take(&changes);
	free(file);
	free(map);
	return 0;
}
