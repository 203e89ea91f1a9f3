/* SPDX-License-Identifier: MIT */
/* Several machines that share a disk, and the commands about its reservations. */
#ifndef TESTS_SUPPORT_RESERVE_H
#define TESTS_SUPPORT_RESERVE_H

#include "support/machine.h"

#define CONFLICT 0x18

/* Parameter list flags */
#define APTPL 0x01
#define ALL_TG_PT 0x04
#define SPEC_I_PT 0x08

enum { WE = 1, EA = 3, WE_RO = 5, EA_RO = 6, WE_AR = 7, EA_AR = 8 };
enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, REGISTER_IGNORE, REGISTER_MOVE };

/* A store of reservations in the memory of one process, for one thread. */
struct memory_store {
	uint8_t state[HVS_RESERVATION_BYTES];
	uint64_t generation;
	int error; /* not 0: read() and update() return it */
};
extern const struct hvs_reservation_ops memory_store_ops;

/* A machine and a page of its memory. */
struct node {
	struct machine m;
	uint8_t *buf;
	uint64_t gpa;
};

/* The initiator id of node n: n + 1, then zeros. */
struct hvs_guid node_id(uint8_t n);
/* Node n = 0.. of those that share `store`; NULL ops: it has the disk for itself. */
struct node node_up(uint8_t n, const struct hvs_reservation_ops *ops, void *store);
void node_down(struct node *n);

/* A command with len bytes of n->buf; those the guest gets are zeroed before. */
struct hvs_guest_scsi_result node_cmd(struct node *n, const uint8_t *cdb, uint8_t cdb_len,
				      uint8_t direction, uint32_t len);

/* PERSISTENT RESERVE OUT: its SCSI status, or its sense data if that is CHECK CONDITION. */
uint32_t pr_out(struct node *n, uint8_t action, uint8_t type, uint64_t key, uint64_t action_key);
/* With flags, and a list of `len` bytes: what is in n->buf from byte 24 on. */
uint32_t pr_out_list(struct node *n, uint8_t action, uint8_t type, uint64_t key,
		     uint64_t action_key, uint8_t flags, uint32_t len);
/* Put the TransportID of node `who` there. */
void put_transport_id(uint8_t *to, uint8_t who);
/* PERSISTENT RESERVE IN into n->buf: bytes, which must be all there are. */
uint32_t pr_in(struct node *n, uint8_t action);

/* Command without data: 0, status or sense data, as above. */
uint32_t plain(struct node *n, uint8_t opcode, uint8_t byte1, uint8_t byte4);
/* One block */
uint32_t node_read(struct node *n);
uint32_t node_write(struct node *n);

/* What PERSISTENT RESERVE IN says. */
uint32_t pr_generation(struct node *n);
unsigned pr_key_count(struct node *n);
/* 0: not reserved */
uint8_t pr_type(struct node *n);
uint64_t pr_holder_key(struct node *n);

#endif
