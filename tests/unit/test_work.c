/* SPDX-License-Identifier: MIT */
#include "util/list.h"
#include "util/work.h"

#include <criterion/criterion.h>

static unsigned nothing(struct hvsi_work *work, unsigned budget)
{
	(void)work;
	(void)budget;
	return 1;
}

#define ITEMS 6

static void make(struct hvsi_work items[ITEMS])
{
	for (int i = 0; i < ITEMS; i++)
		hvsi_work_init(&items[i], nothing);
}

Test(work, pops_in_the_order_of_pushes)
{
	struct hvsi_work_queue q = {.head = NULL};
	struct hvsi_work w[ITEMS];

	make(w);
	cr_assert(hvsi_work_idle(&q));
	cr_assert_null(hvsi_work_pop(&q));
	for (int i = 0; i < ITEMS; i++)
		cr_assert(hvsi_work_push(&q, &w[i]));
	cr_assert_not(hvsi_work_idle(&q));
	for (int i = 0; i < ITEMS; i++)
		cr_assert_eq(hvsi_work_pop(&q), &w[i]);
	cr_assert_null(hvsi_work_pop(&q));
	cr_assert(hvsi_work_idle(&q));
}

Test(work, keeps_the_order_when_pushes_and_pops_mix)
{
	struct hvsi_work_queue q = {.head = NULL};
	struct hvsi_work w[ITEMS];

	make(w);
	hvsi_work_push(&q, &w[0]);
	hvsi_work_push(&q, &w[1]);
	hvsi_work_push(&q, &w[2]);
	cr_assert_eq(hvsi_work_pop(&q), &w[0]);
	hvsi_work_push(&q, &w[3]); /* behind what was taken over already */
	hvsi_work_push(&q, &w[4]);
	cr_assert_eq(hvsi_work_pop(&q), &w[1]);
	cr_assert_eq(hvsi_work_pop(&q), &w[2]);
	cr_assert_not(hvsi_work_idle(&q), "two are pushed, none taken over");
	cr_assert_eq(hvsi_work_pop(&q), &w[3]);
	hvsi_work_push(&q, &w[5]);
	cr_assert_eq(hvsi_work_pop(&q), &w[4]);
	cr_assert_eq(hvsi_work_pop(&q), &w[5]);
	cr_assert(hvsi_work_idle(&q));
}

Test(work, a_queued_item_is_not_queued_twice)
{
	struct hvsi_work_queue q = {.head = NULL};
	struct hvsi_work w[ITEMS];

	make(w);
	cr_assert(hvsi_work_push(&q, &w[0]));
	cr_assert_not(hvsi_work_push(&q, &w[0]));
	cr_assert(hvsi_work_push(&q, &w[1]));
	cr_assert_not(hvsi_work_push(&q, &w[0]));
	cr_assert_eq(hvsi_work_pop(&q), &w[0]);
	/* w[1] is on the consumer's list by now: still queued. */
	cr_assert_not(hvsi_work_push(&q, &w[1]));
	cr_assert_eq(hvsi_work_pop(&q), &w[1]);
	cr_assert_null(hvsi_work_pop(&q));
}

Test(work, an_item_that_runs_can_be_posted_again)
{
	struct hvsi_work_queue q = {.head = NULL};
	struct hvsi_work w[ITEMS];

	make(w);
	hvsi_work_push(&q, &w[0]);
	hvsi_work_push(&q, &w[1]);
	cr_assert_eq(hvsi_work_pop(&q), &w[0]);
	/* As its run() would: it goes behind what waits. */
	cr_assert(hvsi_work_push(&q, &w[0]));
	cr_assert_not(hvsi_work_push(&q, &w[0]));
	cr_assert_eq(hvsi_work_pop(&q), &w[1]);
	cr_assert_eq(hvsi_work_pop(&q), &w[0]);
	cr_assert(hvsi_work_push(&q, &w[0]), "popped: free again");
	cr_assert_eq(hvsi_work_pop(&q), &w[0]);
	cr_assert(hvsi_work_idle(&q));
}

Test(list, appends_in_order_and_a_removed_node_is_in_no_list)
{
	struct hvsi_list list;
	struct hvsi_list n[3];

	hvsi_list_init(&list);
	for (int i = 0; i < 3; i++) {
		hvsi_list_init(&n[i]);
		cr_assert(hvsi_list_empty(&n[i]));
		hvsi_list_append(&list, &n[i]);
		cr_assert_not(hvsi_list_empty(&n[i]));
	}
	cr_assert_eq(list.next, &n[0]);
	cr_assert_eq(list.prev, &n[2]);
	hvsi_list_remove(&n[1]);
	cr_assert(hvsi_list_empty(&n[1]));
	cr_assert_eq(n[0].next, &n[2]);
	cr_assert_eq(n[2].prev, &n[0]);
	hvsi_list_remove(&n[1]); /* again: nothing happens */
	hvsi_list_remove(&n[0]);
	hvsi_list_remove(&n[2]);
	cr_assert(hvsi_list_empty(&list));
}
