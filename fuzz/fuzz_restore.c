/* SPDX-License-Identifier: MIT */
/*
 * Saved state that says anything, of a bus with a storage controller too, and guest memory that
 * changes. The input is a list of changes, two bytes of flags, records without the last one, whose
 * checksum is made here, and, after a record of type 0, what the guest does with a bus that took
 * them. Whatever comes, everything must be given back.
 */
#include "race.h"

#include "util/state.h"
#include "vmbus/proto.h"

#include <hvstack/hvstack.h>

#include <errno.h>
#include <stdlib.h>

#define RAM_GPA 0x100000u
#define RAM_BYTES ((size_t)64 * 4096)
#define STATE_MAX ((size_t)1 << 16)

struct machine {
	struct hvs_mem *mem;
	struct hvs_vmbus *bus;
	struct hvs_hv *hv;
	uint64_t now_ns;
	bool reset;
	bool connects; /* the guest, and is not answered yet */
	struct hvs_connect_request request;
};

static size_t live;

static void *count_alloc(void *arg, size_t len)
{
	(void)arg;
	live += len;
	return calloc(1, len);
}

static void count_free(void *arg, void *p, size_t len)
{
	(void)arg;
	live -= len;
	free(p);
}

static int post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	(void)vp;
	(void)sint;
	(void)msg;
	return ((struct machine *)be)->now_ns++ % 5 ? 0 : -EAGAIN;
}

static void signal_guest(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)flag;
}

static void wake(void *be, struct hvs_worker *worker, void *priv)
{
	(void)be;
	(void)worker;
	(void)priv;
}

static uint64_t now_ns(void *be)
{
	return ((struct machine *)be)->now_ns += 1000000;
}

static int connect_request(void *be, const struct hvs_connect_request *request)
{
	struct machine *m = be;

	if (request->service_id.b[0] & 1)
		return -ENOTSUP;
	m->connects = true;
	m->request = *request;
	return 0;
}

static void answer_connect(struct machine *m)
{
	if (m->connects)
		(void)!hvs_vmbus_refuse_connect(m->bus, &m->request.endpoint_id,
						&m->request.service_id);
	m->connects = false;
}

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)vector;
}

static uint16_t post_message(void *be, uint32_t id, uint32_t type, const void *bytes, size_t len)
{
	return hvs_vmbus_post_message(((struct machine *)be)->bus, id, type, bytes, len);
}

static uint16_t signal_event(void *be, uint32_t id, uint16_t flag)
{
	return hvs_vmbus_signal_event(((struct machine *)be)->bus, id, flag);
}

static void reset_done(void *arg, int status)
{
	(void)status;
	((struct machine *)arg)->reset = true;
}

/* ---- a device that takes what it gets --------------------------------------------------------- */

static int dev_open(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		    void **ctx)
{
	(void)dev;
	(void)ch;
	(void)params;
	*ctx = malloc(1);
	return 0;
}

static bool dev_ready(struct hvs_channel *ch, void *ctx, unsigned budget)
{
	const struct hvs_packet *pkt;

	(void)ctx;
	for (unsigned i = 0; i < budget; i++) {
		if (hvs_channel_recv(ch, &pkt) != 1)
			return false;
		(void)!hvs_channel_complete(ch, pkt->xid, NULL, 0);
	}
	return true;
}

static void dev_close(struct hvs_channel *ch, void *ctx)
{
	free(ctx);
	hvs_channel_closed(ch);
}

static int dev_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w)
{
	(void)ch;
	return hvs_state_put(w, ctx, 0);
}

static int dev_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		       struct hvs_state_reader *r, void **ctx)
{
	uint8_t bytes[3];

	if (hvs_state_get(r, bytes, sizeof(bytes)) == 0 && bytes[0] == 1)
		return -EINVAL;
	return dev_open(dev, ch, params, ctx);
}

/* ---- the machine ------------------------------------------------------------------------------ */

static uint8_t disk[65536];
static struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = disk, .len = sizeof(disk),
				     .block_size = 512};

static void offer_storage(struct hvs_vmbus *bus)
{
	const struct hvs_storvsp_config cfg = {HVS_STORVSP_CONFIG_INIT, .max_subchannels = 2};
	struct hvs_storvsp *ctl;

	if (hvs_storvsp_create(bus, &cfg, &ctl))
		abort();
	for (uint8_t lun = 0; lun < 2; lun++) {
		const struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .lun = lun};

		if (hvs_storvsp_attach(ctl, &disk_cfg, hvs_memdisk_ops(), &memdisk, NULL))
			abort();
	}
}

