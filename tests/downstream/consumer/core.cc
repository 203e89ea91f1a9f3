/* SPDX-License-Identifier: MIT */
/* The same from C++, where HVS_*_INIT is an assignment. */
#include <hvstack/hvstack.h>

#include <cstdio>
#include <memory>
#include <vector>

namespace
{

struct Delete {
	void operator()(hvs_mem *mem) const
	{
		hvs_mem_destroy(mem);
	}
	void operator()(hvs_vmbus *bus) const
	{
		hvs_vmbus_destroy(bus);
	}
};

} // namespace

int main()
{
	std::unique_ptr<hvs_mem, Delete> mem;
	std::unique_ptr<hvs_vmbus, Delete> bus;
	hvs_backend_ops ops{};
	hvs_vmbus_config cfg{};
	hvs_mem *raw_mem;
	hvs_vmbus *raw_bus;

	if (hvs_mem_create(nullptr, &raw_mem))
		return 1;
	mem.reset(raw_mem);

	ops.size = sizeof(ops);
	ops.synic_post = [](void *, uint32_t, uint8_t, const hvs_synic_msg *) { return 0; };
	ops.synic_signal = [](void *, uint32_t, uint8_t, uint16_t) {};
	ops.wake = [](void *, hvs_worker *, void *) {};
	ops.now_ns = [](void *) { return uint64_t{1}; };
	cfg.size = sizeof(cfg);
	cfg.vp_count = 2;
	if (hvs_vmbus_create(&cfg, mem.get(), &ops, nullptr, &raw_bus))
		return 1;
	bus.reset(raw_bus);
	std::printf("core C++ %#x\n", hvs_version());
	return hvs_vmbus_guest_version(bus.get()) != 0;
}
