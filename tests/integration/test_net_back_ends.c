/* SPDX-License-Identifier: MIT */
/* Whole ways: from a guest's driver through a NIC and a back end to another one, or to the host. */
#include "support/netenv.h"
#include "support/nic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <hvstack/host/capture.h>
#include <hvstack/host/tap.h>
#include <hvstack/host/usernet.h>
#include <hvstack/host/wire.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROMISCUOUS 0x20u
#define MACHINES 3u

static struct event_base *base;
static struct nic *machine[MACHINES];
static struct hvs_wire *wire;
static struct hvs_tap *tap;

static void setup(void)
{
	evthread_use_pthreads();
	base = event_base_new();
}

static void teardown(void)
{
	for (unsigned i = 0; i < MACHINES; i++)
		if (machine[i])
			nic_down(machine[i]);
	hvs_wire_destroy(wire);
	hvs_tap_close(tap);
	event_base_free(base);
	libevent_global_shutdown();
}

TestSuite(net_back_ends, .init = setup, .fini = teardown, .timeout = 120);

static void run(void)
{
	for (unsigned i = 0; i < MACHINES; i++)
		if (machine[i])
			nic_run(machine[i]);
	event_base_loop(base, EVLOOP_NONBLOCK);
}

#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		for (unsigned tries = 0; !(condition); tries++) {                                  \
			cr_assert(tries < 20000, "never: %s", #condition);                         \
			run();                                                                     \
			hvst_turn(base);                                                           \
		}                                                                                  \
	} while (0)

static void add_machine(unsigned n, const struct hvs_net_ops *ops, void *back_end)
{
	const struct nic_options opt = {
		.guest = {.send_bytes = 256u * 1024}, .ops = ops, .back_end = back_end};

	machine[n] = nic_new(&opt);
}

static void join(void)
{
	struct hvs_wire_config cfg = {HVS_WIRE_CONFIG_INIT};

	cfg.end[0] = cfg.end[1] = (struct hvs_wire_end_config){.bases = &base, .base_count = 1};
	cr_assert_eq(hvs_wire_create(&cfg, &wire), 0);
	for (unsigned i = 0; i < 2; i++)
		add_machine(i, hvs_wire_ops(), hvs_wire_get_end(wire, i));
}

/* A frame of the guest; `to` decides whose address is on it. */
static uint32_t send_frame(unsigned from, bool to_guest, uint32_t payload, uint32_t seed)
{
	uint8_t frame[1514];
	uint32_t len = nic_frame(frame, to_guest, false, payload, seed);

	/* Both machines have the same address; the port's policy wants it in front. */
	memcpy(frame + 6, nic_mac, 6);
	nic_send(machine[from], 0, seed, frame, len);
	return len;
}

/* ---- a back end's life -------------------------------------------------------------------- */

static struct {
	unsigned attached;
	unsigned detached;
	struct hvs_nic *nic;
} life;

static int life_info(void *net, struct hvs_net_info *info)
{
	(void)net;
	(void)info;
	cr_assert_eq(life.attached, life.detached);
	return 0;
}

static void life_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	(void)net;
	(void)queue;
	hvs_nic_tx_done(life.nic, frames, n, HVS_NET_OK);
}

static void life_attach(void *net, struct hvs_nic *nic)
{
	cr_assert_eq(net, &life);
	life.attached++;
	life.nic = nic;
}

static void life_detach(void *net)
{
	cr_assert_eq(net, &life);
	life.detached++;
}

static const struct hvs_net_ops life_ops = {HVS_NET_OPS_INIT, .get_info = life_info, .tx = life_tx,
					    .attach = life_attach, .detach = life_detach};

static void on_done(void *arg, int status)
{
	cr_assert_eq(status, 0);
	*(bool *)arg = true;
}

Test(net_back_ends, one_is_told_which_nic_uses_it_and_when_it_goes)
{
	bool done = false;

	add_machine(0, &life_ops, &life);
	cr_assert_eq(life.attached, 1);
	cr_assert_eq(life.nic, machine[0]->nic);
	cr_assert_eq(life.detached, 0);
	cr_assert_eq(hvs_nic_remove(machine[0]->nic, on_done, &done), 0);
	cr_assert_eq(life.detached, 1);
	nic_down(machine[0]);
	machine[0] = NULL;
	cr_assert(done);
	cr_assert_eq(life.detached, 1);
}

