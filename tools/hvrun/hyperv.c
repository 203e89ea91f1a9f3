/* SPDX-License-Identifier: MIT */
/*
 * The whole integration of libhvstack; no other file of hvrun knows the library.
 *
 * What any VMM that runs KVM guests has to add stands between the marks "hvstack {" and
 * "} hvstack"; scripts/count-integration counts it. The rest is hvrun's own taste: messages,
 * exit statuses, naming of disks.
 */
#include "hyperv.h"

#include "machine.h"
#include "options.h"
#include "record.h"
#include "report.h"

#include <event2/event.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/kvm.h>
#include <hvstack/hvstack.h>
#include <stdlib.h>
#include <string.h>

struct hyperv {
	struct hvs_kvm *kvm;
	struct hvs_filedisk *disks[HVRUN_MAX_DISKS];
	size_t disk_count;
	struct record *record; /* NULL: not wanted */
	bool reset;
};

/* A fixed controller: guests name disks by it. Disk n is told apart by the last bytes. */
static const struct hvs_guid controller_id = {
	{0x6e, 0x75, 0x72, 0x76, 0x68, 0x00, 0x00, 0x40, 0x80, 0x00, 's', 'c', 's', 'i', '0', '0'}};
static const struct hvs_guid first_disk_id = {
	{0x6e, 0x75, 0x72, 0x76, 0x68, 0x00, 0x00, 0x40, 0x80, 0x00, 'd', 'i', 's', 'k', '0', '0'}};

static int failed(const char *what, int err)
{
	return report(HVRUN_VMM_ERROR, "%s: %s", what, strerror(-err));
}

static void on_log(void *arg, const struct hvs_log_record *rec)
{
	(void)arg;
	report(0, "%s: %s", rec->module, rec->text);
}

static void on_guest_fault(void *arg, const struct hvs_guest_fault *fault)
{
	(void)arg;
	report(0, "the guest broke the VMBus protocol: channel %u, %s: %s", fault->channel_id,
	       hvs_fault_name(fault->code), fault->where);
}

static void on_crash(void *arg, uint32_t vp, const struct hvs_hv_crash *crash)
{
	(void)vp;
	(void)crash;
	machine_guest_crashed(arg);
}

static void on_record(void *arg, const struct hvs_record *rec)
{
	const struct machine *machine = arg;

	record_write(machine->hyperv->record, rec);
}

static enum hvs_kvm_synic synic(enum synic_mode mode)
{
	switch (mode) {
	case SYNIC_KERNEL:
		return HVS_KVM_SYNIC_KERNEL;
	case SYNIC_USER:
		return HVS_KVM_SYNIC_USER;
	case SYNIC_AUTO:
		break;
	}
	return HVS_KVM_SYNIC_AUTO;
}

int hyperv_attach(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = calloc(1, sizeof(*hyperv));
	int err;

	if (!hyperv)
		return report(HVRUN_VMM_ERROR, "out of memory");
	machine->hyperv = hyperv;
	if (opt->record) {
		int status = record_open(opt->record, &hyperv->record);

		if (status)
			return status;
	}
	/* hvstack { */
	const struct hvs_kvm_config cfg = {HVS_KVM_CONFIG_INIT,
					   .vm_fd = machine->vm_fd,
					   .vcpu_count = opt->cpu_count,
					   .synic = synic(opt->synic),
					   .base = machine->base,
					   .log_level = HVS_LOG_WARN,
					   .log = on_log,
					   .guest_fault = on_guest_fault,
					   .crash = on_crash,
					   .record = hyperv->record ? on_record : NULL,
					   .arg = machine};

	err = hvs_kvm_create(&cfg, &hyperv->kvm);
	for (size_t i = 0; !err && i < machine->region_count; i++)
		err = hvs_mem_add(hvs_kvm_mem(hyperv->kvm), machine->regions[i].gpa,
				  machine->regions[i].bytes, machine->regions[i].hva, HVS_RDWR);
	/* } hvstack */
	return err ? failed("cannot attach Hyper-V devices to the VM", err) : 0;
}

