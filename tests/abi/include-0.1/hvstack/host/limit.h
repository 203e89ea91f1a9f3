/* SPDX-License-Identifier: MIT */
/*
 * Block back end that hands requests on to another one, no faster than allowed: a limit on requests
 * and one on bytes per second, for all queues of the disk together.
 */
#ifndef HVSTACK_HOST_LIMIT_H
#define HVSTACK_HOST_LIMIT_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct hvs_limit;  /* a disk with limits */

/*
 * What is not used is saved up to the burst, so that a disk which was idle starts at full speed. A
 * request larger than the burst passes, and those after it wait until it is paid for. Requests of
 * all kinds count; of bytes, those that READ and WRITE move. Layout fixed.
 */
struct hvs_limit_rates {
	uint64_t requests_per_s; /* 0: no limit */
	uint64_t bytes_per_s;    /* 0: no limit */
	uint64_t burst_requests; /* 0: what comes in 100 ms */
	uint64_t burst_bytes;    /* 0: what comes in 100 ms */
};

struct hvs_limit_config {
	uint32_t size;
	uint32_t base_count;           /* queues, that is entries of `bases`; with `base`: 0 */
	const struct hvs_blk_ops *ops; /* the back end to hand requests on to */
	void *disk;                    /* its disk; must outlive the filter */
	/* As for a file disk (filedisk.h): either one base, or one for each queue. */
	struct event_base *base;
	struct event_base *const *bases;
	struct hvs_limit_rates rates;
};
#define HVS_LIMIT_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_limit_config)

/* Give it with the hvs_limit to hvs_storvsp_attach(). A request that waits and is cancelled has not
 * been handed on. */
HVS_API const struct hvs_blk_ops *hvs_limit_ops(void);

/* 0, -EINVAL (a rate or burst above 2^40 among others), -ENOTSUP (unknown members set), -ENOMEM, or
 * the errno of eventfd(). */
HVS_API HVS_NODISCARD int hvs_limit_create(const struct hvs_limit_config *cfg,
					   struct hvs_limit **out);

/* NULL is allowed. No request may be in flight. */
HVS_API void hvs_limit_destroy(struct hvs_limit *limit);

/* Other limits from now on, with a full burst; they also hold for requests that wait already. [any]
 * 0 or -EINVAL (a rate or burst above 2^40). */
HVS_API HVS_NODISCARD int hvs_limit_set(struct hvs_limit *limit,
					const struct hvs_limit_rates *rates);

#ifdef __cplusplus
}
#endif
#endif
