/* SPDX-License-Identifier: MIT */
/*
 * A VMM on KVM: one vCPU, RAM, a disk in memory. All that libhvstack asks of it is between [hvstack] and
 * [vmm]; kvm-machine.c has what any VMM has. See docs/integration.md.
 *
 *     kvm-vmm kvm-guest [user]        user: the SynIC in user space, whatever KVM can do
 */
#include "kvm-machine.h"

#include <hvstack/host/kvm.h>
#include <hvstack/hvstack.h>

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EXIT_PORT 0xf4

struct vmm {
	struct machine m;
	struct event_base *base;
	struct hvs_kvm *kvm;
	struct hvs_memdisk disk;
	int ended[2]; /* a pipe, to the thread of the base: the guest's exit status */
};

/* [hvstack] */
static int hyperv_create(struct vmm *v, bool user)
{
	const struct hvs_kvm_config cfg = {HVS_KVM_CONFIG_INIT, .vm_fd = v->m.vm, .vcpu_count = 1,
					   .base = v->base,
					   .synic = user ? HVS_KVM_SYNIC_USER : HVS_KVM_SYNIC_AUTO};
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {{1}}};
	const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .disk_id = {{2}}};
	struct hvs_storvsp *ctl;
	int result = hvs_kvm_create(&cfg, &v->kvm);

	if (!result)
		result = hvs_mem_add(hvs_kvm_mem(v->kvm), 0, v->m.ram_bytes, v->m.ram, HVS_RDWR);
	if (!result)
		result = hvs_storvsp_create(hvs_kvm_bus(v->kvm), &ctl_cfg, &ctl);
	if (!result)
		result = hvs_storvsp_attach(ctl, &disk_cfg, hvs_memdisk_ops(), &v->disk, NULL);
	return result;
}

static int hyperv_cpuid(struct vmm *v)
{
	return hvs_kvm_cpuid(v->kvm, v->m.cpuid, CPUID_MAX);
}

static int hyperv_start(struct vmm *v)
{
	int result = hvs_kvm_vcpu_init(v->kvm, 0, v->m.vcpu);

	return result ? result : hvs_vmbus_start(hvs_kvm_bus(v->kvm));
}

static int hyperv_exit(struct vmm *v)
{
	return hvs_kvm_handle_exit(v->kvm, 0, v->m.run); /* 1: it was for us, and is done */
}

static void hyperv_destroy(struct vmm *v)
{
	hvs_kvm_drain(v->kvm);
	hvs_kvm_destroy(v->kvm);
}

/* [vmm] */
static void *run_vcpu(void *arg)
{
	struct vmm *v = arg;
	const struct kvm_run *run = v->m.run;
	char status = 1;

	while (ioctl(v->m.vcpu, KVM_RUN, 0) == 0) {
		const int ours = hyperv_exit(v);

		if (ours > 0)
			continue;
		if (!ours && run->exit_reason == KVM_EXIT_IO && run->io.port == EXIT_PORT)
			status = *((const char *)run + run->io.data_offset);
		else
			warnx("KVM exit %u", run->exit_reason);
		break;
	}
	if (write(v->ended[1], &status, 1) != 1)
		err(1, "pipe");
	return NULL;
}

static void on_end(int fd, short what, void *base)
{
	(void)fd, (void)what;
	event_base_loopbreak(base);
}

static void check(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, strerror(-result));
}

int main(int argc, char **argv)
{
	static char data[1u << 20];
	struct vmm v = {
		.disk = {HVS_MEMDISK_INIT, .data = data, .len = sizeof(data), .block_size = 512}};
	struct event *end;
	pthread_t thread;
	char status = 1;

	if (argc < 2 || pipe(v.ended) != 0)
		errx(1, "which program?");
	v.base = event_base_new();
	end = event_new(v.base, v.ended[0], EV_READ, on_end, v.base);
	event_add(end, NULL);
	machine_create(&v.m, 64u << 20);
	check(hyperv_create(&v, argc > 2 && strcmp(argv[2], "user") == 0), "Hyper-V devices");
	check(hyperv_cpuid(&v), "CPUID");
	machine_create_vcpu(&v.m);
	check(hyperv_start(&v), "VMBus");
	machine_load(&v.m, argv[1]);
	check(-pthread_create(&thread, NULL, run_vcpu, &v), "vCPU");
	event_base_loop(v.base, EVLOOP_NO_EXIT_ON_EMPTY);
	pthread_join(thread, NULL);
	if (read(v.ended[0], &status, 1) != 1)
		err(1, "pipe");
	hyperv_destroy(&v);
	event_free(end);
	event_base_free(v.base);
	printf("the guest ended with %d, the disk holds: %s\n", status, data);
	return status;
}
