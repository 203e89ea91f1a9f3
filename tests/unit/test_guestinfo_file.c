/* SPDX-License-Identifier: MIT */
/* The file of pairs: what was written is read again, and nothing else is taken for it. */
#include "host/guestinfo_impl.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <hvstack/host/uuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID "01234567-89ab-cdef-0123-456789abcdef"
#define HEAD "{\"hvstack\": \"guest-info\", \"version\": 1, \"uuid\": \"" UUID "\", "
#define WITH(external) HEAD "\"external\": [" external "], \"auto-external\": []}"

static struct hvsi_guestinfo_store store;
static char why_text[200];
static const struct hvsi_why why = {why_text, sizeof(why_text)};
static char folder[] = "/tmp/guestinfo.XXXXXX";
static char path[64];

static void setup(void)
{
	cr_assert_eq(hvs_guid_parse(UUID, &store.uuid), 0);
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/file", folder);
}

static void clear(void)
{
	hvsi_pairs_clear(&store.external);
	hvsi_pairs_clear(&store.auto_external);
}

static void teardown(void)
{
	clear();
	unlink(path);
	cr_assert_eq(rmdir(folder), 0, "nothing else is left there");
}

TestSuite(guestinfo_file, .init = setup, .fini = teardown, .timeout = 60);

static int parse(const char *text)
{
	clear();
	return hvsi_guestinfo_parse(text, strlen(text), &store, &why);
}

static const char *value_of(const char *key)
{
	struct hvsi_pair *pair = hvsi_pairs_find(&store.external, key);

	return pair ? pair->value : "(none)";
}

static void refused(const char *text, int err, const char *reason)
{
	why_text[0] = '\0';
	cr_assert_eq(parse(text), err, "%s", text);
	cr_assert_not_null(strstr(why_text, reason), "%s: %s", text, why_text);
}

Test(guestinfo_file, what_is_written_is_read_again)
{
	cr_assert_eq(hvsi_pairs_set(&store.external, "b\"\\/\x01", "caf\xc3\xa9 \xf0\x9f\x98\x80"),
		     0);
	cr_assert_eq(hvsi_pairs_set(&store.external, "a", ""), 0);
	cr_assert_not_null(hvsi_pairs_add(&store.external, "gone"));
	cr_assert_eq(hvsi_pairs_set(&store.auto_external, "HostName", "host"), 0);
	cr_assert_eq(hvsi_guestinfo_save(path, &store), 0);
	clear();
	cr_assert_eq(hvsi_guestinfo_load(path, &store, &why), 0, "%s", why_text);
	cr_assert_eq(store.external.count, 3);
	cr_assert_str_eq(value_of("a"), "");
	cr_assert_str_eq(value_of("b\"\\/\x01"), "caf\xc3\xa9 \xf0\x9f\x98\x80");
	cr_assert_null(value_of("gone"));
	cr_assert_eq(store.auto_external.count, 1);
	cr_assert_str_eq(store.auto_external.at[0].value, "host");
}

