/* SPDX-License-Identifier: MIT */
/*
 * hvrun's network adapters, as its control socket has them, on a bus in this process with a guest's
 * driver at the other end: everything of hvrun that needs no KVM.
 */
#include "control.h"
#include "disks.h"
#include "iothreads.h"
#include "nets.h"
#include "support/netenv.h"
#include "support/openmetrics.h"
#include "vmbus/proto.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_GUEST_NICS 4u
#define FILTER 0x0du

struct guest_nic {
	struct hvs_guest_channel *ch;
	struct hvs_guest_net *drv;
	unsigned received;
	uint8_t last[2000];
	uint64_t xid;
};

static struct event_base *base;
static struct hvs_loopback *lb;
static struct hvs_guest *guest;
static struct guest_nic guest_nics[MAX_GUEST_NICS];
static struct iothreads *threads;
static struct disks *disks;
static struct nets *nets;
static struct control *control;
static int client = -1;
static char dir[] = "/tmp/hvs-netstest-XXXXXX";
static char answer[65536];

static const struct hvs_guid machine_id = {{1, 2, 3, 4, 5}};

static void setup(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct nets_config nets_cfg = {.machine_id = machine_id};
	struct control_config control_cfg = {.machine_id = machine_id, .name = "test"};
	struct disks_config disks_cfg = {.machine_id = machine_id};

	cr_assert(mkdtemp(dir) != NULL);
	evthread_use_pthreads();
	base = event_base_new();
	cr_assert_eq(hvs_loopback_create(NULL, &lb), 0);
	nets_cfg.bus = disks_cfg.bus = hvs_loopback_bus(lb);
	nets_cfg.base = disks_cfg.base = base;
	cr_assert_eq(iothreads_create(nets_cfg.bus, 0, &threads), 0);
	nets_cfg.threads = disks_cfg.threads = threads;
	nets = nets_create(&nets_cfg);
	disks = disks_create(&disks_cfg);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", dir);
	control_cfg.path = address.sun_path;
	control_cfg.base = base;
	control_cfg.disks = disks;
	control_cfg.nets = nets;
	cr_assert_eq(control_create(&control_cfg, &control), 0);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void teardown(void)
{
	close(client);
	for (unsigned i = 0; i < MAX_GUEST_NICS; i++)
		if (guest_nics[i].drv)
			(void)hvs_guest_net_close(guest_nics[i].drv, HVS_GUEST_NET_FORGET);
	hvs_loopback_destroy(lb);
	nets_destroy(nets);
	disks_destroy(disks);
	control_destroy(control);
	iothreads_destroy(threads);
	event_base_free(base);
	libevent_global_shutdown();
	hvst_shell("rm -r %s", dir);
}

TestSuite(hvrun_nets, .init = setup, .fini = teardown, .timeout = 120);

static void run(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	hvs_loopback_run(lb);
	for (unsigned i = 0; i < MAX_GUEST_NICS; i++)
		if (guest_nics[i].drv)
			cr_assert_geq(hvs_guest_net_poll(guest_nics[i].drv), 0);
}

#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		for (unsigned tries = 0; !(condition); tries++) {                                  \
			cr_assert(tries < 20000, "never: %s", #condition);                         \
			run();                                                                     \
			hvst_turn(NULL);                                                           \
		}                                                                                  \
	} while (0)

/* ---- the control socket ------------------------------------------------------------------- */

/* Send a line; the answer's line is in `answer`. */
static void command(const char *line)
{
	size_t len = 0;
	ssize_t n;

	cr_assert_eq(write(client, line, strlen(line)), (ssize_t)strlen(line));
	cr_assert_eq(write(client, "\n", 1), 1);
	do {
		UNTIL((n = read(client, answer + len, sizeof(answer) - 1 - len)) >= 0);
		len += (size_t)n;
		answer[len] = '\0';
	} while (!strchr(answer, '\n'));
}

static void succeeds(const char *line)
{
	command(line);
	cr_assert(strstr(answer, "\"result\"") != NULL, "%s: %s", line, answer);
}

static void fails(const char *line, const char *words)
{
	command(line);
	cr_assert(strstr(answer, "\"error\"") != NULL, "%s: %s", line, answer);
	cr_assert(strstr(answer, words) != NULL, "'%s' is not in '%s'", words, answer);
}

static void add(const char *option)
{
	char line[400];

	(void)snprintf(
		line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-add\",\"params\":{\"net\":\"%s\"}}",
		option);
	succeeds(line);
}

/* A member of adapter n in the list; valid until the next call. */
static struct json_object *member(unsigned n, const char *name)
{
	static struct json_object *list;
	struct json_object *found;

