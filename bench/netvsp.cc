/* SPDX-License-Identifier: MIT */
/*
 * Frames both ways over a back end in memory, on one core. Time and rates are those of the host: the
 * guest end, which stands for a driver on a core of its own, runs between.
 */
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <hvstack/hvstack.h>

namespace
{

constexpr uint32_t kRingBytes = 512 * 1024;
constexpr uint32_t kReceiveBytes = 8u << 20;
constexpr uint32_t kSendBytes = 1u << 20;
constexpr unsigned kBatch = 64;
constexpr uint32_t kNoSection = HVS_GUEST_NET_NO_SECTION;
constexpr uint8_t kMac[6] = {0x00, 0x15, 0x5d, 0, 0, 1};
constexpr uint32_t kPpiLargeSend = 2;
constexpr uint32_t kLsoV2 = 0x40000000;

uint64_t allocations;

void *counting_alloc(void *, size_t len)
{
	allocations++;
	return calloc(1, len);
}

void counting_free(void *, void *p, size_t)
{
	free(p);
}

/* Throws frames away, when it has looked at each byte if it is told to. */
struct Net {
	hvs_nic *nic;
	uint32_t offloads;
	uint64_t frames;
	uint64_t bytes;
};

int get_info(void *priv, hvs_net_info *info)
{
	info->offloads = static_cast<Net *>(priv)->offloads;
	return 0;
}

void tx(void *priv, uint32_t, hvs_net_frame *const *frames, unsigned n)
{
	auto *net = static_cast<Net *>(priv);

	for (unsigned i = 0; i < n; i++)
		net->bytes += frames[i]->len;
	net->frames += n;
	hvs_nic_tx_done(net->nic, frames, n, HVS_NET_OK);
}

class Machine
{
      public:
	explicit Machine(uint32_t offloads)
	{
		hvs_loopback_config cfg = {};
		hvs_nic_config nic_cfg = {};
		hvs_guest_net_config drv_cfg = {};
		hvs_net_ops ops = {};
		hvs_guest_channel *ch;

		cfg.size = sizeof(cfg);
		cfg.ram_bytes = 32u << 20;
		cfg.alloc = {counting_alloc, counting_free, nullptr};
		nic_cfg.size = sizeof(nic_cfg);
		memcpy(nic_cfg.mac, kMac, sizeof(kMac));
		ops.size = sizeof(ops);
		ops.get_info = get_info;
		ops.tx = tx;
		net.offloads = offloads;
		drv_cfg.size = sizeof(drv_cfg);
		drv_cfg.version = 0x60001;
		drv_cfg.receive_bytes = kReceiveBytes;
		drv_cfg.send_bytes = kSendBytes;
		if (hvs_loopback_create(&cfg, &lb) < 0 ||
		    hvs_nic_create(hvs_loopback_bus(lb), &nic_cfg, &ops, &net, &net.nic) < 0 ||
		    hvs_loopback_start(lb, &guest) < 0 || hvs_guest_connect(guest, 0x50003) < 0 ||
		    hvs_guest_request_offers(guest) != 1 ||
		    hvs_guest_channel_open(guest, hvs_guest_offer_at(guest, 0), kRingBytes, &ch) <
			    0 ||
		    hvs_guest_net_open(ch, &drv_cfg, &drv) < 0 ||
		    hvs_guest_net_initialize(drv) < 0 || hvs_guest_net_set_filter(drv, 0x0d) < 0)
			abort();
		channel = ch;
	}

	~Machine()
	{
		(void)hvs_guest_net_close(drv, HVS_GUEST_NET_FORGET);
		hvs_loopback_destroy(lb);
	}

	/* The guest takes what there is; returns how many packets. */
	int poll()
	{
		hvs_guest_channel_events(channel); /* the driver's interrupt handler */
		return hvs_guest_net_poll(drv);
	}

	Net net = {};
	hvs_loopback *lb;
	hvs_guest *guest;
	hvs_guest_net *drv;
	hvs_guest_channel *channel;
};

/* TCP from or to the guest; returns its bytes. */
std::vector<uint8_t> tcp_frame(bool to_guest, uint32_t len)
{
	std::vector<uint8_t> f(len);
	const uint8_t peer[6] = {2, 2, 2, 2, 2, 2};

	memcpy(f.data(), to_guest ? kMac : peer, 6);
	memcpy(f.data() + 6, to_guest ? peer : kMac, 6);
	f[12] = 0x08;
	f[14] = 0x45;
	f[16] = static_cast<uint8_t>((len - 14) >> 8);
	f[17] = static_cast<uint8_t>(len - 14);
	f[22] = 64;
	f[23] = 6;
	f[29] = 1;
	f[33] = 2;
	f[46] = 5 << 4;
	f[47] = 0x10;
	return f;
}

class Timer
{
      public:
	void start()
	{
		from = std::chrono::steady_clock::now();
	}
	double seconds() const
	{
		return std::chrono::duration<double>(std::chrono::steady_clock::now() - from)
			.count();
	}

