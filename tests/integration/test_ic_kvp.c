/* SPDX-License-Identifier: MIT */
/* Key-value pair exchange, with guests as they are. */
#include "ic/kvp.h"
#include "support/ic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAIR_BYTES 2580u

static struct ic_done done;

/* What an enumeration or a get has found. */
static struct {
	char key[HVS_KVP_TEXT_MAX];
	char value[HVS_KVP_TEXT_MAX];
} items[16];
static unsigned item_count;

static void note_item(void *arg, const char *key, const char *value)
{
	(void)arg;
	cr_assert_eq(done.count, 0, "items come before done");
	if (item_count < 16) {
		strcpy(items[item_count].key, key);
		strcpy(items[item_count].value, value);
	}
	item_count++;
}

static struct ic_machine *up(uint32_t version)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_KVP}};

	done = (struct ic_done){0};
	item_count = 0;
	return ic_new(&opt, version);
}

static void expect_done(int status, uint32_t guest_status)
{
	cr_expect_eq(done.count, 1, "done ran %u times", done.count);
	cr_expect_eq(done.status, status, "status %d", done.status);
	cr_expect_eq(done.guest_status, guest_status, "guest's status %#x", done.guest_status);
	done = (struct ic_done){0};
	item_count = 0;
}

static struct hvs_guest_ic_message take(struct ic_machine *m, enum hvsi_kvp_op op, unsigned pool)
{
	const struct hvs_guest_ic_message msg = ic_take(m);

	cr_assert_eq(msg.type, HVS_IC_KVP);
	cr_assert_eq(msg.body[0], op);
	cr_assert_eq(msg.body[1], pool);
	cr_assert_eq(msg.len, op >= HVSI_KVP_GET_IP ? HVSI_KVP_IP_MESSAGE : PAIR_BYTES);
	return msg;
}

static void guest_does(struct ic_machine *m, enum hvsi_kvp_op op, unsigned pool, uint32_t status)
{
	const struct hvs_guest_ic_message msg = take(m, op, pool);

	ic_answer(m, &msg, status, msg.body, msg.len);
}

static void put(uint8_t *field, const char *text)
{
	for (; *text; text++, field += 2)
		*field = (uint8_t)*text;
}

static bool says(const uint8_t *field, const char *text)
{
	for (; *text; text++, field += 2)
		if (field[0] != (uint8_t)*text || field[1])
			return false;
	return !field[0] && !field[1];
}

static void fill(struct hvsi_kvp_value *v, uint32_t type, const char *key, const char *value)
{
	memset(v, 0, sizeof(*v));
	v->type = hvsi_le32(type);
	v->key_bytes = hvsi_le32((uint32_t)strlen(key) * 2 + 2);
	v->value_bytes = hvsi_le32((uint32_t)strlen(value) * 2 + 2);
	put(v->key, key);
	put(v->value, value);
}

/* The guest answers the next enumeration; key NULL: with this status. */
static void guest_has(struct ic_machine *m, unsigned pool, uint32_t index, uint32_t status,
		      const char *key, const char *value)
{
	const struct hvs_guest_ic_message msg = take(m, HVSI_KVP_ENUMERATE, pool);
	struct hvsi_kvp_pair_message answer;

	memcpy(&answer, msg.body, sizeof(answer));
	cr_assert_eq(hvsi_get32(answer.u.item.index), index);
	for (size_t i = 8; i < PAIR_BYTES; i++)
		cr_assert_eq(msg.body[i], 0, "guests rely on zeros");
	if (key)
		fill(&answer.u.item.value, HVSI_KVP_STRING, key, value);
	ic_answer(m, &msg, status, &answer, sizeof(answer));
}

/* ---- pairs: single ones ---------------------------------------------------------------------- */