	json_object_put(list);
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nets\"}");
	list = json_tokener_parse(answer);
	cr_assert(json_object_object_get_ex(list, "result", &found));
	cr_assert(json_object_object_get_ex(found, "nets", &found));
	cr_assert_lt(n, json_object_array_length(found), "%s", answer);
	found = json_object_array_get_idx(found, n);
	if (strncmp(name, "counters.", 9) == 0) {
		cr_assert(json_object_object_get_ex(found, "counters", &found));
		name += 9;
	}
	cr_assert(json_object_object_get_ex(found, name, &found), "%s: %s", name, answer);
	return found;
}

static uint64_t number(unsigned n, const char *name)
{
	return json_object_get_uint64(member(n, name));
}

static const char *string(unsigned n, const char *name)
{
	return json_object_get_string(member(n, name));
}

static bool flag(unsigned n, const char *name)
{
	return json_object_get_boolean(member(n, name));
}

/* ---- the guest ------------------------------------------------------------------------------ */

static void on_received(void *arg, const struct hvs_guest_net_frame *f)
{
	struct guest_nic *g = arg;

	cr_assert_leq(f->len, sizeof(g->last));
	memcpy(g->last, f->data, f->len);
	g->received++;
}

/* Drive all adapters that there are. */
static void start_guest(unsigned count)
{
	cr_assert_eq(hvs_loopback_start(lb, &guest), 0);
	cr_assert_eq(hvs_guest_connect(guest, 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(guest), (int)count);
	for (unsigned i = 0; i < count; i++) {
		struct guest_nic *g = &guest_nics[i];
		const struct hvs_guest_net_config cfg = {
			HVS_GUEST_NET_CONFIG_INIT, .version = 0x60001, .send_bytes = 256u * 1024,
			.received = on_received, .arg = g};

		cr_assert_eq(
			hvs_guest_channel_open(guest, hvs_guest_offer_at(guest, i), 65536, &g->ch),
			0);
		cr_assert_eq(hvs_guest_net_open(g->ch, &cfg, &g->drv), 0);
		cr_assert_eq(hvs_guest_net_initialize(g->drv), 0);
		cr_assert_eq(hvs_guest_net_set_filter(g->drv, FILTER), 0);
	}
}

/* A broadcast from the adapter's own address. */
static void send_frame(unsigned n, uint8_t mark)
{
	uint8_t frame[200];
	const struct hvs_guest_net_packet p = {.data = frame, .len = hvst_udp4(frame, 100, mark)};
	const char *mac = string(n, "mac");

	memset(frame, 0xff, 6);
	for (unsigned i = 0; i < 6; i++)
		frame[6 + i] = (uint8_t)strtoul(mac + (size_t)3 * i, NULL, 16);
	cr_assert_eq(hvs_guest_net_send(guest_nics[n].drv, 0, guest_nics[n].xid++, &p, 1), 0);
	run();
}

/* Two adapters at the ends of a socket. */
static void start_pair(const char *more)
{
	char option[200];

	(void)snprintf(option, sizeof(option), "socket:%s/pipe,listen%s", dir, more);
	add(option);
	(void)snprintf(option, sizeof(option), "socket:%s/pipe", dir);
	add(option);
	start_guest(2);
	UNTIL(flag(0, "link-up") && flag(1, "link-up"));
}

static void passes(unsigned from)
{
	const unsigned received = guest_nics[!from].received;

	send_frame(from, 7);
	UNTIL(guest_nics[!from].received == received + 1);
}

static void is_stopped(unsigned from, const char *counter)
{
	const unsigned received = guest_nics[!from].received;
	const uint64_t count = number(from, counter);

	send_frame(from, 7);
	UNTIL(number(from, counter) == count + 1);
	for (unsigned i = 0; i < 20; i++)
		run();
	cr_assert_eq(guest_nics[!from].received, received);
}

/* ---- tests ---------------------------------------------------------------------------------- */

Test(hvrun_nets, adapters_pass_frames_and_count_them)
{
	start_pair(",id=lan,mac=02:00:00:00:00:99,mtu=1400");
	cr_assert_str_eq(string(0, "net"), "lan");
	cr_assert_str_eq(string(0, "backend"), "socket");
	cr_assert_str_eq(string(0, "mac"), "02:00:00:00:00:99");
	cr_assert_str_eq(string(1, "net"), "net1");
	cr_assert_eq(strncmp(string(1, "mac"), "00:15:5d:", 9), 0);
	cr_assert_eq(number(0, "version"), 0x60001);
	cr_assert_eq(number(0, "channels"), 1);
	cr_assert_eq(number(0, "filter"), FILTER);
	passes(0);
	passes(1);
	passes(1);
	cr_assert_eq(number(0, "counters.from-frames"), 1);
	cr_assert_eq(number(0, "counters.to-frames"), 2);
	cr_assert_eq(number(1, "counters.from-frames"), 2);
	cr_assert_eq(number(1, "counters.from-bytes"), 284);
}

Test(hvrun_nets, metrics_are_of_every_disk_and_adapter)
{
	struct json_object *message;
	struct json_object *found;
	const char *text;
	char line[300];

	start_pair(",id=a\\\"b");
	passes(0);
	hvst_shell("truncate -s 1M %s/image", dir);
	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"disk-add\",\"params\":"
		       "{\"disk\":\"%s/image,id=data,ro,threads\"}}",
		       dir);
	succeeds(line);
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"disks\"}");
	cr_expect(strstr(answer, "\"bytes\":1048576") != NULL, "%s", answer);
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"metrics\"}");
	message = json_tokener_parse(answer);
	cr_assert(json_object_object_get_ex(message, "result", &found));
	cr_assert(json_object_object_get_ex(found, "text", &found));
	text = json_object_get_string(found);
	openmetrics_check(text);
	cr_expect_eq(openmetrics_value(text, "hvs_disk_bytes{disk=\"data\"}"), 1048576);
	cr_expect_eq(openmetrics_value(text, "hvs_disk_read_only{disk=\"data\"}"), 1);
	cr_expect_eq(openmetrics_value(text, "hvs_net_link_up{net=\"net1\"}"), 1);
	cr_expect_eq(openmetrics_value(text, "hvs_net_from_guest_frames_total{net=\"a\\\"b\"}"), 1);
	cr_expect_eq(openmetrics_value(text, "hvs_net_from_guest_bytes_total{net=\"a\\\"b\"}"),
		     142);
	cr_expect_eq(openmetrics_value(text, "hvs_net_to_guest_frames_total{net=\"net1\"}"), 1);
	cr_expect_eq(openmetrics_value(text, "hvs_net_policy_dropped_total{net=\"net1\","
					     "policy=\"storm\"}"),
		     0);
	json_object_put(message);
}

