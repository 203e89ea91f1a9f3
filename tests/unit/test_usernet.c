/* SPDX-License-Identifier: MIT */
/*
 * The network of libslirp, with a guest that speaks just enough ARP, DHCP, UDP and TCP, and real
 * sockets of the host, in a network namespace for each test.
 */
#include "support/fakenic.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <hvstack/host/usernet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTO_TCP 6u
#define PROTO_UDP 17u
#define TCP_SYN 0x02u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u
#define GUEST_PORT 7777u
#define HOST_PORT 5555u

static struct event_base *base;
static struct hvs_usernet *net;
static struct hvs_nic *nic;
static unsigned looked; /* frames that received() has passed */

static const uint8_t guest_mac[6] = {0x02, 0, 0, 0, 0, 1};
static const uint8_t guest_ip[4] = {10, 0, 2, 15};
static const uint8_t router_ip[4] = {10, 0, 2, 2};
static const uint8_t name_server_ip[4] = {10, 0, 2, 3};

static void setup(void)
{
	hvst_own_network();
	evthread_use_pthreads();
	base = event_base_new();
	nic = hvst_nic_new();
}

static void teardown(void)
{
	hvs_usernet_destroy(net);
	event_base_free(base);
	hvst_nic_free(nic);
	libevent_global_shutdown();
}

TestSuite(usernet, .init = setup, .fini = teardown, .timeout = 120);

static struct hvs_usernet_config good_config(void)
{
	return (struct hvs_usernet_config){HVS_USERNET_CONFIG_INIT, .base = base,
					   .hostname = "guest"};
}

static void open_with(const struct hvs_usernet_config *cfg)
{
	cr_assert_eq(hvs_usernet_create(cfg, &net), 0);
	hvs_usernet_ops()->attach(net, nic);
}

/* ---- the guest -------------------------------------------------------------------------- */

static void put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *from)
{
	return (unsigned)from[0] << 8 | from[1];
}

static uint32_t get32(const uint8_t *from)
{
	return (uint32_t)get16(from) << 16 | get16(from + 2);
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, value >> 16);
	put16(to + 2, value);
}

/* Send an IPv4 packet whose payload, of that protocol, is at frame + 34. */
static void guest_sends_ip(uint8_t *frame, unsigned proto, const uint8_t from[4],
			   const uint8_t to[4], uint32_t len, uint32_t sum_at)
{
	memset(frame, 0xff, 6);
	memcpy(frame + 6, guest_mac, 6);
	memcpy(frame + 12, (const uint8_t[12]){8, 0, 0x45, 0, 0, 0, 0, 1, 0, 0, 64, 0}, 12);
	put16(frame + 16, 20 + len);
	frame[23] = (uint8_t)proto;
	put16(frame + 24, 0);
	memcpy(frame + 26, from, 4);
	memcpy(frame + 30, to, 4);
	put16(frame + 24, (uint16_t)~hvst_sum(frame + 14, 20, 0));
	put16(frame + 34 + sum_at, 0);
	put16(frame + 34 + sum_at,
	      (uint16_t)~hvst_sum(frame + 34, len, proto + len + hvst_sum(frame + 26, 8, 0)));
	hvst_send(hvs_usernet_ops(), net, 0, frame, 34 + len);
}

static void guest_sends_udp(const uint8_t from[4], unsigned from_port, const uint8_t to[4],
			    unsigned to_port, const void *bytes, uint32_t len)
{
	uint8_t frame[2000];

	put16(frame + 34, from_port);
	put16(frame + 36, to_port);
	put16(frame + 38, 8 + len);
	memcpy(frame + 42, bytes, len);
	guest_sends_ip(frame, PROTO_UDP, from, to, 8 + len, 6);
}