Test(net_back_ends, one_is_told_when_the_bus_goes)
{
	add_machine(0, &life_ops, &life);
	nic_down(machine[0]);
	machine[0] = NULL;
	cr_assert_eq(life.attached, 1);
	cr_assert_eq(life.detached, 1);
}

Test(net_back_ends, one_is_told_when_its_nic_cannot_be_offered)
{
	struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .mac = {2}, .instance_id = {{0x42}}};
	struct hvs_nic *second = NULL;

	add_machine(0, &life_ops, &life);
	cr_assert_eq(life.attached, 1);
	life.detached = 1; /* for life_info(): this is about the second one */
	cr_assert_eq(
		hvs_nic_create(hvs_loopback_bus(machine[0]->lb), &cfg, &life_ops, &life, &second),
		-EEXIST);
	cr_assert_eq(life.attached, 2);
	cr_assert_eq(life.detached, 2);
	cr_assert(second == NULL);
}

/* ---- wires -------------------------------------------------------------------------------- */

Test(net_back_ends, two_guests_are_joined_by_a_wire)
{
	join();
	UNTIL(nic_status(machine[0]).link_up && nic_status(machine[1]).link_up);
	for (uint32_t i = 0; i < 100; i++) {
		const uint32_t len = send_frame(0, true, i * 10, i);

		send_frame(1, true, i * 10, i + 1000);
		UNTIL(machine[0]->received_count == i + 1 && machine[1]->received_count == i + 1);
		cr_assert_eq(machine[1]->received[i].f.len, len);
	}
	cr_assert_eq(nic_counters(machine[0]).from_frames, 100);
	cr_assert_eq(nic_counters(machine[0]).from_dropped, 0);
	cr_assert_eq(nic_counters(machine[1]).to_frames, 100);
	cr_assert_eq(machine[0]->done_count, 100);
}

Test(net_back_ends, a_nic_at_a_wire_can_be_removed_under_traffic)
{
	bool done = false;

	join();
	UNTIL(nic_status(machine[0]).link_up);
	for (uint32_t i = 0; i < 20; i++)
		send_frame(0, true, 500, i);
	nic_run(machine[0]); /* they are on their way */
	cr_assert_eq(hvs_nic_remove(machine[1]->nic, on_done, &done), 0);
	UNTIL(machine[0]->done_count == 20);
	cr_assert_eq(nic_counters(machine[0]).from_dropped, 20);
	UNTIL(!nic_status(machine[0]).link_up);
	send_frame(0, true, 500, 30);
	UNTIL(machine[0]->done_count == 21);
}

/* ---- the host ------------------------------------------------------------------------------- */

static int host_socket(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct ifreq ifr = {0};
	const int on = 1;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);

	address.sll_ifindex = (int)if_nametoindex(name);
	cr_assert_eq(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	hvst_until(base, ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && ifr.ifr_flags & IFF_RUNNING);
	hvst_shell("ip link show dev %s >/dev/null", name);
	return fd;
}

static void open_tap(void)
{
	const struct hvs_tap_config cfg = {HVS_TAP_CONFIG_INIT, .name = "tap0", .bases = &base,
					   .base_count = 1};
	char why[256] = "";

	hvst_own_network();
	hvst_shell("ip tuntap add dev tap0 mode tap && ip link set tap0 up");
	cr_assert_eq(hvs_tap_open(&cfg, &tap, why, sizeof(why)), 0, "%s", why);
	add_machine(0, hvs_tap_ops(), tap);
}

Test(net_back_ends, a_guest_talks_through_a_tap)
{
	uint8_t frame[1514];
	uint8_t received[2000];
	uint32_t len;
	int host;

	open_tap();
	host = host_socket("tap0");
	for (uint32_t i = 0; i < 50; i++) {
		len = send_frame(0, false, 20 * i, i);
		UNTIL(recv(host, received, sizeof(received), 0) == (ssize_t)len);
		len = nic_frame(frame, true, true, 20 * i, i);
		cr_assert_eq(send(host, frame, len, 0), (ssize_t)len);
		UNTIL(machine[0]->received_count == i + 1);
		cr_assert_eq(machine[0]->received[i].f.len, len);
		cr_assert_arr_eq(machine[0]->received[i].bytes, frame, len);
	}
	close(host);
}