      private:
	std::chrono::steady_clock::time_point from;
};

void report(benchmark::State &state, const Machine &m, uint64_t frames, uint64_t bytes,
	    uint64_t before)
{
	const auto n = static_cast<double>(frames);
	const auto interrupts = static_cast<double>(hvs_loopback_count(m.lb)->interrupts);

	state.SetItemsProcessed(static_cast<int64_t>(frames));
	state.SetBytesProcessed(static_cast<int64_t>(bytes));
	if (before && allocations != before)
		state.SkipWithError("memory was allocated for frames");
	state.counters["frames/interrupt"] = n / interrupts;
}

/* Bytes of a frame. */
void netvsp_transmit(benchmark::State &state)
{
	const auto frame = tcp_frame(false, static_cast<uint32_t>(state.range(0)));
	const hvs_guest_net_packet p = {frame.data(), static_cast<uint32_t>(frame.size()), nullptr,
					0, 0};
	Machine m(HVS_NET_CSUM | HVS_NET_TSO);
	uint64_t before = 0;
	uint64_t rounds = 0;
	uint32_t len = 0;
	Timer timer;

	for (unsigned i = 0; i < kBatch; i++)
		len = hvs_guest_net_build(hvs_guest_net_section(m.drv, i), 6144, &p);
	for (auto _ : state) {
		if (rounds++ == 64) /* pools have seen their load */
			before = allocations;
		for (unsigned i = 0; i < kBatch; i++)
			if (hvs_guest_net_transmit(m.drv, 0, i, i, len, nullptr, 0) < 0)
				abort();
		hvs_guest_flush(m.channel);
		timer.start();
		hvs_loopback_run(m.lb);
		state.SetIterationTime(timer.seconds());
		if (m.poll() != kBatch)
			abort();
	}
	if (m.net.frames != rounds * kBatch)
		abort();
	report(state, m, m.net.frames, m.net.bytes, before);
}
BENCHMARK(netvsp_transmit)->ArgName("bytes")->Arg(60)->Arg(1514)->UseManualTime();

/* Bytes of a frame. */
void netvsp_receive(benchmark::State &state)
{
	auto frame = tcp_frame(true, static_cast<uint32_t>(state.range(0)));
	const iovec iov = {frame.data(), frame.size()};
	std::vector<hvs_net_frame> frames(kBatch);
	std::vector<const hvs_net_frame *> list;
	Machine m(0);
	uint64_t before = 0;
	uint64_t rounds = 0;
	Timer timer;

	for (auto &f : frames) {
		f.size = sizeof(f);
		f.len = static_cast<uint32_t>(frame.size());
		f.iov = &iov;
		f.iovcnt = 1;
		list.push_back(&f);
	}
	for (auto _ : state) {
		if (rounds++ == 64)
			before = allocations;
		timer.start();
		if (hvs_nic_rx(m.net.nic, 0, list.data(), kBatch) != kBatch)
			abort();
		hvs_loopback_run(m.lb); /* what the guest has completed */
		state.SetIterationTime(timer.seconds());
		if (m.poll() != 1)
			abort();
	}
	report(state, m, rounds * kBatch, rounds * kBatch * frame.size(), before);
}
BENCHMARK(netvsp_receive)->ArgName("bytes")->Arg(60)->Arg(1514)->UseManualTime();

/* 64 KiB less headers in guest pages, to be segmented: by the back end (1), or by us. */
void netvsp_transmit_large(benchmark::State &state)
{
	constexpr uint32_t kPayload = 61440;
	constexpr uint32_t kFrame = 54 + kPayload;
	constexpr unsigned kFrames = 16;
	const auto frame = tcp_frame(false, kFrame);
	const hvs_guest_net_ppi ppi = {kPpiLargeSend, kLsoV2 | 34u << 20 | 1460};
	const hvs_guest_net_packet p = {frame.data(), kFrame, &ppi, 1, 0};
	Machine m(state.range(0) ? HVS_NET_CSUM | HVS_NET_TSO : 0);
	std::vector<hvs_guest_buffer> buffers(kFrames);
	uint64_t before = 0;
	uint64_t rounds = 0;
	Timer timer;

	for (auto &b : buffers) {
		void *pages = hvs_loopback_alloc_pages(m.lb, 16, &b.gpa);

		if (!pages)
			abort();
		b.len = hvs_guest_net_build(pages, 16 * 4096, &p);
		if (!b.len)
			abort();
	}
	for (auto _ : state) {
		if (rounds++ == 64)
			before = allocations;
		for (unsigned i = 0; i < kFrames; i++)
			if (hvs_guest_net_transmit(m.drv, 0, i, kNoSection, 0, &buffers[i], 1) < 0)
				abort();
		hvs_guest_flush(m.channel);
		timer.start();
		hvs_loopback_run(m.lb);
		state.SetIterationTime(timer.seconds());
		if (m.poll() != kFrames)
			abort();
	}
	report(state, m, m.net.frames, rounds * kFrames * kPayload, before);
}
BENCHMARK(netvsp_transmit_large)->ArgName("back_end_segments")->Arg(1)->Arg(0)->UseManualTime();

/* What a copy of such frames costs. */
void memcpy_frames(benchmark::State &state)
{
	const auto len = static_cast<size_t>(state.range(0));
	std::vector<uint8_t> from(len, 0x5a);
	std::vector<uint8_t> to(8u << 20);
	size_t at = 0;

	for (auto _ : state) {
		memcpy(to.data() + at, from.data(), len);
		benchmark::ClobberMemory();
		at = (at + 1856) % (to.size() - 4096);
	}
	state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
	state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * state.range(0)));
}
BENCHMARK(memcpy_frames)->ArgName("bytes")->Arg(60)->Arg(1514);

} // namespace

BENCHMARK_MAIN();