static void guest_sends_tcp(unsigned to_port, uint32_t seq, uint32_t ack, unsigned flags,
			    const char *text)
{
	const uint32_t len = (uint32_t)strlen(text);
	uint8_t frame[2000] = {0};

	put16(frame + 34, GUEST_PORT);
	put16(frame + 36, to_port);
	put32(frame + 38, seq);
	put32(frame + 42, ack);
	frame[46] = 5 << 4;
	frame[47] = (uint8_t)flags;
	put16(frame + 48, 60000);
	memcpy(frame + 54, text, len);
	guest_sends_ip(frame, PROTO_TCP, guest_ip, router_ip, 20 + len, 16);
}

/* So that nobody has to ask where the guest is. */
static void guest_is_there(void)
{
	uint8_t arp[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6,
			   0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0, 0, 0, 1};

	memcpy(arp + 28, guest_ip, 4);
	memcpy(arp + 38, router_ip, 4);
	hvst_send(hvs_usernet_ops(), net, 0, arp, sizeof(arp));
}

/* The next IPv4 packet of a protocol, if it has come; its payload is at frame + 34. */
static const uint8_t *received(unsigned proto)
{
	while (looked < hvst_nic_came(nic)) {
		const struct hvst_rx rx = hvst_nic_rx(nic, looked++);

		cr_assert_eq(rx.queue, 0);
		if (rx.frame.len >= 42 && get16(rx.bytes + 12) == 0x0800 && rx.bytes[23] == proto)
			return rx.bytes;
	}
	return NULL;
}

static const uint8_t *wait_for(unsigned proto)
{
	const uint8_t *frame = NULL;

	hvst_until(base, (frame = received(proto)));
	return frame;
}

/* ---- the host --------------------------------------------------------------------------- */

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int host_socket(int type)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	cr_assert(fd >= 0);
	return fd;
}

