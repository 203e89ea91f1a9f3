/* SPDX-License-Identifier: MIT */
/*
 * How time and memory grow with the number of channels: devices are offered, found, opened with
 * the smallest rings, closed and let go. Per channel, both figures should stay the same.
 */
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <vector>

#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

namespace
{

constexpr uint32_t kRingBytes = 4096;
constexpr size_t kRam = 64u << 20;

uint64_t live_bytes;

void *counting_alloc(void *, size_t len)
{
	live_bytes += len;
	return calloc(1, len);
}

void counting_free(void *, void *p, size_t len)
{
	live_bytes -= len;
	free(p);
}

int on_open(void *, hvs_channel *, const hvs_open_params *, void **)
{
	return 0;
}

bool on_ready(hvs_channel *ch, void *, unsigned)
{
	const hvs_packet *pkt;

	while (hvs_channel_recv(ch, &pkt) == 1)
		;
	return false;
}

void on_close(hvs_channel *ch, void *)
{
	hvs_channel_closed(ch);
}

void bus_scale(benchmark::State &state)
{
	const auto count = static_cast<unsigned>(state.range(0));
	uint64_t per_channel = 0;

	for (auto _ : state) {
		std::vector<hvs_guest_channel *> channels(count);
		hvs_loopback_config cfg = {};
		hvs_vsp_ops ops = {};
		hvs_loopback *lb;
		hvs_guest *guest;
		uint64_t before;

		cfg.size = sizeof(cfg);
		cfg.ram_bytes = kRam;
		ops.size = sizeof(ops);
		ops.open = on_open;
		ops.ready = on_ready;
		ops.close = on_close;
		if (hvs_loopback_create(&cfg, &lb) < 0)
			abort();
		hvs_loopback_destroy(lb);
		cfg.alloc = {counting_alloc, counting_free, nullptr};
		if (hvs_loopback_create(&cfg, &lb) < 0)
			abort();
		before = live_bytes;
		for (unsigned i = 0; i < count; i++) {
			hvs_offer offer = {};
			hvs_device *dev;

			offer.size = sizeof(offer);
			offer.instance_id.b[0] = static_cast<uint8_t>(i);
			offer.instance_id.b[1] = static_cast<uint8_t>(i >> 8);
			if (hvs_device_offer(hvs_loopback_bus(lb), &offer, &ops, nullptr, &dev) < 0)
				abort();
		}
		if (hvs_loopback_start(lb, &guest) < 0 || hvs_guest_connect(guest, 0x50003) < 0 ||
		    hvs_guest_request_offers(guest) != static_cast<int>(count))
			abort();
		for (unsigned i = 0; i < count; i++)
			if (hvs_guest_channel_open(guest, hvs_guest_offer_at(guest, i), kRingBytes,
						   &channels[i]) < 0)
				abort();
		/* Both ends: the guest's of a channel takes some, too. */
		per_channel = (live_bytes - before) / count;
		for (unsigned i = 0; i < count; i++)
			if (hvs_guest_channel_close(channels[i]) < 0)
				abort();
		hvs_loopback_destroy(lb);
	}
	state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * count));
	state.counters["bytes/channel"] = static_cast<double>(per_channel);
}
BENCHMARK(bus_scale)->Arg(16)->Arg(128)->Arg(1024)->Arg(2047)->Unit(benchmark::kMillisecond);

} // namespace

BENCHMARK_MAIN();
