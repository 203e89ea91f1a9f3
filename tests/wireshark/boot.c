/* SPDX-License-Identifier: MIT */
/*
 * Captures a boot over the loopback, with all devices, for tests/wireshark/run.
 *
 *   boot FILE
 */
#include <hvstack/guest/ic.h>
#include <hvstack/guest/loopback.h>
#include <hvstack/guest/network.h>
#include <hvstack/guest/storage.h>
#include <hvstack/host/capture.h>
#include <hvstack/hvstack.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES (64u << 10)
#define ICS (sizeof(ics) / sizeof(ics[0]))
#define FILTER_DIRECTED 0x01u

static const struct {
	enum hvs_ic_kind kind;
	uint32_t version;
} ics[] = {
	{HVS_IC_HEARTBEAT, 3u << 16}, {HVS_IC_KVP, 4u << 16}, {HVS_IC_SHUTDOWN, 3u << 16},
	{HVS_IC_TIMESYNC, 4u << 16},  {HVS_IC_VSS, 5u << 16}, {HVS_IC_FILECOPY, 1u << 16 | 1},
};

static struct hvs_loopback *lb;
static struct hvs_guest *guest;
static struct hvs_ic *ic[ICS];
static struct hvs_guest_channel *ic_ch[ICS];

static void good(int err)
{
	if (err < 0) {
		fprintf(stderr, "boot: %s\n", strerror(-err));
		exit(1);
	}
}

/* ---- a network where frames come back --------------------------------------------------------- */

static struct hvs_nic *echo_nic;

static int echo_get_info(void *net, struct hvs_net_info *info)
{
	(void)net;
	info->mtu = 1500;
	return 0;
}

static void echo_attach(void *net, struct hvs_nic *nic)
{
	(void)net;
	echo_nic = nic;
}

static void echo_detach(void *net)
{
	(void)net;
}

static void echo_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	(void)net;
	for (unsigned i = 0; i < n; i++) {
		const struct hvs_net_frame back = {HVS_NET_FRAME_INIT, .len = frames[i]->len,
						   .iov = frames[i]->iov,
						   .iovcnt = frames[i]->iovcnt};
		const struct hvs_net_frame *one = &back;

		(void)!hvs_nic_rx(echo_nic, queue, &one, 1);
	}
	hvs_nic_tx_done(echo_nic, frames, n, HVS_NET_OK);
}

static const struct hvs_net_ops echo_ops = {
	HVS_NET_OPS_INIT,      .get_info = echo_get_info, .tx = echo_tx,
	.attach = echo_attach, .detach = echo_detach,
};

/* ---- a socket that says hello ----------------------------------------------------------------- */

static int socket_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		       void **ctx)
{
	(void)dev, (void)ch, (void)params, (void)ctx;
	return 0;
}

static bool socket_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	static char text[] = "hello";
	const struct iovec hello = {.iov_base = text, .iov_len = 5};
	const struct hvs_packet *pkt;

	(void)ctx, (void)budget;
	while (hvs_channel_recv(ch, &pkt) == 1)
		good(hvs_channel_send(ch, 0, false, &hello, 1));
	return false;
}

static void socket_close(struct hvs_channel *ch, void *ctx)
{
	(void)ctx;
	hvs_channel_closed(ch);
}

static const struct hvs_vsp_ops socket_ops = {HVS_VSP_OPS_INIT, .open = socket_open,
					      .ready = socket_ready, .close = socket_close};

static const struct hvs_guid socket_class = {"socket of a test"};
static const struct hvs_guid nic_id = {"nic 0"};

/* ---- the machine ------------------------------------------------------------------------------ */

static int sample_time(void *arg, uint64_t *host_time, uint64_t *reference)
{
	(void)arg;
	*host_time = UINT64_C(133500000000000000);
	*reference = 1000000;
	return 0;
}

static void offer(struct hvs_vmbus *bus)
{
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT, .instance_id = {"scsi 0"}};
	struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .disk_id = {"disk 0"}};
	struct hvs_nic_config nic_cfg = {HVS_NIC_CONFIG_INIT, .instance_id = nic_id,
					 .mac = {0x00, 0x15, 0x5d, 0x00, 0x00, 0x01}};
	struct hvs_offer socket = {HVS_OFFER_INIT, .flags = HVS_OFFER_SOCKET | HVS_OFFER_PIPE,
				   .class_id = socket_class, .instance_id = {"socket 0"}};
	const struct hvs_ic_ops plain = {HVS_IC_OPS_INIT};
	const struct hvs_ic_ops timed = {HVS_IC_OPS_INIT, .sample_time = sample_time};
	static uint8_t disk[1u << 20];
	static struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = disk, .len = sizeof(disk),
					     .block_size = 512};
	struct hvs_storvsp *ctl;
	struct hvs_device *device;
	struct hvs_nic *nic;

	good(hvs_storvsp_create(bus, &ctl_cfg, &ctl));
	good(hvs_storvsp_attach(ctl, &disk_cfg, hvs_memdisk_ops(), &memdisk, NULL));
	good(hvs_nic_create(bus, &nic_cfg, &echo_ops, NULL, &nic));
	good(hvs_device_offer(bus, &socket, &socket_ops, NULL, &device));
	for (unsigned i = 0; i < ICS; i++) {
		const struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = ics[i].kind,
						  .reference_time = ics[i].kind == HVS_IC_TIMESYNC};

		good(hvs_ic_create(bus, &cfg, cfg.reference_time ? &timed : &plain, NULL, &ic[i]));
	}
}

