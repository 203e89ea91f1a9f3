/* SPDX-License-Identifier: MIT */
/* For tests of NBD disks: requests, servers, and a model of what a disk holds. */
#ifndef HVST_NBD_H
#define HVST_NBD_H

#include <hvstack/host/nbddisk.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HVST_BLOCK 512ull
#define HVST_KIB 1024ull
#define HVST_MIB (1024 * HVST_KIB)

/* ---- requests --------------------------------------------------------------------------- */

struct hvst_io {
	struct hvs_blk_req req;
	enum hvs_blk_status status;
	unsigned completions;
	uint8_t *buf; /* what iov points to, in order */
};

/* Numbers that look random and are the same in every run. */
unsigned hvst_number(void);

/* A request over [offset, offset + len) whose memory is cut into odd-sized pieces that are not
 * neighbours; 1: in one piece. */
void hvst_io_init(struct hvst_io *io, enum hvs_blk_op op, uint64_t offset, uint64_t len,
		  unsigned pieces);
void hvst_io_free(struct hvst_io *io);

/* The data, whatever the pieces are. */
void hvst_io_fill(struct hvst_io *io, const uint8_t *from);
bool hvst_io_equals(const struct hvst_io *io, const uint8_t *to);

/* commit() is left to the caller. */
void hvst_io_submit(struct hvs_nbddisk *disk, struct hvst_io *io);

/* Until at most that many of all requests are outstanding. */
void hvst_io_wait(unsigned outstanding);

/* Submit, commit, wait: its status. */
enum hvs_blk_status hvst_io_run(struct hvs_nbddisk *disk, struct hvst_io *io);
enum hvs_blk_status hvst_io_do(struct hvs_nbddisk *disk, enum hvs_blk_op op, uint64_t offset,
			       uint64_t len, uint32_t flags);

/* ---- programs --------------------------------------------------------------------------- */

/* A folder for one test; its name. Everything in it is removed at the end. */
const char *hvst_dir(void);
void hvst_dir_remove(void);

/* Path of a file in it; to be freed. */
char *hvst_path(const char *name);

/* Run a shell command in the folder; it must succeed. */
__attribute__((format(printf, 1, 2))) void hvst_shell(const char *format, ...);

/* nbdkit with these arguments, serving on the socket "nbd" in the folder, from which it displaces
 * an earlier one; ends with the test. */
__attribute__((format(printf, 1, 2))) pid_t hvst_nbdkit(const char *format, ...);

/* Its URI. */
const char *hvst_nbdkit_uri(void);

/* ---- a model ---------------------------------------------------------------------------- */

#define HVST_MODEL_BLOCKS 4096u

extern uint8_t hvst_model[HVST_MODEL_BLOCKS * HVST_BLOCK];

/*
 * Random requests to the first bytes of the disk, which are all zero at first, many at a time, on
 * ranges that do not touch; what is read is compared with what was written before.
 */
void hvst_compare_with_model(struct hvs_nbddisk *disk, unsigned rounds, unsigned in_flight,
			     uint32_t block_size);

#endif
