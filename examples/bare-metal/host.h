/* SPDX-License-Identifier: MIT */
/* The host's devices: a controller with a disk in memory, a network that sends all back, a heartbeat. */
#ifndef BARE_METAL_HOST_H
#define BARE_METAL_HOST_H

#include <hvstack/hvstack.h>

#define DISK_INSTANCE 1 /* first byte of the instance id */
#define NET_INSTANCE 2
#define NET_MAC                                                                                    \
	{                                                                                          \
		0x00, 0x15, 0x5d, 0x00, 0x00, 0x01                                                 \
	}
#define FRAME_BYTES 60u

struct host {
	unsigned char disk[64u << 10];
	unsigned frames; /* of FRAME_BYTES from the guest */
	struct hvs_nic *nic;
	struct hvs_ic *heartbeat;
};

int host_offer(struct host *host, struct hvs_vmbus *bus);

#endif
