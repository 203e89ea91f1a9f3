/* SPDX-License-Identifier: MIT */
/* The ring alone: both ends over plain memory, without channels, workers or interrupts. */
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

extern "C" {
#include "vmbus/ring.h"
}

namespace
{

constexpr uint32_t kPage = 4096;
constexpr uint32_t kRingBytes = 128 * 1024; /* what Linux's storvsc uses */
constexpr uint32_t kSmallPayload = 48;      /* with the descriptor: a 64-byte packet */
constexpr uint32_t kLargePayload = 8 * 1024;
constexpr uint16_t kInband = 6;

struct Ring {
	Ring() : memory(new uint8_t[kRingBytes + 2 * kPage]())
	{
		uint8_t *at =
			memory.get() + (-reinterpret_cast<uintptr_t>(memory.get()) & (kPage - 1));
		hvsi_ringmem mem = {};

		mem.ctl = hvsi_guest_from_host(at);
		mem.flat = hvsi_guest_from_host(at + kPage);
		mem.size = kRingBytes;
		if (hvsi_ring_out_open(&out, &mem) < 0 || hvsi_ring_in_open(&in, &mem) < 0)
			abort();
	}

	std::unique_ptr<uint8_t[]> memory;
	hvsi_ring_out out = {};
	hvsi_ring_in in = {};
};

int write(Ring &ring, std::vector<uint8_t> &payload)
{
	hvsi_descriptor desc = {};
	iovec iov = {payload.data(), payload.size()};

	desc.type = kInband;
	return hvsi_ring_write(&ring.out, &desc, nullptr, 0, &iov, 1);
}

/* Batches of `range` packets, written, published, read, given back, by one thread. */
void one_thread(benchmark::State &state, uint32_t payload_len)
{
	const auto batch = static_cast<uint32_t>(state.range(0));
	std::vector<uint8_t> payload(payload_len, 0x5a);
	alignas(8) static uint8_t buf[kLargePayload + 64];
	hvsi_descriptor desc;
	uint64_t signals = 0;
	Ring ring;

	for (auto _ : state) {
		for (uint32_t i = 0; i < batch; i++)
			if (write(ring, payload) < 0)
				abort();
		signals += hvsi_ring_publish(&ring.out);
		for (uint32_t i = 0; i < batch; i++)
			if (hvsi_ring_read(&ring.in, &desc, buf, sizeof(buf)) != 1)
				abort();
		signals += hvsi_ring_in_commit(&ring.in);
		benchmark::DoNotOptimize(buf[100]);
		if (!hvsi_ring_in_sleep(&ring.in))
			abort();
		benchmark::ClobberMemory();
	}
	state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * batch));
	state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch * payload_len));
	state.counters["signals/packet"] =
		static_cast<double>(signals) / static_cast<double>(state.iterations() * batch);
}

void ring_64_bytes_one_thread(benchmark::State &state)
{
	one_thread(state, kSmallPayload);
}
BENCHMARK(ring_64_bytes_one_thread)->Arg(1)->Arg(16)->Arg(256);

void ring_8_kib_one_thread(benchmark::State &state)
{
	one_thread(state, kLargePayload);
}
BENCHMARK(ring_8_kib_one_thread)->Arg(1)->Arg(8);

/* The limit for the above: the same bytes copied in and out through the same amount of memory. */
void memcpy_8_kib_in_and_out(benchmark::State &state)
{
	std::vector<uint8_t> from(kLargePayload, 0x5a);
	std::vector<uint8_t> through(kRingBytes);
	std::vector<uint8_t> to(kLargePayload);
	size_t at = 0;

	for (auto _ : state) {
		memcpy(through.data() + at, from.data(), kLargePayload);
		benchmark::ClobberMemory();
		memcpy(to.data(), through.data() + at, kLargePayload);
		benchmark::ClobberMemory();
		at = (at + kLargePayload) % kRingBytes;
	}
	state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kLargePayload));
}
BENCHMARK(memcpy_8_kib_in_and_out);

/* A consumer that sleeps until it is signalled, as a channel's worker does. */
class Consumer
{
      public:
	explicit Consumer(Ring &r) : ring(r), thread([this] { run(); })
	{
	}

	~Consumer()
	{
		stop = true;
		signal();
		thread.join();
	}

	void signal()
	{
		rung.store(true, std::memory_order_release);
	}

	std::atomic<uint64_t> received{0};

      private:
	void run()
	{
		alignas(8) uint8_t buf[256];
		hvsi_descriptor desc;

		while (!stop) {
			uint64_t n = 0;

			while (hvsi_ring_read(&ring.in, &desc, buf, sizeof(buf)) == 1)
				if (++n % 64 == 0)
					hvsi_ring_in_commit(&ring.in);
			hvsi_ring_in_commit(&ring.in);
			received.fetch_add(n, std::memory_order_relaxed);
			if (!hvsi_ring_in_sleep(&ring.in))
				continue;
			while (!rung.exchange(false, std::memory_order_acquire))
				std::this_thread::yield();
			hvsi_ring_in_wake(&ring.in);
		}
	}

	Ring &ring;
	std::atomic<bool> rung{false};
	std::atomic<bool> stop{false};
	std::thread thread;
};

void ring_64_bytes_two_threads(benchmark::State &state)
{
	const auto batch = static_cast<uint32_t>(state.range(0));
	std::vector<uint8_t> payload(kSmallPayload, 0x5a);
	uint64_t signals = 0;
	uint64_t sent = 0;
	Ring ring;
	Consumer consumer(ring);

	for (auto _ : state) {
		for (uint32_t i = 0; i < batch; i++) {
			while (write(ring, payload) < 0) {
				if (hvsi_ring_publish(&ring.out)) {
					signals++;
					consumer.signal();
				}
				std::this_thread::yield();
			}
			sent++;
		}
		if (hvsi_ring_publish(&ring.out)) {
			signals++;
			consumer.signal();
		}
	}
	while (consumer.received.load(std::memory_order_relaxed) < sent)
		std::this_thread::yield();
	state.SetItemsProcessed(static_cast<int64_t>(sent));
	state.counters["signals/packet"] = static_cast<double>(signals) / static_cast<double>(sent);
}
BENCHMARK(ring_64_bytes_two_threads)->Arg(1)->Arg(16)->UseRealTime();

} // namespace

BENCHMARK_MAIN();
