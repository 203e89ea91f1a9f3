/* SPDX-License-Identifier: MIT */
/* The table of pairs over a KVP service that the test plays: what is asked of it when, and what is
 * known then. */
#include "support/fakekvp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/guestinfo.h>
#include <hvstack/host/uuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_DONE 1
#define VISITED 100

static struct event_base *base;
static struct hvs_guestinfo *g;
static char folder[] = "/tmp/guestinfo.XXXXXX";
static char path[64];
static const struct hvs_guid uuid = {{1, 2, 3}};
static char changes[1000]; /* "pool:key=value ", as they were told; "|" ends a look */

static void on_changed(void *arg, enum hvs_kvp_pool pool, const char *key, const char *value)
{
	const size_t n = strlen(changes);

	(void)arg;
	snprintf(changes + n, sizeof(changes) - n, "%d:%s%s%s ", (int)pool, key, value ? "=" : "",
		 value ? value : "");
}

static void on_changes_end(void *arg, enum hvs_kvp_pool pool)
{
	(void)arg;
	(void)pool;
	memcpy(changes + strlen(changes), "|", 2);
}

static int open_table(uint32_t refresh_ms, char *why, size_t why_len)
{
	const struct hvs_guestinfo_config cfg = {HVS_GUESTINFO_CONFIG_INIT,
						 .refresh_ms = refresh_ms, .base = base,
						 .path = path, .uuid = uuid};
	const struct hvs_guestinfo_ops ops = {HVS_GUESTINFO_OPS_INIT, .changed = on_changed,
					      .changes_end = on_changes_end};

	return hvs_guestinfo_create(&cfg, &ops, NULL, why, why_len, &g);
}

static void setup(void)
{
	base = event_base_new();
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
	/* No timer comes in the way of those that don't wait for one. */
	cr_assert_eq(open_table(1000000, NULL, 0), 0);
	hvs_guestinfo_set_ic(g, FAKE_IC);
}

static void teardown(void)
{
	hvs_guestinfo_destroy(g);
	fake_leave();
	event_base_free(base);
	unlink(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(guestinfo, .init = setup, .fini = teardown, .timeout = 60);

static void come(void)
{
	fake.ready = true;
	hvs_guestinfo_ic_event(g, HVS_IC_EVENT_STATUS);
}

static void go(void)
{
	fake_leave();
	hvs_guestinfo_ic_event(g, HVS_IC_EVENT_STATUS);
}

static void loop(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

/* All that waits is answered, and all are told. */
static void settle(void)
{
	fake_answer_all();
	loop();
}

static void on_done(void *arg, int status, uint32_t guest_status)
{
	int *result = arg;

	(void)guest_status;
	cr_assert_eq(*result, NOT_DONE, "done once");
	*result = status;
}

static int set(const char *key, const char *value, int *result)
{
	if (result)
		*result = NOT_DONE;
	return hvs_guestinfo_set(g, HVS_KVP_EXTERNAL, key, value, result ? on_done : NULL, result);
}

static int forget(const char *key, int *result)
{
	*result = NOT_DONE;
	return hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, key, on_done, result);
}

static const char *get(const char *key)
{
	return hvs_guestinfo_get(g, HVS_KVP_EXTERNAL, key);
}

static void reopen(void)
{
	char why[200];

	hvs_guestinfo_destroy(g);
	cr_assert_eq(open_table(1000000, why, sizeof(why)), 0, "%s", why);
	hvs_guestinfo_set_ic(g, FAKE_IC);
}

static void asked(enum fake_kind kind, enum hvs_kvp_pool pool, const char *key, const char *value)
{
	struct fake_request *r = fake_find(kind, pool);

	cr_assert_not_null(r, "asked for %s", key);
	cr_assert_str_eq(r->key, key);
	cr_assert_str_eq(r->value, value);
	fake_answer(r, 0, 0);
}

/* ---- to the guest -------------------------------------------------------------------------- */

Test(guestinfo, pairs_are_told_one_after_the_other_facts_of_the_host_first)
{
	cr_assert_eq(set("b", "2", NULL), 0);
	cr_assert_eq(set("a", "1", NULL), 0);
	cr_assert_eq(hvs_guestinfo_set(g, HVS_KVP_AUTO_EXTERNAL, "HostName", "h", NULL, NULL), 0);
	come();
	cr_assert_null(fake_find(FAKE_SET, HVS_KVP_EXTERNAL));
	asked(FAKE_SET, HVS_KVP_AUTO_EXTERNAL, "HostName", "h");
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "b", "2");
	cr_assert_null(fake_find(FAKE_SET, HVS_KVP_EXTERNAL));
}

Test(guestinfo, all_is_told_again_when_the_guest_has_come_back)
{
	cr_assert_eq(set("a", "1", NULL), 0);
	come();
	settle();
	go();
	come();
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
}

Test(guestinfo, done_says_that_the_guest_has_it)
{
	int result;

	come();
	settle();
	cr_assert_eq(set("a", "1", &result), 0);
	loop();
	cr_assert_eq(result, NOT_DONE);
	settle();
	cr_assert_eq(result, 0);
}

Test(guestinfo, done_says_that_the_guest_is_not_there_but_never_at_once)
{
	int result;

	cr_assert_eq(set("a", "1", &result), 0);
	cr_assert_eq(result, NOT_DONE);
	loop();
	cr_assert_eq(result, -ENOTCONN);
	cr_assert_str_eq(get("a"), "1");
	come();
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
}

Test(guestinfo, a_guest_that_goes_while_it_is_told_is_told_again)
{
	int result;

	come();
	settle();
	cr_assert_eq(set("a", "1", &result), 0);
	go();
	loop();
	cr_assert_eq(result, -ENOTCONN);
	come();
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
}

Test(guestinfo, a_pair_that_changes_while_it_is_told_is_told_again)
{
	int first;
	int second;

	come();
	settle();
	cr_assert_eq(set("a", "1", &first), 0);
	cr_assert_eq(set("a", "2", &second), 0);
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
	loop();
	cr_assert_eq(first, NOT_DONE, "what it waits for is that the guest has what is there now");
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "2");
	loop();
	cr_assert_eq(first, 0);
	cr_assert_eq(second, 0);
	cr_assert_null(fake_find(FAKE_SET, HVS_KVP_EXTERNAL));
}