static int host_bound(int type, unsigned port)
{
	const struct sockaddr_in address = loopback(port);
	int fd = host_socket(type);

	cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static struct hvs_usernet_forward forward(bool udp)
{
	return (struct hvs_usernet_forward){HVS_USERNET_FORWARD_INIT, .udp = udp,
					    .host_port = HOST_PORT, .guest_port = GUEST_PORT,
					    .host_addr = {127, 0, 0, 1}};
}

/* ---- DHCP, DNS -------------------------------------------------------------------------- */

/* Send a DHCP message; returns the answer's BOOTP header. */
static const uint8_t *dhcp(uint8_t type)
{
	static const uint8_t nobody[4];
	static const uint8_t everybody[4] = {255, 255, 255, 255};
	uint8_t message[300] = {1, 1, 6, 0, 0x11, 0x22, 0x33, 0x44};
	const uint8_t *answer;

	memcpy(message + 28, guest_mac, 6);
	memcpy(message + 236, (const uint8_t[8]){0x63, 0x82, 0x53, 0x63, 53, 1, type, 255}, 8);
	guest_sends_udp(nobody, 68, everybody, 67, message, sizeof(message));
	answer = wait_for(PROTO_UDP);
	cr_assert_eq(get16(answer + 34), 67);
	cr_assert_eq(get16(answer + 36), 68);
	return answer + 42;
}

/* Where its value is. */
static const uint8_t *dhcp_option(const uint8_t *bootp, uint8_t code)
{
	const uint8_t *at = bootp + 240;

	while (*at != code) {
		cr_assert_neq(*at, 255, "no option %u", code);
		at += 2 + at[1];
	}
	return at + 2;
}

Test(usernet, a_guest_is_given_addresses)
{
	const struct hvs_usernet_config cfg = good_config();
	const uint8_t *offer;

	open_with(&cfg);
	offer = dhcp(1);
	cr_assert_eq(memcmp(offer + 4, (const uint8_t[4]){0x11, 0x22, 0x33, 0x44}, 4), 0);
	cr_assert_eq(*dhcp_option(offer, 53), 2);
	cr_assert_eq(memcmp(offer + 16, guest_ip, 4), 0);
	cr_assert_eq(memcmp(dhcp_option(offer, 3), router_ip, 4), 0);
	cr_assert_eq(memcmp(dhcp_option(offer, 6), name_server_ip, 4), 0);
	cr_assert_eq(memcmp(dhcp_option(offer, 12), "guest", 5), 0);
	cr_assert_eq(hvst_nic_done(nic, HVS_NET_OK), 1);
}

Test(usernet, the_network_may_be_another_one)
{
	struct hvs_usernet_config cfg = good_config();

	memcpy(cfg.network, (const uint8_t[4]){192, 168, 77, 0}, 4);
	open_with(&cfg);
	cr_assert_eq(memcmp(dhcp(1) + 16, (const uint8_t[4]){192, 168, 77, 15}, 4), 0);
}

Test(usernet, names_are_asked_of_the_hosts_name_server)
{
	static const char question[] = "\x12\x34 a question";
	const struct hvs_usernet_config cfg = good_config();
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	const uint8_t *answer;
	char bytes[100];
	int server;

	hvst_shell("mount --make-rprivate / && mount -t tmpfs none /mnt && "
		   "echo nameserver 127.0.0.1 >/mnt/resolv.conf && "
		   "mount --bind /mnt/resolv.conf /etc/resolv.conf");
	server = host_bound(SOCK_DGRAM, 53);
	open_with(&cfg);
	guest_is_there();
	guest_sends_udp(guest_ip, 1000, name_server_ip, 53, question, sizeof(question));
	hvst_until(base, recvfrom(server, bytes, sizeof(bytes), 0, (struct sockaddr *)&from,
				  &from_len) == sizeof(question));
	cr_assert_eq(memcmp(bytes, question, sizeof(question)), 0);
	cr_assert_eq(sendto(server, "an answer", 9, 0, (struct sockaddr *)&from, from_len), 9);
	answer = wait_for(PROTO_UDP);
	cr_assert_eq(memcmp(answer + 26, name_server_ip, 4), 0);
	cr_assert_eq(get16(answer + 36), 1000);
	cr_assert_eq(memcmp(answer + 42, "an answer", 9), 0);
	close(server);
}

/* ---- to the host ------------------------------------------------------------------------ */

/* Does a datagram of the guest arrive at the host? */
static bool arrives(int server)
{
	char byte;

	guest_is_there();
	guest_sends_udp(guest_ip, 1000, router_ip, HOST_PORT, "x", 1);
	hvst_linger(base, 100);
	return recv(server, &byte, 1, 0) == 1;
}

Test(usernet, the_routers_address_is_the_hosts)
{
	const struct hvs_usernet_config cfg = good_config();
	const int server = host_bound(SOCK_DGRAM, HOST_PORT);

	open_with(&cfg);
	cr_assert(arrives(server));
	close(server);
}

Test(usernet, a_restricted_guest_reaches_nobody)
{
	struct hvs_usernet_config cfg = good_config();
	const int server = host_bound(SOCK_DGRAM, HOST_PORT);

	cfg.flags = HVS_USERNET_RESTRICTED;
	open_with(&cfg);
	cr_assert_not(arrives(server));
	/* But still finds DHCP. */
	cr_assert_eq(*dhcp_option(dhcp(1), 53), 2);
	close(server);
}

Test(usernet, the_hosts_loopback_can_be_closed)
{
	struct hvs_usernet_config cfg = good_config();
	const int server = host_bound(SOCK_DGRAM, HOST_PORT);

	cfg.flags = HVS_USERNET_NO_LOOPBACK;
	open_with(&cfg);
	cr_assert_not(arrives(server));
	close(server);
}

Test(usernet, a_frame_in_pieces_of_another_queue_arrives)
{
	struct hvs_usernet_config cfg = good_config();
	uint8_t bytes[200];
	struct hvs_net_frame *frame;
	const int server = host_bound(SOCK_DGRAM, 0x5601);
	char payload[200];

	cfg.max_queues = 4;
	open_with(&cfg);
	guest_is_there();
	hvst_udp4(bytes, 100, 1);
	memcpy(bytes + 26, guest_ip, 4);
	memcpy(bytes + 30, router_ip, 4);
	put16(bytes + 24, 0);
	put16(bytes + 24, (uint16_t)~hvst_sum(bytes + 14, 20, 0));
	put16(bytes + 40, 0); /* UDP may go without a checksum */
	frame = hvst_frame(bytes, 142, 64, 9);
	hvs_usernet_ops()->tx(net, 3, &frame, 1);
	hvst_until(base, recv(server, payload, sizeof(payload), 0) == 100);
	cr_assert_eq(memcmp(payload, bytes + 42, 100), 0);
	close(server);
}

/* ---- from the host ---------------------------------------------------------------------- */

Test(usernet, a_udp_port_is_forwarded)
{
	const struct hvs_usernet_config cfg = good_config();
	const struct hvs_usernet_forward f = forward(true);
	const struct sockaddr_in to = loopback(HOST_PORT);
	const int client = host_socket(SOCK_DGRAM);
	const uint8_t *frame;
	char bytes[10];

	open_with(&cfg);
	guest_is_there();
	cr_assert_eq(hvs_usernet_add_forward(net, &f), 0);
	cr_assert_eq(sendto(client, "hello", 5, 0, (const struct sockaddr *)&to, sizeof(to)), 5);
	frame = wait_for(PROTO_UDP);
	cr_assert_eq(get16(frame + 36), GUEST_PORT);
	cr_assert_eq(memcmp(frame + 30, guest_ip, 4), 0);
	cr_assert_eq(memcmp(frame + 42, "hello", 5), 0);
	guest_sends_udp(guest_ip, GUEST_PORT, frame + 26, get16(frame + 34), "world", 5);
	hvst_until(base, recv(client, bytes, sizeof(bytes), 0) == 5);
	cr_assert_eq(memcmp(bytes, "world", 5), 0);
	close(client);
}

Test(usernet, a_tcp_port_is_forwarded)
{
	const struct hvs_usernet_config cfg = good_config();
	const struct hvs_usernet_forward f = forward(false);
	const struct sockaddr_in to = loopback(HOST_PORT);
	const int client = host_socket(SOCK_STREAM);
	const uint8_t *frame;
	unsigned port;
	uint32_t seq;
	char bytes[10];

	open_with(&cfg);
	guest_is_there();
	cr_assert_eq(hvs_usernet_add_forward(net, &f), 0);
	cr_assert(connect(client, (const struct sockaddr *)&to, sizeof(to)) == 0 ||
		  errno == EINPROGRESS);
	frame = wait_for(PROTO_TCP);
	cr_assert_eq(frame[47] & (TCP_SYN | TCP_ACK), TCP_SYN);
	cr_assert_eq(get16(frame + 36), GUEST_PORT);
	port = get16(frame + 34);
	seq = get32(frame + 38) + 1;
	guest_sends_tcp(port, 1000, seq, TCP_SYN | TCP_ACK, "");
	hvst_until(base, send(client, "hello", 5, 0) == 5);
	do
		frame = wait_for(PROTO_TCP);
	while (get16(frame + 16) == 40);
	cr_assert_eq(memcmp(frame + 34 + (size_t)(frame[46] >> 4) * 4, "hello", 5), 0);
	guest_sends_tcp(port, 1001, seq + 5, TCP_ACK | TCP_PSH, "world");
	hvst_until(base, recv(client, bytes, sizeof(bytes), 0) == 5);
	cr_assert_eq(memcmp(bytes, "world", 5), 0);
	close(client);
}

Test(usernet, forwards_come_and_go)
{
	const struct hvs_usernet_config cfg = good_config();
	const struct hvs_usernet_forward f = forward(false);
	struct hvs_usernet_forward wrong = f;
	const struct sockaddr_in to = loopback(HOST_PORT);
	int client = socket(AF_INET, SOCK_STREAM, 0);

	open_with(&cfg);
	cr_assert_eq(hvs_usernet_remove_forward(net, &f), -ENOENT);
	cr_assert_eq(hvs_usernet_add_forward(net, &f), 0);
	cr_assert_eq(hvs_usernet_add_forward(net, &f), -EADDRINUSE);
	cr_assert_eq(connect(client, (const struct sockaddr *)&to, sizeof(to)), 0);
	close(client);
	hvst_linger(base, 10);
	cr_assert_eq(hvs_usernet_remove_forward(net, &f), 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(client, (const struct sockaddr *)&to, sizeof(to)), -1);
	cr_assert_eq(errno, ECONNREFUSED);
	close(client);
	wrong.host_port = 0;
	cr_assert_eq(hvs_usernet_add_forward(net, &wrong), -EINVAL);
	wrong = f;
	wrong.guest_port = 0;
	cr_assert_eq(hvs_usernet_add_forward(net, &wrong), -EINVAL);
	cr_assert_eq(hvs_usernet_add_forward(net, NULL), -EINVAL);
}

/* ---- room, and leaving ------------------------------------------------------------------ */

static void ask_for_frames(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		guest_is_there(); /* the router answers */
}

Test(usernet, a_guest_without_room_gets_all_frames_later)
{
	const struct hvs_usernet_config cfg = good_config();

	open_with(&cfg);
	hvst_linger(base, 20);
	hvst_nic_set_room(nic, 5);
	ask_for_frames(100);
	hvst_until(base, nic->no_room == 1);
	ask_for_frames(50);
	hvst_linger(base, 20);
	cr_assert_eq(nic->no_room, 1);
	hvst_nic_set_room(nic, 1000);
	hvs_usernet_ops()->rx_room(net, 0);
	hvst_until(base, hvst_nic_came(nic) >= 150);
}

Test(usernet, after_detach_nothing_comes)
{
	const struct hvs_usernet_config cfg = good_config();
	unsigned came;

	open_with(&cfg);
	hvst_linger(base, 20);
	came = hvst_nic_came(nic);
	ask_for_frames(10);
	hvs_usernet_ops()->detach(net);
	cr_assert_eq(hvst_nic_done(nic, HVS_NET_DROPPED), 10);
	hvst_linger(base, 20);
	cr_assert_eq(hvst_nic_came(nic), came);
	/* And with a next NIC it goes on. */
	hvs_usernet_ops()->attach(net, nic);
	ask_for_frames(10);
	hvst_until(base, hvst_nic_came(nic) >= came + 10);
}

Test(usernet, it_says_what_it_can)
{
	struct hvs_usernet_config cfg = good_config();
	struct hvs_net_info info = {HVS_NET_INFO_INIT};

	cfg.max_queues = 3;
	cfg.mtu = 4000;
	open_with(&cfg);
	cr_assert_eq(hvs_usernet_ops()->get_info(net, &info), 0);
	cr_assert_eq(info.offloads, 0);
	cr_assert_eq(info.mtu, 4000);
	cr_assert_eq(info.max_queues, 3);
	cr_assert_not(info.link_down);
}

Test(usernet, wrong_configurations_are_refused)
{
	struct hvs_usernet_config cfg = good_config();

	cr_assert_eq(hvs_usernet_create(NULL, &net), -EINVAL);
	cr_assert_eq(hvs_usernet_create(&cfg, NULL), -EINVAL);
	cfg.flags = 8;
	cr_assert_eq(hvs_usernet_create(&cfg, &net), -ENOTSUP);
	cfg = good_config();
	cfg.base = NULL;
	cr_assert_eq(hvs_usernet_create(&cfg, &net), -EINVAL);
	cfg = good_config();
	cfg.mtu = 67;
	cr_assert_eq(hvs_usernet_create(&cfg, &net), -EINVAL);
	cfg.mtu = HVS_NET_MAX_MTU + 1;
	cr_assert_eq(hvs_usernet_create(&cfg, &net), -EINVAL);
	cfg = good_config();
	memcpy(cfg.network, (const uint8_t[4]){10, 1, 2, 3}, 4);
	cr_assert_eq(hvs_usernet_create(&cfg, &net), -EINVAL);
	cr_assert(net == NULL);
}
