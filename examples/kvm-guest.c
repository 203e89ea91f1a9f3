/* SPDX-License-Identifier: MIT */
/*
 * The guest of guest.h on a processor without an operating system: what kvm-vmm.c runs. It is linked
 * with libhvstack-guest.a; kvm-heap.c and bare-metal/memory.c have what that needs of a C library.
 */
#include "guest.h"

#include <stddef.h>
#include <stdint.h>

#define MSR_HYPERCALL 0x40000001u
#define MSR_TIME_REF_COUNT 0x40000020u /* units of 100 ns */
#define EXIT_PORT 0xf4
#define PAGE 4096u
#define PAGES 512u

static unsigned char pages[PAGES * PAGE] __attribute__((aligned(PAGE)));
static size_t used;

/* [processor] */
static int rdmsr(void *pf, uint32_t msr, uint64_t *value)
{
	uint32_t low, high;

	(void)pf;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	*value = (uint64_t)high << 32 | low;
	return 0;
}

static int wrmsr(void *pf, uint32_t msr, uint64_t value)
{
	(void)pf;
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	return 0;
}

static uint64_t hypercall(void *pf, uint64_t input, uint64_t param_in, uint64_t param_out)
{
	register uint64_t r8 __asm__("r8") = param_out;
	uint64_t result, page;

	rdmsr(pf, MSR_HYPERCALL, &page); /* the host has put code there */
	page &= ~(uint64_t)(PAGE - 1);
	__asm__ volatile("call *%[page]"
			 : "=a"(result), "+c"(input), "+d"(param_in), "+r"(r8)
			 : [page] "r"(page)
			 : "memory", "cc", "r9", "r10", "r11");
	return result;
}

/* Interrupts are off: it looks again a millisecond later. */
static void wait_for_host(void *pf)
{
	uint64_t begin, now;

	rdmsr(pf, MSR_TIME_REF_COUNT, &begin);
	do
		rdmsr(pf, MSR_TIME_REF_COUNT, &now);
	while (now - begin < 10000);
}

/* [memory] Addresses are guest physical addresses, all of it is zero, nothing is given back. */
static void *alloc_pages(void *pf, size_t count, uint64_t *gpa)
{
	unsigned char *p = pages + used * PAGE;

	(void)pf;
	if (count > PAGES - used)
		return NULL;
	used += count;
	*gpa = (uintptr_t)p;
	return p;
}

static void free_pages(void *pf, void *p, size_t count)
{
	(void)pf, (void)p, (void)count;
}
/* [end] */

void start(void);
void start(void)
{
	static const struct hvs_guest_ops machine = {
		HVS_GUEST_OPS_INIT,     .msr_read = rdmsr,          .msr_write = wrmsr,
		.hypercall = hypercall, .alloc_pages = alloc_pages, .free_pages = free_pages,
		.wait = wait_for_host};
	const int err = guest_run(&machine, NULL);

	__asm__ volatile("outb %0, %1" : : "a"((uint8_t)-err), "i"((uint8_t)EXIT_PORT));
	for (;;)
		__asm__ volatile("hlt");
}
