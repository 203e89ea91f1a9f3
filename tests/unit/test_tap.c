/* SPDX-License-Identifier: MIT */
/*
 * TAPs of the kernel, in a network namespace for each test. At the host's side is a raw socket on
 * the interface, which sees in PACKET_VNET_HDR what has been left undone, or leaves something so.
 */
#include "support/fakenic.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <hvstack/host/tap.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUES 2u

static struct event_base *bases[QUEUES];
static struct hvs_tap *tap;
static struct hvs_nic *nic;
static int host = -1; /* raw socket on the interface */
static char logged[1024];

static void setup(void)
{
	hvst_own_network();
	evthread_use_pthreads();
	for (unsigned i = 0; i < QUEUES; i++)
		bases[i] = event_base_new();
	nic = hvst_nic_new();
}

static void teardown(void)
{
	hvs_tap_close(tap);
	for (unsigned i = 0; i < QUEUES; i++)
		if (bases[i])
			event_base_free(bases[i]);
	hvst_nic_free(nic);
	if (host >= 0)
		close(host);
	libevent_global_shutdown();
}

TestSuite(tap, .init = setup, .fini = teardown, .timeout = 120);

static void on_log(void *arg, const char *text)
{
	cr_assert_eq(arg, &tap);
	strncat(logged, text, sizeof(logged) - strlen(logged) - 1);
}

static struct hvs_tap_config good_config(void)
{
	return (struct hvs_tap_config){HVS_TAP_CONFIG_INIT, .name = "tap0", .bases = bases,
				       .base_count = 1,     .log = on_log,  .arg = &tap};
}

static void make_interface(const char *options)
{
	hvst_shell("ip tuntap add dev tap0 mode tap %s && ip link set tap0 up", options);
}

