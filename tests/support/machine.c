/* SPDX-License-Identifier: MIT */
#include "support/machine.h"

#include <stdlib.h>

struct machine machine_up(const struct machine_options *opt)
{
	static const struct machine_options usual;
	struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT,
					     .instance_id = {{1, 2, 3, 4}}};
	struct hvs_disk_config disk_cfg = {HVS_DISK_CONFIG_INIT, .disk_id = {{5, 6, 7, 8}},
					   .serial = "HVS-TEST"};
	struct hvs_loopback_config lb_cfg;
	struct machine m = {0};

	if (!opt)
		opt = &usual;
	lb_cfg = opt->loopback;
	lb_cfg.size = sizeof(lb_cfg);
	ctl_cfg.max_subchannels = opt->max_subchannels;
	ctl_cfg.initiator_id = opt->initiator_id;
	disk_cfg.reservations = opt->reservations;
	disk_cfg.reservation_store = opt->reservation_store;
	m.disk = calloc(1, DISK_BYTES);
	/* On the heap: the back end keeps the pointer, and struct machine is copied. */
	m.memdisk = malloc(sizeof(*m.memdisk));
	cr_assert(m.disk && m.memdisk);
	*m.memdisk = (struct hvs_memdisk){HVS_MEMDISK_INIT, .data = m.disk, .len = DISK_BYTES,
					  .block_size = 512, .flags = opt->disk_flags};
	cr_assert_eq(hvs_loopback_create(&lb_cfg, &m.lb), 0);
	cr_assert_eq(hvs_storvsp_create(hvs_loopback_bus(m.lb), &ctl_cfg, &m.ctl), 0);
	cr_assert_eq(hvs_storvsp_attach(m.ctl, &disk_cfg,
					opt->blk_ops ? opt->blk_ops : hvs_memdisk_ops(),
					opt->blk_ops ? opt->blk_priv : m.memdisk, &m.attached),
		     0);
	cr_assert_eq(hvs_loopback_start(m.lb, &m.guest), 0);
	if (opt->leave_unconnected)
		return m;
	machine_connect(&m);
	if (!opt->leave_closed)
		machine_open(&m);
	return m;
}

void machine_connect(struct machine *m)
{
	cr_assert_eq(hvs_guest_connect(m->guest, 0x50003), 0);
	cr_assert_eq(hvs_guest_request_offers(m->guest), 1);
}

void machine_open(struct machine *m)
{
	cr_assert_eq(hvs_guest_channel_open(m->guest, hvs_guest_offer_at(m->guest, 0), 128 * 1024,
					    &m->ch),
		     0);
	cr_assert_eq(hvs_guest_stor_init(m->ch, 0x600, &m->max_transfer), 0);
}

void machine_down(struct machine *m)
{
	hvs_loopback_destroy(m->lb);
	free(m->memdisk);
	free(m->disk);
}

struct hvs_guest_scsi_result scsi(struct machine *m, const struct hvs_guest_scsi *cmd)
{
	struct hvs_guest_scsi_result r;

	cr_assert_eq(hvs_guest_stor_execute(m->ch, cmd, &r), 0);
	return r;
}

struct hvs_guest_scsi_result scsi_rw(struct machine *m, uint8_t opcode, uint32_t lba,
				     uint16_t blocks, uint64_t gpa)
{
	struct hvs_guest_scsi cmd = {
		.cdb_len = 10,
		.cdb = {opcode, 0, (uint8_t)(lba >> 24), (uint8_t)(lba >> 16), (uint8_t)(lba >> 8),
			(uint8_t)lba, 0, (uint8_t)(blocks >> 8), (uint8_t)blocks},
		.direction = opcode == OP_READ10 ? HVS_GUEST_STOR_IN : HVS_GUEST_STOR_OUT,
		.buffer = {.gpa = gpa, .len = blocks * 512u}};

	return scsi(m, &cmd);
}

uint32_t sense_of(const struct hvs_guest_scsi_result *r)
{
	return (uint32_t)r->sense[2] << 16 | (uint32_t)r->sense[12] << 8 | r->sense[13];
}
