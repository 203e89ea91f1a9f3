/* SPDX-License-Identifier: MIT */
/* The fault filter: which requests a rule is about, and what becomes of them; rules as text. */
#include "support/lower.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/fault.h>
#include <stdio.h>
#include <string.h>

static struct event_base *base;
static struct event_base *second;
static struct hvs_fault *fault;
static struct io io;

static void setup(void)
{
	struct event_base *bases[2];
	const struct hvs_fault_config cfg = {
		HVS_FAULT_CONFIG_INIT, .ops = &lower_ops, .disk = &lower,
		.bases = bases,        .base_count = 2,   .seed = 7,
	};

	bases[0] = base = event_base_new();
	bases[1] = second = event_base_new();
	cr_assert_eq(hvs_fault_create(&cfg, &fault), 0);
}

static void teardown(void)
{
	hvs_fault_destroy(fault);
	event_base_free(base);
	event_base_free(second);
}

TestSuite(fault, .init = setup, .fini = teardown, .timeout = 60);

static void rules(const char *text)
{
	char why[128];

	cr_assert_eq(hvs_fault_parse(fault, text, why, sizeof(why)), 0, "%s", why);
}

static void submit(struct io *one)
{
	hvs_fault_ops()->submit(fault, &one->req);
}

/* Submit one; true: it went on as it is. It is completed in any case, unless it is held. */
static bool passes(enum hvs_blk_op op, uint64_t offset, uint64_t len)
{
	unsigned before = lower.count;

	io_init(&io, op, offset, len);
	submit(&io);
	if (lower.count == before)
		return false;
	cr_assert_eq(lower.reqs[before], &io.req);
	lower_complete(HVS_BLK_OK);
	cr_assert_eq(io.status, HVS_BLK_OK);
	return true;
}

static void fails(enum hvs_blk_op op, uint64_t offset, uint64_t len, enum hvs_blk_status status)
{
	cr_assert(!passes(op, offset, len));
	cr_assert_eq(io.completions, 1);
	cr_assert_eq(io.status, status);
}

/* ---- without a rule --------------------------------------------------------------------- */

Test(fault, everything_passes_without_a_rule)
{
	for (enum hvs_blk_op op = HVS_BLK_READ; op <= HVS_BLK_LBA_STATUS; op++)
		cr_assert(passes(op, 0, op == HVS_BLK_FLUSH ? 0 : 4096));
	hvs_fault_ops()->commit(fault, 1);
	cr_assert_eq(lower.commits, 1);
	cr_assert_eq(lower.committed_queue, 1);
	hvs_fault_ops()->cancel(fault, &io.req);
	cr_assert_eq(lower.cancelled, &io.req);
}

Test(fault, info_is_that_of_the_disk_below_with_as_many_queues_as_there_are_bases)
{
	static const uint32_t queues[][2] = {
		{HVS_BLK_ANY_QUEUE, 2}, {0, 1}, {1, 1}, {2, 2}, {3, 2}};
	struct hvs_blk_info info = {HVS_BLK_INFO_INIT};

	lower.flags = HVS_BLK_INFO_UNMAP | HVS_BLK_INFO_LBA_STATUS;
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		lower.max_queues = queues[i][0];
		cr_assert_eq(hvs_fault_ops()->get_info(fault, &info), 0);
		cr_assert_eq(info.max_queues, queues[i][1]);
	}
	cr_assert_eq(info.flags, lower.flags);
	cr_assert_eq(info.num_blocks, 1000);
	cr_assert_eq(info.unmap_granularity, 8192);
	lower.info_error = -EIO;
	cr_assert_eq(hvs_fault_ops()->get_info(fault, &info), -EIO);
}

Test(fault, a_back_end_below_without_what_is_optional_will_do)
{
	const struct hvs_fault_config cfg = {HVS_FAULT_CONFIG_INIT, .ops = &lower_ops_least,
					     .disk = &lower, .base = base};
	struct hvs_fault *least;

	cr_assert_eq(hvs_fault_create(&cfg, &least), 0);
	io_init(&io, HVS_BLK_READ, 0, 4096);
	hvs_fault_ops()->submit(least, &io.req);
	hvs_fault_ops()->commit(least, 0);
	hvs_fault_ops()->cancel(least, &io.req);
	lower_complete(HVS_BLK_OK);
	cr_assert_eq(io.completions, 1);
	hvs_fault_destroy(least);
	hvs_fault_destroy(NULL);
}

