/* SPDX-License-Identifier: MIT */
/*
 * 4 KiB reads from a memory disk: guest end, ring, VSP, back end and back, on one core. The same
 * bytes by memcpy in the same run are the limit. Several channels: what they cost on that core.
 */
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

namespace
{

constexpr uint32_t kIoBytes = 4096;
constexpr uint32_t kBlocks = kIoBytes / 512;
constexpr uint64_t kDiskBytes = 64u << 20;
constexpr uint32_t kRingBytes = 128 * 1024;
constexpr uint32_t kOfferChannel = 1; /* control message */

/* Counts what the library takes from the heap. */
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

class Machine
{
      public:
	explicit Machine(uint32_t channel_count) : disk(kDiskBytes, 0x5a)
	{
		hvs_guest_channel *ch;

		hvs_loopback_config cfg = {};
		hvs_storvsp_config ctl_cfg = {};
		hvs_disk_config disk_cfg = {};
		hvs_storvsp *ctl;
		uint32_t max_transfer;

		cfg.size = sizeof(cfg);
		cfg.alloc = {counting_alloc, counting_free, nullptr};
		ctl_cfg.size = sizeof(ctl_cfg);
		ctl_cfg.max_subchannels = channel_count - 1;
		disk_cfg.size = sizeof(disk_cfg);
		memdisk.size = sizeof(memdisk);
		memdisk.data = disk.data();
		memdisk.len = kDiskBytes;
		memdisk.block_size = 512;
		if (hvs_loopback_create(&cfg, &lb) < 0 ||
		    hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl) < 0 ||
		    hvs_storvsp_attach(ctl, &disk_cfg, hvs_memdisk_ops(), &memdisk, nullptr) < 0 ||
		    hvs_loopback_start(lb, &guest) < 0 || hvs_guest_connect(guest, 0x50003) < 0 ||
		    hvs_guest_request_offers(guest) != 1 ||
		    hvs_guest_channel_open(guest, hvs_guest_offer_at(guest, 0), kRingBytes, &ch) <
			    0 ||
		    hvs_guest_stor_init(ch, 0x600, &max_transfer) < 0)
			abort();
		channels.push_back(ch);
		open_subchannels(channel_count - 1);
	}

	~Machine()
	{
		hvs_loopback_destroy(lb);
	}

	std::vector<uint8_t> disk;
	hvs_memdisk memdisk{};
	hvs_loopback *lb;
	hvs_guest *guest;
	std::vector<hvs_guest_channel *> channels;

      private:
	void open_subchannels(uint32_t count)
	{
		hvs_guest_channel *ch;
		uint8_t message[240];

		if (!count)
			return;
		if (hvs_guest_stor_create_subchannels(channels[0], static_cast<uint16_t>(count)) <
		    0)
			abort();
		for (uint32_t i = 1; i <= count; i++)
			if (hvs_guest_wait_message(guest, kOfferChannel, message) < 0)
				abort();
		for (uint32_t i = 1; i <= count; i++) {
			if (hvs_guest_channel_open(guest, hvs_guest_offer_at(guest, i), kRingBytes,
						   &ch) < 0)
				abort();
			channels.push_back(ch);
		}
	}
};

hvs_guest_scsi read10(uint32_t lba, uint64_t gpa)
{
	hvs_guest_scsi cmd = {};

	cmd.cdb_len = 10;
	cmd.cdb[0] = 0x28;
	for (unsigned i = 0; i < 4; i++)
		cmd.cdb[2 + i] = static_cast<uint8_t>(lba >> (24 - 8 * i));
	cmd.cdb[8] = kBlocks;
	cmd.direction = HVS_GUEST_STOR_IN;
	cmd.buffer = {gpa, kIoBytes};
	return cmd;
}

/* Arguments: commands that a channel gets at a time; channels. */
void storvsp_read_4_kib(benchmark::State &state)
{
	const auto batch = static_cast<unsigned>(state.range(0));
	Machine m(static_cast<uint32_t>(state.range(1)));
	std::vector<uint64_t> gpa(batch);
	hvs_guest_scsi_result result;
	uint64_t xid;
	uint64_t before = 0;
	uint32_t lba = 0;
	uint64_t ios = 0;

	for (auto &g : gpa)
		if (!hvs_loopback_alloc_pages(m.lb, 1, &g))
			abort();
	for (auto _ : state) {
		if (ios == 64 * batch * m.channels.size()) /* pools have seen their load */
			before = allocations;
		for (auto *ch : m.channels) {
			for (unsigned i = 0; i < batch; i++) {
				const hvs_guest_scsi cmd = read10(lba, gpa[i]);

				if (hvs_guest_stor_submit(ch, i + 1, &cmd) < 0)
					abort();
				lba = (lba + kBlocks) % (kDiskBytes / 512);
			}
			hvs_guest_flush(ch);
		}
		hvs_loopback_run(m.lb);
		for (auto *ch : m.channels) {
			hvs_guest_channel_events(ch); /* the driver's interrupt handler */
			for (unsigned i = 0; i < batch; i++)
				if (hvs_guest_stor_reap(ch, &xid, &result) != 1 ||
				    result.srb_status != 1)
					abort();
			if (hvs_guest_stor_reap(ch, &xid, &result) != 0)
				abort();
		}
		ios += batch * m.channels.size();
	}
	const hvs_loopback_counters *c = hvs_loopback_count(m.lb);
	const auto n = static_cast<double>(ios);

	state.SetItemsProcessed(static_cast<int64_t>(ios));
	if (ios > 64 * batch * m.channels.size() && allocations != before)
		state.SkipWithError("memory was allocated for requests");
	state.counters["hypercalls/io"] = static_cast<double>(c->hypercalls) / n;
	state.counters["interrupts/io"] = static_cast<double>(c->interrupts) / n;
}
BENCHMARK(storvsp_read_4_kib)
	->ArgNames({"batch", "channels"})
	->ArgsProduct({{1, 4, 16, 32}, {1}})
	->ArgsProduct({{16}, {2, 4}});

void memcpy_4_kib(benchmark::State &state)
{
	std::vector<uint8_t> disk(kDiskBytes, 0x5a);
	std::vector<uint8_t> to(16 * kIoBytes);
	size_t at = 0;
	unsigned i = 0;

	for (auto _ : state) {
		memcpy(to.data() + i * kIoBytes, disk.data() + at, kIoBytes);
		benchmark::ClobberMemory();
		at = (at + kIoBytes) % kDiskBytes;
		i = (i + 1) % 16;
	}
	state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(memcpy_4_kib);

} // namespace

BENCHMARK_MAIN();