Test(ic_kvp, rule_11_a_pair_is_set_as_strings)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct hvs_guest_ic_message msg;
	struct hvsi_kvp_pair_message p;

	cr_assert_eq(hvs_kvp_set(m->ic, HVS_KVP_EXTERNAL, "Key", "17", 0, NULL, NULL), 0);
	msg = take(m, HVSI_KVP_SET, 0);
	memcpy(&p, msg.body, sizeof(p));
	cr_assert_eq(hvsi_get32(p.u.value.type), HVSI_KVP_STRING);
	cr_assert_eq(hvsi_get32(p.u.value.key_bytes), 8);
	cr_assert_eq(hvsi_get32(p.u.value.value_bytes), 6);
	cr_assert(says(p.u.value.key, "Key"));
	cr_assert(says(p.u.value.value, "17"));
	ic_down(m);
}

Test(ic_kvp, sets_and_deletes_tell_what_the_guest_says)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));

	cr_assert_eq(hvs_kvp_set(m->ic, HVS_KVP_AUTO_EXTERNAL, "k", "", 0, ic_note_done, &done), 0);
	guest_does(m, HVSI_KVP_SET, 3, 0);
	expect_done(0, 0);
	cr_assert_eq(hvs_kvp_delete(m->ic, HVS_KVP_EXTERNAL, "k", 0, ic_note_done, &done), 0);
	guest_does(m, HVSI_KVP_DELETE, 0, HVS_IC_E_NO_MORE_ITEMS);
	expect_done(-EREMOTEIO, HVS_IC_E_NO_MORE_ITEMS);
	cr_assert_eq(hvs_kvp_set(m->ic, HVS_KVP_EXTERNAL, "k", "v", 0, ic_note_done, &done), 0);
	guest_does(m, HVSI_KVP_SET, 0, HVS_IC_E_FAIL);
	expect_done(-EREMOTEIO, HVS_IC_E_FAIL);
	ic_down(m);
}

Test(ic_kvp, a_get_brings_one_value_or_none)
{
	static const struct {
		uint32_t status;
		uint32_t type;
		const char *key;
		const char *value;
		int want;
		const char *got;
	} table[] = {
		{0, 1, "k", "v", 0, "v"},
		{0, 1, "k", "", 0, ""}, /* as Linux does, whatever it is */
		{HVS_IC_E_NO_MORE_ITEMS, 1, "k", "v", -EREMOTEIO, NULL},
		{0, 77, "k", "v", -EPROTO, NULL},
		{0, 1, "", "v", -EPROTO, NULL},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ic_machine *m = up(IC_VERSION(3, 0));
		struct hvs_guest_ic_message msg;
		struct hvsi_kvp_pair_message p;

		cr_assert_eq(
			hvs_kvp_get(m->ic, HVS_KVP_GUEST, "k", 0, note_item, ic_note_done, &done),
			0);
		msg = take(m, HVSI_KVP_GET, 1);
		memcpy(&p, msg.body, sizeof(p));
		cr_assert(says(p.u.value.key, "k"));
		fill(&p.u.value, table[i].type, table[i].key, table[i].value);
		ic_answer(m, &msg, table[i].status, &p, sizeof(p));
		cr_expect_eq(item_count, table[i].got ? 1 : 0, "row %zu", i);
		if (table[i].got)
			cr_expect_str_eq(items[0].value, table[i].got);
		expect_done(table[i].want, table[i].status);
		ic_down(m);
	}
}

/* ---- enumerations ---------------------------------------------------------------------------- */

static struct ic_machine *up_enumerating(uint32_t version)
{
	struct ic_machine *m = up(version);

	cr_assert_eq(hvs_kvp_enumerate(m->ic, HVS_KVP_AUTO, 0, note_item, ic_note_done, &done), 0);
	return m;
}

Test(ic_kvp, linux_says_what_it_is)
{
	struct ic_machine *m = up_enumerating(IC_VERSION(4, 0));

	guest_has(m, 2, 0, 0, "OSName", "Debian GNU/Linux");
	guest_has(m, 2, 1, 0, "OSVersion", "");
	guest_has(m, 2, 2, HVS_IC_E_NO_MORE_ITEMS, NULL, NULL);
	cr_assert_eq(item_count, 2);
	cr_assert_str_eq(items[0].key, "OSName");
	cr_assert_str_eq(items[0].value, "Debian GNU/Linux");
	cr_assert_str_eq(items[1].value, "");
	expect_done(0, 0);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_kvp, a_daemon_that_fails_does_not_look_like_the_end_of_a_pool)
{
	struct ic_machine *m = up_enumerating(IC_VERSION(4, 0));

	guest_has(m, 2, 0, 0, "OSName", "x");
	guest_has(m, 2, 1, HVS_IC_E_FAIL, NULL, NULL);
	cr_assert_eq(item_count, 1);
	expect_done(-EREMOTEIO, HVS_IC_E_FAIL);
	ic_down(m);
}

