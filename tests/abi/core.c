/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const struct hvs_guid id = {"abi instance id"};

/* ---- what the structs refer to --------------------------------------------------------------------- */

static int post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	(void)be, (void)vp, (void)sint, (void)msg;
	return 0;
}

static void signal_event(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	(void)be, (void)vp, (void)sint, (void)flag;
}

static void wake(void *be, struct hvs_worker *worker, void *worker_priv)
{
	(void)be, (void)worker, (void)worker_priv;
}

static uint64_t now_ns(void *be)
{
	(void)be;
	return 1;
}

const struct hvs_backend_ops backend_ops = {HVS_BACKEND_OPS_INIT, .synic_post = post,
					    .synic_signal = signal_event, .wake = wake,
					    .now_ns = now_ns};

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be, (void)vp, (void)sint, (void)vector;
}

static uint16_t post_message(void *be, uint32_t connection_id, uint32_t message_type,
			     const void *payload, size_t len)
{
	(void)be, (void)connection_id, (void)message_type, (void)payload, (void)len;
	return 0;
}

static uint16_t signal_connection(void *be, uint32_t connection_id, uint16_t flag)
{
	(void)be, (void)connection_id, (void)flag;
	return 0;
}

static const struct hvs_hv_ops hv_ops = {HVS_HV_OPS_INIT, .interrupt = interrupt, .now_ns = now_ns,
					 .post_message = post_message,
					 .signal_event = signal_connection};

static int vsp_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		    void **ctx)
{
	(void)dev, (void)ch, (void)params, (void)ctx;
	return -EIO;
}

static bool vsp_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	(void)ch, (void)ctx, (void)budget;
	return false;
}

static void vsp_close(struct hvs_channel *ch, void *ctx)
{
	(void)ctx;
	hvs_channel_closed(ch);
}

static int disk_info(void *disk, struct hvs_blk_info *info)
{
	(void)disk;
	info->block_size = info->physical_block_size = 512;
	info->num_blocks = 8;
	return 0;
}

static void disk_submit(void *disk, struct hvs_blk_req *req)
{
	(void)disk;
	hvs_blk_complete(req, HVS_BLK_IO_ERROR);
}

const struct hvs_blk_ops no_blk_ops = {HVS_BLK_OPS_INIT, .get_info = disk_info,
				       .submit = disk_submit};

static int net_info(void *net, struct hvs_net_info *info)
{
	(void)net, (void)info;
	return 0;
}

static void net_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	(void)net, (void)queue, (void)frames, (void)n;
}

const struct hvs_net_ops no_net_ops = {HVS_NET_OPS_INIT, .get_info = net_info, .tx = net_tx};

static void monitor_frame(void *arg, uint32_t queue, bool to_guest,
			  const struct hvs_net_frame *frame)
{
	(void)arg, (void)queue, (void)to_guest, (void)frame;
}

static uint64_t store_generation(void *store)
{
	(void)store;
	return 0;
}

static int store_read(void *store, void *state, uint64_t *generation)
{
	(void)store;
	memset(state, 0, HVS_RESERVATION_BYTES);
	*generation = 0;
	return 0;
}

static int store_update(void *store, int (*change)(void *arg, void *state), void *arg)
{
	(void)store, (void)change, (void)arg;
	return -EIO;
}

static void done(void *arg, int status, uint32_t guest_status)
{
	(void)arg, (void)status, (void)guest_status;
}

/* ---- bus and hypervisor interface ------------------------------------------------------------------ */

static int make_bus(const struct hvs_vmbus_config *cfg, const struct hvs_backend_ops *ops)
{
	struct hvs_vmbus *bus = NULL;
	struct hvs_mem *mem;
	int err = hvs_mem_create(NULL, &mem);

	if (err)
		return err;
	err = hvs_vmbus_create(cfg, mem, ops, NULL, &bus);
	hvs_vmbus_destroy(bus);
	hvs_mem_destroy(mem);
	return err;
}

static const struct hvs_vmbus_config vmbus_config = {HVS_VMBUS_CONFIG_INIT, .vp_count = 1};

static int take_vmbus_config(const void *x)
{
	return make_bus(x, &backend_ops);
}

static int take_backend_ops(const void *x)
{
	return make_bus(&vmbus_config, x);
}

static int make_hv(const struct hvs_hv_config *cfg, const struct hvs_hv_ops *ops)
{
	struct hvs_hv *hv = NULL;
	struct hvs_mem *mem;
	int err = hvs_mem_create(NULL, &mem);

	if (err)
		return err;
	err = hvs_hv_create(cfg, mem, ops, NULL, &hv);
	hvs_hv_destroy(hv);
	hvs_mem_destroy(mem);
	return err;
}

static const struct hvs_hv_config hv_config = {HVS_HV_CONFIG_INIT, .vp_count = 1};

