/* SPDX-License-Identifier: MIT */
/*
 * Machines on threads of their own share a disk and its reservations. Who reserves it for itself
 * counts up a number that nothing else protects; none may be lost.
 */
#include <hvstack/guest/loopback.h>
#include <hvstack/guest/storage.h>
#include <hvstack/host/reservation.h>
#include <hvstack/hvstack.h>

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MACHINES 4u
#define TIMES 50u
#define DISK_BYTES 65536u
#define BLOCK 512u
#define CONFLICT 0x18
#define EXCLUSIVE_ACCESS 3

enum { REGISTER = 0, RESERVE = 1, RELEASE = 2 };

static uint8_t data[DISK_BYTES];
static struct hvs_memdisk medium = {HVS_MEMDISK_INIT, .data = data, .len = DISK_BYTES,
				    .block_size = BLOCK};
static struct hvs_reservation_file *store;
static unsigned number;

struct machine {
	uint8_t id;
	unsigned conflicts;
	struct hvs_loopback *lb;
	struct hvs_guest_channel *ch;
	uint8_t *buf;
	uint64_t gpa;
};

static void up(struct machine *m)
{
	const struct hvs_storvsp_config ctl_cfg = {HVS_STORVSP_CONFIG_INIT,
						   .initiator_id = {{m->id}}};
	const struct hvs_disk_config cfg = {HVS_DISK_CONFIG_INIT,
					    .reservations = hvs_reservation_file_ops(),
					    .reservation_store = store};
	struct hvs_storvsp *ctl;
	struct hvs_guest *g;
	uint32_t max_transfer;

	assert(hvs_loopback_create(NULL, &m->lb) == 0);
	assert(hvs_storvsp_create(hvs_loopback_bus(m->lb), &ctl_cfg, &ctl) == 0);
	assert(hvs_storvsp_attach(ctl, &cfg, hvs_memdisk_ops(), &medium, NULL) == 0);
	assert(hvs_loopback_start(m->lb, &g) == 0);
	assert(hvs_guest_connect(g, 0x50003) == 0);
	assert(hvs_guest_request_offers(g) == 1);
	assert(hvs_guest_channel_open(g, hvs_guest_offer_at(g, 0), 65536, &m->ch) == 0);
	assert(hvs_guest_stor_init(m->ch, 0x600, &max_transfer) == 0);
	m->buf = hvs_loopback_alloc_pages(m->lb, 1, &m->gpa);
	assert(m->buf);
}

static uint8_t command(struct machine *m, const uint8_t cdb[10], uint8_t direction, uint32_t len)
{
	struct hvs_guest_scsi cmd = {
		.cdb_len = 10, .direction = direction, .buffer = {.gpa = m->gpa, .len = len}};
	struct hvs_guest_scsi_result r;

	memcpy(cmd.cdb, cdb, 10);
	assert(hvs_guest_stor_execute(m->ch, &cmd, &r) == 0);
	assert(r.scsi_status == 0 || r.scsi_status == CONFLICT);
	return r.scsi_status;
}

static uint8_t reserve_out(struct machine *m, uint8_t action, uint8_t key, uint8_t action_key)
{
	const uint8_t cdb[10] = {0x5f, action, EXCLUSIVE_ACCESS, [8] = 24};

	memset(m->buf, 0, 24);
	m->buf[7] = key;
	m->buf[15] = action_key;
	return command(m, cdb, HVS_GUEST_STOR_OUT, 24);
}

static uint8_t transfer(struct machine *m, uint8_t opcode)
{
	const uint8_t cdb[10] = {opcode, [8] = 1};

	return command(m, cdb, opcode == 0x28 ? HVS_GUEST_STOR_IN : HVS_GUEST_STOR_OUT, BLOCK);
}

static void count_up(struct machine *m)
{
	unsigned mine;

	assert(transfer(m, 0x28) == 0);
	memcpy(&mine, m->buf, sizeof(mine));
	assert(mine == number);
	number = ++mine;
	memcpy(m->buf, &mine, sizeof(mine));
	assert(transfer(m, 0x2a) == 0);
}

static void *run(void *arg)
{
	struct machine *m = arg;

	up(m);
	assert(reserve_out(m, REGISTER, 0, m->id) == 0);
	for (unsigned i = 0; i < TIMES; i++) {
		while (reserve_out(m, RESERVE, m->id, 0) == CONFLICT) {
			m->conflicts++;
			sched_yield();
		}
		count_up(m);
		assert(reserve_out(m, RELEASE, m->id, 0) == 0);
	}
	hvs_loopback_destroy(m->lb);
	return NULL;
}

int main(void)
{
	char path[] = "/tmp/reserve-XXXXXX";
	struct machine m[MACHINES] = {{0}};
	pthread_t thread[MACHINES];
	unsigned conflicts = 0;
	int fd = mkstemp(path);

	assert(fd >= 0);
	close(fd);
	assert(hvs_reservation_file_open(path, &store, NULL) == 0);
	for (uint8_t i = 0; i < MACHINES; i++) {
		m[i].id = (uint8_t)(i + 1);
		assert(pthread_create(&thread[i], NULL, run, &m[i]) == 0);
	}
	for (unsigned i = 0; i < MACHINES; i++) {
		assert(pthread_join(thread[i], NULL) == 0);
		conflicts += m[i].conflicts;
	}
	assert(number == MACHINES * TIMES);
	hvs_reservation_file_close(store);
	unlink(path);
	printf("passed, %u conflicts\n", conflicts);
	return 0;
}
