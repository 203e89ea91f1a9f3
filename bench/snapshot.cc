/* SPDX-License-Identifier: MIT */
/*
 * What it costs that a disk can be backed up: 4 KiB random reads and writes to a file in the page cache, 32
 * at a time, without and with the snapshot filter; the first write to a chunk after a point in time was
 * taken, and others; how long taking one holds writes back.
 */
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include <event2/event.h>
#include <event2/thread.h>
#include <unistd.h>

#include <hvstack/host/filedisk.h>
#include <hvstack/host/loop.h>
#include <hvstack/host/snapshot.h>

namespace
{

constexpr uint32_t kIoBytes = 4096;
constexpr uint32_t kDepth = 32;
constexpr uint64_t kFileBytes = 256u << 20;
constexpr uint64_t kChunks = kFileBytes / HVS_SNAPSHOT_CHUNK;

const char *folder()
{
	const char *dir = getenv("TMPDIR");

	return dir ? dir : "/tmp";
}

struct Io {
	hvs_blk_req req; /* first */
	iovec iov;
	bool finished;
	std::array<char, kIoBytes> data;
};

void done(hvs_blk_req *req, hvs_blk_status status)
{
	if (status != HVS_BLK_OK)
		abort();
	reinterpret_cast<Io *>(req)->finished = true;
}

class Disk
{
      public:
	explicit Disk(bool filter)
	{
		const std::vector<char> mebibyte(1u << 20, 'x');
		hvs_filedisk_config cfg = {};
		hvs_snapshot_config snap_cfg = {};
		const char *why;
		int fd;

		path = std::string(folder()) + "/bench-snapshot-XXXXXX";
		fd = mkstemp(path.data());
		for (uint64_t at = 0; fd >= 0 && at < kFileBytes; at += mebibyte.size())
			if (write(fd, mebibyte.data(), mebibyte.size()) < 0)
				abort();
		if (fd < 0 || fsync(fd) < 0)
			abort();
		close(fd);
		base = event_base_new();
		cfg.size = sizeof(cfg);
		cfg.path = path.c_str();
		cfg.base = base;
		if (hvs_filedisk_open(&cfg, &file, &why) < 0)
			abort();
		ops = hvs_filedisk_ops();
		disk = file;
		if (!filter)
			return;
		snap_cfg.size = sizeof(snap_cfg);
		snap_cfg.ops = ops;
		snap_cfg.disk = disk;
		snap_cfg.base = base;
		snap_cfg.dir = folder();
		if (hvs_snapshot_create(&snap_cfg, &snapshot) < 0)
			abort();
		ops = hvs_snapshot_ops();
		disk = snapshot;
	}

	Disk(const Disk &) = delete;
	Disk &operator=(const Disk &) = delete;

	~Disk()
	{
		hvs_point_release(point, nullptr);
		hvs_snapshot_destroy(snapshot);
		hvs_filedisk_close(file);
		event_base_free(base);
		unlink(path.c_str());
	}

	void submit(Io &io, hvs_blk_op op, uint64_t offset)
	{
		io.iov = {io.data.data(), kIoBytes};
		io.req = {};
		io.req.op = op;
		io.req.iov = &io.iov;
		io.req.iovcnt = 1;
		io.req.offset = offset;
		io.req.len = kIoBytes;
		io.req.done = done;
		io.finished = false;
		ops->submit(disk, &io.req);
	}

	void run(Io &io, hvs_blk_op op, uint64_t offset)
	{
		submit(io, op, offset);
		ops->commit(disk, 0);
		while (!io.finished)
			event_base_loop(base, EVLOOP_ONCE);
	}

