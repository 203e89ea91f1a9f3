/* SPDX-License-Identifier: MIT */
/*
 * The table of pairs again and again, each time with another allocation failing: whoever waits is told
 * once, what was said to be kept is kept, and the file stays sound.
 */
#include "support/badmem.h"
#include "support/fakekvp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/guestinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct event_base *base;
static char folder[] = "/tmp/hvs-oom-XXXXXX";
static char path[sizeof(folder) + 8];
static const struct hvs_guid uuid = {{1, 2, 3}};
static unsigned asked;
static unsigned told;

static int open_table(struct hvs_guestinfo **g)
{
	const struct hvs_guestinfo_config cfg = {HVS_GUESTINFO_CONFIG_INIT, .refresh_ms = 1000000,
						 .base = base, .path = path, .uuid = uuid};

	return hvs_guestinfo_create(&cfg, NULL, NULL, NULL, 0, g);
}

static void on_done(void *arg, int status, uint32_t guest_status)
{
	(void)arg;
	(void)guest_status;
	cr_assert(status == 0 || status == -ENOMEM || status == -ENOTCONN, "%d", status);
	told++;
}

static void settle(void)
{
	fake_answer_all();
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void took(int err)
{
	cr_assert(err == 0 || err == -ENOMEM, "%d", err);
	asked += err == 0;
}

/* Was the pair there when it ended? */
static bool story(struct hvs_guestinfo *g)
{
	int err;

	fake.ready = true;
	hvs_guestinfo_set_ic(g, FAKE_IC);
	err = hvs_guestinfo_set(g, HVS_KVP_EXTERNAL, "color", "blue", on_done, NULL);
	took(err);
	if (!err)
		took(hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, "color", on_done, NULL));
	settle();
	err = hvs_guestinfo_set(g, HVS_KVP_AUTO_EXTERNAL, "shape", "round", on_done, NULL);
	took(err);
	took(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, on_done, NULL));
	took(hvs_guestinfo_refresh(g, HVS_KVP_AUTO, on_done, NULL));
	settle();
	fake_leave();
	hvs_guestinfo_ic_event(g, HVS_IC_EVENT_STATUS);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return !err;
}

Test(oom, guestinfo, .timeout = 240)
{
	static const struct fake_pair pairs[] = {
		{"OSName", "Debian"}, {"OSVersion", "13"}, {NULL, NULL}};
	bool failed = true;

	base = event_base_new();
	cr_assert(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/f", folder);
	fake.pairs[HVS_KVP_AUTO] = pairs;
	for (unsigned n = 0; failed; n++) {
		struct hvs_guestinfo *g = NULL;
		bool kept = false;
		int err;

		asked = 0;
		told = 0;
		badmem_arm(n);
		err = open_table(&g);
		if (!err)
			kept = story(g);
		failed = badmem_disarm();
		cr_assert(!err || (err == -ENOMEM && failed), "%d", err);
		if (!err)
			hvs_guestinfo_destroy(g);
		fake_leave();
		cr_assert_eq(told, asked);
		cr_assert_eq(open_table(&g), 0, "the file is sound");
		if (kept)
			cr_assert_str_eq(hvs_guestinfo_get(g, HVS_KVP_AUTO_EXTERNAL, "shape"),
					 "round");
		hvs_guestinfo_destroy(g);
		cr_assert_eq(unlink(path), 0);
	}
	event_base_free(base);
	cr_assert_eq(rmdir(folder), 0, "a file is left over");
}