static void listen_at_host(void)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	const int on = 1;

	address.sll_ifindex = (int)if_nametoindex("tap0");
	host = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	cr_assert(host >= 0);
	cr_assert_eq(setsockopt(host, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	cr_assert_eq(setsockopt(host, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	cr_assert_eq(bind(host, (struct sockaddr *)&address, sizeof(address)), 0);
}

/* The kernel notices after a while that somebody is at the other end, and drops until then. */
static void wait_for_carrier(void)
{
	struct ifreq ifr = {.ifr_name = "tap0"};

	hvst_until(NULL, ioctl(host, SIOCGIFFLAGS, &ifr) == 0 && ifr.ifr_flags & IFF_RUNNING);
	hvst_shell("ip link show dev tap0 >/dev/null");
}

static void open_with(const struct hvs_tap_config *cfg)
{
	char why[256] = "";

	cr_assert_eq(hvs_tap_open(cfg, &tap, why, sizeof(why)), 0, "%s", why);
	hvs_tap_ops()->attach(tap, nic);
	if (host >= 0)
		wait_for_carrier();
}

static void start(void)
{
	const struct hvs_tap_config cfg = good_config();

	make_interface("");
	listen_at_host();
	open_with(&cfg);
}

static struct hvs_net_info get_info(void)
{
	struct hvs_net_info info = {HVS_NET_INFO_INIT};

	cr_assert_eq(hvs_tap_ops()->get_info(tap, &info), 0);
	return info;
}

/* ---- the host's side -------------------------------------------------------------------- */

struct packet {
	struct virtio_net_hdr vnet;
	uint8_t bytes[66000];
	uint32_t len;
};

/* The next one that the host gets. */
static const struct packet *host_receives(void)
{
	static struct packet p;
	struct iovec iov[2] = {{&p.vnet, sizeof(p.vnet)}, {p.bytes, sizeof(p.bytes)}};
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n = -1;

	hvst_until(bases[0], (n = recvmsg(host, (struct msghdr *)&msg, 0)) >= 0);
	p.len = (uint32_t)n - (uint32_t)sizeof(p.vnet);
	return &p;
}

static bool host_has_none(void)
{
	char byte;

	return recv(host, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

static bool host_sends(const struct virtio_net_hdr *vnet, const uint8_t *bytes, uint32_t len)
{
	static const struct virtio_net_hdr plain;
	struct iovec iov[2] = {{(void *)(vnet ? vnet : &plain), sizeof(plain)},
			       {(void *)bytes, len}};
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	return sendmsg(host, &msg, 0) == (ssize_t)(sizeof(plain) + len);
}

/* ---- frames ----------------------------------------------------------------------------- */

/* TCP with the pseudo header's sum in place of its checksum. Returns the length. */
static uint32_t tcp_frame(uint8_t *to, int family, uint32_t payload, uint8_t tcp_flags)
{
	const uint32_t l3 = family == AF_INET ? 20 : 40;
	const uint32_t l4_len = 20 + payload;
	uint16_t sum;

	memset(to, 0, 14 + l3 + l4_len);
	memcpy(to, (const uint8_t[12]){2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, 12);
	if (family == AF_INET) {
		const uint32_t ip_len = 20 + l4_len;

		memcpy(to + 12, (const uint8_t[22]){8,
						    0,
						    0x45,
						    0,
						    (uint8_t)(ip_len >> 8),
						    (uint8_t)ip_len,
						    0,
						    1,
						    0x40,
						    0,
						    64,
						    6,
						    0,
						    0,
						    10,
						    9,
						    0,
						    2,
						    10,
						    9,
						    0,
						    1},
		       22);
		sum = (uint16_t)~hvst_sum(to + 14, 20, 0);
		to[24] = (uint8_t)(sum >> 8);
		to[25] = (uint8_t)sum;
		sum = hvst_sum(to + 26, 8, 6 + l4_len);
	} else {
		memcpy(to + 12,
		       (const uint8_t[10]){0x86, 0xdd, 0x60, 0, 0, 0, (uint8_t)(l4_len >> 8),
					   (uint8_t)l4_len, 6, 64},
		       10);
		to[22] = to[38] = 0xfd;
		to[37] = 2;
		to[53] = 1;
		sum = hvst_sum(to + 22, 32, 6 + l4_len);
	}
	to += 14 + l3;
	to[0] = 0x12;
	to[2] = 0x56;
	to[12] = 5 << 4;
	to[13] = tcp_flags;
	to[16] = (uint8_t)(sum >> 8);
	to[17] = (uint8_t)sum;
	for (uint32_t i = 0; i < payload; i++)
		to[20 + i] = (uint8_t)(i * 7);
	return 14 + l3 + l4_len;
}

static void send_tcp(int family, uint32_t payload, uint32_t flags, uint16_t mss, uint8_t tcp_flags)
{
	static uint8_t bytes[66000];
	const uint32_t len = tcp_frame(bytes, family, payload, tcp_flags);
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 128, 4096);

	frame->flags = flags;
	frame->mss = mss;
	frame->l3_off = 14;
	frame->l4_off = family == AF_INET ? 34 : 54;
	frame->payload_off = (uint16_t)(frame->l4_off + 20);
	hvs_tap_ops()->tx(tap, 0, &frame, 1);
}

/* ---- plain frames ----------------------------------------------------------------------- */

Test(tap, frames_pass_both_ways)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 1000, 1);
	const struct packet *p;

	start();
	hvst_send(hvs_tap_ops(), tap, 0, bytes, len);
	cr_assert_eq(hvst_nic_done(nic, HVS_NET_OK), 1);
	p = host_receives();
	cr_assert_eq(p->len, len);
	cr_assert_eq(memcmp(p->bytes, bytes, len), 0);
	cr_assert_eq(p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);

	cr_assert(host_sends(NULL, bytes, len));
	hvst_until(bases[0], hvst_nic_came(nic) == 1);
	cr_assert_eq(hvst_nic_rx(nic, 0).frame.len, len);
	cr_assert_eq(hvst_nic_rx(nic, 0).frame.flags, 0);
	cr_assert_eq(memcmp(hvst_nic_rx(nic, 0).bytes, bytes, len), 0);
}

Test(tap, a_frame_in_many_pieces_arrives_as_one)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 1200, 1);
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 60, 37);
	const struct packet *p;

	start();
	hvs_tap_ops()->tx(tap, 0, &frame, 1);
	p = host_receives();
	cr_assert_eq(p->len, len);
	cr_assert_eq(memcmp(p->bytes, bytes, len), 0);
}

