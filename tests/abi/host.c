/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <errno.h>
#include <event2/event.h>
#include <hvstack/host/backup.h>
#include <hvstack/host/capture.h>
#include <hvstack/host/fault.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/guestinfo.h>
#include <hvstack/host/kvm.h>
#include <hvstack/host/limit.h>
#include <hvstack/host/manager.h>
#include <hvstack/host/nbddisk.h>
#include <hvstack/host/services.h>
#include <hvstack/host/snapshot.h>
#include <hvstack/host/tap.h>
#include <hvstack/host/usernet.h>
#include <hvstack/host/wire.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The program runs in a folder of its own. */
#define IMAGE "disk.img"
#define SOCKET_PATH "socket"

static struct event_base *new_base(void)
{
	return event_base_new();
}

/* A struct that is given, to be completed by what only exists while a test runs. It has what its size
 * says; something else is behind it. */
#define MAX_BYTES 2048u
union any {
	uint32_t size;
	uint64_t align;
	uint8_t bytes[MAX_BYTES];
};

static void *changeable(union any *copy, const void *x)
{
	uint32_t size;

	memset(copy, 0xa5, sizeof(*copy));
	memcpy(&size, x, sizeof(size));
	memcpy(copy, x, size < MAX_BYTES ? size : MAX_BYTES);
	return copy;
}

static int image(void)
{
	FILE *f = fopen(IMAGE, "w");
	int err;

	if (!f)
		return -errno;
	err = ftruncate(fileno(f), 65536) < 0 ? -errno : 0;
	fclose(f);
	return err;
}

/* ---- disks ------------------------------------------------------------------------------------------- */

static const struct hvs_filedisk_config filedisk_config = {
	HVS_FILEDISK_CONFIG_INIT, .flags = HVS_FILEDISK_THREADS, .path = IMAGE};

static int take_filedisk_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_filedisk *disk = NULL;
	struct hvs_filedisk_config *cfg;
	const char *why;
	union any copy;
	int err = image();

	cfg = changeable(&copy, x);
	if (cfg->size >= sizeof(*cfg))
		cfg->base = base;
	if (!err)
		err = hvs_filedisk_open(cfg, &disk, &why);
	hvs_filedisk_close(disk);
	event_base_free(base);
	return err;
}

static const struct hvs_nbddisk_config nbddisk_config = {
	HVS_NBDDISK_CONFIG_INIT, .image = "no-such-image", .format = "qcow2"};

static int take_nbddisk_config(const void *x)
{
	struct hvs_nbddisk *disk = NULL;
	int err = hvs_nbddisk_open(x, &disk, NULL, 0);

	hvs_nbddisk_close(disk);
	return err;
}

static const struct hvs_fault_config fault_config = {HVS_FAULT_CONFIG_INIT, .ops = &no_blk_ops};
static const struct hvs_fault_rule fault_rule = {HVS_FAULT_RULE_INIT};

static int make_fault(const void *config, const void *rule)
{
	struct event_base *base = new_base();
	struct hvs_fault *fault = NULL;
	struct hvs_fault_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, config);
	if (cfg->size >= sizeof(*cfg))
		cfg->base = base;
	err = hvs_fault_create(cfg, &fault);
	if (!err)
		err = hvs_fault_add(fault, rule);
	hvs_fault_destroy(fault);
	event_base_free(base);
	return err;
}

static int take_fault_config(const void *x)
{
	return make_fault(x, &fault_rule);
}

static int take_fault_rule(const void *x)
{
	return make_fault(&fault_config, x);
}

static const struct hvs_limit_config limit_config = {HVS_LIMIT_CONFIG_INIT, .ops = &no_blk_ops};

static int take_limit_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_limit *limit = NULL;
	struct hvs_limit_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, x);
	if (cfg->size >= sizeof(*cfg))
		cfg->base = base;
	err = hvs_limit_create(cfg, &limit);
	hvs_limit_destroy(limit);
	event_base_free(base);
	return err;
}

/* ---- points in time, backup --------------------------------------------------------------------------- */

static uint8_t memory[65536];
static struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = memory, .len = sizeof(memory),
				     .block_size = 512};
static struct hvs_snapshot_config snapshot_config = {HVS_SNAPSHOT_CONFIG_INIT, .disk = &memdisk,
						     .dir = "."};

