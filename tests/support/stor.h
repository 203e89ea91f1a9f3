/* SPDX-License-Identifier: MIT */
/*
 * A loopback machine with one SCSI controller, for tests that have many packets in flight at once,
 * on several channels: each is sent as it is, and its completion looked at byte by byte.
 */
#ifndef TESTS_SUPPORT_STOR_H
#define TESTS_SUPPORT_STOR_H

#include "vsp/storage/proto.h"

#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/hvstack.h>

#include <criterion/criterion.h>
#include <string.h>

#define STOR_SUB 4u /* most sub-channels */
#define STOR_BUF_PAGES 8u
#define STOR_ABORTED 0x82u /* with the autosense bit */
#define SENSE_ABORTED 0x0b0000u
#define SENSE_TIMED_OUT 0x0b2e02u
#define SENSE_BUS_RESET 0x062902u
#define SENSE_LUN_RESET 0x062903u
#define SENSE_MODE_CHANGED 0x062a01u
#define SENSE_CAPACITY_CHANGED 0x062a09u

struct stor {
	struct hvs_loopback *lb;
	struct hvs_guest *guest;
	struct hvs_storvsp *ctl;
	struct hvs_guest_channel *ch[1 + STOR_SUB]; /* 0: primary */
	unsigned channels;
	uint64_t gpa; /* STOR_BUF_PAGES for data */
	uint8_t *buf;
	uint64_t xid; /* of the last packet */
};

struct stor_options {
	struct hvs_loopback_config loopback;
	struct hvs_storvsp_config ctl; /* but size and workers */
	unsigned workers;              /* for sub-channels */
	uint32_t ring_bytes;           /* 0: 64 KiB */
	uint16_t version;              /* 0: 6.2 */
	unsigned channels;             /* to open, the primary included; 0: 1 */
};

struct stor_answer {
	uint16_t type;
	uint64_t xid;
	uint32_t len;
	struct hvsi_vstor_packet p;
};

/* Not started: attach disks first. */
void stor_up(struct stor *s, const struct stor_options *opt);
/* Connect, open, negotiate, ask for sub-channels and open them. */
void stor_start(struct stor *s, const struct stor_options *opt);
void stor_down(struct stor *s);
struct hvs_disk *stor_attach(struct stor *s, uint8_t path, uint8_t target, uint8_t lun,
			     const struct hvs_blk_ops *ops, void *priv);

/* An SRB with this CDB for path 0, target 0, `lun`. */
struct hvsi_vstor_packet stor_srb(uint8_t lun, const void *cdb, uint8_t cdb_len, uint8_t data_in);
/* READ(10), WRITE(10) of `blocks` of 512 bytes; SYNCHRONIZE CACHE(10), TEST UNIT READY. */
struct hvsi_vstor_packet stor_rw(uint8_t lun, bool write, uint32_t lba, uint16_t blocks);
struct hvsi_vstor_packet stor_flush(uint8_t lun);
struct hvsi_vstor_packet stor_ready(uint8_t lun);
struct hvsi_vstor_packet stor_control(uint32_t operation);

/* Send through channel n, and let the host run. gpa: of the data, if the SRB has some. Returns the
 * transaction id. */
uint64_t stor_send_at(struct stor *s, unsigned n, const struct hvsi_vstor_packet *p, uint64_t gpa);
uint64_t stor_send(struct stor *s, unsigned n, const struct hvsi_vstor_packet *p);
void stor_run(struct stor *s);

/* What the host sent through channel n. False: nothing. */
bool stor_take(struct stor *s, unsigned n, struct stor_answer *a);
void stor_expect_nothing(struct stor *s, unsigned n);
/* The next one is the completion of xid; its packet. */
struct hvsi_vstor_packet stor_expect(struct stor *s, unsigned n, uint64_t xid);
void stor_expect_good(struct stor *s, unsigned n, uint64_t xid);
/* CHECK CONDITION with this SRB status and sense key << 16 | ASC << 8 | ASCQ. */
void stor_expect_check(struct stor *s, unsigned n, uint64_t xid, uint8_t srb_status,
		       uint32_t sense);
/* A reset or the like: it has succeeded. */
void stor_expect_control(struct stor *s, unsigned n, uint64_t xid);
/* ENUMERATE_BUS of `len` bytes. */
void stor_expect_enumerate(struct stor *s, uint32_t len);

/* Send, run, and the answer to it. */
struct hvsi_vstor_packet stor_do(struct stor *s, unsigned n, const struct hvsi_vstor_packet *p);
void stor_do_good(struct stor *s, unsigned n, struct hvsi_vstor_packet p);
void stor_do_check(struct stor *s, unsigned n, struct hvsi_vstor_packet p, uint32_t sense);
uint32_t stor_sense(const struct hvsi_vstor_packet *p);

#endif
