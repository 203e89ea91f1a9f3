/* SPDX-License-Identifier: MIT */
/*
 * VMBus for a VMM on KVM: makes memory, hypervisor interface, bus and loop of one VM and
 * connects them. What KVM does for us and what not is decided by the way, see kvm_impl.h.
 */
#include "host/kvm_impl.h"
#include "host/sized.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/channel.h>
#include <hvstack/host/timesample.h>
#include <hvstack/memory.h>
#include <hvstack/vmbus.h>
#include <hvstack/worker.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

/* CPUID leaves of hypervisors, ours and everybody's. */
#define HYPERVISOR_LEAF_FIRST 0x40000000u
#define HYPERVISOR_LEAF_LAST 0x4fffffffu
#define CPUID_1_ECX_HYPERVISOR (1u << 31)

int hvsi_kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

bool hvsi_kvm_has(int vm_fd, int cap)
{
	return ioctl(vm_fd, KVM_CHECK_EXTENSION, cap) > 0;
}

/* ---- what the library asks of us -------------------------------------------------------- */

static int be_synic_post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	struct hvs_kvm *kvm = be;

	return hvs_hv_post(kvm->hv, vp, sint, msg);
}

static void be_synic_signal(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	struct hvs_kvm *kvm = be;

	hvs_hv_signal(kvm->hv, vp, sint, flag);
}

/* The VMM names the loop of a worker it makes as worker_priv. */
static void be_wake(void *be, struct hvs_worker *worker, void *worker_priv)
{
	struct hvs_kvm *kvm = be;

	(void)worker;
	hvs_loop_wake(worker_priv ? worker_priv : kvm->loop);
}

static uint64_t be_now_ns(void *be)
{
	(void)be;
	return hvs_loop_now_ns();
}

/* The guest computes it from the TSC, which runs without NTP's corrections. */
static uint64_t hv_now_ns(void *be)
{
	struct timespec now;

	(void)be;
	(void)clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void be_log(void *be, const struct hvs_log_record *record)
{
	struct hvs_kvm *kvm = be;

	kvm->cfg.log(kvm->cfg.arg, record);
}

static void be_guest_fault(void *be, const struct hvs_guest_fault *fault)
{
	struct hvs_kvm *kvm = be;

	kvm->cfg.guest_fault(kvm->cfg.arg, fault);
}

static void be_record(void *be, const struct hvs_record *record)
{
	struct hvs_kvm *kvm = be;

	kvm->cfg.record(kvm->cfg.arg, record);
}

static int be_connect_request(void *be, const struct hvs_connect_request *request)
{
	struct hvs_kvm *kvm = be;

	return kvm->cfg.connect_request(kvm->cfg.arg, request);
}

static uint16_t hv_post_message(void *be, uint32_t connection_id, uint32_t message_type,
				const void *payload, size_t len)
{
	struct hvs_kvm *kvm = be;

	return hvs_vmbus_post_message(kvm->bus, connection_id, message_type, payload, len);
}

static uint16_t hv_signal_event(void *be, uint32_t connection_id, uint16_t flag)
{
	struct hvs_kvm *kvm = be;

	return hvs_vmbus_signal_event(kvm->bus, connection_id, flag);
}

static void hv_slot_free(void *be, uint32_t vp)
{
	struct hvs_kvm *kvm = be;

	hvs_vmbus_slot_free(kvm->bus, vp);
}

static void hv_crash(void *be, uint32_t vp, const struct hvs_hv_crash *crash)
{
	struct hvs_kvm *kvm = be;

	kvm->cfg.crash(kvm->cfg.arg, vp, crash);
}

/* ---- making and freeing ----------------------------------------------------------------- */

static int make_hv(struct hvs_kvm *kvm)
{
	const struct hvs_hv_ops ops = {
		HVS_HV_OPS_INIT,
		.interrupt = kvm->way->interrupt,
		.now_ns = hv_now_ns,
		.post_message = hv_post_message,
		.signal_event = hv_signal_event,
		.slot_free = hv_slot_free,
		.read_tsc = kvm->way->read_tsc,
		.crash = kvm->cfg.crash ? hv_crash : NULL,
		.record = kvm->cfg.record ? be_record : NULL,
	};
	struct hvs_hv_config cfg = {
		HVS_HV_CONFIG_INIT,
		.vp_count = kvm->cfg.vcpu_count,
	};
	int err = kvm->way->configure(&kvm->cfg, &cfg);

	return err ? err : hvs_hv_create(&cfg, kvm->mem, &ops, kvm, &kvm->hv);
}

static int make_bus(struct hvs_kvm *kvm)
{
	const struct hvs_backend_ops ops = {
		HVS_BACKEND_OPS_INIT,
		.synic_post = be_synic_post,
		.synic_signal = be_synic_signal,
		.doorbell_add = hvsi_kvm_doorbell_add,
		.doorbell_del = hvsi_kvm_doorbell_del,
		.wake = be_wake,
		.now_ns = be_now_ns,
		.log = kvm->cfg.log ? be_log : NULL,
		.guest_fault = kvm->cfg.guest_fault ? be_guest_fault : NULL,
		.record = kvm->cfg.record ? be_record : NULL,
		.connect_request = kvm->cfg.connect_request ? be_connect_request : NULL,
	};
	struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT};
	int err = 0;

	if (kvm->cfg.bus)
		err = HVSI_HOST_TAKE(&cfg, kvm->cfg.bus, alloc);
	cfg.size = (uint32_t)sizeof(cfg);
	cfg.vp_count = kvm->cfg.vcpu_count;
	cfg.log_level = kvm->cfg.log_level;
	if (!err)
		err = hvs_vmbus_create(&cfg, kvm->mem, &ops, kvm, &kvm->bus);
	kvm->cfg.bus = NULL; /* the caller's */
	if (!err)
		hvs_loop_set_worker(kvm->loop, hvs_vmbus_main_worker(kvm->bus));
	return err;
}

