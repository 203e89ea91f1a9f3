/* SPDX-License-Identifier: MIT */
/*
 * Reference time: 100 ns units since the partition was made, by MSR or, without an exit, from
 * the guest's TSC and a page that says how to convert it (TLFS 12.7):
 *
 *   time = ((tsc * scale) >> 64) + offset
 */
#include "hv/state.h"
#include "util/le.h"

#define UNITS_PER_SECOND 10000000u

struct reference_tsc_page {
	struct hvs_le32 sequence; /* 0: not valid, use the MSR */
	struct hvs_le32 reserved;
	struct hvs_le64 scale;
	struct hvs_le64 offset;
};
_Static_assert(sizeof(struct reference_tsc_page) == 24, "TLFS: reference TSC page");

uint64_t hvs_hv_reference_time(const struct hvs_hv *hv)
{
	return (hv->ops.now_ns(hv->be) - hv->start_ns) / 100;
}

bool hvsi_has_reference_tsc(const struct hvs_hv *hv)
{
	return hv->ops.read_tsc && hv->cfg.tsc_hz > UNITS_PER_SECOND;
}

/* (a << 64) / b, for a < b < 2^63: long division, since a core has no 128-bit one. */
static uint64_t shifted_quotient(uint64_t a, uint64_t b)
{
	uint64_t q = 0;

	for (int bit = 0; bit < 64; bit++) {
		a <<= 1;
		q <<= 1;
		if (a >= b) {
			a -= b;
			q |= 1;
		}
	}
	return q;
}

/* (a * b) >> 64 */
static uint64_t high_product(uint64_t a, uint64_t b)
{
	uint64_t a0 = (uint32_t)a;
	uint64_t a1 = a >> 32;
	uint64_t b0 = (uint32_t)b;
	uint64_t b1 = b >> 32;
	uint64_t middle = a1 * b0 + (a0 * b0 >> 32);

	return a1 * b1 + (middle >> 32) + ((a0 * b1 + (uint32_t)middle) >> 32);
}

static uint64_t tsc_scale(const struct hvs_hv *hv)
{
	return shifted_quotient(UNITS_PER_SECOND, hv->cfg.tsc_hz);
}

uint64_t hvsi_reference_tsc_offset(const struct hvs_hv *hv, uint32_t vp)
{
	uint64_t tsc = hv->ops.read_tsc(hv->be, vp);

	return hvs_hv_reference_time(hv) - high_product(tsc, tsc_scale(hv));
}

void hvsi_place_reference_tsc(struct hvs_hv *hv, uint64_t value, uint64_t offset)
{
	struct reference_tsc_page page = {.scale = hvsi_le64(tsc_scale(hv)),
					  .offset = hvsi_le64(offset)};
	uint8_t HVSI_GUEST *p;

	hv->reference_tsc = value;
	if (!(value & HVSI_PAGE_ENABLE))
		return;
	p = hvsi_mem_range(hv->mem, value & ~(uint64_t)(HVSI_PAGE - 1), HVSI_PAGE, HVS_RDWR);
	if (!p)
		return;
	/* Readers see sequence 0, or the whole page. */
	hvsi_guest_store32(p, 0);
	hvsi_guest_barrier(); /* a release alone keeps no later write behind it */
	hvsi_guest_write(p + 4, (const uint8_t *)&page + 4, sizeof(page) - 4);
	if (hv->tsc_sequence >= UINT32_MAX - 1)
		hv->tsc_sequence = 0;
	hv->tsc_sequence++;
	hvsi_guest_store32(p, hv->tsc_sequence);
}

void hvsi_restore_reference_tsc(struct hvs_hv *hv, uint64_t value)
{
	uint8_t HVSI_GUEST *p = NULL;

	if (value & HVSI_PAGE_ENABLE)
		p = hvsi_mem_range(hv->mem, value & ~(uint64_t)(HVSI_PAGE - 1), HVSI_PAGE,
				   HVS_RDWR);
	if (!hvsi_has_reference_tsc(hv)) {
		if (p)
			hvsi_guest_store32(p, 0); /* not valid any more: the guest uses the MSR */
		return;
	}
	/* A VP may be in the middle of reading the page: the sequence has to be another one. */
	if (p)
		hv->tsc_sequence = hvsi_guest_load32(p);
	hvsi_place_reference_tsc(hv, value, hvsi_reference_tsc_offset(hv, 0));
}