Test(tap, a_guest_without_room_gets_all_frames_later_in_order)
{
	uint8_t bytes[1514];

	start();
	hvst_nic_set_room(nic, 10);
	for (unsigned i = 0; i < 200; i++)
		cr_assert(host_sends(NULL, bytes, hvst_udp4(bytes, 100, (uint8_t)i)));
	hvst_linger(bases[0], 20);
	cr_assert_eq(hvst_nic_came(nic), 10);
	/* It is told once that there is no room, and then waits. */
	cr_assert_eq(nic->no_room, 1);
	hvst_nic_set_room(nic, 20);
	hvs_tap_ops()->rx_room(tap, 0);
	hvst_linger(bases[0], 20);
	cr_assert_eq(hvst_nic_came(nic), 30);
	hvst_nic_set_room(nic, 1000);
	hvs_tap_ops()->rx_room(tap, 0);
	hvst_until(bases[0], hvst_nic_came(nic) == 200);
	for (unsigned i = 0; i < 200; i++)
		cr_assert_eq(hvst_nic_rx(nic, i).bytes[19], (uint8_t)i);
}

Test(tap, a_frame_that_is_none_is_an_error)
{
	start();
	hvst_send(hvs_tap_ops(), tap, 0, "short", 5);
	cr_assert_eq(hvst_nic_done(nic, HVS_NET_ERROR), 1);
}

Test(tap, after_detach_nothing_comes)
{
	uint8_t bytes[1514];

	start();
	hvs_tap_ops()->detach(tap);
	cr_assert(host_sends(NULL, bytes, hvst_udp4(bytes, 100, 1)));
	hvst_linger(bases[0], 20);
	cr_assert_eq(hvst_nic_came(nic), 0);
	/* And a next NIC finds what is there. */
	hvs_tap_ops()->attach(tap, nic);
	hvst_until(bases[0], hvst_nic_came(nic) == 1);
}

/* ---- what is left undone ---------------------------------------------------------------- */

Test(tap, a_checksum_of_the_guest_is_left_to_the_host)
{
	const struct packet *p;

	start();
	cr_assert_eq(get_info().offloads & (HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_VLAN),
		     HVS_NET_CSUM | HVS_NET_TSO | HVS_NET_VLAN);
	send_tcp(AF_INET, 100, HVS_NET_CSUM, 0, 0x10);
	p = host_receives();
	cr_assert(p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	cr_assert_eq(p->vnet.csum_start, 34);
	cr_assert_eq(p->vnet.csum_offset, 16);
	cr_assert_eq(p->vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	send_tcp(AF_INET6, 100, HVS_NET_CSUM, 0, 0x10);
	p = host_receives();
	cr_assert_eq(p->vnet.csum_start, 54);
	cr_assert_eq(p->vnet.csum_offset, 16);
}

Test(tap, a_udp_checksum_is_found_where_udp_has_it)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 100, 1);
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 64, 64);
	const struct packet *p;

	start();
	frame->flags = HVS_NET_CSUM;
	frame->l3_off = 14;
	frame->l4_off = 34;
	frame->payload_off = 42;
	hvs_tap_ops()->tx(tap, 0, &frame, 1);
	p = host_receives();
	cr_assert_eq(p->vnet.csum_start, 34);
	cr_assert_eq(p->vnet.csum_offset, 6);
}

