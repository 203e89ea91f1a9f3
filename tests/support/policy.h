/* SPDX-License-Identifier: MIT */
/* A policy with its port, and verdicts on frames that tests build. */
#ifndef TEST_POLICY_H
#define TEST_POLICY_H

#include "alloc.h"
#include "frame.h"

#include "vsp/network/policy.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define OUT true
#define IN false

static struct test_frame frame; /* the one that was built last */

struct fixture {
	struct test_alloc t;
	struct hvs_allocator a;
	struct hvsi_policy *policy;
	struct hvsi_port port;
	struct hvs_port_counters counters;
	struct hvsi_headers h;
	uint64_t now;
};

static inline void up(struct fixture *f, const struct hvs_port_policy *p)
{
	*f = (struct fixture){.t = TEST_ALLOC_INIT};
	f->a = test_allocator(&f->t);
	cr_assert_eq(hvsi_policy_create(&f->a, p, &f->policy), 0);
}

static inline void down(struct fixture *f)
{
	hvsi_policy_destroy(f->policy);
	cr_assert_eq(f->t.live, 0);
}

static inline bool verdict(struct fixture *f, bool out)
{
	bool metered;
	const bool pass = out ? hvsi_policy_out(f->policy, &f->port, &f->h, test_mac_src, f->now)
			      : hvsi_policy_in(f->policy, &f->port, &f->h, &metered);

	hvsi_port_get_counters(&f->port, &f->counters);
	return pass;
}

/* The frame that was built, of which so much was copied. */
static inline bool passes_copied(struct fixture *f, bool out, size_t copied)
{
	uint8_t *copy = malloc(copied);
	bool pass;

	cr_assert(copy);
	memcpy(copy, frame.b, copied);
	cr_assert(hvsi_frame_parse(&f->h, copy, (uint32_t)copied, (uint32_t)frame.len));
	if (f->h.tag_inline && out)
		(void)hvsi_frame_pull_tag(&f->h, copy);
	pass = verdict(f, out);
	free(copy);
	return pass;
}

static inline bool passes_built(struct fixture *f, bool out)
{
	return passes_copied(f, out, frame.len);
}

static inline bool passes(struct fixture *f, bool out, const struct test_frame_spec *s)
{
	test_frame_build(&frame, s);
	return passes_built(f, out);
}

#endif
