/* SPDX-License-Identifier: MIT */
/*
 * 4 KiB random reads from a file in the page cache, 32 at a time: a guest's requests through VMBus,
 * SCSI and io_uring, beside fio's io_uring engine on the same file in the same run. One thread each;
 * for ours that includes the guest's end.
 */
#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <event2/event.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/hvstack.h>

namespace
{

constexpr uint32_t kIoBytes = 4096;
constexpr uint32_t kBlocks = kIoBytes / 512;
constexpr uint32_t kDepth = 32;
constexpr uint64_t kFileBytes = 256u << 20;
constexpr uint32_t kRingBytes = 128 * 1024;

class File
{
      public:
	File()
	{
		const std::vector<char> mebibyte(1u << 20, 'x');
		const char *dir = getenv("TMPDIR");
		int fd;

		path = std::string(dir ? dir : "/tmp") + "/bench-storvsp-XXXXXX";
		fd = mkstemp(path.data());
		for (uint64_t at = 0; fd >= 0 && at < kFileBytes; at += mebibyte.size())
			if (write(fd, mebibyte.data(), mebibyte.size()) < 0)
				abort();
		if (fd < 0 || fsync(fd) < 0)
			abort();
		close(fd);
	}

	~File()
	{
		unlink(path.c_str());
	}

	std::string path;
};

File &file()
{
	static File f;

	return f;
}

double cpu_seconds()
{
	rusage u;

	getrusage(RUSAGE_SELF, &u);
	return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void storvsp(benchmark::State &state)
{
	hvs_filedisk_config file_cfg = {};
	hvs_storvsp_config ctl_cfg = {};
	hvs_disk_config disk_cfg = {};
	event_base *base = event_base_new();
	hvs_filedisk *disk;
	hvs_loopback *lb;
	hvs_storvsp *ctl;
	hvs_guest *guest;
	hvs_guest_channel *ch;
	uint32_t max_transfer;
	const char *why;

	file_cfg.size = sizeof(file_cfg);
	file_cfg.path = file().path.c_str();
	file_cfg.base = base;
	ctl_cfg.size = sizeof(ctl_cfg);
	disk_cfg.size = sizeof(disk_cfg);
	if (hvs_filedisk_open(&file_cfg, &disk, &why) < 0) {
		state.SkipWithError(why);
		event_base_free(base);
		return;
	}
	if (hvs_loopback_create(nullptr, &lb) < 0 ||
	    hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl) < 0 ||
	    hvs_storvsp_attach(ctl, &disk_cfg, hvs_filedisk_ops(), disk, nullptr) < 0 ||
	    hvs_loopback_start(lb, &guest) < 0 || hvs_guest_connect(guest, 0x50003) < 0 ||
	    hvs_guest_request_offers(guest) != 1 ||
	    hvs_guest_channel_open(guest, hvs_guest_offer_at(guest, 0), kRingBytes, &ch) < 0 ||
	    hvs_guest_stor_init(ch, 0x600, &max_transfer) < 0)
		abort();

	std::array<uint64_t, kDepth> gpa;
	hvs_guest_scsi_result result;
	uint64_t random = 88172645463325252u;
	uint64_t ios = 0;
	uint64_t xid;

	for (auto &g : gpa)
		if (!hvs_loopback_alloc_pages(lb, 1, &g))
			abort();
	auto submit = [&](uint64_t slot) {
		hvs_guest_scsi cmd = {};
		uint32_t lba;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		lba = static_cast<uint32_t>(random % (kFileBytes / kIoBytes)) * kBlocks;
		cmd.cdb_len = 10;
		cmd.cdb[0] = 0x28; /* READ(10) */
		for (unsigned i = 0; i < 4; i++)
			cmd.cdb[2 + i] = static_cast<uint8_t>(lba >> (24 - 8 * i));
		cmd.cdb[8] = kBlocks;
		cmd.direction = HVS_GUEST_STOR_IN;
		cmd.buffer = {gpa[slot], kIoBytes};
		if (hvs_guest_stor_submit(ch, slot, &cmd) < 0)
			abort();
	};
	for (uint64_t slot = 0; slot < kDepth; slot++)
		submit(slot);

	const double cpu = cpu_seconds();

	for (auto _ : state) {
		hvs_guest_flush(ch);
		hvs_loopback_run(lb);
		event_base_loop(base, EVLOOP_NONBLOCK);
		hvs_guest_channel_events(ch);
		while (hvs_guest_stor_reap(ch, &xid, &result) == 1) {
			if (result.srb_status != 1)
				abort();
			submit(xid);
			ios++;
		}
	}
	state.SetItemsProcessed(static_cast<int64_t>(ios));
	state.counters["cpu_ns/io"] = (cpu_seconds() - cpu) / static_cast<double>(ios) * 1e9;
	hvs_guest_flush(ch);
	hvs_loopback_destroy(lb);
	hvs_filedisk_close(disk);
	event_base_free(base);
}
BENCHMARK(storvsp)->UseRealTime();

/* fio's terse output (--minimal): fields by number, from 1 on. */
double field(const std::string &line, unsigned number)
{
	size_t at = 0;

	while (--number)
		at = line.find(';', at) + 1;
	return atof(line.c_str() + at);
}

void fio(benchmark::State &state)
{
	const std::string command =
		"fio --name=x --rw=randread --bs=4k --ioengine=io_uring --direct=0 --iodepth=" +
		std::to_string(kDepth) +
		" --norandommap --gtod_reduce=1 --time_based --runtime=2 --size=256m --minimal "
		"--invalidate=0 --readonly --filename=" +
		file().path;
	double iops = 0;
	double cpu_percent = 0;

	for (auto _ : state) {
		std::array<char, 4096> line = {};
		FILE *out = popen(command.c_str(), "r");
		const bool read = out && fgets(line.data(), line.size(), out);

		if (!out || pclose(out) != 0 || !read) {
			state.SkipWithError("fio failed; is it installed?");
			return;
		}
		iops = field(line.data(), 8);
		cpu_percent = field(line.data(), 88) + field(line.data(), 89);
		state.SetIterationTime(2);
	}
	state.counters["items_per_second"] = iops;
	state.counters["cpu_ns/io"] = cpu_percent / 100 / iops * 1e9;
}
BENCHMARK(fio)->UseManualTime()->Iterations(1);

} // namespace

BENCHMARK_MAIN();
