/* SPDX-License-Identifier: MIT */
/*
 * A guest that says anything, in any order: control messages, signals, MSRs, hypercalls, and
 * memory that changes. Behind it a bus with a controller and a memory disk.
 */
#include "input.h"
#include "race.h"

#include "hv/msr_numbers.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <stdlib.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)64 * 4096)
#define SLOT ((size_t)2 * 256) /* of VMBus's SINT in the message page */
#define DISK_BYTES 65536u

enum { POST, SIGNAL, RUN, WRITE_RAM, WRITE_MSR, READ_MSR, HYPERCALL, TAKE_MESSAGE, ACTIONS };

static void act(struct input *in, struct hvs_loopback *lb, uint8_t *ram)
{
	struct hvs_hv *hv = hvs_loopback_hv(lb);
	uint8_t bytes[256];
	uint64_t value;
	size_t len;

	switch (input_number(in, 1) % ACTIONS) {
	case POST:
		len = input_number(in, 1);
		input_bytes(in, bytes, len);
		/* A length that is too large is refused before the bytes are looked at. */
		hvs_vmbus_post_message(hvs_loopback_bus(lb), input_number(in, 1) & 4 ? 4 : 1, 1,
				       bytes, len);
		break;
	case SIGNAL:
		hvs_vmbus_signal_event(hvs_loopback_bus(lb), (uint32_t)input_number(in, 4), 0);
		break;
	case RUN:
		hvs_loopback_run(lb);
		break;
	case WRITE_RAM:
		len = input_number(in, 3) % (RAM_BYTES - 64);
		input_bytes(in, ram + len, input_number(in, 1) % 64);
		break;
	case WRITE_MSR:
		value = input_number(in, 8);
		(void)!hvs_hv_msr_write(hv, 0, 0x40000000u + (uint32_t)input_number(in, 2) % 0x200,
					value, value & 1);
		break;
	case READ_MSR:
		(void)!hvs_hv_msr_read(hv, 0, 0x40000000u + (uint32_t)input_number(in, 2) % 0x200,
				       &value);
		break;
	case HYPERCALL:
		value = input_number(in, 8);
		(void)hvs_hv_hypercall(hv, 0, value, RAM_GPA + input_number(in, 3), 0);
		break;
	case TAKE_MESSAGE: /* as a driver does, wherever the slots are now */
		if (!hvs_hv_msr_read(hv, 0, HVSI_MSR_SIMP, &value) && value >= RAM_GPA &&
		    value < RAM_GPA + RAM_BYTES)
			memset(ram + (value - RAM_GPA) / 4096 * 4096 + SLOT, 0, 4);
		(void)!hvs_hv_msr_write(hv, 0, HVSI_MSR_EOM, 0, true);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct hvs_loopback_config cfg = {HVS_LOOPBACK_CONFIG_INIT, .ram_bytes = RAM_BYTES,
					  .max_gpadls = 4, .max_gpadl_pages = 256};
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT};
	struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT};
	static uint8_t disk[DISK_BYTES];
	struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = disk, .len = DISK_BYTES,
				      .block_size = 512};
	struct hvs_storvsp *ctl;
	struct hvs_loopback *lb;
	struct hvs_guest *g;
	uint64_t gpa;
	uint8_t *ram;

	race_take(&in);
	if (hvs_loopback_create(&cfg, &lb) ||
	    hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl) ||
	    hvs_storvsp_attach(ctl, &disk_cfg, hvs_memdisk_ops(), &memdisk, NULL) ||
	    hvs_loopback_start(lb, &g))
		abort();
	ram = hvs_loopback_alloc_pages(lb, 1, &gpa);
	ram -= gpa - RAM_GPA; /* all of the machine's RAM, its SynIC pages too */
	if (input_number(&in, 1) & 1 &&
	    (hvs_guest_connect(g, 0x50003) || hvs_guest_request_offers(g) != 1))
		abort();
	race_start(ram, RAM_BYTES);
	for (unsigned i = 0; i < 200 && input_more(&in); i++)
		act(&in, lb, ram);
	hvs_loopback_destroy(lb);
	return 0;
}
