/* SPDX-License-Identifier: MIT */
/* The guest end, and devices at work. */
#include "program.h"

#include <hvstack/guest/network.h>
#include <hvstack/guest/storage.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES 65536u
#define DISK_BYTES 65536u
#define FRAME_BYTES 60u

/* Of the first release. */
#define FIRST_REQ_BYTES (offsetof(struct hvs_blk_req, extent_len) + 8)
#define FIRST_FRAME_BYTES (offsetof(struct hvs_net_frame, backend_priv) + 2 * sizeof(void *))

static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0, 0, 1};

/* ---- structs --------------------------------------------------------------------------------------- */

static int no_msr(void *pf, uint32_t msr, uint64_t *value)
{
	(void)pf, (void)msr, (void)value;
	return -EIO;
}

static int no_msr_write(void *pf, uint32_t msr, uint64_t value)
{
	(void)pf, (void)msr, (void)value;
	return -EIO;
}

static uint64_t hypercall(void *pf, uint64_t input, uint64_t param_in, uint64_t param_out)
{
	(void)pf, (void)input, (void)param_in, (void)param_out;
	return 0;
}

static void *no_pages(void *pf, size_t count, uint64_t *gpa)
{
	(void)pf, (void)count, (void)gpa;
	return NULL;
}

static void free_pages(void *pf, void *pages, size_t count)
{
	(void)pf, (void)pages, (void)count;
}

static void no_wait(void *pf)
{
	(void)pf;
}

/* On a machine without synthetic MSRs. */
static const struct hvs_guest_ops guest_ops = {
	HVS_GUEST_OPS_INIT,     .msr_read = no_msr,      .msr_write = no_msr_write,
	.hypercall = hypercall, .alloc_pages = no_pages, .free_pages = free_pages,
	.wait = no_wait};

static int take_guest_ops(const void *x)
{
	struct hvs_guest *g = NULL;
	int err = hvs_guest_create(NULL, x, NULL, &g);

	if (!err)
		hvs_guest_destroy(g);
	return err;
}

static const struct hvs_loopback_config loopback_config = {HVS_LOOPBACK_CONFIG_INIT};

static int take_loopback_config(const void *x)
{
	struct hvs_loopback *lb = NULL;
	int err = hvs_loopback_create(x, &lb);

	hvs_loopback_destroy(lb);
	return err;
}

/* ---- a machine with one device --------------------------------------------------------------------- */

/* Start it and open its device. */
static int open_device(struct hvs_loopback *lb, struct hvs_guest_channel **ch)
{
	struct hvs_guest *g;
	int err = hvs_loopback_start(lb, &g);

	if (!err)
		err = hvs_guest_connect(g, 5u << 16 | 3);
	if (!err && hvs_guest_request_offers(g) != 1)
		err = -ENODEV;
	return err ? err : hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), RING_BYTES, ch);
}

/* ---- a disk: a filter of this program's in front of a memory disk ----------------------------------- */

struct filter {
	struct hvs_memdisk below;
	size_t more;      /* bytes that its requests are longer than the headers say */
	unsigned handled; /* requests */
};

#define BEHIND_BYTES 256u

/* A request of the filter's own: the guest's, and what follows it in memory. */
struct handed_on {
	struct hvs_blk_req *orig;
	const uint8_t *behind;
};

static int filter_info(void *disk, struct hvs_blk_info *info)
{
	struct filter *f = disk;
	struct {
		struct hvs_blk_info info;
		uint8_t behind[64];
	} below = {.info = {HVS_BLK_INFO_INIT}};
	int err;

	memset(below.behind, 0xa5, sizeof(below.behind));
	err = hvs_memdisk_ops()->get_info(&f->below, &below.info);
	for (size_t i = 0; i < sizeof(below.behind); i++)
		if (below.behind[i] != 0xa5)
			err = -EOVERFLOW;
	below.info.size = info->size;
	memcpy(info, &below.info, info->size < sizeof(*info) ? info->size : sizeof(*info));
	return err;
}

static void filter_done(struct hvs_blk_req *own, enum hvs_blk_status status)
{
	struct handed_on *h = own->backend_priv[1];
	struct hvs_blk_req *orig = h->orig;

	for (size_t i = 0; i < BEHIND_BYTES; i++)
		if (h->behind[i] != 0xa5)
			status = HVS_BLK_IO_ERROR;
	free(own);
	free(h);
	hvs_blk_complete(orig, status);
}

