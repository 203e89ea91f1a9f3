/* SPDX-License-Identifier: MIT */
/* Backups as clients of the management server have them: over a socket, with files that they pass. */
#include "ic/vss.h"
#include "support/ic.h"
#include "support/snapshot.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hvstack/host/backup.h>
#include <hvstack/host/manager.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char socket_path[64];
static struct hvs_manager *manager;
static struct hvs_manager_backup *backups;
static int client;
static char got[65536];
static size_t got_len;
static struct json_object *answer;
static char events[4096]; /* names, each followed by a blank */
static int files[2 * DISKS];

/* ---- the guest --------------------------------------------------------------------------------- */

static struct ic_machine *guest;
static struct hvs_guest_ic_message request; /* of the host, to be answered */
static char asks;                           /* what request is; 0: there is none */
/* What the guest was asked, oldest first: check, freeze, thaw, backup complete. */
static char asked[64];

/* What the host asks the guest now, as a letter of "cftb"; 0: nothing. */
static char vss_asks(void)
{
	static const char letters[] = {[HVSI_VSS_HOT_BACKUP] = 'c',
				       [HVSI_VSS_FREEZE] = 'f',
				       [HVSI_VSS_THAW] = 't',
				       [HVSI_VSS_COMPLETE] = 'b'};

	ic_run(guest);
	if (!asks && hvs_guest_ic_recv(guest->ch, &request) == 1) {
		cr_assert_lt(request.body[0], sizeof(letters));
		asks = letters[request.body[0]];
		asked[strlen(asked)] = asks;
	}
	return asks;
}

static void vss_does(char kind)
{
	struct hvsi_vss_flags body = {.head = {.op = 0}};

	cr_assert_eq(vss_asks(), kind);
	body.head.op = request.body[0];
	asks = 0;
	ic_answer(guest, &request, HVS_IC_S_OK, &body, sizeof(body));
}

/* ---- the host ---------------------------------------------------------------------------------- */

static bool find_disk(void *arg, const char *id, struct hvs_backup_disk *disk)
{
	(void)arg;
	disk->snapshot = strcmp(id, "a") == 0 ? snap[0] : strcmp(id, "b") == 0 ? snap[1] : NULL;
	disk->block_size = 512;
	return disk->snapshot != NULL;
}

static struct hvs_ic *service(void *arg)
{
	(void)arg;
	return guest->ic;
}

static int connect_client(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", socket_path);
	cr_assert_eq(connect(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

static void setup(void)
{
	const struct hvs_manager_backup_ops ops = {HVS_MANAGER_BACKUP_OPS_INIT,
						   .find_disk = find_disk, .vss = service};
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT, .server = "test"};
	struct hvs_manager_backup_config backup_cfg = {HVS_MANAGER_BACKUP_CONFIG_INIT, .ops = &ops,
						       .name = "web1"};
	const struct ic_options opt = {.cfg = {.kind = HVS_IC_VSS}};

	snapshot_setup();
	guest = ic_new(&opt, IC_VERSION(5, 0));
	snprintf(socket_path, sizeof(socket_path), "%s/s", dir);
	cfg.base = base;
	cfg.socket_path = socket_path;
	cr_assert_eq(hvs_manager_create(&cfg, &manager), 0);
	backup_cfg.base = base;
	backup_cfg.manager = manager;
	cr_assert_eq(hvs_manager_backup_create(&backup_cfg, &backups), 0);
	for (unsigned i = 0; i < 2 * DISKS; i++)
		files[i] = open(dir, O_TMPFILE | O_RDWR, 0600);
	client = connect_client();
}

static void teardown(void)
{
	hvs_manager_backup_end(backups);
	hvs_manager_destroy(manager);
	hvs_manager_backup_destroy(backups);
	ic_down(guest);
	json_object_put(answer);
	for (unsigned i = 0; i < 2 * DISKS; i++)
		close(files[i]);
	close(client);
	snapshot_teardown();
}

TestSuite(manager_backup, .init = setup, .fini = teardown, .timeout = 60);

static void send_line(const char *text, const int *fds, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(files))];
	} control = {0};
	char line[1024];
	struct iovec iov = {line, (size_t)snprintf(line, sizeof(line), "%s\n", text)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	cr_assert_eq(sendmsg(client, &msg, 0), (ssize_t)iov.iov_len);
}

static void look_at(const char *line)
{
	struct json_object *message = json_tokener_parse(line);
	struct json_object *params = json_object_object_get(message, "params");
	const size_t len = strlen(events);

	if (!params) {
		json_object_put(answer);
		answer = message;
		return;
	}
	snprintf(events + len, sizeof(events) - len, "%s ",
		 json_object_get_string(json_object_object_get(params, "event")));
	json_object_put(message);
}

/* Let the server and the guest do something, and read what there is. */
static void step(void)
{
	ssize_t n;
	char *end;

	event_base_loop(base, EVLOOP_NONBLOCK);
	ic_run(guest);
	n = recv(client, got + got_len, sizeof(got) - got_len - 1, MSG_DONTWAIT);
	got_len += n > 0 ? (size_t)n : 0;
	got[got_len] = '\0';
	while ((end = strchr(got, '\n'))) {
		*end = '\0';
		look_at(got);
		got_len -= (size_t)(end + 1 - got);
		memmove(got, end + 1, got_len + 1);
	}
}

/* The code of an error, 0: it went well; result or error is then in answer. */
static int wait_for_answer(void)
{
	struct json_object *error;

	json_object_put(answer);
	answer = NULL;
	while (!answer) {
		step();
		if (vss_asks())
			vss_does(asks);
	}
	if (!json_object_object_get_ex(answer, "error", &error))
		return 0;
	return json_object_get_int(json_object_object_get(error, "code"));
}

