/* SPDX-License-Identifier: MIT */
/* The table of pairs with a guest whose program keeps pools as that of Linux does. */
#include "ic/kvp.h"
#include "support/ic.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/guestinfo.h>
#include <stdio.h>
#include <string.h>

#define PAIRS 8
#define TEXT 64

/* The guest's pools. */
static struct {
	char key[TEXT];
	char value[TEXT];
} pools[HVS_KVP_AUTO_INTERNAL + 1][PAIRS];
static unsigned counts[HVS_KVP_AUTO_INTERNAL + 1];
static bool fails; /* the program answers with errors */

static struct event_base *base;
static struct hvs_guestinfo *g;
static struct ic_machine *m;

/* ---- the guest's program ------------------------------------------------------------------- */

static void take_text(const uint8_t *field, char text[TEXT])
{
	size_t i = 0;

	for (; i < TEXT - 1 && field[2 * i]; i++)
		text[i] = (char)field[2 * i];
	text[i] = '\0';
}

static uint32_t put_text(uint8_t *field, const char *text)
{
	const size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		field[2 * i] = (uint8_t)text[i];
	return (uint32_t)len * 2 + 2;
}

static unsigned find(unsigned pool, const char *key)
{
	unsigned i = 0;

	while (i < counts[pool] && strcmp(pools[pool][i].key, key) != 0)
		i++;
	return i;
}

static void guest_sets(unsigned pool, const char *key, const char *value)
{
	const unsigned i = find(pool, key);

	cr_assert_lt(i, PAIRS);
	snprintf(pools[pool][i].key, TEXT, "%s", key);
	snprintf(pools[pool][i].value, TEXT, "%s", value);
	counts[pool] += i == counts[pool];
}

static const char *guest_has(unsigned pool, const char *key)
{
	const unsigned i = find(pool, key);

	return i < counts[pool] ? pools[pool][i].value : "(none)";
}

static uint32_t set_pair(const struct hvsi_kvp_pair_message *p)
{
	char key[TEXT];
	char value[TEXT];

	take_text(p->u.value.key, key);
	take_text(p->u.value.value, value);
	guest_sets(p->pool, key, value);
	return HVS_IC_S_OK;
}

static uint32_t delete_pair(const struct hvsi_kvp_pair_message *p)
{
	char key[TEXT];
	unsigned i;

	take_text(p->u.delete.key, key);
	i = find(p->pool, key);
	if (i == counts[p->pool])
		return HVS_IC_E_NO_MORE_ITEMS;
	counts[p->pool]--;
	pools[p->pool][i] = pools[p->pool][counts[p->pool]];
	return HVS_IC_S_OK;
}

static uint32_t enumerate(struct hvsi_kvp_pair_message *p)
{
	const uint32_t i = hvsi_get32(p->u.item.index);
	struct hvsi_kvp_value *v = &p->u.item.value;

	if (i >= counts[p->pool])
		return HVS_IC_E_NO_MORE_ITEMS;
	v->type = hvsi_le32(HVSI_KVP_STRING);
	v->key_bytes = hvsi_le32(put_text(v->key, pools[p->pool][i].key));
	v->value_bytes = hvsi_le32(put_text(v->value, pools[p->pool][i].value));
	return HVS_IC_S_OK;
}

static uint32_t serve(struct hvsi_kvp_pair_message *p)
{
	cr_assert_leq(p->pool, HVS_KVP_AUTO_EXTERNAL);
	if (fails)
		return HVS_IC_E_FAIL;
	switch (p->op) {
	case HVSI_KVP_SET:
		return set_pair(p);
	case HVSI_KVP_DELETE:
		return delete_pair(p);
	default:
		cr_assert_eq(p->op, HVSI_KVP_ENUMERATE);
		return enumerate(p);
	}
}

/* All that the host asks, until it asks nothing more. */
static void run(void)
{
	struct hvs_guest_ic_message msg = {0};

	ic_run(m);
	while (hvs_guest_ic_recv(m->ch, &msg) == 1) {
		struct hvsi_kvp_pair_message p;
		uint32_t status;

		cr_assert_eq(msg.type, HVS_IC_KVP);
		cr_assert_eq(msg.len, sizeof(p));
		memcpy(&p, msg.body, sizeof(p));
		status = serve(&p);
		ic_answer(m, &msg, status, &p, sizeof(p));
	}
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
	guest_sets(HVS_KVP_AUTO, "OSName", "Debian");
	guest_sets(HVS_KVP_AUTO, "OSVersion", "6.1");
	guest_sets(HVS_KVP_GUEST, "app", "7");
	start();
	run();
	cr_assert_str_eq(guest_has(HVS_KVP_EXTERNAL, "color"), "blue");
	cr_assert_str_eq(guest_has(HVS_KVP_AUTO_EXTERNAL, "HostName"), "h");
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
	cr_assert_str_eq(guest_has(HVS_KVP_EXTERNAL, "a"), "1");
	done = (struct ic_done){0};
	cr_assert_eq(hvs_guestinfo_remove(g, HVS_KVP_EXTERNAL, "a", ic_note_done, &done), 0);
	run();
	cr_assert_eq(done.count, 1);
	cr_assert_eq(done.status, 0);
	cr_assert_str_eq(guest_has(HVS_KVP_EXTERNAL, "a"), "(none)");
}

Test(guestinfo_guest, a_program_that_fails_keeps_what_is_known)
{
	struct ic_done done = {0};
	bool complete = true;

	guest_sets(HVS_KVP_AUTO, "OSName", "Debian");
	start();
	run();
	fails = true;
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
	counts[HVS_KVP_EXTERNAL] = 0;
	come();
	run();
	cr_assert_str_eq(guest_has(HVS_KVP_EXTERNAL, "a"), "1");
	cr_assert_str_eq(guest_has(HVS_KVP_EXTERNAL, "b"), "2");
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
	cr_assert_str_eq(guest_has(HVS_KVP_EXTERNAL, "a"), "1");
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
