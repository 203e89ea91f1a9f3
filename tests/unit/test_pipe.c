/* SPDX-License-Identifier: MIT */
/* Frames through a Unix socket: the test is at the other end, or a second pipe. */
#include "support/fakenic.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <hvstack/host/wire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct event_base *base;
static struct hvs_pipe *end[2];
static struct hvs_nic *nic[2];
static int other = -1;
static char dir[] = "/tmp/hvs-pipetest-XXXXXX";
static char path[64];
static char logged[1024];

static void setup(void)
{
	evthread_use_pthreads();
	base = event_base_new();
	nic[0] = hvst_nic_new();
	nic[1] = hvst_nic_new();
	cr_assert(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
}

static void teardown(void)
{
	hvs_pipe_close(end[0]);
	hvs_pipe_close(end[1]);
	event_base_free(base);
	hvst_nic_free(nic[0]);
	hvst_nic_free(nic[1]);
	if (other >= 0)
		close(other);
	unlink(path);
	rmdir(dir);
	libevent_global_shutdown();
}

TestSuite(pipe, .init = setup, .fini = teardown, .timeout = 60);

static void on_log(void *arg, const char *text)
{
	(void)arg;
	strncat(logged, text, sizeof(logged) - strlen(logged) - 1);
}

static struct hvs_pipe_config good_config(void)
{
	return (struct hvs_pipe_config){HVS_PIPE_CONFIG_INIT, .base = base, .log = on_log};
}

static void open_with(unsigned which, const struct hvs_pipe_config *cfg)
{
	char why[256] = "";

	cr_assert_eq(hvs_pipe_open(cfg, &end[which], why, sizeof(why)), 0, "%s", why);
	hvs_pipe_ops()->attach(end[which], nic[which]);
}

static void open_pair(int type)
{
	struct hvs_pipe_config cfg = good_config();
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
	other = fds[1];
	cfg.fd = fds[0];
	open_with(0, &cfg);
}

static void open_path(unsigned which, uint32_t flags)
{
	struct hvs_pipe_config cfg = good_config();

	cfg.path = path;
	cfg.flags = flags;
	open_with(which, &cfg);
}

static void send_frame(unsigned from, uint32_t payload, uint8_t mark)
{
	uint8_t bytes[2000];

	hvst_send(hvs_pipe_ops(), end[from], 0, bytes, hvst_udp4(bytes, payload, mark));
}

static bool both_linked(void)
{
	return hvst_nic_link(nic[0]) && hvst_nic_link(nic[1]);
}

static void frames_pass(void)
{
	for (unsigned i = 0; i < 2; i++) {
		const unsigned came = hvst_nic_came(nic[!i]);

		send_frame(i, 500, (uint8_t)i);
		hvst_until(base, hvst_nic_came(nic[!i]) == came + 1);
		cr_assert_eq(hvst_nic_rx(nic[!i], came).bytes[19], i);
		cr_assert_eq(hvst_nic_rx(nic[!i], came).frame.len, 542);
	}
}

/* ---- a socket that is given ------------------------------------------------------------- */

static void both_ways(int type)
{
	uint8_t bytes[2000];
	uint8_t received[2000];
	const uint32_t len = hvst_udp4(bytes, 1000, 1);
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 64, 50);

	open_pair(type);
	cr_assert(hvst_nic_link(nic[0]));
	hvs_pipe_ops()->tx(end[0], 0, &frame, 1);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_OK), 1);
	cr_assert_eq(read(other, received, sizeof(received)), (ssize_t)len);
	cr_assert_eq(memcmp(received, bytes, len), 0);
	cr_assert_eq(write(other, bytes, len), (ssize_t)len);
	hvst_until(base, hvst_nic_came(nic[0]) == 1);
	cr_assert_eq(hvst_nic_rx(nic[0], 0).frame.len, len);
	cr_assert_eq(hvst_nic_rx(nic[0], 0).frame.flags, 0);
	cr_assert_eq(memcmp(hvst_nic_rx(nic[0], 0).bytes, bytes, len), 0);
}

Test(pipe, frames_pass_through_packets)
{
	both_ways(SOCK_SEQPACKET);
}

Test(pipe, frames_pass_through_datagrams)
{
	both_ways(SOCK_DGRAM);
}

Test(pipe, what_can_be_no_frame_is_ignored)
{
	uint8_t bytes[2000];
	const uint32_t len = hvst_udp4(bytes, 1000, 1);

	open_pair(SOCK_DGRAM);
	cr_assert_eq(write(other, bytes, 13), 13);
	cr_assert_eq(send(other, bytes, 0, 0), 0);
	cr_assert_eq(write(other, bytes, 1), 1);
	cr_assert_eq(write(other, bytes, len), (ssize_t)len);
	hvst_until(base, hvst_nic_came(nic[0]) == 1);
	cr_assert_eq(hvst_nic_rx(nic[0], 0).frame.len, len);
	cr_assert(hvst_nic_link(nic[0]));
}

Test(pipe, the_end_of_the_other_is_the_end_of_the_link)
{
	open_pair(SOCK_SEQPACKET);
	close(other);
	other = -1;
	hvst_until(base, !hvst_nic_link(nic[0]));
	cr_assert(strstr(logged, "the other end of the socket has gone") != NULL);
	send_frame(0, 100, 1);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_DROPPED), 1);
}