static const struct hvsi_kvm_way *choose_way(const struct hvs_kvm_config *cfg)
{
	if (cfg->synic != HVS_KVM_SYNIC_USER && hvsi_kvm_kernel.possible(cfg->vm_fd))
		return &hvsi_kvm_kernel;
	if (cfg->synic != HVS_KVM_SYNIC_KERNEL && hvsi_kvm_user.possible(cfg->vm_fd))
		return &hvsi_kvm_user;
	return NULL;
}

static int check_config(const struct hvs_kvm_config *cfg)
{
	if (cfg->vm_fd < 0 || !cfg->vcpu_count || !cfg->base)
		return -EINVAL;
	switch (cfg->synic) {
	case HVS_KVM_SYNIC_AUTO:
	case HVS_KVM_SYNIC_KERNEL:
	case HVS_KVM_SYNIC_USER:
		return 0;
	}
	return -EINVAL;
}

int hvs_kvm_create(const struct hvs_kvm_config *cfg_in, struct hvs_kvm **out)
{
	const struct hvsi_kvm_way *way;
	struct hvs_kvm_config cfg;
	struct hvs_kvm *kvm;
	int err;

	err = HVSI_HOST_TAKE(&cfg, cfg_in, bus);
	if (!err)
		err = out ? check_config(&cfg) : -EINVAL;
	if (err)
		return err;
	way = choose_way(&cfg);
	if (!way)
		return -ENOTSUP;

	kvm = calloc(1, sizeof(*kvm) + cfg.vcpu_count * sizeof(kvm->vcpu[0]));
	if (!kvm)
		return -ENOMEM;
	kvm->cfg = cfg;
	kvm->way = way;
	for (uint32_t vp = 0; vp < cfg.vcpu_count; vp++)
		kvm->vcpu[vp] = (struct hvsi_kvm_vcpu){.fd = -1, .irqfd = -1};

	err = hvs_loop_create(cfg.base, &kvm->loop);
	if (!err)
		err = hvs_mem_create(NULL, &kvm->mem);
	if (!err)
		err = make_hv(kvm);
	if (!err)
		err = make_bus(kvm);
	if (!err)
		err = way->setup(kvm);
	if (err) {
		hvs_kvm_destroy(kvm);
		return err;
	}
	*out = kvm;
	return 0;
}

void hvs_kvm_destroy(struct hvs_kvm *kvm)
{
	if (!kvm)
		return;
	hvs_vmbus_destroy(kvm->bus);
	hvsi_kvm_doorbells_free(kvm);
	for (uint32_t vp = 0; vp < kvm->cfg.vcpu_count; vp++)
		if (kvm->vcpu[vp].fd >= 0)
			kvm->way->vcpu_fini(kvm, vp);
	hvs_hv_destroy(kvm->hv);
	hvs_mem_destroy(kvm->mem);
	hvs_loop_destroy(kvm->loop);
	free(kvm);
}

struct hvs_vmbus *hvs_kvm_bus(struct hvs_kvm *kvm)
{
	return kvm->bus;
}