static const struct hvs_guest_offer *offer_of(const struct hvs_guid *instance_id)
{
	const struct hvs_guest_offer *o;

	for (unsigned i = 0; (o = hvs_guest_offer_at(guest, i)); i++)
		if (memcmp(&o->instance_id, instance_id, sizeof(*instance_id)) == 0)
			return o;
	return NULL;
}

/* ---- what the guest does ---------------------------------------------------------------------- */

static void use_disk(void)
{
	static const uint8_t cdbs[][16] = {
		{0x12, [4] = 36}, {0x00}, {0x25},          {0x2a, [8] = 1}, {0x28, [8] = 1},
		{0x88, [13] = 2}, {0x35}, {0x28, 0, 0xff}, {0xee},
	};
	static const uint8_t lens[] = {6, 6, 10, 10, 10, 16, 10, 10, 6};
	const struct hvs_guid id = {"scsi 0"};
	struct hvs_guest_channel *ch;
	uint32_t most;
	uint64_t gpa;

	good(hvs_guest_channel_open(guest, offer_of(&id), RING_BYTES, &ch));
	good(hvs_guest_stor_init(ch, 0x602, &most));
	(void)hvs_loopback_alloc_pages(lb, 1, &gpa);
	for (unsigned i = 0; i < sizeof(lens); i++) {
		struct hvs_guest_scsi cmd = {.cdb_len = lens[i],
					     .direction = cdbs[i][0] == 0x2a ? HVS_GUEST_STOR_OUT
									     : HVS_GUEST_STOR_IN,
					     .buffer = {.gpa = gpa, .len = 1024}};
		struct hvs_guest_scsi_result result;

		memcpy(cmd.cdb, cdbs[i], sizeof(cmd.cdb));
		good(hvs_guest_stor_execute(ch, &cmd, &result));
	}
	good(hvs_guest_channel_close(ch));
}

static void on_frame(void *arg, const struct hvs_guest_net_frame *f)
{
	(void)f;
	++*(unsigned *)arg;
}

static void use_nic(void)
{
	/* ARP: who has 192.0.2.1? */
	static const uint8_t frame[60] = {
		0x00, 0x15, 0x5d, 0x00, 0x00, 0x01, 0x00, 0x15, 0x5d, 0x00, 0x00, 0x01, 0x08, 0x06,
		0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x00, 0x15, 0x5d, 0x00, 0x00, 0x01,
		192,  0,    2,    2,    0,    0,    0,    0,    0,    0,    192,  0,    2,    1};
	const struct hvs_guest_net_packet packet = {.data = frame, .len = sizeof(frame)};
	unsigned received = 0;
	const struct hvs_guest_net_config cfg = {HVS_GUEST_NET_CONFIG_INIT, .version = 0x60001,
						 .send_bytes = 64u << 10, .received = on_frame,
						 .arg = &received};
	struct hvs_guest_channel *ch;
	struct hvs_guest_net *net;
	uint8_t out[64];
	uint32_t len = sizeof(out);
	uint32_t status;

	good(hvs_guest_channel_open(guest, offer_of(&nic_id), RING_BYTES, &ch));
	good(hvs_guest_net_open(ch, &cfg, &net));
	good(hvs_guest_net_initialize(net));
	good(hvs_guest_net_query(net, 0x01010101, NULL, 0, &status, out, &len));
	good(hvs_guest_net_set_filter(net, FILTER_DIRECTED));
	for (unsigned i = 0; i < 3; i++) {
		good(hvs_guest_net_send(net, 0, i, &packet, 1));
		hvs_loopback_run(lb);
		good(hvs_guest_net_poll(net));
	}
	assert(received == 3);
	good(hvs_guest_net_halt(net));
	good(hvs_guest_net_close(net, HVS_GUEST_NET_REVOKE));
}

