/* SPDX-License-Identifier: MIT */
#include "backup_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST "manifest.json"
#define MANIFEST_MAX (1 << 20)
#define DEPTH 8
#define SECTOR 512u
#define NAME_LEN_MAX 200u

/* ---- files ----------------------------------------------------------------------------------- */

bool is_file_name(const char *name)
{
	const size_t len = strlen(name);

	if (!len || len > NAME_LEN_MAX || name[0] == '.')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
	       len;
}

char *path_in(const char *folder, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		abort();
	return path;
}

int sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

/* Regular files alone. */
static int open_regular(const char *path, struct stat *st)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

/* ---- the manifest ---------------------------------------------------------------------------- */

static bool wrong(const struct backup *b, const char *what)
{
	fail(EXIT_FAILED, "%s/%s: %s", b->folder, MANIFEST, what);
	return false;
}

static bool is_hash(const char *text)
{
	return text && strlen(text) == (size_t)2 * HASH_BYTES &&
	       strspn(text, "0123456789abcdef") == (size_t)2 * HASH_BYTES;
}

static bool parse_disk(struct backup *b, struct json_object *object, struct backup_disk *d)
{
	const char *type = string_member(object, "type");

	*d = (struct backup_disk){
		.id = string_member(object, "id"),
		.bytes = number_member(object, "bytes", 0),
		.stored_bytes = number_member(object, "stored_bytes", UINT64_MAX),
		.map_bytes = number_member(object, "map_bytes", UINT64_MAX),
		.map_sha256 = string_member(object, "map_sha256"),
		.image = string_member(object, "image"),
		.map = string_member(object, "map"),
	};
	if (!d->id || !is_file_name(d->id) || !d->image || !is_file_name(d->image) || !d->map ||
	    !is_file_name(d->map))
		return wrong(b, "damaged: a disk without id, image and map that could be names of "
				"files");
	if (!type || (strcmp(type, "full") != 0 && strcmp(type, "incremental") != 0))
		return wrong(b, "damaged: a disk's type is neither full nor incremental");
	d->full = strcmp(type, "full") == 0;
	if (d->full != !b->parent)
		return wrong(b, "damaged: a disk's type does not fit to the parent");
	if (!d->bytes || d->bytes % SECTOR || d->bytes > INT64_MAX || d->stored_bytes > d->bytes ||
	    d->map_bytes > INT64_MAX || !is_hash(d->map_sha256))
		return wrong(b, "damaged: a disk's sizes or its hash make no sense");
	if (backup_find(b, d->id))
		return wrong(b, "damaged: a disk is there twice");
	b->disk_count++;
	return true;
}

static bool parse_head(struct backup *b)
{
	const char *format = string_member(b->manifest, "format");
	const uint64_t version = number_member(b->manifest, "version", 0);

	if (!format || strcmp(format, "hvstack-backup") != 0)
		return wrong(b, "this is not the manifest of a backup");
	if (version > 1)
		return wrong(b, "of a newer version than this hvctl knows");
	if (version != 1)
		return wrong(b, "damaged: it has no version");
	b->id = string_member(b->manifest, "id");
	b->parent = string_member(b->manifest, "parent");
	b->time = string_member(b->manifest, "time");
	if (!b->id || (!b->parent && member(b->manifest, "parent")))
		return wrong(b, "damaged: id or parent is no string");
	return true;
}

bool backup_parse(struct backup *b, const char *folder, struct json_object *manifest)
{
	struct json_object *disks;
	bool ok;

	*b = (struct backup){.folder = folder, .manifest = manifest};
	if (!json_object_is_type(manifest, json_type_object))
		return wrong(b, "damaged: it is not a JSON object");
	disks = array_member(manifest, "disks");
	ok = parse_head(b);
	if (ok && (!array_length(disks) || array_length(disks) > BACKUP_MAX_DISKS))
		ok = wrong(b, "damaged: it has no disks, or too many");
	if (ok) {
		b->disks = calloc(array_length(disks), sizeof(*b->disks));
		if (!b->disks)
			abort();
	}
	for (size_t i = 0; ok && i < array_length(disks); i++)
		ok = parse_disk(b, json_object_array_get_idx(disks, i), &b->disks[i]);
	return ok;
}

static struct json_object *parse_text(const char *text, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH);
	struct json_object *object;

	if (!tokener)
		abort();
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, text, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) != len) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

bool backup_load(struct backup *b, const char *folder)
{
	char *path = path_in(folder, MANIFEST);
	struct stat st;
	const int fd = open_regular(path, &st);
	char *text;
	ssize_t n;

	*b = (struct backup){.folder = folder};
	free(path);
	if (fd < 0)
		return wrong(b, errno == ENOENT
					? "there is none: this is not a backup, or not a whole one"
					: strerror(errno));
	text = malloc(MANIFEST_MAX);
	if (!text)
		abort();
	n = st.st_size > MANIFEST_MAX ? -1 : read(fd, text, MANIFEST_MAX);
	close(fd);
	if (n < 0) {
		free(text);
		return wrong(b, "damaged: it is too long, or can't be read");
	}
	b->manifest = parse_text(text, (size_t)n);
	free(text);
	return backup_parse(b, folder, b->manifest);
}

void backup_free(struct backup *b)
{
	json_object_put(b->manifest);
	free(b->disks);
}

const struct backup_disk *backup_find(const struct backup *b, const char *disk)
{
	for (unsigned i = 0; i < b->disk_count; i++)
		if (strcmp(b->disks[i].id, disk) == 0)
			return &b->disks[i];
	return NULL;
}