Test(fault, a_bad_configuration_is_refused)
{
	const struct hvs_fault_config good = {HVS_FAULT_CONFIG_INIT, .ops = &lower_ops,
					      .disk = &lower, .base = base};
	struct event_base *bases[2] = {base, NULL};
	const struct hvs_blk_ops no_submit = {HVS_BLK_OPS_INIT, .get_info = lower_ops.get_info};
	struct hvs_fault_config cfg = good;
	struct hvs_fault *none = NULL;

	cr_assert_eq(hvs_fault_create(NULL, &none), -EINVAL);
	cr_assert_eq(hvs_fault_create(&cfg, NULL), -EINVAL);
	cfg.ops = NULL;
	cr_assert_eq(hvs_fault_create(&cfg, &none), -EINVAL);
	cfg.ops = &no_submit;
	cr_assert_eq(hvs_fault_create(&cfg, &none), -EINVAL);
	cfg = good;
	cfg.base_count = 1;
	cr_assert_eq(hvs_fault_create(&cfg, &none), -EINVAL);
	cfg.bases = bases;
	cr_assert_eq(hvs_fault_create(&cfg, &none), -EINVAL);
	cfg.base = NULL;
	cfg.base_count = 0;
	cr_assert_eq(hvs_fault_create(&cfg, &none), -EINVAL);
	cfg.base_count = 2;
	cr_assert_eq(hvs_fault_create(&cfg, &none), -EINVAL);
	cfg.base_count = 1025;
	cr_assert_eq(hvs_fault_create(&cfg, &none), -EINVAL);
}

/* ---- which requests --------------------------------------------------------------------- */

Test(fault, a_rule_is_about_the_operations_it_names)
{
	rules("error=gone,op=write+flush");
	cr_assert(passes(HVS_BLK_READ, 0, 4096));
	fails(HVS_BLK_WRITE, 0, 4096, HVS_BLK_GONE);
	fails(HVS_BLK_FLUSH, 0, 0, HVS_BLK_GONE);
	cr_assert(passes(HVS_BLK_UNMAP, 0, 4096));
}

Test(fault, each_operation_and_each_error_has_a_name)
{
	static const char *const ops[] = {"read", "write", "flush", "unmap", "zeroes", "status"};
	static const char *const errors[] = {"io",   "range",   "read-only",  "no-space",
					     "gone", "aborted", "unsupported"};

	for (unsigned op = HVS_BLK_READ; op <= HVS_BLK_LBA_STATUS; op++)
		for (unsigned status = HVS_BLK_IO_ERROR; status <= HVS_BLK_UNSUPPORTED; status++) {
			char text[64];

			hvs_fault_clear(fault);
			snprintf(text, sizeof(text), "op=%s,error=%s", ops[op - 1],
				 errors[status - 1]);
			rules(text);
			fails((enum hvs_blk_op)op, 0, op == HVS_BLK_FLUSH ? 0 : 512,
			      (enum hvs_blk_status)status);
		}
}

Test(fault, a_range_is_touched_by_one_byte)
{
	rules("error=io,range=4K-8K");
	cr_assert(passes(HVS_BLK_READ, 0, 4096));
	fails(HVS_BLK_READ, 0, 4096 + 512, HVS_BLK_IO_ERROR);
	fails(HVS_BLK_READ, 4096, 512, HVS_BLK_IO_ERROR);
	fails(HVS_BLK_READ, 8192 - 512, 4096, HVS_BLK_IO_ERROR);
	cr_assert(passes(HVS_BLK_READ, 8192, 4096));
	cr_assert(passes(HVS_BLK_FLUSH, 0, 0));
	cr_assert(passes(HVS_BLK_READ, 6144, 0));
}

Test(fault, some_pass_before_and_all_pass_afterwards)
{
	rules("error=io,op=read,skip=2,times=3");
	for (unsigned i = 0; i < 10; i++) {
		if (i >= 2 && i < 5)
			fails(HVS_BLK_READ, 0, 512, HVS_BLK_IO_ERROR);
		else
			cr_assert(passes(HVS_BLK_READ, 0, 512));
		cr_assert(passes(HVS_BLK_WRITE, 0, 512));
	}
	cr_assert_eq(hvs_fault_hits(fault, 0), 3);
	cr_assert_eq(hvs_fault_hits(fault, 1), 0);
}