static int take_hv_config(const void *x)
{
	return make_hv(x, &hv_ops);
}

static int take_hv_ops(const void *x)
{
	return make_hv(&hv_config, x);
}

/* ---- devices --------------------------------------------------------------------------------------- */

struct hvs_loopback *machine(void)
{
	struct hvs_loopback *lb;

	return hvs_loopback_create(NULL, &lb) == 0 ? lb : NULL;
}

static const struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = {"abi class id"},
				       .instance_id = {"abi instance id"}};
static const struct hvs_vsp_ops vsp_ops = {HVS_VSP_OPS_INIT, .open = vsp_open, .ready = vsp_ready,
					   .close = vsp_close};

static int make_device(const struct hvs_offer *o, const struct hvs_vsp_ops *ops)
{
	struct hvs_loopback *lb = machine();
	struct hvs_device *d;
	int err = lb ? hvs_device_offer(hvs_loopback_bus(lb), o, ops, NULL, &d) : -ENOMEM;

	hvs_loopback_destroy(lb);
	return err;
}

static int take_offer(const void *x)
{
	return make_device(x, &vsp_ops);
}

static int take_vsp_ops(const void *x)
{
	return make_device(&offer, x);
}

static const struct hvs_storvsp_config storvsp_config = {HVS_STORVSP_CONFIG_INIT,
							 .instance_id = {"abi instance id"}};
static const struct hvs_disk_config disk_config = {HVS_DISK_CONFIG_INIT};
static const struct hvs_reservation_ops reservation_ops = {
	HVS_RESERVATION_OPS_INIT, .generation = store_generation, .read = store_read,
	.update = store_update};
static uint8_t memory[4096];
static const struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = memory, .len = sizeof(memory),
					   .block_size = 512};

static int make_disk(const struct hvs_storvsp_config *ctl_cfg, const struct hvs_disk_config *cfg,
		     const struct hvs_blk_ops *ops, const void *back_end)
{
	struct hvs_loopback *lb = machine();
	struct hvs_storvsp *ctl;
	int err = lb ? hvs_storvsp_create(hvs_loopback_bus(lb), ctl_cfg, &ctl) : -ENOMEM;

	if (!err)
		err = hvs_storvsp_attach(ctl, cfg, ops, (void *)back_end, NULL);
	hvs_loopback_destroy(lb);
	return err;
}

static int take_storvsp_config(const void *x)
{
	return make_disk(x, &disk_config, &no_blk_ops, NULL);
}

static int take_disk_config(const void *x)
{
	return make_disk(&storvsp_config, x, &no_blk_ops, NULL);
}

static int take_blk_ops(const void *x)
{
	return make_disk(&storvsp_config, &disk_config, x, NULL);
}

static int take_memdisk(const void *x)
{
	return make_disk(&storvsp_config, &disk_config, hvs_memdisk_ops(), x);
}

static int take_reservation_ops(const void *x)
{
	struct hvs_disk_config cfg = disk_config;

	cfg.reservations = x;
	return make_disk(&storvsp_config, &cfg, &no_blk_ops, NULL);
}

static const struct hvs_nic_config nic_config = {HVS_NIC_CONFIG_INIT,
						 .instance_id = {"abi instance id"},
						 .mac = {0x00, 0x15, 0x5d, 0, 0, 1}};
static const struct hvs_port_policy port_policy = {HVS_PORT_POLICY_INIT};
static const struct hvs_net_monitor_ops net_monitor_ops = {HVS_NET_MONITOR_OPS_INIT,
							   .frame = monitor_frame};

static int make_nic(const struct hvs_nic_config *cfg, const struct hvs_net_ops *ops,
		    const struct hvs_port_policy *policy, const struct hvs_net_monitor_ops *monitor)
{
	struct hvs_loopback *lb = machine();
	struct hvs_nic *nic;
	int err = lb ? hvs_nic_create(hvs_loopback_bus(lb), cfg, ops, NULL, &nic) : -ENOMEM;

	if (!err)
		err = hvs_nic_set_policy(nic, policy);
	if (!err)
		err = hvs_nic_set_monitor(nic, monitor, NULL);
	hvs_loopback_destroy(lb);
	return err;
}

static int take_nic_config(const void *x)
{
	return make_nic(x, &no_net_ops, NULL, NULL);
}

static int take_net_ops(const void *x)
{
	return make_nic(&nic_config, x, NULL, NULL);
}

static int take_port_policy(const void *x)
{
	return make_nic(&nic_config, &no_net_ops, x, NULL);
}

static int take_net_monitor_ops(const void *x)
{
	return make_nic(&nic_config, &no_net_ops, NULL, x);
}

