/* SPDX-License-Identifier: MIT */
#include "cpuid.h"

#include "report.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define BIT(n) (UINT32_C(1) << (n))

#define LEAF1_ECX_VMX BIT(5)
#define LEAF1_ECX_SMX BIT(6)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR BIT(31)
#define LEAF1_EDX_MULTI_CORE BIT(28)
#define LEAFD1_EAX_XSAVEC BIT(1)
#define LEAFD1_EAX_XSAVES BIT(3)
#define EXT1_ECX_CMP_LEGACY BIT(1)
#define EXT1_ECX_SVM BIT(2)

#define VENDOR_EBX_INTEL 0x756e6547u /* "Genu" */

#define TOPOLOGY_LEAF 0xbu
#define TOPOLOGY_THREADS (1u << 8)
#define TOPOLOGY_CORES (2u << 8)

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == leaf)
			return &cpuid->entries[i];
	return NULL;
}

bool cpuid_is_intel(const struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *e = find(cpuid, 0);

	return e && e->ebx == VENDOR_EBX_INTEL;
}

/* Bits of an APIC id that number the cores of a package. */
static uint32_t core_bits(unsigned cpu_count)
{
	uint32_t bits = 0;

	while ((1u << bits) < cpu_count)
		bits++;
	return bits;
}

static bool unwanted(uint32_t leaf)
{
	return leaf == TOPOLOGY_LEAF || leaf == 0x1f ||      /* topology: made below, not twice */
	       (leaf >= 0x40000000 && leaf <= 0x4fffffff) || /* KVM's own interface */
	       leaf == 0x8000000a ||                         /* SVM */
	       leaf == 0x8000001f || leaf == 0x80000026;     /* memory encryption; topology */
}

/* Bits 25:14: how many logical CPUs share this cache (all of them: the last level), less one. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *e, uint32_t max_id)
{
	const uint32_t level = e->eax >> 5 & 7;

	e->eax &= ~(UINT32_C(0xfff) << 14);
	if (level >= 3)
		e->eax |= max_id << 14;
}

static void adjust(struct kvm_cpuid_entry2 *e, unsigned cpu_count, bool intel, bool deadline_timer)
{
	const uint32_t bits = core_bits(cpu_count);
	const uint32_t max_id = BIT(bits) - 1;

	switch (e->function) {
	case 0x1:
		e->ecx &= ~(LEAF1_ECX_VMX | LEAF1_ECX_SMX);
		e->ecx |= LEAF1_ECX_HYPERVISOR | (deadline_timer ? LEAF1_ECX_TSC_DEADLINE : 0);
		e->ebx = (e->ebx & 0x0000ffff) | (max_id + 1) << 16;
		e->edx = (e->edx & ~LEAF1_EDX_MULTI_CORE) |
			 (cpu_count > 1 ? LEAF1_EDX_MULTI_CORE : 0);
		break;
	case 0x4: /* Intel's caches; bits 31:26: cores in the package, less one */
		if ((e->eax & 0x1f) == 0)
			break;
		set_cache_sharing(e, max_id);
		e->eax = (e->eax & 0x03ffffff) | max_id << 26;
		break;
	case 0xd: /* Windows with several CPUs does not boot with XSAVEC but not XSAVES */
		if (e->index == 1 && !(e->eax & LEAFD1_EAX_XSAVES))
			e->eax &= ~LEAFD1_EAX_XSAVEC;
		break;
	case 0x80000001:
		e->ecx &= ~(EXT1_ECX_SVM | EXT1_ECX_CMP_LEGACY);
		if (!intel && cpu_count > 1)
			e->ecx |= EXT1_ECX_CMP_LEGACY;
		break;
	case 0x80000008: /* AMD: cores less one, bits of a core number */
		e->ecx = intel ? 0 : (e->ecx & ~UINT32_C(0xf0ff)) | bits << 12 | (cpu_count - 1);
		break;
	case 0x8000001d: /* AMD's caches */
		set_cache_sharing(e, max_id);
		break;
	case 0x8000001e: /* AMD: one thread per core, one node */
		e->eax = e->ebx = e->ecx = e->edx = 0;
		break;
	default:
		break;
	}
}

static void add_topology(struct kvm_cpuid2 *cpuid, unsigned cpu_count)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{.ebx = 1, .ecx = TOPOLOGY_THREADS},
		{.eax = core_bits(cpu_count), .ebx = cpu_count, .ecx = TOPOLOGY_CORES},
		{.eax = 0}, /* the end */
	};

	for (uint32_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[cpuid->nent++];

		*e = levels[i];
		e->function = TOPOLOGY_LEAF;
		e->index = i;
		e->ecx |= i;
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
}

int cpuid_create(struct kvm_cpuid2 **out, int kvm_fd, unsigned cpu_count)
{
	const bool deadline_timer =
		ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	const struct kvm_cpuid_entry2 *leaf0;
	struct kvm_cpuid2 *cpuid;
	uint32_t kept = 0;
	bool intel;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_MAX_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return report(HVRUN_VMM_ERROR, "out of memory");
	*out = cpuid;
	cpuid->nent = CPUID_MAX_ENTRIES - 64; /* leave room to add */
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return report(HVRUN_VMM_ERROR, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));

	intel = cpuid_is_intel(cpuid);
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (unwanted(cpuid->entries[i].function))
			continue;
		cpuid->entries[kept] = cpuid->entries[i];
		adjust(&cpuid->entries[kept++], cpu_count, intel, deadline_timer);
	}
	cpuid->nent = kept;
	leaf0 = find(cpuid, 0);
	if (leaf0 && leaf0->eax >= TOPOLOGY_LEAF)
		add_topology(cpuid, cpu_count);
	return 0;
}

void cpuid_set_apic_id(struct kvm_cpuid2 *cpuid, uint32_t apic_id)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0x1)
			e->ebx = (e->ebx & 0x00ffffff) | apic_id << 24;
		else if (e->function == TOPOLOGY_LEAF)
			e->edx = apic_id;
		else if (e->function == 0x8000001e) {
			e->eax = apic_id;
			e->ebx = apic_id; /* core number; bits 15:8: threads of it, less one */
		}
	}
}
