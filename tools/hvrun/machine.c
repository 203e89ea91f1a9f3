/* SPDX-License-Identifier: MIT */
/* Builds the VM in the order KVM and the Hyper-V devices want it, and takes it down. */
#include "machine.h"

#include "console.h"
#include "cpuid.h"
#include "hyperv.h"
#include "options.h"
#include "report.h"
#include "serial.h"

#include <cpuid.h> /* the compiler's; NOLINT(readability-duplicate-include) */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Four pages below 4 GiB that KVM needs on older Intel CPUs. */
#define IDENTITY_MAP_GPA UINT64_C(0xfffbc000)
#define TSS_GPA 0xfffbd000ul

/*
 * A /dev/kvm without VMX or SVM below it may answer every call, but can't run an unmodified
 * kernel. (An AMD CPU has bit 2 of leaf 0x80000001's ECX, an Intel CPU bit 5 of leaf 1's.)
 */
static bool cpu_has_virtualization(void)
{
	unsigned eax, ebx, ecx, edx;

	return (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx >> 5 & 1)) ||
	       (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx >> 2 & 1));
}

static int open_kvm(struct machine *m)
{
	static const struct {
		int capability;
		const char *name;
	} needed[] = {
		{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
		{KVM_CAP_PIT2, "KVM_CAP_PIT2"},
		{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
		{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	};
	const char *advice = "";

	m->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm_fd < 0) {
		if (errno == EACCES || errno == EPERM)
			advice = "; add yourself to group kvm";
		else if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
			advice = "; load the module kvm-intel or kvm-amd, or turn virtualization "
				 "on in the firmware";
		return report(HVRUN_VMM_ERROR, "cannot open /dev/kvm: %s%s", strerror(errno),
			      advice);
	}
	if (ioctl(m->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return report(HVRUN_VMM_ERROR, "/dev/kvm does not speak version %d of its API",
			      KVM_API_VERSION);
	if (!cpu_has_virtualization())
		return report(HVRUN_VMM_ERROR, "/dev/kvm cannot run a guest here: this CPU has "
					       "neither VMX nor SVM");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(m->kvm_fd, KVM_CHECK_EXTENSION, needed[i].capability) <= 0)
			return report(HVRUN_VMM_ERROR, "this KVM lacks %s", needed[i].name);
	return 0;
}

static int create_vm(struct machine *m)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY}; /* port 0x61 */
	uint64_t identity_map = IDENTITY_MAP_GPA;
	int run_bytes;

	do {
		m->vm_fd = ioctl(m->kvm_fd, KVM_CREATE_VM, 0);
	} while (m->vm_fd < 0 && errno == EINTR);
	if (m->vm_fd < 0)
		return report(HVRUN_VMM_ERROR, "KVM_CREATE_VM: %s%s", strerror(errno),
			      errno == EBUSY ? "; another hypervisor has the CPU" : "");
	if (ioctl(m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
	    ioctl(m->vm_fd, KVM_SET_TSS_ADDR, TSS_GPA) < 0)
		return report(HVRUN_VMM_ERROR, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	if (ioctl(m->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return report(HVRUN_VMM_ERROR, "KVM_CREATE_IRQCHIP: %s", strerror(errno));
	if (ioctl(m->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return report(HVRUN_VMM_ERROR, "KVM_CREATE_PIT2: %s", strerror(errno));
	run_bytes = ioctl(m->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < (int)sizeof(struct kvm_run))
		return report(HVRUN_VMM_ERROR, "KVM_GET_VCPU_MMAP_SIZE: %s", strerror(errno));
	m->run_bytes = (size_t)run_bytes;
	return 0;
}

static int add_region(struct machine *m, uint64_t gpa, uint64_t ram_offset, uint64_t bytes)
{
	struct ram_region *r = &m->regions[m->region_count];
	struct kvm_userspace_memory_region slot = {
		.slot = (uint32_t)m->region_count,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)(m->ram + ram_offset),
	};

	if (bytes == 0)
		return 0;
	if (ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return report(HVRUN_VMM_ERROR, "KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
	*r = (struct ram_region){.gpa = gpa, .bytes = bytes, .hva = m->ram + ram_offset};
	m->region_count++;
	return 0;
}

static int create_ram(struct machine *m, uint64_t bytes)
{
	const uint64_t low = bytes < LOW_RAM_END ? bytes : LOW_RAM_END;
	void *ram;
	int status;

	m->ram_fd = memfd_create("hvrun-ram", MFD_CLOEXEC);
	if (m->ram_fd < 0 || ftruncate(m->ram_fd, (off_t)bytes) < 0)
		return report(HVRUN_VMM_ERROR, "cannot allocate guest memory: %s", strerror(errno));
	ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->ram_fd, 0);
	if (ram == MAP_FAILED)
		return report(HVRUN_VMM_ERROR, "cannot map guest memory: %s", strerror(errno));
	m->ram = ram;
	m->ram_bytes = bytes;
	madvise(ram, bytes, MADV_HUGEPAGE); /* where the host allows it for memfds */
	status = add_region(m, 0, 0, low);
	return status ? status : add_region(m, HIGH_RAM_START, low, bytes - low);
}

void *machine_ram(const struct machine *machine, uint64_t gpa, uint64_t len)
{
	for (size_t i = 0; i < machine->region_count; i++) {
		const struct ram_region *r = &machine->regions[i];

		if (gpa >= r->gpa && gpa - r->gpa <= r->bytes && len <= r->bytes - (gpa - r->gpa))
			return r->hva + (gpa - r->gpa);
	}
	return NULL;
}

static int create_devices(struct machine *m, const struct options *opt)
{
	int status = loop_create(m);

	if (!status)
		status = console_create(&m->console, m, m->base);
	if (!status)
		status = serial_create(&m->serial, m->vm_fd, m->console, &m->ports);
	if (!status && opt->console)
		status = console_connect_input(m->console, m->serial);
	if (!status)
		platform_init(&m->platform, m);
	return status;
}

static int create_vcpus(struct machine *m, unsigned count)
{
	const int max = ioctl(m->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	int status;

	if (max > 0 && count > (unsigned)max)
		return report(HVRUN_VMM_ERROR, "this KVM has at most %d CPUs for a guest", max);
	status = cpuid_create(&m->cpuid, m->kvm_fd, count);
	if (!status)
		status = hyperv_cpuid(m, m->cpuid, CPUID_MAX_ENTRIES);
	if (status)
		return status;
	m->vcpus = calloc(count, sizeof(*m->vcpus));
	if (!m->vcpus)
		return report(HVRUN_VMM_ERROR, "out of memory");
	while (!status && m->vcpu_count < count) {
		status = vcpu_create(&m->vcpus[m->vcpu_count], m, m->vcpu_count);
		m->vcpu_count++; /* also if it failed: vcpu_destroy() cleans up */
	}
	return status;
}

int machine_create(struct machine *machine, const struct options *opt)
{
	int status;

	*machine = (struct machine){
		.kvm_fd = -1,
		.vm_fd = -1,
		.ram_fd = -1,
		.stop_fd = -1,
		.status = MACHINE_RUNNING,
	};
	status = open_kvm(machine);
	if (!status)
		status = create_vm(machine);
	if (!status)
		status = create_ram(machine, opt->memory_bytes);
	if (!status)
		status = create_devices(machine, opt);
	if (!status)
		status = hyperv_attach(machine, opt);
	if (!status)
		status = create_vcpus(machine, opt->cpu_count);
	if (!status)
		status = hyperv_start(machine, opt);
	return status;
}

int machine_run(struct machine *machine)
{
	unsigned started = 0;
	int status = 0;

	while (!status && started < machine->vcpu_count) {
		status = vcpu_start(&machine->vcpus[started]);
		if (!status)
			started++;
	}
	if (status)
		machine_stop(machine, status);
	event_base_dispatch(machine->base);
	machine_stop(machine, HVRUN_VMM_ERROR); /* no effect, unless the loop failed */
	for (unsigned i = 0; i < started; i++)
		vcpu_join(&machine->vcpus[i]);
	return atomic_load(&machine->status);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void machine_destroy(struct machine *machine)
{
	hyperv_detach(machine);
	for (unsigned i = 0; i < machine->vcpu_count; i++)
		vcpu_destroy(&machine->vcpus[i]);
	free(machine->vcpus);
	free(machine->cpuid);
	serial_destroy(machine->serial);
	console_destroy(machine->console);
	loop_destroy(machine);
	if (machine->ram)
		munmap(machine->ram, machine->ram_bytes);
	close_fd(machine->ram_fd);
	close_fd(machine->vm_fd);
	close_fd(machine->kvm_fd);
}
