/* SPDX-License-Identifier: MIT */
/* File copy as clients of the management server have it, with a guest that writes the file. */
#include "ic/filecopy.h"
#include "support/ic.h"
#include "support/manager.h"

#include <event2/event.h>
#include <string.h>
#include <unistd.h>

static struct mgr t;
static struct ic_machine *machine;
static int client;

/* The guest's daemon. */
static uint8_t file[20000];
static size_t file_len;
static char asked[64];      /* operations, oldest first: start, write, complete, cancel as "swcx" */
static uint32_t refuses[4]; /* by operation: what it says */
static bool silent;         /* it does not answer */

static void serve_write(const uint8_t *body)
{
	struct hvsi_filecopy_write w;

	memcpy(&w, body, sizeof(w));
	cr_assert_eq(hvsi_get64(w.offset), file_len);
	cr_assert_leq(hvsi_get32(w.len), sizeof(file) - file_len);
	memcpy(file + file_len, w.data, hvsi_get32(w.len));
	file_len += hvsi_get32(w.len);
}

static void run_guest(void *arg)
{
	struct hvs_guest_ic_message msg = {0};

	(void)arg;
	ic_run(machine);
	while (!silent && hvs_guest_ic_recv(machine->ch, &msg) == 1) {
		const uint8_t op = msg.body[0];

		cr_assert_eq(msg.type, HVS_IC_FILECOPY);
		cr_assert_leq(op, HVSI_FILECOPY_CANCEL);
		asked[strlen(asked)] = "swcx"[op];
		if (op == HVSI_FILECOPY_WRITE && !refuses[op])
			serve_write(msg.body);
		ic_answer(machine, &msg, refuses[op], msg.body,
			  sizeof(struct hvsi_filecopy_header));
	}
}

static void setup(void)
{
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_FILECOPY}};

	mgr_up(&t, NULL);
	machine = ic_new(&opt, IC_VERSION(1, 1));
	t.run = run_guest;
	cr_assert_eq(hvs_manager_add_ic(t.m, machine->ic), 0);
	client = mgr_connect(&t);
}

static void teardown(void)
{
	close(client);
	mgr_run(&t);
	mgr_down(&t);
	ic_down(machine);
}

TestSuite(manager_copy, .init = setup, .fini = teardown, .timeout = 120);

static int code(const char *method, const char *params)
{
	return mgr_code(&t, client, method, params);
}

static int start(unsigned bytes)
{
	char params[100];

	snprintf(params, sizeof(params), "{\"directory\":\"/srv\",\"name\":\"a\",\"bytes\":%u}",
		 bytes);
	return code("copy-file-start", params);
}

static uint64_t number(const char *method, const char *params, const char *member)
{
	struct json_object *answer = mgr_call(&t, client, method, params);
	uint64_t n = json_object_get_uint64(mgr_result(answer, member));

	json_object_put(answer);
	return n;
}

#define HELLO "{\"data\":\"aGVsbG8=\"}"
#define WORLD "{\"data\":\"IHdvcmxk\"}"

Test(manager_copy, what_a_client_writes_is_in_the_guests_file)
{
	cr_assert_eq(number("copy-file-start",
			    "{\"directory\":\"/srv\",\"name\":\"a\",\"bytes\":11,"
			    "\"overwrite\":true,\"create_path\":true}",
			    "piece") %
			     HVS_FILECOPY_PIECE,
		     0);
	cr_assert_eq(number("copy-file-write", HELLO, "written"), 5);
	cr_assert_eq(code("copy-file-finish", NULL), HVS_CALL_FAILED, "bytes are missing");
	cr_assert_eq(number("copy-file-write", WORLD, "written"), 11);
	cr_assert_eq(code("copy-file-finish", NULL), 0);
	cr_assert_eq(file_len, 11);
	cr_assert_arr_eq(file, "hello world", 11);
	cr_assert_str_eq(asked, "swwc");
	cr_assert_eq(code("copy-file-finish", NULL), HVS_CALL_NOT_FOUND, "it is over");
}

Test(manager_copy, a_piece_of_many_messages_is_one_call)
{
	static char params[27000] = "{\"data\":\"";
	const size_t head = strlen(params);
	static uint8_t zeros[15000];
	char request[27100];
	struct json_object *answer;

	memset(params + head, 'A', sizeof(zeros) / 3 * 4);
	memcpy(params + head + sizeof(zeros) / 3 * 4, "\"}", 3);
	memset(file, 1, sizeof(file));
	cr_assert_eq(start(sizeof(zeros)), 0);
	snprintf(request, sizeof(request),
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"copy-file-write\",\"params\":%s}\n",
		 params);
	mgr_send(client, request);
	answer = mgr_message(&t, client);
	cr_assert_eq(json_object_get_uint64(mgr_result(answer, "written")), sizeof(zeros));
	json_object_put(answer);
	cr_assert_eq(code("copy-file-finish", NULL), 0);
	cr_assert_str_eq(asked, "swwwc");
	cr_assert_arr_eq(file, zeros, sizeof(zeros));
}

