/* SPDX-License-Identifier: MIT */
/*
 * The code of docs/cookbook.md, and of docs/integration.md where that is not taken from a program.
 * tests/docs/run compiles it, and runs it: over the loopback, on a bus without KVM.
 */
#include <event2/event.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/host/capture.h>
#include <hvstack/host/filedisk.h>
#include <hvstack/host/kvm.h>
#include <hvstack/host/limit.h>
#include <hvstack/host/loop.h>
#include <hvstack/host/manager.h>
#include <hvstack/host/nbddisk.h>
#include <hvstack/host/services.h>
#include <hvstack/host/usernet.h>
#include <hvstack/hvstack.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                                                                \
	do {                                                                                       \
		const int err_ = (call);                                                           \
		if (err_ < 0) {                                                                    \
			fprintf(stderr, "%s: %s\n", #call, strerror(-err_));                       \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* ---- disks ----------------------------------------------------------------------------------- */

static void done_flag(void *arg, int status)
{
	(void)status;
	*(bool *)arg = true;
}

static int add_disk(struct hvs_storvsp *controller, struct event_base *base, const char *path,
		    uint8_t lun, struct hvs_guid id, struct hvs_filedisk **file,
		    struct hvs_disk **disk)
{
	const struct hvs_filedisk_config file_cfg = {HVS_FILEDISK_CONFIG_INIT, .path = path,
						     .base = base};
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT, .lun = lun, .disk_id = id};
	const char *why = NULL;
	int err = hvs_filedisk_open(&file_cfg, file, &why);

	if (err) {
		fprintf(stderr, "%s: %s\n", path, why ? why : strerror(-err));
		return err;
	}
	err = hvs_storvsp_attach(controller, &cfg, hvs_filedisk_ops(), *file, disk);
	if (err)
		hvs_filedisk_close(*file);
	return err;
}

/* done, on any thread: now hvs_filedisk_close() may come. */
static int remove_disk(struct hvs_disk *disk, hvs_done_fn done, void *arg)
{
	return hvs_disk_remove(disk, done, arg);
}

static int limited_disk(struct hvs_storvsp *controller, struct event_base *base,
			struct hvs_filedisk *file, struct hvs_limit **limit)
{
	const struct hvs_limit_config cfg = {
		HVS_LIMIT_CONFIG_INIT, .ops = hvs_filedisk_ops(), .disk = file, .base = base,
		.rates = {.requests_per_s = 500, .bytes_per_s = 50u << 20}};
	const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .lun = 1,
						 .disk_id = {{0xd1, 0x5c, 2}}};
	int err = hvs_limit_create(&cfg, limit);

	if (!err)
		err = hvs_storvsp_attach(controller, &disk_cfg, hvs_limit_ops(), *limit, NULL);
	return err;
}

static int other_limit(struct hvs_limit *limit)
{
	const struct hvs_limit_rates rates = {.requests_per_s = 2000};

	return hvs_limit_set(limit, &rates);
}

static int longer_disk(struct hvs_filedisk *file, struct hvs_disk *disk, uint64_t bytes)
{
	int err = hvs_filedisk_resize(file, bytes);

	return err ? err : hvs_disk_refresh(disk);
}

static void on_disk_log(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

static int image_disk(struct hvs_storvsp *ctl, const char *path,
		      const struct hvs_disk_config *disk_cfg)
{
	int err = 0;
	/* [image] */
	const char *format = hvs_nbddisk_format(path); /* by its name; or ask the administrator */
	const struct hvs_nbddisk_config cfg = {HVS_NBDDISK_CONFIG_INIT, .image = path,
					       .format = format, .log = on_disk_log};
	struct hvs_nbddisk *disk;
	char why[256];

	if (hvs_nbddisk_open(&cfg, &disk, why, sizeof(why)) < 0)
		fprintf(stderr, "%s: %s\n", path, why);
	else
		err = hvs_storvsp_attach(ctl, disk_cfg, hvs_nbddisk_ops(), disk, NULL);
	return err;
}

static int thread_of_its_own(struct hvs_vmbus *bus, struct event_base *base2)
{
	struct hvs_worker *worker;
	struct hvs_loop *loop;
	int err = hvs_loop_create(base2, &loop);

	if (!err)
		err = hvs_worker_create(bus, loop,
					&worker); /* its private pointer must be the loop */
	if (!err)
		hvs_loop_set_worker(loop, worker);
	return err;
}

/* ---- networks -------------------------------------------------------------------------------- */

static int user_network(struct hvs_vmbus *bus, struct event_base *base, struct hvs_usernet **net,
			struct hvs_nic **nic)
{
	const struct hvs_usernet_config net_cfg = {HVS_USERNET_CONFIG_INIT, .base = base};
	const struct hvs_usernet_forward ssh = {HVS_USERNET_FORWARD_INIT, .host_port = 2222,
						.guest_port = 22, .host_addr = {127, 0, 0, 1}};
	const struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .instance_id = {{0xe7, 0x40, 1}},
					   .mac = {0x02, 0x15, 0x5d, 1, 2, 3}};
	int err = hvs_usernet_create(&net_cfg, net);

	if (!err)
		err = hvs_usernet_add_forward(*net, &ssh);
	if (!err)
		err = hvs_nic_create(bus, &cfg, hvs_usernet_ops(), *net, nic);
	return err;
}

static int policy(struct hvs_nic *nic)
{
	int err;
	const struct hvs_port_policy policy = {
		HVS_PORT_POLICY_INIT, .flags = HVS_PORT_DHCP_GUARD | HVS_PORT_ROUTER_GUARD,
		.vlan = HVS_PORT_VLAN_ACCESS, .vlan_id = 7, .max_bits_per_second = 1000000000};

	err = hvs_nic_set_policy(nic, &policy);
	return err;
}

static int deny_one(struct hvs_nic *nic)
{
	const struct hvs_port_rule rule = {
		.action = HVS_PORT_DENY,
		.direction = HVS_PORT_BOTH,
		.local = {.kind = HVS_PORT_IP4}, /* any of the guest's */
		.remote = {.kind = HVS_PORT_IP4, .prefix = 24, .bytes = {192, 0, 2}}};
	const struct hvs_port_policy policy = {HVS_PORT_POLICY_INIT, .rules = &rule,
					       .rule_count = 1};

	return hvs_nic_set_policy(nic, &policy);
}

static int capture(struct hvs_nic *nic)
{
	int err;
	const struct hvs_capture_config cfg = {HVS_CAPTURE_CONFIG_INIT, .path = "net0.pcapng"};
	struct hvs_capture *capture;

	err = hvs_capture_open(&cfg, &capture);
	if (!err)
		err = hvs_nic_set_monitor(nic, hvs_capture_ops(), capture);
	if (err)
		return err;
	/* ... */
	err = hvs_nic_set_monitor(nic, NULL, NULL); /* nobody looks any more when this returns */
	hvs_capture_close(capture);
	return err;
}

/* ---- the guest ------------------------------------------------------------------------------- */

static int all_services(struct hvs_vmbus *bus, struct event_base *base, struct hvs_manager *manager,
			struct hvs_services **services)
{
	const struct hvs_services_config cfg = {HVS_SERVICES_CONFIG_INIT,
						.services = HVS_SERVICES_DEFAULT,
						.base = base,
						.bus = bus,
						.manager = manager,
						.name = "web1",
						.uuid = {{0x77, 1}}};
	char why[256];
	int err = hvs_services_create(&cfg, why, sizeof(why), services);

	if (err)
		fprintf(stderr, "%s\n", why);
	return err;
}

static int server(struct event_base *base, const char *path, struct hvs_manager **manager)
{
	const struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT, .base = base,
					       .socket_path = path,     .server = "my-vmm 1.0",
					       .name = "web1",          .uuid = {{0x77, 1}}};

	return hvs_manager_create(&cfg, manager);
}