int hyperv_cpuid(struct machine *machine, struct kvm_cpuid2 *cpuid, unsigned max)
{
	int err = hvs_kvm_cpuid(machine->hyperv->kvm, cpuid, max); /* hvstack {} */

	return err ? failed("Hyper-V CPUID leaves", err) : 0;
}

int hyperv_vcpu_init(struct machine *machine, struct vcpu *vcpu)
{
	/* hvstack { */
	int err = hvs_kvm_vcpu_init(machine->hyperv->kvm, vcpu->index, vcpu->fd);
	/* } hvstack */

	return err ? failed("Hyper-V registers of a vCPU", err) : 0;
}

static int open_disk(struct machine *machine, const struct disk_option *disk)
{
	struct hyperv *hyperv = machine->hyperv;
	/* hvstack { */
	const struct hvs_filedisk_config cfg = {
		HVS_FILEDISK_CONFIG_INIT, .path = disk->path, .base = machine->base,
		.flags = disk->read_only ? HVS_FILEDISK_READ_ONLY : 0};
	const char *why;

	if (hvs_filedisk_open(&cfg, &hyperv->disks[hyperv->disk_count], &why) < 0)
		/* } hvstack */
		return report(HVRUN_USAGE, "disk %s: %s", disk->path, why);
	hyperv->disk_count++;
	return 0;
}

static int add_disks(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = machine->hyperv;
	int status = 0;

	for (size_t i = 0; i < opt->disk_count && !status; i++)
		status = open_disk(machine, &opt->disks[i]);
	if (status)
		return status;
	/* hvstack { */
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT,
						   .instance_id = controller_id,
						   .max_subchannels = opt->cpu_count - 1};
	struct hvs_storvsp *ctl;
	int err = hvs_storvsp_create(hvs_kvm_bus(hyperv->kvm), &ctl_cfg, &ctl);

	for (uint32_t i = 0; !err && i < hyperv->disk_count; i++) {
		struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = (uint8_t)i,
					      .disk_id = first_disk_id};

		cfg.disk_id.b[15] = (uint8_t)i;
		err = hvs_storvsp_attach(ctl, &cfg, &hvs_filedisk_ops, hyperv->disks[i], NULL);
	}
	/* } hvstack */
	return err ? failed("cannot add disks", err) : 0;
}

int hyperv_start(struct machine *machine, const struct options *opt)
{
	int status = add_disks(machine, opt);
	int err;

	if (status)
		return status;
	err = hvs_vmbus_start(hvs_kvm_bus(machine->hyperv->kvm)); /* hvstack {} */
	return err ? failed("cannot start VMBus", err) : 0;
}

int hyperv_handle_exit(struct vcpu *vcpu)
{
	/* hvstack { */
	int ours = hvs_kvm_handle_exit(vcpu->machine->hyperv->kvm, vcpu->index, vcpu->run);
	/* } hvstack */

	if (ours >= 0)
		return ours;
	failed("Hyper-V exit", ours);
	return -1;
}

bool hyperv_connected(const struct machine *machine)
{
	return hvs_vmbus_guest_version(hvs_kvm_bus(machine->hyperv->kvm)) != 0;
}

/* hvstack { */
static void on_reset(void *arg, int status)
{
	struct machine *machine = arg;

	(void)status;
	machine->hyperv->reset = true;
	event_base_loopbreak(machine->base);
}

/* Requests that are with the kernel come back first. */
static void drain(struct machine *machine)
{
	struct hvs_vmbus *bus = hvs_kvm_bus(machine->hyperv->kvm);

	if (hvs_vmbus_started(bus) && hvs_vmbus_reset(bus, on_reset, machine) == 0)
		while (!machine->hyperv->reset)
			event_base_loop(machine->base, EVLOOP_ONCE);
}
/* } hvstack */

void hyperv_detach(struct machine *machine)
{
	struct hyperv *hyperv = machine->hyperv;

	if (!hyperv)
		return;
	/* hvstack { */
	if (hyperv->kvm)
		drain(machine);
	hvs_kvm_destroy(hyperv->kvm);
	for (size_t i = 0; i < hyperv->disk_count; i++)
		hvs_filedisk_close(hyperv->disks[i]);
	/* } hvstack */
	record_close(hyperv->record);
	free(hyperv);
	machine->hyperv = NULL;
}