static void filter_submit(void *disk, struct hvs_blk_req *req)
{
	struct filter *f = disk;
	struct handed_on *h = malloc(sizeof(*h));
	uint8_t *own = malloc(sizeof(*req) + BEHIND_BYTES);
	struct hvs_blk_req copy = {HVS_BLK_REQ_INIT};

	if (!h || !own || req->size < FIRST_REQ_BYTES) {
		free(h);
		free(own);
		hvs_blk_complete(req, HVS_BLK_IO_ERROR);
		return;
	}
	copy.size += (uint32_t)f->more;
	copy.op = req->op;
	copy.flags = req->flags;
	copy.queue = req->queue;
	copy.iovcnt = req->iovcnt;
	copy.offset = req->offset;
	copy.len = req->len;
	copy.iov = req->iov;
	copy.done = filter_done;
	copy.backend_priv[1] = h;
	memcpy(own, &copy, sizeof(copy));
	memset(own + sizeof(copy), 0xa5, BEHIND_BYTES);
	*h = (struct handed_on){.orig = req, .behind = own + sizeof(copy)};
	f->handled++;
	hvs_memdisk_ops()->submit(&f->below, (struct hvs_blk_req *)(void *)own);
}

static const struct hvs_blk_ops filter_ops = {HVS_BLK_OPS_INIT, .get_info = filter_info,
					      .submit = filter_submit};

static int write_and_read(struct hvs_guest_channel *ch, struct hvs_loopback *lb)
{
	uint64_t gpa;
	char *page = hvs_loopback_alloc_pages(lb, 1, &gpa);
	struct hvs_guest_scsi_result result;
	struct hvs_guest_scsi cmd = {.cdb_len = 10,
				     .cdb = {0x2a, [5] = 3, [8] = 1},
				     .direction = HVS_GUEST_STOR_OUT,
				     .buffer = {.gpa = gpa, .len = 512}};
	int err;

	if (!page)
		return -ENOMEM;
	memset(page, 0x5a, 512);
	err = hvs_guest_stor_execute(ch, &cmd, &result);
	if (!err && result.srb_status != 1)
		err = -EIO;
	memset(page, 0, 512);
	cmd.cdb[0] = 0x28;
	cmd.direction = HVS_GUEST_STOR_IN;
	if (!err)
		err = hvs_guest_stor_execute(ch, &cmd, &result);
	if (!err && (result.srb_status != 1 || page[0] != 0x5a || page[511] != 0x5a))
		err = -EIO;
	hvs_loopback_free_pages(lb, page, 1);
	return err;
}

int disk_at_work(size_t more)
{
	static uint8_t data[DISK_BYTES];
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT,
						   .instance_id = {"abi disk"}};
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT};
	struct filter f = {
		.below = {HVS_MEMDISK_INIT, .data = data, .len = DISK_BYTES, .block_size = 512},
		.more = more};
	struct hvs_guest_channel *ch;
	struct hvs_loopback *lb = machine();
	struct hvs_storvsp *ctl;
	uint32_t max_transfer;
	int err = lb ? hvs_storvsp_create(hvs_loopback_bus(lb), &ctl_cfg, &ctl) : -ENOMEM;

	memset(data, 0, sizeof(data));
	if (!err)
		err = hvs_storvsp_attach(ctl, &cfg, &filter_ops, &f, NULL);
	if (!err)
		err = open_device(lb, &ch);
	if (!err)
		err = hvs_guest_stor_init(ch, 0x600, &max_transfer);
	if (!err)
		err = write_and_read(ch, lb);
	if (!err && (f.handled < 2 || data[3 * 512] != 0x5a))
		err = -EPROTO;
	hvs_loopback_destroy(lb);
	return err;
}

/* ---- a NIC: this program sends back what it gets ----------------------------------------------------- */

struct echo {
	struct hvs_nic *nic;
	size_t more;
	unsigned received;
	int err;
};

static int echo_info(void *net, struct hvs_net_info *info)
{
	(void)net;
	info->mtu = 1500;
	return 0;
}

static void echo_attach(void *net, struct hvs_nic *nic)
{
	((struct echo *)net)->nic = nic;
}

