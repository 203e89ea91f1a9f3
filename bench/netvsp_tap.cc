/* SPDX-License-Identifier: MIT */
/*
 * Frames between a guest and a TAP, 64 at a time: through VMBus, the NIC and the adapter, beside a
 * loop of plain reads or writes on such a TAP in the same run. One thread each. What the guest's end
 * does is not in the time: a guest has CPUs of its own. The interfaces are in a network namespace of
 * its own.
 */
#include <benchmark/benchmark.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <hvstack/host/tap.h>
#include <hvstack/hvstack.h>

namespace
{

constexpr unsigned kBatch = 64;
constexpr uint32_t kLargest = 60054; /* to be segmented */
constexpr uint32_t kMss = 1448;
constexpr uint32_t kRingBytes = 256 * 1024;
constexpr uint8_t kMac[6] = {0x00, 0x15, 0x5d, 1, 2, 3};
constexpr uint8_t kPeer[6] = {0x02, 0, 0, 0, 0, 9}; /* nobody's: the host drops it at once */

/* linux/virtio_net.h is not for C++. */
struct VnetHeader {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t buffers;
};
constexpr uint8_t kNeedsChecksum = 1;
constexpr uint8_t kTcp4 = 1;

using Clock = std::chrono::steady_clock;

void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

void shell(const char *command)
{
	must(system(command) == 0, command);
}

uint16_t sum(const uint8_t *bytes, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		seed += i % 2 ? bytes[i] : static_cast<uint32_t>(bytes[i]) << 8;
	while (seed >> 16)
		seed = (seed & 0xffff) + (seed >> 16);
	return static_cast<uint16_t>(seed);
}

void put16(uint8_t *to, uint32_t value)
{
	to[0] = static_cast<uint8_t>(value >> 8);
	to[1] = static_cast<uint8_t>(value);
}

/* TCP; the checksum is the pseudo header's if it is left to others, else right. */
std::vector<uint8_t> make_frame(uint32_t len, bool to_guest, bool checksum)
{
	std::vector<uint8_t> f(len, 0);
	uint8_t *ip = f.data() + 14;
	uint8_t *tcp = ip + 20;

	memcpy(f.data(), to_guest ? kMac : kPeer, 6);
	memcpy(f.data() + 6, to_guest ? kPeer : kMac, 6);
	put16(f.data() + 12, ETHERTYPE_IP);
	ip[0] = 0x45;
	put16(ip + 2, len - 14);
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	ip[12] = ip[16] = 10;
	ip[15] = 1;
	ip[19] = 2;
	put16(ip + 10, static_cast<uint16_t>(~sum(ip, 20, 0)));
	tcp[12] = 5 << 4;
	tcp[13] = 0x10;
	put16(tcp + 16, sum(ip + 12, 8, IPPROTO_TCP + len - 34));
	if (checksum) {
		const uint16_t s = sum(tcp, len - 34, 0);

		put16(tcp + 16, static_cast<uint16_t>(~s));
	}
	return f;
}

void make_interface()
{
	static bool made;

	if (made) {
		shell("ip link del bench0");
	} else {
		must(unshare(CLONE_NEWNET) == 0, "unshare: are you root?");
		/* So that the host says nothing by itself. */
		shell("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
	}
	made = true;
	shell("ip tuntap add dev bench0 mode tap && ip link set bench0 up");
}

/* At the host's side, once the kernel has noticed that there is somebody at the other. */
int host_socket()
{
	sockaddr_ll address = {};
	ifreq ifr = {};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	strcpy(ifr.ifr_name, "bench0");
	address.sll_family = AF_PACKET;
	address.sll_ifindex = static_cast<int>(if_nametoindex("bench0"));
	must(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0, "bind");
	do
		usleep(1000);
	while (ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_RUNNING));
	shell("ip link show dev bench0 >/dev/null");
	return fd;
}

/* ---- plain reads and writes ------------------------------------------------------------- */

int open_raw()
{
	ifreq ifr = {};
	int bytes = sizeof(VnetHeader);

	make_interface(); /* first: a descriptor belongs to the namespace that it was opened in */

	const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	strcpy(ifr.ifr_name, "bench0");
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	must(ioctl(fd, TUNSETIFF, &ifr) == 0, "TUNSETIFF");
	must(ioctl(fd, TUNSETVNETHDRSZ, &bytes) == 0, "TUNSETVNETHDRSZ");
	must(ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) == 0, "TUNSETOFFLOAD");
	return fd;
}