Test(guestinfo, a_failure_keeps_no_other_pair_from_being_told)
{
	int a;
	int b;

	come();
	settle();
	cr_assert_eq(set("a", "1", &a), 0);
	cr_assert_eq(set("b", "2", &b), 0);
	fake_answer(fake_find(FAKE_SET, HVS_KVP_EXTERNAL), -EREMOTEIO, HVS_IC_E_FAIL);
	settle();
	cr_assert_eq(a, -EREMOTEIO);
	cr_assert_eq(b, 0);
}

Test(guestinfo, a_service_that_takes_no_requests_is_no_endless_loop)
{
	int result;

	come();
	settle();
	fake.refuse = -ENOMEM;
	cr_assert_eq(set("a", "1", &result), 0);
	loop();
	cr_assert_eq(result, -ENOMEM);
	fake.refuse = 0;
	cr_assert_eq(set("a", "1", &result), 0);
	settle();
	cr_assert_eq(result, 0);
}

Test(guestinfo, what_has_failed_is_told_again_later)
{
	hvs_guestinfo_destroy(g);
	cr_assert_eq(open_table(1, NULL, 0), 0);
	hvs_guestinfo_set_ic(g, FAKE_IC);
	come();
	settle();
	cr_assert_eq(set("a", "1", NULL), 0);
	cr_assert_eq(set("b", "2", NULL), 0);
	fake_answer(fake_find(FAKE_SET, HVS_KVP_EXTERNAL), -ETIMEDOUT, 0);
	cr_assert_null(fake_find(FAKE_SET, HVS_KVP_EXTERNAL), "the next one would only wait, too");
	while (!fake_find(FAKE_SET, HVS_KVP_EXTERNAL))
		event_base_loop(base, EVLOOP_ONCE);
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "b", "2");
	while (!fake_find(FAKE_SET, HVS_KVP_EXTERNAL))
		event_base_loop(base, EVLOOP_ONCE);
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
}

Test(guestinfo, wrong_arguments_are_refused)
{
	char key[HVS_KVP_KEY_MAX + 2];
	char value[HVS_KVP_VALUE_MAX + 2];

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	cr_assert_eq(set("", "1", NULL), -EINVAL);
	cr_assert_eq(set(NULL, "1", NULL), -EINVAL);
	cr_assert_eq(set("a", NULL, NULL), -EINVAL);
	cr_assert_eq(set("\xff", "1", NULL), -EINVAL);
	cr_assert_eq(set("a", "\xff", NULL), -EINVAL);
	cr_assert_eq(set(key, "1", NULL), -EINVAL);
	cr_assert_eq(set("a", value, NULL), -EINVAL);
	cr_assert_eq(set(key + 1, value + 1, NULL), 0);
	cr_assert_eq(hvs_guestinfo_set(g, HVS_KVP_GUEST, "a", "1", NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_guestinfo_set(NULL, HVS_KVP_EXTERNAL, "a", "1", NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_guestinfo_remove(g, HVS_KVP_AUTO, "a", NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, "none", NULL, NULL), -ENOENT);
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_EXTERNAL, NULL, NULL), -EINVAL);
	cr_assert_null(hvs_guestinfo_get(g, HVS_KVP_AUTO_INTERNAL, "a"));
	cr_assert_null(hvs_guestinfo_get(g, (enum hvs_kvp_pool)77, "a"));
}

