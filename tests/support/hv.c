/* SPDX-License-Identifier: MIT */
#include "support/hv.h"

#include <stdlib.h>

static void interrupt(void *be, uint32_t vp, uint8_t sint, uint8_t vector)
{
	struct testhv *t = be;

	t->interrupts++;
	t->vp = vp;
	t->sint = sint;
	t->vector = vector;
}

static uint64_t now_ns(void *be)
{
	return ((struct testhv *)be)->now_ns;
}

static uint16_t post_message(void *be, uint32_t connection_id, uint32_t message_type,
			     const void *payload, size_t len)
{
	struct testhv *t = be;

	t->posts++;
	t->connection_id = connection_id;
	t->message_type = message_type;
	cr_assert_leq(len, sizeof(t->payload));
	memcpy(t->payload, payload, len);
	t->payload_len = len;
	return t->status;
}

static uint16_t signal_event(void *be, uint32_t connection_id, uint16_t flag)
{
	struct testhv *t = be;

	t->signals++;
	t->connection_id = connection_id;
	t->flag = flag;
	return t->status;
}

static void slot_free(void *be, uint32_t vp)
{
	struct testhv *t = be;

	t->slots_free++;
	t->slots_free_vp = vp;
}

static void crash(void *be, uint32_t vp, const struct hvs_hv_crash *c)
{
	struct testhv *t = be;

	t->crashes++;
	t->crash_vp = vp;
	t->crash = *c;
}

static uint64_t read_tsc(void *be, uint32_t vp)
{
	(void)vp;
	return ((struct testhv *)be)->tsc;
}

static struct testhv *make(const struct hvs_hv_config *cfg, bool crash_msrs, bool tsc)
{
	static const struct hvs_hv_config usual = {HVS_HV_CONFIG_INIT, .vp_count = 2,
						   .hypercall_port = 0xe8, .signal_port = 0xe4};
	struct hvs_hv_ops ops = {HVS_HV_OPS_INIT,
				 .interrupt = interrupt,
				 .now_ns = now_ns,
				 .post_message = post_message,
				 .signal_event = signal_event,
				 .slot_free = slot_free};
	struct testhv *t = calloc(1, sizeof(*t));
	const size_t len = (HV_PAGES + 1) * 4096u;

	cr_assert_not_null(t);
	t->ram = aligned_alloc(4096, len);
	cr_assert_not_null(t->ram);
	memset(t->ram, 0, len);
	t->now_ns = 1000000000;
	if (crash_msrs)
		ops.crash = crash;
	if (tsc)
		ops.read_tsc = read_tsc;
	cr_assert_eq(hvs_mem_create(NULL, &t->mem), 0);
	cr_assert_eq(hvs_mem_add(t->mem, HV_RAM, HV_PAGES * 4096u, t->ram, HVS_RDWR), 0);
	cr_assert_eq(hvs_mem_add(t->mem, HV_ROM, 4096, t->ram + HV_PAGES * 4096u, HVS_READ), 0);
	cr_assert_eq(hvs_hv_create(cfg ? cfg : &usual, t->mem, &ops, t, &t->hv), 0);
	return t;
}

struct testhv *testhv_up(const struct hvs_hv_config *cfg, bool crash_msrs)
{
	return make(cfg, crash_msrs, false);
}

struct testhv *testhv_up_with_tsc(const struct hvs_hv_config *cfg)
{
	return make(cfg, false, true);
}

void testhv_down(struct testhv *t)
{
	hvs_hv_destroy(t->hv);
	hvs_mem_destroy(t->mem);
	free(t->ram);
	free(t);
}

uint64_t rdmsr(struct testhv *t, uint32_t vp, uint32_t msr)
{
	uint64_t value;

	cr_assert_eq(hvs_hv_msr_read(t->hv, vp, msr, &value), 0, "MSR %#x", msr);
	return value;
}

void wrmsr(struct testhv *t, uint32_t vp, uint32_t msr, uint64_t value)
{
	cr_assert_eq(hvs_hv_msr_write(t->hv, vp, msr, value, true), 0, "MSR %#x", msr);
}
