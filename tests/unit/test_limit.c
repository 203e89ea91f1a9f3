/* SPDX-License-Identifier: MIT */
/* The limit filter, by a clock that the test moves: how many requests have gone on by when. */
#include "host/blk_limit.h"
#include "support/lower.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/limit.h>
#include <string.h>

#define MS 1000000ull
#define S 1000000000ull

static struct event_base *bases[2];
static struct hvs_limit *limit;

static void setup(void)
{
	const struct hvs_limit_config cfg = {HVS_LIMIT_CONFIG_INIT, .ops = &lower_ops,
					     .disk = &lower, .bases = bases, .base_count = 2};

	bases[0] = event_base_new();
	bases[1] = event_base_new();
	cr_assert_eq(hvs_limit_create(&cfg, &limit), 0);
}

static void teardown(void)
{
	hvs_limit_destroy(limit);
	event_base_free(bases[0]);
	event_base_free(bases[1]);
}

TestSuite(limit, .init = setup, .fini = teardown, .timeout = 60);

static void set(uint64_t requests, uint64_t bytes, uint64_t burst_requests, uint64_t burst_bytes)
{
	const struct hvs_limit_rates rates = {requests, bytes, burst_requests, burst_bytes};

	cr_assert_eq(hvs_limit_set(limit, &rates), 0);
	/* The queues hear of it. */
	event_base_loop(bases[0], EVLOOP_ONCE);
	event_base_loop(bases[1], EVLOOP_ONCE);
}

static void submit(struct io *io, enum hvs_blk_op op, uint64_t len, uint32_t queue)
{
	io_init(io, op, 0, len);
	io->req.queue = queue;
	hvs_limit_ops()->submit(limit, &io->req);
}

/* Move the clock and let the timer of a queue fire, which it does after less than that. */
static void pass_time(uint64_t ns, uint32_t queue)
{
	now_ns += ns;
	event_base_loop(bases[queue], EVLOOP_ONCE);
}

/* ---- buckets ---------------------------------------------------------------------------- */

Test(limit, a_bucket_gives_its_burst_at_once_and_then_its_rate)
{
	struct hvsi_bucket b;

	hvsi_bucket_init(&b, 100, 5, 1000);
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(hvsi_bucket_take(&b, 1, 1000), 1000);
	for (unsigned i = 1; i <= 50; i++)
		cr_assert_eq(hvsi_bucket_take(&b, 1, 1000), 1000 + i * 10 * MS);
}

Test(limit, a_bucket_loses_nothing_to_rounding)
{
	struct hvsi_bucket b;
	uint64_t due = 0;

	/* Three a second, asked for at odd times. */
	hvsi_bucket_init(&b, 3, 1, 0);
	for (unsigned i = 0; i < 3001; i++)
		due = hvsi_bucket_take(&b, 1, due + i % 7);
	cr_assert_geq(due, 1000 * S);
	/* Each may be up to 6 ns late by itself, and rounded up by one. */
	cr_assert_leq(due, 1000 * S + 3001 * 7);
}

Test(limit, a_bucket_fills_up_to_its_burst_and_no_further)
{
	struct hvsi_bucket b;

	hvsi_bucket_init(&b, 1000, 10, 0);
	cr_assert_eq(hvsi_bucket_take(&b, 10, 0), 0);
	cr_assert_eq(hvsi_bucket_take(&b, 10, 100 * S), 100 * S);
	cr_assert_eq(hvsi_bucket_take(&b, 1, 100 * S), 100 * S + MS);
	hvsi_bucket_give_back(&b, 100);
	cr_assert_eq(hvsi_bucket_take(&b, 10, 100 * S), 100 * S);
	cr_assert_eq(hvsi_bucket_take(&b, 1, 100 * S), 100 * S + MS);
}

Test(limit, a_bucket_has_a_burst_of_its_own_and_knows_no_overflow)
{
	struct hvsi_bucket b;

	hvsi_bucket_init(&b, 100, 0, 0);
	cr_assert_eq(hvsi_bucket_take(&b, 10, 0), 0);
	cr_assert_eq(hvsi_bucket_take(&b, 1, 0), 10 * MS);
	hvsi_bucket_init(&b, 1, 0, 0);
	cr_assert_eq(hvsi_bucket_take(&b, 1, 0), 0);
	cr_assert_eq(hvsi_bucket_take(&b, UINT64_MAX, 0), UINT64_MAX - 1);
	hvsi_bucket_init(&b, 0, 0, 0);
	cr_assert_eq(hvsi_bucket_take(&b, UINT64_MAX, 5), 5);
	hvsi_bucket_init(&b, 1ull << 40, 1ull << 40, 0);
	cr_assert_eq(hvsi_bucket_take(&b, 1ull << 40, UINT64_MAX / 2), UINT64_MAX / 2);
}