void finish(benchmark::State &state, uint32_t len)
{
	const int64_t frames = state.iterations() * kBatch;

	state.SetItemsProcessed(frames);
	state.SetBytesProcessed(frames * len);
}

void raw_write(benchmark::State &state)
{
	const auto len = static_cast<uint32_t>(state.range(0));
	/* Each from another place, as a guest has them. */
	std::vector<std::vector<uint8_t>> frames(len <= 1514 ? kBatch : 1,
						 make_frame(len, false, len <= 1514));
	VnetHeader vnet = {};
	const int fd = open_raw();

	if (len > 1514) {
		vnet.flags = kNeedsChecksum;
		vnet.gso_type = kTcp4;
		vnet.gso_size = kMss;
		vnet.hdr_len = 54;
		vnet.csum_start = 34;
		vnet.csum_offset = 16;
	}
	for (auto _ : state)
		for (unsigned i = 0; i < kBatch; i++) {
			const iovec iov[2] = {{&vnet, sizeof(vnet)},
					      {frames[i % frames.size()].data(), len}};

			must(writev(fd, iov, 2) > 0, "writev");
		}
	finish(state, len);
	close(fd);
}
BENCHMARK(raw_write)->Arg(64)->Arg(1514)->Arg(kLargest)->UseRealTime();

void raw_read(benchmark::State &state)
{
	const auto len = static_cast<uint32_t>(state.range(0));
	const std::vector<uint8_t> frame = make_frame(len, true, true);
	std::vector<uint8_t> to(70000);
	const int fd = open_raw();
	const int host = host_socket();

	for (auto _ : state) {
		unsigned got = 0;

		for (unsigned i = 0; i < kBatch; i++)
			must(send(host, frame.data(), len, 0) > 0, "send");
		const auto start = Clock::now();

		while (read(fd, to.data(), to.size()) > 0)
			got++;
		state.SetIterationTime(std::chrono::duration<double>(Clock::now() - start).count());
		must(got == kBatch, "read");
	}
	finish(state, len);
	close(host);
	close(fd);
}
BENCHMARK(raw_read)->Arg(64)->Arg(1514)->UseManualTime();

/* ---- a guest ---------------------------------------------------------------------------- */

class Machine
{
      public:
	Machine()
	{
		hvs_tap_config tap_cfg = {};
		hvs_nic_config nic_cfg = {};
		hvs_loopback_config lb_cfg = {};
		hvs_guest_net_config net_cfg = {};
		std::array<char, 256> why = {};

		make_interface();
		base = event_base_new();
		tap_cfg.size = sizeof(tap_cfg);
		tap_cfg.name = "bench0";
		tap_cfg.bases = &base;
		tap_cfg.base_count = 1;
		if (hvs_tap_open(&tap_cfg, &tap, why.data(), why.size()) < 0) {
			fprintf(stderr, "%s\n", why.data());
			exit(1);
		}
		lb_cfg.size = sizeof(lb_cfg);
		lb_cfg.ram_bytes = 64u << 20;
		nic_cfg.size = sizeof(nic_cfg);
		memcpy(nic_cfg.mac, kMac, sizeof(kMac));
		net_cfg.size = sizeof(net_cfg);
		net_cfg.version = 0x60001;
		net_cfg.receive_bytes = 2u << 20;
		net_cfg.send_bytes = 1u << 20;
		net_cfg.received = [](void *arg, const hvs_guest_net_frame *) {
			static_cast<Machine *>(arg)->received++;
		};
		net_cfg.sent = [](void *arg, unsigned, uint64_t, uint32_t) {
			static_cast<Machine *>(arg)->sent++;
		};
		net_cfg.arg = this;
		must(hvs_loopback_create(&lb_cfg, &lb) == 0 &&
			     hvs_nic_create(hvs_loopback_bus(lb), &nic_cfg, hvs_tap_ops(), tap,
					    &nic) == 0 &&
			     hvs_loopback_start(lb, &guest) == 0 &&
			     hvs_guest_connect(guest, 0x50003) == 0 &&
			     hvs_guest_request_offers(guest) == 1 &&
			     hvs_guest_channel_open(guest, hvs_guest_offer_at(guest, 0), kRingBytes,
						    &ch) == 0 &&
			     hvs_guest_net_open(ch, &net_cfg, &net) == 0 &&
			     hvs_guest_net_initialize(net) == 0 &&
			     hvs_guest_net_set_filter(net, 0xd) == 0,
		     "machine");
		run();
	}

