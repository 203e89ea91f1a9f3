/* SPDX-License-Identifier: MIT */
/* Received packets: from private bytes to struct hvs_packet. */
#ifndef HVSI_VMBUS_PACKET_H
#define HVSI_VMBUS_PACKET_H

#include "mem/extents.h"
#include "vmbus/ring.h"

#include <hvstack/backend.h>

/*
 * Take a packet apart.
 *
 * bytes    desc->len8 * 8 bytes, private, aligned to 8; must outlive *pkt
 * extents  filled in when the packet names guest buffers
 *
 * HVS_FAULT_NONE, or the fault the guest has committed.
 */
enum hvs_fault_code hvsi_packet_parse(const struct hvsi_descriptor *desc, const uint8_t *bytes,
				      const struct hvs_mem *mem, struct hvsi_map_pool *pool,
				      struct hvs_packet *pkt, struct hvs_extents *extents);

/* Take the pipe header off a packet of a pipe's channel. HVS_FAULT_NONE, or the fault. */
enum hvs_fault_code hvsi_packet_unpipe(struct hvs_packet *pkt);

#endif
