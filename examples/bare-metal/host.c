/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <string.h>

static int net_info(void *net, struct hvs_net_info *info)
{
	(void)net;
	info->mtu = 1500;
	return 0;
}

static void send_back(struct host *host, uint32_t queue, const struct hvs_net_frame *sent)
{
	unsigned char bytes[FRAME_BYTES];
	const struct iovec iov = {bytes, sizeof(bytes)};
	const struct hvs_net_frame frame = {HVS_NET_FRAME_INIT, .len = sizeof(bytes), .iov = &iov,
					    .iovcnt = 1};
	const struct hvs_net_frame *frames = &frame;
	uint32_t at = 0;

	if (sent->len != sizeof(bytes))
		return;
	for (unsigned i = 0; i < sent->iovcnt; i++) {
		memcpy(bytes + at, sent->iov[i].iov_base, sent->iov[i].iov_len);
		at += (uint32_t)sent->iov[i].iov_len;
	}
	host->frames++;
	memcpy(bytes, (const unsigned char *)sent->iov[0].iov_base + 6, 6); /* to whom it is from */
	memcpy(bytes + 6, sent->iov[0].iov_base, 6);
	(void)!hvs_nic_rx(host->nic, queue, &frames, 1);
}

static void net_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	struct host *host = net;

	for (unsigned i = 0; i < n; i++)
		send_back(host, queue, frames[i]);
	hvs_nic_tx_done(host->nic, frames, n, HVS_NET_OK);
}

int host_offer(struct host *host, struct hvs_vmbus *bus)
{
	static struct hvs_memdisk disk;
	const struct hvs_net_ops net_ops = {HVS_NET_OPS_INIT, .get_info = net_info, .tx = net_tx};
	const struct hvs_ic_ops ic_ops = {HVS_IC_OPS_INIT};
	const struct hvs_storvsp_config controller_cfg = {HVS_STORVSP_CONFIG_INIT,
							  .instance_id = {{DISK_INSTANCE}}};
	const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .disk_id = {{1}}};
	const struct hvs_nic_config nic_cfg = {HVS_NIC_CONFIG_INIT, .instance_id = {{NET_INSTANCE}},
					       .mac = NET_MAC};
	const struct hvs_ic_config ic_cfg = {HVS_IC_CONFIG_INIT, .kind = HVS_IC_HEARTBEAT};
	struct hvs_storvsp *controller;
	int err = hvs_storvsp_create(bus, &controller_cfg, &controller);

	disk = (struct hvs_memdisk){HVS_MEMDISK_INIT, .data = host->disk, .len = sizeof(host->disk),
				    .block_size = 512};
	if (!err)
		err = hvs_storvsp_attach(controller, &disk_cfg, hvs_memdisk_ops(), &disk, NULL);
	if (!err)
		err = hvs_nic_create(bus, &nic_cfg, &net_ops, host, &host->nic);
	if (!err)
		err = hvs_ic_create(bus, &ic_cfg, &ic_ops, NULL, &host->heartbeat);
	return err;
}
