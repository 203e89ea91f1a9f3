/* SPDX-License-Identifier: MIT */
/*
 * The integration of libhvstack, with disks.c, nets.c, iothreads.c and control*.c; no other file knows
 * more of the library than names of its numbers.
 *
 * What any VMM that runs KVM guests has to add stands here and in these between the marks "hvstack {"
 * and "} hvstack"; scripts/count-integration counts it. The rest is hvrun's own taste: messages, exit
 * statuses, naming of disks, threads, filters, backup, management, changes while the guest runs.
 */
#include "hyperv.h"

#include "bus_capture.h"
#include "control.h"
#include "control_path.h"
#include "disks.h"
#include "iothreads.h"
#include "machine.h"
#include "nets.h"
#include "options.h"
#include "record.h"
#include "report.h"

#include <event2/event.h>
#include <hvstack/host/kvm.h>
#include <hvstack/host/services.h>
#include <hvstack/hvstack.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct hyperv {
	struct hvs_kvm *kvm;
	struct iothreads *threads;
	struct disks *disks;
	struct nets *nets;
	struct hvs_services *services;
	char control_path[CONTROL_PATH];
	struct control *control; /* NULL: not wanted */
	struct record *record;   /* NULL: not wanted */
	struct bus_capture *capture;
};

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
	struct hvs_kvm_config cfg = {HVS_KVM_CONFIG_INIT, .vm_fd = machine->vm_fd,
				     .vcpu_count = opt->cpu_count, .base = machine->base};

	/* } hvstack */
	cfg.synic = synic(opt->synic);
	cfg.log_level = HVS_LOG_WARN;
	cfg.log = on_log;
	cfg.guest_fault = on_guest_fault;
	cfg.crash = on_crash;
	cfg.record = hyperv->record ? on_record : NULL;
	cfg.arg = machine;
	/* hvstack { */
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

static void on_ejected(void *arg, const char *id)
{
	const struct machine *machine = arg;

	control_medium_ejected(machine->hyperv->control, id);
}

static int add_disks(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = machine->hyperv;
	struct hvs_vmbus *bus = hvs_kvm_bus(hyperv->kvm);
	const struct disks_config cfg = {.bus = bus,
					 .base = machine->base,
					 .threads = hyperv->threads,
					 .subchannels = opt->cpu_count - 1,
					 .machine_id = opt->machine_id,
					 .backup_dir = opt->backup_dir,
					 .ejected = on_ejected,
					 .arg = machine};
	char why[DISKS_WHY];
	const char *id;

	hyperv->disks = disks_create(&cfg);
	if (!hyperv->disks)
		return report(HVRUN_VMM_ERROR, "out of memory");
	for (size_t i = 0; i < opt->disk_count; i++)
		if (!disks_add(hyperv->disks, &opt->disks[i], &id, why))
			return report(HVRUN_USAGE, "disk %s", why);
	return 0;
}

static int add_nets(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = machine->hyperv;
	const struct nets_config cfg = {.bus = hvs_kvm_bus(hyperv->kvm),
					.base = machine->base,
					.threads = hyperv->threads,
					.subchannels = opt->cpu_count - 1,
					.machine_id = opt->machine_id};
	char why[NETS_WHY];
	const char *id;

	hyperv->nets = nets_create(&cfg);
	if (!hyperv->nets)
		return report(HVRUN_VMM_ERROR, "out of memory");
	for (size_t i = 0; i < opt->net_count; i++)
		if (!nets_add(hyperv->nets, &opt->nets[i], &id, why))
			return report(HVRUN_USAGE, "network adapter: %s", why);
	return 0;
}

static int start_capture(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = machine->hyperv;
	struct hvs_capture_config cfg = {HVS_CAPTURE_CONFIG_INIT, .path = opt->capture_vmbus,
					 .name = "vmbus", .what = HVS_CAPTURE_VMBUS};
	char why[BUS_CAPTURE_WHY];

	hyperv->capture = bus_capture_create(hvs_kvm_bus(hyperv->kvm));
	if (!hyperv->capture)
		return report(HVRUN_VMM_ERROR, "out of memory");
	if (cfg.path && !bus_capture_begin(hyperv->capture, &cfg, why))
		return report(HVRUN_USAGE, "--capture-vmbus %s", why);
	return 0;
}

static int start_control(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = machine->hyperv;
	struct control_config cfg = {.path = opt->control,
				     .roles = opt->roles,
				     .name = opt->name,
				     .machine_id = opt->machine_id,
				     .base = machine->base,
				     .kvm = hyperv->kvm,
				     .capture = hyperv->capture,
				     .disks = hyperv->disks,
				     .nets = hyperv->nets};

	if (!cfg.path && *opt->name) {
		int status = control_path(geteuid() == 0, getenv("XDG_RUNTIME_DIR"), opt->name,
					  hyperv->control_path);

		if (status)
			return status;
		cfg.path = hyperv->control_path;
	}
	return cfg.path && *cfg.path ? control_create(&cfg, &hyperv->control) : 0;
}

static int add_services(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = machine->hyperv;
	char why[200];
	int err;
	/* hvstack services { */
	struct hvs_services_config cfg = {HVS_SERVICES_CONFIG_INIT, .services = opt->services,
					  .base = machine->base,    .bus = hvs_kvm_bus(hyperv->kvm),
					  .kvm = hyperv->kvm,       .name = opt->name,
					  .uuid = opt->machine_id};

	/* } hvstack */
	cfg.manager = control_manager(hyperv->control);
	cfg.path = opt->kvp_store;
	/* hvstack services { */
	err = hvs_services_create(&cfg, why, sizeof(why), &hyperv->services);
	/* } hvstack */
	if (err && why[0])
		return report(HVRUN_USAGE, "--kvp-store %s: %s", opt->kvp_store, why);
	control_set_services(hyperv->control, hyperv->services);
	return err ? failed("integration services", err) : 0;
}

static int add_devices(struct machine *machine, const struct options *opt)
{
	struct hyperv *hyperv = machine->hyperv;
	int status = iothreads_create(hvs_kvm_bus(hyperv->kvm), opt->io_threads, &hyperv->threads);

	if (!status)
		status = add_disks(machine, opt);
	if (!status)
		status = add_nets(machine, opt);
	if (!status)
		status = start_capture(machine, opt);
	if (!status)
		status = start_control(machine, opt);
	if (!status)
		status = add_services(machine, opt);
	return status;
}

int hyperv_start(struct machine *machine, const struct options *opt)
{
	int status = add_devices(machine, opt);
	int err;

	if (status)
		return status;
	err = hvs_vmbus_start(hvs_kvm_bus(machine->hyperv->kvm)); /* hvstack {} */
	return err ? failed("cannot start VMBus", err) : iothreads_start(machine->hyperv->threads);
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

void hyperv_detach(struct machine *machine)
{
	struct hyperv *hyperv = machine->hyperv;

	if (!hyperv)
		return;
	control_end_backup(hyperv->control);
	hvs_kvm_drain(hyperv->kvm); /* hvstack {} */
	if (hyperv->threads)
		iothreads_stop(hyperv->threads);
	hvs_kvm_destroy(hyperv->kvm); /* hvstack {} */
	disks_destroy(hyperv->disks);
	nets_destroy(hyperv->nets);
	hvs_services_destroy(hyperv->services); /* hvstack services {} */
	control_destroy(hyperv->control);
	iothreads_destroy(hyperv->threads);
	record_close(hyperv->record);
	bus_capture_destroy(hyperv->capture);
	free(hyperv);
	machine->hyperv = NULL;
}