static unsigned fill(void)
{
	unsigned sent = 0;

	while (hvst_nic_done(nic[0], HVS_NET_OK) == sent) {
		cr_assert(sent < 100000);
		send_frame(0, 1000, (uint8_t)sent++);
	}
	return sent;
}

Test(pipe, a_socket_that_is_full_takes_the_rest_when_it_is_read)
{
	uint8_t received[2000];
	unsigned sent;

	open_pair(SOCK_SEQPACKET);
	sent = fill();
	send_frame(0, 1000, (uint8_t)sent++);
	for (unsigned i = 0; i < sent; i++) {
		ssize_t n;

		while ((n = read(other, received, sizeof(received))) < 0)
			hvst_turn(base);
		cr_assert_eq(n, 1042);
		cr_assert_eq(received[19], (uint8_t)i);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	hvst_until(base, hvst_nic_done(nic[0], HVS_NET_OK) == sent);
	/* And then as before. */
	send_frame(0, 1000, 99);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_OK), sent + 1);
}

Test(pipe, an_end_that_does_not_read_holds_up_nobody_for_long)
{
	open_pair(SOCK_SEQPACKET);
	fill();
	send_frame(0, 1000, 1);
	hvst_until(base, hvst_nic_done(nic[0], HVS_NET_DROPPED) == 2);
}

Test(pipe, frames_that_wait_come_back_when_the_nic_goes)
{
	open_pair(SOCK_SEQPACKET);
	fill();
	hvs_pipe_ops()->detach(end[0]);
	cr_assert_eq(hvst_nic_done(nic[0], HVS_NET_DROPPED), 1);
}

/* ---- a path ----------------------------------------------------------------------------- */

Test(pipe, two_ends_meet_at_a_path)
{
	struct stat st;

	open_path(0, HVS_PIPE_LISTEN);
	cr_assert_not(hvst_nic_link(nic[0]));
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
	open_path(1, 0);
	hvst_until(base, both_linked());
	frames_pass();
}

Test(pipe, it_does_not_matter_who_is_first)
{
	open_path(1, 0);
	cr_assert_not(hvst_nic_link(nic[1]));
	send_frame(1, 100, 1);
	cr_assert_eq(hvst_nic_done(nic[1], HVS_NET_DROPPED), 1);
	hvst_linger(base, 50);
	open_path(0, HVS_PIPE_LISTEN);
	hvst_until(base, both_linked());
	frames_pass();
}

Test(pipe, either_end_may_leave_and_come_back)
{
	open_path(0, HVS_PIPE_LISTEN);
	open_path(1, 0);
	hvst_until(base, both_linked());
	for (unsigned i = 0; i < 2; i++) {
		hvs_pipe_close(end[i]);
		end[i] = NULL;
		hvst_until(base, !hvst_nic_link(nic[!i]));
		open_path(i, i == 0 ? HVS_PIPE_LISTEN : 0);
		hvst_until(base, both_linked());
		frames_pass();
	}
}

Test(pipe, a_socket_that_is_left_over_is_replaced)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	open_path(0, HVS_PIPE_LISTEN);
	open_path(1, 0);
	hvst_until(base, both_linked());
	frames_pass();
	hvs_pipe_close(end[0]);
	end[0] = NULL;
	cr_assert_eq(access(path, F_OK), -1);
}

/* ---- refusals --------------------------------------------------------------------------- */

static void refused(const struct hvs_pipe_config *cfg, int err, const char *words)
{
	struct hvs_pipe *none = NULL;
	char why[256] = "";

	cr_assert_eq(hvs_pipe_open(cfg, &none, why, sizeof(why)), -err, "%s: %s", words, why);
	cr_assert(strstr(why, words) != NULL, "'%s' is not in '%s'", words, why);
	cr_assert(none == NULL);
	cr_assert_eq(hvs_pipe_open(cfg, &none, NULL, 0), -err);
}

Test(pipe, what_cannot_be_is_refused_with_a_reason)
{
	struct hvs_pipe_config cfg = good_config();
	char longer[200];
	int fds[2];

	cfg.base = NULL;
	cfg.path = path;
	refused(&cfg, EINVAL, "a base");
	cfg.base = base;
	cfg.fd = 3;
	refused(&cfg, EINVAL, "either a path or a descriptor");
	cfg.fd = 0;
	cfg.flags = 2;
	refused(&cfg, ENOTSUP, "unknown flags");
	cfg.flags = HVS_PIPE_LISTEN;
	cfg.mtu = 10000;
	refused(&cfg, EINVAL, "MTU");
	cfg.mtu = 0;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	cfg.path = longer;
	refused(&cfg, ENAMETOOLONG, "characters");
	cfg.path = "/nowhere/at/all";
	refused(&cfg, ENOENT, "No such file");
	cfg.path = dir;
	refused(&cfg, EADDRINUSE, "in use");
	cfg.path = path;
	open_with(0, &cfg);
	refused(&cfg, EADDRINUSE, "somebody else listens");

	cfg = good_config();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cfg.fd = fds[0];
	refused(&cfg, EINVAL, "keeps packets apart");
	cr_assert_neq(fcntl(fds[0], F_GETFD), -1); /* still the caller's */
	close(fds[0]);
	close(fds[1]);
	cfg.fd = 999;
	refused(&cfg, EINVAL, "keeps packets apart");
}