Test(tap, segments_of_the_guest_are_left_to_the_host)
{
	const struct packet *p;

	start();
	send_tcp(AF_INET, 40000, HVS_NET_CSUM | HVS_NET_TSO, 1400, 0x10);
	p = host_receives();
	cr_assert_eq(p->len, 14 + 20 + 20 + 40000);
	cr_assert_eq(p->vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	cr_assert_eq(p->vnet.gso_size, 1400);
	for (uint32_t i = 0; i < 40000; i++)
		cr_assert_eq(p->bytes[54 + i], (uint8_t)(i * 7));
	send_tcp(AF_INET6, 20000, HVS_NET_CSUM | HVS_NET_TSO, 1300, 0x10);
	p = host_receives();
	cr_assert_eq(p->vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
	cr_assert_eq(p->vnet.gso_size, 1300);
}

/* The other end of a bridge, as a raw socket does not see tags where they are. */
static int bridged_tap(void)
{
	struct ifreq ifr = {.ifr_name = "tap1", .ifr_flags = IFF_TAP | IFF_NO_PI};
	const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	hvst_shell("ip tuntap add dev tap1 mode tap && ip link add br0 type bridge && "
		   "ip link set tap0 master br0 && ip link set tap1 master br0 && "
		   "ip link set tap1 up && ip link set br0 up");
	cr_assert_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void send_tagged(const uint8_t *bytes, uint32_t len, uint16_t tci)
{
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 64, 64);

	frame->flags = HVS_NET_VLAN;
	frame->vlan_tci = tci;
	hvs_tap_ops()->tx(tap, 0, &frame, 1);
}

Test(tap, a_tag_is_put_among_the_bytes_and_taken_out_again)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 100, 1);
	uint8_t received[1600];
	int raw;

	start();
	raw = bridged_tap();
	/* Again and again until the bridge forwards. */
	hvst_until(bases[0], (send_tagged(bytes, len, 0x6123),
			      read(raw, received, sizeof(received)) == (ssize_t)len + 4));
	cr_assert_eq(memcmp(received, bytes, 12), 0);
	cr_assert_eq(memcmp(received + 12, (const uint8_t[4]){0x81, 0, 0x61, 0x23}, 4), 0);
	cr_assert_eq(memcmp(received + 16, bytes + 12, len - 12), 0);

	/* To another address than the bridge has learnt to be here. */
	received[5] = bytes[5] = 9;
	received[11] = bytes[11] = 8;
	cr_assert_eq(write(raw, received, len + 4), (ssize_t)len + 4);
	hvst_until(bases[0], hvst_nic_came(nic) > 0);
	cr_assert_eq(hvst_nic_rx(nic, 0).frame.flags, HVS_NET_VLAN);
	cr_assert_eq(hvst_nic_rx(nic, 0).frame.vlan_tci, 0x6123);
	cr_assert_eq(hvst_nic_rx(nic, 0).frame.len, len);
	cr_assert_eq(memcmp(hvst_nic_rx(nic, 0).bytes, bytes, len), 0);
	close(raw);
}