static int with_nic(int (*run)(struct hvs_nic *nic, void *x), void *x)
{
	struct hvs_loopback *lb = machine();
	struct hvs_nic *nic;
	int err = lb ? hvs_nic_create(hvs_loopback_bus(lb), &nic_config, &no_net_ops, NULL, &nic)
		     : -ENOMEM;

	if (!err)
		err = run(nic, x);
	hvs_loopback_destroy(lb);
	return err;
}

static int get_counters(struct hvs_nic *nic, void *x)
{
	return hvs_nic_get_counters(nic, x);
}

static int get_nic_status(struct hvs_nic *nic, void *x)
{
	return hvs_nic_get_status(nic, x);
}

static int fill_nic_counters(void *x)
{
	return with_nic(get_counters, x);
}

static int fill_nic_status(void *x)
{
	return with_nic(get_nic_status, x);
}

/* ---- services -------------------------------------------------------------------------------------- */

static const struct hvs_ic_ops ic_ops = {HVS_IC_OPS_INIT};
static const struct hvs_ic_config ic_config = {HVS_IC_CONFIG_INIT, .kind = HVS_IC_KVP};

static int with_ic(const struct hvs_ic_config *cfg, const struct hvs_ic_ops *ops,
		   int (*run)(struct hvs_ic *ic, void *x), void *x)
{
	struct hvs_loopback *lb = machine();
	struct hvs_ic *ic;
	int err = lb ? hvs_ic_create(hvs_loopback_bus(lb), cfg, ops, NULL, &ic) : -ENOMEM;

	if (!err && run)
		err = run(ic, x);
	hvs_loopback_destroy(lb);
	return err;
}

static int with_kind(enum hvs_ic_kind kind, int (*run)(struct hvs_ic *ic, void *x), const void *x)
{
	const struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = kind};

	return with_ic(&cfg, &ic_ops, run, (void *)x);
}

static int take_ic_config(const void *x)
{
	return with_ic(x, &ic_ops, NULL, NULL);
}

static int take_ic_ops(const void *x)
{
	return with_ic(&ic_config, x, NULL, NULL);
}

/* Nobody has opened the service: requests that are well-formed end with -ENOTCONN. */
static int start_copy(struct hvs_ic *ic, void *x)
{
	return hvs_filecopy_start(ic, x, done, NULL);
}

static int shut_down(struct hvs_ic *ic, void *x)
{
	return hvs_shutdown(ic, x, done, NULL);
}

static int set_ip(struct hvs_ic *ic, void *x)
{
	return hvs_kvp_set_ip(ic, &id, x, 0, done, NULL);
}

static int freeze(struct hvs_ic *ic, void *x)
{
	return hvs_vss_freeze(ic, x, done, NULL);
}

static const struct hvs_filecopy_request filecopy_request = {HVS_FILECOPY_REQUEST_INIT, .bytes = 1,
							     .directory = "/tmp", .name = "file"};
static const struct hvs_shutdown_request shutdown_request = {HVS_SHUTDOWN_REQUEST_INIT};
static const struct hvs_kvp_ip kvp_ip = {HVS_KVP_IP_INIT, .dhcp = true};
static const struct hvs_vss_freeze_request vss_freeze_request = {HVS_VSS_FREEZE_REQUEST_INIT};

static int take_filecopy_request(const void *x)
{
	return with_kind(HVS_IC_FILECOPY, start_copy, x);
}

static int take_shutdown_request(const void *x)
{
	return with_kind(HVS_IC_SHUTDOWN, shut_down, x);
}

static int take_kvp_ip(const void *x)
{
	return with_kind(HVS_IC_KVP, set_ip, x);
}

static int take_vss_freeze_request(const void *x)
{
	return with_kind(HVS_IC_VSS, freeze, x);
}

static int get_status(struct hvs_ic *ic, void *x)
{
	return hvs_ic_get_status(ic, x);
}

static int get_heartbeat(struct hvs_ic *ic, void *x)
{
	return hvs_heartbeat_get_info(ic, x);
}

static int get_progress(struct hvs_ic *ic, void *x)
{
	return hvs_filecopy_get_progress(ic, x);
}

static int fill_ic_status(void *x)
{
	return with_kind(HVS_IC_KVP, get_status, x);
}

static int fill_heartbeat_info(void *x)
{
	return with_kind(HVS_IC_HEARTBEAT, get_heartbeat, x);
}

static int fill_filecopy_progress(void *x)
{
	return with_kind(HVS_IC_FILECOPY, get_progress, x);
}

static int fill_guest_os(void *x)
{
	return hvs_guest_os_decode(0x8100060c00000000, x);
}

/* ---- looking on ------------------------------------------------------------------------------------ */

#ifdef HVS_TAP_OPS_INIT
static void tapped(void *arg, const struct hvs_tap_event *event)
{
	(void)arg, (void)event;
}

static const struct hvs_tap_ops tap_ops = {HVS_TAP_OPS_INIT, .event = tapped};