Test(ic_kvp, guests_that_never_say_no_are_stopped)
{
	struct ic_machine *m = up_enumerating(IC_VERSION(3, 0));

	/* NetBSD: no data. */
	guest_has(m, 2, 0, 0, NULL, NULL);
	cr_assert_eq(item_count, 0);
	expect_done(0, 0);
	/* Old FreeBSD: the last pair for ever. */
	cr_assert_eq(hvs_kvp_enumerate(m->ic, HVS_KVP_AUTO, 0, note_item, ic_note_done, &done), 0);
	guest_has(m, 2, 0, 0, "a", "1");
	guest_has(m, 2, 1, 0, "b", "2");
	guest_has(m, 2, 2, 0, "b", "2");
	cr_assert_eq(item_count, 2);
	expect_done(0, 0);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_kvp, an_enumeration_looks_at_1024_pairs_at_most)
{
	struct ic_machine *m = up_enumerating(IC_VERSION(5, 0));
	char key[16];

	for (uint32_t i = 0; i < HVS_KVP_MAX_ITEMS; i++) {
		cr_assert_eq(done.count, 0);
		(void)snprintf(key, sizeof(key), "k%u", i);
		guest_has(m, 2, i, 0, key, "v");
	}
	cr_assert_eq(item_count, HVS_KVP_MAX_ITEMS);
	expect_done(0, 0);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_kvp, rule_12_pairs_that_make_no_sense_are_left_out_and_counted)
{
	static const struct {
		uint32_t type, key_bytes, value_bytes, len;
	} table[] = {
		{1, 3, 2, PAIR_BYTES},          {1, 514, 2, PAIR_BYTES},
		{1, 4, 2050, PAIR_BYTES},       {1, 4, 3, PAIR_BYTES},
		{9, 4, 4, PAIR_BYTES},          {4, 4, 8, PAIR_BYTES},
		{1, 4, 0xffffffff, PAIR_BYTES}, {1, 6, 2, PAIR_BYTES},
		{1, 4, 4, 8 + 12 + 512},        {1, 4, 4, 100},
	};
	const unsigned rows = sizeof(table) / sizeof(table[0]);
	struct ic_machine *m = up_enumerating(IC_VERSION(4, 0));

	for (uint32_t i = 0; i < rows; i++) {
		const struct hvs_guest_ic_message msg = take(m, HVSI_KVP_ENUMERATE, 2);
		struct hvsi_kvp_pair_message p = {0};

		fill(&p.u.item.value, table[i].type, (const char[]){(char)('a' + i), 'x', 0}, "vv");
		if (table[i].key_bytes <= 4)
			memset(p.u.item.value.key + 2, 0, 2);
		else
			memset(p.u.item.value.key + 4, 'y', 500);
		p.u.item.value.key_bytes = hvsi_le32(table[i].key_bytes);
		p.u.item.value.value_bytes = hvsi_le32(table[i].value_bytes);
		ic_answer(m, &msg, 0, &p, table[i].len);
		cr_expect_eq(ic_status(m).malformed, i + 1, "row %u", i);
	}
	guest_has(m, 2, rows, 0, "good", "v");
	guest_has(m, 2, rows + 1, HVS_IC_E_NO_MORE_ITEMS, NULL, NULL);
	cr_assert_eq(item_count, 1);
	expect_done(0, 0);
	ic_down(m);
}

