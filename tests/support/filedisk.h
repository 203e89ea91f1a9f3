/* SPDX-License-Identifier: MIT */
/*
 * What the tests of file disks share: requests, a disk in a file of its own, and a stand-in
 * between the disk and liburing where a kernel has to misbehave on demand.
 */
#ifndef HVS_TESTS_SUPPORT_FILEDISK_H
#define HVS_TESTS_SUPPORT_FILEDISK_H

#include <criterion/criterion.h>
#include <hvstack/host/filedisk.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BLOCK 512ull
#define KIB 1024ull
#define MIB (1024 * KIB)

/* A test with io_uring, and the same test without. */
#define EACH_ENGINE(suite, name)                                                                   \
	static void name(void);                                                                    \
	Test(suite, name)                                                                          \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	Test(suite, name##_without_io_uring)                                                       \
	{                                                                                          \
		engine = HVS_FILEDISK_THREADS;                                                     \
		name();                                                                            \
	}                                                                                          \
	static void name(void)

/* Numbers that look random and are the same in every run. */
unsigned number(void);

/* ---- requests --------------------------------------------------------------------------- */

struct io {
	struct hvs_blk_req req; /* first: done() gets its address */
	enum hvs_blk_status status;
	unsigned completions;
	uint8_t *buf; /* what iov points to, in order */
	void (*then)(struct io *io);
	struct io *next; /* completed on another thread, not yet seen by this one */
};

extern unsigned outstanding;
extern unsigned completed; /* in total */

/* A request over [offset, offset + len) whose memory is cut into `pieces` odd-sized pieces. */
void io_init(struct io *io, enum hvs_blk_op op, uint64_t offset, uint64_t len, unsigned pieces);
void io_free(struct io *io);

void submit(struct io *io);
/* Run the base until no more than `left` requests are outstanding. */
void wait_for(unsigned left);
/* Submit them as one batch and wait for all of them. */
void run(struct io *ios, unsigned count);
/* One request; what it writes is 'w' all over. */
enum hvs_blk_status run_one(enum hvs_blk_op op, uint64_t offset, uint64_t len, unsigned pieces,
			    uint32_t flags);

/* ---- a misbehaving kernel --------------------------------------------------------------- */

extern int init_error; /* EINVAL: only with the newest flags */
extern bool old_kernel;
extern int submit_error;
extern unsigned submit_failures;
extern void (*spoil)(struct io_uring_cqe *cqe);
/* What direct I/O there is: statx() says none, pread() wants larger blocks. */
extern bool no_direct;
extern bool large_blocks;
/* Before preadv(), on a thread of the pool; *result is what it returns when this is false. */
extern bool (*before_preadv)(ssize_t *result);

/* ---- fixture ---------------------------------------------------------------------------- */

extern char dir[];
extern char path[]; /* of the disk, in dir */
extern struct event_base *base;
extern struct hvs_filedisk *disk;
extern uint32_t engine; /* flags that every disk is opened with */

void setup(void);
void teardown(void);
void make_file(off_t len);
struct hvs_filedisk_config good_config(void);
void open_disk(unsigned depth, uint32_t flags);
void close_disk(void);
struct hvs_blk_info info_of_disk(void);
/* A mount namespace of our own, as root or in a user namespace. */
bool mount_tmpfs(const char *options);
void refused(const struct hvs_filedisk_config *cfg, int err, const char *words);
unsigned open_files(void);

#endif