Test(guestinfo, a_pool_has_only_so_many_pairs)
{
	char key[16];

	/* Without a file, which would be written as often. */
	hvs_guestinfo_destroy(g);
	path[0] = '\0';
	const struct hvs_guestinfo_config cfg = {HVS_GUESTINFO_CONFIG_INIT, .base = base};

	cr_assert_eq(hvs_guestinfo_create(&cfg, NULL, NULL, NULL, 0, &g), 0);
	for (unsigned i = 0; i < HVS_GUESTINFO_MAX_ITEMS; i++) {
		snprintf(key, sizeof(key), "%u", i);
		cr_assert_eq(set(key, "", NULL), 0);
	}
	cr_assert_eq(set("one more", "", NULL), -ENOSPC);
	cr_assert_eq(set("0", "new", NULL), 0);
	cr_assert_eq(hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, "0", NULL, NULL), 0);
	cr_assert_eq(set("one more", "", NULL), 0);
	snprintf(path, sizeof(path), "%s/file", folder);
}

/* ---- removal ------------------------------------------------------------------------------- */

Test(guestinfo, a_pair_that_is_removed_is_gone_at_once_and_the_guest_is_told)
{
	int result;

	cr_assert_eq(set("a", "1", NULL), 0);
	come();
	settle();
	cr_assert_eq(forget("a", &result), 0);
	cr_assert_null(get("a"));
	asked(FAKE_DELETE, HVS_KVP_EXTERNAL, "a", "");
	loop();
	cr_assert_eq(result, 0);
	go();
	come();
	cr_assert_null(fake_find(FAKE_DELETE, HVS_KVP_EXTERNAL), "once is enough");
}

Test(guestinfo, a_removal_is_not_forgotten_before_the_guest_has_heard_of_it)
{
	int result;

	cr_assert_eq(set("a", "1", NULL), 0);
	cr_assert_eq(forget("a", &result), 0);
	reopen();
	cr_assert_eq(result, -ENOTCONN);
	cr_assert_null(get("a"));
	cr_assert_eq(hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, "a", NULL, NULL), -ENOENT);
	come();
	asked(FAKE_DELETE, HVS_KVP_EXTERNAL, "a", "");
	go();
	reopen();
	come();
	cr_assert_null(fake_find(FAKE_DELETE, HVS_KVP_EXTERNAL));
}

Test(guestinfo, a_guest_that_has_no_such_pair_has_removed_it)
{
	int result;

	cr_assert_eq(set("a", "1", NULL), 0);
	come();
	settle();
	cr_assert_eq(forget("a", &result), 0);
	fake_answer(fake_find(FAKE_DELETE, HVS_KVP_EXTERNAL), -EREMOTEIO, HVS_IC_E_NO_MORE_ITEMS);
	loop();
	cr_assert_eq(result, 0);
}

Test(guestinfo, a_pair_that_was_removed_can_be_set_anew)
{
	int removed;
	int result;

	cr_assert_eq(set("a", "1", NULL), 0);
	come();
	settle();
	cr_assert_eq(forget("a", &removed), 0);
	cr_assert_eq(set("a", "2", &result), 0);
	settle();
	cr_assert_eq(removed, 0);
	cr_assert_eq(result, 0);
	cr_assert_str_eq(get("a"), "2");
	reopen();
	cr_assert_str_eq(get("a"), "2");
}

/* ---- the file ------------------------------------------------------------------------------ */

Test(guestinfo, what_was_set_is_there_after_a_restart)
{
	cr_assert_eq(set("a", "1", NULL), 0);
	reopen();
	cr_assert_str_eq(get("a"), "1");
	come();
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
}

Test(guestinfo, nothing_changes_when_the_file_cannot_be_written)
{
	char other[80];

	cr_assert_eq(set("a", "1", NULL), 0);
	snprintf(other, sizeof(other), "%s.other", folder);
	cr_assert_eq(rename(folder, other), 0);
	cr_assert_eq(set("a", "2", NULL), -ENOENT);
	cr_assert_eq(set("b", "2", NULL), -ENOENT);
	cr_assert_eq(hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, "a", NULL, NULL), -ENOENT);
	cr_assert_eq(rename(other, folder), 0);
	cr_assert_str_eq(get("a"), "1");
	cr_assert_null(get("b"));
	cr_assert_eq(set("a", "3", NULL), 0);
}

