/* SPDX-License-Identifier: MIT */
/*
 * A VMM on KVM: one vCPU, RAM, a disk in memory. All that libhvstack asks of it is in the functions
 * behind [hvstack]; those behind [kvm] any VMM has. See docs/integration.md.
 *
 *     kvm-vmm kvm-guest [user]        user: the SynIC in user space, whatever KVM can do
 */
#include "kvm-boot.h"

#include <hvstack/host/kvm.h>
#include <hvstack/hvstack.h>

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BYTES (64ull << 20)
#define EXIT_PORT 0xf4
#define CPUID_MAX 200u

struct vmm {
	int vm, vcpu;
	unsigned char *ram;
	struct kvm_run *run;
	struct event_base *base;
	struct hvs_kvm *kvm;
	struct hvs_memdisk disk;
	int ended[2]; /* a pipe, to the thread of the base: the guest's exit status */
};

static int check(int result, const char *what)
{
	if (result < -1) /* the library's */
		errno = -result;
	if (result < 0)
		err(1, "%s", what);
	return result;
}

/* [hvstack] */
static int hyperv_create(struct vmm *v, bool user)
{
	const struct hvs_kvm_config cfg = {HVS_KVM_CONFIG_INIT, .vm_fd = v->vm, .vcpu_count = 1,
					   .base = v->base,
					   .synic = user ? HVS_KVM_SYNIC_USER : HVS_KVM_SYNIC_AUTO};
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{1}}};
	const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .disk_id = {{2}}};
	struct hvs_storvsp *ctl;
	int result = hvs_kvm_create(&cfg, &v->kvm);

	if (!result)
		result = hvs_mem_add(hvs_kvm_mem(v->kvm), 0, RAM_BYTES, v->ram, HVS_RDWR);
	if (!result)
		result = hvs_storvsp_create(hvs_kvm_bus(v->kvm), &ctl_cfg, &ctl);
	if (!result)
		result = hvs_storvsp_attach(ctl, &disk_cfg, &hvs_memdisk_ops, &v->disk, NULL);
	return result;
}

static int hyperv_cpuid(struct vmm *v, struct kvm_cpuid2 *cpuid)
{
	return hvs_kvm_cpuid(v->kvm, cpuid, CPUID_MAX);
}

static int hyperv_start(struct vmm *v)
{
	int result = hvs_kvm_vcpu_init(v->kvm, 0, v->vcpu);

	return result ? result : hvs_vmbus_start(hvs_kvm_bus(v->kvm));
}

static int hyperv_exit(struct vmm *v)
{
	return hvs_kvm_handle_exit(v->kvm, 0, v->run); /* 1: it was for us, and is done */
}

static void hyperv_destroy(struct vmm *v)
{
	hvs_kvm_drain(v->kvm);
	hvs_kvm_destroy(v->kvm);
}

/* [kvm] */
static void create_vm(struct vmm *v, int kvm)
{
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES};

	v->vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	check(ioctl(v->vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	check(ioctl(v->vm, KVM_CREATE_IRQCHIP), "KVM_CREATE_IRQCHIP");
	v->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (uintptr_t)v->ram;
	check(ioctl(v->vm, KVM_SET_USER_MEMORY_REGION, &slot), "RAM");
}

static void create_vcpu(struct vmm *v, int kvm)
{
	static char room[sizeof(struct kvm_cpuid2) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
	struct kvm_cpuid2 *cpuid = (struct kvm_cpuid2 *)room;
	const int run_bytes =
		check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");

	v->vcpu = check(ioctl(v->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	v->run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
	cpuid->nent = CPUID_MAX;
	check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	check(hyperv_cpuid(v, cpuid), "CPUID");
	check(ioctl(v->vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
}

static void *run_vcpu(void *arg)
{
	struct vmm *v = arg;
	char status = 1;

	while (ioctl(v->vcpu, KVM_RUN, 0) == 0) {
		const int ours = hyperv_exit(v);

		if (ours > 0)
			continue;
		if (!ours && v->run->exit_reason == KVM_EXIT_IO && v->run->io.port == EXIT_PORT)
			status = *((char *)v->run + v->run->io.data_offset);
		else
			warnx("KVM exit %u", v->run->exit_reason);
		break;
	}
	check((int)write(v->ended[1], &status, 1), "pipe");
	return NULL;
}

static void on_end(int fd, short what, void *arg)
{
	(void)fd, (void)what;
	event_base_loopbreak(arg);
}

int main(int argc, char **argv)
{
	static char data[1u << 20];
	struct vmm v = {.base = event_base_new(),
			.disk = {.data = data, .len = sizeof(data), .block_size = 512}};
	const int kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm");
	struct event *end;
	pthread_t thread;
	char status = 1;

	create_vm(&v, kvm);
	check(hyperv_create(&v, argc > 2 && strcmp(argv[2], "user") == 0), "Hyper-V devices");
	create_vcpu(&v, kvm);
	check(hyperv_start(&v), "VMBus");
	kvm_boot(v.vcpu, v.ram, RAM_BYTES, argv[1]);
	check(pipe(v.ended), "pipe");
	end = event_new(v.base, v.ended[0], EV_READ, on_end, v.base);
	event_add(end, NULL);
	check(-pthread_create(&thread, NULL, run_vcpu, &v), "vCPU");
	event_base_loop(v.base, EVLOOP_NO_EXIT_ON_EMPTY);
	pthread_join(thread, NULL);
	check((int)read(v.ended[0], &status, 1), "pipe");
	hyperv_destroy(&v);
	printf("the guest ended with %d, the disk holds: %s\n", status, data);
	return status;
}