Test(hvrun_nets, an_address_depends_on_machine_and_number)
{
	char first[20];

	add("user");
	add("user");
	(void)snprintf(first, sizeof(first), "%s", string(0, "mac"));
	cr_assert_str_neq(first, string(1, "mac"));
	/* Guests would notice if it were made in another way. */
	cr_assert_str_eq(first, "00:15:5d:e4:a0:68");
}

Test(hvrun_nets, a_cable_can_be_unplugged)
{
	start_pair("");
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-link\",\"params\":{\"net\":"
		 "\"net0\",\"up\":false}}");
	UNTIL(!flag(0, "link-up"));
	cr_assert_not(flag(0, "plugged"));
	cr_assert(flag(1, "link-up"));
	/* The other end comes and goes meanwhile: it stays unplugged. */
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-remove\",\"params\":{\"net\":"
		 "\"net1\"}}");
	cr_assert_not(flag(0, "link-up"));
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-link\",\"params\":{\"net\":"
		 "\"net0\",\"up\":true}}");
	cr_assert(flag(0, "plugged"));
	for (unsigned i = 0; i < 20; i++)
		run();
	cr_assert_not(flag(0, "link-up"));
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-link\",\"params\":{\"net\":\"net0\"}"
	      "}",
	      "'up'");
}

Test(hvrun_nets, a_policy_can_be_changed)
{
	start_pair("");
	passes(0);
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-policy\",\"params\":{\"net\":"
		 "\"net0\",\"policy\":"
		 "{\"rules\":[{\"action\":\"deny\",\"direction\":\"out\"}]}}}");
	is_stopped(0, "counters.denied");
	passes(1);
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-policy\",\"params\":{\"net\":"
	      "\"net0\",\"policy\":"
	      "{\"max-bits-per-second\":1}}}",
	      "policy");
	is_stopped(0, "counters.denied");
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-policy\",\"params\":{\"net\":"
		 "\"net0\",\"policy\":null}}");
	passes(0);
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-policy\",\"params\":{\"net\":"
	      "\"net0\"}}",
	      "'policy'");
}

Test(hvrun_nets, a_policy_may_come_from_a_file)
{
	char option[200];
	char path[100];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/policy.json", dir);
	file = fopen(path, "w");
	cr_assert(file && fputs("{\"vlan\": [1, 2], \"dhcp-guard\": true}", file) > 0 &&
		  fclose(file) == 0);
	(void)snprintf(option, sizeof(option), ",policy=%s", path);
	start_pair(option);
	passes(0);
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-add\",\"params\":{\"net\":\"user,"
	      "policy=/nowhere\"}}",
	      "/nowhere: no such file");
	/* And nothing is left of it. */
	for (unsigned i = 0; i < 20; i++)
		run();
	add("user,id=net2");
}