static int take_tap_ops(const void *x)
{
	struct hvs_loopback *lb = machine();
	int err = lb ? hvs_vmbus_set_tap(hvs_loopback_bus(lb), x, NULL) : -ENOMEM;

	if (!err)
		err = hvs_vmbus_set_tap(hvs_loopback_bus(lb), NULL, NULL);
	hvs_loopback_destroy(lb);
	return err;
}

struct look {
	int (*fill)(const struct hvs_channel *ch, void *x);
	void *x;
	int err;
};

static void look_at(void *arg, struct hvs_channel *ch)
{
	struct look *look = arg;

	look->err = look->fill(ch, look->x);
}

static int with_channel(int (*fill)(const struct hvs_channel *ch, void *x), void *x)
{
	struct hvs_offer offer = {HVS_OFFER_INIT, .instance_id = id};
	struct look look = {fill, x, -ENODEV};
	struct hvs_loopback *lb = machine();
	struct hvs_device *d;
	int err = lb ? hvs_device_offer(hvs_loopback_bus(lb), &offer, &vsp_ops, NULL, &d) : -ENOMEM;

	if (!err)
		hvs_vmbus_visit_channels(hvs_loopback_bus(lb), look_at, &look);
	hvs_loopback_destroy(lb);
	return err ? err : look.err;
}

static int get_info(const struct hvs_channel *ch, void *x)
{
	return hvs_channel_get_info(ch, x);
}

static int get_channel_counters(const struct hvs_channel *ch, void *x)
{
	return hvs_channel_get_counters(ch, x);
}

static int fill_channel_info(void *x)
{
	return with_channel(get_info, x);
}

static int fill_channel_counters(void *x)
{
	return with_channel(get_channel_counters, x);
}

static int with_disk(int (*fill)(const struct hvs_disk *disk, void *x), void *x)
{
	struct hvs_loopback *lb = machine();
	struct hvs_storvsp *ctl;
	struct hvs_disk *disk;
	int err = lb ? hvs_storvsp_create(hvs_loopback_bus(lb), &storvsp_config, &ctl) : -ENOMEM;

	if (!err)
		err = hvs_storvsp_attach(ctl, &disk_config, &no_blk_ops, NULL, &disk);
	if (!err)
		err = fill(disk, x);
	hvs_loopback_destroy(lb);
	return err;
}

static int get_disk_counters(const struct hvs_disk *disk, void *x)
{
	return hvs_disk_get_counters(disk, HVS_DISK_READ, x);
}

static int get_latency(const struct hvs_disk *disk, void *x)
{
	return hvs_disk_get_latency(disk, HVS_DISK_READ, x);
}

static int fill_disk_counters(void *x)
{
	return with_disk(get_disk_counters, x);
}

static int fill_latency(void *x)
{
	return with_disk(get_latency, x);
}
#endif

/* ---- all ------------------------------------------------------------------------------------------- */

const struct given given_core[] = {
	GIVEN(vmbus_config, vmbus_config, 0),
	GIVEN(backend_ops, backend_ops, 0),
	GIVEN(hv_config, hv_config, 0),
	GIVEN(hv_ops, hv_ops, 0),
	GIVEN(offer, offer, 0),
	GIVEN(vsp_ops, vsp_ops, 0),
	GIVEN(storvsp_config, storvsp_config, 0),
	GIVEN(disk_config, disk_config, 0),
	GIVEN(blk_ops, no_blk_ops, 0),
	GIVEN(memdisk, memdisk, 0),
	GIVEN(reservation_ops, reservation_ops, 0),
	GIVEN(nic_config, nic_config, 0),
	GIVEN(net_ops, no_net_ops, 0),
	GIVEN(port_policy, port_policy, 0),
	GIVEN(net_monitor_ops, net_monitor_ops, 0),
	GIVEN(ic_config, ic_config, 0),
	GIVEN(ic_ops, ic_ops, 0),
	GIVEN(filecopy_request, filecopy_request, -ENOTCONN),
	GIVEN(shutdown_request, shutdown_request, -ENOTCONN),
	GIVEN(kvp_ip, kvp_ip, -ENOTCONN),
	GIVEN(vss_freeze_request, vss_freeze_request, -ENOTCONN),
#ifdef HVS_TAP_OPS_INIT
	GIVEN(tap_ops, tap_ops, 0),
#endif
	{0},
};

const struct filled filled_core[] = {
	FILLED(nic_counters),
	FILLED(nic_status),
	FILLED(ic_status),
	FILLED(heartbeat_info),
	FILLED(filecopy_progress),
	FILLED(guest_os),
#ifdef HVS_CHANNEL_INFO_INIT
	FILLED(channel_info),
	FILLED(channel_counters),
	FILLED(disk_counters),
	FILLED(latency),
#endif
	{0},
};