static void on_event(void *arg, struct hvs_ic *ic, enum hvs_ic_event event)
{
	struct hvs_ic_status status = {HVS_IC_STATUS_INIT};

	(void)arg;
	if (event == HVS_IC_EVENT_BEAT_MISSED)
		printf("the guest missed a beat\n");
	else if (event == HVS_IC_EVENT_STATUS && hvs_ic_get_status(ic, &status) == 0)
		printf("heartbeat: %s\n", hvs_ic_primary_name(status.primary));
}

static int watch_heartbeat(struct hvs_vmbus *bus, struct hvs_ic **heartbeat)
{
	const struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = HVS_IC_HEARTBEAT};
	const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT, .event = on_event};

	return hvs_ic_create(bus, &cfg, &ops, NULL, heartbeat);
}

static void told(void *arg, int status, uint32_t guest_status)
{
	(void)arg;
	if (status)
		printf("the guest was not told: %s\n", hvs_ic_guest_status_name(guest_status));
}

static int tell(struct hvs_services *services)
{
	struct hvs_ic *kvp = hvs_services_get(services, HVS_IC_KVP);

	return kvp ? hvs_kvp_set(kvp, HVS_KVP_EXTERNAL, "role", "web server", 0, told, NULL)
		   : -ENOENT;
}