Test(ic_kvp, windows_numbers_are_read_in_decimal)
{
	struct ic_machine *m = up_enumerating(IC_VERSION(5, 0));
	struct hvs_guest_ic_message msg = take(m, HVSI_KVP_ENUMERATE, 2);
	struct hvsi_kvp_pair_message p = {0};

	fill(&p.u.item.value, HVSI_KVP_U32, "ProcessorArchitecture", "");
	p.u.item.value.value_bytes = hvsi_le32(4);
	p.u.item.value.value[0] = 9;
	ic_answer(m, &msg, 0, &p, sizeof(p));
	guest_has(m, 2, 1, HVS_IC_E_NO_MORE_ITEMS, NULL, NULL);
	cr_assert_str_eq(items[0].value, "9");
	expect_done(0, 0);
	ic_down(m);
}

Test(ic_kvp, each_request_of_an_enumeration_has_its_own_time)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));

	cr_assert_eq(hvs_kvp_enumerate(m->ic, HVS_KVP_AUTO, 1000, note_item, ic_note_done, &done),
		     0);
	for (uint32_t i = 0; i < 3; i++) {
		ic_advance(m, 900);
		guest_has(m, 2, i, 0, (const char[]){(char)('a' + i), 0}, "v");
	}
	ic_advance(m, 1100);
	expect_done(-ETIMEDOUT, 0);
	ic_down(m);
}

/* ---- guests that are not there --------------------------------------------------------------- */

Test(ic_kvp, rule_8_linux_without_its_daemon_answers_hours_later)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_KVP}};
	struct ic_machine *m = ic_up(&opt);

	ic_connect(m);
	ic_open(m);
	ic_advance(m, 600000);
	cr_assert(ic_status(m).open);
	cr_assert_not(ic_status(m).ready);
	ic_expect(m, HVS_IC_NO_CONTACT, HVS_IC_DETAIL_NONE);
	cr_assert_eq(hvs_kvp_set(m->ic, HVS_KVP_EXTERNAL, "k", "v", 0, NULL, NULL), -ENOTCONN);
	ic_negotiate(m, IC_VERSION(4, 0));
	ic_expect(m, HVS_IC_DEGRADED, HVS_IC_DETAIL_MISMATCH);
	cr_assert_eq(hvs_kvp_set(m->ic, HVS_KVP_EXTERNAL, "k", "v", 0, NULL, NULL), 0);
	guest_does(m, HVSI_KVP_SET, 0, 0);
	ic_down(m);
}

Test(ic_kvp, rule_1_a_request_that_is_too_late_holds_up_the_next)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_kvp_set(m->ic, HVS_KVP_EXTERNAL, "k", "v", 0, ic_note_done, &done), 0);
	msg = take(m, HVSI_KVP_SET, 0);
	ic_advance(m, 35100);
	expect_done(-ETIMEDOUT, 0);
	cr_assert_eq(hvs_kvp_delete(m->ic, HVS_KVP_EXTERNAL, "k", 0, ic_note_done, &done), 0);
	cr_assert(ic_nothing(m));
	ic_answer(m, &msg, HVS_IC_E_FAIL, msg.body, msg.len);
	guest_does(m, HVSI_KVP_DELETE, 0, 0);
	expect_done(0, 0);
	ic_down(m);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static const uint8_t mac[] = {0x00, 0x15, 0x5d, 0x0a, 0x0b, 0x0c};

static unsigned ip_count;
static struct hvs_kvp_address first_address;

static void note_ip(void *arg, const struct hvs_kvp_ip *ip)
{
	(void)arg;
	ip_count += ip->address_count;
	if (ip->address_count)
		first_address = ip->addresses[0];
}

Test(ic_kvp, addresses_of_linux_are_text_right_behind_two_bytes)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	struct hvs_guest_ic_message msg;
	uint8_t answer[HVSI_KVP_IP_MESSAGE];
	struct hvsi_kvp_ip_text t;

	cr_assert_eq(hvs_kvp_get_ip(m->ic, mac, 0, note_ip, ic_note_done, &done), 0);
	msg = take(m, HVSI_KVP_GET_IP, 1);
	cr_assert(says(msg.body + 2, "00:15:5D:0A:0B:0C"));
	memcpy(answer, msg.body, sizeof(answer));
	memcpy(&t, answer + 2, sizeof(t));
	t.family = 1;
	put(t.addresses, "192.0.2.7");
	put(t.subnets, "255.255.255.128");
	memcpy(answer + 2, &t, sizeof(t));
	ic_answer(m, &msg, 0, answer, sizeof(answer));
	cr_assert_eq(ip_count, 1);
	cr_assert_eq(first_address.prefix, 25);
	cr_assert_arr_eq(first_address.bytes, "\xc0\0\2\7", 4);
	expect_done(0, 0);
	ic_down(m);
}