Test(tap, what_the_host_leaves_undone_is_handed_on)
{
	static uint8_t bytes[66000];
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
	struct hvst_rx rx;

	start();
	cr_assert(host_sends(&vnet, bytes, tcp_frame(bytes, AF_INET, 500, 0x10)));
	hvst_until(bases[0], hvst_nic_came(nic) == 1);
	rx = hvst_nic_rx(nic, 0);
	cr_assert_eq(rx.frame.flags, HVS_NET_CSUM);
	cr_assert_eq(rx.frame.l3_off, 14);
	cr_assert_eq(rx.frame.l4_off, 34);
	cr_assert_eq(rx.frame.payload_off, 54);
	cr_assert_eq(rx.frame.mss, 0);

	vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	vnet.gso_size = 1200;
	vnet.hdr_len = 74;
	vnet.csum_start = 54;
	cr_assert(host_sends(&vnet, bytes, tcp_frame(bytes, AF_INET6, 30000, 0x10)));
	hvst_until(bases[0], hvst_nic_came(nic) == 2);
	rx = hvst_nic_rx(nic, 1);
	cr_assert_eq(rx.frame.flags, HVS_NET_CSUM | HVS_NET_TSO);
	cr_assert_eq(rx.frame.mss, 1200);
	cr_assert_eq(rx.frame.l4_off, 54);
	cr_assert_eq(rx.frame.payload_off, 74);
	cr_assert_eq(rx.frame.len, 30074);
	for (uint32_t i = 0; i < 30000; i++)
		cr_assert_eq(rx.bytes[74 + i], (uint8_t)(i * 7));
}

Test(tap, a_checksum_that_no_nic_could_do_is_done)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 101, 1);
	/* As of something in a tunnel: in the middle of UDP's payload. */
	const struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 62, .csum_offset = 16};
	struct hvst_rx rx;

	start();
	bytes[78] = 0x12;
	bytes[79] = 0x34;
	cr_assert(host_sends(&vnet, bytes, len));
	hvst_until(bases[0], hvst_nic_came(nic) == 1);
	rx = hvst_nic_rx(nic, 0);
	cr_assert_eq(rx.frame.flags, 0);
	/* Sum and seed are complements of each other now. */
	cr_assert_eq(hvst_sum(rx.bytes + 62, len - 62, 0x1234), 0xffff);
	cr_assert_eq(memcmp(rx.bytes, bytes, 78), 0);
	cr_assert_eq(memcmp(rx.bytes + 80, bytes + 80, len - 80), 0);
}

/* ---- interfaces that come and go -------------------------------------------------------- */

Test(tap, an_interface_that_is_down_is_a_link_that_is_down)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 100, 1);

	start();
	cr_assert_not(get_info().link_down);
	hvst_shell("ip link set tap0 down");
	hvst_send(hvs_tap_ops(), tap, 0, bytes, len);
	cr_assert_eq(hvst_nic_done(nic, HVS_NET_DROPPED), 1);
	cr_assert_eq(nic->links, 1);
	cr_assert_not(hvst_nic_link(nic));
	cr_assert(strstr(logged, "the interface tap0 is down") != NULL, "%s", logged);
	cr_assert(get_info().link_down);
	hvst_shell("ip link set tap0 up");
	hvst_until(bases[0], hvst_nic_link(nic));
	cr_assert(strstr(logged, "is up") != NULL, "%s", logged);
	hvst_send(hvs_tap_ops(), tap, 0, bytes, len);
	cr_assert_eq(hvst_nic_done(nic, HVS_NET_OK), 1);
}

Test(tap, an_interface_may_come_up_later)
{
	const struct hvs_tap_config cfg = good_config();

	hvst_shell("ip tuntap add dev tap0 mode tap");
	open_with(&cfg);
	cr_assert(get_info().link_down);
	hvst_linger(bases[0], 20);
	cr_assert_eq(nic->links, 0);
	hvst_shell("ip link set tap0 up");
	hvst_until(bases[0], hvst_nic_link(nic));
}

static void deleted_and_made_anew(const char *options)
{
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 100, 7);
	const unsigned dropped = hvst_nic_done(nic, HVS_NET_DROPPED);
	const unsigned came = hvst_nic_came(nic);
	const unsigned links = nic->links;

	hvst_shell("ip link del tap0");
	hvst_until(bases[0], nic->links > links);
	cr_assert_not(hvst_nic_link(nic));
	cr_assert(strstr(logged, "has gone") != NULL, "%s", logged);
	hvst_send(hvs_tap_ops(), tap, 0, bytes, len);
	cr_assert_eq(hvst_nic_done(nic, HVS_NET_DROPPED), dropped + 1);
	close(host);

	make_interface(options);
	hvst_until(bases[0], hvst_nic_link(nic));
	listen_at_host();
	wait_for_carrier();
	hvst_send(hvs_tap_ops(), tap, 0, bytes, len);
	cr_assert_eq(host_receives()->len, len);
	cr_assert(host_sends(NULL, bytes, len));
	hvst_until(bases[0], hvst_nic_came(nic) == came + 1);
}

