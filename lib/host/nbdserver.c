/* SPDX-License-Identifier: MIT */
/*
 * Starting and ending qemu-nbd. It gets a listening socket the way systemd passes one
 * (LISTEN_FDS), to which this process has connected already, and whose name is gone again; so
 * nobody else can come first, and nothing is left in the file system however this process ends.
 * Without --persistent, qemu-nbd ends as soon as its only client has gone.
 */
#include "host/nbdserver.h"

#if HVSI_WITH_LIBNBD

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LISTEN_FD 3 /* the first one that is passed is always this */
#define NOT_FOUND 127

/* ---- the image -------------------------------------------------------------------------- */

/* What an image of a format begins with; a VHD of fixed size has it in its last sector. */
static const struct {
	const char *format;
	const char *name;
	const char *mark;
	bool at_end;
} marks[] = {
	{"vhdx", "VHDX", "vhdxfile", false},
	{"vpc", "VHD", "conectix", true},
	{"qcow2", "qcow2", "QFI\xfb", false},
};

static int check_mark(int fd, const struct stat *st, const char *format, const struct hvsi_why *why)
{
	char found[8];

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const size_t len = strlen(marks[i].mark);

		if (strcmp(format, marks[i].format) != 0)
			continue;
		if (pread(fd, found, len, 0) == (ssize_t)len &&
		    memcmp(found, marks[i].mark, len) == 0)
			return 0;
		if (marks[i].at_end && st->st_size > 512 &&
		    pread(fd, found, len, st->st_size - 512) == (ssize_t)len &&
		    memcmp(found, marks[i].mark, len) == 0)
			return 0;
		return hvsi_fail(why, EINVAL, "this is not a %s image", marks[i].name);
	}
	return 0;
}