static void machine_up(struct machine *m, uint8_t *ram, unsigned flags)
{
	const struct hvs_allocator alloc = {.alloc = count_alloc, .free = count_free};
	const struct hvs_backend_ops ops = {
		HVS_BACKEND_OPS_INIT, .synic_post = post, .synic_signal = signal_guest,
		.wake = wake,         .now_ns = now_ns,   .connect_request = connect_request};
	const struct hvs_hv_ops hv_ops = {HVS_HV_OPS_INIT, .interrupt = interrupt, .now_ns = now_ns,
					  .post_message = post_message,
					  .signal_event = signal_event};
	const struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT, .vp_count = 1, .max_gpadls = 64,
					     .max_gpadl_pages = 1024, .alloc = alloc};
	const struct hvs_hv_config hv_cfg = {HVS_HV_CONFIG_INIT, .vp_count = 1,
					     .hypercall_port = 0xe8, .signal_port = 0xe4,
					     .alloc = alloc};
	const struct hvs_vsp_ops dev_ops = {HVS_VSP_OPS_INIT,
					    .open = dev_open,
					    .ready = dev_ready,
					    .close = dev_close,
					    .save = flags & 1 ? dev_save : NULL,
					    .restore = flags & 1 ? dev_restore : NULL};
	struct hvs_device *d;

	*m = (struct machine){0};
	if (hvs_mem_create(&alloc, &m->mem) ||
	    hvs_mem_add(m->mem, RAM_GPA, RAM_BYTES, ram, HVS_RDWR) ||
	    hvs_hv_create(&hv_cfg, m->mem, &hv_ops, m, &m->hv) ||
	    hvs_vmbus_create(&cfg, m->mem, &ops, m, &m->bus))
		abort();
	for (uint8_t i = 1; i <= 2; i++) {
		const struct hvs_offer offer = {HVS_OFFER_INIT, .class_id = {{0xaa}},
						.instance_id = {{i}}, .max_subchannels = 2,
						.monitor_latency_us = 100};

		if (!(flags >> i & 1) && hvs_device_offer(m->bus, &offer, &dev_ops, NULL, &d))
			abort();
	}
	if (flags & 64)
		offer_storage(m->bus);
}

static void run(struct machine *m)
{
	for (unsigned i = 0; i < 50; i++)
		if (!hvs_worker_dispatch(hvs_vmbus_main_worker(m->bus), 64, NULL))
			break;
}

static void machine_down(struct machine *m, uint8_t *ram)
{
	if (hvs_vmbus_started(m->bus)) {
		if (hvs_vmbus_reset(m->bus, reset_done, m))
			abort();
		while (!m->reset)
			(void)hvs_worker_dispatch(hvs_vmbus_main_worker(m->bus), 0, NULL);
	}
	hvs_vmbus_destroy(m->bus);
	hvs_hv_destroy(m->hv);
	hvs_mem_destroy(m->mem);
	free(ram);
	if (live)
		abort();
}

/* ---- input ------------------------------------------------------------------------------------ */

struct blob {
	uint8_t *bytes;
	size_t len;
};

static int append(void *arg, const void *bytes, size_t len)
{
	struct blob *b = arg;

	if (len > STATE_MAX - b->len)
		return -ENOSPC;
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
	return 0;
}

/* The records as they are, but for the lengths, which are made to fit, and then the last one. */
static int take_state(struct input *in, struct blob *b)
{
	struct hvs_state_writer w;

	hvsi_state_begin(&w, append, b);
	while (input_more(in)) {
		uint16_t type = (uint16_t)input_number(in, 2);
		size_t len;

		(void)input_number(in, 2); /* version */
		len = input_number(in, 4);
		if (!type)
			break;
		if (len > in->left)
			len = in->left;
		hvsi_state_put(&w, type, in->p, len, NULL, 0);
		in->p += len;
		in->left -= len;
	}
	return hvsi_state_end(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned flags;
	uint8_t *ram = aligned_alloc(4096, RAM_BYTES);
	static uint8_t state[STATE_MAX];
	struct blob b = {state, 0};
	struct machine m;

	if (!ram)
		abort();
	race_take(&in);
	flags = (unsigned)input_number(&in, 2);
	memset(ram, flags & 16 ? 0xff : 0, RAM_BYTES);
	machine_up(&m, ram, flags);
	race_start(ram, RAM_BYTES);
	if (take_state(&in, &b) == 0) {
		(void)!hvs_hv_restore(m.hv, b.bytes, b.len);
		if (hvs_vmbus_restore(m.bus, b.bytes, b.len) == 0 || flags & 32) {
			if (hvs_vmbus_start(m.bus))
				abort();
			run(&m);
		}
	}
	while (hvs_vmbus_started(m.bus) && input_more(&in)) {
		uint8_t msg[HVSI_MSG_MAX];
		size_t len = input_number(&in, 1) % sizeof(msg);

		input_bytes(&in, msg, len);
		(void)hvs_vmbus_post_message(m.bus, 1, 1, msg, len);
		if (len & 1)
			answer_connect(&m);
		run(&m);
	}
	machine_down(&m, ram);
	return 0;
}