Test(manager_copy, a_copy_that_is_cancelled_makes_room_for_the_next)
{
	cr_assert_eq(start(11), 0);
	cr_assert_eq(code("copy-file-write", HELLO), 0);
	cr_assert_eq(code("copy-file-cancel", NULL), 0);
	cr_assert_str_eq(asked, "swx");
	cr_assert_eq(code("copy-file-write", WORLD), HVS_CALL_NOT_FOUND);
	cr_assert_eq(start(5), 0);
}

Test(manager_copy, a_copy_belongs_to_its_connection)
{
	int other = mgr_connect(&t);

	cr_assert_eq(start(5), 0);
	cr_expect_eq(mgr_code(&t, other, "copy-file-write", HELLO), HVS_CALL_NOT_FOUND);
	cr_expect_eq(mgr_code(&t, other, "copy-file-cancel", NULL), HVS_CALL_NOT_FOUND);
	cr_expect_eq(mgr_code(&t, other, "copy-file-start",
			      "{\"directory\":\"/srv\",\"name\":\"b\",\"bytes\":1}"),
		     HVS_CALL_BUSY);
	cr_assert_eq(code("copy-file-write", HELLO), 0);
	cr_assert_eq(code("copy-file-finish", NULL), 0);
	close(other);
}

Test(manager_copy, a_client_that_leaves_between_two_steps_cancels_at_the_guest)
{
	cr_assert_eq(start(11), 0);
	cr_assert_eq(code("copy-file-write", HELLO), 0);
	close(client);
	MGR_UNTIL(&t, strcmp(asked, "swx") == 0);
	client = mgr_connect(&t);
	cr_assert_eq(start(5), 0, "and the next may copy");
}

Test(manager_copy, a_client_that_leaves_in_the_middle_of_a_write_cancels_at_the_guest)
{
	cr_assert_eq(start(5), 0);
	silent = true;
	mgr_send(client, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"copy-file-write\","
			 "\"params\":" HELLO "}\n");
	MGR_UNTIL(&t, ic_status(machine).waiting == 1);
	close(client);
	MGR_UNTIL(&t, !hvs_manager_has_client(t.m, 1));
	silent = false;
	MGR_UNTIL(&t, strcmp(asked, "swx") == 0);
	client = mgr_connect(&t);
	file_len = 0;
	cr_assert_eq(start(5), 0);
	cr_assert_eq(number("copy-file-write", HELLO, "written"), 5);
}

Test(manager_copy, what_the_guest_refuses_ends_the_copy)
{
	refuses[HVSI_FILECOPY_START] = HVS_IC_E_EXISTS;
	cr_assert_eq(start(5), HVS_CALL_GUEST_ERROR);
	cr_assert_eq(code("copy-file-write", HELLO), HVS_CALL_NOT_FOUND);
	refuses[HVSI_FILECOPY_START] = 0;
	refuses[HVSI_FILECOPY_WRITE] = HVS_IC_E_DISK_FULL;
	cr_assert_eq(start(5), 0);
	cr_assert_eq(code("copy-file-write", HELLO), HVS_CALL_GUEST_ERROR);
	cr_assert_eq(code("copy-file-finish", NULL), HVS_CALL_NOT_FOUND);
	MGR_UNTIL(&t, strcmp(asked, "sswx") == 0);
	cr_assert_eq(start(5), 0);
}

Test(manager_copy, data_that_is_no_base64_is_not_written)
{
	static const char *const data[] = {"",           "a",    "aGVsbG8",  "aGVsbG9=", "a=Vs",
					   "aG\\u0000s", "====", "aGVs=bG8", "aGVs bG8"};
	char params[64];

	cr_assert_eq(start(5), 0);
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
		snprintf(params, sizeof(params), "{\"data\":\"%s\"}", data[i]);
		cr_expect_eq(code("copy-file-write", params), HVS_CALL_INVALID_PARAMS, "%s",
			     data[i]);
	}
	cr_assert_str_eq(asked, "s");
	cr_assert_eq(code("copy-file-write", HELLO), 0, "the copy goes on");
}
