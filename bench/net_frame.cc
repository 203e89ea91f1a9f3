/* SPDX-License-Identifier: MIT */
/* What is done with each frame of a NIC, alone: headers, policy, checksums, segments, hashes. */
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#define _Static_assert static_assert /* the headers are in C */
extern "C" {
#include "net_port.h"
#include "util/le.h"
#include "vsp/network/checksum.h"
#include "vsp/network/segment.h"
#include "vsp/network/toeplitz.h"
}

namespace
{

constexpr size_t kHeaders = 14 + 20 + 20;
constexpr size_t kLarge = 62780;
constexpr uint16_t kMss = 1448;

/* A TCP frame with so much payload, over IPv4 or IPv6. */
std::vector<uint8_t> frame(size_t payload, bool ip6 = false)
{
	const size_t ip = ip6 ? 40 : 20;
	std::vector<uint8_t> f(14 + ip + 20 + payload);
	uint8_t *l3 = f.data() + 14;
	uint8_t *l4 = l3 + ip;

	for (size_t i = 0; i < f.size(); i++)
		f[i] = static_cast<uint8_t>(i * 7);
	f[0] = 2;
	hvsi_put_be16(f.data() + 12, ip6 ? 0x86dd : 0x0800);
	if (ip6) {
		l3[0] = 0x60;
		hvsi_put_be16(l3 + 4, static_cast<uint16_t>(20 + payload));
		l3[6] = 6;
	} else {
		l3[0] = 0x45;
		hvsi_put_be16(l3 + 2, static_cast<uint16_t>(ip + 20 + payload));
		hvsi_put_be16(l3 + 6, 0);
		l3[9] = 6;
	}
	l4[12] = 0x50;
	return f;
}

hvsi_headers parsed(const std::vector<uint8_t> &f)
{
	const auto len = static_cast<uint32_t>(f.size());
	hvsi_headers h;

	if (!hvsi_frame_parse(&h, f.data(), std::min(len, HVSI_FRAME_COPY), len) || !h.payload_off)
		abort();
	return h;
}

void copy(benchmark::State &state)
{
	const std::vector<uint8_t> from(static_cast<size_t>(state.range(0)), 0x5a);
	std::vector<uint8_t> to(from.size());

	for (auto _ : state) {
		memcpy(to.data(), from.data(), from.size());
		benchmark::ClobberMemory();
	}
	state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(copy)->Arg(64)->Arg(1448)->Arg(kLarge);

void checksum(benchmark::State &state)
{
	const std::vector<uint8_t> from(static_cast<size_t>(state.range(0)), 0x5a);

	for (auto _ : state) {
		hvsi_sum s = {};

		hvsi_sum_bytes(&s, from.data(), from.size());
		benchmark::DoNotOptimize(hvsi_sum_fold(&s));
	}
	state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(64)->Arg(1448)->Arg(kLarge);

void parse(benchmark::State &state)
{
	const std::vector<uint8_t> f = frame(1448, state.range(0));

	for (auto _ : state)
		benchmark::DoNotOptimize(parsed(f).payload_off);
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(parse)->ArgName("ip6")->Arg(0)->Arg(1);

void policy(benchmark::State &state)
{
	const auto rules = static_cast<port_rules>(state.range(0));
	const std::vector<uint8_t> f = frame(1448, rules == PORT_PREFIXES6);
	const hvsi_headers h = parsed(f);
	port *p = port_create(rules);
	uint64_t now = 0;

	for (auto _ : state) {
		hvsi_headers mine = h;

		now += 10000;
		benchmark::DoNotOptimize(port_out(p, &mine, now));
	}
	state.SetItemsProcessed(state.iterations());
	port_destroy(p);
}
BENCHMARK(policy)
	->ArgName("rules")
	->Arg(PORT_NO_RULES)
	->Arg(PORT_GUARDS)
	->Arg(PORT_HOSTS4)
	->Arg(PORT_PREFIXES4)
	->Arg(PORT_PREFIXES6)
	->Arg(PORT_PAIRS4);

void segment(benchmark::State &state)
{
	const std::vector<uint8_t> f = frame(kLarge - kHeaders);
	uint8_t copy[HVS_NET_MAX_COPIED];
	uint8_t headers[HVS_NET_MAX_COPIED];
	iovec iov[] = {{copy, kHeaders},
		       {const_cast<uint8_t *>(f.data()) + kHeaders, f.size() - kHeaders}};
	hvs_net_frame large = {};
	hvsi_segments s;
	hvs_net_frame out;
	iovec pieces[3];

	memcpy(copy, f.data(), kHeaders);
	large.flags = HVS_NET_CSUM | HVS_NET_TSO;
	large.len = static_cast<uint32_t>(f.size());
	large.l3_off = 14;
	large.l4_off = 34;
	large.payload_off = kHeaders;
	large.mss = kMss;
	large.iov = iov;
	large.iovcnt = 2;
	for (auto _ : state) {
		if (hvsi_segments_start(&s, &large, copy, state.range(0)) < 0)
			abort();
		while (hvsi_segments_next(&s, headers, pieces, 3, &out) == 1)
			benchmark::DoNotOptimize(out.len);
	}
	state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(f.size()));
}
BENCHMARK(segment)->ArgName("seed")->Arg(0)->Arg(1);

void hash(benchmark::State &state)
{
	const std::vector<uint8_t> f = frame(1448, state.range(0));
	const hvsi_headers h = parsed(f);
	const uint8_t key[HVSI_TOEPLITZ_KEY] = {0x6d, 0x5a, 0x56, 0xda};
	static hvsi_toeplitz table;
	uint32_t value;

	hvsi_toeplitz_init(&table, key);
	for (auto _ : state) {
		if (!hvsi_frame_hash(&table, HVSI_HASH_TCP4 | HVSI_HASH_TCP6, &h, &value))
			abort();
		benchmark::DoNotOptimize(value);
	}
	state.SetItemsProcessed(state.iterations());
}
BENCHMARK(hash)->ArgName("ip6")->Arg(0)->Arg(1);

} // namespace

BENCHMARK_MAIN();
