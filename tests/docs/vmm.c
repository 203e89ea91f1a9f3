/* SPDX-License-Identifier: MIT */
/*
 * A VMM on KVM reduced to its calls of the library, in their order: what docs/integration.md begins
 * with. It has no ACPI tables, loads nothing and boots nothing. tests/docs/run compiles it.
 */
#include <event2/event.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/kvm.h>
#include <hvstack/hvstack.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BYTES (512u << 20)
#define CPUID_ROOM 128u

struct vm {
	int kvm_fd, vm_fd, vcpu_fd;
	struct kvm_run *run;
	void *ram;
	struct event_base *base;
	struct hvs_kvm *kvm;
	struct hvs_storvsp *controller;
	struct hvs_filedisk *file;
};

/* Set-up thread. KVM_CREATE_VM and KVM_CREATE_IRQCHIP are done; no vCPU exists. */
static int attach(struct vm *vm)
{
	const struct hvs_kvm_config cfg = {HVS_KVM_CONFIG_INIT, .vm_fd = vm->vm_fd, .vcpu_count = 1,
					   .base = vm->base};
	int err = hvs_kvm_create(&cfg, &vm->kvm);

	if (!err)
		err = hvs_mem_add(hvs_kvm_mem(vm->kvm), 0, RAM_BYTES, vm->ram, HVS_RDWR);
	return err;
}

/* Set-up thread. cpuid: what KVM_GET_SUPPORTED_CPUID said, changed as you like, with room for more. */
static int vcpu(struct vm *vm, struct kvm_cpuid2 *cpuid)
{
	int err = hvs_kvm_cpuid(vm->kvm, cpuid, CPUID_ROOM);

	if (!err && ioctl(vm->vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		err = -errno;
	if (!err)
		err = hvs_kvm_vcpu_init(vm->kvm, 0, vm->vcpu_fd); /* 0, 1, ...: in this order */
	return err;
}

/* Set-up thread. */
static int devices(struct vm *vm, const char *image)
{
	const struct hvs_filedisk_config file_cfg = {HVS_FILEDISK_CONFIG_INIT, .path = image,
						     .base = vm->base};
	const struct hvs_storvsp_config ctl_cfg = {
		HVS_STORVSP_CONFIG_INIT, .instance_id = {{0x5c, 0x51, 1}}}; /* always the same */
	const struct hvs_disk_config disk_cfg = {
		HVS_DISK_CONFIG_INIT,
		.disk_id = {{0xd1, 0x5c, 1}}}; /* random, stored with the disk */
	const char *why = NULL;
	int err = hvs_filedisk_open(&file_cfg, &vm->file, &why);

	if (err)
		fprintf(stderr, "%s: %s\n", image, why ? why : strerror(-err));
	if (!err)
		err = hvs_storvsp_create(hvs_kvm_bus(vm->kvm), &ctl_cfg, &vm->controller);
	if (!err)
		err = hvs_storvsp_attach(vm->controller, &disk_cfg, hvs_filedisk_ops(), vm->file,
					 NULL);
	return err;
}

/* A thread for each vCPU. Returns when the machine is to end. */
static void run(struct vm *vm)
{
	for (;;) {
		if (ioctl(vm->vcpu_fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue; /* you stop vCPUs with a signal: look whether to stop */
			return;
		}
		const int ours = hvs_kvm_handle_exit(vm->kvm, 0, vm->run);

		if (ours > 0)
			continue;
		if (ours < 0 || vm->run->exit_reason == KVM_EXIT_SHUTDOWN)
			return;
		/* your own exits: KVM_EXIT_IO, KVM_EXIT_MMIO, ... */
	}
}

/* vCPUs are stopped, the thread of the base has left its loop. */
static void end(struct vm *vm)
{
	hvs_kvm_drain(vm->kvm);
	hvs_kvm_destroy(vm->kvm);
	hvs_filedisk_close(vm->file);
	event_base_free(vm->base);
}

static int vm_open(struct vm *vm, struct kvm_cpuid2 *cpuid)
{
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES};

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	vm->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.userspace_addr = (uintptr_t)vm->ram;
	if (vm->ram == MAP_FAILED || ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0 ||
	    ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return -errno;
	cpuid->nent = CPUID_ROOM;
	return ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ? -errno : 0;
}

static int vcpu_open(struct vm *vm)
{
	const int bytes = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	vm->vcpu_fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, 0);
	vm->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu_fd, 0);
	return vm->run == MAP_FAILED ? -errno : 0;
}

int main(int argc, char **argv)
{
	struct vm vm = {.base = event_base_new()};
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ROOM * sizeof(cpuid->entries[0]));
	int err = argc < 2 || !cpuid || !vm.base ? -EINVAL : vm_open(&vm, cpuid);

	if (!err)
		err = attach(&vm);
	if (!err)
		err = vcpu_open(&vm);
	if (!err)
		err = vcpu(&vm, cpuid);
	if (!err)
		err = devices(&vm, argv[1]);
	if (!err)
		err = hvs_vmbus_start(hvs_kvm_bus(vm.kvm));
	/* Here: load the guest, then a thread for event_base_dispatch(vm.base). */
	if (!err)
		run(&vm);
	end(&vm);
	free(cpuid);
	return err != 0;
}