static void use_socket(void)
{
	const struct hvs_guid id = {"socket 0"};
	char hi[] = "hi";
	const struct iovec iov = {.iov_base = hi, .iov_len = 2};
	struct hvs_guest_channel *ch;
	struct hvs_guest_packet pkt;

	good(hvs_guest_channel_open(guest, offer_of(&id), RING_BYTES, &ch));
	good(hvs_guest_send(ch, 0, false, NULL, &iov, 1));
	hvs_guest_flush(ch);
	good(hvs_guest_recv_wait(ch, &pkt));
	good(hvs_guest_channel_close(ch));
}

/* Yes to everything; of pairs there are none. */
static void answer(void)
{
	struct hvs_guest_ic_message msg;

	for (unsigned i = 0; i < ICS; i++) {
		hvs_loopback_run(lb);
		while (hvs_guest_ic_recv(ic_ch[i], &msg) == 1) {
			static uint8_t body[8192];
			const uint32_t status =
				msg.type == HVS_IC_KVP ? HVS_IC_E_NO_MORE_ITEMS : HVS_IC_S_OK;

			memcpy(body, msg.body, msg.len);
			good(hvs_guest_ic_reply(ic_ch[i], &msg, status, body, msg.len));
			hvs_loopback_run(lb);
		}
	}
}

static void ended(void *arg, int status, uint32_t guest_status)
{
	(void)arg, (void)status, (void)guest_status;
}

static void pair(void *arg, const char *key, const char *value)
{
	(void)arg, (void)key, (void)value;
}

static void use_services(void)
{
	const struct hvs_vss_freeze_request freeze = {HVS_VSS_FREEZE_REQUEST_INIT};
	const struct hvs_shutdown_request off = {HVS_SHUTDOWN_REQUEST_INIT};
	const struct hvs_filecopy_request file = {HVS_FILECOPY_REQUEST_INIT, .bytes = 5,
						  .directory = "/tmp", .name = "hello"};

	for (unsigned i = 0; i < ICS; i++) {
		good(hvs_guest_channel_open(guest, hvs_guest_ic_offer(guest, ics[i].kind),
					    RING_BYTES, &ic_ch[i]));
		assert(hvs_guest_ic_negotiate(ic_ch[i], &ics[i].version, 1, true) > 0);
	}
	answer();
	good(hvs_kvp_set(ic[1], HVS_KVP_EXTERNAL, "key", "value", 0, ended, NULL));
	answer();
	good(hvs_kvp_delete(ic[1], HVS_KVP_EXTERNAL, "key", 0, ended, NULL));
	answer();
	good(hvs_kvp_enumerate(ic[1], HVS_KVP_AUTO, 0, pair, ended, NULL));
	answer();
	good(hvs_vss_freeze(ic[4], &freeze, ended, NULL));
	answer();
	good(hvs_vss_thaw(ic[4], 0, ended, NULL));
	answer();
	good(hvs_filecopy_start(ic[5], &file, ended, NULL));
	answer();
	good(hvs_filecopy_write(ic[5], "hello", 5, ended, NULL));
	answer();
	good(hvs_filecopy_finish(ic[5], ended, NULL));
	answer();
	good(hvs_shutdown(ic[2], &off, ended, NULL));
	answer();
	for (unsigned i = 0; i < 3; i++) { /* heartbeats, time */
		hvs_loopback_advance(lb, UINT64_C(10000000000));
		answer();
	}
}

int main(int argc, char **argv)
{
	struct hvs_capture_config cfg = {HVS_CAPTURE_CONFIG_INIT, .what = HVS_CAPTURE_VMBUS,
					 .name = "vmbus"};
	struct hvs_capture_counters counters = {.size = sizeof(counters)};
	struct hvs_capture *capture;

	if (argc != 2) {
		fprintf(stderr, "usage: boot FILE\n");
		return 2;
	}
	cfg.path = argv[1];
	good(hvs_capture_open(&cfg, &capture));
	good(hvs_loopback_create(NULL, &lb));
	offer(hvs_loopback_bus(lb));
	good(hvs_vmbus_set_tap(hvs_loopback_bus(lb), hvs_capture_tap_ops(), capture));
	good(hvs_loopback_start(lb, &guest));
	good(hvs_guest_connect(guest, 0x50003));
	good(hvs_guest_request_offers(guest));
	use_disk();
	use_nic();
	use_socket();
	use_services();
	good(hvs_guest_unload(guest));
	good(hvs_vmbus_set_tap(hvs_loopback_bus(lb), NULL, NULL));
	good(hvs_capture_get_counters(capture, &counters));
	assert(!counters.dropped && !counters.error);
	hvs_capture_close(capture);
	hvs_loopback_destroy(lb);
	printf("%llu packets\n", (unsigned long long)counters.frames);
	return 0;
}