static int make_snapshot(const void *config, struct event_base *base, struct hvs_snapshot **out)
{
	struct hvs_snapshot_config *cfg;
	union any copy;

	cfg = changeable(&copy, config);
	if (cfg->size >= sizeof(*cfg)) {
		cfg->ops = hvs_memdisk_ops();
		cfg->base = base;
	}
	return hvs_snapshot_create(cfg, out);
}

static int take_snapshot_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_snapshot *snapshot = NULL;
	int err = make_snapshot(x, base, &snapshot);

	hvs_snapshot_destroy(snapshot);
	event_base_free(base);
	return err;
}

static void on_point(void *arg, struct hvs_point *point, enum hvs_point_event event, int status)
{
	(void)arg, (void)point, (void)event, (void)status;
}

static const struct hvs_point_config point_config = {HVS_POINT_CONFIG_INIT, .count = 1,
						     .event = on_point};

static int take_point_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_snapshot *snapshot = NULL;
	struct hvs_point_config *cfg;
	struct hvs_point *point;
	union any copy;
	int err = make_snapshot(&snapshot_config, base, &snapshot);

	cfg = changeable(&copy, x);
	if (cfg->size >= sizeof(*cfg)) {
		cfg->disks = &snapshot;
		cfg->base = base;
	}
	if (!err)
		err = hvs_point_create(cfg, &point);
	if (!err)
		hvs_point_release(point, NULL);
	hvs_snapshot_destroy(snapshot);
	event_base_free(base);
	return err;
}

static void on_ended(void *arg, struct hvs_backup *backup, const struct hvs_backup_result *result)
{
	(void)arg, (void)backup, (void)result;
}

static const struct hvs_backup_config backup_config = {HVS_BACKUP_CONFIG_INIT, .disk_count = 1,
						       .consistency = HVS_BACKUP_CRASH,
						       .machine_name = "abi", .ended = on_ended};

static int make_backup(const void *config, void *progress)
{
	struct event_base *base = new_base();
	struct hvs_backup_disk disk = {.id = "disk"};
	struct hvs_backup *backup = NULL;
	FILE *files[2] = {tmpfile(), tmpfile()};
	struct hvs_backup_config *cfg;
	union any copy;
	int err =
		files[0] && files[1] ? make_snapshot(&snapshot_config, base, &disk.snapshot) : -EIO;

	cfg = changeable(&copy, config);
	if (!err) {
		disk.image_fd = fileno(files[0]);
		disk.map_fd = fileno(files[1]);
		if (cfg->size >= sizeof(*cfg)) {
			cfg->disks = &disk;
			cfg->base = base;
		}
		err = hvs_backup_start(cfg, &backup);
	}
	if (!err && progress)
		err = hvs_backup_get_progress(backup, progress);
	hvs_backup_destroy(backup);
	hvs_snapshot_destroy(disk.snapshot);
	event_base_free(base);
	for (unsigned i = 0; i < 2; i++)
		if (files[i])
			fclose(files[i]);
	return err;
}

static int take_backup_config(const void *x)
{
	return make_backup(x, NULL);
}

static int fill_backup_progress(void *x)
{
	return make_backup(&backup_config, x);
}

/* ---- networks ------------------------------------------------------------------------------------------ */

static const struct hvs_tap_config tap_config = {HVS_TAP_CONFIG_INIT, .name = "hvs-abi-none",
						 .base_count = 1};

static int take_tap_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_tap *tap = NULL;
	struct hvs_tap_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, x);
	if (cfg->size >= sizeof(*cfg))
		cfg->bases = &base;
	err = hvs_tap_open(cfg, &tap, NULL, 0);
	hvs_tap_close(tap);
	event_base_free(base);
	return err;
}

static const struct hvs_usernet_config usernet_config = {HVS_USERNET_CONFIG_INIT};
static const struct hvs_usernet_forward usernet_forward = {HVS_USERNET_FORWARD_INIT, .udp = true,
							   .host_port = 1, .guest_port = 1};

static int make_usernet(const void *config, const void *forward)
{
	struct event_base *base = new_base();
	struct hvs_usernet *net = NULL;
	struct hvs_usernet_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, config);
	if (cfg->size >= sizeof(*cfg))
		cfg->base = base;
	err = hvs_usernet_create(cfg, &net);
	if (!err && forward) /* there is none: it is looked for, and not found */
		err = hvs_usernet_remove_forward(net, forward);
	hvs_usernet_destroy(net);
	event_base_free(base);
	return err;
}