struct hvs_mem *hvs_kvm_mem(struct hvs_kvm *kvm)
{
	return kvm->mem;
}

enum hvs_kvm_synic hvs_kvm_synic_in_use(const struct hvs_kvm *kvm)
{
	return kvm->way->synic;
}

/* ---- time --------------------------------------------------------------------------------- */

uint64_t hvs_kvm_guest_os_id(const struct hvs_kvm *kvm)
{
	return kvm->way->synic == HVS_KVM_SYNIC_KERNEL ? atomic_load(&kvm->guest_os_id)
						       : hvs_hv_guest_os_id(kvm->hv);
}

int hvs_kvm_reference_time(struct hvs_kvm *kvm, uint64_t *reference)
{
	return kvm->way->reference_time(kvm, reference);
}

static int reference_of(void *arg, uint64_t *reference)
{
	return hvs_kvm_reference_time(arg, reference);
}

int hvs_kvm_sample_time(struct hvs_kvm *kvm, uint64_t *host_time, uint64_t *reference)
{
	return hvs_timesample(reference_of, kvm, host_time, reference);
}

/* ---- vCPUs ------------------------------------------------------------------------------ */

static bool is_hypervisor_leaf(uint32_t leaf)
{
	return leaf >= HYPERVISOR_LEAF_FIRST && leaf <= HYPERVISOR_LEAF_LAST;
}

int hvs_kvm_cpuid(struct hvs_kvm *kvm, struct kvm_cpuid2 *cpuid, unsigned max)
{
	struct kvm_cpuid_entry2 ours[HVS_HV_CPUID_LAST - HVS_HV_CPUID_FIRST + 1];
	unsigned count = 0;
	unsigned kept = 0;

	for (uint32_t leaf = HVS_HV_CPUID_FIRST; leaf <= HVS_HV_CPUID_LAST; leaf++) {
		uint32_t regs[4];

		if (hvs_hv_cpuid(kvm->hv, leaf, regs) < 0)
			continue;
		ours[count++] = (struct kvm_cpuid_entry2){
			.function = leaf,
			.eax = regs[0],
			.ebx = regs[1],
			.ecx = regs[2],
			.edx = regs[3],
		};
	}
	for (unsigned i = 0; i < cpuid->nent; i++)
		kept += !is_hypervisor_leaf(cpuid->entries[i].function);
	if (kept > max || count > max - kept)
		return -E2BIG;

	kept = 0;
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 entry = cpuid->entries[i];

		if (is_hypervisor_leaf(entry.function))
			continue;
		if (entry.function == 1)
			entry.ecx |= CPUID_1_ECX_HYPERVISOR;
		cpuid->entries[kept++] = entry;
	}
	memcpy(&cpuid->entries[kept], ours, count * sizeof(ours[0]));
	cpuid->nent = kept + count;
	return 0;
}

int hvs_kvm_vcpu_init(struct hvs_kvm *kvm, uint32_t vp, int vcpu_fd)
{
	int err;

	if (vp >= kvm->cfg.vcpu_count || vcpu_fd < 0 || kvm->vcpu[vp].fd >= 0)
		return -EINVAL;
	kvm->vcpu[vp].fd = vcpu_fd;
	err = kvm->way->vcpu_init(kvm, vp);
	if (err)
		kvm->vcpu[vp].fd = -1;
	return err;
}

int hvs_kvm_handle_exit(struct hvs_kvm *kvm, uint32_t vp, struct kvm_run *run)
{
	if (vp >= kvm->cfg.vcpu_count || kvm->vcpu[vp].fd < 0)
		return -EINVAL;
	return kvm->way->handle_exit(kvm, vp, run);
}

struct drain {
	struct event_base *base;
	bool over;
};

static void on_bus_reset(void *arg, int status)
{
	struct drain *drain = arg;

	(void)status;
	drain->over = true;
	(void)event_base_loopbreak(drain->base);
}

int hvs_kvm_drain(struct hvs_kvm *kvm)
{
	struct drain drain = {0};
	int err = 0;

	if (!kvm || !hvs_vmbus_started(kvm->bus))
		return 0;
	drain.base = kvm->cfg.base;
	err = hvs_vmbus_reset(kvm->bus, on_bus_reset, &drain);
	if (err)
		return err;
	while (!drain.over)
		if (event_base_loop(drain.base, EVLOOP_ONCE) < 0)
			return -EIO;
	return 0;
}

int hvs_kvm_reset(struct hvs_kvm *kvm)
{
	hvs_hv_reset(kvm->hv);
	return kvm->way->reset(kvm);
}
