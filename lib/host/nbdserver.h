/* SPDX-License-Identifier: MIT */
/* qemu-nbd as a child of ours that serves one image over one connection. */
#ifndef HVSI_HOST_NBDSERVER_H
#define HVSI_HOST_NBDSERVER_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hvsi_nbd_server {
	pid_t pid;   /* 0: none */
	int said_fd; /* what it writes to stdout and stderr comes from here; -1: none */
	size_t said_len;
	char said[1024]; /* not yet a whole line; until it serves, all of it */
};

/*
 * Start it. What can be found out about the image without it is checked first. Returns our end of
 * the connection, on which nothing has been said yet, or a negative errno.
 */
int hvsi_nbd_server_start(struct hvsi_nbd_server *server, const char *image, const char *format,
			  bool read_only, const struct hvsi_why *why);

/*
 * It did not get as far as serving: our end of the connection is closed. Wait for its end, or kill
 * it if err is ETIMEDOUT, and return what its last words mean.
 */
int hvsi_nbd_server_failed(struct hvsi_nbd_server *server, int err, const struct hvsi_why *why);

/* Pass on what it has said, line by line. Does not block. */
void hvsi_nbd_server_listen(struct hvsi_nbd_server *server,
			    void (*log)(void *arg, const char *text), void *arg);

/* Wait for its end, after our end of the connection was closed. */
void hvsi_nbd_server_wait(struct hvsi_nbd_server *server, void (*log)(void *arg, const char *text),
			  void *arg);

#endif