Test(tap, an_interface_that_is_deleted_is_found_when_there_is_a_new_one)
{
	start();
	deleted_and_made_anew("");
	deleted_and_made_anew("");
}

Test(tap, so_is_one_with_several_queues)
{
	struct hvs_tap_config cfg = good_config();

	make_interface("multi_queue");
	listen_at_host();
	cfg.base_count = QUEUES;
	open_with(&cfg);
	hvst_shell("ip link del tap0");
	hvst_until(bases[0], nic->links > 0);
	hvst_linger(bases[1], 20);
	make_interface("multi_queue");
	hvst_until(bases[0], hvst_nic_link(nic));
	close(host);
	listen_at_host();
	for (uint32_t i = 0; i < QUEUES; i++) {
		uint8_t bytes[1514];
		const uint32_t len = hvst_udp4(bytes, 100, (uint8_t)i);

		hvst_send(hvs_tap_ops(), tap, i, bytes, len);
		cr_assert_eq(host_receives()->bytes[19], i);
	}
}

/* ---- queues ----------------------------------------------------------------------------- */

Test(tap, a_flow_comes_back_on_the_queue_that_it_was_sent_from)
{
	struct hvs_tap_config cfg = good_config();
	uint8_t there[1514];
	uint8_t back[1514];
	const uint32_t len = hvst_udp4(there, 100, 3);

	make_interface("multi_queue");
	listen_at_host();
	cfg.base_count = QUEUES;
	open_with(&cfg);
	cr_assert_eq(get_info().max_queues, QUEUES);
	/* The same flow, of the other direction. */
	memcpy(back, there, len);
	memcpy(back, there + 6, 6);
	memcpy(back + 6, there, 6);
	memcpy(back + 26, there + 30, 4);
	memcpy(back + 30, there + 26, 4);
	memcpy(back + 34, there + 36, 2);
	memcpy(back + 36, there + 34, 2);
	for (uint32_t q = 0; q < QUEUES; q++) {
		const unsigned came = hvst_nic_came(nic);

		hvst_send(hvs_tap_ops(), tap, q, there, len);
		host_receives();
		cr_assert(host_sends(NULL, back, len));
		hvst_until(bases[q], hvst_nic_came(nic) == came + 1);
		cr_assert_eq(hvst_nic_rx(nic, came).queue, q);
		/* The kernel lets a flow move only now and then. */
		hvst_linger(NULL, 1500);
	}
}

Test(tap, one_queue_serves_all_of_a_nic_if_it_is_the_only_one)
{
	struct hvs_tap_config cfg = good_config();
	uint8_t bytes[1514];

	make_interface("");
	listen_at_host();
	cfg.base_count = QUEUES;
	open_with(&cfg);
	cr_assert_eq(get_info().max_queues, QUEUES);
	for (uint32_t q = 0; q < QUEUES; q++) {
		hvst_send(hvs_tap_ops(), tap, q, bytes, hvst_udp4(bytes, 100, (uint8_t)q));
		cr_assert_eq(host_receives()->bytes[19], q);
	}
	cr_assert(host_sends(NULL, bytes, hvst_udp4(bytes, 100, 1)));
	hvst_until(bases[0], hvst_nic_came(nic) == 1);
	cr_assert_eq(hvst_nic_rx(nic, 0).queue, 0);
}

/* ---- opening ---------------------------------------------------------------------------- */