Test(guestinfo, a_file_that_is_not_ours_stays_as_it_is)
{
	const struct hvs_guestinfo_config other = {HVS_GUESTINFO_CONFIG_INIT, .base = base,
						   .path = path, .uuid = {{9}}};
	struct hvs_guestinfo *second = NULL;
	char why[200];

	cr_assert_eq(set("a", "1", NULL), 0);
	cr_assert_eq(hvs_guestinfo_create(&other, NULL, NULL, why, sizeof(why), &second), -EPERM);
	cr_assert_str_eq(why, "of another machine");
	reopen();
	cr_assert_str_eq(get("a"), "1");
}

Test(guestinfo, a_folder_that_is_not_there_is_found_out_at_once)
{
	const struct hvs_guestinfo_config cfg = {HVS_GUESTINFO_CONFIG_INIT, .base = base,
						 .path = "/nonexistent/file"};
	struct hvs_guestinfo *second = NULL;
	char why[200];

	cr_assert_eq(hvs_guestinfo_create(&cfg, NULL, NULL, why, sizeof(why), &second), -ENOENT);
	cr_assert_not_null(strstr(why, "can't be written"));
	cr_assert_eq(hvs_guestinfo_create(NULL, NULL, NULL, why, sizeof(why), &second), -EINVAL);
	cr_assert_eq(hvs_guestinfo_create(&cfg, NULL, NULL, NULL, 0, NULL), -EINVAL);
}

/* ---- from the guest ------------------------------------------------------------------------ */

static const struct fake_pair debian[] = {{"OSName", "Debian"}, {"OSVersion", "6.1"}, {NULL, NULL}};
static const struct fake_pair fedora[] = {{"Extra", "x"}, {"OSName", "Fedora"}, {NULL, NULL}};

static const char *guests(const char *key)
{
	return hvs_guestinfo_get(g, HVS_KVP_AUTO, key);
}

static void fail_look(int status)
{
	fake_answer(fake_find(FAKE_ENUMERATE, HVS_KVP_AUTO), status, HVS_IC_E_FAIL);
}

Test(guestinfo, the_guests_pools_are_looked_at_as_soon_as_it_is_there)
{
	bool complete = true;

	cr_assert_eq(hvs_guestinfo_age(g, HVS_KVP_AUTO, &complete), UINT64_MAX);
	cr_assert(!complete);
	fake.pairs[HVS_KVP_AUTO] = debian;
	come();
	cr_assert_not_null(fake_find(FAKE_ENUMERATE, HVS_KVP_GUEST));
	settle();
	cr_assert_str_eq(guests("OSName"), "Debian");
	cr_assert_neq(hvs_guestinfo_age(g, HVS_KVP_AUTO, &complete), UINT64_MAX);
	cr_assert(complete);
	cr_assert_eq(hvs_guestinfo_age(g, HVS_KVP_EXTERNAL, &complete), 0);
	cr_assert(complete);
	cr_assert_eq(hvs_guestinfo_age(g, HVS_KVP_AUTO_INTERNAL, &complete), UINT64_MAX);
	cr_assert(!complete);
	cr_assert_str_eq(changes, "2:OSName=Debian 2:OSVersion=6.1 |");
}

Test(guestinfo, only_what_is_different_is_told)
{
	int result = NOT_DONE;

	fake.pairs[HVS_KVP_AUTO] = debian;
	come();
	settle();
	changes[0] = '\0';
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, on_done, &result), 0);
	settle();
	cr_assert_str_eq(changes, "", "nothing is");
	cr_assert_eq(result, 0);
	fake.pairs[HVS_KVP_AUTO] = fedora;
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, NULL, NULL), 0);
	settle();
	cr_assert_str_eq(changes, "2:Extra=x 2:OSName=Fedora 2:OSVersion |");
	cr_assert_null(guests("OSVersion"));
}

Test(guestinfo, a_look_that_fails_leaves_what_was_known)
{
	int result = NOT_DONE;
	bool complete;

	fake.pairs[HVS_KVP_AUTO] = debian;
	come();
	settle();
	changes[0] = '\0';
	fake.pairs[HVS_KVP_AUTO] = fedora;
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, on_done, &result), 0);
	fail_look(-EREMOTEIO);
	loop();
	cr_assert_eq(result, -EREMOTEIO);
	cr_assert_str_eq(guests("OSName"), "Debian");
	cr_assert_str_eq(changes, "");
	(void)hvs_guestinfo_age(g, HVS_KVP_AUTO, &complete);
	cr_assert(!complete);
}

