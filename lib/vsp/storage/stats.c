/* SPDX-License-Identifier: MIT */
/* What disks count, and how long their commands take. */
#include "util/alloc.h"
#include "util/probe.h"
#include "util/sized.h"
#include "vsp/storage/storvsp.h"

#include <hvstack/vmbus.h>

#include <errno.h>
#include <string.h>

#define FIRST_BUCKET_BITS 10u /* 1024 ns */
#define WRITE_SAME_UNMAP 0x08

static size_t size_of(const struct hvs_storvsp *ctl)
{
	return (1 + (size_t)ctl->subchannel_workers) * sizeof(struct hvsi_disk_stats);
}

int hvsi_disk_stats_attach(struct hvs_disk *disk)
{
	struct hvs_storvsp *ctl = disk->ctl;

	if (!disk->stats)
		disk->stats = hvsi_alloc(hvs_vmbus_allocator(ctl->bus), size_of(ctl));
	else
		memset(disk->stats, 0, size_of(ctl));
	atomic_store(&disk->timed, false);
	return disk->stats ? 0 : -ENOMEM;
}

void hvsi_disk_stats_free(struct hvs_disk *disk)
{
	if (disk->stats)
		hvsi_free(hvs_vmbus_allocator(disk->ctl->bus), disk->stats, size_of(disk->ctl));
}

/* ---- on a worker ------------------------------------------------------------------------- */

/* enum hvs_disk_op of opcodes, less 1: what is not here is HVS_DISK_OTHER. */
#define READS (1 + HVS_DISK_READ)
#define WRITES (1 + HVS_DISK_WRITE)
#define FLUSHES (1 + HVS_DISK_FLUSH)
#define UNMAPS (1 + HVS_DISK_UNMAP)

static const uint8_t kinds[256] = {
	/* READ(6), (10), (12), (16) */
	[0x08] = READS,
	[0x28] = READS,
	[0xa8] = READS,
	[0x88] = READS,
	/* WRITE, WRITE AND VERIFY, COMPARE AND WRITE, WRITE SAME */
	[0x0a] = WRITES,
	[0x2a] = WRITES,
	[0xaa] = WRITES,
	[0x8a] = WRITES,
	[0x2e] = WRITES,
	[0xae] = WRITES,
	[0x8e] = WRITES,
	[0x89] = WRITES,
	[0x41] = WRITES,
	[0x93] = WRITES,
	/* SYNCHRONIZE CACHE */
	[0x35] = FLUSHES,
	[0x91] = FLUSHES,
	[0x42] = UNMAPS,
};

static enum hvs_disk_op kind_of(const uint8_t *cdb)
{
	const uint8_t kind = kinds[cdb[0]];

	if ((cdb[0] == 0x41 || cdb[0] == 0x93) && cdb[1] & WRITE_SAME_UNMAP)
		return HVS_DISK_UNMAP;
	return kind ? (enum hvs_disk_op)(kind - 1) : HVS_DISK_OTHER;
}

void hvsi_request_begins(struct hvsi_stor_request *r, struct hvs_disk *disk)
{
	const uint8_t *cdb = r->packet.u.srb.cdb_or_sense;

	r->target = disk;
	r->op = (uint8_t)kind_of(cdb);
	r->opcode = cdb[0];
	r->began_ns = 0;
	if (atomic_load_explicit(&disk->timed, memory_order_relaxed))
		r->began_ns = hvs_channel_now(r->chan->ch);
	HVSI_PROBE4(disk_request_start, r, disk->cfg.lun, cdb,
		    hvsi_get32(r->packet.u.srb.transfer_len));
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned bits = ns > 1 ? 64 - (unsigned)__builtin_clzll(ns - 1) : 0;

	if (bits < FIRST_BUCKET_BITS)
		return 0;
	bits -= FIRST_BUCKET_BITS;
	return bits < HVS_LATENCY_BUCKETS ? bits : HVS_LATENCY_BUCKETS - 1;
}

void hvsi_request_ended(const struct hvsi_stor_request *r)
{
	struct hvsi_disk_op_stats *s = &r->target->stats[r->chan->queue].op[r->op];
	uint64_t ns = 0;

	hvsi_count(&s->requests, 1);
	hvsi_count(&s->bytes, r->result.transferred);
	if (r->result.srb_status != HVSI_SRB_SUCCESS)
		hvsi_count(&s->errors, 1);
	if (r->began_ns) {
		ns = hvs_channel_now(r->chan->ch) - r->began_ns;
		hvsi_count(&s->sum_ns, ns);
		hvsi_count(&s->bucket[bucket_of(ns)], 1);
	}
	HVSI_PROBE6(disk_request_done, r, r->target->cfg.lun, r->opcode, r->result.srb_status,
		    r->result.transferred, ns);
}

/* ---- public ------------------------------------------------------------------------------- */

static unsigned queues_of(const struct hvs_disk *disk)
{
	return 1 + disk->ctl->subchannel_workers;
}

int hvs_disk_get_counters(const struct hvs_disk *disk, enum hvs_disk_op op,
			  struct hvs_disk_counters *out)
{
	struct hvs_disk_counters sum = {0};

	if (!disk || (unsigned)op >= HVS_DISK_OPS)
		return -EINVAL;
	for (unsigned i = 0; i < queues_of(disk); i++) {
		const struct hvsi_disk_op_stats *s = &disk->stats[i].op[op];

		sum.requests += hvsi_counted(&s->requests);
		sum.bytes += hvsi_counted(&s->bytes);
		sum.errors += hvsi_counted(&s->errors);
	}
	return hvsi_fill_sized(out, &sum, sizeof(sum));
}

uint64_t hvs_latency_bound(unsigned bucket)
{
	return bucket < HVS_LATENCY_BUCKETS - 1 ? UINT64_C(1) << (FIRST_BUCKET_BITS + bucket)
						: UINT64_MAX;
}

int hvs_disk_measure_latency(struct hvs_disk *disk, bool on)
{
	if (!disk)
		return -EINVAL;
	atomic_store_explicit(&disk->timed, on, memory_order_relaxed);
	return 0;
}

int hvs_disk_get_latency(const struct hvs_disk *disk, enum hvs_disk_op op, struct hvs_latency *out)
{
	struct hvs_latency sum = {0};

	if (!disk || (unsigned)op >= HVS_DISK_OPS)
		return -EINVAL;
	for (unsigned i = 0; i < queues_of(disk); i++) {
		const struct hvsi_disk_op_stats *s = &disk->stats[i].op[op];

		sum.sum_ns += hvsi_counted(&s->sum_ns);
		for (unsigned b = 0; b < HVS_LATENCY_BUCKETS; b++)
			sum.bucket[b] += hvsi_counted(&s->bucket[b]);
	}
	return hvsi_fill_sized(out, &sum, sizeof(sum));
}