Test(net_back_ends, a_guest_that_is_slow_gets_everything_that_a_tap_has)
{
	uint8_t frame[1514];
	int host;

	open_tap();
	host = host_socket("tap0");
	/* More than there are slots, fewer than the interface keeps. */
	for (uint32_t i = 0; i < 400; i++) {
		const uint32_t len = nic_frame(frame, true, false, 1000, i);

		cr_assert_eq(send(host, frame, len, 0), (ssize_t)len);
	}
	UNTIL(machine[0]->received_count == 400);
	cr_assert_gt(nic_counters(machine[0]).to_no_room, 0);
	for (uint32_t i = 0; i < 400; i++) {
		const uint32_t len = nic_frame(frame, true, false, 1000, i);

		cr_assert_arr_eq(machine[0]->received[i].bytes, frame, len);
	}
	close(host);
}

/* A frame to be segmented, with the pseudo header's sum where the checksum will be. */
static uint32_t large_frame(uint8_t *to, bool to_guest, uint32_t payload)
{
	const uint32_t len = nic_frame(to, to_guest, true, payload, 1);
	const uint16_t seed = hvst_sum(to + 26, 8, 6 + 20 + payload);

	to[50] = (uint8_t)(seed >> 8);
	to[51] = (uint8_t)seed;
	return len;
}

