/* SPDX-License-Identifier: MIT */
/*
 * Block back end for tests: hands requests on to another one, and lets some of them fail, come late,
 * hang or be done in part, as rules say.
 */
#ifndef HVSTACK_HOST_FAULT_H
#define HVSTACK_HOST_FAULT_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct hvs_fault;  /* a disk that misbehaves */

enum hvs_fault_action {
	HVS_FAULT_PASS = 0,  /* done as always; after the delay */
	HVS_FAULT_ERROR = 1, /* not done; ends with `status` */
	/* Neither done nor ended, until it is cancelled or hvs_fault_clear() lets it go on. */
	HVS_FAULT_HANG = 2,
	/* Of READ and WRITE only the first `bytes` are done, other requests not at all; ends with
	 * `status`, which may be HVS_BLK_OK: a write that got lost. */
	HVS_FAULT_TORN = 3,
};

/* Which requests, and what becomes of them. */
struct hvs_fault_rule {
	uint32_t size;
	uint32_t ops;                 /* a bit 1u << op for each enum hvs_blk_op; 0: all */
	uint64_t offset;              /* only requests that touch these bytes; */
	uint64_t len;                 /* 0: all; otherwise no FLUSH, as it has no range */
	uint64_t skip;                /* let so many of them pass before */
	uint64_t times;               /* so many of them, then none any more; 0: without end */
	uint32_t one_in;              /* of those that are left, one in so many; 0: each */
	enum hvs_fault_action action; /* what happens */
	enum hvs_blk_status status;   /* ERROR, TORN */
	uint32_t delay_ms;            /* not before this time has passed; not HANG */
	uint64_t bytes;               /* TORN; the rest of a block is not done either */
};
#define HVS_FAULT_RULE_INIT .size = (uint32_t)sizeof(struct hvs_fault_rule)
#define HVS_FAULT_MAX_RULES 64u

struct hvs_fault_config {
	uint32_t size;
	uint32_t base_count;           /* queues, that is entries of `bases`; with `base`: 0 */
	const struct hvs_blk_ops *ops; /* the back end to hand requests on to */
	void *disk;                    /* its disk; must outlive the filter */
	/* As for a file disk (filedisk.h): either one base, or one for each queue. */
	struct event_base *base;
	struct event_base *const *bases;
	uint64_t seed; /* of one_in: the same requests in the same order have the same fate */
};
#define HVS_FAULT_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_fault_config)

/* Give it with the hvs_fault to hvs_storvsp_attach(). */
HVS_API const struct hvs_blk_ops *hvs_fault_ops(void);

/* Without a rule all requests pass. 0, -EINVAL, -ENOTSUP (unknown members set), -ENOMEM, or the
 * errno of eventfd(). */
HVS_API HVS_NODISCARD int hvs_fault_create(const struct hvs_fault_config *cfg,
					   struct hvs_fault **out);

/* NULL is allowed. No request may be in flight. */
HVS_API void hvs_fault_destroy(struct hvs_fault *fault);

/*
 * Add a rule behind those that are there. The first one that fits decides about a request. [any]
 *
 * 0, -EINVAL (unknown action, op or status), -ENOTSUP (unknown members set), -E2BIG (there are
 * HVS_FAULT_MAX_RULES).
 */
HVS_API HVS_NODISCARD int hvs_fault_add(struct hvs_fault *fault, const struct hvs_fault_rule *rule);

/* Remove all rules. Requests that hang go on to the other back end; those that are late come when
 * their time has passed. [any] */
HVS_API void hvs_fault_clear(struct hvs_fault *fault);

/* How many requests the n-th rule, counted from 0, has decided about. [any] */
HVS_API uint64_t hvs_fault_hits(struct hvs_fault *fault, uint32_t rule);

/*
 * Add rules that are written down: "error=io,op=read,range=1M-2M,times=3; delay=200,op=flush".
 * Rules are separated by semicolons, their parts by commas; blanks don't count:
 *
 *   error=STATUS    io, range, read-only, no-space, gone, aborted or unsupported
 *   hang            until it is cancelled
 *   torn=BYTES      only so many are done; ends with `error`, io if that is missing
 *   lost            with torn: ends well
 *   delay=MS        comes late; alone, or with any of the above but hang
 *   op=NAME+...     read, write, flush, unmap, zeroes, status; otherwise all
 *   range=FROM-END  bytes; K, M, G, T for 1024 times more; END is not part of it
 *   skip=N times=N chance=1/N
 *
 * fault     NULL: only look whether the text is right
 * why       receives what is wrong, in words, when the text is not right; not NULL
 * why_size  of why in bytes; 128 are enough
 *
 * 0, -EINVAL (the text), -E2BIG (too many rules): no rule was added. [any]
 */
HVS_API HVS_NODISCARD int hvs_fault_parse(struct hvs_fault *fault, const char *text, char *why,
					  size_t why_size);

#ifdef __cplusplus
}
#endif
#endif