Test(ic_kvp, addresses_of_windows_are_binary_behind_four_bytes)
{
	struct ic_machine *m = up(IC_VERSION(5, 0));
	struct hvs_guest_ic_message msg;
	uint8_t answer[HVSI_KVP_IP_MESSAGE];
	struct hvsi_kvp_ip_binary b;

	cr_assert_eq(hvs_kvp_get_ip(m->ic, mac, 0, note_ip, ic_note_done, &done), 0);
	msg = take(m, HVSI_KVP_GET_IP, 1);
	cr_assert(says(msg.body + 4 + 24, "00:15:5D:0A:0B:0C"));
	memcpy(answer, msg.body, sizeof(answer));
	memcpy(&b, answer + 4, sizeof(b));
	b.addresses.ipv4 = hvsi_le32(1);
	memcpy(b.ipv4[0], "\xc0\0\2\7", 4);
	memcpy(b.masks[0], "\xff\xff\xff\x80", 4);
	b.origins[0] = hvsi_le16(HVS_KVP_ORIGIN_STATIC);
	memcpy(answer + 4, &b, sizeof(b));
	ic_answer(m, &msg, 0, answer, sizeof(answer));
	cr_assert_eq(ip_count, 1);
	cr_assert_eq(first_address.prefix, 25);
	cr_assert_eq(first_address.origin, HVS_KVP_ORIGIN_STATIC);
	expect_done(0, 0);
	ic_down(m);
}

Test(ic_kvp, rule_12_addresses_that_are_hostile_or_cut)
{
	static const uint32_t lengths[] = {0, 1, 3, 4, 28, 200, 3716, HVSI_KVP_IP_MESSAGE};

	for (unsigned version = 4; version <= 5; version++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			struct ic_machine *m = up(IC_VERSION(version, 0));
			struct hvs_guest_ic_message msg;
			uint8_t answer[HVSI_KVP_IP_MESSAGE];

			memset(answer, 0xff, sizeof(answer));
			ip_count = 0;
			cr_assert_eq(hvs_kvp_get_ip(m->ic, mac, 0, note_ip, ic_note_done, &done),
				     0);
			msg = take(m, HVSI_KVP_GET_IP, 1);
			ic_answer(m, &msg, 0, answer, lengths[i]);
			cr_assert_eq(ip_count, 0);
			expect_done(version == 5 && lengths[i] > 4 ? -EPROTO : 0, 0);
			ic_down(m);
		}
	}
}

Test(ic_kvp, an_adapter_that_the_guest_does_not_know)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));

	cr_assert_eq(hvs_kvp_get_ip(m->ic, mac, 0, note_ip, ic_note_done, &done), 0);
	guest_does(m, HVSI_KVP_GET_IP, 1, HVS_IC_E_FAIL);
	expect_done(-EREMOTEIO, HVS_IC_E_FAIL);
	ic_down(m);
}