/* ---- the filter ------------------------------------------------------------------------- */

Test(limit, without_a_limit_everything_goes_on_at_once)
{
	struct io io;

	for (unsigned i = 0; i < 200; i++) {
		submit(&io, HVS_BLK_WRITE, 4096, i % 2);
		cr_assert_eq(lower.reqs[0], &io.req, "the request itself goes on");
		lower_complete(HVS_BLK_OK);
	}
	hvs_limit_ops()->commit(limit, 1);
	cr_assert_eq(lower.committed_queue, 1);
	hvs_limit_ops()->cancel(limit, &io.req);
	cr_assert_eq(lower.cancelled, &io.req);
}

Test(limit, requests_above_the_burst_wait_and_go_on_in_order)
{
	struct io ios[6];

	set(1000, 0, 2, 0);
	for (unsigned i = 0; i < 6; i++)
		submit(&ios[i], i % 2 ? HVS_BLK_FLUSH : HVS_BLK_READ, i % 2 ? 0 : 512, 0);
	cr_assert_eq(lower.count, 2);
	/* A timer that fires says nothing: what counts is the clock. */
	pass_time(0, 0);
	cr_assert_eq(lower.count, 2);
	for (unsigned i = 3; i <= 6; i++) {
		lower.commits = 0;
		pass_time(MS, 0);
		cr_assert_eq(lower.count, i);
		cr_assert_eq(lower.commits, 1, "a request that waited needs a commit of its own");
	}
	for (unsigned i = 0; i < 6; i++)
		cr_assert_eq(lower.reqs[i], &ios[i].req);
}

Test(limit, bytes_are_those_of_reads_and_writes)
{
	struct io ios[7];

	set(0, 1024 * 1000, 0, 4096);
	submit(&ios[0], HVS_BLK_UNMAP, 1 << 20, 0);
	submit(&ios[1], HVS_BLK_WRITE_ZEROES, 1 << 20, 0);
	submit(&ios[2], HVS_BLK_FLUSH, 0, 0);
	submit(&ios[3], HVS_BLK_LBA_STATUS, 1 << 20, 0);
	submit(&ios[4], HVS_BLK_READ, 4096, 0);
	cr_assert_eq(lower.count, 5);
	submit(&ios[5], HVS_BLK_WRITE, 1024, 0);
	submit(&ios[6], HVS_BLK_FLUSH, 0, 0);
	cr_assert_eq(lower.count, 5);
	pass_time(MS, 0);
	cr_assert_eq(lower.count, 7);
}

Test(limit, a_request_larger_than_the_burst_passes_when_it_is_paid_for)
{
	struct io ios[2];

	set(0, 1024 * 1000, 0, 1024);
	submit(&ios[0], HVS_BLK_READ, 4096, 0);
	submit(&ios[1], HVS_BLK_READ, 1024, 0);
	cr_assert_eq(lower.count, 0);
	pass_time(2 * MS, 0);
	cr_assert_eq(lower.count, 0);
	pass_time(MS, 0);
	cr_assert_eq(lower.count, 1);
	pass_time(MS, 0);
	cr_assert_eq(lower.count, 2);
}

Test(limit, queues_share_the_limit_and_each_gets_its_turn)
{
	struct io many[20];
	struct io one;

	set(1000, 0, 1, 0);
	for (unsigned i = 0; i < 20; i++)
		submit(&many[i], HVS_BLK_READ, 512, 0);
	submit(&one, HVS_BLK_READ, 512, 1);
	cr_assert_eq(lower.count, 1);
	/* many[1] has the next millisecond, `one` that after it. */
	pass_time(2 * MS, 1);
	cr_assert_eq(lower.count, 2);
	cr_assert_eq(lower.reqs[1], &one.req);
	cr_assert_eq(lower.committed_queue, 1);
	event_base_loop(bases[0], EVLOOP_ONCE);
	cr_assert_eq(lower.count, 3);
	cr_assert_eq(lower.reqs[2], &many[1].req);
	for (unsigned i = 2; i < 20; i++)
		hvs_limit_ops()->cancel(limit, &many[i].req);
}

