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
constexpr uint32_t kRingPages = kRingBytes / kPage;
constexpr uint32_t kAround = 24;       /* descriptor and trailer */
constexpr uint32_t kSmall = 64 - 16;   /* payload: with the descriptor, a 64-byte packet */
constexpr uint32_t kMedium = 256 - 16; /* ... a SCSI request with its page ranges */
constexpr uint32_t kLarge = 8 * 1024;
constexpr uint16_t kInband = 6;

/* In one piece, as guests allocate rings; or no two pages of it side by side. */
enum Layout { kFlat, kPages };

struct Ring {
	explicit Ring(Layout layout, uint32_t start = 0)
	    : memory(new uint8_t[kRingBytes + 2 * kPage]())
	{
		uint8_t *at =
			memory.get() + (-reinterpret_cast<uintptr_t>(memory.get()) & (kPage - 1));
		hvsi_ringmem mem = {};

		/* Both indexes. */
		memcpy(at, &start, sizeof(start));
		memcpy(at + sizeof(start), &start, sizeof(start));
		/* Backwards. */
		for (uint32_t i = 0; i < kRingPages; i++)
			pages[i] = hvsi_guest_from_host(at + (kRingPages - i) * kPage);
		mem.ctl = hvsi_guest_from_host(at);
		mem.flat = layout == kFlat ? hvsi_guest_from_host(at + kPage) : nullptr;
		mem.pages = pages;
		mem.size = kRingBytes;
		if (hvsi_ring_out_open(&out, &mem) < 0 || hvsi_ring_in_open(&in, &mem) < 0)
			abort();
	}

	std::unique_ptr<uint8_t[]> memory;
	uint8_t HVSI_GUEST *pages[kRingPages] = {};
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

void count(benchmark::State &state, uint64_t packets, uint32_t payload_len)
{
	state.SetItemsProcessed(static_cast<int64_t>(packets));
	state.SetBytesProcessed(static_cast<int64_t>(packets * payload_len));
	state.counters["packet"] =
		benchmark::Counter(static_cast<double>(packets),
				   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

/* Batches of packets, written, published, read, given back, by one thread. */
void one_thread(benchmark::State &state, Layout layout, uint32_t start = 0)
{
	const auto payload_len = static_cast<uint32_t>(state.range(0));
	const auto batch = static_cast<uint32_t>(state.range(1));
	std::vector<uint8_t> payload(payload_len, 0x5a);
	alignas(8) static uint8_t buf[kLarge + kAround];
	hvsi_descriptor desc;
	uint64_t signals = 0;
	Ring ring(layout, start);

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
	count(state, static_cast<uint64_t>(state.iterations()) * batch, payload_len);
	state.counters["signals/packet"] =
		static_cast<double>(signals) / static_cast<double>(state.iterations() * batch);
}

void one_thread_flat(benchmark::State &state)
{
	one_thread(state, kFlat);
}

void one_thread_pages(benchmark::State &state)
{
	one_thread(state, kPages);
}

/*
 * The limit for the above: the bytes of the same packets, descriptor and trailer included, copied
 * into the same memory and out again.
 */
void memcpy_in_and_out(benchmark::State &state)
{
	const auto payload_len = static_cast<uint32_t>(state.range(0));
	const auto batch = static_cast<uint32_t>(state.range(1));
	const size_t len = payload_len + kAround;
	std::vector<uint8_t> from(len, 0x5a);
	std::vector<uint8_t> through(kRingBytes);
	std::vector<uint8_t> to(len);
	size_t put = 0;
	size_t take = 0;

	for (auto _ : state) {
		for (uint32_t i = 0; i < batch; i++) {
			memcpy(through.data() + put, from.data(), len);
			put = put + 2 * len <= kRingBytes ? put + len : 0;
			benchmark::ClobberMemory();
		}
		for (uint32_t i = 0; i < batch; i++) {
			memcpy(to.data(), through.data() + take, len);
			take = take + 2 * len <= kRingBytes ? take + len : 0;
			benchmark::ClobberMemory();
		}
	}
	count(state, static_cast<uint64_t>(state.iterations()) * batch, payload_len);
}

void sizes(benchmark::internal::Benchmark *b)
{
	b->ArgNames({"payload", "batch"});
	b->Args({kSmall, 1})->Args({kSmall, 64});
	b->Args({kMedium, 64});
	b->Args({kLarge, 1})->Args({kLarge, 8});
}
BENCHMARK(memcpy_in_and_out)->Apply(sizes);
BENCHMARK(one_thread_flat)->Apply(sizes);
BENCHMARK(one_thread_pages)->Apply(sizes);

/*
 * What it costs that packets wrap. Sizes divide the ring: from the beginning no packet wraps; half a
 * packet further, with the same alignment, one in ring / size does.
 */
void wrap(benchmark::State &state)
{
	const auto total = static_cast<uint32_t>(state.range(0)) + kAround;

	one_thread(state, kFlat, state.range(2) ? total / 2 : 0);
}
BENCHMARK(wrap)
	->ArgNames({"payload", "batch", "wraps"})
	->ArgsProduct({{64 - kAround, 256 - kAround, 8192 - kAround}, {8}, {0, 1}});

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
		alignas(8) static uint8_t buf[kLarge + kAround];
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

void two_threads(benchmark::State &state, Layout layout)
{
	const auto payload_len = static_cast<uint32_t>(state.range(0));
	const auto batch = static_cast<uint32_t>(state.range(1));
	std::vector<uint8_t> payload(payload_len, 0x5a);
	uint64_t signals = 0;
	uint64_t sent = 0;
	Ring ring(layout);
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
	count(state, sent, payload_len);
	state.counters["signals/packet"] = static_cast<double>(signals) / static_cast<double>(sent);
}

void two_threads_flat(benchmark::State &state)
{
	two_threads(state, kFlat);
}
BENCHMARK(two_threads_flat)->Apply(sizes)->UseRealTime();

void two_threads_pages(benchmark::State &state)
{
	two_threads(state, kPages);
}
BENCHMARK(two_threads_pages)->Apply(sizes)->UseRealTime();

} // namespace

BENCHMARK_MAIN();