static int ask(const char *text, unsigned fds)
{
	send_line(text, files, fds);
	return wait_for_answer();
}

#define START(params)                                                                              \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"backup-start\",\"params\":{" params "}}"
#define CALL(method) "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"" method "\"}"

Test(manager_backup, a_client_gets_the_manifest_and_its_files_are_written)
{
	struct json_object *manifest;

	do_one(0, HVS_BLK_WRITE, 0, BLOCK, 'x');
	cr_assert_eq(ask(CALL("events"), 0), 0);
	cr_assert_eq(ask(START("\"disks\":[\"a\",\"b\"]"), 4), 0);
	manifest = json_object_object_get(json_object_object_get(answer, "result"), "manifest");
	cr_assert_str_eq(json_object_get_string(json_object_object_get(manifest, "consistency")),
			 "application");
	cr_assert_eq(lseek(files[0], 0, SEEK_END), BYTES);
	cr_assert_gt(lseek(files[1], 0, SEEK_END), 0);
	cr_assert_eq(lseek(files[3], 0, SEEK_END), 0, "an empty disk has an empty map");
	cr_assert(strstr(events, "backup-progress backup-progress"), "%s", events);
	cr_assert(strstr(events, "backup-ended "), "%s", events);
	cr_assert_eq(ask(CALL("backup-status"), 0), 0);
	cr_assert_not(json_object_get_boolean(
		json_object_object_get(json_object_object_get(answer, "result"), "active")));
}

Test(manager_backup, what_is_wrong_is_named)
{
	int read_only[2] = {open("/dev/null", O_RDONLY), open("/dev/null", O_RDWR)};

	cr_assert_eq(ask(START(""), 4), HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[]"), 4), HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":\"a\""), 4), HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[7]"), 4), HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[\"a\",\"a\"]"), 4), HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[\"c\"]"), 4), HVS_CALL_NOT_FOUND);
	cr_assert_eq(ask(START("\"disks\":[\"a\",\"b\"]"), 3), HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[\"a\"],\"consistency\":\"best\""), 2),
		     HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[\"a\"],\"parent\":\"mine\""), 2),
		     HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[\"a\"],\"colour\":1"), 2), HVS_CALL_INVALID_PARAMS);
	send_line(START("\"disks\":[\"a\"]"), read_only, 2);
	cr_assert_eq(wait_for_answer(), HVS_CALL_INVALID_PARAMS);
	cr_assert_eq(ask(START("\"disks\":[\"a\"],"
			       "\"parent\":\"0b5f3c1e-6d0a-4f7e-9a53-5f2f6f0d8c11\""),
			 2),
		     HVS_CALL_NOT_FOUND);
	cr_assert_eq(ask(CALL("backup-cancel"), 0), HVS_CALL_NOT_FOUND);
	cr_assert_eq(ask(START("\"disks\":[\"a\"]"), 2), 0, "and then it works");
	close(read_only[0]);
	close(read_only[1]);
}

Test(manager_backup, one_at_a_time_and_cancelled)
{
	send_line(START("\"disks\":[\"a\"]"), files, 2);
	while (vss_asks() != 'c')
		step();
	send_line(START("\"disks\":[\"b\"]"), files + 2, 2);
	while (!answer)
		step();
	cr_assert(strstr(json_object_to_json_string(answer), "under way"));
	/* Two answers: to this, and to the one that it ends. */
	send_line(CALL("backup-cancel"), NULL, 0);
	while (!strstr(json_object_to_json_string(answer), "was cancelled"))
		step();
	cr_assert_str_eq(asked, "c");
}

Test(manager_backup, a_client_that_leaves_has_its_guest_thawed)
{
	send_line(START("\"disks\":[\"a\"]"), files, 2);
	while (vss_asks() != 'c')
		step();
	vss_does('c');
	close(client);
	vss_does('f');
	while (vss_asks() != 't')
		event_base_loop(base, EVLOOP_ONCE);
	vss_does('t');
	client = connect_client();
	while (ask(CALL("backup-cancel"), 0) != HVS_CALL_NOT_FOUND)
		;
	cr_assert_eq(ask(START("\"disks\":[\"a\"]"), 2), 0, "the disk is free again");
}

Test(manager_backup, ends_with_the_machine)
{
	send_line(START("\"disks\":[\"a\"]"), files, 2);
	while (vss_asks() != 'c')
		step();
	vss_does('c');
	vss_does('f');
	hvs_manager_backup_end(backups);
	cr_assert_eq(vss_asks(), 't', "a frozen guest is thawed");
	vss_does('t');
	cr_assert_eq(wait_for_answer(), HVS_CALL_GONE);
	cr_assert_eq(ask(START("\"disks\":[\"a\"]"), 2), HVS_CALL_GONE);
}

Test(manager_backup, the_service_goes_away)
{
	send_line(START("\"disks\":[\"a\"],\"consistency\":\"application\""), files, 2);
	while (vss_asks() != 'f') {
		step();
		if (asks == 'c')
			vss_does('c');
	}
	hvs_manager_backup_vss_gone(backups);
	cr_assert_neq(wait_for_answer(), 0);
	while (hvs_vss_get_state(guest->ic) != HVS_VSS_IDLE)
		if (vss_asks())
			vss_does(asks);
	cr_assert_str_eq(asked, "cft", "a guest that froze all the same is thawed");
}