Test(tap, the_interface_says_the_mtu)
{
	struct hvs_tap_config cfg = good_config();

	make_interface("");
	hvst_shell("ip link set tap0 mtu 4000");
	open_with(&cfg);
	cr_assert_eq(get_info().mtu, 4000);
	hvs_tap_close(tap);
	hvst_shell("ip link set tap0 mtu 60000");
	open_with(&cfg);
	cr_assert_eq(get_info().mtu, HVS_NET_MAX_MTU);
	hvs_tap_close(tap);
	cfg.mtu = 1280;
	open_with(&cfg);
	cr_assert_eq(get_info().mtu, 1280);
}

static int open_fd(short flags)
{
	struct ifreq ifr = {.ifr_name = "tap0", .ifr_flags = flags};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	cr_assert(fd >= 0, "/dev/net/tun: %s", strerror(errno));
	cr_assert_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

Test(tap, a_descriptor_that_somebody_else_has_opened_can_be_used)
{
	struct hvs_tap_config cfg = good_config();
	uint8_t bytes[1514];
	const uint32_t len = hvst_udp4(bytes, 100, 1);
	int fd;

	make_interface("");
	listen_at_host();
	fd = open_fd(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	cfg.name = NULL;
	cfg.fds = &fd;
	cfg.fd_count = 1;
	open_with(&cfg);
	cr_assert_eq(get_info().mtu, 1500);
	hvst_send(hvs_tap_ops(), tap, 0, bytes, len);
	cr_assert_eq(host_receives()->len, len);
	cr_assert(host_sends(NULL, bytes, len));
	hvst_until(bases[0], hvst_nic_came(nic) == 1);
}

static void refused(const struct hvs_tap_config *cfg, int err, const char *words)
{
	struct hvs_tap *none = NULL;
	char why[256] = "";

	cr_assert_eq(hvs_tap_open(cfg, &none, why, sizeof(why)), -err, "%s: %s", words, why);
	cr_assert(strstr(why, words) != NULL, "'%s' is not in '%s'", words, why);
	cr_assert(none == NULL);
	cr_assert_eq(hvs_tap_open(cfg, &none, NULL, 0), -err);
}

Test(tap, what_cannot_be_opened_is_refused_with_a_reason)
{
	struct hvs_tap_config cfg = good_config();
	int fd;

	refused(&cfg, ENODEV, "there is no interface tap0");
	cfg.name = "lo";
	refused(&cfg, EINVAL, "lo is not a TAP interface");
	cfg.name = "a-name-too-long-for-it";
	refused(&cfg, EINVAL, "can't be the name");
	make_interface("");
	cfg = good_config();
	cfg.base_count = QUEUES;
	cfg.queue_count = QUEUES;
	refused(&cfg, EINVAL, "tap0 has one queue only");
	cfg.queue_count = QUEUES + 1;
	refused(&cfg, EINVAL, "more queues than bases");
	cfg = good_config();
	fd = open_fd(IFF_TAP | IFF_NO_PI);
	refused(&cfg, EBUSY, "somebody else uses tap0");
	cfg.name = NULL;
	refused(&cfg, EINVAL, "either a name or descriptors");
	cfg.fds = &fd;
	cfg.fd_count = 1;
	refused(&cfg, EINVAL, "IFF_VNET_HDR");
	cfg.fds = &host;
	refused(&cfg, EINVAL, "IFF_VNET_HDR");
	/* It is still the caller's. */
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	cfg = good_config();
	cfg.mtu = 67;
	refused(&cfg, EINVAL, "the MTU has to be");
	cfg = good_config();
	cfg.flags = 1;
	refused(&cfg, ENOTSUP, "unknown flags");
	cfg = good_config();
	cfg.base_count = 0;
	refused(&cfg, EINVAL, "bases have to be given");
	cfg = good_config();
	cfg.size = 8;
	refused(&cfg, EINVAL, "not one that this library knows");
	cr_assert(host_has_none() || host < 0);
}