Test(fault, chance_is_the_same_in_every_run)
{
	const struct hvs_fault_config cfg = {HVS_FAULT_CONFIG_INIT, .ops = &lower_ops,
					     .disk = &lower, .base = base, .seed = 7};
	struct hvs_fault *first = fault;
	struct hvs_fault *again;
	bool fate[1000];

	rules("error=io,chance=1/10");
	for (unsigned i = 0; i < 1000; i++)
		fate[i] = passes(HVS_BLK_READ, 0, 512);
	cr_assert_gt(hvs_fault_hits(fault, 0), 50);
	cr_assert_lt(hvs_fault_hits(fault, 0), 200);

	cr_assert_eq(hvs_fault_create(&cfg, &again), 0);
	fault = again;
	rules("error=io,chance=1/10");
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(passes(HVS_BLK_READ, 0, 512), fate[i]);
	hvs_fault_destroy(again);
	fault = first;
}

Test(fault, the_first_rule_that_fits_decides)
{
	rules("error=gone,op=read,times=1; error=no-space,op=read+write");
	fails(HVS_BLK_READ, 0, 512, HVS_BLK_GONE);
	fails(HVS_BLK_READ, 0, 512, HVS_BLK_NO_SPACE);
	cr_assert_eq(hvs_fault_hits(fault, 0), 1);
	cr_assert_eq(hvs_fault_hits(fault, 1), 1);
	hvs_fault_clear(fault);
	cr_assert(passes(HVS_BLK_READ, 0, 512));
}

/* ---- torn ------------------------------------------------------------------------------- */

Test(fault, of_a_torn_write_only_the_beginning_is_done)
{
	struct hvs_blk_req *part;

	rules("torn=1300,op=write,error=no-space");
	io_init(&io, HVS_BLK_WRITE, 4096, 4096);
	io.req.flags = HVS_BLK_FUA;
	io.req.queue = 1;
	submit(&io);
	cr_assert_eq(lower.count, 1);
	part = lower.reqs[0];
	cr_assert_eq(part->op, HVS_BLK_WRITE);
	cr_assert_eq(part->offset, 4096);
	cr_assert_eq(part->len, 1024, "whole blocks");
	cr_assert_eq(part->flags, HVS_BLK_FUA);
	cr_assert_eq(part->queue, 1);
	cr_assert_eq(part->iovcnt, 3);
	cr_assert_eq(part->iov[0].iov_len, 100);
	cr_assert_eq(part->iov[2].iov_base, memory + 100);
	cr_assert_eq(part->iov[2].iov_len, 924);
	/* The back end below would not know it. */
	hvs_fault_ops()->cancel(fault, &io.req);
	cr_assert_eq(lower.cancels, 0);
	cr_assert_eq(io.completions, 0);
	lower_complete(HVS_BLK_OK);
	cr_assert_eq(io.status, HVS_BLK_NO_SPACE);
}

Test(fault, a_torn_write_that_fails_below_fails_like_that)
{
	rules("torn=512,lost");
	io_init(&io, HVS_BLK_WRITE, 0, 4096);
	submit(&io);
	lower_complete(HVS_BLK_READ_ONLY);
	cr_assert_eq(io.status, HVS_BLK_READ_ONLY);
}

Test(fault, of_a_lost_write_nobody_is_told)
{
	rules("torn=512,lost");
	io_init(&io, HVS_BLK_WRITE, 0, 4096);
	submit(&io);
	cr_assert_eq(lower.reqs[0]->len, 512);
	lower_complete(HVS_BLK_OK);
	cr_assert_eq(io.status, HVS_BLK_OK);
	/* More than there is: it is all done. */
	hvs_fault_clear(fault);
	rules("torn=1M");
	io_init(&io, HVS_BLK_READ, 0, 4096);
	submit(&io);
	cr_assert_eq(lower.reqs[0]->len, 4096);
	lower_complete(HVS_BLK_OK);
	cr_assert_eq(io.status, HVS_BLK_IO_ERROR);
}

Test(fault, what_can_not_be_torn_is_not_done)
{
	rules("torn=4K");
	fails(HVS_BLK_FLUSH, 0, 0, HVS_BLK_IO_ERROR);
	fails(HVS_BLK_WRITE_ZEROES, 0, 8192, HVS_BLK_IO_ERROR);
	hvs_fault_clear(fault);
	rules("torn=511,lost");
	fails(HVS_BLK_WRITE, 0, 4096, HVS_BLK_OK);
	cr_assert_eq(lower.submits, 0);
}

