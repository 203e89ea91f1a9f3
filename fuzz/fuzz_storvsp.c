/* SPDX-License-Identifier: MIT */
/* A storage driver that sends anything over a channel it opened properly. */
#include "input.h"
#include "race.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <stdlib.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)64 * 4096)
#define DISK_BYTES 65536u
#define BUFFER_PAGES 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .serial = "fuzz"};
	static uint8_t disk[DISK_BYTES];
	struct hvs_memdisk memdisk = {.data = disk, .len = DISK_BYTES, .block_size = 512};
	struct hvs_guest_channel *ch;
	struct hvs_guest_packet reply;
	struct hvs_storvsp *ctl;
	struct hvs_loopback *lb;
	struct hvs_guest *g;
	uint32_t max_transfer;
	uint64_t gpa;
	uint8_t flags;
	uint8_t *ram;

	race_take(&in);
	flags = (uint8_t)input_number(&in, 1);
	memdisk.flags = flags & 1 ? HVS_BLK_INFO_READ_ONLY : 0;
	if (hvs_loopback_create(&cfg, &lb) ||
	    hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl) ||
	    hvs_storvsp_attach(ctl, &disk_cfg, &hvs_memdisk_ops, &memdisk, NULL) ||
	    hvs_loopback_start(lb, &g) || hvs_guest_connect(g, 0x50003) ||
	    hvs_guest_request_offers(g) != 1 ||
	    hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 8192, &ch) ||
	    !(ram = hvs_loopback_alloc_pages(lb, BUFFER_PAGES, &gpa)))
		abort();
	if (!(flags & 2) && hvs_guest_stor_init(ch, 0x600, &max_transfer))
		abort();
	race_start(ram - (gpa - RAM_GPA), RAM_BYTES); /* rings, SynIC pages: all of it */
	for (unsigned i = 0; i < 64 && input_more(&in); i++) {
		uint8_t packet[80];
		uint8_t len = (uint8_t)input_number(&in, 1);
		struct iovec iov = {.iov_base = packet, .iov_len = len % sizeof(packet)};
		struct hvs_guest_buffer buffer = {.gpa = gpa + input_number(&in, 2),
						  .len = (uint32_t)input_number(&in, 2)};

		input_bytes(&in, packet, iov.iov_len);
		if (hvs_guest_send(ch, i, !(len & 0x80), &buffer, &iov, 1) == 0)
			hvs_guest_flush(ch);
		hvs_loopback_run(lb);
		while (hvs_guest_recv(ch, &reply) == 1)
			;
	}
	hvs_loopback_destroy(lb);
	return 0;
}