static void echo_tx(void *net, uint32_t queue, struct hvs_net_frame *const *frames, unsigned n)
{
	struct echo *e = net;
	uint8_t bytes[FRAME_BYTES] = {0};
	const struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct {
		struct hvs_net_frame frame;
		uint8_t behind[256];
	} back = {.frame = {HVS_NET_FRAME_INIT, .len = sizeof(bytes), .iov = &iov, .iovcnt = 1}};
	const struct hvs_net_frame *frame = &back.frame;

	memset(back.behind, 0xa5, sizeof(back.behind));
	back.frame.size += (uint32_t)e->more;
	if (frames[0]->size < FIRST_FRAME_BYTES || frames[0]->len != FRAME_BYTES)
		e->err = -EPROTO;
	memcpy(bytes, mac, sizeof(mac));
	bytes[6] = 2;
	if (hvs_nic_rx(e->nic, queue, &frame, 1) != 1)
		e->err = -ENOBUFS;
	hvs_nic_tx_done(e->nic, frames, n, HVS_NET_OK);
}

static const struct hvs_net_ops echo_ops = {HVS_NET_OPS_INIT, .get_info = echo_info, .tx = echo_tx,
					    .attach = echo_attach};

static void on_frame(void *arg, const struct hvs_guest_net_frame *f)
{
	struct echo *e = arg;

	e->received++;
	if (f->len != FRAME_BYTES || memcmp(f->data, mac, sizeof(mac)) != 0)
		e->err = -EPROTO;
}

static int send_one(struct hvs_guest_net *drv, struct hvs_loopback *lb)
{
	uint8_t frame[FRAME_BYTES] = {0x02, [12] = 0x88, [13] = 0xb5};
	const struct hvs_guest_net_packet packet = {.data = frame, .len = sizeof(frame)};
	int err;

	memcpy(frame + 6, mac, sizeof(mac));
	err = hvs_guest_net_send(drv, 0, 0, &packet, 1);
	hvs_loopback_run(lb);
	return !err && hvs_guest_net_poll(drv) < 0 ? -EPROTO : err;
}

/* With the driver's configuration, and then what run() does. */
static int with_driver(struct echo *e, const struct hvs_guest_net_config *drv_cfg,
		       int (*run)(struct hvs_guest_net *drv, struct hvs_loopback *lb, void *x),
		       void *x)
{
	struct hvs_nic_config cfg = {HVS_NIC_CONFIG_INIT, .instance_id = {"abi nic"}};
	struct hvs_loopback *lb = machine();
	struct hvs_guest_channel *ch;
	struct hvs_guest_net *drv;
	struct hvs_nic *nic;
	int err;

	memcpy(cfg.mac, mac, sizeof(mac));
	err = lb ? hvs_nic_create(hvs_loopback_bus(lb), &cfg, &echo_ops, e, &nic) : -ENOMEM;
	if (!err)
		err = open_device(lb, &ch);
	if (!err)
		err = hvs_guest_net_open(ch, drv_cfg, &drv);
	if (!err) {
		err = run(drv, lb, x);
		(void)hvs_guest_net_close(drv, HVS_GUEST_NET_REVOKE);
	}
	hvs_loopback_destroy(lb);
	return err;
}

static const struct hvs_guest_net_config guest_net_config = {
	HVS_GUEST_NET_CONFIG_INIT, .version = 0x60001, .send_bytes = 64u << 10};

static int echo_one(struct hvs_guest_net *drv, struct hvs_loopback *lb, void *x)
{
	const struct echo *e = x;
	int err = hvs_guest_net_initialize(drv);

	if (!err)
		err = hvs_guest_net_set_filter(drv, 1);
	if (!err)
		err = send_one(drv, lb);
	return !err && e->received != 1 ? -EPROTO : err;
}

int nic_at_work(size_t more)
{
	struct echo e = {.more = more};
	struct hvs_guest_net_config cfg = guest_net_config;
	int err;

	cfg.received = on_frame;
	cfg.arg = &e;
	err = with_driver(&e, &cfg, echo_one, &e);
	return err ? err : e.err;
}

static int nothing(struct hvs_guest_net *drv, struct hvs_loopback *lb, void *x)
{
	(void)drv, (void)lb, (void)x;
	return 0;
}

static int take_guest_net_config(const void *x)
{
	struct echo e = {0};

	return with_driver(&e, x, nothing, NULL);
}

static int get_info(struct hvs_guest_net *drv, struct hvs_loopback *lb, void *x)
{
	(void)lb;
	return hvs_guest_net_get_info(drv, x);
}

static int fill_guest_net_info(void *x)
{
	struct echo e = {0};

	return with_driver(&e, &guest_net_config, get_info, x);
}

const struct given given_guest[] = {
	GIVEN(guest_ops, guest_ops, -EIO),
	GIVEN(loopback_config, loopback_config, 0),
	GIVEN(guest_net_config, guest_net_config, 0),
	{0},
};

const struct filled filled_guest[] = {
	FILLED(guest_net_info),
	{0},
};