/* ---- a disk's map ---------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static bool bad(const struct backup_reader *r,
						      const char *file, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fail(EXIT_FAILED, "%s/%s: %s", r->backup->folder, file, text);
	return false;
}

static void to_hex(const uint8_t hash[HASH_BYTES], char text[2 * HASH_BYTES + 1])
{
	for (unsigned i = 0; i < HASH_BYTES; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", hash[i]);
}

static bool hash_of_map_is_right(struct backup_reader *r)
{
	char text[2 * HASH_BYTES + 1];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[HASH_BYTES];
	uint64_t bytes = 0;
	char buffer[65536];
	size_t n;

	if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
		abort();
	while ((n = fread(buffer, 1, sizeof(buffer), r->map)) > 0) {
		EVP_DigestUpdate(ctx, buffer, n);
		bytes += n;
	}
	EVP_DigestFinal_ex(ctx, hash, NULL);
	EVP_MD_CTX_free(ctx);
	to_hex(hash, text);
	if (ferror(r->map))
		return bad(r, r->disk->map, "can't be read");
	if (bytes != r->disk->map_bytes || strcmp(text, r->disk->map_sha256) != 0)
		return bad(r, r->disk->map, "damaged: it is not what the manifest says");
	rewind(r->map);
	return true;
}

bool reader_open(struct backup_reader *r, const struct backup *b, const struct backup_disk *disk)
{
	struct stat st = {0};
	char *path;
	int map;

	*r = (struct backup_reader){.backup = b, .disk = disk, .image = -1};
	r->data = malloc(RANGE_MAX);
	if (!r->data)
		abort();
	path = path_in(b->folder, disk->map);
	map = open_regular(path, &st);
	free(path);
	if (map < 0)
		return bad(r, disk->map, "%s", strerror(errno));
	r->map = fdopen(map, "r");
	if (!r->map)
		abort();
	path = path_in(b->folder, disk->image);
	r->image = open_regular(path, &st);
	free(path);
	if (r->image < 0)
		return bad(r, disk->image, "%s", strerror(errno));
	if ((uint64_t)st.st_size != disk->bytes)
		return bad(r, disk->image, "damaged: it has %" PRIu64 " bytes instead of %" PRIu64,
			   (uint64_t)st.st_size, disk->bytes);
	return hash_of_map_is_right(r);
}

void reader_close(struct backup_reader *r)
{
	if (r->map)
		fclose(r->map);
	if (r->image >= 0)
		close(r->image);
	free(r->data);
}

/* Decimal digits and a space behind. */
static bool take_number(const char **text, uint64_t *number)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	errno = 0;
	*number = strtoull(*text, &end, 10);
	if (errno || *end != ' ')
		return false;
	*text = end + 1;
	return true;
}

static bool take_hash(const char *text, struct range *range)
{
	char digits[2 * HASH_BYTES + 1];

	if (strcmp(text, "zero\n") == 0) {
		range->zero = true;
		return true;
	}
	if (strlen(text) != sizeof(digits) || text[sizeof(digits) - 1] != '\n')
		return false;
	memcpy(digits, text, sizeof(digits) - 1);
	digits[sizeof(digits) - 1] = '\0';
	if (!is_hash(digits))
		return false;
	for (unsigned i = 0; i < HASH_BYTES; i++) {
		const char two[3] = {digits[(size_t)2 * i], digits[(size_t)2 * i + 1], '\0'};

		range->hash[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return true;
}

static bool is_sound(const struct backup_reader *r, const struct range *range)
{
	if (!range->len || range->offset % SECTOR || range->len % SECTOR ||
	    range->offset < r->end || range->offset > r->disk->bytes ||
	    range->len > r->disk->bytes - range->offset)
		return false;
	if (range->zero)
		return !r->disk->full;
	return range->len <= RANGE_MAX - range->offset % RANGE_MAX;
}

int reader_next(struct backup_reader *r, struct range *range)
{
	char line[160];
	const char *text = line;

	*range = (struct range){0};
	if (!fgets(line, sizeof(line), r->map)) {
		if (r->stored == r->disk->stored_bytes)
			return 0;
		(void)bad(r, r->disk->map, "damaged: it has other data than the manifest says");
		return -1;
	}
	r->line++;
	if (!take_number(&text, &range->offset) || !take_number(&text, &range->len) ||
	    !take_hash(text, range) || !is_sound(r, range)) {
		(void)bad(r, r->disk->map, "damaged: line %u makes no sense", r->line);
		return -1;
	}
	r->end = range->offset + range->len;
	r->stored += range->zero ? 0 : range->len;
	return 1;
}

bool reader_data(struct backup_reader *r, const struct range *range)
{
	uint8_t hash[HASH_BYTES];
	size_t done = 0;

	while (done < range->len) {
		ssize_t n = pread(r->image, r->data + done, range->len - done,
				  (off_t)(range->offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bad(r, r->disk->image, "can't be read at %" PRIu64 ": %s",
				   range->offset + done, n < 0 ? strerror(errno) : "it ends");
		done += (size_t)n;
	}
	if (!EVP_Digest(r->data, range->len, hash, NULL, EVP_sha256(), NULL))
		abort();
	if (memcmp(hash, range->hash, sizeof(hash)) != 0)
		return bad(r, r->disk->image,
			   "damaged: the %" PRIu64 " bytes at %" PRIu64 " are not what was stored",
			   range->len, range->offset);
	return true;
}