Test(limit, other_limits_hold_for_what_waits)
{
	struct io ios[10];

	set(1, 0, 1, 0);
	for (unsigned i = 0; i < 10; i++)
		submit(&ios[i], HVS_BLK_READ, 512, 0);
	cr_assert_eq(lower.count, 1);
	set(1000, 0, 3, 0);
	cr_assert_eq(lower.count, 4);
	pass_time(MS, 0);
	cr_assert_eq(lower.count, 5);
	set(0, 0, 0, 0);
	cr_assert_eq(lower.count, 10);
}

Test(limit, a_waiting_request_that_is_cancelled_is_aborted_and_costs_nothing)
{
	struct io ios[5];

	set(1000, 0, 1, 0);
	for (unsigned i = 0; i < 5; i++)
		submit(&ios[i], HVS_BLK_READ, 512, 0);
	cr_assert_eq(lower.count, 1);
	hvs_limit_ops()->cancel(limit, &ios[4].req);
	hvs_limit_ops()->cancel(limit, &ios[2].req);
	hvs_limit_ops()->cancel(limit, &ios[1].req);
	cr_assert_eq(lower.cancels, 0);
	for (unsigned i = 1; i < 5; i++)
		cr_assert_eq(ios[i].completions, i == 3 ? 0 : 1);
	cr_assert_eq(ios[1].status, HVS_BLK_ABORTED);
	/* It has the millisecond that ios[1] would have had. */
	pass_time(0, 0);
	cr_assert_eq(lower.count, 1);
	pass_time(MS, 0);
	cr_assert_eq(lower.count, 2);
	cr_assert_eq(lower.reqs[1], &ios[3].req);
	/* The list is still one. */
	submit(&ios[1], HVS_BLK_READ, 512, 0);
	submit(&ios[2], HVS_BLK_READ, 512, 0);
	pass_time(MS, 0);
	cr_assert_eq(lower.count, 3);
	hvs_limit_ops()->cancel(limit, &ios[2].req);
	hvs_limit_ops()->cancel(limit, &ios[0].req);
	cr_assert_eq(lower.cancelled, &ios[0].req);
}

Test(limit, info_is_that_of_the_disk_below_with_as_many_queues_as_there_are_bases)
{
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	lower.flags = HVS_BLK_INFO_FUA;
	cr_assert_eq(hvs_limit_ops()->get_info(limit, &info), 0);
	cr_assert_eq(info.flags, HVS_BLK_INFO_FUA);
	cr_assert_eq(info.max_queues, 2);
	lower.info_error = -EIO;
	cr_assert_eq(hvs_limit_ops()->get_info(limit, &info), -EIO);
}

Test(limit, a_bad_configuration_is_refused)
{
	const struct hvs_limit_config good = {HVS_LIMIT_CONFIG_INIT, .ops = &lower_ops,
					      .disk = &lower, .base = bases[0]};
	struct hvs_limit_config cfg = good;
	struct hvs_limit_rates rates = {0};
	struct hvs_limit *other = NULL;

	cr_assert_eq(hvs_limit_create(NULL, &other), -EINVAL);
	cr_assert_eq(hvs_limit_create(&cfg, NULL), -EINVAL);
	cfg.ops = NULL;
	cr_assert_eq(hvs_limit_create(&cfg, &other), -EINVAL);
	cfg = good;
	cfg.base = NULL;
	cr_assert_eq(hvs_limit_create(&cfg, &other), -EINVAL);
	cfg = good;
	cfg.rates.bytes_per_s = (1ull << 40) + 1;
	cr_assert_eq(hvs_limit_create(&cfg, &other), -EINVAL);
	cr_assert_eq(hvs_limit_set(limit, NULL), -EINVAL);
	rates.burst_requests = (1ull << 40) + 1;
	cr_assert_eq(hvs_limit_set(limit, &rates), -EINVAL);
	cr_assert_eq(hvs_limit_create(&good, &other), 0);
	hvs_limit_destroy(other);
	hvs_limit_destroy(NULL);
}