Test(hvrun_nets, what_passes_can_be_captured)
{
	char line[300];

	start_pair("");
	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-capture\",\"params\":{"
		       "\"net\":\"net0\",\"file\":"
		       "\"%s/first\"}}",
		       dir);
	succeeds(line);
	passes(0);
	passes(1);
	cr_assert(strstr(string(0, "capture"), "\"frames\": 2") != NULL, "%s",
		  string(0, "capture"));
	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-capture\",\"params\":{"
		       "\"net\":\"net0\",\"file\":"
		       "\"%s/second\",\"max-bytes\":400}}",
		       dir);
	succeeds(line);
	hvst_shell("tcpdump -r %s/first 2>/dev/null | wc -l | grep -qx 2", dir);
	passes(0);
	passes(0);
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-capture\",\"params\":{\"net\":"
		 "\"net0\"}}");
	hvst_shell("tcpdump -r %s/second 2>/dev/null | wc -l | grep -qx 1", dir);
	cr_assert(member(0, "capture") == NULL);
	passes(0);
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-capture\",\"params\":{\"net\":"
	      "\"net0\",\"file\":\"/\"}}",
	      "directory");
	passes(0);
}

Test(hvrun_nets, what_passes_can_be_mirrored)
{
	char option[200];

	(void)snprintf(option, sizeof(option), "socket:%s/pipe,listen", dir);
	add(option);
	(void)snprintf(option, sizeof(option), "socket:%s/pipe", dir);
	add(option);
	add("user,id=watcher");
	start_guest(3);
	UNTIL(flag(0, "link-up") && flag(1, "link-up"));
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-mirror\",\"params\":{\"net\":"
		 "\"net0\",\"to\":\"watcher\"}}");
	passes(0);
	passes(1);
	UNTIL(guest_nics[2].received == 2);
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-mirror\",\"params\":{\"net\":"
	      "\"net0\",\"to\":\"net0\"}}",
	      "its own mirror");
	/* The one that watches goes first. */
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-remove\",\"params\":{\"net\":"
		 "\"watcher\"}}");
	cr_assert(member(0, "mirror") == NULL);
	passes(0);
}

Test(hvrun_nets, ports_are_forwarded_and_no_longer)
{
	add("user");
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-forward\",\"params\":{\"net\":"
		 "\"net0\",\"forward\":"
		 "\"tcp:127.0.0.1:18765:22\"}}");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-forward\",\"params\":{\"net\":"
	      "\"net0\",\"forward\":"
	      "\"tcp:127.0.0.1:18765:22\"}}",
	      "TCP port 18765");
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-unforward\",\"params\":{\"net\":"
		 "\"net0\",\"forward\":"
		 "\"tcp:127.0.0.1:18765:22\"}}");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-forward\",\"params\":{\"net\":"
	      "\"net0\",\"forward\":\"22\"}}",
	      "'forward'");
}

Test(hvrun_nets, adapters_come_and_go_while_the_guest_runs)
{
	uint8_t message[256];

	start_pair("");
	passes(0);
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"net-remove\",\"params\":{\"net\":"
		 "\"net1\"}}");
	cr_assert(strstr(answer, "\"id\":5") != NULL);
	UNTIL(!flag(0, "link-up"));
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-remove\",\"params\":{\"net\":"
	      "\"net1\"}}",
	      "there is no adapter 'net1'");
	add("user,id=new");
	cr_assert_eq(hvs_guest_wait_message(guest, HVSI_MSG_OFFERCHANNEL, message), 196);
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-add\",\"params\":{\"net\":\"user,id="
	      "new\"}}",
	      "there is an adapter 'new' already");
}

Test(hvrun_nets, what_is_wrong_is_said)
{
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-add\"}", "'net' is missing");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-add\",\"params\":{\"net\":\"tap:no-"
	      "such-tap\"}}",
	      "there is no interface no-such-tap");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-add\",\"params\":{\"net\":\"tap:t,"
	      "queues=2\"}}",
	      "see --io-threads");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-add\",\"params\":{\"net\":\"carrier-"
	      "pigeon\"}}",
	      "give user, tap:NAME or socket:PATH");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-remove\"}", "'net' is missing");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-fly\"}", "there is no such method");
	fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"net-forward\",\"params\":{\"net\":\"x\","
	      "\"forward\":\"tcp:1:1\"}}",
	      "there is no adapter 'x'");
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nets\"}");
	cr_assert(strstr(answer, "[]") != NULL);
	/* Disks are where they were. */
	succeeds("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"disks\"}");
}