	~Machine()
	{
		hvs_guest_net_close(net, HVS_GUEST_NET_FORGET);
		hvs_loopback_destroy(lb);
		hvs_tap_close(tap);
		event_base_free(base);
	}

	Machine(const Machine &) = delete;
	Machine &operator=(const Machine &) = delete;

	/* Returns the seconds that the host's end took. */
	double run()
	{
		const auto start = Clock::now();

		event_base_loop(base, EVLOOP_NONBLOCK);
		hvs_loopback_run(lb);

		const std::chrono::duration<double> took = Clock::now() - start;

		must(hvs_guest_net_poll(net) >= 0, "guest");
		return took.count();
	}

	event_base *base;
	hvs_tap *tap = nullptr;
	hvs_loopback *lb = nullptr;
	hvs_nic *nic = nullptr;
	hvs_guest *guest = nullptr;
	hvs_guest_channel *ch = nullptr;
	hvs_guest_net *net = nullptr;
	uint64_t received = 0;
	uint64_t sent = 0;
};

void from_guest(benchmark::State &state)
{
	const auto len = static_cast<uint32_t>(state.range(0));
	const std::vector<uint8_t> frame = make_frame(len, false, len <= 1514);
	const hvs_guest_net_ppi segment = {2, 34u << 20 | 0x40000000u | kMss};
	hvs_guest_net_packet packet = {};
	hvs_guest_buffer range = {};
	std::array<uint32_t, kBatch> bytes = {};
	Machine m;
	hvs_nic_counters counters = {};

	packet.data = frame.data();
	packet.len = len;
	if (len > 1514) {
		void *to = hvs_loopback_alloc_pages(m.lb, 16, &range.gpa);

		packet.ppi = &segment;
		packet.ppi_count = 1;
		range.len = hvs_guest_net_build(to, 16 * 4096, &packet);
	}
	for (unsigned i = 0; len <= 1514 && i < kBatch; i++)
		bytes[i] = hvs_guest_net_build(hvs_guest_net_section(m.net, i), 6144, &packet);

	for (auto _ : state) {
		const uint64_t until = m.sent + kBatch;
		double took = 0;

		for (unsigned i = 0; i < kBatch; i++)
			must(len > 1514
				     ? hvs_guest_net_transmit(m.net, 0, i, HVS_GUEST_NET_NO_SECTION,
							      0, &range, 1) == 0
				     : hvs_guest_net_transmit(m.net, 0, i, i, bytes[i], nullptr,
							      0) == 0,
			     "transmit");
		hvs_guest_flush(m.ch);
		while (m.sent < until)
			took += m.run();
		state.SetIterationTime(took);
	}
	finish(state, len);
	counters.size = sizeof(counters);
	must(hvs_nic_get_counters(m.nic, &counters) == 0 && counters.from_dropped == 0 &&
		     counters.from_frames == m.sent,
	     "counters");
}
BENCHMARK(from_guest)->Arg(64)->Arg(1514)->Arg(kLargest)->UseManualTime();

void to_guest(benchmark::State &state)
{
	const auto len = static_cast<uint32_t>(state.range(0));
	const std::vector<uint8_t> frame = make_frame(len, true, true);
	Machine m;
	const int host = host_socket();

	for (auto _ : state) {
		const uint64_t until = m.received + kBatch;
		double took = 0;

		for (unsigned i = 0; i < kBatch; i++)
			must(send(host, frame.data(), len, 0) > 0, "send");
		while (m.received < until)
			took += m.run();
		state.SetIterationTime(took);
	}
	finish(state, len);
	close(host);
}
BENCHMARK(to_guest)->Arg(64)->Arg(1514)->UseManualTime();

} // namespace

int main(int argc, char **argv)
{
	/* Root of a user namespace is enough. */
	if (geteuid() != 0) {
		std::vector<char *> args = {const_cast<char *>("unshare"),
					    const_cast<char *>("-r")};

		args.insert(args.end(), argv, argv + argc + 1);
		execvp("unshare", args.data());
		perror("unshare");
		return 1;
	}
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	benchmark::Shutdown();
	return 0;
}