static int take_usernet_config(const void *x)
{
	return make_usernet(x, NULL);
}

static int take_usernet_forward(const void *x)
{
	return make_usernet(&usernet_config, x);
}

static const struct hvs_wire_config wire_config = {HVS_WIRE_CONFIG_INIT};

static int take_wire_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_wire *wire = NULL;
	struct hvs_wire_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, x);
	for (unsigned i = 0; i < 2 && cfg->size >= sizeof(*cfg); i++)
		cfg->end[i] = (struct hvs_wire_end_config){.base_count = 1, .bases = &base};
	err = hvs_wire_create(cfg, &wire);
	hvs_wire_destroy(wire);
	event_base_free(base);
	return err;
}

static const struct hvs_pipe_config pipe_config = {HVS_PIPE_CONFIG_INIT, .flags = HVS_PIPE_LISTEN,
						   .path = SOCKET_PATH};

static int take_pipe_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_pipe *pipe = NULL;
	struct hvs_pipe_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, x);
	if (cfg->size >= sizeof(*cfg))
		cfg->base = base;
	err = hvs_pipe_open(cfg, &pipe, NULL, 0);
	hvs_pipe_close(pipe);
	event_base_free(base);
	return err;
}

static const struct hvs_capture_config capture_config = {HVS_CAPTURE_CONFIG_INIT,
							 .path = "frames.pcapng"};

static int take_capture_config(const void *x)
{
	struct hvs_capture *capture = NULL;
	int err = hvs_capture_open(x, &capture);

	hvs_capture_close(capture);
	return err;
}

static int fill_capture_counters(void *x)
{
	struct hvs_capture *capture = NULL;
	int err = hvs_capture_open(&capture_config, &capture);

	if (!err)
		err = hvs_capture_get_counters(capture, x);
	hvs_capture_close(capture);
	return err;
}

/* ---- KVM ------------------------------------------------------------------------------------------------ */

static int kvm_fd = -1;

/* The library's ioctl() is this one: of a KVM that can do everything. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	if (fd == kvm_fd)
		return request == KVM_CHECK_EXTENSION || request == KVM_GET_TSC_KHZ;
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

static const struct hvs_kvm_config kvm_config = {HVS_KVM_CONFIG_INIT, .vcpu_count = 1,
						 .synic = HVS_KVM_SYNIC_USER};

static int take_kvm_config(const void *x)
{
	struct event_base *base = new_base();
	FILE *file = tmpfile();
	struct hvs_kvm *kvm = NULL;
	struct hvs_kvm_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, x);
	if (file && cfg->size >= sizeof(*cfg)) {
		kvm_fd = cfg->vm_fd = fileno(file);
		cfg->base = base;
	}
	err = hvs_kvm_create(cfg, &kvm);
	hvs_kvm_destroy(kvm);
	kvm_fd = -1;
	if (file)
		fclose(file);
	event_base_free(base);
	return err;
}

/* ---- management ------------------------------------------------------------------------------------------ */

static const struct hvs_manager_config manager_config = {
	HVS_MANAGER_CONFIG_INIT, .socket_path = SOCKET_PATH, .server = "abi", .name = "abi"};
static const struct hvs_manager_machine_ops manager_machine_ops = {HVS_MANAGER_MACHINE_OPS_INIT};
static const struct hvs_manager_backup_config manager_backup_config = {
	HVS_MANAGER_BACKUP_CONFIG_INIT, .name = "abi"};

static bool find_disk(void *arg, const char *name, struct hvs_backup_disk *disk)
{
	(void)arg, (void)name, (void)disk;
	return false;
}

static const struct hvs_manager_backup_ops manager_backup_ops = {HVS_MANAGER_BACKUP_OPS_INIT,
								 .find_disk = find_disk};

static int make_manager(const void *config, const void *machine, const void *backup_config_in,
			const void *backup_ops)
{
	struct event_base *base = new_base();
	struct hvs_manager *manager = NULL;
	struct hvs_manager_backup *backup = NULL;
	struct hvs_manager_backup_config *backup_cfg;
	struct hvs_manager_config *cfg;
	union any copy[2];
	int err;

	cfg = changeable(&copy[0], config);
	if (cfg->size >= sizeof(*cfg))
		cfg->base = base;
	err = hvs_manager_create(cfg, &manager);
	if (!err)
		err = hvs_manager_set_machine(manager, machine, NULL);
	backup_cfg = changeable(&copy[1], backup_config_in);
	if (backup_cfg->size >= sizeof(*backup_cfg)) {
		backup_cfg->manager = manager;
		backup_cfg->base = base;
		backup_cfg->ops = backup_ops;
	}
	if (!err)
		err = hvs_manager_backup_create(backup_cfg, &backup);
	hvs_manager_destroy(manager);
	hvs_manager_backup_destroy(backup);
	event_base_free(base);
	return err;
}