	void take_point(uint32_t flags = HVS_POINT_NO_CLONE)
	{
		hvs_point_config cfg = {};

		cfg.size = sizeof(cfg);
		cfg.flags = flags;
		cfg.count = 1;
		cfg.disks = &snapshot;
		cfg.base = base;
		cfg.arg = this;
		cfg.event = [](void *arg, hvs_point *, hvs_point_event event, int status) {
			if (status)
				abort();
			static_cast<Disk *>(arg)->has = event;
		};
		has = static_cast<hvs_point_event>(0);
		if (hvs_point_create(&cfg, &point) < 0)
			abort();
		wait_for(HVS_POINT_PREPARED);
		asked_ns = hvs_loop_now_ns();
		if (hvs_point_take(point) < 0)
			abort();
		wait_for(HVS_POINT_TAKEN);
		taken_ns = hvs_loop_now_ns();
	}

	void release_point()
	{
		hvs_point_release(point, nullptr);
		point = nullptr;
	}

	event_base *base;
	const hvs_blk_ops *ops;
	void *disk;
	uint64_t asked_ns = 0;
	uint64_t taken_ns = 0;

      private:
	void wait_for(hvs_point_event event)
	{
		while (has != event)
			event_base_loop(base, EVLOOP_ONCE);
	}

	std::string path;
	hvs_filedisk *file = nullptr;
	hvs_snapshot *snapshot = nullptr;
	hvs_point *point = nullptr;
	hvs_point_event has = static_cast<hvs_point_event>(0);
};

uint64_t random_number(uint64_t &state)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

void many(benchmark::State &state, hvs_blk_op op)
{
	Disk disk(state.range(0) != 0);
	std::vector<Io> ios(kDepth);
	uint64_t random = 88172645463325252u;
	int64_t count = 0;

	for (auto _ : state) {
		for (auto &io : ios)
			disk.submit(io, op,
				    random_number(random) % (kFileBytes / kIoBytes) * kIoBytes);
		disk.ops->commit(disk.disk, 0);
		for (const auto &io : ios)
			while (!io.finished)
				event_base_loop(disk.base, EVLOOP_ONCE);
		count += kDepth;
	}
	state.SetItemsProcessed(count);
}

void reads(benchmark::State &state)
{
	many(state, HVS_BLK_READ);
}
BENCHMARK(reads)->ArgName("filter")->Arg(0)->Arg(1)->UseRealTime();

void writes(benchmark::State &state)
{
	many(state, HVS_BLK_WRITE);
}
BENCHMARK(writes)->ArgName("filter")->Arg(0)->Arg(1)->UseRealTime();

/* One at a time, each to a chunk that was not saved (0), or was (1). */
void write_in_a_backup(benchmark::State &state)
{
	Disk disk(true);
	Io io;
	uint64_t chunk = 0;

	disk.take_point();
	if (state.range(0))
		disk.run(io, HVS_BLK_WRITE, 0);
	for (auto _ : state) {
		if (chunk == kChunks) {
			state.PauseTiming();
			disk.release_point();
			disk.take_point();
			chunk = 0;
			state.ResumeTiming();
		}
		disk.run(io, HVS_BLK_WRITE, chunk * HVS_SNAPSHOT_CHUNK);
		chunk += state.range(0) ? 0u : 1u;
	}
}
BENCHMARK(write_in_a_backup)->ArgName("saved")->Arg(0)->Arg(1)->UseRealTime()->Iterations(4000);

/* From being asked for a point to its being taken, as whoever asks sees it; a hundred blocks have been
 * written since the last one. Clones only where the file system of TMPDIR has them. */
void take(benchmark::State &state)
{
	const uint32_t flags = state.range(0) ? 0 : HVS_POINT_NO_CLONE;
	Disk disk(true);
	Io io;
	uint64_t random = 88172645463325252u;

	for (auto _ : state) {
		for (unsigned i = 0; i < 100; i++)
			disk.run(io, HVS_BLK_WRITE,
				 random_number(random) % (kFileBytes / kIoBytes) * kIoBytes);
		disk.take_point(flags);
		state.SetIterationTime(static_cast<double>(disk.taken_ns - disk.asked_ns) / 1e9);
		disk.release_point();
	}
}
BENCHMARK(take)->ArgName("clone")->Arg(0)->Arg(1)->UseManualTime()->Iterations(20);

} // namespace

int main(int argc, char **argv)
{
	evthread_use_pthreads();
	benchmark::Initialize(&argc, argv);
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