static void leave_undone(int host)
{
	const int on = 1;

	cr_assert_eq(setsockopt(host, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
}

Test(net_back_ends, what_the_host_leaves_to_the_interface_is_done_for_the_guest)
{
	const struct virtio_net_hdr vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					    .gso_size = 1000,
					    .hdr_len = 54,
					    .csum_start = 34,
					    .csum_offset = 16};
	uint8_t frame[6000];
	const uint32_t len = large_frame(frame, true, 4500);
	const struct iovec iov[2] = {{(void *)&vnet, sizeof(vnet)}, {frame, len}};
	int host;

	open_tap();
	host = host_socket("tap0");
	leave_undone(host);
	cr_assert_eq(writev(host, iov, 2), (ssize_t)(sizeof(vnet) + len));
	UNTIL(machine[0]->received_count == 5);
	for (unsigned i = 0; i < 5; i++) {
		const uint8_t *b = machine[0]->received[i].bytes;
		const uint32_t bytes = i < 4 ? 1000 : 500;

		cr_assert_eq(machine[0]->received[i].f.len, 54 + bytes);
		cr_assert_arr_eq(b + 54, frame + 54 + (size_t)1000 * i, bytes);
		cr_assert_eq(hvst_sum(b + 14, 20, 0), 0xffff);
		cr_assert_eq(hvst_sum(b + 34, 20 + bytes, hvst_sum(b + 26, 8, 26 + bytes)), 0xffff);
	}
	close(host);
}

Test(net_back_ends, what_the_guest_leaves_to_the_interface_is_left_to_the_host)
{
	struct {
		struct virtio_net_hdr vnet;
		uint8_t bytes[6000];
	} got;
	const struct hvs_guest_net_ppi segment = {2, 34u << 20 | 0x40000000u | 1000};
	uint8_t frame[6000];
	const struct hvs_guest_net_packet p = {.data = frame,
					       .len = large_frame(frame, false, 4500),
					       .ppi = &segment,
					       .ppi_count = 1};
	int host;

	open_tap();
	host = host_socket("tap0");
	leave_undone(host);
	cr_assert_eq(hvs_guest_net_send(machine[0]->drv, 0, 1, &p, 1), 0);
	UNTIL(recv(host, &got, sizeof(got), 0) == (ssize_t)(sizeof(got.vnet) + p.len));
	cr_assert_eq(got.vnet.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	cr_assert_eq(got.vnet.gso_size, 1000);
	cr_assert_eq(got.vnet.csum_start, 34);
	/* The seed is that with the length, whatever the guest has put there. */
	cr_assert_arr_eq(got.bytes, frame, p.len);
	close(host);
}

Test(net_back_ends, a_link_follows_its_interface)
{
	open_tap();
	UNTIL(nic_status(machine[0]).link_up);
	hvst_shell("ip link del tap0");
	UNTIL(!nic_status(machine[0]).link_up);
	hvst_shell("ip tuntap add dev tap0 mode tap && ip link set tap0 up");
	UNTIL(nic_status(machine[0]).link_up);
}

/* ---- who sees it ---------------------------------------------------------------------------- */

Test(net_back_ends, a_capture_has_both_directions)
{
	char path[] = "/tmp/hvs-capture-XXXXXX";
	struct hvs_capture_config cfg = {HVS_CAPTURE_CONFIG_INIT, .path = path};
	struct hvs_capture_counters c = {HVS_CAPTURE_COUNTERS_INIT};
	struct hvs_capture *capture;

	cr_assert_geq(mkstemp(path), 0);
	cr_assert_eq(hvs_capture_open(&cfg, &capture), 0);
	join();
	UNTIL(nic_status(machine[0]).link_up);
	cr_assert_eq(hvs_nic_set_monitor(machine[0]->nic, hvs_capture_ops(), capture), 0);
	send_frame(0, true, 100, 1);
	send_frame(1, true, 100, 2);
	UNTIL(machine[0]->received_count == 1 && machine[1]->received_count == 1);
	cr_assert_eq(hvs_nic_set_monitor(machine[0]->nic, NULL, NULL), 0);
	send_frame(0, true, 100, 3);
	UNTIL(machine[1]->received_count == 2);
	cr_assert_eq(hvs_capture_get_counters(capture, &c), 0);
	cr_assert_eq(c.frames, 2);
	hvs_capture_close(capture);
	hvst_shell("tcpdump -nn -r %s 2>/dev/null | grep -c 'UDP, length 100' | grep -qx 2", path);
	unlink(path);
}

Test(net_back_ends, a_mirror_shows_a_guest_what_others_say)
{
	struct hvs_mirror *mirror;

	join();
	add_machine(2, &life_ops, &life);
	UNTIL(nic_status(machine[0]).link_up);
	cr_assert_eq(hvs_mirror_create(machine[2]->nic, base, &mirror), 0);
	cr_assert_eq(hvs_nic_set_monitor(machine[0]->nic, hvs_mirror_ops(), mirror), 0);
	send_frame(0, false, 100, 1);
	UNTIL(machine[0]->done_count == 1);
	for (unsigned i = 0; i < 10; i++)
		run();
	/* It is for somebody else. */
	cr_assert_eq(machine[2]->received_count, 0);
	cr_assert_eq(hvs_guest_net_set_filter(machine[2]->drv, PROMISCUOUS), 0);
	send_frame(0, false, 100, 2);
	UNTIL(machine[2]->received_count == 1);
	cr_assert_eq(hvs_nic_set_monitor(machine[0]->nic, NULL, NULL), 0);
	hvs_mirror_destroy(mirror);
}

#if HVST_WITH_LIBSLIRP
Test(net_back_ends, a_guest_has_a_router_without_privileges)
{
	const struct hvs_usernet_config cfg = {HVS_USERNET_CONFIG_INIT, .base = base};
	uint8_t arp[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
	struct hvs_usernet *net;

	cr_assert_eq(hvs_usernet_create(&cfg, &net), 0);
	add_machine(0, hvs_usernet_ops(), net);
	memcpy(arp + 6, nic_mac, 6);
	memcpy(arp + 22, nic_mac, 6);
	memcpy(arp + 28, (const uint8_t[4]){10, 0, 2, 15}, 4);
	memcpy(arp + 38, (const uint8_t[4]){10, 0, 2, 2}, 4);
	nic_send(machine[0], 0, 1, arp, sizeof(arp));
	UNTIL(machine[0]->received_count > 0);
	cr_assert_arr_eq(machine[0]->received[0].bytes, nic_mac, 6);
	cr_assert_eq(machine[0]->received[0].bytes[21], 2);
	nic_down(machine[0]);
	machine[0] = NULL;
	hvs_usernet_destroy(net);
}
#endif