Test(ic_kvp, addresses_are_given_to_the_device_with_its_guid_in_lower_case)
{
	static const struct hvs_guid id = {{0xdd, 0xcc, 0xbb, 0xaa}};
	const struct hvs_kvp_address a = {.prefix = 8, .bytes = {10, 0, 0, 1}};
	const struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .address_count = 1, .addresses = &a};
	struct ic_machine *m = up(IC_VERSION(3, 0));
	struct hvs_guest_ic_message msg;

	cr_assert_eq(hvs_kvp_set_ip(m->ic, &id, &ip, 0, ic_note_done, &done), 0);
	msg = take(m, HVSI_KVP_SET_IP, 1);
	cr_assert(says(msg.body + 2, "{aabbccdd-0000-0000-0000-000000000000}"));
	cr_assert_eq(msg.body[2 + 256], 1, "IPv4");
	cr_assert(says(msg.body + 2 + 258, "10.0.0.1"));
	cr_assert(says(msg.body + 2 + 2306, "255.0.0.0"));
	ic_answer(m, &msg, HVS_IC_E_NOT_FOUND, NULL, 0);
	expect_done(-EREMOTEIO, HVS_IC_E_NOT_FOUND);
	ic_down(m);

	m = up(IC_VERSION(5, 0));
	cr_assert_eq(hvs_kvp_set_ip(m->ic, &id, &ip, 0, ic_note_done, &done), 0);
	msg = take(m, HVSI_KVP_SET_IP, 1);
	cr_assert(says(msg.body + 4 + 24, "{aabbccdd-0000-0000-0000-000000000000}"));
	cr_assert_eq(msg.body[4], 1);
	cr_assert_arr_eq(msg.body + 4 + 284, a.bytes, 4);
	ic_answer(m, &msg, 0, NULL, 0);
	expect_done(0, 0);
	ic_down(m);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

Test(ic_kvp, rule_13_no_pool_beyond_4_is_ever_sent)
{
	struct ic_machine *m = up(IC_VERSION(4, 0));
	const enum hvs_kvp_pool none = (enum hvs_kvp_pool)5;

	cr_assert_eq(hvs_kvp_set(m->ic, none, "k", "v", 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_delete(m->ic, none, "k", 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_get(m->ic, none, "k", 0, note_item, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_enumerate(m->ic, none, 0, note_item, NULL, NULL), -EINVAL);
	cr_assert(ic_nothing(m));
	ic_down(m);
}

Test(ic_kvp, what_is_not_all_right_is_refused)
{
	static const struct hvs_guid id;
	const struct hvs_kvp_address bad = {.prefix = 33};
	struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .address_count = 1, .addresses = &bad};
	struct ic_machine *m = up(IC_VERSION(4, 0));

	cr_assert_eq(hvs_kvp_set(NULL, 0, "k", "v", 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_set(m->ic, 0, NULL, "v", 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_set(m->ic, 0, "k", NULL, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_set(m->ic, 0, "", "v", 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_set(m->ic, 0, "k", "\xff", 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_delete(m->ic, 0, NULL, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_get(m->ic, 0, "k", 0, NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_enumerate(m->ic, 0, 0, NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_get_ip(m->ic, NULL, 0, note_ip, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_get_ip(m->ic, mac, 0, NULL, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_set_ip(m->ic, NULL, &ip, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_set_ip(m->ic, &id, NULL, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_kvp_set_ip(m->ic, &id, &ip, 0, NULL, NULL), -EINVAL);
	cr_assert_eq(hvs_guest_channel_close(m->ch), 0);
	ic_run(m);
	ip.address_count = 0;
	cr_assert_eq(hvs_kvp_get_ip(m->ic, mac, 0, note_ip, NULL, NULL), -ENOTCONN);
	cr_assert_eq(hvs_kvp_set_ip(m->ic, &id, &ip, 0, NULL, NULL), -ENOTCONN);
	ic_down(m);
}

Test(ic_kvp, text_that_does_not_fit_is_refused)
{
	static const struct hvs_guid id;
	struct hvs_kvp_address many[HVS_KVP_MAX_ADDRESSES];
	const struct hvs_kvp_ip ip = {HVS_KVP_IP_INIT, .address_count = HVS_KVP_MAX_ADDRESSES,
				      .addresses = many};
	struct ic_machine *m = up(IC_VERSION(4, 0));

	memset(many, 0x11, sizeof(many));
	for (unsigned i = 0; i < HVS_KVP_MAX_ADDRESSES; i++) {
		many[i].ipv6 = true;
		many[i].origin = 0;
		memset(many[i].bytes, 0xab, 16);
	}
	cr_assert_eq(hvs_kvp_set_ip(m->ic, &id, &ip, 0, NULL, NULL), -EMSGSIZE);
	ic_down(m);
}