Test(guestinfo_file, two_pools_as_full_as_can_be_are_read_again)
{
	char value[HVS_KVP_VALUE_MAX + 1];
	char key[HVS_KVP_KEY_MAX + 1];

	/* Control characters need most room. */
	memset(value, '\x01', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (unsigned i = 0; i < HVS_GUESTINFO_MAX_ITEMS; i++) {
		memset(key, '\x02', sizeof(key) - 1);
		key[sizeof(key) - 1] = '\0';
		key[0] = (char)('0' + i % 64);
		key[1] = (char)('0' + i / 64);
		cr_assert_eq(hvsi_pairs_set(&store.external, key, value), 0);
		cr_assert_eq(hvsi_pairs_set(&store.auto_external, key, value), 0);
	}
	for (unsigned i = 0; i < HVS_GUESTINFO_MAX_ITEMS; i++) {
		key[0] = (char)('0' + i % 64);
		key[1] = (char)('0' + i / 64);
		key[2] = '\x03';
		cr_assert_not_null(hvsi_pairs_add(&store.external, key));
		cr_assert_not_null(hvsi_pairs_add(&store.auto_external, key));
	}
	cr_assert_eq(hvsi_guestinfo_save(path, &store), 0);
	clear();
	cr_assert_eq(hvsi_guestinfo_load(path, &store, &why), 0, "%s", why_text);
	cr_assert_eq(store.external.count, 2 * HVS_GUESTINFO_MAX_ITEMS);
	cr_assert_eq(store.auto_external.count, 2 * HVS_GUESTINFO_MAX_ITEMS);
}

Test(guestinfo_file, only_its_owner_can_read_it)
{
	struct stat st;

	cr_assert_eq(hvsi_guestinfo_save(path, &store), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(guestinfo_file, a_file_that_cannot_be_written_stays_as_it_was)
{
	struct stat st;

	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(hvsi_guestinfo_save(path, &store), -EISDIR);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert(S_ISDIR(st.st_mode));
	cr_assert_eq(rmdir(path), 0);
	cr_assert_eq(hvsi_guestinfo_save("/nonexistent/folder/file", &store), -ENOENT);
}

Test(guestinfo_file, what_is_no_regular_file_is_refused)
{
	cr_assert_eq(hvsi_guestinfo_load(path, &store, &why), -ENOENT);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(hvsi_guestinfo_load(path, &store, &why), -EINVAL);
	cr_assert_str_eq(why_text, "not a regular file");
	unlink(path);
	cr_assert_eq(symlink("/dev/null", path), 0);
	cr_assert_eq(hvsi_guestinfo_load(path, &store, &why), -ELOOP);
	cr_assert_not_null(strstr(why_text, "symbolic link"));
}

Test(guestinfo_file, a_file_that_is_too_large_is_not_read)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f);
	cr_assert_eq(ftruncate(fileno(f), (off_t)HVSI_GUESTINFO_FILE_MAX + 1), 0);
	fclose(f);
	cr_assert_eq(hvsi_guestinfo_load(path, &store, &why), -EBADMSG);
	cr_assert_str_eq(why_text, "damaged: it is too large");
}

Test(guestinfo_file, a_file_that_was_cut_off_anywhere_is_refused)
{
	static const char whole[] = WITH("{\"key\": \"k\", \"value\": \"v\"}") "\n";

	cr_assert_eq(parse(whole), 0, "%s", why_text);
	for (size_t len = 0; len < sizeof(whole) - 2; len++) {
		clear();
		cr_assert_eq(hvsi_guestinfo_parse(whole, len, &store, &why), -EBADMSG, "%zu", len);
	}
}

Test(guestinfo_file, what_is_not_the_file_of_this_machine_is_refused)
{
	refused("", -EBADMSG, "ends too early");
	refused("nonsense", -EBADMSG, "damaged at byte");
	refused("[]", -EBADMSG, "not one JSON object");
	refused("{}", -EBADMSG, "not a file of key-value pairs");
	refused(WITH("") "{}", -EBADMSG, "damaged");
	refused(HEAD "\"external\": [], \"auto-external\": [],}", -EBADMSG, "damaged at byte");
	refused("{\"hvstack\": 1}", -EBADMSG, "not a file of key-value pairs");
	refused("{\"hvstack\": \"guest-info\", \"version\": \"1\"}", -EBADMSG, "'version'");
	refused("{\"hvstack\": \"guest-info\", \"version\": 0}", -EBADMSG, "'version'");
	refused("{\"hvstack\": \"guest-info\", \"version\": 2}", -ENOTSUP, "newer version");
	refused("{\"hvstack\": \"guest-info\", \"version\": 1}", -EBADMSG, "'uuid'");
	refused("{\"hvstack\": \"guest-info\", \"version\": 1, \"uuid\": 17}", -EBADMSG, "'uuid'");
	refused("{\"hvstack\": \"guest-info\", \"version\": 1, \"uuid\": "
		"\"01234567-89ab-cdef-0123-456789abcdee\"}",
		-EPERM, "another machine");
	refused(HEAD "\"external\": [], \"auto-external\": [], \"more\": 1}", -EBADMSG,
		"other members");
	refused(HEAD "\"external\": {}, \"auto-external\": []}", -EBADMSG, "'external'");
	refused(HEAD "\"external\": [], \"auto-external\": null}", -EBADMSG, "'auto-external'");
	refused(HEAD "\"external\": [], \"auto-internal\": []}", -EBADMSG, "'auto-external'");
}

Test(guestinfo_file, pairs_that_make_no_sense_are_refused)
{
	refused(WITH("1"), -EBADMSG, "external[0] is no object");
	refused(WITH("null"), -EBADMSG, "external[0] is no object");
	refused(WITH("{}"), -EBADMSG, "external[0] is not a key");
	refused(WITH("{\"key\": \"k\"}"), -EBADMSG, "external[0] is not a key");
	refused(WITH("{\"key\": \"k\", \"value\": \"v\", \"x\": 1}"), -EBADMSG, "not a key");
	refused(WITH("{\"key\": 1, \"value\": \"v\"}"), -EBADMSG, "not a key");
	refused(WITH("{\"key\": \"k\", \"value\": 1}"), -EBADMSG, "no string");
	refused(WITH("{\"key\": \"\", \"value\": \"v\"}"), -EBADMSG, "empty");
	refused(WITH("{\"key\": \"a\\u0000b\", \"value\": \"v\"}"), -EBADMSG, "not a key");
	refused(WITH("{\"key\": \"k\", \"value\": \"a\\u0000\"}"), -EBADMSG, "no string");
	refused(WITH("{\"key\": \"k\", \"value\": \"\xff\"}"), -EBADMSG, "not UTF-8");
	refused(WITH("{\"key\": \"k\", \"value\": \"\xed\xa0\x80\"}"), -EBADMSG, "not UTF-8");
	refused(WITH("{\"key\": \"k\", \"value\": \"\xc0\x80\"}"), -EBADMSG, "not UTF-8");
	refused(WITH("{\"key\": \"k\", \"value\": \"\xf4\x90\x80\x80\"}"), -EBADMSG, "not UTF-8");
	refused(WITH("{\"key\": \"k\", \"value\": \"\xc3\"}"), -EBADMSG, "not UTF-8");
	refused(WITH("{\"key\": \"k\", \"value\": \"v\"}, {\"key\": \"k\", \"value\": \"w\"}"),
		-EBADMSG, "external[1] has a key that was there before");
}

static char *with_pair(size_t key_len, size_t value_len)
{
	char *text = malloc(key_len + value_len + 400);
	char *p = text;

	cr_assert_not_null(text);
	p = stpcpy(p, HEAD "\"external\": [{\"key\": \"");
	memset(p, 'k', key_len);
	p = stpcpy(p + key_len, "\", \"value\": \"");
	memset(p, 'v', value_len);
	stpcpy(p + value_len, "\"}], \"auto-external\": []}");
	return text;
}

Test(guestinfo_file, lengths_are_what_the_guest_can_be_told)
{
	char *text = with_pair(HVS_KVP_KEY_MAX, HVS_KVP_VALUE_MAX);

	cr_assert_eq(parse(text), 0, "%s", why_text);
	free(text);
	text = with_pair(HVS_KVP_KEY_MAX + 1, 1);
	refused(text, -EBADMSG, "too long");
	free(text);
	text = with_pair(1, HVS_KVP_VALUE_MAX + 1);
	refused(text, -EBADMSG, "too long");
	free(text);
}

/* So many items, each with another number, between two texts. */
static char *many(unsigned count, const char *before, const char *after)
{
	size_t size = 1000 + (size_t)count * 80;
	char *text = malloc(size);
	size_t n = (size_t)snprintf(text, size, "%s", HEAD "\"external\": [");

	for (unsigned i = 0; i < count; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s%u%s", i ? "," : "", before, i,
				      after);
	snprintf(text + n, size - n, "], \"auto-external\": []}");
	return text;
}

Test(guestinfo_file, there_are_only_so_many_pairs)
{
	char *text = many(HVS_GUESTINFO_MAX_ITEMS, "{\"key\":\"", "\",\"value\":\"\"}");

	cr_assert_eq(parse(text), 0, "%s", why_text);
	free(text);
	text = many(HVS_GUESTINFO_MAX_ITEMS + 1, "{\"key\":\"", "\",\"value\":\"\"}");
	refused(text, -EBADMSG, "too many pairs");
	free(text);
	text = many(HVS_GUESTINFO_MAX_ITEMS + 1, "{\"key\":\"", "\",\"value\":null}");
	refused(text, -EBADMSG, "too many pairs");
	free(text);
	text = many(1000000, "", "");
	refused(text, -EBADMSG, "too large");
	free(text);
}

Test(guestinfo_file, depth_is_limited)
{
	char text[1000];

	memset(text, '[', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	refused(text, -EBADMSG, "damaged at byte");
}