static int take_manager_config(const void *x)
{
	return make_manager(x, &manager_machine_ops, &manager_backup_config, &manager_backup_ops);
}

static int take_manager_machine_ops(const void *x)
{
	return make_manager(&manager_config, x, &manager_backup_config, &manager_backup_ops);
}

static int take_manager_backup_config(const void *x)
{
	return make_manager(&manager_config, &manager_machine_ops, x, &manager_backup_ops);
}

static int take_manager_backup_ops(const void *x)
{
	return make_manager(&manager_config, &manager_machine_ops, &manager_backup_config, x);
}

static const struct hvs_guestinfo_config guestinfo_config = {HVS_GUESTINFO_CONFIG_INIT};
static const struct hvs_guestinfo_ops guestinfo_ops = {HVS_GUESTINFO_OPS_INIT};

static int make_guestinfo(const void *config, const void *ops)
{
	struct event_base *base = new_base();
	struct hvs_guestinfo *g = NULL;
	struct hvs_guestinfo_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, config);
	if (cfg->size >= sizeof(*cfg))
		cfg->base = base;
	err = hvs_guestinfo_create(cfg, ops, NULL, NULL, 0, &g);
	hvs_guestinfo_destroy(g);
	event_base_free(base);
	return err;
}

static int take_guestinfo_config(const void *x)
{
	return make_guestinfo(x, &guestinfo_ops);
}

static int take_guestinfo_ops(const void *x)
{
	return make_guestinfo(&guestinfo_config, x);
}

static const struct hvs_services_config services_config = {
	HVS_SERVICES_CONFIG_INIT, .services = HVS_SERVICE(HVS_IC_HEARTBEAT)};

static int take_services_config(const void *x)
{
	struct event_base *base = new_base();
	struct hvs_loopback *lb = machine();
	struct hvs_services *s = NULL;
	struct hvs_services_config *cfg;
	union any copy;
	int err;

	cfg = changeable(&copy, x);
	if (lb && cfg->size >= sizeof(*cfg)) {
		cfg->base = base;
		cfg->bus = hvs_loopback_bus(lb);
	}
	err = hvs_services_create(cfg, NULL, 0, &s);
	hvs_loopback_destroy(lb);
	hvs_services_destroy(s);
	event_base_free(base);
	return err;
}

/* ---- all --------------------------------------------------------------------------------------------------- */

const struct given given_host[] = {
	GIVEN(filedisk_config, filedisk_config, 0),
	GIVEN(nbddisk_config, nbddisk_config, SOME_ERRNO),
	GIVEN(fault_config, fault_config, 0),
	GIVEN(fault_rule, fault_rule, 0),
	GIVEN(limit_config, limit_config, 0),
	GIVEN(snapshot_config, snapshot_config, 0),
	GIVEN(point_config, point_config, 0),
	GIVEN(backup_config, backup_config, 0),
	GIVEN(tap_config, tap_config, SOME_ERRNO),
	GIVEN(usernet_config, usernet_config, 0),
	GIVEN(usernet_forward, usernet_forward, -ENOENT),
	GIVEN(wire_config, wire_config, 0),
	GIVEN(pipe_config, pipe_config, 0),
	GIVEN(capture_config, capture_config, 0),
	GIVEN(kvm_config, kvm_config, 0),
	GIVEN(manager_config, manager_config, 0),
	GIVEN(manager_machine_ops, manager_machine_ops, 0),
	GIVEN(manager_backup_config, manager_backup_config, 0),
	GIVEN(manager_backup_ops, manager_backup_ops, 0),
	GIVEN(guestinfo_config, guestinfo_config, 0),
	GIVEN(guestinfo_ops, guestinfo_ops, 0),
	GIVEN(services_config, services_config, 0),
	{0},
};

const struct filled filled_host[] = {
	FILLED(backup_progress),
	FILLED(capture_counters),
	{0},
};
