/* SPDX-License-Identifier: MIT */
/* A hypervisor interface over a little memory that records what it asks of its VMM. */
#ifndef TESTS_SUPPORT_HV_H
#define TESTS_SUPPORT_HV_H

#include "hv/msr_numbers.h"

#include <hvstack/hv.h>
#include <hvstack/memory.h>

#include <criterion/criterion.h>
#include <string.h>

#define HV_PAGES 16u
#define HV_RAM 0x100000u                   /* first RAM address */
#define HV_ROM (HV_RAM + HV_PAGES * 4096u) /* one page that can't be written */
#define HV_GPA(page) (HV_RAM + (page)*4096ull)

struct testhv {
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	uint8_t *ram; /* page-aligned */
	uint64_t now_ns;
	uint64_t tsc; /* as every VP reads it */

	unsigned interrupts;
	uint32_t vp; /* of the last one */
	uint8_t sint;
	uint8_t vector;
	unsigned slots_free;
	uint32_t slots_free_vp;

	/* The last hypercall that went through, and what it returns. */
	unsigned posts;
	uint32_t connection_id;
	uint32_t message_type;
	uint8_t payload[256];
	size_t payload_len;
	unsigned signals;
	uint16_t flag;
	uint16_t status;

	unsigned crashes;
	uint32_t crash_vp;
	struct hvs_hv_crash crash;
};

/* cfg: NULL for two VPs, ports 0xe8 and 0xe4, everything else off. */
struct testhv *testhv_up(const struct hvs_hv_config *cfg, bool crash_msrs);
/* The same with a TSC that can be read. */
struct testhv *testhv_up_with_tsc(const struct hvs_hv_config *cfg);
void testhv_down(struct testhv *t);

/* They must succeed. 64-bit mode. */
uint64_t rdmsr(struct testhv *t, uint32_t vp, uint32_t msr);
void wrmsr(struct testhv *t, uint32_t vp, uint32_t msr, uint64_t value);

static inline uint8_t *testhv_page(struct testhv *t, unsigned page)
{
	return t->ram + page * 4096u;
}

#endif