Test(guestinfo, what_was_known_stays_when_the_guest_goes)
{
	fake.pairs[HVS_KVP_AUTO] = debian;
	come();
	settle();
	go();
	cr_assert_str_eq(guests("OSName"), "Debian");
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, NULL, NULL), -ENOTCONN);
}

Test(guestinfo, who_asks_during_a_look_gets_the_one_after_it)
{
	int result = NOT_DONE;

	fake.pairs[HVS_KVP_AUTO] = debian;
	come();
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, on_done, &result), 0);
	fail_look(0);
	loop();
	cr_assert_eq(result, NOT_DONE);
	fake.pairs[HVS_KVP_AUTO] = fedora;
	settle();
	cr_assert_eq(result, 0);
	cr_assert_str_eq(guests("OSName"), "Fedora");
}

Test(guestinfo, who_asks_during_a_look_hears_that_the_guest_has_gone)
{
	int result = NOT_DONE;

	come();
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, on_done, &result), 0);
	go();
	loop();
	cr_assert_eq(result, -ENOTCONN);
}

Test(guestinfo, a_pool_with_more_pairs_than_are_kept_is_not_taken_over)
{
	static struct fake_pair many[HVS_GUESTINFO_MAX_ITEMS + 2];
	static char keys[HVS_GUESTINFO_MAX_ITEMS + 1][8];
	bool complete;

	for (unsigned i = 0; i <= HVS_GUESTINFO_MAX_ITEMS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%u", i);
		many[i] = (struct fake_pair){keys[i], ""};
	}
	fake.pairs[HVS_KVP_AUTO] = many;
	come();
	settle();
	(void)hvs_guestinfo_age(g, HVS_KVP_AUTO, &complete);
	cr_assert(!complete);
	cr_assert_null(guests("0"));
}

Test(guestinfo, the_guests_pools_are_looked_at_again_and_again)
{
	hvs_guestinfo_destroy(g);
	cr_assert_eq(open_table(1, NULL, 0), 0);
	hvs_guestinfo_set_ic(g, FAKE_IC);
	come();
	settle();
	fake.pairs[HVS_KVP_GUEST] = fedora;
	while (!fake_find(FAKE_ENUMERATE, HVS_KVP_GUEST))
		event_base_loop(base, EVLOOP_ONCE);
	settle();
	cr_assert_str_eq(hvs_guestinfo_get(g, HVS_KVP_GUEST, "Extra"), "x");
}

static void collect(void *arg, const char *key, const char *value)
{
	char *text = arg;

	snprintf(text + strlen(text), VISITED - strlen(text), "%s=%s ", key, value);
}

Test(guestinfo, visiting_shows_what_is_there_by_key)
{
	char text[VISITED] = "";
	int result;

	cr_assert_eq(set("b", "2", NULL), 0);
	cr_assert_eq(set("c", "3", NULL), 0);
	cr_assert_eq(set("a", "1", NULL), 0);
	cr_assert_eq(forget("c", &result), 0);
	hvs_guestinfo_visit(g, HVS_KVP_EXTERNAL, collect, text);
	hvs_guestinfo_visit(g, HVS_KVP_AUTO_INTERNAL, collect, text);
	cr_assert_str_eq(text, "a=1 b=2 ");
	loop();
}

/* ---- the end ------------------------------------------------------------------------------- */

Test(guestinfo, answers_that_come_after_the_end_concern_nobody)
{
	int result;

	come();
	cr_assert_eq(set("a", "1", &result), 0);
	hvs_guestinfo_destroy(g);
	g = NULL;
	cr_assert_eq(result, -ENOTCONN);
	fake_leave();
}

Test(guestinfo, another_service_is_told_all_and_the_former_is_not_heard)
{
	struct fake_request late;
	int result;

	fake.pairs[HVS_KVP_AUTO] = debian;
	cr_assert_eq(set("a", "1", NULL), 0);
	come();
	settle();
	cr_assert_eq(set("b", "2", &result), 0);
	late = *fake_find(FAKE_SET, HVS_KVP_EXTERNAL);
	fake.count = 0;
	hvs_guestinfo_set_ic(g, NULL);
	loop();
	cr_assert_eq(result, -ENOTCONN);
	late.done(late.arg, 0, 0);
	hvs_guestinfo_set_ic(g, FAKE_IC);
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "a", "1");
	asked(FAKE_SET, HVS_KVP_EXTERNAL, "b", "2");
}
