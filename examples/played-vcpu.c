/* SPDX-License-Identifier: MIT */
#include "played-vcpu.h"

#include "guest.h"

#define PAGE 4096u

struct machine {
	struct hvs_hv *hv;
	unsigned char *ram;
	size_t pages;
	size_t used; /* pages; nothing is given back */
	void (*wait)(void *arg);
	void *arg;
};

/* [exits] Where a vCPU would exit to the VMM, which then makes these calls. */
static int rdmsr(void *pf, uint32_t msr, uint64_t *value)
{
	return hvs_hv_msr_read(((struct machine *)pf)->hv, 0, msr, value);
}

static int wrmsr(void *pf, uint32_t msr, uint64_t value)
{
	return hvs_hv_msr_write(((struct machine *)pf)->hv, 0, msr, value, true);
}

static uint64_t hypercall(void *pf, uint64_t input, uint64_t param_in, uint64_t param_out)
{
	return hvs_hv_hypercall(((struct machine *)pf)->hv, 0, input, param_in, param_out);
}
/* [end] */

static void *alloc_pages(void *pf, size_t count, uint64_t *gpa)
{
	struct machine *m = pf;

	if (count > m->pages - m->used)
		return NULL;
	*gpa = m->used * PAGE;
	m->used += count;
	return m->ram + *gpa;
}

static void free_pages(void *pf, void *pages, size_t count)
{
	(void)pf, (void)pages, (void)count;
}

static void wait_for_host(void *pf)
{
	struct machine *m = pf;

	m->wait(m->arg);
}

int vcpu_run(struct hvs_hv *hv, unsigned char *ram, size_t ram_bytes, void (*wait)(void *arg),
	     void *arg)
{
	static const struct hvs_guest_ops ops = {
		HVS_GUEST_OPS_INIT,     .msr_read = rdmsr,          .msr_write = wrmsr,
		.hypercall = hypercall, .alloc_pages = alloc_pages, .free_pages = free_pages,
		.wait = wait_for_host};
	struct machine m = {.hv = hv, .ram = ram, .wait = wait, .arg = arg};

	m.pages = ram_bytes / PAGE;
	m.used = 1; /* page 0 stays free, as on a PC */
	return guest_run(&ops, &m);
}