static int power_off(struct hvs_services *services)
{
	const struct hvs_shutdown_request request = {HVS_SHUTDOWN_REQUEST_INIT,
						     .action = HVS_SHUTDOWN_POWER_OFF,
						     .reason = "maintenance of the host"};
	struct hvs_ic *shutdown = hvs_services_get(services, HVS_IC_SHUTDOWN);

	return shutdown ? hvs_shutdown(shutdown, &request, told, NULL) : -ENOENT;
}

/* ---- workers --------------------------------------------------------------------------------- */

/* [worker] One thread of a VMM that has no event loop. */
static void until_idle(struct hvs_worker *worker)
{
	uint64_t deadline_ns;

	while (hvs_worker_dispatch(worker, 256, &deadline_ns) == 1)
		;
	/* idle: sleep until wake() is called for it, or now_ns() reaches deadline_ns */
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void make_file(const char *path, const char *byte)
{
	FILE *file = fopen(path, "wb");

	CHECK(!file || fseek(file, (1 << 20) - 1, SEEK_SET) || fwrite(byte, 1, 1, file) != 1 ||
			      fclose(file)
		      ? -EIO
		      : 0);
}

int main(void)
{
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT,
						   .instance_id = {{0x5c, 0x51, 1}}};
	struct event_base *base = event_base_new();
	struct hvs_loopback *lb;
	struct hvs_vmbus *bus;
	struct hvs_storvsp *ctl;
	struct hvs_filedisk *file[2];
	struct hvs_disk *disk;
	struct hvs_limit *limit;
	struct hvs_usernet *net;
	struct hvs_nic *nic;
	struct hvs_manager *manager;
	struct hvs_services *services;
	struct hvs_guest *guest;
	bool gone = false;

	CHECK(base ? 0 : -ENOMEM);
	make_file("a.img", "");
	make_file("b.img", "");
	CHECK(hvs_loopback_create(NULL, &lb));
	bus = hvs_loopback_bus(lb);
	CHECK(hvs_storvsp_create(bus, &ctl_cfg, &ctl));
	CHECK(add_disk(ctl, base, "a.img", 0, (struct hvs_guid){{1}}, &file[0], &disk));
	CHECK(longer_disk(file[0], disk, 2u << 20));
	{
		const struct hvs_filedisk_config cfg = {HVS_FILEDISK_CONFIG_INIT, .path = "b.img",
							.base = base};

		CHECK(hvs_filedisk_open(&cfg, &file[1], NULL));
	}
	CHECK(limited_disk(ctl, base, file[1], &limit));
	CHECK(other_limit(limit));
	CHECK(user_network(bus, base, &net, &nic));
	CHECK(policy(nic));
	CHECK(deny_one(nic));
	CHECK(capture(nic));
	CHECK(server(base, "control", &manager));
	CHECK(all_services(bus, base, manager, &services));
	CHECK(hvs_loopback_start(lb, &guest));
	CHECK(hvs_guest_connect(guest, 0x50003));
	CHECK(hvs_guest_request_offers(guest));
	until_idle(hvs_vmbus_main_worker(bus));
	CHECK(tell(services) == -ENOTCONN ? 0 : -EPROTO); /* this guest has no daemon */
	CHECK(power_off(services) == -ENOTCONN ? 0 : -EPROTO);
	CHECK(remove_disk(disk, done_flag, &gone));
	hvs_loopback_run(lb);
	CHECK(gone ? 0 : -EBUSY);
	hvs_filedisk_close(file[0]);
	hvs_loopback_destroy(lb);
	hvs_services_destroy(services);
	hvs_manager_destroy(manager);
	hvs_usernet_destroy(net);
	hvs_limit_destroy(limit);
	hvs_filedisk_close(file[1]);
	event_base_free(base);

	CHECK(hvs_loopback_create(NULL, &lb)); /* the heartbeat alone, without hvs_services */
	struct hvs_ic *heartbeat;

	CHECK(watch_heartbeat(hvs_loopback_bus(lb), &heartbeat));
	hvs_loopback_destroy(lb);
	return 0;
}
