/* SPDX-License-Identifier: MIT */
/* The table of pairs with a guest whose program keeps pools as that of Linux does. */
#include "support/kvpguest.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/guestinfo.h>
#include <string.h>

static struct kvp_guest guest;
static struct event_base *base;
static struct hvs_guestinfo *g;
static struct ic_machine *m;

static void run(void)
{
	kvp_guest_run(&guest, m);
	event_base_loop(base, EVLOOP_NONBLOCK);
}

/* ---- the host ------------------------------------------------------------------------------ */

static void on_event(void *arg, enum hvs_ic_event event)
{
	hvs_guestinfo_ic_event(arg, event);
}

static void setup(void)
{
	const struct hvs_guestinfo_config cfg = {HVS_GUESTINFO_CONFIG_INIT,
						 .base = (base = event_base_new()),
						 .refresh_ms = 1000000};
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_KVP}};

	m = ic_up(&opt);
	cr_assert_eq(hvs_guestinfo_create(&cfg, NULL, NULL, NULL, 0, &g), 0);
	m->on_event = on_event;
	m->on_event_arg = g;
	hvs_guestinfo_set_ic(g, m->ic);
}

static void come(void)
{
	ic_open(m);
	ic_negotiate(m, IC_VERSION(4, 0));
}

static void start(void)
{
	ic_connect(m);
	come();
}

static void teardown(void)
{
	hvs_guestinfo_destroy(g);
	m->on_event = NULL;
	ic_down(m);
	event_base_free(base);
}

TestSuite(guestinfo_guest, .init = setup, .fini = teardown, .timeout = 60);

static int set(const char *key, const char *value, struct ic_done *done)
{
	return hvs_guestinfo_set(g, HVS_KVP_EXTERNAL, key, value, done ? ic_note_done : NULL, done);
}

static const char *known(const char *key)
{
	return hvs_guestinfo_get(g, HVS_KVP_AUTO, key);
}

static void refresh(struct ic_done *done)
{
	*done = (struct ic_done){0};
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, ic_note_done, done), 0);
	run();
	cr_assert_eq(done->count, 1);
}

/* ---- stories ------------------------------------------------------------------------------- */

Test(guestinfo_guest, each_knows_what_the_other_says_soon_after_the_guest_has_come)
{
	cr_assert_eq(set("color", "blue", NULL), 0);
	cr_assert_eq(hvs_guestinfo_set(g, HVS_KVP_AUTO_EXTERNAL, "HostName", "h", NULL, NULL), 0);
	kvp_guest_sets(&guest, HVS_KVP_AUTO, "OSName", "Debian");
	kvp_guest_sets(&guest, HVS_KVP_AUTO, "OSVersion", "6.1");
	kvp_guest_sets(&guest, HVS_KVP_GUEST, "app", "7");
	start();
	run();
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "color"), "blue");
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_AUTO_EXTERNAL, "HostName"), "h");
	cr_assert_str_eq(known("OSName"), "Debian");
	cr_assert_str_eq(known("OSVersion"), "6.1");
	cr_assert_str_eq(hvs_guestinfo_get(g, HVS_KVP_GUEST, "app"), "7");
}

Test(guestinfo_guest, a_pair_is_set_and_removed)
{
	struct ic_done done = {0};

	start();
	run();
	cr_assert_eq(set("a", "1", &done), 0);
	run();
	cr_assert_eq(done.count, 1);
	cr_assert_eq(done.status, 0);
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "a"), "1");
	done = (struct ic_done){0};
	cr_assert_eq(hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, "a", ic_note_done, &done), 0);
	run();
	cr_assert_eq(done.count, 1);
	cr_assert_eq(done.status, 0);
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "a"), "(none)");
}

Test(guestinfo_guest, a_program_that_fails_keeps_what_is_known)
{
	struct ic_done done = {0};
	bool complete = true;

	kvp_guest_sets(&guest, HVS_KVP_AUTO, "OSName", "Debian");
	start();
	run();
	guest.fails = true;
	refresh(&done);
	cr_assert_eq(done.status, -EREMOTEIO);
	cr_assert_eq(done.guest_status, HVS_IC_E_FAIL);
	cr_assert_str_eq(known("OSName"), "Debian");
	(void)hvs_guestinfo_age(g, HVS_KVP_AUTO, &complete);
	cr_assert(!complete);
	done = (struct ic_done){0};
	cr_assert_eq(set("a", "1", &done), 0);
	run();
	cr_assert_eq(done.status, -EREMOTEIO);
}

Test(guestinfo_guest, a_guest_that_opens_the_channel_anew_is_told_all_again)
{
	struct ic_done done = {0};

	cr_assert_eq(set("a", "1", NULL), 0);
	start();
	run();
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	cr_assert_eq(set("b", "2", &done), 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(done.status, -ENOTCONN);
	guest.counts[HVS_KVP_EXTERNAL] = 0;
	come();
	run();
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "a"), "1");
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "b"), "2");
}

Test(guestinfo_guest, a_channel_that_closes_in_the_middle_ends_what_waits)
{
	struct ic_done set_done = {0};
	struct ic_done look_done = {0};

	start();
	run();
	cr_assert_eq(set("a", "1", &set_done), 0);
	cr_assert_eq(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, ic_note_done, &look_done), 0);
	ic_run(m);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(set_done.count, 1);
	cr_assert_eq(set_done.status, -ENOTCONN);
	cr_assert_eq(look_done.count, 1);
	cr_assert_eq(look_done.status, -ENOTCONN);
	come();
	run();
	cr_assert_str_eq(kvp_guest_has(&guest, HVS_KVP_EXTERNAL, "a"), "1");
}

Test(guestinfo_guest, a_guest_that_never_answers_blocks_nobody)
{
	struct ic_done done = {0};

	start();
	cr_assert_eq(set("a", "1", &done), 0);
	ic_advance(m, 200000);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert_eq(done.count, 1);
	cr_assert_eq(done.status, -ETIMEDOUT);
	cr_assert_null(known("OSName"));
}

Test(guestinfo_guest, the_table_ends_before_the_service_does)
{
	struct ic_done done = {0};

	start();
	cr_assert_eq(set("a", "1", &done), 0);
	ic_run(m);
	hvs_guestinfo_destroy(g);
	g = NULL;
	m->on_event = NULL;
	cr_assert_eq(done.count, 1);
	cr_assert_eq(done.status, -ENOTCONN);
	run();
}