static int check_image(const char *image, const char *format, bool read_only, bool *block_device,
		       const struct hvsi_why *why)
{
	struct stat st;
	int err;
	int fd;

	/* Before open(): opening a FIFO or a tape can block or have effects. */
	if (stat(image, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? hvsi_fail(why, ENOENT, "no such file")
			       : hvsi_fail(why, errno, "the file can't be examined: %s",
					   strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return hvsi_fail(why, EINVAL, "not a regular file or block device");
	*block_device = S_ISBLK(st.st_mode);
	fd = open(image, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return hvsi_fail(why, errno, "the file can't be opened: %s", strerror(errno));
	err = check_mark(fd, &st, format, why);
	close(fd);
	if (!err && !read_only && faccessat(AT_FDCWD, image, W_OK, AT_EACCESS) < 0)
		return hvsi_fail(why, errno,
				 "the file can't be written: %s; is it meant to be read-only?",
				 strerror(errno));
	return err;
}

/* What --image-opts wants; a comma in the name of the file is doubled. To be freed. */
static char *image_options(const char *image, const char *format, bool block_device)
{
	const size_t room = 2 * strlen(image) + strlen(format) + 64;
	char *options = malloc(room);
	char *to;

	if (!options)
		return NULL;
	to = options + snprintf(options, room, "driver=%s,file.driver=%s,file.filename=", format,
				block_device ? "host_device" : "file");
	for (const char *from = image; *from; from++) {
		if (*from == ',')
			*to++ = ',';
		*to++ = *from;
	}
	*to = '\0';
	return options;
}

/* ---- the process ------------------------------------------------------------------------ */

/* Out of the way of the numbers that the child gets: closes fd. Negative errno if fd is -1. */
static int move_up(int fd)
{
	const int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, LISTEN_FD + 1);
	const int err = errno;

	if (fd >= 0)
		close(fd);
	return moved < 0 ? -err : moved;
}

/* A listening socket and a connection to it that waits to be accepted. */
static int make_connection(int *listening, int *connection)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/tmp/hvs-nbd-XXXXXX"};
	const size_t dir_len = strlen(name.sun_path);
	int err = 0;

	*connection = -1;
	*listening = move_up(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (*listening < 0)
		return *listening;
	/* A folder of mode 0700 keeps others out. */
	if (!mkdtemp(name.sun_path)) {
		err = -errno;
		close(*listening);
		return err;
	}
	memcpy(name.sun_path + dir_len, "/s", 3);
	*connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*connection < 0 || bind(*listening, (const struct sockaddr *)&name, sizeof(name)) < 0 ||
	    listen(*listening, 1) < 0 ||
	    connect(*connection, (const struct sockaddr *)&name, sizeof(name)) < 0)
		err = -errno;
	(void)unlink(name.sun_path);
	name.sun_path[dir_len] = '\0';
	(void)rmdir(name.sun_path);
	if (err) {
		close(*listening);
		if (*connection >= 0)
			close(*connection);
	}
	return err;
}

/* LISTEN_PID has to be the child's, which it knows first. */
static int spawn(pid_t *pid, int listening, int output, char *options, bool read_only)
{
	char *argv[] = {(char *)"sh",
			(char *)"-c",
			(char *)"LISTEN_PID=$$ LISTEN_FDS=1 exec qemu-nbd \"$@\"",
			(char *)"sh",
			(char *)"--cache=writeback",
			(char *)"--discard=unmap",
			(char *)"--image-opts",
			options,
			read_only ? (char *)"--read-only" : NULL,
			NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t signals;
	int err = posix_spawn_file_actions_init(&actions);

	if (err)
		return -err;
	err = posix_spawnattr_init(&attr);
	if (err) {
		posix_spawn_file_actions_destroy(&actions);
		return -err;
	}
	err = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	err = err ? err : posix_spawn_file_actions_adddup2(&actions, output, 1);
	err = err ? err : posix_spawn_file_actions_adddup2(&actions, output, 2);
	err = err ? err : posix_spawn_file_actions_adddup2(&actions, listening, LISTEN_FD);
	err = err ? err : posix_spawn_file_actions_addclosefrom_np(&actions, LISTEN_FD + 1);
	/* Signals as a program expects them, and none that the terminal sends to us: the guest
	 * has its disk until we have ended. */
	sigfillset(&signals);
	err = err ? err : posix_spawnattr_setsigdefault(&attr, &signals);
	sigemptyset(&signals);
	err = err ? err : posix_spawnattr_setsigmask(&attr, &signals);
	err = err ? err
		  : posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
							    POSIX_SPAWN_SETPGROUP);
	err = err ? err : posix_spawn(pid, "/bin/sh", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

static int start_process(struct hvsi_nbd_server *server, int listening, char *options,
			 bool read_only)
{
	int output[2];
	int err;

	if (pipe2(output, O_CLOEXEC) < 0)
		return -errno;
	output[1] = move_up(output[1]);
	err = output[1] < 0 ? output[1] : fcntl(output[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (!err)
		err = spawn(&server->pid, listening, output[1], options, read_only);
	if (output[1] >= 0)
		close(output[1]);
	if (err) {
		server->pid = 0;
		close(output[0]);
		return err;
	}
	server->said_fd = output[0];
	return 0;
}

int hvsi_nbd_server_start(struct hvsi_nbd_server *server, const char *image, const char *format,
			  bool read_only, const struct hvsi_why *why)
{
	bool block_device = false;
	char *options;
	int connection;
	int listening;
	int err = check_image(image, format, read_only, &block_device, why);

	if (err)
		return err;
	options = image_options(image, format, block_device);
	if (!options)
		return hvsi_fail(why, ENOMEM, "out of memory");
	err = make_connection(&listening, &connection);
	if (!err) {
		err = start_process(server, listening, options, read_only);
		/* From now on it is open in qemu-nbd alone: its end is the connection's. */
		close(listening);
		if (err)
			close(connection);
	}
	free(options);
	return err ? hvsi_fail(why, -err, "qemu-nbd can't be started: %s", strerror(-err))
		   : connection;
}

/* ---- what it says ----------------------------------------------------------------------- */

/* Read on, dropping the oldest when there is no room. False: it has ended, or said all for now. */
static bool read_more(struct hvsi_nbd_server *server)
{
	const size_t room = sizeof(server->said) - 1;
	ssize_t n;

	if (server->said_len == room) {
		server->said_len = room / 2;
		memmove(server->said, server->said + room - room / 2, room / 2);
	}
	n = read(server->said_fd, server->said + server->said_len, room - server->said_len);
	if (n < 0)
		return errno == EINTR;
	if (n == 0) {
		close(server->said_fd);
		server->said_fd = -1;
		return false;
	}
	server->said_len += (size_t)n;
	return true;
}

/* Until it has closed its end, for which it has no reason but to end. */
static void read_to_end(struct hvsi_nbd_server *server)
{
	while (server->said_fd >= 0) {
		struct pollfd fd = {.fd = server->said_fd, .events = POLLIN};

		if (poll(&fd, 1, -1) > 0)
			while (read_more(server))
				;
	}
}

/* Its last message, with the explanations that follow it in lines of their own. */
static const char *last_words(struct hvsi_nbd_server *server)
{
	static const char prefix[] = "qemu-nbd: ";
	static const char opening[] = "Failed to blk_new_open '";
	char *words = server->said;
	char *next;

	server->said[server->said_len] = '\0';
	while (server->said_len && server->said[server->said_len - 1] == '\n')
		server->said[--server->said_len] = '\0';
	while ((next = strstr(words, prefix)))
		words = next + strlen(prefix);
	/* What it was told to open is known. */
	if (strncmp(words, opening, strlen(opening)) == 0 && (next = strstr(words, "': ")))
		words = next + strlen("': ");
	for (next = words; *next; next++)
		if (*next == '\n')
			*next = ' ';
	return words;
}

static int wait_for_end(struct hvsi_nbd_server *server)
{
	int status = 0;
	pid_t pid;

	do {
		pid = waitpid(server->pid, &status, 0);
	} while (pid < 0 && errno == EINTR);
	server->pid = 0;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int hvsi_nbd_server_failed(struct hvsi_nbd_server *server, int err, const struct hvsi_why *why)
{
	const char *words;
	int status;

	/* As long as it has not been waited for, the number is its own, and that of its group. */
	if (err == -ETIMEDOUT && waitpid(server->pid, NULL, WNOHANG) == 0)
		(void)kill(-server->pid, SIGKILL);
	read_to_end(server);
	words = last_words(server);
	status = wait_for_end(server);
	if (err == -ETIMEDOUT)
		return hvsi_fail(why, ETIMEDOUT, "qemu-nbd does not answer");
	if (status == NOT_FOUND)
		return hvsi_fail(why, ENOEXEC,
				 "qemu-nbd is not installed: apt-get install qemu-utils");
	if (strstr(words, "\"write\" lock") || strstr(words, "\"consistent read\" lock"))
		return hvsi_fail(why, EBUSY, "another program has it open (%s)", words);
	return hvsi_fail(why, EINVAL, "qemu-nbd can't open it: %s",
			 *words ? words : "no reason given");
}

void hvsi_nbd_server_listen(struct hvsi_nbd_server *server,
			    void (*log)(void *arg, const char *text), void *arg)
{
	char *end;

	while (server->said_fd >= 0 && read_more(server)) {
		server->said[server->said_len] = '\0';
		while ((end = strchr(server->said, '\n'))) {
			*end = '\0';
			if (log && server->said[0])
				log(arg, server->said);
			server->said_len -= (size_t)(end + 1 - server->said);
			memmove(server->said, end + 1, server->said_len + 1);
		}
	}
}

void hvsi_nbd_server_wait(struct hvsi_nbd_server *server, void (*log)(void *arg, const char *text),
			  void *arg)
{
	while (server->said_fd >= 0) {
		struct pollfd fd = {.fd = server->said_fd, .events = POLLIN};

		if (poll(&fd, 1, -1) > 0)
			hvsi_nbd_server_listen(server, log, arg);
	}
	(void)wait_for_end(server);
}

#endif