/* ---- late, and never -------------------------------------------------------------------- */

#define MS 1000000ull

Test(fault, what_is_late_comes_when_its_time_has_passed)
{
	struct io ios[3];

	rules("delay=3,op=read; delay=1,op=write; delay=2,op=flush,error=gone");
	io_init(&ios[0], HVS_BLK_READ, 0, 512);
	io_init(&ios[1], HVS_BLK_WRITE, 0, 512);
	io_init(&ios[2], HVS_BLK_FLUSH, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		submit(&ios[i]);
	/* A timer that fires says nothing: what counts is the clock. */
	event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(lower.submits, 0);
	now_ns += MS;
	event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(lower.count, 1);
	cr_assert_eq(lower.reqs[0], &ios[1].req);
	cr_assert_gt(lower.commits, 0, "a late request needs a commit of its own");
	now_ns += MS;
	event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(ios[2].status, HVS_BLK_GONE);
	cr_assert_eq(lower.count, 1);
	now_ns += MS;
	event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(lower.count, 2);
	lower_complete_all();
	cr_assert_eq(ios[0].completions, 1);
	cr_assert_eq(ios[1].completions, 1);
}

Test(fault, a_late_request_that_is_cancelled_is_aborted)
{
	struct io ios[3];

	rules("delay=1");
	for (unsigned i = 0; i < 3; i++) {
		io_init(&ios[i], HVS_BLK_READ, i * 512, 512);
		submit(&ios[i]);
	}
	hvs_fault_ops()->cancel(fault, &ios[1].req);
	cr_assert_eq(ios[1].status, HVS_BLK_ABORTED);
	cr_assert_eq(lower.cancels, 0);
	now_ns += MS;
	event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(lower.count, 2);
	lower_complete_all();
	cr_assert_eq(ios[0].completions + ios[2].completions, 2);
}

Test(fault, what_hangs_ends_when_it_is_cancelled)
{
	rules("hang,op=write,times=1");
	io_init(&io, HVS_BLK_WRITE, 0, 512);
	submit(&io);
	now_ns += 1000000 * MS;
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(lower.submits, 0);
	cr_assert_eq(io.completions, 0);
	hvs_fault_ops()->cancel(fault, &io.req);
	cr_assert_eq(io.status, HVS_BLK_ABORTED);
}

static void submit_another(struct io *one)
{
	io_init(&io, HVS_BLK_WRITE, 0, 512);
	(void)one;
	submit(&io);
}

Test(fault, what_hangs_goes_on_when_the_rules_are_removed)
{
	struct io ios[4];

	rules("hang,op=write; delay=5,op=read");
	for (unsigned i = 0; i < 4; i++) {
		io_init(&ios[i], i < 3 ? HVS_BLK_WRITE : HVS_BLK_READ, i * 512, 512);
		ios[i].req.queue = i == 2;
		submit(&ios[i]);
	}
	hvs_fault_clear(fault);
	/* A new rule is not about what waits, but what comes meanwhile hangs again. */
	rules("hang");
	ios[0].then = submit_another;
	lower.at_once = true;
	event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(ios[0].completions, 1);
	cr_assert_eq(ios[1].completions, 1);
	cr_assert_eq(ios[2].completions, 0, "it belongs to another thread");
	cr_assert_eq(ios[3].completions, 0, "its time has not come");
	cr_assert_eq(io.completions, 0);
	event_base_loop(second, EVLOOP_ONCE);
	cr_assert_eq(ios[2].completions, 1);
	cr_assert_eq(lower.committed_queue, 1);
	now_ns += 5 * MS;
	event_base_loop(base, EVLOOP_ONCE);
	cr_assert_eq(ios[3].completions, 1);
	hvs_fault_ops()->cancel(fault, &io.req);
	cr_assert_eq(io.status, HVS_BLK_ABORTED);
}

/* ---- text ------------------------------------------------------------------------------- */

Test(fault, text_that_is_wrong_is_told_where_and_why)
{
	static const char *const cases[][2] = {
		{"error=oi", "rule 1: 'oi': no error (io, range"},
		{"error=io;error", "rule 2: 'error': what it is set to is missing"},
		{"eror=io", "'eror': no such thing (error, torn"},
		{"error=io,op=reed", "'reed': no operation (read, write"},
		{"error=io,op=read++write", "'': no operation"},
		{"op=read", "'op=read': says not what happens"},
		{"error=io,,op=read", "a comma too many"},
		{"error=io,range=5", "'5': a range is FROM-END"},
		{"error=io,range=2M-1M", "the range is empty"},
		{"error=io,range=1M-9999999T", "a range is FROM-END"},
		{"error=io,op=flush,range=0-1M", "a flush has no range"},
		{"delay=0", "'0': delay takes milliseconds"},
		{"delay=4294967296", "delay takes milliseconds"},
		{"delay=1s", "delay takes milliseconds"},
		{"torn=x", "'x': torn takes bytes"},
		{"error=io,times=0", "times and skip"},
		{"error=io,skip=18446744073709551616", "times and skip"},
		{"error=io,chance=2/3", "a chance is 1/N"},
		{"error=io,chance=1/0", "a chance is 1/N"},
		{"hang,delay=5", "what hangs has no error"},
		{"hang,error=io", "what hangs has no error"},
		{"error=io,lost", "lost goes with torn"},
		{"torn=1K,lost,error=io", "lost goes with torn"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char why[128] = "";

		cr_assert_eq(hvs_fault_parse(fault, cases[i][0], why, sizeof(why)), -EINVAL, "%s",
			     cases[i][0]);
		cr_assert(strstr(why, cases[i][1]) != NULL, "'%s' is not in '%s'", cases[i][1],
			  why);
		cr_assert_eq(hvs_fault_parse(NULL, cases[i][0], why, 1), -EINVAL);
		cr_assert_eq(why[0], '\0', "more was written than there is room for");
	}
	cr_assert(passes(HVS_BLK_READ, 0, 512), "a rule of a wrong text counts");
}

Test(fault, blanks_and_empty_rules_do_not_count)
{
	rules("");
	rules(" ; ;");
	rules("  error = gone , op = read + write , range = 0 - 1M ; ");
	fails(HVS_BLK_READ, 0, 512, HVS_BLK_GONE);
	cr_assert_eq(hvs_fault_hits(fault, 0), 1);
}

Test(fault, text_can_be_looked_at_without_a_filter)
{
	char why[128];

	cr_assert_eq(hvs_fault_parse(NULL, "hang", why, sizeof(why)), 0);
	cr_assert_eq(hvs_fault_parse(NULL, NULL, why, sizeof(why)), -EINVAL);
	cr_assert_eq(hvs_fault_parse(NULL, "hang", NULL, 0), -EINVAL);
}

Test(fault, too_many_rules_are_refused_and_none_of_them_is_added)
{
	const struct hvs_fault_rule one = {HVS_FAULT_RULE_INIT, .action = HVS_FAULT_ERROR,
					   .status = HVS_BLK_GONE};
	char text[5 * (HVS_FAULT_MAX_RULES + 1) + 1] = "";
	char why[128];

	for (unsigned i = 0; i <= HVS_FAULT_MAX_RULES; i++)
		strcat(text, "hang;");
	cr_assert_eq(hvs_fault_parse(fault, text, why, sizeof(why)), -E2BIG);
	cr_assert(strstr(why, "more than 64 rules") != NULL);
	cr_assert(passes(HVS_BLK_READ, 0, 512));
	for (unsigned i = 0; i < HVS_FAULT_MAX_RULES; i++)
		cr_assert_eq(hvs_fault_add(fault, &one), 0);
	cr_assert_eq(hvs_fault_add(fault, &one), -E2BIG);
	cr_assert_eq(hvs_fault_parse(fault, "hang", why, sizeof(why)), -E2BIG);
	cr_assert(strstr(why, "more than 64 rules") != NULL);
}

Test(fault, a_rule_that_can_not_be_is_refused)
{
	struct hvs_fault_rule rule = {HVS_FAULT_RULE_INIT};

	cr_assert_eq(hvs_fault_add(fault, NULL), -EINVAL);
	rule.action = (enum hvs_fault_action)4;
	cr_assert_eq(hvs_fault_add(fault, &rule), -EINVAL);
	rule.action = HVS_FAULT_ERROR;
	rule.status = (enum hvs_blk_status)8;
	cr_assert_eq(hvs_fault_add(fault, &rule), -EINVAL);
	rule.status = HVS_BLK_GONE;
	rule.ops = 1;
	cr_assert_eq(hvs_fault_add(fault, &rule), -EINVAL);
	rule.ops = 1u << HVS_BLK_READ;
	rule.size--;
	cr_assert_eq(hvs_fault_add(fault, &rule), -EINVAL);
}
