/* SPDX-License-Identifier: MIT */
/*
 * What the tests of block filters share: a back end below that keeps what it is given until the
 * test completes it, a clock that stands still until the test moves it, and requests.
 */
#ifndef HVS_TESTS_SUPPORT_LOWER_H
#define HVS_TESTS_SUPPORT_LOWER_H

#include <criterion/criterion.h>
#include <hvstack/blockdev.h>
#include <stdbool.h>
#include <stdint.h>

#define LOWER_MAX 256u

/* Everything that reached the back end below and was not completed there, in order. */
extern struct lower {
	struct hvs_blk_req *reqs[LOWER_MAX];
	unsigned count;
	unsigned submits; /* in total */
	unsigned commits; /* since the last look */
	uint32_t committed_queue;
	unsigned cancels;
	struct hvs_blk_req *cancelled;
	uint32_t max_queues;
	uint32_t flags;
	int info_error;
	bool at_once; /* everything completes inside submit */
} lower;

extern const struct hvs_blk_ops lower_ops;
extern const struct hvs_blk_ops lower_ops_least; /* without what is optional */

/* Complete the oldest, or all. */
void lower_complete(enum hvs_blk_status status);
void lower_complete_all(void);

struct io {
	struct hvs_blk_req req; /* first: done() gets its address */
	enum hvs_blk_status status;
	unsigned completions;
	struct iovec iov[4];
	void (*then)(struct io *io);
};

extern uint8_t memory[16384]; /* of all requests */

/* `len` bytes; cut into three pieces if there are any. */
void io_init(struct io *io, enum hvs_blk_op op, uint64_t offset, uint64_t len);

/* What hvs_loop_now_ns() says. */
extern uint64_t now_ns;

#endif
