/* SPDX-License-Identifier: MIT */
/* copy-file: a file of this host into the guest, piece by piece. */
#include "hvctl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_PIECE (180u << 10) /* in base64 it still fits in a line */
#define PAUSE_NS 50000000

enum {
	OPT_CREATE_PATH = 256,
	OPT_OVERWRITE,
	OPT_TIMEOUT,
};

struct copy {
	const char *source;
	char *directory; /* in the guest */
	char *name;
	int fd;
	uint64_t bytes;
	uint64_t timeout_ms;
	bool overwrite;
	bool create_path;
};

/* ---- what is to be copied -------------------------------------------------------------------- */

/* Of what comes from a pipe, the guest has to be told the length first, too. */
static bool keep_aside(struct copy *c, int *code)
{
	FILE *aside = tmpfile();
	const int from = c->fd;
	char buffer[65536];
	ssize_t n = 0;

	if (!aside) {
		*code = fail(EXIT_FAILED, "can't make a temporary file: %s", strerror(errno));
		return false;
	}
	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		if (fwrite(buffer, 1, (size_t)n, aside) != (size_t)n)
			break;
	if (n || fflush(aside) != 0) {
		*code = fail(EXIT_FAILED, "%s: can't be read: %s", c->source, strerror(errno));
		fclose(aside);
		return false;
	}
	c->fd = dup(fileno(aside));
	fclose(aside);
	if (from != STDIN_FILENO)
		close(from);
	(void)lseek(c->fd, 0, SEEK_SET);
	return true;
}

static bool open_source(struct copy *c, int *code)
{
	const bool is_input = strcmp(c->source, "-") == 0;
	struct stat st;

	c->fd = is_input ? STDIN_FILENO : open(c->source, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0 || fstat(c->fd, &st) < 0) {
		*code = fail(EXIT_FAILED, "%s: %s", c->source, strerror(errno));
		return false;
	}
	if (S_ISDIR(st.st_mode)) {
		*code = fail(EXIT_USAGE, "%s: this is a directory; copy its files one by one",
			     c->source);
		return false;
	}
	/* Of a regular file on standard input, a part may have been read already. */
	if ((is_input || !S_ISREG(st.st_mode)) && !keep_aside(c, code))
		return false;
	if (fstat(c->fd, &st) < 0) {
		*code = fail(EXIT_FAILED, "%s: %s", c->source, strerror(errno));
		return false;
	}
	c->bytes = (uint64_t)st.st_size;
	return true;
}

/* "/tmp/", "/tmp/name", "C:\\folder\\name". */
static bool split_target(struct copy *c, const char *target, int *code)
{
	const char *slash = strrchr(target, '/');
	const char *backslash = strrchr(target, '\\');
	const char *last = !slash || backslash > slash ? backslash : slash;
	const char *source_name = strrchr(c->source, '/');
	const char *name = last ? last + 1 : "";

	if (!*name && strcmp(c->source, "-") != 0)
		name = source_name ? source_name + 1 : c->source;
	if (!last || (target[0] != '/' && target[1] != ':')) {
		*code = fail(EXIT_USAGE,
			     "%s: give a full path in the guest, as in /tmp/name or /tmp/", target);
		return false;
	}
	if (!*name) {
		*code = fail(EXIT_USAGE, "%s: the file needs a name in the guest", target);
		return false;
	}
	/* The root is one that ends with its slash. */
	c->directory = strndup(target, (size_t)(last - target) +
					       (last == target || last[-1] == ':' ? 1 : 0));
	c->name = strdup(name);
	return true;
}

/* ---- copying --------------------------------------------------------------------------------- */

static struct json_object *start(struct ctl *ctl, const struct copy *c, int *code)
{
	struct json_object *params = new_params();

	put_string(params, "directory", c->directory);
	put_string(params, "name", c->name);
	put_number(params, "bytes", c->bytes);
	if (c->overwrite)
		put_bool(params, "overwrite", true);
	if (c->create_path)
		put_bool(params, "create_path", true);
	if (c->timeout_ms)
		put_number(params, "timeout_ms", c->timeout_ms);
	return ask(ctl, "copy-file-start", params, code);
}

/* Who is too fast is told so, and goes on a little later. */
static bool write_piece(struct ctl *ctl, const char *base64, struct answer *answer)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};

	for (;;) {
		struct json_object *params = new_params();

		put_string(params, "data", base64);
		if (client_call(ctl->client, "copy-file-write", params, NULL, 0, answer)) {
			json_object_put(answer->result);
			return true;
		}
		if (answer->error != ERROR_TOO_MANY)
			return false;
		(void)nanosleep(&pause, NULL);
	}
}

static ssize_t read_piece(int fd, uint8_t *piece, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, piece + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? n : (ssize_t)done;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int write_all(struct ctl *ctl, const struct copy *c, size_t piece_len)
{
	uint8_t *piece = malloc(piece_len);
	char *base64 = malloc((piece_len + 2) / 3 * 4 + 1);
	uint64_t done = 0;
	struct answer answer;
	int code = EXIT_OK;

	if (!piece || !base64)
		abort();
	while (done < c->bytes && !code) {
		const uint64_t left = c->bytes - done;
		const size_t len = left < piece_len ? (size_t)left : piece_len;
		const ssize_t n = read_piece(c->fd, piece, len);

		show_progress(c->name, done, c->bytes);
		if (n != (ssize_t)len) {
			code = fail(EXIT_FAILED, "%s: %s", c->source,
				    n < 0 ? strerror(errno) : "it became shorter meanwhile");
			break;
		}
		EVP_EncodeBlock((unsigned char *)base64, piece, (int)len);
		if (!write_piece(ctl, base64, &answer))
			code = fail(answer.code, "%s", answer.message);
		done += len;
	}
	if (!code)
		show_progress(c->name, done, c->bytes);
	end_progress();
	free(piece);
	free(base64);
	return code;
}

static int copy(struct ctl *ctl, const struct copy *c)
{
	struct json_object *started;
	uint64_t piece;
	int code;

	started = start(ctl, c, &code);
	if (!started)
		return code;
	piece = number_member(started, "piece", 0);
	json_object_put(started);
	if (!piece)
		return fail(EXIT_CONNECT, "the machine does not say how long a piece may be");
	code = write_all(ctl, c, piece > MAX_PIECE ? MAX_PIECE : (size_t)piece);
	/* If that has failed, the end of the connection cancels it. */
	return code ? code : order(ctl, "copy-file-finish", NULL);
}

static bool parse(struct ctl *ctl, int argc, char **argv, struct copy *c)
{
	static const struct option longopts[] = {
		{"create-path", no_argument, NULL, OPT_CREATE_PATH},
		{"overwrite", no_argument, NULL, OPT_OVERWRITE},
		{"timeout", required_argument, NULL, OPT_TIMEOUT},
		COMMON_OPTIONS,
	};
	bool ok = true;
	int o;

	while (ok && (o = next_option(ctl, argc, argv, longopts)) != OPTION_END) {
		switch (o) {
		case OPT_CREATE_PATH:
			c->create_path = true;
			break;
		case OPT_OVERWRITE:
			c->overwrite = true;
			break;
		case OPT_TIMEOUT:
			ok = parse_seconds("--timeout", optarg, &c->timeout_ms);
			break;
		default:
			return false;
		}
	}
	return ok;
}

static int copy_file(struct ctl *ctl, int argc, char **argv)
{
	struct copy c = {.fd = -1};
	int code;

	if (!parse(ctl, argc, argv, &c))
		return EXIT_USAGE;
	if (!check_arguments(ctl, argc, 2, 2, &code))
		return code;
	c.source = argv[optind];
	if (split_target(&c, argv[optind + 1], &code) && open_source(&c, &code))
		code = copy(ctl, &c);
	if (c.fd > STDIN_FILENO)
		close(c.fd);
	free(c.directory);
	free(c.name);
	return code;
}

const struct command copy_commands[] = {
	{"copy-file", "[--overwrite] [--create-path] [--timeout S] SOURCE TARGET",
	 "Copy a file into the guest",
	 "SOURCE is a file of this host; \"-\" is standard input.\n"
	 "TARGET is a full path in the guest; if it ends with a slash the name stays.\n"
	 "\n"
	 "  --overwrite    if there is such a file already\n"
	 "  --create-path  make the directories that are missing\n"
	 "  --timeout S    how long to wait for each answer of the guest\n",
	 copy_file},
	{NULL, NULL, NULL, NULL, NULL},
};
